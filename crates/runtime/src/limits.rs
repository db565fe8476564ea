//! Every bound of the runtime.

use std::time::Duration;

/// The bounds a service may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entities kept in memory, at most, over all slices.
    pub cached_entities_max: usize,
    /// Bytes of state kept in memory, at most, as their events' payloads measure it.
    pub cached_bytes_max: usize,
    /// Commands and operations under way, at most.
    pub commands_in_flight_max: usize,
    /// Commands waiting for one entity, at most.
    pub entity_queue_max: usize,
    /// Events between two snapshots of an entity.
    pub snapshot_every_events: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cached_entities_max: 100_000,
            cached_bytes_max: 256 * 1024 * 1024,
            commands_in_flight_max: 4_096,
            entity_queue_max: 1_024,
            snapshot_every_events: 100,
        }
    }
}

/// How often a command is decided again when others win the race, at most.
pub const DECIDE_ATTEMPTS_MAX: u32 = 16;
/// How long a stop waits for commands under way before it gives up on them.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How often a commit of unknown outcome is sent again, at most.
pub const RESENDS_MAX: u32 = 2;
/// Parts of the entity cache, each with a lock of its own. A slice belongs to one part.
pub const CACHE_SHARDS: usize = 64;
/// Entities that one search for room looks at in a part of the cache, at most.
pub const EVICTION_SCAN_MAX: usize = 32;
/// Snapshots that are known at a time, at most: each costs some eighty bytes of memory. Further entities are replayed.
pub const SNAPSHOTS_MAX: usize = 1_000_000;
/// Bytes of one snapshot's state, at most; a larger state is replayed.
pub const SNAPSHOT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of the snapshot log below which it is never rewritten.
pub const SNAPSHOT_REWRITE_BYTES_MIN: u64 = 1024 * 1024;

const _: () = assert!(CACHE_SHARDS.is_power_of_two() && CACHE_SHARDS <= journal::limits::SLICES as usize);
const _: () = assert!(DECIDE_ATTEMPTS_MAX > 1, "a race is lost at least once before it is given up");
