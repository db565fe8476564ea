//! What the derives name. Not for people: it changes without notice.

pub use std::convert::From;
pub use std::format;
pub use std::option::Option::{self, None, Some};
pub use std::primitive::{str, u8, u16, usize};
pub use std::result::Result::{self, Err, Ok};
pub use std::string::String;
pub use std::vec;
pub use std::vec::Vec;

pub use serde::de::{Deserialize, Deserializer, Error as ReadError, MapAccess, VariantAccess};
pub use serde::ser::{Serialize, SerializeStruct, SerializeStructVariant, Serializer};
pub use serde_json::{Error as JsonError, Value as Json};

pub use crate::hosted::{OlderShape, ShapeDescription, StoredEvent};
pub use crate::personal::{Binding, SubjectId};
pub use crate::value::enumeration::{Alternative, Choice, beyond, read_choice, read_variant_fields};
pub use crate::value::{Definitions, Field, Object, Reading, Value, empty_object, read_object};
pub use crate::variants::{
    Command, Event, Rejection, State, Variants, decode_older, decode_state_as, encode_lower, older_shape, shape, unknown_name,
};

/// Stands in the bodies of a derive that did not understand its enum: the error is told, and nothing runs.
pub fn misread() -> ! {
    panic!("this code does not compile")
}
