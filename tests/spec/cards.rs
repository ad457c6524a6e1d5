//! Cards: each is one message in its place, which is edited and shows the last state, whatever breaks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use idp::announcements::{Place, store};
use idp::conversation::{Platform, Reply, mention};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::outbox_world::{Office, SHORT, limited};
use crate::scale::at_full;
use crate::waiting::until;
use crate::wall::{Fate, Heard, Message, Wall, Wish, refused};

const BOTH: [Platform; 2] = [Platform::Slack, Platform::Discord];

fn channel(platform: Platform, channel: &str) -> Place {
    Place { platform, channel: Some(channel.into()), person: None, thread: None }
}

fn state(number: usize) -> Reply {
    Reply::markdown(format!("## Restart payment-api\n\nIt is numbered{number}."))
}

impl Office {
    /// What is said under `key` in `places` is the state of this number from now on.
    async fn shows(&self, key: &str, places: &[Place], number: usize) {
        let mut db = self.fresh.pool.acquire().await.unwrap();
        store::show(&mut db, key, places, &state(number)).await.unwrap();
    }

    async fn says_below(&self, key: &str, id: &str, number: usize) {
        let mut db = self.fresh.pool.acquire().await.unwrap();
        store::say_below(&mut db, key, id, &state(number)).await.unwrap();
    }

    /// Everything shows its last state, or never will.
    async fn is_done(&self) {
        let open = "select (select count(*) from idp.card where version > done_version)
                      + (select count(*) from idp.card_line where said_at is null)
                      + (select count(*) from idp.outbox where done_at is null)";
        let look =
            async || sqlx::query_scalar::<_, i64>(open).fetch_one(&self.fresh.pool).await.unwrap();
        until("everything shown", look, |count| *count == 0).await;
    }

    /// Why the cards of this key do not show their last state.
    async fn failures(&self, key: &str) -> Vec<Option<String>> {
        let failures = "select failure from idp.card where key = $1 order by id";
        sqlx::query_scalar(failures).bind(key).fetch_all(&self.fresh.pool).await.unwrap()
    }

    async fn runs(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.fresh.pool).await.unwrap();
    }
}

fn edits(heard: &[Heard]) -> usize {
    heard.iter().filter(|it| it.wish == Wish::Edit).count()
}

#[tokio::test]
async fn a_card_is_one_message_in_each_place_and_is_edited_there() {
    for platform in BOTH {
        let (office, wall) = (Office::open().await, Wall::start(platform).await);
        office.process_at(platform, wall.address, SHORT);
        let person = Place { platform, channel: None, person: Some("U7".into()), thread: None };
        let places = [channel(platform, "C5"), person];
        office.shows("request 1", &places, 1).await;
        office.is_done().await;
        office.shows("request 1", &places, 2).await;
        office.is_done().await;
        // Also where somebody else shows it, who knows of no place.
        office.shows("request 1", &[], 3).await;
        office.is_done().await;
        office.shows("request 1", &places, 3).await;
        // The control: something else is said as well.
        office.shows("request 2", &places[..1], 9).await;
        office.is_done().await;
        let mut messages = wall.messages();
        messages.sort_by(|one, other| one.channel.cmp(&other.channel));
        let said: Vec<(&str, &[usize])> =
            messages.iter().map(|it| (it.channel.as_str(), it.states.as_slice())).collect();
        let expected: [(&str, &[usize]); 3] =
            [("C5", &[1, 2, 3]), ("C5", &[9]), ("D-U7", &[1, 2, 3])];
        assert_eq!(said, expected, "{platform:?}");
    }
}

#[tokio::test]
async fn who_is_mentioned_is_called_by_the_message_and_by_no_edit() {
    for platform in BOTH {
        let (office, wall) = (Office::open().await, Wall::start(platform).await);
        office.process_at(platform, wall.address, SHORT);
        let ada = mention("Ada", &[(Platform::Slack, "U1"), (Platform::Discord, "1")]);
        let places = [channel(platform, "C5")];
        for said in [format!("Asks {ada}"), format!("Still asks {ada}"), "Done".to_string()] {
            let mut db = office.fresh.pool.acquire().await.unwrap();
            store::show(&mut db, "request 1", &places, &Reply::markdown(said)).await.unwrap();
            drop(db);
            office.is_done().await;
        }
        let bodies: Vec<_> = wall.heard().into_iter().map(|it| it.body).collect();
        assert_eq!(bodies.len(), 3, "{bodies:?}");
        if platform == Platform::Slack {
            let element = json!({ "type": "user", "user_id": "U1" });
            let mentions =
                |number: usize| bodies[number].to_string().contains(&element.to_string());
            assert_eq!([mentions(0), mentions(1), mentions(2)], [true, true, false]);
            assert_eq!(bodies[1].get("unfurl_links"), None, "it is no argument of chat.update");
        } else {
            let contents: Vec<_> = bodies.iter().map(|it| it["content"].clone()).collect();
            assert_eq!(contents, ["<@1>", "<@1>", ""]);
            assert_eq!(bodies[0]["allowed_mentions"]["users"], json!(["1"]));
            for edit in &bodies[1..] {
                assert_eq!(edit["allowed_mentions"], json!({ "parse": [] }));
            }
        }
    }
}

#[tokio::test]
async fn what_is_rolled_back_is_not_shown() {
    let (office, wall) = (Office::open().await, Wall::start(Platform::Slack).await);
    office.process_at(Platform::Slack, wall.address, SHORT);
    let places = [channel(Platform::Slack, "C5")];
    office.shows("request 1", &places, 1).await;
    let mut tx = office.fresh.pool.begin().await.unwrap();
    store::show(&mut tx, "request 1", &places, &state(2)).await.unwrap();
    store::show(&mut tx, "request 2", &places, &state(2)).await.unwrap();
    store::say_below(&mut tx, "request 1", "a", &state(2)).await.unwrap();
    tx.rollback().await.unwrap();
    office.shows("request 1", &places, 3).await;
    office.is_done().await;
    assert!(wall.states().concat().iter().all(|it| *it != 2), "{:?}", wall.states());
}

/// The second state is on its way, and slow; the third comes meanwhile, and there is another process to show it.
/// `loses_hold`: whoever shows the second does not hold the card any more.
async fn overtaken(platform: Platform, loses_hold: bool) -> Vec<usize> {
    let (office, wall) = (Office::open().await, Wall::start(platform).await);
    let places = [channel(platform, "C5")];
    for _ in 0..2 {
        office.process_at(platform, wall.address, SHORT);
    }
    office.shows("request 1", &places, 1).await;
    office.is_done().await;
    let told = Arc::new(Notify::new());
    let (arrives, is_first) = (told.clone(), AtomicBool::new(true));
    wall.decides(move |heard| match heard.number == 2 && is_first.swap(false, Ordering::SeqCst) {
        true => Fate::DoneAfter(arrives.clone()),
        false => Fate::Done,
    });
    office.shows("request 1", &places, 2).await;
    let asked = async || edits(&wall.heard());
    until("the second on its way", asked, |count| *count == 1).await;
    office.shows("request 1", &places, 3).await;
    if loses_hold {
        office.runs("update idp.card set held_until = clock_timestamp()").await;
        until("the third", async || wall.states(), |it| it[0] == [1, 3]).await;
    } else {
        // Whoever would overtake it has the time to.
        for _ in 0..20 {
            office.shows("request 2", &places, 9).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(wall.states()[0], [1]);
    }
    told.notify_one();
    until(
        "the third is what stays",
        async || wall.states(),
        |it| it[0].len() >= 3 && it[0].ends_with(&[3]),
    )
    .await;
    office.is_done().await;
    wall.states()[0].clone()
}

#[tokio::test]
async fn no_state_is_shown_after_a_later_one() {
    for platform in BOTH {
        assert_eq!(overtaken(platform, false).await, [1, 2, 3], "{platform:?}");
    }
}

/// The control: without its hold the slow edit comes last. Whoever made it notices, and the last state is shown again.
#[tokio::test]
async fn without_a_hold_an_old_state_comes_last_and_is_mended() {
    for platform in BOTH {
        assert_eq!(overtaken(platform, true).await, [1, 3, 2, 3], "{platform:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_hour_away_each_card_shows_its_last_state_once() {
    for platform in BOTH {
        let (office, wall) = (Office::open().await, Wall::start(platform).await);
        let cards = at_full(200);
        let place = |card: usize| [channel(platform, &format!("C{}", card % 10))];
        for _ in 0..2 {
            office.process_at(platform, wall.address, SHORT);
        }
        // Every other is there before.
        for card in (0..cards).step_by(2) {
            office.shows(&format!("request {card}"), &place(card), 1).await;
        }
        office.is_done().await;
        let away = || Fate::Refused(StatusCode::SERVICE_UNAVAILABLE.into_response());
        wall.decides(move |_| away());
        for number in 2..=6 {
            for card in 0..cards {
                office.shows(&format!("request {card}"), &place(card), number).await;
            }
        }
        until("known to be away", async || wall.heard().len(), |count| *count > 0).await;
        let before = wall.heard().len();
        wall.decides(|_| Fate::Done);
        office.is_done().await;
        let states = wall.states();
        assert_eq!(states.len(), cards, "{platform:?}");
        let mut shown: HashMap<&[usize], usize> = HashMap::new();
        states.iter().for_each(|it| *shown.entry(it.as_slice()).or_default() += 1);
        // What was under way when it came back may show one state more.
        let once = shown.get(&[1, 6][..]).unwrap_or(&0) + shown.get(&[6][..]).unwrap_or(&0);
        assert!(states.iter().all(|it| it.ends_with(&[6]) && it.is_sorted()), "{shown:?}");
        assert!(once + 4 >= cards, "{shown:?}");
        println!(
            "REL D11 {} {cards} cards, 5 states while away ({before} calls): each shows the last, {once} of them at once",
            platform.word()
        );
    }
}

#[tokio::test]
async fn a_card_whose_answer_was_lost_is_posted_again_and_edited_where_it_is_known() {
    for platform in BOTH {
        let (office, wall) = (Office::open().await, Wall::start(platform).await);
        let places = [channel(platform, "C5")];
        let is_first = AtomicBool::new(true);
        wall.decides(move |heard| match heard.wish {
            Wish::Post if is_first.swap(false, Ordering::SeqCst) => Fate::Unanswered,
            _ => Fate::Done,
        });
        office.process_at(platform, wall.address, SHORT);
        office.shows("request 1", &places, 1).await;
        office.is_done().await;
        let is_first = AtomicBool::new(true);
        wall.decides(move |heard| match heard.wish {
            Wish::Edit if is_first.swap(false, Ordering::SeqCst) => Fate::Unanswered,
            _ => Fate::Done,
        });
        office.shows("request 1", &places, 2).await;
        office.is_done().await;
        let expected: &[&[usize]] = match platform {
            // Slack cannot be asked: the copy stays as it is, and does nothing.
            Platform::Slack => &[&[1], &[1, 2, 2]],
            _ => &[&[1, 2, 2]],
        };
        assert_eq!(wall.states(), expected, "{platform:?}");
        assert_eq!(office.failures("request 1").await, [None]);
    }
}

#[tokio::test]
async fn a_card_whose_answers_are_all_lost_is_given_up_until_it_has_another_state() {
    let (office, wall) = (Office::open().await, Wall::start(Platform::Slack).await);
    let places = [channel(Platform::Slack, "C5")];
    wall.decides(|heard| match heard.wish {
        Wish::Post => Fate::Unanswered,
        _ => Fate::Done,
    });
    office.process_at(Platform::Slack, wall.address, SHORT);
    office.shows("request 1", &places, 1).await;
    office.is_done().await;
    assert_eq!(wall.states(), [[1], [1], [1]]);
    assert_eq!(office.failures("request 1").await, [Some("may_have_arrived".into())]);
    wall.decides(|_| Fate::Done);
    office.shows("request 1", &places, 2).await;
    office.is_done().await;
    assert_eq!(wall.states(), [[1], [1], [1], [2]]);
}

#[tokio::test]
async fn a_card_that_somebody_deletes_is_posted_again_while_it_is_live() {
    for platform in BOTH {
        let codes = match platform {
            Platform::Slack => vec!["message_not_found", "edit_window_closed"],
            _ => vec!["10008"],
        };
        for (code, is_live) in codes.iter().flat_map(|code| [(code, true), (code, false)]) {
            let (office, wall) = (Office::open().await, Wall::start(platform).await);
            let places = [channel(platform, "C5")];
            office.process_at(platform, wall.address, SHORT);
            office.shows("request 1", &places, 1).await;
            office.is_done().await;
            wall.is_cleared();
            let code = (*code).to_string();
            wall.decides(move |heard| match heard.wish {
                Wish::Edit if heard.number == 2 => Fate::Refused(refused(platform, &code)),
                _ => Fate::Done,
            });
            if !is_live {
                let mut db = office.fresh.pool.acquire().await.unwrap();
                store::end(&mut db, "request 1").await.unwrap();
            }
            office.shows("request 1", &places, 2).await;
            office.is_done().await;
            if is_live {
                assert_eq!(wall.states(), [[2]], "{platform:?}");
                office.shows("request 1", &places, 3).await;
                office.is_done().await;
                assert_eq!(wall.states(), [[2, 3]], "{platform:?}");
            } else {
                assert_eq!(wall.states(), [[0; 0]; 0], "{platform:?}");
                assert_eq!(office.failures("request 1").await, [Some("gone".into())]);
            }
        }
    }
}

#[tokio::test]
async fn an_edit_that_is_refused_is_not_tried_again_for_the_same_state() {
    let of_slack = ["channel_not_found", "is_archived", "not_in_channel", "an_error_of_tomorrow"];
    let of_discord = ["10003", "50001", "50013", "50083", "50035"];
    for platform in BOTH {
        let codes: &[&str] = if platform == Platform::Slack { &of_slack } else { &of_discord };
        for code in codes {
            let (office, wall) = (Office::open().await, Wall::start(platform).await);
            let places = [channel(platform, "C5")];
            office.process_at(platform, wall.address, SHORT);
            office.shows("request 1", &places, 1).await;
            office.is_done().await;
            wall.heard();
            let said = (*code).to_string();
            wall.decides(move |heard| match heard.wish {
                Wish::Edit => Fate::Refused(refused(platform, &said)),
                _ => Fate::Done,
            });
            for number in 2..=3 {
                office.shows("request 1", &places, number).await;
                office.is_done().await;
                assert_eq!(edits(&wall.heard()), 1, "{code} {number}");
            }
            let failures = office.failures("request 1").await;
            assert!(
                matches!(failures[0].as_deref(), Some("refused" | "ours")),
                "{code}: {failures:?}"
            );
            // Somebody has mended it.
            wall.decides(|_| Fate::Done);
            office.shows("request 1", &places, 4).await;
            office.is_done().await;
            assert_eq!(wall.states(), [[1, 4]], "{code}");
            assert_eq!(office.failures("request 1").await, [None], "{code}");
        }
    }
}

#[tokio::test]
async fn an_edit_that_comes_too_early_waits_as_long_as_the_platform_asks() {
    for platform in BOTH {
        let (office, wall) = (Office::open().await, Wall::start(platform).await);
        let places = [channel(platform, "C5")];
        office.process_at(platform, wall.address, SHORT);
        office.shows("request 1", &places, 1).await;
        office.is_done().await;
        wall.heard();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        wall.decides(move |heard| match heard.wish {
            Wish::Edit if counted.fetch_add(1, Ordering::SeqCst) == 0 => Fate::Refused(limited(1)),
            _ => Fate::Done,
        });
        let asked = std::time::Instant::now();
        office.shows("request 1", &places, 2).await;
        until("limited", async || calls.load(Ordering::SeqCst), |count| *count > 0).await;
        office.shows("request 1", &places, 3).await;
        office.is_done().await;
        assert_eq!(wall.states(), [[1, 3]], "{platform:?}");
        assert_eq!(calls.load(Ordering::SeqCst), 2, "{platform:?}");
        assert!(asked.elapsed().as_millis() >= 1_000, "{platform:?}");
    }
}

/// A process died between what it asked of the platform and what it would have written down.
#[tokio::test]
async fn what_a_dead_process_was_editing_is_edited_once_its_hold_ends() {
    for platform in BOTH {
        let (office, wall) = (Office::open().await, Wall::start(platform).await);
        let places = [channel(platform, "C5")];
        let stop = CancellationToken::new();
        office.process_until_at(platform, wall.address, SHORT, &stop);
        office.shows("request 1", &places, 1).await;
        office.is_done().await;
        office.stops(&stop).await;
        wall.heard();
        let mut tx = office.fresh.pool.begin().await.unwrap();
        store::show(&mut tx, "request 1", &places, &state(2)).await.unwrap();
        let held =
            "update idp.card set hold = hold + 1, held_until = clock_timestamp() + interval '60 s'";
        sqlx::query(held).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        office.process_at(platform, wall.address, SHORT);
        // The control: another card is edited, this one is not while the dead holds it.
        office.shows("request 2", &places, 1).await;
        until("the other", async || wall.states(), |it| it.len() == 2).await;
        assert_eq!(wall.states()[0], [1]);
        office.runs("update idp.card set held_until = clock_timestamp()").await;
        office.is_done().await;
        assert_eq!(wall.states()[0], [1, 2], "{platform:?}");
    }
}

/// Processes come and go while states do; each sends what it has taken, and takes nothing that another has.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_process_goes_each_card_is_there_once_and_shows_its_last_state() {
    for platform in BOTH {
        let (office, wall) = (Office::open().await, Wall::start(platform).await);
        let (cards, states) = (at_full(100), 8);
        office.process_at(platform, wall.address, SHORT);
        for number in 1..=states {
            let stop = CancellationToken::new();
            for _ in 0..2 {
                office.process_until_at(platform, wall.address, SHORT, &stop);
            }
            for card in 0..cards {
                let places = [channel(platform, &format!("C{}", card % 7))];
                office.shows(&format!("request {card}"), &places, number).await;
            }
            stop.cancel();
        }
        office.is_done().await;
        let shown = wall.states();
        assert_eq!(shown.len(), cards, "{platform:?}");
        let wrong = shown.iter().filter(|it| !it.is_sorted() || !it.ends_with(&[states]));
        assert_eq!(wrong.count(), 0, "{platform:?}: {shown:?}");
        println!(
            "REL cards {} {cards} cards of {states} states by processes that come and go: 0 lost, 0 twice, \
             0 out of order",
            platform.word()
        );
    }
}

#[tokio::test]
async fn what_is_said_below_a_card_follows_it_in_its_order_and_once() {
    for platform in BOTH {
        let (office, wall) = (Office::open().await, Wall::start(platform).await);
        let places = [channel(platform, "C5")];
        let told = Arc::new(Notify::new());
        let arrives = told.clone();
        wall.decides(move |heard| match (heard.wish, heard.number) {
            (Wish::Post, 1) => Fate::DoneAfter(arrives.clone()),
            _ => Fate::Done,
        });
        for _ in 0..2 {
            office.process_at(platform, wall.address, SHORT);
        }
        // Nothing is shown of it yet, so that nobody hears it.
        office.says_below("request 1", "early", 10).await;
        office.shows("request 1", &places, 1).await;
        for (id, number) in [("a", 11), ("b", 12), ("a", 13), ("c", 14)] {
            office.says_below("request 1", id, number).await;
        }
        until("the card on its way", async || wall.heard().len(), |count| *count == 1).await;
        assert_eq!(wall.states(), [[0; 0]; 0]);
        told.notify_one();
        office.is_done().await;
        office.says_below("request 1", "a", 15).await;
        office.says_below("request 1", "d", 16).await;
        office.shows("request 1", &places, 2).await;
        office.is_done().await;
        let messages = wall.messages();
        let card = &messages[0];
        assert_eq!(card.states, [1, 2], "{platform:?}");
        let lines: Vec<(usize, &Message)> =
            messages[1..].iter().map(|it| (it.states[0], it)).collect();
        assert_eq!(lines.iter().map(|it| it.0).collect::<Vec<_>>(), [11, 12, 14, 16]);
        for (number, line) in lines {
            assert_eq!(line.below, Some(below(platform, &card.id)), "{platform:?} {number}");
            assert_eq!(line.states.len(), 1, "{platform:?} {number}");
        }
    }
}

/// How what stands below the message of this id says so.
fn below(platform: Platform, id: &str) -> String {
    match platform {
        Platform::Slack => id.into(),
        _ => format!("thread {id}"),
    }
}

/// What a line below a card stands below, where a card is shown by whoever `decides`, and the calls in their order.
async fn line_of(decides: impl FnMut(&Heard) -> Fate + Send + 'static) -> (String, Vec<Wish>) {
    let (office, wall) = (Office::open().await, Wall::start(Platform::Discord).await);
    office.process_at(Platform::Discord, wall.address, SHORT);
    office.shows("request 1", &[channel(Platform::Discord, "5")], 1).await;
    office.is_done().await;
    wall.heard();
    wall.decides(decides);
    office.says_below("request 1", "a", 11).await;
    office.is_done().await;
    let lines: Vec<Message> = wall.messages().split_off(1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let wishes = wall.heard().into_iter().map(|it| it.wish).collect();
    (lines[0].below.clone().unwrap_or_default(), wishes)
}

#[tokio::test]
async fn a_thread_of_discord_is_begun_once_and_called_as_the_card_is() {
    let (office, wall) = (Office::open().await, Wall::start(Platform::Discord).await);
    office.process_at(Platform::Discord, wall.address, SHORT);
    office.shows("request 1", &[channel(Platform::Discord, "5")], 1).await;
    for (id, number) in [("a", 11), ("b", 12)] {
        office.says_below("request 1", id, number).await;
    }
    office.is_done().await;
    let heard = wall.heard();
    let begun: Vec<_> = heard.iter().filter(|it| it.wish == Wish::Thread).collect();
    assert_eq!(begun.len(), 1);
    assert_eq!(begun[0].body, json!({ "name": "Restart payment-api" }));
    assert_eq!(begun[0].channel, "5");
}

#[tokio::test]
async fn where_there_can_be_no_thread_in_discord_the_card_is_replied_to() {
    let discord = Platform::Discord;
    // A thread is not begun; the message is gone; there are threads enough; there is one, and it is closed.
    for code in ["50024", "50013", "10008", "160006"] {
        let no_thread = move |heard: &Heard| match heard.wish {
            Wish::Thread => Fate::Refused(refused(discord, code)),
            _ => Fate::Done,
        };
        assert_eq!(line_of(no_thread).await.0, "901", "{code}");
    }
    let closed = move |heard: &Heard| match (heard.wish, heard.channel.as_str()) {
        (Wish::Post, "901") => Fate::Refused(refused(discord, "50083")),
        _ => Fate::Done,
    };
    let (below, wishes) = line_of(closed).await;
    assert_eq!((below.as_str(), &wishes[..]), ("901", &[Wish::Post, Wish::Post][..]));
}

#[tokio::test]
async fn a_thread_that_somebody_else_began_meanwhile_is_the_thread() {
    let begun_by_another = |heard: &Heard| match heard.wish {
        Wish::Thread => Fate::AfterAnother,
        _ => Fate::Done,
    };
    let lost = |heard: &Heard| match heard.wish {
        Wish::Thread => Fate::Unanswered,
        _ => Fate::Done,
    };
    let (below, wishes) = line_of(begun_by_another).await;
    assert_eq!(
        (below.as_str(), &wishes[..]),
        ("thread 901", &[Wish::Post, Wish::Thread, Wish::Post][..])
    );
    assert_eq!(line_of(lost).await.0, "thread 901");
}

#[tokio::test]
async fn a_card_in_a_thread_stands_there_and_what_is_said_below_it_too() {
    let (office, wall) = (Office::open().await, Wall::start(Platform::Slack).await);
    office.process_at(Platform::Slack, wall.address, SHORT);
    let place = Place { thread: Some("1.77".into()), ..channel(Platform::Slack, "C5") };
    office.shows("request 1", &[place], 1).await;
    office.says_below("request 1", "a", 11).await;
    office.is_done().await;
    office.shows("request 1", &[], 2).await;
    office.is_done().await;
    let messages = wall.messages();
    let below: Vec<_> = messages.iter().map(|it| it.below.as_deref()).collect();
    assert_eq!(below, [Some("1.77"), Some("1.77")]);
    assert_eq!(wall.states(), [vec![1, 2], vec![11]]);
}

#[tokio::test]
async fn a_card_that_waited_for_a_day_is_given_up() {
    let (office, wall) = (Office::open().await, Wall::start(Platform::Slack).await);
    let places = [channel(Platform::Slack, "C5")];
    let stop = CancellationToken::new();
    office.process_until_at(Platform::Slack, wall.address, SHORT, &stop);
    office.shows("request 1", &places, 1).await;
    office.is_done().await;
    office.stops(&stop).await;
    office.shows("request 1", &places, 2).await;
    office.shows("request 2", &[channel(Platform::Discord, "C5")], 1).await;
    office.runs("update idp.card set changed_at = changed_at - interval '25 hours', not_before = clock_timestamp() + interval '1 hour'").await;
    office.process_at(Platform::Slack, wall.address, SHORT);
    office.is_done().await;
    for key in ["request 1", "request 2"] {
        assert_eq!(office.failures(key).await, [Some("expired".into())], "{key}");
    }
    assert_eq!(wall.states(), [[1]]);
}

#[tokio::test]
async fn nothing_is_shown_in_a_channel_that_another_company_reads() {
    let (office, wall) = (Office::open().await, Wall::start(Platform::Slack).await);
    wall.shares("C5");
    office.process_at(Platform::Slack, wall.address, SHORT);
    // The control: another channel.
    let places = ["C5", "C6"].map(|it| channel(Platform::Slack, it));
    office.shows("request 1", &places, 1).await;
    office.says_below("request 1", "a", 11).await;
    let refused = async || office.failures("request 1").await;
    until("refused", refused, |it| it[0].as_deref() == Some("refused")).await;
    until("the other", async || wall.states(), |it| *it == [[1], [11]]).await;
    assert!(wall.messages().iter().all(|it| it.channel == "C6"));
}

#[tokio::test]
async fn a_card_in_a_channel_that_another_company_was_let_into_is_not_edited() {
    let (office, wall) = (Office::open().await, Wall::start(Platform::Slack).await);
    let places = [channel(Platform::Slack, "C5")];
    let stop = CancellationToken::new();
    office.process_until_at(Platform::Slack, wall.address, SHORT, &stop);
    office.shows("request 1", &places, 1).await;
    office.is_done().await;
    office.stops(&stop).await;
    wall.shares("C5");
    office.process_at(Platform::Slack, wall.address, SHORT);
    office.shows("request 1", &places, 2).await;
    office.is_done().await;
    assert_eq!(wall.states(), [[1]]);
    assert_eq!(office.failures("request 1").await, [Some("refused".into())]);
}
