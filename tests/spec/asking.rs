//! Acme's catalog in a database of one's own, and people who ask it.

use std::path::{Path, PathBuf};

use chrono::Utc;
use idp::access::Link;
use idp::access::link::{LinkSet, Made};
use idp::app::App;
use idp::catalog::{Catalog, Entity, EntityRef, Snapshot, flow};
use idp::commands::CommandSet;
use idp::conversation::{Address, Invocation, Platform, Reply, Speaker, Way};
use idp::integrations::http::{Client, Policy};
use idp::portal::Settings;

use crate::database::{self, Fresh};
use crate::directory;

pub fn acme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/acme")
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
        let http = Client::new(Policy { loopback: true, ..Policy::default() });
        let catalog = Catalog::new(snapshot);
        let app = App::new(catalog, commands, settings, Some(fresh.db.clone()), http);
        app.links.set(links(&app.catalog.snapshot()));
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

/// Acme's people are linked to the accounts that their descriptors name.
fn links(snapshot: &Snapshot) -> LinkSet {
    let link = |user: &Entity| {
        let body = snapshot.body(user);
        let user_id = body["metadata"]["annotations"]["slack.com/user-id"].as_str()?;
        let speaker = Speaker {
            platform: Platform::Slack,
            tenant: "T0ACME".into(),
            user_id: user_id.to_string(),
        };
        let link = Link {
            user: user.reference.clone(),
            guest: false,
            generation: 1,
            made_by: Made::Import,
            created_at: Utc::now(),
        };
        Some((speaker, link))
    };
    LinkSet { revision: 1, by_account: snapshot.entities().filter_map(link).collect() }
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
