//! Directories and files. Nothing outside a source's root is read, whatever a name or a link says.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, bail};
use glob::{MatchOptions, Pattern};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use walkdir::{DirEntry, WalkDir};

use super::{FileText, SourceContents, SourceFile, Stamp, is_yaml};
use crate::catalog::Problem;

/// The largest file that is read: the largest descriptor among 800 public ones has 0.5 MiB.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// One more, and the source is refused: files left out would look deleted.
const FILES_MAX: usize = 1_000_000;

/// The database indexes names; Postgres takes 2,704 bytes there.
const NAME_BYTES_MAX: usize = 1_024;

/// Directories in which nobody keeps descriptors. Other hidden ones are read: `.backstage` is a habit.
const SKIPPED: [&str; 5] = [".git", ".hg", ".svn", ".jj", "node_modules"];

/// What lies under `root`: with `globs`, the files that match one of them; otherwise every
/// `*.yaml` and `*.yml`. When `root` is itself a file, that one.
///
/// # Errors
/// There is no `root`, it cannot be looked into, or it has more than a million such files.
pub fn list(root: &Path, globs: Option<&[String]>) -> anyhow::Result<SourceContents> {
    let root =
        fs::canonicalize(root).with_context(|| format!("could not read {}", root.display()))?;
    if root.is_file() {
        return only(&root);
    }
    let patterns = globs.map(patterns).transpose()?;
    fs::read_dir(&root).with_context(|| format!("could not read {}", root.display()))?;
    let wanted = |name: &str| match &patterns {
        Some(patterns) => patterns.iter().any(|it| it.matches_with(name, BY_DIRECTORY)),
        None => is_yaml(Path::new(name)),
    };
    let is_named = |name: &str| patterns.is_some() || is_descriptor_name(name);
    walk(&root, &root, &wanted, &is_named)
}

fn patterns(globs: &[String]) -> anyhow::Result<Vec<Pattern>> {
    let pattern = |glob: &String| {
        Pattern::new(glob.trim_start_matches("./"))
            .with_context(|| format!("`{glob}` is not a glob"))
    };
    globs.iter().map(pattern).collect()
}

fn only(file: &Path) -> anyhow::Result<SourceContents> {
    let root = file.parent().context("a file lies in a directory")?.to_path_buf();
    let Some(name) = file.file_name().and_then(|it| it.to_str()) else {
        bail!("the name of {} is not UTF-8: rename it", file.display());
    };
    let stamp =
        stamp(&fs::metadata(file).with_context(|| format!("could not read {}", file.display()))?);
    let only = SourceFile { name: name.into(), is_named: true, text: FileText::OnDisk(stamp) };
    Ok(SourceContents { root: Some(root), files: vec![only], ..SourceContents::default() })
}

/// The files of the source at `root` that `target` points to, seen from the file `from`; several when it has globs.
///
/// # Errors
/// A sentence that says why there are none.
pub fn targets(root: &Path, from: &str, target: &str) -> Result<Vec<SourceFile>, String> {
    let name = beside(from, target)?;
    if !name.contains(['*', '?', '[']) {
        let file = open(root, &name)?;
        return Ok(vec![SourceFile { name, is_named: true, text: FileText::OnDisk(file.stamp) }]);
    }
    let pattern = Pattern::new(&name).map_err(|error| format!("`{target}` is no glob: {error}"))?;
    let fixed: Vec<&str> =
        name.split('/').take_while(|part| !part.contains(['*', '?', '['])).collect();
    let start = fs::canonicalize(root.join(fixed.join("/"))).unwrap_or_default();
    if !start.starts_with(root) {
        return Err(format!("`{target}` matches no file"));
    }
    let found = walk(root, &start, &|it| pattern.matches_with(it, BY_DIRECTORY), &|_| true);
    let files = found.map_err(|error| format!("{error:#}"))?.files;
    if files.is_empty() { Err(format!("`{target}` matches no file")) } else { Ok(files) }
}

/// The name of the file that `path`, written in the file `from`, means: relative to the source's root.
///
/// # Errors
/// A sentence that says why it means none: it leads outside, or is a URL.
pub fn beside(from: &str, path: &str) -> Result<String, String> {
    if path.contains("://") {
        return Err(format!("`{path}` is a URL, and only files of the same source are read here"));
    }
    if path.starts_with('/') || path.contains(['\\', '\0']) {
        return Err(format!("`{path}` is not a relative path with `/`"));
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(|| format!("`{path}` lies outside the source"))?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// The text of the file `name` of the source at `root`, with its stamp as it was before reading.
///
/// # Errors
/// A sentence that says why not.
pub fn read(root: &Path, name: &str) -> Result<(Vec<u8>, Stamp), String> {
    let file = open(root, name)?;
    let mut text = Vec::with_capacity(file.stamp.bytes as usize);
    let limited = file.file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text);
    limited.map_err(|error| format!("`{name}` could not be read: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(too_large(name));
    }
    Ok((text, file.stamp))
}

/// The stamp of the file `name` now; `None` when it cannot be read.
pub fn stamp_of(root: &Path, name: &str) -> Option<Stamp> {
    let metadata = fs::metadata(inside(root, name).ok()?).ok()?;
    metadata.is_file().then(|| stamp(&metadata))
}

struct Opened {
    file: fs::File,
    stamp: Stamp,
}

fn open(root: &Path, name: &str) -> Result<Opened, String> {
    let path = inside(root, name)?;
    let why = |error: std::io::Error| format!("`{name}` could not be read: {error}");
    let file = open_beneath(root, &path).map_err(|error| why(error.into()))?;
    let metadata = file.metadata().map_err(why)?;
    if !metadata.is_file() {
        return Err(format!("`{name}` is not a file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(too_large(name));
    }
    Ok(Opened { file, stamp: stamp(&metadata) })
}

/// Opens `path`, whose links were followed, a directory at a time from `root`: a link that someone puts
/// on the way meanwhile is not followed.
fn open_beneath(root: &Path, path: &Path) -> nix::Result<fs::File> {
    // A pipe must not keep us waiting for its other end.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let mut opened = nix::fcntl::open(root, flags | OFlag::O_DIRECTORY, Mode::empty())?;
    for part in path.strip_prefix(root).unwrap_or(path).components() {
        opened = openat(&opened, part.as_os_str(), flags | OFlag::O_NOFOLLOW, Mode::empty())?;
    }
    Ok(fs::File::from(opened))
}

fn too_large(name: &str) -> String {
    format!("`{name}` is larger than {} KiB", FILE_BYTES_MAX >> 10)
}

/// Where `name` really lies, its links followed.
fn inside(root: &Path, name: &str) -> Result<PathBuf, String> {
    let path = fs::canonicalize(root.join(name)).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file `{name}`"),
        _ => format!("`{name}` could not be read: {error}"),
    })?;
    if path.starts_with(root) { Ok(path) } else { Err(format!("`{name}` lies outside the source")) }
}

fn stamp(metadata: &Metadata) -> Stamp {
    let since_1970 = metadata.modified().ok().and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    Stamp {
        bytes: metadata.len(),
        modified_ns: since_1970.map_or(0, |it| i64::try_from(it.as_nanos()).unwrap_or(i64::MAX)),
    }
}

/// `*` stays within a directory.
const BY_DIRECTORY: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

fn is_descriptor_name(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|it| it.starts_with("catalog-info."))
}

/// Links to directories are not followed, so that there are no loops and nothing is met twice.
fn walk(
    root: &Path,
    start: &Path,
    wanted: &dyn Fn(&str) -> bool,
    is_named: &dyn Fn(&str) -> bool,
) -> anyhow::Result<SourceContents> {
    let mut contents =
        SourceContents { root: Some(root.to_path_buf()), ..SourceContents::default() };
    let mut links = Vec::new();
    for entry in WalkDir::new(start).into_iter().filter_entry(is_read) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let name = error.path().and_then(|it| relative(root, it)).unwrap_or_default();
                let why = format!("`{name}` could not be read: {error}");
                contents.problems.push(Problem::of_file(
                    &name,
                    "unreadable",
                    why,
                    "Let idp read it; what it said before stays until then.",
                ));
                contents.unseen.push(name);
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        let Some(name) = relative(root, entry.path()) else {
            let shown = entry.path().display().to_string();
            contents.problems.push(Problem::of_file(
                &shown,
                "file-name",
                format!("The name of `{shown}` is not UTF-8."),
                "Rename it.",
            ));
            continue;
        };
        if !wanted(&name) {
            continue;
        }
        if name.len() > NAME_BYTES_MAX {
            let why = format!("Its path has more than {NAME_BYTES_MAX} bytes.");
            contents.problems.push(Problem::of_file(
                &name,
                "file-name",
                why,
                "Move it up, or rename it.",
            ));
            continue;
        }
        if entry.file_type().is_symlink() {
            links.push(name);
            continue;
        }
        // Pipes and devices; a file that vanished since is one that is gone.
        let Some(metadata) = entry.metadata().ok().filter(|it| it.is_file()) else { continue };
        contents.files.push(SourceFile {
            is_named: is_named(&name),
            name,
            text: FileText::OnDisk(stamp(&metadata)),
        });
        if contents.files.len() > FILES_MAX {
            bail!("{} has more than {FILES_MAX} files: name a directory in it", root.display());
        }
    }
    add_links(root, links, is_named, &mut contents);
    contents.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(contents)
}

/// Adds the files that are only reached by a link. One that links to a file that is read anyway adds nothing.
fn add_links(
    root: &Path,
    mut links: Vec<String>,
    is_named: &dyn Fn(&str) -> bool,
    contents: &mut SourceContents,
) {
    let read: HashSet<&str> = contents.files.iter().map(|it| it.name.as_str()).collect();
    let mut added = Vec::new();
    let mut met = HashSet::new();
    links.sort();
    for name in links {
        match inside(root, &name) {
            Ok(path) => {
                let known = relative(root, &path).is_some_and(|it| read.contains(it.as_str()));
                let Some(metadata) = fs::metadata(&path).ok().filter(|it| it.is_file()) else {
                    continue;
                };
                if !known && met.insert(path) {
                    let text = FileText::OnDisk(stamp(&metadata));
                    added.push(SourceFile { is_named: is_named(&name), name, text });
                }
            }
            Err(why) => contents.problems.push(Problem::of_file(
                &name,
                "link",
                format!("It is a link that leads nowhere: {why}."),
                "Put the file itself there.",
            )),
        }
    }
    contents.files.extend(added);
}

/// `..data` and its like are how Kubernetes keeps the versions of a mounted ConfigMap.
fn is_read(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let skipped = SKIPPED.contains(&name.as_ref()) || name.starts_with("..");
    entry.depth() == 0 || !entry.file_type().is_dir() || !skipped
}

fn relative(root: &Path, path: &Path) -> Option<String> {
    Some(path.strip_prefix(root).ok()?.to_str()?.to_string())
}
