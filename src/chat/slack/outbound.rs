//! A reply as Slack shows it: Markdown → Block Kit, within every limit.
//!
//! Text goes into `rich_text` and `plain_text`, which Slack does not parse, so nothing in it can mention,
//! link or format: a mention is an element of its own, which we alone write. Only the fallback `text` is parsed; there `&`, `<` and `>` are escaped.
//! Sources: <https://docs.slack.dev/reference/block-kit/blocks>,
//! <https://docs.slack.dev/messaging/formatting-message-text>.

use anyhow::Context;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use slack_morphism::prelude::{
    SlackActionBlockElement, SlackActionId, SlackActionsBlock, SlackBlock, SlackBlockButtonElement,
    SlackBlockChoiceItem, SlackBlockPlainText, SlackBlockPlainTextOnly,
    SlackBlockStaticSelectElement, SlackContextBlock, SlackContextBlockElement, SlackDividerBlock,
    SlackHeaderBlock, SlackRelaxedUrl, SlackRichTextBlock, SlackRichTextElement,
    SlackRichTextInlineElement, SlackRichTextLink, SlackRichTextList, SlackRichTextListElement,
    SlackRichTextListStyle, SlackRichTextPreformatted, SlackRichTextQuote, SlackRichTextSection,
    SlackRichTextStyle, SlackRichTextText, SlackRichTextUser, SlackUserId,
};

use crate::chat::layout::{COLUMN_GAP, CUT, aligned, cut, measure, spans};
use crate::chat::markdown::{self, Block, Button, CHOOSE, Item, Opens, Span, Style};
use crate::conversation::{Audience, Reply};

/// What the ids of our buttons and selects begin with.
pub const ACTION_PREFIX: &str = "idp:";
/// What the ids begin with of our buttons that open a form, and of the forms; the command's name follows there.
pub const FORM_PREFIX: &str = "idp-form:";
/// Slack takes 50.
pub const BLOCKS_MAX: usize = 50;
/// Slack refuses a message of more than about 13,200 characters, which no page of it says.
pub const MESSAGE_CHARACTERS_MAX: usize = 12_000;
/// Slack takes 3,000 in a text of a section or context; the same for a block of rich text.
pub const BLOCK_CHARACTERS_MAX: usize = 3_000;
pub const HEADER_CHARACTERS_MAX: usize = 150;
pub const BUTTONS_MAX: usize = 25;
pub const BUTTON_LABEL_CHARACTERS_MAX: usize = 75;
pub const BUTTON_VALUE_CHARACTERS_MAX: usize = 2_000;
pub const OPTIONS_MAX: usize = 100;
pub const OPTION_LABEL_CHARACTERS_MAX: usize = 75;
pub const OPTION_VALUE_CHARACTERS_MAX: usize = 150;
pub const LINK_CHARACTERS_MAX: usize = 2_048;
/// The fallback is read by screen readers and in notifications, where the beginning is enough.
pub const FALLBACK_CHARACTERS_MAX: usize = 1_000;

/// What Slack is sent, within every limit of Slack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    response_type: &'static str,
    text: String,
    blocks: Vec<SlackBlock>,
    parse: &'static str,
    link_names: bool,
    unfurl_links: bool,
    unfurl_media: bool,
}

impl Message {
    /// The message that shows `reply`.
    pub fn of(reply: &Reply) -> Message {
        let tree = markdown::of(reply);
        Message {
            response_type: match reply.audience {
                Audience::Channel => "in_channel",
                Audience::Asker => "ephemeral",
            },
            text: fallback(&tree),
            blocks: blocks(tree),
            parse: "none",
            link_names: false,
            unfurl_links: false,
            unfurl_media: false,
        }
    }

    /// [`Message::of`] as the body of an answer.
    pub fn body(reply: &Reply) -> Bytes {
        serde_json::to_vec(&Message::of(reply)).expect("texts, lists and flags are JSON").into()
    }
}

/// [`Message::of`] as a value, for those who add to it.
///
/// # Errors
/// None that a reply can cause; an empty message is never sent in the place of one.
pub fn message(reply: &Reply) -> anyhow::Result<Value> {
    serde_json::to_value(Message::of(reply)).context("could not write a message")
}

/// The blocks that show `tree`. What does not fit is counted in the last one.
fn blocks(tree: Vec<Block>) -> Vec<SlackBlock> {
    let mut page = Page::default();
    tree.into_iter().for_each(|block| page.show(block));
    page.end()
}

#[derive(Default)]
struct Page {
    blocks: Vec<SlackBlock>,
    /// Neighbouring paragraphs, lists and quotes share a block.
    rich: Vec<SlackRichTextElement>,
    rich_characters: usize,
    characters: usize,
    buttons: usize,
    /// How many blocks, points and rows found no place.
    left_out: usize,
}

impl Page {
    fn show(&mut self, block: Block) {
        match block {
            Block::Heading { level: 1 | 2, text } => self.heading(markdown::plain(&text)),
            Block::Heading { mut text, .. } => {
                text.iter_mut().for_each(|span| span.style.bold = true);
                self.paragraph(text);
            }
            Block::Paragraph(text) if text.iter().all(|span| span.style.italic) => {
                self.small_print(markdown::plain(&text));
            }
            Block::Paragraph(text) => self.paragraph(text),
            Block::List(items) => items.into_iter().for_each(|item| self.item(item)),
            Block::Quote(blocks) => self.quote(blocks),
            Block::Code(text) => self.lines(text.lines()),
            Block::Table { head, rows } => {
                self.lines(aligned(&head, &rows).iter().map(String::as_str));
            }
            Block::Divider => self.block(SlackDividerBlock::new().into(), 0),
            Block::Buttons(buttons) => self.actions(&buttons),
            Block::Select(choices) => self.select(&choices),
        }
    }

    /// Whether `characters` more find a place, in one block more at most.
    fn fits(&mut self, characters: usize) -> bool {
        // One block is kept for the count of what was left out, one for the rich text that is open.
        let fits = self.characters + characters <= MESSAGE_CHARACTERS_MAX
            && self.blocks.len() + 2 < BLOCKS_MAX;
        self.left_out += usize::from(!fits);
        fits
    }

    fn block(&mut self, block: SlackBlock, characters: usize) {
        self.end_rich();
        if self.fits(characters) {
            self.characters += characters;
            self.blocks.push(block);
        }
    }

    fn heading(&mut self, text: String) {
        let (text, characters) = cut(text, HEADER_CHARACTERS_MAX);
        self.block(SlackHeaderBlock::new(plain_text(text).into()).into(), characters);
    }

    fn small_print(&mut self, text: String) {
        let (text, characters) = cut(text, BLOCK_CHARACTERS_MAX);
        let element = SlackContextBlockElement::Plain(plain_text(text));
        self.block(SlackContextBlock::new(vec![element]).into(), characters);
    }

    fn actions(&mut self, buttons: &[Button]) {
        for buttons in buttons.chunks(BUTTONS_MAX) {
            let first = self.buttons;
            self.buttons += buttons.len();
            let shown: Vec<SlackActionBlockElement> = (first..)
                .zip(buttons)
                // A value that is cut would say something else: such a button is none.
                .filter(|(_, button)| measure(&button.words) <= BUTTON_VALUE_CHARACTERS_MAX)
                .map(|(number, button)| action(number, button).into())
                .collect();
            self.left_out += buttons.len() - shown.len();
            if !shown.is_empty() {
                let characters =
                    buttons.iter().map(|it| measure(&it.label).min(BUTTON_LABEL_CHARACTERS_MAX));
                self.block(SlackActionsBlock::new(shown).into(), characters.sum());
            }
        }
    }

    fn select(&mut self, choices: &[Button]) {
        let mut characters = measure(CHOOSE);
        let mut options = Vec::new();
        for choice in choices.iter().take(OPTIONS_MAX) {
            let more = measure(&choice.label).min(OPTION_LABEL_CHARACTERS_MAX);
            if let Some(option) = option(&choice.label, &choice.words)
                && characters + more <= BLOCK_CHARACTERS_MAX
            {
                characters += more;
                options.push(option);
            }
        }
        self.left_out += choices.len() - options.len();
        if !options.is_empty() {
            let select = SlackBlockStaticSelectElement::new()
                .with_action_id(SlackActionId(format!("{ACTION_PREFIX}{}", self.buttons)))
                .with_placeholder(plain_text(CHOOSE).into())
                .with_options(options);
            self.buttons += 1;
            self.block(SlackActionsBlock::new(vec![select.into()]).into(), characters);
        }
    }

    fn paragraph(&mut self, text: Vec<Span>) {
        let Some(mut elements) = self.inline(text) else { return };
        if !self.rich.is_empty() {
            elements.insert(0, SlackRichTextText::new("\n".into()).into());
        }
        self.rich.push(SlackRichTextSection::new(elements).into());
    }

    fn item(&mut self, item: Item) {
        let Some(elements) = self.inline(item.text) else { return };
        let element = SlackRichTextListElement::Section(SlackRichTextSection::new(elements));
        let (style, offset) = match item.number {
            Some(number) => (SlackRichTextListStyle::Ordered, number.checked_sub(1)),
            None => (SlackRichTextListStyle::Bullet, None),
        };
        let indent = u64::from(item.indent);
        match self.rich.last_mut() {
            Some(SlackRichTextElement::List(list))
                if list.style == style && list.indent == Some(indent) =>
            {
                list.elements.push(element);
            }
            _ => {
                let list = SlackRichTextList::new(style, vec![element]).with_indent(indent);
                let list = match offset.filter(|offset| *offset > 0) {
                    Some(offset) => list.with_offset(offset),
                    None => list,
                };
                self.rich.push(list.into());
            }
        }
    }

    fn quote(&mut self, blocks: Vec<Block>) {
        let mut text: Vec<Span> = Vec::new();
        for block in blocks {
            if !text.is_empty() {
                text.push(Span::of("\n"));
            }
            text.extend(spans(block));
        }
        if let Some(elements) = self.inline(text) {
            self.rich.push(SlackRichTextQuote::new(elements).into());
        }
    }

    /// Lines in letters of one width, as many as find a place.
    fn lines<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        let mut text = String::new();
        let mut room = BLOCK_CHARACTERS_MAX.min(MESSAGE_CHARACTERS_MAX - self.characters);
        for line in lines {
            let (line, characters) = cut(line, BLOCK_CHARACTERS_MAX - 1);
            if characters + 1 > room {
                self.left_out += 1;
                room = 0;
                continue;
            }
            room -= characters + 1;
            text.push_str(&line);
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        if let Some(elements) = self.inline(vec![Span::of(text)]) {
            self.rich.push(SlackRichTextPreformatted::new(elements).into());
        }
    }

    /// `text` as Slack's elements, with its characters counted; `None` when there is none or no place for it.
    fn inline(&mut self, text: Vec<Span>) -> Option<Vec<SlackRichTextInlineElement>> {
        let whole: usize = text.iter().map(|span| measure(&span.text)).sum();
        let characters = whole.min(BLOCK_CHARACTERS_MAX) + 1;
        if whole == 0 {
            return None;
        }
        if self.rich_characters + characters > BLOCK_CHARACTERS_MAX {
            self.end_rich();
        }
        if !self.fits(characters) {
            return None;
        }
        self.characters += characters;
        self.rich_characters += characters;
        if whole < characters {
            return Some(text.into_iter().map(element).collect());
        }
        let mut room = characters - 1;
        let mut elements = Vec::with_capacity(text.len());
        for span in text {
            if room == 0 {
                break;
            }
            let (shown, characters) = cut(span.text, room);
            room -= characters;
            elements.push(element(Span { text: shown.into_owned(), ..span }));
        }
        Some(elements)
    }

    fn end_rich(&mut self) {
        self.rich_characters = 0;
        if !self.rich.is_empty() {
            let elements = std::mem::take(&mut self.rich);
            self.blocks.push(SlackRichTextBlock::new(elements).into());
        }
    }

    fn end(mut self) -> Vec<SlackBlock> {
        self.end_rich();
        if self.left_out > 0 {
            let text =
                plain_text(format!("{CUT} and {} more that find no place here", self.left_out));
            let element = SlackContextBlockElement::Plain(text);
            self.blocks.push(SlackContextBlock::new(vec![element]).into());
        }
        self.blocks
    }
}

/// An option of a select; `None` where Slack does not take its value: cut it would say something else.
pub(super) fn option(
    label: &str,
    value: &str,
) -> Option<SlackBlockChoiceItem<SlackBlockPlainTextOnly>> {
    let fits = !value.is_empty() && measure(value) <= OPTION_VALUE_CHARACTERS_MAX;
    let label = if label.trim().is_empty() { value } else { label };
    let (label, _) = cut(label, OPTION_LABEL_CHARACTERS_MAX);
    fits.then(|| SlackBlockChoiceItem::new(plain_text(label).into(), value.to_string()))
}

fn action(number: usize, button: &Button) -> SlackBlockButtonElement {
    let label = match button.label.trim() {
        "" => button.words.as_str(),
        label => label,
    };
    let (label, _) = cut(label, BUTTON_LABEL_CHARACTERS_MAX);
    let prefix = match button.opens {
        Opens::Answer => ACTION_PREFIX,
        Opens::Form => FORM_PREFIX,
    };
    SlackBlockButtonElement::new(plain_text(label).into())
        .with_action_id(SlackActionId(format!("{prefix}{number}")))
        .with_value(button.words.clone())
}

fn element(span: Span) -> SlackRichTextInlineElement {
    let (text, style) = (span.text, style(span.style));
    if let Some(id) = span.person.and_then(|person| person.slack) {
        return SlackRichTextUser { user_id: SlackUserId(id), style }.into();
    }
    match span.link {
        Some(url) if measure(&url) <= LINK_CHARACTERS_MAX => {
            let mut link = SlackRichTextLink::new(SlackRelaxedUrl(url)).with_text(text);
            link.style = style;
            link.into()
        }
        _ => SlackRichTextText { text, style }.into(),
    }
}

fn style(style: Style) -> Option<SlackRichTextStyle> {
    if style == Style::default() {
        return None;
    }
    let Style { bold, italic, strike, code } = style;
    let mut shown = SlackRichTextStyle::new();
    shown.bold = bold.then_some(true);
    shown.italic = italic.then_some(true);
    shown.strike = strike.then_some(true);
    shown.code = code.then_some(true);
    Some(shown)
}

fn plain_text(text: impl Into<String>) -> SlackBlockPlainText {
    SlackBlockPlainText::new(text.into()).with_emoji(false)
}

/// The text of a message for those who do not see its blocks; Slack parses it, so it is escaped.
fn fallback(tree: &[Block]) -> String {
    let mut text = String::new();
    tree.iter().for_each(|block| say(block, &mut text));
    let (text, _) = cut(text, FALLBACK_CHARACTERS_MAX);
    escaped(&text)
}

/// Adds the lines of `block` to `text`, as they are read aloud: without columns.
fn say(block: &Block, text: &mut String) {
    // No character has more than four bytes: what follows would be cut.
    if text.len() > 4 * FALLBACK_CHARACTERS_MAX {
        return;
    }
    let mut line = |line: &str| {
        text.push_str(if text.is_empty() { "" } else { "\n" });
        text.push_str(line);
    };
    match block {
        Block::Heading { text, .. } | Block::Paragraph(text) => line(&markdown::plain(text)),
        Block::List(items) => {
            items.iter().for_each(|item| line(&format!("• {}", markdown::plain(&item.text))));
        }
        Block::Table { head, rows } => std::iter::once(head).chain(rows).for_each(|row| {
            let cells = row.iter().map(|cell| markdown::plain(cell));
            line(&cells.collect::<Vec<String>>().join(COLUMN_GAP));
        }),
        Block::Code(code) => line(code),
        Block::Quote(blocks) => blocks.iter().for_each(|block| say(block, text)),
        Block::Divider | Block::Buttons(_) | Block::Select(_) => {}
    }
}

/// `text` so that Slack's parser shows it as it is: no mention, no link, no formatting.
///
/// Slack reads `@here` and the like only with `link_names`, which no message of ours sets; a word joiner
/// keeps them and bare addresses from ever being read so.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' | '#' | '*' | '_' | '~' | '`' | ':' => {
                out.push(character);
                out.push('\u{2060}');
            }
            '.' => out.push_str(".\u{2060}"),
            it => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::conversation::{Platform, button, mention};

    fn shown(markdown: &str) -> Value {
        message(&Reply::markdown(markdown)).unwrap()
    }

    #[test]
    fn a_reply_is_rich_text_with_buttons_below() {
        let markdown = format!(
            "## payment-api\n\nOwned by **payments**.\n\n- a\n- b\n\n{}\n\n_as of now_",
            button("Show", "show a")
        );
        let message = shown(&markdown);
        assert_eq!(message["response_type"], "ephemeral");
        assert_eq!(
            message["blocks"],
            json!([
                { "type": "header", "text": { "type": "plain_text", "text": "payment-api", "emoji": false } },
                { "type": "rich_text", "elements": [
                    { "type": "rich_text_section", "elements": [
                        { "type": "text", "text": "Owned by " },
                        { "type": "text", "text": "payments", "style": { "bold": true } },
                        { "type": "text", "text": "." },
                    ]},
                    { "type": "rich_text_list", "style": "bullet", "indent": 0, "elements": [
                        { "type": "rich_text_section", "elements": [{ "type": "text", "text": "a" }] },
                        { "type": "rich_text_section", "elements": [{ "type": "text", "text": "b" }] },
                    ]},
                ]},
                { "type": "actions", "elements": [{
                    "type": "button", "action_id": "idp:0", "value": "show a",
                    "text": { "type": "plain_text", "text": "Show", "emoji": false },
                }]},
                { "type": "context", "elements": [
                    { "type": "plain_text", "text": "as of now", "emoji": false },
                ]},
            ])
        );
    }

    #[test]
    fn somebody_is_mentioned_by_their_account_and_read_by_their_name() {
        let ada = mention("Ada", &[(Platform::Slack, "U1"), (Platform::Discord, "1")]);
        let message = shown(&format!("Asks **{ada}**."));
        assert_eq!(
            message["blocks"][0]["elements"][0]["elements"],
            json!([
                { "type": "text", "text": "Asks " },
                { "type": "user", "user_id": "U1", "style": { "bold": true } },
                { "type": "text", "text": "." },
            ])
        );
        assert_eq!(message["text"], "Asks Ada.\u{2060}");
        let elsewhere = shown(&mention("Ada", &[(Platform::Discord, "1")]));
        let elements = &elsewhere["blocks"][0]["elements"][0]["elements"];
        assert_eq!(*elements, json!([{ "type": "text", "text": "Ada" }]));
    }

    #[test]
    fn many_buttons_of_one_command_are_one_select() {
        let long = "x".repeat(OPTION_VALUE_CHARACTERS_MAX);
        let of = |names: Vec<String>| {
            let buttons = names.iter().map(|it| button(it, &format!("show {it}")));
            shown(&buttons.collect::<Vec<_>>().join(" "))["blocks"].clone()
        };
        let blocks = of((0..6).map(|it| it.to_string()).chain([long]).collect());
        assert_eq!(blocks.as_array().unwrap().len(), 2);
        let select = &blocks[0]["elements"][0];
        assert_eq!(
            (&select["type"], &select["action_id"]),
            (&json!("static_select"), &json!("idp:0"))
        );
        assert_eq!(select["placeholder"]["text"], "Choose…");
        assert_eq!(select["options"].as_array().unwrap().len(), 6);
        assert_eq!(
            select["options"][5],
            json!({ "text": { "type": "plain_text", "text": "5", "emoji": false }, "value": "show 5" })
        );
        assert_eq!(blocks[1]["elements"][0]["text"], "… and 1 more that find no place here");
        let blocks = of((0..130).map(|it| it.to_string()).collect());
        assert_eq!(blocks[0]["elements"][0]["options"].as_array().unwrap().len(), OPTIONS_MAX);
        assert_eq!(blocks[1]["elements"][0]["text"], "… and 30 more that find no place here");
    }

    #[test]
    fn columns_stand_one_below_the_other() {
        let message = shown("| name | n |\n|---|---|\n| orders | 3 |\n| a | 12 |");
        let text = &message["blocks"][0]["elements"][0]["elements"][0]["text"];
        assert_eq!(text, "name    n\norders  3\na       12");
    }

    #[test]
    fn what_finds_no_place_is_counted() {
        let many: String = (0..200).map(|number| format!("para {number}\n\n---\n\n")).collect();
        let message = shown(&many);
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.len() <= BLOCKS_MAX);
        let last = blocks.last().unwrap()["elements"][0]["text"].as_str().unwrap();
        assert!(
            last.starts_with("… and ") && last.ends_with(" more that find no place here"),
            "{last}"
        );
    }

    #[test]
    fn the_fallback_mentions_nobody() {
        let text = shown("\\<\\!channel\\> \\@here")["text"].as_str().unwrap().to_string();
        assert_eq!(text, "&lt;!channel&gt; @\u{2060}here");
    }
}
