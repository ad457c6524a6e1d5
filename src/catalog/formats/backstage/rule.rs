//! The rules a descriptor can break. `docs/descriptors.md` explains each.

use crate::catalog::Severity;

/// What a problem is about; [`Rule::word`] is what people see, filter by and look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    FileSize,
    Encoding,
    DocumentCount,
    Yaml,
    DuplicateKey,
    YamlLimit,
    NotAMapping,
    RequiredField,
    EmptyField,
    FieldType,
    FieldValue,
    UnknownField,
    OutputField,
    ApiVersion,
    Kind,
    CustomKind,
    Name,
    Namespace,
    Label,
    Annotation,
    Tag,
    Link,
    Reference,
    BareReference,
    Placeholder,
    TemplateSkeleton,
}

impl Rule {
    pub const ALL: [Rule; 26] = [
        Rule::FileSize,
        Rule::Encoding,
        Rule::DocumentCount,
        Rule::Yaml,
        Rule::DuplicateKey,
        Rule::YamlLimit,
        Rule::NotAMapping,
        Rule::RequiredField,
        Rule::EmptyField,
        Rule::FieldType,
        Rule::FieldValue,
        Rule::UnknownField,
        Rule::OutputField,
        Rule::ApiVersion,
        Rule::Kind,
        Rule::CustomKind,
        Rule::Name,
        Rule::Namespace,
        Rule::Label,
        Rule::Annotation,
        Rule::Tag,
        Rule::Link,
        Rule::Reference,
        Rule::BareReference,
        Rule::Placeholder,
        Rule::TemplateSkeleton,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Rule::FileSize => "file-size",
            Rule::Encoding => "encoding",
            Rule::DocumentCount => "document-count",
            Rule::Yaml => "yaml",
            Rule::DuplicateKey => "duplicate-key",
            Rule::YamlLimit => "yaml-limit",
            Rule::NotAMapping => "not-a-mapping",
            Rule::RequiredField => "required-field",
            Rule::EmptyField => "empty-field",
            Rule::FieldType => "field-type",
            Rule::FieldValue => "field-value",
            Rule::UnknownField => "unknown-field",
            Rule::OutputField => "output-field",
            Rule::ApiVersion => "api-version",
            Rule::Kind => "kind",
            Rule::CustomKind => "custom-kind",
            Rule::Name => "name",
            Rule::Namespace => "namespace",
            Rule::Label => "label",
            Rule::Annotation => "annotation",
            Rule::Tag => "tag",
            Rule::Link => "link",
            Rule::Reference => "reference",
            Rule::BareReference => "bare-reference",
            Rule::Placeholder => "placeholder",
            Rule::TemplateSkeleton => "template-skeleton",
        }
    }

    pub fn severity(self) -> Severity {
        match self {
            Rule::CustomKind | Rule::TemplateSkeleton => Severity::Info,
            Rule::Encoding | Rule::OutputField | Rule::BareReference | Rule::Placeholder => {
                Severity::Warning
            }
            _ => Severity::Error,
        }
    }
}
