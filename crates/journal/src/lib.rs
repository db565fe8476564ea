//! The journal: the ordered, durable log of commits of one service, and the registers beside it.
//!
//! This room holds the contract that every engine keeps ([`Journal`], [`Registers`]), the words it is made of
//! ([`EntityKey`], [`Commit`], [`Cursor`], ...), the embedded engine ([`embedded`]) and, behind the feature `testing`,
//! the model engine, the public contract suite and the simulated disk.
//!
//! What it is not: it never parses payloads, knows no component, no HTTP and no async runtime. Disk, clock,
//! randomness and spawning come in through the seams in [`seams`].

mod commit;
mod compaction;
mod contract_traits;
mod cursor;
pub mod embedded;
mod error;
mod key;
pub mod limits;
mod read;
mod registers;
mod scrub;
pub mod seams;
mod time;

#[cfg(any(test, feature = "testing"))]
pub mod contract;
#[cfg(any(test, feature = "testing"))]
pub mod model;
#[cfg(any(test, feature = "testing"))]
pub mod sim;

pub use commit::{
    CommandId, CommandRecord, Commit, CommitId, Committed, ContentType, Context, Durability, EventData, EventFlags, EventId, Expect, Fence,
    Fingerprint, Origin, Settled, Tag, TagCondition, TagQuery, TagQueryItem,
};
pub use compaction::{BASELINE, CompactRules, Compacted, DELETED, KeepRule};
pub use contract_traits::{BoxFuture, Capabilities, Capability, Journal};
pub use cursor::{Cursor, Lineage, LineageId, ParentLineage, Position};
pub use error::{AppendError, AppendErrorKind, CursorError, InvalidError, ReadError, ReadErrorKind, RegisterError};
pub use key::{EntityKey, EntityType, KeyHash};
pub use read::{EventSource, Events, FoundCommand, Head, KeySource, Keys, Read, ReadMode, Recorded, Selection};
pub use registers::{Register, RegisterExpect, RegisterWatch, Registers, Revision, check as check_register, epoch_of};
pub use scrub::ScrubStatus;
pub use time::Timestamp;
