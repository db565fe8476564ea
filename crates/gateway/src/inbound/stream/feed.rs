//! What leaves of a stream, whatever carries it: events gathered into chunks while they are there, and signs of life while they are not.
//!
//! With credit, an event that the reader has not asked for yet waits here, and nothing is read behind it.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use journal::{Cursor, Read, ReadError, Recorded};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::session::Messages;
use super::source::Source;
use crate::inbound::body::Chunks;
use crate::inbound::{Gateway, Stage};
use crate::limits::{CHUNK_BYTES, PROGRESS, SSE_RETRY};
use crate::problem::{Code, Problem};

/// How items are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// One a line.
    Lines,
    /// Server-sent events.
    Sse,
    /// One a line, each of which is a message of a WebSocket; what is no event is an object with one member that says what it is.
    Messages,
}

impl Framing {
    fn begin_event(self, cursor: Cursor, chunk: &mut Vec<u8>) {
        if self == Self::Sse {
            sse_id(chunk, cursor);
            chunk.extend_from_slice(b"data: ");
        }
    }

    fn end_event(self, chunk: &mut Vec<u8>) {
        chunk.extend_from_slice(if self == Self::Sse { b"\n\n" } else { b"\n" });
    }

    /// How far the reader is; lines have no place for it.
    fn progress(self, cursor: Cursor, chunk: &mut Vec<u8>) {
        match self {
            Self::Lines => {}
            Self::Sse => {
                sse_id(chunk, cursor);
                chunk.extend_from_slice(format!("event: progress\ndata: {{\"cursor\":\"{cursor}\"}}\n\n").as_bytes());
            }
            Self::Messages => chunk.extend_from_slice(format!("{{\"progress\":{{\"cursor\":\"{cursor}\"}}}}\n").as_bytes()),
        }
    }

    fn problem(self, problem: &Problem, chunk: &mut Vec<u8>) {
        let (before, after): (&[u8], &[u8]) = match self {
            Self::Lines => (b"", b"\n"),
            Self::Sse => (b"event: problem\ndata: ", b"\n\n"),
            Self::Messages => (b"{\"problem\":", b"}\n"),
        };
        chunk.extend_from_slice(before);
        problem.write(chunk, None);
        chunk.extend_from_slice(after);
    }

    /// Shows that the connection lives. A WebSocket has pings for it.
    fn sign(self, chunk: &mut Vec<u8>) {
        match self {
            Self::Lines => chunk.extend_from_slice(b"\n"),
            Self::Sse => chunk.extend_from_slice(b":\n\n"),
            Self::Messages => {}
        }
    }
}

pub(super) struct Feed {
    gateway: Arc<Gateway>,
    source: Source,
    framing: Framing,
    stages: watch::Receiver<Stage>,
    live: bool,
    left: Option<u64>,
    /// Events that the reader is still owed; without it, all of them.
    credit: Option<Arc<Semaphore>>,
    /// An event beyond the credit.
    held: Option<Vec<u8>>,
    /// How far the reader knows it is; nothing yet when it asked for `now`.
    told: Option<Cursor>,
    told_at: Instant,
    begun: bool,
    ended: bool,
    failure: Option<Code>,
}

enum Signal {
    Item(Option<Result<Read, ReadError>>),
    Credit,
    Heartbeat,
    Stop,
}

impl Feed {
    /// `told` is where the reader knows that it is.
    pub(super) fn new(gateway: &Arc<Gateway>, source: Source, framing: Framing, told: Option<Cursor>) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            source,
            framing,
            stages: gateway.stage.clone(),
            live: false,
            left: None,
            credit: None,
            held: None,
            told,
            told_at: Instant::now(),
            begun: false,
            ended: false,
            failure: None,
        }
    }

    /// Ends after so many events.
    pub(super) fn limited(self, limit: Option<u64>) -> Self {
        Self { left: limit, ..self }
    }

    /// A live feed ends when the service stops.
    pub(super) fn live(self, live: bool) -> Self {
        Self { live, ..self }
    }

    /// Gives an event for each permit, and no more.
    pub(super) fn on_credit(self, credit: Option<Arc<Semaphore>>) -> Self {
        Self { credit, ..self }
    }

    async fn signal(&mut self) -> Signal {
        let Self { source, stages, live, gateway, held, credit, .. } = self;
        tokio::select! {
            biased;
            _ = stages.wait_for(|stage| *stage > Stage::Serving), if *live => Signal::Stop,
            () = taken(credit.as_deref()), if held.is_some() => Signal::Credit,
            item = source.next(), if held.is_none() => Signal::Item(item),
            () = tokio::time::sleep(gateway.options.heartbeat) => Signal::Heartbeat,
        }
    }

    async fn put(&mut self, item: Option<Result<Read, ReadError>>, chunk: &mut Vec<u8>) {
        match item {
            None => {
                self.ended = true;
                self.put_progress(chunk);
            }
            Some(Ok(read)) => {
                self.source.pass(&read);
                match read {
                    Read::Event(event) => self.put_event(&event, chunk).await,
                    Read::Progress(_) => self.put_progress_if_due(chunk),
                }
            }
            Some(Err(error)) => self.put_problem(&self.source.problem(&error), chunk),
        }
    }

    async fn put_event(&mut self, event: &Recorded, chunk: &mut Vec<u8>) {
        let before = chunk.len();
        self.framing.begin_event(self.source.seen(), chunk);
        match self.source.write(event, chunk).await {
            Ok(true) => {
                self.framing.end_event(chunk);
                if self.is_owed() {
                    self.count();
                } else {
                    self.held = Some(chunk.split_off(before));
                }
            }
            Ok(false) => {
                chunk.truncate(before);
                self.put_progress_if_due(chunk);
            }
            Err(problem) => {
                chunk.truncate(before);
                self.put_problem(&problem, chunk);
            }
        }
    }

    /// Whether the reader takes one more event; if so, it counts as given.
    fn is_owed(&self) -> bool {
        self.credit.as_deref().is_none_or(|credit| credit.try_acquire().map(SemaphorePermit::forget).is_ok())
    }

    /// What was held goes on its way.
    fn put_held(&mut self, chunk: &mut Vec<u8>) {
        if let Some(event) = self.held.take() {
            chunk.extend_from_slice(&event);
            self.count();
        }
    }

    /// One more event is told.
    fn count(&mut self) {
        self.told = Some(self.source.seen());
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.ended |= self.left == Some(0);
    }

    fn put_progress_if_due(&mut self, chunk: &mut Vec<u8>) {
        if self.told_at.elapsed() >= PROGRESS {
            self.put_progress(chunk);
        }
    }

    /// Tells a reader how far it is, unless it knows. An event that is held lies before that place.
    fn put_progress(&mut self, chunk: &mut Vec<u8>) {
        let seen = self.source.seen();
        if self.held.is_some() || self.told.is_some_and(|told| told.position() == seen.position()) {
            return;
        }
        self.framing.progress(seen, chunk);
        self.told = Some(seen);
    }

    fn put_problem(&mut self, problem: &Problem, chunk: &mut Vec<u8>) {
        self.ended = true;
        self.failure = Some(problem.code());
        self.framing.problem(problem, chunk);
    }

    fn put_heartbeat(&mut self, chunk: &mut Vec<u8>) {
        self.put_progress(chunk);
        if chunk.is_empty() {
            self.framing.sign(chunk);
        }
    }

    fn begin(&mut self) -> Option<Bytes> {
        self.begun = true;
        let mut chunk = Vec::new();
        if self.framing == Framing::Sse {
            chunk.extend_from_slice(format!("retry: {}\n\n", SSE_RETRY.as_millis()).as_bytes());
        }
        // Who begins at `now` has a place to come back to before the first event.
        self.put_progress(&mut chunk);
        (!chunk.is_empty()).then(|| chunk.into())
    }
}

impl Chunks for Feed {
    async fn next(&mut self) -> Option<Bytes> {
        if !self.begun
            && let Some(first) = self.begin()
        {
            return Some(first);
        }
        let mut chunk = Vec::new();
        while chunk.is_empty() && !self.ended {
            match self.signal().await {
                Signal::Item(item) => self.put(item, &mut chunk).await,
                Signal::Credit => self.put_held(&mut chunk),
                Signal::Heartbeat => self.put_heartbeat(&mut chunk),
                Signal::Stop => self.ended = true,
            }
        }
        while !self.ended && self.held.is_none() && chunk.len() < CHUNK_BYTES {
            let Some(item) = at_once(self.source.next()).await else { break };
            self.put(item, &mut chunk).await;
        }
        self.told_at = Instant::now();
        (!chunk.is_empty()).then(|| chunk.into())
    }
}

impl Messages for Feed {
    fn failure(&self) -> Option<Code> {
        self.failure
    }
}

/// Takes a permit for one event; without credit there is nothing to wait for.
async fn taken(credit: Option<&Semaphore>) {
    if let Some(credit) = credit
        && let Ok(permit) = credit.acquire().await
    {
        permit.forget();
    }
}

fn sse_id(chunk: &mut Vec<u8>, cursor: Cursor) {
    let mut line = String::with_capacity(48);
    writeln!(line, "id: {cursor}").expect("a string takes every write");
    chunk.extend_from_slice(line.as_bytes());
}

/// The future's output when it is there without waiting; the future must be cancel-safe.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
