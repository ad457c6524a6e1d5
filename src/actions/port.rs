//! Self-service actions of Port: JSON, of which action files are made.
//!
//! Each key of an action is told of: it was taken, it was changed, or it was left out and why. What would be done without
//! an approval that Port asks for is not written at all.
//!
//! Source: Port's documentation, "Create a self-service action", and its OpenAPI description.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::file;
use crate::catalog::formats::fields;
use crate::catalog::formats::yaml::{Entry, Node};
use crate::catalog::{EntityRef, Problem};

const NAME_CHARACTERS_MAX: usize = 32;
const TITLE_CHARACTERS_MAX: usize = 60;
const SUMMARY_CHARACTERS_MAX: usize = 200;
const DEPTH_MAX: usize = 6;

/// Blueprints that are a kind or type of ours.
const BLUEPRINTS: [(&str, &str, &str); 8] = [
    ("service", "Component", "service"),
    ("microservice", "Component", "service"),
    ("library", "Component", "library"),
    ("website", "Component", "website"),
    ("api", "API", ""),
    ("domain", "Domain", ""),
    ("system", "System", ""),
    ("_team", "Group", ""),
];

/// What became of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    Taken,
    Changed,
    LeftOut,
}

impl Fate {
    pub fn word(self) -> &'static str {
        match self {
            Fate::Taken => "taken",
            Fate::Changed => "changed",
            Fate::LeftOut => "left out",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// In the file that was read, from 1.
    pub line: u32,
    /// `trigger.userInputs.properties.reason.format`
    pub key: String,
    pub fate: Fate,
    /// A sentence; empty for what was taken as it is.
    pub why: String,
}

/// What came of one action.
#[derive(Debug, Serialize)]
pub struct Imported {
    /// Also that of its file, without `.yaml`.
    pub name: String,
    /// A good action file; `None` where it could not be written.
    pub text: Option<String>,
    /// Why it was not written.
    pub why: Option<String>,
    pub notes: Vec<Note>,
}

/// The actions of `text`, which is Port's JSON: one, or a list of them. `approvers` say yes to what has no owner.
///
/// # Errors
/// Every problem of a file that is none, with its place.
pub fn import(
    text: &str,
    file: &str,
    approvers: &[EntityRef],
) -> Result<Vec<Imported>, Vec<Problem>> {
    // Tabs indent JSON, and not YAML; outside of texts both are blanks.
    let root = fields::read(&text.replace('\t', " "), file).map_err(|it| vec![*it])?;
    let mut found = Vec::new();
    actions(&root, 0, &mut found);
    if found.is_empty() {
        let message = "There is no action of Port's in it.";
        let hint = "Give the JSON of an action, with `identifier`, `trigger` and `invocationMethod`; or a list of them.";
        return Err(vec![fields::problem(file, root.at, "action", message, hint)]);
    }
    let mut names = BTreeSet::new();
    Ok(found.into_iter().map(|it| one(it, approvers, &mut names)).collect())
}

/// The actions in `node`, however deep in lists.
fn actions<'a>(node: &'a Node, depth: usize, found: &mut Vec<&'a Node>) {
    if node.get("invocationMethod").is_some() {
        found.push(node);
    } else if depth < DEPTH_MAX {
        let inner = node.entries().iter().map(|it| &it.value).chain(node.items());
        inner.for_each(|it| actions(it, depth + 1, found));
    }
}

/// An action on its way into a file of ours.
struct Draft<'a> {
    notes: Vec<Note>,
    /// The first reason for which it cannot be written.
    why: Option<String>,
    approvers: &'a [EntityRef],
    has_target: bool,
    /// Each input, as Port and as we call it.
    inputs: Vec<(String, String)>,
    lines: Vec<String>,
}

impl Draft<'_> {
    fn note(&mut self, at: &Entry, key: &str, fate: Fate, why: impl Into<String>) {
        let line = at.key_at.line;
        self.notes.push(Note { line, key: key.to_string(), fate, why: why.into() });
    }

    fn taken(&mut self, at: &Entry, key: &str) {
        self.note(at, key, Fate::Taken, "");
    }

    fn changed(&mut self, at: &Entry, key: &str, why: impl Into<String>) {
        self.note(at, key, Fate::Changed, why);
    }

    fn left_out(&mut self, at: &Entry, key: &str, why: impl Into<String>) {
        self.note(at, key, Fate::LeftOut, why);
    }

    fn refuse(&mut self, why: impl Into<String>) {
        self.why.get_or_insert(why.into());
    }

    fn line(&mut self, key: &str, value: &Value) {
        self.lines.push(format!("{key}: {}", flow(value)));
    }
}

fn one(node: &Node, approvers: &[EntityRef], names: &mut BTreeSet<String>) -> Imported {
    let mut draft = Draft {
        notes: Vec::new(),
        why: None,
        approvers,
        has_target: false,
        inputs: Vec::new(),
        lines: Vec::new(),
    };
    let identifier = node.get("identifier").and_then(Node::text).unwrap_or("action");
    let name = unused(&name(identifier, '-'), names);
    draft.line("name", &json!(name));
    let mut approval = None;
    let mut invocation = None;
    // In this order, whatever theirs is: what is invoked names inputs.
    let trigger = node.entry("trigger");
    for entry in node.entries() {
        let key = entry.key.as_str();
        match key {
            "identifier" if name == identifier => draft.taken(entry, key),
            "identifier" => draft.changed(entry, key, format!("It is called `{name}` here.")),
            "title" => short(&mut draft, entry, "title", TITLE_CHARACTERS_MAX),
            "description" => short(&mut draft, entry, "summary", SUMMARY_CHARACTERS_MAX),
            "trigger" | "invocationMethod" | "requiredApproval" => {}
            "approvalNotification" => draft.left_out(
                entry,
                key,
                "Who decides is told in their channel: see `channel` in docs/actions.md.",
            ),
            "permissions" | "approvers" | "policy" => {
                draft.left_out(
                    entry,
                    key,
                    "Say who asks in `request`, and who approves in `approve`.",
                );
                draft.refuse("it says itself who may ask or approve, by what idp does not know");
            }
            "publish" => {
                draft.left_out(entry, key, "What lies in the portal's folder is published.")
            }
            "icon" | "allowAnyoneToViewRuns" => {
                draft.left_out(entry, key, "idp has nothing like it.")
            }
            "createdAt" | "updatedAt" | "createdBy" | "updatedBy" | "id" | "orgId" => {
                draft.left_out(entry, key, "It is of Port's own copy.");
            }
            _ => draft.left_out(entry, key, "idp knows no such key."),
        }
    }
    if let Some(entry) = trigger {
        self::trigger(&mut draft, entry);
    } else {
        draft.refuse("it has no `trigger`");
    }
    for entry in node.entries() {
        match entry.key.as_str() {
            "requiredApproval" => approval = Some(entry),
            "invocationMethod" => invocation = Some(entry),
            _ => {}
        }
    }
    self::approval(&mut draft, approval);
    if let Some(entry) = invocation {
        self::invocation(&mut draft, entry);
    }
    let text = draft.lines.join("\n") + "\n";
    let mut why = draft.why;
    if why.is_none()
        && let Err(problems) = file::read(&text, &format!("{name}.yaml"))
    {
        let first = problems.first().map(|it| format!("{} {}", it.message, it.hint));
        why = Some(format!("idp would not take it: {}", first.unwrap_or_default()));
    }
    let text = why.is_none().then_some(text);
    Imported { name, text, why, notes: draft.notes }
}

fn short(draft: &mut Draft, entry: &Entry, ours: &str, most: usize) {
    let Some(text) = entry.value.text() else {
        return draft.left_out(entry, &entry.key, "It is no text.");
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = text.chars().take(most).collect();
    if cut.is_empty() {
        return draft.left_out(entry, &entry.key, "It is empty.");
    }
    draft.line(ours, &json!(cut));
    match cut == text {
        true => draft.taken(entry, &entry.key),
        false => draft.changed(entry, &entry.key, format!("It is cut to {most} characters.")),
    }
}

fn trigger(draft: &mut Draft, trigger: &Entry) {
    let kind = trigger.value.get("type").and_then(Node::text).unwrap_or("self-service");
    let operation = trigger.value.get("operation").and_then(Node::text).unwrap_or("DAY-2");
    if kind != "self-service" {
        draft.refuse("it is an automation: nobody asks for it");
    }
    draft.has_target = operation != "CREATE";
    let blueprint = trigger.value.get("blueprintIdentifier").and_then(Node::text);
    if draft.has_target {
        let target = match blueprint {
            None => json!({ "kinds": ["Component"] }),
            Some(blueprint) => {
                let known = BLUEPRINTS.iter().find(|it| it.0.eq_ignore_ascii_case(blueprint));
                match known {
                    Some((_, kind, "")) => json!({ "kinds": [kind] }),
                    Some((_, kind, of)) => json!({ "kinds": [kind], "types": [of] }),
                    None => json!({ "types": [blueprint] }),
                }
            }
        };
        draft.line("target", &target);
    }
    for entry in trigger.value.entries() {
        let key = format!("trigger.{}", entry.key);
        match entry.key.as_str() {
            "type" if kind == "self-service" => draft.taken(entry, &key),
            "type" | "event" => draft.left_out(entry, &key, "idp starts nothing by itself."),
            "operation" if draft.has_target => {
                draft.changed(entry, &key, "It is done to a `target`.");
            }
            "operation" => draft.changed(entry, &key, "It is done to nothing in particular."),
            "blueprintIdentifier" if draft.has_target => {
                draft.changed(entry, &key, "It is the `target`, by kind or type.");
            }
            "blueprintIdentifier" => {
                draft.left_out(entry, &key, "What it creates is described by whoever creates it.");
            }
            "userInputs" => inputs(draft, &entry.value),
            "condition" => {
                let why =
                    "What it is done to is narrowed by `target`: write there which are meant.";
                draft.left_out(entry, &key, why);
                draft.refuse(
                    "it has a `condition`, without which it would be done to more than in Port",
                );
            }
            "actionCardButtonText" | "executeActionButtonText" => {
                draft.left_out(entry, &key, "The buttons of a card are the same everywhere.");
            }
            _ => draft.left_out(entry, &key, "idp knows no such key."),
        }
    }
}

const INPUTS: &str = "trigger.userInputs";

fn inputs(draft: &mut Draft, node: &Node) {
    let required: Vec<&str> = node
        .get("required")
        .map(|it| it.items().iter().filter_map(Node::text).collect())
        .unwrap_or_default();
    let order: Vec<&str> = node
        .get("order")
        .map(|it| it.items().iter().filter_map(Node::text).collect())
        .unwrap_or_default();
    for entry in node.entries() {
        let key = format!("{INPUTS}.{}", entry.key);
        match entry.key.as_str() {
            "properties" => {}
            "required" if entry.value.get("jqQuery").is_some() => {
                draft.left_out(entry, &key, "idp computes nothing: each input is required here.");
            }
            "required" | "order" => draft.taken(entry, &key),
            "steps" => draft.left_out(entry, &key, "A form in chat has one page."),
            "titles" => draft.left_out(entry, &key, "A form in chat has no headings."),
            _ => draft.left_out(entry, &key, "idp knows no such key."),
        }
    }
    let is_computed = node.get("required").is_some_and(|it| it.get("jqQuery").is_some());
    let place = |it: &Entry| order.iter().position(|key| *key == it.key).unwrap_or(usize::MAX);
    let mut properties: Vec<&Entry> =
        node.get("properties").map(|it| it.entries().iter().collect()).unwrap_or_default();
    properties.sort_by_key(|it| place(it));
    let mut names = BTreeSet::from(["action", "target", "inputs", "break-glass"].map(String::from));
    let mut written = Vec::new();
    for entry in properties {
        let is_required = is_computed || required.contains(&entry.key.as_str());
        written.extend(input(draft, entry, is_required, &mut names));
    }
    if !written.is_empty() {
        draft.lines.push("inputs:".into());
        draft.lines.extend(written.iter().map(|it| format!("  - {}", flow(it))));
    }
}

fn input(
    draft: &mut Draft,
    entry: &Entry,
    is_required: bool,
    names: &mut BTreeSet<String>,
) -> Option<Value> {
    let at = format!("{INPUTS}.properties.{}", entry.key);
    let text = |key: &str| entry.value.get(key).and_then(Node::text);
    let (kind, format) = (text("type").unwrap_or("string"), text("format"));
    let has = |key: &str| entry.value.get(key).is_some();
    let is_list = has("enum") && entry.value.get("enum").is_some_and(|it| !it.items().is_empty());
    let ours = match (kind, format) {
        _ if has("encryption") => "secret",
        ("string", Some("user")) => "user",
        ("string", Some("team")) => "team",
        ("string", Some("entity")) => "entity",
        ("string" | "number", _) if is_list => "enum",
        ("string", _) => "string",
        ("number" | "integer", _) => "number",
        ("boolean", _) => "boolean",
        _ => {
            let why = format!("idp has no inputs of the type `{kind}`.");
            draft.left_out(entry, &at, why);
            if is_required {
                draft.refuse(format!(
                    "the input `{}` is required, and of the type `{kind}`",
                    entry.key
                ));
            }
            return None;
        }
    };
    let name = unused(&name(&entry.key, '_'), names);
    draft.inputs.push((entry.key.clone(), name.clone()));
    match name == entry.key {
        true => draft.taken(entry, &at),
        false => draft.changed(entry, &at, format!("It is called `{name}` here.")),
    }
    let mut written = json!({ "name": name, "type": ours });
    let mut default = false;
    for entry in entry.value.entries() {
        let at = format!("{at}.{}", entry.key);
        let value = entry.value.clone().into_json();
        match entry.key.as_str() {
            "type" => draft.taken(entry, &at),
            "title" => {
                let title = entry.value.text().unwrap_or_default();
                let cut: String = title.chars().take(TITLE_CHARACTERS_MAX).collect();
                match (cut.is_empty(), cut == title) {
                    (true, _) => draft.left_out(entry, &at, "It is empty."),
                    (_, true) => draft.taken(entry, &at),
                    _ => draft.changed(entry, &at, "It is cut."),
                }
                if !cut.is_empty() {
                    written["title"] = json!(cut);
                }
            }
            "format" => match (ours, entry.value.text()) {
                ("user" | "team" | "entity", _) => draft.taken(entry, &at),
                (_, Some(format)) => {
                    let why = format!("It takes any text: `{format}` is not looked at.");
                    draft.left_out(entry, &at, why);
                }
                _ => draft.left_out(entry, &at, "It is no text."),
            },
            "blueprint" if ours == "entity" => {
                let blueprint = entry.value.text().unwrap_or_default();
                match BLUEPRINTS.iter().find(|it| it.0.eq_ignore_ascii_case(blueprint)) {
                    Some((_, kind, _)) => {
                        written["kinds"] = json!([kind]);
                        draft.changed(entry, &at, format!("It takes what is `{kind}`."));
                    }
                    None => draft.left_out(entry, &at, "It takes anything in the catalog."),
                }
            }
            "enum" if ours == "enum" => {
                let choices = value.as_array().cloned().unwrap_or_default();
                let choices: Vec<String> = choices.iter().map(plain).collect();
                written["choices"] = json!(choices);
                draft.taken(entry, &at);
            }
            "enum" => {
                draft.left_out(entry, &at, "idp computes no choices: it takes any text.");
                draft.refuse(format!("the choices of `{}` are computed", at));
            }
            "pattern" if ours == "string" && value.is_string() => {
                // In Port a part is enough.
                let text = value.as_str().unwrap_or_default();
                let is_whole = text.starts_with('^') && text.ends_with('$');
                let text = match is_whole {
                    true => text.to_string(),
                    false => format!(".*(?:{text}).*"),
                };
                written["pattern"] = json!(text);
                match is_whole {
                    true => draft.taken(entry, &at),
                    false => draft.changed(entry, &at, "All of the text must match here."),
                }
            }
            "minLength" | "maxLength" if ours == "string" && value.is_number() => {
                let ours = if entry.key == "minLength" { "min_length" } else { "max_length" };
                written[ours] = value;
                draft.taken(entry, &at);
            }
            "minimum" | "maximum" if ours == "number" && value.is_number() => {
                written[entry.key.as_str()] = value;
                draft.taken(entry, &at);
            }
            "pattern" | "minLength" | "maxLength" | "minimum" | "maximum" | "exclusiveMinimum"
            | "exclusiveMaximum" => {
                draft.left_out(entry, &at, "idp does not look at it for such an input.");
            }
            "encryption" => draft.changed(entry, &at, "It is sealed with the key of this idp."),
            "default"
                if ours != "secret"
                    && !value.is_object()
                    && !value.is_array()
                    && !value.is_null() =>
            {
                written["default"] = json!(plain(&value));
                default = true;
                draft.taken(entry, &at);
            }
            "default" => draft.left_out(entry, &at, "idp computes nothing, and shows no secret."),
            "dataset" => {
                draft.left_out(
                    entry,
                    &at,
                    "It takes more here than in Port: write `kinds`, or `choices`.",
                );
            }
            "visible" | "disabled" | "dependsOn" | "sort" => {
                draft.left_out(entry, &at, "A form in chat shows every input.");
            }
            "description" | "icon" | "enumColors" | "titles" => {
                draft.left_out(entry, &at, "A form in chat has no room for it.");
            }
            _ => draft.left_out(entry, &at, "idp knows no such key."),
        }
    }
    if kind == "integer" {
        written["whole"] = json!(true);
    }
    if !is_required && !default {
        written["required"] = json!(false);
    }
    Some(written)
}

/// Who says yes: never fewer than in Port.
fn approval(draft: &mut Draft, entry: Option<&Entry>) {
    let Some(entry) = entry else {
        draft.line("risk", &json!("low"));
        return draft.line("approve", &json!("nobody"));
    };
    let key = "requiredApproval";
    let value = entry.value.clone().into_json();
    let kind = value["type"].as_str();
    let is_all = match (&value, kind) {
        (Value::Bool(false), _) => {
            draft.line("risk", &json!("low"));
            draft.line("approve", &json!("nobody"));
            return draft.taken(entry, key);
        }
        (Value::Bool(true), _) | (_, Some("ANY")) => false,
        (_, Some("ALL")) => true,
        _ => {
            draft.left_out(entry, key, "Port has no such approval.");
            return draft.refuse("who approves it could not be told");
        }
    };
    for inner in entry.value.entries() {
        let at = format!("{key}.{}", inner.key);
        match inner.key.as_str() {
            "type" => draft.taken(inner, &at),
            _ => {
                draft.left_out(inner, &at, "idp knows no such key.");
                draft.refuse("who approves it could not be told");
            }
        }
    }
    let who: Vec<String> = match (draft.approvers, draft.has_target) {
        ([], true) => vec!["owner".into()],
        ([], false) => {
            draft.left_out(
                entry,
                key,
                "Nobody owns what is not there yet, and nobody else is named.",
            );
            return draft.refuse(
                "Port asks for approval, and it has no target that somebody owns: say who approves with `--approver group:platform`",
            );
        }
        (approvers, _) => approvers.iter().map(EntityRef::to_string).collect(),
    };
    let count = if is_all && who.len() == 1 { 2 } else { 1 };
    let by: Vec<Value> = match count {
        1 => who.iter().map(|it| json!(it)).collect(),
        _ => who.iter().map(|it| json!({ "who": it, "count": count })).collect(),
    };
    draft.line("risk", &json!("low"));
    draft.line("approve", &json!({ "by": by }));
    let why = match is_all {
        true => {
            "Port asks all whom it finds; here two of these must say yes, or one of each: say how many."
        }
        false => {
            "Port asks whom its own settings name; here these must say yes, each another person."
        }
    };
    draft.changed(entry, key, why);
}

fn invocation(draft: &mut Draft, entry: &Entry) {
    let kind = entry.value.get("type").and_then(Node::text).unwrap_or_default();
    for inner in entry.value.entries() {
        if inner.key == "type" {
            draft.note(inner, "invocationMethod.type", Fate::Taken, "");
        }
    }
    match kind {
        "WEBHOOK" => webhook(draft, &entry.value),
        "GITHUB" => github(draft, &entry.value, "invocationMethod"),
        "INTEGRATION_ACTION" => {
            let properties = "integrationActionExecutionProperties";
            for inner in entry.value.entries() {
                let at = format!("invocationMethod.{}", inner.key);
                match inner.key.as_str() {
                    "type" => {}
                    key if key == properties => github(draft, &inner.value, &at),
                    "integrationActionType" => match inner.value.text() {
                        Some("dispatch_workflow") => draft.taken(inner, &at),
                        _ => {
                            draft.left_out(inner, &at, "idp starts workflows only.");
                            draft.refuse("it starts no workflow");
                        }
                    },
                    _ => draft.left_out(inner, &at, "idp.yaml says as whom GitHub is called."),
                }
            }
            if entry.value.get(properties).is_none() {
                draft.refuse("it names no workflow");
            }
        }
        "GITLAB" => gitlab(draft, &entry.value),
        other => {
            for inner in entry.value.entries().iter().filter(|it| it.key != "type") {
                let at = format!("invocationMethod.{}", inner.key);
                draft.left_out(inner, &at, "idp has nothing that it could be said to.");
            }
            let other: String = other.chars().take(40).collect();
            draft.refuse(format!("idp starts nothing by `{other}`: let a webhook do it"));
        }
    }
}

fn webhook(draft: &mut Draft, node: &Node) {
    let mut invoke = json!({ "secret": "port" });
    for entry in node.entries() {
        let at = format!("invocationMethod.{}", entry.key);
        match entry.key.as_str() {
            "type" => {}
            "url" => match entry.value.text().map(|it| template(draft, it)) {
                Some(Ok(url)) => {
                    invoke["webhook"] = json!(url);
                    draft.changed(entry, &at, "It is signed with the secret `port`, which `secrets` in idp.yaml must have.");
                }
                Some(Err(why)) => {
                    draft.left_out(entry, &at, why.clone());
                    draft.refuse(why);
                }
                None => draft.left_out(entry, &at, "It is no text."),
            },
            "method" => match entry.value.text() {
                Some("POST") => draft.taken(entry, &at),
                _ => {
                    draft.left_out(entry, &at, "idp sends POST only.");
                    draft.refuse("its webhook is not sent by POST");
                }
            },
            "body" => match body(draft, &entry.value) {
                Ok(body) if body.is_object() => {
                    invoke["body"] = body;
                    draft.taken(entry, &at);
                }
                Ok(_) => draft.left_out(
                    entry,
                    &at,
                    "A body of idp's is an object: everything of the order is sent.",
                ),
                Err(why) => {
                    draft.left_out(entry, &at, format!("Everything of the order is sent: {why}"));
                }
            },
            "synchronized" => draft.left_out(
                entry,
                &at,
                "The answer says whether it is over: `{\"status\": \"succeeded\"}`.",
            ),
            "agent" => match entry.value.clone().into_json() {
                Value::Bool(true) => draft.left_out(
                    entry,
                    &at,
                    "idp calls itself: list a private host in `allowed_hosts`.",
                ),
                _ => draft.taken(entry, &at),
            },
            "headers" => draft.left_out(
                entry,
                &at,
                "The headers are idp's own; what they authorised, the signature does.",
            ),
            _ => draft.left_out(entry, &at, "idp knows no such key."),
        }
    }
    draft.line("invoke", &invoke);
}

fn github(draft: &mut Draft, node: &Node, at: &str) {
    let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
    let (org, repo) = (text("org").to_string(), text("repo").to_string());
    let mut invoke = json!({ "ref": "main" });
    match template(draft, &format!("{org}/{repo}")) {
        Ok(repository) => {
            if repository.contains("{{") {
                invoke["within"] = json!([format!("{org}/*")]);
            }
            invoke["github"] = json!(repository);
        }
        Err(why) => draft.refuse(why),
    }
    for entry in node.entries() {
        let at = format!("{at}.{}", entry.key);
        match entry.key.as_str() {
            "type" => {}
            "org" | "repo" => draft.taken(entry, &at),
            "workflow" => {
                invoke["workflow"] = json!(entry.value.text().unwrap_or_default());
                draft.changed(
                    entry,
                    &at,
                    "It needs the input `idp_key` and shows it in its `run-name`; it runs on `main`: see docs/actions-invocations.md.",
                );
            }
            "workflowInputs" => {
                let inputs = named(draft, &entry.value, &at);
                if inputs.as_object().is_some_and(|it| !it.is_empty()) {
                    invoke["inputs"] = inputs;
                }
            }
            "reportWorkflowStatus" => draft.left_out(entry, &at, "idp follows every run."),
            _ => draft.left_out(entry, &at, "idp knows no such key."),
        }
    }
    draft.line("invoke", &invoke);
}

fn gitlab(draft: &mut Draft, node: &Node) {
    let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
    let (group, project) = (text("groupName").to_string(), text("projectName").to_string());
    let mut invoke = json!({ "ref": "main" });
    match template(draft, &format!("{group}/{project}")) {
        Ok(project) => {
            if project.contains("{{") {
                invoke["within"] = json!([format!("{group}/*")]);
            }
            invoke["gitlab"] = json!(project);
        }
        Err(why) => draft.refuse(why),
    }
    for entry in node.entries() {
        let at = format!("invocationMethod.{}", entry.key);
        match entry.key.as_str() {
            "type" => {}
            "groupName" | "projectName" => draft.taken(entry, &at),
            "defaultRef" => {
                invoke["ref"] = json!(entry.value.text().unwrap_or("main"));
                draft.taken(entry, &at);
            }
            "pipelineVariables" => {
                let variables = named(draft, &entry.value, &at);
                if variables.as_object().is_some_and(|it| !it.is_empty()) {
                    invoke["variables"] = variables;
                }
            }
            _ => draft.left_out(entry, &at, "idp knows no such key."),
        }
    }
    draft.line("invoke", &invoke);
}

/// What a workflow or pipeline is told, by names.
fn named(draft: &mut Draft, node: &Node, at: &str) -> Value {
    let mut told = serde_json::Map::new();
    for entry in node.entries() {
        let at = format!("{at}.{}", entry.key);
        let value = entry.value.clone().into_json();
        if entry.key.contains("spreadValue()") && plain(&value).replace(' ', "") == "{{.inputs}}" {
            for (theirs, ours) in &draft.inputs {
                told.insert(theirs.clone(), json!(format!("{{{{inputs.{ours}}}}}")));
            }
            draft.changed(entry, &at, "Each input is written out.");
            continue;
        }
        let text = match &value {
            Value::Object(_) | Value::Array(_) | Value::Null => Err("It is no text.".to_string()),
            other => template(draft, &plain(other)),
        };
        match text {
            Ok(text) => {
                told.insert(entry.key.clone(), json!(text));
                draft.taken(entry, &at);
            }
            Err(why) => draft.left_out(entry, &at, why),
        }
    }
    Value::Object(told)
}

fn body(draft: &Draft, node: &Node) -> Result<Value, String> {
    fn converted(draft: &Draft, value: Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => json!(template(draft, &text)?),
            Value::Array(items) => {
                let items = items.into_iter().map(|it| converted(draft, it));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => {
                let is_computed = entries.keys().any(|it| it.contains("{{"));
                if is_computed {
                    return Err("a key of it is computed.".into());
                }
                let entries = entries.into_iter().map(|(key, it)| Ok((key, converted(draft, it)?)));
                Value::Object(entries.collect::<Result<_, String>>()?)
            }
            other => other,
        })
    }
    converted(draft, node.clone().into_json())
}

/// `text` with our places for Port's.
fn template(draft: &Draft, text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (place, after) = after.split_once("}}").ok_or("A `{{` is not closed.")?;
        out.push_str(before);
        out.push_str(&format!("{{{{{}}}}}", self::place(draft, place)?));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Our place for one of Port's, which is a program of jq: the plain ones alone are understood.
fn place(draft: &Draft, theirs: &str) -> Result<String, String> {
    let plain: String = theirs.chars().filter(|it| !it.is_whitespace() && *it != '"').collect();
    let plain = plain.replace('[', ".").replace(']', "").replace("..", ".");
    let shown: String = theirs.trim().chars().take(60).collect();
    let unknown = || format!("`{{{{ {shown} }}}}` is computed, or nothing that idp has.");
    if let Some(input) = plain.strip_prefix(".inputs.") {
        let found = draft.inputs.iter().find(|(it, _)| it == input);
        return found.map(|(_, ours)| format!("inputs.{ours}")).ok_or_else(unknown);
    }
    let of_target = match plain.as_str() {
        ".entity.identifier" => Some("target.name"),
        ".entity.title" => Some("target.title"),
        ".entity.team" => Some("target.owner"),
        _ => None,
    };
    match (of_target.filter(|_| draft.has_target), plain.as_str()) {
        (Some(place), _) => Ok(place.to_string()),
        (_, ".run.id") => Ok("request.id".into()),
        (_, ".action" | ".action.identifier" | ".run.action") => Ok("request.action".into()),
        (_, ".trigger.by.user.email" | ".trigger.by.user.id" | ".trigger.by.user.name") => {
            Ok("request.by".into())
        }
        _ => Err(unknown()),
    }
}

/// `text` as a name of ours, with `joint` between its words.
fn name(text: &str, joint: char) -> String {
    let mut name = String::new();
    let mut was_lower = false;
    for character in text.chars() {
        if character.is_ascii_uppercase() && was_lower {
            name.push(joint);
        }
        match character.to_ascii_lowercase() {
            it if it.is_ascii_lowercase() || it.is_ascii_digit() => name.push(it),
            it @ ('-' | '_') => name.push(it),
            _ if name.ends_with(joint) => {}
            _ => name.push(joint),
        }
        was_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
    }
    let name = name.trim_matches(['-', '_']);
    let start = if name.starts_with(|it: char| it.is_ascii_lowercase()) { "" } else { "a" };
    let name: String = format!("{start}{name}").chars().take(NAME_CHARACTERS_MAX - 3).collect();
    name.trim_end_matches(['-', '_']).to_string()
}

/// `name`, or it with a number, where it is taken.
fn unused(name: &str, names: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.to_string()).chain(numbered).find(|it| !names.contains(it));
    let free = free.unwrap_or_default();
    names.insert(free.clone());
    free
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// YAML on one line: texts stand between quotes.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let is_plain = key.chars().all(|it| it.is_ascii_alphanumeric() || it == '_');
                let key = if is_plain { key.clone() } else { json!(key).to_string() };
                format!("{key}: {}", flow(value))
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
