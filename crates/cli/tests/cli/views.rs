//! The shop's views over the retail file: killed on the way, and in the end the same totals as a fold over the file that knows no SQL and
//! no decimals, only thousandths.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value as Json;

use super::process::{Directory, Shop, check_code, json_lines, run, stderr, stdout};
use super::retail::file;

/// Lines, pieces and thousandths.
type Sum = (u64, i64, i64);

pub(crate) fn thousandths(price: &str) -> i64 {
    let (sign, digits) = price.strip_prefix('-').map_or((1, price), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(fraction.len() <= 3, "{price}");
    sign * (whole.parse::<i64>().expect("a number") * 1_000 + format!("{fraction:0<3}").parse::<i64>().expect("a number"))
}

/// Sales by country and day, as the file has them; an invoice is of the country of its first row.
fn folded(file: &str) -> BTreeMap<(String, String), Sum> {
    let rows = zstd::Decoder::new(std::fs::File::open(file).expect("it opens")).expect("it is zstd");
    let mut countries: HashMap<String, String> = HashMap::new();
    let mut sales: BTreeMap<(String, String), Sum> = BTreeMap::new();
    for row in csv::Reader::from_reader(rows).records() {
        let row = row.expect("it is a row");
        let country = countries.entry(row[0].to_owned()).or_insert_with(|| row[7].to_owned()).clone();
        let quantity: i64 = row[3].parse().expect("a number");
        let sum = sales.entry((country, row[4][..10].to_owned())).or_default();
        *sum = (sum.0 + 1, sum.1 + quantity, sum.2 + quantity * thousandths(&row[5]));
    }
    sales
}

fn rows(directory: &Directory, url: &str, arguments: &[&str]) -> Vec<Json> {
    let output = run(directory, ["view", "query", "--url", url, "--json"].iter().chain(arguments));
    check_code(&output, 0);
    json_lines(&stdout(&output))
}

fn sum(row: &Json) -> Sum {
    let number = |name: &str| row[name].as_i64().expect("a number");
    (number("lines").unsigned_abs(), number("pieces"), thousandths(row["total"].as_str().expect("a decimal")))
}

#[test]
fn views_of_the_whole_file_come_to_the_same_totals() {
    let Some(file) = file() else { return };
    let file = file.to_str().expect("the path is UTF-8");
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &["--retail", file]);
    std::thread::sleep(Duration::from_secs(5));
    shop.kill();
    let mut shop = Shop::start(&directory, &["--retail", file]);
    let played = shop.next_line();
    let mut expected: BTreeMap<String, Sum> = BTreeMap::new();
    let days = folded(file);
    for ((country, _), (lines, pieces, total)) in &days {
        let sum = expected.entry(country.clone()).or_default();
        *sum = (sum.0 + lines, sum.1 + pieces, sum.2 + total);
    }
    let found: BTreeMap<String, Sum> = rows(&directory, &shop.url, &["sales", "by-country"])
        .iter()
        .map(|row| (row["country"].as_str().expect("a text").to_owned(), sum(row)))
        .collect();
    assert_eq!(found, expected);
    let malta: Vec<(String, Sum)> = rows(&directory, &shop.url, &["sales", "days", "country=Malta"])
        .iter()
        .map(|row| (row["day"].as_str().expect("a text").to_owned(), sum(row)))
        .collect();
    let of_malta = days.into_iter().filter(|((country, _), _)| country == "Malta").map(|((_, day), sum)| (day, sum));
    assert_eq!(malta, of_malta.collect::<Vec<_>>());
    assert_eq!(rows(&directory, &shop.url, &["sales", "total"]), [played["totals"]["total"].clone()]);
    assert_eq!(rows(&directory, &shop.url, &["orders", "open"]).len(), 50);
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
        stdout(&list).starts_with("VIEW      STATE  BEHIND  QUERIES\norders    live        0  open of-customer\n"),
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
