//! What a pass sees of one entity: whether events of it may go, and whether a baseline stands for them.

use journal::{BASELINE, Cursor, EntityKey, Journal, KeepRule, ReadError, ReadMode, Recorded, Selection};

use crate::entity::baseline::Baseline;
use crate::limits::BASELINE_AFTER_EVENTS;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// Events before the last baseline.
    before: u64,
    /// Events behind it that could go if there were another one.
    uncovered: u64,
    /// All events behind it.
    behind: u64,
    /// The shape of the state in the last baseline.
    build: Option<String>,
}

impl Sight {
    /// Looks at an entity. Most have nothing that could go, which their head and their first event tell; a thorough look wants to know of
    /// every baseline all the same.
    pub(super) async fn of(journal: &dyn Journal, key: &EntityKey, rule: &KeepRule, is_thorough: bool) -> Result<Self, ReadError> {
        let Some(head) = journal.entity_head(key).await? else { return Ok(Self::default()) };
        // What a `$deleted` ends needs nothing else to stand for it.
        if head.deleted || (head.sequence <= rule.last && !is_thorough) {
            return Ok(Self::default());
        }
        let may_go = |event: &Recorded| event.time < rule.since && event.sequence + rule.last <= head.sequence;
        let selection = Selection::Entity { entity: key.clone(), from_sequence: 1 };
        let mut events = journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
        let mut sight = Self::default();
        while let Some(event) = events.next_event().await {
            let event = event?;
            // Later events are younger, and more of the last ones.
            if !is_thorough && sight == Self::default() && !may_go(&event) {
                return Ok(sight);
            }
            sight.take(&event, may_go(&event));
        }
        Ok(sight)
    }

    fn take(&mut self, event: &Recorded, may_go: bool) {
        if &*event.name != BASELINE {
            self.behind += 1;
            self.uncovered += u64::from(may_go);
            return;
        }
        self.before += self.behind;
        (self.uncovered, self.behind) = (0, 0);
        self.build = Baseline::of(&event.payload).map(|baseline| baseline.build.into_owned());
    }

    /// Whether a baseline of another state than the component has now stands for events that are still there: they say more to it.
    pub(super) fn is_stale(&self, build: &str) -> bool {
        self.before > 0 && self.build.as_deref() != Some(build)
    }

    /// Whether a baseline is worth its own room. An entity that goes on gets one for every so many events; one that rests, when two
    /// events may go for it.
    pub(super) fn wants_baseline(&self, build: &str) -> bool {
        let rests = self.uncovered >= 2 && self.uncovered == self.behind;
        rests || self.uncovered >= BASELINE_AFTER_EVENTS || self.is_stale(build)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(before: u64, uncovered: u64, behind: u64, build: Option<&str>) -> Sight {
        Sight { before, uncovered, behind, build: build.map(str::to_owned) }
    }

    #[test]
    fn a_baseline_is_written_where_it_saves_more_than_it_takes() {
        for (seen, wants) in [
            (sight(0, 0, 0, None), false),
            (sight(0, 1, 1, None), false),
            (sight(0, 2, 2, None), true),
            // It goes on: its next baseline stands for these as well.
            (sight(0, 2, 3, None), false),
            (sight(0, BASELINE_AFTER_EVENTS - 1, 100, None), false),
            (sight(0, BASELINE_AFTER_EVENTS, 100, None), true),
            (sight(9, 0, 4, Some("v1-a")), false),
            // What stands for them has another shape, and they are still there to be read.
            (sight(9, 0, 4, Some("v1-b")), true),
            (sight(0, 0, 4, Some("v1-b")), false),
        ] {
            assert_eq!(seen.wants_baseline("v1-a"), wants, "{seen:?}");
        }
    }
}
