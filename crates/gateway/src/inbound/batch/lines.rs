//! The lines of a body while it comes in: each bounded in bytes, each waited for within a time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::inbound::body::{next_data, too_large, too_slow};
use crate::limits::BATCH_LINE_BYTES_MAX;
use crate::problem::Problem;

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
    number: u64,
    time_max: Duration,
    deadline: Instant,
}

impl Lines {
    pub(super) fn new(body: Option<Incoming>, time_max: Duration) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, number: 0, time_max, deadline: Instant::now() + time_max }
    }

    /// Whether every line has been given.
    pub(super) fn is_ended(&self) -> bool {
        self.body.is_none() && self.buffer.is_empty()
    }

    /// The next line; `None` at the end. After an error of the body itself there is no further line. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(text) = self.buffered() {
                self.number += 1;
                if !text.trim_ascii().is_empty() {
                    return Some(Line { number: self.number, text: Ok(text) });
                }
                continue;
            }
            if self.buffer.len() > BATCH_LINE_BYTES_MAX {
                return Some(self.fail(too_large(BATCH_LINE_BYTES_MAX, "bytes of a line")));
            }
            let body = self.body.as_mut()?;
            match timeout_at(self.deadline, next_data(body)).await {
                Ok(Ok(Some(data))) => self.take(&data),
                Ok(Ok(None)) => self.body = None,
                Ok(Err(problem)) => return Some(self.fail(problem)),
                Err(_) => return Some(self.fail(too_slow(self.time_max))),
            }
        }
    }

    fn take(&mut self, data: &[u8]) {
        self.deadline = Instant::now() + self.time_max;
        self.buffer.extend_from_slice(data);
    }

    /// A whole line of the buffer, or at the end of the body what is left of it.
    fn buffered(&mut self) -> Option<Bytes> {
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n').map(|found| self.searched + found);
        let length = match end {
            Some(end) => end + 1,
            None if self.body.is_none() && !self.buffer.is_empty() => self.buffer.len(),
            None => {
                self.searched = self.buffer.len();
                return None;
            }
        };
        if length > BATCH_LINE_BYTES_MAX + 1 {
            // Left in the buffer: the caller sees that it is too long.
            return None;
        }
        self.searched = 0;
        Some(self.buffer.split_to(length).freeze())
    }

    fn fail(&mut self, problem: Problem) -> Line {
        self.body = None;
        self.buffer.clear();
        self.searched = 0;
        self.number += 1;
        Line { number: self.number, text: Err(problem) }
    }
}
