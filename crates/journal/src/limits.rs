//! Every bound of the journal's contract, the same on every engine. An error that refuses names the bound.

/// Events in one commit, at most. A commit has at least one.
pub const COMMIT_EVENTS_MAX: usize = 1_000;
/// Bytes of one commit, at most: keys, names, contexts, tags, payloads and replies together.
pub const COMMIT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Commands in one commit, at most.
pub const COMMIT_COMMANDS_MAX: usize = 1_000;
/// Expectations in one commit, at most.
pub const COMMIT_EXPECTATIONS_MAX: usize = 1_000;
/// Bytes of one event's payload, at most.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a recorded reply, at most.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;
/// Tags on one event, at most (the entity itself is implied and not counted).
pub const EVENT_TAGS_MAX: usize = 16;
/// Bytes of a tag, `name:value`, at most.
pub const TAG_BYTES_MAX: usize = 256;
/// Bytes of a tag's name, at most.
pub const TAG_NAME_BYTES_MAX: usize = 64;
/// Items of a tag condition's query, at most.
pub const CONDITION_ITEMS_MAX: usize = 32;
/// Bytes of a tenant, at most; the empty tenant is the default one.
pub const TENANT_BYTES_MAX: usize = 64;
/// Bytes of an entity type, at most.
pub const TYPE_BYTES_MAX: usize = 64;
/// Bytes of an entity id, at most.
pub const ID_BYTES_MAX: usize = 256;
/// Bytes of the name of a command or an event, at most.
pub const NAME_BYTES_MAX: usize = 128;
/// Bytes of each text of a context (correlation, causation, principal, traceparent), at most.
pub const CONTEXT_TEXT_BYTES_MAX: usize = 256;
/// Bytes of a raw command id (an `Idempotency-Key`), at most.
pub const COMMAND_ID_BYTES_MAX: usize = 256;
/// Bytes of a register's name, at most.
pub const REGISTER_NAME_BYTES_MAX: usize = 256;
/// Bytes of a register's value, at most.
pub const REGISTER_BYTES_MAX: usize = 64 * 1024;
/// Slices of a journal: the unit of parallel, ordered consumption.
pub const SLICES: u16 = 1_024;

const _: () = assert!(EVENT_BYTES_MAX < COMMIT_BYTES_MAX);
const _: () = assert!(REPLY_BYTES_MAX < COMMIT_BYTES_MAX);
const _: () = assert!(SLICES.is_power_of_two());
const _: () = assert!(TENANT_BYTES_MAX < 256 && TYPE_BYTES_MAX < 256, "offsets inside an entity key fit a byte each");
