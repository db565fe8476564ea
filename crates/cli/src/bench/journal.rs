//! Appends to the embedded journal, by tasks and by threads of the operating system, beside raw writes of the same kind.
//!
//! Each round begins an empty journal and warms it up with a load that does not count. `benches/peers` has the same load beside other
//! stores.

pub(super) mod load;

use std::sync::Arc;

use headwater::command_line::GlobalFlags;
use headwater::{Exit, Failure, threads};
use journal::embedded::limits::SEGMENT_BYTES;
use journal::embedded::{EmbeddedJournal, Options, PlantedBug};
use journal::seams::{RealDisk, SystemClock, SystemRandom, ThreadSpawner};

use super::probe::DiskProbe;
use super::report::{Bar, Figure, Reporter};
use super::statistics::{Latencies, median};
use super::workspace::Workspace;
use super::written;
use super::{Arguments, Case, ROUNDS};

/// Writers and events a commit.
const CASES: [Case; 6] = [Case(1, 1), Case(16, 1), Case(64, 1), Case(256, 1), Case(8, 100), Case(8, 1000)];
const PAYLOAD_BYTES: usize = 200;
/// From so many events a commit on, the journal writes large blocks, and is compared with large writes.
const LARGE_EVENTS: usize = 100;
/// The warm-up's part of a round.
const WARM_UP_PART: u32 = 5;
/// A lone writer's p50, in those of a raw write.
const LONE_RATIO_MAX: f64 = 1.3;
/// Payload bytes of commits of a thousand events, in those that the raw disk takes.
const BANDWIDTH_RATIO_MIN: f64 = 0.35;
/// From so many writers on, what a process writes an event is held to a bar.
const BYTES_WRITERS: usize = 64;
/// What it may be besides the payload.
const OVERHEAD_BYTES_MAX: usize = 120;

/// Who appends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writers {
    Tasks,
    Threads,
}

pub(super) fn run(arguments: &Arguments, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let workspace = Workspace::new(flags)?;
    let mut probe = DiskProbe::prepare(&workspace.path("probe"))?;
    for case in arguments.cases(&CASES) {
        for measured in measure(case, arguments, &workspace, &mut probe)? {
            measured.figures().iter().try_for_each(|figure| reporter.tell(figure))?;
        }
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
    let journal = journal.map_err(|error| failed(&error))?;
    // A pass in the background would make the figures those of another journal.
    journal.set_packing(false);
    Ok(Arc::new(journal))
}

pub(super) fn close(journal: &EmbeddedJournal) -> Result<(), Failure> {
    threads::call(async {
        journal.close().await;
        Ok(())
    })
}

/// The rounds of a case with one kind of writers.
struct Measured {
    case: Case,
    writers: Writers,
    /// Events a second, one a round.
    rates: Vec<f64>,
    latencies: Latencies,
    /// Of all rounds; `None` where the system does not tell.
    written: Option<u64>,
    acknowledged: u64,
    raw: Raw,
}

/// The disk itself, in the same rounds.
#[derive(Clone)]
enum Raw {
    Small(Latencies),
    /// Bytes a second, one a round.
    Large(Vec<f64>),
}

fn measure(case: Case, arguments: &Arguments, workspace: &Workspace, probe: &mut DiskProbe) -> Result<[Measured; 2], Failure> {
    let mut raw = if case.1 >= LARGE_EVENTS { Raw::Large(Vec::new()) } else { Raw::Small(Latencies::new()) };
    let mut both = [Writers::Tasks, Writers::Threads].map(|writers| Measured::new(case, writers, raw.clone()));
    for _ in 0..ROUNDS {
        match &mut raw {
            Raw::Small(latencies) => latencies.merge(&probe.small_writes(arguments.round())?),
            Raw::Large(bandwidths) => bandwidths.push(probe.large_bandwidth(arguments.round())?),
        }
        for measured in &mut both {
            measured.take_round(arguments.round(), &workspace.path("journal"))?;
        }
    }
    Ok(both.map(|measured| Measured { raw: raw.clone(), ..measured }))
}

impl Measured {
    fn new(case: Case, writers: Writers, raw: Raw) -> Self {
        Self { case, writers, rates: Vec::new(), latencies: Latencies::new(), written: Some(0), acknowledged: 0, raw }
    }

    fn take_round(&mut self, duration: std::time::Duration, directory: &std::path::Path) -> Result<(), Failure> {
        let journal = open(directory)?;
        self.append(0, duration / WARM_UP_PART, &journal)?;
        let before = written::bytes();
        let (rate, latencies) = self.append(1, duration, &journal)?;
        self.written = self.written.zip(written::bytes()).zip(before).map(|((sum, now), before)| sum + now - before);
        self.acknowledged += latencies.count() * self.case.1 as u64;
        self.rates.push(rate);
        self.latencies.merge(&latencies);
        close(&journal)?;
        drop(journal);
        std::fs::remove_dir_all(directory).map_err(|error| Failure::plain(Exit::Failed, format!("a journal is not removed: {error}")))
    }

    fn append(&self, phase: u32, duration: std::time::Duration, journal: &Arc<EmbeddedJournal>) -> Result<(f64, Latencies), Failure> {
        match self.writers {
            Writers::Tasks => threads::serve(load::tasks(self.case, phase, duration, Arc::clone(journal))),
            Writers::Threads => load::threads(self.case, phase, duration, journal),
        }
    }

    fn figures(self) -> Vec<Figure> {
        let bytes = self.bytes_figure();
        let lone = self.lone_figure();
        std::iter::once(self.rate_figure()).chain(lone).chain(bytes).collect()
    }

    fn name(&self) -> String {
        let writers = if self.writers == Writers::Threads { " threads" } else { "" };
        format!("journal {}{writers}", self.case)
    }

    fn rate_figure(self) -> Figure {
        let value = median(&self.rates);
        let probe = match &self.raw {
            Raw::Small(latencies) => (1e6 / latencies.percentile_us(500), "4 KiB writes/s at their p50"),
            // Large blocks are a matter of bytes: how many payloads would the raw disk have taken?
            Raw::Large(bandwidths) => (median(bandwidths) / PAYLOAD_BYTES as f64, "200 B payloads/s in 1 MiB writes at depth 4"),
        };
        let is_bound = self.case.1 >= 1_000 && self.writers == Writers::Threads;
        Figure {
            case: self.name(),
            value,
            unit: "events/s",
            latencies: Some(self.latencies),
            probe: Some(probe),
            ratio: Some(value / probe.0),
            bar: is_bound.then_some(Bar::RatioAtLeast(BANDWIDTH_RATIO_MIN)),
        }
    }

    /// A lone writer waits for one write: what does it wait for besides?
    fn lone_figure(&self) -> Option<Figure> {
        let Raw::Small(raw) = &self.raw else { return None };
        let (value, probe) = (self.latencies.percentile_us(500), raw.percentile_us(500));
        let figure = Figure {
            case: format!("{} p50", self.name()),
            value,
            unit: "us",
            latencies: None,
            probe: Some((probe, "us, p50 of a raw 4 KiB write")),
            ratio: Some(value / probe),
            // A task has one hop between threads more than the bar is about.
            bar: (self.writers == Writers::Threads).then_some(Bar::RatioBelow(LONE_RATIO_MAX)),
        };
        (self.case == Case(1, 1)).then_some(figure)
    }

    /// What the device takes for an event, with the blocks that are filled up and the segments that are prepared.
    fn bytes_figure(&self) -> Option<Figure> {
        let written = self.written.filter(|_| self.case.0 >= BYTES_WRITERS)?;
        Some(Figure {
            case: format!("{} bytes", self.name()),
            value: written as f64 / self.acknowledged as f64,
            unit: "bytes written/event",
            latencies: None,
            probe: None,
            ratio: None,
            bar: Some(Bar::Below((PAYLOAD_BYTES + OVERHEAD_BYTES_MAX) as f64)),
        })
    }
}
