//! Descriptors: everything that Backstage's own code accepts, we read alike; what is broken is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use idp::catalog::formats::backstage::{read, rule::Rule};
use idp::catalog::{Descriptor, Problem, Severity};
use serde_json::Value;

/// Fixtures shared by several projects; they lie beside the checkout and are never copied into it.
#[expect(clippy::disallowed_methods, reason = "where fixtures lie is no setting of idp")]
pub fn shared(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("IDP_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = folder.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: there is no {}", path.display());
    None
}

/// Stands for every placeholder, as it did when Backstage's code was asked.
fn stand_in(named: &str) -> Result<String, String> {
    Ok(format!("content of {named}"))
}

fn relations(descriptor: &Descriptor) -> BTreeSet<String> {
    descriptor.relations.iter().map(|it| format!("{} {}", it.kind.word(), it.target)).collect()
}

fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(|it| Some(it.as_str()?.to_string())).collect()
}

fn one_line(problem: &Problem) -> String {
    format!(
        "{}:{}:{} [{}] {} {}",
        problem.file, problem.line, problem.column, problem.rule, problem.message, problem.hint
    )
}

/// Where we mean to differ from Backstage, for documents that it refuses.
fn agreed_difference(stage: &str, error: &str, problems: &[&Problem]) -> Option<&'static str> {
    let only = |rule| problems.iter().all(|it| it.rule == rule) && !problems.is_empty();
    if stage == "no processor" && only("custom-kind") {
        return Some("a kind of one's own is taken");
    }
    if error == "Unknown field relations" && only("output-field") {
        return Some("relations in a file are passed over");
    }
    None
}

#[test]
fn every_document_is_read_as_backstage_reads_it() {
    let (Some(oracle), Some(corpus)) = (shared("corpus/oracle.jsonl"), shared("corpus")) else {
        return;
    };
    let (mut accepted, mut refused, mut skeletons) = (0, 0, 0);
    let mut differences: BTreeMap<&str, u32> = BTreeMap::new();
    let mut rules: BTreeMap<String, u32> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in std::fs::read_to_string(oracle).unwrap().lines() {
        let said: Value = serde_json::from_str(line).unwrap();
        let file = said["file"].as_str().unwrap();
        let contents = read(&std::fs::read(corpus.join(file)).unwrap(), file, &stand_in);
        for document in said["docs"].as_array().unwrap() {
            let index = document["doc"].as_u64().unwrap() as u32;
            let ours = contents.descriptors.iter().find(|it| it.document == index);
            let problems: Vec<&Problem> =
                contents.problems.iter().filter(|it| it.document == index).collect();
            let told: Vec<String> = problems.iter().map(|it| one_line(it)).collect();
            if document["ok"] == true {
                let same = ours.is_some_and(|ours| {
                    ours.reference.as_str() == document["ref"]
                        && relations(ours) == texts(&document["relations"])
                        && !ours.relations.iter().any(|it| it.bare)
                        && contents
                            .targets
                            .iter()
                            .filter(|it| it.document == index)
                            .map(|it| it.target.clone())
                            .collect::<BTreeSet<_>>()
                            == texts(&document["targets"])
                });
                if same {
                    accepted += 1;
                } else {
                    wrong.push(format!("{document}\n  ours: {ours:?}\n  told: {told:#?}"));
                }
                continue;
            }
            let (stage, error) = (document["stage"].as_str(), document["error"].as_str());
            let is_told = problems.iter().any(|it| {
                it.line > 0 && it.column > 0 && !it.message.is_empty() && !it.hint.is_empty()
            });
            for problem in &problems {
                *rules.entry(problem.rule.clone()).or_default() += 1;
            }
            match ours {
                None if is_told && problems.iter().any(|it| it.rule == "template-skeleton") => {
                    skeletons += 1;
                }
                None if is_told && problems.iter().any(|it| it.severity == Severity::Error) => {
                    refused += 1;
                }
                Some(_) => match agreed_difference(stage.unwrap(), error.unwrap(), &problems) {
                    Some(difference) => *differences.entry(difference).or_default() += 1,
                    None => wrong.push(format!("{file} {document}\n  taken: {told:#?}")),
                },
                None => wrong.push(format!("{file} {document}\n  not told: {told:#?}")),
            }
        }
        let documents = said["docs"].as_array().unwrap().len();
        if contents.documents as usize != documents {
            wrong.push(format!("{file}: {documents} documents, {} ours", contents.documents));
        }
    }
    println!(
        "documents that Backstage accepts, with the same ref, relations and targets: {accepted}"
    );
    println!(
        "documents that it refuses, told with line and reason: {refused}, as skeletons: {skeletons}"
    );
    println!("agreed differences: {differences:?}");
    println!("rules: {rules:?}");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    let agreed = [("a kind of one's own is taken", 12), ("relations in a file are passed over", 1)];
    assert_eq!(differences, BTreeMap::from(agreed));
    assert_eq!((accepted, refused, skeletons), (3_270, 247, 36));
}

/// The corpus has none of the first two, so they are shown here.
#[test]
fn where_we_differ_from_backstage_we_take_more() {
    let component = |spec: &str| {
        format!(
            "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {{name: pay}}\n\
             spec: {{type: service, lifecycle: production, {spec}}}\n"
        )
    };
    let product =
        "apiVersion: acme.example/v1\nkind: Product\nmetadata: {name: pay}\nspec: {owner: a}\n";
    for (document, said, told) in [
        (
            component("owner: a, dependsOn: [ledger]"),
            ["ownedBy group:default/a", "dependsOn component:default/ledger"].as_slice(),
            "bare-reference",
        ),
        (
            component("owner: [a, user:b]"),
            ["ownedBy group:default/a", "ownedBy user:default/b"].as_slice(),
            "",
        ),
        (
            component("owner: a") + "relations: [{type: dependsOn, targetRef: api:x}]\n",
            ["ownedBy group:default/a"].as_slice(),
            "output-field",
        ),
        (
            component("owner: a") + "status: {items: []}\n",
            ["ownedBy group:default/a"].as_slice(),
            "output-field",
        ),
        (product.to_string(), ["ownedBy group:default/a"].as_slice(), "custom-kind"),
    ] {
        let contents = read(document.as_bytes(), "catalog-info.yaml", &stand_in);
        let ours = contents.descriptors.first().unwrap_or_else(|| panic!("{document}"));
        let said: BTreeSet<String> = said.iter().map(|it| it.to_string()).collect();
        assert_eq!(relations(ours), said, "{document}");
        let rules: Vec<&str> = contents.problems.iter().map(|it| it.rule.as_str()).collect();
        assert_eq!(rules.join(" "), told, "{document}");
        let severities = contents.problems.iter().map(|it| it.severity);
        assert!(severities.max() < Some(Severity::Error), "{document}");
        let bare = ours.relations.iter().filter(|it| it.bare).count();
        assert_eq!(bare, usize::from(told == "bare-reference"), "{document}");
    }
}

/// The rows of the tables in `docs/descriptors.md` that have a rule in their first column: rule, severity.
fn documented_rules() -> Vec<(String, String)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/descriptors.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().map(|line| line.split(" | ").collect::<Vec<_>>());
    rows.filter(|row| row.len() == 4 && row[0].starts_with("| `"))
        .map(|row| (row[0].trim_matches(['|', ' ', '`']).to_string(), row[1].to_string()))
        .collect()
}

#[test]
fn every_rule_is_documented_with_its_severity() {
    let documented = documented_rules();
    let ours: Vec<(String, String)> = Rule::ALL
        .iter()
        .map(|rule| (rule.word().to_string(), rule.severity().word().to_string()))
        .collect();
    for rule in &ours {
        assert!(documented.contains(rule), "docs/descriptors.md lacks {rule:?}");
    }
    // The others are rules of sources: each is a word somewhere in the code.
    let sources = source_text();
    for (word, _) in documented.iter().filter(|it| !ours.contains(it)) {
        assert!(sources.contains(&format!("\"{word}\"")), "no code tells of `{word}`");
    }
    let words: BTreeSet<&String> = documented.iter().map(|(word, _)| word).collect();
    assert_eq!(words.len(), documented.len(), "a rule is documented once");
}

/// All code that tells of problems of sources and portals.
fn source_text() -> String {
    let files = ["catalog", "portal"].map(|folder| {
        let pattern = format!("{}/src/{folder}/**/*.rs", env!("CARGO_MANIFEST_DIR"));
        glob::glob(&pattern).unwrap()
    });
    files
        .into_iter()
        .flatten()
        .map(|file| std::fs::read_to_string(file.unwrap()).unwrap())
        .filter(|text| !text.contains("pub enum Rule"))
        .collect()
}
