//! The server: an accept loop and connections of our own over hyper's HTTP/1.1, one table of routes, and their handlers.
//!
//! Every bound is held here, before the runtime sees a request: connections, times, head, body. Handlers give
//! `Result<Response, Problem>`; a panic in one is `HW0050`, and its connection lives on.
//!
//! What it is not: it keeps no session and no queue; what waits, waits in the runtime (bounded) or on the socket.

mod admin;
mod answer;
mod batch;
#[cfg(feature = "testing")]
pub(crate) mod beside;
mod body;
mod command;
mod connection;
mod consumer;
mod deadline;
mod destination;
mod dispatch;
mod entity;
mod events;
mod headers;
mod health;
mod journal;
mod node;
mod page;
mod path;
mod prefer;
mod query;
mod refusal;
mod retention;
mod route;
mod schema;
mod server;
mod stream;
mod subject;
mod subscription;
mod timer;
mod topic;
mod view;
mod websocket;
mod workflow;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use runtime::Runtime;
use tokio::sync::watch;

use crate::limits;
use crate::page::Pages;

pub(crate) use headers::{CORRELATION_ID, IDEMPOTENCY_KEY, TIMEOUT_MS, TRACEPARENT};
pub(crate) use path::encode;
pub use refusal::told;
pub use server::serve;

/// The bounds of a server that a service may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a command's or operation's body, at most.
    pub body_bytes_max: usize,
    /// Connections open at once, at most.
    pub connections_max: usize,
    /// From a request's first byte to the end of its headers, at most.
    pub header_read_timeout: Duration,
    /// From the end of the headers to the end of the body, at most.
    pub body_read_timeout: Duration,
    /// Between two requests of a connection, at most.
    pub idle_timeout: Duration,
    /// How long a reader may take nothing of what waits for it.
    pub write_stall_timeout: Duration,
    /// Between two signs of life of a live stream without events.
    pub heartbeat: Duration,
    /// How long a stopping server still answers new connections, with `HW0041`.
    pub drain_linger: Duration,
    /// How long a stop waits for requests under way before it cuts them; the linger is part of it.
    pub drain_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_bytes_max: limits::BODY_BYTES_MAX,
            connections_max: limits::CONNECTIONS_MAX,
            header_read_timeout: limits::HEADER_READ_MAX,
            body_read_timeout: limits::BODY_READ_MAX,
            idle_timeout: limits::IDLE_MAX,
            write_stall_timeout: limits::WRITE_STALL_MAX,
            heartbeat: limits::HEARTBEAT,
            drain_linger: limits::DRAIN_LINGER,
            drain_timeout: limits::DRAIN_MAX,
        }
    }
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// No stop yet.
    Serving,
    /// Not ready any more; every answer closes its connection; live streams end.
    Stopping,
    /// No new connections; idle ones close.
    Closing,
    /// Out of time: what is left is cut.
    Cut,
}

/// What all requests of a server share.
struct Gateway {
    runtime: Arc<Runtime>,
    pages: Pages,
    options: Options,
    stage: watch::Receiver<Stage>,
    /// The same word as `stage`, for every request's answer to look at without a lock.
    stopping: AtomicBool,
    description: OnceLock<Bytes>,
    messages: OnceLock<Bytes>,
}

impl Gateway {
    fn new(runtime: Arc<Runtime>, pages: Pages, options: Options, stage: watch::Receiver<Stage>) -> Self {
        Self { runtime, pages, options, stage, stopping: AtomicBool::new(false), description: OnceLock::new(), messages: OnceLock::new() }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn entity_types(&self) -> Vec<&'static str> {
        self.runtime.entity_descriptions().iter().map(|description| description.name).collect()
    }
}
