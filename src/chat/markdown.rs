//! Markdown of our own templates, read into blocks that every platform can show.
//!
//! CommonMark with tables and strikethrough. HTML and images are text; links with the schemes `idp:` and `idp-form:`
//! are buttons, many of one command a select; those with `idp-person:` mention somebody; links of other schemes than http and https are text. No platform's words are in here.

use std::collections::HashSet;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::layout::measure;
use crate::conversation::{Person, Reply, is_web_page};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// `level` from 1, the largest.
    Heading {
        level: u8,
        text: Vec<Span>,
    },
    Paragraph(Vec<Span>),
    List(Vec<Item>),
    Table {
        head: Vec<Vec<Span>>,
        rows: Vec<Vec<Vec<Span>>>,
    },
    /// Text as it stands, without a line break at its end.
    Code(String),
    Quote(Vec<Block>),
    Divider,
    /// The buttons of the blocks before, in their order.
    Buttons(Vec<Button>),
    /// What is too much for buttons, to choose one of: more than [`BUTTONS_ALIKE_MAX`] of one command. No two say
    /// the same, and no two read the same.
    Select(Vec<Button>),
}

/// One point of a list. Lists within lists are flat, so that platforms without nesting can show them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// 0 for the outermost list.
    pub indent: u8,
    /// Its number; `None` in a list without an order.
    pub number: Option<u64>,
    pub text: Vec<Span>,
}

/// A run of text that looks the same. A line break is `\n` in `text`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    pub text: String,
    pub style: Style,
    /// Where it leads: an http or https URL.
    pub link: Option<String>,
    /// Whom it mentions; `text` stands for them where they have no account.
    pub person: Option<Person>,
}

impl Span {
    /// `text` of no style, leading nowhere.
    pub fn of(text: impl Into<String>) -> Span {
        Span { text: text.into(), ..Span::default() }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    pub bold: bool,
    pub italic: bool,
    pub strike: bool,
    pub code: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    pub label: String,
    /// What the person says by clicking: `dependents payment-api`.
    pub words: String,
    pub opens: Opens,
}

impl Button {
    /// Whether both say the same command, with other words behind it.
    fn is_like(&self, other: &Button) -> bool {
        let is_answered = |it: &Button| it.opens == Opens::Answer;
        is_answered(self) && is_answered(other) && self.command() == other.command()
    }

    fn command(&self) -> Option<&str> {
        self.words.split_whitespace().next()
    }
}

/// What a click on a button brings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Opens {
    #[default]
    Answer,
    /// The form of the command, in which the words fill in what they give of it.
    Form,
}

/// So many buttons of one command stand side by side.
pub const BUTTONS_ALIKE_MAX: usize = 5;

/// What a select says before anything is chosen.
pub const CHOOSE: &str = "Choose…";

/// The deepest list or quote that is told apart from the one around it.
const INDENT_MAX: u8 = 8;

/// What the button says that asks whether an answer helped.
pub const HELPFUL: &str = "Helpful?";
/// Buttons stand in rows of so many, where a platform has rows.
const ROW_BUTTONS_MAX: usize = 5;
/// Longer words no platform's button carries.
const FEEDBACK_CHARACTERS_MAX: usize = 80;

/// What `reply` says, and a button that asks whether it helped.
///
/// The button takes a free place in the last row of buttons, or a row of its own where nothing else can be clicked; it
/// never makes an answer longer that has enough to click.
pub fn of(reply: &Reply) -> Vec<Block> {
    let mut blocks = read(&reply.markdown);
    if let Some(words) = reply.feedback.as_ref().filter(|it| measure(it) <= FEEDBACK_CHARACTERS_MAX)
    {
        let (label, words) = (HELPFUL.to_string(), words.clone());
        ask(&mut blocks, Button { label, words, opens: Opens::Form });
    }
    blocks
}

fn ask(blocks: &mut Vec<Block>, button: Button) {
    let mut in_row = None;
    let mut last = None;
    for (place, block) in blocks.iter().enumerate() {
        match block {
            Block::Buttons(buttons) => {
                in_row = Some((in_row.unwrap_or(0) + buttons.len()) % ROW_BUTTONS_MAX);
                last = Some(place);
            }
            // A select takes a row, and none has room beside it.
            Block::Select(_) => in_row = Some(0),
            _ => {}
        }
    }
    match (in_row, last) {
        (None, _) => blocks.push(Block::Buttons(vec![button])),
        (Some(1..), Some(last)) => {
            if let Block::Buttons(buttons) = &mut blocks[last] {
                buttons.push(button);
            }
        }
        (Some(_), _) => {}
    }
}

/// Reads `markdown`. Everything in it is shown in some way; nothing is an error.
pub fn read(markdown: &str) -> Vec<Block> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut reader = Reader::default();
    for event in Parser::new_ext(markdown, options) {
        reader.take(event);
    }
    reader.flush();
    let mut blocks = Vec::with_capacity(reader.blocks.len());
    for block in reader.blocks {
        match block {
            Block::Buttons(buttons) if buttons.len() > BUTTONS_ALIKE_MAX => {
                buttons.chunk_by(Button::is_like).for_each(|alike| offer(alike, &mut blocks));
            }
            block => blocks.push(block),
        }
    }
    blocks
}

/// Adds buttons of one command to `blocks`: a few by those that stand there, many as a select.
fn offer(alike: &[Button], blocks: &mut Vec<Block>) {
    if alike.len() <= BUTTONS_ALIKE_MAX {
        match blocks.last_mut() {
            Some(Block::Buttons(before)) => before.extend_from_slice(alike),
            _ => blocks.push(Block::Buttons(alike.to_vec())),
        }
        return;
    }
    let mut said = HashSet::new();
    let mut choices: Vec<Button> =
        alike.iter().filter(|it| said.insert(&it.words)).cloned().collect();
    let mut labels = HashSet::new();
    let mut read = choices.iter().map(|it| it.label.trim());
    if !read.all(|label| !label.is_empty() && labels.insert(label)) {
        choices.iter_mut().for_each(|it| it.label = it.words.clone());
    }
    blocks.push(Block::Select(choices));
}

/// The text of `spans` without its looks.
pub fn plain(spans: &[Span]) -> String {
    spans.iter().map(|span| span.text.as_str()).collect()
}

#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    /// The blocks around the quote that is being read.
    outside: Vec<Vec<Block>>,
    spans: Vec<Span>,
    style: Style,
    /// How many marks of each sort are open: strong within strong is strong until the last ends.
    bold: u8,
    italic: u8,
    strike: u8,
    link: Option<Link>,
    /// For each open list, the number of its next item.
    lists: Vec<Option<u64>>,
    /// The number of the item whose text is being read.
    item: Option<Option<u64>>,
    items: Vec<Item>,
    code: Option<String>,
    table: Option<Table>,
    buttons: Vec<Button>,
}

enum Link {
    Web(String),
    Button(Button),
    Person(Person),
    Neither,
}

#[derive(Default)]
struct Table {
    head: Vec<Vec<Span>>,
    rows: Vec<Vec<Vec<Span>>>,
    row: Vec<Vec<Span>>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::Code(text) => {
                let outside = std::mem::replace(&mut self.style.code, true);
                self.text(&text);
                self.style.code = outside;
            }
            Event::SoftBreak | Event::HardBreak => self.text("\n"),
            Event::Rule => self.blocks.push(Block::Divider),
            // Not switched on in the options.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text);
            }
            Event::TaskListMarker(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Strong => self.bold += 1,
            Tag::Emphasis => self.italic += 1,
            Tag::Strikethrough => self.strike += 1,
            Tag::Link { dest_url, .. } => self.link = Some(link(&dest_url)),
            Tag::List(number) => {
                self.end_item();
                self.lists.push(number);
            }
            Tag::Item => {
                let next = self.lists.last_mut();
                self.item = Some(next.and_then(|next| {
                    let number = *next;
                    *next = number.map(|number| number + 1);
                    number
                }));
            }
            Tag::CodeBlock(_) => {
                self.end_items();
                self.code = Some(String::new());
            }
            Tag::BlockQuote(_) => {
                self.end_items();
                self.outside.push(std::mem::take(&mut self.blocks));
            }
            Tag::Table(_) => self.table = Some(Table::default()),
            // A second paragraph of an item, an image's description, raw HTML: text like any other.
            Tag::Paragraph if self.item.is_some() && !self.spans.is_empty() => self.text("\n"),
            _ => {}
        }
        self.restyle();
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong => self.bold = self.bold.saturating_sub(1),
            TagEnd::Emphasis => self.italic = self.italic.saturating_sub(1),
            TagEnd::Strikethrough => self.strike = self.strike.saturating_sub(1),
            TagEnd::Link => {
                if let Some(Link::Button(button)) = self.link.take()
                    && !button.words.trim().is_empty()
                {
                    self.buttons.push(button);
                }
            }
            TagEnd::Paragraph | TagEnd::HtmlBlock if self.item.is_none() => {
                let spans = self.take_spans();
                self.push_text(Block::Paragraph(spans));
            }
            TagEnd::Heading(level) => {
                let text = self.take_spans();
                self.push_text(Block::Heading { level: number(level), text });
            }
            TagEnd::Item => self.end_item(),
            TagEnd::List(_) => {
                self.lists.pop();
                if self.lists.is_empty() {
                    self.end_items();
                }
            }
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                self.blocks.push(Block::Code(code.trim_end_matches('\n').to_string()));
            }
            TagEnd::BlockQuote(_) => {
                self.end_items();
                let outside = self.outside.pop().unwrap_or_default();
                let inside = std::mem::replace(&mut self.blocks, outside);
                self.blocks.push(Block::Quote(inside));
            }
            TagEnd::TableCell => {
                let cell = self.take_spans();
                if let Some(table) = &mut self.table {
                    table.row.push(cell);
                }
            }
            TagEnd::TableHead => {
                if let Some(table) = &mut self.table {
                    table.head = std::mem::take(&mut table.row);
                }
            }
            TagEnd::TableRow => {
                if let Some(table) = &mut self.table {
                    let row = std::mem::take(&mut table.row);
                    table.rows.push(row);
                }
            }
            TagEnd::Table => {
                if let Some(Table { head, rows, .. }) = self.table.take() {
                    self.blocks.push(Block::Table { head, rows });
                }
                self.end_buttons();
            }
            _ => {}
        }
        self.restyle();
    }

    fn text(&mut self, text: &str) {
        if let Some(code) = &mut self.code {
            code.push_str(text);
            return;
        }
        let (link, person) = match &mut self.link {
            Some(Link::Button(button)) => {
                button.label.push_str(text);
                return;
            }
            Some(Link::Web(url)) => (Some(url.as_str()), None),
            Some(Link::Person(person)) => (None, Some(&*person)),
            Some(Link::Neither) | None => (None, None),
        };
        match self.spans.last_mut() {
            Some(last)
                if last.style == self.style
                    && last.link.as_deref() == link
                    && last.person.as_ref() == person =>
            {
                last.text.push_str(text);
            }
            _ => {
                let (link, person) = (link.map(str::to_string), person.cloned());
                self.spans.push(Span { text: text.to_string(), style: self.style, link, person });
            }
        }
    }

    fn restyle(&mut self) {
        self.style = Style {
            bold: self.bold > 0,
            italic: self.italic > 0,
            strike: self.strike > 0,
            code: false,
        };
    }

    fn end_item(&mut self) {
        if let Some(number) = self.item.take() {
            let indent = (self.lists.len().saturating_sub(1)).min(INDENT_MAX.into()) as u8;
            let text = self.take_spans();
            self.items.push(Item { indent, number, text });
        }
    }

    fn end_items(&mut self) {
        self.end_item();
        let items = std::mem::take(&mut self.items);
        if !items.is_empty() {
            self.blocks.push(Block::List(items));
        }
        self.end_buttons();
    }

    fn push_text(&mut self, block: Block) {
        let is_empty = match &block {
            Block::Heading { text, .. } | Block::Paragraph(text) => {
                text.iter().all(|span| span.text.trim().is_empty())
            }
            _ => false,
        };
        if !is_empty {
            self.blocks.push(block);
        }
        self.end_buttons();
    }

    /// Buttons stand under the block that they were written in; those of neighbours together.
    fn end_buttons(&mut self) {
        let buttons = std::mem::take(&mut self.buttons);
        match self.blocks.last_mut() {
            _ if buttons.is_empty() => {}
            Some(Block::Buttons(before)) => before.extend(buttons),
            _ => self.blocks.push(Block::Buttons(buttons)),
        }
    }

    /// What was read since the last block, without space at its ends.
    fn take_spans(&mut self) -> Vec<Span> {
        let mut spans = std::mem::take(&mut self.spans);
        if let Some(first) = spans.first_mut() {
            first.text.drain(..first.text.len() - first.text.trim_start().len());
        }
        if let Some(last) = spans.last_mut() {
            last.text.truncate(last.text.trim_end().len());
        }
        spans.retain(|span| !span.text.is_empty());
        spans
    }

    fn flush(&mut self) {
        self.end_items();
        if !self.spans.is_empty() {
            let spans = self.take_spans();
            self.push_text(Block::Paragraph(spans));
        }
    }
}

fn link(destination: &str) -> Link {
    for (scheme, opens) in [("idp:", Opens::Answer), ("idp-form:", Opens::Form)] {
        if let Some(words) = destination.strip_prefix(scheme) {
            let words = words.trim().to_string();
            return Link::Button(Button { label: String::new(), words, opens });
        }
    }
    if let Some(person) = Person::parse(destination) {
        return Link::Person(person);
    }
    match url::Url::parse(destination) {
        Ok(url) if is_web_page(&url) => Link::Web(url.into()),
        _ => Link::Neither,
    }
}

fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Platform, Untrusted, button, form_button, mention};

    fn text(text: &str) -> Span {
        Span::of(text)
    }

    #[test]
    fn a_paragraph_has_styles_and_links() {
        let bold = Span { style: Style { bold: true, ..Style::default() }, ..text("team") };
        let link = Span { link: Some("https://acme.example/".into()), ..text("docs") };
        assert_eq!(
            read("The **team** of [docs](https://acme.example)"),
            [Block::Paragraph(vec![text("The "), bold, text(" of "), link])]
        );
    }

    #[test]
    fn a_mention_is_a_span_of_its_own() {
        let person = Person { slack: Some("U1".into()), discord: None };
        let ada = Span { person: Some(person), ..text("Ada B.") };
        let mention = mention("Ada B.", &[(Platform::Slack, "U1")]);
        assert_eq!(
            read(&format!("Asks {mention}{mention}: now")),
            [Block::Paragraph(vec![
                text("Asks "),
                Span { text: "Ada B.Ada B.".into(), ..ada },
                text(": now")
            ])]
        );
    }

    #[test]
    fn links_to_commands_are_buttons_under_their_block() {
        let markdown =
            format!("Owned.\n\n{} {}", button("Show", "show a"), form_button("Why", "path a"));
        let buttons = vec![
            Button { label: "Show".into(), words: "show a".into(), opens: Opens::Answer },
            Button { label: "Why".into(), words: "path a".into(), opens: Opens::Form },
        ];
        assert_eq!(
            read(&markdown),
            [Block::Paragraph(vec![text("Owned.")]), Block::Buttons(buttons)]
        );
    }

    #[test]
    fn many_buttons_of_one_command_are_a_select() {
        let shows = |range: std::ops::Range<usize>, label: fn(usize) -> String| {
            let shows = range.map(|it| button(&label(it), &format!("show {it}")));
            shows.collect::<Vec<_>>().join(" ")
        };
        let of = |markdown: &str| -> Vec<(bool, Vec<String>)> {
            let labels = |buttons: Vec<Button>| buttons.into_iter().map(|it| it.label).collect();
            let shown = read(markdown).into_iter().map(|block| match block {
                Block::Buttons(buttons) => (false, labels(buttons)),
                Block::Select(choices) => (true, labels(choices)),
                other => panic!("{other:?}"),
            });
            shown.collect()
        };
        let number = |it: usize| it.to_string();
        let words = |range: std::ops::Range<usize>| range.map(number).collect::<Vec<_>>();
        assert_eq!(of(&shows(0..5, number)), [(false, words(0..5))]);
        assert_eq!(of(&shows(0..6, number)), [(true, words(0..6))]);
        let (few, many) = (shows(0..3, number), shows(0..9, number));
        let owner = button("Owner", "owner a");
        let next = button("Next", "find a --page 2");
        assert_eq!(
            of(&format!("{few} {owner} {next} {many} {next} {owner}")),
            [
                (false, vec!["0", "1", "2", "Owner", "Next"].into_iter().map(Into::into).collect()),
                (true, words(0..9)),
                (false, vec!["Next".into(), "Owner".into()]),
            ]
        );
        let form = form_button("Fill in", "show");
        assert_eq!(of(&[form.as_str(); 9].join(" ")), [(false, vec!["Fill in".into(); 9])]);
    }

    #[test]
    fn choices_are_told_apart() {
        let what = (0..9).map(|it| button("What it owns", &format!("list --team {}", it / 2)));
        let blocks = read(&what.collect::<Vec<_>>().join(" "));
        let [Block::Select(choices)] = &blocks[..] else { panic!("{blocks:?}") };
        let labels: Vec<_> = choices.iter().map(|it| it.label.as_str()).collect();
        assert_eq!(
            labels,
            ["list --team 0", "list --team 1", "list --team 2", "list --team 3", "list --team 4"]
        );
    }

    #[test]
    fn what_is_no_link_is_text() {
        for no_link in [
            "[a](javascript:x)",
            "[a](slack://x)",
            "[a](<idp-person:slack=C1,discord=&1>)",
            "[a](idp-person:)",
            "[a](https://good@evil.example)",
            "[a](https://:good@evil.example)",
        ] {
            assert_eq!(read(no_link), [Block::Paragraph(vec![text("a")])], "{no_link}");
        }
        assert_eq!(read("<b>x</b>"), [Block::Paragraph(vec![text("<b>x</b>")])]);
    }

    #[test]
    fn lists_are_flat() {
        let item = |indent, number, it| Item { indent, number, text: vec![text(it)] };
        assert_eq!(
            read("- a\n  - b\n- c\n\ntext\n\n3. d\n4. e"),
            [
                Block::List(vec![item(0, None, "a"), item(1, None, "b"), item(0, None, "c")]),
                Block::Paragraph(vec![text("text")]),
                Block::List(vec![item(0, Some(3), "d"), item(0, Some(4), "e")]),
            ]
        );
    }

    #[test]
    fn tables_quotes_and_code_keep_their_shape() {
        let cell = |it| vec![text(it)];
        assert_eq!(
            read("| a | b |\n|---|---|\n| 1 | 2 |\n\n> said\n\n```\nx\n y\n```\n\n---"),
            [
                Block::Table {
                    head: vec![cell("a"), cell("b")],
                    rows: vec![vec![cell("1"), cell("2")]]
                },
                Block::Quote(vec![Block::Paragraph(vec![text("said")])]),
                Block::Code("x\n y".into()),
                Block::Divider,
            ]
        );
    }

    #[test]
    fn untrusted_text_is_one_literal_span() {
        for hostile in [
            "<!channel> *bold* _it_ `code` ~~x~~ [a](https://evil.example) <https://evil.example>",
            "# heading",
            "- item",
            "1. item",
            "> quote",
            "```",
            "---",
            "| a |",
            "&lt;b&gt; &amp;",
            "https://evil.example www.evil.example a@evil.example",
            "![x](y)",
            "[a]: https://evil.example",
            "\\*",
            "a\\",
            "[a](<idp-person:slack=U1,discord=1>)",
            "    code",
            "\tcode",
            "+ a",
            "= \n===",
        ] {
            let markdown = Untrusted::from(hostile).to_markdown();
            let shown = hostile.replace(['\n', '\t'], " ");
            assert_eq!(read(&markdown), [Block::Paragraph(vec![text(shown.trim())])], "{hostile}");
        }
    }
}
