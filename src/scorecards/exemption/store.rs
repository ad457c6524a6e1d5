//! The SQL of exemptions.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::{Decisions, Exemption, OPEN_DAYS, Request, State};
use crate::catalog::EntityRef;

const COLUMNS: &str = "id, entity, scorecard, rule, reason, days, asked_by, asked_at, state, decided_by, decided_at, \
                       note, ends_at";

/// Writes `request` down, and gives back what is asked for now: it, or what somebody asked before.
pub async fn ask(db: &mut PgConnection, request: &Request) -> sqlx::Result<Exemption> {
    // What nobody decided on in time makes room.
    sqlx::query(
        "update idp.exemption
         set state = 'withdrawn', decided_by = asked_by, decided_at = clock_timestamp()
         where entity = $1 and scorecard = $2 and rule = $3 and state = 'asked'
           and asked_at <= clock_timestamp() - make_interval(days => $4)",
    )
    .bind(request.entity.as_str())
    .bind(&request.scorecard)
    .bind(&request.rule)
    .bind(OPEN_DAYS as i32)
    .execute(&mut *db)
    .await?;
    // To change nothing locks the row, and gives it back.
    let ask = format!(
        "insert into idp.exemption (entity, scorecard, rule, reason, days, asked_by)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (entity, scorecard, rule) where state = 'asked'
         do update set reason = exemption.reason
         returning {COLUMNS}"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(ask))
        .bind(request.entity.as_str())
        .bind(&request.scorecard)
        .bind(&request.rule)
        .bind(&request.reason)
        .bind(request.days)
        .bind(request.asked_by.as_str())
        .fetch_one(db)
        .await?;
    read(&row)
}

/// The database's time, and the exemption `id`, which nobody else decides on until the transaction ends.
pub async fn lock(
    db: &mut PgConnection,
    id: i64,
) -> sqlx::Result<Option<(DateTime<Utc>, Exemption)>> {
    let locked = format!(
        "select clock_timestamp() as now, {COLUMNS} from idp.exemption where id = $1 for update"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(locked)).bind(id).fetch_optional(db).await?;
    row.map(|row| Ok((row.try_get("now")?, read(&row)?))).transpose()
}

/// What became of the exemption `id`.
pub async fn decide(
    db: &mut PgConnection,
    id: i64,
    state: State,
    by: &EntityRef,
    note: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.exemption
         set state = $2, decided_by = $3, decided_at = clock_timestamp(), note = coalesce($4, note),
             ends_at = case $2
                 when 'granted' then clock_timestamp() + make_interval(days => days)
                 when 'ended' then clock_timestamp()
             end
         where id = $1",
    )
    .bind(id)
    .bind(state.word())
    .bind(by.as_str())
    .bind(note)
    .execute(db)
    .await?;
    Ok(())
}

/// Those that hold, of all entities or of one.
pub async fn live(
    db: &mut PgConnection,
    entity: Option<&EntityRef>,
) -> sqlx::Result<Vec<Exemption>> {
    let live = format!(
        "select {COLUMNS} from idp.exemption
         where state = 'granted' and ends_at > clock_timestamp() and ($1::text is null or entity = $1)"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(live));
    let rows = rows.bind(entity.map(EntityRef::as_str)).fetch_all(db).await?;
    rows.iter().map(read).collect()
}

/// Those that somebody can still decide on and those that hold, what waits first, then what ends soonest; and how many
/// there are. `asked_by`: only theirs.
pub async fn current(
    db: &mut PgConnection,
    asked_by: Option<&EntityRef>,
    offset: i64,
    rows: i64,
) -> sqlx::Result<(Vec<Exemption>, i64)> {
    let current = format!(
        "select {COLUMNS}, count(*) over () as total from idp.exemption
         where (state = 'asked' and asked_at > clock_timestamp() - make_interval(days => $4)
                or state = 'granted' and ends_at > clock_timestamp())
           and ($1::text is null or asked_by = $1)
         order by state = 'granted', coalesce(ends_at, asked_at), id
         offset $2 limit $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(current))
        .bind(asked_by.map(EntityRef::as_str))
        .bind(offset)
        .bind(rows)
        .bind(OPEN_DAYS as i32)
        .fetch_all(db)
        .await?;
    let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
    Ok((rows.iter().map(read).collect::<sqlx::Result<_>>()?, total))
}

/// How long people waited for the decisions of the days `from` to `to`, of UTC; what was ended since is not among them.
pub async fn decisions(
    db: &mut PgConnection,
    from: NaiveDate,
    to: NaiveDate,
) -> sqlx::Result<Decisions> {
    sqlx::query_as(
        "with decided as (
           select extract(epoch from decided_at - asked_at)::double precision as waited_s
           from idp.exemption
           where state in ('granted', 'refused')
             and decided_at >= $1::timestamp at time zone 'UTC'
             and decided_at < ($2::timestamp + interval '1 day') at time zone 'UTC')
         select count(*) as decided, max(waited_s) as longest_s,
           percentile_cont(0.5) within group (order by waited_s) as median_s,
           (select count(*) from idp.exemption
            where state = 'asked' and asked_at > clock_timestamp() - make_interval(days => $3)) as waiting
         from decided",
    )
    .bind(from)
    .bind(to)
    .bind(OPEN_DAYS as i32)
    .fetch_one(db)
    .await
}

fn read(row: &PgRow) -> sqlx::Result<Exemption> {
    let reference = |column: &str| -> sqlx::Result<Option<EntityRef>> {
        let text: Option<String> = row.try_get(column)?;
        let read = text.map(|text| EntityRef::parse(&text, None, "default")).transpose();
        read.map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let needed =
        |column: &str| reference(column)?.ok_or(sqlx::Error::ColumnNotFound(column.into()));
    let state: String = row.try_get("state")?;
    Ok(Exemption {
        id: row.try_get("id")?,
        entity: needed("entity")?,
        scorecard: row.try_get("scorecard")?,
        rule: row.try_get("rule")?,
        reason: row.try_get("reason")?,
        days: row.try_get("days")?,
        asked_by: needed("asked_by")?,
        asked_at: row.try_get("asked_at")?,
        state: State::from_word(&state)
            .ok_or_else(|| sqlx::Error::Decode(format!("no state is `{state}`").into()))?,
        decided_by: reference("decided_by")?,
        decided_at: row.try_get("decided_at")?,
        note: row.try_get("note")?,
        ends_at: row.try_get("ends_at")?,
    })
}
