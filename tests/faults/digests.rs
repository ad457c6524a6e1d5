//! Three processes hand digests over, and one of them is killed again and again.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::SigningKey;
use idp::conversation::Platform;
use idp::postgres::cluster::{self, Cluster};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::PgConnection;

use crate::digest_platform::{Door, Fake, Fate, new_year};
use crate::home::{Home, random, succeed, write};
use crate::scale::full_or;

/// How much faster than ours the clock of the database and of the platform goes while messages are handed over: leases
/// of dead processes end soon.
const FASTER: i32 = 20;
/// How long one week may take.
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    home: Home,
    url: String,
    fake: Fake,
    door: Door,
    platform: Platform,
    db: PgConnection,
}

/// An `idp serve`, which ends with whoever started it.
struct Process(Child);

impl Process {
    fn dies(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.dies();
    }
}

impl World {
    async fn open(platform: Platform, teams: usize) -> (World, Cluster) {
        let home = Home::new();
        write(home.path().join("portal/idp.yaml"), "sources: [{path: catalog}]\n");
        let weekly = "name: weekly\nschedule: 0 9 * * mon\nzone: UTC\n";
        write(home.path().join("portal/digests/weekly.yaml"), weekly);
        let channel = match platform {
            Platform::Discord => "discord.com/channel-id",
            _ => "slack.com/channel-id",
        };
        let team = |it| {
            format!(
                "apiVersion: backstage.io/v1alpha1\nkind: Group\n\
                 metadata: {{name: team-{it}, annotations: {{{channel}: \"{it}\"}}}}\n\
                 spec: {{type: team, children: []}}\n---\n\
                 apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {{name: service-{it}}}\n\
                 spec: {{type: service, lifecycle: production, owner: team-{it}}}\n---\n"
            )
        };
        let catalog: String = (0..teams).map(team).collect();
        write(home.path().join("portal/catalog/catalog-info.yaml"), &catalog);
        succeed(home.idp(&["migrate"]));
        let (started, mut db) = home.quiet_database().await;
        let mut url = cluster::url(&home.private()).unwrap();
        url.set_path("idp");
        let (url, fake) = (url.to_string(), Fake::start(platform).await);
        for statement in [
            "create table idp.clock_of_test (now timestamptz not null)",
            "insert into idp.clock_of_test values ('2026-01-01T00:00:00Z')",
            "create or replace function idp.digest_clock() returns timestamptz
             language sql volatile as 'select now from idp.clock_of_test'",
        ] {
            sqlx::query(statement).execute(&mut db).await.unwrap();
        }
        let door = fake.door().await;
        (World { home, url, fake, door, platform, db }, started)
    }

    fn serve(&self) -> Process {
        let api = format!("http://{}", self.door.address);
        let mut serve: Command =
            self.home.idp(&["serve", "--portal", "portal", "--listen", "127.0.0.1:0"]);
        serve.env("DATABASE_URL", &self.url).stdout(Stdio::null()).stderr(self.log());
        match self.platform {
            Platform::Discord => serve
                .env("DISCORD_API_URL", format!("{api}/api/v10/"))
                .env("DISCORD_APPLICATION_ID", "8")
                .env(
                    "DISCORD_PUBLIC_KEY",
                    hex::encode(SigningKey::from_bytes(&[7; 32]).verifying_key()),
                )
                .env("DISCORD_BOT_TOKEN", "of-the-world"),
            _ => serve
                .env("SLACK_API_URL", format!("{api}/api/"))
                .env("SLACK_SIGNING_SECRET", "5b1d3c8e0f9a47d2b6e4c1a098f7d635")
                .env("SLACK_BOT_TOKEN", "xoxb-of-the-world"),
        };
        Process(serve.spawn().unwrap())
    }

    /// What all processes log, in one file.
    fn log(&self) -> File {
        File::options().create(true).append(true).open(self.home.path().join("log")).unwrap()
    }

    fn logged(&self) -> String {
        let log = std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// It is `at` now, for the database and for the platform, which posts what is due.
    async fn is(&mut self, at: DateTime<Utc>) {
        let set = "update idp.clock_of_test set now = $1";
        sqlx::query(set).bind(at).execute(&mut self.db).await.unwrap();
        self.fake.is(at);
    }

    /// The clock runs, and somebody dies now and then, until `count` gives what is `wanted`; no time passes after
    /// `end`.
    async fn runs(
        &mut self,
        (count, wanted): (&'static str, i64),
        end: DateTime<Utc>,
        mut now_and_then: impl FnMut(&World),
    ) {
        let (started, from) = (Instant::now(), self.fake.now());
        loop {
            now_and_then(self);
            let passed = TimeDelta::from_std(started.elapsed()).unwrap() * FASTER;
            self.is((from + passed).min(end)).await;
            let counted: i64 = sqlx::query_scalar(count).fetch_one(&mut self.db).await.unwrap();
            if counted == wanted {
                return;
            }
            let is_late = started.elapsed() > PATIENCE;
            assert!(!is_late, "{count}: {counted}, and not {wanted}\n{}", self.logged());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn monday(week: i64) -> DateTime<Utc> {
    new_year() + TimeDelta::days(4 + 7 * week) + TimeDelta::hours(9)
}

/// R10 with real processes: how many messages are missing, how many are too many, how many kills there were.
async fn killed_again_and_again(platform: Platform, teams: usize, weeks: i64) -> (i64, i64, usize) {
    let mut random = random("digests");
    let (mut world, started) = World::open(platform, teams).await;
    let teams = i64::try_from(teams).unwrap();
    let mut fates = StdRng::seed_from_u64(random.random());
    world.fake.decides(move |call, _| match fates.random_range(0..40) {
        _ if call.ends_with("list") || call.starts_with("GET") => Fate::Answered,
        0 => Fate::AnswerLost,
        1 => Fate::RequestLost,
        _ => Fate::Answered,
    });
    let mut processes = [world.serve(), world.serve(), world.serve()];
    let watched = ("select count(*) from idp.digest_schedule", 1);
    world.runs(watched, monday(0) - TimeDelta::days(1), |_| {}).await;
    let mut kills = 0;
    for week in 0..weeks {
        let on_slack = if platform == Platform::Slack { teams } else { 0 };
        let lead = idp::digests::lead(usize::try_from(on_slack).unwrap());
        world.is(monday(week) - lead + TimeDelta::seconds(1)).await;
        let mut next_kill = Instant::now() + Duration::from_millis(random.random_range(200..800));
        let kill = |world: &World| {
            if Instant::now() < next_kill {
                return;
            }
            let victim = &mut processes[random.random_range(0..3)];
            victim.dies();
            *victim = world.serve();
            kills += 1;
            next_kill = Instant::now() + Duration::from_millis(random.random_range(300..1_800));
        };
        let open = "select count(*) from idp.digest_delivery where state <> 'planned'";
        let handed = (open, teams * (week + 1));
        let end = match platform {
            Platform::Slack => monday(week) - TimeDelta::minutes(4),
            _ => monday(week) + TimeDelta::hours(1),
        };
        world.runs(handed, end, kill).await;
        let done = "select count(*) from idp.digest_delivery where state = 'done'";
        let end = monday(week) + TimeDelta::hours(2);
        world.runs((done, teams * (week + 1)), end, |_| {}).await;
    }
    drop(processes);
    let ended = "select coalesce(outcome, state) from idp.digest_delivery group by 1 order by 1";
    let ended: Vec<String> = sqlx::query_scalar(ended).fetch_all(&mut world.db).await.unwrap();
    assert!(ended.iter().all(|it| it == "SENT" || it == "LATE"), "{ended:?}");
    let said = world.fake.said();
    let mut told: Vec<(String, i64)> =
        said.iter().map(|it| (it.channel.clone(), (it.at - monday(0)).num_weeks())).collect();
    told.sort();
    let all = i64::try_from(told.len()).unwrap();
    told.dedup();
    let distinct = i64::try_from(told.len()).unwrap();
    let World { home, db, .. } = world;
    drop(db);
    started.leave().await.unwrap();
    drop(home);
    (teams * weeks - distinct, all - distinct, kills)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_tell_each_team_exactly_once() {
    for platform in [Platform::Slack, Platform::Discord] {
        let (teams, weeks) = (full_or(100, 6), full_or(10, 1) as i64);
        let (missing, double, kills) = killed_again_and_again(platform, teams, weeks).await;
        let team_weeks = teams as i64 * weeks;
        println!(
            "REL R10 SIGKILL platform={} team_weeks={team_weeks} kills={kills} missing={missing} double={double}",
            platform.word()
        );
        assert_eq!((missing, double), (0, 0), "{platform:?}");
    }
}
