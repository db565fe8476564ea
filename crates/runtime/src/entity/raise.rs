//! Snapshots of older versions of a state: raised by the types that `from` names, instead of made of events again.
//!
//! A snapshot is no truth, and an entity's events say more than any conversion can. So a version is raised only when
//! - it was registered, and the type that `from` names for it reads every shape that was: known at start;
//! - it has proven itself: the first states that are loaded are made of their events too, and both must be equal. One that is not ends
//!   it: from then on, until the process ends, snapshots of that version are passed by, and an operator is told which conversion is wrong.
//!
//! What it is not: for snapshots of another shape under the same version. Those are passed by as ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use component::hosted::state_version;
use journal::EntityKey;
use serde_json::Value as Json;

use crate::Notices;
use crate::limits::RAISED_STATES_PROVEN_BY;

/// The older versions of an entity type's state, and how far each is trusted.
#[derive(Default)]
pub(super) struct Raised {
    standings: Mutex<HashMap<u16, Standing>>,
    notices: OnceLock<Notices>,
}

/// How far a version is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// So many states have come out right.
    Unproven(u32),
    /// Enough have.
    Proven,
    /// Nothing leads up from it, or what does is wrong.
    PassedBy,
}

impl Raised {
    /// These versions may be raised, once they have proven themselves.
    pub(super) fn may(&self, versions: &[u16], notices: &Notices) {
        self.notices.get_or_init(|| Arc::clone(notices));
        let mut known = self.lock();
        for version in versions {
            known.entry(*version).or_insert(Standing::Unproven(0));
        }
    }

    /// How a snapshot of another build stands.
    pub(super) fn standing(&self, build: &str) -> Standing {
        let version = state_version(build);
        version.and_then(|version| self.lock().get(&version).copied()).unwrap_or(Standing::PassedBy)
    }

    /// A raised state was what its events come to.
    fn fits(&self, build: &str) {
        let Some(version) = state_version(build) else { return };
        if let Some(standing @ Standing::Unproven(_)) = self.lock().get_mut(&version) {
            *standing = match *standing {
                Standing::Unproven(so_far) if so_far + 1 < RAISED_STATES_PROVEN_BY => Standing::Unproven(so_far + 1),
                _ => Standing::Proven,
            };
        }
    }

    /// Compares a raised state with the one that its events come to.
    pub(super) fn prove(&self, (entity, sequence, build): (&EntityKey, u64, &str), raised: &Json, made: &Json) {
        if raised == made {
            return self.fits(build);
        }
        let place = difference(raised, made);
        let place = if place.is_empty() { "/" } else { &place };
        self.fails((entity, sequence, build), &format!("is not what its events come to, at {place}"));
    }

    /// A state of a version is not raised as it should be: an operator is told once.
    pub(super) fn fails(&self, (entity, sequence, build): (&EntityKey, u64, &str), how: &str) {
        let Some(version) = state_version(build) else { return };
        if self.lock().insert(version, Standing::PassedBy) == Some(Standing::PassedBy) {
            return;
        }
        let told = format!(
            "snapshots of {} with the state {build} are passed by, and events are replayed instead: raised by `from`, {entity} at sequence {sequence} {how}; \
             mend the conversion, for baselines of that version are raised by it too",
            entity.kind()
        );
        self.notices.get().into_iter().for_each(|notices| notices(&told));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u16, Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where two values differ first, as a JSON pointer: values themselves may be nobody's business.
fn difference(one: &Json, other: &Json) -> String {
    let below = |name: &str, one: Option<&Json>, other: Option<&Json>| match (one, other) {
        (Some(one), Some(other)) => (one != other).then(|| format!("/{name}{}", difference(one, other))),
        _ => Some(format!("/{name}")),
    };
    let found = match (one, other) {
        (Json::Object(one), Json::Object(other)) => {
            one.keys().chain(other.keys()).find_map(|name| match (one.get(name), other.get(name)) {
                (None, None) => None,
                (one, other) => below(name, one, other),
            })
        }
        (Json::Array(one), Json::Array(other)) => {
            (0..one.len().max(other.len())).find_map(|at| below(&at.to_string(), one.get(at), other.get(at)))
        }
        _ => None,
    };
    found.unwrap_or_default()
}
