//! Slack: what it sends, what it is sent.

pub mod channels;
pub mod client;
mod connector;
pub mod dispatcher;
pub mod errors;
pub mod inbound;
pub mod modal;
pub mod outbound;
mod pace;
mod pages;
pub mod profile;
pub mod scheduled;
pub mod shortcut;
pub mod signature;
pub mod socket;
pub mod unfurl;
pub mod view;
