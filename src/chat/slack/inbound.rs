//! Slack's inbound.
