//! Slack's three requests: a slash command, an event, an interaction.

/// What Slack's routes need.
pub struct Slack {
    pub signing_secret: secrecy::SecretString,
}
