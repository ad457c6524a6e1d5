//! Slack: what it sends, what it is sent.

pub mod client;
pub mod inbound;
pub mod outbound;
pub mod signature;
