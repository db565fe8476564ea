//! A running read: its place, the events at hand, and how it waits.

use std::collections::VecDeque;
use std::sync::Arc;

use journal::{BoxFuture, Cursor, EventSource, Events, Lineage, Position, Read, ReadError, ReadMode, Selection};
use tokio::sync::watch;

use super::pages::{self, Page, PageError, Stretch};
use crate::error::Unavailable;
use crate::pool::Pool;
use crate::questions::Question;
use crate::reach::{Reach, Reached};
use crate::rows::{get, unsigned};

/// Begins a read. The head that it goes to, or the place that it lives on from, is asked for with its first event.
pub(crate) fn events(
    pool: &Arc<Pool>,
    reach: &Arc<Reach>,
    lineage: &Arc<Lineage>,
    selection: Selection,
    from: Cursor,
    mode: ReadMode,
) -> Events {
    Events::new(Source {
        pool: Arc::clone(pool),
        reach: Arc::clone(reach),
        reached: reach.subscribe(),
        lineage: Arc::clone(lineage),
        selection,
        from,
        mode,
        place: None,
        buffer: VecDeque::new(),
        told: None,
        over: false,
    })
}

struct Source {
    pool: Arc<Pool>,
    reach: Arc<Reach>,
    reached: watch::Receiver<Reached>,
    lineage: Arc<Lineage>,
    selection: Selection,
    from: Cursor,
    mode: ReadMode,
    /// `None` until the first event was asked for.
    place: Option<Place>,
    buffer: VecDeque<Read>,
    /// The last progress that was told.
    told: Option<Position>,
    over: bool,
}

/// Where a read is.
#[derive(Clone, Copy)]
struct Place {
    /// Everything up to here has been given or is not wanted.
    at: Position,
    /// Where a read to the head ends.
    end: Option<Position>,
}

impl EventSource for Source {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Read, ReadError>>> {
        Box::pin(async move {
            if self.over {
                return None;
            }
            let next = self.step().await.transpose();
            self.over = !matches!(next, Some(Ok(_)));
            next
        })
    }

    fn at_hand(&mut self) -> Option<Read> {
        self.buffer.pop_front()
    }
}

impl Source {
    /// The next item. Nothing changes before an answer is there, so that a step may be dropped at any wait.
    async fn step(&mut self) -> Result<Option<Read>, ReadError> {
        loop {
            if let Some(item) = self.buffer.pop_front() {
                return Ok(Some(item));
            }
            let Some(place) = self.place else {
                match self.begin().await {
                    Ok(place) => self.place = Some(place),
                    Err(PageError::Failed(error)) => return Err(error),
                    Err(PageError::Away(error)) => self.bear(error)?,
                }
                continue;
            };
            let now = *self.reached.borrow_and_update();
            let upto = place.end.unwrap_or(now.position);
            if place.at < upto {
                match pages::next(&self.pool, &self.selection, Stretch { after: place.at, upto }).await {
                    Ok(page) => self.take(page, place),
                    Err(PageError::Failed(error)) => return Err(error),
                    Err(PageError::Away(error)) => self.bear(error)?,
                }
            } else if self.told != Some(place.at) {
                self.told = Some(place.at);
                return Ok(Some(Read::Progress(self.lineage.cursor(place.at))));
            } else if place.end.is_some() || now.closed || self.reached.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// A live read waits for a server that is away, however long; another one has waited enough.
    fn bear(&self, error: Unavailable) -> Result<(), ReadError> {
        if self.mode == ReadMode::Live && !self.reached.borrow().closed { Ok(()) } else { Err(error.into()) }
    }

    /// Asks for the head, and whether the cursor is good.
    async fn begin(&self) -> Result<Place, PageError> {
        let rows = self.pool.ask(Question::Head, &[]).await?;
        let row = rows.first().ok_or_else(|| ReadError::Damaged { place: "table head: the row is missing".into(), resume: None })?;
        let (head, floor) = (unsigned(get(row, 0)?), unsigned(get(row, 1)?));
        self.reach.advance(head);
        // An entity is read from its `$baseline` on, wherever that lies.
        let floor = if matches!(self.selection, Selection::Entity { .. }) { 0 } else { floor };
        let at = self.lineage.resolve(self.from, head, floor).map_err(ReadError::from)?;
        Ok(Place { at, end: (self.mode == ReadMode::ToHead).then_some(head) })
    }

    fn take(&mut self, page: Page, place: Place) {
        if let (Selection::Entity { from_sequence, .. }, Some(last)) = (&mut self.selection, page.events.last()) {
            *from_sequence = last.sequence + 1;
        }
        let ends_with_event = page.events.last().is_some_and(|last| last.position == page.upto);
        self.buffer = page.events.into_iter().map(Read::Event).collect();
        self.told = (!ends_with_event).then_some(page.upto);
        if !ends_with_event {
            self.buffer.push_back(Read::Progress(self.lineage.cursor(page.upto)));
        }
        self.place = Some(Place { at: page.upto, ..place });
    }
}
