//! Compaction: sealed segments written anew without the events that may go (`crate::CompactRules`).
//!
//! ```text
//! before   [ added | added | paid | added | $baseline .. ]         after   [ remains of 3 | added | $baseline .. | end ]
//! ```
//!
//! A segment is read twice: once to decide, commit by commit, and once to write. What stays is copied as it stands; what goes leaves its leaf
//! and the ids of its commands in a remains section. The new file is read again and its leaves compared with the root that is
//! kept of the segment, before it takes the name; the chain goes on behind it as it did (an end frame says how). Then comes its seal.
//! A crash in between leaves the old segment, or the new one without a seal that fits, which the next start makes. Readers hold on to
//! the file they found (`Held`).
//!
//! Only sealed segments are asked, for the last `$baseline` of an entity and for its head: none of them changes meanwhile, and no
//! lock is taken. An entity that went on in the segment being written keeps more for it.

use std::collections::{HashMap, hash_map::Entry};
use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::frame::{self, Section};
use super::image::ImageWriter;
use super::index::{EntityRef, SegmentIndex, type_hash};
use super::limits::COMPACT_GAIN_DIVISOR;
use super::merkle::Leaves;
use super::packed;
use super::packing;
use super::pipeline::Shared;
use super::record::{CommitPlace, StoredCommand, StoredCommit};
use super::roots::{RootRecord, Roots};
use super::sealed::SealedSegment;
use super::segment::{FLAG_COMPACTED, LogPlace, Segment, SegmentHeader, segment_name};
use super::sequencer::{FullSegment, PlantedBug};
use super::upkeep::{open_seal, write_seal};
use super::walk::{Walk, WholeFrame};
use crate::compaction::{BASELINE, CompactRules, Compacted, KeepRule};
use crate::cursor::Position;
use crate::error::ReadError;
use crate::key::{EntityKey, KeyHash, KeyHashing};

const TEMPORARY: &str = "compact.tmp";
const SEAL_TEMPORARY: &str = "compact-seal.tmp";

/// A compaction that somebody waits for.
pub(crate) struct Asked {
    pub(crate) rules: CompactRules,
    pub(crate) answer: oneshot::Sender<Result<Compacted, ReadError>>,
}

/// A compaction under way.
pub(crate) struct Compaction {
    asked: Asked,
    /// The roots of the segments: what was made of their events before any went.
    kept: Vec<RootRecord>,
    /// The number of the last segment that was looked at.
    at: u64,
    done: Compacted,
}

/// What looking at one segment came to.
enum Looked {
    Kept,
    Rewritten { events: u64, bytes: u64 },
    Closing,
}

/// Why a segment was not written anew.
enum Stop {
    /// The old one stands: nothing has changed.
    Before(io::Error),
    /// Its name may stand for either.
    Swapping(io::Error),
}

impl Compaction {
    pub(crate) fn new(asked: Asked, shared: &Shared) -> Option<Self> {
        let this = |kept| Self { asked, kept, at: 0, done: Compacted::default() };
        match Roots::read(&*shared.files.disk, shared.lineage) {
            Ok(roots) => Some(this(roots.records)),
            Err(error) => this(Vec::new()).fail(error.to_string()),
        }
    }

    /// Looks at the next segment; `None`: it has answered. `pace` hears of bytes and says whether to go on.
    pub(crate) fn step(mut self, shared: &Shared, sealed: &[Arc<SealedSegment>], pace: &mut dyn FnMut(u64) -> bool) -> Option<Self> {
        let rules = &self.asked.rules;
        let candidate = |segment: &&Arc<SealedSegment>| segment.number() > self.at && segment.summary().first_position <= rules.upto;
        let next = sealed.iter().find(candidate).and_then(|segment| Some((segment, self.kept.get(segment.number() as usize - 1)?)));
        let Some((segment, root)) = next.filter(|_| !rules.kinds.is_empty()) else {
            drop(self.asked.answer.send(Ok(self.done)));
            return None;
        };
        self.at = segment.number();
        match (Rewrite { shared, sealed, segment, rules, root }.run(pace)) {
            Ok(Looked::Kept) => self.done.segments += 1,
            Ok(Looked::Rewritten { events, bytes }) => {
                self.done.segments += 1;
                self.done.rewritten += 1;
                self.done.events += events;
                self.done.bytes += bytes;
            }
            Ok(Looked::Closing) => return self.fail("the journal is being closed".into()),
            Err(Stop::Before(error)) => return self.fail(error.to_string()),
            Err(Stop::Swapping(error)) => {
                shared.drive(|sequencer| sequencer.poison(&error.to_string()));
                return self.fail(error.to_string());
            }
        }
        Some(self)
    }

    fn fail(self, cause: String) -> Option<Self> {
        drop(
            self.asked.answer.send(Err(ReadError::Unavailable { cause: format!("the compaction ended at segment {}: {cause}", self.at) })),
        );
        None
    }
}

/// One segment that may be written anew.
struct Rewrite<'a> {
    shared: &'a Shared,
    sealed: &'a [Arc<SealedSegment>],
    segment: &'a Arc<SealedSegment>,
    rules: &'a CompactRules,
    root: &'a RootRecord,
}

impl Rewrite<'_> {
    fn run(&self, pace: &mut dyn FnMut(u64) -> bool) -> Result<Looked, Stop> {
        let Some(plan) = self.plan(pace).map_err(Stop::Before)? else { return Ok(Looked::Closing) };
        if plan.gain * COMPACT_GAIN_DIVISOR < self.segment.summary().end_offset {
            return Ok(Looked::Kept);
        }
        let Some(written) = self.write(&plan, pace).map_err(|error| self.give_up(error))? else { return Ok(Looked::Closing) };
        let before = self.size().map_err(|error| self.give_up(error))?;
        let Some((name, after)) = self.packed(&written, pace).map_err(|error| self.give_up(error))? else { return Ok(Looked::Closing) };
        if after >= before {
            self.clear();
            return Ok(Looked::Kept);
        }
        self.segment.keep_files().map_err(|error| self.give_up(error))?;
        self.swap(name, &written).map_err(Stop::Swapping)?;
        Ok(Looked::Rewritten { events: plan.events, bytes: before - after })
    }

    /// The file that is to take the name, and its size: of a packed segment it is a packed one. `None`: told to stop.
    fn packed(&self, written: &FullSegment, pace: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<(&'static str, u64)>> {
        let disk = &*self.shared.files.disk;
        let name = match packed::saved(disk, self.segment.number())? {
            None => TEMPORARY,
            Some(_) => match packing::write(disk, &written.segment, pace)? {
                Some(_) => packing::TEMPORARY,
                None => return Ok(None),
            },
        };
        Ok(Some((name, disk.open(name)?.len()?)))
    }

    fn size(&self) -> io::Result<u64> {
        self.shared.files.disk.open(&segment_name(self.segment.number()))?.len()
    }

    /// What was begun must not keep the room of it.
    fn give_up(&self, error: io::Error) -> Stop {
        self.clear();
        Stop::Before(error)
    }

    fn clear(&self) {
        // Whether it goes or not: the next compaction begins it anew.
        [TEMPORARY, SEAL_TEMPORARY, packing::TEMPORARY].iter().for_each(|name| drop(self.shared.files.disk.remove(name)));
    }

    /// Decides for every commit.
    fn plan(&self, pace: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<Plan>> {
        let (mut plan, mut judge) = (Plan::default(), Judge::new(self.sealed, self.segment.number(), self.rules));
        let whole = self.walk(&mut |_, frame| {
            for placed in &frame.commits {
                if judge.lets_go(&placed.commit)? {
                    plan.take(&placed.commit, placed.length as u64);
                }
            }
            Ok(pace(frame.header.padded()))
        })?;
        Ok(whole.then_some(plan))
    }

    /// Writes the new segment under a temporary name and reads it again.
    fn write(&self, plan: &Plan, pace: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<FullSegment>> {
        let (disk, summary) = (&self.shared.files.disk, self.segment.summary());
        let (mut epoch, random) = ([0; 8], Arc::clone(&self.shared.lock().random));
        random.fill(&mut epoch);
        let header = SegmentHeader {
            number: summary.segment,
            epoch: u64::from_le_bytes(epoch),
            bytes: 0,
            lineage: self.shared.lineage,
            flags: FLAG_COMPACTED,
        };
        let start = self.start();
        let mut image = ImageWriter::new(disk.create(TEMPORARY)?, header, start, summary.last_position);
        let mut going = plan.going.iter().copied().peekable();
        let whole = self.walk(&mut |segment, frame| {
            copy(segment, frame, &mut going, &mut image)?;
            Ok(pace(frame.header.padded()))
        })?;
        if !whole {
            disk.remove(TEMPORARY)?;
            return Ok(None);
        }
        let (header, end) = image.finish(Some(summary.chain))?;
        let new = Segment { header, file: disk.open(TEMPORARY)?.into() };
        let (index, leaves, found) = read_again(&new, start)?;
        if leaves != self.root.leaves || found.position != summary.last_position + 1 || found.chain != end.chain {
            return Err(io::Error::other(format!("segment {} was not written as it should be; it stays as it is", summary.segment)));
        }
        let full = FullSegment { segment: new, index: Arc::new(index), first_position: summary.first_position, end: found };
        write_seal(&**disk, &full, PlantedBug::None, SEAL_TEMPORARY)?;
        Ok(Some(full))
    }

    fn start(&self) -> LogPlace {
        let before = self.sealed.iter().rev().find(|before| before.number() < self.segment.number());
        let chain = before.map_or(0, |before| before.summary().chain);
        LogPlace { chain, position: self.segment.summary().first_position, ..LogPlace::BEGINNING }
    }

    /// Walks over the frames of the segment as it is; false when it was told to stop.
    fn walk(&self, visit: &mut dyn FnMut(&Segment, &WholeFrame) -> io::Result<bool>) -> io::Result<bool> {
        let (segment, mut walk) = (self.segment.open_anew()?, Walk::strict(self.start()));
        let mut at = walk.enter();
        while at < self.segment.summary().end_offset {
            let frame = walk.next(&segment, &mut at)?.filter(|frame| frame.follows);
            let Some(frame) = frame else { return Err(io::Error::other(format!("it is damaged before byte {at}; run verify"))) };
            if !visit(&segment, &frame)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The new segment takes the name, then comes its seal; whoever looks from now on finds it.
    fn swap(&self, name: &str, written: &FullSegment) -> io::Result<()> {
        let (files, number) = (&self.shared.files, self.segment.number());
        files.disk.rename(name, &segment_name(number))?;
        files.disk.sync_directory()?;
        let sealed = Arc::new(open_seal(files, &written.segment.header, SEAL_TEMPORARY)?);
        self.shared.drive(|sequencer| sequencer.replace_sealed(sealed));
        files.forget_segment(number);
        if name != TEMPORARY {
            drop(files.disk.remove(TEMPORARY));
        }
        Ok(())
    }
}

/// What goes of a segment.
#[derive(Default)]
struct Plan {
    /// The first positions of the commits that go, in order.
    going: Vec<Position>,
    events: u64,
    /// Bytes that are won, about.
    gain: u64,
}

impl Plan {
    fn take(&mut self, commit: &StoredCommit, bytes: u64) {
        self.going.push(commit.first_position);
        self.events += commit.event_count();
        let remains = commit.event_count() * 32 + commit.commands.iter().map(|command| 32 + command.record.name.len() as u64).sum::<u64>();
        self.gain += bytes.saturating_sub(remains);
    }
}

/// Copies what stays of a frame, in the order of the log.
fn copy(
    segment: &Segment,
    frame: &WholeFrame,
    going: &mut std::iter::Peekable<impl Iterator<Item = Position>>,
    image: &mut ImageWriter,
) -> io::Result<()> {
    let mut remains = frame.remains.iter().peekable();
    for placed in &frame.commits {
        while let Some(gone) = remains.next_if(|gone| gone.place < placed.place) {
            image.remains(gone.remains.clone())?;
        }
        let events = placed.commit.event_count();
        if events > 0 && going.next_if_eq(&placed.commit.first_position).is_some() {
            image.gone(&placed.commit)?;
            continue;
        }
        let mut section = vec![0; placed.length];
        segment.file.read_at(&mut section, frame.offset + placed.place as u64)?;
        image.section(&section, events)?;
    }
    remains.try_for_each(|gone| image.remains(gone.remains.clone()))
}

/// Reads what was written: its index, its leaves, and where the log stands behind it.
fn read_again(segment: &Segment, start: LogPlace) -> io::Result<(SegmentIndex, Leaves, LogPlace)> {
    let (mut walk, mut leaves, mut index) = (Walk::strict(start), Leaves::from(start.position - 1), SegmentIndex::default());
    let mut at = walk.enter();
    while let Some(frame) = walk.next(segment, &mut at)?.filter(|frame| frame.follows) {
        frame.leaves().into_iter().for_each(|leaf| leaves.push(leaf));
        index.add_frame(frame);
    }
    Ok((index, leaves, walk.place))
}

/// Says of commits whether they may go.
struct Judge<'a> {
    sealed: &'a [Arc<SealedSegment>],
    number: u64,
    rules: &'a CompactRules,
    /// What is known of the entities that were asked for.
    entities: HashMap<KeyHash, Option<Standing>, KeyHashing>,
    /// By segment and hash of a type's `$baseline`.
    baselines: HashMap<(u64, KeyHash), Vec<Position>>,
}

/// What stands for an entity's events, and how far it has come.
#[derive(Clone, Copy)]
struct Standing {
    /// Events in front of this position are stood for.
    position: Position,
    /// Its last sequence.
    head: u64,
}

impl<'a> Judge<'a> {
    fn new(sealed: &'a [Arc<SealedSegment>], number: u64, rules: &'a CompactRules) -> Self {
        Self { sealed, number, rules, entities: HashMap::default(), baselines: HashMap::new() }
    }

    fn lets_go(&mut self, commit: &StoredCommit) -> io::Result<bool> {
        if commit.event_count() == 0 || commit.last_position() > self.rules.upto {
            return Ok(false);
        }
        for command in &commit.commands {
            if !self.lets_command_go(commit, command)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn lets_command_go(&mut self, commit: &StoredCommit, command: &StoredCommand) -> io::Result<bool> {
        let entity = &command.record.entity;
        let Some(rule) = self.rules.kinds.iter().find(|rule| rule.kind.as_str() == entity.kind()).cloned() else { return Ok(false) };
        if commit.time >= rule.since || command.record.events.iter().any(|event| !event.tags.is_empty()) {
            return Ok(false);
        }
        let Some(last) = command.record.events.len().checked_sub(1) else { return Ok(true) };
        let last_position = commit.first_position + u64::from(command.first_index) + last as u64;
        let Some(standing) = self.standing(entity, &rule)? else { return Ok(false) };
        Ok(last_position < standing.position && command.sequence_after() <= standing.head.saturating_sub(rule.last))
    }

    fn standing(&mut self, entity: &EntityKey, rule: &KeepRule) -> io::Result<Option<Standing>> {
        let hash = entity.hash();
        if let Some(known) = self.entities.get(&hash) {
            return Ok(*known);
        }
        let found = self.find(entity, hash, type_hash(rule.kind.as_str(), BASELINE))?;
        self.entities.insert(hash, found);
        Ok(found)
    }

    /// From the newest segment back to the one at hand.
    fn find(&mut self, entity: &EntityKey, hash: KeyHash, baseline: KeyHash) -> io::Result<Option<Standing>> {
        let (mut last, sealed, number) = (None, self.sealed, self.number);
        for segment in sealed.iter().rev().take_while(|segment| segment.number() >= number) {
            let Some(head) = segment.head(hash)? else { continue };
            let sequence = *last.get_or_insert(head.sequence);
            if head.deleted {
                return Ok(Some(Standing { position: head.position, head: sequence }));
            }
            if let Some(position) = self.baseline_in(segment, entity, hash, baseline)? {
                return Ok(Some(Standing { position, head: sequence }));
            }
        }
        Ok(None)
    }

    /// The entity's last `$baseline` in a segment.
    fn baseline_in(
        &mut self,
        segment: &Arc<SealedSegment>,
        entity: &EntityKey,
        hash: KeyHash,
        baseline: KeyHash,
    ) -> io::Result<Option<Position>> {
        let known = match self.baselines.entry((segment.number(), baseline)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(segment.postings(baseline)?),
        };
        if known.is_empty() {
            return Ok(None);
        }
        let refs = segment.entity_refs(hash)?;
        // A baseline is a commit of its own: its position is the commit's.
        for found in refs.iter().rev().filter(|found| known.binary_search(&found.section.position).is_ok()) {
            if is_baseline(segment, entity, *found)? {
                return Ok(Some(found.section.position));
            }
        }
        Ok(None)
    }
}

/// Whether the commit at a place is an entity's `$baseline`.
fn is_baseline(segment: &SealedSegment, entity: &EntityKey, found: EntityRef) -> io::Result<bool> {
    let open = segment.open()?;
    let mut bytes = vec![0; found.section.length as usize];
    open.file.read_at(&mut bytes, u64::from(found.section.offset))?;
    let place = CommitPlace { lineage: open.header.lineage, position: found.section.position };
    let Ok(Some(Section::Commit(commit))) = frame::section(&bytes.into(), place) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a commit is damaged; run verify"));
    };
    let is_one = |command: &StoredCommand| command.record.events.first().is_some_and(|event| &*event.name == BASELINE);
    Ok(commit.commands.first().is_some_and(|command| command.record.entity == *entity && is_one(command)))
}
