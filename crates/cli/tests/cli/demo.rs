//! The generated day: played, read back, played again, moved to another directory.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value as Json;

use super::process::{Directory, Shop, check_code, headwater, json_lines, run, stderr, stdout};

fn play(directory: &Directory) -> (Json, Json) {
    let output = run(directory, ["demo", "--exit", "--json", "--listen", "127.0.0.1:0"]);
    check_code(&output, 0);
    let line = json_lines(&stdout(&output)).pop().expect("the last line has the totals");
    (line["played"].clone(), line["totals"].clone())
}

#[test]
fn a_day_is_played_once_however_often_it_is_started() {
    let directory = Directory::new();
    let (first, totals) = play(&directory);
    assert!(first["accepted"].as_u64() > Some(2_000), "{first}");
    assert_eq!(totals["events"], first["accepted"]);
    let (second, again) = play(&directory);
    assert_eq!((&second["accepted"], &again), (&0.into(), &totals));
}

#[test]
fn a_day_that_was_killed_goes_on_where_it_was() {
    let whole = Directory::new();
    let (_, expected) = play(&whole);
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &["--exit"]);
    std::thread::sleep(std::time::Duration::from_millis(150));
    shop.kill();
    let (_, totals) = play(&directory);
    assert_eq!(totals, expected);
}

#[test]
fn totals_are_read_in_a_process_of_their_own() {
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &[]);
    let played = shop.next_line();
    let totals = run(&directory, ["demo", "--retail-totals", &shop.url, "--json"]);
    check_code(&totals, 0);
    assert_eq!(json_lines(&stdout(&totals))[0], played["totals"]);
    let text = run(&directory, ["demo", "--retail-totals", &shop.url]);
    assert!(stdout(&text).starts_with("orders"), "{}", stdout(&text));
}

#[test]
fn an_export_makes_the_same_shop_elsewhere() {
    let directory = Directory::new();
    let (_, totals) = play(&directory);
    check_code(&run(&directory, ["events", "export", "all.ndjson"]), 0);
    check_code(&run(&directory, ["events", "export", "all.ndjson"]), 1);
    let imported = run(&directory, ["events", "import", "all.ndjson", "--data", "copy", "--json"]);
    check_code(&imported, 0);
    assert!(json_lines(&stdout(&imported))[0]["events"].as_u64() > totals["events"].as_u64(), "parcels are in it, too");
    let again = run(&directory, ["events", "import", "all.ndjson", "--data", "copy", "--json"]);
    check_code(&again, 0);
    assert_eq!(json_lines(&stdout(&again))[0]["commits"], 0);
    let copy = run(&directory, ["demo", "--exit", "--json", "--listen", "127.0.0.1:0", "--data", "copy"]);
    let line = json_lines(&stdout(&copy)).pop().expect("the last line has the totals");
    assert_eq!((&line["played"]["accepted"], &line["totals"]), (&0.into(), &totals));
}

#[test]
fn an_export_that_was_cut_short_never_becomes_a_shop() {
    let directory = Directory::new();
    play(&directory);
    let export = run(&directory, ["events", "export"]);
    check_code(&export, 0);
    let lines: Vec<_> = export.stdout.split_inclusive(|byte| *byte == b'\n').collect();
    let mut child =
        headwater(&directory).args(["events", "import", "--data", "copy"]).stdin(Stdio::piped()).spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    stdin.write_all(&lines[..lines.len() / 2].concat()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    check_code(&output, 1);
    assert!(stderr(&output).contains("HW0072") && stderr(&output).contains("ends early"), "{}", stderr(&output));
    assert!(!directory.path().join("copy").exists());
}

#[test]
fn what_nobody_watches_has_no_escape_codes() {
    let directory = Directory::new();
    let output = run(&directory, ["demo", "--exit", "--listen", "127.0.0.1:0"]);
    check_code(&output, 0);
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{}", stderr(&output));
    assert!(stdout(&output).contains("customers"), "data is on standard output: {}", stdout(&output));
    assert!(stderr(&output).contains("shop listening on http://127.0.0.1:"), "talk is on standard error: {}", stderr(&output));
}
