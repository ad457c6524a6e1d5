//! `idp score preview`: who would move if a scorecard were published.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::arguments::ReportFormat;
use super::check::listed;
use super::{score_formats, setup};
use crate::catalog::snapshot::Target;
use crate::catalog::{self, EntityRef, RelationKind, Snapshot};
use crate::commands::lookups::label;
use crate::config::Config;
use crate::facts::Fact;
use crate::postgres;
use crate::scorecards::evaluate::{self, Definitions, Means, Score};
use crate::scorecards::exemption::{self, Exempt};
use crate::scorecards::preview::{Found, Move, Preview, Side, Standing, Way, What, preview};
use crate::scorecards::{Scorecard, ScorecardSet, file, flow};

/// How many entities facts are read of at once.
const PIECE: usize = 500;
/// The most moves that are told of each team; `--format json` has them all.
const MOVES_MAX: usize = 20;

/// What is said.
#[derive(Debug, Serialize)]
struct Report<'a> {
    scorecard: &'a str,
    #[serde(flatten)]
    preview: &'a Preview,
    /// The names of the teams that own each entity that moves.
    owners: BTreeMap<&'a EntityRef, Vec<String>>,
}

/// Prints what the scorecard `file` would change of what the database's catalog has; nothing is published.
pub async fn run(
    config: &Config,
    install: bool,
    portal: Option<&Path>,
    file: &Path,
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let (published, keys) = setup::scorecards(config, portal)?;
    let (name, text) = (file.display().to_string(), score_formats::read(file)?);
    let scorecard = match file::read(&text, &name, &keys) {
        Ok(scorecard) => scorecard,
        Err(problems) => bail!("{name} is no scorecard file\n{}", listed(&problems).trim_end()),
    };
    let db = postgres::open(&setup::database(config, install)).await?;
    let snapshot = catalog::flow::load(&db.pool, &[]).await?;
    if snapshot.is_empty() {
        bail!("the catalog is empty; bring descriptors in with `idp catalog import`");
    }
    let before = published.find(&scorecard.name);
    let meant = |it: &&catalog::Entity| {
        let scorecards = before.into_iter().chain([&scorecard]);
        scorecards.into_iter().any(|scorecard| scorecard.filter.may_mean(it))
    };
    let entities: Vec<EntityRef> =
        snapshot.entities().filter(meant).map(|it| it.reference.clone()).collect();
    let mut facts: HashMap<EntityRef, Vec<Fact>> = HashMap::new();
    for piece in entities.chunks(PIECE) {
        facts.extend(flow::facts(&db.pool, piece).await?);
    }
    let exempt =
        exemption::flow::live(&db.pool, None).await.context("could not read exemptions")?;
    db.close().await?;
    let judging = Judging { snapshot, entities, facts, exempt, now: super::facts::now() };
    let was = before.map(|it| (it, judging.scores(it)));
    let scores = judging.scores(&scorecard);
    let was = was.as_ref().map(|(scorecard, scores)| (*scorecard, scores.as_slice()));
    let preview = preview(was, (&scorecard, &scores));
    let owners = preview.moves.iter().map(|it| (&it.entity, teams(&judging.snapshot, &it.entity)));
    let report = Report { scorecard: &scorecard.name, owners: owners.collect(), preview: &preview };
    match format {
        ReportFormat::Json => super::print_json(&report)?,
        ReportFormat::Text => super::print(&said(&scorecard.title, &report))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What both versions are judged by.
struct Judging {
    snapshot: Snapshot,
    entities: Vec<EntityRef>,
    facts: HashMap<EntityRef, Vec<Fact>>,
    exempt: Exempt,
    now: DateTime<Utc>,
}

impl Judging {
    fn scores(&self, scorecard: &Scorecard) -> Vec<Score> {
        let means = Means {
            scorecards: &ScorecardSet::of(vec![scorecard.clone()]),
            facts: &self.facts,
            exempt: &self.exempt,
            definitions: &Definitions::default(),
            now: self.now,
        };
        evaluate::scores(&self.snapshot, &self.entities, &means)
    }
}

/// What people call the teams that own `entity`.
fn teams(snapshot: &Snapshot, entity: &EntityRef) -> Vec<String> {
    let owners = snapshot.related_to(entity, RelationKind::OwnedBy).into_iter();
    let teams = owners.filter_map(|it| match it {
        Target::Known(team) if team.reference.kind() == "group" => Some(label(team).into_owned()),
        _ => None,
    });
    teams.collect()
}

fn said(title: &str, report: &Report<'_>) -> String {
    let Preview { before, after, moves, rules } = report.preview;
    let was =
        before.as_ref().map_or("not published yet".to_string(), |it| format!("now {}", side(it)));
    let mut out = format!("{title}: {was}; it would be {}\n", side(after));
    let mut of_teams: BTreeMap<&str, Vec<&Move>> = BTreeMap::new();
    for it in moves {
        match report.owners.get(&it.entity).map(Vec::as_slice) {
            None | Some([]) => of_teams.entry("of no team").or_default().push(it),
            Some(teams) => teams.iter().for_each(|team| of_teams.entry(team).or_default().push(it)),
        }
    }
    for (team, moves) in of_teams {
        out.push_str(&format!("\n{team}: {}\n", ways(&moves)));
        for it in moves.iter().take(MOVES_MAX) {
            out.push_str(&format!("  {}\n", moved(it)));
        }
        if moves.len() > MOVES_MAX {
            out.push_str(&format!("  and {} more\n", moves.len() - MOVES_MAX));
        }
    }
    if !rules.is_empty() {
        out.push_str("\nRules:\n");
    }
    for it in rules {
        let what = match it.what {
            What::New => "new",
            What::Changed => "changed",
            What::Same => "asked of others",
            What::Gone => "gone",
        };
        let finds = match (it.before, it.after) {
            (Some(before), Some(after)) if before != after => {
                format!("{}, before {}", found(after), found(before))
            }
            (Some(before), None) => format!("it found {}", found(before)),
            (_, after) => after.map(found).unwrap_or_default(),
        };
        out.push_str(&format!("  {} ({what}): {finds}\n", it.rule));
    }
    let all: Vec<&Move> = moves.iter().collect();
    let sum = if all.is_empty() { "nobody moves".to_string() } else { ways(&all) };
    out.push_str(&format!("\n{sum}; nothing was published\n"));
    super::visible(&out)
}

/// `23 entities, 61% on average`
fn side(side: &Side) -> String {
    let entities = match side.entities {
        1 => "1 entity".to_string(),
        many => format!("{many} entities"),
    };
    match side.mean {
        Some(mean) => format!("{entities}, {mean}% on average"),
        None => entities,
    }
}

/// `2 up, 1 down`
fn ways(moves: &[&Move]) -> String {
    let ways = [(Way::Up, "up"), (Way::Down, "down"), (Way::In, "new"), (Way::Out, "no longer")];
    let counts = ways.map(|(way, word)| (moves.iter().filter(|it| it.way == way).count(), word));
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    counts.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// `payment-api: Bronze (75%) → Silver (82%)`
fn moved(it: &Move) -> String {
    let side = |standing: &Option<Standing>| match standing {
        None => "not of it".to_string(),
        Some(Standing { percent, level }) => {
            let percent = percent.map_or("nothing counts".into(), |it| format!("{it}%"));
            let level = level.as_deref().unwrap_or("no level");
            format!("{level} ({percent})")
        }
    };
    format!("{}: {} → {}", it.entity, side(&it.before), side(&it.after))
}

/// `12 pass, 3 fail, 1 unknown`
fn found(found: Found) -> String {
    let Found { passed, failed, unknown, exempt } = found;
    let words = [(passed, "pass"), (failed, "fail"), (unknown, "unknown"), (exempt, "exempt")];
    let words = words.into_iter().filter(|(count, _)| *count > 0);
    let said = words.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ");
    if said.is_empty() { "it counts for nobody".into() } else { said }
}
