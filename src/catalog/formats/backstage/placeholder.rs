//! Placeholders: `$text: ./openapi.yaml` in the place of a value.
//!
//! As in Backstage, only a mapping whose one key is a known placeholder is one: `$ref` and the like in JSON schemas
//! stay as they are, and so does all that lies below them.

use super::ReadPlaceholder;
use super::findings::{Findings, quoted};
use super::rule::Rule;
use crate::catalog::formats::yaml::{self, Content, Node};

/// The most bytes that placeholders bring into one file.
const BYTES_MAX: usize = 8 << 20;
/// How many times its text a tree of values weighs in memory, about.
const TREE_WEIGHT: usize = 8;

/// Substitutes placeholders, within what one file may bring in.
pub struct Placeholders<'a> {
    read: ReadPlaceholder<'a>,
    bytes_left: usize,
}

#[derive(Clone, Copy)]
enum Format {
    Text,
    Json,
    Yaml,
}

impl Format {
    fn of(key: &str) -> Option<Format> {
        match key {
            // The last three are Backstage's for definitions of APIs.
            "$text" | "$openapi" | "$asyncapi" | "$graphql" => Some(Format::Text),
            "$json" => Some(Format::Json),
            "$yaml" => Some(Format::Yaml),
            _ => None,
        }
    }
}

impl<'a> Placeholders<'a> {
    pub fn new(read: ReadPlaceholder<'a>) -> Placeholders<'a> {
        Placeholders { read, bytes_left: BYTES_MAX }
    }

    /// Puts what placeholders name in their place, all over `node`. One that cannot be read becomes its own
    /// name, with a warning: a missing definition is no reason to lose an API and its owner.
    pub fn substitute(&mut self, node: &mut Node, findings: &mut Findings<'_>) {
        match &mut node.content {
            Content::List(items) => {
                for item in items {
                    self.substitute(item, findings);
                }
            }
            Content::Mapping(entries) => {
                if !entries.iter().any(|entry| entry.key.starts_with('$')) {
                    for entry in entries {
                        self.substitute(&mut entry.value, findings);
                    }
                } else if let [only] = entries.as_slice()
                    && let Some(format) = Format::of(&only.key)
                {
                    let content = match self.content(format, &only.value) {
                        Ok(content) => content,
                        Err(why) => {
                            let named = only.value.text().unwrap_or_default();
                            findings.add(
                                Rule::Placeholder,
                                only.key_at,
                                format!("`{} {}` was not read: {why}.", only.key, quoted(named)),
                                "Until it can be read, the name stands in for the content. Name a file of the same source, relative to this one.",
                            );
                            Content::Text(named.to_string())
                        }
                    };
                    node.content = content;
                }
            }
            _ => {}
        }
    }

    fn content(&mut self, format: Format, named: &Node) -> Result<Content, String> {
        let named_text = named.text().ok_or("it names no file")?;
        if named_text.contains("://") {
            return Err("it is a URL, and only files are read".into());
        }
        let text = (self.read)(named_text)?;
        if text.contains('\0') || text.contains("\\u0000") {
            return Err("it has NUL characters".into());
        }
        let weight = match format {
            Format::Text => text.len(),
            Format::Json | Format::Yaml => text.len() * TREE_WEIGHT,
        };
        self.bytes_left = self
            .bytes_left
            .checked_sub(weight)
            .ok_or_else(|| format!("the file brings in more than {} MiB", BYTES_MAX >> 20))?;
        match format {
            Format::Text => Ok(Content::Text(text)),
            Format::Json => serde_json::from_str(&text)
                .map(|value| Node::from_json(value, named.at).content)
                .map_err(|error| format!("it is no JSON ({error})")),
            Format::Yaml => one_document(&text),
        }
    }
}

fn one_document(text: &str) -> Result<Content, String> {
    let mut documents = yaml::documents(text);
    let (Some(document), None) = (documents.next(), documents.next()) else {
        return Err("it has not exactly one YAML document".into());
    };
    match document.root {
        Ok(root) => Ok(root.content),
        Err(broken) => {
            let reason = broken.reason.to_string();
            Err(format!("in its line {}: {}", broken.at.line, reason.trim_end_matches('.')))
        }
    }
}
