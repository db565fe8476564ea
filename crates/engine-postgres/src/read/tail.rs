//! The tail of the journal in memory: what live readers of this node take new events from, so that the server is asked once for all of them.
//!
//! ```text
//! what this node commits ── `islands`, until ────────┐
//!                           what lies between is read├──> ring: start < positions <= end ──> each reader, by its own place and selection
//! what `Follower` reads: what others commit ─────────┘
//! ```
//!
//! The ring holds every event between two positions, without a gap. What this node commits behind events of others that it has not read waits as
//! an island, and the follower reads the gap in front of it alone. Only what is committed comes in. All is bounded: whoever is behind the ring's
//! start reads pages until it is not, and an island that has no room is read from the server. It is filled while somebody has a seat at it, and
//! empty otherwise.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{Position, Recorded, Selection};
use tokio::sync::{Notify, watch};

use super::pages::{Page, Stretch};
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
    /// What this node has committed beyond `end`, in order.
    islands: VecDeque<Island>,
}

/// All events behind `after` and up to `upto`.
struct Island {
    after: Position,
    upto: Position,
    events: Vec<Arc<Recorded>>,
    /// Of payloads.
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

    /// What the follower is to read of what is committed up to `head`; `None` while nobody listens.
    pub(super) fn gap(&self, head: Position) -> Option<Stretch> {
        let ring = self.lock();
        // Of many, each would cut a page short: the follower reads over them.
        let island = ring.islands.front().filter(|_| ring.islands.len() <= limits::ISLANDS_READ_AROUND);
        let upto = island.map_or(head, |island| island.after);
        (ring.seats > 0).then_some(Stretch { after: ring.end, upto })
    }

    /// Takes in all committed events behind `after` and up to `upto`, if they continue what is there.
    pub(super) fn extend(&self, after: Position, events: impl IntoIterator<Item = Arc<Recorded>>, upto: Position) {
        let mut ring = self.lock();
        if ring.seats == 0 || after > ring.end || upto <= ring.end {
            return;
        }
        ring.extend(events, upto);
        self.tell(ring);
    }

    /// Takes in what this node has just committed; nothing is made of it when nobody listens.
    pub(crate) fn extend_with<E: IntoIterator<Item = Arc<Recorded>>>(&self, after: Position, upto: Position, events: impl FnOnce() -> E) {
        let mut ring = self.lock();
        if ring.seats == 0 || upto <= ring.end || after >= upto || !ring.has_room_for_island() {
            return;
        }
        if after <= ring.end {
            ring.extend(events(), upto);
            self.tell(ring);
        } else {
            ring.islands.push_back(Island::new(after, upto, events()));
        }
    }

    /// Readers hear how far it goes.
    fn tell(&self, ring: MutexGuard<'_, Ring>) {
        let end = ring.end;
        drop(ring);
        self.told.send_modify(|told| told.end = told.end.max(end));
    }

    /// Goes on behind a place that cannot be read, so that readers meet what is there by themselves.
    pub(super) fn skip_to(&self, position: Position) {
        let mut ring = self.lock();
        if position > ring.end {
            (ring.start, ring.end, ring.bytes) = (position, position, 0);
            ring.events.clear();
            ring.join_islands();
            self.tell(ring);
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
    /// Islands have half of the bounds.
    fn has_room_for_island(&self) -> bool {
        let sum = |of: fn(&Island) -> usize| self.islands.iter().map(of).sum::<usize>();
        sum(|island| island.events.len()) < limits::TAIL_EVENTS_MAX / 2 && sum(|island| island.bytes) < limits::TAIL_BYTES_MAX / 2
    }

    fn extend(&mut self, events: impl IntoIterator<Item = Arc<Recorded>>, upto: Position) {
        self.push(events, upto);
        self.join_islands();
    }

    /// Takes in the islands that no gap is in front of any more.
    fn join_islands(&mut self) {
        while let Some(island) = self.islands.pop_front_if(|island| island.after <= self.end) {
            self.push(island.events, island.upto.max(self.end));
        }
    }

    fn push(&mut self, events: impl IntoIterator<Item = Arc<Recorded>>, upto: Position) {
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

impl Island {
    fn new(after: Position, upto: Position, events: impl IntoIterator<Item = Arc<Recorded>>) -> Self {
        let events: Vec<_> = events.into_iter().collect();
        let bytes = events.iter().map(|event| event.payload.len()).sum();
        Self { after, upto, events, bytes }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut ring = self.0.lock();
        ring.seats -= 1;
        if ring.seats == 0 {
            (ring.events, ring.islands, ring.bytes, ring.start) = (VecDeque::new(), VecDeque::new(), 0, ring.end);
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

    /// What this node commits.
    fn commit(tail: &Tail, after: Position, upto: Position) {
        tail.extend_with(after, upto, || (after + 1..=upto).map(|position| event(position, 1)));
    }

    /// What the follower is to read.
    fn gap(tail: &Tail, head: Position) -> Option<(Position, Position)> {
        tail.gap(head).map(|stretch| (stretch.after, stretch.upto))
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
    fn what_this_node_commits_is_not_read_again_and_comes_when_what_others_commit_in_front_of_it_has() {
        let tail = Arc::new(Tail::default());
        let _seat = tail.sit_down(0);
        commit(&tail, 0, 2);
        check_all(&tail, 0, 1..=2);
        commit(&tail, 5, 7);
        commit(&tail, 7, 8);
        commit(&tail, 10, 12);
        check_all(&tail, 0, 1..=2);
        assert_eq!(gap(&tail, 12), Some((2, 5)));
        // A page may be cut.
        extend(&tail, 2, 4);
        assert_eq!(gap(&tail, 12), Some((4, 5)));
        extend(&tail, 4, 5);
        check_all(&tail, 0, 1..=8);
        assert_eq!(gap(&tail, 12), Some((8, 10)));
        // Somebody who heard of a later head has read over it.
        extend(&tail, 8, 11);
        check_all(&tail, 0, 1..=12);
        assert_eq!(gap(&tail, 13), Some((12, 13)));
        commit(&tail, 14, 15);
        tail.skip_to(14);
        assert_eq!((taken(&tail, &Selection::All, 12), gap(&tail, 15)), (None, Some((15, 15))));
        check_all(&tail, 14, 15..=15);
    }

    #[test]
    fn many_islands_are_read_over() {
        let tail = Arc::new(Tail::default());
        let _seat = tail.sit_down(0);
        let many = limits::ISLANDS_READ_AROUND as Position;
        (1..=many).for_each(|number| commit(&tail, 2 * number - 1, 2 * number));
        commit(&tail, 2 * many, 2 * many);
        assert_eq!(gap(&tail, 2 * many), Some((0, 1)), "nothing that was committed is no island");
        commit(&tail, 2 * many + 1, 2 * many + 2);
        assert_eq!(gap(&tail, 2 * many + 2), Some((0, 2 * many + 2)));
        extend(&tail, 0, 2 * many + 1);
        check_all(&tail, 0, 1..=2 * many + 2);
    }

    #[test]
    fn islands_that_have_no_room_are_read_from_the_server() {
        let tail = Arc::new(Tail::default());
        let _seat = tail.sit_down(0);
        let half = limits::TAIL_EVENTS_MAX as Position / 2;
        commit(&tail, 1, half + 1);
        commit(&tail, half + 1, half + 2);
        extend(&tail, 0, 1);
        assert_eq!(gap(&tail, half + 2), Some((half + 1, half + 2)));
        let large = |position| tail.extend_with(position - 1, position, || [event(position, limits::TAIL_BYTES_MAX / 2)]);
        large(half + 3);
        large(half + 4);
        extend(&tail, half + 1, half + 2);
        assert_eq!(gap(&tail, half + 4), Some((half + 3, half + 4)));
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
        assert_eq!(gap(&tail, 3), None);
        tail.extend_with(3, 4, || -> Vec<Arc<Recorded>> { unreachable!("nobody listens") });
        let _again = tail.sit_down(2);
        assert_eq!((gap(&tail, 4), taken(&tail, &Selection::All, 2)), (Some((2, 4)), Some(Vec::new())));
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
