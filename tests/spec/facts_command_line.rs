//! `idp facts`: reporting into a database and to a running idp, and listing.

use std::io::Write;
use std::process::Stdio;

use idp::chat::ANSWER_WITHIN;
use idp::config::SecretReference;
use serde_json::json;

use crate::command_line::{CommandLine, Ended};
use crate::world::World;

const SETTINGS: &str = "\
facts:
  - source: ci
    keys:
      coverage: {type: number, valid_for: 14d}
      note: {type: text}
";

const FACTS: &str = "\
{\"entity\": \"payment-api\", \"key\": \"coverage\", \"value\": 81.5, \"observed_at\": \"2020-03-02T09:00:00Z\"}

{\"entity\": \"paymnt-api\", \"key\": \"coverage\", \"value\": 1}
{\"entity\": \"payment-api\", \"key\": \"note\", \"value\": \"\\u001b[2Jred\"}
";

/// A portal with a source `ci`, its catalog imported.
async fn reporting() -> CommandLine {
    let it = CommandLine::new().await;
    it.set(SETTINGS);
    let imported = it.runs(&["catalog", "import", "portal/catalog"]);
    assert_eq!(imported.code, 0, "{imported:?}");
    it.write("facts.jsonl", FACTS);
    it
}

#[tokio::test]
async fn facts_are_reported_into_the_database_and_listed() {
    let it = reporting().await;
    let pushed = it.runs(&["facts", "push", "--source", "ci", "facts.jsonl"]);
    assert_eq!(pushed.code, 1, "one was refused: {pushed:?}");
    assert_eq!(
        pushed.out,
        "line 3: refused: The catalog has no entity `paymnt-api`. Did you mean `component:default/payment-api`?\n\
         3 facts: 2 taken, 0 unchanged, 0 older than what is known, 1 refused\n"
    );
    let again = it.runs(&["facts", "push", "--source", "ci", "--format", "json", "facts.jsonl"]);
    let told = again.json();
    assert_eq!(
        (&told["unchanged"], &told["results"][0]["result"]),
        (&json!(1), &json!("unchanged"))
    );

    let listed = it.runs(&["facts", "list", "payment-api"]);
    assert!(listed.out.contains("coverage: 81.5 (ci, "), "{listed:?}");
    assert!(listed.out.contains("; stale since 2020-03-16 09:00 UTC)"), "{listed:?}");
    assert!(!listed.out.contains('\u{1b}'), "{listed:?}");
    assert!(listed.out.ends_with("2 facts\n"), "{listed:?}");
    let listed = it.runs(&["facts", "list", "component:default/payment-api", "--format", "json"]);
    assert_eq!(listed.json()[0]["valid_until"], "2020-03-16T09:00:00Z");
}

#[tokio::test]
async fn facts_come_by_standard_input_too_as_lines_or_as_a_list() {
    let it = reporting().await;
    let list = r#"[{"entity": "checkout", "key": "coverage", "value": 50}]"#;
    for text in [list, &list[1..list.len() - 1]] {
        let mut push = it.command(&["facts", "push", "--source", "ci", "-"]);
        let mut child = push.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let ended = Ended::of(child.wait_with_output().unwrap());
        assert!(ended.out.starts_with("1 fact: 1 taken"), "{ended:?}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_told_with_its_place_and_nothing_is_taken() {
    let it = reporting().await;
    it.write(
        "bad.jsonl",
        "{\"entity\": \"checkout\", \"key\": \"coverage\", \"value\": 1}\n{\"entity\": 1}\n",
    );
    let bad = it.runs(&["facts", "push", "--source", "ci", "bad.jsonl"]);
    assert_eq!(bad.code, 1);
    assert!(bad.error.contains("bad.jsonl does not list facts: line 2: "), "{bad:?}");
    assert!(it.runs(&["facts", "list", "checkout"]).out.ends_with("0 facts\n"));
    let unknown = it.runs(&["facts", "push", "--source", "cii", "facts.jsonl"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.error.contains("there is no source of facts `cii`; did you mean `ci`?"),
        "{unknown:?}"
    );
    let neither = it.runs(&["facts", "push", "facts.jsonl"]);
    assert_eq!(neither.code, 2, "{neither:?}");
    let no_token = it.runs(&["facts", "push", "--url", "http://127.0.0.1:1", "facts.jsonl"]);
    assert!(no_token.error.contains("`IDP_FACTS_TOKEN` is not set"), "{no_token:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_are_reported_to_a_running_idp_by_who_has_the_token() {
    let it = reporting().await;
    it.write("token", "token-of-the-command-line-0123456789\n");
    let file = it.path("token");
    let world = World::with(ANSWER_WITHIN, |settings| {
        settings.facts.0[0].token = Some(SecretReference::File(file));
    })
    .await;
    let many: String = (0..1_500)
        .map(|second| {
            let at = 1_700_000_000 + second;
            let at = chrono::DateTime::from_timestamp(at, 0).unwrap().to_rfc3339();
            format!("{}\n", json!({ "entity": "invoicing", "key": "coverage", "value": second, "observed_at": at }))
        })
        .collect();
    it.write("many.jsonl", &many);
    let url = format!("http://{}", world.address);
    let push = |token: &str| {
        let mut push = it.command(&["facts", "push", "--url", &url, "many.jsonl"]);
        Ended::of(push.env("IDP_FACTS_TOKEN", token).output().unwrap())
    };
    let (refused, taken) = tokio::task::block_in_place(|| {
        (push("wrong"), push("token-of-the-command-line-0123456789"))
    });
    assert_eq!(refused.code, 1);
    assert!(refused.error.contains("the server took nothing (401): "), "{refused:?}");
    assert_eq!(taken.code, 0, "{taken:?}");
    assert_eq!(
        taken.out,
        "1500 facts: 1500 taken, 0 unchanged, 0 older than what is known, 0 refused\n"
    );
}
