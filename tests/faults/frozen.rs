//! A process freezes for longer than its lease, another takes over, and then it goes on as if nothing had been.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::Rng;
use sqlx::postgres::PgPoolOptions;
use tokio::time::sleep;

use crate::action_world::{
    Class, PATIENCE, Process, Receivers, Story, THE_DEAD_LET_GO, TRIES, Way, World, alone, each,
    time_passes,
};
use crate::address::address;
use crate::home::random;
use crate::relay::Relay;
use crate::scale::full_or;

/// Requests that are under way when the process freezes.
const UNDER_WAY: usize = 6;
/// Freezes at each place, for each class.
const RUNS: usize = 25;

/// Before and after it looks at its own clock for the last time.
const PLACES: [&str; 2] = ["step-written-down", "step-last-look"];

/// The database ends who is idle in a transaction, as it does by itself after a minute: they hold what others need.
const LETS_GO: &str = "select pg_terminate_backend(pid) from pg_stat_activity where state like 'idle in transaction%'";

impl Process {
    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap())
    }

    /// Whether it is stopped, as the kernel says.
    fn is_frozen(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // The name before it may have anything in it but the last bracket.
        stat.rsplit(") ").next().unwrap().starts_with('T')
    }

    async fn freezes(&mut self, world: &World) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_frozen() {
            assert!(self.ended().is_none() && Instant::now() < deadline, "{}", world.logged());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// It goes on, does what it had begun, and ends.
    async fn thaws_and_ends(&mut self, world: &World) {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        kill(self.pid(), Signal::SIGCONT).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while self.ended().is_none() {
            assert!(Instant::now() < deadline, "it does not end\n{}", world.logged());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What so many people asked for, each one thing, while a process was frozen, `times` at each of `places`; by the place.
async fn freezes(
    class: Class,
    receivers: Receivers,
    people: usize,
    (times, places): (usize, &[&'static str]),
) -> Vec<(&'static str, Story)> {
    let mut random = random("frozen");
    let relay = Relay::start().await;
    let world = World::open(relay.address, receivers).await;
    let (started, url) = world.database().await;
    let db = PgPoolOptions::new().max_connections(8).connect(&url).await.unwrap();
    let way = Way { idp: relay.address, db };
    let rounds = async {
        let mut stories = Vec::new();
        for _ in 0..times {
            for &place in places {
                let (one, other) = (address(), address());
                let fails = format!("freeze:{}:{place}", random.random_range(1..=people.min(3)));
                let mut first = world.serve(one, &url, &[("IDP_FAIL_POINT", &fails)]);
                relay.leads(Some(one));
                let takes_over = async {
                    first.freezes(&world).await;
                    let since = Instant::now();
                    each(&way.db, &[LETS_GO]).await.unwrap();
                    let second = world.serve(other, &url, &[]);
                    relay.leads(Some(other));
                    each(&way.db, &THE_DEAD_LET_GO).await.unwrap();
                    (second, since)
                };
                let stories_told = (0..people).map(|_| world.story(&way, class));
                let stories_told = futures_util::future::join_all(stories_told);
                let (told, (second, since)) = tokio::join!(stories_told, takes_over);
                // For longer than anything that was written down may still be sent.
                let left = idp::actions::dispatch::SEND_WITHIN.saturating_sub(since.elapsed());
                sleep(left).await;
                first.thaws_and_ends(&world).await;
                world.receivers_are_done().await;
                drop(second);
                each(&way.db, &THE_DEAD_LET_GO).await.unwrap();
                // As often as it is done now that the first has gone on.
                let again =
                    |it: Story| (place, Story { runs: world.runs(&it.reason, class), ..it });
                stories.extend(told.into_iter().map(again));
            }
        }
        stories
    };
    let result = tokio::select! {
        result = rounds => result,
        () = world.receivers_work(&way) => unreachable!("they work until they are dropped"),
        () = time_passes(&way.db) => unreachable!("it passes until it is dropped"),
    };
    way.db.close().await;
    started.leave().await.unwrap();
    result
}

/// What was done after all, when a person had looked and found that it was not.
fn late(stories: &[(&str, Story)], place: &str) -> usize {
    let is_late = |(at, it): &&(&str, Story)| *at == place && it.state == "failed" && it.runs > 0;
    stories.iter().filter(is_late).count()
}

async fn are_harmless(class: Class) {
    let times = full_or(RUNS, 1);
    let stories = freezes(class, Receivers::Careful, UNDER_WAY, (times, &PLACES)).await;
    let double: Vec<_> = stories.iter().filter(|(_, it)| it.runs > 1).collect();
    let undone: Vec<_> =
        stories.iter().filter(|(_, it)| it.runs == 0 && it.state == "succeeded").collect();
    println!(
        "REL R3 SIGSTOP class={} frozen={} requests={} double={} succeeded_undone={} late={}",
        class.word(),
        times * PLACES.len(),
        stories.len(),
        double.len(),
        undone.len(),
        PLACES.map(|place| late(&stories, place)).iter().sum::<usize>(),
    );
    assert!(double.is_empty() && undone.is_empty(), "{double:?}, {undone:?}");
}

#[test]
fn a_process_that_thaws_after_another_took_over_does_nothing_twice() {
    thread::scope(|it| {
        for class in [Class::Idempotent, Class::Redeem, Class::Blind] {
            it.spawn(move || alone(are_harmless(class)));
        }
    });
}

/// What was found not to be done is not done later, up to the last look; the control is the same a moment after it.
#[test]
fn a_process_that_thaws_looks_at_its_clock_before_it_sends() {
    alone(async {
        let stories = freezes(Class::Blind, Receivers::Careful, 1, (full_or(5, 1), &PLACES)).await;
        let [before, after] = PLACES.map(|place| late(&stories, place));
        println!(
            "REL R3 one at a time class=blind late_before_the_last_look={before} late_after_it={after}"
        );
        assert!(before == 0 && after > 0, "{stories:?}");
    });
}

/// The control: what receivers guard is done twice where they do not.
#[test]
fn careless_receivers_do_twice_what_a_frozen_process_sends_late() {
    let control = async |class: Class| {
        let places = (1, &["step-last-look"][..]);
        let (mut tries, mut double) = (0, 0);
        while double == 0 && tries < TRIES {
            let stories = freezes(class, Receivers::Careless, UNDER_WAY, places).await;
            double = stories.iter().filter(|(_, it)| it.runs > 1).count();
            tries += 1;
        }
        println!(
            "REL R3 control=careless_receivers class={} frozen={tries} double={double}",
            class.word()
        );
        assert!(double > 0);
    };
    thread::scope(|it| {
        for class in [Class::Idempotent, Class::Redeem, Class::Blind] {
            it.spawn(move || alone(control(class)));
        }
    });
}
