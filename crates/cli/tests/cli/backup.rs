//! Backups, restores, roots and proofs as an operator meets them: beside a shop at work, killed in the middle, checked by a program that
//! shares no code.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value as Json;

use super::process::{Directory, Shop, check_code, has, headwater, json_lines, run, stderr, stdout};

fn json(output: &Output) -> Json {
    check_code(output, 0);
    json_lines(&stdout(output)).remove(0)
}

fn back_up(directory: &Directory, target: &str) -> Json {
    json(&run(directory, ["backup", target, "--json"]))
}

fn restore(directory: &Directory, target: &str, cut: &[&str]) -> Output {
    run(directory, ["restore", "copy", "--json", "--data", target].iter().chain(cut))
}

/// A day of trade, in `data`.
fn a_day(directory: &Directory) {
    check_code(&run(directory, ["demo", "--exit", "--quiet", "--listen", "127.0.0.1:0"]), 0);
}

/// The commits of an export, without the header that names the history.
fn commits(directory: &Directory, data: &str) -> Vec<String> {
    let output = run(directory, ["events", "export", "--data", data]);
    check_code(&output, 0);
    stdout(&output).lines().skip(1).map(str::to_owned).collect()
}

fn add(directory: &Directory, shop: &Shop, cart: &str) -> Json {
    let item = r#"{"sku":"mug","quantity":1}"#;
    json(&run(directory, ["send", "cart", cart, "add-item", item, "--json", "--url", &shop.url]))
}

fn stop(mut shop: Shop) {
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(0));
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[test]
fn a_backup_of_a_running_shop_is_restored_as_a_history_of_its_own() {
    let directory = Directory::new();
    a_day(&directory);
    let shop = Shop::start(&directory, &["--empty"]);
    let first = back_up(&directory, "copy");
    let known = add(&directory, &shop, "before");
    let second = back_up(&directory, "copy");
    assert_eq!(second["events"].as_u64(), first["events"].as_u64().map(|events| events + 1), "{second}");
    let lost = add(&directory, &shop, "after");
    stop(shop);

    let restored = json(&restore(&directory, "anew", &[]));
    assert_eq!((&restored["events"], &restored["fork"]), (&second["events"], &second["head"]));
    let (old, new) = (commits(&directory, "data"), commits(&directory, "anew"));
    assert!(new.len() < old.len() && old.starts_with(&new), "the same commits, up to the fork");
    let root = text(&second["root"]);
    for data in ["data", "copy", "anew"] {
        let verified = json(&run(&directory, ["verify", "--json", "--root", root, "--data", data]));
        assert_eq!((&verified["whole"], &verified["found"].is_null()), (&Json::Bool(true), &false), "{data}: {verified}");
    }
    check_code(&run(&directory, ["--data", "copy", "run", "--listen", "127.0.0.1:0"]), 6);

    let shop = Shop::start(&directory, &["--empty", "--data", "anew"]);
    let read = |cursor: &Json| run(&directory, ["events", "read", "--json", "--url", &shop.url, "--after", text(cursor)]);
    check_code(&read(&known["cursor"]), 0);
    let refused = read(&lost["cursor"]);
    check_code(&refused, 1);
    assert!(stderr(&refused).contains("history-diverged"), "{}", stderr(&refused));
    let consumer = consumer(&directory, &shop);
    assert!(consumer["stalled"].is_null() && consumer["state"] != "unplaced", "its place came along: {consumer}");
    add(&directory, &shop, "new");
    stop(shop);
}

#[test]
fn a_restore_to_an_earlier_moment_stops_the_consumers_that_were_beyond_it_until_they_are_placed() {
    let directory = Directory::new();
    let shop = Shop::start(&directory, &["--empty"]);
    let wanted = add(&directory, &shop, "a");
    a_cart_is_packed(&directory, &shop);
    stop(shop);
    back_up(&directory, "copy");

    for (target, cut) in [("by-cursor", "--to"), ("by-time", "--at")] {
        let moment = if cut == "--to" { text(&wanted["cursor"]).to_owned() } else { time_behind(&directory, &wanted) };
        let restored = json(&restore(&directory, target, &[cut, &moment]));
        assert_eq!(restored["fork"], wanted["cursor"], "{cut}");
        check_code(&run(&directory, ["verify", "--data", target]), 0);
    }
    let shop = Shop::start(&directory, &["--empty", "--data", "by-cursor"]);
    let consumer = consumer(&directory, &shop);
    assert_eq!(consumer["state"], "unplaced", "{consumer}");
    check_code(&run(&directory, ["consumer", "place", "pack-parcel", "now", "--url", &shop.url]), 0);
    a_cart_is_packed(&directory, &shop);
    stop(shop);
}

/// The action's consumer, once it has started.
fn consumer(directory: &Directory, shop: &Shop) -> Json {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let output = run(directory, ["consumer", "list", "--json", "--url", &shop.url]);
        check_code(&output, 0);
        let listed = json_lines(&stdout(&output)).into_iter().find(|consumer| consumer["consumer"] == "pack-parcel");
        let consumer = listed.expect("it is listed");
        if consumer["state"] != "starting" {
            return consumer;
        }
        assert!(std::time::Instant::now() < deadline, "{consumer}");
    }
}

/// A cart is checked out, and the action has made a parcel of it.
fn a_cart_is_packed(directory: &Directory, shop: &Shop) {
    add(directory, shop, "packed");
    check_code(&run(directory, ["send", "cart", "packed", "check-out", "--url", &shop.url]), 0);
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while run(directory, ["entity", "show", "parcel", "packed", "--url", &shop.url]).status.code() != Some(0) {
        assert!(std::time::Instant::now() < deadline, "no parcel came");
    }
    // The place is written a moment after the run.
    loop {
        let consumer = consumer(directory, shop);
        if consumer["behind"] == 0 {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{consumer}");
    }
}

/// The time of the first commit behind a cursor.
fn time_behind(directory: &Directory, reply: &Json) -> String {
    let commits = commits(directory, "data");
    let commits: Vec<Json> = commits.iter().map(|line| serde_json::from_str(line).expect("a commit is JSON")).collect();
    let of = |commit: &Json| commit["commands"][0]["id"] == "a" && commit["commands"][0]["type"] == "cart";
    let nth = commits.iter().position(of).unwrap_or_else(|| panic!("{reply} is in the export"));
    text(&commits[nth + 1]["time"]).to_owned()
}

#[test]
fn a_backup_or_a_restore_that_is_killed_leaves_nothing_that_a_service_starts_on() {
    let directory = Directory::new();
    a_day(&directory);
    let path = |name: &str| directory.path().join(name);
    let mut killed = (0, 0);
    for delay in 0..40 {
        if kill_after(&directory, &["backup", "copy"], delay) {
            killed.0 += 1;
            check_code(&run(&directory, ["--data", "copy", "run", "--listen", "127.0.0.1:70000"]), 78);
            let opened = restore(&directory, "never", &["--to", "nonsense"]);
            check_code(&opened, 2);
        } else if killed.0 > 0 {
            break;
        }
    }
    let backed = back_up(&directory, "copy");
    let root = text(&backed["root"]);
    check_code(&run(&directory, ["verify", "--root", root, "--data", "copy"]), 0);
    for delay in (0..200).step_by(5) {
        if kill_after(&directory, &["restore", "copy", "--data", "anew"], delay) {
            killed.1 += 1;
        }
        // Whatever has the name is whole: it is compared below.
        if path("anew").exists() {
            break;
        }
    }
    if !path("anew").exists() {
        json(&restore(&directory, "anew", &[]));
    }
    assert!(!path("anew.restoring").exists());
    assert_eq!(commits(&directory, "anew"), commits(&directory, "data"));
    check_code(&run(&directory, ["verify", "--root", root, "--data", "anew"]), 0);
    assert!(killed.1 > 0, "no restore was killed: nothing was tested");
}

/// Starts the binary and kills it; false when it had ended by then.
fn kill_after(directory: &Directory, arguments: &[&str], delay_ms: u64) -> bool {
    let mut child = headwater(directory).args(arguments).spawn().expect("the binary starts");
    std::thread::sleep(Duration::from_millis(delay_ms));
    let running = child.try_wait().expect("it is ours").is_none();
    child.kill().expect("it is ours");
    let ended = child.wait().expect("it ended");
    running && ended.code().is_none()
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let directory = Directory::new();
    let shop = Shop::start(&directory, &["--empty"]);
    add(&directory, &shop, "a");
    let other = Shop::start(&directory, &["--empty", "--data", "other"]);
    add(&directory, &other, "b");
    back_up(&directory, "copy");
    let refused = |arguments: &[&str], why: &str| {
        let output = run(&directory, arguments);
        check_code(&output, 1);
        assert!(stderr(&output).contains("HW0073") && stderr(&output).contains(why), "{}", stderr(&output));
    };
    refused(&["backup", "copy", "--data", "other"], "another history");
    refused(&["backup", "data/inside"], "in each other");
    refused(&["restore", "data", "--data", "anew"], "no backup");
    stop(shop);
    stop(other);
    refused(&["restore", "copy"], "has a journal");
    check_code(&run(&directory, ["restore", "nowhere", "--data", "anew"]), 4);
}

/// A change to one proof that must not pass.
type Forgery = fn(&mut Json);

const FORGERIES: [Forgery; 7] = [
    |proof| proof["event"]["payload_base64"] = "e30=".into(),
    |proof| proof["event"]["sequence"] = 2.into(),
    |proof| proof["event"]["id"] = "c2".into(),
    |proof| proof["event"]["principal"] = "somebody".into(),
    |proof| proof["event"]["position"] = 1_000_000.into(),
    |proof| proof["path"][0] = proof["path"][1].clone(),
    |proof| drop(proof["path"].as_array_mut().map(Vec::pop)),
];

#[test]
fn the_proof_of_an_event_is_checked_by_a_program_that_shares_no_code() {
    if !has("python3") {
        return;
    }
    let directory = Directory::new();
    a_day(&directory);
    let shop = Shop::start(&directory, &["--empty"]);
    add(&directory, &shop, "c1");
    let root = text(&json(&run(&directory, ["journal", "root", "--json"]))["root"]).to_owned();
    add(&directory, &shop, "later");
    let proof = json(&run(&directory, ["events", "prove", "cart/c1", "1", "--root", &root]));
    let event = &proof["event"];
    let id = format!("{}.{}", text(&event["commit"]), event["index"]);
    assert_eq!(json(&run(&directory, ["events", "prove", &id, "--root", &root])), proof, "by its id it is the same");
    check_code(&run(&directory, ["events", "prove", "cart/c1", "2"]), 4);
    check_code(&run(&directory, ["events", "prove", "cart/c1"]), 2);
    stop(shop);

    check(&directory, &proof, &root, 0);
    check(&directory, &proof, &root[..64], 0);
    check(&directory, &proof, &root.replace(&root[..1], if root.starts_with('0') { "1" } else { "0" }), 1);
    for forge in FORGERIES {
        let mut forged = proof.clone();
        forge(&mut forged);
        check(&directory, &forged, &root, 1);
    }
    // Events of every kind, from everywhere in the log.
    let exported = commits(&directory, "data");
    for line in exported.iter().step_by(exported.len() / 20 + 1) {
        let commit: Json = serde_json::from_str(line).expect("a commit is JSON");
        let proof = json(&run(&directory, ["events", "prove", &format!("{}.0", text(&commit["commit"]))]));
        check(&directory, &proof, text(&proof["root"]), 0);
    }
}

#[track_caller]
fn check(directory: &Directory, proof: &Json, root: &str, code: i32) {
    let file = directory.path().join("proof.json");
    std::fs::write(&file, proof.to_string()).expect("it can be written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/check_proof.py");
    check_code(&Command::new("python3").arg("-B").arg(script).arg(&file).arg(root).output().expect("python runs"), code);
}

#[test]
fn a_log_that_was_changed_is_found_by_a_root_from_elsewhere() {
    let directory = Directory::new();
    a_day(&directory);
    let root = text(&json(&run(&directory, ["journal", "root", "--json"]))["root"]).to_owned();
    check_code(&run(&directory, ["verify", "--root", &root]), 0);
    check_code(&run(&directory, ["verify", "--root", "nonsense"]), 2);
    // An attacker writes the history anew, with one reply fewer than it had.
    let output = run(&directory, ["events", "export"]);
    let forged: Vec<String> = stdout(&output).lines().map(|line| line.replacen("\"quantity\":2", "\"quantity\":9", 1)).collect();
    std::fs::write(directory.path().join("forged.ndjson"), forged.join("\n") + "\n").expect("it can be written");
    check_code(&run(&directory, ["events", "import", "forged.ndjson", "--data", "forged"]), 0);
    let spotless = run(&directory, ["verify", "--data", "forged"]);
    check_code(&spotless, 0);
    let found = run(&directory, ["verify", "--data", "forged", "--root", &root]);
    check_code(&found, 6);
    assert!(stdout(&found).contains("are not those that the root"), "{}", stdout(&found));
}

#[test]
fn a_backup_whose_events_are_not_those_of_its_root_is_not_restored() {
    let directory = Directory::new();
    a_day(&directory);
    back_up(&directory, "copy");
    // Another root, and the checksum mended: as if somebody had changed the events, and the checksums with them.
    let file = directory.path().join("copy/backup.json");
    let manifest = std::fs::read_to_string(&file).expect("it is there");
    let of = |name: &str| json_lines(&manifest)[0][name].as_str().expect("it is a text").to_owned();
    let (root, sum) = (of("root"), of("checksum"));
    let other = format!("{}{}", if root.starts_with('0') { '1' } else { '0' }, &root[1..]);
    let unsummed = manifest.trim_end().replace(&root, &other).replace(&format!("\"checksum\":\"{sum}\""), "\"checksum\":\"\"");
    let sum = format!("{:08x}", crc_32c(unsummed.as_bytes()));
    std::fs::write(&file, unsummed.replace("\"checksum\":\"\"", &format!("\"checksum\":\"{sum}\""))).expect("it can be written");
    for cut in [&[][..], &["--at", "2100-01-01T00:00:00Z"]] {
        let refused = restore(&directory, "anew", cut);
        check_code(&refused, 6);
        assert!(stderr(&refused).contains("not those that its root was made of"), "{}", stderr(&refused));
        assert!(!directory.path().join("anew").exists());
    }
}

/// CRC-32C, as the format page has it.
fn crc_32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 })
    })
}
