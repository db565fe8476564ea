//! JSON written by hand where bytes are JSON already, so that a reply is built once and never parsed.

use std::io::Write;

use serde_json::Value as Json;

const WRITES: &str = "a vector takes every write";

/// A JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if !plain {
        return serde_json::to_writer(out, text).expect(WRITES);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// A JSON number.
pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    write!(out, "{number}").expect(WRITES);
}

/// Something that displays as text without `"`, `\` and control characters: a cursor, an id in hexadecimal.
pub(crate) fn plain(out: &mut Vec<u8>, text: impl std::fmt::Display) {
    write!(out, "\"{text}\"").expect(WRITES);
}

/// Any JSON value, on one line.
pub(crate) fn value(out: &mut Vec<u8>, value: &Json) {
    serde_json::to_writer(out, value).expect(WRITES);
}

/// Bytes that are JSON already, on one line: a raw line break can only be white space between two tokens.
pub(crate) fn verbatim(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    out.extend_from_slice(json);
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Bytes as a JSON string of base64 (RFC 4648 section 4, padded).
pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push(b'"');
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |word, (index, byte)| word | u32::from(*byte) << (16 - 8 * index));
        for index in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * index) & 63) as usize];
            out.push(if index <= chunk.len() { letter } else { b'=' });
        }
    }
    out.push(b'"');
}

/// The bytes of canonical base64 (RFC 4648 section 4, padded); `None` for anything else.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let letters = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in letters.as_bytes().chunks(4) {
        let mut word = 0u32;
        for (index, letter) in chunk.iter().enumerate() {
            word |= letter_value(*letter)? << (18 - 6 * index);
        }
        bytes.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    // What is written otherwise than we would, padding and last bits included, is not canonical.
    let mut again = Vec::with_capacity(text.len() + 2);
    base64(&mut again, &bytes);
    (again[1..again.len() - 1] == *text.as_bytes()).then_some(bytes)
}

fn letter_value(letter: u8) -> Option<u32> {
    Some(u32::from(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(written(|out| string(out, "plain é")), "\"plain é\"");
        assert_eq!(written(|out| string(out, "a\"b\\c\n")), r#""a\"b\\c\n""#);
    }

    #[test]
    fn base64_has_the_vectors_of_rfc_4648() {
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in vectors {
            assert_eq!(written(|out| base64(out, plain.as_bytes())), format!("\"{encoded}\""));
            assert_eq!(from_base64(encoded).as_deref(), Some(plain.as_bytes()));
        }
        for bad in ["Z", "Zg", "Zg=", "Zh==", "Zg==Zg==", "Zm9v=", "Zm 9", "====", "A"] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn line_breaks_between_tokens_become_spaces() {
        assert_eq!(written(|out| verbatim(out, b"{\n \"a\":1\r\n}")), "{  \"a\":1  }");
    }
}
