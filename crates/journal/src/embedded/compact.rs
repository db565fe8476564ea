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
//! Everything is open before the first name changes: a lack of room or of descriptors leaves the old segment, or costs the new one its
//! seal until the next start; what remains is a rename or a sync that fails, which is final. A segment that is damaged is told of in the
//! scrub's status and passed by, and the ones behind it are looked at.
//!
//! Only sealed segments are asked, for the last `$baseline` of an entity and for its head: none of them changes meanwhile, and no
//! lock is taken. An entity that went on in the segment being written keeps more for it.

mod judge;

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::image::ImageWriter;
use super::index::SegmentIndex;
use super::limits::COMPACT_GAIN_DIVISOR;
use super::merkle::Leaves;
use super::packed;
use super::packing;
use super::pipeline::Shared;
use super::record::StoredCommit;
use super::roots::{RootRecord, Roots};
use super::seal::SealedIndex;
use super::sealed::SealedSegment;
use super::segment::{FLAG_COMPACTED, LogPlace, Segment, SegmentHeader, seal_name, segment_name};
use super::sequencer::{FullSegment, PlantedBug};
use super::upkeep::{is_full, seal_in_memory, write_seal};
use super::walk::{Walk, WholeFrame};
use crate::compaction::{CompactRules, Compacted};
use crate::cursor::Position;
use crate::error::ReadError;
use judge::{Judge, Unreadable};

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
    unreadable: Unreadable,
    done: Compacted,
}

/// What looking at one segment came to.
enum Looked {
    Kept,
    Rewritten {
        events: u64,
        bytes: u64,
    },
    /// It stays as it is; in words.
    Damaged(String),
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
        let this = |kept| Self { asked, kept, at: 0, unreadable: Unreadable::new(), done: Compacted::default() };
        match Roots::read(&*shared.files.disk, shared.lineage) {
            Ok(roots) => Some(this(roots.records)),
            Err(error) => this(Vec::new()).fail(error.to_string()),
        }
    }

    /// Looks at the next segment; `None`: it has answered. `pace` hears of bytes and says whether to go on.
    pub(crate) fn step(mut self, shared: &Shared, sealed: &[Arc<SealedSegment>], pace: &mut dyn FnMut(u64) -> bool) -> Option<Self> {
        let rules = &self.asked.rules;
        let candidate = |segment: &&Arc<SealedSegment>| segment.number() > self.at && segment.summary().first_position <= rules.upto;
        let Some(segment) = sealed.iter().find(candidate).filter(|_| !rules.kinds.is_empty()) else {
            self.tell_unreadable(shared);
            drop(self.asked.answer.send(Ok(self.done)));
            return None;
        };
        self.at = segment.number();
        // A damaged segment has no root, and none behind it has one: those are compared with what they were before.
        let root = self.kept.get(segment.number() as usize - 1);
        let looked = Rewrite { shared, sealed, segment, rules, root }.run(&mut self.unreadable, pace);
        match looked {
            Ok(looked) => self.take(shared, looked),
            Err(Stop::Before(error)) => self.fail(error.to_string()),
            Err(Stop::Swapping(error)) => {
                shared.drive(|sequencer| sequencer.poison(&error.to_string()));
                self.fail(error.to_string())
            }
        }
    }

    fn take(mut self, shared: &Shared, looked: Looked) -> Option<Self> {
        self.done.segments += 1;
        match looked {
            Looked::Kept => {}
            Looked::Rewritten { events, bytes } => {
                self.done.rewritten += 1;
                self.done.events += events;
                self.done.bytes += bytes;
            }
            Looked::Damaged(why) => {
                self.done.damaged += 1;
                shared.scrub.found(self.at, Some(format!("segment {}: {why}; compaction passes it by, run verify", self.at)));
            }
            Looked::Closing => return self.fail("the journal is being closed".into()),
        }
        Some(self)
    }

    /// What was asked of segments that cannot be read.
    fn tell_unreadable(&self, shared: &Shared) {
        for (number, why) in &self.unreadable {
            let told = format!("segment {number}: {why}; entities with events in it keep all of theirs");
            shared.scrub.found_too(*number, told);
        }
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
    root: Option<&'a RootRecord>,
}

impl Rewrite<'_> {
    fn run(&self, unreadable: &mut Unreadable, pace: &mut dyn FnMut(u64) -> bool) -> Result<Looked, Stop> {
        let plan = match self.plan(unreadable, pace) {
            Ok(Some(plan)) => plan,
            Ok(None) => return Ok(Looked::Closing),
            Err(error) if is_full(&error) => return Err(Stop::Before(error)),
            // It was only read.
            Err(error) => return Ok(Looked::Damaged(error.to_string())),
        };
        if plan.gain * COMPACT_GAIN_DIVISOR < self.segment.summary().end_offset {
            return Ok(Looked::Kept);
        }
        match self.replace(&plan, pace) {
            Err(Stop::Before(error)) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                Ok(Looked::Damaged(error.to_string()))
            }
            looked => looked,
        }
    }

    fn replace(&self, plan: &Plan, pace: &mut dyn FnMut(u64) -> bool) -> Result<Looked, Stop> {
        let Some(written) = self.write(plan, pace).map_err(|error| self.give_up(error))? else { return Ok(Looked::Closing) };
        let before = self.size().map_err(|error| self.give_up(error))?;
        let Some((name, after)) = self.packed(&written, pace).map_err(|error| self.give_up(error))? else { return Ok(Looked::Closing) };
        if after >= before {
            self.clear();
            return Ok(Looked::Kept);
        }
        self.swap(name, &written)?;
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
    fn plan(&self, unreadable: &mut Unreadable, pace: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<Plan>> {
        let (mut plan, mut judge) = (Plan::default(), Judge::new(self.sealed, self.segment.number(), self.rules, unreadable));
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
        let mut before = Leaves::from(start.position - 1);
        let whole = self.walk(&mut |segment, frame| {
            frame.leaves().into_iter().for_each(|leaf| before.push(leaf));
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
        let kept = self.root.is_none_or(|root| root.leaves == leaves);
        if leaves != before || !kept || found.position != summary.last_position + 1 || found.chain != end.chain {
            let why = if kept { "it was not written as it should be" } else { "its events are not those that its root was made of" };
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
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
            let from = (at, walk.place.position);
            let frame = walk.next(&segment, &mut at).map_err(|error| unread(from, error))?;
            match frame {
                Some(frame) if frame.follows && frame.offset == from.0 => {
                    if !visit(&segment, &frame)? {
                        return Ok(false);
                    }
                }
                next => return Err(self.damaged(from, next.as_ref())),
            }
        }
        Ok(true)
    }

    /// What lies between a place and the next whole frame of the segment, or its end.
    fn damaged(&self, (byte, position): (u64, Position), next: Option<&WholeFrame>) -> io::Error {
        let summary = self.segment.summary();
        let upto = next.map_or(summary.end_offset, |frame| frame.offset);
        let last = next.map_or(summary.last_position, |frame| frame.header.first_position.saturating_sub(1));
        let what = format!("bytes {byte} to {upto} hold no frame that follows (positions {position} to {last})");
        io::Error::new(io::ErrorKind::InvalidData, what)
    }

    /// The new segment takes the name, then comes its seal; whoever looks from now on finds it.
    fn swap(&self, name: &str, written: &FullSegment) -> Result<(), Stop> {
        let (files, number) = (&self.shared.files, self.segment.number());
        let index = SealedIndex::open_as(files, SEAL_TEMPORARY, number, Some(written.segment.header.epoch));
        let sealed = SealedSegment::new(index.map_err(|error| self.give_up(error))?, Arc::clone(files));
        self.segment.keep_files().map_err(|error| self.give_up(error))?;
        match files.disk.rename(name, &segment_name(number)) {
            // A rename that there is no room for has changed nothing.
            Err(error) if is_full(&error) => return Err(self.give_up(error)),
            renamed => renamed.map_err(Stop::Swapping)?,
        }
        files.disk.sync_directory().map_err(Stop::Swapping)?;
        let sealed = Arc::new(self.name_seal(sealed, written).map_err(Stop::Swapping)?);
        self.shared.drive(|sequencer| sequencer.replace_sealed(sealed));
        files.forget_segment(number);
        if name != TEMPORARY {
            drop(files.disk.remove(TEMPORARY));
        }
        Ok(())
    }

    /// Gives the new seal its name. One that there is no room for is made by the next start, and answers from memory until then.
    fn name_seal(&self, sealed: SealedSegment, written: &FullSegment) -> io::Result<SealedSegment> {
        let (files, number) = (&self.shared.files, self.segment.number());
        match files.disk.rename(SEAL_TEMPORARY, &seal_name(number)) {
            Err(error) if is_full(&error) => {
                drop(files.disk.remove(SEAL_TEMPORARY));
                return seal_in_memory(files, written);
            }
            renamed => renamed?,
        }
        files.disk.sync_directory()?;
        files.forget_seal(number);
        Ok(sealed)
    }
}

fn unread((byte, position): (u64, Position), error: io::Error) -> io::Error {
    match is_full(&error) {
        true => error,
        false => io::Error::new(error.kind(), format!("byte {byte} (position {position}) cannot be read: {error}")),
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
