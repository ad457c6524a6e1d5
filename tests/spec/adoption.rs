//! `adoption`, `feedback` and `alias`: what admins see of how idp is used, and what becomes of what people say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{Days, NaiveDate, Utc};
use idp::access::Person;
use idp::catalog::{EntityRef, flow};
use idp::conversation::{Platform, Reply, Speaker, Way};
use idp::pictures::Drawing;
use idp::terminal::ask::typed;
use idp::usage::{self, ANSWER, FAULT, NOTHING, Usage, Use};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::asking::{ADMIN, Asking, invocation};
use crate::discord_judge;
use crate::discord_world::call;
use crate::hostile_text::{HOSTILE, has_hidden};
use crate::slack_judge::{over_a_limit, seen};
use crate::world::{World, interaction};

/// What an admin is answered.
async fn told(asking: &Asking, text: &str) -> Reply {
    let mut asked = invocation(text);
    asked.speaker.user_id = ADMIN.into();
    let reply = asking.app.answer(Way::Command, asked).await;
    assert_eq!(reply.refusal, None, "{text}: {}", reply.markdown);
    reply
}

/// Something that was asked, as the independent count has it.
struct Asked {
    day: NaiveDate,
    person: Option<&'static str>,
    account: String,
    team: &'static str,
    command: &'static str,
    platform: Platform,
    way: Way,
    outcome: &'static str,
    us: u64,
}

const PEOPLE: [(Option<&str>, &str); 5] = [
    (Some("zoe-laurent"), "payments"),
    (Some("priya-raman"), "order-flow"),
    (Some("daniel-kim"), "platform"),
    (Some("left-long-ago"), ""),
    (None, ""),
];

/// What a company asks over a quarter.
fn asked(random: &mut StdRng, today: NaiveDate) -> Asked {
    let (person, team) = PEOPLE[random.random_range(0..PEOPLE.len())];
    let platforms = [Platform::Slack, Platform::Slack, Platform::Discord];
    let way = Way::ALL[random.random_range(0..Way::ALL.len())];
    let outcomes = [ANSWER, ANSWER, ANSWER, "unknown_entity", "not_allowed", FAULT, NOTHING];
    Asked {
        day: today - Days::new(random.random_range(0..100)),
        person,
        account: format!("U{}", random.random_range(0..4)),
        team,
        command: ["owner", "show", "dependents", ""][random.random_range(0..4)],
        platform: platforms[random.random_range(0..3)],
        way,
        outcome: outcomes[random.random_range(0..outcomes.len())],
        us: 10_u64.pow(random.random_range(1..7)),
    }
}

fn note(usage: &Usage, asked: &Asked) {
    let person = Person {
        speaker: Speaker {
            platform: asked.platform,
            tenant: "T1".into(),
            user_id: asked.account.clone(),
        },
        user: asked.person.map(|user| EntityRef::new("user", "default", user)),
        teams: Some(asked.team)
            .filter(|team| !team.is_empty())
            .map(|team| EntityRef::new("group", "default", team))
            .into_iter()
            .collect(),
        link: None,
    };
    usage.note(&Use {
        person: &person,
        way: asked.way,
        command: asked.command,
        outcome: asked.outcome,
        took: Duration::from_micros(asked.us),
        day: asked.day,
    });
}

/// Who asked, as nobody else is called.
fn who(asked: &Asked) -> String {
    asked.person.map_or_else(
        || format!("{} {}", asked.platform.word(), asked.account),
        |person| format!("user {person}"),
    )
}

fn is_question(asked: &Asked) -> bool {
    !matches!(asked.way, Way::Form | Way::Typing | Way::Home | Way::Unfurl)
}

#[tokio::test]
async fn the_report_is_what_an_independent_count_says() {
    let asking = Asking::acme().await;
    let mut random = StdRng::seed_from_u64(28);
    let today = Utc::now().date_naive();
    let all: Vec<Asked> = (0..5_000).map(|_| asked(&mut random, today)).collect();
    all.iter().for_each(|asked| note(&asking.app.usage, asked));
    asking.app.record().await;
    let of_days = |from: u64, to: u64| {
        let (from, to) = (today - Days::new(from), today - Days::new(to));
        all.iter().filter(move |it| it.day >= from && it.day <= to)
    };
    let questions: Vec<&Asked> = of_days(27, 0).filter(|it| is_question(it)).collect();
    let users = |asked: &mut dyn Iterator<Item = &Asked>| {
        asked.filter_map(|it| it.person).collect::<BTreeSet<_>>().len()
    };
    let overview = told(&asking, "adoption").await.answer;
    assert_eq!(overview["total"], questions.len());
    assert_eq!(overview["people"], users(&mut questions.iter().copied()));
    let before = &mut of_days(55, 28).filter(|it| is_question(it));
    assert_eq!(overview["people_before"], users(before));
    let strangers = questions.iter().filter(|it| it.person.is_none()).map(|it| who(it));
    assert_eq!(overview["accounts"], strangers.collect::<BTreeSet<_>>().len());
    let answered = questions.iter().filter(|it| it.outcome == ANSWER).count();
    assert_eq!(overview["answered_percent"], answered * 100 / questions.len());
    let of_slack = questions.iter().filter(|it| it.platform == Platform::Slack).count();
    assert_eq!(
        overview["platforms"][0],
        json!({ "platform": "Slack", "percent": of_slack * 100 / questions.len() })
    );
    assert_eq!(overview["teams"], 3, "of which somebody asked");
    let described =
        asking.app.catalog.snapshot().entities().filter(|it| it.reference.kind() == "user").count();
    assert_eq!(overview["described"], described);
    let homes = of_days(27, 0).filter(|it| it.way == Way::Home && it.outcome == ANSWER).count();
    assert_eq!(overview["homes"], homes);
    let mut us: Vec<u64> = questions.iter().map(|it| it.us).collect();
    us.sort_unstable();
    let percentile = |percent: usize| us[(us.len() * percent).div_ceil(100) - 1];
    // Each of them is the bound of a bucket, or the first bound above.
    let said = |us: u64| match us {
        0..=100 => "0.1 ms".to_string(),
        101..=999_999 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    };
    assert_eq!(overview["median"], said(percentile(50)));
    assert_eq!(overview["nearly_all"], said(percentile(99)));

    let mut by_command: BTreeMap<&str, (usize, usize, BTreeSet<String>)> = BTreeMap::new();
    for it in &questions {
        let of = by_command.entry(it.command).or_default();
        of.0 += 1;
        of.1 += usize::from(it.outcome == ANSWER);
        of.2.insert(who(it));
    }
    let commands = told(&asking, "adoption commands").await.answer;
    let rows = commands["commands"].as_array().unwrap();
    assert_eq!(rows.len(), by_command.len());
    for row in rows {
        let (times, answered, people) = &by_command[row["command"].as_str().unwrap()];
        assert_eq!((&row["times"], &row["answered"]), (&json!(times), &json!(answered)), "{row}");
        assert_eq!(row["people"], people.len(), "{row}");
    }
    let times: Vec<u64> = rows.iter().map(|row| row["times"].as_u64().unwrap()).collect();
    assert!(times.is_sorted_by(|one, other| one >= other), "{times:?}");

    let teams = told(&asking, "adoption teams").await.answer;
    for team in ["payments", "order-flow", "platform"] {
        let of_team = || questions.iter().filter(|it| it.team == team);
        let rows = teams["teams"].as_array().unwrap();
        let row = rows.iter().find(|row| row["team"]["name"] == team).unwrap();
        assert_eq!(
            (&row["times"], &row["people"]),
            (&json!(of_team().count()), &json!(1)),
            "{row}"
        );
    }
    let silent: Vec<&str> =
        teams["silent"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(silent.contains(&"storefront") && !silent.contains(&"payments"), "{silent:?}");

    let Some(Drawing::Chart(chart)) = Drawing::of(&overview) else { panic!("{overview}") };
    let chart = serde_json::to_value(chart).unwrap();
    let monday = usage::report::monday(today);
    for (place, steps) in [(0, "people"), (1, "times")] {
        let values = chart["parts"][place]["lines"][0]["values"].as_array().unwrap();
        assert_eq!(values.len(), 12, "a quarter of {steps}");
        for (weeks_ago, value) in values.iter().rev().enumerate() {
            let first = monday - Days::new(7 * weeks_ago as u64);
            let of_week: Vec<&Asked> = all
                .iter()
                .filter(|it| is_question(it) && usage::report::monday(it.day) == first)
                .collect();
            let people = of_week.iter().map(|it| who(it)).collect::<BTreeSet<_>>().len();
            let expected = if place == 0 { people } else { of_week.len() };
            assert_eq!(value.as_f64(), Some(expected as f64), "{steps} of the week of {first}");
        }
    }
    println!(
        "REL U3 {} questions of 100 days counted twice, by idp and by the test: alike",
        all.len()
    );
}

#[tokio::test]
async fn who_is_no_admin_hears_which_rule_refuses_and_whom_to_ask() {
    let world = World::new().await;
    for text in ["adoption", "adoption feedback", "alias till checkout", "feedback report"] {
        let said =
            world.types("U0ACME0013", text).await["text"].as_str().unwrap().replace('\u{2060}', "");
        assert!(said.contains("no policy permits this"), "{text}: {said}");
        assert!(said.contains("Ask an admin: group:default/platform"), "{text}: {said}");
        let said = world.types(ADMIN, text).await["text"].as_str().unwrap().to_string();
        assert!(!said.contains("no policy"), "the control: {text}: {said}");
    }
    // Who may ask may also say whether it helped; who may not, may not.
    let said = world.types("U0NOBODY", "feedback \"owner payment-api\" helpful").await;
    assert!(said["text"].as_str().unwrap().starts_with("Thank you"), "{said}");
    let aliases = flow::aliases(&world.fresh.pool).await.unwrap();
    assert_eq!(aliases.len(), 1, "the admin's alone");
}

/// The answer's buttons: what they say, and what they open.
fn buttons_in_slack(message: &Value) -> Vec<(String, String, bool)> {
    let blocks = message["blocks"].as_array().unwrap();
    let elements = blocks.iter().filter(|it| it["type"] == "actions").map(|it| &it["elements"]);
    let buttons =
        elements.flat_map(|it| it.as_array().unwrap()).filter(|it| it["type"] == "button");
    let text = |it: &Value| it.as_str().unwrap().to_string();
    buttons
        .map(|it| {
            let is_form = text(&it["action_id"]).starts_with("idp-form:");
            (text(&it["text"]["text"]), text(&it["value"]), is_form)
        })
        .collect()
}

#[tokio::test]
async fn below_an_answer_one_button_asks_on_both_platforms_whether_it_helped() {
    let world = World::new().await;
    let words = "feedback \"owner payment-api\"".to_string();
    let asks = ("Helpful?".to_string(), words.clone(), true);
    let slack = world.types("U0ADA", "owner payment-api").await;
    let buttons = buttons_in_slack(&slack);
    assert_eq!(buttons.last(), Some(&asks), "{buttons:?}");
    assert_eq!(buttons.iter().filter(|it| it.0 == "Helpful?").count(), 1);
    let actions = slack["blocks"].as_array().unwrap().iter().filter(|it| it["type"] == "actions");
    assert_eq!(actions.count(), 1, "it makes no row of its own: {slack}");
    let discord = world.interacts(2, call("owner", &[("entity", json!("payment-api"))])).await;
    let components = discord_judge::components(&discord["data"]);
    let last = components.last().unwrap();
    assert_eq!(last["label"], "Helpful?");
    assert!(last["custom_id"].as_str().unwrap().ends_with(&words), "{last}");
    assert_eq!(discord["data"]["components"].as_array().unwrap().len(), 1);
    // A row that is full stays as it is, and what is no answer of the catalog is not asked about.
    for text in ["list --team payments", "whoami", "help", "owner paymnt", "link"] {
        let said = world.types("U0ADA", text).await;
        let asked = buttons_in_slack(&said).iter().filter(|it| it.0 == "Helpful?").count();
        let is_full = text == "list --team payments";
        assert_eq!(
            asked,
            usize::from(is_full && !buttons_in_slack(&said).len().is_multiple_of(5)),
            "{text}: {said}"
        );
    }
}

#[tokio::test]
async fn what_somebody_says_of_an_answer_is_in_the_report_with_whose_it_is() {
    let world = World::new().await;
    // In Slack by the form that the button opens.
    let response_url = format!("http://{}/respond/f", world.fake.address);
    let field = |name: &str, value: Value| {
        (name.to_string(), json!({ format!("idp-field:{name}"): value }))
    };
    let values: serde_json::Map<String, Value> = [
        field("about", json!({ "type": "plain_text_input", "value": "owner payment-api" })),
        field(
            "verdict",
            json!({ "type": "static_select", "selected_option": { "value": "not-helpful" } }),
        ),
        field(
            "comment",
            json!({ "type": "plain_text_input", "value": "It's \"gone\" --since\nMay" }),
        ),
    ]
    .into_iter()
    .collect();
    let origin = json!({ "channel_id": "C0NOBODY", "response_url": response_url });
    let view = json!({
        "type": "view_submission", "trigger_id": "t-feedback", "team": { "id": crate::world::TEAM },
        "user": { "id": "U0ACME0013", "team_id": crate::world::TEAM },
        "view": { "id": "V1", "callback_id": "idp-form:feedback", "private_metadata": origin.to_string(),
            "state": { "values": values } },
    });
    assert_eq!(world.sends("/slack/interactions", &interaction(&view)).await.body, "{}");
    let thanks = world.fake.hears().await.body;
    let text = thanks["text"].as_str().unwrap();
    assert!(text.starts_with("Thank you") && text.contains("Payments"), "{thanks}");
    assert!(buttons_in_slack(&thanks).iter().all(|it| it.0 != "Helpful?"), "{thanks}");
    // In Discord by the command, by somebody who is linked to nobody.
    let said = [("about", json!("show ledger")), ("verdict", json!("helpful"))];
    let said = world.interacts(2, call("feedback", &said)).await;
    assert!(said["data"].to_string().contains("helped you"), "{said}");

    let report = world.app.answer(Way::Command, admin("feedback report")).await;
    assert_eq!(report.refusal, None, "{}", report.markdown);
    let said = report.answer["said"].as_array().unwrap();
    let worst = said.iter().find(|it| it["helpful"] == false).unwrap();
    assert_eq!(worst["comment"], "It's \"gone\" --since May");
    assert_eq!(
        (&worst["who"]["name"], &worst["owners"][0]["name"]),
        (&json!("zoe-laurent"), &json!("payments"))
    );
    let best = said.iter().find(|it| it["helpful"] == true).unwrap();
    assert_eq!(
        (&best["user"], &best["command"], &best["comment"]),
        (&Value::Null, &json!("show"), &Value::Null)
    );
    assert_eq!((&report.answer["helpful"], &report.answer["not_helpful"]), (&json!(1), &json!(1)));
    let markdown = &report.markdown;
    assert!(
        markdown.contains("Not helpful: `owner` of `payment-api` (Payments), by Zoé Laurent"),
        "{markdown}"
    );
    assert!(markdown.contains("by somebody who is linked to nobody"), "{markdown}");
    // Who thinks again has the last word.
    let again = world.types("U0ACME0013", "feedback \"owner payment-api\" helpful").await;
    assert!(again["text"].as_str().unwrap().contains("helped you"), "{again}");
    let report = world.app.answer(Way::Command, admin("adoption feedback")).await.answer;
    assert_eq!((&report["total"], &report["not_helpful"]), (&json!(2), &json!(0)));
    let rows: Vec<String> = sqlx::query_scalar("select person from idp.feedback order by person")
        .fetch_all(&world.fresh.pool)
        .await
        .unwrap();
    assert!(rows[0].starts_with("account:") && rows[1] == "user:default/zoe-laurent", "{rows:?}");
}

fn admin(text: &str) -> idp::conversation::Invocation {
    let mut asked = invocation(text);
    asked.speaker.user_id = ADMIN.into();
    asked
}

#[tokio::test]
async fn feedback_on_nothing_that_was_asked_is_refused_and_kept_nowhere() {
    let asking = Asking::acme().await;
    let long = "x".repeat(501);
    for (text, why) in [
        ("feedback", "needs"),
        ("feedback \"owner payment-api\"", "needs"),
        ("feedback \"owner payment-api\" maybe", "not a valid"),
        ("feedback \"my secret diary of May\" helpful", "it is what was asked"),
        (&format!("feedback \"owner payment-api\" helpful {long}"), "at most 500 characters"),
    ] {
        let reply = asking.says(text).await;
        let refused = reply.refusal.unwrap_or_else(|| panic!("{text}: {}", reply.markdown));
        assert!(refused.message.contains(why), "{text}: {}", refused.message);
    }
    asking.app.record().await;
    let kept: i64 = sqlx::query_scalar(
        "select (select count(*) from idp.feedback) + (select count(*) from idp.recent_question)
              + (select count(*) from idp.unanswered)",
    )
    .fetch_one(&asking.fresh.pool)
    .await
    .unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn what_was_asked_in_vain_becomes_a_name_by_a_click() {
    let asking = Asking::acme().await;
    for _ in 0..3 {
        asking.says("owner chekout").await;
    }
    asking.says("who owns zzzz-till?").await;
    asking.says("owner payment-api").await;
    asking.app.record().await;
    let told_before = told(&asking, "adoption unanswered").await;
    let rows = told_before.answer["rows"].as_array().unwrap();
    assert_eq!(told_before.answer["total"], 2, "{}", told_before.markdown);
    assert_eq!((&rows[0]["name"], &rows[0]["times"]), (&json!("chekout"), &json!(3)));
    let means = rows[0]["means"].as_str().unwrap();
    let click = format!("alias chekout {means}");
    assert!(told_before.markdown.contains(&format!("(<idp:{click}>)")), "{}", told_before.markdown);
    assert!(told_before.markdown.contains("`owner chekout`"), "{}", told_before.markdown);
    let made = asking.app.answer(Way::Button, admin(&click)).await;
    assert_eq!(made.refusal, None, "{}", made.markdown);
    let aliases = flow::aliases(&asking.fresh.pool).await.unwrap();
    assert_eq!(aliases[0].alias, "chekout");
    let known: Vec<_> = aliases.into_iter().map(|it| (it.alias, it.reference)).collect();
    let snapshot = flow::load(&asking.fresh.pool, &known).await.unwrap();
    asking.app.catalog.current.store(snapshot.into());
    assert_eq!(asking.says("owner chekout").await.refusal, None);
    assert_eq!(told(&asking, "adoption unanswered").await.answer["total"], 1);
    // Names go first, and so do the aliases of the settings.
    for (text, why) in [
        ("alias payment-api checkout", "names go first"),
        ("alias pay checkout", "it is an alias in `idp.yaml`"),
        ("alias till nothing-of-ours", "There is no"),
    ] {
        let reply = asking.app.answer(Way::Button, admin(text)).await;
        assert!(reply.refusal.unwrap().message.contains(why), "{text}: {}", reply.markdown);
    }
}

#[tokio::test]
async fn what_people_wrote_does_nothing_in_the_report() {
    let world = World::new().await;
    for (number, text) in HOSTILE.iter().enumerate() {
        let comment = usage::feedback::comment(text).unwrap_or_default();
        sqlx::query("insert into idp.feedback values ($1, 'owner', 'component:default/payment-api', 'slack', false, $2)")
            .bind(format!("user:default/u{number}"))
            .bind(&comment)
            .execute(&world.fresh.pool)
            .await
            .unwrap();
        world.app.answer(Way::Message, invocation(&format!("owner {text}"))).await;
    }
    world.app.record().await;
    let mut pages = 0;
    for view in ["feedback", "unanswered", "overview"] {
        for page in 1..=4 {
            let text = format!("adoption {view} --page {page}");
            let said = world.types(ADMIN, &text).await;
            let seen = seen(&said);
            assert!(seen.mentions.is_empty() && seen.links.is_empty(), "{text}: {seen:?}");
            assert_eq!(over_a_limit(&said), Ok(()), "{text}");
            assert!(!has_hidden(&said), "{text}: {said}");
            pages += 1;
        }
    }
    println!(
        "REL U4 {} hostile comments and questions on {pages} pages: 0 mentions, 0 links",
        HOSTILE.len()
    );
}

#[tokio::test]
async fn without_a_database_it_says_so_and_lookups_go_on() {
    let asking = Asking::acme().await;
    asking.app.db.store(None.into());
    for text in ["adoption", "feedback \"owner payment-api\" helpful", "alias till checkout"] {
        let reply = asking.app.answer(Way::Command, admin(text)).await;
        assert_eq!(reply.refusal.unwrap().code, "unavailable", "{text}: {}", reply.markdown);
    }
    assert_eq!(asking.says("owner payment-api").await.refusal, None);
    asking.app.record().await;
    let kept: u64 = asking.app.usage.take().iter().map(|(_, it)| it.times).sum();
    assert_eq!(kept, 4, "nothing that was counted is lost");
}

#[tokio::test]
async fn a_terminal_shows_the_report_with_its_picture_in_letters() {
    let asking = Asking::acme().await;
    asking.says("owner payment-api").await;
    asking.app.record().await;
    let reply = asking.app.answer(Way::Command, typed("adoption", None)).await;
    let shown = idp::terminal::render::render(&reply, 100, false);
    assert!(shown.contains(" asked 1 question in the 28 days to"), "{shown}");
    assert!(shown.contains("People who asked, by weeks\n"), "{shown}");
}
