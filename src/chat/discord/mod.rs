//! Discord: what it sends, what it is answered.

pub mod client;
mod digests;
pub mod dispatcher;
pub mod errors;
pub mod gateway;
pub mod inbound;
pub mod modal;
pub mod outbound;
pub mod registration;
mod shortcut;
pub mod signature;
