//! `idp doctor`: what keeps a portal from answering, and how to mend each.
//!
//! It asks the database and both platforms, and changes nothing there.

mod channels;

use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::arguments::{Doctor, ReportFormat};
use super::{print, print_json, setup, visible};
use crate::catalog::snapshot::disk;
use crate::chat::discord::client::{DiscordApi, DiscordError};
use crate::chat::discord::registration::{differences, registration};
use crate::chat::discord::signature::PublicKey;
use crate::chat::slack::client::{SlackApi, SlackError};
use crate::chat::slack::signature::SigningSecret;
use crate::config::Config;
use crate::portal::{Portal, Settings};
use crate::postgres::{self, Database};

/// What the bot does with Slack needs these; `deploy/slack-manifest.yaml` asks for them.
const SCOPES: [&str; 5] =
    ["commands", "app_mentions:read", "im:history", "chat:write", "files:write"];
/// And these where links are shown as cards. Nothing but the scopes says whether they are: one alone does nothing.
const LINK_SCOPES: [&str; 2] = ["links:read", "links:write"];
/// With it the channels that the catalog names can be looked at.
const CHANNELS_SCOPE: &str = "channels:read";
/// And these where accounts are linked by their e-mail addresses.
const EMAIL_SCOPES: [&str; 2] = ["users:read", "users:read.email"];

/// Signatures are believed for five minutes; a clock that is off by half a minute drifts there soon.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(30);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// `portal`, `database`, `clock`, `slack`, `discord`
    about: &'static str,
    state: State,
    said: String,
    /// What to do about a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Problem,
    /// Not in use.
    Off,
}

impl Finding {
    fn ok(about: &'static str, said: impl Into<String>) -> Finding {
        Finding { about, state: State::Ok, said: said.into(), mend: None }
    }

    fn off(about: &'static str, said: impl Into<String>) -> Finding {
        Finding { about, state: State::Off, said: said.into(), mend: None }
    }

    fn problem(about: &'static str, said: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { about, state: State::Problem, said: said.into(), mend: Some(mend.into()) }
    }

    fn line(&self) -> String {
        let sign = match self.state {
            State::Ok => "✅",
            State::Problem => "❌",
            State::Off => "➖",
        };
        let mend = self.mend.iter().map(|mend| format!("\n   {mend}"));
        visible(&format!("{sign} {}: {}{}\n", self.about, self.said, mend.collect::<String>()))
    }
}

/// Looks at everything; the exit code is 1 where there is a problem.
pub async fn run(config: &Config, install: bool, doctor: Doctor) -> anyhow::Result<ExitCode> {
    let dir = setup::portal_dir(config, doctor.portal.as_deref())?;
    let portal = match setup::portal(&dir) {
        Ok(portal) => portal,
        Err(error) => {
            let mend = format!("`idp check {}` says more", dir.display());
            return tell(&[Finding::problem("portal", format!("{error:#}"), mend)], doctor.format);
        }
    };
    let said = format!("{} is good", dir.display());
    let mut findings = vec![Finding::ok("portal", said)];
    findings.extend(database(config, install).await);
    findings.extend(slack(config, &portal.settings).await);
    findings.extend(discord(config, &portal).await);
    tell(&findings, doctor.format)
}

fn tell(findings: &[Finding], format: ReportFormat) -> anyhow::Result<ExitCode> {
    match format {
        ReportFormat::Json => print_json(&findings)?,
        ReportFormat::Text => print(&findings.iter().map(Finding::line).collect::<String>())?,
    }
    let is_well = findings.iter().all(|finding| finding.state != State::Problem);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn database(config: &Config, install: bool) -> Vec<Finding> {
    let database = setup::database(config, install);
    let (asked, mend) = match &database {
        Database::Url(_) => (
            clock_of_url(config).await,
            "start the server that DATABASE_URL names, or correct DATABASE_URL",
        ),
        Database::Private(_) => (
            clock_of_private(&database).await,
            "mend what the end of its log says; `idp db stop` ends a private server that hangs",
        ),
    };
    match asked {
        Ok(at) => {
            let answers = Finding::ok("database", "it answers");
            vec![answers, clock("the database's", at, "set the clocks of both by NTP")]
        }
        Err(error) => vec![Finding::problem("database", format!("{error:#}"), mend)],
    }
}

async fn clock_of_url(config: &Config) -> anyhow::Result<DateTime<Utc>> {
    let url = config.database_url.as_ref().map_or("", |url| url.expose_secret());
    let db = postgres::connect(url)?;
    postgres::store::clock(&db.pool.connect_options()).await
}

async fn clock_of_private(database: &Database) -> anyhow::Result<DateTime<Utc>> {
    let db = postgres::open(database).await?;
    let at = postgres::store::clock(&db.pool.connect_options()).await;
    db.close().await?;
    at
}

fn clock(whose: &str, at: DateTime<Utc>, mend: &str) -> Finding {
    let skew = now() - at;
    let said = format!("{} s from {whose}", skew.num_seconds().abs());
    match skew.abs() <= SKEW_MAX {
        true => Finding::ok("clock", said),
        false => Finding::problem("clock", said, mend),
    }
}

async fn slack(config: &Config, settings: &Settings) -> Vec<Finding> {
    let own = &config.slack;
    if own.signing_secret.is_none() && own.app_token.is_none() {
        let said = "off: neither SLACK_SIGNING_SECRET nor SLACK_APP_TOKEN is set";
        return vec![Finding::off("slack", said)];
    }
    let mut findings = Vec::new();
    match own.signing_secret.as_ref().map(SigningSecret::new) {
        Some(Ok(_)) => findings.push(Finding::ok("slack", "the signing secret has its form")),
        Some(Err(unfit)) => findings.push(Finding::problem("slack", unfit.to_string(), PASTE)),
        None => findings.push(Finding::off("slack", "over HTTP: SLACK_SIGNING_SECRET is not set")),
    }
    let api = match SlackApi::new(&own.api_url, own.bot_token.clone(), &settings.allowed_hosts) {
        Ok(api) => api,
        Err(error) => {
            let mend = "unset SLACK_API_URL, or list its host under `allowed_hosts` in idp.yaml";
            findings.push(Finding::problem("slack", format!("{error:#}"), mend));
            return findings;
        }
    };
    match &own.app_token {
        None => findings.push(Finding::off("slack", "Socket Mode: SLACK_APP_TOKEN is not set")),
        Some(token) => findings.push(match api.open_socket(token).await {
            Ok(_) => Finding::ok("slack", "Socket Mode opens a connection"),
            Err(error) => slack_problem("SLACK_APP_TOKEN", &error),
        }),
    }
    if own.bot_token.is_none() {
        let said = "SLACK_BOT_TOKEN is not set: mentions and direct messages get no answer";
        findings.push(Finding::problem("slack", said, PASTE));
        return findings;
    }
    let inspection = match api.inspect().await {
        Ok(inspection) => inspection,
        Err(error) => {
            findings.push(slack_problem("SLACK_BOT_TOKEN", &error));
            return findings;
        }
    };
    let team_id = &inspection.identity.team_id;
    findings.push(match &settings.slack.team_id {
        Some(wanted) if wanted != team_id => Finding::problem(
            "slack",
            format!("SLACK_BOT_TOKEN is of the workspace {team_id}, `slack.team_id` is {wanted}"),
            "set the token of that workspace, or correct `slack.team_id` in idp.yaml",
        ),
        _ => Finding::ok("slack", format!("SLACK_BOT_TOKEN is of the workspace {team_id}")),
    });
    let by_email = settings.access.terms().link_by_email;
    let has = |scope: &&str| inspection.scopes.iter().flatten().any(|it| it == scope);
    let shows_links = LINK_SCOPES.iter().any(has);
    let wanted = SCOPES
        .into_iter()
        .chain(EMAIL_SCOPES.into_iter().filter(|_| by_email))
        .chain(LINK_SCOPES.into_iter().filter(|_| shows_links));
    let lacks = |scopes: &Vec<String>| {
        wanted.filter(|scope| !scopes.iter().any(|it| it == scope)).collect::<Vec<_>>()
    };
    findings.push(match inspection.scopes.as_ref().map(lacks) {
        None => Finding::off("slack", "it does not tell which scopes the token has"),
        Some(lacking) if lacking.is_empty() => Finding::ok("slack", "the token has every scope"),
        Some(lacking) => Finding::problem(
            "slack",
            format!("the token lacks {}", lacking.join(", ")),
            "add them under “OAuth & Permissions” of the app and install it anew",
        ),
    });
    if inspection.scopes.is_some() && !shows_links {
        let said = "links have no cards: the token has neither links:read nor links:write";
        findings.push(Finding::off("slack", said));
    }
    let clock = inspection.told_at.map(|at| clock("Slack's", at, "set this machine's by NTP"));
    findings.extend(clock);
    let scopes = inspection.scopes.unwrap_or_default();
    findings.extend(match scopes.iter().any(|scope| scope == CHANNELS_SCOPE) {
        true => slack_channels(config, &api).await,
        false => {
            let said = "whether the bot may speak in the catalog's channels is not seen without the scope channels:read";
            vec![Finding::off("slack", said)]
        }
    });
    findings
}

async fn slack_channels(config: &Config, api: &SlackApi) -> Vec<Finding> {
    let path = setup::disk_copy(config);
    let copy = match disk::read(&path) {
        Ok(Some(copy)) => copy,
        Ok(None) => {
            let said = "the catalog's channels are looked at once it is imported";
            return vec![Finding::off("slack", said)];
        }
        Err(error) => {
            let mend = format!("delete {}; it is written anew", path.display());
            return vec![Finding::problem("slack", format!("{error:#}"), mend)];
        }
    };
    match api.channels().await {
        Ok(has) => channels::findings(copy.snapshot.channels(), &has),
        Err(error) => vec![slack_problem("conversations.list", &error)],
    }
}

/// Where Slack shows what goes into a variable.
const PASTE: &str = "copy it from the app's pages at https://api.slack.com/apps";

fn slack_problem(variable: &str, error: &SlackError) -> Finding {
    let mend = match error {
        SlackError::Token { .. } => format!("install the app anew and set {variable} to its token"),
        SlackError::Limited { .. } => "try again in a minute".to_string(),
        SlackError::Away { .. } | SlackError::Unavailable { .. } => {
            "see https://slack-status.com, and that this machine may connect to slack.com".into()
        }
        _ => format!("compare {variable} with the app's pages"),
    };
    Finding::problem("slack", format!("{variable}: {error}"), mend)
}

async fn discord(config: &Config, portal: &Portal) -> Vec<Finding> {
    let own = &config.discord;
    let Some(id) = &own.application_id else {
        return vec![Finding::off("discord", "off: DISCORD_APPLICATION_ID is not set")];
    };
    let mut findings = Vec::new();
    match own.public_key.as_deref().map(PublicKey::new) {
        Some(Ok(_)) => findings.push(Finding::ok("discord", "the public key is a key")),
        Some(Err(unfit)) => findings.push(Finding::problem(
            "discord",
            unfit.to_string(),
            "copy it from “General Information” of the app",
        )),
        None => findings.push(Finding::off("discord", "over HTTP: DISCORD_PUBLIC_KEY is not set")),
    }
    let Some(token) = own.bot_token.clone() else {
        let said = "DISCORD_BOT_TOKEN is not set: nothing more can be looked at";
        findings.push(Finding::problem("discord", said, "copy it from “Bot” of the app"));
        return findings;
    };
    let settings = &portal.settings;
    let api = DiscordApi::new(&own.api_url, id, Some(token), &settings.allowed_hosts);
    let wanted = registration(&portal.commands);
    let (api, wanted) = match (api, wanted) {
        (Ok(api), Ok(wanted)) => (api, wanted.commands),
        (Err(error), _) | (_, Err(error)) => {
            let mend = "correct DISCORD_API_URL, or the command that it names";
            findings.push(Finding::problem("discord", format!("{error:#}"), mend));
            return findings;
        }
    };
    if settings.discord.guild_ids.is_empty() {
        let said = "no server is answered";
        let mend = "list yours under `discord.guild_ids` in idp.yaml";
        findings.push(Finding::problem("discord", said, mend));
    }
    for guild_id in &settings.discord.guild_ids {
        findings.push(match api.commands(guild_id).await {
            Ok(found) if differences(&wanted, &found).is_empty() => {
                Finding::ok("discord", format!("{guild_id} offers the portal's commands"))
            }
            Ok(found) => Finding::problem(
                "discord",
                format!("{guild_id}: {}", differences(&wanted, &found).join(" ")),
                "`idp discord register` mends it",
            ),
            Err(error) => discord_problem(guild_id, &error),
        });
    }
    findings
}

fn discord_problem(guild_id: &str, error: &DiscordError) -> Finding {
    let mend = match error {
        DiscordError::Token => "set DISCORD_BOT_TOKEN to the token under “Bot” of the app",
        DiscordError::Access { .. } => {
            "invite the app to the server with the scope `applications.commands`, or correct `discord.guild_ids`"
        }
        DiscordError::Limited { .. } => "try again in a minute",
        DiscordError::Away { .. } | DiscordError::Unavailable { .. } => {
            "see https://discordstatus.com, and that this machine may connect to discord.com"
        }
        _ => "compare DISCORD_APPLICATION_ID and DISCORD_BOT_TOKEN with the app's pages",
    };
    Finding::problem("discord", format!("{guild_id}: {error}"), mend)
}

#[expect(clippy::disallowed_methods, reason = "the clock is what is looked at")]
fn now() -> DateTime<Utc> {
    Utc::now()
}
