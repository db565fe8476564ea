//! Entities: one command for one entity, its state now, and its state then.
//!
//! A cached entity lives in a [`slot::Slot`]. A command is decided under the slot's lock, on a state that may be ahead of the
//! disk, and its commit is handed to the journal under the same lock, always with the head it expects; it is awaited outside,
//! so that the commands of a hot entity share a sync. What the slot remembers of each commit on its way is its
//! [`Flight`](crate::flight::Flight): whatever leaves this room (a reply, a rejection, a state) first waits for the last
//! flight that it saw (promise 5). When a flight fails, the slot forgets its state; whatever was decided on it fails in the
//! journal too, by its expected head, and is decided again under the same command id.
//!
//! On an engine that several nodes share, others may have gone on. What they record is taken in as it comes (`abreast`). What is decided on an older state fails in the journal by its expected
//! head; before an answer without a commit leaves, the head is asked for, and what is behind it is loaded again (`catch_up`). Nor is a command
//! looked for there before it is decided (`repeats`), nor an entity that is likely to be new (`first`).

mod abreast;
pub(crate) mod attempt;
pub(crate) mod baseline;
pub(crate) mod cache;
mod command;
mod first;
pub(crate) mod kind;
pub(crate) mod live;
mod load;
mod raise;
mod read;
mod repeats;
pub(crate) mod replay;
pub(crate) mod slot;
pub(crate) mod snapshots;
#[cfg(test)]
pub(crate) mod tests;
mod travel;

use std::collections::HashMap;
use std::sync::Arc;

use journal::{Capability, EntityKey, Journal, ReadError};
use tokio::sync::watch;

use crate::Notices;
use crate::asked::{Asked, Mint};
use crate::limits::Limits;
use crate::request::{CommandError, CommandOutcome, StateError};
use cache::Cache;
use kind::Kind;
use repeats::Repeats;
use slot::{Seat, Slot};
use snapshots::Snapshots;

/// The name of the event that marks its entity deleted, for ever.
pub(crate) const DELETED: &str = "$deleted";

/// All entity types of a service, and the entities of theirs that are in memory.
pub(crate) struct Entities {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) mint: Mint,
    kinds: HashMap<&'static str, Arc<Kind>>,
    /// In the order of registration.
    names: Vec<&'static str>,
    pub(crate) cache: Cache,
    pub(crate) snapshots: Option<Snapshots>,
    pub(crate) limits: Limits,
    /// Whether other nodes record events too.
    is_shared: bool,
    repeats: Repeats,
    /// Of what goes on in the background.
    stop: watch::Sender<bool>,
}

impl Entities {
    pub(crate) fn new(journal: Arc<dyn Journal>, mint: Mint, kinds: Vec<Kind>, snapshots: Option<Snapshots>, limits: Limits) -> Self {
        let names = kinds.iter().map(Kind::name).collect();
        let is_shared = journal.capabilities().has(Capability::ManyNodes);
        let kinds = kinds.into_iter().map(|kind| (kind.name(), Arc::new(kind))).collect();
        Self {
            journal,
            mint,
            kinds,
            names,
            cache: Cache::new(limits.cached_entities_max, limits.cached_bytes_max),
            snapshots,
            limits,
            is_shared,
            // An engine that nodes share is a server.
            repeats: Repeats::new(is_shared),
            stop: watch::Sender::new(false),
        }
    }

    pub(crate) fn has(&self, kind: &str) -> bool {
        self.kinds.contains_key(kind)
    }

    pub(crate) fn names(&self) -> &[&'static str] {
        &self.names
    }

    pub(crate) fn kind(&self, name: &str) -> Option<&Arc<Kind>> {
        self.kinds.get(name)
    }

    /// These older versions of a type's state may be raised from snapshots.
    pub(crate) fn raise(&self, kind: &str, versions: &[u16], notices: &Notices) {
        self.kind(kind).into_iter().for_each(|kind| kind.raised.may(versions, notices));
    }

    /// The entity type of this name, for a command.
    pub(crate) fn known_kind(&self, name: &str) -> Result<&Arc<Kind>, CommandError> {
        self.kind(name).ok_or_else(|| CommandError::UnknownTarget { name: name.to_owned(), known: self.names().to_vec() })
    }

    /// The slot of an entity, with a seat in its bounded queue.
    pub(crate) fn seat(&self, kind: &Arc<Kind>, entity: &EntityKey) -> Result<Seat, CommandError> {
        let slot = self.cache.slot(entity, kind);
        Seat::take(slot, self.limits.entity_queue_max)
            .ok_or(CommandError::Busy { what: "commands for this entity", limit: self.limits.entity_queue_max })
    }

    /// Too many commits of one entity wait for the journal.
    pub(crate) fn crowded(&self) -> CommandError {
        CommandError::Busy { what: "commits of this entity", limit: self.limits.entity_queue_max }
    }

    /// The first reply to a command that took effect before, if it did. A minted id is new by construction.
    pub(crate) async fn replayed(&self, entity: &EntityKey, asked: &Asked) -> Result<Option<CommandOutcome>, CommandError> {
        if !asked.given {
            return Ok(None);
        }
        let found = self.journal.find_command(entity, asked.id).await.map_err(|error| self.command_error(error.into()))?;
        match &found {
            Some(_) => self.repeats.met(),
            None => self.repeats.was_new(),
        }
        found.map(|first| asked.replay(&first)).transpose()
    }

    /// Keeps what is due and says how much memory the entity takes.
    pub(crate) fn after_commit(&self, slot: &Slot) {
        let (weight, draft) = slot.settle();
        self.cache.weigh(slot, weight);
        if let (Some(snapshots), Some(draft)) = (&self.snapshots, draft) {
            snapshots.put(&slot.key, slot.kind.state_build(), draft);
        }
    }

    /// A read that failed while a command needed it.
    pub(crate) fn command_error(&self, error: StateError) -> CommandError {
        match error {
            StateError::UnknownTarget { name, known } => CommandError::UnknownTarget { name, known },
            StateError::Unreadable { message } => CommandError::Unreadable { message },
            unfit @ StateError::BaselineUnfit { .. } => CommandError::BaselineUnfit { message: unfit.to_string() },
            // A command needs the newest state only, which is never gone.
            gone @ StateError::Gone { .. } => CommandError::Unreadable { message: gone.to_string() },
            StateError::BeyondHead { sequence } => CommandError::PreconditionFailed { sequence },
            // What a stopped journal cannot read is no news about the data.
            StateError::Read(error) => match (self.journal.poisoned(), error) {
                (Some(cause), _) => CommandError::Poisoned { cause },
                (None, ReadError::Unavailable { cause }) => CommandError::Unavailable { cause },
                (None, ReadError::Damaged { place, .. }) => CommandError::Damaged { place },
                (None, error) => CommandError::Unreadable { message: error.to_string() },
            },
        }
    }
}
