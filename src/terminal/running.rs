//! An idp that runs: a portal, its database or the copy of the catalog on disk, and what keeps them current.
//!
//! `ask`, `demo` and `serve` run the same [`App`]; they differ in how long.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tokio::sync::{mpsc, watch::Sender};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::check::listed;
use super::setup;
use crate::access::{self, link::LinkSet};
use crate::actions::ActionSet;
use crate::app::App;
use crate::audit;
use crate::catalog::flow::{self, Refresh};
use crate::catalog::snapshot::{Unread, disk};
use crate::catalog::sources::Source;
use crate::catalog::{Catalog, EntityRef, Snapshot};
use crate::chat::digests::{Carrier, Deliveries};
use crate::chat::discord;
use crate::chat::discord::client::DiscordApi;
use crate::chat::discord::gateway::{self, Gateway};
use crate::chat::link::{Link, Links};
use crate::chat::outbox::worker::Outbox;
use crate::chat::slack::client::SlackApi;
use crate::chat::slack::dispatcher::Dispatcher;
use crate::chat::slack::socket::SocketMode;
use crate::config::{Config, DiscordConfig};
use crate::facts;
use crate::facts::push::Outcome;
use crate::facts::recorded::{self, Recorded};
use crate::portal::settings::DiscordSettings;
use crate::portal::watch::{self, Change};
use crate::portal::{Portal, Settings};
use crate::postgres::{self, Database, Db};
use crate::scorecards::flow::Loaded;
use crate::scorecards::{self, ScorecardSet};
use crate::vault::flow::OtherKey;
use crate::vault::{self, Key};
use crate::web::Web;
use crate::web::discord::Discord;
use crate::web::health;
use crate::web::slack::Slack;

/// How long the database may take to answer before the copy on disk does.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often what is older than is kept is looked for.
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);

/// What to do without a database and without a copy on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutCatalog {
    Fail,
    /// Run, say so to whoever asks, and keep trying.
    Wait,
}

/// There is neither a database nor a copy of the catalog on disk.
#[derive(Debug, thiserror::Error)]
#[error("the catalog cannot be asked yet")]
pub struct NoCatalog;

/// Changes what a portal names into what stands in for it.
type StandIn = Box<dyn Fn(&mut Settings, &mut ActionSet) + Send + Sync>;

/// What runs. Cheap to clone.
#[derive(Clone)]
pub struct Running {
    pub app: Arc<App>,
    pub config: Arc<Config>,
    /// Ends everything that runs in the background.
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    portal: Arc<Portal>,
    database: Database,
    /// What the demo has in place of what its portal names.
    stand_in: Arc<OnceLock<StandIn>>,
    aliases: Sender<Vec<(String, EntityRef)>>,
    scorecards: Sender<Loaded>,
}

impl Running {
    /// The portal `dir` with its database, and the catalog as the copy on disk has it.
    ///
    /// # Errors
    /// Settings or commands with errors, each told with its place; [`NoCatalog`], unless that is to be waited for; then
    /// [`OtherKey`] as well.
    pub async fn open(
        config: &Config,
        dir: &Path,
        install: bool,
        without: WithoutCatalog,
    ) -> anyhow::Result<Running> {
        let portal = setup::portal(dir)?;
        let database = setup::database(config, install);
        let aliases = portal.settings.alias_list();
        let http = setup::http_client(&portal.settings);
        let key = setup::key(config)?;
        let copy = async || {
            let path = setup::disk_copy(config);
            spawn_blocking(move || copy_at(&path)).await.ok().flatten()
        };
        let (db, copy) = match without {
            // What waits begins with the copy either way.
            WithoutCatalog::Wait => tokio::join!(connect_by(&database, &key), copy()),
            WithoutCatalog::Fail => match connect(&database).await {
                Ok(db) => (Ok(db), None),
                Err(error) => (Err(error), copy().await),
            },
        };
        let (db, catalog) = match (db, copy) {
            (Err(error), _) if error.is::<OtherKey>() => return Err(error),
            (Ok(db), Some(copy)) if is_of(&db, &copy).await => (Some(db), catalog_of(copy)),
            (Ok(db), _) => (Some(db), Catalog::new(Snapshot::unread(Unread::NoAnswer))),
            (Err(error), Some(copy)) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "no database: answering from the copy on disk");
                let catalog = catalog_of(copy);
                catalog.is_away.store(true, Ordering::Relaxed);
                (None, catalog)
            }
            (Err(error), None) if without == WithoutCatalog::Wait => {
                let error = format!("{error:#}");
                tracing::error!(error, "no database and no copy on disk: waiting for it");
                (None, Catalog::new(Snapshot::unread(Unread::NoAnswer)))
            }
            (Err(error), None) => return Err(error.context(NoCatalog)),
        };
        let Portal { commands, settings, scorecards, digests, on_call, actions, .. } = &portal;
        let app = App::new(catalog, commands.clone(), settings.clone(), db, http, key);
        let scorecards = loaded(scorecards.clone());
        app.scorecards.store(scorecards.scorecards.clone());
        app.digests.store(Arc::new(digests.clone()));
        app.actions.store(Arc::new(actions.clone()));
        app.on_call.store(Arc::new(on_call.clone()));
        app.links.set(links(config, app.db.load_full().as_ref().as_ref()).await);
        Ok(Running {
            app: Arc::new(app),
            config: Arc::new(config.clone()),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            portal: Arc::new(portal),
            database,
            stand_in: Arc::default(),
            aliases: Sender::new(aliases),
            scorecards: Sender::new(scorecards),
        })
    }

    /// From now on what the portal names is as `change` makes it, which may be said once.
    pub fn stand_in(&self, change: impl Fn(&mut Settings, &mut ActionSet) + Send + Sync + 'static) {
        let mut settings = Settings::clone(&self.app.settings.load());
        let mut actions = ActionSet::clone(&self.app.actions.load());
        change(&mut settings, &mut actions);
        self.app.http.allow(settings.allowed_hosts.clone());
        self.app.settings.store(Arc::new(settings));
        self.app.actions.store(Arc::new(actions));
        let _ = self.stand_in.set(Box::new(change));
    }

    /// Imports the sources that lie on this disk, all of them when the catalog has nothing yet, and
    /// answers from what the database has then. Without a database the copy on disk stays.
    ///
    /// # Errors
    /// A database that broke off.
    pub async fn import_first(&self) -> anyhow::Result<()> {
        let Some(db) = self.db() else { return Ok(()) };
        self.import(&db, is_on_this_disk).await;
        let mut snapshot = flow::load(&db.pool, &self.aliases.borrow()).await?;
        if snapshot.is_empty() {
            self.import(&db, |source| !is_on_this_disk(source)).await;
            snapshot = flow::load(&db.pool, &self.aliases.borrow()).await?;
        }
        let now = now();
        disk::write(&setup::disk_copy(&self.config), &snapshot, now)?;
        self.app.catalog.current.store(Arc::new(snapshot));
        self.app.catalog.confirmed_at_ms.store(now.timestamp_millis(), Ordering::Relaxed);
        Ok(())
    }

    /// Links `accounts` as `idp access import` would link what such a file lists. Without a database nobody is linked.
    ///
    /// # Errors
    /// A database that broke off; a data directory that cannot be written to.
    pub async fn link(&self, accounts: &serde_json::Value) -> anyhow::Result<()> {
        let Some(db) = self.db() else { return Ok(()) };
        let file = self.config.data_dir.join("accounts.json");
        tokio::fs::write(&file, accounts.to_string())
            .await
            .with_context(|| format!("could not write {}", file.display()))?;
        let snapshot = self.app.catalog.snapshot();
        let report = access::flow::import(&db.pool, &file, &snapshot, now()).await?;
        if !report.problems.is_empty() {
            tracing::warn!(problems = listed(&report.problems), "some accounts were not linked");
        }
        Ok(())
    }

    /// Reports what the portal's own file of facts recorded, as if it had just been observed. Without a database, or
    /// such a file, nothing is.
    ///
    /// # Errors
    /// A file that is not good; a database that broke off.
    pub async fn report_recorded(&self) -> anyhow::Result<()> {
        let text = tokio::fs::read_to_string(self.portal.dir.join(recorded::FILE)).await;
        let (Ok(text), Some(db)) = (text, self.db()) else { return Ok(()) };
        let (snapshot, settings) = (self.app.catalog.snapshot(), self.app.settings.load());
        for Recorded { source, observations } in recorded::read(&text, now())? {
            let named = settings.facts.find(&source);
            let source =
                named.with_context(|| format!("idp.yaml has no source of facts `{source}`"))?;
            for outcome in facts::flow::push(&db.pool, source, &snapshot, &observations).await? {
                if let Outcome::Refused(reason) = outcome {
                    tracing::warn!(reason.message, "a recorded fact was not taken");
                }
            }
        }
        Ok(())
    }

    /// Imports those of the settings' sources that are `wanted`. One that cannot be read is told, and stays as it was.
    async fn import(&self, db: &Db, wanted: fn(&Source) -> bool) {
        let Refresh { mut sources, options, .. } = self.refresh();
        sources.retain(wanted);
        if let Err(error) = flow::import(&db.pool, &sources, &options).await {
            tracing::warn!(error = format!("{error:#}"), "could not read all sources");
        }
    }

    /// What is imported again and again, as the settings say now.
    fn refresh(&self) -> Refresh {
        let settings = self.app.settings.load();
        let http = self.app.http.clone();
        Refresh {
            sources: settings.sources.clone(),
            options: setup::import_options(&self.config, &settings, &self.portal.dir, http),
            every: settings.refresh,
        }
    }

    /// Keeps catalog and portal current in the background, and plans digests, until [`Running::close`].
    pub fn keep_current(&self) {
        let running = self.clone();
        self.tasks.spawn(async move { running.keep_catalog().await });
        let (app, stop) = (self.app.clone(), self.stop.clone());
        self.tasks.spawn(async move { app.keep_recording(stop).await });
        let (app, stop) = (self.app.clone(), self.stop.clone());
        self.tasks.spawn(async move { app.plan_digests(stop).await });
        let (app, stop) = (self.app.clone(), self.stop.clone());
        self.tasks.spawn(async move { app.keep_actions(stop).await });
        self.tasks.spawn(health::keep_metrics(self.stop.clone()));
        let (changes, mut changed) = mpsc::channel(1);
        self.tasks.spawn(watch::watch(self.portal.clone(), changes, self.stop.clone()));
        let running = self.clone();
        self.tasks.spawn(async move {
            while let Some(change) = changed.recv().await {
                running.apply(change).await;
            }
        });
    }

    /// Follows the database, and imports into it; once it answers, where it does not yet.
    async fn keep_catalog(&self) {
        let db = match self.db() {
            Some(db) => db,
            None => {
                let opened = open_patiently(&self.database, &self.app.key);
                let Some(Some(db)) = self.stop.run_until_cancelled(opened).await else { return };
                self.app.db.store(Arc::new(Some(db.clone())));
                db
            }
        };
        let (looked, links) = (Sender::new(()), self.app.links.clone());
        let evaluate = scorecards::flow::keep_evaluating(
            db.pool.clone(),
            self.app.catalog.clone(),
            self.scorecards.subscribe(),
            looked.subscribe(),
            self.stop.clone(),
        );
        let follow_links = access::flow::follow(
            db.pool.clone(),
            links,
            setup::links_copy(&self.config),
            looked.subscribe(),
            self.stop.clone(),
        );
        let follow = flow::follow(
            db.pool.clone(),
            self.app.catalog.clone(),
            self.aliases.subscribe(),
            setup::disk_copy(&self.config),
            flow::POLL,
            looked,
            self.stop.clone(),
        );
        let app = self.app.clone();
        let seal = audit::flow::keep(
            db.pool.clone(),
            self.app.key.clone(),
            self.config.data_dir.clone(),
            move || app.settings.load().audit.clone(),
            self.stop.clone(),
        );
        let import = flow::keep_importing(db.pool.clone(), || self.refresh(), self.stop.clone());
        let forget = self.stop.run_until_cancelled(keep_forgetting(&db));
        let tend = self.stop.run_until_cancelled(db.tend());
        tokio::join!(follow, follow_links, import, evaluate, seal, forget, tend);
    }

    /// Takes up what changed in the portal directory.
    async fn apply(&self, change: Change) {
        match change {
            Change::Portal(portal) => {
                let Portal {
                    mut settings,
                    commands,
                    scorecards,
                    digests,
                    on_call,
                    mut actions,
                    ..
                } = *portal;
                if let Some(stand_in) = self.stand_in.get() {
                    stand_in(&mut settings, &mut actions);
                }
                self.aliases.send_replace(settings.alias_list());
                self.app.http.allow(settings.allowed_hosts.clone());
                self.app.settings.store(Arc::new(settings));
                self.app.commands.store(Arc::new(commands));
                let scorecards = loaded(scorecards);
                self.app.scorecards.store(scorecards.scorecards.clone());
                self.scorecards.send_replace(scorecards);
                self.app.digests.store(Arc::new(digests));
                self.app.actions.store(Arc::new(actions));
                self.app.on_call.store(Arc::new(on_call));
                tracing::info!("took up the portal's change");
            }
            Change::Broken(problems) => {
                let problems = listed(&problems);
                tracing::error!(
                    problems,
                    "the portal's change has errors: everything stays as it was"
                );
                return;
            }
            Change::Catalog => {}
        }
        if let Some(db) = self.db() {
            self.import(&db, is_on_this_disk).await;
        }
    }

    /// Waits until there is a catalog to answer from: the copy on disk's, or else the database's, as
    /// long as there is patience.
    pub async fn answerable(&self) {
        if self.app.catalog.snapshot().why_unread().is_none() {
            return;
        }
        let before = self.app.catalog.confirmed_at();
        let confirmed = async {
            while self.app.catalog.confirmed_at() == before {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if self.db().is_some() && timeout(PATIENCE, confirmed).await.is_err() {
            tracing::warn!("the database does not tell the catalog yet");
        }
    }

    /// What the HTTP server answers with; without a signing secret Slack's routes are off, without a public key
    /// Discord's. With an app token Slack is heard by Socket Mode as well, and Discord by its gateway where
    /// there is its token and no public key, or the settings ask for it; until [`Running::close`].
    ///
    /// # Errors
    /// A secret or key that anybody could sign with; an address of a platform's API that is not the platform's.
    pub fn web(&self) -> anyhow::Result<Web> {
        let mut links = Links::new();
        let (slack, discord) = (self.slack(&mut links)?, self.discord(&mut links)?);
        Ok(Web { app: self.app.clone(), slack, discord, links })
    }

    fn slack(&self, links: &mut Links) -> anyhow::Result<Option<Arc<Slack>>> {
        let config = &self.config.slack;
        if config.signing_secret.is_none() && config.app_token.is_none() {
            return Ok(None);
        }
        let allowed_hosts = &self.app.settings.load().allowed_hosts;
        let api = SlackApi::new(&config.api_url, config.bot_token.clone(), allowed_hosts)?;
        let api = Arc::new(api);
        // The first and only one: a process is connected once.
        let _ = self.app.profiles.set(api.clone());
        let dispatcher = Dispatcher::new(self.app.clone(), api, self.tasks.clone());
        let dispatcher = Arc::new(dispatcher);
        if config.bot_token.is_some() {
            links.push(("slack_messages", dispatcher.outbox().link.clone()));
            self.post_digests(dispatcher.clone(), dispatcher.outbox());
        }
        let routes = |secret| Slack::new(secret, dispatcher.clone());
        let slack = config.signing_secret.as_ref().map(routes).transpose()?.map(Arc::new);
        if let Some(app_token) = &config.app_token {
            let link = Link::default();
            links.push(("slack_socket_mode", link.clone()));
            let socket_mode = SocketMode::new(dispatcher.clone(), app_token.clone(), link);
            self.tasks.spawn(socket_mode.run(self.stop.clone()));
        }
        self.tasks.spawn(dispatcher.keep(self.stop.clone()));
        Ok(slack)
    }

    fn discord(&self, links: &mut Links) -> anyhow::Result<Option<Arc<Discord>>> {
        let config = &self.config.discord;
        let Some(id) = &config.application_id else { return Ok(None) };
        let settings = self.app.settings.load();
        let by_gateway = uses_gateway(config, &settings.discord);
        if by_gateway.is_none() && (settings.discord.gateway || settings.discord.messages) {
            tracing::warn!(
                "idp.yaml asks for Discord's gateway: set `DISCORD_BOT_TOKEN` to the one of the app"
            );
        }
        if config.public_key.is_none() && by_gateway.is_none() {
            return Ok(None);
        }
        if settings.discord.guild_ids.is_empty() {
            tracing::warn!(
                "Discord is on, and no server is answered: list yours under `discord.guild_ids` in idp.yaml"
            );
        }
        let token = config.bot_token.clone();
        let api = DiscordApi::new(&config.api_url, id, token, &settings.allowed_hosts)?;
        let mut dispatcher =
            discord::dispatcher::Dispatcher::new(self.app.clone(), api, self.tasks.clone());
        if by_gateway.is_some() {
            dispatcher = dispatcher.answering_within(gateway::ANSWER_WITHIN);
        }
        let dispatcher = Arc::new(dispatcher);
        if config.bot_token.is_some() {
            links.push(("discord_messages", dispatcher.outbox().link.clone()));
            self.post_digests(dispatcher.clone(), dispatcher.outbox());
        }
        let routes = |key| Discord::new(key, dispatcher.clone());
        let discord = config.public_key.as_deref().map(routes).transpose()?.map(Arc::new);
        if let Some(token) = by_gateway {
            let link = Link::default();
            links.push(("discord_gateway", link.clone()));
            let gateway = Gateway::new(self.app.clone(), dispatcher.clone(), token.clone(), link);
            self.tasks.spawn(gateway.run(self.stop.clone()));
        }
        self.tasks.spawn(dispatcher.keep(self.stop.clone()));
        Ok(discord)
    }

    /// Digests are handed over to the platform of `carrier`, until [`Running::close`].
    fn post_digests<C: Carrier>(&self, carrier: Arc<C>, outbox: Arc<Outbox>) {
        self.app.connect(C::PLATFORM);
        let (app, tasks) = (self.app.clone(), self.tasks.clone());
        let deliveries = Arc::new(Deliveries::new(app, carrier, outbox, tasks));
        self.tasks.spawn(deliveries.keep(self.stop.clone()));
    }

    fn db(&self) -> Option<Db> {
        (**self.app.db.load()).clone()
    }

    /// Ends what runs in the background, and leaves the database.
    ///
    /// # Errors
    /// A private server that does not stop.
    pub async fn close(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.app.record().await;
        match self.db() {
            Some(db) => db.close().await,
            None => Ok(()),
        }
    }
}

/// The token that the gateway is opened with; `None`: it is not. Who gives a token and no public key has no public
/// address either; with a public key the settings say whether it is used as well.
fn uses_gateway<'a>(
    config: &'a DiscordConfig,
    settings: &DiscordSettings,
) -> Option<&'a SecretString> {
    let is_wanted = config.public_key.is_none() || settings.gateway || settings.messages;
    config.bot_token.as_ref().filter(|_| is_wanted)
}

fn loaded(scorecards: ScorecardSet) -> Loaded {
    Loaded { scorecards: Arc::new(scorecards), read_at: Instant::now() }
}

/// Forgets again and again what is older than is kept.
async fn keep_forgetting(db: &Db) {
    let tell = |what: &str, forgotten: anyhow::Result<u64>| match forgotten {
        Ok(0) => {}
        Ok(many) => tracing::info!(many, what, "forgot what is old"),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), what, "could not forget what is old");
        }
    };
    loop {
        tell("changes of facts", facts::flow::forget(&db.pool).await);
        tell("scores", scorecards::flow::forget(&db.pool).await);
        sleep(FORGET_EVERY).await;
    }
}

fn is_on_this_disk(source: &Source) -> bool {
    matches!(source, Source::Path { .. })
}

async fn connect(database: &Database) -> anyhow::Result<Db> {
    match database {
        Database::Url(_) => timeout(PATIENCE, postgres::open(database))
            .await
            .map_err(|_| anyhow!("it did not answer within {} s", PATIENCE.as_secs()))
            .flatten()
            .context("could not open the database of DATABASE_URL"),
        // Installing Postgres and making a cluster may take minutes.
        Database::Private(_) => postgres::open(database).await,
    }
}

/// As [`connect`], of a process that lives on what `key` sealed. Who only asks a question needs none.
async fn connect_by(database: &Database, key: &Key) -> anyhow::Result<Db> {
    let db = connect(database).await?;
    vault::flow::hold(&db.pool, key).await?;
    Ok(db)
}

/// As [`postgres::open_patiently`]; `None` where the database's key is another than `key`.
async fn open_patiently(database: &Database, key: &Key) -> Option<Db> {
    loop {
        let db = postgres::open_patiently(database).await;
        match vault::flow::hold(&db.pool, key).await {
            Ok(()) => return Some(db),
            Err(error) if error.is::<OtherKey>() => {
                let error = format!("{error:#}");
                tracing::error!(error, "not using the database: answering from the copy on disk");
                return None;
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the database does not tell its key");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Whether the database is or was in the state of `copy`.
async fn is_of(db: &Db, copy: &disk::Copy) -> bool {
    match flow::is_of(&db.pool, &copy.snapshot).await {
        Ok(true) => true,
        Ok(false) => {
            tracing::info!("the copy on disk is of another database, or an older one");
            false
        }
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(error, "the database does not tell whether the copy on disk is its own");
            false
        }
    }
}

/// Who is linked to whom, as the database tells in time, otherwise as the copy on disk has it.
async fn links(config: &Config, db: Option<&Db>) -> LinkSet {
    let Some(db) = db else { return links_on_disk(config) };
    let error = match timeout(PATIENCE, access::flow::load(&db.pool)).await {
        Ok(Ok(links)) => return links,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("it did not answer within {} s", PATIENCE.as_secs()),
    };
    tracing::warn!(error, "the database does not tell the links: taking the copy on disk");
    links_on_disk(config)
}

/// Who was linked to whom when the database last told; nobody when there is no copy that can be read.
fn links_on_disk(config: &Config) -> LinkSet {
    let copy = access::disk::read(&setup::links_copy(config)).unwrap_or_else(|error| {
        tracing::warn!(error = format!("{error:#}"), "the copy of the links is of no use");
        None
    });
    copy.unwrap_or_default()
}

/// The catalog as it was when the database last confirmed it.
fn catalog_of(copy: disk::Copy) -> Arc<Catalog> {
    let catalog = Catalog::new(copy.snapshot);
    catalog.confirmed_at_ms.store(copy.confirmed_at.timestamp_millis(), Ordering::Relaxed);
    catalog
}

/// The copy of the catalog on disk; `None` when there is none that can be read.
fn copy_at(path: &Path) -> Option<disk::Copy> {
    disk::read(path).unwrap_or_else(|error| {
        tracing::warn!(error = format!("{error:#}"), "the copy of the catalog is of no use");
        None
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process asks the clock when it reads the database"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}
