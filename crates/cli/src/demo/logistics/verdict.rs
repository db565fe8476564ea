//! Which shipments ended as was planned for them, and whether all pieces are accounted for.
//!
//! Ends are shown and not judged: while the service is down the world is silent and time goes on, so that a demo that was killed has
//! shipments that nobody answered in time. Pieces are judged, whatever happened.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater::{Failure, output};
use serde_json::json;

use super::fate::{Ended, Fate};

/// What the supplier has, and what carriers still have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accounts {
    pub(super) made: u32,
    pub(super) ready: u32,
    pub(super) sold: u32,
    pub(super) lost: u32,
    /// Pieces that are promised or on the road.
    pub(super) open: u32,
    /// Lorries that are away.
    pub(super) away: usize,
}

/// See the module.
pub(super) struct Verdict {
    counts: BTreeMap<String, usize>,
    /// Those that ended otherwise than planned, with both ends.
    other: Vec<(String, String, String)>,
    accounts: Accounts,
    took: Duration,
}

impl Verdict {
    pub(super) fn of(ended: &[(String, Ended)], accounts: Accounts, took: Duration) -> Self {
        let (mut counts, mut other) = (BTreeMap::new(), Vec::new());
        for (shipment, end) in ended {
            *counts.entry(word(end)).or_default() += 1;
            let planned = Fate::of(shipment).map(Fate::end);
            if planned.as_ref().is_some_and(|planned| planned != end) {
                other.push((shipment.clone(), planned.as_ref().map(word).unwrap_or_default(), word(end)));
            }
        }
        Self { counts, other, accounts, took }
    }

    /// Whether no piece is missing, and none is there twice.
    pub(super) fn is_balanced(&self) -> bool {
        let Accounts { made, ready, sold, lost, open, .. } = self.accounts;
        made == ready + sold + lost + open
    }

    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        let Accounts { made, ready, sold, lost, open, away } = self.accounts;
        if as_json {
            let other: Vec<_> =
                self.other.iter().map(|(id, planned, ended)| json!({ "shipment": id, "planned": planned, "ended": ended })).collect();
            return output::json(&json!({
                "shipments": self.counts.values().sum::<usize>(), "ended": self.counts, "otherwise": other, "balanced": self.is_balanced(),
                "pieces": { "made": made, "ready": ready, "sold": sold, "lost": lost, "open": open }, "lorries_away": away,
                "seconds": self.took.as_secs_f64(), "generated": true,
            }));
        }
        self.counts.iter().try_for_each(|(end, count)| output::data(format!("{end:<14} {count:>6}")))?;
        output::data(format!(
            "pieces         {made:>6}  made: {ready} ready, {sold} sold, {lost} lost, {open} on their way; {away} lorries are away"
        ))?;
        for (shipment, planned, ended) in &self.other {
            output::data(format!("{shipment} was to be {planned}, and is {ended}: somebody was late"))?;
        }
        let planned = if self.other.is_empty() { "; each ended as it was planned" } else { "" };
        output::talk(format!("all are at their ends after {:.1} s{planned}", self.took.as_secs_f64()));
        if !self.is_balanced() {
            output::talk("pieces are missing, or there are too many: that must never be");
        }
        Ok(())
    }
}

fn word(end: &Ended) -> String {
    end.as_ref().map_or_else(Clone::clone, |outcome| outcome.word().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::fate::id;
    use super::*;
    use crate::logistics::delivery::Outcome;

    const BALANCED: Accounts = Accounts { made: 9, ready: 5, sold: 3, lost: 1, open: 0, away: 0 };

    #[test]
    fn what_ended_otherwise_and_what_is_missing_is_found() {
        let ended = [(id(0), Ok(Outcome::Delivered)), (id(4), Err("no-carrier".to_owned())), ("mine".to_owned(), Ok(Outcome::Lost))];
        let verdict = Verdict::of(&ended, BALANCED, Duration::ZERO);
        assert!(verdict.other.is_empty() && verdict.is_balanced());
        let other = [(id(0), Ok(Outcome::Returned))];
        let verdict = Verdict::of(&other, BALANCED, Duration::ZERO);
        assert_eq!(verdict.other, [(id(0), "delivered".to_owned(), "returned".to_owned())]);
        assert!(!Verdict::of(&ended, Accounts { ready: 4, ..BALANCED }, Duration::ZERO).is_balanced());
    }
}
