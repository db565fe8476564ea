//! Tamper evidence against somebody who can write to the directory, knows the format and mends every checksum: what a reader gets
//! changed in any way is found, by a root that was kept elsewhere; and by the roots beside the log, unless these are made anew too.
//! `HEADWATER_TAMPER_ROUNDS` sets how many random changes are tried (10,000 unless it says otherwise), `HEADWATER_SIM_SEED` which.

use std::sync::Arc;

use bytes::Bytes;
use headwater_journal::embedded::{
    EmbeddedJournal, Options, PlantedBug, ReadOnlyJournal, Root, Stepper, StoredCommit, WantedEvent, prove, root, verify_against,
};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{InlineSpawner, SimClock, SimDisk, SimRandom};
use headwater_journal::{
    CommandId, CommandRecord, Commit, CommitId, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, EventId, Fingerprint,
    Journal as _, Origin, Tag, Timestamp,
};

use crate::crashes::{self, now};
use crate::salvage::content;
use crate::sim::setting;

const ROOTS: &str = "roots.log";

/// A commit with every part that a commit can have, among them a command without events.
fn commit(number: u64) -> Commit {
    let text = |text: &str| Some(Arc::from(format!("{text}{number}")));
    let event = |nth: u64| EventData {
        name: format!("e{nth}").into(),
        version: 2,
        content: ContentType::Json,
        flags: EventFlags(0),
        tags: vec![Tag::new(&format!("n:{number}")).unwrap()],
        payload: Bytes::from(format!("{{\"n\":{}}}", number * 10 + nth)),
    };
    let command = |nth: u64, events| CommandRecord {
        entity: EntityKey::with_tenant("acme", "thing", &format!("{}", (number + nth) % 3)).unwrap(),
        id: CommandId::from_raw(format!("{number}.{nth}").as_bytes()),
        name: "do".into(),
        fingerprint: (nth == 0).then_some(Fingerprint([7; 16])),
        context: Context { correlation_id: text("c"), causation_id: None, traceparent: None, principal: text("p") },
        reply: Bytes::from(format!("[{number}]")),
        events,
    };
    let quiet = number.is_multiple_of(4).then(|| command(1, Vec::new()));
    Commit { commands: std::iter::once(command(0, (0..1 + number % 3).map(event).collect())).chain(quiet).collect(), ..Commit::default() }
}

fn options(disk: &Arc<SimDisk>) -> Options {
    Options {
        clock: Arc::new(SimClock::stepping(Timestamp::from_micros(1_000_000), 1_001)),
        spawner: Arc::new(InlineSpawner::new()),
        segment_bytes: 4 * 1024..=8 * 1024,
        ..crashes::options(disk, Arc::new(SimRandom::new(7)), PlantedBug::None)
    }
}

/// What an attacker changes lies in the plain: a packed segment is unpacked, changed and packed again as easily.
fn opened(disk: &Arc<SimDisk>) -> (EmbeddedJournal, Stepper) {
    let (journal, stepper) = EmbeddedJournal::open_stepped(options(disk)).unwrap();
    journal.set_packing(false);
    (journal, stepper)
}

/// A journal with these commits, its marker written, its roots kept. The same seed makes the same history every time.
fn journal_of(commits: impl IntoIterator<Item = Commit>) -> Arc<SimDisk> {
    let disk = Arc::new(SimDisk::new(7));
    let (journal, stepper) = opened(&disk);
    for commit in commits {
        let answer = journal.append(commit);
        stepper.settle();
        now(answer).unwrap().unwrap();
    }
    finish(&stepper);
    disk
}

fn finish(stepper: &Stepper) {
    if let Some(marker) = stepper.take_marker() {
        let outcome = stepper.perform(&marker);
        stepper.complete(marker, outcome);
    }
    stepper.scrub();
}

fn dynamic(disk: &Arc<SimDisk>) -> Arc<dyn Disk> {
    Arc::clone(disk) as _
}

fn commits_of(disk: &Arc<SimDisk>) -> Option<Vec<StoredCommit>> {
    let journal = ReadOnlyJournal::open(dynamic(disk), |_, _| {}).ok()?;
    journal.commits(Cursor::BEGINNING).collect::<Result<_, _>>().ok()
}

fn damage(disk: &Arc<SimDisk>, asked: Option<&Root>) -> Vec<String> {
    match verify_against(&dynamic(disk), asked, |_| {}) {
        Ok(verified) => verified.damage,
        Err(error) => vec![error.to_string()],
    }
}

fn segments(disk: &SimDisk) -> Vec<String> {
    let mut names: Vec<String> = disk.list("").unwrap().into_iter().filter(|name| name.ends_with(".segment")).collect();
    names.sort();
    names
}

/// CRC-32C, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ ((sum & 1) * 0x82f6_3b78)))
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let length = bytes.iter().take(9).position(|byte| *byte < 0x80)? + 1;
    Some((bytes[..length].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)), length))
}

/// What an attacker does: every checksum and the chain over all frames fit again, as far as there are frames to be found.
fn mend(segments: &mut [Vec<u8>]) {
    let mut previous = 0;
    for bytes in segments {
        bytes[8..12].fill(0);
        let sum = crc(&bytes[..512]);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        let mut at = 512;
        while let Some(length) = frame_length(bytes, at) {
            mend_sections(&mut bytes[at..at + length]);
            bytes[at + 12..at + 16].copy_from_slice(&u32::to_le_bytes(previous));
            previous = crc(&bytes[at + 8..at + length]);
            bytes[at + 4..at + 8].copy_from_slice(&previous.to_le_bytes());
            at += length.next_multiple_of(512);
        }
    }
}

fn frame_length(bytes: &[u8], at: usize) -> Option<usize> {
    let head = bytes.get(at..at + 64).filter(|head| &head[..4] == b"HWFR")?;
    let length = u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize;
    (length >= 64 && at + length <= bytes.len()).then_some(length)
}

fn mend_sections(frame: &mut [u8]) {
    let (mut at, count) = (64, u16::from_le_bytes([frame[52], frame[53]]));
    for _ in 0..count {
        let Some((_, kind)) = frame.get(at..).and_then(varint) else { return };
        let Some((length, width)) = varint(&frame[at + kind..]) else { return };
        let payload = at + kind + width + 4;
        let Some(end) = payload.checked_add(length as usize).filter(|end| *end <= frame.len()) else { return };
        let sum = crc(&frame[payload..end]);
        frame[payload - 4..payload].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}

/// A closed directory that is copied and tampered with.
struct Target {
    disk: Arc<SimDisk>,
    names: Vec<String>,
    segments: Vec<Vec<u8>>,
    commits: Vec<StoredCommit>,
    root: Root,
}

impl Target {
    fn new() -> Self {
        let disk = journal_of((0..24).map(commit));
        let names = segments(&disk);
        let segments = names.iter().map(|name| content(&disk, name)).collect();
        Self { commits: commits_of(&disk).unwrap(), root: root(&dynamic(&disk), &mut || {}).unwrap(), segments, names, disk }
    }

    /// Where bytes are that mean something: the header and the frames.
    fn used(&self, nth: usize) -> usize {
        let bytes = &self.segments[nth];
        bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| (last + 1).next_multiple_of(512))
    }

    fn with(&self, segments: &[Vec<u8>]) -> Arc<SimDisk> {
        let copy = Arc::new(self.disk.crash());
        for (name, bytes) in self.names.iter().zip(segments) {
            copy.open(name).unwrap().write_at(bytes, 0).unwrap();
        }
        // What can be made again from the log would only give the attacker away.
        self.disk.list("").unwrap().iter().filter(|name| name.ends_with(".seal")).for_each(|name| copy.remove(name).unwrap());
        copy
    }

    /// Whether the change was found, and whether it changed anything; found by the root alone, and then by what lies beside the log.
    fn check(&self, segments: &[Vec<u8>], what: &str) -> bool {
        let copy = self.with(segments);
        let kept = damage(&copy, None);
        copy.remove(ROOTS).unwrap();
        let found = damage(&copy, Some(&self.root));
        let anywhere = damage(&copy, Some(&Root { cursor: None, ..self.root }));
        let same = commits_of(&copy).is_some_and(|commits| commits == self.commits);
        assert!(same || !found.is_empty() && !anywhere.is_empty(), "{what}: the root did not find it");
        let sealed = self.sealed_events();
        let early = commits_of(&copy).is_some_and(|commits| commits.get(..sealed) == Some(&self.commits[..sealed]));
        assert!(early || !kept.is_empty(), "{what}: the kept roots did not find it");
        !same
    }

    /// How many commits lie in segments whose roots are kept.
    fn sealed_events(&self) -> usize {
        let last = self.last_kept();
        self.commits.iter().filter(|commit| commit.last_position() <= last).count()
    }

    fn last_kept(&self) -> u64 {
        let log = content(&self.disk, ROOTS);
        let (mut at, mut last) = (8, 0);
        while at < log.len() {
            let word = |from: usize| u64::from_le_bytes(log[at + from..at + from + 8].try_into().unwrap());
            last = word(17) + word(25) - 1;
            at += 8 + u32::from_le_bytes(log[at + 4..at + 8].try_into().unwrap()) as usize;
        }
        last
    }
}

#[test]
fn an_honest_copy_fits_its_roots() {
    let target = Target::new();
    assert!(target.last_kept() > 10, "several segments have roots: {}", target.last_kept());
    let verified = verify_against(&dynamic(&target.disk), Some(&target.root), |_| {}).unwrap();
    assert_eq!((verified.damage, verified.notes), (Vec::new(), Vec::new()));
    assert_eq!((verified.root, verified.found), (Some(target.root), target.root.cursor));
    let mended = {
        let mut segments = target.segments.clone();
        mend(&mut segments);
        segments
    };
    assert_eq!(mended, target.segments, "an attacker who changes nothing leaves everything as it was");
    assert!(!target.check(&mended, "nothing changed"));
    assert_eq!(target.root.to_string().parse(), Ok(target.root));
}

#[test]
fn every_byte_of_a_log_changed_with_fitting_checksums_is_found() {
    let (target, mut changed) = (Target::new(), 0);
    for nth in 0..target.segments.len() {
        for offset in 0..target.used(nth) {
            let mut segments = target.segments.clone();
            segments[nth][offset] ^= 1 << (offset % 8);
            mend(&mut segments);
            changed += u64::from(target.check(&segments, &format!("{} byte {offset}", target.names[nth])));
        }
    }
    assert!(changed > 3_000, "only {changed} changes meant anything");
}

#[test]
fn random_changes_with_fitting_checksums_are_found() {
    let (seed, rounds) = (setting("HEADWATER_SIM_SEED", 41), setting("HEADWATER_TAMPER_ROUNDS", 10_000));
    let (target, dice, mut changed) = (Target::new(), SimRandom::new(seed), 0u64);
    for round in 0..rounds {
        let mut segments = target.segments.clone();
        for _ in 0..1 + dice.below(4) {
            let nth = dice.below(segments.len() as u64) as usize;
            let used = target.used(nth) as u64;
            let (at, length) = (dice.below(used) as usize, 1 + dice.below(40) as usize);
            let end = (at + length).min(segments[nth].len());
            match dice.below(4) {
                0 => segments[nth][at..end].iter_mut().for_each(|byte| *byte = dice.roll() as u8),
                1 => segments[nth][at..end].fill(0),
                2 => segments[nth].copy_within(dice.below(used) as usize..used as usize - 1, 512.min(at)),
                _ => segments[nth][at] = segments[nth][at].wrapping_add(1),
            }
            segments[nth].truncate(target.segments[nth].len());
        }
        mend(&mut segments);
        changed += u64::from(target.check(&segments, &format!("seed {seed}, round {round}")));
    }
    println!("seed {seed}: {rounds} changes, {changed} of them change what a reader gets, all found");
    assert!(changed > rounds / 2, "only {changed} of {rounds} changes meant anything");
}

/// The commits as an import would append them: ids and times stay.
fn again(commits: &[StoredCommit]) -> Vec<Commit> {
    let again = |stored: &StoredCommit| Commit {
        commands: stored.commands.iter().map(|command| command.record.clone()).collect(),
        origin: Some(Origin { id: stored.id, time: stored.time }),
        ..Commit::default()
    };
    commits.iter().map(again).collect()
}

/// The strongest attacker writes the whole log anew, roots included, with the engine itself.
#[test]
fn a_log_that_is_written_anew_otherwise_is_found() {
    let target = Target::new();
    let honest = journal_of(again(&target.commits));
    assert_eq!(damage(&honest, Some(&target.root)), Vec::<String>::new(), "the same events have the same root, however they lie");
    let mut attacks: Vec<(String, Vec<Commit>)> = Vec::new();
    for nth in 0..target.commits.len() {
        let mut attack = |what: &str, change: &dyn Fn(&mut Vec<Commit>)| {
            let mut commits = again(&target.commits);
            change(&mut commits);
            attacks.push((format!("{what} {nth}"), commits));
        };
        attack("deleted", &|commits| drop(commits.remove(nth)));
        attack("cut behind", &|commits| commits.truncate(nth));
        attack("inserted", &|commits| commits.insert(nth, commit(1_000)));
        attack("payload", &|commits| commits[nth].commands[0].events[0].payload = "{}".into());
        attack("name", &|commits| commits[nth].commands[0].events[0].name = "other".into());
        attack("version", &|commits| commits[nth].commands[0].events[0].version += 1);
        attack("tags", &|commits| commits[nth].commands[0].events[0].tags.clear());
        attack("reply", &|commits| commits[nth].commands[0].reply = "[]".into());
        attack("principal", &|commits| commits[nth].commands[0].context.principal = Some("somebody else".into()));
        attack("fingerprint", &|commits| commits[nth].commands[0].fingerprint = None);
        attack("id", &|commits| commits[nth].origin.as_mut().unwrap().id = CommitId([1; 16]));
        attack("time", &|commits| {
            let origin = commits[nth].origin.as_mut().unwrap();
            origin.time = Timestamp::from_micros(origin.time.as_micros() + 1);
        });
        if nth > 0 {
            attack("swapped", &|commits| commits.swap(nth - 1, nth));
        }
    }
    for (what, commits) in attacks {
        let forged = journal_of(commits);
        assert_eq!(damage(&forged, None), Vec::<String>::new(), "{what}: beside its own roots it is spotless");
        assert_eq!(damage(&forged, Some(&target.root)).len(), 1, "{what}");
    }
}

#[test]
fn a_root_is_found_again_after_the_log_has_gone_on() {
    let disk = Arc::new(SimDisk::new(7));
    let (journal, stepper) = opened(&disk);
    let mut taken = Vec::new();
    for number in 0..40 {
        let answer = journal.append(commit(number));
        stepper.settle();
        now(answer).unwrap().unwrap();
        if number % 3 == 0 {
            finish(&stepper);
            taken.push(root(&dynamic(&Arc::new(disk.crash())), &mut || {}).unwrap());
        }
    }
    finish(&stepper);
    drop((journal, stepper));
    assert!(taken.len() > 10);
    let first = ReadOnlyJournal::open(dynamic(&disk), |_, _| {}).unwrap().commits(Cursor::BEGINNING).next().unwrap().unwrap();
    for root in &taken {
        let proof = prove(&dynamic(&disk), &WantedEvent::Id(first.events().next().unwrap().id), Some(root), &mut || {}).unwrap().unwrap();
        assert_eq!((proof.root, proof.event_count), (*root, root.cursor.unwrap().position()), "an event is proved under an older root too");
        for asked in [*root, Root { cursor: None, ..*root }] {
            let verified = verify_against(&dynamic(&disk), Some(&asked), |_| {}).unwrap();
            assert_eq!((verified.damage, verified.found), (Vec::new(), root.cursor));
        }
        let moved = Root { cursor: taken.iter().find(|other| other.cursor != root.cursor).unwrap().cursor, ..*root };
        assert_eq!(damage(&disk, Some(&moved)).len(), 1, "a root of another place is not this place's");
    }
}

#[test]
fn a_cut_tail_and_a_changed_event_are_named() {
    let target = Target::new();
    let shorter = journal_of(again(&target.commits[..20]));
    let said = damage(&shorter, Some(&target.root)).concat();
    assert!(said.contains("its tail is cut"), "{said}");
    // Its roots are those of the longer log: the attacker forgot them.
    let log = content(&target.disk, ROOTS);
    let few = journal_of(again(&target.commits[..3]));
    few.create(ROOTS).unwrap().write_at(&log, 0).unwrap();
    let said = damage(&few, None).concat();
    assert!(said.contains("roots are kept up to") && said.contains("its tail is cut"), "{said}");

    let mut commits = again(&target.commits);
    commits[2].commands[0].events[0].payload = "{\"n\":7}".into();
    let changed = journal_of(commits);
    changed.create(ROOTS).unwrap().write_at(&log, 0).unwrap();
    let position = target.commits[2].first_position;
    let said = damage(&changed, None);
    let range = said[0].split("positions ").nth(1).unwrap_or_else(|| panic!("{said:?}"));
    let numbers: Vec<u64> = range.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!((numbers[0]..=numbers[1]).contains(&position), "{said:?} names position {position}");
}

#[test]
fn a_damaged_log_of_roots_is_said_and_made_again() {
    let target = Target::new();
    for at in (0..content(&target.disk, ROOTS).len() as u64).step_by(13) {
        let copy = Arc::new(target.disk.crash());
        copy.rot(ROOTS, at, 2).unwrap();
        let torn = damage(&copy, None).is_empty();
        let (journal, stepper) = opened(&copy);
        stepper.scrub();
        let told = journal.scrub_status().unwrap().damage;
        assert!(torn || told.len() == 1 && told[0].contains("roots-1.aside"), "byte {at}: {told:?}");
        drop((journal, stepper));
        assert_eq!(content(&copy, ROOTS), content(&target.disk, ROOTS), "byte {at}");
        assert_eq!(damage(&copy, Some(&target.root)), Vec::<String>::new());
    }
}

/// Somebody who changes it and mends its checksums: each record follows from those before it, by its root and its link.
#[test]
fn a_log_of_roots_that_is_changed_with_fitting_checksums_is_said() {
    let target = Target::new();
    let log = content(&target.disk, ROOTS);
    let (mut at, mut changed) = (8, 0);
    while at < log.len() {
        let end = at + 8 + u32::from_le_bytes(log[at + 4..at + 8].try_into().unwrap()) as usize;
        // Behind the kind: a record of another kind is passed over.
        for byte in at + 9..end {
            let mut forged = log.clone();
            forged[byte] ^= 1 << (byte % 8);
            let right = crc(&forged[at + 4..end]);
            forged[at..at + 4].copy_from_slice(&right.to_le_bytes());
            let copy = Arc::new(target.disk.crash());
            copy.create(ROOTS).unwrap().write_at(&forged, 0).unwrap();
            assert!(!damage(&copy, None).is_empty(), "byte {byte}");
            changed += 1;
        }
        at = end;
    }
    assert!(changed > 200, "{changed}");
}

#[test]
fn segments_that_an_older_version_sealed_get_their_roots() {
    let target = Target::new();
    let copy = Arc::new(target.disk.crash());
    copy.remove(ROOTS).unwrap();
    assert_eq!(damage(&copy, Some(&target.root)), Vec::<String>::new());
    let (journal, stepper) = opened(&copy);
    stepper.scrub();
    let roots = journal.scrub_status().unwrap().roots;
    assert!(roots.0 > 1 && roots.0 == roots.1, "{roots:?}");
    drop((journal, stepper));
    assert_eq!(content(&copy, ROOTS), content(&target.disk, ROOTS));
}

#[test]
fn a_bit_that_rots_at_rest_is_found_in_one_pass_and_no_other_read_fails() {
    let target = Target::new();
    let last = target.last_kept();
    let mut tried = 0;
    for nth in 0..target.segments.len() {
        for offset in (512..target.used(nth) as u64).step_by(97) {
            let copy = Arc::new(target.disk.crash());
            let (journal, stepper) = opened(&copy);
            stepper.scrub();
            assert_eq!(journal.scrub_status().unwrap().damage, Vec::<String>::new());
            copy.rot(&target.names[nth], offset, (offset % 8) as u8).unwrap();
            stepper.scrub();
            let status = journal.scrub_status().unwrap();
            assert_eq!((status.running, status.passes), (false, 2));
            let number: u64 = target.names[nth][..10].parse().unwrap();
            let sealed = target.commits.iter().filter(|commit| commit.last_position() <= last).count() > 0 && number <= status.roots.0;
            let padding = status.damage.is_empty() && commits_of(&Arc::new(copy.crash())).is_some_and(|commits| commits == target.commits);
            assert!(
                !sealed || padding || status.damage.len() == 1 && status.damage[0].contains(&format!("segment {number}:")),
                "{status:?}"
            );
            tried += u64::from(sealed && !padding);
            drop((journal, stepper));
        }
    }
    assert!(tried > 20, "only {tried} bits lay in sealed frames");
}

#[test]
fn every_event_can_be_proved_by_its_id_and_by_its_entity() {
    let target = Target::new();
    for kept in [true, false] {
        let copy = Arc::new(target.disk.crash());
        if !kept {
            copy.remove(ROOTS).unwrap();
        }
        let disk = dynamic(&copy);
        for event in target.commits.iter().flat_map(StoredCommit::events) {
            for wanted in [WantedEvent::Id(event.id), WantedEvent::Sequence(event.entity.clone(), event.sequence)] {
                let proof = prove(&disk, &wanted, None, &mut || {}).unwrap().unwrap_or_else(|| panic!("{wanted:?}"));
                assert_eq!((proof.root, &proof.event), (target.root, &event));
                assert!(proof.path.len() <= 8, "{}", proof.path.len());
            }
        }
        let nobody = EventId { commit: CommitId([9; 16]), index: 0 };
        assert!(prove(&disk, &WantedEvent::Id(nobody), None, &mut || {}).unwrap().is_none());
        let nobody = EntityKey::new("thing", "0").unwrap();
        assert!(prove(&disk, &WantedEvent::Sequence(nobody, 1), None, &mut || {}).unwrap().is_none());
    }
}

#[test]
fn an_event_that_was_changed_is_not_proved_against_the_kept_roots() {
    let target = Target::new();
    let log = content(&target.disk, ROOTS);
    let mut commits = again(&target.commits);
    commits[2].commands[0].events[0].payload = "{\"n\":7}".into();
    let changed = journal_of(commits);
    changed.create(ROOTS).unwrap().write_at(&log, 0).unwrap();
    let event = target.commits[2].events().next().unwrap();
    let error = prove(&dynamic(&changed), &WantedEvent::Sequence(event.entity, event.sequence), None, &mut || {}).unwrap_err();
    assert!(error.to_string().contains("not those that the root was made of"), "{error}");
}

/// `docs/format.md` gives this vector; another program must come to the same.
#[test]
fn the_leaf_and_the_root_of_the_published_event_are_as_published() {
    let command = CommandRecord {
        entity: EntityKey::with_tenant("acme", "cart", "c1").unwrap(),
        id: CommandId([0x11; 16]),
        name: "add-item".into(),
        fingerprint: Some(Fingerprint([0x22; 16])),
        context: Context { correlation_id: Some("corr".into()), causation_id: None, traceparent: None, principal: Some("ann".into()) },
        reply: Bytes::from_static(b"null"),
        events: vec![EventData {
            name: "item-added".into(),
            version: 1,
            content: ContentType::Json,
            flags: EventFlags(0),
            tags: vec![Tag::new("sku:a").unwrap()],
            payload: Bytes::from_static(b"{\"sku\":\"a\"}"),
        }],
    };
    let origin = Origin { id: CommitId([0x33; 16]), time: Timestamp::from_micros(1_795_248_000_000_007) };
    let disk = journal_of([Commit { commands: vec![command], origin: Some(origin), ..Commit::default() }]);
    let proof = prove(&dynamic(&disk), &WantedEvent::Sequence(EntityKey::with_tenant("acme", "cart", "c1").unwrap(), 1), None, &mut || {})
        .unwrap()
        .unwrap();
    let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(proof.records), "136b39e95b534fb9c1212b03adbb1b8c0f5b9d2b74868d8edaf45266dfb39f4b");
    assert_eq!(hex(proof.leaf), "9685960f8c4297acaac9ed424034e89390763e094be9bea48834e161bb89d524");
    assert_eq!((proof.root.hash, proof.path), (proof.leaf, Vec::new()));
}
