//! Saying who one is: how, with which code, or that it is done.

use serde::Serialize;
use serde_json::Value;

use super::{Named, json};
use crate::access::code::{Code, MINUTES, not_good};
use crate::access::email::Profiles;
use crate::catalog::EntityRef;
use crate::commands::resolve::Question;
use crate::conversation::{Platform, Way};
use crate::error::Result;

/// What is wanted of a link.
pub enum Wish<'a> {
    /// Nothing can be done here but to tell how.
    Tell,
    /// A code for another account of who asks.
    Issue,
    /// The account is whose the code says.
    Redeem(Code),
    /// The account is whose e-mail address it has.
    Recognise(&'a dyn Profiles),
    /// Others read along: a code that stands here is worth nothing from now on.
    Overheard(Option<Code>),
}

impl<'a> Wish<'a> {
    /// What `question`, which came in by `way`, wishes. `profiles` are those of Slack, where e-mail addresses link.
    ///
    /// # Errors
    /// What never was a code.
    pub fn of(
        question: &Question<'_>,
        way: Way,
        profiles: Option<&'a dyn Profiles>,
    ) -> Result<Wish<'a>> {
        let typed = question.call.get("code");
        let code = typed.and_then(Code::typed);
        let is_here = question.person.speaker.platform != Platform::Terminal;
        match code {
            // A message is answered by a message, which all in the channel read.
            code if way == Way::Message => Ok(Wish::Overheard(code)),
            _ if !is_here => Ok(Wish::Tell),
            Some(code) => Ok(Wish::Redeem(code)),
            None if typed.is_some() => Err(not_good().into()),
            None if question.person.user.is_some() => Ok(Wish::Issue),
            None if question.person.link.is_some() => Ok(Wish::Tell),
            None => {
                let of_slack =
                    profiles.filter(|_| question.person.speaker.platform == Platform::Slack);
                Ok(of_slack.map_or(Wish::Tell, Wish::Recognise))
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    platform: Platform,
    /// As the platform names the account; empty in the terminal.
    user_id: &'a str,
    /// Whom the account is linked to; `None` for a stranger.
    user: Option<Named<'a>>,
    /// Whether it is from now on.
    is_new: bool,
    /// To be typed in another chat, once, within so many minutes.
    code: Option<&'a str>,
    minutes: u64,
}

/// The answer to who wished for nothing, or for a `code`.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn told(question: &Question<'_>, code: Option<&Code>) -> Result<Value> {
    answer(question, question.person.user.as_ref(), false, code)
}

/// The answer to who is `user` from now on.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn made(question: &Question<'_>, user: &EntityRef) -> Result<Value> {
    answer(question, Some(user), true, None)
}

fn answer(
    question: &Question<'_>,
    user: Option<&EntityRef>,
    is_new: bool,
    code: Option<&Code>,
) -> Result<Value> {
    let snapshot = question.snapshot;
    let user = user.and_then(|user| snapshot.find(user.as_str()));
    let speaker = &question.person.speaker;
    json(Answer {
        platform: speaker.platform,
        user_id: &speaker.user_id,
        user: user.map(|user| Named::entity(snapshot, user)),
        is_new,
        code: code.map(Code::shown),
        minutes: MINUTES,
    })
}
