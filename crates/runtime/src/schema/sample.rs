//! Samples: what was really written, as lines of a file, and whether the present code reads them.
//!
//! ```text
//! {"shape":"cart/event/item-added","version":1,"data":{"sku":"apple"}}
//! ```
//!
//! They come from the journal: events, the states of baselines, the bodies of commands that wait or have waited, the data of messages, what
//! workflows were given and told and what they came to. So many of each shape that was registered, from where it was registered on; and of
//! workflows that have not ended whole records (`workflow:shipping/history`), which are checked by bringing them back. Personal values are `null` in them, as if their subjects were
//! erased: also those from a day when their field was not personal yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use component::Shapes;
use component::hosted::personal_mark::{SCHEMA as PERSONAL, replace_marks};
use component::hosted::{EntityHandle, StoredEvent, TOPIC_TYPE, WorkflowPart};
use journal::{BASELINE, Cursor, Journal, ReadError, ReadMode, Recorded, Selection};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::declared::ShapeSources;
use super::registry::{RegisteredShape, Registry};
use crate::isolation::isolated;
use crate::limits::{SCHEMA_SAMPLE_LOOK_EVENTS, SCHEMA_SAMPLES_MAX};
use crate::workflow::{RECORDS, WorkflowHistory, check_history, kept_of};

/// One value of a shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The shape's key.
    pub shape: String,
    /// The version that it was written in.
    pub version: u16,
    /// The value.
    pub data: Json,
}

/// Why a sample is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SampleError {
    /// The code has nothing of this name.
    Unknown(String),
    /// The code does not read it.
    Unreadable(String),
    /// A workflow's record that the code does not go on with.
    Misfit(String),
}

impl std::fmt::Display for SampleError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(message) | Self::Unreadable(message) | Self::Misfit(message) => formatter.write_str(message),
        }
    }
}

/// Reads a sample with the present code, as it would be read in earnest.
///
/// # Errors
/// See [`SampleError`].
pub fn read_sample(sources: &ShapeSources<'_>, sample: &Sample) -> Result<(), SampleError> {
    let unknown = || SampleError::Unknown(format!("the code has no `{}`", sample.shape));
    let mut parts = sample.shape.splitn(3, '/');
    let (component, sort, name) = (parts.next().unwrap_or_default(), parts.next(), parts.next().unwrap_or_default());
    if let (Some(("workflow", _)), Some(HISTORY)) = (component.split_once(':'), sort) {
        return of_history(sources, sample);
    }
    let shapes = sort.and_then(Shapes::named).ok_or_else(unknown)?;
    let data = sample.data.to_string();
    let read = || match component.split_once(':') {
        None => {
            let entity = find_entity(sources, component).ok_or_else(unknown)?;
            of_entity(&entity, shapes, StoredEvent { name, version: sample.version, payload: data.as_bytes() })
        }
        Some(("topic", topic)) => {
            let topic = sources.topics.iter().find(|known| known.description().name == topic).ok_or_else(unknown)?;
            topic.check(Some(data.as_bytes())).map_err(|refusal| unreadable(&refusal))
        }
        Some(("operation", operation)) if shapes == Shapes::Inputs => {
            let operation = sources.operations.iter().find(|known| known.name() == operation).ok_or_else(unknown)?;
            operation.reads(data.as_bytes()).map(drop).map_err(|refusal| unreadable(&refusal))
        }
        Some(("workflow", workflow)) => {
            let workflow = sources.workflows.iter().find(|known| known.description().name == workflow).ok_or_else(unknown)?;
            let part = part(shapes, name).ok_or_else(unknown)?;
            workflow.reads(part, data.as_bytes()).map_err(|refusal| unreadable(&refusal))
        }
        Some(_) => Err(SampleError::Unknown(format!("no code reads samples of `{}`", sample.shape))),
    };
    isolated(read).unwrap_or_else(|panic| Err(SampleError::Unreadable(panic.during("reading the sample"))))
}

/// What stands for `input` and its like in the samples of a workflow's whole record.
const HISTORY: &str = "history";

/// A sample of a workflow's record, if it was read.
pub(crate) fn sample_of(history: &WorkflowHistory) -> Option<Sample> {
    if history.unread.is_some() {
        return None;
    }
    let shape = format!("workflow:{}/{HISTORY}", history.workflow);
    Some(Sample { shape, version: 1, data: serde_json::to_value(history).ok()? })
}

fn of_history(sources: &ShapeSources<'_>, sample: &Sample) -> Result<(), SampleError> {
    // By its text: a record keeps what was written as it was.
    let history: WorkflowHistory = serde_json::from_str(&sample.data.to_string()).map_err(|error| unreadable(&error))?;
    if let Some(why) = &history.unread {
        return Err(unreadable(why));
    }
    let named = |misfit| SampleError::Misfit(format!("`{}`: {misfit}", history.id));
    check_history(sources.workflows, &history).map(drop).map_err(named)
}

fn part(shapes: Shapes, name: &str) -> Option<WorkflowPart<'_>> {
    match shapes {
        Shapes::Inputs => Some(WorkflowPart::Input),
        Shapes::Outputs => Some(WorkflowPart::Output),
        Shapes::Signals => Some(WorkflowPart::Signal(name)),
        _ => None,
    }
}

fn find_entity(sources: &ShapeSources<'_>, name: &str) -> Option<EntityHandle> {
    let own = sources.entities.iter().find(|entity| entity.name() == name).cloned();
    own.or_else(|| sources.processors.iter().find(|known| known.description().name == name).map(|processor| processor.output()))
}

fn of_entity(entity: &EntityHandle, shapes: Shapes, stored: StoredEvent<'_>) -> Result<(), SampleError> {
    match shapes {
        Shapes::Events => entity.raised(stored).map(drop).map_err(|error| unreadable(&error)),
        Shapes::Commands => {
            let body = entity.raised_command(stored).map_err(|error| unreadable(&error))?;
            entity.check(stored.name, &body).map_err(|refusal| unreadable(&refusal))
        }
        Shapes::States => {
            let build = if entity.description().state_version == stored.version {
                entity.state_build().to_owned()
            } else {
                format!("v{}-", stored.version)
            };
            entity.rebase(&build, stored.payload).map(drop).map_err(|error| unreadable(&error))
        }
        other => Err(SampleError::Unknown(format!("no code reads samples of a {}", other.one()))),
    }
}

fn unreadable(error: &impl ToString) -> SampleError {
    SampleError::Unreadable(error.to_string())
}

/// A journal that shows marks, and what was registered in it: where samples come from.
pub(crate) struct Samples<'a> {
    pub(crate) journal: &'a dyn Journal,
    pub(crate) registry: &'a Registry,
    /// So many of each shape.
    pub(crate) per_shape: usize,
}

impl Samples<'_> {
    /// Samples of every shape that was registered, up to the bound.
    pub(crate) async fn gather(&self) -> Result<Vec<Sample>, ReadError> {
        let waiting = self.waiting().await?;
        let mut samples = Vec::new();
        for (key, shapes) in self.registry.iter() {
            let personal: BTreeSet<&str> = shapes.iter().flat_map(|shape| personal_names(&shape.schema)).collect();
            for sample in self.of_key((key, shapes), &waiting).await? {
                if samples.len() == SCHEMA_SAMPLES_MAX {
                    return Ok(samples);
                }
                samples.push(Sample { data: masked(sample.data, &personal, false), ..sample });
            }
        }
        Ok(samples)
    }

    async fn of_key(&self, (key, shapes): (&str, &[RegisteredShape]), waiting: &Waiting) -> Result<Vec<Sample>, ReadError> {
        let mut parts = key.splitn(3, '/');
        let (component, sort, name) = (parts.next().unwrap_or_default(), parts.next(), parts.next().unwrap_or_default());
        let shapes_of = sort.and_then(Shapes::named);
        let of_workflow = component.strip_prefix("workflow:").zip(shapes_of.and_then(|shapes| part(shapes, name)));
        let one = |event: String| Selection::Types(vec![event.into()]);
        let (selection, take): (Selection, Take<'_>) = match (shapes_of, of_workflow) {
            (_, Some((workflow, part))) => {
                (Selection::Types(RECORDS.map(Arc::from).to_vec()), Box::new(move |event| Some((1, kept_of(workflow, part, event)?))))
            }
            (Some(Shapes::Events), _) => {
                (one(format!("{component}/{name}")), Box::new(|event| Some((event.version, parsed(&event.payload)?))))
            }
            (Some(Shapes::States), _) => (one(format!("{component}/{BASELINE}")), Box::new(of_baseline)),
            (Some(Shapes::Messages), _) => (one(format!("{TOPIC_TYPE}/{}", component.trim_start_matches("topic:"))), Box::new(of_message)),
            (Some(Shapes::Commands), _) => {
                let waiting = waiting.get(&(component.to_owned(), name.to_owned())).into_iter().flatten().cloned();
                return Ok(waiting.map(|(version, data)| Sample { shape: key.to_owned(), version, data }).collect());
            }
            _ => return Ok(Vec::new()),
        };
        let (mut samples, mut seen) = (Vec::new(), BTreeSet::new());
        for (at, shape) in shapes.iter().enumerate() {
            // What is older than the registry belongs to its first shape.
            let after = if at == 0 { Cursor::BEGINNING } else { shape.cursor };
            for (position, sample) in self.behind((after, selection.clone()), (shape.version, &take)).await? {
                if seen.insert(position) {
                    samples.push(Sample { shape: key.to_owned(), version: shape.version, data: sample });
                }
            }
        }
        Ok(samples)
    }

    async fn behind(
        &self,
        (after, selection): (Cursor, Selection),
        (version, take): (u16, &Take<'_>),
    ) -> Result<Vec<(u64, Json)>, ReadError> {
        let mut events = self.journal.read(selection, after, ReadMode::ToHead);
        let mut found = Vec::new();
        for _ in 0..SCHEMA_SAMPLE_LOOK_EVENTS {
            let Some(event) = events.next_event().await.transpose()? else { break };
            if found.len() == self.per_shape {
                break;
            }
            if let Some((_, data)) = take(&event).filter(|(written, _)| *written == version) {
                found.push((event.position, data));
            }
        }
        Ok(found)
    }

    /// Bodies that wait or have waited, by type and command: those of timers, and of commands that were decided later.
    async fn waiting(&self) -> Result<Waiting, ReadError> {
        let selection = Selection::Types(vec!["$timer/set".into(), "$command/accepted".into()]);
        let mut events = self.journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
        let mut waiting = Waiting::new();
        for _ in 0..SCHEMA_SAMPLE_LOOK_EVENTS {
            let Some(event) = events.next_event().await.transpose()? else { break };
            let Some(waits) = parsed(&event.payload) else { continue };
            let (Some(kind), Some(command), Some(body)) = (waits["type"].as_str(), waits["command"].as_str(), body(&waits)) else {
                continue;
            };
            let version = waits["version"].as_u64().and_then(|version| u16::try_from(version).ok()).unwrap_or(1);
            let of_command = waiting.entry((kind.to_owned(), command.to_owned())).or_default();
            if of_command.iter().filter(|(other, _)| *other == version).count() < self.per_shape {
                of_command.push((version, body));
            }
        }
        Ok(waiting)
    }
}

/// Bodies with their versions, by entity type and command.
type Waiting = BTreeMap<(String, String), Vec<(u16, Json)>>;
/// The version and the value in an event.
type Take<'a> = Box<dyn Fn(&Recorded) -> Option<(u16, Json)> + Send + Sync + 'a>;

/// JSON whose marks are `null`.
pub(crate) fn parsed(payload: &[u8]) -> Option<Json> {
    let replaced = replace_marks(payload, || (), |_| Ok(b"null".to_vec())).ok()?;
    serde_json::from_slice(replaced.as_deref().unwrap_or(payload)).ok()
}

fn of_baseline(event: &Recorded) -> Option<(u16, Json)> {
    let mut baseline = parsed(&event.payload)?;
    let version = baseline["build"].as_str()?.strip_prefix('v')?.split('-').next()?.parse().ok()?;
    Some((version, baseline["state"].take()))
}

fn of_message(event: &Recorded) -> Option<(u16, Json)> {
    let mut message = parsed(&event.payload)?;
    message.get("data").is_some().then(|| (1, message["data"].take()))
}

/// The body that waits: JSON as it is, or as a text, or beside what is personal in it.
fn body(waits: &Json) -> Option<Json> {
    match &waits["body"] {
        Json::Null => waits.get("personal").map(|personal| personal["body"].clone()),
        Json::String(text) if text.trim().is_empty() => Some(Json::Object(serde_json::Map::new())),
        Json::String(text) => serde_json::from_str(text).ok(),
        body => Some(body.clone()),
    }
}

/// The names of members that hold personal values.
fn personal_names(schema: &Json) -> Vec<&str> {
    let mut names = Vec::new();
    if let Some(properties) = schema.get("properties").and_then(Json::as_object) {
        names.extend(properties.iter().filter(|(_, schema)| holds_personal(schema)).map(|(name, _)| name.as_str()));
    }
    match schema {
        Json::Object(members) => names.extend(members.values().flat_map(personal_names)),
        Json::Array(items) => names.extend(items.iter().flat_map(personal_names)),
        _ => {}
    }
    names
}

/// Whether a value has a personal one in it that no member of its own names.
fn holds_personal(schema: &Json) -> bool {
    match schema {
        Json::Object(members) => {
            let parts = members.iter().filter(|(keyword, _)| *keyword != "properties");
            members.get(PERSONAL) == Some(&Json::Bool(true)) || parts.map(|(_, part)| part).any(holds_personal)
        }
        Json::Array(items) => items.iter().any(holds_personal),
        _ => false,
    }
}

/// The value without what its members of these names hold.
fn masked(value: Json, personal: &BTreeSet<&str>, is_within: bool) -> Json {
    match value {
        Json::Object(members) => {
            let masked = |(name, value): (String, Json)| {
                let is_within = is_within || personal.contains(name.as_str());
                (name, masked(value, personal, is_within))
            };
            Json::Object(members.into_iter().map(masked).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(|item| masked(item, personal, is_within)).collect()),
        _ if is_within => Json::Null,
        value => value,
    }
}
