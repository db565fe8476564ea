//! Consumers of clients: durable readers that any program can have over the doors, acknowledged by hand.
//!
//! A client's consumer is a consumer like an action's, over the same registers: in order per key, held and parked keys, people's
//! decisions. What differs is its handler: an event waits at a [`desk`] until a client pulls it. How a consumer is set up
//! is an event of `$consumer/{name}`, for it is a person's decision: it outlives registers and restarts.
//!
//! Where it begins is written to its register before the journal knows of it. A consumer without a register has therefore lost
//! it, and waits for an operator like every other.
//!
//! What is not durable: who has which delivery. After a restart what was out is delivered again, as the same attempt; an
//! acknowledgement is remembered with the cursor, at most a second later.

mod desk;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use component::DeliveryPolicy;
use component::hosted::TOPIC_TYPE;
use journal::{Context, Cursor, Read, ReadError, ReadMode, Selection, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::sync::watch;

use crate::delivery::{
    Consumer, ConsumerState, ConsumerStatus, DeliveryError, DeliveryRoom, RetryPolicy, Start, readable_place, setups_types, stopped,
};
use crate::limits::{CLIENT_CONSUMERS_MAX, ENGINE_RETRY_MIN, PULLS_WAITING_MAX};
pub use desk::PulledDelivery;
use desk::{AtDesk, Desk, Word};

/// What a client's consumer reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsumerReads {
    /// The messages of a topic.
    Topic(String),
    /// Events of these types: `{entity type}/{event name}`, or `{entity type}` for all of one.
    Types(Vec<String>),
}

/// Where a new one begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsumerStart {
    /// At the first event.
    First,
    /// At what comes after it was set up.
    Now,
    /// Behind this place.
    Cursor(String),
    /// At the first event of this time or later: microseconds since 1970, UTC.
    Time(i64),
}

/// How a client's consumer is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerSetup {
    /// What it reads.
    pub reads: ConsumerReads,
    /// Where it began.
    pub start: ConsumerStart,
    /// How long a client has to acknowledge.
    pub ack_seconds: u32,
    /// Attempts of one event before its key is parked.
    pub attempts_max: u32,
    /// Deliveries out at once, at most.
    pub in_flight_max: usize,
}

/// What became of a wish for a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetUp {
    /// It is new.
    Created,
    /// It is set up otherwise now.
    Changed,
    /// It was set up so already.
    Unchanged,
}

/// A client's consumer as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSight {
    /// How it is set up.
    pub setup: ConsumerSetup,
    /// How it is.
    pub status: ConsumerStatus,
    /// Events that wait to be pulled.
    pub waiting: usize,
    /// Deliveries that are out.
    pub in_flight: usize,
}

/// What a client says of deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryWord {
    /// They are done.
    Acknowledge,
    /// They failed.
    Refuse {
        /// Why.
        cause: String,
        /// After how long they come again, instead of the usual wait.
        retry_after: Option<Duration>,
    },
    /// They need more time: so long from now.
    Extend(Duration),
}

/// Why a consumer does not do what a client wants.
#[derive(Clone, Debug)]
pub enum ConsumerError {
    /// There is none of this name.
    Unknown {
        /// What there is.
        known: Vec<String>,
    },
    /// The name is that of a component's consumer.
    Taken,
    /// Where it begins counts for a new one only.
    StartOfExisting,
    /// There are as many as may be.
    TooMany {
        /// The bound.
        limit: usize,
    },
    /// Its place is lost.
    Unplaced,
    /// As many clients wait as may.
    Busy {
        /// The bound.
        limit: usize,
    },
    /// These deliveries are not out: they have ended, are in another attempt, or never were.
    Stale {
        /// Their ids.
        deliveries: Vec<String>,
    },
    /// A place that is none, or a journal that cannot be read.
    Read(ReadError),
    /// The engine failed.
    Failed {
        /// Why.
        cause: String,
    },
    /// Another node of the service hands its deliveries out.
    Elsewhere {
        /// Which one, if any has it now.
        node: Option<String>,
        /// Where that is, if it says so.
        address: Option<String>,
    },
    /// The service stops.
    Stopping,
}

impl fmt::Display for ConsumerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { known } => write!(formatter, "there is no such consumer; there are: {}", known.join(", ")),
            Self::Taken => formatter.write_str("a component of this service has a consumer of this name; choose another one"),
            Self::StartOfExisting => {
                formatter.write_str("it is there already, and where it begins counts for a new one; place it elsewhere, or delete it first")
            }
            Self::TooMany { limit } => write!(formatter, "there are {limit} consumers, which is the bound; delete one that is not used"),
            Self::Unplaced => formatter.write_str("its place is lost; an operator must give it one"),
            Self::Elsewhere { node: Some(node), .. } => write!(formatter, "node {node} hands out its deliveries; ask there"),
            Self::Elsewhere { node: None, .. } => formatter.write_str("it is on its way from one node to another; try again"),
            Self::Busy { limit } => write!(formatter, "{limit} clients wait for it, which is the bound; try again"),
            Self::Stale { deliveries } => write!(
                formatter,
                "not out any more: {}; each was acknowledged, came to its time, or was given out again",
                deliveries.join(", ")
            ),
            Self::Read(error) => error.fmt(formatter),
            Self::Failed { cause } => formatter.write_str(cause),
            Self::Stopping => formatter.write_str("the service is stopping; try again"),
        }
    }
}

impl std::error::Error for ConsumerError {}

impl From<DeliveryError> for ConsumerError {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Read(error) => Self::Read(error),
            other => Self::Failed { cause: other.to_string() },
        }
    }
}

#[derive(Clone)]
struct Known {
    setup: ConsumerSetup,
    desk: Arc<Desk>,
}

/// The consumers of clients.
pub(crate) struct PullConsumers {
    known: Mutex<BTreeMap<String, Known>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    stop: watch::Sender<bool>,
}

impl PullConsumers {
    pub(crate) fn new() -> Self {
        Self { known: Mutex::default(), changing: tokio::sync::Mutex::new(()), stop: watch::Sender::new(false) }
    }

    /// Sets those to work that were set up before.
    pub(crate) async fn resume(&self, delivery: &DeliveryRoom, components: &[&str]) -> Result<(), DeliveryError> {
        let refused = |cause| DeliveryError::Read(ReadError::Unavailable { cause });
        for (name, setup) in delivery.setups().await? {
            if components.contains(&name.as_str()) {
                return Err(refused(format!(
                    "a client has set up a consumer `{name}`, and a component has that name; rename the component"
                )));
            }
            let setup: ConsumerSetup = serde_json::from_value(setup)
                .map_err(|error| refused(format!("how the consumer `{name}` is set up is not readable by this version: {error}")))?;
            self.begin(delivery, &name, setup, Cursor::BEGINNING);
        }
        Ok(())
    }

    /// Knows what clients have set up at other nodes by now.
    pub(crate) async fn learn(&self, delivery: &DeliveryRoom) -> Result<(), DeliveryError> {
        let _one = self.changing.lock().await;
        let setups: BTreeMap<String, ConsumerSetup> =
            delivery.setups().await?.into_iter().filter_map(|(name, setup)| Some((name, serde_json::from_value(setup).ok()?))).collect();
        let known: BTreeMap<String, ConsumerSetup> = self.lock().iter().map(|(name, known)| (name.clone(), known.setup.clone())).collect();
        for name in known.keys().filter(|name| setups.get(*name) != known.get(*name)) {
            self.lock().remove(name);
            delivery.end(name).await;
        }
        for (name, setup) in setups.iter().filter(|(name, setup)| known.get(*name) != Some(*setup)) {
            self.begin(delivery, name, setup.clone(), Cursor::BEGINNING);
        }
        Ok(())
    }

    /// Hears what clients set up at other nodes, until a stop.
    pub(crate) async fn hear(&self, delivery: &DeliveryRoom) {
        let (mut stop, seams) = (self.stop.subscribe(), delivery.seams());
        let hear = async {
            loop {
                let Ok(head) = seams.journal.head().await else {
                    seams.tasks.sleep(ENGINE_RETRY_MIN).await;
                    continue;
                };
                let mut events = seams.journal.read(Selection::Types(setups_types()), head, ReadMode::Live);
                // What came before is known by now.
                let mut is_heard = self.learn(delivery).await.is_ok();
                while let (true, Some(Ok(read))) = (is_heard, events.next().await) {
                    is_heard = matches!(read, Read::Progress(_)) || self.learn(delivery).await.is_ok();
                }
                seams.tasks.sleep(ENGINE_RETRY_MIN).await;
            }
        };
        tokio::select! {
            biased;
            () = stopped(&mut stop) => {}
            () = hear => {}
        }
    }

    /// Whether a consumer's deliveries are handed out by this node.
    pub(crate) fn is_here(&self, delivery: &DeliveryRoom, name: &str) -> Result<bool, ConsumerError> {
        self.find(name)?;
        Ok(status(delivery, name).is_none_or(|status| status.state != ConsumerState::Elsewhere))
    }

    /// Nobody waits any longer.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Sets a consumer up, or otherwise. What is out when it changes comes again.
    pub(crate) async fn set_up(
        &self,
        delivery: &DeliveryRoom,
        name: &str,
        setup: ConsumerSetup,
        context: &Context,
    ) -> Result<SetUp, ConsumerError> {
        let _one = self.changing.lock().await;
        let json = serde_json::to_value(&setup).expect("texts and numbers always encode");
        let (done, place) = match self.find(name) {
            Ok(known) if known.setup == setup => return Ok(SetUp::Unchanged),
            Ok(known) if known.setup.start != setup.start => return Err(ConsumerError::StartOfExisting),
            Ok(_) => {
                delivery.set_up(name, Some(&json), context).await?;
                delivery.end(name).await;
                (SetUp::Changed, Cursor::BEGINNING)
            }
            Err(_) => (SetUp::Created, self.create(delivery, name, &setup.start, &json, context).await?),
        };
        self.begin(delivery, name, setup, place);
        Ok(done)
    }

    async fn create(
        &self,
        delivery: &DeliveryRoom,
        name: &str,
        start: &ConsumerStart,
        json: &Json,
        context: &Context,
    ) -> Result<Cursor, ConsumerError> {
        if delivery.statuses().iter().any(|status| status.name == name) {
            return Err(ConsumerError::Taken);
        }
        if self.lock().len() >= CLIENT_CONSUMERS_MAX {
            return Err(ConsumerError::TooMany { limit: CLIENT_CONSUMERS_MAX });
        }
        let place = place(delivery, start).await?;
        // In this order: what the journal knows of has had a place.
        delivery.replace(name, Some(place)).await?;
        delivery.set_up(name, Some(json), context).await?;
        Ok(place)
    }

    fn begin(&self, delivery: &DeliveryRoom, name: &str, setup: ConsumerSetup, place: Cursor) {
        let seams = delivery.seams();
        let ack = Duration::from_secs(u64::from(setup.ack_seconds));
        let desk = Arc::new(Desk::new(Arc::clone(&seams.tasks), Arc::clone(&seams.random), ack, setup.in_flight_max));
        let DeliveryPolicy { backoff_min, backoff_max, .. } = DeliveryPolicy::default();
        delivery.begin(Consumer {
            name: name.to_owned(),
            selection: selection(&setup.reads),
            start: Start::Behind(place),
            retry: RetryPolicy { attempts_max: setup.attempts_max, backoff_min, backoff_max },
            // It runs elsewhere: the desk has the time.
            run_timeout: ack,
            runs_max: setup.in_flight_max,
            handler: Arc::new(AtDesk(Arc::clone(&desk))),
        });
        self.lock().insert(name.to_owned(), Known { setup, desk });
    }

    /// Removes a consumer: its place and what it held are forgotten.
    pub(crate) async fn remove(&self, delivery: &DeliveryRoom, name: &str, context: &Context) -> Result<(), ConsumerError> {
        let _one = self.changing.lock().await;
        self.find(name)?;
        delivery.set_up(name, None, context).await?;
        self.lock().remove(name);
        delivery.end(name).await;
        Ok(delivery.replace(name, None).await?)
    }

    pub(crate) fn sight(&self, delivery: &DeliveryRoom, name: &str) -> Result<ConsumerSight, ConsumerError> {
        let Known { setup, desk } = self.find(name)?;
        let status = status(delivery, name).ok_or(ConsumerError::Stopping)?;
        let (waiting, in_flight) = desk.counts();
        Ok(ConsumerSight { setup, status, waiting, in_flight })
    }

    /// Up to `max` deliveries; waits for the first one, at most so long.
    pub(crate) async fn pull(
        &self,
        delivery: &DeliveryRoom,
        name: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<PulledDelivery>, ConsumerError> {
        let desk = self.find(name)?.desk;
        if status(delivery, name).is_some_and(|status| status.state == ConsumerState::Unplaced) {
            return Err(ConsumerError::Unplaced);
        }
        let pulled = desk.pull(max, wait, &mut self.stop.subscribe()).await;
        pulled.ok_or(ConsumerError::Busy { limit: PULLS_WAITING_MAX })
    }

    /// Says something of deliveries; gives how many it was about. Those that are not out are named, and do not touch the others.
    pub(crate) fn say(&self, name: &str, deliveries: &[String], word: DeliveryWord) -> Result<usize, ConsumerError> {
        let desk = self.find(name)?.desk;
        let word = match word {
            DeliveryWord::Acknowledge => Word::Done,
            DeliveryWord::Refuse { cause, retry_after } => Word::Failed { cause, wait: retry_after },
            DeliveryWord::Extend(time) => Word::Extend(time),
        };
        let stale: Vec<String> = deliveries.iter().filter(|delivery| !desk.say(delivery, &word)).cloned().collect();
        if stale.is_empty() { Ok(deliveries.len()) } else { Err(ConsumerError::Stale { deliveries: stale }) }
    }

    fn find(&self, name: &str) -> Result<Known, ConsumerError> {
        let known = self.lock();
        known.get(name).cloned().ok_or_else(|| ConsumerError::Unknown { known: known.keys().cloned().collect() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status(delivery: &DeliveryRoom, name: &str) -> Option<ConsumerStatus> {
    delivery.statuses().into_iter().find(|status| status.name == name)
}

fn selection(reads: &ConsumerReads) -> Selection {
    Selection::Types(match reads {
        ConsumerReads::Topic(topic) => vec![format!("{TOPIC_TYPE}/{topic}").into()],
        ConsumerReads::Types(types) => types.iter().map(|full| full.as_str().into()).collect(),
    })
}

/// The place that a start means now.
async fn place(delivery: &DeliveryRoom, start: &ConsumerStart) -> Result<Cursor, DeliveryError> {
    let journal = &delivery.seams().journal;
    match start {
        ConsumerStart::First => Ok(Cursor::BEGINNING),
        ConsumerStart::Now => Ok(journal.head().await?),
        ConsumerStart::Time(micros) => Ok(journal.cursor_at(Timestamp::from_micros(*micros)).await?),
        ConsumerStart::Cursor(text) => {
            let cursor: Cursor = text.parse().map_err(ReadError::Cursor)?;
            readable_place(delivery.seams(), cursor).await
        }
    }
}
