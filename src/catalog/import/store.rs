//! The SQL of an import. Everything here runs in the transaction of one source.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row};

use super::changes::FieldChange;
use super::reading::{Include, Incoming, KnownFile};
use super::{CONFLICT, Holder};
use crate::catalog::formats::backstage::LocationTarget;
use crate::catalog::{EntityRef, Place, Problem, Relation};

/// Held by whoever imports.
const IMPORT_LOCK: i64 = 0x1d_70_01;

/// Waits until nobody else imports; nobody does until the transaction ends.
pub async fn lock(db: &mut PgConnection) -> sqlx::Result<()> {
    wait_as_long_as_it_takes(db).await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(IMPORT_LOCK).execute(db).await?;
    Ok(())
}

/// Like [`lock`], but gives `false` at once when somebody else imports.
pub async fn try_lock(db: &mut PgConnection) -> sqlx::Result<bool> {
    wait_as_long_as_it_takes(db).await?;
    sqlx::query_scalar("select pg_try_advisory_xact_lock($1)").bind(IMPORT_LOCK).fetch_one(db).await
}

/// Reading a large source takes a while, during which the transaction is idle.
async fn wait_as_long_as_it_takes(db: &mut PgConnection) -> sqlx::Result<()> {
    for setting in ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"] {
        sqlx::query("select set_config($1, '0', true)").bind(setting).execute(&mut *db).await?;
    }
    Ok(())
}

/// A source as the database remembers it.
#[derive(Debug)]
pub struct StoredSource {
    pub id: i32,
    /// It was never read.
    pub is_new: bool,
    /// What decided, besides the files, how they were read.
    pub reading: String,
    /// How many entities it has, orphans left out.
    pub entities: u64,
    pub relations: u64,
}

/// The source `name`, entered when it is new.
pub async fn source(db: &mut PgConnection, name: &str) -> sqlx::Result<StoredSource> {
    sqlx::query("insert into idp.source (name) values ($1) on conflict do nothing")
        .bind(name)
        .execute(&mut *db)
        .await?;
    let row = sqlx::query(
        "select id, read_at is null as is_new, reading from idp.source where name = $1",
    )
    .bind(name)
    .fetch_one(&mut *db)
    .await?;
    let id = row.get("id");
    let (entities, relations) = counts(db, id).await?;
    let (is_new, reading) = (row.get("is_new"), row.get("reading"));
    Ok(StoredSource { id, is_new, reading, entities, relations })
}

/// How many entities the source has, orphans left out, and how many relations they say.
pub async fn counts(db: &mut PgConnection, source_id: i32) -> sqlx::Result<(u64, u64)> {
    let row = sqlx::query(
        "select count(*) as entities, coalesce(sum(relations), 0)::bigint as relations
         from idp.stored_entity
         where source_id = $1 and orphaned_at is null",
    )
    .bind(source_id)
    .fetch_one(db)
    .await?;
    let count = |column| row.get::<i64, _>(column).unsigned_abs();
    Ok((count("entities"), count("relations")))
}

/// Seconds since the source was read last; `None` when it never was.
pub async fn age_s(db: &mut PgConnection, source_name: &str) -> sqlx::Result<Option<f64>> {
    let age = sqlx::query_scalar(
        "select extract(epoch from now() - read_at)::float8 from idp.source where name = $1",
    );
    Ok(age.bind(source_name).fetch_optional(db).await?.flatten())
}

/// The names of all sources, those that are listed no more among them.
pub async fn source_names(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("select name from idp.source order by name").fetch_all(db).await
}

/// Notes down that the source was read, and how many of its entities wait for a person to let them go.
pub async fn set_read(
    db: &mut PgConnection,
    source_id: i32,
    reading: &str,
    held: Option<i32>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.source
         set read_at = now(), error = null, reading = $2, held = $3
         where id = $1",
    )
    .bind(source_id)
    .bind(reading)
    .bind(held)
    .execute(db)
    .await?;
    Ok(())
}

/// Notes down why the source could not be read.
pub async fn set_error(db: &mut PgConnection, source_name: &str, error: &str) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idp.source (name, error) values ($1, $2)
         on conflict (name) do update set error = excluded.error",
    )
    .bind(source_name)
    .bind(without_nul(error))
    .execute(db)
    .await?;
    Ok(())
}

/// Whether the source has entities, orphans among them.
pub async fn has_entities(db: &mut PgConnection, source_id: i32) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from idp.stored_entity where source_id = $1)")
        .bind(source_id)
        .fetch_one(db)
        .await
}

/// Forgets a source that has nothing left.
pub async fn delete_source(db: &mut PgConnection, source_id: i32) -> sqlx::Result<()> {
    for sql in [
        "delete from idp.problem where source_id = $1",
        "delete from idp.file where source_id = $1",
        "delete from idp.source where id = $1",
    ] {
        sqlx::query(sql).bind(source_id).execute(&mut *db).await?;
    }
    Ok(())
}

/// What is remembered of the source's files, by name.
pub async fn files(
    db: &mut PgConnection,
    source_id: i32,
) -> sqlx::Result<HashMap<String, KnownFile>> {
    let rows = sqlx::query(
        "select name, bytes, modified_ns, checksum, etag, documents, includes, targets
         from idp.file
         where source_id = $1",
    )
    .bind(source_id)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((row.get("name"), known_file(row)?))).collect()
}

fn known_file(row: &PgRow) -> sqlx::Result<KnownFile> {
    Ok(KnownFile {
        bytes: row.get::<i64, _>("bytes").unsigned_abs(),
        modified_ns: row.get("modified_ns"),
        checksum: row.get("checksum"),
        etag: row.get("etag"),
        documents: row.get::<i32, _>("documents").unsigned_abs(),
        includes: row.try_get::<sqlx::types::Json<Vec<Include>>, _>("includes")?.0,
        targets: row.try_get::<sqlx::types::Json<Vec<LocationTarget>>, _>("targets")?.0,
    })
}

pub async fn save_files(
    db: &mut PgConnection,
    source_id: i32,
    files: &[(String, KnownFile)],
) -> sqlx::Result<()> {
    let column = |of: fn(&KnownFile) -> i64| files.iter().map(|(_, it)| of(it)).collect::<Vec<_>>();
    let json = |of: fn(&KnownFile) -> serde_json::Result<String>| {
        files.iter().map(|(_, it)| of(it)).collect::<Result<Vec<_>, _>>()
    };
    let includes = json(|it| serde_json::to_string(&it.includes)).map_err(encode)?;
    let targets = json(|it| serde_json::to_string(&it.targets)).map_err(encode)?;
    sqlx::query(
        "insert into idp.file
            (source_id, name, bytes, modified_ns, checksum, etag, documents, includes, targets)
         select $1, name, bytes, modified_ns, checksum, etag, documents, includes::jsonb, targets::jsonb
         from unnest($2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::text[], $7::bigint[],
                $8::text[], $9::text[])
            as file (name, bytes, modified_ns, checksum, etag, documents, includes, targets)
         on conflict (source_id, name) do update set
            bytes = excluded.bytes,
            modified_ns = excluded.modified_ns,
            checksum = excluded.checksum,
            etag = excluded.etag,
            documents = excluded.documents,
            includes = excluded.includes,
            targets = excluded.targets",
    )
    .bind(source_id)
    .bind(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>())
    .bind(column(|it| it.bytes.cast_signed()))
    .bind(files.iter().map(|(_, it)| it.modified_ns).collect::<Vec<_>>())
    .bind(files.iter().map(|(_, it)| it.checksum.as_deref()).collect::<Vec<_>>())
    .bind(files.iter().map(|(_, it)| it.etag.as_deref()).collect::<Vec<_>>())
    .bind(column(|it| i64::from(it.documents)))
    .bind(includes)
    .bind(targets)
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets these files and what was wrong with them.
pub async fn delete_files(
    db: &mut PgConnection,
    source_id: i32,
    names: &[&str],
) -> sqlx::Result<()> {
    replace_problems(db, source_id, Scope::Files(names), &[]).await?;
    sqlx::query("delete from idp.file where source_id = $1 and name = any($2)")
        .bind(source_id)
        .bind(names)
        .execute(db)
        .await?;
    Ok(())
}

/// Makes the next import read these files again, whatever they look like.
pub async fn distrust_files(
    db: &mut PgConnection,
    source_id: i32,
    names: &[&str],
) -> sqlx::Result<()> {
    sqlx::query("update idp.file set checksum = null where source_id = $1 and name = any($2)")
        .bind(source_id)
        .bind(names)
        .execute(db)
        .await?;
    Ok(())
}

/// A document's claim that was refused, and who had the entity at the moment.
#[derive(Debug)]
pub struct LostClaim {
    pub file: String,
    /// Source and file; `None` when nobody has it any more.
    pub holder: Option<(i32, String)>,
}

/// The claims of the source's files that lost.
pub async fn lost_claims(db: &mut PgConnection, source_id: i32) -> sqlx::Result<Vec<LostClaim>> {
    let rows = sqlx::query(
        "select problem.file, stored_entity.source_id, stored_entity.file as holder
         from idp.problem
         left join idp.stored_entity
            on stored_entity.ref = problem.ref and stored_entity.orphaned_at is null
         where problem.source_id = $1 and problem.rule = $2",
    )
    .bind(source_id)
    .bind(CONFLICT)
    .fetch_all(db)
    .await?;
    let claim = |row: &PgRow| LostClaim {
        file: row.get("file"),
        holder: row.get::<Option<i32>, _>("source_id").map(|id| (id, row.get("holder"))),
    };
    Ok(rows.iter().map(claim).collect())
}

/// Counts the catalog's revision up. Others who change it wait until the transaction ends.
pub async fn next_revision(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "with next as (
            update idp.catalog_revision set revision = revision + 1 returning revision
         )
         insert into idp.catalog_mark (revision)
         select revision from next
         on conflict (revision) do update set mark = excluded.mark
         returning revision",
    )
    .fetch_one(db)
    .await
}

/// Tells every process, once the transaction is committed, that there is a new revision.
pub async fn announce(db: &mut PgConnection, revision: i64) -> sqlx::Result<()> {
    sqlx::query("select pg_notify('idp_catalog', $1::text)").bind(revision).execute(db).await?;
    Ok(())
}

/// Those of `references` that are stored.
pub async fn holders(
    db: &mut PgConnection,
    references: &[&str],
) -> sqlx::Result<HashMap<EntityRef, Holder>> {
    let rows = sqlx::query(
        "select stored_entity.id, ref, hash, name as source, file, document, line,
            orphaned_at is not null as is_orphan
         from idp.stored_entity
         join idp.source on source.id = source_id
         where ref = any($1)",
    )
    .bind(references)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((reference(row)?, holder(row)))).collect()
}

fn holder(row: &PgRow) -> Holder {
    Holder {
        id: Some(row.get("id")),
        place: place(row),
        hash: row.get("hash"),
        is_orphan: row.get("is_orphan"),
    }
}

/// From the columns `source`, `file`, `document`, `line`.
pub fn place(row: &PgRow) -> Place {
    Place {
        source: row.get::<&str, _>("source").into(),
        file: row.get::<&str, _>("file").into(),
        document: row.get::<i32, _>("document").unsigned_abs(),
        line: row.get::<i32, _>("line").unsigned_abs(),
    }
}

/// From the column `ref`.
pub fn reference(row: &PgRow) -> sqlx::Result<EntityRef> {
    EntityRef::parse(row.get("ref"), None, "default")
        .map_err(|error| sqlx::Error::Decode(error.into()))
}

/// The bodies of these entities, by id.
pub async fn bodies(db: &mut PgConnection, ids: &[i64]) -> sqlx::Result<HashMap<i64, String>> {
    let rows = sqlx::query("select id, body from idp.stored_entity where id = any($1)")
        .bind(ids)
        .fetch_all(db)
        .await?;
    Ok(rows.iter().map(|row| (row.get("id"), row.get("body"))).collect())
}

pub async fn insert_entities(
    db: &mut PgConnection,
    source_id: i32,
    revision: i64,
    entities: &[Incoming],
) -> sqlx::Result<()> {
    let ids: Vec<i64> = sqlx::query_scalar(
        "select nextval(pg_get_serial_sequence('idp.stored_entity', 'id'))
         from generate_series(1, $1)",
    )
    .bind(i64::try_from(entities.len()).unwrap_or(i64::MAX))
    .fetch_all(&mut *db)
    .await?;
    let entities: Vec<(i64, &Incoming)> = ids.into_iter().zip(entities).collect();
    let sql = "insert into idp.stored_entity
            (id, ref, body, hash, file, document, line, relations, source_id, revision)
         select *, $9, $10
         from unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::integer[],
                $7::integer[], $8::integer[])";
    with_entities(sql, source_id, revision, &entities).execute(&mut *db).await?;
    insert_relations(db, &entities).await
}

/// Puts `entities` in the place of those with their ids; none of them is an orphan afterwards.
pub async fn update_entities(
    db: &mut PgConnection,
    source_id: i32,
    revision: i64,
    entities: &[(i64, &Incoming)],
) -> sqlx::Result<()> {
    let sql = "update idp.stored_entity set
            body = said.body,
            hash = said.hash,
            file = said.file,
            document = said.document,
            line = said.line,
            relations = said.relations,
            source_id = $9,
            revision = $10,
            orphaned_at = null
         from unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::integer[],
                $7::integer[], $8::integer[])
            as said (id, ref, body, hash, file, document, line, relations)
         where stored_entity.id = said.id";
    with_entities(sql, source_id, revision, entities).execute(&mut *db).await?;
    let ids: Vec<i64> = entities.iter().map(|(id, _)| *id).collect();
    delete_relations(db, &ids).await?;
    insert_relations(db, entities).await
}

/// `sql` with the columns of `entities` as $1 to $8, an array each: id, ref, body, hash, file, document, line,
/// number of relations. The source is $9, the revision $10.
fn with_entities<'a>(
    sql: &'static str,
    source_id: i32,
    revision: i64,
    entities: &[(i64, &'a Incoming)],
) -> Query<'a, Postgres, PgArguments> {
    let all = || entities.iter().map(|(_, it)| *it);
    sqlx::query(sql)
        .bind(entities.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(all().map(|it| it.reference.as_str()).collect::<Vec<_>>())
        .bind(all().map(|it| it.body.as_str()).collect::<Vec<_>>())
        .bind(all().map(|it| it.hash.as_slice()).collect::<Vec<_>>())
        .bind(all().map(|it| it.file.as_str()).collect::<Vec<_>>())
        .bind(all().map(|it| it.document.cast_signed()).collect::<Vec<_>>())
        .bind(all().map(|it| it.line.cast_signed()).collect::<Vec<_>>())
        .bind(all().map(|it| it.relations.len() as i32).collect::<Vec<_>>())
        .bind(source_id)
        .bind(revision)
}

async fn insert_relations(
    db: &mut PgConnection,
    entities: &[(i64, &Incoming)],
) -> sqlx::Result<()> {
    let mut ids = Vec::new();
    let mut positions = Vec::new();
    let mut relations: Vec<&Relation> = Vec::new();
    for (id, entity) in entities {
        for (position, relation) in (0i32..).zip(&entity.relations) {
            ids.push(*id);
            positions.push(position);
            relations.push(relation);
        }
    }
    sqlx::query(
        "insert into idp.stated_relation (entity_id, position, kind, target, bare)
         select entity_id, position, kind::idp.relation_kind, target, bare
         from unnest($1::bigint[], $2::integer[], $3::text[], $4::text[], $5::boolean[])
            as said (entity_id, position, kind, target, bare)",
    )
    .bind(ids)
    .bind(positions)
    .bind(relations.iter().map(|it| it.kind.word()).collect::<Vec<_>>())
    .bind(relations.iter().map(|it| it.target.as_str()).collect::<Vec<_>>())
    .bind(relations.iter().map(|it| it.bare).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// A change to be written down.
#[derive(Debug)]
pub struct NewChange<'a> {
    pub reference: &'a str,
    pub what: &'static str,
    pub fields: Vec<FieldChange>,
    pub owners: Vec<&'a str>,
    pub file: &'a str,
}

pub async fn insert_changes(
    db: &mut PgConnection,
    source_name: &str,
    revision: i64,
    changes: &[NewChange<'_>],
) -> sqlx::Result<()> {
    let fields: Result<Vec<String>, _> =
        changes.iter().map(|it| serde_json::to_string(&it.fields)).collect();
    // Arrays of arrays are rectangular in Postgres, so the owners of each travel as one text.
    let owners: Vec<String> = changes.iter().map(|it| it.owners.join("\n")).collect();
    sqlx::query(
        "insert into idp.change (ref, what, fields, owners, file, source, revision)
         select ref, what, fields::jsonb, string_to_array(owners, e'\\n'), file, $6, $7
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
            as new (ref, what, fields, owners, file)",
    )
    .bind(changes.iter().map(|it| it.reference).collect::<Vec<_>>())
    .bind(changes.iter().map(|it| it.what).collect::<Vec<_>>())
    .bind(fields.map_err(encode)?)
    .bind(owners)
    .bind(changes.iter().map(|it| it.file).collect::<Vec<_>>())
    .bind(source_name)
    .bind(revision)
    .execute(db)
    .await?;
    Ok(())
}

/// An entity that is there because a file said so.
#[derive(Debug)]
pub struct Yielded {
    pub id: i64,
    pub reference: EntityRef,
    pub file: String,
    pub owners: Vec<String>,
}

/// What these files of the source have yielded so far, orphans left out.
pub async fn yielded_by(
    db: &mut PgConnection,
    source_id: i32,
    files: &[&str],
) -> sqlx::Result<Vec<Yielded>> {
    let rows = sqlx::query(
        "select id, ref, file, array(
            select target from idp.stated_relation
            where entity_id = stored_entity.id and kind = 'ownedBy'
            order by position) as owners
         from idp.stored_entity
         where source_id = $1 and file = any($2) and orphaned_at is null
         order by ref",
    )
    .bind(source_id)
    .bind(files)
    .fetch_all(db)
    .await?;
    rows.iter().map(yielded).collect()
}

fn yielded(row: &PgRow) -> sqlx::Result<Yielded> {
    Ok(Yielded {
        id: row.get("id"),
        reference: reference(row)?,
        file: row.get("file"),
        owners: row.get("owners"),
    })
}

pub async fn set_orphaned(db: &mut PgConnection, revision: i64, ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.stored_entity set orphaned_at = now(), revision = $1 where id = any($2)",
    )
    .bind(revision)
    .bind(ids)
    .execute(db)
    .await?;
    Ok(())
}

/// The source's orphans whose grace is over.
pub async fn expired_orphans(
    db: &mut PgConnection,
    source_id: i32,
    grace: Duration,
) -> sqlx::Result<Vec<Yielded>> {
    let rows = sqlx::query(
        "select id, ref, file, array(
            select target from idp.stated_relation
            where entity_id = stored_entity.id and kind = 'ownedBy'
            order by position) as owners
         from idp.stored_entity
         where source_id = $1 and orphaned_at <= now() - make_interval(secs => $2)
         order by ref",
    )
    .bind(source_id)
    .bind(grace.as_secs_f64())
    .fetch_all(db)
    .await?;
    rows.iter().map(yielded).collect()
}

pub async fn delete_entities(db: &mut PgConnection, ids: &[i64]) -> sqlx::Result<()> {
    delete_relations(db, ids).await?;
    sqlx::query("delete from idp.stored_entity where id = any($1)").bind(ids).execute(db).await?;
    Ok(())
}

async fn delete_relations(db: &mut PgConnection, entity_ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query("delete from idp.stated_relation where entity_id = any($1)")
        .bind(entity_ids)
        .execute(db)
        .await?;
    Ok(())
}

/// Which problems are meant.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// Those of these files.
    Files(&'a [&'a str]),
    /// Those of the source as a whole.
    Source,
}

/// Puts `problems` in the place of those of `scope`.
pub async fn replace_problems(
    db: &mut PgConnection,
    source_id: i32,
    scope: Scope<'_>,
    problems: &[Problem],
) -> sqlx::Result<()> {
    match scope {
        Scope::Files(names) => {
            sqlx::query(
                "delete from idp.problem where source_id = $1 and of_file and file = any($2)",
            )
            .bind(source_id)
            .bind(names)
            .execute(&mut *db)
            .await?;
        }
        Scope::Source => {
            sqlx::query("delete from idp.problem where source_id = $1 and not of_file")
                .bind(source_id)
                .execute(&mut *db)
                .await?;
        }
    }
    insert_problems(db, source_id, matches!(scope, Scope::Files(_)), problems).await
}

/// `of_file`: they stay until the file is read again.
pub async fn insert_problems(
    db: &mut PgConnection,
    source_id: i32,
    of_file: bool,
    problems: &[Problem],
) -> sqlx::Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let text = |of: fn(&Problem) -> &str| {
        problems.iter().map(|it| without_nul(of(it))).collect::<Vec<_>>()
    };
    let number = |of: fn(&Problem) -> u32| {
        problems.iter().map(|it| of(it).cast_signed()).collect::<Vec<_>>()
    };
    let references = problems.iter().map(|it| it.reference.as_deref().map(without_nul));
    sqlx::query(
        "insert into idp.problem
            (source_id, of_file, file, document, line, \"column\", ref, severity, rule, message, hint)
         select $1, $2, *
         from unnest($3::text[], $4::integer[], $5::integer[], $6::integer[], $7::text[],
                $8::text[], $9::text[], $10::text[], $11::text[])",
    )
    .bind(source_id)
    .bind(of_file)
    .bind(text(|it| &it.file))
    .bind(number(|it| it.document))
    .bind(number(|it| it.line))
    .bind(number(|it| it.column))
    .bind(references.collect::<Vec<_>>())
    .bind(text(|it| it.severity.word()))
    .bind(text(|it| &it.rule))
    .bind(text(|it| &it.message))
    .bind(text(|it| &it.hint))
    .execute(db)
    .await?;
    Ok(())
}

/// Postgres keeps no NUL.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn encode(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Encode(error.into())
}

/// Brings the statistics and the visibility map up to date. Outside a transaction.
pub async fn vacuum(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "vacuum (analyze) idp.stored_entity, idp.stated_relation, idp.change, idp.file, idp.problem",
    )
    .execute(db)
    .await?;
    Ok(())
}
