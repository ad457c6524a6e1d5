//! The bytes of a file as text.

use std::borrow::Cow;

use super::yaml::Position;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a file, and where it first has something that is no text.
///
/// UTF-8 and UTF-16 in both byte orders, with a byte order mark or without. What is no text becomes `U+FFFD`:
/// the other documents of the file are still good. So does NUL, which neither YAML nor Postgres can hold.
/// Source: <https://yaml.org/spec/1.2.2/#52-character-encodings>
pub fn decode(bytes: &[u8]) -> (Cow<'_, str>, Option<Position>) {
    let text = match bytes {
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0, 1..=255, ..] => utf16(bytes, u16::from_be_bytes),
        [1..=255, 0, ..] => utf16(bytes, u16::from_le_bytes),
        _ => String::from_utf8_lossy(bytes),
    };
    let text = match text {
        Cow::Borrowed(it) => Cow::Borrowed(it.strip_prefix(BYTE_ORDER_MARK).unwrap_or(it)),
        Cow::Owned(it) => Cow::Owned(it.trim_start_matches(BYTE_ORDER_MARK).to_string()),
    };
    let text = if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { text };
    // A replacement character that the author wrote is one all the same.
    let replaced = text.find(char::REPLACEMENT_CHARACTER).map(|at| position(&text, at));
    (text, replaced)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Cow<'static, str> {
    let units: Vec<u16> =
        bytes.chunks(2).map(|it| unit([it[0], *it.get(1).unwrap_or(&0)])).collect();
    Cow::Owned(String::from_utf16_lossy(&units))
}

/// Where byte `at` of `text` stands.
pub fn position(text: &str, at: usize) -> Position {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    Position { line: line as u32, column: column as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16_bytes(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn every_encoding_of_yaml_is_read() {
        let text = "name: Zoë\n";
        let with_mark = format!("\u{feff}{text}");
        for bytes in [
            text.as_bytes().to_vec(),
            with_mark.as_bytes().to_vec(),
            utf16_bytes(text, u16::to_be_bytes),
            utf16_bytes(text, u16::to_le_bytes),
            utf16_bytes(&with_mark, u16::to_be_bytes),
            utf16_bytes(&with_mark, u16::to_le_bytes),
        ] {
            assert_eq!(decode(&bytes), (Cow::Borrowed(text), None), "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced_and_found() {
        let (text, replaced) = decode(b"a: 1\nb: \xe9\xff\n");
        assert_eq!(text, "a: 1\nb: \u{fffd}\u{fffd}\n");
        assert_eq!(replaced, Some(Position { line: 2, column: 4 }));
        let (text, replaced) = decode(b"a: 1\nb: x\0y\n");
        assert_eq!(text, "a: 1\nb: x\u{fffd}y\n");
        assert_eq!(replaced, Some(Position { line: 2, column: 5 }));
    }
}
