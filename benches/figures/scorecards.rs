//! Scorecards: all entities by twenty rules, one changed entity, and expressions that try to take long.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use idp::catalog::{self, EntityRef, Snapshot};
use idp::facts::{self, Kind};
use idp::scorecards::evaluate::{self, Definitions, Means};
use idp::scorecards::expression::{Expression, Subject, Vocabulary};
use idp::scorecards::flow::{Evaluated, Evaluator, Loaded};
use idp::scorecards::{Keys, ScorecardSet, file};
use sqlx::PgPool;

use crate::bombs;
use crate::figure::Figures;
use crate::generated::Generated;
use crate::import::Imported;
use crate::process::peak_memory_mb;

/// How often everything is evaluated, and how often what one entity changed.
const WHOLES: usize = 5;
const CHANGES: usize = 40;

/// Twenty rules as people write them: of the entity alone, of what is around it, and of facts.
const RULES: [&str; 20] = [
    "size(entity.description) >= 20",
    "entity.docs || entity.links.exists(it, it.type == 'documentation')",
    "entity.links.exists(it, it.type == 'runbook')",
    "entity.depends_on.all(it, it.known && it.owners > 0)",
    "['grafana/dashboard-selector', 'datadoghq.com/dashboard-url'].exists(it, it in entity.annotations)",
    "entity.links.exists(it, it.type == 'logs')",
    "entity.owners.exists(it, it.known && it.kind == 'group')",
    "entity.on_call != ''",
    "size(entity.channels) > 0",
    "entity.owners.exists(it, it.members >= 6)",
    "entity.annotations.exists(key, key.endsWith('/backup-schedule'))",
    "entity.annotations.exists(key, key.endsWith('/recovery-point'))",
    "entity.tier in ['1', '2', '3']",
    "entity.lifecycle == 'production'",
    "entity.name.matches('^[a-z0-9-]+$')",
    "!entity.orphaned",
    "entity.dependents < 50 || size(entity.owners) > 1",
    "facts.coverage >= 80",
    "facts['ci.green'] && facts.coverage > 10",
    "facts.vulnerabilities == 0",
];

pub async fn measure(generated: &Generated, imported: &Imported, figures: &mut Figures) {
    println!("scorecards, {} entities", generated.len());
    let name = |figure: &str| format!("scorecards-{}-{figure}", generated.len());
    let db = &imported.db.pool;
    report(db).await;
    let snapshot = Arc::new(catalog::flow::load(db, &[]).await.unwrap());
    let scorecards = Arc::new(ScorecardSet::of(vec![twenty_rules()]));
    let now: DateTime<Utc> =
        sqlx::query_scalar("select clock_timestamp()").fetch_one(db).await.unwrap();
    judge(&snapshot, &scorecards, now, &name, figures);

    let loaded = Loaded { scorecards, read_at: Instant::now() };
    let mut evaluator = Evaluator::default();
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..WHOLES {
        sqlx::raw_sql("truncate idp.score, idp.score_day, idp.score_flip")
            .execute(db)
            .await
            .unwrap();
        first.push(whole(&mut evaluator, db, &snapshot, &loaded).await);
        again.push(whole(&mut evaluator, db, &snapshot, &loaded).await);
    }
    add(figures, &name("first"), first);
    add(figures, &name("again"), again);
    add(figures, &name("control-insert"), control_inserts(db).await);
    changes(&mut evaluator, db, &loaded, &name, figures).await;
    add(figures, &name("control-commit"), control_commits(db).await);
    bombs(now, figures);
}

fn twenty_rules() -> idp::scorecards::Scorecard {
    let mut text = "name: twenty\nfacts: {coverage: {type: number}, ci.green: {type: bool}, vulnerabilities: {type: number}}\nchecks:\n".to_string();
    for (check, rules) in RULES.chunks(5).enumerate() {
        text.push_str(&format!("  - name: check-{check}\n    rules:\n"));
        for (rule, pass) in rules.iter().enumerate() {
            text.push_str(&format!("      - {{name: r{check}-{rule}, pass: \"{pass}\"}}\n"));
        }
    }
    text.push_str(
        "levels: [{name: Bronze, from: 40}, {name: Silver, from: 70}, {name: Gold, from: 95}]\n",
    );
    file::read(&text, "twenty.yaml", &Keys::new()).unwrap()
}

/// Three facts of each entity.
async fn report(db: &PgPool) {
    sqlx::raw_sql(
        "update idp.fact_revision set revision = revision + 1;
         insert into idp.fact (entity, key, value, source, observed_at, valid_until, revision)
         select ref, key, value::jsonb, 'ci', clock_timestamp(), clock_timestamp() + interval '14 days',
            (select revision from idp.fact_revision)
         from idp.stored_entity
         cross join (values ('coverage', '81.5'), ('ci.green', 'true'), ('vulnerabilities', '2')) as fact (key, value)
         on conflict do nothing;
         analyze idp.fact",
    )
    .execute(db)
    .await
    .unwrap();
}

/// The judgement alone, in memory.
fn judge(
    snapshot: &Snapshot,
    scorecards: &ScorecardSet,
    now: DateTime<Utc>,
    name: &impl Fn(&str) -> String,
    figures: &mut Figures,
) {
    let entities: Vec<EntityRef> = snapshot.entities().map(|it| it.reference.clone()).collect();
    let (facts, exempt, definitions) =
        (Default::default(), Default::default(), Definitions::default());
    let means =
        Means { scorecards, facts: &facts, exempt: &exempt, definitions: &definitions, now };
    let judged = (0..WHOLES).map(|_| {
        let start = Instant::now();
        let scores = evaluate::scores(snapshot, &entities, &means);
        assert_eq!(scores.len(), entities.len());
        start.elapsed()
    });
    add(figures, &name("judged-in-memory"), judged.collect());
}

async fn whole(
    evaluator: &mut Evaluator,
    db: &PgPool,
    snapshot: &Arc<Snapshot>,
    loaded: &Loaded,
) -> Duration {
    let anew = "update idp.score_evaluation set catalog_revision = -1, scorecards = '', scorecards_read_at = null";
    sqlx::raw_sql(anew).execute(db).await.unwrap();
    let start = Instant::now();
    let evaluated = evaluator.evaluate(db, snapshot.clone(), loaded).await.unwrap();
    let took = start.elapsed();
    let Evaluated::Done { entities, .. } = evaluated else { panic!("{evaluated:?}") };
    assert_eq!(entities, snapshot.len());
    took
}

/// One descriptor changes, as an import writes it; from the new catalog in memory to scores in the database.
async fn changes(
    evaluator: &mut Evaluator,
    db: &PgPool,
    loaded: &Loaded,
    name: &impl Fn(&str) -> String,
    figures: &mut Figures,
) {
    let references: Vec<String> = sqlx::query_scalar(
        "select ref from idp.stored_entity where ref like 'component:%' order by md5(ref) limit $1",
    )
    .bind(CHANGES as i64)
    .fetch_all(db)
    .await
    .unwrap();
    let (mut took, mut touched) = (Vec::new(), 0);
    for reference in references {
        sqlx::raw_sql(
            "update idp.catalog_revision set revision = revision + 1;
             insert into idp.catalog_mark (revision) select revision from idp.catalog_revision",
        )
        .execute(db)
        .await
        .unwrap();
        sqlx::query(
            "update idp.stored_entity
             set body = jsonb_set(body::jsonb, '{metadata,description}', '\"Short\"')::text,
                revision = (select revision from idp.catalog_revision)
             where ref = $1",
        )
        .bind(&reference)
        .execute(db)
        .await
        .unwrap();
        let before = evaluator.last().unwrap().clone();
        let mut connection = db.acquire().await.unwrap();
        let revision = catalog::store::revision(&mut connection).await.unwrap();
        let changed: Vec<_> =
            catalog::store::entities_since(&mut connection, before.revision().number)
                .try_collect()
                .await
                .unwrap();
        drop(connection);
        let after = Arc::new(before.next(changed, &[], &[], revision));
        drop(before);
        let start = Instant::now();
        let evaluated = evaluator.evaluate(db, after, loaded).await.unwrap();
        took.push(start.elapsed());
        let Evaluated::Done { entities, .. } = evaluated else { panic!("{evaluated:?}") };
        touched += entities;
    }
    figures.add(name("touched-by-one"), touched as f64 / CHANGES as f64, "");
    add(figures, &name("one-changed"), took);
}

/// As many rows, of the same text, written at once and by nobody's judgement.
async fn control_inserts(db: &PgPool) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..WHOLES {
        sqlx::raw_sql("create table idp.copied_score (like idp.score including all)")
            .execute(db)
            .await
            .unwrap();
        let start = Instant::now();
        sqlx::raw_sql("insert into idp.copied_score select * from idp.score")
            .execute(db)
            .await
            .unwrap();
        took.push(start.elapsed());
        sqlx::raw_sql("drop table idp.copied_score").execute(db).await.unwrap();
    }
    took
}

/// One row written and committed.
async fn control_commits(db: &PgPool) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..CHANGES {
        let start = Instant::now();
        sqlx::raw_sql("update idp.score_evaluation set held_until = null")
            .execute(db)
            .await
            .unwrap();
        took.push(start.elapsed());
    }
    took
}

/// The longest that it takes to read a text that tries to take long, and to evaluate one that could be read.
fn bombs(now: DateTime<Utc>, figures: &mut Figures) {
    let large = bombs::large();
    let vocabulary = Vocabulary {
        entity: facts::catalog::kind(),
        facts: Some(BTreeMap::from([("a".to_string(), Kind::Bool)])),
    };
    let nothing = BTreeMap::new();
    let (mut read, mut evaluated) = (Vec::new(), Vec::new());
    let before_mb = peak_memory_mb();
    for source in bombs::to_read().iter().chain(&bombs::to_evaluate()) {
        let start = Instant::now();
        let expression = black_box(Expression::read(source, &vocabulary));
        read.push(start.elapsed());
        let Ok(expression) = expression else { continue };
        let asked_now = Cell::new(false);
        let subject = Subject { entity: &large, facts: &nothing, now, asked_now: &asked_now };
        let start = Instant::now();
        let _ = black_box(expression.is_true(&subject));
        evaluated.push(start.elapsed());
    }
    add(figures, "scorecards-bomb-read", read);
    add(figures, "scorecards-bomb-evaluated", evaluated);
    figures.add("scorecards-bomb-memory", peak_memory_mb() - before_mb, "MB");
}

fn add(figures: &mut Figures, name: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let ms = |at: usize| took[at].as_secs_f64() * 1e3;
    figures.add(format!("{name}-median"), ms(took.len() / 2), "ms");
    figures.add(format!("{name}-max"), ms(took.len() - 1), "ms");
}
