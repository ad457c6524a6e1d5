//! What the bot posts of its own accord: answers to mentions, late answers, news.
//!
//! ```text
//! a fact ──one transaction──▶ waiting ──its lane is free──▶ being sent ──▶ sent
//!                               ▲  ▲                          │
//!                               │  └── refused there: by the next of its routes
//!                               └───── not now: later, in its place ──▶ too late, refused, or uncertain: dropped
//! ```
//! - Of the messages to a channel one is sent at a time, in their order, one a second, by whichever process: the
//!   database hands them out. More urgent ones go first.
//! - What may have arrived is not sent again, unless the platform tells copies apart: Slack cannot be asked whether
//!   a message arrived, and a lost answer is asked for again, where two of a kind confuse. Discord does, for a few
//!   minutes, by the `nonce`; after those it is as with Slack.
//! - Each refusal leads to a route further down or to an end, and every message expires: nothing is tried for ever.
//!   What is dropped is logged with its reason, and counted.
//! - While the database is away messages are sent from memory, each process at its own pace: a lookup must work in
//!   an incident.

mod cards;
pub mod flow;
mod hold;
pub mod store;
pub mod worker;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff;
use crate::conversation::{Platform, Reply};

/// The longest that a platform is taken at its word: a wrong `Retry-After` must not silence us for a day.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// Something to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Post {
    pub platform: Platform,
    /// The workspace or guild.
    pub tenant: String,
    /// What it announces or answers; of two posts with one key the first alone is sent.
    pub key: String,
    pub priority: Priority,
    pub to: To,
    /// It is shown as it is when it is sent.
    pub reply: Reply,
    /// How long after it was written down it may be sent.
    #[serde(skip)]
    pub after: Duration,
}

/// To whom a post goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct To {
    /// Where what was asked is answered for a while: Slack's response URL, the token of Discord's interaction.
    pub answer: Option<String>,
    /// Whether that answer takes the place of what was clicked on.
    pub replaces: bool,
    pub channel: String,
    /// What it stands below: the thread in Slack, the message in Discord.
    pub thread: Option<String>,
    /// Who asked, and is told directly where nothing can be said in the channel; `None`: nobody in particular.
    pub person: Option<String>,
    /// Whether nobody else is to see it.
    pub alone: bool,
    /// How the thread is called that is begun for it below the message, where the platform has it begun by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Where a message is: the platform's ids, empty where it tells none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    pub channel: String,
    pub message_id: String,
}

/// What goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Approvals, and what became of them.
    Urgent,
    Answer,
    Digest,
}

impl Priority {
    /// As the database sorts it.
    fn number(self) -> i16 {
        self as i16
    }

    /// How long after it was written down it is still of use.
    fn use_within(self) -> Duration {
        match self {
            // Whoever asked an hour ago has asked somebody else.
            Priority::Answer => Duration::from_secs(60 * 60),
            Priority::Urgent | Priority::Digest => Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// A way by which a post may go, the first first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    Answer,
    Thread,
    Channel,
    Person,
}

impl Route {
    const ALL: [Route; 4] = [Route::Answer, Route::Thread, Route::Channel, Route::Person];

    /// As the database has it.
    fn word(self) -> &'static str {
        match self {
            Route::Answer => "answer",
            Route::Thread => "thread",
            Route::Channel => "channel",
            Route::Person => "person",
        }
    }

    fn from_word(word: &str) -> Option<Route> {
        Route::ALL.into_iter().find(|it| it.word() == word)
    }
}

impl Post {
    /// `reply` answers what the `key` stands for, as soon as may be.
    pub fn answer(platform: Platform, tenant: String, key: String, to: To, reply: Reply) -> Post {
        let (priority, after) = (Priority::Answer, Duration::ZERO);
        Post { platform, tenant, key, priority, to, reply, after }
    }

    /// The first way that there is from `route` on.
    fn route_from(&self, route: Route) -> Option<Route> {
        let To { answer, thread, person, alone, channel, .. } = &self.to;
        // Nothing but the answer to an interaction is for one person alone in a channel of Discord's.
        let is_open = !(*alone && self.platform == Platform::Discord);
        Route::ALL.into_iter().filter(|it| *it >= route).find(|it| match it {
            Route::Answer => answer.is_some(),
            Route::Thread => is_open && thread.is_some(),
            // A person alone is told directly.
            Route::Channel => is_open && !(channel.is_empty() && person.is_some()),
            Route::Person => person.is_some(),
        })
    }

    fn route(&self) -> Route {
        self.route_from(Route::Answer).unwrap_or(Route::Channel)
    }

    /// What is sent by `route` waits for what else goes there: the messages of a channel, or of a person.
    fn lane(&self, route: Route) -> String {
        match route {
            Route::Answer => format!("answer {} {}", self.tenant, self.key),
            Route::Thread | Route::Channel => self.to.channel.clone(),
            Route::Person => self.to.person.clone().unwrap_or_default(),
        }
    }
}

/// What to do about an error of a platform's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The bot cannot speak there: say it to the person directly.
    Person,
    /// The thread is gone or closed: say it in the channel.
    Channel,
    /// There is nobody to tell any more.
    Gone,
    /// It is not taken now, and nothing arrived.
    Later,
    /// Nothing is to be sent for a while, and nothing arrived.
    Limited,
    /// Nothing arrives at all.
    Away,
    /// It may have arrived.
    Uncertain,
    /// Nothing is taken until a person has mended something.
    Mend,
    /// Ours to put right: what we sent is wrong, and always will be.
    Ours,
}

/// Why a post was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    pub policy: Policy,
    /// How long the platform asks us to wait; zero where it does not.
    pub wait: Duration,
    /// Whether it asks so for all channels.
    pub everywhere: bool,
    /// For the log, and for whoever mends it.
    pub why: String,
}

impl Unsent {
    fn new(policy: Policy, why: String) -> Unsent {
        Unsent { policy, wait: Duration::ZERO, everywhere: false, why }
    }

    /// It cannot be written as the platform reads it.
    pub fn ours(error: &anyhow::Error) -> Unsent {
        Unsent::new(Policy::Ours, format!("{error:#}"))
    }

    /// Whether nothing can be done about it that says it once. `tells_copies_apart`: the platform posts once what
    /// it is sent twice.
    pub fn is_final(&self, tells_copies_apart: bool) -> bool {
        match self.policy {
            Policy::Ours => true,
            Policy::Uncertain => !tells_copies_apart,
            _ => false,
        }
    }
}

/// Why a post is never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Refused,
    Gone,
    Ours,
    MayHaveArrived,
    Expired,
    /// It could neither be sent at once nor be written down.
    NoDatabase,
}

impl Reason {
    /// As the figures and the database call it.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Refused => "refused",
            Reason::Gone => "gone",
            Reason::Ours => "ours",
            Reason::MayHaveArrived => "may_have_arrived",
            Reason::Expired => "expired",
            Reason::NoDatabase => "no_database",
        }
    }
}

/// What becomes of a post that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It goes by this route at once.
    Elsewhere(Route),
    /// It keeps its place, and is sent after this.
    After(Duration),
    Drop(Reason),
}

impl Post {
    /// What becomes of it after the `attempts`-th try, by `route`, ended with `unsent`. `tells_copies_apart`: the
    /// platform posts it once, however often it is sent; `later` is the first pause of what is not taken now.
    fn next(
        &self,
        route: Route,
        unsent: &Unsent,
        attempts: u32,
        tells_copies_apart: bool,
        later: Duration,
    ) -> Next {
        let elsewhere = |to, otherwise| match self.route_from(to) {
            Some(next) if next > route => Next::Elsewhere(next),
            _ => Next::Drop(otherwise),
        };
        match unsent.policy {
            Policy::Person => elsewhere(Route::Person, Reason::Refused),
            // The right to answer is gone; the channel is not.
            Policy::Gone | Policy::Channel if route == Route::Answer => {
                elsewhere(Route::Thread, Reason::Gone)
            }
            Policy::Gone => Next::Drop(Reason::Gone),
            Policy::Channel if route == Route::Thread => elsewhere(Route::Channel, Reason::Refused),
            Policy::Channel => Next::Drop(Reason::Refused),
            Policy::Ours => Next::Drop(Reason::Ours),
            Policy::Later => Next::After(backoff::after(attempts, later).max(unsent.wait)),
            Policy::Limited => Next::After(unsent.wait.min(PAUSE_MAX)),
            Policy::Away | Policy::Mend => Next::After(Duration::ZERO),
            Policy::Uncertain if tells_copies_apart => Next::After(Duration::ZERO),
            Policy::Uncertain => Next::Drop(Reason::MayHaveArrived),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(5);

    fn post(platform: Platform, to: To) -> Post {
        Post {
            platform,
            tenant: "T1".into(),
            key: "Ev1".into(),
            priority: Priority::Answer,
            to,
            reply: Reply::markdown("hello"),
            after: Duration::ZERO,
        }
    }

    fn everywhere() -> To {
        To {
            answer: Some("https://hooks.slack.com/1".into()),
            replaces: false,
            channel: "C1".into(),
            thread: Some("1.5".into()),
            person: Some("U1".into()),
            alone: false,
            title: None,
        }
    }

    fn unsent(policy: Policy) -> Unsent {
        Unsent { policy, wait: Duration::ZERO, everywhere: false, why: String::new() }
    }

    fn next(post: &Post, route: Route, policy: Policy) -> Next {
        post.next(route, &unsent(policy), 1, false, LATER)
    }

    #[test]
    fn what_is_refused_goes_by_a_route_further_down_or_is_dropped() {
        let post = post(Platform::Slack, everywhere());
        use Next::{Drop, Elsewhere};
        assert_eq!(post.route(), Route::Answer);
        for (route, policy, expected) in [
            (Route::Answer, Policy::Gone, Elsewhere(Route::Thread)),
            (Route::Answer, Policy::Person, Elsewhere(Route::Person)),
            (Route::Thread, Policy::Channel, Elsewhere(Route::Channel)),
            (Route::Thread, Policy::Person, Elsewhere(Route::Person)),
            (Route::Thread, Policy::Gone, Drop(Reason::Gone)),
            (Route::Channel, Policy::Channel, Drop(Reason::Refused)),
            (Route::Channel, Policy::Person, Elsewhere(Route::Person)),
            (Route::Person, Policy::Person, Drop(Reason::Refused)),
            (Route::Person, Policy::Gone, Drop(Reason::Gone)),
            (Route::Channel, Policy::Ours, Drop(Reason::Ours)),
        ] {
            assert_eq!(next(&post, route, policy), expected, "{route:?} {policy:?}");
        }
    }

    /// Whatever a platform answers, again and again: the routes have an end.
    #[test]
    fn no_refusal_leads_back() {
        let policies = [Policy::Person, Policy::Channel, Policy::Gone, Policy::Ours];
        for platform in [Platform::Slack, Platform::Discord] {
            let post = post(platform, everywhere());
            for policy in policies {
                for route in Route::ALL {
                    match next(&post, route, policy) {
                        Next::Elsewhere(next) => assert!(next > route, "{route:?} {policy:?}"),
                        Next::Drop(_) => {}
                        Next::After(_) => panic!("{route:?} {policy:?} is tried again"),
                    }
                }
            }
        }
    }

    #[test]
    fn nobody_in_particular_is_told_directly() {
        let post = post(Platform::Slack, To { channel: "C1".into(), ..To::default() });
        assert_eq!(next(&post, Route::Channel, Policy::Person), Next::Drop(Reason::Refused));
    }

    #[test]
    fn what_one_person_alone_may_see_is_never_said_in_a_channel_of_discord() {
        let post = post(Platform::Discord, To { alone: true, ..everywhere() });
        let gone = next(&post, Route::Answer, Policy::Gone);
        assert_eq!(gone, Next::Elsewhere(Route::Person));
    }

    #[test]
    fn what_may_have_arrived_is_sent_again_only_where_copies_are_told_apart() {
        let post = post(Platform::Slack, everywhere());
        let next = |tells| post.next(Route::Channel, &unsent(Policy::Uncertain), 1, tells, LATER);
        assert_eq!(next(false), Next::Drop(Reason::MayHaveArrived));
        assert_eq!(next(true), Next::After(Duration::ZERO));
    }

    #[test]
    fn a_platform_is_obeyed_within_reason() {
        let post = post(Platform::Slack, everywhere());
        let asked = |wait| Unsent { wait, ..unsent(Policy::Limited) };
        let next = |wait| post.next(Route::Channel, &asked(wait), 1, false, LATER);
        assert_eq!(next(LATER), Next::After(LATER));
        assert_eq!(next(Duration::from_secs(1_000_000_000)), Next::After(PAUSE_MAX));
    }

    #[test]
    fn what_waits_for_a_channel_waits_for_no_other() {
        let post = post(Platform::Slack, everywhere());
        let lanes = Route::ALL.map(|route| post.lane(route));
        assert_eq!(lanes, ["answer T1 Ev1", "C1", "C1", "U1"]);
    }
}
