//! Peers: other Headwater services, over HTTP. Their streams come as server-sent events, and commands go to them as anybody's do.
//!
//! A stream is read over a connection of its own. It promises that an item is bounded, that what a peer refuses is told apart from what may
//! pass, and that a connection that is given up is closed.
//!
//! `events` takes server-sent events apart, `message` makes messages of CloudEvents, `tongue` puts commands into words.
//!
//! What it is not: it calls nobody a second time. When to come back is the runtime's.

#[cfg(feature = "testing")]
pub use crate::inbound::beside::{Beside, BesideCommand, BesideStream};

mod events;
pub(crate) mod message;
mod tongue;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use journal::BoxFuture;
use runtime::{PeerError, PeerItem, PeerPlace, PeerStream, PeerStreams, StreamAsk};
use serde_json::Value as Json;

use crate::inbound::encode;
use crate::limits::PEER_REFUSAL_BYTES_MAX;
use crate::outgoing::{AGENT, Connector, Host, Sender};
use crate::problem::{GONE, HISTORY_DIVERGED, INVALID_CURSOR};
use events::Events;
pub use tongue::Tongue;

/// Reads the streams of peers. Needs a tokio runtime with I/O and time.
#[derive(Default)]
pub struct Reader {
    connector: Arc<Connector>,
}

impl Reader {
    /// A reader without a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl PeerStreams for Reader {
    fn open(&self, ask: StreamAsk) -> BoxFuture<'static, Result<Box<dyn PeerStream>, PeerError>> {
        let connector = Arc::clone(&self.connector);
        Box::pin(async move { Ok(Box::new(open(&connector, &ask).await?) as Box<dyn PeerStream>) })
    }
}

async fn open(connector: &Connector, ask: &StreamAsk) -> Result<Stream, PeerError> {
    let host = Host::of(&ask.address).map_err(failed)?;
    connector.check(&host).map_err(failed)?;
    let request = request(ask).map_err(failed)?;
    let mut sender = connector.connect(&host).await.map_err(|error| failed(crate::outgoing::words(error)))?;
    let response = sender.send_request(request).await.map_err(|error| failed(format!("no answer came: {error}")))?;
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(refused(head.status, body).await);
    }
    Ok(Stream { body, events: Events::default(), address: ask.address.clone(), _sender: sender })
}

fn request(ask: &StreamAsk) -> Result<Request<Full<Bytes>>, String> {
    let path = format!("/v1/streams/{}?{}", encode(&ask.stream), parameters(ask));
    let (_, authority) = ask.address.split_once("://").ok_or("its address is no URL")?;
    let mut request = Request::builder().uri(path).body(Full::default()).map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::try_from(authority).map_err(|error| error.to_string())?);
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(USER_AGENT, AGENT);
    Ok(request)
}

/// What is asked of a stream, as a query.
pub(crate) fn parameters(ask: &StreamAsk) -> String {
    let mut parameters: Vec<String> = ask.types.iter().map(|name| format!("type={}", encode(name))).collect();
    parameters.extend(ask.version.map(|version| format!("version={version}")));
    parameters.extend(match &ask.from {
        PeerPlace::First => None,
        PeerPlace::Now => Some("after=now".to_owned()),
        PeerPlace::Behind(cursor) => Some(format!("after={}", encode(cursor))),
    });
    parameters.join("&")
}

/// What a peer says no with.
async fn refused(status: StatusCode, mut body: Incoming) -> PeerError {
    let mut whole = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        whole.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if whole.len() > PEER_REFUSAL_BYTES_MAX {
            break;
        }
    }
    problem(&whole).unwrap_or_else(|| failed(format!("it answered {status}")))
}

/// A problem's body; `None` when it is none.
pub(crate) fn problem(body: &[u8]) -> Option<PeerError> {
    let problem: Json = serde_json::from_slice(body).ok()?;
    let text = |name: &str| problem[name].as_str().map(str::to_owned);
    let (code, word) = (text("code")?, text("title")?);
    let message = text("detail").unwrap_or_default();
    let is_of_place = [GONE, HISTORY_DIVERGED, INVALID_CURSOR].iter().any(|known| known.number == code);
    Some(if is_of_place { PeerError::Place { word, message } } else { failed(format!("{code} {word}: {message}")) })
}

pub(crate) fn failed(message: impl Into<String>) -> PeerError {
    PeerError::Failed { message: message.into() }
}

/// A stream of a peer.
struct Stream {
    body: Incoming,
    events: Events,
    address: String,
    /// A connection lives as long as its sender.
    _sender: Sender,
}

impl PeerStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<PeerItem, PeerError>>> {
        Box::pin(async move {
            loop {
                match self.events.next() {
                    Ok(Some(event)) => return Some(self.item(&event)),
                    Ok(None) => {}
                    Err(message) => return Some(Err(failed(message))),
                }
                // A frame that has come is in the buffer before anybody waits again: dropping this loses nothing.
                match self.body.frame().await? {
                    Ok(frame) => self.events.take(frame.data_ref().map_or(&[], |data| data)),
                    Err(error) => return Some(Err(failed(format!("the connection broke within the stream: {error}")))),
                }
            }
        })
    }
}

impl Stream {
    fn item(&self, event: &events::Event) -> Result<PeerItem, PeerError> {
        let Some(data) = &event.data else { return Ok(PeerItem::Alive) };
        match event.name.as_deref() {
            Some("progress") => Ok(event.id.clone().map_or(PeerItem::Alive, PeerItem::Progress)),
            Some("problem") => Err(problem(data).unwrap_or_else(|| failed("it has ended the stream with a problem that cannot be read"))),
            Some(_) => Ok(PeerItem::Alive),
            None => {
                let id = event.id.clone().ok_or_else(|| failed("an event of it has no cursor"))?;
                let message =
                    message::read(data, &self.address).map_err(|problem| failed(format!("an event of it is no CloudEvent: {problem}")))?;
                Ok(PeerItem::Message(Box::new(message), id))
            }
        }
    }
}
