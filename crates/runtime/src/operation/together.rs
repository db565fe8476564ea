//! An operation over named entities: decided under the locks of all their slots, taken in key order, and appended in one
//! commit that expects the head of each, written or not.
//!
//! The slots move on with it like with a command of their own, so that commands and operations on the same entities share a
//! sync and do not conflict within one process. The first entity carries the command record, even without events of its
//! own; the others get ids that derive from it.

use std::sync::{Arc, MutexGuard};

use bytes::Bytes;
use component::hosted::{LiveEntity, OperationAccepted, OperationSeen};
use journal::{Commit, EventData};

use super::{Run, recordable};
use crate::entity::attempt::{Quiet, Step};
use crate::entity::live::{Live, Taken, payload_bytes};
use crate::entity::slot::{Seat, State};
use crate::flight::Flight;
use crate::isolation::isolated;
use crate::request::{CommandError, CommandOutcome};

/// What is left of a decision that cannot be kept: why, and whether the states were changed by it.
struct Stopped {
    error: CommandError,
    changed: bool,
}

impl Run<'_> {
    pub(super) async fn together(&self, named: Vec<(&'static str, String)>) -> Result<CommandOutcome, CommandError> {
        let seats = self.seats(&named)?;
        if seats.is_empty() {
            return Err(self.broken("it names no entity"));
        }
        self.entities.attempt(&seats, &self.asked, || self.decide(&seats)).await
    }

    /// A seat at each entity, in the order in which the operation names them.
    fn seats(&self, named: &[(&'static str, String)]) -> Result<Vec<Seat>, CommandError> {
        let mut seats: Vec<Seat> = Vec::with_capacity(named.len());
        for (kind, id) in named {
            let (hosted, key) = self.entity(kind, id)?;
            if seats.iter().any(|seat| seat.key == key) {
                return Err(self.broken(&format!("it names {key} twice")));
            }
            seats.push(self.entities.seat(hosted, &key)?);
        }
        Ok(seats)
    }

    fn decide(&self, seats: &[Seat]) -> Step {
        let mut locked = lock_all(seats);
        if locked.iter_mut().any(|(_, state)| state.live().is_none()) {
            return Step::Cold;
        }
        let mut lives = by_seat(&mut locked);
        if let Some(taken) = lives[0].on_its_way(&self.asked) {
            return Step::Joined(taken.clone());
        }
        if lives.iter().any(|live| live.is_crowded(self.entities.limits.entity_queue_max)) {
            return Step::Answer { answer: Err(self.entities.crowded()), seen: Vec::new() };
        }
        let seen: Vec<_> = lives.iter().filter_map(|live| live.seen()).collect();
        let sequence = lives[0].sequence();
        match self.run_rule(seats, &mut lives) {
            Ok((events, reply)) if events.iter().all(Vec::is_empty) => Step::Answer { answer: Ok(Quiet { reply, sequence }), seen },
            Ok((events, reply)) => {
                let taken = self.launch(seats, &mut lives, &seen, events, reply);
                if self.asked.is_overtaken(&self.entities.mint) {
                    locked.iter_mut().for_each(|(_, state)| state.reset());
                }
                Step::Taken(taken)
            }
            Err(stopped) => {
                if stopped.changed {
                    locked.iter_mut().for_each(|(_, state)| state.reset());
                }
                Step::Answer { answer: Err(stopped.error), seen }
            }
        }
    }

    /// The operation's decision: events for each entity, in the order of the seats.
    fn run_rule(&self, seats: &[Seat], lives: &mut [&mut Live]) -> Result<(Vec<Vec<EventData>>, Bytes), Stopped> {
        let time = lives.iter().map(|live| live.durable().time).max().unwrap_or_default();
        let context = self.asked.context_for(&seats[0].key, lives[0].sequence(), time, &self.entities.mint);
        let mut states: Vec<Box<dyn LiveEntity>> = lives.iter_mut().map(|live| live.lend()).collect();
        let decided = isolated(|| self.operation.decide(&self.asked.body, OperationSeen::Entities(&mut states), &context));
        for (live, state) in lives.iter_mut().zip(states) {
            live.give_back(state);
        }
        match decided {
            Ok(Ok(accepted)) => self.events_by_seat(seats, accepted).map_err(|error| Stopped { error, changed: true }),
            Ok(Err(refusal)) => Err(Stopped { error: CommandError::Refused(refusal), changed: false }),
            Err(panic) => Err(Stopped { error: self.broken(&panic.during("it")), changed: true }),
        }
    }

    fn events_by_seat(&self, seats: &[Seat], accepted: OperationAccepted) -> Result<(Vec<Vec<EventData>>, Bytes), CommandError> {
        let mut by_seat: Vec<Vec<EventData>> = seats.iter().map(|_| Vec::new()).collect();
        for (kind, id, events) in accepted.events {
            let place = seats.iter().position(|seat| seat.key.kind() == kind && seat.key.id() == id);
            let place = place.ok_or_else(|| self.broken(&format!("it records on {kind}/{id}, which it did not name")))?;
            by_seat[place].extend(recordable(&seats[place].kind, events)?);
        }
        Ok((by_seat, accepted.reply.into()))
    }

    /// Hands the commit to the journal, under all locks. Gives what the first entity remembers of it.
    fn launch(&self, seats: &[Seat], lives: &mut [&mut Live], seen: &[Arc<Flight>], events: Vec<Vec<EventData>>, reply: Bytes) -> Taken {
        let first = &seats[0].key;
        let expect = seats.iter().zip(&*lives).map(|(seat, live)| (seat.key.clone(), live.expect())).collect();
        let (mut commands, mut changed) = (Vec::new(), Vec::new());
        for (place, events) in events.into_iter().enumerate().filter(|(place, events)| *place == 0 || !events.is_empty()) {
            let key = seats[place].key.clone();
            changed.push((place, lives[place].sequence() + events.len() as u64, payload_bytes(&events)));
            commands.push(match place {
                0 => self.asked.record(key, reply.clone(), events),
                _ => self.asked.further_record(first, commands.len(), key, events),
            });
        }
        let flight = Flight::launch(&self.entities.journal, Commit { commands, expect, ..Commit::default() }, seen);
        for (index, (place, sequence, bytes)) in changed.iter().enumerate() {
            lives[*place].launched(self.asked.taken(reply.clone(), index, *sequence, &flight), *bytes);
            if self.entities.snapshots.is_some() {
                lives[*place].draft_snapshot(self.entities.limits.snapshot_every_events, &flight);
            }
        }
        self.asked.taken(reply, 0, changed[0].1, &flight)
    }
}

/// Locks all slots, in key order, so that two operations never wait for each other. Each lock comes with its seat's place.
fn lock_all(seats: &[Seat]) -> Vec<(usize, MutexGuard<'_, State>)> {
    let mut order: Vec<usize> = (0..seats.len()).collect();
    order.sort_by(|one, other| seats[*one].key.cmp(&seats[*other].key));
    order.into_iter().map(|place| (place, seats[place].lock())).collect()
}

/// The entities behind the locks, in the order of the seats.
fn by_seat<'a>(locked: &'a mut [(usize, MutexGuard<'_, State>)]) -> Vec<&'a mut Live> {
    let mut lives: Vec<_> = locked.iter_mut().filter_map(|(place, state)| Some((*place, state.as_live()?))).collect();
    lives.sort_by_key(|(place, _)| *place);
    lives.into_iter().map(|(_, live)| live).collect()
}
