//! A simulated machine: a disk that loses, tears, rots and fails, a clock that is set, dice that follow a seed, and a spawner
//! without threads. One seed replays a run.
//!
//! What it is not: a model of time. Nothing here waits; a test that wants a slow disk stops inside [`SimDisk::on_call`].

mod content;
mod disk;
mod fired;
mod platter;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::seams::{Clock, Random, Spawner};
use crate::time::Timestamp;

pub use disk::{Call, CallKind, SimDisk};
pub use fired::Fired;
pub use platter::{DiskFault, Survival};

/// A clock that is set, and that may step by itself each time it is asked.
pub struct SimClock {
    micros: AtomicI64,
    step: i64,
}

impl SimClock {
    /// Stands at 2026-01-01T00:00:00Z until it is set.
    #[must_use]
    pub fn new() -> Self {
        Self::stepping(Timestamp::from_micros(1_767_225_600_000_000), 0)
    }

    /// Goes on by `step_micros` after each question; a negative step goes back.
    #[must_use]
    pub fn stepping(start: Timestamp, step_micros: i64) -> Self {
        Self { micros: AtomicI64::new(start.as_micros()), step: step_micros }
    }

    /// Sets it, forwards or backwards.
    pub fn set(&self, time: Timestamp) {
        self.micros.store(time.as_micros(), Ordering::SeqCst);
    }

    /// Moves it, forwards or backwards.
    pub fn advance(&self, micros: i64) {
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.fetch_add(self.step, Ordering::SeqCst))
    }
}

/// Dice that follow a seed: SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
pub struct SimRandom(AtomicU64);

impl SimRandom {
    /// From a seed; the same seed throws the same.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next 64 bits.
    pub fn roll(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut word = self.0.fetch_add(GAMMA, Ordering::SeqCst).wrapping_add(GAMMA);
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// A number below `bound`, which is not zero. A bound far below 2^64 makes the bias of the remainder too small to matter.
    pub fn below(&self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// True once in `times`, on average.
    pub fn one_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of the choices, which are not none.
    pub fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

impl Random for SimRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.roll().to_le_bytes()[..chunk.len()]);
        }
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// Runs blocking work at once on the caller's thread, and keeps threads for the test to run or to drop.
#[derive(Default)]
pub struct InlineSpawner {
    threads: Mutex<Vec<(String, Work)>>,
}

impl InlineSpawner {
    /// Has no threads yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The threads that were asked for since the last time, by name; none of them has started.
    pub fn take_threads(&self) -> Vec<(String, Work)> {
        std::mem::take(&mut self.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Spawner for InlineSpawner {
    fn thread(&self, name: &str, work: Work) -> io::Result<()> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), work));
        Ok(())
    }

    fn blocking(&self, work: Work) {
        work();
    }
}
