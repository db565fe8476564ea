//! What stands behind a consumer: it runs an event, and says how that went.

use std::sync::Arc;

use journal::{BoxFuture, Recorded};

/// One event on its way to a handler.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// The event.
    pub(crate) event: Arc<Recorded>,
    /// Which run of it this is, from 1.
    pub(crate) attempt: u32,
}

/// Why a run did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It may succeed later.
    Retry {
        /// Why it failed.
        cause: String,
    },
    /// It will not: the key is parked at once.
    Park {
        /// Why.
        cause: String,
    },
}

impl Failure {
    pub(crate) fn cause(&self) -> &str {
        let (Self::Retry { cause } | Self::Park { cause }) = self;
        cause
    }
}

/// Runs events. A run may come twice for the same event: whatever it does must be recognised when it is done again.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Runs an event. Runs of different keys overlap; runs of one key never do.
    fn run(&self, delivery: Delivery) -> BoxFuture<'static, Result<(), Failure>>;
}
