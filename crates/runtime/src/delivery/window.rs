//! What a consumer has taken and not finished, in position order: how far its cursor may go.
//!
//! Runs end in any order; the cursor only ever covers the unbroken front of what has ended.

use std::collections::VecDeque;

use journal::Position;

/// See the module.
pub(super) struct Window {
    /// Taken events in position order, and whether each has ended.
    taken: VecDeque<(Position, bool)>,
    /// Everything up to here has ended, or was not for this consumer.
    done: Position,
    /// The last place that was read.
    read: Position,
}

impl Window {
    pub(super) fn new(done: Position) -> Self {
        Self { taken: VecDeque::new(), done, read: done }
    }

    /// Takes an event; positions only grow.
    pub(super) fn take(&mut self, position: Position) {
        assert!(position > self.read, "a journal is read in position order");
        self.read = position;
        self.taken.push_back((position, false));
    }

    /// There is nothing for this consumer up to here.
    pub(super) fn progress(&mut self, position: Position) {
        self.read = self.read.max(position);
        self.advance();
    }

    /// An event that was taken has ended.
    pub(super) fn end(&mut self, position: Position) {
        let place = self.taken.binary_search_by_key(&position, |(position, _)| *position).expect("only what was taken ends");
        self.taken[place].1 = true;
        self.advance();
    }

    fn advance(&mut self) {
        while let Some((position, true)) = self.taken.front() {
            self.done = *position;
            self.taken.pop_front();
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
            window.take(position);
        }
        window.end(15);
        assert_eq!((window.done(), window.read(), window.len()), (10, 16, 3));
        window.end(12);
        assert_eq!((window.done(), window.len()), (15, 1));
        window.progress(40);
        assert_eq!((window.done(), window.read()), (15, 40), "what runs holds the cursor back");
        window.end(16);
        assert_eq!((window.done(), window.is_empty()), (40, true));
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
