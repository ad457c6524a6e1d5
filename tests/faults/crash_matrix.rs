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
    Class, PATIENCE, Process, Story, THE_DEAD_LET_GO, Way, World, address, alone, each, time_passes,
};
use crate::home::random;
use crate::scale::full_or;

/// How many requests are under way at a time.
const UNDER_WAY: usize = 6;
/// Crashes of each place and class.
const RUNS: usize = 25;
/// How many of them, for each class, where not all are wanted: each costs the start of a process.
const SAMPLE: usize = 12;

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
                each(&way.db, &THE_DEAD_LET_GO).await.unwrap();
            }
            ends_itself(world, armed(world, way, url, place, *times), place).await;
            each(&way.db, &THE_DEAD_LET_GO).await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        world.serve(way.idp, url, &[])
    };
    let people = join_all((0..UNDER_WAY).map(|_| person()));
    // The last process stays until everybody has what they asked for.
    let (stories, _last) = tokio::join!(people, crashing);
    stories.into_iter().flatten().collect()
}

/// The places of `class`, each so many times, in any order.
fn in_any_order(random: &mut StdRng, class: Class, runs: f64) -> Vec<(String, usize)> {
    let mut all = Vec::new();
    for place in places().into_iter().filter(|it| is_of(it, class)) {
        let whole = runs.floor() as usize + usize::from(random.random_bool(runs.fract()));
        // What one dead process left it is at once.
        let most = if AFTER.iter().any(|(it, _)| *it == place) { 1 } else { 2 };
        all.extend((0..whole).map(|_| (place.clone(), random.random_range(1..=most))));
    }
    all.shuffle(random);
    all.truncate(full_or(usize::MAX, SAMPLE));
    all
}

/// Ends processes everywhere while people have things done of `class`; what nobody asked for, and what is missing.
async fn everywhere(class: Class) {
    let mut random = random("crash matrix");
    let runs = full_or(RUNS, 1) as f64;
    let idp = address();
    let world = World::open(idp).await;
    let (started, url) = world.database().await;
    let db = PgPoolOptions::new().max_connections(8).connect(&url).await.unwrap();
    let way = Way { idp, db };
    let places = in_any_order(&mut random, class, runs);
    let from = Instant::now();
    let stories = tokio::select! {
        stories = crashes(&world, (&way, &url), class, &places) => stories,
        () = world.receivers_work(&way) => unreachable!("they work until they are dropped"),
        () = time_passes(&way.db) => unreachable!("it passes until it is dropped"),
    };
    let double: Vec<&Story> = stories.iter().filter(|it| it.runs > 1).collect();
    let is_lost = |it: &&Story| match class {
        // What a person said of it is the truth.
        Class::Blind => (it.state == "succeeded") != (it.runs == 1),
        _ => it.runs == 0 || it.state != "succeeded",
    };
    let lost: Vec<&Story> = stories.iter().filter(is_lost).collect();
    println!(
        "REL R2 crash matrix class={} crashes={} requests={} double={} lost={} cards_twice={} cards_given_up={} resent={} s={:.0}",
        class.word(),
        places.len(),
        stories.len(),
        double.len(),
        lost.len(),
        stories.iter().map(|it| it.cards.saturating_sub(1)).sum::<usize>(),
        stories.iter().filter(|it| !it.is_shown).count(),
        world.hooks.resent(),
        from.elapsed().as_secs_f64(),
    );
    assert!(double.is_empty() && lost.is_empty(), "double {double:?}, lost {lost:?}");
    way.db.close().await;
    started.leave().await.unwrap();
}

#[test]
fn a_process_may_end_anywhere_between_a_click_and_its_message() {
    thread::scope(|it| {
        for class in Class::ALL {
            it.spawn(move || alone(everywhere(class)));
        }
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
