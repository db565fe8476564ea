//! How far the journal has come, as this node knows it: what live readers wait for.
//!
//! The truth is the head row. The writer moves this word on behind every transaction of its own, and the listener when it has asked for the head
//! row because another node rang, or because it has heard nothing for a while. It never says more than is committed.

use journal::Position;
use tokio::sync::{Notify, watch};

/// What a reader waits on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) position: Position,
    pub(crate) closed: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Reach {
    reached: watch::Sender<Reached>,
    /// Counts changes of registers.
    registers: watch::Sender<u64>,
    /// That other nodes should hear of something.
    pub(crate) bell: Notify,
}

impl Reach {
    /// The last position that is known to be committed.
    pub(crate) fn position(&self) -> Position {
        self.reached.borrow().position
    }

    /// Everything up to here is committed. Words that come late change nothing.
    pub(crate) fn advance(&self, position: Position) {
        self.reached.send_if_modified(|reached| {
            let moves = position > reached.position;
            reached.position = reached.position.max(position);
            moves
        });
    }

    /// A register has changed, or may have.
    pub(crate) fn registers_changed(&self) {
        self.registers.send_modify(|count| *count += 1);
    }

    /// Ends live reads and watches.
    pub(crate) fn close(&self) {
        self.reached.send_modify(|reached| reached.closed = true);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Reached> {
        self.reached.subscribe()
    }

    pub(crate) fn subscribe_registers(&self) -> watch::Receiver<u64> {
        self.registers.subscribe()
    }
}
