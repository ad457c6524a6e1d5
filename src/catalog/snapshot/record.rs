//! One entity as a snapshot holds it.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Entity;
use crate::catalog::{Relation, StoredEntity};

#[derive(Debug)]
pub(super) struct Record {
    pub entity: Entity,
    pub relations: Box<[Relation]>,
    pub tags: Box<[Box<str>]>,
    /// Where it is talked about: ids, or names without `#`; lower case.
    pub channels: Box<[Box<str>]>,
    pub slack_user: Option<Box<str>>,
    pub orphaned_at: Option<DateTime<Utc>>,
}

/// Words that many entities share, kept once.
#[derive(Default)]
pub(super) struct Strings(HashSet<Arc<str>>);

impl Strings {
    fn keep(&mut self, text: &str) -> Arc<str> {
        if let Some(kept) = self.0.get(text) {
            return kept.clone();
        }
        let kept: Arc<str> = text.into();
        self.0.insert(kept.clone());
        kept
    }
}

/// The parts of a body that lookups ask for. Whatever is not text there counts as absent.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    title: Option<&'a RawValue>,
    #[serde(borrow)]
    description: Option<&'a RawValue>,
    #[serde(borrow)]
    tags: Option<&'a RawValue>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Labels<'a> {
    #[serde(borrow)]
    tier: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Annotations<'a> {
    #[serde(borrow)]
    tier: Option<&'a RawValue>,
    #[serde(borrow, rename = "slack.com/channel")]
    channel: Option<&'a RawValue>,
    #[serde(borrow, rename = "slack.com/channel-id")]
    channel_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "slack.com/channel-name")]
    channel_name: Option<&'a RawValue>,
    #[serde(borrow, rename = "slack.com/bot-notify")]
    bot_notify: Option<&'a RawValue>,
    #[serde(borrow, rename = "slack.com/user-id")]
    user_id: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec<'a> {
    #[serde(borrow, rename = "type")]
    class: Option<&'a RawValue>,
    #[serde(borrow)]
    lifecycle: Option<&'a RawValue>,
    #[serde(borrow)]
    tier: Option<&'a RawValue>,
}

impl Record {
    pub fn new(stored: StoredEntity, strings: &mut Strings) -> Record {
        let StoredEntity { reference, body, relations, place, orphaned_at } = stored;
        let read: Body = serde_json::from_str(&body).unwrap_or_default();
        let metadata: Metadata = part(read.metadata);
        let labels: Labels = part(metadata.labels);
        let annotations: Annotations = part(metadata.annotations);
        let spec: Spec = part(read.spec);
        let tier = [labels.tier, annotations.tier, spec.tier].into_iter().find_map(scalar);
        let channels = [
            annotations.channel,
            annotations.channel_id,
            annotations.channel_name,
            annotations.bot_notify,
        ];
        let is_user = reference.kind() == "user";
        let slack_user = annotations.user_id.and_then(text).filter(|_| is_user);
        let channels = channels.into_iter().flatten().filter_map(text).map(channel).collect();
        let tags = part::<Vec<Box<str>>>(metadata.tags).into_boxed_slice();
        let entity = Entity {
            kind: strings
                .keep(&read.kind.and_then(text).unwrap_or_else(|| reference.kind().into())),
            name: metadata.name.and_then(text).unwrap_or_else(|| reference.name().into()).into(),
            title: metadata.title.and_then(text).map(Into::into),
            description: metadata.description.and_then(text).map(Into::into),
            class: spec.class.and_then(text).map(|it| strings.keep(&it)),
            lifecycle: spec.lifecycle.and_then(text).map(|it| strings.keep(&it)),
            tier: tier.map(|it| strings.keep(&it)),
            orphaned: orphaned_at.is_some(),
            reference,
            place,
            body,
        };
        Record {
            entity,
            relations: relations.into_boxed_slice(),
            tags,
            channels,
            slack_user: slack_user.map(Into::into),
            orphaned_at,
        }
    }

    /// What it was made of.
    pub fn stored(&self) -> StoredEntity {
        StoredEntity {
            reference: self.entity.reference.clone(),
            body: self.entity.body.clone(),
            relations: self.relations.to_vec(),
            place: self.entity.place.clone(),
            orphaned_at: self.orphaned_at,
        }
    }

    /// Whether `next`, the same entity later, is found by the same words.
    pub fn is_called_as(&self, next: &Record) -> bool {
        self.entity.title == next.entity.title
            && self.channels == next.channels
            && self.slack_user == next.slack_user
    }
}

/// `#Payments` and `payments` are one channel.
pub(super) fn channel(written: String) -> Box<str> {
    written.trim().trim_start_matches('#').to_lowercase().into()
}

fn part<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|it| serde_json::from_str(it.get()).ok()).unwrap_or_default()
}

fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// Text, or a number as it is written: `tier: 1`.
fn scalar(raw: Option<&RawValue>) -> Option<String> {
    let raw = raw?;
    let is_number = raw.get().starts_with(|first: char| first.is_ascii_digit());
    text(raw).or_else(|| is_number.then(|| raw.get().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{EntityRef, Place};

    fn record(body: &str) -> Record {
        let stored = StoredEntity {
            reference: EntityRef::new("component", "default", "pay"),
            body: body.into(),
            relations: Vec::new(),
            place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            orphaned_at: None,
        };
        Record::new(stored, &mut Strings::default())
    }

    #[test]
    fn what_lookups_ask_for_is_taken_from_the_body() {
        let it = record(
            r##"{"kind":"Component","metadata":{"name":"Pay","title":"Payments","tags":["go"],
               "labels":{"tier":"1"},"annotations":{"slack.com/channel":"#Payments"}},
               "spec":{"type":"service","lifecycle":"production"}}"##,
        );
        assert_eq!((&*it.entity.kind, &*it.entity.name), ("Component", "Pay"));
        assert_eq!(it.entity.title.as_deref(), Some("Payments"));
        assert_eq!(it.entity.class.as_deref(), Some("service"));
        assert_eq!(it.entity.tier.as_deref(), Some("1"));
        assert_eq!(&*it.channels, [Box::from("payments")]);
        assert_eq!(&*it.tags, [Box::from("go")]);
    }

    #[test]
    fn what_is_not_text_there_counts_as_absent() {
        let it =
            record(r#"{"kind":7,"metadata":{"name":[],"tags":"go"},"spec":{"type":{},"tier":2}}"#);
        assert_eq!((&*it.entity.kind, &*it.entity.name), ("component", "pay"));
        assert_eq!(it.entity.class, None);
        assert_eq!(it.entity.tier.as_deref(), Some("2"));
        let it = record("not json");
        assert_eq!(&*it.entity.name, "pay");
    }
}
