//! Links between chat accounts and the Users of the catalog.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::EntityRef;
use crate::conversation::Speaker;

/// The User that an account is linked to. An account has at most one; a User at most one account of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub user: EntityRef,
    /// Somebody who is linked, and yet no member.
    pub guest: bool,
    /// Another one at each change, never used twice: what was decided by an earlier link does not hold for a later.
    pub generation: i64,
    pub made_by: Made,
    pub created_at: DateTime<Utc>,
}

/// How a link came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    /// By an admin's file.
    Import,
    /// By a code that was shown once.
    Code,
    /// By the e-mail address that the platform has verified.
    Email,
}

impl Made {
    pub const ALL: [Made; 3] = [Made::Import, Made::Code, Made::Email];

    /// As the database and programs write it.
    pub fn word(self) -> &'static str {
        match self {
            Made::Import => "import",
            Made::Code => "code",
            Made::Email => "email",
        }
    }
}

/// All links of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSet {
    /// Counted up at each change; -1 before the database was read.
    pub revision: i64,
    pub by_account: HashMap<Speaker, Link>,
}

impl LinkSet {
    /// The account of `user` where `there` is one too: on the same platform, in the same workspace.
    pub fn account_of(&self, there: &Speaker, user: &EntityRef) -> Option<&Speaker> {
        let is_there = |it: &Speaker| it.platform == there.platform && it.tenant == there.tenant;
        let mut all = self.by_account.iter();
        all.find(|(account, link)| is_there(account) && link.user == *user).map(|(it, _)| it)
    }
}

impl Default for LinkSet {
    /// Nobody is linked, before the database was read.
    fn default() -> LinkSet {
        LinkSet { revision: -1, by_account: HashMap::new() }
    }
}

/// The links as this process knows them: always there, and swapped as a whole.
#[derive(Debug, Default)]
pub struct Links(ArcSwap<LinkSet>);

impl Links {
    pub fn now(&self) -> Arc<LinkSet> {
        self.0.load_full()
    }

    pub fn set(&self, links: LinkSet) {
        self.0.store(Arc::new(links));
    }

    /// The link of the account `speaker`; `None` for a stranger's.
    pub fn of(&self, speaker: &Speaker) -> Option<Link> {
        self.0.load().by_account.get(speaker).cloned()
    }
}
