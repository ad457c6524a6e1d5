//! The log of decisions: nothing in it is changed unnoticed, not even by who rules over the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use idp::audit::checkpoint::{self, Checkpoint, What};
use idp::audit::flow::{self, Forked, Verdict};
use idp::audit::store::{self, append};
use idp::audit::verify::{Sealed, Witness};
use idp::audit::{Entry, Head, PURPOSE, Row, Terms};
use idp::vault::{Key, Signer};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::command_line::CommandLine;
use crate::database::{self, Fresh};
use crate::scale::full_or;
use crate::waiting::until;

const KEY: &str = "5b1d3c8e0f9a47d2b6e4c1a098f7d6350d7f4bb1a9c34e5f8a2b6c1d9e3f7a50";

fn entry(number: i64) -> Entry {
    Entry {
        kind: "request.approved",
        subject: format!("request:{number}"),
        actor: "user:default/ada".into(),
        body: json!({ "intent": format!("{number:08x}"), "approvers": ["ada", "bob"], "at": 1.5 }),
    }
}

/// A log with a sealed chain, and the checkpoints that were kept outside of its database.
struct Log {
    fresh: Fresh,
    signer: Signer,
    outside: Vec<Checkpoint>,
}

impl Log {
    /// A chain of `pieces` times `rows` rows, with a checkpoint after each piece.
    async fn of(pieces: i64, rows: i64) -> Log {
        let (fresh, signer) = (database::fresh().await, Key::random().signer(PURPOSE));
        for piece in 0..pieces {
            append_all(&fresh.pool, piece * rows..(piece + 1) * rows).await;
            seal_all(&fresh.pool, &signer).await;
            flow::sign_now(&fresh.pool, &signer).await.unwrap();
        }
        let mut connection = fresh.pool.acquire().await.unwrap();
        let outside = store::checkpoints(&mut connection, What::Head, 0).await.unwrap();
        drop(connection);
        Log { fresh, signer, outside }
    }

    fn witnesses(&self) -> Vec<Witness> {
        let witness = |(line, checkpoint): (usize, &Checkpoint)| Witness {
            checkpoint: checkpoint.clone(),
            place: format!("line {line} of a file"),
            is_outside: true,
        };
        (1..).zip(&self.outside).map(witness).collect()
    }

    async fn verdict(&self, db: &mut PgConnection, outside: Vec<Witness>) -> Verdict {
        flow::verify_in(db, &[self.signer.public_key()], outside).await.unwrap()
    }
}

/// Each in a transaction of its own.
async fn append_all(db: &PgPool, numbers: impl IntoIterator<Item = i64>) {
    for number in numbers {
        let mut tx = db.begin().await.unwrap();
        append(&mut tx, &entry(number)).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn unsealed(db: &PgPool) -> i64 {
    let left = "select (select count(*) from idp.audit) - (select count(*) from idp.audit_seal)";
    sqlx::query_scalar(left).fetch_one(db).await.unwrap()
}

/// Seals until nothing is left: transactions of other tests, on the same server, may be open for a while.
async fn seal_all(db: &PgPool, signer: &Signer) {
    let look = async || {
        flow::seal(db, signer).await.unwrap();
        unsealed(db).await
    };
    until("everything is sealed", look, |left| *left == 0).await;
}

async fn run(db: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.unwrap();
}

/// Makes the chain from the row `no` on anew, as whoever rules over the database can, and leaves no checkpoint of what
/// was there.
async fn chain_anew(db: &mut PgConnection, no: i64) {
    let chain: Vec<Sealed> = store::sealed(db, 0, 10_000).await.unwrap();
    let mut head = Head::START;
    for sealed in &chain {
        let row = sealed.row.as_ref().unwrap();
        head = head.and(row).unwrap();
        if sealed.no >= no {
            let (hash, no, xid) = (hex::encode(head.hash), sealed.no, row.xid.unwrap());
            let set = format!(
                "update idp.audit_seal set hash = '\\x{hash}', xid = '{xid}'::xid8 where chain_no = {no}"
            );
            run(db, set).await;
        }
    }
    run(db, format!("delete from idp.audit_checkpoint where chain_no >= {no}")).await;
}

/// What a superuser may do to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tampering {
    Updated,
    Deleted,
    DeletedWithItsSeal,
    DeletedAndRenumbered,
    Inserted,
    InsertedIntoTheChain,
    Reordered,
    SealChanged,
    ChainMadeAnew,
    TailCut,
    Restored,
    RestoredAndContinued,
    Emptied,
    ClockForged,
    ClockForgedAtTheEnd,
    CheckpointForged,
    CheckpointOfAnotherKey,
    CheckpointMoved,
    Forgotten,
    OutsideForged,
}

use Tampering::*;

const ALL: [Tampering; 20] = [
    Updated,
    Deleted,
    DeletedWithItsSeal,
    DeletedAndRenumbered,
    Inserted,
    InsertedIntoTheChain,
    Reordered,
    SealChanged,
    ChainMadeAnew,
    TailCut,
    Restored,
    RestoredAndContinued,
    Emptied,
    ClockForged,
    ClockForgedAtTheEnd,
    CheckpointForged,
    CheckpointOfAnotherKey,
    CheckpointMoved,
    Forgotten,
    OutsideForged,
];

/// How many rows the chain has that is tampered with, and after how many there is a checkpoint.
const ROWS: i64 = 40;
const PIECE: i64 = 10;

/// Where the first bad row is, as far as it is of the chain.
type First = Option<i64>;

/// Does `it` to the log that `db` sees, and to what is kept outside.
async fn tamper(
    it: Tampering,
    db: &mut PgConnection,
    outside: &mut [Witness],
    random: &mut StdRng,
) -> First {
    let no = random.random_range(1..=ROWS);
    let id = |no: i64| format!("(select audit_id from idp.audit_seal where chain_no = {no})");
    match it {
        Updated => {
            let changes = [
                "kind = kind || 'x'",
                "subject = 'request:4711'",
                "actor = 'user:default/eve'",
                "body = body || '{\"intent\": \"ffffffff\"}'",
                "body = '{}'",
                "body = 'null'",
                "at = at + interval '1 microsecond'",
                "at = at - interval '3 days'",
                "at = 'infinity'",
                "at = '200000-01-01'",
                "xid = '1'::xid8",
                "xid = '18446744073709551615'::xid8",
            ];
            let change = changes[random.random_range(0..changes.len())];
            run(db, format!("update idp.audit set {change} where id = {}", id(no))).await;
            Some(no)
        }
        Deleted => {
            run(db, format!("delete from idp.audit where id = {}", id(no))).await;
            Some(no)
        }
        DeletedWithItsSeal => {
            let no = no.min(ROWS - 1);
            run(db, format!("delete from idp.audit where id = {}", id(no))).await;
            run(db, format!("delete from idp.audit_seal where chain_no = {no}")).await;
            Some(no)
        }
        DeletedAndRenumbered => {
            let no = no.min(ROWS - 1);
            run(db, format!("delete from idp.audit where id = {}", id(no))).await;
            run(db, format!("delete from idp.audit_seal where chain_no = {no}")).await;
            for later in no + 1..=ROWS {
                let back = format!(
                    "update idp.audit_seal set chain_no = chain_no - 1 where chain_no = {later}"
                );
                run(db, back).await;
            }
            Some(no)
        }
        Inserted => {
            run(
                db,
                format!(
                    "insert into idp.audit (id, xid, at, kind, subject, actor, body)
                     overriding system value
                     select -id, xid, at, kind, 'request:4711', actor, body
                     from idp.audit where id = {}",
                    id(no)
                ),
            )
            .await;
            None
        }
        InsertedIntoTheChain => {
            let copied = id(no);
            run(
                db,
                format!(
                    "insert into idp.audit (id, xid, at, kind, subject, actor, body)
                     overriding system value
                     select 1000000, xid, at, kind, 'request:4711', actor, body
                     from idp.audit where id = {copied};
                     insert into idp.audit_seal (chain_no, audit_id, xid, hash)
                     select {ROWS} + 1, 1000000, xid, hash from idp.audit_seal where chain_no = {no}"
                ),
            )
            .await;
            Some(ROWS + 1)
        }
        Reordered => {
            let first = no.min(ROWS - 1);
            let second = random.random_range(first + 1..=ROWS);
            run(
                db,
                format!(
                    "create temporary table swapped on commit drop as
                     select id, subject, body, row_number() over (order by id) as place
                     from idp.audit where id in ({}, {});
                     update idp.audit a
                     set subject = other.subject, body = other.body
                     from swapped mine
                     join swapped other on other.place <> mine.place
                     where a.id = mine.id",
                    id(first),
                    id(second)
                ),
            )
            .await;
            Some(first)
        }
        SealChanged => {
            let change =
                ["hash = sha256(hash)", "xid = '1'::xid8", "hash = ''", "audit_id = 77777"];
            let change = change[random.random_range(0..change.len())];
            run(db, format!("update idp.audit_seal set {change} where chain_no = {no}")).await;
            Some(no)
        }
        ChainMadeAnew => {
            let change = "actor = 'user:default/eve'";
            run(db, format!("update idp.audit set {change} where id = {}", id(no))).await;
            chain_anew(db, no).await;
            Some(no)
        }
        TailCut | Restored | RestoredAndContinued => {
            let left = match it {
                TailCut => ROWS - random.random_range(1..=3),
                _ => random.random_range(1..ROWS),
            };
            run(
                db,
                format!(
                    "delete from idp.audit where id in
                        (select audit_id from idp.audit_seal where chain_no > {left});
                     delete from idp.audit_seal where chain_no > {left};
                     delete from idp.audit_checkpoint where chain_no > {left}"
                ),
            )
            .await;
            if it == RestoredAndContinued {
                // Other things have happened since, as many and more.
                let mut head = store::end(db).await.unwrap().head;
                for number in 0..ROWS {
                    append(db, &entry(1_000 + number)).await.unwrap();
                }
                let rows: Vec<Row> = store::unsealed(db, 0, 1_000).await.unwrap();
                let mut sealed = Vec::new();
                for row in &rows {
                    head = head.and(row).unwrap();
                    sealed.push((head, row));
                }
                store::seal(db, &sealed).await.unwrap();
            }
            Some(left + 1)
        }
        Emptied => {
            run(db, "truncate idp.audit, idp.audit_seal, idp.audit_checkpoint".into()).await;
            Some(1)
        }
        ClockForged => {
            let by = ["- interval '1 hour'", "+ interval '1 hour'", "- interval '2 years'"];
            let by = by[random.random_range(0..by.len())];
            let set = format!("update idp.audit set at = at {by} where id >= {}", id(no));
            run(db, set).await;
            chain_anew(db, no).await;
            Some(no)
        }
        ClockForgedAtTheEnd => {
            let by = ["- interval '1 hour'", "+ interval '1 hour'", "- interval '2 years'"];
            let by = by[random.random_range(0..by.len())];
            run(
                db,
                format!(
                    "insert into idp.audit (at, kind, subject, actor, body)
                     values (clock_timestamp() {by}, 'request.approved', 'request:4711', '', '{{}}')"
                ),
            )
            .await;
            None
        }
        CheckpointForged => {
            let change = [
                "signature = sha512(signature)",
                "hash = sha256(hash)",
                "at = at + interval '1 day'",
                "chain_no = chain_no + 100000",
                "what = 'forgotten'",
                "signature = ''",
                "public_key = sha256(public_key)",
            ];
            let change = change[random.random_range(0..change.len())];
            let no = random.random_range(1..=ROWS / PIECE) * PIECE;
            let set = format!("update idp.audit_checkpoint set {change} where chain_no = {no}");
            run(db, set).await;
            None
        }
        CheckpointOfAnotherKey => {
            run(db, format!("update idp.audit set actor = 'eve' where id = {}", id(no))).await;
            chain_anew(db, no).await;
            let eve = Key::random().signer(PURPOSE);
            let head = store::end(db).await.unwrap().head;
            let at = store::clock(db).await.unwrap();
            let forged = Checkpoint::sign(&eve, What::Head, head, at);
            store::keep_checkpoint(db, &forged).await.unwrap();
            None
        }
        CheckpointMoved => {
            // What was signed of one row is said of another.
            let from = random.random_range(1..=ROWS / PIECE) * PIECE;
            let to = from - random.random_range(1..PIECE);
            run(
                db,
                format!(
                    "insert into idp.audit_checkpoint (what, chain_no, hash, at, public_key, signature)
                     select what, {to}, (select hash from idp.audit_seal where chain_no = {to}), at, public_key, signature
                     from idp.audit_checkpoint where chain_no = {from}
                     on conflict (what, chain_no, public_key) do update
                     set at = excluded.at, signature = excluded.signature"
                ),
            )
            .await;
            None
        }
        Forgotten => {
            let no = no.min(ROWS - 1);
            run(
                db,
                format!(
                    "delete from idp.audit where id in
                        (select audit_id from idp.audit_seal where chain_no <= {no});
                     insert into idp.audit_checkpoint (what, chain_no, hash, at, public_key, signature)
                     select 'forgotten', {no}, (select hash from idp.audit_seal where chain_no = {no}), at, public_key, signature
                     from idp.audit_checkpoint order by chain_no limit 1;
                     delete from idp.audit_seal where chain_no <= {no}"
                ),
            )
            .await;
            None
        }
        OutsideForged => {
            let at = random.random_range(0..outside.len());
            let forged = &mut outside[at].checkpoint;
            match random.random_range(0..3) {
                0 => forged.hash = "00".repeat(32),
                1 => forged.no += 1,
                _ => forged.signature = "00".repeat(64),
            }
            None
        }
    }
}

/// What is found of `it`, done once and taken back: with what is kept outside, and without.
async fn tried(log: &Log, it: Tampering, random: &mut StdRng) -> (First, Verdict, Verdict) {
    let mut tx = log.fresh.pool.begin().await.unwrap();
    // As only a superuser can: the triggers that keep everybody from it are off.
    run(&mut tx, "set local session_replication_role = replica".into()).await;
    let mut outside = log.witnesses();
    let first = tamper(it, &mut tx, &mut outside, random).await;
    let with = log.verdict(&mut tx, outside).await;
    let without = log.verdict(&mut tx, Vec::new()).await;
    tx.rollback().await.unwrap();
    (first, with, without)
}

#[tokio::test]
async fn whatever_a_superuser_does_to_the_log_is_found_and_the_first_bad_row_named() {
    let log = Log::of(ROWS / PIECE, PIECE).await;
    let tamperings = full_or(10_000, 300);
    let mut random = StdRng::seed_from_u64(5);
    let (mut found, mut alone): (usize, BTreeMap<Tampering, (usize, usize)>) = Default::default();
    for it in ALL.into_iter().cycle().take(tamperings) {
        let (first, with, without) = tried(&log, it, &mut random).await;
        let bad = with.bad.unwrap_or_else(|| panic!("{it:?} of row {first:?} was not found"));
        if let Some(first) = first {
            let (from, until) = (bad.no.unwrap(), bad.until.unwrap());
            assert!((from..=until).contains(&first), "{it:?} of row {first}: {bad}");
            assert!(until - from < PIECE || it != ChainMadeAnew, "{it:?} of row {first}: {bad}");
            let is_exact = matches!(
                it,
                Updated | Deleted | DeletedAndRenumbered | Reordered | SealChanged | TailCut
            );
            assert!(!is_exact || from == first, "{it:?} of row {first}: {bad}");
        }
        found += 1;
        let (times, by_itself) = alone.entry(it).or_default();
        *times += 1;
        *by_itself += usize::from(without.bad.is_some());
    }
    println!("REL J5 tamperings={tamperings} found={found}");
    // The controls: what is told by a checkpoint outside of the database alone, and that nothing is found in a log
    // that nobody touched.
    for (it, (times, by_itself)) in &alone {
        let needs_outside =
            matches!(it, ChainMadeAnew | TailCut | Restored | RestoredAndContinued | Emptied);
        if needs_outside {
            assert_eq!(*by_itself, 0, "{it:?} is found without a checkpoint outside");
        } else if !matches!(it, ClockForged | OutsideForged) {
            assert_eq!(by_itself, times, "{it:?} needs a checkpoint outside");
        }
        println!("REL J5 {it:?}: {times}, of which {by_itself} without a checkpoint outside");
    }
    let mut connection = log.fresh.pool.acquire().await.unwrap();
    let verdict = log.verdict(&mut connection, log.witnesses()).await;
    assert_eq!(verdict.bad, None);
    assert_eq!((verdict.from, verdict.to, verdict.held), (1, ROWS, ROWS));
}

#[tokio::test]
async fn the_log_is_only_ever_added_to() {
    let log = Log::of(1, 3).await;
    for table in ["audit", "audit_seal", "audit_checkpoint"] {
        let column = if table == "audit" { "kind = kind" } else { "hash = hash" };
        for sql in [
            format!("update idp.{table} set {column}"),
            format!("delete from idp.{table}"),
            format!("truncate idp.{table}"),
        ] {
            let refused = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&log.fresh.pool).await;
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("the audit log is only ever added to"), "{sql}: {error}");
        }
    }
}

#[tokio::test]
async fn what_commits_late_never_comes_behind_the_seal() {
    let (fresh, signer) = (database::fresh().await, Key::random().signer(PURPOSE));
    let mut late = fresh.pool.begin().await.unwrap();
    append(&mut late, &entry(1)).await.unwrap();
    append_all(&fresh.pool, [2]).await;
    assert_eq!(flow::seal(&fresh.pool, &signer).await.unwrap(), 0, "it waits for the first");
    // The control: who sealed what can be seen would have sealed the second without the first.
    let seen: Vec<String> = sqlx::query_scalar("select subject from idp.audit order by id")
        .fetch_all(&fresh.pool)
        .await
        .unwrap();
    assert_eq!(seen, ["request:2"]);
    late.commit().await.unwrap();
    seal_all(&fresh.pool, &signer).await;
    let sealed: Vec<String> = sqlx::query_scalar(
        "select subject from idp.audit_seal join idp.audit on id = audit_id order by chain_no",
    )
    .fetch_all(&fresh.pool)
    .await
    .unwrap();
    assert_eq!(sealed, ["request:1", "request:2"]);
    let verdict = flow::verify(&fresh.pool, &[signer.public_key()], Vec::new()).await.unwrap();
    assert_eq!((verdict.bad, verdict.to), (None, 2));
}

#[tokio::test]
async fn many_seal_and_append_at_once_and_the_chain_has_each_row_once() {
    let (fresh, signer) = (database::fresh().await, Key::random().signer(PURPOSE));
    let fresh = Arc::new(fresh);
    let appending = (0..4).map(|who| {
        let pool = fresh.pool.clone();
        tokio::spawn(async move { append_all(&pool, who * 100..who * 100 + 50).await })
    });
    let appending: Vec<_> = appending.collect();
    let sealing = (0..3).map(|_| {
        let (pool, signer) = (fresh.pool.clone(), signer.clone());
        tokio::spawn(async move {
            for _ in 0..40 {
                flow::seal(&pool, &signer).await.unwrap();
            }
        })
    });
    let sealing: Vec<_> = sealing.collect();
    for task in appending.into_iter().chain(sealing) {
        task.await.unwrap();
    }
    seal_all(&fresh.pool, &signer).await;
    let verdict = flow::verify(&fresh.pool, &[signer.public_key()], Vec::new()).await.unwrap();
    assert_eq!((verdict.bad, verdict.to, verdict.unsealed), (None, 200, 0));
}

#[tokio::test]
async fn a_log_that_came_by_a_dump_from_another_server_goes_on() {
    let (fresh, signer) = (database::fresh().await, Key::random().signer(PURPOSE));
    // There, transactions had counted further.
    let of_there = |number: i64| {
        format!(
            "insert into idp.audit (xid, kind, subject, actor, body)
             values ('{}'::xid8, 'k', 'request:{number}', '', '{{}}')",
            1_i64 << 40 | number
        )
    };
    for number in 1..=3 {
        sqlx::raw_sql(AssertSqlSafe(of_there(number))).execute(&fresh.pool).await.unwrap();
    }
    seal_all(&fresh.pool, &signer).await;
    sqlx::raw_sql(AssertSqlSafe(of_there(4))).execute(&fresh.pool).await.unwrap();
    append_all(&fresh.pool, 5..8).await;
    seal_all(&fresh.pool, &signer).await;
    append_all(&fresh.pool, 8..10).await;
    seal_all(&fresh.pool, &signer).await;
    let verdict = flow::verify(&fresh.pool, &[signer.public_key()], Vec::new()).await.unwrap();
    assert_eq!((verdict.bad, verdict.to), (None, 9));
}

#[tokio::test]
async fn what_is_old_is_forgotten_by_a_signed_record_and_in_no_other_way() {
    let log = Log::of(4, 5).await;
    let pool = &log.fresh.pool;
    let forgotten = flow::forget(pool, &log.signer, Duration::from_secs(60 * 60)).await.unwrap();
    assert_eq!(forgotten, 0, "nothing is so old");
    let forgotten = flow::forget(pool, &log.signer, Duration::ZERO).await.unwrap();
    assert_eq!(forgotten, 15, "all but what is behind the last checkpoint before the end");
    let mut connection = pool.acquire().await.unwrap();
    let verdict = log.verdict(&mut connection, log.witnesses()).await;
    assert_eq!((verdict.bad, verdict.from, verdict.to), (None, 16, 20));
    append_all(pool, 20..23).await;
    seal_all(pool, &log.signer).await;
    let verdict = log.verdict(&mut connection, log.witnesses()).await;
    assert_eq!((verdict.bad, verdict.to), (None, 23));
    drop(connection);

    let refused = sqlx::raw_sql("delete from idp.audit").execute(pool).await;
    assert!(refused.is_err(), "what is left is kept");
    // The control: without the record the rows are missed.
    let mut tx = pool.begin().await.unwrap();
    run(&mut tx, "set local session_replication_role = replica".into()).await;
    run(&mut tx, "delete from idp.audit_checkpoint where what = 'forgotten'".into()).await;
    let bad = log.verdict(&mut tx, Vec::new()).await.bad.unwrap();
    assert_eq!((bad.no, bad.until), (Some(1), Some(15)), "{bad}");
}

#[tokio::test]
async fn checkpoints_are_kept_outside_and_tell_when_the_log_is_another() {
    let (fresh, key) = (database::fresh().await, Key::random());
    let (dir, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let file = flow::file(dir.path(), &Terms::default());
    let signer = key.signer(PURPOSE);
    append_all(&fresh.pool, 0..5).await;
    seal_all(&fresh.pool, &signer).await;
    flow::sign_now(&fresh.pool, &signer).await.unwrap();
    let (pool, data) = (fresh.pool.clone(), dir.path().to_path_buf());
    let keeper = flow::keep(pool, key.clone(), data, Terms::default, stop.clone());
    let keeper = tokio::spawn(keeper);
    let look = async || checkpoint::last(&file).unwrap().map(|last| last.no);
    until("a checkpoint outside", look, |no| *no == Some(5)).await;
    stop.cancel();
    keeper.await.unwrap();

    // Put back to an earlier state: what is outside knows better, and stays.
    let mut tx = fresh.pool.begin().await.unwrap();
    run(&mut tx, "set local session_replication_role = replica".into()).await;
    let cut = "delete from idp.audit_seal where chain_no > 3;
        delete from idp.audit where id > (select max(audit_id) from idp.audit_seal);
        delete from idp.audit_checkpoint";
    run(&mut tx, cut.into()).await;
    tx.commit().await.unwrap();
    append_all(&fresh.pool, 6..12).await;
    seal_all(&fresh.pool, &signer).await;
    let forked = flow::copy(&fresh.pool, &file).await.unwrap_err();
    assert!(forked.is::<Forked>(), "{forked:#}");
    assert_eq!(checkpoint::last(&file).unwrap().unwrap().no, 5, "nothing was added");
}

#[tokio::test]
async fn the_command_line_verifies_and_exports() {
    let idp = CommandLine::new().await;
    let fresh = idp.database.as_ref().unwrap();
    let bytes: [u8; 32] = hex::decode(KEY).unwrap().try_into().unwrap();
    let key = Key::new(Arc::new(secrecy::SecretBox::new(Box::new(bytes))));
    let signer = key.signer(PURPOSE);
    append_all(&fresh.pool, 1..=3).await;
    seal_all(&fresh.pool, &signer).await;
    flow::sign_now(&fresh.pool, &signer).await.unwrap();
    let audit = |arguments: &[&str]| {
        let mut command = idp.command(&[&["audit"], arguments].concat());
        crate::command_line::Ended::of(command.env("IDP_KEY", KEY).output().unwrap())
    };
    let good = audit(&["verify"]);
    assert_eq!(good.code, 0, "{good:?}");
    assert!(good.out.starts_with("The log is good: rows 1 to 3.\n"), "{good:?}");
    assert!(good.out.contains("name their file with --checkpoints"), "{good:?}");

    let file = flow::file(&idp.path("data"), &Terms::default());
    flow::copy(&fresh.pool, &file).await.unwrap();
    let good = audit(&["verify"]);
    assert!(good.out.contains("from outside of the database; they hold up to row 3."), "{good:?}");
    assert!(!good.out.contains("name their file"), "{good:?}");
    let exported = audit(&["export"]);
    let lines: Vec<Value> =
        exported.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{exported:?}");
    assert_eq!(lines[1]["no"], 2);
    assert_eq!(lines[1]["subject"], "request:2");
    assert_eq!(lines[1]["body"]["intent"], "00000002");
    assert_eq!(audit(&["export", "--to", "2020-01-01"]).out, "");
    assert_eq!(audit(&["export", "--from", "yesterday"]).code, 2);

    let mut tx = fresh.pool.begin().await.unwrap();
    run(&mut tx, "set local session_replication_role = replica".into()).await;
    run(&mut tx, "update idp.audit set actor = 'eve' where subject = 'request:2'".into()).await;
    tx.commit().await.unwrap();
    let bad = audit(&["verify"]);
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(
        bad.out.starts_with("The log is not as it was written. First: row 2 (id 2)"),
        "{bad:?}"
    );
    let other = "00".repeat(32);
    assert_eq!(audit(&["verify", "--public-key", &other]).code, 1);
    assert_eq!(audit(&["verify", "--public-key", "hunter2"]).code, 2);
}
