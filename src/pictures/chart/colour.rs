//! Colours that come with the data, and those of ours where it brings none.

use serde::{Deserialize, Serialize};

use crate::pictures::{INK, PAPER};

/// A colour: `#cd7f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Colour([u8; 3]);

/// Told apart by who does not see red or green, too.
/// Source: Okabe and Ito, <https://jfly.uni-koeln.de/color/>
const PALETTE: [Colour; 8] = [
    Colour([0x00, 0x72, 0xB2]),
    Colour([0xE6, 0x9F, 0x00]),
    Colour([0x00, 0x9E, 0x73]),
    Colour([0xCC, 0x79, 0xA7]),
    Colour([0x56, 0xB4, 0xE9]),
    Colour([0xD5, 0x5E, 0x00]),
    Colour([0xF0, 0xE4, 0x42]),
    Colour([0x6E, 0x77, 0x81]),
];

/// What files may write instead of digits: the colours that Port's levels have.
const NAMES: [(&str, Colour); 16] = [
    ("blue", Colour([0x1F, 0x6F, 0xEB])),
    ("bronze", Colour([0xCD, 0x7F, 0x32])),
    ("dark-gray", Colour([0x57, 0x60, 0x6A])),
    ("gold", Colour([0xE3, 0xB3, 0x41])),
    ("green", Colour([0x2D, 0xA4, 0x4E])),
    ("light-blue", Colour([0x80, 0xCC, 0xFF])),
    ("light-gray", Colour([0xD0, 0xD7, 0xDE])),
    ("lime", Colour([0x9A, 0xC8, 0x3C])),
    ("orange", Colour([0xE1, 0x6F, 0x24])),
    ("pale-blue", Colour([0xB6, 0xD4, 0xE8])),
    ("pink", Colour([0xE8, 0x5A, 0xAD])),
    ("purple", Colour([0x82, 0x50, 0xDF])),
    ("red", Colour([0xCF, 0x22, 0x2E])),
    ("silver", Colour([0xA8, 0xB0, 0xB8])),
    ("turquoise", Colour([0x1B, 0x9E, 0xA8])),
    ("yellow", Colour([0xF2, 0xCC, 0x35])),
];

impl Colour {
    /// The colour that `text` writes: `#cd7f32`, or a name such as `bronze`; without regard to case.
    pub fn parse(text: &str) -> Option<Colour> {
        let text = text.trim();
        if let Some(digits) = text.strip_prefix('#') {
            let mut parts = [0; 3];
            hex::decode_to_slice(digits, &mut parts).ok()?;
            return Some(Colour(parts));
        }
        // `paleBlue` and `pale_blue` are `pale-blue`.
        let plain = |it: &str| -> String {
            it.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase()
        };
        let wanted = plain(text);
        NAMES.iter().find(|(name, _)| plain(name) == wanted).map(|(_, colour)| *colour)
    }

    /// The names that [`Colour::parse`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The colour of what stands in this `place` among others, where the data brings none.
    pub(super) fn or_own(colour: Option<Colour>, place: usize) -> Colour {
        colour.unwrap_or(PALETTE[place % PALETTE.len()])
    }

    /// What can be read on it.
    ///
    /// Source: <https://www.w3.org/TR/WCAG21/#dfn-relative-luminance>
    pub(super) fn ink(self) -> &'static str {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        let luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        // Where both have the same contrast.
        if luminance > 0.179 { INK } else { PAPER }
    }
}

impl std::fmt::Display for Colour {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "#{}", hex::encode(self.0))
    }
}

impl TryFrom<String> for Colour {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Colour, Self::Error> {
        Colour::parse(&text).ok_or("no colour")
    }
}

impl From<Colour> for String {
    fn from(colour: Colour) -> String {
        colour.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_six_digits_or_a_name() {
        let said = |text: &str| Colour::parse(text).map(|it| it.to_string());
        assert_eq!(said("#CD7F32").as_deref(), Some("#cd7f32"));
        assert_eq!(said(" Bronze "), said("#cd7f32"));
        assert_eq!((said("paleBlue"), said("pale blue")), (said("pale-blue"), said("PALE_BLUE")));
        for no in ["", "#", "#fff", "#12345g", "#1234567", "url(#a)", "red;fill:blue", "beige"] {
            assert_eq!(said(no), None, "{no}");
        }
        assert!(
            NAMES.is_sorted_by_key(|(name, _)| *name)
                && Colour::names().all(|name| Colour::parse(name).is_some())
        );
    }

    #[test]
    fn letters_on_a_colour_can_be_read() {
        let ink = |name| Colour::parse(name).unwrap().ink();
        assert_eq!([ink("gold"), ink("yellow"), ink("light-gray")], [INK; 3]);
        assert_eq!([ink("purple"), ink("#0b3d91")], [PAPER; 2]);
    }
}
