//! The gate of one destination: whether a call passes, waits or is refused. It does no I/O, and is told the time.

use std::fmt;
use std::time::Duration;

use super::breaker::{Breaker, Pass, State};
use super::bucket::Bucket;
use super::policy::DestinationPolicy;
use super::turns::Turns;
use crate::limits::{FAILURE_CAUSE_BYTES_MAX, RETRIES_AT_ONCE_MAX, RETRIES_PER_SECOND_MIN, RETRY_AFTER_MAX};

/// Whether calls to a destination pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationState {
    /// They do.
    Closed,
    /// They do not: too many have failed.
    Open,
    /// A few do, to see how it goes.
    HalfOpen,
    /// They do not: it has asked to be left alone.
    Resting,
}

impl fmt::Display for DestinationState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Resting => "resting",
        })
    }
}

/// What a call is told that asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It passes.
    Go(Ticket),
    /// It waits until one of those under way has ended, or so long.
    Wait(Option<Duration>),
    /// It is not made now.
    Refused { why: &'static str, wait: Duration },
}

/// What a call that has passed gives back at its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pass: Pass,
    began: Duration,
}

/// How a call ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// With an answer that tells of no trouble.
    Answered,
    /// Without, or with one that does.
    Failed { cause: String },
    /// It was given up, or could not be made.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Gate {
    policy: DestinationPolicy,
    breaker: Breaker,
    rate: Option<Bucket>,
    retries: Bucket,
    /// Of retries beyond the budget.
    retry_turns: Turns,
    /// Of calls that would not wait any longer.
    turns: Turns,
    /// It has asked to be left alone: since when, and until when.
    rest: (Duration, Duration),
    in_flight: usize,
    last_call: Duration,
    not_tried: u64,
    cause: Option<String>,
}

impl Gate {
    pub(super) fn new(policy: DestinationPolicy) -> Self {
        Self {
            policy,
            breaker: Breaker::new(policy),
            rate: policy.calls_per_second.map(|rate| Bucket::new(rate, rate)),
            retries: Bucket::new(RETRIES_PER_SECOND_MIN, RETRIES_AT_ONCE_MAX),
            retry_turns: Turns::new(Duration::from_secs(1) / RETRIES_PER_SECOND_MIN),
            turns: Turns::new(turn(&policy)),
            rest: (Duration::ZERO, Duration::ZERO),
            in_flight: 0,
            last_call: Duration::ZERO,
            not_tried: 0,
            cause: None,
        }
    }

    /// A call asks. Nothing is taken from it before it passes.
    pub(super) fn ask(&mut self, now: Duration, is_retry: bool) -> Told {
        let rest = self.rest.1.saturating_sub(now);
        if !rest.is_zero() {
            return self.refuse("it has asked to be left alone", rest);
        }
        let open = self.breaker.wait(now);
        if !open.is_zero() {
            return self.refuse("too many of its last calls failed", open);
        }
        let budget = if is_retry { self.retries.wait(now) } else { Duration::ZERO };
        if !budget.is_zero() {
            let wait = self.retry_turns.wait(now);
            return self.refuse("enough of its calls are retries", wait);
        }
        if self.in_flight >= self.policy.calls_at_once_max {
            return Told::Wait(None);
        }
        if let Some(rate) = &mut self.rate {
            let wait = rate.wait(now);
            if !wait.is_zero() {
                return Told::Wait(Some(wait));
            }
            rate.take();
        }
        Told::Go(self.go(now, is_retry))
    }

    /// Gives a ticket back. `asks_for_rest` is how long the destination wants to be left alone. Gives how long it is left alone now,
    /// unless the trouble is the call's own: others have succeeded in the same half open time.
    pub(super) fn end(&mut self, now: Duration, ticket: Ticket, ending: Ending, asks_for_rest: Option<Duration>) -> Option<Duration> {
        self.in_flight -= 1;
        let is_slow = self.policy.slow_after.is_some_and(|slow| now.saturating_sub(ticket.began) > slow);
        let failed = match ending {
            Ending::Unknown => None,
            Ending::Answered if is_slow => self.fail(format!("the answer took {} seconds", now.saturating_sub(ticket.began).as_secs_f64())),
            Ending::Answered => Some(false),
            Ending::Failed { cause } => self.fail(cause),
        };
        let is_own = asks_for_rest.is_none() && self.breaker.has_served_others(ticket.pass);
        self.breaker.end(now, ticket.pass, failed);
        if let Some(rest) = asks_for_rest {
            let until = now + rest.min(RETRY_AFTER_MAX);
            let since = if self.rest.1 > now { self.rest.0 } else { now };
            self.rest = (since, self.rest.1.max(until));
        }
        Some(self.spared(now)).filter(|spared| !spared.is_zero() && !is_own)
    }

    /// A call that would not wait any longer was not tried. Gives how long it is left alone.
    pub(super) fn give_up(&mut self, now: Duration) -> Duration {
        self.not_tried += 1;
        self.turns.wait(now)
    }

    /// How long no call may pass.
    pub(super) fn spared(&mut self, now: Duration) -> Duration {
        self.rest.1.saturating_sub(now).max(self.breaker.wait(now))
    }

    pub(super) fn state(&mut self, now: Duration) -> DestinationState {
        match self.breaker.state(now) {
            _ if self.rest.1 > now => DestinationState::Resting,
            State::Closed => DestinationState::Closed,
            State::Open { until } if until > now => DestinationState::Open,
            State::Open { .. } | State::HalfOpen { .. } => DestinationState::HalfOpen,
        }
    }

    /// Since when it is spared.
    pub(super) fn since(&self, now: Duration) -> Option<Duration> {
        if self.rest.1 > now { Some(self.rest.0) } else { self.breaker.since() }
    }

    pub(super) fn sums(&mut self, now: Duration) -> (u64, u64) {
        self.breaker.sums(now)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn not_tried(&self) -> u64 {
        self.not_tried
    }

    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    pub(super) fn last_call(&self) -> Duration {
        self.last_call
    }

    pub(super) fn timeout(&self) -> Duration {
        self.policy.timeout
    }

    fn go(&mut self, now: Duration, is_retry: bool) -> Ticket {
        if is_retry {
            self.retries.take();
        } else {
            self.retries.put_percent(self.policy.retry_percent);
        }
        self.in_flight += 1;
        self.last_call = now;
        Ticket { pass: self.breaker.pass(), began: now }
    }

    fn refuse(&mut self, why: &'static str, wait: Duration) -> Told {
        self.not_tried += 1;
        Told::Refused { why, wait }
    }

    fn fail(&mut self, cause: String) -> Option<bool> {
        let end = cause.floor_char_boundary(FAILURE_CAUSE_BYTES_MAX);
        self.cause = Some(cause[..end].to_owned());
        Some(true)
    }
}

/// How far apart calls are that wait for one another: as the rate says, or as if each took its whole time.
fn turn(policy: &DestinationPolicy) -> Duration {
    match policy.calls_per_second {
        Some(rate) => Duration::from_secs(1) / rate.max(1),
        None => policy.timeout / u32::try_from(policy.calls_at_once_max).unwrap_or(u32::MAX).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[track_caller]
    fn go(gate: &mut Gate, now: Duration, is_retry: bool) -> Ticket {
        match gate.ask(now, is_retry) {
            Told::Go(ticket) => ticket,
            told => panic!("{told:?}"),
        }
    }

    #[track_caller]
    fn refused(gate: &mut Gate, now: Duration, is_retry: bool) -> Duration {
        match gate.ask(now, is_retry) {
            Told::Refused { wait, .. } => wait,
            told => panic!("{told:?}"),
        }
    }

    fn failed() -> Ending {
        Ending::Failed { cause: "broken".into() }
    }

    #[test]
    fn no_more_calls_are_under_way_than_the_policy_says() {
        let mut gate = Gate::new(DestinationPolicy { calls_at_once_max: 2, ..DestinationPolicy::default() });
        let (first, _second) = (go(&mut gate, at(0), false), go(&mut gate, at(0), false));
        assert_eq!(gate.ask(at(0), false), Told::Wait(None));
        gate.end(at(5), first, Ending::Answered, None);
        go(&mut gate, at(5), false);
        assert_eq!(gate.ask(at(5), false), Told::Wait(None));
    }

    #[test]
    fn no_more_calls_a_second_are_made_than_the_policy_says() {
        let mut gate = Gate::new(DestinationPolicy { calls_per_second: Some(2), ..DestinationPolicy::default() });
        go(&mut gate, at(0), false);
        go(&mut gate, at(0), false);
        assert_eq!(gate.ask(at(0), false), Told::Wait(Some(at(500))));
        go(&mut gate, at(500), false);
        assert_eq!(gate.ask(at(600), false), Told::Wait(Some(at(400))));
    }

    #[test]
    fn retries_are_a_share_of_the_calls_beyond_a_few() {
        let mut gate = Gate::new(DestinationPolicy { calls_at_once_max: 10_000, ..DestinationPolicy::default() });
        for _ in 0..RETRIES_AT_ONCE_MAX {
            go(&mut gate, at(0), true);
        }
        assert!(refused(&mut gate, at(0), true) >= Duration::from_secs(2), "it comes back later than it would have");
        for _ in 0..5 {
            go(&mut gate, at(0), false);
        }
        go(&mut gate, at(0), true);
        refused(&mut gate, at(0), true);
        for _ in 0..RETRIES_PER_SECOND_MIN {
            go(&mut gate, at(1_000), true);
        }
        refused(&mut gate, at(1_000), true);
        assert_eq!(gate.not_tried(), 3);
    }

    #[test]
    fn calls_that_are_refused_come_back_one_after_the_other() {
        let mut gate = Gate::new(DestinationPolicy { calls_at_once_max: 10, timeout: at(10_000), ..DestinationPolicy::default() });
        for _ in 0..RETRIES_AT_ONCE_MAX {
            let ticket = go(&mut gate, at(0), true);
            gate.end(at(0), ticket, Ending::Answered, None);
        }
        let retries: Vec<_> = (0..1_000).map(|_| refused(&mut gate, at(0), true)).collect();
        assert_eq!((retries[0], retries[99], retries[999]), (at(2_000), at(20_000), at(60_000)), "five a second, a minute at most");
        let calls: Vec<_> = (0..50).map(|_| gate.give_up(at(0))).collect();
        assert_eq!((calls[0], calls[49]), (at(2_000), at(50_000)), "ten at once of ten seconds each");
    }

    #[test]
    fn an_open_breaker_refuses_until_it_is_half_open() {
        let mut gate = Gate::new(DestinationPolicy::default());
        for _ in 0..4 {
            let ticket = go(&mut gate, at(0), false);
            assert_eq!(gate.end(at(0), ticket, failed(), None), None);
        }
        let ticket = go(&mut gate, at(0), false);
        let open = DestinationPolicy::default().open_min;
        assert_eq!(gate.end(at(0), ticket, failed(), None), Some(open), "who opened it is told");
        assert_eq!((refused(&mut gate, at(0), false), gate.state(at(0))), (open, DestinationState::Open));
        assert_eq!(gate.state(open), DestinationState::HalfOpen);
        go(&mut gate, open, false);
        assert_eq!((gate.since(open), gate.cause()), (Some(at(0)), Some("broken")));
    }

    /// A breaker that is half open, with two trials under way.
    fn half_open() -> (Gate, Duration, Ticket, Ticket) {
        let mut gate = Gate::new(DestinationPolicy::default());
        for _ in 0..5 {
            let ticket = go(&mut gate, at(0), false);
            gate.end(at(0), ticket, failed(), None);
        }
        let now = DestinationPolicy::default().open_min;
        let (one, two) = (go(&mut gate, now, true), go(&mut gate, now, true));
        (gate, now, one, two)
    }

    #[test]
    fn a_trial_that_fails_where_others_succeed_is_in_trouble_by_itself() {
        let (mut gate, now, one, two) = half_open();
        gate.end(now, one, Ending::Answered, None);
        assert_eq!(gate.end(now, two, failed(), None), None, "the failure is its own");
        assert_eq!(gate.state(now), DestinationState::Open, "and opens the breaker all the same");
        let (mut gate, now, one, two) = half_open();
        gate.end(now, one, Ending::Answered, None);
        assert!(gate.end(now, two, failed(), Some(at(1))).is_some(), "who asks for rest says whose trouble it is");
        let (mut gate, now, one, two) = half_open();
        assert!(gate.end(now, one, failed(), None).is_some(), "the first that fails is told that the trouble is the destination's");
        gate.end(now, two, Ending::Answered, None);
    }

    #[test]
    fn a_destination_that_asks_for_rest_gets_it_and_no_more_than_the_bound() {
        let mut gate = Gate::new(DestinationPolicy::default());
        let (one, two) = (go(&mut gate, at(0), false), go(&mut gate, at(0), false));
        assert_eq!(gate.end(at(0), one, failed(), Some(at(7_000))), Some(at(7_000)));
        assert_eq!(gate.end(at(1_000), two, failed(), Some(at(2_000))), Some(at(6_000)), "the longer word counts");
        assert_eq!((refused(&mut gate, at(3_000), false), gate.state(at(3_000))), (at(4_000), DestinationState::Resting));
        assert_eq!(gate.since(at(3_000)), Some(at(0)));
        let three = go(&mut gate, at(7_000), false);
        assert_eq!(gate.end(at(7_000), three, failed(), Some(Duration::MAX)), Some(RETRY_AFTER_MAX));
    }

    #[test]
    fn slow_answers_are_failures_when_the_policy_says_so() {
        let policy = DestinationPolicy { slow_after: Some(at(100)), failures_in_row_max: 2, ..DestinationPolicy::default() };
        for (took, state) in [(at(100), DestinationState::Closed), (at(101), DestinationState::Open)] {
            let mut gate = Gate::new(policy);
            for _ in 0..2 {
                let ticket = go(&mut gate, at(0), false);
                gate.end(took, ticket, Ending::Answered, None);
            }
            assert_eq!(gate.state(took), state);
        }
    }
}
