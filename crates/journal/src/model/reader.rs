//! Running reads and listings of the model.

use std::collections::btree_set;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::contract_traits::BoxFuture;
use crate::cursor::{Cursor, LineageId, Position};
use crate::error::ReadError;
use crate::key::EntityKey;
use crate::read::{EventSource, KeySource, Read, Selection};

use super::state::State;

/// A read: it holds its place and asks the state for the next event after it.
pub(super) struct Reader {
    pub(super) shared: Arc<Mutex<State>>,
    pub(super) lineage: LineageId,
    pub(super) selection: Selection,
    /// Everything up to here has been given or is not wanted.
    pub(super) at: Position,
    /// Where a read to the head ends.
    pub(super) end: Option<Position>,
    pub(super) head: watch::Receiver<Position>,
    /// The last progress that was told.
    pub(super) told: Option<Position>,
}

impl EventSource for Reader {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Read, ReadError>>> {
        Box::pin(async move {
            loop {
                let upto = self.end.unwrap_or(*self.head.borrow_and_update());
                if let Some(item) = self.next_item(upto) {
                    return Some(Ok(item));
                }
                if self.end.is_some() || self.head.changed().await.is_err() {
                    return None;
                }
            }
        })
    }
}

impl Reader {
    /// The next event, or once at the end of what there is: that the reader has come this far.
    fn next_item(&mut self, upto: Position) -> Option<Read> {
        if let Some(event) = super::lock(&self.shared).next(self.at, upto, |event| self.selection.matches(event)) {
            self.at = event.position;
            return Some(Read::Event(event));
        }
        self.at = upto;
        if self.told == Some(upto) {
            return None;
        }
        self.told = Some(upto);
        Some(Read::Progress(Cursor::from_parts(self.lineage, upto)))
    }
}

/// A listing: the keys as they were when it began.
pub(super) struct Listing(pub(super) btree_set::IntoIter<EntityKey>);

impl KeySource for Listing {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<EntityKey, ReadError>>> {
        Box::pin(std::future::ready(self.0.next().map(Ok)))
    }
}
