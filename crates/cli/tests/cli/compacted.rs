//! A shop whose carts keep their last few events only, once compaction has dropped the others: it is exported and imported, and restored
//! to moments that are gone.

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::{HeaderValue, Method};
use serde_json::{Value as Json, json};

use super::process::{Directory, Shop, check_code, json_lines, run, stderr, stdout};

pub(crate) const ARGUMENTS: [&str; 3] = ["--empty", "--keep-last", "3"];
const CARTS: u64 = 10;
const COMMANDS_AT_ONCE: u64 = 1_000;

/// A shop at rest that has let go of events in `data`; how many commands it took, and the time of an event that is gone.
pub(crate) async fn shop_at_rest(directory: &Directory) -> (u64, String) {
    let mut shop = Shop::start_logged(directory, &ARGUMENTS);
    let mut client = Connection::new(&shop.url).expect("the URL fits");
    let (mut sent, mut time) = (0, None);
    loop {
        for _ in 0..4 {
            add(&mut client, sent).await;
            sent += COMMANDS_AT_ONCE;
        }
        let early = || json_lines(&stdout(&run(directory, ["events", "read", "--json", "--limit", "500", "--url", &shop.url])));
        let time = time.get_or_insert_with(|| early()[499]["time"].as_str().expect("an event has a time").to_owned());
        let compacted = run(directory, ["journal", "compact", "--json", "--url", &shop.url]);
        check_code(&compacted, 0);
        if json_lines(&stdout(&compacted))[0]["total"]["events"].as_u64() > Some(2 * COMMANDS_AT_ONCE) {
            shop.signal("INT");
            assert_eq!(shop.ended(), Some(0));
            return (sent, time.clone());
        }
        assert!(sent < 60 * COMMANDS_AT_ONCE, "nothing goes: {}", stdout(&compacted));
    }
}

/// Adds an item of its own to a cart with each command.
async fn add(client: &mut Connection, from: u64) {
    let command = |number: u64| {
        let body = json!({ "sku": format!("article-{number}"), "quantity": 1 });
        json!({ "id": format!("r{}", number % CARTS), "command": "add-item", "key": format!("k{number}"), "body": body })
    };
    let body: String = (from..from + COMMANDS_AT_ONCE).map(|number| format!("{}\n", command(number))).collect();
    let mut headers = command_headers(None).expect("there is no key");
    headers.insert("content-type", HeaderValue::from_static("application/x-ndjson"));
    let answer = client.request(Method::POST, "/v1/entities/cart:batch", headers, Bytes::from(body)).await.expect("the shop runs");
    let results = json_lines(&String::from_utf8_lossy(&answer.body));
    assert!(results.len() as u64 == COMMANDS_AT_ONCE && results.iter().all(|result| result["status"] == 200), "{results:?}");
}

/// A service on a directory knows what each cart came to, and a command whose record is gone.
fn check_serves(directory: &Directory, data: &str, sent: u64) {
    check_knows(directory, Shop::start(directory, &[&ARGUMENTS[..], &["--data", data]].concat()), sent);
}

/// So does a shop that runs; it is stopped.
pub(crate) fn check_knows(directory: &Directory, mut shop: Shop, sent: u64) {
    for cart in 0..CARTS {
        let shown = run(directory, ["entity", "show", "cart", &format!("r{cart}"), "--json", "--url", &shop.url]);
        check_code(&shown, 0);
        let items = &json_lines(&stdout(&shown))[0]["state"]["items"];
        assert_eq!(items.as_object().map(serde_json::Map::len), Some((sent / CARTS) as usize), "cart r{cart}");
    }
    let item = r#"{"sku":"article-0","quantity":1}"#;
    let again = run(directory, ["send", "cart", "r0", "add-item", item, "--key", "k0", "--url", &shop.url]);
    assert!(stderr(&again).contains("HW0023"), "it took effect, and its reply is gone: {} {}", stdout(&again), stderr(&again));
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_carries_what_remains_of_events_that_are_gone_and_an_import_takes_it() {
    let directory = Directory::new();
    let (sent, _) = shop_at_rest(&directory).await;
    let root = stdout(&run(&directory, ["journal", "root", "--data", "data"])).trim().to_owned();
    let exported = run(&directory, ["events", "export", "--json", "--data", "data"]);
    check_code(&exported, 0);
    assert!(stderr(&exported).contains("\"gone\":"), "{}", stderr(&exported));
    let lines: Vec<String> = stdout(&exported).split_inclusive('\n').map(str::to_owned).collect();
    let of_gone = lines.iter().filter(|line| line.starts_with("{\"gone\"")).count();
    assert!(of_gone > 2 && lines.len() > of_gone + 10, "{of_gone} of {}", lines.len());

    let file = directory.path().join("import.ndjson");
    let import = |lines: &[String], data: &str| {
        std::fs::write(&file, lines.concat()).expect("it can be written");
        run(&directory, ["events", "import", "import.ndjson", "--json", "--data", data])
    };
    // Ended somewhere, and gone on with: also between lines of events that are gone.
    for upto in [2, 3, lines.len() / 2] {
        check_code(&import(&lines[..upto], "copy"), 1);
    }
    let imported = import(&lines, "copy");
    check_code(&imported, 0);
    let counts = &json_lines(&stdout(&imported))[0];
    assert!(counts["skipped"].as_u64() > Some(0), "{counts}");
    for data in ["data", "copy"] {
        let verified = run(&directory, ["verify", "--json", "--root", &root, "--data", data]);
        check_code(&verified, 0);
        assert!(!json_lines(&stdout(&verified))[0]["found"].is_null(), "{data}: {}", stdout(&verified));
    }
    // Segments put together what remains, so lines of events that are gone may be fewer; all of them come to the same.
    let again = run(&directory, ["events", "export", "--data", "copy"]);
    assert_eq!(gathered(&stdout(&again)), gathered(&lines.concat()));
    check_code(&import(&lines, "copy"), 0);
    check_serves(&directory, "copy", sent);

    // One leaf of an event that is gone is another: nothing but the root can tell.
    let place = lines.iter().position(|line| line.starts_with("{\"gone\"")).expect("there are some");
    let mut forged = lines.clone();
    let leaf = json_lines(&forged[place])[0]["gone"]["leaves"][0].as_str().expect("a leaf is hex").to_owned();
    forged[place] = forged[place].replacen(&leaf, &"5".repeat(64), 1);
    check_code(&import(&forged, "forged"), 0);
    check_code(&run(&directory, ["verify", "--data", "forged", "--root", &root]), 6);
    // Without what remains, ids would be forgotten.
    let mut bare = lines.clone();
    let gone = &json_lines(&bare[place])[0]["gone"];
    bare[place] = format!("{}\n", json!({ "gone": { "first": gone["first"], "last": gone["last"] } }));
    let refused = import(&bare, "bare");
    check_code(&refused, 1);
    assert!(stderr(&refused).contains("export them again"), "{}", stderr(&refused));
}

/// The lines of an export, with everything that is gone at one place in one list.
fn gathered(text: &str) -> Vec<Json> {
    let mut all: Vec<Json> = Vec::new();
    for line in json_lines(text).into_iter().skip(1) {
        match all.last_mut().filter(|last| !last["gone"].is_null() && !line["gone"].is_null()) {
            None => all.push(line),
            Some(last) => {
                last["gone"]["last"] = line["gone"]["last"].clone();
                for name in ["leaves", "commands"] {
                    let more = line["gone"][name].as_array().expect("it is a list").clone();
                    last["gone"][name].as_array_mut().expect("it is a list").extend(more);
                }
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_to_a_moment_in_front_of_a_baseline_is_refused_with_the_first_one_that_is_safe() {
    let directory = Directory::new();
    let (sent, time) = shop_at_rest(&directory).await;
    check_code(&run(&directory, ["backup", "kept"]), 0);
    let restore = |data: &str, cut: &[&str]| run(&directory, ["restore", "kept", "--json", "--data", data].iter().chain(cut));
    let refused = restore("early", &["--at", &time]);
    check_code(&refused, 1);
    let said = stderr(&refused);
    assert!(said.contains("HW0073") && said.contains("10 entities may be without their history"), "{said}");
    assert!(!directory.path().join("early").exists());
    let safe = said.split("restore --to ").nth(1).and_then(|rest| rest.split(' ').next()).expect("it says what to do").to_owned();
    let restored = restore("safe", &["--to", &safe]);
    check_code(&restored, 0);
    assert_eq!(json_lines(&stdout(&restored))[0]["fork"], safe.as_str());
    check_code(&run(&directory, ["verify", "--data", "safe"]), 0);
    let mut shop = Shop::start(&directory, &[&ARGUMENTS[..], &["--data", "safe"]].concat());
    for cart in 0..CARTS {
        check_code(&run(&directory, ["entity", "show", "cart", &format!("r{cart}"), "--url", &shop.url]), 0);
    }
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(0));
    check_code(&restore("all", &[]), 0);
    check_serves(&directory, "all", sent);
}
