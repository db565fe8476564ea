//! Commands a second of the engine itself: `appends postgres://user@host/db [milliseconds a cell] [rounds] [nodesxclients]`.
//!
//! Each client sends one command after the other, with one event of 200 bytes, to one of 100,000 entities at random, as `heads` does with
//! statements of its own that keep less: no command ids, no types, no keys as texts.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_engine_postgres::{Address, Options, PostgresJournal};

use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Journal as _};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ENTITIES: u64 = 100_000;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let url = arguments.first().ok_or("name a database: appends postgres://user@host/db")?;
    let cell = Duration::from_millis(arguments.get(1).map_or(Ok(500), |text| text.parse())?);
    let rounds = arguments.get(2).map_or(Ok(5), |text| text.parse())?;
    println!("commands a second, medians of {rounds} rounds of {} ms\n\n| nodes | clients | engine |\n|---|---|---|", cell.as_millis());
    let only = arguments.get(3);
    for (nodes, clients) in [(1, 1), (1, 16), (1, 64), (2, 64), (2, 128)] {
        if only.is_some_and(|only| *only != format!("{nodes}x{clients}")) {
            continue;
        }
        let mut rates = Vec::new();
        for round in 0..rounds {
            rates.push(run(url, &format!("appends-{}-{nodes}-{clients}-{round}", std::process::id()), (nodes, clients), cell).await?);
        }
        rates.sort_unstable();
        println!("| {nodes} | {clients} | {} |", rates[rates.len() / 2]);
    }
    Ok(())
}

/// Commands a second of one run on a schema of its own, which goes with it.
async fn run(url: &str, service: &str, (nodes, clients): (u64, u64), time: Duration) -> Outcome<u64> {
    let (done, mut running, mut opened) = (Arc::new(AtomicU64::new(0)), Vec::new(), Vec::new());
    let address = Address::new(url, Some(service))?;
    for _ in 0..nodes {
        let options = Options::at(address.clone())?;
        opened.push(Arc::new(PostgresJournal::open(options).await?));
    }
    let until = Instant::now() + time;
    for number in 0..clients {
        let node = Arc::clone(&opened[(number % nodes) as usize]);
        running.push(tokio::spawn(client(number, node, until, Arc::clone(&done))));
    }
    for client in running {
        client.await??;
    }
    let rate = done.load(Ordering::Relaxed) * 1_000 / time.as_millis() as u64;
    for node in opened {
        node.close().await;
    }
    let (admin, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    admin.batch_execute(&format!("DROP SCHEMA {} CASCADE", address.schema())).await?;
    Ok(rate)
}

async fn client(number: u64, node: Arc<PostgresJournal>, until: Instant, done: Arc<AtomicU64>) -> Outcome<()> {
    let (mut dice, payload) = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, Bytes::from_static(&[7; 200]));
    for command in 0_u64.. {
        if Instant::now() >= until {
            break;
        }
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let entity = EntityKey::new("thing", &(dice % ENTITIES).to_string())?;
        node.append(one(entity, CommandId::from_raw(format!("{number}.{command}").as_bytes()), payload.clone())).await?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn one(entity: EntityKey, id: CommandId, payload: Bytes) -> Commit {
    let event = EventData { name: "noted".into(), version: 1, content: ContentType::Json, flags: EventFlags(0), tags: Vec::new(), payload };
    let command = CommandRecord {
        entity,
        id,
        name: "note".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::new(),
        events: vec![event],
    };
    Commit { commands: vec![command], ..Commit::default() }
}
