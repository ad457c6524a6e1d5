//! Every way in, for everybody, under all settings: who is answered, and who is refused.
//!
//! The requests are real and signed. What is expected is told by [`may`], which knows nothing of policies. That the
//! table would notice a way in which does not ask is shown for each: a policy lets everybody in by that one way.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use chrono::Utc;
use idp::access::link::{LinkSet, Made};
use idp::access::{Authority, Link, Reach, Terms};
use idp::app::shortcut::SHORTCUT;
use idp::catalog::EntityRef;
use idp::chat::discord::inbound as discord_inbound;
use idp::chat::slack::inbound::{self, Us};
use idp::chat::slack::shortcut::CALLBACK_ID;
use idp::conversation::{Platform, Speaker, Way};
use idp::terminal::ask::typed;
use serde_json::{Value, json};

use crate::discord_world::{self, BOT_USER, GUILD};
use crate::world::{TEAM, World, gets, interaction};

/// Somebody, by what the catalog and the links say of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Stranger,
    /// Linked to a User whom the catalog has no more.
    Gone,
    Guest,
    Member,
    /// A member of the team that owns what is asked about.
    Owner,
    Admin,
}

const EVERYBODY: [Who; 6] =
    [Who::Stranger, Who::Gone, Who::Guest, Who::Member, Who::Owner, Who::Admin];

impl Who {
    /// Whom their accounts are linked to.
    pub fn user(self) -> Option<&'static str> {
        match self {
            Who::Stranger => None,
            Who::Gone => Some("user:default/left-long-ago"),
            Who::Guest => Some("user:default/ingrid-holm"),
            Who::Member => Some("user:default/priya-raman"),
            Who::Owner => Some("user:default/zoe-laurent"),
            Who::Admin => Some("user:default/daniel-kim"),
        }
    }

    pub fn slack(self) -> String {
        format!("U0WHO{}", self as u8)
    }

    pub fn discord(self) -> String {
        format!("40000000000000010{}", self as u8)
    }
}

/// A way in, as people use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    SlackCommand,
    SlackSocketCommand,
    SlackMention,
    SlackDirectMessage,
    SlackButton,
    SlackSelect,
    SlackFormOpened,
    SlackFormFilled,
    SlackTyping,
    SlackShortcut,
    SlackHome,
    SlackHomeButton,
    SlackLink,
    DiscordCommand,
    DiscordMention,
    DiscordDirectMessage,
    DiscordButton,
    DiscordSelect,
    DiscordFormOpened,
    DiscordFormFilled,
    DiscordTyping,
    DiscordShortcut,
    TerminalCommand,
    TerminalTyping,
    Http,
}

pub const DOORS: [Door; 25] = [
    Door::SlackCommand,
    Door::SlackSocketCommand,
    Door::SlackMention,
    Door::SlackDirectMessage,
    Door::SlackButton,
    Door::SlackSelect,
    Door::SlackFormOpened,
    Door::SlackFormFilled,
    Door::SlackTyping,
    Door::SlackShortcut,
    Door::SlackHome,
    Door::SlackHomeButton,
    Door::SlackLink,
    Door::DiscordCommand,
    Door::DiscordMention,
    Door::DiscordDirectMessage,
    Door::DiscordButton,
    Door::DiscordSelect,
    Door::DiscordFormOpened,
    Door::DiscordFormFilled,
    Door::DiscordTyping,
    Door::DiscordShortcut,
    Door::TerminalCommand,
    Door::TerminalTyping,
    Door::Http,
];

impl Door {
    /// What policies call it; `None` where nobody is told anything.
    pub fn way(self) -> Option<(Platform, Way)> {
        use Platform::{Discord, Slack, Terminal};
        match self {
            Door::SlackCommand | Door::SlackSocketCommand => Some((Slack, Way::Command)),
            Door::SlackMention | Door::SlackDirectMessage => Some((Slack, Way::Message)),
            Door::SlackButton | Door::SlackSelect | Door::SlackHomeButton => {
                Some((Slack, Way::Button))
            }
            Door::SlackFormOpened => Some((Slack, Way::Form)),
            Door::SlackFormFilled => Some((Slack, Way::Filled)),
            Door::SlackTyping => Some((Slack, Way::Typing)),
            Door::SlackShortcut => Some((Slack, Way::Shortcut)),
            Door::SlackHome => Some((Slack, Way::Home)),
            Door::SlackLink => Some((Slack, Way::Unfurl)),
            Door::DiscordCommand => Some((Discord, Way::Command)),
            Door::DiscordMention | Door::DiscordDirectMessage => Some((Discord, Way::Message)),
            Door::DiscordButton | Door::DiscordSelect => Some((Discord, Way::Button)),
            Door::DiscordFormOpened => Some((Discord, Way::Form)),
            Door::DiscordFormFilled => Some((Discord, Way::Filled)),
            Door::DiscordTyping => Some((Discord, Way::Typing)),
            Door::DiscordShortcut => Some((Discord, Way::Shortcut)),
            Door::TerminalCommand => Some((Terminal, Way::Command)),
            Door::TerminalTyping => Some((Terminal, Way::Typing)),
            Door::Http => None,
        }
    }

    /// Whether whole commands come in by it, so that `whoami` can.
    fn takes_commands(self) -> bool {
        matches!(self.way(), Some((_, Way::Command | Way::Message | Way::Button)))
    }
}

/// Whether `who` is told by `door` what the catalog knows.
fn may(who: Who, door: Door, terms: &Terms) -> bool {
    match (door, who) {
        (Door::Http, _) => false,
        (Door::TerminalCommand | Door::TerminalTyping, _) => true,
        (_, Who::Stranger | Who::Gone) => terms.strangers == Reach::Read,
        (_, Who::Guest) => terms.guests == Reach::Read,
        (_, Who::Member | Who::Owner | Who::Admin) => true,
    }
}

/// What somebody saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// What the catalog knows, or a form or suggestions out of it.
    Answer,
    /// A refusal that says what refused.
    Refusal,
    /// Neither: an empty list, or figures.
    Nothing,
    /// What nobody should see.
    Odd(String),
}

/// The portal of the table: Acme, with accounts of everybody on both platforms.
pub async fn world() -> World {
    let world = World::new().await;
    let mut links = LinkSet { revision: 1, ..LinkSet::default() };
    for who in EVERYBODY {
        world.fake_discord.has_member(&who.discord());
        let Some(user) = who.user() else { continue };
        let link = Link {
            user: EntityRef::parse(user, None, "default").unwrap(),
            guest: who == Who::Guest,
            generation: 1,
            made_by: Made::Import,
            created_at: Utc::now(),
        };
        let account = |platform, tenant: &str, user_id| Speaker {
            platform,
            tenant: tenant.to_string(),
            user_id,
        };
        links.by_account.insert(account(Platform::Slack, TEAM, who.slack()), link.clone());
        links.by_account.insert(account(Platform::Discord, GUILD, who.discord()), link);
    }
    world.app.links.set(links);
    world
}

pub fn set(world: &World, authority: Authority) {
    let mut settings = (**world.app.settings.load()).clone();
    settings.access = authority;
    world.app.settings.store(Arc::new(settings));
}

pub fn terms(strangers: Reach, guests: Reach) -> Terms {
    let admins = vec![EntityRef::new("group", "default", "platform")];
    Terms { strangers, guests, admins, link_by_email: false }
}

/// What `who` sees who asks by `door`: about a service, or, with `whoami`, about themselves.
pub async fn sees(world: &World, who: Who, door: Door, whoami: bool) -> Seen {
    let words = if whoami { "whoami" } else { "owner payment-api" };
    let (slack, discord, number) = (who.slack(), who.discord(), world.number());
    let of_slack = |mut payload: Value| {
        payload["team"] = json!({ "id": TEAM });
        payload["user"] = json!({ "id": slack, "team_id": TEAM });
        interaction(&payload)
    };
    let response_url = format!("http://{}/respond/{number}", world.fake.address);
    let acts = |action: Value| {
        of_slack(json!({
            "type": "block_actions", "trigger_id": format!("t{number}"),
            "channel": { "id": "C0NOBODY", "name": "random" },
            "container": { "message_ts": "1.5" }, "response_url": response_url,
            "actions": [action],
        }))
    };
    let said = |kind: &str, channel_type: &str| {
        json!({
            "type": "event_callback", "team_id": TEAM, "event_id": format!("Ev{number}"),
            // A channel of its own: in one, the bot speaks once a second.
            "event": { "type": kind, "user": slack, "channel": format!("C{number}"), "text": words,
                "ts": "1700000000.000100", "channel_type": channel_type },
        })
    };
    match door {
        Door::SlackCommand => {
            let answer = world.sends("/slack/commands", &world.command(&slack, words)).await;
            judged(&answer.body, whoami)
        }
        Door::SlackSocketCommand => {
            let payload = json!({
                "team_id": TEAM, "user_id": slack, "channel_id": "C0NOBODY", "command": "/idp",
                "text": words, "response_url": response_url,
            });
            let heard = inbound::slash_command_of(&payload, &Us::default()).unwrap();
            let answer = world.dispatcher.hear(heard).await.unwrap();
            judged(&String::from_utf8_lossy(&answer), whoami)
        }
        Door::SlackMention => {
            world.sends("/slack/events", &said("app_mention", "channel").to_string()).await;
            judged(&world.fake.hears().await.body.to_string(), whoami)
        }
        Door::SlackDirectMessage => {
            world.sends("/slack/events", &said("message", "im").to_string()).await;
            judged(&world.fake.hears().await.body.to_string(), whoami)
        }
        Door::SlackButton | Door::SlackFormOpened => {
            let is_form = door == Door::SlackFormOpened;
            let action_id = if is_form { "idp-form:0" } else { "idp:0" };
            let button = json!({ "type": "button", "action_id": action_id, "value": words });
            world.sends("/slack/interactions", &acts(button)).await;
            let heard = world.fake.hears().await;
            match heard.path == "/api/views.open" {
                true if is_form => Seen::Answer,
                _ => judged(&heard.body.to_string(), whoami),
            }
        }
        Door::SlackSelect => {
            let chosen = json!({ "text": { "type": "plain_text", "text": "a" }, "value": words });
            let select = json!({
                "type": "static_select", "action_id": "idp:0", "selected_option": chosen,
            });
            world.sends("/slack/interactions", &acts(select)).await;
            judged(&world.fake.hears().await.body.to_string(), whoami)
        }
        Door::SlackFormFilled => {
            let origin = json!({ "channel_id": "C0NOBODY", "response_url": response_url });
            let view = json!({
                "id": "V1", "callback_id": "idp-form:owner", "private_metadata": origin.to_string(),
                "state": { "values": { "entity": { "idp-field:entity": {
                    "type": "external_select", "selected_option": { "value": "payment-api" },
                } } } },
            });
            let payload = json!({ "type": "view_submission", "trigger_id": format!("t{number}"), "view": view });
            let answer = world.sends("/slack/interactions", &of_slack(payload)).await;
            assert_eq!(answer.body, "{}");
            judged(&world.fake.hears().await.body.to_string(), whoami)
        }
        Door::SlackTyping => {
            let payload = json!({
                "type": "block_suggestion", "action_id": "idp-field:entity", "value": "paym",
                "view": { "callback_id": "idp-form:owner" },
            });
            let answer = world.sends("/slack/interactions", &of_slack(payload)).await;
            offered(&answer.json()["options"])
        }
        Door::SlackShortcut => {
            let payload = json!({
                "type": "message_action", "callback_id": CALLBACK_ID, "trigger_id": format!("t{number}"),
                "channel": { "id": "C0NOBODY", "name": "random" }, "response_url": response_url,
                "message": { "type": "message", "text": "payment-api is down" },
            });
            world.sends("/slack/interactions", &of_slack(payload)).await;
            judged(&world.fake.hears().await.body.to_string(), whoami)
        }
        Door::SlackHome => {
            let opened = json!({
                "type": "event_callback", "team_id": TEAM, "event_id": format!("Ev{number}"),
                "event": { "type": "app_home_opened", "user": slack, "tab": "home" },
            });
            world.sends("/slack/events", &opened.to_string()).await;
            let said = world.fake.hears().await.body.to_string();
            // Whoever may ask can do so there.
            if said.contains("idp-form:") { Seen::Answer } else { judged(&said, whoami) }
        }
        Door::SlackHomeButton => {
            let payload = json!({
                "type": "block_actions", "trigger_id": format!("t{number}"),
                "view": { "id": "V1", "type": "home" },
                "actions": [{ "type": "button", "action_id": "idp:0", "value": words }],
            });
            world.sends("/slack/interactions", &of_slack(payload)).await;
            judged(&world.fake.hears().await.body.to_string(), whoami)
        }
        Door::SlackLink => {
            let url = "https://github.com/acme/payment-api";
            let shared = json!({
                "type": "event_callback", "team_id": TEAM, "event_id": format!("Ev{number}"),
                "is_ext_shared_channel": false,
                "event": { "type": "link_shared", "user": slack, "channel": "C1", "message_ts": "1.5",
                    "links": [{ "domain": "github.com", "url": url }] },
            });
            world.sends("/slack/events", &shared.to_string()).await;
            world.rests().await;
            match &world.fake.heard().await[..] {
                [] => Seen::Nothing,
                [call] if call.body["unfurls"][url].is_object() => Seen::Answer,
                other => Seen::Odd(format!("{other:?}")),
            }
        }
        Door::DiscordCommand => {
            let entity = [("entity", json!("payment-api"))];
            let data = match whoami {
                true => discord_world::call("whoami", &[]),
                false => discord_world::call("owner", &entity),
            };
            judged(&interacts(world, &discord, 2, data).await.to_string(), whoami)
        }
        Door::DiscordMention | Door::DiscordDirectMessage => {
            // A channel of its own: in one, the bot speaks once a second.
            let channel = format!("60000000000{number:07}");
            let mut message = json!({
                "id": number.to_string(), "channel_id": channel, "guild_id": GUILD,
                "type": 0, "author": { "id": discord, "username": "ada" },
                "mentions": [{ "id": BOT_USER }], "content": format!("<@{BOT_USER}> {words}"),
            });
            if door == Door::DiscordDirectMessage {
                message["guild_id"] = Value::Null;
            }
            // What the gateway tells leads here, as every way in from Discord does.
            let heard = discord_inbound::message(&message, BOT_USER);
            world.discord.hear(heard).await.unwrap();
            judged(&world.hears_call("POST").await.body.to_string(), whoami)
        }
        Door::DiscordButton | Door::DiscordFormOpened => {
            let is_form = door == Door::DiscordFormOpened;
            let prefix = if is_form { "idp-form" } else { "idp" };
            let data = json!({ "custom_id": format!("{prefix}:0:{words}"), "component_type": 2 });
            let said = interacts(world, &discord, 3, data).await;
            match said["type"].as_u64() {
                Some(9) if is_form => Seen::Answer,
                Some(5) => judged(&world.fake_discord.hears().await.body.to_string(), whoami),
                _ => judged(&said.to_string(), whoami),
            }
        }
        Door::DiscordSelect => {
            let data = json!({
                "custom_id": "idp-select:0", "component_type": 3, "values": [words],
            });
            assert_eq!(interacts(world, &discord, 3, data).await["type"], 5);
            judged(&world.fake_discord.hears().await.body.to_string(), whoami)
        }
        Door::DiscordFormFilled => {
            let field = json!({ "type": 4, "custom_id": "entity", "value": "payment-api" });
            let labels = [json!({ "type": 18, "component": field })];
            let data = json!({ "custom_id": "idp-form:owner", "components": labels });
            assert_eq!(interacts(world, &discord, 5, data).await["type"], 5);
            judged(&world.fake_discord.hears().await.body.to_string(), whoami)
        }
        Door::DiscordTyping => {
            let typed = json!({ "type": 3, "name": "entity", "value": "paym", "focused": true });
            let data = json!({ "id": "1", "name": "idp", "options": [
                { "type": 1, "name": "owner", "options": [typed] },
            ]});
            offered(&interacts(world, &discord, 4, data).await["data"]["choices"])
        }
        Door::DiscordShortcut => {
            let data = json!({
                "id": "1", "type": 3, "name": SHORTCUT, "target_id": "7",
                "resolved": { "messages": { "7": { "content": "payment-api is down" } } },
            });
            assert_eq!(interacts(world, &discord, 2, data).await["type"], 5);
            judged(&world.fake_discord.hears().await.body.to_string(), whoami)
        }
        Door::TerminalCommand | Door::TerminalTyping => {
            let user = who.user().map(|user| EntityRef::parse(user, None, "default").unwrap());
            let asked = typed(words, user.as_ref());
            if door == Door::TerminalTyping {
                let offers = world.app.completions(&asked.speaker, "owner payment-");
                return if offers.words.is_empty() { Seen::Nothing } else { Seen::Answer };
            }
            judged(&world.app.answer(Way::Command, asked).await.markdown, whoami)
        }
        Door::Http => {
            let mut told = String::new();
            for path in ["/", "/livez", "/healthz", "/readyz", "/metrics", "/slack/commands"] {
                told.push_str(&gets(world.address, path).await.body);
            }
            let is_told = told.contains("payment-api") || told.contains("Payments");
            if is_told { Seen::Answer } else { Seen::Nothing }
        }
    }
}

async fn interacts(world: &World, who: &str, kind: u8, data: Value) -> Value {
    let body = discord_world::interaction(world.number(), kind, who, data);
    let answer = discord_world::sends(world.address, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// What a text is: the owner of the service, or who somebody is; a refusal; or anything else.
fn judged(text: &str, whoami: bool) -> Seen {
    let text = text.replace('\\', "");
    let is_told = match whoami {
        true => text.contains("You may ask") || text.contains("You may not ask what"),
        false => text.contains("is owned by"),
    };
    // A refusal says which rule, and who could change it.
    let is_refused = text.contains("You may not ask this")
        && (text.contains("access.strangers") || text.contains("access.guests"))
        && text.contains("group:default/platform");
    match (is_told, is_refused) {
        (true, false) => Seen::Answer,
        (false, true) => Seen::Refusal,
        _ => Seen::Odd(text),
    }
}

fn offered(choices: &Value) -> Seen {
    match choices.as_array().map(Vec::len) {
        Some(0) => Seen::Nothing,
        Some(_) => Seen::Answer,
        None => Seen::Odd(choices.to_string()),
    }
}

/// What `who` saw by `door` where `terms` say otherwise.
async fn wrong(world: &World, who: Who, door: Door, terms: &Terms) -> Option<Seen> {
    let is_list = matches!(door.way(), None | Some((_, Way::Typing | Way::Unfurl)));
    let expected = match may(who, door, terms) {
        true => Seen::Answer,
        false if is_list => Seen::Nothing,
        false => Seen::Refusal,
    };
    Some(sees(world, who, door, false).await).filter(|seen| *seen != expected)
}

/// All cells of the table that are not as `terms` say, and how many there are.
async fn table(world: &World, terms: &Terms) -> (Vec<(Door, Who, bool, Seen)>, usize) {
    let mut all = Vec::new();
    let mut cells = 0;
    for door in DOORS {
        for who in EVERYBODY {
            cells += 1;
            all.extend(wrong(world, who, door, terms).await.map(|seen| (door, who, false, seen)));
            // Who one is everybody may ask.
            if door.takes_commands() {
                cells += 1;
                let seen = sees(world, who, door, true).await;
                if seen != Seen::Answer {
                    all.push((door, who, true, seen));
                }
            }
        }
    }
    (all, cells)
}

#[tokio::test]
async fn everybody_is_answered_what_the_settings_say_by_every_way_in() {
    let world = world().await;
    let (mut all, mut amiss) = (0, Vec::new());
    for strangers in Reach::ALL {
        for guests in Reach::ALL {
            let terms = terms(strangers, guests);
            set(&world, Authority::new(terms.clone()));
            let (of_terms, cells) = table(&world, &terms).await;
            amiss.extend(of_terms.into_iter().map(|it| (strangers, guests, it)));
            all += cells;
        }
    }
    println!("REL E12 {all} cells, {} wrong", amiss.len());
    assert!(amiss.is_empty(), "{amiss:#?}");
}

#[tokio::test]
async fn a_way_in_that_does_not_ask_is_noticed() {
    let world = world().await;
    let terms = terms(Reach::Nothing, Reach::Nothing);
    let ways: HashSet<_> = DOORS.iter().filter_map(|door| door.way()).collect();
    let mut noticed = 0;
    for (platform, way) in ways {
        // Whoever sits at the terminal may ask anyway.
        if platform == Platform::Terminal {
            continue;
        }
        let everybody = format!(
            "permit (principal, action, resource) when {{ context.platform == \"{}\" && context.way == \"{}\" }};",
            platform.word(),
            way.word()
        );
        set(&world, Authority::with_policies(terms.clone(), &everybody).unwrap());
        let open: BTreeSet<Door> =
            DOORS.into_iter().filter(|door| door.way() == Some((platform, way))).collect();
        let mut seen = Vec::new();
        for door in DOORS {
            // By all the other ways it is enough that a stranger hears nothing.
            let asking = if open.contains(&door) { &EVERYBODY[..] } else { &[Who::Stranger] };
            for who in asking {
                let wrong = wrong(&world, *who, door, &terms).await;
                seen.extend(wrong.map(|seen| (door, *who, seen)));
            }
        }
        let doors: BTreeSet<Door> = seen.iter().map(|(door, ..)| *door).collect();
        assert_eq!(doors, open, "{platform:?} {way:?}: {seen:?}");
        // A stranger, who is gone, and a guest by each of them; nobody else.
        assert_eq!(seen.len(), 3 * doors.len(), "{seen:?}");
        noticed += 1;
    }
    println!("REL E12 {noticed} ways in that do not ask, {noticed} noticed");
    assert_eq!(noticed, 16);
}

#[tokio::test]
async fn an_answer_that_was_kept_is_shown_to_nobody_who_may_not_ask() {
    let world = world().await;
    let terms = terms(Reach::Nothing, Reach::Nothing);
    set(&world, Authority::new(terms));
    for who in [Who::Member, Who::Stranger, Who::Member, Who::Guest] {
        let seen = sees(&world, who, Door::SlackCommand, false).await;
        let expected = if who == Who::Member { Seen::Answer } else { Seen::Refusal };
        assert_eq!(seen, expected, "{who:?}");
    }
}

#[tokio::test]
async fn what_the_settings_say_holds_from_the_next_question_on() {
    let world = world().await;
    for reach in [Reach::Read, Reach::Nothing, Reach::Read] {
        let terms = terms(reach, Reach::Nothing);
        set(&world, Authority::new(terms.clone()));
        for door in [Door::SlackCommand, Door::DiscordButton] {
            let seen = sees(&world, Who::Stranger, door, false).await;
            assert_eq!(seen == Seen::Answer, may(Who::Stranger, door, &terms), "{seen:?}");
        }
    }
}
