//! Destinations in a test: stubs instead of the network, and what was called.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use component::hosted::CallReply;
use component::{Value, decode, encode};
use journal::BoxFuture;

use super::pace::Pace;
use crate::destination::{Outgoing, OutgoingCall, OutgoingError};

/// A call as its destination gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest(OutgoingCall);

impl HttpRequest {
    /// The method, in upper case.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.method
    }

    /// The whole address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The address behind scheme, host and port: path and query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.url[self.0.destination.len()..]
    }

    /// Its `Idempotency-Key`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// A header that the action has said, in whichever case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// What ties together everything that one request from outside set off.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.0.correlation_id.as_deref()
    }

    /// How long the caller waits.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// The body as a value.
    ///
    /// # Panics
    /// When it does not fit.
    #[must_use]
    #[track_caller]
    pub fn json<T: Value>(&self) -> T {
        decode(&self.0.body).unwrap_or_else(|error| panic!("the body of the call does not fit: {error}\n{}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.body).into_owned()
    }
}

/// What a stub answers.
#[derive(Clone, Debug)]
#[must_use = "give it back from the stub"]
pub struct HttpAnswer {
    after: Duration,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Reply(CallReply),
    Fails(String),
    Hangs,
}

impl HttpAnswer {
    /// This status, without a body.
    pub fn status(status: u16) -> Self {
        Self::reply(status, Vec::new(), Bytes::new())
    }

    /// This status, and this value as JSON.
    ///
    /// # Panics
    /// When the value does not encode.
    #[track_caller]
    pub fn json(status: u16, value: &impl Value) -> Self {
        let body = encode(value).unwrap_or_else(|error| panic!("the answer does not encode: {error}"));
        Self::reply(status, vec![("content-type".to_owned(), "application/json".to_owned())], body.into())
    }

    /// This status, and this text.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::reply(status, vec![("content-type".to_owned(), "text/plain".to_owned())], text.into().into())
    }

    /// No answer: the connection is refused or breaks.
    pub fn fails(cause: impl Into<String>) -> Self {
        Self { after: Duration::ZERO, what: What::Fails(cause.into()) }
    }

    /// No answer ever: the call's own time ends it.
    pub fn hangs() -> Self {
        Self { after: Duration::ZERO, what: What::Hangs }
    }

    /// It comes after so much virtual time.
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        if let What::Reply(reply) = &mut self.what {
            reply.headers.push((name.to_ascii_lowercase(), value.into()));
        }
        self
    }

    /// It asks to be left alone for so long (`Retry-After`).
    pub fn retry_after(mut self, time: Duration) -> Self {
        if let What::Reply(reply) = &mut self.what {
            reply.retry_after = Some(time);
        }
        self.header("retry-after", time.as_secs().to_string())
    }

    fn reply(status: u16, headers: Vec<(String, String)>, body: Bytes) -> Self {
        Self { after: Duration::ZERO, what: What::Reply(CallReply { status, headers, body, retry_after: None, rest: None }) }
    }
}

/// How another service of the test answers calls; an error when it does not.
pub type Neighbourly = Arc<dyn Fn(HttpRequest) -> BoxFuture<'static, Result<HttpAnswer, String>> + Send + Sync>;

type Stub = Arc<dyn Fn(&HttpRequest) -> HttpAnswer + Send + Sync>;

/// All stubs of a test; they outlive the processes.
#[derive(Default)]
pub struct HttpStubs {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stubs: HashMap<String, Stub>,
    /// Whoever has no stub may be another service of the test.
    neighbours: HashMap<String, Neighbourly>,
    calls: Vec<HttpRequest>,
    /// The first destination that was called and has no stub.
    missing: Option<String>,
}

impl HttpStubs {
    /// Answers for a destination from now on.
    ///
    /// # Panics
    /// When the address is not one of a destination.
    #[track_caller]
    pub fn set(&self, destination: &str, stub: impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static) {
        self.lock().stubs.insert(named(destination), Arc::new(stub));
    }

    /// Has another service of the test answer for a destination, as long as there is no stub of it.
    ///
    /// # Panics
    /// When the address is not one of a destination.
    #[track_caller]
    pub fn reach(&self, destination: &str, neighbour: Neighbourly) {
        self.lock().neighbours.insert(named(destination), neighbour);
    }

    /// The calls that have reached a destination, in order.
    ///
    /// # Panics
    /// When the address is not one of a destination.
    #[track_caller]
    pub fn calls(&self, destination: &str) -> Vec<HttpRequest> {
        let destination = named(destination);
        self.lock().calls.iter().filter(|call| call.0.destination == destination).cloned().collect()
    }

    /// What a test must say that called a destination without a stub.
    pub(super) fn complaint(&self) -> Option<String> {
        let destination = self.lock().missing.take()?;
        Some(format!(
            "an action calls {destination}, which has no stub; say what it answers: \
             testkit.stub_http(\"{destination}\", |request| HttpAnswer::status(200))"
        ))
    }

    async fn answer(&self, request: HttpRequest) -> HttpAnswer {
        let (stub, neighbour) = self.called(&request);
        // A stub may ask for the calls so far.
        match (stub, neighbour) {
            (Some(stub), _) => stub(&request),
            (None, Some(neighbour)) => neighbour(request).await.unwrap_or_else(HttpAnswer::fails),
            (None, None) => HttpAnswer::fails("it has no stub"),
        }
    }

    /// Who answers a call, which is remembered.
    fn called(&self, request: &HttpRequest) -> (Option<Stub>, Option<Neighbourly>) {
        let (mut state, destination) = (self.lock(), &request.0.destination);
        let (stub, neighbour) = (state.stubs.get(destination).cloned(), state.neighbours.get(destination).cloned());
        if stub.is_some() || neighbour.is_some() {
            state.calls.push(request.clone());
        } else {
            state.missing.get_or_insert_with(|| destination.clone());
        }
        (stub, neighbour)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[track_caller]
fn named(destination: &str) -> String {
    component::hosted::named_destination(destination).unwrap_or_else(|problem| panic!("`{destination}` {problem}"))
}

/// The network, as a process sees it.
pub(super) struct Network {
    pub(super) stubs: Arc<HttpStubs>,
    pub(super) pace: Arc<Pace>,
}

impl Outgoing for Network {
    fn call(&self, call: OutgoingCall) -> BoxFuture<'static, Result<CallReply, OutgoingError>> {
        let (stubs, pace) = (Arc::clone(&self.stubs), Arc::clone(&self.pace));
        Box::pin(async move {
            // The process may end before the call has arrived, or before its answer has.
            pace.engine().await;
            let HttpAnswer { after, what } = stubs.answer(HttpRequest(call)).await;
            pace.rest(after).await;
            pace.engine().await;
            match what {
                What::Reply(reply) => Ok(reply),
                What::Fails(message) => Err(OutgoingError::Failed { message }),
                What::Hangs => pending().await,
            }
        })
    }
}
