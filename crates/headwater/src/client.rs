//! A client of a running service: for programs that embed one, and for the command line.

use std::fmt;

use bytes::Bytes;
use gateway::client::{ClientError, Connection, Response, Timeouts};
use http::{HeaderMap, HeaderValue, Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use crate::exit::Exit;
use crate::failure::{CONFIGURATION_VALUE, Failure, UNREACHABLE};
use crate::limits::REPLY_TIMEOUT;

/// What a path segment may carry as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as one segment of a path, or as a parameter's value.
#[doc(hidden)]
#[must_use]
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A client of one service. Cheap to clone; each call has a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
}

/// An accepted command.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// The reply of the rule.
    pub reply: Json,
    /// The entity's version after it.
    pub sequence: u64,
    /// A place that has seen its effects.
    pub cursor: String,
}

/// Why there is no accepted command.
#[derive(Clone, Debug)]
pub enum SendError {
    /// The service said no, or could not: its problem (RFC 9457).
    Problem {
        /// The stable code, such as `HW0029`.
        code: String,
        /// What it is about.
        detail: String,
        /// The whole problem; a rejection's own code and data are in it.
        problem: Json,
    },
    /// Nothing was sent: nobody answers there, or the request cannot be written. Nothing happened.
    Unsent {
        /// Why.
        cause: String,
    },
    /// There was no answer: the outcome is unknown, and sending the same key again is safe.
    Unknown {
        /// Why.
        cause: String,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem { code, detail, .. } => write!(formatter, "{code}: {detail}"),
            Self::Unsent { cause } => write!(formatter, "nothing was sent: {cause}"),
            Self::Unknown { cause } => write!(formatter, "no answer ({cause}); sending the same key again is safe"),
        }
    }
}

impl std::error::Error for SendError {}

impl Client {
    /// A client of the service at this URL, such as `http://127.0.0.1:7430`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into() }
    }

    /// Sends a command: its body as JSON, under a key of your own if you have one.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, kind: &str, id: &str, command: &str, body: &Json, key: Option<&str>) -> Result<Sent, SendError> {
        let path = format!("/v1/entities/{}/{}/{}", segment(kind), segment(id), segment(command));
        self.post(&path, body, key).await
    }

    /// Runs an operation or a rule.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn operate(&self, operation: &str, input: &Json, key: Option<&str>) -> Result<Sent, SendError> {
        self.post(&format!("/v1/operations/{}", segment(operation)), input, key).await
    }

    /// The state of an entity; `None` when it has no event.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn state(&self, kind: &str, id: &str) -> Result<Option<Json>, SendError> {
        let path = format!("/v1/entities/{}/{}", segment(kind), segment(id));
        match answered(self.call(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?) {
            Ok(body) => Ok(Some(body["state"].clone())),
            Err(SendError::Problem { problem, .. }) if problem["title"] == "entity-not-found" => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn post(&self, path: &str, body: &Json, key: Option<&str>) -> Result<Sent, SendError> {
        let headers = command_headers(key).map_err(|failure| SendError::Unsent { cause: failure.message().to_owned() })?;
        let body = answered(self.call(Method::POST, path, headers, body.to_string().into()).await?)?;
        Ok(Sent {
            reply: body["reply"].clone(),
            sequence: body["sequence"].as_u64().unwrap_or_default(),
            cursor: body["cursor"].as_str().unwrap_or_default().to_owned(),
        })
    }

    async fn call(&self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Result<Response, SendError> {
        let mut connection = Connection::new(&self.url).map_err(unanswered)?;
        connection.request(method, path, headers, body).await.map_err(unanswered)
    }
}

fn unanswered(error: ClientError) -> SendError {
    let cause = error.to_string();
    if error.may_have_taken_effect() { SendError::Unknown { cause } } else { SendError::Unsent { cause } }
}

/// The JSON of an answer, or its problem.
fn answered(response: Response) -> Result<Json, SendError> {
    let body: Json = serde_json::from_slice(&response.body).unwrap_or_default();
    if response.status.is_success() {
        return Ok(body);
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    Err(SendError::Problem { code: text("code"), detail: text("detail"), problem: body })
}

/// The headers of a command: JSON, under a key when there is one.
///
/// # Errors
/// When no header can hold the key.
#[doc(hidden)]
pub fn command_headers(key: Option<&str>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = key {
        let value = HeaderValue::from_bytes(key.as_bytes());
        let value = value.map_err(|_| Failure::plain(Exit::Usage, format!("the key `{}` has control characters", key.escape_default())))?;
        headers.insert("idempotency-key", value);
    }
    Ok(headers)
}

/// A connection for a call of the command line.
///
/// # Errors
/// When the URL is none.
#[doc(hidden)]
pub fn connection(url: &str) -> Result<Connection, Failure> {
    let timeouts = Timeouts { answer: REPLY_TIMEOUT, ..Timeouts::default() };
    Connection::new(url).map(|connection| connection.with_timeouts(timeouts)).map_err(|error| failed(url, &error))
}

/// What a broken call means at the command line.
#[doc(hidden)]
#[must_use]
pub fn failed(url: &str, error: &ClientError) -> Failure {
    if error.may_have_taken_effect() {
        let message = format!("{url}: {error}; the outcome is unknown, sending the same key again is safe");
        return Failure::new(Exit::Unknown, UNREACHABLE, message);
    }
    match error.kind() {
        gateway::client::ClientErrorKind::Unreachable => {
            let message = format!("{error}; start the service, or name another one with --url");
            Failure::new(Exit::Unknown, UNREACHABLE, message)
        }
        gateway::client::ClientErrorKind::InvalidUrl => Failure::configuration(CONFIGURATION_VALUE, error.to_string()),
        _ => Failure::plain(Exit::Usage, error.to_string()),
    }
}

/// The answer to a call of the command line, or the problem as a failure with its exit code.
///
/// # Errors
/// When the answer is a problem.
#[doc(hidden)]
pub fn accepted(response: Response) -> Result<Response, Failure> {
    if response.status.is_success() { Ok(response) } else { Err(refused(&response.body)) }
}

/// A problem as a failure: the exit code follows from its code, never from a status.
#[doc(hidden)]
#[must_use]
pub fn refused(body: &[u8]) -> Failure {
    let problem: Json = serde_json::from_slice(body).unwrap_or_default();
    let code = problem["code"].as_str().map(str::to_owned);
    let detail = problem["detail"].as_str().unwrap_or("the service answered with something that is no problem of Headwater");
    let message = match problem["rejection"]["code"].as_str() {
        Some(rejection) => format!("{detail} ({rejection})"),
        None => detail.to_owned(),
    };
    let exit = code.as_deref().and_then(gateway::problem::lookup).map_or(Exit::Failed, exit_of);
    Failure::answered(exit, code, message, problem)
}

fn exit_of(code: &gateway::problem::Code) -> Exit {
    match code.title {
        "rejected" => Exit::Rejected,
        "outcome-unknown" => Exit::Unknown,
        "damaged" => Exit::Damaged,
        "sequence-beyond-head" => Exit::NotFound,
        title if title.starts_with("unknown-") || title.ends_with("-not-found") => Exit::NotFound,
        _ if code.retry_after_seconds.is_some() => Exit::Unknown,
        _ => Exit::Failed,
    }
}
