//! `idp doctor`: each problem is found, alone, with its mend.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::discord_world::{APPLICATION, BOT_TOKEN, GUILD, public_key};
use crate::slack_socket::Sockets;
use crate::world::{SECRET, TEAM, World};

const SCOPES: &str = "commands,app_mentions:read,im:history,chat:write,files:write";

/// Both platforms on this machine, a database, a portal: all is well until a test breaks something.
struct Patient {
    world: World,
    portal: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Patient {
    async fn new() -> Patient {
        let world = World::new().await;
        *world.fake.moods.scopes.lock().unwrap() = SCOPES.into();
        Sockets::of(&world).await;
        let variables = vec![
            ("DATABASE_URL", world.fresh.url.clone()),
            ("SLACK_SIGNING_SECRET", SECRET.into()),
            ("SLACK_BOT_TOKEN", "xoxb-of-the-world".into()),
            ("SLACK_APP_TOKEN", "xapp-of-the-world".into()),
            ("SLACK_API_URL", format!("http://{}/api/", world.fake.address)),
            ("DISCORD_APPLICATION_ID", APPLICATION.into()),
            ("DISCORD_PUBLIC_KEY", public_key()),
            ("DISCORD_BOT_TOKEN", BOT_TOKEN.into()),
            ("DISCORD_API_URL", world.fake_discord.url()),
        ];
        let patient = Patient { world, portal: tempfile::tempdir().unwrap(), variables };
        patient.settings(TEAM, &format!("[\"{GUILD}\"]"));
        let (code, _) = patient.runs(&["discord", "register"]).await;
        assert_eq!(code, Some(0));
        patient
    }

    fn settings(&self, team_id: &str, guild_ids: &str) {
        let settings =
            format!("slack: {{team_id: {team_id}}}\ndiscord: {{guild_ids: {guild_ids}}}\n");
        std::fs::write(self.portal.path().join("idp.yaml"), settings).unwrap();
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.iter_mut().find(|(it, _)| *it == name).unwrap().1 = value.into();
    }

    fn unset(&mut self, name: &str) {
        self.variables.retain(|(it, _)| *it != name);
    }

    async fn runs(&self, words: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_idp"));
        command
            .env_clear()
            .env("HOME", self.portal.path())
            .env("IDP_DATA_DIR", self.portal.path().join("data"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .args(words)
            .arg("--portal")
            .arg(self.portal.path())
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// What the doctor finds wrong: what is said, and its mend.
    async fn problems(&self) -> Vec<(String, String)> {
        let (code, out) = self.runs(&["doctor", "--format", "json"]).await;
        let findings: Vec<Value> = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}"));
        assert!(!findings.is_empty());
        let problems = findings.iter().filter(|it| it["state"] == "problem");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let problems: Vec<_> = problems.map(|it| (text(&it["said"]), text(&it["mend"]))).collect();
        assert_eq!(code, Some(i32::from(!problems.is_empty())), "{out}");
        problems
    }

    /// There is one problem: `said` stands in what is said of it, `mend` in its mend.
    async fn suffers(&self, said: &str, mend: &str) {
        let problems = self.problems().await;
        let [problem] = &problems[..] else { panic!("{said}: {problems:?}") };
        assert!(problem.0.contains(said) && problem.1.contains(mend), "{problem:?}");
    }
}

#[tokio::test]
async fn where_all_is_well_nothing_is_found() {
    let patient = Patient::new().await;
    assert_eq!(patient.problems().await, []);
    let (code, text) = patient.runs(&["doctor"]).await;
    assert_eq!(code, Some(0));
    assert!(text.contains("✅ database: it answers"), "{text}");
    assert!(text.contains("✅ slack: the token has every scope"), "{text}");
    assert!(text.contains("➖ slack: links have no cards"), "{text}");
    assert!(!text.contains(SECRET) && !text.contains(BOT_TOKEN), "{text}");
}

#[tokio::test]
async fn where_a_platform_is_off_that_is_no_problem() {
    let mut patient = Patient::new().await;
    for name in ["SLACK_SIGNING_SECRET", "SLACK_APP_TOKEN", "DISCORD_APPLICATION_ID"] {
        patient.unset(name);
    }
    patient.unset("DISCORD_PUBLIC_KEY");
    patient.unset("DISCORD_BOT_TOKEN");
    assert_eq!(patient.problems().await, []);
}

#[tokio::test]
async fn each_problem_of_slack_has_its_mend() {
    let mut patient = Patient::new().await;
    let moods = patient.world.fake.moods.clone();
    *moods.scopes.lock().unwrap() = "commands,chat:write".into();
    patient.suffers("lacks app_mentions:read, im:history", "OAuth & Permissions").await;
    // One of the two scopes for cards does nothing.
    *moods.scopes.lock().unwrap() = format!("{SCOPES},links:read");
    patient.suffers("lacks links:write", "OAuth & Permissions").await;
    *moods.scopes.lock().unwrap() = SCOPES.into();

    *moods.date.lock().unwrap() = Some("Wed, 01 Jan 2025 00:00:00 GMT".into());
    patient.suffers("from Slack's", "NTP").await;
    *moods.date.lock().unwrap() = None;

    patient.settings("T0OTHER", &format!("[\"{GUILD}\"]"));
    patient.suffers("of the workspace T0ACME", "slack.team_id").await;
    patient.settings(TEAM, &format!("[\"{GUILD}\"]"));

    patient.set("SLACK_SIGNING_SECRET", "short");
    patient.suffers("SLACK_SIGNING_SECRET", "api.slack.com").await;
    patient.set("SLACK_SIGNING_SECRET", SECRET);

    patient.unset("SLACK_BOT_TOKEN");
    patient.suffers("SLACK_BOT_TOKEN is not set", "api.slack.com").await;

    patient.unset("SLACK_APP_TOKEN");
    patient.variables.push(("SLACK_BOT_TOKEN", "xoxb-of-the-world".into()));
    patient.set("SLACK_API_URL", "http://127.0.0.1:1/api/");
    patient.suffers("Slack is away", "slack-status.com").await;
}

#[tokio::test]
async fn each_problem_of_a_channel_has_its_mend() {
    let patient = Patient::new().await;
    let moods = patient.world.fake.moods.clone();
    let says = async |said: &str| {
        let (_, text) = patient.runs(&["doctor"]).await;
        assert!(text.contains(said), "{text}");
    };
    says("is not seen without the scope channels:read").await;
    *moods.scopes.lock().unwrap() = format!("{SCOPES},channels:read");
    says("once it is imported").await;

    let group = "apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata:\n  name: pay\n  annotations: \
                 {slack.com/channel-id: C0PAY, slack.com/channel-name: ops}\nspec: {type: team, children: []}\n";
    std::fs::create_dir(patient.portal.path().join("catalog")).unwrap();
    std::fs::write(patient.portal.path().join("catalog/pay.yaml"), group).unwrap();
    assert_eq!(patient.runs(&["ask", "owner pay"]).await.0, Some(0));
    let channel = |id: &str, name: &str, is_archived: bool, is_member: bool| json!({ "id": id, "name": name, "is_archived": is_archived, "is_member": is_member });
    // The database knows Acme's, too: the bot is in each of them.
    let acme = patient.world.app.catalog.snapshot();
    let has = |channels: [Value; 2]| {
        let others = acme.channels().map(|it| channel(it, it, false, true));
        *moods.channels.lock().unwrap() = others.chain(channels).collect();
    };
    has([channel("C0PAY", "pay", false, true), channel("C0OPS", "ops", false, true)]);
    assert_eq!(patient.problems().await, []);
    says("✅ slack: the bot is in the ").await;

    has([channel("C0PAY", "pay", false, true), channel("C0OPS", "ops", false, false)]);
    patient.suffers("without the bot: ops", "/invite @idp").await;
    has([channel("C0PAY", "pay", true, true), channel("C0OPS", "ops", false, true)]);
    patient.suffers("archived: C0PAY", "descriptors").await;
    has([channel("C0OTHER", "pay", false, true), channel("C0OPS", "ops", false, true)]);
    patient.suffers("no public channels: C0PAY", "private").await;
}

#[tokio::test]
async fn each_problem_of_discord_has_its_mend() {
    let mut patient = Patient::new().await;
    patient.world.fake_discord.change_commands(|commands| commands[0]["options"] = Value::Null);
    patient.suffers("is missing", "idp discord register").await;

    patient.settings(TEAM, "[\"700000000000000009\"]");
    patient.suffers("700000000000000009", "invite the app").await;
    patient.settings(TEAM, "[]");
    patient.suffers("no server is answered", "discord.guild_ids").await;
    patient.settings(TEAM, &format!("[\"{GUILD}\"]"));

    patient.set("DISCORD_BOT_TOKEN", "of-nobody");
    patient.suffers("does not take the bot's token", "under “Bot”").await;
    patient.unset("DISCORD_BOT_TOKEN");
    patient.suffers("DISCORD_BOT_TOKEN is not set", "“Bot” of the app").await;
}

#[tokio::test]
async fn a_database_that_is_away_and_a_broken_portal_have_their_mends() {
    let mut patient = Patient::new().await;
    patient.set("DATABASE_URL", "postgres://idp@127.0.0.1:1/idp");
    patient.suffers("", "correct DATABASE_URL").await;
    std::fs::write(patient.portal.path().join("idp.yaml"), "slakc: {}\n").unwrap();
    patient.suffers("slakc", "idp check").await;
}
