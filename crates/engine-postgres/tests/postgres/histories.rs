//! Concurrent calls on two nodes, whose transactions have bad luck now and then: one order explains every answer.
//!
//! `HEADWATER_POSTGRES_HISTORIES` sets how many histories (50 unless it says otherwise).

use headwater_engine_postgres::{Address, Options, PostgresJournal};
use journal::contract::Engine;
use journal::contract::histories::{Answered, Called, is_linearizable, record};

use crate::proxy::Proxy;
use crate::server::Server;

const CLIENTS: usize = 8;
const CALLS_EACH: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_explains_every_history_of_two_nodes() {
    let count = std::env::var("HEADWATER_POSTGRES_HISTORIES").ok().and_then(|count| count.parse().ok()).unwrap_or(50_u64);
    let (server, service) = (Server::shared(), Server::service());
    let proxy = Proxy::to(server.url()).await;
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let options = Options::at(Address::new(&proxy.url(server.url()), Some(&service)).unwrap()).unwrap();
        nodes.push(Engine::of(PostgresJournal::open(options).await.unwrap()));
    }
    let (mut took, mut refused) = (0, 0);
    for seed in 0..count {
        let calls = record(&nodes, seed, CLIENTS, CALLS_EACH).await;
        assert!(is_linearizable(&calls), "seed {seed}: no order explains {calls:#?}");
        let of = |wanted: fn(&Answered) -> bool| {
            calls.iter().filter(|call| matches!(&call.what, Called::Append { answer, .. } if wanted(answer))).count()
        };
        took += of(|answer| matches!(answer, Answered::Took(_)));
        refused += of(|answer| matches!(answer, Answered::Refused(_)));
    }
    println!("{count} histories: {took} appends took effect, {refused} were refused");
    assert!(took > 0 && refused > 0, "the clients never met");
    proxy.check();
}
