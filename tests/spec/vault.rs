//! The instance's key: all processes of one database have the same, and nobody reads it.

use std::time::Instant;

use crate::command_line::{CommandLine, Ended};
use crate::waiting::{LOOK_EVERY, PATIENCE};

const ONE: &str = "5b1d3c8e0f9a47d2b6e4c1a098f7d6350d7f4bb1a9c34e5f8a2b6c1d9e3f7a50";
const OTHER: &str = "0d7f4bb1a9c34e5f8a2b6c1d9e3f7a505b1d3c8e0f9a47d2b6e4c1a098f7d635";

/// `idp serve` with `key`, until it listens or ends. How it ended; `None` where it listened.
fn serves(idp: &CommandLine, key: Option<&str>) -> Option<Ended> {
    let mut command = idp.command(&["serve", "--portal", "portal", "--listen", "127.0.0.1:0"]);
    if let Some(key) = key {
        command.env("IDP_KEY", key);
    }
    let log = idp.dir.path().join("log");
    command.stderr(std::fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = std::fs::read_to_string(&log).unwrap();
        if let Some(status) = child.try_wait().unwrap() {
            let error = std::fs::read_to_string(&log).unwrap();
            return Some(Ended { code: status.code().unwrap(), out: String::new(), error });
        }
        if said.contains(r#""message":"listening""#) {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        assert!(Instant::now() < deadline, "{said}");
        std::thread::sleep(LOOK_EVERY);
    }
}

#[tokio::test]
async fn a_second_key_does_not_start_on_a_database_until_it_is_accepted() {
    let idp = CommandLine::new().await;
    assert!(serves(&idp, Some(ONE)).is_none(), "the first one is the database's");
    let refused = serves(&idp, Some(OTHER)).expect("it has another key");
    assert_eq!(refused.code, 1);
    for part in ["another key", "`IDP_KEY`", "`idp key accept`", "cannot be read any more"] {
        assert!(refused.error.contains(part), "{part}: {}", refused.error);
    }
    assert!(!refused.error.contains(OTHER), "{}", refused.error);
    assert!(serves(&idp, None).is_some(), "that of the data directory is another one, too");

    let accepted = idp.command(&["key", "accept"]).env("IDP_KEY", OTHER).output().unwrap();
    let accepted = Ended::of(accepted);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert!(accepted.out.starts_with("This key is the database's now."), "{accepted:?}");
    assert!(serves(&idp, Some(OTHER)).is_none());
    assert!(serves(&idp, Some(ONE)).is_some());
}

#[tokio::test]
async fn processes_of_one_data_directory_have_its_key() {
    let idp = CommandLine::new().await;
    assert!(serves(&idp, None).is_none());
    let key = std::fs::read_to_string(idp.path("data/key")).unwrap();
    assert!(serves(&idp, None).is_none());
    assert!(serves(&idp, Some(key.trim())).is_none(), "the same, given another way");
    let database = idp.database.as_ref().unwrap();
    let kept: Vec<u8> = sqlx::query_scalar("select fingerprint from idp.vault_key")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert!(!key.contains(&hex::encode(kept)), "the database has nothing of the key");
}
