//! The page that stands for Slack and Discord, as a newcomer uses it, in Chromium.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use crate::demo::{Home, Terminal};

/// Where the script of the browser is, and what it needs.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");

/// The pictures of the last run are kept here.
const PICTURES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/playground");

/// Said and passed over where there is no browser, but where `IDP_TEST_BROWSER` asks for it.
#[test]
fn a_newcomer_asks_clicks_and_fills_in_as_on_both_platforms() {
    let (chromium, node) = match (found("chromium"), found("node")) {
        (Some(chromium), Some(node)) if Path::new(SCRIPTS).join("node_modules").is_dir() => {
            (chromium, node)
        }
        _ => {
            let why = "no Chromium, no Node, or `npm ci --prefix tests/browser` was not run";
            assert!(env::var_os("IDP_TEST_BROWSER").is_none(), "{why}");
            println!("skipped: {why}");
            return;
        }
    };
    let home = Home::new();
    let mut terminal = Terminal::start(&home);
    let address = Regex::new(r"http://127\.0\.0\.1:\d+/playground/[0-9a-f]{32}/").unwrap();
    let url = terminal.reads(&address);
    let portal = home.0.path().join("data/demo/acme");
    let script = Command::new(node)
        .arg(Path::new(SCRIPTS).join("playground.mjs"))
        .arg(url)
        .arg(portal)
        .arg(PICTURES)
        .env("CHROMIUM", chromium)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&script.stdout);
    assert!(script.status.success(), "{said}{}", String::from_utf8_lossy(&script.stderr));
    println!("{said}pictures: {PICTURES}");
}

fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|dir| dir.join(program)).find(|it| it.is_file())
}
