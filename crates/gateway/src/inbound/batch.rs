//! `POST /v1/entities/{type}:batch`: a command a line in, a result a line out, in the same order, both as NDJSON.
//!
//! A line: `{"id":"c1","command":"add-item","body":{..},"key":"..","if_match":7}`; all but `id` and `command` may be left out.
//! A result: `{"line":1,"status":200,"reply":..,"sequence":..,"cursor":"..","key":".."}`, or a problem with its `line`.
//!
//! Lines of different entities run side by side, up to a bound; lines of one entity run one after the other, each seeing
//! what the ones before it did. The body as a whole has no bound, but each line has one, in bytes and in time, and so has
//! its `body`: what is too large is told for its line alone. The body is read while results are written, so a client must
//! read while it sends. A command that began is finished although its client is gone.

mod command;
mod lines;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode, header};
use journal::{Context, EntityKey};
use runtime::{CommandOutcome, CommandRequest};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Gateway;
use super::answer::{self, NDJSON};
use super::body::{Body, Chunks, RequestBody};
use super::command::check_type;
use super::headers::{self, IDEMPOTENCY_KEY};
use super::{query, refusal};
use crate::json;
use crate::limits::{BATCH_IN_FLIGHT_MAX, CHUNK_BYTES};
use crate::problem::{INTERNAL, Problem};
use lines::{Line, Lines};

pub(super) fn run(gateway: &Arc<Gateway>, parts: &Parts, body: &mut RequestBody, kind: &str) -> Result<Response<Body>, Problem> {
    check_type(gateway, kind)?;
    query::none(parts.uri.query())?;
    let alone = [IDEMPOTENCY_KEY, header::IF_MATCH, header::IF_NONE_MATCH];
    headers::refuse(&parts.headers, &alone, "has no meaning for a batch; each line has its own `key` and `if_match`")?;
    let context = headers::context(&parts.headers)?;
    headers::check_media_type(&parts.headers, NDJSON, !body.is_empty())?;
    let lines = Lines::new(body.take(), gateway.options.body_read_timeout);
    let batch = Batch { gateway: Arc::clone(gateway), kind: kind.into(), context, lines, window: VecDeque::new(), tails: HashMap::new() };
    Ok(answer::with(StatusCode::OK, NDJSON, Body::pulled(batch)))
}

/// A batch under way.
struct Batch {
    gateway: Arc<Gateway>,
    kind: Arc<str>,
    context: Context,
    lines: Lines,
    /// Results in the order of their lines, the oldest first.
    window: VecDeque<Slot>,
    /// Where the last line of an entity says that it is done.
    tails: HashMap<EntityKey, oneshot::Receiver<()>>,
}

enum Slot {
    Done(Vec<u8>),
    Running { number: u64, task: JoinHandle<Vec<u8>> },
}

impl Slot {
    /// Waits for the result. Cancel-safe: a finished task's result moves into the slot.
    async fn settle(&mut self) {
        if let Self::Running { number, task } = self {
            let result = task.await;
            let number = *number;
            *self = Self::Done(result.unwrap_or_else(|_| refused(number, &Problem::new(INTERNAL, "the command's handler panicked"))));
        }
    }

    fn is_settled(&self) -> bool {
        match self {
            Self::Done(_) => true,
            Self::Running { task, .. } => task.is_finished(),
        }
    }
}

impl Chunks for Batch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let chunk = self.settled().await;
            if !chunk.is_empty() {
                return Some(chunk.into());
            }
            let may_read = !self.lines.is_ended() && self.window.len() < BATCH_IN_FLIGHT_MAX;
            if !may_read && self.window.is_empty() {
                return None;
            }
            let Self { lines, window, .. } = self;
            tokio::select! {
                biased;
                line = lines.next(), if may_read => if let Some(line) = line {
                    self.start(line);
                },
                () = settle_first(window), if !window.is_empty() => {}
            }
        }
    }
}

async fn settle_first(window: &mut VecDeque<Slot>) {
    if let Some(first) = window.front_mut() {
        first.settle().await;
    }
}

impl Batch {
    /// The results at the front of the window that are there already.
    async fn settled(&mut self) -> Vec<u8> {
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK_BYTES && self.window.front().is_some_and(Slot::is_settled) {
            settle_first(&mut self.window).await;
            if let Some(Slot::Done(result)) = self.window.pop_front() {
                chunk.extend_from_slice(&result);
            }
        }
        chunk
    }

    fn start(&mut self, line: Line) {
        let number = line.number;
        let slot = match line.text.and_then(|text| self.request(&text)) {
            Ok(request) => Slot::Running { number, task: self.spawn(number, request) },
            Err(problem) => Slot::Done(refused(number, &problem)),
        };
        self.window.push_back(slot);
    }

    fn request(&self, text: &[u8]) -> Result<CommandRequest, Problem> {
        command::request(text, &self.kind, self.gateway.options.body_bytes_max, &self.context)
    }

    /// Runs a command once the one before it on its entity is done.
    fn spawn(&mut self, number: u64, request: CommandRequest) -> JoinHandle<Vec<u8>> {
        let (done, tail) = oneshot::channel::<()>();
        let before = self.tails.insert(request.entity.clone(), tail);
        if self.tails.len() > 2 * BATCH_IN_FLIGHT_MAX {
            self.tails.retain(|_, tail| matches!(tail.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        }
        let gateway = Arc::clone(&self.gateway);
        tokio::spawn(async move {
            if let Some(before) = before {
                // The sender is dropped at its task's end, also when it panics; no word is ever sent.
                let _dropped = before.await;
            }
            let _done = done;
            let command = request.command.clone();
            match gateway.runtime.command(request).await {
                Ok(outcome) => accepted(number, &outcome),
                Err(error) => refused(number, &refusal::command(error, &command)),
            }
        })
    }
}

fn accepted(number: u64, outcome: &CommandOutcome) -> Vec<u8> {
    let mut line = Vec::with_capacity(outcome.reply.len() + 192);
    line.extend_from_slice(b"{\"line\":");
    json::number(&mut line, number);
    line.extend_from_slice(b",\"status\":200,");
    answer::members(&mut line, outcome);
    line.extend_from_slice(b",\"key\":");
    json::string(&mut line, &outcome.id);
    if outcome.replayed {
        line.extend_from_slice(b",\"replayed\":true");
    }
    line.extend_from_slice(b"}\n");
    line
}

fn refused(number: u64, problem: &Problem) -> Vec<u8> {
    let mut line = Vec::with_capacity(256);
    problem.write(&mut line, Some(number));
    line.push(b'\n');
    line
}
