//! How old and since when, as people say it. The service tells times; ages are told by the clock of whoever reads them.

use jiff::Timestamp as Calendar;
use journal::Timestamp;
use journal::seams::{Clock as _, SystemClock};
use serde_json::Value as Json;

use crate::failure::Failure;
use crate::output;

pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

/// How long ago a time was that the service tells; `None` when it tells none.
pub(super) fn age(time: &Json, now: Timestamp) -> Option<String> {
    let time: Calendar = time.as_str()?.parse().ok()?;
    let seconds = now.as_micros().saturating_sub(time.as_microsecond()).max(0) / 1_000_000;
    Some(match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    })
}

/// How long something has stalled, and why.
pub(super) fn stalled(item: &Json, now: Timestamp) -> Option<(String, &str)> {
    let stalled = &item["stalled"];
    Some((age(&stalled["since"], now)?, stalled["cause"].as_str().unwrap_or_default()))
}

/// A line of its own for what has stalled: the cause says what helps, and a table has no room for it.
pub(super) fn print_stall(what: &str, item: &Json, now: Timestamp) -> Result<(), Failure> {
    match stalled(item, now) {
        Some((time, cause)) => output::data(format!("{what} has stalled for {time}: {cause}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ages_are_told_in_one_unit() {
        let check = |seconds: i64, expected: &str| {
            let now = Timestamp::from_micros(seconds * 1_000_000 + 999_999);
            assert_eq!(age(&json!("1970-01-01T00:00:00.000000Z"), now).as_deref(), Some(expected));
        };
        check(0, "0 s");
        check(119, "119 s");
        check(120, "2 min");
        check(7_199, "119 min");
        check(7_200, "2 h");
        check(172_800, "2 days");
        check(-60, "0 s");
        assert_eq!(age(&Json::Null, now()), None);
    }

    #[test]
    fn a_stall_is_told_with_its_time_and_its_cause() {
        let item = json!({ "stalled": { "since": "1970-01-01T00:00:00Z", "cause": "its place is lost" } });
        let now = Timestamp::from_micros(180_000_000);
        assert_eq!(stalled(&item, now), Some(("3 min".to_owned(), "its place is lost")));
        assert_eq!(stalled(&json!({ "stalled": null }), now), None);
    }
}
