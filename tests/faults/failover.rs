//! The database dies, comes back, or another takes its place, while people ask and approve.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use rand::Rng;
use sqlx::postgres::PgPoolOptions;
use tokio::time::sleep;

use crate::action_world::{
    ASKER, Class, OWNER, Process, Receivers, Story, Way, World, alone, time_passes,
};
use crate::address::address;
use crate::home::{Home, random, succeed};
use crate::pair::Postgres;
use crate::relay::Relay;
use crate::scale::full_or;

/// How many people ask at a time: what a broken connection leaves is free only once its lease has ended.
const PEOPLE: usize = 16;
/// Faults of each kind.
const FAULTS: usize = 20;

/// Idp, and who asks it.
struct Site {
    world: World,
    way: Way,
    _idp: Process,
}

/// Its database, behind a relay.
struct Servers {
    home: PathBuf,
    relay: Relay,
    /// The one that takes writes.
    primary: Postgres,
    /// Where a standby reaches it.
    replication: Relay,
    next: usize,
}

async fn open(receivers: Receivers) -> (Site, Servers) {
    let idp = address();
    let world = World::open(idp, receivers).await;
    let (relay, replication) = (Relay::start().await, Relay::start().await);
    let home = world.home.path().to_path_buf();
    let primary = Postgres::new(&home).await;
    relay.leads(Some(primary.address));
    replication.leads(Some(primary.address));
    let url = format!("postgres://idp@{}/idp", relay.address);
    let mut migrate = world.home.idp(&["migrate"]);
    migrate.env("DATABASE_URL", &url);
    succeed(migrate);
    world.knows_people(Some(&url));
    let pool = PgPoolOptions::new()
        .max_connections(12)
        .acquire_timeout(Duration::from_secs(2))
        .connect(&url);
    let way = Way { idp, db: pool.await.unwrap() };
    let _idp = world.serve(idp, &url, &[]);
    primary.does("create table public.mark (number bigint)").await;
    (Site { world, way, _idp }, Servers { home, relay, primary, replication, next: 0 })
}

impl Servers {
    async fn standby(&mut self) -> Postgres {
        self.next += 1;
        let name = format!("standby-{}", self.next);
        self.primary.standby(&self.home, &name, self.replication.address).await
    }

    /// `standby` becomes the one that takes writes, after the one before it died.
    async fn fails_over_to(&mut self, standby: Postgres) {
        self.relay.leads(None);
        self.primary.stops(Signal::SIGQUIT).await;
        standby.is_promoted().await;
        self.relay.leads(Some(standby.address));
        self.replication.leads(Some(standby.address));
        self.primary = standby;
    }

    /// How many marks there are.
    async fn marks(&self) -> i64 {
        let mut db = self.primary.connects("idp").await;
        sqlx::query_scalar("select count(*) from public.mark").fetch_one(&mut db).await.unwrap()
    }
}

/// People who ask until `is_over`; where the database `forgets`, they do again what it has not.
async fn people(site: &Site, is_over: &Cell<bool>, forgets: bool) -> Vec<Story> {
    let person = async |place: usize| {
        let mut stories = Vec::new();
        while !is_over.get() {
            let class = Class::ALL[(place + stories.len()) % Class::ALL.len()];
            stories.push(match forgets {
                false => site.world.story(&site.way, class).await,
                true => site.world.stubborn(&site.way, class).await,
            });
        }
        stories
    };
    join_all((0..PEOPLE).map(person)).await.into_iter().flatten().collect()
}

/// `faults` while people ask: what became of what they asked, and how long each time it took until a request was
/// taken down again.
async fn under_load(
    (site, servers): (&Site, &mut Servers),
    (count, forgets): (usize, bool),
    mut fault: impl AsyncFnMut(&mut Servers),
) -> (Vec<Story>, Vec<Duration>) {
    let (mut random, is_over) = (random("failover"), Cell::new(false));
    let faults = async {
        let mut back = Vec::new();
        for _ in 0..count {
            sleep(Duration::from_millis(random.random_range(300..1_500))).await;
            fault(servers).await;
            let from = Instant::now();
            let number = site.world.number();
            let (reason, channel) = (format!("after-{number}"), format!("C{number}"));
            let id = site.world.asks(&site.way, Class::Idempotent, &reason, &channel).await;
            back.push(from.elapsed());
            site.world.takes_back(&site.way, id, &channel).await;
        }
        is_over.set(true);
        back
    };
    let all = async { tokio::join!(people(site, &is_over, forgets), faults) };
    tokio::select! {
        all = all => all,
        () = site.world.receivers_work(&site.way) => unreachable!("they work until they are dropped"),
        () = time_passes(&site.way.db) => unreachable!("it passes until it is dropped"),
    }
}

/// Prints what became of `stories`, and fails where anything was done twice or is not as it is said to be.
fn judged(fault: &str, site: &Site, stories: &[Story], mut back: Vec<Duration>, more: &str) {
    back.sort();
    let is_wrong = |it: &&Story| match it.state.as_str() {
        "succeeded" => it.runs != 1,
        "failed" => it.runs != 0,
        // What was done for a request that the database forgot.
        _ => it.runs != 1,
    };
    let count = |state: &str| stories.iter().filter(|it| it.state == state).count();
    let double: Vec<&Story> = stories.iter().filter(|it| it.runs > 1).collect();
    let wrong: Vec<&Story> = stories.iter().filter(is_wrong).collect();
    println!(
        "REL R7 {fault} faults={} requests={} double={} wrong={} failed={} forgotten={} told_to_click_again={} back_ms_median={} back_ms_max={}{more}",
        back.len(),
        stories.len(),
        double.len(),
        wrong.len(),
        count("failed"),
        count("forgotten"),
        site.world.told_in_vain.load(Ordering::Relaxed),
        back[back.len() / 2].as_millis(),
        back[back.len() - 1].as_millis(),
    );
    assert!(double.is_empty() && wrong.is_empty(), "double {double:?}, wrong {wrong:?}");
}

async fn restarts(word: &str, signal: Signal) {
    let (site, mut servers) = open(Receivers::Careful).await;
    let missing = Cell::new(0);
    let restart = async |servers: &mut Servers| {
        let before = servers.marks().await;
        servers.primary.does("insert into public.mark values (1)").await;
        servers.primary.stops(signal).await;
        servers.primary.starts_again().await;
        missing.set(missing.get() + before + 1 - servers.marks().await);
    };
    let how = (full_or(FAULTS, 1), false);
    let (stories, back) = under_load((&site, &mut servers), how, restart).await;
    judged(word, &site, &stories, back, &format!(" commits_lost={}", missing.get()));
    assert_eq!(missing.get(), 0);
}

/// The standby confirms each commit: what was acknowledged it has.
async fn synchronous() {
    let (site, mut servers) = open(Receivers::Careful).await;
    let missing = Cell::new(0);
    let failover = async |servers: &mut Servers| {
        let standby = servers.standby().await;
        servers.primary.waits_for_standby(true).await;
        let before = servers.marks().await;
        servers.primary.does("insert into public.mark values (1)").await;
        servers.fails_over_to(standby).await;
        missing.set(missing.get() + before + 1 - servers.marks().await);
        servers.primary.waits_for_standby(false).await;
    };
    let how = (full_or(FAULTS, 1), false);
    let (stories, back) = under_load((&site, &mut servers), how, failover).await;
    judged("sync failover", &site, &stories, back, &format!(" commits_lost={}", missing.get()));
    assert_eq!(missing.get(), 0);
}

/// The standby is behind when it takes over, so many times: what it does not have is done again by people.
async fn falls_behind(
    site: &Site,
    servers: &mut Servers,
    times: usize,
) -> (Vec<Story>, Vec<Duration>, i64) {
    let missing = Cell::new(0);
    let failover = async |servers: &mut Servers| {
        let standby = servers.standby().await;
        servers.replication.leads(None);
        let before = servers.marks().await;
        servers.primary.does("insert into public.mark values (1)").await;
        // People go on meanwhile.
        sleep(Duration::from_millis(400)).await;
        servers.fails_over_to(standby).await;
        missing.set(missing.get() + before + 1 - servers.marks().await);
    };
    let (stories, back) = under_load((site, servers), (times, true), failover).await;
    (stories, back, missing.get())
}

/// Whatever is lost, nothing is done twice.
async fn asynchronous() {
    let (site, mut servers) = open(Receivers::Careful).await;
    let times = full_or(FAULTS, 1);
    let (stories, back, missing) = falls_behind(&site, &mut servers, times).await;
    let more = format!(" commits_lost_at_least={missing}");
    judged("async failover", &site, &stories, back, &more);
    assert_eq!(missing, times as i64, "each failover loses something, or shows nothing");
}

/// The control: what receivers guard is done twice where they do not.
async fn careless() {
    let (site, mut servers) = open(Receivers::Careless).await;
    let (mut faults, mut requests, mut double) = (0, 0, 0);
    // What had been sent may not be what was lost.
    while double == 0 && faults < FAULTS {
        let (stories, back, _) = falls_behind(&site, &mut servers, 2).await;
        faults += back.len();
        requests += stories.len();
        double += stories.iter().filter(|it| it.runs > 1).count();
    }
    println!(
        "REL R7 control=careless_receivers faults={faults} requests={requests} double={double}"
    );
    assert!(double > 0);
}

/// The control of "nothing acknowledged is lost": where commits do not wait for the disk, what was acknowledged is gone.
async fn impatient() {
    let home = Home::new();
    let mut server = Postgres::new(home.path()).await;
    server.does("create table public.mark (number bigint)").await;
    for hurry in
        ["alter system set synchronous_commit = off", "alter system set wal_writer_delay = '10s'"]
    {
        server.does(hurry).await;
    }
    server.stops(Signal::SIGINT).await;
    server.starts_again().await;
    server.does("insert into public.mark values (1)").await;
    server.stops(Signal::SIGKILL).await;
    server.starts_again().await;
    let mut db = server.connects("idp").await;
    let marks: i64 =
        sqlx::query_scalar("select count(*) from public.mark").fetch_one(&mut db).await.unwrap();
    println!("REL R7 control=without_synchronous_commit commits=1 commits_lost={}", 1 - marks);
    assert_eq!(marks, 0);
}

/// Commits wait for a standby that is dead: who clicks is answered in time all the same, and what was said holds.
async fn hanging() {
    let (site, mut servers) = open(Receivers::Careful).await;
    let slowest = Cell::new(Duration::ZERO);
    let unanswered = Cell::new(0);
    let hang = async |servers: &mut Servers| {
        let mut standby = servers.standby().await;
        servers.primary.waits_for_standby(true).await;
        standby.stops(Signal::SIGKILL).await;
        let number = site.world.number();
        let (reason, channel) = (format!("hanging-{number}"), format!("C{number}"));
        let text = format!("run idempotent api reason={reason}");
        // At once: people who go on need the time in between.
        let acknowledged = join_all((0..5).map(async |_| {
            let from = Instant::now();
            let said = site.world.types(&site.way, ASKER, &channel, &text);
            let clicks = site.world.clicks(&site.way, OWNER, &channel, "requests");
            let is_acknowledged = said.await.is_some() && clicks.await.is_some();
            slowest.set(slowest.get().max(from.elapsed() / 2));
            is_acknowledged
        }));
        for is_acknowledged in acknowledged.await {
            unanswered.set(unanswered.get() + usize::from(!is_acknowledged));
        }
        servers.primary.waits_for_standby(false).await;
        let id = site.world.asks(&site.way, Class::Idempotent, &reason, &channel).await;
        site.world.takes_back(&site.way, id, &channel).await;
    };
    let how = (full_or(FAULTS, 1), false);
    let (stories, back) = under_load((&site, &mut servers), how, hang).await;
    let more = format!(" unanswered={} slowest_ms={}", unanswered.get(), slowest.get().as_millis());
    judged("standby dies", &site, &stories, back, &more);
}

/// All at once: each waits for leases most of the time.
#[test]
fn whatever_becomes_of_the_database_no_click_is_lost_and_nothing_done_twice() {
    thread::scope(|it| {
        it.spawn(|| alone(restarts("restart", Signal::SIGINT)));
        it.spawn(|| alone(restarts("immediate", Signal::SIGQUIT)));
        it.spawn(|| alone(restarts("kill", Signal::SIGKILL)));
        it.spawn(|| alone(synchronous()));
        it.spawn(|| alone(asynchronous()));
        it.spawn(|| alone(hanging()));
        it.spawn(|| alone(careless()));
        it.spawn(|| alone(impatient()));
    });
}
