//! Bringing the database to what a source says.
//!
//! ```text
//! listed ─▶ unchanged? ─no─▶ read, a chunk at a time, on all cores ─▶ judge each entity ─▶ write the chunk
//!              │yes                                                        │
//!              └── stays as it is                                         └─ conflict: a problem
//! at the end: what nobody yields any more is an orphan, unless too much of it is
//! ```
//!
//! One source is one transaction: whoever looks sees all of its old state or all of its new one.
//!
//! Who has an entity keeps it as long as they yield it; of new claims the first in the order of
//! sources and files wins. What a broken document said last stays.

pub mod changes;
pub mod flow;
pub mod reading;
pub mod store;
pub mod work;

use std::collections::{HashMap, HashSet};

use super::{EntityRef, Place, Problem, Severity};
use reading::Incoming;

/// A stored entity that a document claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// `None` for one that is about to be created.
    pub id: Option<i64>,
    pub place: Place,
    pub hash: Vec<u8>,
    pub is_orphan: bool,
}

/// What becomes of a document's claim to an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Create,
    /// It has the entity, or takes it over from a file that yields it no more.
    Hold,
    /// Another document has it.
    Refuse,
    /// The file that has it is still to be read.
    Wait,
}

/// How far the import of one source is.
#[derive(Debug, Default)]
pub struct Progress {
    pub source: String,
    files: HashMap<String, FileState>,
    /// Yielded in this import.
    taken: HashSet<EntityRef>,
    /// No file is to be read any more: one that was not met is gone.
    is_complete: bool,
}

#[derive(Debug)]
enum FileState {
    /// It says what it said.
    Unchanged,
    ToRead,
    Read(Broken),
    Gone,
}

/// Documents that could not be taken: what they said before stays.
#[derive(Debug, Default)]
struct Broken {
    references: HashSet<String>,
    /// There is one that could be any.
    any: bool,
}

impl Progress {
    pub fn new(source: String) -> Progress {
        Progress { source, ..Progress::default() }
    }

    pub fn is_unchanged(&mut self, file: String) {
        self.files.insert(file, FileState::Unchanged);
    }

    pub fn is_to_be_read(&mut self, file: String) {
        self.files.insert(file, FileState::ToRead);
    }

    pub fn is_gone(&mut self, file: String) {
        self.files.insert(file, FileState::Gone);
    }

    pub fn is_complete(&mut self) {
        self.is_complete = true;
    }

    /// Whether `file` is there, as far as files were met.
    pub fn has_met(&self, file: &str) -> bool {
        self.files.get(file).is_some_and(|it| !matches!(it, FileState::Gone))
    }

    /// Whether `file` says what it said.
    pub fn has_kept(&self, file: &str) -> bool {
        matches!(self.files.get(file), Some(FileState::Unchanged))
    }

    pub fn was_read(&mut self, file: String, problems: &[Problem]) {
        let mut broken = Broken::default();
        let is_broken =
            |it: &&Problem| it.severity == Severity::Error && it.rule != KIND_NOT_ALLOWED;
        for problem in problems.iter().filter(is_broken) {
            match &problem.reference {
                Some(reference) => {
                    broken.references.insert(reference.to_lowercase());
                }
                None => broken.any = true,
            }
        }
        self.files.insert(file, FileState::Read(broken));
    }

    /// What becomes of the claim of a document in `file` to `reference`, which `holder` has.
    pub fn judge(&self, reference: &EntityRef, file: &str, holder: Option<&Holder>) -> Verdict {
        let Some(holder) = holder else {
            return Verdict::Create;
        };
        if self.taken.contains(reference) {
            return Verdict::Refuse;
        }
        if holder.is_orphan {
            return Verdict::Hold;
        }
        if *holder.place.source != *self.source {
            return Verdict::Refuse;
        }
        if *holder.place.file == *file {
            return Verdict::Hold;
        }
        match self.files.get(&*holder.place.file) {
            Some(FileState::Gone) => Verdict::Hold,
            Some(FileState::Unchanged) => Verdict::Refuse,
            Some(FileState::Read(broken)) if broken.may_be(reference) => Verdict::Refuse,
            Some(FileState::Read(_)) => Verdict::Hold,
            Some(FileState::ToRead) | None if self.is_complete => Verdict::Hold,
            Some(FileState::ToRead) | None => Verdict::Wait,
        }
    }

    pub fn take(&mut self, reference: EntityRef) {
        self.taken.insert(reference);
    }

    /// Whether the source no longer yields `reference`, which `file` yielded. All files have been met.
    pub fn has_lost(&self, reference: &EntityRef, file: &str) -> bool {
        if self.taken.contains(reference) {
            return false;
        }
        match self.files.get(file) {
            Some(FileState::Unchanged | FileState::ToRead) => false,
            Some(FileState::Read(broken)) => !broken.may_be(reference),
            Some(FileState::Gone) | None => true,
        }
    }
}

impl Broken {
    fn may_be(&self, reference: &EntityRef) -> bool {
        self.any || self.references.contains(reference.as_str())
    }
}

/// What to write for one chunk.
#[derive(Debug, Default)]
pub struct Plan {
    pub created: Vec<Incoming>,
    /// Content, place or both differ from what is stored, or it was an orphan.
    pub rewritten: Vec<(Incoming, Holder)>,
    pub problems: Vec<Problem>,
    /// Claims to be judged when all files have been read.
    pub waiting: Vec<Incoming>,
}

/// Judges `claims` in their order; `holders` has those entities among them that are stored.
pub fn plan(
    claims: Vec<Incoming>,
    mut holders: HashMap<EntityRef, Holder>,
    progress: &mut Progress,
) -> Plan {
    let mut plan = Plan::default();
    for claim in claims {
        let holder = holders.get(&claim.reference);
        match (progress.judge(&claim.reference, &claim.file, holder), holder) {
            (Verdict::Wait, _) => plan.waiting.push(claim),
            (Verdict::Refuse, Some(holder)) => plan.problems.push(conflict(&claim, &holder.place)),
            (Verdict::Hold, Some(holder)) => {
                progress.take(claim.reference.clone());
                let place = place(&progress.source, &claim);
                if holder.is_orphan || holder.hash != claim.hash || holder.place != place {
                    let was = holder.clone();
                    // Later claims are told where it is now.
                    holders.insert(claim.reference.clone(), Holder { place, ..was.clone() });
                    plan.rewritten.push((claim, was));
                }
            }
            (_, _) => {
                progress.take(claim.reference.clone());
                let place = place(&progress.source, &claim);
                let hash = claim.hash.clone();
                let holder = Holder { id: None, place, hash, is_orphan: false };
                holders.insert(claim.reference.clone(), holder);
                plan.created.push(claim);
            }
        }
    }
    plan
}

fn place(source: &str, claim: &Incoming) -> Place {
    Place {
        source: source.into(),
        file: claim.file.as_str().into(),
        document: claim.document,
        line: claim.line,
    }
}

fn conflict(claim: &Incoming, holder: &Place) -> Problem {
    Problem {
        file: claim.file.clone(),
        document: claim.document,
        line: claim.line,
        column: 1,
        reference: Some(claim.reference.to_string()),
        severity: Severity::Error,
        rule: CONFLICT.to_string(),
        message: format!(
            "`{}` is described twice: here, and in {} of {}, line {}, which keeps it.",
            claim.reference, holder.file, holder.source, holder.line
        ),
        hint: "Remove one of the two, or give one another name or namespace.".to_string(),
    }
}

/// The rule that a document breaks whose kind its source may not describe. It is not broken: what it
/// said before goes.
pub const KIND_NOT_ALLOWED: &str = "kind-not-allowed";

/// The rule that a document breaks whose entity another has.
pub const CONFLICT: &str = "conflict";

/// Fewer deletions than this never wait: a small team removes its three services.
const DELETIONS_UNQUESTIONED: usize = 5;

/// Whether losing `lost` of `total` entities must wait for a person.
pub fn is_mass_delete(lost: usize, total: usize, percent_max: u8) -> bool {
    lost > DELETIONS_UNQUESTIONED && lost * 100 > total * usize::from(percent_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: &str) -> EntityRef {
        EntityRef::new("component", "default", name)
    }

    fn claim(name: &str, file: &str) -> Incoming {
        Incoming {
            reference: reference(name),
            body: "{}".into(),
            relations: Vec::new(),
            hash: vec![1],
            file: file.into(),
            document: 0,
            line: 1,
        }
    }

    fn holder(source: &str, file: &str) -> Holder {
        let place = Place { source: source.into(), file: file.into(), document: 0, line: 1 };
        Holder { id: Some(7), place, hash: vec![1], is_orphan: false }
    }

    fn judged(progress: &Progress, holder: &Holder) -> Verdict {
        progress.judge(&reference("pay"), "new.yaml", Some(holder))
    }

    #[test]
    fn who_has_an_entity_keeps_it_as_long_as_they_yield_it() {
        let mut progress = Progress::new("directory:a".into());
        let other_source = holder("directory:b", "x.yaml");
        assert_eq!(judged(&progress, &other_source), Verdict::Refuse);

        let same_source = holder("directory:a", "old.yaml");
        assert_eq!(judged(&progress, &same_source), Verdict::Wait);
        progress.is_to_be_read("old.yaml".into());
        assert_eq!(judged(&progress, &same_source), Verdict::Wait);
        progress.is_unchanged("old.yaml".into());
        assert_eq!(judged(&progress, &same_source), Verdict::Refuse);
        progress.was_read("old.yaml".into(), &[]);
        assert_eq!(judged(&progress, &same_source), Verdict::Hold);
        progress.is_gone("old.yaml".into());
        assert_eq!(judged(&progress, &same_source), Verdict::Hold);
    }

    #[test]
    fn an_orphan_belongs_to_whoever_describes_it() {
        let progress = Progress::new("directory:a".into());
        let orphan = Holder { is_orphan: true, ..holder("directory:b", "x.yaml") };
        assert_eq!(judged(&progress, &orphan), Verdict::Hold);
    }

    #[test]
    fn of_two_new_claims_the_first_wins_and_the_second_is_told_where() {
        let mut progress = Progress::new("directory:a".into());
        let claims = vec![claim("pay", "a.yaml"), claim("pay", "b.yaml")];
        let plan = plan(claims, HashMap::new(), &mut progress);
        assert_eq!(plan.created.len(), 1);
        assert_eq!(plan.created[0].file, "a.yaml");
        assert_eq!(plan.problems[0].file, "b.yaml");
        assert!(plan.problems[0].message.contains("a.yaml"), "{}", plan.problems[0].message);
    }

    #[test]
    fn what_a_broken_document_said_stays() {
        let mut progress = Progress::new("directory:a".into());
        let error = |reference: Option<&str>| Problem {
            reference: reference.map(String::from),
            ..Problem::of_file("f.yaml", "yaml", "broken".into(), "mend it")
        };
        progress.was_read("f.yaml".into(), &[error(Some("Component:default/Pay"))]);
        assert!(!progress.has_lost(&reference("pay"), "f.yaml"));
        assert!(progress.has_lost(&reference("other"), "f.yaml"));
        progress.was_read("f.yaml".into(), &[error(None)]);
        assert!(!progress.has_lost(&reference("other"), "f.yaml"));
        progress.was_read("f.yaml".into(), &[]);
        assert!(progress.has_lost(&reference("other"), "f.yaml"));
    }

    #[test]
    fn more_than_the_share_and_more_than_a_handful_waits_for_a_person() {
        assert!(is_mass_delete(11, 100, 10));
        assert!(!is_mass_delete(10, 100, 10));
        assert!(!is_mass_delete(5, 5, 10));
        assert!(is_mass_delete(6, 6, 10));
        assert!(!is_mass_delete(6, 6, 100));
    }
}
