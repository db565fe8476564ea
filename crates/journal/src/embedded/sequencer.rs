//! The sequencer: a state machine that writes nothing and waits for nothing. It takes commits in, checks their conditions exactly
//! against durable and in-flight ones, assigns positions and sequences, encodes frames, and says what is acknowledged when writes
//! complete. What sealed segments know of a commit's keys has been looked up before (`lookup`); it reads one thing itself: the
//! sealed postings of a tag condition, and of keys whose segment was sealed meanwhile (ADR 2).
//!
//! The pipeline's threads drive it under a lock; a simulator drives it in one thread from a seed. It never waits: whatever
//! has arrived goes into the next frame. Answers that depend on commits in flight (a conflict, a duplicate) leave
//! with the frame that makes them true. It tells nobody: what is to be told is its `news`, for whoever drives it to tell
//! once the lock is given back.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::check::Stop;
use super::frame::{Chain, FRAME_HEADER_BYTES, FrameBuilder, SECTION_HEADER_BYTES_MAX};
use super::inbox::Inbox;
use super::index::{CommandHashes, CommandRef, FrameRef, Placed, SectionRef, SegmentIndex};
use super::limits::{DEGRADED_AFTER, FRAME_BYTES_TARGET, SPLIT_BYTES_MIN, WRITES_IN_FLIGHT_MAX};
use super::lookup::{Found, Lookup, SealedSegments};
use super::pool::{BufferPool, Recent};
use super::record::{Assigned, EncodedCommit};
use super::registers::RegisterTable;
use super::sealed::Held;
use super::segment::{LogPlace, Segment};
use super::upkeep::floor_of;
use crate::commit::Commit;
use crate::cursor::{Lineage, Position};
use crate::error::AppendError;
use crate::seams::{AlignedBuffer, BLOCK_BYTES, Clock, DiskFile, Random};
use crate::time::Timestamp;

/// What an append hears.
pub(crate) enum Answer {
    Committed(Assigned),
    Refused(AppendError),
    /// The command of this index took effect before; its record lies there.
    Before {
        index: usize,
        place: StoredPlace,
    },
}

/// The place of a command record in the journal.
#[derive(Clone)]
pub(crate) struct StoredPlace {
    pub(crate) segment: Held,
    pub(crate) command: CommandRef,
}

/// A commit on its way to the sequencer, encoded but for what the sequencer assigns.
pub(crate) struct Content {
    pub(crate) commit: Commit,
    pub(crate) hashes: Vec<CommandHashes>,
    pub(crate) encoded: EncodedCommit,
    /// What the sealed segments know of its keys.
    pub(crate) found: Found,
}

/// A commit with the one who waits for its answer.
pub(crate) struct Pending {
    pub(crate) content: Box<Content>,
    pub(crate) answer: oneshot::Sender<Heard>,
}

/// An answer, and the commit back: whoever made it takes it apart.
pub(crate) struct Heard {
    pub(crate) answer: Answer,
    pub(crate) content: Box<Content>,
}

impl Pending {
    pub(crate) fn bytes_max(&self) -> usize {
        self.content.encoded.bytes_max()
    }

    /// An answer for later.
    fn with(self, answer: Answer) -> Ready {
        Ready { to: self.answer, heard: Heard { answer, content: self.content } }
    }

    /// An answer for now; whoever does not listen any more does not hear it.
    pub(crate) fn refuse(self, error: AppendError) {
        self.with(Answer::Refused(error)).tell();
    }
}

/// An answer that is ready to be told.
pub(crate) struct Ready {
    to: oneshot::Sender<Heard>,
    heard: Heard,
}

impl Ready {
    fn tell(self) {
        drop(self.to.send(self.heard));
    }
}

/// What is to be told once the sequencer's lock is given back.
#[derive(Default)]
#[must_use]
pub(crate) struct News {
    durable: Option<Position>,
    answers: Vec<Ready>,
    /// Large things that nobody needs any more; letting go of them takes time.
    dropped: Vec<Arc<FullSegment>>,
    poisoned: bool,
}

impl News {
    /// Readers first: whoever hears that a commit is durable must be able to read it.
    pub(crate) fn tell(self, durable: &watch::Sender<Position>) {
        if let Some(position) = self.durable {
            // Another worker may have told of a later one.
            durable.send_if_modified(|told| {
                let later = position > *told;
                *told = position.max(*told);
                later
            });
        }
        if self.poisoned {
            durable.send_modify(|_| {});
        }
        self.answers.into_iter().for_each(Ready::tell);
    }
}

/// A frame on its way to the disk.
pub(crate) struct FrameWrite {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) buffer: AlignedBuffer,
    pub(crate) offset: u64,
}

struct InFlight {
    number: u64,
    segment: u64,
    offset: u64,
    last_position: Position,
    since: Timestamp,
    written: Option<Bytes>,
    answers: Vec<Ready>,
}

/// A segment that is full and not sealed yet.
pub(crate) struct FullSegment {
    pub(crate) segment: Segment,
    pub(crate) index: Arc<SegmentIndex>,
    pub(crate) first_position: Position,
    pub(crate) end: LogPlace,
}

/// How the next segment stands.
pub(crate) enum Next {
    /// It is wanted, of at least this many bytes.
    Wanted(u64),
    /// It is being made.
    Preparing,
    /// It is there.
    Ready(Segment),
    /// There was no room for it.
    NoRoom(u64),
}

/// The mistakes that the harnesses must catch; see `tests`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlantedBug {
    /// None.
    #[default]
    None,
    /// The write is acknowledged without a sync.
    AcknowledgeBeforeSync,
    /// A completed write is acknowledged although an earlier one is not there.
    SkipPrefixCheck,
    /// A command id is not remembered.
    LoseCommandId,
    /// A commit's epoch is not compared with its register's.
    SkipFence,
    /// A sync that failed is tried again, and believed.
    RetrySync,
    /// A commit becomes visible before its last event does.
    ShowTornCommit,
    /// Torn tails are left in their segments, and frames are taken for the log's whatever they follow.
    RecycleSegments,
    /// A new segment's name is not made durable.
    SkipDirectorySync,
    /// A seal says that its segment ends one event earlier.
    SealOffByOne,
}

/// The state of the log.
pub(crate) struct Sequencer {
    pub(crate) lineage: Arc<Lineage>,
    pub(crate) sealed: SealedSegments,
    pub(crate) full: Option<Arc<FullSegment>>,
    pub(crate) active: Segment,
    pub(crate) index: SegmentIndex,
    /// The first position of the active segment.
    pub(crate) active_first: Position,
    pub(crate) place: LogPlace,
    pub(crate) next: Next,
    pub(crate) recent: Recent,
    pub(crate) poisoned: Option<String>,
    pub(crate) closing: bool,
    pub(crate) registers: Arc<RegisterTable>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) planted: PlantedBug,
    pub(crate) segment_bytes: RangeInclusive<u64>,
    pub(crate) lookup: Arc<Lookup>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) pool: Arc<BufferPool>,
    /// A segment is being made, since then.
    pub(crate) preparing_since: Option<Timestamp>,
    /// A segment is being sealed, since then.
    pub(crate) sealing_since: Option<Timestamp>,
    /// A seal is being written.
    pub(crate) sealing: bool,
    /// There was no room for a seal: it is tried again when a commit needs it.
    pub(crate) seal_waits: bool,
    /// A commit was refused for lack of room, and there has been none since.
    pub(crate) full_disk: bool,
    /// The last position in front of the first event that is still there.
    pub(crate) floor: Position,
    queue: VecDeque<Pending>,
    queue_bytes: usize,
    in_flight: VecDeque<InFlight>,
    next_write: u64,
    /// The last position that is on the disk.
    durable: Position,
    news: News,
    /// The head of the commit at hand; used again.
    head_bytes: Vec<u8>,
}

/// What a sequencer starts from.
pub(crate) struct Start {
    pub(crate) lineage: Arc<Lineage>,
    pub(crate) sealed: SealedSegments,
    pub(crate) full: Option<Arc<FullSegment>>,
    pub(crate) active: Segment,
    pub(crate) index: SegmentIndex,
    pub(crate) active_first: Position,
    pub(crate) place: LogPlace,
    pub(crate) next: Next,
    pub(crate) registers: Arc<RegisterTable>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) planted: PlantedBug,
    pub(crate) segment_bytes: RangeInclusive<u64>,
}

impl Sequencer {
    pub(crate) fn new(start: Start) -> Self {
        let (durable, floor) = (start.place.position - 1, floor_of(&start.sealed));
        Self {
            lineage: start.lineage,
            lookup: Arc::new(Lookup::new(Arc::clone(&start.sealed))),
            inbox: Arc::default(),
            pool: Arc::default(),
            sealed: start.sealed,
            full: start.full,
            active: start.active,
            index: start.index,
            active_first: start.active_first,
            place: start.place,
            next: start.next,
            recent: Recent::default(),
            poisoned: None,
            closing: false,
            registers: start.registers,
            clock: start.clock,
            random: start.random,
            planted: start.planted,
            segment_bytes: start.segment_bytes,
            preparing_since: None,
            sealing_since: None,
            sealing: false,
            seal_waits: false,
            full_disk: false,
            floor,
            queue: VecDeque::new(),
            queue_bytes: 0,
            in_flight: VecDeque::new(),
            next_write: 0,
            durable,
            news: News::default(),
            head_bytes: Vec::new(),
        }
    }

    /// The last position that is on disk: nothing behind it is shown to anybody.
    pub(crate) fn durable_position(&self) -> Position {
        self.durable
    }

    /// Takes in what waits in the inbox.
    pub(crate) fn take_in(&mut self) {
        let before = self.queue.len();
        self.inbox.empty_into(&mut self.queue);
        self.queue_bytes += self.queue.iter().skip(before).map(Pending::bytes_max).sum::<usize>();
        if let Some(cause) = self.poisoned.clone() {
            self.refuse_queue(&AppendError::Poisoned { cause });
        }
    }

    /// What is to be told since the last time.
    pub(crate) fn take_news(&mut self) -> News {
        let mut news = std::mem::take(&mut self.news);
        if !news.answers.is_empty() || news.poisoned {
            // Another worker may hold the word of what these answers saw, and not have told it yet.
            news.durable = Some(self.durable);
        }
        news
    }

    /// Whether a worker should take a frame now.
    pub(crate) fn has_work(&self) -> bool {
        if self.queue.is_empty() || self.poisoned.is_some() {
            return false;
        }
        self.in_flight.is_empty() || self.queue_bytes >= SPLIT_BYTES_MIN && self.in_flight.len() < WRITES_IN_FLIGHT_MAX
    }

    /// Whether a frame could be taken beside those in flight.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn could_split(&self) -> bool {
        !self.queue.is_empty() && self.poisoned.is_none() && self.in_flight.len() < WRITES_IN_FLIGHT_MAX
    }

    /// Whether upkeep has something to do.
    pub(crate) fn wants_upkeep(&self) -> bool {
        self.poisoned.is_none() && (matches!(self.next, Next::Wanted(_)) || self.due_for_a_seal().is_some())
    }

    /// The full segment, once all of its frames are on the disk: a seal never says more than the disk has. A marker at its end has no
    /// position to tell by.
    pub(crate) fn due_for_a_seal(&self) -> Option<&Arc<FullSegment>> {
        let full = self.full.as_ref().filter(|_| !self.sealing && !self.seal_waits)?;
        let number = full.segment.header.number;
        self.in_flight.iter().all(|entry| entry.segment != number).then_some(full)
    }

    /// Since when the oldest write to the disk, or piece of upkeep, is under way, when that is longer than a disk should take.
    pub(crate) fn degraded_since(&self) -> Option<Timestamp> {
        let written_since = self.in_flight.iter().find(|entry| entry.written.is_none()).map(|entry| entry.since);
        let since = written_since.into_iter().chain(self.preparing_since).chain(self.sealing_since).min()?;
        let waited = self.clock.now().as_micros().saturating_sub(since.as_micros());
        (self.poisoned.is_none() && i128::from(waited) > DEGRADED_AFTER.as_micros() as i128).then_some(since)
    }

    /// Nothing waits and nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty()
    }

    /// Whether the disk does not yet say how far the log is written, and there is room to say so.
    pub(crate) fn is_unmarked(&self) -> bool {
        self.poisoned.is_none() && self.place.durable_upto < self.place.position - 1 && self.room() >= BLOCK_BYTES as u64
    }

    /// Whether that should be said now.
    pub(crate) fn wants_marker(&self) -> bool {
        self.is_idle() && self.is_unmarked()
    }

    /// Drains what has arrived into one frame. `None`: nothing to write now (all were refused, or a segment is awaited).
    pub(crate) fn take_frame(&mut self) -> Option<FrameWrite> {
        let mut frame = FrameBuilder::new(self.pool.take());
        let mut answers = Vec::new();
        let (start, now) = (self.place.position, self.clock.now());
        while let Some(needed) = self.queue.front().map(|pending| frame.len() + SECTION_HEADER_BYTES_MAX + pending.bytes_max()) {
            if frame.is_full() || !frame.is_empty() && needed > FRAME_BYTES_TARGET {
                break;
            }
            if !self.fits(needed) && (!frame.is_empty() || !self.roll(needed)) {
                break;
            }
            let Some(pending) = self.queue.pop_front() else { break };
            self.queue_bytes -= pending.bytes_max();
            self.inbox.taken(pending.bytes_max());
            answers.push(self.admit(pending, &mut frame, now));
        }
        if frame.is_empty() {
            self.pool.give_back(frame.into_buffer());
            self.settle_refusals(answers);
            return None;
        }
        Some(self.start_write(frame, start, answers))
    }

    /// A frame without commits, so that the disk says how far the log is durable.
    pub(crate) fn take_marker(&mut self) -> Option<FrameWrite> {
        self.wants_marker().then(|| self.start_write(FrameBuilder::new(self.pool.take()), self.place.position, Vec::new()))
    }

    fn start_write(&mut self, frame: FrameBuilder, first_position: Position, answers: Vec<Ready>) -> FrameWrite {
        let offset = self.place.offset;
        let durable_upto = self.durable_position();
        let chain = Chain { previous: self.place.chain, epoch: self.active.header.epoch, first_position, durable_upto };
        let (buffer, header) = frame.finish(chain, offset);
        if header.event_count > 0 {
            self.index.frames.push(FrameRef { first_position, offset: offset as u32, length: header.length });
        }
        self.place = LogPlace { offset: offset + header.padded(), chain: header.checksum, position: self.place.position, durable_upto };
        let number = self.next_write;
        self.next_write += 1;
        let last_position = self.place.position - 1;
        let (segment, since) = (self.active.header.number, self.clock.now());
        self.in_flight.push_back(InFlight { number, segment, offset, last_position, since, written: None, answers });
        self.inbox.set_writes(self.in_flight.len());
        FrameWrite { number, file: Arc::clone(&self.active.file), buffer, offset }
    }

    /// Refusals wait for what they saw: with the last frame in flight, or not at all.
    fn settle_refusals(&mut self, answers: Vec<Ready>) {
        match self.in_flight.back_mut() {
            Some(last) => last.answers.extend(answers),
            None => self.news.answers.extend(answers),
        }
    }

    /// A write came back, with its bytes for readers. Acknowledges the contiguous completed prefix, or poisons the journal.
    pub(crate) fn complete(&mut self, number: u64, outcome: std::io::Result<Bytes>) {
        let bytes = match outcome {
            Ok(bytes) => bytes,
            Err(error) => return self.poison(&error.to_string()),
        };
        if self.poisoned.is_some() {
            return;
        }
        if let Some(entry) = self.in_flight.iter_mut().find(|entry| entry.number == number) {
            entry.written = Some(bytes);
        }
        if self.planted == PlantedBug::SkipPrefixCheck
            && let Some(at) = self.in_flight.iter().position(|entry| entry.written.is_some())
        {
            self.in_flight.rotate_left(at);
        }
        while let Some(bytes) = self.in_flight.front_mut().and_then(|entry| entry.written.take()) {
            let Some(entry) = self.in_flight.pop_front() else { break };
            self.acknowledge(entry, bytes);
        }
        self.inbox.set_writes(self.in_flight.len());
    }

    fn acknowledge(&mut self, entry: InFlight, bytes: Bytes) {
        self.recent.push(entry.segment, entry.offset, bytes);
        let last = entry.last_position - u64::from(self.planted == PlantedBug::ShowTornCommit);
        self.durable = self.durable.max(last);
        self.news.durable = Some(self.durable);
        match self.news.answers.is_empty() {
            true => self.news.answers = entry.answers,
            false => self.news.answers.extend(entry.answers),
        }
    }

    /// Lets go of a sealed segment's index in memory, once the lock is given back.
    pub(crate) fn let_go(&mut self, full: Option<Arc<FullSegment>>) {
        self.news.dropped.extend(full);
    }

    /// The first disk error is final: nothing is acknowledged after it.
    pub(crate) fn poison(&mut self, cause: &str) {
        let cause = self.poisoned.get_or_insert_with(|| cause.to_owned()).clone();
        for ready in self.in_flight.drain(..).flat_map(|entry| entry.answers) {
            let unknown = Answer::Refused(AppendError::Unknown { cause: cause.clone() });
            self.news.answers.push(Ready { heard: Heard { answer: unknown, ..ready.heard }, ..ready });
        }
        self.inbox.set_writes(0);
        self.inbox.close(AppendError::Poisoned { cause });
        self.take_in();
        // Readers that wait for the head must hear of it.
        self.news.poisoned = true;
    }

    /// Room left for frames, with one block kept for a marker.
    fn room(&self) -> u64 {
        self.active.header.bytes.saturating_sub(self.place.offset)
    }

    fn fits(&self, frame_bytes: usize) -> bool {
        frame_bytes.next_multiple_of(BLOCK_BYTES) as u64 + BLOCK_BYTES as u64 <= self.room()
    }

    /// Goes on in the next segment, if it is there, large enough, and the one before is sealed. Else says what is wanted.
    fn roll(&mut self, needed: usize) -> bool {
        let least =
            (needed as u64 + 4 * BLOCK_BYTES as u64).next_power_of_two().max((self.active.header.bytes * 2).min(*self.segment_bytes.end()));
        match &self.next {
            Next::Ready(segment) if segment.header.bytes >= needed as u64 + 4 * BLOCK_BYTES as u64 => {}
            Next::Ready(_) => {
                self.next = Next::Wanted(least);
                return false;
            }
            Next::NoRoom(bytes) => {
                // There may be room by now: the queue hears of it when upkeep has tried again.
                self.next = Next::Wanted((*bytes).max(least));
                return false;
            }
            Next::Wanted(_) | Next::Preparing => return false,
        }
        if self.full.is_some() {
            self.seal_waits = false;
            return false;
        }
        let following = (self.active.header.bytes * 4).min(*self.segment_bytes.end());
        let Next::Ready(segment) = std::mem::replace(&mut self.next, Next::Wanted(following)) else { return false };
        let active = std::mem::replace(&mut self.active, segment);
        let index = Arc::new(std::mem::take(&mut self.index));
        self.full = Some(Arc::new(FullSegment { segment: active, index, first_position: self.active_first, end: self.place }));
        self.active_first = self.place.position;
        self.place.offset = super::limits::SEGMENT_HEADER_BYTES as u64;
        self.full_disk = false;
        true
    }

    fn refuse_queue(&mut self, error: &AppendError) {
        let answers = self.queue.drain(..).map(|pending| pending.with(Answer::Refused(error.clone()))).collect();
        self.inbox.taken(std::mem::take(&mut self.queue_bytes));
        self.settle_refusals(answers);
    }

    /// Lets a queue that waits for upkeep hear that there is no room.
    pub(crate) fn refuse_when_full(&mut self) {
        if self.queue.front().is_some_and(|pending| !self.fits(FRAME_HEADER_BYTES + SECTION_HEADER_BYTES_MAX + pending.bytes_max())) {
            self.full_disk = true;
            self.refuse_queue(&AppendError::Full);
        }
    }

    /// Lets upkeep try again what there was no room for.
    pub(crate) fn look_for_room(&mut self) {
        self.seal_waits = false;
        if let Next::NoRoom(bytes) = self.next {
            self.next = Next::Wanted(bytes);
        }
    }

    /// Checks one commit and puts it into the frame; gives the answer that leaves with it.
    fn admit(&mut self, pending: Pending, frame: &mut FrameBuilder, now: Timestamp) -> Ready {
        let content = &*pending.content;
        let assigned = match self.check(content, now) {
            Ok(assigned) => assigned,
            Err(Stop::Answer(answer)) => return pending.with(answer),
            Err(Stop::Disk(error)) => {
                let cause = format!("an index could not be read: {error}");
                return pending.with(Answer::Refused(AppendError::Unavailable { cause }));
            }
        };
        let events = content.commit.event_count();
        self.head_bytes.clear();
        content.encoded.put_head(&assigned, &mut self.head_bytes);
        let (place, length) = frame.commit(&self.head_bytes, content.encoded.commands(), events as u32);
        let section =
            SectionRef { offset: (self.place.offset as usize + place) as u32, length: length as u32, position: assigned.position };
        let placed = Placed {
            commit: &content.commit,
            hashes: &content.hashes,
            first_sequences: &assigned.first_sequences,
            time: assigned.time,
            section,
        };
        self.index.add(&placed);
        if self.planted == PlantedBug::LoseCommandId {
            content.hashes.iter().for_each(|hashes| {
                self.index.commands.remove(&hashes.command);
            });
        }
        self.place.position += events as u64;
        pending.with(Answer::Committed(assigned))
    }
}
