//! Writing a segment that is whole from the start: one that was compacted, and those of a restore.
//!
//! It takes commits and what remains of others in the order of the log, and makes frames of them as the sequencer does: the same
//! positions, a chain through all of them, the same format. All of it was durable before, which every frame says: what breaks in such a
//! segment is damage and never a torn tail. The file is the caller's, under a temporary name; it gets its own when it is whole.

use std::io;

use super::frame::{Chain, FrameBuilder, SECTION_HEADER_BYTES_MAX};
use super::index::{FrameRef, SectionRef, SegmentIndex};
use super::limits::{FRAME_BYTES_TARGET, REMAINS_BYTES_TARGET, SEGMENT_HEADER_BYTES};
use super::record::{EncodedCommands, StoredCommit};
use super::remains::Remains;
use super::segment::{LogPlace, SegmentHeader};
use crate::cursor::Position;
use crate::key::KeyHash;
use crate::seams::{AlignedBuffer, DiskFile};

/// See the module.
pub(crate) struct ImageWriter {
    file: Box<dyn DiskFile>,
    header: SegmentHeader,
    /// Behind the last frame.
    place: LogPlace,
    frame: FrameBuilder,
    /// Of the next event.
    position: Position,
    /// What comes next in the frame, not written yet.
    remains: Remains,
    /// Of what was taken, for whoever seals the segment without reading it again.
    index: Option<SegmentIndex>,
    /// The frame at hand has a commit.
    has_commits: bool,
}

impl ImageWriter {
    /// Begins the segment that the log goes on in at a place, of which everything up to a position is durable. The header's size is set at
    /// the end.
    pub(crate) fn new(file: Box<dyn DiskFile>, header: SegmentHeader, start: LogPlace, durable_upto: Position) -> Self {
        let place = LogPlace { offset: SEGMENT_HEADER_BYTES as u64, durable_upto, ..start };
        let frame = FrameBuilder::new(AlignedBuffer::with_capacity(FRAME_BYTES_TARGET));
        Self { file, header, place, frame, position: start.position, remains: Remains::default(), index: None, has_commits: false }
    }

    /// The same, and an index is made of what it takes: but for commits, which whoever gives them adds.
    pub(crate) fn indexed(file: Box<dyn DiskFile>, header: SegmentHeader, start: LogPlace, durable_upto: Position) -> Self {
        Self { index: Some(SegmentIndex::default()), ..Self::new(file, header, start, durable_upto) }
    }

    /// The index so far, when one is made.
    pub(crate) fn index(&self) -> Option<&SegmentIndex> {
        self.index.as_ref()
    }

    /// Whether it has taken a command, or what remains of one: only where an index is made.
    pub(crate) fn has_command(&self, command: KeyHash) -> bool {
        self.index.as_ref().is_some_and(|index| index.commands.contains_key(&command))
            || self.remains.commands.iter().any(|gone| gone.hash == command)
    }

    pub(crate) fn index_mut(&mut self) -> Option<&mut SegmentIndex> {
        self.index.as_mut()
    }

    /// Where the next frame would begin, if one began now.
    pub(crate) fn bytes(&self) -> u64 {
        self.place.offset + self.frame.len() as u64
    }

    /// The position of the next event.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Takes the section of a commit as it stood elsewhere, which has so many events.
    pub(crate) fn section(&mut self, section: &[u8], events: u64) -> io::Result<()> {
        self.put_remains()?;
        self.make_room(section.len())?;
        self.frame.again(section, events as u32);
        self.position += events;
        Ok(())
    }

    /// Takes a commit in two encoded parts; gives where it stands.
    pub(crate) fn commit(&mut self, head: &[u8], commands: &EncodedCommands, events: u64) -> io::Result<SectionRef> {
        self.put_remains()?;
        self.make_room(SECTION_HEADER_BYTES_MAX + head.len() + commands.bytes.len())?;
        let placed = self.frame.commit(head, commands, events as u32);
        let section = self.section_at(placed, self.position);
        self.has_commits = true;
        self.position += events;
        Ok(section)
    }

    /// Where a section of the frame at hand will stand.
    fn section_at(&self, (place, length): (usize, usize), position: Position) -> SectionRef {
        SectionRef { offset: (self.place.offset as usize + place) as u32, length: length as u32, position }
    }

    /// Takes what remains of a commit that goes.
    pub(crate) fn gone(&mut self, commit: &StoredCommit) -> io::Result<()> {
        self.begin_remains();
        self.remains.add(commit);
        self.position += commit.event_count();
        if self.remains.bytes() >= REMAINS_BYTES_TARGET { self.put_remains() } else { Ok(()) }
    }

    /// Takes what remains of events that went before.
    pub(crate) fn remains(&mut self, remains: Remains) -> io::Result<()> {
        self.begin_remains();
        self.position += remains.event_count();
        self.remains.append(remains);
        if self.remains.bytes() >= REMAINS_BYTES_TARGET { self.put_remains() } else { Ok(()) }
    }

    fn begin_remains(&mut self) {
        if self.remains.event_count() == 0 {
            self.remains = Remains::from(self.position);
        }
    }

    fn put_remains(&mut self) -> io::Result<()> {
        let remains = std::mem::take(&mut self.remains);
        if remains.event_count() > 0 {
            self.make_room(SECTION_HEADER_BYTES_MAX + remains.bytes())?;
            let placed = self.frame.remains(&remains);
            let section = self.section_at(placed, remains.first_position);
            if let Some(index) = &mut self.index {
                index.add_remains(&remains, section);
            }
        }
        Ok(())
    }

    /// Ends the frame at hand when so many more bytes are too many for it.
    fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        let ends = self.frame.is_full() || self.frame.len() + bytes > FRAME_BYTES_TARGET;
        if !self.frame.is_empty() && ends { self.end_frame() } else { Ok(()) }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        let frame = std::mem::replace(&mut self.frame, FrameBuilder::new(AlignedBuffer::with_capacity(0)));
        let (buffer, header) = frame.finish(self.chain(), self.place.offset);
        self.file.write_at(&buffer, self.place.offset)?;
        if let Some(index) = self.index.as_mut().filter(|_| self.has_commits) {
            let offset = self.place.offset as u32;
            index.frames.push(FrameRef { first_position: header.first_position, offset, length: header.length });
        }
        self.has_commits = false;
        self.place.offset += header.padded();
        (self.place.chain, self.place.position) = (header.chain(), header.next_position());
        self.frame = FrameBuilder::new(buffer);
        Ok(())
    }

    fn chain(&self) -> Chain {
        let LogPlace { chain, position, durable_upto, .. } = self.place;
        Chain { previous: chain, epoch: self.header.epoch, first_position: position, durable_upto }
    }

    /// Ends the segment with a word that all of it is durable, and syncs it; `link`: the log goes on behind it as behind a frame with this
    /// checksum. Gives where the log stands.
    pub(crate) fn finish(mut self, link: Option<u32>) -> io::Result<(SegmentHeader, LogPlace)> {
        self.end(link)?;
        Ok((self.header, self.place))
    }

    /// The same of the log's last segment, with the index of all that it took.
    pub(crate) fn finish_indexed(mut self) -> io::Result<(SegmentHeader, LogPlace, SegmentIndex)> {
        self.end(None)?;
        Ok((self.header, self.place, self.index.unwrap_or_default()))
    }

    fn end(&mut self, link: Option<u32>) -> io::Result<()> {
        self.put_remains()?;
        if !self.frame.is_empty() {
            self.end_frame()?;
        }
        self.place.durable_upto = self.position - 1;
        let (chain, offset) = (self.chain(), self.place.offset);
        let frame = std::mem::replace(&mut self.frame, FrameBuilder::new(AlignedBuffer::with_capacity(0)));
        let (buffer, header) = match link {
            Some(link) => frame.finish_end(link, chain, offset),
            None => frame.finish(chain, offset),
        };
        self.file.write_at(&buffer, offset)?;
        self.place.offset += header.padded();
        self.place.chain = header.chain();
        self.header.bytes = self.place.offset;
        self.file.write_at(&self.header.encode(), 0)?;
        self.file.sync()
    }
}
