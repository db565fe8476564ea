//! The leaf of an event: the hash of everything that identifies and carries it, in bytes that another program can make again from an
//! export or a proof.
//!
//! ```text
//! leaf     BLAKE3(0x00 | position u64 | commit id [16] | index u16 | time i64 | sequence u64 | records [32]
//!                | tenant text | type text | id text | command id [16] | command name text | context
//!                | name text | version u16 | content u8 | flags u16 | tag count u32 | tag text* | payload bytes)
//! records  BLAKE3(0x03 | command count u32 | (tenant text | type text | id text | command id [16] | name text | context
//!                | fingerprinted u8 | fingerprint [16]? | reply bytes | first sequence u64 | event count u32)*)
//! context  present u8 (bits 1 to 4) | correlation text? | causation text? | traceparent text? | principal text?
//! ```
//!
//! Little-endian; texts and bytes are `length u32`, then that many bytes. `records` is one hash a commit, in each of its events' leaves: it
//! covers what no event carries (replies, fingerprints, commands without events) and keeps it out of a proof. The bytes do not
//! depend on how a segment stores a commit. A field that later versions add to an event comes with a leaf of another kind.

use super::merkle::Hash;
use super::record::{StoredCommand, StoredCommit};
use crate::commit::{CommandRecord, CommitId, Context, EventData};
use crate::cursor::Position;

const LEAF: u8 = 0;
const RECORDS: u8 = 3;

/// The leaves of a commit's events, in order.
pub(crate) fn leaves_of(commit: &StoredCommit) -> impl Iterator<Item = Hash> + '_ {
    let (records, mut bytes) = (records(commit), Vec::new());
    commit.commands.iter().flat_map(|command| (0..command.record.events.len()).map(move |nth| (command, nth))).map(move |(command, nth)| {
        bytes.clear();
        put_leaf(&mut bytes, &Carried::new(commit, command, nth), &records);
        *blake3::hash(&bytes).as_bytes()
    })
}

/// An event with what identifies it.
pub(crate) struct Carried<'a> {
    pub(crate) commit: CommitId,
    pub(crate) time: i64,
    pub(crate) index: u16,
    pub(crate) position: Position,
    pub(crate) sequence: u64,
    pub(crate) command: &'a CommandRecord,
    pub(crate) event: &'a EventData,
}

impl<'a> Carried<'a> {
    pub(crate) fn new(commit: &StoredCommit, command: &'a StoredCommand, nth: usize) -> Self {
        let index = command.first_index + nth as u16;
        Self {
            commit: commit.id,
            time: commit.time.as_micros(),
            index,
            position: commit.first_position + u64::from(index),
            sequence: command.first_sequence + nth as u64,
            command: &command.record,
            event: &command.record.events[nth],
        }
    }
}

/// The hash over the command records of a commit, without their events.
pub(crate) fn records(commit: &StoredCommit) -> Hash {
    let mut bytes = vec![RECORDS];
    bytes.extend_from_slice(&(commit.commands.len() as u32).to_le_bytes());
    for StoredCommand { record, first_sequence, .. } in &commit.commands {
        put_command(&mut bytes, record);
        bytes.push(u8::from(record.fingerprint.is_some()));
        record.fingerprint.iter().for_each(|fingerprint| bytes.extend_from_slice(&fingerprint.0));
        put_bytes(&mut bytes, &record.reply);
        bytes.extend_from_slice(&first_sequence.to_le_bytes());
        bytes.extend_from_slice(&(record.events.len() as u32).to_le_bytes());
    }
    *blake3::hash(&bytes).as_bytes()
}

fn put_leaf(bytes: &mut Vec<u8>, carried: &Carried<'_>, records: &Hash) {
    bytes.push(LEAF);
    bytes.extend_from_slice(&carried.position.to_le_bytes());
    bytes.extend_from_slice(&carried.commit.0);
    bytes.extend_from_slice(&carried.index.to_le_bytes());
    bytes.extend_from_slice(&carried.time.to_le_bytes());
    bytes.extend_from_slice(&carried.sequence.to_le_bytes());
    bytes.extend_from_slice(records);
    put_command(bytes, carried.command);
    let event = carried.event;
    put_text(bytes, &event.name);
    bytes.extend_from_slice(&event.version.to_le_bytes());
    bytes.push(event.content.code());
    bytes.extend_from_slice(&event.flags.0.to_le_bytes());
    bytes.extend_from_slice(&(event.tags.len() as u32).to_le_bytes());
    event.tags.iter().for_each(|tag| put_text(bytes, tag.as_str()));
    put_bytes(bytes, &event.payload);
}

/// Whose command it was, which, and its context.
fn put_command(bytes: &mut Vec<u8>, record: &CommandRecord) {
    [record.entity.tenant(), record.entity.kind(), record.entity.id()].into_iter().for_each(|text| put_text(bytes, text));
    bytes.extend_from_slice(&record.id.0);
    put_text(bytes, &record.name);
    put_context(bytes, &record.context);
}

fn put_context(bytes: &mut Vec<u8>, context: &Context) {
    let texts = context.texts();
    let present = texts.iter().enumerate().fold(0, |bits, (index, text)| bits | u8::from(text.is_some()) << (index + 1));
    bytes.push(present);
    texts.into_iter().flatten().for_each(|text| put_text(bytes, text));
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_bytes(bytes, text.as_bytes());
}

fn put_bytes(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
    bytes.extend_from_slice(part);
}
