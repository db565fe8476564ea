//! A bucket of tokens: what flows in is bounded by a rate, what is in it by a size.

use std::time::Duration;

/// See the module. Tokens are counted in millionths, so that no rounding loses any.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u64,
    micro_max: u64,
    micro: u64,
    /// Up to when tokens have flowed in.
    at: Duration,
}

const TOKEN: u64 = 1_000_000;

impl Bucket {
    /// A full bucket that takes in so many tokens a second, and holds so many.
    pub(super) fn new(per_second: u32, size: u32) -> Self {
        let micro_max = u64::from(size) * TOKEN;
        Self { per_second: u64::from(per_second), micro_max, micro: micro_max, at: Duration::ZERO }
    }

    /// How long until there is a token; zero when there is one.
    pub(super) fn wait(&mut self, now: Duration) -> Duration {
        self.flow(now);
        let missing = TOKEN.saturating_sub(self.micro);
        if missing == 0 {
            return Duration::ZERO;
        }
        // A token a second is a millionth of one a microsecond. Nothing flows into a bucket without a rate.
        let micros = if self.per_second == 0 { u64::from(u32::MAX) } else { missing.div_ceil(self.per_second) };
        Duration::from_micros(micros)
    }

    /// Takes a token that is there.
    pub(super) fn take(&mut self) {
        self.micro = self.micro.saturating_sub(TOKEN);
    }

    /// Puts a part of a token in.
    pub(super) fn put_percent(&mut self, percent: u32) {
        self.micro = self.micro.saturating_add(u64::from(percent) * (TOKEN / 100)).min(self.micro_max);
    }

    fn flow(&mut self, now: Duration) {
        let micros = u64::try_from(now.saturating_sub(self.at).as_micros()).unwrap_or(u64::MAX);
        self.micro = self.micro.saturating_add(micros.saturating_mul(self.per_second)).min(self.micro_max);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_flow_at_their_rate_and_no_more_are_kept_than_fit() {
        let mut bucket = Bucket::new(4, 2);
        let at = Duration::from_millis;
        for _ in 0..2 {
            assert_eq!(bucket.wait(at(0)), Duration::ZERO);
            bucket.take();
        }
        assert_eq!(bucket.wait(at(0)), at(250));
        assert_eq!(bucket.wait(at(100)), at(150));
        assert_eq!(bucket.wait(at(250)), Duration::ZERO);
        bucket.take();
        assert_eq!(bucket.wait(at(60_000)), Duration::ZERO);
        bucket.take();
        bucket.take();
        assert_eq!(bucket.wait(at(60_000)), at(250), "an hour of rest is worth two tokens");
    }

    #[test]
    fn a_share_of_tokens_adds_up() {
        let mut bucket = Bucket::new(0, 1);
        bucket.take();
        for _ in 0..4 {
            bucket.put_percent(20);
            assert!(bucket.wait(Duration::ZERO) > Duration::ZERO);
        }
        bucket.put_percent(20);
        assert_eq!(bucket.wait(Duration::ZERO), Duration::ZERO);
    }
}
