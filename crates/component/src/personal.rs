//! Personal data: values that belong to a person, and can be made unreadable for ever.
//!
//! A [`Personal`] value knows its subject, which the derives tell it ([`Binding`]): the entity itself, or who `#[personal(subject = ..)]`
//! names. On its way to the journal it is written as a [`mark`], which the runtime replaces by what is encrypted with the subject's key.
//!
//! What is promised: wherever the runtime writes for itself, a personal value is a mark or `null`, whatever type it stands in. What is
//! not: a value that a rule takes out (`get`) and puts into a text is a text like any other.

mod binding;
pub mod mark;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::{Value as Json, json};

use crate::value::schema::nullable;
use crate::value::{Definitions, Reading, Value, Written};
pub use binding::{Binding, SubjectId};

/// A value that belongs to a person, the subject: encrypted with the subject's key wherever the platform keeps it, and gone for ever
/// once the subject is erased.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// #[derive(Event)]
/// enum OrderEvent {
///     #[event("placed")]
///     Placed {
///         customer: String,
///         /// Who is erased with the customer, whichever order it is in.
///         #[personal(subject = "customer/{customer}")]
///         address: Personal<String>,
///     },
/// }
///
/// let address = Personal::new("1 Mill Lane".to_owned());
/// assert_eq!(address.get().map(String::as_str), Some("1 Mill Lane"));
/// assert_eq!(format!("{address} {address:?}"), "(personal) Personal(..)");
/// assert_eq!(Personal::<String>::erased().get(), None);
/// ```
///
/// Without the attribute the subject is the entity whose command, event or state it stands in: `customer/c1`. In JSON it is the plain
/// value, and `null` once it is erased. Neither `Debug` nor `Display` shows it. Two values are equal when their contents are.
#[derive(Clone)]
pub struct Personal<T> {
    value: Option<T>,
    subject: Option<Arc<str>>,
    /// How many erasures there had been when it was read or bound; what is older than its subject's erasure is not kept.
    stamp: Option<u64>,
}

impl<T> Personal<T> {
    /// A value whose subject is found where it is put.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { value: Some(value), subject: None, stamp: None }
    }

    /// What is left of a value whose subject was erased.
    #[must_use]
    pub const fn erased() -> Self {
        Self { value: None, subject: None, stamp: None }
    }

    /// The value; `None` once it is erased.
    #[must_use]
    pub const fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// The value, taken out; `None` once it is erased.
    #[must_use]
    pub fn into_inner(self) -> Option<T> {
        self.value
    }

    /// Whether it is erased.
    #[must_use]
    pub const fn is_erased(&self) -> bool {
        self.value.is_none()
    }

    /// Another value of the same subject.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Personal<U> {
        Personal { value: self.value.map(change), subject: self.subject, stamp: self.stamp }
    }

    /// Whose it is, such as `customer/c1`; `None` before it stood in a command or an event.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}

impl<T> Default for Personal<T> {
    fn default() -> Self {
        Self::erased()
    }
}

impl<T> From<T> for Personal<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: PartialEq> PartialEq for Personal<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Personal<T> {}

impl<T: Hash> Hash for Personal<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_erased() { "Personal(erased)" } else { "Personal(..)" })
    }
}

impl<T> fmt::Display for Personal<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(if self.is_erased() { "(erased)" } else { "(personal)" })
    }
}

impl<T: Value> Value for Personal<T> {
    fn schema(definitions: &mut Definitions) -> Json {
        let mut schema = nullable(T::schema(definitions));
        schema[mark::SCHEMA] = json!(true);
        schema
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
        // serde's messages quote what they met.
        let unfit = |_| D::Error::custom("a personal value does not fit its type (what it is is not shown)");
        if reading == Reading::Strict {
            let value = Option::<T>::read(deserializer, reading).map_err(unfit)?;
            return Ok(Self { value, subject: None, stamp: None });
        }
        match mark::Stored::of(Json::deserialize(deserializer).map_err(unfit)?) {
            mark::Stored::Nothing => Ok(Self::erased()),
            mark::Stored::Plain(json) => T::read(json, reading).map(Self::new).map_err(|_| unfit_json::<D>()),
            mark::Stored::Marked(mark) => {
                let value = T::read(mark.value, reading).map_err(|_| unfit_json::<D>())?;
                Ok(Self { value: Some(value), subject: mark.subject.map(Arc::from), stamp: mark.at })
            }
        }
    }

    fn bind(value: &mut Self, to: &Binding<'_>) {
        if to.is_declared() || value.subject.is_none() {
            value.subject = to.subject().or_else(|| value.subject.take());
        }
        value.stamp = value.stamp.or(to.stamp());
    }
}

fn unfit_json<'de, D: Deserializer<'de>>() -> D::Error {
    D::Error::custom("a personal value does not fit its type (what it is is not shown)")
}

impl<T: Value> Serialize for Personal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            None => serializer.serialize_none(),
            Some(value) if mark::is_marking() => {
                let inside = Inside { subject: self.subject.as_deref(), at: self.stamp, value };
                let mut outer = serializer.serialize_struct("", 1)?;
                outer.serialize_field(mark::NAME, &inside)?;
                outer.end()
            }
            Some(value) => T::write(value, serializer),
        }
    }
}

impl<'de, T: Value> Deserialize<'de> for Personal<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(deserializer, Reading::Tolerant)
    }
}

/// What stands in a mark. Personal values inside of it belong to it, and are plain there.
struct Inside<'a, T> {
    subject: Option<&'a str>,
    at: Option<u64>,
    value: &'a T,
}

impl<T: Value> Serialize for Inside<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        mark::plainly(|| {
            let mut inside = serializer.serialize_struct("", 3)?;
            inside.serialize_field("subject", &self.subject)?;
            inside.serialize_field("at", &self.at)?;
            inside.serialize_field("value", &Written(self.value))?;
            inside.end()
        })
    }
}
