//! Paths written to lead out of a source: G12 of the plan. Whatever a descriptor names, nothing outside is read.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use idp::catalog::Severity;
use idp::catalog::import::reading::{News, ReadFile, Reader};
use idp::catalog::sources::file;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::directory;

/// Where the descriptor lies, seen from the root of its source.
const FOLDER: &str = "deep/er";
const SECRET: &str = "the secret outside";

/// A source with a file to read, links that lead out of it, and a secret beside it.
struct Trap {
    dir: TempDir,
}

impl Trap {
    fn new() -> Trap {
        let trap = Trap { dir: tempfile::tempdir().unwrap() };
        let folder = trap.root().join(FOLDER);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(trap.root().join("inside.txt"), "inside").unwrap();
        std::fs::write(trap.secret(), SECRET).unwrap();
        symlink(trap.secret(), folder.join("link")).unwrap();
        symlink("../../../secret", folder.join("relative-link")).unwrap();
        symlink(trap.dir.path(), folder.join("folder-link")).unwrap();
        symlink("link", folder.join("link-to-link")).unwrap();
        symlink("itself", folder.join("itself")).unwrap();
        nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        trap
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn secret(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    /// Reads `descriptors` as a file of the source.
    fn read(&self, descriptors: &[Value]) -> ReadFile {
        let text: Vec<String> = descriptors.iter().map(Value::to_string).collect();
        std::fs::write(self.root().join(FOLDER).join("it.yaml"), text.join("\n---\n")).unwrap();
        let listed = file::list(&self.root(), None).unwrap();
        let reader = Reader {
            source: Arc::new(directory::path(&self.root())),
            root: listed.root.as_deref().map(Arc::from),
            began_ns: 0,
        };
        let mut files = listed.files;
        assert_eq!(files.len(), 1, "{files:?}");
        reader.read(files.remove(0), None)
    }

    fn vectors(&self) -> Vec<String> {
        let absolute = self.secret().display().to_string();
        let mut vectors: Vec<String> = [
            "link",
            "relative-link",
            "folder-link/secret",
            "link-to-link",
            "./link",
            "itself",
            "pipe",
            "",
            ".",
            "..",
            "/",
            "//",
            "~/secret",
            "~root/secret",
            "$HOME/secret",
            "secret\0.txt",
            "/etc/passwd",
            "/etc/shadow",
            "/proc/self/environ",
            "/proc/self/cmdline",
            "/proc/self/fd/0",
            "/proc/1/root/etc/passwd",
            "/dev/zero",
            "/dev/random",
            "/dev/stdin",
            "/dev/tty",
            "/sys/kernel/notes",
            "C:\\secret",
            "\\\\host\\share\\secret",
            "file:///etc/passwd",
            "file://localhost/etc/passwd",
            "http://127.0.0.1/secret",
            "data:text/plain,secret",
            "folder-link/../../secret",
            "link/../../../secret",
        ]
        .map(String::from)
        .into();
        let ways_up = [
            "../",
            "..//",
            ".././",
            "./../",
            "..\\",
            "%2e%2e/",
            "..%2f",
            "%2e%2e%2f",
            "%252e%252e%252f",
            "..%c0%af",
            "..%5c",
            "..../",
            "....//",
            "..;/",
            ".. /",
            "\u{ff0e}\u{ff0e}/",
            "\u{2024}\u{2024}/",
            "..\u{2215}",
            "..\u{ff0f}",
            "../\u{200b}",
            "inside/../../",
            "nowhere/../../",
            "folder-link/../",
            "../root/../",
        ];
        for way in ways_up {
            for times in [2, 3, 4, 8, 12, 40, 400] {
                vectors.push(format!("{}secret", way.repeat(times)));
                vectors.push(format!("{}etc/passwd", way.repeat(times)));
                vectors.push(format!("./{}secret", way.repeat(times)));
            }
        }
        for prefix in ["", "/", "//", "./", "file:", "file://", "/proc/self/root", "../../.."] {
            vectors.push(format!("{prefix}{absolute}"));
        }
        for long in [255, 256, 4_095, 4_096, 60_000] {
            vectors.push("x".repeat(long));
            vectors.push(format!("{}../../../secret", "x/../".repeat(long / 5)));
            vectors.push(format!("{}secret", "../".repeat(long / 3)));
        }
        vectors
    }
}

fn api(name: usize, placeholder: &str, path: &str) -> Value {
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "API",
        "metadata": {"name": format!("a{name}")},
        "spec": {"type": "openapi", "lifecycle": "production", "owner": "a", "definition": {placeholder: path}},
    })
}

/// What became of the definitions, and how many problems tell of it.
fn definitions(read: ReadFile) -> (Vec<String>, usize) {
    let News::Says { entities, problems } = read.news else { panic!("it says nothing") };
    assert!(problems.iter().all(|it| it.severity == Severity::Warning), "{problems:#?}");
    let bodies = entities.iter().map(|it| serde_json::from_str::<Value>(&it.body).unwrap());
    let definition = |body: Value| body["spec"]["definition"].as_str().unwrap().to_string();
    (bodies.map(definition).collect(), problems.len())
}

#[test]
fn no_placeholder_reads_anything_outside_its_source() {
    let trap = Trap::new();
    let vectors: Vec<String> =
        trap.vectors().into_iter().filter(|it| !it.is_empty() && !it.contains('\0')).collect();
    assert!(vectors.len() >= 500, "{}", vectors.len());
    for placeholder in ["$text", "$json", "$yaml"] {
        let apis: Vec<Value> =
            vectors.iter().enumerate().map(|(at, path)| api(at, placeholder, path)).collect();
        for (some, paths) in apis.chunks(50).zip(vectors.chunks(50)) {
            // What could not be read is left as it was named, with a problem each.
            assert_eq!(definitions(trap.read(some)), (paths.to_vec(), paths.len()));
        }
    }
    let reads = trap.read(&[api(0, "$text", "../../inside.txt")]);
    assert_eq!(definitions(reads), (vec!["inside".to_string()], 0));
    println!("{} paths by three placeholders: none was read", vectors.len());
}

#[test]
fn no_location_leads_outside_its_source() {
    let trap = Trap::new();
    let targets: Vec<String> = trap.vectors().into_iter().filter(|it| !it.is_empty()).collect();
    let location = |targets: &[String]| {
        json!({
            "apiVersion": "backstage.io/v1alpha1",
            "kind": "Location",
            "metadata": {"name": "all"},
            "spec": {"targets": targets},
        })
    };
    // A NUL keeps the whole document out.
    let (with_nul, without): (Vec<String>, Vec<String>) =
        targets.into_iter().partition(|it| it.contains('\0'));
    let read = trap.read(&[location(&without)]);
    let found: Vec<&str> = read.found.files.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(found, [""; 0]);
    assert_eq!(read.found.problems.len(), without.len());
    assert!(trap.read(&[location(&with_nul)]).found.files.is_empty());
    let read = trap.read(&[location(&["../../inside.txt".to_string(), "../../*.txt".to_string()])]);
    assert_eq!(read.found.files.len(), 2);
    println!("{} targets: none was followed", without.len() + with_nul.len());
}

/// Without the guard many of these paths do lead to the secret.
#[test]
fn the_paths_would_lead_outside_if_they_were_followed() {
    let trap = Trap::new();
    let folder = trap.root().join(FOLDER);
    let reads_secret = |path: &Path| std::fs::read_to_string(path).is_ok_and(|it| it == SECRET);
    let would = |path: &&String| {
        let is_file = std::fs::metadata(folder.join(path)).is_ok_and(|it| it.is_file());
        is_file && reads_secret(&folder.join(path))
    };
    let vectors = trap.vectors();
    let count = vectors.iter().filter(would).count();
    assert!(count >= 10, "{count}");
    println!("{count} of {} paths lead to the secret when they are simply opened", vectors.len());
}
