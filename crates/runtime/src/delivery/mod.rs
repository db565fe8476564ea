//! Delivery: durable consumers, the one module under everything that reacts to events.
//!
//! A consumer reads the journal from its place and runs each event that it wants through its handler: at least once, in order
//! per key, keys side by side. A failing event stops its own key only. It promises:
//! - the cursor never passes an event that has neither ended nor had its key held, durably;
//! - an event that ends its process is found and parked after three times, though no run of a healthy event pays for a record;
//! - a missing register stops a consumer that had one: it begins again where an operator says, never by itself at the first event.
//!
//! `session` is a consumer at work, `window` how far its cursor may go, `lease` and `held` what its registers say, `worker` the
//! reader of one held key, `run` one run.
//!
//! What it is not: a place for effects. A handler's own effects must be recognised when they come twice.

mod backoff;
mod handler;
mod held;
mod lease;
mod run;
mod session;
mod status;
#[cfg(test)]
mod tests;
mod window;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::seams::{Clock, Random};
use journal::{
    AppendError, CommandId, CommandRecord, Commit, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Journal, ReadError,
    Registers, Selection, Timestamp,
};
use tokio::sync::watch;

use crate::limits::{ENGINE_RETRY_MAX, ENGINE_RETRY_MIN};
use crate::seams::Tasks;
pub use backoff::RetryPolicy;
pub(crate) use handler::{Delivery, Failure, Handler};
pub use held::{FailedRun, HeldKey};
use lease::Lease;
pub use session::DeliveryError;
use session::Session;
use status::StatusCell;
pub use status::{ConsumerState, ConsumerStatus};

/// The platform's entity type that remembers which consumers there have been.
const CONSUMER: &str = "$consumer";
const CREATED: &str = "consumer-created";

/// Where a consumer begins that has never been there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the first event.
    First,
    /// At the head of then.
    Now,
    /// At the first event of this time or later.
    At(Timestamp),
}

/// A durable, named reader.
pub(crate) struct Consumer {
    /// Its name: a component's, or the platform's with a leading `$`.
    pub(crate) name: String,
    pub(crate) selection: Selection,
    pub(crate) start: Start,
    pub(crate) retry: RetryPolicy,
    /// How long one run may take.
    pub(crate) run_timeout: Duration,
    /// Runs at once, at most.
    pub(crate) runs_max: usize,
    pub(crate) handler: Arc<dyn Handler>,
}

/// What consumers share with the machine.
pub(crate) struct Seams {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) registers: Arc<dyn Registers>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) tasks: Arc<dyn Tasks>,
}

/// All consumers of a service.
pub(crate) struct DeliveryRoom {
    seams: Arc<Seams>,
    stop: watch::Sender<bool>,
    consumers: std::sync::Mutex<Vec<Arc<StatusCell>>>,
    /// How many are at work; `drained` waits for none.
    working: watch::Sender<usize>,
}

impl DeliveryRoom {
    pub(crate) fn new(seams: Seams) -> Self {
        Self {
            seams: Arc::new(seams),
            stop: watch::Sender::new(false),
            consumers: std::sync::Mutex::default(),
            working: watch::Sender::new(0),
        }
    }

    /// Gives a new consumer its place. One that begins at the head of now must have it before further events come.
    pub(crate) async fn place(&self, consumer: &Consumer) -> Result<(), DeliveryError> {
        let known = self.seams.registers.get(&Lease::register(&consumer.name)).await?.is_some();
        if !known {
            place(consumer, &self.seams).await?;
        }
        Ok(())
    }

    /// Sets a consumer to work, in the background, until `stop`.
    pub(crate) fn begin(&self, consumer: Consumer) {
        let status = Arc::new(StatusCell::new(&consumer.name));
        self.lock().push(Arc::clone(&status));
        let (seams, stop) = (Arc::clone(&self.seams), self.stop.subscribe());
        let at_work = AtWork::new(&self.working);
        self.seams.tasks.spawn(Box::pin(async move {
            consume(Arc::new(consumer), seams, status, stop).await;
            drop(at_work);
        }));
    }

    pub(crate) fn tasks(&self) -> &Arc<dyn Tasks> {
        &self.seams.tasks
    }

    /// No consumer takes further events; what has begun ends.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns when every consumer has stopped.
    pub(crate) async fn drained(&self) {
        let mut working = self.working.subscribe();
        // The sender is ours: it is there as long as this waits.
        let _ended = working.wait_for(|working| *working == 0).await.is_ok();
    }

    /// How each consumer is, in the order in which they began.
    pub(crate) fn statuses(&self) -> Vec<ConsumerStatus> {
        self.lock().iter().map(|status| status.get()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<StatusCell>>> {
        self.consumers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Counts a consumer for as long as it is there, also when its task is dropped.
struct AtWork(watch::Sender<usize>);

impl AtWork {
    fn new(working: &watch::Sender<usize>) -> Self {
        working.send_modify(|working| *working += 1);
        Self(working.clone())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.send_modify(|working| *working -= 1);
    }
}

/// One session after the other, until a stop.
async fn consume(consumer: Arc<Consumer>, seams: Arc<Seams>, status: Arc<StatusCell>, mut stop: watch::Receiver<bool>) {
    let (mut careful, mut wait) = (true, ENGINE_RETRY_MIN);
    while !*stop.borrow() {
        match session(&consumer, &seams, &status, careful).await {
            Ok(Some(session)) => {
                // Whatever ends a session from here on, all its runs have ended by then.
                careful = false;
                match session.work(&mut stop).await {
                    Ok(()) => wait = ENGINE_RETRY_MIN,
                    Err(error) => status.state(ConsumerState::Waiting { cause: error.to_string() }),
                }
            }
            Ok(None) => status.state(ConsumerState::Unplaced),
            Err(error) => status.state(ConsumerState::Waiting { cause: error.to_string() }),
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = seams.tasks.sleep(wait) => wait = (wait * 2).min(ENGINE_RETRY_MAX),
        }
    }
    status.state(ConsumerState::Stopped);
}

/// Takes the lease and begins; `None` when the consumer's place is lost.
async fn session(
    consumer: &Arc<Consumer>,
    seams: &Arc<Seams>,
    status: &Arc<StatusCell>,
    careful: bool,
) -> Result<Option<Session>, DeliveryError> {
    let Some(lease) = place(consumer, seams).await? else { return Ok(None) };
    Session::begin(Arc::clone(consumer), Arc::clone(seams), Arc::clone(status), lease, careful).await.map(Some)
}

/// The consumer's lease. A consumer that the journal knows and the registers do not has lost its place.
async fn place(consumer: &Consumer, seams: &Seams) -> Result<Option<Lease>, DeliveryError> {
    let taken = Lease::take(&seams.registers, &consumer.name).await?;
    let entity = EntityKey::new(CONSUMER, &consumer.name).expect("the names of components are ids");
    let known = seams.journal.find_command(&entity, created_id()).await?.is_some();
    let lease = match (taken, known) {
        (Some(lease), _) => lease,
        (None, true) => return Ok(None),
        (None, false) => {
            let start = match consumer.start {
                Start::First => Cursor::BEGINNING,
                Start::Now => seams.journal.head().await?,
                Start::At(time) => seams.journal.cursor_at(time).await?,
            };
            Lease::create(&seams.registers, &consumer.name, start).await?
        }
    };
    if !known {
        remember(seams, entity).await?;
    }
    Ok(Some(lease))
}

fn created_id() -> CommandId {
    // A client cannot send an id with a control character.
    CommandId::from_raw(b"created\0")
}

/// The journal remembers that the consumer has been placed.
async fn remember(seams: &Seams, entity: EntityKey) -> Result<(), DeliveryError> {
    let event = EventData {
        name: CREATED.into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: Bytes::from_static(b"{\"start\":\"first\"}"),
    };
    let command = CommandRecord {
        entity,
        id: created_id(),
        name: "create".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::new(),
        events: vec![event],
    };
    match seams.journal.append(Commit { commands: vec![command], ..Commit::default() }).await {
        Ok(_) | Err(AppendError::Duplicate { .. }) => Ok(()),
        Err(error) => Err(ReadError::Unavailable { cause: error.to_string() }.into()),
    }
}
