//! Figures as they are printed: a table a case for people, an object a line for programs.

use std::io::{self, Write as _};

use crate::Outcome;
use crate::figure::Figure;

const HEAD: [&str; 10] = ["case and side", "figure", "unit", "rounds from, to", "p50 us", "p99 us", "B/event", "sectors", "ratio", "bar"];

/// Prints figures, and remembers whether one missed its bar.
pub(crate) struct Reporter {
    as_json: bool,
    missed: bool,
}

impl Reporter {
    pub(crate) fn new(as_json: bool) -> Self {
        Self { as_json, missed: false }
    }

    pub(crate) fn all_met(&self) -> bool {
        !self.missed
    }

    /// Tells the figures of a case.
    pub(crate) fn tell(&mut self, figures: &[Figure]) -> Outcome<()> {
        self.missed |= figures.iter().any(|figure| figure.met == Some(false));
        let text = if self.as_json { lines(figures)? } else { table(figures) };
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }
}

fn lines(figures: &[Figure]) -> Outcome<String> {
    let mut text = String::new();
    for figure in figures {
        text.push_str(&serde_json::to_string(figure)?);
        text.push('\n');
    }
    Ok(text)
}

fn table(figures: &[Figure]) -> String {
    let rows: Vec<[String; 10]> = std::iter::once(HEAD.map(str::to_owned)).chain(figures.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text.push('\n');
    text
}

fn row(figure: &Figure) -> [String; 10] {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), plain);
    let range = figure.min.zip(figure.max).map_or_else(|| "-".to_owned(), |(min, max)| format!("{}, {}", plain(min), plain(max)));
    let verdict = match figure.met {
        Some(true) => ": met",
        Some(false) => ": MISSED",
        None => "",
    };
    [
        figure.case.clone(),
        plain(figure.value),
        figure.unit.to_owned(),
        range,
        number(figure.p50_us),
        number(figure.p99_us),
        number(figure.bytes_per_event),
        number(figure.sector_bytes_per_event),
        number(figure.ratio),
        number(figure.bar) + verdict,
    ]
}

/// As many digits as a measurement has, in groups of three.
fn plain(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::{Reporter, plain};
    use crate::figure::Figure;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0.354, 99.0, 100.4, 1234.0, 1_234_567.0].map(plain), ["0.35", "99.00", "100", "1 234", "1 234 567"]);
    }

    #[test]
    fn a_missed_bar_is_remembered() {
        let mut reporter = Reporter::new(true);
        let figure = |met| Figure { met, ..Figure::default() };
        reporter.tell(&[figure(None), figure(Some(true))]).expect("standard output takes a line");
        assert!(reporter.all_met());
        reporter.tell(&[figure(Some(false)), figure(Some(true))]).expect("standard output takes a line");
        assert!(!reporter.all_met());
    }
}
