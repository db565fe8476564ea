//! The story of the shipments as a process: killed in the middle of days, it goes on, and no piece is missing or there twice.

use super::process::{Directory, Shop, check_code, json_lines, run, stdout};

const STORY: [&str; 8] = ["--story", "logistics", "--shipments", "12", "--hour-ms", "50", "--quiet", "--exit"];

#[test]
fn shipments_whose_process_is_killed_go_on_and_every_piece_is_somewhere() {
    let directory = Directory::new();
    for wait_ms in [400, 700, 1_100] {
        let mut killed = Shop::start(&directory, &STORY);
        // At no particular moment of their days.
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        killed.kill();
    }
    let output = run(&directory, ["demo", "--json", "--listen", "127.0.0.1:0"].into_iter().chain(STORY));
    check_code(&output, 0);
    let verdict = json_lines(&stdout(&output)).pop().expect("a last line");
    assert_eq!((&verdict["shipments"], &verdict["balanced"]), (&12.into(), &true.into()), "{verdict}");
    let ended: u64 = verdict["ended"].as_object().expect("a count of each").values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(ended, 12, "{verdict}");
    assert_eq!(verdict["pieces"]["open"], 0, "{verdict}");
}

#[test]
fn what_belongs_to_the_shipments_needs_their_story() {
    let directory = Directory::new();
    check_code(&run(&directory, ["demo", "--shipments", "3"]), 2);
    check_code(&run(&directory, ["demo", "--story", "logistics", "--retail", "invoices.csv"]), 2);
    check_code(&run(&directory, ["demo", "--story", "logistics", "--hour-ms", "1"]), 2);
}
