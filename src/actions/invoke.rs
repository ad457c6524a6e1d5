//! The `invoke:` of an action: what it starts, and where.
//!
//! ```yaml
//! invoke:
//!   webhook: https://ops.acme.example/restart   # POST, JSON, signed
//!   secret: ops                                 # of `secrets:` in idp.yaml
//!   blind: true                                 # the receiver knows no keys: never sent twice
//!   body: {service: "{{target.name}}", replicas: "{{inputs.replicas}}"}   # without it: everything of the order
//! invoke:
//!   github: acme/payments                       # or "{{target.annotations.github.com/project-slug}}"
//!   within: [acme/*]                            # the repositories that are meant
//!   workflow: restart.yml
//!   ref: main                                   # the commit it points at when it is asked for is what runs
//!   inputs: {service: "{{target.name}}"}
//!   redeem: true                                # its first step redeems a token: of several runs one works
//! invoke:
//!   gitlab: acme/payments
//!   ref: main
//!   variables: {SERVICE: "{{target.name}}"}
//!   redeem: true
//! invoke:
//!   argocd: payments-prod
//!   operation: rollback                         # or sync
//!   revision: "{{inputs.revision}}"
//!   prune: true
//! invoke:
//!   github_environment: production              # or `prod-*`: GitHub asks before a run goes on into it
//!   within: [acme/*]                            # the repositories that are meant
//! ```
//!
//! Where something is started may depend on the target and on inputs that are one of a list, and on nothing that whoever
//! asks can type: idp's rights there are not theirs.

use crate::catalog::Severity;
use crate::catalog::formats::fields::{self, Fields};
use crate::catalog::formats::yaml::{Content, Entry, Node, Position};
use crate::integrations::github::protection;
use crate::integrations::invocation::Receiver;
use crate::integrations::invocation::template::{self, Form, Place, Text};
use crate::integrations::webhook::Webhook;
use crate::integrations::{argocd, github, gitlab, is_git_ref};

const RECEIVERS: [&str; 5] = ["webhook", "github", "gitlab", "argocd", "github_environment"];

/// What places may name.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Name and kind.
    pub inputs: &'a [(&'a str, Kind)],
    /// Whether the action has a target.
    pub target: bool,
    /// The steps before this one.
    pub steps: &'a [&'a str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whoever asks may type it.
    Typed,
    /// One of a list that the action has.
    OneOf,
    Secret,
}

/// What a text is for.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    /// Where something is started.
    Where,
    /// What it is told, where others read it.
    Told,
    /// What it is told, where nobody but the receiver reads it.
    Entrusted,
}

/// The receiver under `invoke`; `None`, and problems, when it is not one.
pub fn read(keys: &mut Fields, known: &Known) -> Option<Receiver> {
    let Some(node) = keys.take("invoke") else {
        let hint = "Add `invoke:`, with one of `webhook`, `github`, `gitlab`, `argocd`, `github_environment`.";
        keys.problem(keys.at, "required-field", "`invoke` is missing.", hint);
        return None;
    };
    let mut keys = Fields::of(node, "invoke", keys.file, keys.problems)?;
    let before = keys.problems.len();
    let [webhook, github, gitlab, argocd, environment] =
        RECEIVERS.map(|receiver| keys.text(receiver));
    let receiver = match (webhook, github, gitlab, argocd, environment) {
        (Some(url), None, None, None, None) => {
            self::webhook(url, &mut keys, known).map(Receiver::Webhook)
        }
        (None, Some(at), None, None, None) => workflow(at, &mut keys, known).map(Receiver::GitHub),
        (None, None, Some(at), None, None) => pipeline(at, &mut keys, known).map(Receiver::GitLab),
        (None, None, None, Some(at), None) => operation(at, &mut keys, known).map(Receiver::ArgoCd),
        (None, None, None, None, Some(at)) => gate(at, &mut keys, known).map(Receiver::Gate),
        _ => {
            if keys.problems.len() == before {
                let message = "`invoke` has exactly one of `webhook`, `github`, `gitlab`, `argocd`, `github_environment`.";
                let hint =
                    "Write `webhook: https://…`, for example; a second thing is a step of its own.";
                keys.problem(keys.at, "invoke", message, hint);
            }
            // Which other keys belong here depends on the one that is missing.
            return None;
        }
    };
    keys.refuse_unknown();
    receiver
}

fn webhook(url: (String, Position), keys: &mut Fields, known: &Known) -> Option<Webhook> {
    let url = address(url, keys, known);
    let secret = keys.required("secret").map(|(secret, _)| secret);
    let blind = keys.flag("blind").unwrap_or_default();
    let body = match keys.take("body") {
        Some(node) if node.is_mapping() => Some(form(node, keys, known)?),
        Some(node) => {
            let wrong = fields::wrong_type(keys.file, "body", "a mapping of keys", &node);
            keys.problems.push(wrong);
            return None;
        }
        None => None,
    };
    Some(Webhook { url: url?, secret: secret?, body, blind })
}

/// An address whose host is written out: the signature is for one receiver.
fn address((url, at): (String, Position), keys: &mut Fields, known: &Known) -> Option<Text> {
    let text = text((&url, at), keys, known, Use::Told)?;
    let is_fixed = text.as_literal().is_some()
        || text.head().split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if !is_fixed {
        let message = "The host of a webhook may not be computed: whoever chose it would be sent what is signed for another.";
        keys.problem(
            at,
            "url",
            message,
            "Write it out, and use places after the `/` that follows it.",
        );
        return None;
    }
    let example: String = match text.as_literal() {
        Some(url) => url.to_string(),
        None => format!("{}x", text.head()),
    };
    match url::Url::parse(&example) {
        Ok(parsed)
            if matches!(parsed.scheme(), "http" | "https")
                && parsed.has_host()
                && parsed.username().is_empty()
                && parsed.password().is_none()
                && !url.contains('#') =>
        {
            Some(text)
        }
        _ => {
            // What stands there may have a password in it.
            let message = "`webhook` is not an address that can be sent to.";
            let hint = "Write `https://host/path`, without user name, password and `#`.";
            keys.problem(at, "url", message, hint);
            None
        }
    }
}

fn workflow(
    repository: (String, Position),
    keys: &mut Fields,
    known: &Known,
) -> Option<github::Workflow> {
    let within = within(keys);
    let repository =
        place(repository, keys, known, ("a repository", "acme/payments"), github::is_repository);
    warn_of_computed(&repository, &within, keys, "repository");
    let workflow = keys.required("workflow");
    let workflow = workflow.and_then(|it| {
        place(it, keys, known, ("the file of a workflow", "restart.yml"), github::is_workflow)
    });
    let reference = reference(keys, known);
    let is_input = |name: &str| {
        let is_good = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
        !name.is_empty() && !name.starts_with('-') && name.chars().all(is_good)
    };
    let ours = (&github::OUR_INPUTS[..], github::INPUTS_MAX);
    let inputs = named_texts("inputs", keys, known, ours, is_input);
    let redeem = keys.flag("redeem").unwrap_or_default();
    Some(github::Workflow {
        repository: repository?.0,
        within: within.unwrap_or_default(),
        workflow: workflow?.0,
        reference: reference?,
        inputs: inputs?,
        redeem,
    })
}

fn pipeline(
    project: (String, Position),
    keys: &mut Fields,
    known: &Known,
) -> Option<gitlab::Pipeline> {
    let within = within(keys);
    let project = place(project, keys, known, ("a project", "acme/payments"), gitlab::is_project);
    warn_of_computed(&project, &within, keys, "project");
    let reference = reference(keys, known);
    let ours = (&gitlab::OUR_VARIABLES[..], gitlab::VARIABLES_MAX);
    let variables = named_texts("variables", keys, known, ours, gitlab::is_variable);
    let redeem = keys.flag("redeem").unwrap_or_default();
    Some(gitlab::Pipeline {
        project: project?.0,
        within: within.unwrap_or_default(),
        reference: reference?,
        variables: variables?,
        redeem,
    })
}

fn operation(
    application: (String, Position),
    keys: &mut Fields,
    known: &Known,
) -> Option<argocd::Operation> {
    let within = within(keys);
    let example = ("an application", "payments-prod");
    let application = place(application, keys, known, example, argocd::is_application);
    warn_of_computed(&application, &within, keys, "application");
    let kind = keys.required("operation").and_then(|(word, at)| {
        let kind = argocd::Kind::ALL.into_iter().find(|it| it.word() == word);
        if kind.is_none() {
            keys.not_one_of(at, "operation", &word, &argocd::Kind::ALL.map(argocd::Kind::word));
        }
        kind
    });
    let before = keys.problems.len();
    let revision = keys.text("revision");
    let revision = revision.and_then(|(it, at)| text((&it, at), keys, known, Use::Told));
    let is_good = keys.problems.len() == before;
    let prune = keys.flag("prune").unwrap_or_default();
    is_good.then_some(())?;
    Some(argocd::Operation {
        application: application?.0,
        within: within.unwrap_or_default(),
        kind: kind?,
        revision,
        prune,
    })
}

fn gate(
    (environment, at): (String, Position),
    keys: &mut Fields,
    known: &Known,
) -> Option<protection::Gate> {
    let within = within(keys).unwrap_or_default();
    if !known.target || !known.inputs.is_empty() {
        let message = "What GitHub asks for is of a target, and has no inputs.";
        let hint = "Add `target:`, and leave `inputs` out: GitHub fills nothing in.";
        keys.problem(at, "github_environment", message, hint);
        return None;
    }
    match glob::Pattern::new(&environment) {
        Ok(environment) => Some(protection::Gate { environment, within }),
        Err(error) => {
            let message = format!("`{environment}` is not a pattern: {}.", error.msg);
            keys.problem(at, "name", message, "Write `production`, or `prod-*`.");
            None
        }
    }
}

fn reference(keys: &mut Fields, known: &Known) -> Option<Text> {
    let (reference, at) = keys.required("ref")?;
    let text = text((&reference, at), keys, known, Use::Told)?;
    if text.as_literal().is_some_and(|it| !is_git_ref(it)) {
        let message = format!("`{reference}` is not the name of a branch or tag.");
        keys.problem(at, "ref", message, "Write it plainly, such as `main`.");
        return None;
    }
    Some(text)
}

/// Where something is started, and where that stands.
fn place(
    (name, at): (String, Position),
    keys: &mut Fields,
    known: &Known,
    (what, example): (&str, &str),
    is_good: fn(&str) -> bool,
) -> Option<(Text, Position)> {
    let text = text((&name, at), keys, known, Use::Where)?;
    if text.as_literal().is_some_and(|it| !is_good(it)) {
        let message = format!("`{name}` is not the name of {what}.");
        keys.problem(at, "name", message, format!("Write it as `{example}`."));
        return None;
    }
    Some((text, at))
}

/// The patterns of what is meant; `None`: nothing is said.
fn within(keys: &mut Fields) -> Option<Vec<glob::Pattern>> {
    let mut patterns = Vec::new();
    for (pattern, at) in keys.texts("within")? {
        match glob::Pattern::new(&pattern) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let message = format!("`{pattern}` is not a pattern: {}.", error.msg);
                keys.problem(at, "within", message, "Write `acme/*`, for example.");
            }
        }
    }
    if patterns.is_empty() && keys.problems.is_empty() {
        keys.problem(keys.at, "within", "`within` allows nothing.", "Write `acme/*`, for example.");
    }
    Some(patterns)
}

/// A descriptor's author would choose where idp uses its rights.
fn warn_of_computed(
    place: &Option<(Text, Position)>,
    within: &Option<Vec<glob::Pattern>>,
    keys: &mut Fields,
    what: &str,
) {
    let Some((text, at)) = place else { return };
    let is_chosen_by_descriptor = text.head().is_empty()
        && text.places().any(|it| matches!(it, Place::Target(path) if path.contains('.')));
    if is_chosen_by_descriptor && within.is_none() {
        let message = format!("Whoever writes the target's descriptor chooses the {what}.");
        let hint = "Say which are meant: `within: [acme/*]`.";
        let problem = fields::problem(keys.file, *at, "within", message, hint);
        keys.problems.push(crate::catalog::Problem { severity: Severity::Warning, ..problem });
    }
}

/// The texts under `key`, by names that the receiver knows.
fn named_texts(
    key: &'static str,
    keys: &mut Fields,
    known: &Known,
    (ours, most): (&[&str], usize),
    is_name: impl Fn(&str) -> bool,
) -> Option<Vec<(String, Text)>> {
    let mut texts = Vec::new();
    let mut is_good = true;
    for Entry { key: name, key_at, value } in keys.named(key) {
        let at = value.at;
        if ours.iter().any(|it| it.eq_ignore_ascii_case(&name)) {
            let message = format!("`{name}` is filled in by idp.");
            keys.problem(key_at, "name", message, "Leave it out.");
            is_good = false;
            continue;
        }
        if !is_name(&name) {
            let message = format!("`{}` cannot be one of the `{key}`.", shortened(&name));
            keys.problem(key_at, "name", message, "Use letters, digits and `_`, a letter first.");
            is_good = false;
            continue;
        }
        let text = match value.content {
            Content::Text(text) => self::text((&text, at), keys, known, Use::Told),
            Content::Bool(_) | Content::Number(_) => {
                Some(Text::literal(&template::written(&value.into_json()).unwrap_or_default()))
            }
            _ => {
                keys.problems.push(fields::wrong_type(keys.file, &name, "text", &value));
                None
            }
        };
        match text {
            Some(text) => texts.push((name, text)),
            None => is_good = false,
        }
    }
    if texts.len() > most {
        let message = format!("There are more than {most} `{key}`.");
        keys.problem(keys.at, "too-many", message, "Put several values into one.");
        is_good = false;
    }
    is_good.then_some(texts)
}

/// A value of JSON with texts in it; `None` when one of them is none.
fn form(node: Node, keys: &mut Fields, known: &Known) -> Option<Form> {
    let at = node.at;
    match node.content {
        Content::Text(text) => {
            let text = self::text((&text, at), keys, known, Use::Entrusted)?;
            Some(match text.as_literal() {
                Some(literal) => Form::Plain(literal.into()),
                None => Form::Text(text),
            })
        }
        Content::List(items) => {
            let items: Vec<Option<Form>> =
                items.into_iter().map(|item| form(item, keys, known)).collect();
            items.into_iter().collect::<Option<Vec<Form>>>().map(Form::List)
        }
        Content::Mapping(entries) => {
            let entries: Vec<Option<(String, Form)>> = entries
                .into_iter()
                .map(|entry| form(entry.value, keys, known).map(|it| (entry.key, it)))
                .collect();
            entries.into_iter().collect::<Option<Vec<_>>>().map(Form::Map)
        }
        plain => Some(Form::Plain(Node { content: plain, at }.into_json())),
    }
}

/// `text` with its places, for people to read: no secret is named.
pub fn told(text: (&str, Position), keys: &mut Fields, known: &Known) -> Option<Text> {
    self::text(text, keys, known, Use::Told)
}

/// `text` with its places, each of which names something that may be used here.
fn text(
    (text, at): (&str, Position),
    keys: &mut Fields,
    known: &Known,
    usage: Use,
) -> Option<Text> {
    let read = match Text::read(text) {
        Ok(read) => read,
        Err(malformed) => {
            keys.problem(at, "place", malformed.message, malformed.hint);
            return None;
        }
    };
    let before = keys.problems.len();
    for place in read.places() {
        if let Err((message, hint)) = judge(place, known, usage) {
            keys.problem(at, "place", message, hint);
        }
    }
    (keys.problems.len() == before).then_some(read)
}

/// Whether `place` names something that may be used so; otherwise what is wrong, and the next step.
fn judge(place: &Place, known: &Known, usage: Use) -> Result<(), (String, String)> {
    let not_where = || {
        let message = format!("Where something is started may not depend on `{place}`.");
        let hint = "idp's rights there are not those of whoever asks: write it out, take it from the target, or from an input with `enum`.";
        (message, hint.to_string())
    };
    match place {
        Place::Target(_) if !known.target => Err((
            "The action has no target.".into(),
            "Give it `targets:`, or leave this out.".into(),
        )),
        Place::Target(path) => {
            let is_key = |of: &str| path.strip_prefix(of).is_some_and(|key| !key.is_empty());
            match is_key("annotations.") || is_key("labels.") || template::TARGET.contains(&&**path)
            {
                true => Ok(()),
                false => Err(unknown(place, path, "target", &template::TARGET)),
            }
        }
        Place::Input(name) => match known.inputs.iter().find(|(input, _)| input == name) {
            None => {
                let names: Vec<&str> = known.inputs.iter().map(|(input, _)| *input).collect();
                Err(unknown(place, name, "inputs", &names))
            }
            Some((_, Kind::Secret)) if usage != Use::Entrusted => Err((
                format!("`{name}` is a secret, and would be read by others there."),
                "Only the `body` of a webhook may have it.".into(),
            )),
            Some((_, Kind::Typed)) if usage == Use::Where => Err(not_where()),
            Some(_) => Ok(()),
        },
        Place::Request(_) | Place::Step { .. } if usage == Use::Where => Err(not_where()),
        Place::Request(field) => match template::REQUEST.contains(&&**field) {
            true => Ok(()),
            false => Err(unknown(place, field, "request", &template::REQUEST)),
        },
        Place::Step { step, .. } => match known.steps.contains(&&**step) {
            true => Ok(()),
            false => Err((
                format!("No step before this one is called `{step}`."),
                did_you_mean(step, "steps", known.steps),
            )),
        },
    }
}

fn unknown(place: &Place, name: &str, of: &str, known: &[&str]) -> (String, String) {
    (format!("There is no `{place}`."), did_you_mean(name, of, known))
}

fn did_you_mean(name: &str, of: &str, known: &[&str]) -> String {
    match fields::closest(name, known.iter().copied()) {
        Some(close) => format!("Did you mean `{of}.{close}`?"),
        None if known.is_empty() => "There are none.".into(),
        None => format!("There are `{}`.", known.join("`, `")),
    }
}

fn shortened(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Problem;
    use crate::integrations::invocation::Class;

    const INPUTS: [(&str, Kind); 4] = [
        ("replicas", Kind::Typed),
        ("stage", Kind::OneOf),
        ("password", Kind::Secret),
        ("revision", Kind::Typed),
    ];

    fn read_with(text: &str, known: &Known) -> (Option<Receiver>, Vec<Problem>) {
        let mut problems = Vec::new();
        let root = fields::read(text, "f").unwrap();
        let mut keys = Fields::of(root, "f", "f", &mut problems).unwrap();
        let receiver = read(&mut keys, known);
        keys.refuse_unknown();
        (receiver, problems)
    }

    fn read_invoke(text: &str) -> (Option<Receiver>, Vec<Problem>) {
        read_with(text, &Known { inputs: &INPUTS, target: true, steps: &["build"] })
    }

    /// What is wrong with `text`: line, column, rule, and message with hint.
    fn wrong(text: &str) -> (u32, u32, String, String) {
        let (receiver, problems) = read_invoke(text);
        let is_usable = receiver.is_some() && problems[0].rule != "unknown-key";
        assert!(!is_usable && problems.len() == 1, "{text}: {receiver:?} {problems:?}");
        let it = &problems[0];
        (it.line, it.column, it.rule.clone(), format!("{} {}", it.message, it.hint))
    }

    #[test]
    fn what_the_head_of_this_file_invokes_is_good() {
        let head = include_str!("invoke.rs").split("```").nth(1).unwrap();
        let text = head.trim_start_matches("yaml").replace("//! ", "").replace("//!", "");
        let one_by_one = text.split("invoke:").skip(1).map(|it| format!("invoke:{it}"));
        // GitHub fills nothing in.
        let nothing = Known { inputs: &[], target: true, steps: &[] };
        let read_one = |it: String| match it.contains("github_environment") {
            true => read_with(&it, &nothing),
            false => read_invoke(&it),
        };
        let read: Vec<_> = one_by_one.map(read_one).collect();
        let classes: Vec<_> = read
            .iter()
            .map(|(it, problems)| {
                assert_eq!(problems, &[]);
                it.as_ref().unwrap().class()
            })
            .collect();
        let idempotent = Class::Idempotent;
        assert_eq!(classes, [Class::Blind, Class::Redeem, Class::Redeem, idempotent, idempotent]);
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        for (text, place, rule, says) in [
            ("a: 1\n", (1, 1), "required-field", "`invoke` is missing"),
            ("invoke: {}\n", (1, 9), "invoke", "exactly one of"),
            ("invoke: {webhook: https://a/, github: a/b}\n", (1, 9), "invoke", "exactly one of"),
            ("invoke: {webhook: 'ftp://a/', secret: s}\n", (1, 19), "url", "https://host/path"),
            (
                "invoke: {webhook: 'https://u:p@a/', secret: s}\n",
                (1, 19),
                "url",
                "without user name",
            ),
            ("invoke: {webhook: 'https://a/'}\n", (1, 9), "required-field", "`secret` is missing"),
            (
                "invoke: {webhook: 'https://{{target.name}}.x/', secret: s}\n",
                (1, 19),
                "url",
                "may not be computed",
            ),
            (
                "invoke: {webhook: 'https://a/{{inputs.password}}', secret: s}\n",
                (1, 19),
                "place",
                "is a secret",
            ),
            (
                "invoke: {webhook: 'https://a/', secret: s, body: [1]}\n",
                (1, 50),
                "type",
                "a mapping",
            ),
            (
                "invoke:\n  webhook: https://a/\n  secret: s\n  body: {a: [{b: '{{inputs.replica}}'}]}\n",
                (4, 18),
                "place",
                "Did you mean `inputs.replicas`?",
            ),
            (
                "invoke: {webhook: 'https://a/', secret: s, body: {a: '{{target.nam}}'}}\n",
                (1, 54),
                "place",
                "Did you mean `target.name`?",
            ),
            (
                "invoke: {webhook: 'https://a/', secret: s, body: {a: '{{request.inten}}'}}\n",
                (1, 54),
                "place",
                "Did you mean `request.intent`?",
            ),
            (
                "invoke: {webhook: 'https://a/', secret: s, body: {a: '{{steps.biuld.x}}'}}\n",
                (1, 54),
                "place",
                "Did you mean `steps.build`?",
            ),
            (
                "invoke: {webhook: 'https://a/', secret: s, body: {a: '{{env.HOME}}'}}\n",
                (1, 54),
                "place",
                "nothing called",
            ),
            (
                "invoke: {webhook: 'https://a/', secret: s, body: {a: '{{'}}\n",
                (1, 54),
                "place",
                "not closed",
            ),
            (
                "invoke: {webhook: 'https://a/', secret: s, blnd: true}\n",
                (1, 44),
                "unknown-key",
                "Did you mean `blind`?",
            ),
            (
                "invoke: {github: acme, workflow: a.yml, ref: main}\n",
                (1, 18),
                "name",
                "acme/payments",
            ),
            (
                "invoke: {github: 'acme/{{inputs.replicas}}', workflow: a.yml, ref: main}\n",
                (1, 18),
                "place",
                "rights there are not those",
            ),
            (
                "invoke: {github: 'acme/{{steps.build.repo}}', workflow: a.yml, ref: main}\n",
                (1, 18),
                "place",
                "rights there are not those",
            ),
            (
                "invoke: {github: a/b, workflow: '{{inputs.replicas}}', ref: main}\n",
                (1, 33),
                "place",
                "an input with `enum`",
            ),
            ("invoke: {github: a/b, workflow: a.txt, ref: main}\n", (1, 33), "name", "restart.yml"),
            (
                "invoke: {github: a/b, workflow: a.yml, ref: '-x'}\n",
                (1, 45),
                "ref",
                "branch or tag",
            ),
            (
                "invoke: {github: a/b, workflow: a.yml}\n",
                (1, 9),
                "required-field",
                "`ref` is missing",
            ),
            (
                "invoke: {github: a/b, workflow: a.yml, ref: main, inputs: {idp_key: x}}\n",
                (1, 60),
                "name",
                "filled in by idp",
            ),
            (
                "invoke: {github: a/b, workflow: a.yml, ref: main, inputs: {a: '{{inputs.password}}'}}\n",
                (1, 63),
                "place",
                "Only the `body` of a webhook",
            ),
            (
                "invoke: {gitlab: a/b, ref: main, variables: {'A-B': x}}\n",
                (1, 46),
                "name",
                "letters, digits",
            ),
            ("invoke: {gitlab: a/b, ref: main, variables: {A: [x]}}\n", (1, 49), "type", "text"),
            ("invoke: {argocd: A, operation: sync}\n", (1, 18), "name", "payments-prod"),
            ("invoke: {argocd: a, operation: snyc}\n", (1, 32), "choice", "Did you mean `sync`?"),
            (
                "invoke: {argocd: '{{inputs.revision}}', operation: sync}\n",
                (1, 18),
                "place",
                "rights there are not those",
            ),
        ] {
            let told = match text.starts_with("a:") {
                true => {
                    let (_, problems) = read_invoke(text);
                    let it = &problems[0];
                    (it.line, it.column, it.rule.clone(), it.message.clone())
                }
                false => wrong(text),
            };
            assert_eq!(((told.0, told.1), &*told.2), (place, rule), "{text}: {}", told.3);
            assert!(told.3.contains(says), "{text}: {}", told.3);
        }
    }

    #[test]
    fn a_place_that_the_descriptor_chooses_is_warned_of_until_it_is_bounded() {
        let text = "invoke: {github: '{{target.annotations.github.com/project-slug}}', workflow: a.yml, ref: main";
        let (receiver, problems) = read_invoke(&format!("{text}}}\n"));
        assert!(receiver.is_some());
        assert_eq!(problems[0].severity, Severity::Warning);
        let (receiver, problems) = read_invoke(&format!("{text}, within: 'acme/*'}}\n"));
        assert!(receiver.is_some() && problems.is_empty(), "{problems:?}");
        let one_of = "invoke: {github: 'acme/{{inputs.stage}}', workflow: a.yml, ref: main}\n";
        assert_eq!(read_invoke(one_of).1, []);
    }

    #[test]
    fn without_a_target_nothing_of_it_is_named() {
        let known = Known { inputs: &[], target: false, steps: &[] };
        let text = "invoke: {webhook: 'https://a/{{target.name}}', secret: s}\n";
        let (receiver, problems) = read_with(text, &known);
        assert!(receiver.is_none());
        assert!(problems[0].message.contains("no target"), "{problems:?}");
    }
}
