//! A consumer's lease: the register that holds its epoch and its place.
//!
//! ```text
//! consumer/{name}   epoch u64 big-endian | JSON { cursor, ceiling, suspect }
//! ```
//!
//! Every write is a compare-and-set on the revision that this owner wrote last, so that a stale owner is refused by storage.
//! `cursor` is how far everything has ended. `ceiling` is how far anything may have begun: it is written before a run beyond it
//! begins, thousands of events at a time, so that after the end of a process it is known which events may have ended it.
//! These are then run one at a time, each with a `suspect` record of its own before it begins.
//!
//! What it is not: a lease that several nodes compete for by time. An engine in one directory has one process; its next one
//! takes the lease over at once, under a higher epoch.

use std::sync::Arc;

use bytes::Bytes;
use journal::{Cursor, Register, RegisterError, RegisterExpect, Registers, Revision, epoch_of};
use serde::{Deserialize, Serialize};

/// What the names of all leases begin with.
pub(super) const PREFIX: &str = "consumer/";

/// Where a consumer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) cursor: Cursor,
    pub(super) ceiling: Cursor,
    pub(super) suspect: Option<Suspect>,
}

/// An event that ran alone, because a process may have ended over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) place: Cursor,
    /// Runs of it that were recorded before they began.
    pub(super) runs: u32,
}

impl Place {
    /// A place at which nothing is under way.
    pub(super) fn at(cursor: Cursor) -> Self {
        Self { cursor, ceiling: cursor, suspect: None }
    }
}

/// See the module.
pub(super) struct Lease {
    registers: Arc<dyn Registers>,
    name: String,
    epoch: u64,
    revision: Revision,
    written: Place,
}

impl Lease {
    /// The register of a consumer.
    pub(super) fn register(consumer: &str) -> String {
        format!("{PREFIX}{consumer}")
    }

    /// Takes the lease over; `None` when there is no register.
    pub(super) async fn take(registers: &Arc<dyn Registers>, consumer: &str) -> Result<Option<Self>, RegisterError> {
        let name = Self::register(consumer);
        loop {
            let Some(register) = registers.get(&name).await? else { return Ok(None) };
            let (epoch, written) = decode(&register)?;
            let mut lease =
                Self { registers: Arc::clone(registers), name: name.clone(), epoch: epoch + 1, revision: register.revision, written };
            match lease.write(lease.written.clone()).await {
                Ok(()) => return Ok(Some(lease)),
                Err(RegisterError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the register of a consumer that has none.
    pub(super) async fn create(registers: &Arc<dyn Registers>, consumer: &str, cursor: Cursor) -> Result<Self, RegisterError> {
        let (name, written, epoch) = (Self::register(consumer), Place::at(cursor), 1);
        let revision = registers.put(&name, RegisterExpect::Absent, encode(epoch, &written)).await?;
        Ok(Self { registers: Arc::clone(registers), name, epoch, revision, written })
    }

    /// What the register says.
    pub(super) fn place(&self) -> &Place {
        &self.written
    }

    /// Writes a new place; durable when it returns. A conflict says that another owner has taken over.
    pub(super) async fn write(&mut self, place: Place) -> Result<(), RegisterError> {
        self.revision = self.registers.put(&self.name, RegisterExpect::Revision(self.revision), encode(self.epoch, &place)).await?;
        self.written = place;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    cursor: String,
    ceiling: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspect: Option<StoredSuspect>,
}

#[derive(Serialize, Deserialize)]
struct StoredSuspect {
    cursor: String,
    runs: u32,
}

pub(super) fn encode(epoch: u64, place: &Place) -> Bytes {
    let suspect = place.suspect.map(|suspect| StoredSuspect { cursor: suspect.place.to_string(), runs: suspect.runs });
    let stored = Stored { cursor: place.cursor.to_string(), ceiling: place.ceiling.to_string(), suspect };
    let mut bytes = epoch.to_be_bytes().to_vec();
    serde_json::to_writer(&mut bytes, &stored).expect("texts and numbers always encode");
    bytes.into()
}

pub(super) fn decode(register: &Register) -> Result<(u64, Place), RegisterError> {
    let read = || -> Option<(u64, Place)> {
        let epoch = epoch_of(&register.value)?;
        let stored: Stored = serde_json::from_slice(register.value.get(8..)?).ok()?;
        let suspect = match stored.suspect {
            Some(suspect) => Some(Suspect { place: suspect.cursor.parse().ok()?, runs: suspect.runs }),
            None => None,
        };
        Some((epoch, Place { cursor: stored.cursor.parse().ok()?, ceiling: stored.ceiling.parse().ok()?, suspect }))
    };
    read().ok_or_else(|| RegisterError::Unavailable { cause: format!("register {} is not readable by this version", register.name) })
}
