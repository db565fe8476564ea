//! What other nodes record comes into the states that this one has in memory, so that few commands are decided on a state that is no longer the
//! newest.
//!
//! Nothing rests on it. It reads behind the others, and what comes late is caught where it always was: by the head that a commit expects, and by
//! the look before an answer without one. Without it, a command for an entity that another node has written since loses to that, and its entity is
//! loaded again.

use std::sync::Arc;

use journal::{ReadMode, Recorded, Selection};

use super::Entities;
use crate::delivery::stopped;
use crate::limits::ENGINE_RETRY_MIN;
use crate::seams::Tasks;

impl Entities {
    /// Reads what is recorded from now on in the background, until a [`stop`](Self::stop). Where nobody else records there is nothing to read.
    pub(crate) fn keep_abreast(self: &Arc<Self>, tasks: &Arc<dyn Tasks>) {
        if !self.is_shared {
            return;
        }
        let (this, mut stop, clock) = (Arc::clone(self), self.stop.subscribe(), Arc::clone(tasks));
        let read = async move {
            loop {
                this.read_on().await;
                clock.sleep(ENGINE_RETRY_MIN).await;
            }
        };
        tasks.spawn(Box::pin(async move {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => {}
                () = read => {}
            }
        }));
    }

    /// States are no longer kept abreast of other nodes.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Until the journal cannot be read. What is recorded until the next time is caught as the module says.
    pub(super) async fn read_on(&self) {
        let Ok(head) = self.journal.head().await else { return };
        let types = self.names.iter().map(|name| (*name).into()).collect();
        let mut events = self.journal.read(Selection::Types(types), head, ReadMode::Live);
        while let Some(Ok(event)) = events.next_event().await {
            self.take_in(&event);
        }
    }

    /// Takes an event into the state that it follows on, if that is in memory.
    pub(super) fn take_in(&self, event: &Recorded) {
        let Some(slot) = self.cache.known(&event.entity) else { return };
        let mut state = slot.lock();
        let Some(live) = state.live() else { return };
        // This node's own, or one that was loaded.
        if event.sequence <= live.sequence() {
            return;
        }
        // What is on its way is lost, and with it the state, as soon as that is known.
        if live.seen().is_some() {
            return;
        }
        // An erasure that has begun since takes the state with it.
        let is_of_now = live.at() == self.mint.begun_erasures();
        let is_taken = is_of_now && live.take_in(&slot.kind, event, self.journal.lineage().cursor(event.position));
        if !is_taken {
            state.reset();
        }
        let weight = state.as_live().map_or(0, |live| live.weight());
        drop(state);
        self.cache.weigh(&slot, weight);
    }
}
