//! Figures: what each side made, and what one is of another, with its bar where it has one.

use crate::measure::{Measured, OfSide};
use crate::report::{Bar, Figure};
use crate::side::Side;
use crate::statistics::median;

/// A side, the one that it is compared with, and what it must be of it.
const COMPARED: [(Side, Side, Option<f64>); 6] = [
    (Side::Headwater, Side::CqrsEs, Some(5.0)),
    (Side::Headwater, Side::Bare, Some(0.7)),
    (Side::TwoNodes, Side::Headwater, Some(1.0)),
    (Side::HeadwaterRuntime, Side::CqrsEs, None),
    (Side::HeadwaterRuntime, Side::Bare, None),
    (Side::HeadwaterEngine, Side::Bare, None),
];

impl Measured {
    /// All figures, those of sides that were there.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let syncs = figure("raw fdatasync".to_owned(), median(&self.syncs), "appends/s");
        let sides = self.sides.iter().map(|of_side| Figure {
            latencies: Some(of_side.latencies.clone()),
            ..figure(of_side.side.name().to_owned(), of_side.rate(), "commands/s")
        });
        let compared = COMPARED.iter().filter_map(|(side, other, bar)| Some(compare(self.of(*side)?, self.of(*other)?, *bar)));
        std::iter::once(syncs).chain(sides).chain(compared).collect()
    }

    fn of(&self, side: Side) -> Option<&OfSide> {
        self.sides.iter().find(|of_side| of_side.side == side)
    }
}

fn compare(of_side: &OfSide, other: &OfSide, bar: Option<f64>) -> Figure {
    let (value, probe) = (of_side.rate(), other.rate());
    Figure {
        probe: Some((probe, "commands/s of that one")),
        ratio: Some(value / probe),
        bar: bar.map(Bar::RatioAtLeast),
        ..figure(format!("{} of {}", of_side.side.name(), other.side.name()), value, "commands/s")
    }
}

fn figure(case: String, value: f64, unit: &'static str) -> Figure {
    Figure { case, value, unit, latencies: None, probe: None, ratio: None, bar: None }
}

#[cfg(test)]
mod tests {
    use headwater::Exit;

    use super::OfSide;
    use crate::measure::Measured;
    use crate::report::Reporter;
    use crate::side::Side;
    use crate::statistics::Latencies;

    fn exit(rates: &[(Side, f64)]) -> Exit {
        let of_side = |(side, rate): &(Side, f64)| OfSide { side: *side, rates: vec![*rate], latencies: Latencies::new() };
        let measured = Measured { sides: rates.iter().map(of_side).collect(), syncs: vec![1.0] };
        let mut reporter = Reporter::new(true);
        measured.figures().iter().for_each(|figure| reporter.tell(figure).expect("standard output takes a line"));
        reporter.exit()
    }

    #[test]
    fn each_bar_is_held_to_the_side_that_it_names() {
        let met = [(Side::Headwater, 5_000.0), (Side::TwoNodes, 5_000.0), (Side::CqrsEs, 1_000.0), (Side::Bare, 7_000.0)];
        assert_eq!(exit(&met), Exit::Done);
        for (place, rate) in [(0, 4_899.0), (1, 4_999.0), (2, 1_001.0), (3, 7_143.0)] {
            let mut missed = met;
            missed[place].1 = rate;
            assert_eq!(exit(&missed), Exit::Failed, "{place}");
        }
        assert_eq!(exit(&met[..1]), Exit::Done, "alone it is held to nothing");
    }
}
