//! One file of a source: whether it changed, what it says, and what is wrong with it.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::KIND_NOT_ALLOWED;
use crate::catalog::formats::backstage::{self, FileContents, LocationTarget};
use crate::catalog::sources::{FileText, Source, SourceFile, Stamp, file};
use crate::catalog::{Descriptor, EntityRef, Problem, Relation, RelationKind, Severity};

/// What is remembered of a file since it was read last.
#[derive(Debug, Clone, Default)]
pub struct KnownFile {
    pub bytes: u64,
    /// `None` when the file was so new then that a later change may have left the time the same.
    pub modified_ns: Option<i64>,
    /// `None` when it must be read again whatever it is.
    pub checksum: Option<Vec<u8>>,
    pub etag: Option<String>,
    pub documents: u32,
    pub includes: Vec<Include>,
    pub targets: Vec<LocationTarget>,
}

/// A file that a placeholder reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Include {
    pub name: String,
    pub bytes: u64,
    /// `None` when it could not be read, or was too new to be sure of.
    pub modified_ns: Option<i64>,
}

/// An entity as its document says it, ready to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    pub reference: EntityRef,
    /// `{"apiVersion","kind","metadata","spec"}`
    pub body: String,
    pub relations: Vec<Relation>,
    /// SHA-256 of body and relations.
    pub hash: Vec<u8>,
    pub file: String,
    pub document: u32,
    pub line: u32,
}

/// A file after a look at it.
#[derive(Debug)]
pub struct ReadFile {
    pub name: String,
    /// What to remember of it.
    pub known: KnownFile,
    pub news: News,
    pub found: Found,
}

/// What the Locations of a file point to.
#[derive(Debug, Default)]
pub struct Found {
    pub files: Vec<SourceFile>,
    /// Targets that lead nowhere.
    pub problems: Vec<Problem>,
}

#[derive(Debug)]
pub enum News {
    /// It says what it said, though its time is another.
    None,
    /// Everything that it says.
    Says { entities: Vec<Incoming>, problems: Vec<Problem> },
}

struct Text {
    text: Vec<u8>,
    /// `None` for what was fetched.
    stamp: Option<Stamp>,
    etag: Option<String>,
}

/// How the files of one source are read.
#[derive(Debug, Clone)]
pub struct Reader {
    pub source: Arc<Source>,
    /// Links resolved; `None` when there is only what was fetched.
    pub root: Option<Arc<Path>>,
    /// When reading began, since 1970: files changed within a second before may change again unnoticed.
    pub began_ns: i64,
}

/// How long after a change of a file another one certainly gets another time.
const SAME_TIME_NS: i64 = 1_000_000_000;

/// The database indexes the targets of relations; Postgres takes 2,704 bytes there.
const TARGET_BYTES_MAX: usize = 1_024;

impl Reader {
    /// Whether `file` need not be read: it, and all that it includes, are as they were.
    pub fn is_unchanged(&self, file: &SourceFile, known: &KnownFile) -> bool {
        let same = match &file.text {
            FileText::Unchanged => true,
            FileText::Fetched { .. } => false,
            FileText::OnDisk(stamp) => {
                stamp.bytes == known.bytes && Some(stamp.modified_ns) == known.modified_ns
            }
        };
        same && known.checksum.is_some() && self.are_unchanged(&known.includes)
    }

    fn are_unchanged(&self, includes: &[Include]) -> bool {
        let stamp_of = |name| file::stamp_of(self.root.as_deref()?, name);
        includes.iter().all(|it| match stamp_of(&it.name) {
            Some(now) => now.bytes == it.bytes && Some(now.modified_ns) == it.modified_ns,
            None => it.modified_ns.is_none(),
        })
    }

    /// Reads `file`. One that cannot be read says nothing but that.
    pub fn read(&self, file: SourceFile, known: Option<KnownFile>) -> ReadFile {
        let known = known.unwrap_or_default();
        let name = file.name.clone();
        // Strangers write these files: whatever one of them brings to light in a parser, the others are read.
        let read = catch_unwind(AssertUnwindSafe(|| self.look_at(file, known.clone())));
        let mut read = read.unwrap_or_else(|_| {
            unreadable(name.clone(), format!("`{name}` broke its reader"), known)
        });
        read.found = self.follow(&read.name, &read.known.targets);
        read
    }

    /// The files that Locations in `file` point to.
    pub fn follow(&self, file: &str, targets: &[LocationTarget]) -> Found {
        let mut found = Found::default();
        for target in targets {
            self.follow_target(file, target, &mut found);
        }
        found
    }

    fn follow_target(&self, file: &str, target: &LocationTarget, found: &mut Found) {
        let problem = |severity, rule, message, hint| Problem {
            document: target.document,
            line: target.line,
            column: target.column,
            severity,
            ..Problem::of_file(file, rule, message, hint)
        };
        let root = self.root.as_deref().filter(|_| !target.target.contains("://"));
        let Some(root) = root else {
            let message = format!("`{}` is not read from here.", target.target);
            let hint =
                "List it under `sources` in idp.yaml, as `url` or with its repository as `git`.";
            found.problems.push(problem(Severity::Info, "location-url", message, hint));
            return;
        };
        match file::targets(root, file, &target.target) {
            Ok(files) => found.files.extend(files),
            Err(_) if target.optional => {}
            Err(why) => {
                let hint = "Mend the target, or write `presence: optional` if it may be missing.";
                let message = sentence(&why);
                found.problems.push(problem(Severity::Error, "location-target", message, hint));
            }
        }
    }

    fn look_at(&self, file: SourceFile, known: KnownFile) -> ReadFile {
        let Text { text, stamp, etag } = match self.text(&file) {
            Ok(text) => text,
            Err(why) => return unreadable(file.name, why, known),
        };
        let mut now = KnownFile {
            bytes: stamp.map_or(text.len() as u64, |it| it.bytes),
            modified_ns: stamp.and_then(|it| self.settled(it)),
            checksum: Some(Sha256::digest(&text).to_vec()),
            etag,
            ..KnownFile::default()
        };
        if known.checksum == now.checksum && self.are_unchanged(&known.includes) {
            now.documents = known.documents;
            now.includes = known.includes;
            now.targets = known.targets;
            return ReadFile {
                name: file.name,
                known: now,
                news: News::None,
                found: Found::default(),
            };
        }
        let (contents, includes) = self.parse(&file, &text);
        now.documents = contents.documents;
        now.includes = includes;
        now.targets = contents.targets;
        let mut problems = contents.problems;
        if problems.iter().any(|it| it.severity == Severity::Error) {
            // The broken document may be the Location that named them: what it said stays.
            let is_named =
                |it: &LocationTarget| now.targets.iter().any(|now| now.target == it.target);
            let missing: Vec<_> = known.targets.into_iter().filter(|it| !is_named(it)).collect();
            now.targets.extend(missing);
        }
        let entities = contents.descriptors.into_iter();
        let entities =
            entities.filter_map(|it| self.accept(&file.name, it, &mut problems)).collect();
        let news = News::Says { entities, problems };
        ReadFile { name: file.name, known: now, news, found: Found::default() }
    }

    fn text(&self, file: &SourceFile) -> Result<Text, String> {
        match (&file.text, self.root.as_deref()) {
            (FileText::OnDisk(_), Some(root)) => {
                let (text, stamp) = file::read(root, &file.name)?;
                Ok(Text { text, stamp: Some(stamp), etag: None })
            }
            (FileText::Fetched { text, etag }, _) => {
                Ok(Text { text: text.clone(), stamp: None, etag: etag.clone() })
            }
            _ => Err(format!("`{}` was not sent", file.name)),
        }
    }

    fn settled(&self, stamp: Stamp) -> Option<i64> {
        Some(stamp.modified_ns).filter(|it| it + SAME_TIME_NS < self.began_ns)
    }

    fn parse(&self, file: &SourceFile, text: &[u8]) -> (FileContents, Vec<Include>) {
        if !file.is_named && !may_describe(text) {
            let problems = vec![no_descriptor(&file.name)];
            return (FileContents { problems, ..FileContents::default() }, Vec::new());
        }
        let includes = RefCell::new(Vec::new());
        let placeholder = |path: &str| {
            let root =
                self.root.as_deref().ok_or("a descriptor behind a URL cannot read other files")?;
            let name = file::beside(&file.name, path)?;
            let read = file::read(root, &name);
            let stamp = read.as_ref().ok().map(|(_, stamp)| *stamp);
            includes.borrow_mut().push(Include {
                name: name.clone(),
                bytes: stamp.map_or(0, |it| it.bytes),
                modified_ns: stamp.and_then(|it| self.settled(it)),
            });
            String::from_utf8(read?.0).map_err(|_| format!("`{name}` is not UTF-8"))
        };
        let contents = backstage::read(text, &file.name, &placeholder);
        (contents, includes.into_inner())
    }

    /// `descriptor` as it is stored, unless it may not be.
    fn accept(
        &self,
        file: &str,
        descriptor: Descriptor,
        problems: &mut Vec<Problem>,
    ) -> Option<Incoming> {
        let mut refuse = |rule: &str, message: String, hint: &str| {
            problems.push(Problem {
                file: file.to_string(),
                document: descriptor.document,
                line: descriptor.line,
                column: 1,
                reference: Some(descriptor.reference.to_string()),
                severity: Severity::Error,
                rule: rule.to_string(),
                message,
                hint: hint.to_string(),
            });
            None
        };
        if !self.source.allows(&descriptor.kind) {
            let message = format!("This source may not describe a {}.", descriptor.kind);
            return refuse(
                KIND_NOT_ALLOWED,
                message,
                "List it under `kinds` of the source in idp.yaml, if it may.",
            );
        }
        if let Some(long) =
            descriptor.relations.iter().find(|it| it.target.as_str().len() > TARGET_BYTES_MAX)
        {
            let message = format!(
                "A reference in `{}` has more than {TARGET_BYTES_MAX} bytes.",
                long.kind.word()
            );
            return refuse("reference", message, "A name has at most 63 characters.");
        }
        let body = json!({
            "apiVersion": descriptor.api_version,
            "kind": descriptor.kind,
            "metadata": descriptor.metadata,
            "spec": descriptor.spec,
        })
        .to_string();
        if has_nul(&body) {
            let message = "It has a NUL character, which Postgres cannot keep.".to_string();
            return refuse("character", message, "Remove `\\0` from its texts.");
        }
        Some(Incoming {
            hash: hash(&body, &descriptor.relations),
            reference: descriptor.reference,
            body,
            relations: descriptor.relations,
            file: file.to_string(),
            document: descriptor.document,
            line: descriptor.line,
        })
    }
}

impl Incoming {
    /// As its document says them.
    pub fn owners(&self) -> Vec<&str> {
        let owners = self.relations.iter().filter(|it| it.kind == RelationKind::OwnedBy);
        owners.map(|it| it.target.as_str()).collect()
    }
}

/// Whether a file that nobody calls a descriptor could be one: a directory holds OpenAPI files,
/// Helm values and pipelines too. Text in UTF-16 has bytes 0.
fn may_describe(text: &[u8]) -> bool {
    let word = b"apiVersion";
    text.windows(word.len()).any(|it| it == word) || text.contains(&0)
}

/// Whether the JSON text `body` has the character NUL in a string, which it writes as `\u0000`.
fn has_nul(body: &str) -> bool {
    body.match_indices("\\u0000").any(|(at, _)| {
        let backslashes_before = body[..at].bytes().rev().take_while(|it| *it == b'\\').count();
        backslashes_before % 2 == 0
    })
}

fn hash(body: &str, relations: &[Relation]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(body);
    for relation in relations {
        hash.update([0, relation.kind as u8, u8::from(relation.bare)]);
        hash.update(relation.target.as_str());
    }
    hash.finalize().to_vec()
}

fn no_descriptor(file: &str) -> Problem {
    Problem {
        severity: Severity::Info,
        ..Problem::of_file(
            file,
            "no-descriptor",
            "No document in it has an `apiVersion`: it was skipped.".into(),
            "If it is a descriptor, add `apiVersion: backstage.io/v1alpha1`.",
        )
    }
}

fn unreadable(file: String, why: String, before: KnownFile) -> ReadFile {
    let hint = "What it said before stays. Let idp read it, or remove it.";
    let problems = vec![Problem::of_file(&file, "unreadable", sentence(&why), hint)];
    let news = News::Says { entities: Vec::new(), problems };
    let known = KnownFile { checksum: None, ..before };
    ReadFile { name: file, known, news, found: Found::default() }
}

fn sentence(why: &str) -> String {
    let mut characters = why.chars();
    let first = characters.next().map(|it| it.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_told_from_the_text_that_writes_one() {
        assert!(has_nul(&json!({"a": "x\0y"}).to_string()));
        assert!(has_nul(&json!({"a": "\\\0"}).to_string()));
        assert!(!has_nul(&json!({"a": "\\u0000"}).to_string()));
    }

    #[test]
    fn a_file_without_the_word_describes_nothing() {
        assert!(may_describe(b"apiVersion: backstage.io/v1alpha1"));
        assert!(may_describe(b"k\0i\0n\0d\0"));
        assert!(!may_describe(b"openapi: 3.0.0"));
    }
}
