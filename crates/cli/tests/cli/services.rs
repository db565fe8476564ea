//! The shop as three services, killed while carts are checked out: each cart that was paid for left once, and no piece and no cent is
//! missing or there twice.

use std::collections::BTreeMap;

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value as Json, json};

use super::process::{Directory, Shop};

const CARTS: u32 = 24;
const BLUE_MUG_CENTS: u64 = 695;
const IRON_POT_CENTS: u64 = 3_990;

/// What is in a cart; every sixth is beyond what the bank pays.
fn items(cart: u32) -> BTreeMap<&'static str, u32> {
    let pots = if cart % 6 == 5 { 40 } else { cart % 2 };
    BTreeMap::from([("mug-blue", 1 + cart % 3), ("pot-iron", pots)]).into_iter().filter(|(_, pieces)| *pieces > 0).collect()
}

fn is_paid(cart: u32) -> bool {
    cart % 6 != 5
}

fn cents(cart: u32) -> u64 {
    let price = |sku: &str| if sku == "mug-blue" { BLUE_MUG_CENTS } else { IRON_POT_CENTS };
    items(cart).iter().map(|(sku, pieces)| price(sku) * u64::from(*pieces)).sum()
}

/// The three, as they tell where they are.
struct Services {
    shop: Shop,
    stock: String,
    payment: String,
}

impl Services {
    fn start(directory: &Directory) -> Self {
        let mut shop = Shop::start_all(directory, &["--empty"]);
        let mut of = |name: &str| {
            let line = shop.next_line();
            assert_eq!(line["service"], name, "{line}");
            line["url"].as_str().expect("an address").to_owned()
        };
        let (stock, payment) = (of("stock"), of("payment"));
        Self { shop, stock, payment }
    }
}

async fn post(client: &mut Connection, path: &str, key: &str, body: &Json) -> Result<(), String> {
    let headers = command_headers(Some(key)).expect("the key fits");
    let answer = client.request(Method::POST, path, headers, Bytes::from(body.to_string())).await.map_err(|error| error.to_string())?;
    assert!(answer.status.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.body));
    Ok(())
}

/// Fills a cart and checks it out, under keys of its own: it may be done again.
async fn check_out(url: &str, cart: u32) -> Result<(), String> {
    let mut client = Connection::new(url).expect("the URL fits");
    for (sku, quantity) in items(cart) {
        let item = json!({ "sku": sku, "quantity": quantity });
        post(&mut client, &format!("/v1/entities/cart/c{cart}/add-item"), &format!("{cart}-{sku}"), &item).await?;
    }
    post(&mut client, &format!("/v1/entities/cart/c{cart}/check-out"), &format!("{cart}-out"), &json!({})).await
}

async fn get(url: &str, path: &str, wait: bool) -> Option<Json> {
    let mut headers = HeaderMap::new();
    if wait {
        headers.insert("prefer", HeaderValue::from_static("wait=5"));
    }
    let answer = Connection::new(url).expect("the URL fits").request(Method::GET, path, headers, Bytes::new()).await.expect("it runs");
    answer.status.is_success().then(|| serde_json::from_slice(&answer.body).expect("an answer is JSON"))
}

/// How the way of a cart has ended, once it has.
async fn ended(url: &str, cart: u32) -> Json {
    loop {
        let workflow = get(url, &format!("/v1/workflows/shipping/c{cart}"), true).await.unwrap_or_default();
        assert_ne!(workflow["state"], "paused", "{workflow}");
        if matches!(workflow["state"].as_str(), Some("completed" | "failed")) {
            return workflow;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn state(url: &str, kind: &str, id: &str) -> Json {
    get(url, &format!("/v1/entities/{kind}/{id}"), false).await.map(|entity| entity["state"].clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn carts_go_through_three_services_that_are_killed_and_nothing_is_missing_or_there_twice() {
    let directory = Directory::new();
    let mut services = Services::start(&directory);
    let opening = state(&services.stock, "stock", "mug-blue").await["free"].as_u64().expect("there are mugs");
    for cart in 0..CARTS {
        if cart % 6 == 3 {
            services.shop.kill();
            services = Services::start(&directory);
        }
        check_out(&services.shop.url, cart).await.expect("the shop runs");
    }
    services.shop.kill();
    let services = Services::start(&directory);
    for cart in 0..CARTS {
        let way = ended(&services.shop.url, cart).await;
        let dispatch = state(&services.shop.url, "dispatch", &format!("c{cart}")).await;
        let payment = state(&services.payment, "payment", &format!("c{cart}")).await;
        if is_paid(cart) {
            assert_eq!((&way["output"], &dispatch["sent"]), (&cents(cart).into(), &true.into()), "{way}");
            assert_eq!(payment["captured_cents"], cents(cart), "cart {cart}");
        } else {
            assert_eq!((&way["failure"]["code"], &dispatch), (&"declined".into(), &Json::Null), "{way}");
            assert_eq!(payment["captured_cents"], 0, "cart {cart}");
        }
    }
    for sku in ["mug-blue", "pot-iron"] {
        let stock = state(&services.stock, "stock", sku).await;
        let sold: u32 = (0..CARTS).filter(|cart| is_paid(*cart)).filter_map(|cart| items(cart).get(sku).copied()).sum();
        assert_eq!((&stock["free"], &stock["kept"]), (&(opening - u64::from(sold)).into(), &json!({})), "{sku}");
    }
}
