//! Slack's client.
