//! Reading from an entity's body what lookups need at hand.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::pages;
use crate::catalog::{EntityRef, Place, StoredEntity};

/// An entity with what lookups need at hand; the rest is in `body`.
#[derive(Debug, Clone)]
pub struct Entity {
    pub reference: EntityRef,
    /// As written: `Component`.
    pub kind: Arc<str>,
    /// As written: `Payment-API`.
    pub name: Box<str>,
    pub title: Option<Box<str>>,
    pub description: Option<Box<str>>,
    /// `spec.type`
    pub class: Option<Arc<str>>,
    pub lifecycle: Option<Arc<str>>,
    /// From the label or annotation `tier`, or `spec.tier`.
    pub tier: Option<Arc<str>>,
    pub place: Place,
    pub orphaned: bool,
    /// JSON text `{"apiVersion":…,"kind":…,"metadata":…,"spec":…}`.
    pub body: Box<str>,
}

/// An entity with what only the snapshot itself looks at.
#[derive(Debug, Clone)]
pub struct Record {
    pub entity: Entity,
    pub tags: Box<[Arc<str>]>,
    /// Ids of its channels, or their names without `#`, as written.
    pub channels: Box<[Arc<str>]>,
    /// The pages of the web that are its, as they are compared.
    pub pages: Box<[Box<str>]>,
    /// Whom to ask who is on call.
    pub on_call: Option<Arc<str>>,
    pub orphaned_at: Option<DateTime<Utc>>,
}

/// Annotations that say whom to ask who is on call, the surest first.
pub const ON_CALL: [(&str, &str); 7] = [
    ("pagerduty.com/service-id", "PagerDuty service"),
    ("pagerduty.com/schedule-id", "PagerDuty schedule"),
    ("opsgenie.com/team", "Opsgenie team"),
    ("opsgenie.com/component-selector", "Opsgenie alerts"),
    ("splunk.com/on-call-team", "Splunk On-Call team"),
    ("rootly.com/service-slug", "Rootly service"),
    ("rootly.com/service-id", "Rootly service"),
];

/// Annotations whose value is a channel.
const CHANNELS: [&str; 4] =
    ["slack.com/channel", "slack.com/channel-id", "slack.com/channel-name", "slack.com/bot-notify"];

/// Keeps each text once.
#[derive(Debug, Default)]
pub struct Interner(HashSet<Arc<str>>);

impl Interner {
    fn keep(&mut self, text: &str) -> Arc<str> {
        if let Some(kept) = self.0.get(text) {
            return kept.clone();
        }
        let kept: Arc<str> = text.into();
        self.0.insert(kept.clone());
        kept
    }
}

impl Record {
    /// Reads the body; where it is not as descriptors are, what cannot be read is left out.
    pub fn read(stored: StoredEntity, interner: &mut Interner) -> Record {
        let StoredEntity { reference, body, place, orphaned_at, .. } = stored;
        let said: Lenient<Body<'_>> = serde_json::from_str(&body).unwrap_or_else(|error| {
            let reference = reference.as_str();
            tracing::error!(reference, %error, "could not read the body of an entity");
            Lenient::default()
        });
        let Body { kind, mut metadata, spec } = said.0;
        let tier = metadata.labels.tier.or(metadata.annotations.tier.take()).or(spec.tier);
        let mut keep = |text: Cow<'_, str>| interner.keep(&text);
        let own = |text: Cow<'_, str>| text.into_owned().into_boxed_str();
        let tags = metadata.tags.into_iter().map(&mut keep).collect();
        let addresses = std::mem::take(&mut metadata.annotations.addresses);
        let pages = pages::pages(metadata.links.0.into_iter().chain(addresses));
        let on_call = metadata.annotations.on_call.take().map(|(_, text)| keep(text));
        let channels = metadata.annotations.channels(&mut keep);
        let entity = Entity {
            kind: keep(kind.unwrap_or(reference.kind().into())),
            name: own(metadata.name.unwrap_or(reference.name().into())),
            title: metadata.title.map(own),
            description: metadata.description.map(own),
            class: spec.class.map(&mut keep),
            lifecycle: spec.lifecycle.map(&mut keep),
            tier: tier.map(&mut keep),
            place: Place {
                source: keep((&*place.source).into()),
                file: keep((&*place.file).into()),
                ..place
            },
            orphaned: orphaned_at.is_some(),
            reference,
            body,
        };
        Record { entity, tags, channels, pages, on_call, orphaned_at }
    }
}

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Default)]
struct Body<'a> {
    kind: Text<'a>,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Default)]
struct Metadata<'a> {
    name: Text<'a>,
    title: Text<'a>,
    description: Text<'a>,
    tags: Vec<Cow<'a, str>>,
    links: Links<'a>,
    labels: Marks<'a>,
    annotations: Marks<'a>,
}

#[derive(Default)]
struct Spec<'a> {
    class: Text<'a>,
    lifecycle: Text<'a>,
    tier: Text<'a>,
}

/// Labels or annotations.
#[derive(Default)]
struct Marks<'a> {
    tier: Text<'a>,
    channels: Vec<Cow<'a, str>>,
    /// The surest, with its place in `ON_CALL`.
    on_call: Option<(usize, Cow<'a, str>)>,
    /// Of pages of the web.
    addresses: Vec<Cow<'a, str>>,
}

/// The addresses of links.
#[derive(Default)]
struct Links<'a>(Vec<Cow<'a, str>>);

#[derive(Default)]
struct Link<'a> {
    url: Text<'a>,
}

impl<'a> Marks<'a> {
    fn be_on_call(&mut self, place: usize, value: Text<'a>) {
        let Some(text) = value.filter(|text| !text.trim().is_empty()) else { return };
        if self.on_call.as_ref().is_none_or(|(surest, _)| place < *surest) {
            self.on_call = Some((place, text));
        }
    }

    fn channels(self, mut keep: impl FnMut(Cow<'_, str>) -> Arc<str>) -> Box<[Arc<str>]> {
        let mut channels = Vec::new();
        for channel in self.channels {
            let name = channel.trim().trim_start_matches('#');
            let channel = keep(name.into());
            if !name.is_empty() && !channels.contains(&channel) {
                channels.push(channel);
            }
        }
        channels.into()
    }
}

/// What is read from JSON of any shape: what it does not expect, it passes over.
trait Expect<'de>: Default {
    /// A string, a number or a boolean.
    fn scalar(&mut self, _text: Cow<'de, str>) {}

    /// One value of an object.
    fn value<A: MapAccess<'de>>(&mut self, _key: &str, object: &mut A) -> Result<(), A::Error> {
        object.next_value::<IgnoredAny>().map(drop)
    }

    /// One value of an array; `false` at its end.
    fn element<A: SeqAccess<'de>>(&mut self, array: &mut A) -> Result<bool, A::Error> {
        Ok(array.next_element::<IgnoredAny>()?.is_some())
    }
}

impl<'de> Expect<'de> for Text<'de> {
    fn scalar(&mut self, text: Cow<'de, str>) {
        *self = Some(text);
    }
}

impl<'de> Expect<'de> for Vec<Cow<'de, str>> {
    fn element<A: SeqAccess<'de>>(&mut self, array: &mut A) -> Result<bool, A::Error> {
        let element = array.next_element::<Lenient<Text<'de>>>()?;
        let is_there = element.is_some();
        self.extend(element.and_then(|it| it.0));
        Ok(is_there)
    }
}

impl<'de> Expect<'de> for Links<'de> {
    fn element<A: SeqAccess<'de>>(&mut self, array: &mut A) -> Result<bool, A::Error> {
        let element = array.next_element::<Lenient<Link<'de>>>()?;
        let is_there = element.is_some();
        self.0.extend(element.and_then(|it| it.0.url));
        Ok(is_there)
    }
}

impl<'de> Expect<'de> for Link<'de> {
    fn value<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error> {
        match key {
            "url" => read(&mut self.url, object),
            _ => object.next_value::<IgnoredAny>().map(drop),
        }
    }
}

impl<'de> Expect<'de> for Body<'de> {
    fn value<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error> {
        match key {
            "kind" => read(&mut self.kind, object),
            "metadata" => read(&mut self.metadata, object),
            "spec" => read(&mut self.spec, object),
            _ => object.next_value::<IgnoredAny>().map(drop),
        }
    }
}

impl<'de> Expect<'de> for Metadata<'de> {
    fn value<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error> {
        match key {
            "name" => read(&mut self.name, object),
            "title" => read(&mut self.title, object),
            "description" => read(&mut self.description, object),
            "tags" => read(&mut self.tags, object),
            "links" => read(&mut self.links, object),
            "labels" => read(&mut self.labels, object),
            "annotations" => read(&mut self.annotations, object),
            _ => object.next_value::<IgnoredAny>().map(drop),
        }
    }
}

impl<'de> Expect<'de> for Spec<'de> {
    fn value<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error> {
        match key {
            "type" => read(&mut self.class, object),
            "lifecycle" => read(&mut self.lifecycle, object),
            "tier" => read(&mut self.tier, object),
            _ => object.next_value::<IgnoredAny>().map(drop),
        }
    }
}

impl<'de> Expect<'de> for Marks<'de> {
    fn value<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error> {
        match key {
            "tier" => read(&mut self.tier, object),
            _ if CHANNELS.contains(&key) => {
                let channel = object.next_value::<Lenient<Text<'de>>>()?;
                self.channels.extend(channel.0);
                Ok(())
            }
            _ => {
                let value = object.next_value::<Lenient<Text<'de>>>()?.0;
                if let Some(place) = ON_CALL.iter().position(|(name, _)| *name == key) {
                    self.be_on_call(place, value);
                    return Ok(());
                }
                self.addresses.extend(value.and_then(|it| pages::of_annotation(key, it)));
                Ok(())
            }
        }
    }
}

fn read<'de, T, A>(into: &mut T, object: &mut A) -> Result<(), A::Error>
where
    T: Expect<'de>,
    A: MapAccess<'de>,
{
    *into = object.next_value::<Lenient<T>>()?.0;
    Ok(())
}

#[derive(Default)]
struct Lenient<T>(T);

impl<'de, T: Expect<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient(T::default()))
    }
}

impl<'de, T: Expect<'de>> Visitor<'de> for Lenient<T> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_borrowed_str<E>(mut self, text: &'de str) -> Result<Self, E> {
        self.0.scalar(Cow::Borrowed(text));
        Ok(self)
    }

    fn visit_str<E>(mut self, text: &str) -> Result<Self, E> {
        self.0.scalar(Cow::Owned(text.to_owned()));
        Ok(self)
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<Self, E> {
        self.0.scalar(value.to_string().into());
        Ok(self)
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<Self, E> {
        self.0.scalar(value.to_string().into());
        Ok(self)
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<Self, E> {
        self.0.scalar(value.to_string().into());
        Ok(self)
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<Self, E> {
        self.0.scalar(value.to_string().into());
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Self, A::Error> {
        while let Some(key) = object.next_key::<Lenient<Text<'de>>>()? {
            self.0.value(key.0.as_deref().unwrap_or_default(), &mut object)?;
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<Self, A::Error> {
        while self.0.element(&mut array)? {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Record {
        let stored = StoredEntity {
            reference: EntityRef::new("Component", "default", "Payment-API"),
            body: body.into(),
            relations: Vec::new(),
            place: Place { source: "test".into(), file: "a.yaml".into(), document: 0, line: 1 },
            orphaned_at: None,
        };
        Record::read(stored, &mut Interner::default())
    }

    #[test]
    fn what_lookups_need_is_at_hand() {
        let it = read(
            r##"{"kind":"Component","metadata":{"name":"Payment-API","title":"P\u00e4y","tags":["go"],
            "annotations":{"slack.com/channel":"#pay","slack.com/channel-id":"C1"}},
            "spec":{"type":"service","lifecycle":"production","tier":1}}"##,
        );
        assert_eq!((&*it.entity.kind, &*it.entity.name), ("Component", "Payment-API"));
        assert_eq!(it.entity.title.as_deref(), Some("P\u{e4}y"));
        assert_eq!(it.entity.class.as_deref(), Some("service"));
        assert_eq!(it.entity.tier.as_deref(), Some("1"));
        assert_eq!(&*it.tags, ["go".into()]);
        assert_eq!(*it.channels, ["pay".into(), "C1".into()]);
    }

    #[test]
    fn the_surest_annotation_says_whom_to_ask_who_is_on_call() {
        let on_call = |annotations: &str| {
            read(&format!(r#"{{"metadata":{{"annotations":{annotations}}}}}"#)).on_call
        };
        let both = r#"{"opsgenie.com/team":"ops","pagerduty.com/service-id":"P1","rootly.com/service-id":"R1"}"#;
        assert_eq!(on_call(both).as_deref(), Some("P1"));
        assert_eq!(
            on_call(r#"{"pagerduty.com/service-id":" ","opsgenie.com/team":"ops"}"#).as_deref(),
            Some("ops")
        );
        assert_eq!(on_call(r#"{"backstage.io/techdocs-ref":"dir:."}"#), None);
    }

    #[test]
    fn a_label_says_the_tier_before_an_annotation_and_the_spec() {
        let body = |labels: &str, annotations: &str| {
            format!(
                r#"{{"metadata":{{"labels":{labels},"annotations":{annotations}}},"spec":{{"tier":"c"}}}}"#
            )
        };
        let tier = |body: String| read(&body).entity.tier.unwrap().to_string();
        assert_eq!(tier(body(r#"{"tier":"a"}"#, r#"{"tier":"b"}"#)), "a");
        assert_eq!(tier(body("null", r#"{"tier":"b"}"#)), "b");
        assert_eq!(tier(body("[]", "7")), "c");
    }

    #[test]
    fn what_has_another_shape_is_left_out() {
        for body in [
            "null",
            "[]",
            r#"{"kind":{},"metadata":[1,[2]],"spec":"x"}"#,
            r#"{"metadata":{"name":null,"tags":{"a":1},"title":[]},"spec":{"type":{"a":1}}}"#,
            "not JSON",
        ] {
            let it = read(body);
            assert_eq!(
                (&*it.entity.kind, &*it.entity.name),
                ("component", "payment-api"),
                "{body}"
            );
            assert_eq!(
                (it.entity.title, it.entity.class, it.tags.len()),
                (None, None, 0),
                "{body}"
            );
        }
    }
}
