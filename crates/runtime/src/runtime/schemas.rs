//! Schemas through the runtime's face: what is registered, what an event is in another version, samples.

use bytes::Bytes;
use component::hosted::{DeclaredShape, Unreadable};
use component::{Compatibility, Shapes};
use journal::{ReadError, Recorded};

use super::Runtime;
use crate::schema::{Registry, Sample, Samples};

impl Runtime {
    /// The shapes that are registered; nothing before [`begin`](Self::begin).
    #[must_use]
    pub fn registry(&self) -> Option<&Registry> {
        self.schemas.registry.get()
    }

    /// The shapes that the code declares.
    #[must_use]
    pub fn declared_shapes(&self) -> &[DeclaredShape] {
        &self.schemas.declared
    }

    /// The rule that a shape is held to.
    #[must_use]
    pub fn rule_of(&self, shape: &DeclaredShape) -> Compatibility {
        self.schemas.rules.of(shape)
    }

    /// The versions that a reader may ask for of an event; `None` when the service has no such event.
    #[must_use]
    pub fn event_versions(&self, kind: &str, event: &str) -> Option<Vec<u16>> {
        let shape =
            self.schemas.declared.iter().find(|shape| shape.shapes == Shapes::Events && shape.component == kind && shape.name == event)?;
        Some(shape.to.iter().flat_map(|older| older.first..=older.last).chain([shape.version]).collect())
    }

    /// The payload of an event in the version that a reader asks for; `None` when it is left out for readers of that version.
    ///
    /// # Errors
    /// When the code does not know the event, cannot read it, or has no way to that version.
    pub fn in_version(&self, event: &Recorded, version: u16) -> Result<Option<Bytes>, Unreadable> {
        let unknown = || Unreadable { message: format!("there is no entity type `{}`", event.entity.kind()) };
        self.entities.kind(event.entity.kind()).ok_or_else(unknown)?.lowered(event, version)
    }

    /// Samples of what was really written, so many of each registered shape; personal values are `null` in them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn samples(&self, per_shape: usize) -> Result<Vec<Sample>, ReadError> {
        let Some(registry) = self.registry() else { return Ok(Vec::new()) };
        Samples { journal: &*self.entities.journal, registry, per_shape }.gather().await
    }
}
