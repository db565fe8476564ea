//! Loading: from the journal's head of an entity, its snapshot and the events behind it, to a live slot.
//!
//! One task loads, the others wait for it; when it goes away, the next one takes over. A load reads durable events only.

use component::hosted::Unreadable;
use component::hosted::personal_mark::replace_marks;
use journal::Head;
use serde_json::Value as Json;

use super::Entities;
use super::live::Live;
use super::raise::Standing;
use super::replay::Replay;
use super::slot::Slot;
use super::snapshots::Draft;
use crate::isolation::state_of;
use crate::personal::runs::aged_state;
use crate::request::StateError;

impl Entities {
    /// Forgets a state that is older than what others have recorded by now; whether it was.
    pub(super) async fn catch_up(&self, slot: &Slot) -> Result<bool, StateError> {
        if !self.is_shared || !slot.is_live() {
            return Ok(false);
        }
        let Some(head) = self.journal.entity_head(&slot.key).await? else { return Ok(false) };
        let mut state = slot.lock();
        let is_older = state.as_live().is_some_and(|live| live.sequence() < head.sequence);
        if is_older {
            state.reset();
        }
        Ok(is_older)
    }

    /// Makes a slot live, if nobody has.
    pub(crate) async fn ready(&self, slot: &Slot) -> Result<(), StateError> {
        let _turn = slot.loading.lock().await;
        if slot.is_live() {
            return Ok(());
        }
        loop {
            // A round that an erasure has overtaken may leave commits behind that began on its state.
            for flight in slot.awaited_by_load().unwrap_or_default() {
                // Either way it has ended: what it left, if anything, is in the journal now.
                let _ended = flight.landed().await.is_ok();
            }
            let live = self.load(slot).await?;
            let (at, weight) = (live.at(), slot.install(live));
            self.cache.weigh(slot, weight);
            // An erasure that began meanwhile may have forgotten all states before this one was there.
            if self.mint.begun_erasures() == at {
                return Ok(());
            }
            slot.lock().reset();
        }
    }

    async fn load(&self, slot: &Slot) -> Result<Live, StateError> {
        let at = self.mint.begun_erasures();
        // The head is linearizable, which the end of a read is not promised to be.
        let head = self.journal.entity_head(&slot.key).await?;
        slot.kind.newcomers.note(head.is_none());
        let Some(head) = head else { return Ok(Live::new(Replay::fresh(&slot.kind)?, None, at)) };
        let cursor = Some(self.journal.lineage().cursor(head.position));
        if head.deleted {
            let mut replay = Replay::fresh(&slot.kind)?;
            (replay.sequence, replay.time, replay.deleted, replay.snapshot_sequence) = (head.sequence, head.time, true, head.sequence);
            return Ok(Live::new(replay, cursor, at));
        }
        let mut replay = self.newest(slot, &head).await?;
        replay.run(&self.journal, (&slot.kind, &slot.key), head.sequence, None).await?;
        replay.is_known(&slot.key)?;
        self.keep_long_replay(slot, &mut replay, at);
        Ok(Live::new(replay, cursor, at))
    }

    /// The newest state below the head that needs no replay.
    async fn newest(&self, slot: &Slot, head: &Head) -> Result<Replay, StateError> {
        let Slot { kind, key, .. } = slot;
        let fits = |snapshot: &Draft| snapshot.sequence < head.sequence || snapshot.sequence == head.sequence && snapshot.time == head.time;
        let wants = |build: &str| build == kind.state_build() || kind.raised.standing(build) != Standing::PassedBy;
        let snapshot = self.snapshots.as_ref().and_then(|snapshots| snapshots.newest(key, wants));
        match snapshot.filter(|(_, snapshot)| fits(snapshot)) {
            Some((build, snapshot)) if build == kind.state_build() => {
                Replay::restored(kind, &snapshot).map_or_else(|| Replay::fresh(kind), Ok)
            }
            Some((build, snapshot)) => self.raised(slot, (&build, &snapshot)).await,
            None => Replay::fresh(kind),
        }
    }

    /// From a snapshot of an older version of the state. Until that version has proven itself, from the events too.
    async fn raised(&self, slot: &Slot, (build, snapshot): (&str, &Draft)) -> Result<Replay, StateError> {
        let Slot { kind, key, .. } = slot;
        let place = (key, snapshot.sequence, build);
        let raised = match Replay::raised(kind, build, snapshot) {
            Ok(raised) if kind.raised.standing(build) == Standing::Proven => return Ok(raised),
            Ok(raised) => state_of(&*raised.entity),
            Err(unreadable) => {
                kind.raised.fails(place, &format!("does not convert: {}", unreadable.message));
                return Replay::fresh(kind);
            }
        };
        let mut made = Replay::fresh(kind)?;
        made.run(&self.journal, (kind, key), snapshot.sequence, None).await?;
        let is_known = made.sequence == snapshot.sequence && made.unknown.is_none();
        if let (true, Some(raised), Some(known)) = (is_known, comparable(raised), comparable(state_of(&*made.entity))) {
            kind.raised.prove(place, &raised, &known);
        }
        Ok(made)
    }

    /// Keeps a snapshot of a state that took many events to build, so that the next load is short.
    fn keep_long_replay(&self, slot: &Slot, replay: &mut Replay, at: u64) {
        let Some(snapshots) = &self.snapshots else { return };
        if replay.sequence - replay.snapshot_sequence < self.limits.snapshot_every_events {
            return;
        }
        if let Ok(state) = state_of(&*replay.entity) {
            let state = aged_state(state, at);
            snapshots.put(&slot.key, slot.kind.state_build(), Draft { sequence: replay.sequence, time: replay.time, state });
            replay.snapshot_sequence = replay.sequence;
        }
    }
}

/// A state as JSON, its personal values with whose they are. When each was read is not compared.
fn comparable(state: Result<Vec<u8>, Unreadable>) -> Option<Json> {
    let state = state.ok()?;
    let whole = replace_marks(&state, || (), |mark| serde_json::to_vec(&(mark.subject, mark.value)).map_err(|_| ())).ok()?;
    serde_json::from_slice(whole.as_deref().unwrap_or(&state)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(state: &str) -> Option<Json> {
        comparable(Ok(state.as_bytes().to_vec()))
    }

    #[test]
    fn states_that_differ_in_a_personal_value_or_in_whose_it_is_are_not_equal() {
        let state = |mark: &str| compared(&format!(r#"{{"name":{mark},"n":1}}"#));
        let ann = state(r#"{"$personal":{"subject":"customer/c1","at":1,"value":"Ann"}}"#);
        assert!(ann.is_some());
        assert_eq!(ann, state(r#"{"$personal":{"subject":"customer/c1","at":7,"value":"Ann"}}"#), "read after another erasure");
        for other in [
            r#"{"$personal":{"subject":"customer/c1","at":1,"value":"Bea"}}"#,
            r#"{"$personal":{"subject":"customer/c2","at":1,"value":"Ann"}}"#,
            r#"{"$personal":{"at":1,"value":"Ann"}}"#,
            "null",
        ] {
            assert_ne!(ann, state(other), "{other}");
        }
    }
}
