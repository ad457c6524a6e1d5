//! `score <team>` and `scorecard`: how many stand where, and what to do about it.

use std::sync::Arc;
use std::time::Instant;

use idp::app::App;
use idp::catalog::{Catalog, EntityRef, Place, Snapshot, StoredEntity};
use idp::chat::ANSWER_WITHIN;
use idp::commands::CommandSet;
use idp::conversation::{Reply, Way};
use idp::integrations::http::{Client, Policy};
use idp::pictures::Drawing;
use idp::scorecards::flow::{Evaluated, Evaluator, Loaded};
use idp::scorecards::{Keys, ScorecardSet, file};
use idp::terminal::ask::typed;
use idp::terminal::render::render;
use idp::vault::Key;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::asking::{ADMIN, Asking, invocation, open};
use crate::directory::{self, Directory};
use crate::discord_judge;
use crate::hostile_text::HOSTILE;
use crate::slack_judge;
use crate::world::World;

/// Evaluates everything, as `idp serve` does.
async fn evaluate(app: &App, db: &PgPool) {
    let loaded = Loaded { scorecards: app.scorecards.load_full(), read_at: Instant::now() };
    let evaluated = Evaluator::default().evaluate(db, app.catalog.snapshot(), &loaded).await;
    assert!(matches!(evaluated.unwrap(), Evaluated::Done { .. }));
}

fn percents(reply: &Reply) -> Vec<i64> {
    let cards = reply.answer["scorecards"].as_array().unwrap();
    let own = cards.iter().filter(|it| it["name"] == "production-readiness");
    own.filter_map(|it| it["percent"].as_i64()).collect()
}

/// What `sum` tells at all levels.
fn counted(sum: &Value) -> i64 {
    sum["levels"].as_array().unwrap().iter().map(|it| it["entities"].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn a_team_hears_how_what_it_owns_does_and_what_to_do_next() {
    let asking = Asking::acme().await;
    let judged_now = asking.says("score team payments").await;
    assert_eq!(judged_now.refusal, None, "{}", judged_now.markdown);
    evaluate(&asking.app, &asking.fresh.pool).await;
    let reply = asking.says("score payments --kind group").await;
    let team = &reply.answer["team"];
    let section = team["sections"].as_array().unwrap().iter();
    let section = section.clone().find(|it| it["name"] == "production-readiness").unwrap();
    assert!(section["as_of"].is_string());
    assert_eq!(counted(section), section["entities"].as_i64().unwrap());

    // The mean of what `score` says of each.
    let mut all = Vec::new();
    let listed = [
        asking.says("list --team payments").await,
        asking.says("list --team payments --page 2").await,
    ];
    for entity in listed.iter().flat_map(|it| it.answer["entities"].as_array().unwrap()) {
        let words = entity["words"].as_str().unwrap();
        all.extend(percents(&asking.says(&format!("score {words}")).await));
    }
    let mean = all.iter().sum::<i64>() as f64 / all.len() as f64;
    assert_eq!(section["mean"], json!(mean.round() as i64), "{all:?}");
    assert_eq!(section["entities"], all.len());

    let lowest = team["lowest"][0]["words"].as_str().unwrap();
    let of_lowest = percents(&asking.says(&format!("score {lowest}")).await);
    assert_eq!(of_lowest.iter().min(), all.iter().min(), "a button of what does worst: {lowest}");

    // Before it was evaluated it was the same.
    let mut before = judged_now.answer["team"].clone();
    for section in before["sections"].as_array_mut().unwrap() {
        assert_eq!(section["as_of"], Value::Null);
        section["as_of"] = team["sections"][0]["as_of"].clone();
    }
    assert_eq!(&before, team);

    let steps = section["steps"].as_array().unwrap();
    assert!(!steps.is_empty());
    for step in steps {
        let named = step["entities"].as_array().unwrap().len() as u64;
        assert_eq!(step["waiting"].as_u64().unwrap(), named + step["more"].as_u64().unwrap());
        assert!(step["gain"].as_u64().unwrap() > 0 && step["remedy"].is_string(), "{step}");
    }
    assert!(steps[0]["effort"].as_str().unwrap().ends_with(" min"), "{steps:?}");
    let said = &reply.markdown;
    assert!(
        said.contains("The cheapest first:")
            && said.contains("[Production readiness](<idp:scorecard production-readiness>)"),
        "{said}"
    );
}

#[tokio::test]
async fn a_teams_picture_has_a_bar_of_each_thing_in_the_colour_of_its_level() {
    let asking = Asking::acme().await;
    let reply = asking.says("score team payments").await;
    let Some(Drawing::Chart(chart)) = Drawing::of(&reply.answer) else {
        panic!("{}", reply.answer)
    };
    let drawn = Drawing::Chart(chart).draw().unwrap();
    assert!(drawn.alt.starts_with("Scores of Payments."), "{}", drawn.alt);
    let bars = reply.answer["chart"]["parts"].as_array().unwrap();
    let bars = bars.iter().find(|it| it["title"] == "Production readiness").unwrap();
    let pay =
        bars["rows"].as_array().unwrap().iter().find(|it| it["label"] == "Payment API").unwrap();
    assert_eq!((&pay["value"], &pay["colour"]), (&json!(75.0), &json!("#b08d57")));
    let terminal = render(
        &asking.app.answer(Way::Command, typed("score team payments", None)).await,
        120,
        false,
    );
    assert!(terminal.contains("Payment API") && terminal.contains('█'), "{terminal}");
}

#[tokio::test]
async fn a_scorecard_tells_levels_teams_rules_and_how_that_went() {
    let asking = Asking::acme().await;
    let db = &asking.fresh.pool;
    evaluate(&asking.app, db).await;
    // As if it had been evaluated for two months, and payment-api had risen from 40 to 75 five weeks ago.
    sqlx::raw_sql(
        "update idp.score_day set day = day - 60;
         update idp.score_day set percent = 40, level = -1
         where entity = 'component:default/payment-api' and scorecard = 'production-readiness';
         insert into idp.score_day (entity, scorecard, day, percent_before, level_before, percent, level)
         values ('component:default/payment-api', 'production-readiness',
            (clock_timestamp() at time zone 'utc')::date - 35, 40, -1, 75, 0);
         insert into idp.score_flip (entity, scorecard, rule, was, became, cause) values
            ('component:default/payment-api', 'production-readiness', 'logs', 'f', 'p', '{\"kind\":\"time\"}'),
            ('component:default/ledger', 'production-readiness', 'owner', 'p', 'f', '{\"kind\":\"scorecard\"}'),
            ('component:default/ledger', 'production-readiness', 'logs', 'p', 'f', '{\"kind\":\"time\"}'),
            ('component:default/ledger', 'production-readiness', 'logs', 'f', 'p', '{\"kind\":\"time\"}')",
    )
    .execute(db)
    .await
    .unwrap();
    let reply = asking.says("scorecard Production readiness").await;
    let answer = &reply.answer;
    let (entities, mean) = (answer["total"].as_i64().unwrap(), answer["mean"].as_i64().unwrap());
    assert_eq!(counted(answer), entities);
    let all: Vec<i64> = sqlx::query_scalar(
        "select percent::bigint from idp.score where scorecard = 'production-readiness' and percent is not null",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let sum: i64 = all.iter().sum();
    assert_eq!(
        (all.len() as i64, (sum as f64 / all.len() as f64).round() as i64),
        (entities, mean)
    );

    let went = &answer["went"];
    let then = (sum - 35) as f64 / all.len() as f64;
    assert_eq!((&went["entities"], &went["mean"]), (&json!(entities), &json!(then.round() as i64)));
    let lately = &answer["lately"];
    assert_eq!((&lately["passed"], &lately["regressed"]), (&json!(1), &json!(1)), "{lately}");
    assert_eq!(lately["regressions"][0]["entity"]["name"], "ledger");
    let means: Vec<i64> =
        answer["teams"].as_array().unwrap().iter().map(|it| it["mean"].as_i64().unwrap()).collect();
    assert!(means.len() > 3 && means.is_sorted(), "{means:?}");
    let open: Vec<i64> =
        answer["worst"].as_array().unwrap().iter().map(|it| it["open"].as_i64().unwrap()).collect();
    assert!(open.is_sorted_by(|a, b| a >= b), "{open:?}");

    let parts = answer["chart"]["parts"].as_array().unwrap();
    let kinds: Vec<&str> = parts.iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["shares", "trend", "bars"]);
    let labels: Vec<&str> = parts[0]["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, ["Gold", "Silver", "Bronze", "below Bronze"]);
    let trend = parts[1]["lines"][0]["values"].as_array().unwrap();
    assert_eq!((trend.len(), trend[0].is_null(), trend[5].is_f64()), (13, true, true), "{trend:?}");
    assert_eq!(trend[12], json!(mean as f64));
    let drawn = Drawing::of(answer).unwrap().draw().unwrap();
    assert!(drawn.alt.starts_with("Production readiness."), "{}", drawn.alt);
    let said = &reply.markdown;
    assert!(said.contains("As evaluated on") && said.contains("What fewest pass:"), "{said}");
}

#[tokio::test]
async fn without_a_database_a_scorecard_is_judged_now_and_says_so() {
    let asking = Asking::acme().await;
    let before = asking.says("scorecard production-readiness").await;
    asking.app.db.store(Arc::new(None));
    let reply = asking.says("scorecard production-readiness").await;
    assert_eq!(reply.refusal, None);
    assert_eq!(
        (&reply.answer["total"], &reply.answer["mean"]),
        (&before.answer["total"], &before.answer["mean"])
    );
    assert!(reply.markdown.contains("Judged just now"), "{}", reply.markdown);
    assert!(Drawing::of(&reply.answer).is_some());
    let team = asking.says("score team payments").await;
    assert_eq!(team.refusal, None, "{}", team.markdown);
    assert!(team.answer["team"]["sections"][0]["mean"].is_u64());
}

#[tokio::test]
async fn scores_of_another_version_of_the_scorecard_are_not_told() {
    let asking = Asking::acme().await;
    evaluate(&asking.app, &asking.fresh.pool).await;
    let is_evaluated = async || {
        let reply = asking.says("scorecard api-quality").await;
        assert!(reply.answer["total"].as_u64().unwrap() > 0, "{}", reply.markdown);
        reply.answer["as_of"].is_string()
    };
    assert!(is_evaluated().await);
    let text =
        std::fs::read_to_string(crate::asking::acme().join("scorecards/api-quality.yaml")).unwrap();
    let changed = file::read(&text.replace(">= 20", ">= 30"), "a.yaml", &Keys::new()).unwrap();
    asking.app.scorecards.store(Arc::new(ScorecardSet::of(vec![changed])));
    assert!(!is_evaluated().await);
    evaluate(&asking.app, &asking.fresh.pool).await;
    assert!(is_evaluated().await);
}

#[tokio::test]
async fn so_many_that_nobody_should_wait_are_not_judged_while_somebody_does() {
    let entity = |number| {
        StoredEntity {
        reference: EntityRef::new("component", "default", &format!("c{number}")),
        body: format!(r#"{{"kind":"Component","metadata":{{"name":"c{number}"}},"spec":{{"type":"service","lifecycle":"production"}}}}"#).into(),
        relations: Vec::new(),
        place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
        orphaned_at: None,
    }
    };
    let snapshot = Snapshot::build((0..1_001).map(entity), &[], 1);
    let http = Client::new(Policy::default());
    let app =
        App::new(Catalog::new(snapshot), CommandSet::built_in(), open(), None, http, Key::random());
    app.scorecards.store(Arc::new(ScorecardSet::built_in()));
    let reply = app.answer(Way::Command, invocation("scorecard production-readiness")).await;
    let refused = reply.refusal.unwrap_or_else(|| panic!("{}", reply.markdown));
    assert_eq!(refused.code, "unavailable", "{}", refused.message);
}

#[tokio::test]
async fn a_scorecard_that_there_is_not_is_refused_with_the_one_that_is_meant() {
    let asking = Asking::acme().await;
    let refused = asking.says("scorecard produktion-readiness").await.refusal.unwrap();
    assert!(
        refused.message.contains("Did you mean `production-readiness`?"),
        "{}",
        refused.message
    );
    let text =
        "name: secret\ndraft: true\nchecks: [{name: a, rules: [{name: b, pass: entity.docs}]}]\n";
    let draft = file::read(text, "secret.yaml", &Keys::new()).unwrap();
    asking.app.scorecards.store(Arc::new(ScorecardSet::of(vec![draft])));
    let listed = asking.reads("scorecard").await;
    assert!(listed.starts_with("There are no scorecards"), "{listed}");
    assert!(asking.says("scorecard secret").await.refusal.is_some());
    let mut asked = invocation("scorecard secret");
    asked.speaker.user_id = ADMIN.into();
    let admin = asking.app.answer(Way::Command, asked).await;
    assert!(admin.markdown.contains("a draft that only admins see"), "{}", admin.markdown);
}

#[tokio::test]
async fn no_name_of_a_team_speaks_through_a_scorecard() {
    let directory = Directory::new();
    let hostile: Vec<&str> = HOSTILE.iter().copied().filter(|it| !it.contains('\0')).collect();
    for (number, text) in hostile.iter().enumerate() {
        let documents = crate::hostile_slack::descriptors(number, text);
        directory.write(&format!("f{number}.yaml"), &documents);
    }
    let world = World::with(ANSWER_WITHIN, |settings| {
        settings.sources = vec![directory::path(directory.path())];
    })
    .await;
    let text = "name: all\nfilter: {kinds: [Component]}\nchecks: [{name: a, rules: [{name: b, pass: entity.docs}]}]\nlevels: [{name: Bronze, from: 50}]\n";
    let scorecard = file::read(text, "all.yaml", &Keys::new()).unwrap();
    world.app.scorecards.store(Arc::new(ScorecardSet::of(vec![scorecard])));
    evaluate(&world.app, &world.fresh.pool).await;
    let pages = hostile.len().div_ceil(15);
    let mut teams = 0;
    for page in 1..=pages {
        let question = format!("scorecard all --page {page}");
        let message = world.types("U0ADA", &question).await;
        assert_eq!(slack_judge::seen(&message).mentions, [""; 0], "{message}");
        assert_eq!(slack_judge::seen(&message).links, [""; 0], "{message}");
        assert_eq!(slack_judge::over_a_limit(&message), Ok(()));
        let said = world.calls("ask", &[("question", json!(question))]).await;
        assert_eq!(discord_judge::seen(&said["data"]).mentions, [""; 0], "{said}");
        assert_eq!(discord_judge::over_a_limit(&said["data"]), Ok(()));
        teams += world.app.answer(Way::Command, invocation(&question)).await.answer["teams"]
            .as_array()
            .unwrap()
            .len();
    }
    assert_eq!(teams, hostile.len());
    println!("REL G1-G4 {teams} teams with hostile names in a scorecard: 0 mentions, 0 links");
}
