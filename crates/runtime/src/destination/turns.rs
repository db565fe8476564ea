//! Turns: those who are refused come back one after the other, and not all together.
//!
//! What it is not: a promise. Nothing is kept for who comes back, and others may come first.

use std::time::Duration;

use crate::limits::{REFUSED_WAIT_MAX, REFUSED_WAIT_MIN};

/// See the module.
#[derive(Debug)]
pub(super) struct Turns {
    /// How long one takes.
    each: Duration,
    /// When the last one that was refused has its turn.
    last: Duration,
}

impl Turns {
    pub(super) fn new(each: Duration) -> Self {
        Self { each, last: Duration::ZERO }
    }

    /// How long one more waits: as long as those before it take, within bounds.
    pub(super) fn wait(&mut self, now: Duration) -> Duration {
        self.last = self.last.max(now).saturating_add(self.each).min(now.saturating_add(REFUSED_WAIT_MAX));
        self.last.saturating_sub(now).max(REFUSED_WAIT_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_are_refused_the_longer_each_waits_up_to_the_bound() {
        let mut turns = Turns::new(Duration::from_secs(1));
        let now = Duration::from_secs(100);
        let waits: Vec<u64> = (0..80).map(|_| turns.wait(now).as_secs()).collect();
        assert_eq!(waits[..5], [2, 2, 3, 4, 5]);
        assert_eq!((waits[59], waits[79]), (60, 60));
        assert_eq!(turns.wait(now + Duration::from_secs(50)), Duration::from_secs(11), "time takes its turns");
        assert_eq!(turns.wait(now * 9), REFUSED_WAIT_MIN);
    }
}
