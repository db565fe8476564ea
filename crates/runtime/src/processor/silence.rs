//! What a new generation does not say, because an earlier one has.

use std::collections::HashMap;

use journal::{EntityKey, Journal, Position, ReadError, Recorded};

use super::draft::output_id;
use super::keys::Keys;
use super::park::waits_from;
use super::record::Progress;
use super::session::{End, Session};

impl Session<'_> {
    /// Whether what comes of an event has not been emitted by an earlier generation.
    pub(super) async fn says(&mut self, key: &EntityKey, event: &Recorded) -> Result<bool, End> {
        if self.progress.silent_until.is_none_or(|until| event.position > until.position()) {
            return Ok(true);
        }
        let is_behind = |place: &Position| event.position >= *place;
        if ![self.unsaid.get(key), self.unsaid.get(&event.entity)].into_iter().flatten().any(is_behind) {
            return Ok(false);
        }
        // One of the generations had parked it; another one may have emitted it all the same.
        let id = output_id(self.shared.name(), event);
        Ok(self.shared.seams.journal.find_command(key, id).await?.is_none())
    }

    /// Whether an earlier generation has woken a key for that already.
    pub(super) fn is_said(&self, key: &EntityKey, due: i64) -> bool {
        let was_parked = self.unsaid.get(key).is_some_and(|place| self.read >= *place);
        self.progress.silent_now.is_some_and(|until| due <= until) && !was_parked
    }

    /// An earlier generation has said nothing of what comes from here on.
    pub(super) fn stop_being_silent(&mut self) {
        self.progress.silent_until.take_if(|until| self.read > until.position());
        let next_wake = self.keys.next_wake();
        let is_quiet = self.progress.silent_until.is_none();
        self.progress.silent_now.take_if(|until| is_quiet && self.progress.now > *until && next_wake.is_none_or(|due| due > *until));
        if is_quiet && self.progress.silent_now.is_none() {
            self.unsaid.clear();
        }
    }
}

/// What earlier generations had parked, and from where on. One that is silent itself leaves the ones before it in force.
pub(super) async fn unsaid(journal: &dyn Journal, name: &str, progress: &Progress) -> Result<HashMap<EntityKey, Position>, ReadError> {
    let mut unsaid = HashMap::new();
    if progress.silent_until.is_none() && progress.silent_now.is_none() {
        return Ok(unsaid);
    }
    for generation in 0..progress.generation {
        for (key, parked) in Keys::read(journal, name, generation).await?.parked() {
            let place = unsaid.entry(key.clone()).or_insert(Position::MAX);
            *place = waits_from(parked).min(*place);
        }
    }
    Ok(unsaid)
}
