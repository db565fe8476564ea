//! What a run has met: faults and rare paths, by name. A run of many seeds that has not met all of them proves nothing about the rest.

use std::collections::BTreeMap;

use headwater_journal::sim::Fired;

/// What every run of enough seeds must meet.
pub(super) const WANTED: &[&str] = &[
    "acknowledged",
    "conflict",
    "condition failed",
    "duplicate",
    "mismatch",
    "fenced",
    "refused for lack of room",
    "refused by a journal that has stopped",
    "outcome unknown",
    "unacknowledged commit kept",
    "unacknowledged commit lost",
    "hole behind a write in flight",
    "roll with writes in flight",
    "stalled write",
    "segment without room",
    "seal without room",
    "segment packed",
    "segment not packed",
    "compaction",
    "segment compacted",
    "event dropped",
    "compacted under live readers",
    "compaction refused",
    "damage passed by in a compaction",
    "gone event passed by",
    "tail aside",
    "marker",
    "crash",
    "crash with writes in flight",
    "process killed",
    "clean close",
    "disk failed while opening",
    "opened over a fault",
    "live reader caught up",
    "register of unknown outcome",
    "damage refused at open",
    "damage met by a reader",
    "unproven tail lost to the drive",
    "damage without harm",
    "progress after the faults",
];

/// How often each was met.
#[derive(Default, Clone)]
pub(crate) struct Marks(BTreeMap<&'static str, u64>);

impl Marks {
    pub(super) fn count(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    pub(super) fn add(&mut self, name: &'static str, times: u64) {
        if times > 0 {
            *self.0.entry(name).or_default() += times;
        }
    }

    pub(super) fn take(&mut self, fired: &Fired) {
        fired.named().into_iter().for_each(|(name, times)| self.add(name, times));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, times)| self.add(name, *times));
    }

    /// What was wanted and not met.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let faults = Fired::default().named();
        let wanted = WANTED.iter().copied().chain(faults.iter().map(|(name, _)| *name));
        wanted.filter(|name| !self.0.contains_key(name)).collect()
    }

    pub(super) fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

impl std::fmt::Display for Marks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(name, times)| writeln!(formatter, "  {times:>12}  {name}"))
    }
}
