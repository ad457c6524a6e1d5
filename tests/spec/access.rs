//! Who is who: links by an admin's file and by codes, the same on both platforms.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use idp::access::{Authority, Links, Terms, flow};
use idp::catalog::snapshot::Unread;
use idp::catalog::{Catalog, Snapshot};
use idp::chat::ANSWER_WITHIN;
use idp::conversation::{Platform, Speaker};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::command_line::CommandLine;
use crate::discord_world::{self, GUILD};
use crate::waiting::until;
use crate::world::{TEAM, World};

/// Zoé Laurent of Payments, in Slack.
const ZOE: &str = "U0ACME0013";

/// A world in which only who is linked may ask.
async fn closed() -> World {
    World::with(ANSWER_WITHIN, |settings| settings.access = Authority::new(Terms::default())).await
}

/// What `who` is answered in Slack.
async fn slack(world: &World, who: &str, words: &str) -> String {
    world.types(who, words).await.to_string().replace('\\', "")
}

/// What the account `who` is answered in Discord to a command and its one argument.
async fn discord(world: &World, who: u64, command: &str, argument: Option<(&str, &str)>) -> String {
    let values: Vec<(&str, Value)> =
        argument.into_iter().map(|(name, value)| (name, json!(value))).collect();
    let data = discord_world::call(command, &values);
    let body = discord_world::interaction(world.number(), 2, &who.to_string(), data);
    discord_world::sends(world.address, &body).await.body.replace('\\', "")
}

async fn redeems(world: &World, who: u64, code: &str) -> String {
    discord(world, who, "link", Some(("code", code))).await
}

async fn asks(world: &World, who: u64) -> String {
    discord(world, who, "owner", Some(("entity", "payment-api"))).await
}

/// The code that `said` shows.
fn code_in(said: &str) -> String {
    let mut words = said.split(|it: char| !it.is_ascii_hexdigit());
    words.find(|it| it.len() == 32).unwrap_or_else(|| panic!("no code: {said}")).to_string()
}

#[tokio::test]
async fn a_code_of_one_chat_makes_who_uses_it_known_in_another() {
    let world = closed().await;
    let refused = asks(&world, 1).await;
    assert!(refused.contains("linked to nobody") && refused.contains("link"), "{refused}");
    assert!(discord(&world, 1, "link", None).await.contains("idp access code"));

    let code = code_in(&slack(&world, ZOE, "link").await);
    let said = redeems(&world, 1, &code.to_uppercase()).await;
    assert!(said.contains("You are **Zoé Laurent**") && said.contains("from now on"), "{said}");
    assert!(asks(&world, 1).await.contains("is owned by"));
    let said = discord(&world, 1, "whoami", None).await;
    for part in ["Zoé Laurent", "linked by code", "In Payments", "whatever the catalog knows"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // It works once.
    assert!(redeems(&world, 2, &code).await.contains("This code is not good"));
    assert!(asks(&world, 2).await.contains("linked to nobody"));
}

#[tokio::test]
async fn an_account_is_one_users_and_a_user_has_one_account_in_a_workspace() {
    let world = closed().await;
    let code = code_in(&slack(&world, ZOE, "link").await);
    assert!(redeems(&world, 1, &code).await.contains("from now on"));
    let second = code_in(&slack(&world, ZOE, "link").await);
    let said = redeems(&world, 2, &second).await;
    assert!(said.contains("has another account here already"), "{said}");
    let of_another = code_in(&slack(&world, "U0ACME0014", "link").await);
    let said = redeems(&world, 1, &of_another).await;
    assert!(said.contains("linked to `user:default/zoe-laurent` already"), "{said}");
    // Nothing was used up: the right account may still take it.
    assert!(redeems(&world, 3, &of_another).await.contains("from now on"));
}

#[tokio::test]
async fn of_many_who_use_one_code_at_once_one_is_known_by_it() {
    let world = closed().await;
    let code = code_in(&slack(&world, ZOE, "link").await);
    let all = (1..=8).map(|who| redeems(&world, who, &code));
    let said = futures_util::future::join_all(all).await;
    let known = said.iter().filter(|it| it.contains("from now on")).count();
    let refused = said.iter().filter(|it| it.contains("This code is not good")).count();
    assert_eq!((known, refused), (1, 7), "{said:#?}");
}

#[tokio::test]
async fn who_guesses_is_stopped_and_nobody_else_is() {
    let world = closed().await;
    let code = code_in(&slack(&world, ZOE, "link").await);
    for number in 0..5 {
        let said = redeems(&world, 1, &format!("{number:032x}")).await;
        assert!(said.contains("This code is not good"), "{said}");
    }
    assert!(redeems(&world, 1, &code).await.contains("got 5 codes wrong"));
    assert!(redeems(&world, 2, &code).await.contains("from now on"));
    // The control: once it is long ago, they may try again.
    sqlx::query("update idp.link_failure set at = at - interval '16 minutes'")
        .execute(&world.fresh.pool)
        .await
        .unwrap();
    let another = code_in(&slack(&world, "U0ACME0014", "link").await);
    assert!(redeems(&world, 1, &another).await.contains("from now on"));
}

#[tokio::test]
async fn a_code_is_good_for_fifteen_minutes_and_kept_nowhere() {
    let world = closed().await;
    let code = code_in(&slack(&world, ZOE, "link").await);
    let kept: String = sqlx::query_scalar("select string_agg(it::text, ' ') from idp.link_code it")
        .fetch_one(&world.fresh.pool)
        .await
        .unwrap();
    assert!(kept.contains("user:default/zoe-laurent") && !kept.contains(&code), "{kept}");
    let later = |minutes: u32| {
        let pool = world.fresh.pool.clone();
        let statement =
            "update idp.link_code set expires_at = expires_at - make_interval(mins => $1)";
        async move { sqlx::query(statement).bind(minutes as i32).execute(&pool).await.unwrap() }
    };
    later(16).await;
    assert!(redeems(&world, 1, &code).await.contains("This code is not good"));
    let code = code_in(&slack(&world, ZOE, "link").await);
    later(14).await;
    assert!(redeems(&world, 1, &code).await.contains("from now on"));
}

#[tokio::test]
async fn a_link_that_is_taken_away_takes_its_codes_along() {
    let world = closed().await;
    let code = code_in(&slack(&world, ZOE, "link").await);
    let others = code_in(&slack(&world, "U0ACME0014", "link").await);
    let account = Speaker { platform: Platform::Slack, tenant: TEAM.into(), user_id: ZOE.into() };
    assert!(flow::remove(&world.fresh.pool, &account).await.unwrap());
    assert!(redeems(&world, 1, &code).await.contains("This code is not good"));
    assert!(redeems(&world, 1, &others).await.contains("from now on"));
}

#[tokio::test]
async fn what_others_read_along_is_worth_nothing() {
    let world = closed().await;
    world.mentions(ZOE, "link").await;
    let said = world.fake.hears().await.body.to_string();
    assert!(said.contains("whose answer only you see"), "{said}");
    let code = code_in(&slack(&world, ZOE, "link").await);
    world.mentions("U0STRANGER", &format!("link {code}")).await;
    let said = world.fake.hears().await.body.to_string();
    assert!(said.contains("cannot be used any more"), "{said}");
    assert!(redeems(&world, 1, &code).await.contains("This code is not good"));
}

#[tokio::test]
async fn an_admins_file_links_accounts_and_the_second_time_changes_nothing() {
    let world = closed().await;
    let idp = CommandLine::on(world.fresh.url.clone());
    let line = |id: u64, user: &str| {
        format!("- {{platform: discord, tenant: '{GUILD}', user_id: '{id}', user: {user}}}\n")
    };
    idp.write("links.yaml", &[line(1, "priya-raman"), line(2, "nobody-here")].concat());
    let import = ["access", "import", "links.yaml", "--format", "json"];
    let ended = idp.runs(&import);
    let report = ended.json();
    assert_eq!(ended.code, 1, "{report}");
    assert_eq!((&report["created"], &report["unchanged"]), (&json!(1), &json!(0)));
    let problem = &report["problems"][0];
    assert_eq!((&problem["line"], &problem["rule"]), (&json!(2), &json!("unknown-user")));
    assert!(!problem["hint"].as_str().unwrap().is_empty());

    idp.write("links.json", &json!([{
        "platform": "discord", "tenant": GUILD, "user_id": "1", "user": "user:default/priya-raman",
    }]).to_string());
    let again = idp.runs(&["access", "import", "links.json"]);
    assert_eq!(
        (again.code, again.out.as_str()),
        (0, "0 created, 0 changed, 1 unchanged; 0 problems\n")
    );

    world.app.links.set(flow::load(&world.fresh.pool).await.unwrap());
    assert!(asks(&world, 1).await.contains("is owned by"));
    let listed = idp.runs(&["access", "list", "--format", "json"]).json();
    let of_discord: Vec<&Value> =
        listed.as_array().unwrap().iter().filter(|it| it["platform"] == "discord").collect();
    assert_eq!(of_discord.len(), 1);
    assert_eq!(
        (&of_discord[0]["user_id"], &of_discord[0]["made_by"]),
        (&json!("1"), &json!("import"))
    );

    assert_eq!(idp.runs(&["access", "remove", "discord", GUILD, "1"]).code, 0);
    assert_eq!(idp.runs(&["access", "remove", "discord", GUILD, "1"]).code, 1);
    world.app.links.set(flow::load(&world.fresh.pool).await.unwrap());
    assert!(asks(&world, 1).await.contains("linked to nobody"));
}

#[tokio::test]
async fn the_terminal_makes_a_code_for_a_user_whom_the_catalog_has() {
    let world = closed().await;
    let idp = CommandLine::on(world.fresh.url.clone());
    let code = code_in(&idp.runs(&["access", "code", "priya-raman"]).out);
    assert!(redeems(&world, 1, &code).await.contains("Priya"));
    assert_eq!(idp.runs(&["access", "code", "nobody-here"]).code, 1);
    assert_eq!(idp.runs(&["access", "code", "group:payments"]).code, 2);
}

#[tokio::test]
async fn a_guests_other_account_is_a_guests_too() {
    let world = closed().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let line = format!(
        "[{{platform: slack, tenant: {TEAM}, user_id: U0GUEST, user: daniel-kim, guest: true}}]"
    );
    std::fs::write(file.path(), line.replace("U0GUEST", "U0ACME0025")).unwrap();
    let snapshot = world.app.catalog.snapshot();
    let now = chrono::Utc::now();
    let report = flow::import(&world.fresh.pool, file.path(), &snapshot, now).await.unwrap();
    assert_eq!((report.created, report.changed, report.problems), (0, 1, Vec::new()));
    world.app.links.set(flow::load(&world.fresh.pool).await.unwrap());
    let refused = slack(&world, "U0ACME0025", "owner payment-api").await;
    assert!(refused.contains("your account is a guest's"), "{refused}");
    let code = code_in(&slack(&world, "U0ACME0025", "link").await);
    assert!(redeems(&world, 1, &code).await.contains("from now on"));
    assert!(asks(&world, 1).await.contains("your account is a guest's"));
}

#[tokio::test]
async fn every_process_hears_of_a_link_and_each_change_has_a_generation_of_its_own() {
    let world = closed().await;
    let db = world.fresh.pool.clone();
    let stop = CancellationToken::new();
    let (links, looked) = (Arc::new(Links::default()), watch::Sender::new(()));
    let disk = tempfile::tempdir().unwrap();
    let links_copy = disk.path().join("links");
    let following =
        flow::follow(db.clone(), links.clone(), links_copy, looked.subscribe(), stop.clone());
    let following = tokio::spawn(following);
    let never = Duration::from_secs(3_600);
    let catalog = Catalog::new(Snapshot::unread(Unread::NoAnswer));
    let (_aliases, told) = watch::channel(Vec::new());
    let copy = disk.path().join("copy");
    let hearing =
        idp::catalog::flow::follow(db.clone(), catalog, told, copy, never, looked, stop.clone());
    let hearing = tokio::spawn(hearing);

    let account =
        Speaker { platform: Platform::Discord, tenant: GUILD.into(), user_id: "1".into() };
    let mut generations = BTreeSet::new();
    for round in 1..=3 {
        let code = code_in(&slack(&world, ZOE, "link").await);
        assert!(redeems(&world, 1, &code).await.contains("from now on"), "round {round}");
        let link = until("the link", async || links.of(&account), Option::is_some).await.unwrap();
        assert_eq!(link.user.as_str(), "user:default/zoe-laurent");
        generations.insert(link.generation);
        assert!(flow::remove(&db, &account).await.unwrap());
        until("no link", async || links.of(&account), Option::is_none).await;
    }
    assert_eq!(generations.len(), 3);
    stop.cancel();
    following.await.unwrap();
    hearing.await.unwrap();
}

/// A world in which Slack's verified addresses link, and in which Zoé's account is linked to nobody.
async fn trusting_emails() -> World {
    let terms = Terms { link_by_email: true, ..Terms::default() };
    let world =
        World::with(ANSWER_WITHIN, |settings| settings.access = Authority::new(terms)).await;
    let account = Speaker { platform: Platform::Slack, tenant: TEAM.into(), user_id: ZOE.into() };
    assert!(flow::remove(&world.fresh.pool, &account).await.unwrap());
    world.app.links.set(flow::load(&world.fresh.pool).await.unwrap());
    world
}

/// Zoé's account as Slack tells it, with what is `other` about it.
fn account(other: Value) -> Value {
    let mut account = json!({
        "id": ZOE, "team_id": TEAM, "deleted": false, "is_bot": false, "is_app_user": false,
        "is_restricted": false, "is_ultra_restricted": false, "is_email_confirmed": true,
        "profile": { "email": "Zoe.Laurent@acme.example" },
    });
    account.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    account
}

#[tokio::test]
async fn the_address_that_slack_has_verified_links_where_the_settings_allow_it() {
    let world = trusting_emails().await;
    let told = || world.fake.moods.accounts_told.load(Ordering::SeqCst);
    *world.fake.moods.account.lock().unwrap() = account(json!({}));
    assert!(slack(&world, ZOE, "owner payment-api").await.contains("linked to nobody"));
    assert_eq!(told(), 0, "nobody is looked up who does not ask for it");
    let said = slack(&world, ZOE, "link").await;
    assert!(said.contains("Zoé Laurent") && said.contains("from now on"), "{said}");
    assert!(slack(&world, ZOE, "owner payment-api").await.contains("is owned by"));
    assert!(slack(&world, ZOE, "whoami").await.contains("linked by email"));
    assert_eq!(told(), 1);
    // Another account with the same address is not hers as well.
    let said = slack(&world, "U0SECOND", "link").await;
    assert!(said.contains("has another account here already"), "{said}");

    let closed = closed().await;
    *closed.fake.moods.account.lock().unwrap() = account(json!({}));
    assert!(slack(&closed, "U0SECOND", "link").await.contains("idp access code"));
    assert_eq!(closed.fake.moods.accounts_told.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_account_that_leaves_a_doubt_is_linked_by_its_address() {
    let world = trusting_emails().await;
    for (other, why) in [
        (json!({ "deleted": true }), "deactivated"),
        (json!({ "is_bot": true }), "a bot's"),
        (json!({ "is_app_user": true }), "a bot's"),
        (json!({ "is_restricted": true }), "a guest's"),
        (json!({ "is_ultra_restricted": true }), "a guest's"),
        (json!({ "is_stranger": true }), "another workspace"),
        (json!({ "team_id": "T0ELSE" }), "another workspace"),
        (json!({ "is_email_confirmed": false }), "not confirmed"),
        (json!({ "profile": {} }), "does not tell"),
        (json!({ "profile": { "email": "nobody@acme.example" } }), "no User"),
    ] {
        *world.fake.moods.account.lock().unwrap() = account(other);
        let said = slack(&world, ZOE, "link").await;
        assert!(said.contains("cannot be known by your e-mail") && said.contains(why), "{said}");
    }
    // Nor while Slack does not tell.
    world.fake.is_away_for(1);
    assert!(slack(&world, ZOE, "link").await.contains("does not tell about your account"));
    let made: i64 =
        sqlx::query_scalar("select count(*) from idp.identity_link where made_by = 'email'")
            .fetch_one(&world.fresh.pool)
            .await
            .unwrap();
    assert_eq!(made, 0);
    // The control: with nothing to doubt it is.
    *world.fake.moods.account.lock().unwrap() = account(json!({}));
    assert!(slack(&world, ZOE, "link").await.contains("from now on"));
}
