//! Having the system's own package manager install Postgres.

use std::process::Command;

use anyhow::{Context, bail};
use nix::unistd::Uid;

/// A package manager, and what it is told.
struct Manager {
    program: &'static str,
    /// Its commands, in order. The last one installs.
    commands: &'static [&'static [&'static str]],
    needs_root: bool,
}

const MANAGERS: [Manager; 3] = [
    Manager {
        program: "apt-get",
        commands: &[&["update"], &["install", "--yes", "--no-install-recommends", "postgresql"]],
        needs_root: true,
    },
    Manager {
        program: "dnf",
        commands: &[&["install", "--assumeyes", "postgresql-server", "postgresql-contrib"]],
        needs_root: true,
    },
    Manager { program: "brew", commands: &[&["install", "postgresql@17"]], needs_root: false },
];

/// Installs Postgres with the package manager of this system. What it says goes to standard error.
///
/// # Errors
/// When there is no package manager that we know, when it fails, or when we may not install.
pub fn run() -> anyhow::Result<()> {
    let Some(manager) = manager() else {
        bail!(
            "found none of apt-get, dnf and brew to install Postgres with: install it by hand, or set DATABASE_URL"
        );
    };
    if manager.needs_root && !Uid::effective().is_root() {
        bail!("only root may install Postgres here: run `{}`", manager.by_hand());
    }
    for arguments in manager.commands {
        let said = format!("{} {}", manager.program, arguments.join(" "));
        tracing::info!(command = said, "installing Postgres");
        let status = Command::new(manager.program)
            .args(*arguments)
            // Debian's packages ask questions otherwise, and nobody is there to answer.
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(std::process::Stdio::null())
            // Standard output belongs to the answers.
            .stdout(std::io::stderr())
            .status()
            .with_context(|| format!("could not run `{said}`"))?;
        if !status.success() {
            bail!("`{said}` failed: {status}");
        }
    }
    Ok(())
}

/// The one command that a person types to install Postgres here, or `None` when we know none.
#[must_use]
pub fn by_hand() -> Option<String> {
    manager().map(Manager::by_hand)
}

fn manager() -> Option<&'static Manager> {
    MANAGERS.iter().find(|manager| super::binaries::on_path(manager.program).is_some())
}

impl Manager {
    fn by_hand(&self) -> String {
        let sudo = if self.needs_root && !Uid::effective().is_root() { "sudo " } else { "" };
        let commands: Vec<String> = self
            .commands
            .iter()
            .map(|arguments| format!("{sudo}{} {}", self.program, arguments.join(" ")))
            .collect();
        commands.join(" && ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_is_asked_for_its_packages_anew_first() {
        let said = MANAGERS[0].by_hand();
        assert!(said.contains("apt-get update && "), "{said}");
        assert!(
            said.ends_with("apt-get install --yes --no-install-recommends postgresql"),
            "{said}"
        );
    }
}
