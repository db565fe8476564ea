//! Texts: where in a statement something is wrong, and when something happened.

use std::fmt::{self, Write as _};

use journal::Timestamp;

/// Columns of a statement's line that are shown, at most; what is wrong stays in sight.
const SHOWN_MAX: usize = 100;

/// The line of a statement that an offset points into, with a caret under it.
pub(crate) fn pointed(sql: &str, offset: usize) -> String {
    let offset = (0..=offset.min(sql.len())).rev().find(|at| sql.is_char_boundary(*at)).unwrap_or(0);
    let begin = sql[..offset].rfind('\n').map_or(0, |at| at + 1);
    let end = sql[offset..].find('\n').map_or(sql.len(), |at| offset + at);
    let before: Vec<char> = sql[begin..offset].chars().collect();
    let cut = before.len().saturating_sub(SHOWN_MAX * 2 / 3);
    let shown: String = sql[begin..end].chars().skip(cut).take(SHOWN_MAX).map(|letter| if letter == '\t' { ' ' } else { letter }).collect();
    format!("{shown}\n{}^", " ".repeat(before.len() - cut))
}

/// Such as `2026-11-21T08:15:30.000001Z`: sorts as it is, and SQLite's date functions read it.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let mut text = String::with_capacity(27);
    write_rfc3339(&mut text, time).expect("a text in memory takes every write");
    text
}

/// The same, behind what is there.
pub(crate) fn write_rfc3339(out: &mut String, time: Timestamp) -> fmt::Result {
    let micros = time.as_micros();
    let (days, of_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (year, month, day) = civil(days);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// Year, month and day of so many days since 1970: `civil_from_days` of Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_calendars_do() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_000_000_000_001, "2026-11-18T11:06:40.000001Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_micros(micros)), text);
        }
    }

    #[test]
    fn a_caret_stands_under_its_place() {
        assert_eq!(pointed("SELECT skuu FROM item", 7), "SELECT skuu FROM item\n       ^");
        assert_eq!(pointed("SELECT 1,\n\tskuu FROM item", 11), " skuu FROM item\n ^");
        assert_eq!(pointed("SELECT 'ä', b", 13), "SELECT 'ä', b\n            ^");
        let long = format!("SELECT '{}', skuu", "x".repeat(300));
        assert!(pointed(&long, 311).ends_with(&format!("\n{}^", " ".repeat(66))));
    }
}
