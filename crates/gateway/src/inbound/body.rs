//! Bodies: a request's, read within its bounds, and an answer's, whole or pulled chunk by chunk.
//!
//! A pulled body makes its next chunk when the connection has room for it: a slow reader slows its own source down, and
//! nothing is buffered for it beyond that chunk and the connection's own buffer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;

use super::connection::Busy;
use crate::limits::{REFUSED_BODY_BYTES_MAX, REFUSED_BODY_MAX};
use crate::problem::{BODY_TOO_LARGE, MALFORMED_JSON, Problem, REQUEST_TIMEOUT};

/// The body of a request, until a handler takes it.
pub(super) struct RequestBody(Option<Incoming>);

impl RequestBody {
    pub(super) fn new(body: Incoming) -> Self {
        Self(Some(body))
    }

    /// Whether there is nothing to read, as far as the head tells.
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    /// The body itself, for a handler that reads while it answers.
    pub(super) fn take(&mut self) -> Option<Incoming> {
        self.0.take()
    }

    /// The whole body.
    pub(super) async fn read(&mut self, bytes_max: usize, time_max: Duration) -> Result<Bytes, Problem> {
        let Some(body) = &mut self.0 else { return Ok(Bytes::new()) };
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        // A declared length is refused before a byte is read.
        let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > bytes_max {
            return Err(too_large(bytes_max, "body_bytes_max"));
        }
        let read = tokio::time::timeout(time_max, collect(body, bytes_max)).await;
        read.unwrap_or_else(|_| Err(too_slow(time_max)))
    }

    /// Reads a refused body away, within bounds, so that the refusal reaches a client that sends before it reads. A client
    /// that asked first (`Expect`) has not sent it.
    pub(super) async fn discard(&mut self, headers: &HeaderMap) {
        let Some(body) = self.0.as_mut().filter(|body| !body.is_end_stream()) else { return };
        if headers.contains_key(header::EXPECT) {
            return;
        }
        let _gave_up = tokio::time::timeout(REFUSED_BODY_MAX, async {
            let mut bytes = 0;
            while bytes <= REFUSED_BODY_BYTES_MAX
                && let Some(Ok(frame)) = body.frame().await
            {
                bytes += frame.data_ref().map_or(0, Bytes::len);
            }
        })
        .await;
    }
}

async fn collect(body: &mut Incoming, bytes_max: usize) -> Result<Bytes, Problem> {
    let Some(first) = next_data(body).await? else { return Ok(Bytes::new()) };
    if body.is_end_stream() && first.len() <= bytes_max {
        return Ok(first);
    }
    let mut whole = first.to_vec();
    while let Some(data) = next_data(body).await? {
        whole.extend_from_slice(&data);
        if whole.len() > bytes_max {
            return Err(too_large(bytes_max, "body_bytes_max"));
        }
    }
    if whole.len() > bytes_max { Err(too_large(bytes_max, "body_bytes_max")) } else { Ok(whole.into()) }
}

/// The next bytes of a body; trailers are passed over. Cancel-safe.
pub(super) async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Problem::new(MALFORMED_JSON, format!("the body ended early or its transfer coding is broken ({error})")))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

pub(super) fn too_large(bytes_max: usize, bound: &str) -> Problem {
    Problem::new(BODY_TOO_LARGE, format!("the body is larger than {bytes_max} bytes, which is the bound ({bound})"))
}

/// A bound that is not one of bytes.
pub(super) fn too_large_for(rule: String) -> Problem {
    Problem::new(BODY_TOO_LARGE, rule)
}

pub(super) fn too_slow(time_max: Duration) -> Problem {
    Problem::new(
        REQUEST_TIMEOUT,
        format!("the body did not come within {} seconds; nothing happened, send it again", time_max.as_secs_f32()),
    )
}

/// What a pulled body is made by.
pub(super) trait Chunks: Send + Sized + 'static {
    /// The next chunk, not empty; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// What goes on with a connection whose request was answered with 101 (`Switching Protocols`), until its end.
pub(super) type Takeover = Box<dyn FnOnce(Upgraded) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The body of an answer.
pub(super) struct Body {
    content: Content,
    takeover: Option<Takeover>,
    /// Dropped with the last byte.
    busy: Option<Busy>,
}

enum Content {
    Whole(Option<Bytes>),
    Pulled(Box<dyn Pull>),
}

impl Body {
    fn of(content: Content) -> Self {
        Self { content, takeover: None, busy: None }
    }

    pub(super) fn empty() -> Self {
        Self::of(Content::Whole(None))
    }

    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::of(Content::Whole(Some(bytes.into())))
    }

    pub(super) fn pulled(chunks: impl Chunks) -> Self {
        Self::of(Content::Pulled(Box::new(Puller { step: Some(Box::pin(advance(chunks))) })))
    }

    /// No body: the connection is something else from here on.
    pub(super) fn taken_over(takeover: Takeover) -> Self {
        Self { takeover: Some(takeover), ..Self::empty() }
    }

    /// Keeps the note that a request is under way until the body is done.
    pub(super) fn hold(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    /// What takes the connection over, and the note that it is in use.
    pub(super) fn takeover(&mut self) -> Option<(Takeover, Option<Busy>)> {
        let takeover = self.takeover.take()?;
        Some((takeover, self.busy.take()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = match &mut self.content {
            Content::Whole(bytes) => bytes.take(),
            Content::Pulled(pull) => ready!(pull.poll(context)),
        };
        Poll::Ready(chunk.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Content::Pulled(_) => SizeHint::default(),
        }
    }
}

trait Pull: Send {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

type Step<C> = Pin<Box<dyn Future<Output = (C, Option<Bytes>)> + Send>>;

/// Polls one step after the other; a step owns the source while it runs and gives it back.
struct Puller<C> {
    step: Option<Step<C>>,
}

/// One step: the next chunk, and the source again.
pub(super) async fn advance<C: Chunks>(mut chunks: C) -> (C, Option<Bytes>) {
    let chunk = chunks.next().await;
    (chunks, chunk)
}

impl<C: Chunks> Pull for Puller<C> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(step) = &mut self.step else { return Poll::Ready(None) };
        let (chunks, chunk) = ready!(step.as_mut().poll(context));
        self.step = chunk.is_some().then(|| Box::pin(advance(chunks)) as Step<C>);
        Poll::Ready(chunk)
    }
}
