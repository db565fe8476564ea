//! Delivery: durable consumers, the one module under everything that reacts to events.
//!
//! A consumer reads the journal from its place and runs each event that it wants through its handler: at least once, in order
//! per key, keys side by side. A failing event stops its own key only. It promises:
//! - the cursor never passes an event that has neither ended nor had its key held, durably;
//! - an event that ends its process is found and parked after three times, though no run of a healthy event pays for a record;
//! - a missing register stops a consumer that had one: it begins again where an operator says, never by itself at the first event.
//!
//! `session` is a consumer at work, `window` how far its cursor may go, `lease` and `held` what its registers say, `worker` the
//! reader of one held key, `foreign` what a start finds of another journal, `run` one run, `memory` what the journal knows of consumers, `orders` what people decide, `look` whether
//! it moves. `part` is a share of a consumer, which one node at a time works on, `shares` how one place becomes those of shares and back, and `relay` how decisions reach the node that has it.
//!
//! What it is not: a place for effects. A handler's own effects must be recognised when they come twice.

mod backoff;
mod foreign;
mod handler;
mod held;
mod lease;
mod look;
mod memory;
mod orders;
mod part;
mod relay;
mod run;
mod session;
mod shares;
mod status;
#[cfg(test)]
mod tests;
mod window;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use journal::seams::{Clock, Random};
use journal::{Context, Cursor, EntityKey, Journal, RegisterError, Registers, Selection, Timestamp};
use serde_json::Value as Json;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::Notices;
use crate::limits::ORDERS_MAX;
use crate::node::{Nodes, Share};
use crate::personal::runs::Runs;
use crate::seams::Tasks;
pub use backoff::RetryPolicy;
pub(crate) use handler::{Delivery, Failure, Handler};
use held::HeldRegisters;
pub use held::{FailedRun, HeldKey};
use lease::Lease;
pub(crate) use lease::PREFIX as LEASES;
pub(crate) use look::{Watched, watch as watch_progress};
pub use memory::Decision;
pub(crate) use memory::{Memory, edited_payload, setups_types};
pub use orders::{HeldSelection, OrderError, cause_group};
pub(crate) use orders::{Order, What};
use part::Part;
pub(crate) use relay::{CarryOut, PREFIX as RELAYED, ask as ask_another};
pub use session::DeliveryError;
pub(crate) use session::{Orders, next_order, readable_place};
pub use status::{ConsumerState, ConsumerStatus};
pub(crate) use status::{Sight, StatusCell};

/// Where a consumer begins that has never been there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the first event.
    First,
    /// At the head of then.
    Now,
    /// At the first event of this time or later.
    At(Timestamp),
    /// Behind this place.
    Behind(Cursor),
}

/// A durable, named reader.
#[derive(Clone)]
pub(crate) struct Consumer {
    /// Its name: a component's, or the platform's with a leading `$`.
    pub(crate) name: String,
    pub(crate) selection: Selection,
    pub(crate) start: Start,
    pub(crate) retry: RetryPolicy,
    /// How long one run may take.
    pub(crate) run_timeout: Duration,
    /// Runs at once, at most. Those of held keys are counted apart, and are half as many.
    pub(crate) runs_max: usize,
    pub(crate) handler: Arc<dyn Handler>,
}

impl Consumer {
    /// Into how many shares it is cut. One whose events clients run is whole: they come to one node.
    fn shares(&self, nodes: &Nodes) -> u16 {
        if self.handler.is_elsewhere() { 1 } else { nodes.shares() }
    }
}

/// What consumers share with the machine.
#[derive(Clone)]
pub(crate) struct Seams {
    pub(crate) journal: Arc<dyn Journal>,
    /// The same for what runs over personal values.
    pub(crate) runs: Arc<Runs>,
    pub(crate) registers: Arc<dyn Registers>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) tasks: Arc<dyn Tasks>,
    /// Tells an operator what has happened.
    pub(crate) notices: Notices,
    /// See [`Limits`](crate::Limits).
    pub(crate) stall_after: Duration,
    /// This node, and the others.
    pub(crate) nodes: Arc<Nodes>,
}

/// A consumer that has begun.
struct AtWorkConsumer {
    name: String,
    parts: Vec<PartAtWork>,
    stop: watch::Sender<bool>,
    /// Closed once it has ended.
    ended: watch::Receiver<()>,
}

#[derive(Clone)]
struct PartAtWork {
    share: Share,
    status: Arc<StatusCell>,
    orders: mpsc::Sender<Order>,
}

impl PartAtWork {
    async fn order(&self, what: What) -> Result<usize, OrderError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || OrderError::NotWorking { cause: "the service stops".into() };
        self.orders.send(Order { what, answer }).await.map_err(|_| stopped())?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl AtWorkConsumer {
    fn status(&self) -> ConsumerStatus {
        let parts: Vec<ConsumerStatus> = self.parts.iter().map(|part| part.status.get()).collect();
        status::merged(&parts)
    }
}

/// All consumers of a service.
pub(crate) struct DeliveryRoom {
    seams: Arc<Seams>,
    stop: watch::Sender<bool>,
    consumers: std::sync::Mutex<Vec<AtWorkConsumer>>,
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

    /// Takes places away that are none of this journal. It is called before anything is recorded: once the journal has grown past a
    /// place that was beyond its head, nobody can tell any more.
    pub(crate) async fn lose_foreign_places(&self) -> Result<(), DeliveryError> {
        foreign::lose(&self.seams).await
    }

    /// Gives a new consumer its place. One that begins at the head of now must have it before further events come.
    pub(crate) async fn place(&self, consumer: &Consumer) -> Result<(), DeliveryError> {
        part::ensure(consumer, consumer.shares(&self.seams.nodes), &self.seams).await
    }

    /// Sets a consumer to work, in the background, until `stop`.
    pub(crate) fn begin(&self, consumer: Consumer) {
        let (stop, stopped) = watch::channel(false);
        let (ending, ended) = watch::channel(());
        let (name, of) = (consumer.name.clone(), consumer.shares(&self.seams.nodes));
        let runs_max = (consumer.runs_max / usize::from(of)).max(1);
        // What is less than one a share is bounded over all of them.
        let together = (consumer.runs_max < usize::from(of)).then(|| Arc::new(Semaphore::new(consumer.runs_max.max(1))));
        let parts = Share::all(of).map(|share| {
            let part = Part { consumer: Consumer { runs_max, ..consumer.clone() }, share, together: together.clone() };
            self.begin_part(part, stopped.clone(), ending.clone())
        });
        let parts = parts.collect();
        self.lock().push(AtWorkConsumer { name, parts, stop: stop.clone(), ended });
        // Who comes after the stop stops as well.
        stop.send_replace(*self.stop.borrow());
    }

    fn begin_part(&self, part: Part, stopped: watch::Receiver<bool>, ending: watch::Sender<()>) -> PartAtWork {
        let status = Arc::new(StatusCell::new(&part.name));
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        let at_work = PartAtWork { share: part.share, status: Arc::clone(&status), orders };
        let (orders, seams) = (Arc::new(tokio::sync::Mutex::new(receiver)), Arc::clone(&self.seams));
        let post = seams.nodes.post(&duty(&part.name), part.share);
        let (working, part) = (AtWork::new(&self.working), Arc::new(part));
        let watched = (part.watched(), Arc::clone(&seams), Arc::clone(&status));
        self.seams.tasks.spawn(Box::pin(watch_progress(watched, stopped.clone())));
        self.seams.tasks.spawn(Box::pin(async move {
            part::consume((part, seams, status), orders, stopped, post).await;
            drop((working, ending));
        }));
        at_work
    }

    /// Stops one consumer, waits until what it has begun has ended, and knows it no longer.
    pub(crate) async fn end(&self, consumer: &str) {
        let ended = {
            let mut consumers = self.lock();
            let Some(at) = consumers.iter().position(|other| other.name == consumer) else { return };
            self.seams.nodes.forget(&duty(consumer));
            let consumer = consumers.remove(at);
            consumer.stop.send_replace(true);
            consumer.ended
        };
        let mut ended = ended;
        while ended.changed().await.is_ok() {}
    }

    /// Gives a consumer that does not work another place, and forgets the keys that it held; without a place, forgets it.
    pub(crate) async fn replace(&self, consumer: &str, place: Option<Cursor>) -> Result<(), DeliveryError> {
        let (registers, held) = (&self.seams.registers, HeldRegisters::new(&self.seams, consumer));
        for (revision, record) in held.list().await? {
            held.delete(&record.key()?, revision).await?;
        }
        for register in registers.list(&Lease::register(consumer, Share::WHOLE)).await? {
            if foreign::consumer_of(&register) == consumer {
                registers.delete(&register.name, register.revision).await?;
            }
        }
        if let Some(cursor) = place {
            lease::create(registers, consumer, Share::all(1), cursor).await?;
            // From here on it has had a place: without a register it has lost it.
            Memory::new(&*self.seams.journal, consumer).created(cursor).await?;
        }
        Ok(())
    }

    /// Remembers what a person wants of a consumer: how it is set up, or that it is no more.
    pub(crate) async fn set_up(&self, consumer: &str, config: Option<&Json>, context: &Context) -> Result<(), DeliveryError> {
        Memory::new(&*self.seams.journal, consumer).set_up(config, context).await
    }

    /// The consumers that people have set up, and how.
    pub(crate) async fn setups(&self) -> Result<Vec<(String, Json)>, DeliveryError> {
        memory::setups(&*self.seams.journal).await
    }

    pub(crate) fn seams(&self) -> &Arc<Seams> {
        &self.seams
    }

    pub(crate) fn tasks(&self) -> &Arc<dyn Tasks> {
        &self.seams.tasks
    }

    /// No consumer takes further events; what has begun ends.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
        for consumer in self.lock().iter() {
            consumer.stop.send_replace(true);
        }
    }

    /// Returns when every consumer has stopped.
    pub(crate) async fn drained(&self) {
        let mut working = self.working.subscribe();
        // The sender is ours: it is there as long as this waits.
        let _ended = working.wait_for(|working| *working == 0).await.is_ok();
    }

    /// How each consumer is, in the order in which they began.
    pub(crate) fn statuses(&self) -> Vec<ConsumerStatus> {
        self.lock().iter().map(AtWorkConsumer::status).collect()
    }

    /// How each consumer is, whichever nodes have its shares.
    pub(crate) async fn statuses_of_all(&self) -> Result<Vec<ConsumerStatus>, DeliveryError> {
        if !self.seams.nodes.is_shared() {
            return Ok(self.statuses());
        }
        let consumers: Vec<(String, Vec<PartAtWork>)> =
            self.lock().iter().map(|consumer| (consumer.name.clone(), consumer.parts.clone())).collect();
        let mut statuses = Vec::with_capacity(consumers.len());
        for (name, parts) in consumers {
            statuses.push(self.status_of_all(&name, &parts).await?);
        }
        Ok(statuses)
    }

    async fn status_of_all(&self, name: &str, parts: &[PartAtWork]) -> Result<ConsumerStatus, DeliveryError> {
        let mut shares = Vec::with_capacity(parts.len());
        for part in parts {
            let mut status = part.status.get();
            if status.state == ConsumerState::Elsewhere
                && let Some(register) = self.seams.registers.get(&Lease::register(name, part.share)).await?
            {
                let kept = lease::decode(&register)?;
                status.cursor = Some(kept.place.cursor);
                // One that nobody has is on its way from one to another.
                status.state = kept.owner.map_or(ConsumerState::Starting, |_| ConsumerState::Working);
            }
            shares.push(status);
        }
        let held = HeldRegisters::new(&self.seams, name).list().await?;
        let parked = held.iter().filter(|(_, held)| held.parked).count();
        let oldest_held_at = held.iter().map(|(_, held)| Timestamp::from_micros(held.recorded())).min();
        Ok(ConsumerStatus { parked, held: held.len() - parked, oldest_held_at, ..status::merged(&shares) })
    }

    /// The held and parked keys of a consumer, ordered by key.
    pub(crate) async fn held(&self, consumer: &str) -> Result<Vec<HeldKey>, OrderError> {
        self.parts_of(consumer, None)?;
        let held = HeldRegisters::new(&self.seams, consumer).list().await.map_err(DeliveryError::from)?;
        let mut held: Vec<HeldKey> = held.into_iter().map(|(_, held)| held).collect();
        held.sort_by(|one, other| (&one.kind, &one.id).cmp(&(&other.kind, &other.id)));
        Ok(held)
    }

    /// Has a consumer carry out what a person has decided; gives how many keys it was about.
    pub(crate) async fn order(&self, consumer: &str, what: What) -> Result<usize, OrderError> {
        let (parts, mut done, mut nothing) = (self.parts_of(consumer, what.key())?, 0, None);
        for part in parts {
            let carried_out = if part.status.get().state == ConsumerState::Elsewhere {
                relay::ask(&self.seams, (&duty(consumer), part.share), &what).await
            } else {
                part.order(what.clone()).await
            };
            match carried_out {
                Ok(more) => done += more,
                Err(OrderError::NotHeld) => nothing = Some(OrderError::NotHeld),
                Err(error) => return Err(error),
            }
        }
        nothing.filter(|_| done == 0).map_or(Ok(done), Err)
    }

    /// Has every consumer write how far it is. One that does not work stays where it is.
    pub(crate) async fn checkpoint(&self) {
        let names: Vec<String> = self.lock().iter().map(|consumer| consumer.name.clone()).collect();
        for name in names {
            let _done = self.order(&name, What::Checkpoint).await.is_ok();
        }
    }

    /// Carries out what another node asks of this one, if the share is here.
    pub(crate) async fn carry_out(&self, duty: &str, share: Share, what: What) -> Option<Result<usize, OrderError>> {
        let parts = self.parts_of(duty.strip_prefix(LEASES)?, None).ok()?;
        let part = parts.into_iter().find(|part| part.share == share)?;
        if part.status.get().state == ConsumerState::Elsewhere {
            return None;
        }
        Some(part.order(what).await)
    }

    /// Carries out what other nodes ask of this one, in the background, until `stop`.
    pub(crate) fn attend(&self, carry_out: CarryOut) {
        if self.seams.nodes.is_shared() {
            let stop = self.stop.subscribe();
            self.seams.tasks.spawn(Box::pin(relay::attend(Arc::clone(&self.seams), carry_out, stop)));
        }
    }

    /// Who takes decisions about a consumer: all its shares, or that of a key.
    fn parts_of(&self, consumer: &str, key: Option<&EntityKey>) -> Result<Vec<PartAtWork>, OrderError> {
        let consumers = self.lock();
        let Some(found) = consumers.iter().find(|other| other.name == consumer) else {
            return Err(OrderError::UnknownConsumer { known: consumers.iter().map(|consumer| consumer.name.clone()).collect() });
        };
        let meant = found.parts.iter().filter(|part| key.is_none_or(|key| part.share.has(key.slice())));
        Ok(meant.cloned().collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<AtWorkConsumer>> {
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

/// How many processes the event that has ended most of them has ended, as far as the registers know. One that ends fewer than
/// [`DEATHS_MAX`](crate::limits::DEATHS_MAX) is tried again.
#[cfg(any(test, feature = "testing"))]
pub(crate) async fn blame(registers: &dyn Registers) -> Result<u32, DeliveryError> {
    let mut most = 0;
    for register in registers.list(lease::PREFIX).await? {
        most = most.max(lease::decode(&register)?.place.suspect.map_or(0, |suspect| suspect.runs));
    }
    for register in registers.list(held::PREFIX).await? {
        let (_, held) = held::read(&register)?;
        most = most.max(if held.running { held.deaths } else { 0 });
    }
    for prefix in [crate::guard::PROCESSOR, crate::guard::TIMERS] {
        for register in registers.list(prefix).await? {
            most = most.max(crate::guard::blame(&register.value));
        }
    }
    Ok(most)
}

/// Every place that the registers know: of consumers, and of their held keys the place after the event that holds it.
pub(crate) async fn kept_places(registers: &Arc<dyn Registers>) -> Result<Vec<(String, Option<String>, Cursor)>, DeliveryError> {
    let mut places = Vec::new();
    for register in registers.list(lease::PREFIX).await? {
        places.push((foreign::consumer_of(&register).to_owned(), None, lease::decode(&register)?.place.cursor));
    }
    for register in registers.list(held::PREFIX).await? {
        let (consumer, key, cursor) = foreign::held_place(&register)
            .ok_or_else(|| RegisterError::Unavailable { cause: format!("register {} is not readable by this version", register.name) })?;
        places.push((consumer, Some(key.to_string()), cursor));
    }
    Ok(places)
}

/// The duty of a consumer.
fn duty(consumer: &str) -> String {
    format!("{LEASES}{consumer}")
}

/// Resolves at a stop; a sender that is gone stops as well.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
