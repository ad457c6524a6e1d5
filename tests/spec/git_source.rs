//! Git repositories as sources: real ones, made here, over files and over HTTP.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use idp::catalog::sources::file;
use idp::catalog::sources::git::{Repository, Tree};
use idp::integrations::http::{Client, HttpError, Policy};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tempfile::TempDir;

#[test]
fn the_files_of_a_repository_are_those_its_globs_match() {
    let origin = Origin::new();
    origin.commit(&[
        ("catalog-info.yaml", "kind: Component"),
        ("api/catalog-info.yaml", "kind: API"),
        ("api/deep/er/catalog-info.yml", "kind: API"),
        ("docs/other.yaml", "x: 1"),
        (".github/catalog-info.yaml", "kind: Component"),
    ]);
    let tree = origin.update().unwrap();
    let globs = |globs: &[&str]| {
        let globs: Vec<String> = globs.iter().map(ToString::to_string).collect();
        let listed = file::list(&tree.root, Some(&globs)).unwrap();
        listed.files.into_iter().map(|it| it.name).collect::<Vec<_>>()
    };
    assert_eq!(
        globs(&["**/catalog-info.yaml", "**/catalog-info.yml"]),
        [
            ".github/catalog-info.yaml",
            "api/catalog-info.yaml",
            "api/deep/er/catalog-info.yml",
            "catalog-info.yaml"
        ]
    );
    assert_eq!(globs(&["*.yaml"]), ["catalog-info.yaml"]);
    assert_eq!(globs(&["./docs/*.yaml"]), ["docs/other.yaml"]);
    assert!(globs(&[".git/**"]).is_empty());
    assert!(file::list(&tree.root, Some(&["[".into()])).is_err());
}

#[test]
fn what_changes_in_a_repository_changes_in_its_clone() {
    let origin = Origin::new();
    origin.commit(&[("catalog-info.yaml", "one"), ("gone.yaml", "x")]);
    let first = origin.update().unwrap().commit;
    fs::remove_file(origin.work().join("gone.yaml")).unwrap();
    origin.commit(&[("catalog-info.yaml", "two")]);

    let tree = origin.update().unwrap();
    assert_ne!(tree.commit, first);
    assert_eq!(tree.commit, origin.git(&["rev-parse", "HEAD"]));
    assert_eq!(read(&tree, "catalog-info.yaml"), "two");
    assert!(!tree.root.join("gone.yaml").exists());
}

#[test]
fn a_history_that_was_rewritten_is_followed() {
    let origin = Origin::new();
    origin.commit(&[("catalog-info.yaml", "one")]);
    origin.commit(&[("catalog-info.yaml", "two")]);
    origin.update().unwrap();
    origin.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    origin.commit(&[("catalog-info.yaml", "three")]);
    assert_eq!(read(&origin.update().unwrap(), "catalog-info.yaml"), "three");
}

#[test]
fn an_unchanged_commit_writes_nothing() {
    let origin = Origin::new();
    origin.commit(&[("catalog-info.yaml", "one")]);
    let tree = origin.update().unwrap();
    let file = tree.root.join("catalog-info.yaml");
    let written = || fs::metadata(&file).unwrap().modified().unwrap();
    let (commit, before) = (tree.commit.clone(), written());
    drop(tree);
    assert_eq!(origin.update().unwrap().commit, commit);
    assert_eq!(written(), before);
}

#[test]
fn a_branch_is_read_when_it_is_named() {
    let origin = Origin::new();
    origin.commit(&[("catalog-info.yaml", "main")]);
    origin.git(&["checkout", "--quiet", "-b", "release/2.1"]);
    origin.commit(&[("catalog-info.yaml", "release")]);
    origin.git(&["checkout", "--quiet", "main"]);
    assert_eq!(read(&origin.update().unwrap(), "catalog-info.yaml"), "main");
    let release = origin.repository(Some("release/2.1")).update(&[], &origin.clones());
    assert_eq!(read(&release.unwrap(), "catalog-info.yaml"), "release");
    let missing = origin.repository(Some("missing")).update(&[], &origin.clones()).unwrap_err();
    assert!(missing.to_string().contains("missing"), "{missing}");
}

#[test]
fn only_the_newest_commit_is_fetched() {
    let origin = Origin::new();
    for number in 0..5 {
        origin.commit(&[("catalog-info.yaml", &number.to_string())]);
    }
    let tree = origin.update().unwrap();
    let count = git_in(&tree.root, &["rev-list", "--count", "HEAD"]);
    assert_eq!(count, "1");
}

#[test]
fn a_clone_that_a_crash_left_half_done_is_repaired() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 8] = [
        ("killed before anything was there", |root| fs::remove_dir_all(root.join(".git")).unwrap()),
        ("killed while it wrote the index", |root| {
            fs::write(root.join(".git/index.lock"), "").unwrap()
        }),
        ("killed while it fetched", |root| fs::write(root.join(".git/shallow.lock"), "").unwrap()),
        ("killed while it moved a reference", |root| {
            fs::write(root.join(".git/HEAD.lock"), "").unwrap()
        }),
        ("half its files written", |root| {
            fs::write(root.join("catalog-info.yaml"), "").unwrap();
            fs::write(root.join(".git/index.lock"), "").unwrap();
        }),
        ("its objects cut short", |root| {
            for pack in fs::read_dir(root.join(".git/objects/pack")).unwrap() {
                let path = pack.unwrap().path();
                fs::remove_file(&path).unwrap();
                fs::write(&path, "PACK").unwrap();
            }
        }),
        ("its index cut short", |root| fs::write(root.join(".git/index"), "DIRC").unwrap()),
        ("its head emptied", |root| fs::write(root.join(".git/HEAD"), "").unwrap()),
    ];
    for (damage, apply) in damages {
        let origin = Origin::new();
        origin.commit(&[("catalog-info.yaml", "one")]);
        let tree = origin.update().unwrap();
        apply(&tree.root);
        drop(tree);
        origin.commit(&[("catalog-info.yaml", "two")]);
        let tree = origin.update().unwrap_or_else(|error| panic!("{damage}: {error:#}"));
        assert_eq!(read(&tree, "catalog-info.yaml"), "two", "{damage}");
    }
}

#[test]
fn a_repository_that_cannot_be_asked_leaves_its_clone_as_it_was() {
    let origin = Origin::new();
    origin.commit(&[("catalog-info.yaml", "one")]);
    let root = origin.update().unwrap().root;
    fs::rename(origin.work(), origin.dir.path().join("elsewhere")).unwrap();
    let error = origin.update().unwrap_err();
    assert!(error.to_string().contains("does not appear to be a git repository"), "{error}");
    assert_eq!(fs::read_to_string(root.join("catalog-info.yaml")).unwrap(), "one");
}

#[test]
fn nothing_in_a_repository_runs_or_leads_out_of_it() {
    let origin = Origin::new();
    let ran = origin.dir.path().join("ran");
    let script = format!("#!/bin/sh\ntouch {}\n", ran.display());
    let work = origin.work();
    fs::create_dir_all(work.join("hooks")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", work.join("catalog-info.yaml")).unwrap();
    std::os::unix::fs::symlink("/etc", work.join("etc")).unwrap();
    origin.commit(&[
        ("hooks/post-checkout", &script),
        ("hooks/reference-transaction", &script),
        (".gitattributes", "* filter=run diff=run merge=run\n"),
        (".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c id\n"),
        (".gitconfig", "[core]\n\thooksPath = hooks\n[filter \"run\"]\n\tsmudge = touch ran\n"),
        (".netrc", "machine public.test login ada password secret\n"),
    ]);
    let tree = origin.update().unwrap();
    assert!(!ran.exists(), "a hook of the repository ran");
    // A link comes out as a file that says where it pointed.
    assert_eq!(read(&tree, "catalog-info.yaml"), "/etc/passwd");
    assert!(!tree.root.join("etc/passwd").exists());
}

#[test]
fn two_at_once_take_turns() {
    let origin = Origin::new();
    origin.commit(&[("catalog-info.yaml", "one")]);
    let commits: Vec<String> = std::thread::scope(|scope| {
        let updating: Vec<_> =
            (0..4).map(|_| scope.spawn(|| origin.update().unwrap().commit)).collect();
        updating.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(commits.iter().all(|it| *it == commits[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_on_the_web_is_read_at_the_address_that_was_checked() {
    let origin = Origin::new();
    origin.commit(&[("catalog-info.yaml", "over HTTP")]);
    let server = WebServer::of(origin.dir.path()).await;
    // Nobody but our resolver knows this name, so `git` can only have used the pin.
    let place = format!("git.invalid:{}", server.address.port());
    let policy = Policy { allowed: vec![place.clone()], loopback: false };
    let client = Client::with(policy.clone(), Arc::new(Everywhere("127.0.0.1")), Vec::new());

    let url = format!("http://{place}/work/.git");
    let repository = Repository::new(&url, None, Path::new("/"), &policy).unwrap();
    let (_, addresses) = client.pin(repository.https_url().unwrap()).await.unwrap();
    let clones = origin.clones();
    let updated = tokio::task::spawn_blocking(move || repository.update(&addresses, &clones));
    assert_eq!(read(&updated.await.unwrap().unwrap(), "catalog-info.yaml"), "over HTTP");
    assert!(server.requests.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn a_repository_inside_our_network_is_not_asked_for() {
    let policy = Policy::default();
    for (url, address) in [
        ("https://git.test/a.git", "10.0.0.1"),
        ("https://git.test/a.git", "127.0.0.1"),
        ("https://169.254.169.254/a.git", "8.8.8.8"),
        ("http://git.test/a.git", "8.8.8.8"),
        ("https://git.test:8443/a.git", "8.8.8.8"),
        ("https://ada:secret@git.test/a.git", "8.8.8.8"),
    ] {
        let repository = Repository::new(url, None, Path::new("/"), &policy).unwrap();
        let client = Client::with(policy.clone(), Arc::new(Everywhere(address)), Vec::new());
        let pinned = client.pin(repository.https_url().unwrap()).await;
        assert!(matches!(pinned, Err(HttpError::Refused { .. })), "{url}: {pinned:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_somewhere_else_is_not_followed() {
    let origin = Origin::new();
    origin.commit(&[("catalog-info.yaml", "secret")]);
    let secret = WebServer::of(origin.dir.path()).await;
    let target = format!("http://{}/work/.git/info/refs?service=git-upload-pack", secret.address);
    let redirect = Router::new().fallback(move || async move {
        (StatusCode::MOVED_PERMANENTLY, [("location", target)]).into_response()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, redirect).await });

    let policy = Policy { allowed: vec![place.clone()], loopback: false };
    let url = format!("http://{place}/work/.git");
    let repository = Repository::new(&url, None, Path::new("/"), &policy).unwrap();
    let clones = origin.clones();
    let addresses = ["127.0.0.1".parse().unwrap()];
    let updated =
        tokio::task::spawn_blocking(move || repository.update(&addresses, &clones).map(drop));
    let error = updated.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("301") || error.to_string().contains("redirect"), "{error}");
    assert_eq!(secret.requests.load(Ordering::SeqCst), 0);
}

fn read(tree: &Tree, file: &str) -> String {
    fs::read_to_string(tree.root.join(file)).unwrap()
}

/// A repository of somebody else's, with a working tree to commit from.
struct Origin {
    dir: TempDir,
}

impl Origin {
    fn new() -> Origin {
        let origin = Origin { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(origin.work()).unwrap();
        origin.git(&["init", "--quiet", "--initial-branch=main"]);
        origin
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn clones(&self) -> PathBuf {
        self.dir.path().join("clones")
    }

    fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.work(), arguments)
    }

    fn commit(&self, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = self.work().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--message", "change"]);
    }

    fn repository(&self, branch: Option<&str>) -> Repository {
        let address = format!("file://{}", self.work().display());
        Repository::new(&address, branch, Path::new("/"), &Policy::default()).unwrap()
    }

    fn update(&self) -> anyhow::Result<Tree> {
        self.repository(None).update(&[], &self.clones())
    }
}

fn git_in(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@acme.test"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

/// Resolves every name to one address.
struct Everywhere(&'static str);

impl Resolve for Everywhere {
    fn resolve(&self, _: Name) -> Resolving {
        let address = SocketAddr::new(self.0.parse().unwrap(), 0);
        Box::pin(async move { Ok(Box::new(std::iter::once(address)) as Addrs) })
    }
}

/// `git http-backend` behind a web server.
struct WebServer {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl WebServer {
    async fn of(dir: &Path) -> WebServer {
        let requests = Arc::new(AtomicUsize::new(0));
        let state = (dir.to_path_buf(), requests.clone());
        let router = Router::new().fallback(http_backend).with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        WebServer { address, requests }
    }
}

async fn http_backend(
    State((dir, requests)): State<(PathBuf, Arc<AtomicUsize>)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    requests.fetch_add(1, Ordering::SeqCst);
    let header = |name: &str| headers.get(name).map_or("", |it| it.to_str().unwrap()).to_string();
    let mut backend = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", dir)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method.as_str())
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    backend.stdin.take().unwrap().write_all(&body).unwrap();
    let said = backend.wait_with_output().unwrap().stdout;
    let end = said.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let mut response = Response::new(said[end + 4..].to_vec().into());
    for line in String::from_utf8_lossy(&said[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        match name {
            "Status" => *response.status_mut() = value[..3].parse().unwrap(),
            _ => {
                let name: axum::http::HeaderName = name.parse().unwrap();
                response.headers_mut().insert(name, value.parse().unwrap());
            }
        }
    }
    response
}
