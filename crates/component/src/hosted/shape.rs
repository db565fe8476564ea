//! Shapes: what commands, events and all else look like, for descriptions and for the registry of schemas.

use serde_json::Value as Json;

use crate::compatibility::Shapes;

/// One command, event, rejection or reply, for descriptions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShapeDescription {
    /// Its durable name (a rejection's code).
    pub name: &'static str,
    /// What its doc comment says, or a rejection's message.
    pub summary: String,
    /// The version of its shape; 1 where versions make no sense.
    pub version: u16,
    /// JSON Schema 2020-12. References point to `#/$defs/{name}`, which is inside the schema.
    pub schema: Json,
    /// The shapes that older versions are read in, where types for them are named.
    pub from: Vec<OlderShape>,
    /// The shapes that it can be lowered to, for readers that ask for older versions.
    pub to: Vec<OlderShape>,
}

/// The shape of some versions below the present one.
#[derive(Clone, Debug, PartialEq)]
pub struct OlderShape {
    /// The first version that it is for.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// JSON Schema 2020-12, as in [`ShapeDescription`].
    pub schema: Json,
}

impl OlderShape {
    /// Whether it is for this version.
    #[must_use]
    pub fn is_for(&self, version: u16) -> bool {
        (self.first..=self.last).contains(&version)
    }
}

/// A shape that the code of a service declares: what the registry of schemas compares with what was registered before.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredShape {
    /// Whose it is. An entity type or a processor has its name alone, everything else says what it is: `operation:transfer`,
    /// `topic:payments`, `workflow:shipping`, `stream:orders`.
    pub component: String,
    /// Which of its shapes.
    pub shapes: Shapes,
    /// The name within these; empty where there is only one.
    pub name: String,
    /// Its version; 1 where versions make no sense.
    pub version: u16,
    /// JSON Schema 2020-12.
    pub schema: Json,
    /// The shapes that older versions are read in.
    pub from: Vec<OlderShape>,
    /// The shapes that it can be lowered to.
    pub to: Vec<OlderShape>,
    /// The oldest version that readers are still promised; 1 for all of them.
    pub oldest: u16,
}

impl DeclaredShape {
    /// A shape without versions of its own, such as a reply.
    #[must_use]
    pub fn unversioned(component: impl Into<String>, shapes: Shapes, schema: &Json) -> Self {
        let component = component.into();
        Self { component, shapes, name: String::new(), version: 1, schema: schema.clone(), from: Vec::new(), to: Vec::new(), oldest: 1 }
    }

    /// A command, an event, a rejection or a public type.
    #[must_use]
    pub fn of(component: impl Into<String>, shapes: Shapes, shape: &ShapeDescription) -> Self {
        let ShapeDescription { name, version, schema, from, to, .. } = shape.clone();
        Self { component: component.into(), shapes, name: name.to_owned(), version, schema, from, to, oldest: 1 }
    }

    /// What it is known by: `cart/event/item-added`, `cart/state`, `operation:transfer/input`.
    #[must_use]
    pub fn key(&self) -> String {
        let Self { component, shapes, name, .. } = self;
        if name.is_empty() { format!("{component}/{}", shapes.one()) } else { format!("{component}/{}/{name}", shapes.one()) }
    }
}
