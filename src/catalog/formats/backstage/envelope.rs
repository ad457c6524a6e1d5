//! What every document has, whatever its kind: `apiVersion`, `kind`, `metadata`.
//!
//! Follows Backstage's code where its docs differ (they allow fewer names and more namespaces).
//! Source: `EntityMeta.schema.json`, `FieldFormatEntityPolicy.ts`, `KubernetesValidatorFunctions.ts`.

use super::findings::{Findings, Path, quoted};
use super::kinds::{self, Kind};
use super::rule::Rule;
use super::shape::Shape;
use crate::catalog::EntityRef;
use crate::catalog::formats::yaml::{Content, Entry, Node, Position};

/// The most characters of a name, a namespace, a tag, the value of a label.
const NAME_MAX: usize = 63;
/// The most characters of the part of a key before its `/`.
const PREFIX_MAX: usize = 253;

/// Who a document is about.
#[derive(Debug, Clone)]
pub struct Identity {
    pub api_version: String,
    pub kind: String,
    pub reference: EntityRef,
    /// `None` for a kind of one's own.
    pub built_in: Option<&'static Kind>,
}

impl Identity {
    /// Whether it is a built-in kind in a version that we do not know, or with its name in another case.
    pub fn is_foreign(&self) -> bool {
        self.built_in.is_some_and(|kind| {
            kind.name != self.kind || !kind.api_versions.contains(&self.api_version.as_str())
        })
    }
}

/// Checks all of `root` except `spec`; `None` when it cannot be told who it is about.
///
/// From then on the problems name the entity.
pub fn check(root: &Node, findings: &mut Findings<'_>) -> Option<Identity> {
    let identity = identity(root, findings);
    if let Some(identity) = &identity {
        findings.reference = Some(identity.reference.to_string());
        check_kind(root, identity, findings);
    }
    check_fields_of_root(root, findings);
    if let Some(metadata) = root.get("metadata") {
        check_metadata(metadata, findings);
    }
    identity
}

fn identity(root: &Node, findings: &mut Findings<'_>) -> Option<Identity> {
    let (whole, at) = ("the document", root.at);
    let api_version = required_text(root, "apiVersion", at, whole, CORE_EXAMPLE, findings);
    let kind = required_text(root, "kind", at, whole, "Component", findings);
    let Some(metadata) = root.entry("metadata") else {
        missing("metadata", at, whole, "{name: my-service}", findings);
        return None;
    };
    let Content::Mapping(_) = metadata.value.content else {
        let path = Path::root("metadata");
        Shape::Mapping(&[]).check(&metadata.value, metadata.at(), &path, findings);
        return None;
    };
    let at = metadata.key_at;
    let name = required_text(&metadata.value, "name", at, "metadata", "my-service", findings);
    let namespace = match metadata.value.get("namespace") {
        None => Some("default"),
        Some(namespace) => namespace.text(),
    };
    Some(Identity {
        api_version: api_version?.to_string(),
        kind: kind?.to_string(),
        reference: EntityRef::new(kind?, namespace?, name?),
        built_in: kinds::kind(kind?),
    })
}

const CORE_EXAMPLE: &str = "backstage.io/v1alpha1";

fn required_text<'a>(
    parent: &'a Node,
    key: &str,
    at: Position,
    within: &str,
    example: &str,
    findings: &mut Findings<'_>,
) -> Option<&'a str> {
    let Some(entry) = parent.entry(key) else {
        missing(key, at, within, example, findings);
        return None;
    };
    let metadata = Path::root("metadata");
    let path = if within == "metadata" { metadata.key(key) } else { Path::root(key) };
    Shape::Text.check(&entry.value, entry.at(), &path, findings);
    entry.value.text().filter(|text| !text.is_empty())
}

fn missing(key: &str, at: Position, within: &str, example: &str, findings: &mut Findings<'_>) {
    findings.add(
        Rule::RequiredField,
        at,
        format!("`{key}` is missing."),
        format!("Add it to {within}, for example `{key}: {example}`."),
    );
}

fn check_kind(root: &Node, identity: &Identity, findings: &mut Findings<'_>) {
    let Identity { api_version, kind, built_in, .. } = identity;
    let place = |key: &str| root.entry(key).map_or(root.at, Entry::at);
    match built_in {
        Some(built_in) if built_in.name != kind => findings.add(
            Rule::Kind,
            place("kind"),
            format!("The kind `{}` is written `{}`.", quoted(kind), built_in.name),
            format!("Write `kind: {}`.", built_in.name),
        ),
        Some(built_in) if identity.is_foreign() => findings.add(
            Rule::ApiVersion,
            place("apiVersion"),
            format!("`{}` is no version of the kind `{kind}`.", quoted(api_version)),
            format!("Write `apiVersion: {}`.", built_in.api_versions[0]),
        ),
        Some(_) => {}
        None => check_custom_kind(kind, api_version, place, findings),
    }
}

fn check_custom_kind(
    kind: &str,
    api_version: &str,
    place: impl Fn(&str) -> Position,
    findings: &mut Findings<'_>,
) {
    if !is_kind(kind) {
        findings.add(
            Rule::Kind,
            place("kind"),
            format!("`{}` is no name of a kind.", quoted(kind)),
            format!("Use letters and digits, a letter first, {NAME_MAX} at most."),
        );
    } else if !is_key(api_version, is_version) {
        findings.add(
            Rule::ApiVersion,
            place("apiVersion"),
            format!("`{}` is no version of a kind.", quoted(api_version)),
            "Write a version, or a domain and a version: `acme.example/v1`.",
        );
    } else {
        findings.add(
            Rule::CustomKind,
            place("kind"),
            format!("`{kind}` is a kind of your own."),
            "It is kept as it is. `owner`, `system`, `dependsOn` and `dependencyOf` in its `spec` mean what they mean everywhere.",
        );
    }
}

fn check_fields_of_root(root: &Node, findings: &mut Findings<'_>) {
    for entry in root.entries() {
        match entry.key.as_str() {
            "apiVersion" | "kind" | "metadata" => {}
            "spec" => {
                Shape::Mapping(&[]).check(&entry.value, entry.at(), &Path::root("spec"), findings);
            }
            "relations" | "status" => findings.add(
                Rule::OutputField,
                entry.key_at,
                format!("`{}` is passed over: the catalog itself works it out.", entry.key),
                "Remove it. Relations come from fields of `spec` such as `dependsOn`.",
            ),
            other => findings.add(
                Rule::UnknownField,
                entry.key_at,
                format!("`{}` has no place beside `metadata` and `spec`.", quoted(other)),
                match other {
                    "name" | "namespace" | "title" | "description" | "labels" | "annotations"
                    | "tags" | "links" => "Indent it, so that it belongs to `metadata`.",
                    _ => "Indent it, so that it belongs to `spec` or `metadata`, or remove it.",
                },
            ),
        }
    }
}

fn check_metadata(metadata: &Node, findings: &mut Findings<'_>) {
    let path = Path::root("metadata");
    for entry in metadata.entries() {
        let name = path.key(&entry.key);
        let (value, at) = (&entry.value, entry.at());
        match entry.key.as_str() {
            "name" => check_name(entry, findings),
            "namespace" => {
                Shape::Text.check(value, at, &name, findings);
                check_namespace(entry, findings);
            }
            "title" | "uid" | "etag" => Shape::Text.check(value, at, &name, findings),
            "description" => Shape::AnyText.check(value, at, &name, findings),
            "labels" => {
                Shape::MappingOfTexts(&[]).check(value, at, &name, findings);
                check_labels(value, &name, findings);
            }
            "annotations" => {
                Shape::MappingOfTexts(&[]).check(value, at, &name, findings);
                check_keys(value, Rule::Annotation, &name, findings);
            }
            "tags" => {
                Shape::Texts.check(value, at, &name, findings);
                check_tags(value, &name, findings);
            }
            "links" => {
                Shape::Mappings(&[]).check(value, at, &name, findings);
                check_links(value, &name, findings);
            }
            _ => {}
        }
    }
}

fn check_name(entry: &Entry, findings: &mut Findings<'_>) {
    let Some(name) = entry.value.text() else { return };
    if name.is_empty() || is_name(name) {
        return;
    }
    let hint = match name.chars().count() {
        long if long > NAME_MAX => format!("It has {long} characters; {NAME_MAX} are the most."),
        _ => match proposed(name) {
            Some(proposed) => format!("Write for example `{proposed}`; `title` may have any text."),
            None => "Use letters and digits, and `-`, `_` or `.` between them.".into(),
        },
    };
    findings.add(
        Rule::Name,
        entry.value.at,
        format!("`{}` is no name of an entity.", quoted(name)),
        hint,
    );
}

/// The valid name nearest to `name`.
fn proposed(name: &str) -> Option<String> {
    let dashed: String = name
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() || "_.".contains(it) { it } else { '-' })
        .collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    let proposed = words.join("-").trim_matches(['_', '.']).to_string();
    is_name(&proposed).then_some(proposed)
}

fn check_namespace(entry: &Entry, findings: &mut Findings<'_>) {
    let Some(namespace) = entry.value.text() else { return };
    if namespace.is_empty() || is_dns_label(namespace) {
        return;
    }
    let lower = namespace.to_lowercase();
    let hint = if is_dns_label(&lower) {
        format!("Write `{lower}`.")
    } else {
        format!("Use lower-case letters and digits, `-` between them, {NAME_MAX} at most.")
    };
    findings.add(
        Rule::Namespace,
        entry.value.at,
        format!("`{}` is no namespace.", quoted(namespace)),
        hint,
    );
}

fn check_labels(labels: &Node, path: &Path<'_>, findings: &mut Findings<'_>) {
    check_keys(labels, Rule::Label, path, findings);
    for entry in labels.entries() {
        let Some(value) = entry.value.text() else { continue };
        if value.is_empty() || is_name(value) {
            continue;
        }
        findings.add(
            Rule::Label,
            entry.value.at,
            format!("`{}` cannot be the value of the label `{}`.", quoted(value), quoted(&entry.key)),
            format!(
                "Use letters and digits, `-`, `_` or `.` between them, {NAME_MAX} at most; any text may stand in an annotation."
            ),
        );
    }
}

fn check_keys(mapping: &Node, rule: Rule, path: &Path<'_>, findings: &mut Findings<'_>) {
    for entry in mapping.entries().iter().filter(|entry| !is_key(&entry.key, is_name)) {
        findings.add(
            rule,
            entry.key_at,
            format!("`{}` cannot be a key of `{path}`.", quoted(&entry.key)),
            "Write a name, or a domain in lower case and a name: `acme.example/tier`.",
        );
    }
}

fn check_tags(tags: &Node, path: &Path<'_>, findings: &mut Findings<'_>) {
    for (index, tag) in tags.items().iter().enumerate() {
        let Some(text) = tag.text().filter(|text| !text.is_empty() && !is_tag(text)) else {
            continue;
        };
        let proposed = proposed(&text.to_lowercase().replace(['_', '.'], "-"));
        findings.add(
            Rule::Tag,
            tag.at,
            format!("`{}` is no tag (`{}`).", quoted(text), path.item(index)),
            match proposed.filter(|it| is_tag(it)) {
                Some(proposed) => format!("Write `{proposed}`."),
                None => format!(
                    "Use lower-case letters, digits, `:`, `+`, `#`, and `-` between them, {NAME_MAX} at most."
                ),
            },
        );
    }
}

fn check_links(links: &Node, path: &Path<'_>, findings: &mut Findings<'_>) {
    for (index, link) in links.items().iter().enumerate() {
        let path = path.item(index);
        let Content::Mapping(entries) = &link.content else { continue };
        if link.get("url").is_none() {
            findings.add(
                Rule::RequiredField,
                link.at,
                format!("`{}` is missing.", path.key("url")),
                "Add it, for example `url: https://wiki.acme.example/runbook`.",
            );
        }
        for entry in entries {
            let name = path.key(&entry.key);
            if !matches!(entry.key.as_str(), "url" | "title" | "icon" | "type") {
                continue;
            }
            Shape::Text.check(&entry.value, entry.at(), &name, findings);
            let Some(text) = entry.value.text().filter(|text| !text.is_empty()) else { continue };
            let hint = match entry.key.as_str() {
                "url" if url::Url::parse(text).is_err() => {
                    "Write a whole URL, with `https://` at its start."
                }
                "title" if text.trim().is_empty() => "Write a title, or leave the field out.",
                "icon" if !is_name(text) => "Write the name of an icon, such as `dashboard`.",
                _ => continue,
            };
            let message = format!("`{name}` cannot be `{}`.", quoted(text));
            findings.add(Rule::Link, entry.value.at, message, hint);
        }
    }
}

/// `^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$`, 63 characters at most.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= NAME_MAX
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.'))
}

/// `^[a-z0-9]+(-[a-z0-9]+)*$`, 63 characters at most.
fn is_dns_label(text: &str) -> bool {
    is_dashed(text, |it| it.is_ascii_lowercase() || it.is_ascii_digit())
}

/// `^[a-z0-9:+#]+(-[a-z0-9:+#]+)*$`, 63 characters at most.
fn is_tag(text: &str) -> bool {
    is_dashed(text, |it| {
        it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, b':' | b'+' | b'#')
    })
}

fn is_dashed(text: &str, is_part: impl Fn(u8) -> bool) -> bool {
    text.len() <= NAME_MAX
        && text.split('-').all(|part| !part.is_empty() && part.bytes().all(&is_part))
}

/// `[prefix/]name`: the prefix a DNS name, the name as `is_suffix` says.
fn is_key(text: &str, is_suffix: impl Fn(&str) -> bool) -> bool {
    match text.split_once('/') {
        None => is_suffix(text),
        Some((prefix, suffix)) => {
            prefix.len() <= PREFIX_MAX && prefix.split('.').all(is_dns_label) && is_suffix(suffix)
        }
    }
}

/// `^[a-zA-Z][a-z0-9A-Z]*$`, 63 characters at most.
fn is_kind(text: &str) -> bool {
    is_version(text) && text.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// `^[a-z0-9A-Z]+$`, 63 characters at most.
fn is_version(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_alphanumeric())
}
