//! The portal directory: everything an organisation writes.
//!
//! ```text
//! idp.yaml     settings
//! catalog/     descriptors
//! commands/    commands of one's own, or in place of the built-in ones
//! scorecards/  scorecards of one's own, or in place of the built-in ones
//! digests/     what teams are told on a schedule
//! actions/     what people ask for and others approve
//! on-call/     who is on call
//! ```

pub mod check;
pub mod settings;
pub mod watch;

use std::path::{Path, PathBuf};

use crate::actions::{Action, ActionSet, Step};
use crate::catalog::formats::fields::{self, START};
use crate::catalog::{Problem, Severity};
use crate::commands::CommandSet;
use crate::digests::DigestSet;
use crate::on_call::Rotas;
use crate::scorecards::{Keys, ScorecardSet};

pub use check::check;
pub use settings::Settings;
use watch::Stamp;

/// Where command files lie.
const COMMANDS_DIR: &str = "commands";
/// Where digest files lie.
const DIGESTS_DIR: &str = "digests";
/// Where action files lie.
const ACTIONS_DIR: &str = "actions";
/// Where rota files lie.
const ON_CALL_DIR: &str = "on-call";

/// Where scorecard files lie.
pub const SCORECARDS_DIR: &str = "scorecards";

/// A portal directory that was read and found good.
#[derive(Debug)]
pub struct Portal {
    pub dir: PathBuf,
    pub settings: Settings,
    pub commands: CommandSet,
    pub scorecards: ScorecardSet,
    pub digests: DigestSet,
    pub actions: ActionSet,
    pub on_call: Rotas,
    /// Of the files as they were read.
    stamp: Stamp,
}

impl Portal {
    /// The settings, commands, scorecards, digests, rotas and actions of `dir`. Descriptors are not read: one bad document never
    /// keeps
    /// a portal from starting.
    ///
    /// # Errors
    /// Every problem of what was read, in the order of files and lines.
    pub fn read(dir: &Path) -> Result<Portal, Vec<Problem>> {
        // Taken first: what changes while it is read will be seen as a change.
        let stamp = Stamp::of_portal(dir);
        let (commands, mut problems) = commands(dir);
        let (digests, of_digests) = digests(dir);
        problems.extend(of_digests);
        let (actions, of_actions) = actions(dir);
        problems.extend(of_actions);
        let (on_call, of_rotas) = rotas(dir);
        problems.extend(of_rotas);
        let settings = match Settings::load(dir) {
            Ok(settings) => settings,
            Err(of_settings) => {
                problems.extend(of_settings);
                Settings::default()
            }
        };
        let (scorecards, of_scorecards) = scorecards(dir, &settings);
        // A scorecard reads the facts of the settings: where these are broken, it is told nothing.
        if problems.iter().all(|problem| problem.file != settings::FILE) {
            problems.extend(of_scorecards);
            problems.extend(lacking(&actions, &settings));
        }
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(sorted(problems));
        }
        let dir = dir.to_path_buf();
        Ok(Portal { dir, settings, commands, scorecards, digests, on_call, actions, stamp })
    }
}

/// The portal directory: `given`, or `portal` or `here` itself where that has an `idp.yaml` in it.
///
/// `None` when there is none. It is absolute, so that nothing depends on where the process stands.
///
/// # Errors
/// The `given` one that is no directory.
pub fn locate(given: Option<&Path>, here: &Path) -> Result<Option<PathBuf>, NoPortal> {
    let found = match given {
        Some(given) if here.join(given).is_dir() => Some(here.join(given)),
        Some(given) => return Err(NoPortal { given: given.to_path_buf() }),
        None => [here.join("portal"), here.to_path_buf()]
            .into_iter()
            .find(|dir| dir.join(settings::FILE).is_file()),
    };
    Ok(found.map(|dir| dir.canonicalize().unwrap_or(dir)))
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no portal directory `{}`", given.display())]
pub struct NoPortal {
    given: PathBuf,
}

/// The commands of the portal `dir` over the built-in ones; problems name files as seen from `dir`.
fn commands(dir: &Path) -> (CommandSet, Vec<Problem>) {
    let (commands, problems) = CommandSet::load(&dir.join(COMMANDS_DIR));
    (commands, within(COMMANDS_DIR, problems))
}

/// The digests of the portal `dir`; problems name files as seen from it.
fn digests(dir: &Path) -> (DigestSet, Vec<Problem>) {
    let (digests, problems) = DigestSet::load(&dir.join(DIGESTS_DIR));
    (digests, within(DIGESTS_DIR, problems))
}

/// The actions of the portal `dir`; problems name files as seen from it.
fn actions(dir: &Path) -> (ActionSet, Vec<Problem>) {
    let (actions, problems) = ActionSet::load(&dir.join(ACTIONS_DIR));
    (actions, within(ACTIONS_DIR, problems))
}

/// The rotas of the portal `dir`; problems name files as seen from it.
fn rotas(dir: &Path) -> (Rotas, Vec<Problem>) {
    let (rotas, problems) = Rotas::load(&dir.join(ON_CALL_DIR));
    (rotas, within(ON_CALL_DIR, problems))
}

/// What the steps of `actions` need and `settings` do not say.
fn lacking(actions: &ActionSet, settings: &Settings) -> Vec<Problem> {
    let steps = actions.iter().flat_map(|it| it.steps.iter().map(move |step| (it, step)));
    let problem = |(action, step): (&Action, &Step)| {
        let lacking = step.receiver.lacking(&settings.integrations, &settings.secrets)?;
        let file = format!("{ACTIONS_DIR}/{}", action.file);
        Some(fields::problem(&file, START, "invoke", lacking.message, lacking.hint))
    };
    steps.filter_map(problem).collect()
}

/// `problems` of files in the directory `inner`, as seen from outside.
fn within(inner: &str, mut problems: Vec<Problem>) -> Vec<Problem> {
    for problem in &mut problems {
        problem.file = format!("{inner}/{}", problem.file);
    }
    problems
}

/// The scorecards of the portal `dir` and, as `settings` say, the built-in ones; problems name files as seen from `dir`.
fn scorecards(dir: &Path, settings: &Settings) -> (ScorecardSet, Vec<Problem>) {
    let built_in = settings.built_in_scorecards;
    let (scorecards, problems) =
        ScorecardSet::load(&dir.join(SCORECARDS_DIR), &keys(settings), built_in);
    (scorecards, within(SCORECARDS_DIR, problems))
}

/// The facts that scorecards may read.
pub fn keys(settings: &Settings) -> Keys {
    let kinds = settings.facts.kinds().into_iter();
    kinds.map(|(key, kind)| (key.to_string(), kind.clone())).collect()
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| {
        (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message))
    });
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portal_is_the_named_directory_or_one_nearby_with_settings() {
        let here = tempfile::tempdir().unwrap();
        let here = here.path().canonicalize().unwrap();
        let locate = |given: Option<&str>| locate(given.map(Path::new), &here);
        assert_eq!(locate(None), Ok(None));
        assert!(locate(Some("portal")).is_err());

        std::fs::write(here.join("idp.yaml"), "").unwrap();
        assert_eq!(locate(None), Ok(Some(here.clone())));

        std::fs::create_dir(here.join("portal")).unwrap();
        assert_eq!(locate(None), Ok(Some(here.clone())));
        assert_eq!(locate(Some("portal")), Ok(Some(here.join("portal"))));

        std::fs::write(here.join("portal/idp.yaml"), "").unwrap();
        assert_eq!(locate(None), Ok(Some(here.join("portal"))));
    }
}
