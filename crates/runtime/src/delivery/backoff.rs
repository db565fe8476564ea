//! How long a failed event waits before it is tried again.

use std::time::Duration;

use journal::seams::Random;

/// How a consumer treats what fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Runs of one event before its key is parked; `u32::MAX` tries for ever.
    pub attempts_max: u32,
    /// The wait after the first failed run; each further one doubles it.
    pub backoff_min: Duration,
    /// The longest wait, jitter not counted.
    pub backoff_max: Duration,
}

/// A wait is longer by up to this part of itself, so that what failed together does not come back together.
const JITTER_DIVISOR: u64 = 4;

impl RetryPolicy {
    /// Whether an event that has failed this often is given up.
    pub(crate) fn is_over(&self, attempts: u32) -> bool {
        attempts >= self.attempts_max
    }

    /// The wait after the `attempts`-th failed run. Jitter only lengthens it.
    pub(crate) fn wait(&self, attempts: u32, random: &dyn Random) -> Duration {
        let doubled = self.backoff_min.saturating_mul(1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
        let wait = doubled.min(self.backoff_max);
        let mut dice = [0; 8];
        random.fill(&mut dice);
        let jitter_micros_max = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX) / JITTER_DIVISOR;
        wait.saturating_add(Duration::from_micros(u64::from_le_bytes(dice) % (jitter_micros_max + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dice(u8);

    impl Random for Dice {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn a_wait_doubles_up_to_its_bound_and_jitter_only_lengthens_it() {
        let policy = RetryPolicy { attempts_max: 9, backoff_min: Duration::from_millis(100), backoff_max: Duration::from_secs(1) };
        for (attempts, least) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000), (60, 1_000), (u32::MAX, 1_000)] {
            let least = Duration::from_millis(least);
            assert_eq!(policy.wait(attempts, &Dice(0)), least, "{attempts}");
            let longest = policy.wait(attempts, &Dice(0xff));
            assert!(longest > least && longest <= least + least / 4, "{attempts}: {longest:?}");
        }
        assert!(!policy.is_over(8) && policy.is_over(9));
        let endless = RetryPolicy { backoff_max: Duration::MAX, backoff_min: Duration::MAX, ..policy };
        assert_eq!(endless.wait(1, &Dice(0xff)), Duration::MAX);
    }
}
