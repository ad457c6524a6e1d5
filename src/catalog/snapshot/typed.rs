//! What people type, in the one form in which texts are compared; how far apart two texts are.

use std::borrow::Cow;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

/// Without regard to case, width and how accents are composed (NFKC, full case folding), trimmed.
pub fn folded(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if !text.is_ascii() {
        let upper = text.nfkc().flat_map(char::to_uppercase);
        return upper.flat_map(char::to_lowercase).nfkc().collect::<String>().into();
    }
    match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => text.to_ascii_lowercase().into(),
        false => text.into(),
    }
}

/// What `text` looks like: equal for texts that the eye confuses, `payment` and `payrnent`, `log-0` and `log-o`.
///
/// Source: UTS 39, section 4. It takes `0` for a capital `O`; names are compared without regard to case.
pub fn skeleton(text: &str) -> String {
    /// What each character of ASCII looks like: nearly all names have no other, and theirs need no table of Unicode.
    static LOOKS: LazyLock<[String; 128]> = LazyLock::new(|| {
        std::array::from_fn(|byte| looks_of(char::from(byte as u8).encode_utf8(&mut [0; 4])))
    });
    let text = folded(text);
    match text.is_ascii() {
        true => text.bytes().map(|byte| LOOKS[usize::from(byte)].as_str()).collect(),
        false => looks_of(&text),
    }
}

fn looks_of(text: &str) -> String {
    unicode_security::skeleton(text).collect::<String>().to_lowercase()
}

/// The words of a text: runs of letters and digits, folded by whoever calls.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// How many typos a text may have to still be taken for another: none in very short ones.
pub fn typos_max(text: &str) -> usize {
    match text.len() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    }
}

/// Tells how many typos (a letter missing, added, wrong; two swapped) make a text of what was typed.
pub struct Typed {
    /// For each byte, the places where it was typed.
    places: Box<[u64; 256]>,
    length: usize,
    letters: Letters,
}

/// The longest text compared, in bytes: one bit of a word each.
const LENGTH_MAX: usize = 64;

impl Typed {
    /// `None` for an empty text and one too long to have typos counted.
    pub fn new(typed: &str) -> Option<Typed> {
        if typed.is_empty() || typed.len() > LENGTH_MAX {
            return None;
        }
        let mut places = Box::new([0; 256]);
        for (place, byte) in typed.bytes().enumerate() {
            places[byte as usize] |= 1 << place;
        }
        Some(Typed { places, length: typed.len(), letters: Letters::of(typed) })
    }

    /// The typos between what was typed and `text`, whose letters are given; `None` if more than `max`.
    pub fn typos(&self, text: &str, letters: Letters, max: usize) -> Option<usize> {
        let is_far = self.length.abs_diff(text.len()) > max
            || (self.letters.0 ^ letters.0).count_ones() as usize > 2 * max;
        if is_far {
            return None;
        }
        Some(self.distance(text)).filter(|typos| *typos <= max)
    }

    /// The optimal string alignment distance, a column of the matrix in one step.
    ///
    /// Source: Hyyrö, "A Bit-Vector Algorithm for Computing Levenshtein and Damerau Edit Distances", 2003.
    fn distance(&self, text: &str) -> usize {
        let last = 1u64 << (self.length - 1);
        let mut distance = self.length;
        let (mut more, mut fewer) = (u64::MAX, 0u64);
        let (mut diagonal, mut before) = (0u64, 0u64);
        for byte in text.bytes() {
            let same = self.places[byte as usize];
            let swapped = ((!diagonal & same) << 1) & before;
            diagonal = (((same & more).wrapping_add(more)) ^ more) | same | fewer | swapped;
            let right_more = fewer | !(diagonal | more);
            let right_fewer = diagonal & more;
            distance += usize::from(right_more & last != 0);
            distance -= usize::from(right_fewer & last != 0);
            let shifted = (right_more << 1) | 1;
            more = (right_fewer << 1) | !(diagonal | shifted);
            fewer = shifted & diagonal;
            before = same;
        }
        distance
    }
}

/// Which bytes a text has: one typo changes at most two of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Letters(u64);

impl Letters {
    pub fn of(text: &str) -> Letters {
        Letters(text.bytes().fold(0, |letters, byte| letters | 1 << (byte % 64)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typos(typed: &str, text: &str) -> usize {
        let max = typed.len() + text.len();
        Typed::new(typed).unwrap().typos(text, Letters::of(text), max).unwrap()
    }

    proptest! {
        #[test]
        fn ascii_looks_as_unicode_says(text in "[ -~]{0,20}") {
            prop_assert_eq!(skeleton(&text), looks_of(&folded(&text)));
        }
    }

    #[test]
    fn case_width_and_composition_make_no_difference() {
        for (typed, meant) in [
            ("Payment-API", "payment-api"),
            ("ｐａｙｍｅｎｔ", "payment"),
            ("cafe\u{301}", "caf\u{e9}"),
            ("STRASSE", "straße"),
            ("ſearch", "search"),
            (" payments ", "payments"),
        ] {
            assert_eq!(folded(typed), folded(meant));
        }
    }

    #[test]
    fn a_swap_of_two_letters_is_one_typo() {
        assert_eq!(typos("chekcout", "checkout"), 1);
        assert_eq!(typos("chekout", "checkout"), 1);
        assert_eq!(typos("paymnt-api", "payment-api"), 1);
        assert_eq!(typos("checkout", "checkout"), 0);
    }

    #[test]
    fn what_looks_alike_has_one_skeleton() {
        for (alike, name) in [
            ("p\u{430}yments", "payments"),
            ("payrnents", "payments"),
            ("Log-O", "log-0"),
            ("tab1e", "table"),
        ] {
            assert_eq!(skeleton(alike), skeleton(name));
        }
        assert_ne!(skeleton("payment"), skeleton("payments"));
    }

    proptest! {
        #[test]
        fn typos_are_counted_as_the_textbook_does(a in "[a-d]{1,12}", b in "[a-d]{0,12}") {
            prop_assert_eq!(typos(&a, &b), strsim::osa_distance(&a, &b));
        }

        #[test]
        fn the_letters_never_rule_out_a_text_that_is_near(a in "[a-z0-9-]{3,14}", b in "[a-z0-9-]{3,14}", max in 0usize..8) {
            let near = Typed::new(&a).unwrap().typos(&b, Letters::of(&b), max);
            let distance = strsim::osa_distance(&a, &b);
            prop_assert_eq!(near, Some(distance).filter(|it| *it <= max));
        }
    }
}
