//! Whom the private server runs as: Postgres refuses to run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use nix::unistd::{Gid, Uid, User};

/// The account of the private server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// We are not root: the server runs as we do.
    Ours,
    /// We are root: the server runs as somebody who may do little.
    Unprivileged { uid: u32, gid: u32 },
}

impl Account {
    /// The account for the server whose data lies in `data`.
    ///
    /// Data that exists decides by its owner. Otherwise root takes the account `postgres` that
    /// distributions' packages create, or else `nobody`.
    ///
    /// # Errors
    /// When root finds neither account, or the data belongs to root or to somebody else.
    pub fn for_data(data: &Path) -> anyhow::Result<Account> {
        let ours = Uid::effective();
        let owner = fs::metadata(data).ok().map(|data| (data.uid(), data.gid()));
        match owner {
            Some((0, _)) if ours.is_root() => {
                bail!(
                    "{} belongs to root, which Postgres refuses: give it to an unprivileged user with `chown -R`",
                    data.display()
                )
            }
            Some((uid, gid)) if ours.is_root() => Ok(Account::Unprivileged { uid, gid }),
            Some((uid, _)) if uid != ours.as_raw() => {
                bail!(
                    "{} belongs to another user (id {uid}): run idp as that user, or set IDP_DATA_DIR to a directory of your own",
                    data.display()
                )
            }
            Some(_) => Ok(Account::Ours),
            None if ours.is_root() => unprivileged(),
            None => Ok(Account::Ours),
        }
    }

    /// The user id of the server's processes.
    #[must_use]
    pub fn uid(self) -> u32 {
        match self {
            Account::Ours => Uid::effective().as_raw(),
            Account::Unprivileged { uid, .. } => uid,
        }
    }

    /// Has `command` run as this account.
    pub fn applied_to(self, command: &mut Command) -> &mut Command {
        match self {
            Account::Ours => command,
            Account::Unprivileged { uid, gid } => command.uid(uid).gid(gid),
        }
    }

    /// Gives `path` to this account.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn own(self, path: &Path) -> anyhow::Result<()> {
        let Account::Unprivileged { uid, gid } = self else { return Ok(()) };
        chown(path, Some(uid), Some(gid))
            .with_context(|| format!("could not give {} to user {uid}", path.display()))
    }

    /// The first folder on the way to `path` that this account may not enter, if any.
    ///
    /// A home of root, for example, is closed to everybody else.
    #[must_use]
    pub fn shut_out_of(self, path: &Path) -> Option<PathBuf> {
        let Account::Unprivileged { uid, gid } = self else { return None };
        let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
        folders.reverse();
        folders
            .into_iter()
            .find(|folder| {
                fs::metadata(folder).is_ok_and(|folder| {
                    !may_enter(folder.mode(), folder.uid() == uid, folder.gid() == gid)
                })
            })
            .map(Path::to_path_buf)
    }
}

/// Whether a folder's `mode` lets its owner, its group or the others in.
fn may_enter(mode: u32, is_owner: bool, is_group: bool) -> bool {
    match (is_owner, is_group) {
        (true, _) => mode & 0o100 != 0,
        (false, true) => mode & 0o010 != 0,
        (false, false) => mode & 0o001 != 0,
    }
}

fn unprivileged() -> anyhow::Result<Account> {
    for name in ["postgres", "nobody"] {
        if let Some(user) =
            User::from_name(name).with_context(|| format!("could not look up the user {name}"))?
        {
            return Ok(Account::Unprivileged {
                uid: user.uid.as_raw(),
                gid: Gid::as_raw(user.gid),
            });
        }
    }
    bail!(
        "Postgres refuses to run as root, and there is no user `postgres` or `nobody`: create one with `useradd --system postgres`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lets_in_whom_its_mode_names() {
        assert!(may_enter(0o755, false, false));
        assert!(may_enter(0o700, true, false));
        assert!(may_enter(0o710, false, true));
        assert!(!may_enter(0o700, false, false));
        assert!(!may_enter(0o077, true, true), "the owner's own bits decide");
    }

    #[test]
    fn the_first_closed_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let stranger = Account::Unprivileged { uid: 4_000_000, gid: 4_000_000 };
        assert_eq!(stranger.shut_out_of(&closed.join("data")), Some(closed.clone()));
        assert_eq!(stranger.shut_out_of(&closed), None);
        assert_eq!(Account::Ours.shut_out_of(&closed.join("data")), None);
    }
}
