//! The alarm on progress: whether something stands still that has something to do.
//!
//! Somebody looks from time to time, says how far it is and whether there is something to do, and is told since when it has stalled.
//! Being behind is no stall as long as it moves, having nothing to do is none either, and whoever does again what it had done before
//! does not move: only what is further than ever counts.
//!
//! What it is not: a cure. Nothing is cut or begun again because of it.

use std::time::Duration;

use journal::Timestamp;

/// Something stands still that has something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Since when.
    pub since: Timestamp,
    /// Why, as far as it is known, and what helps.
    pub cause: String,
}

/// What a look found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing.
    None,
    /// Something that should be done by itself.
    Due,
    /// Something that is not done before a person has done something: no time is worth waiting.
    Blocked,
}

/// A moment on both clocks: the one that only goes forward, and the one of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) elapsed: Duration,
    pub(crate) time: Timestamp,
}

/// What is remembered between two looks.
#[derive(Debug)]
pub(crate) struct Stillness<P> {
    furthest: Option<P>,
    since: Option<Moment>,
}

impl<P> Default for Stillness<P> {
    fn default() -> Self {
        Self { furthest: None, since: None }
    }
}

impl<P: Ord> Stillness<P> {
    /// Takes a look; since when it has stood still, once that is longer than `bound`.
    pub(crate) fn look(&mut self, place: P, work: Work, now: Moment, bound: Duration) -> Option<Timestamp> {
        let has_moved = self.furthest.as_ref().is_none_or(|furthest| place > *furthest);
        if has_moved {
            self.furthest = Some(place);
        }
        if work == Work::None || (has_moved && work != Work::Blocked) {
            // What is there to do now may have come just now.
            self.since = (work != Work::None).then_some(now);
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let is_over = work == Work::Blocked || now.elapsed.saturating_sub(since.elapsed) >= bound;
        is_over.then_some(since.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Moment {
        let micros = i64::try_from(seconds * 1_000_000).expect("tests are short");
        Moment { elapsed: Duration::from_secs(seconds), time: Timestamp::from_micros(micros) }
    }

    /// Looks at `(second, place, work)`, and the seconds since which each found a stall.
    fn check(looks: &[(u64, u64, Work)], expected: &[Option<u64>]) {
        let mut still = Stillness::default();
        let found =
            looks.iter().map(|(second, place, work)| still.look(*place, *work, at(*second), BOUND).map(|since| since.as_millis() / 1_000));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_stands_still_with_something_to_do_has_stalled_once_the_bound_is_over() {
        let due = |second| (second, 7, Work::Due);
        check(&[due(0), due(30), due(59), due(60), due(600)], &[None, None, None, Some(0), Some(0)]);
    }

    #[test]
    fn who_is_behind_and_moves_has_not_stalled() {
        check(&[(0, 1, Work::Due), (50, 2, Work::Due), (100, 3, Work::Due), (150, 4, Work::Due)], &[None; 4]);
    }

    #[test]
    fn who_has_nothing_to_do_has_not_stalled_and_its_time_begins_with_its_work() {
        let looks = [(0, 7, Work::None), (600, 7, Work::None), (610, 7, Work::Due), (660, 7, Work::Due), (670, 7, Work::Due)];
        check(&looks, &[None, None, None, None, Some(610)]);
    }

    #[test]
    fn a_stall_ends_when_it_moves_or_when_there_is_nothing_left() {
        let looks = [(0, 7, Work::Due), (60, 7, Work::Due), (70, 8, Work::Due), (130, 8, Work::Due), (140, 8, Work::None)];
        check(&looks, &[None, Some(0), None, Some(70), None]);
    }

    #[test]
    fn going_the_same_way_again_is_no_progress() {
        check(&[(0, 7, Work::Due), (20, 3, Work::Due), (40, 6, Work::Due), (60, 7, Work::Due)], &[None, None, None, Some(0)]);
    }

    #[test]
    fn what_waits_for_a_person_has_stalled_at_once() {
        check(&[(5, 7, Work::Blocked), (6, 7, Work::Blocked)], &[Some(5), Some(5)]);
    }
}
