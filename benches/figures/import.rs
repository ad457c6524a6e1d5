//! Descriptors on disk into Postgres, by the program itself; the same rows by COPY into the same tables.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use futures_util::TryStreamExt;
use idp::postgres::{self, Database, Db, Private};
use serde_json::Value;
use tempfile::TempDir;

use crate::figure::Figures;
use crate::generated::Generated;

/// A private database that holds the catalog, in a data directory of its own.
pub struct Imported {
    pub data: TempDir,
    pub db: Db,
    database: Database,
}

impl Imported {
    /// `idp` with this database.
    pub fn idp(&self) -> Command {
        idp(self.data.path())
    }

    /// Stops the server and deletes everything.
    pub async fn close(self) {
        self.db.close().await.unwrap();
        postgres::stop(&self.database).await.unwrap();
    }
}

pub async fn measure(generated: &Generated, figures: &mut Figures) -> Imported {
    println!("import, {} entities", generated.len());
    let name = |figure: &str| format!("import-{}-{figure}", generated.len());
    // As root, the server runs as another user, who must get to its cluster.
    let open = std::fs::Permissions::from_mode(0o755);
    let data = tempfile::Builder::new().prefix("idp-figures-").permissions(open).tempdir().unwrap();
    let catalog = data.path().join("descriptors");
    generated.write(&catalog);
    let portal = data.path().join("portal");
    std::fs::create_dir_all(&portal).unwrap();
    let settings = "organisation: Acme\naccess: {strangers: read}\ndiscord: {guild_ids: [\"700000000000000001\"]}\n\
         sources:\n  - path: ../descriptors\n";
    std::fs::write(portal.join("idp.yaml"), settings).unwrap();
    let per_s = |seconds: f64| generated.len() as f64 / seconds;

    let first = import(data.path(), &catalog);
    assert_eq!(first["entities"]["created"], generated.len(), "{first}");
    let first_s = first["seconds"].as_f64().unwrap();
    figures.add(name("first"), per_s(first_s), "entities/s");
    let again = import(data.path(), &catalog);
    assert_eq!(again["entities"]["unchanged"], generated.len(), "{again}");
    figures.add(name("unchanged"), per_s(again["seconds"].as_f64().unwrap()), "entities/s");

    let database = Database::Private(Private {
        dir: private_directory(data.path()),
        bin: None,
        install: false,
        fsync: true,
    });
    let db = postgres::open(&database).await.unwrap();
    let copied_s = copy(&db).await;
    figures.add(name("copy"), per_s(copied_s), "entities/s");
    figures.add(name("of-copy"), copied_s / first_s, "");
    Imported { data, db, database }
}

/// Where the program keeps its cluster below its data directory.
fn private_directory(data: &Path) -> PathBuf {
    data.join("postgres")
}

fn import(data: &Path, catalog: &Path) -> Value {
    let out = idp(data)
        .args(["catalog", "import", "--portal", "portal", "--format", "json"])
        .arg(catalog)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(out.status.success(), "the import failed");
    serde_json::from_slice(&out.stdout).unwrap()
}

fn idp(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idp"));
    command.env("IDP_DATA_DIR", data).env_remove("DATABASE_URL").current_dir(data);
    command
}

/// The seconds that COPY takes for the rows of the import, with the same indexes and checks.
async fn copy(db: &Db) -> f64 {
    let tables = ["stored_entity", "stated_relation"];
    let mut connection = db.pool.acquire().await.unwrap();
    let mut rows = Vec::new();
    for table in tables {
        let make = format!("create table idp.copied_{table} (like idp.{table} including all)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut *connection).await.unwrap();
        let out = format!("copy idp.{table} to stdout");
        let out = connection.copy_out_raw(&out).await.unwrap();
        rows.push(out.try_collect::<Vec<_>>().await.unwrap());
    }
    let start = Instant::now();
    for (table, rows) in tables.iter().zip(rows) {
        let mut copy =
            connection.copy_in_raw(&format!("copy idp.copied_{table} from stdin")).await.unwrap();
        for row in rows {
            copy.send(row).await.unwrap();
        }
        copy.finish().await.unwrap();
    }
    let copied_s = start.elapsed().as_secs_f64();
    let drop = "drop table idp.copied_stored_entity, idp.copied_stated_relation";
    sqlx::raw_sql(drop).execute(&mut *connection).await.unwrap();
    copied_s
}
