//! The body of a stream: events gathered into chunks while they are there, and signs of life while they are not.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use journal::{Cursor, Read, ReadError, Recorded};
use tokio::sync::watch;

use super::source::Source;
use crate::inbound::body::Chunks;
use crate::inbound::{Gateway, Stage};
use crate::limits::{CHUNK_BYTES, PROGRESS, SSE_RETRY};
use crate::problem::Problem;

/// How items are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// One a line.
    Lines,
    /// Server-sent events.
    Sse,
}

pub(super) struct Feed {
    gateway: Arc<Gateway>,
    source: Source,
    framing: Framing,
    stages: watch::Receiver<Stage>,
    live: bool,
    left: Option<u64>,
    /// How far the reader knows it is; nothing yet when it asked for `now`.
    told: Option<Cursor>,
    told_at: Instant,
    begun: bool,
    ended: bool,
}

enum Signal {
    Item(Option<Result<Read, ReadError>>),
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
            told,
            told_at: Instant::now(),
            begun: false,
            ended: false,
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

    async fn signal(&mut self) -> Signal {
        let Self { source, stages, live, gateway, .. } = self;
        tokio::select! {
            biased;
            _ = stages.wait_for(|stage| *stage > Stage::Serving), if *live => Signal::Stop,
            item = source.next() => Signal::Item(item),
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
        let (before, seen) = (chunk.len(), self.source.seen());
        if self.framing == Framing::Sse {
            sse_id(chunk, seen);
            chunk.extend_from_slice(b"data: ");
        }
        match self.source.write(event, chunk).await {
            Ok(true) => {
                chunk.extend_from_slice(if self.framing == Framing::Sse { b"\n\n" } else { b"\n" });
                self.told = Some(seen);
                self.left = self.left.map(|left| left.saturating_sub(1));
                self.ended |= self.left == Some(0);
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

    fn put_progress_if_due(&mut self, chunk: &mut Vec<u8>) {
        if self.told_at.elapsed() >= PROGRESS {
            self.put_progress(chunk);
        }
    }

    /// Tells an SSE reader how far it is; lines have no place for it.
    fn put_progress(&mut self, chunk: &mut Vec<u8>) {
        if self.framing == Framing::Lines || self.told.is_some_and(|told| told.position() == self.source.seen().position()) {
            return;
        }
        let cursor = self.source.seen();
        sse_id(chunk, cursor);
        chunk.extend_from_slice(format!("event: progress\ndata: {{\"cursor\":\"{cursor}\"}}\n\n").as_bytes());
        self.told = Some(cursor);
    }

    fn put_problem(&mut self, problem: &Problem, chunk: &mut Vec<u8>) {
        self.ended = true;
        if self.framing == Framing::Sse {
            chunk.extend_from_slice(b"event: problem\ndata: ");
        }
        problem.write(chunk, None);
        chunk.extend_from_slice(if self.framing == Framing::Sse { b"\n\n" } else { b"\n" });
    }

    fn put_heartbeat(&mut self, chunk: &mut Vec<u8>) {
        self.put_progress(chunk);
        if chunk.is_empty() {
            chunk.extend_from_slice(if self.framing == Framing::Sse { b":\n\n" } else { b"\n" });
        }
    }

    fn begin(&mut self) -> Option<Bytes> {
        self.begun = true;
        if self.framing == Framing::Lines {
            return None;
        }
        let mut chunk = format!("retry: {}\n\n", SSE_RETRY.as_millis()).into_bytes();
        // Who begins at `now` has a place to come back to before the first event.
        self.put_progress(&mut chunk);
        Some(chunk.into())
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
                Signal::Heartbeat => self.put_heartbeat(&mut chunk),
                Signal::Stop => self.ended = true,
            }
        }
        while !self.ended && chunk.len() < CHUNK_BYTES {
            let Some(item) = at_once(self.source.next()).await else { break };
            self.put(item, &mut chunk).await;
        }
        self.told_at = Instant::now();
        (!chunk.is_empty()).then(|| chunk.into())
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
