//! A reply as Discord shows it: Markdown → embeds, buttons and selects, within every limit.
//!
//! Everything stands in embeds: a mention in one calls nobody, and a link in one is not unfurled. Only whom we mention
//! ourselves stands above them once more, and is called when the message is new. Titles and descriptions are parsed, so each mark in what others wrote has a backslash; footers and labels are not.
//! Sources: <https://docs.discord.com/developers/resources/message#embed-object-embed-limits>,
//! <https://docs.discord.com/developers/components/reference>.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use serenity::builder::{
    CreateActionRow, CreateAllowedMentions, CreateButton, CreateEmbed, CreateEmbedFooter,
    CreateInteractionResponse, CreateInteractionResponseMessage, CreateSelectMenu,
    CreateSelectMenuKind, CreateSelectMenuOption,
};
use serenity::model::application::ButtonStyle;
use serenity::model::id::UserId;

use crate::chat::layout::{CUT, aligned, cut, cut_as, measure, spans};
use crate::chat::markdown::{self, Block, Button, CHOOSE, Item, Opens, Span, Style};
use crate::conversation::{Audience, Reply};

/// What the ids of our buttons begin with: those that answer, and those that open a form.
pub const ANSWER_PREFIX: &str = "idp:";
pub const FORM_PREFIX: &str = "idp-form:";
/// What the ids of our selects begin with; their options carry the words.
pub const SELECT_PREFIX: &str = "idp-select:";
/// Discord takes 10.
pub const EMBEDS_MAX: usize = 10;
/// Discord takes 6,000 in titles, descriptions and footers of all embeds together.
pub const MESSAGE_CHARACTERS_MAX: usize = 6_000;
pub const DESCRIPTION_CHARACTERS_MAX: usize = 4_096;
pub const TITLE_CHARACTERS_MAX: usize = 256;
pub const FOOTER_CHARACTERS_MAX: usize = 2_048;
/// A paragraph or point that is longer is cut, so that others find a place beside it.
const BLOCK_CHARACTERS_MAX: usize = 3_000;
/// Rows of components; in each, so many buttons or one select.
pub const ROWS_MAX: usize = 5;
pub const ROW_BUTTONS_MAX: usize = 5;
pub const BUTTON_LABEL_CHARACTERS_MAX: usize = 80;
pub const ID_CHARACTERS_MAX: usize = 100;
pub const OPTIONS_MAX: usize = 25;
/// Of its label, and of its value.
pub const OPTION_CHARACTERS_MAX: usize = 100;
/// A longer address is shown without its link: it would take the place of what is to be read.
pub const LINK_CHARACTERS_MAX: usize = 1_024;
/// So many of those who are mentioned are called.
pub const CALLED_MAX: usize = 20;
/// Kept for the count of what was left out.
const COUNT_CHARACTERS_MAX: usize = 60;
/// Joins what stands before and behind it, and is not seen: Discord reads no mark across it.
const JOINER: &str = "\u{2060}";
const FENCE: &str = "```";

/// What Discord is sent, within every limit of Discord.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Message(CreateInteractionResponseMessage);

impl Message {
    /// The message that shows `reply`.
    pub fn of(reply: &Reply) -> Message {
        let mut page = Page::default();
        markdown::of(reply).into_iter().for_each(|block| page.show(block));
        let called = std::mem::take(&mut page.called);
        let message = page.end().ephemeral(reply.audience == Audience::Asker);
        if called.is_empty() {
            return Message(message.allowed_mentions(CreateAllowedMentions::new()));
        }
        let content: Vec<String> = called.iter().map(|id| format!("<@{id}>")).collect();
        let allowed = CreateAllowedMentions::new().users(called);
        Message(message.content(content.join(" ")).allowed_mentions(allowed))
    }

    /// [`Message::of`] as the body of the answer to an interaction.
    pub fn body(reply: &Reply) -> Bytes {
        let Message(message) = Message::of(reply);
        body(&CreateInteractionResponse::Message(message))
    }
}

/// `message` for the place of one that stands there already: it calls nobody, and what stood above the embeds before
/// does no longer.
pub(super) fn edited(message: &Value) -> Value {
    let mut message = message.clone();
    message["allowed_mentions"] = json!({ "parse": [] });
    if message["content"].is_null() {
        message["content"] = "".into();
    }
    message
}

/// `response` as Discord reads it.
pub fn body(response: &CreateInteractionResponse) -> Bytes {
    serde_json::to_vec(response).expect("texts, lists and flags are JSON").into()
}

/// An option of a select; `None` where Discord does not take its value: cut it would say something else.
pub(super) fn option(label: &str, value: &str) -> Option<CreateSelectMenuOption> {
    let fits = !value.is_empty() && measure(value) <= OPTION_CHARACTERS_MAX;
    let label = if label.trim().is_empty() { value } else { label };
    fits.then(|| CreateSelectMenuOption::new(cut(label, OPTION_CHARACTERS_MAX).0, value))
}

#[derive(Default)]
struct Page {
    embeds: Vec<CreateEmbed>,
    /// The embed that is being written.
    title: Option<String>,
    description: String,
    description_characters: usize,
    characters: usize,
    rows: Vec<CreateActionRow>,
    /// How many buttons and selects there are, each with an id of its own.
    components: usize,
    /// How many blocks, points, rows, buttons and choices found no place.
    left_out: usize,
    /// Who is mentioned, once each.
    called: Vec<UserId>,
}

impl Page {
    fn show(&mut self, block: Block) {
        match block {
            Block::Heading { level: 1 | 2, text } => self.heading(&markdown::plain(&text)),
            Block::Heading { mut text, .. } => {
                text.iter_mut().for_each(|span| span.style.bold = true);
                self.line("", text, false);
            }
            Block::Paragraph(text) if text.iter().all(|span| span.style.italic) => {
                self.small_print(text);
            }
            Block::Paragraph(text) => self.line("", text, false),
            Block::List(items) => self.list(items),
            Block::Quote(blocks) => self.quote(blocks),
            Block::Code(text) => self.lines(text.lines()),
            Block::Table { head, rows } => {
                self.lines(aligned(&head, &rows).iter().map(String::as_str));
            }
            Block::Divider => self.end_embed(None),
            Block::Buttons(buttons) => buttons.iter().for_each(|button| self.button(button)),
            Block::Select(choices) => self.select(&choices),
        }
    }

    /// Takes the place of `characters` more in the open embed, where there is one.
    fn takes(&mut self, characters: usize) -> bool {
        // One embed and some characters are kept for the count of what was left out.
        let room = MESSAGE_CHARACTERS_MAX - COUNT_CHARACTERS_MAX;
        let takes = self.characters + characters <= room && self.embeds.len() + 1 < EMBEDS_MAX;
        match takes {
            true => self.characters += characters,
            false => self.left_out += 1,
        }
        takes
    }

    fn heading(&mut self, text: &str) {
        self.end_embed(None);
        let text = text.replace('\n', " ");
        let (text, characters) = cut_as(text, TITLE_CHARACTERS_MAX, measure_escaped);
        if self.takes(characters) {
            self.title = Some(escaped(&text));
        }
    }

    /// Small letters at the end of an embed. Where there is none yet, a line like any other.
    fn small_print(&mut self, text: Vec<Span>) {
        if self.title.is_none() && self.description.is_empty() {
            return self.line("", text, false);
        }
        let (text, characters) = cut(markdown::plain(&text), FOOTER_CHARACTERS_MAX);
        if self.takes(characters) {
            self.end_embed(Some(CreateEmbedFooter::new(text)));
        }
    }

    fn list(&mut self, items: Vec<Item>) {
        for (place, Item { indent, number, mut text }) in items.into_iter().enumerate() {
            let indent = "  ".repeat(indent.into());
            let mark = number.map_or("-".to_string(), |number| format!("{number}."));
            let under = format!("\n{indent}{}", " ".repeat(mark.len() + 1));
            text.iter_mut().for_each(|span| span.text = span.text.replace('\n', &under));
            self.line(&format!("{indent}{mark} "), text, place > 0);
        }
    }

    fn quote(&mut self, blocks: Vec<Block>) {
        let mut follows = false;
        for block in blocks {
            for line in split(spans(block)) {
                self.line("> ", line, follows);
                follows = true;
            }
        }
    }

    /// `text` behind `mark`; directly under the line before where it `follows` it.
    fn line(&mut self, mark: &str, text: Vec<Span>, follows: bool) {
        text.iter().filter_map(mentioned).for_each(|id| self.call(id));
        let text = inline(text, BLOCK_CHARACTERS_MAX);
        if !text.is_empty() {
            self.describe(&format!("{mark}{text}"), follows);
        }
    }

    fn call(&mut self, id: &str) {
        if let Some(id) = id.parse().ok().filter(|it| *it > 0).map(UserId::new)
            && self.called.len() < CALLED_MAX
            && !self.called.contains(&id)
        {
            self.called.push(id);
        }
    }

    /// Lines in letters of one width, as many as find a place.
    fn lines<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        let around = 2 * (FENCE.len() + 1) + "\n\n".len();
        let left = MESSAGE_CHARACTERS_MAX - COUNT_CHARACTERS_MAX - self.characters;
        let mut room = DESCRIPTION_CHARACTERS_MAX.min(left).saturating_sub(around);
        let mut text = String::new();
        for line in lines {
            // Three of these would end the code.
            let line = line.replace("``", &format!("`{JOINER}`{JOINER}"));
            let (line, characters) = cut(line, BLOCK_CHARACTERS_MAX);
            if characters + 1 > room {
                self.left_out += 1;
                room = 0;
                continue;
            }
            room -= characters + 1;
            text.push_str(&line);
            text.push('\n');
        }
        let text = text.trim_end();
        if !text.is_empty() {
            self.describe(&format!("{FENCE}\n{text}\n{FENCE}"), false);
        }
    }

    /// Adds `piece`, which Discord parses, to the open embed, or to another where that one is full.
    fn describe(&mut self, piece: &str, follows: bool) {
        let joint = if follows { "\n" } else { "\n\n" };
        let characters = measure(piece);
        let joined = self.description_characters + joint.len() + characters;
        if joined > DESCRIPTION_CHARACTERS_MAX {
            self.end_embed(None);
        }
        let joint = if self.description.is_empty() { "" } else { joint };
        if self.takes(joint.len() + characters) {
            self.description_characters += joint.len() + characters;
            self.description.push_str(joint);
            self.description.push_str(piece);
        }
    }

    fn button(&mut self, button: &Button) {
        let prefix = match button.opens {
            Opens::Answer => ANSWER_PREFIX,
            Opens::Form => FORM_PREFIX,
        };
        let id = format!("{prefix}{}:{}", self.components, button.words);
        let label = match button.label.trim() {
            "" => button.words.as_str(),
            label => label,
        };
        let (label, _) = cut(label, BUTTON_LABEL_CHARACTERS_MAX);
        // An id that is cut would say something else: such a button is none.
        let fits = measure(&id) <= ID_CHARACTERS_MAX;
        let button = CreateButton::new(id).label(label).style(ButtonStyle::Secondary);
        let has_room = self.rows.len() < ROWS_MAX;
        match self.rows.last_mut() {
            Some(CreateActionRow::Buttons(row)) if fits && row.len() < ROW_BUTTONS_MAX => {
                row.push(button);
            }
            _ if fits && has_room => self.rows.push(CreateActionRow::Buttons(vec![button])),
            _ => {
                self.left_out += 1;
                return;
            }
        }
        self.components += 1;
    }

    fn select(&mut self, choices: &[Button]) {
        let options = choices.iter().filter_map(|choice| option(&choice.label, &choice.words));
        let options: Vec<CreateSelectMenuOption> = options.take(OPTIONS_MAX).collect();
        if options.is_empty() || self.rows.len() == ROWS_MAX {
            self.left_out += choices.len();
            return;
        }
        self.left_out += choices.len() - options.len();
        let id = format!("{SELECT_PREFIX}{}", self.components);
        let select = CreateSelectMenu::new(id, CreateSelectMenuKind::String { options });
        self.rows.push(CreateActionRow::SelectMenu(select.placeholder(CHOOSE)));
        self.components += 1;
    }

    fn end_embed(&mut self, footer: Option<CreateEmbedFooter>) {
        let title = self.title.take();
        let description = std::mem::take(&mut self.description);
        self.description_characters = 0;
        if title.is_none() && description.is_empty() {
            return;
        }
        let mut embed = CreateEmbed::new();
        if let Some(title) = title {
            embed = embed.title(title);
        }
        if !description.is_empty() {
            embed = embed.description(description);
        }
        if let Some(footer) = footer {
            embed = embed.footer(footer);
        }
        self.embeds.push(embed);
    }

    fn end(mut self) -> CreateInteractionResponseMessage {
        self.end_embed(None);
        if self.left_out > 0 {
            let text = format!("{CUT} and {} more that find no place here", self.left_out);
            self.embeds.push(CreateEmbed::new().description(text));
        }
        if self.embeds.is_empty() && self.rows.is_empty() {
            // Discord refuses a message that has nothing in it.
            self.embeds.push(CreateEmbed::new().description(CUT));
        }
        CreateInteractionResponseMessage::new().embeds(self.embeds).components(self.rows)
    }
}

/// `text` as Discord parses it, of at most `room` characters.
fn inline(text: Vec<Span>, mut room: usize) -> String {
    let mut shown = String::new();
    let mut was_marked = false;
    for span in text {
        let is_marked = span.style != Style::default();
        let joint = if was_marked && is_marked { JOINER } else { "" };
        let Some(piece) = piece(&span, room.saturating_sub(measure(joint))) else { break };
        room -= measure(joint) + measure(&piece);
        shown.push_str(joint);
        shown.push_str(&piece);
        was_marked = is_marked;
    }
    shown
}

/// The id of whom `span` mentions here.
fn mentioned(span: &Span) -> Option<&str> {
    span.person.as_ref()?.discord.as_deref()
}

/// `span` with its marks, of at most `room` characters; `None` where there is no place for any of it.
fn piece(span: &Span, room: usize) -> Option<String> {
    let inner = span.text.trim();
    if inner.is_empty() {
        return Some(cut(&span.text, room).0.into_owned());
    }
    // Discord reads no mark that stands beside a space.
    let (leading, trailing) = span.text.split_once(inner)?;
    let link = span.link.as_deref().map(address).filter(|it| measure(it) <= LINK_CHARACTERS_MAX);
    // A label that looks like an address may deceive about where it leads, and Discord shows no such link.
    if let Some(url) = link.as_ref().filter(|_| inner.contains("://")) {
        let shown = format!("{leading}<{url}>{trailing}");
        return (measure(&shown) <= room).then_some(shown);
    }
    let person = mentioned(span).map(|id| format!("<@{id}>"));
    let style = span.style;
    let is_code = style.code && !inner.contains(['`', '\n']);
    let marks = [(style.strike, "~~"), (style.bold, "**"), (style.italic, "*"), (is_code, "`")];
    let marks = marks.into_iter().filter_map(|(is_on, mark)| is_on.then_some(mark));
    let mut open: String = marks.clone().collect();
    let mut close: String = marks.rev().collect();
    let mut inner = Cow::Borrowed(inner);
    if let Some(url) = link {
        // Discord takes no backslash for the end of a label.
        inner = inner.replace('[', "(").replace(']', ")").into();
        open.insert(0, '[');
        close.push_str(&format!("]({url})"));
    }
    let around: usize = [leading, &open, &close, trailing].into_iter().map(measure).sum();
    let room = room.checked_sub(around).filter(|room| *room > 0)?;
    let inner = match is_code {
        // A mention that is cut would be none.
        _ if person.is_some() => person.filter(|it| measure(it) <= room)?.into(),
        true => cut(inner, room).0,
        false => escaped(&cut_as(inner, room, measure_escaped).0).into(),
    };
    Some(format!("{leading}{open}{inner}{close}{trailing}"))
}

/// `url` with nothing in it that could end the link.
fn address(url: &str) -> String {
    let mut address = String::with_capacity(url.len());
    for character in url.chars() {
        match character {
            '(' | ')' | '<' | '>' | '\\' | '`' | '|' | '*' => {
                address.push_str(&format!("%{:02X}", u32::from(character)));
            }
            it => address.push(it),
        }
    }
    address
}

/// `text` so that Discord's parser shows it as it is: no mention, no link, no formatting.
///
/// Discord takes the backslash away from any mark. The joiner behind `@` keeps a copy of the text from
/// calling everyone.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(character);
        if character == '@' {
            out.push_str(JOINER);
        }
    }
    out
}

/// The characters of [`escaped`].
fn measure_escaped(text: &str) -> usize {
    let more = |it: char| usize::from(it.is_ascii_punctuation()) + usize::from(it == '@');
    measure(text) + text.chars().map(more).sum::<usize>()
}

/// The lines of `text`.
fn split(text: Vec<Span>) -> Vec<Vec<Span>> {
    let mut lines = vec![Vec::new()];
    for span in text {
        for (place, piece) in span.text.split('\n').enumerate() {
            if place > 0 {
                lines.push(Vec::new());
            }
            let piece = Span { text: piece.to_string(), ..span.clone() };
            lines.last_mut().expect("there is one from the start").push(piece);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Platform, Untrusted, button, form_button, link, mention};

    fn shown(markdown: &str) -> Value {
        serde_json::to_value(Message::of(&Reply::markdown(markdown))).unwrap()
    }

    fn described(markdown: &str) -> String {
        shown(markdown)["embeds"][0]["description"].as_str().unwrap_or_default().to_string()
    }

    #[test]
    fn a_reply_is_an_embed_with_buttons_below() {
        let markdown = format!(
            "## payment-api\n\nOwned by **payments**.\n\n- a\n- b\n\n{} {}\n\n_as of now_",
            button("Show", "show a"),
            form_button("Why", "path a")
        );
        let message = shown(&markdown);
        assert_eq!(message["flags"], 64);
        assert_eq!(message["allowed_mentions"]["parse"], json!([]));
        assert_eq!(message["embeds"].as_array().unwrap().len(), 1);
        let embed = &message["embeds"][0];
        assert_eq!(embed["title"], "payment\\-api");
        assert_eq!(embed["description"], "Owned by **payments**\\.\n\n- a\n- b");
        assert_eq!(embed["footer"]["text"], "as of now");
        assert_eq!(
            message["components"],
            json!([{ "type": 1, "components": [
                { "type": 2, "style": 2, "custom_id": "idp:0:show a", "label": "Show", "disabled": false },
                { "type": 2, "style": 2, "custom_id": "idp-form:1:path a", "label": "Why", "disabled": false },
            ]}])
        );
    }

    #[test]
    fn who_is_mentioned_is_called_above_the_embeds_once() {
        let ada = mention("Ada", &[(Platform::Slack, "U1"), (Platform::Discord, "1")]);
        let bob = mention("Bob", &[(Platform::Discord, "2")]);
        let message = shown(&format!("## {ada}\n\nAsks {ada} and **{bob}**\\.\n\n- {ada}"));
        assert_eq!(message["embeds"][0]["title"], "Ada");
        assert_eq!(message["embeds"][0]["description"], "Asks <@1> and **<@2>**\\.\n\n- <@1>");
        assert_eq!(message["content"], "<@1> <@2>");
        assert_eq!(
            message["allowed_mentions"],
            json!({ "parse": [], "users": ["1", "2"], "roles": [] })
        );
        let again = edited(&message);
        assert_eq!(again["content"], "<@1> <@2>");
        assert_eq!(again["allowed_mentions"], json!({ "parse": [] }));
        let nobody = shown(&mention("Ada", &[(Platform::Slack, "U1")]));
        assert_eq!(nobody["embeds"][0]["description"], "Ada");
        assert!(nobody["content"].is_null(), "{nobody}");
        assert_eq!(edited(&nobody)["content"], "");
        let crowd = (1..90).map(|it| mention("x", &[(Platform::Discord, &it.to_string())]));
        let crowd = shown(&crowd.collect::<Vec<_>>().join(" "));
        assert_eq!(crowd["allowed_mentions"]["users"].as_array().unwrap().len(), CALLED_MAX);
    }

    #[test]
    fn many_buttons_of_one_command_are_one_select_in_a_row_of_its_own() {
        let of = |before: &str, names: usize| {
            let names = (0..names).map(|it| button(&it.to_string(), &format!("show {it}")));
            let long = button("long", &format!("show {}", "x".repeat(OPTION_CHARACTERS_MAX)));
            let names: String = names.map(|it| it + " ").collect();
            shown(&format!("{before} {names} {long} {}", button("Owner", "owner a")))
        };
        let message = of(&button("Next", "find a --page 2"), 6);
        assert_eq!(message["embeds"][0]["description"], "… and 1 more that find no place here");
        let rows = &message["components"];
        assert_eq!(rows.as_array().unwrap().len(), 3);
        assert_eq!(rows[0]["components"][0]["custom_id"], "idp:0:find a --page 2");
        let select = &rows[1]["components"][0];
        assert_eq!(
            (&select["type"], &select["custom_id"], &select["placeholder"]),
            (&json!(3), &json!("idp-select:1"), &json!("Choose…"))
        );
        assert_eq!(select["options"].as_array().unwrap().len(), 6);
        assert_eq!(select["options"][5], json!({ "label": "5", "value": "show 5" }));
        assert_eq!(rows[2]["components"][0]["custom_id"], "idp:2:owner a");
        let message = of("", 40);
        assert_eq!(message["embeds"][0]["description"], "… and 16 more that find no place here");
    }

    #[test]
    fn what_others_wrote_has_a_backslash_before_each_mark() {
        let of = |text: &str| described(&Untrusted::from(text).to_markdown());
        assert_eq!(of("<@1> *x*"), "\\<\\@\u{2060}1\\> \\*x\\*");
        assert_eq!(of("https://evil.example"), "https\\:\\/\\/evil\\.example");
    }

    #[test]
    fn marks_stand_beside_letters_and_apart_from_each_other() {
        assert_eq!(described("a ~~ b ~~**c***d*"), "a \\~\\~ b \\~\\~**c**\u{2060}*d*");
        assert_eq!(described("`a``b` **`c`**"), "a\\`\\`b **`c`**");
        assert_eq!(described("***both***"), "***both***");
    }

    #[test]
    fn a_link_says_where_it_leads() {
        assert_eq!(
            described(&link("a]b(", "https://a.example/(x)")),
            "[a\\)b\\(](https://a.example/%28x%29)"
        );
        assert_eq!(described(&link("", "https://a.example/")), "<https://a.example/>");
        assert_eq!(
            described(&link("https://good.example", "https://evil.example/")),
            "<https://evil.example/>"
        );
    }

    #[test]
    fn columns_stand_one_below_the_other_and_nothing_ends_them() {
        assert_eq!(
            described("| name | n |\n|---|---|\n| orders | 3 |\n| \\`\\`\\` | 12 |"),
            "```\nname    n\norders  3\n`\u{2060}`\u{2060}`     12\n```"
        );
    }

    #[test]
    fn quotes_and_points_keep_their_marks_on_each_line() {
        assert_eq!(
            described("> one\n> two\n\n3. a\\\n   b\n4. c"),
            "> one\n> two\n\n3. a\n   b\n4. c"
        );
    }

    #[test]
    fn what_finds_no_place_is_counted() {
        let many: String = (0..200).map(|number| format!("para {number}\n\n---\n\n")).collect();
        let message = shown(&many);
        let embeds = message["embeds"].as_array().unwrap();
        assert_eq!(embeds.len(), EMBEDS_MAX);
        assert_eq!(embeds[9]["description"], "… and 191 more that find no place here");
        let long = shown(&button("Show", &"x".repeat(100)));
        assert_eq!(long["components"], json!([]));
        assert_eq!(long["embeds"][0]["description"], "… and 1 more that find no place here");
        assert_eq!(shown("")["embeds"][0]["description"], "…");
    }
}
