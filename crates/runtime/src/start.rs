//! What is checked before a runtime begins: names, and what the engine can do.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use component::hosted::{DeclaredShape, EntityHandle, OperationHandle, ProcessorDescription, TOPIC_TYPE, named_destination};
use component::{Compatibility, Shapes};
use journal::{Capability, EntityType};

use crate::personal::{KeyStoreError, Subjects, has_personal_data, is_personal, whose};
use crate::view::{self, Plan};
use crate::{DestinationPolicy, Parts, stream};

/// Why a runtime does not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// A name breaks its rule, `[a-z][a-z0-9-]{0,63}`.
    InvalidName {
        /// What it names: `service`, `entity`, `operation` or `view`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Two components of one sort have the same name.
    DuplicateName {
        /// What it names: `entity`, `operation` or `view`.
        what: &'static str,
        /// The name.
        name: &'static str,
    },
    /// A component reads events that no entity of the service records.
    UnknownSource {
        /// What it is, such as `action`.
        what: &'static str,
        /// Its name.
        name: &'static str,
        /// The entity type, or its event, that is not there.
        source: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A rule of compatibility is for shapes that the service does not have.
    UnknownShapes {
        /// The rule.
        rule: String,
        /// What it is for, such as `cart (event)`.
        shapes: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The engine cannot do what a component needs.
    MissingCapability {
        /// What it cannot do.
        capability: Capability,
        /// What needs it: `operation` or `processor`.
        what: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A processor's inputs do not hold together.
    Processor {
        /// The processor.
        processor: &'static str,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// Components have personal data, and the key store cannot be opened.
    Keys(KeyStoreError),
    /// Components have personal data, and there is no key store.
    NoKeys,
    /// It is not clear whose personal data a field has.
    Personal {
        /// The component.
        name: &'static str,
        /// Which field, and the remedy.
        problem: String,
    },
    /// A destination's address or policy does not hold together.
    Destination {
        /// Its address, as the service names it.
        destination: String,
        /// What is wrong.
        problem: String,
    },
    /// A stream's definition does not hold together.
    Stream {
        /// The stream.
        stream: &'static str,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A peer cannot be reached, whatever it does.
    Peer {
        /// The peer.
        peer: String,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A component publishes to a topic that the service does not have, or that takes another shape.
    UnknownTopic {
        /// What it is, such as `action`.
        what: &'static str,
        /// Its name.
        name: &'static str,
        /// The topic.
        topic: &'static str,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A view's definition does not hold together.
    View {
        /// The view.
        view: &'static str,
        /// The statement, what is wrong, the remedy, and a caret under the place.
        message: String,
    },
    /// A view lies in a database, and there is none.
    NoViewServer {
        /// The view.
        view: &'static str,
    },
    /// The database that is to have a view does not answer.
    ViewServer {
        /// The view.
        view: &'static str,
        /// Why.
        cause: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName { what, name } => write!(formatter, "the {what} name `{name}` must match [a-z][a-z0-9-]{{0,63}}"),
            Self::DuplicateName { what, name } => write!(formatter, "there are two of the {what} `{name}`; give one another name"),
            Self::UnknownSource { what, name, source, known } => {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                write!(formatter, "the {what} `{name}` reads `{source}`, which this service does not have; it has: {known}")
            }
            Self::UnknownShapes { rule, shapes, known } => {
                write!(formatter, "the rule {rule} is for {shapes}, which this service does not have; it has: {}", known.join(", "))
            }
            Self::MissingCapability { capability, what, name } => {
                write!(formatter, "the engine has no {capability}, which the {what} `{name}` needs; choose another engine")
            }
            Self::Destination { destination, problem } => write!(formatter, "the destination `{destination}`: {problem}"),
            Self::Keys(error) => error.fmt(formatter),
            Self::NoKeys => formatter.write_str("components have personal data, and there is no key store; name a directory for one"),
            Self::Personal { name, problem } => write!(formatter, "`{name}`: {problem}"),
            Self::Processor { processor, problem } => write!(formatter, "processor `{processor}`: {problem}"),
            Self::Stream { stream, problem } => write!(formatter, "stream `{stream}`: {problem}"),
            Self::Peer { peer, problem } => write!(formatter, "the peer `{peer}`: {problem}"),
            Self::UnknownTopic { what, name, topic, problem } => {
                write!(formatter, "the {what} `{name}` publishes to the topic `{topic}`, {problem}")
            }
            Self::View { view, message } => write!(formatter, "view `{view}`, {message}"),
            Self::NoViewServer { view } => write!(formatter, "view `{view}` lies in PostgreSQL, and there is no server for it"),
            Self::ViewServer { view, cause } => write!(formatter, "view `{view}`: its server does not answer: {cause}"),
        }
    }
}

impl std::error::Error for StartError {}

/// What operations and rules are made of. A handle does not say which of the two it is, so that both need all of it.
const OPERATIONS_NEED: [Capability; 3] = [Capability::MultiEntityCommit, Capability::ForeignGuard, Capability::TagCondition];

pub(crate) fn check(parts: &Parts) -> Result<Vec<Arc<Plan>>, StartError> {
    check_name("service", &parts.service)?;
    check_names("entity", parts.entities.iter().map(|entity: &EntityHandle| entity.name()))?;
    check_names("operation", parts.operations.iter().map(|operation: &OperationHandle| operation.name()))?;
    check_names("action", parts.actions.iter().map(|action| action.description().name))?;
    check_names("processor", parts.processors.iter().map(|processor| processor.description().name))?;
    check_processor_names(parts)?;
    check_names("topic", parts.topics.iter().map(|topic| topic.description().name))?;
    check_names("workflow", parts.workflows.iter().map(|workflow| workflow.description().name))?;
    for workflow in parts.workflows.iter().map(|workflow| workflow.description()) {
        if let Some(what) = workflow.personal {
            let problem = format!(
                "the {what} of a workflow has personal values, and its record is kept in the plain; keep them in an entity, and give its id"
            );
            return Err(StartError::Personal { name: workflow.name, problem });
        }
    }
    check_names("view", parts.views.iter().map(|view| view.name()))?;
    let entities = emitted(parts);
    for action in parts.actions.iter().map(|action| action.description()) {
        check_source(parts, &entities, ("action", action.name), (action.entity, action.events))?;
        check_sealed(parts, &entities, action.name, (action.entity, &action.personal))?;
    }
    for processor in parts.processors.iter().map(|processor| processor.description()) {
        for (entity, events) in &processor.sources {
            check_source(parts, &entities, ("processor", processor.name), (entity, events))?;
        }
        for (entity, events) in &processor.personal {
            check_sealed(parts, &entities, processor.name, (entity, events))?;
        }
        check_processor(processor)?;
    }
    check_published(parts)?;
    stream::check(parts, &entities)?;
    check_retention(parts)?;
    check_capabilities(parts)?;
    if let Some((name, problem)) = whose::unclear(&parts.entities, &parts.topics) {
        return Err(StartError::Personal { name, problem });
    }
    view::check(&parts.views, &entities, parts.shared_views.as_ref())
}

/// The subjects of a service; none where nobody has personal data and nobody ever had.
pub(crate) fn subjects(parts: &Parts) -> Result<Option<Arc<Subjects>>, StartError> {
    match &parts.keys {
        Some(disk) => {
            let (random, clock) = (Arc::clone(&parts.random), Arc::clone(&parts.clock));
            let subjects = Subjects::open(Arc::clone(disk), random, clock, Arc::clone(&parts.notices)).map_err(StartError::Keys)?;
            Ok(Some(Arc::new(subjects)))
        }
        None if has_personal_data(&parts.entities, &parts.operations, &parts.processors, &parts.topics) => Err(StartError::NoKeys),
        None => Ok(None),
    }
}

/// The destinations that a service names, in one spelling.
pub(crate) fn destinations(named: &[(String, DestinationPolicy)]) -> Result<Vec<(String, DestinationPolicy)>, StartError> {
    let mut seen = HashSet::new();
    let mut destinations = Vec::with_capacity(named.len());
    for (address, policy) in named {
        let refused = |problem| StartError::Destination { destination: address.clone(), problem };
        let destination = named_destination(address).map_err(refused)?;
        if let Some(field) = policy.problem() {
            return Err(refused(format!("{field} must be more than 0")));
        }
        if !seen.insert(destination.clone()) {
            return Err(refused("is named twice; give it one policy".to_owned()));
        }
        destinations.push((destination, *policy));
    }
    Ok(destinations)
}

fn check_names(what: &'static str, names: impl Iterator<Item = &'static str>) -> Result<(), StartError> {
    let mut seen = HashSet::new();
    for name in names {
        check_name(what, name)?;
        if !seen.insert(name) {
            return Err(StartError::DuplicateName { what, name });
        }
    }
    Ok(())
}

/// The rule is the one of entity types, but for those of the platform.
fn check_name(what: &'static str, name: &str) -> Result<(), StartError> {
    if name.starts_with('$') || EntityType::new(name).is_err() {
        return Err(StartError::InvalidName { what, name: name.to_owned() });
    }
    Ok(())
}

/// A processor is an entity type to those who read it, and a consumer beside the actions.
fn check_processor_names(parts: &Parts) -> Result<(), StartError> {
    for name in parts.processors.iter().map(|processor| processor.description().name) {
        if parts.entities.iter().any(|entity| entity.name() == name) {
            return Err(StartError::DuplicateName { what: "entity and processor", name });
        }
        if parts.actions.iter().any(|action| action.description().name == name) {
            return Err(StartError::DuplicateName { what: "action and processor", name });
        }
    }
    Ok(())
}

/// Everything that records events: entities, and what processors emit.
pub(crate) fn emitted(parts: &Parts) -> Vec<EntityHandle> {
    parts.entities.iter().cloned().chain(parts.processors.iter().map(|processor| processor.output())).collect()
}

/// What a component reads is there: a misspelt name would only ever be silent.
fn check_source(
    parts: &Parts,
    entities: &[EntityHandle],
    (what, name): (&'static str, &'static str),
    (source, events): (&str, &[&'static str]),
) -> Result<(), StartError> {
    let unknown = |source: String, known| StartError::UnknownSource { what, name, source, known };
    if source == TOPIC_TYPE {
        let topics: Vec<&str> = parts.topics.iter().map(|topic| topic.description().name).collect();
        return match events.iter().find(|topic| !topics.contains(*topic)) {
            Some(topic) => Err(unknown(format!("{TOPIC_TYPE}/{topic}"), topics)),
            None => Ok(()),
        };
    }
    let Some(entity) = entities.iter().find(|entity| entity.name() == source) else {
        return Err(unknown(source.to_owned(), entities.iter().map(|entity| entity.name()).collect()));
    };
    let recorded: Vec<&str> = entity.description().events.iter().map(|event| event.name).collect();
    match events.iter().find(|event| !recorded.contains(*event)) {
        Some(event) => Err(unknown(format!("{source}/{event}"), recorded)),
        None => Ok(()),
    }
}

/// What a component publishes has a topic that takes it.
fn check_published(parts: &Parts) -> Result<(), StartError> {
    let actions = parts.actions.iter().map(|action| action.description());
    let actions = actions.map(|action| ("action", action.name, &action.publishes));
    let workflows = parts.workflows.iter().map(|workflow| workflow.description());
    let workflows = workflows.map(|workflow| ("workflow", workflow.name, &workflow.publishes));
    for (what, name, publishes) in actions.chain(workflows) {
        for published in publishes {
            let topic = parts.topics.iter().map(|topic| topic.description()).find(|topic| topic.name == published.name);
            let problem = match topic {
                None => {
                    let known: Vec<&str> = parts.topics.iter().map(|topic| topic.description().name).collect();
                    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                    format!("which this service does not have; it has: {known}")
                }
                Some(topic) if topic.schema.is_some() && topic.schema != published.schema => {
                    "which takes another shape; give both the same type".to_owned()
                }
                Some(topic) if topic.schema.is_none() && published.schema.as_ref().is_some_and(is_personal) => {
                    "which keeps personal values in the plain; give it the type, with `topic_of`".to_owned()
                }
                Some(_) => continue,
            };
            return Err(StartError::UnknownTopic { what, name, topic: published.name, problem });
        }
    }
    Ok(())
}

/// What a component reads as personal is kept so.
fn check_sealed(parts: &Parts, entities: &[EntityHandle], name: &'static str, reads: (&str, &[&'static str])) -> Result<(), StartError> {
    whose::unsealed(reads, entities, &parts.topics).map_or(Ok(()), |problem| Err(StartError::Personal { name, problem }))
}

/// A processor reads something, each event once, and not what it emits itself.
fn check_processor(processor: &ProcessorDescription) -> Result<(), StartError> {
    let invalid = |problem: String| StartError::Processor { processor: processor.name, problem };
    let mut seen = HashSet::new();
    for (entity, event) in processor.sources.iter().flat_map(|(entity, events)| events.iter().map(move |event| (*entity, *event))) {
        if entity == processor.name {
            return Err(invalid("it reads what it emits itself; let another processor read that".into()));
        }
        if !seen.insert((entity, event)) {
            return Err(invalid(format!("it reads `{entity}/{event}` twice; one source says where it goes")));
        }
    }
    if seen.is_empty() { Err(invalid("it reads nothing; add a source to its inputs".into())) } else { Ok(()) }
}

/// Each policy is of one entity type of the service: what a processor emits is rebuilt from its inputs, and is kept.
fn check_retention(parts: &Parts) -> Result<(), StartError> {
    let known = || parts.entities.iter().map(|entity| entity.name()).collect();
    let mut seen = HashSet::new();
    for (name, _) in &parts.retention {
        if !parts.entities.iter().any(|entity| entity.name() == *name) {
            return Err(StartError::UnknownSource { what: "retention policy", name, source: (*name).to_owned(), known: known() });
        }
        if !seen.insert(*name) {
            return Err(StartError::DuplicateName { what: "retention policy", name });
        }
    }
    Ok(())
}

/// Each rule is of shapes that the service has.
pub(crate) fn check_rules(rules: &[(String, Shapes, Compatibility)], declared: &[DeclaredShape]) -> Result<(), StartError> {
    for (component, shapes, rule) in rules {
        if !declared.iter().any(|shape| shape.component == *component && shape.shapes == *shapes) {
            let mut known: Vec<String> = declared.iter().map(|shape| format!("{} ({})", shape.component, shape.shapes.one())).collect();
            known.dedup();
            return Err(StartError::UnknownShapes { rule: rule.to_string(), shapes: format!("{component} ({})", shapes.one()), known });
        }
    }
    Ok(())
}

fn check_capabilities(parts: &Parts) -> Result<(), StartError> {
    let capabilities = parts.journal.capabilities();
    let operation = parts.operations.first().map(|first| first.name());
    let missing = OPERATIONS_NEED.into_iter().find(|needed| !capabilities.has(*needed));
    if let (Some(operation), Some(capability)) = (operation, missing) {
        return Err(StartError::MissingCapability { capability, what: "operation", name: operation });
    }
    let processor = parts.processors.first().map(|first| first.description().name);
    match processor {
        Some(name) if !capabilities.has(Capability::MultiEntityCommit) => {
            Err(StartError::MissingCapability { capability: Capability::MultiEntityCommit, what: "processor", name })
        }
        _ => Ok(()),
    }
}
