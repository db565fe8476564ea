//! What an event costs on the disk, when 64 writers share each write: the layout's bar (ADR 5).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use headwater_journal::embedded::{EmbeddedJournal, Options, PlantedBug, limits};
use headwater_journal::sim::{CallKind, SimDisk, SimRandom};
use headwater_journal::{
    CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Fingerprint, Journal as _,
};

use crate::crashes::{now, options};

const WRITERS: u64 = 64;
const ROUNDS: u64 = 64;
const PAYLOAD_BYTES: u64 = 200;

/// One event of 200 bytes, named as the journal's benchmark names its own.
pub(crate) fn commit(writer: u64, number: u64, fingerprint: Option<Fingerprint>) -> Commit {
    let event = EventData {
        name: "measured".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: vec![b'x'; PAYLOAD_BYTES as usize].into(),
    };
    let command = CommandRecord {
        entity: EntityKey::new("bench", &format!("0-{writer}")).unwrap(),
        id: CommandId::from_raw(&number.to_le_bytes()),
        name: "measure".into(),
        fingerprint,
        context: Context::default(),
        reply: Bytes::from_static(b"null"),
        events: vec![event],
    };
    Commit { commands: vec![command], ..Commit::default() }
}

/// The bytes beside the payload that an event costs, in hundredths.
fn overhead(fingerprint: Option<Fingerprint>) -> u64 {
    let disk = Arc::new(SimDisk::new(1));
    let written = Arc::new(AtomicU64::new(0));
    let sum = Arc::clone(&written);
    disk.on_call(move |call| {
        if call.kind == CallKind::WriteDurable {
            sum.fetch_add(call.bytes as u64, Ordering::Relaxed);
        }
    });
    let options = Options { segment_bytes: limits::SEGMENT_BYTES, ..options(&disk, Arc::new(SimRandom::new(1)), PlantedBug::None) };
    let (journal, stepper) = EmbeddedJournal::open_stepped(options).unwrap();
    for number in 0..ROUNDS {
        let answers: Vec<_> = (0..WRITERS).map(|writer| journal.append(commit(writer, number, fingerprint))).collect();
        stepper.settle();
        answers.into_iter().for_each(|answer| drop(now(answer).unwrap().unwrap()));
    }
    (written.load(Ordering::Relaxed) * 100).div_ceil(WRITERS * ROUNDS) - PAYLOAD_BYTES * 100
}

#[test]
fn an_event_at_64_writers_costs_what_the_layout_says() {
    let (plain, over_http) = (overhead(None), overhead(Some(Fingerprint([7; 16]))));
    println!("bytes beside the payload, in hundredths: {plain}, with a fingerprint {over_http}");
    assert!(plain <= 8_800, "{plain}");
    assert!(over_http <= 10_400, "{over_http}");
}
