//! The engine as the contract sees it.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use journal::seams::{Clock, Random, Spawner, SystemClock, SystemRandom, ThreadSpawner};
use journal::{
    AppendError, BoxFuture, Capabilities, Capability, CommandId, CommandRecord, Commit, CommitId, Committed, Context, Cursor, EntityKey,
    EntityType, Events, Fence, FoundCommand, Head, InvalidError, Journal, Keys, Lineage, ReadError, ReadMode, Register, RegisterError,
    RegisterExpect, RegisterWatch, Registers, Revision, Selection, Timestamp,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::address::Address;
use crate::claim::Claim;
use crate::error::OpenError;
use crate::listener::Listener;
use crate::lookup::Lookups;
use crate::pool::Pool;
use crate::questions::Question;
use crate::reach::Reach;
use crate::read::{Follower, Sources, Tail};
use crate::registers::Table;
use crate::rows::{self, get, unsigned};
use crate::schema::Opened;
use crate::server::Server;
use crate::write::{Inbox, Pending, Writer};
use crate::{limits, read, schema, write};

/// What an engine is opened with.
pub struct Options {
    /// Where it lives.
    pub address: Address,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// For ids.
    pub random: Arc<dyn Random>,
    /// For the writer's thread.
    pub spawner: Arc<dyn Spawner>,
    /// Whether no other process may have the same schema open so: its own one does not know of other nodes.
    pub alone: bool,
}

impl Options {
    /// With the system's clock, randomness and threads. Other nodes may come.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn at(address: Address) -> io::Result<Self> {
        let random = Arc::new(SystemRandom::new()?);
        Ok(Self { address, clock: Arc::new(SystemClock), random, spawner: Arc::new(ThreadSpawner::new()), alone: false })
    }
}

/// A journal and its registers in one schema of a PostgreSQL database.
pub struct PostgresJournal {
    sources: Sources,
    lookups: Arc<Lookups>,
    /// There are commands of which only a hash is known.
    has_gone: bool,
    registers: Table,
    inbox: Arc<Inbox>,
    poisoned: Arc<OnceLock<String>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Is closed when the writer has ended.
    writer: Mutex<Option<oneshot::Receiver<()>>>,
    /// The listener, the follower, and the claim to be alone.
    background: Vec<JoinHandle<()>>,
}

impl PostgresJournal {
    /// Connects, brings the schema up to date, and starts its tasks on the runtime that it is called in.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let Options { address, clock, random, spawner, alone } = options;
        let server = Arc::new(Server::new(address)?);
        let claim = if alone { Some(Claim::take(&server, limits::CLAIM_PATIENCE).await?) } else { None };
        let client = server.connect().await?;
        let Opened { lineage, has_gone } = schema::open(&client, server.schema(), &*random).await?;
        let lineage = Arc::new(lineage);
        let (pool, reach, tail) = (Arc::new(Pool::new(Arc::clone(&server))), Arc::new(Reach::default()), Arc::new(Tail::default()));
        let sources = Sources { pool: Arc::clone(&pool), reach: Arc::clone(&reach), tail: Arc::clone(&tail), lineage };
        let (inbox, poisoned) = (Arc::new(Inbox::default()), Arc::new(OnceLock::new()));
        let mut name = [0; 10];
        random.fill(&mut name);
        let name = CommitId::from_parts(clock.now(), name).to_string();
        // First, for it may be refused: what is spawned is ended by the journal, which is not there yet.
        let writer = Writer::new(Arc::clone(&server), Arc::clone(&inbox), &sources, Arc::clone(&clock), Arc::clone(&poisoned));
        let writer = Mutex::new(Some(write::start(writer.knowing_gone(has_gone), &*spawner)?));
        let mut background = vec![
            tokio::spawn(Listener::new(server, Arc::clone(&reach), name).run()),
            tokio::spawn(Follower { pool: Arc::clone(&pool), reach: Arc::clone(&reach), tail }.run()),
        ];
        background.extend(claim.map(|claim| tokio::spawn(claim.keep(Arc::clone(&poisoned)))));
        let lookups = Arc::new(Lookups::new(Arc::clone(&pool), Arc::clone(&sources.lineage)));
        Ok(Self { sources, lookups, has_gone, registers: Table::new(pool, reach), inbox, poisoned, clock, random, writer, background })
    }

    /// Takes no more commits, settles those that wait, and ends live reads. What is appended later is refused.
    pub async fn close(&self) {
        self.inbox.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // It says nothing. A panic of it was printed where it happened.
            let _ = writer.await;
        }
        self.sources.reach.close();
        self.sources.tail.close();
        self.background.iter().for_each(JoinHandle::abort);
    }

    fn mint(&self) -> CommitId {
        let mut random = [0; 10];
        self.random.fill(&mut random);
        CommitId::from_parts(self.clock.now(), random)
    }

    async fn found(&self, entity: &EntityKey, id: CommandId) -> Result<Option<FoundCommand>, ReadError> {
        if let Some(found) = self.lookups.ask(entity.clone(), Some(id)).await?.command {
            return Ok(Some(found));
        }
        if !self.has_gone {
            return Ok(None);
        }
        let rows = self.sources.pool.ask(Question::GoneCommand, &[&&id.on(entity.hash()).0[..]]).await?;
        rows.first().map(|row| rows::gone_command(row, 0, &self.sources.lineage)).transpose()
    }

    /// A number that a question with one answer gives.
    async fn number(&self, question: Question, values: &[crate::pool::Value<'_>]) -> Result<u64, ReadError> {
        let rows = self.sources.pool.ask(question, values).await?;
        let row = rows.first().ok_or_else(|| ReadError::Damaged { place: "table head: the row is missing".into(), resume: None })?;
        Ok(unsigned(get(row, 0)?))
    }
}

impl Drop for PostgresJournal {
    fn drop(&mut self) {
        self.inbox.close();
        self.sources.reach.close();
        self.sources.tail.close();
        self.background.iter().for_each(JoinHandle::abort);
    }
}

impl Journal for PostgresJournal {
    fn lineage(&self) -> &Lineage {
        &self.sources.lineage
    }

    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, AppendError>> {
        if let Err(error) = commit.check().and_then(|()| storable(&commit)) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let id = commit.origin.map_or_else(|| self.mint(), |origin| origin.id);
        let (answer, answered) = oneshot::channel();
        if let Err(error) = self.inbox.offer(Pending { commit, id, arrived: Instant::now(), in_doubt: false, answer }) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let gone = || AppendError::Unknown { cause: "the journal's writer has stopped".into() };
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
        self.sources.read(selection, from, mode)
    }

    fn entity_head(&self, entity: &EntityKey) -> BoxFuture<'_, Result<Option<Head>, ReadError>> {
        let entity = entity.clone();
        Box::pin(async move { Ok(self.lookups.ask(entity, None).await?.head) })
    }

    fn head(&self) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        Box::pin(async move { Ok(self.sources.lineage.cursor(self.number(Question::Head, &[]).await?)) })
    }

    fn entities(&self, kind: &EntityType, after: Option<EntityKey>) -> Keys {
        read::keys(&self.sources.pool, kind.clone(), after)
    }

    fn cursor_at(&self, time: Timestamp) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        Box::pin(async move { Ok(self.sources.lineage.cursor(self.number(Question::Time, &[&time.as_micros()]).await?)) })
    }

    fn find_command(&self, entity: &EntityKey, id: CommandId) -> BoxFuture<'_, Result<Option<FoundCommand>, ReadError>> {
        let entity = entity.clone();
        Box::pin(async move { self.found(&entity, id).await })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new([Capability::TagCondition, Capability::ForeignGuard, Capability::MultiEntityCommit, Capability::ManyNodes])
    }

    fn poisoned(&self) -> Option<String> {
        self.poisoned.get().cloned()
    }
}

/// PostgreSQL has no zero in its texts. Keys and tags have none anyway.
fn storable(commit: &Commit) -> Result<(), AppendError> {
    let in_condition =
        |condition: &journal::TagCondition| condition.query.items.iter().flat_map(|item| &item.types).any(|full| full.contains('\0'));
    if commit.commands.iter().any(has_zero) || commit.condition.as_ref().is_some_and(in_condition) {
        return Err(InvalidError::new("commit", "must have no U+0000 in a name or a context: PostgreSQL cannot keep it").into());
    }
    Ok(())
}

/// Whether a command has a zero in a text of its own.
pub(crate) fn has_zero(command: &CommandRecord) -> bool {
    let Context { correlation_id, causation_id, traceparent, principal } = &command.context;
    let in_context = [correlation_id, causation_id, traceparent, principal].into_iter().flatten().any(|text| text.contains('\0'));
    command.name.contains('\0') || in_context || command.events.iter().any(|event| event.name.contains('\0'))
}

impl Registers for PostgresJournal {
    fn get(&self, name: &str) -> BoxFuture<'_, Result<Option<Register>, RegisterError>> {
        let name = name.to_owned();
        Box::pin(async move { self.registers.get(&name).await })
    }

    fn put(&self, name: &str, expect: RegisterExpect, value: Bytes) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        let name = name.to_owned();
        Box::pin(async move { self.registers.put(&name, expect, value).await })
    }

    fn delete(&self, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        let name = name.to_owned();
        Box::pin(async move { self.registers.delete(&name, revision).await })
    }

    fn put_fenced(
        &self,
        fence: &Fence,
        name: &str,
        expect: RegisterExpect,
        value: Bytes,
    ) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        let (fence, name) = (fence.clone(), name.to_owned());
        Box::pin(async move { self.registers.put_fenced(&fence, &name, expect, value).await })
    }

    fn delete_fenced(&self, fence: &Fence, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        let (fence, name) = (fence.clone(), name.to_owned());
        Box::pin(async move { self.registers.delete_fenced(&fence, &name, revision).await })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<Register>, RegisterError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move { self.registers.list(&prefix).await })
    }

    fn watch(&self, _prefix: &str) -> Box<dyn RegisterWatch> {
        self.registers.watch()
    }
}
