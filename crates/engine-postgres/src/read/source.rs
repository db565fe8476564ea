//! A running read: its place, the events at hand, and how it waits.

use std::collections::VecDeque;
use std::sync::Arc;

use journal::{BoxFuture, Cursor, EventSource, Events, Lineage, Position, Read, ReadError, ReadMode, Selection};
use tokio::sync::watch;

use super::pages::{self, Page, PageError, Stretch};
use super::tail::{Seat, Tail, Taken, Told};
use crate::error::Unavailable;
use crate::limits;
use crate::pool::Pool;
use crate::questions::Question;
use crate::reach::Reach;
use crate::rows::{get, unsigned};

/// Where events come from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) pool: Arc<Pool>,
    pub(crate) reach: Arc<Reach>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) lineage: Arc<Lineage>,
}

impl Sources {
    /// Begins a read. The head that it goes to, or the place that it lives on from, is asked for with its first event.
    pub(crate) fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
        Events::new(Source {
            sources: self.clone(),
            news: self.tail.subscribe(),
            seat: None,
            selection,
            from,
            mode,
            place: None,
            buffer: VecDeque::new(),
            told: None,
            over: false,
        })
    }
}

/// Where a read ends that goes as far as there is something.
const OPEN_END: Position = i64::MAX as Position;

struct Source {
    sources: Sources,
    news: watch::Receiver<Told>,
    /// A live read's, once it has come near the head.
    seat: Option<Seat>,
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

/// What a step came to.
enum Stepped {
    /// There may be something in the buffer.
    On,
    Told(Read),
    Finished,
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
            let stepped = match place.end {
                Some(end) => self.step_to(end, place).await,
                None => self.step_on(place).await,
            };
            match stepped {
                Ok(Stepped::On) => {}
                Ok(Stepped::Told(read)) => return Ok(Some(read)),
                Ok(Stepped::Finished) => return Ok(None),
                Err(PageError::Failed(error)) => return Err(error),
                Err(PageError::Away(error)) => self.bear(error)?,
            }
        }
    }

    /// A step of a read to the head.
    async fn step_to(&mut self, end: Position, place: Place) -> Result<Stepped, PageError> {
        if place.at < end {
            return self.turn_page(place, end).await;
        }
        Ok(self.tell(place.at).map_or(Stepped::Finished, Stepped::Told))
    }

    /// A step of a live read: by pages while it is far behind, then from the tail.
    async fn step_on(&mut self, place: Place) -> Result<Stepped, PageError> {
        let (closed, head) = (self.news.borrow_and_update().closed, self.sources.reach.position());
        if self.seat.is_none() && head.saturating_sub(place.at) <= limits::TAIL_REACH {
            self.seat = Some(self.sources.tail.sit_down(place.at));
        }
        let taken = self.seat.as_ref().map_or(Taken::Behind { start: head }, |_| self.sources.tail.take(&self.selection, place.at));
        match taken {
            Taken::Page(page) => {
                self.take(page, place);
                Ok(Stepped::On)
            }
            Taken::Behind { start } => self.turn_page(place, start.max(head)).await,
            Taken::Nothing if place.at >= head && self.told != Some(place.at) => Ok(self.tell(place.at).map_or(Stepped::On, Stepped::Told)),
            Taken::Nothing if closed || self.news.changed().await.is_err() => Ok(Stepped::Finished),
            Taken::Nothing => Ok(Stepped::On),
        }
    }

    async fn turn_page(&mut self, mut place: Place, upto: Position) -> Result<Stepped, PageError> {
        let known = self.sources.reach.position();
        let mut page = pages::next(&self.sources.pool, &self.selection, Stretch { after: place.at, upto }).await?;
        if page.upto == OPEN_END {
            page.upto = page.events.last().map_or(0, |last| last.position).max(known);
            place.end = Some(page.upto);
        } else if place.end == Some(OPEN_END) {
            place.end = Some(self.ask_head().await?.0);
        }
        self.take(page, place);
        Ok(Stepped::On)
    }

    /// The word that a read has come so far, if it was not said yet.
    fn tell(&mut self, at: Position) -> Option<Read> {
        let is_new = self.told != Some(at);
        self.told = Some(at);
        is_new.then(|| Read::Progress(self.sources.lineage.cursor(at)))
    }

    /// A live read waits for a server that is away, however long; another one has waited enough.
    fn bear(&self, error: Unavailable) -> Result<(), ReadError> {
        if self.mode == ReadMode::Live && !self.news.borrow().closed { Ok(()) } else { Err(error.into()) }
    }

    /// Asks for the head, and whether the cursor is good.
    async fn begin(&self) -> Result<Place, PageError> {
        // All that there is of an entity is one question, if it is not many; then the head is asked for behind the first page.
        if self.mode == ReadMode::ToHead && self.from == Cursor::BEGINNING && matches!(self.selection, Selection::Entity { .. }) {
            return Ok(Place { at: 0, end: Some(OPEN_END) });
        }
        let (head, floor) = self.ask_head().await?;
        // An entity is read from its `$baseline` on, wherever that lies.
        let floor = if matches!(self.selection, Selection::Entity { .. }) { 0 } else { floor };
        let at = self.sources.lineage.resolve(self.from, head, floor).map_err(ReadError::from)?;
        Ok(Place { at, end: (self.mode == ReadMode::ToHead).then_some(head) })
    }

    /// The head and the floor.
    async fn ask_head(&self) -> Result<(Position, Position), PageError> {
        let rows = self.sources.pool.ask(Question::Head, &[]).await?;
        let row = rows.first().ok_or_else(|| ReadError::Damaged { place: "table head: the row is missing".into(), resume: None })?;
        let (head, floor) = (unsigned(get(row, 0)?), unsigned(get(row, 1)?));
        self.sources.reach.advance(head);
        Ok((head, floor))
    }

    fn take(&mut self, page: Page, place: Place) {
        if let (Selection::Entity { from_sequence, .. }, Some(last)) = (&mut self.selection, page.events.last()) {
            *from_sequence = last.sequence + 1;
        }
        let ends_with_event = page.events.last().is_some_and(|last| last.position == page.upto);
        self.buffer = page.events.into_iter().map(Read::Event).collect();
        self.told = (!ends_with_event).then_some(page.upto);
        if !ends_with_event {
            self.buffer.push_back(Read::Progress(self.sources.lineage.cursor(page.upto)));
        }
        self.place = Some(Place { at: page.upto, ..place });
    }
}
