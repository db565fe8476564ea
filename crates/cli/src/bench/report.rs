//! One line a figure.

use std::fmt;

use headwater::{Exit, Failure, output};
use serde::Serialize;

use super::statistics::Latencies;

/// One figure.
pub(super) struct Figure {
    /// What was measured, such as `journal 64x1`.
    pub(super) case: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) latencies: Option<Latencies>,
    /// The raw probe of the same run, in its own unit.
    pub(super) probe: Option<(f64, &'static str)>,
    /// What the figure is to its probe.
    pub(super) ratio: Option<f64>,
    pub(super) bar: Option<Bar>,
}

/// A figure as programs read it: these members, in this order.
#[derive(Serialize)]
struct Line<'a> {
    case: &'a str,
    value: f64,
    unit: &'a str,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
    probe: Option<f64>,
    probe_unit: Option<&'a str>,
    ratio: Option<f64>,
    bar: Option<f64>,
    met: Option<bool>,
}

/// What a figure must reach.
#[derive(Clone, Copy)]
pub(super) enum Bar {
    /// The ratio is at least this.
    RatioAtLeast(f64),
    /// The ratio is below this.
    RatioBelow(f64),
    /// The value is at least this.
    AtLeast(f64),
    /// The value is below this.
    Below(f64),
}

impl Figure {
    fn met(&self) -> Option<bool> {
        self.bar.map(|bar| match bar {
            Bar::RatioAtLeast(least) => self.ratio.is_some_and(|ratio| ratio >= least),
            Bar::RatioBelow(bound) => self.ratio.is_some_and(|ratio| ratio < bound),
            Bar::AtLeast(least) => self.value >= least,
            Bar::Below(bound) => self.value < bound,
        })
    }

    fn percentile(&self, per_mille: u64) -> Option<f64> {
        self.latencies.as_ref().map(|latencies| rounded(latencies.percentile_us(per_mille)))
    }

    fn line(&self) -> Line<'_> {
        let bar = self.bar.map(|bar| match bar {
            Bar::RatioAtLeast(bound) | Bar::RatioBelow(bound) | Bar::AtLeast(bound) | Bar::Below(bound) => bound,
        });
        Line {
            case: &self.case,
            value: rounded(self.value),
            unit: self.unit,
            p50_us: self.percentile(500),
            p99_us: self.percentile(990),
            p999_us: self.percentile(999),
            probe: self.probe.map(|(value, _)| rounded(value)),
            probe_unit: self.probe.map(|(_, unit)| unit),
            ratio: self.ratio.map(rounded),
            bar,
            met: self.met(),
        }
    }

    fn to_line(&self) -> String {
        let mut line = format!("{:<22} {:>14} {}", self.case, rounded(self.value), self.unit);
        if let Some(latencies) = &self.latencies {
            let [p50, p99, p999] = [500, 990, 999].map(|per_mille| latencies.percentile_us(per_mille));
            line.push_str(&format!(", p50 {p50:.0} us, p99 {p99:.0} us, p999 {p999:.0} us"));
        }
        if let (Some((probe, unit)), Some(ratio)) = (self.probe, self.ratio) {
            line.push_str(&format!(", probe {} {unit}, ratio {ratio:.3}", rounded(probe)));
        }
        if let (Some(bar), Some(met)) = (self.bar, self.met()) {
            line.push_str(&format!(", bar {bar}: {}", if met { "met" } else { "MISSED" }));
        }
        line
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtLeast(least) => write!(formatter, "ratio >= {least}"),
            Self::RatioBelow(bound) => write!(formatter, "ratio < {bound}"),
            Self::AtLeast(least) => write!(formatter, ">= {least}"),
            Self::Below(bound) => write!(formatter, "< {bound}"),
        }
    }
}

/// Four digits behind the point are more than any measurement has.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// Prints figures, and remembers whether one missed its bar.
pub(super) struct Reporter {
    as_json: bool,
    missed: bool,
}

impl Reporter {
    pub(super) fn new(as_json: bool) -> Self {
        Self { as_json, missed: false }
    }

    pub(super) fn tell(&mut self, figure: &Figure) -> Result<(), Failure> {
        self.missed |= figure.met() == Some(false);
        if !self.as_json {
            return output::data(figure.to_line());
        }
        output::data(serde_json::to_string(&figure.line()).expect("texts and numbers always encode"))
    }

    pub(super) fn exit(&self) -> Exit {
        if self.missed { Exit::Failed } else { Exit::Done }
    }
}

#[cfg(test)]
mod tests {
    use headwater::Exit;

    use super::{Bar, Figure, Reporter};

    fn figure(value: f64, ratio: f64, bar: Bar) -> Figure {
        Figure { case: "test".into(), value, unit: "x", latencies: None, probe: Some((1.0, "y")), ratio: Some(ratio), bar: Some(bar) }
    }

    #[test]
    fn a_bar_is_met_or_missed() {
        assert_eq!(figure(1.0, 0.3, Bar::RatioAtLeast(0.25)).met(), Some(true));
        assert_eq!(figure(1.0, 0.2, Bar::RatioAtLeast(0.25)).met(), Some(false));
        assert_eq!(figure(1.0, 0.2, Bar::Below(2.0)).met(), Some(true));
        assert_eq!(figure(2.0, 0.2, Bar::Below(2.0)).met(), Some(false));
        assert_eq!([1.9, 2.0].map(|value| figure(value, 0.2, Bar::AtLeast(2.0)).met()), [Some(false), Some(true)]);
        assert_eq!([1.9, 2.0].map(|ratio| figure(1.0, ratio, Bar::RatioBelow(2.0)).met()), [Some(true), Some(false)]);
    }

    #[test]
    fn a_missed_bar_is_a_failed_run() {
        let mut reporter = Reporter::new(true);
        assert_eq!(reporter.exit(), Exit::Done);
        reporter.tell(&figure(2.0, 0.2, Bar::Below(2.0))).expect("standard output takes a line");
        assert_eq!(reporter.exit(), Exit::Failed);
    }
}
