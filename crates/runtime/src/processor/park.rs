//! Parking: a key, or an entity whose event has no key, waits for a person, and what comes later waits behind it in the journal.

use journal::{Cursor, EntityKey, Position, Recorded};

use super::session::{End, Session};
use super::why::Why;
use crate::delivery::{Failure, HeldKey};

impl Session<'_> {
    pub(super) async fn park_source(&mut self, event: &Recorded, why: Why) -> Result<(), End> {
        let parked = self.parked(event, &event.entity, why);
        self.park(&event.entity, parked).await
    }

    pub(super) async fn park_key(&mut self, key: &EntityKey, event: &Recorded, why: Why) -> Result<(), End> {
        let parked = self.parked(event, key, why);
        self.park(key, parked).await
    }

    pub(super) async fn park_woken(&mut self, key: &EntityKey, due: i64, why: Why) -> Result<(), End> {
        let now = self.shared.seams.clock.now();
        // All before it is folded, and all behind it waits.
        let folded = match &self.going_on {
            Some((going, next)) if going == key => waits_from(next).saturating_sub(1),
            _ => self.read,
        };
        let place = self.shared.seams.journal.lineage().cursor(folded);
        let mut parked = HeldKey::woken(key, due, place, now);
        parked.note(&Failure::Park { cause: why.text }, why.whose, now);
        let (journal, processor) = (&*self.shared.seams.journal, &*self.shared.processor);
        // What it was woken for is kept: it is due when the key goes on.
        self.keys.load(journal, processor, self.progress.generation, key).await?.wakes.insert(due);
        self.park(key, parked).await
    }

    pub(super) async fn park(&mut self, key: &EntityKey, parked: HeldKey) -> Result<(), End> {
        self.load(key).await?;
        self.keys.park(key, parked);
        self.going_on.take_if(|(going, _)| going == key);
        self.draft.touch(key);
        Ok(())
    }

    /// The record of a key that an event parks: a processor's own, or the event's entity.
    pub(super) fn parked(&self, event: &Recorded, key: &EntityKey, why: Why) -> HeldKey {
        let now = self.shared.seams.clock.now();
        let mut parked = HeldKey::new(event, self.shared.seams.journal.lineage(), 1, now);
        let Why { text, whose } = why.over(event, self.stamp);
        parked.note(&Failure::Park { cause: text }, whose, now);
        (parked.kind, parked.id, parked.parked) = (key.kind().to_owned(), key.id().to_owned(), true);
        parked
    }
}

/// The first place at which something waits behind a parked key: the event that parked it, or what comes after the wake that did.
pub(super) fn waits_from(parked: &HeldKey) -> Position {
    let place = parked.cursor.parse::<Cursor>().map_or(0, |cursor| cursor.position());
    if parked.is_wake() { place + 1 } else { place }
}
