//! What a consumer has taken and not finished, in position order: how far its cursor may go.
//!
//! Runs end in any order; the cursor only ever covers the unbroken front of what has ended.

use std::collections::VecDeque;

use journal::{Position, Timestamp};

/// See the module.
pub(super) struct Window {
    /// Taken events in position order.
    taken: VecDeque<Taken>,
    /// How many of them have ended.
    ahead: usize,
    /// Everything up to here has ended, or was not for this consumer.
    done: Position,
    /// The last place that was read.
    read: Position,
}

struct Taken {
    position: Position,
    time: Timestamp,
    ended: bool,
}

impl Window {
    pub(super) fn new(done: Position) -> Self {
        Self { taken: VecDeque::new(), ahead: 0, done, read: done }
    }

    /// Takes an event; positions only grow.
    pub(super) fn take(&mut self, position: Position, time: Timestamp) {
        assert!(position > self.read, "a journal is read in position order");
        self.read = position;
        self.taken.push_back(Taken { position, time, ended: false });
    }

    /// There is nothing for this consumer up to here.
    pub(super) fn progress(&mut self, position: Position) {
        self.read = self.read.max(position);
        self.advance();
    }

    /// An event that was taken has ended.
    pub(super) fn end(&mut self, position: Position) {
        let place = self.taken.binary_search_by_key(&position, |taken| taken.position).expect("only what was taken ends");
        self.ahead += usize::from(!std::mem::replace(&mut self.taken[place].ended, true));
        self.advance();
    }

    fn advance(&mut self) {
        while let Some(taken) = self.taken.pop_front_if(|taken| taken.ended) {
            (self.done, self.ahead) = (taken.position, self.ahead - 1);
        }
        if self.taken.is_empty() {
            self.done = self.read;
        }
    }

    /// Everything up to here has ended.
    pub(super) fn done(&self) -> Position {
        self.done
    }

    /// Everything up to here was read.
    pub(super) fn read(&self) -> Position {
        self.read
    }

    /// When the oldest event was recorded that has not ended.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.taken.front().map(|taken| taken.time)
    }

    /// How many events have ended behind one that has not.
    pub(super) fn ahead(&self) -> usize {
        self.ahead
    }

    /// How many events have been taken and not left the window.
    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_covers_the_unbroken_front_only() {
        let mut window = Window::new(10);
        for position in [12, 15, 16] {
            window.take(position, Timestamp::from_micros(100));
        }
        window.end(15);
        assert_eq!((window.done(), window.read(), window.len(), window.ahead()), (10, 16, 3, 1));
        window.end(12);
        assert_eq!((window.done(), window.len(), window.ahead()), (15, 1, 0));
        window.progress(40);
        assert_eq!((window.done(), window.read()), (15, 40), "what runs holds the cursor back");
        window.end(16);
        assert_eq!((window.done(), window.is_empty()), (40, true));
    }

    #[test]
    fn the_oldest_is_the_first_that_has_not_ended() {
        let mut window = Window::new(0);
        for position in 1..=3_u32 {
            window.take(position.into(), Timestamp::from_micros(i64::from(position) * 100));
        }
        let oldest = |window: &Window| window.oldest().map(Timestamp::as_micros);
        window.end(2);
        assert_eq!(oldest(&window), Some(100));
        window.end(1);
        assert_eq!(oldest(&window), Some(300));
        window.end(3);
        assert_eq!(oldest(&window), None);
    }

    #[test]
    fn an_idle_consumer_follows_the_journal() {
        let mut window = Window::new(0);
        window.progress(7);
        assert_eq!(window.done(), 7);
        window.progress(5);
        assert_eq!(window.done(), 7);
    }
}
