//! One of two engines under comparison: carries operations out and gives answers in which nothing is numbered by the engine.
//!
//! Commit ids, positions and revisions become ordinals: the how-manieth commit, the place between which commits, the how-manieth
//! revision. What is left must be equal on both sides.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::generate::{Attempt, Operation, Place, RegisterAim};
use super::patience::join_all;
use super::{Broken, Engine, ensure};
use crate::commit::{Commit, CommitId, Committed};
use crate::cursor::{Cursor, LineageId, Position};
use crate::error::{AppendError, ReadError, RegisterError};
use crate::key::EntityKey;
use crate::read::{FoundCommand, Head, Read, ReadMode, Recorded, Selection};
use crate::registers::{Register, RegisterExpect, Revision};
use crate::time::Timestamp;

/// What an engine answered, comparable.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Appended(Vec<Result<Taken, Refusal>>),
    Events { events: Vec<Recorded>, reached: usize },
    NotRead(String),
    EntityHead(Option<Head>),
    Place(usize),
    Keys(Vec<EntityKey>),
    Found(Option<FoundCommand>),
    Registers(Vec<Register>),
    Put(Result<Revision, String>),
    Done,
}

/// An acknowledged commit.
#[derive(Debug, PartialEq)]
pub(super) struct Taken {
    commit: usize,
    time: Timestamp,
    sequences: Vec<u64>,
}

/// A refused one.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    Conflict(EntityKey, Option<Head>),
    ConditionFailed,
    Duplicate(usize, FoundCommand),
    Other(String),
}

/// How often rare paths were reached: a run that misses some proves little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Commits that were taken.
    pub commits: u64,
    /// Refusals for an expectation.
    pub conflicts: u64,
    /// Refusals for a tag condition.
    pub conditions_failed: u64,
    /// Commits that were taken under a tag condition.
    pub conditions_held: u64,
    /// Duplicates.
    pub duplicates: u64,
    /// Mismatches.
    pub mismatches: u64,
    /// Stale owners.
    pub fenced: u64,
    /// Commits that were taken through a fence.
    pub fences_passed: u64,
    /// Broken bounds and rules.
    pub malformed: u64,
    /// Appends that were called before an earlier one was awaited.
    pub overlapping: u64,
    /// Events that reads gave.
    pub events_read: u64,
    /// Refused cursors.
    pub cursors_refused: u64,
    /// Registers that were set.
    pub puts: u64,
    /// Register calls that came too late.
    pub register_conflicts: u64,
}

impl Reached {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.counts_mut().into_iter().zip(other.counts()).for_each(|(sum, more)| *sum += more);
    }

    /// Whether every path was reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.counts().iter().all(|count| *count > 0)
    }

    fn counts(&self) -> [u64; 14] {
        let mut copy = *self;
        copy.counts_mut().map(|count| *count)
    }

    fn counts_mut(&mut self) -> [&mut u64; 14] {
        [
            &mut self.commits,
            &mut self.conflicts,
            &mut self.conditions_failed,
            &mut self.conditions_held,
            &mut self.duplicates,
            &mut self.mismatches,
            &mut self.fenced,
            &mut self.fences_passed,
            &mut self.malformed,
            &mut self.overlapping,
            &mut self.events_read,
            &mut self.cursors_refused,
            &mut self.puts,
            &mut self.register_conflicts,
        ]
    }
}

/// An engine, and what it has answered so far.
pub(super) struct Side {
    pub(super) engine: Engine,
    pub(super) reached: Reached,
    /// The place after each commit.
    ends: Vec<Cursor>,
    commits: HashMap<CommitId, usize>,
    /// The positions that the last whole read gave.
    seen: Vec<Position>,
    revisions: Vec<Revision>,
    revisions_of: BTreeMap<String, Vec<Revision>>,
}

impl Side {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            engine,
            reached: Reached::default(),
            ends: Vec::new(),
            commits: HashMap::new(),
            seen: Vec::new(),
            revisions: Vec::new(),
            revisions_of: BTreeMap::new(),
        }
    }

    /// Carries an operation out. A finding that needs no other side is an error; `acknowledged` hears of each commit that was taken.
    pub(super) async fn answer(&mut self, operation: &Operation, acknowledged: &mut Vec<(Commit, Committed)>) -> Result<Answer, Broken> {
        let journal = Arc::clone(&self.engine.journal);
        Ok(match operation {
            Operation::Append(attempts) => self.append(attempts, acknowledged).await?,
            Operation::Read(selection, from) => self.read(selection, *from, ReadMode::ToHead).await?,
            Operation::Follow(selection, from) => self.read(selection, *from, ReadMode::Live).await?,
            Operation::EntityHead(entity) => Answer::EntityHead(journal.entity_head(entity).await?.map(|head| self.head(head))),
            Operation::Head => Answer::Place(self.ordinal(journal.head().await?.position())),
            Operation::Entities(kind, after) => {
                let (mut listing, mut keys) = (journal.entities(kind, after.clone()), Vec::new());
                while let Some(key) = listing.next().await {
                    keys.push(key?);
                }
                Answer::Keys(keys)
            }
            Operation::CursorAt(time) => Answer::Place(self.ordinal(journal.cursor_at(*time).await?.position())),
            Operation::FindCommand(entity, id) => Answer::Found(journal.find_command(entity, *id).await?.map(|found| self.found(found))),
            Operation::Get(name) => {
                Answer::Registers(self.engine.registers.get(name).await?.into_iter().map(|found| self.register(found)).collect())
            }
            Operation::List(prefix) => {
                Answer::Registers(self.engine.registers.list(prefix).await?.into_iter().map(|found| self.register(found)).collect())
            }
            Operation::Put(name, aim, value) => {
                let outcome = self.engine.registers.put(name, self.expectation(name, *aim), value.clone()).await;
                self.put(name, outcome)?
            }
            Operation::Delete(name, aim) => self.delete(name, *aim).await,
            Operation::Tick(_) => Answer::Done,
        })
    }

    /// How many commits lie wholly at or before a position.
    fn ordinal(&self, position: Position) -> usize {
        self.ends.partition_point(|end| end.position() <= position)
    }

    fn head(&self, head: Head) -> Head {
        let commit = self.ends.partition_point(|end| end.position() < head.position);
        Head { position: commit as Position, ..head }
    }

    fn found(&self, found: FoundCommand) -> FoundCommand {
        let at = self.ends.iter().position(|end| *end == found.cursor).map_or(Position::MAX, |commit| commit as Position);
        FoundCommand { cursor: Cursor::from_parts(LineageId([0; 16]), at), ..found }
    }

    fn recorded(&self, event: &Recorded) -> Recorded {
        let commit = self.commits.get(&event.id.commit).copied().unwrap_or(usize::MAX) as Position;
        let mut event = Recorded { position: commit, ..event.clone() };
        event.id.commit = CommitId([0; 16]);
        event
    }

    fn cursor(&self, place: Place) -> Cursor {
        let lineage = self.engine.journal.lineage();
        let head = self.ends.last().map_or(0, Cursor::position);
        match place {
            Place::Beginning => Cursor::BEGINNING,
            Place::Commit(number) => pick(&self.ends, number).copied().unwrap_or(Cursor::BEGINNING),
            Place::Seen(number) => pick(&self.seen, number).map_or(Cursor::BEGINNING, |position| lineage.cursor(*position)),
            Place::Head => lineage.cursor(head),
            Place::Beyond => lineage.cursor(head + 1_000),
            Place::Stranger => Cursor::from_parts(LineageId([0xee; 16]), 1),
        }
    }

    async fn append(&mut self, attempts: &[Attempt], acknowledged: &mut Vec<(Commit, Committed)>) -> Result<Answer, Broken> {
        let journal = Arc::clone(&self.engine.journal);
        let commits: Vec<Commit> = attempts.iter().map(|attempt| self.commit(attempt)).collect();
        let called: Vec<_> = commits.iter().map(|commit| journal.append(commit.clone())).collect();
        self.reached.overlapping += called.len() as u64 - 1;
        let outcomes = join_all(called).await;
        // First what was taken: refusals may speak of it.
        for (commit, committed) in commits.iter().zip(&outcomes).filter_map(|(commit, outcome)| Some((commit, outcome.as_ref().ok()?))) {
            self.acknowledge(commit, committed)?;
            acknowledged.push((commit.clone(), committed.clone()));
        }
        Ok(Answer::Appended(outcomes.into_iter().map(|outcome| self.outcome(outcome)).collect()))
    }

    fn commit(&self, attempt: &Attempt) -> Commit {
        let mut commit = attempt.commit.clone();
        if let Some(condition) = &mut commit.condition {
            condition.after = self.cursor(attempt.after);
        }
        commit
    }

    fn acknowledge(&mut self, commit: &Commit, committed: &Committed) -> Result<(), Broken> {
        let last = self.ends.last().map_or(0, Cursor::position);
        ensure!(committed.cursor.position() > last, "a commit ends at {} and the one before at {last}", committed.cursor.position());
        let id_fits = commit.origin.is_none_or(|origin| origin.id == committed.id);
        ensure!(id_fits, "an import was given another id");
        let known = self.commits.insert(committed.id, self.ends.len());
        ensure!(known.is_none(), "the commit id {} was given twice", committed.id);
        self.ends.push(committed.cursor);
        self.reached.commits += 1;
        self.reached.conditions_held += u64::from(commit.condition.is_some());
        self.reached.fences_passed += u64::from(commit.fence.is_some());
        Ok(())
    }

    fn outcome(&mut self, outcome: Result<Committed, AppendError>) -> Result<Taken, Refusal> {
        match outcome {
            Ok(committed) => Ok(Taken {
                commit: self.ordinal(committed.cursor.position()),
                time: committed.time,
                sequences: committed.commands.iter().map(|settled| settled.sequence).collect(),
            }),
            Err(error) => Err(self.refusal(error)),
        }
    }

    fn refusal(&mut self, error: AppendError) -> Refusal {
        let reached = &mut self.reached;
        match error {
            AppendError::Conflict { entity, head } => {
                reached.conflicts += 1;
                Refusal::Conflict(entity, head.map(|head| self.head(head)))
            }
            AppendError::ConditionFailed { .. } => {
                reached.conditions_failed += 1;
                Refusal::ConditionFailed
            }
            AppendError::Duplicate { index, first } => {
                reached.duplicates += 1;
                Refusal::Duplicate(index, self.found(*first))
            }
            other => {
                reached.mismatches += u64::from(matches!(other, AppendError::Mismatch { .. }));
                reached.fenced += u64::from(matches!(other, AppendError::Fenced { .. }));
                reached.malformed += u64::from(matches!(other, AppendError::TooLarge { .. } | AppendError::Invalid(_)));
                Refusal::Other(format!("{other:?}"))
            }
        }
    }

    /// Reads until the end, or live until the head that was acknowledged.
    async fn read(&mut self, selection: &Selection, from: Place, mode: ReadMode) -> Result<Answer, Broken> {
        let head = self.engine.journal.head().await?.position();
        let mut read = self.engine.journal.read(selection.clone(), self.cursor(from), mode);
        let (mut events, mut reached): (Vec<Arc<Recorded>>, Position) = (Vec::new(), 0);
        while let Some(item) = read.next().await {
            match item {
                Ok(Read::Event(event)) => {
                    ensure!(event.position > reached, "event {} comes after {reached}", event.position);
                    reached = event.position;
                    events.push(event);
                }
                Ok(Read::Progress(cursor)) => {
                    ensure!(cursor.position() >= reached, "progress {} comes after {reached}", cursor.position());
                    reached = cursor.position();
                }
                Err(error @ ReadError::Cursor(_)) => {
                    self.reached.cursors_refused += 1;
                    return Ok(Answer::NotRead(format!("{error}")));
                }
                Err(error) => return Err(error.into()),
            }
            if mode == ReadMode::Live && reached >= head {
                break;
            }
        }
        if *selection == Selection::All && from == Place::Beginning {
            self.seen = events.iter().map(|event| event.position).collect();
        }
        self.reached.events_read += events.len() as u64;
        Ok(Answer::Events { events: events.iter().map(|event| self.recorded(event)).collect(), reached: self.ordinal(reached) })
    }

    fn revision(&self, revision: Revision) -> Revision {
        Revision(self.revisions.iter().position(|known| *known == revision).map_or(u64::MAX, |ordinal| ordinal as u64))
    }

    fn register(&self, register: Register) -> Register {
        Register { revision: self.revision(register.revision), ..register }
    }

    fn expectation(&self, name: &str, aim: RegisterAim) -> RegisterExpect {
        let known = self.revisions_of.get(name).map_or(&[][..], Vec::as_slice);
        match aim {
            RegisterAim::Absent => RegisterExpect::Absent,
            RegisterAim::Last => known.last().map_or(RegisterExpect::Absent, |last| RegisterExpect::Revision(*last)),
            RegisterAim::Earlier(number) => {
                pick(known, number).map_or(RegisterExpect::Absent, |earlier| RegisterExpect::Revision(*earlier))
            }
            RegisterAim::Never => RegisterExpect::Revision(Revision(u64::MAX)),
        }
    }

    fn put(&mut self, name: &str, outcome: Result<Revision, RegisterError>) -> Result<Answer, Broken> {
        let revision = match outcome {
            Ok(revision) => revision,
            Err(error) => return Ok(Answer::Put(Err(self.register_refusal(&error)))),
        };
        let of_name = self.revisions_of.entry(name.to_owned()).or_default();
        ensure!(!of_name.contains(&revision), "register {name} was given its revision {} twice", revision.0);
        of_name.push(revision);
        self.revisions.push(revision);
        self.reached.puts += 1;
        Ok(Answer::Put(Ok(self.revision(revision))))
    }

    async fn delete(&mut self, name: &str, aim: RegisterAim) -> Answer {
        let RegisterExpect::Revision(revision) = self.expectation(name, aim) else { return Answer::Done };
        match self.engine.registers.delete(name, revision).await {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Put(Err(self.register_refusal(&error))),
        }
    }

    fn register_refusal(&mut self, error: &RegisterError) -> String {
        match error {
            RegisterError::Conflict { now } => {
                self.reached.register_conflicts += 1;
                format!("conflict with revision {:?}", now.map(|now| self.revision(now).0))
            }
            other => format!("{other:?}"),
        }
    }
}

fn pick<T>(list: &[T], number: u64) -> Option<&T> {
    list.get(usize::try_from(number % (list.len() as u64).max(1)).ok()?)
}
