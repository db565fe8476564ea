//! Sealed segments: the footer and the index of a full segment, in a file of its own beside it (`NNNNNNNNNN.seal`).
//!
//! ```text
//! run       frame* | entity* | command* | posting* | key place* | entity ref* | position* | key* | filter | zeros | footer
//! frame     first position u64 | offset u32 | length u32
//! entity    hash [16] | sequence u64 | time i64 | position u64 | first ref u32 | ref count u32 (top bit: deleted)
//! command   hash [16] | position u64 | offset u32 | length u32 | index u32
//! posting   hash [16] | first position u64 (a number in the list of positions) | count u32
//! key place u64 (from the start of the keys)
//! entity ref  position u64 | offset u32 | length u32 | last sequence u64
//! position  u64
//! key       tenant length u8 | type length u8 | id length u16 | tenant | type | id     (ordered by type, tenant, id)
//! footer    magic "HWSEAL\0\x01" | segment u64 | epoch u64 | end offset u64 | chain u32 | table count u32 | first position u64
//!           | last position u64 | first time i64 | last time i64 | (place u64, count u64) of the nine parts | reserved
//! ```
//!
//! The run is cut into checksummed pages (`paged`); the footer is the last 512 bytes of the run. Rows are ordered by their
//! hash, which is uniform: a row's place is guessed from its hash and found in one read. `first position` to `last position`
//! are what the segment holds; `chain` is the checksum of its last frame, `end offset` the byte after it. Written to a
//! temporary name, synced, renamed. A seal that does not verify is thrown away and made again from its segment.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};

use super::files::OpenFiles;
use super::filter::{Filter, Probe};
use super::index::{CommandRef, EntityEntry, EntityRef, FrameRef, SectionRef, SegmentIndex};
use super::limits::READ_BYTES;
use super::paged::{self, Page, PageWriter};
use super::segment::seal_name;
use crate::cursor::Position;
use crate::key::{EntityKey, KeyHash, KeyHashing};
use crate::read::Head;
use crate::seams::DiskFile;
use crate::time::Timestamp;

const MAGIC: &[u8; 8] = b"HWSEAL\0\x01";
const FOOTER_BYTES: usize = 512;
const FRAME_ROW: usize = 16;
const ENTITY_ROW: usize = 48;
const COMMAND_ROW: usize = 36;
const POSTING_ROW: usize = 28;
const KEY_PLACE_ROW: usize = 8;
const ENTITY_REF_ROW: usize = 24;
const POSITION_ROW: usize = 8;
const PARTS: usize = 9;
const DELETED_BIT: u32 = 1 << 31;
/// Guesses before a search goes by halves: two are enough nearly always.
const GUESSES_MAX: u32 = 4;

/// What a footer says of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealSummary {
    pub(crate) segment: u64,
    pub(crate) epoch: u64,
    pub(crate) end_offset: u64,
    pub(crate) chain: u32,
    pub(crate) first_position: Position,
    pub(crate) last_position: Position,
    pub(crate) first_time: Timestamp,
    pub(crate) last_time: Timestamp,
}

/// One part of the run.
#[derive(Clone, Copy, Default)]
struct Part {
    place: u64,
    count: u64,
}

/// The parts, in the order of the run.
#[derive(Clone, Copy)]
enum PartName {
    Frames,
    Entities,
    Commands,
    Postings,
    KeyPlaces,
    EntityRefs,
    Positions,
    Keys,
    Filter,
}

/// Bytes of a row of each part; keys and filter are counted in bytes.
const PART_ROWS: [usize; PARTS] = [FRAME_ROW, ENTITY_ROW, COMMAND_ROW, POSTING_ROW, KEY_PLACE_ROW, ENTITY_REF_ROW, POSITION_ROW, 1, 1];

impl Part {
    /// Whether it lies before this place of the run.
    fn ends_by(&self, place: u64, row: usize) -> bool {
        self.count.checked_mul(row as u64).and_then(|bytes| bytes.checked_add(self.place)).is_some_and(|end| end <= place)
    }
}

/// The bytes of a seal.
pub(crate) fn encode(summary: &SealSummary, index: &SegmentIndex) -> Vec<u8> {
    let mut writer = PageWriter::default();
    let mut parts = [Part::default(); PARTS];
    let mut begin =
        |name: PartName, writer: &PageWriter, count: usize| parts[name as usize] = Part { place: writer.place(), count: count as u64 };

    begin(PartName::Frames, &writer, index.frames.len());
    for frame in &index.frames {
        writer.put(&frame.first_position.to_le_bytes());
        writer.put(&frame.offset.to_le_bytes());
        writer.put(&frame.length.to_le_bytes());
    }
    let entities = by_hash(&index.entities);
    begin(PartName::Entities, &writer, entities.len());
    put_entities(&mut writer, &entities);
    let commands = by_hash(&index.commands);
    begin(PartName::Commands, &writer, commands.len());
    for (hash, command) in &commands {
        writer.put(&hash.0);
        put_section(&mut writer, command.section);
        writer.put(&command.index.to_le_bytes());
    }
    let postings = by_hash(&index.postings);
    begin(PartName::Postings, &writer, postings.len());
    let mut first = 0u64;
    for (hash, positions) in &postings {
        writer.put(&hash.0);
        writer.put(&first.to_le_bytes());
        writer.put(&(positions.len() as u32).to_le_bytes());
        first += positions.len() as u64;
    }
    let keys = encode_keys(index);
    begin(PartName::KeyPlaces, &writer, keys.places.len());
    keys.places.iter().for_each(|place| writer.put(&place.to_le_bytes()));
    begin(PartName::EntityRefs, &writer, entities.iter().map(|(_, entry)| entry.refs.len()).sum());
    for reference in entities.iter().flat_map(|(_, entry)| &entry.refs) {
        put_section(&mut writer, reference.section);
        writer.put(&reference.last_sequence.to_le_bytes());
    }
    begin(PartName::Positions, &writer, first as usize);
    postings.iter().flat_map(|(_, positions)| positions.iter()).for_each(|position| writer.put(&position.to_le_bytes()));
    begin(PartName::Keys, &writer, keys.bytes.len());
    writer.put(&keys.bytes);
    let filter = encode_filter(index);
    begin(PartName::Filter, &writer, filter.len());
    writer.put(&filter);
    put_footer(&mut writer, summary, &parts);
    writer.finish()
}

/// The entries of a map, ordered by their hash.
fn by_hash<V>(map: &HashMap<KeyHash, V, KeyHashing>) -> Vec<(KeyHash, &V)> {
    // Hashes by value and compared as numbers: a look into the map's memory for each comparison was most of a seal.
    let mut entries: Vec<_> = map.iter().map(|(hash, value)| (*hash, value)).collect();
    entries.sort_unstable_by_key(|(hash, _)| u128::from_be_bytes(hash.0));
    entries
}

fn put_entities(writer: &mut PageWriter, entities: &[(KeyHash, &EntityEntry)]) {
    let mut first_ref = 0u32;
    for (hash, entry) in entities {
        let count = entry.refs.len() as u32;
        writer.put(&hash.0);
        writer.put(&entry.head.sequence.to_le_bytes());
        writer.put(&entry.head.time.as_micros().to_le_bytes());
        writer.put(&entry.head.position.to_le_bytes());
        writer.put(&first_ref.to_le_bytes());
        writer.put(&(count | if entry.head.deleted { DELETED_BIT } else { 0 }).to_le_bytes());
        first_ref += count;
    }
}

fn put_section(writer: &mut PageWriter, section: SectionRef) {
    writer.put(&section.position.to_le_bytes());
    writer.put(&section.offset.to_le_bytes());
    writer.put(&section.length.to_le_bytes());
}

struct EncodedKeys {
    places: Vec<u64>,
    bytes: Vec<u8>,
}

fn encode_keys(index: &SegmentIndex) -> EncodedKeys {
    let mut keys: Vec<&EntityKey> = index.entities.values().map(|entry| &entry.key).collect();
    keys.sort_unstable_by_key(|key| (key.kind(), key.tenant(), key.id()));
    let mut encoded = EncodedKeys { places: Vec::with_capacity(keys.len()), bytes: Vec::new() };
    for key in keys {
        encoded.places.push(encoded.bytes.len() as u64);
        encoded.bytes.push(key.tenant().len() as u8);
        encoded.bytes.push(key.kind().len() as u8);
        encoded.bytes.extend_from_slice(&(key.id().len() as u16).to_le_bytes());
        [key.tenant(), key.kind(), key.id()].iter().for_each(|text| encoded.bytes.extend_from_slice(text.as_bytes()));
    }
    encoded
}

fn encode_filter(index: &SegmentIndex) -> Vec<u8> {
    let mut filter = Filter::with_room(index.entities.len() + index.commands.len() + index.postings.len());
    index.entities.keys().chain(index.commands.keys()).chain(index.postings.keys()).for_each(|hash| filter.add(*hash));
    filter.to_bytes()
}

fn put_footer(writer: &mut PageWriter, summary: &SealSummary, parts: &[Part; PARTS]) {
    let mut footer = Vec::with_capacity(FOOTER_BYTES);
    footer.extend_from_slice(MAGIC);
    [summary.segment, summary.epoch, summary.end_offset].iter().for_each(|word| footer.extend_from_slice(&word.to_le_bytes()));
    footer.extend_from_slice(&summary.chain.to_le_bytes());
    footer.extend_from_slice(&(PARTS as u32).to_le_bytes());
    [summary.first_position, summary.last_position].iter().for_each(|word| footer.extend_from_slice(&word.to_le_bytes()));
    [summary.first_time, summary.last_time].iter().for_each(|time| footer.extend_from_slice(&time.as_micros().to_le_bytes()));
    parts.iter().for_each(|part| {
        footer.extend_from_slice(&part.place.to_le_bytes());
        footer.extend_from_slice(&part.count.to_le_bytes());
    });
    footer.resize(FOOTER_BYTES, 0);
    // The footer ends the run: zeros before it fill the last page.
    let page_payload = paged::run_length(4096);
    let end = (writer.place() + FOOTER_BYTES as u64).next_multiple_of(page_payload);
    let zeros = end - FOOTER_BYTES as u64 - writer.place();
    writer.put(&vec![0; zeros as usize]);
    writer.put(&footer);
}

/// A row reader over little-endian bytes that are known to be long enough.
struct Row<'a>(&'a [u8]);

impl Row<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (front, rest) = self.0.split_at(N);
        self.0 = rest;
        front.try_into().expect("split at N")
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_micros(i64::from_le_bytes(self.take()))
    }

    fn section(&mut self) -> SectionRef {
        let position = self.u64();
        SectionRef { position, offset: self.u32(), length: self.u32() }
    }
}

/// A sealed segment's index, answered from its file.
pub(crate) struct SealedIndex {
    pub(crate) summary: SealSummary,
    parts: [Part; PARTS],
    filter: Filter,
    files: Arc<OpenFiles>,
    /// The file as it was, when another has taken its name.
    kept: OnceLock<Arc<dyn DiskFile>>,
}

impl SealedIndex {
    /// Opens a seal: the footer and the filter are read, nothing else.
    ///
    /// # Errors
    /// `InvalidData` when it is no seal of that segment and epoch (of any, when nobody knows it); else the disk's.
    pub(crate) fn open(files: &Arc<OpenFiles>, segment: u64, epoch: Option<u64>) -> io::Result<Self> {
        Self::open_as(files, &seal_name(segment), segment, epoch)
    }

    /// The same of a seal that is yet to have its name.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_as(files: &Arc<OpenFiles>, name: &str, segment: u64, epoch: Option<u64>) -> io::Result<Self> {
        let file = files.disk.open(name)?;
        let run = paged::run_length(file.len()?);
        let footer_place = run.checked_sub(FOOTER_BYTES as u64).ok_or_else(|| invalid("the seal is too short"))?;
        let footer = paged::read(&*file, footer_place, FOOTER_BYTES)?;
        let (summary, parts) = decode_footer(&footer).ok_or_else(|| invalid("the seal has no footer"))?;
        if !parts.iter().zip(PART_ROWS).all(|(part, row)| part.ends_by(footer_place, row)) {
            return Err(invalid("the seal's footer names places that are not there"));
        }
        // The footer lies in the first page that has room for it. Pages do not say which they are: a file that landed some pages too far has
        // every checksum right, and other rows at each place.
        let filter = parts[PartName::Filter as usize];
        if footer_place - (filter.place + filter.count) >= paged::PAYLOAD_BYTES as u64 {
            return Err(invalid("the seal does not lie where it was written"));
        }
        if summary.segment != segment || epoch.is_some_and(|epoch| summary.epoch != epoch) {
            return Err(invalid("the seal belongs to another segment"));
        }
        let filter = paged::read(&*file, filter.place, filter.count as usize)?;
        let filter = Filter::from_bytes(&filter).ok_or_else(|| invalid("the seal has no filter"))?;
        Ok(Self { summary, parts, filter, files: Arc::clone(files), kept: OnceLock::new() })
    }

    /// What a seal would say that there is no room for, without its rows: who asks for those has them in memory.
    pub(crate) fn without_rows(files: &Arc<OpenFiles>, summary: SealSummary, index: &SegmentIndex) -> io::Result<Self> {
        let filter = Filter::from_bytes(&encode_filter(index)).ok_or_else(|| invalid("a filter that was just made is none"))?;
        Ok(Self { summary, parts: [Part::default(); PARTS], filter, files: Arc::clone(files), kept: OnceLock::new() })
    }

    /// False: the segment has nothing of this hash.
    pub(crate) fn may_have(&self, hash: KeyHash) -> bool {
        self.answers(&Probe::of(hash))
    }

    /// The same, for whoever asks many segments.
    pub(crate) fn answers(&self, probe: &Probe) -> bool {
        self.filter.may_have(probe)
    }

    /// Verifies every page of the file that has the seal's name now.
    pub(crate) fn read_all(&self) -> io::Result<()> {
        let file = self.files.disk.open(&seal_name(self.summary.segment))?;
        let run = paged::run_length(file.len()?);
        let mut place = 0;
        while place < run {
            let length = (run - place).min(READ_BYTES as u64);
            paged::read(&*file, place, length as usize)?;
            place += length;
        }
        Ok(())
    }

    /// The head of an entity and the number of its refs, if the segment has events of it.
    pub(crate) fn head(&self, entity: KeyHash) -> io::Result<Option<Head>> {
        Ok(self.entity_row(entity)?.map(|row| row.head))
    }

    /// The commits that have events of an entity.
    pub(crate) fn entity_refs(&self, entity: KeyHash) -> io::Result<Vec<EntityRef>> {
        let Some(row) = self.entity_row(entity)? else { return Ok(Vec::new()) };
        let bytes = self.rows(PartName::EntityRefs, ENTITY_REF_ROW, u64::from(row.first_ref), u64::from(row.ref_count))?;
        let decode = |row: &[u8]| {
            let mut row = Row(row);
            EntityRef { section: row.section(), last_sequence: row.u64() }
        };
        Ok(bytes.chunks_exact(ENTITY_REF_ROW).map(decode).collect())
    }

    pub(crate) fn command(&self, command: KeyHash) -> io::Result<Option<CommandRef>> {
        let row = self.find(PartName::Commands, command)?;
        Ok(row.map(|row| {
            let mut row = Row(&row[16..]);
            CommandRef { section: row.section(), index: row.u32() }
        }))
    }

    /// The positions of a tag or type, growing.
    pub(crate) fn postings(&self, hash: KeyHash) -> io::Result<Vec<Position>> {
        let Some(row) = self.find(PartName::Postings, hash)? else { return Ok(Vec::new()) };
        let mut row = Row(&row[16..]);
        let (first, count) = (row.u64(), u64::from(row.u32()));
        let bytes = self.rows(PartName::Positions, POSITION_ROW, first, count)?;
        Ok(bytes.chunks_exact(POSITION_ROW).map(|row| Row(row).u64()).collect())
    }

    /// The first frame that has events, if one has.
    pub(crate) fn first_frame(&self) -> io::Result<Option<FrameRef>> {
        let bytes = self.rows(PartName::Frames, FRAME_ROW, 0, self.parts[PartName::Frames as usize].count.min(1))?;
        let mut row = Row(&bytes);
        Ok((!bytes.is_empty()).then(|| FrameRef { first_position: row.u64(), offset: row.u32(), length: row.u32() }))
    }

    /// All frames, in order.
    pub(crate) fn frames(&self) -> io::Result<Vec<FrameRef>> {
        let bytes = self.rows(PartName::Frames, FRAME_ROW, 0, self.parts[PartName::Frames as usize].count)?;
        let decode = |row: &[u8]| {
            let mut row = Row(row);
            FrameRef { first_position: row.u64(), offset: row.u32(), length: row.u32() }
        };
        Ok(bytes.chunks_exact(FRAME_ROW).map(decode).collect())
    }

    /// Up to `limit` keys of a type after a key, in order.
    pub(crate) fn keys_after(&self, kind: &str, after: Option<&EntityKey>, limit: usize) -> io::Result<Vec<EntityKey>> {
        let file = self.file()?;
        let count = self.parts[PartName::KeyPlaces as usize].count;
        let target = after.map_or((kind, "", ""), |after| (kind, after.tenant(), after.id()));
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            let key = self.key(&*file, middle)?;
            let place = (key.kind(), key.tenant(), key.id());
            if place < target || after.is_some() && place == target { low = middle + 1 } else { high = middle }
        }
        let mut keys = Vec::new();
        for number in low..count.min(low + limit as u64) {
            let key = self.key(&*file, number)?;
            if key.kind() != kind {
                break;
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn key(&self, file: &dyn DiskFile, number: u64) -> io::Result<EntityKey> {
        let place = self.parts[PartName::KeyPlaces as usize].place + number * KEY_PLACE_ROW as u64;
        let offset = Row(&paged::read(file, place, KEY_PLACE_ROW)?).u64();
        let place = self.parts[PartName::Keys as usize].place.checked_add(offset).filter(|place| *place <= u64::MAX / 2);
        let place = place.ok_or_else(|| invalid("a key is not where it should be"))?;
        let lengths = paged::read(file, place, 4)?;
        let (tenant, kind) = (usize::from(lengths[0]), usize::from(lengths[1]));
        let id = usize::from(u16::from_le_bytes([lengths[2], lengths[3]]));
        let text = String::from_utf8(paged::read(file, place + 4, tenant + kind + id)?).map_err(|_| invalid("a key is not UTF-8"))?;
        let part = |range: std::ops::Range<usize>| text.get(range).ok_or_else(|| invalid("a key is cut"));
        let key = EntityKey::with_tenant(part(0..tenant)?, part(tenant..tenant + kind)?, part(tenant + kind..text.len())?);
        key.map_err(|_| invalid("a key breaks its rule"))
    }

    /// Rows of a part, one behind the other.
    fn rows(&self, name: PartName, width: usize, first: u64, count: u64) -> io::Result<Vec<u8>> {
        let part = self.parts[name as usize];
        if first.checked_add(count).is_none_or(|end| end > part.count) {
            return Err(invalid("a row names others that are not there"));
        }
        paged::read(&*self.file()?, part.place + first * width as u64, count as usize * width)
    }

    fn entity_row(&self, entity: KeyHash) -> io::Result<Option<EntityRow>> {
        let row = self.find(PartName::Entities, entity)?;
        Ok(row.map(|row| {
            let mut row = Row(&row[16..]);
            let (sequence, time, position, first_ref, count) = (row.u64(), row.time(), row.u64(), row.u32(), row.u32());
            let head = Head { sequence, time, position, deleted: count & DELETED_BIT != 0 };
            EntityRow { head, first_ref, ref_count: count & !DELETED_BIT }
        }))
    }

    /// The row with this hash in an ordered part. Hashes are uniform, so that a row's place follows from its hash but for the square root of
    /// how many there are: the first page that is read is near, and from its edge the next guess is nearly always right.
    fn find(&self, name: PartName, hash: KeyHash) -> io::Result<Option<FoundRow>> {
        let part = self.parts[name as usize];
        if part.count == 0 || !self.may_have(hash) {
            return Ok(None);
        }
        let (file, mut looks) = (self.file()?, 0);
        let (mut low, mut high, mut guess) = (0, part.count, distance(0, lead(&hash.0), part.count));
        while low < high {
            let rows = part.rows_at(&*file, PART_ROWS[name as usize], guess.clamp(low, high - 1))?;
            match rows.look(&hash) {
                Look::Found(row) => return Ok(Some(row)),
                Look::Absent => return Ok(None),
                Look::Before(first) => {
                    high = rows.first;
                    guess = high.saturating_sub(1 + distance(lead(&hash.0), first, part.count));
                }
                Look::Behind(last) => {
                    low = rows.first + rows.count;
                    guess = low.saturating_add(distance(last, lead(&hash.0), part.count));
                }
            }
            looks += 1;
            // Rows that are not where they should be on average: halves come to an end whatever they are.
            guess = if looks < GUESSES_MAX { guess } else { low + high.saturating_sub(low) / 2 };
        }
        Ok(None)
    }

    fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        let opened = self.files.seal(self.summary.segment, self.summary.epoch);
        // Asked behind the opening: a file that takes the name comes after this one was kept.
        self.kept.get().cloned().map_or(opened, Ok)
    }

    /// Another seal is about to take the name.
    pub(crate) fn keep_file(&self) -> io::Result<()> {
        let file = self.files.disk.open(&seal_name(self.summary.segment))?;
        self.kept.get_or_init(|| file.into());
        Ok(())
    }
}

/// A row; a narrow one has zeros behind it.
type FoundRow = [u8; ENTITY_ROW];

/// Rows of a part that lie together, at least one.
struct Rows {
    bytes: RowBytes,
    width: usize,
    first: u64,
    count: u64,
}

#[expect(clippy::large_enum_variant, reason = "a look is over at once, and four kilobytes cost more to allocate than to read")]
enum RowBytes {
    /// Whole rows of one page, and where they begin in it.
    Page(Page, usize),
    /// A row that lies on two.
    One(Vec<u8>),
}

/// What some rows say of a hash; of those at the edge, the front of theirs.
enum Look {
    Found(FoundRow),
    Absent,
    Before(u64),
    Behind(u64),
}

impl Part {
    /// The rows of the page on which a row begins; the row alone when it goes on on the next page.
    fn rows_at(&self, file: &dyn DiskFile, width: usize, number: u64) -> io::Result<Rows> {
        let width_long = width as u64;
        let place = self.place + number * width_long;
        let page = Page::of(place);
        let places = Page::places(page);
        if place + width_long > places.end {
            return Ok(Rows { bytes: RowBytes::One(paged::read(file, place, width)?), width, first: number, count: 1 });
        }
        let first = places.start.saturating_sub(self.place).div_ceil(width_long);
        let end = ((places.end - self.place) / width_long).min(self.count);
        let start = self.place + first * width_long - places.start;
        Ok(Rows { bytes: RowBytes::Page(Page::read(file, page)?, start as usize), width, first, count: end - first })
    }
}

impl Rows {
    fn row(&self, number: u64) -> &[u8] {
        match &self.bytes {
            RowBytes::Page(page, start) => &page.payload()[start + number as usize * self.width..][..self.width],
            RowBytes::One(row) => row,
        }
    }

    fn look(&self, hash: &KeyHash) -> Look {
        let last = self.row(self.count - 1);
        if last[..16] < hash.0[..] {
            return Look::Behind(lead(last));
        }
        if self.row(0)[..16] > hash.0[..] {
            return Look::Before(lead(self.row(0)));
        }
        let (mut low, mut high) = (0, self.count - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.row(middle)[..16] < hash.0[..] { low = middle + 1 } else { high = middle }
        }
        let row = self.row(low);
        if row[..16] != hash.0[..] {
            return Look::Absent;
        }
        let mut found = [0; ENTITY_ROW];
        found[..self.width].copy_from_slice(row);
        Look::Found(found)
    }
}

/// The front of a row's hash, by which rows are ordered.
fn lead(row: &[u8]) -> u64 {
    u64::from_be_bytes(row[..8].try_into().expect("half of sixteen"))
}

/// How many rows lie between two fronts, on average.
fn distance(from: u64, to: u64, count: u64) -> u64 {
    ((u128::from(to.saturating_sub(from)) * u128::from(count)) >> 64) as u64
}

struct EntityRow {
    head: Head,
    first_ref: u32,
    ref_count: u32,
}

fn decode_footer(footer: &[u8]) -> Option<(SealSummary, [Part; PARTS])> {
    let mut row = Row(footer);
    if row.take::<8>() != *MAGIC {
        return None;
    }
    let (segment, epoch, end_offset, chain, count) = (row.u64(), row.u64(), row.u64(), row.u32(), row.u32());
    let (first_position, last_position, first_time, last_time) = (row.u64(), row.u64(), row.time(), row.time());
    if count as usize != PARTS {
        return None;
    }
    let parts = std::array::from_fn(|_| Part { place: row.u64(), count: row.u64() });
    Some((SealSummary { segment, epoch, end_offset, chain, first_position, last_position, first_time, last_time }, parts))
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::{CommandId, CommandRecord, Commit, Context, EventData, EventFlags};
    use crate::embedded::index::{CommandHashes, Placed};
    use crate::embedded::record::FirstSequences;
    use crate::seams::Disk;
    use crate::sim::SimDisk;

    fn index_of(entities: u64) -> SegmentIndex {
        let mut index = SegmentIndex::default();
        for number in 0..entities {
            let event = EventData {
                name: "e".into(),
                version: 1,
                content: crate::ContentType::Json,
                flags: EventFlags(0),
                tags: vec![crate::Tag::new(&format!("mod:{}", number % 7)).unwrap()],
                payload: bytes::Bytes::new(),
            };
            let record = CommandRecord {
                entity: EntityKey::new(if number % 3 == 0 { "a" } else { "b" }, &format!("{number:06}")).unwrap(),
                id: CommandId::from_raw(&number.to_le_bytes()),
                name: "c".into(),
                fingerprint: None,
                context: Context::default(),
                reply: bytes::Bytes::new(),
                events: vec![event],
            };
            let commit = Commit { commands: vec![record], ..Commit::default() };
            let section = SectionRef { offset: number as u32 * 100, length: 99, position: number + 1 };
            let hashes = CommandHashes::of(&commit);
            let time = Timestamp::from_micros(number as i64);
            index.add(&Placed { commit: &commit, hashes: &hashes, first_sequences: &FirstSequences::of_one(number + 5), time, section });
            index.frames.push(FrameRef { first_position: number + 1, offset: number as u32 * 100, length: 99 });
        }
        index
    }

    fn sealed(entities: u64) -> (SegmentIndex, SealedIndex) {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        let index = index_of(entities);
        let time = Timestamp::from_micros(1);
        let summary = SealSummary {
            segment: 3,
            epoch: 9,
            end_offset: 8,
            chain: 7,
            first_position: 1,
            last_position: entities,
            first_time: time,
            last_time: time,
        };
        disk.create(&seal_name(3)).unwrap().write_at(&encode(&summary, &index), 0).unwrap();
        let seal = SealedIndex::open(&OpenFiles::new(&disk), 3, Some(9)).unwrap();
        assert_eq!(seal.summary, summary);
        (index, seal)
    }

    /// A write of a seal that the drive carried out one page too far: heads, commands and commits were asked for in the rows of other ones.
    /// Found by the simulator, seeds 1112117 and 1329858.
    #[test]
    fn a_seal_that_landed_some_pages_too_far_is_refused() {
        for count in [1, 84, 85, 86, 1_000] {
            let (_, seal) = sealed(count);
            let disk = Arc::clone(&seal.files.disk);
            let file = disk.open(&seal_name(3)).unwrap();
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_at(&mut bytes, 0).unwrap();
            for pages in 1..4 {
                file.write_at(&[&vec![0; pages * 4096][..], &bytes].concat(), 0).unwrap();
                assert!(SealedIndex::open(&OpenFiles::new(&disk), 3, Some(9)).is_err(), "{pages} pages, {count} entities");
            }
        }
    }

    #[test]
    fn a_seal_answers_as_the_index_it_was_made_of() {
        for count in [1, 2, 3, 84, 85, 86, 1_000, 20_000] {
            let (index, seal) = sealed(count);
            seal.read_all().unwrap();
            assert_eq!(seal.frames().unwrap(), index.frames);
            for (hash, entry) in &index.entities {
                assert_eq!(seal.head(*hash).unwrap().as_ref(), Some(&entry.head));
                assert_eq!(seal.entity_refs(*hash).unwrap(), entry.refs);
            }
            for (hash, command) in &index.commands {
                assert_eq!(seal.command(*hash).unwrap().as_ref(), Some(command));
            }
            for (hash, positions) in &index.postings {
                assert_eq!(&seal.postings(*hash).unwrap(), positions);
            }
            let absent = (0..1_000u32).map(|number| crate::key::short_hash(&[b"absent", &number.to_le_bytes()]));
            assert!(absent.into_iter().all(|hash| seal.head(hash).unwrap().is_none() && seal.command(hash).unwrap().is_none()));
        }
    }

    /// A seal of one entity whose run was changed before its checksums were made.
    fn written_wrongly(change: impl Fn(&mut [u8])) -> io::Result<SealedIndex> {
        let times = (Timestamp::from_micros(1), Timestamp::from_micros(1));
        let (segment, epoch, end_offset, chain) = (3, 9, 8, 7);
        let (first_position, last_position, first_time, last_time) = (1, 1, times.0, times.1);
        let summary = SealSummary { segment, epoch, end_offset, chain, first_position, last_position, first_time, last_time };
        let pages = encode(&summary, &index_of(1));
        let mut run: Vec<u8> = pages.chunks(4096).flat_map(|page| &page[..4092]).copied().collect();
        change(&mut run);
        let mut writer = PageWriter::default();
        writer.put(&run);
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        disk.create(&seal_name(3))?.write_at(&writer.finish(), 0)?;
        SealedIndex::open(&OpenFiles::new(&disk), 3, Some(9))
    }

    /// It would have asked for as much memory as the numbers say.
    #[test]
    fn a_seal_whose_footer_or_rows_name_what_is_not_there_is_refused() {
        let footer_part = |run: &[u8], part: PartName| run.len() - FOOTER_BYTES + 72 + 16 * part as usize;
        for part in [PartName::Frames, PartName::Entities, PartName::Keys, PartName::Filter] {
            for number in [0, 8] {
                let opened = written_wrongly(|run| {
                    let at = footer_part(run, part) + number;
                    run[at..at + 8].copy_from_slice(&(u64::MAX - 7).to_le_bytes());
                });
                assert_eq!(opened.err().map(|error| error.kind()), Some(io::ErrorKind::InvalidData));
            }
        }
        let seal = written_wrongly(|run| {
            let at = footer_part(run, PartName::Entities);
            let row = u64::from_le_bytes(run[at..at + 8].try_into().unwrap()) as usize;
            run[row + ENTITY_ROW - 4..row + ENTITY_ROW].copy_from_slice(&(!DELETED_BIT).to_le_bytes());
        });
        let entity = EntityKey::new("a", "000000").unwrap().hash();
        assert_eq!(seal.unwrap().entity_refs(entity).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn keys_come_in_order_and_page_by_page() {
        let (index, seal) = sealed(1_000);
        for kind in ["a", "b", "c"] {
            let all = index.keys_after(kind, None, Position::MAX, usize::MAX);
            let mut paged: Vec<EntityKey> = Vec::new();
            loop {
                let page = seal.keys_after(kind, paged.last(), 37).unwrap();
                let ended = page.len() < 37;
                paged.extend(page);
                if ended {
                    break;
                }
            }
            assert_eq!(paged, all, "{kind}");
        }
    }
}
