//! What people see of retention.

use component::Keep;
use journal::{Compacted, Cursor, Timestamp};

/// How retention stands. The counters only grow while the process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionStatus {
    /// The entity types with a policy, and what each of them keeps.
    pub kinds: Vec<(&'static str, Keep)>,
    /// A pass is under way.
    pub running: bool,
    /// Whole passes.
    pub passes: u64,
    /// Passes that ended early: each is tried again.
    pub failures: u64,
    /// Entities that were looked at, over all passes.
    pub entities: u64,
    /// Baselines that were written, over all passes.
    pub baselines: u64,
    /// Entities of the last pass that keep all their events, because their state is too large for a baseline.
    pub too_large: u64,
    /// Entities of the last pass whose state this version of the component cannot read: they keep what they have.
    pub unreadable: u64,
    /// When the last pass ended, of this process or an earlier one.
    pub ended: Option<Timestamp>,
    /// What the engine gave back in the last pass; `None` before the first one, and when the engine does not compact.
    pub compacted: Option<Compacted>,
    /// Events that are gone, and bytes that were given back, over all passes.
    pub total: Compacted,
    /// The engine keeps everything: it cannot compact.
    pub unable: bool,
    /// Who has not read yet what could go otherwise.
    pub waits: Option<RetentionWait>,
    /// Entity types that have lost events, in this process or before.
    pub lost: Vec<String>,
    /// Why the last pass ended early.
    pub problem: Option<String>,
}

/// For whom retention waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionWait {
    /// Such as `consumer bill-orders`.
    pub who: String,
    /// The place that it goes on from.
    pub cursor: Cursor,
}

impl std::fmt::Display for RetentionWait {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "retention waits for {} at cursor {}", self.who, self.cursor)
    }
}
