//! A seeded generator of operations, made to collide: few entities, few ids, few tags, heads that are nearly right.
//!
//! It names places and revisions by how they came about and not by number, because two engines number them differently. Each seed leaves
//! some features out (swarm testing: Groce and others, 2012), so that the others meet more often.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::commit::{
    CommandId, CommandRecord, Commit, CommitId, Committed, ContentType, Context, EventData, EventFlags, Expect, Fence, Fingerprint, Origin,
    Tag, TagCondition, TagQuery, TagQueryItem,
};
use crate::cursor::Cursor;
use crate::key::{EntityKey, EntityType};
use crate::limits;
use crate::read::Selection;
use crate::seams::Random;
use crate::sim::SimRandom;
use crate::time::Timestamp;

/// A place in a journal, whatever its position is there. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the first event.
    Beginning,
    /// After this commit.
    Commit(u64),
    /// After this event of those that the last whole read gave.
    Seen(u64),
    /// After the last acknowledged commit.
    Head,
    /// After something that does not exist yet.
    Beyond,
    /// In another journal.
    Stranger,
}

/// What a register call expects, whatever the revision is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterAim {
    /// Nothing.
    Absent,
    /// The last revision it was given.
    Last,
    /// An earlier one; taken modulo how many there were.
    Earlier(u64),
    /// One that was never given.
    Never,
}

/// One append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The commit; its condition's cursor stands in `after`.
    pub commit: Commit,
    /// The place of the condition.
    pub after: Place,
}

/// One thing to do to an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Appends that are all called before the first is awaited.
    Append(Vec<Attempt>),
    /// A read to the head.
    Read(Selection, Place),
    /// A live read until it has caught up.
    Follow(Selection, Place),
    /// `entity_head`.
    EntityHead(EntityKey),
    /// `head`.
    Head,
    /// `entities`.
    Entities(EntityType, Option<EntityKey>),
    /// `cursor_at`.
    CursorAt(Timestamp),
    /// `find_command`.
    FindCommand(EntityKey, CommandId),
    /// `get`.
    Get(String),
    /// `put`.
    Put(String, RegisterAim, Bytes),
    /// `delete`.
    Delete(String, RegisterAim),
    /// `list`.
    List(String),
    /// Moves the clock by this many microseconds, also back.
    Tick(i64),
}

/// What a seed makes use of.
struct Features {
    several_commands: bool,
    expectations: bool,
    foreign_guards: bool,
    conditions: bool,
    fences: bool,
    imports: bool,
    deletes: bool,
    tenants: bool,
}

/// The generator.
pub struct Generator {
    dice: SimRandom,
    features: Features,
    /// Where the entities stand as far as acknowledgements told.
    heads: BTreeMap<EntityKey, u64>,
    /// Command ids so far.
    commands: u64,
    imports: u64,
    now: i64,
    /// When some commit was taken.
    known_time: Timestamp,
}

const KINDS: [&str; 2] = ["cart", "user"];
const EVENT_NAMES: [&str; 4] = ["opened", "changed", "closed", "x/y"];
const TAGS: [&str; 4] = ["a:1", "a:2", "b:1", "c:1"];
const REGISTERS: [&str; 4] = ["lease/0", "lease/1", "cursor/a", "z"];

impl Generator {
    /// From a seed; the same seed and the same notes give the same operations. `now` is where the clock stands.
    #[must_use]
    pub fn new(seed: u64, now: Timestamp) -> Self {
        let dice = SimRandom::new(seed);
        let on = || !dice.one_in(4);
        let features = Features {
            several_commands: on(),
            expectations: on(),
            foreign_guards: on(),
            conditions: on(),
            fences: on(),
            imports: on(),
            deletes: on(),
            tenants: on(),
        };
        Self { dice, features, heads: BTreeMap::new(), commands: 0, imports: 0, now: now.as_micros(), known_time: now }
    }

    /// Learns where entities stand, so that expectations can be nearly right.
    pub fn note(&mut self, commit: &Commit, committed: &Committed) {
        for (command, settled) in commit.commands.iter().zip(&committed.commands) {
            self.heads.insert(command.entity.clone(), settled.sequence);
        }
        if self.dice.one_in(4) {
            self.known_time = committed.time;
        }
    }

    /// The next operation.
    pub fn operation(&mut self) -> Operation {
        match self.dice.below(24) {
            0..=9 => self.appends(),
            10 | 11 => Operation::Read(self.selection(), self.place()),
            12 => Operation::Read(Selection::All, Place::Beginning),
            13 => Operation::Follow(self.selection(), self.place()),
            14 => Operation::EntityHead(self.entity()),
            15 => Operation::Head,
            16 => Operation::Entities(self.kind(), self.dice.one_in(2).then(|| self.entity())),
            17 => Operation::CursorAt(if self.dice.one_in(2) { self.known_time } else { self.time() }),
            18 => Operation::FindCommand(self.entity(), self.known_command()),
            19 => self.register_read(),
            20 | 21 => Operation::Put(self.register(), self.aim(), self.register_value()),
            22 => Operation::Delete(self.register(), self.aim()),
            _ => self.tick(),
        }
    }

    fn one_of(&self, choices: &[&'static str]) -> &'static str {
        let choice: &&'static str = self.dice.pick(choices);
        choice
    }

    fn tick(&mut self) -> Operation {
        let step = if self.dice.one_in(4) { -(self.dice.below(2_000) as i64) } else { self.dice.below(5_000) as i64 };
        self.now += step;
        Operation::Tick(step)
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.now + self.dice.below(20_000) as i64 - 15_000)
    }

    fn kind(&self) -> EntityType {
        EntityType::new(self.one_of(&KINDS)).expect("the generator's types are valid")
    }

    fn entity(&self) -> EntityKey {
        let tenant = if self.features.tenants && self.dice.one_in(4) { "acme" } else { "" };
        // Most entities are old acquaintances; some are new, so that there are many.
        let id = if self.dice.one_in(8) { 100 + self.dice.below(1_000) } else { self.dice.below(4) };
        EntityKey::with_tenant(tenant, self.one_of(&KINDS), &id.to_string()).expect("the generator's keys are valid")
    }

    fn place(&self) -> Place {
        match self.dice.below(12) {
            0..=2 => Place::Beginning,
            3..=5 => Place::Commit(self.dice.roll()),
            6..=8 => Place::Seen(self.dice.roll()),
            9 => Place::Head,
            10 => Place::Beyond,
            _ => Place::Stranger,
        }
    }

    fn full_type(&self) -> Arc<str> {
        format!("{}/{}", self.one_of(&KINDS), self.one_of(&EVENT_NAMES)).into()
    }

    fn tags(&self, most: u64) -> Vec<Tag> {
        (0..self.dice.below(most + 1)).map(|_| Tag::new(self.one_of(&TAGS)).expect("the generator's tags are valid")).collect()
    }

    fn query(&self) -> TagQuery {
        let item = |_| TagQueryItem { types: (0..self.dice.below(3)).map(|_| self.full_type()).collect(), tags: self.tags(2) };
        TagQuery { items: (0..self.dice.below(3)).map(item).collect() }
    }

    fn selection(&self) -> Selection {
        match self.dice.below(8) {
            0 => Selection::All,
            1..=3 => Selection::Entity { entity: self.entity(), from_sequence: self.dice.below(6) },
            4 => {
                let (one, other) = (self.entity().slice(), self.dice.below(u64::from(limits::SLICES)) as u16);
                let full = |types: u64| (0..types).map(|_| self.full_type()).collect();
                let types = match self.dice.below(4) {
                    0 => None,
                    1 => Some(vec![self.one_of(&KINDS).into()]),
                    types => Some(full(types)),
                };
                Selection::Slices { first: one.min(other), last: one.max(other), types }
            }
            5 => Selection::Tags(self.query()),
            6 => Selection::Types((0..self.dice.below(3)).map(|_| self.full_type()).collect()),
            _ => Selection::Types(vec![self.one_of(&KINDS).into()]),
        }
    }

    fn register(&self) -> String {
        self.one_of(&REGISTERS).to_owned()
    }

    fn register_read(&self) -> Operation {
        if self.dice.one_in(2) {
            return Operation::Get(self.register());
        }
        Operation::List(self.one_of(&["", "lease/", "lease/1", "none"]).to_owned())
    }

    fn aim(&self) -> RegisterAim {
        match self.dice.below(8) {
            0..=2 => RegisterAim::Absent,
            3..=5 => RegisterAim::Last,
            6 => RegisterAim::Earlier(self.dice.roll()),
            _ => RegisterAim::Never,
        }
    }

    /// Mostly an epoch and something; sometimes too short for one.
    fn register_value(&self) -> Bytes {
        if self.dice.one_in(8) {
            return Bytes::from_static(b"short");
        }
        let mut value = self.dice.below(3).to_be_bytes().to_vec();
        value.resize(8 + self.dice.below(40) as usize, 7);
        value.into()
    }

    /// An id that was used, or nearly.
    fn known_command(&self) -> CommandId {
        let back = self.dice.below(12);
        CommandId::from_raw(self.commands.saturating_sub(back).to_string().as_bytes())
    }

    fn appends(&mut self) -> Operation {
        let count = if self.dice.one_in(3) { 1 + self.dice.below(6) } else { 1 };
        let known = self.heads.clone();
        let attempts = (0..count).map(|_| self.attempt()).collect();
        // The heads that the attempts would leave were only a guess.
        self.heads = known;
        Operation::Append(attempts)
    }

    fn attempt(&mut self) -> Attempt {
        let count = if self.features.several_commands && self.dice.one_in(3) { 2 + self.dice.below(3) } else { 1 };
        let commands: Vec<CommandRecord> = (0..count).map(|_| self.command()).collect();
        let expect = self.expectations(&commands);
        let condition =
            (self.features.conditions && self.dice.one_in(4)).then(|| TagCondition { query: self.query(), after: Cursor::BEGINNING });
        let fence = (self.features.fences && self.dice.one_in(6)).then(|| Fence { register: self.register(), epoch: self.dice.below(3) });
        let origin = (self.features.imports && self.dice.one_in(12)).then(|| self.origin());
        let mut commit = Commit { commands, expect, condition, fence, origin };
        if self.dice.one_in(40) {
            self.break_a_bound(&mut commit);
        }
        for command in &commit.commands {
            *self.heads.entry(command.entity.clone()).or_default() += command.events.len() as u64;
        }
        Attempt { commit, after: self.place() }
    }

    fn command(&mut self) -> CommandRecord {
        let id = if self.dice.one_in(5) {
            self.known_command()
        } else {
            self.commands += 1;
            CommandId::from_raw(self.commands.to_string().as_bytes())
        };
        let events = (0..self.dice.below(4)).map(|_| self.event()).collect();
        let mut reply = vec![0; self.dice.below(24) as usize];
        self.dice.fill(&mut reply);
        CommandRecord {
            entity: self.entity(),
            id,
            name: if self.dice.one_in(10) { "undo" } else { "do" }.into(),
            fingerprint: self.fingerprint(),
            context: self.context(),
            reply: reply.into(),
            events,
        }
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        match self.dice.below(10) {
            0..=2 => None,
            3 => Some(Fingerprint([2; 16])),
            _ => Some(Fingerprint([1; 16])),
        }
    }

    fn context(&self) -> Context {
        let text = |name: &str| self.dice.one_in(3).then(|| format!("{name} {}", self.dice.below(100)).into());
        Context {
            correlation_id: text("correlation"),
            causation_id: text("causation"),
            traceparent: text("trace"),
            principal: text("principal"),
        }
    }

    fn event(&self) -> EventData {
        let deletes = self.features.deletes && self.dice.one_in(10);
        let bytes = if self.dice.one_in(20) { 3_000 } else { self.dice.below(120) };
        let mut payload = vec![0; bytes as usize];
        self.dice.fill(&mut payload);
        EventData {
            name: if deletes { "$deleted" } else { self.one_of(&EVENT_NAMES) }.into(),
            version: self.dice.below(300) as u16,
            content: ContentType::from_code(self.dice.below(5) as u8),
            flags: EventFlags(0),
            tags: self.tags(3),
            payload: payload.into(),
        }
    }

    /// About the entities that are written, and with foreign guards about others; heads are right two times in three.
    fn expectations(&self, commands: &[CommandRecord]) -> Vec<(EntityKey, Expect)> {
        let mut expect = Vec::new();
        if !self.features.expectations {
            return expect;
        }
        for command in commands.iter().filter(|_| self.dice.one_in(2)) {
            expect.push((command.entity.clone(), self.expectation(&command.entity)));
        }
        if self.features.foreign_guards && self.dice.one_in(4) {
            let guard = self.entity();
            let expectation = self.expectation(&guard);
            expect.push((guard, expectation));
        }
        if !self.dice.one_in(30) {
            let mut seen = std::collections::HashSet::new();
            expect.retain(|(entity, _)| seen.insert(entity.clone()));
        }
        expect
    }

    fn expectation(&self, entity: &EntityKey) -> Expect {
        let head = self.heads.get(entity).copied().unwrap_or(0);
        match self.dice.below(9) {
            0 => Expect::Any,
            1 => Expect::New,
            2 => Expect::Head(head + 1),
            3 => Expect::Head(head.saturating_sub(1)),
            _ if head == 0 => Expect::New,
            _ => Expect::Head(head),
        }
    }

    fn origin(&mut self) -> Origin {
        self.imports += 1;
        let mut id = [0xaa; 16];
        id[8..].copy_from_slice(&self.imports.to_be_bytes());
        Origin { id: CommitId(id), time: self.time() }
    }

    fn break_a_bound(&self, commit: &mut Commit) {
        let command = &mut commit.commands[0];
        match self.dice.below(4) {
            0 => command.reply = Bytes::from(vec![0; limits::REPLY_BYTES_MAX + 1]),
            1 => command.name = "n".repeat(limits::NAME_BYTES_MAX + 1).into(),
            2 => command.context.principal = Some("p".repeat(limits::CONTEXT_TEXT_BYTES_MAX + 1).into()),
            _ => command.name = "".into(),
        }
    }
}
