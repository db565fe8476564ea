//! The simulator: the embedded engine in one thread, a disk with every fault, and a witness that shares no code with it.
//!
//! A seed picks a mix of work and of faults and lives several lives of one directory: appends of many shapes with conditions, expectations
//! and fences, commands that are sent again, registers, live and finite reads, upkeep, scrubs that pack, compaction behind baselines; writes that are held, torn, reordered; power that
//! goes in any call; errors once and for good; a disk without room; and drives that lose, misdirect, rot and lie. After each life the
//! whole journal is compared with what the witness knows, and after the last one it must get on.
//!
//! `HEADWATER_SIM_SEEDS` sets how many seeds run, `HEADWATER_SIM_SEED` the first one: what failed is run again by its seed alone.

mod gone;
mod images;
mod life;
mod load;
mod look;
mod marks;
mod mix;
pub(crate) mod raw;
mod registry;
mod run;
mod spoiled;
mod stale;
mod witness;

use std::any::Any;
use std::panic::catch_unwind;

use headwater_journal::embedded::PlantedBug;

use marks::Marks;
use run::{Ended, Run};

const SEEDS: u64 = 20_000;
/// Of so many seeds, one runs twice and must do the same.
const TWICE_ONE_IN: u64 = 50;
/// A run of fewer seeds may miss a rare path.
const SEEDS_FOR_ALL_MARKS: u64 = 1_000;

/// A number from the environment.
pub(crate) fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// A panic of the engine, an assertion that broke, is its failure too.
fn run(seed: u64, planted: PlantedBug) -> Result<Ended, String> {
    let told = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(text) => format!("panicked: {text}"),
        Err(panic) => format!("panicked: {}", panic.downcast_ref::<&str>().unwrap_or(&"with no words")),
    };
    catch_unwind(|| Run::new(seed, planted).run()).unwrap_or_else(|panic| Err(told(panic)))
}

fn run_or_tell(seed: u64) -> Ended {
    run(seed, PlantedBug::None).unwrap_or_else(|problem| {
        panic!("seed {seed}: {problem}\nagain: HEADWATER_SIM_SEED={seed} HEADWATER_SIM_SEEDS=1 cargo test -p headwater-journal --test journal sim::whatever")
    })
}

#[test]
fn whatever_the_disk_does_what_was_acknowledged_stays_and_the_journal_gets_on() {
    let (first, count) = (setting("HEADWATER_SIM_SEED", 0), setting("HEADWATER_SIM_SEEDS", SEEDS));
    let (mut marks, mut operations, mut twice) = (Marks::default(), 0, 0);
    for seed in first..first + count {
        let ended = run_or_tell(seed);
        if seed % TWICE_ONE_IN == 0 {
            assert_eq!(run_or_tell(seed).trace, ended.trace, "seed {seed} did something else the second time");
            twice += 1;
        }
        operations += ended.operations;
        marks.merge(&ended.marks);
    }
    println!(
        "seeds {first} to {}: {operations} operations, {twice} seeds twice with the same trace, nothing wrong\n{marks}",
        first + count - 1
    );
    assert!(count < SEEDS_FOR_ALL_MARKS || marks.missing().is_empty(), "never met: {:?}", marks.missing());
}

/// Each planted bug must be caught within few seeds, or this harness proves nothing.
pub(crate) fn caught(planted: PlantedBug) {
    let caught = (0..300).find_map(|seed| run(seed, planted).err().map(|problem| (seed, problem)));
    let (seed, problem) = caught.unwrap_or_else(|| panic!("{planted:?} went unnoticed for 300 seeds"));
    println!("{planted:?} caught at seed {seed}: {problem}");
}
