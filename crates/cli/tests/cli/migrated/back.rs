//! A shop in the middle of its work moves back into a directory: what the shares of its consumer had done stays done, and what they had not is
//! done there.

use super::super::kill::Parcels;
use super::*;

/// Carts that are checked out before the move, while nobody packs on the database, and in the end.
const CARTS: [std::ops::Range<u32>; 3] = [0..40, 40..400, 400..420];

async fn check_out(shop: &Shop, carts: impl Iterator<Item = String>) {
    let mut client = Connection::new(&shop.url).expect("the URL fits");
    for cart in carts {
        for (command, body) in [("add-item", r#"{"sku":"mug","quantity":2}"#), ("check-out", "{}")] {
            let headers = command_headers(None).expect("there is no key");
            let path = format!("/v1/entities/cart/{cart}/{command}");
            let answer = client.request(Method::POST, &path, headers, Bytes::from(body)).await.expect("the shop runs");
            assert!(answer.status.is_success(), "{}", String::from_utf8_lossy(&answer.body));
        }
    }
}

fn carts(which: usize) -> impl Iterator<Item = String> {
    CARTS[which].clone().map(|number| format!("m{number}"))
}

fn packing(directory: &Directory, shop: &Shop) -> Json {
    let states = consumer_states(directory, shop);
    let listed = stdout(&run(directory, ["consumer", "list", "--json", "--url", &shop.url]));
    json_lines(&listed).into_iter().find(|consumer| consumer["consumer"] == "pack-parcel").unwrap_or_else(|| panic!("{states:?}"))
}

/// Waits until it has done all it can.
fn wait_until_packed(directory: &Directory, shop: &Shop, parked: u64) {
    let begun = Instant::now();
    loop {
        let packing = packing(directory, shop);
        let rest = ["behind", "under_way", "held"].iter().all(|count| packing[*count] == 0);
        if packing["state"] == "working" && rest && packing["parked"] == parked {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{packing}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Packs on the database until some of it is done by shares that are at different places, and a key is parked; and is killed there.
fn pack_some(directory: &Directory, to: &str) {
    let mut shop = Shop::start_node(directory, to, "packs", &[]);
    let (begun, schema) = (Instant::now(), schema(to));
    let place = "convert_from(substr(value, 9), 'UTF8')::json->>'cursor'";
    let look = format!(
        "SELECT (SELECT count(*) FROM {schema}.event WHERE kind = 'parcel') > 80
            AND (SELECT count(DISTINCT {place}) FROM {schema}.register WHERE name LIKE 'consumer/pack-parcel/%') > 1
            AND EXISTS (SELECT FROM {schema}.register WHERE name LIKE 'held/pack-parcel/%' AND convert_from(value, 'UTF8')::json->>'parked' = 'true')"
    );
    while ask(&look) != "t" {
        assert!(begun.elapsed() < PATIENCE, "{}", packing(directory, &shop));
    }
    shop.kill();
    assert_eq!(ask(&format!("SELECT count(*) FROM {schema}.register WHERE name LIKE 'consumer/pack-parcel/%'")), "16");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_in_the_middle_of_its_work_goes_to_a_database_and_comes_back() {
    let (directory, to) = (Directory::new(), engine("back"));
    let mut shop = Shop::start(&directory, &["--empty"]);
    check_out(&shop, carts(0)).await;
    shop.kill();
    json(&migrate(&directory, "embedded:data", &to));
    let mut doors = Shop::start_node(&directory, &to, "doors", &["--role", "command"]);
    check_out(&doors, std::iter::once("bad".to_owned())).await;
    check_out(&doors, carts(1)).await;
    doors.kill();
    // An event that the action cannot read.
    ask(&format!(r#"UPDATE {}.event SET payload = '{{"pieces":"many"}}' WHERE id = 'bad' AND name = 'checked-out'"#, schema(&to)));
    pack_some(&directory, &to);
    json(&migrate(&directory, &to, "embedded:back"));
    let mut shop = Shop::start(&directory, &["--empty", "--data", "back"]);
    wait_until_packed(&directory, &shop, 1);
    let seen = Parcels::read(&shop.url).await;
    assert_eq!(seen.violations(&carts(0).chain(carts(1)).collect::<Vec<_>>()), ["bad has no parcel"]);
    let held = json(&run(&directory, ["consumer", "held", "pack-parcel", "--json", "--url", &shop.url]));
    let event = held["event"].as_str().expect("it says which").to_owned();
    let edit =
        ["consumer", "edit", "pack-parcel", "cart", "bad", r#"{"pieces":2}"#, "--event", &event, "--reason", "two", "--url", &shop.url];
    check_code(&run(&directory, edit), 0);
    check_out(&shop, carts(2)).await;
    wait_until_packed(&directory, &shop, 0);
    assert_eq!(Parcels::read(&shop.url).await.violations(&(0..3).flat_map(carts).collect::<Vec<_>>()), [""; 0]);
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(0));
    no_share_is_left(&directory);
}

/// There is one place again, and nobody who had a share comes along.
fn no_share_is_left(directory: &Directory) {
    let again = engine("again");
    json(&migrate(directory, "embedded:back", &again));
    let schema = schema(&again);
    let named = |like: &str| ask(&format!("SELECT string_agg(name, ' ' ORDER BY name) FROM {schema}.register WHERE name LIKE '{like}'"));
    assert_eq!((named("consumer/pack-parcel%"), named("node/%")), ("consumer/pack-parcel".to_owned(), String::new()));
    let owned =
        "SELECT count(*) FROM SCHEMA.register WHERE name LIKE 'lease/%' AND convert_from(substr(value, 9), 'UTF8')::json->>'owner' <> ''";
    assert_eq!(ask(&owned.replace("SCHEMA", &schema)), "0");
}
