//! Medians and percentiles of what a bench measured.

use std::time::Duration;

/// Latencies of one round. Buckets, not samples: a second of load has a million of them.
///
/// A bucket is a power of two split in 64, so a figure is right to 1.6 percent.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    buckets: Vec<u64>,
    count: u64,
}

const SPLIT: u64 = 64;
const BUCKETS: usize = 64 * SPLIT as usize;

impl Latencies {
    pub(super) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0 }
    }

    /// Counts one.
    pub(super) fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
    }

    /// Takes in those of another worker.
    pub(super) fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(into, from)| *into += from);
        self.count += other.count;
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The latency in microseconds that `per_mille` of a thousand stay at or below.
    pub(super) fn percentile_us(&self, per_mille: u64) -> f64 {
        let wanted = (self.count * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_bound(index) as f64 / 1000.0;
            }
        }
        0.0
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < SPLIT {
        return nanos as usize;
    }
    let exponent = u64::from(nanos.ilog2()) - u64::from(SPLIT.ilog2());
    (exponent * SPLIT + (nanos >> exponent)) as usize
}

fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * SPLIT {
        return bucket;
    }
    let exponent = bucket / SPLIT - 1;
    ((bucket - exponent * SPLIT + 1) << exponent) - 1
}

/// Marsaglia's xorshift64: cheap, and the same at each run.
pub(super) struct Dice(u64);

impl Dice {
    /// Dice of a number of their own; 0 is none.
    pub(super) fn new(seed: u64) -> Self {
        Self(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed))
    }

    /// A number below a bound.
    pub(super) fn roll(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// The middle value (of an even number, the lower of the two in the middle); 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Latencies, bucket, median, upper_bound};

    #[test]
    fn a_bucket_holds_its_own_upper_bound_and_is_narrow() {
        for nanos in [0, 1, 63, 64, 100, 127, 128, 129, 1_000, 123_456, 9_999_999_999, u64::MAX / 2] {
            let upper = upper_bound(bucket(nanos));
            assert_eq!(bucket(upper), bucket(nanos), "{nanos}");
            assert!(upper >= nanos && upper - nanos <= nanos / 63 + 1, "{nanos} lies in a bucket that ends at {upper}");
        }
    }

    #[test]
    fn percentiles_of_a_thousand() {
        let mut latencies = Latencies::new();
        (1..=1000).for_each(|micros| latencies.add(Duration::from_micros(micros)));
        for (per_mille, expected) in [(500, 500.0), (990, 990.0), (999, 999.0)] {
            let found = latencies.percentile_us(per_mille);
            assert!((found - expected).abs() <= expected / 60.0, "{per_mille}: {found}");
        }
    }

    #[test]
    fn merged_latencies_count_together() {
        let mut left = Latencies::new();
        left.add(Duration::from_micros(1));
        let right = left.clone();
        left.merge(&right);
        assert_eq!(left.count(), 2);
    }

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert_eq!([median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0]), median(&[])], [2.0, 1.0, 0.0]);
    }
}
