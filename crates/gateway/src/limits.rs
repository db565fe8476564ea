//! Every bound of the HTTP face. What a service may set stands in [`crate::Options`] with these as defaults; a refusal
//! names the bound that it is about.

use std::time::Duration;

/// Bytes of a request's path and query, at most.
pub const URI_BYTES_MAX: usize = 8 * 1024;
/// Bytes of all header names and values of a request, at most.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Header fields of a request, at most. hyper itself refuses beyond 100, with an empty body.
pub const HEADERS_MAX: usize = 64;
/// Bytes that hyper buffers of a request's head before it gives up on it, with an empty body.
pub const HEAD_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of a command's or operation's body, at most.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the body of a refused request that are still read, so that the refusal reaches a client that sends before it reads.
pub const REFUSED_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a refused body is read, at most.
pub const REFUSED_BODY_MAX: Duration = Duration::from_secs(5);

/// Connections open at once, at most.
pub const CONNECTIONS_MAX: usize = 10_240;
/// Connections beyond the bound that are told so at once, at most; the rest are closed without a word.
pub const REFUSALS_MAX: usize = 64;
/// How long a refused connection is given to take its refusal.
pub const REFUSAL_MAX: Duration = Duration::from_secs(1);
/// From a request's first byte to the end of its headers, at most.
pub const HEADER_READ_MAX: Duration = Duration::from_secs(10);
/// From the end of the headers to the end of the body, and between two lines of a batch, at most.
pub const BODY_READ_MAX: Duration = Duration::from_secs(30);
/// Between two requests of a connection, at most.
pub const IDLE_MAX: Duration = Duration::from_secs(75);
/// How long a reader may take nothing of what waits for it, before its connection is cut.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(60);
/// How long a stop waits for requests under way before it cuts them.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long a stopping server still answers new connections, so that probes see it and keep-alive clients are told.
pub const DRAIN_LINGER: Duration = Duration::from_millis(250);
/// How long the accept loop rests when the system has no descriptor left.
pub const ACCEPT_REST: Duration = Duration::from_millis(50);

/// How long a request that takes its answer later (`Prefer: respond-async, wait=N`) is held open first, at most.
pub const PREFERRED_WAIT_MAX: Duration = Duration::from_secs(30);

/// Bytes of one line of a batch, at most.
pub const BATCH_LINE_BYTES_MAX: usize = 1024 * 1024;
/// Commands of one batch under way, at most.
pub const BATCH_IN_FLIGHT_MAX: usize = 256;

/// Messages of one batch for a topic, at most.
pub const TOPIC_BATCH_MESSAGES_MAX: usize = 1_000;
/// Bytes of one batch for a topic, at most.
pub const TOPIC_BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of the body of a call to a consumer, at most.
pub const CONSUMER_BODY_BYTES_MAX: usize = 64 * 1024;
/// Event types that one consumer reads, at most.
pub const CONSUMER_TYPES_MAX: usize = 64;
/// How long a client has to acknowledge a delivery, when it does not say.
pub const ACK_SECONDS_DEFAULT: u32 = 30;
/// How long it may have, and by how much it may extend it, at most.
pub const ACK_SECONDS_MAX: u32 = 3_600;
/// Attempts before a key is parked, when a client does not say.
pub const ATTEMPTS_DEFAULT: u32 = 12;
/// Attempts before a key is parked, at most.
pub const ATTEMPTS_MAX: u32 = 1_000;
/// Deliveries of a consumer that are out at once, when a client does not say.
pub const IN_FLIGHT_DEFAULT: u32 = 256;
/// Deliveries of a consumer that are out at once, at most.
pub const IN_FLIGHT_MAX: u32 = 1_024;
/// Deliveries in one answer or one call, at most.
pub const DELIVERIES_MAX: usize = 256;
/// Deliveries in the answer to a pull that does not say how many.
pub const PULL_DEFAULT: u64 = 16;
/// How long a pull waits for a first delivery, at most.
pub const PULL_WAIT_SECONDS_MAX: u64 = 20;
/// How long a client may have a failed delivery wait, at most.
pub const RETRY_AFTER_SECONDS_MAX: u64 = 86_400;
/// Bytes of a failure's cause, at most.
pub const FAILURE_CAUSE_BYTES_MAX: usize = 1_024;
/// Attributes of a message, at most.
pub const ATTRIBUTES_MAX: usize = 64;
/// Bytes of an attribute's name, at most.
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 64;
/// Bytes of an attribute's value, at most.
pub const ATTRIBUTE_BYTES_MAX: usize = 8 * 1024;

/// Items of a page when the request names no limit.
pub const PAGE_ITEMS_DEFAULT: u64 = 100;
/// Items of a page, at most.
pub const PAGE_ITEMS_MAX: u64 = 1_000;
/// Bytes after which a page ends, although its limit of items is not reached.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Pages that a service gives to browsers, at most.
pub const WEB_PAGES_MAX: usize = 1_024;
/// Bytes of one of them, at most: it is part of the program and lies in memory.
pub const WEB_PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of its path, at most.
pub const WEB_PAGE_PATH_BYTES_MAX: usize = 256;

/// Bytes that a stream gathers before it hands them to the connection.
pub const CHUNK_BYTES: usize = 32 * 1024;
/// Between two signs of life of a live stream without events.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Between two words of progress while a filter lets nothing through.
pub const PROGRESS: Duration = Duration::from_secs(1);
/// How long an SSE client is asked to wait before it comes back.
pub const SSE_RETRY: Duration = Duration::from_secs(2);
/// Filters of one kind on a stream, at most.
pub const FILTERS_MAX: usize = 32;

/// Bytes of what a reader may say on a WebSocket at once, at most.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: usize = 1024;
/// Bytes that a WebSocket reads from its connection at once.
pub const WEBSOCKET_READ_BYTES: usize = 4 * 1024;
/// From our word that a WebSocket closes to the end of its connection, at most.
pub const WEBSOCKET_CLOSE_MAX: Duration = Duration::from_secs(3);
/// Events that a reader may be owed, at most.
pub const CREDIT_MAX: u64 = 1_000_000;

/// How long a query waits for the place that it must have seen.
pub const SEEN_MAX: Duration = Duration::from_secs(10);

/// How long the client waits for a connection.
pub const CLIENT_CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long the client waits for an answer.
pub const CLIENT_ANSWER_MAX: Duration = Duration::from_secs(30);
/// Bytes of an answer that the client takes, at most.
pub const CLIENT_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of one line of a stream that the client takes, at most.
pub const CLIENT_LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a peer's cursor, at most.
pub const PEER_CURSOR_BYTES_MAX: usize = 256;
/// Bytes of what a peer refuses a stream with that are read, at most.
pub const PEER_REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// How long a call of an action waits for a connection.
pub const OUTGOING_CONNECT_MAX: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried, at most.
pub const OUTGOING_ADDRESSES_MAX: usize = 4;
/// Bytes of the head of an answer to an action, at most.
pub const OUTGOING_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Header fields of an answer to an action, at most.
pub const OUTGOING_HEADERS_MAX: usize = 100;
/// How long a connection waits for its next call, at most.
pub const OUTGOING_IDLE_MAX: Duration = Duration::from_secs(30);
/// Connections that wait for their next call to one destination, at most.
pub const OUTGOING_KEPT_PER_DESTINATION_MAX: usize = 32;
/// Connections that wait for their next call, at most.
pub const OUTGOING_KEPT_MAX: usize = 256;
/// Samples of one shape when a request does not say how many.
pub(crate) const SAMPLES_PER_SHAPE_DEFAULT: usize = 3;

const _: () = assert!(URI_BYTES_MAX + HEADER_BYTES_MAX < HEAD_BUFFER_BYTES, "our own refusal comes before hyper's bare one");
const _: () = assert!(PULL_WAIT_SECONDS_MAX < CLIENT_ANSWER_MAX.as_secs(), "our own client waits longer than a pull");
const _: () = assert!(IN_FLIGHT_MAX as usize <= runtime::limits::WINDOW_EVENTS_MAX);
const _: () = assert!(WEBSOCKET_CLOSE_MAX.as_millis() < DRAIN_MAX.as_millis(), "a stop waits until readers are told");
const _: () = assert!(HEARTBEAT.as_millis() < WRITE_STALL_MAX.as_millis(), "a ping has time for its answer");
const _: () = assert!(WEBSOCKET_MESSAGE_BYTES_MAX <= WEBSOCKET_READ_BYTES);
const _: () = assert!(BODY_BYTES_MAX <= REFUSED_BODY_BYTES_MAX);
const _: () = assert!(PAGE_ITEMS_DEFAULT <= PAGE_ITEMS_MAX);
const _: () = assert!(journal::limits::EVENT_BYTES_MAX * 4 / 3 < CLIENT_LINE_BYTES_MAX, "the largest event fits a line, as base64 too");

/// Timers that one request sets, at most.
pub const TIMERS_SET_MAX: usize = 1_000;
/// Bytes of a request that sets many timers, at most.
pub const TIMERS_SET_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many milliseconds from now a timer may be due, or between two firings of it, at most: a hundred years.
pub const TIMER_SPAN_MS_MAX: u64 = 100 * 366 * 86_400_000;
