//! Histories of concurrent calls on one entity, recorded from outside, and whether one order of them explains all answers.
//!
//! The model is a number, the entity's sequence: an append raises it by one if it is as expected, a look gives it. A history is linearizable
//! when each call can be placed at one moment between its invocation and its return so that every answer follows. The search is Wing and Gong's
//! ("Testing and verifying concurrent objects", 1993) with Lowe's memory of what was tried ("Testing for linearizability", 2017). A call of which nobody knows what came of it
//! never returned: its moment may be any later one, or none.

use std::cell::Cell;
use std::collections::HashSet;

use super::Engine;
use super::draft::{key, note};
use super::patience::join_all;
use crate::commit::Expect;
use crate::error::AppendError;
use crate::key::EntityKey;
use crate::limits::SLICES;
use crate::seams::Random;
use crate::sim::SimRandom;

/// Calls of one history; the search keeps them in the bits of a number.
const CALLS_MAX: usize = 128;

/// A call, and when it was made and answered, on a clock that counts both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Before this, nothing of it can have happened.
    pub invoked: u64,
    /// After this, neither; `None` when it was never answered.
    pub returned: Option<u64>,
    /// What it was, and the answer.
    pub what: Called,
}

/// A call with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// An append of one event, and the sequence that it expects, if it does.
    Append {
        /// The head that it expects.
        expected: Option<u64>,
        /// What came of it.
        answer: Answered,
    },
    /// The head's sequence.
    Look(u64),
}

/// The answer to an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It took effect, and left this sequence.
    Took(u64),
    /// It was refused for this head.
    Refused(u64),
    /// Nobody knows.
    Unknown,
}

/// Whether one order of the calls explains all answers.
///
/// # Panics
/// When there are more calls than 128.
#[must_use]
pub fn is_linearizable(calls: &[Call]) -> bool {
    assert!(calls.len() <= CALLS_MAX, "a history has at most {CALLS_MAX} calls");
    let answered = calls.iter().enumerate().filter(|(_, call)| call.returned.is_some());
    let wanted = answered.fold(0_u128, |set, (place, _)| set | 1 << place);
    let (mut tried, mut waiting) = (HashSet::new(), vec![(0_u128, 0_u64)]);
    while let Some((done, sequence)) = waiting.pop() {
        if done & wanted == wanted {
            return true;
        }
        if tried.insert((done, sequence)) {
            let next = next(calls, done).filter_map(|place| Some((done | 1 << place, calls[place].what.after(sequence)?)));
            waiting.extend(next);
        }
    }
    false
}

/// The calls that may come next: those that were made before any other one that is left had returned.
fn next(calls: &[Call], done: u128) -> impl Iterator<Item = usize> {
    let left = move || (0..calls.len()).filter(move |place| done & (1 << place) == 0);
    let first_return = left().filter_map(|place| calls[place].returned).min().unwrap_or(u64::MAX);
    left().filter(move |place| calls[*place].invoked < first_return)
}

impl Called {
    /// The sequence after it; `None` when its answer does not follow from the one before.
    fn after(self, sequence: u64) -> Option<u64> {
        let Self::Append { expected, answer } = self else { return (self == Self::Look(sequence)).then_some(sequence) };
        let holds = expected.is_none_or(|expected| expected == sequence);
        match answer {
            Answered::Took(left) => (holds && left == sequence + 1).then_some(left),
            Answered::Refused(head) => (!holds && head == sequence).then_some(sequence),
            Answered::Unknown => Some(if holds { sequence + 1 } else { sequence }),
        }
    }
}

/// Has clients of several nodes of one journal call at once, on one entity that follows from the seed; gives the history.
///
/// A client that is not told what came of its append sends it again in one of two cases, and leaves it at that in the other.
///
/// # Panics
/// When an append is refused for a reason that this one cannot have.
pub async fn record(nodes: &[Engine], seed: u64, clients: usize, calls_each: usize) -> Vec<Call> {
    let (entity, clock) = (key(&format!("history {seed}")), Cell::new(0));
    let client = |number: usize| {
        let dice = SimRandom::new(seed.wrapping_mul(u64::from(SLICES)) + number as u64);
        Client { node: &nodes[number % nodes.len()], entity: &entity, clock: &clock, dice, name: format!("{seed}.{number}"), seen: 0 }
    };
    let histories = join_all((0..clients).map(|number| client(number).calls(calls_each))).await;
    histories.into_iter().flatten().collect()
}

struct Client<'a> {
    node: &'a Engine,
    entity: &'a EntityKey,
    clock: &'a Cell<u64>,
    dice: SimRandom,
    name: String,
    /// The last sequence that it was told.
    seen: u64,
}

impl Client<'_> {
    async fn calls(mut self, count: usize) -> Vec<Call> {
        let mut calls = Vec::new();
        for number in 0..count {
            let invoked = self.tick();
            let what = if self.is_heads() { self.look().await } else { self.append(number).await };
            let Some(what) = what else { continue };
            let is_known = !matches!(what, Called::Append { answer: Answered::Unknown, .. });
            calls.push(Call { invoked, returned: is_known.then(|| self.tick()), what });
        }
        calls
    }

    /// `None` when it was not answered.
    async fn look(&mut self) -> Option<Called> {
        let head = self.node.journal.entity_head(self.entity).await.ok()?;
        self.seen = head.map_or(0, |head| head.sequence);
        Some(Called::Look(self.seen))
    }

    /// `None` when nothing can have come of it.
    async fn append(&mut self, number: usize) -> Option<Called> {
        let expected = self.is_heads().then_some(self.seen);
        let expect = expected.map_or(Expect::Any, Expect::Head);
        let commit = note(self.entity, &format!("{}.{number}", self.name)).expecting(self.entity, expect);
        loop {
            let answer = match self.node.journal.append(commit.clone()).await {
                Ok(committed) => Answered::Took(committed.commands[0].sequence),
                Err(AppendError::Duplicate { first, .. }) => Answered::Took(first.sequence),
                Err(AppendError::Conflict { head, .. }) => Answered::Refused(head.map_or(0, |head| head.sequence)),
                Err(AppendError::Unknown { .. }) if self.is_heads() => continue,
                Err(AppendError::Unknown { .. }) => Answered::Unknown,
                Err(AppendError::Unavailable { .. }) => return None,
                Err(error) => panic!("an append that nothing speaks against was refused: {error}"),
            };
            if let Answered::Took(sequence) | Answered::Refused(sequence) = answer {
                self.seen = sequence;
            }
            return Some(Called::Append { expected, answer });
        }
    }

    fn is_heads(&self) -> bool {
        let mut byte = [0];
        self.dice.fill(&mut byte);
        byte[0] < 128
    }

    fn tick(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(invoked: u64, returned: u64, what: Called) -> Call {
        Call { invoked, returned: Some(returned), what }
    }

    fn append(expected: impl Into<Option<u64>>, answer: Answered) -> Called {
        Called::Append { expected: expected.into(), answer }
    }

    fn check(expected: bool, calls: &[Call]) {
        assert_eq!(is_linearizable(calls), expected, "{calls:?}");
    }

    #[test]
    fn calls_at_once_may_have_come_in_any_order() {
        let (one, other) = (append(0, Answered::Took(1)), append(0, Answered::Refused(1)));
        check(true, &[call(1, 4, other), call(2, 3, one)]);
        check(true, &[call(1, 4, append(None, Answered::Took(2))), call(2, 3, append(None, Answered::Took(1)))]);
        check(true, &[call(1, 6, Called::Look(0)), call(2, 3, one), call(4, 5, Called::Look(1))]);
        check(true, &[]);
    }

    #[test]
    fn an_answer_from_before_what_was_answered_is_found() {
        let took = append(None, Answered::Took(1));
        check(false, &[call(1, 2, took), call(3, 4, Called::Look(0))]);
        check(false, &[call(1, 2, took), call(3, 4, append(0, Answered::Refused(0)))]);
        check(false, &[call(1, 2, Called::Look(1)), call(3, 4, took)]);
        check(false, &[call(1, 6, took), call(2, 3, Called::Look(1)), call(4, 5, Called::Look(0))]);
    }

    #[test]
    fn two_winners_and_a_lost_append_are_found() {
        let won = append(0, Answered::Took(1));
        check(false, &[call(1, 4, won), call(2, 3, won)]);
        let any = |left| append(None, Answered::Took(left));
        check(false, &[call(1, 4, any(1)), call(2, 3, any(1))]);
        check(false, &[call(1, 2, any(1)), call(3, 4, any(3))]);
        check(false, &[call(1, 2, any(1)), call(3, 4, append(1, Answered::Refused(1)))]);
    }

    #[test]
    fn what_nobody_knows_may_come_late_or_never_and_not_early() {
        let unknown = |invoked| Call { invoked, returned: None, what: append(0, Answered::Unknown) };
        check(true, &[unknown(1), call(2, 3, Called::Look(0)), call(4, 5, Called::Look(1))]);
        check(true, &[unknown(1), call(2, 3, Called::Look(0))]);
        check(false, &[call(1, 2, Called::Look(1)), unknown(3)]);
        check(false, &[unknown(1), call(2, 3, Called::Look(1)), call(4, 5, Called::Look(2))]);
    }
}
