//! Pictures of answers: drawn as SVG, handed on as PNG, which every platform shows.
//!
//! The same input gives the same bytes: the only fonts are the two of the binary. Text is text whatever it says, and
//! what was drawn is bounded in pixels and bytes.
//!
//! ```text
//! Graph ──layout: dagre──▶ SVG ──resvg──▶ PNG, with its title and what it shows in words
//! ```

pub mod graph;

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use anyhow::Context;
use bytes::Bytes;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use unicode_segmentation::UnicodeSegmentation;

use self::graph::Graph;
use crate::conversation::{Picture, is_hidden};

/// The longest side of a picture.
pub const SIDE_PIXELS_MAX: u32 = 3_000;
/// Discord takes 10 MB in a message, and nobody waits for so much.
pub const BYTES_MAX: usize = 2 << 20;
/// Text of one width, so that its room is known before it is drawn.
const FONT: &str = "DejaVu Sans Mono";
/// How wide a letter is, in sizes of the font.
const LETTER_WIDTH: f64 = 0.602;
/// Drawn so much larger than it is laid out, for screens that show two pixels for one.
const SCALE: f32 = 2.0;

/// So many pictures are drawn at once: each takes a processor, and tens of megabytes.
static DRAWING: Semaphore = Semaphore::const_new(2);

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    for font in [dejavu::sans_mono::regular(), dejavu::sans_mono::bold()] {
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(font)));
    }
    Arc::new(fonts)
});

/// The picture of `graph`, drawn on a thread of its own, once there is one.
///
/// # Errors
/// As [`graph::draw`].
pub async fn drawn(graph: Arc<Graph>) -> anyhow::Result<Picture> {
    let turn = DRAWING.acquire().await.context("nothing is drawn any more")?;
    let drawing = spawn_blocking(move || {
        let _turn = turn;
        graph::draw(&graph)
    });
    drawing.await.context("the drawing broke off")?
}

/// `svg` as PNG, no side longer than [`SIDE_PIXELS_MAX`].
///
/// # Errors
/// What is no SVG; a picture of more than [`BYTES_MAX`].
fn png(svg: &str) -> anyhow::Result<Bytes> {
    let options = usvg::Options {
        font_family: FONT.into(),
        fontdb: FONTS.clone(),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).context("could not read a picture of ours")?;
    let size = tree.size();
    let scale = SCALE.min(SIDE_PIXELS_MAX as f32 / size.width().max(size.height()));
    // Never 0, and never more than the side that the scale was made for.
    let pixels = |side: f32| ((side * scale) as u32).clamp(1, SIDE_PIXELS_MAX);
    let mut canvas = Pixmap::new(pixels(size.width()), pixels(size.height()))
        .context("a picture without pixels")?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut canvas.as_mut());
    let png = canvas.encode_png().context("could not write a picture")?;
    anyhow::ensure!(png.len() <= BYTES_MAX, "a picture of {} bytes", png.len());
    Ok(png.into())
}

/// The beginning of `text`, of at most `letters_max` letters, cut between two of them and marked as cut.
///
/// What a reader could not see, or what XML does not hold, becomes visible: `⟨U+202E⟩`.
fn shown(text: &str, letters_max: usize) -> String {
    let mut shown = String::new();
    // No more of a long text is looked at than could be shown.
    for (place, letter) in text.trim().graphemes(true).enumerate() {
        let piece = visible(letter);
        let is_cut = place == letters_max || letters(&shown) + letters(&piece) > letters_max;
        if is_cut {
            while letters(&shown) >= letters_max {
                shown.pop();
            }
            shown.push('…');
            break;
        }
        shown.push_str(&piece);
    }
    shown
}

/// One letter; of the marks above and below it, as many as can be told apart.
fn visible(letter: &str) -> String {
    const MARKS_MAX: usize = 3;
    let mut visible = String::new();
    for character in letter.chars().take(1 + MARKS_MAX) {
        match character {
            it if it.is_whitespace() => visible.push(' '),
            it if is_hidden(it) || !is_of_xml(it) => {
                let _ = write!(visible, "⟨U+{:04X}⟩", it as u32);
            }
            it => visible.push(it),
        }
    }
    visible
}

/// Source: <https://www.w3.org/TR/xml/#charsets>
fn is_of_xml(character: char) -> bool {
    !matches!(character, '\0'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
}

fn letters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.graphemes(true).count() }
}

/// The width of `text` at `size`.
fn width(text: &str, size: f64) -> f64 {
    letters(text) as f64 * LETTER_WIDTH * size
}

/// `text` within an element or an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            it => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_letters() {
        assert_eq!(shown("payment-api", 20), "payment-api");
        assert_eq!(shown("payment-api", 8), "payment…");
        assert_eq!(shown("an\u{303}o", 3), "an\u{303}o");
        assert_eq!(shown("an\u{303}os", 3), "an\u{303}…");
        assert_eq!(letters(&shown(&"x".repeat(10_000), 28)), 28);
    }

    #[test]
    fn what_cannot_be_seen_is_made_visible() {
        assert_eq!(shown("a\u{202E}b", 20), "a⟨U+202E⟩b");
        assert_eq!(shown("a\0b", 20), "a⟨U+0000⟩b");
        assert_eq!(shown("a\u{FFFE}b", 20), "a⟨U+FFFE⟩b");
        assert_eq!(shown("a\nb", 20), "a b");
        let stacked = format!("e{}x", "\u{301}".repeat(10_000));
        assert_eq!(shown(&stacked, 20), "e\u{301}\u{301}\u{301}x");
    }
}
