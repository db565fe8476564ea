//! What the derives name. Not for people: it changes without notice.

pub use std::borrow::ToOwned;
pub use std::format;
pub use std::option::Option::{self, None, Some};
pub use std::primitive::{bool, str, u16, usize};
pub use std::result::Result::{self, Err, Ok};
pub use std::string::String;
pub use std::vec;
pub use std::vec::Vec;

pub use serde::de::{Deserialize, Deserializer, EnumAccess, Error as ReadError, MapAccess, VariantAccess, Visitor};
pub use serde::ser::{Serialize, SerializeStruct, SerializeStructVariant, Serializer};
pub use serde_json::Value as Json;

pub use crate::hosted::{ShapeDescription, StoredEvent, Unreadable};
pub use crate::value::enumeration::{Choice, ChoiceName, one_of, read_choice};
pub use crate::value::{Definitions, Object, Reading, Seed, Value, empty_object, read_object};
pub use crate::variants::{Command, Event, Rejection, State, Variants, decode_older, shape, unknown_name};
