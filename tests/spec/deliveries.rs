//! What the platforms deliver several times, or in another order than it happened: one effect, and the same one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use idp::access::code::Offer;
use idp::access::flow::{issue, remove};
use idp::catalog::EntityRef;
use idp::conversation::{Platform, Speaker};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::discord_world::{self, GUILD, call};
use crate::scale::full_or;
use crate::waiting::until;
use crate::world::{self, TEAM, World, interaction};

/// How often each platform delivers the same, at most.
const COPIES: usize = 4;

/// How many are on their way at the same time.
const AT_ONCE: usize = 4;

/// What people do that must have one effect, however often and in which order it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SlackMention,
    SlackClick,
    SlackForm,
    DiscordClick,
    DiscordForm,
}

const KINDS: [Kind; 5] =
    [Kind::SlackMention, Kind::SlackClick, Kind::SlackForm, Kind::DiscordClick, Kind::DiscordForm];

/// Something that somebody did, as a platform delivers it.
#[derive(Debug, Clone)]
struct Delivery {
    /// Where in Slack it goes; `None` for Discord.
    path: Option<&'static str>,
    body: Value,
    /// Where its answer is heard, and no other's.
    answered_at: String,
}

impl Delivery {
    /// Somebody asks who owns payment-api; `number` tells one from another.
    fn of(kind: Kind, number: usize, world: &World) -> Delivery {
        let response_url = format!("http://{}/respond/{number}", world.fake.address);
        let of_slack =
            |path, answered_at: String, body| Delivery { path: Some(path), body, answered_at };
        let of_discord = |kind, data| {
            let id = 5_000_000 + number as u64;
            let body = discord_world::interaction(id, kind, "400000000000000001", data);
            let answered_at = format!(
                "PATCH /webhooks/{}/token-{id}/messages/@original",
                discord_world::APPLICATION
            );
            Delivery { path: None, body, answered_at }
        };
        let interacts = |payload: Value| {
            let mut payload = payload;
            payload["team"] = json!({ "id": TEAM });
            payload["user"] = json!({ "id": "U0ADA", "team_id": TEAM });
            payload["trigger_id"] = json!(format!("trigger-{number}"));
            of_slack("/slack/interactions", format!("/respond/{number}"), payload)
        };
        match kind {
            Kind::SlackMention => {
                let mut body =
                    world::mention(&format!("EvCopy{number}"), "U0ADA", "owner payment-api");
                // A channel of its own: in one, the bot speaks once a second.
                body["event"]["channel"] = json!(format!("C{number}"));
                of_slack("/slack/events", format!("C{number}"), body)
            }
            Kind::SlackClick => interacts(json!({
                "type": "block_actions", "channel": { "id": "C0NOBODY", "name": "random" },
                "container": { "message_ts": "1.5", "is_ephemeral": true }, "response_url": response_url,
                "actions": [{ "type": "button", "action_id": "idp:0", "value": "owner payment-api" }],
            })),
            Kind::SlackForm => {
                let origin = json!({ "channel_id": "C0NOBODY", "response_url": response_url });
                interacts(json!({ "type": "view_submission", "view": {
                    "id": "V1", "callback_id": "idp-form:owner", "private_metadata": origin.to_string(),
                    "state": { "values": { "entity": { "idp-field:entity": {
                        "type": "external_select", "selected_option": { "value": "payment-api" },
                    } } } },
                }}))
            }
            Kind::DiscordClick => of_discord(
                3,
                json!({ "custom_id": "idp:0:owner payment-api", "component_type": 2 }),
            ),
            Kind::DiscordForm => {
                let field = json!({ "type": 4, "custom_id": "entity", "value": "payment-api" });
                let rows = [json!({ "type": 1, "components": [field] })];
                of_discord(5, json!({ "custom_id": "idp-form:owner", "components": rows }))
            }
        }
    }

    /// Delivers it to the process at `address`; what the platform is answered.
    async fn arrives(&self, address: SocketAddr) -> String {
        let answer = match self.path {
            Some("/slack/interactions") => {
                world::sends(address, "/slack/interactions", &interaction(&self.body)).await
            }
            Some(path) => world::sends(address, path, &self.body.to_string()).await,
            None => discord_world::sends(address, &self.body).await,
        };
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }
}

/// What was said since, by where it was heard.
async fn said(world: &World) -> HashMap<String, Vec<Value>> {
    let slack = world.fake.heard().await.into_iter().map(|heard| match heard.path.as_str() {
        "/api/chat.postMessage" => {
            (heard.body["channel"].as_str().unwrap().to_string(), heard.body)
        }
        _ => (heard.path, heard.body),
    });
    let discord =
        world.fake_discord.heard().await.into_iter().map(|heard| (heard.call, heard.body));
    let mut said: HashMap<String, Vec<Value>> = HashMap::new();
    for (place, body) in slack.chain(discord) {
        said.entry(place).or_default().push(body);
    }
    said
}

/// Each of `count` deliveries arrives [`COPIES`] times, at two processes in turn; how often each was answered.
async fn answered(world: &Arc<World>, count: usize) -> Vec<usize> {
    let processes = [world.address, world.another_process().await];
    let numbers = stream::iter(0..count).map(|number| {
        let world = world.clone();
        tokio::spawn(async move {
            let delivery = Delivery::of(KINDS[number % KINDS.len()], number, &world);
            join_all((0..COPIES).map(|copy| delivery.arrives(processes[copy % 2]))).await;
            delivery.answered_at
        })
    });
    let places: Vec<_> = numbers.buffered(AT_ONCE).map(Result::unwrap).collect().await;
    world.rests().await;
    let said = said(world).await;
    places.iter().map(|place| said.get(place).map_or(0, Vec::len)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn however_often_it_is_delivered_it_is_answered_once() {
    let world = Arc::new(World::new().await);
    let deliveries = full_or(25_000, 1_000);
    let answers = answered(&world, deliveries).await;
    let lost = answers.iter().filter(|it| **it == 0).count();
    let again: usize = answers.iter().map(|it| it.saturating_sub(1)).sum();
    println!(
        "REL D1 {deliveries} deliveries of {} kinds to two processes, {} copies: {lost} lost, {again} second effects",
        KINDS.len(),
        deliveries * COPIES,
    );
    assert_eq!((lost, again), (0, 0));
}

/// The guard is the row that both processes see.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_row_each_process_answers_its_copies() {
    let world = Arc::new(World::new().await);
    world.app.db.store(Arc::new(None));
    let answers = answered(&world, 10).await;
    assert!(answers.iter().all(|it| *it == 2), "{answers:?}");
}

/// Users of Acme: each has one conversation at a time.
const USERS: [&str; 8] = [
    "zoe-laurent",
    "samuel-adeyemi",
    "rafael-costa",
    "nadia-haddad",
    "priya-raman",
    "tomas-novak",
    "hana-sato",
    "yusuf-aydin",
];

/// Who uses a code: somebody in Slack, and somebody else in Discord.
#[derive(Debug, Clone)]
enum Step {
    Delivery(Delivery),
    CodeInSlack,
    CodeInDiscord,
}

/// One conversation whose steps arrive in the order `shuffled`; what is wrong with how it ended.
///
/// It is a delivery of each kind, a copy of one, and a one-time code that two accounts use.
async fn wrong_with(
    world: &Arc<World>,
    (number, user): (usize, &str),
    shuffled: &mut StdRng,
) -> (Vec<String>, Vec<String>) {
    let first = number * KINDS.len();
    let deliveries: Vec<Delivery> =
        (first..).zip(KINDS).map(|(number, kind)| Delivery::of(kind, number, world)).collect();
    let mut steps: Vec<Step> = deliveries.iter().cloned().map(Step::Delivery).collect();
    steps.extend([
        Step::Delivery(deliveries[number % KINDS.len()].clone()),
        Step::CodeInSlack,
        Step::CodeInDiscord,
    ]);
    steps.shuffle(shuffled);

    let db = &world.fresh.pool;
    let offer = Offer { user: EntityRef::new("user", "default", user), guest: false };
    let code = issue(db, &offer).await.unwrap();
    let (slack, discord) = (format!("U0NEW{number}"), format!("41{number:016}"));
    let (mut known, mut answers) = (Vec::new(), Vec::new());
    for step in steps {
        let told = match step {
            Step::Delivery(delivery) => {
                delivery.arrives(world.address).await;
                continue;
            }
            Step::CodeInSlack => {
                let body = world.command(&slack, &format!("link {}", code.shown()));
                world.sends("/slack/commands", &body).await.body
            }
            Step::CodeInDiscord => {
                let data = call("link", &[("code", json!(code.shown()))]);
                let body = discord_world::interaction(6_000_000 + number as u64, 2, &discord, data);
                discord_world::sends(world.address, &body).await.body
            }
        };
        known.push(told.contains("from now on") && !told.contains("not good"));
        answers.push(told);
    }
    for (platform, tenant, user_id) in
        [(Platform::Slack, TEAM, slack), (Platform::Discord, GUILD, discord)]
    {
        remove(db, &Speaker { platform, tenant: tenant.into(), user_id }).await.unwrap();
    }
    // Whoever came first is known, and the other hears that the code is used.
    let wrong = (known != [true, false]).then(|| format!("conversation {number}: {answers:?}"));
    let places = deliveries.into_iter().map(|delivery| delivery.answered_at).collect();
    (wrong.into_iter().collect(), places)
}

/// What an answer says, apart from where and to whom.
fn gist(body: &Value) -> String {
    let mut body = body.clone();
    for of_one in ["channel", "thread_ts", "nonce"] {
        body.as_object_mut().unwrap().remove(of_one);
    }
    body.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_whichever_order_it_is_delivered_the_outcome_is_the_same() {
    let world = Arc::new(World::new().await);
    // Nobody has an account yet.
    sqlx::query("delete from idp.identity_link").execute(&world.fresh.pool).await.unwrap();
    let permutations = full_or(50_000, 400);
    let lanes = USERS.into_iter().enumerate().map(|(lane, user)| {
        let world = world.clone();
        tokio::spawn(async move {
            let mut shuffled = StdRng::seed_from_u64(lane as u64);
            let (mut wrong, mut places) = (Vec::new(), Vec::new());
            for number in (lane..permutations).step_by(USERS.len()) {
                let (more, heard_at) = wrong_with(&world, (number, user), &mut shuffled).await;
                wrong.extend(more);
                places.push(heard_at);
            }
            (wrong, places)
        })
    });
    let ended: Vec<_> = join_all(lanes).await.into_iter().map(Result::unwrap).collect();
    world.rests().await;
    let said = said(&world).await;
    let (mut illegal, mut gists): (Vec<String>, Vec<Vec<String>>) =
        (Vec::new(), vec![Vec::new(); KINDS.len()]);
    for (wrong, conversations) in ended {
        illegal.extend(wrong);
        for (place, kind) in conversations.iter().flat_map(|places| places.iter().zip(0..)) {
            match said.get(place).map(Vec::as_slice) {
                Some([once]) => gists[kind].push(gist(once)),
                other => {
                    illegal.push(format!("{place}: answered {} times", other.map_or(0, <[_]>::len)))
                }
            }
        }
    }
    for (kind, gists) in KINDS.iter().zip(&mut gists) {
        gists.sort_unstable();
        gists.dedup();
        if gists.len() != 1 {
            illegal.push(format!("{kind:?} was answered in {} ways", gists.len()));
        }
    }
    println!(
        "REL D2 {permutations} conversations of 8 steps in any order: {} illegal outcomes",
        illegal.len()
    );
    assert!(illegal.is_empty(), "{:#?}", &illegal[..illegal.len().min(10)]);
}

/// Clicks that each platform delivered `minutes` ago to a process that died with all others; where their answers are
/// heard.
async fn lie(world: &World, minutes: i32) -> [String; 2] {
    let click = |platform: &str, tenant: &str, channel: &str, who: &str| {
        json!({
            "speaker": { "platform": platform, "tenant": tenant, "user_id": who },
            "address": { "platform": platform, "tenant": tenant, "channel_id": channel, "channel_name": null, "thread": null },
            "words": "owner payment-api",
        })
    };
    let response_url = format!("http://{}/respond/{minutes}", world.fake.address);
    let slack = click("slack", TEAM, "C0NOBODY", "U0ADA");
    let discord = click("discord", GUILD, "600000000000000001", "400000000000000001");
    let said = json!({ "said": { "speaker": slack["speaker"], "address": slack["address"], "text": "owner checkout" } });
    for (platform, envelope, body) in [
        (
            "slack",
            "click",
            json!({ "clicked": { "click": slack, "response_url": response_url, "replaces": false } }),
        ),
        ("slack", "mention", said),
        ("discord", "click", json!({ "click": discord, "token": format!("token-{minutes}") })),
    ] {
        sqlx::query(
            "insert into idp.inbox (platform, tenant, envelope, body, received_at, lease_until)
             values ($1, 'T', $2, $3, clock_timestamp() - make_interval(mins => $4), clock_timestamp() - interval '1 s')",
        )
        .bind(platform)
        .bind(format!("{envelope} {minutes}"))
        .bind(body)
        .bind(minutes)
        .execute(&world.fresh.pool)
        .await
        .unwrap();
    }
    let discord = format!(
        "PATCH /webhooks/{}/token-{minutes}/messages/@original",
        discord_world::APPLICATION
    );
    [format!("/respond/{minutes}"), discord]
}

/// Every process was away: whoever clicked before is told that it does not count any more, and nothing is done. Whoever
/// only asked has asked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_click_that_nobody_was_there_for_is_answered_and_does_nothing() {
    let world = World::new().await;
    let (late, soon) = (lie(&world, 6).await, lie(&world, 1).await);
    let stop = CancellationToken::new();
    let kept = [
        tokio::spawn(world.dispatcher.clone().keep(stop.clone())),
        tokio::spawn(world.discord.clone().keep(stop.clone())),
    ];
    let unfinished = async || {
        let unfinished = "select count(*) from idp.inbox where done_at is null";
        sqlx::query_scalar::<_, i64>(unfinished).fetch_one(&world.fresh.pool).await.unwrap()
    };
    until("all is done", unfinished, |left| *left == 0).await;
    stop.cancel();
    join_all(kept).await;
    world.rests().await;
    let said = said(&world).await;
    for (places, words, others) in
        [(late, "while idp was away", "owned by"), (soon, "owned by", "was away")]
    {
        for place in places {
            let told = said[&place].iter().map(Value::to_string).collect::<Vec<_>>();
            assert_eq!(told.len(), 1, "{place}: {told:?}");
            assert!(told[0].contains(words) && !told[0].contains(others), "{place}: {told:?}");
        }
    }
    // The mention of six minutes ago is not answered, that of a minute ago is.
    assert_eq!(said["C0NOBODY"].len(), 1, "{said:?}");
}
