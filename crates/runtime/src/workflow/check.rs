//! Workflows' records outside of a journal, and whether the present code goes on with them: for who deploys code under running instances.
//!
//! A record is brought back as a process that begins does, by the same code. Nothing of it is done and nothing is recorded: steps are named
//! and not run, and whatever would be told next is not told. What is found is what would pause the instance: the code asks for another
//! thing than is recorded, or does not read an input, a result or a signal any more.
//!
//! Personal values are `null` in a record, as if their subjects were erased. What is not read because it is too large is not checked, and says so.
//!
//! What it is not: a promise about what comes behind the record's last turn; code that has not run yet was not run here either.

use component::hosted::personal_mark::replace_marks;
use component::hosted::{WorkflowHandle, WorkflowPart};
use journal::{Context, Cursor, EntityKey, Journal, ReadError, ReadMode, Recorded, Selection};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::Workflows;
use super::history::History;
use super::record::{Cause, RESTARTED, TOLD, Turn, WorkflowState, key, parts};
use super::request::{WorkflowError, WorkflowSelection};
use crate::limits::{WORKFLOW_HISTORIES_BYTES, WORKFLOW_HISTORY_BYTES_MAX};

/// The present run of a workflow, as it is recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkflowHistory {
    /// The workflow's name.
    pub workflow: String,
    /// Its id.
    pub id: String,
    /// Its tenant; empty unless there are tenants.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// How it stands.
    pub state: WorkflowState,
    /// What it was told, and what it asked for, in order.
    pub records: Vec<WorkflowRecord>,
    /// Why there are no records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

impl WorkflowHistory {
    /// Bytes of its records.
    pub(crate) fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.turn.get().len()).sum()
    }
}

/// One event of its record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkflowRecord {
    /// The event's name.
    pub name: String,
    /// Its payload.
    pub turn: Box<RawValue>,
}

/// What came of bringing a record back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The code goes on with it.
    GoesOn,
    /// It has ended: no code runs for it any more.
    HasEnded,
    /// Nobody knows: its record was not read.
    Unread,
}

/// Brings a record back with the present code.
///
/// # Errors
/// Why the code does not go on with it: both sides are named.
pub fn check_history(workflows: &[WorkflowHandle], kept: &WorkflowHistory) -> Result<Replayed, String> {
    if kept.unread.is_some() {
        return Ok(Replayed::Unread);
    }
    let history = taken(kept)?;
    if history.turns.last().is_some_and(|last| last.state.is_ended()) {
        return Ok(Replayed::HasEnded);
    }
    let known = |workflow: &&WorkflowHandle| workflow.description().name == kept.workflow;
    let hosted = workflows.iter().find(known).ok_or_else(|| unknown(workflows, &kept.workflow))?;
    if !matches!(history.turns.first(), Some(Turn { cause: Cause::Begin { .. }, .. })) {
        return Err("its record does not begin with a start".to_owned());
    }
    let entity = key(&kept.tenant, &kept.workflow, &kept.id).map_err(|error| format!("its name does not fit: {error}"))?;
    match history.bring_back(entity, hosted).misfit {
        Some(misfit) => Err(misfit),
        None => Ok(Replayed::GoesOn),
    }
}

fn taken(kept: &WorkflowHistory) -> Result<History, String> {
    let mut history = History { context: Context::default(), turns: Vec::new(), reruns: Vec::new(), sequence: 0 };
    for (at, record) in kept.records.iter().enumerate().filter(|(_, record)| record.name != TOLD) {
        let turn: Turn =
            serde_json::from_str(record.turn.get()).map_err(|error| format!("its record {at} is none of a workflow: {error}"))?;
        history.take(&record.name, turn);
    }
    Ok(history)
}

fn unknown(workflows: &[WorkflowHandle], name: &str) -> String {
    let known = workflows.iter().map(|workflow| workflow.description().name).collect::<Vec<_>>().join(", ");
    format!("the code has no workflow `{name}`, and it has not ended; it has: {known}")
}

impl Workflows {
    /// The records of workflows in a list; fewer where they are large, but one if there is any.
    pub(crate) async fn histories(&self, selection: WorkflowSelection) -> Result<Vec<WorkflowHistory>, WorkflowError> {
        let (tenant, mut bytes, mut histories) = (selection.tenant.clone(), 0, Vec::new());
        for item in self.list(selection).await? {
            let entity = key(&tenant, &item.workflow, &item.id).map_err(|error| WorkflowError::Unfit { problem: error.to_string() })?;
            let read = read(&**self.room.journal(), &entity, WORKFLOW_HISTORY_BYTES_MAX).await.map_err(|error| self.room.unread(error))?;
            let Some(history) = read else { continue };
            bytes += history.bytes();
            histories.push(history);
            if bytes > WORKFLOW_HISTORIES_BYTES {
                break;
            }
        }
        Ok(histories)
    }
}

/// How a turn says that the workflow stands.
#[derive(Deserialize)]
struct Stands {
    state: Option<WorkflowState>,
}

/// Reads the present run; of one with more than so many bytes no record is kept.
pub(super) async fn read(journal: &dyn Journal, entity: &EntityKey, bytes_max: usize) -> Result<Option<WorkflowHistory>, ReadError> {
    let selection = Selection::Entity { entity: entity.clone(), from_sequence: 1 };
    let mut events = journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
    let (mut records, mut bytes, mut state) = (Vec::new(), 0_usize, None);
    while let Some(event) = events.next_event().await.transpose()? {
        let unreadable = |error: serde_json::Error| {
            let cause = format!("{entity} is not readable by this version at sequence {}: {error}", event.sequence);
            ReadError::Unavailable { cause }
        };
        if *event.name == *RESTARTED {
            (records, bytes) = (Vec::new(), 0);
        }
        let stands: Stands = serde_json::from_slice(&event.payload).map_err(unreadable)?;
        state = stands.state.or(state);
        let turn = without_personal(&event.payload).map_err(unreadable)?;
        bytes += turn.get().len();
        if bytes > bytes_max {
            records = Vec::new();
        } else {
            records.push(WorkflowRecord { name: event.name.to_string(), turn });
        }
    }
    let unread =
        (bytes > bytes_max).then(|| format!("its record has {bytes} bytes, and only records of {bytes_max} bytes or less are read"));
    let (workflow, id) = parts(entity);
    let (workflow, id, tenant) = (workflow.to_owned(), id.to_owned(), entity.tenant().to_owned());
    Ok(state.map(|state| WorkflowHistory { workflow, id, tenant, state, records, unread }))
}

/// A turn as it leaves the service: what is personal in it is `null`.
fn without_personal(payload: &[u8]) -> Result<Box<RawValue>, serde_json::Error> {
    let broken = || <serde_json::Error as serde::de::Error>::custom("a personal value in it is not whole");
    let replaced = replace_marks(payload, broken, |_| Ok(b"null".to_vec()))?;
    serde_json::from_slice(replaced.as_deref().unwrap_or(payload))
}

/// The types of all events of workflows that say something of its parts.
pub(crate) const RECORDS: [&str; 10] = [
    "$workflow/started",
    "$workflow/restarted",
    "$workflow/progressed",
    "$workflow/running",
    "$workflow/waiting",
    "$workflow/paused",
    "$workflow/undoing",
    "$workflow/completed",
    "$workflow/failed",
    "$workflow/cancelled",
];

/// What an event has of a part of this workflow, if it is one of its.
pub(crate) fn kept_of(workflow: &str, part: WorkflowPart<'_>, event: &Recorded) -> Option<Json> {
    if parts(&event.entity).0 != workflow {
        return None;
    }
    let turn: Turn = serde_json::from_slice(&event.payload).ok()?;
    let kept = match (part, &turn.cause) {
        (WorkflowPart::Input, Cause::Begin { input, .. }) => Some(input),
        (WorkflowPart::Signal(name), Cause::Signal { signal, body }) if signal == name => Some(body),
        (WorkflowPart::Output, _) => turn.output.as_ref(),
        _ => None,
    };
    serde_json::from_str(kept?.get()).ok()
}
