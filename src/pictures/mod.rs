//! Pictures of answers: drawn as SVG, handed on as PNG, which every platform shows.
//!
//! The same input gives the same bytes: the only fonts are the two of the binary. Text is text whatever it says, and
//! what was drawn is bounded in pixels and bytes.
//!
//! ```text
//! Graph ──layout: dagre──▶ SVG ──resvg──▶ PNG, with its title and what it shows in words
//! Chart ──columns, axes───▶  ╯
//! ```

pub mod chart;
pub mod graph;

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use anyhow::Context;
use bytes::Bytes;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use unicode_segmentation::UnicodeSegmentation;

use self::chart::Chart;
use self::graph::Graph;
use crate::conversation::{Picture, is_hidden};

/// The longest side of a picture.
pub const SIDE_PIXELS_MAX: u32 = 3_000;
/// Discord takes 10 MB in a message, and nobody waits for so much.
pub const BYTES_MAX: usize = 2 << 20;
/// Discord takes 1,024 in the description of a picture.
pub const ALT_CHARACTERS_MAX: usize = 1_000;
/// Text of one width, so that its room is known before it is drawn.
const FONT: &str = "DejaVu Sans Mono";
/// How wide a letter is, in sizes of the font.
const LETTER_WIDTH: f64 = 0.602;
/// Drawn so much larger than it is laid out, for screens that show two pixels for one.
const SCALE: f32 = 2.0;

const INK: &str = "#1b1f24";
const FAINT: &str = "#57606a";
const LINE: &str = "#6e7781";
const PAPER: &str = "#ffffff";

/// So many pictures are drawn at once: each takes a processor, and tens of megabytes.
static DRAWING: Semaphore = Semaphore::const_new(2);

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    for font in [dejavu::sans_mono::regular(), dejavu::sans_mono::bold()] {
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(font)));
    }
    Arc::new(fonts)
});

/// What an answer shows besides its words.
#[derive(Debug, Clone, PartialEq)]
pub enum Drawing {
    Graph(Graph),
    Chart(Chart),
}

impl Drawing {
    /// The `graph` or else the `chart` of an answer, where there is anything to draw.
    pub fn of(answer: &Value) -> Option<Drawing> {
        let chart = || Chart::of(answer).map(Drawing::Chart);
        Graph::of(answer).map(Drawing::Graph).or_else(chart)
    }

    /// How much memory it takes, about.
    pub fn bytes(&self) -> usize {
        match self {
            Drawing::Graph(graph) => graph.bytes(),
            Drawing::Chart(chart) => chart.bytes(),
        }
    }

    /// The picture of it. It takes tens of milliseconds of a processor: not for a thread that others wait for.
    ///
    /// # Errors
    /// As [`graph::draw`] and [`chart::draw`].
    pub fn draw(&self) -> anyhow::Result<Picture> {
        match self {
            Drawing::Graph(graph) => graph::draw(graph),
            Drawing::Chart(chart) => chart::draw(chart),
        }
    }
}

/// The picture of `drawing`, drawn on a thread of its own, once there is one.
///
/// # Errors
/// As [`Drawing::draw`].
pub async fn drawn(drawing: Arc<Drawing>) -> anyhow::Result<Picture> {
    let turn = DRAWING.acquire().await.context("nothing is drawn any more")?;
    let pixels = spawn_blocking(move || {
        let _turn = turn;
        drawing.draw()
    });
    pixels.await.context("the drawing broke off")?
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

/// The beginning of a picture, `across` wide and `down` high, on paper of its own.
fn opened(across: f64, down: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{across:.0}\" height=\"{down:.0}\" font-family=\"{FONT}\">\
         <rect width=\"100%\" height=\"100%\" fill=\"{PAPER}\"/>"
    )
}

/// How words are written.
#[derive(Clone, Copy)]
struct Letters<'a> {
    /// Which end stands where they are put: `start`, `middle`, `end`.
    anchor: &'a str,
    size: f64,
    ink: &'a str,
    is_bold: bool,
}

/// Writes `words` at `(x, y)`.
fn text(svg: &mut String, (x, y): (f64, f64), letters: Letters<'_>, words: &str) {
    let Letters { anchor, size, ink, is_bold } = letters;
    let weight = if is_bold { "bold" } else { "normal" };
    let _ = write!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" font-weight=\"{weight}\" \
         fill=\"{ink}\">{}</text>",
        escaped(words)
    );
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
