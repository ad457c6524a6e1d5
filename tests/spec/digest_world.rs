//! Processes that come and go over one database, and a clock that is set by the test: nobody waits for Monday.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use idp::app::App;
use idp::catalog::{Catalog, EntityRef, Place, Relation, RelationKind, Snapshot, StoredEntity};
use idp::chat::digests::{Deliveries, Pauses};
use idp::chat::discord::client::DiscordApi;
use idp::chat::slack::client::SlackApi;
use idp::chat::{discord, slack};
use idp::commands::CommandSet;
use idp::conversation::Platform;
use idp::digests::DigestSet;
use idp::digests::file::{self, Digest};
use idp::integrations::http::{Client, Policy};
use idp::postgres;
use idp::vault::Key;
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::database::{self, Fresh};
use crate::digest_platform::{Door, Fake};
use crate::outbox_world;
use crate::waiting::until;

/// Pauses that no test waits for; those of the clock that the test sets are as ever.
pub const SHORT: Pauses = Pauses {
    round: Duration::from_millis(5),
    send: Duration::ZERO,
    look: Duration::ZERO,
    survey: Duration::ZERO,
    settle: Duration::from_secs(30),
    later: Duration::from_secs(10),
    tidy: Duration::from_millis(20),
};

/// Read once: unoptimised, that takes a tenth of a second.
static COMMANDS: LazyLock<CommandSet> = LazyLock::new(CommandSet::built_in);

/// The digest that `text` says besides its name.
pub fn digest(text: &str) -> Digest {
    file::read(&format!("name: weekly\n{text}\n"), "weekly.yaml").unwrap()
}

/// Mondays at nine in UTC.
pub fn weekly() -> Digest {
    digest("title: Your week\nschedule: 0 9 * * mon\nzone: UTC")
}

/// `count` teams with a channel each, on `platform`, and a service each. Team 7 is `team-7`, its channel `C7` or `7`.
pub fn teams(platform: Platform, count: usize) -> Arc<Catalog> {
    Catalog::new(Snapshot::build((0..count).flat_map(|it| team(platform, it)), &[], 1))
}

pub fn team(platform: Platform, number: usize) -> [StoredEntity; 2] {
    let channel = match platform {
        Platform::Discord => ("discord.com/channel-id", number.to_string()),
        _ => ("slack.com/channel-id", format!("C{number}")),
    };
    let (team, service) = (format!("group:team-{number}"), format!("component:service-{number}"));
    [
        entity(&team, &[], json!({ channel.0: channel.1 })),
        entity(&service, &[(RelationKind::OwnedBy, &team)], json!({})),
    ]
}

pub fn entity(reference: &str, said: &[(RelationKind, &str)], annotations: Value) -> StoredEntity {
    let reference = EntityRef::parse(reference, None, "default").unwrap();
    let relations = said.iter().map(|(kind, target)| Relation {
        kind: *kind,
        target: EntityRef::parse(target, None, "default").unwrap(),
        bare: false,
    });
    let kind = if reference.kind() == "group" { "Group" } else { "Component" };
    let metadata = json!({ "name": reference.name(), "annotations": annotations });
    let body = json!({ "kind": kind, "metadata": metadata, "spec": {} });
    StoredEntity {
        relations: relations.collect(),
        body: body.to_string().into(),
        place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
        orphaned_at: None,
        reference,
    }
}

/// How many deliveries somebody has in hand, or could take.
const TO_DO_NOW: &str = "select count(*) from idp.digest_delivery, idp.clock_of_test
    where state <> 'done' and (leased_until > now
      or not_before <= now and (state = 'planned' and (platform = 'slack' or send_at <= now)
        or send_at <= now - interval '1 minute'
        or state = 'handed' and audited_at is null and handed_at <= now - interval '1 minute'
          and send_at between now + interval '75 seconds' and now + interval '4 minutes'))";

/// A database whose clock is set by the test, a platform, and processes.
pub struct Office {
    pub fresh: Fresh,
    pub fake: Fake,
    pub platform: Platform,
    pub pauses: Pauses,
    pub catalog: Arc<Catalog>,
    pub digests: Mutex<DigestSet>,
    pub kills: AtomicUsize,
}

/// A process, in a runtime of its own: nothing of it outlives its kill.
pub struct Process {
    runtime: Option<Runtime>,
    /// What it calls itself where it has something in hand.
    name: String,
    door: Option<Door>,
}

impl Office {
    /// `count` teams, who hear `digest` on `platform`.
    pub async fn open(platform: Platform, count: usize, digest: Digest) -> Office {
        Office::of(platform, teams(platform, count), digest).await
    }

    pub async fn of(platform: Platform, catalog: Arc<Catalog>, digest: Digest) -> Office {
        let fresh = database::fresh().await;
        let office = Office {
            fresh,
            fake: Fake::start(platform).await,
            platform,
            pauses: SHORT,
            catalog,
            digests: Mutex::new(DigestSet::new(vec![digest])),
            kills: AtomicUsize::new(0),
        };
        for statement in [
            "create table idp.clock_of_test (now timestamptz not null)",
            "insert into idp.clock_of_test values ('2026-01-01T00:00:00Z')",
            "create or replace function idp.digest_clock() returns timestamptz
             language sql volatile as 'select now from idp.clock_of_test'",
        ] {
            sqlx::query(statement).execute(&office.fresh.pool).await.unwrap();
        }
        office
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.fake.now()
    }

    /// It is `at` now, for the database and for the platform, which posts what is due.
    pub async fn is(&self, at: DateTime<Utc>) {
        self.database_says(at).await;
        self.platform_says(at);
    }

    pub async fn passes(&self, time: TimeDelta) {
        self.is(self.now() + time).await;
    }

    pub async fn database_says(&self, at: DateTime<Utc>) {
        let set = "update idp.clock_of_test set now = $1";
        sqlx::query(set).bind(at).execute(&self.fresh.pool).await.unwrap();
    }

    pub fn platform_says(&self, at: DateTime<Utc>) {
        self.fake.is(at);
    }

    /// A process that plans and sends, until it is killed.
    pub async fn process(&self) -> Process {
        let door = self.fake.door().await;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let db = {
            let _inside = runtime.enter();
            postgres::connect(&self.fresh.url).unwrap()
        };
        let http = Client::new(Policy { loopback: true, ..Policy::default() });
        let (catalog, settings) = (self.catalog.clone(), crate::asking::open());
        let app = App::new(catalog, COMMANDS.clone(), settings, Some(db), http, Key::random());
        app.digests.store(Arc::new(self.digests.lock().unwrap().clone()));
        app.connect(self.platform);
        let app = Arc::new(app);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let token = Some(SecretString::from("xoxb-of-the-world"));
        let (address, pauses) = (door.address, self.pauses);
        let planner = app.clone();
        runtime.spawn(async move {
            loop {
                planner.plan_due_digests().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let name = match self.platform {
            Platform::Discord => {
                let url = format!("http://{address}/api/v10/").parse().unwrap();
                let api = DiscordApi::new(&url, "8", token, &[]).unwrap();
                let it = discord::dispatcher::Dispatcher::new(app.clone(), api, tasks.clone());
                let it = it.pausing(outbox_world::SHORT);
                let (it, app) = (Arc::new(it), app.clone());
                let outbox = it.outbox();
                let kept = Deliveries::new(app, it.clone(), outbox.clone(), tasks);
                let kept = Arc::new(kept.pausing(pauses));
                runtime.spawn(kept.clone().keep(stop.clone()));
                runtime.spawn(outbox.keep(it, stop));
                kept.name().to_string()
            }
            _ => {
                let url = format!("http://{address}/api/").parse().unwrap();
                let api = SlackApi::new(&url, token, &[]).unwrap();
                let it = slack::dispatcher::Dispatcher::new(app.clone(), api, tasks.clone());
                let it = it.pausing(outbox_world::SHORT);
                let (it, app) = (Arc::new(it), app.clone());
                let outbox = it.outbox();
                let kept = Deliveries::new(app, it.clone(), outbox.clone(), tasks);
                let kept = Arc::new(kept.pausing(pauses));
                runtime.spawn(kept.clone().keep(stop.clone()));
                runtime.spawn(outbox.keep(it, stop));
                kept.name().to_string()
            }
        };
        Process { runtime: Some(runtime), name, door: Some(door) }
    }

    /// `process` is dead, whatever it was doing, and the leases of what it had in hand have run out.
    pub async fn kill(&self, process: Process) {
        let name = self.dies(process).await;
        self.leases_end(&name).await;
    }

    /// `process` is dead, whatever it was doing. What it had sent has reached the platform or never will. What it called
    /// itself.
    pub async fn dies(&self, mut process: Process) -> String {
        self.kills.fetch_add(1, Ordering::Relaxed);
        let runtime = process.runtime.take().unwrap();
        spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(60))).await.unwrap();
        self.fake.lets_go();
        let door = process.door.take().unwrap();
        door.closing.cancel();
        door.served.await.unwrap().unwrap();
        std::mem::take(&mut process.name)
    }

    /// The leases of what the process of this `name` had in hand have run out.
    pub async fn leases_end(&self, name: &str) {
        let end = "update idp.digest_delivery set leased_until = now
                   from idp.clock_of_test where leased_by = $1";
        sqlx::query(end).bind(name).execute(&self.fresh.pool).await.unwrap();
    }

    /// How many deliveries are in each state.
    pub async fn states(&self) -> BTreeMap<String, i64> {
        let count = "select case when state = 'done' then outcome else state end, count(*)
                     from idp.digest_delivery group by 1";
        let counts: Vec<(String, i64)> =
            sqlx::query_as(count).fetch_all(&self.fresh.pool).await.unwrap();
        counts.into_iter().collect()
    }

    /// What one number is.
    pub async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_string()))
            .fetch_one(&self.fresh.pool)
            .await
            .unwrap()
    }

    /// Until nothing is left to be handed over, and `expected` deliveries are there in all. `each` is called again and
    /// again meanwhile.
    pub async fn hands_over(&self, expected: i64, each: impl AsyncFnMut()) {
        let planned = "select count(*) from idp.digest_delivery where state = 'planned'";
        let all = "select count(*) from idp.digest_delivery";
        self.goes_on(each, async || {
            (self.number(all).await == expected).then_some(self.number(planned).await)
        })
        .await;
    }

    /// Until everything is done.
    pub async fn rests(&self) {
        let open = "select count(*) from idp.digest_delivery where state <> 'done'";
        self.goes_on(async || {}, async || Some(self.number(open).await)).await;
    }

    /// Until nobody has anything in hand, and nothing is to be done as long as the clock stands.
    pub async fn is_quiet(&self) {
        until("quiet", async || self.number(TO_DO_NOW).await, |count| *count == 0).await;
    }

    /// Until all that was handed over was looked at once more.
    pub async fn is_audited(&self) {
        let open = "select count(*) from idp.digest_delivery where state = 'handed' and audited_at is null";
        self.goes_on(async || {}, async || Some(self.number(open).await)).await;
    }

    /// Until `left` is nothing. Where nobody has anything in hand, and all that is left waits for a later time, the
    /// clock goes on by a minute.
    async fn goes_on(&self, mut each: impl AsyncFnMut(), left: impl AsyncFn() -> Option<i64>) {
        let deadline = Instant::now() + Duration::from_secs(600);
        loop {
            each().await;
            match left().await {
                Some(0) => return,
                Some(_) if self.number(TO_DO_NOW).await == 0 => {
                    self.passes(TimeDelta::seconds(61)).await;
                }
                _ => {}
            }
            assert!(Instant::now() < deadline, "something is left: {:?}", self.states().await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
