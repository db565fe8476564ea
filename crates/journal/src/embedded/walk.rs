//! A walk over the frames of the log, segment by segment, that writes nothing: what every way of opening a directory looks with.
//!
//! It gives each whole frame with the word whether it continues the one before. Where no frame is whole, it looks for the next one at every
//! multiple of 512, over the end of a segment too. What lies between is for the caller to judge, by `durable_upto`: a
//! torn tail, or damage.

use std::io;

use bytes::Bytes;

use super::frame::{self, Contents, FrameFault, FrameHeader, PlacedCommit, PlacedRemains};
use super::index::SegmentIndex;
use super::leaf::leaves_of;
use super::limits::{READ_BYTES, SEGMENT_HEADER_BYTES};
use super::merkle::Hash;
use super::record::StoredCommit;
use super::remains::Remains;
use super::segment::{LogPlace, Segment};
use crate::cursor::Position;
use crate::seams::BLOCK_BYTES;

/// A frame that is whole.
pub(crate) struct WholeFrame {
    pub(crate) offset: u64,
    pub(crate) header: FrameHeader,
    pub(crate) commits: Vec<PlacedCommit>,
    /// What is there of events that are gone.
    pub(crate) remains: Vec<PlacedRemains>,
    /// It continues the frame before, by checksum and position.
    pub(crate) follows: bool,
}

/// A commit, or what remains of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A commit.
    Commit(StoredCommit),
    /// What remains of events that compaction has dropped.
    Gone(Remains),
}

impl Part {
    /// The position of its first event.
    #[must_use]
    pub fn first_position(&self) -> Position {
        match self {
            Self::Commit(commit) => commit.first_position,
            Self::Gone(remains) => remains.first_position(),
        }
    }

    /// The position of its last event; of a commit without events, the one before.
    #[must_use]
    pub fn last_position(&self) -> Position {
        match self {
            Self::Commit(commit) => commit.last_position(),
            Self::Gone(remains) => remains.last_position(),
        }
    }
}

impl WholeFrame {
    /// What it holds, in the order of the log.
    pub(crate) fn into_parts(self) -> impl Iterator<Item = Part> {
        let mut remains = self.remains.into_iter().peekable();
        let mut commits = self.commits.into_iter().peekable();
        std::iter::from_fn(move || {
            let commit_place = commits.peek().map(|placed| placed.place);
            match remains.next_if(|gone| commit_place.is_none_or(|place| gone.place < place)) {
                Some(gone) => Some(Part::Gone(gone.remains)),
                None => commits.next().map(|placed| Part::Commit(placed.commit)),
            }
        })
    }

    /// The leaves of all its events, in order, whether the events are there or gone.
    pub(crate) fn leaves(&self) -> Vec<Hash> {
        let mut leaves = Vec::with_capacity(self.header.event_count as usize);
        let mut remains = self.remains.iter().peekable();
        for placed in &self.commits {
            while let Some(gone) = remains.next_if(|gone| gone.place < placed.place) {
                leaves.extend_from_slice(&gone.remains.leaves);
            }
            leaves.extend(leaves_of(&placed.commit));
        }
        remains.for_each(|gone| leaves.extend_from_slice(&gone.remains.leaves));
        leaves
    }
}

/// The walk, from a place on.
pub(crate) struct Walk {
    /// Where the log stands behind the last frame that was given and did not go back.
    pub(crate) place: LogPlace,
    /// The last position that any valid frame calls durable, whatever it follows.
    pub(crate) durable_upto: Position,
    /// The byte behind the last one of the segment that is not zero, as far as the walk has come.
    pub(crate) used_upto: u64,
    /// Blocks that the disk does not give are passed over and kept here; `None`: the first one ends the walk.
    pub(crate) unreadable: Option<Vec<(u64, io::Error)>>,
    /// Up to here the current segment is read block by block.
    careful_upto: u64,
    /// A planted mistake: what a frame follows is not asked.
    pub(crate) chain_ignored: bool,
}

impl Walk {
    /// A walk that stops at the first error of the disk.
    pub(crate) fn strict(place: LogPlace) -> Self {
        Self { place, durable_upto: place.durable_upto, used_upto: 0, unreadable: None, careful_upto: 0, chain_ignored: false }
    }

    /// A walk that passes over what the disk does not give.
    pub(crate) fn lenient(place: LogPlace) -> Self {
        Self { unreadable: Some(Vec::new()), ..Self::strict(place) }
    }

    /// Begins a segment; gives where its first frame is.
    pub(crate) fn enter(&mut self) -> u64 {
        self.used_upto = SEGMENT_HEADER_BYTES as u64;
        self.careful_upto = 0;
        SEGMENT_HEADER_BYTES as u64
    }

    /// The next whole frame of a segment from `at` on, which moves behind it; `None` at the segment's end.
    ///
    /// # Errors
    /// `Unsupported` for a section that must be understood and is not; a strict walk gives the disk's.
    pub(crate) fn next(&mut self, segment: &Segment, at: &mut u64) -> io::Result<Option<WholeFrame>> {
        loop {
            if let Some((bytes, header)) = self.frame(segment, *at)? {
                self.durable_upto = self.durable_upto.max(header.durable_upto);
                match frame::contents(&bytes, segment.header.lineage) {
                    Ok(contents) => return Ok(Some(self.give(at, header, contents))),
                    Err(FrameFault::TooNew) => {
                        return Err(io::Error::new(io::ErrorKind::Unsupported, "a frame holds a section that a newer version wrote"));
                    }
                    Err(FrameFault::Absent | FrameFault::Damaged) => {}
                }
            }
            match self.candidate_behind(segment, *at)? {
                Some(next) => *at = next,
                None => return Ok(None),
            }
        }
    }

    fn give(&mut self, at: &mut u64, header: FrameHeader, contents: Contents) -> WholeFrame {
        let (offset, place) = (*at, self.place);
        let follows = (header.previous == place.chain || self.chain_ignored) && header.first_position == place.position;
        *at += header.padded();
        self.used_upto = *at;
        if header.first_position >= place.position {
            let durable_upto = header.durable_upto.max(place.durable_upto);
            self.place = LogPlace { offset: *at, chain: header.chain(), position: header.next_position(), durable_upto };
        }
        let Contents { commits, remains } = contents;
        WholeFrame { offset, header, commits, remains, follows }
    }

    fn frame(&mut self, segment: &Segment, at: u64) -> io::Result<Option<(Bytes, FrameHeader)>> {
        match segment.frame(at) {
            Ok(frame) => Ok(frame.ok()),
            Err(error) => self.pass_over(at, error).map(|()| None),
        }
    }

    fn pass_over(&mut self, at: u64, error: io::Error) -> io::Result<()> {
        let Some(unreadable) = &mut self.unreadable else { return Err(error) };
        if unreadable.last().is_none_or(|(last, _)| *last != at) {
            unreadable.push((at, error));
        }
        Ok(())
    }

    /// The next place behind `place` that has a frame's magic: most of what is behind the log is zeros, which a comparison of memory
    /// passes over.
    fn candidate_behind(&mut self, segment: &Segment, place: u64) -> io::Result<Option<u64>> {
        let most = READ_BYTES.min(segment.header.bytes as usize);
        let (zeros, mut chunk) = (vec![0; most], vec![0; most]);
        let mut at = place;
        while at < segment.header.bytes {
            let whole = if at < self.careful_upto { BLOCK_BYTES } else { most };
            let length = (segment.header.bytes - at).min(whole as u64) as usize;
            match segment.file.read_at(&mut chunk[..length], at) {
                Ok(()) if chunk[..length] == zeros[..length] => at += length as u64,
                Ok(()) => match self.candidate_in(&chunk[..length], at, place) {
                    Some(found) => return Ok(Some(found)),
                    None => at += length as u64,
                },
                Err(_) if self.unreadable.is_some() && length > BLOCK_BYTES => self.careful_upto = at + length as u64,
                Err(error) => {
                    self.pass_over(at, error)?;
                    at += BLOCK_BYTES as u64;
                }
            }
        }
        Ok(None)
    }

    fn candidate_in(&mut self, chunk: &[u8], at: u64, behind: u64) -> Option<u64> {
        let is_candidate = |offset: &usize| at + *offset as u64 > behind && FrameHeader::peek(&chunk[*offset..]).is_some();
        let found = (0..chunk.len()).step_by(BLOCK_BYTES).find(is_candidate);
        let looked_at = found.unwrap_or(chunk.len());
        if let Some(last) = chunk[..looked_at].iter().rposition(|byte| *byte != 0) {
            self.used_upto = self.used_upto.max(at + last as u64 + 1);
        }
        found.map(|offset| at + offset as u64)
    }
}

/// What a scan found: the index of the frames, and where they end.
pub(crate) struct Scanned {
    pub(crate) index: SegmentIndex,
    pub(crate) end: LogPlace,
}

/// Reads a segment's frames from its start for as long as they are valid and follow each other.
///
/// # Errors
/// As [`Walk::next`] of a strict walk.
pub(crate) fn scan(segment: &Segment, start: LogPlace) -> io::Result<Scanned> {
    let mut walk = Walk::strict(start);
    let mut scanned = Scanned { index: SegmentIndex::default(), end: LogPlace { offset: SEGMENT_HEADER_BYTES as u64, ..start } };
    let mut at = walk.enter();
    while let Some(frame) = walk.next(segment, &mut at)?.filter(|frame| frame.follows) {
        scanned.index.add_frame(frame);
        scanned.end = walk.place;
    }
    Ok(scanned)
}
