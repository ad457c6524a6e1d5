//! The shape of the source: the table in `src/lib.rs`, and who may do what, held to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;

#[test]
fn each_module_uses_only_those_above_it_in_the_table() {
    let order = table_in_lib_rs();
    for (file, text) in sources() {
        let user = module_of(&file);
        let Some(from) = order.get(&user) else { continue };
        for used in modules_used(&text) {
            let to = order.get(&used).unwrap_or_else(|| panic!("`{used}` is not in the table"));
            assert!(to <= from, "{}: `{user}` may not use `{used}`", file.display());
        }
    }
}

#[test]
fn every_module_has_its_row_in_the_table() {
    let rows: Vec<String> = table_in_lib_rs().into_keys().collect();
    let lib = std::fs::read_to_string("src/lib.rs").unwrap();
    let declared = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    assert_eq!(declared.collect::<Vec<_>>(), rows, "the table in src/lib.rs, sorted");
}

#[test]
fn sql_is_written_in_store_files_only() {
    for (file, text) in sources() {
        for sql in ["sqlx::query", "sqlx::raw_sql", "QueryBuilder", "copy_in_raw"] {
            assert!(
                is_named(&file, "store.rs") || !text.contains(sql),
                "{} writes SQL",
                file.display()
            );
        }
    }
}

/// No index finds what is older than a clock that is read anew for each row: every row would be looked at, each time.
#[test]
fn what_is_deleted_by_its_age_is_found_by_an_index() {
    let by_age =
        Regex::new(r#"delete from[^"]*< (clock_timestamp|idp\.digest_clock)\(\)"#).unwrap();
    assert!(by_age.is_match("delete from a where at < clock_timestamp() - interval '1 day'"));
    assert!(!by_age.is_match("delete from a where at < now() - interval '1 day'"));
    for (file, text) in sources() {
        assert!(!by_age.is_match(&text), "{} looks at every row", file.display());
    }
}

#[test]
fn in_a_feature_only_flow_and_store_wait_for_anything() {
    for (file, text) in sources() {
        let is_feature = [
            "access",
            "audit",
            "catalog",
            "commands",
            "actions",
            "digests",
            "facts",
            "jobs",
            "on_call",
            "scorecards",
            "usage",
            "vault",
        ]
        .contains(&module_of(&file).as_str());
        let may_wait = is_named(&file, "flow.rs") || is_named(&file, "store.rs");
        for waiting in ["async fn", "async move", ".await"] {
            assert!(!is_feature || may_wait || !text.contains(waiting), "{} waits", file.display());
        }
    }
}

#[test]
fn only_config_reads_the_environment() {
    for (file, text) in sources() {
        let is_config = file == Path::new("src/config.rs");
        assert!(is_config || !text.contains("env::var"), "{} reads it", file.display());
    }
}

#[test]
fn nothing_is_left_undone() {
    for (file, text) in sources() {
        for undone in ["todo!", "unimplemented!"] {
            assert!(!text.contains(undone), "{} has a {undone}", file.display());
        }
    }
}

/// The modules, each with its place, as `src/lib.rs` lists them.
fn table_in_lib_rs() -> BTreeMap<String, usize> {
    let lib = std::fs::read_to_string("src/lib.rs").unwrap();
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | [`")?.split('`').next());
    rows.enumerate().map(|(place, name)| (name.to_string(), place)).collect()
}

/// The first words of all paths `crate::one`, `crate::{two::It, three}`.
fn modules_used(text: &str) -> Vec<String> {
    let word = |path: &str| -> String {
        path.trim_start().chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
    };
    let mut used = Vec::new();
    for after in text.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => used.push(word(after)),
            Some(group) => used.extend(first_level(group).iter().map(|path| word(path))),
        }
    }
    used
}

/// The paths of a group `a::{b, c}, d}`: `a::{b, c}` and `d`.
fn first_level(group: &str) -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut depth = 1;
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => paths.push(String::new()),
            other => paths.last_mut().unwrap().push(other),
        }
        if depth == 0 {
            break;
        }
    }
    paths.retain(|path| !path.trim().is_empty());
    paths
}

/// `src/chat/slack/client.rs` is in the module `chat`.
fn module_of(file: &Path) -> String {
    let first = file.components().nth(1).unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_string()
}

fn is_named(file: &Path, name: &str) -> bool {
    file.file_name().unwrap() == name
}

/// Every file of `src` with its text.
fn sources() -> Vec<(PathBuf, String)> {
    fn visit(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => visit(&path, found),
                false => found.push((path.clone(), std::fs::read_to_string(&path).unwrap())),
            }
        }
    }
    let mut found = Vec::new();
    visit(Path::new("src"), &mut found);
    assert!(!found.is_empty());
    found
}

#[test]
fn paths_are_found_one_by_one_and_in_groups() {
    let text = "use crate::a::B; use crate::{c::{D, E}, f}; fn g() { crate::h::i() }";
    assert_eq!(modules_used(text), ["a", "c", "f", "h"]);
}
