//! How much of its history an entity type keeps.

use std::time::Duration;

/// Which events of each entity stay, whatever else is known of it: those that are young enough, or among its last ones. Older ones may go,
/// once a baseline says what they came to. Without one of these an entity type keeps everything, for ever.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// // What is younger than 90 days, and the last hundred events of each entity however old they are.
/// let keep = Keep::for_days(90).and_last(100);
/// assert_eq!(keep.to_string(), "90 days, and the last 100 events");
/// assert_eq!(Keep::last(1_000).to_string(), "the last 1000 events");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    time: Option<Duration>,
    last: u64,
}

impl Keep {
    /// Events of the last so many days.
    #[must_use]
    pub const fn for_days(days: u32) -> Self {
        Self::for_time(Duration::from_secs(days as u64 * 86_400))
    }

    /// Events that are younger than this.
    #[must_use]
    pub const fn for_time(time: Duration) -> Self {
        Self { time: Some(time), last: 0 }
    }

    /// The last so many events of each entity.
    #[must_use]
    pub const fn last(events: u64) -> Self {
        Self { time: None, last: events }
    }

    /// And the last so many events of each entity, however old they are.
    #[must_use]
    pub const fn and_last(mut self, events: u64) -> Self {
        self.last = events;
        self
    }

    /// How young an event must be to stay for its age; `None` when no age keeps it.
    #[must_use]
    pub const fn time(&self) -> Option<Duration> {
        self.time
    }

    /// How many of an entity's last events stay.
    #[must_use]
    pub const fn last_events(&self) -> u64 {
        self.last
    }
}

impl std::fmt::Display for Keep {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = self.last;
        match self.time.map(|time| time.as_secs()) {
            None => return write!(formatter, "the last {last} events"),
            Some(seconds) if seconds > 0 && seconds % 86_400 == 0 => write!(formatter, "{} days", seconds / 86_400)?,
            Some(seconds) => write!(formatter, "{seconds} s")?,
        }
        if last > 0 { write!(formatter, ", and the last {last} events") } else { Ok(()) }
    }
}
