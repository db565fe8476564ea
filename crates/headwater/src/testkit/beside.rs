//! Several services in one test, under one clock: their commands and streams reach each other.
//!
//! Each is a simulation of its own, with its own journal, seed and faults, and its process ends alone. What they ask of each other goes
//! through the product's own answers, without sockets; whoever asks one whose process ends meanwhile is told that the connection broke.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use component::hosted::named_destination;
use gateway::peers::{Beside, BesideCommand};
use journal::BoxFuture;
use runtime::testing::{
    Components, Faults, HttpAnswer, HttpRequest, HttpStubs, Neighbour, Neighbourly, Simulation, advance_together, settle_together,
};
use runtime::{PeerError, PeerItem, PeerStream, PeerStreams, Runtime, StreamAsk, SubscriptionState};
use serde_json::Value as Json;
use tokio::sync::{Notify, mpsc};

use super::{Testkit, peer};
use crate::service::Service;

/// Items of a stream that are on their way between two services.
const ITEMS_MAX: usize = 64;

impl Testkit {
    /// Puts the service beside another one: both live under one clock, [`settle`](Self::settle) and [`advance`](Self::advance) of either
    /// go for both, and each is a peer of the other under its service's name: commands of actions and workflows reach it, and
    /// subscriptions read its streams. Seeds, faults and crashes are each one's own. A [stubbed](Self::stub_peer) peer stays a stub.
    ///
    /// ```
    /// # use headwater::prelude::*;
    /// # use headwater::testkit::Testkit;
    /// let stock = Testkit::new(|| Service::new("stock"));
    /// let shop = Testkit::new(|| Service::new("shop")).beside(&stock);
    /// shop.settle();
    /// ```
    ///
    /// # Panics
    /// When one of the two has begun, or a service of the same name is there.
    #[must_use]
    #[track_caller]
    pub fn beside(mut self, other: &Testkit) -> Self {
        assert!(!other.member.has_begun(), "the other service has begun; put services beside each other before the first question to any");
        assert!(self.together.is_alone(), "the service is beside others already; say `beside` on the one that comes last");
        self.together = other.together.with(&self.member);
        self.begins_later()
    }
}

/// One service of a test.
pub(super) struct Member {
    service: Rc<dyn Fn() -> Service>,
    pub(super) seed: Cell<u64>,
    pub(super) faults: Cell<Faults>,
    pub(super) stubs: Arc<HttpStubs>,
    pub(super) peers: peer::Stubs,
    neighbours: Arc<Neighbours>,
    simulation: OnceCell<Simulation>,
}

impl Member {
    pub(super) fn new(service: impl Fn() -> Service + 'static, seed: u64) -> Self {
        Self {
            service: Rc::new(service),
            seed: Cell::new(seed),
            faults: Cell::default(),
            stubs: Arc::default(),
            peers: peer::Stubs::default(),
            neighbours: Arc::default(),
            simulation: OnceCell::new(),
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.simulation.get().is_some()
    }

    pub(super) fn simulation(&self) -> &Simulation {
        self.simulation.get_or_init(|| {
            let service = Rc::clone(&self.service);
            let (stubs, peers, neighbours) = (Arc::clone(&self.stubs), self.peers.clone(), Arc::clone(&self.neighbours));
            let components = move || components(&service(), &peers, &neighbours);
            let simulation = Simulation::new(self.seed.get(), self.faults.get(), stubs, Box::new(components));
            simulation.unwrap_or_else(|refused| panic!("the service does not hold together: {refused}"))
        })
    }

    fn name(&self) -> String {
        (self.service)().name().to_owned()
    }

    /// Lets it reach another one.
    fn reaches(&self, name: &str, neighbour: &Neighbour) {
        let address = peer::address(name);
        self.stubs.reach(&address, answering(neighbour.clone()));
        lock(&self.neighbours.by_address).insert(spelled(&address), neighbour.clone());
        self.neighbours.changed.notify_waiters();
    }

    /// What its subscriptions have not come to, in words.
    fn open(&self) -> Option<String> {
        let behind = self.neighbours.behind(&self.simulation().look(Runtime::subscriptions))?;
        Some(format!("{}: {behind}", self.name()))
    }
}

/// The services of a test.
#[derive(Clone)]
pub(super) struct Together(Rc<RefCell<Vec<Rc<Member>>>>);

impl Together {
    pub(super) fn of(member: &Rc<Member>) -> Self {
        Self(Rc::new(RefCell::new(vec![Rc::clone(member)])))
    }

    #[track_caller]
    fn with(&self, member: &Rc<Member>) -> Self {
        let name = member.name();
        assert!(
            self.0.borrow().iter().all(|other| other.name() != name),
            "a service `{name}` is there already; peers are known by their names"
        );
        self.0.borrow_mut().push(Rc::clone(member));
        self.clone()
    }

    fn is_alone(&self) -> bool {
        self.0.borrow().len() == 1
    }

    /// Begins all of them, which know each other then.
    pub(super) fn begin(&self) {
        let members = self.0.borrow();
        if members.iter().all(|member| member.has_begun()) {
            return;
        }
        members.iter().for_each(|member| member.neighbours.are_there.store(members.len() > 1, SeqCst));
        for member in members.iter() {
            let (name, neighbour) = (member.name(), member.simulation().neighbour());
            members.iter().filter(|other| !Rc::ptr_eq(other, member)).for_each(|other| other.reaches(&name, &neighbour));
        }
    }

    pub(super) fn settle(&self) -> Result<(), String> {
        let members = self.0.borrow();
        match &members[..] {
            [alone] => alone.simulation().settle(),
            all => settle_together(&simulations(all), || all.iter().filter_map(|member| member.open()).collect()),
        }
    }

    pub(super) fn advance(&self, time: Duration) {
        let members = self.0.borrow();
        match &members[..] {
            [alone] => alone.simulation().advance(time),
            all => advance_together(&simulations(all), time),
        }
    }
}

fn simulations(members: &[Rc<Member>]) -> Vec<&Simulation> {
    members.iter().map(|member| member.simulation()).collect()
}

fn components(service: &Service, peers: &peer::Stubs, neighbours: &Arc<Neighbours>) -> Components {
    Components {
        service: service.name().to_owned(),
        entities: service.entities().to_vec(),
        operations: service.operations().to_vec(),
        actions: service.actions().to_vec(),
        processors: service.processors().to_vec(),
        topics: service.topics().to_vec(),
        streams: runtime::StreamParts { reader: neighbours.reader(), ..peers.parts(service) },
        views: service.views().to_vec(),
        workflows: service.workflows().to_vec(),
        destinations: service.destinations().to_vec(),
        retention: service.retention().to_vec(),
        compatibility: service.rules().to_vec(),
    }
}

/// How a neighbour answers calls.
fn answering(neighbour: Neighbour) -> Neighbourly {
    Arc::new(move |request: HttpRequest| {
        let command = BesideCommand {
            method: request.method().to_owned(),
            path: request.path().to_owned(),
            key: request.key().to_owned(),
            correlation_id: request.correlation_id().map(str::to_owned),
            body: request.body().clone(),
        };
        let asked = neighbour.ask(move |runtime| Box::pin(async move { Beside::new(runtime).command(command).await }));
        Box::pin(async move {
            let (status, body) = asked.await?;
            Ok(HttpAnswer::json(status, &serde_json::from_slice::<Json>(&body).unwrap_or_default()))
        })
    })
}

/// The services that one of a test reaches, and how far it has read their streams.
#[derive(Default)]
struct Neighbours {
    /// Whether there are any.
    are_there: AtomicBool,
    by_address: Mutex<HashMap<String, Neighbour>>,
    /// Another one is there.
    changed: Notify,
    /// Of the process that runs.
    reading: Mutex<Weak<Reading>>,
}

/// What the subscriptions of one process have read.
#[derive(Default)]
struct Reading {
    streams: Mutex<Vec<Weak<Place>>>,
}

impl Reading {
    fn watch(&self, place: &Arc<Place>) {
        let mut streams = lock(&self.streams);
        streams.retain(|stream| stream.strong_count() > 0);
        streams.push(Arc::downgrade(place));
    }
}

/// How far a stream is read.
struct Place {
    neighbour: Neighbour,
    seen: AtomicU64,
    /// Whether its reader waits for the next item: it has taken all before it then.
    is_awaited: AtomicBool,
}

/// For as long as a reader waits.
struct Awaited<'a>(&'a Place);

impl<'a> Awaited<'a> {
    fn new(place: &'a Place) -> Self {
        place.is_awaited.store(true, SeqCst);
        Self(place)
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.is_awaited.store(false, SeqCst);
    }
}

impl Neighbours {
    /// A reader for a process; nothing where nobody is beside it: messages are published by the test then.
    fn reader(self: &Arc<Self>) -> Option<Arc<dyn PeerStreams>> {
        if !self.are_there.load(SeqCst) {
            return None;
        }
        let reading = Arc::new(Reading::default());
        *lock(&self.reading) = Arc::downgrade(&reading);
        Some(Arc::new(Reader { neighbours: Arc::clone(self), reading }))
    }

    /// The neighbour at this address. What is not of this test is waited for in vain: what it tells is published.
    async fn at(&self, address: &str) -> Neighbour {
        let address = spelled(address);
        loop {
            let changed = self.changed.notified();
            if let Some(neighbour) = lock(&self.by_address).get(&address) {
                return neighbour.clone();
            }
            changed.await;
        }
    }

    /// Why subscriptions are not at the end of their streams.
    fn behind(&self, subscriptions: &[runtime::SubscriptionStatus]) -> Option<String> {
        let reading = lock(&self.reading).upgrade()?;
        let known = |status: &&runtime::SubscriptionStatus| self.knows(&peer::address(status.peer));
        let subscriptions: Vec<_> = subscriptions.iter().filter(known).collect();
        let away = |status: &&&runtime::SubscriptionStatus| {
            matches!(status.state, SubscriptionState::Starting | SubscriptionState::Waiting { .. })
        };
        if let Some(status) = subscriptions.iter().find(away) {
            return Some(format!("the subscription {} is {}", status.topic, status.state));
        }
        let places: Vec<Arc<Place>> = lock(&reading.streams).iter().filter_map(Weak::upgrade).collect();
        if places.iter().any(|place| !place.is_awaited.load(SeqCst)) {
            return Some("messages of peers are being taken".to_owned());
        }
        let is_behind = places.iter().any(|place| place.seen.load(SeqCst) < place.neighbour.head());
        is_behind.then(|| "a subscription is behind its peer".to_owned())
    }

    fn knows(&self, address: &str) -> bool {
        lock(&self.by_address).contains_key(&spelled(address))
    }
}

/// Reads the streams of neighbours.
struct Reader {
    neighbours: Arc<Neighbours>,
    reading: Arc<Reading>,
}

impl PeerStreams for Reader {
    fn open(&self, ask: StreamAsk) -> BoxFuture<'static, Result<Box<dyn PeerStream>, PeerError>> {
        let (neighbours, reading) = (Arc::clone(&self.neighbours), Arc::clone(&self.reading));
        Box::pin(async move {
            let neighbour = neighbours.at(&ask.address).await;
            let (send, items) = mpsc::channel(ITEMS_MAX);
            let place = Arc::new(Place { neighbour: neighbour.clone(), seen: AtomicU64::new(0), is_awaited: AtomicBool::new(false) });
            reading.watch(&place);
            let seen = Arc::downgrade(&place);
            neighbour.spawn(move |runtime| Box::pin(pump(runtime, ask, send, seen)));
            Ok(Box::new(Stream { items, place }) as Box<dyn PeerStream>)
        })
    }
}

/// An item, and how far the stream is read with it.
type Sent = (Result<PeerItem, PeerError>, u64);

/// Sends a stream, as a task of the neighbour that has it.
async fn pump(runtime: Arc<Runtime>, ask: StreamAsk, send: mpsc::Sender<Sent>, place: Weak<Place>) {
    let mut stream = match Beside::new(runtime).stream(&ask).await {
        Ok(stream) => stream,
        Err(error) => return drop(send.send((Err(error), 0)).await),
    };
    // There may be nothing to read.
    match place.upgrade() {
        Some(place) => place.seen.store(stream.seen(), SeqCst),
        None => return,
    }
    loop {
        let item = tokio::select! {
            biased;
            () = send.closed() => return,
            item = stream.next() => item,
        };
        let Some(item) = item else { return };
        if send.send((item, stream.seen())).await.is_err() {
            return;
        }
    }
}

/// A stream as it arrives.
struct Stream {
    items: mpsc::Receiver<Sent>,
    place: Arc<Place>,
}

impl PeerStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<PeerItem, PeerError>>> {
        Box::pin(async move {
            let awaited = Awaited::new(&self.place);
            let (item, seen) = self.items.recv().await?;
            drop(awaited);
            if item.is_ok() {
                self.place.seen.store(seen, SeqCst);
            }
            Some(item)
        })
    }
}

/// The one spelling of an address.
fn spelled(address: &str) -> String {
    named_destination(address).unwrap_or_else(|_| address.to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
