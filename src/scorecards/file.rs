//! A scorecard file: one scorecard, as YAML.
//!
//! ```yaml
//! name: production-readiness
//! title: Production readiness
//! description: What a service needs before people rely on it.
//! draft: true                      # only admins see it
//! filter:                          # without it: everything in the catalog
//!   kinds: [Component]             # one of these …
//!   types: [service]
//!   lifecycles: [production]
//!   tags: [pci]                    # at least one of these
//!   when: entity.tier != "3"       # … and this is true; instead of the mapping it may stand alone
//! facts:
//!   coverage: {valid_for: 7d}      # here it holds for so long, whatever idp.yaml says
//! checks:
//!   - name: documentation
//!     title: Documentation
//!     weight: 2                    # 1 without it
//!     rules:
//!       - name: runbook
//!         title: A runbook is linked
//!         weight: 3                # 1 without it
//!         filter: entity.type == "service"
//!         pass: entity.links.exists(it, it.type == "runbook")
//!         from: 2026-03-01         # it does not count before
//!         effort: S                # S, M, L, or minutes
//!         remedy:
//!           text: Add a link of the type `runbook`.
//!           link: https://wiki.acme.example/runbooks
//!           action: add-runbook
//! levels:                          # by the overall percentage …
//!   - {name: Bronze, from: 60, colour: "#b08d57"}
//!   - {name: Silver, from: 80}
//! # levels: [Bronze, Silver]       # … or a ladder: each rule says its `level`
//! exemptions: {enabled: true, days_max: 90, approvers: [group:platform]}   # without approvers: the admins
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use sha2::{Digest, Sha256};

use super::expression::{self, Expression, Vocabulary};
use super::level::{self, Climb};
use super::{
    Check, Effort, Exemptions, FactTerms, Filter, Keys, Level, Levels, Remedy, Rule, Scorecard,
};
use crate::catalog::formats::fields::{self, Fields, closest};
use crate::catalog::formats::yaml::{Content, Entry, Node, Position};
use crate::catalog::{EntityRef, Problem};
use crate::conversation::is_web_page;
use crate::facts::{self, Kind, sources};

/// The most bytes of one file.
const FILE_BYTES_MAX: usize = 256 << 10;
const NAME_CHARACTERS_MAX: usize = 64;
const TITLE_CHARACTERS_MAX: usize = 100;
const TEXT_CHARACTERS_MAX: usize = 1_000;
/// The most bytes of a kind, type, lifecycle or tag.
const WORD_BYTES_MAX: usize = 256;
const CHECKS_MAX: usize = 20;
const RULES_MAX: usize = 100;
const LEVELS_MAX: usize = 10;
const WEIGHT_MAX: u64 = 1_000;
const MINUTES_MAX: u64 = 100_000;
const EXEMPT_DAYS_MAX: u64 = 3_650;
const VALID_MIN: Duration = Duration::from_secs(60);
const VALID_MAX: Duration = Duration::from_secs(3_660 * 86_400);

/// What S, M and L stand for, in minutes: half an hour, half a day, two days.
const EFFORTS: [(&str, u32); 3] = [("S", 30), ("M", 240), ("L", 960)];

/// The scorecard that `text` says; `file` is named in problems. `keys` are the facts of the settings: without any, those
/// count that the file declares.
///
/// # Errors
/// Every problem of the file.
pub fn read(text: &str, file: &str, keys: &Keys) -> Result<Scorecard, Vec<Problem>> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("The file has more than {FILE_BYTES_MAX} bytes.");
        return Err(vec![Problem::of_file(file, "size", message, "Write several scorecards.")]);
    }
    let root = fields::read(text, file).map_err(|problem| vec![*problem])?;
    let mut problems = Vec::new();
    let scorecard = Reader { text, keys }.scorecard(root, file, &mut problems);
    match scorecard {
        Some(scorecard) if problems.is_empty() => Ok(scorecard),
        _ => {
            problems.sort_by_key(|problem| (problem.line, problem.column));
            Err(problems)
        }
    }
}

/// The levels of a file.
#[derive(Default)]
struct Rungs {
    levels: Levels,
    /// Where each stands.
    places: Vec<Position>,
    /// Whether something is wrong with them, which is told once.
    is_broken: bool,
}

struct Reader<'a> {
    /// Of the whole file.
    text: &'a str,
    keys: &'a Keys,
}

impl Reader<'_> {
    /// `None` only where a problem was told.
    fn scorecard(&self, root: Node, file: &str, problems: &mut Vec<Problem>) -> Option<Scorecard> {
        let mut keys = Fields::of(root, "A scorecard file", file, problems)?;
        let name = name(&mut keys);
        let title = title(&mut keys, "title", name.as_deref());
        let description = short_text(&mut keys, "description").unwrap_or_default();
        let draft = keys.flag("draft").unwrap_or(false);
        let filter = self.filter(&mut keys);
        let facts = self.facts(&mut keys);
        let vocabulary = Vocabulary {
            entity: facts::catalog::kind(),
            facts: Some(facts.iter().map(|(key, it)| (key.clone(), it.kind.clone())).collect()),
        };
        let rungs = rungs(&mut keys);
        let checks = self.checks(&mut keys, &rungs, &vocabulary);
        let exemptions = exemptions(&mut keys);
        keys.refuse_unknown();
        Some(Scorecard {
            name: name?,
            title: title?,
            description,
            draft,
            filter,
            checks: checks?,
            levels: rungs.levels,
            fingerprint: fingerprint(self.text, &facts),
            facts,
            exemptions,
        })
    }

    /// The facts that may be read, each as this scorecard takes it.
    fn facts(&self, outer: &mut Fields) -> BTreeMap<String, FactTerms> {
        let known = self.keys.iter();
        let terms = |kind: &Kind| FactTerms { kind: kind.clone(), valid_for: None };
        let mut facts: BTreeMap<String, FactTerms> =
            known.map(|(key, kind)| (key.clone(), terms(kind))).collect();
        for Entry { key, key_at, value } in outer.named("facts") {
            let Some(mut fields) = Fields::of(value, &key, outer.file, outer.problems) else {
                continue;
            };
            let kind = fields.text("type").and_then(|(word, at)| {
                let kind = sources::kind(&word);
                if kind.is_none() {
                    fields.not_one_of(at, "type", &word, &sources::KINDS);
                }
                kind.map(|kind| (kind, at))
            });
            let valid_for = fields.duration("valid_for", VALID_MIN, VALID_MAX);
            let valid_for = valid_for.and_then(|it| TimeDelta::from_std(it).ok());
            let has_problems = !fields.problems.is_empty();
            fields.refuse_unknown();
            let kind = match (self.keys.get(&key), kind) {
                (Some(known), Some((kind, at))) if *known != kind => {
                    let message = format!("`{key}` is a {known} in idp.yaml, not a {kind}.");
                    outer.problem(at, "fact-type", message, "Leave `type` out here.");
                    continue;
                }
                (Some(known), _) => known.clone(),
                (None, _) if !self.keys.is_empty() => {
                    let hint = match closest(&key, self.keys.keys().map(String::as_str)) {
                        Some(meant) => format!("Did you mean `{meant}`?"),
                        None => "Declare it under `facts` in idp.yaml: who reports it?".to_string(),
                    };
                    outer.problem(key_at, "fact", format!("There is no fact `{key}`."), hint);
                    continue;
                }
                (None, Some((kind, _))) => kind,
                (None, None) => {
                    if !has_problems {
                        let message = format!("The fact `{key}` has no type.");
                        let hint = "Add `type: number`, or bool, text, time or list.";
                        outer.problem(key_at, "fact-type", message, hint);
                    }
                    continue;
                }
            };
            facts.insert(key, FactTerms { kind, valid_for });
        }
        facts
    }

    fn filter(&self, outer: &mut Fields) -> Filter {
        let vocabulary = Vocabulary { entity: facts::catalog::kind(), facts: None };
        let Some(node) = outer.take("filter") else { return Filter::default() };
        if !node.is_mapping() {
            let when = self.expression(node, "filter", &vocabulary, outer);
            return Filter { when, ..Filter::default() };
        }
        let Some(mut fields) = Fields::of(node, "filter", outer.file, outer.problems) else {
            return Filter::default();
        };
        let mut list = |key| {
            let texts = fields.texts(key).unwrap_or_default();
            if let Some((_, at)) = texts.iter().find(|(it, _)| it.len() > WORD_BYTES_MAX) {
                let message = format!("A word of `{key}` has more than {WORD_BYTES_MAX} bytes.");
                fields.problem(*at, "size", message, "Nothing in the catalog is called so.");
            }
            texts.into_iter().map(|(text, _)| text).collect::<Vec<_>>()
        };
        let (kinds, types) = (list("kinds"), list("types"));
        let (lifecycles, tags) = (list("lifecycles"), list("tags"));
        let when = fields.take("when");
        let when = when.and_then(|node| self.expression(node, "when", &vocabulary, &mut fields));
        fields.refuse_unknown();
        Filter { kinds, types, lifecycles, tags, when }
    }

    fn expression(
        &self,
        node: Node,
        key: &str,
        vocabulary: &Vocabulary,
        fields: &mut Fields,
    ) -> Option<Expression> {
        let same_for_all = |at, fields: &mut Fields| {
            let message = format!("`{key}` is the same for everything.");
            fields.problem(at, "expression", message, "Ask something of `entity`.");
            None
        };
        if let Content::Bool(_) = node.content {
            return same_for_all(node.at, fields);
        }
        let (source, at) = fields.as_text(node, key)?;
        match Expression::read(&source, vocabulary) {
            Ok(expression) if expression.reads.is_empty() => same_for_all(at, fields),
            Ok(expression) => Some(expression),
            Err(broken) => {
                let at = within(self.text, at, &source, &broken);
                fields.problem(at, "expression", broken.message, broken.hint);
                None
            }
        }
    }

    fn checks(
        &self,
        outer: &mut Fields,
        rungs: &Rungs,
        vocabulary: &Vocabulary,
    ) -> Option<Vec<Check>> {
        let at = outer.at;
        let nodes = outer.items("checks");
        if nodes.is_empty() {
            let hint = "Add `checks:` with at least one check and one rule.";
            outer.problem(at, "required-field", "A scorecard has checks.", hint);
            return None;
        }
        if let Some(first) = nodes.get(CHECKS_MAX) {
            let message = format!("There are more than {CHECKS_MAX} checks.");
            outer.problem(first.at, "size", message, "Write several scorecards.");
        }
        let mut names: BTreeMap<String, Position> = BTreeMap::new();
        let mut rules: BTreeMap<String, Position> = BTreeMap::new();
        let mut checks = Vec::new();
        for node in nodes.into_iter().take(CHECKS_MAX) {
            let Some(mut keys) = Fields::of(node, "a check", outer.file, outer.problems) else {
                continue;
            };
            let at = keys.at;
            let name = name(&mut keys);
            let title = title(&mut keys, "title", name.as_deref());
            let weight = weight(&mut keys);
            let found = self.rules(&mut keys, rungs, vocabulary, &mut rules);
            keys.refuse_unknown();
            if let Some(name) = &name {
                twice(&mut names, name, "check", at, outer);
            }
            let (Some(name), Some(title), Some(weight)) = (name, title, weight) else { continue };
            checks.push(Check { name, title, weight, rules: found });
        }
        if rungs.levels.climb == Climb::Ladder && outer.problems.is_empty() {
            unreached(rungs, &checks, outer);
        }
        Some(checks)
    }

    fn rules(
        &self,
        outer: &mut Fields,
        rungs: &Rungs,
        vocabulary: &Vocabulary,
        names: &mut BTreeMap<String, Position>,
    ) -> Vec<Rule> {
        let at = outer.at;
        let nodes = outer.items("rules");
        if nodes.is_empty() {
            let hint = "Add `rules:` with at least one rule.";
            outer.problem(at, "required-field", "A check has rules.", hint);
        }
        let mut rules = Vec::new();
        for node in nodes {
            let Some(mut keys) = Fields::of(node, "a rule", outer.file, outer.problems) else {
                continue;
            };
            let at = keys.at;
            let name = name(&mut keys);
            let rule = self.rule(&mut keys, name.clone(), rungs, vocabulary);
            keys.refuse_unknown();
            if let Some(name) = &name {
                twice(names, name, "rule", at, outer);
            }
            if names.len() == RULES_MAX + 1 {
                let message = format!("There are more than {RULES_MAX} rules.");
                outer.problem(at, "size", message, "Write several scorecards.");
            }
            rules.extend(rule);
        }
        rules
    }

    fn rule(
        &self,
        keys: &mut Fields,
        name: Option<String>,
        rungs: &Rungs,
        vocabulary: &Vocabulary,
    ) -> Option<Rule> {
        let title = title(keys, "title", name.as_deref());
        let weight = weight(keys);
        let filter = self.filter(keys);
        let pass = match keys.take("pass") {
            Some(node) => self.expression(node, "pass", vocabulary, keys),
            None => {
                let hint = "Add `pass: …`, an expression that is true where the rule passes.";
                keys.problem(keys.at, "required-field", "`pass` is missing.", hint);
                None
            }
        };
        let from = date(keys);
        let level = level_of_rule(keys, rungs);
        let effort = effort(keys);
        let remedy = remedy(keys);
        Some(Rule {
            name: name?,
            title: title?,
            weight: weight?,
            pass: pass?,
            filter,
            from,
            level,
            effort,
            remedy,
        })
    }
}

fn fingerprint(text: &str, facts: &BTreeMap<String, FactTerms>) -> String {
    let mut hash = Sha256::new();
    hash.update(text);
    hash.update(format!("{facts:?}"));
    hex::encode(&hash.finalize()[..12])
}

fn name(keys: &mut Fields) -> Option<String> {
    let (name, at) = keys.required("name")?;
    let is_name = name.len() <= NAME_CHARACTERS_MAX
        && name.starts_with(|it: char| it.is_ascii_lowercase())
        && name.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-');
    if !is_name {
        let message = format!("`{}` cannot be a name.", cut(&name));
        let hint = "Use up to 64 lower-case letters, digits and `-`, a letter first.";
        keys.problem(at, "name", message, hint);
        return None;
    }
    Some(name)
}

/// What people read; without it the name, `on-call` as `On call`.
fn title(keys: &mut Fields, key: &'static str, name: Option<&str>) -> Option<String> {
    let Some((title, at)) = keys.text(key) else {
        let name = name?.replace('-', " ");
        let mut letters = name.chars();
        let first = letters.next().map(|it| it.to_ascii_uppercase());
        return Some(first.into_iter().chain(letters).collect());
    };
    if title.chars().count() > TITLE_CHARACTERS_MAX || title.contains('\n') {
        let message =
            format!("`{key}` has more than one line or {TITLE_CHARACTERS_MAX} characters.");
        keys.problem(at, "size", message, "Shorten it.");
        return None;
    }
    Some(title)
}

fn short_text(keys: &mut Fields, key: &'static str) -> Option<String> {
    let (text, at) = keys.text(key)?;
    if text.chars().count() > TEXT_CHARACTERS_MAX {
        let message = format!("`{key}` has more than {TEXT_CHARACTERS_MAX} characters.");
        keys.problem(at, "size", message, "Shorten it, and link to the rest.");
        return None;
    }
    Some(text.trim().to_string())
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Says so where `name` stood before.
fn twice(
    names: &mut BTreeMap<String, Position>,
    name: &str,
    what: &str,
    at: Position,
    fields: &mut Fields,
) {
    if let Some(first) = names.get(name) {
        let message = format!("There is a {what} `{name}` in line {} already.", first.line);
        fields.problem(at, "conflict", message, "Give it another name.");
        return;
    }
    names.insert(name.to_string(), at);
}

/// A whole number from 1 to `most`.
fn number(keys: &mut Fields, key: &'static str, most: u64) -> Option<Option<u32>> {
    let Some(node) = keys.take(key) else { return Some(None) };
    let found = match &node.content {
        Content::Number(number) => number.as_u64().filter(|it| (1..=most).contains(it)),
        _ => None,
    };
    if found.is_none() {
        let message = format!("`{key}` is not a whole number from 1 to {most}.");
        keys.problem(node.at, "range", message, "Write it without quotes and units.");
    }
    found.map(|it| u32::try_from(it).ok())
}

fn weight(keys: &mut Fields) -> Option<u32> {
    number(keys, "weight", WEIGHT_MAX).map(|weight| weight.unwrap_or(1))
}

fn date(keys: &mut Fields) -> Option<NaiveDate> {
    let (text, at) = keys.text("from")?;
    let date = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok().filter(|_| text.len() == 10);
    if date.is_none() {
        let message = format!("`{}` is not a day.", cut(&text));
        keys.problem(at, "date", message, "Write it as 2026-01-31.");
    }
    date
}

fn effort(keys: &mut Fields) -> Option<Effort> {
    let node = keys.take("effort")?;
    let found = match &node.content {
        Content::Number(number) => number
            .as_u64()
            .filter(|it| (1..=MINUTES_MAX).contains(it))
            .and_then(|it| u32::try_from(it).ok()),
        Content::Text(word) => EFFORTS.iter().find(|(known, _)| known == word).map(|it| it.1),
        _ => None,
    };
    if found.is_none() {
        let hint = "Write S (half an hour), M (half a day), L (two days), or minutes such as 15.";
        keys.problem(node.at, "effort", "This is not an effort.", hint);
    }
    found.map(Effort)
}

fn remedy(outer: &mut Fields) -> Remedy {
    let Some(node) = outer.take("remedy") else { return Remedy::default() };
    if !node.is_mapping() {
        let text = outer.as_text(node, "remedy").map(|(text, _)| text.trim().to_string());
        return Remedy { text, ..Remedy::default() };
    }
    let Some(mut keys) = Fields::of(node, "remedy", outer.file, outer.problems) else {
        return Remedy::default();
    };
    let text = short_text(&mut keys, "text");
    let link = keys.text("link").and_then(|(link, at)| {
        let is_page = url::Url::parse(&link).is_ok_and(|url| is_web_page(&url));
        if !is_page {
            let message = format!("`{}` is not the address of a web page.", cut(&link));
            keys.problem(at, "link", message, "Write `https://…`.");
        }
        is_page.then_some(link)
    });
    let action = keys.text("action").and_then(|(action, at)| {
        let is_name = action.len() <= NAME_CHARACTERS_MAX
            && action.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-');
        if !is_name {
            let message = format!("`{}` cannot be the name of an action.", cut(&action));
            keys.problem(at, "name", message, "Use lower-case letters, digits and `-`.");
        }
        is_name.then_some(action)
    });
    keys.refuse_unknown();
    Remedy { text, link, action }
}

fn exemptions(outer: &mut Fields) -> Exemptions {
    let mut exemptions = Exemptions::default();
    let Some(node) = outer.take("exemptions") else { return exemptions };
    let Some(mut keys) = Fields::of(node, "exemptions", outer.file, outer.problems) else {
        return exemptions;
    };
    exemptions.enabled = keys.flag("enabled").unwrap_or(exemptions.enabled);
    if let Some(Some(days)) = number(&mut keys, "days_max", EXEMPT_DAYS_MAX) {
        exemptions.days_max = days;
    }
    for (approver, at) in keys.texts("approvers").unwrap_or_default() {
        match EntityRef::parse(&approver, None, "default") {
            Ok(it) if matches!(it.kind(), "user" | "group") => exemptions.approvers.push(it),
            _ => {
                let message = format!("`{}` names neither a User nor a Group.", cut(&approver));
                let hint = "Write `group:platform` or `user:ada`.";
                keys.problem(at, "reference", message, hint);
            }
        }
    }
    keys.refuse_unknown();
    exemptions
}

/// The levels, the lowest first.
fn rungs(outer: &mut Fields) -> Rungs {
    let Some(node) = outer.take("levels") else { return Rungs::default() };
    levels(node, outer).unwrap_or(Rungs { is_broken: true, ..Rungs::default() })
}

/// `None` where a problem was told.
fn levels(node: Node, outer: &mut Fields) -> Option<Rungs> {
    let Content::List(items) = node.content else {
        let wrong = fields::wrong_type(outer.file, "levels", "a list", &node);
        outer.problems.push(wrong);
        return None;
    };
    if items.is_empty() {
        let hint = "Write `- {name: Bronze, from: 60}`, or leave `levels` out.";
        outer.problem(node.at, "level", "There are no levels in it.", hint);
        return None;
    }
    if let Some(first) = items.get(LEVELS_MAX) {
        let message = format!("There are more than {LEVELS_MAX} levels.");
        outer.problem(first.at, "level", message, "Nobody tells so many apart.");
        return None;
    }
    let before = outer.problems.len();
    let mut found: Vec<(Level, Position)> = Vec::new();
    for (place, item) in items.into_iter().enumerate() {
        let at = item.at;
        let Some(level) = one_level(item, place, outer) else { continue };
        if let Some((other, _)) = found.iter().find(|(it, _)| it.name == level.name) {
            let message = format!("There are two levels `{}`.", other.name);
            outer.problem(at, "level", message, "Give one of them another name.");
        } else if let Some((other, _)) =
            found.iter().find(|(it, _)| it.from.is_some() && it.from == level.from)
        {
            let message = format!(
                "`{}` and `{}` begin at the same percentage: nobody would ever be `{}`.",
                other.name, level.name, other.name
            );
            outer.problem(at, "level", message, "Give one of them another `from`.");
        }
        found.push((level, at));
    }
    let thresholds = found.iter().filter(|(level, _)| level.from.is_some()).count();
    let is_mixed = thresholds != 0 && thresholds != found.len();
    if is_mixed && outer.problems.len() == before {
        let odd = found.iter().find(|(level, _)| level.from.is_none());
        if let Some((level, at)) = odd {
            let message = format!("`{}` has no `from`, and others have.", level.name);
            let hint = "Either all levels have one, or none: then rules say their `level`.";
            outer.problem(*at, "level", message, hint);
        }
    }
    if outer.problems.len() > before {
        return None;
    }
    let climb = if thresholds == 0 { Climb::Ladder } else { Climb::Thresholds };
    found.sort_by_key(|(level, _)| level.from);
    let (all, places) = found.into_iter().unzip();
    Some(Rungs { levels: Levels { climb, all }, places, is_broken: false })
}

fn one_level(item: Node, place: usize, outer: &mut Fields) -> Option<Level> {
    if !item.is_mapping() {
        let (name, at) = outer.as_text(item, "levels")?;
        let name = level_name(name, at, outer)?;
        return Some(Level { colour: level::colour(&name, place).into(), name, from: None });
    }
    let mut keys = Fields::of(item, "a level", outer.file, outer.problems)?;
    let name = keys.required("name").and_then(|(name, at)| level_name(name, at, &mut keys));
    let from = keys.take("from").map(|node| match &node.content {
        Content::Number(number) if number.as_u64().is_some_and(|it| it <= 100) => {
            number.as_u64().and_then(|it| u8::try_from(it).ok())
        }
        _ => {
            let message = "Nobody reaches this: `from` is not a whole number from 0 to 100.";
            keys.problem(node.at, "level", message, "It is a percentage, without a `%`.");
            None
        }
    });
    let colour = keys.text("colour").and_then(|(colour, at)| {
        if !level::is_colour(&colour) {
            let message = format!("`{}` is not a colour.", cut(&colour));
            keys.problem(at, "colour", message, "Write it as \"#b08d57\".");
            return None;
        }
        Some(colour)
    });
    keys.refuse_unknown();
    let name = name?;
    let colour = colour.unwrap_or_else(|| level::colour(&name, place).to_string());
    Some(Level { name, colour, from: from.flatten() })
}

fn level_name(name: String, at: Position, fields: &mut Fields) -> Option<String> {
    let name = name.trim().to_string();
    if name.chars().count() > 40 || name.chars().any(char::is_control) {
        fields.problem(at, "level", "This name of a level is too long.", "Write one or two words.");
        return None;
    }
    Some(name)
}

fn level_of_rule(keys: &mut Fields, rungs: &Rungs) -> Option<usize> {
    let (word, at) = keys.text("level")?;
    let levels = &rungs.levels;
    if rungs.is_broken {
        return None;
    }
    if levels.all.is_empty() {
        let hint = "Add `levels: [Bronze, Silver]`, the lowest first.";
        keys.problem(at, "level", "There are no levels to belong to.", hint);
        return None;
    }
    if levels.climb == Climb::Thresholds {
        let message = "The levels of this scorecard are reached by percentages.";
        let hint = "Leave `level` out here, or `from` out of the levels.";
        keys.problem(at, "level", message, hint);
        return None;
    }
    let place = levels.place(&word);
    if place.is_none() {
        let names: Vec<&str> = levels.all.iter().map(|level| level.name.as_str()).collect();
        keys.not_one_of(at, "level", &cut(&word), &names);
    }
    place
}

/// A rung that no rule asks for is no rung.
fn unreached(rungs: &Rungs, checks: &[Check], fields: &mut Fields) {
    for (place, (level, at)) in rungs.levels.all.iter().zip(&rungs.places).enumerate() {
        let mut rules = checks.iter().flat_map(|check| &check.rules);
        if !rules.any(|rule| rule.level == Some(place)) {
            let message =
                format!("No rule has the level `{}`: everybody would have it.", level.name);
            fields.problem(*at, "level", message, "Give it a rule, or leave it out.");
        }
    }
}

/// Where in the file `text` the place of `broken` is: the expression `source` is the value at `at`.
///
/// Characters that are no blanks are counted in both: a value may be folded, indented and quoted.
fn within(text: &str, at: Position, source: &str, broken: &expression::Broken) -> Position {
    let is_ink = |it: &char| !it.is_whitespace();
    let lines = source.split('\n').enumerate();
    let mut before = 0;
    for (number, line) in lines.take(broken.line as usize) {
        let characters = match number + 1 == broken.line as usize {
            true => broken.column as usize - 1,
            false => usize::MAX,
        };
        before += line.chars().take(characters).filter(is_ink).count();
    }
    let mut place = Position { line: at.line, column: at.column };
    let start: usize = text.split_inclusive('\n').take(at.line as usize - 1).map(str::len).sum();
    let mut rest = text[start..].chars().skip(at.column as usize - 1).peekable();
    let quote = rest.peek().copied().filter(|it| matches!(it, '"' | '\''));
    if quote.is_some() {
        rest.next();
        place.column += 1;
    }
    let mut left = before;
    while let Some(character) = rest.next() {
        if is_ink(&character) {
            if left == 0 {
                return place;
            }
            left -= 1;
        }
        place.column += 1;
        if character == '\n' {
            place = Position { line: place.line + 1, column: 1 };
        }
        let is_escape = (character == '\\' && quote == Some('"'))
            || (character == '\'' && quote == Some('\'') && rest.peek() == Some(&'\''));
        if is_escape && rest.next().is_some() {
            place.column += 1;
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r##"name: service
title: Service
filter: {kinds: [Component], when: entity.type == "service"}
facts:
  coverage: {type: number, valid_for: 7d}
checks:
  - name: docs
    weight: 2
    rules:
      - name: runbook
        title: A runbook is linked
        pass: entity.links.exists(it, it.type == "runbook")
        effort: S
        remedy: {text: Link it., link: "https://wiki.example/runbooks", action: add-runbook}
      - name: on-call
        filter: entity.tier == "1"
        pass: |
          entity.on_call != ""
            && facts.coverage > 80
        from: 2026-03-01
        weight: 3
        effort: 15
levels:
  - {name: Silver, from: 80, colour: "#9aa4b1"}
  - {name: Bronze, from: 60}
exemptions: {enabled: true, days_max: 30}
"##;

    fn good(text: &str) -> Scorecard {
        read(text, "f.yaml", &Keys::new()).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    #[test]
    fn a_scorecard_is_what_its_file_says() {
        let it = good(GOOD);
        assert_eq!((&*it.name, &*it.title, it.draft), ("service", "Service", false));
        assert_eq!(it.facts["coverage"].valid_for, Some(TimeDelta::days(7)));
        let levels: Vec<_> = it.levels.all.iter().map(|it| (&*it.name, it.from)).collect();
        assert_eq!(levels, [("Bronze", Some(60)), ("Silver", Some(80))]);
        assert_eq!(it.exemptions, Exemptions { enabled: true, days_max: 30, approvers: vec![] });
        let (check, runbook) = it.rule("runbook").unwrap();
        assert_eq!((&*check.title, check.weight, runbook.effort), ("Docs", 2, Some(Effort(30))));
        assert_eq!(runbook.remedy.action.as_deref(), Some("add-runbook"));
        let (_, on_call) = it.rule("on-call").unwrap();
        assert_eq!((&*on_call.title, on_call.weight), ("On call", 3));
        assert_eq!(on_call.from, NaiveDate::from_ymd_opt(2026, 3, 1));
        assert!(it.reads_fact("coverage") && !it.reads_fact("other"));
    }

    #[test]
    fn the_fingerprint_is_another_for_another_text_and_other_facts() {
        let other = GOOD.replace("weight: 3", "weight: 4");
        let keys = Keys::from([("coverage".to_string(), Kind::Number), ("a".into(), Kind::Bool)]);
        let of_keys = read(GOOD, "f.yaml", &keys).unwrap();
        let prints = [good(GOOD), good(&other), of_keys].map(|it| it.fingerprint);
        assert!(prints[0] != prints[1] && prints[0] != prints[2]);
        assert_eq!(good(GOOD).fingerprint, prints[0]);
    }

    /// What is told where `new` stands instead of `old`, which stands once.
    fn told(old: &str, new: &str) -> Problem {
        assert_eq!(GOOD.matches(old).count(), 1, "{old}");
        let problems = read(&GOOD.replace(old, new), "f.yaml", &Keys::new()).expect_err(new);
        problems.into_iter().next().unwrap()
    }

    #[test]
    fn each_mistake_is_told_with_line_column_and_hint() {
        for (old, new, line, column, message, hint) in [
            ("name: service", "name: Service", 1, 7, "cannot be a name", "lower-case"),
            ("name: service\n", "", 1, 1, "`name` is missing", "Add `name: …`"),
            ("title: Service", "titel: Service", 2, 1, "no key `titel`", "Did you mean `title`?"),
            (
                "when: entity.type",
                "when: entity.lifecyle",
                3,
                36,
                "has no `lifecyle`",
                "Did you mean `lifecycle`?",
            ),
            (
                "entity.type == \"service\"",
                "facts.coverage > 1",
                3,
                36,
                "A filter has no facts",
                "pass",
            ),
            (
                "type: number",
                "type: numbr",
                5,
                20,
                "`numbr` is no `type`",
                "Did you mean `number`?",
            ),
            ("valid_for: 7d", "valid_for: 7", 5, 39, "not a length of time", "7d"),
            (
                "it.type == \"runbook\"",
                "it.tpe == \"runbook\"",
                12,
                39,
                "`it` has no `tpe`",
                "`type`",
            ),
            ("entity.on_call != \"\"", "entity.oncall != \"\"", 18, 11, "no `oncall`", "`on_call`"),
            (
                "facts.coverage > 80",
                "facts.covrage > 80",
                19,
                16,
                "no fact `covrage`",
                "`coverage`",
            ),
            (
                "facts.coverage > 80",
                "facts.coverage > \"80\"",
                19,
                16,
                "cannot be compared",
                "without quotes",
            ),
            (
                "facts.coverage > 80",
                "facts.coverage",
                19,
                16,
                "is a number and should be a bool",
                "Compare",
            ),
            (
                "pass: entity.links.exists(it, it.type == \"runbook\")",
                "pass: true",
                12,
                15,
                "the same for everything",
                "entity",
            ),
            (
                "        pass: entity.links.exists(it, it.type == \"runbook\")\n",
                "",
                10,
                9,
                "`pass` is missing",
                "Add",
            ),
            (
                "name: on-call",
                "name: runbook",
                15,
                9,
                "a rule `runbook` in line 10",
                "another name",
            ),
            ("effort: S", "effort: XL", 13, 17, "not an effort", "S (half an hour)"),
            ("effort: 15", "effort: 0", 22, 17, "not an effort", ""),
            ("from: 2026-03-01", "from: 2026-02-30", 20, 15, "is not a day", "2026-01-31"),
            ("weight: 3", "weight: 0", 21, 17, "not a whole number from 1 to 1000", ""),
            ("weight: 2", "weight: -2", 8, 13, "not a whole number", ""),
            ("https://wiki", "wiki", 14, 40, "not the address of a web page", "https"),
            ("add-runbook", "Add runbook", 14, 81, "cannot be the name of an action", ""),
            ("from: 80", "from: 101", 24, 26, "Nobody reaches this", "percentage"),
            ("from: 80", "from: 60", 25, 5, "begin at the same percentage", "another `from`"),
            ("name: Bronze", "name: Silver", 25, 5, "two levels `Silver`", "another name"),
            (", from: 60", "", 25, 5, "`Bronze` has no `from`, and others have", "Either all"),
            ("\"#9aa4b1\"", "silver", 24, 38, "is not a colour", "#b08d57"),
            ("days_max: 30", "days_max: no", 26, 39, "not a whole number", ""),
            ("enabled: true", "enabled: yes", 26, 23, "should be `true` or `false`", ""),
            (
                "        weight: 3\n",
                "        level: Gold\n",
                21,
                16,
                "reached by percentages",
                "Leave `level` out",
            ),
        ] {
            let found = told(old, new);
            assert_eq!((found.line, found.column), (line, column), "{new}: {found:?}");
            assert!(found.message.contains(message), "{new}: {found:?}");
            assert!(found.hint.contains(hint), "{new}: {found:?}");
        }
    }

    #[test]
    fn a_rung_of_a_ladder_is_one_that_rules_ask_for() {
        let ladder = |levels: &str, level: &str| {
            format!(
                "name: a\nchecks:\n  - name: b\n    rules:\n      - {{name: c, pass: entity.docs, level: {level}}}\nlevels: {levels}\n"
            )
        };
        let told = |text: &str| {
            let problems = read(text, "f.yaml", &Keys::new()).expect_err(text);
            assert_eq!(problems.len(), 1, "{problems:?}");
            (problems[0].line, problems[0].column, problems[0].message.clone())
        };
        assert_eq!(good(&ladder("[Bronze]", "Bronze")).rule("c").unwrap().1.level, Some(0));
        assert_eq!(told(&ladder("[Bronze]", "Brnze")), (5, 45, "`Brnze` is no `level`.".into()));
        assert_eq!(
            told(&ladder("[Bronze, Silver]", "Bronze")),
            (6, 18, "No rule has the level `Silver`: everybody would have it.".into())
        );
        assert_eq!(told(&ladder("[]", "Bronze")).2, "There are no levels in it.");
        assert_eq!(
            told(&ladder("[Bronze]", "Bronze").replace("levels: [Bronze]\n", "")).2,
            "There are no levels to belong to."
        );
    }

    #[test]
    fn a_place_in_an_expression_is_a_place_in_the_file_however_it_is_written() {
        let at = |pass: &str| {
            let text = format!(
                "name: a\nchecks:\n  - name: b\n    rules:\n      - name: c\n        pass: {pass}\n"
            );
            let problems = read(&text, "f.yaml", &Keys::new()).expect_err(pass);
            let column = text.lines().nth(problems[0].line as usize - 1).unwrap();
            let from = column.char_indices().nth(problems[0].column as usize - 1).unwrap().0;
            column[from..].split([' ', '"', '\'']).next().unwrap().to_string()
        };
        for pass in [
            "entity.docs || entity.bad",
            "\"entity.docs || entity.bad\"",
            "'entity.docs || entity.bad'",
            "\"entity.name == \\\"é\\\" || entity.bad\"",
            "'entity.name == ''é'' || entity.bad'",
            "entity.docs\n          || entity.bad",
            "|\n          entity.docs\n            || entity.bad",
            "|2-\n            entity.docs\n            || entity.bad",
            ">\n          entity.docs\n          || entity.bad",
            "# why\n          entity.docs || entity.bad",
        ] {
            assert_eq!(at(pass), "entity.bad", "{pass}");
        }
    }

    #[test]
    fn facts_are_those_of_the_settings_or_without_any_those_declared() {
        let keys = Keys::from([("coverage".to_string(), Kind::Number)]);
        let with = |new: &str| {
            read(&GOOD.replace("coverage: {type: number, valid_for: 7d}", new), "f.yaml", &keys)
        };
        assert!(with("coverage: {valid_for: 7d}").is_ok());
        let told = |new: &str| {
            let problems = with(new).expect_err(new);
            (problems[0].line, problems[0].column, problems[0].message.clone())
        };
        assert_eq!(
            told("coverage: {type: text}"),
            (5, 20, "`coverage` is a number in idp.yaml, not a text.".into())
        );
        assert_eq!(told("covrage: {type: number}"), (5, 3, "There is no fact `covrage`.".into()));
        let undeclared = GOOD.replace("facts:\n  coverage: {type: number, valid_for: 7d}\n", "");
        assert!(read(&undeclared, "f.yaml", &keys).is_ok());
        assert!(read(&undeclared, "f.yaml", &Keys::new()).is_err());
    }
}
