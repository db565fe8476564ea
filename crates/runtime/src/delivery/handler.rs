//! What stands behind a consumer: it runs an event, and says how that went.

use std::sync::Arc;
use std::time::Duration;

use journal::{BoxFuture, Recorded};

use crate::limits::KEY_MISSING_WAIT;
use crate::personal::runs::Waiting;

/// One event on its way to a handler.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// The event; what is personal in it is sealed until it is opened.
    pub(crate) event: Waiting,
    /// Which run of it this is, from 1.
    pub(crate) attempt: u32,
}

impl Delivery {
    /// The event as of now, with its personal values plain. A key that is not there holds the event's own key, and nothing is counted.
    pub(crate) fn open(&self) -> Result<Arc<Recorded>, Failure> {
        self.event.open().map_err(|missing| Failure::Later { cause: missing.to_string(), wait: KEY_MISSING_WAIT })
    }
}

/// Why a run did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It may succeed later.
    Retry {
        /// Why it failed.
        cause: String,
    },
    /// It may succeed once this time has passed.
    RetryAfter {
        /// Why it failed.
        cause: String,
        /// How long it is left alone, instead of the policy's wait.
        wait: Duration,
    },
    /// Its time has not come: the key is held for so long, and the run does not count. That is for what is not the event's fault.
    Later {
        /// Why.
        cause: String,
        /// How long it is left alone.
        wait: Duration,
    },
    /// It has not been run, and will not be in this session: nothing is known of it and nothing is counted.
    Withdrawn,
    /// It will not: the key is parked at once.
    Park {
        /// Why.
        cause: String,
    },
}

impl Failure {
    pub(crate) fn cause(&self) -> &str {
        match self {
            Self::Retry { cause } | Self::RetryAfter { cause, .. } | Self::Later { cause, .. } | Self::Park { cause } => cause,
            Self::Withdrawn => "withdrawn",
        }
    }

    /// How many attempts there have been after the `attempt`-th run has failed so.
    pub(crate) fn attempts(&self, attempt: u32) -> u32 {
        attempt - u32::from(matches!(self, Self::Later { .. }))
    }
}

/// Runs events. A run may come twice for the same event: whatever it does must be recognised when it is done again.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Runs an event. Runs of different keys overlap; runs of one key never do.
    fn run(&self, delivery: Delivery) -> BoxFuture<'static, Result<(), Failure>>;

    /// Whether runs happen outside of this process, when somebody comes for them. Then
    /// - they have their own time: how long one waits until somebody comes is nobody's failure, and no timeout cuts it;
    /// - an event counts as run once somebody took it, and never because this process ended while it waited;
    /// - they end without having run (`Withdrawn`) from [`let_go`](Self::let_go) on.
    fn is_elsewhere(&self) -> bool {
        false
    }

    /// A session begins.
    fn open(&self) {}

    /// The session ends: who runs elsewhere hands nothing out any more and takes back what is out.
    fn let_go(&self) {}
}
