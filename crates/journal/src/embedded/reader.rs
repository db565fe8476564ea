//! Readers: they see what is durable, take recent frames from memory and older ones from the disk, and verify all they take.
//!
//! A scan walks the frames in position order; a query over tags or types walks only the frames that their postings
//! name. A read of one entity goes straight to its commits. Disk reads run off the caller's task.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::frame::{self, FrameFault, Section};
use super::index::{EntityRef, FrameRef, ItemHashes, SectionRef, SegmentIndex};
use super::limits::{CHUNK_BYTES, KEYS_AT_ONCE};
use super::pipeline::Shared;
use super::record::{CommitPlace, Names, StoredCommand, StoredCommit};
use super::sealed::{Held, SealedSegment};
use super::segment::{HeaderFault, Segment};
use super::sequencer::Sequencer;
use crate::commit::{TagQuery, TagQueryItem};
use crate::compaction::{BASELINE, DELETED};
use crate::contract_traits::BoxFuture;
use crate::cursor::{Cursor, Lineage, LineageId, Position};
use crate::error::ReadError;
use crate::key::{EntityKey, EntityType, KeyHash};
use crate::read::{EventSource, Events, KeySource, Keys, Read, ReadMode, Recorded, Selection};
use crate::time::Timestamp;

/// Starts a read.
pub(crate) fn read(shared: &Arc<Shared>, lineage: &Arc<Lineage>, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
    let head = *shared.durable.borrow();
    // An entity is read from its `$baseline` on, wherever that lies.
    let floor = if matches!(selection, Selection::Entity { .. }) { 0 } else { shared.lock().floor };
    let at = match lineage.resolve(from, head, floor) {
        Ok(at) => at,
        Err(error) => return Events::failed(error),
    };
    let end = (mode == ReadMode::ToHead).then_some(head);
    let tail = Tail { durable: shared.durable.clone(), end, told: None };
    match selection {
        Selection::Entity { entity, from_sequence } => Events::new(EntitySource {
            shared: Arc::clone(shared),
            lineage: Arc::clone(lineage),
            hash: entity.hash(),
            entity,
            next_sequence: from_sequence.max(1),
            dense: at == 0,
            after: at,
            at,
            pending: VecDeque::new(),
            buffer: VecDeque::new(),
            tail,
        }),
        selection => {
            let frames = FrameReader::new(Arc::clone(shared), at, query_of(&selection), Some(Arc::new(selection)));
            Events::new(ScanSource { frames, lineage: Arc::clone(lineage), buffer: VecDeque::new(), tail })
        }
    }
}

/// The postings that a selection can be narrowed by.
fn query_of(selection: &Selection) -> Option<Vec<ItemHashes>> {
    let items = match selection {
        Selection::Tags(TagQuery { items }) => items.clone(),
        Selection::Types(types) | Selection::Slices { types: Some(types), .. } if types.iter().all(|full| full.contains('/')) => {
            vec![TagQueryItem { types: types.clone(), tags: Vec::new() }]
        }
        _ => return None,
    };
    Some(items.iter().map(ItemHashes::of).collect())
}

/// Where a read ends, or how it waits.
struct Tail {
    durable: watch::Receiver<Position>,
    end: Option<Position>,
    told: Option<Position>,
}

/// What a source does at the end of what it has.
enum AtTail {
    ReadUpTo(Position),
    Tell(Position),
    Finished,
    Failed(ReadError),
}

impl Tail {
    /// Waits, for a live read, until there is more than `at`.
    async fn next(&mut self, shared: &Shared, at: Position) -> AtTail {
        loop {
            let limit = self.end.unwrap_or(*self.durable.borrow_and_update());
            if at < limit {
                return AtTail::ReadUpTo(limit);
            }
            if self.told != Some(at) {
                return AtTail::Tell(at);
            }
            if self.end.is_some() {
                return AtTail::Finished;
            }
            if let Some(cause) = shared.over() {
                return AtTail::Failed(ReadError::Unavailable { cause });
            }
            if self.durable.changed().await.is_err() {
                return AtTail::Finished;
            }
        }
    }
}

struct ScanSource {
    frames: FrameReader,
    lineage: Arc<Lineage>,
    buffer: VecDeque<Read>,
    tail: Tail,
}

impl EventSource for ScanSource {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Read, ReadError>>> {
        Box::pin(async move {
            loop {
                if let Some(item) = self.buffer.pop_front() {
                    return Some(Ok(item));
                }
                match self.tail.next(&self.frames.shared, self.frames.at).await {
                    AtTail::ReadUpTo(limit) => match self.frames.next(limit).await {
                        Ok(events) => self.take(events),
                        Err(error) => return Some(Err(error)),
                    },
                    AtTail::Tell(at) => {
                        self.tail.told = Some(at);
                        return Some(Ok(Read::Progress(self.lineage.cursor(at))));
                    }
                    AtTail::Finished => return None,
                    AtTail::Failed(error) => return Some(Err(error)),
                }
            }
        })
    }

    fn at_hand(&mut self) -> Option<Read> {
        self.buffer.pop_front()
    }
}

impl ScanSource {
    /// Takes the next events; the buffer is empty.
    fn take(&mut self, events: Vec<Read>) {
        self.buffer = events.into();
        let reached = self.frames.at;
        let last_is_event = matches!(self.buffer.back(), Some(Read::Event(event)) if event.position == reached);
        if last_is_event {
            self.tail.told = None;
        } else {
            self.tail.told = Some(reached);
            self.buffer.push_back(Read::Progress(self.lineage.cursor(reached)));
        }
    }
}

/// The frames of one segment that are still to be read.
struct SegmentPlan {
    segment: Held,
    frames: VecDeque<FrameRef>,
    /// Everything up to here has been seen when the frames are used up.
    upto: Position,
}

/// Walks frames in position order and gives those of their events that are wanted.
pub(crate) struct FrameReader {
    pub(crate) shared: Arc<Shared>,
    /// Everything up to here has been given.
    pub(crate) at: Position,
    query: Option<Vec<ItemHashes>>,
    wanted: Wanted,
    plan: Option<SegmentPlan>,
    /// The next frames of the plan, in order, on their way while the last ones are used.
    ahead: VecDeque<Ahead>,
}

/// Frames that are being loaded.
struct Ahead {
    count: usize,
    loaded: oneshot::Receiver<Loaded>,
}

/// What was loaded: of the frames that were asked for, those before the first damaged one.
#[derive(Default)]
struct Batch {
    events: Vec<Read>,
    frames: usize,
    /// The last position of the frames.
    last: Position,
}

type Loaded = Result<Batch, ReadError>;

/// How many loads are on their way while events are used: what they are decoded by is a few threads.
const CHUNKS_AHEAD: usize = 2;

/// Which events of a frame a read wants.
#[derive(Clone)]
struct Wanted {
    /// `None`: all.
    selection: Option<Arc<Selection>>,
    /// Events at or before this place are not wanted.
    after: Position,
    /// Neither are those behind this one.
    upto: Position,
}

impl Wanted {
    fn has(&self, event: &Recorded) -> bool {
        event.position > self.after
            && event.position <= self.upto
            && self.selection.as_ref().is_none_or(|selection| selection.matches(event))
    }
}

impl FrameReader {
    pub(crate) fn new(shared: Arc<Shared>, at: Position, query: Option<Vec<ItemHashes>>, selection: Option<Arc<Selection>>) -> Self {
        Self { shared, at, query, wanted: Wanted { selection, after: at, upto: at }, plan: None, ahead: VecDeque::new() }
    }

    /// The wanted events of the next frames, `at < limit` given; may be empty when nothing matches. Cancel-safe.
    pub(crate) async fn next(&mut self, limit: Position) -> Result<Vec<Read>, ReadError> {
        if self.plan.is_none() {
            let plan = self.make_plan(limit).await?;
            // A frame of a compacted segment may begin in front of what was given, and go on behind the limit.
            (self.wanted.after, self.wanted.upto) = (self.wanted.after.max(self.at), plan.upto);
            self.plan = Some(plan);
        }
        let loaded = self.load().await;
        let Some(plan) = &mut self.plan else { return Ok(Vec::new()) };
        let batch = match loaded {
            Ok(batch) => batch,
            Err(error) => return Err(resumed(error, self.shared.lineage, plan.behind_damage(&self.shared).await?)),
        };
        plan.frames.drain(..batch.frames);
        self.at = batch.last.min(plan.upto).max(self.at);
        if plan.frames.is_empty() {
            self.at = self.at.max(plan.upto);
            self.plan = None;
        }
        Ok(batch.events)
    }

    /// The next frames of the plan, and begins to load those that follow.
    async fn load(&mut self) -> Loaded {
        let Some(plan) = &self.plan else { return Ok(Batch::default()) };
        let Some(Ahead { count, loaded }) = self.ahead.front_mut() else {
            let chunk = chunk_of(plan.frames.iter());
            let count = chunk.len();
            let loaded = load_frames(&self.shared, plan.segment.clone(), chunk, self.wanted.clone()).await;
            if loaded.as_ref().is_ok_and(|batch| batch.frames == count) {
                self.load_ahead(count);
            }
            return loaded;
        };
        let (count, loaded) = (*count, loaded.await.unwrap_or_else(|_| Err(background_stopped())));
        self.ahead.pop_front();
        match &loaded {
            Ok(batch) if batch.frames == count => self.load_ahead(count),
            // What follows the damage is asked for anew.
            _ => self.ahead.clear(),
        }
        loaded
    }

    /// Keeps some frames on their way behind the first `skip` ones of the plan, if they are no more in memory.
    fn load_ahead(&mut self, skip: usize) {
        let Some(plan) = &self.plan else { return };
        let mut begun = skip + self.ahead.iter().map(|ahead| ahead.count).sum::<usize>();
        while self.ahead.len() < CHUNKS_AHEAD {
            let chunk = chunk_of(plan.frames.range(begun.min(plan.frames.len())..));
            if chunk.is_empty() || self.ahead.is_empty() && recent_frames(&self.shared, plan.segment.number(), &chunk[..1]).is_some() {
                return;
            }
            let (segment, count, wanted) = (plan.segment.clone(), chunk.len(), self.wanted.clone());
            let loaded = in_background(&self.shared, move |shared| frames_from_disk(shared, &segment, &chunk, &wanted));
            self.ahead.push_back(Ahead { count, loaded });
            begun += count;
        }
    }

    async fn make_plan(&self, limit: Position) -> Result<SegmentPlan, ReadError> {
        let (at, query) = (self.at, self.query.as_deref());
        let sealed = {
            let sequencer = self.shared.lock();
            match sequencer.sealed.iter().find(|sealed| sealed.last_position() > at) {
                Some(sealed) => Arc::clone(sealed),
                None => return plan_in_memory(&sequencer, at, limit, query).map_err(|error| super::damaged(&error)),
            }
        };
        let hashes: Option<Vec<ItemHashes>> = query.map(|items| items.iter().map(ItemHashes::clone).collect());
        let (upto, lineage) = (sealed.last_position().min(limit), self.shared.lineage);
        let planned =
            blocking(&self.shared, move |_| plan_sealed(sealed, at, limit, hashes.as_deref()).map_err(|error| super::damaged(&error)));
        planned.await.map_err(|error| resumed(error, lineage, upto))
    }
}

impl SegmentPlan {
    /// The place behind the first frame, which is damaged, and behind all damaged ones that follow it.
    async fn behind_damage(&self, shared: &Arc<Shared>) -> Result<Position, ReadError> {
        let (segment, rest, upto) = (self.segment.clone(), self.frames.iter().skip(1).copied().collect::<Vec<_>>(), self.upto);
        blocking(shared, move |shared| {
            let Ok(open) = segment.open() else { return Ok(upto) };
            let is_whole = |frame: &&FrameRef| {
                let bytes = read_at(&open, frame.offset, frame.length as usize);
                bytes.is_ok_and(|bytes| decode_frame(shared.lineage, frame, &bytes, &mut Names::default(), &mut |_| {}).is_ok())
            };
            Ok(rest.iter().find(is_whole).map_or(upto, |frame| frame.first_position - 1))
        })
        .await
    }
}

/// Damage, with the place to read on from.
fn resumed(error: ReadError, lineage: LineageId, position: Position) -> ReadError {
    match error {
        ReadError::Damaged { place, resume: None } => ReadError::Damaged { place, resume: Some(Cursor::from_parts(lineage, position)) },
        error => error,
    }
}

fn plan_in_memory(sequencer: &Sequencer, at: Position, limit: Position, query: Option<&[ItemHashes]>) -> io::Result<SegmentPlan> {
    let full = sequencer.full.as_ref().filter(|full| full.end.position - 1 > at);
    let (segment, index, last) = match full {
        Some(full) => (&full.segment, &*full.index, full.end.position - 1),
        None => (&sequencer.active, &sequencer.index, limit),
    };
    let segment = Held::Unsealed(segment.clone());
    let upto = last.min(limit);
    let positions = |hash: KeyHash| Ok(index.postings.get(&hash).cloned().unwrap_or_default());
    let wanted = wanted_positions(query, at, positions)?;
    Ok(SegmentPlan { segment, frames: frames_of(&index.frames, at, upto, wanted.as_ref()), upto })
}

fn plan_sealed(sealed: Arc<SealedSegment>, at: Position, limit: Position, query: Option<&[ItemHashes]>) -> io::Result<SegmentPlan> {
    let upto = sealed.last_position().min(limit);
    let wanted = wanted_positions(query, at, |hash| sealed.postings(hash))?;
    let none = wanted.as_ref().is_some_and(BTreeSet::is_empty);
    let frames = if none { VecDeque::new() } else { frames_of(&sealed.frames()?, at, upto, wanted.as_ref()) };
    Ok(SegmentPlan { segment: Held::Sealed(sealed), frames, upto })
}

/// The positions that a query names; `None` when it does not narrow.
fn wanted_positions(
    query: Option<&[ItemHashes]>,
    after: Position,
    mut postings: impl FnMut(KeyHash) -> io::Result<Vec<Position>>,
) -> io::Result<Option<BTreeSet<Position>>> {
    let Some(items) = query else { return Ok(None) };
    let mut all = BTreeSet::new();
    for item in items {
        match item.positions(after, &mut postings)? {
            Some(positions) => all.extend(positions),
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}

/// The frames that hold positions after `at` and up to `upto`, of the wanted ones only.
fn frames_of(frames: &[FrameRef], at: Position, upto: Position, wanted: Option<&BTreeSet<Position>>) -> VecDeque<FrameRef> {
    let start = frames.partition_point(|frame| frame.first_position <= at).saturating_sub(1);
    let end = frames.partition_point(|frame| frame.first_position <= upto);
    let chosen = frames[start.min(end)..end].iter().enumerate().filter(|(index, frame)| {
        let next = frames.get(start + index + 1).map_or(Position::MAX, |next| next.first_position);
        next > at + 1 && wanted.is_none_or(|wanted| wanted.range(frame.first_position..next).next().is_some())
    });
    chosen.map(|(_, frame)| *frame).collect()
}

/// The frames to load at once: the first, and what follows it within a bound.
fn chunk_of<'a>(frames: impl Iterator<Item = &'a FrameRef>) -> Vec<FrameRef> {
    let (mut bytes, mut chunk) = (0, Vec::new());
    for frame in frames {
        bytes += frame.length as usize;
        if bytes > CHUNK_BYTES && !chunk.is_empty() {
            break;
        }
        chunk.push(*frame);
    }
    chunk
}

async fn load_frames(shared: &Arc<Shared>, segment: Held, frames: Vec<FrameRef>, wanted: Wanted) -> Loaded {
    match recent_frames(shared, segment.number(), &frames) {
        Some(recent) => decode_frames(shared.lineage, segment.number(), &frames, &recent, &wanted),
        None => blocking(shared, move |shared| frames_from_disk(shared, &segment, &frames, &wanted)).await,
    }
}

fn recent_frames(shared: &Shared, segment: u64, frames: &[FrameRef]) -> Option<Vec<Bytes>> {
    let sequencer = shared.lock();
    frames.iter().map(|frame| sequencer.recent.get(segment, u64::from(frame.offset), frame.length as usize)).collect()
}

fn frames_from_disk(shared: &Shared, segment: &Held, frames: &[FrameRef], wanted: &Wanted) -> Loaded {
    decode_frames(shared.lineage, segment.number(), frames, &read_frames(segment, frames)?, wanted)
}

fn read_frames(segment: &Held, frames: &[FrameRef]) -> Result<Vec<Bytes>, ReadError> {
    let open = segment.open().map_err(|fault| unreadable(segment.number(), fault))?;
    let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ok(Vec::new()) };
    let span = (last.offset + last.length - first.offset) as usize;
    let at_once = span <= 2 * CHUNK_BYTES.max(first.length as usize);
    let Some(all) = at_once.then(|| read_at(&open, first.offset, span).ok()).flatten() else {
        return whole(frames.iter().map(|frame| read_at(&open, frame.offset, frame.length as usize)));
    };
    Ok(frames
        .iter()
        .map(|frame| all.slice((frame.offset - first.offset) as usize..(frame.offset - first.offset + frame.length) as usize))
        .collect())
}

fn read_at(open: &Segment, offset: u32, length: usize) -> Result<Bytes, ReadError> {
    let mut bytes = vec![0; length];
    open.file
        .read_at(&mut bytes, u64::from(offset))
        .map_err(|error| ReadError::Damaged { place: format!("segment {}, byte {offset}: {error}", open.header.number), resume: None })?;
    Ok(bytes.into())
}

fn unreadable(segment: u64, fault: HeaderFault) -> ReadError {
    let why = match fault {
        HeaderFault::Damaged => "its header is damaged; run verify".to_owned(),
        HeaderFault::Cut { bytes, .. } => format!("it ends at byte {bytes}; run verify"),
        HeaderFault::TooNew(version) => format!("it has format {version}; use a newer version"),
        HeaderFault::Disk(error) => error.to_string(),
    };
    ReadError::Damaged { place: format!("segment {segment}: {why}"), resume: None }
}

/// The wanted events of the frames before the first damaged one; an error when it is the very first.
fn decode_frames(lineage: LineageId, segment: u64, frames: &[FrameRef], bytes: &[Bytes], wanted: &Wanted) -> Loaded {
    let (mut batch, mut names) = (Batch::default(), Names::default());
    for (frame, bytes) in frames.iter().zip(bytes) {
        let whole = batch.events.len();
        let mut take = |event: Recorded| {
            if wanted.has(&event) {
                batch.events.push(Read::Event(Arc::new(event)));
            }
        };
        match decode_frame(lineage, frame, bytes, &mut names, &mut take) {
            Ok(last) => (batch.frames, batch.last) = (batch.frames + 1, last),
            // The reader gets what is whole, and hears of the damage when it comes back for more.
            Err(_) if batch.frames > 0 => {
                batch.events.truncate(whole);
                break;
            }
            Err(fault) => return Err(damaged_frame(segment, frame, fault)),
        }
    }
    Ok(batch)
}

/// Verifies a frame and takes its events; gives its last position.
fn decode_frame(
    lineage: LineageId,
    frame: &FrameRef,
    bytes: &Bytes,
    names: &mut Names,
    take: &mut impl FnMut(Recorded),
) -> Result<Position, FrameFault> {
    let header = frame::FrameHeader::peek(bytes).ok_or(FrameFault::Absent)?;
    frame::verify(bytes, header.epoch, u64::from(frame.offset))?;
    frame::events(bytes, lineage, names, take)?;
    Ok(header.next_position() - 1)
}

fn damaged_frame(segment: u64, frame: &FrameRef, fault: FrameFault) -> ReadError {
    let why = if fault == FrameFault::TooNew { "holds what a newer version wrote" } else { "is damaged; run verify" };
    let place = format!("segment {segment}: the frame at byte {} (position {} on) {why}", frame.offset, frame.first_position);
    ReadError::Damaged { place, resume: None }
}

/// One commit, or what remains of some, by its place.
pub(crate) async fn section(shared: &Arc<Shared>, segment: Held, place: SectionRef) -> Result<Section, ReadError> {
    let recent = shared.lock().recent.get(segment.number(), u64::from(place.offset), place.length as usize);
    match recent {
        Some(bytes) => decode_section(shared.lineage, segment.number(), place, &bytes),
        None => blocking(shared, move |shared| read_section(shared, &segment, place)).await,
    }
}

fn read_section(shared: &Shared, segment: &Held, place: SectionRef) -> Result<Section, ReadError> {
    let open = segment.open().map_err(|fault| unreadable(segment.number(), fault))?;
    decode_section(shared.lineage, segment.number(), place, &read_at(&open, place.offset, place.length as usize)?)
}

fn decode_section(lineage: LineageId, segment: u64, place: SectionRef, bytes: &Bytes) -> Result<Section, ReadError> {
    let damage = || ReadError::Damaged {
        place: format!("segment {segment}: the commit at byte {} (position {} on) is damaged; run verify", place.offset, place.position),
        resume: None,
    };
    frame::section(bytes, CommitPlace { lineage, position: place.position }).map_err(|_| damage())?.ok_or_else(damage)
}

struct EntitySource {
    shared: Arc<Shared>,
    lineage: Arc<Lineage>,
    entity: EntityKey,
    hash: KeyHash,
    next_sequence: u64,
    /// The next event is the one with that sequence, or one that stands for those before it.
    dense: bool,
    after: Position,
    at: Position,
    pending: VecDeque<(Held, EntityRef)>,
    buffer: VecDeque<Read>,
    tail: Tail,
}

impl EventSource for EntitySource {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Read, ReadError>>> {
        Box::pin(async move {
            loop {
                if let Some(item) = self.buffer.pop_front() {
                    return Some(Ok(item));
                }
                if let Err(error) = self.load_pending().await {
                    return Some(Err(error));
                }
                if !self.buffer.is_empty() || !self.pending.is_empty() {
                    continue;
                }
                match self.tail.next(&self.shared, self.at).await {
                    AtTail::ReadUpTo(limit) => match self.gather(limit).await {
                        Ok(refs) => {
                            self.pending = refs;
                            self.at = limit;
                        }
                        Err(error) => return Some(Err(error)),
                    },
                    AtTail::Tell(at) => {
                        self.tail.told = Some(at);
                        return Some(Ok(Read::Progress(self.lineage.cursor(at))));
                    }
                    AtTail::Finished => return None,
                    AtTail::Failed(error) => return Some(Err(error)),
                }
            }
        })
    }

    fn at_hand(&mut self) -> Option<Read> {
        self.buffer.pop_front()
    }
}

/// Commits of one entity that are loaded at once.
const SECTIONS_AT_ONCE: usize = 64;

impl EntitySource {
    /// The entity's commits up to a place that have events from the next sequence on.
    async fn gather(&self, limit: Position) -> Result<VecDeque<(Held, EntityRef)>, ReadError> {
        let (hash, next_sequence) = (self.hash, self.next_sequence);
        let (sealed, recent) = {
            let sequencer = self.shared.lock();
            let sealed: Vec<_> = sequencer.sealed.iter().filter(|sealed| sealed.last_position() > self.at).cloned().collect();
            (sealed, refs_in_memory(&sequencer, hash))
        };
        let mut refs = Vec::new();
        if sealed.iter().any(|sealed| sealed.may_have(hash)) {
            refs = blocking(&self.shared, move |_| refs_in_seals(&sealed, hash).map_err(|error| super::damaged(&error))).await?;
        }
        refs.extend(recent);
        // What ends before the next commit begins is not wanted again: it may be the damage that a reader goes on behind.
        let seen = refs.partition_point(|(_, found)| found.section.position <= self.after + 1).saturating_sub(1);
        let wanted = |(_, reference): &(Held, EntityRef)| reference.section.position <= limit && reference.last_sequence >= next_sequence;
        Ok(refs.into_iter().skip(seen).filter(wanted).collect())
    }

    async fn load_pending(&mut self) -> Result<(), ReadError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let chunk: Vec<_> = self.pending.iter().take(SECTIONS_AT_ONCE).cloned().collect();
        let commits = match load_sections(&self.shared, self.entity.clone(), chunk).await {
            Ok(commits) => commits,
            Err(error) => return Err(resumed(error, self.shared.lineage, self.behind_damage().await?)),
        };
        self.pending.drain(..commits.len());
        let wanted = |event: &Recorded| event.entity == self.entity && event.sequence >= self.next_sequence && event.position > self.after;
        let events: Vec<_> = commits.into_iter().flat_map(StoredCommit::into_events).filter(wanted).collect();
        for event in events {
            // What was left in front of events that are gone says nothing without them.
            if self.dense && event.sequence != self.next_sequence && !stands_for_others(&event) {
                continue;
            }
            (self.next_sequence, self.dense) = (event.sequence + 1, true);
            self.tail.told = (event.position == self.at).then_some(self.at);
            self.buffer.push_back(Read::Event(Arc::new(event)));
        }
        Ok(())
    }
}

/// Whether an event stands for all events of its entity before it.
fn stands_for_others(event: &Recorded) -> bool {
    &*event.name == BASELINE || &*event.name == DELETED
}

impl EntitySource {
    /// The place behind the first commit that is due, which is damaged, and behind all damaged ones that follow it.
    async fn behind_damage(&self) -> Result<Position, ReadError> {
        let (entity, upto, rest) = (self.entity.clone(), self.at, self.pending.iter().skip(1).cloned().collect::<Vec<_>>());
        blocking(&self.shared, move |shared| {
            let next = rest.iter().find(|(segment, found)| read_reference(shared, segment, &entity, *found).is_ok());
            Ok(next.map_or(upto, |(_, found)| found.section.position - 1))
        })
        .await
    }
}

fn refs_in_memory(sequencer: &Sequencer, hash: KeyHash) -> Vec<(Held, EntityRef)> {
    let full = sequencer.full.as_ref().map(|full| (&full.segment, &*full.index));
    let entries = full.into_iter().chain([(&sequencer.active, &sequencer.index)]);
    let refs = |(segment, index): (&Segment, &SegmentIndex)| {
        let held = Held::Unsealed(segment.clone());
        let found = index.entities.get(&hash).map(|entry| entry.refs.clone()).unwrap_or_default();
        found.into_iter().map(move |found| (held.clone(), found))
    };
    entries.flat_map(refs).collect()
}

fn refs_in_seals(sealed: &[Arc<SealedSegment>], hash: KeyHash) -> io::Result<Vec<(Held, EntityRef)>> {
    let mut refs = Vec::new();
    for sealed in sealed {
        refs.extend(sealed.entity_refs(hash)?.into_iter().map(|found| (Held::Sealed(Arc::clone(sealed)), found)));
    }
    Ok(refs)
}

/// The commits at these places, as far as they are whole.
async fn load_sections(shared: &Arc<Shared>, entity: EntityKey, places: Vec<(Held, EntityRef)>) -> Result<Vec<StoredCommit>, ReadError> {
    let recent: Option<Vec<Bytes>> = {
        let sequencer = shared.lock();
        let find = |(segment, found): &(Held, EntityRef)| {
            sequencer.recent.get(segment.number(), u64::from(found.section.offset), found.section.length as usize)
        };
        places.iter().map(find).collect()
    };
    match recent {
        Some(recent) => whole(places.iter().zip(&recent).map(|((segment, found), bytes)| {
            decode_section(shared.lineage, segment.number(), found.section, bytes)
                .and_then(|commit| holds(commit, segment.number(), &entity, *found))
        })),
        None => {
            blocking(shared, move |shared| whole(places.iter().map(|(segment, found)| read_reference(shared, segment, &entity, *found))))
                .await
        }
    }
}

fn read_reference(shared: &Shared, segment: &Held, entity: &EntityKey, found: EntityRef) -> Result<StoredCommit, ReadError> {
    holds(read_section(shared, segment, found.section)?, segment.number(), entity, found)
}

/// The commit, when it is the one that the index means: it has the entity's event of that sequence.
fn holds(section: Section, segment: u64, entity: &EntityKey, found: EntityRef) -> Result<StoredCommit, ReadError> {
    let meant = |command: &StoredCommand| command.sequence_after() == found.last_sequence && command.record.entity == *entity;
    if let Section::Commit(commit) = section
        && commit.commands.iter().any(meant)
    {
        return Ok(commit);
    }
    let place = format!("segment {segment}: the commit at byte {} is not the one that the index names; run verify", found.section.offset);
    Err(ReadError::Damaged { place, resume: None })
}

/// What comes before the first error; the error itself when it comes first, so that a reader gets what is whole before it hears.
fn whole<T>(parts: impl Iterator<Item = Result<T, ReadError>>) -> Result<Vec<T>, ReadError> {
    let mut whole = Vec::new();
    for part in parts {
        match part {
            Ok(part) => whole.push(part),
            Err(_) if !whole.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

/// Runs reads of the disk off the caller's task.
async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    in_background(shared, work).await.unwrap_or_else(|_| Err(background_stopped()))
}

fn in_background<T: Send + 'static>(shared: &Arc<Shared>, work: impl FnOnce(&Shared) -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (answer, answered) = oneshot::channel();
    let inside = Arc::clone(shared);
    shared.spawner.blocking(Box::new(move || drop(answer.send(work(&inside)))));
    answered
}

fn background_stopped() -> ReadError {
    ReadError::Unavailable { cause: "the journal's background work has stopped".into() }
}

/// The place before the first event at or after a time.
pub(crate) async fn position_before(shared: &Arc<Shared>, time: Timestamp) -> Result<Position, ReadError> {
    let (start, head) = {
        let sequencer = shared.lock();
        let first = sequencer.sealed.iter().find(|sealed| sealed.summary().last_time >= time).map(|sealed| sealed.summary().first_position);
        let unsealed = || sequencer.full.as_ref().map_or(sequencer.active_first, |full| full.first_position);
        (first.unwrap_or_else(unsealed) - 1, *shared.durable.borrow())
    };
    let mut frames = FrameReader::new(Arc::clone(shared), start, None, None);
    while frames.at < head {
        for read in frames.next(head).await? {
            // The first event met of a commit is its first one.
            if let Read::Event(event) = read
                && event.time >= time
                && event.position <= head
            {
                return Ok(event.position - 1);
            }
        }
    }
    Ok(head)
}

/// Starts a listing of keys.
pub(crate) fn entities(shared: &Arc<Shared>, kind: EntityType, after: Option<EntityKey>) -> Keys {
    Keys::new(Listing { shared: Arc::clone(shared), kind, after, buffer: VecDeque::new(), finished: false })
}

struct Listing {
    shared: Arc<Shared>,
    kind: EntityType,
    after: Option<EntityKey>,
    buffer: VecDeque<EntityKey>,
    finished: bool,
}

impl KeySource for Listing {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<EntityKey, ReadError>>> {
        Box::pin(async move {
            if self.buffer.is_empty() && !self.finished {
                match self.fetch().await {
                    Ok(keys) => self.buffer.extend(keys),
                    Err(error) => return Some(Err(error)),
                }
                self.finished = self.buffer.len() < KEYS_AT_ONCE;
            }
            let key = self.buffer.pop_front()?;
            self.after = Some(key.clone());
            Some(Ok(key))
        })
    }
}

impl Listing {
    /// The next keys of every segment, merged.
    async fn fetch(&self) -> Result<BTreeSet<EntityKey>, ReadError> {
        let (kind, after) = (self.kind.clone(), self.after.clone());
        let (sealed, recent) = {
            let sequencer = self.shared.lock();
            let durable = *self.shared.durable.borrow();
            let mut keys = sequencer.index.keys_after(kind.as_str(), after.as_ref(), durable, KEYS_AT_ONCE);
            if let Some(full) = &sequencer.full {
                keys.extend(full.index.keys_after(kind.as_str(), after.as_ref(), durable, KEYS_AT_ONCE));
            }
            (Arc::clone(&sequencer.sealed), keys)
        };
        let mut all: BTreeSet<EntityKey> = recent.into_iter().collect();
        if !sealed.is_empty() {
            all.extend(
                blocking(&self.shared, move |_| sealed_keys(&sealed, &kind, after.as_ref()).map_err(|error| super::damaged(&error)))
                    .await?,
            );
        }
        Ok(all.into_iter().take(KEYS_AT_ONCE).collect())
    }
}

fn sealed_keys(sealed: &[Arc<SealedSegment>], kind: &EntityType, after: Option<&EntityKey>) -> io::Result<BTreeSet<EntityKey>> {
    let mut keys = BTreeSet::new();
    for sealed in sealed {
        keys.extend(sealed.keys_after(kind.as_str(), after, KEYS_AT_ONCE)?);
    }
    Ok(keys)
}
