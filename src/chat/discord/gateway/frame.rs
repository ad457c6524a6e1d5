//! What the gateway says and is told, and what follows when a connection ends.
//!
//! Source: <https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway>

use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use serenity::constants::close_codes;
use serenity::model::gateway::GatewayIntents;

use crate::chat::discord::inbound::{self, Inbound};

/// What a session is taken up again by, on another connection and by another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: String,
    /// Where it is taken up.
    pub url: String,
    /// The number of the last event that was heard.
    pub sequence: u64,
    /// Whether it tells messages: what it tells is settled when it begins.
    pub messages: bool,
}

/// A message of the gateway's.
#[derive(Debug, PartialEq)]
pub enum Frame {
    Hello {
        heartbeat: Duration,
    },
    /// A heartbeat is wanted at once.
    Beat,
    BeatHeard,
    /// The connection is to be left, and the session taken up on another.
    Reconnect,
    /// Not to be identified with, or to be taken up again where it is `resumable`.
    Invalid {
        resumable: bool,
    },
    Event {
        sequence: u64,
        event: Event,
    },
    /// Of a kind that does not concern us, or it cannot be read.
    Unknown,
}

#[derive(Debug, PartialEq)]
pub enum Event {
    /// A session has begun.
    Ready {
        session_id: String,
        url: String,
        /// Whose token it was begun with.
        application_id: String,
    },
    /// What was missed has been told.
    Resumed,
    Heard(Box<Inbound>),
    Other,
}

/// How a connection ended, by what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The session is taken up again at once: Discord asked for it.
    Asked,
    /// The session is taken up again.
    Broken,
    /// There is no such session any more: another begins.
    Over,
    /// Nothing works until a person mends it: how.
    Mend(&'static str),
}

/// What `text` is; `bot_user_id` is the bot itself.
pub fn frame(text: &str, bot_user_id: &str) -> Frame {
    let Ok(message) = serde_json::from_str::<Value>(text) else { return Frame::Unknown };
    let data = &message["d"];
    match message["op"].as_u64() {
        Some(0) => match message["s"].as_u64() {
            Some(sequence) => {
                let kind = message["t"].as_str().unwrap_or_default();
                Frame::Event { sequence, event: event(kind, data, bot_user_id) }
            }
            None => Frame::Unknown,
        },
        Some(1) => Frame::Beat,
        Some(7) => Frame::Reconnect,
        Some(9) => Frame::Invalid { resumable: data == true },
        Some(10) => match data["heartbeat_interval"].as_u64() {
            Some(ms @ 1..) => Frame::Hello { heartbeat: Duration::from_millis(ms) },
            _ => Frame::Unknown,
        },
        Some(11) => Frame::BeatHeard,
        _ => Frame::Unknown,
    }
}

fn event(kind: &str, data: &Value, bot_user_id: &str) -> Event {
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_string();
    let heard = match kind {
        "READY" => {
            return Event::Ready {
                session_id: text("session_id"),
                url: text("resume_gateway_url"),
                application_id: data["application"]["id"].as_str().unwrap_or_default().to_string(),
            };
        }
        "RESUMED" => return Event::Resumed,
        "INTERACTION_CREATE" => inbound::interaction_of(data),
        "MESSAGE_CREATE" => Some(inbound::message(data, bot_user_id)),
        _ => None,
    };
    heard.map_or(Event::Other, |heard| Event::Heard(Box::new(heard)))
}

/// Begins a session. With `messages` it hears what is said as well; only what calls the bot, or is said to it
/// alone, has a text, for which Discord asks no privileged intent.
///
/// Source: <https://docs.discord.com/developers/events/gateway#message-content-intent>
pub fn identify(token: &SecretString, messages: bool) -> Zeroizing<String> {
    let intents = match messages {
        true => GatewayIntents::GUILD_MESSAGES | GatewayIntents::DIRECT_MESSAGES,
        false => GatewayIntents::empty(),
    };
    let properties = json!({ "os": std::env::consts::OS, "browser": "idp", "device": "idp" });
    let (token, intents) = (token.expose_secret(), intents.bits());
    let data = json!({ "token": token, "intents": intents, "properties": properties });
    Zeroizing::new(json!({ "op": 2, "d": data }).to_string())
}

/// Takes `session` up again.
pub fn resume(token: &SecretString, session: &Session) -> Zeroizing<String> {
    let Session { id, sequence, .. } = session;
    let data = json!({ "token": token.expose_secret(), "session_id": id, "seq": sequence });
    Zeroizing::new(json!({ "op": 6, "d": data }).to_string())
}

/// Says that we are there; `sequence` is of the last event that was heard, `None` before the first.
pub fn beat(sequence: Option<u64>) -> String {
    json!({ "op": 1, "d": sequence }).to_string()
}

/// What follows when Discord closed the connection with `code`.
pub fn closed(code: u16) -> End {
    match code {
        close_codes::AUTHENTICATION_FAILED => End::Mend(
            "Discord does not take the bot's token: set `DISCORD_BOT_TOKEN` to the one of the app, then restart idp",
        ),
        close_codes::INVALID_SHARD | close_codes::SHARDING_REQUIRED => End::Mend(
            "the bot is in too many servers for one connection: take it out of those that are not yours, then restart idp",
        ),
        INVALID_VERSION => {
            End::Mend("Discord does not speak this version any more: use a newer idp")
        }
        close_codes::INVALID_GATEWAY_INTENTS => {
            End::Mend("Discord does not know an intent that idp asks for: use a newer idp")
        }
        close_codes::DISALLOWED_GATEWAY_INTENTS => End::Mend(
            "Discord does not let the bot hear messages: switch `discord.messages` off in idp.yaml, or allow the \
             intents under “Bot” of the Discord app, then restart idp",
        ),
        close_codes::NOT_AUTHENTICATED
        | close_codes::INVALID_SEQUENCE
        | close_codes::SESSION_TIMEOUT => End::Over,
        _ => End::Broken,
    }
}

/// Serenity does not name it.
const INVALID_VERSION: u16 = 4_012;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: Value) -> Frame {
        frame(&message.to_string(), "1")
    }

    #[test]
    fn each_operation_is_read_and_what_is_odd_is_unknown() {
        let hello = json!({ "op": 10, "d": { "heartbeat_interval": 41_250 } });
        assert_eq!(read(hello), Frame::Hello { heartbeat: Duration::from_millis(41_250) });
        assert_eq!(read(json!({ "op": 1 })), Frame::Beat);
        assert_eq!(read(json!({ "op": 7, "d": null })), Frame::Reconnect);
        assert_eq!(read(json!({ "op": 9, "d": true })), Frame::Invalid { resumable: true });
        for d in [json!(false), json!(null), json!("true")] {
            assert_eq!(read(json!({ "op": 9, "d": d })), Frame::Invalid { resumable: false });
        }
        assert_eq!(read(json!({ "op": 11 })), Frame::BeatHeard);
        let data = json!({
            "session_id": "s", "resume_gateway_url": "wss://r", "application": { "id": "1" },
        });
        let ready = Event::Ready {
            session_id: "s".into(),
            url: "wss://r".into(),
            application_id: "1".into(),
        };
        assert_eq!(
            read(json!({ "op": 0, "s": 1, "t": "READY", "d": data })),
            Frame::Event { sequence: 1, event: ready }
        );
        let other = json!({ "op": 0, "s": 2, "t": "OF_TOMORROW", "d": null });
        assert_eq!(read(other), Frame::Event { sequence: 2, event: Event::Other });
        let odd = json!({ "op": 0, "s": 3, "t": "INTERACTION_CREATE", "d": { "type": 2 } });
        assert_eq!(
            read(odd),
            Frame::Event { sequence: 3, event: Event::Heard(Inbound::Ignored.into()) }
        );
        for text in [
            "",
            "{",
            "[]",
            r#"{"op":0}"#,
            r#"{"op":10,"d":{}}"#,
            r#"{"op":10,"d":{"heartbeat_interval":0}}"#,
        ] {
            assert_eq!(frame(text, "1"), Frame::Unknown, "{text}");
        }
    }

    #[test]
    fn each_close_code_has_what_follows() {
        for code in [4_004, 4_010, 4_011, 4_012, 4_013, 4_014] {
            assert!(matches!(closed(code), End::Mend(_)), "{code}");
        }
        for code in [4_003, 4_007, 4_009] {
            assert_eq!(closed(code), End::Over, "{code}");
        }
        for code in [1_000, 1_001, 1_006, 4_000, 4_001, 4_002, 4_005, 4_008, 4_999] {
            assert_eq!(closed(code), End::Broken, "{code}");
        }
    }

    #[test]
    fn no_privileged_intent_is_asked_for() {
        let intents = |messages| {
            let said: Value = serde_json::from_str(&identify(&"t".into(), messages)).unwrap();
            said["d"]["intents"].as_u64().unwrap()
        };
        assert_eq!(intents(false), 0);
        assert_eq!(intents(true), (1 << 9) | (1 << 12));
    }
}
