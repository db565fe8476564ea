//! Sealed segments as the rest of the engine asks them, with a way back: when a seal's pages are damaged, the segment is scanned
//! and its index answers from memory until the next start makes a new seal.

use std::io;
use std::sync::{Arc, OnceLock};

use super::files::OpenFiles;
use super::filter::Probe;
use super::index::{CommandRef, EntityRef, FrameRef, SegmentIndex};
use super::limits::SEGMENT_HEADER_BYTES;
use super::seal::{SealSummary, SealedIndex};
use super::segment::{self, HeaderFault, LogPlace, Segment};
use super::walk;
use crate::cursor::Position;
use crate::key::{EntityKey, KeyHash};
use crate::read::Head;

/// A segment with its seal.
pub(crate) struct SealedSegment {
    index: SealedIndex,
    files: Arc<OpenFiles>,
    rebuilt: OnceLock<Arc<SegmentIndex>>,
    /// The file as it was, when another has taken its name.
    kept: OnceLock<Segment>,
}

/// A segment as a reader found it: it goes on in that one, whatever takes its name meanwhile.
#[derive(Clone)]
pub(crate) enum Held {
    /// With a seal.
    Sealed(Arc<SealedSegment>),
    /// Without one yet.
    Unsealed(Segment),
}

impl Held {
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Sealed(sealed) => sealed.number(),
            Self::Unsealed(segment) => segment.header.number,
        }
    }

    pub(crate) fn open(&self) -> Result<Segment, HeaderFault> {
        match self {
            Self::Sealed(sealed) => sealed.open_held(),
            Self::Unsealed(segment) => Ok(segment.clone()),
        }
    }
}

impl SealedSegment {
    pub(crate) fn new(index: SealedIndex, files: Arc<OpenFiles>) -> Self {
        Self { index, files, rebuilt: OnceLock::new(), kept: OnceLock::new() }
    }

    /// There is no room for its seal: its index answers from memory.
    pub(crate) fn in_memory(index: SealedIndex, rows: Arc<SegmentIndex>, files: Arc<OpenFiles>) -> Self {
        Self { rebuilt: OnceLock::from(rows), ..Self::new(index, files) }
    }

    pub(crate) fn summary(&self) -> &SealSummary {
        &self.index.summary
    }

    pub(crate) fn number(&self) -> u64 {
        self.summary().segment
    }

    pub(crate) fn last_position(&self) -> Position {
        self.summary().last_position
    }

    pub(crate) fn open(&self) -> io::Result<Segment> {
        self.open_held().map_err(not_opened)
    }

    fn open_held(&self) -> Result<Segment, HeaderFault> {
        let epoch = self.summary().epoch;
        let opened = self.files.segment(self.number(), epoch);
        // Asked behind the opening: a file that takes the name comes after this one was kept.
        match self.kept.get() {
            Some(kept) => Ok(kept.clone()),
            None => opened,
        }
    }

    /// Another segment is about to take the names of this one and of its seal: whoever still reads this one goes on in its files.
    pub(crate) fn keep_files(&self) -> io::Result<()> {
        // Whose index is in memory asks its seal no more, and may have none.
        if self.rebuilt.get().is_none() {
            self.index.keep_file()?;
        }
        let segment = self.open_anew()?;
        self.kept.get_or_init(|| segment);
        Ok(())
    }

    /// Opens it for reading it all: its header is verified again.
    pub(crate) fn open_anew(&self) -> io::Result<Segment> {
        segment::open(&*self.files.disk, self.number()).map_err(not_opened)
    }

    /// Verifies every page of the seal.
    pub(crate) fn read_seal(&self) -> io::Result<()> {
        self.index.read_all()
    }

    /// False: the segment has nothing of this hash.
    pub(crate) fn may_have(&self, hash: KeyHash) -> bool {
        self.index.may_have(hash)
    }

    /// The same, for whoever asks many segments.
    pub(crate) fn answers(&self, probe: &Probe) -> bool {
        self.index.answers(probe)
    }

    pub(crate) fn head(&self, entity: KeyHash) -> io::Result<Option<Head>> {
        self.ask(|index| index.head(entity), |index| index.entities.get(&entity).map(|entry| entry.head.clone()))
    }

    pub(crate) fn entity_refs(&self, entity: KeyHash) -> io::Result<Vec<EntityRef>> {
        self.ask(|index| index.entity_refs(entity), |index| index.entities.get(&entity).map(|entry| entry.refs.clone()).unwrap_or_default())
    }

    pub(crate) fn command(&self, command: KeyHash) -> io::Result<Option<CommandRef>> {
        self.ask(|index| index.command(command), |index| index.commands.get(&command).copied())
    }

    pub(crate) fn postings(&self, hash: KeyHash) -> io::Result<Vec<Position>> {
        self.ask(|index| index.postings(hash), |index| index.postings.get(&hash).cloned().unwrap_or_default())
    }

    pub(crate) fn frames(&self) -> io::Result<Vec<FrameRef>> {
        self.ask(SealedIndex::frames, |index| index.frames.clone())
    }

    /// The first frame that has events.
    pub(crate) fn first_frame(&self) -> io::Result<Option<FrameRef>> {
        self.ask(SealedIndex::first_frame, |index| index.frames.first().copied())
    }

    pub(crate) fn keys_after(&self, kind: &str, after: Option<&EntityKey>, limit: usize) -> io::Result<Vec<EntityKey>> {
        self.ask(|index| index.keys_after(kind, after, limit), |index| index.keys_after(kind, after, Position::MAX, limit))
    }

    fn ask<T>(&self, sealed: impl Fn(&SealedIndex) -> io::Result<T>, memory: impl Fn(&SegmentIndex) -> T) -> io::Result<T> {
        if let Some(rebuilt) = self.rebuilt.get() {
            return Ok(memory(rebuilt));
        }
        match sealed(&self.index) {
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound) => {
                let rebuilt = self.rebuild()?;
                Ok(memory(self.rebuilt.get_or_init(|| Arc::new(rebuilt))))
            }
            answer => answer,
        }
    }

    fn rebuild(&self) -> io::Result<SegmentIndex> {
        let segment = self.open()?;
        let first = segment.frame(SEGMENT_HEADER_BYTES as u64)?;
        let chain = first.map(|(_, header)| header.previous).unwrap_or_default();
        let start = LogPlace { offset: 0, chain, position: self.summary().first_position, durable_upto: 0 };
        let scanned = walk::scan(&segment, start)?;
        if scanned.end.offset < self.summary().end_offset {
            let place = format!("segment {}: damaged at byte {}; run verify", self.number(), scanned.end.offset);
            return Err(io::Error::other(place));
        }
        Ok(scanned.index)
    }
}

fn not_opened(fault: HeaderFault) -> io::Error {
    match fault {
        HeaderFault::Disk(error) => error,
        HeaderFault::Damaged => io::Error::new(io::ErrorKind::InvalidData, "the segment's header is damaged"),
        HeaderFault::Cut { bytes, .. } => io::Error::new(io::ErrorKind::InvalidData, format!("the segment ends at byte {bytes}")),
        HeaderFault::TooNew(version) => io::Error::new(io::ErrorKind::Unsupported, format!("the segment has format {version}")),
    }
}
