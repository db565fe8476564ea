//! Figures: what a case says, each with its bar where it has one.

use serde::Serialize;

use crate::bars;
use crate::case::{Case, PAYLOAD_BYTES};
use crate::measure::{Measured, OfSide, Raw};
use crate::side::Side;

/// One figure, with the members that a line of `headwater bench --json` has, and a few of its own.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figure {
    pub(crate) case: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The slowest and the fastest round.
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// By the process's counter.
    pub(crate) bytes_per_event: Option<f64>,
    /// By the device's counter.
    pub(crate) sector_bytes_per_event: Option<f64>,
    pub(crate) probe: Option<f64>,
    pub(crate) probe_unit: Option<&'static str>,
    pub(crate) ratio: Option<f64>,
    pub(crate) bar: Option<f64>,
    pub(crate) met: Option<bool>,
}

impl Measured {
    /// All figures of the case.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![self.raw_figure()];
        for side in &self.sides {
            figures.push(self.rate_figure(side));
        }
        for side in self.sides.iter().filter(|side| bars::is_ours(side.side)) {
            figures.extend(self.lone_figure(side));
            figures.extend(self.bandwidth_figure(side));
            figures.extend(self.bytes_figure(side));
        }
        figures
    }

    fn raw_figure(&self) -> Figure {
        let named = |what: &str| format!("{} {what}", self.case);
        match &self.raw {
            Raw::Small(latencies) => {
                let p50 = latencies.percentile_us(500);
                let (p50_us, p99_us) = (Some(p50), Some(latencies.percentile_us(990)));
                Figure { case: named("raw 4 KiB depth 1"), value: 1e6 / p50, unit: "writes/s at p50", p50_us, p99_us, ..Figure::default() }
            }
            Raw::Large(_) => Figure { case: named("raw 1 MiB depth 4"), value: self.bandwidth(), unit: "bytes/s", ..Figure::default() },
        }
    }

    fn rate_figure(&self, of_side: &OfSide) -> Figure {
        let tephra = self.sides.iter().find(|other| other.side == Side::Tephra && of_side.side != Side::Tephra).map(OfSide::rate);
        let ratio = tephra.map(|tephra| of_side.rate() / tephra);
        let bar = ratio.and_then(|_| bars::ratio_min(of_side.side, self.case));
        let (min, max) = of_side.range();
        Figure {
            case: named(self.case, of_side, ""),
            value: of_side.rate(),
            unit: "events/s",
            min: Some(min),
            max: Some(max),
            p50_us: Some(of_side.latencies.percentile_us(500)),
            p99_us: Some(of_side.latencies.percentile_us(990)),
            bytes_per_event: of_side.bytes_per_event(),
            sector_bytes_per_event: of_side.sector_bytes_per_event(),
            probe: tephra,
            probe_unit: tephra.map(|_| "events/s of tephra"),
            ratio,
            bar,
            met: bar.zip(ratio).map(|(bar, ratio)| ratio >= bar),
        }
    }

    /// A lone writer waits for one write: how much more than the write itself?
    fn lone_figure(&self, of_side: &OfSide) -> Option<Figure> {
        let Raw::Small(raw) = &self.raw else { return None };
        let is_lone = self.case == Case { writers: 1, events: 1 };
        let (value, probe) = (of_side.latencies.percentile_us(500), raw.percentile_us(500));
        // Tasks have one hop more than the bar is about.
        let bar = (of_side.side == Side::HeadwaterThreads).then_some(bars::LONE_RATIO_MAX);
        let figure = Figure {
            case: named(self.case, of_side, " lone p50"),
            value,
            unit: "us",
            probe: Some(probe),
            probe_unit: Some("us of a raw 4 KiB write"),
            ratio: Some(value / probe),
            bar,
            met: bar.map(|bar| value / probe <= bar),
            ..Figure::default()
        };
        is_lone.then_some(figure)
    }

    /// The largest commits are a matter of bytes. Only payloads count, and nothing that the journal adds.
    fn bandwidth_figure(&self, of_side: &OfSide) -> Option<Figure> {
        let value = of_side.rate() * PAYLOAD_BYTES as f64;
        let ratio = value / self.bandwidth();
        let bar = (self.case.events >= 1000 && of_side.side == Side::HeadwaterThreads).then_some(bars::BANDWIDTH_RATIO_MIN);
        let figure = Figure {
            case: named(self.case, of_side, " payload bandwidth"),
            value,
            unit: "bytes/s",
            probe: Some(self.bandwidth()),
            probe_unit: Some("bytes/s of raw 1 MiB writes at depth 4"),
            ratio: Some(ratio),
            bar,
            met: bar.map(|bar| ratio >= bar),
            ..Figure::default()
        };
        matches!(self.raw, Raw::Large(_)).then_some(figure)
    }

    fn bytes_figure(&self, of_side: &OfSide) -> Option<Figure> {
        let value = of_side.bytes_per_event().filter(|_| bars::bytes_are_bound(of_side.side, self.case))?;
        let bar = PAYLOAD_BYTES as f64 + bars::OVERHEAD_BYTES_MAX;
        Some(Figure {
            case: named(self.case, of_side, " device bytes"),
            value,
            unit: "bytes/event of the process",
            bar: Some(bar),
            met: Some(value <= bar),
            ..Figure::default()
        })
    }

    fn bandwidth(&self) -> f64 {
        match &self.raw {
            Raw::Large(bandwidths) => crate::statistics::median(bandwidths),
            Raw::Small(_) => 0.0,
        }
    }
}

fn named(case: Case, of_side: &OfSide, what: &str) -> String {
    format!("{case} {}{what}", of_side.side.name())
}
