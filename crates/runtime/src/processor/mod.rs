//! Processors: inputs are folded into a state per key, in the journal's order, and events come out.
//!
//! It promises that every input counts once in the state and in the output, whatever ends the process in between: states, output and
//! place are one commit. A key whose fold fails is parked and waits in the journal, like a consumer's; other keys go on.
//!
//! `session` is a processor at work, `wake` its time, `step` its commits, `draft` what the next of them will hold, `keys` what it
//! knows of its keys, `record` what it leaves in the journal. `park` is what waits for a person, `obey` what people decide about it,
//! `preview` what would come of that, `why` what is
//! remembered of a failure and whom it may quote. `silence` is what a new generation does not say again.
//!
//! What it is not: a consumer of `delivery`. It has no lease and no cursor in a register, takes no retries (a fold is pure: it would
//! fail again), and runs in one task.

mod draft;
mod keys;
mod obey;
mod park;
mod preview;
mod record;
mod session;
mod silence;
mod step;
mod wake;
mod why;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use component::Start;
use component::hosted::ProcessorHandle;
use component::hosted::personal_mark::revealed;
use journal::{AppendError, Commit, Cursor, CursorError, EntityKey, Expect, Journal, ReadError, ReadMode, Selection, Timestamp};
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot, watch};

use crate::action::DryRun;
use crate::delivery::{
    ConsumerState, ConsumerStatus, DeliveryError, HeldKey, Order, OrderError, Orders, Seams, StatusCell, Watched, What, ask_another,
    next_order, stopped, watch_progress,
};
use crate::guard::{self, Guard};
use crate::limits::{ENGINE_RETRY_MAX, ENGINE_RETRY_MIN, ORDERS_MAX, PROCESSOR_STEP_INPUTS, PROCESSOR_STEPS_UNDER_WAY_MAX};
use crate::node::{Share, while_held};
use crate::retention::pins::Pin;
use record::Progress;
use session::{End, Lessons, Session};

/// What is known of one key of a processor.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySight {
    /// Its state; `None` when no input has ever been for it.
    pub state: Option<Json>,
    /// When it wants to be woken: microseconds since 1970, UTC.
    pub wakes: Vec<i64>,
    /// Why it waits for a person, if it does.
    pub parked: Option<HeldKey>,
}

/// What a processor's task and those who ask share.
struct Shared {
    processor: ProcessorHandle,
    seams: Arc<Seams>,
    selection: Selection,
    status: Arc<StatusCell>,
    orders: Orders,
    send: mpsc::Sender<Order>,
    durable: Mutex<Option<Cursor>>,
}

impl Shared {
    fn name(&self) -> &'static str {
        self.processor.description().name
    }

    /// Everything up to here is durable.
    fn durable(&self, cursor: Cursor) {
        *self.lock() = Some(cursor);
    }

    fn durable_cursor(&self, otherwise: Cursor) -> Cursor {
        self.lock().unwrap_or(otherwise)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Cursor>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The processors of a service.
pub(crate) struct Processors {
    all: Vec<Arc<Shared>>,
    seams: Arc<Seams>,
    stop: watch::Sender<bool>,
    working: watch::Sender<usize>,
}

impl Processors {
    pub(crate) fn new(processors: Vec<ProcessorHandle>, seams: Arc<Seams>) -> Self {
        let all = processors.into_iter().map(|processor| Arc::new(shared(processor, &seams))).collect();
        Self { all, seams, stop: watch::Sender::new(false), working: watch::Sender::new(0) }
    }

    /// Sets all to work. A new one has its place when this returns.
    pub(crate) async fn begin(&self) -> Result<(), DeliveryError> {
        for shared in &self.all {
            place(shared).await?;
            let (shared, stop) = (Arc::clone(shared), self.stop.subscribe());
            self.seams.tasks.spawn(Box::pin(watch_progress(watched(&shared), stop.clone())));
            let (working, nodes) = (self.working.clone(), &self.seams.nodes);
            let post = nodes.post(&format!("{}{}", guard::PROCESSOR, shared.name()), Share::WHOLE);
            if nodes.is_shared() {
                shared.status.state(ConsumerState::Elsewhere);
            }
            working.send_modify(|working| *working += 1);
            self.seams.tasks.spawn(Box::pin(async move {
                let _at_work = AtWork(working);
                while_held(post, stop.clone(), |ends, _| process(&shared, ends)).await;
                shared.status.state(ConsumerState::Stopped);
            }));
        }
        Ok(())
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) async fn drained(&self) {
        let mut working = self.working.subscribe();
        // The sender is ours: it is there as long as this waits.
        let _ended = working.wait_for(|working| *working == 0).await.is_ok();
    }

    pub(crate) fn statuses(&self) -> Vec<ConsumerStatus> {
        self.all.iter().map(|shared| shared.status.get()).collect()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all.iter().map(|shared| shared.name())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The entity types whose events a processor reads.
    pub(crate) fn read_by(&self, name: &str) -> Vec<String> {
        let sources = self.find(name).map(|shared| &shared.processor.description().sources);
        sources.into_iter().flatten().map(|(kind, _)| (*kind).to_owned()).collect()
    }

    fn find(&self, name: &str) -> Option<&Arc<Shared>> {
        self.all.iter().find(|shared| shared.name() == name)
    }

    fn found(&self, name: &str) -> Result<&Arc<Shared>, OrderError> {
        self.find(name).ok_or_else(|| OrderError::UnknownConsumer { known: self.names().map(str::to_owned).collect() })
    }

    /// The parked keys of a processor, ordered by key.
    pub(crate) async fn held(&self, name: &str) -> Result<Vec<HeldKey>, OrderError> {
        let shared = self.found(name)?;
        let failed = |error: ReadError| OrderError::from(DeliveryError::Read(error));
        let journal = &*shared.seams.journal;
        let Some((progress, _)) = record::read_progress(journal, name).await.map_err(failed)? else { return Ok(Vec::new()) };
        let keys = keys::Keys::read(journal, name, progress.generation).await.map_err(failed)?;
        let mut parked: Vec<HeldKey> = keys.parked().values().cloned().collect();
        parked.sort_by(|one, other| (&one.kind, &one.id).cmp(&(&other.kind, &other.id)));
        Ok(parked)
    }

    /// Where each of them has still to read from.
    pub(crate) async fn pins(&self) -> Result<Vec<Pin>, ReadError> {
        let mut pins = Vec::new();
        for shared in &self.all {
            let (journal, name) = (&*shared.seams.journal, shared.name());
            let Some((progress, _)) = record::read_progress(journal, name).await? else { continue };
            pins.push(Pin::behind(format!("processor {name}"), progress.cursor));
            let keys = keys::Keys::read(journal, name, progress.generation).await?;
            for (key, parked) in keys.parked() {
                let from = journal.lineage().cursor(park::waits_from(parked));
                pins.push(Pin::at(format!("the parked key {key} of processor {name}"), from));
            }
        }
        Ok(pins)
    }

    /// What a processor remembers of a key.
    pub(crate) async fn key(&self, name: &str, key: &EntityKey) -> Result<KeySight, OrderError> {
        let shared = self.found(name)?;
        let failed = |error: ReadError| OrderError::from(DeliveryError::Read(error));
        let journal = &*shared.seams.journal;
        let kept = match record::read_progress(journal, name).await.map_err(failed)? {
            Some((progress, _)) => {
                let entity = record::kept_entity(name, progress.generation, key);
                record::read_kept(journal, &entity).await.map_err(failed)?.unwrap_or_default()
            }
            None => record::Kept::default(),
        };
        let state = kept.state.and_then(|state| serde_json::from_slice(&revealed(state.get().as_bytes())).ok());
        Ok(KeySight { state, wakes: kept.wakes.into_iter().collect(), parked: kept.parked })
    }

    /// What the event that parked a key would come to, with its own payload or another one: nothing takes effect.
    pub(crate) async fn dry_run(&self, name: &str, key: &EntityKey, payload: Option<&Json>) -> Result<DryRun, OrderError> {
        preview::dry_run(self.found(name)?, key, payload).await
    }

    /// Carries out what another node asks of this one, if the processor is here.
    pub(crate) async fn carry_out(&self, duty: &str, what: What) -> Option<Result<usize, OrderError>> {
        let name = duty.strip_prefix(guard::PROCESSOR)?;
        let is_here = self.find(name)?.status.get().state != ConsumerState::Elsewhere;
        if is_here { Some(self.order(name, what).await) } else { None }
    }

    /// Has the processor carry out what a person has decided.
    pub(crate) async fn order(&self, name: &str, what: What) -> Result<usize, OrderError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || OrderError::NotWorking { cause: "the service stops".into() };
        let shared = self.found(name)?;
        if shared.status.get().state == ConsumerState::Elsewhere {
            return ask_another(&self.seams, (&format!("{}{name}", guard::PROCESSOR), Share::WHOLE), &what).await;
        }
        shared.send.send(Order { what, answer }).await.map_err(|_| stopped())?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// Counts a processor for as long as it is there, also when its task is dropped.
struct AtWork(watch::Sender<usize>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.send_modify(|working| *working -= 1);
    }
}

fn shared(processor: ProcessorHandle, seams: &Arc<Seams>) -> Shared {
    let description = processor.description();
    let types = description.sources.iter().flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind}/{name}").into()));
    let (selection, status) = (Selection::Types(types.collect()), Arc::new(StatusCell::new(description.name)));
    let (send, orders) = mpsc::channel(ORDERS_MAX);
    let orders = Arc::new(tokio::sync::Mutex::new(orders));
    Shared { processor, seams: Arc::clone(seams), selection, status, orders, send, durable: Mutex::default() }
}

/// A fold has no time of its own.
fn watched(shared: &Shared) -> (Watched, Arc<Seams>, Arc<StatusCell>) {
    let (name, selection) = (shared.name().to_owned(), shared.selection.clone());
    let watched = Watched { name, selection, share: Share::WHOLE, run_time: Duration::ZERO, is_elsewhere: false };
    (watched, Arc::clone(&shared.seams), Arc::clone(&shared.status))
}

/// A new processor gets its place.
async fn place(shared: &Shared) -> Result<(), DeliveryError> {
    let (journal, name) = (&*shared.seams.journal, shared.name());
    if record::read_progress(journal, name).await?.is_some() {
        return Ok(());
    }
    let description = shared.processor.description();
    let start = match description.start {
        Start::Now => journal.head().await?,
        Start::First => Cursor::BEGINNING,
        Start::At(micros) => journal.cursor_at(Timestamp::from_micros(micros)).await?,
    };
    let build = description.build.clone();
    let progress = Progress { generation: 0, build, start, cursor: start, now: i64::MIN, silent_until: None, silent_now: None };
    let commands = vec![record::progress_record(name, record::step(name, 1), &progress)];
    let expect = vec![(record::progress_entity(name), Expect::New)];
    match journal.append(Commit { commands, expect, ..Commit::default() }).await {
        // Another owner has placed it, or we have and did not hear of it.
        Ok(_) | Err(AppendError::Duplicate { .. } | AppendError::Conflict { .. }) => Ok(()),
        Err(error) => Err(ReadError::Unavailable { cause: error.to_string() }.into()),
    }
}

/// A processor whose state has another shape begins anew, and says nothing until it is where the old one was.
fn next_generation(before: Progress, build: &str) -> Progress {
    let silent_until = match before.silent_until {
        Some(until) if until.position() > before.cursor.position() => until,
        _ => before.cursor,
    };
    Progress {
        generation: before.generation + 1,
        build: build.to_owned(),
        start: before.start,
        cursor: before.start,
        now: i64::MIN,
        silent_until: Some(silent_until),
        silent_now: Some(before.silent_now.map_or(before.now, |until| until.max(before.now))),
    }
}

/// A place to begin anew from: when its events are gone by retention, the first one that is there.
async fn first_there(journal: &dyn Journal, cursor: Cursor) -> Result<Cursor, ReadError> {
    match journal.read(Selection::All, cursor, ReadMode::ToHead).next().await {
        Some(Err(ReadError::Cursor(CursorError::Gone { first }))) => Ok(first),
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(cursor),
    }
}

/// One session after the other, until a stop.
async fn process(shared: &Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let (mut lessons, mut wait) = (None, ENGINE_RETRY_MIN);
    while !*stop.borrow() {
        match session(shared, &mut lessons, &mut stop, &mut wait).await {
            End::Stopped => break,
            End::Refused => {}
            End::Failed(cause) => {
                shared.status.state(ConsumerState::Waiting { cause: cause.clone() });
                tokio::select! {
                    biased;
                    () = stopped(&mut stop) => {}
                    order = next_order(&shared.orders) => {
                        // Who asked may have gone away.
                        let _ = order.answer.send(Err(OrderError::NotWorking { cause }));
                    }
                    () = shared.seams.tasks.sleep(wait) => wait = (wait * 2).min(ENGINE_RETRY_MAX),
                }
            }
        }
    }
    shared.status.state(if shared.seams.nodes.is_shared() { ConsumerState::Elsewhere } else { ConsumerState::Stopped });
}

async fn session(shared: &Arc<Shared>, lessons: &mut Option<Lessons>, stop: &mut watch::Receiver<bool>, wait: &mut Duration) -> End {
    if lessons.is_none() {
        match guard(shared).await {
            Ok(guard) => *lessons = Some(Lessons::new(guard)),
            Err(end) => return end,
        }
    }
    let lessons = lessons.as_mut().expect("it was put there");
    let end = match Session::begin(shared, lessons).await {
        Ok(session) => session.work(stop).await,
        Err(end) => return end,
    };
    *wait = ENGINE_RETRY_MIN;
    if matches!(end, End::Stopped) {
        // A register that stays makes the next process careful, and that is all.
        let _ = lessons.guard.end().await;
    }
    end
}

async fn guard(shared: &Shared) -> Result<Guard, End> {
    let head = shared.seams.journal.head().await?.position();
    let begun = (head, shared.seams.clock.now().as_micros());
    let name = format!("{}{}", guard::PROCESSOR, shared.name());
    Ok(Guard::begin(&shared.seams.registers, name, PROCESSOR_STEP_INPUTS * PROCESSOR_STEPS_UNDER_WAY_MAX, begun).await?)
}

/// What ended the process was this.
fn fatal() -> String {
    guard::fatal("this input was folded")
}
