//! A command file: one command, as YAML.
//!
//! ```yaml
//! name: deploys
//! summary: What was deployed, and when
//! arguments:
//!   - name: service
//!     type: entity               # entity, team, user, kind, command, text, number or choice
//!     default: channel           # of the channel where it is asked; any other default is a value
//! options: [tier, page]          # of kind, team, tier, lifecycle, type, tag, depth, page
//! say:                           # what people ask; what a group matched is the argument of its name
//!   - what was deployed (to|for) (?<service>.+)
//! lookup:                        # the name of a built-in one, `sql:` or `http:`
//!   sql: select version, at from deploys where service = :service order by at desc
//! audience: channel              # or asker, who alone sees the answer
//! template: |
//!   {{#each rows}}
//!   - {{version}} ({{date at}})
//!   {{/each}}
//! nothing: Nothing was deployed.
//! examples:
//!   - say: deploys payment-api
//!     reply: …                   # `…` is any text, alone on a line any lines
//! ```

use regex::{Regex, RegexBuilder};

use super::lookups::BuiltIn;
use super::template::{self, Template};
use crate::access::Verb;
use crate::catalog::Problem;
use crate::catalog::formats::fields::{self, Fields};
use crate::catalog::formats::yaml::{Node, Position};
use crate::conversation::Audience;

const NAME_CHARACTERS_MAX: usize = 32;
/// The most bytes of one file; the largest template takes a quarter of it.
const FILE_BYTES_MAX: usize = 64 << 10;
/// The most bytes of a phrase, and of what it compiles to.
const PHRASE_BYTES_MAX: usize = 1 << 10;
const PHRASE_COMPILED_BYTES_MAX: usize = 512 << 10;
const PHRASES_MAX: usize = 50;
const ARGUMENTS_MAX: usize = 10;

#[derive(Debug, Clone)]
pub struct Command {
    pub name: String,
    /// One line, for `help`.
    pub summary: String,
    pub arguments: Vec<Argument>,
    pub options: Vec<Opt>,
    pub phrases: Vec<Phrase>,
    pub lookup: Lookup,
    pub audience: Audience,
    pub template: Template,
    /// Said instead of the template when there is nothing to say.
    pub nothing: Option<Template>,
    pub examples: Vec<Example>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    pub name: String,
    pub kind: ArgumentKind,
    pub presence: Presence,
    /// Whether it takes all the words that are left.
    pub rest: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentKind {
    /// Anything in the catalog.
    Entity,
    Team,
    User,
    Kind,
    Command,
    /// What people ask to have done.
    Action,
    Text,
    Number,
    Choice(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    Required,
    Optional,
    Default(String),
    /// Without it, the entity or team of the channel is meant.
    OfChannel,
}

/// What narrows an answer: `--kind Component`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opt {
    Kind,
    Team,
    Tier,
    Lifecycle,
    Type,
    Tag,
    Depth,
    Page,
}

/// A way to ask in natural language.
#[derive(Debug, Clone)]
pub struct Phrase {
    pub pattern: Regex,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    BuiltIn(BuiltIn),
    Sql(SqlLookup),
    Http(HttpLookup),
}

impl Lookup {
    /// Whether its answer depends on the question, the catalog and the commands, and on nothing else.
    pub fn is_of_catalog(&self) -> bool {
        match self {
            Lookup::BuiltIn(
                BuiltIn::OnCall
                | BuiltIn::History
                | BuiltIn::Facts
                | BuiltIn::Problems
                | BuiltIn::Score
                | BuiltIn::Scorecard
                | BuiltIn::Exempt
                | BuiltIn::Exemptions
                | BuiltIn::Whoami
                | BuiltIn::Link
                | BuiltIn::Adoption
                | BuiltIn::Feedback
                | BuiltIn::Alias
                | BuiltIn::Digest
                | BuiltIn::Run
                | BuiltIn::Requests
                | BuiltIn::Approve
                | BuiltIn::Deny
                | BuiltIn::Cancel,
            ) => false,
            Lookup::BuiltIn(_) => true,
            Lookup::Sql(_) | Lookup::Http(_) => false,
        }
    }

    /// What whoever asks it must be allowed.
    pub fn verb(&self) -> Verb {
        match self {
            Lookup::BuiltIn(BuiltIn::Whoami | BuiltIn::Link) => Verb::Introduce,
            Lookup::BuiltIn(BuiltIn::Feedback) => Verb::Judge,
            Lookup::BuiltIn(BuiltIn::Adoption) => Verb::Observe,
            Lookup::BuiltIn(BuiltIn::Alias) => Verb::Name,
            Lookup::BuiltIn(_) | Lookup::Sql(_) | Lookup::Http(_) => Verb::Read,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlLookup {
    /// With `$1`, `$2`, … for the parameters.
    pub statement: String,
    /// Names of arguments and options, in the order of their numbers.
    pub parameters: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLookup {
    pub url: String,
    /// The name of the secret in the settings that signs the request.
    pub secret: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub say: String,
    /// The Markdown it must answer with, over `examples/acme`.
    pub reply: Option<String>,
}

impl Command {
    /// How it is called: `owner [<entity>] [--kind …]`.
    pub fn usage(&self) -> String {
        let mut usage = self.name.clone();
        for argument in &self.arguments {
            let rest = if argument.rest { "…" } else { "" };
            match argument.presence {
                Presence::Required => usage.push_str(&format!(" <{}>{rest}", argument.name)),
                _ => usage.push_str(&format!(" [<{}>{rest}]", argument.name)),
            }
        }
        for option in &self.options {
            usage.push_str(&format!(" [--{} …]", option.word()));
        }
        usage
    }

    pub fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|argument| argument.name == name)
    }

    /// The argument or option of this name, as the command itself writes it.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let argument = self.argument(name).map(|argument| argument.name.as_str());
        argument.or_else(|| Some(self.options.iter().find(|it| it.word() == name)?.word()))
    }
}

impl Opt {
    pub const ALL: [Opt; 8] = [
        Opt::Kind,
        Opt::Team,
        Opt::Tier,
        Opt::Lifecycle,
        Opt::Type,
        Opt::Tag,
        Opt::Depth,
        Opt::Page,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Opt::Kind => "kind",
            Opt::Team => "team",
            Opt::Tier => "tier",
            Opt::Lifecycle => "lifecycle",
            Opt::Type => "type",
            Opt::Tag => "tag",
            Opt::Depth => "depth",
            Opt::Page => "page",
        }
    }
}

impl Example {
    /// Whether `markdown` is the expected reply.
    pub fn is_met_by(&self, markdown: &str) -> bool {
        let Some(reply) = &self.reply else { return true };
        let wanted: Vec<&str> = reply.trim().lines().map(str::trim_end).collect();
        let said: Vec<&str> = markdown.trim().lines().map(str::trim_end).collect();
        lines_match(&wanted, &said)
    }
}

fn lines_match(wanted: &[&str], said: &[&str]) -> bool {
    match wanted.split_first() {
        None => said.is_empty(),
        Some((&"…", rest)) => (0..=said.len()).any(|skipped| lines_match(rest, &said[skipped..])),
        Some((line, rest)) => said
            .split_first()
            .is_some_and(|(first, left)| line_matches(line, first) && lines_match(rest, left)),
    }
}

fn line_matches(wanted: &str, said: &str) -> bool {
    let mut pieces = wanted.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut left) = said.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else { return left.is_empty() };
    for piece in between {
        match left.find(piece) {
            Some(at) => left = &left[at + piece.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

/// The command that `text` says; `file` is named in problems.
///
/// # Errors
/// Every problem of the file.
pub fn read(text: &str, file: &str) -> Result<Command, Vec<Problem>> {
    if text.len() > FILE_BYTES_MAX {
        return Err(vec![too_long(file)]);
    }
    let root = fields::read(text, file).map_err(|problem| vec![*problem])?;
    let mut problems = Vec::new();
    let command = command(root, file, &mut problems);
    match command {
        Some(command) if problems.is_empty() => Ok(command),
        _ => Err(problems),
    }
}

fn too_long(file: &str) -> Problem {
    let message = format!("The file has more than {FILE_BYTES_MAX} bytes.");
    Problem::of_file(file, "size", message, "A command is shorter; write several.")
}

/// `None` only where a problem was told.
fn command(root: Node, file: &str, problems: &mut Vec<Problem>) -> Option<Command> {
    let mut keys = Fields::of(root, "A command file", file, problems)?;
    let name = name(&mut keys);
    let summary = keys.required("summary").map(|(summary, _)| summary);
    let arguments = arguments(&mut keys);
    let options = options(&mut keys);
    let names: Vec<&str> = arguments
        .iter()
        .map(|argument| argument.name.as_str())
        .chain(options.iter().map(|option| option.word()))
        .collect();
    let phrases = phrases(&mut keys, &names);
    let lookup = lookup(&mut keys, &names);
    let audience = audience(&mut keys);
    let template = match keys.required("template") {
        Some((source, at)) => compiled(&mut keys, &source, at),
        None => None,
    };
    let nothing = match keys.text("nothing") {
        Some((source, at)) => compiled(&mut keys, &source, at),
        None => None,
    };
    let examples = examples(&mut keys);
    keys.refuse_unknown();
    Some(Command {
        name: name?,
        summary: summary?,
        arguments,
        options,
        phrases,
        lookup: lookup?,
        audience,
        template: template?,
        nothing,
        examples,
    })
}

fn name(keys: &mut Fields) -> Option<String> {
    let (name, at) = keys.required("name")?;
    if !is_name(&name, '-') {
        let message = format!("`{name}` cannot be the name of a command.");
        let hint = "Use up to 32 lower-case letters, digits and `-`, a letter first.";
        keys.problem(at, "name", message, hint);
        return None;
    }
    Some(name)
}

fn is_name(name: &str, joiner: char) -> bool {
    name.len() <= NAME_CHARACTERS_MAX
        && name.starts_with(|it: char| it.is_ascii_lowercase())
        && name.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == joiner)
}

fn arguments(keys: &mut Fields) -> Vec<Argument> {
    let mut arguments: Vec<Argument> = Vec::new();
    for node in keys.items("arguments") {
        let at = node.at;
        let Some(argument) = argument(node, keys) else { continue };
        let problem = match arguments.last() {
            _ if arguments.len() == ARGUMENTS_MAX => {
                Some(format!("There are more than {ARGUMENTS_MAX} arguments."))
            }
            _ if arguments.iter().any(|it| it.name == argument.name) => {
                Some(format!("There are two arguments `{}`.", argument.name))
            }
            Some(last) if last.rest => Some(format!("`{}` takes all the rest already.", last.name)),
            Some(last)
                if last.presence != Presence::Required
                    && argument.presence == Presence::Required =>
            {
                Some(format!("Nobody could give `{}` without `{}`.", argument.name, last.name))
            }
            _ => None,
        };
        match problem {
            Some(message) => {
                keys.problem(at, "argument", message, "Change the order, or leave one out.");
            }
            None => arguments.push(argument),
        }
    }
    arguments
}

fn argument(node: Node, outer: &mut Fields) -> Option<Argument> {
    let at = node.at;
    let mut keys = Fields::of(node, "an argument", outer.file, outer.problems)?;
    let name = keys.required("name").map(|(name, _)| name);
    let kind = argument_kind(&mut keys);
    let required = keys.flag("required");
    let rest = keys.flag("rest").unwrap_or(false);
    let default = keys.text("default");
    let presence = match (default, required) {
        (Some((_, at)), Some(true)) => {
            let hint = "Remove one of the two.";
            keys.problem(at, "argument", "What has a default is not required.", hint);
            None
        }
        (Some((default, at)), _) if default == "channel" => {
            let is_name = matches!(kind, Some(ArgumentKind::Entity | ArgumentKind::Team) | None);
            if !is_name {
                let hint = "Write another default, or `type: entity`.";
                keys.problem(at, "argument", "A channel has only an entity or a team.", hint);
            }
            Some(Presence::OfChannel)
        }
        (Some((default, _)), _) => Some(Presence::Default(default)),
        (None, Some(false)) => Some(Presence::Optional),
        (None, _) => Some(Presence::Required),
    };
    keys.refuse_unknown();
    let name = name?;
    if !is_name(&name, '_') {
        let message = format!("`{name}` cannot be the name of an argument.");
        let hint = "Use up to 32 lower-case letters, digits and `_`, a letter first.";
        outer.problem(at, "name", message, hint);
        return None;
    }
    Some(Argument { name, kind: kind?, presence: presence?, rest })
}

const ARGUMENT_KINDS: [&str; 9] =
    ["entity", "team", "user", "kind", "command", "action", "text", "number", "choice"];

fn argument_kind(keys: &mut Fields) -> Option<ArgumentKind> {
    let choices = keys.texts("choices");
    let Some((word, at)) = keys.text("type") else { return Some(ArgumentKind::Text) };
    let kind = match word.as_str() {
        "entity" => ArgumentKind::Entity,
        "team" => ArgumentKind::Team,
        "user" => ArgumentKind::User,
        "kind" => ArgumentKind::Kind,
        "command" => ArgumentKind::Command,
        "action" => ArgumentKind::Action,
        "text" => ArgumentKind::Text,
        "number" => ArgumentKind::Number,
        "choice" => match choices {
            Some(choices) if !choices.is_empty() => {
                ArgumentKind::Choice(choices.into_iter().map(|(choice, _)| choice).collect())
            }
            _ => {
                keys.problem(at, "argument", "`choices` is missing.", "Add `choices: [one, two]`.");
                return None;
            }
        },
        _ => {
            keys.not_one_of(at, "type", &word, &ARGUMENT_KINDS);
            return None;
        }
    };
    Some(kind)
}

fn options(keys: &mut Fields) -> Vec<Opt> {
    let words = Opt::ALL.map(Opt::word);
    let mut options = Vec::new();
    for (word, at) in keys.texts("options").unwrap_or_default() {
        match Opt::ALL.into_iter().find(|option| option.word() == word) {
            Some(option) if !options.contains(&option) => options.push(option),
            Some(_) => {}
            None => keys.not_one_of(at, "options", &word, &words),
        }
    }
    options
}

fn phrases(keys: &mut Fields, names: &[&str]) -> Vec<Phrase> {
    let mut phrases = Vec::new();
    let sources = keys.texts("say").unwrap_or_default();
    if sources.len() > PHRASES_MAX {
        let message = format!("There are more than {PHRASES_MAX} phrases.");
        keys.problem(sources[PHRASES_MAX].1, "phrase", message, "Join some with `(a|b)`.");
    }
    for (source, at) in sources.into_iter().take(PHRASES_MAX) {
        match phrase(&source, names) {
            Ok(phrase) => phrases.push(phrase),
            Err((message, hint)) => keys.problem(at, "phrase", message, hint),
        }
    }
    phrases
}

/// A phrase matches the whole question, without regard to case.
fn phrase(source: &str, names: &[&str]) -> Result<Phrase, (String, String)> {
    if source.len() > PHRASE_BYTES_MAX {
        let message = format!("The phrase has more than {PHRASE_BYTES_MAX} bytes.");
        return Err((message, "Write several.".into()));
    }
    let pattern = RegexBuilder::new(&format!("^(?:{source})$"))
        .case_insensitive(true)
        .size_limit(PHRASE_COMPILED_BYTES_MAX)
        .dfa_size_limit(PHRASE_COMPILED_BYTES_MAX)
        .nest_limit(50)
        .build()
        .map_err(|error| {
            let why = match &error {
                regex::Error::CompiledTooBig(_) => "it grows too large".to_string(),
                other => last_line(&other.to_string()),
            };
            let hint = "It is a regular expression of the crate `regex`: no look-around, no back-references.";
            (format!("This phrase cannot be used: {why}."), hint.to_string())
        })?;
    if let Some(unknown) = pattern.capture_names().flatten().find(|name| !names.contains(name)) {
        let hint = match names {
            [] => "Add it to `arguments`.".to_string(),
            _ => format!("There are {}.", names.join(", ")),
        };
        return Err((format!("No argument or option is named `{unknown}`."), hint));
    }
    Ok(Phrase { pattern })
}

/// The reason in an error of `regex`, which draws the pattern above it.
fn last_line(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default();
    last.trim_start_matches("error:").trim().trim_end_matches('.').to_string()
}

fn lookup(keys: &mut Fields, names: &[&str]) -> Option<Lookup> {
    let Some(node) = keys.take("lookup") else {
        let hint = "Name a built-in lookup, or give `sql:` or `http:`.";
        keys.problem(keys.at, "required-field", "`lookup` is missing.", hint);
        return None;
    };
    if !node.is_mapping() {
        let (word, at) = keys.as_text(node, "lookup").map(|word| (word.0, word.1))?;
        let Some(found) = BuiltIn::ALL.iter().copied().find(|lookup| lookup.word() == word) else {
            let words: Vec<&str> = BuiltIn::ALL.iter().map(|lookup| lookup.word()).collect();
            keys.not_one_of(at, "lookup", &word, &words);
            return None;
        };
        for name in found.needs() {
            if !names.contains(name) {
                let message = format!("The lookup `{word}` needs an argument `{name}`.");
                keys.problem(at, "argument", message, format!("Add it: `- name: {name}`."));
            }
        }
        return Some(Lookup::BuiltIn(found));
    }
    let at = node.at;
    let mut inner = Fields::of(node, "lookup", keys.file, keys.problems)?;
    let sql = inner.text("sql");
    let http = inner.take("http");
    let lookup = match (sql, http) {
        (Some((statement, at)), None) => match numbered(&statement, names) {
            Ok(lookup) => Some(Lookup::Sql(lookup)),
            Err((message, hint)) => {
                inner.problem(at, "sql", message, hint);
                None
            }
        },
        (None, Some(node)) => http_lookup(node, &mut inner).map(Lookup::Http),
        _ => {
            inner.problem(
                at,
                "lookup",
                "A lookup is either `sql:` or `http:`.",
                "Keep one of them.",
            );
            None
        }
    };
    inner.refuse_unknown();
    lookup
}

fn http_lookup(node: Node, outer: &mut Fields) -> Option<HttpLookup> {
    let mut keys = Fields::of(node, "http", outer.file, outer.problems)?;
    let url = keys.required("url");
    let secret = keys.required("secret").map(|(secret, _)| secret);
    let url = url.and_then(|(url, at)| match url::Url::parse(&url) {
        Ok(parsed)
            if matches!(parsed.scheme(), "http" | "https") && parsed.username().is_empty() =>
        {
            Some(url)
        }
        _ => {
            let hint = "Write `https://host/path`, without user name and password.";
            keys.problem(at, "url", format!("`{url}` is not an address that can be asked."), hint);
            None
        }
    });
    keys.refuse_unknown();
    Some(HttpLookup { url: url?, secret: secret? })
}

/// `statement` with each `:name` replaced by the number of its parameter.
///
/// What stands in quotes or comments, and casts (`::date`), are left alone.
fn numbered(statement: &str, names: &[&str]) -> Result<SqlLookup, (String, String)> {
    let mut out = String::with_capacity(statement.len());
    let mut parameters: Vec<String> = Vec::new();
    let mut rest = statement.trim().trim_end_matches(';');
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '\'' | '"' => 1 + rest[1..].find(first).map_or(rest.len() - 1, |end| end + 1),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '$' => dollar_quoted(rest),
            ':' if rest.starts_with("::") => 2,
            ':' => {
                let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_';
                let name: &str = rest[1..].split(|it| !is_part(it)).next().unwrap_or_default();
                if name.starts_with(|it: char| it.is_ascii_alphabetic()) {
                    let Some(known) = names.iter().find(|it| **it == name) else {
                        let hint = "Add it to `arguments` or `options`.";
                        return Err((format!("There is no argument `{name}`."), hint.into()));
                    };
                    let place = parameters.iter().position(|it| it == known).unwrap_or_else(|| {
                        parameters.push(known.to_string());
                        parameters.len() - 1
                    });
                    out.push_str(&format!("${}", place + 1));
                    rest = &rest[1 + name.len()..];
                    continue;
                }
                1
            }
            ';' => {
                let hint = "Keep one statement.";
                return Err(("A lookup is one statement.".into(), hint.into()));
            }
            other => other.len_utf8(),
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    Ok(SqlLookup { statement: out, parameters })
}

/// How many bytes the text `$tag$…$tag$` at the start of `rest` has; 1 where there is none.
fn dollar_quoted(rest: &str) -> usize {
    let Some(end) = rest[1..].find('$').map(|end| end + 2) else { return 1 };
    let tag = &rest[..end];
    if !tag[1..end - 1].chars().all(|it| it.is_alphanumeric() || it == '_') {
        return 1;
    }
    rest[end..].find(tag).map_or(rest.len(), |close| end + close + tag.len())
}

fn audience(keys: &mut Fields) -> Audience {
    let Some((word, at)) = keys.text("audience") else { return Audience::default() };
    match word.as_str() {
        "asker" => Audience::Asker,
        "channel" => Audience::Channel,
        _ => {
            keys.not_one_of(at, "audience", &word, &["asker", "channel"]);
            Audience::default()
        }
    }
}

fn examples(keys: &mut Fields) -> Vec<Example> {
    let mut examples = Vec::new();
    for node in keys.items("examples") {
        let Some(mut inner) = Fields::of(node, "an example", keys.file, keys.problems) else {
            continue;
        };
        let say = inner.required("say").map(|(say, _)| say);
        let reply = inner.text("reply").map(|(reply, _)| reply);
        inner.refuse_unknown();
        examples.extend(say.map(|say| Example { say, reply }));
    }
    examples
}

/// The template `source`, which stands at `at`.
fn compiled(keys: &mut Fields, source: &str, at: Position) -> Option<Template> {
    match Template::compile(source) {
        Ok(template) => Some(template),
        Err(broken) => {
            keys.problem(within(at, &broken), "template", broken.message, broken.hint);
            None
        }
    }
}

/// Where in the file a place of a template is; a block stands at its first character.
fn within(at: Position, broken: &template::Broken) -> Position {
    Position { line: at.line + broken.line - 1, column: at.column + broken.column - 1 }
}
