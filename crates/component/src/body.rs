//! The body of a command or an operation: what a stranger sent.
//!
//! It is read strictly (no unknown fields, no repeated keys, bounded depth) and fast; only a body that does not fit is read a
//! second time, to find the place. An absent body counts as an object without fields.

use serde::de::DeserializeSeed;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment, Track};

use crate::depth;
use crate::hosted::Refusal;
use crate::limits::BODY_DEPTH_MAX;
use crate::value::{Reading, Seed, Value, decode_seed};
use crate::variants::{Command, Named};

/// A command from its name and body.
pub(crate) fn read_command<C: Command>(name: &str, body: &[u8]) -> Result<C, Refusal> {
    if !C::NAMES.contains(&name) {
        return Err(Refusal::UnknownCommand { known: C::NAMES.to_vec() });
    }
    read(Named::<C>::new(name, Reading::Strict), body)
}

/// The input of an operation.
pub(crate) fn read_input<T: Value>(body: &[u8]) -> Result<T, Refusal> {
    read(Seed::<T>::new(Reading::Strict), body)
}

/// The data of a message, when it fits a type; what the type does not know is passed over.
pub(crate) fn read_message<T: Value>(json: &[u8]) -> Result<T, Refusal> {
    read(Seed::<T>::new(Reading::Tolerant), json)
}

/// That a text of JSON nests no deeper than a body may.
pub(crate) fn check_depth(json: &[u8]) -> Result<(), Refusal> {
    if depth::exceeds(json, BODY_DEPTH_MAX) {
        return Err(invalid(String::new(), format!("nests deeper than {BODY_DEPTH_MAX} levels")));
    }
    Ok(())
}

fn read<'de, S: DeserializeSeed<'de> + Copy>(seed: S, body: &'de [u8]) -> Result<S::Value, Refusal> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    check_depth(body)?;
    decode_seed(seed, body).map_err(|error| refusal(seed, body, &error))
}

fn refusal<'de, S: DeserializeSeed<'de>>(seed: S, body: &'de [u8], error: &serde_json::Error) -> Refusal {
    match error.classify() {
        Category::Data => invalid(pointer_to_error(seed, body), without_place(error)),
        Category::Syntax | Category::Eof | Category::Io => Refusal::Syntax { message: error.to_string() },
    }
}

fn pointer_to_error<'de, S: DeserializeSeed<'de>>(seed: S, body: &'de [u8]) -> String {
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut track = Track::new();
    // Fails as it failed before; only the path is new.
    drop(seed.deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track)));
    pointer(&track.path())
}

/// A path as RFC 6901 writes it.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } | Segment::Enum { variant: key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&part);
    }
    pointer
}

/// The message alone: a pointer says more than a line and a column.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}

fn invalid(pointer: String, message: String) -> Refusal {
    Refusal::Invalid { pointer, message }
}
