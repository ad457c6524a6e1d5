//! What teams are told on a schedule: how it went, how it would read, and what a team says to it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{Named, PAGE_ROWS, Page, json, offset};
use crate::catalog::formats::fields::closest;
use crate::catalog::snapshot::Target;
use crate::catalog::{Entity, EntityRef, RelationKind, Snapshot};
use crate::commands::resolve::Question;
use crate::conversation::{Platform, Reply};
use crate::digests::delivery::Outcome;
use crate::digests::file::Digest;
use crate::digests::flow::{Disowned, Sending};
use crate::digests::store::Logged;
use crate::digests::{DigestSet, Hearer};
use crate::error::{Refusal, Result};
use crate::scorecards::exemption::said;

/// How long a team pauses that says no number, and at most, in days.
const DAYS: u32 = 7;
const DAYS_MAX: u32 = 90;

/// The arguments of the command.
const NAME: &str = "name";
const MORE: &str = "more";

/// What somebody wants of digests.
pub enum Wish<'a> {
    /// To see how deliveries went; of one digest, or of one team.
    Log {
        digest: Option<&'a Digest>,
        team: Option<&'a Entity>,
    },
    Preview {
        digest: &'a Digest,
        team: &'a Entity,
    },
    Send {
        digest: &'a Digest,
        team: &'a Entity,
    },
    Snooze {
        team: &'a Entity,
        days: u32,
    },
    Wake {
        team: &'a Entity,
    },
    /// To see what teams say is not their own.
    Disowned,
    Disown {
        entity: &'a Entity,
        reason: String,
    },
    Own {
        entity: &'a Entity,
    },
}

impl<'a> Wish<'a> {
    /// What `question` asks for; `digests` are those that there are.
    ///
    /// # Errors
    /// A name that nothing has; a number of days that is none, or too large; something that was left out.
    pub fn of(question: &Question<'a>, digests: &'a DigestSet) -> Result<Wish<'a>> {
        let words = Words::of(question, digests);
        Ok(match question.call.get("do").unwrap_or("log") {
            "preview" => Wish::Preview { digest: words.digest()?, team: words.team_or_own(MORE)? },
            "send" => Wish::Send { digest: words.digest()?, team: words.team(MORE)? },
            "snooze" => Wish::Snooze { team: words.team_or_own(NAME)?, days: words.days()? },
            "wake" => Wish::Wake { team: words.team_or_own(NAME)? },
            "not-ours" => match words.name {
                None => Wish::Disowned,
                Some(_) => {
                    let reason = said("reason", words.more.unwrap_or_default())?;
                    let entity = words.entity()?;
                    Wish::Disown { entity, reason: reason.unwrap_or_default() }
                }
            },
            "ours" => Wish::Own { entity: words.entity()? },
            _ => words.log()?,
        })
    }
}

/// What stands behind the word that says what to do.
struct Words<'q, 'a> {
    question: &'q Question<'a>,
    digests: &'a DigestSet,
    name: Option<&'q str>,
    more: Option<&'q str>,
}

impl<'q, 'a> Words<'q, 'a> {
    fn of(question: &'q Question<'a>, digests: &'a DigestSet) -> Words<'q, 'a> {
        let (name, more) = (question.call.get(NAME), question.call.get(MORE));
        // In a form both fit into the first field: `weekly payments`, `payments 7`.
        let (first, last) =
            (name.and_then(|it| it.split_once(' ')), name.and_then(|it| it.rsplit_once(' ')));
        let (name, more) = match (more, first, last) {
            (None, Some((digest, team)), _) if digests.find(digest).is_some() => {
                (Some(digest), Some(team))
            }
            (None, _, Some((team, days))) if days.parse::<u32>().is_ok() => {
                (Some(team), Some(days))
            }
            _ => (name, more),
        };
        Words { question, digests, name, more }
    }

    /// What stands for the argument `name`.
    fn given(&self, name: &str) -> Option<&'q str> {
        if name == NAME { self.name } else { self.more }
    }

    fn log(&self) -> Result<Wish<'a>> {
        let digest = self.name.and_then(|name| self.digests.find(name));
        let team = match (self.name, digest, self.more) {
            (_, Some(_), Some(_)) => Some(self.team(MORE)?),
            (_, Some(_), None) | (None, None, _) => None,
            (Some(_), None, _) => Some(self.team(NAME)?),
        };
        Ok(Wish::Log { digest, team })
    }

    /// The digest that is named.
    fn digest(&self) -> Result<&'a Digest> {
        let Some(name) = self.name else { return Err(self.question.missing(NAME).into()) };
        let found = self.digests.find(&name.to_lowercase());
        found.ok_or_else(|| {
            let names = || self.digests.iter().map(|it| it.name.as_str());
            let closest: Vec<String> = match closest(name, names()) {
                Some(alike) => vec![alike.to_string()],
                None => names().map(str::to_string).collect(),
            };
            let instead = closest.iter().map(|it| self.question.call.with(NAME, it).words());
            let instead = instead.collect();
            let (what, name) = ("digest".to_string(), name.to_string());
            Refusal::UnknownEntity { what, name, closest, instead }.into()
        })
    }

    /// The team that the argument `name` is.
    fn team(&self, name: &'static str) -> Result<&'a Entity> {
        match self.given(name) {
            Some(typed) => Ok(self.question.resolve(name, typed, &["group"])?),
            None => Err(self.question.missing(name).into()),
        }
    }

    /// The team that the argument `name` is; without one that of the channel, or the only one of whoever asks.
    fn team_or_own(&self, name: &'static str) -> Result<&'a Entity> {
        let Question { snapshot, person, .. } = *self.question;
        if self.given(name).is_some() {
            return self.team(name);
        }
        let of_channel = self.question.channels_own(name, &["group"]);
        let own: Vec<&Entity> = person
            .teams
            .iter()
            .filter_map(|team| snapshot.find(team.as_str()))
            .filter(|team| snapshot.count_related(team, RelationKind::OwnerOf) > 0)
            .collect();
        match (of_channel, &own[..]) {
            (Ok(team), _) => Ok(team),
            (Err(_), [only]) => Ok(only),
            (Err(refusal), _) => Err(refusal.into()),
        }
    }

    fn entity(&self) -> Result<&'a Entity> {
        match self.name {
            Some(typed) => Ok(self.question.resolve(NAME, typed, &[])?),
            None => Err(self.question.missing(NAME).into()),
        }
    }

    fn days(&self) -> Result<u32> {
        let Some(typed) = self.more else { return Ok(DAYS) };
        let word = typed.split_whitespace().next().unwrap_or_default();
        let days = word.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
        days.ok_or_else(|| {
            let expected = format!("say a number of days from 1 to {DAYS_MAX}");
            let (argument, value) = ("days".to_string(), typed.to_string());
            Refusal::InvalidArgument { argument, value, expected }.into()
        })
    }
}

/// Whoever owns `entity`.
pub fn owners(snapshot: &Snapshot, entity: &Entity) -> Vec<EntityRef> {
    let owners = snapshot.related(entity, RelationKind::OwnedBy).into_iter();
    owners.map(|it| it.reference().clone()).collect()
}

/// For which of `owners`, the owners of `entity`, whoever asks speaks: their own, or all of them where they are in none.
///
/// # Errors
/// Something that nobody owns.
pub fn speaks_for(
    question: &Question<'_>,
    entity: &Entity,
    owners: &[EntityRef],
) -> Result<Vec<EntityRef>> {
    if owners.is_empty() {
        let (argument, value) = (NAME.to_string(), entity.name.to_string());
        let expected = "nobody owns it, so nobody needs to say that it is not theirs".to_string();
        return Err(Refusal::InvalidArgument { argument, value, expected }.into());
    }
    let own: Vec<EntityRef> = owners.iter().filter(|it| question.person.is(it)).cloned().collect();
    Ok(if own.is_empty() { owners.to_vec() } else { own })
}

/// That somebody may not speak for `whom`.
pub fn not_a_member(whom: &[&str]) -> Refusal {
    let teams: Vec<String> = whom.iter().map(|it| format!("`{it}`")).collect();
    let teams = teams.join(" or ");
    Refusal::NotAllowed {
        rule: format!("Only who is in {teams} speaks for it."),
        next: "Ask one of its people, or an admin of this portal.".into(),
        instead: Vec::new(),
    }
}

/// That nothing can be sent from where it was asked for.
pub fn not_connected() -> Refusal {
    Refusal::Unavailable {
        what: "Sending".into(),
        why: "this idp is connected to no platform".into(),
        next: "Ask the bot in Slack or Discord; `digest preview` shows what it would send.".into(),
    }
}

#[derive(Debug, Serialize)]
struct LogAnswer<'a> {
    view: &'static str,
    digest: Option<&'a str>,
    team: Option<Named<'a>>,
    total: usize,
    deliveries: Vec<Row<'a>>,
    page: Option<Page>,
}

/// One delivery.
#[derive(Debug, Serialize)]
struct Row<'a> {
    digest: &'a str,
    team: Named<'a>,
    on: NaiveDate,
    /// `SENT`, `NOT_IN_CHANNEL`; `WAITING` while it is not handed over, `SCHEDULED` while the platform has it.
    result: &'a str,
    /// Why, and what to do about it.
    why: &'a str,
    /// What the platform said.
    detail: Option<&'a str>,
    failed: bool,
    heard: bool,
    platform: Option<&'a str>,
    channel: &'a str,
    /// When it is or was to be in the channel.
    at: DateTime<Utc>,
}

/// # Errors
/// A fault when the answer is no JSON.
pub fn log(
    question: &Question<'_>,
    (digest, team): (Option<&Digest>, Option<&Entity>),
    logged: &[(EntityRef, Logged)],
) -> Result<Value> {
    let snapshot = question.snapshot;
    let total = logged.first().map_or(0, |(_, it)| usize::try_from(it.total).unwrap_or_default());
    json(LogAnswer {
        view: "log",
        digest: digest.map(|it| it.name.as_str()),
        team: team.map(|team| Named::entity(snapshot, team)),
        total,
        deliveries: logged.iter().map(|(team, it)| row(snapshot, team, it)).collect(),
        page: Page::of(&question.call, question.page(), total),
    })
}

fn row<'a>(snapshot: &'a Snapshot, team: &'a EntityRef, logged: &'a Logged) -> Row<'a> {
    let outcome = logged.outcome.as_deref().and_then(Outcome::from_word);
    let (result, why) = match (outcome, logged.state.as_str()) {
        (Some(outcome), _) => (outcome.word(), outcome.why()),
        (None, "planned") => ("WAITING", "It is handed over when its turn comes."),
        (None, "handed") => ("SCHEDULED", "The platform has it, and posts it at its time."),
        (None, _) => ("UNKNOWN", "Another version of idp wrote it down."),
    };
    Row {
        digest: &logged.digest,
        team: named(snapshot, team),
        on: logged.date,
        result,
        why,
        detail: logged.detail.as_deref(),
        failed: outcome.is_some_and(Outcome::is_failure),
        heard: outcome.is_some_and(Outcome::is_heard),
        platform: logged.platform.as_deref(),
        channel: &logged.channel,
        at: logged.send_at,
    }
}

/// From which delivery on a page lists, and how many.
pub fn rows(question: &Question<'_>) -> (i64, i64) {
    let offset = i64::try_from(offset(question.page())).unwrap_or(i64::MAX);
    (offset, PAGE_ROWS as i64)
}

#[derive(Debug, Serialize)]
struct Preview<'a> {
    view: &'static str,
    digest: &'a str,
    team: Named<'a>,
    /// What the team would hear, as Markdown of ours; `None`: it owns nothing.
    said: Option<&'a str>,
    /// Where; `None`: it has no channel.
    channel: Option<&'a str>,
    platform: Option<&'a str>,
    may_send: bool,
    /// What it would show besides.
    chart: Value,
}

/// # Errors
/// A fault when the answer is no JSON.
pub fn preview(
    question: &Question<'_>,
    (digest, team): (&Digest, &Entity),
    hearer: &Hearer,
    reply: Option<&Reply>,
    may_send: bool,
) -> Result<Value> {
    let place = hearer.place.as_ref();
    json(Preview {
        view: "preview",
        digest: &digest.name,
        team: Named::entity(question.snapshot, team),
        said: reply.map(|reply| reply.markdown.as_str()),
        channel: place.map(|(_, channel)| channel.as_str()),
        platform: place.map(|(platform, _)| platform.word()),
        may_send,
        chart: reply.map_or(Value::Null, |reply| reply.answer["chart"].clone()),
    })
}

/// The Markdown of ours that an answer brings along, which stands in it as it is.
pub fn words(answer: &Value) -> Option<&str> {
    answer.get("said")?.as_str()
}

#[derive(Debug, Serialize)]
struct Sent<'a> {
    view: &'static str,
    digest: &'a str,
    team: Named<'a>,
    /// When it is in its channel; `None`: it is not sent.
    at: Option<DateTime<Utc>>,
    /// Why it is not.
    why: Option<&'a str>,
}

/// # Errors
/// A team that has one of today.
pub fn sent(
    question: &Question<'_>,
    (digest, team): (&Digest, &Entity),
    sending: Sending,
) -> Result<Value> {
    let (at, why) = match sending {
        Sending::At(at) => (Some(at), None),
        Sending::NotSent(outcome) => (None, Some(outcome.why())),
        Sending::SentToday => {
            let what = format!("`{}` for `{}`", digest.name, team.name);
            let why = "the team has one of today, and never hears a second".to_string();
            let instead = vec![format!("digest log {}", digest.name)];
            return Err(Refusal::Settled { what, why, instead }.into());
        }
    };
    let team = Named::entity(question.snapshot, team);
    json(Sent { view: "sent", digest: &digest.name, team, at, why })
}

#[derive(Debug, Serialize)]
struct Snoozed<'a> {
    view: &'static str,
    team: Named<'a>,
    /// `None`: it hears its digests again.
    until: Option<DateTime<Utc>>,
    /// Whether it paused before.
    was_snoozed: bool,
}

/// # Errors
/// A fault when the answer is no JSON.
pub fn snoozed(
    question: &Question<'_>,
    team: &Entity,
    until: Option<DateTime<Utc>>,
    was_snoozed: bool,
) -> Result<Value> {
    let team = Named::entity(question.snapshot, team);
    json(Snoozed { view: "snoozed", team, until, was_snoozed })
}

#[derive(Debug, Serialize)]
struct Said<'a> {
    view: &'static str,
    /// Whether it is said now; otherwise it is taken back.
    disowned: bool,
    entity: Named<'a>,
    teams: Vec<Named<'a>>,
    reason: &'a str,
    #[serde(flatten)]
    written: Written<'a>,
}

/// Where it is written whose something is.
#[derive(Debug, Serialize)]
struct Written<'a> {
    source: &'a str,
    file: &'a str,
    line: u32,
}

fn written(entity: &Entity) -> Written<'_> {
    let place = &entity.place;
    Written { source: &place.source, file: &place.file, line: place.line }
}

/// # Errors
/// A fault when the answer is no JSON.
pub fn disowned(
    question: &Question<'_>,
    entity: &Entity,
    teams: &[EntityRef],
    reason: Option<&str>,
) -> Result<Value> {
    let snapshot = question.snapshot;
    json(Said {
        view: "disowned",
        disowned: reason.is_some(),
        entity: Named::entity(snapshot, entity),
        teams: teams.iter().map(|it| named(snapshot, it)).collect(),
        reason: reason.unwrap_or_default(),
        written: written(entity),
    })
}

#[derive(Debug, Serialize)]
struct DisownedList<'a> {
    view: &'static str,
    total: usize,
    disowned: Vec<DisownedRow<'a>>,
    page: Option<Page>,
}

#[derive(Debug, Serialize)]
struct DisownedRow<'a> {
    entity: Named<'a>,
    team: Named<'a>,
    reason: &'a str,
    by: Option<Named<'a>>,
    at: DateTime<Utc>,
    #[serde(flatten)]
    written: Written<'a>,
}

/// `all` as far as it still holds: whose owner the catalog has changed since is told no more.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn disowned_list(question: &Question<'_>, all: &[Disowned]) -> Result<Value> {
    let snapshot = question.snapshot;
    let holds = |it: &&Disowned| {
        let entity = snapshot.find(it.entity.as_str());
        entity.is_some_and(|entity| owners(snapshot, entity).contains(&it.team))
    };
    let holding: Vec<&Disowned> = all.iter().filter(holds).collect();
    let page = holding.iter().skip(offset(question.page())).take(PAGE_ROWS);
    let rows = page.filter_map(|it| {
        let entity = snapshot.find(it.entity.as_str())?;
        Some(DisownedRow {
            entity: Named::entity(snapshot, entity),
            team: named(snapshot, &it.team),
            reason: &it.reason,
            by: it.by.as_ref().map(|by| named(snapshot, by)),
            at: it.at,
            written: written(entity),
        })
    });
    json(DisownedList {
        view: "not-ours",
        total: holding.len(),
        disowned: rows.collect(),
        page: Page::of(&question.call, question.page(), holding.len()),
    })
}

/// A platform that a digest of `digest` can be posted on.
pub fn is_connected(digest: &Digest, connected: &[Platform]) -> bool {
    digest.platforms.iter().any(|it| connected.contains(it))
}

fn named<'a>(snapshot: &'a Snapshot, reference: &'a EntityRef) -> Named<'a> {
    match snapshot.find(reference.as_str()) {
        Some(entity) => Named::entity(snapshot, entity),
        None => Named::target(snapshot, Target::Missing(reference)),
    }
}
