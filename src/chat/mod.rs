//! The words of each platform.

pub mod markdown;
pub mod slack;
