//! Whose an account is by the e-mail address that its platform has verified: where the settings allow it, and nobody
//! but a full member of the workspace.

use futures_util::future::BoxFuture;

use crate::catalog::{Entity, EntityRef, Snapshot};
use crate::conversation::Speaker;
use crate::error::Refusal;

/// What a platform knows about an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub kind: Kind,
    pub email: Option<String>,
    /// Whether whoever has the account has shown that they read what is sent there.
    pub is_confirmed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Member,
    Guest,
    /// Of another workspace.
    Stranger,
    Bot,
    Deleted,
}

/// Who can ask a platform about an account.
pub trait Profiles: Send + Sync {
    /// # Errors
    /// A platform that does not tell.
    fn profile<'a>(&'a self, account: &'a Speaker) -> BoxFuture<'a, anyhow::Result<Profile>>;
}

/// The one User whose descriptor names the verified address of `profile`.
///
/// # Errors
/// A refusal for every account and address that leaves a doubt.
pub fn whose(profile: &Profile, snapshot: &Snapshot) -> Result<EntityRef, Refusal> {
    match profile.kind {
        Kind::Member => {}
        Kind::Guest => return Err(refused("this account is a guest's")),
        Kind::Stranger => return Err(refused("this account is of another workspace")),
        Kind::Bot => return Err(refused("this account is a bot's")),
        Kind::Deleted => return Err(refused("this account is deactivated")),
    }
    let email = profile.email.as_deref().map(normal).filter(|email| !email.is_empty());
    let Some(email) = email else {
        return Err(refused("Slack does not tell the e-mail address of this account"));
    };
    if !profile.is_confirmed {
        return Err(refused("the e-mail address of this account is not confirmed"));
    }
    let has_it = |user: &&Entity| {
        let is_user = user.reference.kind() == "user" && !user.orphaned;
        is_user && address(snapshot, user).is_some_and(|it| it == email)
    };
    let found: Vec<&Entity> = snapshot.entities().filter(has_it).take(2).collect();
    match found[..] {
        [] => Err(refused("no User of the catalog has the e-mail address of this account")),
        [user] => Ok(user.reference.clone()),
        _ => Err(refused("several Users of the catalog have the e-mail address of this account")),
    }
}

/// The address that the descriptor of `user` names.
fn address(snapshot: &Snapshot, user: &Entity) -> Option<String> {
    let body = snapshot.body(user);
    body.pointer("/spec/profile/email")?.as_str().map(normal)
}

fn normal(email: &str) -> String {
    email.trim().to_ascii_lowercase()
}

fn refused(why: &str) -> Refusal {
    Refusal::NotAllowed {
        rule: format!("You cannot be known by your e-mail address: {why}."),
        next: "Link your account with a code: type `link` in a chat that knows you, or let who runs this portal make one."
            .into(),
        instead: vec!["whoami".into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Place, StoredEntity};

    fn catalog() -> Snapshot {
        let user = |(name, email): (&str, &str)| StoredEntity {
            reference: EntityRef::parse(name, Some("user"), "default").unwrap(),
            body: format!(
                r#"{{"kind":"User","metadata":{{}},"spec":{{"profile":{{"email":"{email}"}}}}}}"#
            )
            .into(),
            relations: Vec::new(),
            place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            orphaned_at: None,
        };
        let users = [
            ("ada", "Ada@acme.example"),
            ("bob", "ops@acme.example"),
            ("eve", "ops@acme.example"),
            ("group:all", "all@acme.example"),
        ];
        Snapshot::build(users.map(user), &[], 1)
    }

    fn of(email: &str) -> Profile {
        Profile { kind: Kind::Member, email: Some(email.into()), is_confirmed: true }
    }

    #[test]
    fn a_confirmed_address_that_one_user_has_is_theirs() {
        let found = whose(&of(" ada@ACME.example"), &catalog()).unwrap();
        assert_eq!(found.as_str(), "user:default/ada");
    }

    #[test]
    fn every_doubt_is_a_no() {
        let ada = of("ada@acme.example");
        let kind = |kind| Profile { kind, ..ada.clone() };
        for (profile, why) in [
            (kind(Kind::Guest), "a guest's"),
            (kind(Kind::Stranger), "another workspace"),
            (kind(Kind::Bot), "a bot's"),
            (kind(Kind::Deleted), "deactivated"),
            (Profile { is_confirmed: false, ..ada.clone() }, "not confirmed"),
            (Profile { email: None, ..ada.clone() }, "does not tell"),
            (of(""), "does not tell"),
            (of("ops@acme.example"), "several Users"),
            (of("all@acme.example"), "no User"),
            (of("nobody@acme.example"), "no User"),
        ] {
            let refused = whose(&profile, &catalog()).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
