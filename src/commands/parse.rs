//! From the words someone typed to a call of a known command.
//!
//! A command's name comes first and wins. Words that do not fit it, or that begin with no command's name, are a question in
//! natural language: the first phrase that matches all of it answers. A name of the catalog alone is shown.

use std::sync::LazyLock;

use regex::Regex;

use super::CommandSet;
use super::file::{Argument, ArgumentKind, Command, Opt, Presence};
use super::resolve::{looks_alike, unread};
use crate::catalog::Snapshot;
use crate::catalog::snapshot::Resolution;
use crate::error::Refusal;

/// The most characters of one question.
const CHARACTERS_MAX: usize = 10_000;
/// The most characters of a question that is repeated in an answer.
const QUOTED_CHARACTERS_MAX: usize = 80;
/// The most steps, and the last page, that can be asked for.
const NUMBER_MAX: u32 = 10_000;
/// Below it, a word is no misspelt command.
const LIKENESS_MIN: f64 = 0.8;
/// Shorter words are like too many others: `is` is no `list`.
const LIKE_CHARACTERS_MIN: usize = 4;
/// The most words of a name typed alone: more are a question.
const NAME_WORDS_MAX: usize = 3;
/// What shows a name typed alone.
const SHOW: &str = "show";

/// A command with what it was given.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    pub command: &'a Command,
    /// Names of arguments and options with their values, in the command's order; only those that were given.
    given: Vec<(&'a str, String)>,
}

impl<'a> Call<'a> {
    /// `command`, given nothing.
    pub fn empty(command: &'a Command) -> Call<'a> {
        Call { command, given: Vec::new() }
    }

    /// The value of the argument or option `name`, or the argument's default.
    pub fn get(&self, name: &str) -> Option<&str> {
        let given = self.given.iter().find(|(given, _)| *given == name);
        given.map(|(_, value)| value.as_str()).or_else(|| self.default_of(name))
    }

    fn default_of(&self, name: &str) -> Option<&str> {
        match &self.command.argument(name)?.presence {
            Presence::Default(value) => Some(value),
            _ => None,
        }
    }

    /// The number of the option `name`; it was checked when it was read.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }

    /// The same call with `value` for `name`.
    pub fn with(&self, name: &'a str, value: &str) -> Call<'a> {
        let mut call = self.clone();
        match call.given.iter_mut().find(|(given, _)| *given == name) {
            Some((_, old)) => *old = value.to_string(),
            None => call.given.push((name, value.to_string())),
        }
        call
    }

    /// The same call without a value for `name`.
    pub fn without(&self, name: &str) -> Call<'a> {
        let mut call = self.clone();
        call.given.retain(|(given, _)| *given != name);
        call
    }

    /// All that has a value, in the command's order.
    pub fn arguments(&self) -> impl Iterator<Item = (&'a str, &str)> {
        let names = self.command.arguments.iter().map(|argument| argument.name.as_str());
        let names = names.chain(self.command.options.iter().map(|option| option.word()));
        names.filter_map(|name| Some((name, self.get(name)?)))
    }

    /// The words that make this call: `dependents payment-api --kind Component --page 2`.
    pub fn words(&self) -> String {
        let mut words = self.command.name.clone();
        for argument in &self.command.arguments {
            let Some(value) = self.get(&argument.name) else { break };
            words.push(' ');
            match argument.rest && is_taken_whole(value) {
                true => words.push_str(value),
                false => words.push_str(&quoted(value)),
            }
        }
        for option in &self.command.options {
            if let Some(value) = self.get(option.word()) {
                words.push_str(&format!(" --{} {}", option.word(), quoted(value)));
            }
        }
        words
    }
}

/// Whether `value` is read as it is written where it is all that is left of a call.
fn is_taken_whole(value: &str) -> bool {
    !value.contains(['"', '\'', '`'])
        && !value.split_whitespace().any(|word| word.starts_with("--"))
}

/// `value` as one word of a call.
pub fn quoted(value: &str) -> String {
    let is_plain = |it: char| !it.is_whitespace() && !matches!(it, '"' | '\'' | '`' | '\\');
    if !value.is_empty() && value.chars().all(is_plain) && !value.starts_with("--") {
        return value.to_string();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Understands `text`, the words after `/idp` or after the bot's name.
///
/// # Errors
/// A refusal that names what was not understood and, where there is one, the closest that would be.
pub fn parse<'a>(
    commands: &'a CommandSet,
    snapshot: &Snapshot,
    text: &str,
) -> Result<Call<'a>, Refusal> {
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        return Err(Refusal::InvalidArgument {
            argument: "question".into(),
            value: shortened(text),
            expected: format!("ask in at most {CHARACTERS_MAX} characters"),
        });
    }
    let text = clean(text);
    let words = split(&text);
    let Some(first) = words.first() else {
        return commands
            .find("help")
            .map(Call::empty)
            .ok_or_else(|| not_understood(&text, Vec::new()));
    };
    let named = (!first.is_quoted).then(|| commands.find(&first.text.to_lowercase())).flatten();
    let fit = match named {
        Some(command) => fill(command, &words[1..], Fit::Exact),
        None => Err(unknown(commands, snapshot, &text, &words)),
    };
    if fit.is_ok() {
        return fit;
    }
    if let Some(asked) = by_phrase(commands, &text) {
        return asked;
    }
    match named {
        // `owner Payment API` is a title of two words.
        Some(command) => fill(command, &words[1..], Fit::Joined).or(fit),
        None => alone(commands, snapshot, &words).map_or(fit, Ok),
    }
}

/// The question without what stands around it: the bot's mention, odd quotes, the question mark.
fn clean(text: &str) -> String {
    static MENTIONS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(?:\s*(?:<@[^>]*>|@idp\b|/idp\b)[,:]?)+").expect("the pattern is right")
    });
    let folded: String = text
        .chars()
        .map(|it| match it {
            '“' | '”' | '„' | '«' | '»' => '"',
            '‘' | '’' | '‚' => '\'',
            it if it.is_control() => ' ',
            it => it,
        })
        .collect();
    let rest = MENTIONS.replace(&folded, "");
    let trimmed = rest.trim_end_matches(|it: char| it.is_whitespace() || "?!.,;？！".contains(it));
    // Keyboards write `--` as one dash.
    let words = trimmed.split_whitespace().map(|word| match word.strip_prefix(['—', '–']) {
        Some(option) if option.starts_with(|it: char| it.is_ascii_alphabetic()) => {
            format!("--{option}")
        }
        _ => word.to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

struct Word {
    text: String,
    /// A quoted `--kind` is a value.
    is_quoted: bool,
}

/// The words of `text`. Quotes (`"`, `'`, `` ` ``) hold several together; one that is never closed is a character.
fn split(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some((word, length)) = quoted_word(rest, first) {
            words.push(Word { text: word, is_quoted: true });
            rest = rest[length..].trim_start();
            continue;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        words.push(Word { text: rest[..end].to_string(), is_quoted: false });
        rest = rest[end..].trim_start();
    }
    words
}

/// The quoted word at the start of `rest`, and how many bytes it takes with its quotes.
fn quoted_word(rest: &str, quote: char) -> Option<(String, usize)> {
    if !matches!(quote, '"' | '\'' | '`') {
        return None;
    }
    let mut word = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote == '"' => word.extend(characters.next().map(|(_, next)| next)),
            it if it == quote => {
                let length = at + quote.len_utf8();
                let is_end = rest[length..].chars().next().is_none_or(char::is_whitespace);
                return is_end.then_some((word, length));
            }
            it => word.push(it),
        }
    }
    None
}

/// The call that `text` begins: what it leaves out is still to be given.
///
/// # Errors
/// A refusal of words that begin with no command, or that none would take.
pub fn begun<'a>(commands: &'a CommandSet, text: &str) -> Result<Call<'a>, Refusal> {
    let text = clean(text);
    let words = split(&text);
    let named = words.first().and_then(|first| commands.find(&first.text.to_lowercase()));
    let command = named.ok_or_else(|| not_understood(&text, Vec::new()))?;
    fill(command, &words[1..], Fit::Begun)
}

/// The command whose name `text` begins with, whatever follows it.
pub fn named<'a>(commands: &'a CommandSet, text: &str) -> Option<&'a Command> {
    let text = clean(text);
    let words = split(&text);
    commands.find(&words.first()?.text.to_lowercase())
}

/// What becomes of more words than a command takes, and of fewer.
#[derive(Clone, Copy, PartialEq)]
enum Fit {
    /// They are refused.
    Exact,
    /// More are one name of several words, where the command takes one.
    Joined,
    /// Fewer are a beginning.
    Begun,
}

fn fill<'a>(command: &'a Command, words: &[Word], fit: Fit) -> Result<Call<'a>, Refusal> {
    let mut positional: Vec<&str> = Vec::new();
    let mut call = Call::empty(command);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let option =
            word.text.strip_prefix("--").filter(|name| !name.is_empty() && !word.is_quoted);
        let Some(option) = option else {
            positional.push(&word.text);
            continue;
        };
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, words.next().map(|word| word.text.as_str())),
        };
        let known = command.options.iter().find(|it| it.word() == name.to_lowercase());
        let Some(known) = known else {
            let extra = format!("--{name}");
            return Err(Refusal::UnexpectedArgument { usage: command.usage(), extra });
        };
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Err(missing(&call, format!("--{name} …")));
        };
        check_option(*known, value)?;
        call = call.with(known.word(), value);
    }
    let joined = match (&command.arguments[..], fit) {
        ([only], Fit::Joined) if only.is_name() => positional.join(" "),
        _ => String::new(),
    };
    if !joined.is_empty() {
        positional = vec![&joined];
    }
    place(call, &positional, fit)
}

/// Gives each argument its word.
fn place<'a>(mut call: Call<'a>, positional: &[&str], fit: Fit) -> Result<Call<'a>, Refusal> {
    let command = call.command;
    let mut left = positional;
    for argument in &command.arguments {
        let value = match left.split_first() {
            Some(_) if argument.rest => {
                let all = left.join(" ");
                left = &[];
                all
            }
            Some((first, others)) => {
                left = others;
                first.to_string()
            }
            None if argument.presence == Presence::Required && fit != Fit::Begun => {
                return Err(missing(&call, argument.name.clone()));
            }
            None => break,
        };
        check_argument(argument, &value)?;
        call = call.with(&argument.name, &value);
    }
    match left.first() {
        Some(extra) => {
            Err(Refusal::UnexpectedArgument { usage: command.usage(), extra: shortened(extra) })
        }
        None => Ok(call),
    }
}

/// A refusal of `call`, which lacks `missing`; what it has can be taken over into a form.
pub(super) fn missing(call: &Call<'_>, missing: String) -> Refusal {
    Refusal::MissingArgument { usage: call.command.usage(), missing, given: call.words() }
}

impl Argument {
    pub(super) fn is_name(&self) -> bool {
        matches!(self.kind, ArgumentKind::Entity | ArgumentKind::Team | ArgumentKind::User)
    }
}

fn check_argument(argument: &Argument, value: &str) -> Result<(), Refusal> {
    let expected = match &argument.kind {
        ArgumentKind::Number if value.parse::<i64>().is_err() => "it takes a number".to_string(),
        ArgumentKind::Choice(choices) if !choices.iter().any(|it| it == value) => {
            format!("it takes one of {}", choices.join(", "))
        }
        _ => return Ok(()),
    };
    Err(Refusal::InvalidArgument {
        argument: argument.name.clone(),
        value: shortened(value),
        expected,
    })
}

fn check_option(option: Opt, value: &str) -> Result<(), Refusal> {
    let is_number = matches!(option, Opt::Depth | Opt::Page);
    if is_number && !value.parse::<u32>().is_ok_and(|it| (1..=NUMBER_MAX).contains(&it)) {
        return Err(Refusal::InvalidArgument {
            argument: option.word().to_string(),
            value: shortened(value),
            expected: format!("it takes a number from 1 to {NUMBER_MAX}"),
        });
    }
    Ok(())
}

/// The call of the first phrase that matches all of `text`.
fn by_phrase<'a>(commands: &'a CommandSet, text: &str) -> Option<Result<Call<'a>, Refusal>> {
    static POLITE: LazyLock<Regex> = LazyLock::new(|| {
        let opening = "hi|hey|hello|please|pls|do you know|i want to know|i would like to know|\
                       (?:can|could|would|will) you(?: please)?(?: tell me)?|tell me|show me";
        Regex::new(&format!("(?i)^(?:(?:{opening}|idp)[,!:]? +)+")).expect("the pattern is right")
    });
    let polite = POLITE.replace(text, "");
    let plain = polite.trim_end_matches(" please").trim_end_matches(',');
    commands.iter().find_map(|command| {
        let groups = command.phrases.iter().find_map(|phrase| {
            let matched = phrase.pattern.captures(plain)?;
            Some((phrase, matched))
        });
        let (phrase, matched) = groups?;
        let mut call = Call::empty(command);
        for name in phrase.pattern.capture_names().flatten() {
            let Some(value) = matched.name(name) else { continue };
            let (Some(name), value) = (command.parameter(name), bare(value.as_str())) else {
                continue;
            };
            let checked = match command.argument(name) {
                Some(argument) => check_argument(argument, value),
                None => Opt::ALL
                    .iter()
                    .find(|it| it.word() == name)
                    .map_or(Ok(()), |it| check_option(*it, value)),
            };
            if let Err(refusal) = checked {
                return Some(Err(refusal));
            }
            call = call.with(name, value);
        }
        let missing = command.arguments.iter().find(|argument| {
            argument.presence == Presence::Required && call.get(&argument.name).is_none()
        });
        missing.is_none().then_some(Ok(call))
    })
}

/// A value as a phrase caught it, without quotes and articles.
fn bare(value: &str) -> &str {
    let value = value.trim();
    let lower = value.get(..4).unwrap_or_default().to_ascii_lowercase();
    let value = if lower == "the " { &value[4..] } else { value };
    value.trim_matches(|it: char| it.is_whitespace() || matches!(it, '"' | '\'' | '`'))
}

/// A name of the catalog that was typed alone is shown.
fn alone<'a>(commands: &'a CommandSet, snapshot: &Snapshot, words: &[Word]) -> Option<Call<'a>> {
    if words.len() > NAME_WORDS_MAX || words.iter().any(|word| word.text.starts_with("--")) {
        return None;
    }
    let name = joined(words);
    match snapshot.resolve(&name, &[]) {
        Resolution::Unknown(_) => None,
        Resolution::One(_) | Resolution::Several(_) => {
            place(Call::empty(commands.find(SHOW)?), &[&name], Fit::Exact).ok()
        }
    }
}

fn joined(words: &[Word]) -> String {
    let words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    words.join(" ")
}

/// What to say to words that no command, phrase or name fits.
fn unknown(commands: &CommandSet, snapshot: &Snapshot, text: &str, words: &[Word]) -> Refusal {
    let typed = words[0].text.to_lowercase();
    let mut close: Vec<(f64, &str)> = commands
        .iter()
        .map(|command| (strsim::jaro_winkler(&typed, &command.name), command.name.as_str()))
        .filter(|(likeness, name)| {
            *likeness >= LIKENESS_MIN && typed.len().min(name.len()) >= LIKE_CHARACTERS_MIN
        })
        .collect();
    close.sort_by(|a, b| b.0.total_cmp(&a.0));
    if !close.is_empty() && words.len() <= NAME_WORDS_MAX {
        let rest = joined(&words[1..]);
        let whole = |name: &str| format!("{name} {rest}").trim_end().to_string();
        return Refusal::UnknownCommand {
            name: shortened(&words[0].text),
            closest: close.iter().take(3).map(|(_, name)| whole(name)).collect(),
        };
    }
    let name = joined(words);
    if let Some(why) = snapshot.why_unread().filter(|_| words.len() <= NAME_WORDS_MAX) {
        return unread(why);
    }
    if let (1, Some(alike)) = (words.len(), snapshot.confusable_with(&name)) {
        return looks_alike("entity", &name, alike);
    }
    if words.len() <= NAME_WORDS_MAX
        && let Resolution::Unknown(closest) = snapshot.resolve(&name, &[])
        && !closest.is_empty()
        && commands.find(SHOW).is_some()
    {
        let names: Vec<String> = closest.iter().take(3).map(|it| it.name.to_string()).collect();
        let instead = closest.iter().take(3).map(|it| format!("{SHOW} {}", it.reference)).collect();
        let what = "command or entity".to_string();
        return Refusal::UnknownEntity { what, name: shortened(text), closest: names, instead };
    }
    // A name within a question is at least what it was about.
    let about = words.iter().find_map(|word| match snapshot.resolve(&word.text, &[]) {
        Resolution::One(entity) => Some(entity.name.to_string()),
        _ => None,
    });
    let closest = about.map(|name| vec![format!("{SHOW} {}", quoted(&name))]).unwrap_or_default();
    not_understood(text, closest)
}

fn not_understood(text: &str, closest: Vec<String>) -> Refusal {
    Refusal::NotUnderstood { text: shortened(text), closest }
}

/// `text` as a refusal repeats it.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
