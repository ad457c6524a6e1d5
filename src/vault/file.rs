//! The key in a file of the data directory, for who sets none.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};

use super::Key;
use crate::config;

/// Its name in the data directory.
pub const NAME: &str = "key";

/// The key in the file `key` of `dir`, which is made where there is none: once, however many processes come at once,
/// and readable for us alone.
///
/// # Errors
/// The file system's; a file that everybody reads, or that holds no key.
pub fn read_or_make(dir: &Path) -> anyhow::Result<Key> {
    let path = dir.join(NAME);
    if !path.exists() {
        make(dir, &path).with_context(|| {
            format!("could not make the key `{}`; give one in `IDP_KEY` instead", path.display())
        })?;
    }
    read(&path)
}

fn read(path: &Path) -> anyhow::Result<Key> {
    let name = path.display();
    let meta = fs::metadata(path).with_context(|| format!("could not read the key `{name}`"))?;
    if meta.permissions().mode() & 0o007 != 0 {
        bail!("everybody can read the key `{name}`; close it with `chmod 600 {name}`");
    }
    let text = fs::read_to_string(path)
        .map(SecretString::from)
        .with_context(|| format!("could not read the key `{name}`"))?;
    let bytes = config::key_bytes(&text).map_err(|why| {
        anyhow::anyhow!("the key `{name}` {why}; put back the one that was there")
    })?;
    Ok(Key::new(bytes))
}

/// Writes a key beside `path` and gives it that name, unless another process was first.
fn make(dir: &Path, path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    let unfinished =
        dir.join(format!("{NAME}.{}.unfinished", hex::encode(rand::random::<[u8; 8]>())));
    let linked = write(&unfinished).and_then(|()| match fs::hard_link(&unfinished, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => Ok(linked?),
    });
    // Whether or not it has its name now, it is not needed under this one.
    let _ = fs::remove_file(&unfinished);
    linked?;
    // The name must be on the disk before anything is made with the key.
    Ok(fs::File::open(dir)?.sync_all()?)
}

fn write(path: &Path) -> anyhow::Result<()> {
    let bytes = SecretString::from(hex::encode(rand::random::<[u8; 32]>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // Whatever the umask says.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes.expose_secret().as_bytes())?;
    file.write_all(b"\n")?;
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_come_at_once_one_key_is_made_and_it_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let made: Vec<[u8; 16]> = std::thread::scope(|scope| {
            let read = || read_or_make(&data).unwrap().fingerprint();
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(read)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(made.iter().all(|it| *it == made[0]));
        let files: Vec<_> =
            fs::read_dir(&data).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(files, [NAME]);
        let mode = fs::metadata(data.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(read_or_make(&data).unwrap().fingerprint(), made[0]);
    }

    #[test]
    fn a_key_that_is_open_or_damaged_is_refused_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        read_or_make(dir.path()).unwrap();
        let path = dir.path().join(NAME);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = format!("{:#}", read_or_make(dir.path()).err().unwrap());
        assert!(error.starts_with("everybody can read the key `"), "{error}");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for text in ["", "hunter2", &"00".repeat(32), &"0g".repeat(32)] {
            fs::write(&path, text).unwrap();
            let error = format!("{:#}", read_or_make(dir.path()).err().unwrap());
            assert!(error.contains("put back the one that was there"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }
}
