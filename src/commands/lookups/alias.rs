//! A name by which people asked in vain, given a meaning.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{Named, json, required};
use crate::catalog::EntityRef;
use crate::catalog::alias::{Alias, spoken};
use crate::commands::resolve::Question;
use crate::error::{Refusal, Result};

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub alias: &'a str,
    pub entity: Named<'a>,
}

/// The alias that is asked for. `of_settings` are those in `idp.yaml`.
///
/// # Errors
/// What cannot be said, is heard as a name already, or means something by the settings.
pub fn alias(question: &Question<'_>, of_settings: &BTreeMap<String, EntityRef>) -> Result<Alias> {
    let said = question.call.get("name").unwrap_or_default();
    let entity = required(question, "entity")?;
    let alias = Alias::of(question.snapshot, said, entity.reference.as_str())?;
    if of_settings.keys().any(|other| spoken(other) == alias.alias) {
        let expected = "it is an alias in `idp.yaml`, which goes first; change it there".into();
        let argument = "alias".into();
        return Err(Refusal::InvalidArgument { argument, value: alias.alias, expected }.into());
    }
    Ok(alias)
}

/// # Errors
/// A fault when the answer is no JSON.
pub fn answer(question: &Question<'_>, alias: &Alias) -> Result<Value> {
    let entity = Named::entity(question.snapshot, required(question, "entity")?);
    json(Answer { alias: &alias.alias, entity })
}
