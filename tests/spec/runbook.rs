//! The runbook and SECURITY.md: each claim is held by a test that there is, and each command is one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use idp::actions::ActionSet;
use idp::terminal::arguments::Arguments;
use regex::Regex;

use crate::asking::{Asking, acme};

const PAGES: [&str; 2] = ["SECURITY.md", "deploy/runbook.md"];

/// What stands between backticks in the last column of the tables whose last column is `test`, with its line.
fn named(page: &str) -> Vec<(usize, String)> {
    let code = Regex::new("`([^`]+)`").unwrap();
    let (mut named, mut is_of_tests) = (Vec::new(), false);
    for (number, line) in page.lines().enumerate() {
        let Some(row) = line.trim().strip_prefix('|').and_then(|it| it.strip_suffix('|')) else {
            is_of_tests = false;
            continue;
        };
        let last = row.rsplit('|').next().unwrap().trim();
        if last == "test" {
            is_of_tests = true;
        } else if is_of_tests && !last.starts_with("--") {
            let found: Vec<String> = code.captures_iter(last).map(|it| it[1].to_string()).collect();
            named.extend(match found.is_empty() {
                true => vec![(number + 1, String::new())],
                false => found.into_iter().map(|it| (number + 1, it)).collect(),
            });
        }
    }
    named
}

/// Whether `name` is a test, a file of tests, or a module of ours with tests.
fn is_there(name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    let (folder, parts) = match parts[0] {
        "faults" => ("tests/faults", &parts[1..]),
        _ => ("tests/spec", &parts[..]),
    };
    let has_tests = |text: &str| text.contains("#[test]") || text.contains("#[tokio::test");
    if let Ok(text) = fs::read_to_string(format!("{folder}/{}.rs", parts[0])) {
        let is_it = |name: &str| {
            let test =
                format!(r"#\[(tokio::)?test[^\]]*\]\s+(#\[[^\]]*\]\s+)*(async )?fn {name}\(");
            Regex::new(&test).unwrap().is_match(&text)
        };
        match parts {
            [_] if has_tests(&text) => return true,
            [_, name] if is_it(name) => return true,
            _ => {}
        }
    }
    let module = format!("src/{}", parts.join("/"));
    [format!("{module}.rs"), format!("{module}/mod.rs")]
        .iter()
        .any(|it| fs::read_to_string(it).is_ok_and(|it| has_tests(&it)))
}

#[test]
fn every_test_that_the_runbook_and_security_name_is_there() {
    for page in PAGES {
        let named = named(&fs::read_to_string(page).unwrap());
        assert!(named.len() > 20, "{page}: {named:?}");
        for (line, name) in named {
            assert!(is_there(&name), "{page}:{line}: `{name}` is no test");
        }
    }
    // The control: what is not there is found.
    for wrong in
        ["", "actions", "actions::nothing_like_it", "actions::code", "src", "faults::nothing::x"]
    {
        assert_eq!(is_there(wrong), wrong == "actions", "{wrong}");
    }
}

#[test]
fn each_page_of_the_runbook_says_what_holds_it() {
    let page = fs::read_to_string("deploy/runbook.md").unwrap();
    let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
    assert!(sections.len() >= 15, "{}", sections.len());
    for section in sections {
        let title = section.lines().next().unwrap();
        assert!(!named(section).is_empty(), "{title}");
    }
}

/// What is written as code in `page`, on one line.
fn codes(page: &str) -> BTreeSet<String> {
    let code = Regex::new("`([^`\n]+)`").unwrap();
    code.captures_iter(page).map(|it| it[1].to_string()).collect()
}

#[tokio::test]
async fn every_command_of_the_runbook_is_one() {
    let page = fs::read_to_string("deploy/runbook.md").unwrap();
    let asking = Asking::acme().await;
    let (actions, problems) = ActionSet::load(&acme().join("actions"));
    assert_eq!(problems, []);
    asking.app.actions.store(Arc::new(actions));
    let (mut calls, mut asked) = (0, 0);
    for code in codes(&page) {
        let first = code.split_whitespace().next().unwrap_or_default();
        if let Some(call) = code.strip_prefix("idp ") {
            let call = format!("idp {call}");
            if let Err(error) = Arguments::try_parse_from(call.split_whitespace()) {
                panic!("{call}: {error}");
            }
            calls += 1;
        } else if ["requests", "run", "cancel", "approve", "deny", "link"].contains(&first) {
            let reply = asking.says(&code).await;
            let refused = reply.refusal.map(|it| it.code);
            let is_none =
                ["unknown_command", "not_understood", "unexpected_argument", "unknown_entity"];
            let is_understood = refused.as_deref().is_none_or(|it| !is_none.contains(&it));
            assert!(is_understood, "{code}: {refused:?} {}", reply.markdown);
            asked += 1;
        }
    }
    assert!(calls >= 7 && asked >= 6, "{calls} {asked}");
}

#[test]
fn every_file_that_the_runbook_links_to_is_there() {
    let page = fs::read_to_string("deploy/runbook.md").unwrap();
    for link in Regex::new(r"\]\(([^)#]+)").unwrap().captures_iter(&page) {
        assert!(Path::new("deploy").join(&link[1]).exists(), "{}", &link[1]);
    }
}
