//! A commit as bytes: the payload of a commit section. Little-endian; `v` is a LEB128 varint; texts and bytes are `length v, bytes`.
//!
//! ```text
//! commit   flags v | time i64 | id [16]? | command count v | first sequence v* | command* | extension*
//! command  length v | tenant text | type text | id text | command id [16] | name text | present u8
//!          | fingerprint [16]? | correlation text? | causation text? | traceparent text? | principal text?
//!          | reply bytes | event count v | event* | extension*
//! event    length v | name text | version v | content u8 | flags v | tag count v | tag text* | payload bytes | extension*
//! ```
//!
//! `length` counts what follows it, so that a reader skips extensions it does not know. There is one `first sequence` for each command:
//! that of its first event; of a command without events, the one its entity's next event will have. `present` has bit 0 for
//! the fingerprint and bits 1 to 4 for the four texts. The first position is not written: it is the frame's, and the events of the
//! commits before count on from it. Neither is an id that follows from the place ([`CommitPlace::id`]); bit 0 of the flags
//! says that one is there all the same, because an import brought it.
//!
//! The fields that only the sequencer knows (time, id, sequences) stand in front, so that everything behind them is encoded before
//! the sequencer's turn.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::crc::checksum;
use crate::commit::{CommandId, CommandRecord, Commit, CommitId, ContentType, Context, EventData, EventFlags, EventId, Fingerprint, Tag};
use crate::cursor::{LineageId, Position};
use crate::key::{EntityKey, short_hash};
use crate::read::Recorded;
use crate::time::Timestamp;

/// The id of the commit is written out.
const FLAG_ID: u64 = 1;
/// What a commit's head takes beside its sequences, at most: flags, time, id and count.
const HEAD_BYTES_MAX: usize = 1 + 8 + 16 + VARINT_BYTES_MAX;
pub(crate) const VARINT_BYTES_MAX: usize = 9;

/// Where a commit stands: what its bytes do not say again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommitPlace {
    pub(crate) lineage: LineageId,
    /// Of its first event.
    pub(crate) position: Position,
}

impl CommitPlace {
    /// The id of a commit that begins in this journal: a UUIDv7 of its time, whose other bits are BLAKE3 of the history and the place.
    /// No two commits of a history have a place in common, and no two histories their sixteen random bytes.
    pub(crate) fn id(self, time: Timestamp) -> CommitId {
        let hash = short_hash(&[b"commit", &self.lineage.0, &self.position.to_le_bytes()]);
        let mut rest = [0; 10];
        rest.copy_from_slice(&hash.0[..10]);
        CommitId::from_parts(time, rest)
    }
}

/// What the sequencer gives to a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assigned {
    /// Only when it does not follow from the place: an import brought it.
    pub(crate) id: Option<CommitId>,
    pub(crate) time: Timestamp,
    /// Of its first event.
    pub(crate) position: Position,
    pub(crate) first_sequences: FirstSequences,
}

/// The first sequence of each command; of one command, as most commits have, without an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FirstSequences {
    first: u64,
    rest: Vec<u64>,
}

impl FirstSequences {
    pub(crate) fn of_one(sequence: u64) -> Self {
        Self { first: sequence, rest: Vec::new() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::once(self.first).chain(self.rest.iter().copied())
    }
}

impl FromIterator<u64> for FirstSequences {
    /// Of one command or more.
    fn from_iter<T: IntoIterator<Item = u64>>(sequences: T) -> Self {
        let mut sequences = sequences.into_iter();
        Self { first: sequences.next().unwrap_or_default(), rest: sequences.collect() }
    }
}

/// From so many bytes on, a commit's checksum is made by whoever appends it.
const SUMMED_BYTES_MIN: usize = 32 * 1024;

/// A commit's bytes but for its head, which only the sequencer knows.
pub(crate) struct EncodedCommit {
    commands: EncodedCommands,
    command_count: usize,
}

/// The commands of a commit.
pub(crate) struct EncodedCommands {
    pub(crate) bytes: Vec<u8>,
    /// Their checksum, if they are many bytes.
    pub(crate) sum: Option<u32>,
}

impl EncodedCommit {
    pub(crate) fn new(commit: &Commit) -> Self {
        let mut bytes = Vec::with_capacity(estimate(commit));
        commit.commands.iter().for_each(|command| put_command(&mut bytes, command));
        let sum = (bytes.len() >= SUMMED_BYTES_MIN).then(|| checksum(&bytes));
        Self { commands: EncodedCommands { bytes, sum }, command_count: commit.commands.len() }
    }

    /// Bytes of the whole payload, at most.
    pub(crate) fn bytes_max(&self) -> usize {
        HEAD_BYTES_MAX + self.command_count * VARINT_BYTES_MAX + self.commands.bytes.len()
    }

    /// Adds what goes in front of the commands.
    pub(crate) fn put_head(&self, assigned: &Assigned, head: &mut Vec<u8>) {
        put_varint(head, if assigned.id.is_some() { FLAG_ID } else { 0 });
        head.extend_from_slice(&assigned.time.as_micros().to_le_bytes());
        if let Some(id) = assigned.id {
            head.extend_from_slice(&id.0);
        }
        put_varint(head, self.command_count as u64);
        assigned.first_sequences.iter().for_each(|sequence| put_varint(head, sequence));
    }

    pub(crate) fn commands(&self) -> &EncodedCommands {
        &self.commands
    }
}

fn put_command(bytes: &mut Vec<u8>, command: &CommandRecord) {
    // The body is written behind a gap for its own length, which then moves up against it: lengths are short.
    let gap = bytes.len();
    bytes.extend_from_slice(&[0; LENGTH_GAP]);
    let body = bytes.len();
    put_text(bytes, command.entity.tenant());
    put_text(bytes, command.entity.kind());
    put_text(bytes, command.entity.id());
    bytes.extend_from_slice(&command.id.0);
    put_text(bytes, &command.name);
    put_context(bytes, command);
    put_bytes(bytes, &command.reply);
    put_varint(bytes, command.events.len() as u64);
    for event in &command.events {
        put_event(bytes, event);
    }
    close_gap(bytes, gap, body);
}

fn put_context(bytes: &mut Vec<u8>, command: &CommandRecord) {
    let texts = command.context.texts();
    let present = texts
        .iter()
        .enumerate()
        .fold(u8::from(command.fingerprint.is_some()), |bits, (index, text)| bits | u8::from(text.is_some()) << (index + 1));
    bytes.push(present);
    if let Some(fingerprint) = command.fingerprint {
        bytes.extend_from_slice(&fingerprint.0);
    }
    for text in texts.into_iter().flatten() {
        put_text(bytes, text);
    }
}

/// Room for the longest length there can be; the unused part is closed afterwards.
const LENGTH_GAP: usize = 4;

/// Writes the length of everything behind `body` into the gap before it, and closes what is left of the gap.
fn close_gap(bytes: &mut Vec<u8>, gap: usize, body: usize) {
    let length = bytes.len() - body;
    let mut header = Vec::with_capacity(LENGTH_GAP);
    put_varint(&mut header, length as u64);
    assert!(header.len() <= LENGTH_GAP, "a commit is bounded to 8 MiB, so its lengths fit four bytes");
    bytes[gap..gap + header.len()].copy_from_slice(&header);
    bytes.copy_within(body.., gap + header.len());
    let moved = LENGTH_GAP - header.len();
    bytes.truncate(bytes.len() - moved);
}

fn put_event(bytes: &mut Vec<u8>, event: &EventData) {
    put_varint(bytes, event_length(event) as u64);
    put_text(bytes, &event.name);
    put_varint(bytes, u64::from(event.version));
    bytes.push(event.content.code());
    put_varint(bytes, u64::from(event.flags.0));
    put_varint(bytes, event.tags.len() as u64);
    for tag in &event.tags {
        put_text(bytes, tag.as_str());
    }
    put_bytes(bytes, &event.payload);
}

fn event_length(event: &EventData) -> usize {
    let tags: usize = event.tags.iter().map(|tag| sized(tag.as_str().len())).sum();
    let numbers =
        varint_length(u64::from(event.version)) + 1 + varint_length(u64::from(event.flags.0)) + varint_length(event.tags.len() as u64);
    sized(event.name.len()) + numbers + tags + sized(event.payload.len())
}

fn sized(length: usize) -> usize {
    varint_length(length as u64) + length
}

fn varint_length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn estimate(commit: &Commit) -> usize {
    let event = |event: &EventData| event.payload.len() + event.name.len() + 24;
    let command =
        |command: &CommandRecord| 192 + command.reply.len() + command.entity.id().len() + command.events.iter().map(event).sum::<usize>();
    64 + commit.commands.iter().map(command).sum::<usize>()
}

pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The number at the front of the bytes, and how many of them it takes.
pub(crate) fn take_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    None
}

fn put_bytes(bytes: &mut Vec<u8>, part: &[u8]) {
    put_varint(bytes, part.len() as u64);
    bytes.extend_from_slice(part);
}

pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_bytes(bytes, text.as_bytes());
}

/// The largest first sequence of a command that a segment holds.
pub(crate) const SEQUENCE_MAX: u64 = u64::MAX / 2;

/// A commit as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommit {
    /// Its id.
    pub id: CommitId,
    /// Its time.
    pub time: Timestamp,
    /// The position of its first event.
    pub first_position: Position,
    /// Its commands.
    pub commands: Vec<StoredCommand>,
}

/// A command as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommand {
    /// What was appended.
    pub record: CommandRecord,
    /// The sequence of its first event, or the one that the entity's next event will have.
    pub first_sequence: u64,
    /// The index of its first event within the commit.
    pub first_index: u16,
}

impl StoredCommand {
    /// The entity's version after the command.
    pub fn sequence_after(&self) -> u64 {
        self.first_sequence + self.record.events.len() as u64 - 1
    }
}

impl StoredCommit {
    /// Decodes a commit section's payload; `None` when it is not one.
    pub(crate) fn decode(bytes: &Bytes, place: CommitPlace, names: &mut Names) -> Option<Self> {
        let mut parser = Parser { bytes, at: 0, end: bytes.len() };
        let CommitHead { id, time, sequences } = parser.commit_head(place)?;
        let mut commands = Vec::with_capacity(1 + sequences.rest.len());
        let mut first_index = 0u16;
        for first_sequence in sequences.iter() {
            let command = parser.nested()?.command(first_sequence, first_index, names)?;
            first_index = first_index.checked_add(u16::try_from(command.record.events.len()).ok()?)?;
            commands.push(command);
        }
        Some(Self { id, time, first_position: place.position, commands })
    }

    /// How many events it has.
    pub fn event_count(&self) -> u64 {
        self.commands.iter().map(|command| command.record.events.len() as u64).sum()
    }

    /// Its last position.
    pub fn last_position(&self) -> Position {
        self.first_position + self.event_count() - 1
    }

    /// Its events, in order.
    pub fn events(&self) -> impl Iterator<Item = Recorded> + '_ {
        self.clone().into_events()
    }

    /// Its events, in order.
    pub fn into_events(self) -> impl Iterator<Item = Recorded> {
        let Self { id: commit, time, first_position, commands } = self;
        commands.into_iter().flat_map(move |StoredCommand { record, first_sequence, first_index }| {
            let CommandRecord { entity, id: command, name: command_name, context, events, .. } = record;
            let context = shared_context(context);
            events.into_iter().zip(0u16..).map(move |(event, offset)| Recorded {
                position: first_position + u64::from(first_index) + u64::from(offset),
                id: EventId { commit, index: first_index + offset },
                entity: entity.clone(),
                sequence: first_sequence + u64::from(offset),
                time,
                command,
                command_name: Arc::clone(&command_name),
                context: Arc::clone(&context),
                name: event.name,
                version: event.version,
                content: event.content,
                flags: event.flags,
                tags: event.tags,
                payload: event.payload,
            })
        })
    }
}

/// Most contexts of a replay say nothing: they are one.
fn shared_context(context: Context) -> Arc<Context> {
    static EMPTY: LazyLock<Arc<Context>> = LazyLock::new(Arc::default);
    if context == **EMPTY { Arc::clone(&EMPTY) } else { Arc::new(context) }
}

/// Names of commands and events are few and commits are many: those that were decoded last are shared.
#[derive(Default)]
pub(crate) struct Names {
    known: [Option<Arc<str>>; NAMES_KNOWN],
    next: usize,
    no_context: Option<Arc<Context>>,
}

const NAMES_KNOWN: usize = 8;

impl Names {
    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.iter().flatten().find(|known| ***known == *name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.known[self.next] = Some(Arc::clone(&name));
        self.next = (self.next + 1) % NAMES_KNOWN;
        name
    }

    /// Most contexts of a replay say nothing: they are one. Not one for the whole process: its count would go from core to core with each
    /// event.
    fn no_context(&mut self) -> Arc<Context> {
        Arc::clone(self.no_context.get_or_insert_default())
    }
}

/// The events of a commit section's payload within a frame, one by one, without the commit around them: what a scan wants of it. Gives how
/// many there are; `None` when it is no commit, whatever was taken before that was seen.
pub(crate) fn events(
    frame: &Bytes,
    payload: Range<usize>,
    place: CommitPlace,
    names: &mut Names,
    take: &mut impl FnMut(Recorded),
) -> Option<u64> {
    let mut parser = Parser { bytes: frame, at: payload.start, end: payload.end };
    let CommitHead { id: commit, time, sequences } = parser.commit_head(place)?;
    let mut index = 0u16;
    for sequence in sequences.iter() {
        let first = First { commit, time, position: place.position, sequence, index };
        index = index.checked_add(parser.nested()?.recorded(first, names, take)?)?;
    }
    Some(u64::from(index))
}

/// What stands before a commit's commands.
struct CommitHead {
    id: CommitId,
    time: Timestamp,
    sequences: Sequences,
}

/// The first sequences; of one command, as most commits have, without an allocation.
struct Sequences {
    first: Option<u64>,
    rest: Vec<u64>,
}

impl Sequences {
    fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.first.into_iter().chain(self.rest.iter().copied())
    }
}

/// What stands before a command's context.
struct CommandHead {
    entity: EntityKey,
    id: CommandId,
    name: Arc<str>,
    fingerprint: Option<Fingerprint>,
    present: u8,
}

/// Of a command's first event, and of its commit.
#[derive(Clone, Copy)]
struct First {
    commit: CommitId,
    time: Timestamp,
    /// Of the commit.
    position: Position,
    sequence: u64,
    /// Within the commit.
    index: u16,
}

/// The bits of `present` that say that there is a context.
const CONTEXT_BITS: u8 = 0b1_1110;

struct Parser<'a> {
    bytes: &'a Bytes,
    at: usize,
    end: usize,
}

impl<'a> Parser<'a> {
    fn take(&mut self, length: usize) -> Option<std::ops::Range<usize>> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.end)?;
        let range = self.at..end;
        self.at = end;
        Some(range)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let range = self.take(N)?;
        self.bytes[range].try_into().ok()
    }

    fn varint(&mut self) -> Option<u64> {
        let (value, length) = take_varint(&self.bytes[self.at..self.end])?;
        self.at += length;
        Some(value)
    }

    fn part(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.varint()?).ok()?;
        let range = self.take(length)?;
        Some(self.bytes.slice(range))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.varint()?).ok()?;
        let range = self.take(length)?;
        std::str::from_utf8(&self.bytes[range]).ok()
    }

    fn shared_text(&mut self) -> Option<Arc<str>> {
        self.text().map(Arc::from)
    }

    /// A parser over the next length-prefixed part; this one goes on behind it.
    fn nested(&mut self) -> Option<Self> {
        let length = usize::try_from(self.varint()?).ok()?;
        let range = self.take(length)?;
        Some(Self { bytes: self.bytes, at: range.start, end: range.end })
    }

    fn command(mut self, first_sequence: u64, first_index: u16, names: &mut Names) -> Option<StoredCommand> {
        let CommandHead { entity, id, name, fingerprint, present } = self.command_head(names)?;
        let context = self.context(present)?;
        let reply = self.part()?;
        let count = self.varint()?;
        let mut events = Vec::with_capacity(usize::try_from(count).ok()?.min(self.end - self.at));
        for _ in 0..count {
            events.push(self.nested()?.event(names)?);
        }
        Some(StoredCommand { record: CommandRecord { entity, id, name, fingerprint, context, reply, events }, first_sequence, first_index })
    }

    /// The events of a command, with what each of them carries of it; gives how many there are.
    fn recorded(mut self, first: First, names: &mut Names, take: &mut impl FnMut(Recorded)) -> Option<u16> {
        let CommandHead { entity, id: command, name: command_name, present, .. } = self.command_head(names)?;
        let context = if present & CONTEXT_BITS == 0 { names.no_context() } else { Arc::new(self.context(present)?) };
        let reply_bytes = usize::try_from(self.varint()?).ok()?;
        self.take(reply_bytes)?;
        let count = u16::try_from(self.varint()?).ok()?;
        for offset in 0..count {
            let event = self.nested()?.event(names)?;
            let index = first.index.checked_add(offset)?;
            take(Recorded {
                position: first.position + u64::from(index),
                id: EventId { commit: first.commit, index },
                entity: entity.clone(),
                sequence: first.sequence + u64::from(offset),
                time: first.time,
                command,
                command_name: Arc::clone(&command_name),
                context: Arc::clone(&context),
                name: event.name,
                version: event.version,
                content: event.content,
                flags: event.flags,
                tags: event.tags,
                payload: event.payload,
            });
        }
        Some(count)
    }

    fn commit_head(&mut self, place: CommitPlace) -> Option<CommitHead> {
        let flags = self.varint()?;
        let time = Timestamp::from_micros(i64::from_le_bytes(self.array()?));
        let id = if flags & FLAG_ID == 0 { place.id(time) } else { CommitId(self.array()?) };
        let count = usize::try_from(self.varint()?).ok()?;
        // Sequences count from 1, and no entity comes so far that they would run over.
        let mut sequence = || self.varint().filter(|first| (1..=SEQUENCE_MAX).contains(first));
        let first = if count == 0 { None } else { Some(sequence()?) };
        let rest: Option<Vec<u64>> = (1..count).map(|_| sequence()).collect();
        Some(CommitHead { id, time, sequences: Sequences { first, rest: rest? } })
    }

    /// What stands before a command's context.
    fn command_head(&mut self, names: &mut Names) -> Option<CommandHead> {
        let entity = EntityKey::with_tenant(self.text()?, self.text()?, self.text()?).ok()?;
        let id = CommandId(self.array()?);
        let name = names.shared(self.text()?);
        let [present] = self.array()?;
        let fingerprint = if present & 1 == 0 { None } else { Some(Fingerprint(self.array()?)) };
        Some(CommandHead { entity, id, name, fingerprint, present })
    }

    fn context(&mut self, present: u8) -> Option<Context> {
        let mut optional = |bit: u8| if present & (1 << bit) == 0 { Some(None) } else { self.shared_text().map(Some) };
        Some(Context { correlation_id: optional(1)?, causation_id: optional(2)?, traceparent: optional(3)?, principal: optional(4)? })
    }

    fn event(mut self, names: &mut Names) -> Option<EventData> {
        let name = names.shared(self.text()?);
        let version = u16::try_from(self.varint()?).ok()?;
        let [content] = self.array()?;
        let flags = EventFlags(u16::try_from(self.varint()?).ok()?);
        let tag_count = self.varint()?;
        let mut tags = Vec::with_capacity(usize::try_from(tag_count).ok()?.min(self.end - self.at));
        for _ in 0..tag_count {
            tags.push(Tag::new(self.text()?).ok()?);
        }
        Some(EventData { name, version, content: ContentType::from_code(content), flags, tags, payload: self.part()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        let event = |payload: &str| EventData {
            name: "item-added".into(),
            version: 3,
            content: ContentType::Json,
            flags: EventFlags(0),
            tags: vec![Tag::new("sku:a:b").unwrap()],
            payload: Bytes::from(payload.to_owned()),
        };
        let command = |id: &str, events: Vec<EventData>| CommandRecord {
            entity: EntityKey::new("cart", id).unwrap(),
            id: CommandId::from_raw(id.as_bytes()),
            name: "add-item".into(),
            fingerprint: (id == "c1").then_some(Fingerprint([9; 16])),
            context: Context { causation_id: Some("why".into()), principal: Some("who".into()), ..Context::default() },
            reply: Bytes::from_static(b"null"),
            events,
        };
        Commit {
            commands: vec![
                command("c1", vec![event("{}"), event("")]),
                command("c2", vec![]),
                command("c3", vec![event(&"x".repeat(300))]),
            ],
            ..Commit::default()
        }
    }

    const PLACE: CommitPlace = CommitPlace { lineage: LineageId([3; 16]), position: 42 };

    fn assigned() -> Assigned {
        let time = Timestamp::from_micros(1_795_248_000_000_007);
        Assigned { id: None, time, position: PLACE.position, first_sequences: [10, 20, 300].into_iter().collect() }
    }

    fn bytes(assigned: &Assigned) -> Vec<u8> {
        let encoded = EncodedCommit::new(&commit());
        let mut bytes = Vec::new();
        encoded.put_head(assigned, &mut bytes);
        bytes.extend_from_slice(&encoded.commands().bytes);
        assert!(bytes.len() <= encoded.bytes_max());
        bytes
    }

    #[test]
    fn a_commit_survives_its_bytes() {
        let stored = StoredCommit::decode(&bytes(&assigned()).into(), PLACE, &mut Names::default()).unwrap();
        assert_eq!((stored.time, stored.first_position, stored.last_position()), (assigned().time, 42, 44));
        assert_eq!(stored.id, PLACE.id(stored.time));
        let records: Vec<_> = stored.commands.iter().map(|command| command.record.clone()).collect();
        assert_eq!(records, commit().commands);
        let places: Vec<_> = stored.events().map(|event| (event.position, event.sequence, event.id.index)).collect();
        assert_eq!(places, [(42, 10, 0), (43, 11, 1), (44, 300, 2)]);
        assert_eq!(stored.commands[1].sequence_after(), 19);
    }

    fn events_of(bytes: &Bytes) -> Option<Vec<Recorded>> {
        let mut taken = Vec::new();
        let count = events(bytes, 0..bytes.len(), PLACE, &mut Names::default(), &mut |event| taken.push(event))?;
        assert_eq!(count, taken.len() as u64);
        Some(taken)
    }

    #[test]
    fn events_are_the_same_with_and_without_their_commit() {
        for assigned in [assigned(), Assigned { id: Some(CommitId([5; 16])), ..assigned() }] {
            let bytes = Bytes::from(bytes(&assigned));
            let stored = StoredCommit::decode(&bytes, PLACE, &mut Names::default()).unwrap();
            assert_eq!(events_of(&bytes).unwrap(), stored.events().collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_id_from_elsewhere_is_kept() {
        let foreign = Assigned { id: Some(CommitId([5; 16])), time: Timestamp::from_micros(-7), ..assigned() };
        let stored = StoredCommit::decode(&bytes(&foreign).into(), PLACE, &mut Names::default()).unwrap();
        assert_eq!((Some(stored.id), stored.time), (foreign.id, foreign.time));
        assert_eq!(bytes(&foreign).len(), bytes(&assigned()).len() + 16);
    }

    #[test]
    fn an_id_tells_time_history_and_place() {
        let (time, later) = (Timestamp::from_micros(1_000), Timestamp::from_micros(2_000));
        let other = CommitPlace { lineage: LineageId([4; 16]), ..PLACE };
        let next = CommitPlace { position: 43, ..PLACE };
        let ids = [PLACE.id(time), PLACE.id(later), other.id(time), next.id(time)];
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|id| id.0[6] >> 4 == 7 && id.0[8] >> 6 == 2));
    }

    #[test]
    fn a_cut_commit_is_no_commit() {
        let bytes = bytes(&assigned());
        for length in 0..bytes.len() {
            let cut = Bytes::copy_from_slice(&bytes[..length]);
            assert_eq!(StoredCommit::decode(&cut, PLACE, &mut Names::default()), None, "{length}");
            assert_eq!(events_of(&cut), None, "{length}");
        }
    }

    #[test]
    fn unknown_extensions_are_skipped() {
        let plain = bytes(&assigned());
        let longer = [&*plain, b"from the future"].concat();
        assert_eq!(
            StoredCommit::decode(&longer.into(), PLACE, &mut Names::default()).unwrap(),
            StoredCommit::decode(&plain.into(), PLACE, &mut Names::default()).unwrap()
        );
    }
}
