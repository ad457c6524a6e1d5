//! Saying who one is: how, with which code, or that it is done.

use serde::Serialize;
use serde_json::Value;

use secrecy::{ExposeSecret, SecretString};

use super::{Named, json};
use crate::access::code::{Code, MINUTES, not_good};
use crate::access::email::Profiles;
use crate::access::totp::{self, Secret};
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
    /// A second factor.
    Factor(Deed),
    /// Others read along: a code that stands here is worth nothing from now on.
    Overheard(Option<Code>),
}

/// What is wanted with a second factor.
#[derive(Clone)]
pub enum Deed {
    Get,
    /// With the first code that the program shows.
    Confirm(SecretString),
    Remove(SecretString),
}

impl Deed {
    /// What `typed` asks for, behind `link`; `None` where it is something else.
    fn of(typed: &str) -> Option<Deed> {
        let mut words = typed.split_whitespace();
        if !words.next()?.eq_ignore_ascii_case("totp") {
            return None;
        }
        let words: Vec<&str> = words.collect();
        match words.split_first() {
            None => Some(Deed::Get),
            Some((first, code)) if first.eq_ignore_ascii_case("remove") => {
                Some(Deed::Remove(code.concat().into()))
            }
            Some(_) => Some(Deed::Confirm(words.concat().into())),
        }
    }
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
        if let Some(deed) = typed.and_then(Deed::of) {
            return match question.person.user {
                _ if way == Way::Message || !is_here => Err(totp::overheard().into()),
                Some(_) => Ok(Wish::Factor(deed)),
                None => Ok(Wish::Tell),
            };
        }
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
    factor: Option<Factor<'a>>,
}

/// What became of a second factor.
#[derive(Debug, Default, Serialize)]
struct Factor<'a> {
    /// To be typed into a program, once.
    secret: Option<&'a str>,
    /// The same, as a program takes it at once.
    address: Option<&'a str>,
    is_confirmed: bool,
}

/// The answer to who wished for nothing, or for a `code`.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn told(question: &Question<'_>, code: Option<&Code>) -> Result<Value> {
    answer(question, question.person.user.as_ref(), false, code, None)
}

/// The answer to who has got a second factor, and is to be shown its `secret`.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn factor_shown(question: &Question<'_>, secret: &Secret, user: &EntityRef) -> Result<Value> {
    let (shown, address) = (secret.shown(), secret.address(user));
    let factor = Factor {
        secret: Some(shown.expose_secret()),
        address: Some(address.expose_secret()),
        is_confirmed: false,
    };
    answer(question, Some(user), false, None, Some(factor))
}

/// The answer to who has a second factor from now on, or has none any more.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn factor_settled(question: &Question<'_>, is_confirmed: bool) -> Result<Value> {
    let factor = Factor { is_confirmed, ..Factor::default() };
    answer(question, question.person.user.as_ref(), false, None, Some(factor))
}

/// The answer to who is `user` from now on.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn made(question: &Question<'_>, user: &EntityRef) -> Result<Value> {
    answer(question, Some(user), true, None, None)
}

fn answer(
    question: &Question<'_>,
    user: Option<&EntityRef>,
    is_new: bool,
    code: Option<&Code>,
    factor: Option<Factor<'_>>,
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
        factor,
    })
}
