//! The formats descriptors come in.

pub mod backstage;
