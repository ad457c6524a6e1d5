//! The words of each platform.

pub mod discord;
pub mod inbox;
pub mod layout;
pub mod markdown;
pub mod slack;
