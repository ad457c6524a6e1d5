//! Who and what there is on the page: the Users of the catalog as accounts, the channels of its teams.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::Here;
use super::platforms::APPLICATION_ID;
use crate::app::App;
use crate::catalog::Snapshot;
use crate::chat::discord::registration::registration;
use crate::commands::CommandSet;
use crate::commands::lookups::label;

/// The workspace on the page, and the bot in it.
pub const TEAM_ID: &str = "T0PLAYGROUND";
pub const BOT_USER_ID: &str = "U0IDP";

/// Somebody who is linked to nobody, as newcomers are.
const STRANGER: &str = "A newcomer";

/// What the page is about.
#[derive(Debug, Serialize)]
pub struct Company {
    slack: SlackSide,
    discord: DiscordSide,
    people: Vec<Person>,
    channels: Vec<String>,
    /// What Discord is told to offer while somebody types.
    commands: Value,
}

#[derive(Debug, Serialize)]
struct SlackSide {
    team_id: &'static str,
    bot_user_id: &'static str,
}

#[derive(Debug, Serialize)]
struct DiscordSide {
    guild_id: String,
    application_id: &'static str,
}

#[derive(Debug, Serialize)]
struct Person {
    name: String,
    /// The User's reference; `None` for a newcomer.
    user: Option<String>,
    slack_user_id: String,
    discord_user_id: String,
}

impl Company {
    /// # Errors
    /// Commands that cannot be written.
    fn of(snapshot: &Snapshot, commands: &CommandSet, guild_id: String) -> anyhow::Result<Company> {
        Ok(Company {
            slack: SlackSide { team_id: TEAM_ID, bot_user_id: BOT_USER_ID },
            discord: DiscordSide { guild_id, application_id: APPLICATION_ID },
            people: people(snapshot),
            channels: channels(snapshot),
            commands: registration(commands)?.commands,
        })
    }
}

pub(super) async fn company(State(here): State<Here>) -> Result<Json<Company>, StatusCode> {
    let (snapshot, commands) = (here.app.catalog.snapshot(), here.app.commands.load());
    let company = Company::of(&snapshot, &commands, guild_id(&here.app));
    company.map(Json).map_err(|error| {
        tracing::error!(error = format!("{error:#}"), "could not tell the page who there is");
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

/// The accounts of the catalog's Users on the page, as an admin's file for `idp access import` lists them.
pub fn links(app: &App) -> Value {
    let guild_id = guild_id(app);
    let people = people(&app.catalog.snapshot());
    let linked = people
        .into_iter()
        .filter_map(|person| Some((person.user?, person.slack_user_id, person.discord_user_id)));
    let accounts = linked.flat_map(|(user, slack, discord)| {
        [
            json!({ "platform": "slack", "tenant": TEAM_ID, "user_id": slack, "user": user }),
            json!({ "platform": "discord", "tenant": guild_id, "user_id": discord, "user": user }),
        ]
    });
    accounts.collect()
}

/// The first server of the settings; without one Discord answers nobody, here as there.
fn guild_id(app: &App) -> String {
    app.settings.load().discord.guild_ids.first().cloned().unwrap_or_default()
}

/// In the order of their references, then a newcomer: an account is the same after each start.
fn people(snapshot: &Snapshot) -> Vec<Person> {
    let users = snapshot.entities().filter(|it| it.reference.kind() == "user");
    let users = users.map(|it| (label(it).into_owned(), Some(it.reference.to_string())));
    let all = users.chain([(STRANGER.to_string(), None)]).enumerate();
    let people = all.map(|(place, (name, user))| Person {
        name,
        user,
        slack_user_id: format!("U{:04}PLAY", place + 1),
        discord_user_id: format!("{}", 2_000_000_000_000_000_001 + place),
    });
    people.collect()
}

fn channels(snapshot: &Snapshot) -> Vec<String> {
    // An id in place of a name: Slack's are in capitals.
    let names = snapshot.channels().filter(|it| it.chars().any(char::is_lowercase));
    let mut channels: Vec<String> = names.map(str::to_string).collect();
    channels.sort();
    channels.dedup();
    channels.insert(0, "general".into());
    channels
}
