//! What goes over the wire, for the client and for the command line: paths, headers, keys, and problems as failures.

use gateway::client::{ClientError, ClientErrorKind, Connection, Response, Timeouts};
use http::{HeaderMap, HeaderValue, header};
use journal::CommitId;
use journal::seams::{Clock as _, Random as _, SystemClock, SystemRandom};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use crate::exit::Exit;
use crate::failure::{CONFIGURATION_VALUE, Failure, SYSTEM, UNREACHABLE};
use crate::limits::REPLY_TIMEOUT;

/// What a path segment may carry as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as one segment of a path, or as a parameter's value.
#[must_use]
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The headers of a command: JSON, under a key when there is one.
///
/// # Errors
/// When no header can hold the key.
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
pub fn connection(url: &str) -> Result<Connection, Failure> {
    let timeouts = Timeouts { answer: REPLY_TIMEOUT, ..Timeouts::default() };
    Connection::new(url).map(|connection| connection.with_timeouts(timeouts)).map_err(|error| failed(url, &error))
}

/// What a broken call means at the command line.
#[must_use]
pub fn failed(url: &str, error: &ClientError) -> Failure {
    if error.may_have_taken_effect() {
        let message = format!("{url}: {error}; the outcome is unknown, sending the same key again is safe");
        return Failure::new(Exit::Unknown, UNREACHABLE, message);
    }
    match error.kind() {
        ClientErrorKind::Unreachable => {
            let message = format!("{error}; start the service, or name another one with --url");
            Failure::new(Exit::Unknown, UNREACHABLE, message)
        }
        ClientErrorKind::InvalidUrl => Failure::configuration(CONFIGURATION_VALUE, error.to_string()),
        _ => Failure::plain(Exit::Usage, error.to_string()),
    }
}

/// The answer to a call of the command line, or the problem as a failure with its exit code.
///
/// # Errors
/// When the answer is a problem.
pub fn accepted(response: Response) -> Result<Response, Failure> {
    if response.status.is_success() { Ok(response) } else { Err(refused(&response.body)) }
}

/// A problem as a failure: the exit code follows from its code, never from a status.
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
        title if title.starts_with("unknown-") || title.ends_with("-not-found") || title == "not-held" => Exit::NotFound,
        _ if code.retry_after_seconds.is_some() => Exit::Unknown,
        _ => Exit::Failed,
    }
}

/// A key of our own (a UUIDv7), so that even a call without one can be sent again when its outcome is unknown.
///
/// # Errors
/// When the system gives no randomness.
pub(crate) fn minted_key() -> Result<String, Failure> {
    let random =
        SystemRandom::new().map_err(|error| Failure::new(Exit::Failed, SYSTEM, format!("the system gives no randomness: {error}")))?;
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    Ok(CommitId::from_parts(SystemClock.now(), bytes).to_string())
}
