//! The shapes that values may have.

use super::findings::{Findings, Path, quoted};
use super::kinds::Field;
use super::rule::Rule;
use crate::catalog::formats::yaml::{Content, Node, Position};

#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Not empty.
    Text,
    /// May be empty.
    AnyText,
    /// A list of texts that are not empty.
    Texts,
    AnyTexts,
    /// One text or a list, not empty.
    TextOrTexts,
    /// One of these.
    Word(&'static [&'static str]),
    TextOrBool,
    /// A mapping in which these fields have their shape, and others any.
    Mapping(&'static [Field]),
    /// The same, but others are text.
    MappingOfTexts(&'static [Field]),
    Mappings(&'static [Field]),
    MappingOrMappings(&'static [Field]),
}

/// Checks `fields` of the mapping `parent`, which stands at `at` under the name `path`.
pub fn check_fields(
    fields: &[Field],
    parent: &Node,
    at: Position,
    path: &Path<'_>,
    findings: &mut Findings<'_>,
) {
    for field in fields {
        let name = path.key(field.name);
        match (parent.entry(field.name), field.required) {
            (Some(entry), _) => field.shape.check(&entry.value, entry.at(), &name, findings),
            (None, Some(example)) => findings.add(
                Rule::RequiredField,
                at,
                format!("`{name}` is missing."),
                format!("Add it to `{path}`, for example `{}: {example}`.", field.name),
            ),
            (None, None) => {}
        }
    }
}

impl Shape {
    /// Checks `node`, which stands at `at` under the name `path`.
    pub fn check(self, node: &Node, at: Position, path: &Path<'_>, findings: &mut Findings<'_>) {
        match (self, &node.content) {
            (Shape::Text | Shape::TextOrTexts, Content::Text(text)) if text.is_empty() => {
                empty(at, path, findings);
            }
            (Shape::TextOrTexts, Content::List(items)) if items.is_empty() => {
                empty(at, path, findings);
            }
            (
                Shape::Text | Shape::AnyText | Shape::TextOrTexts | Shape::TextOrBool,
                Content::Text(_),
            )
            | (Shape::TextOrBool, Content::Bool(_)) => {}
            (Shape::Texts | Shape::TextOrTexts, Content::List(items)) => {
                Shape::Text.check_items(items, path, findings);
            }
            (Shape::AnyTexts, Content::List(items)) => {
                Shape::AnyText.check_items(items, path, findings);
            }
            (Shape::Word(words), Content::Text(text)) => {
                if !words.contains(&text.as_str()) {
                    findings.add(
                        Rule::FieldValue,
                        at,
                        format!("`{path}` is `{}`.", quoted(text)),
                        format!("Write one of `{}`.", words.join("`, `")),
                    );
                }
            }
            (Shape::Mapping(fields) | Shape::MappingOrMappings(fields), Content::Mapping(_)) => {
                check_fields(fields, node, at, path, findings);
            }
            (Shape::MappingOfTexts(fields), Content::Mapping(entries)) => {
                check_fields(fields, node, at, path, findings);
                let others = entries
                    .iter()
                    .filter(|entry| fields.iter().all(|field| field.name != entry.key));
                for entry in others {
                    Shape::AnyText.check(&entry.value, entry.at(), &path.key(&entry.key), findings);
                }
            }
            (Shape::Mappings(fields) | Shape::MappingOrMappings(fields), Content::List(items)) => {
                Shape::Mapping(fields).check_items(items, path, findings);
            }
            _ => findings.add(
                Rule::FieldType,
                at,
                format!("`{path}` is {}, and must be {}.", node.what(), self.expected()),
                self.mend(node),
            ),
        }
    }

    fn check_items(self, items: &[Node], path: &Path<'_>, findings: &mut Findings<'_>) {
        for (index, item) in items.iter().enumerate() {
            self.check(item, item.at, &path.item(index), findings);
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Shape::Text | Shape::AnyText | Shape::Word(_) => "text",
            Shape::Texts | Shape::AnyTexts => "a list of texts",
            Shape::TextOrTexts => "text or a list of texts",
            Shape::TextOrBool => "text, true or false",
            Shape::Mapping(_) => "a mapping",
            Shape::MappingOfTexts(_) => "a mapping of texts",
            Shape::Mappings(_) => "a list of mappings",
            Shape::MappingOrMappings(_) => "a mapping or a list of mappings",
        }
    }

    /// How to put right a value of the wrong shape.
    fn mend(self, node: &Node) -> String {
        match (self, &node.content) {
            (_, Content::Null) => "Give it a value, or leave the field out.".into(),
            (
                Shape::Text | Shape::AnyText | Shape::TextOrTexts | Shape::TextOrBool,
                Content::Number(_) | Content::Bool(_),
            ) => {
                format!("Put it in quotes: `\"{}\"`.", node.clone().into_json())
            }
            (Shape::Texts | Shape::AnyTexts, Content::Text(text)) => {
                format!("Write it as a list: `[{}]`.", quoted(text))
            }
            _ => format!("Write {}.", self.expected()),
        }
    }
}

fn empty(at: Position, path: &Path<'_>, findings: &mut Findings<'_>) {
    findings.add(
        Rule::EmptyField,
        at,
        format!("`{path}` is empty."),
        "Give it a value, or leave the field out.",
    );
}
