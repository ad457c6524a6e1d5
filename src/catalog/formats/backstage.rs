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
        // Nobody knows what its `spec` should have.
        _ if identity.is_foreign() => Vec::new(),
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
        Reason::Syntax(_) | Reason::Circle | Reason::KeyIsNoText | Reason::Nul | Reason::Merge => {
            Rule::Yaml
        }
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
        Reason::KeyIsNoText => "Put text that begins with `{` or `[` in quotes.",
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::Severity;

    const GOOD: &str = "\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: payment-api
spec:
  type: service
  lifecycle: production
  owner: payments
";

    fn contents(text: &str) -> FileContents {
        read(text.as_bytes(), "catalog-info.yaml", &|named| match named {
            "./note.txt" => Ok("A note.\n".into()),
            "./note.json" => Ok("{\"a\": [1]}".into()),
            "./note.yaml" => Ok("a: [1]\n".into()),
            _ => Err("there is no such file".into()),
        })
    }

    /// The problems of `text`: line, column, rule.
    fn told(text: &str) -> Vec<(u32, u32, String)> {
        contents(text).problems.into_iter().map(|it| (it.line, it.column, it.rule)).collect()
    }

    /// The only problem of the good descriptor with `line` replaced by `by`.
    fn problem(line: &str, by: &str) -> Problem {
        assert!(GOOD.contains(line), "{line}");
        let mut problems = contents(&GOOD.replace(line, by)).problems;
        assert_eq!(problems.len(), 1, "{by}: {problems:#?}");
        problems.remove(0)
    }

    fn one(descriptor: &str) -> Descriptor {
        let mut read = contents(descriptor);
        assert_eq!(read.descriptors.len(), 1, "{:#?}", read.problems);
        read.descriptors.remove(0)
    }

    fn relations(descriptor: &str) -> Vec<String> {
        let said = one(descriptor).relations.into_iter();
        said.map(|it| {
            format!("{} {}{}", it.kind.word(), it.target, if it.bare { " bare" } else { "" })
        })
        .collect()
    }

    #[test]
    fn a_good_descriptor_has_no_problem() {
        let read = contents(&format!("# shop\n---\n{GOOD}"));
        assert_eq!((read.documents, read.problems.len()), (1, 0));
        let descriptor = &read.descriptors[0];
        assert_eq!(descriptor.reference.as_str(), "component:default/payment-api");
        assert_eq!((descriptor.document, descriptor.line), (0, 3));
        assert_eq!(descriptor.spec["owner"], "payments");
    }

    #[test]
    fn each_broken_rule_is_told_where_it_is_broken() {
        let name = "  name: payment-api\n";
        let owner = "  owner: payments\n";
        let kind = "kind: Component";
        for (line, by, rule, place) in [
            (kind, "kind: [Component]", "field-type", (2, 1)),
            (kind, "kind: component", "kind", (2, 7)),
            (kind, "kind: My-Kind", "kind", (2, 7)),
            (kind, "kind: ''", "empty-field", (2, 7)),
            (kind, "kind: Template", "api-version", (1, 13)),
            ("backstage.io/v1alpha1", "backstage.io/v2", "api-version", (1, 13)),
            ("apiVersion: backstage.io/v1alpha1\n", "", "required-field", (1, 1)),
            (name, "  title: Pay\n", "required-field", (3, 1)),
            (name, "  name: 12\n", "field-type", (4, 9)),
            (name, "  name: pay api\n", "name", (4, 9)),
            (name, "  name: pay-\n", "name", (4, 9)),
            (name, "  name: pay\n  namespace: Shop\n", "namespace", (5, 14)),
            (name, "  name: pay\n  namespace:\n", "field-type", (5, 3)),
            (name, "  name: pay\n  title: ''\n", "empty-field", (5, 10)),
            (name, "  name: pay\n  labels: {tier: 1}\n", "field-type", (5, 18)),
            (name, "  name: pay\n  labels: {tier: a b}\n", "label", (5, 18)),
            (name, "  name: pay\n  labels: {a/b/c: x}\n", "label", (5, 12)),
            (name, "  name: pay\n  annotations: {A.b/c: x}\n", "annotation", (5, 17)),
            (name, "  name: pay\n  annotations:\n    on: true\n", "field-type", (6, 9)),
            (name, "  name: pay\n  tags: [ok, Not Ok]\n", "tag", (5, 14)),
            (name, "  name: pay\n  tags: ok\n", "field-type", (5, 9)),
            (name, "  name: pay\n  links: [{title: x}]\n", "required-field", (5, 11)),
            (name, "  name: pay\n  links: [{url: x}]\n", "link", (5, 17)),
            (owner, "", "required-field", (5, 1)),
            (owner, "  owner:\n", "field-type", (8, 3)),
            (owner, "  owner: ''\n", "empty-field", (8, 10)),
            (owner, "  owner: []\n", "empty-field", (8, 3)),
            (owner, "  owner: [a, 1]\n", "field-type", (8, 14)),
            (owner, "  owner: a/\n", "reference", (8, 10)),
            (owner, "  owner: a\n  dependsOn: component:a\n", "field-type", (9, 14)),
            (owner, "  owner: a\n  owner: b\n", "duplicate-key", (9, 3)),
            (owner, "  owner: \"a\n", "yaml", (8, 10)),
            (owner, "  owner: a\nowner: a\n", "unknown-field", (9, 1)),
        ] {
            let problem = problem(line, by);
            let found = (problem.rule.as_str(), (problem.line, problem.column));
            assert_eq!(found, (rule, place), "{by}: {problem:#?}");
            assert_eq!(problem.severity, Severity::Error, "{by}");
            assert!(!problem.hint.is_empty(), "{by}");
        }
    }

    #[test]
    fn hints_say_what_to_write() {
        for (line, by, hint) in [
            (
                "name: payment-api",
                "name: Payment API!",
                "Write for example `Payment-API`; `title` may have any text.",
            ),
            (
                "name: payment-api",
                &format!("name: {}", "x".repeat(70)),
                "It has 70 characters; 63 are the most.",
            ),
            ("name: payment-api", "name: 007", "Put it in quotes: `\"7\"`."),
            ("kind: Component", "kind: component", "Write `kind: Component`."),
            (
                "backstage.io/v1alpha1",
                "backstage.io/v3",
                "Write `apiVersion: backstage.io/v1alpha1`.",
            ),
            ("  owner: payments\n", "", "Add it to `spec`, for example `owner: my-team`."),
            ("  owner: payments\n", "  owner:\n", "Give it a value, or leave the field out."),
            ("metadata:\n", "metadata:\n  tags: [Big Data]\n", "Write `big-data`."),
            ("spec:\n", "spec:\n  dependsOn: api:a\n", "Write it as a list: `[api:a]`."),
            ("spec:\n", "labels: {}\nspec:\n", "Indent it, so that it belongs to `metadata`."),
        ] {
            assert_eq!(problem(line, by).hint, hint, "{by}");
        }
    }

    #[test]
    fn every_problem_of_a_document_is_told_up_to_a_limit() {
        let tags = vec!["A B"; 100].join(", ");
        let text = GOOD.replace("spec:\n", "spec:\n  system: ''\n");
        assert_eq!(told(&text.replace("payment-api", "a b")).len(), 2);
        let text = GOOD.replace("metadata:\n", &format!("metadata:\n  tags: [{tags}]\n"));
        assert_eq!(told(&text).len(), 10);
    }

    #[test]
    fn relations_are_those_of_the_kind_in_the_order_of_its_fields() {
        let text = GOOD.replace(
            "spec:\n",
            "spec:\n  system: shop\n  consumesApis: [a, other/a, Api:A]\n  dependsOn: [Resource:DB]\n  dependencyOf: component:x\n",
        );
        assert_eq!(
            relations(&text.replace("payment-api", "payment-api\n  namespace: pay")),
            [
                "ownedBy group:pay/payments",
                "consumesApi api:pay/a",
                "consumesApi api:other/a",
                "dependsOn resource:pay/db",
                "dependencyOf component:pay/x",
                "partOf system:pay/shop",
            ]
        );
    }

    #[test]
    fn an_entity_that_names_itself_is_at_both_ends() {
        let text = GOOD.replace("spec:\n", "spec:\n  dependsOn: [component:payment-api]\n");
        let both =
            ["dependsOn", "dependencyOf"].map(|it| format!("{it} component:default/payment-api"));
        assert_eq!(relations(&text)[1..], both);
    }

    #[test]
    fn several_may_own_an_entity() {
        let text = GOOD.replace("owner: payments", "owner: [payments, user:zoe, payments]");
        assert_eq!(
            relations(&text),
            ["ownedBy group:default/payments", "ownedBy user:default/zoe"]
        );
        assert_eq!(told(&text), []);
    }

    #[test]
    fn a_bare_dependency_is_taken_and_told() {
        let text = GOOD.replace("spec:\n", "spec:\n  dependsOn:\n  - ledger-db\n");
        assert_eq!(relations(&text)[1], "dependsOn component:default/ledger-db bare");
        assert_eq!(told(&text), [(7, 5, "bare-reference".to_string())]);
    }

    #[test]
    fn relations_and_status_in_a_file_are_passed_over() {
        let text =
            format!("{GOOD}relations: [{{type: ownedBy, targetRef: group:x}}]\nstatus: {{}}\n");
        assert_eq!(relations(&text), ["ownedBy group:default/payments"]);
        let output = |line| (line, 1, "output-field".to_string());
        assert_eq!(told(&text), [output(9), output(10)]);
    }

    #[test]
    fn a_kind_of_ones_own_is_taken_with_its_owner() {
        let text = "apiVersion: acme.example/v1\nkind: Product\nmetadata: {name: shop}\n";
        assert_eq!(relations(text), Vec::<String>::new());
        assert_eq!(told(text), [(2, 7, "custom-kind".to_string())]);
        let text =
            format!("{text}spec: {{owner: shop, system: {{any: thing}}, dependsOn: [api:a]}}\n");
        assert_eq!(relations(&text), ["ownedBy group:default/shop", "dependsOn api:default/a"]);
    }

    #[test]
    fn a_location_names_its_targets() {
        let text = "\
apiVersion: backstage.io/v1alpha1
kind: Location
metadata: {name: all}
spec:
  type: file
  presence: optional
  target: ./a.yaml
  targets:
    - ./b/*.yaml
";
        let target = |target: &str, line, column| LocationTarget {
            target: target.into(),
            kind: Some("file".into()),
            optional: true,
            document: 0,
            line,
            column,
        };
        assert_eq!(contents(text).targets, [target("./a.yaml", 7, 11), target("./b/*.yaml", 9, 7)]);
        let refused = text.replace("presence: optional", "presence: perhaps");
        assert_eq!(told(&refused), [(6, 13, "field-value".to_string())]);
        assert_eq!(contents(&refused).targets, []);
    }

    #[test]
    fn placeholders_are_substituted_where_they_stand_alone() {
        let text = GOOD.replace(
            "spec:\n",
            "spec:\n  text: {$text: ./note.txt}\n  json: [{$json: ./note.json}]\n  yaml: {$yaml: ./note.yaml}\n  schema: {$ref: ./note.txt}\n  two: {$text: ./note.txt, b: {$text: ./note.txt}}\n",
        );
        let spec = one(&text).spec;
        assert_eq!(spec["text"], "A note.\n");
        assert_eq!(spec["json"], json!([{"a": [1]}]));
        assert_eq!(spec["yaml"], json!({"a": [1]}));
        assert_eq!(spec["schema"], json!({"$ref": "./note.txt"}));
        assert_eq!(spec["two"]["b"], json!({"$text": "./note.txt"}));
        assert_eq!(told(&text), []);
    }

    #[test]
    fn a_placeholder_that_cannot_be_read_leaves_its_name_and_a_warning() {
        for (placeholder, name, why) in [
            ("$text: ./none.txt", json!("./none.txt"), "there is no such file"),
            ("$text: https://acme.example/a", json!("https://acme.example/a"), "it is a URL"),
            ("$json: ./note.txt", json!("./note.txt"), "it is no JSON"),
            ("$yaml: 12", json!(""), "it names no file"),
        ] {
            let text = GOOD.replace("spec:\n", &format!("spec:\n  note: {{{placeholder}}}\n"));
            let read = contents(&text);
            assert_eq!(read.descriptors[0].spec["note"], name);
            let problem = &read.problems[0];
            assert_eq!((problem.line, problem.column), (6, 10));
            assert_eq!(
                (problem.rule.as_str(), problem.severity),
                ("placeholder", Severity::Warning)
            );
            assert!(problem.message.contains(why), "{}", problem.message);
        }
    }

    #[test]
    fn the_skeleton_of_a_template_is_passed_over() {
        for (line, by, place) in [
            ("name: payment-api", "name: ${{ values.name }}", (4, 9)),
            ("name: payment-api", "name: {{ cookiecutter.name }}", (4, 9)),
            ("name: payment-api", "name: <%= $Name %>", (4, 9)),
            ("  type: service\n", "  {%- if values.type %}\n  type: x\n  {%- endif %}\n", (6, 3)),
        ] {
            let problem = problem(line, by);
            assert_eq!(problem.rule, "template-skeleton", "{by}");
            assert_eq!(problem.severity, Severity::Info, "{by}");
            assert_eq!((problem.line, problem.column), place, "{by}");
        }
        // What has a name is a descriptor, though it quotes a marker.
        let text = GOOD.replace("metadata:\n", "metadata:\n  description: \"{{ x }}\"\n");
        assert_eq!(told(&text), []);
        assert_eq!(
            told(&text.replace("  owner: payments\n", "")),
            [(6, 1, "required-field".into())]
        );
    }

    #[test]
    fn empty_documents_are_left_out() {
        let read = contents(&format!("---\n# nothing\n---\n{GOOD}---\n---\n{GOOD}"));
        let documents: Vec<u32> = read.descriptors.iter().map(|it| it.document).collect();
        assert_eq!((read.documents, documents), (2, vec![0, 1]));
        assert_eq!(contents("").documents, 0);
        assert_eq!(told("just text\n"), [(1, 1, "not-a-mapping".to_string())]);
    }

    #[test]
    fn files_and_documents_are_bounded() {
        assert_eq!(told(&"#".repeat(FILE_BYTES_MAX + 1)), [(1, 1, "file-size".to_string())]);
        let storm = "--- {}\n".repeat(DOCUMENTS_MAX as usize + 1);
        let read = contents(&storm);
        assert_eq!(read.documents, DOCUMENTS_MAX);
        assert_eq!(read.problems.last().map(|it| it.rule.as_str()), Some("document-count"));
    }

    #[test]
    fn rules_have_words_of_their_own() {
        let words: std::collections::BTreeSet<&str> = Rule::ALL.map(Rule::word).into();
        assert_eq!(words.len(), Rule::ALL.len());
    }
}
