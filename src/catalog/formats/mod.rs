//! The formats descriptors come in.

pub mod backstage;
pub mod fields;
pub mod folder;
mod text;
pub mod yaml;
