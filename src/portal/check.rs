//! `idp check`: every problem of a portal directory.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::{
    ACTIONS_DIR, COMMANDS_DIR, DIGESTS_DIR, ON_CALL_DIR, SCORECARDS_DIR, Settings, actions,
    commands, digests, lacking, rotas, scorecards, settings, sorted,
};
use crate::actions::ActionSet;
use crate::actions::rule::Who;
use crate::catalog::formats::fields::{self, START};
use crate::catalog::formats::yaml::{Content, Node, Position};
use crate::catalog::import::reading::{Incoming, News, Reader};
use crate::catalog::snapshot::skeleton;
use crate::catalog::sources::{Source, SourceFile, file};
use crate::catalog::{EntityRef, Problem, RelationKind, Severity};
use crate::digests::DigestSet;
use crate::on_call::Rotas;
use crate::scorecards::ScorecardSet;

/// What a portal may have in it.
const NAMES: [&str; 8] = [
    settings::FILE,
    settings::CATALOG_DIR,
    COMMANDS_DIR,
    SCORECARDS_DIR,
    ACTIONS_DIR,
    DIGESTS_DIR,
    ON_CALL_DIR,
    "policies",
];

/// Every problem of the directory `dir`: settings, commands, scorecards, digests, rotas, actions, and the descriptors that lie
/// in it; in the order of files and lines, which are told as seen from `dir`.
pub fn check(dir: &Path) -> Vec<Problem> {
    if !dir.is_dir() {
        let message = format!("There is no directory `{}`.", dir.display());
        let hint = "Name the directory that has `idp.yaml` in it.";
        return vec![fields::problem(".", START, "portal", message, hint)];
    }
    let mut problems = misnamed(dir);
    problems.extend(commands(dir).1);
    let (digests, of_digests) = digests(dir);
    problems.extend(of_digests);
    let (actions, of_actions) = actions(dir);
    problems.extend(of_actions);
    let (rotas, of_rotas) = rotas(dir);
    problems.extend(of_rotas);
    let settings = match Settings::load(dir) {
        Ok(settings) => {
            let (scorecards, of_scorecards) = scorecards(dir, &settings);
            problems.extend(of_scorecards);
            problems.extend(digests_of_nothing(&digests, &scorecards));
            problems.extend(lacking(&actions, &settings));
            settings
        }
        Err(of_settings) => {
            problems.extend(of_settings);
            // The descriptors in it are looked at all the same.
            Settings::read("", dir).unwrap_or_default()
        }
    };
    let mut found = Found::default();
    for source in &settings.sources {
        found.read(source, dir);
    }
    problems.append(&mut found.problems);
    problems.extend(twice(&found.entities));
    problems.extend(alike(&found.entities));
    // What a repository or a URL describes is not known here.
    if settings.sources.iter().all(|source| matches!(source, Source::Path { .. })) {
        problems.extend(owned_by_nobody(&found.entities, dir));
        problems.extend(aliases_of_nothing(&settings, &found.entities, dir));
        problems.extend(admins_of_nothing(&settings, &found.entities, dir));
        problems.extend(hearers_of_nothing(&digests, &found.entities));
        problems.extend(approvers_of_nothing(&actions, &found.entities));
        problems.extend(on_call_nowhere(&rotas, &found.entities));
    }
    sorted(problems)
}

/// Files and directories that are probably meant to be others: they would not be read.
fn misnamed(dir: &Path) -> Vec<Problem> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| !NAMES.contains(&name.as_str()))
        .filter_map(|name| {
            let meant = fields::closest(&name, NAMES)?;
            // A backup or a template beside it is nobody's mistake.
            if name.starts_with(meant) {
                return None;
            }
            let message = format!("`{name}` is not read.");
            let hint = format!("Did you mean `{meant}`?");
            Some(warning(&name, START, "file-name", message, &hint))
        })
        .collect()
}

/// The descriptors that lie on this disk, and what is wrong with them. Files are told as seen from the portal.
#[derive(Default)]
struct Found {
    entities: Vec<Incoming>,
    problems: Vec<Problem>,
}

impl Found {
    /// Adds what `source` describes, when it lies on this disk.
    fn read(&mut self, source: &Source, dir: &Path) {
        let Source::Path { path, .. } = source else { return };
        let listed = match file::list(&dir.join(path), None) {
            Ok(listed) => listed,
            Err(error) => {
                let hint = "Let this user read it.";
                let (shown, message) = (path.display().to_string(), format!("{error:#}."));
                self.problems.push(fields::problem(&shown, START, "unreadable", message, hint));
                return;
            }
        };
        let (entities, problems) = (self.entities.len(), self.problems.len());
        self.problems.extend(listed.problems);
        if let Some(root) = &listed.root {
            self.read_files(source, root, listed.files);
            let shown = |file: &str| seen_from(dir, &root.join(file));
            self.entities[entities..].iter_mut().for_each(|it| it.file = shown(&it.file));
            self.problems[problems..].iter_mut().for_each(|it| it.file = shown(&it.file));
        }
    }

    /// Adds what `files` describe, and the files that their Locations name.
    fn read_files(&mut self, source: &Source, root: &Path, files: Vec<SourceFile>) {
        let source = Arc::new(source.clone());
        let reader = Reader { source, root: Some(Arc::from(root)), began_ns: 0 };
        let mut met: HashSet<String> = files.iter().map(|file| file.name.clone()).collect();
        let mut waiting = VecDeque::from(files);
        while let Some(file) = waiting.pop_front() {
            let read = reader.read(file, None);
            self.problems.extend(read.found.problems);
            let new = read.found.files.into_iter().filter(|it| met.insert(it.name.clone()));
            waiting.extend(new);
            if let News::Says { entities, problems } = read.news {
                self.entities.extend(entities);
                self.problems.extend(problems);
            }
        }
    }
}

/// `file` as people call it who stand in `dir`.
fn seen_from(dir: &Path, file: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    file.strip_prefix(dir).unwrap_or(file).display().to_string()
}

/// Entities that two documents describe: the second is never read.
fn twice(entities: &[Incoming]) -> Vec<Problem> {
    let mut first: HashMap<&str, &Incoming> = HashMap::new();
    let mut problems = Vec::new();
    for entity in entities {
        let Some(other) = first.get(entity.reference.as_str()) else {
            first.insert(entity.reference.as_str(), entity);
            continue;
        };
        let message = format!(
            "`{}` is described here and in {}:{}.",
            entity.reference, other.file, other.line
        );
        let hint = "The first one holds. Rename or remove one of the two.";
        problems.push(Problem {
            severity: Severity::Error,
            ..about(entity, start(entity), "conflict", message, hint)
        });
    }
    problems
}

/// Entities of one kind whose names look the same, such as `payment` and `payrnent`.
///
/// Source: Unicode Technical Standard 39, section 4.
fn alike(entities: &[Incoming]) -> Vec<Problem> {
    let mut looks: BTreeMap<(&str, String), &Incoming> = BTreeMap::new();
    let mut problems = Vec::new();
    for entity in entities {
        let look = skeleton(entity.reference.name());
        let other = looks.entry((entity.reference.kind(), look)).or_insert(entity);
        if other.reference.name() != entity.reference.name() {
            let message = format!(
                "`{}` looks like `{}` in {}:{}.",
                entity.reference, other.reference, other.file, other.line
            );
            let hint = "People will take one for the other. Rename one of the two.";
            problems.push(about(entity, start(entity), "confusable", message, hint));
        }
    }
    problems
}

/// Entities whose owner nobody describes.
fn owned_by_nobody(entities: &[Incoming], dir: &Path) -> Vec<Problem> {
    let known: HashSet<&str> = entities.iter().map(|it| it.reference.as_str()).collect();
    let mut problems = Vec::new();
    for entity in entities {
        for owner in entity.owners().iter().filter(|owner| !known.contains(*owner)) {
            let message = format!("Its owner `{owner}` is described nowhere.");
            let hint = match closest_reference(owner, entities) {
                Some(known) => format!("Did you mean `{known}`?"),
                None => "Describe it, or name one that is.".to_string(),
            };
            problems.push(about(entity, owner_line(entity, dir), "owner", message, &hint));
        }
    }
    problems
}

/// Where `entity` names its owner, as well as the text tells; else where it starts.
fn owner_line(entity: &Incoming, dir: &Path) -> Position {
    let text = std::fs::read_to_string(dir.join(&entity.file)).unwrap_or_default();
    let lines = text.lines().enumerate().skip(entity.line as usize);
    let own = lines.take_while(|(_, line)| !line.starts_with("---"));
    let named = own.filter(|(_, line)| line.trim_start().starts_with("owner:")).last();
    named.map_or(start(entity), |(index, line)| Position {
        line: index as u32 + 1,
        column: (line.len() - line.trim_start().len()) as u32 + 1,
    })
}

/// Aliases that stand for what nobody describes.
fn aliases_of_nothing(settings: &Settings, entities: &[Incoming], dir: &Path) -> Vec<Problem> {
    let known: HashSet<&str> = entities.iter().map(|it| it.reference.as_str()).collect();
    let text = std::fs::read_to_string(dir.join(settings::FILE)).unwrap_or_default();
    let Ok(root) = fields::read(&text, settings::FILE) else { return Vec::new() };
    let mut problems = Vec::new();
    for entry in root.get("aliases").map(|it| it.entries()).unwrap_or_default() {
        let Some(target) = settings.aliases.get(&entry.key) else { continue };
        if known.contains(target.as_str()) {
            continue;
        }
        let message = format!("`{}` stands for `{target}`, which is described nowhere.", entry.key);
        let hint = match closest_reference(target.as_str(), entities) {
            Some(known) => format!("Did you mean `{known}`?"),
            None => "Describe it, or remove the alias.".to_string(),
        };
        problems.push(warning(settings::FILE, entry.value.at, "alias", message, &hint));
    }
    problems
}

/// Admins whom the catalog does not have: nobody is one by them.
fn admins_of_nothing(settings: &Settings, entities: &[Incoming], dir: &Path) -> Vec<Problem> {
    let known: HashSet<&str> = entities.iter().map(|it| it.reference.as_str()).collect();
    let text = std::fs::read_to_string(dir.join(settings::FILE)).unwrap_or_default();
    let Ok(root) = fields::read(&text, settings::FILE) else { return Vec::new() };
    let listed = root.get("access").and_then(|access| access.get("admins"));
    let items = listed.map(|node| match &node.content {
        Content::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    });
    let admins = settings.access.terms().admins.iter();
    let unknown =
        admins.zip(items.unwrap_or_default()).filter(|(it, _)| !known.contains(it.as_str()));
    let problem = |(admin, node): (&EntityRef, &Node)| {
        let message = format!("The admin `{admin}` is described nowhere.");
        let hint = match closest_reference(admin.as_str(), entities) {
            Some(known) => format!("Did you mean `{known}`?"),
            None => "Describe it, or remove it here.".to_string(),
        };
        warning(settings::FILE, node.at, "admin", message, &hint)
    };
    unknown.map(problem).collect()
}

/// Scorecards that a digest names and that there are not, or that only admins see: nothing is told of them.
fn digests_of_nothing(digests: &DigestSet, scorecards: &ScorecardSet) -> Vec<Problem> {
    let mut problems = Vec::new();
    for digest in digests.iter() {
        for name in &digest.scorecards {
            let found = scorecards.find(name);
            if found.is_some_and(|it| !it.draft) {
                continue;
            }
            let known = scorecards.iter().filter(|it| !it.draft).map(|it| it.name.as_str());
            let (what, hint) = match (found, fields::closest(name, known)) {
                (Some(_), _) => ("is a draft", "Publish it, or leave it out.".to_string()),
                (None, Some(known)) => ("is not there", format!("Did you mean `{known}`?")),
                (None, None) => ("is not there", "Write it, or leave it out.".to_string()),
            };
            let message = format!(
                "The digest `{}` tells of the scorecard `{name}`, which {what}.",
                digest.name
            );
            let file = format!("{DIGESTS_DIR}/{}", digest.file);
            problems.push(warning(&file, START, "digest-scorecard", message, &hint));
        }
    }
    problems
}

/// Teams that a digest names and the catalog does not have: nobody is told.
fn hearers_of_nothing(digests: &DigestSet, entities: &[Incoming]) -> Vec<Problem> {
    let known: HashSet<&str> = entities.iter().map(|it| it.reference.as_str()).collect();
    let mut problems = Vec::new();
    for digest in digests.iter() {
        let audience = &digest.audience;
        for team in audience.teams.iter().flatten().chain(&audience.except) {
            if known.contains(team.as_str()) {
                continue;
            }
            let message =
                format!("The digest `{}` names `{team}`, which is described nowhere.", digest.name);
            let hint = match closest_reference(team.as_str(), entities) {
                Some(known) => format!("Did you mean `{known}`?"),
                None => "Describe it, or leave it out.".to_string(),
            };
            let file = format!("{DIGESTS_DIR}/{}", digest.file);
            problems.push(warning(&file, START, "digest-team", message, &hint));
        }
    }
    problems
}

/// Rules that nobody could ever meet: they ask people whom nothing describes, or more than a Group has.
fn approvers_of_nothing(actions: &ActionSet, entities: &[Incoming]) -> Vec<Problem> {
    let known: HashSet<&str> = entities.iter().map(|it| it.reference.as_str()).collect();
    let mut members: HashMap<&str, HashSet<&str>> = HashMap::new();
    for entity in entities {
        for relation in &entity.relations {
            let (group, user) = match relation.kind {
                RelationKind::MemberOf => (&relation.target, &entity.reference),
                RelationKind::HasMember => (&entity.reference, &relation.target),
                _ => continue,
            };
            if known.contains(user.as_str()) {
                members.entry(group.as_str()).or_default().insert(user.as_str());
            }
        }
    }
    let mut problems = Vec::new();
    for action in actions.iter() {
        let file = format!("{ACTIONS_DIR}/{}", action.file);
        for factor in &action.rule.factors {
            let Who::Named(who) = &factor.who else { continue };
            let people = match (known.contains(who.as_str()), who.kind()) {
                (false, _) => 0,
                (true, "user") => 1,
                (true, _) => members.get(who.as_str()).map_or(0, HashSet::len),
            };
            if people >= factor.count {
                continue;
            }
            let message = format!(
                "Nobody could ever approve `{}`: it asks {} of `{who}`, which has {people}.",
                action.name, factor.count
            );
            let hint = match closest_reference(who.as_str(), entities) {
                Some(meant) if people == 0 && meant != who.as_str() => {
                    format!("Did you mean `{meant}`?")
                }
                _ => "Describe its members in the catalog, or ask others.".to_string(),
            };
            problems.push(fields::problem(&file, START, "approve", message, hint));
        }
    }
    problems
}

/// Whom and what a rota names and the catalog does not have: nobody can reach them, or nothing has them on call.
fn on_call_nowhere(rotas: &Rotas, entities: &[Incoming]) -> Vec<Problem> {
    let known: HashSet<&str> = entities.iter().map(|it| it.reference.as_str()).collect();
    let mut problems = Vec::new();
    for rota in rotas.iter() {
        for (named, at) in rota.named.iter().filter(|(it, _)| !known.contains(it.as_str())) {
            let message =
                format!("The rota `{}` names `{named}`, which is described nowhere.", rota.name);
            let hint = match closest_reference(named.as_str(), entities) {
                Some(known) => format!("Did you mean `{known}`?"),
                None => "Describe it, or leave it out.".to_string(),
            };
            let file = format!("{ON_CALL_DIR}/{}", rota.file);
            problems.push(warning(&file, *at, "on-call", message, &hint));
        }
    }
    problems
}

fn closest_reference<'a>(missing: &str, entities: &'a [Incoming]) -> Option<&'a str> {
    let kind = missing.split(':').next()?;
    let same_kind = entities.iter().filter(|it| it.reference.kind() == kind);
    fields::closest(missing, same_kind.map(|it| it.reference.as_str()))
}

fn start(entity: &Incoming) -> Position {
    Position { line: entity.line, column: 1 }
}

/// A warning about `entity`.
fn about(entity: &Incoming, at: Position, rule: &str, message: String, hint: &str) -> Problem {
    Problem {
        document: entity.document,
        reference: Some(entity.reference.to_string()),
        ..warning(&entity.file, at, rule, message, hint)
    }
}

fn warning(file: &str, at: Position, rule: &str, message: String, hint: &str) -> Problem {
    Problem { severity: Severity::Warning, ..fields::problem(file, at, rule, message, hint) }
}
