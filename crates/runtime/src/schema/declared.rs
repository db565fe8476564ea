//! What the code of a service declares.

use component::Shapes;
use component::hosted::{
    DeclaredShape, EntityHandle, OperationHandle, ProcessorHandle, StreamHandle, StreamTypeDescription, TopicHandle, WorkflowHandle,
};
use serde_json::Value as Json;

use crate::Parts;

/// The components whose shapes are registered. Whoever adds a sort of component adds its shapes in [`declared`](Self::declared).
#[derive(Clone, Copy)]
pub struct ShapeSources<'a> {
    /// The entity types.
    pub entities: &'a [EntityHandle],
    /// The operations and rules.
    pub operations: &'a [OperationHandle],
    /// The processors, for what they emit.
    pub processors: &'a [ProcessorHandle],
    /// The topics.
    pub topics: &'a [TopicHandle],
    /// The streams that it declares, for their public types.
    pub streams: &'a [StreamHandle],
    /// The workflows.
    pub workflows: &'a [WorkflowHandle],
}

impl<'a> From<&'a Parts> for ShapeSources<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            entities: &parts.entities,
            operations: &parts.operations,
            processors: &parts.processors,
            topics: &parts.topics,
            streams: &parts.streams.declared,
            workflows: &parts.workflows,
        }
    }
}

impl ShapeSources<'_> {
    /// Every shape, ordered by its key.
    #[must_use]
    pub fn declared(&self) -> Vec<DeclaredShape> {
        let mut declared: Vec<DeclaredShape> = self.entities.iter().flat_map(of_entity).collect();
        declared.extend(self.processors.iter().flat_map(|processor| of_events(&processor.output())));
        declared.extend(self.operations.iter().flat_map(of_operation));
        declared.extend(self.topics.iter().filter_map(of_topic));
        declared.extend(self.streams.iter().flat_map(of_stream));
        declared.extend(self.workflows.iter().flat_map(of_workflow));
        declared.sort_by_cached_key(DeclaredShape::key);
        declared
    }
}

fn of_entity(entity: &EntityHandle) -> Vec<DeclaredShape> {
    let described = entity.description();
    let mut declared = of_events(entity);
    declared.extend(described.commands.iter().map(|shape| DeclaredShape::of(described.name, Shapes::Commands, shape)));
    declared.extend(described.rejections.iter().map(|shape| DeclaredShape::of(described.name, Shapes::Rejections, shape)));
    declared.push(DeclaredShape::unversioned(described.name, Shapes::Replies, &described.reply));
    let state = DeclaredShape::unversioned(described.name, Shapes::States, &described.state);
    declared.push(DeclaredShape { version: described.state_version.max(1), from: described.state_from.clone(), ..state });
    declared
}

fn of_events(entity: &EntityHandle) -> Vec<DeclaredShape> {
    let described = entity.description();
    described.events.iter().map(|shape| DeclaredShape::of(described.name, Shapes::Events, shape)).collect()
}

fn of_operation(operation: &OperationHandle) -> Vec<DeclaredShape> {
    let described = operation.description();
    let component = format!("operation:{}", described.name);
    let mut declared = vec![
        DeclaredShape::unversioned(&component, Shapes::Inputs, &described.input),
        DeclaredShape::unversioned(&component, Shapes::Replies, &described.reply),
    ];
    declared.extend(described.rejections.iter().map(|shape| DeclaredShape::of(&component, Shapes::Rejections, shape)));
    declared
}

fn of_topic(topic: &TopicHandle) -> Option<DeclaredShape> {
    let described = topic.description();
    Some(DeclaredShape::unversioned(format!("topic:{}", described.name), Shapes::Messages, described.schema.as_ref()?))
}

fn of_stream(stream: &StreamHandle) -> Vec<DeclaredShape> {
    let described = stream.description();
    let public = |public: &StreamTypeDescription| DeclaredShape {
        name: public.name.to_owned(),
        version: described.version,
        to: public.to.clone(),
        oldest: described.oldest,
        // Whoever reads a notification takes any data, and whoever wants data is told nothing by one.
        ..DeclaredShape::unversioned(stream_component(described.name), Shapes::Streams, public.schema.as_ref().unwrap_or(&Json::Bool(true)))
    };
    described.types.iter().map(public).collect()
}

/// What a stream is called among components.
pub(crate) fn stream_component(stream: &str) -> String {
    format!("stream:{stream}")
}

fn of_workflow(workflow: &WorkflowHandle) -> Vec<DeclaredShape> {
    let described = workflow.description();
    let component = format!("workflow:{}", described.name);
    let mut declared = vec![
        DeclaredShape::unversioned(&component, Shapes::Inputs, &described.input),
        DeclaredShape::unversioned(&component, Shapes::Outputs, &described.output),
    ];
    let signal = |(name, schema): &(&str, serde_json::Value)| DeclaredShape {
        name: (*name).to_owned(),
        ..DeclaredShape::unversioned(&component, Shapes::Signals, schema)
    };
    declared.extend(described.signals.iter().map(signal));
    declared
}
