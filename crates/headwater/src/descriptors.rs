//! File descriptors: a connection takes one, and so do the files of the journal.
//!
//! A start asks for as many as the system allows (the usual 1,024 are meant for programs that call `select`) and bounds the
//! connections by what it got: a descriptor that a connection took must never be the one that the journal needs. It never
//! lowers the limit.

use crate::limits::{CONNECTIONS_MIN, DESCRIPTORS_KEPT_FREE, DESCRIPTORS_UNKNOWN};

/// How many connections there are descriptors for, at most as many as wanted, and what an operator should know about it.
#[must_use]
pub fn connections(wanted: usize) -> (usize, Option<String>) {
    // When the system refuses, the bound is what every system gives.
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(DESCRIPTORS_UNKNOWN);
    let affordable = affordable(wanted, limit);
    let note = (affordable < wanted).then(|| {
        format!(
            "connections_max is {affordable} instead of {wanted}: the process may open {limit} files; raise its hard limit (ulimit -Hn)"
        )
    });
    (affordable, note)
}

fn affordable(wanted: usize, limit: u64) -> usize {
    let spare = limit.saturating_sub(DESCRIPTORS_KEPT_FREE);
    wanted.min(usize::try_from(spare).unwrap_or(usize::MAX).max(CONNECTIONS_MIN))
}

#[cfg(test)]
mod tests {
    use super::{affordable, connections};

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(affordable(10_240, 1_024), 896);
        assert_eq!(affordable(10_240, 10_367), 10_239);
        assert_eq!(affordable(10_240, 10_368), 10_240);
        assert_eq!(affordable(10_240, u64::MAX), 10_240);
    }

    #[test]
    fn a_few_connections_are_always_there_but_never_more_than_wanted() {
        assert_eq!([affordable(10_240, 0), affordable(10_240, 144), affordable(10_240, 145)], [16, 16, 17]);
        assert_eq!(affordable(3, 0), 3);
    }

    #[test]
    fn it_says_so_only_when_it_bites() {
        assert_eq!(connections(1), (1, None));
        // No system gives so many.
        let (bounded, note) = connections(usize::MAX);
        let note = note.unwrap_or_default();
        assert!(bounded == usize::MAX || note.contains(&format!("connections_max is {bounded} instead of")), "{note}");
    }
}
