//! `idp check` finds every problem of a portal directory, and says where.

use std::path::Path;

use idp::catalog::{Problem, Severity};
use idp::portal;

/// A portal of one file, which is broken on `line`.
struct Broken {
    name: &'static str,
    text: &'static str,
    line: u32,
    rule: &'static str,
}

const fn settings(text: &'static str, line: u32, rule: &'static str) -> Broken {
    Broken { name: "idp.yaml", text, line, rule }
}

const BROKEN_SETTINGS: &[Broken] = &[
    // The YAML itself.
    settings("organisation: [Acme\n", 1, "yaml"),
    settings("organisation: Acme\n refresh: 5m\n", 2, "yaml"),
    settings("organisation: Acme\norganisation: Acme\n", 2, "yaml"),
    settings("slack:\n\tteam_id: T1\n", 2, "yaml"),
    settings("organisation: 'Acme\n", 1, "yaml"),
    settings("organisation: *acme\n", 1, "yaml"),
    settings("organisation: Acme\n---\nrefresh: 5m\n", 2, "yaml"),
    settings("- organisation: Acme\n", 1, "type"),
    settings("Acme\n", 1, "type"),
    // Keys.
    settings("organization: Acme\n", 1, "unknown-key"),
    settings("organisation: Acme\n\nrefesh: 5m\n", 3, "unknown-key"),
    settings("Refresh: 5m\n", 1, "unknown-key"),
    settings("database: postgres://\n", 1, "unknown-key"),
    settings("slack:\n  team_id: T1\n  token: x\n", 3, "unknown-key"),
    settings("sources:\n  - path: .\n    kind: API\n", 3, "unknown-key"),
    settings("sources:\n  - path: .\n    branch: main\n", 3, "unknown-key"),
    settings("secrets:\n  a:\n    envv: A\n", 3, "unknown-key"),
    // Types.
    settings("organisation: 7\n", 1, "type"),
    settings("organisation: [Acme]\n", 1, "type"),
    settings("organisation: ''\n", 1, "type"),
    settings("aliases: [a, b]\n", 1, "type"),
    settings("aliases:\n  shop: 7\n", 2, "type"),
    settings("slack: T1\n", 1, "type"),
    settings("sources: catalog\n", 1, "type"),
    settings("sources:\n  - catalog\n", 2, "type"),
    settings("allowed_hosts:\n  - a: 1\n", 2, "type"),
    settings("secrets: x\n", 1, "type"),
    // Values.
    settings("refresh: soon\n", 1, "duration"),
    settings("refresh: 5\n", 1, "duration"),
    settings("refresh: 1s\n", 1, "duration"),
    settings("refresh: 2 years\n", 1, "duration"),
    settings("orphan_grace: -1d\n", 1, "duration"),
    settings("orphan_grace: 999w\n", 1, "duration"),
    settings("mass_delete_percent: 0\n", 1, "range"),
    settings("mass_delete_percent: 101\n", 1, "range"),
    settings("mass_delete_percent: 10%\n", 1, "range"),
    settings("mass_delete_percent: 2.5\n", 1, "range"),
    settings("aliases:\n  shop: 'component:'\n", 2, "reference"),
    settings("aliases:\n  shop: a\n  Shop: b\n", 3, "alias"),
    settings("slack:\n  team_id: acme\n", 2, "team-id"),
    settings("allowed_hosts:\n  - ghe.acme.internal\n", 2, "host"),
    settings("allowed_hosts:\n  - https://ghe.acme.internal:443\n", 2, "host"),
    settings("allowed_hosts:\n  - '*.acme.internal:443'\n", 2, "host"),
    settings("allowed_hosts: ['ghe.acme.internal:0']\n", 1, "host"),
    // Sources.
    settings("sources:\n  - path: nowhere\n", 2, "source"),
    settings("sources:\n  - kinds: [API]\n", 2, "source"),
    settings("sources:\n  - path: .\n    url: https://a.example/b.yaml\n", 2, "source"),
    settings("sources:\n  - path: .\n  - path: .\n", 3, "source"),
    settings("sources:\n  - path: .\n    kinds: ['A PI']\n", 3, "source"),
    settings("sources:\n  - git: --upload-pack=touch\n", 2, "source"),
    settings("sources:\n  - git: ext::sh -c touch\n", 2, "source"),
    settings("sources:\n  - git: ssh://git@git.example/a.git\n", 2, "source"),
    settings("sources:\n  - git: https://a.example/b.git\n    branch: -x\n", 3, "source"),
    settings("sources:\n  - git: https://a.example/b.git\n    files: ['[']\n", 3, "source"),
    settings("sources:\n  - url: ftp://a.example/b.yaml\n", 2, "source"),
    settings("sources:\n  - url: catalog-info.yaml\n", 2, "source"),
    // Secrets.
    settings("sources:\n  - git: https://ada:hunter2@a.example/b.git\n", 2, "secret"),
    settings("sources:\n  - url: https://ada:hunter2@a.example/b.yaml\n", 2, "secret"),
    settings("secrets:\n  deploys: hunter2\n", 2, "secret"),
    settings("secrets:\n  deploys: {env: A, file: /b}\n", 2, "secret"),
    settings("secrets:\n  deploys: {}\n", 2, "secret"),
];

/// Descriptors and commands, each broken on one line.
const BROKEN_FILES: &[Broken] = &[
    catalog(
        "apiVersion: backstage.io/v1alpha1\nmetadata: {name: a}\nspec: {}\n",
        1,
        "required-field",
    ),
    catalog("apiVersion: v\nkind: API\nmetadata:\n  name: 'a b'\nspec: {}\n", 1, "api-version"),
    catalog(
        "apiVersion: backstage.io/v1alpha1\nkind: API\nmetadata:\n  name: 'a b'\nspec: {type: x, lifecycle: x, owner: x, definition: x}\n",
        4,
        "name",
    ),
    catalog("apiVersion: backstage.io/v1alpha1\nkind: [\n", 2, "yaml"),
    catalog(
        "apiVersion: backstage.io/v1alpha1\nkind: Location\nmetadata: {name: a}\nspec:\n  target: ./nowhere.yaml\n",
        5,
        "location-target",
    ),
    catalog(
        "apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: a}\nspec: {type: team, children: []}\n---\n\
         apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: A}\nspec: {type: team, children: []}\n",
        6,
        "conflict",
    ),
    command("name: [\n", 1, "yaml"),
    command("name: a\nsummary: A\nlookup: owner\ntemplate: a\nnme: a\n", 5, "unknown-key"),
    command("name: a\nsummary: A\nlookup: owner\n", 1, "required-field"),
    command("name: a\nsummary: A\nlookup: ownr\ntemplate: a\n", 3, "choice"),
    command("name: a\nsummary: A\nlookup: owner\ntemplate: '{{#if'\n", 4, "template"),
    command("name: a\nsummary: A\nlookup: owner\nsay: ['(']\ntemplate: a\n", 4, "phrase"),
];

const fn catalog(text: &'static str, line: u32, rule: &'static str) -> Broken {
    Broken { name: "catalog/all.yaml", text, line, rule }
}

const fn command(text: &'static str, line: u32, rule: &'static str) -> Broken {
    Broken { name: "commands/a.yaml", text, line, rule }
}

#[test]
fn every_broken_setting_is_told_with_its_line() {
    for broken in BROKEN_SETTINGS {
        let errors = errors_of(broken);
        assert_eq!(errors.len(), 1, "{:?}: {errors:#?}", broken.text);
    }
    println!("{} broken settings told", BROKEN_SETTINGS.len());
}

#[test]
fn every_broken_descriptor_and_command_is_told_with_its_line() {
    for broken in BROKEN_FILES {
        errors_of(broken);
    }
    println!("{} broken descriptors and commands told", BROKEN_FILES.len());
}

#[test]
fn the_sample_company_has_no_errors() {
    assert_eq!(errors(Path::new("examples/acme")), []);
}

const TEAM: &str = "\
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: payments}
spec: {type: team, children: []}
";

#[test]
fn an_owner_that_nobody_describes_is_told_where_it_is_named() {
    let component = "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: a}\n\
                     spec:\n  type: x\n  lifecycle: x\n  owner: paymnts\n";
    let dir = portal_of(&[("catalog/team.yaml", TEAM), ("catalog/a.yaml", component)]);
    let problems = portal::check(dir.path());
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let told = &problems[0];
    assert_eq!((told.severity, told.rule.as_str()), (Severity::Warning, "owner"));
    assert_eq!((told.file.as_str(), told.line, told.column), ("catalog/a.yaml", 7, 3));
    assert_eq!(told.hint, "Did you mean `group:default/payments`?");

    // It may be described in a repository, which is not read here.
    let elsewhere = "sources:\n  - path: catalog\n  - git: https://a.example/b.git\n";
    std::fs::write(dir.path().join("idp.yaml"), elsewhere).unwrap();
    assert_eq!(portal::check(dir.path()), []);
}

#[test]
fn names_that_look_alike_are_told() {
    let other = TEAM.replace("payments", "payrnents");
    let dir = portal_of(&[("catalog/a.yaml", TEAM), ("catalog/b.yaml", &other)]);
    let problems = portal::check(dir.path());
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(
        (problems[0].rule.as_str(), problems[0].file.as_str()),
        ("confusable", "catalog/b.yaml")
    );
}

#[test]
fn an_alias_of_nothing_is_told_at_its_line() {
    let settings = "organisation: Acme\naliases:\n  money: group:paymnts\n  cash: group:payments\n";
    let dir = portal_of(&[("idp.yaml", settings), ("catalog/a.yaml", TEAM)]);
    let problems = portal::check(dir.path());
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!((problems[0].rule.as_str(), problems[0].line), ("alias", 3));
}

#[test]
fn an_admin_whom_nobody_describes_is_told_at_its_place() {
    let settings = "organisation: Acme\naccess:\n  admins: [group:payments, group:paymnts]\n";
    let dir = portal_of(&[("idp.yaml", settings), ("catalog/a.yaml", TEAM)]);
    let problems = portal::check(dir.path());
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let told = (problems[0].rule.as_str(), problems[0].line, problems[0].column);
    assert_eq!(told, ("admin", 3, 28));
    assert_eq!(problems[0].hint, "Did you mean `group:default/payments`?");
}

#[test]
fn a_scorecard_that_a_digest_names_and_nobody_hears_of_is_told() {
    let digest = "name: weekly\nschedule: 0 9 * * mon\nzone: UTC\nscorecards: [production-readyness, mine]\n";
    let draft =
        "name: mine\ndraft: true\nchecks: [{name: a, rules: [{name: b, pass: entity.docs}]}]\n";
    let dir = portal_of(&[
        ("idp.yaml", "organisation: A\n"),
        ("catalog/a.yaml", TEAM),
        ("digests/weekly.yaml", digest),
        ("scorecards/mine.yaml", draft),
    ]);
    let told = portal::check(dir.path()).into_iter().filter(|it| it.rule == "digest-scorecard");
    let told: Vec<String> =
        told.map(|it| format!("{} {} {}", it.file, it.message, it.hint)).collect();
    let expected = [
        "digests/weekly.yaml The digest `weekly` tells of the scorecard `mine`, which is a draft. Publish it, or leave it out.",
        "digests/weekly.yaml The digest `weekly` tells of the scorecard `production-readyness`, which is not there. \
         Did you mean `production-readiness`?",
    ];
    assert_eq!(told, expected);
}

#[test]
fn whom_a_rota_names_and_nobody_describes_is_told_at_their_place() {
    let rota = "name: a\nfor: [payments]\nzone: UTC\nlevels:\n- schedules:\n  - people: [group:paymnts, ada]\n    every: 1d\n    from: 2026-01-05\n";
    let dir = portal_of(&[
        ("idp.yaml", "organisation: A\n"),
        ("catalog/a.yaml", TEAM),
        ("on-call/a.yaml", rota),
    ]);
    let problems = portal::check(dir.path());
    let told: Vec<_> = problems
        .iter()
        .map(|it| (it.file.as_str(), it.rule.as_str(), it.line, it.column, it.hint.as_str()))
        .collect();
    let expected = [
        ("on-call/a.yaml", "on-call", 6, 14, "Did you mean `group:default/payments`?"),
        ("on-call/a.yaml", "on-call", 6, 29, "Describe it, or leave it out."),
    ];
    assert_eq!(told, expected);
    assert!(problems.iter().all(|it| it.severity == Severity::Warning));
}

#[test]
fn what_is_misnamed_and_would_not_be_read_is_told() {
    for (misnamed, meant) in [("idp.yml", "idp.yaml"), ("comands/a.yaml", "commands")] {
        let dir = portal_of(&[(misnamed, ""), ("catalog/a.yaml", TEAM)]);
        let problems = portal::check(dir.path());
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert_eq!(problems[0].hint, format!("Did you mean `{meant}`?"));
    }
    let fine = portal_of(&[("README.md", ""), (".git/HEAD", ""), ("catalog/a.yaml", TEAM)]);
    assert_eq!(portal::check(fine.path()), []);
}

/// The errors that `check` tells of `broken`: one of them at its place, each with a next step,
/// none with the secret.
fn errors_of(broken: &Broken) -> Vec<Problem> {
    let dir = portal_of(&[(broken.name, broken.text)]);
    let errors = errors(dir.path());
    let shown = format!("{:?}: {errors:#?}", broken.text);
    let told = errors.iter().find(|it| it.rule == broken.rule);
    let told = told.unwrap_or_else(|| panic!("no `{}`: {shown}", broken.rule));
    assert_eq!((told.file.as_str(), told.line), (broken.name, broken.line), "{shown}");
    assert!(errors.iter().all(|it| it.column >= 1 && !it.hint.is_empty()), "{shown}");
    assert!(!format!("{errors:?}").contains("hunter2"), "{shown}");
    errors
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
