//! Compaction: giving back the room of events that a later `$baseline` or `$deleted` of their entity stands for.
//!
//! A `$baseline` event holds what its entity was when it was written: whoever reads the entity from there on misses nothing but
//! history. An event may go when it lies behind such an event of its entity (its last `$baseline`, or the `$deleted` it ended with), when a rule for its
//! entity type says that it is old enough, when every event of its commit may go, and when it has no tag, because rules
//! decide over tags. What remains of it for ever: its leaf of the tamper evidence, and the id of its command, so that the command takes effect once.
//!
//! Who reads an entity sees its events in sequence with one kind of jump: onto a `$baseline` or `$deleted`. Who reads the log passes over
//! what is gone. A cursor in front of the first event that is still there is refused as gone.

use crate::cursor::Position;
use crate::key::EntityType;
use crate::time::Timestamp;

/// The name of the event that stands for all events of its entity before it.
pub const BASELINE: &str = "$baseline";
/// The name of the event that marks its entity deleted, when it is the last one.
pub const DELETED: &str = "$deleted";

/// Which events may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactRules {
    /// Nothing behind this position goes: somebody has still to read it.
    pub upto: Position,
    /// One for each entity type that may lose events.
    pub kinds: Vec<KeepRule>,
}

/// What an entity type keeps, whatever stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepRule {
    /// The entity type.
    pub kind: EntityType,
    /// Events of this time or later stay.
    pub since: Timestamp,
    /// The last events of each entity, this many, stay.
    pub last: u64,
}

/// What a compaction has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Segments that were looked at.
    pub segments: u64,
    /// Of them, those that were written anew.
    pub rewritten: u64,
    /// Of them, those that were passed by because they are damaged: the scrub's status says what and where.
    pub damaged: u64,
    /// Events that are gone by it.
    pub events: u64,
    /// Bytes of the directory that were given back.
    pub bytes: u64,
}
