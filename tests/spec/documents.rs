//! The documents tell the truth: what they show is what the program does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use idp::portal::Settings;
use regex::Regex;
use slack_morphism::SlackAppManifest;

#[test]
fn every_variable_is_documented_and_no_other() {
    let code = fs::read_to_string("src/config.rs").unwrap();
    let code = code.split("#[cfg(test)]").next().unwrap();
    let read = all(r#"(?:variable|secret)\("([A-Z_]+)""#, code);
    assert!(read.contains("DATABASE_URL"), "{read:?}");

    let page = fs::read_to_string("docs/settings.md").unwrap();
    let variables = page.split("## `idp.yaml`").next().unwrap();
    let mut told = all("`([A-Z][A-Z_]+)`", variables);
    assert_eq!(&told - &read, BTreeSet::new(), "documented, and read by nothing");
    told.extend(all(r"^\| `([A-Z_]+)` \|", variables));
    assert_eq!(&read - &told, BTreeSet::new(), "read, and not documented");
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
        slack,
        allowed_hosts,
        secrets,
    } = settings;
    for key in ["refresh: ", "orphan_grace: ", "mass_delete_percent: "] {
        assert!(shown.contains(key), "{key}");
    }
    assert_eq!((organisation.as_str(), sources.len(), allowed_hosts.len()), ("Acme", 4, 2));
    assert!(!aliases.is_empty() && slack.team_id.is_some() && secrets.len() == 2);
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
        "chat.postMessage" => Some("chat:write"),
        "auth.test" => None,
        other => panic!("which scope does `{other}` need? Add it here and to the manifest"),
    };
    let client = fs::read_to_string("src/chat/slack/client.rs").unwrap();
    let methods = all(r#"\.call\("([a-z]+\.[a-zA-Z.]+)""#, &client);
    assert!(methods.contains("chat.postMessage"), "{methods:?}");
    let used = methods.iter().chain(&events).map(String::as_str).chain(["slash command"]);
    let needed: BTreeSet<&str> = used.filter_map(scope_of).collect();

    let scopes = manifest.oauth_config.unwrap().scopes.unwrap().bot.unwrap();
    let scopes: BTreeSet<String> = scopes.into_iter().map(|it| it.0).collect();
    assert_eq!(scopes.iter().map(String::as_str).collect::<BTreeSet<_>>(), needed);
}

#[test]
fn every_file_that_a_document_links_to_is_there() {
    for page in ["README.md", "SECURITY.md", "deploy/README.md", "docs/settings.md"] {
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
