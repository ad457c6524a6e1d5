//! Slack's signature.
