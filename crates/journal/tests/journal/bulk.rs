//! Filling a directory in bulk, on simulated disks: whatever ends a writer, the next one goes on behind what is there, and what comes of
//! it is what a writer in one go makes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use headwater_journal::embedded::{
    BulkOptions, BulkWriter, ImportedCommand, ImportedCommit, ImportedPart, Left, LeftBehind, OpenError, Part, PlantedBug, ReadOnlyJournal,
    StoredCommit, Unfit, root,
};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{SimDisk, SimRandom, Survival};
use headwater_journal::{
    AppendError, CommandId, CommandRecord, Commit, CommitId, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Journal as _,
    Lineage, LineageId, ReadMode, Selection, Tag, Timestamp,
};

use crate::crashes::{Dice, now, open, read_all};

const ENTITIES: u64 = 9;

fn lineage() -> Lineage {
    Lineage { id: LineageId([7; 16]), parents: Vec::new(), family_key: [8; 32] }
}

fn options(disk: &Arc<SimDisk>, random: u64, fork: u64) -> BulkOptions {
    BulkOptions {
        disk: Arc::clone(disk) as Arc<dyn Disk>,
        random: Arc::new(SimRandom::new(random)),
        parent: (lineage(), fork),
        segment_bytes: 8 * 1024..=32 * 1024,
    }
}

/// A commit of a file, as it stands there.
#[derive(Clone)]
struct Line {
    id: CommitId,
    time: Timestamp,
    first_position: u64,
    commands: Vec<ImportedCommand>,
}

impl Line {
    fn imported(&self) -> ImportedCommit {
        ImportedCommit::new(self.id, self.time, self.first_position, self.commands.clone()).unwrap()
    }

    fn part(&self) -> ImportedPart {
        ImportedPart::Commit(self.imported())
    }
}

/// Commits as a file may have them: of one command or several, some without events, some with tags.
fn file(seed: u64, count: u64) -> Vec<Line> {
    let (mut dice, mut heads, mut position) = (Dice(seed), HashMap::new(), 1);
    let mut lines = Vec::new();
    for number in 0..count {
        let commands: Vec<_> = (0..1 + u64::from(dice.one_in(4))).map(|nth| command(&mut dice, &mut heads, number, nth)).collect();
        let id = CommitId([(number >> 8) as u8, number as u8].repeat(8).try_into().unwrap());
        let line = Line { id, time: Timestamp::from_micros(number as i64), first_position: position, commands };
        position = line.imported().last_position() + 1;
        lines.push(line);
    }
    lines
}

fn command(dice: &mut Dice, heads: &mut HashMap<u64, u64>, number: u64, nth: u64) -> ImportedCommand {
    let entity = dice.roll(ENTITIES);
    let head = heads.entry(entity).or_insert(0);
    let count = if nth > 0 && dice.one_in(3) { 0 } else { 1 + dice.roll(3) };
    let first_sequence = (count > 0).then_some(*head + 1);
    *head += count;
    let event = |size: u64| EventData {
        name: "added".into(),
        version: 1,
        content: ContentType::Other(9),
        flags: EventFlags(0),
        tags: if size.is_multiple_of(5) { vec![Tag::new("kind:tagged").unwrap()] } else { Vec::new() },
        payload: Bytes::from(vec![number as u8; size as usize]),
    };
    let record = CommandRecord {
        entity: EntityKey::new("cart", &entity.to_string()).unwrap(),
        id: CommandId::from_raw(format!("{number}.{nth}").as_bytes()),
        name: "add".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::from(format!("reply {number}")),
        events: (0..count).map(|_| event(dice.roll(900))).collect(),
    };
    ImportedCommand { record, first_sequence }
}

fn fork(file: &[Line]) -> u64 {
    file.last().map_or(0, |line| line.imported().last_position())
}

/// Goes on with what is there, to the end of the file; gives how many commits were there.
fn run(disk: &Arc<SimDisk>, random: u64, file: &[Line]) -> Result<usize, String> {
    let mut there = 0;
    let mut writer = match Left::find(options(disk, random, fork(file))).map_err(|error| error.to_string())? {
        LeftBehind::Beginning(mut left) => {
            while let Some(part) = left.next_part().map_err(|error| error.to_string())? {
                let Part::Commit(stored) = part else { panic!("nothing is gone") };
                assert!(file[there].imported().is_stored_as(&stored), "what is left is a beginning of the file");
                there += 1;
            }
            left.go_on().map_err(|error| error.to_string())?
        }
        LeftBehind::Nothing => BulkWriter::begin(options(disk, random, fork(file))).map_err(|error| error.to_string())?,
        LeftBehind::Other => panic!("it is of this file"),
    };
    for commit in &file[there..] {
        writer.append(&commit.part()).map_err(|unfit| unfit.to_string())?;
    }
    writer.finish().map_err(|error| error.to_string())?;
    Ok(there)
}

/// Takes so many commits and ends.
fn begin(disk: &Arc<SimDisk>, file: &[Line], count: usize) {
    let mut writer = BulkWriter::begin(options(disk, 1, fork(file))).unwrap();
    file[..count].iter().for_each(|commit| writer.append(&commit.part()).unwrap());
    writer.finish().unwrap();
}

/// All of the file is there, once, in its order; the root is that of the same in one go; a service goes on behind it.
fn check(disk: &Arc<SimDisk>, file: &[Line]) {
    let whole = stored(disk);
    assert_eq!(whole.len(), file.len());
    assert!(whole.iter().zip(file).all(|(stored, commit)| commit.imported().is_stored_as(stored)));
    let in_one_go = Arc::new(SimDisk::new(1));
    assert_eq!(run(&in_one_go, 99, file), Ok(0));
    let hash = |disk: &Arc<SimDisk>| root(&(Arc::clone(disk) as Arc<dyn Disk>), &mut || {}).unwrap().hash;
    assert_eq!(hash(disk), hash(&in_one_go));
    check_goes_on(disk, file);
}

fn stored(disk: &Arc<SimDisk>) -> Vec<StoredCommit> {
    let journal = ReadOnlyJournal::open(Arc::clone(disk) as _, |_, _| {}).unwrap();
    assert!(journal.damage().is_empty() && journal.notes().is_empty(), "{:?}", journal.notes());
    journal.commits(Cursor::BEGINNING).map(Result::unwrap).collect()
}

/// A service on it knows every command, and every entity's head.
fn check_goes_on(disk: &Arc<SimDisk>, file: &[Line]) {
    let (journal, stepper) = open(disk, Arc::new(SimRandom::new(5)), PlantedBug::None).unwrap();
    for record in file.iter().flat_map(|commit| &commit.commands).map(|command| &command.record) {
        let mut again = record.clone();
        again.events = vec![EventData { payload: Bytes::new(), ..file[0].commands[0].record.events[0].clone() }];
        let answer = journal.append(Commit { commands: vec![again], ..Commit::default() });
        stepper.settle();
        assert!(matches!(now(answer).unwrap(), Err(AppendError::Duplicate { .. })), "{}", record.id);
    }
    let fresh = CommandRecord { id: CommandId::from_raw(b"fresh"), ..file[0].commands[0].record.clone() };
    let count = |all: &mut dyn Iterator<Item = &CommandRecord>| {
        all.filter(|record| record.entity == fresh.entity).map(|record| record.events.len()).sum::<usize>()
    };
    let before = count(&mut file.iter().flat_map(|commit| &commit.commands).map(|command| &command.record));
    let answer = journal.append(Commit { commands: vec![fresh.clone()], ..Commit::default() });
    stepper.settle();
    assert_eq!(now(answer).unwrap().unwrap().commands[0].sequence, (before + fresh.events.len()) as u64);
    let all = read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap();
    assert_eq!(all.len() as u64, fork(file) + fresh.events.len() as u64);
}

#[test]
fn a_writer_that_ends_at_any_call_of_the_disk_is_gone_on_with() {
    let file = file(3, 90);
    let disk = Arc::new(SimDisk::new(1));
    run(&disk, 1, &file).unwrap();
    let calls = disk.calls();
    let segments = disk.list("").unwrap().iter().filter(|name| name.ends_with(".segment")).count();
    assert!(segments > 3, "{segments} segments");
    let (mut gone_on, mut anew) = (0, 0);
    for nth in 1..=calls {
        for (fails, survival) in [(true, Survival::Everything), (false, Survival::Nothing), (false, Survival::Any)] {
            let disk = Arc::new(SimDisk::new(nth));
            match fails {
                true => disk.fail_call(nth, false),
                false => disk.cut_power_at(nth),
            }
            if run(&disk, nth, &file).is_ok() {
                // What could not be read of a seal was not needed.
                assert!(fails, "call {nth}");
                check(&disk, &file);
                continue;
            }
            let disk = Arc::new(disk.crash_with(survival));
            let there = run(&disk, nth + 1000, &file).unwrap_or_else(|error| panic!("call {nth}: {error}"));
            (gone_on, anew) = (gone_on + usize::from(there > 0), anew + usize::from(there == 0));
            check(&disk, &file);
            assert!(!disk.list("").unwrap().iter().any(|name| name.ends_with(".tmp")), "call {nth}");
        }
    }
    assert!(gone_on > 10 && anew > 10, "{gone_on} {anew}");
}

#[test]
fn seals_of_a_writer_are_those_that_a_start_makes_of_its_segments() {
    let file = file(4, 120);
    let disk = Arc::new(SimDisk::new(1));
    run(&disk, 1, &file).unwrap();
    let names: Vec<_> = disk.list("").unwrap().into_iter().filter(|name| name.ends_with(".seal")).collect();
    let read = |name: &str| {
        let file = disk.open(name).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    };
    let made: Vec<_> = names.iter().map(|name| read(name)).collect();
    assert!(made.len() > 2, "{names:?}");
    names.iter().for_each(|name| disk.remove(name).unwrap());
    drop(open(&disk, Arc::new(SimRandom::new(5)), PlantedBug::None).unwrap());
    for (name, made) in names.iter().zip(made) {
        assert!(read(name) == made, "{name}");
    }
}

#[test]
fn seals_that_are_lost_or_damaged_are_made_again() {
    let file = file(5, 120);
    for damage in [0, 1, 2] {
        let disk = Arc::new(SimDisk::new(1));
        begin(&disk, &file, 80);
        let seals: Vec<_> = disk.list("").unwrap().into_iter().filter(|name| name.ends_with(".seal")).collect();
        assert!(!seals.is_empty());
        for name in seals {
            match damage {
                0 => disk.remove(&name).unwrap(),
                1 => disk.rot(&name, disk.open(&name).unwrap().len().unwrap() - 100, 3).unwrap(),
                _ => drop(disk.create(&name).unwrap()),
            }
        }
        assert!(run(&disk, 2, &file).unwrap() > 0);
        check(&disk, &file);
    }
}

#[test]
fn a_commit_that_could_not_have_been_appended_is_refused_and_leaves_nothing() {
    let file = file(6, 200);
    let disk = Arc::new(SimDisk::new(1));
    let mut writer = BulkWriter::begin(options(&disk, 1, fork(&file))).unwrap();
    let mut repeated = 0;
    for commit in &file {
        for (wrong, is_it) in wrong(commit, &file) {
            let said = writer.append(&wrong.part()).expect_err("it is wrong");
            assert!(is_it(&said), "{said}");
            repeated += u32::from(matches!(said, Unfit::Repeated { .. }));
        }
        writer.append(&commit.part()).unwrap();
    }
    assert!(repeated > 100, "commands of every segment before were tried");
    writer.finish().unwrap();
    check(&disk, &file);
}

type Wrong = (Line, fn(&Unfit) -> bool);

/// What a commit must not be.
fn wrong(commit: &Line, file: &[Line]) -> Vec<Wrong> {
    let changed = |change: &dyn Fn(&mut Line)| {
        let mut changed = commit.clone();
        change(&mut changed);
        changed
    };
    let mut all: Vec<Wrong> = vec![
        (changed(&|commit| commit.first_position += 1), |unfit| matches!(unfit, Unfit::Position { .. })),
        (changed(&|commit| shift(commit, 1)), |unfit| matches!(unfit, Unfit::Sequence { .. })),
    ];
    if commit.commands[0].first_sequence.is_some_and(|first| first > 1) {
        all.push((changed(&|commit| shift(commit, -1)), |unfit| matches!(unfit, Unfit::Sequence { .. })));
        all.push((changed(&|commit| commit.time = Timestamp::from_micros(-1)), |unfit| matches!(unfit, Unfit::Time { .. })));
    }
    // A command of long ago, of the same entity.
    let (entity, time) = (&commit.commands[0].record.entity, commit.time);
    let before = file.iter().filter(|other| other.time < time).flat_map(|other| &other.commands);
    if let Some(before) = before.map(|command| &command.record).find(|record| record.entity == *entity) {
        all.push((changed(&|commit| commit.commands[0].record.id = before.id), |unfit| matches!(unfit, Unfit::Repeated { command: 1 })));
    }
    all
}

fn shift(commit: &mut Line, by: i64) {
    let first = &mut commit.commands[0].first_sequence;
    *first = first.and_then(|first| first.checked_add_signed(by));
}

#[test]
fn what_is_left_of_another_history_or_is_not_whole_is_not_gone_on_with() {
    let file = file(7, 60);
    let disk = Arc::new(SimDisk::new(1));
    begin(&disk, &file, 40);
    let find = |disk: &Arc<SimDisk>, fork| Left::find(options(disk, 2, fork));
    assert!(matches!(find(&disk, fork(&file) + 1), Ok(LeftBehind::Other)), "another fork");
    assert!(matches!(find(&Arc::new(SimDisk::new(2)), fork(&file)), Ok(LeftBehind::Nothing)));
    let Ok(LeftBehind::Beginning(left)) = find(&disk, fork(&file)) else { panic!("it is a beginning") };
    assert!(left.go_on().is_err(), "nobody has looked at it");

    // The last segment: a writer's is whole to its last byte.
    let last = disk.list("").unwrap().into_iter().filter(|name| name.ends_with(".segment")).max().unwrap();
    let bytes = disk.open(&last).unwrap().len().unwrap();
    let mut missed = 0;
    for at in (0..bytes).step_by(350) {
        let damaged = Arc::new(disk.crash_with(Survival::Everything));
        damaged.rot(&last, at, 2).unwrap();
        match find(&damaged, fork(&file)).and_then(|left| read(left, &file)) {
            Err(OpenError::Damaged { .. }) => {}
            // What fills a frame up to its sector says nothing.
            Ok(40) => missed += 1,
            other => panic!("byte {at} of {last}: {other:?}"),
        }
    }
    assert!(missed < bytes / 350 / 10, "{missed} of {bytes} bytes by 350");
    // A service has been at work on it: its segments have room, and commits of its own.
    let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(5)), PlantedBug::None).unwrap();
    let own = CommandRecord { id: CommandId::from_raw(b"own"), ..file[0].commands[0].record.clone() };
    let answer = journal.append(Commit { commands: vec![own], ..Commit::default() });
    stepper.settle();
    now(answer).unwrap().unwrap();
    drop((journal, stepper));
    let Ok(LeftBehind::Beginning(mut left)) = find(&disk, fork(&file)) else { panic!("its identity is the same") };
    for line in &file[..40] {
        assert!(matches!(left.next_part().unwrap(), Some(Part::Commit(stored)) if line.imported().is_stored_as(&stored)));
    }
    assert!(matches!(left.next_part().unwrap(), Some(Part::Commit(stored)) if !file[40].imported().is_stored_as(&stored)));
    assert!(matches!(left.next_part(), Err(OpenError::Damaged { .. })), "there is room behind it");
}

/// Reads what is left; how many commits it is.
fn read(left: LeftBehind, file: &[Line]) -> Result<usize, OpenError> {
    let LeftBehind::Beginning(mut left) = left else { panic!("it is a beginning") };
    let mut there = 0;
    while let Some(part) = left.next_part()? {
        assert!(matches!(part, Part::Commit(stored) if file[there].imported().is_stored_as(&stored)), "what is given is whole");
        there += 1;
    }
    Ok(there)
}

#[test]
fn a_disk_without_room_keeps_no_half_of_a_segment_and_the_next_writer_goes_on() {
    let file = file(8, 120);
    let whole = Arc::new(SimDisk::new(1));
    run(&whole, 1, &file).unwrap();
    let mut gone_on = 0;
    for percent in (5..100).step_by(5) {
        let disk = Arc::new(SimDisk::new(percent));
        disk.set_capacity(Some(whole.used() * percent / 100));
        run(&disk, 1, &file).unwrap_err();
        assert!(!disk.list("").unwrap().iter().any(|name| name == "segment.tmp" || name == "seal.tmp"), "{percent}%");
        disk.set_capacity(None);
        gone_on += u32::from(run(&disk, 2, &file).unwrap() > 0);
        check(&disk, &file);
    }
    assert!(gone_on > 10, "{gone_on}");
}
