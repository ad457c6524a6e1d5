//! A scorecard that comes from elsewhere, on its way into a file of ours.

use std::collections::BTreeSet;

use crate::catalog::Problem;
use crate::facts;
use crate::scorecards::expression::{Expression, Vocabulary};
use crate::scorecards::{Keys, file};

use super::ask::{Ask, Kinds, quoted};
use super::{Imported, Note};

const TITLE_CHARACTERS_MAX: usize = 100;
const TEXT_CHARACTERS_MAX: usize = 1_000;
const NAME_CHARACTERS_MAX: usize = 64;

#[derive(Debug, Default)]
pub struct Draft {
    pub name: String,
    pub title: String,
    pub description: String,
    /// Only admins see it.
    pub is_draft: bool,
    pub kinds: Vec<String>,
    pub types: Vec<String>,
    /// At least one of these.
    pub tags: Vec<String>,
    pub when: Option<Ask>,
    /// A ladder, the lowest first, each with its colour.
    pub levels: Vec<(String, Option<String>)>,
    pub rules: Vec<DraftRule>,
    pub exempt: bool,
    pub notes: Vec<Note>,
}

#[derive(Debug)]
pub struct DraftRule {
    pub name: String,
    pub title: String,
    pub weight: u64,
    pub level: Option<String>,
    pub kinds: Vec<String>,
    pub types: Vec<String>,
    pub when: Option<Ask>,
    pub pass: Ask,
    pub from: Option<String>,
    pub remedy: Option<String>,
    /// Where it stands in the file that it comes from.
    pub line: u32,
}

impl Draft {
    pub fn note(&mut self, line: u32, about: &str, message: impl Into<String>) {
        self.notes.push(Note { line, about: about.to_string(), message: message.into() });
    }

    /// The file, with what could not be brought along. `all` is how many rules there were.
    ///
    /// # Errors
    /// Every problem of the file, when it is no good one.
    pub fn finish(mut self, all: usize) -> Result<Imported, Vec<Problem>> {
        let kinds = self.settle();
        let translated = self.rules.len();
        let text = match translated {
            0 => None,
            _ => {
                let text = self.write(&kinds);
                file::read(&text, &format!("{}.yaml", self.name), &Keys::new())?;
                Some(text)
            }
        };
        let facts = kinds.into_iter().map(|(key, kind)| (key, kind.to_string())).collect();
        Ok(Imported { name: self.name, text, translated, all, facts, notes: self.notes })
    }

    /// Leaves out what cannot be told, and says so; the kinds of the facts that are asked for.
    fn settle(&mut self) -> Kinds {
        let mut kinds = Kinds::new();
        let mut names = BTreeSet::new();
        for rule in std::mem::take(&mut self.rules) {
            let mut with = kinds.clone();
            let good = rule.pass.facts(&mut with).and_then(|()| {
                readable(&rule.pass, Some(&with))?;
                rule.when.as_ref().map_or(Ok(()), |it| readable(it, None))
            });
            match good {
                Ok(()) => {
                    kinds = with;
                    let name = unused(&rule.name, &mut names);
                    self.rules.push(DraftRule { name, ..rule });
                }
                Err(why) => self.note(rule.line, &rule.title, format!("It is left out: {why}.")),
            }
        }
        if let Some(Err(why)) = self.when.as_ref().map(|it| readable(it, None)) {
            self.when = None;
            self.is_draft = true;
            let message =
                format!("Its filter is left out, and it is a draft until one stands there: {why}.");
            self.note(1, "filter", message);
        }
        // A level that no rule asks for would be everybody's.
        for (level, _) in std::mem::take(&mut self.levels) {
            self.keep_level(level);
        }
        kinds
    }

    fn keep_level(&mut self, level: String) {
        let is_asked = self.rules.iter().any(|rule| rule.level.as_ref() == Some(&level));
        match is_asked {
            true => self.levels.push((level, None)),
            false => {
                self.note(1, &level, "The level is left out: no rule asks for it.");
            }
        }
    }

    fn write(&self, kinds: &Kinds) -> String {
        let mut out = String::new();
        let mut line = |indent: usize, text: String| {
            out.push_str(&"  ".repeat(indent));
            out.push_str(&text);
            out.push('\n');
        };
        line(0, format!("name: {}", self.name));
        line(0, format!("title: {}", quoted(&cut(&self.title, TITLE_CHARACTERS_MAX))));
        if !self.description.is_empty() {
            line(
                0,
                format!("description: {}", quoted(&cut(&self.description, TEXT_CHARACTERS_MAX))),
            );
        }
        if self.is_draft {
            line(0, "draft: true".into());
        }
        let filter = filter(&self.kinds, &self.types, &self.tags, self.when.as_ref());
        if !filter.is_empty() {
            line(0, "filter:".into());
            filter.into_iter().for_each(|it| line(1, it));
        }
        if !kinds.is_empty() {
            line(0, "facts:".into());
            for (key, kind) in kinds {
                let kind = kind.to_string();
                let word = kind.split(' ').next().unwrap_or_default();
                line(1, format!("{}: {{type: {word}}}", quoted(key)));
            }
        }
        line(0, "checks:".into());
        line(1, format!("- name: {}", self.name));
        line(2, format!("title: {}", quoted(&cut(&self.title, TITLE_CHARACTERS_MAX))));
        line(2, "rules:".into());
        for rule in &self.rules {
            line(3, format!("- name: {}", rule.name));
            line(4, format!("title: {}", quoted(&cut(&rule.title, TITLE_CHARACTERS_MAX))));
            if rule.weight != 1 {
                line(4, format!("weight: {}", rule.weight));
            }
            if let Some(level) = &rule.level {
                line(4, format!("level: {}", quoted(level)));
            }
            let filter = self::filter(&rule.kinds, &rule.types, &[], rule.when.as_ref());
            if !filter.is_empty() {
                line(4, "filter:".into());
                filter.into_iter().for_each(|it| line(5, it));
            }
            line(4, format!("pass: {}", quoted(&rule.pass.to_cel())));
            if let Some(from) = &rule.from {
                line(4, format!("from: {from}"));
            }
            if let Some(remedy) = &rule.remedy {
                line(4, format!("remedy: {}", quoted(&cut(remedy, TEXT_CHARACTERS_MAX))));
            }
        }
        if !self.levels.is_empty() {
            let names: Vec<String> = self.levels.iter().map(|(name, _)| quoted(name)).collect();
            line(0, format!("levels: [{}]", names.join(", ")));
        }
        if !self.exempt {
            line(0, "exemptions: {enabled: false}".into());
        }
        out
    }
}

fn filter(kinds: &[String], types: &[String], tags: &[String], when: Option<&Ask>) -> Vec<String> {
    let lists = [("kinds", kinds), ("types", types), ("tags", tags)];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
    let mut lines: Vec<String> = lists
        .map(|(key, list)| {
            let list: Vec<String> = list.iter().map(|it| quoted(it)).collect();
            format!("{key}: [{}]", list.join(", "))
        })
        .collect();
    lines.extend(when.map(|it| format!("when: {}", quoted(&it.to_cel()))));
    lines
}

/// Whether `ask` is a good expression; without `facts` it may ask for none.
fn readable(ask: &Ask, facts: Option<&Kinds>) -> Result<(), String> {
    let vocabulary = Vocabulary { entity: facts::catalog::kind(), facts: facts.cloned() };
    let read = Expression::read(&ask.to_cel(), &vocabulary);
    read.map(drop).map_err(|broken| {
        let message = broken.message.trim_end_matches('.');
        let mut letters = message.chars();
        let first = letters.next().map(|it| it.to_lowercase().to_string()).unwrap_or_default();
        format!("{first}{}", letters.as_str())
    })
}

/// One line, and no longer than that.
fn cut(text: &str, characters_max: usize) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(characters_max - 1) {
        Some((end, last)) if line.len() > end + last.len_utf8() => format!("{}…", &line[..end]),
        _ => line,
    }
}

/// `Has Custom Data` as a name: `has-custom-data`.
pub fn name(text: &str) -> String {
    let mut name = String::new();
    let mut was_lower = false;
    for character in text.chars() {
        if character.is_ascii_uppercase() && was_lower {
            name.push('-');
        }
        match character.to_ascii_lowercase() {
            it if it.is_ascii_lowercase() || it.is_ascii_digit() => name.push(it),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
        was_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
    }
    let name = name.trim_matches('-');
    let start = if name.starts_with(|it: char| it.is_ascii_lowercase()) { "" } else { "s-" };
    let name: String = format!("{start}{name}").chars().take(NAME_CHARACTERS_MAX - 4).collect();
    name.trim_end_matches('-').to_string()
}

/// `name`, or it with a number, where it is taken.
fn unused(name: &str, names: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.to_string()).chain(numbered).find(|it| !names.contains(it));
    let free = free.unwrap_or_default();
    names.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        for (text, expected) in [
            ("Has Custom Data", "has-custom-data"),
            ("hasReadme", "has-readme"),
            ("DORA Metrics", "dora-metrics"),
            ("2fa", "s-2fa"),
            ("Concise (team target -- <=200 lines)", "concise-team-target-200-lines"),
            ("é!", "s-"),
        ] {
            assert_eq!(name(text), expected.trim_end_matches('-'), "{text}");
        }
        let mut names = BTreeSet::new();
        assert_eq!(unused("a", &mut names), "a");
        assert_eq!(unused("a", &mut names), "a-2");
    }

    #[test]
    fn a_long_text_is_one_line_that_fits() {
        assert_eq!(cut("a\n  b", 10), "a b");
        assert_eq!(cut(&"é".repeat(11), 10).chars().count(), 10);
        assert_eq!(cut(&"é".repeat(10), 10), "é".repeat(10));
    }
}
