//! The runtime: runs components over an engine. It knows no HTTP, reads no environment and starts no threads of its own.

mod entity;
pub mod limits;
mod request;

use std::sync::Arc;

use component::hosted::{EntityDescription, EntityHandle, OperationDescription, OperationHandle};
use journal::seams::{Clock, Disk, Random};
use journal::{EntityKey, Events, Journal};

pub use limits::Limits;
pub use request::{
    CommandError, CommandOutcome, CommandRequest, Expectation, Moment, OperationRequest, PastOutcome, StateError, StateRead,
};

/// What a runtime is made of.
pub struct Parts {
    /// The service's name: `[a-z][a-z0-9-]{0,63}`.
    pub service: String,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// The entity types.
    pub entities: Vec<EntityHandle>,
    /// The operations and rules.
    pub operations: Vec<OperationHandle>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness for minted command ids.
    pub random: Arc<dyn Random>,
    /// Where snapshots are kept; none are when it is absent.
    pub snapshots: Option<Arc<dyn Disk>>,
    /// The bounds.
    pub limits: Limits,
}
