//! A consumer at work: from taking its lease to giving it up.
//!
//! What waits is as it lies on the disk: a run opens what is personal in its event.
//!
//! One task owns everything here. Events come in position order; each key has a lane, whose events run one after the other,
//! and lanes run side by side. A failed event holds its key: the register is written, the lane's other events are let go
//! (the journal has them), and the cursor moves on. An error of the engine ends the session; the next one begins from what is
//! durable, once every run of this one has ended.
//!
//! Crash points: a run may have ended without the cursor covering it, so it comes again; a key may be held and the cursor not
//! yet past the event, so the event is met again and waits like the others; a key may have drained and its register still be
//! there, so its last event runs again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use journal::{
    BoxFuture, Cursor, CursorError, EntityKey, Events, Position, Read, ReadError, ReadMode, Recorded, RegisterError, Revision, Selection,
    Timestamp,
};
use serde_json::Value as Json;
use tokio::sync::{mpsc, watch};

use super::handler::{Delivery, Failure};
use super::held::{HeldKey, HeldRegisters};
use super::lease::{Lease, Place, Suspect};
use super::memory::{Decision, Memory};
use super::orders::{HeldSelection, Order, OrderError, What, cause_group};
use super::part::Part;
use super::run::run;
use super::shares::Ahead;
use super::status::{Sight, StatusCell};
use super::window::Window;
use super::worker::{Errand, ErrandEnd, work};
use super::{Seams, stopped};
use crate::KeysUnfit;
use crate::entity::baseline::is_passed_over;
use crate::limits::{
    CEILING_POSITIONS, CHECKPOINT_DELAY, CHECKPOINT_EVENTS, CHECKPOINT_IDLE, CHECKPOINT_POSITIONS, DEATHS_MAX, HELD_KEYS_MAX,
    WINDOW_EVENTS_MAX,
};
use crate::node::Post;
use crate::personal::runs::{Waiting, Whose};
use crate::schema::SchemaError;

/// Why consumers cannot go on: the engine failed them.
#[derive(Clone, Debug)]
pub enum DeliveryError {
    /// The registers failed, or another owner has taken over.
    Register(RegisterError),
    /// The journal could not be read.
    Read(ReadError),
    /// The key store is not the journal's, or fails.
    Keys(KeysUnfit),
    /// The shapes of the code do not follow those that were registered.
    Schemas(SchemaError),
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register(error) => error.fmt(formatter),
            Self::Read(error) => error.fmt(formatter),
            Self::Keys(unfit) => unfit.fmt(formatter),
            Self::Schemas(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for DeliveryError {}

/// The events of one key that were taken and have not ended.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Arc<Recorded>>,
    running: bool,
}

/// A held key in memory.
struct Held {
    record: HeldKey,
    revision: Revision,
    /// The last sequence of the key that went by while it was held; 0 when none did.
    latest: u64,
    /// The first sequence that has not run.
    from: u64,
    running: bool,
}

/// What a task tells its session.
enum Ended {
    Run { event: Waiting, result: Result<(), Failure> },
    Errand { key: EntityKey, end: Box<Result<ErrandEnd, DeliveryError>> },
}

/// See the module.
pub(super) struct Session {
    consumer: Arc<Part>,
    seams: Arc<Seams>,
    status: Arc<StatusCell>,
    lease: Lease,
    registers: HeldRegisters,
    window: Window,
    /// What shares have done beyond the place, where they were joined.
    before: Ahead,
    lanes: HashMap<EntityKey, Lane>,
    /// Keys with something to run, while all runs are taken.
    ready: VecDeque<EntityKey>,
    running: usize,
    /// Errands under way. They are counted apart from the other runs: neither waits for the other.
    errands: usize,
    held: HashMap<EntityKey, Held>,
    orders: Orders,
    /// How many of them are parked.
    parked: usize,
    /// When held keys are due.
    due: BTreeSet<(i64, EntityKey)>,
    /// When the events of held and parked keys were recorded.
    recorded: BTreeSet<(i64, EntityKey)>,
    /// Events up to here may have ended the last process: they run alone.
    careful_until: Position,
    ended: mpsc::UnboundedReceiver<Ended>,
    tell: mpsc::UnboundedSender<Ended>,
    ended_since_checkpoint: u64,
    /// When the cursor is written, if it is behind.
    checkpoint_at: Option<Duration>,
}

enum Signal {
    Stop,
    Order(Order),
    Ended(Ended),
    Time,
    Read(Option<Result<Read, ReadError>>),
}

impl Session {
    /// Begins from what is durable. `careful` says that the last process may have ended in the middle.
    pub(super) async fn begin(
        (consumer, seams, status): (Arc<Part>, Arc<Seams>, Arc<StatusCell>),
        orders: Orders,
        lease: Lease,
        careful: bool,
    ) -> Result<Self, DeliveryError> {
        let lineage = seams.journal.lineage();
        let head = seams.journal.head().await?.position();
        let done = lineage.resolve(lease.place().cursor, head, 0).map_err(diverged)?;
        let ceiling = lease.place().ceiling;
        let reached = if ceiling.lineage() == lineage.id { ceiling.position().min(head) } else { done };
        let registers = HeldRegisters::new(&seams, &consumer.name).under(lease.fence());
        let (tell, ended) = mpsc::unbounded_channel();
        let mut session = Self {
            window: Window::new(done),
            before: Ahead::of(lease.place(), lineage, head).map_err(diverged)?,
            careful_until: if careful && !consumer.handler.is_elsewhere() { reached } else { 0 },
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            running: 0,
            errands: 0,
            held: HashMap::new(),
            orders,
            parked: 0,
            due: BTreeSet::new(),
            recorded: BTreeSet::new(),
            ended_since_checkpoint: 0,
            checkpoint_at: None,
            consumer,
            seams,
            status,
            lease,
            registers,
            ended,
            tell,
        };
        session.load_held().await?;
        session.consumer.handler.open();
        Ok(session)
    }

    /// Keys that were held when the last session ended. A run that was under way then may have ended the process.
    async fn load_held(&mut self) -> Result<(), DeliveryError> {
        for (mut revision, mut record) in self.registers.list().await? {
            let key = record.key()?;
            if !self.consumer.share.has(key.slice()) {
                continue;
            }
            if std::mem::take(&mut record.running) {
                record.deaths += 1;
                if record.deaths >= DEATHS_MAX {
                    record.parked = true;
                    record.note(&fatal(record.deaths), Whose::default(), self.seams.clock.now());
                }
                revision = self.registers.put(&key, Some(revision), &record).await?;
            }
            self.hold(key, record, revision, 0);
        }
        Ok(())
    }

    /// The key is held no longer, or about to be held otherwise.
    fn release(&mut self, key: &EntityKey) {
        let Some(held) = self.held.remove(key) else { return };
        self.parked -= usize::from(held.record.parked);
        self.due.remove(&(held.record.due_micros, key.clone()));
        self.recorded.remove(&(held.record.recorded(), key.clone()));
    }

    fn hold(&mut self, key: EntityKey, record: HeldKey, revision: Revision, latest: u64) {
        if record.parked {
            self.parked += 1;
        } else {
            self.due.insert((record.due_micros, key.clone()));
        }
        let from = record.from();
        self.note_recorded(&key, &record);
        self.held.insert(key, Held { record, revision, latest, from, running: false });
    }

    /// A key is held by this event now.
    fn note_recorded(&mut self, key: &EntityKey, record: &HeldKey) {
        if let Some(before) = self.held.get(key) {
            self.recorded.remove(&(before.record.recorded(), key.clone()));
        }
        self.recorded.insert((record.recorded(), key.clone()));
    }

    /// Works until it is told to stop or to go elsewhere, another node is to have it, or the engine fails. Every run has ended when this
    /// returns, and another node may have the lease.
    pub(super) async fn work(mut self, stop: &mut watch::Receiver<bool>, post: &mut Post) -> Result<(), DeliveryError> {
        let from = self.seams.journal.lineage().cursor(self.window.done());
        let mut events = self.seams.runs.sealed().read(self.consumer.share.of(&self.consumer.selection), from, ReadMode::Live);
        let worked = self.turn(&mut events, (stop, post)).await;
        let drained = self.drain().await;
        self.tell_status();
        match (worked, drained) {
            (Ok(Some(order)), Ok(())) => self.go_elsewhere(order).await,
            (Ok(None), Ok(())) => Ok(self.lease.give_up().await?),
            (Ok(_), drained) => drained,
            (Err(error), _) => Err(error),
        }
    }

    async fn turn(
        &mut self,
        events: &mut Events,
        (stop, post): (&mut watch::Receiver<bool>, &mut Post),
    ) -> Result<Option<Order>, DeliveryError> {
        loop {
            self.start_due();
            self.tell_status();
            match self.signal(events, (stop, post)).await {
                Signal::Stop | Signal::Read(None) => return Ok(None),
                Signal::Order(order) => {
                    if let Some(elsewhere) = self.obey(order).await {
                        return Ok(Some(elsewhere));
                    }
                }
                Signal::Ended(ended) => self.end(ended).await?,
                Signal::Time => {}
                Signal::Read(Some(Err(error))) => return Err(error.into()),
                Signal::Read(Some(Ok(Read::Progress(cursor)))) => self.window.progress(cursor.position()),
                Signal::Read(Some(Ok(Read::Event(event)))) => self.take(event).await?,
            }
            self.start_ready().await?;
            self.checkpoint_if_due().await?;
        }
    }

    async fn signal(&mut self, events: &mut Events, (stop, post): (&mut watch::Receiver<bool>, &mut Post)) -> Signal {
        let timer = self.timer();
        let reads = self.may_read();
        let orders = Arc::clone(&self.orders);
        tokio::select! {
            biased;
            () = stopped(stop) => Signal::Stop,
            () = post.unwanted() => Signal::Stop,
            Some(ended) = self.ended.recv() => Signal::Ended(ended),
            order = next_order(&orders) => Signal::Order(order),
            () = timer => Signal::Time,
            read = events.next(), if reads => Signal::Read(read),
        }
    }

    /// Back pressure: what is under way, what is held, and what must run alone keep the next event in the journal.
    fn may_read(&self) -> bool {
        !self.runs_alone() && self.window.len() < WINDOW_EVENTS_MAX && self.held.len() < HELD_KEYS_MAX
    }

    fn is_careful(&self) -> bool {
        self.window.done() < self.careful_until
    }

    /// Whether an event runs that no other may run beside, nor a cursor be written.
    fn runs_alone(&self) -> bool {
        self.is_careful() && !self.window.is_empty()
    }

    /// Resolves when something is due.
    fn timer(&self) -> BoxFuture<'static, ()> {
        // An errand that ends makes room for the next one: no time brings it.
        let held = self.due.first().filter(|_| self.may_start_errand()).map(|(due, _)| {
            let micros = due.saturating_sub(self.seams.clock.now().as_micros()).max(0);
            Duration::from_micros(micros.unsigned_abs())
        });
        // A cursor that cannot be written yet is written when what runs alone has ended: no time brings it.
        let checkpoint = self.checkpoint_at.filter(|_| !self.runs_alone()).map(|at| at.saturating_sub(self.seams.tasks.elapsed()));
        match [held, checkpoint].into_iter().flatten().min() {
            Some(wait) => self.seams.tasks.sleep(wait),
            None => Box::pin(std::future::pending()),
        }
    }

    async fn take(&mut self, event: Arc<Recorded>) -> Result<(), DeliveryError> {
        self.window.take(event.position, event.time);
        if !self.consumer.share.has(event.entity.slice()) || is_passed_over(&self.consumer.selection, &event) {
            self.window.end(event.position);
            return Ok(());
        }
        if let Some(held) = self.held.get_mut(&event.entity) {
            held.latest = event.sequence;
            self.window.end(event.position);
            return Ok(());
        }
        if event.position <= self.before.upto(event.entity.slice()) {
            self.window.end(event.position);
            return Ok(());
        }
        if event.position <= self.careful_until && self.is_fatal(&event).await? {
            return Ok(());
        }
        let key = event.entity.clone();
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.waiting.push_back(event);
        if !lane.running && lane.waiting.len() == 1 {
            self.ready.push_back(key);
        }
        Ok(())
    }

    /// Records that an event runs alone, before it does; parks its key instead when it has ended too many processes.
    async fn is_fatal(&mut self, event: &Arc<Recorded>) -> Result<bool, DeliveryError> {
        let place = self.seams.journal.lineage().cursor(event.position);
        let runs = self.lease.place().suspect.filter(|suspect| suspect.place == place).map_or(0, |suspect| suspect.runs);
        // The first time it ran among others, without a record of its own.
        if runs + 1 >= DEATHS_MAX {
            let failure = fatal(DEATHS_MAX);
            self.fail(&self.seams.runs.waiting(Arc::clone(event), None), DEATHS_MAX, &failure).await?;
            return Ok(true);
        }
        let suspect = Some(Suspect { place, runs: runs + 1 });
        self.write_place(Place { suspect, ..self.place() }).await?;
        Ok(false)
    }

    async fn start_ready(&mut self) -> Result<(), DeliveryError> {
        while self.running < self.consumer.runs_max {
            let Some(key) = self.ready.pop_front() else { return Ok(()) };
            let Some(event) = self.lanes.get_mut(&key).and_then(|lane| lane.waiting.pop_front().inspect(|_| lane.running = true)) else {
                continue;
            };
            self.raise_ceiling(event.position).await?;
            self.running += 1;
            self.spawn_run(event);
        }
        Ok(())
    }

    /// Nothing begins beyond the ceiling.
    async fn raise_ceiling(&mut self, position: Position) -> Result<(), DeliveryError> {
        let lineage = self.seams.journal.lineage();
        let ceiling = self.lease.place().ceiling;
        if ceiling.lineage() == lineage.id && position <= ceiling.position() {
            return Ok(());
        }
        let ceiling = lineage.cursor(position + CEILING_POSITIONS);
        self.write_place(Place { ceiling, ..self.place() }).await
    }

    fn spawn_run(&self, event: Arc<Recorded>) {
        let (consumer, seams, tell) = (Arc::clone(&self.consumer), Arc::clone(&self.seams), self.tell.clone());
        let event = seams.runs.waiting(event, None);
        self.seams.tasks.spawn(Box::pin(async move {
            let turn = consumer.turn().await;
            let result = run(&consumer, &seams, Delivery { event: event.clone(), attempt: 1 }).await;
            drop(turn);
            // The session waits for every run that it started.
            drop(tell.send(Ended::Run { event, result }));
        }));
    }

    /// Not while events must run alone, nor beside more than half as many errands as there may be other runs.
    fn may_start_errand(&self) -> bool {
        !self.is_careful() && self.errands < (self.consumer.runs_max / 2).max(1)
    }

    /// Starts held keys that are due, the longest due first.
    fn start_due(&mut self) {
        let now = self.seams.clock.now().as_micros();
        while self.may_start_errand()
            && let Some((due, _)) = self.due.first()
            && *due <= now
            && let Some((_, key)) = self.due.pop_first()
        {
            self.spawn_errand(key);
        }
    }

    fn spawn_errand(&mut self, key: EntityKey) {
        let Some(held) = self.held.get_mut(&key) else { return };
        held.running = true;
        self.errands += 1;
        let (record, revision, from) = (held.record.clone(), held.revision, held.from);
        // What its share has read, too, and this session has not: nobody else runs that.
        let upto = self.window.read().max(self.before.upto(key.slice()));
        let errand = Errand { key: key.clone(), held: record, revision, from, upto };
        let (consumer, seams, tell) = (Arc::clone(&self.consumer), Arc::clone(&self.seams), self.tell.clone());
        let registers = self.registers.clone();
        self.seams.tasks.spawn(Box::pin(async move {
            let turn = consumer.turn().await;
            let end = work(&consumer, &seams, &registers, errand).await;
            drop(turn);
            drop(tell.send(Ended::Errand { key, end: Box::new(end) }));
        }));
    }

    async fn end(&mut self, ended: Ended) -> Result<(), DeliveryError> {
        match ended {
            Ended::Run { event, result } => {
                self.running -= 1;
                match result {
                    Ok(()) => self.succeed(event.sealed()),
                    // The session is ending, and the cursor stays before the event.
                    Err(Failure::Withdrawn) => {}
                    Err(failure) => self.fail(&event, 1, &failure).await?,
                }
                Ok(())
            }
            Ended::Errand { key, end } => self.end_errand(key, *end).await,
        }
    }

    fn succeed(&mut self, event: &Recorded) {
        self.finish(event.position);
        let Some(lane) = self.lanes.get_mut(&event.entity) else { return };
        lane.running = false;
        if lane.waiting.is_empty() {
            self.lanes.remove(&event.entity);
        } else {
            self.ready.push_back(event.entity.clone());
        }
    }

    /// Holds the key of an event that failed. The register is durable before the cursor may pass.
    async fn fail(&mut self, event: &Waiting, attempts: u32, failure: &Failure) -> Result<(), DeliveryError> {
        let (whose, event) = (event.whose(), event.sealed());
        let mut record = HeldKey::new(event, self.seams.journal.lineage(), failure.attempts(attempts), self.seams.clock.now());
        self.consumer.settle_failure(&mut record, failure, whose, &self.seams);
        let revision = self.registers.put(&event.entity, None, &record).await?;
        let waiting = self.lanes.remove(&event.entity).unwrap_or_default().waiting;
        // An errand goes as far as was read by then, which is past all of them.
        self.hold(event.entity.clone(), record, revision, 0);
        self.finish(event.position);
        waiting.iter().for_each(|event| self.finish(event.position));
        Ok(())
    }

    async fn end_errand(&mut self, key: EntityKey, end: Result<ErrandEnd, DeliveryError>) -> Result<(), DeliveryError> {
        self.errands -= 1;
        let held = self.held.get_mut(&key).expect("a key stays held while its errand is under way");
        held.running = false;
        match end? {
            ErrandEnd::Failed { held: record, revision } => {
                let latest = held.latest;
                self.hold(key, record, revision, latest);
            }
            ErrandEnd::Drained { held: record, revision, sequence } if held.latest > sequence => {
                self.note_recorded(&key, &record);
                if let Some(held) = self.held.get_mut(&key) {
                    (held.record, held.revision, held.from) = (record, revision, sequence + 1);
                }
                self.spawn_errand(key);
            }
            ErrandEnd::Drained { revision, .. } => {
                self.registers.delete(&key, revision).await?;
                self.release(&key);
            }
        }
        Ok(())
    }

    /// Carries out what a person has decided, and tells them. Gives the order back that sends it elsewhere.
    async fn obey(&mut self, order: Order) -> Option<Order> {
        let Order { what, answer } = order;
        let done = match what {
            What::Redrive { selection, per_second } => self.redrive(&selection, per_second).await,
            What::Discard { key, event, why } => self.discard(&key, &event, &why).await,
            What::Edit { key, event, payload, why } => self.edit(&key, &event, &payload, &why).await,
            What::Checkpoint => self.write_what_ended().await.map(|()| 0).map_err(OrderError::from),
            // Where nobody can read from it does not go: it goes on as if nobody had asked.
            What::Place { cursor, why } => match readable_place(&self.seams, cursor).await {
                Ok(cursor) => return Some(Order { what: What::Place { cursor, why }, answer }),
                Err(error) => Err(error.into()),
            },
        };
        // Who asked may have gone away.
        let _ = answer.send(done);
        None
    }

    /// Makes keys due, `per_second` of them a second, as if they had never failed.
    async fn redrive(&mut self, selection: &HeldSelection, per_second: Option<u32>) -> Result<usize, OrderError> {
        let mut keys: Vec<EntityKey> =
            self.held.iter().filter(|(key, held)| is_meant(selection, key, held)).map(|(key, _)| key.clone()).collect();
        keys.sort();
        if keys.is_empty() && selection.key.is_some() {
            return Err(OrderError::NotHeld);
        }
        let step_micros = per_second.map_or(0, |rate| 1_000_000 / i64::from(rate.max(1)));
        let mut due_micros = self.seams.clock.now().as_micros();
        for key in &keys {
            self.change(key, |record| (record.attempts, record.deaths, record.due_micros) = (0, 0, due_micros)).await?;
            due_micros += step_micros;
        }
        Ok(keys.len())
    }

    async fn discard(&mut self, key: &EntityKey, event: &str, why: &Decision) -> Result<usize, OrderError> {
        self.check_held(key, event)?;
        Memory::new(&*self.seams.journal, &self.consumer.name).discarded(event, why).await?;
        let now = self.seams.clock.now().as_micros();
        self.change(key, |record| (record.discarded, record.due_micros) = (true, now)).await?;
        Ok(1)
    }

    async fn edit(&mut self, key: &EntityKey, event: &str, payload: &Json, why: &Decision) -> Result<usize, OrderError> {
        self.check_held(key, event)?;
        let sequence = Memory::new(&*self.seams.journal, &self.consumer.name).edited(event, payload, why).await?;
        let now = self.seams.clock.now().as_micros();
        self.change(key, |record| (record.edited, record.attempts, record.deaths, record.due_micros) = (Some(sequence), 0, 0, now)).await?;
        Ok(1)
    }

    /// That the decision is about what is there.
    fn check_held(&self, key: &EntityKey, event: &str) -> Result<(), OrderError> {
        match self.held.get(key) {
            None => Err(OrderError::NotHeld),
            Some(held) if held.running => Err(OrderError::Running),
            Some(held) if held.record.event != event => Err(OrderError::OtherEvent { event: held.record.event.clone() }),
            Some(_) => Ok(()),
        }
    }

    /// Changes a held key's record, durably; it is due at its new time then.
    async fn change(&mut self, key: &EntityKey, change: impl FnOnce(&mut HeldKey)) -> Result<(), OrderError> {
        let Some(held) = self.held.get(key).filter(|held| !held.running) else { return Ok(()) };
        let (mut record, revision, latest) = (held.record.clone(), held.revision, held.latest);
        change(&mut record);
        record.parked = false;
        let revision = self.registers.put(key, Some(revision), &record).await.map_err(DeliveryError::from)?;
        self.release(key);
        self.hold(key.clone(), record, revision, latest);
        Ok(())
    }

    /// Goes on from another place, once nothing is under way.
    async fn go_elsewhere(mut self, order: Order) -> Result<(), DeliveryError> {
        let Order { what, answer } = order;
        let What::Place { cursor, why } = what else { return Ok(()) };
        let placed = place_at(&self.consumer, &self.seams, &mut self.lease, cursor, &why).await;
        let _ = answer.send(placed.clone().map(|()| 0).map_err(OrderError::from));
        placed
    }

    fn finish(&mut self, position: Position) {
        self.window.end(position);
        self.ended_since_checkpoint += 1;
    }

    /// What the register should say now, if no run may begin beyond what it says already.
    fn place(&self) -> Place {
        Place { ceiling: self.lease.place().ceiling, ..self.place_at_rest() }
    }

    /// The same once nothing is under way.
    fn place_at_rest(&self) -> Place {
        let (lineage, done) = (self.seams.journal.lineage(), self.window.done());
        Place { ahead: self.before.beyond(done, lineage), ..Place::at(lineage.cursor(done)) }
    }

    async fn write_place(&mut self, place: Place) -> Result<(), DeliveryError> {
        self.lease.write(place).await?;
        (self.ended_since_checkpoint, self.checkpoint_at) = (0, None);
        Ok(())
    }

    /// Writes the cursor as far as it may be, for who waits for it.
    async fn write_what_ended(&mut self) -> Result<(), DeliveryError> {
        if self.runs_alone() || self.window.done() <= self.lease.place().cursor.position() {
            return Ok(());
        }
        self.write_place(self.place()).await
    }

    async fn checkpoint_if_due(&mut self) -> Result<(), DeliveryError> {
        // The last event that ran alone has ended: a process that ends from here on did not end over it.
        if self.lease.place().suspect.is_some() && self.window.is_empty() && !self.is_careful() {
            return self.write_place(self.place()).await;
        }
        // A consumer that nothing is for goes on, too, so that it does not read the same journal again after a restart.
        let behind = self.window.done().saturating_sub(self.lease.place().cursor.position());
        let is_idle = self.ended_since_checkpoint == 0 && behind < CHECKPOINT_POSITIONS;
        if is_idle && (behind == 0 || self.consumer.share.is_whole()) {
            return Ok(());
        }
        let now = self.seams.tasks.elapsed();
        let next = now + if is_idle { CHECKPOINT_IDLE } else { CHECKPOINT_DELAY };
        let at = self.checkpoint_at.map_or(next, |at| at.min(next));
        self.checkpoint_at = Some(at);
        // An event that runs alone keeps its record until it has ended.
        if !self.runs_alone() && (now >= at || self.ended_since_checkpoint >= CHECKPOINT_EVENTS) {
            self.write_place(self.place()).await?;
        }
        Ok(())
    }

    /// Waits for what has begun, and writes a place at which nothing is under way.
    async fn drain(&mut self) -> Result<(), DeliveryError> {
        let mut worst = Ok(());
        self.consumer.handler.let_go();
        self.ready.clear();
        while self.running > 0 || self.errands > 0 {
            let Some(ended) = self.ended.recv().await else { break };
            if let Err(error) = self.end(ended).await {
                worst = Err(error);
            }
        }
        worst?;
        let place = self.place_at_rest();
        if self.lease.place() != &place {
            self.lease.write(place).await?;
        }
        Ok(())
    }

    fn tell_status(&self) {
        self.status.working(&Sight {
            cursor: self.seams.journal.lineage().cursor(self.window.done()),
            ahead: self.window.ahead(),
            under_way: self.window.len(),
            held: self.held.len() - self.parked,
            parked: self.parked,
            oldest_undelivered_at: self.window.oldest(),
            oldest_held_at: self.recorded.first().map(|(recorded, _)| Timestamp::from_micros(*recorded)),
        });
    }
}

/// The consumer's next order; they outlive its sessions.
pub(crate) type Orders = Arc<tokio::sync::Mutex<mpsc::Receiver<Order>>>;

/// Waits for an order; for ever when nobody can give one any more.
pub(crate) async fn next_order(orders: &Orders) -> Order {
    match orders.lock().await.recv().await {
        Some(order) => order,
        None => std::future::pending().await,
    }
}

/// A place of this history from which on everything is there that retention has kept of it: one in front of what it has let go of would
/// let its reader stand.
pub(crate) async fn readable_place(seams: &Seams, cursor: Cursor) -> Result<Cursor, DeliveryError> {
    // Sealed: the event behind it is none of ours to open.
    let journal = seams.runs.sealed();
    let head = journal.head().await?.position();
    let cursor = journal.lineage().cursor(journal.lineage().resolve(cursor, head, 0).map_err(diverged)?);
    match journal.read(Selection::All, cursor, ReadMode::ToHead).next().await {
        Some(Err(ReadError::Cursor(error))) => Err(diverged(error)),
        _ => Ok(cursor),
    }
}

/// Writes a new place, and remembers who wanted it.
pub(super) async fn place_at(part: &Part, seams: &Seams, lease: &mut Lease, cursor: Cursor, why: &Decision) -> Result<(), DeliveryError> {
    let place = readable_place(seams, cursor).await?;
    // It is one decision for all shares.
    if part.share.index == 0 {
        Memory::new(&*seams.journal, &part.name).placed(cursor, why).await?;
    }
    Ok(lease.write(Place::at(place)).await?)
}

fn is_meant(selection: &HeldSelection, key: &EntityKey, held: &Held) -> bool {
    let key_fits = selection.key.as_ref().is_none_or(|wanted| wanted == key);
    let cause_fits = selection.cause.as_ref().is_none_or(|cause| *cause == cause_group(held.record.cause()));
    key_fits && cause_fits && !held.running
}

/// What ends a process is not tried a fourth time.
fn fatal(deaths: u32) -> Failure {
    Failure::Park { cause: format!("the process ended {deaths} times while this event ran") }
}

pub(super) fn diverged(error: CursorError) -> DeliveryError {
    DeliveryError::Read(ReadError::Cursor(error))
}
