//! What answers need of an entity's body beyond the snapshot: reachability, links, names of people.
//!
//! It reads only these parts: a whole body as a tree would cost more than the rest of an answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::catalog::snapshot::ON_CALL;
use crate::catalog::snapshot::pages::REPOSITORIES;
use crate::catalog::{Entity, EntityRef};

#[derive(Debug, Default, PartialEq)]
pub struct Details<'a> {
    /// `spec.profile.displayName`
    pub display_name: Option<Cow<'a, str>>,
    pub email: Option<Cow<'a, str>>,
    pub channel: Option<Channel<'a>>,
    pub on_call: Option<OnCall<'a>>,
    pub links: Vec<Link<'a>>,
    pub tags: Vec<Cow<'a, str>>,
    /// Groups that a User leads.
    pub leader_of: Vec<EntityRef>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Channel<'a> {
    /// `None` where only a name is known.
    pub id: Option<Cow<'a, str>>,
    /// Without `#`; the id where there is no name.
    pub name: Cow<'a, str>,
}

/// Whom to ask who is on call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnCall<'a> {
    /// `PagerDuty service`
    pub system: &'static str,
    pub id: Cow<'a, str>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Link<'a> {
    /// The address where there is no title.
    pub title: Cow<'a, str>,
    pub url: Cow<'a, str>,
    /// `runbook`, `dashboard`; `None` where nobody said.
    #[serde(rename = "type")]
    pub class: Option<Cow<'a, str>>,
}

/// Annotations that are a channel, the surest first.
const CHANNEL_ID: &str = "slack.com/channel-id";
const CHANNEL_NAMES: [&str; 2] = ["slack.com/channel-name", "slack.com/channel"];

const DASHBOARD: &str = "datadoghq.com/dashboard-url";

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    metadata: Parts<'a>,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
}

/// Values stay text until they are known to be of the right type: one odd value costs nothing but itself.
#[derive(Deserialize, Default)]
struct Parts<'a> {
    #[serde(borrow, default)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow, default)]
    links: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tags: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Spec<'a> {
    #[serde(borrow, default)]
    profile: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "leaderOf")]
    leader_of: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Profile<'a> {
    #[serde(borrow, default, rename = "displayName")]
    display_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    email: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawLink<'a> {
    #[serde(borrow, default)]
    url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    title: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    class: Option<&'a RawValue>,
}

impl<'a> Details<'a> {
    pub fn of(entity: &'a Entity) -> Details<'a> {
        let Ok(body) = serde_json::from_str::<Body<'a>>(&entity.body) else {
            return Details::default();
        };
        let annotations = Annotations::of(body.metadata.annotations);
        let spec: Spec = read(body.spec).unwrap_or_default();
        let profile: Profile = read(spec.profile).unwrap_or_default();
        let mut links = links(body.metadata.links);
        links.extend(annotations.repository());
        links.extend(annotations.get(DASHBOARD).map(|url| Link {
            title: Cow::Borrowed("Datadog"),
            url,
            class: Some(Cow::Borrowed("dashboard")),
        }));
        Details {
            display_name: text(profile.display_name),
            email: text(profile.email),
            channel: annotations.channel(),
            on_call: annotations.on_call(),
            links,
            tags: texts(body.metadata.tags),
            leader_of: texts(spec.leader_of)
                .iter()
                .filter_map(|group| {
                    EntityRef::parse(group, Some("group"), entity.reference.namespace()).ok()
                })
                .collect(),
        }
    }
}

/// Annotations in their order. There are few: a list is faster than a map.
struct Annotations<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Annotations<'a> {
    fn of(raw: Option<&'a RawValue>) -> Annotations<'a> {
        Annotations(read::<Pairs<'a>>(raw).map(|pairs| pairs.0).unwrap_or_default())
    }

    fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        text(self.0.iter().find(|(given, _)| given == name).map(|(_, value)| *value))
    }

    fn channel(&self) -> Option<Channel<'a>> {
        let id = self.get(CHANNEL_ID);
        let name = CHANNEL_NAMES.iter().find_map(|name| self.get(name));
        let name = name.or_else(|| id.clone())?;
        let name = match name {
            Cow::Borrowed(name) => Cow::Borrowed(name.trim_start_matches('#')),
            Cow::Owned(name) => Cow::Owned(name.trim_start_matches('#').to_string()),
        };
        Some(Channel { id, name })
    }

    fn on_call(&self) -> Option<OnCall<'a>> {
        ON_CALL.iter().find_map(|(name, system)| Some(OnCall { system, id: self.get(name)? }))
    }

    fn repository(&self) -> Option<Link<'a>> {
        REPOSITORIES.iter().find_map(|(name, host)| {
            let slug = self.get(name)?;
            Some(Link {
                url: format!("{host}{}", slug.trim_start_matches('/')).into(),
                title: Cow::Borrowed("Repository"),
                class: Some(Cow::Borrowed("repository")),
            })
        })
    }
}

/// The entries of an object, in their order.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> serde::de::Visitor<'de> for Entries {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: serde::de::MapAccess<'de>>(
                self,
                mut entries: M,
            ) -> Result<Self::Value, M::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = entries.next_entry::<Text<'de>, &'de RawValue>()? {
                    pairs.push((name.0, value));
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Entries).map(Pairs)
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn read<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// `None` for what is not text, and for text without anything in it.
fn text<'a>(raw: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    read::<Text<'a>>(raw).map(|text| text.0).filter(|text| !text.trim().is_empty())
}

fn texts<'a>(raw: Option<&'a RawValue>) -> Vec<Cow<'a, str>> {
    let items: Vec<&'a RawValue> = read(raw).unwrap_or_default();
    items.into_iter().filter_map(|item| text(Some(item))).collect()
}

fn links<'a>(raw: Option<&'a RawValue>) -> Vec<Link<'a>> {
    let items: Vec<&'a RawValue> = read(raw).unwrap_or_default();
    let links = items.into_iter().filter_map(|item| {
        let link: RawLink<'a> = read(Some(item))?;
        let url = text(link.url)?;
        let title = text(link.title).unwrap_or_else(|| url.clone());
        Some(Link { title, url, class: text(link.class) })
    });
    links.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::Place;

    fn entity(body: serde_json::Value) -> Entity {
        Entity {
            reference: EntityRef::new("component", "default", "a"),
            kind: "Component".into(),
            name: "a".into(),
            title: None,
            description: None,
            class: None,
            lifecycle: None,
            tier: None,
            place: Place { source: "".into(), file: "".into(), document: 0, line: 1 },
            orphaned: false,
            body: body.to_string().into(),
        }
    }

    #[test]
    fn an_entity_says_how_to_reach_its_people() {
        let entity = entity(json!({
            "metadata": {
                "annotations": {
                    "slack.com/channel-name": "#team-a",
                    "pagerduty.com/service-id": "P1",
                    "github.com/project-slug": "acme/a",
                },
                "links": [{ "url": "https://wiki.example/a", "title": "Runbook", "type": "runbook" }],
            },
            "spec": { "profile": { "displayName": "A \"quoted\"", "email": "a@acme.example" }, "leaderOf": ["b"] },
        }));
        let details = Details::of(&entity);
        assert_eq!(details.display_name.as_deref(), Some("A \"quoted\""));
        assert_eq!(details.channel.unwrap().name, "team-a");
        assert_eq!(details.on_call.unwrap().id, "P1");
        let links: Vec<&str> = details.links.iter().map(|it| it.url.as_ref()).collect();
        assert_eq!(links, ["https://wiki.example/a", "https://github.com/acme/a"]);
        assert_eq!(details.leader_of, [EntityRef::new("group", "default", "b")]);
    }

    #[test]
    fn a_value_of_a_wrong_type_costs_only_itself() {
        let entity = entity(json!({
            "metadata": {
                "annotations": { "slack.com/channel-name": 7, "pagerduty.com/service-id": "P1" },
                "links": [{ "url": [] }, 3, { "url": "https://wiki.example/a" }],
                "tags": [1, "go"],
            },
            "spec": { "profile": "nobody" },
        }));
        let details = Details::of(&entity);
        assert_eq!(details.channel, None);
        assert_eq!(details.on_call.unwrap().id, "P1");
        assert_eq!(details.links.len(), 1);
        assert_eq!(details.tags, ["go"]);
    }
}
