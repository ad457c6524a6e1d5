//! How idp is used: each thing that is asked is counted once, by whom, by which way and how it went, and nothing of what
//! was written.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{Days, NaiveDate};
use idp::access::{Authority, Person, Reach, Terms};
use idp::catalog::EntityRef;
use idp::chat::ANSWER_WITHIN;
use idp::conversation::{Platform, Speaker, Way};
use idp::usage::{self, ANSWER, Count, FAULT, KEPT_DAYS, Key, NOTHING, Usage, Use};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};

use crate::access_matrix::{self, DOORS, Door, Seen, sees};
use crate::database::{self, Server};
use crate::discord_world::{self, call};
use crate::scale::at_full;
use crate::world::{TEAM, World, interaction};

/// What was counted, added up.
type Counted = Vec<(Key, u64)>;

/// All that was counted in `world` since the last time.
fn counted(world: &World) -> Counted {
    let mut counted: BTreeMap<String, (Key, u64)> = BTreeMap::new();
    for (key, Count { times, latency }) in world.app.usage.take() {
        assert_eq!(latency.total(), times, "{key:?}");
        counted.entry(format!("{key:?}")).or_insert_with(|| (key, 0)).1 += times;
    }
    counted.into_values().collect()
}

/// Whether exactly one thing was counted, and as `expected`: platform, way, command and outcome.
fn is_once(counted: &Counted, expected: (Platform, Way, &str, &str)) -> bool {
    match &counted[..] {
        [(key, 1)] => (key.platform, key.way, &*key.command, key.outcome) == expected,
        _ => false,
    }
}

/// Which command is meant by who comes in by `door`.
fn command_of(door: Door) -> &'static str {
    match door {
        // Nobody has asked anything there yet, or the whole line is typed.
        Door::SlackHome | Door::SlackLink | Door::TerminalTyping => "",
        _ => "owner",
    }
}

#[tokio::test]
async fn every_way_in_is_counted_once_on_both_platforms() {
    let world = access_matrix::world().await;
    let closed = access_matrix::terms(Reach::Nothing, Reach::Nothing);
    access_matrix::set(&world, Authority::new(closed));
    counted(&world);
    let (mut ways, mut refused) = (0, 0);
    for door in DOORS {
        for who in [access_matrix::Who::Owner, access_matrix::Who::Stranger] {
            let seen = sees(&world, who, door, false).await;
            let counted = counted(&world);
            let Some((platform, way)) = door.way() else {
                assert_eq!(counted, [], "figures are no answers");
                continue;
            };
            let outcome = match who {
                access_matrix::Who::Stranger if platform != Platform::Terminal => "not_allowed",
                _ => ANSWER,
            };
            let expected = (platform, way, command_of(door), outcome);
            assert!(is_once(&counted, expected), "{door:?}, {expected:?}: {counted:?}");
            ways += 1;
            refused += usize::from(outcome != ANSWER);
            let key = &counted[0].0;
            let user = who.user().map(|user| usage::Who::User(user.into()));
            let account = |tenant: &str, user_id: String| usage::Who::Account {
                tenant: tenant.into(),
                user_id: user_id.into(),
            };
            let expected = match (user, platform) {
                (Some(user), _) => user,
                (None, Platform::Slack) => account(TEAM, who.slack()),
                (None, Platform::Discord) => account(discord_world::GUILD, who.discord()),
                (None, Platform::Terminal) => usage::Who::Unknown,
            };
            assert_eq!(key.who, expected, "{door:?}: {seen:?}");
            let team = if who.user().is_some() { "group:default/payments" } else { "" };
            assert_eq!(&*key.team, team, "{door:?}");
        }
    }
    println!(
        "REL U1 {ways} times in by {} doors, each counted once, {refused} as refused",
        DOORS.len()
    );
}

#[tokio::test]
async fn what_is_counted_twice_or_as_another_is_noticed() {
    let world = access_matrix::world().await;
    let expected = (Platform::Slack, Way::Command, "owner", ANSWER);
    let who = access_matrix::Who::Owner;
    counted(&world);
    for _ in 0..2 {
        assert_eq!(sees(&world, who, Door::SlackCommand, false).await, Seen::Answer);
    }
    let twice = counted(&world);
    assert!(!is_once(&twice, expected) && !is_once(&counted(&world), expected), "{twice:?}");
    sees(&world, who, Door::SlackCommand, false).await;
    sees(&world, who, Door::DiscordCommand, false).await;
    assert!(!is_once(&counted(&world), expected));
    sees(&world, who, Door::SlackCommand, false).await;
    assert!(is_once(&counted(&world), expected), "the control");
}

#[tokio::test]
async fn what_comes_of_a_question_is_counted_as_such() {
    let world = World::new().await;
    counted(&world);
    for (text, command, outcome) in [
        ("owner payment-api", "owner", ANSWER),
        ("who owns payment-api?", "owner", ANSWER),
        ("owner paymnt-api-of-nobody", "owner", "unknown_entity"),
        ("owner", "owner", "missing_argument"),
        ("owner --frob 1", "owner", "unexpected_argument"),
        ("list --page zero", "list", "invalid_argument"),
        ("show payments", "show", ANSWER),
        ("frobnicate the widget now", "", "not_understood"),
        ("", "help", ANSWER),
    ] {
        world.types("U0ADA", text).await;
        let counted = counted(&world);
        let expected = (Platform::Slack, Way::Command, command, outcome);
        assert!(is_once(&counted, expected), "`{text}`: {counted:?}");
    }
}

#[tokio::test]
async fn copies_late_answers_and_those_that_are_sent_anew_are_counted_once() {
    let world = World::of_patience(Duration::ZERO).await;
    counted(&world);
    // Sent by Slack several times.
    let click = world.click("t-again", "owner payment-api");
    for _ in 0..3 {
        world.sends("/slack/interactions", &click).await;
    }
    world.fake.hears().await;
    world.rests().await;
    let once = |way, command| (Platform::Slack, way, command, ANSWER);
    assert!(is_once(&counted(&world), once(Way::Button, "owner")));
    // Answered later, and then anew, because Slack does not take the answer.
    let holder = world.holds_history_up().await;
    world.fake.moods.urls_are_gone.store(true, Ordering::SeqCst);
    world.types("U0ADA", "history payment-api").await;
    holder.rollback().await.unwrap();
    assert_eq!(world.fake.hears().await.path, "/gone");
    assert_eq!(world.fake.hears().await.path, "/api/chat.postMessage");
    assert!(is_once(&counted(&world), once(Way::Command, "history")));
    // A form of nothing is the answer itself.
    world.fake.moods.urls_are_gone.store(false, Ordering::SeqCst);
    let payload = json!({
        "type": "block_actions", "trigger_id": "t-form", "team": { "id": TEAM },
        "user": { "id": "U0ADA", "team_id": TEAM }, "channel": { "id": "C0NOBODY" },
        "container": { "message_ts": "1.5" },
        "response_url": format!("http://{}/respond/form", world.fake.address),
        "actions": [{ "type": "button", "action_id": "idp-form:0", "value": "whoami" }],
    });
    world.sends("/slack/interactions", &interaction(&payload)).await;
    world.fake.hears().await;
    assert!(is_once(&counted(&world), once(Way::Button, "whoami")));
}

#[tokio::test]
async fn what_another_version_left_is_counted_as_refused() {
    let world = World::new().await;
    counted(&world);
    let mut payload = json!({
        "type": "block_actions", "trigger_id": "t-old", "team": { "id": TEAM },
        "user": { "id": "U0ADA", "team_id": TEAM }, "channel": { "id": "C0NOBODY" },
        "container": { "message_ts": "1.5" },
        "response_url": format!("http://{}/respond/old", world.fake.address),
        "actions": [{ "type": "button", "action_id": "idp-of-tomorrow:0", "value": "a" }],
    });
    world.sends("/slack/interactions", &interaction(&payload)).await;
    world.fake.hears().await;
    let refused = |platform, way, why| (platform, way, "", why);
    assert!(is_once(&counted(&world), refused(Platform::Slack, Way::Button, "outdated")));
    let old = json!({ "custom_id": "idp-of-tomorrow:0:a", "component_type": 2 });
    world.interacts(3, old).await;
    assert!(is_once(&counted(&world), refused(Platform::Discord, Way::Button, "outdated")));
    world.interacts(2, call("of-tomorrow", &[])).await;
    let unknown = refused(Platform::Discord, Way::Command, "unknown_command");
    let counted_then = counted(&world);
    assert!(is_once(&counted_then, unknown), "{counted_then:?}");
    payload = json!({
        "type": "view_submission", "trigger_id": "t-filled", "team": { "id": TEAM },
        "user": { "id": "U0ADA", "team_id": TEAM },
        "view": { "id": "V1", "callback_id": "idp-form:of-tomorrow", "state": { "values": {} },
            "private_metadata": json!({ "channel_id": "C0NOBODY",
                "response_url": format!("http://{}/respond/v", world.fake.address) }).to_string() },
    });
    world.sends("/slack/interactions", &interaction(&payload)).await;
    world.fake.hears().await;
    let counted = counted(&world);
    let unknown = refused(Platform::Slack, Way::Filled, "unknown_command");
    assert!(is_once(&counted, unknown), "{counted:?}");
}

#[tokio::test]
async fn a_link_to_nothing_and_a_word_that_nothing_fits_show_nothing() {
    let world = World::new().await;
    counted(&world);
    let speaker =
        Speaker { platform: Platform::Slack, tenant: TEAM.into(), user_id: "U0ADA".into() };
    assert_eq!(world.app.cards(&speaker, &["https://example.org/".to_string()]), []);
    let nothing = |way| (Platform::Slack, way, "", NOTHING);
    assert!(is_once(&counted(&world), nothing(Way::Unfurl)));
    assert!(world.app.completions(&speaker, "owner zzzzzzzz").words.is_empty());
    assert!(is_once(&counted(&world), nothing(Way::Typing)));
}

/// The day `number` days after some Monday.
fn day(number: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 2).unwrap() + Days::new(number)
}

fn person(user: Option<&str>, account: &str) -> Person {
    let (tenant, user_id) = (TEAM.to_string(), account.to_string());
    Person {
        speaker: Speaker { platform: Platform::Slack, tenant, user_id },
        user: user.map(|user| EntityRef::new("user", "default", user)),
        teams: Vec::new(),
        link: None,
    }
}

fn note(usage: &Usage, person: &Person, command: &str) {
    let (took, way, outcome) = (Duration::from_micros(300), Way::Command, ANSWER);
    usage.note(&Use { person, way, command, outcome, took, day: day(0) });
}

/// How often anything was asked, as `idp.usage` and `idp.usage_latency` have it.
async fn written(db: &PgPool) -> (i64, i64) {
    sqlx::query_as(
        "select (select coalesce(sum(times), 0) from idp.usage)::bigint,
                (select coalesce(sum(times), 0) from idp.usage_latency)::bigint",
    )
    .fetch_one(db)
    .await
    .unwrap()
}

#[tokio::test]
async fn what_was_written_down_outlives_the_process_and_is_added_to() {
    let fresh = database::fresh().await;
    for process in 1..=3 {
        let usage = Usage::default();
        for number in 0..100 {
            note(&usage, &person(Some("ada"), "U1"), "owner");
            note(&usage, &person(None, &format!("U{number}")), "show");
        }
        usage::flow::record(&fresh.pool, &usage).await.unwrap();
        assert_eq!(written(&fresh.pool).await, (process * 200, process * 200));
        usage::flow::record(&fresh.pool, &usage).await.unwrap();
        assert_eq!(written(&fresh.pool).await.0, process * 200, "nothing is written twice");
    }
    let rows: Vec<(String, i64)> =
        sqlx::query_as("select command, count(*) from idp.usage group by command order by command")
            .fetch_all(&fresh.pool)
            .await
            .unwrap();
    assert_eq!(rows, [("owner".to_string(), 1), ("show".to_string(), 100)]);
}

#[tokio::test]
async fn a_database_that_is_away_for_a_while_loses_nothing() {
    let server = Server::new();
    let url = server.start().await;
    let db = idp::postgres::connect(&url).unwrap();
    let usage = Usage::default();
    let ada = person(Some("ada"), "U1");
    (0..7).for_each(|_| note(&usage, &ada, "owner"));
    usage::flow::record(&db.pool, &usage).await.unwrap();
    server.stop().await;
    for _ in 0..3 {
        (0..100).for_each(|_| note(&usage, &ada, "owner"));
        let error = usage::flow::record(&db.pool, &usage).await.unwrap_err();
        assert!(
            format!("{error:#}").starts_with("could not write down how idp is used"),
            "{error:#}"
        );
    }
    server.start().await;
    note(&usage, &ada, "owner");
    usage::flow::record(&db.pool, &usage).await.unwrap();
    assert_eq!(written(&db.pool).await, (308, 308));
}

#[tokio::test]
async fn processes_that_write_at_once_lose_nothing_and_count_nothing_twice() {
    let fresh = database::fresh().await;
    let rounds = at_full(100);
    let processes = (0..4).map(|_| {
        let pool = fresh.pool.clone();
        tokio::spawn(async move {
            let usage = Usage::default();
            for round in 0..rounds {
                for number in 0..20 {
                    note(
                        &usage,
                        &person(Some(&format!("user-{}", (round + number) % 30)), ""),
                        "owner",
                    );
                }
                usage::flow::record(&pool, &usage).await.unwrap();
            }
        })
    });
    for process in processes.collect::<Vec<_>>() {
        process.await.unwrap();
    }
    let all = 4 * 20 * rounds as i64;
    assert_eq!(written(&fresh.pool).await, (all, all));
    println!(
        "REL U2 4 processes, {rounds} batches each of the same counts at once: {all} of {all}"
    );
}

#[tokio::test]
async fn what_is_older_than_is_kept_goes_in_batches() {
    let fresh = database::fresh().await;
    let old = format!(
        "insert into idp.usage
         select current_date - {KEPT_DAYS} - 1, 'user:default/u' || it, '', 'owner', 'slack', 'command', 'answer', 1
         from generate_series(1, 7000) it;
         insert into idp.usage
         select current_date - {KEPT_DAYS} + 1, 'user:default/ada', '', 'owner', 'slack', 'command', 'answer', 5;
         insert into idp.usage_latency values (current_date - {KEPT_DAYS} - 1, 'owner', 'slack', 'command', 1, 9);
         insert into idp.feedback
         values ('user:default/ada', 'owner', '', 'slack', true, '', now() - interval '{} days');",
        KEPT_DAYS + 1
    );
    sqlx::raw_sql(AssertSqlSafe(old)).execute(&fresh.pool).await.unwrap();
    let usage = Usage::default();
    let mut left = Vec::new();
    for _ in 0..2 {
        note(&usage, &person(Some("ada"), "U1"), "owner");
        usage::flow::record(&fresh.pool, &usage).await.unwrap();
        let rows: i64 =
            sqlx::query_scalar("select count(*) from idp.usage where day < current_date - 400")
                .fetch_one(&fresh.pool)
                .await
                .unwrap();
        left.push(rows);
    }
    assert_eq!(left, [2_000, 0]);
    assert_eq!(written(&fresh.pool).await, (7, 2), "what is not too old stays");
    let said: i64 = sqlx::query_scalar("select count(*) from idp.feedback")
        .fetch_one(&fresh.pool)
        .await
        .unwrap();
    assert_eq!(said, 0);
}

#[tokio::test]
async fn an_account_that_is_nobodys_cannot_be_recognised_and_stays_the_same() {
    let (one, other) = (database::fresh().await, database::fresh().await);
    let usage = Usage::default();
    for _ in 0..2 {
        note(&usage, &person(None, "U0SECRET1"), "owner");
        note(&usage, &person(None, "U0SECRET2\0"), "owner");
        usage::flow::record(&one.pool, &usage).await.unwrap();
    }
    let accounts = async |db: &PgPool| -> Vec<(String, i64)> {
        sqlx::query_as("select person, times from idp.usage order by person")
            .fetch_all(db)
            .await
            .unwrap()
    };
    let known = accounts(&one.pool).await;
    assert_eq!(known.iter().map(|it| it.1).collect::<Vec<_>>(), [2, 2]);
    assert!(known.iter().all(|it| it.0.starts_with("account:") && it.0.len() == 24), "{known:?}");
    // Databases of tests are copies of one; each portal makes a key of its own.
    let made = "update idp.usage_key set key = gen_random_uuid()::text";
    sqlx::query(made).execute(&other.pool).await.unwrap();
    note(&usage, &person(None, "U0SECRET1"), "owner");
    usage::flow::record(&other.pool, &usage).await.unwrap();
    let elsewhere = accounts(&other.pool).await;
    assert!(known.iter().all(|it| it.0 != elsewhere[0].0), "another portal calls it otherwise");
}

/// What nobody types by chance.
const TYPED: &str = "zyx-private-words";

/// Everything in the tables of usage, as text.
async fn dump(db: &PgPool) -> String {
    let mut dump = String::new();
    for table in ["usage", "usage_latency", "feedback"] {
        let rows = format!("select coalesce(json_agg(it), '[]')::text from idp.{table} it");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(db).await.unwrap();
        dump.push_str(&rows);
    }
    dump
}

#[tokio::test]
async fn nothing_of_what_people_write_is_in_what_is_counted() {
    let world = World::with(ANSWER_WITHIN, |settings| {
        settings.access = Authority::new(Terms { strangers: Reach::Read, ..Terms::default() });
    })
    .await;
    let hostile = [
        TYPED.to_string(),
        format!("owner {TYPED}"),
        format!("find {TYPED}"),
        format!("list --team {TYPED}"),
        format!("link {TYPED}"),
        format!("who owns {TYPED}?"),
        format!("{TYPED} \u{202e} '; drop table idp.usage; --"),
        format!("owner payment-api --{TYPED}"),
        format!("help {TYPED}"),
    ];
    for text in &hostile {
        world.types("U0ADA", text).await;
        world.mentions("U0ADA", text).await;
        world.fake.hears().await;
        world.interacts(2, call("ask", &[("question", json!(text))])).await;
        let click = world.click(&format!("t{}", world.number()), text);
        world.sends("/slack/interactions", &click).await;
        world.fake.hears().await;
        let typed = json!({ "type": 3, "name": "entity", "value": text, "focused": true });
        let data = json!({ "id": "1", "name": "idp", "options": [
            { "type": 1, "name": TYPED, "options": [typed] },
        ]});
        world.interacts(4, data).await;
        world.interacts(2, call(TYPED, &[("entity", json!(text))])).await;
    }
    let pointed = json!({
        "type": "message_action", "callback_id": idp::chat::slack::shortcut::CALLBACK_ID, "trigger_id": "t-p",
        "team": { "id": TEAM }, "user": { "id": "U0ADA", "team_id": TEAM },
        "channel": { "id": "C0NOBODY", "name": "random" },
        "response_url": format!("http://{}/respond/p", world.fake.address),
        "message": { "type": "message", "text": TYPED },
    });
    world.sends("/slack/interactions", &interaction(&pointed)).await;
    world.fake.hears().await;
    world.app.record().await;
    let (times, _) = written(&world.fresh.pool).await;
    assert_eq!(times as usize, hostile.len() * 6 + 1);
    let dump = dump(&world.fresh.pool).await;
    assert!(dump.len() > 1_000 && dump.contains("\"owner\""), "{dump}");
    for secret in [TYPED, "U0ADA", "drop table", "C0NOBODY", "random"] {
        assert!(!dump.contains(secret), "`{secret}` is in {dump}");
    }
    // The control: what is kept of questions that nobody could answer, and only there.
    let unanswered: String = sqlx::query_scalar("select json_agg(it)::text from idp.unanswered it")
        .fetch_one(&world.fresh.pool)
        .await
        .unwrap();
    assert!(unanswered.contains(TYPED));
}

#[tokio::test]
async fn a_fault_of_ours_is_counted_as_one() {
    let world = World::new().await;
    counted(&world);
    sqlx::query("alter table idp.change rename column what to gone")
        .execute(&world.fresh.pool)
        .await
        .unwrap();
    world.types("U0ADA", "history payment-api").await;
    let counted = counted(&world);
    assert!(is_once(&counted, (Platform::Slack, Way::Command, "history", FAULT)), "{counted:?}");
}
