//! The tail of the journal in memory: what live readers of this node take new events from, so that the server is asked once for all of them.
//!
//! ```text
//! what this node commits ─────────────┐
//!                                     ├──> ring: start < positions <= end ──> each reader, by its own place and selection
//! what `Follower` reads of the others ┘
//! ```
//!
//! The ring holds every event between two positions, without a gap: what would leave one is not taken in, and is read by the follower. Only what
//! is committed comes in. It is bounded: whoever is behind its start reads pages until it is not. It is filled while somebody has a seat at it, and empty otherwise.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{Position, Recorded, Selection};
use tokio::sync::{Notify, watch};

use super::pages::Page;
use crate::limits;

/// What readers wait on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The end of the ring.
    pub(crate) end: Position,
    pub(crate) closed: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Tail {
    ring: Mutex<Ring>,
    told: watch::Sender<Told>,
    /// That somebody has sat down.
    pub(super) wanted: Notify,
}

#[derive(Default)]
struct Ring {
    seats: usize,
    /// Everything behind here and up to `end` is in `events`.
    start: Position,
    end: Position,
    events: VecDeque<Arc<Recorded>>,
    bytes: usize,
}

/// A reader's seat: while there is one, the tail is filled.
pub(super) struct Seat(Arc<Tail>);

/// What the tail has behind a place.
pub(super) enum Taken {
    /// Nothing yet.
    Nothing,
    /// More than it holds: the place is in front of its start.
    Behind {
        start: Position,
    },
    Page(Page),
}

impl Tail {
    /// Takes a seat. The first one has the tail begin at its place.
    pub(super) fn sit_down(self: &Arc<Self>, at: Position) -> Seat {
        let mut ring = self.lock();
        ring.seats += 1;
        if ring.seats == 1 {
            (ring.start, ring.end) = (at, at);
        }
        drop(ring);
        self.wanted.notify_one();
        Seat(Arc::clone(self))
    }

    /// Where the follower is to read on from; `None` while nobody listens.
    pub(super) fn is_wanted_from(&self) -> Option<Position> {
        let ring = self.lock();
        (ring.seats > 0).then_some(ring.end)
    }

    /// Takes in all committed events behind `after` and up to `upto`, if they continue what is there.
    pub(super) fn extend(&self, after: Position, events: impl IntoIterator<Item = Arc<Recorded>>, upto: Position) {
        let mut ring = self.lock();
        if ring.seats == 0 || after > ring.end || upto <= ring.end {
            return;
        }
        ring.extend(events, upto);
        drop(ring);
        self.told.send_modify(|told| told.end = upto);
    }

    /// Takes in what this node has just committed. Nothing is made of it when nobody listens, or others have committed in between.
    pub(crate) fn extend_with<E: IntoIterator<Item = Arc<Recorded>>>(&self, after: Position, upto: Position, events: impl FnOnce() -> E) {
        if self.is_wanted_from() == Some(after) {
            self.extend(after, events(), upto);
        }
    }

    /// Goes on behind a place that cannot be read, so that readers meet what is there by themselves.
    pub(super) fn skip_to(&self, position: Position) {
        let mut ring = self.lock();
        if position > ring.end {
            (ring.start, ring.end, ring.bytes) = (position, position, 0);
            ring.events.clear();
            drop(ring);
            self.told.send_modify(|told| told.end = position);
        }
    }

    /// The next events behind a place that a selection names, a page of them at most.
    pub(super) fn take(&self, selection: &Selection, at: Position) -> Taken {
        let ring = self.lock();
        if at < ring.start {
            return Taken::Behind { start: ring.start };
        }
        if at >= ring.end {
            return Taken::Nothing;
        }
        let first = ring.events.partition_point(|event| event.position <= at);
        let looked_at = || ring.events.range(first..).take(limits::PAGE_EVENTS_MAX as usize);
        let is_cut = ring.events.len() - first > looked_at().len();
        let upto = looked_at().next_back().filter(|_| is_cut).map_or(ring.end, |last| last.position);
        Taken::Page(Page { events: looked_at().filter(|event| selection.matches(event)).cloned().collect(), upto })
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Told> {
        self.told.subscribe()
    }

    /// Ends live reads.
    pub(crate) fn close(&self) {
        self.told.send_modify(|told| told.closed = true);
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn extend(&mut self, events: impl IntoIterator<Item = Arc<Recorded>>, upto: Position) {
        let end = self.end;
        for event in events.into_iter().filter(|event| event.position > end) {
            self.bytes += event.payload.len();
            self.events.push_back(event);
        }
        self.end = upto;
        while self.events.len() > limits::TAIL_EVENTS_MAX || self.bytes > limits::TAIL_BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.payload.len();
            self.start = oldest.position;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut ring = self.0.lock();
        ring.seats -= 1;
        if ring.seats == 0 {
            (ring.events, ring.bytes, ring.start) = (VecDeque::new(), 0, ring.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use journal::{CommandId, CommitId, ContentType, Context, EntityKey, EventFlags, EventId, Timestamp};

    use super::*;

    fn event(position: Position, bytes: usize) -> Arc<Recorded> {
        Arc::new(Recorded {
            position,
            id: EventId { commit: CommitId([0; 16]), index: 0 },
            entity: EntityKey::new(if position.is_multiple_of(2) { "even" } else { "odd" }, "e").expect("it is a key"),
            sequence: 1,
            time: Timestamp::from_micros(0),
            command: CommandId([0; 16]),
            command_name: "note".into(),
            context: Arc::new(Context::default()),
            name: "noted".into(),
            version: 1,
            content: ContentType::Json,
            flags: EventFlags(0),
            tags: Vec::new(),
            payload: Bytes::from(vec![0; bytes]),
        })
    }

    fn extend(tail: &Tail, after: Position, upto: Position) {
        tail.extend(after, (after + 1..=upto).map(|position| event(position, 1)), upto);
    }

    /// The positions that the tail gives behind a place; `None` when the place is in front of it.
    fn taken(tail: &Tail, selection: &Selection, mut at: Position) -> Option<Vec<Position>> {
        let mut all = Vec::new();
        loop {
            match tail.take(selection, at) {
                Taken::Behind { .. } => return None,
                Taken::Nothing => return Some(all),
                Taken::Page(page) => {
                    assert!(page.upto > at && page.events.len() as i64 <= limits::PAGE_EVENTS_MAX);
                    all.extend(page.events.iter().map(|event| event.position));
                    at = page.upto;
                }
            }
        }
    }

    fn check_all(tail: &Tail, at: Position, expected: std::ops::RangeInclusive<Position>) {
        assert_eq!(taken(tail, &Selection::All, at), Some(expected.collect()));
    }

    #[test]
    fn it_begins_where_the_first_reader_is_and_gives_each_what_it_wants() {
        let tail = Arc::new(Tail::default());
        let _seat = tail.sit_down(10);
        extend(&tail, 10, 14);
        check_all(&tail, 10, 11..=14);
        check_all(&tail, 12, 13..=14);
        assert_eq!(taken(&tail, &Selection::Types(vec!["even".into()]), 10), Some(vec![12, 14]));
        assert_eq!(taken(&tail, &Selection::All, 9), None, "what is in front of it is not known to be nothing");
        assert_eq!(taken(&tail, &Selection::All, 20), Some(Vec::new()), "a reader may be ahead");
    }

    #[test]
    fn what_would_leave_a_gap_stays_outside_and_what_is_there_already_comes_once() {
        let tail = Arc::new(Tail::default());
        let _seat = tail.sit_down(0);
        extend(&tail, 0, 3);
        extend(&tail, 5, 8);
        check_all(&tail, 0, 1..=3);
        extend(&tail, 1, 6);
        extend(&tail, 2, 4);
        check_all(&tail, 0, 1..=6);
    }

    #[test]
    fn whoever_is_behind_its_bounds_is_told() {
        let tail = Arc::new(Tail::default());
        let _seat = tail.sit_down(0);
        let many = limits::TAIL_EVENTS_MAX as Position;
        extend(&tail, 0, many + 7);
        assert_eq!(taken(&tail, &Selection::All, 6), None);
        check_all(&tail, 7, 8..=many + 7);
        let large = limits::TAIL_BYTES_MAX / 4;
        tail.extend(many + 7, (many + 8..=many + 13).map(|position| event(position, large)), many + 13);
        assert_eq!(taken(&tail, &Selection::All, many + 8), None);
        check_all(&tail, many + 9, many + 10..=many + 13);
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let tail = Arc::new(Tail::default());
        let (one, other) = (tail.sit_down(0), tail.sit_down(0));
        drop(one);
        extend(&tail, 0, 3);
        check_all(&tail, 0, 1..=3);
        drop(other);
        assert_eq!(tail.is_wanted_from(), None);
        tail.extend_with(3, 4, || -> Vec<Arc<Recorded>> { unreachable!("nobody listens") });
        let _again = tail.sit_down(2);
        assert_eq!((tail.is_wanted_from(), taken(&tail, &Selection::All, 2)), (Some(2), Some(Vec::new())));
    }

    #[test]
    fn what_cannot_be_read_is_left_to_its_readers() {
        let tail = Arc::new(Tail::default());
        let _seat = tail.sit_down(0);
        extend(&tail, 0, 3);
        tail.skip_to(9);
        assert_eq!(taken(&tail, &Selection::All, 3), None);
        extend(&tail, 9, 10);
        check_all(&tail, 9, 10..=10);
    }
}
