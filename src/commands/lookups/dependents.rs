//! What breaks when an entity does (`dependents`), and what it needs (`dependencies`).

use serde::Serialize;
use serde_json::Value;

use super::find::Narrowed;
use super::{Named, PAGE_ROWS, Page, json, offset, required, verb};
use crate::catalog::Snapshot;
use crate::catalog::snapshot::{Reach, Reached, Step};
use crate::commands::resolve::Question;
use crate::error::Result;

/// The most names between two ends that one row says: a chain may be as long as the catalog.
const THROUGH_MAX: usize = 8;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub entity: Named<'a>,
    pub filter: Narrowed,
    /// True totals, whatever the page shows.
    pub total: usize,
    pub direct: usize,
    pub transitive: usize,
    /// How many teams are concerned; what is nobody's does not count.
    pub team_count: usize,
    /// The entities of this page by team; the team with the nearest first.
    pub teams: Vec<Team<'a>>,
    /// References of those that are named on the way and described by nobody.
    pub missing: Vec<&'a str>,
    pub page: Option<Page>,
}

/// Which way is asked.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Dependents,
    Dependencies,
}

#[derive(Debug, Serialize)]
pub struct Team<'a> {
    /// `None` for what nobody owns.
    pub team: Option<Named<'a>>,
    /// How many of all concern the team, on this page or not.
    pub total: usize,
    pub entities: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Row<'a> {
    #[serde(flatten)]
    pub entity: Named<'a>,
    pub tier: Option<&'a str>,
    pub depth: u32,
    /// The shortest explanation, from the entity asked about to this one, both included; at most its first ten.
    pub path: Vec<Leg<'a>>,
    pub direct: bool,
    /// What makes it a direct one, said of this entity: `consumes`; `None` for the others.
    pub verb: Option<&'static str>,
    /// The API that stands between a direct one and the entity asked about.
    pub api: Option<&'a str>,
    /// What lies between the two, the nearest to the entity asked about first; at most eight.
    pub through: Vec<&'a str>,
    /// How many more lie between the two.
    pub more: usize,
    /// Every owner where there are several; the row stands with the first.
    pub shared_with: Vec<Named<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Leg<'a> {
    #[serde(rename = "ref")]
    pub reference: &'a str,
    /// Backstage's word for the relation that leads here; `None` at the start.
    pub via: Option<&'static str>,
}

/// # Errors
/// No entity was given.
pub fn dependents(question: &Question<'_>) -> Result<Value> {
    answer(question, Way::Dependents)
}

/// # Errors
/// No entity was given.
pub fn dependencies(question: &Question<'_>) -> Result<Value> {
    answer(question, Way::Dependencies)
}

fn answer(question: &Question<'_>, way: Way) -> Result<Value> {
    let snapshot = question.snapshot;
    let entity = required(question, "entity")?;
    let filter = question.filter();
    let start = offset(question.page());
    let reach = match way {
        Way::Dependents => snapshot.dependents(entity, &filter, start, PAGE_ROWS),
        Way::Dependencies => snapshot.dependencies(entity, &filter, start, PAGE_ROWS),
    };
    json(Answer {
        entity: Named::entity(snapshot, entity),
        filter: Narrowed::of(&filter, question),
        total: reach.total,
        direct: reach.direct,
        transitive: reach.total - reach.direct,
        team_count: reach.teams.iter().filter(|(team, _)| team.is_some()).count(),
        missing: reach.missing.iter().map(|reference| reference.as_str()).collect(),
        page: Page::of(&question.call, question.page(), reach.total),
        teams: by_team(snapshot, reach),
    })
}

fn by_team<'a>(snapshot: &'a Snapshot, reach: Reach<'a>) -> Vec<Team<'a>> {
    let mut teams: Vec<Team<'a>> = Vec::new();
    for reached in reach.page {
        let first = reached.teams.first().map(|team| team.reference().as_str());
        let row = row(snapshot, reached);
        let place = teams.iter().position(|it| it.team.as_ref().map(|it| it.reference) == first);
        match place {
            Some(place) => teams[place].entities.push(row),
            None => {
                let counted = reach
                    .teams
                    .iter()
                    .find(|(team, _)| team.map(|it| it.reference().as_str()) == first);
                let (team, total) = match counted {
                    Some((team, total)) => (*team, *total),
                    None => (None, 1),
                };
                let team = team.map(|team| Named::target(snapshot, team));
                teams.push(Team { team, total, entities: vec![row] });
            }
        }
    }
    teams
}

fn row<'a>(snapshot: &'a Snapshot, reached: Reached<'a>) -> Row<'a> {
    let between = reached.path.get(1..reached.path.len().saturating_sub(1)).unwrap_or_default();
    let through = between.iter().take(THROUGH_MAX).map(|step| step.target.name());
    let through: Vec<&str> = through.collect();
    let owners = reached.teams.iter().map(|team| Named::target(snapshot, *team));
    let direct = reached.depth == 1;
    let via = reached.path.last().and_then(|step| step.via).filter(|_| direct);
    Row {
        entity: Named::entity(snapshot, reached.entity),
        tier: reached.entity.tier.as_deref(),
        depth: reached.depth,
        direct,
        verb: via.map(|via| verb(via.inverse())),
        api: through.first().copied().filter(|_| direct),
        more: between.len() - through.len(),
        through,
        path: reached.path.iter().take(THROUGH_MAX + 2).map(leg).collect(),
        shared_with: owners.skip(1).collect(),
    }
}

fn leg<'a>(step: &Step<'a>) -> Leg<'a> {
    Leg { reference: step.target.reference().as_str(), via: step.via.map(|via| via.word()) }
}
