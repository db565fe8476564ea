//! Schedules: when a timer is due that fires again and again.
//!
//! A cron line is read as the wall clock of a time zone has it, so that nine o'clock stays nine o'clock when clocks are put forward or back: a
//! time that a day leaves out comes as soon as the clock goes on, one that a day has twice comes once (a line that says every hour or every
//! minute goes by what passes). Zones are those of the IANA database that is built in: the machine's own is not asked.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::request::{TimerError, TimerSchedule};
use crate::limits::TIMER_EVERY_MIN;

impl TimerSchedule {
    /// Whether it holds together.
    pub(super) fn check(&self) -> Result<(), TimerError> {
        let unfit = |problem: String| TimerError::Unfit { what: "schedule", problem };
        match self {
            Self::Every(period) if *period < TIMER_EVERY_MIN => {
                Err(unfit(format!("comes every {} seconds; at least {} are needed", period.as_secs_f64(), TIMER_EVERY_MIN.as_secs())))
            }
            Self::Every(_) => Ok(()),
            Self::Cron { line, zone } => {
                zone_of(zone).map_err(unfit)?;
                parsed(line).map(drop).map_err(unfit)
            }
        }
    }

    /// The first time behind `due`, one that was due, and `now`: what was missed is missed. `None` when there is none any more.
    pub(super) fn next(&self, due: i64, now: i64) -> Option<i64> {
        match self {
            Self::Every(period) => {
                let period = i64::try_from(period.as_micros()).ok().filter(|period| *period > 0)?;
                let missed = now.saturating_sub(due).max(0) / period;
                due.checked_add(period.checked_mul(missed.checked_add(1)?)?)
            }
            Self::Cron { line, zone } => {
                let after = Timestamp::from_microsecond(due.max(now)).ok()?;
                let after = Zoned::new(after, zone_of(zone).ok()?);
                let next = parsed(line).ok()?.find_next_occurrence(&after, false).ok()?;
                Some(next.timestamp().as_microsecond())
            }
        }
    }

    /// The first time of one that is set now.
    pub(super) fn first(&self, now: i64) -> Option<i64> {
        self.next(now, now)
    }
}

/// Five fields, or six with seconds in front.
fn parsed(line: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    parser.parse(line).map_err(|error| format!("has the cron line `{line}`, which is none ({error}); write it like `30 9 * * MON-FRI`"))
}

fn zone_of(zone: &str) -> Result<TimeZone, String> {
    TimeZone::get(zone)
        .map_err(|_| format!("has the time zone `{zone}`, which is none; name one of the IANA database, such as Europe/Berlin"))
}

/// As a duration is kept.
pub(super) fn micros(period: Duration) -> i64 {
    i64::try_from(period.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

    use super::*;

    fn cron(line: &str, zone: &str) -> TimerSchedule {
        TimerSchedule::Cron { line: line.to_owned(), zone: zone.to_owned() }
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    /// The next times behind a moment, in UTC.
    fn times(schedule: &TimerSchedule, from: &str, count: usize) -> Vec<String> {
        let next = |due: &i64| schedule.next(*due, *due);
        let times = std::iter::successors(schedule.first(at(from)), next).take(count);
        times.map(|micros| Timestamp::from_microsecond(micros).unwrap().to_string()).collect()
    }

    #[test]
    fn nine_o_clock_stays_nine_o_clock_when_clocks_are_put_forward_and_back() {
        let daily = cron("0 9 * * *", "Europe/Berlin");
        let spring = times(&daily, "2026-03-27T12:00:00Z", 3);
        assert_eq!(spring, ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"]);
        let autumn = times(&daily, "2026-10-23T12:00:00Z", 3);
        assert_eq!(autumn, ["2026-10-24T07:00:00Z", "2026-10-25T08:00:00Z", "2026-10-26T08:00:00Z"]);
    }

    #[test]
    fn a_time_that_a_day_leaves_out_comes_once_and_so_does_one_that_it_has_twice() {
        let nightly = cron("30 2 * * *", "Europe/Berlin");
        let spring = times(&nightly, "2026-03-28T02:00:00Z", 2);
        assert_eq!(spring, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"], "there is no half past two: as the clock goes on, at three");
        let autumn = times(&nightly, "2026-10-24T12:00:00Z", 2);
        assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    }

    #[test]
    fn every_half_hour_goes_by_what_passes() {
        let often = cron("*/30 * * * *", "Europe/Berlin");
        let spring = times(&often, "2026-03-29T00:20:00Z", 3);
        assert_eq!(spring, ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
        let autumn = times(&often, "2026-10-25T00:20:00Z", 4);
        assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"]);
    }

    #[test]
    fn what_was_missed_is_missed_and_the_beat_stays() {
        let hourly = TimerSchedule::Every(Duration::from_secs(3_600));
        let (due, hour) = (at("2026-01-01T00:15:00Z"), 3_600_000_000);
        assert_eq!(hourly.next(due, due), Some(due + hour));
        assert_eq!(hourly.next(due, due + 5 * hour + 1), Some(due + 6 * hour));
        assert_eq!(hourly.next(due, due + 5 * hour), Some(due + 6 * hour), "a time is not its own next one");
        assert_eq!(hourly.next(due, due - 7 * hour), Some(due + hour), "a clock that was set back brings none again");
        assert_eq!(cron("0 * * * *", "UTC").next(due, due - 7 * hour), Some(at("2026-01-01T01:00:00Z")));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for schedule in [
            cron("0 9 * *", "UTC"),
            cron("0 25 * * *", "UTC"),
            cron("0 0 9 * * * 2030", "UTC"),
            cron("0 9 * * *", "Mars/Olympus"),
            TimerSchedule::Every(Duration::from_millis(999)),
        ] {
            assert!(schedule.check().is_err(), "{schedule:?}");
        }
        for schedule in [cron("0 9 * * MON-FRI", "America/New_York"), cron("15 0 9 L * *", "UTC"), TimerSchedule::Every(TIMER_EVERY_MIN)] {
            assert!(schedule.check().is_ok(), "{schedule:?}");
        }
        assert_eq!(cron("0 0 30 2 *", "UTC").first(0), None, "a day that never comes");
    }
}
