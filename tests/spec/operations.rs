//! The real process in an incident: its database goes, it restarts, the database comes back.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::address::address;
use crate::asking::acme;
use crate::command_line;
use crate::database::Server;
use crate::waiting::{PATIENCE, until};
use crate::world::{SECRET, TEAM, gets, sends};

/// `idp serve`, ended with the test.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    /// The portal `dir` on the database at `url`; data and copies in `data`.
    fn start(dir: &Path, url: &str, data: &Path) -> Serving {
        let address = address();
        let mut command = serve(dir, url, data);
        command.args(["--listen", &address.to_string()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Serving { child, address }
    }

    async fn says(&self, text: &str) -> String {
        let fields =
            [("team_id", TEAM), ("user_id", "U0ADA"), ("channel_id", "C1"), ("text", text)];
        let body = serde_urlencoded::to_string(fields).unwrap();
        sends(self.address, "/slack/commands", &body).await.body
    }

    /// Waits until what `/readyz` says is `wanted`.
    async fn is(&self, wanted: impl Fn(&Value) -> bool) {
        let asked = async || gets(self.address, "/readyz").await;
        until("as wanted", asked, |it| it.status != 0 && wanted(&it.json())).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(dir: &Path, url: &str, data: &Path) -> Command {
    let mut command = command_line::idp(&["serve"], data);
    command
        .arg("--portal")
        .arg(dir)
        .env("DATABASE_URL", url)
        .env("IDP_DATA_DIR", data)
        .env("SLACK_SIGNING_SECRET", SECRET);
    command
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Nobody but who is linked may ask in the portal `dir`, and U0ADA is, by the database at `url`.
async fn link(serving: &Serving, dir: &Path, url: &str) {
    let said = serving.says("owner payment-api").await;
    assert!(said.contains("linked to nobody"), "{said}");
    let file = dir.join("links.yaml");
    let line =
        format!("- {{platform: slack, tenant: {TEAM}, user_id: U0ADA, user: zoe-laurent}}\n");
    std::fs::write(&file, line).unwrap();
    let mut import = command_line::idp(&["access", "import"], dir);
    let imported = import.arg(&file).env("DATABASE_URL", url).output().unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let asked = async || serving.says("owner payment-api").await;
    until("the link", asked, |said| said.contains("is owned by")).await;
}

/// Check 5: lookups outlive the database, and a restart without it, for who is linked.
#[tokio::test]
async fn lookups_outlive_the_database_and_a_restart_without_it() {
    let (portal, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy(&acme(), portal.path());
    let settings = std::fs::read_to_string(acme().join("idp.yaml")).unwrap();
    let closed = settings.replace("strangers: read", "strangers: nothing");
    assert_ne!(closed, settings);
    std::fs::write(portal.path().join("idp.yaml"), closed).unwrap();
    let server = Server::new();
    let url = server.start().await;
    let lookups = ["owner payment-api", "dependents payment-api", "find checkout"];

    let mut serving = Serving::start(portal.path(), &url, data.path());
    serving.is(|it| it["database"] == "up" && it["catalog"]["entities"].as_u64() > Some(100)).await;
    link(&serving, data.path(), &url).await;
    for lookup in lookups {
        let said = serving.says(lookup).await;
        assert!(said.contains("payment") || said.contains("checkout"), "{said}");
        assert!(!said.contains("As of "), "live data has no age: {said}");
    }

    server.stop().await;
    serving.is(|it| it["database"] == "down" && it["ready"] == true).await;
    for lookup in lookups {
        let said = serving.says(lookup).await;
        assert!(said.contains("As of "), "{lookup}: {said}");
        assert!(said.contains("payment") || said.contains("checkout"), "{said}");
    }

    let is_copied = || {
        let files = std::fs::read_dir(data.path()).unwrap();
        files
            .flatten()
            .filter(|file| file.path().extension().is_some_and(|it| it == "copy"))
            .count()
    };
    until("a copy of the catalog and one of the links", async || is_copied(), |it| *it == 2).await;
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    serving = Serving::start(portal.path(), &url, data.path());
    serving.is(|it| it["ready"] == true && it["database"] == "down").await;
    for lookup in lookups {
        let said = serving.says(lookup).await;
        assert!(said.contains("As of "), "{lookup}: {said}");
        assert!(said.contains("payment") || said.contains("checkout"), "{said}");
    }

    let url_again = server.start().await;
    assert_eq!(url, url_again);
    let back = Instant::now();
    let file = portal.path().join("catalog/new.yaml");
    let text = "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: brand-new}\n\
                spec: {type: service, lifecycle: production, owner: payments}\n";
    std::fs::write(file, text).unwrap();
    let catalog = portal.path().join("catalog");
    let imported = command_line::idp(&["catalog", "import"], data.path())
        .arg("--portal")
        .arg(portal.path())
        .arg(catalog)
        .env("DATABASE_URL", &url)
        .output()
        .unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let imported_s = back.elapsed().as_secs_f64();
    let changed = Instant::now();
    let asked = async || serving.says("owner brand-new").await;
    until("the change", asked, |said| said.contains("Payments")).await;
    let seconds = changed.elapsed().as_secs_f64();
    assert!(seconds < 5.0, "the change was picked up after {seconds} s");
    println!(
        "REL issue-2-check-5 back: imported after {imported_s:.2} s, picked up {seconds:.2} s later"
    );
}

#[tokio::test]
async fn a_process_told_to_stop_finishes_and_ends_with_0() {
    let data = tempfile::tempdir().unwrap();
    let database = crate::database::fresh().await;
    let mut serving = Serving::start(&acme(), &database.url, data.path());
    serving.is(|it| it["ready"] == true).await;
    let pid = nix::unistd::Pid::from_raw(serving.child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

/// D5: a process that anybody could speak to does not start, and does not tell the secret.
#[tokio::test]
async fn a_secret_that_anybody_could_sign_with_keeps_the_process_from_starting() {
    let data = tempfile::tempdir().unwrap();
    for secret in [
        "",
        "short-one",
        "has spaces in it, many",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "xoxb-1234567890-abcdef",
    ] {
        let mut command = serve(&acme(), "postgres://idp@127.0.0.1:1/idp", data.path());
        command.env("SLACK_SIGNING_SECRET", secret).args(["--listen", "127.0.0.1:0"]);
        let mut command = tokio::process::Command::from(command);
        let ended = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output()).await;
        let ended = ended.unwrap_or_else(|_| panic!("it started with {secret:?}")).unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success(), "it started with {secret:?}");
        assert!(said.contains("SLACK_SIGNING_SECRET"), "{said}");
        assert!(secret.is_empty() || !said.contains(secret), "{said}");
    }
}
