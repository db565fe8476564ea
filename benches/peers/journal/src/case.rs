//! Cases: how many writers, and how many events each puts into a commit.

use std::fmt;
use std::str::FromStr;

/// Bytes of an event's payload.
pub(crate) const PAYLOAD_BYTES: usize = 200;

/// The same bytes for every side.
pub(crate) static PAYLOAD: [u8; PAYLOAD_BYTES] = [b'x'; PAYLOAD_BYTES];

/// What is measured unless a case is named.
pub(crate) const CASES: [Case; 6] = [
    Case { writers: 1, events: 1 },
    Case { writers: 16, events: 1 },
    Case { writers: 64, events: 1 },
    Case { writers: 256, events: 1 },
    Case { writers: 8, events: 100 },
    Case { writers: 8, events: 1000 },
];

const WRITERS_MAX: usize = 1024;
/// What the journal takes in one commit.
const EVENTS_MAX: usize = 1000;

/// Writers, and events of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) writers: usize,
    pub(crate) events: usize,
}

impl Case {
    /// From a hundred events a commit on, bytes are what costs, and no longer the write.
    pub(crate) fn is_large(self) -> bool {
        self.events >= 100
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('x').and_then(|(left, right)| Some((left.parse().ok()?, right.parse().ok()?)));
        parts
            .filter(|(writers, events)| (1..=WRITERS_MAX).contains(writers) && (1..=EVENTS_MAX).contains(events))
            .map(|(writers, events)| Self { writers, events })
            .ok_or_else(|| format!("must be writers (at most {WRITERS_MAX}) and events (at most {EVENTS_MAX}), such as 64x1"))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.writers, self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::Case;

    #[test]
    fn a_case_is_two_numbers_within_bounds() {
        assert_eq!("8x100".parse(), Ok(Case { writers: 8, events: 100 }));
        for bad in ["", "8", "x", "0x1", "1x0", "8x1001", "2000x1", "1x1x1"] {
            assert!(bad.parse::<Case>().is_err(), "{bad}");
        }
    }
}
