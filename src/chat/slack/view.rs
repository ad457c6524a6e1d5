//! An answer where there is no message: in the bot's Home, or in a modal that a click there opens.
//!
//! ```text
//! Home ──click──▶ modal 1 ──click──▶ modal 2 ──click──▶ modal 3 ──click──▶ modal 3, with the next answer in it
//!      views.open         views.push         views.push         views.update
//! ```
//! Sources: <https://docs.slack.dev/surfaces/app-home>, <https://docs.slack.dev/surfaces/modals>.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::modal::{TITLE_CHARACTERS_MAX, plain_text};
use super::outbound::message;
use crate::conversation::Reply;

/// What our modals with an answer are called.
const CALLBACK_ID: &str = "idp-answer";
/// The most modals above one another that Slack shows.
pub const DEPTH_MAX: u8 = 3;

/// A view that somebody looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenView {
    pub id: String,
    /// How many modals are above the Home, with this one; 0 is the Home itself.
    pub depth: u8,
}

/// What a modal carries.
#[derive(Serialize, Deserialize)]
struct Metadata {
    depth: u8,
}

impl OpenView {
    /// The view of ours that `payload`, a click in it, tells of; `None` for any other.
    pub fn of(payload: &Value) -> Option<OpenView> {
        let view = &payload["view"];
        let id = view["id"].as_str()?.to_string();
        if view["type"] == "home" {
            return Some(OpenView { id, depth: 0 });
        }
        if view["callback_id"] != CALLBACK_ID {
            return None;
        }
        let metadata: Metadata = serde_json::from_str(view["private_metadata"].as_str()?).ok()?;
        Some(OpenView { id, depth: metadata.depth.clamp(1, DEPTH_MAX) })
    }

    /// The depth of what a click in it shows.
    pub fn next_depth(&self) -> u8 {
        (self.depth + 1).min(DEPTH_MAX)
    }
}

/// The Home that shows `reply`.
///
/// # Errors
/// None that a reply can cause.
pub fn home(reply: &Reply) -> anyhow::Result<Value> {
    Ok(json!({ "type": "home", "blocks": blocks(reply)? }))
}

/// The modal that shows `reply`, at this `depth`.
///
/// # Errors
/// None that a reply can cause.
pub fn answer(reply: &Reply, depth: u8) -> anyhow::Result<Value> {
    let title = if reply.command.is_empty() { "Answer" } else { &reply.command };
    Ok(modal(title, blocks(reply)?, depth))
}

/// The modal that stands for an answer which is not there yet.
pub fn looking_up(depth: u8) -> Value {
    let text = plain_text("Looking it up…", TITLE_CHARACTERS_MAX);
    modal("Answer", json!([{ "type": "section", "text": text }]), depth)
}

fn modal(title: &str, blocks: Value, depth: u8) -> Value {
    json!({
        "type": "modal",
        "callback_id": CALLBACK_ID,
        "private_metadata": json!(Metadata { depth }).to_string(),
        "title": plain_text(title, TITLE_CHARACTERS_MAX),
        "close": plain_text("Close", TITLE_CHARACTERS_MAX),
        "blocks": blocks,
    })
}

/// As a message has them: Slack takes twice as many in a view.
fn blocks(reply: &Reply) -> anyhow::Result<Value> {
    message(reply)?.get_mut("blocks").map(Value::take).context("a message has no blocks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_of_ours_is_known_again_by_what_it_carries() {
        let shown = answer(&Reply::markdown("fine"), 2).unwrap();
        let mut view = shown.clone();
        view["id"] = json!("V1");
        let open = OpenView::of(&json!({ "view": view })).unwrap();
        assert_eq!((open.depth, open.next_depth()), (2, 3));
        assert_eq!(OpenView { depth: 3, ..open }.next_depth(), 3);
        let home = OpenView::of(&json!({ "view": { "id": "V1", "type": "home" } })).unwrap();
        assert_eq!((home.depth, home.next_depth()), (0, 1));
        view["callback_id"] = json!("of-another-app");
        assert_eq!(OpenView::of(&json!({ "view": view })), None);
        assert_eq!(OpenView::of(&json!({ "channel": {} })), None);
    }
}
