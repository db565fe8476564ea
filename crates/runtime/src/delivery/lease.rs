//! A consumer's lease: the register that holds its epoch and its place.
//!
//! ```text
//! consumer/{name}[/{share}]   epoch u64 big-endian | JSON { owner, cursor, ceiling, suspect, ahead }
//! ```
//!
//! On an engine of many nodes there is one for each share of the slices, from `00` on, and `owner` is the node that has it. `ahead` is there
//! only where such ones were joined (`shares`): `{ share: cursor }`, of those that had got further than `cursor`.
//!
//! Every write is a compare-and-set on the revision that this owner wrote last, so that a stale owner is refused by storage.
//! `cursor` is how far everything has ended. `ceiling` is how far anything may have begun: it is written before a run beyond it
//! begins, thousands of events at a time, so that after the end of a process it is known which events may have ended it.
//! These are then run one at a time, each with a `suspect` record of its own before it begins.
//!
//! Which node is to have it, and whether it is free, says the [`Post`]. An engine in one directory has one process; its next one takes the
//! lease over at once, under a higher epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use journal::{Cursor, Fence, Register, RegisterError, RegisterExpect, Registers, Revision, epoch_of};
use serde::{Deserialize, Serialize};

use crate::node::{Post, Share};

/// What the names of all leases begin with.
pub(crate) const PREFIX: &str = "consumer/";

/// Where a consumer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) cursor: Cursor,
    pub(super) ceiling: Cursor,
    pub(super) suspect: Option<Suspect>,
    /// How far shares are that have got further, see [`Ahead`](super::shares::Ahead).
    pub(super) ahead: BTreeMap<u16, Cursor>,
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
        Self { cursor, ceiling: cursor, suspect: None, ahead: BTreeMap::new() }
    }
}

/// See the module.
pub(super) struct Lease {
    registers: Arc<dyn Registers>,
    name: String,
    owner: Option<String>,
    epoch: u64,
    revision: Revision,
    written: Place,
}

/// What came of reaching for a lease.
pub(super) enum Reach {
    Taken(Lease),
    /// Another node has it.
    NotFree,
    /// There is no register.
    Absent,
}

impl Lease {
    /// The register of a share of a consumer.
    pub(super) fn register(consumer: &str, share: Share) -> String {
        format!("{PREFIX}{consumer}{}", share.suffix())
    }

    /// Takes the lease over, if it is free.
    pub(super) async fn take(
        registers: &Arc<dyn Registers>,
        (consumer, share): (&str, Share),
        post: &Post,
    ) -> Result<Reach, RegisterError> {
        let name = Self::register(consumer, share);
        loop {
            let Some(register) = registers.get(&name).await? else { return Ok(Reach::Absent) };
            let Kept { epoch, owner, place } = decode(&register)?;
            if !post.may_take(owner.as_deref()) {
                return Ok(Reach::NotFree);
            }
            let (registers, owner, revision) = (Arc::clone(registers), post.owner().map(str::to_owned), register.revision);
            let mut lease = Self { registers, name: name.clone(), owner, epoch: epoch + 1, revision, written: place };
            match lease.write(lease.written.clone()).await {
                Ok(()) => return Ok(Reach::Taken(lease)),
                Err(RegisterError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What the register says.
    pub(super) fn place(&self) -> &Place {
        &self.written
    }

    /// How often it has changed hands.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What else is written for the share names it, so that storage refuses it once another owner has taken over.
    pub(super) fn fence(&self) -> Fence {
        Fence { register: self.name.clone(), epoch: self.epoch }
    }

    /// Writes a new place; durable when it returns. A conflict says that another owner has taken over.
    pub(super) async fn write(&mut self, place: Place) -> Result<(), RegisterError> {
        let value = encode(self.epoch, self.owner.as_deref(), &place);
        self.revision = self.registers.put(&self.name, RegisterExpect::Revision(self.revision), value).await?;
        self.written = place;
        Ok(())
    }

    /// Lets another node have it, once all that was begun has ended.
    pub(super) async fn give_up(mut self) -> Result<(), RegisterError> {
        if self.owner.take().is_none() {
            return Ok(());
        }
        self.write(self.written.clone()).await
    }
}

/// Takes this node's name out of a lease that it could not give up.
pub(super) async fn let_go(registers: &Arc<dyn Registers>, (consumer, share): (&str, Share), post: &Post) -> Result<(), RegisterError> {
    let name = Lease::register(consumer, share);
    let Some(register) = registers.get(&name).await? else { return Ok(()) };
    let kept = decode(&register)?;
    if kept.owner.is_none() || kept.owner.as_deref() != post.owner() {
        return Ok(());
    }
    let value = encode(kept.epoch, None, &kept.place);
    match registers.put(&name, RegisterExpect::Revision(register.revision), value).await {
        Ok(_) | Err(RegisterError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the registers of shares that have none; those that are there stay.
pub(super) async fn create(
    registers: &Arc<dyn Registers>,
    consumer: &str,
    shares: impl Iterator<Item = Share> + Send,
    cursor: Cursor,
) -> Result<(), RegisterError> {
    for share in shares {
        let value = encode(0, None, &Place::at(cursor));
        match registers.put(&Lease::register(consumer, share), RegisterExpect::Absent, value).await {
            Ok(_) | Err(RegisterError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    cursor: String,
    ceiling: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspect: Option<StoredSuspect>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ahead: BTreeMap<u16, String>,
}

#[derive(Serialize, Deserialize)]
struct StoredSuspect {
    cursor: String,
    runs: u32,
}

/// What a register says.
pub(super) struct Kept {
    pub(super) epoch: u64,
    pub(super) owner: Option<String>,
    pub(super) place: Place,
}

pub(super) fn encode(epoch: u64, owner: Option<&str>, place: &Place) -> Bytes {
    let suspect = place.suspect.map(|suspect| StoredSuspect { cursor: suspect.place.to_string(), runs: suspect.runs });
    let (cursor, ceiling) = (place.cursor.to_string(), place.ceiling.to_string());
    let ahead = place.ahead.iter().map(|(share, cursor)| (*share, cursor.to_string())).collect();
    let stored = Stored { owner: owner.map(str::to_owned), cursor, ceiling, suspect, ahead };
    let mut bytes = epoch.to_be_bytes().to_vec();
    serde_json::to_writer(&mut bytes, &stored).expect("texts and numbers always encode");
    bytes.into()
}

pub(super) fn decode(register: &Register) -> Result<Kept, RegisterError> {
    let read = || -> Option<Kept> {
        let epoch = epoch_of(&register.value)?;
        let stored: Stored = serde_json::from_slice(register.value.get(8..)?).ok()?;
        let suspect = match stored.suspect {
            Some(suspect) => Some(Suspect { place: suspect.cursor.parse().ok()?, runs: suspect.runs }),
            None => None,
        };
        let ahead = stored.ahead.iter().map(|(share, cursor)| Some((*share, cursor.parse().ok()?))).collect::<Option<_>>()?;
        let place = Place { cursor: stored.cursor.parse().ok()?, ceiling: stored.ceiling.parse().ok()?, suspect, ahead };
        Some(Kept { epoch, owner: stored.owner, place })
    };
    read().ok_or_else(|| RegisterError::Unavailable { cause: format!("register {} is not readable by this version", register.name) })
}
