//! Skeletons of software templates: files from which descriptors will be made, `name: ${{ values.name }}`.
//!
//! They lie beside real descriptors and are found by the same globs. They are no mistakes, so nobody should
//! have to mend them.

use crate::catalog::formats::yaml::{Node, Reason};

/// How template engines mark what they fill in.
const MARKERS: [&str; 4] = ["${{", "{{", "{%", "<%"];

/// The byte at which something to be filled in first stands, and its marker.
pub fn first_marker(text: &str) -> Option<(usize, &'static str)> {
    MARKERS.iter().filter_map(|marker| Some((text.find(marker)?, *marker))).min()
}

/// Whether `root`, which was refused, is a skeleton: its entity has no name yet.
///
/// A marker elsewhere means nothing: descriptions quote them, and Templates are full of them.
pub fn has_no_name_yet(root: &Node) -> bool {
    let Some(name) = root.get("metadata").and_then(|metadata| metadata.get("name")) else {
        return false;
    };
    name.text().is_some_and(|name| first_marker(name).is_some())
}

/// Whether a document that is no YAML for `reason` may be a skeleton: neither a statement (`{%- if … %}`) nor a name
/// without quotes (`{{ name }}`) is YAML.
pub fn may_be_broken_by(reason: &Reason, text: &str) -> bool {
    let is_template = text.lines().any(|line| line.trim_end() == "kind: Template");
    matches!(reason, Reason::Syntax(_) | Reason::DuplicateKey(_) | Reason::KeyIsNoText)
        && !is_template
}
