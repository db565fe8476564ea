//! A declared stream whose public type changes between two starts of its service, with readers that stay behind.

use headwater::Running;
use headwater::prelude::*;
use serde_json::{Value as Json, json};

use crate::changed::lines;
use crate::embedded::Directory;
use crate::engine::here;
use crate::personal::{asked, got, until};

#[derive(Default, State)]
struct Order {}

#[derive(Command)]
enum OrderCommand {
    #[command("place")]
    Place { sku: String },
}

#[derive(Event)]
enum OrderEvent {
    #[event("placed")]
    Placed { sku: String },
}

impl Entity for Order {
    const NAME: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent>, Self::Rejection> {
        let OrderCommand::Place { sku } = command;
        Ok(record(OrderEvent::Placed { sku }))
    }

    fn evolve(&mut self, _: &OrderEvent) {}
}

/// What left at first.
#[derive(Value)]
struct PlacedV1 {
    sku: String,
}

/// What leaves now.
#[derive(Value)]
struct Placed {
    article: String,
}

impl From<Placed> for PlacedV1 {
    fn from(new: Placed) -> Self {
        Self { sku: new.article }
    }
}

fn before() -> Stream {
    Stream::new("orders").event::<Order, PlacedV1>("placed", |order| {
        let OrderEvent::Placed { sku } = order.event;
        Some(PlacedV1 { sku: sku.clone() })
    })
}

fn now() -> Stream {
    Stream::new("orders").event::<Order, Placed>("placed", |order| {
        let OrderEvent::Placed { sku } = order.event;
        Some(Placed { article: sku.clone() })
    })
}

async fn start(directory: &Directory, orders: Stream) -> Result<Running, headwater::Failure> {
    let service = Service::new("shop").entity::<Order>().stream(orders);
    here(service, directory.path()).start().await
}

async fn told(running: &Running, parameters: &str) -> Vec<Json> {
    lines(running, &format!("/v1/streams/orders{parameters}")).await.into_iter().map(|event| event["data"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_type_that_changes_is_refused_until_its_readers_get_the_old_one() {
    let directory = Directory::new();
    let running = start(&directory, before()).await.unwrap();
    asked(&running, "/v1/entities/order/o1/place", json!({ "sku": "pen" })).await;
    assert_eq!(told(&running, "").await, [json!({ "sku": "pen" })]);
    running.stop().await;

    for (orders, code, words) in
        [(now(), "HW0140", "stream:orders/type/placed version 1"), (now().version(2), "HW0141", "no `lowered` makes theirs of it")]
    {
        let refused = start(&directory, orders).await.unwrap_err();
        assert_eq!(refused.code(), Some(code), "{refused}");
        assert!(refused.message().contains(words), "{refused}");
    }

    let running = start(&directory, now().version(2).lowered::<Placed, PlacedV1>("placed", 1)).await.unwrap();
    assert_eq!(told(&running, "").await, [json!({ "article": "pen" })]);
    assert_eq!(told(&running, "?version=1").await, [json!({ "sku": "pen" })]);
    let listed = got(&running, "/v1/admin/schemas?shape=stream:orders/type/placed").await;
    let item = &listed["items"][0];
    assert_eq!((&item["version"], &item["rule"]), (&json!(2), &json!("FULL_TRANSITIVE")));
    assert_eq!(item["registered"].as_array().unwrap().len(), 2, "{item}");
    running.stop().await;

    // Nobody reads the old one any more.
    let running = start(&directory, now().version(2).oldest(2)).await.unwrap();
    let refused = got(&running, "/v1/streams/orders?version=1").await;
    assert_eq!((&refused["code"], &refused["versions"]), (&json!("HW0131"), &json!([2])), "{refused}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_to_the_old_version_goes_on_when_its_peer_has_a_new_one() {
    let (directory, reader_directory) = (Directory::new(), Directory::new());
    let running = start(&directory, now().version(2).lowered::<Placed, PlacedV1>("placed", 1)).await.unwrap();
    asked(&running, "/v1/entities/order/o1/place", json!({ "sku": "pen" })).await;
    let reader = Service::new("stock").topic_of::<PlacedV1>("orders").subscribe(Subscription::to("shop", "orders").version(1));
    let reader = here(reader, reader_directory.path()).peer_at("shop", running.url());
    let reader = reader.start().await.unwrap();
    let subscription = async || got(&reader, "/v1/admin/subscriptions").await["items"][0].clone();
    until("the message is taken", async || subscription().await["taken"] == 1).await;
    // The topic's messages have a `sku`: one of the new version would not fit.
    assert_eq!(subscription().await["unfit"], 0);
    reader.stop().await;
    running.stop().await;
}
