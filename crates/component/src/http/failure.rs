//! Why a call has no answer that is a yes, and what becomes of the event.

use std::fmt;
use std::time::Duration;

use super::HttpReply;
use crate::action::{ActionError, Verdict};

/// Why a call did not succeed.
///
/// With `?` it decides by itself: what may pass is tried again, the rest parks. To take a status as an answer, match on it:
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// # async fn run(ctx: &ActionContext) -> Result<(), ActionError> {
/// let known = match ctx.http().get("https://pay.example/customers").segment("c 1").send().await {
///     Ok(_) => true,
///     Err(HttpFailure::Status(reply)) if reply.status() == 404 => false,
///     Err(failure) => return Err(failure.into()),
/// };
/// # drop(known); Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// It answered with another status than 2xx. 408, 425, 429 and 5xx are tried again, others park.
    Status(HttpReply),
    /// No whole answer came. The call may have had its effect. It is tried again.
    Failed {
        /// Why.
        cause: String,
        /// How long the destination is left alone, when the trouble is the destination's: the run costs no attempt then.
        rest: Option<Duration>,
    },
    /// The destination is spared for now, and nothing has left. It is tried later, and costs no attempt.
    NotTried {
        /// Why.
        cause: String,
        /// For how long.
        wait: Duration,
    },
    /// It cannot be made so, or what was answered does not fit: that would be no different later. It parks.
    Unfit(String),
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(reply) => reply.fmt(formatter),
            Self::Failed { cause, .. } | Self::NotTried { cause, .. } | Self::Unfit(cause) => formatter.write_str(cause),
        }
    }
}

// It is no `Error`: an action's error is made of it with what it knows, and not of its text.
impl From<HttpFailure> for ActionError {
    fn from(failure: HttpFailure) -> Self {
        let cause = failure.to_string();
        let rest = match &failure {
            HttpFailure::Status(reply) if !reply.may_pass() => return Self::park(cause),
            HttpFailure::Unfit(_) => return Self::park(cause),
            HttpFailure::Status(reply) => reply.rest(),
            HttpFailure::Failed { rest, .. } => *rest,
            HttpFailure::NotTried { wait, .. } => Some(*wait),
        };
        match rest {
            Some(wait) => Self(Verdict::Later { cause, wait }),
            None => Self::retry(cause),
        }
    }
}
