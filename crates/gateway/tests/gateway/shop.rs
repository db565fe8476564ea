//! The service under test: carts, and an operation that moves an item between two of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use component::hosted::{ActionHandle, CommandContext, ProcessorHandle};
use component::{
    Action, ActionContext, ActionError, Command, Decision, DeliveryPolicy, Entities, Entity, EntityRef, Event, Inputs, Message, Operation,
    Processor, ProcessorContext, Recorded, Rejection, State, Stream, Tag, TopicAction, Value, View, nothing, record, tag,
};
use gateway::client::{Connection, LineStream, Response};
use gateway::{Options, Page, Pages};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use journal::seams::{SystemClock, SystemRandom, ThreadSpawner};
use journal::{Cursor, Journal, ReadMode, Selection};
use runtime::seams::TokioTasks;
use runtime::{Parts, Runtime};
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::engine::{self, Engine};

#[derive(Default, State)]
pub(crate) struct Cart {
    items: BTreeMap<String, u32>,
    paid: bool,
}

#[derive(Command)]
pub(crate) enum CartCommand {
    /// Puts an item into the cart.
    #[command("add-item")]
    AddItem { sku: String, quantity: u32 },
    /// Pays.
    #[command("pay")]
    Pay,
    /// Changes nothing.
    #[command("look")]
    Look,
    /// Has a bug.
    #[command("break")]
    Break,
}

#[derive(Event)]
pub(crate) enum CartEvent {
    /// An item is in the cart.
    #[event("item-added")]
    ItemAdded { sku: String, quantity: u32 },
    /// The cart is paid.
    #[event("paid")]
    Paid,
}

#[derive(Rejection)]
pub(crate) enum CartRejection {
    #[rejection("already-paid", "the cart is paid")]
    AlreadyPaid,
}

#[derive(Value)]
pub(crate) struct CartReply {
    kinds: u32,
}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Reply = CartReply;
    type Rejection = CartRejection;

    fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent, CartReply>, CartRejection> {
        let kinds = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        match command {
            CartCommand::Look => Ok(nothing().reply(CartReply { kinds })),
            CartCommand::Break => panic!("on purpose"),
            _ if self.paid => Err(CartRejection::AlreadyPaid),
            CartCommand::AddItem { sku, quantity } => {
                let kinds = kinds + u32::from(!self.items.contains_key(&sku));
                Ok(record(CartEvent::ItemAdded { sku, quantity }).reply(CartReply { kinds }))
            }
            CartCommand::Pay => Ok(record(CartEvent::Paid).reply(CartReply { kinds })),
        }
    }

    fn evolve(&mut self, event: &CartEvent) {
        match event {
            CartEvent::ItemAdded { sku, quantity } => *self.items.entry(sku.clone()).or_default() += quantity,
            CartEvent::Paid => self.paid = true,
        }
    }

    fn tags(&self, event: &CartEvent) -> Vec<Tag> {
        match event {
            // A tag is bounded, and some tests have names beyond that.
            CartEvent::ItemAdded { sku, .. } if (1..=64).contains(&sku.len()) => vec![tag("sku", sku)],
            _ => Vec::new(),
        }
    }
}

/// Tells somebody outside of each cart that is paid.
pub(crate) struct Ring {
    destination: String,
}

impl Action for Ring {
    const NAME: &'static str = "ring";
    const ENTITY: &'static str = "cart";
    type Event = CartEvent;

    async fn run(&self, event: Recorded<CartEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        if let CartEvent::Paid = event.event {
            ctx.http().post(format!("{}/bell", self.destination)).json(&event.entity_id).send().await?;
        }
        Ok(())
    }
}

/// Puts a sample into the cart `samples` for each cart that is paid; articles named `poison` cannot be delivered.
pub(crate) struct Sample;

impl Action for Sample {
    const NAME: &'static str = "sample";
    const ENTITY: &'static str = "cart";
    type Event = CartEvent;

    async fn run(&self, event: Recorded<CartEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        match event.event {
            CartEvent::ItemAdded { sku, .. } if sku.starts_with("poison") => Err(ActionError::park(format!("{sku} 17 is poison"))),
            CartEvent::ItemAdded { sku, .. } if sku == "panic" => panic!("on purpose"),
            CartEvent::ItemAdded { sku, .. } if sku == "hang" => std::future::pending().await,
            CartEvent::ItemAdded { .. } => Ok(()),
            CartEvent::Paid => {
                let sample = CartCommand::AddItem { sku: event.entity_id, quantity: 1 };
                ctx.command::<Cart>("samples", sample).await?;
                Ok(())
            }
        }
    }

    fn delivery(&self) -> DeliveryPolicy {
        DeliveryPolicy { run_timeout: Duration::from_secs(2), ..DeliveryPolicy::default() }
    }
}

/// How much of each article is in carts; articles named `poison` cannot be counted, and a count is told an hour later.
pub(crate) struct Sold;

#[derive(Default, State)]
pub(crate) struct Count {
    sold: u64,
}

#[derive(Event)]
pub(crate) enum SoldEvent {
    #[event("counted")]
    Counted { sold: u64 },
}

impl Processor for Sold {
    const NAME: &'static str = "sold";
    type State = Count;
    type Event = SoldEvent;

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        let sku = |event: &Recorded<CartEvent>| match &event.event {
            CartEvent::ItemAdded { sku, .. } => Some(sku.clone()),
            CartEvent::Paid => None,
        };
        inputs.events("cart", sku, Self::count)
    }
}

impl Sold {
    fn count(&self, count: &mut Count, event: Recorded<CartEvent>, ctx: &mut ProcessorContext<SoldEvent>) {
        let CartEvent::ItemAdded { sku, quantity } = event.event else { return };
        assert!(sku != "poison" || quantity < 13, "poison {quantity}");
        count.sold += u64::from(quantity);
        ctx.emit(SoldEvent::Counted { sold: count.sold });
        ctx.wake_at(ctx.time() + 3_600_000_000);
    }
}

/// Adds the same item to two carts at once.
pub(crate) struct Share;

#[derive(Value)]
pub(crate) struct ShareInput {
    first: String,
    second: String,
    sku: String,
}

impl Operation for Share {
    const NAME: &'static str = "share";
    type Input = ShareInput;
    type Reply = CartReply;
    type Rejection = CartRejection;

    fn entities(input: &ShareInput) -> Vec<EntityRef> {
        vec![EntityRef::of::<Cart>(&input.first), EntityRef::of::<Cart>(&input.second)]
    }

    fn decide(input: ShareInput, entities: &mut Entities, _: &CommandContext) -> Result<CartReply, CartRejection> {
        for id in [&input.first, &input.second] {
            if entities.state::<Cart>(id).paid {
                return Err(CartRejection::AlreadyPaid);
            }
            entities.record::<Cart>(id, CartEvent::ItemAdded { sku: input.sku.clone(), quantity: 1 });
        }
        Ok(CartReply { kinds: 1 })
    }
}

/// What a message of the topic `payments` says; `notes` may say anything.
#[derive(Value)]
pub(crate) struct Payment {
    order: String,
    cents: u64,
}

/// Puts what was paid for an order into a cart.
struct BookPayment;

impl TopicAction for BookPayment {
    const NAME: &'static str = "book-payment";
    const TOPIC: &'static str = "payments";
    type Message = Payment;

    async fn run(&self, message: Message<Payment>, ctx: &ActionContext) -> Result<(), ActionError> {
        let Payment { order, cents } = message.data;
        let quantity = u32::try_from(cents)?;
        ctx.command::<Cart>(format!("paid-{order}"), CartCommand::AddItem { sku: message.id, quantity }).await?;
        Ok(())
    }
}

/// What others may know of an item.
#[derive(Value)]
struct ItemTaken {
    article: String,
}

/// What they knew before; nobody had a word for what breaks.
#[derive(Value)]
struct ItemTakenV2 {
    sku: String,
}

impl TryFrom<ItemTaken> for ItemTakenV2 {
    type Error = ();

    fn try_from(new: ItemTaken) -> Result<Self, ()> {
        if new.article == "glass" { Err(()) } else { Ok(Self { sku: new.article }) }
    }
}

/// A cart, as others may have it.
#[derive(Value)]
struct PublicCart {
    cart: String,
    items: BTreeMap<String, u32>,
    paid: bool,
}

/// Items but secret ones, as events; payments as notifications.
pub(crate) fn public_carts() -> Stream {
    Stream::new("carts")
        .version(3)
        .about("What happens to carts.")
        .event::<Cart, ItemTaken>("item-taken", |cart| match cart.event {
            CartEvent::ItemAdded { sku, .. } if sku == "panic" => panic!("on purpose"),
            CartEvent::ItemAdded { sku, .. } if sku != "secret" => Some(ItemTaken { article: sku.clone() }),
            _ => None,
        })
        .notification("cart/paid", "paid")
        .lowered::<ItemTaken, ItemTakenV2>("item-taken", 2)
}

/// Carts as they are after each event.
fn cart_documents() -> Stream {
    Stream::new("cart-documents").document::<Cart, PublicCart>("cart", |event, cart| {
        Some(PublicCart { cart: event.id.to_owned(), items: cart.items.clone(), paid: cart.paid })
    })
}

/// A running service.
pub(crate) struct Shop {
    pub(crate) address: SocketAddr,
    pub(crate) journal: Arc<dyn Journal>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(Options::default()).await
    }

    pub(crate) async fn open_with(options: Options) -> Self {
        Self::over(engine::open().await, options).await
    }

    /// The shop with the action [`Sample`].
    pub(crate) async fn with_samples() -> Self {
        Self::assembled(engine::open().await, Options::default(), (vec![component::hosted_action(Sample)], Vec::new())).await
    }

    /// The shop with the processor [`Sold`].
    pub(crate) async fn with_sold() -> Self {
        Self::assembled(engine::open().await, Options::default(), (Vec::new(), vec![component::hosted_processor(Sold)])).await
    }

    /// The shop with an action that calls this destination for each cart that is paid.
    pub(crate) async fn that_calls(destination: String) -> Self {
        Self::assembled(engine::open().await, Options::default(), (vec![component::hosted_action(Ring { destination })], Vec::new())).await
    }

    /// The same service over another engine, or over a journal that is not empty.
    pub(crate) async fn over(journal: Arc<dyn Engine>, options: Options) -> Self {
        Self::assembled(journal, options, (Vec::new(), Vec::new())).await
    }

    /// With an action over the topic `payments`, whose consumer leaves an event of its own in the journal.
    pub(crate) async fn open_with_action() -> Self {
        Self::assembled(engine::open().await, Options::default(), (vec![component::hosted_topic_action(BookPayment)], Vec::new())).await
    }

    async fn assembled(
        journal: Arc<dyn Engine>,
        options: Options,
        (actions, processors): (Vec<ActionHandle>, Vec<ProcessorHandle>),
    ) -> Self {
        let random = Arc::new(SystemRandom::new().expect("the system has randomness"));
        let clock = Arc::new(SystemClock);
        let runtime = open_runtime(Parts {
            service: "shop".to_owned(),
            journal: journal.clone(),
            registers: journal.clone(),
            entities: vec![component::hosted::<Cart>()],
            operations: vec![component::hosted_operation::<Share>()],
            actions,
            processors,
            topics: vec![component::hosted_topic_of::<Payment>("payments"), component::hosted_topic("notes")],
            streams: runtime::StreamParts {
                declared: vec![public_carts().hosted(), cart_documents().hosted()],
                ..runtime::StreamParts::default()
            },
            clock,
            random,
            tasks: Arc::new(TokioTasks::current()),
            threads: Arc::new(ThreadSpawner::new()),
            snapshots: None,
            views: vec![popular().hosted()],
            outgoing: Some(Arc::new(gateway::outgoing::Pool::new())),
            destinations: vec![("https://named.example".to_owned(), runtime::DestinationPolicy::default())],
            keys: None,
            keys_lost: None,
            retention: Vec::new(),
            compatibility: Vec::new(),
            shared_views: None,
            view_folder: None,
            timer_folder: None,
            workflow_folder: None,
            workflows: vec![component::hosted_workflow(Approval)],
            notices: Arc::new(|_| {}),
            limits: runtime::Limits::default(),
            planted: runtime::PlantedBug::None,
            node: runtime::NodeSetup::default(),
        });
        runtime.begin().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _dropped = stopped.await;
        };
        let served = tokio::spawn(gateway::serve(runtime, pages(), listener, options, stopped));
        Self { address, journal, stop: Some(stop), served }
    }

    pub(crate) fn client(&self) -> Connection {
        Connection::new(&format!("http://{}", self.address)).unwrap()
    }

    pub(crate) async fn head(&self) -> Cursor {
        self.journal.head().await.unwrap()
    }

    /// How many events there are, but for those that register the shapes of the service.
    pub(crate) async fn recorded(&self) -> u64 {
        recorded(&self.journal).await
    }

    /// Sends one request over a connection of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let sent = self.client().request(method.clone(), path, header_map(headers), Bytes::copy_from_slice(body.as_bytes())).await;
        Answer::of(sent.unwrap_or_else(|error| panic!("{method} {path}: {error}")))
    }

    /// The body of an answer in another form than JSON.
    pub(crate) async fn text(&self, path: &str, accept: &str) -> String {
        let sent = self.client().request(Method::GET, path, header_map(&[("accept", accept)]), Bytes::new()).await.unwrap();
        assert_eq!(sent.status, 200, "{path}: {:?}", sent.body);
        String::from_utf8(sent.body.to_vec()).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.ask("POST", path, &headers, body).await
    }

    /// Puts `quantity` of an item into a cart.
    pub(crate) async fn add(&self, id: &str, sku: &str, quantity: u32) -> Answer {
        let body = format!(r#"{{"sku":"{sku}","quantity":{quantity}}}"#);
        let answer = self.post(&format!("/v1/entities/cart/{id}/add-item"), &[], &body).await;
        assert_eq!(answer.status, 200, "{:?}", answer.json);
        answer
    }

    pub(crate) async fn stream(&self, path: &str, headers: &[(&str, &str)]) -> LineStream {
        let streamed = self.client().stream(Method::GET, path, header_map(headers), Bytes::new()).await.unwrap();
        streamed.unwrap_or_else(|answer| panic!("{path}: {} {:?}", answer.status, answer.body))
    }

    /// What stops the service when something is sent; it also stops when this is dropped.
    pub(crate) fn take_stop(&mut self) -> oneshot::Sender<()> {
        self.stop.take().expect("it is taken once")
    }

    /// Waits for the server's end.
    pub(crate) async fn stopped(self) {
        self.served.await.unwrap().unwrap();
    }
}

fn open_runtime(parts: Parts) -> Arc<Runtime> {
    Arc::new(Runtime::new(parts).unwrap())
}

#[derive(Value)]
struct Item {
    sku: String,
    sold: u64,
}

#[derive(Value)]
struct AtLeast {
    /// So many, at least.
    count: u64,
}

fn popular() -> View {
    View::sqlite("popular")
        .table("CREATE TABLE item (sku TEXT PRIMARY KEY, sold INTEGER NOT NULL CHECK (sold < 1000000))")
        .on("cart/item-added", "INSERT INTO item VALUES (:sku, :quantity) ON CONFLICT (sku) DO UPDATE SET sold = sold + :quantity")
        .query::<(), Item>("top", "SELECT sku, sold FROM item ORDER BY sold DESC LIMIT 10")
        .query::<AtLeast, Item>("at-least", "SELECT sku, sold FROM item WHERE sold >= :count ORDER BY sku")
}

fn pages() -> Pages {
    let pages = [("/board", Page::html("<!doctype html><title>shop</title>")), ("/live-query.js", Page::live_query())];
    Pages::new(pages.map(|(path, page)| (path.to_owned(), page))).unwrap()
}

/// How many events a journal has, but for those that register shapes.
pub(crate) async fn recorded(journal: &Arc<dyn Journal>) -> u64 {
    let mut events = journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead);
    let mut count = 0;
    while let Some(event) = events.next_event().await {
        count += u64::from(event.unwrap().entity.kind() != "$schema");
    }
    count
}

pub(crate) fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

/// An answer with its JSON, when it has some.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Json,
}

impl Answer {
    fn of(response: Response) -> Self {
        let json = serde_json::from_slice(&response.body).unwrap_or(Json::Null);
        Self { status: response.status.as_u16(), headers: response.headers, json }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }
}

/// Waits for a decision: a tenth of a second when that is to be at once, else for an hour.
struct Approval;

impl component::Workflow for Approval {
    const NAME: &'static str = "approval";
    type Input = String;
    type Output = String;

    async fn run(&self, ctx: &component::WorkflowContext, what: String) -> Result<String, component::Failure> {
        ctx.step("note", |_| async { Ok(()) }).undo("tear-up", |_, _| async { Ok(()) }).await?;
        let time = if what == "at once" { Duration::from_millis(100) } else { Duration::from_secs(3_600) };
        match ctx.wait_for::<bool>("decision").timeout(time).await {
            Some(decision) => Ok(format!("{what}: {}", if decision { "yes" } else { "no" })),
            None => Err(component::Failure::new("late", "nobody decided")),
        }
    }

    fn signals() -> component::Signals {
        component::Signals::none().with::<bool>("decision")
    }
}
