//! The engine keeps the contract, and answers as the model does.
//!
//! `HEADWATER_POSTGRES_SEEDS` sets how many seeds the differential test runs (12 unless it says otherwise): each has a schema of its own.

use std::sync::Arc;

use headwater_engine_postgres::{Options, PostgresJournal};
use journal::BoxFuture;
use journal::contract::{self, Engine, Reached, differential};
use journal::model::ModelJournal;
use journal::sim::{SimClock, SimRandom};

use crate::server::Server;

const OPERATIONS: usize = 300;

fn seeds() -> u64 {
    std::env::var("HEADWATER_POSTGRES_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(12)
}

async fn open(server: &Server, seed: u64, clock: Arc<SimClock>) -> Engine {
    let options = Options { clock, random: Arc::new(SimRandom::new(seed)), ..Options::at(server.address(&Server::service())).unwrap() };
    Engine::of(PostgresJournal::open(options).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let server = Server::shared();
    let new_engine = || -> BoxFuture<'static, Engine> {
        let server = Arc::clone(&server);
        Box::pin(async move { open(&server, 1, Arc::new(SimClock::new())).await })
    };
    contract::check_all(new_engine).await;
}

#[tokio::test]
async fn answers_as_the_model_does() {
    let (server, mut reached) = (Server::shared(), Reached::default());
    for seed in 0..seeds() {
        let clock = Arc::new(SimClock::new());
        let model = Engine::of(ModelJournal::new(Arc::clone(&clock) as _, Arc::new(SimRandom::new(seed))));
        let engine = open(&server, seed + 1, Arc::clone(&clock)).await;
        match differential(seed, OPERATIONS, &clock, model, engine).await {
            Ok(one) => reached.add(&one),
            Err(difference) => panic!("PostgreSQL is not as the model: {difference}"),
        }
    }
    assert!(reached.is_full(), "a path was never reached: {reached:?}");
}
