//! The snapshot's copy on disk: a restart answers from it while the database is away.
//!
//! ```text
//! "idp catalog 2\n" │ head: length, Head │ entity: length, StoredEntity │ … │ SHA-256 of all before
//! ```
//! Lengths are four bytes, the lowest first; the rest is postcard.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{Revision, Snapshot};
use crate::catalog::{EntityRef, StoredEntity};

const FORMAT: &[u8] = b"idp catalog 2\n";

/// Far more than a descriptor may have; a longer one means that the file is damaged.
const PART_BYTES_MAX: u32 = 64 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    revision: Revision,
    /// When the database confirmed it last, in ms since 1970.
    confirmed_at_ms: i64,
    aliases: Vec<(String, EntityRef)>,
    entities: u64,
}

/// A snapshot as it was read back.
#[derive(Debug)]
pub struct Copy {
    pub snapshot: Snapshot,
    pub confirmed_at: DateTime<Utc>,
}

/// Puts `snapshot` in the place of whatever is at `path`, whole or not at all; only we can read it.
///
/// # Errors
/// The file system's.
pub fn write(path: &Path, snapshot: &Snapshot, confirmed_at: DateTime<Utc>) -> anyhow::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let result = write_all(&unfinished, snapshot, confirmed_at)
        .and_then(|()| put(&unfinished, path).map_err(Into::into));
    if result.is_err() {
        // What is left of it helps nobody, and the first error is the one to tell.
        let _ = fs::remove_file(&unfinished);
    }
    result.with_context(|| format!("could not write {}", path.display()))
}

/// Renames `unfinished` to `path`, also for whoever looks after the power failed.
fn put(unfinished: &Path, path: &Path) -> io::Result<()> {
    fs::rename(unfinished, path)?;
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_all(path: &Path, snapshot: &Snapshot, confirmed_at: DateTime<Utc>) -> anyhow::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut out = Hashed { inner: BufWriter::new(&file), hash: Sha256::new() };
    out.write_all(FORMAT)?;
    write_part(
        &mut out,
        &Head {
            revision: snapshot.revision.clone(),
            confirmed_at_ms: confirmed_at.timestamp_millis(),
            aliases: snapshot.aliases().collect(),
            entities: snapshot.len() as u64,
        },
    )?;
    for entity in snapshot.stored() {
        write_part(&mut out, &entity)?;
    }
    let Hashed { mut inner, hash } = out;
    inner.write_all(&hash.finalize())?;
    inner.flush()?;
    drop(inner);
    file.sync_all()?;
    Ok(())
}

/// The copy at `path`; `None` when there is none.
///
/// # Errors
/// A file that is damaged, cut short, or of another format.
pub fn read(path: &Path) -> anyhow::Result<Option<Copy>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("could not read {}", path.display()));
        }
    };
    let copy = read_all(file).with_context(|| {
        format!("{} is no copy of the catalog that this version reads", path.display())
    })?;
    Ok(Some(copy))
}

fn read_all(file: File) -> anyhow::Result<Copy> {
    let mut input = Hashed { inner: BufReader::new(file), hash: Sha256::new() };
    let mut format = [0; FORMAT.len()];
    input.read_exact(&mut format)?;
    ensure!(format == FORMAT, "it is of another format");
    let head: Head = read_part(&mut input)?;
    let Some(confirmed_at) = DateTime::from_timestamp_millis(head.confirmed_at_ms) else {
        bail!("it is of no time");
    };
    let mut broken = None;
    let parts = (0..head.entities).map_while(|_| {
        let part: anyhow::Result<StoredEntity> = read_part(&mut input);
        part.map_err(|error| broken = Some(error)).ok()
    });
    let snapshot = Snapshot::build(parts, &head.aliases, head.revision);
    if let Some(error) = broken {
        return Err(error);
    }
    let Hashed { mut inner, hash } = input;
    let mut written = Vec::new();
    inner.read_to_end(&mut written)?;
    ensure!(written == hash.finalize().as_slice(), "its checksum is another");
    Ok(Copy { snapshot, confirmed_at })
}

fn write_part(out: &mut impl Write, part: &impl Serialize) -> anyhow::Result<()> {
    let bytes = postcard::to_stdvec(part)?;
    out.write_all(&u32::try_from(bytes.len())?.to_le_bytes())?;
    out.write_all(&bytes)?;
    Ok(())
}

fn read_part<T: DeserializeOwned>(input: &mut impl Read) -> anyhow::Result<T> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    ensure!(length <= PART_BYTES_MAX, "a part of it is too long");
    let mut bytes = vec![0; length as usize];
    input.read_exact(&mut bytes)?;
    Ok(postcard::from_bytes(&bytes)?)
}

/// Counts what passes into a checksum.
struct Hashed<Inner> {
    inner: Inner,
    hash: Sha256,
}

impl<Inner: Write> Write for Hashed<Inner> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<Inner: Read> Read for Hashed<Inner> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hash.update(&bytes[..read]);
        Ok(read)
    }
}
