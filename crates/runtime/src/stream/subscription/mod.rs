//! Subscriptions: streams of peers as topics of this service, without a broker between them.
//!
//! A subscription reads the peer's stream behind its place, publishes what comes to the topic in the service's own journal, in batches and
//! in order, and then moves its place. It promises:
//! - a message is taken once for ever, known by its source and id, however often the peer tells it;
//! - messages of a key keep their order, and none is left out: one that does not fit the topic is taken with the reason in it, and parks
//!   its key with everybody who reads the topic, while the others flow;
//! - a place that is lost, or that the peer refuses, stops the subscription until an operator gives it another one.
//!
//! `reader` is a subscription at work, `place` what its register and the journal say, `status` how it is.
//!
//! What it is not: a copy of the peer's journal. What the stream does not tell is not here.

mod place;
mod reader;
mod status;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use component::hosted::SubscriptionDescription;
use tokio::sync::{mpsc, oneshot, watch};

use super::peers::{PeerPlace, PeerStreams};
use crate::delivery::{Decision, DeliveryError, OrderError, Seams};
use crate::limits::ORDERS_MAX;
use crate::node::Share;
use crate::topic::Topics;
use reader::Reader;
use status::StatusCell;
pub use status::{SubscriptionState, SubscriptionStatus};

/// All subscriptions of a service.
pub(crate) struct Subscriptions {
    seams: Arc<Seams>,
    topics: Arc<Topics>,
    streams: Option<Arc<dyn PeerStreams>>,
    /// Each with the address of its peer.
    wanted: Vec<(SubscriptionDescription, String)>,
    at_work: Mutex<Vec<AtWork>>,
    stop: watch::Sender<bool>,
    /// How many are at work; `drained` waits for none.
    working: watch::Sender<usize>,
}

/// A subscription that has begun.
struct AtWork {
    status: Arc<StatusCell>,
    orders: mpsc::Sender<Order>,
}

/// Another place, from a person.
struct Order {
    place: PeerPlace,
    why: Decision,
    answer: oneshot::Sender<Result<(), OrderError>>,
}

impl Subscriptions {
    pub(crate) fn new(
        seams: Arc<Seams>,
        topics: Arc<Topics>,
        streams: Option<Arc<dyn PeerStreams>>,
        wanted: Vec<(SubscriptionDescription, String)>,
    ) -> Self {
        let (at_work, stop, working) = (Mutex::default(), watch::Sender::new(false), watch::Sender::new(0));
        Self { seams, topics, streams, wanted, at_work, stop, working }
    }

    /// Takes places away that are newer than this journal: what had come up to them is not all here. It is called before anything is
    /// recorded: once the journal has grown, nobody can tell any more.
    pub(crate) async fn lose_foreign_places(&self) -> Result<(), DeliveryError> {
        for (subscription, _) in &self.wanted {
            if place::lose_if_foreign(&self.seams, subscription.topic).await? {
                let topic = subscription.topic;
                let remedy =
                    format!("give it another one with `stream place {topic} AT`; `first` is safe, for what is here already is known");
                (self.seams.notices)(&format!("subscription {topic}: its place is newer than this journal and is taken away; {remedy}"));
            }
        }
        Ok(())
    }

    /// Sets them to work, in the background, until `stop`.
    pub(crate) fn begin(&self) {
        let Some(streams) = &self.streams else { return };
        for (subscription, address) in &self.wanted {
            let status = Arc::new(StatusCell::new(subscription, self.seams.clock.now()));
            let (orders, receiver) = mpsc::channel(ORDERS_MAX);
            self.lock().push(AtWork { status: Arc::clone(&status), orders });
            let mut reader = Reader {
                subscription: subscription.clone(),
                address: address.clone(),
                seams: Arc::clone(&self.seams),
                topics: Arc::clone(&self.topics),
                streams: Arc::clone(streams),
                status,
                orders: receiver,
                stop: self.stop.subscribe(),
                failing: None,
            };
            let working = Working::new(&self.working);
            let (post, mut stop) =
                (self.seams.nodes.post(&format!("subscription/{}", subscription.topic), Share::WHOLE), self.stop.subscribe());
            self.seams.tasks.spawn(Box::pin(async move {
                reader.run(post, &mut stop).await;
                drop(working);
            }));
        }
    }

    /// How each of them is, in the order of registration.
    pub(crate) fn statuses(&self) -> Vec<SubscriptionStatus> {
        self.lock().iter().map(|subscription| subscription.status.get()).collect()
    }

    /// Lets one go on from another place.
    pub(crate) async fn place(&self, topic: &str, place: PeerPlace, why: Decision) -> Result<(), OrderError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || OrderError::NotWorking { cause: "the service stops".into() };
        let orders = self.orders_of(topic)?;
        if self.statuses().iter().any(|status| status.topic == topic && status.state == SubscriptionState::Elsewhere) {
            return Err(OrderError::NotWorking { cause: SubscriptionState::Elsewhere.to_string() });
        }
        orders.send(Order { place, why, answer }).await.map_err(|_| stopped())?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// None of them takes anything more; what has begun ends.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns when all of them have stopped.
    pub(crate) async fn drained(&self) {
        let mut working = self.working.subscribe();
        // The sender is ours: it is there as long as this waits.
        let _ended = working.wait_for(|working| *working == 0).await.is_ok();
    }

    fn orders_of(&self, topic: &str) -> Result<mpsc::Sender<Order>, OrderError> {
        let at_work = self.lock();
        let found = at_work.iter().find(|other| other.status.get().topic == topic).map(|found| found.orders.clone());
        let known = || at_work.iter().map(|other| other.status.get().topic.to_owned()).collect();
        found.ok_or_else(|| OrderError::UnknownConsumer { known: known() })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<AtWork>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a subscription for as long as it is there, also when its task is dropped.
struct Working(watch::Sender<usize>);

impl Working {
    fn new(working: &watch::Sender<usize>) -> Self {
        working.send_modify(|working| *working += 1);
        Self(working.clone())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.send_modify(|working| *working -= 1);
    }
}
