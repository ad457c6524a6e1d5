//! Buttons, forms and codes that are old, or that somebody made up: what they carry are words, and words give no right.
//!
//! A forged click is one that the platform signed all the same: of somebody who has the bot's token, or a client
//! that sends what no button says. Whoever clicks is who they are, and hears what they would hear if they typed it.

use std::sync::Arc;

use chrono::Utc;
use futures_util::{StreamExt, stream};
use idp::access::code::{Code, FAILURES_MAX, Offer};
use idp::access::flow::{issue, redeem};
use idp::access::{Authority, Reach, Terms};
use idp::catalog::EntityRef;
use idp::chat::ANSWER_WITHIN;
use idp::chat::discord::inbound::{self as discord_inbound, Wish};
use idp::chat::slack::inbound::{self, Errand, Inbound, Us};
use idp::conversation::{Click, Invocation, Platform, Reply, Speaker, Way};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::discord_world::{self, GUILD};
use crate::scale::full_or;
use crate::world::{TEAM, World, interaction};

/// Accounts that are linked to nobody.
const IN_SLACK: &str = "U0FORGER";
const IN_DISCORD: &str = "400000000000000666";

/// A portal that tells strangers nothing, or what it knows.
async fn world(strangers: Reach) -> World {
    let terms = Terms { strangers, ..Terms::default() };
    World::with(ANSWER_WITHIN, |settings| settings.access = Authority::new(terms)).await
}

/// What a forger puts where our buttons and forms have their words.
fn handle(random: &mut StdRng) -> String {
    let bits: u128 = random.random();
    match random.random_range(0..8) {
        0 => format!("v1.{bits:032x}"),
        1 => format!("{bits:x}"),
        2 => format!("approve {}", bits % 100_000),
        3 => format!("owner payment-api --as user:default/daniel-kim {bits:x}"),
        4 => json!({ "user": "user:default/daniel-kim", "words": "owner payment-api", "by": bits.to_string() }).to_string(),
        5 => format!("owner payment-api\u{0}{bits:x}"),
        6 => format!("{}owner payment-api", "idp:".repeat(random.random_range(0..9))),
        _ => "owner payment-api".into(),
    }
}

/// A forged interaction of Slack's.
fn of_slack(random: &mut StdRng, number: usize) -> Value {
    let words = handle(random);
    // A channel of its own: in one, the bot speaks once a second.
    let channel = format!("C0SECRET{number}");
    let origin = match random.random_range(0..3) {
        0 => words.clone(),
        1 => json!({ "channel_id": channel, "response_url": "https://evil.example/" }).to_string(),
        _ => json!({ "channel_id": words, "response_url": words, "user": "U0ADMIN" }).to_string(),
    };
    let prefix = ["idp:", "idp-form:", "idp:idp-form:"][random.random_range(0..3)];
    let mut payload = match random.random_range(0..3) {
        0 => json!({
            "type": "block_actions", "channel": { "id": channel }, "container": { "message_ts": "1.5" },
            "response_url": "https://evil.example/",
            "actions": [{ "type": "button", "action_id": format!("{prefix}{words}"), "value": words }],
        }),
        1 => json!({ "type": "view_submission", "view": {
            "callback_id": format!("idp-form:{}", if random.random() { "owner" } else { &words }),
            "private_metadata": origin,
            "state": { "values": { "entity": { "idp-field:entity": { "type": "plain_text_input", "value": words } } } },
        }}),
        _ => json!({
            "type": "block_suggestion", "action_id": "idp-field:entity", "value": "paym",
            "view": { "callback_id": "idp-form:owner", "private_metadata": origin },
        }),
    };
    payload["team"] = json!({ "id": TEAM });
    payload["user"] = json!({ "id": IN_SLACK, "team_id": TEAM });
    payload["trigger_id"] = json!(format!("forged-{number}"));
    payload
}

/// A forged interaction of Discord's.
fn of_discord(random: &mut StdRng, number: usize) -> Value {
    let words = handle(random);
    let prefix = ["idp:0:", "idp-form:1:", "idp:", "idp-form:"][random.random_range(0..4)];
    let field = json!({ "type": 4, "custom_id": "entity", "value": words });
    let (kind, data) = match random.random_range(0..3) {
        0 => (3, json!({ "component_type": 2, "custom_id": format!("{prefix}{words}") })),
        1 => (
            5,
            json!({ "custom_id": "idp-form:owner", "components": [{ "type": 1, "components": [field] }] }),
        ),
        _ => (
            4,
            json!({ "id": "1", "name": "idp", "options": [{ "type": 1, "name": "owner", "options": [
                { "type": 3, "name": "entity", "value": "paym", "focused": true },
            ]}]}),
        ),
    };
    discord_world::interaction(7_000_000 + number as u64, kind, IN_DISCORD, data)
}

/// Whether somebody was told what the catalog knows.
fn is_hit(reply: &Reply) -> bool {
    reply.refusal.as_ref().is_none_or(|refused| refused.code != "not_allowed")
}

async fn answers(world: &World, way: Way, invocation: Invocation) -> bool {
    is_hit(&world.app.answer(way, invocation).await)
}

async fn opens(world: &World, click: Click) -> bool {
    match world.app.form(&click) {
        Ok(Some(_)) => true,
        Ok(None) => answers(world, Way::Button, click.into()).await,
        Err(_) => false,
    }
}

async fn fills(
    world: &World,
    asked: (Speaker, idp::conversation::Address),
    command: &str,
    values: &[(String, String)],
) -> bool {
    let (speaker, address) = asked;
    match world.app.filled(command, values) {
        Ok(text) => answers(world, Way::Filled, Invocation { speaker, address, text }).await,
        Err(_) => false,
    }
}

/// Whether the forged `payload` brought its maker anything.
async fn slack_tells(world: &World, payload: &Value) -> bool {
    match inbound::interaction_of(payload, &Us::default()) {
        Inbound::Errand(envelope) | Inbound::Filled(envelope) => match envelope.errand {
            Errand::Clicked { click, .. } => answers(world, Way::Button, click.into()).await,
            Errand::Filled(it) => {
                fills(world, (it.speaker, it.address), &it.command, &it.values).await
            }
            other => panic!("{other:?}"),
        },
        Inbound::Opening(opening) => opens(world, opening.click).await,
        Inbound::Typing(query) => !world.app.suggestions(&query).is_empty(),
        Inbound::Ignored | Inbound::Outdated(_) => false,
        other => panic!("{other:?}"),
    }
}

async fn discord_tells(world: &World, body: &Value) -> bool {
    let Some(discord_inbound::Inbound::Interaction(it)) = discord_inbound::interaction_of(body)
    else {
        return false;
    };
    let (speaker, address) = (it.speaker, it.address);
    match it.wish {
        Wish::Click { words, .. } => {
            answers(world, Way::Button, Click { speaker, address, words }.into()).await
        }
        Wish::Opening { words } => opens(world, Click { speaker, address, words }).await,
        Wish::Filled { command, values } => {
            fills(world, (speaker, address), &command, &values).await
        }
        Wish::Typing { command, values, field, typed } => {
            let command = world.app.filled(&command, &values).unwrap_or(command);
            let query = idp::conversation::Query { speaker, command, field, typed };
            !world.app.suggestions(&query).is_empty()
        }
        Wish::Outdated => false,
        other => panic!("{other:?}"),
    }
}

/// How many of `count` forged clicks, forms and queries bring their maker anything.
async fn hits(world: &Arc<World>, count: usize) -> usize {
    let lanes = (0..4u64).map(|lane| {
        let world = world.clone();
        tokio::spawn(async move {
            let (mut random, mut hits) = (StdRng::seed_from_u64(lane), 0);
            for number in (lane as usize..count).step_by(4) {
                hits += usize::from(match number % 8 < 4 {
                    true => slack_tells(&world, &of_slack(&mut random, number)).await,
                    false => discord_tells(&world, &of_discord(&mut random, number)).await,
                });
            }
            hits
        })
    });
    futures_util::future::join_all(lanes).await.into_iter().map(Result::unwrap).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_made_up_brings_them_nothing() {
    let world = Arc::new(world(Reach::Nothing).await);
    let forged = full_or(1_000_000, 10_000);
    let hits = hits(&world, forged).await;

    // The same over signed HTTP, to the very answers.
    let sent = full_or(10_000, 200);
    let mut random = StdRng::seed_from_u64(17);
    let bodies: Vec<(bool, Value)> = (0..sent)
        .map(|number| match number % 2 == 0 {
            true => (true, of_slack(&mut random, number)),
            false => (false, of_discord(&mut random, number)),
        })
        .collect();
    let told: Vec<String> = stream::iter(bodies)
        .map(|(is_slacks, body)| {
            let world = world.clone();
            async move {
                match is_slacks {
                    true => world.sends("/slack/interactions", &interaction(&body)).await.body,
                    false => discord_world::sends(world.address, &body).await.body,
                }
            }
        })
        .buffer_unordered(4)
        .collect()
        .await;
    world.rests().await;
    let posted = world.fake.heard().await.into_iter().map(|it| it.body.to_string());
    let edited = world.fake_discord.heard().await.into_iter().map(|it| it.body.to_string());
    let tells = |text: &String| text.contains("is owned by") || text.contains("Payments");
    let over_http = told.into_iter().chain(posted).chain(edited).filter(tells).count();
    println!(
        "REL D17 {forged} forged clicks, forms and queries: {hits} hits; {sent} over signed HTTP: {over_http} hits"
    );
    assert_eq!((hits, over_http), (0, 0));
}

/// The guard is what the settings say of strangers: without it the same words are answered.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_ask_is_answered_to_the_same_words() {
    let world = Arc::new(world(Reach::Read).await);
    let hits = hits(&world, 1_000).await;
    assert!(hits > 500, "{hits}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_guesses_a_code() {
    let world = world(Reach::Nothing).await;
    let (db, links) = (&world.fresh.pool, &world.app.links);
    let offer = Offer { user: EntityRef::new("user", "default", "zoe-laurent"), guest: false };
    let code = issue(db, &offer).await.unwrap();
    let guesses = full_or(20_000, 500);
    let (mut hits, mut stopped) = (0, 0);
    for number in 0..guesses {
        // Twice as many as an account may get wrong.
        let user_id = format!("U0GUESS{}", number / (2 * FAILURES_MAX as usize));
        let account = Speaker { platform: Platform::Slack, tenant: TEAM.into(), user_id };
        match redeem(db, links, &account, &Code::random(), Utc::now()).await {
            Ok(_) => hits += 1,
            Err(error) => stopped += usize::from(error.to_string().contains("codes wrong")),
        }
    }
    println!(
        "REL D17-codes {guesses} guesses of a code: {hits} hits, {stopped} not even looked at"
    );
    assert_eq!((hits, stopped), (0, guesses / 2));
    // The control: the code itself is good.
    let account =
        Speaker { platform: Platform::Discord, tenant: GUILD.into(), user_id: IN_DISCORD.into() };
    redeem(db, links, &account, &code, Utc::now()).await.unwrap();
}

/// What is on old messages: buttons of other versions, and of what the catalog and the commands no longer have; with
/// what whoever clicks is told.
fn stale(number: usize) -> (&'static str, String, &'static str) {
    let number_of = |words: &str| format!("{words}{number}");
    match number % 6 {
        0 => ("approve", number_of("v1."), "another version of idp"),
        1 => ("idp", number_of("was-here-"), "I did not understand"),
        2 => ("idp", number_of("owner was-here-"), "There is no"),
        3 => ("idp", format!("dependents payment-api --colour{number} red"), "does not take"),
        4 => ("idp", format!("list --page {}", 1_000 + number), "none of them on page"),
        _ => ("idp-form", number_of("was-here-"), "I did not understand"),
    }
}

/// How many rows each table has, but for those of what came in and of what was asked.
async fn rows(world: &World) -> Vec<(String, i64)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables
         where table_schema = 'idp' and table_type = 'BASE TABLE'
           and table_name not in ('inbox', 'unanswered', 'recent_question')
         order by 1",
    )
    .fetch_all(&world.fresh.pool)
    .await
    .unwrap();
    let mut rows = Vec::new();
    for table in tables {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from idp.{table}"));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&world.fresh.pool).await.unwrap();
        rows.push((table, count));
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_button_does_nothing_and_whoever_clicks_hears_why() {
    let world = Arc::new(world(Reach::Read).await);
    let before = rows(&world).await;
    let clicks = full_or(10_000, 300);
    let told: Vec<(usize, String)> = stream::iter(0..clicks)
        .map(|number| {
            let world = world.clone();
            async move {
                let (prefix, words, _) = stale(number / 2);
                let body = match number % 2 == 0 {
                    true => {
                        let payload = json!({
                            "type": "block_actions", "trigger_id": format!("stale-{number}"),
                            "team": { "id": TEAM }, "user": { "id": "U0ADA", "team_id": TEAM },
                            "channel": { "id": "C0NOBODY" }, "container": { "message_ts": "1.5" },
                            "response_url": format!("http://{}/respond/{number}", world.fake.address),
                            "actions": [{ "type": "button", "action_id": format!("{prefix}:0"), "value": words }],
                        });
                        world.sends("/slack/interactions", &interaction(&payload)).await.body
                    }
                    false => {
                        let data = json!({ "component_type": 2, "custom_id": format!("{prefix}:0:{words}") });
                        let id = 9_000_000 + number as u64;
                        let body = discord_world::interaction(id, 3, "400000000000000001", data);
                        discord_world::sends(world.address, &body).await.body
                    }
                };
                (number, body)
            }
        })
        .buffer_unordered(4)
        .collect()
        .await;
    world.rests().await;
    // By the number of the click: what it was answered at once, and what was said of it later.
    let mut heard: Vec<Vec<String>> = vec![Vec::new(); clicks];
    for (number, body) in told {
        heard[number].push(body);
    }
    for it in world.fake.heard().await {
        let number: usize = it.path.rsplit('/').next().unwrap().parse().unwrap();
        heard[number].push(it.body["text"].as_str().unwrap().to_string());
    }
    for it in world.fake_discord.heard().await {
        let token = it.call.split('/').find_map(|part| part.strip_prefix("token-")).unwrap();
        heard[token.parse::<usize>().unwrap() - 9_000_000].push(it.body.to_string());
    }
    let plain = |text: &String| text.replace(['\\', '\u{2060}'], "");
    let silent: Vec<_> = (0..clicks)
        .filter(|number| {
            let (_, _, expected) = stale(number / 2);
            !heard[*number].iter().any(|text| plain(text).contains(expected))
        })
        .map(|number| (number, &heard[number]))
        .collect();
    let effects =
        rows(&world).await.iter().zip(&before).filter(|(now, before)| now != before).count();
    println!(
        "REL D16 {clicks} clicks on old buttons: {effects} effects, {} not told why",
        silent.len()
    );
    assert_eq!((effects, silent.len()), (0, 0), "{:#?}", &silent[..silent.len().min(12)]);
}
