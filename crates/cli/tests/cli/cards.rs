//! Card fraud over kill -9: two checks are at work, the process is killed in the middle, and comes back with a third. Everything is sent
//! again under the same ids, and the alerts are those of a model that knows nothing of checks, windows or kills.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use gateway::client::Connection;
use http::{HeaderMap, Method};
use serde_json::Value as Json;

use super::process::{Directory, Shop, check_code, json_lines, run, stdout};

#[path = "../../src/cards/generated.rs"]
mod generated;
#[path = "../../src/cards/model.rs"]
mod model;
#[allow(dead_code)]
#[path = "../../src/cards/payment.rs"]
mod payment;

use generated::{Generated, payments};
use model::Alert;

const PAYMENTS: usize = 4_000;
const STORY: [&str; 6] = ["--story", "cards", "--payments", "4000", "--rate", "100000"];
const TRIES_MAX: u32 = 20_000;

fn stream() -> Vec<Generated> {
    payments(7).take(PAYMENTS).collect()
}

async fn lines(url: &str, types: &str) -> Vec<Json> {
    let path = format!("/v1/streams/cards?{types}");
    let mut client = Connection::new(url).expect("the URL fits");
    let mut lines = client.stream(Method::GET, &path, HeaderMap::new(), Bytes::new()).await.expect("it runs").expect("it is a stream");
    let mut all = Vec::new();
    while let Some(line) = lines.next().await.expect("the stream is whole") {
        all.push(serde_json::from_slice(&line).expect("a line is JSON"));
    }
    all
}

/// Alerts in the order in which they were emitted, by check.
async fn alerts(url: &str, checks: &[&str]) -> BTreeMap<String, Vec<Alert>> {
    let types: Vec<String> = checks.iter().map(|check| format!("type={check}")).collect();
    let mut alerts: BTreeMap<String, Vec<Alert>> = BTreeMap::new();
    for event in lines(url, &types.join("&")).await {
        let text = |value: &Json| value.as_str().expect("a text").to_owned();
        let (check, card) = (text(&event["entitytype"]), text(&event["subject"]));
        let alert = (check.clone(), card, text(&event["data"]["payment"]), text(&event["data"]["figure"]));
        alerts.entry(check).or_default().push(alert);
    }
    alerts
}

#[track_caller]
fn check_once(check: &str, came: Option<&Vec<Alert>>, expected: &BTreeSet<Alert>) {
    let came = came.cloned().unwrap_or_default();
    let distinct: BTreeSet<Alert> = came.iter().cloned().collect();
    assert_eq!(came.len(), distinct.len(), "{check} said something twice");
    let missing: Vec<_> = expected.difference(&distinct).collect();
    let besides: Vec<_> = distinct.difference(expected).collect();
    assert!(missing.is_empty() && besides.is_empty(), "{check}: missing {missing:?}, besides {besides:?}");
}

/// Starts with two checks and kills under the stream, each time when a few more alerts have come; up to `kills_max` times, since on a
/// slow machine a kill may come when everything else is done. Gives the kills.
fn killed_in_the_middle(directory: &Directory, kills_max: u32) -> u32 {
    for kill in 0..kills_max {
        let story = ["--story", "cards", "--payments", "4000", "--rate", "4000", "--checks", "velocity,spending"];
        let mut cards = Shop::start(directory, &story);
        let ended = (0..3).any(|_| cards.next_line()["alert"].is_null());
        cards.kill();
        if ended {
            return kill;
        }
    }
    kills_max
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_is_added_after_a_kill_9_touches_no_other_and_no_alert_is_lost_or_doubled() {
    let (directory, stream) = (Directory::new(), stream());
    let kills = killed_in_the_middle(&directory, 4);
    assert!(kills > 0, "the stream ended before the first kill: nothing was tested");
    let mut cards = Shop::start(&directory, &[&STORY[..], &["--begin", "first"]].concat());
    let mut verdict = cards.next_line();
    while !verdict["alert"].is_null() {
        verdict = cards.next_line();
    }
    assert_eq!(verdict["judged"], true, "{verdict}");
    let replayed = verdict["replayed"].as_u64().expect("a count");
    assert!(replayed > 0, "nothing was there before the kill: nothing was tested");
    let came = alerts(&cards.url, &["velocity", "spending", "travel"]).await;
    for check in ["velocity", "spending", "travel"] {
        check_once(check, came.get(check), &model::alerts(&stream, &[check]));
    }
    check_cards(&cards.url, &came).await;
    eprintln!(
        "{replayed} of {PAYMENTS} payments before the last of {kills} kills, {} alerts, none lost, none doubled",
        came.values().flatten().count()
    );
}

/// Every alert was told to its card once, and the view has a row of it.
async fn check_cards(url: &str, came: &BTreeMap<String, Vec<Alert>>) {
    let expected: BTreeSet<(String, String)> = came.values().flatten().map(|alert| (alert.0.clone(), alert.2.clone())).collect();
    for _ in 0..TRIES_MAX {
        let told: Vec<(String, String)> = lines(url, "type=card/suspected").await.iter().map(told_of).collect();
        if told.len() >= expected.len() {
            assert_eq!((told.len(), told.into_iter().collect::<BTreeSet<_>>()), (expected.len(), expected), "each alert is told once");
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("cards are never told of all {} alerts", expected.len());
}

fn told_of(event: &Json) -> (String, String) {
    let text = |name: &str| event["data"][name].as_str().expect("a text").to_owned();
    (text("check"), text("payment"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_begins_now_sees_what_comes_from_then_on() {
    let (directory, stream) = (Directory::new(), stream());
    let half = ["demo", "--story", "cards", "--payments", "2000", "--rate", "100000", "--exit", "--json", "--listen", "127.0.0.1:0"];
    let output = run(&directory, half.into_iter().chain(["--checks", "velocity,spending"]));
    check_code(&output, 0);
    let mut cards = Shop::start(&directory, &STORY);
    let mut verdict = cards.next_line();
    while !verdict["alert"].is_null() {
        verdict = cards.next_line();
    }
    assert_eq!((&verdict["judged"], &verdict["replayed"]), (&false.into(), &2_000.into()), "{verdict}");
    let came = alerts(&cards.url, &["velocity", "spending", "travel"]).await;
    for check in ["velocity", "spending"] {
        check_once(check, came.get(check), &model::alerts(&stream, &[check]));
    }
    check_once("travel", came.get("travel"), &model::alerts(&stream[2_000..], &["travel"]));
}

#[test]
fn the_story_ends_by_itself_says_that_its_payments_are_generated_and_shows_alerts() {
    let directory = Directory::new();
    let story = ["demo", "--story", "cards", "--payments", "1500", "--rate", "100000", "--exit", "--listen", "127.0.0.1:0"];
    let output = run(&directory, story);
    check_code(&output, 0);
    let (data, talk) = (stdout(&output), super::process::stderr(&output));
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{talk}");
    assert!(talk.contains("1500 generated payments") && data.contains("generated"), "{talk}\n{data}");
    assert!(data.contains("payments within a minute") && data.contains(" 0 missing, 0 besides, 0 twice"), "{data}");
}

#[test]
fn the_story_stops_in_order_before_its_end() {
    let directory = Directory::new();
    let mut cards = Shop::start(&directory, &["--story", "cards", "--rate", "10"]);
    cards.signal("INT");
    assert_eq!(cards.ended(), Some(1));
    let again = run(
        &directory,
        ["demo", "--story", "cards", "--payments", "300", "--rate", "100000", "--exit", "--json", "--listen", "127.0.0.1:0"],
    );
    check_code(&again, 0);
    assert_eq!(json_lines(&stdout(&again)).pop().expect("a last line")["payments"], 300);
}

#[test]
fn what_belongs_to_another_story_is_refused() {
    let directory = Directory::new();
    check_code(&run(&directory, ["demo", "--checks", "velocity"]), 2);
    check_code(&run(&directory, ["demo", "--story", "cards", "--checks", "luck"]), 2);
    check_code(&run(&directory, ["demo", "--story", "cards", "--retail", "invoices.csv"]), 2);
}

/// A check that cannot fail is none.
#[test]
#[should_panic(expected = "said something twice")]
fn an_alert_that_comes_twice_is_found_out() {
    let all = stream();
    let expected = model::alerts(&all, &["travel"]);
    let came: Vec<Alert> = expected.iter().chain(expected.first()).cloned().collect();
    check_once("travel", Some(&came), &expected);
}
