//! A service whose shapes change while everything that an old one left waits for the new one: events, timers, accepted commands, parked
//! events and what a person wrote for them, baselines.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use headwater::Running;
use headwater::prelude::*;
use headwater::testkit::{Testkit, days};
use serde_json::{Value as Json, json};

use crate::embedded::Directory;
use crate::personal::{asked, asked_by, got, until};

/// What was packed, by whichever code.
type Packed = Arc<Mutex<Vec<String>>>;

mod old {
    use super::{ActionError, Arc, Packed};
    use headwater::prelude::*;

    #[derive(Default, State)]
    pub(super) struct Cart {
        pub(super) items: Vec<String>,
    }

    #[derive(Command)]
    pub(super) enum CartCommand {
        #[command("add-item")]
        AddItem { sku: String },
    }

    #[derive(Event)]
    pub(super) enum CartEvent {
        #[event("item-added")]
        ItemAdded { sku: String },
    }

    impl Entity for Cart {
        const NAME: &'static str = "cart";
        type Command = CartCommand;
        type Event = CartEvent;
        type Reply = ();
        type Rejection = std::convert::Infallible;

        fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> {
            let CartCommand::AddItem { sku } = command;
            Ok(record(CartEvent::ItemAdded { sku }))
        }

        fn evolve(&mut self, event: &CartEvent) {
            let CartEvent::ItemAdded { sku } = event;
            self.items.push(sku.clone());
        }
    }

    /// It cannot pack what breaks.
    pub(super) struct Packer(pub(super) Packed);

    impl Action for Packer {
        const NAME: &'static str = "packer";
        const ENTITY: &'static str = "cart";
        type Event = CartEvent;

        async fn run(&self, event: Recorded<CartEvent>, _: &ActionContext) -> Result<(), ActionError> {
            let CartEvent::ItemAdded { sku } = event.event;
            if sku.starts_with("glass") {
                return Err(ActionError::park("it breaks"));
            }
            self.0.lock().unwrap().push(sku);
            Ok(())
        }
    }

    pub(super) fn service(packed: &Packed) -> Service {
        Service::new("shop").entity::<Cart>().action(Packer(Arc::clone(packed))).retain::<Cart>(Keep::last(0))
    }
}

/// A quantity has come, and a state by article.
#[derive(Debug, Default, PartialEq, State)]
#[state(version = 2, from = CartV1)]
struct Cart {
    items: BTreeMap<String, u32>,
}

#[derive(Value)]
struct CartV1 {
    items: Vec<String>,
}

impl From<CartV1> for Cart {
    fn from(old: CartV1) -> Self {
        let mut items = BTreeMap::new();
        old.items.into_iter().for_each(|sku| *items.entry(sku).or_default() += 1);
        Self { items }
    }
}

#[derive(Command)]
enum CartCommand {
    #[command("add-item", version = 2, from = AddItemV1)]
    AddItem { sku: String, quantity: u32 },
}

#[derive(Value)]
struct AddItemV1 {
    sku: String,
}

impl From<AddItemV1> for CartCommand {
    fn from(old: AddItemV1) -> Self {
        Self::AddItem { sku: old.sku, quantity: 1 }
    }
}

#[derive(Debug, PartialEq, Event)]
enum CartEvent {
    #[event("item-added", version = 2, from = ItemAddedV1, to = ItemAddedV1)]
    ItemAdded { sku: String, quantity: u32 },
}

#[derive(Value)]
struct ItemAddedV1 {
    sku: String,
}

impl From<ItemAddedV1> for CartEvent {
    fn from(old: ItemAddedV1) -> Self {
        Self::ItemAdded { sku: old.sku, quantity: 1 }
    }
}

/// Readers of version 1 know of single items only.
impl TryFrom<CartEvent> for ItemAddedV1 {
    type Error = u32;

    fn try_from(event: CartEvent) -> Result<Self, u32> {
        match event {
            CartEvent::ItemAdded { sku, quantity: 1 } => Ok(Self { sku }),
            CartEvent::ItemAdded { quantity, .. } => Err(quantity),
        }
    }
}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> {
        let CartCommand::AddItem { sku, quantity } = command;
        Ok(record(CartEvent::ItemAdded { sku, quantity }))
    }

    fn evolve(&mut self, event: &CartEvent) {
        let CartEvent::ItemAdded { sku, quantity } = event;
        *self.items.entry(sku.clone()).or_default() += quantity;
    }
}

struct Packer(Packed);

impl Action for Packer {
    const NAME: &'static str = "packer";
    const ENTITY: &'static str = "cart";
    type Event = CartEvent;

    async fn run(&self, event: Recorded<CartEvent>, _: &ActionContext) -> Result<(), ActionError> {
        let CartEvent::ItemAdded { sku, quantity } = event.event;
        self.0.lock().unwrap().push(format!("{quantity} {sku}"));
        Ok(())
    }
}

fn service(packed: &Packed) -> Service {
    Service::new("shop").entity::<Cart>().action(Packer(Arc::clone(packed))).retain::<Cart>(Keep::last(0))
}

/// The same change without a new version.
mod careless {
    use super::{CartCommand, Service};
    use headwater::prelude::*;

    #[derive(Default, State)]
    struct Cart {}

    #[derive(Event)]
    enum CartEvent {
        #[event("item-added")]
        ItemAdded { sku: String, quantity: u32 },
    }

    impl Entity for Cart {
        const NAME: &'static str = "cart";
        type Command = CartCommand;
        type Event = CartEvent;
        type Reply = ();
        type Rejection = std::convert::Infallible;

        fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> {
            let CartCommand::AddItem { sku, quantity } = command;
            Ok(record(CartEvent::ItemAdded { sku, quantity }))
        }

        fn evolve(&mut self, _: &CartEvent) {}
    }

    pub(super) fn service() -> Service {
        Service::new("shop").entity::<Cart>()
    }
}

/// The lines of a stream.
pub(crate) async fn lines(running: &Running, path: &str) -> Vec<Json> {
    let (url, path) = (running.url().to_owned(), path.to_owned());
    let answer = tokio::task::spawn_blocking(move || {
        let address = url.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    answer.await.unwrap().lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn add(running: &Running, cart: &str, body: Json) {
    let (status, answer) = asked(running, &format!("/v1/entities/cart/{cart}/add-item"), body).await;
    assert_eq!(status, 200, "{answer}");
}

async fn parked(running: &Running) -> Vec<Json> {
    let held = got(running, "/v1/admin/consumers/packer/held").await;
    held["items"].as_array().into_iter().flatten().filter(|held| held["state"] == "parked").cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_code_reads_everything_that_old_code_has_left() {
    let (directory, packed) = (Directory::new(), Packed::default());
    let here = |service: Service| crate::engine::here(service, directory.path());
    let running = here(old::service(&packed)).start().await.unwrap();
    for (cart, sku) in [("c1", "pen"), ("c2", "glass"), ("c3", "glass jar")] {
        add(&running, cart, json!({ "sku": sku })).await;
    }
    let timer =
        json!({ "due": "2100-01-01T00:00:00Z", "send": { "type": "cart", "id": "c1", "command": "add-item", "body": { "sku": "ink" } } });
    assert_eq!(asked_by(&running, "PUT /v1/timers/t1", timer).await.0, 200);
    until("two are parked", async || parked(&running).await.len() == 2).await;
    running.stop().await;

    let refused = here(careless::service()).start().await.unwrap_err();
    assert_eq!(refused.code(), Some("HW0140"), "{refused}");
    assert!(refused.message().contains("cart/event/item-added version 1"), "{refused}");
    assert!(refused.message().contains("at /properties/quantity: reads required, written no such member"), "{refused}");

    let running = here(service(&packed)).start().await.unwrap();
    assert_eq!(got(&running, "/v1/entities/cart/c1").await["state"]["items"], json!({ "pen": 1 }));
    // A timer that old code has set.
    assert_eq!(asked(&running, "/v1/timers/t1/reschedule", json!({ "after_ms": 0 })).await.0, 200);
    until("the timer has fired", async || got(&running, "/v1/entities/cart/c1").await["state"]["items"]["ink"] == 1).await;
    // An event that old code has parked, and one that a person mends in the shape that it was recorded in.
    let held = parked(&running).await;
    let event = held.iter().find(|held| held["id"] == "c3").unwrap()["event"].clone();
    let mended = json!({ "type": "cart", "id": "c3", "event": event, "payload": { "sku": "paper" } });
    assert_eq!(asked(&running, "/v1/admin/consumers/packer/edit", mended).await.0, 200);
    assert_eq!(asked(&running, "/v1/admin/consumers/packer/redrive", json!({})).await.0, 200, "{held:?}");
    until("all is packed", async || parked(&running).await.is_empty() && packed.lock().unwrap().len() == 4).await;
    let mut all = packed.lock().unwrap().clone();
    all.sort();
    assert_eq!(all, ["1 glass", "1 ink", "1 paper", "pen"]);

    // Who has asked for the old version gets it, and nothing that it has no word for.
    add(&running, "c4", json!({ "sku": "pen", "quantity": 2 })).await;
    let told = lines(&running, "/v1/streams/shop?version=cart/item-added:1").await;
    let told: Vec<(&str, &Json)> = told.iter().map(|event| (event["subject"].as_str().unwrap(), &event["data"])).collect();
    let single = |sku: &str| json!({ "sku": sku });
    assert_eq!(told, [("c1", &single("pen")), ("c2", &single("glass")), ("c3", &single("glass jar")), ("c1", &single("ink"))]);
    let newest = lines(&running, "/v1/streams/shop?version=cart/item-added:2&key=cart/c2").await;
    assert_eq!(newest[0]["data"], json!({ "sku": "glass", "quantity": 1 }));
    for (asked, words) in
        [("cart/item-added:3", "there are: 1, 2"), ("cart/gone:1", "no event `cart/gone`"), ("cart:1", "write `cart/item-added:1`")]
    {
        let refused = got(&running, &format!("/v1/streams/shop?version={asked}")).await;
        assert!(refused["code"] == "HW0004" && refused["detail"].as_str().unwrap().contains(words), "{refused}");
    }

    let registered = got(&running, "/v1/admin/schemas?shape=cart/event/item-added").await;
    let item = &registered["items"][0];
    let versions: Vec<&Json> = item["registered"].as_array().unwrap().iter().map(|shape| &shape["version"]).collect();
    assert_eq!((versions, &item["version"], &item["rule"]), (vec![&json!(1), &json!(2)], &json!(2), &json!("BACKWARD_TRANSITIVE")));
    let samples = lines(&running, "/v1/admin/schemas/samples?per_shape=1").await;
    let of =
        |shape: &str| samples.iter().filter(|sample| sample["shape"] == shape).map(|sample| sample["data"].clone()).collect::<Vec<_>>();
    assert_eq!(of("cart/event/item-added"), [json!({ "sku": "pen" }), json!({ "sku": "ink", "quantity": 1 })], "{samples:?}");
    assert_eq!(of("cart/command/add-item"), [json!({ "sku": "ink" })]);
    // Where `dataschema` leads.
    let schema = got(&running, "/v1/schemas/cart/item-added/1").await;
    assert_eq!((&schema["required"], &got(&running, "/v1/schemas/cart/item-added/7").await["code"]), (&json!(["sku"]), &json!("HW0010")));
    running.stop().await;
}

/// A testkit whose service is another one after a deployment.
fn deployed() -> (Testkit, Rc<Cell<bool>>) {
    let (is_new, packed) = (Rc::new(Cell::new(false)), Packed::default());
    let now = Rc::clone(&is_new);
    (Testkit::new(move || if now.get() { service(&packed) } else { old::service(&packed) }), is_new)
}

#[test]
fn a_command_that_old_code_accepted_is_decided_by_new_code() {
    let (kit, is_new) = deployed();
    let key = kit.send_later::<old::Cart>("c1", old::CartCommand::AddItem { sku: "pen".into() }).unwrap();
    is_new.set(true);
    kit.crash();
    kit.settle();
    assert_eq!(kit.events::<Cart>("c1"), [CartEvent::ItemAdded { sku: "pen".into(), quantity: 1 }]);
    assert!(kit.log().contains("\"quantity\":1"), "new code has decided it: {}", kit.log());
    assert!(matches!(kit.outcome::<Cart>("c1", &key), Ok(Some(headwater::Outcome::Done { .. }))));
}

#[test]
fn a_baseline_that_old_code_wrote_is_the_truth_for_new_code() {
    let (kit, is_new) = deployed();
    for sku in ["pen", "ink", "pen"] {
        kit.send::<old::Cart>("c1", old::CartCommand::AddItem { sku: sku.into() }).unwrap();
    }
    kit.settle();
    kit.advance(days(3));
    kit.settle();
    is_new.set(true);
    kit.restart();
    let items = BTreeMap::from([("pen".to_owned(), 2), ("ink".to_owned(), 1)]);
    assert_eq!(kit.state::<Cart>("c1"), Some(Cart { items }));
    kit.send::<Cart>("c1", CartCommand::AddItem { sku: "ink".into(), quantity: 4 }).unwrap();
    assert_eq!(kit.state::<Cart>("c1").unwrap().items["ink"], 5);
}
