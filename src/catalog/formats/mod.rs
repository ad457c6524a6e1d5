//! The formats descriptors come in.

pub mod backstage;
pub mod fields;
mod text;
pub mod yaml;
