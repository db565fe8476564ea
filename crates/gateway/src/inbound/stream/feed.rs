//! The body of a stream: events gathered into chunks while they are there, and signs of life while they are not.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use journal::{Cursor, Events, Read, ReadError};
use tokio::sync::watch;

use super::{Filter, Versions};
use crate::cloudevent::{self, Audience};
use crate::inbound::body::Chunks;
use crate::inbound::{Gateway, Stage, refusal};
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
    events: Events,
    filter: Filter,
    versions: Versions,
    framing: Framing,
    stages: watch::Receiver<Stage>,
    live: bool,
    left: Option<u64>,
    /// How far the reader has been told it is, and how far the read has come.
    told: Cursor,
    seen: Cursor,
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
    pub(super) fn new(gateway: &Arc<Gateway>, events: Events, filter: Filter, framing: Framing, after: Cursor) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            events,
            filter,
            versions: Versions::default(),
            framing,
            stages: gateway.stage.clone(),
            live: false,
            left: None,
            told: after,
            seen: after,
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

    /// Gives some types in other versions than they were recorded in.
    pub(super) fn in_versions(self, versions: Versions) -> Self {
        Self { versions, ..self }
    }

    async fn signal(&mut self) -> Signal {
        let Self { events, stages, live, gateway, .. } = self;
        tokio::select! {
            biased;
            _ = stages.wait_for(|stage| *stage > Stage::Serving), if *live => Signal::Stop,
            item = events.next() => Signal::Item(item),
            () = tokio::time::sleep(gateway.options.heartbeat) => Signal::Heartbeat,
        }
    }

    fn put(&mut self, item: Option<Result<Read, ReadError>>, chunk: &mut Vec<u8>) {
        match item {
            None => {
                self.ended = true;
                self.put_progress(chunk);
            }
            Some(Ok(Read::Event(event))) => {
                self.seen = self.gateway.runtime.journal().lineage().cursor(event.position);
                if !self.filter.matches(&event) {
                    return self.put_progress_if_due(chunk);
                }
                match self.versions.of(&event, &self.gateway.runtime) {
                    Ok(Some(event)) => self.put_event(&event, chunk),
                    Ok(None) => self.put_progress_if_due(chunk),
                    Err(problem) => self.put_problem(&problem, chunk),
                }
            }
            Some(Ok(Read::Progress(cursor))) => {
                self.seen = cursor;
                self.put_progress_if_due(chunk);
            }
            Some(Err(error)) => self.put_problem(&refusal::read(&self.gateway.runtime, &error), chunk),
        }
    }

    fn put_event(&mut self, event: &journal::Recorded, chunk: &mut Vec<u8>) {
        if self.framing == Framing::Sse {
            sse_id(chunk, self.seen);
            chunk.extend_from_slice(b"data: ");
        }
        cloudevent::write(chunk, self.gateway.runtime.service(), event, self.seen, Audience::Stream);
        chunk.extend_from_slice(if self.framing == Framing::Sse { b"\n\n" } else { b"\n" });
        self.told = self.seen;
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.ended |= self.left == Some(0);
    }

    fn put_progress_if_due(&mut self, chunk: &mut Vec<u8>) {
        if self.told_at.elapsed() >= PROGRESS {
            self.put_progress(chunk);
        }
    }

    /// Tells an SSE reader how far it is; lines have no place for it.
    fn put_progress(&mut self, chunk: &mut Vec<u8>) {
        if self.framing == Framing::Lines || self.seen.position() == self.told.position() {
            return;
        }
        sse_id(chunk, self.seen);
        let cursor = self.seen;
        chunk.extend_from_slice(format!("event: progress\ndata: {{\"cursor\":\"{cursor}\"}}\n\n").as_bytes());
        self.told = cursor;
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
        (self.framing == Framing::Sse).then(|| format!("retry: {}\n\n", SSE_RETRY.as_millis()).into())
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
                Signal::Item(item) => self.put(item, &mut chunk),
                Signal::Heartbeat => self.put_heartbeat(&mut chunk),
                Signal::Stop => self.ended = true,
            }
        }
        while !self.ended && chunk.len() < CHUNK_BYTES {
            let Some(item) = at_once(self.events.next()).await else { break };
            self.put(item, &mut chunk);
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
