//! Facts that come from several sides at once, twice, late, or not at all.

use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use idp::catalog::{EntityRef, Snapshot, flow as catalog};
use idp::facts::push::{Observation, Outcome};
use idp::facts::sources::{Key, Source};
use idp::facts::{Changed, Fact, Kind, flow, store};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::database::{self, Fresh};
use crate::directory::Directory;

/// A catalog of services `s0`, `s1`, … in a database of its own, and a source `ci`.
struct Reporting {
    fresh: Fresh,
    snapshot: Snapshot,
    ci: Source,
}

impl Reporting {
    async fn of(services: usize) -> Reporting {
        let fresh = database::fresh().await;
        let directory = Directory::new();
        let text: Vec<String> =
            (0..services).map(|number| service(&format!("s{number}"))).collect();
        directory.write("all.yaml", &text.join("---\n"));
        directory.import(&fresh.pool).await;
        let snapshot = catalog::load(&fresh.pool, &[]).await.unwrap();
        let key = |kind| Key { kind, valid_for: Some(Duration::from_secs(3_600)) };
        let keys = [("coverage", key(Kind::Number)), ("green", key(Kind::Bool))];
        let keys = keys.map(|(name, key)| (name.to_string(), key)).into();
        Reporting { fresh, snapshot, ci: Source { name: "ci".into(), token: None, keys } }
    }

    fn db(&self) -> &PgPool {
        &self.fresh.pool
    }

    async fn push(&self, observations: &[Observation]) -> Vec<Outcome> {
        flow::push(self.db(), &self.ci, &self.snapshot, observations).await.unwrap()
    }

    async fn words(&self, observations: &[Observation]) -> Vec<&'static str> {
        self.push(observations).await.iter().map(Outcome::word).collect()
    }

    async fn facts(&self, entity: &str) -> Vec<Fact> {
        flow::facts_of(self.db(), &reference(entity)).await.unwrap()
    }

    /// Each value that became another one, the first first.
    async fn changes(&self, entity: &str) -> Vec<Changed> {
        let mut changes = flow::changes_of(self.db(), &reference(entity), 10_000).await.unwrap();
        changes.reverse();
        changes
    }
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\n\
         spec: {{type: service, lifecycle: production, owner: team}}\n"
    )
}

fn reference(name: &str) -> EntityRef {
    EntityRef::new("component", "default", name)
}

fn coverage(entity: &str, value: impl Into<Value>, observed_at: DateTime<Utc>) -> Observation {
    Observation {
        entity: entity.into(),
        key: "coverage".into(),
        value: value.into(),
        observed_at: Some(observed_at),
    }
}

/// As the database keeps a time.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

#[tokio::test]
async fn a_report_that_is_sent_twice_has_its_effect_once() {
    let reporting = Reporting::of(2).await;
    let at = now() - TimeDelta::minutes(1);
    let report = [coverage("s0", 80, at), coverage("s1", 90.5, at)];
    assert_eq!(reporting.words(&report).await, ["taken", "taken"]);
    let (revision, facts) = flow::facts_since(reporting.db(), -1).await.unwrap();
    assert_eq!((revision, facts.len()), (1, 2));
    assert_eq!(reporting.words(&report).await, ["unchanged", "unchanged"]);
    assert_eq!(flow::facts_since(reporting.db(), revision).await.unwrap(), (1, Vec::new()));
    let expected = Fact {
        entity: reference("s1"),
        key: "coverage".into(),
        value: json!(90.5),
        source: "ci".into(),
        observed_at: at,
        valid_until: Some(at + TimeDelta::hours(1)),
    };
    assert_eq!(reporting.facts("s1").await, [expected]);
    assert_eq!(reporting.changes("s0").await.len(), 1);
}

#[tokio::test]
async fn each_is_taken_or_refused_by_itself_and_a_change_knows_what_was() {
    let reporting = Reporting::of(1).await;
    let at = now() - TimeDelta::minutes(10);
    reporting.push(&[coverage("s0", 80, at)]).await;
    let report = [
        coverage("s9", 1, at),
        coverage("s0", 81, at + TimeDelta::minutes(1)),
        coverage("s0", 79, at - TimeDelta::minutes(1)),
        coverage("s0", json!("many"), at + TimeDelta::minutes(2)),
        coverage("s0", 81, at + TimeDelta::minutes(3)),
        coverage("s0", 99, now() + TimeDelta::minutes(6)),
        Observation { key: "cover".into(), ..coverage("s0", 1, at) },
    ];
    let outcomes = reporting.words(&report).await;
    assert_eq!(outcomes, ["refused", "taken", "older", "refused", "taken", "refused", "refused"]);
    let changes = reporting.changes("s0").await;
    let steps: Vec<_> = changes.iter().map(|it| (it.was.clone(), it.became.clone())).collect();
    assert_eq!(steps, [(None, json!(80)), (Some(json!(80)), json!(81))], "81 twice is one change");
    let fact = reporting.facts("s0").await.remove(0);
    assert_eq!((fact.value, fact.observed_at), (json!(81), at + TimeDelta::minutes(3)));
}

#[tokio::test]
async fn without_a_time_it_is_observed_now_by_the_databases_clock() {
    let reporting = Reporting::of(1).await;
    reporting.push(&[Observation { observed_at: None, ..coverage("s0", 1, now()) }]).await;
    let observed_at = reporting.facts("s0").await[0].observed_at;
    let age_s = "select extract(epoch from clock_timestamp() - $1)::float8";
    let age_s: f64 =
        sqlx::query_scalar(age_s).bind(observed_at).fetch_one(reporting.db()).await.unwrap();
    assert!((0.0..60.0).contains(&age_s), "{age_s}");
}

/// The later report waits for the earlier one, and so sees it.
#[tokio::test]
async fn of_two_reports_at_the_same_time_the_later_observation_holds() {
    let reporting = Reporting::of(1).await;
    let (early, late) = (now() - TimeDelta::minutes(2), now() - TimeDelta::minutes(1));

    // One that is being taken: it has looked what is known, and has not written yet.
    let mut tx = reporting.db().begin().await.unwrap();
    let (revision, _) = store::lock(&mut tx).await.unwrap();
    let older = [coverage("s0", 1, early)];
    let waiting = reporting.push(&older);
    tokio::pin!(waiting);
    tokio::select! {
        told = &mut waiting => panic!("it did not wait: {told:?}"),
        () = blocked(reporting.db()) => {}
    }
    let fact = Fact { observed_at: late, ..fact("s0", 2, late) };
    store::keep(&mut tx, &[fact], revision + 1).await.unwrap();
    store::set_revision(&mut tx, revision + 1).await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(waiting.await, [Outcome::Older { known: late }]);
    assert_eq!(reporting.facts("s0").await[0].value, json!(2));
}

/// The control: who looks before, and writes without the lock, puts the earlier in the place of the later.
#[tokio::test]
async fn without_the_lock_the_earlier_observation_would_take_the_place_of_the_later() {
    let reporting = Reporting::of(1).await;
    let (early, late) = (now() - TimeDelta::minutes(2), now() - TimeDelta::minutes(1));
    let mut ours = reporting.db().begin().await.unwrap();
    let mut theirs = reporting.db().begin().await.unwrap();
    let looked = ["s0"].map(|it| reference(it).to_string());
    let looked: Vec<&str> = looked.iter().map(String::as_str).collect();
    for tx in [&mut ours, &mut theirs] {
        assert!(store::known(tx, &looked, &["coverage"]).await.unwrap().is_empty());
    }
    store::keep(&mut theirs, &[fact("s0", 2, late)], 1).await.unwrap();
    theirs.commit().await.unwrap();
    store::keep(&mut ours, &[fact("s0", 1, early)], 1).await.unwrap();
    ours.commit().await.unwrap();
    assert_eq!(reporting.facts("s0").await[0].value, json!(1), "the race is real");
}

fn fact(entity: &str, value: impl Into<Value>, observed_at: DateTime<Utc>) -> Fact {
    Fact {
        entity: reference(entity),
        key: "coverage".into(),
        value: value.into(),
        source: "ci".into(),
        observed_at,
        valid_until: None,
    }
}

/// Waits until a connection waits for another one's lock.
async fn blocked(db: &PgPool) {
    let waiting = "select count(*) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'";
    let look = async || sqlx::query_scalar::<_, i64>(waiting).fetch_one(db).await.unwrap();
    crate::waiting::until("a report that waits", look, |many| *many > 0).await;
}

/// Whatever comes when, in the end each fact is the latest, and its history has no gap.
#[tokio::test]
async fn eight_who_report_at_once_leave_the_latest_and_a_whole_history() {
    let reporting = Reporting::of(5).await;
    let start = now() - TimeDelta::minutes(30);
    let reports = (0..8_i64).map(|who| {
        let reporting = &reporting;
        async move {
            let mut taken = 0;
            for turn in 0..25_i64 {
                // Everyone has their own order, and no two an instant in common.
                let second = ((turn * 7 + who * 3) % 25) * 8 + who;
                let at = start + TimeDelta::seconds(second);
                let report: Vec<Observation> =
                    (0..5).map(|it| coverage(&format!("s{it}"), second, at)).collect();
                let outcomes = reporting.words(&report).await;
                taken += outcomes.iter().filter(|it| **it == "taken").count();
            }
            taken
        }
    });
    let taken: usize = futures_util::future::join_all(reports).await.into_iter().sum();
    let mut changes = 0;
    for number in 0..5 {
        let name = format!("s{number}");
        assert_eq!(reporting.facts(&name).await[0].value, json!(199));
        let history = reporting.changes(&name).await;
        let mut before = None;
        for change in &history {
            assert_eq!(change.was, before);
            before = Some(change.became.clone());
        }
        assert_eq!(before, Some(json!(199)));
        changes += history.len();
    }
    assert_eq!(changes, taken, "each that was taken is one change");
    println!("REL facts: 8 sources, 1000 observations at once, {taken} taken, 0 lost, 0 double");
}

#[tokio::test]
async fn who_reads_on_from_a_revision_misses_nothing_and_hears_what_became_stale() {
    let reporting = Reporting::of(3).await;
    let at = now() - TimeDelta::minutes(50);
    reporting.push(&[coverage("s0", 1, at)]).await;
    let (first, _) = flow::facts_since(reporting.db(), -1).await.unwrap();
    reporting.push(&[coverage("s1", 1, at), coverage("s2", 1, at - TimeDelta::minutes(20))]).await;
    let (second, facts) = flow::facts_since(reporting.db(), first).await.unwrap();
    let names: Vec<&str> = facts.iter().map(|it| it.entity.name()).collect();
    assert_eq!((second, names), (first + 1, vec!["s1", "s2"]));

    let stale = flow::stale_since(reporting.db(), at, now()).await.unwrap();
    assert_eq!(stale.iter().map(|it| it.entity.name()).collect::<Vec<_>>(), ["s2"]);
    assert!(stale[0].is_stale(now()));
    let until = stale[0].valid_until.unwrap();
    assert_eq!(flow::stale_since(reporting.db(), until, now()).await.unwrap(), []);
    // Refreshed with the same value it holds again: whoever judged by it is told.
    reporting.push(&[coverage("s2", 1, now())]).await;
    let (_, facts) = flow::facts_since(reporting.db(), second).await.unwrap();
    assert!(!facts[0].is_stale(now()));
    assert_eq!(flow::changes_since(reporting.db(), second, 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_changed_long_ago_is_forgotten_and_no_fact_that_is_in_use() {
    let reporting = Reporting::of(2).await;
    for value in 0..3 {
        reporting.push(&[coverage("s0", value, now() - TimeDelta::minutes(9 - value))]).await;
    }
    let gone = format!(
        "{}{}",
        "update idp.fact_change set at = at - interval '401 days'", " where became <> '2'"
    );
    sqlx::query(sqlx::AssertSqlSafe(gone)).execute(reporting.db()).await.unwrap();
    for (entity, age) in [
        ("component:default/s1", 500),
        ("component:default/gone", 401),
        ("component:default/left", 399),
    ] {
        let insert = "insert into idp.fact (entity, key, value, source, observed_at, revision)
             values ($1, 'coverage', '1', 'ci', clock_timestamp() - make_interval(days => $2), 1)";
        sqlx::query(insert).bind(entity).bind(age).execute(reporting.db()).await.unwrap();
    }
    assert_eq!(flow::forget(reporting.db()).await.unwrap(), 3, "two changes, one fact");
    assert_eq!(flow::forget(reporting.db()).await.unwrap(), 0);
    assert_eq!(reporting.changes("s0").await.len(), 1);
    let left = "select entity from idp.fact order by entity";
    let left: Vec<String> = sqlx::query_scalar(left).fetch_all(reporting.db()).await.unwrap();
    assert_eq!(left, ["component:default/left", "component:default/s0", "component:default/s1"]);
}

#[tokio::test]
async fn a_report_of_a_thousand_facts_is_a_few_statements() {
    let reporting = Reporting::of(500).await;
    let at = now() - TimeDelta::minutes(1);
    let of = |second: i64, value: i64| -> Vec<Observation> {
        let at = at + TimeDelta::seconds(second);
        let both = (0..500).flat_map(|number| {
            let first = coverage(&format!("s{number}"), value, at);
            let green = Observation { key: "green".into(), value: json!(true), ..first.clone() };
            [first, green]
        });
        both.collect()
    };
    let begun = Instant::now();
    assert!(reporting.push(&of(0, 80)).await.iter().all(|it| *it == Outcome::Taken));
    let first = begun.elapsed();
    assert!(reporting.push(&of(1, 81)).await.iter().all(|it| *it == Outcome::Taken));
    let second = begun.elapsed() - first;
    let (revision, facts) = flow::facts_since(reporting.db(), -1).await.unwrap();
    assert_eq!((revision, facts.len()), (2, 1_000));
    println!(
        "REL facts: 1000 new in {} ms, 1000 in their place in {} ms",
        first.as_millis(),
        second.as_millis()
    );
}
