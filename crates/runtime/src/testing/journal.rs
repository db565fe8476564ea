//! The engine of a simulation: the model, which answers late.
//!
//! A commit takes its place, and is durable and visible, inside the call of `append`, as the contract allows; what comes late is the
//! answer. A process that ends meanwhile has left a commit whose sender was never told.

use std::sync::Arc;

use bytes::Bytes;
use journal::model::ModelJournal;
use journal::{
    AppendError, BoxFuture, Capabilities, CommandId, Commit, Committed, CompactRules, Compacted, Cursor, EntityKey, EntityType, Events,
    Fence, FoundCommand, Head, Journal, Keys, Lineage, ReadError, ReadMode, Register, RegisterError, RegisterExpect, RegisterWatch,
    Registers, Revision, Selection, Timestamp,
};

use super::compacting::Compacting;
use super::pace::Pace;

/// See the module.
pub(super) struct Slow {
    pub(super) model: Arc<ModelJournal>,
    pub(super) compacting: Arc<Compacting>,
    pub(super) pace: Arc<Pace>,
}

impl Slow {
    /// An answer that is there already.
    fn late<'a, T: Send + 'a>(&'a self, answer: BoxFuture<'a, T>) -> BoxFuture<'a, T> {
        Box::pin(async move {
            self.pace.engine().await;
            answer.await
        })
    }
}

impl Journal for Slow {
    fn lineage(&self) -> &Lineage {
        self.model.lineage()
    }

    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, AppendError>> {
        let commands: Vec<_> = commit.commands.iter().map(|command| (command.entity.clone(), command.id)).collect();
        let appended = self.model.append(commit);
        self.late(Box::pin(async move { appended.await.map_err(|error| self.compacting.refused(&commands, error)) }))
    }

    fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
        self.compacting.read(selection, from, mode)
    }

    fn entity_head(&self, entity: &EntityKey) -> BoxFuture<'_, Result<Option<Head>, ReadError>> {
        self.model.entity_head(entity)
    }

    fn head(&self) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        self.model.head()
    }

    fn entities(&self, kind: &EntityType, after: Option<EntityKey>) -> Keys {
        self.model.entities(kind, after)
    }

    fn cursor_at(&self, time: Timestamp) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        let found = self.model.cursor_at(time);
        Box::pin(async move { Ok(self.compacting.first_there(found.await?)) })
    }

    fn find_command(&self, entity: &EntityKey, id: CommandId) -> BoxFuture<'_, Result<Option<FoundCommand>, ReadError>> {
        self.compacting.find_command(entity, id)
    }

    fn capabilities(&self) -> Capabilities {
        self.model.capabilities()
    }

    fn poisoned(&self) -> Option<String> {
        self.model.poisoned()
    }

    fn compact(&self, rules: CompactRules) -> BoxFuture<'_, Result<Option<Compacted>, ReadError>> {
        Box::pin(async move {
            self.pace.engine().await;
            Ok(Some(self.compacting.compact(&rules)))
        })
    }
}

impl Registers for Slow {
    fn get(&self, name: &str) -> BoxFuture<'_, Result<Option<Register>, RegisterError>> {
        self.late(self.model.get(name))
    }

    fn put(&self, name: &str, expect: RegisterExpect, value: Bytes) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        self.late(self.model.put(name, expect, value))
    }

    fn delete(&self, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        self.late(self.model.delete(name, revision))
    }

    fn put_fenced(
        &self,
        fence: &Fence,
        name: &str,
        expect: RegisterExpect,
        value: Bytes,
    ) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        self.late(self.model.put_fenced(fence, name, expect, value))
    }

    fn delete_fenced(&self, fence: &Fence, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        self.late(self.model.delete_fenced(fence, name, revision))
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<Register>, RegisterError>> {
        self.late(self.model.list(prefix))
    }

    fn watch(&self, prefix: &str) -> Box<dyn RegisterWatch> {
        self.model.watch(prefix)
    }
}
