//! Appending: an inbox, and one writer that takes whatever has arrived into one transaction.
//!
//! ```text
//! append ── bounds ──> inbox ──> writer: BEGIN | lock head | look ──> check, assign (`batch`) ──> insert | move head | COMMIT ──> tell
//!                                         one round trip                                            one round trip
//! ```
//!
//! The lock on the head row is a statement of its own, so that all that follow see what every earlier holder committed. Nothing is told before
//! the server has committed: a refusal may rest on another commit of the same batch.
//!
//! A connection that is lost before `COMMIT` was sent has written nothing. One that is lost after leaves its commits in doubt: the next attempt
//! takes the lock on the head, which the lost transaction holds until it has ended one way or the other, and then finds the commands with the
//! ids of these commits, or does not.

mod batch;
mod columns;
mod inbox;
mod insert;
mod look;
mod records;
mod thread;
mod writer;

pub(crate) use batch::{Decided, HeadRow, NewCommand, NewEvent, Numbered};
pub(crate) use inbox::{Inbox, Pending};
pub(crate) use insert::Inserts;
pub(crate) use thread::start;
pub(crate) use writer::Writer;
