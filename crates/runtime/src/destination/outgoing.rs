//! The seam behind which the network is. The gateway has it over HTTP, the testkit has stubs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use component::hosted::CallReply;
use journal::BoxFuture;

/// A call as it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingCall {
    /// The method, in upper case.
    pub method: &'static str,
    /// Scheme, host and port in one spelling.
    pub destination: String,
    /// The whole address; it begins with the destination.
    pub url: String,
    /// The action's own headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The id of the call, the same at every run: its `Idempotency-Key`.
    pub key: String,
    /// The event's trace context.
    pub traceparent: Option<Arc<str>>,
    /// The event's correlation id.
    pub correlation_id: Option<Arc<str>>,
    /// How long the caller waits. The callee is told.
    pub timeout: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutgoingError {
    /// It cannot be made so, now or later; nothing has left.
    Unfit {
        /// Why.
        message: String,
    },
    /// No whole answer came; it may have had its effect.
    Failed {
        /// Why.
        message: String,
    },
}

/// Makes calls.
pub trait Outgoing: Send + Sync + 'static {
    /// Makes a call and reads its whole, bounded answer, whatever its status. It is dropped when its time is over.
    fn call(&self, call: OutgoingCall) -> BoxFuture<'static, Result<CallReply, OutgoingError>>;
}
