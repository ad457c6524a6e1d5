//! `idp discord`: what Discord offers is what the portal has.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::discord_world::{APPLICATION, BOT_TOKEN, FakeDiscord, GUILD};

/// A portal that serves one server of Discord.
fn portal() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let settings = format!("discord:\n  guild_ids: [\"{GUILD}\"]\n");
    std::fs::write(dir.path().join("idp.yaml"), settings).unwrap();
    dir
}

/// `idp discord sub_command`, called with this token.
async fn idp(fake: &FakeDiscord, portal: &Path, sub_command: &str, token: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idp"));
    command
        .env_clear()
        .env("HOME", portal)
        .env("DISCORD_APPLICATION_ID", APPLICATION)
        .env("DISCORD_BOT_TOKEN", token)
        .env("DISCORD_API_URL", fake.url())
        .args(["discord", sub_command, "--portal"])
        .arg(portal)
        .stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

async fn calls(fake: &FakeDiscord) -> Vec<String> {
    let calls = fake.heard().await.into_iter();
    calls.map(|it| it.call.split(' ').next().unwrap_or_default().to_string()).collect()
}

#[tokio::test]
async fn commands_are_registered_once_and_again_where_they_differ() {
    let (fake, portal) = (FakeDiscord::start().await, portal());
    let run = |sub_command: &'static str| idp(&fake, portal.path(), sub_command, BOT_TOKEN);

    let checked = run("check").await;
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    assert!(said(&checked).contains("`/idp owner` is missing."), "{checked:?}");
    assert_eq!(calls(&fake).await, ["GET"], "checking changes nothing");

    let registered = run("register").await;
    assert_eq!(registered.status.code(), Some(0), "{registered:?}");
    assert_eq!(calls(&fake).await, ["GET", "PUT"]);
    let commands = fake.commands();
    let offered = commands[0]["options"].as_array().unwrap();
    let in_groups: usize = offered
        .iter()
        .filter(|it| it["type"] == 2)
        .map(|it| it["options"].as_array().unwrap().len() - 1)
        .sum();
    let all = idp::commands::CommandSet::built_in().iter().count() + 1;
    assert_eq!(offered.len() + in_groups, all);

    assert_eq!(run("register").await.status.code(), Some(0));
    assert_eq!(calls(&fake).await, ["GET"], "what is so already is not set again");
    let checked = run("check").await;
    assert_eq!((checked.status.code(), calls(&fake).await.len()), (Some(0), 1), "{checked:?}");

    fake.change_commands(|commands| commands[0]["options"][2]["description"] = json!("changed"));
    let checked = run("check").await;
    assert_eq!(checked.status.code(), Some(1));
    assert!(said(&checked).contains("is not as the portal has it."), "{checked:?}");
    let registered = run("register").await;
    assert!(said(&registered).contains("registered; 1 difference mended"), "{registered:?}");
    assert_eq!(run("check").await.status.code(), Some(0));
}

#[tokio::test]
async fn what_discord_does_not_let_us_do_is_said_with_the_next_step() {
    let (fake, portal) = (FakeDiscord::start().await, portal());
    let refused = idp(&fake, portal.path(), "register", "another-token").await;
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(
        error.contains("set `DISCORD_BOT_TOKEN`") && !error.contains("another-token"),
        "{error}"
    );

    let settings = "discord:\n  guild_ids: [\"700000000000000009\"]\n";
    std::fs::write(portal.path().join("idp.yaml"), settings).unwrap();
    let refused = idp(&fake, portal.path(), "register", BOT_TOKEN).await;
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("700000000000000009") && error.contains("invite it"), "{error}");

    std::fs::write(portal.path().join("idp.yaml"), "organisation: Acme\n").unwrap();
    let refused = idp(&fake, portal.path(), "check", BOT_TOKEN).await;
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("`discord.guild_ids`"), "{error}");
    assert_eq!(fake.commands(), json!([]));
}
