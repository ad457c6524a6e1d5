//! Command files: what is wrong with one is said with its place, and nobody else pays for it.

use std::path::Path;
use std::time::{Duration, Instant};

use idp::catalog::Problem;
use idp::commands::{CommandSet, file};
use tempfile::TempDir;

const GOOD: &str = "\
name: deploys
summary: What was deployed
arguments:
  - name: service
    type: entity
say:
  - what was deployed to (?<service>.+)
lookup:
  sql: select :service as service
template: |
  {{#each rows}}
  - {{service}}
  {{/each}}
examples:
  - say: deploys payment-api
";

/// A problem's line, column, rule and hint.
type Told = (u32, u32, &'static str, &'static str);

/// What is put in place of what, and the problem that it makes.
const BROKEN: &[(&str, &str, Told)] = &[
    ("name: deploys", "nme: deploys", (1, 1, "unknown-key", "Did you mean `name`?")),
    ("name: deploys", "name: Deploys", (1, 7, "name", "lower-case letters")),
    ("name: deploys", "name: [a]", (1, 7, "type", "Write text")),
    ("summary: What was deployed\n", "", (1, 1, "required-field", "Add `summary: …`")),
    ("summary:", "summary: {", (4, 3, "yaml", "indentation")),
    ("type: entity", "type: entty", (5, 11, "choice", "Did you mean `entity`?")),
    ("type: entity", "type: choice", (5, 11, "argument", "choices: [one, two]")),
    ("type: entity", "typ: entity", (5, 5, "unknown-key", "Did you mean `type`?")),
    ("type: entity", "required: maybe", (5, 15, "type", "`true` or `false`")),
    ("type: entity", "type: number\n    default: channel", (6, 14, "argument", "type: entity")),
    ("(?<service>", "(?<servce>", (7, 5, "phrase", "There are service")),
    ("(?<service>.+)", "(?<service>.+", (7, 5, "phrase", "regular expression")),
    ("(?<service>.+)", "(?<service>\\w{1000}{1000})", (7, 5, "phrase", "regular expression")),
    ("(?<service>.+)", "(?<service>(?=a).+)", (7, 5, "phrase", "no look-around")),
    ("sql: select :service", "sql: select :servce", (9, 8, "sql", "Add it to `arguments`")),
    ("select :service as", "select 1; select :service as", (9, 8, "sql", "Keep one statement")),
    (
        "  sql: select :service as service",
        "  http: {url: 'ftp://a', secret: a}",
        (9, 15, "url", "https://host/path"),
    ),
    ("  sql:", "  sqll:", (9, 3, "unknown-key", "Did you mean `sql`?")),
    (
        "lookup:\n  sql: select :service as service",
        "lookup: ownr",
        (8, 9, "choice", "Did you mean `owner`?"),
    ),
    (
        "lookup:\n  sql: select :service as service",
        "lookup: owner",
        (8, 9, "argument", "- name: entity"),
    ),
    ("- {{service}}", "- {{{service}}}", (12, 5, "template", "always escaped")),
    ("- {{service}}", "- {{plurl service}}", (12, 5, "template", "Did you mean `plural`?")),
    ("  {{/each}}\n", "", (13, 3, "template", "{{#…}}")),
    ("examples:", "audience: everybody\nexamples:", (14, 11, "choice", "asker, channel")),
    ("- say: deploys", "- says: deploys", (15, 5, "unknown-key", "Did you mean `say`?")),
];

fn portal(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

#[test]
fn a_good_file_is_a_command() {
    let dir = portal(&[("deploys.yaml", GOOD)]);
    let (commands, problems) = CommandSet::load(dir.path());
    assert_eq!(problems, []);
    assert_eq!(commands.find("deploys").unwrap().usage(), "deploys <service>");
    assert!(commands.find("owner").is_some());
}

#[test]
fn every_mistake_is_told_with_its_place_and_a_hint() {
    for (good, bad, (line, column, rule, hint)) in BROKEN {
        assert!(GOOD.contains(good), "{good}");
        let text = GOOD.replace(good, bad);
        let problems = file::read(&text, "deploys.yaml").map(|_| ()).expect_err(bad);
        let is_it = |it: &Problem| it.line == *line && it.rule == *rule && it.hint.contains(hint);
        let told = problems.iter().find(|it| is_it(it));
        let told = told.unwrap_or_else(|| panic!("{bad}: {problems:#?}"));
        assert_eq!((told.column, told.file.as_str()), (*column, "deploys.yaml"), "{bad}");
    }
    println!("{} mistakes", BROKEN.len());
}

#[test]
fn a_broken_file_costs_nobody_but_itself() {
    let refunds = GOOD.replace("name: deploys", "name: refunds");
    let dir = portal(&[
        ("broken.yaml", "name: [\n"),
        ("deploys.yaml", GOOD),
        ("owner.yaml", "name: owner\n"),
        ("refunds.yaml", &refunds),
        ("notes.md", "not a command"),
    ]);
    let (commands, problems) = CommandSet::load(dir.path());
    let mut files: Vec<&str> = problems.iter().map(|it| it.file.as_str()).collect();
    files.dedup();
    assert_eq!(files, ["broken.yaml", "owner.yaml"]);
    assert!(commands.find("deploys").is_some() && commands.find("refunds").is_some());
    assert_eq!(commands.find("owner").unwrap().summary, built_in("owner"));
}

fn built_in(name: &str) -> String {
    CommandSet::built_in().find(name).unwrap().summary.clone()
}

#[test]
fn a_file_of_ones_own_takes_the_place_of_a_built_in_command() {
    let owner = GOOD.replace("name: deploys", "name: owner");
    let (commands, problems) = CommandSet::load(portal(&[("mine.yaml", &owner)]).path());
    assert_eq!(problems, []);
    assert_eq!(commands.find("owner").unwrap().summary, "What was deployed");
    assert_ne!(built_in("owner"), "What was deployed");
    assert_eq!(commands.names().len(), CommandSet::built_in().names().len());
}

#[test]
fn two_files_with_one_command_are_a_problem_of_the_second() {
    let dir = portal(&[("a.yaml", GOOD), ("b.yaml", GOOD)]);
    let (commands, problems) = CommandSet::load(dir.path());
    assert_eq!((problems[0].file.as_str(), problems[0].rule.as_str()), ("b.yaml", "conflict"));
    assert!(commands.find("deploys").is_some());
}

#[test]
fn a_reload_with_a_mistake_is_refused_whole() {
    let dir = portal(&[("deploys.yaml", GOOD)]);
    assert!(CommandSet::reloaded(dir.path()).unwrap().find("deploys").is_some());
    std::fs::write(dir.path().join("deploys.yaml"), "name: deploys\n").unwrap();
    assert!(!CommandSet::reloaded(dir.path()).unwrap_err().is_empty());
    assert!(CommandSet::reloaded(Path::new("nowhere")).unwrap().find("deploys").is_none());
}

#[test]
fn no_phrase_of_a_file_makes_reading_or_asking_slow() {
    let huge = "a".repeat(1 << 20);
    let nested = "(".repeat(200) + &")".repeat(200);
    for phrase in
        ["(a+)+$", "(a|a)*b", "(.*)*(.*)*(.*)*x", "[a-z]{1,1000}", huge.as_str(), nested.as_str()]
    {
        let text = GOOD.replace("what was deployed to (?<service>.+)", &format!("'{phrase}'"));
        let started = Instant::now();
        if let Ok(command) = file::read(&text, "deploys.yaml") {
            let question = "a".repeat(10_000) + "!";
            for phrase in &command.phrases {
                phrase.pattern.is_match(&question);
            }
        }
        // Backtracking would take longer than the age of the universe.
        assert!(started.elapsed() < Duration::from_secs(5), "{:.40}", phrase);
    }
    let long = GOOD.replace("what was deployed to (?<service>.+)", &"a".repeat(1025));
    assert_eq!(file::read(&long, "deploys.yaml").unwrap_err()[0].rule, "phrase");
}
