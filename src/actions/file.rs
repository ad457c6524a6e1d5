//! An action file: something that people ask for and others approve, as YAML.
//!
//! ```yaml
//! name: restart
//! title: Restart
//! summary: Restarts every instance, one after another
//! target:                          # without it: it is done to nothing in particular
//!   kinds: [Component]             # one of these …
//!   types: [service]
//!   lifecycles: [production]
//!   tiers: ["1", "2"]
//!   tags: [restartable]            # … and at least one of these
//! inputs:
//!   - name: reason
//!     type: string                 # string, number, boolean, enum, entity, user, team, date, secret
//!     title: Why
//!     pattern: "[^<>]+"            # all of it must match
//!     max_length: 200
//!   - {name: replicas, type: number, minimum: 1, maximum: 20, whole: true, default: "2"}
//!   - {name: region, type: enum, choices: [eu, us], required: false}
//! risk: low                        # a click; medium: a click and the target's name, typed; high: a one-time password, and two people
//! request:
//!   by: [members]                  # owners of the target, Users, Groups; without it: every member
//! approve:
//!   by: [owner, on-call, {who: group:security, count: 2}]   # each another person, never who asks; or `nobody`
//!   within: 4h                     # 24h without it
//!   escalate: 1h                   # when the next level on call is called; at three quarters of its time without it
//!   delegate: true                 # whether who may decide may hand that on; without it: unless the risk is high
//! channel: {slack: C0123456789}    # where it is approved; without it: the channel of who owns the target, and where it was asked
//! freeze:                          # when it is not done
//!   - {days: [fri], from: "16:00", until: "24:00", zone: Europe/Berlin, why: Nobody restarts on a Friday evening}
//!   - {from: 2026-12-20, until: 2027-01-03, zone: Europe/Berlin, why: The year ends}
//! cooldown: 10m                    # between two of one target
//! at_once: target                  # one at a time of each target; or `action`: one at a time at all; or `any`
//! break_glass: [group:platform]    # who may do it without approval, with a reason, loudly
//! timeout: 15m
//! messages:                        # said below the card: asked, approved, denied, done, failed
//!   done: "{{target.name}} was restarted, because {{inputs.reason}}."
//! invoke: {webhook: https://ops.acme.example/restart, secret: ops}
//! # or {github_environment: production}: GitHub asks, and is answered; see docs/actions-invocations.md
//! # or steps, one after another, each with what the ones before it gave:
//! # steps:
//! #   - {name: drain, invoke: {…}}
//! #   - {name: restart, invoke: {…}}
//! #   - {name: page, on_failure: true, invoke: {…}}
//! #   - {name: undrain, always: true, invoke: {…}}
//! ```

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use regex::RegexBuilder;
use sha2::{Digest, Sha256};

use super::BREAK_GLASS;
use super::freeze;
use super::input::{CHARACTERS_MAX, Input, Kind};
use super::invoke::{self, Known};
use super::message;
use super::rule::{Factor, PEOPLE_MAX, Rule, WITHIN, Who};
use super::{Action, ActionSet, AtOnce, Requesters, Risk, Step, Target, When};
use crate::catalog::formats::fields::{self, Fields};
use crate::catalog::formats::folder;
use crate::catalog::formats::yaml::{Content, Node, Position};
use crate::catalog::{EntityRef, Problem, Severity};
use crate::conversation::Platform;
use crate::integrations::invocation::{Class, Receiver};

const NAME_CHARACTERS_MAX: usize = 32;
const TITLE_CHARACTERS_MAX: usize = 60;
const SUMMARY_CHARACTERS_MAX: usize = 200;
const INPUTS_MAX: usize = 10;
/// As many as a form of Discord has.
pub const REQUIRED_MAX: usize = 5;
const CHOICES_MAX: usize = 25;
const STEPS_MAX: usize = 20;
const PATTERN_BYTES_MAX: usize = 1 << 10;
const PATTERN_COMPILED_BYTES_MAX: usize = 256 << 10;
/// The most action files of one portal.
const FILES_MAX: usize = 200;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

impl ActionSet {
    pub fn new(mut actions: Vec<Action>) -> ActionSet {
        actions.sort_by(|one, other| one.name.cmp(&other.name));
        ActionSet(actions)
    }

    pub fn find(&self, name: &str) -> Option<&Action> {
        self.0.iter().find(|it| it.name == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Action> {
        self.0.iter()
    }

    /// What their steps are sent to.
    pub fn receivers(&mut self) -> impl Iterator<Item = &mut Receiver> {
        self.0.iter_mut().flat_map(|it| it.steps.iter_mut().map(|step| &mut step.receiver))
    }

    /// The actions of the directory `dir`; what is wrong with its files, each named as seen from `dir`.
    ///
    /// A broken file costs nobody but itself. A directory that is not there has no files.
    pub fn load(dir: &Path) -> (ActionSet, Vec<Problem>) {
        let (texts, mut problems) = folder::read(dir, "action", FILES_MAX);
        let mut actions: Vec<Action> = Vec::new();
        for (file, text) in texts {
            match read(&text, &file) {
                Ok(action) => actions.push(action),
                Err(of_file) => problems.extend(of_file),
            }
        }
        let named = actions.iter().map(|it| (it.file.as_str(), it.name.as_str()));
        problems.extend(folder::twice("action", named));
        // Of two files that say one action the first counts.
        actions.sort_by(|one, other| one.name.cmp(&other.name));
        actions.dedup_by(|later, first| later.name == first.name);
        (ActionSet(actions), problems)
    }
}

/// The action that `text` says; `file` is named in problems.
///
/// # Errors
/// Every problem of the file.
pub fn read(text: &str, file: &str) -> Result<Action, Vec<Problem>> {
    let root = fields::read(text, file).map_err(|problem| vec![*problem])?;
    let mut problems = Vec::new();
    let Some(mut keys) = Fields::of(root, "An action file", file, &mut problems) else {
        return Err(problems);
    };
    let action = action(&mut keys, text);
    keys.refuse_unknown();
    match action {
        Some(action) if !problems.iter().any(|it| it.severity == Severity::Error) => Ok(action),
        _ => Err(problems),
    }
}

/// `None` only where a problem was told.
fn action(keys: &mut Fields, text: &str) -> Option<Action> {
    let at = keys.at;
    let name = name(keys);
    let title = short(keys, "title", TITLE_CHARACTERS_MAX);
    let summary = short(keys, "summary", SUMMARY_CHARACTERS_MAX);
    let target = target(keys);
    let inputs = inputs(keys);
    let (risk, risk_at) = risk(keys);
    let requesters = requesters(keys, target.is_some());
    let Asking { rule, at: rule_at, delegates, escalate } = rule(keys);
    let channel = channels(keys, "channel");
    let freezes = freeze::read(keys);
    let cooldown = keys.duration("cooldown", Duration::from_secs(1), 30 * DAY);
    let at_once = at_once(keys, target.is_some());
    let break_glass = keys.texts("break_glass").unwrap_or_default();
    let break_glass = references(keys, break_glass, "break_glass");
    let timeout = keys.duration("timeout", Duration::from_secs(10), DAY).unwrap_or(TIMEOUT);
    judge_rule(keys, &rule, rule_at.unwrap_or(at), target.is_some());
    judge_risk(keys, risk, &rule, risk_at.unwrap_or(at));
    let kinds = kinds_of(&inputs);
    let known = Known { inputs: &kinds, target: target.is_some(), steps: &[] };
    let messages = message::read(keys, &known);
    let steps = steps(keys, &known);
    judge_receivers(keys, risk, steps.as_deref().unwrap_or_default(), at);
    let is_open = requesters == Requesters::Members && break_glass.is_empty();
    judge_gate(keys, steps.as_deref().unwrap_or_default(), is_open, at);
    let name = name?;
    Some(Action {
        file: keys.file.to_string(),
        revision: hex::encode(Sha256::digest(text)),
        title: title.unwrap_or_else(|| name.clone()),
        name,
        summary: summary.unwrap_or_default(),
        target,
        inputs,
        risk,
        requesters,
        rule,
        delegates: delegates.unwrap_or(risk < Risk::High),
        escalate,
        channel,
        freezes,
        cooldown,
        at_once,
        break_glass,
        timeout,
        messages,
        steps: steps?,
    })
}

fn name(keys: &mut Fields) -> Option<String> {
    let (name, at) = keys.required("name")?;
    is_name(keys, &name, at, "an action").then_some(name)
}

fn is_name(keys: &mut Fields, name: &str, at: Position, what: &str) -> bool {
    let is_letter = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "-_".contains(it);
    let is_good = name.starts_with(|it: char| it.is_ascii_lowercase())
        && name.len() <= NAME_CHARACTERS_MAX
        && name.chars().all(is_letter);
    if !is_good {
        let message = format!("`{name}` cannot be the name of {what}.");
        let hint = "Use up to 32 lower-case letters, digits, `-` and `_`, a letter first.";
        keys.problem(at, "name", message, hint);
    }
    is_good
}

fn short(keys: &mut Fields, key: &'static str, most: usize) -> Option<String> {
    let (text, at) = keys.text(key)?;
    if text.chars().count() > most {
        let message = format!("`{key}` has more than {most} characters.");
        keys.problem(at, key, message, "Shorten it.");
        return None;
    }
    Some(text)
}

fn target(keys: &mut Fields) -> Option<Target> {
    let node = keys.take("target")?;
    let mut inner = Fields::of(node, "target", keys.file, keys.problems)?;
    let mut list = |key| {
        let texts = inner.texts(key).unwrap_or_default();
        texts.into_iter().map(|(text, _)| text).collect::<Vec<String>>()
    };
    let target = Target {
        kinds: list("kinds"),
        types: list("types"),
        lifecycles: list("lifecycles"),
        tiers: list("tiers"),
        tags: list("tags"),
    };
    inner.refuse_unknown();
    Some(target)
}

fn inputs(keys: &mut Fields) -> Vec<Input> {
    let mut inputs: Vec<Input> = Vec::new();
    let nodes = keys.items("inputs");
    if let Some(first) = nodes.get(INPUTS_MAX) {
        let message = format!("There are more than {INPUTS_MAX} inputs.");
        keys.problem(first.at, "inputs", message, "Nobody fills in so many: split the action.");
    }
    for node in nodes.into_iter().take(INPUTS_MAX) {
        let at = node.at;
        let Some(input) = input(keys, node) else { continue };
        if inputs.iter().any(|it| it.name == input.name) {
            let message = format!("The input `{}` is there already.", input.name);
            keys.problem(at, "conflict", message, "Give it another name.");
            continue;
        }
        inputs.push(input);
        let required = inputs.iter().filter(|it| it.required && it.default.is_none()).count();
        if required == REQUIRED_MAX + 1 {
            let message = format!("More than {REQUIRED_MAX} inputs must be given.");
            let hint = "A form of Discord has five fields: give the others a `default`.";
            keys.problem(at, "inputs", message, hint);
        }
    }
    inputs
}

/// The keys that only some types take.
const OF_TYPES: [(&str, &[&str]); 6] = [
    ("pattern", &["string"]),
    ("min_length", &["string"]),
    ("max_length", &["string"]),
    ("minimum", &["number"]),
    ("maximum", &["number"]),
    ("whole", &["number"]),
];

/// Names of the command that asks for an action.
const RESERVED: [&str; 4] = ["action", "target", "inputs", BREAK_GLASS];

const TYPES: [&str; 9] =
    ["string", "number", "boolean", "enum", "entity", "user", "team", "date", "secret"];

fn input(outer: &mut Fields, node: Node) -> Option<Input> {
    let mut keys = Fields::of(node, "An input", outer.file, outer.problems)?;
    let (name, name_at) = keys.required("name")?;
    let is_good = is_name(&mut keys, &name, name_at, "an input");
    if RESERVED.contains(&name.as_str()) {
        let message = format!("`{name}` means something else where an action is asked for.");
        keys.problem(name_at, "name", message, "Give it another name.");
    }
    let (word, type_at) = keys.text("type").unwrap_or_else(|| ("string".into(), name_at));
    let title = short(&mut keys, "title", TITLE_CHARACTERS_MAX);
    let required = keys.flag("required");
    let default = keys.text("default").map(|(text, _)| text);
    for (key, types) in OF_TYPES {
        if !types.contains(&word.as_str()) && TYPES.contains(&word.as_str()) && keys.has(key) {
            let message = format!("`{key}` does not go with the type `{word}`.");
            keys.problem(type_at, "type", message, format!("Leave `{key}` out."));
        }
    }
    let kind = kind(&mut keys, &word, type_at);
    keys.refuse_unknown();
    let input = Input {
        title: title.unwrap_or_else(|| name.clone()),
        name,
        kind: kind?,
        required: required.unwrap_or(default.is_none()),
        default,
    };
    is_good.then_some(input)
}

fn kind(keys: &mut Fields, word: &str, at: Position) -> Option<Kind> {
    let kind = match word {
        "string" => {
            let pattern = keys.text("pattern").and_then(|(text, at)| pattern(keys, &text, at));
            let least = number(keys, "min_length").map_or(1, |it| it as usize);
            let most = number(keys, "max_length").map_or(1_000, |it| it as usize);
            Kind::Text { pattern, least, most: most.min(CHARACTERS_MAX) }
        }
        "number" => Kind::Number {
            least: number(keys, "minimum"),
            most: number(keys, "maximum"),
            whole: keys.flag("whole").unwrap_or(false),
        },
        "boolean" => Kind::Flag,
        "enum" => {
            let choices = keys.texts("choices").unwrap_or_default();
            if choices.is_empty() || choices.len() > CHOICES_MAX {
                let message = format!("`choices` must be 1 to {CHOICES_MAX} texts.");
                keys.problem(at, "choices", message, "Write `choices: [eu, us]`.");
                return None;
            }
            Kind::Choice(choices.into_iter().map(|(text, _)| text).collect())
        }
        "entity" => {
            let kinds = keys.texts("kinds").unwrap_or_default();
            Kind::Entity(kinds.into_iter().map(|(kind, _)| kind.to_lowercase()).collect())
        }
        "user" => Kind::Entity(vec!["user".into()]),
        "team" => Kind::Entity(vec!["group".into()]),
        "date" => Kind::Date,
        "secret" => Kind::Secret,
        _ => {
            keys.not_one_of(at, "type", word, &TYPES);
            return None;
        }
    };
    Some(kind)
}

fn pattern(keys: &mut Fields, text: &str, at: Position) -> Option<regex::Regex> {
    let built = (text.len() <= PATTERN_BYTES_MAX).then(|| {
        RegexBuilder::new(&format!("^(?:{text})$")).size_limit(PATTERN_COMPILED_BYTES_MAX).build()
    });
    match built {
        Some(Ok(pattern)) => Some(pattern),
        _ => {
            let message = "`pattern` is no regular expression, or a very large one.";
            keys.problem(at, "pattern", message, "Write one such as `[a-z][a-z0-9-]*`.");
            None
        }
    }
}

/// A number of `key`, written as one.
fn number(keys: &mut Fields, key: &'static str) -> Option<f64> {
    let node = keys.take(key)?;
    let read = match &node.content {
        Content::Number(number) => number.as_f64().filter(|it| it.is_finite()),
        _ => None,
    };
    if read.is_none() {
        keys.problems.push(fields::wrong_type(keys.file, key, "a number", &node));
    }
    read
}

fn risk(keys: &mut Fields) -> (Risk, Option<Position>) {
    let Some((word, at)) = keys.required("risk") else { return (Risk::High, None) };
    let risk = Risk::ALL.into_iter().find(|it| it.word() == word);
    if risk.is_none() {
        keys.not_one_of(at, "risk", &word, &Risk::ALL.map(Risk::word));
    }
    (risk.unwrap_or(Risk::High), Some(at))
}

fn requesters(keys: &mut Fields, has_target: bool) -> Requesters {
    let Some(node) = keys.take("request") else { return Requesters::Members };
    let Some(mut inner) = Fields::of(node, "request", keys.file, keys.problems) else {
        return Requesters::Members;
    };
    let by = inner.texts("by").unwrap_or_default();
    let mut owners = false;
    let mut members = by.is_empty();
    let mut named = Vec::new();
    for (word, at) in by {
        match word.as_str() {
            "members" => members = true,
            "owners" if has_target => owners = true,
            "owners" => {
                let hint = "Name Groups or Users, or give it a `target`.";
                inner.problem(at, "request", "Nobody owns a target that there is not.", hint);
            }
            _ => named.extend(reference(&mut inner, &word, at, "by")),
        }
    }
    inner.refuse_unknown();
    match members {
        true => Requesters::Members,
        false => Requesters::Only { owners, named },
    }
}

/// What `approve` says, and where.
struct Asking {
    rule: Rule,
    at: Option<Position>,
    delegates: Option<bool>,
    escalate: Option<Duration>,
}

fn rule(keys: &mut Fields) -> Asking {
    let said = |rule, at| Asking { rule, at, delegates: None, escalate: None };
    let Some(node) = keys.take("approve") else { return said(Rule::default(), None) };
    let at = node.at;
    let nobody = Rule { factors: Vec::new(), within_s: WITHIN.as_secs() };
    if matches!(&node.content, Content::Text(word) if word == "nobody") {
        return said(nobody, Some(at));
    }
    let Some(mut inner) = Fields::of(node, "approve", keys.file, keys.problems) else {
        return said(nobody, Some(at));
    };
    let within = inner.duration("within", MINUTE, 30 * DAY).unwrap_or(WITHIN);
    let delegates = inner.flag("delegate");
    let escalate = inner.duration("escalate", MINUTE, 30 * DAY);
    let mut factors: Vec<Factor> = Vec::new();
    for item in inner.items("by") {
        let item_at = item.at;
        let (word, count) = match &item.content {
            Content::Text(word) => (word.clone(), 1),
            _ => {
                let Some(mut one) = Fields::of(item, "by", inner.file, inner.problems) else {
                    continue;
                };
                let who = one.required("who");
                let count = number(&mut one, "count").unwrap_or(1.0);
                one.refuse_unknown();
                let Some((word, _)) = who else { continue };
                if count.fract() != 0.0 || !(1.0..=PEOPLE_MAX as f64).contains(&count) {
                    let message = format!("`count` must be 1 to {PEOPLE_MAX}.");
                    inner.problem(item_at, "approve", message, "Write a whole number.");
                    continue;
                }
                (word, count as usize)
            }
        };
        let who = match word.as_str() {
            "owner" | "owners" => Some(Who::Owner),
            "on-call" => Some(Who::OnCall),
            "nobody" => {
                let hint = "Write `approve: nobody`, or leave `nobody` out.";
                inner.problem(item_at, "approve", "`nobody` stands alone.", hint);
                None
            }
            _ => reference(&mut inner, &word, item_at, "by").map(Who::Named),
        };
        factors.extend(who.map(|who| Factor { who, count }));
    }
    if factors.is_empty() && !inner.problems.iter().any(|it| it.line >= at.line) {
        let hint = "Write `by: [owner]`, or `approve: nobody`.";
        inner.problem(at, "approve", "Nobody is named who approves it.", hint);
    }
    let asks_on_call = factors.iter().any(|it| it.who == Who::OnCall);
    if escalate.is_some() && !asks_on_call {
        let hint = "Add `on-call` to `by`, or leave `escalate` out.";
        inner.problem(at, "approve", "Nobody on call is asked, so that no level follows.", hint);
    }
    if escalate.is_some_and(|it| it >= within) {
        let hint = "Write less than `within`.";
        inner.problem(
            at,
            "approve",
            "It would have expired before the next level is called.",
            hint,
        );
    }
    inner.refuse_unknown();
    Asking { rule: Rule { factors, within_s: within.as_secs() }, at: Some(at), delegates, escalate }
}

/// Whether anybody could meet `rule`, as far as the file alone tells.
fn judge_rule(keys: &mut Fields, rule: &Rule, at: Position, has_target: bool) {
    let of_target = |it: &Factor| matches!(it.who, Who::Owner | Who::OnCall);
    if !has_target && rule.factors.iter().any(of_target) {
        let message = "Nobody could ever approve this: it has no target that somebody owns.";
        let hint = "Give it a `target`, or name who approves: `by: [group:security]`.";
        keys.problem(at, "approve", message, hint);
    }
    let one_user = |it: &Factor| matches!(&it.who, Who::Named(who) if who.kind() == "user");
    let mut users = BTreeSet::new();
    for factor in rule.factors.iter().filter(|it| one_user(it)) {
        let Who::Named(who) = &factor.who else { continue };
        if factor.count > 1 || !users.insert(who) {
            let message = format!("Nobody could ever approve this: `{who}` is one person.");
            keys.problem(at, "approve", message, "Each must be another person.");
        }
    }
    if rule.quorum() > PEOPLE_MAX {
        let message = format!("More than {PEOPLE_MAX} people would have to approve it.");
        keys.problem(at, "approve", message, "Ask fewer.");
    }
}

fn judge_risk(keys: &mut Fields, risk: Risk, rule: &Rule, at: Position) {
    match (risk, rule.quorum()) {
        (Risk::Medium | Risk::High, 0) => {
            let message = "Only what is of low risk is done without approval.";
            keys.problem(at, "risk", message, "Say who approves it, or write `risk: low`.");
        }
        (Risk::High, 1) => {
            let message = "What is of high risk takes two people.";
            keys.problem(at, "risk", message, "Write `by: [owner, on-call]`, or a `count`.");
        }
        _ => {}
    }
}

/// What is of high risk goes only where a lost answer cannot make it run twice.
fn judge_receivers(keys: &mut Fields, risk: Risk, steps: &[Step], at: Position) {
    let searched = steps.iter().find(|it| it.receiver.class() == Class::Searchable);
    if let Some(step) = searched.filter(|_| risk == Risk::High) {
        let message = format!(
            "What is of high risk is redeemed: `{}` could run twice where a process was frozen.",
            step.name
        );
        let hint = "Add `redeem: true` to its `invoke`, and the step that redeems to its job.";
        keys.problem(at, "risk", message, hint);
    }
}

/// Of what GitHub asks for nobody else says who asks, and its answer is all that is done.
fn judge_gate(keys: &mut Fields, steps: &[Step], is_open: bool, at: Position) {
    let is_gate = |it: &Step| matches!(it.receiver, Receiver::Gate(_));
    if !steps.iter().any(is_gate) {
        return;
    }
    if steps.len() > 1 {
        let message = "What GitHub asks for is answered, and nothing else is done.";
        let hint = "Write it as `invoke`, and let the workflow do the rest.";
        keys.problem(at, "github_environment", message, hint);
    }
    if !is_open {
        let message = "GitHub decides who asks for a deployment, and who goes around its rules.";
        let hint = "Leave `request` and `break_glass` out.";
        keys.problem(at, "github_environment", message, hint);
    }
}

/// The channels that `key` names, of each platform at most one.
pub fn channels(keys: &mut Fields, key: &'static str) -> Vec<(Platform, String)> {
    let mut channels = Vec::new();
    let Some(node) = keys.take(key) else { return channels };
    let Some(mut inner) = Fields::of(node, key, keys.file, keys.problems) else {
        return channels;
    };
    for platform in [Platform::Slack, Platform::Discord] {
        let Some((channel, at)) = inner.text(platform.word()) else { continue };
        let channel = channel.trim_start_matches('#').to_string();
        if platform == Platform::Discord && !channel.bytes().all(|it| it.is_ascii_digit()) {
            let message = format!("`{channel}` is not the id of a channel in Discord.");
            inner.problem(at, key, message, "It is a number in quotes.");
            continue;
        }
        channels.push((platform, channel));
    }
    inner.refuse_unknown();
    channels
}

fn at_once(keys: &mut Fields, has_target: bool) -> AtOnce {
    let otherwise = if has_target { AtOnce::Target } else { AtOnce::Action };
    let Some((word, at)) = keys.text("at_once") else { return otherwise };
    match word.as_str() {
        "target" if has_target => AtOnce::Target,
        "action" => AtOnce::Action,
        "any" => AtOnce::Any,
        _ => {
            keys.not_one_of(at, "at_once", &word, &["target", "action", "any"]);
            otherwise
        }
    }
}

fn references(keys: &mut Fields, names: Vec<(String, Position)>, what: &str) -> Vec<EntityRef> {
    names.into_iter().filter_map(|(name, at)| reference(keys, &name, at, what)).collect()
}

/// A User, or a Group: what has no kind is one.
fn reference(keys: &mut Fields, name: &str, at: Position, what: &str) -> Option<EntityRef> {
    match EntityRef::parse(name, Some("group"), "default") {
        Ok(found) if matches!(found.kind(), "group" | "user") => Some(found),
        _ => {
            let message = format!("`{name}` in `{what}` is neither a User nor a Group.");
            let hint = "Write `user:ada`, or `group:shop/payments`.";
            keys.problem(at, "reference", message, hint);
            None
        }
    }
}

/// How long an approved request waits to be done before it ends.
pub const START_WITHIN: Duration = HOUR;

/// What places may name of `inputs`.
fn kinds_of(inputs: &[Input]) -> Vec<(&str, invoke::Kind)> {
    let kind = |it: &Input| match it.kind {
        Kind::Secret => invoke::Kind::Secret,
        Kind::Choice(_) | Kind::Flag => invoke::Kind::OneOf,
        _ => invoke::Kind::Typed,
    };
    inputs.iter().map(|it| (it.name.as_str(), kind(it))).collect()
}

/// The steps, of which one alone may stand as `invoke`.
fn steps(keys: &mut Fields, known: &Known) -> Option<Vec<Step>> {
    if !keys.has("steps") {
        let receiver = invoke::read(keys, known)?;
        return Some(vec![Step { name: "run".into(), when: When::Success, receiver }]);
    }
    let at = keys.at;
    let nodes = keys.items("steps");
    if nodes.len() > STEPS_MAX {
        let message = format!("There are more than {STEPS_MAX} steps.");
        keys.problem(at, "steps", message, "Let one of them do more.");
    }
    let mut steps: Vec<Step> = Vec::new();
    for node in nodes.into_iter().take(STEPS_MAX) {
        let before: Vec<&str> = steps.iter().map(|it| it.name.as_str()).collect();
        let step = step(keys, node, &Known { steps: &before, ..*known });
        steps.extend(step);
    }
    (!steps.is_empty()).then_some(steps)
}

fn step(outer: &mut Fields, node: Node, known: &Known) -> Option<Step> {
    let at = node.at;
    let mut keys = Fields::of(node, "A step", outer.file, outer.problems)?;
    let (name, name_at) = keys.required("name")?;
    let is_good = is_name(&mut keys, &name, name_at, "a step");
    if known.steps.contains(&name.as_str()) {
        keys.problem(
            name_at,
            "conflict",
            format!("The step `{name}` is there already."),
            "Give it another name.",
        );
    }
    let always = keys.flag("always").unwrap_or_default();
    let on_failure = keys.flag("on_failure").unwrap_or_default();
    if always && on_failure {
        let hint = "`always` is done after a failure, too.";
        keys.problem(at, "steps", "A step has either `always` or `on_failure`.", hint);
    }
    let receiver = invoke::read(&mut keys, known);
    keys.refuse_unknown();
    let when = match (always, on_failure) {
        (true, _) => When::Always,
        (_, true) => When::Failure,
        _ => When::Success,
    };
    is_good.then_some(Step { name, when, receiver: receiver? })
}
