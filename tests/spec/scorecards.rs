//! Scores: evaluated again where something changed, by one process at a time, with what made each rule flip.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use idp::catalog::{EntityRef, Snapshot, flow as catalog};
use idp::facts::Kind;
use idp::facts::push::Observation;
use idp::facts::sources::{Key, Source};
use idp::scorecards::cause::Cause;
use idp::scorecards::exemption::{self, Decision, Request};
use idp::scorecards::flow::{self, Evaluated, Evaluator, Loaded};
use idp::scorecards::summary::{self, Flip};
use idp::scorecards::{Keys, ScorecardSet, file, store};
use serde_json::json;
use sqlx::PgPool;

use crate::database::{Fresh, fresh};
use crate::directory::{Directory, component};
use crate::scale::at_full;
use crate::waiting::until;

/// Whether it is documented, has an owner that somebody describes, and is tested.
const CARD: &str = "name: card
facts: {coverage: {type: number}}
checks:
  - name: docs
    rules:
      - {name: described, pass: entity.description != \"\"}
      - {name: owned, pass: \"entity.owners.exists(it, it.known)\"}
  - name: tests
    rules:
      - {name: covered, pass: facts.coverage >= 80}
levels: [{name: Bronze, from: 25}, {name: Gold, from: 100}]
filter: {kinds: [Component]}
";

struct Scored {
    fresh: Fresh,
    directory: Directory,
    loaded: Loaded,
    evaluator: Evaluator,
}

impl Scored {
    /// Everything in `files` is imported and evaluated.
    async fn new(files: &[(&str, &str)]) -> Scored {
        let fresh = fresh().await;
        let directory = Directory::with(files);
        directory.import(&fresh.pool).await;
        let mut scored =
            Scored { fresh, directory, loaded: loaded(&[CARD]), evaluator: Evaluator::default() };
        scored.evaluates().await;
        scored
    }

    fn db(&self) -> &PgPool {
        &self.fresh.pool
    }

    async fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(catalog::load(self.db(), &[]).await.unwrap())
    }

    /// Imports, and evaluates what the import changed.
    async fn imports(&mut self) -> Evaluated {
        self.directory.import(&self.fresh.pool).await;
        self.evaluates().await
    }

    async fn evaluates(&mut self) -> Evaluated {
        let snapshot = self.next().await;
        self.evaluator.evaluate(&self.fresh.pool, snapshot, &self.loaded).await.unwrap()
    }

    /// The newest snapshot, made from the one before as a process that follows the database makes it.
    async fn next(&self) -> Arc<Snapshot> {
        self.snapshot().await
    }

    async fn reports(&self, entity: &str, coverage: f64, valid_for: Duration) {
        let key = Key { kind: Kind::Number, valid_for: Some(valid_for) };
        let source =
            Source { name: "ci".into(), token: None, keys: [("coverage".into(), key)].into() };
        let observation = Observation {
            entity: entity.into(),
            key: "coverage".into(),
            value: json!(coverage),
            observed_at: None,
        };
        let snapshot = self.snapshot().await;
        let pushed = idp::facts::flow::push(self.db(), &source, &snapshot, &[observation]).await;
        assert_eq!(pushed.unwrap()[0].word(), "taken");
    }

    /// The outcomes of `name`, one letter a rule; empty where it has no score.
    async fn outcomes(&self, name: &str) -> String {
        let scorecard = self.loaded.scorecards.find("card").unwrap();
        let scores = flow::scores(self.db(), scorecard, Some(&[of(name)])).await.unwrap();
        scores.first().map(|it| it.outcomes.clone()).unwrap_or_default()
    }

    /// All flips there ever were, the oldest first.
    async fn flips(&self) -> Vec<Flip> {
        let now = Utc::now() + TimeDelta::hours(1);
        flow::flips(self.db(), None, None, now - TimeDelta::days(2), now).await.unwrap()
    }

    async fn told(&self) -> Vec<String> {
        let flips = self.flips().await;
        let told = flips.iter().map(|it| {
            format!("{} {} {}{}: {}", it.entity.name(), it.rule, it.was, it.became, it.cause)
        });
        told.collect()
    }

    /// Everything that is kept of scores, as the database has it.
    async fn kept(&self) -> Vec<String> {
        sqlx::query_scalar(
            "select concat_ws(' ', entity, scorecard, percent, level, outcomes)
             from idp.score
             order by entity, scorecard",
        )
        .fetch_all(self.db())
        .await
        .unwrap()
    }
}

fn of(name: &str) -> EntityRef {
    EntityRef::new("component", "default", name)
}

fn loaded(texts: &[&str]) -> Loaded {
    let read = |text: &&str| file::read(text, "card.yaml", &Keys::new()).unwrap();
    let scorecards = ScorecardSet::of(texts.iter().map(read).collect());
    Loaded { scorecards: Arc::new(scorecards), read_at: Instant::now() }
}

fn group(name: &str) -> String {
    format!(
        "---\napiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {{name: {name}}}\nspec: {{type: team, children: []}}\n"
    )
}

fn described(name: &str, owner: &str) -> String {
    component(name, owner)
        .replace(&format!("{{name: {name}}}"), &format!("{{name: {name}, description: It is}}"))
}

/// How many entities were looked at.
fn looked_at(evaluated: Evaluated) -> usize {
    match evaluated {
        Evaluated::Done { entities, .. } => entities,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_score_is_what_the_rules_find() {
    let files = [
        ("a.yaml", &*described("pay", "payments")),
        ("b.yaml", &*component("shop", "nobody")),
        ("g.yaml", &*group("payments")),
    ];
    let scored = Scored::new(&files).await;
    assert_eq!(
        scored.kept().await,
        ["component:default/pay card 50 0 ppu", "component:default/shop card 0 -1 ffu",]
    );
    assert!(scored.flips().await.is_empty(), "what is new has not flipped");
}

#[tokio::test]
async fn only_what_a_change_touches_is_evaluated_again() {
    let many: String =
        (0..60).map(|it| component(&format!("s{it}"), &format!("team-{}", it % 6))).collect();
    let groups: String = (0..6).map(|it| group(&format!("team-{it}"))).collect();
    let mut scored = Scored::new(&[("many.yaml", &many), ("groups.yaml", &groups)]).await;
    assert_eq!(scored.evaluates().await, Evaluated::Idle);
    scored
        .directory
        .write("many.yaml", &many.replace("{name: s7}", "{name: s7, description: It is}"));
    scored.directory.import(scored.db()).await;
    // As a process that follows the catalog: from the snapshot before, which shares what stayed.
    let changed = next_of(&scored, &["component:default/s7"]).await;
    let evaluated =
        scored.evaluator.evaluate(&scored.fresh.pool, changed, &scored.loaded).await.unwrap();
    let touched = looked_at(evaluated);
    assert!((1..=3).contains(&touched), "itself and its team: {evaluated:?}");
    assert_eq!(scored.told().await.len(), 1);
    // Who does not know the catalog of before looks at everything.
    scored.directory.write("many.yaml", &many);
    scored.directory.import(scored.db()).await;
    scored.evaluator = Evaluator::default();
    assert!(looked_at(scored.evaluates().await) >= 66);
}

/// The catalog of the database, made from the one that was evaluated last.
async fn next_of(scored: &Scored, changed: &[&str]) -> Arc<Snapshot> {
    let newest = scored.snapshot().await;
    let before = scored.evaluator.last().unwrap();
    let mut db = scored.db().acquire().await.unwrap();
    let stored: Vec<_> = {
        use futures_util::TryStreamExt;
        idp::catalog::store::entities_since(&mut db, before.revision().number)
            .try_collect()
            .await
            .unwrap()
    };
    assert_eq!(stored.len(), changed.len());
    Arc::new(before.next(stored, &[], &[], newest.revision().clone()))
}

#[tokio::test]
async fn a_flip_names_the_field_and_the_file_that_made_it() {
    let files = [("a.yaml", &*described("pay", "payments")), ("g.yaml", &*group("payments"))];
    let mut scored = Scored::new(&files).await;
    scored.directory.write("a.yaml", &described("pay", "nobody"));
    scored.imports().await;
    assert_eq!(scored.outcomes("pay").await, "pfu");
    assert_eq!(
        scored.told().await,
        ["pay owned pf: spec.owner of component:default/pay became nobody in a.yaml"]
    );
    scored.directory.write("a.yaml", &component("pay", "payments"));
    scored.imports().await;
    let told = scored.told().await;
    assert_eq!(told.len(), 3);
    assert!(told.contains(&"pay described pf: metadata.description of component:default/pay was removed in a.yaml".into()), "{told:?}");
    assert!(
        told.contains(
            &"pay owned fp: spec.owner of component:default/pay became payments in a.yaml".into()
        ),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_flip_names_what_happened_to_somebody_around() {
    let files = [("a.yaml", &*described("pay", "payments")), ("g.yaml", &*component("other", "x"))];
    let mut scored = Scored::new(&files).await;
    assert_eq!(scored.outcomes("pay").await, "pfu");
    scored.directory.write("g.yaml", &group("payments"));
    scored.imports().await;
    assert_eq!(scored.outcomes("pay").await, "ppu");
    let told = scored.told().await;
    assert_eq!(told, ["pay owned fp: group:default/payments was created in g.yaml"]);
}

#[tokio::test]
async fn a_reported_fact_is_evaluated_and_named() {
    let mut scored =
        Scored::new(&[("a.yaml", &described("pay", "x")), ("b.yaml", &component("shop", "x"))])
            .await;
    scored.reports("pay", 91.5, Duration::from_secs(3_600)).await;
    assert_eq!(looked_at(scored.evaluates().await), 1, "nobody else");
    assert_eq!(scored.outcomes("pay").await, "pfp");
    scored.reports("pay", 12.0, Duration::from_secs(3_600)).await;
    scored.evaluates().await;
    assert_eq!(
        scored.told().await,
        [
            "pay covered up: ci reported coverage: 91.5",
            "pay covered pf: ci reported coverage: 91.5 became 12.0",
        ]
    );
    assert_eq!(scored.evaluates().await, Evaluated::Idle);
}

#[tokio::test]
async fn a_fact_that_no_longer_holds_is_no_pass_although_nothing_happened() {
    let mut scored = Scored::new(&[("a.yaml", &described("pay", "x"))]).await;
    scored.reports("pay", 91.5, Duration::from_secs(3_600)).await;
    scored.evaluates().await;
    assert_eq!(scored.outcomes("pay").await, "pfp");
    assert_eq!(scored.evaluates().await, Evaluated::Idle);
    // An hour goes by.
    sqlx::raw_sql(
        "update idp.fact set valid_until = valid_until - interval '2 hours', observed_at = observed_at - interval '2 hours';
         update idp.score set until = until - interval '2 hours'",
    )
    .execute(scored.db())
    .await
    .unwrap();
    assert_eq!(looked_at(scored.evaluates().await), 1);
    assert_eq!(scored.outcomes("pay").await, "pfu");
    let flips = scored.flips().await;
    assert!(
        matches!(&flips.last().unwrap().cause, Cause::Stale { key, .. } if key == "coverage"),
        "{flips:?}"
    );
    assert_eq!(scored.evaluates().await, Evaluated::Idle, "once");
}

#[tokio::test]
async fn a_rule_counts_when_its_day_comes() {
    let tomorrow = (Utc::now() + TimeDelta::days(1)).date_naive();
    let mut scored = Scored::new(&[("a.yaml", &component("pay", "x"))]).await;
    scored.loaded = loaded(&[&CARD.replace(
        "entity.description != \"\"",
        &format!("entity.description != \"\", from: {tomorrow}"),
    )]);
    scored.evaluates().await;
    assert_eq!(scored.outcomes("pay").await, "lfu");
    let due: Option<chrono::DateTime<Utc>> =
        sqlx::query_scalar("select until from idp.score").fetch_one(scored.db()).await.unwrap();
    assert_eq!(due.map(|it| it.date_naive()), Some(tomorrow), "it is looked at again then");
    // The day is come, as far as the rule is concerned.
    let yesterday = (Utc::now() - TimeDelta::days(1)).date_naive();
    scored.loaded = loaded(&[&CARD.replace(
        "entity.description != \"\"",
        &format!("entity.description != \"\", from: {yesterday}"),
    )]);
    scored.evaluates().await;
    assert_eq!(scored.outcomes("pay").await, "ffu");
}

#[tokio::test]
async fn who_is_exempt_is_evaluated_when_that_begins_and_ends() {
    let mut scored =
        Scored::new(&[("a.yaml", &component("pay", "x")), ("b.yaml", &component("shop", "x"))])
            .await;
    let user = |name: &str| EntityRef::new("user", "default", name);
    let request = Request {
        entity: of("pay"),
        scorecard: "card".into(),
        rule: "described".into(),
        reason: "It is being moved".into(),
        days: 30,
        asked_by: user("ada"),
    };
    let asked = exemption::flow::ask(scored.db(), &request).await.unwrap();
    let decide = async |db: &PgPool, decision| {
        exemption::flow::decide(db, asked.id, decision, &user("bob"), None, |_| Ok(()))
            .await
            .unwrap();
    };
    decide(scored.db(), Decision::Grant).await;
    assert_eq!(looked_at(scored.evaluates().await), 1, "nobody else");
    assert_eq!(scored.outcomes("pay").await, "efu");
    decide(scored.db(), Decision::End).await;
    scored.evaluates().await;
    assert_eq!(scored.outcomes("pay").await, "ffu");
    assert_eq!(
        scored.told().await,
        ["pay described fe: an exemption was granted", "pay described ef: an exemption ended",]
    );
}

#[tokio::test]
async fn another_version_of_a_scorecard_evaluates_everything_and_is_named() {
    let mut scored =
        Scored::new(&[("a.yaml", &described("pay", "x")), ("b.yaml", &described("shop", "x"))])
            .await;
    let stricter = CARD.replace("entity.description != \"\"", "size(entity.description) > 100");
    let old = scored.loaded.clone();
    scored.loaded = loaded(&[&stricter]);
    assert_eq!(looked_at(scored.evaluates().await), 2);
    assert_eq!(
        scored.told().await,
        [
            "pay described pf: the scorecard was changed",
            "shop described pf: the scorecard was changed",
        ]
    );
    // A process that still has the old one does not take it back.
    let mut outdated = Evaluator::default();
    let evaluated = outdated.evaluate(scored.db(), scored.snapshot().await, &old).await.unwrap();
    assert_eq!(evaluated, Evaluated::Elsewhere);
    // But somebody who reads it anew means it.
    scored.loaded = Loaded { read_at: Instant::now(), ..old };
    assert_eq!(looked_at(scored.evaluates().await), 2);
    assert_eq!(scored.told().await.len(), 4);
}

#[tokio::test]
async fn what_leaves_the_catalog_or_the_filter_has_no_score() {
    let mut scored =
        Scored::new(&[("a.yaml", &described("pay", "x")), ("b.yaml", &component("shop", "x"))])
            .await;
    scored.directory.options.orphan_grace = Duration::ZERO;
    scored.directory.options.mass_delete_percent = 100;
    scored.directory.remove("b.yaml");
    scored.imports().await;
    assert_eq!(scored.kept().await, ["component:default/pay card 25 0 pfu"]);
    scored.loaded = loaded(&[&CARD.replace("[Component]", "[API]")]);
    scored.evaluates().await;
    assert!(scored.kept().await.is_empty());
    scored.loaded = loaded(&[]);
    scored.evaluates().await;
    assert_eq!(scored.evaluates().await, Evaluated::Idle);
}

#[tokio::test]
async fn of_processes_that_evaluate_at_once_one_does() {
    let scored = Scored::new(&[("a.yaml", &described("pay", "x"))]).await;
    let rounds = at_full(50);
    for round in 0..rounds {
        let text = if round % 2 == 0 { component("pay", "x") } else { described("pay", "x") };
        scored.directory.write("a.yaml", &text);
        scored.directory.import(scored.db()).await;
        let snapshot = scored.snapshot().await;
        let evaluations = (0..4).map(|_| {
            let (db, snapshot, loaded) =
                (scored.db().clone(), snapshot.clone(), scored.loaded.clone());
            tokio::spawn(async move {
                Evaluator::default().evaluate(&db, snapshot, &loaded).await.unwrap()
            })
        });
        let mut done = 0;
        for evaluation in evaluations.collect::<Vec<_>>() {
            done += usize::from(matches!(evaluation.await.unwrap(), Evaluated::Done { .. }));
        }
        assert!(done >= 1, "somebody does");
        assert_eq!(scored.flips().await.len(), round + 1, "each change is told once");
    }
    println!("REL races={rounds} flips={} double=0", scored.flips().await.len());
}

#[tokio::test]
async fn who_lost_the_evaluation_writes_nothing_more() {
    let scored = Scored::new(&[("a.yaml", &described("pay", "x"))]).await;
    let [first, second] =
        ["00000000-0000-4000-a000-000000000001", "00000000-0000-4000-a000-000000000002"];
    let mut db = scored.db().acquire().await.unwrap();
    assert!(store::hold(&mut db, first, 30).await.unwrap());
    assert!(!store::hold(&mut db, second, 30).await.unwrap(), "one at a time");
    assert!(store::hold_on(&mut db, first, 30).await.unwrap());
    // It stands still for longer than the others wait.
    sqlx::raw_sql("update idp.score_evaluation set held_until = clock_timestamp()")
        .execute(&mut *db)
        .await
        .unwrap();
    assert!(store::hold(&mut db, second, 30).await.unwrap());
    assert!(!store::hold_on(&mut db, first, 30).await.unwrap());
    let before = store::state(&mut db).await.unwrap();
    store::finish(&mut db, first, &before).await.unwrap();
    store::let_go(&mut db, first).await.unwrap();
    assert!(store::hold_on(&mut db, second, 30).await.unwrap(), "the first took nothing from it");
}

#[tokio::test]
async fn where_nothing_changed_nobody_takes_a_lock() {
    let mut scored = Scored::new(&[("a.yaml", &described("pay", "x"))]).await;
    let snapshot = scored.snapshot().await;
    let mut held = scored.db().begin().await.unwrap();
    sqlx::raw_sql("select from idp.score_evaluation for update").execute(&mut *held).await.unwrap();
    let idle =
        scored.evaluator.evaluate(&scored.fresh.pool, snapshot, &scored.loaded).await.unwrap();
    assert_eq!(idle, Evaluated::Idle);
    // With something to do it waits for the row, and does it once that is free.
    sqlx::raw_sql("update idp.fact_revision set revision = revision + 1")
        .execute(scored.db())
        .await
        .unwrap();
    let (db, loaded) = (scored.db().clone(), scored.loaded.clone());
    let snapshot = scored.snapshot().await;
    let waits = tokio::spawn(async move {
        Evaluator::default().evaluate(&db, snapshot, &loaded).await.unwrap()
    });
    until(
        "waiting for the row",
        async || {
            sqlx::query_scalar::<_, i64>("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")
                .fetch_one(scored.db())
                .await
                .unwrap()
        },
        |waiting| *waiting > 0,
    )
    .await;
    held.rollback().await.unwrap();
    assert!(matches!(waits.await.unwrap(), Evaluated::Done { .. }));
}

/// A generator of numbers that is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, many: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % many
    }
}

#[tokio::test]
async fn evaluating_what_changed_comes_to_the_same_as_evaluating_everything() {
    let mut dice = Dice(7);
    let card = CARD.replace(
        "entity.description != \"\"",
        "'entity.description != \"\" && entity.depends_on.all(it, it.known && it.owners > 0) && entity.dependents < 3'",
    );
    let mut scored = Scored::new(&[("g.yaml", &group("t0"))]).await;
    scored.loaded = loaded(&[&card]);
    scored.directory.options.orphan_grace = Duration::ZERO;
    scored.directory.options.mass_delete_percent = 100;
    let (mut few, mut all) = (0, 0);
    let rounds = at_full(120);
    for round in 0..rounds {
        for _ in 0..=dice.below(3) {
            let it = dice.below(14);
            let name = format!("s{it}.yaml");
            match dice.below(5) {
                0 if scored.directory.path().join(&name).exists() => scored.directory.remove(&name),
                _ => {
                    let owner = format!("t{}", dice.below(2));
                    let needs =
                        [dice.below(14), dice.below(14)].map(|it| format!("component:s{it}"));
                    let text = [component, described][dice.below(2)](&format!("s{it}"), &owner);
                    let text = text.replace(
                        "lifecycle: production",
                        &format!("lifecycle: production, dependsOn: [{}]", needs.join(", ")),
                    );
                    scored.directory.write(&name, &text);
                }
            }
        }
        scored.directory.import(&scored.fresh.pool).await;
        let snapshot = followed(&scored).await;
        let evaluated = scored
            .evaluator
            .evaluate(&scored.fresh.pool, snapshot.clone(), &scored.loaded)
            .await
            .unwrap();
        if let Evaluated::Done { entities, .. } = evaluated {
            few += entities;
            all += snapshot.len();
        }
        if round % 4 == 3 {
            let kept = scored.kept().await;
            sqlx::raw_sql("update idp.score_evaluation set catalog_revision = -1")
                .execute(scored.db())
                .await
                .unwrap();
            assert!(
                matches!(scored.evaluates().await, Evaluated::Done { scores: 0, flips: 0, .. }),
                "round {round}"
            );
            assert_eq!(scored.kept().await, kept, "round {round}");
            scored.evaluator.evaluate(&scored.fresh.pool, snapshot, &scored.loaded).await.unwrap();
        }
    }
    println!("REL rounds={rounds} evaluated={few} of={all}");
    assert!(few < all, "{few} of {all}");
}

/// The newest catalog as a process has it that follows the database.
async fn followed(scored: &Scored) -> Arc<Snapshot> {
    use futures_util::TryStreamExt;
    let Some(before) = scored.evaluator.last() else { return scored.snapshot().await };
    let newest = scored.snapshot().await;
    let mut db = scored.db().acquire().await.unwrap();
    let number = before.revision().number;
    let stored: Vec<_> =
        idp::catalog::store::entities_since(&mut db, number).try_collect().await.unwrap();
    let removed = idp::catalog::store::removed_since(&mut db, number).await.unwrap();
    Arc::new(before.next(stored, &removed, &[], newest.revision().clone()))
}

#[tokio::test]
async fn how_it_stood_on_each_day_is_known_backwards_from_now() {
    let mut scored =
        Scored::new(&[("a.yaml", &described("pay", "x")), ("b.yaml", &component("shop", "x"))])
            .await;
    sqlx::raw_sql("update idp.score_day set day = day - 5").execute(scored.db()).await.unwrap();
    scored.directory.write("b.yaml", &described("shop", "x"));
    scored.imports().await;
    sqlx::raw_sql("update idp.score_day set day = day - 2 where day = (clock_timestamp() at time zone 'utc')::date")
        .execute(scored.db())
        .await
        .unwrap();
    scored.reports("pay", 99.0, Duration::from_secs(3_600)).await;
    scored.evaluates().await;
    let scorecard = scored.loaded.scorecards.find("card").unwrap();
    let today = Utc::now().date_naive();
    let since = today - TimeDelta::days(8);
    let scores = flow::scores(scored.db(), scorecard, None).await.unwrap();
    let changes = flow::day_changes(scored.db(), "card", None, since).await.unwrap();
    let trend = summary::trend(scorecard, &scores, &changes, since, today);
    let told: Vec<_> = trend
        .iter()
        .map(|it| {
            (
                (today - it.day).num_days(),
                it.summary.mean.unwrap(),
                it.summary.levels.clone(),
                it.summary.below,
            )
        })
        .collect();
    let early = |day| (day, 13, vec![1, 0], 1);
    let late = |day| (day, 25, vec![2, 0], 0);
    assert_eq!(told, [early(5), early(4), early(3), late(2), late(1), (0, 50, vec![2, 0], 0)]);
    // Of one entity alone.
    let own = [of("shop")];
    let scores = flow::scores(scored.db(), scorecard, Some(&own)).await.unwrap();
    let changes = flow::day_changes(scored.db(), "card", Some(&own), since).await.unwrap();
    let trend = summary::trend(scorecard, &scores, &changes, since, today);
    assert_eq!(
        trend.iter().map(|it| it.summary.mean.unwrap()).collect::<Vec<_>>(),
        [0, 0, 0, 25, 25, 25]
    );
}

#[tokio::test]
async fn what_is_older_than_400_days_is_forgotten() {
    let mut scored = Scored::new(&[("a.yaml", &described("pay", "x"))]).await;
    scored.directory.write("a.yaml", &component("pay", "x"));
    scored.imports().await;
    let kept = async |db: &PgPool| {
        sqlx::query_as::<_, (i64, i64)>(
            "select (select count(*) from idp.score_day), (select count(*) from idp.score_flip)",
        )
        .fetch_one(db)
        .await
        .unwrap()
    };
    assert_eq!(flow::forget(scored.db()).await.unwrap(), 0);
    assert_eq!(kept(scored.db()).await, (1, 1));
    sqlx::raw_sql(
        "insert into idp.score_day (scorecard, entity, day, level)
            select 'card', 'component:default/x' || it, current_date - 500, 0 from generate_series(1, 7000) as it;
         update idp.score_flip set at = at - interval '401 days'",
    )
    .execute(scored.db())
    .await
    .unwrap();
    assert_eq!(flow::forget(scored.db()).await.unwrap(), 7_001);
    assert_eq!(kept(scored.db()).await, (1, 0));
}
