//! A process ends at every named place from a click to the message that tells of it, for each class of receivers: nothing
//! is lost, and nothing is done twice.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use regex::Regex;
use sqlx::postgres::PgPoolOptions;
use tokio::time::sleep;

use crate::action_world::{
    Class, OWNER, PATIENCE, Process, Receivers, Story, TRIES, Way, World, alone, the_dead_let_go,
    time_passes,
};
use crate::address::address;
use crate::home::random;
use crate::scale::full_or;

/// How many requests are under way at a time.
const UNDER_WAY: usize = 6;
/// Crashes of each place and class.
const RUNS: usize = 25;

/// Where a process is only after another one died before it, and where that was.
const AFTER: [(&str, &str); 6] = [
    ("click-taken-up", "click-begun"),
    ("step-looked-for", "step-sent"),
    ("aside-told", "step-last-look"),
    ("aside-committed", "step-last-look"),
    ("settle-written", "step-last-look"),
    ("settle-committed", "step-last-look"),
];

/// Where only some classes are.
fn is_of(place: &str, class: Class) -> bool {
    match place {
        "aside-told" | "aside-committed" | "settle-written" | "settle-committed" => {
            class == Class::Blind
        }
        "step-looked-for" => class == Class::Searchable,
        "step-followed" => matches!(class, Class::Searchable | Class::Redeem),
        "step-let-go" => class != Class::Blind,
        "redeem-written" | "redeem-committed" => class == Class::Redeem,
        "report-written" | "report-committed" => class == Class::Idempotent,
        _ => true,
    }
}

/// Every place that the source names.
fn places() -> Vec<String> {
    let named = Regex::new(r#"reached\("([a-z-]+)"\)"#).unwrap();
    let mut places = BTreeSet::new();
    for file in walkdir::WalkDir::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let file = file.unwrap();
        if file.path().extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(file.path()).unwrap();
            places.extend(named.captures_iter(&text).map(|it| it[1].to_string()));
        }
    }
    places.into_iter().collect()
}

/// `idp serve` that ends at `place`, the `times`-th time.
fn armed(world: &World, way: &Way, url: &str, place: &str, times: usize) -> Process {
    world.serve(way.idp, url, &[("IDP_FAIL_POINT", &format!("abort:{times}:{place}"))])
}

/// Waits until `process` has ended itself; fails where it does not get there.
async fn ends_itself(world: &World, mut process: Process, place: &str) {
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        if let Some(ended) = process.ended() {
            break ended;
        }
        assert!(Instant::now() < deadline, "it is never at {place}\n{}", world.logged());
        sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(ended.signal(), Some(Signal::SIGABRT as i32), "{place}\n{}", world.logged());
}

/// Ends a process at each of `places`, one after another, while people ask and approve; what became of what they asked.
async fn crashes(
    world: &World,
    (way, url): (&Way, &str),
    class: Class,
    places: &[(String, usize)],
) -> Vec<Story> {
    let stop = AtomicBool::new(false);
    let person = async || {
        let mut stories = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            stories.push(world.story(way, class).await);
        }
        stories
    };
    let crashing = async {
        for (place, times) in places {
            if let Some((_, before)) = AFTER.iter().find(|(it, _)| it == place) {
                ends_itself(world, armed(world, way, url, before, 1), before).await;
                the_dead_let_go(&way.db).await;
            }
            ends_itself(world, armed(world, way, url, place, *times), place).await;
            the_dead_let_go(&way.db).await;
        }
        stop.store(true, Ordering::Relaxed);
        world.serve(way.idp, url, &[])
    };
    let people = join_all((0..UNDER_WAY).map(|_| person()));
    // The last process stays until everybody has what they asked for.
    let (stories, _last) = tokio::join!(people, crashing);
    stories.into_iter().flatten().collect()
}

/// The places of `class`, in any order, and at which time there.
fn in_any_order(random: &mut StdRng, class: Class) -> Vec<(String, usize)> {
    let mut all = Vec::new();
    for place in places().into_iter().filter(|it| is_of(it, class)) {
        // What one dead process left it is at once.
        let most = if AFTER.iter().any(|(it, _)| *it == place) { 1 } else { 2 };
        all.push((place, random.random_range(1..=most)));
    }
    all.shuffle(random);
    all
}

/// What became of what people asked for while processes ended.
#[derive(Default)]
struct Told {
    crashes: usize,
    stories: Vec<Story>,
    resent: usize,
}

impl Told {
    fn doubles(&self) -> Vec<&Story> {
        self.stories.iter().filter(|it| it.runs > 1).collect()
    }

    /// What was asked for and not done, or not said to be.
    fn lost(&self) -> Vec<&Story> {
        let is_lost = |it: &&Story| match it.class {
            // What a person said of it is the truth.
            Class::Blind => (it.state == "succeeded") != (it.runs == 1),
            _ => it.runs == 0 || it.state != "succeeded",
        };
        self.stories.iter().filter(is_lost).collect()
    }
}

/// A world of its own, in which processes end at `places` while people have things done of `class`.
async fn ends_at(places: &[(String, usize)], class: Class, receivers: Receivers) -> Told {
    let idp = address();
    let world = World::open(idp, receivers).await;
    let (started, url) = world.database().await;
    let db = PgPoolOptions::new().max_connections(8).connect(&url).await.unwrap();
    let way = Way { idp, db };
    let stories = tokio::select! {
        stories = crashes(&world, (&way, &url), class, places) => stories,
        () = world.receivers_work(&way) => unreachable!("they work until they are dropped"),
        () = time_passes(&way.db) => unreachable!("it passes until it is dropped"),
    };
    way.db.close().await;
    started.leave().await.unwrap();
    Told { crashes: places.len(), stories, resent: world.hooks.resent() }
}

/// Ends processes everywhere while people have things done of `class`; what nobody asked for, and what is missing.
async fn everywhere(class: Class) {
    let mut random = random("crash matrix");
    let from = Instant::now();
    let mut told = Told::default();
    let all = RUNS * in_any_order(&mut random, class).len();
    let all = full_or(all, all.div_ceil(10));
    while told.crashes < all {
        let mut places = in_any_order(&mut random, class);
        places.truncate(all - told.crashes);
        let more = ends_at(&places, class, Receivers::Careful).await;
        told.crashes += more.crashes;
        told.stories.extend(more.stories);
        told.resent += more.resent;
        println!("crash matrix: {} of {all} {}", told.crashes, class.word());
        let (double, lost) = (told.doubles(), told.lost());
        assert!(double.is_empty() && lost.is_empty(), "double {double:?}, lost {lost:?}");
    }
    println!(
        "REL R2 crash matrix class={} crashes={} requests={} double={} lost={} cards_twice={} cards_given_up={} resent={} s={:.0}",
        class.word(),
        told.crashes,
        told.stories.len(),
        told.doubles().len(),
        told.lost().len(),
        told.stories.iter().map(|it| it.cards.saturating_sub(1)).sum::<usize>(),
        told.stories.iter().filter(|it| !it.is_shown).count(),
        told.resent,
        from.elapsed().as_secs_f64(),
    );
}

#[test]
fn a_process_may_end_anywhere_between_a_click_and_its_message() {
    thread::scope(|it| {
        for class in Class::ALL {
            it.spawn(move || alone(everywhere(class)));
        }
    });
}

/// The control of "nothing twice": what receivers guard is done twice where they do not.
#[test]
fn careless_receivers_do_twice_what_a_process_had_sent_when_it_ended() {
    let control = async |class: Class| {
        let places = vec![("step-sent".to_string(), 1); 2];
        let (mut tries, mut double) = (0, 0);
        while double == 0 && tries < TRIES {
            double = ends_at(&places, class, Receivers::Careless).await.doubles().len();
            tries += 1;
        }
        let crashes = tries * places.len();
        println!(
            "REL R2 control=careless_receivers class={} crashes={crashes} double={double}",
            class.word()
        );
        assert!(double > 0);
    };
    thread::scope(|it| {
        for class in Class::ALL {
            it.spawn(move || alone(control(class)));
        }
    });
}

/// The control of "nothing lost": a click of which nothing was written down before it was acknowledged.
#[test]
fn a_click_that_is_written_down_nowhere_is_lost() {
    alone(async {
        let idp = address();
        let world = World::open(idp, Receivers::Careful).await;
        let (started, url) = world.database().await;
        let way = Way { idp, db: PgPoolOptions::new().connect(&url).await.unwrap() };
        let story = async {
            let (reason, channel) = ("reason-lost", "C-lost");
            let first = world.serve(idp, &url, &[]);
            let id = world.asks(&way, Class::Blind, reason, channel).await;
            let button = format!("approve {id}");
            let words =
                world.sooner_or_later(&button, async || world.slack.button(channel, &button));
            let words = words.await;
            drop(first);
            the_dead_let_go(&way.db).await;
            let second = armed(&world, &way, &url, "click-begun", 1);
            let click = async || world.clicks(&way, OWNER, channel, &words).await;
            world.sooner_or_later("a click that is acknowledged", click).await;
            ends_itself(&world, second, "click-begun").await;
            sqlx::query("delete from idp.inbox where done_at is null")
                .execute(&way.db)
                .await
                .unwrap();
            let _third = world.serve(idp, &url, &[]);
            // Whatever there was to do is done by then.
            world.story(&way, Class::Blind).await;
            let found = "select state || ' ' || (select count(*) from idp.vote where request = id)
                         from idp.request where id = $1";
            let found = sqlx::query_scalar::<_, String>(found).bind(id).fetch_one(&way.db).await;
            assert_eq!(found.unwrap(), "pending 0");
        };
        tokio::select! {
            () = story => {}
            () = world.receivers_work(&way) => unreachable!("they work until they are dropped"),
            () = time_passes(&way.db) => unreachable!("it passes until it is dropped"),
        }
        println!("REL R2 control=not_written_down clicks=1 lost=1");
        way.db.close().await;
        started.leave().await.unwrap();
    });
}

#[test]
fn there_are_at_least_forty_places_for_each_class() {
    let places = places();
    for class in Class::ALL {
        let count = places.iter().filter(|it| is_of(it, class)).count();
        println!("REL R2 places class={} {count}", class.word());
        assert!(count >= 40, "{class:?}: {count}");
    }
}
