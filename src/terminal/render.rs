//! Replies as text of a terminal.

use std::io::IsTerminal;

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::visible;
use crate::conversation::Reply;

/// How wide text is where nobody's terminal says.
const COLUMNS: u16 = 100;

const BOLD: &str = "\u{1b}[1m";
const FAINT: &str = "\u{1b}[2m";
const ITALIC: &str = "\u{1b}[3m";
const STRUCK: &str = "\u{1b}[9m";
const CYAN: &str = "\u{1b}[36m";
const PLAIN: &str = "\u{1b}[0m";

/// `reply` as it looks best where standard output goes: plain in a file, a pipe, or with `NO_COLOR`.
pub fn for_standard_output(reply: &Reply) -> String {
    let styled = std::io::stdout().is_terminal() && !crate::config::no_color();
    render(reply, Table::new().width().unwrap_or(COLUMNS), styled)
}

/// `reply` for a terminal `columns` wide; with ANSI styles when `styled`.
///
/// Buttons that stand alone become lines `try: owner payment-api`. Of what others wrote no control
/// character gets through.
pub fn render(reply: &Reply, columns: u16, styled: bool) -> String {
    let mut page = Page { columns, styled, ..Page::default() };
    for event in
        Parser::new_ext(&reply.markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH)
    {
        page.take(event);
    }
    let mut out = page.out.trim_end().to_string();
    out.push('\n');
    out
}

/// What has been written so far, and the blocks that are open.
#[derive(Default)]
struct Page {
    columns: u16,
    styled: bool,
    out: String,
    /// The text of the open block.
    text: String,
    /// The open links, each with where its label starts in `text`.
    links: Vec<Link>,
    /// Buttons of the open block, and whether there is anything else in it.
    buttons: Vec<String>,
    has_text: bool,
    /// The open lists: the next number, `None` for bullets.
    lists: Vec<Option<u64>>,
    /// Written before the next line of text: a bullet, a number.
    marker: String,
    quotes: usize,
    rows: Vec<Vec<String>>,
}

struct Link {
    destination: String,
    label_at: usize,
}

impl Page {
    fn take(&mut self, event: Event) {
        match event {
            Event::Start(tag) => self.open(tag),
            Event::End(tag) => self.close(tag),
            Event::Text(text) => self.say(&text),
            Event::Code(text) if self.styled => {
                self.style(CYAN);
                self.say(&text);
                self.style(PLAIN);
            }
            Event::Code(text) => self.say(&format!("`{text}`")),
            // Nobody's HTML is obeyed; it is text.
            Event::Html(text) | Event::InlineHtml(text) => self.say(&text),
            Event::SoftBreak | Event::HardBreak => self.text.push('\n'),
            Event::Rule => {
                self.say("───");
                self.flush();
                self.gap();
            }
            // Not switched on.
            Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::TaskListMarker(_) => {}
        }
    }

    fn open(&mut self, tag: Tag) {
        match tag {
            Tag::Heading { .. } | Tag::Strong => self.style(BOLD),
            Tag::Emphasis => self.style(ITALIC),
            Tag::Strikethrough => self.style(STRUCK),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                let (destination, label_at) = (visible(&dest_url), self.text.len());
                self.links.push(Link { destination, label_at });
            }
            Tag::List(start) => {
                self.flush();
                self.lists.push(start);
            }
            Tag::Item => {
                self.marker = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "• ".to_string(),
                };
            }
            Tag::BlockQuote(_) => self.quotes += 1,
            Tag::TableHead | Tag::TableRow => self.rows.push(Vec::new()),
            _ => {}
        }
    }

    fn close(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                self.style(PLAIN);
                self.flush();
                self.gap();
            }
            TagEnd::Strong | TagEnd::Emphasis | TagEnd::Strikethrough => self.style(PLAIN),
            TagEnd::Link | TagEnd::Image => self.close_link(),
            TagEnd::Paragraph | TagEnd::CodeBlock | TagEnd::HtmlBlock => {
                self.flush();
                self.gap();
            }
            TagEnd::Item => self.flush(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.gap();
            }
            TagEnd::BlockQuote(_) => self.quotes -= 1,
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.text);
                self.buttons.clear();
                if let Some(row) = self.rows.last_mut() {
                    row.push(cell);
                }
            }
            TagEnd::Table => self.close_table(),
            _ => {}
        }
    }

    /// A link is its label, and its address where the terminal cannot hide it; a button is its label.
    fn close_link(&mut self) {
        let Some(Link { destination, label_at }) = self.links.pop() else { return };
        if let Some(words) = destination.strip_prefix("idp:") {
            self.buttons.push(words.to_string());
            return;
        }
        self.has_text = true;
        let label = self.text.split_off(label_at);
        self.text += &match (self.styled, self.is_in_table()) {
            (true, true) => label,
            (true, false) => format!("\u{1b}]8;;{destination}\u{1b}\\{label}\u{1b}]8;;\u{1b}\\"),
            (false, _) if label == destination => label,
            (false, _) => format!("{label} ({destination})"),
        };
    }

    fn close_table(&mut self) {
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        let mut table = Table::new();
        table
            .load_preset(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(self.columns);
        if self.styled {
            table.enforce_styling();
        }
        let heading = |text: String| match self.styled {
            true => Cell::new(text).add_attribute(Attribute::Bold),
            false => Cell::new(text),
        };
        table.set_header(rows.next().unwrap_or_default().into_iter().map(heading));
        table.add_rows(rows);
        self.out += &table.trim_fmt();
        self.out.push('\n');
        self.gap();
    }

    fn is_in_table(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Tables measure their cells, so that nothing invisible may be in them.
    fn style(&mut self, style: &str) {
        if self.styled && !self.is_in_table() {
            self.text += style;
        }
    }

    fn say(&mut self, text: &str) {
        let is_button = self.links.last().is_some_and(|it| it.destination.starts_with("idp:"));
        self.has_text |= !is_button && !text.trim().is_empty();
        self.text += &visible(text);
    }

    /// Writes the open block: behind its bullet, deeper in lists, marked in quotations.
    fn flush(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        let buttons = std::mem::take(&mut self.buttons);
        if !std::mem::take(&mut self.has_text) && !buttons.is_empty() {
            let lines = buttons.iter().map(|words| self.tried(words));
            text = lines.collect::<Vec<_>>().join("\n");
        }
        if text.trim().is_empty() {
            return;
        }
        let indent = "  ".repeat(self.lists.len().saturating_sub(1)) + &"│ ".repeat(self.quotes);
        let marker = std::mem::take(&mut self.marker);
        let under_marker = " ".repeat(marker.chars().count());
        for (number, line) in text.trim_end().lines().enumerate() {
            let before = if number == 0 { &marker } else { &under_marker };
            self.out += &format!("{indent}{before}{line}\n");
        }
    }

    fn tried(&self, words: &str) -> String {
        match self.styled {
            true => format!("{FAINT}try:{PLAIN} {words}"),
            false => format!("try: {words}"),
        }
    }

    /// An empty line before the next block; the items of a list stand close together.
    fn gap(&mut self) {
        if self.lists.is_empty() && !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Untrusted, button};

    fn plain(markdown: &str) -> String {
        render(&Reply::markdown(markdown), 60, false)
    }

    #[test]
    fn blocks_read_as_text() {
        let markdown = "## Owner\n\n**payments** owns `payment-api`.\n\n- one\n  - two\n- three\n\n1. a\n2. b\n\n> so\n";
        let expected = "Owner\n\npayments owns `payment-api`.\n\n• one\n  • two\n• three\n\n1. a\n2. b\n\n│ so\n";
        assert_eq!(plain(markdown), expected);
    }

    #[test]
    fn buttons_that_stand_alone_say_what_to_type() {
        let row = format!("{} {}", button("Show", "show pay"), button("Who", "owner pay"));
        assert_eq!(plain(&format!("Found.\n\n{row}")), "Found.\n\ntry: show pay\ntry: owner pay\n");
        assert_eq!(plain(&format!("- {} is first", button("pay", "show pay"))), "• pay is first\n");
    }

    #[test]
    fn links_show_where_they_lead() {
        assert_eq!(plain("[Runbook](https://a.example/b)"), "Runbook (https://a.example/b)\n");
        assert_eq!(plain("<https://a.example/b>"), "https://a.example/b\n");
        let styled = render(&Reply::markdown("[Runbook](https://a.example/b)"), 60, true);
        assert_eq!(styled, "\u{1b}]8;;https://a.example/b\u{1b}\\Runbook\u{1b}]8;;\u{1b}\\\n");
    }

    #[test]
    fn a_table_stays_within_the_terminal() {
        let long = "word ".repeat(40);
        let markdown = format!("| Name | About |\n|---|---|\n| pay | {long} |\n");
        for styled in [false, true] {
            let shown = render(&Reply::markdown(&markdown), 60, styled);
            let without_style = shown.replace(BOLD, "").replace("\u{1b}[0m", "");
            let widest = without_style.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(60), "{shown}");
            assert_eq!(shown.contains('\u{1b}'), styled);
        }
    }

    #[test]
    fn nothing_that_others_wrote_is_obeyed() {
        let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\r";
        for markdown in [
            Untrusted::from(hostile).to_markdown(),
            hostile.to_string(),
            format!("`{hostile}`"),
            format!("[a](<https://a.example/{hostile}>)"),
            format!("| {hostile} |\n|---|\n| {hostile} |\n"),
            format!("    {hostile}"),
            format!("<b {hostile}>"),
            button(hostile, hostile),
        ] {
            let shown = plain(&markdown);
            let obeyed = |it: char| (it.is_control() && it != '\n') || it == '\u{202e}';
            assert!(!shown.contains(obeyed), "{markdown:?}: {shown:?}");
        }
    }
}
