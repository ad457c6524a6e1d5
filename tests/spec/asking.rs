//! Acme's catalog in a database of one's own, and people who ask it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;
use idp::access::{self, Authority, Reach, Terms};
use idp::app::App;
use idp::catalog::{Catalog, Entity, EntityRef, Snapshot, flow};
use idp::commands::CommandSet;
use idp::conversation::{Address, Invocation, Platform, Reply, Speaker, Way};
use idp::digests::DigestSet;
use idp::facts;
use idp::facts::recorded::{self, Recorded};
use idp::integrations::http::{Client, Policy};
use idp::on_call::Rotas;
use idp::portal::{self, Settings};
use idp::scorecards::ScorecardSet;
use idp::vault::Key;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::database::{self, Fresh};
use crate::directory;

/// Daniel Kim of Acme's platform team, in Slack.
pub const ADMIN: &str = "U0ACME0025";

pub fn acme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/acme")
}

/// Settings by which everybody may ask.
pub fn open() -> Settings {
    let terms = Terms { strangers: Reach::Read, ..Terms::default() };
    Settings { access: Authority::new(terms), ..Settings::default() }
}

pub struct Asking {
    pub app: App,
    pub fresh: Fresh,
}

impl Asking {
    /// The built-in commands over Acme.
    pub async fn acme() -> Asking {
        Asking::with(CommandSet::built_in(), |_| {}).await
    }

    /// `commands` over Acme, with its settings as `change` leaves them.
    pub async fn with(commands: CommandSet, change: impl FnOnce(&mut Settings)) -> Asking {
        let mut settings = Settings::load(&acme()).unwrap();
        change(&mut settings);
        let fresh = database::fresh().await;
        let options = directory::options(&acme());
        flow::import(&fresh.pool, &settings.sources, &options).await.unwrap();
        let aliases: Vec<(String, EntityRef)> =
            settings.aliases.iter().map(|(said, it)| (said.clone(), it.clone())).collect();
        let snapshot = flow::load(&fresh.pool, &aliases).await.unwrap();
        report_recorded(&fresh.pool, &settings, &snapshot).await;
        let http = Client::new(Policy { loopback: true, ..Policy::default() });
        let catalog = Catalog::new(snapshot);
        let keys = portal::keys(&settings);
        let (scorecards, problems) = ScorecardSet::load(&acme().join("scorecards"), &keys, true);
        assert_eq!(problems, []);
        let app =
            App::new(catalog, commands, settings, Some(fresh.db.clone()), http, Key::random());
        app.scorecards.store(Arc::new(scorecards));
        let (digests, problems) = DigestSet::load(&acme().join("digests"));
        assert_eq!(problems, []);
        app.digests.store(Arc::new(digests));
        let (rotas, problems) = Rotas::load(&acme().join("on-call"));
        assert_eq!(problems, []);
        app.on_call.store(Arc::new(rotas));
        link(&app, &fresh.pool).await;
        Asking { app, fresh }
    }

    pub async fn says(&self, text: &str) -> Reply {
        self.app.answer(Way::Command, invocation(text)).await
    }

    /// What the answer to `text` reads.
    pub async fn reads(&self, text: &str) -> String {
        self.says(text).await.markdown
    }
}

/// Reports what Acme's pipelines observed, as the demo does.
async fn report_recorded(db: &PgPool, settings: &Settings, snapshot: &Snapshot) {
    let text = std::fs::read_to_string(acme().join(recorded::FILE)).unwrap();
    for Recorded { source, observations } in recorded::read(&text, Utc::now()).unwrap() {
        let Some(source) = settings.facts.find(&source) else { continue };
        facts::flow::push(db, source, snapshot, &observations).await.unwrap();
    }
}

/// Links Acme's people to the accounts that their descriptors name, by an admin's file.
async fn link(app: &App, db: &PgPool) {
    let snapshot = app.catalog.snapshot();
    let line = |user: &Entity| {
        let body = snapshot.body(user);
        let account = body["metadata"]["annotations"]["slack.com/user-id"].as_str()?;
        Some(json!({
            "platform": "slack", "tenant": "T0ACME", "user_id": account, "user": user.reference,
        }))
    };
    let users = snapshot.entities().filter(|it| it.reference.kind() == "user");
    import_links(app, db, users.filter_map(line).collect()).await;
}

/// Links the accounts of `lines`, as an admin's file lists them.
pub async fn import_links(app: &App, db: &PgPool, lines: Vec<Value>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), Value::from(lines).to_string()).unwrap();
    let snapshot = app.catalog.snapshot();
    let report = access::flow::import(db, file.path(), &snapshot, Utc::now()).await.unwrap();
    assert_eq!(report.problems, []);
    app.links.set(access::flow::load(db).await.unwrap());
}

/// `text` in a channel that is nobody's.
pub fn invocation(text: &str) -> Invocation {
    let (platform, tenant) = (Platform::Slack, "T0ACME".to_string());
    Invocation {
        speaker: Speaker { platform, tenant: tenant.clone(), user_id: "U0ACME0013".into() },
        address: Address {
            platform,
            tenant,
            channel_id: "C0NOBODY".into(),
            channel_name: Some("random".into()),
            thread: None,
        },
        text: text.into(),
    }
}
