//! G5, G6, G8, G10: one name in many forms, names in letters that only look alike, SQL as names, patterns that explode
//! elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use idp::catalog::{Problem, Severity, Snapshot};
use idp::commands::parse::parse;
use idp::commands::{CommandSet, file};
use sqlx::AssertSqlSafe;
use unicode_normalization::UnicodeNormalization;

use crate::asking::Asking;
use crate::database::fresh;
use crate::directory::{Directory, component};
use crate::scale::at_full;

/// Latin letters and others that the eye takes for them. Source: UTS 39, `confusables.txt`.
const ALIKE: [(char, char); 9] = [
    ('a', '\u{0430}'),
    ('c', '\u{0441}'),
    ('e', '\u{0435}'),
    ('o', '\u{043E}'),
    ('p', '\u{0440}'),
    ('x', '\u{0445}'),
    ('y', '\u{0443}'),
    ('i', '\u{0456}'),
    ('s', '\u{0455}'),
];

/// `name`, which has an `i`, an `a`, a `k`, an `ss` and an `fi`, as it is and in all the ways in which somebody may
/// write the same.
fn forms(name: &str) -> Vec<String> {
    let wide = |it: char| char::from_u32(it as u32 + 0xFEE0).unwrap();
    let mut forms = vec![name.to_string(), name.to_uppercase()];
    forms.push(name.chars().map(wide).collect());
    for (letter, other) in [
        // Composed, and of two characters.
        ("a", "\u{E5}"),
        ("a", "a\u{30A}"),
        ("a", "\u{C5}"),
        ("a", "\u{212B}"),
        // What changes with the case: İ, ı, ß, ẞ, ſ, the Kelvin sign, a ligature.
        ("i", "\u{130}"),
        ("i", "\u{131}"),
        ("ss", "\u{DF}"),
        ("ss", "\u{1E9E}"),
        ("s", "\u{17F}"),
        ("k", "\u{212A}"),
        ("fi", "\u{FB01}"),
        // What nobody sees.
        ("k", "k\u{200B}"),
        ("k", "k\u{AD}"),
    ] {
        forms.push(name.replace(letter, other));
    }
    for around in [".", "..", " ", "\t", "\u{A0}", "\u{3000}", "\u{2028}"] {
        forms.push(format!("{name}{around}"));
        forms.push(format!("{around}{name}"));
    }
    forms
}

/// Equal for all forms of a name: its letters and digits without accents, in one case.
fn letters(name: &str) -> String {
    // First to lower case: the capital `ẞ` has no other upper case.
    let lower = name.nfkd().flat_map(char::to_lowercase);
    let folded = lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    folded.filter(char::is_ascii_alphanumeric).collect()
}

/// How many of `names` are there already in another form.
fn duplicates<'a>(names: impl IntoIterator<Item = &'a String>) -> usize {
    let mut forms_of: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for name in names {
        forms_of.entry(letters(name)).or_default().insert(name);
    }
    forms_of.values().map(|forms| forms.len() - 1).sum()
}

fn in_quotes(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[tokio::test]
async fn a_name_in_whatever_form_is_one_entity() {
    let names: Vec<String> =
        (0..at_full(1_000)).map(|it| format!("kiosk-assets-fiscal{it}")).collect();
    let forms: Vec<Vec<String>> = names.iter().map(|it| forms(it)).collect();
    let document = |kind: &str, namespace: &str, name: &str| {
        let [namespace, name] = [namespace, name].map(in_quotes);
        format!(
            "---\napiVersion: acme.example/v1\nkind: {kind}\n\
             metadata: {{namespace: {namespace}, name: {name}}}\n"
        )
    };
    let directory = Directory::new();
    let mut documents = 0;
    for (number, forms) in forms.iter().enumerate() {
        let mut file = String::new();
        for (form, name) in forms.iter().enumerate() {
            let kind = ["Shop", "shop", "SHOP"][form % 3];
            file.push_str(&document(kind, "default", name));
            file.push_str(&document("Shelf", name, "one"));
            documents += 2;
            let name = format!("label{number}-{form}");
            file.push_str(&component(&name, &in_quotes(&forms[form])));
        }
        directory.write(&format!("{number:04}.yaml"), &file);
    }
    let fresh = fresh().await;
    let report = directory.import(&fresh.pool).await;
    let stored = "select ref from idp.entity where kind = $1";
    let stored = async |kind: &str| -> Vec<String> {
        sqlx::query_scalar(stored).bind(kind).fetch_all(&fresh.pool).await.unwrap()
    };
    let (named, in_namespaces) = (stored("shop").await, stored("shelf").await);
    assert_eq!((named.len(), in_namespaces.len()), (names.len(), names.len()));
    assert_eq!(duplicates(named.iter().chain(&in_namespaces)), 0);
    let is_refused = |it: &&Problem| it.severity == Severity::Error;
    let refused = report.problems.iter().filter(is_refused);
    let refused: BTreeSet<_> = refused.map(|it| (&it.file, it.document)).collect();
    assert_eq!(refused.len() + named.len() + in_namespaces.len(), documents, "one was lost");

    // A reference may be to what nobody describes; then too it has one form.
    let targets = "select distinct target from idp.stated_relation";
    let targets: Vec<String> = sqlx::query_scalar(targets).fetch_all(&fresh.pool).await.unwrap();
    let composed =
        |name: &str| name.trim().nfd().flat_map(char::to_lowercase).nfc().collect::<String>();
    let apart = |names: &[String]| names.iter().map(|it| composed(it)).collect::<BTreeSet<_>>();
    assert_eq!(apart(&targets).len(), targets.len());
    assert_eq!(apart(&forms.concat()).len(), targets.len());
    println!("REL G5 {} names in {} forms, 0 duplicate entities", names.len(), forms[0].len());

    // The controls: forms kept as they are written would be told, and names that differ are none.
    assert_eq!(duplicates(&forms.concat()), names.len() * (forms[0].len() - 1));
    assert_eq!(duplicates(&names), 0);
}

#[tokio::test]
async fn a_name_that_looks_like_another_is_told_apart() {
    let asking = Asking::acme().await;
    let snapshot = asking.app.catalog.snapshot();
    let mut pairs = Vec::new();
    for entity in snapshot.entities() {
        for (place, letter) in entity.name.char_indices() {
            if let Some((_, alike)) = ALIKE.iter().find(|(latin, _)| *latin == letter) {
                let mut typed = entity.name.to_string();
                typed.replace_range(place..=place, &alike.to_string());
                pairs.push((entity.reference.to_string(), typed));
            }
        }
    }
    let pairs: Vec<_> = pairs.into_iter().take(at_full(500)).collect();
    assert_eq!(pairs.len(), at_full(500), "Acme has too few names");
    for (name, typed) in &pairs {
        let reply = asking.says(&format!("owner {typed}")).await;
        let refusal = reply.refusal.unwrap_or_else(|| panic!("{typed:?} was taken for {name}"));
        assert!(refusal.message.contains("looks like"), "{typed:?}: {}", refusal.message);
        // The control: in its own letters the name is known.
        let reply = asking.says(&format!("owner {name}")).await;
        assert!(reply.refusal.is_none(), "{name}: {}", reply.markdown);
    }
    println!("REL G6 {0} pairs, {0} flagged", pairs.len());
}

#[tokio::test]
async fn sql_as_a_name_is_a_name_that_nobody_has() {
    const PIECES: [&str; 16] = [
        "'",
        "\"",
        ";",
        "--",
        "/*",
        "%",
        "_",
        "\\",
        "or 1=1",
        "::regclass",
        "$1",
        "union select",
        "&",
        "|",
        "!",
        ":*",
    ];
    let asking = Asking::acme().await;
    let count = at_full(2_000);
    let mut spliced = 0;
    for number in 0..count {
        let piece = |place: usize| PIECES[number / 16_usize.pow(place as u32) % 16];
        let name = format!("x{}{}{}", piece(0), piece(1), piece(2));
        for command in ["find", "history", "problems", "owner"] {
            let reply = asking.says(&format!("{command} \"{}\"", name.replace('"', "”"))).await;
            let failed = reply.refusal.is_some_and(|it| it.code == "unavailable");
            assert!(!failed, "{command} {name}: {}", reply.markdown);
        }
        // The control: not bound but written into the SQL, a quote that nothing closes and no comment hides is an error.
        if name.matches('\'').count() % 2 == 1 && !name.contains("--") {
            let sql = format!("select count(*) from idp.stored_entity where ref = '{name}'");
            let ran = sqlx::query(AssertSqlSafe(sql)).fetch_one(&asking.fresh.pool).await;
            assert!(ran.is_err(), "{name}");
            spliced += 1;
        }
    }
    assert!(spliced > 0, "no name was one that the control must catch");
    let entities: i64 = sqlx::query_scalar("select count(*) from idp.stored_entity")
        .fetch_one(&asking.fresh.pool)
        .await
        .unwrap();
    assert!(entities > 0, "something was deleted");
    println!(
        "REL G8 {count} names by four commands, 0 errors; as text of SQL {spliced} of {spliced} fail"
    );
}

/// The work that a phrase can cause is bounded when it is read: by its bytes and by what it compiles to.
#[test]
fn a_phrase_that_explodes_is_refused_or_linear() {
    let command = |phrase: &str| {
        let phrase = phrase.replace('\'', "''");
        format!("name: bomb\nsummary: A bomb\nsay: ['{phrase}']\nlookup: help\ntemplate: x\n")
    };
    let mut patterns = vec![("a".repeat(1_000_000), false), ("a".repeat(1_025), false)];
    for refused in ["a{1000}{1000}", "\\w{1000}{1000}", "(?=a)b", "(a)\\1", "((a{99}){99}){99}"] {
        patterns.push((refused.to_string(), false));
    }
    patterns.push((format!("{}a{}", "(".repeat(200), ")".repeat(200)), false));
    for linear in ["(a+)+$", "(a|a)*b", "(.*a){12}", "(a?){30}a{30}", "([a-z]+)*!"] {
        patterns.push((linear.to_string(), true));
    }
    let question = format!("{}!", "a".repeat(9_000));
    let mut slowest = (Duration::ZERO, "");
    for (pattern, is_taken) in &patterns {
        let started = Instant::now();
        let read = file::read(&command(pattern), "commands/bomb.yaml");
        let mut took = started.elapsed();
        match read {
            Ok(_) => {
                assert!(is_taken, "{pattern:.40} was taken");
                let dir = tempfile::tempdir().unwrap();
                std::fs::write(dir.path().join("bomb.yaml"), command(pattern)).unwrap();
                let (commands, _) = CommandSet::load(dir.path());
                assert!(commands.find("bomb").is_some(), "{pattern:.40} is not asked");
                let snapshot = Snapshot::build(Vec::new(), &[], 1);
                // Whether it is understood matters less than that it ends.
                let started = Instant::now();
                let _ = parse(&commands, &snapshot, &question);
                took += started.elapsed();
            }
            Err(problems) => {
                assert!(!is_taken, "{pattern:.40}: {problems:?}");
                let rule = if pattern.len() > 64 << 10 { "size" } else { "phrase" };
                assert_eq!(problems[0].rule, rule, "{pattern:.40}: {problems:?}");
            }
        }
        slowest = slowest.max((took, pattern));
    }
    println!(
        "REL G10 {} patterns; the slowest took {:?} ({:.20})",
        patterns.len(),
        slowest.0,
        slowest.1
    );
}
