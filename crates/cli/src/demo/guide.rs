//! What the demo tells at its end: the totals it read back, and where to look next.

use headwater::{Failure, output};
use serde_json::Value as Json;

use super::totals::Totals;
use crate::shop::board;

/// The totals, as data.
pub(super) fn print_totals(totals: &Totals) -> Result<(), Failure> {
    let rows = [
        ("orders", totals.invoices.to_string()),
        ("lines", totals.lines.to_string()),
        ("customers", totals.customers().to_string()),
        ("total", totals.total.to_string()),
        ("events", totals.events.to_string()),
    ];
    rows.iter().try_for_each(|(name, value)| output::data(format!("{name:<10} {value:>14}")))
}

/// What sold best, as data.
pub(super) fn print_products(products: &[Json]) -> Result<(), Failure> {
    let text = |product: &Json, name: &str| product[name].as_str().unwrap_or_default().to_owned();
    products.iter().try_for_each(|product| {
        let description: String = text(product, "description").chars().take(36).collect();
        output::data(format!("{:<10} {:>14}  {:>7} x {description}", text(product, "sku"), text(product, "total"), product["pieces"]))
    })
}

/// The page to open while it plays.
pub(super) fn where_to_watch(url: &str) {
    output::talk(format!("the order board, live in a browser: {url}{}", board::PATH));
}

/// Lines to copy into another terminal, some of them for a shop that is not alone. `--url` is left out where it is the default.
pub(super) fn where_to_look(url: &str, order: Option<&str>, is_alone: bool, ends_now: bool) {
    if ends_now {
        output::talk(format!("the data stays: run {} demo --empty to look around in it", program()));
        return;
    }
    let (order, program) = (order.unwrap_or("o1"), program());
    let elsewhere = if url.ends_with(":7430") { String::new() } else { format!(" --url {url}") };
    let mut lines = vec![
        String::new(),
        "Look around from another terminal:".to_owned(),
        format!("  {program}{elsewhere} entity show order {order}"),
        format!("  {program}{elsewhere} entity show order {order} --sequence 1"),
        format!("  {program}{elsewhere} send cart my-cart add-item '{{\"sku\":\"mug-blue\",\"quantity\":2}}'"),
        format!("  {program}{elsewhere} events tail"),
        format!("  {program}{elsewhere} view query orders open"),
        format!("  curl -N -H 'accept: text/event-stream' {url}/v1/views/products/top"),
        format!("  curl {url}/v1/entities/order/{order}/events"),
        format!("  curl '{url}/v1/streams/shop?limit=3'"),
        format!("  curl {url}/openapi.json"),
    ];
    if !is_alone {
        lines.push(format!("  {program}{elsewhere} workflow list shipping"));
        lines.push(format!("  {program}{elsewhere} workflow timeline shipping day-0001"));
    }
    lines.push("Ctrl-C stops; the data stays.".to_owned());
    lines.iter().for_each(output::talk);
}

/// This program as it was called, so that the lines work where it was.
pub(super) fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "headwater".to_owned())
}
