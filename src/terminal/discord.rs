//! `idp discord`: which commands Discord offers.

use std::process::ExitCode;

use anyhow::{Context, bail};

use super::arguments::Discord;
use super::check::counted;
use super::setup;
use crate::chat::discord::client::DiscordApi;
use crate::chat::discord::registration::{Registration, differences, registration};
use crate::config::Config;

/// Registers the portal's commands in its servers, or tells how those of Discord differ.
pub async fn run(config: &Config, command: Discord) -> anyhow::Result<ExitCode> {
    let (Discord::Register { portal } | Discord::Check { portal }) = &command;
    let portal = setup::portal(&setup::portal_dir(config, portal.as_deref())?)?;
    let guild_ids = &portal.settings.discord.guild_ids;
    if guild_ids.is_empty() {
        bail!("no server is listed under `discord.guild_ids` in idp.yaml; list yours");
    }
    let api = api(config, &portal.settings.allowed_hosts)?;
    let Registration { commands, left_out } = registration(&portal.commands)?;
    for name in left_out {
        super::print(&format!("`{name}` finds no place in Discord; `/idp ask` reaches it.\n"))?;
    }
    let mut code = ExitCode::SUCCESS;
    for guild_id in guild_ids {
        let found = api.commands(guild_id).await;
        let found = found
            .with_context(|| format!("could not read which commands the server {guild_id} has"))?;
        let differences = differences(&commands, &found);
        let told = match (&command, differences.is_empty()) {
            (_, true) => "the commands are as the portal has them".to_string(),
            (Discord::Register { .. }, false) => {
                let set = api.set_commands(guild_id, &commands).await;
                set.with_context(|| format!("could not register in the server {guild_id}"))?;
                format!("registered; {} mended", counted(differences.len(), "difference"))
            }
            (Discord::Check { .. }, false) => {
                code = ExitCode::FAILURE;
                let next = "`idp discord register` mends it";
                format!("{}; {next}", counted(differences.len(), "difference"))
            }
        };
        let listed: String = differences.iter().map(|it| format!("    {it}\n")).collect();
        super::print(&super::visible(&format!("{guild_id}: {told}\n{listed}")))?;
    }
    Ok(code)
}

fn api(config: &Config, allowed_hosts: &[String]) -> anyhow::Result<DiscordApi> {
    let config = &config.discord;
    let place = "it stands in the Discord app's settings";
    let id = config.application_id.as_ref();
    let id = id.with_context(|| format!("`DISCORD_APPLICATION_ID` is not set; {place}"))?;
    let token = config.bot_token.clone();
    let token = token.with_context(|| format!("`DISCORD_BOT_TOKEN` is not set; {place}"))?;
    DiscordApi::new(&config.api_url, id, Some(token), allowed_hosts)
}
