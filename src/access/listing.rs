//! A file in which an admin says which account is whose.
//!
//! ```yaml
//! - {platform: slack, tenant: T0123456789, user_id: U0123456789, user: ada}
//! - {platform: discord, tenant: "700000000000000001", user_id: "80351110224678912", user: user:default/bob, guest: true}
//! ```
//! JSON is YAML too.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::link::{Link, LinkSet, Made};
use crate::catalog::formats::fields::{self, Fields};
use crate::catalog::formats::yaml::{Content, Node, Position};
use crate::catalog::{EntityRef, Problem, Snapshot};
use crate::conversation::{Platform, Speaker, is_hidden};

/// No platform's ids are longer.
const ID_CHARACTERS_MAX: usize = 100;

/// One line of the file: `account` is `user`'s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub account: Speaker,
    pub user: EntityRef,
    pub guest: bool,
    pub at: Position,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub created: usize,
    /// Accounts that are another User's now, or a guest's no more or from now on.
    pub changed: usize,
    pub unchanged: usize,
    /// Lines that were left out, each with its place.
    pub problems: Vec<Problem>,
}

/// The lines of `text`, which the file `file` has, and everything that is wrong with it. A line that is wrong costs
/// no other.
pub fn read(text: &str, file: &str, snapshot: &Snapshot) -> (Vec<Listed>, Vec<Problem>) {
    let mut problems = Vec::new();
    let root = match fields::read(text, file) {
        Ok(root) => root,
        Err(problem) => return (Vec::new(), vec![*problem]),
    };
    let items = match root.content {
        Content::List(items) => items,
        Content::Null => Vec::new(),
        _ => {
            problems.push(fields::wrong_type(file, "the file", "a list of accounts", &root));
            Vec::new()
        }
    };
    let mut listed: Vec<Listed> = Vec::new();
    // By what no two lines may have: the account, and the User in one workspace.
    let mut accounts = HashMap::new();
    let mut users = HashMap::new();
    for item in items {
        let Some(line) = line(item, file, snapshot, &mut problems) else { continue };
        let Speaker { platform, tenant, .. } = &line.account;
        let of_account = accounts.entry(line.account.clone()).or_insert(line.at);
        let of_user =
            users.entry((*platform, tenant.clone(), line.user.clone())).or_insert(line.at);
        for (first, what) in [(*of_account, "account"), (*of_user, "User")] {
            if first != line.at {
                let message = format!(
                    "This {what} stands in line {} too, in the same workspace.",
                    first.line
                );
                let hint = "An account is one User's, and a User has one account in a workspace.";
                problems.push(fields::problem(file, line.at, "duplicate", message, hint));
            }
        }
        if *of_account == line.at && *of_user == line.at {
            listed.push(line);
        }
    }
    (listed, problems)
}

fn line(
    item: Node,
    file: &str,
    snapshot: &Snapshot,
    problems: &mut Vec<Problem>,
) -> Option<Listed> {
    let at = item.at;
    let mut fields = Fields::of(item, "an account", file, problems)?;
    let platform = platform(&mut fields);
    let tenant = id(&mut fields, "tenant");
    let user_id = id(&mut fields, "user_id");
    let user = user(&mut fields, snapshot);
    let before = fields.problems.len();
    let guest = fields.flag("guest").unwrap_or(false);
    let is_guest_clear = fields.problems.len() == before;
    // Who writes `gest: true` means it: such a line is left out.
    let is_clear = is_guest_clear && !fields.has_other_than(&[]);
    fields.refuse_unknown();
    let account = Speaker { platform: platform?, tenant: tenant?, user_id: user_id? };
    is_clear.then_some(Listed { account, user: user?, guest, at })
}

fn platform(fields: &mut Fields) -> Option<Platform> {
    let (word, at) = required(fields, "platform")?;
    let platform = Platform::from_word(&word).filter(|it| *it != Platform::Terminal);
    if platform.is_none() {
        let message = format!("`{word}` is no platform.");
        fields.problem(at, "platform", message, "Write `slack` or `discord`.");
    }
    platform
}

fn id(fields: &mut Fields, key: &'static str) -> Option<String> {
    let (id, at) = required(fields, key)?;
    let is_odd = |it: char| it.is_whitespace() || is_hidden(it);
    if id.chars().any(is_odd) || id.chars().nth(ID_CHARACTERS_MAX).is_some() {
        let message = format!("`{key}` is no id.");
        fields.problem(
            at,
            "id",
            message,
            "Copy the id that the platform shows, such as `U0123456789`.",
        );
        return None;
    }
    Some(id)
}

fn user(fields: &mut Fields, snapshot: &Snapshot) -> Option<EntityRef> {
    let (text, at) = required(fields, "user")?;
    let reference = match EntityRef::parse(&text, Some("user"), "default") {
        Ok(reference) if reference.kind() == "user" => reference,
        _ => {
            let message = format!("`{text}` is no User's reference.");
            fields.problem(at, "reference", message, "Write `ada` or `user:default/ada`.");
            return None;
        }
    };
    if snapshot.find(reference.as_str()).is_none() {
        let message = format!("The catalog has no `{reference}`.");
        let hint = "Check the name, or import the User first: `idp catalog import`.";
        fields.problem(at, "unknown-user", message, hint);
        return None;
    }
    Some(reference)
}

fn required(fields: &mut Fields, key: &'static str) -> Option<(String, Position)> {
    let before = fields.problems.len();
    let found = fields.text(key);
    if found.is_none() && fields.problems.len() == before {
        let hint = "An account has `platform`, `tenant`, `user_id` and `user`.";
        fields.problem(fields.at, "required", format!("`{key}` is missing."), hint);
    }
    found
}

/// What has to change for `listed` to hold, and what is left of it: links to write, those of accounts that were
/// others' first taken away.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub remove: Vec<Speaker>,
    pub insert: Vec<Listed>,
    pub report: Report,
}

/// What `listed` changes about `links`. Accounts that are not in it stay as they are.
pub fn changes(links: &LinkSet, mut listed: Vec<Listed>, file: &str) -> Changes {
    let mut changes = Changes::default();
    // An account whose line is left out keeps its User, whom another line may want: until none is left out.
    loop {
        let found = conflicts(links, &listed, file);
        if found.is_empty() {
            break;
        }
        listed.retain(|line| !found.iter().any(|(account, _)| *account == line.account));
        changes.report.problems.extend(found.into_iter().map(|(_, problem)| problem));
    }
    changes.report.problems.sort_by_key(|problem| problem.line);
    for line in listed {
        match links.by_account.get(&line.account) {
            Some(Link { user, guest, .. }) if *user == line.user && *guest == line.guest => {
                changes.report.unchanged += 1;
                continue;
            }
            Some(_) => {
                changes.report.changed += 1;
                changes.remove.push(line.account.clone());
            }
            None => changes.report.created += 1,
        }
        changes.insert.push(line);
    }
    changes
}

/// The lines whose User has an account in the same workspace that is not listed.
fn conflicts(links: &LinkSet, listed: &[Listed], file: &str) -> Vec<(Speaker, Problem)> {
    let accounts: HashSet<&Speaker> = listed.iter().map(|line| &line.account).collect();
    let unlisted = links.by_account.iter().filter(|(account, _)| !accounts.contains(account));
    let holders: HashMap<_, _> = unlisted
        .map(|(account, link)| ((account.platform, &*account.tenant, &link.user), account))
        .collect();
    let conflict = |line: &Listed| {
        let Speaker { platform, tenant, .. } = &line.account;
        let holder = holders.get(&(*platform, &**tenant, &line.user))?;
        let message =
            format!("`{}` has the account `{}` there already.", line.user, holder.user_id);
        let hint = "Take that link away with `idp access remove`, or list that account too.";
        let problem = fields::problem(file, line.at, "conflict", message, hint);
        Some((line.account.clone(), problem))
    };
    listed.iter().filter_map(conflict).collect()
}

impl Listed {
    /// The link that the line asks for, at the revision `generation`.
    pub fn link(&self, generation: i64, now: DateTime<Utc>) -> Link {
        Link {
            user: self.user.clone(),
            guest: self.guest,
            generation,
            made_by: Made::Import,
            created_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Place, StoredEntity};

    fn catalog() -> Snapshot {
        let user = |name: &str| StoredEntity {
            reference: EntityRef::new("user", "default", name),
            body: r#"{"kind":"User","metadata":{},"spec":{}}"#.into(),
            relations: Vec::new(),
            place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            orphaned_at: None,
        };
        Snapshot::build(["ada", "bob", "eve"].map(user), &[], 1)
    }

    fn file(lines: &[(&str, &str)]) -> String {
        let line = |(id, user): &(&str, &str)| {
            format!("- {{platform: slack, tenant: T1, user_id: {id}, user: {user}}}\n")
        };
        lines.iter().map(line).collect()
    }

    /// What has become of `links` once the file with `lines` was imported, and what that reports.
    fn imported(links: &LinkSet, lines: &[(&str, &str)]) -> (LinkSet, Report) {
        let (listed, problems) = read(&file(lines), "links.yaml", &catalog());
        assert_eq!(problems, []);
        let changes = changes(links, listed, "links.yaml");
        let mut next = links.clone();
        for account in &changes.remove {
            next.by_account.remove(account);
        }
        for line in &changes.insert {
            let link = line.link(2, DateTime::UNIX_EPOCH);
            assert_eq!(next.by_account.insert(line.account.clone(), link), None);
        }
        let mut users: Vec<_> = next.by_account.values().map(|it| it.user.as_str()).collect();
        users.sort_unstable();
        let count = users.len();
        users.dedup();
        assert_eq!(users.len(), count, "a User has two accounts: {next:?}");
        (next, changes.report)
    }

    fn counts(report: &Report) -> (usize, usize, usize, usize) {
        (report.created, report.changed, report.unchanged, report.problems.len())
    }

    #[test]
    fn the_second_import_of_a_file_changes_nothing() {
        let lines = [("U1", "ada"), ("U2", "user:default/bob")];
        let (links, first) = imported(&LinkSet::default(), &lines);
        assert_eq!(counts(&first), (2, 0, 0, 0));
        let (same, second) = imported(&links, &lines);
        assert_eq!((counts(&second), same), ((0, 0, 2, 0), links));
    }

    #[test]
    fn two_accounts_may_change_places() {
        let (links, _) = imported(&LinkSet::default(), &[("U1", "ada"), ("U2", "bob")]);
        let (links, report) = imported(&links, &[("U1", "bob"), ("U2", "ada")]);
        assert_eq!(counts(&report), (0, 2, 0, 0));
        assert_eq!(links.by_account.len(), 2);
    }

    #[test]
    fn a_user_keeps_the_account_that_the_file_does_not_name() {
        let (links, _) = imported(&LinkSet::default(), &[("U1", "ada"), ("U2", "bob")]);
        let (_, report) = imported(&links, &[("U3", "ada"), ("U4", "eve")]);
        assert_eq!(counts(&report), (1, 0, 0, 1));
        assert_eq!(
            report.problems[0].message,
            "`user:default/ada` has the account `U1` there already."
        );
        // The line of U1 is left out, so ada stays taken, and that of U3 is left out as well.
        let (_, report) = imported(&links, &[("U1", "bob"), ("U3", "ada")]);
        assert_eq!(counts(&report), (0, 0, 0, 2));
    }

    #[test]
    fn every_mistake_has_its_place_and_costs_no_other_line() {
        let text = "\
- {platform: slack, tenant: T1, user_id: U1, user: ada}
- {platform: teams, tenant: T1, user_id: U2, user: bob}
- {platform: slack, tenant: T1, user: bob}
- {platform: slack, tenant: T1, user_id: U3, user: nobody}
- {platform: slack, tenant: T1, user_id: U4, user: group:bob}
- {platform: slack, tenant: T1, user_id: U1, user: bob}
- {platform: slack, tenant: T1, user_id: U5, user: ada}
- {platform: slack, tenant: T1, user_id: 'U 6', user: eve}
- {platform: slack, tenant: T1, user_id: U7, user: eve, guest: maybe}
- {platform: slack, tenant: T1, user_id: U8, user: eve, gest: true}
";
        let (listed, problems) = read(text, "links.yaml", &catalog());
        let told: Vec<_> = problems.iter().map(|it| (it.line, it.rule.as_str())).collect();
        let expected = [
            (2, "platform"),
            (3, "required"),
            (4, "unknown-user"),
            (5, "reference"),
            (6, "duplicate"),
            (7, "duplicate"),
            (8, "id"),
            (9, "type"),
            (10, "unknown-key"),
        ];
        assert_eq!(told, expected);
        assert_eq!(listed.iter().map(|it| it.at.line).collect::<Vec<_>>(), [1]);
        assert_eq!(read("a: 1", "links.yaml", &catalog()).1.len(), 1);
        assert_eq!(read("", "links.yaml", &catalog()), (Vec::new(), Vec::new()));
    }
}
