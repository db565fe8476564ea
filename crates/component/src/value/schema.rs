//! JSON Schema 2020-12 of values: what the derives build it from.
//!
//! Named types stand once, under `$defs`, so that recursive types end and readers see the names.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json, json};

use super::Value;
use crate::personal::mark::SCHEMA_SUBJECT;

/// The named types that a schema refers to, gathered while it is built.
#[derive(Default)]
pub struct Definitions {
    strict: bool,
    plain: bool,
    names: HashMap<TypeId, String>,
    schemas: BTreeMap<String, Json>,
}

/// A field of an object, for its schema.
pub struct Field {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) required: bool,
    pub(crate) schema: fn(&mut Definitions) -> Json,
    pub(crate) subject: Option<&'static str>,
}

impl Field {
    /// The same field, which says whose the personal values in it are.
    #[doc(hidden)]
    #[must_use]
    pub fn of_subject(self, subject: &'static str) -> Self {
        Self { subject: Some(subject), ..self }
    }
}

/// The schema of a value, with everything it refers to in `$defs`.
#[must_use]
pub fn schema_of<T: Value>() -> Json {
    Definitions::default().document(T::schema)
}

impl Definitions {
    /// For what a sender must match exactly: objects admit no further fields.
    #[must_use]
    pub fn strict() -> Self {
        Self { strict: true, ..Self::default() }
    }

    /// Without descriptions, so that rewording a comment changes no shape.
    #[must_use]
    pub(crate) fn plain() -> Self {
        Self { plain: true, ..Self::default() }
    }

    /// Names a type: `schema` builds it once, every use refers to it. Two types of one name are numbered.
    pub fn define<T: 'static>(&mut self, name: &str, schema: impl FnOnce(&mut Self) -> Json) -> Json {
        if let Some(known) = self.names.get(&TypeId::of::<T>()) {
            return reference(known);
        }
        let name = self.free_name(name);
        self.names.insert(TypeId::of::<T>(), name.clone());
        self.schemas.insert(name.clone(), Json::Null); // taken before the type is walked: it may contain itself
        let built = schema(self);
        self.schemas.insert(name.clone(), built);
        reference(&name)
    }

    /// The schema of an object with these fields.
    pub fn object(&mut self, summary: &str, fields: &[Field]) -> Json {
        let properties: Map<String, Json> = fields.iter().map(|field| (field.name.to_owned(), self.property(field))).collect();
        let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let mut object = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        if self.strict {
            object["additionalProperties"] = json!(false);
        }
        self.describe(object, summary)
    }

    /// A schema with a description, unless there is nothing to say.
    #[must_use]
    pub fn describe(&self, mut schema: Json, summary: &str) -> Json {
        if !summary.is_empty() && !self.plain {
            schema["description"] = json!(summary);
        }
        schema
    }

    /// A schema of its own: the root and everything it refers to.
    #[must_use]
    pub fn document(mut self, root: impl FnOnce(&mut Self) -> Json) -> Json {
        let mut root = root(&mut self);
        if !self.schemas.is_empty() {
            root["$defs"] = json!(self.schemas);
        }
        root
    }

    fn property(&mut self, field: &Field) -> Json {
        let mut schema = (field.schema)(self);
        if let Some(subject) = field.subject {
            schema[SCHEMA_SUBJECT] = json!(subject);
        }
        self.describe(schema, field.summary)
    }

    fn free_name(&self, name: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}{number}"));
        std::iter::once(name.to_owned()).chain(numbered).find(|name| !self.schemas.contains_key(name)).expect("numbers do not end")
    }
}

fn reference(name: &str) -> Json {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// The schema of something that may be null.
pub(crate) fn nullable(mut schema: Json) -> Json {
    match schema.get("type") {
        Some(Json::String(kind)) if schema.get("enum").is_none() => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}
