//! Every bound of this crate. An error that refuses names the bound.

/// Levels of arrays and objects in the body of a command or an operation, at most.
pub const BODY_DEPTH_MAX: usize = 64;
/// Levels of arrays and objects in an event or a state, at most: more than a body has, since rules wrap what they are sent.
pub const PAYLOAD_DEPTH_MAX: usize = 120;
/// Bytes of the name of an entity, operation, rule, command, event or rejection, at most. The derives check their literals against the same number.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a tag, `name:value`, at most.
pub const TAG_BYTES_MAX: usize = 256;
/// Bytes of a tag's name, at most.
pub const TAG_NAME_BYTES_MAX: usize = 64;
/// Panes of a sliding window, at most.
pub const PANES_MAX: i64 = 1_000;
/// Digits behind the point of a [`Decimal`](crate::Decimal), at most.
pub const DECIMAL_PLACES_MAX: u32 = 28;

/// Bytes of the address of a call to the outside, at most.
pub const CALL_URL_BYTES_MAX: usize = 8 * 1024;
/// Headers that a call says itself, at most.
pub const CALL_HEADERS_MAX: usize = 32;
/// Bytes of the body of a call, at most.
pub const CALL_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of the answer to a call, at most.
pub const CALL_REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of an answer's body that a message shows, at most.
pub const CALL_EXCERPT_BYTES_MAX: usize = 256;

// serde_json reads 127 levels and no more: what was written deeper could never be read again.
const _: () = assert!(BODY_DEPTH_MAX < PAYLOAD_DEPTH_MAX && PAYLOAD_DEPTH_MAX < 128);
const _: () = assert!(TAG_NAME_BYTES_MAX < TAG_BYTES_MAX);

/// Whether a durable name matches `[a-z][a-z0-9-]{0,63}`.
#[must_use]
pub const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > NAME_BYTES_MAX || !bytes[0].is_ascii_lowercase() {
        return false;
    }
    let mut at = 1;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit() || bytes[at] == b'-') {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_lower_case_words_with_dashes() {
        for good in ["a", "cart", "add-item-2", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Cart", "2fast", "-a", "add_item", "add item", "$cart", "ä", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
