//! The documents tell the truth: what they show is what the program does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use clap::Parser;
use idp::access::{Reach, Terms};
use idp::commands::file;
use idp::facts::sources::KINDS;
use idp::integrations::Integrations;
use idp::portal::{self, Settings};
use idp::terminal::arguments::Arguments;
use regex::Regex;
use serde_json::Value;
use slack_morphism::SlackAppManifest;
use tempfile::TempDir;

use crate::database::{self, Fresh};

#[tokio::test]
async fn every_answer_that_the_readme_shows_is_the_programs() {
    let idp = Idp::over(Path::new("examples/acme")).await;
    let shown = code_blocks(&readme(), "text").remove(0);
    let conversation: Vec<&str> = shown.trim().split("> ").skip(1).collect();
    assert!(!conversation.is_empty());
    // Who is on call is another by the week.
    let on_call = Regex::new(r"On call: .+ until .+ (\(\w+/\w+\))").unwrap();
    let steady = |text: &str| on_call.replace_all(text.trim(), "On call: $1").into_owned();
    for turn in conversation {
        let (typed, answer) = turn.split_once('\n').unwrap();
        let said = String::from_utf8(idp.asks(&[typed]).stdout).unwrap();
        assert_eq!(steady(&said), steady(answer), "{typed}");
    }
}

#[tokio::test]
async fn the_command_that_the_readme_adds_does_what_it_says() {
    let blocks = code_blocks(&readme(), "yaml");
    let text = blocks.iter().find(|it| it.starts_with("# commands/")).unwrap();
    let name = text.lines().next().unwrap().trim_start_matches("# ");
    let portal = tempfile::tempdir().unwrap();
    copy(Path::new("examples/acme"), portal.path());
    fs::create_dir_all(portal.path().join("commands")).unwrap();
    fs::write(portal.path().join(name), text).unwrap();
    let problems = portal::check(portal.path());
    assert!(problems.iter().all(|it| it.file != name), "{problems:?}");

    let examples = file::read(text, name).unwrap().examples;
    assert!(!examples.is_empty());
    let idp = Idp::over(portal.path()).await;
    for example in examples {
        let said = idp.asks(&["--format", "json", &example.say]).stdout;
        let said: Value = serde_json::from_slice(&said).unwrap();
        let markdown = said["markdown"].as_str().unwrap();
        assert!(example.is_met_by(markdown), "{}: {markdown}", example.say);
    }
}

#[tokio::test]
async fn the_scorecard_that_the_readme_adds_scores_a_service() {
    let blocks = code_blocks(&readme(), "yaml");
    let text = blocks.iter().find(|it| it.starts_with("# scorecards/")).unwrap();
    let name = text.lines().next().unwrap().trim_start_matches("# ");
    let portal = tempfile::tempdir().unwrap();
    copy(Path::new("examples/acme"), portal.path());
    fs::create_dir_all(portal.path().join("scorecards")).unwrap();
    fs::write(portal.path().join(name), text).unwrap();
    let problems = portal::check(portal.path());
    assert!(problems.iter().all(|it| it.file != name), "{problems:?}");

    let idp = Idp::over(portal.path()).await;
    let said = idp.asks(&["--format", "json", "score", "payment-api"]).stdout;
    let said: Value = serde_json::from_slice(&said).unwrap();
    let cards = said["answer"]["scorecards"].as_array().unwrap();
    let card = cards.iter().find(|it| it["name"] == "security").unwrap();
    let percents: Vec<&Value> =
        card["checks"].as_array().unwrap().iter().map(|it| &it["percent"]).collect();
    // Nobody reports to this database: that is no pass.
    assert_eq!(percents, [&Value::from(0), &Value::from(100)], "{card}");
}

#[tokio::test]
async fn the_digest_that_the_readme_adds_is_previewed() {
    let blocks = code_blocks(&readme(), "yaml");
    let text = blocks.iter().find(|it| it.starts_with("# digests/")).unwrap();
    let name = text.lines().next().unwrap().trim_start_matches("# ");
    let portal = tempfile::tempdir().unwrap();
    copy(Path::new("examples/acme"), portal.path());
    fs::create_dir_all(portal.path().join("digests")).unwrap();
    fs::write(portal.path().join(name), text).unwrap();
    let problems = portal::check(portal.path());
    assert!(problems.iter().all(|it| it.file != name), "{problems:?}");

    let idp = Idp::over(portal.path()).await;
    let said = idp.asks(&["--format", "json", "digest", "preview", "monday", "payments"]).stdout;
    let said: Value = serde_json::from_slice(&said).unwrap();
    let markdown = said["markdown"].as_str().unwrap();
    assert!(markdown.starts_with("## Payments: Your week"), "{markdown}");
    assert!(markdown.contains("**Production readiness**: "), "{markdown}");
    assert!(!markdown.contains("API quality"), "the file names one scorecard: {markdown}");
}

#[test]
fn the_action_that_the_readme_adds_is_good() {
    let blocks = code_blocks(&readme(), "yaml");
    let text = blocks.iter().find(|it| it.starts_with("# actions/")).unwrap();
    let name = text.lines().next().unwrap().trim_start_matches("# ");
    let portal = tempfile::tempdir().unwrap();
    copy(Path::new("examples/acme"), portal.path());
    fs::write(portal.path().join(name), text).unwrap();
    let problems = portal::check(portal.path());
    assert!(problems.iter().all(|it| it.file != name), "{problems:?}");
}

/// What the page of digests shows is read as a digest, and each word of a result is explained on it.
#[test]
fn the_page_of_digests_shows_a_good_one_and_every_result() {
    let page = fs::read_to_string("docs/digests.md").unwrap();
    let shown = code_blocks(&page, "yaml").remove(0);
    idp::digests::file::read(&shown, "weekly.yaml").unwrap();
    for outcome in idp::digests::Outcome::ALL {
        assert!(page.contains(&format!("`{}`", outcome.word())), "{outcome:?}");
    }
}

/// What the page of rotas and the README show is read as a rota.
#[test]
fn the_rotas_that_the_documents_show_are_good() {
    for page in ["docs/on-call.md", "README.md"] {
        let blocks = code_blocks(&fs::read_to_string(page).unwrap(), "yaml");
        let shown = blocks.iter().find(|it| it.starts_with("# on-call/")).unwrap();
        idp::on_call::file::read(shown, "payments.yaml").unwrap();
    }
}

#[test]
fn every_call_of_idp_that_a_document_shows_can_be_made() {
    let mut calls = 0;
    for page in [
        "README.md",
        "deploy/README.md",
        "docs/action-imports.md",
        "docs/facts.md",
        "docs/on-call.md",
        "docs/scorecard-imports.md",
        "docs/settings.md",
    ] {
        let text = fs::read_to_string(page).unwrap();
        for line in code_blocks(&text, "sh").iter().flat_map(|it| it.lines()) {
            let call = line.split('#').next().unwrap().replace("cargo run --release --", "idp");
            if !call.starts_with("idp ") {
                continue;
            }
            if let Err(error) = Arguments::try_parse_from(call.split_whitespace()) {
                panic!("{page}: {line}\n{error}");
            }
            calls += 1;
        }
    }
    assert!(calls >= 5, "{calls} calls");
}

#[test]
fn the_settings_that_the_readme_shows_are_good() {
    let blocks = code_blocks(&readme(), "yaml");
    let text = blocks.iter().find(|it| it.starts_with("organisation: ")).unwrap();
    let portal = tempfile::tempdir().unwrap();
    fs::create_dir(portal.path().join("catalog")).unwrap();
    Settings::read(text, portal.path()).unwrap();
}

#[test]
fn every_variable_is_documented_and_no_other() {
    let read = variables();
    let page = fs::read_to_string("docs/settings.md").unwrap();
    let variables = page.split("## `idp.yaml`").next().unwrap();
    let mut told = all("`([A-Z][A-Z_]+)`", variables);
    assert_eq!(&told - &read, BTreeSet::new(), "documented, and read by nothing");
    told.extend(all(r"^\| `([A-Z_]+)` \|", variables));
    assert_eq!(&read - &told, BTreeSet::new(), "read, and not documented");
}

#[test]
fn the_deployment_names_every_variable_of_the_platforms_and_no_other() {
    let read = variables();
    // Where the vendors' APIs are only tests say otherwise.
    let is_platforms = |name: &String| {
        (name.starts_with("SLACK_") || name.starts_with("DISCORD_")) && !name.ends_with("_API_URL")
    };
    let platforms: BTreeSet<String> = read.iter().filter(|it| is_platforms(it)).cloned().collect();
    assert!(platforms.len() > 5, "{platforms:?}");
    for file in ["deploy/compose.yaml", "deploy/systemd/idp.service"] {
        let text = fs::read_to_string(file).unwrap();
        let named = all("\\b((?:SLACK|DISCORD|IDP|DATABASE)_[A-Z_]+)\\b", &text);
        let named: BTreeSet<String> =
            named.iter().map(|it| it.trim_end_matches("_FILE").to_string()).collect();
        assert_eq!(&named - &read, BTreeSet::new(), "{file} names what nothing reads");
        assert_eq!(&platforms - &named, BTreeSet::new(), "{file} leaves out");
    }
}

#[test]
fn every_key_of_the_settings_file_is_documented() {
    let page = fs::read_to_string("docs/settings.md").unwrap();
    let shown = code_blocks(&page, "yaml").remove(0);
    let portal = tempfile::tempdir().unwrap();
    fs::create_dir(portal.path().join("catalog")).unwrap();
    let settings = Settings::read(&shown, portal.path()).unwrap();

    // A field that is added does not compile here before it is documented there.
    let Settings {
        organisation,
        sources,
        refresh: _,
        orphan_grace: _,
        mass_delete_percent: _,
        aliases,
        catalog_url,
        slack,
        discord,
        access,
        allowed_hosts,
        secrets,
        integrations,
        facts,
        built_in_scorecards: _,
        public_url,
        break_glass,
        audit: _,
    } = settings;
    for key in ["refresh: ", "orphan_grace: ", "mass_delete_percent: ", "built_in: "] {
        assert!(shown.contains(key), "{key}");
    }
    assert_eq!((organisation.as_str(), sources.len(), allowed_hosts.len()), ("Acme", 4, 2));
    assert!(catalog_url.is_some() && public_url.is_some() && break_glass.len() == 1);
    assert!(!aliases.is_empty() && slack.team_id.is_some() && secrets.len() == 2);
    let Integrations { github, gitlab, argocd } = integrations;
    assert!(github.is_some() && gitlab.is_some() && argocd.is_some());
    assert!(!discord.guild_ids.is_empty());
    let [source] = &facts.0[..] else { panic!("{facts:?}") };
    assert!(source.token.is_some() && source.keys.values().any(|key| key.valid_for.is_some()));
    assert!(KINDS.iter().all(|kind| shown.contains(kind)), "{KINDS:?}");
    let Terms { strangers, guests: _, admins, link_by_email: _ } = access.terms();
    assert!(shown.contains("guests: ") && shown.contains("link_by_email: "));
    assert!(*strangers == Reach::Read && !admins.is_empty());
}

#[test]
fn the_slack_app_has_the_scopes_that_the_bot_uses_and_no_other() {
    let manifest = manifest();
    let events = manifest.settings.unwrap().event_subscriptions.unwrap().bot_events.unwrap();
    let events: BTreeSet<String> = events.into_iter().map(|it| it.0).collect();

    // Source: the page of each method and event on docs.slack.dev.
    let scope_of = |used: &str| match used {
        "slash command" => Some("commands"),
        "app_mention" => Some("app_mentions:read"),
        "message.im" => Some("im:history"),
        "chat.postMessage" | "chat.postEphemeral" | "chat.update" => Some("chat:write"),
        "files.getUploadURLExternal" | "files.completeUploadExternal" => Some("files:write"),
        "auth.test" | "app_home_opened" => None,
        "link_shared" => Some("links:read"),
        "chat.unfurl" => Some("links:write"),
        "views.open" | "views.push" | "views.update" | "views.publish" => None,
        // Only with `access.link_by_email`: the manifest says which scopes to add then.
        "users.info" => None,
        other => panic!("which scope does `{other}` need? Add it here and to the manifest"),
    };
    let client = fs::read_to_string("src/chat/slack/client.rs").unwrap();
    let methods = all(r#"\.(?:call|call_in_turn|get|post)\(\s*"([a-z]+\.[a-zA-Z.]+)""#, &client);
    assert!(methods.contains("chat.postMessage"), "{methods:?}");
    let used = methods.iter().chain(&events).map(String::as_str).chain(["slash command"]);
    let needed: BTreeSet<&str> = used.filter_map(scope_of).collect();

    let scopes = manifest.oauth_config.unwrap().scopes.unwrap().bot.unwrap();
    let scopes: BTreeSet<String> = scopes.into_iter().map(|it| it.0).collect();
    assert_eq!(scopes.iter().map(String::as_str).collect::<BTreeSet<_>>(), needed);
}

#[test]
fn the_slack_app_calls_the_routes_that_there_are() {
    let text = fs::read_to_string("deploy/slack-manifest.yaml").unwrap();
    let called = all(r"https://idp\.example\.com(/\S+)", &text);
    let web: String = ["src/web/mod.rs", "src/web/slack.rs"]
        .iter()
        .map(|it| fs::read_to_string(it).unwrap())
        .collect();
    assert_eq!(called, all(r#"\.route\("(/slack/[a-z]+)""#, &web));
}

#[test]
fn every_file_that_a_document_links_to_is_there() {
    for page in [
        "README.md",
        "SECURITY.md",
        "deploy/README.md",
        "docs/action-imports.md",
        "docs/actions-invocations.md",
        "docs/actions.md",
        "docs/commands.md",
        "docs/digests.md",
        "docs/facts.md",
        "docs/scorecard-imports.md",
        "docs/settings.md",
    ] {
        let text = fs::read_to_string(page).unwrap();
        for link in all(r"\]\(([^)#]+)", &text) {
            let path = Path::new(page).parent().unwrap().join(&link);
            assert!(link.contains("://") || path.exists(), "{page}: {link}");
        }
    }
}

#[test]
fn every_file_of_the_deployment_is_in_its_table() {
    let table = fs::read_to_string("deploy/README.md").unwrap();
    for entry in walkdir::WalkDir::new("deploy").into_iter().map(Result::unwrap) {
        let name = entry.path().strip_prefix("deploy").unwrap().display().to_string();
        let is_listed = name == "README.md" || table.contains(&format!("]({name})"));
        assert!(!entry.file_type().is_file() || is_listed, "{name}");
    }
}

/// The real program over a portal, with a database of its own.
struct Idp {
    portal: String,
    database: Fresh,
    data: TempDir,
}

impl Idp {
    async fn over(portal: &Path) -> Idp {
        let portal = portal.display().to_string();
        Idp { portal, database: database::fresh().await, data: tempfile::tempdir().unwrap() }
    }

    fn asks(&self, words: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_idp"))
            .args(["ask", "--portal", &self.portal])
            .args(words)
            .env("DATABASE_URL", &self.database.url)
            .env("IDP_DATA_DIR", self.data.path())
            .output()
            .unwrap();
        assert_ne!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).into_iter().map(Result::unwrap) {
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        match entry.file_type().is_dir() {
            true => fs::create_dir_all(target).unwrap(),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// The variables that the program reads.
fn variables() -> BTreeSet<String> {
    let code = fs::read_to_string("src/config.rs").unwrap();
    let code = code.split("#[cfg(test)]").next().unwrap();
    let read = all(r#"(?:variable|secret)\("([A-Z_]+)""#, code);
    assert!(read.contains("DATABASE_URL"), "{read:?}");
    read
}

fn readme() -> String {
    fs::read_to_string("README.md").unwrap()
}

fn manifest() -> SlackAppManifest {
    let text = fs::read_to_string("deploy/slack-manifest.yaml").unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// What the first group of `pattern` matches in `text`, everywhere.
fn all(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(&format!("(?m){pattern}")).unwrap();
    pattern.captures_iter(text).map(|it| it[1].to_string()).collect()
}

/// The code blocks of `page` in `language`.
fn code_blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1);
    blocks.map(|it| it.split("```").next().unwrap_or_default().to_string()).collect()
}
