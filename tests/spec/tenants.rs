//! Whom the platforms speak for: our own workspace, organisation, app and servers, and nobody else.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use idp::chat::ANSWER_WITHIN;
use idp::chat::Rejection;
use idp::chat::discord::inbound as discord_inbound;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::discord_world::{self, APPLICATION, BOT_USER, GUILD, call};
use crate::scale::full_or;
use crate::waiting::until;
use crate::world::{ENTERPRISE, TEAM, World, interaction, mention};

const APP: &str = "A0ACME";

/// Acme's workspace, which belongs to an organisation, with an app of its own.
async fn world() -> World {
    let world =
        World::with(ANSWER_WITHIN, |settings| settings.slack.app_id = Some(APP.into())).await;
    *world.fake.moods.enterprise.lock().unwrap() = json!(ENTERPRISE);
    tokio::spawn(world.dispatcher.clone().keep(CancellationToken::new()));
    let knows = async || world.dispatcher.us().enterprise_id.is_some();
    until("Slack has told whose the token is", knows, |it| *it).await;
    world
}

/// Who a request says that it is of.
#[derive(Debug, Clone)]
struct Claim {
    team: String,
    enterprise: String,
    app: String,
    guild: String,
    application: String,
}

impl Claim {
    fn ours() -> Claim {
        Claim {
            team: TEAM.into(),
            enterprise: ENTERPRISE.into(),
            app: APP.into(),
            guild: GUILD.into(),
            application: APPLICATION.into(),
        }
    }

    /// One that is not ours, in one way or another.
    fn foreign(random: &mut StdRng, of_slack: bool) -> Claim {
        let mut claim = Claim::ours();
        let field = match (of_slack, random.random_range(0..3)) {
            (true, 0) => &mut claim.team,
            (true, 1) => &mut claim.enterprise,
            (true, _) => &mut claim.app,
            (false, 0) => &mut claim.guild,
            (false, _) => &mut claim.application,
        };
        // Another one, ours in another case, ours with something behind it.
        *field = match random.random_range(0..4) {
            0 => format!("{}{}", &field[..1], random.random::<u64>()),
            1 if of_slack => field.to_lowercase(),
            2 => format!("{field}0"),
            _ => format!(" {field}"),
        };
        claim
    }

    /// A request of Slack's with this claim: where it goes, and its body.
    fn of_slack(&self, world: &World, number: usize) -> (&'static str, String) {
        let Claim { team, enterprise, app, .. } = self;
        let response_url = format!("http://{}/respond/{number}", world.fake.address);
        if number.is_multiple_of(3) {
            let fields = [
                ("team_id", team.as_str()),
                ("enterprise_id", enterprise),
                ("api_app_id", app),
                ("user_id", "U0ADA"),
                ("channel_id", "C0NOBODY"),
                ("text", "owner payment-api"),
                ("response_url", &response_url),
            ];
            return ("/slack/commands", serde_urlencoded::to_string(fields).unwrap());
        }
        if number % 3 == 1 {
            let mut body = mention(&format!("EvClaim{number}"), "U0ADA", "owner payment-api");
            body["team_id"] = json!(team);
            body["enterprise_id"] = json!(enterprise);
            body["api_app_id"] = json!(app);
            return ("/slack/events", body.to_string());
        }
        let payload = json!({
            "type": "block_actions", "trigger_id": format!("claim-{number}"), "api_app_id": app,
            "team": { "id": team }, "enterprise": { "id": enterprise }, "user": { "id": "U0ADA" },
            "channel": { "id": "C0NOBODY" }, "container": { "message_ts": "1.5" }, "response_url": response_url,
            "actions": [{ "type": "button", "action_id": "idp:0", "value": "owner payment-api" }],
        });
        ("/slack/interactions", interaction(&payload))
    }

    fn of_discord(&self, number: usize) -> Value {
        let data = match number % 2 {
            0 => call("owner", &[("entity", json!("payment-api"))]),
            _ => json!({ "component_type": 2, "custom_id": "idp:0:owner payment-api" }),
        };
        let kind = if number.is_multiple_of(2) { 2 } else { 3 };
        let id = 8_000_000 + number as u64;
        let mut body = discord_world::interaction(id, kind, "400000000000000001", data);
        body["guild_id"] = json!(self.guild);
        body["application_id"] = json!(self.application);
        body
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_answered_who_is_not_of_ours() {
    let world = Arc::new(world().await);
    let requests = full_or(10_000, 600);
    let mut random = StdRng::seed_from_u64(9);
    let claims: Vec<(usize, Claim)> = (0..requests)
        .map(|number| (number, Claim::foreign(&mut random, number.is_multiple_of(2))))
        .collect();
    let answers: Vec<(Claim, u16)> = stream::iter(claims)
        .map(|(number, claim)| {
            let world = world.clone();
            async move {
                let answer = match number.is_multiple_of(2) {
                    true => {
                        let (path, body) = claim.of_slack(&world, number / 2);
                        world.sends(path, &body).await
                    }
                    false => {
                        discord_world::sends(world.address, &claim.of_discord(number / 2)).await
                    }
                };
                (claim, answer.status)
            }
        })
        .buffer_unordered(4)
        .collect()
        .await;
    world.rests().await;
    let accepted: Vec<_> = answers.iter().filter(|(_, status)| *status != 401).collect();
    let kept: i64 = sqlx::query_scalar("select count(*) from idp.inbox")
        .fetch_one(&world.fresh.pool)
        .await
        .unwrap();
    let said = world.fake.heard().await.len() + world.fake_discord.heard().await.len();
    println!(
        "REL D9 {requests} signed requests of others: {} accepted, {kept} written down, {said} answers",
        accepted.len()
    );
    assert_eq!((accepted.len(), kept, said), (0, 0, 0), "{:?}", accepted.first());
}

/// The control: with our own ids the same requests are answered.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_requests_of_ours_are_answered() {
    let world = world().await;
    for number in 0..6 {
        let (path, body) = Claim::ours().of_slack(&world, number);
        assert_eq!(world.sends(path, &body).await.status, 200, "{path}");
        let answer = discord_world::sends(world.address, &Claim::ours().of_discord(number)).await;
        assert_eq!(answer.status, 200);
    }
}

/// What the gateway tells is held to the same.
#[tokio::test]
async fn a_message_of_another_server_is_not_heard() {
    let world = world().await;
    let message = |guild: &str| {
        discord_inbound::message(
            &json!({
                "id": "10", "channel_id": "3", "guild_id": guild, "type": 0, "author": { "id": "4" },
                "mentions": [{ "id": BOT_USER }], "content": "owner payment-api",
            }),
            BOT_USER,
        )
    };
    let strange = world.discord.hear(message("700000000000000002")).await;
    assert_eq!(strange.unwrap_err(), Rejection::Stranger);
    assert!(world.discord.hear(message(GUILD)).await.is_ok());
}
