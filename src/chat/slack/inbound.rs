//! What Slack sends, read as what somebody said or clicked.
//!
//! Reading is lenient: Slack adds fields, leaves others empty, and invents new events at any time. What is
//! not for us is [`Inbound::Ignored`]; only what cannot be read at all is `None`.
//! Sources: <https://docs.slack.dev/interactivity/implementing-slash-commands>,
//! <https://docs.slack.dev/apis/events-api>, <https://docs.slack.dev/interactivity/handling-user-interaction>.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::modal::{FIELD_PREFIX, Origin};
use super::outbound::{ACTION_PREFIX, FORM_PREFIX};
use super::shortcut;
use super::unfurl::Shared;
use super::view::OpenView;
use crate::chat::markdown::Opens;
use crate::conversation::{Address, Click, Invocation, Platform, Pointing, Query, Speaker};

/// Somebody typed `/idp …`.
#[derive(Debug, Clone, PartialEq)]
pub struct SlashCommand {
    pub invocation: Invocation,
    /// Where an answer goes that comes too late for the request.
    pub response_url: Option<String>,
    /// Of this command and of no other.
    pub trigger_id: Option<String>,
}

impl SlashCommand {
    /// What tells it from every other.
    pub fn key(&self) -> String {
        let SlashCommand { response_url, trigger_id, .. } = self;
        let given = [trigger_id, response_url].map(|it| it.as_deref().unwrap_or_default());
        hex::encode(Sha256::digest(given.join(" ")))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Inbound {
    /// Slack asks whether this is the right address; the answer is `challenge`.
    Verification {
        challenge: String,
    },
    Command(SlashCommand),
    Errand(Box<Envelope>),
    /// Somebody wants the form of a command.
    Opening(Opening),
    /// Somebody clicked where there is no message.
    Viewed(Viewed),
    /// Somebody clicked on what another version of the program had shown.
    Outdated(Outdated),
    /// Somebody opened the bot's Home.
    Home(Speaker),
    /// Somebody posts links of hosts that the app's manifest names.
    Shared(Shared),
    /// Somebody types into a field of a form.
    Typing(Query),
    /// Somebody sent a form: the [`Errand::Filled`] in it is answered, or told to be wrong.
    Filled(Box<Envelope>),
    /// Of bots, of ourselves, edited, joined, or of a kind that does not concern us.
    Ignored,
    /// Meant for another app, or of another organisation.
    Strange,
}

/// What is known of ourselves. What is not known is not compared.
#[derive(Debug, Clone, Default)]
pub struct Us<'a> {
    /// The bot as people mention it.
    pub bot_user_id: Option<&'a str>,
    /// The organisation that the workspace belongs to.
    pub enterprise_id: Option<&'a str>,
    pub app_id: Option<String>,
}

impl Us<'_> {
    /// Whether we are meant by what names this app, which Slack always does, and this organisation, which it
    /// does where there is one.
    fn are_meant(&self, app_id: &str, enterprise_id: &str) -> bool {
        let is_ours = self.enterprise_id.is_none_or(|ours| ours == enterprise_id);
        self.app_id.as_ref().is_none_or(|ours| ours == app_id)
            && (enterprise_id.is_empty() || is_ours)
    }
}

impl Inbound {
    /// The workspace that it came from; `None` where it is nobody's.
    pub fn tenant(&self) -> Option<&str> {
        match self {
            Inbound::Verification { .. } | Inbound::Ignored | Inbound::Strange => None,
            Inbound::Command(command) => Some(&command.invocation.address.tenant),
            Inbound::Errand(envelope) | Inbound::Filled(envelope) => {
                Some(&envelope.errand.speaker().tenant)
            }
            Inbound::Opening(opening) => Some(&opening.click.speaker.tenant),
            Inbound::Viewed(viewed) => Some(&viewed.click.speaker.tenant),
            Inbound::Outdated(outdated) => Some(&outdated.speaker.tenant),
            Inbound::Home(speaker) => Some(&speaker.tenant),
            Inbound::Shared(shared) => Some(&shared.speaker.tenant),
            Inbound::Typing(query) => Some(&query.speaker.tenant),
        }
    }
}

/// Something to do once, however often Slack delivers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Slack's own id of it.
    pub id: String,
    pub errand: Errand,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errand {
    /// Somebody mentioned the bot, or wrote to it: the answer is posted.
    Said(Invocation),
    /// Somebody clicked a button: the answer goes to `response_url`, in the place of the message with the
    /// button where it `replaces` it.
    Clicked { click: Click, response_url: String, replaces: bool },
    /// Somebody filled in a form: the answer goes to `response_url`.
    Filled(Filled),
    /// Somebody chose ours in the menu of a message: the answer goes to `response_url`, for them alone.
    Pointed { pointing: Pointing, response_url: String },
}

/// A form that somebody filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Filled {
    pub speaker: Speaker,
    /// Where the form was opened.
    pub address: Address,
    pub command: String,
    /// The names of fields and their values.
    pub values: Vec<(String, String)>,
    /// Empty where the form was not opened from a message.
    pub response_url: String,
    /// Where the answer is shown then.
    #[serde(default)]
    pub view: Option<OpenView>,
}

/// A click in the bot's Home or in a modal.
#[derive(Debug, Clone, PartialEq)]
pub struct Viewed {
    pub click: Click,
    /// What another view is opened by, within three seconds.
    pub trigger_id: String,
    /// What was clicked in.
    pub view: OpenView,
    pub opens: Opens,
    /// Whether the answer is the next page of what was clicked in.
    pub replaces: bool,
}

/// A click that says nothing to us.
#[derive(Debug, Clone, PartialEq)]
pub struct Outdated {
    pub speaker: Speaker,
    pub address: Address,
    pub response_url: String,
}

/// A click on a button that opens a form.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    /// Its words are the beginning of the call.
    pub click: Click,
    /// What the form is opened by, within three seconds.
    pub trigger_id: String,
    pub response_url: String,
}

impl Errand {
    pub fn speaker(&self) -> &Speaker {
        match self {
            Errand::Said(invocation) => &invocation.speaker,
            Errand::Clicked { click, .. } => &click.speaker,
            Errand::Filled(filled) => &filled.speaker,
            Errand::Pointed { pointing, .. } => &pointing.speaker,
        }
    }
}

/// The body of a slash command: a form.
pub fn slash_command(body: &[u8], us: &Us<'_>) -> Option<Inbound> {
    let fields: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(body).collect();
    let field = |name: &str| fields.iter().find(|(it, _)| it == name).map(|(_, value)| &**value);
    command(field, us)
}

/// A slash command, as Socket Mode has it.
pub fn slash_command_of(payload: &Value, us: &Us<'_>) -> Option<Inbound> {
    command(|name| payload.get(name)?.as_str(), us)
}

fn command<'a>(field: impl Fn(&str) -> Option<&'a str>, us: &Us<'_>) -> Option<Inbound> {
    let text = |name: &str| field(name).unwrap_or_default();
    if !us.are_meant(text("api_app_id"), text("enterprise_id")) {
        return Some(Inbound::Strange);
    }
    let (user, channel) = (text("user_id").to_string(), text("channel_id").to_string());
    if user.is_empty() {
        return None;
    }
    let tenant = tenant(text("team_id"), text("enterprise_id"));
    let address = Address {
        platform: Platform::Slack,
        tenant: tenant.clone(),
        channel_id: channel,
        channel_name: public_name(text("channel_name").to_string()),
        thread: None,
    };
    let invocation =
        Invocation { speaker: speaker(tenant, user), address, text: words(text("text"), None) };
    let some = |name: &str| Some(text(name).to_string()).filter(|it| !it.is_empty());
    let (response_url, trigger_id) = (some("response_url"), some("trigger_id"));
    Some(Inbound::Command(SlashCommand { invocation, response_url, trigger_id }))
}

/// The body of an event: JSON.
pub fn event(body: &[u8], us: &Us<'_>) -> Option<Inbound> {
    Some(event_of(&serde_json::from_slice(body).ok()?, us))
}

/// An event, whichever way it came.
pub fn event_of(payload: &Value, us: &Us<'_>) -> Inbound {
    match text_at(payload, "/type") {
        "url_verification" => {
            let challenge = text_at(payload, "/challenge").to_string();
            return Inbound::Verification { challenge };
        }
        "event_callback" => {}
        _ => return Inbound::Ignored,
    }
    if !us.are_meant(text_at(payload, "/api_app_id"), text_at(payload, "/enterprise_id")) {
        return Inbound::Strange;
    }
    let event = &payload["event"];
    let tenant = tenant(text_at(payload, "/team_id"), text_at(payload, "/enterprise_id"));
    let is_stranger = is_stranger(text_at(event, "/user_team"), &tenant);
    if text_at(event, "/type") == "app_home_opened" {
        let user = text_at(event, "/user").to_string();
        let is_home = text_at(event, "/tab") == "home" && !user.is_empty() && !is_stranger;
        return if is_home { Inbound::Home(speaker(tenant, user)) } else { Inbound::Ignored };
    }
    if text_at(event, "/type") == "link_shared" {
        let user = text_at(event, "/user").to_string();
        // Only where Slack says that nobody of another company reads along.
        let is_ours = payload["is_ext_shared_channel"] == false && !user.is_empty() && !is_stranger;
        let shared = is_ours.then(|| Shared::of(event, speaker(tenant, user))).flatten();
        return shared.map_or(Inbound::Ignored, Inbound::Shared);
    }
    if !is_said_to_us(event, us.bot_user_id) || is_stranger {
        return Inbound::Ignored;
    }
    let thread = first_of([text_at(event, "/thread_ts"), text_at(event, "/ts")]);
    let address = Address {
        platform: Platform::Slack,
        tenant: tenant.clone(),
        channel_id: text_at(event, "/channel").to_string(),
        channel_name: None,
        thread: Some(thread.to_string()).filter(|it| !it.is_empty()),
    };
    let invocation = Invocation {
        speaker: speaker(tenant, text_at(event, "/user").to_string()),
        address,
        text: words(text_at(event, "/text"), us.bot_user_id),
    };
    let id = id(text_at(payload, "/event_id"), payload);
    let envelope = Envelope { id, errand: Errand::Said(invocation) };
    Inbound::Errand(Box::new(envelope))
}

/// The body of an interaction: a form whose `payload` is JSON.
pub fn interaction(body: &[u8], us: &Us<'_>) -> Option<Inbound> {
    let (_, payload) = form_urlencoded::parse(body).find(|(name, _)| name == "payload")?;
    Some(interaction_of(&serde_json::from_str(&payload).ok()?, us))
}

/// An interaction, whichever way it came.
pub fn interaction_of(payload: &Value, us: &Us<'_>) -> Inbound {
    if !us.are_meant(text_at(payload, "/api_app_id"), text_at(payload, "/enterprise/id")) {
        return Inbound::Strange;
    }
    let tenant = tenant(text_at(payload, "/team/id"), text_at(payload, "/enterprise/id"));
    let user = text_at(payload, "/user/id").to_string();
    if user.is_empty() || is_stranger(text_at(payload, "/user/team_id"), &tenant) {
        return Inbound::Ignored;
    }
    let speaker = speaker(tenant, user);
    let heard = match text_at(payload, "/type") {
        "block_actions" => click(payload, &speaker).or_else(|| outdated(payload, speaker)),
        "block_suggestion" => typing(payload, speaker),
        "view_submission" => filled(payload, speaker),
        "message_action" => pointed(payload, speaker),
        _ => None,
    };
    heard.unwrap_or(Inbound::Ignored)
}

/// A click on what only our app can have shown, and this version does not know. In a view nobody can be told.
fn outdated(payload: &Value, speaker: Speaker) -> Option<Inbound> {
    let response_url = text_at(payload, "/response_url").to_string();
    let address = clicked_in(payload, &speaker);
    (!response_url.is_empty()).then_some(Inbound::Outdated(Outdated {
        speaker,
        address,
        response_url,
    }))
}

/// Where the message is that `speaker` clicked in.
fn clicked_in(payload: &Value, speaker: &Speaker) -> Address {
    let channel =
        first_of([text_at(payload, "/channel/id"), text_at(payload, "/container/channel_id")]);
    let thread = text_at(payload, "/container/thread_ts");
    Address {
        platform: Platform::Slack,
        tenant: speaker.tenant.clone(),
        channel_id: channel.to_string(),
        channel_name: public_name(text_at(payload, "/channel/name").to_string()),
        thread: Some(thread.to_string()).filter(|it| !it.is_empty()),
    }
}

/// A click on a button of ours, or a choice in a select of ours; `None` for any other.
fn click(payload: &Value, speaker: &Speaker) -> Option<Inbound> {
    let action = &payload["actions"][0];
    let action_id = text_at(action, "/action_id");
    let said = match text_at(action, "/type") {
        "button" => text_at(action, "/value"),
        "static_select" => text_at(action, "/selected_option/value"),
        _ => return None,
    };
    if said.is_empty() {
        return None;
    }
    // The next page takes the place of this one, where nobody but who turns it sees it.
    let is_page = said.split_whitespace().any(|word| word.starts_with("--page"));
    let replaces =
        is_page && payload.pointer("/container/is_ephemeral") == Some(&Value::Bool(true));
    let (speaker, address) = (speaker.clone(), clicked_in(payload, speaker));
    let click = Click { speaker, address, words: said.replace('\0', " ") };
    let response_url = text_at(payload, "/response_url").to_string();
    let trigger_id = text_at(payload, "/trigger_id");
    if payload["view"].is_object() {
        let opens = match action_id {
            it if it.starts_with(FORM_PREFIX) => Opens::Form,
            it if it.starts_with(ACTION_PREFIX) => Opens::Answer,
            _ => return None,
        };
        let view = OpenView::of(payload)?;
        let replaces = is_page && view.depth > 0;
        let trigger_id = trigger_id.to_string();
        return Some(Inbound::Viewed(Viewed { click, trigger_id, view, opens, replaces }));
    }
    if action_id.starts_with(FORM_PREFIX) {
        let trigger_id = trigger_id.to_string();
        return Some(Inbound::Opening(Opening { click, trigger_id, response_url }));
    }
    if !action_id.starts_with(ACTION_PREFIX) {
        return None;
    }
    let id = id(trigger_id, payload);
    let errand = Errand::Clicked { click, response_url, replaces };
    Some(Inbound::Errand(Box::new(Envelope { id, errand })))
}

/// What somebody types into a field of a form of ours; `None` for any other.
fn typing(payload: &Value, speaker: Speaker) -> Option<Inbound> {
    let command = text_at(payload, "/view/callback_id").strip_prefix(FORM_PREFIX)?;
    let field = text_at(payload, "/action_id").strip_prefix(FIELD_PREFIX)?;
    let (command, field) = (command.to_string(), field.to_string());
    let typed = text_at(payload, "/value").replace('\0', " ");
    Some(Inbound::Typing(Query { speaker, command, field, typed }))
}

/// A form of ours that was sent; `None` for any other.
fn filled(payload: &Value, speaker: Speaker) -> Option<Inbound> {
    let command = text_at(payload, "/view/callback_id").strip_prefix(FORM_PREFIX)?.to_string();
    let origin: Origin = serde_json::from_str(text_at(payload, "/view/private_metadata")).ok()?;
    let address = Address {
        platform: Platform::Slack,
        tenant: speaker.tenant.clone(),
        channel_id: origin.channel_id,
        channel_name: origin.channel_name,
        thread: origin.thread,
    };
    let fields = payload.pointer("/view/state/values").and_then(Value::as_object)?;
    let elements = fields.values().filter_map(Value::as_object).flatten();
    let values = elements.filter_map(|(action_id, element)| {
        let name = action_id.strip_prefix(FIELD_PREFIX)?.to_string();
        let value =
            first_of([text_at(element, "/selected_option/value"), text_at(element, "/value")]);
        Some((name, value.replace('\0', " ")))
    });
    let values = values.collect();
    let view_id = text_at(payload, "/view/id").to_string();
    let view = (origin.depth > 0).then_some(OpenView { id: view_id, depth: origin.depth });
    let response_url = origin.response_url;
    let filled = Filled { speaker, address, command, values, response_url, view };
    let id = id(text_at(payload, "/trigger_id"), payload);
    Some(Inbound::Filled(Box::new(Envelope { id, errand: Errand::Filled(filled) })))
}

/// A message on which somebody chose ours in its menu; `None` for any other.
fn pointed(payload: &Value, speaker: Speaker) -> Option<Inbound> {
    if text_at(payload, "/callback_id") != shortcut::CALLBACK_ID {
        return None;
    }
    let thread = text_at(payload, "/message/thread_ts");
    let address = Address {
        platform: Platform::Slack,
        tenant: speaker.tenant.clone(),
        channel_id: text_at(payload, "/channel/id").to_string(),
        channel_name: public_name(text_at(payload, "/channel/name").to_string()),
        thread: Some(thread.to_string()).filter(|it| !it.is_empty()),
    };
    let texts = shortcut::texts(&payload["message"]);
    let response_url = text_at(payload, "/response_url").to_string();
    let errand = Errand::Pointed { pointing: Pointing { speaker, address, texts }, response_url };
    let id = id(text_at(payload, "/trigger_id"), payload);
    Some(Inbound::Errand(Box::new(Envelope { id, errand })))
}

/// Whether a person said it, to the bot, for the first time. A bot that answers bots never stops.
fn is_said_to_us(event: &Value, bot_user_id: Option<&str>) -> bool {
    let is_to_us = match text_at(event, "/type") {
        "app_mention" => true,
        "message" => text_at(event, "/channel_type") == "im",
        _ => false,
    };
    let is_there = |name: &str| event.get(name).is_some_and(|it| !it.is_null());
    let is_of_a_person = !["subtype", "bot_id", "bot_profile", "app_id", "edited", "hidden"]
        .into_iter()
        .any(is_there);
    let user = text_at(event, "/user");
    let is_complete = !user.is_empty() && !text_at(event, "/channel").is_empty();
    is_to_us && is_of_a_person && is_complete && bot_user_id != Some(user) && user != "USLACKBOT"
}

/// Whether somebody of the workspace `home` is a guest from elsewhere: of a channel shared with another company.
fn is_stranger(home: &str, tenant: &str) -> bool {
    !home.is_empty() && home != tenant
}

/// The workspace; the organisation where the app is installed for all of it.
fn tenant(team: &str, enterprise: &str) -> String {
    first_of([team, enterprise]).to_string()
}

fn speaker(tenant: String, user_id: String) -> Speaker {
    Speaker { platform: Platform::Slack, tenant, user_id }
}

/// Slack names direct messages and private channels by words of its own.
fn public_name(name: String) -> Option<String> {
    let is_a_name = !matches!(name.as_str(), "" | "directmessage" | "privategroup");
    (is_a_name && !name.starts_with("mpdm-")).then_some(name)
}

/// Slack's `given` id, or one that a copy of the same payload has too.
fn id(given: &str, payload: &Value) -> String {
    match given.is_empty() || given.len() > 255 || given.contains('\0') {
        true => hex::encode(Sha256::digest(payload.to_string())),
        false => given.to_string(),
    }
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn first_of<const N: usize>(texts: [&str; N]) -> &str {
    texts.into_iter().find(|it| !it.is_empty()).unwrap_or_default()
}

/// What the person typed: Slack's own markup of links, people and channels taken away, `&`, `<` and `>` as
/// they were, without the mention of the bot.
///
/// Source: <https://docs.slack.dev/messaging/formatting-message-text#escaping>
fn words(text: &str, bot_user_id: Option<&str>) -> String {
    let said = plain(text, |marked, is_first| unmarked(marked, is_first, bot_user_id));
    said.trim().to_string()
}

/// `text` without Slack's markup: for each `<marked>` what `stand_in` makes of it, which is told whether anything
/// stands before it.
pub(super) fn plain(text: &str, stand_in: impl Fn(&str, bool) -> String) -> String {
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        said.push_str(before);
        let Some((marked, behind)) = after.split_once('>') else {
            said.push('<');
            rest = after;
            break;
        };
        let is_first = said.trim().is_empty();
        said.push_str(&stand_in(marked, is_first));
        rest = behind;
    }
    said.push_str(rest);
    // `&amp;` last: what it stood for must not be read a second time.
    let said = said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    said.replace('\0', " ")
}

/// What stands for `<marked>`; nothing for the bot, whose name opens a mention.
fn unmarked(marked: &str, is_first: bool, bot_user_id: Option<&str>) -> String {
    let (target, label) = marked.split_once('|').unwrap_or((marked, ""));
    match target.split_at_checked(1) {
        Some(("@", user)) if Some(user) == bot_user_id => String::new(),
        // Which one the bot is, is not known yet; nobody else is mentioned before the question.
        Some(("@", _)) if is_first && bot_user_id.is_none() => String::new(),
        Some((sign @ ("@" | "#"), id)) => format!("{sign}{}", first_of([label, id])),
        Some(("!", _)) => label.to_string(),
        _ => first_of([label, target]).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(event: Value) -> Option<Inbound> {
        let body =
            json!({ "type": "event_callback", "event_id": "Ev1", "team_id": "T1", "event": event });
        let us = Us { bot_user_id: Some("UBOT"), ..Us::default() };
        super::event(body.to_string().as_bytes(), &us)
    }

    fn mention() -> Value {
        json!({
            "type": "app_mention", "user": "U1", "channel": "C1", "ts": "1.2",
            "text": "<@UBOT> who owns payment-api?",
        })
    }

    fn with(mut event: Value, name: &str, value: Value) -> Value {
        event[name] = value;
        event
    }

    #[test]
    fn a_slash_command_is_a_form() {
        let body = b"team_id=T1&enterprise_id=E1&user_id=U1&channel_id=C1&channel_name=general&text=owner+payment-api&response_url=https%3A%2F%2Fhooks.slack.com%2Fx&new=1";
        let Some(Inbound::Command(command)) = slash_command(body, &Us::default()) else {
            panic!("not heard")
        };
        let SlashCommand { invocation, response_url, .. } = command;
        assert_eq!(invocation.text, "owner payment-api");
        assert_eq!(invocation.speaker, speaker("T1".into(), "U1".into()));
        assert_eq!(invocation.address.channel_name.as_deref(), Some("general"));
        assert_eq!(response_url.as_deref(), Some("https://hooks.slack.com/x"));
        assert_eq!(slash_command(b"text=owner", &Us::default()), None);
        let of_organisation =
            slash_command(b"team_id=&enterprise_id=E1&user_id=U1", &Us::default());
        let Some(Inbound::Command(of_organisation)) = of_organisation else { panic!("not heard") };
        assert_eq!(of_organisation.invocation.speaker.tenant, "E1");
        assert_eq!(of_organisation.invocation.address.channel_name, None);
    }

    #[test]
    fn a_mention_asks_in_its_thread() {
        let Some(Inbound::Errand(envelope)) = said(mention()) else { panic!("not heard") };
        let Envelope { id, errand: Errand::Said(invocation) } = *envelope else {
            panic!("not said");
        };
        assert_eq!((id.as_str(), invocation.text.as_str()), ("Ev1", "who owns payment-api?"));
        assert_eq!(invocation.address.thread.as_deref(), Some("1.2"));
    }

    #[test]
    fn bots_edits_and_the_bot_itself_are_not_answered() {
        for (name, value) in [
            ("bot_id", json!("B1")),
            ("bot_profile", json!({})),
            ("app_id", json!("A1")),
            ("subtype", json!("bot_message")),
            ("edited", json!({ "ts": "2" })),
            ("user", json!("UBOT")),
            ("user", json!("USLACKBOT")),
            ("user", json!(null)),
            ("user", json!(7)),
            ("type", json!("message")),
            ("type", json!("reaction_added")),
        ] {
            assert_eq!(
                said(with(mention(), name, value.clone())),
                Some(Inbound::Ignored),
                "{name}: {value}"
            );
        }
        assert!(matches!(said(with(mention(), "subtype", json!(null))), Some(Inbound::Errand(_))));
        let direct = with(with(mention(), "type", json!("message")), "channel_type", json!("im"));
        assert!(matches!(said(direct), Some(Inbound::Errand(_))));
    }

    #[test]
    fn a_click_says_the_words_of_its_button() {
        let payload = |action_id: &str| {
            let payload = json!({
                "type": "block_actions", "trigger_id": "t1", "team": { "id": "T1" }, "enterprise": null,
                "user": { "id": "U1" }, "channel": { "id": "C1", "name": "directmessage" },
                "response_url": "https://hooks.slack.com/x",
                "actions": [{ "type": "button", "action_id": action_id, "value": "show payment-api" }],
            });
            let form = form_urlencoded::Serializer::new(String::new())
                .append_pair("payload", &payload.to_string())
                .finish();
            interaction(form.as_bytes(), &Us::default())
        };
        let Some(Inbound::Errand(envelope)) = payload("idp:0") else { panic!("not heard") };
        let Envelope { id, errand: Errand::Clicked { click, .. } } = *envelope else {
            panic!("not clicked");
        };
        assert_eq!((id.as_str(), click.words.as_str()), ("t1", "show payment-api"));
        assert!(matches!(payload("another-version:0"), Some(Inbound::Outdated(_))));
    }

    #[test]
    fn what_is_meant_for_others_is_strange() {
        let us = Us { app_id: Some("A1".into()), enterprise_id: Some("E1"), ..Us::default() };
        let heard = |app_id: &str, enterprise_id: &str| {
            let body =
                format!("team_id=T1&user_id=U1&api_app_id={app_id}&enterprise_id={enterprise_id}");
            slash_command(body.as_bytes(), &us)
        };
        for (app_id, enterprise_id) in [("A2", "E1"), ("", "E1"), ("A1", "E2")] {
            assert_eq!(
                heard(app_id, enterprise_id),
                Some(Inbound::Strange),
                "{app_id} {enterprise_id}"
            );
        }
        for enterprise_id in ["E1", ""] {
            assert!(matches!(heard("A1", enterprise_id), Some(Inbound::Command(_))));
        }
    }

    #[test]
    fn a_choice_says_the_words_of_its_option() {
        let choice = |kind: &str, action_id: &str, chosen: Value| {
            let payload = json!({
                "type": "block_actions", "trigger_id": "t1", "team": { "id": "T1" },
                "user": { "id": "U1" }, "channel": { "id": "C1", "name": "general" },
                "response_url": "https://hooks.slack.com/x",
                "actions": [{ "type": kind, "action_id": action_id, "selected_option": chosen }],
            });
            interaction_of(&payload, &Us::default())
        };
        let ledger =
            json!({ "text": { "type": "plain_text", "text": "ledger" }, "value": "show ledger" });
        let Inbound::Errand(envelope) = choice("static_select", "idp:0", ledger.clone()) else {
            panic!("not heard");
        };
        let Errand::Clicked { click, .. } = envelope.errand else { panic!("not clicked") };
        assert_eq!(click.words, "show ledger");
        for (kind, action_id, chosen) in [
            ("static_select", "another-version:0", ledger.clone()),
            ("multi_static_select", "idp:0", ledger.clone()),
            ("users_select", "idp:0", ledger),
            ("static_select", "idp:0", json!(null)),
            ("static_select", "idp:0", json!({ "value": 7 })),
        ] {
            let heard = choice(kind, action_id, chosen);
            assert!(matches!(heard, Inbound::Outdated(_)), "{kind} {action_id}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let deep = "[".repeat(100_000);
        for body in ["", "{", "\"\\ud800\"", &deep] {
            assert_eq!(event(body.as_bytes(), &Us::default()), None);
            assert_eq!(interaction(format!("payload={body}").as_bytes(), &Us::default()), None);
        }
        assert_eq!(event(b"null", &Us::default()), Some(Inbound::Ignored));
        assert_eq!(interaction(b"", &Us::default()), None);
    }

    #[test]
    fn words_are_as_they_were_typed() {
        let of = |text: &str| words(text, Some("UBOT"));
        assert_eq!(of("<@UBOT> owner a &lt; b &amp;lt; c"), "owner a < b &lt; c");
        assert_eq!(
            of("show <http://pay.example|pay.example> <#C1|general> <@U2>"),
            "show pay.example #general @U2"
        );
        assert_eq!(of("owner <"), "owner <");
        assert_eq!(of("a\0b"), "a b");
        assert_eq!(words("<@U9> help", None), "help");
    }
}
