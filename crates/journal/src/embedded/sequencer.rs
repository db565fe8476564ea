//! The sequencer: a state machine that writes nothing and waits for nothing. (It reads one thing: the sealed index of an entity
//! or command id that no unsealed segment has; ADR 2.) It takes commits in, checks their conditions exactly against durable and
//! in-flight ones, assigns positions and sequences, encodes frames, and says what is acknowledged when writes complete.
//!
//! The pipeline's threads drive it under a lock; a simulator drives it in one thread from a seed. It never waits: whatever
//! has arrived goes into the next frame. Answers that depend on commits in flight (a conflict, a duplicate) leave
//! with the frame that makes them true.

use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::frame::{Chain, FRAME_HEADER_BYTES, FrameBuilder, SECTION_HEADER_BYTES_MAX};
use super::index::{CommandHashes, CommandRef, FrameRef, ItemHashes, Placed, SectionRef, SegmentIndex};
use super::limits::{
    COLD_HEADS_MAX, DEGRADED_AFTER, FRAME_BYTES_TARGET, QUEUE_BYTES_MAX, RECENT_BYTES_MAX, SPLIT_BYTES_MIN, WRITES_IN_FLIGHT_MAX,
};
use super::record::{Assigned, CommitPlace, EncodedCommit};
use super::registers::RegisterTable;
use super::sealed::SealedSegment;
use super::segment::{LogPlace, Segment};
use crate::commit::{Commit, Committed, Durability, Expect, Settled, TagCondition};
use crate::cursor::{Lineage, Position};
use crate::error::{AppendError, CursorError, InvalidError};
use crate::key::{EntityKey, KeyHash};
use crate::read::Head;
use crate::seams::{AlignedBuffer, BLOCK_BYTES, Clock, DiskFile, Random};
use crate::time::Timestamp;

/// What an append hears.
pub(crate) enum Answer {
    Committed(Committed),
    Refused(AppendError),
    /// The command of this index took effect before; its record lies there.
    Before {
        index: usize,
        place: StoredPlace,
    },
}

/// The place of a command record in the journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredPlace {
    pub(crate) segment: u64,
    pub(crate) command: CommandRef,
}

/// A commit on its way to the sequencer, encoded but for what the sequencer assigns.
pub(crate) struct Pending {
    pub(crate) commit: Commit,
    pub(crate) hashes: Vec<CommandHashes>,
    pub(crate) encoded: EncodedCommit,
    pub(crate) answer: oneshot::Sender<Answer>,
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
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
}

/// Frames that were just written, for readers at the tail.
#[derive(Default)]
pub(crate) struct Recent {
    frames: VecDeque<(u64, u64, Bytes)>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, segment: u64, offset: u64, bytes: Bytes) {
        self.bytes += bytes.len();
        self.frames.push_back((segment, offset, bytes));
        while self.bytes > RECENT_BYTES_MAX {
            self.bytes -= self.frames.pop_front().map_or(0, |(_, _, bytes)| bytes.len());
        }
    }

    /// The bytes at a place, when one recent frame holds them all.
    pub(crate) fn get(&self, segment: u64, offset: u64, length: usize) -> Option<Bytes> {
        let after = self.frames.partition_point(|(number, start, _)| (*number, *start) <= (segment, offset));
        let (number, start, bytes) = self.frames.get(after.checked_sub(1)?)?;
        let skip = usize::try_from(offset - start).ok()?;
        (*number == segment && skip + length <= bytes.len()).then(|| bytes.slice(skip..skip + length))
    }
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
    pub(crate) sealed: Arc<Vec<Arc<SealedSegment>>>,
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
    pub(crate) durable: watch::Sender<Position>,
    /// A piece of upkeep is under way, since then.
    pub(crate) upkeep_since: Option<Timestamp>,
    /// A seal is being written.
    pub(crate) sealing: bool,
    /// There was no room for a seal: it is tried again when a commit needs it.
    pub(crate) seal_waits: bool,
    /// A commit was refused for lack of room, and there has been none since.
    pub(crate) full_disk: bool,
    queue: VecDeque<Pending>,
    queue_bytes: usize,
    in_flight: VecDeque<InFlight>,
    next_write: u64,
    spare: Vec<AlignedBuffer>,
    cold_heads: HashMap<KeyHash, Option<Head>>,
}

/// What a sequencer starts from.
pub(crate) struct Start {
    pub(crate) lineage: Arc<Lineage>,
    pub(crate) sealed: Vec<Arc<SealedSegment>>,
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

/// Why a commit did not pass.
enum Stop {
    Answer(Answer),
    /// A sealed index cannot be read: nothing was decided and nothing written, and the commit may be sent again.
    Disk(std::io::Error),
}

impl From<AppendError> for Stop {
    fn from(error: AppendError) -> Self {
        Self::Answer(Answer::Refused(error))
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Sequencer {
    pub(crate) fn new(start: Start) -> Self {
        let durable = start.place.position - 1;
        Self {
            lineage: start.lineage,
            sealed: Arc::new(start.sealed),
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
            durable: watch::Sender::new(durable),
            upkeep_since: None,
            sealing: false,
            seal_waits: false,
            full_disk: false,
            queue: VecDeque::new(),
            queue_bytes: 0,
            in_flight: VecDeque::new(),
            next_write: 0,
            spare: Vec::new(),
            cold_heads: HashMap::new(),
        }
    }

    /// The last position that is on disk: nothing behind it is shown to anybody.
    pub(crate) fn durable_position(&self) -> Position {
        *self.durable.borrow()
    }

    /// Takes a commit in. It has its place in the order from now on.
    pub(crate) fn offer(&mut self, pending: Pending) {
        if let Some(cause) = &self.poisoned {
            let refused = AppendError::Poisoned { cause: cause.clone() };
            return drop(pending.answer.send(Answer::Refused(refused)));
        }
        if self.closing {
            let refused = AppendError::Unavailable { cause: "the journal is being closed".into() };
            return drop(pending.answer.send(Answer::Refused(refused)));
        }
        if self.queue_bytes + pending.encoded.bytes_max() > QUEUE_BYTES_MAX && !self.queue.is_empty() {
            let cause = format!("{QUEUE_BYTES_MAX} bytes of commits wait for the disk, which is the bound");
            return drop(pending.answer.send(Answer::Refused(AppendError::Unavailable { cause })));
        }
        self.queue_bytes += pending.encoded.bytes_max();
        self.queue.push_back(pending);
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
        let since = written_since.into_iter().chain(self.upkeep_since).min()?;
        let waited = self.clock.now().as_micros().saturating_sub(since.as_micros());
        (self.poisoned.is_none() && i128::from(waited) > DEGRADED_AFTER.as_micros() as i128).then_some(since)
    }

    /// Nothing waits and nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty()
    }

    /// Whether the disk does not yet say how far the log is durable.
    pub(crate) fn wants_marker(&self) -> bool {
        self.is_idle() && self.poisoned.is_none() && self.place.durable_upto < self.place.position - 1 && self.room() >= BLOCK_BYTES as u64
    }

    /// Drains what has arrived into one frame. `None`: nothing to write now (all were refused, or a segment is awaited).
    pub(crate) fn take_frame(&mut self) -> Option<FrameWrite> {
        let buffer = self.spare.pop().unwrap_or_else(|| AlignedBuffer::with_capacity(FRAME_BYTES_TARGET / 4));
        let mut frame = FrameBuilder::new(buffer);
        let mut answers = Vec::new();
        let start = self.place.position;
        while let Some(needed) = self.queue.front().map(|pending| frame.len() + SECTION_HEADER_BYTES_MAX + pending.encoded.bytes_max()) {
            if frame.is_full() || !frame.is_empty() && needed > FRAME_BYTES_TARGET {
                break;
            }
            if !self.fits(needed) && (!frame.is_empty() || !self.roll(needed)) {
                break;
            }
            let Some(pending) = self.queue.pop_front() else { break };
            self.queue_bytes -= pending.encoded.bytes_max();
            self.admit(pending, &mut frame, &mut answers);
        }
        if frame.is_empty() {
            self.settle_refusals(answers);
            return None;
        }
        Some(self.start_write(frame, start, answers))
    }

    /// A frame without commits, so that the disk says how far the log is durable.
    pub(crate) fn take_marker(&mut self) -> Option<FrameWrite> {
        let buffer = self.spare.pop().unwrap_or_else(|| AlignedBuffer::with_capacity(FRAME_BYTES_TARGET / 4));
        self.wants_marker().then(|| self.start_write(FrameBuilder::new(buffer), self.place.position, Vec::new()))
    }

    fn start_write(
        &mut self,
        frame: FrameBuilder,
        first_position: Position,
        answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    ) -> FrameWrite {
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
        FrameWrite { number, file: Arc::clone(&self.active.file), buffer, offset }
    }

    /// Refusals wait for what they saw: with the last frame in flight, or not at all.
    fn settle_refusals(&mut self, answers: Vec<(oneshot::Sender<Answer>, Answer)>) {
        match self.in_flight.back_mut() {
            Some(last) => last.answers.extend(answers),
            None => answers.into_iter().for_each(|(sender, answer)| drop(sender.send(answer))),
        }
    }

    /// A write came back. Acknowledges the contiguous completed prefix, or poisons the journal.
    pub(crate) fn complete(&mut self, write: FrameWrite, outcome: std::io::Result<()>) {
        if let Err(error) = outcome {
            return self.poison(&error.to_string());
        }
        let skip_prefix_check = self.planted == PlantedBug::SkipPrefixCheck;
        if let Some(entry) = self.in_flight.iter_mut().find(|entry| entry.number == write.number) {
            entry.written = Some(Bytes::copy_from_slice(&write.buffer));
        }
        self.recycle(write.buffer);
        if self.poisoned.is_some() {
            return;
        }
        if skip_prefix_check && let Some(at) = self.in_flight.iter().position(|entry| entry.written.is_some()) {
            self.in_flight.rotate_left(at);
        }
        while self.in_flight.front().is_some_and(|entry| entry.written.is_some()) {
            let Some(entry) = self.in_flight.pop_front() else { break };
            self.acknowledge(entry);
        }
    }

    fn acknowledge(&mut self, entry: InFlight) {
        if let Some(bytes) = entry.written {
            self.recent.push(entry.segment, entry.offset, bytes);
        }
        let last = entry.last_position - u64::from(self.planted == PlantedBug::ShowTornCommit);
        self.durable.send_if_modified(|durable| {
            if last > *durable {
                *durable = last;
                true
            } else {
                false
            }
        });
        entry.answers.into_iter().for_each(|(sender, answer)| drop(sender.send(answer)));
    }

    fn recycle(&mut self, buffer: AlignedBuffer) {
        if self.spare.len() < WRITES_IN_FLIGHT_MAX && buffer.capacity() <= 2 * FRAME_BYTES_TARGET {
            self.spare.push(buffer);
        }
    }

    /// The first disk error is final: nothing is acknowledged after it.
    pub(crate) fn poison(&mut self, cause: &str) {
        let cause = self.poisoned.get_or_insert_with(|| cause.to_owned()).clone();
        for (sender, _) in self.in_flight.drain(..).flat_map(|entry| entry.answers) {
            drop(sender.send(Answer::Refused(AppendError::Unknown { cause: cause.clone() })));
        }
        for pending in self.queue.drain(..) {
            drop(pending.answer.send(Answer::Refused(AppendError::Poisoned { cause: cause.clone() })));
        }
        self.queue_bytes = 0;
        // Readers that wait for the head must hear of it.
        self.durable.send_modify(|_| {});
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
        true
    }

    fn refuse_queue(&mut self, error: &AppendError) {
        let answers = self.queue.drain(..).map(|pending| (pending.answer, Answer::Refused(error.clone()))).collect();
        self.queue_bytes = 0;
        self.settle_refusals(answers);
    }

    /// Lets a queue that waits for upkeep hear that there is no room.
    pub(crate) fn refuse_when_full(&mut self) {
        if self.queue.front().is_some_and(|pending| !self.fits(FRAME_HEADER_BYTES + SECTION_HEADER_BYTES_MAX + pending.encoded.bytes_max()))
        {
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

    /// Checks one commit and puts it into the frame, or queues its refusal.
    fn admit(&mut self, pending: Pending, frame: &mut FrameBuilder, answers: &mut Vec<(oneshot::Sender<Answer>, Answer)>) {
        let admitted = match self.check(&pending.commit, &pending.hashes) {
            Ok(admitted) => admitted,
            Err(Stop::Answer(answer)) => return answers.push((pending.answer, answer)),
            Err(Stop::Disk(error)) => {
                let cause = format!("an index could not be read: {error}");
                return answers.push((pending.answer, Answer::Refused(AppendError::Unavailable { cause })));
            }
        };
        let (position, events) = (self.place.position, pending.commit.event_count() as u64);
        let head = pending.encoded.head(&admitted);
        let (place, length) = frame.commit(&head, pending.encoded.commands(), events as u32);
        let section = SectionRef { offset: (self.place.offset as usize + place) as u32, length: length as u32, position };
        let placed = Placed {
            commit: &pending.commit,
            hashes: &pending.hashes,
            first_sequences: &admitted.first_sequences,
            time: admitted.time,
            section,
        };
        self.index.add(&placed);
        if self.planted == PlantedBug::LoseCommandId {
            pending.hashes.iter().for_each(|hashes| {
                self.index.commands.remove(&hashes.command);
            });
        }
        self.place.position += events;
        let settled =
            |(first, command): (&u64, &crate::commit::CommandRecord)| Settled { sequence: first + command.events.len() as u64 - 1 };
        let commands = admitted.first_sequences.iter().zip(&pending.commit.commands).map(settled).collect();
        let cursor = self.lineage.cursor(self.place.position - 1);
        let committed = Committed { id: admitted.id, time: admitted.time, cursor, commands, durability: Durability::Durable };
        answers.push((pending.answer, Answer::Committed(committed)));
    }

    /// The checks that need the journal, in the contract's order, and what the commit is assigned.
    fn check(&mut self, commit: &Commit, hashes: &[CommandHashes]) -> Result<Assigned, Stop> {
        if let Some(fence) = &commit.fence
            && self.planted != PlantedBug::SkipFence
            && self.registers.epoch(&fence.register) != Some(fence.epoch)
        {
            return Err(AppendError::Fenced { register: fence.register.clone() }.into());
        }
        let mut heads = Vec::with_capacity(hashes.len());
        for hash in hashes {
            heads.push(self.head(hash.entity)?);
        }
        for (index, hash) in hashes.iter().enumerate() {
            if let Some(place) = self.find_command(hash.command)? {
                return Err(Stop::Answer(Answer::Before { index, place }));
            }
        }
        for (entity, expect) in &commit.expect {
            self.check_expectation(entity, *expect)?;
        }
        if let Some(condition) = &commit.condition {
            self.check_condition(condition)?;
        }
        Ok(self.assign(commit, hashes, &heads))
    }

    fn check_expectation(&mut self, entity: &EntityKey, expect: Expect) -> Result<(), Stop> {
        let head = self.head(entity.hash())?;
        let holds = match expect {
            Expect::Any => true,
            Expect::New => head.as_ref().is_none_or(|head| head.deleted),
            Expect::Head(sequence) => head.as_ref().map_or(0, |head| head.sequence) == sequence,
        };
        if holds { Ok(()) } else { Err(AppendError::Conflict { entity: entity.clone(), head }.into()) }
    }

    fn check_condition(&self, condition: &TagCondition) -> Result<(), Stop> {
        let head = self.place.position - 1;
        let after = match self.lineage.resolve(condition.after, head, 0) {
            Ok(after) => after,
            Err(CursorError::Gone { .. }) => 0,
            Err(error) => return Err(AppendError::Invalid(InvalidError::new("condition", error.to_string())).into()),
        };
        for item in &condition.query.items {
            let item = ItemHashes::of(item);
            let found = match item.positions(after, |hash| self.postings_after(hash, after))? {
                Some(positions) => !positions.is_empty(),
                None => head > after,
            };
            if found {
                return Err(AppendError::ConditionFailed { head: self.lineage.cursor(head) }.into());
            }
        }
        Ok(())
    }

    fn assign(&self, commit: &Commit, hashes: &[CommandHashes], heads: &[Option<Head>]) -> Assigned {
        let mut time = commit.origin.map_or_else(|| self.clock.now(), |origin| origin.time);
        let mut next: HashMap<KeyHash, u64> = HashMap::new();
        let mut first_sequences = Vec::with_capacity(hashes.len());
        for ((command, hash), head) in commit.commands.iter().zip(hashes).zip(heads) {
            let sequence = next.entry(hash.entity).or_insert_with(|| head.as_ref().map_or(0, |head| head.sequence) + 1);
            first_sequences.push(*sequence);
            *sequence += command.events.len() as u64;
            time = head.as_ref().map_or(time, |head| time.max(head.time));
        }
        let own = CommitPlace { lineage: self.lineage.id, position: self.place.position }.id(time);
        let id = commit.origin.map_or(own, |origin| origin.id);
        Assigned { id, foreign: id != own, time, first_sequences }
    }

    /// The head of an entity, in-flight commits included.
    pub(crate) fn head(&mut self, entity: KeyHash) -> std::io::Result<Option<Head>> {
        if let Some(entry) = self.index.entities.get(&entity) {
            return Ok(Some(entry.head.clone()));
        }
        if let Some(entry) = self.full.as_ref().and_then(|full| full.index.entities.get(&entity)) {
            return Ok(Some(entry.head.clone()));
        }
        if self.sealed.is_empty() {
            return Ok(None);
        }
        if let Some(head) = self.cold_heads.get(&entity) {
            return Ok(head.clone());
        }
        let mut head = None;
        for sealed in self.sealed.iter().rev() {
            head = sealed.head(entity)?;
            if head.is_some() {
                break;
            }
        }
        if self.cold_heads.len() >= COLD_HEADS_MAX {
            self.cold_heads.clear();
        }
        self.cold_heads.insert(entity, head.clone());
        Ok(head)
    }

    /// Forgets remembered heads: a segment was sealed, and what it holds is newer than they may be.
    pub(crate) fn forget_cold_heads(&mut self) {
        self.cold_heads.clear();
    }

    /// The record of a command, in-flight commits included.
    pub(crate) fn find_command(&self, command: KeyHash) -> std::io::Result<Option<StoredPlace>> {
        if let Some(found) = self.index.commands.get(&command) {
            return Ok(Some(StoredPlace { segment: self.active.header.number, command: *found }));
        }
        if let Some(full) = &self.full
            && let Some(found) = full.index.commands.get(&command)
        {
            return Ok(Some(StoredPlace { segment: full.segment.header.number, command: *found }));
        }
        for sealed in self.sealed.iter().rev() {
            if let Some(found) = sealed.command(command)? {
                return Ok(Some(StoredPlace { segment: sealed.number(), command: found }));
            }
        }
        Ok(None)
    }

    /// The positions of a tag or type after a place, growing, in-flight commits included.
    pub(crate) fn postings_after(&self, hash: KeyHash, after: Position) -> std::io::Result<Vec<Position>> {
        let mut positions = Vec::new();
        for sealed in self.sealed.iter().filter(|sealed| sealed.last_position() > after) {
            positions.extend(sealed.postings(hash)?);
        }
        let full = self.full.as_ref().and_then(|full| full.index.postings.get(&hash));
        positions.extend(full.into_iter().flatten());
        positions.extend(self.index.postings.get(&hash).into_iter().flatten());
        Ok(positions)
    }
}
