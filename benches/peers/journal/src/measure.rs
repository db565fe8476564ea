//! One case: rounds in which every side has its turn, and what is left of them.

use std::fs;
use std::time::Duration;

use crate::Outcome;
use crate::case::Case;
use crate::device::{Counters, Written};
use crate::load::Load;
use crate::probe::DiskProbe;
use crate::side::Side;
use crate::statistics::{Latencies, median};
use crate::workspace::Workspace;

/// A store that has just been opened gets a load that does not count, of this part of a round: threads and segments are there then.
const WARM_UP_PART: u32 = 5;

/// What to do.
pub(crate) struct Plan<'a> {
    pub(crate) case: Case,
    pub(crate) sides: &'a [Side],
    pub(crate) rounds: u32,
    pub(crate) round: Duration,
}

/// What came of a case.
pub(crate) struct Measured {
    pub(crate) case: Case,
    pub(crate) sides: Vec<OfSide>,
    pub(crate) raw: Raw,
}

/// The rounds of one side.
pub(crate) struct OfSide {
    pub(crate) side: Side,
    /// Events a second, one a round.
    rates: Vec<f64>,
    pub(crate) latencies: Latencies,
    events: f64,
    by_process: Option<u64>,
    to_device: Option<u64>,
}

/// The disk itself, in the same rounds.
pub(crate) enum Raw {
    /// 4 KiB at depth 1.
    Small(Latencies),
    /// 1 MiB at depth 4: bytes a second, one a round.
    Large(Vec<f64>),
}

/// Runs the rounds.
pub(crate) fn measure(plan: &Plan, probe: &mut DiskProbe, workspace: &Workspace) -> Outcome<Measured> {
    let mut sides: Vec<OfSide> = plan.sides.iter().map(|side| OfSide::new(*side)).collect();
    let mut raw = if plan.case.is_large() { Raw::Large(Vec::new()) } else { Raw::Small(Latencies::new()) };
    for round in 0..plan.rounds as usize {
        raw.take_round(probe, plan.round)?;
        for turn in 0..sides.len() {
            // Who begins changes from round to round.
            let index = (round + turn) % sides.len();
            sides[index].take_round(plan, workspace)?;
        }
    }
    Ok(Measured { case: plan.case, sides, raw })
}

impl Raw {
    fn take_round(&mut self, probe: &mut DiskProbe, duration: Duration) -> Outcome<()> {
        match self {
            Self::Small(latencies) => latencies.merge(&probe.small_writes(duration)?),
            Self::Large(bandwidths) => bandwidths.push(probe.large_bandwidth(duration)?),
        }
        Ok(())
    }
}

impl OfSide {
    fn new(side: Side) -> Self {
        Self { side, rates: Vec::new(), latencies: Latencies::new(), events: 0.0, by_process: Some(0), to_device: Some(0) }
    }

    fn take_round(&mut self, plan: &Plan, workspace: &Workspace) -> Outcome<()> {
        let directory = workspace.path(self.side.name());
        let mut store = self.side.open(&directory)?;
        store.load(Load { case: plan.case, duration: plan.round / WARM_UP_PART, phase: 0 })?;
        let counters = Counters::new(&store.process(), &directory);
        let before = counters.read();
        let acknowledged = store.load(Load { case: plan.case, duration: plan.round, phase: 1 })?;
        self.count(counters.read().since(before));
        self.events += acknowledged.events;
        self.rates.push(acknowledged.events / acknowledged.elapsed.as_secs_f64());
        self.latencies.merge(&acknowledged.latencies);
        store.close()?;
        Ok(fs::remove_dir_all(&directory)?)
    }

    fn count(&mut self, written: Written) {
        let sum = |sum: Option<u64>, more: Option<u64>| Some(sum? + more?);
        self.by_process = sum(self.by_process, written.by_process);
        self.to_device = sum(self.to_device, written.to_device);
    }

    /// The median of its rounds, in events a second.
    pub(crate) fn rate(&self) -> f64 {
        median(&self.rates)
    }

    /// The slowest and the fastest round.
    pub(crate) fn range(&self) -> (f64, f64) {
        self.rates.iter().fold((f64::INFINITY, 0.0), |(least, most), rate| (rate.min(least), rate.max(most)))
    }

    /// What its process wrote an event.
    pub(crate) fn bytes_per_event(&self) -> Option<f64> {
        self.by_process.map(|bytes| bytes as f64 / self.events)
    }

    /// What reached the device an event, with all that others wrote meanwhile.
    pub(crate) fn sector_bytes_per_event(&self) -> Option<f64> {
        self.to_device.map(|bytes| bytes as f64 / self.events)
    }
}
