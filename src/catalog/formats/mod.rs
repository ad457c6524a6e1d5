//! The formats descriptors come in.

pub mod backstage;
pub mod beneath;
mod text;
pub mod yaml;
