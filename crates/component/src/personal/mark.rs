//! Marks: how a personal value travels through the runtime, between a component and whoever encrypts it.
//!
//! ```text
//! {"$personal":{"subject":"customer/c1","at":3,"value":"Ann"}}
//! ```
//!
//! `at` counts the erasures that had been when the value was read. Our own encoders write a mark without white space, so that it is
//! found by its first bytes: inside of a text they would be escaped. No client can send one: such a name is refused in any JSON.
//! A mark never reaches the journal, a file or a client.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use serde_json::value::RawValue;

/// The one member of a mark.
pub const NAME: &str = "$personal";
/// The one member of what is encrypted.
pub const SEALED_NAME: &str = "$sealed";
/// What the schema of a personal value says besides.
pub const SCHEMA: &str = "x-personal";
/// What the schema of a field says of its subject.
pub const SCHEMA_SUBJECT: &str = "x-subject";

/// How a mark begins.
const MARK: &[u8] = b"{\"$personal\":";
/// How what is encrypted begins.
pub const SEALED: &[u8] = b"{\"$sealed\":";

/// Whether a member's name is one of ours.
pub(crate) fn is_reserved_name(name: &str) -> bool {
    name == NAME || name == SEALED_NAME
}

/// A mark as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Mark {
    #[serde(default)]
    pub(super) subject: Option<String>,
    #[serde(default)]
    pub(super) at: Option<u64>,
    pub(super) value: Json,
}

/// A personal value as it was kept.
pub(super) enum Stored {
    Nothing,
    /// From before the field was personal, or from a client.
    Plain(Json),
    Marked(Mark),
}

impl Stored {
    pub(super) fn of(json: Json) -> Self {
        match json {
            Json::Null => Self::Nothing,
            Json::Object(mut members) if members.len() == 1 && members.contains_key(NAME) => {
                let inside = members.remove(NAME).unwrap_or_default();
                serde_json::from_value(inside).map_or(Self::Nothing, Self::Marked)
            }
            plain => Self::Plain(plain),
        }
    }
}

/// What a mark holds, as it lies in a text.
#[derive(Debug, Deserialize)]
pub struct Marked<'a> {
    /// Whose it is; `None` for the entity's own.
    #[serde(borrow, default)]
    pub subject: Option<Cow<'a, str>>,
    /// How many erasures there had been.
    #[serde(default)]
    pub at: Option<u64>,
    /// The value.
    #[serde(borrow)]
    pub value: &'a RawValue,
}

thread_local! {
    static MARKING: Cell<bool> = const { Cell::new(false) };
}

/// Puts the mode back, also when what runs in it panics.
struct Before(bool);

impl Drop for Before {
    fn drop(&mut self) {
        MARKING.set(self.0);
    }
}

/// Runs an encoder whose personal values become marks: it is for the runtime's eyes. It is a mode of the thread and not of the
/// serializer, so that types with a hand-written `Serialize` cannot forget to pass it on.
pub(crate) fn marking<T>(encode: impl FnOnce() -> T) -> T {
    let _before = Before(MARKING.replace(true));
    encode()
}

/// Runs an encoder whose personal values are plain.
pub(super) fn plainly<T>(encode: impl FnOnce() -> T) -> T {
    let _before = Before(MARKING.replace(false));
    encode()
}

pub(super) fn is_marking() -> bool {
    MARKING.get()
}

/// The text with each mark replaced by its value, for who may see it.
#[must_use]
pub fn revealed(json: &[u8]) -> Cow<'_, [u8]> {
    let replaced = replace(json, MARK, |inside| Ok::<_, ()>(Some(inside_of(inside)?.value.get().as_bytes().to_vec())));
    replaced.ok().flatten().map_or(Cow::Borrowed(json), Cow::Owned)
}

fn inside_of(inside: &str) -> Result<Marked<'_>, ()> {
    serde_json::from_str(inside).map_err(drop)
}

/// Whether a text has a mark.
#[must_use]
pub fn is_marked(json: &[u8]) -> bool {
    find(json, MARK).is_some()
}

/// Whether a text has something that looks encrypted.
#[must_use]
pub fn is_sealed(json: &[u8]) -> bool {
    find(json, SEALED).is_some()
}

/// Whether any member of somebody's JSON has a name that is ours, at any depth and in any spelling; also when it is no JSON.
#[must_use]
pub fn is_reserved(json: &[u8]) -> bool {
    // Such a name has a `$`, or an escape that stands for one.
    (json.contains(&b'$') || json.contains(&b'\\')) && serde_json::from_slice::<Unreserved>(json).is_err()
}

/// JSON without a name of ours.
struct Unreserved;

impl<'de> Deserialize<'de> for Unreserved {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unreserved {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without a name of the platform's")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            if is_reserved_name(&name) {
                return Err(A::Error::custom("the name is the platform's"));
            }
            members.next_value::<Self>()?;
        }
        Ok(self)
    }
}

/// The text with each mark replaced by what `with` gives for it; `None` when there is none.
///
/// # Errors
/// What `with` fails with; `unreadable` when a mark is not whole.
pub fn replace_marks<E>(
    json: &[u8],
    unreadable: impl Fn() -> E,
    mut with: impl FnMut(Marked<'_>) -> Result<Vec<u8>, E>,
) -> Result<Option<Vec<u8>>, E> {
    replace(json, MARK, |inside| with(inside_of(inside).map_err(|()| unreadable())?).map(Some))
}

/// The text with each object that begins so replaced by what `with` gives for what its member holds; those for which it gives nothing
/// stay. `None` when there is none.
///
/// # Errors
/// What `with` fails with.
pub fn replace<E>(json: &[u8], beginning: &[u8], mut with: impl FnMut(&str) -> Result<Option<Vec<u8>>, E>) -> Result<Option<Vec<u8>>, E> {
    let Some(first) = find(json, beginning) else { return Ok(None) };
    let (mut out, mut at) = (json[..first].to_vec(), first);
    loop {
        let end = match inside(&json[at + beginning.len()..]) {
            Some(inside) if let Some(instead) = with(inside)? => {
                out.extend_from_slice(&instead);
                // Behind the value and the brace.
                at + beginning.len() + inside.len() + 1
            }
            _ => {
                out.extend_from_slice(beginning);
                at + beginning.len()
            }
        };
        at = find(&json[end..], beginning).map_or(json.len(), |next| end + next);
        out.extend_from_slice(&json[end..at]);
        if at == json.len() {
            return Ok(Some(out));
        }
    }
}

/// The value at the beginning of a text that is the last one of its object.
fn inside(rest: &[u8]) -> Option<&str> {
    let value: &RawValue = serde_json::Deserializer::from_slice(rest).into_iter().next()?.ok()?;
    let text = value.get();
    (rest.starts_with(text.as_bytes()) && rest.get(text.len()) == Some(&b'}')).then_some(text)
}

fn find(json: &[u8], beginning: &[u8]) -> Option<usize> {
    // Most texts have no such letter at all, and that is found out quickly.
    if !json.contains(&b'$') {
        return None;
    }
    json.windows(beginning.len()).position(|window| window == beginning)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        String::from_utf8_lossy(&revealed(json.as_bytes())).into_owned()
    }

    #[test]
    fn marks_are_replaced_wherever_they_stand_and_nothing_else_is() {
        for (marked, plain) in [
            (r#"{"a":{"$personal":{"subject":"x/1","at":null,"value":"Ann"}},"b":1}"#, r#"{"a":"Ann","b":1}"#),
            (r#"[{"$personal":{"value":{"b":[1,"}"]}}},{"$personal":{"value":2}}]"#, r#"[{"b":[1,"}"]},2]"#),
            (r#"{"$personal":{"value":null}}"#, "null"),
            (r#"{"text":"{\"$personal\":{\"value\":1}}"}"#, r#"{"text":"{\"$personal\":{\"value\":1}}"}"#),
            (r#"{"price":"$ 1"}"#, r#"{"price":"$ 1"}"#),
        ] {
            assert_eq!(text(marked), plain);
        }
    }

    #[test]
    fn what_nothing_is_given_for_stays() {
        let kept = replace::<()>(br#"[{"$sealed":1},{"$sealed":2}]"#, SEALED, |inside| Ok((inside == "2").then(|| b"x".to_vec())));
        assert_eq!(kept, Ok(Some(br#"[{"$sealed":1},x]"#.to_vec())));
    }

    #[test]
    fn a_name_of_ours_is_found_at_any_depth_and_in_any_spelling() {
        for json in [
            r#"{"$personal":1}"#,
            r#"{ "$sealed" :"x"}"#,
            r#"{"\u0024personal":1}"#,
            r#"[1,{"a":{"b":[{"x":null,"$seal\u0065d":{}}]}}]"#,
            r#"{"a":"$ 1","a":{"$personal":1}}"#,
        ] {
            assert!(is_reserved(json.as_bytes()), "{json}");
        }
        for json in [
            r#"{"a":"$personal"}"#,
            r#"["{\"$sealed\":1}",-1,1.5,18446744073709551616,true,null]"#,
            r#"{"$Personal":1,"personal":"\\"}"#,
            "1",
        ] {
            assert!(!is_reserved(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn the_mode_ends_with_the_encoder_and_with_its_panic() {
        assert!(marking(is_marking) && !is_marking());
        assert!(marking(|| !plainly(is_marking) && is_marking()));
        drop(std::panic::catch_unwind(|| marking(|| panic!("an encoder"))));
        assert!(!is_marking());
    }
}
