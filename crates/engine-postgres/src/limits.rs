//! Every bound of this engine. The contract's own are the journal's.

use std::time::Duration;

/// How long a start waits for the session of a process that has just ended.
pub(crate) const CLAIM_PATIENCE: Duration = Duration::from_secs(5);
/// Connections for reads and registers. Each runs one statement after the other, and none holds a transaction, so that a few serve many
/// callers; a service has three more: the writer's, the listener's and the bell's.
pub(crate) const READ_CONNECTIONS: usize = 4;
/// Entities and commands that one question looks up, at most; more wait for the next one.
pub(crate) const LOOKUPS_AT_ONCE: usize = 256;
/// Commits that may wait for the writer, at most.
pub(crate) const WAITING_COMMITS_MAX: usize = 16_384;
/// Events and commands of the commits that may wait, in bytes of payload and reply, at most.
pub(crate) const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Commits of one transaction, at most.
pub(crate) const BATCH_COMMITS_MAX: usize = 1_024;
/// A transaction takes no further commit once it has as many bytes of payload and reply. Half of either bound is for what arrives while the lock
/// on the head is waited for.
pub(crate) const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a commit may wait for a server that is away, from its append on. Then its outcome is `unavailable`, or `unknown`.
pub(crate) const APPEND_PATIENCE: Duration = Duration::from_secs(15);
/// How long a question may wait for a server that is away. A live read waits for ever.
pub(crate) const READ_PATIENCE: Duration = Duration::from_secs(15);
/// How long one attempt to connect may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause before another attempt; each is twice as long as the one before.
pub(crate) const RETRY_PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest such pause.
pub(crate) const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often a node that has heard nothing asks for the head. A hint that was lost costs so much, and nothing else.
pub(crate) const POLL_PAUSE: Duration = Duration::from_millis(500);
/// Hints to other nodes are at least so far apart: `NOTIFY` takes a lock of the whole server when it commits.
pub(crate) const BELL_PAUSE: Duration = Duration::from_millis(5);
/// A node that stops in the middle of a transaction holds the head row for so long; then the server ends its session.
pub(crate) const IDLE_TRANSACTION_MS: u64 = 2_000;
/// The same for one that fills a view: it holds up nobody but who would take the view over.
pub(crate) const VIEW_IDLE_TRANSACTION_MS: u64 = 2_000;
/// Connections that views are asked by, and that their books are kept by; each view that is filled here has one more.
pub(crate) const VIEW_CONNECTIONS: usize = 4;
/// Statements of queries, or of code that fills, that one connection keeps prepared.
pub(crate) const VIEW_STATEMENTS_KEPT: usize = 256;
/// Rows of an answer that come at once.
pub(crate) const VIEW_PAGE_ROWS: i32 = 256;
/// How long a change of what SQL clients see waits for their queries before it is put off.
pub(crate) const VIEW_LOCK_MS: u64 = 2_000;
/// Bytes of the name that a build's schema begins with; its hash and number follow.
pub(crate) const VIEW_SCHEMA_BYTES: usize = 40;
/// What was sent and is not taken for so long ends the connection, on either side: also a session that has the lock on the head, and whose node
/// reads no answers.
pub(crate) const SILENT_PEER: Duration = Duration::from_secs(4);
/// Events of one page, at most.
pub(crate) const PAGE_EVENTS_MAX: i64 = 512;
/// A page ends with the event whose payload passes this many bytes.
pub(crate) const PAGE_BYTES_MAX: i64 = 4 * 1024 * 1024;
/// Positions that one statement of a filtered read looks through, at most, so that a sparse reader hears how far it has come.
pub(crate) const SCAN_POSITIONS_MAX: u64 = 16_384;
/// Events of types that one statement looks through for those of some slices, at most.
pub(crate) const SCAN_TYPED_MAX: i64 = 8 * PAGE_EVENTS_MAX;
/// Events that are kept in memory for live readers, at most; whoever is further behind reads pages.
pub(crate) const TAIL_EVENTS_MAX: usize = 8_192;
/// Their payloads, at most.
pub(crate) const TAIL_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A live reader so few positions behind the head waits for the tail to bring them.
pub(crate) const TAIL_REACH: u64 = PAGE_EVENTS_MAX as u64;
/// Of so many commits of its own that wait for those of others in front of them, at most, a node reads the gaps alone.
pub(crate) const ISLANDS_READ_AROUND: usize = 8;
/// Entity keys of one page.
pub(crate) const KEYS_AT_ONCE: i64 = 512;
/// So many positions lie between two marks of time, at least.
pub(crate) const MARK_POSITIONS: u64 = 1_024;
/// Who reads a whole history takes so many events at once, at most.
pub(crate) const MOVED_EVENTS_AT_ONCE: i64 = 2_048;
/// And a page ends with the event that passes so many bytes of payload and reply.
pub(crate) const MOVED_BYTES_AT_ONCE: i64 = 16 * 1024 * 1024;
/// And so many rows of what remains of events.
pub(crate) const MOVED_REMAINS_AT_ONCE: i64 = 64;
/// Registers that one statement brings along.
pub(crate) const MOVED_REGISTERS_AT_ONCE: usize = 512;

const _: () = assert!(
    MOVED_EVENTS_AT_ONCE > journal::limits::COMMIT_EVENTS_MAX as i64 && MOVED_BYTES_AT_ONCE > journal::limits::COMMIT_BYTES_MAX as i64,
    "a page has room for the largest commit"
);
const _: () = assert!(BATCH_BYTES_MAX >= journal::limits::COMMIT_BYTES_MAX, "a transaction has room for the largest commit");
const _: () = assert!(WAITING_BYTES_MAX >= 2 * BATCH_BYTES_MAX && WAITING_COMMITS_MAX >= BATCH_COMMITS_MAX);
const _: () = assert!(PAGE_BYTES_MAX as usize > journal::limits::EVENT_BYTES_MAX);
const _: () = assert!(VIEW_SCHEMA_BYTES + "_0123456789abcdef_99999".len() <= 63, "PostgreSQL cuts longer names off");
const _: () = assert!(TAIL_EVENTS_MAX >= 2 * PAGE_EVENTS_MAX as usize && TAIL_BYTES_MAX >= 2 * PAGE_BYTES_MAX as usize);
const _: () = assert!(TAIL_REACH < TAIL_EVENTS_MAX as u64, "who sits down at the tail is not behind it at once");
const _: () = assert!(IDLE_TRANSACTION_MS < 5_000 && SILENT_PEER.as_secs() < 5, "other nodes go on within five seconds");
