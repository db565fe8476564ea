//! The filling of one file: a task reads the journal, a thread writes, and a transaction takes whatever has arrived meanwhile.
//!
//! What ends a round is told apart: an event that cannot be taken in stops the view there (promise 7: nothing is skipped, and since a view
//! is in position order, nothing behind it can be taken in either); damage and a cursor of another history make the file anew; what the
//! machine refused is tried again.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::seams::{Clock, Spawner, wait_for};
use journal::{Cursor, CursorError, Events, Journal, Position, Read, ReadError, ReadMode, Selection};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::batch::{Batch, Reading};
use super::fault::Fault;
use super::on_server::{Shared, SharedWriter, Wanted};
use super::place::Place;
use super::plan::Plan;
use super::request::ViewState;
use super::store::{Opened, Store};
use super::write::{BatchWriter, Writer};
use crate::limits::{QUERY_THREADS, VIEW_BATCH_BYTES_MAX, VIEW_BATCH_EVENTS_MAX, VIEW_BATCH_POSITIONS_MAX, VIEW_PLACE_PAUSE, VIEW_REST};
use crate::node::Nodes;
use crate::retention::Lost;
use crate::seams::Tasks;
use crate::stall::Stall;

/// Told to an operator at once.
pub type Notices = Arc<dyn Fn(&str) + Send + Sync>;

/// What all views share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Arc<dyn Tasks>,
    pub(crate) threads: Arc<dyn Spawner>,
    pub(crate) notices: Notices,
    /// See [`Limits`](crate::Limits).
    pub(crate) stall_after: Duration,
    /// Up to here subjects were erased: their keys are gone.
    pub(crate) erased: Arc<AtomicU64>,
    /// Entity types that retention has taken events from.
    pub(crate) lost: Lost,
    /// Who else is there, for what one of them fills for all.
    pub(crate) nodes: Arc<Nodes>,
}

/// How far a file is.
#[derive(Clone)]
pub(super) struct Progress {
    pub(super) cursor: Cursor,
    /// It has caught up once since it was begun.
    pub(super) complete: bool,
    pub(super) state: ViewState,
    /// How often it was begun from the first event.
    pub(super) begun: u64,
    /// Grows with each change of a table, by its place.
    pub(super) changes: Arc<[u64]>,
    /// Nothing more will come.
    pub(super) ended: bool,
}

/// The filling of one file.
pub(super) struct Fill {
    pub(super) plan: Arc<Plan>,
    pub(super) place: Place,
    pub(super) generation: u32,
    pub(super) progress: watch::Sender<Progress>,
    /// Why it was made again, the latest last.
    pub(super) notes: Mutex<Vec<String>>,
    /// Whether it has stalled, as `look` sees it.
    pub(super) stall: Mutex<Option<Stall>>,
    pub(super) around: Arc<Surroundings>,
    /// The head before this process has recorded anything. The first opening takes it: once the journal has grown past the place of a file
    /// that is newer than it, nobody can tell any more.
    begun_at: Mutex<Option<Position>>,
    stop: watch::Sender<bool>,
    /// The filling itself is to end: at a stop, or when another node has it.
    halt: watch::Sender<bool>,
    /// A reader met damage.
    damage: watch::Sender<Option<String>>,
    readers: Mutex<Readers>,
    /// Every erasure up to this place was carried out before the file was begun.
    pub(super) erased: AtomicU64,
}

/// Idle connections; those of an earlier epoch may see a file that is no longer there.
#[derive(Default)]
struct Readers {
    epoch: u64,
    idle: Vec<Connection>,
}

/// Why a round ended.
enum Ended {
    Stopped,
    Fault(Fault),
}

impl Fill {
    /// `begun_at` is the head before this process has recorded anything, for a file that may be there.
    pub(super) fn new(plan: Arc<Plan>, place: Place, generation: u32, around: Arc<Surroundings>, begun_at: Option<Position>) -> Arc<Self> {
        let changes = vec![0; plan.tables.len()].into();
        let progress = Progress { cursor: Cursor::BEGINNING, complete: false, state: ViewState::Opening, begun: 0, changes, ended: false };
        Arc::new(Self {
            plan,
            place,
            generation,
            progress: watch::Sender::new(progress),
            notes: Mutex::default(),
            stall: Mutex::default(),
            around,
            begun_at: Mutex::new(begun_at),
            stop: watch::Sender::new(false),
            halt: watch::Sender::new(false),
            damage: watch::Sender::new(None),
            readers: Mutex::default(),
            erased: AtomicU64::new(0),
        })
    }

    /// Fills until it is told to stop.
    pub(super) async fn run(self: Arc<Self>) {
        match &self.place {
            Place::Shared(shared) if !shared.is_beside => self.run_shared(shared).await,
            _ => self.rounds().await,
        }
        self.forget_readers();
        self.progress.send_modify(|progress| progress.ended = true);
    }

    /// Fills until it is told to halt.
    pub(super) async fn rounds(self: &Arc<Self>) {
        while !*self.halt.borrow() {
            match self.round().await {
                Ended::Stopped => break,
                Ended::Fault(Fault::Event(stop)) => {
                    self.say(format!("view {}: {stop}", self.plan.view.name()));
                    self.progress.send_modify(|progress| progress.state = ViewState::Stopped(stop));
                    self.told_to_halt().await;
                }
                Ended::Fault(Fault::Machine(cause)) => self.rest(cause).await,
                Ended::Fault(Fault::Stale) => self.look_on().await,
                Ended::Fault(Fault::Gone) => self.look_for_it().await,
                Ended::Fault(Fault::Damaged(cause) | Fault::Foreign(cause)) => self.make_anew(cause).await,
            }
        }
    }

    /// Tells it to stop; `ended` follows.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
        self.halt.send_replace(true);
    }

    /// Whether it is told to stop, for who waits for that beside something else.
    pub(super) fn stops(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Lets the filling end, or begin again.
    pub(super) fn halt(&self, halt: bool) {
        self.halt.send_replace(halt || *self.stop.borrow());
    }

    /// Returns when nothing more will come.
    pub(super) async fn ended(&self) {
        let mut progress = self.progress.subscribe();
        // The sender is in `self`.
        let _ = progress.wait_for(|progress| progress.ended).await;
    }

    /// Says that a reader met damage.
    pub(super) fn damaged(&self, cause: String) {
        self.damage.send_replace(Some(cause));
    }

    /// Up to here its rows are durable: what came before is never read again, whatever happens to the machine. It blocks.
    pub(super) fn durable(&self) -> Result<Cursor, Fault> {
        let known = self.progress.borrow().clone();
        let store = match &self.place {
            Place::File(store) if store.file().is_some() && !known.ended => store,
            Place::File(_) => return Ok(known.cursor),
            Place::Shared(shared) => return Ok(shared.kept()),
        };
        if matches!(known.state, ViewState::Opening) {
            return Ok(Cursor::BEGINNING);
        }
        Ok(store.synced_cursor()?)
    }

    /// A connection for a query, and back again.
    pub(super) fn with_reader<T>(&self, store: &Store, ask: impl FnOnce(&mut Connection) -> T) -> rusqlite::Result<T> {
        let (epoch, idle) = {
            let mut readers = self.readers();
            (readers.epoch, readers.idle.pop())
        };
        let mut connection = match idle {
            Some(connection) => connection,
            None => store.reader()?,
        };
        let answer = ask(&mut connection);
        let mut readers = self.readers();
        if readers.epoch == epoch && readers.idle.len() < QUERY_THREADS && !self.progress.borrow().ended {
            readers.idle.push(connection);
        }
        Ok(answer)
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_readers(&self) {
        let mut readers = self.readers();
        readers.epoch += 1;
        readers.idle.clear();
    }

    pub(super) async fn told_to_halt(&self) {
        let mut halt = self.halt.subscribe();
        let _ = halt.wait_for(|halt| *halt).await;
    }

    pub(super) fn say(&self, words: String) {
        (self.around.notices)(&words);
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(words);
        let surplus = notes.len().saturating_sub(8);
        notes.drain(..surplus);
    }

    async fn rest(&self, cause: String) {
        self.progress.send_modify(|progress| progress.state = ViewState::Failing { cause });
        tokio::select! {
            biased;
            () = self.around.tasks.sleep(VIEW_REST) => {}
            () = self.told_to_halt() => {}
        }
    }

    async fn make_anew(&self, cause: String) {
        let name = self.place.word();
        self.say(format!("view {}: {name} is made again from the first event: {cause}", self.plan.view.name()));
        self.forget_readers();
        self.damage.send_replace(None);
        self.tell_opening();
        if let Place::Shared(shared) = &self.place {
            // SQL clients keep the former rows until the new ones have caught up.
            return shared.begin_anew();
        }
        if let Err(error) = self.place.remove().await {
            self.rest(format!("{name} cannot be removed: {error}")).await;
        }
    }

    fn tell_opening(&self) {
        self.progress.send_modify(|progress| {
            (progress.cursor, progress.complete, progress.state) = (Cursor::BEGINNING, false, ViewState::Opening);
            progress.begun += 1;
        });
    }

    /// Another process has taken it. Among nodes the lease says whose it is, and this one has it still; without leases it is whoever began last.
    async fn look_on(&self) {
        let Place::Shared(shared) = &self.place else { return };
        if shared.is_beside {
            shared.begin_anew();
            self.tell_opening();
        }
        if shared.is_beside || self.around.nodes.is_shared() {
            return self.rest("another process took it over".to_owned()).await;
        }
        self.say(format!("view {}: another process fills it from now on", self.plan.view.name()));
        shared.gives_up();
        self.told_to_halt().await;
    }

    /// Somebody has removed it: it is looked for, and begun where there is none.
    async fn look_for_it(&self) {
        self.tell_opening();
        if let Place::Shared(shared) = &self.place {
            shared.forget();
        }
        self.rest("its tables are not there any more".to_owned()).await;
    }

    /// From opening the file to whatever ends it.
    async fn round(self: &Arc<Self>) -> Ended {
        let head = match self.head().await {
            Ok(head) => head,
            Err(error) => return Ended::Fault(Fault::Machine(error.to_string())),
        };
        let (batches, queue) = mpsc::channel(1);
        let (open, opened) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let fill = Arc::clone(self);
        let work = Box::new(move || {
            let fault = fill.write(queue, open, head).err();
            // Nobody waits any more when the task is gone.
            let _ = end.send(fault);
        });
        if let Err(error) = self.around.threads.thread(&format!("view-{}", self.plan.view.name()), work) {
            return Ended::Fault(Fault::Machine(format!("the system gives no thread: {error}")));
        }
        let read = match opened.await {
            Ok(opened) => self.pump(opened.cursor, head, batches).await,
            Err(_) => None,
        };
        match (ended.await, read) {
            (Ok(Some(fault)), _) | (Ok(None), Some(fault)) => Ended::Fault(fault),
            (Ok(None), None) => Ended::Stopped,
            (Err(_), _) => Ended::Fault(Fault::Machine("the thread that writes ended without a word".to_owned())),
        }
    }

    /// What was there when this began.
    async fn head(&self) -> Result<Position, ReadError> {
        let begun_at = self.begun_at.lock().unwrap_or_else(PoisonError::into_inner).take();
        match begun_at {
            Some(head) => Ok(head),
            None => Ok(self.around.journal.head().await?.position()),
        }
    }

    /// Reads the journal and hands it over in batches, until it is told to stop or the writer is gone; a fault of the reading.
    async fn pump(&self, from: Cursor, head: Position, batches: mpsc::Sender<Batch>) -> Option<Fault> {
        let mut halt = self.halt.subscribe();
        let mut damage = self.damage.subscribe();
        let mut events = self.around.journal.read(Selection::Types(self.plan.selection.clone()), from, ReadMode::Live);
        let mut reading = Reading::new(&self.plan);
        let mut owed = None;
        loop {
            let next = self.next(&batches, gather(&*self.around.journal, &mut events, &mut reading, head), owed);
            tokio::select! {
                biased;
                _ = halt.wait_for(|halt| *halt) => return None,
                cause = damage.wait_for(Option::is_some) => {
                    return Some(Fault::Damaged(cause.ok().and_then(|cause| cause.clone()).unwrap_or_default()));
                }
                next = next => match next {
                    Ok(Some((permit, batch))) => {
                        owed = batch.is_empty().then_some(batch.cursor);
                        permit.send(batch);
                    }
                    Ok(None) => return None,
                    Err(fault) => return Some(fault),
                },
            }
        }
    }

    /// The next batch, once the writer is free; `None` when it is gone. Others look at the place of a shared view: one that is owed, because
    /// nothing came for the view, is written when nothing else comes for a moment.
    async fn next<'b>(
        &self,
        batches: &'b mpsc::Sender<Batch>,
        gathering: impl Future<Output = Result<Batch, Fault>>,
        owed: Option<Cursor>,
    ) -> Result<Option<(mpsc::Permit<'b, Batch>, Batch)>, Fault> {
        tokio::pin!(gathering);
        let Ok(mut permit) = batches.reserve().await else { return Ok(None) };
        if let (Some(owed), Place::Shared(_)) = (owed, &self.place) {
            tokio::select! {
                biased;
                batch = &mut gathering => return batch.map(|batch| Some((permit, batch))),
                () = batches.closed() => return Ok(None),
                () = self.around.tasks.sleep(VIEW_PLACE_PAUSE) => {}
            }
            permit.send(Batch::at(owed));
            permit = match batches.reserve().await {
                Ok(permit) => permit,
                Err(_) => return Ok(None),
            };
        }
        tokio::select! {
            biased;
            batch = gathering => batch.map(|batch| Some((permit, batch))),
            () = batches.closed() => Ok(None),
        }
    }

    /// The thread: opens the place, writes what comes, and closes it.
    fn write(&self, queue: mpsc::Receiver<Batch>, open: oneshot::Sender<Opened>, head: Position) -> Result<(), Fault> {
        match &self.place {
            Place::File(store) => self.write_file(store, queue, open, head),
            Place::Shared(shared) => self.write_shared(shared, queue, open, head),
        }
    }

    fn write_file(&self, store: &Store, queue: mpsc::Receiver<Batch>, open: oneshot::Sender<Opened>, head: Position) -> Result<(), Fault> {
        let (connection, opened) = store.writer(&self.plan, self.around.erased.load(SeqCst))?;
        // It may hold what was erased since it was begun.
        if self.plan.is_personal() && opened.erased < self.around.erased.load(SeqCst) {
            return Err(Fault::Foreign("subjects were erased since it was begun".to_owned()));
        }
        // Before anybody is told: rows of another history must not be served for a moment.
        if let Err(error) = self.around.journal.lineage().resolve(opened.cursor, head, 0) {
            return Err(foreign(&error));
        }
        if !self.tell_opened(opened, head, open) {
            return Ok(());
        }
        let lineage = self.around.journal.lineage().clone();
        let written =
            Writer::new(&self.plan, &lineage, &connection).and_then(|mut writer| self.write_all(&mut writer, queue, opened, head));
        if !matches!(written, Err(Fault::Damaged(_))) {
            self.forget_readers();
            store.close(connection);
        }
        written
    }

    fn write_shared(
        &self,
        shared: &Shared,
        queue: mpsc::Receiver<Batch>,
        open: oneshot::Sender<Opened>,
        head: Position,
    ) -> Result<(), Fault> {
        let (lineage, erased) = (self.around.journal.lineage().clone(), self.around.erased.load(SeqCst));
        wait_for(&*self.around.threads, shared.open(&Wanted { plan: &self.plan, around: &self.around, head, erased }))?;
        let (mut writer, sight) = SharedWriter::take(shared, &self.plan, &lineage, &self.around.threads)?;
        let opened = Opened { cursor: sight.cursor, complete: sight.complete, erased: sight.erased };
        if !self.tell_opened(opened, head, open) {
            return Ok(());
        }
        self.write_all(&mut writer, queue, opened, head)
    }

    /// Says that there is something to ask; false when nobody reads for it any more.
    fn tell_opened(&self, opened: Opened, head: Position, open: oneshot::Sender<Opened>) -> bool {
        self.erased.store(opened.erased, SeqCst);
        if opened.cursor == Cursor::BEGINNING && head > 0 {
            let (view, place) = (self.plan.view.name(), self.place.word());
            self.say(format!("view {view}: {place} is filled from the first event, at most {head} events are to come"));
            self.say_what_is_gone();
        }
        self.tell(opened.cursor, opened.complete || opened.cursor.position() >= head, &[]);
        open.send(opened).is_ok()
    }

    fn write_all(
        &self,
        writer: &mut dyn BatchWriter,
        mut queue: mpsc::Receiver<Batch>,
        opened: Opened,
        head: Position,
    ) -> Result<(), Fault> {
        let mut complete = opened.complete || opened.cursor.position() >= head;
        let (mut kept, mut last) = (opened.cursor, opened.cursor);
        while let Some(batch) = wait_for(&*self.around.threads, queue.recv()) {
            // It comes again because it is owed.
            let is_owed = batch.is_empty() && batch.cursor == last && last != kept;
            let completes = !complete && batch.cursor.position() >= head;
            // A place without events costs no transaction, unless it is far, or says that all is there.
            let is_far = batch.cursor.position().saturating_sub(kept.position()) > VIEW_BATCH_EVENTS_MAX as u64;
            complete |= completes;
            if !batch.is_empty() || completes || is_far || is_owed {
                writer.apply(&batch, complete).inspect_err(|_| self.tell_kept(writer.kept()))?;
                kept = batch.cursor;
            }
            last = batch.cursor;
            if let (true, Place::Shared(shared)) = (completes, &self.place) {
                shared.has_caught_up.store(true, SeqCst);
            }
            self.tell(last, complete, &writer.take_touched());
        }
        if last != kept || (complete && !opened.complete) {
            writer.apply(&Batch::at(last), complete)?;
        }
        Ok(())
    }

    /// Its rows are made of what is there.
    fn say_what_is_gone(&self) {
        let gone = self.plan.gone(&self.around.lost);
        if !gone.is_empty() {
            let name = self.plan.view.name();
            self.say(format!("view {name}: retention has let go of events of {}: the rows are made without them", gone.join(", ")));
        }
    }

    fn tell(&self, cursor: Cursor, complete: bool, touched: &[usize]) {
        self.progress.send_modify(|progress| {
            progress.cursor = cursor;
            progress.complete = complete;
            progress.state = if complete { ViewState::Live } else { ViewState::Filling };
            if !touched.is_empty() {
                let mut changes = progress.changes.to_vec();
                touched.iter().for_each(|table| changes[*table] += 1);
                progress.changes = changes.into();
            }
        });
    }

    /// After a batch that was taken in as far as it could be.
    fn tell_kept(&self, kept: Option<Cursor>) {
        if let Some(cursor) = kept {
            let all: Vec<usize> = (0..self.plan.tables.len()).collect();
            let complete = self.progress.borrow().complete;
            self.tell(cursor, complete, &all);
        }
    }
}

/// The next item, and all that is there without waiting, within bounds. What was there at the start, up to `head`, is waited for: batches
/// of a view that catches up are as large as they may be, but for one that little is for: it says from time to time how far it is.
async fn gather(journal: &dyn Journal, events: &mut Events, reading: &mut Reading<'_>, head: Position) -> Result<Batch, Fault> {
    let mut batch = Batch::at(Cursor::BEGINNING);
    let (mut bytes, mut begun) = (0, None);
    let mut next = events.next().await;
    loop {
        match next {
            Some(Ok(Read::Event(event))) => {
                bytes += event.payload.len();
                batch.take(reading, &event);
                if batch.stop.is_some() {
                    return Ok(batch);
                }
                batch.cursor = journal.lineage().cursor(event.position);
            }
            Some(Ok(Read::Progress(cursor))) => batch.cursor = cursor,
            Some(Err(error)) => return Err(read_fault(&error)),
            None => return Err(Fault::Machine("the journal was closed".to_owned())),
        }
        let place = batch.cursor.position();
        let is_far = place - *begun.get_or_insert(place) >= VIEW_BATCH_POSITIONS_MAX;
        if is_far || batch.entries.len() >= VIEW_BATCH_EVENTS_MAX || bytes >= VIEW_BATCH_BYTES_MAX {
            return Ok(batch);
        }
        let is_behind = place < head;
        let more = match events.at_hand() {
            Some(item) => Some(Some(Ok(item))),
            None if is_behind => Some(events.next().await),
            None => events.next_if_ready().await,
        };
        next = match more {
            Some(Some(Ok(item))) => Some(Ok(item)),
            // What went wrong comes again at the next read.
            Some(failed) if batch.is_empty() => failed,
            _ => return Ok(batch),
        };
    }
}

fn read_fault(error: &ReadError) -> Fault {
    match error {
        ReadError::Cursor(cause) => foreign(cause),
        error => Fault::Machine(error.to_string()),
    }
}

fn foreign(cause: &CursorError) -> Fault {
    Fault::Foreign(format!("its place is none of this journal ({cause})"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

    use component::View;
    use journal::model::ModelJournal;
    use journal::sim::{SimClock, SimRandom};
    use journal::{BoxFuture, EventSource, Lineage};

    use super::*;
    use crate::seams::sim::SimTasks;
    use crate::view::check::{Strangers, check};

    /// A journal without an event for the view: it only says how far it is, up to its head.
    struct Barren {
        lineage: Lineage,
        at: Position,
        head: Position,
    }

    impl EventSource for Barren {
        fn next(&mut self) -> BoxFuture<'_, Option<Result<Read, ReadError>>> {
            self.at += 4_096;
            let read = (self.at < self.head).then(|| Ok(Read::Progress(self.lineage.cursor(self.at))));
            Box::pin(std::future::ready(read))
        }
    }

    #[test]
    fn a_view_that_little_is_for_moves_while_it_catches_up() {
        let (clock, head) = (Arc::new(SimClock::new()), 50 * VIEW_BATCH_POSITIONS_MAX);
        let journal = ModelJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(7)));
        let view = View::sqlite("stock").table("CREATE TABLE stock (id TEXT PRIMARY KEY)").hosted();
        let plan = check(&view, &[], Strangers::PassedOver).unwrap();
        let mut events = Events::new(Barren { lineage: journal.lineage().clone(), at: 0, head });
        let mut reading = Reading::new(&plan);
        let tasks = SimTasks::new(clock, 1);
        let mut from = 0;
        for _ in 0..3 {
            let batch = tasks.block_on(gather(&journal, &mut events, &mut reading, head)).unwrap_or_else(|_| panic!("it is read"));
            let place = batch.cursor.position();
            assert!(batch.is_empty() && place >= from + VIEW_BATCH_POSITIONS_MAX && place < from + 2 * VIEW_BATCH_POSITIONS_MAX, "{place}");
            from = place;
        }
    }
}
