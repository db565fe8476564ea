//! Frames: what one write puts into a segment, all or nothing.
//!
//! ```text
//! frame    magic "HWFR" | checksum u32 | length u32 | previous u32 | epoch u64 | first position u64 | durable upto u64
//!          | offset u64 | event count u32 | section count u16 | kind u16 | link u32 | reserved u32
//!          | section* | zeros up to a multiple of 512
//! section  kind v (twice the type, and 1 if it must be understood) | length v | checksum u32 | payload
//! ```
//!
//! Little-endian. `checksum` is CRC-32C (Castagnoli) over bytes 8 to `length`; `previous` is the checksum of the frame before, over segments;
//! `epoch` is the segment's; `offset` is the frame's own place in its segment, so that a misdirected write is no frame;
//! `durable upto` is the last position that was durable when the frame was made: damage at or below it is damage, never a
//! torn tail. Kind 0 has commits, kind 1 is a marker: no sections, written when the pipeline is idle. Kind 2 ends a segment that was
//! compacted: no sections, and `link` is what the next frame has as `previous`, because that one was made behind the frame that once stood
//! here. The commits' events have the
//! positions from `first position` on, in order, and are as many as `event count` says. A section's own checksum covers its payload,
//! so that a point read need not take the frame. A reader skips sections it does not know, unless bit 0 of their kind says
//! that they must be understood.
//!
//! Section types: 1 commit; 16 remains of dropped events (`remains`), which count as those events do. Reserved: 17 root, 18 baseline,
//! 19 compressed.

use std::ops::Range;

use bytes::Bytes;

pub(crate) use super::crc::checksum;
use super::crc::joined;
use super::record::{self, CommitPlace, EncodedCommands, Names, StoredCommit, VARINT_BYTES_MAX, put_varint, take_varint};
use super::remains::Remains;
use crate::cursor::{LineageId, Position};
use crate::read::Recorded;
use crate::seams::{AlignedBuffer, BLOCK_BYTES};

pub(crate) const FRAME_HEADER_BYTES: usize = 64;
/// Kind, length and checksum, at most.
pub(crate) const SECTION_HEADER_BYTES_MAX: usize = 2 * VARINT_BYTES_MAX + 4;
const MAGIC: &[u8; 4] = b"HWFR";
pub(crate) const POSITION_MAX: Position = Position::MAX / 2;
const KIND_COMMITS: u16 = 0;
const KIND_MARKER: u16 = 1;
const KIND_END: u16 = 2;
const SECTION_COMMIT: u64 = 1;
const SECTION_REMAINS: u64 = 16;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) checksum: u32,
    pub(crate) length: u32,
    pub(crate) previous: u32,
    pub(crate) epoch: u64,
    pub(crate) first_position: Position,
    pub(crate) durable_upto: Position,
    pub(crate) offset: u64,
    pub(crate) event_count: u32,
    pub(crate) section_count: u16,
    kind: u16,
    link: u32,
}

impl FrameHeader {
    /// The header at the front of the bytes, if the magic is there. Nothing is verified yet.
    pub(crate) fn peek(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER_BYTES)?;
        if &bytes[..4] != MAGIC {
            return None;
        }
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes of a slice of 64"));
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes of a slice of 64"));
        Some(Self {
            checksum: word(4),
            length: word(8),
            previous: word(12),
            epoch: long(16),
            first_position: long(24),
            durable_upto: long(32),
            offset: long(40),
            event_count: word(48),
            section_count: u16::from_le_bytes([bytes[52], bytes[53]]),
            kind: u16::from_le_bytes([bytes[54], bytes[55]]),
            link: word(56),
        })
    }

    /// Bytes on disk, with padding.
    pub(crate) fn padded(&self) -> u64 {
        u64::from(self.length).next_multiple_of(BLOCK_BYTES as u64)
    }

    /// What the next frame has as `previous`.
    pub(crate) fn chain(&self) -> u32 {
        if self.kind == KIND_END { self.link } else { self.checksum }
    }

    pub(crate) fn next_position(&self) -> Position {
        self.first_position + u64::from(self.event_count)
    }
}

/// Writes a frame into an aligned buffer, section by section.
pub(crate) struct FrameBuilder {
    buffer: AlignedBuffer,
    sections: u16,
    events: u32,
    /// The checksum of what stands behind the frame's header, as far as it was made.
    sum: u32,
    summed_upto: usize,
    /// Of the section at hand; used again.
    header: Vec<u8>,
}

impl FrameBuilder {
    pub(crate) fn new(mut buffer: AlignedBuffer) -> Self {
        buffer.clear();
        buffer.extend(&[0; FRAME_HEADER_BYTES]);
        Self {
            buffer,
            sections: 0,
            events: 0,
            sum: 0,
            summed_upto: FRAME_HEADER_BYTES,
            header: Vec::with_capacity(SECTION_HEADER_BYTES_MAX),
        }
    }

    /// The buffer back: nothing came of the frame.
    pub(crate) fn into_buffer(self) -> AlignedBuffer {
        self.buffer
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sections == 0
    }

    /// No more sections fit the header's count.
    pub(crate) fn is_full(&self) -> bool {
        self.sections == u16::MAX
    }

    /// Adds a commit in two parts; gives the place of its section header within the frame and the section's whole length.
    pub(crate) fn commit(&mut self, head: &[u8], commands: &EncodedCommands, events: u32) -> (usize, usize) {
        self.section(SECTION_COMMIT << 1, [head, &commands.bytes], commands.sum, events)
    }

    /// Adds what remains of events; gives what [`Self::commit`] gives.
    pub(crate) fn remains(&mut self, remains: &Remains) -> (usize, usize) {
        self.section(SECTION_REMAINS << 1 | 1, [&remains.encode(), &[]], None, remains.event_count() as u32)
    }

    /// Adds a section as it stood in another frame.
    pub(crate) fn again(&mut self, section: &[u8], events: u32) {
        self.buffer.extend(section);
        self.sections += 1;
        self.events += events;
    }

    /// `sum`: the checksum of the second part, if somebody made it.
    fn section(&mut self, kind: u64, payload: [&[u8]; 2], sum: Option<u32>, events: u32) -> (usize, usize) {
        let place = self.buffer.len();
        self.header.clear();
        put_varint(&mut self.header, kind);
        put_varint(&mut self.header, payload.iter().map(|part| part.len() as u64).sum());
        let sum_place = place + self.header.len();
        self.header.extend_from_slice(&[0; 4]);
        [&*self.header, payload[0], payload[1]].into_iter().for_each(|part| self.buffer.extend(part));
        let payload_place = sum_place + 4;
        let whole = match sum {
            Some(of_second) => joined(checksum(payload[0]), of_second, payload[1].len()),
            None => checksum(&self.buffer[payload_place..]),
        };
        self.buffer[sum_place..payload_place].copy_from_slice(&whole.to_le_bytes());
        if sum.is_some() {
            self.sum_upto(payload_place);
            self.sum = joined(self.sum, whole, self.buffer.len() - payload_place);
            self.summed_upto = self.buffer.len();
        }
        self.sections += 1;
        self.events += events;
        (place, self.buffer.len() - place)
    }

    fn sum_upto(&mut self, place: usize) {
        let behind = &self.buffer[self.summed_upto..place];
        self.sum = joined(self.sum, checksum(behind), behind.len());
        self.summed_upto = place;
    }

    /// The checksum of the frame, whose header is there.
    fn whole_sum(&mut self) -> u32 {
        if self.summed_upto == FRAME_HEADER_BYTES {
            return checksum(&self.buffer[8..]);
        }
        let length = self.buffer.len();
        self.sum_upto(length);
        joined(checksum(&self.buffer[8..FRAME_HEADER_BYTES]), self.sum, length - FRAME_HEADER_BYTES)
    }

    /// Writes the header, pads, and gives the frame with its checksum.
    pub(crate) fn finish(self, chain: Chain, offset: u64) -> (AlignedBuffer, FrameHeader) {
        let kind = if self.sections == 0 { KIND_MARKER } else { KIND_COMMITS };
        self.finish_as(kind, 0, chain, offset)
    }

    /// The end of a segment that was compacted, behind which the log goes on as it did behind a frame with this checksum.
    pub(crate) fn finish_end(self, link: u32, chain: Chain, offset: u64) -> (AlignedBuffer, FrameHeader) {
        self.finish_as(KIND_END, link, chain, offset)
    }

    fn finish_as(mut self, kind: u16, link: u32, chain: Chain, offset: u64) -> (AlignedBuffer, FrameHeader) {
        let length = self.buffer.len() as u32;
        let head = &mut self.buffer[..FRAME_HEADER_BYTES];
        head[..4].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&length.to_le_bytes());
        head[12..16].copy_from_slice(&chain.previous.to_le_bytes());
        head[16..24].copy_from_slice(&chain.epoch.to_le_bytes());
        head[24..32].copy_from_slice(&chain.first_position.to_le_bytes());
        head[32..40].copy_from_slice(&chain.durable_upto.to_le_bytes());
        head[40..48].copy_from_slice(&offset.to_le_bytes());
        head[48..52].copy_from_slice(&self.events.to_le_bytes());
        head[52..54].copy_from_slice(&self.sections.to_le_bytes());
        head[54..56].copy_from_slice(&kind.to_le_bytes());
        head[56..60].copy_from_slice(&link.to_le_bytes());
        let sum = self.whole_sum();
        self.buffer[4..8].copy_from_slice(&sum.to_le_bytes());
        self.buffer.pad_to(BLOCK_BYTES);
        let header = FrameHeader::peek(&self.buffer).expect("a frame that was just made has its magic");
        (self.buffer, header)
    }
}

/// What ties a frame to its place in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub(crate) previous: u32,
    pub(crate) epoch: u64,
    pub(crate) first_position: Position,
    pub(crate) durable_upto: Position,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameFault {
    /// No frame was ever written here, or its first block is lost.
    Absent,
    /// Bytes that do not fit their checksum, or another place's frame.
    Damaged,
    /// A newer format.
    TooNew,
}

/// Verifies the whole frame at the front of `bytes`, which must hold at least its length.
pub(crate) fn verify(bytes: &[u8], epoch: u64, offset: u64) -> Result<FrameHeader, FrameFault> {
    let header = FrameHeader::peek(bytes).ok_or(FrameFault::Absent)?;
    let whole = bytes.get(..header.length as usize).filter(|whole| whole.len() >= FRAME_HEADER_BYTES).ok_or(FrameFault::Damaged)?;
    if checksum(&whole[8..]) != header.checksum || header.epoch != epoch || header.offset != offset {
        return Err(FrameFault::Damaged);
    }
    // No journal comes this far; a frame that says so was written by a mistake, and counting on from it would run over.
    if header.first_position.max(header.durable_upto) > POSITION_MAX {
        return Err(FrameFault::Damaged);
    }
    Ok(header)
}

/// A commit with its place within the bytes it was read from.
pub(crate) struct PlacedCommit {
    pub(crate) commit: StoredCommit,
    /// Of the section header, from the frame's start.
    pub(crate) place: usize,
    /// Of the whole section.
    pub(crate) length: usize,
}

/// What remains of events, with its place as a commit has one.
pub(crate) struct PlacedRemains {
    pub(crate) remains: Remains,
    pub(crate) place: usize,
    pub(crate) length: usize,
}

/// What a frame holds, in order of positions each.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) commits: Vec<PlacedCommit>,
    pub(crate) remains: Vec<PlacedRemains>,
}

/// What one section holds.
pub(crate) enum Section {
    Commit(StoredCommit),
    Remains(Remains),
}

/// The commits of a verified frame of a history.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn commits(frame: &Bytes, lineage: LineageId) -> Result<Vec<PlacedCommit>, FrameFault> {
    Ok(contents(frame, lineage)?.commits)
}

/// What a verified frame of a history holds. Its checksum covers the sections, so that theirs are not made again.
pub(crate) fn contents(frame: &Bytes, lineage: LineageId) -> Result<Contents, FrameFault> {
    let header = FrameHeader::peek(frame).ok_or(FrameFault::Absent)?;
    let mut contents = Contents { commits: Vec::with_capacity(usize::from(header.section_count)), remains: Vec::new() };
    let mut names = Names::default();
    each_section(frame, &header, |PlacedSection { what, payload, place, length }, position| {
        let payload = frame.slice(payload);
        match what {
            What::Commit => {
                let commit = StoredCommit::decode(&payload, CommitPlace { lineage, position }, &mut names)?;
                let count = commit.event_count();
                contents.commits.push(PlacedCommit { commit, place, length });
                Some(count)
            }
            What::Remains => {
                let remains = Remains::decode(&payload, position)?;
                let count = remains.event_count();
                contents.remains.push(PlacedRemains { remains, place, length });
                Some(count)
            }
        }
    })?;
    Ok(contents)
}

/// The events of a verified frame of a history, without their commits. At a fault, whatever was taken before counts for nothing.
pub(crate) fn events(frame: &Bytes, lineage: LineageId, names: &mut Names, take: &mut impl FnMut(Recorded)) -> Result<(), FrameFault> {
    let header = FrameHeader::peek(frame).ok_or(FrameFault::Absent)?;
    each_section(frame, &header, |PlacedSection { what, payload, .. }, position| match what {
        What::Commit => record::events(frame, payload, CommitPlace { lineage, position }, names, take),
        What::Remains => Remains::count(&frame[payload]),
    })
}

/// A section in its frame.
struct PlacedSection {
    what: What,
    payload: Range<usize>,
    place: usize,
    length: usize,
}

/// A section that has positions.
#[derive(Clone, Copy)]
enum What {
    Commit,
    Remains,
}

/// Gives each section that has positions with the first of them to `decode`, which says how many there are.
fn each_section(
    frame: &Bytes,
    header: &FrameHeader,
    mut decode: impl FnMut(PlacedSection, Position) -> Option<u64>,
) -> Result<(), FrameFault> {
    let (mut place, mut position) = (FRAME_HEADER_BYTES, header.first_position);
    for _ in 0..header.section_count {
        let head = SectionHead::peek(frame.get(place..).unwrap_or_default()).ok_or(FrameFault::Damaged)?;
        let length = head.whole_length();
        if let Some(what) = head.what()? {
            let payload = place + head.payload_place..place + length;
            position += decode(PlacedSection { what, payload, place, length }, position).ok_or(FrameFault::Damaged)?;
        }
        place += length;
    }
    if position == header.next_position() { Ok(()) } else { Err(FrameFault::Damaged) }
}

/// What stands in front of a section's payload.
struct SectionHead {
    kind: u64,
    checksum: u32,
    payload_place: usize,
    payload_length: usize,
}

impl SectionHead {
    /// The head of the section at the front of the bytes, if they hold the section whole.
    fn peek(bytes: &[u8]) -> Option<Self> {
        let (kind, kind_bytes) = take_varint(bytes)?;
        let (length, length_bytes) = take_varint(&bytes[kind_bytes..])?;
        let sum_place = kind_bytes + length_bytes;
        let checksum = u32::from_le_bytes(bytes.get(sum_place..sum_place + 4)?.try_into().ok()?);
        let head = Self { kind, checksum, payload_place: sum_place + 4, payload_length: usize::try_from(length).ok()? };
        (head.payload_length <= bytes.len() - head.payload_place).then_some(head)
    }

    fn whole_length(&self) -> usize {
        self.payload_place + self.payload_length
    }

    /// `None`: a section of another type, which may be skipped.
    fn what(&self) -> Result<Option<What>, FrameFault> {
        match (self.kind >> 1, self.kind & 1) {
            (SECTION_COMMIT, _) => Ok(Some(What::Commit)),
            (SECTION_REMAINS, _) => Ok(Some(What::Remains)),
            (_, 0) => Ok(None),
            _ => Err(FrameFault::TooNew),
        }
    }
}

/// What one whole section holds; `None` for a section of another type that may be skipped.
pub(crate) fn section(bytes: &Bytes, place: CommitPlace) -> Result<Option<Section>, FrameFault> {
    let head = SectionHead::peek(bytes).filter(|head| head.whole_length() == bytes.len()).ok_or(FrameFault::Damaged)?;
    let payload = bytes.slice(head.payload_place..);
    if checksum(&payload) != head.checksum {
        return Err(FrameFault::Damaged);
    }
    let section = match head.what()? {
        Some(What::Commit) => StoredCommit::decode(&payload, place, &mut Names::default()).map(Section::Commit),
        Some(What::Remains) => Remains::decode(&payload, place.position).map(Section::Remains),
        None => return Ok(None),
    };
    section.map(Some).ok_or(FrameFault::Damaged)
}

#[cfg(test)]
mod tests {
    use super::super::record::{Assigned, EncodedCommit, FirstSequences};
    use super::*;
    use crate::commit::{CommandId, CommandRecord, Commit, ContentType, Context, EventData, EventFlags};
    use crate::key::EntityKey;
    use crate::time::Timestamp;

    const PLACE: CommitPlace = CommitPlace { lineage: LineageId([1; 16]), position: 7 };

    /// A commit of one event with so many bytes.
    fn encoded(payload_bytes: usize) -> EncodedCommit {
        let event = EventData {
            name: "done".into(),
            version: 1,
            content: ContentType::Json,
            flags: EventFlags(0),
            tags: Vec::new(),
            payload: vec![b'x'; payload_bytes].into(),
        };
        let command = CommandRecord {
            entity: EntityKey::new("cart", "c1").unwrap(),
            id: CommandId([2; 16]),
            name: "do".into(),
            fingerprint: None,
            context: Context::default(),
            reply: Bytes::new(),
            events: vec![event],
        };
        EncodedCommit::new(&Commit { commands: vec![command], ..Commit::default() })
    }

    /// A frame of commits of one event each with so many bytes, whose builder was told that the last one has `events`.
    fn frame_of(payloads: &[usize], events: u32) -> Bytes {
        let time = Timestamp::from_micros(5);
        let assigned = Assigned { id: None, time, position: PLACE.position, first_sequences: FirstSequences::of_one(1) };
        let mut builder = FrameBuilder::new(AlignedBuffer::with_capacity(BLOCK_BYTES));
        for (number, payload_bytes) in payloads.iter().enumerate() {
            let (encoded, mut head) = (encoded(*payload_bytes), Vec::new());
            encoded.put_head(&assigned, &mut head);
            builder.commit(&head, encoded.commands(), if number + 1 == payloads.len() { events } else { 1 });
        }
        let chain = Chain { previous: 0, epoch: 3, first_position: PLACE.position, durable_upto: 0 };
        let (buffer, header) = builder.finish(chain, 512);
        assert_eq!(verify(&buffer, 3, 512), Ok(header));
        Bytes::copy_from_slice(&buffer[..header.length as usize])
    }

    fn frame(events: u32) -> Bytes {
        frame_of(&[2, 2], events)
    }

    #[test]
    fn large_commits_are_summed_by_those_who_append_them_and_the_sums_fit() {
        assert!(encoded(100_000).commands().sum.is_some() && encoded(100).commands().sum.is_none());
        for payloads in [&[100_000][..], &[2, 100_000], &[100_000, 2, 2], &[40_000, 100_000, 2, 70_000, 2]] {
            let frame = frame_of(payloads, 1);
            let placed = commits(&frame, PLACE.lineage).unwrap();
            assert_eq!(placed.len(), payloads.len());
            for PlacedCommit { commit, place, length } in placed {
                let position = CommitPlace { position: commit.first_position, ..PLACE };
                let Ok(Some(Section::Commit(alone))) = section(&frame.slice(place..place + length), position) else {
                    panic!("its section is not whole")
                };
                assert_eq!(alone, commit);
            }
        }
    }

    #[test]
    fn commits_count_on_from_the_frames_first_position() {
        let placed = commits(&frame(1), PLACE.lineage).unwrap();
        assert_eq!(placed.iter().map(|placed| placed.commit.first_position).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(placed[0].commit.id, PLACE.id(Timestamp::from_micros(5)));
        assert_ne!(placed[0].commit.id, placed[1].commit.id);
    }

    #[test]
    fn a_frame_that_counts_otherwise_than_its_commits_is_damaged() {
        assert_eq!(commits(&frame(2), PLACE.lineage).err(), Some(FrameFault::Damaged));
    }

    /// Found by the fuzzer.
    #[test]
    fn a_frame_whose_positions_would_run_over_is_damaged() {
        for place in [24, 32] {
            let mut bytes = frame(1).to_vec();
            bytes[place..place + 8].copy_from_slice(&(u64::MAX - 1).to_le_bytes());
            let right = checksum(&bytes[8..]);
            bytes[4..8].copy_from_slice(&right.to_le_bytes());
            assert_eq!(verify(&bytes, 3, 512), Err(FrameFault::Damaged), "{place}");
        }
    }

    #[test]
    fn an_unknown_section_is_skipped_unless_it_must_be_understood() {
        let section_of = |kind: u64| {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, kind);
            put_varint(&mut bytes, 3);
            bytes.extend_from_slice(&checksum(b"new").to_le_bytes());
            bytes.extend_from_slice(b"new");
            section(&bytes.into(), PLACE)
        };
        assert!(matches!(section_of(200 << 1), Ok(None)));
        assert_eq!(section_of(200 << 1 | 1).err(), Some(FrameFault::TooNew));
        assert_eq!(section_of(1 << 1).err(), Some(FrameFault::Damaged));
        assert_eq!(section_of(16 << 1 | 1).err(), Some(FrameFault::Damaged));
    }
}
