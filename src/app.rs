//! The doors: someone types a command, someone clicks a button.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::catalog::Catalog;
use crate::commands::CommandSet;
use crate::conversation::{Click, Invocation, Reply};
use crate::integrations::http::Client;
use crate::portal::Settings;
use crate::postgres::Db;

/// Everything a question may need. Only `catalog` and `commands` are needed for lookups.
pub struct App {
    pub catalog: Arc<Catalog>,
    pub commands: ArcSwap<CommandSet>,
    pub settings: ArcSwap<Settings>,
    /// `None` while there is no database: lookups answer all the same.
    pub db: ArcSwap<Option<Db>>,
    pub http: Client,
}

impl App {
    /// Door one. Never fails: what went wrong is said too.
    pub async fn answer(&self, _invocation: Invocation) -> Reply {
        todo!()
    }

    /// Door two: the words behind the button, said by the person who clicked.
    pub async fn click(&self, click: Click) -> Reply {
        let Click { speaker, address, words } = click;
        self.answer(Invocation { speaker, address, text: words }).await
    }
}
