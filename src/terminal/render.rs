//! Replies as text of a terminal.

use std::io::IsTerminal;

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};

use super::visible;
use crate::chat::markdown::{self, BUTTONS_ALIKE_MAX, Block, Button, Item, Opens, Span};
use crate::conversation::Reply;
use crate::pictures::{Drawing, chart};

/// How wide text is where no terminal says.
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
/// A button is what to type: `try: owner payment-api`. Of what others wrote no control character
/// gets through.
pub fn render(reply: &Reply, columns: u16, styled: bool) -> String {
    let look = Look { columns, styled };
    let mut shown = look.blocks(&markdown::read(&reply.markdown)) + "\n";
    let drawing = Drawing::of(&reply.answer);
    if let Some(Drawing::Chart(chart)) = &drawing {
        let chart = lines(chart::in_letters(chart).iter().map(|line| visible(line)));
        shown.push_str(&format!("\n{chart}\n"));
    }
    if drawing.is_some() {
        let line = "Its picture: `idp ask --picture FILE …` writes it.";
        shown.push_str(&format!("\n{}\n", look.marked(FAINT, line)));
    }
    shown
}

/// How the terminal is.
#[derive(Clone, Copy)]
struct Look {
    columns: u16,
    styled: bool,
}

impl Look {
    /// With an empty line between them, and no line break at the end.
    fn blocks(self, blocks: &[Block]) -> String {
        let shown = blocks.iter().map(|block| self.block(block)).filter(|it| !it.is_empty());
        shown.collect::<Vec<_>>().join("\n\n")
    }

    fn block(self, block: &Block) -> String {
        match block {
            Block::Heading { text, .. } => self.marked(BOLD, &visible(&markdown::plain(text))),
            Block::Paragraph(text) => self.text(text),
            Block::List(items) => lines(items.iter().map(|item| self.item(item))),
            Block::Table { head, rows } => self.table(head, rows),
            Block::Code(text) => lines(visible(text).lines().map(|line| format!("    {line}"))),
            Block::Quote(blocks) => {
                lines(self.blocks(blocks).lines().map(|line| format!("│ {line}")))
            }
            Block::Divider => "───".to_string(),
            Block::Buttons(buttons) => {
                // A terminal has no forms: who reads this types the rest.
                let shown = buttons.iter().filter(|button| button.opens == Opens::Answer);
                lines(shown.map(|button| self.button(button)))
            }
            // The rest is typed like them.
            Block::Select(choices) => {
                lines(choices.iter().take(BUTTONS_ALIKE_MAX).map(|button| self.button(button)))
            }
        }
    }

    fn item(self, item: &Item) -> String {
        let marker = match item.number {
            Some(number) => format!("{number}. "),
            None => "• ".to_string(),
        };
        let indent = "  ".repeat(item.indent.into());
        let under_marker = format!("\n{indent}{}", " ".repeat(marker.chars().count()));
        format!("{indent}{marker}{}", self.text(&item.text).replace('\n', &under_marker))
    }

    fn button(self, button: &Button) -> String {
        format!("{} {}", self.marked(FAINT, "try:"), visible(&button.words))
    }

    fn table(self, head: &[Vec<Span>], rows: &[Vec<Vec<Span>>]) -> String {
        // A table measures its cells, so that nothing invisible may be in them.
        let plain = |cell: &Vec<Span>| Cell::new(visible(&markdown::plain(cell)));
        let mut table = Table::new();
        table
            .load_preset(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(self.columns);
        if self.styled {
            table.enforce_styling();
        }
        table.set_header(head.iter().map(|cell| match self.styled {
            true => plain(cell).add_attribute(Attribute::Bold),
            false => plain(cell),
        }));
        table.add_rows(rows.iter().map(|row| row.iter().map(plain).collect::<Vec<_>>()));
        table.trim_fmt()
    }

    fn text(self, spans: &[Span]) -> String {
        spans.iter().map(|span| self.span(span)).collect()
    }

    fn span(self, span: &Span) -> String {
        let style = span.style;
        let mut text = visible(&span.text);
        for (is_so, mark) in
            [(style.bold, BOLD), (style.italic, ITALIC), (style.strike, STRUCK), (style.code, CYAN)]
        {
            text = if is_so { self.marked(mark, &text) } else { text };
        }
        if style.code && !self.styled {
            text = format!("`{text}`");
        }
        match &span.link {
            None => text,
            Some(url) if *url == span.text && !self.styled => text,
            Some(url) if self.styled => {
                format!("\u{1b}]8;;{}\u{1b}\\{text}\u{1b}]8;;\u{1b}\\", visible(url))
            }
            Some(url) => format!("{text} ({})", visible(url)),
        }
    }

    fn marked(self, mark: &str, text: &str) -> String {
        if self.styled { format!("{mark}{text}{PLAIN}") } else { text.to_string() }
    }
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Platform, Untrusted, button, mention};

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
    fn a_button_is_what_to_type() {
        let row = format!("{} {}", button("Show", "show pay"), button("Who", "owner pay"));
        assert_eq!(plain(&format!("Found.\n\n{row}")), "Found.\n\ntry: show pay\ntry: owner pay\n");
    }

    #[test]
    fn links_show_where_they_lead() {
        assert_eq!(plain("[Runbook](https://a.example/b)"), "Runbook (https://a.example/b)\n");
        assert_eq!(plain("<https://a.example/b>"), "https://a.example/b\n");
        let styled = render(&Reply::markdown("[Runbook](https://a.example/b)"), 60, true);
        assert_eq!(styled, "\u{1b}]8;;https://a.example/b\u{1b}\\Runbook\u{1b}]8;;\u{1b}\\\n");
    }

    #[test]
    fn who_is_mentioned_is_read_by_their_name() {
        let ada = mention("Ada", &[(Platform::Slack, "U1"), (Platform::Discord, "1")]);
        assert_eq!(plain(&format!("Asks {ada}\\.")), "Asks Ada.\n");
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
