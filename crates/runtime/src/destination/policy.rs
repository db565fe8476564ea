//! How much of the service's calls a destination gets.

use std::time::Duration;

/// How a destination is treated. The default is for those that a service does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationPolicy {
    /// How long an answer may take, when the call does not say.
    pub timeout: Duration,
    /// Calls at once, at most. Others wait for their turn, a few seconds at most.
    pub calls_at_once_max: usize,
    /// Calls a second, at most; as many may come at once after a rest.
    pub calls_per_second: Option<u32>,
    /// The breaker opens when this part of the calls within `window` has failed: no answer, or 408, 425, 429, 5xx.
    pub failure_percent: u32,
    /// Calls that must have ended within `window` before a part of them says anything.
    pub calls_min: u32,
    /// How far back the breaker looks.
    pub window: Duration,
    /// It opens after so many failures one after the other as well, however few calls there are.
    pub failures_in_row_max: u32,
    /// A call that takes longer counts as failed for the breaker, though its answer is taken. Only timeouts do unless this is said.
    pub slow_after: Option<Duration>,
    /// How long the breaker stays open the first time; each further time in a row doubles it.
    pub open_min: Duration,
    /// The longest that it stays open.
    pub open_max: Duration,
    /// Calls of runs that have failed before, as a part of all others, at most; a few a second are always let through.
    pub retry_percent: u32,
}

impl Default for DestinationPolicy {
    /// Ten seconds an answer, 64 calls at once; open when half of ten or more calls within 30 seconds have failed, or five in a row, for five
    /// seconds up to a minute; a fifth may be retries.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            calls_at_once_max: 64,
            calls_per_second: None,
            failure_percent: 50,
            calls_min: 10,
            window: Duration::from_secs(30),
            failures_in_row_max: 5,
            slow_after: None,
            open_min: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
            retry_percent: 20,
        }
    }
}

impl DestinationPolicy {
    /// What in it would let nothing through, or mean nothing.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let zero = [
            (self.timeout.is_zero(), "timeout"),
            (self.calls_at_once_max == 0, "calls_at_once_max"),
            (self.calls_per_second == Some(0), "calls_per_second"),
            (self.failure_percent == 0, "failure_percent"),
            (self.calls_min == 0, "calls_min"),
            (self.window.is_zero(), "window"),
            (self.failures_in_row_max == 0, "failures_in_row_max"),
            (self.slow_after == Some(Duration::ZERO), "slow_after"),
            (self.open_min.is_zero(), "open_min"),
        ];
        zero.into_iter().find(|(is_zero, _)| *is_zero).map(|(_, name)| name)
    }
}
