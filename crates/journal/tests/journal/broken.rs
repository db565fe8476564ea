//! Proofs that the suite and the differential test can fail: engines that are broken on purpose, each in one way, and each is caught.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use headwater_journal::contract::{self, Differential, Engine};
use headwater_journal::model::ModelJournal;
use headwater_journal::sim::{SimClock, SimRandom};
use headwater_journal::{
    AppendError, BoxFuture, Capabilities, CommandId, Commit, Committed, Context, Cursor, EntityKey, EntityType, EventSource, Events,
    Expect, Fence, FoundCommand, Head, Journal, KeySource, Keys, Lineage, Read, ReadError, ReadMode, Register, RegisterError,
    RegisterExpect, RegisterWatch, Registers, Revision, Selection, TagQuery, Timestamp, epoch_of,
};

use crate::engines::model;

/// What an engine does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    AcceptsEveryCursor,
    AnswersWithTheNewReply,
    ChecksTheConditionLast,
    ComparesBodiesAlways,
    ConditionCountsEverything,
    ConditionCountsItself,
    ConditionForgetsTypes,
    ConditionNeedsItsFirstItem,
    ConflictBeforeDuplicate,
    CursorAtIsLate,
    CutsTheBytesOff,
    EndsLiveReads,
    EndsWithinACommit,
    FindsNothing,
    FlipsABit,
    ForgetsCommandIds,
    ForgetsContexts,
    ForgetsTags,
    ForgetsTheLastEvent,
    ForgetsValues,
    GoesOnBeyondTheHead,
    HidesProgress,
    HidesTheHead,
    IgnoresExpectations,
    IgnoresFences,
    IgnoresFencesOfRegisters,
    LooksAtFencesFirst,
    IgnoresForeignGuards,
    IgnoresRevisions,
    IgnoresSelections,
    IgnoresTheFromSequence,
    IgnoresTypesOfSlices,
    ListsBackwards,
    ListsEverythingAfterAKey,
    ListsRegistersOfAnyPrefix,
    MismatchIsDuplicate,
    MintsIdsForImports,
    NamesNoBound,
    NeverHints,
    NewRefusesDeleted,
    PlacesWhenPolled,
    RepeatsEvents,
    ReusesRevisions,
    SettlesTooHigh,
    ShowsEventsEarly,
    SkipsEvents,
    SkipsTheCondition,
    StaleEntityHeads,
    StaleHead,
    TakesNothing,
    TellsTheWrongCommand,
}

/// Which check catches it, and whether the differential test must, too.
const FAULTS: &[(Fault, &str, bool)] = &[
    (Fault::AcceptsEveryCursor, "cursors_beyond_or_of_strangers_are_refused", true),
    (Fault::AnswersWithTheNewReply, "a_duplicate_gives_the_first_reply", true),
    (Fault::ChecksTheConditionLast, "checks_come_in_their_order", true),
    (Fault::ComparesBodiesAlways, "without_a_fingerprint_no_body_is_another", true),
    (Fault::ConditionCountsEverything, "a_tag_condition_counts_only_what_comes_after", true),
    (Fault::ConditionCountsItself, "a_commits_own_events_do_not_count", true),
    (Fault::ConditionForgetsTypes, "a_tag_condition_takes_types_and_all_of_its_tags", true),
    (Fault::ConditionNeedsItsFirstItem, "a_tag_condition_fails_on_any_item", true),
    (Fault::ConflictBeforeDuplicate, "a_duplicate_gives_the_first_reply", true),
    (Fault::CursorAtIsLate, "cursor_at_is_before_the_first_event_of_its_time", true),
    (Fault::CutsTheBytesOff, "a_commit_at_each_bound_is_taken", true),
    (Fault::EndsLiveReads, "a_live_read_wakes", false),
    (Fault::EndsWithinACommit, "a_commit_is_visible_at_once", false),
    (Fault::FindsNothing, "find_command_finds_what_took_effect", true),
    (Fault::FlipsABit, "an_event_reads_back_byte_for_byte", true),
    (Fault::ForgetsCommandIds, "a_duplicate_gives_the_first_reply", true),
    (Fault::ForgetsContexts, "an_event_reads_back_byte_for_byte", true),
    (Fault::ForgetsTags, "an_event_reads_back_byte_for_byte", true),
    (Fault::ForgetsTheLastEvent, "an_event_reads_back_byte_for_byte", true),
    (Fault::ForgetsValues, "a_register_is_set_and_read", true),
    (Fault::GoesOnBeyondTheHead, "a_read_to_the_head_ends_there", false),
    (Fault::HidesProgress, "a_sparse_read_makes_progress", true),
    (Fault::HidesTheHead, "a_conflict_gives_the_head", true),
    (Fault::IgnoresExpectations, "new_and_head_and_any", true),
    (Fault::IgnoresFences, "a_fence_holds_stale_owners_off", true),
    (Fault::IgnoresFencesOfRegisters, "a_fence_holds_stale_owners_off_registers", false),
    (Fault::LooksAtFencesFirst, "a_fenced_write_is_before_the_takeover_or_refused", false),
    (Fault::IgnoresForeignGuards, "a_foreign_guard_guards", true),
    (Fault::IgnoresRevisions, "a_put_compares_first", true),
    (Fault::IgnoresSelections, "selections_give_what_they_name", true),
    (Fault::IgnoresTheFromSequence, "selections_give_what_they_name", true),
    (Fault::IgnoresTypesOfSlices, "selections_give_what_they_name", true),
    (Fault::ListsBackwards, "entities_are_listed_in_order", true),
    (Fault::ListsEverythingAfterAKey, "entities_are_listed_in_order", true),
    (Fault::ListsRegistersOfAnyPrefix, "registers_are_listed_by_prefix", true),
    (Fault::MismatchIsDuplicate, "another_name_or_body_is_a_mismatch", true),
    (Fault::MintsIdsForImports, "an_import_keeps_its_id_and_time", true),
    (Fault::NamesNoBound, "a_commit_beyond_a_bound_is_refused_with_its_number", true),
    (Fault::NeverHints, "a_watch_is_told", false),
    (Fault::NewRefusesDeleted, "a_deleted_entity_goes_on", true),
    (Fault::PlacesWhenPolled, "an_append_takes_its_place_when_it_is_called", false),
    (Fault::RepeatsEvents, "an_event_reads_back_byte_for_byte", true),
    (Fault::ReusesRevisions, "revisions_are_never_reused", true),
    (Fault::SettlesTooHigh, "an_event_reads_back_byte_for_byte", true),
    (Fault::ShowsEventsEarly, "nothing_is_visible_beyond_the_head", false),
    (Fault::SkipsEvents, "a_live_read_wakes", true),
    (Fault::SkipsTheCondition, "a_tag_condition_fails_on_a_match", true),
    (Fault::StaleEntityHeads, "the_head_is_the_last_event", true),
    (Fault::StaleHead, "the_head_is_the_last_event", true),
    (Fault::TakesNothing, "an_event_reads_back_byte_for_byte", true),
    (Fault::TellsTheWrongCommand, "every_command_of_a_commit_is_checked", true),
];

/// Some faults make checks hang, and a hang is one however short the patience: the model never waits for anybody.
const PATIENCE: Duration = Duration::from_millis(500);

/// The model with one fault.
struct Faulty {
    inner: Arc<ModelJournal>,
    fault: Fault,
    count: AtomicU64,
    /// What was acknowledged last, for an engine that shows more than that.
    acknowledged: Mutex<Option<Cursor>>,
    awaited: AtomicU64,
    heads: Mutex<HashMap<EntityKey, Option<Head>>>,
    registers: Mutex<BTreeMap<String, (u64, Bytes)>>,
}

fn faulty(fault: Fault, seed: u64, clock: Arc<SimClock>) -> Engine {
    Engine::of(Faulty {
        inner: Arc::new(ModelJournal::new(clock, Arc::new(SimRandom::new(seed)))),
        fault,
        count: AtomicU64::new(0),
        acknowledged: Mutex::new(None),
        awaited: AtomicU64::new(0),
        heads: Mutex::default(),
        registers: Mutex::default(),
    })
}

impl Faulty {
    fn count(&self) -> u64 {
        self.count.fetch_add(1, Ordering::SeqCst)
    }

    /// What the engine makes of a commit before it records it.
    fn before(&self, commit: &mut Commit) {
        match self.fault {
            Fault::IgnoresExpectations => commit.expect.clear(),
            Fault::IgnoresFences => commit.fence = None,
            Fault::SkipsTheCondition => commit.condition = None,
            Fault::MintsIdsForImports => commit.origin = None,
            Fault::IgnoresForeignGuards => {
                let written: Vec<EntityKey> = commit.commands.iter().map(|command| command.entity.clone()).collect();
                commit.expect.retain(|(entity, _)| written.contains(entity));
            }
            Fault::ConditionCountsEverything | Fault::ConditionForgetsTypes | Fault::ConditionNeedsItsFirstItem => {
                self.bend_condition(commit)
            }
            _ => self.bend_commands(commit),
        }
    }

    fn bend_condition(&self, commit: &mut Commit) {
        let Some(condition) = &mut commit.condition else { return };
        match self.fault {
            Fault::ConditionCountsEverything => condition.after = Cursor::BEGINNING,
            Fault::ConditionForgetsTypes => condition.query.items.iter_mut().for_each(|item| item.types.clear()),
            _ => condition.query.items.truncate(1),
        }
    }

    fn bend_commands(&self, commit: &mut Commit) {
        for command in &mut commit.commands {
            match self.fault {
                Fault::ForgetsCommandIds => command.id = CommandId::from_raw(&self.count().to_be_bytes()),
                Fault::ForgetsContexts => command.context = Context::default(),
                Fault::ForgetsTags => command.events.iter_mut().for_each(|event| event.tags.clear()),
                Fault::ForgetsTheLastEvent if command.events.len() > 1 => drop(command.events.pop()),
                Fault::FlipsABit => command.events.iter_mut().for_each(|event| event.payload = flipped(&event.payload)),
                Fault::CutsTheBytesOff => command.events.iter_mut().for_each(|event| event.payload.truncate(1_000)),
                _ => {}
            }
        }
    }

    /// A refusal that the contract does not know.
    async fn refuse(&self, commit: &Commit) -> Option<AppendError> {
        let head = self.inner.head().await.ok()?;
        match self.fault {
            Fault::ConditionCountsItself => {
                let query = commit.condition.as_ref().map(|condition| &condition.query)?;
                let own = |query: &TagQuery| {
                    let mut events =
                        commit.commands.iter().flat_map(|command| command.events.iter().map(move |event| (command.entity.kind(), event)));
                    events.any(|(kind, event)| query.matches(kind, &event.name, &event.tags))
                };
                own(query).then_some(AppendError::ConditionFailed { head })
            }
            Fault::NewRefusesDeleted => {
                for (entity, _) in commit.expect.iter().filter(|(_, expect)| *expect == Expect::New) {
                    let head = self.inner.entity_head(entity).await.ok()?;
                    if head.as_ref().is_some_and(|head| head.deleted) {
                        return Some(AppendError::Conflict { entity: entity.clone(), head });
                    }
                }
                None
            }
            Fault::ConflictBeforeDuplicate => self.conflict(commit).await,
            Fault::TakesNothing => Some(AppendError::Full),
            _ => None,
        }
    }

    async fn conflict(&self, commit: &Commit) -> Option<AppendError> {
        for (entity, expect) in &commit.expect {
            let head = self.inner.entity_head(entity).await.ok()?;
            if matches!(expect, Expect::Head(sequence) if *sequence != head.as_ref().map_or(0, |head| head.sequence)) {
                return Some(AppendError::Conflict { entity: entity.clone(), head });
            }
        }
        None
    }

    /// What the engine makes of an outcome before it tells it.
    async fn after(&self, commit: &Commit, outcome: Result<Committed, AppendError>) -> Result<Committed, AppendError> {
        match (self.fault, outcome) {
            (Fault::SettlesTooHigh, Ok(mut committed)) => {
                committed.commands.iter_mut().for_each(|settled| settled.sequence += 1);
                Ok(committed)
            }
            (Fault::HidesTheHead, Err(AppendError::Conflict { entity, .. })) => Err(AppendError::Conflict { entity, head: None }),
            (Fault::NamesNoBound, Err(AppendError::TooLarge { what, .. })) => Err(AppendError::TooLarge { what, limit: 0, actual: 0 }),
            (Fault::AnswersWithTheNewReply, Err(AppendError::Duplicate { index, mut first })) => {
                first.reply = Some(Bytes::from_static(b"new"));
                Err(AppendError::Duplicate { index, first })
            }
            (Fault::TellsTheWrongCommand, Err(AppendError::Duplicate { first, .. })) => Err(AppendError::Duplicate { index: 0, first }),
            (Fault::ComparesBodiesAlways, Err(AppendError::Duplicate { index, first }))
                if first.fingerprint != commit.commands[index].fingerprint =>
            {
                Err(AppendError::Mismatch { index, id: commit.commands[index].id })
            }
            (Fault::MismatchIsDuplicate, Err(AppendError::Mismatch { index, id })) => {
                let first = self.inner.find_command(&commit.commands[index].entity, id).await.ok().flatten();
                Err(AppendError::Duplicate { index, first: Box::new(first.expect("a mismatch is about a command that is there")) })
            }
            (Fault::ChecksTheConditionLast, Err(AppendError::Conflict { .. })) if commit.condition.is_some() => {
                let head = self.inner.head().await.map_err(|error| AppendError::Unknown { cause: error.to_string() })?;
                Err(AppendError::ConditionFailed { head })
            }
            (_, outcome) => outcome,
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn flipped(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    bytes.into()
}

impl Journal for Faulty {
    fn lineage(&self) -> &Lineage {
        self.inner.lineage()
    }

    fn append(&self, mut commit: Commit) -> BoxFuture<'_, Result<Committed, AppendError>> {
        let asked = commit.clone();
        self.before(&mut commit);
        if self.fault == Fault::PlacesWhenPolled {
            return Box::pin(async move { self.inner.append(commit).await });
        }
        let refuses = [Fault::ConditionCountsItself, Fault::NewRefusesDeleted, Fault::ConflictBeforeDuplicate, Fault::TakesNothing];
        if refuses.contains(&self.fault) {
            return Box::pin(async move {
                match self.refuse(&commit).await {
                    Some(error) => Err(error),
                    None => self.inner.append(commit).await,
                }
            });
        }
        self.awaited.fetch_add(1, Ordering::SeqCst);
        let outcome = self.inner.append(commit);
        Box::pin(async move {
            let outcome = outcome.await;
            self.awaited.fetch_sub(1, Ordering::SeqCst);
            if let Ok(committed) = &outcome {
                *held(&self.acknowledged) = Some(committed.cursor);
            }
            self.after(&asked, outcome).await
        })
    }

    fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
        let source = |selection, from, mode| Bent {
            events: self.inner.read(selection, from, mode),
            fault: self.fault,
            given: 0,
            held: None,
            again: None,
        };
        match (self.fault, selection) {
            (Fault::EndsLiveReads, selection) => self.inner.read(selection, from, ReadMode::ToHead),
            (Fault::AcceptsEveryCursor, selection) => {
                let known = Cursor::from_parts(self.inner.lineage().id, 0);
                self.inner.read(selection, if from.position() > 0 && from.lineage() != known.lineage() { known } else { from }, mode)
            }
            (Fault::IgnoresSelections, Selection::Tags(_)) => self.inner.read(Selection::All, from, mode),
            (Fault::IgnoresTypesOfSlices, Selection::Slices { first, last, .. }) => {
                self.inner.read(Selection::Slices { first, last, types: None }, from, mode)
            }
            (Fault::IgnoresTheFromSequence, Selection::Entity { entity, .. }) => {
                self.inner.read(Selection::Entity { entity, from_sequence: 1 }, from, mode)
            }
            (Fault::GoesOnBeyondTheHead, selection) if mode == ReadMode::ToHead => {
                let again = Some((Arc::clone(&self.inner), selection.clone()));
                Events::new(Bent { again, ..source(selection, from, mode) })
            }
            (Fault::EndsWithinACommit, selection) if self.awaited.load(Ordering::SeqCst) == 0 => self.inner.read(selection, from, mode),
            (_, selection) => Events::new(source(selection, from, mode)),
        }
    }

    fn entity_head(&self, entity: &EntityKey) -> BoxFuture<'_, Result<Option<Head>, ReadError>> {
        if self.fault != Fault::StaleEntityHeads {
            return self.inner.entity_head(entity);
        }
        let entity = entity.clone();
        Box::pin(async move {
            let now = self.inner.entity_head(&entity).await?;
            Ok(held(&self.heads).insert(entity, now.clone()).unwrap_or(now))
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        let acknowledged = *held(&self.acknowledged);
        match (self.fault, acknowledged) {
            (Fault::ShowsEventsEarly, acknowledged) => Box::pin(std::future::ready(Ok(acknowledged.unwrap_or(self.lineage().cursor(0))))),
            (Fault::StaleHead, Some(last)) => Box::pin(std::future::ready(Ok(self.lineage().cursor(last.position() - 1)))),
            _ => self.inner.head(),
        }
    }

    fn entities(&self, kind: &EntityType, after: Option<EntityKey>) -> Keys {
        match self.fault {
            Fault::ListsBackwards => Keys::new(Backwards { keys: Some(self.inner.entities(kind, after)), list: Vec::new() }),
            Fault::ListsEverythingAfterAKey => self.inner.entities(kind, None),
            _ => self.inner.entities(kind, after),
        }
    }

    fn cursor_at(&self, time: Timestamp) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        let late = if self.fault == Fault::CursorAtIsLate { 1 } else { 0 };
        self.inner.cursor_at(Timestamp::from_micros(time.as_micros().saturating_add(late)))
    }

    fn find_command(&self, entity: &EntityKey, id: CommandId) -> BoxFuture<'_, Result<Option<FoundCommand>, ReadError>> {
        match self.fault {
            Fault::FindsNothing => Box::pin(std::future::ready(Ok(None))),
            _ => self.inner.find_command(entity, id),
        }
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn poisoned(&self) -> Option<String> {
        None
    }
}

/// A read that gives too much, too little or too late.
struct Bent {
    events: Events,
    fault: Fault,
    given: u64,
    held: Option<Result<Read, ReadError>>,
    again: Option<(Arc<ModelJournal>, Selection)>,
}

impl EventSource for Bent {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Read, ReadError>>> {
        Box::pin(async move {
            loop {
                if self.fault != Fault::EndsWithinACommit
                    && let Some(held) = self.held.take()
                {
                    return Some(held);
                }
                let Some(item) = self.events.next().await else {
                    let (journal, selection) = self.again.take()?;
                    let now = journal.lineage().cursor(self.given);
                    self.events = journal.read(selection, now, ReadMode::ToHead);
                    continue;
                };
                if let Some(item) = self.bend(item) {
                    return Some(item);
                }
            }
        })
    }
}

impl Bent {
    fn bend(&mut self, item: Result<Read, ReadError>) -> Option<Result<Read, ReadError>> {
        match (&item, self.fault) {
            (Ok(Read::Progress(_)), Fault::HidesProgress) => return None,
            (Ok(Read::Event(event)), Fault::SkipsEvents) if event.position % 5 == 2 => return None,
            (Ok(Read::Event(event)), Fault::GoesOnBeyondTheHead) => self.given = event.position,
            (Ok(Read::Event(_)), Fault::RepeatsEvents) => self.held = Some(item.clone()),
            // Each item is given when the next one comes, so that the last event is missing.
            (Ok(Read::Event(_)), Fault::EndsWithinACommit) => return self.held.replace(item),
            _ => {}
        }
        Some(item)
    }
}

struct Backwards {
    keys: Option<Keys>,
    list: Vec<EntityKey>,
}

impl KeySource for Backwards {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<EntityKey, ReadError>>> {
        Box::pin(async move {
            if let Some(mut keys) = self.keys.take() {
                while let Some(Ok(key)) = keys.next().await {
                    self.list.push(key);
                }
            }
            self.list.pop().map(Ok)
        })
    }
}

impl Registers for Faulty {
    fn get(&self, name: &str) -> BoxFuture<'_, Result<Option<Register>, RegisterError>> {
        if self.fault == Fault::ReusesRevisions {
            let found = held(&self.registers).get(name).cloned();
            let register = found.map(|(revision, value)| Register { name: name.to_owned(), revision: Revision(revision), value });
            return Box::pin(std::future::ready(Ok(register)));
        }
        self.inner.get(name)
    }

    fn put(&self, name: &str, expect: RegisterExpect, value: Bytes) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        let name = name.to_owned();
        Box::pin(async move {
            match self.fault {
                // Each register counts for itself, and begins again after a delete.
                Fault::ReusesRevisions => Ok(self.count_for_itself(name, expect, value)?),
                Fault::IgnoresRevisions => {
                    let now = self.inner.get(&name).await?.map_or(RegisterExpect::Absent, |now| RegisterExpect::Revision(now.revision));
                    self.inner.put(&name, now, value).await
                }
                Fault::ForgetsValues => self.inner.put(&name, expect, Bytes::new()).await,
                _ => self.inner.put(&name, expect, value).await,
            }
        })
    }

    fn delete(&self, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        if self.fault == Fault::ReusesRevisions {
            held(&self.registers).remove(name);
            return Box::pin(std::future::ready(Ok(())));
        }
        self.inner.delete(name, revision)
    }

    fn put_fenced(
        &self,
        fence: &Fence,
        name: &str,
        expect: RegisterExpect,
        value: Bytes,
    ) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        let (fence, name) = (fence.clone(), name.to_owned());
        Box::pin(async move {
            match self.fault {
                Fault::IgnoresFencesOfRegisters => self.inner.put(&name, expect, value).await,
                Fault::LooksAtFencesFirst => {
                    let found = self.inner.get(&fence.register).await?;
                    if found.and_then(|register| epoch_of(&register.value)) != Some(fence.epoch) {
                        return Err(RegisterError::Fenced { register: fence.register });
                    }
                    // Whoever takes over does so here.
                    tokio::task::yield_now().await;
                    self.inner.put(&name, expect, value).await
                }
                _ => self.inner.put_fenced(&fence, &name, expect, value).await,
            }
        })
    }

    fn delete_fenced(&self, fence: &Fence, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        if self.fault == Fault::IgnoresFencesOfRegisters {
            self.inner.delete(name, revision)
        } else {
            self.inner.delete_fenced(fence, name, revision)
        }
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<Register>, RegisterError>> {
        self.inner.list(if self.fault == Fault::ListsRegistersOfAnyPrefix { "" } else { prefix })
    }

    fn watch(&self, prefix: &str) -> Box<dyn RegisterWatch> {
        if self.fault == Fault::NeverHints { Box::new(Deaf) } else { self.inner.watch(prefix) }
    }
}

impl Faulty {
    fn count_for_itself(&self, name: String, expect: RegisterExpect, value: Bytes) -> Result<Revision, RegisterError> {
        let mut registers = held(&self.registers);
        let now = registers.get(&name).map(|(revision, _)| Revision(*revision));
        let expected = match expect {
            RegisterExpect::Absent => None,
            RegisterExpect::Revision(revision) => Some(revision),
        };
        if now != expected {
            return Err(RegisterError::Conflict { now });
        }
        let next = now.map_or(1, |now| now.0 + 1);
        registers.insert(name, (next, value));
        Ok(Revision(next))
    }
}

struct Deaf;

impl RegisterWatch for Deaf {
    fn changed(&mut self) -> BoxFuture<'_, Option<()>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn the_suite_catches_every_fault() {
    let mut missed = Vec::new();
    for (fault, check, _) in FAULTS {
        let new_engine = || -> BoxFuture<'static, Engine> { Box::pin(std::future::ready(faulty(*fault, 1, Arc::new(SimClock::new())))) };
        let found = contract::violations(new_engine, PATIENCE).await;
        if !found.iter().any(|violation| violation.check == *check) {
            let names: Vec<_> = found.iter().map(|violation| violation.check).collect();
            missed.push(format!("{fault:?} passed {check}; what failed: {names:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn the_differential_test_catches_the_faults_it_can() {
    let mut missed = Vec::new();
    for (fault, _, _) in FAULTS.iter().filter(|(_, _, must)| *must) {
        let mut caught = false;
        for seed in 0..40 {
            let clock = Arc::new(SimClock::new());
            let (left, right) = (model(seed, Arc::clone(&clock)), faulty(*fault, seed + 1, Arc::clone(&clock)));
            caught |= Differential::new(seed, &clock, left, right).with_patience(PATIENCE).run(300).await.is_err();
            if caught {
                break;
            }
        }
        if !caught {
            missed.push(format!("{fault:?}"));
        }
    }
    assert!(missed.is_empty(), "went unnoticed: {}", missed.join(", "));
}

/// Every check has caught something at least once.
#[tokio::test]
async fn no_check_passes_everything() {
    let mut idle: Vec<&str> = contract::names().collect();
    for (fault, _, _) in FAULTS.iter().filter(|(fault, _, _)| *fault != Fault::NeverHints) {
        let new_engine = || -> BoxFuture<'static, Engine> { Box::pin(std::future::ready(faulty(*fault, 1, Arc::new(SimClock::new())))) };
        let found = contract::violations(new_engine, PATIENCE).await;
        idle.retain(|name| !found.iter().any(|violation| violation.check == *name));
    }
    assert!(idle.is_empty(), "these checks caught nothing: {idle:?}");
}
