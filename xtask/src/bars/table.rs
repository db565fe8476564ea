//! Figures as a table for people.

use std::fmt::Write as _;

use serde_json::Value as Json;

const COLUMNS: [(&str, &str); 11] = [
    ("case", "case"),
    ("figure", "value"),
    ("unit", "unit"),
    ("p50 us", "p50_us"),
    ("p99 us", "p99_us"),
    ("p99.9 us", "p999_us"),
    ("probe", "probe"),
    ("unit", "probe_unit"),
    ("ratio", "ratio"),
    ("bar", "bar"),
    ("met", "met"),
];

/// One row a figure, columns aligned; what a figure does not have is a dash.
pub(super) fn draw(figures: &[Json]) -> String {
    let mut rows = vec![COLUMNS.map(|(title, _)| title.to_owned())];
    rows.extend(figures.iter().map(|figure| COLUMNS.map(|(_, member)| cell(&figure[member]))));
    let widths: Vec<usize> =
        (0..COLUMNS.len()).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut drawn = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(drawn, "{}", cells.join("  ").trim_end()).expect("a string takes every write");
    }
    drawn
}

fn cell(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        Json::Bool(true) => "yes".to_owned(),
        Json::Bool(false) => "NO".to_owned(),
        Json::Number(number) => number.as_f64().map_or_else(|| number.to_string(), plain),
        other => other.to_string(),
    }
}

/// Three digits that count, no more than a measurement has.
fn plain(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::draw;

    #[test]
    fn figure_and_bar_stand_in_one_row() {
        let figures = [
            json!({ "case": "journal 64x1", "value": 350_123.4, "unit": "events/s", "p50_us": 175, "p99_us": 245.25, "probe": 28_000, "probe_unit": "writes/s", "ratio": 12.5, "bar": 7.5, "met": true }),
            json!({ "case": "idle", "value": 12, "unit": "MB", "bar": 10, "met": false }),
        ];
        let expected = "\
case          figure  unit      p50 us  p99 us  p99.9 us  probe  unit      ratio  bar   met
journal 64x1  350123  events/s  175     245     -         28000  writes/s  12.5   7.50  yes
idle          12.0    MB        -       -       -         -      -         -      10.0  NO
";
        assert_eq!(draw(&figures), expected);
    }
}
