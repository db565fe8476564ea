//! Every bound of the embedded engine.

use crate::limits::COMMIT_BYTES_MAX;
use crate::seams::BLOCK_BYTES;

/// Bytes of the first segment of a journal.
pub const SEGMENT_BYTES_MIN: u64 = 1024 * 1024;
/// Bytes of a segment once segments have stopped growing: each is twice the one before until then.
pub const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a segment's header.
pub const SEGMENT_HEADER_BYTES: usize = BLOCK_BYTES;
/// A frame takes no further commit once it has this many bytes.
pub const FRAME_BYTES_TARGET: usize = 1024 * 1024;
/// Bytes of a frame, at most: one commit at its bound, and what the format adds to it.
pub const FRAME_BYTES_MAX: usize = COMMIT_BYTES_MAX + 4 * 1024 * 1024;
/// Writes on their way to the disk at once, at most.
pub const WRITES_IN_FLIGHT_MAX: usize = 8;
/// A second write starts beside the first only when this many bytes wait: splitting small groups costs more than it wins.
pub const SPLIT_BYTES_MIN: usize = 64 * 1024;
/// Bytes that wait for the sequencer, at most; an append beyond is refused as unavailable.
pub const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of recent frames kept in memory for readers at the tail.
pub const RECENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Buffers kept for frames to come, at most.
pub const SPARE_BUFFERS_MAX: usize = WRITES_IN_FLIGHT_MAX;
/// Segments, and seals, kept open for reading, at most.
pub const OPEN_FILES_MAX: usize = 128;
/// Heads of entities in sealed segments that are remembered; the map is emptied when it is full.
pub const COLD_HEADS_MAX: usize = 262_144;
/// Bytes that a reader takes from the disk at once.
pub const READ_BYTES: usize = 1024 * 1024;
/// Bytes of a block of a packed segment, at most: larger ones become little smaller, and cost a read of one event more.
pub const PACKED_BLOCK_BYTES: u64 = 64 * 1024;
/// Bytes of a block of a packed segment, at least.
pub const PACKED_BLOCK_BYTES_MIN: u64 = 4 * 1024;
/// Unpacked blocks that an open packed segment keeps for the reads to come.
pub const PACKED_BLOCKS_KEPT: usize = 2;
/// Sealed segments that are not packed yet, the last ones: what was written lately is read most.
pub const PACK_BEHIND: usize = 2;
/// The level of Zstandard that segments are packed with.
pub const PACK_LEVEL: i32 = 3;
/// Bytes of frames that a scan decodes at once: what fits a core's own cache, with the events made of it.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// Keys that a listing takes at once.
pub const KEYS_AT_ONCE: usize = 256;
/// A write that is under way for longer than this shows the journal as degraded. Healthy disks take milliseconds, tired ones a second.
pub const DEGRADED_AFTER: std::time::Duration = std::time::Duration::from_secs(5);
/// The registers' log is rewritten when it has this many bytes and four times what is alive.
pub const REGISTER_LOG_BYTES_MIN: u64 = 1024 * 1024;

/// Bytes that a scrub reads in a second, unless it is told otherwise: gentle beside a service at work.
pub const SCRUB_BYTES_A_SECOND: u64 = 4 * 1024 * 1024;
/// Bytes that a scrub reads in a second when somebody waits for it.
pub const SCRUB_ASKED_BYTES_A_SECOND: u64 = 64 * 1024 * 1024;
/// Bytes of a sealed segment that are read in a second for its root. Writers may be faster: roots then come later.
pub const ROOTS_BYTES_A_SECOND: u64 = 16 * 1024 * 1024;
/// Bytes of sealed segments that a compaction reads in a second.
pub const COMPACT_BYTES_A_SECOND: u64 = 64 * 1024 * 1024;
/// A segment is written anew when at least one byte in so many is won.
pub const COMPACT_GAIN_DIVISOR: u64 = 8;
/// A remains section takes no more events once it has this many bytes: a command that is asked for is read with all of it.
pub const REMAINS_BYTES_TARGET: usize = 64 * 1024;
/// Bytes of what remains of events in one piece of an import, at most.
pub const REMAINS_BYTES_MAX: usize = FRAME_BYTES_TARGET;
/// Looks at a log that is being written to, before what is not whole counts as damage.
pub const LIVE_LOOKS_MAX: u32 = 100;
/// How long a scrub rests between two passes.
pub const SCRUB_REST: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// Damaged segments that a scrub tells of, at most.
pub const SCRUB_DAMAGE_MAX: usize = 1_000;

/// The sizes of segments unless there is a reason for others.
pub const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;

const _: () = assert!(SEGMENT_BYTES_MAX < u32::MAX as u64, "offsets within a segment fit 32 bits");
const _: () = assert!(FRAME_BYTES_TARGET as u64 <= SEGMENT_BYTES_MIN);
const _: () = assert!((FRAME_BYTES_MAX as u64) < SEGMENT_BYTES_MAX);
const _: () = assert!(REMAINS_BYTES_TARGET + REMAINS_BYTES_MAX < FRAME_BYTES_MAX, "what is put together fits a frame");
const _: () = assert!(SPLIT_BYTES_MIN < FRAME_BYTES_TARGET);
const _: () = assert!((READ_BYTES as u64).is_multiple_of(PACKED_BLOCK_BYTES), "a read holds whole blocks");
const _: () = assert!(PACKED_BLOCK_BYTES.is_power_of_two() && PACKED_BLOCK_BYTES_MIN.is_power_of_two());
const _: () = assert!(PACKED_BLOCKS_KEPT > 0 && PACKED_BLOCK_BYTES as usize * PACKED_BLOCKS_KEPT * OPEN_FILES_MAX <= 16 * 1024 * 1024);
