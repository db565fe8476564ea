//! The engines under test. A new one is one function and one line in [`ENGINES`].

use std::sync::Arc;

use headwater_journal::contract::Engine;
use headwater_journal::embedded::{self, EmbeddedJournal, Options, PlantedBug};
use headwater_journal::model::ModelJournal;
use headwater_journal::seams::ThreadSpawner;
use headwater_journal::sim::{SimClock, SimDisk, SimRandom};

/// Makes an empty engine from a seed.
pub(crate) type NewEngine = fn(u64, Arc<SimClock>) -> Engine;

pub(crate) const ENGINES: &[(&str, NewEngine)] = &[("model", model), ("embedded", embedded), ("embedded-tiny-segments", embedded_tiny)];

pub(crate) fn model(seed: u64, clock: Arc<SimClock>) -> Engine {
    Engine::of(ModelJournal::new(clock, Arc::new(SimRandom::new(seed))))
}

/// The embedded engine on a simulated disk, with threads of its own.
fn embedded(seed: u64, clock: Arc<SimClock>) -> Engine {
    Engine::of(open(&SimDisk::new(seed), seed, clock, embedded::limits::SEGMENT_BYTES))
}

/// As [`embedded`], with segments so small that most tests go through many.
fn embedded_tiny(seed: u64, clock: Arc<SimClock>) -> Engine {
    Engine::of(open(&SimDisk::new(seed), seed, clock, TINY_SEGMENTS))
}

pub(crate) const TINY_SEGMENTS: std::ops::RangeInclusive<u64> = 16 * 1024..=64 * 1024;

pub(crate) fn open(disk: &SimDisk, seed: u64, clock: Arc<SimClock>, segment_bytes: std::ops::RangeInclusive<u64>) -> EmbeddedJournal {
    let options = Options {
        disk: Arc::new(disk.clone()),
        clock,
        random: Arc::new(SimRandom::new(seed)),
        spawner: Arc::new(ThreadSpawner::new()),
        parent: None,
        segment_bytes,
        planted: PlantedBug::None,
    };
    EmbeddedJournal::open(options).expect("an empty disk, or one that was closed, opens")
}
