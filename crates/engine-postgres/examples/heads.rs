//! How many head rows should a journal on PostgreSQL have? Commands a second with 1, 4 and 16, the question of ADR 26.
//!
//! `heads postgres://user@host/db [milliseconds a cell] [rounds]`. It makes a schema `headwater_heads` in that database and drops it again.
//!
//! Each node has one writer and one connection a shard: a writer takes whatever waits for its shard into one transaction, which locks the
//! shard's head row as a statement of its own, reads the heads of the batch's entities, inserts, and moves the head. Shards are therefore at
//! their best here: no commit has to lock two of them, which one over several entities would.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

type Value<'a> = &'a (dyn ToSql + Sync);
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ENTITIES: u64 = 100_000;
const PAYLOAD: [u8; 200] = [7; 200];
const BATCH_MAX: usize = 1_024;

const SCHEMA: &str = "
    DROP SCHEMA IF EXISTS headwater_heads CASCADE;
    CREATE SCHEMA headwater_heads;
    CREATE TABLE headwater_heads.head (shard int PRIMARY KEY, position bigint NOT NULL) WITH (fillfactor = 10);
    CREATE TABLE headwater_heads.entity (id bigint PRIMARY KEY, sequence bigint NOT NULL) WITH (fillfactor = 70);
    CREATE TABLE headwater_heads.event (shard int, position bigint, entity bigint NOT NULL, sequence bigint NOT NULL, payload bytea NOT NULL,
        PRIMARY KEY (shard, position), UNIQUE (entity, sequence));";

/// One cell of the table.
#[derive(Clone, Copy)]
struct Cell {
    shards: u64,
    clients: u64,
    nodes: u64,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let url = arguments.first().ok_or("name a database: heads postgres://user@host/db")?;
    let cell = Duration::from_millis(arguments.get(1).map_or(Ok(500), |text| text.parse())?);
    let rounds = arguments.get(2).map_or(Ok(5), |text| text.parse())?;
    println!(
        "commands a second, medians of {rounds} rounds of {} ms\n\n| nodes | clients | 1 head | 4 heads | 16 heads |",
        cell.as_millis()
    );
    println!("|---|---|---|---|---|");
    for (nodes, clients) in [(1, 1), (1, 16), (1, 64), (2, 16), (2, 64), (2, 128)] {
        let mut medians = Vec::new();
        for shards in [1, 4, 16] {
            medians.push(median(url, Cell { shards, clients, nodes }, cell, rounds).await?.to_string());
        }
        println!("| {nodes} | {clients} | {} |", medians.join(" | "));
    }
    connect(url).await?.batch_execute("DROP SCHEMA headwater_heads CASCADE").await?;
    Ok(())
}

async fn median(url: &str, cell: Cell, time: Duration, rounds: usize) -> Outcome<u64> {
    let mut rates = Vec::new();
    for _ in 0..rounds {
        rates.push(run(url, cell, time).await?);
    }
    rates.sort_unstable();
    Ok(rates[rates.len() / 2])
}

/// Commands a second of one run on empty tables.
async fn run(url: &str, cell: Cell, time: Duration) -> Outcome<u64> {
    let admin = connect(url).await?;
    admin.batch_execute(SCHEMA).await?;
    for shard in 0..cell.shards {
        admin.execute("INSERT INTO headwater_heads.head VALUES ($1, 0)", &[&(shard as i32)]).await?;
    }
    let (done, mut clients) = (Arc::new(AtomicU64::new(0)), Vec::new());
    let mut nodes = Vec::new();
    for _ in 0..cell.nodes {
        nodes.push(node(url, cell.shards).await?);
    }
    let until = Instant::now() + time;
    for number in 0..cell.clients {
        let inboxes = nodes[(number % cell.nodes) as usize].clone();
        clients.push(tokio::spawn(client(number, inboxes, until, Arc::clone(&done))));
    }
    for client in clients {
        client.await??;
    }
    Ok(done.load(Ordering::Relaxed) * 1_000 / time.as_millis() as u64)
}

struct Command {
    entity: u64,
    answer: oneshot::Sender<()>,
}

type Inboxes = Vec<mpsc::Sender<Command>>;

/// A writer a shard, each with its connection.
async fn node(url: &str, shards: u64) -> Outcome<Inboxes> {
    let mut inboxes = Vec::new();
    for shard in 0..shards {
        let (inbox, commands) = mpsc::channel(BATCH_MAX);
        tokio::spawn(write(Writer::new(connect(url).await?, shard as i32).await?, commands));
        inboxes.push(inbox);
    }
    Ok(inboxes)
}

/// Sends one command after the other, each to an entity that nobody can guess.
async fn client(number: u64, inboxes: Inboxes, until: Instant, done: Arc<AtomicU64>) -> Outcome<()> {
    let mut dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while Instant::now() < until {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let entity = dice % ENTITIES;
        let (answer, answered) = oneshot::channel();
        inboxes[(entity % inboxes.len() as u64) as usize].send(Command { entity, answer }).await?;
        answered.await?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Takes whatever has arrived, never waits for more.
async fn write(writer: Writer, mut commands: mpsc::Receiver<Command>) {
    let mut batch = Vec::new();
    while commands.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let written = writer.write(&batch).await;
        if let Err(error) = written {
            return eprintln!("a writer stops: {error}");
        }
        for command in batch.drain(..) {
            // A client that has stopped is not told.
            let _ = command.answer.send(());
        }
    }
}

struct Writer {
    client: Client,
    shard: i32,
    lock: Statement,
    look: Statement,
    insert: Statement,
    heads: Statement,
    advance: Statement,
}

impl Writer {
    async fn new(client: Client, shard: i32) -> Outcome<Self> {
        client
            .batch_execute("SET search_path = headwater_heads; SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
            .await?;
        Ok(Self {
            shard,
            lock: client.prepare("SELECT position FROM head WHERE shard = $1 FOR UPDATE").await?,
            look: client.prepare("SELECT id, sequence FROM entity WHERE id = ANY($1)").await?,
            insert: client
                .prepare("INSERT INTO event SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])")
                .await?,
            heads: client
                .prepare(
                    "INSERT INTO entity SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence",
                )
                .await?,
            advance: client.prepare("UPDATE head SET position = $2 WHERE shard = $1").await?,
            client,
        })
    }

    /// Two round trips: lock and look, then insert, advance and commit.
    async fn write(&self, batch: &[Command]) -> Outcome<()> {
        let entities: Vec<i64> = batch.iter().map(|command| command.entity as i64).collect();
        let (shard, look): ([Value; 1], [Value; 1]) = ([&self.shard], [&entities]);
        let (_, head, found) = tokio::try_join!(
            self.client.batch_execute("BEGIN"),
            self.client.query_one(&self.lock, &shard),
            self.client.query(&self.look, &look),
        )?;
        let head: i64 = head.get(0);
        let mut sequences: std::collections::BTreeMap<i64, i64> = found.iter().map(|row| (row.get(0), row.get(1))).collect();
        let mut next = |entity: &i64| {
            let sequence = sequences.entry(*entity).or_insert(0);
            *sequence += 1;
            *sequence
        };
        let numbers: Vec<i64> = entities.iter().map(&mut next).collect();
        let positions: Vec<i64> = (head + 1..).take(batch.len()).collect();
        let payloads: Vec<&[u8]> = vec![&PAYLOAD; batch.len()];
        let (written, last): (Vec<i64>, Vec<i64>) = sequences.into_iter().unzip();
        let end = head + batch.len() as i64;
        let insert: [Value; 5] = [&self.shard, &positions, &entities, &numbers, &payloads];
        let (heads, advance): ([Value; 2], [Value; 2]) = ([&written, &last], [&self.shard, &end]);
        tokio::try_join!(
            self.client.execute(&self.insert, &insert),
            self.client.execute(&self.heads, &heads),
            self.client.execute(&self.advance, &advance),
            self.client.batch_execute("COMMIT"),
        )?;
        Ok(())
    }
}

async fn connect(url: &str) -> Outcome<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("a connection ended: {error}");
        }
    });
    Ok(client)
}
