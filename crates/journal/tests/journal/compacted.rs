//! Compaction on simulated disks, against a witness that holds every commit: only what the rules let go is gone, everything else is as it
//! was, the evidence still fits, readers under way see each event once, and an end at any call of the disk leaves one or the other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use headwater_journal::embedded::limits::SEGMENT_BYTES;
use headwater_journal::embedded::{
    Backup, BulkOptions, BulkWriter, EmbeddedJournal, Part, PlantedBug, ReadOnlyJournal, Stepper, WantedEvent, back_up, prove, root,
    verify_against,
};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{SimDisk, SimRandom};
use headwater_journal::{
    AppendError, BASELINE, CommandId, CommandRecord, Commit, CompactRules, Compacted, ContentType, Context, Cursor, CursorError, EntityKey,
    EntityType, EventData, EventFlags, Journal as _, KeepRule, Position, Read, ReadError, ReadMode, Recorded, Selection, Tag, Timestamp,
};

use crate::crashes::{Dice, now, open, read_all};

const ENTITIES: u64 = 7;
const KINDS: [&str; 2] = ["cart", "account"];

pub(crate) fn dynamic(disk: &Arc<SimDisk>) -> Arc<dyn Disk> {
    Arc::clone(disk) as _
}

/// A journal whose every event a witness knows.
pub(crate) struct House {
    pub(crate) disk: Arc<SimDisk>,
    dice: Dice,
    pub(crate) journal: EmbeddedJournal,
    pub(crate) stepper: Stepper,
    /// All commits, with the events of each.
    commits: Vec<(Commit, Vec<Arc<Recorded>>)>,
}

impl House {
    pub(crate) fn new(seed: u64) -> Self {
        let disk = Arc::new(SimDisk::new(seed));
        let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(seed)), PlantedBug::None).unwrap();
        Self { disk, dice: Dice(seed), journal, stepper, commits: Vec::new() }
    }

    pub(crate) fn grow(&mut self, commits: usize) {
        for _ in 0..commits {
            let commit = self.commit();
            let answer = self.journal.append(commit.clone());
            self.stepper.settle();
            now(answer).unwrap().unwrap();
            self.commits.push((commit, Vec::new()));
        }
        let mut events = read_all(self.journal.read(Selection::All, self.last(), ReadMode::ToHead)).unwrap().into_iter();
        for (commit, stored) in self.commits.iter_mut().filter(|(_, stored)| stored.is_empty()) {
            stored.extend(events.by_ref().take(commit.event_count()));
        }
    }

    fn last(&self) -> Cursor {
        let last = self.commits.iter().rev().find_map(|(_, events)| events.last());
        last.map_or(Cursor::BEGINNING, |event| self.journal.lineage().cursor(event.position))
    }

    fn commit(&mut self) -> Commit {
        let number = self.commits.len() as u64;
        let reset = self.dice.one_in(9).then(|| if self.dice.one_in(3) { "$deleted" } else { BASELINE });
        let commands = match reset {
            Some(name) => vec![self.command(number, 0, Some(name))],
            None => (0..1 + u64::from(self.dice.one_in(8))).map(|index| self.command(number, index, None)).collect(),
        };
        Commit { commands, ..Commit::default() }
    }

    fn command(&mut self, number: u64, index: u64, reset: Option<&str>) -> CommandRecord {
        let kind = KINDS[usize::from(self.dice.one_in(4))];
        let tags = if self.dice.one_in(15) { vec![Tag::new("kept:yes").unwrap()] } else { Vec::new() };
        let event = |nth: u64, size: u64| EventData {
            name: reset.unwrap_or(if nth == 0 { "added" } else { "priced" }).into(),
            version: 1,
            content: ContentType::Other(9),
            flags: EventFlags(0),
            tags: if reset.is_some() { Vec::new() } else { tags.clone() },
            payload: Bytes::from([format!("{number}.{index}.{nth}:").into_bytes(), noise(number * 10 + nth, size)].concat()),
        };
        let count = if reset.is_some() { 1 } else { 1 + self.dice.roll(3) };
        let entity = (self.dice.roll(ENTITIES) + index) % ENTITIES;
        CommandRecord {
            entity: EntityKey::new(kind, &entity.to_string()).unwrap(),
            id: CommandId::from_raw(format!("{number}.{index}").as_bytes()),
            name: "do".into(),
            fingerprint: None,
            context: Context::default(),
            reply: Bytes::from(format!("reply {number}.{index}")),
            events: (0..count).map(|nth| event(nth, self.dice.roll(500))).collect(),
        }
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Arc<Recorded>> {
        self.commits.iter().flat_map(|(_, events)| events)
    }

    fn rules(&mut self) -> CompactRules {
        let head = self.events().count() as u64;
        let times: Vec<Timestamp> = self.events().map(|event| event.time).collect();
        let since = match self.dice.one_in(2) {
            true => Timestamp::from_micros(i64::MAX),
            false => times[self.dice.index(times.len())],
        };
        let last = [0, 0, 3, 20][self.dice.index(4)];
        let upto = if self.dice.one_in(2) { head } else { self.dice.roll(head) + 1 };
        CompactRules { upto, kinds: vec![KeepRule { kind: EntityType::new("cart").unwrap(), since, last }] }
    }

    /// Compacts with the journal's own thread of work.
    pub(crate) fn compact(&self, rules: &CompactRules) -> Result<Compacted, ReadError> {
        let compacting = self.journal.compact(rules.clone());
        self.stepper.scrub();
        now(compacting).unwrap().map(Option::unwrap)
    }

    pub(crate) fn open_again(&mut self, disk: Arc<SimDisk>, random: u64) {
        let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(random)), PlantedBug::None).unwrap();
        (self.disk, self.journal, self.stepper) = (disk, journal, stepper);
    }

    /// The positions that rules may let go, as the contract has it.
    fn may_go(&self, all: &[CompactRules]) -> Vec<Position> {
        let (mut resets, mut heads) = (HashMap::new(), HashMap::new());
        for event in self.events() {
            heads.insert(event.entity.clone(), event.sequence);
            if stands_for_others(event) {
                resets.insert(event.entity.clone(), event.position);
            }
        }
        let lets_go = |rules: &CompactRules, event: &Recorded| {
            let rule = rules.kinds.iter().find(|rule| rule.kind.as_str() == event.entity.kind());
            let stood_for = resets.get(&event.entity).is_some_and(|reset| event.position < *reset);
            let beyond = |rule: &KeepRule| event.time < rule.since && event.sequence + rule.last <= heads[&event.entity];
            event.position <= rules.upto && event.tags.is_empty() && stood_for && rule.is_some_and(beyond)
        };
        let goes = |(_, events): &&(Commit, Vec<Arc<Recorded>>)| {
            !events.is_empty() && all.iter().any(|rules| events.iter().all(|event| lets_go(rules, event)))
        };
        self.commits.iter().filter(goes).flat_map(|(_, events)| events.iter().map(|event| event.position)).collect()
    }

    /// Everything that a compacted journal promises; gives how many events are gone.
    pub(crate) fn check(&self, rules: &[CompactRules]) -> usize {
        let there = read_all(self.journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap();
        let by_position: BTreeMap<Position, &Arc<Recorded>> = there.iter().map(|event| (event.position, event)).collect();
        assert_eq!(by_position.len(), there.len(), "no event comes twice");
        let may_go = self.may_go(rules);
        let mut gone = 0;
        for event in self.events() {
            match by_position.get(&event.position) {
                Some(found) => assert_eq!(*found, event),
                None => {
                    assert!(may_go.binary_search(&event.position).is_ok(), "{event:?} had to stay");
                    gone += 1;
                }
            }
        }
        assert_eq!(there.len() + gone, self.events().count());
        self.check_entities(&by_position);
        self.check_commands(&by_position);
        gone
    }

    fn check_entities(&self, there: &BTreeMap<Position, &Arc<Recorded>>) {
        let mut entities: BTreeMap<EntityKey, Vec<&Arc<Recorded>>> = BTreeMap::new();
        self.events().for_each(|event| entities.entry(event.entity.clone()).or_default().push(event));
        for (entity, all) in &entities {
            let head = now(self.journal.entity_head(entity)).unwrap().unwrap().unwrap();
            assert_eq!((head.sequence, head.position), (all.len() as u64, all[all.len() - 1].position));
            let read = read_all(self.journal.read(
                Selection::Entity { entity: entity.clone(), from_sequence: 1 },
                Cursor::BEGINNING,
                ReadMode::ToHead,
            ));
            let read = read.unwrap();
            let mut next = 1;
            for event in &read {
                assert_eq!(there.get(&event.position), Some(&event));
                let stands = stands_for_others(event);
                assert!(event.sequence == next || event.sequence > next && stands, "{entity}: {} behind {next}", event.sequence);
                next = event.sequence + 1;
            }
            assert_eq!(next, head.sequence + 1, "{entity}: its read ends with its head");
        }
        for kind in KINDS {
            let mut keys = self.journal.entities(&EntityType::new(kind).unwrap(), None);
            let mut listed = Vec::new();
            while let Some(key) = now(keys.next()).unwrap() {
                listed.push(key.unwrap());
            }
            let known: Vec<EntityKey> = entities.keys().filter(|key| key.kind() == kind).cloned().collect();
            assert_eq!(listed, known);
        }
    }

    fn check_commands(&self, there: &BTreeMap<Position, &Arc<Recorded>>) {
        for (commit, events) in self.commits.iter().filter(|(_, events)| !events.is_empty()) {
            let is_there = there.contains_key(&events[0].position);
            let mut at = 0;
            for command in &commit.commands {
                let found = now(self.journal.find_command(&command.entity, command.id)).unwrap().unwrap().unwrap();
                at += command.events.len();
                let last = &events[at - 1];
                assert_eq!((found.sequence, &*found.name, found.event_count), (last.sequence, "do", command.events.len() as u32));
                assert_eq!(found.cursor.position(), events[events.len() - 1].position, "{commit:?} {events:?} {is_there}");
                assert_eq!(found.time, last.time);
                assert_eq!(found.reply, is_there.then(|| command.reply.clone()));
            }
        }
        // The head of a log with events that are gone: sent again, nothing takes effect again.
        let (first, _) = &self.commits[0];
        let answer = self.journal.append(first.clone());
        self.stepper.settle();
        assert!(matches!(now(answer).unwrap(), Err(AppendError::Duplicate { .. })));
    }

    /// What reads the files says the same: no damage, and the root of before.
    pub(crate) fn check_evidence(&self, root: &headwater_journal::embedded::Root) {
        let copy = dynamic(&Arc::new(self.disk.crash()));
        let verified = verify_against(&copy, Some(root), |_| {}).unwrap();
        assert_eq!((verified.damage, verified.found), (Vec::new(), root.cursor));
        let read = ReadOnlyJournal::open(Arc::clone(&copy), |_, _| {}).unwrap();
        let there = read_all(self.journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap();
        let stored: Vec<Recorded> = read.commits(Cursor::BEGINNING).flat_map(|commit| commit.unwrap().into_events()).collect();
        assert!(stored.iter().eq(there.iter().map(|event| &**event)));
        if let Some(event) = there.get(there.len() / 3) {
            let wanted = WantedEvent::Sequence(event.entity.clone(), event.sequence);
            let proof = prove(&copy, &wanted, Some(root), &mut || {}).unwrap().expect("an event that is there is proved");
            assert_eq!((proof.event.position, proof.root.hash), (event.position, root.hash));
        }
    }

    pub(crate) fn root(&self) -> headwater_journal::embedded::Root {
        root(&dynamic(&Arc::new(self.disk.crash())), &mut || {}).unwrap()
    }
}

/// Bytes that do not pack well, as most payloads do not next to hashes.
fn noise(seed: u64, bytes: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    (0..bytes).map(|_| dice.roll(256) as u8).collect()
}

fn stands_for_others(event: &Recorded) -> bool {
    matches!(&*event.name, BASELINE | "$deleted")
}

fn seeds() -> u64 {
    std::env::var("HEADWATER_COMPACT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60)
}

#[test]
fn compaction_drops_what_it_may_and_nothing_else() {
    let (mut gone, mut rewritten, mut again) = (0, 0, 0);
    for seed in 0..seeds() {
        let mut house = House::new(seed);
        let mut rules = Vec::new();
        for round in 0..3 {
            house.grow(120);
            let root = house.root();
            rules.push(house.rules());
            let done = house.compact(&rules[round]).unwrap();
            rewritten += done.rewritten;
            again += u64::from(round > 0 && done.rewritten > 0);
            house.check(&rules);
            house.check_evidence(&root);
            if house.dice.one_in(2) {
                let crashed = Arc::new(house.disk.crash());
                house.open_again(crashed, seed + 1000);
                house.check(&rules);
            }
        }
        gone += house.check(&rules);
    }
    assert!(gone > 1_000 && rewritten > 50 && again > 10, "{gone} {rewritten} {again}");
}

#[test]
fn readers_under_way_see_each_event_once_and_lose_none_that_stays() {
    for seed in 0..seeds() / 3 {
        let mut house = House::new(seed);
        house.grow(250);
        let rules = house.rules();
        let may_go = house.may_go(std::slice::from_ref(&rules));
        let cart = EntityKey::new("cart", "1").unwrap();
        let selections =
            [Selection::All, Selection::Entity { entity: cart, from_sequence: 1 }, Selection::Types(vec!["cart/added".into()])];
        for selection in selections {
            let expected = read_all(house.journal.read(selection.clone(), Cursor::BEGINNING, ReadMode::ToHead)).unwrap();
            let mut reader = house.journal.read(selection.clone(), Cursor::BEGINNING, ReadMode::ToHead);
            let mut seen: Vec<Arc<Recorded>> = Vec::new();
            let stop = house.dice.index(expected.len());
            while seen.len() < stop {
                if let Read::Event(event) = now(reader.next()).unwrap().unwrap().unwrap() {
                    seen.push(event);
                }
            }
            house.compact(&rules).unwrap();
            seen.extend(read_all(reader).unwrap());
            let missing: Vec<&Arc<Recorded>> = expected.iter().filter(|event| !seen.contains(event)).collect();
            assert!(missing.iter().all(|event| may_go.binary_search(&event.position).is_ok()), "{selection:?}");
            assert_eq!(seen.len() + missing.len(), expected.len(), "{selection:?}");
        }
    }
}

/// It knows places in a segment that is another one by the time that it reads them.
#[test]
fn a_reader_that_is_in_the_middle_of_a_segment_goes_on_in_the_one_it_found() {
    let mut house = House::new(21);
    let key = EntityKey::new("cart", "only").unwrap();
    for number in 0..400u64 {
        let mut command = house.command(number, 0, Some(if number == 330 { BASELINE } else { "added" }));
        command.entity = key.clone();
        let answer = house.journal.append(Commit { commands: vec![command], ..Commit::default() });
        house.stepper.settle();
        now(answer).unwrap().unwrap();
    }
    house.stepper.scrub();
    let mut reader = house.journal.read(Selection::Entity { entity: key, from_sequence: 1 }, Cursor::BEGINNING, ReadMode::ToHead);
    let Some(Ok(Read::Event(first))) = now(reader.next()).unwrap() else { panic!("the first event is there") };
    let kind = EntityType::new("cart").unwrap();
    let rules = CompactRules { upto: 300, kinds: vec![KeepRule { kind, since: Timestamp::from_micros(i64::MAX), last: 0 }] };
    assert!(house.compact(&rules).unwrap().events > 200);
    let rest = read_all(reader).unwrap();
    assert_eq!((first.sequence, rest.len()), (1, 399));
}

/// Written anew as it stands, it would take more room than before.
#[test]
fn a_packed_segment_stays_packed_and_grows_by_no_byte() {
    let mut house = House::new(31);
    house.grow(300);
    house.stepper.scrub();
    house.stepper.scrub();
    let packed = |house: &House| {
        let names = house.disk.list("").unwrap().into_iter().filter(|name| name.ends_with(".segment"));
        let length = |name: String| {
            let file = house.disk.open(&name).unwrap();
            let mut magic = [0; 7];
            file.read_at(&mut magic, 0).unwrap();
            (name, (magic == *b"HWPACKD").then(|| file.len().unwrap()))
        };
        names.map(length).collect::<BTreeMap<String, Option<u64>>>()
    };
    let (before, root, head) = (packed(&house), house.root(), house.events().count() as u64);
    assert!(before.values().flatten().count() > 2, "{before:?}");
    let kind = EntityType::new("cart").unwrap();
    let rules = CompactRules { upto: head, kinds: vec![KeepRule { kind, since: Timestamp::from_micros(i64::MAX), last: 0 }] };
    let done = house.compact(&rules).unwrap();
    assert!(done.rewritten > 1 && done.bytes > 0, "{done:?}");
    for (name, bytes) in packed(&house) {
        if let Some(Some(was)) = before.get(&name) {
            assert!(bytes.is_some_and(|bytes| bytes <= *was), "{name}: {bytes:?} behind {was}");
        }
    }
    house.check(std::slice::from_ref(&rules));
    house.check_evidence(&root);
    assert!(!house.disk.list("").unwrap().iter().any(|name| name.ends_with(".tmp")));
}

/// The power goes, or a call fails, at every call that a compaction makes.
#[test]
fn an_end_at_any_call_leaves_each_segment_as_it_was_or_compacted() {
    let build = || {
        let mut house = House::new(11);
        house.grow(140);
        house.stepper.scrub();
        house
    };
    let house = build();
    let head = house.events().count() as u64;
    let kind = EntityType::new("cart").unwrap();
    let rules = CompactRules { upto: head, kinds: vec![KeepRule { kind, since: Timestamp::from_micros(i64::MAX), last: 0 }] };
    let (root, before) = (house.root(), house.disk.calls());
    assert!(house.compact(&rules).unwrap().rewritten > 0);
    let calls = house.disk.calls() - before;
    let (mut some, mut none) = (0, 0);
    for nth in 1..=calls {
        for fails in [false, true] {
            let mut house = build();
            match fails {
                true => house.disk.fail_call(house.disk.calls() + nth, false),
                false => house.disk.cut_power_at(house.disk.calls() + nth),
            }
            drop(house.compact(&rules));
            let disk = Arc::new(house.disk.crash());
            house.open_again(disk, 5);
            let gone = house.check(std::slice::from_ref(&rules));
            house.check_evidence(&root);
            (some, none) = (some + usize::from(gone > 0), none + usize::from(gone == 0));
            house.compact(&rules).unwrap();
            assert!(house.check(std::slice::from_ref(&rules)) > 0, "the next one does it");
        }
    }
    assert!(some > 10 && none > 10, "{some} {none}");
}

#[test]
fn a_cursor_in_front_of_what_is_there_is_gone_and_the_beginning_is_not() {
    let mut house = House::new(4);
    let key = EntityKey::new("cart", "only").unwrap();
    for number in 0..300u64 {
        let name = if number == 299 { BASELINE } else { "added" };
        let mut command = house.command(number, 0, Some(name));
        command.entity = key.clone();
        let commit = Commit { commands: vec![command], ..Commit::default() };
        let answer = house.journal.append(commit);
        house.stepper.settle();
        now(answer).unwrap().unwrap();
    }
    house.grow(300);
    let kind = EntityType::new("cart").unwrap();
    let rules = CompactRules { upto: 299, kinds: vec![KeepRule { kind, since: Timestamp::from_micros(i64::MAX), last: 0 }] };
    assert!(house.compact(&rules).unwrap().events > 100);
    let old = house.journal.lineage().cursor(5);
    let refused = read_all(house.journal.read(Selection::All, old, ReadMode::ToHead));
    let mut events = house.journal.read(Selection::All, old, ReadMode::ToHead);
    let Some(Err(ReadError::Cursor(CursorError::Gone { first }))) = now(events.next()).unwrap() else { panic!("{refused:?}") };
    let from_first = read_all(house.journal.read(Selection::All, first, ReadMode::ToHead)).unwrap();
    let from_beginning = read_all(house.journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap();
    assert_eq!(from_first, from_beginning);
    let crashed = Arc::new(house.disk.crash());
    house.open_again(crashed, 9);
    let mut events = house.journal.read(Selection::All, old, ReadMode::ToHead);
    assert!(matches!(now(events.next()).unwrap(), Some(Err(ReadError::Cursor(CursorError::Gone { .. })))), "also after a restart");
}

#[test]
fn a_backup_of_a_compacted_journal_is_restored_as_it_is() {
    for seed in 0..6 {
        let mut house = House::new(seed);
        house.grow(200);
        let rules = house.rules();
        house.compact(&rules).unwrap();
        house.grow(20);
        house.stepper.scrub();
        let target = Arc::new(SimDisk::new(seed));
        let copy = Arc::new(house.disk.crash());
        back_up(&dynamic(&copy), &dynamic(&target), Timestamp::from_micros(7), &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
        let backup = Backup::open(dynamic(&target), |_, _| {}).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(backup.root.hash, house.root().hash);
        let restored = Arc::new(SimDisk::new(seed + 50));
        let parent = backup.journal.lineage().unwrap();
        let fork = backup.head.position();
        let random = Arc::new(SimRandom::new(seed + 99));
        let options = BulkOptions { disk: dynamic(&restored), random, parent: (parent.clone(), fork), segment_bytes: SEGMENT_BYTES };
        let mut writer = BulkWriter::begin(options).unwrap();
        let mut parts = backup.journal.commits(Cursor::BEGINNING);
        while let Some(part) = parts.next_part() {
            let part = part.unwrap();
            assert!(matches!(&part, Part::Commit(_) | Part::Gone(_)));
            writer.put(part).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), fork);
        assert_eq!(root(&dynamic(&restored), &mut || {}).unwrap().hash, backup.root.hash);
        let lineage = house.journal.lineage().clone();
        house.open_again(restored, 8);
        assert_ne!(house.journal.lineage().id, lineage.id);
        let old = house.events().map(|event| event.id).collect::<Vec<_>>();
        let there = read_all(house.journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap();
        assert!(there.iter().all(|event| old.contains(&event.id)), "ids are those of before");
        house.grow(5);
    }
}
