//! Every bound of this room.

use std::time::Duration;

/// How many bytes of standard input `send ... -` reads, at most. The service has its own bound (`body_bytes_max`).
pub(crate) const STDIN_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How many edits apart a misspelt name may be from the known one that is suggested.
pub(crate) const SUGGESTION_DISTANCE_MAX: usize = 4;
/// How many bytes a configuration file may have.
pub(crate) const CONFIGURATION_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How many bytes one line of an import may have: a commit of 8 MiB, with every byte of it as base64 or escaped.
pub(crate) const IMPORT_LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a command-line call waits for its answer; then the outcome is unknown.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a process may still wait for background threads once everything is answered.
pub(crate) const THREADS_TIMEOUT: Duration = Duration::from_secs(2);
/// How many bytes of an import are read at once.
pub(crate) const IMPORT_READ_BYTES: usize = 256 * 1024;
/// Names of commands and events that an import remembers.
pub(crate) const IMPORT_NAMES_MAX: usize = 1_024;
/// Lines of an import go from the thread that takes them apart to the one that writes them once they have this many bytes.
pub(crate) const IMPORT_BATCH_BYTES: u64 = 256 * 1024;
/// How many times as much may wait to be written.
pub(crate) const IMPORT_BATCHES_AHEAD: usize = 4;
/// A migration writes so many commits in one transaction, at most.
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only a build with databases moves journals"))]
pub(crate) const MIGRATE_PARTS_AT_ONCE: usize = 1_024;
/// And no further one once it has this many bytes of payloads and replies.
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only a build with databases moves journals"))]
pub(crate) const MIGRATE_BYTES_AT_ONCE: usize = 4 * 1024 * 1024;
/// How long a running service is left alone before its journal is looked at again for the marker of an idle log.
pub(crate) const MARKER_LOOK: Duration = Duration::from_millis(20);
/// How long a rebuild is left alone between two looks at how far it is.
pub(crate) const REBUILD_LOOK: Duration = Duration::from_millis(100);
/// How long a scrub that somebody waits for is left alone between two looks at how far it is.
pub(crate) const SCRUB_LOOK: Duration = Duration::from_millis(50);
/// How long a pass of retention that somebody waits for is left alone between two looks at how far it is.
pub(crate) const RETENTION_LOOK: Duration = Duration::from_millis(100);
/// How many letters of a cell a table shows.
pub(crate) const CELL_LETTERS_MAX: usize = 60;
/// File descriptors that connections never take: the journal's files, the listener, what the process itself holds.
pub(crate) const DESCRIPTORS_KEPT_FREE: u64 = 128;
/// Connections that are let in however few descriptors there are: with none a service would only look as if it ran.
pub(crate) const CONNECTIONS_MIN: usize = 16;
/// Descriptors that are counted on when the system does not tell: the usual soft limit.
pub(crate) const DESCRIPTORS_UNKNOWN: u64 = 1_024;

const _: () = assert!(DESCRIPTORS_KEPT_FREE + CONNECTIONS_MIN as u64 <= DESCRIPTORS_UNKNOWN);
