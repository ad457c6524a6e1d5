//! A directory of YAML files each of which says one thing: a command, a scorecard, a digest.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;

use super::fields::{self, START};
use crate::catalog::Problem;

/// The files of `dir` with their names, sorted, and what cannot be read of them, each named as seen from `dir`. `what`
/// they are, as people call it: of more than `most` the rest is left out.
///
/// A directory that is not there has no files.
pub fn read(dir: &Path, what: &str, most: usize) -> (Vec<(String, String)>, Vec<Problem>) {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Default::default(),
        Err(error) => return (Vec::new(), vec![unreadable(".", &error)]),
    };
    let entries = entries.flatten().filter(|entry| is_yaml(&entry.path()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let mut problems = Vec::new();
    if let Some(first) = names.get(most) {
        let message = format!("There are more than {most} {what} files.");
        problems.push(fields::problem(first, START, "file", message, "Remove some."));
        names.truncate(most);
    }
    let mut texts = Vec::new();
    for name in names {
        match std::fs::read_to_string(dir.join(&name)) {
            Ok(text) => texts.push((name, text)),
            Err(error) => problems.push(unreadable(&name, &error)),
        }
    }
    (texts, problems)
}

pub fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "yaml" || it == "yml")
}

/// Where two files of one directory say one thing: `what` it is, and of each file its name and what it names, in their
/// order.
pub fn twice<'a>(what: &str, read: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Problem> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for (file, name) in read {
        let Some(other) = first.get(name) else {
            first.insert(name, file);
            continue;
        };
        let message = format!("The {what} `{name}` stands in `{other}` already.");
        let hint = "Give it another name, or remove one of the files.";
        problems.push(fields::problem(file, START, "conflict", message, hint));
    }
    problems
}

fn unreadable(file: &str, error: &Error) -> Problem {
    let message = format!("The file cannot be read: {error}.");
    fields::problem(file, START, "file", message, "It must be UTF-8 text that this user may read.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_yaml_is_left_alone_and_what_cannot_be_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("b.yml", "b"), ("a.yaml", "a"), ("notes.md", "n"), ("d.yaml", "d")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        std::fs::write(dir.path().join("c.yaml"), b"\xff").unwrap();
        let (texts, problems) = read(dir.path(), "digest", 3);
        let names: Vec<&str> = texts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.yaml", "b.yml"]);
        let told: Vec<_> = problems.iter().map(|it| (it.file.as_str(), &*it.message)).collect();
        assert_eq!(told[0], ("d.yaml", "There are more than 3 digest files."));
        assert_eq!((told.len(), told[1].0), (2, "c.yaml"));
        assert_eq!(read(&dir.path().join("none"), "digest", 3), Default::default());
    }
}
