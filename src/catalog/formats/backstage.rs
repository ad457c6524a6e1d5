//! Backstage descriptors: `catalog-info.yaml`.
//!
//! ```text
//! bytes ─text─▶ documents ─yaml─▶ tree ─placeholder─▶ whole tree ─envelope, shape─▶ good ─relations─▶ Descriptor
//! ```
//!
//! Backstage's own code decides what is good. We differ from it in four ways, each of them more lenient: several
//! owners, references in `dependsOn` without a kind, kinds of one's own, and `relations` or `status` in a file.

mod envelope;
mod findings;
mod kinds;
mod placeholder;
mod relations;
pub mod rule;
mod shape;
mod skeleton;

use granit_parser::ErrorKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::envelope::Identity;
use self::findings::{Findings, Path};
use self::placeholder::Placeholders;
use self::rule::Rule;
use super::text;
use super::yaml::{self, Content, Document, Entry, Node, Position, Reason, into_json_object};
use crate::catalog::{Descriptor, Problem, Relation};

/// The most bytes one file may have.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// The most documents one file may have.
const DOCUMENTS_MAX: u32 = 10_000;

/// What one file has in it.
#[derive(Debug, Default)]
pub struct FileContents {
    /// How many documents it has, empty ones left out.
    pub documents: u32,
    pub descriptors: Vec<Descriptor>,
    /// Files that its Locations point to, as written, with what is needed to report on them.
    pub targets: Vec<LocationTarget>,
    pub problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationTarget {
    /// As written; relative to the file, may have globs: `./services/*/catalog-info.yaml`.
    pub target: String,
    /// `file` or `url`, when the document says so.
    pub kind: Option<String>,
    /// Whether a missing target is no problem (`presence: optional`).
    pub optional: bool,
    pub document: u32,
    pub line: u32,
    pub column: u32,
}

/// Reads what a placeholder `$text`, `$json`, `$yaml` names, relative to the file it stands in.
///
/// # Errors
/// A sentence that says why not: missing, outside the source's root, too large.
pub type ReadPlaceholder<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Reads every document of `text`. One bad document never costs a neighbour.
///
/// `file` is what problems name.
pub fn read(text: &[u8], file: &str, placeholder: ReadPlaceholder<'_>) -> FileContents {
    let mut contents = FileContents::default();
    // What concerns the file, not one of its documents.
    let mut findings = Findings::new(file, 0);
    if text.len() > FILE_BYTES_MAX {
        findings.add(
            Rule::FileSize,
            Position { line: 1, column: 1 },
            format!(
                "The file has {} KiB; {} are the most.",
                text.len() >> 10,
                FILE_BYTES_MAX >> 10
            ),
            "Split it, or put large definitions into files of their own and name them by `$text`.",
        );
        contents.problems = findings.problems;
        return contents;
    }
    let (text, replaced) = text::decode(text);
    if let Some(at) = replaced {
        findings.add(
            Rule::Encoding,
            at,
            "Here is a byte that is no text; `\u{fffd}` stands in for it.",
            "Save the file as UTF-8.",
        );
    }
    let mut placeholders = Placeholders::new(placeholder);
    for document in yaml::documents(&text) {
        if matches!(&document.root, Ok(root) if root.is_null()) {
            continue;
        }
        if contents.documents == DOCUMENTS_MAX {
            findings.add(
                Rule::DocumentCount,
                document.at,
                format!("The file has more than {DOCUMENTS_MAX} documents. The rest is not read."),
                "Split the file.",
            );
            break;
        }
        read_document(document, file, &mut placeholders, &mut contents);
        contents.documents += 1;
    }
    contents.problems.append(&mut findings.problems);
    contents
}

fn read_document(
    document: Document<'_>,
    file: &str,
    placeholders: &mut Placeholders<'_>,
    contents: &mut FileContents,
) {
    let index = contents.documents;
    let mut findings = Findings::new(file, index);
    let may_be_skeleton = match document.root {
        Ok(mut root) => {
            placeholders.substitute(&mut root, &mut findings);
            match check(&root, &mut findings) {
                Some((identity, relations)) => {
                    contents.targets.extend(targets(&root, &identity, index));
                    contents.descriptors.push(descriptor(root, identity, relations, index));
                    false
                }
                None => skeleton::has_no_name_yet(&root),
            }
        }
        Err(broken) => {
            findings.add(
                rule_of(&broken.reason),
                broken.at,
                broken.reason.to_string(),
                mend(&broken.reason),
            );
            skeleton::may_be_broken_by(&broken.reason, document.text)
        }
    };
    if may_be_skeleton && let Some((at, marker)) = skeleton::first_marker(document.text) {
        let within = text::position(document.text, at);
        findings = Findings::new(file, index);
        findings.add(
            Rule::TemplateSkeleton,
            Position { line: document.at.line + within.line - 1, column: within.column },
            format!("This is the skeleton of a software template (`{marker}`) and is passed over."),
            "Nothing to do: what is made from it will be read.",
        );
    }
    contents.problems.append(&mut findings.problems);
}

/// Who the document is about and how it relates to others; `None` when it is refused.
fn check(root: &Node, findings: &mut Findings<'_>) -> Option<(Identity, Vec<Relation>)> {
    let Content::Mapping(_) = root.content else {
        findings.add(
            Rule::NotAMapping,
            root.at,
            format!("The document is {}, and must be a mapping.", root.what()),
            "Begin it with `apiVersion: backstage.io/v1alpha1` and `kind: Component`.",
        );
        return None;
    };
    let identity = envelope::check(root, findings)?;
    let relations = match (identity.built_in, root.entry("spec")) {
        (Some(kind), Some(Entry { key_at, value, .. })) if value.is_mapping() => {
            shape::check_fields(kind.fields, value, *key_at, &Path::root("spec"), findings);
            relations::relations(kind.fields, value, &identity.reference, findings)
        }
        (Some(kind), None) => {
            findings.add(
                Rule::RequiredField,
                root.at,
                "`spec` is missing.",
                format!("Every {} has one; write what it says of itself there.", kind.name),
            );
            Vec::new()
        }
        (None, Some(spec)) => {
            relations::relations(kinds::CUSTOM, &spec.value, &identity.reference, findings)
        }
        (Some(_), Some(_)) | (None, None) => Vec::new(),
    };
    (!findings.refused).then_some((identity, relations))
}

/// The files that a Location names.
fn targets(root: &Node, identity: &Identity, document: u32) -> Vec<LocationTarget> {
    let Some(spec) = root.get("spec").filter(|_| identity.kind == "Location") else {
        return Vec::new();
    };
    let said = |key| spec.get(key).and_then(Node::text);
    let several = spec.get("targets").map(Node::items).unwrap_or_default();
    spec.get("target")
        .into_iter()
        .chain(several)
        .filter_map(|target| {
            Some(LocationTarget {
                target: target.text()?.to_string(),
                kind: said("type").map(str::to_string),
                optional: said("presence") == Some("optional"),
                document,
                line: target.at.line,
                column: target.at.column,
            })
        })
        .collect()
}

fn descriptor(
    root: Node,
    identity: Identity,
    relations: Vec<Relation>,
    document: u32,
) -> Descriptor {
    let line = root.at.line;
    let (mut metadata, mut spec) = (Map::new(), Value::Null);
    for entry in root.into_entries() {
        match entry.key.as_str() {
            "metadata" => metadata = into_json_object(entry.value.into_entries()),
            "spec" => spec = entry.value.into_json(),
            // `relations` and `status` are the catalog's to say.
            _ => {}
        }
    }
    Descriptor {
        reference: identity.reference,
        api_version: identity.api_version,
        kind: identity.kind,
        metadata,
        spec,
        relations,
        document,
        line,
    }
}

fn rule_of(reason: &Reason) -> Rule {
    match reason {
        Reason::DuplicateKey(_) => Rule::DuplicateKey,
        Reason::TooDeep | Reason::TooManyValues | Reason::TooManyCopies => Rule::YamlLimit,
        Reason::Syntax(_) | Reason::Circle | Reason::Nul | Reason::Merge => Rule::Yaml,
    }
}

/// How to put right what is no YAML.
fn mend(reason: &Reason) -> &'static str {
    match reason {
        Reason::DuplicateKey(_) => "Remove one of them, or indent it to where it belongs.",
        Reason::TooDeep | Reason::TooManyValues => {
            "Split the file, or put definitions into files of their own and name them by `$text`."
        }
        Reason::TooManyCopies | Reason::Circle => "Write the values out instead of using aliases.",
        Reason::Nul => "Remove it.",
        Reason::Merge => "Write `<<: *anchor`, with the anchor on a mapping.",
        Reason::Syntax(kind) => mend_syntax(kind),
    }
}

fn mend_syntax(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => "Indent with spaces instead of tabs.",
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::DocumentIndicatorInQuotedScalar
        | ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            "Close the quote; a quote within the text is doubled ('') or escaped (\\\")."
        }
        ErrorKind::UnexpectedCharacter { .. } => "Put the text in quotes.",
        ErrorKind::UnknownAnchor => {
            "Put text that begins with `*` in quotes, or define the anchor above."
        }
        ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey
        | ErrorKind::MappingValueNotAllowed
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation => {
            "Check the indentation here and one line above, that `: ` follows each key, and quotes around text that has `: ` in it."
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::MismatchedFlowCollectionEnd { .. }
        | ErrorKind::MisplacedFlowCollectionEnd
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator => {
            "Check the brackets, and put text that begins with `{` or `[` in quotes."
        }
        _ => "Check the indentation, quotes and brackets here and one line above.",
    }
}
