//! The first command of an entity, where most entities that are not in memory are new ones.
//!
//! Whether an entity is there is a question to a server; whoever commits hears the answer anyway. So where cold entities of a type have turned out to
//! be new, a command for one is decided on the state that nothing has happened to, and committed on the condition that nothing has. Nobody
//! else sees that state before its commit has landed, and no answer without a commit is given from it: then, and when the entity was there, it is
//! loaded, and the command decided as any. A guess that was wrong costs a round trip.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::Entities;
use super::attempt::{Step, Verdict};
use super::live::Live;
use super::replay::Replay;
use super::slot::{Seat, State};
use crate::asked::Asked;
use crate::limits::{NEWCOMERS_LIKELY, NEWCOMERS_MAX};
use crate::request::{CommandError, CommandOutcome, Expectation};

/// Whether cold entities of a type are new ones: a count that each new one raises, and each other one lowers by two.
#[derive(Default)]
pub(crate) struct Newcomers(AtomicU32);

impl Newcomers {
    pub(super) fn are_likely(&self) -> bool {
        self.0.load(Relaxed) >= NEWCOMERS_LIKELY
    }

    /// What was cold was new, or was not.
    pub(super) fn note(&self, is_new: bool) {
        // Whichever of two goes first: it is a guess.
        let count = self.0.load(Relaxed);
        self.0.store(if is_new { (count + 1).min(NEWCOMERS_MAX) } else { count.saturating_sub(2) }, Relaxed);
    }
}

impl Entities {
    /// Runs a command as the first one of its entity, if that is likely; `None` when it is not, or was not the first.
    pub(super) async fn as_first(&self, seat: &Seat, asked: &Asked, expect: Expectation) -> Option<Result<CommandOutcome, CommandError>> {
        let newcomers = &seat.kind.newcomers;
        let is_met = seat.was_here.load(Relaxed) || self.repeats.are_expected() || !newcomers.are_likely();
        if is_met || !self.is_shared || asked.beside.is_some() {
            return None;
        }
        let turn = seat.loading.lock().await;
        if seat.awaited_by_load().is_none_or(|unsettled| !unsettled.is_empty()) {
            return None;
        }
        let at = self.mint.begun_erasures();
        let fresh = Replay::fresh(&seat.kind).ok()?;
        let mut state = State::Live(Box::new(Live::new(fresh, None, at)));
        let Step::Taken(taken) = self.decide_on(seat, &mut state, asked, expect) else { return None };
        // If nobody waits for it any more, the next load does.
        seat.await_in_load(&taken.flight);
        let is_first = taken.flight.landed().await.is_ok();
        newcomers.note(is_first);
        if let (true, State::Live(live)) = (is_first, state) {
            let weight = seat.install(*live);
            self.cache.weigh(seat, weight);
            // An erasure that began meanwhile may have forgotten all states before this one was there.
            if self.mint.begun_erasures() != at {
                seat.lock().reset();
            }
        }
        drop(turn);
        match self.follow(std::slice::from_ref(seat), asked, Step::Taken(taken)).await {
            Verdict::Answer(Err(CommandError::TooLarge { .. } | CommandError::Refused(_))) | Verdict::Again => None,
            Verdict::Answer(answer) => Some(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ones_in_a_row_make_the_next_likely_and_others_make_it_unlikely_sooner() {
        let newcomers = Newcomers::default();
        (0..NEWCOMERS_LIKELY).for_each(|_| {
            assert!(!newcomers.are_likely());
            newcomers.note(true);
        });
        assert!(newcomers.are_likely());
        newcomers.note(false);
        assert!(!newcomers.are_likely());
        (0..100).for_each(|_| newcomers.note(true));
        (0..=(NEWCOMERS_MAX - NEWCOMERS_LIKELY) / 2).for_each(|_| newcomers.note(false));
        assert!(!newcomers.are_likely());
    }
}
