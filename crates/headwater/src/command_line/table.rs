//! Tables for people: columns under their names.

use serde_json::Value as Json;

use crate::failure::Failure;
use crate::limits::CELL_LETTERS_MAX;
use crate::output;

/// A JSON value as people read it.
pub(super) fn cell(value: &Json) -> String {
    value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}

/// Columns under their names, numbers to the right.
pub(super) fn table(names: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    let shown = |text: &str| -> String {
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(CELL_LETTERS_MAX).collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|text| shown(text)).collect()).collect();
    let width =
        |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|text| text.chars().count()).chain([names[at].chars().count()]).max();
    let widths: Vec<usize> = (0..names.len()).filter_map(width).collect();
    let is_number = |text: &String| text.is_empty() || text.parse::<f64>().is_ok();
    let right: Vec<bool> =
        (0..names.len()).map(|at| !rows.is_empty() && rows.iter().filter_map(|row| row.get(at)).all(is_number)).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.enumerate().map(|(at, text)| match (widths.get(at), right.get(at)) {
            (Some(width), Some(true)) => format!("{text:>width$}"),
            (Some(width), _) => format!("{text:width$}"),
            (None, _) => text.to_owned(),
        });
        output::data(cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    line(&mut names.iter().copied())?;
    rows.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
}
