//! Calls of actions to the outside: HTTP/1.1, over connections that are kept for the next call.
//!
//! It promises that an answer is bounded (head, body, and time, which its caller holds), that what an answer says is given whatever its
//! status, and that a call that is given up closes its connection. A call is sent a second time only when a kept connection turned out to
//! be gone: calls are at least once, and carry the key by which the callee recognises them.
//!
//! What it is not: it follows no redirects (who may be called is what the service's code says, and a redirect would take a body or a
//! credential elsewhere), it keeps no cookies, takes no compressed bodies, and looks for no proxy in the environment. How often a destination
//! is called is the runtime's.

mod connect;
mod idle;
mod reply;
mod request;
#[cfg(test)]
mod tests;
#[cfg(feature = "https")]
mod tls;

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use component::hosted::CallReply;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use journal::BoxFuture;
use runtime::{Outgoing, OutgoingCall, OutgoingError};

pub(crate) use connect::{Connector, Host};
use idle::Idle;
pub(crate) use request::AGENT;

/// A connection that is open.
pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// Calls destinations, and keeps connections to them. Needs a tokio runtime with I/O and time.
#[derive(Default)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    idle: Arc<Idle>,
    connector: Connector,
}

impl Pool {
    /// A pool without a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that trusts these roots, in DER, instead of the system's.
    #[cfg(all(test, feature = "https"))]
    fn trusting(roots: &[Vec<u8>]) -> Self {
        let shared = Shared { connector: Connector::trusting(roots), ..Shared::default() };
        Self { shared: Arc::new(shared) }
    }
}

impl Outgoing for Pool {
    fn call(&self, call: OutgoingCall) -> BoxFuture<'static, Result<CallReply, OutgoingError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.call(call).await })
    }
}

impl Shared {
    async fn call(&self, call: OutgoingCall) -> Result<CallReply, OutgoingError> {
        let host = Host::of(&call.destination).map_err(unfit)?;
        self.connector.check(&host).map_err(unfit)?;
        let request = request::build(&call).map_err(unfit)?;
        let (sender, response) = match self.over_kept(&call.destination, &request).await {
            Some(answered) => answered,
            None => self.over_fresh(&host, request).await?,
        };
        let (reply, is_whole) = reply::read(response).await?;
        if is_whole {
            self.idle.put(&call.destination, sender);
        }
        Ok(reply)
    }

    /// Over a connection that was kept; `None` when there is none that still works.
    async fn over_kept(&self, destination: &str, request: &Request<Full<Bytes>>) -> Option<(Sender, http::Response<Incoming>)> {
        while let Some(mut sender) = self.idle.take(destination) {
            if sender.ready().await.is_err() {
                continue;
            }
            return match sender.send_request(request.clone()).await {
                Ok(response) => Some((sender, response)),
                // It was closed over there meanwhile, before or after the call had come: a fresh connection tells.
                Err(_) => None,
            };
        }
        None
    }

    async fn over_fresh(&self, host: &Host, request: Request<Full<Bytes>>) -> Result<(Sender, http::Response<Incoming>), OutgoingError> {
        let mut sender = self.connector.connect(host).await?;
        let response = sender.send_request(request).await.map_err(|error| failed("no answer came", &error))?;
        Ok((sender, response))
    }
}

/// Why no connection came about, in words.
pub(crate) fn words(error: OutgoingError) -> String {
    let (OutgoingError::Unfit { message } | OutgoingError::Failed { message }) = error;
    message
}

fn unfit(message: String) -> OutgoingError {
    OutgoingError::Unfit { message }
}

fn failed(what: &str, error: &dyn Error) -> OutgoingError {
    let mut message = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !message.ends_with(&cause_text) {
            message.push_str(": ");
            message.push_str(&cause_text);
        }
        source = cause.source();
    }
    OutgoingError::Failed { message }
}
