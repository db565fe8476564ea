//! Every bound of the runtime.

use std::time::Duration;

/// Keys of subjects in a key store, at most, destroyed ones among them: about 50 bytes of memory each.
pub const SUBJECT_KEYS_MAX: usize = 16_000_000;

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
    /// How long a query of a view may run, at most.
    pub query_time_max: Duration,
    /// Rows of a query's answer, at most.
    pub query_rows_max: usize,
    /// How long a consumer or a view that has something to do may stand still before it has stalled. A consumer has the time of one run on top.
    pub stall_after: Duration,
    /// The time between two passes of retention.
    pub retention_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cached_entities_max: 100_000,
            cached_bytes_max: 256 * 1024 * 1024,
            commands_in_flight_max: 4_096,
            entity_queue_max: 1_024,
            snapshot_every_events: 100,
            query_time_max: Duration::from_secs(5),
            query_rows_max: 10_000,
            stall_after: Duration::from_secs(60),
            retention_every: Duration::from_secs(86_400),
        }
    }
}

/// Into how many shares of the slices a consumer is cut on an engine of many nodes: as many nodes can work for it. Names of registers
/// hold shares, so that it is part of the format.
pub const SHARES: u16 = 16;
/// Slices of a share.
pub const SLICES_A_SHARE: u16 = journal::limits::SLICES / SHARES;
/// How often a node says that it is there.
pub const NODE_BEAT: Duration = Duration::from_secs(1);
/// How often it looks who else is.
pub const NODE_LOOK: Duration = Duration::from_millis(500);
/// How long a node's register may stand still before its duties are taken over. What it had begun is fenced; so this is a matter of how soon
/// others go on, and not of what is right.
pub const NODE_TIME: Duration = Duration::from_secs(4);
/// When the register of a node that is gone is cleared away.
pub const NODE_FORGET: Duration = Duration::from_secs(60);
/// Events of workflows that this node has recorded and not read again, at most: further ones are read like those of other nodes.
pub const WORKFLOWS_UNHEARD_MAX: usize = 65_536;
/// How often a node looks whether the attempts have ended of workflows that it gives up.
pub const WORKFLOW_HANDOVER_LOOK: Duration = Duration::from_millis(20);
/// How long a node that gives up the firing of timers waits for those that it has begun, and how often it looks.
pub const TIMERS_HANDOVER_MAX: Duration = Duration::from_secs(5);
/// See [`TIMERS_HANDOVER_MAX`].
pub const TIMERS_HANDOVER_LOOK: Duration = Duration::from_millis(20);
/// How often somebody who has asked another node looks for its answer, and the other way round.
pub const RELAY_LOOK: Duration = Duration::from_millis(100);
/// How long a client's consumer may be on its way to a node before a pull is told so.
pub const HANDED_OUT_WAIT: Duration = Duration::from_secs(10);
/// How long the answer of another node is waited for.
pub const RELAY_MAX: Duration = Duration::from_secs(15);
/// When a decision that was laid down for another node is too old to be carried out: microseconds.
pub const RELAY_FORGET_MICROS: i64 = 60_000_000;
/// How often a command is decided again when others win the race, at most.
pub const DECIDE_ATTEMPTS_MAX: u32 = 16;
/// So many more new entities than others, of those of a type that were not in memory, make the next one likely to be new.
pub(crate) const NEWCOMERS_LIKELY: u32 = 8;
/// No more than so many are counted: a few others in a row make it unlikely again.
pub(crate) const NEWCOMERS_MAX: u32 = 16;
/// Behind a command that had taken effect before, so many new ones in a row are looked for before they are decided.
pub const REPEATS_EXPECTED: u32 = 64;
/// How long a stop waits for commands under way before it gives up on them.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How often a commit of unknown outcome is sent again, at most.
pub const RESENDS_MAX: u32 = 2;
/// Parts of the entity cache, each with a lock of its own. A slice belongs to one part.
pub const CACHE_SHARDS: usize = 64;
/// Entities that one search for room looks at in a part of the cache, at most.
pub const EVICTION_SCAN_MAX: usize = 32;
/// States of an older version that are raised and made of their events too, before raising alone is trusted.
pub const RAISED_STATES_PROVEN_BY: u32 = 3;
/// Snapshots that are known at a time, at most: each costs some eighty bytes of memory. Further entities are replayed.
pub const SNAPSHOTS_MAX: usize = 1_000_000;
/// Bytes of one snapshot's state, at most; a larger state is replayed.
pub const SNAPSHOT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of one baseline, at most: an event's own bound, less what sealing personal values adds. A larger state keeps all its events.
pub const BASELINE_BYTES_MAX: usize = 512 * 1024;
/// Events of an entity that could go if a baseline stood for them, before one is written while the entity goes on.
pub const BASELINE_AFTER_EVENTS: u64 = 16;
/// How long after the start the first pass of retention comes, at the earliest.
pub const RETENTION_FIRST_WAIT: Duration = Duration::from_secs(60);
/// How long until a pass of retention is tried again that ended early.
pub const RETENTION_RETRY: Duration = Duration::from_secs(60);
/// Entities that a pass of retention looks at before it rests: with [`RETENTION_PAUSE`], about a thousand a second.
pub const RETENTION_STEP_KEYS: u64 = 64;
/// See [`RETENTION_STEP_KEYS`].
pub const RETENTION_PAUSE: Duration = Duration::from_millis(64);
/// Entities after which a pass of retention writes where it is.
pub const RETENTION_PLACE_KEYS: u64 = 1_024;
/// Bytes of the snapshot log below which it is never rewritten.
pub const SNAPSHOT_REWRITE_BYTES_MIN: u64 = 1024 * 1024;
/// Asynchronous commands that are decided at once, at most.
pub const ASYNCHRONOUS_RUNS_MAX: usize = 256;
/// How often somebody who waits for an accepted command looks whether another node has decided it.
pub const SETTLED_LOOK: Duration = Duration::from_millis(200);
/// Events that one consumer has taken and not finished, at most.
pub const WINDOW_EVENTS_MAX: usize = 4_096;
/// Keys that one consumer holds or has parked, at most; then it takes no further events.
pub const HELD_KEYS_MAX: usize = 10_000;
/// Decisions of people that wait for one consumer, at most.
pub const ORDERS_MAX: usize = 64;
/// Failures that are remembered of one held key.
pub const FAILURES_KEPT_MAX: usize = 8;
/// Bytes of one remembered cause, at most.
pub const FAILURE_CAUSE_BYTES_MAX: usize = 1_024;
/// Bytes of a remembered cause that may hold personal data, at most: it is encrypted, once for each subject.
pub const PERSONAL_CAUSE_BYTES_MAX: usize = 480;
/// Subjects whose values a remembered cause may hold; of more, it is not kept.
pub const CAUSE_SUBJECTS_MAX: usize = 4;
/// How long a key is left alone whose event cannot be opened, because the key store misses a key: at first, and at most.
pub const KEY_MISSING_WAIT: Duration = Duration::from_secs(30);
/// See [`KEY_MISSING_WAIT`].
pub const KEY_MISSING_WAIT_MAX: Duration = Duration::from_secs(600);
/// Processes that one event may end before its key is parked.
pub const DEATHS_MAX: u32 = 3;
/// How far ahead of its cursor a consumer says that events may run, in positions: one durable write in so many.
pub const CEILING_POSITIONS: u64 = 4_096;
/// Events that may end before the cursor is written.
pub const CHECKPOINT_EVENTS: u64 = 4_096;
/// Positions that a consumer may pass without an event for it before its cursor is written.
pub const CHECKPOINT_POSITIONS: u64 = 65_536;
/// How long the cursor of a share may stay behind what it has gone past without an event of its own: other nodes go by it.
pub const CHECKPOINT_IDLE: Duration = Duration::from_secs(5);
/// How long the cursor may stay behind what has ended.
pub const CHECKPOINT_DELAY: Duration = Duration::from_secs(1);
/// The first and the longest wait before a consumer tries an engine again that failed it.
pub const ENGINE_RETRY_MIN: Duration = Duration::from_millis(200);
/// See [`ENGINE_RETRY_MIN`].
pub const ENGINE_RETRY_MAX: Duration = Duration::from_secs(30);
/// How long until somebody looks again whether a consumer or a view moves that has something to do.
pub const STALL_LOOK: Duration = Duration::from_secs(10);
/// The same for one that has nothing to do.
pub const STALL_LOOK_IDLE: Duration = Duration::from_secs(60);
/// States of one processor's keys that are kept in memory; those of further keys are read from the journal.
pub const PROCESSOR_KEYS_IN_MEMORY_MAX: usize = 50_000;
/// Bytes of the state of one key of a processor, at most.
pub const PROCESSOR_STATE_BYTES_MAX: usize = 256 * 1024;
/// Times at which one key of a processor wants to be woken, at most.
pub const PROCESSOR_WAKES_MAX: usize = 1_000;
/// Events that a processor emits for one input, at most.
pub const PROCESSOR_OUTPUT_EVENTS_MAX: usize = 250;
/// Bytes of the events that a processor emits for one input, at most.
pub const PROCESSOR_OUTPUT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Events, with one for each key that is touched, from which on a processor hands a step to the journal.
pub const PROCESSOR_STEP_EVENTS: usize = 500;
/// Bytes of inputs and outputs from which on a processor hands a step to the journal.
pub const PROCESSOR_STEP_BYTES: usize = 1024 * 1024;
/// Inputs after which a processor hands a step to the journal, whatever they touch.
pub const PROCESSOR_STEP_INPUTS: usize = 2_000;
/// Steps of a processor that are under way at once.
pub const PROCESSOR_STEPS_UNDER_WAY_MAX: usize = 4;
/// How long a processor waits, at least, between two looks at who wants to be woken.
pub const PROCESSOR_WAKE_PAUSE: Duration = Duration::from_millis(10);
/// Keys that one processor has parked, at most; then it takes no further inputs.
pub const PROCESSOR_PARKED_MAX: usize = 10_000;
/// Events in one transaction of a view, at most.
pub const VIEW_BATCH_EVENTS_MAX: usize = 10_000;
/// Bytes of payloads in one transaction of a view, at most.
pub const VIEW_BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Positions that a view passes before it says how far it is, though little or nothing there was for it.
pub const VIEW_BATCH_POSITIONS_MAX: u64 = 100_000;
/// How long a view rests before it tries again what the machine refused: a full disk, a journal that cannot be read.
pub const VIEW_REST: Duration = Duration::from_secs(1);
/// Statements of a shared view that go to its server before the answer to the first of them is waited for.
pub const VIEW_STATEMENTS_AT_ONCE_MAX: usize = 512;
/// How often a node that does not fill a shared view looks how far it is.
pub const VIEW_LOOK: Duration = Duration::from_millis(100);
/// How long the place of a shared view may stay behind what was read without an event for it.
pub const VIEW_PLACE_PAUSE: Duration = Duration::from_millis(100);
/// How often a node says that it uses a build of a shared view.
pub const VIEW_TOUCH: Duration = Duration::from_secs(10);
/// A build of a shared view that nobody has used for so long is nobody's.
pub const VIEW_UNUSED: Duration = Duration::from_secs(60);
/// Bytes of a view's write-ahead log that stay on the disk, at most, once they are written back.
pub const VIEW_LOG_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// How long a statement waits for a lock of another connection to the same view.
pub const VIEW_LOCK_MAX: Duration = Duration::from_secs(10);
/// Threads that run queries; each has at most one connection to each view.
pub const QUERY_THREADS: usize = 4;
/// Queries that wait for a thread, at most.
pub const QUERIES_WAITING_MAX: usize = 1_024;
/// Bytes of a query's answer, at most.
pub const QUERY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// SQLite instructions between two looks at the clock.
pub const QUERY_STEPS: i32 = 10_000;
/// Queries that are live at once, at most; each is shared by all who ask the same.
pub const LIVE_QUERIES_MAX: usize = 1_024;
/// Updates that a live query keeps for those who come back, and by which a reader may be behind.
pub const LIVE_UPDATES_MAX: usize = 64;
/// Changed rows from which on a live query sends all rows instead.
pub const LIVE_CHANGES_MAX: usize = 1_000;

/// Consumers that clients have set up, at most.
pub const CLIENT_CONSUMERS_MAX: usize = 256;
/// Clients that wait for deliveries of one consumer at once, at most.
pub const PULLS_WAITING_MAX: usize = 256;
/// Bytes of payloads in the answer to one pull, at most; a single event has the journal's own bound.
pub const PULL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Messages of a topic that share one commit, at most.
pub const PUBLISH_MESSAGES_MAX: usize = 250;
/// Bytes of payloads that share one commit of a topic, at most; a single message has the journal's own bound.
pub const PUBLISH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Timers that were taken from the index and are being fired or are about to be, at most.
pub const TIMERS_FIRING_MAX: u32 = 4_096;
/// Tasks that fire timers, at most: each has one at a time.
pub const TIMERS_CREW_MAX: usize = 1_024;
/// Timers that are taken from the index at a time.
pub const TIMER_BATCH: u32 = 1_024;
/// Timers that wait for another attempt and let others fire meanwhile, at most; further ones keep their place among those that are fired.
pub const TIMERS_RESTING_MAX: usize = 4_096;
/// Timers that a process may have been firing when it ended: as many that are due are fired one by one by the next one.
pub const TIMERS_ALONE_MAX: usize = TIMERS_FIRING_MAX as usize + TIMERS_RESTING_MAX;
/// How often a timer is tried whose command meets a fault of its component, before it is parked.
pub const TIMER_ATTEMPTS_MAX: u32 = 12;
/// The shortest time between two firings of a schedule that goes by a period.
pub const TIMER_EVERY_MIN: Duration = Duration::from_secs(1);
/// How long timers sleep before they look at the clock again: it may have been set.
pub const TIMER_CLOCK_LOOK: Duration = Duration::from_secs(10);
/// How long the index of timers, or of workflows, may take to see what was recorded, before that counts as trouble.
pub const PLATFORM_INDEX_WAIT: Duration = Duration::from_secs(10);
/// Records of firings that share one commit, at most.
pub const TIMER_RECORDS_MAX: usize = 500;
/// Records of firings that wait for a commit, at most.
pub const TIMER_RECORDS_WAITING_MAX: usize = 4_096;
/// Timers of one page of a list, at most.
pub const TIMER_LIST_MAX: u32 = 1_000;

/// Destinations that are known at once, at most; those that a service names are always.
pub const DESTINATIONS_MAX: usize = 1_024;
/// Calls that wait for their turn at one destination, at most.
pub const CALLS_WAITING_MAX: usize = 1_024;
/// How long a call waits for its turn, at most.
pub const CALL_TURN_MAX: Duration = Duration::from_secs(5);
/// A call that its run leaves less time than this, and less than it wants, says nothing about its destination when that time is over.
pub const CALL_FAIR_MIN: Duration = Duration::from_secs(1);
/// Trial calls of a half open breaker: so many at once, and so many must succeed.
pub const DESTINATION_TRIALS: u32 = 3;
/// Calls of runs that have failed before which a destination always gets, a second.
pub const RETRIES_PER_SECOND_MIN: u32 = 5;
/// Such calls at once, at most, however many others there were.
pub const RETRIES_AT_ONCE_MAX: u32 = 50;
/// How long a call that was refused, because others come first, is left alone: at least, and at most, jitter not counted.
pub const REFUSED_WAIT_MIN: Duration = Duration::from_secs(2);
/// See [`REFUSED_WAIT_MIN`].
pub const REFUSED_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a destination may ask to be left alone, at most.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// The part of a run's time that is kept for what follows its last call: the call is cut before the run is.
pub const RUN_MARGIN_DIVISOR: u32 = 20;

/// Records of one run of a workflow, at most; then it is paused.
pub const WORKFLOW_RECORDS_MAX: u32 = 10_000;
/// How often a workflow begins again because of one thing that it was told, at most: signals that wait may be enough for a run.
pub const WORKFLOW_RESTARTS_MAX: usize = 100;
/// Workflows kept in memory, at most, unless more of them work.
pub const WORKFLOWS_IN_MEMORY_MAX: usize = 4_096;
/// Attempts of steps and undos under way, at most.
pub const WORKFLOWS_ATTEMPTS_MAX: usize = 1_024;
/// Attempts of an undo before it waits for a person.
pub const UNDO_ATTEMPTS_MAX: u32 = 12;
/// Bytes of a step's result, at most.
pub const WORKFLOW_RESULT_BYTES_MAX: usize = 256 * 1024;
/// How long a stop waits for attempts under way.
pub const WORKFLOW_STOP_MAX: Duration = Duration::from_secs(5);
/// Workflows that the index gives at once.
pub const WORKFLOW_BATCH: u32 = 256;
/// Workflows that are woken at once, at most.
pub const WORKFLOWS_WOKEN_MAX: u32 = 256;
/// Characters of why a message of a peer does not fit its topic, at most.
pub const UNFIT_CAUSE_CHARS_MAX: usize = 512;
/// How long a subscription hears nothing at all from its peer before it calls again: three signs of life.
pub const PEER_SILENCE_MAX: Duration = Duration::from_secs(45);
/// The first and the longest wait before a subscription calls its peer again, jitter not counted.
pub const PEER_RETRY_MIN: Duration = Duration::from_millis(200);
/// See [`PEER_RETRY_MIN`].
pub const PEER_RETRY_MAX: Duration = Duration::from_secs(30);
/// How long a reader at rest waits before it writes how far a filter has let nothing through.
pub const PEER_PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// Readers of streams with documents at once, at most.
pub const DOCUMENT_READERS_MAX: usize = 256;
/// States that such a reader has in memory, at most.
pub const FOLDS_MAX: usize = 1_024;
/// Bytes of payloads that these states are made of, at most, but for the last one.
pub const FOLDS_BYTES_MAX: usize = 4 * 1024 * 1024;

// Each message has two command records, whose keys, names and contexts come on top of its payload.
/// Bytes of one shape's schema, at most.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Shapes that are registered in one commit, at most.
pub(crate) const SCHEMA_COMMIT_SHAPES: usize = 200;
/// Bytes of shapes that are registered in one commit, unless one alone has more.
pub(crate) const SCHEMA_COMMIT_BYTES: usize = 2 * 1024 * 1024;
/// Refusals that a service which does not begin shows, at most.
pub(crate) const SCHEMA_REFUSALS_SHOWN_MAX: usize = 20;
/// Bytes of workflows' records in one answer, at most, but for the last one.
pub const WORKFLOW_HISTORIES_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of one workflow's record in such an answer, at most: of a larger one it is said that it was not read.
pub const WORKFLOW_HISTORY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of workflows' records among the samples of one request, at most: those that do not fit are left out.
pub(crate) const SCHEMA_SAMPLE_HISTORIES_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Samples of one request, at most.
pub const SCHEMA_SAMPLES_MAX: usize = 10_000;
/// Samples of one shape, at most.
pub const SCHEMA_SAMPLES_PER_SHAPE_MAX: usize = 100;
/// Events that are looked at for the samples of one shape, at most.
pub(crate) const SCHEMA_SAMPLE_LOOK_EVENTS: usize = 10_000;
/// Levels of a schema that are compared, references among them, at most.
pub(crate) const SCHEMA_DEPTH_MAX: usize = 128;
/// Steps of one comparison, at most: beyond, shapes are taken for incompatible.
pub(crate) const SCHEMA_COMPARISONS_MAX: usize = 100_000;
/// Alternatives of one place in a schema that are compared, at most.
pub(crate) const SCHEMA_ALTERNATIVES_MAX: usize = 4_096;

const _: () = assert!(VIEW_UNUSED.as_secs() >= 5 * VIEW_TOUCH.as_secs(), "who uses a build has several chances to say so");
const _: () = assert!(PUBLISH_MESSAGES_MAX * 2 <= journal::limits::COMMIT_COMMANDS_MAX);
const _: () = assert!(
    PUBLISH_BYTES_MAX + PUBLISH_MESSAGES_MAX * 2 * (1_024 + 5 * journal::limits::CONTEXT_TEXT_BYTES_MAX) + journal::limits::EVENT_BYTES_MAX
        <= journal::limits::COMMIT_BYTES_MAX
);
const _: () =
    assert!(PROCESSOR_STEP_EVENTS + PROCESSOR_OUTPUT_EVENTS_MAX + 2 <= journal::limits::COMMIT_EVENTS_MAX, "the last input of a step fits");
const _: () = assert!(
    PROCESSOR_STEP_BYTES + PROCESSOR_OUTPUT_BYTES_MAX + PROCESSOR_STATE_BYTES_MAX + journal::limits::EVENT_BYTES_MAX
        <= journal::limits::COMMIT_BYTES_MAX,
    "a step of one input fits a commit"
);
const _: () = assert!(PROCESSOR_STATE_BYTES_MAX + PROCESSOR_WAKES_MAX * 20 + 128 * 1024 <= journal::limits::EVENT_BYTES_MAX);
const _: () = assert!(RETENTION_PLACE_KEYS.is_multiple_of(RETENTION_STEP_KEYS) && BASELINE_AFTER_EVENTS >= 2);
const _: () = assert!(BASELINE_BYTES_MAX <= journal::limits::EVENT_BYTES_MAX / 2);
const _: () = assert!(TIMER_BATCH <= TIMERS_FIRING_MAX, "or timers wait for room that never comes");
const _: () =
    assert!(TIMER_RECORDS_MAX <= journal::limits::COMMIT_EXPECTATIONS_MAX && TIMER_RECORDS_MAX <= journal::limits::COMMIT_EVENTS_MAX);
const _: () = assert!(DEATHS_MAX > 1, "the first death is nobody's in particular");
const _: () = assert!(
    FAILURES_KEPT_MAX * FAILURE_CAUSE_BYTES_MAX * 6 + 8_192 <= journal::limits::REGISTER_BYTES_MAX,
    "a held key fits its register, with every byte of its causes escaped"
);
const _: () = assert!(
    FAILURES_KEPT_MAX * sealed_bytes_max(PERSONAL_CAUSE_BYTES_MAX * 2, CAUSE_SUBJECTS_MAX) + 8_192 <= journal::limits::REGISTER_BYTES_MAX,
    "so it does with causes that are encrypted, every quotation mark escaped"
);
const _: () = assert!(SCHEMA_BYTES_MAX + 4_096 <= journal::limits::EVENT_BYTES_MAX, "a registered shape is an event");
const _: () = assert!(CACHE_SHARDS.is_power_of_two() && CACHE_SHARDS <= journal::limits::SLICES as usize);
const _: () = assert!(DECIDE_ATTEMPTS_MAX > 1, "a race is lost at least once before it is given up");

/// Bytes of a text that is sealed for so many subjects, one around the other: each adds its name, nonce and tag, and all of it is base64.
const fn sealed_bytes_max(text: usize, subjects: usize) -> usize {
    if subjects == 0 { text } else { (sealed_bytes_max(text, subjects - 1) + 256 + 128 + 40) * 4 / 3 + 48 }
}
