//! Who and what there is on the page: the Users of the catalog as accounts, the channels of its teams.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

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
    /// By the ids that the catalog has of them: their names.
    channel_names: BTreeMap<String, String>,
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
            channel_names: channel_names(snapshot),
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

/// In the order of their references, then a newcomer. Their accounts follow from who they are, whoever else comes or
/// goes: an account that became another's would be believed to be whom it is linked to.
fn people(snapshot: &Snapshot) -> Vec<Person> {
    let users = snapshot.entities().filter(|it| it.reference.kind() == "user");
    let known = users.map(|it| person(label(it).into_owned(), Some(it.reference.to_string())));
    known.chain([person(STRANGER.to_string(), None)]).collect()
}

fn person(name: String, user: Option<String>) -> Person {
    let digest = Sha256::digest(user.as_deref().unwrap_or_default());
    let number = digest.iter().take(7).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Person {
        name,
        user,
        slack_user_id: format!("U{number:014X}"),
        discord_user_id: format!("2{number:017}"),
    }
}

fn channels(snapshot: &Snapshot) -> Vec<String> {
    // An id in place of a name: Slack's are in capitals.
    let names = snapshot.channels().filter(|it| is_name(it));
    let mut channels: Vec<String> = names.map(str::to_string).collect();
    channels.sort();
    channels.dedup();
    channels.insert(0, "general".into());
    channels
}

/// Whether `channel` is a name: Slack's ids are in capitals, Discord's are numbers.
fn is_name(channel: &str) -> bool {
    channel.chars().any(char::is_lowercase)
}

/// The names of the channels of which the catalog has the id as well.
fn channel_names(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for entity in snapshot.entities() {
        let channels: Vec<&str> = snapshot.channels_of(entity).collect();
        if let Some(name) = channels.iter().find(|it| is_name(it)) {
            let ids = channels.iter().filter(|it| !is_name(it));
            names.extend(ids.map(|id| ((*id).to_string(), (*name).to_string())));
        }
    }
    names
}

/// The id of the channel that is called `channel` there, by its name, its id, or who is written to directly.
pub(super) fn slack_channel(app: &App, channel: &str) -> String {
    if !is_name(channel) {
        return match channel.strip_prefix('U') {
            Some(person) => format!("D{person}"),
            None => channel.to_string(),
        };
    }
    let names = channel_names(&app.catalog.snapshot());
    let of_catalog = names.iter().find(|(id, name)| id.starts_with('C') && *name == channel);
    of_catalog.map_or_else(|| slack_id(channel), |(id, _)| id.clone())
}

/// The id of a channel of which the catalog has none; the page makes the same.
fn slack_id(name: &str) -> String {
    let letters = name.to_uppercase();
    format!("C0{}", letters.chars().filter(char::is_ascii_alphanumeric).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_stays_whose_it_is_whoever_else_comes() {
        let of = |user: &str| person("Ada".into(), Some(user.into()));
        let (ada, again, bob) =
            (of("user:default/ada"), of("user:default/ada"), of("user:default/bob"));
        assert_eq!(ada.slack_user_id, again.slack_user_id);
        assert_ne!(ada.slack_user_id, bob.slack_user_id);
        assert_ne!(ada.discord_user_id, bob.discord_user_id);
        assert!(ada.discord_user_id.len() <= 20, "{ada:?}");
    }
}
