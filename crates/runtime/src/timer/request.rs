//! What the doors may ask of timers, and what they get.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use component::hosted::Refusal;
use journal::{Context, Cursor, Timestamp};
use serde_json::{Value as Json, json};

use super::schedule::micros;
use crate::request::CommandError;
use crate::view::QueryError;

/// Which timer: its name is unique within the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerName {
    /// The tenant.
    pub tenant: String,
    /// The name: 1 to 256 bytes of UTF-8 without control characters.
    pub name: String,
}

/// When a timer is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerWhen {
    /// Once, at this time; at once when it is over.
    At(Timestamp),
    /// Once, so long after the wish was taken.
    After(Duration),
    /// Again and again.
    Schedule(TimerSchedule),
}

/// When a timer is due that fires again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerSchedule {
    /// After this time, and each time that it has passed again.
    Every(Duration),
    /// By the wall clock of a time zone.
    Cron {
        /// Five fields, minute to weekday, or six with the second in front.
        line: String,
        /// A zone of the IANA database, such as `Europe/Berlin`.
        zone: String,
    },
}

impl TimerWhen {
    /// The first time that it is due.
    pub(super) fn due(&self, now: Timestamp) -> Result<Timestamp, TimerError> {
        match self {
            Self::At(time) => Ok(*time),
            Self::After(time) => Ok(Timestamp::from_micros(now.as_micros().saturating_add(micros(*time)))),
            Self::Schedule(schedule) => {
                schedule.check()?;
                let never = || TimerError::Unfit { what: "schedule", problem: "never comes".to_owned() };
                schedule.first(now.as_micros()).map(Timestamp::from_micros).ok_or_else(never)
            }
        }
    }

    pub(super) fn schedule(&self) -> Option<TimerSchedule> {
        match self {
            Self::At(_) | Self::After(_) => None,
            Self::Schedule(schedule) => Some(schedule.clone()),
        }
    }

    /// As the wish says it: what tells another one under the same id.
    pub(super) fn said(&self) -> Json {
        match self {
            Self::At(time) => json!({ "at": time.as_micros() }),
            Self::After(time) => json!({ "after": micros(*time) }),
            Self::Schedule(TimerSchedule::Every(period)) => json!({ "every": micros(*period) }),
            Self::Schedule(TimerSchedule::Cron { line, zone }) => json!({ "cron": line, "zone": zone }),
        }
    }
}

/// The command that a timer sends when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerTarget {
    /// The entity's type.
    pub kind: String,
    /// The entity's id.
    pub id: String,
    /// The command's name.
    pub command: String,
    /// Its body: JSON.
    pub body: Bytes,
}

/// A timer to set.
#[derive(Clone, Debug)]
pub struct SetTimer {
    /// Which.
    pub name: TimerName,
    /// When it is due.
    pub when: TimerWhen,
    /// What it sends.
    pub target: TimerTarget,
    /// The client's id for this wish: the same wish again changes nothing, also when the timer has fired meanwhile.
    pub id: Option<String>,
    /// Who and why.
    pub context: Context,
}

/// A timer that is there and is to be changed.
#[derive(Clone, Debug)]
pub struct ChangeTimer {
    /// Which.
    pub name: TimerName,
    /// The client's id for this wish.
    pub id: Option<String>,
    /// Who and why.
    pub context: Context,
}

/// How a timer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerState {
    /// It waits for its time.
    Pending,
    /// It could not be fired, and waits for a person.
    Parked {
        /// Why.
        cause: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// It has fired, for good.
    Fired,
    /// It was cancelled.
    Cancelled,
}

impl TimerState {
    /// In a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Parked { .. } => "parked",
            Self::Fired => "fired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The last firing of a timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerFiring {
    /// When it was due.
    pub due: Timestamp,
    /// The rule's code, when it rejected the command.
    pub rejected: Option<String>,
}

/// A timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerSight {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: TimerState,
    /// When it is due, or was at last.
    pub due: Timestamp,
    /// When it is due again and again.
    pub schedule: Option<TimerSchedule>,
    /// What it sends.
    pub target: TimerTarget,
    /// When it was set.
    pub set_at: Timestamp,
    /// Its version: the number of its last event.
    pub sequence: u64,
    /// How it fired at last since it was set.
    pub last: Option<TimerFiring>,
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerChange {
    /// Whether the wish is why the timer is as it is: false when it was so before, or when it came too late.
    pub changed: bool,
    /// The timer as it is now.
    pub timer: TimerSight,
    /// A place that has seen it; of a change.
    pub cursor: Option<Cursor>,
}

/// Which timers are listed: those that wait, and those that are parked, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimerSelection {
    /// The tenant.
    pub tenant: String,
    /// Only names that begin so.
    pub prefix: String,
    /// Only those behind this name.
    pub after: String,
    /// Only those that are due then or later.
    pub from: Option<Timestamp>,
    /// Only those that are due earlier.
    pub until: Option<Timestamp>,
    /// Only those to entities of this type.
    pub kind: Option<String>,
    /// Only those to entities of this id.
    pub id: Option<String>,
    /// Only those in this state: `pending` or `parked`.
    pub state: Option<String>,
    /// As many, at most.
    pub limit: u32,
    /// A place that the list must have seen.
    pub seen: Option<Cursor>,
}

/// A timer in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerItem {
    /// Its name.
    pub name: String,
    /// `pending` or `parked`.
    pub state: String,
    /// When it is due, or was.
    pub due: Timestamp,
    /// The type of the entity that it sends to.
    pub kind: String,
    /// The entity's id.
    pub id: String,
    /// The command's name.
    pub command: String,
    /// Why it is parked.
    pub cause: Option<String>,
}

/// How timers stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimersStatus {
    /// Those that wait for their time.
    pub pending: u64,
    /// Those that wait for a person.
    pub parked: u64,
    /// Those that are being fired.
    pub firing: usize,
    /// Those that failed and are tried again soon.
    pub resting: usize,
    /// Why none are fired now; `None` while all is well.
    pub trouble: Option<String>,
}

/// Why a wish about a timer was not granted.
#[derive(Clone, Debug)]
pub enum TimerError {
    /// The name breaks its rule.
    Name {
        /// What is wrong.
        problem: String,
    },
    /// The time or the target's id does not fit.
    Unfit {
        /// Where: `due`, `schedule` or `target`.
        what: &'static str,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// There is no timer of this name.
    NotFound {
        /// The name.
        name: String,
    },
    /// The timer is not in a state in which this can be done.
    NotNow {
        /// The name.
        name: String,
        /// How it is, in a word.
        state: &'static str,
        /// In which state it would have to be.
        wanted: &'static str,
    },
    /// The target does not take such a command, or it was not recorded.
    Command(CommandError),
    /// The list cannot be read.
    Query(QueryError),
}

impl fmt::Display for TimerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { problem } => write!(formatter, "the timer's name {problem}"),
            Self::Unfit { what, problem } => write!(formatter, "the timer's {what} {problem}"),
            Self::NotFound { name } => write!(formatter, "no timer `{name}` was ever set"),
            Self::NotNow { name, state, wanted } => {
                write!(formatter, "the timer `{name}` is {state}, and this is for one that is {wanted}; set it anew")
            }
            Self::Command(error) => error.fmt(formatter),
            Self::Query(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for TimerError {}

impl From<CommandError> for TimerError {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl From<Refusal> for TimerError {
    fn from(refusal: Refusal) -> Self {
        Self::Command(CommandError::Refused(refusal))
    }
}
