//! `idp score preview` and `idp score explain`.

use serde_json::json;

use crate::command_line::CommandLine;

const SETTINGS: &str = "\
facts:
  - source: ci
    keys:
      coverage: {type: number, valid_for: 14d}
      builds: {type: list}
";

const TESTED: &str = "\
name: tested
title: Tested
filter: {kinds: [Component]}
checks:
  - name: tests
    title: Tests
    rules:
      - name: covered
        title: Most of it is covered
        pass: facts.coverage >= 80
        effort: M
        remedy: Write tests.
      - name: described
        pass: size(entity.description) > 5
levels: [{name: Bronze, from: 50}, {name: Gold, from: 100}]
";

/// A portal with the scorecard, and a catalog with facts.
async fn scored() -> CommandLine {
    let it = CommandLine::new().await;
    it.set(SETTINGS);
    std::fs::create_dir_all(it.path("portal/scorecards")).unwrap();
    it.write("portal/scorecards/tested.yaml", TESTED);
    let imported = it.runs(&["catalog", "import", "portal/catalog"]);
    assert_eq!(imported.code, 0, "{imported:?}");
    it.write(
        "facts.jsonl",
        "{\"entity\": \"payment-api\", \"key\": \"coverage\", \"value\": 81.5}\n\
         {\"entity\": \"checkout\", \"key\": \"coverage\", \"value\": 90, \"observed_at\": \"2020-03-02T09:00:00Z\"}\n",
    );
    let pushed = it.runs(&["facts", "push", "--source", "ci", "facts.jsonl"]);
    assert_eq!(pushed.code, 0, "{pushed:?}");
    it
}

#[tokio::test]
async fn a_preview_tells_who_would_move_and_publishes_nothing() {
    let it = scored().await;
    let stricter = TESTED
        .replace(">= 80", ">= 85")
        .replace("name: described\n", "name: in-words\n")
        .replace("from: 50", "from: 40");
    it.write("stricter.yaml", &stricter);
    let told = it.runs(&["score", "preview", "stricter.yaml"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert_eq!(
        told.out,
        "Tested: now 2 entities, 50% on average; it would be 2 entities, 25% on average\n\
         \n\
         payments: 1 down\n  component:default/payment-api: Gold (100%) → Bronze (50%)\n\
         \n\
         Rules:\n  \
         covered (changed): 1 fail, 1 unknown, before 1 pass, 1 unknown\n  \
         in-words (new): 1 pass, 1 fail\n  \
         described (gone): it found 1 pass, 1 fail\n\
         \n\
         1 down; nothing was published\n"
    );
    let told = it.runs(&["score", "preview", "stricter.yaml", "--format", "json"]).json();
    assert_eq!(told["moves"][0]["after"], json!({ "percent": 50, "level": "Bronze" }));
    assert_eq!(told["owners"]["component:default/payment-api"], json!(["payments"]));
    // It is as it was.
    let again = it.runs(&["score", "preview", "portal/scorecards/tested.yaml"]);
    assert!(again.out.ends_with("\nnobody moves; nothing was published\n"), "{again:?}");
    // One of another name is new to everybody.
    it.write("other.yaml", &TESTED.replace("name: tested", "name: other"));
    let first = it.runs(&["score", "preview", "other.yaml"]);
    assert!(
        first.out.starts_with("Tested: not published yet; it would be 2 entities"),
        "{first:?}"
    );
    assert!(first.out.contains("payments: 2 new\n"), "{first:?}");
}

#[tokio::test]
async fn a_broken_file_is_told_with_its_place_and_an_empty_catalog_with_the_next_step() {
    let it = CommandLine::new().await;
    it.set(SETTINGS);
    it.write("broken.yaml", &TESTED.replace("facts.coverage", "facts.covrage"));
    let told = it.runs(&["score", "preview", "broken.yaml"]);
    assert_eq!((told.code, told.out.as_str()), (1, ""));
    assert!(told.error.contains("broken.yaml:10:15: error"), "{told:?}");
    it.write("good.yaml", TESTED);
    let told = it.runs(&["score", "preview", "good.yaml"]);
    assert!(told.error.contains("`idp catalog import`"), "{told:?}");
}

#[tokio::test]
async fn a_result_is_explained_by_the_values_behind_it() {
    let it = scored().await;
    let told = it.runs(&["score", "explain", "payment-api", "covered"]);
    assert_eq!(told.code, 0, "{told:?}");
    let lines: Vec<&str> = told.out.lines().collect();
    assert_eq!(lines[0], "payment-api: Most of it is covered (tested/covered, Tests)");
    assert_eq!(lines[1], "  passes");
    assert!(told.out.contains("  passes where: facts.coverage >= 80\n"), "{told:?}");
    assert!(told.out.contains("  facts[\"coverage\"] = 81.5 (ci, "), "{told:?}");
    assert!(told.out.contains(" ago; holds until "), "{told:?}");
    assert!(told.out.contains("overall: 100%, Gold\n"), "{told:?}");
    assert!(!told.out.contains("what it takes"), "{told:?}");

    let stale = it.runs(&["score", "explain", "checkout", "tested/covered"]);
    assert!(stale.out.contains("\n  unknown, which counts as a failure: "), "{stale:?}");
    assert!(stale.out.contains("; stale since 2020-03-16 09:00 UTC)"), "{stale:?}");
    assert!(
        stale.out.contains("  what it takes: 4 h, for +50% overall\n    Write tests.\n"),
        "{stale:?}"
    );

    let of_entity = it.runs(&["score", "explain", "payment-api", "described", "--format", "json"]);
    let told = of_entity.json();
    assert_eq!(
        (&told["outcome"], &told["reads"]["description"]),
        (&json!("pass"), &json!("Charges cards"))
    );
    assert_eq!(
        (&told["percent"], &told["level"], &told["gain"]),
        (&json!(100), &json!("Gold"), &json!(null))
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is_meant() {
    let it = scored().await;
    for (asked, said) in [
        (["paymnt-api", "covered"], "did you mean `payment-api`?"),
        (["payment-api", "coverd"], "did you mean `covered`"),
        (["ada", "covered"], "no scorecard is about `ada`"),
        (["payment-api", "described/x"], "name one of"),
    ] {
        let told = it.runs(&["score", "explain", asked[0], asked[1]]);
        assert_eq!((told.code, told.out.as_str()), (1, ""), "{told:?}");
        assert!(told.error.contains(said), "{said}: {told:?}");
    }
}
