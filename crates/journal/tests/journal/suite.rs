//! Every engine keeps the contract, and answers as the model does.
//!
//! `HEADWATER_DIFFERENTIAL_SEEDS` sets how many seeds the differential test runs (40 unless it says otherwise).

use std::sync::Arc;

use headwater_journal::contract::{self, Differential, Reached, differential, histories};
use headwater_journal::sim::{SimClock, SimDisk};

use crate::engines::{ENGINES, NewEngine, TINY_SEGMENTS, model, open};

const OPERATIONS: usize = 300;

fn seeds() -> u64 {
    std::env::var("HEADWATER_DIFFERENTIAL_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(40)
}

fn engine(name: &str) -> NewEngine {
    ENGINES.iter().find(|(known, _)| *known == name).expect("the engine is in the list").1
}

/// Compares an engine with the model over all seeds, and demands that every rare path was reached.
async fn compare(name: &str) {
    let mut reached = Reached::default();
    for seed in 0..seeds() {
        let clock = Arc::new(SimClock::new());
        let (left, right) = (model(seed, Arc::clone(&clock)), engine(name)(seed + 1, Arc::clone(&clock)));
        match differential(seed, OPERATIONS, &clock, left, right).await {
            Ok(one) => reached.add(&one),
            Err(difference) => panic!("{name} is not as the model: {difference}"),
        }
    }
    assert!(reached.is_full(), "a path was never reached: {reached:?}");
}

async fn check_all(name: &str) {
    let new_engine = engine(name);
    contract::check_all(|| Box::pin(std::future::ready(new_engine(1, Arc::new(SimClock::new()))))).await;
}

macro_rules! engine_tests {
    ($($module:ident $name:literal),*) => {$(
        mod $module {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn keeps_the_contract() {
                super::check_all($name).await;
            }

            #[tokio::test]
            async fn answers_as_the_model_does() {
                super::compare($name).await;
            }
        }
    )*};
}

engine_tests!(model_engine "model", embedded_engine "embedded", embedded_engine_of_tiny_segments "embedded-tiny-segments");

/// `HEADWATER_HISTORIES` sets how many (50 unless it says otherwise).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_explains_every_history_of_the_embedded_engine() {
    let count = std::env::var("HEADWATER_HISTORIES").ok().and_then(|count| count.parse().ok()).unwrap_or(50_u64);
    let nodes = [engine("embedded")(1, Arc::new(SimClock::new()))];
    for seed in 0..count {
        let calls = histories::record(&nodes, seed, 8, 12).await;
        assert!(calls.len() == 96 && histories::is_linearizable(&calls), "seed {seed}: no order explains {calls:#?}");
    }
}

/// An engine that is closed and opened again in the middle of everything answers as the model, which never is.
#[tokio::test]
async fn the_embedded_engine_answers_the_same_after_every_restart() {
    for seed in 0..seeds() {
        let (clock, disk) = (Arc::new(SimClock::new()), SimDisk::new(seed));
        let mut engine = Arc::new(open(&disk, seed, Arc::clone(&clock), TINY_SEGMENTS));
        let both = |engine: &Arc<_>| contract::Engine { journal: Arc::clone(engine) as _, registers: Arc::clone(engine) as _ };
        let mut comparison = Differential::new(seed, &clock, model(seed, Arc::clone(&clock)), both(&engine));
        for life in 0..4 {
            comparison.run(60).await.unwrap_or_else(|difference| panic!("life {life}: {difference}"));
            engine.close().await;
            engine = Arc::new(open(&disk, seed * 10 + life, Arc::clone(&clock), TINY_SEGMENTS));
            comparison.replace_right(both(&engine));
        }
        comparison.run(20).await.unwrap_or_else(|difference| panic!("the last life: {difference}"));
    }
}

/// The same seed gives the same run: without that, no seed of a failure would be worth anything.
#[tokio::test]
async fn a_seed_replays_a_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let clock = Arc::new(SimClock::new());
        let engines = (model(1, Arc::clone(&clock)), model(2, Arc::clone(&clock)));
        runs.push(differential(5, OPERATIONS, &clock, engines.0, engines.1).await.expect("the model is as the model"));
    }
    assert_eq!(runs[0], runs[1]);
}
