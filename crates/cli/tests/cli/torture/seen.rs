//! What there is in the end, read from the shop over HTTP alone.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value as Json, json};

use super::expected::Expected;
use super::plan::{COUNTRIES, CUSTOMERS, customer};

/// How long consumers may take to come to rest: a bound, and no measurement.
const PATIENCE: Duration = Duration::from_secs(300);

async fn call(client: &mut Connection, method: Method, path: &str, body: &Json) -> Json {
    let mut headers = command_headers(None).expect("there is no key");
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let body = if method == Method::GET { Bytes::new() } else { Bytes::from(body.to_string()) };
    let answer = client.request(method, path, headers, body).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    let text = String::from_utf8_lossy(&answer.body);
    assert!(answer.status.is_success(), "{path}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn get(client: &mut Connection, path: &str) -> Json {
    call(client, Method::GET, path, &Json::Null).await
}

/// Waits until the action has caught up; gives how many keys were parked on the way and had to be redriven. A process that is killed
/// three times over the same event has that event's key parked, and people decide.
pub(crate) async fn settled(url: &str) -> u64 {
    let (mut client, mut redriven, since) = (Connection::new(url).expect("the URL fits"), 0, Instant::now());
    loop {
        let packing = get(&mut client, "/v1/admin/consumers/pack-parcel").await;
        let number = |name: &str| packing[name].as_u64().unwrap_or(1);
        if number("parked") > 0 {
            redriven += number("parked");
            call(&mut client, Method::POST, "/v1/admin/consumers/pack-parcel/redrive", &json!({})).await;
        } else if packing["state"] == "working" && number("behind") + number("under_way") + number("held") == 0 {
            return redriven;
        }
        assert!(since.elapsed() < PATIENCE, "the action does not come to rest: {packing}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that the witness knows better.
pub(super) async fn look(url: &str, expected: &Expected) -> Expected {
    let mut client = Connection::new(url).expect("the URL fits");
    let mut seen = Expected::default();
    let head = read_events(&mut client, &mut seen).await;
    read_orders(&mut client, &head, &mut seen).await;
    read_sales(&mut client, &head, &mut seen).await;
    read_messages(&mut client, expected.message_count(), &mut seen).await;
    seen
}

/// The whole stream, once: events by type, and what is in each parcel. Gives the cursor of the last event.
async fn read_events(client: &mut Connection, seen: &mut Expected) -> String {
    let path = "/v1/streams/shop?type=order&type=cart&type=parcel";
    let opened = client.stream(Method::GET, path, HeaderMap::new(), Bytes::new()).await.expect("the shop answers");
    let mut lines = opened.unwrap_or_else(|problem| panic!("{}", String::from_utf8_lossy(&problem.body)));
    let (mut cursor, mut ids) = (String::new(), HashSet::new());
    while let Some(line) = lines.next().await.expect("the stream goes to its end") {
        let event: Json = serde_json::from_slice(&line).expect("an event is JSON");
        let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("no {name} in {event}"));
        assert!(ids.insert(text("id").to_owned()), "{event} is there twice");
        let kind = text("type").strip_prefix("shop.").expect("the service is the shop").replace('.', "/");
        if kind == "parcel/packed" {
            let pieces = event["data"]["pieces"].as_u64().expect("it is a number");
            seen.parcels.entry(text("subject").to_owned()).or_default().push(pieces);
        }
        seen.count(&kind, 1);
        text("cursor").clone_into(&mut cursor);
    }
    cursor
}

async fn rows(client: &mut Connection, head: &str, query: &str, parameters: Json) -> Vec<Json> {
    let answer = call(client, Method::POST, &format!("/v1/views/{query}?seen={head}"), &parameters).await;
    answer["items"].as_array().unwrap_or_else(|| panic!("no rows in {answer}")).clone()
}

fn sum(row: &Json) -> i64 {
    thousandths(row["total"].as_str().unwrap_or_else(|| panic!("no total in {row}")))
}

fn number(row: &Json, name: &str) -> i64 {
    row[name].as_i64().unwrap_or_else(|| panic!("no {name} in {row}"))
}

async fn read_orders(client: &mut Connection, head: &str, seen: &mut Expected) {
    for customer in (0..CUSTOMERS).map(customer) {
        for row in rows(client, head, "orders/of-customer", json!({ "customer": customer })).await {
            let id = row["id"].as_str().expect("it is a text").to_owned();
            let order = (number(&row, "lines").unsigned_abs(), sum(&row), row["cancelled"] == true);
            assert!(seen.orders.insert((customer.clone(), id), order).is_none(), "{row} is there twice");
        }
    }
}

async fn read_sales(client: &mut Connection, head: &str, seen: &mut Expected) {
    for country in COUNTRIES {
        for row in rows(client, head, "sales/days", json!({ "country": country })).await {
            let day = row["day"].as_str().expect("it is a text").to_owned();
            let sale = (number(&row, "lines").unsigned_abs(), number(&row, "pieces"), sum(&row));
            seen.sales.insert((country.to_owned(), day), sale);
        }
    }
    for row in rows(client, head, "products/top", json!({})).await {
        let sku = row["sku"].as_str().expect("it is a text").to_owned();
        seen.products.insert(sku, (number(&row, "pieces"), sum(&row)));
    }
}

/// A consumer that is set up now gets every message that the journal holds, in the order of its key.
async fn read_messages(client: &mut Connection, count: usize, seen: &mut Expected) {
    let path = "/v1/consumers/audit";
    call(client, Method::PUT, path, &json!({ "topic": "notices", "start": "first", "ack_seconds": 600, "in_flight_max": 1024 })).await;
    let mut came = 0;
    loop {
        // One wait more than is needed: what is there twice comes as well.
        let wait_seconds = if came < count { 20 } else { 1 };
        let pulled = call(client, Method::POST, &format!("{path}/pull"), &json!({ "max": 256, "wait_seconds": wait_seconds })).await;
        let deliveries = pulled["deliveries"].as_array().expect("there is a list");
        if deliveries.is_empty() {
            return;
        }
        for delivery in deliveries {
            let text = |name: &str| delivery["event"][name].as_str().expect("it is a message of ours").to_owned();
            seen.messages.entry(text("subject")).or_default().push(text("id"));
        }
        came += deliveries.len();
        let ids: Vec<&Json> = deliveries.iter().map(|delivery| &delivery["delivery"]).collect();
        call(client, Method::POST, &format!("{path}/ack"), &json!({ "deliveries": ids })).await;
    }
}

/// A price as the views write it.
fn thousandths(price: &str) -> i64 {
    let (sign, digits) = price.strip_prefix('-').map_or((1, price), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(fraction.len() <= 3, "{price}");
    sign * (whole.parse::<i64>().expect("a number") * 1_000 + format!("{fraction:0<3}").parse::<i64>().expect("a number"))
}
