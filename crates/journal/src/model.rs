//! The model engine: the whole contract in plain memory, so simple that it is obviously right.
//!
//! It is the oracle of differential tests, and an engine for tests that need no disk. It promises every rule of [`Journal`] and
//! [`Registers`]; a commit is visible and acknowledged inside the call of `append`. It is not durable
//! ([`Durability::Memory`]), not fast (every question is a linear scan) and forgets nothing while it lives.

mod reader;
mod registers;
mod state;

use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::commit::{CommandId, Commit, CommitId, Committed, Durability, Fence};
use crate::contract_traits::{BoxFuture, Capabilities, Capability, Journal};
use crate::cursor::{Cursor, Lineage, LineageId, ParentLineage, Position};
use crate::error::{AppendError, ReadError, RegisterError};
use crate::key::{EntityKey, EntityType};
use crate::read::{Events, FoundCommand, Head, Keys, ReadMode, Selection};
use crate::registers::{Register, RegisterExpect, RegisterWatch, Registers, Revision};
use crate::seams::{Clock, Random};
use crate::time::Timestamp;

use state::{Assigned, State};

/// A journal and its registers in memory.
pub struct ModelJournal {
    lineage: Lineage,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    shared: Arc<Mutex<State>>,
    /// The last position; wakes live reads, and ends them when the journal is dropped.
    head: watch::Sender<Position>,
    /// Counts register changes; wakes watches.
    changes: watch::Sender<u64>,
    /// Whether it stands for an engine that several nodes share.
    has_many_nodes: bool,
}

impl ModelJournal {
    /// An empty journal of a new history.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let (mut id, mut family_key) = ([0; 16], [0; 32]);
        random.fill(&mut id);
        random.fill(&mut family_key);
        Self::with_lineage(Lineage { id: LineageId(id), parents: Vec::new(), family_key }, clock, random)
    }

    /// An empty journal of a given history; what a restore or an import begins with.
    #[must_use]
    pub fn with_lineage(lineage: Lineage, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            lineage,
            clock,
            random,
            shared: Arc::default(),
            head: watch::Sender::new(0),
            changes: watch::Sender::new(0),
            has_many_nodes: false,
        }
    }

    /// The same for an engine that several nodes share.
    #[must_use]
    pub fn of_many_nodes(self) -> Self {
        Self { has_many_nodes: true, ..self }
    }

    /// What a move to another engine makes of it: the same events, commands and registers in a history of its own that knows this one. It is
    /// one process's alone.
    #[must_use]
    pub fn moved(&self) -> Self {
        let (state, fork) = (self.lock().clone(), *self.head.borrow());
        let fresh = Self::new(Arc::clone(&self.clock), Arc::clone(&self.random));
        let mut parents = vec![ParentLineage { id: self.lineage.id, fork }];
        parents.extend(self.lineage.parents.iter().cloned());
        let lineage = Lineage { id: fresh.lineage.id, parents, family_key: self.lineage.family_key };
        Self { lineage, shared: Arc::new(Mutex::new(state)), head: watch::Sender::new(fork), ..fresh }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }

    /// Checks in the contract's order, then records.
    fn record(&self, commit: &Commit) -> Result<Committed, AppendError> {
        commit.check()?;
        let mut state = self.lock();
        state.check_fence(commit)?;
        state.check_commands(commit)?;
        state.check_expectations(commit)?;
        state.check_condition(commit, &self.lineage)?;
        let assigned = self.assign(commit, &state);
        let commands = state.take(commit, assigned, &self.lineage);
        let head = state.head();
        self.head.send_replace(head);
        let cursor = self.lineage.cursor(head);
        Ok(Committed { id: assigned.id, time: assigned.time, cursor, commands, durability: Durability::Memory })
    }

    /// An import brings its id and time; no time is before the last one of an entity that is written.
    fn assign(&self, commit: &Commit, state: &State) -> Assigned {
        let wanted = commit.origin.map_or_else(|| self.clock.now(), |origin| origin.time);
        let heads = commit.commands.iter().filter_map(|command| state.entity_head(&command.entity));
        let time = heads.fold(wanted, |time, head| time.max(head.time));
        let id = commit.origin.map_or_else(|| self.mint(time), |origin| origin.id);
        Assigned { id, time }
    }

    fn mint(&self, time: Timestamp) -> CommitId {
        let mut random = [0; 10];
        self.random.fill(&mut random);
        CommitId::from_parts(time, random)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal for ModelJournal {
    fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, AppendError>> {
        Box::pin(ready(self.record(&commit)))
    }

    fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
        let head = self.head.subscribe();
        let now = *head.borrow();
        match self.lineage.resolve(from, now, 0) {
            Ok(at) => {
                let end = (mode == ReadMode::ToHead).then_some(now);
                Events::new(reader::Reader {
                    shared: Arc::clone(&self.shared),
                    lineage: self.lineage.id,
                    selection,
                    at,
                    end,
                    head,
                    told: None,
                })
            }
            Err(refused) => Events::failed(refused),
        }
    }

    fn entity_head(&self, entity: &EntityKey) -> BoxFuture<'_, Result<Option<Head>, ReadError>> {
        Box::pin(ready(Ok(self.lock().entity_head(entity))))
    }

    fn head(&self) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        Box::pin(ready(Ok(self.lineage.cursor(self.lock().head()))))
    }

    fn entities(&self, kind: &EntityType, after: Option<EntityKey>) -> Keys {
        Keys::new(reader::Listing(self.lock().keys(kind, after.as_ref()).into_iter()))
    }

    fn cursor_at(&self, time: Timestamp) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        Box::pin(ready(Ok(self.lineage.cursor(self.lock().position_before(time)))))
    }

    fn find_command(&self, entity: &EntityKey, id: CommandId) -> BoxFuture<'_, Result<Option<FoundCommand>, ReadError>> {
        Box::pin(ready(Ok(self.lock().find_command(entity, id).cloned())))
    }

    fn capabilities(&self) -> Capabilities {
        let mut all = vec![Capability::TagCondition, Capability::ForeignGuard, Capability::MultiEntityCommit];
        all.extend(self.has_many_nodes.then_some(Capability::ManyNodes));
        Capabilities::new(all)
    }

    fn poisoned(&self) -> Option<String> {
        None
    }
}

impl Registers for ModelJournal {
    fn get(&self, name: &str) -> BoxFuture<'_, Result<Option<Register>, RegisterError>> {
        Box::pin(ready(Ok(self.lock().registers.get(name))))
    }

    fn put(&self, name: &str, expect: RegisterExpect, value: Bytes) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        let outcome = self.lock().registers.put(name, expect, value);
        self.tell_watches(&outcome);
        Box::pin(ready(outcome))
    }

    fn delete(&self, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        let outcome = self.lock().registers.delete(name, revision);
        self.tell_watches(&outcome);
        Box::pin(ready(outcome))
    }

    fn put_fenced(
        &self,
        fence: &Fence,
        name: &str,
        expect: RegisterExpect,
        value: Bytes,
    ) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        let outcome = {
            let mut state = self.lock();
            state.registers.check_fence(fence).and_then(|()| state.registers.put(name, expect, value))
        };
        self.tell_watches(&outcome);
        Box::pin(ready(outcome))
    }

    fn delete_fenced(&self, fence: &Fence, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        let outcome = {
            let mut state = self.lock();
            state.registers.check_fence(fence).and_then(|()| state.registers.delete(name, revision))
        };
        self.tell_watches(&outcome);
        Box::pin(ready(outcome))
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<Register>, RegisterError>> {
        Box::pin(ready(Ok(self.lock().registers.list(prefix))))
    }

    fn watch(&self, _prefix: &str) -> Box<dyn RegisterWatch> {
        // A hint may come for nothing: every change wakes every watch.
        Box::new(registers::Watch(self.changes.subscribe()))
    }
}

impl ModelJournal {
    fn tell_watches<T>(&self, outcome: &Result<T, RegisterError>) {
        if outcome.is_ok() {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}
