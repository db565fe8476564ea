//! Usage, configuration, codes: what needs no load.

use std::process::Stdio;

use super::process::{Directory, Shop, check_code, headwater, json_lines, run, stderr, stdout};

#[test]
fn every_command_has_help_with_its_exit_codes_where_they_matter() {
    let directory = Directory::new();
    let commands: [&[&str]; 14] = [
        &[],
        &["demo"],
        &["bench"],
        &["bench", "journal"],
        &["run"],
        &["send"],
        &["events"],
        &["events", "export"],
        &["entity"],
        &["entity", "show"],
        &["verify"],
        &["explain"],
        &["completions"],
        &["config", "show"],
    ];
    for command in commands {
        let output = run(&directory, command.iter().chain(&["--help"]));
        check_code(&output, 0);
        assert!(stdout(&output).contains("Usage: headwater"), "{command:?}: {}", stdout(&output));
        assert!(!stdout(&output).contains('\u{1b}'), "no escape codes where nobody watches");
    }
    assert!(stdout(&run(&directory, ["--help"])).contains("Exit codes:"));
}

#[test]
fn wrong_usage_is_2_and_a_near_miss_is_named() {
    let directory = Directory::new();
    let output = run(&directory, ["demmo"]);
    check_code(&output, 2);
    assert!(stderr(&output).contains("demo"), "{}", stderr(&output));
    check_code(&run(&directory, ["send", "cart"]), 2);
}

#[test]
fn the_configuration_shows_where_each_value_is_from() {
    let directory = Directory::new();
    std::fs::write(directory.path().join("headwater.toml"), "listen = \"127.0.0.1:1\"\nconnections_max = 7\n")
        .expect("the file is written");
    let output = headwater(&directory)
        .args(["config", "show", "--json", "--data", "elsewhere"])
        .env("HEADWATER_LISTEN", "127.0.0.1:2")
        .output()
        .expect("the binary runs");
    check_code(&output, 0);
    let settings = json_lines(&stdout(&output));
    let find = |name: &str| {
        settings.iter().find(|setting| setting["name"] == name).map(|setting| (setting["value"].clone(), setting["source"].clone()))
    };
    assert_eq!(find("listen"), Some(("127.0.0.1:2".into(), "environment".into())));
    assert_eq!(find("connections_max"), Some(("7".into(), "file".into())));
    assert_eq!(find("data"), Some(("elsewhere".into(), "flag".into())));
    assert_eq!(find("drain_seconds"), Some(("10".into(), "default".into())));
    assert_eq!(find("url"), Some(("http://127.0.0.1:2".into(), "derived".into())));
}

#[test]
fn wrong_configuration_is_78_with_a_code_on_standard_error() {
    let directory = Directory::new();
    std::fs::write(directory.path().join("headwater.toml"), "lissten = \"127.0.0.1:1\"\n").expect("the file is written");
    let output = run(&directory, ["run"]);
    check_code(&output, 78);
    assert!(stderr(&output).contains("HW0060") && stderr(&output).contains("`listen`"), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
    let open = Directory::new();
    let output = run(&open, ["run", "--json", "--listen", "0.0.0.0:0"]);
    check_code(&output, 78);
    let problem = json_lines(&stderr(&output));
    assert_eq!(problem[0]["code"], "HW0064");
    assert!(!open.path().join("data").exists(), "a refused start leaves nothing behind");
}

#[test]
fn a_code_is_explained_and_an_unknown_one_is_not_found() {
    let directory = Directory::new();
    let output = run(&directory, ["explain", "hw0012"]);
    check_code(&output, 0);
    assert!(stdout(&output).contains("HW0012") || stdout(&output).contains("nknown"), "{}", stdout(&output));
    check_code(&run(&directory, ["explain", "HW9999"]), 4);
    let all = run(&directory, ["explain", "--json"]);
    assert!(json_lines(&stdout(&all)).iter().any(|page| page["code"] == "HW0063"));
}

#[test]
fn a_shell_gets_its_completions() {
    let directory = Directory::new();
    let output = run(&directory, ["completions", "bash"]);
    check_code(&output, 0);
    assert!(stdout(&output).contains("_headwater") && stdout(&output).contains("demo"));
}

#[test]
fn nobody_there_is_5_and_says_what_to_do() {
    let directory = Directory::new();
    let output = run(&directory, ["send", "cart", "c1", "check-out", "--url", "http://127.0.0.1:1"]);
    check_code(&output, 5);
    assert!(stderr(&output).contains("HW0070") && stderr(&output).contains("--url"), "{}", stderr(&output));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let directory = Directory::new();
    let mut child = headwater(&directory).args(["explain"]).stderr(Stdio::piped()).spawn().expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    check_code(&output, 0);
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
fn a_command_is_sent_for_later_and_its_outcome_asked_for() {
    let directory = Directory::new();
    let shop = Shop::start(&directory, &["--empty"]);
    let ask = |key: &str, option: &str| run(&directory, ["entity", "outcome", "cart", "c1", key, option, "--url", shop.url.as_str()]);
    let send = |command: &str, body: &str, key: &str| {
        run(&directory, ["send", "cart", "c1", command, body, "--async", "--key", key, "--url", shop.url.as_str()])
    };
    let rejected = send("check-out", "{}", "k0");
    check_code(&rejected, 0);
    assert_eq!(stdout(&rejected), "/v1/entities/cart/c1/commands/k0\n");
    assert!(stderr(&rejected).contains("entity outcome cart c1 k0"), "{}", stderr(&rejected));
    check_code(&send("add-item", r#"{"sku":"mug","quantity":2}"#, "k1"), 0);
    for (key, code) in [("k0", 3), ("k1", 0)] {
        while ask(key, "--json").status.code() == Some(5) {}
        check_code(&ask(key, "--json"), code);
    }
    check_code(&ask("never", "--json"), 4);
}

#[test]
fn consumers_are_listed_and_placed() {
    let directory = Directory::new();
    let shop = Shop::start(&directory, &["--empty"]);
    let consumer = |arguments: &[&str]| run(&directory, [&["consumer"], arguments, &["--url", shop.url.as_str()]].concat());
    let list = consumer(&["list"]);
    check_code(&list, 0);
    assert!(stdout(&list).starts_with("CONSUMER") && stdout(&list).contains("pack-parcel"), "{}", stdout(&list));
    let held = consumer(&["held", "pack-parcel", "--json"]);
    check_code(&held, 0);
    assert!(stdout(&held).is_empty());
    check_code(&consumer(&["place", "pack-parcel", "first", "--reason", "a test"]), 0);
    check_code(&consumer(&["place", "pack-parcel", "somewhere"]), 1);
    check_code(&consumer(&["redrive", "pack-parcel", "--per-second", "5"]), 0);
    let nothing_held = consumer(&["discard", "pack-parcel", "cart", "c1", "--event", "e", "--reason", "r"]);
    check_code(&nothing_held, 4);
    assert!(stderr(&nothing_held).contains("HW0080"), "{}", stderr(&nothing_held));
    check_code(&consumer(&["held", "nobody"]), 4);
    check_code(&consumer(&["edit", "pack-parcel", "cart", "c1", "{", "--event", "e"]), 2);
}

#[test]
fn a_consumer_whose_registers_are_lost_says_that_it_has_stalled_and_goes_on_from_where_it_is_placed() {
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &["--empty"]);
    let send = |shop: &Shop, command: &str, body: &str| {
        check_code(&run(&directory, ["send", "cart", "c1", command, body, "--key", command, "--url", shop.url.as_str()]), 0);
    };
    send(&shop, "add-item", r#"{"sku":"mug","quantity":2}"#);
    send(&shop, "check-out", "{}");
    let is_packed = |shop: &Shop| run(&directory, ["entity", "show", "parcel", "c1", "--url", shop.url.as_str()]).status.success();
    while !is_packed(&shop) {}
    shop.kill();
    drop(shop);
    let registers = registers(&directory);
    std::fs::remove_file(&registers).unwrap_or_else(|error| panic!("{}: {error}", registers.display()));
    let shop = Shop::start(&directory, &["--empty"]);
    let list = || stdout(&run(&directory, ["consumer", "list", "--url", shop.url.as_str()]));
    let stall = "its place is lost; give it one with `consumer place pack-parcel AT`\n";
    while !list().contains(stall) {}
    let told = list();
    assert!(told.contains("\nconsumer pack-parcel has stalled for ") && told.contains("  unplaced  "), "{told}");
    check_code(&run(&directory, ["consumer", "place", "pack-parcel", "first", "--url", shop.url.as_str()]), 0);
    let status = || json_lines(&stdout(&run(&directory, ["consumer", "list", "--json", "--url", shop.url.as_str()])));
    while status().iter().any(|consumer| consumer["state"] != "working" || consumer["behind"] != 0) {}
    let events = run(&directory, ["entity", "history", "parcel", "c1", "--json", "--url", shop.url.as_str()]);
    assert_eq!(json_lines(&stdout(&events)).len(), 1, "the parcel is packed once: {}", stdout(&events));
}

/// The log of the registers.
fn registers(directory: &Directory) -> std::path::PathBuf {
    directory.path().join("data").join("registers.log")
}

#[test]
fn commands_are_sent_states_are_shown_and_events_are_read() {
    let directory = Directory::new();
    let shop = Shop::start(&directory, &["--empty"]);
    let url = shop.url.as_str();
    let add = ["send", "cart", "a/b", "add-item", r#"{"sku":"mug","quantity":2}"#, "--key", "k1", "--json", "--url", url];
    let first = run(&directory, add);
    check_code(&first, 0);
    assert_eq!(stdout(&run(&directory, add)), stdout(&first), "the same key gives the same reply");
    check_code(&run(&directory, ["send", "cart", "empty", "check-out", "--url", url]), 3);
    check_code(&run(&directory, ["send", "cart", "a/b", "fly", "--url", url]), 4);
    check_code(&run(&directory, ["send", "cart", "a/b", "check-out", "--if-match", "7", "--url", url]), 1);
    check_code(&run(&directory, ["send", "cart", "a/b", "check-out", "--if-match", "1", "--url", url]), 0);

    let state = run(&directory, ["entity", "show", "cart", "a/b", "--sequence", "1", "--json", "--url", url]);
    assert_eq!(json_lines(&stdout(&state))[0]["state"]["items"]["mug"], 2);
    check_code(&run(&directory, ["entity", "show", "cart", "nobody", "--url", url]), 4);
    assert_eq!(stdout(&run(&directory, ["entity", "list", "cart", "--url", url])), "a/b\n");
    let history = json_lines(&stdout(&run(&directory, ["entity", "history", "cart", "a/b", "--json", "--url", url])));
    assert_eq!(history.iter().map(|event| event["sequence"].as_str()).collect::<Vec<_>>(), [Some("1"), Some("2")]);
    let read = run(&directory, ["events", "read", "--type", "cart/checked-out", "--url", url]);
    check_code(&read, 0);
    assert!(stdout(&read).contains("cart/a/b #2 checked-out {\"items\":{\"mug\":2},\"pieces\":2}"), "{}", stdout(&read));
}

#[test]
fn one_process_has_a_data_directory_and_verify_waits_for_its_end() {
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &["--empty"]);
    let second = run(&directory, ["run", "--listen", "127.0.0.1:0"]);
    check_code(&second, 1);
    assert!(stderr(&second).contains("HW0065"), "{}", stderr(&second));
    check_code(&run(&directory, ["verify"]), 1);
    shop.signal("TERM");
    assert_eq!(shop.ended(), Some(0));
    let verified = run(&directory, ["verify", "--json"]);
    check_code(&verified, 0);
    assert_eq!(json_lines(&stdout(&verified))[0]["whole"], true);
    check_code(&run(&directory, ["verify", "--data", "nowhere"]), 4);
    assert!(!directory.path().join("nowhere").exists(), "looking makes no directory");
}

#[test]
fn an_address_that_is_taken_is_told() {
    let directory = Directory::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has an address").to_string();
    let output = run(&directory, ["run", "--listen", &address]);
    check_code(&output, 1);
    assert!(stderr(&output).contains("HW0063") && stderr(&output).contains("--listen"), "{}", stderr(&output));
}
