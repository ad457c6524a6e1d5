//! Discord: what it sends, what it is sent.

pub mod outbound;
