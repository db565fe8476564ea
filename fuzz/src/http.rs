//! HTTP bodies: a real gateway on a loopback port, over an engine in memory. The first byte of an input chooses the route, the rest is the
//! body. Whatever comes, the answer is below 500, or says in Headwater's words why not.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use component::hosted::CommandContext;
use component::{Command, Decision, Entity, Event, Rejection, State, Value, record};
use gateway::client::{Connection, Response};
use gateway::{Options, Pages};
use http::{HeaderMap, HeaderValue, Method};
use journal::model::ModelJournal;
use journal::seams::{SystemClock, SystemRandom, ThreadSpawner};
use runtime::seams::TokioTasks;
use runtime::{Parts, Runtime};
use tokio::net::TcpListener;

/// After so many requests a new service begins, so that the journal in memory stays small.
const REQUESTS_A_SERVICE: u32 = 20_000;

/// Method, path and content type of each route.
const ROUTES: [(Method, &str, &str); 8] = [
    (Method::POST, "/v1/entities/cart/c1/add-item", "application/json"),
    (Method::POST, "/v1/entities/cart:batch", "application/x-ndjson"),
    (Method::POST, "/v1/topics/notes", "application/cloudevents+json"),
    (Method::POST, "/v1/topics/notes", "application/cloudevents-batch+json"),
    (Method::POST, "/v1/topics/notes", "application/json"),
    (Method::PUT, "/v1/consumers/audit", "application/json"),
    (Method::POST, "/v1/consumers/audit/ack", "application/json"),
    (Method::POST, "/v1/consumers/audit/nack", "application/json"),
];

#[derive(Default, State)]
struct Cart {
    items: u64,
}

#[derive(Command)]
enum CartCommand {
    #[command("add-item")]
    AddItem { sku: String, quantity: u32, price: Option<f64>, notes: Vec<Note> },
}

#[derive(Value)]
struct Note {
    text: String,
    at: Option<i64>,
}

#[derive(Event)]
enum CartEvent {
    #[event("item-added")]
    ItemAdded { sku: String, quantity: u32, notes: u32 },
}

#[derive(Rejection)]
enum CartRejection {
    #[rejection("nothing", "nothing is put into the cart")]
    Nothing,
}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Reply = ();
    type Rejection = CartRejection;

    fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, CartRejection> {
        let CartCommand::AddItem { sku, quantity, price, notes } = command;
        let talk = notes.iter().filter(|note| !note.text.is_empty() || note.at.is_some()).count();
        if quantity == 0 || price.is_some_and(|price| price < 0.0) {
            return Err(CartRejection::Nothing);
        }
        Ok(record(CartEvent::ItemAdded { sku, quantity, notes: talk as u32 }))
    }

    fn evolve(&mut self, event: &CartEvent) {
        let CartEvent::ItemAdded { sku, quantity, notes } = event;
        self.items = self.items.wrapping_add(u64::from(*quantity) + sku.len() as u64 + u64::from(*notes));
    }
}

/// A service and a connection to it.
struct Service {
    tokio: tokio::runtime::Runtime,
    client: Connection,
    requests: u32,
}

impl Service {
    fn start() -> Self {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime starts");
        let address = tokio.block_on(async {
            let runtime = runtime();
            runtime.begin().await.expect("an empty service begins");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
            let address = listener.local_addr().expect("it is bound");
            tokio::spawn(gateway::serve(runtime, Pages::default(), listener, Options::default(), std::future::pending()));
            address
        });
        let client = Connection::new(&format!("http://{address}")).expect("the URL fits");
        Self { tokio, client, requests: 0 }
    }

    fn ask(&mut self, route: usize, body: &[u8]) -> Response {
        self.requests += 1;
        let (method, path, content) = &ROUTES[route % ROUTES.len()];
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content));
        if *content == "application/json" && path.contains("topics") {
            for (name, value) in [("ce-specversion", "1.0"), ("ce-id", "i1"), ("ce-source", "/s"), ("ce-type", "note")] {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        let asked = self.client.request(method.clone(), path, headers, Bytes::copy_from_slice(body));
        self.tokio.block_on(asked).expect("the service answers")
    }
}

fn runtime() -> Arc<Runtime> {
    let random = Arc::new(SystemRandom::new().expect("the system has randomness"));
    let journal = Arc::new(ModelJournal::new(Arc::new(SystemClock), random.clone()));
    let runtime = Runtime::new(Parts {
        service: "shop".to_owned(),
        node: runtime::NodeSetup::default(),
        journal: journal.clone(),
        registers: journal,
        entities: vec![component::hosted::<Cart>()],
        operations: Vec::new(),
        actions: Vec::new(),
        processors: Vec::new(),
        topics: vec![component::hosted_topic("notes")],
        streams: runtime::StreamParts::default(),
        clock: Arc::new(SystemClock),
        random,
        tasks: Arc::new(TokioTasks::current()),
        threads: Arc::new(ThreadSpawner::new()),
        snapshots: None,
        planted: runtime::PlantedBug::None,
        keys: None,
        keys_lost: None,
        retention: Vec::new(),
        compatibility: Vec::new(),
        views: Vec::new(),
        outgoing: None,
        destinations: Vec::new(),
        shared_views: None,
        view_folder: None,
        timer_folder: None,
        workflow_folder: None,
        workflows: Vec::new(),
        notices: Arc::new(|_| {}),
        limits: runtime::Limits::default(),
    });
    Arc::new(runtime.expect("the parts fit together"))
}

/// Sends one request.
pub(crate) fn request(input: &[u8]) {
    thread_local! {
        static SERVICE: RefCell<Option<Service>> = const { RefCell::new(None) };
    }
    let Some((route, body)) = input.split_first() else { return };
    SERVICE.with_borrow_mut(|service| {
        if service.as_ref().is_some_and(|service| service.requests >= REQUESTS_A_SERVICE) {
            *service = None;
        }
        let answer = service.get_or_insert_with(Service::start).ask(usize::from(*route), body);
        let status = answer.status.as_u16();
        assert!(status < 500 || status == 503, "{status}: {}", String::from_utf8_lossy(&answer.body));
    });
}
