//! The shop's views over the retail file: asked while it plays, killed on the way, and in the end what a script in another language makes
//! of the same file, digit for digit.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::process::{Directory, Shop, check_code, has, json_lines, run, stderr, stdout};
use super::retail::file;

/// How far the play is when it is killed.
const LINES_BEFORE_THE_KILL: u64 = 50_000;
const PATIENCE: Duration = Duration::from_secs(300);

/// What `retail_totals.py` makes of the file.
fn added_up_apart(file: &Path) -> Json {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/retail_totals.py");
    let mut rows = zstd::Decoder::new(std::fs::File::open(file).expect("it opens")).expect("it is zstd");
    let mut child = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python runs");
    let mut input = child.stdin.take().expect("it is piped");
    // It writes when it has read everything.
    std::io::copy(&mut rows, &mut input).and_then(|_| input.flush()).expect("python reads");
    drop(input);
    let mut output = Vec::new();
    child.stdout.take().expect("it is piped").read_to_end(&mut output).expect("python writes");
    assert!(child.wait().expect("it ends").success(), "retail_totals.py failed");
    serde_json::from_slice(&output).expect("it writes JSON")
}

fn rows(directory: &Directory, url: &str, arguments: &[&str]) -> Vec<Json> {
    let output = run(directory, ["view", "query", "--url", url, "--json"].iter().chain(arguments));
    check_code(&output, 0);
    json_lines(&stdout(&output))
}

/// Asks while the file plays, until so many lines are in the rows.
fn ask_until(directory: &Directory, url: &str, lines: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let countries = rows(directory, url, &["sales", "by-country"]);
        if countries.iter().filter_map(|row| row["lines"].as_u64()).sum::<u64>() >= lines {
            return;
        }
        assert!(Instant::now() < deadline, "the play does not come to {lines} lines");
    }
}

#[test]
fn views_of_the_whole_file_come_to_what_a_script_adds_up_apart() {
    let Some(file) = file() else { return };
    if !has("python3") {
        return;
    }
    let directory = Directory::new();
    let retail = ["--retail", file.to_str().expect("the path is UTF-8")];
    let mut shop = Shop::start(&directory, &retail);
    ask_until(&directory, &shop.url, LINES_BEFORE_THE_KILL);
    shop.kill();
    let mut shop = Shop::start(&directory, &retail);
    let expected = added_up_apart(&file);
    let played = shop.next_line();
    assert_eq!((&played["totals"]["lines"], &played["totals"]["total"]), (&expected["lines"], &"9747747.934".into()));
    let check = |query: &[&str], rows_of: &Json| {
        let found = rows(&directory, &shop.url, query);
        assert!(!found.is_empty(), "{query:?}");
        assert_eq!(Json::from(found), *rows_of, "{query:?}");
    };
    check(&["sales", "total"], &Json::from(vec![expected["total"].clone()]));
    check(&["sales", "by-country"], &expected["by-country"]);
    check(&["orders", "open"], &expected["open"]);
    for (country, days) in expected["days"].as_object().expect("days by country") {
        check(&["sales", "days", &format!("country={country}")], days);
    }
    for (customer, orders) in expected["of-customer"].as_object().expect("orders by customer") {
        check(&["orders", "of-customer", &format!("customer={customer}")], orders);
    }
    check_top(&rows(&directory, &shop.url, &["products", "top"]), &expected["top"]);
}

fn check_top(found: &[Json], expected: &Json) {
    let expected = expected.as_array().expect("rows");
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        for column in ["sku", "pieces", "total"] {
            assert_eq!(found[column], expected[column], "{found}");
        }
        assert!(expected["descriptions"].as_array().expect("texts").contains(&found["description"]), "{found}");
    }
}

#[test]
fn views_are_listed_asked_and_made_anew_from_the_command_line() {
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &[]);
    shop.next_line();
    let url = shop.url.clone();
    let list = run(&directory, ["view", "list", "--url", &url]);
    check_code(&list, 0);
    assert!(
        stdout(&list).starts_with("VIEW      STATE  BEHIND  QUERIES\norders    live        0  board open of-customer\n"),
        "{}",
        stdout(&list)
    );
    let before = run(&directory, ["view", "query", "sales", "by-country", "--url", &url]);
    assert!(stdout(&before).starts_with("country,lines,pieces,total\n"), "{}", stdout(&before));
    let rebuilt = run(&directory, ["view", "rebuild", "sales", "--url", &url]);
    check_code(&rebuilt, 0);
    assert_eq!(stderr(&rebuilt), "view sales is made anew\n");
    assert_eq!(stdout(&run(&directory, ["view", "query", "sales", "by-country", "--url", &url])), stdout(&before));
    check_code(&run(&directory, ["view", "query", "sales", "nothing", "--url", &url]), 4);
    check_code(&run(&directory, ["view", "status", "nothing", "--url", &url]), 4);
    check_code(&run(&directory, ["view", "query", "sales", "days", "Malta", "--url", &url]), 2);
    let status = run(&directory, ["view", "status", "sales", "--url", &url, "--json"]);
    assert_eq!(json_lines(&stdout(&status))[0]["state"], "live");
}
