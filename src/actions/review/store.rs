//! The SQL of reviews.

use sqlx::PgConnection;

use crate::catalog::EntityRef;

/// `by` has looked at what was done without approval, and found `words`.
pub async fn set(
    db: &mut PgConnection,
    request: i64,
    by: &EntityRef,
    words: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.request
         set reviewed_at = clock_timestamp(), reviewed_by = $2, review = $3
         where id = $1",
    )
    .bind(request)
    .bind(by.as_str())
    .bind(words)
    .execute(db)
    .await?;
    Ok(())
}

/// Up to `limit` requests that were done without approval a day ago, and that nobody looked at or was reminded of for a
/// week, with the number of the reminder; they count as such from now on. After `most` nobody is reminded any more.
pub async fn to_remind(
    db: &mut PgConnection,
    most: i32,
    limit: i64,
) -> sqlx::Result<Vec<(i64, i32)>> {
    sqlx::query_as(
        "update idp.request
         set review_reminded_at = clock_timestamp(), review_reminders = review_reminders + 1
         where id in (
           select id
           from idp.request
           where break_glass is not null and reviewed_at is null and state = 'approved' and review_reminders < $1
             and coalesce(review_reminded_at + interval '7 days', requested_at + interval '1 day') <= clock_timestamp()
             and not exists (
               select from idp.execution
               where execution.request = request.id and execution.state in ('cancelled', 'void'))
           order by requested_at
           limit $2
           for update skip locked)
         returning id, review_reminders",
    )
    .bind(most)
    .bind(limit)
    .fetch_all(db)
    .await
}
