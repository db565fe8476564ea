//! Doors to what is kept beside the log: the roots of its segments, the text of a root and the path of a proof, and what a backup says that
//! it holds.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::{disk, put, split};
use crate::commit::{CommandId, CommandRecord, Commit, ContentType, Context, EventData, EventFlags};
use crate::contract_traits::Journal as _;
use crate::cursor::{Cursor, LineageId};
use crate::embedded::evidence::{Root, hex};
use crate::embedded::frame::{POSITION_MAX, checksum};
use crate::embedded::merkle::{Leaves, root_from_path};
use crate::embedded::roots::{ChainEnd, ROOTS_LOG, RootLog, Roots};
use crate::embedded::{Backup, EmbeddedJournal, Options, PlantedBug, back_up};
use crate::key::EntityKey;
use crate::seams::Disk;
use crate::sim::{InlineSpawner, SimClock, SimDisk, SimRandom, Survival};
use crate::time::Timestamp;

const LINEAGE: LineageId = LineageId([7; 16]);
const MANIFEST: &str = "backup.json";
const SEGMENT_BYTES: u64 = 4 * 1024;
/// So many commits fill two segments.
const COMMITS: u64 = 24;

/// A log of roots: read, opened for writing, and gone on with.
pub fn roots(input: &[u8]) {
    let Some((mend, mut bytes)) = split(input) else { return };
    if mend {
        mend_roots(&mut bytes);
    }
    let disk = disk(ROOTS_LOG, &bytes);
    let read = || Roots::read(&*disk, LINEAGE).expect("a simulated disk gives its bytes").records.len();
    let there = read();
    let mut log = RootLog::open(&disk, LINEAGE).expect("a simulated disk takes a log");
    let kept = if log.aside.is_some() { 0 } else { there };
    let mut run = Leaves::from(log.end.leaves.next());
    run.push([1; 32]);
    log.append(run).expect("a simulated disk takes a record");
    assert_eq!(read(), kept + 1, "what is written behind a log is read again");
}

/// Makes each record follow from those before it: its place, its root, its link, its checksum.
fn mend_roots(bytes: &mut [u8]) {
    let (mut at, mut end) = (8, ChainEnd::beginning(LINEAGE));
    while let Some(record) = bytes.get_mut(at..) {
        let Some(length) = record.get(4..8).map(|length| u32::from_le_bytes(length.try_into().expect("four bytes")) as usize) else {
            return;
        };
        let Some(record) = record.get_mut(..length.saturating_add(8)).filter(|record| record.len() >= 9) else { return };
        mend_record(&mut record[9..], &mut end);
        let right = checksum(&record[4..]);
        record[..4].copy_from_slice(&right.to_le_bytes());
        at += record.len();
    }
}

/// The body of a record: segment, first position, event count, link, root, count, subtrees.
fn mend_record(body: &mut [u8], end: &mut ChainEnd) -> Option<()> {
    let count = u64::from_le_bytes(body.get(16..24)?.try_into().ok()?);
    let hashes: Vec<[u8; 32]> = body.get(92..)?.chunks_exact(32).map(|hash| hash.try_into().expect("thirty-two bytes")).collect();
    let first = end.leaves.next();
    let run = Leaves::of(first, first.checked_add(count).filter(|end| *end <= POSITION_MAX)?, &hashes)?;
    let record = end.next(run);
    body[..8].copy_from_slice(&record.segment.to_le_bytes());
    body[8..16].copy_from_slice(&record.first_position.to_le_bytes());
    body[24..56].copy_from_slice(&record.link);
    body[56..88].copy_from_slice(&record.root);
    body[88..92].copy_from_slice(&(hashes.len() as u32).to_le_bytes());
    assert!(end.take(&record), "a record that was just made follows");
    Some(())
}

/// A root as a person keeps it, and the path of a proof: the event's number, how many there are, and the hashes.
pub fn proof(input: &[u8]) {
    if let Some(root) = std::str::from_utf8(input).ok().and_then(|text| text.parse::<Root>().ok()) {
        assert_eq!(root.to_string().parse(), Ok(root), "a root has a text that says all of it");
    }
    let Some((numbers, hashes)) = input.split_first_chunk::<16>() else { return };
    let [number, size] = [0, 8].map(|at| u64::from_le_bytes(numbers[at..at + 8].try_into().expect("eight bytes")));
    let path: Vec<[u8; 32]> = hashes.chunks_exact(32).map(|hash| hash.try_into().expect("thirty-two bytes")).collect();
    let found = root_from_path([3; 32], number, size, &path);
    assert!(found.is_none() || number < size && path.len() <= 64, "{number} of {size} by {} hashes", path.len());
}

/// What a backup says that it holds: read, and gone on with. All else of it is whole.
pub fn backup(input: &[u8]) {
    let Some((mend, mut bytes)) = split(input) else { return };
    if mend {
        bytes = mended(&bytes).unwrap_or(bytes);
    }
    let (source, whole) = backed_up();
    let copy = whole.crash_with(Survival::Everything);
    let _ = copy.remove(MANIFEST);
    put(&copy, MANIFEST, &bytes);
    let copy: Arc<dyn Disk> = Arc::new(copy);
    if let Ok(backup) = Backup::open(Arc::clone(&copy), |_, _| {}) {
        black_box(backup.journal.commits(Cursor::BEGINNING).count());
    }
    black_box(back_up(source, &copy, Timestamp::from_micros(2), &mut |_| {}).is_ok());
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: String,
    version: u32,
    lineage: String,
    head: String,
    root: String,
    taken_us: i64,
    registers: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<LogFiles>,
    checksum: String,
}

#[derive(Serialize, Deserialize)]
struct LogFiles {
    full: u64,
    tail: Option<String>,
    roots_bytes: u64,
}

/// The same words with the checksum that belongs to them.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut manifest = Manifest { checksum: String::new(), ..serde_json::from_slice(bytes).ok()? };
    manifest.checksum = hex(&checksum(&serde_json::to_vec(&manifest).ok()?).to_be_bytes());
    serde_json::to_vec(&manifest).ok()
}

/// A journal, and a whole backup of it: the same ones each time.
fn backed_up() -> &'static (Arc<dyn Disk>, SimDisk) {
    static MADE: OnceLock<(Arc<dyn Disk>, SimDisk)> = OnceLock::new();
    MADE.get_or_init(|| {
        let (source, target) = (journal(), SimDisk::new(2));
        let copy: Arc<dyn Disk> = Arc::new(target.clone());
        back_up(&source, &copy, Timestamp::from_micros(1), &mut |_| {}).expect("a whole journal can be backed up");
        (source, target)
    })
}

fn journal() -> Arc<dyn Disk> {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let options = Options {
        disk: Arc::clone(&disk),
        clock: Arc::new(SimClock::new()),
        random: Arc::new(SimRandom::new(1)),
        spawner: Arc::new(InlineSpawner::new()),
        parent: None,
        segment_bytes: SEGMENT_BYTES..=SEGMENT_BYTES,
        planted: PlantedBug::None,
    };
    let (journal, stepper) = EmbeddedJournal::open_stepped(options).expect("an empty disk takes a journal");
    for number in 0..COMMITS {
        drop(journal.append(commit(number)));
        stepper.settle();
    }
    if let Some(marker) = stepper.take_marker() {
        let outcome = stepper.perform(&marker);
        stepper.complete(marker, outcome);
    }
    stepper.scrub();
    disk
}

fn commit(number: u64) -> Commit {
    let event = EventData {
        name: "added".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags(0),
        tags: Vec::new(),
        payload: vec![b'7'; 120].into(),
    };
    let command = CommandRecord {
        entity: EntityKey::new("cart", "c1").expect("the key fits"),
        id: CommandId::from_raw(&number.to_le_bytes()),
        name: "add".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Vec::new().into(),
        events: vec![event],
    };
    Commit { commands: vec![command], ..Commit::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is mended must be taken, or the fuzzer would only ever meet checksums.
    #[test]
    fn a_mended_manifest_and_a_mended_log_of_roots_are_taken() {
        let (_, whole) = backed_up();
        let file = whole.open(MANIFEST).unwrap();
        let mut manifest = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut manifest, 0).unwrap();
        assert_eq!(mended(&manifest).unwrap(), manifest, "its own checksum");
        let spoiled = String::from_utf8(manifest.clone()).unwrap().replace("checksum\":\"", "checksum\":\"0");
        assert_eq!(mended(spoiled.as_bytes()).unwrap(), manifest);

        let mut log = b"HWROOTS\x01".to_vec();
        for _ in 0..2 {
            log.extend_from_slice(&[0, 0, 0, 0, 125, 0, 0, 0, 1]);
            log.extend_from_slice(&[[0; 16], [1; 16]].concat());
            log.extend_from_slice(&[9; 60]);
            log.extend_from_slice(&[5; 32]);
            let (record, count) = (log.len() - 124, 1u64.to_le_bytes());
            log[record + 16..record + 24].copy_from_slice(&count);
        }
        mend_roots(&mut log);
        let roots = Roots::read(&*disk(ROOTS_LOG, &log), LINEAGE).unwrap();
        assert_eq!((roots.records.len(), roots.fault), (2, None));
    }
}
