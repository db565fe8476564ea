//! The state of an entity now.

use std::sync::Arc;

use journal::{EntityKey, ReadError};

use super::Entities;
use super::kind::Kind;
use super::live::Durable;
use super::slot::Slot;
use crate::flight::Flight;
use crate::isolation::state_of;
use crate::limits::DECIDE_ATTEMPTS_MAX;
use crate::request::{StateError, StateRead};

/// A state, and what must have landed before it may leave.
struct Seen {
    /// `None` when the entity has never had an event, or is deleted.
    state: Option<Vec<u8>>,
    sequence: u64,
    durable: Durable,
    flight: Option<Arc<Flight>>,
}

impl Entities {
    /// The state now. `stale` does not wait for what is on its way: it may show what never happens.
    pub(crate) async fn state_now(&self, kind: &Arc<Kind>, entity: &EntityKey, stale: bool) -> Result<Option<StateRead>, StateError> {
        let slot = self.cache.slot(entity, kind);
        let mut is_newest = stale || !self.is_shared;
        for _ in 0..DECIDE_ATTEMPTS_MAX {
            let Some(mut seen) = look(&slot)? else {
                self.ready(&slot).await?;
                continue;
            };
            if !std::mem::replace(&mut is_newest, true) {
                // What was loaded, be it for somebody who asked before, may be older than what others have been told since.
                self.catch_up(&slot).await?;
                continue;
            }
            if let Some(flight) = seen.flight.take().filter(|_| !stale) {
                match flight.landed().await {
                    Ok(committed) => seen.durable = Durable { time: committed.time, cursor: Some(committed.cursor) },
                    Err(_) => {
                        slot.forget(&flight);
                        continue;
                    }
                }
            }
            return self.shown(seen).await;
        }
        let cause = format!("{entity} changed {DECIDE_ATTEMPTS_MAX} times while it was read");
        Err(StateError::Read(ReadError::Unavailable { cause }))
    }

    async fn shown(&self, seen: Seen) -> Result<Option<StateRead>, StateError> {
        let Some(state) = seen.state else { return Ok(None) };
        let cursor = match seen.durable.cursor {
            Some(cursor) => cursor,
            None => self.journal.head().await?,
        };
        Ok(Some(StateRead { state: state.into(), sequence: seen.sequence, time: seen.durable.time, cursor }))
    }
}

/// Looks at a slot; `None` when it is cold.
fn look(slot: &Slot) -> Result<Option<Seen>, StateError> {
    let mut locked = slot.lock();
    let Some(live) = locked.live() else { return Ok(None) };
    let (sequence, durable, flight) = (live.sequence(), live.durable(), live.seen());
    if !live.is_there() {
        return Ok(Some(Seen { state: None, sequence, durable, flight }));
    }
    match state_of(live.entity()) {
        Ok(state) => Ok(Some(Seen { state: Some(state), sequence, durable, flight })),
        Err(unreadable) => Err(StateError::Unreadable { message: format!("{}: {unreadable}", slot.key) }),
    }
}
