//! D13: what the bot does about each error that a platform answers a message with, at the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use idp::chat::link::Standing;
use idp::chat::outbox::{Policy, Post};
use idp::chat::{discord, slack};
use idp::conversation::Platform;
use serde_json::json;

use crate::outbox_world::{Fake, Office, Process, SHORT, limited, message};
use crate::waiting::until;

/// An error of a platform's: how it is answered, and what is done about it.
#[derive(Debug, Clone)]
struct Case {
    platform: Platform,
    status: u16,
    code: String,
    policy: Policy,
}

impl Case {
    fn answer(&self) -> Response {
        if self.policy == Policy::Limited {
            return limited(0);
        }
        let status = StatusCode::from_u16(self.status).unwrap();
        let said = match self.platform {
            Platform::Slack => json!({ "ok": false, "error": self.code }),
            _ => json!({ "code": self.code.parse::<u64>().unwrap(), "message": "no" }),
        };
        (status, axum::Json(said)).into_response()
    }

    /// The call that asks whether the platform answers.
    fn asks(&self) -> String {
        match self.platform {
            Platform::Slack => "auth.test".into(),
            _ => "GET users/@me".into(),
        }
    }

    fn posts(&self, channel: &str, below: &str) -> String {
        match self.platform {
            Platform::Slack => format!("chat.postMessage {channel}{below}"),
            _ => format!("POST channels/{channel}/messages{below}"),
        }
    }

    fn in_thread(&self) -> Vec<String> {
        vec![self.posts("C1", " below 1.5")]
    }

    fn directly(&self) -> Vec<String> {
        match self.platform {
            Platform::Slack => vec![self.posts("U-of-C1", "")],
            _ => vec!["POST users/@me/channels".into(), self.posts("D-U-of-C1", "")],
        }
    }

    /// What is called when the first message alone is answered so, and why it is not sent in the end.
    fn once(&self) -> (Vec<String>, Option<&'static str>) {
        let then = |more: Vec<String>| [self.in_thread(), more].concat();
        let asked = || [vec![self.asks()], self.in_thread()].concat();
        match self.policy {
            Policy::Person => (then(self.directly()), None),
            Policy::Channel => (then(vec![self.posts("C1", "")]), None),
            Policy::Gone => (self.in_thread(), Some("gone")),
            Policy::Ours => (self.in_thread(), Some("ours")),
            Policy::Later | Policy::Limited => (then(self.in_thread()), None),
            Policy::Away | Policy::Mend => (then(asked()), None),
            Policy::Uncertain if self.platform == Platform::Discord => (then(asked()), None),
            Policy::Uncertain => (self.in_thread(), Some("may_have_arrived")),
        }
    }

    /// The same when every message is answered so; `None`: it is sent again and again, until its time runs out.
    fn always(&self) -> Option<(Vec<String>, &'static str)> {
        let then = |more: Vec<String>| [self.in_thread(), more].concat();
        match self.policy {
            Policy::Person => Some((then(self.directly()), "refused")),
            Policy::Channel => Some((then(vec![self.posts("C1", "")]), "refused")),
            Policy::Gone | Policy::Ours => self.once().1.map(|why| (self.in_thread(), why)),
            Policy::Uncertain if self.platform == Platform::Slack => {
                Some((self.in_thread(), "may_have_arrived"))
            }
            _ => None,
        }
    }
}

/// Every error of the table, and one that it does not have.
fn of_slack() -> Vec<Case> {
    let of_slack = slack::errors::ERRORS.into_iter().chain([("of_tomorrow", Policy::Ours)]);
    let of_slack = of_slack.map(|(code, policy)| {
        let (platform, status) = (Platform::Slack, 200);
        Case { platform, status, code: code.into(), policy }
    });
    of_slack.collect()
}

/// Every code of the table, and what is answered with none, or with one that it does not have.
fn of_discord() -> Vec<Case> {
    let of_discord = discord::errors::ERRORS.into_iter().map(|(code, policy)| (400, code, policy));
    let by_status = [
        (401, 0, Policy::Mend),
        (403, 0, Policy::Person),
        (404, 0, Policy::Ours),
        (400, 999_999, Policy::Ours),
        (429, 0, Policy::Limited),
        (500, 0, Policy::Uncertain),
        (502, 0, Policy::Uncertain),
        (503, 0, Policy::Away),
    ];
    let of_discord = of_discord.chain(by_status).map(|(status, code, policy)| Case {
        platform: Platform::Discord,
        status,
        code: code.to_string(),
        policy,
    });
    of_discord.collect()
}

/// The next message is the next thing that is called: nothing more is done about the one before.
async fn is_over(case: &Case, office: &Office, fake: &Fake, process: &Process, next: Post) {
    let key = next.key.clone();
    process.posts(next).await;
    office.end_of(&key).await.unwrap();
    let asks = case.asks();
    // Whether the platform answers may be asked at any time while it did not.
    let told: Vec<String> = fake.told().into_iter().filter(|call| *call != asks).collect();
    assert_eq!(told, case.in_thread(), "{case:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_of_slack_has_what_is_done_about_it_and_that_ends() {
    all_end(of_slack()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_of_discord_has_what_is_done_about_it_and_that_ends() {
    all_end(of_discord()).await;
}

async fn all_end(cases: Vec<Case>) {
    let mut persistent = 0;
    assert!(cases.len() >= 25);
    let office = Office::open().await;
    for (number, case) in cases.iter().enumerate() {
        let fake = Fake::start(case.platform).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let process = office.process_until(&fake, SHORT, &stop);
        let (once, twice, after) = (number * 3, number * 3 + 1, number * 3 + 2);
        let post = |number| message(case.platform, "C1", number);
        let said = |post: &Post| post.key.clone();

        // The first message is answered so.
        let (first, answered) = (AtomicUsize::new(0), case.clone());
        fake.answers(move |call| {
            let is_first = call.posts && first.fetch_add(1, Ordering::SeqCst) == 0;
            is_first.then(|| answered.answer())
        });
        process.posts(post(once)).await;
        let (calls, failure) = case.once();
        assert_eq!(office.end_of(&said(&post(once))).await.err().as_deref(), failure, "{case:?}");
        let told = fake.told();
        assert_eq!(told[..calls.len()], calls, "{case:?}");
        let more = told[calls.len()..].iter().all(|call| *call == case.asks());
        assert!(more, "{case:?}: {told:?}");

        // Every message is answered so.
        let answered = case.clone();
        fake.answers(move |call| call.posts.then(|| answered.answer()));
        process.posts(post(twice)).await;
        let key = said(&post(twice));
        if let Some((calls, why)) = case.always() {
            assert_eq!(office.end_of(&key).await, Err(why.to_string()), "{case:?}");
            let asks = case.asks();
            let told: Vec<String> = fake.told().into_iter().filter(|it| *it != asks).collect();
            assert_eq!(told, calls, "{case:?}");
        } else {
            persistent += 1;
            let mut tries = 0;
            let tried = async || {
                tries += fake.calls().iter().filter(|it| it.posts).count();
                tries
            };
            until("some tries", tried, |tries| *tries >= 3).await;
            let link = process.outbox().link.clone();
            let is_down = matches!(link.standing(), Standing::Down { .. });
            assert_eq!(is_down, case.policy == Policy::Mend, "{case:?}");
            // Its time runs out while nobody sends it.
            let runs_out = async || {
                office.runs_out(&key).await;
                tokio::time::timeout(std::time::Duration::from_millis(200), office.end_of(&key))
                    .await
                    .ok()
            };
            let ended = until("the end", runs_out, Option::is_some).await;
            assert!(
                matches!(&ended, Some(Err(why)) if why == "expired" || why == "may_have_arrived"),
                "{case:?}: {ended:?}"
            );
        }

        // Whatever it was, it is over, and the next message goes out.
        fake.calls();
        fake.answers(|_| None);
        is_over(case, &office, &fake, &process, post(after)).await;
        let link = process.outbox().link.clone();
        until("up again", async || link.standing(), |it| *it == Standing::Up).await;
        // Otherwise it might take the next message.
        office.stops(&stop).await;
    }
    println!(
        "REL D13 {} {} errors, each answered once and always: all ended, {persistent} by their time",
        cases.len(),
        cases[0].platform.word(),
    );
}

/// Nothing is sent while somebody must mend something, however much waits; what waits is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_taken_is_told_and_what_waits_is_sent_once_it_is_mended() {
    let (office, fake) = (Office::open().await, Fake::start(Platform::Slack).await);
    let is_mended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mended = is_mended.clone();
    fake.answers(move |_| {
        let refused = json!({ "ok": false, "error": "token_revoked" });
        (!mended.load(Ordering::SeqCst)).then(|| axum::Json(refused).into_response())
    });
    let process = office.process(&fake, SHORT);
    let link = process.outbox().link.clone();
    process.posts(message(Platform::Slack, "C0", 0)).await;
    let Standing::Down { mend } = link.standing() else { panic!("{:?}", link.standing()) };
    assert!(mend.contains("SLACK_BOT_TOKEN") && mend.contains("token_revoked"), "{mend}");
    let posts: Vec<Post> =
        (1..100).map(|it| message(Platform::Slack, &format!("C{it}"), it)).collect();
    office.enqueues(&posts).await;
    let mut told = Vec::new();
    let asked = async || {
        told.extend(fake.told());
        told.iter().filter(|call| *call == "auth.test").count()
    };
    until("asked some times", asked, |times| *times >= 3).await;
    let sent = told.iter().filter(|call| *call != "auth.test").count();
    assert_eq!(sent, 1, "the message that failed, and no other: {told:?}");
    is_mended.store(true, Ordering::SeqCst);
    until("everything sent", async || office.waiting().await, |it| *it == 0).await;
    assert_eq!(link.standing(), Standing::Up);
    let failed: i64 =
        sqlx::query_scalar("select count(*) from idp.outbox where failure is not null")
            .fetch_one(&office.fresh.pool)
            .await
            .unwrap();
    assert_eq!(failed, 0);
}
