//! Appends by writers that each wait for their commit, as tasks or as threads.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater::{Exit, Failure};
use journal::embedded::EmbeddedJournal;
use journal::seams::{ThreadSpawner, wait_for};
use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Journal as _};
use tokio::task::JoinSet;

use super::PAYLOAD_BYTES;
use crate::bench::Case;
use crate::bench::statistics::Latencies;

static PAYLOAD: [u8; PAYLOAD_BYTES] = [b'x'; PAYLOAD_BYTES];

/// Tasks that append until the time is over; gives events a second and the commits' latencies. No two phases on one journal have a
/// command in common.
pub(in crate::bench) async fn tasks(
    case: Case,
    phase: u32,
    duration: Duration,
    journal: Arc<EmbeddedJournal>,
) -> Result<(f64, Latencies), Failure> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..case.0 {
        let (journal, writer) = (Arc::clone(&journal), Writer::new(phase, number, case, begun + duration)?);
        tasks.spawn(async move { writer.run_as_task(&journal).await });
    }
    let mut latencies = Latencies::new();
    while let Some(ended) = tasks.join_next().await {
        latencies.merge(&ended.map_err(|_| panicked())??);
    }
    Ok((rate(case, &latencies, begun), latencies))
}

/// The same by threads of the operating system that block until their commit is acknowledged.
pub(super) fn threads(case: Case, phase: u32, duration: Duration, journal: &EmbeddedJournal) -> Result<(f64, Latencies), Failure> {
    let ready = Barrier::new(case.0 + 1);
    let write = |number| {
        // A writer that cannot be made says so behind the barrier, where nobody waits for it.
        let made = Writer::new(phase, number, case, Instant::now());
        ready.wait();
        Writer { until: Instant::now() + duration, ..made? }.run_as_thread(journal)
    };
    thread::scope(|scope| {
        let write = &write;
        let threads: Vec<_> = (0..case.0).map(|number| scope.spawn(move || write(number))).collect();
        ready.wait();
        let begun = Instant::now();
        let mut latencies = Latencies::new();
        for thread in threads {
            latencies.merge(&thread.join().map_err(|_| panicked())??);
        }
        Ok((rate(case, &latencies, begun), latencies))
    })
}

fn rate(case: Case, latencies: &Latencies, begun: Instant) -> f64 {
    latencies.count() as f64 * case.1 as f64 / begun.elapsed().as_secs_f64()
}

/// One writer, with an entity of its own.
struct Writer {
    entity: EntityKey,
    events: usize,
    until: Instant,
}

impl Writer {
    fn new(phase: u32, number: usize, case: Case, until: Instant) -> Result<Self, Failure> {
        let entity = EntityKey::new("bench", &format!("{phase}-{number}"));
        Ok(Self { entity: entity.map_err(|error| Failure::plain(Exit::Failed, error.to_string()))?, events: case.1, until })
    }

    async fn run_as_task(&self, journal: &EmbeddedJournal) -> Result<Latencies, Failure> {
        let mut latencies = Latencies::new();
        for number in 0_u64.. {
            let begun = Instant::now();
            if begun >= self.until {
                break;
            }
            journal.append(commit(&self.entity, id(number), self.events)).await.map_err(refused)?;
            latencies.add(begun.elapsed());
        }
        Ok(latencies)
    }

    fn run_as_thread(&self, journal: &EmbeddedJournal) -> Result<Latencies, Failure> {
        let (threads, mut latencies) = (ThreadSpawner::new(), Latencies::new());
        for number in 0_u64.. {
            let begun = Instant::now();
            if begun >= self.until {
                break;
            }
            wait_for(&threads, journal.append(commit(&self.entity, id(number), self.events))).map_err(refused)?;
            latencies.add(begun.elapsed());
        }
        Ok(latencies)
    }
}

pub(in crate::bench) fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::plain(Exit::Failed, format!("the journal refused an append: {error}"))
}

fn panicked() -> Failure {
    Failure::plain(Exit::Failed, "a writer panicked; its message stands above")
}

/// The id of a command that is told from others of its entity by a number.
pub(in crate::bench) fn id(number: u64) -> CommandId {
    CommandId::from_raw(&number.to_le_bytes())
}

/// One command with so many events.
pub(in crate::bench) fn commit(entity: &EntityKey, id: CommandId, events: usize) -> Commit {
    Commit { commands: vec![command(entity, id, events)], ..Commit::default() }
}

/// The command of it.
pub(in crate::bench) fn command(entity: &EntityKey, id: CommandId, events: usize) -> CommandRecord {
    let event = EventData {
        name: "measured".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: Bytes::from_static(&PAYLOAD),
    };
    CommandRecord {
        entity: entity.clone(),
        id,
        name: "measure".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::from_static(b"null"),
        events: vec![event; events],
    }
}
