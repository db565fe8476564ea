//! The look at a consumer from time to time: what it has to do that it has not read, and whether it has stalled.
//!
//! A consumer at work tells what it has taken. What stands behind its place is looked up here, for one that does not work or does not
//! read on: the next event, once for each place, and never for whoever asks how it is. The look is a task of its own, so that a
//! consumer that hangs is seen as well.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use journal::{Cursor, EntityKey, Position, ReadError, ReadMode, Recorded, Selection, Timestamp};
use tokio::sync::watch as channel;

use super::held::HeldRegisters;
use super::lease::{self, Lease};
use super::session::DeliveryError;
use super::status::{ConsumerState, ConsumerStatus, Reached, StatusCell};
use super::{Seams, stopped};
use crate::limits::{HELD_KEYS_MAX, STALL_LOOK, STALL_LOOK_IDLE};
use crate::node::Share;
use crate::stall::{Moment, Stall, Stillness, Work};

/// Whose progress is looked at.
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) selection: Selection,
    /// Of which slices its events are.
    pub(crate) share: Share,
    /// How long one run may take.
    pub(crate) run_time: Duration,
    /// Whether clients run its events.
    pub(crate) is_elsewhere: bool,
}

/// Looks at a consumer until it stops.
pub(crate) async fn watch((watched, seams, status): (Watched, Arc<Seams>, Arc<StatusCell>), mut stop: channel::Receiver<bool>) {
    let mut watch = Watch { watched, seams, status, still: Stillness::default(), known: Known::default(), stalled: false };
    let mut pause = STALL_LOOK;
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            () = watch.status.changed() => {}
            () = watch.seams.tasks.sleep(pause) => {}
        }
        let looked = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            looked = watch.look() => looked,
        };
        pause = if looked == Work::None { STALL_LOOK_IDLE } else { STALL_LOOK };
    }
}

struct Watch {
    watched: Watched,
    seams: Arc<Seams>,
    status: Arc<StatusCell>,
    still: Stillness<Reached>,
    known: Known,
    stalled: bool,
}

/// What was looked up, for every place from `from` on.
#[derive(Default)]
struct Known {
    from: Position,
    /// The next event.
    found: Option<Found>,
    /// There is nothing for it up to here.
    nothing_upto: Position,
}

/// An event that has not ended.
#[derive(Clone)]
struct Found {
    position: Position,
    time: Timestamp,
    words: String,
}

impl Found {
    fn new(event: &Recorded) -> Self {
        let words = format!("{}/{} of `{}` (event {})", event.entity.kind(), event.name, event.entity.id(), event.id);
        Self { position: event.position, time: event.time, words }
    }
}

/// Why a consumer takes no further events that holds as many keys as it may, and whether a person can do something about them.
fn full(parked: usize, misses_keys: bool) -> String {
    let held = HELD_KEYS_MAX.saturating_sub(parked);
    let remedy = match (parked > held, misses_keys) {
        (true, _) => "redrive or discard some",
        (false, true) => "keys of the key store are missing (HW0092): it goes on once its newest copy is back",
        (false, false) => "it goes on once they run again; `destination list` says who is down",
    };
    format!("it holds {HELD_KEYS_MAX} keys, which is the bound: {parked} are parked, {held} wait for a retry or a destination; {remedy}")
}

impl Watch {
    async fn look(&mut self) -> Work {
        let (status, reached) = self.status.look();
        let work = self.work(&status).await;
        let now = Moment { elapsed: self.seams.tasks.elapsed(), time: self.seams.clock.now() };
        // A run may take its time, and is cut after it.
        let bound = self.seams.stall_after.saturating_add(self.watched.run_time);
        match self.still.look(reached, work, now, bound) {
            Some(since) => {
                let cause = self.cause(&status).await;
                if !std::mem::replace(&mut self.stalled, true) {
                    (self.seams.notices)(&format!("consumer {} has stalled: {cause}", status.name));
                }
                self.status.stall(Some(Stall { since, cause }));
            }
            None if std::mem::take(&mut self.stalled) => {
                (self.seams.notices)(&format!("consumer {} goes on", status.name));
                self.status.stall(None);
            }
            None => {}
        }
        work
    }

    async fn work(&mut self, status: &ConsumerStatus) -> Work {
        match status.state {
            ConsumerState::Unplaced => Work::Blocked,
            ConsumerState::Stopped | ConsumerState::Elsewhere => Work::None,
            ConsumerState::Working if status.under_way > 0 => {
                // Who tells what it has begun, and not since when.
                if status.oldest_undelivered_at.is_none() {
                    self.next_in_time(status).await;
                }
                Work::Due
            }
            _ => match self.next_in_time(status).await {
                Some(Ok(None)) => Work::None,
                // What cannot be known is as good as something.
                Some(Ok(Some(_)) | Err(_)) | None => Work::Due,
            },
        }
    }

    /// Why it does not move, and what helps.
    async fn cause(&mut self, status: &ConsumerStatus) -> String {
        let name = &status.name;
        match &status.state {
            ConsumerState::Unplaced => return format!("its place is lost; give it one with `consumer place {name} AT`"),
            ConsumerState::Waiting { cause } => return cause.clone(),
            ConsumerState::Starting => return "it has not begun: the engine does not answer".into(),
            ConsumerState::Working | ConsumerState::Stopped | ConsumerState::Elsewhere => {}
        }
        if status.held + status.parked >= HELD_KEYS_MAX {
            return full(status.parked, self.seams.runs.subjects().is_some_and(|subjects| subjects.misses_keys()));
        }
        if status.under_way == 0 {
            return "the journal gives it nothing, though there is something for it".into();
        }
        let oldest = match self.next_in_time(status).await {
            Some(Ok(Some(found))) => format!("; the oldest is {}", found.words),
            _ => String::new(),
        };
        if self.watched.is_elsewhere {
            return format!("{} events wait for its clients, and none was acknowledged{oldest}", status.under_way);
        }
        format!("{} events are under way, and none has ended{oldest}", status.under_way)
    }

    /// The first event for it behind its place, unless the engine does not say so before the next look.
    async fn next_in_time(&mut self, status: &ConsumerStatus) -> Option<Result<Option<Found>, DeliveryError>> {
        let tasks = Arc::clone(&self.seams.tasks);
        let found = tokio::select! {
            biased;
            found = self.next(status.cursor) => Some(found),
            () = tasks.sleep(STALL_LOOK) => None,
        };
        if let Some(Ok(found)) = &found {
            self.status.next(found.as_ref().map(|found| (found.position, found.time)));
        }
        found
    }

    async fn next(&mut self, cursor: Option<Cursor>) -> Result<Option<Found>, DeliveryError> {
        let from = self.place(cursor).await?;
        if from < self.known.from {
            // It has gone back.
            self.known = Known { from, ..Known::default() };
        }
        if let Some(found) = self.known.found.as_ref().filter(|found| found.position > from) {
            return Ok(Some(found.clone()));
        }
        let journal = Arc::clone(&self.seams.journal);
        let head = journal.head().await?.position();
        self.known.from = from;
        let from = from.max(self.known.nothing_upto);
        if from >= head {
            return Ok(None);
        }
        let held = self.held().await?;
        let selection = self.watched.share.of(&self.watched.selection);
        let mut events = journal.read(selection, journal.lineage().cursor(from), ReadMode::ToHead);
        let mut waits_behind_held = false;
        while let Some(event) = events.next_event().await {
            let event = event?;
            if !self.watched.share.has(event.entity.slice()) {
                continue;
            }
            if held.contains(&event.entity) {
                waits_behind_held = true;
                continue;
            }
            self.known.found = Some(Found::new(&event));
            return Ok(self.known.found.clone());
        }
        if !waits_behind_held {
            self.known.nothing_upto = head;
        }
        Ok(None)
    }

    /// Where it is; one that has not begun is where its register says.
    async fn place(&self, cursor: Option<Cursor>) -> Result<Position, DeliveryError> {
        let journal = &self.seams.journal;
        let cursor = match cursor {
            Some(cursor) => cursor,
            None => match self.seams.registers.get(&Lease::register(&self.watched.name, self.watched.share)).await? {
                Some(register) => lease::decode(&register)?.place.cursor,
                None => return Err(DeliveryError::Read(ReadError::Unavailable { cause: "it has no place yet".into() })),
            },
        };
        let head = journal.head().await?.position();
        let position = journal.lineage().resolve(cursor, head, 0).map_err(|error| DeliveryError::Read(ReadError::Cursor(error)))?;
        Ok(position)
    }

    async fn held(&self) -> Result<HashSet<EntityKey>, DeliveryError> {
        let held = HeldRegisters::new(&self.seams, &self.watched.name).list().await?;
        Ok(held.iter().map(|(_, record)| record.key()).collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_as_many_keys_as_it_may_is_told_whether_a_person_can_help() {
        assert_eq!(
            full(HELD_KEYS_MAX, false),
            "it holds 10000 keys, which is the bound: 10000 are parked, 0 wait for a retry or a destination; redrive or discard some"
        );
        let outage = full(3, false);
        assert!(outage.contains("3 are parked, 9997 wait") && !outage.contains("discard"), "{outage}");
    }
}
