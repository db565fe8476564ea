//! The fields of an event's payload as SQLite takes them, read in one pass and only where a statement wants them.

use std::borrow::Cow;
use std::fmt;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value on its way into a statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Bound<'a> {
    #[default]
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'a, str>),
}

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// Reads the wanted fields of an object, and puts each under its place among them. An absent field is not put.
pub(super) fn read<'a>(payload: &'a [u8], wanted: &[String], put: impl FnMut(usize, Bound<'a>)) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_slice(payload);
    Fields { wanted, put }.deserialize(&mut json).map_err(|error| error.to_string())
}

struct Fields<'w, P> {
    wanted: &'w [String],
    put: P,
}

impl<'a, P: FnMut(usize, Bound<'a>)> DeserializeSeed<'a> for Fields<'_, P> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, P: FnMut(usize, Bound<'a>)> Visitor<'a> for Fields<'_, P> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some(at) = object.next_key_seed(Wanted(self.wanted))? {
            match at {
                Some(at) => {
                    let raw: &'a RawValue = object.next_value()?;
                    let bound = bound(raw.get())
                        .map_err(|problem| serde::de::Error::custom(format_args!("the field `{}` {problem}", self.wanted[at])))?;
                    (self.put)(at, bound);
                }
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The place of a name among the wanted ones.
#[derive(Clone, Copy)]
struct Wanted<'w>(&'w [String]);

impl<'a> DeserializeSeed<'a> for Wanted<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Wanted<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|wanted| wanted == name))
    }
}

/// One JSON value as SQLite takes it: scalars as they are, objects and arrays as their text.
pub(super) fn bound(raw: &str) -> Result<Bound<'_>, String> {
    match raw.as_bytes().first() {
        Some(b'n') | None => Ok(Bound::Null),
        Some(b't') => Ok(Bound::Integer(1)),
        Some(b'f') => Ok(Bound::Integer(0)),
        Some(b'"') if !raw.contains('\\') => Ok(Bound::Text(Cow::Borrowed(&raw[1..raw.len() - 1]))),
        Some(b'"') => serde_json::from_str(raw).map(|text: String| Bound::Text(Cow::Owned(text))).map_err(|error| error.to_string()),
        Some(b'{' | b'[') => Ok(Bound::Text(Cow::Borrowed(raw))),
        Some(_) => number(raw),
    }
}

/// A number is a REAL only where JSON wrote one: an integer that SQLite cannot hold would lose its last digits.
fn number(raw: &str) -> Result<Bound<'static>, String> {
    if let Ok(number) = raw.parse() {
        return Ok(Bound::Integer(number));
    }
    if !raw.contains(['.', 'e', 'E']) {
        return Err(format!("is {raw}, beyond what SQL's integers hold; record it as a text"));
    }
    raw.parse().map(Bound::Real).map_err(|_| format!("is {raw}, which is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &str, expected: &[Bound<'_>]) {
        let wanted: Vec<String> = ["a", "b"].map(str::to_owned).into();
        let mut slots = vec![Bound::Null; 2];
        read(payload.as_bytes(), &wanted, |at, bound| slots[at] = bound).unwrap();
        assert_eq!(slots, expected, "{payload}");
    }

    #[test]
    fn fields_are_read_in_one_pass() {
        check(r#"{"b":"x","skipped":{"a":1},"a":7}"#, &[Bound::Integer(7), Bound::Text("x".into())]);
        check(r#"{"a":true,"b":false}"#, &[Bound::Integer(1), Bound::Integer(0)]);
        check(r#"{"a":null}"#, &[Bound::Null, Bound::Null]);
        check(r#"{"a":"\"ä\u00e4\n","b":[1, {"c":2}]}"#, &[Bound::Text("\"ää\n".into()), Bound::Text("[1, {\"c\":2}]".into())]);
        check(r#"{"a":-9223372036854775808,"b":1.5e3}"#, &[Bound::Integer(i64::MIN), Bound::Real(1500.0)]);
    }

    #[test]
    fn a_number_that_sqlite_cannot_hold_is_refused() {
        let problem = read(br#"{"a":9223372036854775808}"#, &["a".to_owned()], |_, _| {}).unwrap_err();
        assert!(problem.starts_with("the field `a` is 9223372036854775808, beyond what SQL's integers hold"), "{problem}");
        assert!(read(b"[1]", &["a".to_owned()], |_, _| {}).is_err());
    }
}
