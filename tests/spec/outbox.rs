//! What the bot posts of its own accord: each message once, in its order, at the platform's pace, whatever breaks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use idp::announcements::{self, Announcement, Place};
use idp::chat::outbox::worker::Pauses;
use idp::chat::outbox::{Post, Priority};
use idp::conversation::Platform;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::outbox_world::{Call, Fake, Office, SHORT, limited, message};
use crate::scale::at_full;
use crate::waiting::{PATIENCE, until};

const BOTH: [Platform; 2] = [Platform::Slack, Platform::Discord];

fn unavailable() -> Response {
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

/// Slack as it limits: a message a second to a channel; and now and then it asks everybody to wait.
struct Tiers {
    last: HashMap<String, Instant>,
    taken: Vec<(String, usize)>,
    /// Messages that came too early for their channel.
    early: usize,
    /// It asks for silence, after each so many messages, for [`Tiers::WINDOW`].
    silence_every: usize,
    silent_since: Option<Instant>,
    windows: usize,
    /// Messages that came while it had asked for silence.
    inside: usize,
}

impl Tiers {
    const BETWEEN: Duration = Duration::from_secs(1);
    const WINDOW: Duration = Duration::from_secs(2);
    /// What was on its way when it asked for silence arrives within this.
    const ON_ITS_WAY: Duration = Duration::from_secs(1);

    fn new(silence_every: usize) -> Tiers {
        Tiers {
            last: HashMap::new(),
            taken: Vec::new(),
            early: 0,
            silence_every,
            silent_since: None,
            windows: 0,
            inside: 0,
        }
    }

    fn answer(&mut self, call: &Call) -> Option<Response> {
        if !call.posts {
            return None;
        }
        if let Some(since) = self.silent_since {
            let silent = call.at - since;
            if silent < Tiers::WINDOW {
                self.inside += usize::from(silent > Tiers::ON_ITS_WAY);
                return Some(limited(1));
            }
            self.silent_since = None;
        }
        if self.taken.len() >= self.silence_every * (self.windows + 1) {
            self.windows += 1;
            self.silent_since = Some(call.at);
            return Some(limited(Tiers::WINDOW.as_secs()));
        }
        let last = self.last.get(&call.channel);
        if last.is_some_and(|last| call.at - *last < Tiers::BETWEEN) {
            self.early += 1;
            return Some(limited(1));
        }
        self.last.insert(call.channel.clone(), call.at);
        self.taken.push((call.channel.clone(), call.number.unwrap()));
        None
    }

    /// How many messages were lost, came twice, and came before one that was written down before it.
    fn wrongs(&self, messages: usize) -> (usize, usize, usize) {
        let numbers: HashSet<usize> = self.taken.iter().map(|(_, number)| *number).collect();
        let mut of_channel: HashMap<&str, usize> = HashMap::new();
        let mut out_of_order = 0;
        for (channel, number) in &self.taken {
            let before = of_channel.insert(channel, *number);
            out_of_order += usize::from(before.is_some_and(|before| before > *number));
        }
        (messages - numbers.len(), self.taken.len() - numbers.len(), out_of_order)
    }
}

/// Of `messages` to `channels`, in turn, what two processes send.
async fn burst(messages: usize, channels: usize, pauses: Pauses) -> Tiers {
    let (office, fake) = (Office::open().await, Fake::start(Platform::Slack).await);
    let tiers = Arc::new(std::sync::Mutex::new(Tiers::new(messages / 3)));
    let judge = tiers.clone();
    fake.answers(move |call| judge.lock().unwrap().answer(call));
    let post = |number| message(Platform::Slack, &format!("C{}", number % channels), number);
    let posts: Vec<Post> = (0..messages).map(post).collect();
    office.enqueues(&posts).await;
    for _ in 0..2 {
        office.process(&fake, pauses);
    }
    let mut fewest = messages;
    let mut moved = Instant::now();
    loop {
        let waiting = usize::try_from(office.waiting().await).unwrap();
        if waiting == 0 {
            break;
        }
        if waiting < fewest {
            (fewest, moved) = (waiting, Instant::now());
        }
        assert!(moved.elapsed() < Duration::from_secs(60), "{waiting} messages are not sent");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(office);
    fake.answers(|_| None);
    Arc::into_inner(tiers).unwrap().into_inner().unwrap()
}

/// D10: with Slack's real tiers and two processes.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_sent_at_slacks_pace_and_nothing_is_lost() {
    // A tenth of a tenth: a channel hears one message a second, whatever is done.
    let messages = at_full(at_full(100_000));
    let channels = messages / 10;
    let started = Instant::now();
    let tiers = burst(messages, channels, Pauses::default()).await;
    let seconds = started.elapsed().as_secs();
    let (lost, twice, out_of_order) = tiers.wrongs(messages);
    println!(
        "REL D10 {messages} messages to {channels} channels by 2 processes in {seconds} s, {} windows: {} early, \
         {} inside a window, {lost} lost, {twice} twice, {out_of_order} out of order",
        tiers.windows, tiers.early, tiers.inside
    );
    assert_eq!((lost, twice, out_of_order), (0, 0, 0));
    assert_eq!((tiers.early, tiers.inside), (0, 0));
    assert!(tiers.windows > 0, "it never asked for silence");
}

/// The control of D10: each process keeps to the pace by itself, and both together do not.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_common_pace_slack_sees_messages_that_come_too_early() {
    let pauses = Pauses { between: Duration::ZERO, ..Pauses::default() };
    let tiers = burst(60, 6, pauses).await;
    assert!(tiers.early > 0, "the fake does not look");
    assert_eq!(tiers.wrongs(60), (0, 0, 0), "what came too early is sent later");
}

/// D11: the most urgent goes first when the platform is back, and everything goes once.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_down_while_the_platform_was_away_is_sent_once_the_urgent_first() {
    for platform in BOTH {
        for refuses in [false, true] {
            let (office, fake) = (Office::open().await, Fake::start(platform).await);
            let messages = at_full(2_000);
            fake.answers(|call| call.posts.then(unavailable));
            if refuses {
                fake.closes().await;
            }
            let tries: Vec<_> = (0..2).map(|_| office.process(&fake, SHORT)).collect();
            let priorities = [Priority::Digest, Priority::Answer, Priority::Urgent];
            let post = |number: usize| {
                let channel = format!("C{}", number % 20);
                let priority = priorities[number * 3 / messages];
                Post { priority, ..message(platform, &channel, number) }
            };
            let posts: Vec<Post> = (0..messages).map(post).collect();
            // One is tried, and so it is known to be away.
            tries[0].posts(posts[0].clone()).await;
            office.enqueues(&posts).await;
            if refuses {
                fake.opens_again().await;
            } else {
                let tried = async || fake.calls().iter().any(|call| call.posts);
                until("a try", tried, |it| *it).await;
            }
            fake.answers(|_| None);
            fake.calls();
            until("everything sent", async || office.waiting().await, |it| *it == 0).await;
            let sent: Vec<usize> =
                fake.calls().iter().filter(|it| it.posts).map(|it| it.number.unwrap()).collect();
            let distinct: HashSet<usize> = sent.iter().copied().collect();
            assert_eq!((sent.len(), distinct.len()), (messages, messages), "{platform:?}");
            let is_urgent = |number: &usize| number * 3 / messages == 2;
            assert!(sent.iter().take(20).all(is_urgent), "{:?}", &sent[..20]);
            println!(
                "REL D11 {} {}: {messages} messages, 0 lost, 0 twice, the urgent first",
                platform.word(),
                if refuses { "refuses connections" } else { "answers 503" },
            );
        }
    }
}

/// D12: the message arrived, the answer to it did not. Of every two messages one loses its answer: where all of them
/// do, the platform is away, and what is done then is another test's.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_answer_was_lost_is_seen_once() {
    let lost = at_full(500);
    let messages = 2 * lost;
    for platform in BOTH {
        let (office, fake) = (Office::open().await, Fake::start(platform).await);
        let shown = Arc::new(std::sync::Mutex::new(HashMap::<usize, HashSet<String>>::new()));
        let (showing, mut calls) = (shown.clone(), 0);
        fake.answers(move |call| {
            if !call.posts {
                return None;
            }
            calls += 1;
            let mut shown = showing.lock().unwrap();
            let number = call.number.unwrap();
            // Discord shows those of one nonce once, Slack each.
            let copy = call.nonce.clone().unwrap_or_else(|| calls.to_string());
            let is_new = shown.entry(number).or_default().insert(copy);
            (is_new && number % 2 == 1).then(|| StatusCode::BAD_GATEWAY.into_response())
        });
        let process = office.process(&fake, SHORT);
        let post = |number| message(platform, &format!("C{number}"), number);
        office.enqueues(&(0..messages).map(post).collect::<Vec<Post>>()).await;
        // Each lost answer is a pause for all: so many take longer than anything else may.
        for most in (0..messages).step_by(20).rev() {
            until("everything settled", async || office.waiting().await, |it| *it as usize <= most)
                .await;
        }
        let copies: usize = shown.lock().unwrap().values().map(HashSet::len).sum();
        assert_eq!((shown.lock().unwrap().len(), copies), (messages, messages), "{platform:?}");
        for number in 0..messages {
            let ended = match (platform, number % 2) {
                // Slack cannot be asked whether it arrived.
                (Platform::Slack, 1) => Err("may_have_arrived".to_string()),
                (Platform::Slack, _) => Ok("1.7".to_string()),
                _ => Ok("9".to_string()),
            };
            assert_eq!(office.end_of(&format!("key-{number}")).await, ended, "{number}");
        }
        drop(process);
        println!("REL D12 {} {lost} lost answers, 0 messages seen twice", platform.word());
    }
}

/// D12: a process died while it was sending.
#[tokio::test]
async fn what_a_dead_process_was_sending_is_sent_again_only_where_copies_are_told_apart() {
    for (platform, ago_s, ended) in [
        (Platform::Slack, 5.0, Err("may_have_arrived")),
        (Platform::Discord, 5.0, Ok("9")),
        (Platform::Discord, 300.0, Err("may_have_arrived")),
    ] {
        let (office, fake) = (Office::open().await, Fake::start(platform).await);
        office.enqueues(&[message(platform, "C1", 1)]).await;
        office.dies_while_sending("key-1", ago_s).await;
        office.enqueues(&[message(platform, "C1", 2)]).await;
        office.process(&fake, SHORT);
        let ended = ended.map(str::to_string).map_err(str::to_string);
        assert_eq!(office.end_of("key-1").await, ended, "{platform:?} {ago_s}");
        assert!(office.end_of("key-2").await.is_ok(), "what waited behind it is sent");
        let numbers: Vec<_> = fake.calls().iter().filter_map(|it| it.number).collect();
        assert_eq!(numbers, if ended.is_ok() { vec![1, 2] } else { vec![2] });
    }
}

/// D12: the answer to the first try was lost, the second came too early; the platform tells copies apart no longer.
#[tokio::test]
async fn that_a_second_try_was_refused_says_nothing_of_the_first() {
    for (first_tried, ended) in
        [(true, Err("may_have_arrived".to_string())), (false, Ok("9".into()))]
    {
        let (office, fake) = (Office::open().await, Fake::start(Platform::Discord).await);
        fake.answers(|call| call.posts.then(|| limited(60)));
        office.enqueues(&[message(Platform::Discord, "C1", 1)]).await;
        if first_tried {
            office.dies_while_sending("key-1", 5.0).await;
        }
        let stop = CancellationToken::new();
        office.process_until(&fake, SHORT, &stop);
        let put_off = async || {
            let waits = "select count(*) from idp.outbox where not_before > clock_timestamp()";
            sqlx::query_scalar::<_, i64>(waits).fetch_one(&office.fresh.pool).await.unwrap()
        };
        until("it is put off", put_off, |count| *count == 1).await;
        office.stops(&stop).await;
        office.passes(300.0).await;
        fake.answers(|_| None);
        office.process(&fake, SHORT);
        assert_eq!(office.end_of("key-1").await, ended, "{first_tried}");
    }
}

#[tokio::test]
async fn what_is_written_down_twice_is_said_once() {
    let (office, fake) = (Office::open().await, Fake::start(Platform::Slack).await);
    // What a slow database does not take in time is said all the same, from memory.
    let process = office.process(&fake, Pauses { write: PATIENCE, ..SHORT });
    for _ in 0..3 {
        office.enqueues(&[message(Platform::Slack, "C1", 1)]).await;
        process.posts(message(Platform::Slack, "C1", 1)).await;
    }
    office.end_of("key-1").await.unwrap();
    process.posts(message(Platform::Slack, "C2", 2)).await;
    office.end_of("key-2").await.unwrap();
    assert_eq!(
        fake.told(),
        ["chat.postMessage C1 below 1.5", "chat.postMessage C2 below 1.5"],
        "the second is the control"
    );
}

#[tokio::test]
async fn what_is_rolled_back_is_never_said() {
    let (office, fake) = (Office::open().await, Fake::start(Platform::Slack).await);
    office.process(&fake, SHORT);
    let mut tx = office.fresh.pool.begin().await.unwrap();
    let posts = [message(Platform::Slack, "C1", 1)];
    idp::chat::outbox::flow::enqueue(&mut tx, &posts).await.unwrap();
    tx.rollback().await.unwrap();
    office.enqueues(&[message(Platform::Slack, "C1", 2)]).await;
    office.end_of("key-2").await.unwrap();
    let numbers: Vec<_> = fake.calls().iter().filter_map(|it| it.number).collect();
    assert_eq!(numbers, [2]);
}

/// A message that is not taken now holds up its own channel alone, and keeps its place there.
#[tokio::test]
async fn what_waits_keeps_its_place_and_holds_up_no_other_channel() {
    let (office, fake) = (Office::open().await, Fake::start(Platform::Slack).await);
    let is_suspended = Arc::new(AtomicBool::new(true));
    let suspended = is_suspended.clone();
    fake.answers(move |call| {
        let refused = json!({ "ok": false, "error": "ekm_access_denied" });
        let is_refused = call.channel == "C1" && suspended.load(Ordering::SeqCst);
        is_refused.then(|| axum::Json(refused).into_response())
    });
    office.process(&fake, SHORT);
    let posts = [("C1", 1), ("C1", 2), ("C2", 3)];
    let posts = posts.map(|(channel, number)| message(Platform::Slack, channel, number));
    office.enqueues(&posts).await;
    assert!(office.end_of("key-3").await.is_ok());
    assert_eq!(office.waiting().await, 2);
    is_suspended.store(false, Ordering::SeqCst);
    office.end_of("key-2").await.unwrap();
    let numbers: Vec<usize> = fake.calls().iter().filter_map(|it| it.number).collect();
    assert_eq!(numbers.iter().position(|it| *it == 2), Some(numbers.len() - 1), "{numbers:?}");
}

/// While the database is away a message is sent from memory, also to whom it must go directly.
#[tokio::test]
async fn without_a_database_a_message_is_sent_all_the_same() {
    for platform in BOTH {
        let (office, fake) = (Office::open().await, Fake::start(platform).await);
        let process = office.process(&fake, SHORT);
        office.app.db.store(Arc::new(None));
        process.posts(message(platform, "C1", 1)).await;
        assert_eq!(fake.calls().iter().filter_map(|it| it.number).collect::<Vec<_>>(), [1]);
        let outside = AtomicUsize::new(0);
        fake.answers(move |call| {
            let is_first = call.posts && outside.fetch_add(1, Ordering::SeqCst) == 0;
            let slack = json!({ "ok": false, "error": "not_in_channel", "code": 50_001 });
            let status = match platform {
                Platform::Slack => StatusCode::OK,
                _ => StatusCode::FORBIDDEN,
            };
            is_first.then(|| (status, axum::Json(slack)).into_response())
        });
        process.posts(message(platform, "C2", 2)).await;
        let expected: &[&str] = match platform {
            Platform::Slack => &["chat.postMessage C2 below 1.5", "chat.postMessage U-of-C2"],
            _ => &[
                "POST channels/C2/messages below 1.5",
                "POST users/@me/channels",
                "POST channels/D-U-of-C2/messages",
            ],
        };
        assert_eq!(fake.told(), expected);
    }
}

/// Who is told to stop sends nothing more; another process goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_leaves_another_sends() {
    let (office, fake) = (Office::open().await, Fake::start(Platform::Slack).await);
    let messages = at_full(1_000);
    let post = |number| message(Platform::Slack, &format!("C{}", number % 10), number);
    office.enqueues(&(0..messages).map(post).collect::<Vec<Post>>()).await;
    let mut sent = Vec::new();
    while office.waiting().await > 0 {
        let stop = CancellationToken::new();
        office.process_until(&fake, SHORT, &stop);
        let before = sent.len();
        let more = async || {
            sent.extend(fake.calls().iter().filter_map(|it| it.number));
            sent.len() > before || office.waiting().await == 0
        };
        until("something sent", more, |it| *it).await;
        stop.cancel();
    }
    sent.extend(fake.calls().iter().filter_map(|it| it.number));
    let distinct: HashSet<usize> = sent.iter().copied().collect();
    assert_eq!((sent.len(), distinct.len()), (messages, messages));
}

#[tokio::test]
async fn what_is_announced_is_said_once_in_each_of_its_places() {
    for platform in BOTH {
        let (office, fake) = (Office::open().await, Fake::start(platform).await);
        let place = |channel: Option<&str>, person: Option<&str>| Place {
            platform,
            channel: channel.map(str::to_string),
            person: person.map(str::to_string),
            thread: None,
        };
        let announcement = Announcement {
            key: "request 1".into(),
            places: vec![place(Some("C5"), None), place(None, Some("U7"))],
            markdown: None,
        };
        let process = office.process(&fake, SHORT);
        let said = message(platform, "C1", 1).reply;
        for _ in 0..3 {
            let mut db = office.fresh.pool.acquire().await.unwrap();
            announcements::store::write(&mut db, &announcement, &said).await.unwrap();
            for place in ["C5", "U7"] {
                office.end_of(&format!("announced request 1 {place}")).await.unwrap();
            }
        }
        // The control: something else is said as well.
        process.posts(message(platform, "C1", 2)).await;
        office.end_of("key-2").await.unwrap();
        let left = "select count(*) from idp.announcement";
        let left = async || sqlx::query_scalar(left).fetch_one(&office.fresh.pool).await.unwrap();
        until("taken", left, |count: &i64| *count == 0).await;
        let mut channels: Vec<String> =
            fake.calls().into_iter().filter(|it| it.posts).map(|it| it.channel).collect();
        channels.sort();
        let person = if platform == Platform::Discord { "D-U7" } else { "U7" };
        let mut expected = ["C1", "C5", person].map(str::to_string);
        expected.sort();
        assert_eq!(channels, expected, "{platform:?}");
    }
}
