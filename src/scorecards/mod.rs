//! Scorecards: what an organisation expects of its entities, and how far each has come.
//!
//! ```text
//! scorecards/*.yaml ──file──▶ Scorecard ─┐
//!    catalog ──describe──▶ entity ───────┼─judge─▶ Judged ──▶ score, flip, history
//!    idp.fact ───────────▶ facts ────────┘        pass, fail or unknown, each with why
//! ```
//!
//! A rule is true, false or unknown, and unknown is never a pass: what nobody has reported, what no longer holds and
//! what could not be evaluated weigh as much as a failure and are told apart from it.

pub mod cause;
pub mod evaluate;
pub mod exemption;
pub mod expression;
pub mod file;
pub mod flow;
pub mod formats;
pub mod judge;
pub mod level;
pub mod preview;
pub mod store;
pub mod summary;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use include_dir::{Dir, include_dir};
use serde::Serialize;

pub use self::expression::Expression;
pub use self::level::{Level, Levels};
use crate::catalog::formats::{fields, folder};
use crate::catalog::{Entity, EntityRef, Problem};
use crate::error::Refusal;
use crate::facts::Kind;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/scorecards");

/// The most scorecard files of one portal.
const FILES_MAX: usize = 50;

/// The kinds of facts, by key.
pub type Keys = BTreeMap<String, Kind>;

/// One scorecard, read and found good.
#[derive(Debug, Clone)]
pub struct Scorecard {
    pub name: String,
    pub title: String,
    /// Empty when it says none.
    pub description: String,
    /// Whether only admins see it.
    pub draft: bool,
    /// Which entities it is about.
    pub filter: Filter,
    pub checks: Vec<Check>,
    pub levels: Levels,
    /// What it says of facts, by key.
    pub facts: BTreeMap<String, FactTerms>,
    pub exemptions: Exemptions,
    /// Another one for each text of the file and kinds of facts.
    pub fingerprint: String,
}

#[derive(Debug, Clone)]
pub struct Check {
    pub name: String,
    pub title: String,
    pub weight: u32,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
pub struct Rule {
    /// Unique in the scorecard.
    pub name: String,
    pub title: String,
    pub weight: u32,
    /// True where the rule passes.
    pub pass: Expression,
    /// Which of the scorecard's entities it applies to.
    pub filter: Filter,
    /// It does not count before.
    pub from: Option<NaiveDate>,
    /// On a ladder, the place of the level that needs it.
    pub level: Option<usize>,
    pub effort: Option<Effort>,
    pub remedy: Remedy,
}

/// Which entities are meant: those that are one of each list that says something, and of which `when` is true.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub kinds: Vec<String>,
    pub types: Vec<String>,
    pub lifecycles: Vec<String>,
    pub tags: Vec<String>,
    pub when: Option<Expression>,
}

/// How much work it is, in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Effort(pub u32);

/// What mends a rule that does not pass; empty where the file says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Remedy {
    pub text: Option<String>,
    pub link: Option<String>,
    /// The name of an action.
    pub action: Option<String>,
}

/// What a scorecard says of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactTerms {
    pub kind: Kind,
    /// How long it holds here; `None`: as long as it was reported to.
    pub valid_for: Option<TimeDelta>,
}

/// Whether, for how long at most, and by whom an entity can be exempt from a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemptions {
    pub enabled: bool,
    pub days_max: u32,
    /// Users, and Groups whose members are meant; none: the portal's admins.
    pub approvers: Vec<EntityRef>,
}

impl Default for Exemptions {
    fn default() -> Exemptions {
        Exemptions { enabled: true, days_max: 90, approvers: Vec::new() }
    }
}

impl Scorecard {
    /// All rules, each with its check, in the order of the file.
    pub fn rules(&self) -> impl Iterator<Item = (&Check, &Rule)> {
        self.checks.iter().flat_map(|check| check.rules.iter().map(move |rule| (check, rule)))
    }

    pub fn rule(&self, name: &str) -> Option<(&Check, &Rule)> {
        self.rules().find(|(_, rule)| rule.name == name)
    }

    /// Whether any of its rules reads facts.
    pub fn reads_facts(&self) -> bool {
        self.rules().any(|(_, rule)| !rule.pass.reads.facts.is_empty())
    }

    /// Whether any of its rules reads the fact `key`.
    pub fn reads_fact(&self, key: &str) -> bool {
        self.rules().any(|(_, rule)| rule.pass.reads.facts.contains(key))
    }
}

impl fmt::Display for Effort {
    /// `30 min`, `4 h`, `2 days`: days of eight hours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            minutes @ 0..60 => write!(f, "{minutes} min"),
            minutes @ 60..960 => write!(f, "{} h", minutes.div_ceil(60)),
            minutes => write!(f, "{} days", minutes.div_ceil(480)),
        }
    }
}

impl Rule {
    /// Whether it looks at what was reported.
    pub fn reads_facts(&self) -> bool {
        !self.pass.reads.facts.is_empty()
    }

    /// When it begins to count; `None`: it always does.
    pub fn counts_from(&self) -> Option<DateTime<Utc>> {
        self.from.map(|date| date.and_time(NaiveTime::MIN).and_utc())
    }
}

impl Filter {
    /// Whether the lists let `entity` through, without a look at what it says.
    pub fn may_mean(&self, entity: &Entity) -> bool {
        let is_in = |list: &[String], word: Option<&str>| {
            list.is_empty()
                || word.is_some_and(|word| list.iter().any(|it| it.eq_ignore_ascii_case(word)))
        };
        is_in(&self.kinds, Some(&entity.kind))
            && is_in(&self.types, entity.class.as_deref())
            && is_in(&self.lifecycles, entity.lifecycle.as_deref())
    }
}

/// Every scorecard there is, the portal's own in place of a built-in one of the same name.
#[derive(Debug, Clone, Default)]
pub struct ScorecardSet {
    /// By name, each once.
    all: Vec<Scorecard>,
}

impl ScorecardSet {
    /// The built-in scorecards, embedded in the binary, and those of the directory `dir` over them; what is wrong with
    /// its files, each named as seen from `dir`.
    ///
    /// A broken file costs nobody but itself. A directory that is not there has no files.
    pub fn load(dir: &Path, keys: &Keys, built_in: bool) -> (ScorecardSet, Vec<Problem>) {
        let mut all = if built_in { ScorecardSet::built_in().all } else { Vec::new() };
        let (texts, mut problems) = folder::read(dir, "scorecard", FILES_MAX);
        let mut own: Vec<(String, Scorecard)> = Vec::new();
        for (name, text) in texts {
            match file::read(&text, &name, keys) {
                Ok(scorecard) => own.push((name, scorecard)),
                Err(of_file) => problems.extend(of_file),
            }
        }
        let named = own.iter().map(|(file, scorecard)| (file.as_str(), scorecard.name.as_str()));
        problems.extend(folder::twice("scorecard", named));
        // Of two files that define one scorecard the first counts.
        for (_, scorecard) in own.into_iter().rev() {
            all.retain(|it| it.name != scorecard.name);
            all.push(scorecard);
        }
        (ScorecardSet::of(all), problems)
    }

    /// The built-in scorecards.
    pub fn built_in() -> ScorecardSet {
        // Read once: a portal is read again with each change of it, and its own files are work enough.
        static READ: LazyLock<ScorecardSet> = LazyLock::new(|| {
            let read = BUILT_IN.files().filter(|it| folder::is_yaml(it.path())).map(|it| {
                let name = it.path().to_string_lossy();
                let text = it.contents_utf8().unwrap_or_default();
                file::read(text, &name, &Keys::new())
                    .expect("the tests read every built-in scorecard")
            });
            ScorecardSet::of(read.collect())
        });
        READ.clone()
    }

    pub fn of(mut all: Vec<Scorecard>) -> ScorecardSet {
        all.sort_by(|a, b| a.name.cmp(&b.name));
        ScorecardSet { all }
    }

    pub fn find(&self, name: &str) -> Option<&Scorecard> {
        let place = self.all.binary_search_by(|it| it.name.as_str().cmp(name)).ok()?;
        Some(&self.all[place])
    }

    pub fn iter(&self) -> impl Iterator<Item = &Scorecard> {
        self.all.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// The rule that `typed` names: `runbook`, or `production-readiness/runbook` where several scorecards have one.
///
/// # Errors
/// A rule that no scorecard has, or several.
pub fn rule<'a>(
    scorecards: &[&'a Scorecard],
    typed: &str,
) -> Result<(&'a Scorecard, &'a Rule), Refusal> {
    let (card, name) = match typed.split_once('/') {
        Some((card, name)) => (Some(card), name),
        None => (None, typed),
    };
    let of_card = |it: &&Scorecard| card.is_none_or(|card| it.name.eq_ignore_ascii_case(card));
    let named: Vec<(&Scorecard, &Rule)> = scorecards
        .iter()
        .copied()
        .filter(of_card)
        .filter_map(|it| {
            Some((it, it.rules().find(|(_, rule)| rule.name.eq_ignore_ascii_case(name))?.1))
        })
        .collect();
    match named[..] {
        [only] => Ok(only),
        [] => {
            let names: Vec<&str> = scorecards
                .iter()
                .flat_map(|it| it.rules().map(|(_, rule)| rule.name.as_str()))
                .collect();
            let expected = match fields::closest(name, names.iter().copied()) {
                Some(closest) => format!("did you mean `{closest}`"),
                None => format!("name one of `{}`", names.join("`, `")),
            };
            Err(Refusal::InvalidArgument {
                argument: "rule".into(),
                value: typed.to_string(),
                expected,
            })
        }
        _ => {
            let full: Vec<String> =
                named.iter().map(|(it, rule)| format!("`{}/{}`", it.name, rule.name)).collect();
            Err(Refusal::InvalidArgument {
                argument: "rule".into(),
                value: typed.to_string(),
                expected: format!("say of which scorecard: {}", full.join(", ")),
            })
        }
    }
}
