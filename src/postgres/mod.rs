//! The database: a private cluster that idp runs itself when none is given, connections, migrations.

pub mod store;

use std::path::PathBuf;

use sqlx::PgPool;

/// Which database to use.
#[derive(Debug, Clone)]
pub enum Database {
    /// `DATABASE_URL`.
    Url(String),
    /// A private cluster whose data lies in this directory.
    Private { dir: PathBuf, install: bool, fsync: bool },
}

/// Connections to an answering, migrated database.
#[derive(Debug, Clone)]
pub struct Db {
    /// Everything but acknowledgements.
    pub pool: PgPool,
    /// Kept for acknowledgements.
    pub acks: PgPool,
}

/// Connects to `database`, starting or adopting the private cluster, and runs the migrations.
pub async fn open(_database: &Database) -> anyhow::Result<Db> {
    todo!()
}
