//! What each built-in kind has in its `spec`, and which of its fields relate it to others.
//!
//! One table for both. Source: the JSON schemas of Backstage's catalog-model 1.10 and scaffolder-common 2.3, and
//! for relations `BuiltinKindsEntityProcessor.ts`, whose order the fields keep.

use super::shape::Shape;
use crate::catalog::RelationKind;

#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    pub api_versions: &'static [&'static str],
    pub fields: &'static [Field],
}

#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    /// What one could write there; `None` when the field may be left out.
    pub required: Option<&'static str>,
    pub relation: Option<Relates>,
}

/// How a field relates its entity to those it names.
#[derive(Debug, Clone, Copy)]
pub struct Relates {
    pub by: RelationKind,
    /// The kind of a reference that says none; `None` when Backstage refuses such a reference.
    pub default_kind: Option<&'static str>,
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: None, relation: None }
}

impl Field {
    const fn required(self, example: &'static str) -> Field {
        Field { required: Some(example), ..self }
    }

    const fn relates(self, by: RelationKind, default_kind: Option<&'static str>) -> Field {
        Field { relation: Some(Relates { by, default_kind }), ..self }
    }
}

const CORE: &[&str] = &["backstage.io/v1alpha1", "backstage.io/v1beta1"];
const SCAFFOLDER: &[&str] = &["scaffolder.backstage.io/v1beta3"];

// Fields that several kinds have.
const TYPE: Field = field("type", Shape::Text);
const LIFECYCLE: Field = field("lifecycle", Shape::Text).required("production");
/// A list is our own: Backstage takes one owner.
const OWNER: Field =
    field("owner", Shape::TextOrTexts).relates(RelationKind::OwnedBy, Some("group"));
const OWNER_REQUIRED: Field = OWNER.required("my-team");
const SYSTEM: Field = field("system", Shape::Text).relates(RelationKind::PartOf, Some("system"));
const DEPENDS_ON: Field = field("dependsOn", Shape::Texts).relates(RelationKind::DependsOn, None);
/// Backstage has no schema for it, so it may be one reference as well as several.
const DEPENDENCY_OF: Field =
    field("dependencyOf", Shape::TextOrTexts).relates(RelationKind::DependencyOf, None);
const PROFILE: Field = field(
    "profile",
    Shape::Mapping(&[
        field("displayName", Shape::Text),
        field("email", Shape::Text),
        field("picture", Shape::Text),
    ]),
);

/// The kinds that Backstage knows.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "Component",
        api_versions: CORE,
        fields: &[
            TYPE.required("service"),
            LIFECYCLE,
            OWNER_REQUIRED,
            field("subcomponentOf", Shape::Text).relates(RelationKind::PartOf, Some("component")),
            field("providesApis", Shape::Texts).relates(RelationKind::ProvidesApi, Some("api")),
            field("consumesApis", Shape::Texts).relates(RelationKind::ConsumesApi, Some("api")),
            DEPENDS_ON,
            DEPENDENCY_OF,
            SYSTEM,
        ],
    },
    Kind {
        name: "API",
        api_versions: CORE,
        fields: &[
            TYPE.required("openapi"),
            LIFECYCLE,
            OWNER_REQUIRED,
            SYSTEM,
            field("definition", Shape::Text).required("{$text: ./openapi.yaml}"),
        ],
    },
    Kind {
        name: "Resource",
        api_versions: CORE,
        fields: &[TYPE.required("database"), OWNER_REQUIRED, DEPENDS_ON, DEPENDENCY_OF, SYSTEM],
    },
    Kind {
        name: "User",
        api_versions: CORE,
        fields: &[
            PROFILE,
            field("memberOf", Shape::Texts)
                .required("[]")
                .relates(RelationKind::MemberOf, Some("group")),
        ],
    },
    Kind {
        name: "Group",
        api_versions: CORE,
        fields: &[
            TYPE.required("team"),
            PROFILE,
            field("parent", Shape::Text).relates(RelationKind::ChildOf, Some("group")),
            field("children", Shape::Texts)
                .required("[]")
                .relates(RelationKind::ParentOf, Some("group")),
            field("members", Shape::Texts).relates(RelationKind::HasMember, Some("user")),
        ],
    },
    Kind {
        name: "System",
        api_versions: CORE,
        fields: &[
            TYPE,
            OWNER_REQUIRED,
            field("domain", Shape::Text).relates(RelationKind::PartOf, Some("domain")),
        ],
    },
    Kind {
        name: "Domain",
        api_versions: CORE,
        fields: &[
            TYPE,
            OWNER_REQUIRED,
            field("subdomainOf", Shape::Text).relates(RelationKind::PartOf, Some("domain")),
        ],
    },
    Kind {
        name: "Location",
        api_versions: CORE,
        fields: &[
            TYPE,
            field("target", Shape::Text),
            field("targets", Shape::Texts),
            field("presence", Shape::Word(&["required", "optional"])),
        ],
    },
    Kind { name: "Template", api_versions: SCAFFOLDER, fields: TEMPLATE },
];

const PERMISSIONS: Field =
    field("backstage:permissions", Shape::Mapping(&[field("tags", Shape::AnyTexts)]));
const FORM_DECORATORS: Shape =
    Shape::Mappings(&[field("id", Shape::AnyText), field("input", Shape::Mapping(&[]))]);

const TEMPLATE: &[Field] = &[
    TYPE.required("service"),
    LIFECYCLE_OF_TEMPLATE,
    OWNER,
    field("parameters", Shape::MappingOrMappings(&[PERMISSIONS])),
    field("secrets", Shape::Mapping(&[field("schema", Shape::Mapping(&[]))])),
    field(
        "presentation",
        Shape::Mapping(&[field(
            "buttonLabels",
            Shape::Mapping(&[
                field("backButtonText", Shape::AnyText),
                field("createButtonText", Shape::AnyText),
                field("reviewButtonText", Shape::AnyText),
            ]),
        )]),
    ),
    field(
        "EXPERIMENTAL_recovery",
        Shape::Mapping(&[field("EXPERIMENTAL_strategy", Shape::AnyText)]),
    ),
    field("formDecorators", FORM_DECORATORS),
    field("EXPERIMENTAL_formDecorators", FORM_DECORATORS),
    field(
        "steps",
        Shape::Mappings(&[
            field("id", Shape::AnyText),
            field("name", Shape::AnyText),
            field("action", Shape::AnyText).required("fetch:template"),
            field("input", Shape::Mapping(&[])),
            field("if", Shape::TextOrBool),
            PERMISSIONS,
        ]),
    )
    .required("[]"),
    field(
        "output",
        Shape::MappingOfTexts(&[
            field(
                "links",
                Shape::Mappings(&[
                    field("if", Shape::TextOrBool),
                    field("url", Shape::Text),
                    field("entityRef", Shape::Text),
                    field("title", Shape::Text),
                    field("icon", Shape::Text),
                ]),
            ),
            field(
                "text",
                Shape::Mappings(&[
                    field("if", Shape::TextOrBool),
                    field("title", Shape::Text),
                    field("icon", Shape::Text),
                    field("content", Shape::AnyText),
                ]),
            ),
        ]),
    ),
];
const LIFECYCLE_OF_TEMPLATE: Field = field("lifecycle", Shape::Text);

/// What fields mean in a kind of one's own, where they have the shape they have everywhere else.
///
/// Backstage relates custom kinds to nothing. But who writes `owner` into a `Product` means its owner,
/// and asks for it with the same words as for a component.
pub const CUSTOM: &[Field] = &[OWNER, DEPENDS_ON, DEPENDENCY_OF, SYSTEM];

/// The built-in kind of this name, whatever its case.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name.eq_ignore_ascii_case(name))
}
