//! The contract of the command line: what programs may build on.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::database::{self, Fresh, Server};

/// A portal in a directory of its own, a database of its own, and the real binary.
pub struct CommandLine {
    pub dir: TempDir,
    /// `None`: the private one.
    database_url: Option<String>,
    /// That of `database_url`, where it is the test's own.
    pub database: Option<Fresh>,
}

const CATALOG: &str = "\
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: payments, description: Takes the money}
spec: {type: team, children: []}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: ada}
spec: {memberOf: [payments]}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: payment-api, description: Charges cards}
spec: {type: service, lifecycle: production, owner: payments}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: checkout}
spec: {type: website, lifecycle: production, owner: payments, dependsOn: ['component:payment-api']}
";

impl CommandLine {
    pub async fn new() -> CommandLine {
        let database = database::fresh().await;
        CommandLine::with(Some(database.url.clone()), Some(database))
    }

    /// Nothing listens where its database should be.
    pub fn without_database() -> CommandLine {
        CommandLine::on("postgres://idp@127.0.0.1:1/idp".into())
    }

    /// On the database at `url`, which somebody else looks after.
    pub fn on(url: String) -> CommandLine {
        CommandLine::with(Some(url), None)
    }

    /// On a private database, which is to be stopped in the end.
    pub fn private() -> CommandLine {
        let it = CommandLine::with(None, None);
        // As root the database is somebody else's process, which must be able to come here.
        std::fs::set_permissions(it.dir.path(), Permissions::from_mode(0o755)).unwrap();
        it
    }

    fn with(database_url: Option<String>, database: Option<Fresh>) -> CommandLine {
        let dir = tempfile::tempdir().unwrap();
        let it = CommandLine { dir, database_url, database };
        it.set("");
        it.write("portal/catalog/all.yaml", CATALOG);
        it
    }

    /// The portal's settings: everybody may ask, and `more`, from the third line on.
    pub fn set(&self, more: &str) {
        let settings = format!("organisation: Acme\naccess: {{strangers: read}}\n{more}");
        self.write("portal/idp.yaml", &settings);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// `idp` with `arguments`, in the directory that has `portal` in it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = idp(arguments, self.dir.path());
        command.envs(self.database_url.iter().map(|url| ("DATABASE_URL", url)));
        command
    }

    pub fn runs(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// What `arguments` print as JSON, with the exit code.
    fn json(&self, arguments: &[&str]) -> (Value, i32) {
        let ended = self.runs(arguments);
        (ended.json(), ended.code)
    }
}

/// The real binary, with nothing in its environment but a place of its own for its data.
pub fn idp(arguments: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idp"));
    command
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", dir)
        .env("IDP_DATA_DIR", dir.join("data"))
        .stdin(Stdio::null());
    command
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Ended {
    pub fn of(output: Output) -> Ended {
        Ended {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.out);
        parsed.unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.error))
    }
}

#[tokio::test]
async fn a_question_is_answered_in_text_json_and_blocks() {
    let idp = CommandLine::new().await;
    let text = idp.runs(&["ask", "owner", "payment-api"]);
    assert_eq!(text.code, 0, "{}", text.error);
    assert!(text.out.contains("payments") && !text.out.contains('\u{1b}'), "{}", text.out);

    let (answer, code) = idp.json(&["ask", "--format", "json", "who", "owns", "payment-api?"]);
    assert_eq!(code, 0);
    assert_eq!(answer["command"], "owner");
    assert!(answer["arguments"].is_object() && answer["answer"].is_object(), "{answer}");
    assert!(answer["markdown"].as_str().unwrap().contains("payments"), "{answer}");
    assert_eq!(answer["age_s"], Value::Null);

    let (blocks, _) = idp.json(&["ask", "owner", "payment-api", "--format", "slack"]);
    assert!(!blocks["blocks"].as_array().unwrap().is_empty(), "{blocks}");
}

#[tokio::test]
async fn a_refusal_ends_with_1_and_says_what_to_type_instead() {
    let idp = CommandLine::new().await;
    let (refusal, code) = idp.json(&["ask", "--format", "json", "owner", "paymnt-api"]);
    assert_eq!(code, 1);
    assert_eq!(refusal["refusal"], "unknown_entity");
    assert!(refusal["message"].as_str().unwrap().contains("`payment-api`"), "{refusal}");
    assert_eq!(refusal["suggestions"][0], "owner payment-api");
    assert_eq!(idp.runs(&["ask", "owner", "paymnt-api"]).code, 1);
}

#[tokio::test]
async fn a_call_that_makes_no_sense_ends_with_2_and_prints_nothing() {
    let idp = CommandLine::without_database();
    for arguments in [
        &["ask"][..],
        &["ask", "--format", "xml", "help"],
        &["ask", "--as"],
        &["aks", "owner"],
        &["catalog", "import"],
        &["catalog"],
        &["check"],
        &["serve", "--listen", "here"],
        &["serve", "--nonsense"],
        &[],
    ] {
        let ended = idp.runs(arguments);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{arguments:?}");
        assert!(
            ended.error.contains("--help") || ended.error.contains("Usage"),
            "{arguments:?}: {}",
            ended.error
        );
    }
}

#[tokio::test]
async fn someone_may_ask_as_a_user_of_the_catalog() {
    let idp = CommandLine::new().await;
    for name in ["ada", "user:default/ada", "User:ada"] {
        let (answer, code) = idp.json(&["ask", "--as", name, "--format", "json", "whoami"]);
        assert_eq!(code, 0, "{answer}");
        assert!(answer["markdown"].as_str().unwrap().contains("ada"), "{answer}");
    }
}

#[tokio::test]
async fn an_import_reports_what_it_did() {
    let idp = CommandLine::new().await;
    let import = ["catalog", "import", "--portal", "portal", "portal/catalog", "--format", "json"];
    let (first, code) = idp.json(&import);
    assert_eq!(code, 0);
    assert_eq!((&first["files"], &first["documents"]), (&1.into(), &4.into()), "{first}");
    assert_eq!(first["entities"]["total"], 4, "{first}");
    assert_eq!(first["entities"]["created"], 4, "{first}");
    assert!(first["relations"].as_u64().unwrap() >= 4, "{first}");
    assert_eq!(first["problems"], Value::Array(Vec::new()));
    assert!(first["seconds"].is_number(), "{first}");

    let (second, _) = idp.json(&import);
    assert_eq!(second["entities"]["created"], 0, "{second}");
    assert_eq!(second["entities"]["updated"], 0, "{second}");
    assert_eq!(second["entities"]["unchanged"], 4, "{second}");
}

#[tokio::test]
async fn a_problem_does_not_fail_an_import_and_is_listed_with_its_place() {
    let idp = CommandLine::new().await;
    idp.write("portal/catalog/bad.yaml", "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: 'not a name'\nspec: {type: service, lifecycle: x, owner: payments}\n");
    let (report, code) = idp.json(&["catalog", "import", "portal/catalog", "--format", "json"]);
    assert_eq!(code, 0);
    assert_eq!(report["entities"]["created"], 4, "{report}");
    let problem = &report["problems"][0];
    assert_eq!((&problem["file"], &problem["line"]), (&"bad.yaml".into(), &4.into()), "{report}");
    for key in ["document", "column", "ref", "severity", "rule", "message", "hint"] {
        assert!(problem.get(key).is_some(), "no {key}: {problem}");
    }
    let listed = idp.runs(&["catalog", "problems"]);
    assert_eq!(listed.code, 0, "{}", listed.error);
    assert!(listed.out.contains("bad.yaml:4:"), "{}", listed.out);
}

#[tokio::test]
async fn an_unreadable_path_fails_an_import_by_name() {
    let idp = CommandLine::new().await;
    let ended = idp.runs(&["catalog", "import", "portal/nowhere"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(ended.error.contains("portal/nowhere"), "{}", ended.error);
}

#[tokio::test]
async fn a_hostile_file_is_told_without_obeying_it() {
    let idp = CommandLine::new().await;
    idp.write("portal/catalog/esc.yaml", "kind: \"\\e[2J\\u202e\\a\"\nmetadata: {name: x}\n");
    let bomb = format!(
        "a: &a [{}]\nb: &b [{}]\nc: [{}]\n",
        "x,".repeat(99),
        "*a,".repeat(99),
        "*b,".repeat(9_999)
    );
    idp.write("portal/catalog/bomb.yaml", &bomb);
    idp.write("portal/catalog/deep.yaml", &"[".repeat(100_000));
    std::fs::write(idp.path("portal/catalog/nul.yaml"), b"kind: A\0PI\n\xff\xfe").unwrap();
    let ended = idp.runs(&["catalog", "import", "portal/catalog"]);
    assert_eq!(ended.code, 0, "{}", ended.error);
    let printed = format!("{}{}", ended.out, ended.error);
    let obeyed = |it: char| (it.is_control() && it != '\n') || it == '\u{202e}';
    assert!(!printed.contains(obeyed), "{printed:?}");
    assert!(ended.out.contains("4 created"), "{}", ended.out);
    assert_eq!(idp.runs(&["ask", "owner", "payment-api"]).code, 0);
}

#[tokio::test]
async fn an_export_has_one_object_a_line() {
    let idp = CommandLine::new().await;
    idp.runs(&["catalog", "import", "portal/catalog"]);
    let ended = idp.runs(&["catalog", "export"]);
    assert_eq!(ended.code, 0, "{}", ended.error);
    let lines: Vec<Value> =
        ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    let payment = lines.iter().find(|it| it["ref"] == "component:default/payment-api").unwrap();
    assert_eq!(payment["kind"], "Component");
    assert_eq!(payment["metadata"]["description"], "Charges cards");
    assert_eq!(payment["spec"]["lifecycle"], "production");
    assert_eq!(payment["relations"], serde_json::json!(["ownedBy group:default/payments"]));
    assert_eq!(payment["source"], serde_json::json!({"file": "all.yaml", "document": 2}));

    let users = idp.runs(&["catalog", "export", "--kind", "user"]);
    assert_eq!(users.out.lines().count(), 1);
}

#[tokio::test]
async fn a_check_fails_on_errors_and_passes_on_warnings() {
    let idp = CommandLine::without_database();
    assert_eq!(idp.runs(&["check", "portal"]).code, 0);

    idp.write("portal/idp.yaml", "organization: Acme\n");
    let ended = idp.runs(&["check", "portal"]);
    assert_eq!(ended.code, 1);
    assert!(ended.out.starts_with("idp.yaml:1:1: error[unknown-key]: "), "{}", ended.out);
    assert!(ended.out.contains("Did you mean `organisation`?"), "{}", ended.out);
    let (report, code) = idp.json(&["check", "portal", "--format", "json"]);
    assert_eq!((code, &report["errors"]), (1, &1.into()), "{report}");
    assert_eq!(report["problems"][0]["line"], 1);

    assert_eq!(idp.runs(&["check", "nowhere"]).code, 1);
}

#[tokio::test]
async fn without_a_portal_the_message_says_how_to_name_one() {
    let idp = CommandLine::without_database();
    std::fs::rename(idp.path("portal"), idp.path("elsewhere")).unwrap();
    let ended = idp.runs(&["ask", "help"]);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    assert!(
        ended.error.contains("--portal") && ended.error.contains("IDP_PORTAL"),
        "{}",
        ended.error
    );
    assert_eq!(
        idp.command(&["ask", "help"]).env("IDP_PORTAL", "nowhere").output().unwrap().status.code(),
        Some(2)
    );
}

#[tokio::test]
async fn with_the_database_down_the_copy_on_disk_answers_with_its_age() {
    let server = Server::new();
    let idp = CommandLine::on(server.start().await);
    let (answer, _) = idp.json(&["ask", "--format", "json", "owner", "payment-api"]);
    assert_eq!(answer["age_s"], Value::Null);

    server.stop().await;
    let (answer, code) = idp.json(&["ask", "--format", "json", "owner", "payment-api"]);
    assert_eq!(code, 0, "{answer}");
    assert!(answer["age_s"].is_number(), "{answer}");
}

#[tokio::test]
async fn migrating_twice_is_once_enough() {
    let idp = CommandLine::new().await;
    for _ in 0..2 {
        let ended = idp.runs(&["migrate"]);
        assert_eq!(ended.code, 0, "{}", ended.error);
    }
}

#[test]
fn a_bad_variable_is_told_by_name_and_not_by_value() {
    let dir = tempfile::tempdir().unwrap();
    let output = idp(&["migrate"], dir.path()).env("IDP_LISTEN", "hunter2").output().unwrap();
    let ended = Ended::of(output);
    assert_eq!(ended.code, 1);
    assert!(
        ended.error.contains("`IDP_LISTEN`") && !ended.error.contains("hunter2"),
        "{}",
        ended.error
    );
}
