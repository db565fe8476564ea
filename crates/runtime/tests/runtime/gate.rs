//! A journal with a gate before it: while it is closed, commits have their place in the order and are not there yet, and the
//! test says what becomes of each. It shows nothing that is not durable, not even to a load.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use journal::model::ModelJournal;
use journal::{
    AppendError, BoxFuture, Capabilities, CommandId, Commit, Committed, Cursor, EntityKey, EntityType, Events, FoundCommand, Head, Journal,
    Keys, Lineage, ReadError, ReadMode, Selection, Timestamp,
};
use tokio::sync::oneshot;

type Answer = Result<Committed, AppendError>;

pub(crate) struct Gate {
    pub(crate) inner: Arc<ModelJournal>,
    closed: AtomicBool,
    queue: Mutex<VecDeque<(Commit, oneshot::Sender<Answer>)>>,
    /// Appends that came, in all.
    pub(crate) appends: AtomicUsize,
    /// The first sequences of the reads of an entity.
    reads: Mutex<Vec<u64>>,
    /// The types whose entities were listed.
    listings: Mutex<Vec<String>>,
    held_lookup: Mutex<Option<oneshot::Receiver<()>>>,
    held_head: Mutex<Option<oneshot::Receiver<()>>>,
    pub(crate) capabilities: Mutex<Option<Capabilities>>,
}

impl Gate {
    pub(crate) fn new(inner: Arc<ModelJournal>) -> Self {
        Self {
            inner,
            closed: AtomicBool::new(false),
            queue: Mutex::default(),
            appends: AtomicUsize::new(0),
            reads: Mutex::default(),
            listings: Mutex::default(),
            held_lookup: Mutex::default(),
            held_head: Mutex::default(),
            capabilities: Mutex::default(),
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Lets everything through, in order, from now on.
    pub(crate) async fn open(&self) {
        self.closed.store(false, SeqCst);
        while self.waiting() > 0 {
            self.release_one().await;
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.lock().unwrap().len()
    }

    /// The first that waits takes effect, as far as the journal lets it.
    pub(crate) async fn release_one(&self) {
        let (commit, answer) = self.first();
        let outcome = self.inner.append(commit).await;
        drop(answer.send(outcome));
    }

    /// The first that waits takes no effect.
    pub(crate) fn fail_one(&self, error: AppendError) {
        let (_, answer) = self.first();
        drop(answer.send(Err(error)));
    }

    /// The last that waits takes no effect, and is answered before the others.
    pub(crate) fn fail_last(&self, error: AppendError) {
        let (_, answer) = self.queue.lock().unwrap().pop_back().expect("a commit waits at the gate");
        drop(answer.send(Err(error)));
    }

    /// The first that waits takes effect, and nobody is told.
    pub(crate) async fn release_one_but_say(&self, error: AppendError) {
        let (commit, answer) = self.first();
        self.inner.append(commit).await.unwrap();
        drop(answer.send(Err(error)));
    }

    fn first(&self) -> (Commit, oneshot::Sender<Answer>) {
        self.queue.lock().unwrap().pop_front().expect("a commit waits at the gate")
    }

    /// The next lookup of a command has its answer at once, and gives it when the sender says so.
    pub(crate) fn hold_next_lookup(&self) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        *self.held_lookup.lock().unwrap() = Some(held);
        release
    }

    /// The same for the next question for a head.
    pub(crate) fn hold_next_head(&self) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        *self.held_head.lock().unwrap() = Some(held);
        release
    }

    /// The first sequences of the entity reads since the last call.
    pub(crate) fn take_reads(&self) -> Vec<u64> {
        std::mem::take(&mut self.reads.lock().unwrap())
    }

    /// How often the entities of a type were listed.
    pub(crate) fn listings(&self, kind: &str) -> usize {
        self.listings.lock().unwrap().iter().filter(|listed| *listed == kind).count()
    }
}

impl Journal for Gate {
    fn lineage(&self) -> &Lineage {
        self.inner.lineage()
    }

    fn append(&self, commit: Commit) -> BoxFuture<'_, Answer> {
        self.appends.fetch_add(1, SeqCst);
        let mut queue = self.queue.lock().unwrap();
        if !self.closed.load(SeqCst) && queue.is_empty() {
            return self.inner.append(commit);
        }
        if let Err(error) = commit.check() {
            return Box::pin(std::future::ready(Err(error)));
        }
        let (answer, answered) = oneshot::channel();
        queue.push_back((commit, answer));
        Box::pin(async move { answered.await.unwrap_or(Err(AppendError::Unknown { cause: "the gate is gone".into() })) })
    }

    fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
        if let Selection::Entity { from_sequence, .. } = selection {
            self.reads.lock().unwrap().push(from_sequence);
        }
        self.inner.read(selection, from, mode)
    }

    fn entity_head(&self, entity: &EntityKey) -> BoxFuture<'_, Result<Option<Head>, ReadError>> {
        let held = self.held_head.lock().unwrap().take();
        let entity = entity.clone();
        Box::pin(async move {
            let found = self.inner.entity_head(&entity).await;
            if let Some(held) = held {
                held.await.unwrap();
            }
            found
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        self.inner.head()
    }

    fn entities(&self, kind: &EntityType, after: Option<EntityKey>) -> Keys {
        self.listings.lock().unwrap().push(kind.to_string());
        self.inner.entities(kind, after)
    }

    fn cursor_at(&self, time: Timestamp) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        self.inner.cursor_at(time)
    }

    fn find_command(&self, entity: &EntityKey, id: CommandId) -> BoxFuture<'_, Result<Option<FoundCommand>, ReadError>> {
        let held = self.held_lookup.lock().unwrap().take();
        let entity = entity.clone();
        Box::pin(async move {
            let found = self.inner.find_command(&entity, id).await;
            if let Some(held) = held {
                held.await.unwrap();
            }
            found
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.lock().unwrap().clone().unwrap_or_else(|| self.inner.capabilities())
    }

    fn poisoned(&self) -> Option<String> {
        None
    }
}
