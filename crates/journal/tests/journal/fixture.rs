//! Format 1 as it was frozen: a committed data directory opens, reads, appends and reopens, and gives back what `expected.txt` says.
//!
//! `HEADWATER_WRITE_FIXTURE=1` writes it anew; that is a new format, or a mistake.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use headwater_journal::embedded::{EmbeddedJournal, Options, PlantedBug};
use headwater_journal::seams::{Disk, RealDisk};
use headwater_journal::sim::{InlineSpawner, SimClock, SimDisk, SimRandom};
use headwater_journal::{
    CommandId, CommandRecord, Commit, CommitId, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Fingerprint, Journal,
    Origin, ReadMode, Recorded, RegisterExpect, Registers, Selection, Tag, Timestamp,
};

use crate::crashes::{Run, now, open, read_all};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/journal-format-1")
}

/// What an event must be for ever, in one line.
fn line(event: &Recorded) -> String {
    let payload: u64 =
        event.payload.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let tags: Vec<_> = event.tags.iter().map(ToString::to_string).collect();
    let Context { correlation_id, causation_id, traceparent, principal } = &*event.context;
    let context = [correlation_id, causation_id, traceparent, principal].map(|text| text.as_deref().unwrap_or("-")).join(",");
    format!(
        "{} {} {} {} {} {} v{} {:?} {} {} {} {context} {}:{payload:016x}",
        event.position,
        event.id,
        event.entity,
        event.sequence,
        event.time,
        event.name,
        event.version,
        event.content,
        tags.join(","),
        event.command,
        event.command_name,
        event.payload.len()
    )
}

/// Writes what is on a simulated disk into the folder; zeros at the ends of segments are left out.
fn write(disk: &SimDisk) {
    drop(std::fs::remove_dir_all(folder()));
    std::fs::create_dir_all(folder()).unwrap();
    for name in disk.list("").unwrap().into_iter().filter(|name| name != "lock") {
        let file = disk.open(&name).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        if name.ends_with(".segment") {
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        }
        std::fs::write(folder().join(name), bytes).unwrap();
    }
}

/// A commit that has every part a commit can have: an id from elsewhere, a fingerprint, all of the context, a command without events.
fn everything() -> Commit {
    let text = |text: &str| Some(Arc::from(text));
    let event = |content, payload: &'static [u8]| EventData {
        name: "all".into(),
        version: 300,
        content,
        flags: EventFlags(0),
        tags: vec![Tag::new("a:1").unwrap(), Tag::new("b:\u{fc}").unwrap()],
        payload: Bytes::from_static(payload),
    };
    let command = |id: &[u8], entity: &str, events| CommandRecord {
        entity: EntityKey::with_tenant("acme", "thing", entity).unwrap(),
        id: CommandId::from_raw(id),
        name: "do-all".into(),
        fingerprint: Some(Fingerprint([7; 16])),
        context: Context {
            correlation_id: text("correlation"),
            causation_id: text("causation"),
            traceparent: text("trace"),
            principal: text("principal"),
        },
        reply: Bytes::from_static(b"[1]"),
        events,
    };
    Commit {
        commands: vec![
            command(
                b"all",
                "x/y",
                vec![event(ContentType::Json, b"{}"), event(ContentType::Cbor, b"\xa0"), event(ContentType::Protobuf, b"")],
            ),
            command(b"none", "z", Vec::new()),
        ],
        origin: Some(Origin { id: CommitId([9; 16]), time: Timestamp::from_micros(2_000_000_000_000_001) }),
        ..Commit::default()
    }
}

fn make() {
    let disk = Arc::new(SimDisk::new(11));
    let mut run = Run::new(11, PlantedBug::None);
    let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(11)), PlantedBug::None).unwrap();
    for _ in 0..60 {
        let (_, answer) = run.append(&journal);
        stepper.settle();
        now(answer).unwrap().unwrap();
    }
    let answer = journal.append(everything());
    stepper.settle();
    now(answer).unwrap().unwrap();
    now(journal.put("lease/a", RegisterExpect::Absent, vec![0, 0, 0, 0, 0, 0, 0, 5, 1].into())).unwrap().unwrap();
    let events = read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap();
    write(&disk);
    let lines: Vec<String> = events.iter().map(|event| line(event)).collect();
    std::fs::write(folder().join("expected.txt"), lines.join("\n") + "\n").unwrap();
}

/// The fixture on a simulated disk, its segments filled up with zeros again.
fn load() -> Arc<SimDisk> {
    let disk = Arc::new(SimDisk::new(12));
    let fixture = RealDisk::open(folder()).unwrap();
    for name in fixture.list("").unwrap().into_iter().filter(|name| name != "expected.txt") {
        let bytes = std::fs::read(folder().join(&name)).unwrap();
        let file = disk.create(&name).unwrap();
        file.write_at(&bytes, 0).unwrap();
        if name.ends_with(".segment") {
            file.set_len(u64::from_le_bytes(bytes[32..40].try_into().unwrap())).unwrap();
        }
        file.sync().unwrap();
    }
    disk.sync_directory().unwrap();
    disk
}

fn open_as_shipped(disk: &Arc<SimDisk>, seed: u64) -> (EmbeddedJournal, headwater_journal::embedded::Stepper) {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as _;
    EmbeddedJournal::open_stepped(Options {
        disk,
        clock: Arc::new(SimClock::new()),
        random: Arc::new(SimRandom::new(seed)),
        spawner: Arc::new(InlineSpawner::new()),
        parent: None,
        segment_bytes: headwater_journal::embedded::limits::SEGMENT_BYTES,
        planted: PlantedBug::None,
    })
    .unwrap()
}

fn lines(journal: &EmbeddedJournal) -> Vec<String> {
    let events = read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap();
    events.iter().map(|event| line(event)).collect()
}

#[test]
fn format_1_opens_reads_appends_and_reopens() {
    if std::env::var_os("HEADWATER_WRITE_FIXTURE").is_some() {
        make();
    }
    let expected = std::fs::read_to_string(folder().join("expected.txt")).unwrap();
    let expected: Vec<String> = expected.lines().map(str::to_owned).collect();
    let disk = load();
    let whole = crate::salvage::all_that_is_there(&disk).unwrap();
    assert_eq!(whole.iter().map(|event| line(event)).collect::<Vec<_>>(), expected);
    let (journal, stepper) = open_as_shipped(&disk, 1);
    assert_eq!(lines(&journal), expected);
    let register = now(journal.get("lease/a")).unwrap().unwrap().expect("the register is there");
    assert_eq!(headwater_journal::epoch_of(&register.value), Some(5));

    let (all, none) = (EntityKey::with_tenant("acme", "thing", "x/y").unwrap(), EntityKey::with_tenant("acme", "thing", "z").unwrap());
    for (entity, id, sequence, count) in [(all, "all", 3, 3), (none, "none", 0, 0)] {
        let found = now(journal.find_command(&entity, CommandId::from_raw(id.as_bytes()))).unwrap().unwrap().expect("its record is there");
        assert_eq!((found.sequence, found.event_count, &*found.name), (sequence, count, "do-all"));
        assert_eq!((found.fingerprint, found.reply.as_deref()), (Some(Fingerprint([7; 16])), Some(&b"[1]"[..])));
    }

    let mut run = Run::new(99, PlantedBug::None);
    let mut first = run.commit();
    first.commands.iter_mut().for_each(|command| command.id = headwater_journal::CommandId::from_raw(b"after the freeze"));
    first.commands.truncate(1);
    let answer = journal.append(first);
    stepper.settle();
    let committed = now(answer).unwrap().unwrap();
    let grown = lines(&journal);
    assert_eq!(committed.cursor.position(), grown.len() as u64);
    assert!(grown.len() > expected.len());
    assert_eq!(grown[..expected.len()], expected);
    drop(journal);
    let (journal, _) = open_as_shipped(&disk, 2);
    assert_eq!(lines(&journal), grown);
}
