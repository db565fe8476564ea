//! Percent-encoding of paths and queries, strictly: a wrong escape is refused, never passed through.

use std::borrow::Cow;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What RFC 3986 leaves unreserved stays as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The text behind an encoded one. A `+` is a plus: ids and times have them.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, String> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return Err("ends within a percent escape".to_owned()) };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err("has a `%` that two hexadecimal digits do not follow; write a percent sign as `%25`".to_owned());
        };
        bytes.push(high << 4 | low);
        rest = tail;
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| "is not UTF-8 once its percent escapes are decoded".to_owned())
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// A text as one segment of a path, or as a value of a query. The ids `.` and `..` do not exist, so dots may stay.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    write!(encoded, "{}", utf8_percent_encode(text, ENCODED)).expect("a string takes every write");
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_survives() {
        for text in ["c1", "a/b", "100%", "*>", "é ü", "a+b", "...", "?#&="] {
            assert_eq!(decode(&encode(text)).unwrap(), text);
        }
    }

    #[test]
    fn wrong_escapes_are_refused() {
        for bad in ["%", "%1", "%zz", "a%2", "%ff", "%c3%28", "%+1"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
