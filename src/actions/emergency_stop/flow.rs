//! Pulling the emergency stop, and letting go of it.

use anyhow::Context;
use serde_json::json;

use super::store;
use crate::access::{Object, Person, Verb};
use crate::actions::flow::{Desk, account_of, who};
use crate::audit::{self, Entry};
use crate::conversation::Way;
use crate::error::Result;

/// Nothing is begun until somebody says so; whether that is news.
///
/// # Errors
/// Who may not; the database.
pub async fn stop(desk: &Desk<'_>, person: &Person, way: Way, reason: &str) -> Result<bool> {
    let by = who(person)?;
    desk.authority.authorize(person, way, Verb::Stop, Object::Catalog)?;
    let what = "could not stop what is begun";
    let mut tx = desk.db.begin().await.context(what)?;
    let is_new = store::stop(&mut tx, by.as_str(), reason).await.context(what)?;
    let entry = Entry {
        kind: "actions.stopped",
        subject: "actions".into(),
        actor: by.to_string(),
        body: json!({ "by": account_of(person, way), "reason": reason }),
    };
    audit::store::append(&mut tx, &entry).await.context(what)?;
    tx.commit().await.context(what)?;
    Ok(is_new)
}

/// What is approved is begun again; whether that is news.
///
/// # Errors
/// Who may not; the database.
pub async fn resume(desk: &Desk<'_>, person: &Person, way: Way) -> Result<bool> {
    let by = who(person)?;
    desk.authority.authorize(person, way, Verb::Stop, Object::Catalog)?;
    let what = "could not let things begin again";
    let mut tx = desk.db.begin().await.context(what)?;
    let is_new = store::resume(&mut tx).await.context(what)?;
    let entry = Entry {
        kind: "actions.resumed",
        subject: "actions".into(),
        actor: by.to_string(),
        body: json!({ "by": account_of(person, way) }),
    };
    audit::store::append(&mut tx, &entry).await.context(what)?;
    tx.commit().await.context(what)?;
    Ok(is_new)
}
