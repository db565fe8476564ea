//! What a JSON Schema says of a row's columns, a query's parameters and an event's fields.

use serde_json::{Map, Value as Json};

/// What a column becomes in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Integer,
    Number,
    Text,
    Decimal,
    Boolean,
    /// An array, an object or an enum with data: JSON text in its column.
    Nested,
    /// Any JSON.
    Any,
}

/// A shape, and whether it may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) shape: Shape,
    pub(super) nullable: bool,
}

/// A schema with what its references point to.
#[derive(Clone, Copy)]
pub(super) struct Schema<'a> {
    root: &'a Json,
    node: &'a Json,
}

impl<'a> Schema<'a> {
    pub(super) fn new(root: &'a Json) -> Self {
        Self { root, node: root }.resolved()
    }

    /// The fields of an object, by name; `None` for anything else.
    pub(super) fn fields(self) -> Option<Vec<(&'a str, Self)>> {
        let properties: &Map<String, Json> = self.node.get("properties")?.as_object()?;
        Some(properties.iter().map(|(name, node)| (name.as_str(), Self { node, ..self }.resolved())).collect())
    }

    /// Whether an object must have a field.
    pub(super) fn requires(self, name: &str) -> bool {
        self.node.get("required").and_then(Json::as_array).is_some_and(|required| required.iter().any(|field| field == name))
    }

    /// Whether it is the schema of nothing.
    pub(super) fn is_nothing(self) -> bool {
        self.node.get("type").is_some_and(|kind| kind == "null")
    }

    pub(super) fn kind(self) -> Kind {
        if let Some(alternatives) = self.node.get("anyOf").and_then(Json::as_array)
            && let [node, null] = &alternatives[..]
            && null.get("type").is_some_and(|kind| kind == "null")
        {
            return Kind { nullable: true, ..Self { node, ..self }.resolved().kind() };
        }
        match self.node.get("type") {
            Some(Json::String(name)) => Kind { shape: self.shape(name), nullable: false },
            Some(Json::Array(names)) => {
                let name = names.iter().filter_map(Json::as_str).find(|name| *name != "null").unwrap_or_default();
                Kind { shape: self.shape(name), nullable: names.iter().any(|name| name == "null") }
            }
            _ if self.node.get("oneOf").is_some() => Kind { shape: Shape::Nested, nullable: false },
            _ => Kind { shape: Shape::Any, nullable: true },
        }
    }

    fn shape(self, name: &str) -> Shape {
        match name {
            "integer" => Shape::Integer,
            "number" => Shape::Number,
            "boolean" => Shape::Boolean,
            "string" if self.node.get("format").is_some_and(|format| format == "decimal") => Shape::Decimal,
            "string" => Shape::Text,
            "array" | "object" => Shape::Nested,
            _ => Shape::Any,
        }
    }

    fn resolved(self) -> Self {
        let mut schema = self;
        // Types define themselves once: a reference leads to a definition, never in a circle of references alone.
        while let Some(name) = schema.node.get("$ref").and_then(Json::as_str).and_then(|text| text.strip_prefix("#/$defs/"))
            && let Some(node) = schema.root.get("$defs").and_then(|definitions| definitions.get(name))
        {
            schema.node = node;
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use component::{Decimal, Value, schema_of};

    use super::*;

    #[derive(Value)]
    struct Row {
        count: u64,
        price: Decimal,
        note: Option<String>,
        paid: bool,
        how: Method,
        by: Option<Party>,
        tags: Vec<String>,
    }

    #[derive(Value)]
    enum Method {
        #[value("cash")]
        Cash,
        #[value("card")]
        Card,
    }

    #[derive(Value)]
    struct Party {
        name: String,
    }

    #[test]
    fn kinds_follow_from_schemas() {
        let schema = schema_of::<Row>();
        let kinds: Vec<_> = Schema::new(&schema).fields().unwrap().into_iter().map(|(name, schema)| (name, schema.kind())).collect();
        let kind = |shape, nullable| Kind { shape, nullable };
        let expected = [
            ("by", kind(Shape::Nested, true)),
            ("count", kind(Shape::Integer, false)),
            ("how", kind(Shape::Text, false)),
            ("note", kind(Shape::Text, true)),
            ("paid", kind(Shape::Boolean, false)),
            ("price", kind(Shape::Decimal, false)),
            ("tags", kind(Shape::Nested, false)),
        ];
        assert_eq!(kinds, expected);
        assert!(Schema::new(&schema).requires("count") && !Schema::new(&schema).requires("note"));
        assert!(Schema::new(&schema_of::<()>()).is_nothing());
        assert_eq!(Schema::new(&schema_of::<Option<Decimal>>()).kind(), kind(Shape::Decimal, true));
        assert_eq!(Schema::new(&schema_of::<serde_json::Value>()).kind(), kind(Shape::Any, true));
    }
}
