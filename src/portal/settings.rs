//! `idp.yaml`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::EntityRef;
use crate::catalog::sources::Source;

/// `idp.yaml`, read and found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub organisation: String,
    pub sources: Vec<Source>,
    /// How often sources are read again.
    pub refresh: Duration,
    pub orphan_grace: Duration,
    pub mass_delete_percent: u8,
    /// What people say → the entity they mean.
    pub aliases: BTreeMap<String, EntityRef>,
    pub slack: SlackSettings,
    /// Hosts with ports that may be private.
    pub allowed_hosts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlackSettings {
    /// The workspace; requests of another are refused. Empty: the one of the bot's token.
    pub team_id: Option<String>,
}
