//! Who the bot takes the asker for.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::details::Details;
use super::{Named, json, related};
use crate::access::Role;
use crate::access::link::Made;
use crate::catalog::RelationKind;
use crate::catalog::snapshot::Filter;
use crate::commands::resolve::Question;
use crate::conversation::Platform;
use crate::error::Result;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub platform: Platform,
    /// As the platform names them; empty in the terminal.
    pub user_id: &'a str,
    /// `None` for a stranger.
    pub user: Option<User<'a>>,
    /// What the account is linked to; `None` in the terminal.
    pub link: Option<Linked<'a>>,
    #[serde(flatten)]
    pub rights: Rights,
    /// What the channel is for.
    pub channel: Vec<Named<'a>>,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rights {
    pub role: Role,
    pub is_admin: bool,
    /// Whether they may ask what the catalog knows.
    pub may_read: bool,
}

/// How an account came to be somebody's.
#[derive(Debug, Serialize)]
pub struct Linked<'a> {
    /// Of whom the catalog may know nothing any more.
    pub user: &'a str,
    pub guest: bool,
    pub made_by: Made,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
pub struct User<'a> {
    #[serde(flatten)]
    pub entity: Named<'a>,
    pub email: Option<Cow<'a, str>>,
    pub teams: Vec<Team<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Team<'a> {
    #[serde(flatten)]
    pub entity: Named<'a>,
    /// How many entities it owns.
    pub owns: usize,
}

/// # Errors
/// A fault when the answer is no JSON.
pub fn look_up(question: &Question<'_>, rights: Rights) -> Result<Value> {
    let snapshot = question.snapshot;
    let speaker = &question.person.speaker;
    let user = question.person.user.as_ref().and_then(|user| snapshot.find(user.as_str()));
    let user = user.map(|entity| {
        let details = Details::of(entity);
        let teams = related(snapshot, entity, RelationKind::MemberOf).into_iter().map(|team| {
            let filter = Filter { team: Some(team.reference.to_string()), ..Filter::default() };
            Team { owns: snapshot.list(&filter, 0, 0).1, entity: team }
        });
        User {
            email: details.email,
            teams: teams.collect(),
            entity: Named::entity(snapshot, entity),
        }
    });
    let address = question.address;
    let channel = snapshot.in_channel(&address.channel_id, address.channel_name.as_deref());
    json(Answer {
        platform: speaker.platform,
        user_id: &speaker.user_id,
        user,
        link: question.person.link.as_ref().map(|link| Linked {
            user: link.user.as_str(),
            guest: link.guest,
            made_by: link.made_by,
            created_at: link.created_at,
        }),
        rights,
        channel: channel.into_iter().map(|it| Named::entity(snapshot, it)).collect(),
    })
}
