//! One page of a read: the next events behind a place that a selection names, and how far the page has come.

use std::sync::Arc;

use journal::limits::SLICES;
use journal::{EntityKey, Position, ReadError, Recorded, Selection, Tag, TagQuery, TagQueryItem};
use tokio_postgres::Row;

use crate::error::Unavailable;
use crate::limits;
use crate::pool::{Pool, Value};
use crate::questions::Question;
use crate::rows::{get, recorded, signed, unsigned};

const ALL_SLICES: (u16, u16) = (0, SLICES - 1);

/// Events in order, and the place up to which there is no other that is wanted.
pub(super) struct Page {
    pub(super) events: Vec<Arc<Recorded>>,
    pub(super) upto: Position,
}

/// Why there is no page.
pub(super) enum PageError {
    /// The server is away; the same page may be had later.
    Away(Unavailable),
    Failed(ReadError),
}

impl From<Unavailable> for PageError {
    fn from(error: Unavailable) -> Self {
        Self::Away(error)
    }
}

impl From<ReadError> for PageError {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

/// Positions that are looked at: those behind `after`, and up to `upto`.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub(super) after: Position,
    pub(super) upto: Position,
}

/// The next page of a selection.
///
/// # Errors
/// See [`PageError`].
pub(super) async fn next(pool: &Pool, selection: &Selection, stretch: Stretch) -> Result<Page, PageError> {
    match selection {
        Selection::All => whole(pool, stretch).await,
        Selection::Slices { first, last, types: None } => range(pool, stretch.short(), (*first, *last), &[]).await,
        Selection::Slices { first, last, types: Some(types) } => of_types_within(pool, types, (*first, *last), stretch).await,
        Selection::Entity { entity, from_sequence } => of_entity(pool, entity, *from_sequence, stretch).await,
        Selection::Types(types) => of_types_within(pool, types, ALL_SLICES, stretch).await,
        Selection::Tags(TagQuery { items }) if items.iter().any(|item| item.types.is_empty() && item.tags.is_empty()) => {
            whole(pool, stretch).await
        }
        Selection::Tags(TagQuery { items }) => at(pool, tagged(pool, items, stretch).await?).await,
    }
}

impl Stretch {
    /// No longer than one statement looks through.
    fn short(self) -> Self {
        Self { upto: self.upto.min(self.after + limits::SCAN_POSITIONS_MAX), ..self }
    }
}

async fn of_types_within(pool: &Pool, types: &[Arc<str>], slices: (u16, u16), stretch: Stretch) -> Result<Page, PageError> {
    match of_types(types) {
        Some(pairs) => at(pool, typed(pool, &pairs, slices, stretch).await?).await,
        None => range(pool, stretch.short(), slices, types).await,
    }
}

/// Every event; a position that is missing was there, because positions have no holes but for events that were gone when the history came here.
async fn whole(pool: &Pool, stretch: Stretch) -> Result<Page, PageError> {
    let page = range(pool, stretch, ALL_SLICES, &[]).await?;
    if page.events.len() as u64 == page.upto - stretch.after {
        return Ok(page);
    }
    let gone = pool.ask(Question::Gone, &[&signed(stretch.after), &signed(page.upto)]).await?;
    let gone: Vec<(Position, Position)> =
        gone.iter().map(|row| Ok((unsigned(get(row, 0)?), unsigned(get(row, 1)?)))).collect::<Result<_, ReadError>>()?;
    match first_missing(stretch.after, page.upto, page.events.iter().map(|event| event.position), &gone) {
        None => Ok(page),
        Some(position) => {
            let place = format!("table event: position {position} is missing; restore the database");
            Err(ReadError::Damaged { place, resume: None }.into())
        }
    }
}

/// The first position behind `after` and up to `upto` that is neither there nor gone.
fn first_missing(
    after: Position,
    upto: Position,
    there: impl Iterator<Item = Position>,
    gone: &[(Position, Position)],
) -> Option<Position> {
    let (mut next, mut gone) = (after + 1, gone.iter().copied().peekable());
    for position in there.chain(std::iter::once(upto + 1)) {
        while next < position {
            match gone.next_if(|(first, _)| *first <= next) {
                Some((_, last)) => next = next.max(last + 1),
                None => return Some(next),
            }
        }
        next = next.max(position + 1);
    }
    None
}

async fn range(pool: &Pool, stretch: Stretch, slices: (u16, u16), types: &[Arc<str>]) -> Result<Page, PageError> {
    let (after, upto) = (signed(stretch.after), signed(stretch.upto));
    let (first, last) = (slices.0.min(SLICES) as i16, slices.1.min(SLICES) as i16);
    let types: Vec<&str> = types.iter().map(|full| &**full).collect();
    let rows = ask_page(pool, Question::Range, &[&after, &upto, &first, &last, &types]).await?;
    page(&rows, stretch.upto)
}

async fn of_entity(pool: &Pool, entity: &EntityKey, from_sequence: u64, stretch: Stretch) -> Result<Page, PageError> {
    let (from, after, upto) = (signed(from_sequence), signed(stretch.after), signed(stretch.upto));
    let key: [Value<'_>; 6] = [&entity.kind(), &entity.tenant(), &entity.id(), &from, &after, &upto];
    let rows = ask_page(pool, Question::Entity, &key).await?;
    page(&rows, stretch.upto)
}

/// The events at positions that were found.
async fn at(pool: &Pool, found: Found) -> Result<Page, PageError> {
    if found.positions.is_empty() {
        return Ok(Page { events: Vec::new(), upto: found.upto });
    }
    let rows = ask_page(pool, Question::At, &[&found.positions]).await?;
    page(&rows, found.upto)
}

/// Asks with the bounds of a page in front of the values.
async fn ask_page(pool: &Pool, question: Question, values: &[Value<'_>]) -> Result<Vec<Row>, Unavailable> {
    let all: Vec<Value<'_>> =
        [&limits::PAGE_EVENTS_MAX as Value<'_>, &limits::PAGE_BYTES_MAX].into_iter().chain(values.iter().copied()).collect();
    pool.ask(question, &all).await
}

/// A page of rows that were cut off at its bounds, or go up to a place.
fn page(rows: &[Row], upto: Position) -> Result<Page, PageError> {
    let events: Vec<Arc<Recorded>> = rows.iter().map(|row| recorded(row).map(Arc::new)).collect::<Result<_, _>>()?;
    let bytes: usize = events.iter().map(|event| event.payload.len()).sum();
    let is_cut = events.len() >= limits::PAGE_EVENTS_MAX as usize || bytes >= limits::PAGE_BYTES_MAX as usize;
    let upto = events.last().filter(|_| is_cut).map_or(upto, |last| last.position);
    Ok(Page { events, upto })
}

/// Positions, in order, and the place up to which there is no other.
struct Found {
    positions: Vec<i64>,
    upto: Position,
}

/// `{entity type}/{event name}` of each; `None` when one names an entity type alone.
fn of_types(types: &[Arc<str>]) -> Option<Vec<(&str, &str)>> {
    let mut pairs: Vec<(&str, &str)> = types.iter().map(|full| full.split_once('/')).collect::<Option<_>>()?;
    pairs.sort_unstable();
    pairs.dedup();
    Some(pairs)
}

/// The index of types does not know slices: what it finds is looked through, as far as the bound of one statement goes.
async fn typed(pool: &Pool, pairs: &[(&str, &str)], slices: (u16, u16), stretch: Stretch) -> Result<Found, PageError> {
    let (kinds, names): (Vec<&str>, Vec<&str>) = pairs.iter().copied().unzip();
    let after = signed(stretch.after);
    let limit = if slices == ALL_SLICES { limits::PAGE_EVENTS_MAX } else { limits::SCAN_TYPED_MAX };
    let rows = pool.ask(Question::OfTypes, &[&kinds, &names, &after, &limit]).await?;
    Ok(Found::of(&rows, limit, stretch.upto)?.within(&rows, slices)?)
}

/// The positions that any item finds.
async fn tagged(pool: &Pool, items: &[TagQueryItem], stretch: Stretch) -> Result<Found, PageError> {
    let mut found = Found { positions: Vec::new(), upto: stretch.upto };
    for item in items {
        let more = match of_types(&item.types).filter(|_| item.tags.is_empty()) {
            Some(pairs) => typed(pool, &pairs, ALL_SLICES, stretch).await?,
            None if item.tags.is_empty() => continue,
            None => of_item(pool, item, stretch).await?,
        };
        found.upto = found.upto.min(more.upto);
        found.positions.extend(more.positions);
    }
    found.positions.sort_unstable();
    found.positions.dedup();
    found.positions.retain(|position| unsigned(*position) <= found.upto);
    Ok(found)
}

async fn of_item(pool: &Pool, item: &TagQueryItem, stretch: Stretch) -> Result<Found, PageError> {
    let tags: Vec<&str> = item.tags.iter().map(Tag::as_str).collect();
    let types: Vec<&str> = item.types.iter().map(|full| &**full).collect();
    let (after, upto) = (signed(stretch.after), signed(stretch.upto));
    let rows = pool.ask(Question::OfTags, &[&tags, &types, &after, &upto, &limits::PAGE_EVENTS_MAX]).await?;
    Ok(Found::of(&rows, limits::PAGE_EVENTS_MAX, stretch.upto)?)
}

impl Found {
    /// Of rows that were cut off at a limit, or go up to a place or beyond it.
    fn of(rows: &[Row], limit: i64, upto: Position) -> Result<Self, ReadError> {
        let mut positions: Vec<i64> = rows.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
        let is_cut = positions.len() as i64 >= limit;
        let upto = positions.last().filter(|_| is_cut).map_or(upto, |last| unsigned(*last).min(upto));
        positions.retain(|position| unsigned(*position) <= upto);
        Ok(Self { positions, upto })
    }

    /// Those of the rows whose slice is wanted. More than make a page are cut off with it.
    fn within(self, rows: &[Row], (first, last): (u16, u16)) -> Result<Self, ReadError> {
        let mut wanted = Vec::new();
        for (row, position) in rows.iter().zip(self.positions) {
            let slice: i16 = get(row, 1)?;
            if (i32::from(first)..=i32::from(last)).contains(&i32::from(slice)) {
                wanted.push(position);
            }
        }
        Ok(Self { positions: wanted, upto: self.upto })
    }
}

#[cfg(test)]
mod tests {
    use super::first_missing;

    #[test]
    fn a_position_that_is_neither_there_nor_gone_is_missing() {
        let check = |there: &[u64], gone: &[(u64, u64)]| first_missing(10, 20, there.iter().copied(), gone);
        assert_eq!(check(&[11, 12, 13, 14, 15, 16, 17, 18, 19, 20], &[]), None);
        assert_eq!(check(&[11, 16, 20], &[(3, 10), (12, 13), (14, 15), (17, 19)]), None);
        assert_eq!(check(&[15, 16], &[(1, 14), (17, 30)]), None, "what is gone reaches beyond the page on both sides");
        assert_eq!(check(&[11, 16, 20], &[(12, 14), (17, 19)]), Some(15));
        assert_eq!(check(&[12], &[(13, 20)]), Some(11));
        assert_eq!(check(&[11, 12], &[(13, 19)]), Some(20));
        assert_eq!(check(&[], &[]), Some(11));
    }
}
