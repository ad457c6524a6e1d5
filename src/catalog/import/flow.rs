//! Importing sources, each in one transaction; and doing so every few minutes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::changes::changes;
use super::reading::{Incoming, KnownFile, News, ReadFile, Reader};
use super::store::{self, NewChange, Scope, StoredSource, Yielded};
use super::work::{Job, Work};
use super::{Holder, Plan, is_mass_delete, plan};
use crate::catalog::sources::git::{Repository, Tree};
use crate::catalog::sources::{FileText, Source, SourceContents, SourceFile, file, url};
use crate::catalog::{Problem, Severity};
use crate::integrations::http::Client;

/// What an import did, as `idp catalog import --format json` prints it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ImportReport {
    pub files: u64,
    pub documents: u64,
    pub entities: EntityCounts,
    pub relations: u64,
    /// All open problems of the sources, also of files that did not change.
    pub problems: Vec<Problem>,
    /// Deletions that wait for a person, a sentence a source.
    pub held: Vec<String>,
    /// Until the last source was committed.
    pub seconds: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EntityCounts {
    pub total: u64,
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub removed: u64,
}

#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// What relative paths of sources are relative to.
    pub base: PathBuf,
    /// Where clones of Git repositories are kept.
    pub cache: PathBuf,
    pub orphan_grace: Duration,
    /// A source that would lose more of its entities than this waits for a person.
    pub mass_delete_percent: u8,
    /// Whether the person is there: `idp catalog import --confirm-deletions`.
    pub confirm_deletions: bool,
    pub http: Client,
}

/// From so many written entities on, the tables are vacuumed: fresh statistics make lookups fast.
const WRITES_BEFORE_VACUUM: u64 = 1_000;

/// Reads `sources` and brings the database to what they say, each source in one transaction.
///
/// # Errors
/// A source that cannot be read at all (a missing path), or the database. The other sources have
/// been imported all the same.
pub async fn import(
    db: &PgPool,
    sources: &[Source],
    options: &ImportOptions,
) -> anyhow::Result<ImportReport> {
    let began = Instant::now();
    let mut report = ImportReport::default();
    let mut failures = Vec::new();
    for source in sources {
        match import_source(db, source, options).await {
            Ok(imported) => report.add(imported),
            Err(error) => failures.push(format!("{}: {error:#}", source.name(&options.base))),
        }
    }
    report.seconds = began.elapsed().as_secs_f64();
    if !failures.is_empty() {
        bail!(failures.join("; "));
    }
    vacuum_after(&report.entities, db).await;
    let mut connection = db.acquire().await?;
    let names: Vec<String> = sources.iter().map(|it| it.name(&options.base)).collect();
    report.problems = crate::catalog::store::problems(&mut connection, Some(&names)).await?;
    Ok(report)
}

/// Without it a search takes many times as long until the server's own vacuum comes round; it does come.
async fn vacuum_after(counts: &EntityCounts, db: &PgPool) {
    if counts.created + counts.updated < WRITES_BEFORE_VACUUM {
        return;
    }
    let vacuumed = async { store::vacuum(&mut *db.acquire().await?).await };
    if let Err(error) = vacuumed.await {
        tracing::warn!(error = error.to_string(), "could not vacuum after a large import");
    }
}

impl ImportReport {
    fn add(&mut self, other: ImportReport) {
        self.files += other.files;
        self.documents += other.documents;
        self.relations += other.relations;
        self.held.extend(other.held);
        self.entities.total += other.entities.total;
        self.entities.created += other.entities.created;
        self.entities.updated += other.entities.updated;
        self.entities.unchanged += other.entities.unchanged;
        self.entities.removed += other.entities.removed;
    }
}

async fn import_source(
    db: &PgPool,
    source: &Source,
    options: &ImportOptions,
) -> anyhow::Result<ImportReport> {
    let mut tx = db.begin().await?;
    store::lock(&mut tx).await?;
    import_locked(tx, source, options).await
}

/// Imports `source` and commits; nobody else imports meanwhile.
async fn import_locked(
    mut tx: Transaction<'_, Postgres>,
    source: &Source,
    options: &ImportOptions,
) -> anyhow::Result<ImportReport> {
    let name = source.name(&options.base);
    let stored = store::source(&mut tx, &name).await?;
    let known = store::files(&mut tx, stored.id).await?;
    let lost_claims = store::lost_claims(&mut tx, stored.id).await?;

    let reads_all = stored.reading != reading(source);
    let etags = if reads_all || !lost_claims.is_empty() { None } else { Some(&known) };
    let (contents, _tree) = list(source, options, |url| etags?.get(url)?.etag.clone()).await?;

    let reader = Reader {
        source: Arc::new(source.clone()),
        root: contents.root.clone().map(Arc::from),
        began_ns: now_ns(),
    };
    let survey = move || Work::survey(name, reader, contents, known, reads_all);
    let mut work = spawn_blocking(survey).await.context("looking at the files broke off")?;
    work.reconsider(&lost_claims, stored.id);

    let mut import = Import::new(tx, stored, options);
    import.read_all(&mut work).await?;
    import.finish(work, &reading(source)).await
}

/// What decides, besides the files, how they are read. Another version may read them better.
fn reading(source: &Source) -> String {
    let mut kinds = source.kinds().to_vec();
    kinds.sort();
    format!("{} {}", env!("CARGO_PKG_VERSION"), kinds.join(","))
}

/// Everything that `source` has at the moment. The clone is nobody else's while the second value lives.
async fn list(
    source: &Source,
    options: &ImportOptions,
    etag: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<(SourceContents, Option<Tree>)> {
    match source {
        Source::Path { path, .. } => {
            let root = options.base.join(path);
            let listed = spawn_blocking(move || file::list(&root, None)).await;
            Ok((listed.context("listing files broke off")??, None))
        }
        Source::Git { git, branch, files, .. } => {
            let http = &options.http;
            let repository =
                Repository::new(git, branch.as_deref(), &options.base, &http.policy())?;
            let addresses = match repository.https_url() {
                Some(url) => http.pin(url).await?.1,
                None => Vec::new(),
            };
            let (clones, globs) = (options.cache.clone(), files.clone());
            let listed = spawn_blocking(move || {
                let tree = repository.update(&addresses, &clones)?;
                Ok((file::list(&tree.root, Some(&globs))?, Some(tree)))
            });
            listed.await.context("cloning broke off")?
        }
        Source::Url { url, .. } => {
            let file = url::of_file(url);
            let etag = etag(url);
            let headers = url::headers(etag.as_deref());
            let answer = options.http.get_with(&file, &headers, url::BYTES_MAX).await?;
            let text = match url::read(answer)? {
                url::Fetched::Unchanged => FileText::Unchanged,
                url::Fetched::Text { text, etag } => {
                    FileText::Fetched { text: text.into_bytes(), etag }
                }
            };
            let only = SourceFile { name: url.clone(), is_named: true, text };
            Ok((SourceContents { files: vec![only], ..SourceContents::default() }, None))
        }
    }
}

/// Files carry the time of the system's clock, not of the database's.
fn now_ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

/// The import of one source on its way.
struct Import<'a> {
    tx: Transaction<'a, Postgres>,
    source: StoredSource,
    options: &'a ImportOptions,
    /// Set as soon as something changes.
    revision: Option<i64>,
    /// Claims to be judged when all files have been read.
    waiting: Vec<Incoming>,
    /// Files that had been read before and now say something else.
    reread: Vec<String>,
    counts: EntityCounts,
    held: Option<Held>,
}

/// What waits for a person.
struct Held {
    lost: usize,
    sentence: String,
}

impl<'a> Import<'a> {
    fn new(
        tx: Transaction<'a, Postgres>,
        source: StoredSource,
        options: &'a ImportOptions,
    ) -> Import<'a> {
        Import {
            tx,
            source,
            options,
            revision: None,
            waiting: Vec::new(),
            reread: Vec::new(),
            counts: EntityCounts::default(),
            held: None,
        }
    }

    /// Reads what is to be read; while the database writes a chunk, the next one is parsed.
    async fn read_all(&mut self, work: &mut Work) -> anyhow::Result<()> {
        let mut reading = work.next_chunk().map(|chunk| start_reading(&work.reader, chunk));
        while let Some(tasks) = reading {
            let mut chunk = finish_reading(tasks).await?;
            for file in &mut chunk {
                work.take_up(std::mem::take(&mut file.found));
            }
            reading = work.next_chunk().map(|chunk| start_reading(&work.reader, chunk));
            self.save(work, chunk).await?;
        }
        work.progress.is_complete();
        let claims = std::mem::take(&mut self.waiting);
        let problems = self.take_claims(work, claims).await?;
        Ok(store::insert_problems(&mut self.tx, self.source.id, true, &problems).await?)
    }

    async fn save(&mut self, work: &mut Work, chunk: Vec<ReadFile>) -> anyhow::Result<()> {
        let mut files: Vec<(String, KnownFile)> = Vec::with_capacity(chunk.len());
        let mut claims = Vec::new();
        let mut problems = Vec::new();
        let mut read = Vec::new();
        for file in chunk {
            match file.news {
                News::None => work.progress.is_unchanged(file.name.clone()),
                News::Says { entities, problems: found } => {
                    claims.extend(entities);
                    problems.extend(found.iter().cloned());
                    read.push((file.name.clone(), found));
                }
            }
            files.push((file.name, file.known));
        }
        problems.extend(self.take_claims(work, claims).await?);

        let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
        let scope = Scope::Files(&names);
        store::replace_problems(&mut self.tx, self.source.id, scope, &problems).await?;
        store::save_files(&mut self.tx, self.source.id, &files).await?;
        for (name, problems) in read {
            if work.known.contains_key(&name) {
                self.reread.push(name.clone());
            }
            work.progress.was_read(name, &problems);
        }
        work.known.extend(files);
        Ok(())
    }

    /// Judges `claims` and writes those that win; gives the problems of the others.
    async fn take_claims(
        &mut self,
        work: &mut Work,
        claims: Vec<Incoming>,
    ) -> anyhow::Result<Vec<Problem>> {
        let references: Vec<&str> = claims.iter().map(|it| it.reference.as_str()).collect();
        let holders = store::holders(&mut self.tx, &references).await?;
        let Plan { created, rewritten, problems, waiting } =
            plan(claims, holders, &mut work.progress);
        self.waiting.extend(waiting);
        self.create(&work.progress.source, created).await?;
        self.rewrite(&work.progress.source, rewritten).await?;
        Ok(problems)
    }

    async fn create(&mut self, source: &str, entities: Vec<Incoming>) -> anyhow::Result<()> {
        if entities.is_empty() {
            return Ok(());
        }
        let revision = self.revision().await?;
        store::insert_entities(&mut self.tx, self.source.id, revision, &entities).await?;
        let changes: Vec<NewChange> = entities
            .iter()
            .map(|it| NewChange {
                reference: it.reference.as_str(),
                what: "created",
                fields: Vec::new(),
                owners: it.owners(),
                file: &it.file,
            })
            .collect();
        store::insert_changes(&mut self.tx, source, revision, &changes).await?;
        self.counts.created += entities.len() as u64;
        Ok(())
    }

    async fn rewrite(
        &mut self,
        source: &str,
        entities: Vec<(Incoming, Holder)>,
    ) -> anyhow::Result<()> {
        if entities.is_empty() {
            return Ok(());
        }
        let revision = self.revision().await?;
        let ids: Vec<i64> = entities.iter().filter_map(|(_, was)| was.id).collect();
        let bodies = store::bodies(&mut self.tx, &ids).await?;
        let mut changes = Vec::new();
        for (entity, was) in &entities {
            let before = was.id.and_then(|id| bodies.get(&id)).map_or("null", String::as_str);
            changes.extend(change(entity, was, before)?);
        }
        let rows: Vec<(i64, &Incoming)> =
            entities.iter().filter_map(|(entity, was)| Some((was.id?, entity))).collect();
        store::update_entities(&mut self.tx, self.source.id, revision, &rows).await?;
        store::insert_changes(&mut self.tx, source, revision, &changes).await?;
        self.counts.updated += changes.len() as u64;
        Ok(())
    }

    async fn revision(&mut self) -> anyhow::Result<i64> {
        if let Some(revision) = self.revision {
            return Ok(revision);
        }
        let revision = store::next_revision(&mut self.tx).await?;
        self.revision = Some(revision);
        Ok(revision)
    }

    /// Lets go what the source has lost, unless that is too much of it, and commits.
    async fn finish(mut self, mut work: Work, reading: &str) -> anyhow::Result<ImportReport> {
        let source = work.progress.source.clone();
        let lost = self.lost(&work).await?;
        self.hold_mass_delete(&source, lost.len());
        if self.held.is_some() {
            self.remember_to_ask_again(&work, &lost).await?;
        } else {
            self.orphan(&source, &lost).await?;
            store::delete_files(&mut self.tx, self.source.id, &work.gone()).await?;
            self.remove_expired(&source).await?;
        }
        if let Some(held) = &self.held {
            let hint = "If that is right, run `idp catalog import --confirm-deletions`.";
            let problem = Problem::of_file(&source, "mass-delete", held.sentence.clone(), hint);
            work.problems.push(Problem { severity: Severity::Warning, ..problem });
        }
        self.commit(work, reading).await
    }

    async fn lost(&mut self, work: &Work) -> anyhow::Result<Vec<Yielded>> {
        let mut files = work.gone();
        files.extend(self.reread.iter().map(String::as_str));
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let mut yielded = store::yielded_by(&mut self.tx, self.source.id, &files).await?;
        yielded.retain(|it| work.progress.has_lost(&it.reference, &it.file));
        Ok(yielded)
    }

    fn hold_mass_delete(&mut self, source: &str, lost: usize) {
        let total = self.source.entities as usize;
        let percent_max = self.options.mass_delete_percent;
        if !self.options.confirm_deletions && is_mass_delete(lost, total, percent_max) {
            let sentence = format!(
                "`{source}` would lose {lost} of its {total} entities; nothing of it is removed until someone confirms."
            );
            self.held = Some(Held { lost, sentence });
        }
    }

    /// Files that lose something are read again by the next import; what is gone stays known.
    async fn remember_to_ask_again(&mut self, work: &Work, lost: &[Yielded]) -> anyhow::Result<()> {
        let mut files: Vec<&str> = lost.iter().map(|it| it.file.as_str()).collect();
        files.sort_unstable();
        files.dedup();
        store::distrust_files(&mut self.tx, self.source.id, &files).await?;
        let mut gone = work.gone();
        gone.retain(|it| files.binary_search(it).is_err());
        Ok(store::delete_files(&mut self.tx, self.source.id, &gone).await?)
    }

    async fn orphan(&mut self, source: &str, lost: &[Yielded]) -> anyhow::Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let revision = self.revision().await?;
        let ids: Vec<i64> = lost.iter().map(|it| it.id).collect();
        store::set_orphaned(&mut self.tx, revision, &ids).await?;
        self.note_down(source, revision, "orphaned", lost).await
    }

    async fn remove_expired(&mut self, source: &str) -> anyhow::Result<()> {
        let grace = self.options.orphan_grace;
        let expired = store::expired_orphans(&mut self.tx, self.source.id, grace).await?;
        if expired.is_empty() {
            return Ok(());
        }
        let revision = self.revision().await?;
        let ids: Vec<i64> = expired.iter().map(|it| it.id).collect();
        store::delete_entities(&mut self.tx, &ids).await?;
        self.counts.removed += expired.len() as u64;
        self.note_down(source, revision, "removed", &expired).await
    }

    async fn note_down(
        &mut self,
        source: &str,
        revision: i64,
        what: &'static str,
        entities: &[Yielded],
    ) -> anyhow::Result<()> {
        let changes: Vec<NewChange> = entities
            .iter()
            .map(|it| NewChange {
                reference: it.reference.as_str(),
                what,
                fields: Vec::new(),
                owners: it.owners.iter().map(String::as_str).collect(),
                file: &it.file,
            })
            .collect();
        Ok(store::insert_changes(&mut self.tx, source, revision, &changes).await?)
    }

    async fn commit(mut self, work: Work, reading: &str) -> anyhow::Result<ImportReport> {
        let id = self.source.id;
        store::replace_problems(&mut self.tx, id, Scope::Source, &work.problems).await?;
        let held = self.held.as_ref().map(|it| i32::try_from(it.lost).unwrap_or(i32::MAX));
        if self.source.is_new {
            // Be it empty: from now on can be said what is not in the catalog.
            self.revision().await?;
        }
        store::set_read(&mut self.tx, id, reading, held).await?;
        let (mut total, mut relations) = (self.source.entities, self.source.relations);
        if let Some(revision) = self.revision {
            store::announce(&mut self.tx, revision).await?;
            (total, relations) = store::counts(&mut self.tx, id).await?;
        }
        self.tx.commit().await?;

        let changed = self.counts.created + self.counts.updated;
        let is_there = |name: &&String| work.progress.has_met(name);
        let documents = work.known.iter().filter(|(name, _)| is_there(name));
        Ok(ImportReport {
            files: work.files,
            documents: documents.map(|(_, it)| u64::from(it.documents)).sum(),
            entities: EntityCounts {
                total,
                unchanged: total.saturating_sub(changed),
                ..self.counts
            },
            relations,
            held: self.held.into_iter().map(|it| it.sentence).collect(),
            ..ImportReport::default()
        })
    }
}

/// What to write down of an entity that is rewritten; `None` when only its place is another.
fn change<'a>(
    entity: &'a Incoming,
    was: &Holder,
    before: &str,
) -> anyhow::Result<Option<NewChange<'a>>> {
    if !was.is_orphan && was.hash == entity.hash {
        return Ok(None);
    }
    let before: Value = serde_json::from_str(before).context("a stored body is no JSON")?;
    let after: Value = serde_json::from_str(&entity.body)?;
    Ok(Some(NewChange {
        reference: entity.reference.as_str(),
        what: if was.is_orphan { "restored" } else { "updated" },
        fields: changes(&before, &after),
        owners: entity.owners(),
        file: &entity.file,
    }))
}

/// Reads `jobs` on all cores from now on.
fn start_reading(reader: &Reader, mut jobs: Vec<Job>) -> Vec<JoinHandle<Vec<ReadFile>>> {
    let cores = std::thread::available_parallelism().map_or(1, |it| it.get());
    let share = jobs.len().div_ceil(cores);
    let mut tasks = Vec::with_capacity(cores);
    while !jobs.is_empty() {
        let rest = jobs.split_off(share.min(jobs.len()));
        let part = std::mem::replace(&mut jobs, rest);
        let reader = reader.clone();
        tasks.push(spawn_blocking(move || {
            part.into_iter().map(|job| reader.read(job.file, job.known)).collect()
        }));
    }
    tasks
}

async fn finish_reading(tasks: Vec<JoinHandle<Vec<ReadFile>>>) -> anyhow::Result<Vec<ReadFile>> {
    let mut read = Vec::new();
    for task in tasks {
        read.extend(task.await.context("reading files broke off")?);
    }
    Ok(read)
}

/// How long after it found no database an import is tried again.
const PAUSE_WHILE_AWAY: Duration = Duration::from_secs(2);

/// What is imported again and again.
#[derive(Debug, Clone)]
pub struct Refresh {
    pub sources: Vec<Source>,
    pub options: ImportOptions,
    /// The pause between two rounds.
    pub every: Duration,
}

/// Imports all sources at once and then every few minutes, until `stop`. `refresh` is asked before each round.
///
/// Of several processes one imports a source, and the others leave it alone until it is due again.
/// What sources had that are listed no more becomes orphans.
pub async fn keep_importing(
    db: PgPool,
    refresh: impl Fn() -> Refresh + Send + Sync,
    stop: CancellationToken,
) {
    // At the start all are due: someone may have started idp because of a change.
    let mut read_within = Duration::ZERO;
    let mut is_away = false;
    loop {
        let Refresh { sources, options, every } = refresh();
        let round = import_due(&db, &sources, &options, read_within);
        let pause = match stop.run_until_cancelled(round).await {
            None => return,
            Some(Ok(())) => {
                is_away = false;
                // A little less, or the processes would take turns a round late.
                read_within = every.mul_f64(0.9);
                every
            }
            Some(Err(error)) => {
                // Once an outage, not with each attempt.
                if !std::mem::replace(&mut is_away, true) {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "the database is away; sources are read when it is back");
                }
                every.min(PAUSE_WHILE_AWAY)
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// # Errors
/// The database is away. What is wrong with a source is logged, and listed among the problems.
async fn import_due(
    db: &PgPool,
    sources: &[Source],
    options: &ImportOptions,
    read_within: Duration,
) -> anyhow::Result<()> {
    // First, so that what moved from a source to another one is free to be taken.
    forget_unlisted(db, sources, options).await?;
    for source in sources {
        let name = source.name(&options.base);
        match import_if_due(db, source, options, read_within).await {
            Ok(Some(report)) => say(&name, &report),
            Ok(None) => {}
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(source = name, error, "could not import");
                store::set_error(&mut *db.acquire().await?, &name, &error).await?;
            }
        }
    }
    Ok(())
}

/// `None` when another process imports, or has within `read_within`.
async fn import_if_due(
    db: &PgPool,
    source: &Source,
    options: &ImportOptions,
    read_within: Duration,
) -> anyhow::Result<Option<ImportReport>> {
    let mut tx = db.begin().await?;
    if !store::try_lock(&mut tx).await? {
        return Ok(None);
    }
    let age_s = store::age_s(&mut tx, &source.name(&options.base)).await?;
    if age_s.is_some_and(|it| it < read_within.as_secs_f64()) {
        return Ok(None);
    }
    let report = import_locked(tx, source, options).await?;
    vacuum_after(&report.entities, db).await;
    Ok(Some(report))
}

fn say(source: &str, report: &ImportReport) {
    let EntityCounts { total, created, updated, removed, .. } = report.entities;
    if created + updated + removed > 0 {
        tracing::info!(source, total, created, updated, removed, "imported");
    }
    for held in &report.held {
        tracing::warn!(source, held, "a mass deletion waits for a person");
    }
}

/// Makes orphans of what sources had that are not among `sources`; forgets those with nothing left.
///
/// No share of it is too much: a person took the source out of the settings.
async fn forget_unlisted(
    db: &PgPool,
    sources: &[Source],
    options: &ImportOptions,
) -> anyhow::Result<()> {
    let listed: Vec<String> = sources.iter().map(|it| it.name(&options.base)).collect();
    let names = store::source_names(&mut *db.acquire().await?).await?;
    for name in names.into_iter().filter(|it| !listed.contains(it)) {
        let mut tx = db.begin().await?;
        if store::try_lock(&mut tx).await? {
            forget(tx, name, options).await?;
        }
    }
    Ok(())
}

async fn forget(
    mut tx: Transaction<'_, Postgres>,
    name: String,
    options: &ImportOptions,
) -> anyhow::Result<()> {
    let stored = store::source(&mut tx, &name).await?;
    if !store::has_entities(&mut tx, stored.id).await? {
        store::delete_source(&mut tx, stored.id).await?;
        return Ok(tx.commit().await?);
    }
    let known = store::files(&mut tx, stored.id).await?;
    // Nothing is read, so it does not matter from where.
    let source = Arc::new(Source::Path { path: PathBuf::new(), kinds: Vec::new() });
    let reader = Reader { source, root: None, began_ns: now_ns() };
    let mut work = Work::survey(name.clone(), reader, SourceContents::default(), known, false);
    let options = ImportOptions { confirm_deletions: true, ..options.clone() };
    let mut import = Import::new(tx, stored, &options);
    import.read_all(&mut work).await?;
    let report = import.finish(work, "").await?;
    say(&name, &report);
    Ok(())
}
