//! An entity in memory: its state, how far that state is durable, and the commits that are on their way.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use component::hosted::{LiveEntity, Refusal, Unreadable};
use journal::{CommandId, Committed, Cursor, EventData, Expect, Fingerprint, Recorded, Timestamp};

use super::kind::Kind;
use super::replay::Replay;
use super::snapshots::Draft;
use crate::asked::Asked;
use crate::flight::Flight;
use crate::isolation::state_of;
use crate::personal::runs::aged_state;
use crate::request::Expectation;

/// What is known of the entity's last durable event.
#[derive(Clone, Copy)]
pub(crate) struct Durable {
    pub(crate) time: Timestamp,
    /// `None` before the first event.
    pub(crate) cursor: Option<Cursor>,
}

/// A command whose commit is on its way.
#[derive(Clone)]
pub(crate) struct Taken {
    pub(crate) id: CommandId,
    pub(crate) name: Arc<str>,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) reply: Bytes,
    /// Its place in the commit's list of commands.
    pub(crate) index: usize,
    /// The entity's sequence after it.
    pub(crate) sequence: u64,
    pub(crate) flight: Arc<Flight>,
}

/// A state whose commits are on their way was built on one that failed: it must be forgotten.
pub(crate) struct Stale;

/// See the module.
pub(crate) struct Live {
    /// Taken out only while an operation decides under the slot's lock.
    entity: Option<Box<dyn LiveEntity>>,
    /// How many erasures had begun before it was read: what it is made of is not younger.
    at: u64,
    sequence: u64,
    deleted: bool,
    durable: Durable,
    on_their_way: VecDeque<Taken>,
    /// Bytes of payloads in the state.
    weight: usize,
    /// The sequence of the last snapshot, or of the one that is due.
    snapshot_sequence: u64,
    /// Waits for its flight.
    draft: Option<(Draft, Arc<Flight>)>,
}

impl Live {
    /// What was replayed, when so many erasures had begun before.
    pub(crate) fn new(replay: Replay, cursor: Option<Cursor>, at: u64) -> Self {
        Self {
            entity: Some(replay.entity),
            at,
            sequence: replay.sequence,
            deleted: replay.deleted,
            durable: Durable { time: replay.time, cursor },
            on_their_way: VecDeque::new(),
            weight: replay.weight,
            snapshot_sequence: replay.snapshot_sequence,
            draft: None,
        }
    }

    /// The sequence that it has once all that is on its way has landed.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn is_there(&self) -> bool {
        self.sequence > 0 && !self.deleted
    }

    pub(crate) fn durable(&self) -> Durable {
        self.durable
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn entity(&mut self) -> &mut dyn LiveEntity {
        self.entity.as_deref_mut().expect("an operation gives the state back before it lets go of the lock")
    }

    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The state for who keeps it.
    pub(crate) fn kept_state(&mut self) -> Result<Vec<u8>, Unreadable> {
        state_of(self.entity()).map(|state| aged_state(state, self.at))
    }

    /// Takes the state out, for an operation that holds the lock until it gives it back.
    pub(crate) fn lend(&mut self) -> Box<dyn LiveEntity> {
        self.entity.take().expect("an operation gives the state back before it lets go of the lock")
    }

    pub(crate) fn give_back(&mut self, entity: Box<dyn LiveEntity>) {
        self.entity = Some(entity);
    }

    /// The last commit that the state has seen and that has not landed yet.
    pub(crate) fn seen(&self) -> Option<Arc<Flight>> {
        self.on_their_way.back().map(|taken| Arc::clone(&taken.flight))
    }

    /// What a commit on this state expects: no event, for one that nothing has happened to. `New` would hold of a deleted entity too.
    pub(crate) fn expect(&self) -> Expect {
        Expect::Head(self.sequence)
    }

    /// Whether a sender's expectation holds.
    pub(crate) fn meets(&self, expectation: Expectation) -> bool {
        match expectation {
            Expectation::Any => true,
            Expectation::New => !self.is_there(),
            Expectation::Sequence(sequence) => self.sequence == sequence,
        }
    }

    /// The same id on its way, if it is.
    pub(crate) fn on_its_way(&self, asked: &Asked) -> Option<&Taken> {
        if !asked.given {
            return None;
        }
        self.on_their_way.iter().find(|taken| taken.id == asked.id)
    }

    /// Whether so many commits are on their way that no further one is taken. Callers that went away no longer count in the
    /// entity's queue, their commits do.
    pub(crate) fn is_crowded(&self, commits_max: usize) -> bool {
        self.on_their_way.len() >= commits_max
    }

    /// Remembers a commit that was launched on this state, which has its events already.
    pub(crate) fn launched(&mut self, taken: Taken, payload_bytes: usize) {
        if taken.sequence > self.sequence {
            self.deleted = false;
        }
        self.sequence = taken.sequence;
        self.weight += payload_bytes;
        self.on_their_way.push_back(taken);
    }

    /// Makes a snapshot when one is due, to be kept when `flight` has landed.
    pub(crate) fn draft_snapshot(&mut self, every_events: u64, flight: &Arc<Flight>) {
        if self.sequence < self.snapshot_sequence.saturating_add(every_events) || self.draft.is_some() {
            return;
        }
        if let Ok(state) = self.kept_state() {
            self.draft = Some((Draft { sequence: self.sequence, time: self.durable.time, state }, Arc::clone(flight)));
            self.snapshot_sequence = self.sequence;
        }
    }

    /// Takes note of what has landed, in order.
    pub(crate) fn settle(&mut self) -> Result<(), Stale> {
        while let Some(first) = self.on_their_way.front() {
            match first.flight.landing() {
                None => break,
                Some(Ok(committed)) if first.fits(committed) => {
                    self.durable = Durable { time: committed.time, cursor: Some(committed.cursor) };
                    self.on_their_way.pop_front();
                }
                Some(_) => return Err(Stale),
            }
        }
        Ok(())
    }

    /// Takes in an event that others have recorded, when all that was on its way has landed. `false` when the state that it leaves is not known,
    /// as behind a hole: then this one is to be forgotten.
    pub(crate) fn take_in(&mut self, kind: &Kind, event: &Recorded, cursor: Cursor) -> bool {
        let Durable { time, cursor: before } = self.durable;
        let (sequence, weight, snapshot_sequence) = (self.sequence, self.weight, self.snapshot_sequence);
        let (entity, deleted) = (self.lend(), self.deleted);
        let mut replay = Replay { entity, sequence, time, cursor: before, deleted, weight, snapshot_sequence, unknown: None };
        let is_known = replay.apply(kind, event).is_ok() && replay.unknown.is_none();
        self.give_back(replay.entity);
        (self.sequence, self.deleted, self.weight) = (replay.sequence, replay.deleted, replay.weight);
        self.snapshot_sequence = replay.snapshot_sequence;
        self.durable = Durable { time: replay.time, cursor: Some(cursor) };
        is_known
    }

    /// The snapshot that is due, once it is durable.
    pub(crate) fn take_draft(&mut self) -> Option<Draft> {
        let (_, flight) = self.draft.as_ref()?;
        let Some(Ok(committed)) = flight.landing() else { return None };
        let time = committed.time;
        let (mut draft, _) = self.draft.take()?;
        draft.time = time;
        self.weight = draft.state.len();
        Some(draft)
    }

    /// The planted mistake: the snapshot that is due, whether it is durable or not.
    pub(crate) fn take_undurable_draft(&mut self) -> Option<Draft> {
        self.draft.take().map(|(draft, _)| draft)
    }

    /// The commits that have not landed: whoever loads the entity again must wait for them.
    pub(crate) fn into_unsettled(self) -> Vec<Arc<Flight>> {
        let unsettled = self.on_their_way.into_iter().filter(|taken| taken.flight.landing().is_none());
        unsettled.map(|taken| taken.flight).collect()
    }

    /// Whether the commit of this flight is among those on their way.
    pub(crate) fn awaits(&self, flight: &Arc<Flight>) -> bool {
        self.on_their_way.iter().any(|taken| Arc::ptr_eq(&taken.flight, flight))
    }
}

impl Taken {
    /// A commit that was numbered otherwise than the state in memory was on another state.
    fn fits(&self, committed: &Committed) -> bool {
        committed.commands.get(self.index).is_some_and(|settled| settled.sequence == self.sequence)
    }
}

/// Bytes that the events add to the state's weight.
pub(crate) fn payload_bytes(events: &[EventData]) -> usize {
    events.iter().map(|event| event.payload.len()).sum()
}

/// A component that panicked.
pub(crate) fn broken(message: String) -> Refusal {
    Refusal::Broken { message }
}
