//! Who the bot takes the asker for.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::details::Details;
use super::{Named, json, related};
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
    /// What the channel is for.
    pub channel: Vec<Named<'a>>,
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
pub fn look_up(question: &Question<'_>) -> Result<Value> {
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
        channel: channel.into_iter().map(|it| Named::entity(snapshot, it)).collect(),
    })
}
