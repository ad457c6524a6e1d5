//! The SQL of reading the catalog: what snapshots are made of, history, problems.

use futures_util::{Stream, StreamExt};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::alias::Alias;
use super::flow::Change;
use super::import::store::{place, reference};
use super::snapshot::Revision;
use super::{EntityRef, Problem, Relation, RelationKind, Severity, StoredEntity};

/// Makes all that the transaction reads one moment's state.
pub async fn read_one_moment(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("set transaction isolation level repeatable read, read only").execute(db).await?;
    Ok(())
}

/// The newest.
pub async fn revision(db: &mut PgConnection) -> sqlx::Result<Revision> {
    let row = sqlx::query(
        "select revision, mark::text as mark
         from idp.catalog_revision
         left join idp.catalog_mark using (revision)",
    )
    .fetch_one(db)
    .await?;
    Ok(Revision { number: row.get("revision"), mark: row.get("mark") })
}

/// Whether `revision` is the newest of this database, or was.
pub async fn was_at(db: &mut PgConnection, revision: &Revision) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from idp.catalog_mark where revision = $1 and mark::text = $2)",
    )
    .bind(revision.number)
    .bind(&revision.mark)
    .fetch_one(db)
    .await
}

/// The entities that changed after `revision` as they come, in no particular order; all of them after -1.
pub fn entities_since(
    db: &mut PgConnection,
    revision: i64,
) -> impl Stream<Item = sqlx::Result<StoredEntity>> + '_ {
    let rows = sqlx::query(
        "select ref, body, source.name as source, file, document, line, orphaned_at, array(
            select kind || case when bare then '?' else ' ' end || target
            from idp.stated_relation
            where entity_id = stored_entity.id
            order by position) as relations
         from idp.stored_entity
         join idp.source on source.id = source_id
         where revision > $1",
    )
    .bind(revision)
    .fetch(db);
    rows.map(|row| entity(&row?))
}

fn entity(row: &PgRow) -> sqlx::Result<StoredEntity> {
    let relations: Vec<String> = row.get("relations");
    Ok(StoredEntity {
        reference: reference(row)?,
        body: row.get::<&str, _>("body").into(),
        relations: relations.iter().map(|it| relation(it)).collect::<Result<_, _>>()?,
        place: place(row),
        orphaned_at: row.get("orphaned_at"),
    })
}

/// `dependsOn component:default/db`; with a `?` in the middle the document named no kind.
fn relation(said: &str) -> sqlx::Result<Relation> {
    let decode = |error: String| sqlx::Error::Decode(error.into());
    let unknown = || decode(format!("`{said}` is no relation"));
    let (word, target) = said.split_once([' ', '?']).ok_or_else(unknown)?;
    Ok(Relation {
        kind: RelationKind::from_word(word).ok_or_else(unknown)?,
        target: EntityRef::parse(target, None, "default").map_err(|it| decode(it.to_string()))?,
        bare: said[word.len()..].starts_with('?'),
    })
}

/// The entities that were removed after `revision` and have not come back.
pub async fn removed_since(db: &mut PgConnection, revision: i64) -> sqlx::Result<Vec<EntityRef>> {
    let rows = sqlx::query(
        "select distinct ref from idp.change
         where revision > $1 and what = 'removed'
            and not exists (select from idp.stored_entity where stored_entity.ref = change.ref)",
    )
    .bind(revision)
    .fetch_all(db)
    .await?;
    rows.iter().map(reference).collect()
}

/// What people say instead of a name, besides the aliases in the settings.
pub async fn aliases(db: &mut PgConnection) -> sqlx::Result<Vec<(String, EntityRef)>> {
    let rows = sqlx::query("select alias, ref from idp.alias order by alias").fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.get("alias"), reference(row)?))).collect()
}

/// Adds `alias`, or gives it another meaning.
pub async fn set_alias(db: &mut PgConnection, alias: &Alias) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idp.alias (alias, ref)
         values ($1, $2)
         on conflict (alias) do update
         set ref = excluded.ref, added_at = now()",
    )
    .bind(&alias.alias)
    .bind(alias.reference.as_str())
    .execute(db)
    .await?;
    Ok(())
}

/// Whether `alias` was there.
pub async fn remove_alias(db: &mut PgConnection, alias: &str) -> sqlx::Result<bool> {
    let removed = sqlx::query("delete from idp.alias where alias = $1").bind(alias).execute(db);
    Ok(removed.await?.rows_affected() > 0)
}

/// The newest changes of `reference` first, and how many there are.
pub async fn history(
    db: &mut PgConnection,
    reference: &EntityRef,
    offset: i64,
    limit: i64,
) -> sqlx::Result<(Vec<Change>, i64)> {
    let rows = sqlx::query(
        "select at, ref, what, fields, owners, file
         from idp.change
         where ref = $1
         order by id desc
         offset $2
         limit $3",
    )
    .bind(reference.as_str())
    .bind(offset)
    .bind(limit)
    .fetch_all(&mut *db)
    .await?;
    let total = sqlx::query_scalar("select count(*) from idp.change where ref = $1")
        .bind(reference.as_str())
        .fetch_one(db)
        .await?;
    Ok((rows.iter().map(change).collect::<sqlx::Result<_>>()?, total))
}

fn change(row: &PgRow) -> sqlx::Result<Change> {
    Ok(Change {
        at: row.get("at"),
        reference: reference(row)?,
        what: row.get("what"),
        fields: row.try_get::<sqlx::types::Json<_>, _>("fields")?.0,
        owners: row.get("owners"),
        file: row.get("file"),
    })
}

/// Open problems, errors first, then by source, file and line; `sources` by name, `None` for all.
///
/// Orphans and sources that could not be read are problems too.
pub async fn problems(
    db: &mut PgConnection,
    sources: Option<&[String]>,
) -> sqlx::Result<Vec<Problem>> {
    let rows = sqlx::query(
        "with found as (
            select source_id, file, document, line, \"column\", ref, severity, rule, message, hint
            from idp.problem
            union all
            select source_id, file, document, line, 1, ref, 'warning', 'orphan',
                'Its source has not had it since ' || to_char(orphaned_at at time zone 'utc', 'YYYY-MM-DD HH24:MI') || ' UTC.',
                'It is removed when its grace is over; describe it again to keep it.'
            from idp.stored_entity
            where orphaned_at is not null
            union all
            select id, name, 0, 1, 1, null, 'error', 'source', 'It could not be read: ' || error || '.',
                'What it said before stays. It is asked again at the next refresh.'
            from idp.source
            where error is not null
         )
         select found.*
         from found
         join idp.source on source.id = source_id
         where $1::text[] is null or source.name = any($1)
         order by array_position(array['error', 'warning', 'info'], severity), source.name, file,
            document, line, \"column\", rule, message",
    )
    .bind(sources)
    .fetch_all(db)
    .await?;
    rows.iter().map(problem).collect()
}

fn problem(row: &PgRow) -> sqlx::Result<Problem> {
    let word: &str = row.get("severity");
    let severity = [Severity::Error, Severity::Warning, Severity::Info];
    let number = |column| row.get::<i32, _>(column).unsigned_abs();
    Ok(Problem {
        file: row.get("file"),
        document: number("document"),
        line: number("line"),
        column: number("column"),
        reference: row.get("ref"),
        severity: severity
            .into_iter()
            .find(|it| it.word() == word)
            .expect("the table's check allows no other word"),
        rule: row.get("rule"),
        message: row.get("message"),
        hint: row.get("hint"),
    })
}
