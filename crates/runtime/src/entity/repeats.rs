//! Whether a command is looked for before it is decided.
//!
//! Nearly every command is new, and the journal holds its id against all that took effect when it takes the commit. So where a look is a
//! question to a server, a command is decided first: a repeated one that is accepted again comes back as a duplicate with its first reply, and
//! before anything else leaves it is looked for. Where repeats come in rows (a file sent again, a consumer that goes back to its place), each
//! would have its entity loaded and forgotten for nothing; so behind one that was met, the next ones are looked for first.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::limits::REPEATS_EXPECTED;

/// See the module.
pub(crate) struct Repeats {
    /// A look is a question to a server.
    is_dear: bool,
    /// How many new commands in a row are still looked for first.
    expected: AtomicU32,
}

impl Repeats {
    pub(crate) fn new(is_dear: bool) -> Self {
        Self { is_dear, expected: AtomicU32::new(0) }
    }

    /// Whether the next command is looked for first.
    pub(crate) fn are_expected(&self) -> bool {
        !self.is_dear || self.expected.load(Relaxed) > 0
    }

    /// A command had taken effect before.
    pub(crate) fn met(&self) {
        self.expected.store(REPEATS_EXPECTED, Relaxed);
    }

    /// One that was looked for had not.
    pub(crate) fn was_new(&self) {
        // Whichever of two goes first: it is a guess.
        let left = self.expected.load(Relaxed);
        self.expected.store(left.saturating_sub(1), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_makes_the_next_ones_expected_for_a_while() {
        let repeats = Repeats::new(true);
        assert!(!repeats.are_expected());
        repeats.met();
        (0..REPEATS_EXPECTED).for_each(|_| {
            assert!(repeats.are_expected());
            repeats.was_new();
        });
        assert!(!repeats.are_expected());
        assert!(Repeats::new(false).are_expected(), "it costs nothing there");
    }
}
