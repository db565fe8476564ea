//! The retail file: a year of real invoices, killed on the way, and its totals against independent ones.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::process::{Directory, Shop, check_code, json_lines, run, stdout};

/// What the first 2,000 rows come to, added up outside.
const INVOICES_OF_2000: u64 = 97;
const TOTAL_OF_2000: &str = "37814.17";

/// The real file, where it is.
pub(crate) fn file() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/online-retail.csv.zst");
    let found = path.canonicalize().ok();
    if found.is_none() {
        eprintln!("skipped: shared/data/online-retail.csv.zst is not beside the checkout");
    }
    found
}

/// What the whole file comes to, added up outside.
pub(crate) fn totals_of_all() -> Json {
    json!({ "lines": 541_909, "invoices": 25_900, "customers": 4_372, "total": "9747747.934", "events": 541_909 + 25_900 })
}

#[test]
fn the_whole_file_comes_to_its_known_totals_although_the_shop_is_killed() {
    let Some(file) = file() else { return };
    let file = file.to_str().expect("the path is UTF-8");
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &["--retail", file]);
    std::thread::sleep(Duration::from_secs(8));
    shop.kill();
    let mut shop = Shop::start(&directory, &["--retail", file]);
    let line = shop.next_line();
    let totals = run(&directory, ["demo", "--retail-totals", &shop.url, "--json"]);
    check_code(&totals, 0);
    let totals = &json_lines(&stdout(&totals))[0];
    assert_eq!(*totals, line["totals"]);
    assert_eq!(*totals, totals_of_all(), "{line}");
}

#[test]
fn the_first_lines_alone_add_up_and_a_second_play_changes_nothing() {
    let Some(file) = file() else { return };
    let file = file.to_str().expect("the path is UTF-8");
    let directory = Directory::new();
    let arguments = ["demo", "--exit", "--json", "--listen", "127.0.0.1:0", "--limit", "2000", "--retail", file];
    let first = run(&directory, arguments);
    check_code(&first, 0);
    let first = json_lines(&stdout(&first)).pop().expect("the last line has the totals");
    assert_eq!(
        (&first["totals"]["lines"], &first["totals"]["invoices"], &first["totals"]["total"]),
        (&2_000.into(), &INVOICES_OF_2000.into(), &TOTAL_OF_2000.into())
    );
    let second = run(&directory, arguments);
    let second = json_lines(&stdout(&second)).pop().expect("the last line has the totals");
    assert_eq!((&second["played"]["accepted"], &second["totals"]), (&0.into(), &first["totals"]));
}
