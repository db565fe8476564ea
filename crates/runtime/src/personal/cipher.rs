//! One sealed value: the cipher and its text.

use std::borrow::Cow;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use journal::seams::Random;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::keys::Key;

const NONCE_BYTES: usize = 24;
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What is encrypted.
#[derive(Serialize, Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) subject: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) value: &'a RawValue,
}

/// A sealed value as it lies in a text.
pub(super) struct Sealed {
    pub(super) key: u64,
    bytes: Vec<u8>,
}

impl Sealed {
    /// From what stands behind `{"$sealed":`; `None` for anything else.
    pub(super) fn parse(inside: &str) -> Option<Self> {
        let text = inside.strip_prefix('"')?.strip_suffix('"')?;
        let (key, bytes) = text.split_once('.')?;
        if key.len() != 16 {
            return None;
        }
        let bytes = from_base64(bytes)?;
        (bytes.len() > NONCE_BYTES).then_some(Self { key: u64::from_str_radix(key, 16).ok()?, bytes })
    }
}

/// What is encrypted of a value, as a text.
pub(super) fn content(subject: &str, value: &str) -> Vec<u8> {
    let value = serde_json::from_str(value).unwrap_or(RawValue::NULL);
    serde_json::to_vec(&Content { subject: subject.into(), value }).expect("a text and a JSON value always encode")
}

/// The JSON of a sealed value.
pub(super) fn seal(key: &Key, bound: &[u8], content: &[u8], random: &dyn Random) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    random.fill(&mut nonce);
    let payload = Payload { msg: content, aad: bound };
    let sealed = cipher(key).encrypt(&nonce.into(), payload).expect("a text of less than 256 GiB can be encrypted");
    let text = base64(&[&nonce[..], &sealed].concat());
    format!("{{\"$sealed\":\"{:016x}.{text}\"}}", key.id).into_bytes()
}

/// What was encrypted, when it was under this key and at this place.
pub(super) fn open(key: &Key, bound: &[u8], sealed: &Sealed) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.bytes.split_at(NONCE_BYTES);
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
    cipher(key).decrypt(&nonce.into(), Payload { msg: sealed, aad: bound }).ok()
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&key.secret.into())
}

/// RFC 4648 section 5, without padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(DIGITS[(word >> (18 - 6 * digit) & 63) as usize] as char);
        }
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut word = 0_u32;
        for byte in chunk {
            let digit = DIGITS.iter().position(|digit| digit == byte)?;
            word = word << 6 | u32::try_from(digit).ok()?;
        }
        word <<= 6 * (4 - chunk.len());
        bytes.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use journal::sim::SimRandom;

    use super::*;

    fn key(id: u64) -> Key {
        Key { id, secret: [7; 32] }
    }

    fn sealed(bound: &[u8]) -> Sealed {
        let json = seal(&key(1), bound, &content("customer/c1", "\"Ann\""), &SimRandom::new(1));
        let text = String::from_utf8(json).unwrap();
        assert!(!text.contains("Ann") && !text.contains("customer"), "{text}");
        Sealed::parse(text.strip_prefix("{\"$sealed\":").and_then(|rest| rest.strip_suffix('}')).unwrap()).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_at_its_place_and_nowhere_else() {
        let sealed = sealed(b"here");
        assert_eq!(sealed.key, 1);
        assert_eq!(open(&key(1), b"here", &sealed).as_deref(), Some(&br#"{"subject":"customer/c1","value":"Ann"}"#[..]));
        assert_eq!(open(&key(1), b"there", &sealed), None);
        assert_eq!(open(&Key { id: 1, secret: [8; 32] }, b"here", &sealed), None);
        for at in 0..sealed.bytes.len() {
            let mut bytes = sealed.bytes.clone();
            bytes[at] ^= 1;
            assert_eq!(open(&key(1), b"here", &Sealed { key: 1, bytes }), None, "byte {at}");
        }
    }

    #[test]
    fn texts_of_every_length_come_back() {
        for length in 0..70 {
            let bytes: Vec<u8> = (0..length).map(|at: u8| at.wrapping_mul(37)).collect();
            assert_eq!(from_base64(&base64(&bytes)), Some(bytes));
        }
        assert_eq!(base64(b"\xfb\xff"), "-_8");
        assert_eq!(from_base64("a+"), None);
    }
}
