//! What of a source is to be read, and in which order.

use std::collections::{HashMap, VecDeque};

use super::Progress;
use super::reading::{Found, KnownFile, Reader};
use super::store::LostClaim;
use crate::catalog::Problem;
use crate::catalog::sources::{FileText, SourceContents, SourceFile, file};

/// How much is read, and held in memory, at once.
const CHUNK_BYTES: u64 = 1 << 20;
const CHUNK_FILES: usize = 512;

/// A file to be read, with what is remembered of it.
#[derive(Debug)]
pub struct Job {
    pub file: SourceFile,
    pub known: Option<KnownFile>,
}

#[derive(Debug)]
pub struct Work {
    pub reader: Reader,
    pub progress: Progress,
    /// Of the source as a whole.
    pub problems: Vec<Problem>,
    /// What is remembered of its files; also of those that are gone.
    pub known: HashMap<String, KnownFile>,
    /// How many files it has.
    pub files: u64,
    queue: VecDeque<Job>,
    /// All files are read, whatever they look like.
    reads_all: bool,
}

impl Work {
    /// What is to be read of `contents`. Looks at the disk.
    pub fn survey(
        source: String,
        reader: Reader,
        contents: SourceContents,
        known: HashMap<String, KnownFile>,
        reads_all: bool,
    ) -> Work {
        let progress = Progress::new(source);
        let problems = contents.problems;
        let queue = VecDeque::new();
        let mut work = Work { reader, progress, problems, known, files: 0, queue, reads_all };
        work.meet(contents.files);
        work.mark_missing(&contents.unseen);
        work
    }

    /// Takes up what Locations point to.
    pub fn take_up(&mut self, found: Found) {
        self.problems.extend(found.problems);
        self.meet(found.files);
    }

    fn meet(&mut self, files: Vec<SourceFile>) {
        let mut files = VecDeque::from(files);
        while let Some(file) = files.pop_front() {
            if self.progress.has_met(&file.name) {
                continue;
            }
            self.files += 1;
            let known = self.known.get(&file.name).filter(|_| !self.reads_all);
            match known.filter(|known| self.reader.is_unchanged(&file, known)) {
                Some(known) => {
                    if !known.targets.is_empty() {
                        let found = self.reader.follow(&file.name, &known.targets);
                        self.problems.extend(found.problems);
                        files.extend(found.files);
                    }
                    self.progress.is_unchanged(file.name);
                }
                None => self.read_later(file),
            }
        }
    }

    fn read_later(&mut self, file: SourceFile) {
        let mut known = self.known.get(&file.name).cloned();
        if self.reads_all
            && let Some(known) = &mut known
        {
            known.checksum = None;
        }
        self.progress.is_to_be_read(file.name.clone());
        self.queue.push_back(Job { file, known });
    }

    /// Of files that were not met: those in directories that could not be looked into stay what they
    /// were; those that are there all the same may still be pointed to; the others are gone.
    fn mark_missing(&mut self, unseen: &[String]) {
        let is_unseen = |name: &str| {
            unseen.iter().any(|dir| {
                dir.is_empty()
                    || name.strip_prefix(dir.as_str()).is_some_and(|it| it.starts_with('/'))
            })
        };
        for name in
            self.known.keys().filter(|it| !self.progress.has_met(it)).cloned().collect::<Vec<_>>()
        {
            let root = self.reader.root.as_deref();
            if is_unseen(&name) {
                self.progress.is_unchanged(name);
            } else if root.and_then(|root| file::stamp_of(root, &name)).is_none() {
                self.progress.is_gone(name);
            }
        }
    }

    /// Reads files again whose claims to an entity lost, where whoever has it may not have it any more.
    pub fn reconsider(&mut self, claims: &[LostClaim], source_id: i32) {
        let may_win = |claim: &&LostClaim| match &claim.holder {
            Some((source, file)) => *source == source_id && !self.progress.has_kept(file),
            None => true,
        };
        let mut files: Vec<&str> = claims.iter().filter(may_win).map(|it| &*it.file).collect();
        files.sort_unstable();
        files.dedup();
        // Those that are to be read anyway must be parsed though they say what they said.
        for job in self.queue.iter_mut().filter(|it| files.binary_search(&&*it.file.name).is_ok()) {
            job.known.iter_mut().for_each(|it| it.checksum = None);
        }
        files.retain(|it| self.progress.has_kept(it));
        for name in files {
            let root = self.reader.root.as_deref();
            let Some(stamp) = root.and_then(|root| file::stamp_of(root, name)) else { continue };
            self.progress.is_to_be_read(name.to_string());
            let known = self.known.get(name).cloned();
            let known = known.map(|known| KnownFile { checksum: None, ..known });
            // It made a claim, so it is a descriptor.
            let text = FileText::OnDisk(stamp);
            let file = SourceFile { name: name.to_string(), is_named: true, text };
            self.queue.push_back(Job { file, known });
        }
    }

    /// The next files to read; `None` when none is left.
    pub fn next_chunk(&mut self) -> Option<Vec<Job>> {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while chunk.len() < CHUNK_FILES && bytes < CHUNK_BYTES {
            let Some(job) = self.queue.pop_front() else { break };
            bytes += match &job.file.text {
                FileText::OnDisk(stamp) => stamp.bytes,
                FileText::Fetched { text, .. } => text.len() as u64,
                FileText::Unchanged => 0,
            };
            chunk.push(job);
        }
        (!chunk.is_empty()).then_some(chunk)
    }

    /// Files that the source had and has no more. All others have been met.
    pub fn gone(&self) -> Vec<&str> {
        let missing = self.known.keys().filter(|it| !self.progress.has_met(it));
        missing.map(String::as_str).collect()
    }
}
