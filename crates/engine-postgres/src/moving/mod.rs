//! Moving a whole history in and out, as it is: ids, times, positions, sequences, command records, and what remains of events that are gone.
//!
//! In ([`Filling`]): a schema that nobody has used gets a history of its own, which grows out of the one that comes. Parts are put in their
//! order, many in one transaction, so that the head row always says how far it has come: whoever was ended goes on behind it. As long as the
//! table `filling` is there, the history is half a one and no service opens it; the registers come last, in the transaction that drops it.
//!
//! Out ([`History`]): the parts again, made of the rows and of nothing else, so that a root over them is a root over what the tables hold.
//!
//! What it is not: it judges nothing. What is put is what somebody vouches for; who moves a history compares the roots of both sides.
//!
//! Crash points: any. A transaction is there whole or not at all, and the next run looks at the head row.

mod filling;
mod history;
mod parts;
mod placed;

pub use filling::{FillError, Filling, Origin};
pub use history::History;
