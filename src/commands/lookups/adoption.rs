//! How idp is used: by how many, of which teams, for what; what was asked in vain, and whether answers helped.
//!
//! Nobody is named here but those who say something of an answer: it is a report about idp, not about people.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{Named, PAGE_ROWS, Page, json, offset, related};
use crate::catalog::snapshot::Resolution;
use crate::catalog::{Entity, EntityRef, RelationKind, Snapshot};
use crate::commands::CommandSet;
use crate::commands::file::{ArgumentKind, Opt};
use crate::commands::parse::{Call, parse};
use crate::commands::resolve::{Question, words};
use crate::commands::unanswered::Asked;
use crate::conversation::{Platform, Way};
use crate::error::Result;
use crate::pictures::chart::Chart;
use crate::scorecards::exemption::Decisions;
use crate::usage::feedback::Said;
use crate::usage::flow::AllSaid;
use crate::usage::report::{Figures, OfCommand, Period};

/// The most that was asked in vain that is looked through: what is answered by now is left out.
pub const IN_VAIN_MAX: i64 = 60;

/// The most of it that the overview names.
const IN_VAIN_NAMED_MAX: usize = 3;
/// The most commands that the overview names.
const COMMANDS_NAMED_MAX: usize = 5;
/// The most reasons that the overview tells.
const REASONS_MAX: usize = 4;
/// The most teams that are named of those in which nobody asked.
const SILENT_NAMED_MAX: usize = 10;
/// A longer name is offered no meaning: no button would say it.
const NAME_CHARACTERS_MAX: usize = 40;

/// Which part of the report is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Overview,
    Commands,
    Teams,
    Unanswered,
    Feedback,
}

impl View {
    pub fn of(question: &Question<'_>) -> View {
        match question.call.get("view") {
            Some("commands") => View::Commands,
            Some("teams") => View::Teams,
            Some("unanswered") => View::Unanswered,
            Some("feedback") => View::Feedback,
            _ => View::Overview,
        }
    }
}

/// What is said of every view: the days, and the first thing to count.
#[derive(Debug, Serialize)]
struct Answer<T> {
    from: NaiveDate,
    to: NaiveDate,
    days: i64,
    /// 0 where there is nothing to tell.
    total: u64,
    #[serde(flatten)]
    view: T,
    page: Option<Page>,
    chart: Option<Chart>,
}

#[derive(Debug, Serialize)]
struct Overview {
    people: u64,
    people_before: u64,
    /// How many Users the catalog describes.
    described: usize,
    /// How many accounts asked that are linked to nobody.
    accounts: u64,
    /// In how many teams somebody asked, and how many teams with members there are.
    teams: usize,
    of_teams: usize,
    answered_percent: u64,
    refused: Vec<Reason>,
    platforms: Vec<Share>,
    most: Vec<OfCommand>,
    median: Option<String>,
    nearly_all: Option<String>,
    /// `None` where nobody asked for anything.
    approvals: Option<Approvals>,
    helpful: u64,
    not_helpful: u64,
    has_besides: bool,
    homes: u64,
    cards: u64,
    forms: u64,
    suggestions: u64,
    in_vain: Vec<InVain>,
}

/// How long people waited for a decision on what they asked for.
#[derive(Debug, Serialize)]
struct Approvals {
    decided: i64,
    median: Option<String>,
    longest: Option<String>,
    waiting: i64,
}

#[derive(Debug, Serialize)]
struct Reason {
    why: &'static str,
    times: u64,
}

#[derive(Debug, Serialize)]
struct Share {
    platform: &'static str,
    percent: u64,
}

#[derive(Debug, Serialize)]
struct Commands {
    commands: Vec<OfCommand>,
}

#[derive(Debug, Serialize)]
struct Teams<'a> {
    teams: Vec<Team<'a>>,
    /// Teams with members none of whom asked, as far as they are few.
    silent: Vec<Named<'a>>,
    more_silent: usize,
}

#[derive(Debug, Serialize)]
struct Team<'a> {
    /// `None` for those who are in no team.
    team: Option<Named<'a>>,
    people: u64,
    /// How many members it has.
    of: usize,
    times: u64,
}

#[derive(Debug, Serialize)]
struct Unanswered {
    rows: Vec<InVain>,
}

/// What was asked in vain.
#[derive(Debug, Clone, Serialize)]
struct InVain {
    question: String,
    times: i64,
    platform: Platform,
    last_at: DateTime<Utc>,
    /// The name that the catalog does not know, where it is one that could be given a meaning.
    name: Option<String>,
    /// What it most likely means, in words.
    means: Option<String>,
    /// The meaning as it is offered.
    offer: Option<String>,
}

#[derive(Debug, Serialize)]
struct OfFeedback<'a> {
    said: Vec<OneSaid<'a>>,
    by_command: Vec<Verdicts>,
    helpful: u64,
    not_helpful: u64,
}

#[derive(Debug, Serialize)]
struct Verdicts {
    command: String,
    helpful: u64,
    not_helpful: u64,
}

/// What somebody said of an answer.
#[derive(Debug, Serialize)]
struct OneSaid<'a> {
    #[serde(flatten)]
    said: Said,
    /// Who said it; `None` for an account that is linked to nobody.
    who: Option<Named<'a>>,
    /// What the answer was about.
    about: Option<Named<'a>>,
    owners: Vec<Named<'a>>,
}

fn answer<T: Serialize>(period: Period, total: u64, view: T) -> Answer<T> {
    let Period { from, to } = period;
    Answer { from, to, days: period.days(), total, view, page: None, chart: None }
}

/// The first part: all of it in few lines.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn overview(
    question: &Question<'_>,
    period: Period,
    figures: &Figures,
    asked_in_vain: Vec<Asked>,
    decisions: Decisions,
) -> Result<Value> {
    let snapshot = question.snapshot;
    let asked = figures.asked();
    let members = members(snapshot);
    let refused = figures.refused().into_iter().take(REASONS_MAX);
    let platforms = figures.platforms().into_iter();
    let mut in_vain = in_vain(question, asked_in_vain);
    in_vain.truncate(IN_VAIN_NAMED_MAX);
    let named = figures.commands.iter().filter(|it| !it.command.is_empty());
    let besides = [Way::Home, Way::Unfurl, Way::Form, Way::Typing];
    let [homes, cards, forms, suggestions] = besides.map(|way| figures.shown(way));
    let overview = Overview {
        people: figures.people,
        people_before: figures.people_before,
        described: users(snapshot).count(),
        accounts: figures.accounts,
        teams: figures.teams.iter().filter(|it| members.contains_key(it.team.as_str())).count(),
        of_teams: members.len(),
        answered_percent: percent(figures.answered(), asked),
        refused: refused.map(|(why, times)| Reason { why, times }).collect(),
        platforms: platforms
            .map(|(it, times)| Share { platform: label(it), percent: percent(times, asked) })
            .collect(),
        most: named.take(COMMANDS_NAMED_MAX).cloned().collect(),
        median: within(figures, 50.0),
        nearly_all: within(figures, 99.0),
        approvals: approvals(decisions),
        helpful: figures.helpful,
        not_helpful: figures.not_helpful,
        has_besides: homes + cards + forms + suggestions > 0,
        homes,
        cards,
        forms,
        suggestions,
        in_vain,
    };
    json(Answer { chart: figures.chart(period), ..answer(period, asked, overview) })
}

fn approvals(decisions: Decisions) -> Option<Approvals> {
    let Decisions { decided, median_s, longest_s, waiting } = decisions;
    (decided + waiting > 0).then(|| Approvals {
        decided,
        median: median_s.map(how_long),
        longest: longest_s.map(how_long),
        waiting,
    })
}

/// `less than a minute`, `12 min`, `5 h`, `3 days`.
fn how_long(seconds: f64) -> String {
    let minutes = (seconds / 60.0).floor();
    match minutes {
        _ if minutes < 1.0 => "less than a minute".into(),
        _ if minutes < 120.0 => format!("{minutes} min"),
        _ if minutes < 48.0 * 60.0 => format!("{} h", (minutes / 60.0).floor()),
        _ => format!("{} days", (minutes / 60.0 / 24.0).floor()),
    }
}

/// What was asked of each command.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn commands(question: &Question<'_>, period: Period, figures: Figures) -> Result<Value> {
    let all = figures.commands.len();
    let number = question.page();
    let rows = figures.commands.into_iter().skip(offset(number)).take(PAGE_ROWS);
    json(Answer {
        page: Page::of(&question.call, number, all),
        ..answer(period, all as u64, Commands { commands: rows.collect() })
    })
}

/// What each team asked, and which asked nothing.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn teams(question: &Question<'_>, period: Period, figures: &Figures) -> Result<Value> {
    let snapshot = question.snapshot;
    let members = members(snapshot);
    let asked: Vec<&str> = figures.teams.iter().map(|it| it.team.as_str()).collect();
    let silent = members.keys().filter(|team| !asked.contains(*team));
    let silent: Vec<&Entity> = silent.filter_map(|team| snapshot.find(team)).collect();
    let number = question.page();
    let rows = figures.teams.iter().skip(offset(number)).take(PAGE_ROWS);
    let teams = rows.map(|it| Team {
        team: snapshot.find(&it.team).map(|team| Named::entity(snapshot, team)),
        people: it.people,
        of: members.get(it.team.as_str()).copied().unwrap_or(0),
        times: it.times,
    });
    let view = Teams {
        teams: teams.collect(),
        more_silent: silent.len().saturating_sub(SILENT_NAMED_MAX),
        silent: silent
            .into_iter()
            .take(SILENT_NAMED_MAX)
            .map(|team| Named::entity(snapshot, team))
            .collect(),
    };
    json(Answer {
        page: Page::of(&question.call, number, figures.teams.len()),
        ..answer(period, figures.teams.len() as u64, view)
    })
}

/// What was asked in vain and still would be, with what each name most likely means.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn unanswered(question: &Question<'_>, period: Period, asked: Vec<Asked>) -> Result<Value> {
    let all = in_vain(question, asked);
    let (total, number) = (all.len(), question.page());
    let rows = all.into_iter().skip(offset(number)).take(PAGE_ROWS).collect();
    json(Answer {
        page: Page::of(&question.call, number, total),
        ..answer(period, total as u64, Unanswered { rows })
    })
}

/// What was said of answers. `all` has the page that is asked for.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn feedback(question: &Question<'_>, period: Period, all: AllSaid) -> Result<Value> {
    let snapshot = question.snapshot;
    let find = |reference: &Option<String>| {
        reference.as_ref().and_then(|reference| snapshot.find(reference))
    };
    let said = all.page.into_iter().map(|said| {
        let (who, about) = (find(&said.user), find(&said.entity));
        OneSaid {
            who: who.map(|it| Named::entity(snapshot, it)),
            owners: about
                .map(|it| related(snapshot, it, RelationKind::OwnedBy))
                .unwrap_or_default(),
            about: about.map(|it| Named::entity(snapshot, it)),
            said,
        }
    });
    let view = OfFeedback {
        said: said.collect(),
        helpful: all.by_command.iter().map(|(_, helpful, _)| helpful).sum(),
        not_helpful: all.by_command.iter().map(|(_, _, not_helpful)| not_helpful).sum(),
        by_command: all
            .by_command
            .into_iter()
            .take(PAGE_ROWS)
            .map(|(command, helpful, not_helpful)| Verdicts { command, helpful, not_helpful })
            .collect(),
    };
    let total = usize::try_from(all.total).unwrap_or(usize::MAX);
    json(Answer {
        page: Page::of(&question.call, question.page(), total),
        ..answer(period, all.total, view)
    })
}

/// What of `asked` is still not answered.
fn in_vain(question: &Question<'_>, asked: Vec<Asked>) -> Vec<InVain> {
    let rows = asked.into_iter().filter_map(|asked| {
        let Lacks { name, means } = lacks(question.commands, question.snapshot, &asked.question)?;
        let offer = name.as_ref().zip(means.as_ref());
        let offer = offer.map(|(name, means)| format!("{name} means {means}"));
        let Asked { question, times, platform, last_at, .. } = asked;
        Some(InVain { question, times, platform, last_at, name, means, offer })
    });
    rows.collect()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Lacks {
    name: Option<String>,
    means: Option<String>,
}

/// What keeps `asked` from being answered; `None` where nothing does any more.
fn lacks(commands: &CommandSet, snapshot: &Snapshot, asked: &str) -> Option<Lacks> {
    let Ok(call) = parse(commands, snapshot, asked) else { return Some(Lacks::default()) };
    names(&call).find_map(|(name, kinds)| match snapshot.resolve(name, kinds) {
        Resolution::One(_) => None,
        // Whoever asks chooses; no name of its own is missing.
        Resolution::Several(_) => Some(Lacks::default()),
        Resolution::Unknown(closest) => {
            let fits = name.chars().nth(NAME_CHARACTERS_MAX).is_none();
            let means = closest.first().map(|it| words(snapshot, it)).filter(|_| fits);
            Some(Lacks { name: fits.then(|| name.to_string()), means })
        }
    })
}

/// What `call` says that must be a name, and of which kinds.
fn names<'a>(call: &'a Call<'_>) -> impl Iterator<Item = (&'a str, &'static [&'static str])> {
    let of_arguments = call.command.arguments.iter().filter_map(|argument| {
        let kinds: &[&str] = match argument.kind {
            ArgumentKind::Entity => &[],
            ArgumentKind::Team => &["group"],
            ArgumentKind::User => &["user"],
            _ => return None,
        };
        Some((call.get(&argument.name)?, kinds))
    });
    let team = call.get(Opt::Team.word()).map(|team| (team, &["group", "user"][..]));
    of_arguments.chain(team)
}

/// The teams that have members whom the catalog describes, each with how many.
fn members(snapshot: &Snapshot) -> BTreeMap<&str, usize> {
    let groups = snapshot.entities().filter(|it| it.reference.kind() == "group" && !it.orphaned);
    let members = groups.map(|group| {
        let members = snapshot.related(group, RelationKind::HasMember);
        let known = members.iter().filter(|it| snapshot.find(it.reference().as_str()).is_some());
        (group.reference.as_str(), known.count())
    });
    members.filter(|(_, members)| *members > 0).collect()
}

fn users(snapshot: &Snapshot) -> impl Iterator<Item = &EntityRef> {
    let users = snapshot.entities().filter(|it| it.reference.kind() == "user" && !it.orphaned);
    users.map(|it| &it.reference)
}

/// Of a hundred; 100 only where it is all.
fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

fn label(platform: Platform) -> &'static str {
    match platform {
        Platform::Slack => "Slack",
        Platform::Discord => "Discord",
        Platform::Terminal => "the terminal",
    }
}

/// Within how long so many of a hundred were answered: `0.25 ms`, `2.5 s`. `None` where nothing was asked, or where it took
/// longer than is told apart.
fn within(figures: &Figures, of_hundred: f64) -> Option<String> {
    let ms = figures.latency.percentile_ms(of_hundred)?;
    Some(if ms < 1_000.0 { format!("{ms} ms") } else { format!("{} s", ms / 1_000.0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::completion::tests::entity;

    #[test]
    fn what_was_asked_in_vain_is_told_until_it_is_answered() {
        let commands = CommandSet::built_in();
        let entities = [entity("component:checkout", "{}"), entity("group:payments", "{}")];
        let target = EntityRef::new("component", "default", "checkout");
        let snapshot =
            |aliases: &[(String, EntityRef)]| Snapshot::build(entities.clone(), aliases, 1);
        let of = |asked: &str| lacks(&commands, &snapshot(&[]), asked);
        let lacking = |name: &str, means: &str| {
            Some(Lacks { name: Some(name.into()), means: Some(means.into()) })
        };
        assert_eq!(of("who owns chekout"), lacking("chekout", "checkout"));
        assert_eq!(of("list --team paymets"), lacking("paymets", "payments"));
        assert_eq!(of("owner checkout"), None);
        assert_eq!(of("frobnicate the widget now please"), Some(Lacks::default()));
        let till = Some(Lacks { name: Some("zzzz-till".into()), means: None });
        assert_eq!(of("owner zzzz-till"), till);
        let known = snapshot(&[("zzzz-till".to_string(), target)]);
        assert_eq!(lacks(&commands, &known, "owner zzzz-till"), None);
        let long = "z".repeat(NAME_CHARACTERS_MAX + 1);
        assert_eq!(of(&format!("owner {long}")), Some(Lacks::default()));
    }

    #[test]
    fn how_long_something_took_is_said_as_people_say_it() {
        let told = [0.5, 60.0, 7_199.0, 7_200.0, 172_799.0, 172_800.0].map(how_long);
        assert_eq!(told, ["less than a minute", "1 min", "119 min", "2 h", "47 h", "2 days"]);
    }

    #[test]
    fn a_hundred_percent_is_all() {
        assert_eq!([percent(999, 1_000), percent(3, 3), percent(0, 0)], [99, 100, 0]);
    }
}
