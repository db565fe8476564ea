//! Schemas: which shapes the code of a service declares, which ones it had before, and whether the one still reads the other.
//!
//! Every event, command, rejection, reply, state, input and message has a shape: a version and a JSON Schema. The platform's entity
//! `$schema` remembers them, an entity for each, so that the journal says what was ever written in it:
//!
//! ```text
//! $schema/{key}   registered { version, fingerprint, schema }      key: cart/event/item-added, operation:transfer/input
//! ```
//!
//! At start, before anything else begins, what the code declares is compared with that (`rule`). A shape that breaks its rule keeps
//! the service from starting; what is new is registered, in one commit or a few; what is known costs a read and no write. The last
//! event of a key is the shape of the code that started last, also after a roll-back.
//!
//! What it is not: a check of values as they pass (types do that), nor a registry that others write to.

mod canonical;
mod compare;
mod declared;
mod registry;
mod rule;
mod sample;
mod settle;
#[cfg(test)]
mod tests;

pub use compare::Misfit;
pub(crate) use compare::misfits;
pub use declared::ShapeSources;
pub(crate) use declared::stream_component;
pub use registry::{RegisteredShape, Registry};
pub use rule::{Broken, Comparison, Rules, SchemaRefusal, compare_with};
pub use sample::{Sample, SampleError, read_sample};
pub(crate) use sample::{Samples, parsed as unmarked_json, sample_of};
pub use settle::SchemaError;
use settle::settle;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use component::Shapes;
use component::hosted::DeclaredShape;
use journal::Journal;

use crate::start::{StartError, check_rules};
use crate::{Notices, Parts};

/// The shapes of a runtime: what its code declares, and once it has begun, what is registered.
pub(crate) struct Schemas {
    pub(crate) declared: Vec<DeclaredShape>,
    pub(crate) rules: Rules,
    pub(crate) registry: OnceLock<Registry>,
}

impl Schemas {
    pub(crate) fn new(parts: &Parts) -> Result<Self, StartError> {
        let (declared, rules) = (ShapeSources::from(parts).declared(), Rules::new(&parts.compatibility));
        check_rules(&parts.compatibility, &declared)?;
        Ok(Self { declared, rules, registry: OnceLock::new() })
    }

    /// Registers what is new, or refuses what does not follow.
    pub(crate) async fn settle(&self, journal: &Arc<dyn Journal>, notices: &Notices) -> Result<(), SchemaError> {
        let (registry, told) = settle(journal, &self.declared, &self.rules).await?;
        told.iter().for_each(|told| notices(&format!("baselines of this shape may not be readable: {told}")));
        // A second begin has registered nothing else.
        let _ = self.registry.set(registry);
        Ok(())
    }

    /// The older versions of states that their types in `from` read, as they were registered: by entity type. Nothing before they are settled.
    pub(crate) fn raised_states(&self) -> impl Iterator<Item = (&str, Vec<u16>)> {
        let states = self.declared.iter().filter(|shape| shape.shapes == Shapes::States);
        states.filter_map(|state| Some((state.component.as_str(), read_by_from(state, self.registry.get()?.of(&state.key())))))
    }
}

/// The versions below the present one of which every shape is read by the type that `from` names for it.
fn read_by_from(declared: &DeclaredShape, registered: &[RegisteredShape]) -> Vec<u16> {
    let older: BTreeSet<u16> = registered.iter().map(|shape| shape.version).filter(|version| *version < declared.version).collect();
    let is_read = |version: &u16| {
        let named = declared.from.iter().find(|older| older.is_for(*version));
        let mut shapes = registered.iter().filter(|shape| shape.version == *version);
        named.is_some_and(|named| shapes.all(|shape| misfits(&named.schema, &shape.schema).is_empty()))
    };
    older.into_iter().filter(is_read).collect()
}

/// The version of what is kept without one: it is from before there were any.
pub(crate) fn first_version() -> u16 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) fn is_first_version(version: &u16) -> bool {
    *version == 1
}
