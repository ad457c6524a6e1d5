//! The SQL of connections and migrations.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::time::timeout;

/// How long a server may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Postgres's code for a database that exists already.
const DUPLICATE_DATABASE: &str = "42P04";
/// Postgres's code for a row that exists already: two sessions created one database at once.
const UNIQUE_VIOLATION: &str = "23505";

/// Our migrations, in order. Their own table lies in our schema too.
#[must_use]
pub fn migrations() -> Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.create_schema("idp");
    migrator.dangerous_set_table_name("idp.migrations");
    // While versions change, the older program meets a newer schema, which it can use:
    // migrations expand first and contract later.
    migrator.set_ignore_missing(true);
    migrator
}

/// What the server's clock says.
///
/// # Errors
/// When the server does not answer.
pub async fn clock(options: &PgConnectOptions) -> anyhow::Result<DateTime<Utc>> {
    let connection = timeout(CONNECT_PATIENCE, options.connect()).await;
    let mut connection = connection.context("it did not answer in time")??;
    let now = sqlx::query_scalar("select clock_timestamp()").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(now)
}

/// Brings the schema up to date.
///
/// Each migration is one transaction with the row that records it, and all are run under an
/// advisory lock, so any number of processes may call this at once and any may be killed. It has
/// a connection of its own: the lock goes with it, whatever happens.
///
/// # Errors
/// When the server does not answer or a migration fails.
pub async fn migrate(options: &PgConnectOptions) -> anyhow::Result<()> {
    // A migration, or the wait for another process's, may take longer than a statement may.
    let options = options.clone().options([("statement_timeout", "0")]);
    let mut connection = connection(&options).await?;
    migrations()
        .run_direct(None, &mut connection, false)
        .await
        .context("could not migrate the database")?;
    connection.close().await.context("could not close the connection of the migrations")
}

/// Creates the database `name` unless it exists.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn create_database(options: &PgConnectOptions, name: &str) -> anyhow::Result<()> {
    let mut connection = connection(options).await?;
    let exists: bool = sqlx::query_scalar(
        "select exists (
            select from pg_database
            where datname = $1
        )",
    )
    .bind(name)
    .fetch_one(&mut connection)
    .await
    .context("could not look for the database")?;
    if !exists {
        let created = sqlx::raw_sql(AssertSqlSafe(format!(r#"create database "{name}""#)))
            .execute(&mut connection)
            .await;
        if let Err(error) = created
            && !is_there_already(&error)
        {
            return Err(error).with_context(|| format!("could not create the database {name}"));
        }
    }
    connection.close().await.context("could not close a connection")
}

/// A connection outside of the pools, or an error in good time: a host that is cut off answers nothing.
async fn connection(options: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    let connected = timeout(CONNECT_PATIENCE, options.connect()).await;
    let connected = connected.with_context(|| {
        format!("Postgres did not answer within {} s", CONNECT_PATIENCE.as_secs())
    })?;
    connected.context("could not connect to Postgres")
}

fn is_there_already(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some(DUPLICATE_DATABASE | UNIQUE_VIOLATION))
}
