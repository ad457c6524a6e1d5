//! `idp check` finds every problem of a portal directory, and says where.

use std::path::Path;

use idp::catalog::{Problem, Severity};
use idp::portal;

/// A broken portal: its files, and the one problem that `check` must tell.
struct Broken {
    files: &'static [(&'static str, &'static str)],
    file: &'static str,
    line: u32,
    rule: &'static str,
}

/// A portal whose `idp.yaml` is broken on `line`.
const fn settings(
    text: &'static [(&'static str, &'static str)],
    line: u32,
    rule: &'static str,
) -> Broken {
    Broken { files: text, file: "idp.yaml", line, rule }
}

macro_rules! idp_yaml {
    ($text:expr) => {
        &[("idp.yaml", $text)]
    };
}

const BROKEN_SETTINGS: &[Broken] = &[
    // The YAML itself.
    settings(idp_yaml!("organisation: [Acme\n"), 1, "yaml"),
    settings(idp_yaml!("organisation: Acme\n refresh: 5m\n"), 2, "yaml"),
    settings(idp_yaml!("organisation: Acme\norganisation: Acme\n"), 2, "yaml"),
    settings(idp_yaml!("slack:\n\tteam_id: T1\n"), 2, "yaml"),
    settings(idp_yaml!("organisation: 'Acme\n"), 1, "yaml"),
    settings(idp_yaml!("organisation: *acme\n"), 1, "yaml"),
    settings(idp_yaml!("organisation: Acme\n---\nrefresh: 5m\n"), 2, "yaml"),
    settings(idp_yaml!("- organisation: Acme\n"), 1, "type"),
    settings(idp_yaml!("Acme\n"), 1, "type"),
    // Keys.
    settings(idp_yaml!("organization: Acme\n"), 1, "unknown-key"),
    settings(idp_yaml!("organisation: Acme\n\nrefesh: 5m\n"), 3, "unknown-key"),
    settings(idp_yaml!("Refresh: 5m\n"), 1, "unknown-key"),
    settings(idp_yaml!("database: postgres://\n"), 1, "unknown-key"),
    settings(idp_yaml!("slack:\n  team_id: T1\n  token: x\n"), 3, "unknown-key"),
    settings(idp_yaml!("sources:\n  - path: .\n    kind: API\n"), 3, "unknown-key"),
    settings(idp_yaml!("sources:\n  - path: .\n    branch: main\n"), 3, "unknown-key"),
    settings(idp_yaml!("secrets:\n  a:\n    envv: A\n"), 3, "unknown-key"),
    // Types.
    settings(idp_yaml!("organisation: 7\n"), 1, "type"),
    settings(idp_yaml!("organisation: [Acme]\n"), 1, "type"),
    settings(idp_yaml!("organisation: ''\n"), 1, "type"),
    settings(idp_yaml!("aliases: [a, b]\n"), 1, "type"),
    settings(idp_yaml!("aliases:\n  shop: 7\n"), 2, "type"),
    settings(idp_yaml!("slack: T1\n"), 1, "type"),
    settings(idp_yaml!("sources: catalog\n"), 1, "type"),
    settings(idp_yaml!("sources:\n  - catalog\n"), 2, "type"),
    settings(idp_yaml!("allowed_hosts:\n  - a: 1\n"), 2, "type"),
    settings(idp_yaml!("secrets: x\n"), 1, "type"),
    // Values.
    settings(idp_yaml!("refresh: soon\n"), 1, "duration"),
    settings(idp_yaml!("refresh: 5\n"), 1, "duration"),
    settings(idp_yaml!("refresh: 1s\n"), 1, "duration"),
    settings(idp_yaml!("refresh: 2 years\n"), 1, "duration"),
    settings(idp_yaml!("orphan_grace: -1d\n"), 1, "duration"),
    settings(idp_yaml!("orphan_grace: 999w\n"), 1, "duration"),
    settings(idp_yaml!("mass_delete_percent: 0\n"), 1, "range"),
    settings(idp_yaml!("mass_delete_percent: 101\n"), 1, "range"),
    settings(idp_yaml!("mass_delete_percent: 10%\n"), 1, "range"),
    settings(idp_yaml!("mass_delete_percent: 2.5\n"), 1, "range"),
    settings(idp_yaml!("aliases:\n  shop: 'component:'\n"), 2, "reference"),
    settings(idp_yaml!("aliases:\n  shop: a\n  Shop: b\n"), 3, "alias"),
    settings(idp_yaml!("slack:\n  team_id: acme\n"), 2, "team-id"),
    settings(idp_yaml!("allowed_hosts:\n  - ghe.acme.internal\n"), 2, "host"),
    settings(idp_yaml!("allowed_hosts:\n  - https://ghe.acme.internal:443\n"), 2, "host"),
    settings(idp_yaml!("allowed_hosts:\n  - '*.acme.internal:443'\n"), 2, "host"),
    settings(idp_yaml!("allowed_hosts: ['ghe.acme.internal:0']\n"), 1, "host"),
    // Sources.
    settings(idp_yaml!("sources:\n  - path: nowhere\n"), 2, "source"),
    settings(idp_yaml!("sources:\n  - kinds: [API]\n"), 2, "source"),
    settings(idp_yaml!("sources:\n  - path: .\n    url: https://a.example/b.yaml\n"), 2, "source"),
    settings(idp_yaml!("sources:\n  - path: .\n  - path: .\n"), 3, "source"),
    settings(idp_yaml!("sources:\n  - path: .\n    kinds: ['A PI']\n"), 3, "source"),
    settings(idp_yaml!("sources:\n  - git: --upload-pack=touch\n"), 2, "source"),
    settings(idp_yaml!("sources:\n  - git: ext::sh -c touch\n"), 2, "source"),
    settings(idp_yaml!("sources:\n  - git: ssh://git@git.example/a.git\n"), 2, "source"),
    settings(
        idp_yaml!("sources:\n  - git: https://a.example/b.git\n    branch: -x\n"),
        3,
        "source",
    ),
    settings(
        idp_yaml!("sources:\n  - git: https://a.example/b.git\n    files: ['[']\n"),
        3,
        "source",
    ),
    settings(idp_yaml!("sources:\n  - url: ftp://a.example/b.yaml\n"), 2, "source"),
    settings(idp_yaml!("sources:\n  - url: catalog-info.yaml\n"), 2, "source"),
    // Secrets.
    settings(idp_yaml!("sources:\n  - git: https://ada:hunter2@a.example/b.git\n"), 2, "secret"),
    settings(idp_yaml!("sources:\n  - url: https://ada:hunter2@a.example/b.yaml\n"), 2, "secret"),
    settings(idp_yaml!("secrets:\n  deploys: hunter2\n"), 2, "secret"),
    settings(idp_yaml!("secrets:\n  deploys: {env: A, file: /b}\n"), 2, "secret"),
    settings(idp_yaml!("secrets:\n  deploys: {}\n"), 2, "secret"),
];

#[test]
fn every_broken_setting_is_told_with_its_line() {
    for broken in BROKEN_SETTINGS {
        tells(broken);
    }
    println!("{} broken settings told", BROKEN_SETTINGS.len());
}

/// `check` tells of `broken` exactly one error, at its place, with a next step and without the secret.
fn tells(broken: &Broken) {
    let dir = portal_of(broken.files);
    let errors = errors(dir.path());
    let shown = format!("{:?}: {errors:#?}", broken.files);
    assert_eq!(errors.len(), 1, "{shown}");
    assert_eq!((errors[0].file.as_str(), errors[0].line), (broken.file, broken.line), "{shown}");
    assert_eq!(errors[0].rule, broken.rule, "{shown}");
    assert!(errors[0].column >= 1 && !errors[0].hint.is_empty(), "{shown}");
    assert!(!format!("{:?}", errors).contains("hunter2"), "{shown}");
}

fn portal_of(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn errors(dir: &Path) -> Vec<Problem> {
    let mut problems = portal::check(dir);
    problems.retain(|problem| problem.severity == Severity::Error);
    problems
}
