//! Baselines: events that hold what their entity is, so that the events before them may go.
//!
//! ```text
//! $baseline   {"build":"v1-00c0ffee00c0ffee","state":{..}}     personal values are sealed in it, as in every event
//! ```
//!
//! A baseline is an event like any other: it is decided under the slot's lock, expects the head that it stands for, and takes the next
//! sequence. Its command id follows from the sequence before it, so that two who write the same one write one. Nothing else happens by
//! it: the state before and after is the same. Personal values in it are as old as the state at least: one that an erasure overtakes on its
//! way is kept as erased.
//!
//! The state in it outlives the code that wrote it. [`Baseline::of`] and `Kind::rebase` are what a load makes of it; `replay` says when.

use std::sync::Arc;

use bytes::Bytes;
use journal::{
    AppendError, BASELINE, CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Recorded, Selection,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Entities;
use super::live::Taken;
use super::slot::{Slot, State};
use crate::flight::Flight;
use crate::limits::{BASELINE_BYTES_MAX, DECIDE_ATTEMPTS_MAX};
use crate::request::StateError;

/// A baseline as it lies in its event.
#[derive(Deserialize)]
pub(crate) struct Baseline<'a> {
    /// The shape of the state, as the component named it then.
    #[serde(borrow)]
    pub(crate) build: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    state: &'a RawValue,
}

impl<'a> Baseline<'a> {
    /// `None` when it is not one of ours.
    pub(crate) fn of(payload: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    pub(crate) fn state(&self) -> &'a [u8] {
        self.state.get().as_bytes()
    }
}

/// Whether an event is a baseline that its reader has not asked for by name: it is no fact of the domain.
pub(crate) fn is_passed_over(selection: &Selection, event: &Recorded) -> bool {
    let is_named = |full: &str| full.split_once('/') == Some((event.entity.kind(), BASELINE));
    &*event.name == BASELINE && !matches!(selection, Selection::Types(types) if types.iter().any(|full| is_named(full)))
}

/// What became of the wish for a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rebased {
    /// It is there, durably.
    Written,
    /// The entity has no state: nobody needs one.
    Absent,
    /// The state does not fit an event: the entity keeps all of its events.
    TooLarge,
}

/// What a look under the slot's lock came to.
enum Step {
    Cold,
    Done(Rebased),
    Launched(Arc<Flight>),
}

impl Entities {
    /// Records what an entity is now.
    pub(crate) async fn baseline(&self, kind: &str, key: &EntityKey) -> Result<Rebased, StateError> {
        let kind = self.kind(kind).ok_or_else(|| StateError::UnknownTarget { name: kind.to_owned(), known: self.names().to_vec() })?;
        let slot = self.cache.slot(key, kind);
        for _ in 0..DECIDE_ATTEMPTS_MAX {
            match self.launch_baseline(&slot)? {
                Step::Cold => self.ready(&slot).await?,
                Step::Done(rebased) => return Ok(rebased),
                Step::Launched(flight) => match flight.landed().await {
                    Ok(_) => {
                        self.after_commit(&slot);
                        return Ok(Rebased::Written);
                    }
                    Err(error) => {
                        slot.forget(&flight);
                        match error.clone() {
                            AppendError::Conflict { .. } => {}
                            AppendError::Duplicate { .. } => return Ok(Rebased::Written),
                            AppendError::TooLarge { .. } => return Ok(Rebased::TooLarge),
                            // What the journal refuses of this state it would refuse again.
                            AppendError::Invalid(problem) => return Err(StateError::Unreadable { message: format!("{key}: {problem}") }),
                            error => return Err(StateError::Read(journal::ReadError::Unavailable { cause: error.to_string() })),
                        }
                    }
                },
            }
        }
        let cause = format!("{key} changed {DECIDE_ATTEMPTS_MAX} times while its baseline was written");
        Err(StateError::Read(journal::ReadError::Unavailable { cause }))
    }

    fn launch_baseline(&self, slot: &Slot) -> Result<Step, StateError> {
        let mut locked = slot.lock();
        let Some(live) = locked.live() else { return Ok(Step::Cold) };
        if !live.is_there() {
            return Ok(Step::Done(Rebased::Absent));
        }
        let state = live.kept_state().map_err(|unreadable| StateError::Unreadable { message: format!("{}: {unreadable}", slot.key) })?;
        let payload = payload(slot.kind.state_build(), &state);
        if payload.len() > BASELINE_BYTES_MAX {
            return Ok(Step::Done(Rebased::TooLarge));
        }
        Ok(Step::Launched(self.launch_payload(slot, &mut locked, payload)))
    }

    fn launch_payload(&self, slot: &Slot, locked: &mut State, payload: Vec<u8>) -> Arc<Flight> {
        let live = locked.as_live().expect("it was live under this lock");
        let (sequence, expect, seen) = (live.sequence(), live.expect(), live.seen());
        let command = record(&slot.key, sequence, payload);
        let (id, name) = (command.id, Arc::clone(&command.name));
        let commit = Commit { commands: vec![command], expect: vec![(slot.key.clone(), expect)], ..Commit::default() };
        let flight = Flight::launch(&self.journal, commit, seen.as_slice());
        let flown = Arc::clone(&flight);
        live.launched(Taken { id, name, fingerprint: None, reply: Bytes::new(), index: 0, sequence: sequence + 1, flight }, 0);
        flown
    }
}

fn payload(build: &str, state: &[u8]) -> Vec<u8> {
    let build = serde_json::Value::from(build).to_string();
    [b"{\"build\":", build.as_bytes(), b",\"state\":", state, b"}"].concat()
}

/// The id has a control character, as no client's has.
fn record(key: &EntityKey, sequence: u64, payload: Vec<u8>) -> CommandRecord {
    let event = EventData {
        name: BASELINE.into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: payload.into(),
    };
    CommandRecord {
        entity: key.clone(),
        id: CommandId::from_raw(format!("baseline\0{sequence}").as_bytes()),
        name: BASELINE.into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::new(),
        events: vec![event],
    }
}
