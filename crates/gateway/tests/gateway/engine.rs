//! The engine under the tests: the model, or the one that `HEADWATER_TEST_ENGINE` names. `cargo xtask test` has them run on each of them.
//!
//! Tests of what only one engine has (its disk, its faults) open it themselves and are the same in every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use engine_postgres::{Address, Options, PostgresJournal};
use journal::embedded::limits::SEGMENT_BYTES;
use journal::embedded::{self, EmbeddedJournal, PlantedBug};
use journal::model::ModelJournal;
use journal::seams::{SystemClock, SystemRandom, ThreadSpawner};
use journal::sim::SimDisk;
use journal::{Journal, Registers};

/// A journal with its registers.
pub(crate) trait Engine: Journal + Registers {}

impl<E: Journal + Registers> Engine for E {}

/// An empty one.
pub(crate) async fn open() -> Arc<dyn Engine> {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new().expect("the system has randomness")));
    match std::env::var("HEADWATER_TEST_ENGINE").as_deref() {
        _ if is_model() => Arc::new(ModelJournal::new(clock, random)),
        Ok("embedded") => Arc::new(on_a_disk(clock, random)),
        Ok("postgres") => Arc::new(in_a_database(clock, random).await),
        other => panic!("HEADWATER_TEST_ENGINE is {other:?}, and must be model, embedded or postgres"),
    }
}

/// Whether it is the model, which keeps nothing.
pub(crate) fn is_model() -> bool {
    matches!(std::env::var("HEADWATER_TEST_ENGINE").as_deref(), Err(_) | Ok("model"))
}

/// On a disk in memory.
fn on_a_disk(clock: Arc<SystemClock>, random: Arc<SystemRandom>) -> EmbeddedJournal {
    let options = embedded::Options {
        disk: Arc::new(SimDisk::new(1)),
        clock,
        random,
        spawner: Arc::new(ThreadSpawner::new()),
        parent: None,
        segment_bytes: SEGMENT_BYTES,
        planted: PlantedBug::None,
    };
    EmbeddedJournal::open(options).unwrap()
}

/// In a schema of the test's own.
async fn in_a_database(clock: Arc<SystemClock>, random: Arc<SystemRandom>) -> PostgresJournal {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("HEADWATER_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("no PostgreSQL to test on: run `cargo xtask test`, which starts one, or name one in HEADWATER_TEST_POSTGRES")
    });
    let service = format!("gateway-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let address = Address::new(&server, Some(&service)).unwrap();
    PostgresJournal::open(Options { clock, random, ..Options::at(address).unwrap() }).await.unwrap()
}
