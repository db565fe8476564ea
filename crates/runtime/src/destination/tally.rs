//! How many calls have ended lately, and how many of them failed.

use std::time::Duration;

/// Parts of the window: what leaves it leaves by a part.
const PARTS: usize = 10;

/// Counts over a window that moves on.
#[derive(Debug)]
pub(super) struct Tally {
    part: Duration,
    /// `(calls, failures)`, the parts of time since the beginning, in turn.
    parts: [(u64, u64); PARTS],
    /// The part that is counted into.
    current: u128,
}

impl Tally {
    pub(super) fn new(window: Duration) -> Self {
        let part = (window / u32::try_from(PARTS).unwrap_or(u32::MAX)).max(Duration::from_micros(1));
        Self { part, parts: [(0, 0); PARTS], current: 0 }
    }

    pub(super) fn record(&mut self, now: Duration, failed: bool) {
        self.move_to(now);
        let (calls, failures) = &mut self.parts[slot(self.current)];
        *calls += 1;
        *failures += u64::from(failed);
    }

    /// Calls and failures within the window.
    pub(super) fn sums(&mut self, now: Duration) -> (u64, u64) {
        self.move_to(now);
        self.parts.iter().fold((0, 0), |(calls, failures), part| (calls + part.0, failures + part.1))
    }

    pub(super) fn clear(&mut self) {
        self.parts = [(0, 0); PARTS];
    }

    fn move_to(&mut self, now: Duration) {
        let part = now.as_micros() / self.part.as_micros();
        let steps = part.saturating_sub(self.current).min(PARTS as u128);
        for step in 0..steps {
            self.parts[slot(part - step)] = (0, 0);
        }
        self.current = self.current.max(part);
    }
}

fn slot(part: u128) -> usize {
    usize::try_from(part % PARTS as u128).expect("a remainder of a small number fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_no_longer_counts() {
        let mut tally = Tally::new(Duration::from_secs(10));
        let at = Duration::from_secs;
        tally.record(at(0), true);
        tally.record(at(4), false);
        tally.record(at(9), true);
        assert_eq!(tally.sums(at(9)), (3, 2));
        assert_eq!(tally.sums(at(10)), (2, 1));
        assert_eq!(tally.sums(at(13)), (2, 1));
        assert_eq!(tally.sums(at(14)), (1, 1));
        assert_eq!(tally.sums(at(1_000)), (0, 0));
        tally.record(at(999), false);
        assert_eq!(tally.sums(at(1_000)), (1, 0), "a clock that goes back does not lose a call");
    }
}
