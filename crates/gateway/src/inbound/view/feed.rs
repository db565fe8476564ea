//! A live query as server-sent events: `snapshot` or `reset` (all rows), `row` and `gone` (what changed), `caught-up`, `gap` and `problem`.
//!
//! The bytes of an update are made once and shared by all who read it. Only the last event of an update has an `id`: who comes back with it
//! has all of the update, and gets what followed.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use runtime::{LiveEvent, LiveQuery, LiveUpdate, RowChange};
use tokio::sync::watch;

use super::super::answer::{self, SSE};
use super::super::body::{Body, Chunks};
use super::super::stream::ACCEL_BUFFERING;
use super::super::{Gateway, Stage, refusal};
use super::snapshot;
use crate::limits::SSE_RETRY;

pub(super) struct Feed {
    gateway: Arc<Gateway>,
    live: LiveQuery,
    stages: watch::Receiver<Stage>,
    begun: bool,
    ended: bool,
}

enum Signal {
    Event(Option<LiveEvent>),
    Heartbeat,
    Stop,
}

pub(super) fn response(feed: Feed) -> Response<Body> {
    let mut response = answer::with(StatusCode::OK, SSE, Body::pulled(feed));
    response.headers_mut().insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

impl Feed {
    pub(super) fn new(gateway: &Arc<Gateway>, live: LiveQuery) -> Self {
        Self { gateway: Arc::clone(gateway), live, stages: gateway.stage.clone(), begun: false, ended: false }
    }

    async fn signal(&mut self) -> Signal {
        let Self { gateway, live, stages, .. } = self;
        tokio::select! {
            biased;
            _ = stages.wait_for(|stage| *stage > Stage::Serving) => Signal::Stop,
            event = live.next() => Signal::Event(event),
            () = tokio::time::sleep(gateway.options.heartbeat) => Signal::Heartbeat,
        }
    }

    fn encoded(&mut self, event: LiveEvent) -> Bytes {
        match event {
            LiveEvent::Snapshot(rows) => rows.encoded.get_or_init(|| snapshot("snapshot", rows.cursor, &rows.rows)).clone(),
            LiveEvent::Reset(rows) => snapshot("reset", rows.cursor, &rows.rows),
            LiveEvent::Update(update) => update.encoded.get_or_init(|| changes(&update)).clone(),
            LiveEvent::CaughtUp(cursor) => format!("id: {cursor}\nevent: caught-up\ndata: {{\"cursor\":\"{cursor}\"}}\n\n").into(),
            LiveEvent::Gap => {
                self.ended = true;
                Bytes::from_static(
                    b"event: gap\ndata: {\"detail\":\"this reader was too slow and has missed changes; come back for all rows\"}\n\n",
                )
            }
            LiveEvent::Failed(error) => {
                self.ended = true;
                let mut out = b"event: problem\ndata: ".to_vec();
                refusal::query(&self.gateway.runtime, (*error).clone(), false).write(&mut out, None);
                out.extend_from_slice(b"\n\n");
                out.into()
            }
        }
    }
}

fn changes(update: &LiveUpdate) -> Bytes {
    let mut out = Vec::new();
    for (at, change) in update.changes.iter().enumerate() {
        if at + 1 == update.changes.len() {
            out.extend_from_slice(format!("id: {}\n", update.cursor).as_bytes());
        }
        match change {
            RowChange::Gone { key } => {
                out.extend_from_slice(b"event: gone\ndata: {\"key\":");
                out.extend_from_slice(key);
            }
            RowChange::Row { at, key, row } => {
                out.extend_from_slice(format!("event: row\ndata: {{\"at\":{at},\"key\":").as_bytes());
                out.extend_from_slice(key);
                out.extend_from_slice(b",\"row\":");
                out.extend_from_slice(row);
            }
        }
        out.extend_from_slice(b"}\n\n");
    }
    out.into()
}

impl Chunks for Feed {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if !std::mem::replace(&mut self.begun, true) {
            return Some(format!("retry: {}\n\n", SSE_RETRY.as_millis()).into());
        }
        match self.signal().await {
            Signal::Event(Some(event)) => Some(self.encoded(event)),
            Signal::Heartbeat => Some(Bytes::from_static(b":\n\n")),
            Signal::Event(None) | Signal::Stop => None,
        }
    }
}
