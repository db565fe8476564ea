//! The witness: what must be in the journal, what may be, and what the journal must answer. It knows the contract and nothing of the
//! engine: a list of events, a few maps, and the checks in the contract's order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use headwater_journal::sim::{Fired, SimDisk};
use headwater_journal::{
    AppendError, AppendErrorKind, CommandId, CommandRecord, Commit, CommitId, Committed, Context, Cursor, EntityKey, EventData, EventId,
    Expect, FoundCommand, Head, LineageId, Recorded, Timestamp,
};

use super::gone::Gone;
use super::marks::Marks;
use super::registry::Registry;

/// Whether a commit is in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody knows.
    Open,
    There,
    Gone,
}

/// A commit that was sent.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) commit: Commit,
    pub(super) fate: Fate,
    /// Nobody was told of it, and a start did not find it.
    unheard: bool,
    /// How often registers had changed by then.
    registers: u64,
}

/// Why a commit must be refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Fenced,
    Duplicate(usize),
    Mismatch(usize),
    Conflict(EntityKey),
    Condition,
}

/// What may stand in the way of an answer, because a fault was asked for: looked at when the answer is there.
#[derive(Clone)]
pub(super) struct Signs {
    pub(super) disk: Arc<SimDisk>,
    /// What had happened to it when this life began.
    pub(super) before: Fired,
    /// Room may have lacked.
    pub(super) no_room: bool,
}

impl Signs {
    /// A call of the disk has failed in this life; a lack of room is no failure.
    pub(super) fn failures(&self) -> bool {
        let of = |fired: &Fired| fired.input_output + fired.cut_off + fired.unreadable + fired.no_descriptors;
        of(&self.disk.fired()) > of(&self.before)
    }

    /// Something that was durable is not as it was, or may not be durable.
    pub(super) fn spoiled(&self) -> bool {
        self.lied() || self.disk.fired().rotten_bits > 0
    }

    /// The drive has confirmed what it has not done, or not there.
    pub(super) fn lied(&self) -> bool {
        let fired = self.disk.fired();
        let times = [fired.lost_writes, fired.misdirected_writes, fired.lied_writes, fired.lied_syncs];
        times.iter().any(|times| *times > 0)
    }
}

#[derive(Clone)]
pub(super) struct Witness {
    pub(super) lineage: LineageId,
    pub(super) attempts: Vec<Attempt>,
    /// What is there for good, by position from 1.
    pub(super) log: Vec<Arc<Recorded>>,
    pub(super) heads: BTreeMap<EntityKey, Head>,
    commands: HashMap<(EntityKey, CommandId), FoundCommand>,
    /// The attempt that became each commit of the log.
    commits: HashMap<CommitId, usize>,
    pub(super) gone: Gone,
    pub(super) registry: Registry,
    /// The journal has said that it takes no more.
    pub(super) poisoned: bool,
}

impl Witness {
    pub(super) fn new() -> Self {
        Self {
            lineage: LineageId([0; 16]),
            attempts: Vec::new(),
            log: Vec::new(),
            heads: BTreeMap::new(),
            commands: HashMap::new(),
            commits: HashMap::new(),
            gone: Gone::default(),
            registry: Registry::default(),
            poisoned: false,
        }
    }

    pub(super) fn cursor(&self, position: u64) -> Cursor {
        if position == 0 { Cursor::BEGINNING } else { Cursor::from_parts(self.lineage, position) }
    }

    /// Takes note of a commit that is sent now.
    pub(super) fn send(&mut self, commit: Commit) -> usize {
        self.attempts.push(Attempt { commit, fate: Fate::Open, unheard: false, registers: self.registry.changes });
        self.attempts.len() - 1
    }

    /// What the contract says to a commit on top of what is there: the first sequence of each command, or the refusal. What is not known
    /// of its fence counts as held.
    pub(super) fn predict(&self, attempt: &Attempt) -> Result<Vec<u64>, Refusal> {
        let commit = &attempt.commit;
        if let Some(fence) = &commit.fence
            && attempt.registers == self.registry.changes
            && self.registry.epoch(&fence.register) != Some(fence.epoch)
        {
            return Err(Refusal::Fenced);
        }
        for (index, command) in commit.commands.iter().enumerate() {
            if let Some(first) = self.commands.get(&(command.entity.clone(), command.id)) {
                let fits = first.fingerprint.is_none() || command.fingerprint.is_none() || first.fingerprint == command.fingerprint;
                let same = first.name == command.name && fits;
                return Err(if same { Refusal::Duplicate(index) } else { Refusal::Mismatch(index) });
            }
        }
        for (entity, expect) in &commit.expect {
            let head = self.heads.get(entity);
            let holds = match expect {
                Expect::Any => true,
                Expect::New => head.is_none_or(|head| head.deleted),
                Expect::Head(sequence) => head.map_or(0, |head| head.sequence) == *sequence,
            };
            if !holds {
                return Err(Refusal::Conflict(entity.clone()));
            }
        }
        if let Some(condition) = &commit.condition {
            let later = &self.log[(condition.after.position() as usize).min(self.log.len())..];
            if later.iter().any(|event| condition.query.matches(event.entity.kind(), &event.name, &event.tags)) {
                return Err(Refusal::Condition);
            }
        }
        Ok(self.sequences(commit))
    }

    fn sequences(&self, commit: &Commit) -> Vec<u64> {
        let mut next: HashMap<&EntityKey, u64> = HashMap::new();
        let first = |command: &CommandRecord, next: &mut u64| {
            let first = *next;
            *next += command.events.len() as u64;
            first
        };
        let mut firsts = Vec::new();
        for command in &commit.commands {
            let head = self.heads.get(&command.entity).map_or(0, |head| head.sequence);
            firsts.push(first(command, next.entry(&command.entity).or_insert(head + 1)));
        }
        firsts
    }

    /// Hears the answer to the oldest commit that waits for one.
    pub(super) fn hear(
        &mut self,
        number: usize,
        answer: Result<Committed, AppendError>,
        signs: &Signs,
        marks: &mut Marks,
    ) -> Result<(), String> {
        let predicted = self.predict(&self.attempts[number]);
        let wrong = |what: &str| Err(format!("commit {number} {what}, and the contract says {predicted:?}"));
        let fate = match &answer {
            Ok(_) if self.poisoned => return wrong("was acknowledged after the journal had stopped"),
            Ok(committed) => match &predicted {
                Ok(firsts) => {
                    self.accept(number, committed, firsts)?;
                    Fate::There
                }
                Err(_) => return wrong("was acknowledged"),
            },
            Err(AppendError::Unknown { .. }) if signs.failures() || signs.spoiled() => Fate::Open,
            Err(AppendError::Poisoned { .. }) if signs.failures() || signs.spoiled() => Fate::Gone,
            Err(AppendError::Full) if signs.no_room => Fate::Gone,
            Err(AppendError::Unavailable { .. }) if signs.failures() || signs.spoiled() => Fate::Gone,
            Err(error) if predicted.as_ref().err().is_some_and(|refusal| self.fits(number, refusal, error)) => Fate::Gone,
            // Nobody knows which epoch it met.
            Err(AppendError::Fenced { .. }) if self.attempts[number].registers != self.registry.changes => Fate::Gone,
            Err(error) => return wrong(&format!("was refused ({error})")),
        };
        marks.count(answer.as_ref().map_or_else(name_of, |_| "acknowledged"));
        self.attempts[number].fate = fate;
        Ok(())
    }

    fn fits(&self, number: usize, refusal: &Refusal, error: &AppendError) -> bool {
        match (refusal, error) {
            (Refusal::Fenced, AppendError::Fenced { .. }) | (Refusal::Condition, AppendError::ConditionFailed { .. }) => true,
            (Refusal::Mismatch(index), AppendError::Mismatch { index: told, .. }) => index == told,
            // It was decided when the fingerprint was there.
            (Refusal::Duplicate(index), AppendError::Mismatch { index: told, .. }) => {
                index == told && self.knew(number, &self.attempts[number].commit.commands[*index]).is_some()
            }
            // Nobody knows whether the fingerprint is still there.
            (Refusal::Mismatch(index), AppendError::Duplicate { index: told, .. }) => {
                index == told && self.is_in_doubt(self.first(number, *index))
            }
            (Refusal::Conflict(entity), AppendError::Conflict { entity: told, head }) => {
                entity == told && self.heads.get(entity) == head.as_ref()
            }
            (Refusal::Duplicate(index), AppendError::Duplicate { index: told, first }) => {
                let knew = self.knew(number, &self.attempts[number].commit.commands[*index]);
                index == told && (knew == Some(&**first) || self.knows(self.first(number, *index), Some(&**first)))
            }
            _ => false,
        }
    }

    /// What is known of a command of an attempt, from before.
    fn first(&self, number: usize, index: usize) -> Option<&FoundCommand> {
        let command = &self.attempts[number].commit.commands[index];
        self.command(&command.entity, command.id)
    }

    /// The records of all commands of a commit.
    pub(super) fn records_of(&mut self, commit: CommitId) -> impl Iterator<Item = (&(EntityKey, CommandId), &mut FoundCommand)> {
        let commands = &self.attempts[self.commits[&commit]].commit.commands;
        let keys: Vec<_> = commands.iter().map(|command| (command.entity.clone(), command.id)).collect();
        self.commands.iter_mut().filter(move |(key, _)| keys.contains(key))
    }

    fn accept(&mut self, number: usize, committed: &Committed, firsts: &[u64]) -> Result<(), String> {
        let commit = self.attempts[number].commit.clone();
        let last = (self.log.len() + commit.event_count()) as u64;
        let settled: Vec<u64> = committed.commands.iter().map(|command| command.sequence).collect();
        let expected: Vec<u64> =
            firsts.iter().zip(&commit.commands).map(|(first, command)| first + command.events.len() as u64 - 1).collect();
        if committed.cursor.position() != last || settled != expected {
            return Err(format!("commit {number} ended at {:?} with {settled:?}, not at {last} with {expected:?}", committed.cursor));
        }
        self.apply(number, firsts, committed.id, committed.time)
    }

    /// The commit is there: its events, heads and command ids.
    fn apply(&mut self, number: usize, firsts: &[u64], id: CommitId, time: Timestamp) -> Result<(), String> {
        let commit = self.attempts[number].commit.clone();
        let cursor = self.cursor((self.log.len() + commit.event_count()) as u64);
        let mut index = 0;
        for (command, first) in commit.commands.iter().zip(firsts) {
            if self.heads.get(&command.entity).is_some_and(|head| head.time > time) {
                return Err(format!("commit {number} is of an earlier time than the last event of {}", command.entity));
            }
            let context = Arc::new(command.context.clone());
            for (nth, event) in command.events.iter().enumerate() {
                let place = (self.log.len() as u64 + 1, first + nth as u64, EventId { commit: id, index });
                self.log.push(Arc::new(recorded(command, event, place, time, &context)));
                index += 1;
            }
            let sequence = first + command.events.len() as u64 - 1;
            if let Some(last) = command.events.last() {
                let head = Head { sequence, time, position: self.log.len() as u64, deleted: &*last.name == "$deleted" };
                self.heads.insert(command.entity.clone(), head);
            }
            self.commands.insert((command.entity.clone(), command.id), found(command, sequence, cursor, time));
        }
        self.attempts[number].fate = Fate::There;
        self.commits.insert(id, number);
        Ok(())
    }

    /// What the journal must remember of a command.
    pub(super) fn command(&self, entity: &EntityKey, id: CommandId) -> Option<&FoundCommand> {
        self.commands.get(&(entity.clone(), id))
    }

    /// Compares the log as it was found with what must be there and what may be, and learns which of the latter is.
    pub(super) fn meet(&mut self, events: &[Arc<Recorded>], in_doubt: bool, marks: &mut Marks) -> Result<(), String> {
        self.meet_what_is_known(events, in_doubt, marks)?;
        self.meet_no_stranger(events)
    }

    /// The same on a drive that confirms what it does not do: the zeros over a torn tail may be lost with the rest, so that a tail that a
    /// start did not find is there at a later one. It is one that nobody was told of, and follows the log as it did.
    pub(super) fn meet_on_a_drive_that_lies(&mut self, events: &[Arc<Recorded>], marks: &mut Marks) -> Result<(), String> {
        self.meet_what_is_known(events, true, marks)?;
        while let Some(next) = events.get(self.log.len()) {
            let is_next = |attempt: &Attempt| attempt.unheard && attempt.commit.commands[0].events[0].payload == next.payload;
            let Some(number) = self.attempts.iter().position(is_next) else { break };
            self.attempts[number].unheard = false;
            self.settle(number, events, true, marks)?;
            if self.attempts[number].fate == Fate::There {
                marks.count("unacknowledged tail back on a drive that lies");
            }
        }
        self.meet_no_stranger(events)
    }

    fn meet_what_is_known(&mut self, events: &[Arc<Recorded>], in_doubt: bool, marks: &mut Marks) -> Result<(), String> {
        let known = self.log.len();
        if let Some(at) = (0..known).find(|at| events.get(*at) != Some(&self.log[*at])) {
            let found = events.get(at).map_or("nothing".to_owned(), |event| brief(event));
            return Err(format!("position {} was acknowledged as {}, and there is {found}", at + 1, brief(&self.log[at])));
        }
        for number in 0..self.attempts.len() {
            if self.attempts[number].fate == Fate::Open {
                self.settle(number, events, in_doubt, marks)?;
                self.attempts[number].unheard = self.attempts[number].fate == Fate::Gone;
            }
        }
        Ok(())
    }

    fn meet_no_stranger(&self, events: &[Arc<Recorded>]) -> Result<(), String> {
        match events.get(self.log.len()) {
            Some(stranger) => Err(format!("position {} is of no commit that could be there: {}", stranger.position, brief(stranger))),
            None => Ok(()),
        }
    }

    /// Is this commit the next one of the log?
    fn settle(&mut self, number: usize, events: &[Arc<Recorded>], in_doubt: bool, marks: &mut Marks) -> Result<(), String> {
        let rest = &events[self.log.len()..];
        let predicted = self.predict(&self.attempts[number]);
        let wanted: Vec<&Bytes> =
            self.attempts[number].commit.commands.iter().flat_map(|command| command.events.iter().map(|event| &event.payload)).collect();
        let is_next = rest.first().is_some_and(|first| first.payload == *wanted[0]);
        if let (true, Ok(firsts)) = (is_next, &predicted) {
            let at = self.log.len();
            self.apply(number, firsts, rest[0].id.commit, rest[0].time)?;
            return match (at..self.log.len()).find(|at| events.get(*at) != Some(&self.log[*at])) {
                Some(at) => Err(format!("commit {number} is there in part, or not as it was sent: position {}", at + 1)),
                None => {
                    marks.count("unacknowledged commit kept");
                    Ok(())
                }
            };
        }
        if !rest.is_empty() && predicted.is_ok() && !in_doubt && self.attempts[number].commit.fence.is_none() {
            return Err(format!("commit {number} is not there, and one that was sent later is"));
        }
        self.attempts[number].fate = Fate::Gone;
        marks.count("unacknowledged commit lost");
        Ok(())
    }

    /// Forgets what is behind a position: a drive that lied has lost it.
    pub(super) fn cut(&mut self, length: usize) {
        let mut by_payload: HashMap<Bytes, usize> = HashMap::new();
        for (number, attempt) in self.attempts.iter_mut().enumerate().filter(|(_, attempt)| attempt.fate == Fate::There) {
            (attempt.fate, attempt.unheard) = (Fate::Gone, false);
            by_payload.insert(
                attempt.commit.commands.iter().flat_map(|command| &command.events).next().expect("an event").payload.clone(),
                number,
            );
        }
        let kept: Vec<_> = self.log[..length].iter().filter(|event| event.id.index == 0).cloned().collect();
        self.log.clear();
        self.heads.clear();
        self.commands.clear();
        self.commits.clear();
        for first in kept {
            let number = by_payload[&first.payload];
            let firsts = self.sequences(&self.attempts[number].commit);
            self.apply(number, &firsts, first.id.commit, first.time).expect("it was there before");
        }
        self.cut_what_is_gone(length as u64);
    }
}

/// An event in few words.
pub(super) fn brief(event: &Recorded) -> String {
    let front = &event.payload[..event.payload.iter().position(|byte| *byte == b':').unwrap_or(0)];
    format!(
        "{} of {} (its {}. event, command {}, sent as {})",
        event.name,
        event.entity,
        event.sequence,
        event.command,
        front.escape_ascii()
    )
}

fn name_of(error: &AppendError) -> &'static str {
    match error.kind() {
        AppendErrorKind::Conflict if matches!(error, AppendError::ConditionFailed { .. }) => "condition failed",
        AppendErrorKind::Conflict => "conflict",
        AppendErrorKind::Duplicate => "duplicate",
        AppendErrorKind::Mismatch => "mismatch",
        AppendErrorKind::Fenced => "fenced",
        AppendErrorKind::Full => "refused for lack of room",
        AppendErrorKind::Poisoned => "refused by a journal that has stopped",
        AppendErrorKind::Unknown => "outcome unknown",
        AppendErrorKind::Unavailable => "refused as unavailable",
        AppendErrorKind::TooLarge | AppendErrorKind::Invalid => "refused as wrong",
    }
}

fn recorded(command: &CommandRecord, event: &EventData, place: (u64, u64, EventId), time: Timestamp, context: &Arc<Context>) -> Recorded {
    Recorded {
        position: place.0,
        sequence: place.1,
        id: place.2,
        entity: command.entity.clone(),
        time,
        command: command.id,
        command_name: Arc::clone(&command.name),
        context: Arc::clone(context),
        name: Arc::clone(&event.name),
        version: event.version,
        content: event.content,
        flags: event.flags,
        tags: event.tags.clone(),
        payload: event.payload.clone(),
    }
}

fn found(command: &CommandRecord, sequence: u64, cursor: Cursor, time: Timestamp) -> FoundCommand {
    FoundCommand {
        name: Arc::clone(&command.name),
        fingerprint: command.fingerprint,
        reply: Some(command.reply.clone()),
        sequence,
        event_count: command.events.len() as u32,
        cursor,
        time,
    }
}
