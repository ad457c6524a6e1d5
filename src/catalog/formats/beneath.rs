//! Reading the files that a descriptor names, and no others.
//!
//! A descriptor comes from a stranger and may ask for `../../etc/passwd`. Each folder on the way is opened from
//! the one before it, without following symbolic links, so the answer cannot change between looking and reading.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

/// The most bytes one file may have.
pub const BYTES_MAX: u64 = 1 << 20;

/// Reads files named relative to `file`, all of them beneath `root`.
///
/// `file` is the descriptor, relative to `root`. What is given back refuses, with a sentence that says why:
/// absolute paths, `..` out of the root, symbolic links, what is no plain file (devices, pipes, folders),
/// what is larger than [`BYTES_MAX`], and what is no UTF-8.
pub fn beneath(root: &Path, file: &Path) -> impl Fn(&str) -> Result<String, String> {
    let root = root.to_path_buf();
    let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
    move |named| {
        let path = inside(&folder.join(named)).ok_or("it lies outside the source's root")?;
        let opened = open_beneath(&root, &path).map_err(|error| match error {
            Errno::ENOENT | Errno::ENOTDIR => "there is no such file".to_string(),
            Errno::ELOOP => "a symbolic link lies on the way".to_string(),
            other => other.desc().to_lowercase(),
        })?;
        read(File::from(opened))
    }
}

/// `path` without `.` and `..`; `None` when it leads out of its start.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !inside.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}

fn open_beneath(root: &Path, path: &Path) -> Result<OwnedFd, Errno> {
    // A pipe must not keep us waiting for its other end.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let mut opened = open(root, flags | OFlag::O_DIRECTORY, Mode::empty())?;
    for name in path.components() {
        opened = openat(&opened, name.as_os_str(), flags | OFlag::O_NOFOLLOW, Mode::empty())?;
    }
    Ok(opened)
}

fn read(file: File) -> Result<String, String> {
    let about = file.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is no plain file".into());
    }
    if about.len() > BYTES_MAX {
        return Err(format!("it is larger than {} KiB", BYTES_MAX >> 10));
    }
    let mut text = String::new();
    // The file may have grown since.
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => "it is no UTF-8 text".to_string(),
        _ => error.to_string(),
    })?;
    Ok(text)
}
