//! Appends to the embedded journal: tasks that each wait for their commit, beside raw writes of the same kind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater::command_line::GlobalFlags;
use headwater::{Exit, Failure, threads};
use journal::embedded::limits::SEGMENT_BYTES;
use journal::embedded::{EmbeddedJournal, Options, PlantedBug};
use journal::seams::{RealDisk, SystemClock, SystemRandom, ThreadSpawner};
use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Journal as _};
use tokio::task::JoinSet;

use super::probe::DiskProbe;
use super::report::{Figure, Reporter};
use super::statistics::{Latencies, median};
use super::workspace::Workspace;
use super::{Arguments, Case, ROUNDS};

/// Writers and events a commit.
const CASES: [Case; 6] = [Case(1, 1), Case(16, 1), Case(64, 1), Case(256, 1), Case(8, 100), Case(8, 1000)];
const PAYLOAD_BYTES: usize = 200;
/// From so many events a commit on, the journal writes large blocks, and is compared with large writes.
const LARGE_EVENTS: usize = 100;
const SMALL_BLOCK_BYTES: usize = 4 * 1024;
const LARGE_BLOCK_BYTES: usize = 1024 * 1024;

pub(super) fn run(arguments: &Arguments, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let workspace = Workspace::new(flags)?;
    let mut probe = DiskProbe::prepare(&workspace.path("probe"))?;
    for case in arguments.cases(&CASES) {
        let journal = open(&workspace.path(&format!("journal-{case}")))?;
        let figure = measure(case, arguments, &journal, &mut probe)?;
        threads::call(async {
            journal.close().await;
            Ok(())
        })?;
        reporter.tell(&figure)?;
    }
    Ok(())
}

/// A journal of this directory, as a service has it.
pub(super) fn open(directory: &std::path::Path) -> Result<Arc<EmbeddedJournal>, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::plain(Exit::Failed, format!("cannot open a journal in {}: {error}", directory.display()));
    let journal = EmbeddedJournal::open(Options {
        disk: Arc::new(RealDisk::open(directory).map_err(|error| failed(&error))?),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom::new().map_err(|error| failed(&error))?),
        spawner: Arc::new(ThreadSpawner::new()),
        parent: None,
        segment_bytes: SEGMENT_BYTES,
        planted: PlantedBug::None,
    });
    journal.map(Arc::new).map_err(|error| failed(&error))
}

fn measure(case: Case, arguments: &Arguments, journal: &Arc<EmbeddedJournal>, probe: &mut DiskProbe) -> Result<Figure, Failure> {
    let large = case.1 >= LARGE_EVENTS;
    let block_bytes = if large { LARGE_BLOCK_BYTES } else { SMALL_BLOCK_BYTES };
    let (mut rates, mut probes, mut latencies) = (Vec::new(), Vec::new(), Latencies::new());
    for round in 0..ROUNDS {
        probes.push(probe.writes_per_second(block_bytes, arguments.round())?);
        let (rate, of_round) = threads::serve(load(case, round, arguments.round(), Arc::clone(journal)))?;
        rates.push(rate);
        latencies.merge(&of_round);
    }
    let (value, writes) = (median(&rates), median(&probes));
    // Large blocks are a matter of bytes: how many payloads would the raw disk have taken?
    let per_write = if large { LARGE_BLOCK_BYTES as f64 / PAYLOAD_BYTES as f64 } else { 1.0 };
    let probe = if large { (writes * per_write, "200 B payloads/s in 1 MiB writes") } else { (writes, "4 KiB writes/s") };
    Ok(Figure {
        case: format!("journal {case}"),
        value,
        unit: "events/s",
        latencies: Some(latencies),
        probe: Some(probe),
        ratio: Some(value / probe.0),
        bar: None,
    })
}

/// Tasks that append until the time is over; gives events a second and the commits' latencies.
pub(super) async fn load(case: Case, round: u32, duration: Duration, journal: Arc<EmbeddedJournal>) -> Result<(f64, Latencies), Failure> {
    let Case(writers, events) = case;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        tasks.spawn(write(Arc::clone(&journal), format!("{round}-{writer}"), events, begun + duration));
    }
    let mut latencies = Latencies::new();
    while let Some(ended) = tasks.join_next().await {
        let of_writer = ended.map_err(|_| Failure::plain(Exit::Failed, "a writer panicked; its message stands above"))?;
        latencies.merge(&of_writer?);
    }
    let acknowledged = latencies.count() as f64 * events as f64;
    Ok((acknowledged / begun.elapsed().as_secs_f64(), latencies))
}

async fn write(journal: Arc<EmbeddedJournal>, id: String, events: usize, until: Instant) -> Result<Latencies, Failure> {
    let entity = EntityKey::new("bench", &id).map_err(|error| Failure::plain(Exit::Failed, error.to_string()))?;
    let mut latencies = Latencies::new();
    for number in 0_u64.. {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        let appended = journal.append(commit(&entity, number, events)).await;
        appended.map_err(|error| Failure::plain(Exit::Failed, format!("the journal refused an append: {error}")))?;
        latencies.add(begun.elapsed());
    }
    Ok(latencies)
}

fn commit(entity: &EntityKey, number: u64, events: usize) -> Commit {
    let event = EventData {
        name: "measured".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: Bytes::from_static(&PAYLOAD),
    };
    let command = CommandRecord {
        entity: entity.clone(),
        id: CommandId::from_raw(&number.to_le_bytes()),
        name: "measure".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::from_static(b"null"),
        events: vec![event; events],
    };
    Commit { commands: vec![command], ..Commit::default() }
}

static PAYLOAD: [u8; PAYLOAD_BYTES] = [b'x'; PAYLOAD_BYTES];
