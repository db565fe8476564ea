//! The breaker of one destination: closed, it lets calls pass; open, none; half open, a few, which decide.
//!
//! ```text
//!            too many of the window's calls fail, or several in a row
//!   closed ─────────────────────────────────────────────────────────▶ open
//!      ▲                                                            ▲   │ its time is over
//!      │ all trials succeed                            a trial fails │   ▼
//!      └───────────────────────────────────────────────────────── half open
//! ```
//!
//! Where few calls come, it closes as well when some trials have succeeded and none has failed within the window.
//!
//! A call counts for the state in which it began, and for no later one: what was under way when the breaker opened says nothing new.

use std::time::Duration;

use super::policy::DestinationPolicy;
use super::tally::Tally;
use crate::limits::DESTINATION_TRIALS;

/// Whether calls pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Open {
        until: Duration,
    },
    HalfOpen {
        /// Trials under way.
        trying: u32,
        /// Trials that have succeeded.
        succeeded: u32,
    },
}

/// What a call that has passed says when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    term: u64,
}

#[derive(Debug)]
pub(super) struct Breaker {
    policy: DestinationPolicy,
    state: State,
    /// Since when it has not been closed.
    since: Option<Duration>,
    /// How often the state has changed: tells old calls from new ones.
    term: u64,
    tally: Tally,
    /// Failures one after the other.
    row: u32,
    /// How often it has opened without having been closed.
    opened: u32,
    /// When the last trial succeeded.
    succeeded: Duration,
}

impl Breaker {
    pub(super) fn new(policy: DestinationPolicy) -> Self {
        Self {
            policy,
            state: State::Closed,
            since: None,
            term: 0,
            tally: Tally::new(policy.window),
            row: 0,
            opened: 0,
            succeeded: Duration::ZERO,
        }
    }

    /// How long no call may pass; zero when one may. What the trials under way say is known within the time of a call.
    pub(super) fn wait(&mut self, now: Duration) -> Duration {
        match self.state(now) {
            State::Open { until } => until.saturating_sub(now),
            State::HalfOpen { trying, succeeded } if trying + succeeded >= DESTINATION_TRIALS => self.policy.timeout,
            State::Closed | State::HalfOpen { .. } => Duration::ZERO,
        }
    }

    /// A call passes; only when nothing is to be waited for.
    pub(super) fn pass(&mut self) -> Pass {
        if matches!(self.state, State::Open { .. }) {
            self.become_(State::HalfOpen { trying: 0, succeeded: 0 });
        }
        if let State::HalfOpen { trying, .. } = &mut self.state {
            *trying += 1;
        }
        Pass { term: self.term }
    }

    /// Whether other trials of the half open time in which a call began have succeeded.
    pub(super) fn has_served_others(&self, pass: Pass) -> bool {
        pass.term == self.term && matches!(self.state, State::HalfOpen { succeeded: 1.., .. })
    }

    /// A call that has passed has ended; `failed` is not known of one that was given up.
    pub(super) fn end(&mut self, now: Duration, pass: Pass, failed: Option<bool>) {
        if let Some(failed) = failed {
            self.tally.record(now, failed);
        }
        if pass.term != self.term {
            return;
        }
        match (&mut self.state, failed) {
            (State::HalfOpen { trying, .. }, None) => *trying -= 1,
            (State::HalfOpen { .. }, Some(true)) => self.open(now),
            (State::HalfOpen { trying, succeeded }, Some(false)) => {
                (*trying, *succeeded) = (*trying - 1, *succeeded + 1);
                self.succeeded = now;
                if *succeeded >= DESTINATION_TRIALS {
                    self.close();
                }
            }
            (State::Closed, Some(failed)) => self.count(now, failed),
            (State::Closed, None) | (State::Open { .. }, _) => {}
        }
    }

    pub(super) fn state(&mut self, now: Duration) -> State {
        let is_quiet = matches!(self.state, State::HalfOpen { trying: 0, succeeded: 1.. });
        if is_quiet && now.saturating_sub(self.succeeded) >= self.policy.window {
            self.close();
        }
        self.state
    }

    pub(super) fn since(&self) -> Option<Duration> {
        self.since
    }

    /// Calls that have ended within the window, and how many of them failed.
    pub(super) fn sums(&mut self, now: Duration) -> (u64, u64) {
        self.tally.sums(now)
    }

    fn count(&mut self, now: Duration, failed: bool) {
        self.row = if failed { self.row + 1 } else { 0 };
        let (calls, failures) = self.tally.sums(now);
        let is_share = calls >= u64::from(self.policy.calls_min) && failures * 100 >= calls * u64::from(self.policy.failure_percent);
        if failed && (is_share || self.row >= self.policy.failures_in_row_max) {
            self.open(now);
        }
    }

    fn open(&mut self, now: Duration) {
        let doubled = self.policy.open_min.saturating_mul(1u32.checked_shl(self.opened).unwrap_or(u32::MAX));
        let time = doubled.min(self.policy.open_max.max(self.policy.open_min));
        self.opened = (self.opened + 1).min(31);
        self.since.get_or_insert(now);
        self.become_(State::Open { until: now.saturating_add(time) });
    }

    /// What failed before it opened says nothing about what comes.
    fn close(&mut self) {
        (self.row, self.opened, self.since) = (0, 0, None);
        self.tally.clear();
        self.become_(State::Closed);
    }

    fn become_(&mut self, state: State) {
        self.state = state;
        self.term += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: DestinationPolicy = DestinationPolicy {
        timeout: Duration::from_secs(10),
        calls_at_once_max: 64,
        calls_per_second: None,
        failure_percent: 50,
        calls_min: 4,
        window: Duration::from_secs(10),
        failures_in_row_max: 3,
        slow_after: None,
        open_min: Duration::from_secs(8),
        open_max: Duration::from_secs(20),
        retry_percent: 20,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Calls that end at once: `x` fails, `.` succeeds.
    fn calls(breaker: &mut Breaker, now: Duration, outcomes: &str) {
        for outcome in outcomes.chars() {
            assert_eq!(breaker.wait(now), Duration::ZERO, "a call must be able to pass");
            let pass = breaker.pass();
            breaker.end(now, pass, Some(outcome == 'x'));
        }
    }

    #[track_caller]
    fn check_opens(outcomes: &str, opens: bool) {
        let mut breaker = Breaker::new(POLICY);
        calls(&mut breaker, at(1), outcomes);
        assert_eq!(breaker.state(at(1)) != State::Closed, opens, "{outcomes}");
    }

    #[test]
    fn it_opens_when_a_share_of_enough_calls_fails_or_several_in_a_row() {
        check_opens("x.x", false);
        check_opens("x.x.", false);
        check_opens("x.xx", true);
        check_opens(".x.x", true);
        check_opens("...x..x..x", false);
        check_opens("xx", false);
        check_opens("xxx", true);
        check_opens(".........xxx", true);
        check_opens(".........xx.xx.", false);
    }

    #[test]
    fn failures_that_have_left_the_window_do_not_count() {
        let mut breaker = Breaker::new(POLICY);
        calls(&mut breaker, at(1), "x.x");
        calls(&mut breaker, at(15), ".x...");
        assert_eq!(breaker.state(at(15)), State::Closed);
        assert_eq!(breaker.sums(at(15)), (5, 1));
    }

    #[test]
    fn each_failed_trial_doubles_how_long_it_stays_open_up_to_its_bound() {
        let mut breaker = Breaker::new(POLICY);
        calls(&mut breaker, at(0), "xxx");
        assert_eq!(breaker.wait(at(0)), at(8));
        assert_eq!(breaker.wait(at(7)), at(1));
        calls(&mut breaker, at(8), "x");
        assert_eq!(breaker.wait(at(8)), at(16));
        calls(&mut breaker, at(24), "..x");
        assert_eq!(breaker.wait(at(24)), at(20));
        assert_eq!(breaker.since(), Some(at(0)));
    }

    #[test]
    fn it_may_stay_open_for_ever() {
        let mut breaker = Breaker::new(DestinationPolicy { open_min: Duration::MAX, ..POLICY });
        calls(&mut breaker, at(5), "xxx");
        assert_eq!(breaker.wait(at(5)), Duration::MAX - at(5));
    }

    #[test]
    fn it_closes_when_all_trials_have_succeeded_and_begins_anew() {
        let mut breaker = Breaker::new(POLICY);
        calls(&mut breaker, at(0), "xxx");
        calls(&mut breaker, at(8), "...");
        assert_eq!((breaker.state(at(8)), breaker.since()), (State::Closed, None));
        calls(&mut breaker, at(8), "xx");
        assert_eq!(breaker.state(at(8)), State::Closed, "what failed before it opened is forgotten");
        calls(&mut breaker, at(8), "x");
        assert_eq!(breaker.wait(at(8)), at(8), "and so is how often it had opened");
    }

    #[test]
    fn only_so_many_trials_are_under_way_at_once() {
        let mut breaker = Breaker::new(POLICY);
        calls(&mut breaker, at(0), "xxx");
        let trials: Vec<_> = (0..DESTINATION_TRIALS).map(|_| breaker.pass()).collect();
        assert!(breaker.wait(at(8)) > Duration::ZERO);
        breaker.end(at(9), trials[0], None);
        assert_eq!(breaker.wait(at(9)), Duration::ZERO, "a trial that was given up makes room for another");
        breaker.end(at(9), trials[1], Some(false));
        let another = breaker.pass();
        assert!(breaker.wait(at(9)) > Duration::ZERO);
        breaker.end(at(10), another, Some(true));
        assert_eq!(breaker.wait(at(10)), at(16));
        breaker.end(at(11), trials[2], Some(false));
        assert_eq!(breaker.wait(at(11)), at(15), "a trial of before changes nothing");
    }

    #[test]
    fn calls_that_were_under_way_when_it_opened_change_nothing() {
        let mut breaker = Breaker::new(POLICY);
        let early: Vec<_> = (0..4).map(|_| breaker.pass()).collect();
        calls(&mut breaker, at(0), "xxx");
        breaker.end(at(1), early[0], Some(true));
        breaker.end(at(1), early[1], Some(false));
        assert_eq!(breaker.wait(at(1)), at(7));
        calls(&mut breaker, at(8), "..");
        breaker.end(at(8), early[2], Some(true));
        assert!(matches!(breaker.state(at(8)), State::HalfOpen { .. }));
        calls(&mut breaker, at(8), ".");
        breaker.end(at(8), early[3], Some(true));
        assert_eq!(breaker.state(at(8)), State::Closed);
    }

    #[test]
    fn it_closes_after_a_quiet_window_too_once_a_trial_has_succeeded() {
        let mut breaker = Breaker::new(POLICY);
        calls(&mut breaker, at(0), "xxx");
        assert!(matches!(breaker.state(at(3_600)), State::Open { .. }), "not without a trial");
        calls(&mut breaker, at(8), ".");
        assert!(matches!(breaker.state(at(17)), State::HalfOpen { .. }));
        let trial = breaker.pass();
        assert!(matches!(breaker.state(at(100)), State::HalfOpen { .. }), "not while a trial is under way");
        breaker.end(at(100), trial, Some(false));
        assert_eq!(breaker.state(at(110)), State::Closed);
    }
}
