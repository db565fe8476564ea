//! A service that its neighbours in a test reach without a network: the answers and the stream events that HTTP would carry, over the same
//! code but for the sockets.
//!
//! What it is not: a server. Nothing has a bound of time here, and no header is read.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::BodyExt as _;
use journal::{Context, Read};
use runtime::{CommandRequest, Expectation, PeerError, PeerItem, Runtime, StreamAsk};
use tokio::sync::watch;

use super::body::Body;
use super::route::{self, Route};
use super::stream::{self, Source};
use super::{Gateway, Options, Stage, answer, command, refusal};
use crate::page::Pages;
use crate::peers::{failed, message, parameters, problem as peer_problem};
use crate::problem::{Problem, UNKNOWN_ROUTE};

/// See the module.
pub struct Beside(Arc<Gateway>);

impl Beside {
    /// A process of a service, for its neighbours.
    #[must_use]
    pub fn new(runtime: Arc<Runtime>) -> Self {
        let stage = watch::Sender::new(Stage::Serving).subscribe();
        Self(Arc::new(Gateway::new(runtime, Pages::default(), Options::default(), stage)))
    }

    /// What a command is answered: the status, and the body. Nothing else is answered.
    pub async fn command(&self, command: BesideCommand) -> (u16, Bytes) {
        let response = match self.decided(command).await {
            Ok(response) => response,
            Err(problem) => answer::problem(&problem),
        };
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        (status, body)
    }

    async fn decided(&self, asked: BesideCommand) -> Result<Response<Body>, Problem> {
        let BesideCommand { method, path, key, correlation_id, body } = asked;
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        let Route::Command { kind, id, command } = route::find(&method, &path)? else {
            return Err(Problem::new(UNKNOWN_ROUTE, "a service beside another one answers commands to its entities, and nothing else"));
        };
        let entity = command::entity(&self.0, &kind, &id)?;
        let context = Context { correlation_id: correlation_id.map(Into::into), ..Context::default() };
        let request = CommandRequest { entity, command: command.to_string(), body, id: Some(key), expect: Expectation::Any, context };
        let outcome = self.0.runtime.command(request).await.map_err(|error| refusal::command(error, &command))?;
        Ok(answer::outcome(&outcome, None))
    }

    /// Opens a stream that goes on.
    ///
    /// # Errors
    /// What the service says no with.
    pub async fn stream(&self, ask: &StreamAsk) -> Result<BesideStream, PeerError> {
        let source = stream::beside(&self.0, &ask.stream, &parameters(ask)).await.map_err(|problem| refused(&problem))?;
        Ok(BesideStream { source, address: ask.address.clone() })
    }
}

/// A command as a neighbour sends it.
pub struct BesideCommand {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// Its `Idempotency-Key`.
    pub key: String,
    /// What ties together everything that one request from outside set off.
    pub correlation_id: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// A stream of a neighbour while it comes.
pub struct BesideStream {
    source: Source,
    address: String,
}

impl BesideStream {
    /// How far the journal is read.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.source.seen().position()
    }

    /// The next item; `None` when the journal has ended.
    pub async fn next(&mut self) -> Option<Result<PeerItem, PeerError>> {
        Some(match self.source.next().await? {
            Ok(read) => self.item(&read).await,
            Err(error) => Err(refused(&self.source.problem(&error))),
        })
    }

    async fn item(&mut self, read: &Read) -> Result<PeerItem, PeerError> {
        self.source.pass(read);
        let cursor = self.source.seen().to_string();
        let Read::Event(event) = read else { return Ok(PeerItem::Progress(cursor)) };
        let mut line = Vec::new();
        if !self.source.write(event, &mut line).await.map_err(|problem| refused(&problem))? {
            return Ok(PeerItem::Progress(cursor));
        }
        let message =
            message::read(&line, &self.address).map_err(|problem| failed(format!("an event of it is no CloudEvent: {problem}")))?;
        Ok(PeerItem::Message(Box::new(message), cursor))
    }
}

fn refused(problem: &Problem) -> PeerError {
    let mut body = Vec::new();
    problem.write(&mut body, None);
    peer_problem(&body).unwrap_or_else(|| failed("it says no and does not say why"))
}
