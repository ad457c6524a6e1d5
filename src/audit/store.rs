//! The SQL of the log.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row as _};

use super::checkpoint::{Checkpoint, What};
use super::verify::Sealed;
use super::{Entry, Head, Row};

/// The advisory lock of whoever seals.
const SEALING: i64 = 0x1d9a_0d17;

/// The columns of a [`Row`] of `idp.audit a`, whatever stands there.
macro_rules! row_columns {
    () => {
        "a.id, case when a.xid < '9223372036854775807'::xid8 then a.xid::text::bigint end as xid, a.kind, a.subject, a.actor, a.body::text as body,
         case when a.at between '0001-01-01' and '9999-12-31'
            then (extract(epoch from a.at) * 1000000)::bigint end as at_us"
    };
}

/// Appends `entry`, in the transaction of what it tells.
pub async fn append(db: &mut PgConnection, entry: &Entry) -> sqlx::Result<()> {
    let Entry { kind, subject, actor, body } = entry.clean();
    sqlx::query("insert into idp.audit (kind, subject, actor, body) values ($1, $2, $3, $4)")
        .bind(kind)
        .bind(subject)
        .bind(actor)
        .bind(Json(body))
        .execute(db)
        .await?;
    Ok(())
}

/// Whether this transaction is the one that seals.
pub async fn lock(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_xact_lock($1)").bind(SEALING).fetch_one(db).await
}

pub async fn clock(db: &mut PgConnection) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar("select clock_timestamp()").fetch_one(db).await
}

/// The end of the chain.
#[derive(Debug, Clone, Copy)]
pub struct End {
    pub head: Head,
    pub xid: i64,
    pub id: i64,
    /// The highest id of all rows that were sealed.
    pub id_max: i64,
    /// Whether a server with a count of transactions of its own sealed it: the database was read from a dump since.
    pub is_of_another_server: bool,
}

impl End {
    const START: End =
        End { head: Head::START, xid: 0, id: 0, id_max: 0, is_of_another_server: true };
}

/// Where the chain ends.
pub async fn end(db: &mut PgConnection) -> sqlx::Result<End> {
    let row = sqlx::query(
        "select chain_no, audit_id, xid::text::bigint as xid, hash,
            xid >= pg_snapshot_xmax(pg_current_snapshot()) as is_of_another_server,
            (select max(audit_id) from idp.audit_seal) as id_max
         from idp.audit_seal
         order by chain_no desc
         limit 1",
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(End::START) };
    let hash: Vec<u8> = row.get("hash");
    let hash = hash.try_into().map_err(|_| sqlx::Error::Decode("a hash has 32 bytes".into()))?;
    Ok(End {
        head: Head { no: row.get("chain_no"), hash },
        xid: row.get("xid"),
        id: row.get("audit_id"),
        id_max: row.get("id_max"),
        is_of_another_server: row.get("is_of_another_server"),
    })
}

/// The rows that come next, at most `limit`: no transaction that still runs can append one before them.
pub async fn next(db: &mut PgConnection, end: &End, limit: i64) -> sqlx::Result<Vec<Row>> {
    let rows = sqlx::query(concat!(
        "select ",
        row_columns!(),
        " from idp.audit a
         where (a.xid, a.id) > ($1::text::xid8, $2)
            and a.xid < pg_snapshot_xmin(pg_current_snapshot())
            and not exists (select from idp.audit_seal where audit_id = a.id)
         order by a.xid, a.id
         limit $3"
    ))
    .bind(end.xid.to_string())
    .bind(end.id)
    .bind(limit)
    .fetch_all(&mut *db)
    .await?;
    if !rows.is_empty() || !end.is_of_another_server {
        return Ok(rows.iter().map(row).collect());
    }
    // What was appended there and not sealed yet; then what was appended here, whose transactions count from below.
    let rows = sqlx::query(concat!(
        "select ",
        row_columns!(),
        " from idp.audit a
         where (a.xid, a.id) > ($1::text::xid8, $2)
            and a.xid >= pg_snapshot_xmax(pg_current_snapshot())
         order by a.xid, a.id
         limit $3"
    ))
    .bind(end.xid.to_string())
    .bind(end.id)
    .bind(limit)
    .fetch_all(&mut *db)
    .await?;
    if !rows.is_empty() {
        return Ok(rows.iter().map(row).collect());
    }
    let rows = sqlx::query(concat!(
        "select ",
        row_columns!(),
        " from idp.audit a
         where a.id > $1
            and a.xid < pg_snapshot_xmin(pg_current_snapshot())
         order by a.xid, a.id
         limit $2"
    ))
    .bind(end.id_max)
    .bind(limit)
    .fetch_all(db)
    .await?;
    Ok(rows.iter().map(row).collect())
}

fn row(row: &PgRow) -> Row {
    Row {
        id: row.get("id"),
        xid: row.get("xid"),
        at_us: row.get("at_us"),
        kind: row.get("kind"),
        subject: row.get("subject"),
        actor: row.get("actor"),
        body: row.get("body"),
    }
}

/// Adds `rows`, each with the head that it makes, to the chain.
pub async fn seal(db: &mut PgConnection, rows: &[(Head, &Row)]) -> sqlx::Result<()> {
    let numbers: Vec<i64> = rows.iter().map(|(head, _)| head.no).collect();
    let hashes: Vec<&[u8]> = rows.iter().map(|(head, _)| head.hash.as_slice()).collect();
    let ids: Vec<i64> = rows.iter().map(|(_, row)| row.id).collect();
    let xids: Vec<String> =
        rows.iter().map(|(_, row)| row.xid.unwrap_or_default().to_string()).collect();
    sqlx::query(
        "insert into idp.audit_seal (chain_no, audit_id, xid, hash)
         select chain_no, audit_id, xid::xid8, hash
         from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[])
            as it (chain_no, audit_id, xid, hash)",
    )
    .bind(numbers)
    .bind(ids)
    .bind(xids)
    .bind(hashes)
    .execute(db)
    .await?;
    Ok(())
}

/// The last checkpoint of the head that `public_key` signed: its row, and how old it is in seconds.
pub async fn last_checkpoint(
    db: &mut PgConnection,
    public_key: &[u8],
) -> sqlx::Result<Option<(i64, f64)>> {
    sqlx::query_as(
        "select chain_no, extract(epoch from clock_timestamp() - at)::float8
         from idp.audit_checkpoint
         where what = 'head' and public_key = $1
         order by chain_no desc
         limit 1",
    )
    .bind(public_key)
    .fetch_optional(db)
    .await
}

pub async fn keep_checkpoint(db: &mut PgConnection, checkpoint: &Checkpoint) -> sqlx::Result<()> {
    let bytes = |hex: &str| hex::decode(hex).map_err(|error| sqlx::Error::Encode(error.into()));
    sqlx::query(
        "insert into idp.audit_checkpoint (what, chain_no, hash, at, public_key, signature)
         values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing",
    )
    .bind(checkpoint.what.word())
    .bind(checkpoint.no)
    .bind(bytes(&checkpoint.hash)?)
    .bind(checkpoint.at)
    .bind(bytes(&checkpoint.public_key)?)
    .bind(bytes(&checkpoint.signature)?)
    .execute(db)
    .await?;
    Ok(())
}

/// The checkpoints of `what` of rows behind `no`, in the order of the chain.
pub async fn checkpoints(
    db: &mut PgConnection,
    what: What,
    no: i64,
) -> sqlx::Result<Vec<Checkpoint>> {
    let rows = sqlx::query(
        "select what, chain_no, hash, at, public_key, signature
         from idp.audit_checkpoint
         where what = $1 and chain_no > $2
         order by chain_no, at",
    )
    .bind(what.word())
    .bind(no)
    .fetch_all(db)
    .await?;
    rows.iter().map(checkpoint).collect()
}

fn checkpoint(row: &PgRow) -> sqlx::Result<Checkpoint> {
    let what: &str = row.get("what");
    let hex = |column: &str| hex::encode(row.get::<Vec<u8>, _>(column));
    Ok(Checkpoint {
        what: What::from_word(what)
            .ok_or_else(|| sqlx::Error::Decode(format!("`{what}` is of another version").into()))?,
        no: row.get("chain_no"),
        hash: hex("hash"),
        at: row.get("at"),
        public_key: hex("public_key"),
        signature: hex("signature"),
    })
}

/// The hash of the row `no` of the chain; `None` where there is none.
pub async fn hash_at(db: &mut PgConnection, no: i64) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar("select hash from idp.audit_seal where chain_no = $1")
        .bind(no)
        .fetch_optional(db)
        .await
}

/// Up to which row of the chain everything was forgotten.
pub async fn forgotten(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("select idp.audit_forgotten()").fetch_one(db).await
}

/// The row of the oldest checkpoint that is older than `keep_s` seconds, that something is left of, and that is not the
/// end of the chain.
pub async fn to_forget(db: &mut PgConnection, keep_s: f64) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "select min(chain_no)
         from idp.audit_checkpoint
         where what = 'head'
            and chain_no > idp.audit_forgotten()
            and chain_no < (select max(chain_no) from idp.audit_seal)
            and at < clock_timestamp() - make_interval(secs => $1)",
    )
    .bind(keep_s)
    .fetch_one(db)
    .await
}

/// Deletes what a checkpoint says is forgotten; how many rows.
pub async fn forget(db: &mut PgConnection) -> sqlx::Result<u64> {
    let rows = sqlx::query(
        "delete from idp.audit a
         using idp.audit_seal s
         where s.audit_id = a.id and s.chain_no <= idp.audit_forgotten()",
    )
    .execute(&mut *db)
    .await?;
    sqlx::query("delete from idp.audit_seal where chain_no <= idp.audit_forgotten()")
        .execute(&mut *db)
        .await?;
    sqlx::query("delete from idp.audit_checkpoint where chain_no < idp.audit_forgotten()")
        .execute(db)
        .await?;
    Ok(rows.rows_affected())
}

/// The rows of the chain behind `no`, at most `limit`.
pub async fn sealed(db: &mut PgConnection, no: i64, limit: i64) -> sqlx::Result<Vec<Sealed>> {
    let rows = sqlx::query(concat!(
        "select s.chain_no, s.audit_id, s.hash,
            case when s.xid < '9223372036854775807'::xid8 then s.xid::text::bigint end as sealed_xid, ",
        row_columns!(),
        " from idp.audit_seal s
         left join idp.audit a on a.id = s.audit_id
         where s.chain_no > $1
         order by s.chain_no
         limit $2"
    ))
    .bind(no)
    .bind(limit)
    .fetch_all(db)
    .await?;
    let sealed = |it: &PgRow| Sealed {
        no: it.get("chain_no"),
        audit_id: it.get("audit_id"),
        xid: it.get("sealed_xid"),
        hash: it.get("hash"),
        row: it.get::<Option<i64>, _>("id").map(|_| row(it)),
    };
    Ok(rows.iter().map(sealed).collect())
}

/// The rows without a seal, with ids behind `id`, at most `limit`.
pub async fn unsealed(db: &mut PgConnection, id: i64, limit: i64) -> sqlx::Result<Vec<Row>> {
    let rows = sqlx::query(concat!(
        "select ",
        row_columns!(),
        " from idp.audit a
         where a.id > $1 and not exists (select from idp.audit_seal where audit_id = a.id)
         order by a.id
         limit $2"
    ))
    .bind(id)
    .bind(limit)
    .fetch_all(db)
    .await?;
    Ok(rows.iter().map(row).collect())
}
