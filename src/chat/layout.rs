//! What every platform does with a tree before it shows it: counting, cutting, columns.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;

use super::markdown::{self, Block, Span};

/// Before what is too long, and behind what it was cut to.
pub const CUT: &str = "…";
/// The widest column of a table that is not cut.
const COLUMN_CHARACTERS_MAX: usize = 60;
pub const COLUMN_GAP: &str = "  ";

/// The text of a block within another.
pub fn spans(block: Block) -> Vec<Span> {
    match block {
        Block::Heading { text, .. } | Block::Paragraph(text) => text,
        Block::List(items) => {
            let lines = items.iter().map(|item| format!("• {}", markdown::plain(&item.text)));
            vec![Span::of(lines.collect::<Vec<String>>().join("\n"))]
        }
        Block::Table { head, rows } => vec![Span::of(aligned(&head, &rows).join("\n"))],
        Block::Code(code) => vec![Span::of(code)],
        Block::Quote(blocks) => blocks.into_iter().flat_map(spans).collect(),
        Block::Divider | Block::Buttons(_) | Block::Select(_) => Vec::new(),
    }
}

/// The rows of a table as lines, their columns one below the other.
pub fn aligned(head: &[Vec<Span>], rows: &[Vec<Vec<Span>>]) -> Vec<String> {
    let cell = |cell: &Vec<Span>| {
        let (text, _) = cut(markdown::plain(cell).replace('\n', " "), COLUMN_CHARACTERS_MAX);
        let width = graphemes(&text);
        (text, width)
    };
    let rows: Vec<Vec<(Cow<str>, usize)>> = std::iter::once(head)
        .chain(rows.iter().map(Vec::as_slice))
        .map(|row| row.iter().map(cell).collect())
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (widest, (_, width)) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(*width);
        }
    }
    let line = |row: &Vec<(Cow<str>, usize)>| {
        let mut line = String::new();
        for ((text, width), widest) in row.iter().zip(&widths) {
            line.push_str(text);
            line.extend(std::iter::repeat_n(' ', widest - width));
            line.push_str(COLUMN_GAP);
        }
        line.truncate(line.trim_end().len());
        line
    };
    rows.iter().map(line).collect()
}

fn graphemes(text: &str) -> usize {
    // Without line breaks, each letter of ASCII is one.
    if text.is_ascii() { text.len() } else { text.graphemes(true).count() }
}

/// The larger of the two counts that a platform may mean by a character.
pub fn measure(text: &str) -> usize {
    // A character of the upper planes is two units of UTF-16, so these are never fewer than characters.
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// The beginning of `text` of at most `characters_max`, cut between two graphemes and marked as cut; and its
/// characters as [`measure`] counts them.
pub fn cut<'a>(text: impl Into<Cow<'a, str>>, characters_max: usize) -> (Cow<'a, str>, usize) {
    cut_as(text, characters_max, measure)
}

/// [`cut`] where `measure` says how many characters a piece of the text has once it is shown.
pub fn cut_as<'a>(
    text: impl Into<Cow<'a, str>>,
    characters_max: usize,
    measure: fn(&str) -> usize,
) -> (Cow<'a, str>, usize) {
    let text = text.into();
    let whole = measure(&text);
    if whole <= characters_max {
        return (text, whole);
    }
    let room = characters_max.saturating_sub(measure(CUT));
    let (mut kept, mut characters) = (0, 0);
    for grapheme in text.graphemes(true) {
        let more = measure(grapheme);
        if characters + more > room {
            break;
        }
        kept += grapheme.len();
        characters += more;
    }
    let mark = if characters_max > 0 { CUT } else { "" };
    (format!("{}{mark}", &text[..kept]).into(), characters + measure(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_graphemes() {
        assert_eq!(cut("añ\u{301}b", 3), ("a…".into(), 2));
        assert_eq!(cut("👩‍👩‍👧 family", 4), ("…".into(), 1));
        assert_eq!(cut("whole", 5), ("whole".into(), 5));
    }
}
