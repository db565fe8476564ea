//! The embedded engine on a simulated disk, driven in one thread from a seed: crashes that drop, tear and reorder what was not
//! synced, at any step, again and again. A witness outside the journal holds what was acknowledged.
//!
//! After each crash the journal opens unaided; every acknowledged commit is there with its positions, sequences and reply; a
//! commit that was not acknowledged is there whole or not at all; its command id says which; nothing else is there.
//! `HEADWATER_CRASH_SEEDS` sets how many seeds run (2,000 unless it says otherwise).

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use headwater_journal::embedded::{EmbeddedJournal, HeldWrite, Options, PlantedBug, Stepper};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{CallKind, InlineSpawner, SimClock, SimDisk, SimRandom};
use headwater_journal::{
    AppendError, CommandId, CommandRecord, Commit, Committed, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Events,
    Journal, Read, ReadMode, Recorded, Selection, Tag,
};

use crate::{salvage, size};

const LIVES: u64 = 4;
const STEPS_A_LIFE: u64 = 60;
const ENTITIES: u64 = 6;

/// Rare paths that a run must reach to mean something.
#[derive(Default, Debug)]
struct Reached {
    acknowledged: u64,
    unacknowledged_kept: u64,
    unacknowledged_lost: u64,
    tails_aside: u64,
    rolls: u64,
    holes: u64,
}

impl Reached {
    fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.unacknowledged_kept += other.unacknowledged_kept;
        self.unacknowledged_lost += other.unacknowledged_lost;
        self.tails_aside += other.tails_aside;
        self.rolls += other.rolls;
        self.holes += other.holes;
    }
}

/// Dice of the harness, apart from the journal's.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// SplitMix64 (Steele, Lea and Flood, 2014).
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % sides
    }

    /// True once in `times`, on average.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    /// The place of one of so many.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        self.roll(count as u64) as usize
    }
}

/// What the witness knows of one commit.
struct Sent {
    commit: Commit,
    acknowledged: Option<Committed>,
}

pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<Committed, AppendError>> + Send + 'a>>;

pub(crate) struct Run {
    dice: Dice,
    sent: Vec<Sent>,
    reached: Reached,
    bug: PlantedBug,
}

/// One seed: several lives of one directory, a crash between each two.
fn run(seed: u64, bug: PlantedBug) -> Result<Reached, String> {
    let mut run = Run::new(seed, bug);
    let mut disk = Arc::new(SimDisk::new(seed));
    for life in 0..LIVES {
        let random = Arc::new(SimRandom::new(seed * 100 + life));
        run.life(&disk, random)?;
        disk = Arc::new(disk.crash());
    }
    run.life(&disk, Arc::new(SimRandom::new(seed * 100 + LIVES)))?;
    Ok(run.reached)
}

pub(crate) fn open(disk: &Arc<SimDisk>, random: Arc<SimRandom>, planted: PlantedBug) -> Result<(EmbeddedJournal, Stepper), String> {
    EmbeddedJournal::open_stepped(options(disk, random, planted)).map_err(|error| format!("open: {error}"))
}

pub(crate) fn options(disk: &Arc<SimDisk>, random: Arc<SimRandom>, planted: PlantedBug) -> Options {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as _;
    Options {
        disk,
        clock: Arc::new(SimClock::new()),
        random,
        spawner: Arc::new(InlineSpawner::new()),
        parent: None,
        segment_bytes: 16 * 1024..=64 * 1024,
        planted,
    }
}

/// Polls a future that never has to wait for anybody but us.
pub(crate) fn poll<T>(future: &mut (impl Future<Output = T> + Unpin + ?Sized)) -> Option<T> {
    match Pin::new(future).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

pub(crate) fn now<T>(future: impl Future<Output = T>) -> Result<T, String> {
    poll(&mut Box::pin(future)).ok_or_else(|| "an answer that nothing stands in the way of did not come".to_owned())
}

pub(crate) fn read_all(mut events: Events) -> Result<Vec<Arc<Recorded>>, String> {
    let mut all = Vec::new();
    while let Some(item) = now(events.next())? {
        if let Read::Event(event) = item.map_err(|error| format!("read: {error}"))? {
            all.push(event);
        }
    }
    Ok(all)
}

impl Run {
    pub(crate) fn new(seed: u64, bug: PlantedBug) -> Self {
        Self { dice: Dice(seed), sent: Vec::new(), reached: Reached::default(), bug }
    }

    fn life(&mut self, disk: &Arc<SimDisk>, random: Arc<SimRandom>) -> Result<(), String> {
        let seen = salvage::all_that_is_there(disk);
        let (journal, stepper) = open(disk, random, self.bug)?;
        self.reached.tails_aside += journal.report().aside.len() as u64;
        self.check(&journal)?;
        let there = read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead))?;
        let seen = seen?;
        if seen != there {
            return Err(format!("a reader that changes nothing saw {} events, and there are {}", seen.len(), there.len()));
        }
        let mut waiting: Vec<(usize, Answer<'_>)> = Vec::new();
        let mut held: Vec<(HeldWrite, bool)> = Vec::new();
        for _ in 0..STEPS_A_LIFE {
            match self.dice.roll(10) {
                0..=3 => waiting.push(self.append(&journal)),
                4 | 5 => held.extend(stepper.take(self.dice.roll(2) == 0).map(|write| (write, false))),
                6 => self.perform_one(&stepper, &mut held)?,
                7 => self.complete_one(&stepper, &mut held),
                8 => self.reached.rolls += u64::from(stepper.upkeep()),
                _ => held.extend(stepper.take_marker().map(|write| (write, false))),
            }
            self.hear(&mut waiting)?;
        }
        self.crash_midway(&stepper, &mut held);
        Ok(())
    }

    pub(crate) fn append<'a>(&mut self, journal: &'a EmbeddedJournal) -> (usize, Answer<'a>) {
        let commit = self.commit();
        self.sent.push(Sent { commit: commit.clone(), acknowledged: None });
        (self.sent.len() - 1, journal.append(commit))
    }

    pub(crate) fn commit(&mut self) -> Commit {
        let number = self.sent.len() as u64;
        let commands = (0..1 + self.dice.roll(2)).map(|index| self.command(number, index)).collect();
        Commit { commands, ..Commit::default() }
    }

    fn command(&mut self, number: u64, index: u64) -> CommandRecord {
        let size = if self.dice.roll(12) == 0 { 8_000 } else { self.dice.roll(900) } as usize;
        let fill = self.dice.roll(256) as u8;
        let event = |nth: u64| EventData {
            name: format!("e{}", nth % 3).into(),
            version: 1,
            content: ContentType::Other(9),
            flags: EventFlags(0),
            tags: vec![Tag::new(&format!("n:{number}")).expect("a tag")],
            payload: Bytes::from([format!("{number}.{index}.{nth}:").into_bytes(), vec![fill; size]].concat()),
        };
        CommandRecord {
            entity: EntityKey::new("thing", &((number + index) % ENTITIES).to_string()).expect("a key"),
            id: CommandId::from_raw(format!("{number}.{index}").as_bytes()),
            name: "do".into(),
            fingerprint: None,
            context: Context::default(),
            reply: Bytes::from(format!("reply {number}.{index}")),
            events: (0..1 + self.dice.roll(3)).map(event).collect(),
        }
    }

    fn perform_one(&mut self, stepper: &Stepper, held: &mut [(HeldWrite, bool)]) -> Result<(), String> {
        let open: Vec<usize> = (0..held.len()).filter(|index| !held[*index].1).collect();
        if !open.is_empty() {
            let index = open[self.dice.roll(open.len() as u64) as usize];
            stepper.perform(&held[index].0).map_err(|error| format!("write: {error}"))?;
            held[index].1 = true;
            self.reached.holes += u64::from(held[..index].iter().any(|(_, performed)| !performed));
        }
        Ok(())
    }

    fn complete_one(&mut self, stepper: &Stepper, held: &mut Vec<(HeldWrite, bool)>) {
        let done: Vec<usize> = (0..held.len()).filter(|index| held[*index].1).collect();
        if !done.is_empty() {
            let (write, _) = held.remove(done[self.dice.roll(done.len() as u64) as usize]);
            stepper.complete(write, Ok(()));
        }
    }

    /// Takes the acknowledgements that have come.
    fn hear(&mut self, waiting: &mut Vec<(usize, Answer<'_>)>) -> Result<(), String> {
        let mut still = Vec::new();
        for (number, mut answer) in waiting.drain(..) {
            match poll(&mut answer) {
                Some(Ok(committed)) => {
                    self.reached.acknowledged += 1;
                    self.sent[number].acknowledged = Some(committed);
                }
                Some(Err(error)) => return Err(format!("commit {number} was refused: {error}")),
                None => still.push((number, answer)),
            }
        }
        *waiting = still;
        Ok(())
    }

    /// The crash catches writes on their way: some reach the disk unsynced, and the crash tears them.
    fn crash_midway(&mut self, stepper: &Stepper, held: &mut Vec<(HeldWrite, bool)>) {
        for (write, performed) in held.drain(..) {
            if !performed && self.dice.roll(3) > 0 {
                drop(stepper.perform_unsynced(&write));
            }
        }
    }

    /// Compares what a freshly opened journal holds with what the witness knows.
    fn check(&mut self, journal: &EmbeddedJournal) -> Result<(), String> {
        let events = read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead))?;
        dense(&events)?;
        let mut by_tag: HashMap<String, Vec<&Recorded>> = HashMap::new();
        for event in &events {
            by_tag.entry(event.tags[0].as_str().to_owned()).or_default().push(event);
        }
        let mut sent = std::mem::take(&mut self.sent);
        for (number, sent) in sent.iter_mut().enumerate() {
            let stored = by_tag.remove(&format!("n:{number}")).unwrap_or_default();
            self.check_commit(journal, number, sent, &stored)?;
        }
        self.sent = sent;
        if let Some(stranger) = by_tag.keys().next() {
            return Err(format!("{stranger} was never sent"));
        }
        self.check_entities(journal, &events)
    }

    fn check_commit(&mut self, journal: &EmbeddedJournal, number: usize, sent: &mut Sent, stored: &[&Recorded]) -> Result<(), String> {
        let wanted: Vec<&Bytes> =
            sent.commit.commands.iter().flat_map(|command| command.events.iter().map(|event| &event.payload)).collect();
        let whole = stored.iter().map(|event| &event.payload).collect::<Vec<_>>() == wanted;
        if !whole && !stored.is_empty() {
            return Err(format!("commit {number} is there in part: {} of {} events", stored.len(), wanted.len()));
        }
        if let (Some(acknowledged), false) = (&sent.acknowledged, whole) {
            return Err(format!("commit {number} was acknowledged at {:?} and is lost", acknowledged.cursor));
        }
        if let (Some(acknowledged), Some(last)) = (&sent.acknowledged, stored.last()) {
            let same = (acknowledged.cursor.position(), acknowledged.id, acknowledged.time) == (last.position, last.id.commit, last.time);
            if !same {
                return Err(format!(
                    "commit {number} came back at position {} and was acknowledged at {:?}",
                    last.position, acknowledged.cursor
                ));
            }
        }
        for command in &sent.commit.commands {
            let found = now(journal.find_command(&command.entity, command.id))?.map_err(|error| format!("find: {error}"))?;
            let known = found.as_ref().is_some_and(|found| found.reply.as_ref() == Some(&command.reply));
            if known != whole {
                return Err(format!("commit {number} is {} but its command id is {}", there(whole), there(known)));
            }
        }
        if sent.acknowledged.is_none() {
            self.reached.unacknowledged_kept += u64::from(whole);
            self.reached.unacknowledged_lost += u64::from(!whole);
            // From now on it is as good as acknowledged, if it is there: it must not vanish later.
            if let (true, Some(last)) = (whole, stored.last()) {
                sent.acknowledged = Some(recovered(journal, last));
            }
        }
        Ok(())
    }

    fn check_entities(&self, journal: &EmbeddedJournal, events: &[Arc<Recorded>]) -> Result<(), String> {
        for number in 0..ENTITIES {
            let entity = EntityKey::new("thing", &number.to_string()).expect("a key");
            let selection = Selection::Entity { entity: entity.clone(), from_sequence: 1 };
            let own = read_all(journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead))?;
            let expected: Vec<_> = events.iter().filter(|event| event.entity == entity).cloned().collect();
            if own != expected {
                return Err(format!("{entity} reads {} events of its own, the log has {}", own.len(), expected.len()));
            }
            if own.iter().enumerate().any(|(index, event)| event.sequence != index as u64 + 1) {
                return Err(format!("{entity} has a gap in its sequences"));
            }
            let head = now(journal.entity_head(&entity))?.map_err(|error| format!("head: {error}"))?;
            if head.map_or(0, |head| head.sequence) != own.len() as u64 {
                return Err(format!("{entity} has a head that its events do not"));
            }
        }
        Ok(())
    }
}

fn there(there: bool) -> &'static str {
    if there { "there" } else { "gone" }
}

fn recovered(journal: &EmbeddedJournal, last: &Recorded) -> Committed {
    Committed {
        id: last.id.commit,
        time: last.time,
        cursor: journal.lineage().cursor(last.position),
        commands: Vec::new(),
        durability: headwater_journal::Durability::Durable,
    }
}

fn dense(events: &[Arc<Recorded>]) -> Result<(), String> {
    match events.iter().enumerate().find(|(index, event)| event.position != *index as u64 + 1) {
        Some((index, event)) => Err(format!("event {} of the log is at position {}", index + 1, event.position)),
        None => Ok(()),
    }
}

fn seeds() -> u64 {
    std::env::var("HEADWATER_CRASH_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000)
}

#[test]
fn crashes_lose_nothing_that_was_acknowledged() {
    let mut reached = Reached::default();
    for seed in 0..seeds() {
        match run(seed, PlantedBug::None) {
            Ok(one) => reached.add(&one),
            Err(problem) => panic!("seed {seed}: {problem}"),
        }
    }
    println!("{reached:?}");
    let all =
        [reached.acknowledged, reached.unacknowledged_kept, reached.unacknowledged_lost, reached.tails_aside, reached.rolls, reached.holes];
    assert!(all.iter().all(|count| *count > 0), "a path was never reached: {reached:?}");
}

/// Each planted bug must be caught within few seeds, or this harness proves nothing.
fn caught(bug: PlantedBug) {
    let caught = (0..200).find_map(|seed| run(seed, bug).err().map(|problem| (seed, problem)));
    let (seed, problem) = caught.unwrap_or_else(|| panic!("{bug:?} went unnoticed for 200 seeds"));
    println!("{bug:?} caught at seed {seed}: {problem}");
}

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    caught(PlantedBug::AcknowledgeBeforeSync);
}

#[test]
fn a_skipped_prefix_check_is_caught() {
    caught(PlantedBug::SkipPrefixCheck);
}

#[test]
fn a_lost_command_id_is_caught() {
    caught(PlantedBug::LoseCommandId);
}

/// Every Nth call of the disk fails, once or from then on: nothing is acknowledged after the first error, and a restart has all that was.
#[test]
fn the_first_disk_error_is_final() {
    for sticky in [false, true] {
        let mut nth = 1;
        while fails_at(nth, sticky).unwrap_or_else(|problem| panic!("call {nth}, sticky {sticky}: {problem}")) {
            nth += 1;
        }
        assert!(nth > 40, "the workload has only {nth} disk calls");
    }
}

/// What the nth call of a disk asks for, once it has been made: the test's own word for it, not the journal's.
fn kind_of_call(disk: &SimDisk, nth: u64) -> Arc<Mutex<Option<CallKind>>> {
    let (kind, count) = (Arc::new(Mutex::new(None)), AtomicU64::new(0));
    let noted = Arc::clone(&kind);
    disk.on_call(move |call| {
        if count.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            *noted.lock().unwrap() = Some(call.kind);
        }
    });
    kind
}

/// Runs a workload in which one call of the disk fails; false when the workload ends before that call.
fn fails_at(nth: u64, sticky: bool) -> Result<bool, String> {
    let disk = Arc::new(SimDisk::new(nth));
    disk.fail_call(nth, sticky);
    let failed_kind = kind_of_call(&disk, nth);
    let mut run = Run::new(7, PlantedBug::None);
    if let Ok((journal, stepper)) = open(&disk, Arc::new(SimRandom::new(7)), PlantedBug::None) {
        let mut failed = false;
        for _ in 0..40 {
            let (number, mut answer) = run.append(&journal);
            stepper.settle();
            match poll(&mut answer) {
                Some(Ok(_)) if failed => return Err(format!("commit {number} was acknowledged after an error")),
                Some(Ok(committed)) => run.sent[number].acknowledged = Some(committed),
                Some(Err(_)) => {}
                None if journal.poisoned().is_some() => return Err(format!("commit {number} hangs on a poisoned journal")),
                None => {}
            }
            // The failed call may have come after this commit's own write: from the next commit on, nothing may be acknowledged.
            failed |= journal.poisoned().is_some();
        }
        // What only reads may be answered otherwise; any failed change of the disk must have ended the journal, once or for good.
        let kind =
            failed_kind.lock().unwrap().filter(|kind| !matches!(kind, CallKind::Read | CallKind::Open | CallKind::Length | CallKind::List));
        if let (Some(kind), true, None) = (kind, disk.failures() > 0, journal.poisoned()) {
            return Err(format!("a failed {kind:?} left the journal taking commits"));
        }
        if disk.failures() > 0 && journal.poisoned().is_none() && sticky {
            return Err("the disk failed for good and the journal goes on".to_owned());
        }
    }
    let triggered = disk.failures() > 0;
    let healed = Arc::new(disk.crash());
    let (journal, _) = open(&healed, Arc::new(SimRandom::new(8)), PlantedBug::None)?;
    run.check(&journal)?;
    Ok(triggered)
}

/// A marker has no position that a seal could wait for. Sealed without it, a segment ended in a frame that was not there, and the next
/// one's frames followed nothing once the seal was lost.
#[test]
fn a_seal_waits_for_the_marker_at_the_end_of_its_segment() {
    let disk = Arc::new(SimDisk::new(1));
    let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(1)), PlantedBug::None).unwrap();
    for number in 0..30 {
        let answer = journal.append(size::commit(1, number, None));
        stepper.settle();
        now(answer).unwrap().unwrap();
    }
    let marker = stepper.take_marker().expect("there is a block left for it");
    let answer = journal.append(size::commit(1, 30, None));
    let write = stepper.take(true).expect("the commit goes into the next segment");
    while stepper.upkeep() {}
    let sealed = || disk.list("").unwrap().contains(&"0000000001.seal".to_owned());
    assert!(!sealed());
    for write in [marker, write] {
        let outcome = stepper.perform(&write);
        stepper.complete(write, outcome);
    }
    while stepper.upkeep() {}
    assert!(sealed());
    now(answer).unwrap().unwrap();
}
