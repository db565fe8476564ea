//! Schemas through the runtime's face: what is registered, what an event is in another version, samples.

use std::collections::BTreeSet;

use bytes::Bytes;
use component::hosted::{DeclaredShape, StreamDescription, Unreadable};
use component::{Compatibility, Shapes};
use journal::{ReadError, Recorded};
use serde_json::Value as Json;

use super::Runtime;
use crate::limits::SCHEMA_SAMPLE_HISTORIES_BYTES_MAX;
use crate::schema::{Registry, Sample, Samples, sample_of, stream_component};
use crate::workflow::{WorkflowSelection, WorkflowState};

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

    /// The versions that a reader may ask for of a declared stream: its own, and older ones that were registered or have something named for
    /// them, down to the oldest one that it still has.
    #[must_use]
    pub fn stream_versions(&self, stream: &StreamDescription) -> Vec<u16> {
        let component = stream_component(stream.name);
        let of_stream = |key: &str| key.split('/').next() == Some(component.as_str());
        let registered = self.registry().into_iter().flat_map(Registry::iter).filter(|(key, _)| of_stream(key));
        let mut versions: BTreeSet<u16> = registered.flat_map(|(_, shapes)| shapes.iter().map(|shape| shape.version)).collect();
        versions.extend(stream.types.iter().flat_map(|public| &public.to).flat_map(|older| older.first..=older.last));
        versions.insert(stream.version);
        versions.into_iter().filter(|version| (stream.oldest..=stream.version).contains(version)).collect()
    }

    /// The schema of a public type in a version of its stream, as it was promised to its readers, or as it leaves; `None` for a notification and for what is not
    /// known.
    #[must_use]
    pub fn public_schema(&self, stream: &StreamDescription, name: &str, version: u16) -> Option<&Json> {
        let declared = |shape: &&DeclaredShape| shape.component == stream_component(stream.name) && shape.name == name;
        let declared = self.schemas.declared.iter().filter(|shape| shape.shapes == Shapes::Streams).find(declared)?;
        let promised = || {
            let registered = self.registry()?.of(&declared.key());
            registered.iter().rev().find(|shape| shape.version == version).map(|shape| &shape.schema)
        };
        let named = || declared.to.iter().find(|older| older.is_for(version)).map(|older| &older.schema);
        // A type that is younger than the version leaves as it is, for its readers too.
        let schema = if version == declared.version { None } else { promised().or_else(named) }.or(Some(&declared.schema));
        schema.filter(|schema| schema.is_object())
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
        let mut samples = Samples { journal: &*self.entities.journal, registry, per_shape }.gather().await?;
        samples.extend(self.histories(per_shape).await?);
        Ok(samples)
    }

    /// Records of workflows that have not ended, so many of each that stands in some way; those that do not fit into what is left of the
    /// bound are left out.
    async fn histories(&self, each: usize) -> Result<Vec<Sample>, ReadError> {
        let (mut samples, mut room) = (Vec::new(), SCHEMA_SAMPLE_HISTORIES_BYTES_MAX);
        for workflow in self.workflow_descriptions() {
            for state in WorkflowState::ALL.into_iter().filter(|state| !state.is_ended()) {
                let limit = u32::try_from(each).unwrap_or(u32::MAX);
                let selection = WorkflowSelection {
                    workflow: Some(workflow.name.to_owned()),
                    state: Some(state),
                    limit,
                    ..WorkflowSelection::default()
                };
                let histories = self.workflow_histories(selection).await;
                let histories = histories.map_err(|error| ReadError::Unavailable { cause: error.to_string() })?;
                for history in &histories {
                    let Some(left) = room.checked_sub(history.bytes()) else { continue };
                    room = left;
                    samples.extend(sample_of(history));
                }
            }
        }
        Ok(samples)
    }
}
