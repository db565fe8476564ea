//! Commits as they were stored, in order: what an export writes down.

use std::collections::VecDeque;
use std::sync::Arc;

use super::pipeline::Shared;
use super::reader::FrameReader;
use super::record::StoredCommit;
use crate::cursor::{Cursor, Position};
use crate::error::ReadError;

/// A running read of whole commits, to the head as it was when it began.
pub struct Commits {
    frames: FrameReader,
    after: Position,
    head: Position,
    buffer: VecDeque<StoredCommit>,
    refused: Option<ReadError>,
}

impl Commits {
    pub(crate) fn new(shared: Arc<Shared>, after: Cursor) -> Self {
        let head = *shared.durable.borrow();
        let resolved = shared.lock().lineage.resolve(after, head, 0);
        let (after, refused) = resolved.map_or_else(|error| (head, Some(error.into())), |after| (after, None));
        Self { frames: FrameReader::new(shared, after, None), after, head, buffer: VecDeque::new(), refused }
    }

    /// The next commit; `None` at the end. A commit counts as after a place when its last event is.
    pub async fn next(&mut self) -> Option<Result<StoredCommit, ReadError>> {
        if let Some(error) = self.refused.take() {
            return Some(Err(error));
        }
        while self.buffer.is_empty() && self.frames.at < self.head {
            match self.frames.next(self.head).await {
                Ok(commits) => self.buffer.extend(commits.into_iter().filter(|commit| commit.last_position() > self.after)),
                Err(error) => return Some(Err(error)),
            }
        }
        let commit = self.buffer.pop_front().filter(|commit| commit.last_position() <= self.head)?;
        Some(Ok(commit))
    }
}
