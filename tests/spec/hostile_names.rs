//! G6, G8, G10: names in letters that only look alike, SQL as names, patterns that explode elsewhere.

use std::time::{Duration, Instant};

use idp::catalog::Snapshot;
use idp::commands::parse::parse;
use idp::commands::{CommandSet, file};

use crate::asking::Asking;
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
    for number in 0..count {
        let piece = |place: usize| PIECES[number / 16_usize.pow(place as u32) % 16];
        let name = format!("x{}{}{}", piece(0), piece(1), piece(2));
        for command in ["find", "history", "problems", "owner"] {
            let reply = asking.says(&format!("{command} \"{}\"", name.replace('"', "”"))).await;
            let failed = reply.refusal.is_some_and(|it| it.code == "unavailable");
            assert!(!failed, "{command} {name}: {}", reply.markdown);
        }
    }
    let entities: i64 = sqlx::query_scalar("select count(*) from idp.stored_entity")
        .fetch_one(&asking.fresh.pool)
        .await
        .unwrap();
    assert!(entities > 0, "something was deleted");
    println!("REL G8 {count} names by four commands, 0 errors");
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
                assert_eq!(problems[0].rule, "phrase", "{pattern:.40}: {problems:?}");
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
