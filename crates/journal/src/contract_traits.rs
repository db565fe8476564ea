//! The trait that every engine keeps. `contract` is its public suite.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::commit::{CommandId, Commit, Committed};
use crate::compaction::{CompactRules, Compacted};
use crate::cursor::{Cursor, Lineage};
use crate::error::{AppendError, ReadError};
use crate::key::{EntityKey, EntityType};
use crate::read::{Events, FoundCommand, Head, Keys, ReadMode, Selection};
use crate::scrub::ScrubStatus;
use crate::time::Timestamp;

/// A boxed future, over std alone, so that engines can be chosen by URL.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The ordered log of commits of one service.
///
/// Every engine holds: an acknowledged commit is durable; it becomes visible at once and never before it is durable;
/// position order is commit order and nothing becomes visible behind a reader; a command id takes effect at most once on
/// its entity, for ever.
pub trait Journal: Send + Sync + 'static {
    /// The history this journal holds.
    fn lineage(&self) -> &Lineage;

    /// Makes a commit durable, all or nothing. The commit takes its place in the order when this function returns, not when
    /// its future is polled: a caller that holds a lock while it calls may let go of it before it awaits. A dropped
    /// future does not undo the append.
    ///
    /// Checked in this order: bounds, fence, command ids (duplicate or mismatch), expectations, tag condition.
    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, AppendError>>;

    /// Reads events after `from`, in position order (an entity's in sequence order, which is the same).
    fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events;

    /// The entity's last event; linearizable: it reflects every append acknowledged before the call.
    fn entity_head(&self, entity: &EntityKey) -> BoxFuture<'_, Result<Option<Head>, ReadError>>;

    /// The place after the last durable event; linearizable.
    fn head(&self) -> BoxFuture<'_, Result<Cursor, ReadError>>;

    /// The keys of all entities of a type that have had an event, after a key, ordered by tenant and id.
    fn entities(&self, kind: &EntityType, after: Option<EntityKey>) -> Keys;

    /// The place before the first event whose time is `time` or later; the head when there is none.
    fn cursor_at(&self, time: Timestamp) -> BoxFuture<'_, Result<Cursor, ReadError>>;

    /// What a command id left on an entity, if it took effect; linearizable.
    fn find_command(&self, entity: &EntityKey, id: CommandId) -> BoxFuture<'_, Result<Option<FoundCommand>, ReadError>>;

    /// What this engine can do beyond the common part.
    fn capabilities(&self) -> Capabilities;

    /// Why this journal takes no more writes; `None` while it does.
    fn poisoned(&self) -> Option<String>;

    /// Whether commits are refused for lack of room. Asking may make the engine look for room again, so that a service that
    /// nobody sends commands to hears of it too.
    fn is_full(&self) -> bool {
        false
    }

    /// Since when the engine waits for storage that takes longer than it should. Commits are still taken, up to the bound of
    /// what may wait, and reads go on; `None` while all is well.
    fn degraded_since(&self) -> Option<Timestamp> {
        None
    }

    /// How the background scrub stands; `None` where the engine has none.
    fn scrub_status(&self) -> Option<ScrubStatus> {
        None
    }

    /// Wants a pass of the scrub now.
    fn scrub_now(&self) {}

    /// Gives back the room of events that a later `$baseline` or `$deleted` stands for, as far as the rules let them go; resolves when
    /// it is done. `None`: the engine does not compact. One at a time; a later call waits.
    ///
    /// Readers that are under way lose nothing and see nothing twice; a kill at any moment leaves each segment as it was or compacted.
    fn compact(&self, rules: CompactRules) -> BoxFuture<'_, Result<Option<Compacted>, ReadError>> {
        let _ = rules;
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// Something that not every engine can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// Tag conditions on append.
    TagCondition,
    /// Expectations about entities that are not written.
    ForeignGuard,
    /// Commits that write several entities.
    MultiEntityCommit,
    /// Views in the transaction of the commit.
    ViewInSameTransaction,
    /// Several processes have the same journal at once.
    ManyNodes,
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TagCondition => "tag-condition",
            Self::ForeignGuard => "foreign-guard",
            Self::MultiEntityCommit => "multi-entity-commit",
            Self::ViewInSameTransaction => "view-in-same-transaction",
            Self::ManyNodes => "many-nodes",
        })
    }
}

/// The capabilities of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(Vec<Capability>);

impl Capabilities {
    /// From a list.
    #[must_use]
    pub fn new(list: impl Into<Vec<Capability>>) -> Self {
        Self(list.into())
    }

    /// Whether the engine can do it.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }
}
