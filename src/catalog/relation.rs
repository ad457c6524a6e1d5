//! Relations between entities, in Backstage's words.
//!
//! Source: Backstage `BuiltinKindsEntityProcessor.ts`, `well-known-relations.md`.

use serde::{Deserialize, Serialize};

use super::EntityRef;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub enum RelationKind {
    OwnedBy,
    OwnerOf,
    PartOf,
    HasPart,
    ProvidesApi,
    ApiProvidedBy,
    ConsumesApi,
    ApiConsumedBy,
    DependsOn,
    DependencyOf,
    ParentOf,
    ChildOf,
    MemberOf,
    HasMember,
}

/// One outgoing relation of an entity, as its own document says it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Relation {
    pub kind: RelationKind,
    /// When `bare`, the kind in it is a guess.
    pub target: EntityRef,
    /// The document named no kind and the field has no default one: Component, Resource, API are tried in that order.
    pub bare: bool,
}

impl RelationKind {
    pub const ALL: [RelationKind; 14] = [
        RelationKind::OwnedBy,
        RelationKind::OwnerOf,
        RelationKind::PartOf,
        RelationKind::HasPart,
        RelationKind::ProvidesApi,
        RelationKind::ApiProvidedBy,
        RelationKind::ConsumesApi,
        RelationKind::ApiConsumedBy,
        RelationKind::DependsOn,
        RelationKind::DependencyOf,
        RelationKind::ParentOf,
        RelationKind::ChildOf,
        RelationKind::MemberOf,
        RelationKind::HasMember,
    ];

    /// As descriptors and the database write it.
    pub fn word(self) -> &'static str {
        match self {
            RelationKind::OwnedBy => "ownedBy",
            RelationKind::OwnerOf => "ownerOf",
            RelationKind::PartOf => "partOf",
            RelationKind::HasPart => "hasPart",
            RelationKind::ProvidesApi => "providesApi",
            RelationKind::ApiProvidedBy => "apiProvidedBy",
            RelationKind::ConsumesApi => "consumesApi",
            RelationKind::ApiConsumedBy => "apiConsumedBy",
            RelationKind::DependsOn => "dependsOn",
            RelationKind::DependencyOf => "dependencyOf",
            RelationKind::ParentOf => "parentOf",
            RelationKind::ChildOf => "childOf",
            RelationKind::MemberOf => "memberOf",
            RelationKind::HasMember => "hasMember",
        }
    }

    /// The kind that `word` names; `None` for a word we do not know.
    pub fn from_word(word: &str) -> Option<RelationKind> {
        RelationKind::ALL.into_iter().find(|it| it.word() == word)
    }

    /// The same relation seen from its other end.
    pub fn inverse(self) -> RelationKind {
        match self {
            RelationKind::OwnedBy => RelationKind::OwnerOf,
            RelationKind::OwnerOf => RelationKind::OwnedBy,
            RelationKind::PartOf => RelationKind::HasPart,
            RelationKind::HasPart => RelationKind::PartOf,
            RelationKind::ProvidesApi => RelationKind::ApiProvidedBy,
            RelationKind::ApiProvidedBy => RelationKind::ProvidesApi,
            RelationKind::ConsumesApi => RelationKind::ApiConsumedBy,
            RelationKind::ApiConsumedBy => RelationKind::ConsumesApi,
            RelationKind::DependsOn => RelationKind::DependencyOf,
            RelationKind::DependencyOf => RelationKind::DependsOn,
            RelationKind::ParentOf => RelationKind::ChildOf,
            RelationKind::ChildOf => RelationKind::ParentOf,
            RelationKind::MemberOf => RelationKind::HasMember,
            RelationKind::HasMember => RelationKind::MemberOf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relation_has_one_way_back() {
        for kind in RelationKind::ALL {
            assert_eq!(kind.inverse().inverse(), kind);
            assert_ne!(kind.inverse(), kind);
            assert_eq!(RelationKind::from_word(kind.word()), Some(kind));
        }
    }
}
