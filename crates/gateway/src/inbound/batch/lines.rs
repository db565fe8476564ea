//! The lines of a body while it comes in: each bounded in bytes, each waited for within a time.
//!
//! A line beyond its bound is passed over without being kept, and told where it ends; the lines behind it go on. The time
//! is that from one line's end to the next one's, as far as we waited: bytes do not extend it, and what our own back
//! pressure takes is not counted.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::inbound::body::next_data;
use crate::limits::BATCH_LINE_BYTES_MAX;
use crate::problem::{BODY_TOO_LARGE, Problem, REQUEST_TIMEOUT};

/// One line that is not blank, or why it cannot be read.
pub(super) struct Line {
    /// From 1, blank lines counted.
    pub(super) number: u64,
    pub(super) text: Result<Bytes, Problem>,
}

pub(super) struct Lines {
    body: Option<Incoming>,
    buffer: BytesMut,
    /// Bytes of the buffer in which no line end was found.
    searched: usize,
    /// Whether the line that comes is beyond its bound: its bytes are dropped up to its end.
    is_too_long: bool,
    number: u64,
    time_max: Duration,
    /// How long the line that comes is still waited for.
    time_left: Duration,
}

impl Lines {
    pub(super) fn new(body: Option<Incoming>, time_max: Duration) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, is_too_long: false, number: 0, time_max, time_left: time_max }
    }

    /// Whether every line has been given.
    pub(super) fn is_ended(&self) -> bool {
        self.body.is_none() && self.buffer.is_empty() && !self.is_too_long
    }

    /// The next line; `None` at the end. After an error of the body itself there is no further line. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(text) = self.buffered() {
                self.number += 1;
                self.time_left = self.time_max;
                if text.as_ref().map_or(true, |text| !text.trim_ascii().is_empty()) {
                    return Some(Line { number: self.number, text });
                }
                continue;
            }
            let body = self.body.as_mut()?;
            match within(&mut self.time_left, next_data(body)).await {
                Some(Ok(Some(data))) => self.buffer.extend_from_slice(&data),
                Some(Ok(None)) => self.body = None,
                Some(Err(problem)) => return Some(self.fail(problem)),
                None => return Some(self.fail(too_slow(self.time_max))),
            }
        }
    }

    /// A whole line of the buffer, or at the end of the body what is left of it.
    fn buffered(&mut self) -> Option<Result<Bytes, Problem>> {
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n').map(|found| self.searched + found);
        let Some(end) = end.or_else(|| (self.body.is_none() && !self.is_ended()).then_some(self.buffer.len())) else {
            self.searched = self.buffer.len();
            self.pass_over(BATCH_LINE_BYTES_MAX);
            return None;
        };
        self.searched = 0;
        let text = self.buffer.split_to(self.buffer.len().min(end + 1)).freeze();
        let is_too_long = std::mem::take(&mut self.is_too_long) || end > BATCH_LINE_BYTES_MAX;
        Some(if is_too_long { Err(too_long()) } else { Ok(text) })
    }

    /// Drops what has come of a line that is too long; with it goes the memory that it took.
    fn pass_over(&mut self, bytes_max: usize) {
        if self.is_too_long || self.buffer.len() > bytes_max {
            self.is_too_long = true;
            self.buffer = BytesMut::new();
            self.searched = 0;
        }
    }

    fn fail(&mut self, problem: Problem) -> Line {
        self.body = None;
        self.buffer.clear();
        self.searched = 0;
        self.is_too_long = false;
        self.number += 1;
        Line { number: self.number, text: Err(problem) }
    }
}

/// Waits at most as long as is left, and takes from it what was waited, also when the wait is given up.
async fn within<T>(left: &mut Duration, waited_for: impl Future<Output = T>) -> Option<T> {
    let time = Waited { since: Instant::now(), left };
    timeout(*time.left, waited_for).await.ok()
}

struct Waited<'a> {
    since: Instant,
    left: &'a mut Duration,
}

impl Drop for Waited<'_> {
    fn drop(&mut self) {
        *self.left = self.left.saturating_sub(self.since.elapsed());
    }
}

fn too_long() -> Problem {
    let detail = format!("the line is longer than {BATCH_LINE_BYTES_MAX} bytes, which is the bound of a batch's line; it was not run");
    Problem::new(BODY_TOO_LARGE, detail)
}

fn too_slow(time_max: Duration) -> Problem {
    let seconds = time_max.as_secs_f32();
    let rule = format!("the line did not come to its end within {seconds} seconds (body_read_timeout)");
    Problem::new(REQUEST_TIMEOUT, format!("{rule}; the lines before it are answered, send it and what follows again"))
}
