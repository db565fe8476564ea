//! Calls to the outside, as an action makes them: `ctx.http().post(url).json(&body).send().await?`.
//!
//! Each call carries an `Idempotency-Key` that is the same at every run of the event. It is at least once all the same: nothing can take
//! back what has left, and only the callee can recognise that it came before.
//!
//! What it is not: a client. Who is called how often, what waits and what is refused is the runtime's, sockets are the gateway's.

mod failure;
mod reply;
mod url;

use std::time::Duration;

use bytes::Bytes;

use crate::action::Keyed;
use crate::hosted::{CallFailure, SentCall};
use crate::limits::{CALL_BODY_BYTES_MAX, CALL_HEADERS_MAX};
use crate::value::{Value, encode};
pub use failure::HttpFailure;
pub use reply::HttpReply;
pub(crate) use url::named_destination;
use url::{Target, encoded};

/// Names that a call sets itself.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "correlation-id",
    "expect",
    "headwater-timeout-ms",
    "host",
    "idempotency-key",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where calls to the outside begin: [`ActionContext::http`](crate::ActionContext::http).
#[must_use = "say what to call: `.get(url)`, `.post(url)`"]
pub struct Http<'a>(Keyed<'a>);

impl<'a> Http<'a> {
    pub(crate) fn new(keyed: Keyed<'a>) -> Self {
        Self(keyed)
    }

    /// A `GET`.
    pub fn get(self, url: impl Into<String>) -> HttpCall<'a> {
        HttpCall::new(self.0, "GET", url.into())
    }

    /// A `POST`.
    pub fn post(self, url: impl Into<String>) -> HttpCall<'a> {
        HttpCall::new(self.0, "POST", url.into())
    }

    /// A `PUT`.
    pub fn put(self, url: impl Into<String>) -> HttpCall<'a> {
        HttpCall::new(self.0, "PUT", url.into())
    }

    /// A `PATCH`.
    pub fn patch(self, url: impl Into<String>) -> HttpCall<'a> {
        HttpCall::new(self.0, "PATCH", url.into())
    }

    /// A `DELETE`.
    pub fn delete(self, url: impl Into<String>) -> HttpCall<'a> {
        HttpCall::new(self.0, "DELETE", url.into())
    }
}

/// A call that has not been made. What does not fit is said by [`send`](Self::send).
#[must_use = "a call is made by `.send().await`"]
pub struct HttpCall<'a> {
    keyed: Keyed<'a>,
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    timeout: Option<Duration>,
    /// The first thing that does not fit.
    problem: Option<String>,
}

impl<'a> HttpCall<'a> {
    fn new(keyed: Keyed<'a>, method: &'static str, url: String) -> Self {
        Self { keyed, method, url, headers: Vec::new(), body: Bytes::new(), timeout: None, problem: None }
    }

    /// Goes one segment further down the path, whatever letters the text has. It comes before any query.
    pub fn segment(mut self, text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        if matches!(text, "" | "." | "..") {
            return self.refuse(format!("`{text}` cannot be a segment of a path"));
        }
        if !self.url.ends_with('/') {
            self.url.push('/');
        }
        self.url.push_str(&encoded(text));
        self
    }

    /// Adds to the query, whatever letters the texts have.
    pub fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.url.push(if self.url.contains('?') { '&' } else { '?' });
        self.url.push_str(&[&encoded(name), "=", &encoded(value.as_ref())].concat());
        self
    }

    /// Adds a header. Those that a call sets itself are refused: `Idempotency-Key` and `traceparent` among them.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        let (name, value) = (name.to_ascii_lowercase(), value.into());
        if let Some(problem) = header_problem(&name, &value) {
            return self.refuse(problem);
        }
        if self.headers.len() == CALL_HEADERS_MAX {
            return self.refuse(format!("a call has at most {CALL_HEADERS_MAX} headers of its own"));
        }
        self.headers.push((name, value));
        self
    }

    /// Sends this as JSON.
    pub fn json(self, value: &impl Value) -> Self {
        match encode(value) {
            Ok(json) => self.with_type("application/json").body(json),
            Err(error) => self.refuse(format!("the body does not encode: {error}")),
        }
    }

    /// Sends these bytes; their type is said by `.header("content-type", ..)`.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        if self.body.len() > CALL_BODY_BYTES_MAX {
            let problem = format!("the body has {} bytes; at most {CALL_BODY_BYTES_MAX} are sent", self.body.len());
            return self.refuse(problem);
        }
        self
    }

    /// How long the whole answer may take, once the call has left: 10 seconds unless said otherwise, and never longer than the run has left.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the call and reads its whole answer. Redirects are not followed: the answer is one like any other then.
    ///
    /// # Errors
    /// See [`HttpFailure`]; a status other than 2xx is one. `?` tries again or parks, as fits.
    pub async fn send(self) -> Result<HttpReply, HttpFailure> {
        let Self { keyed, method, url, headers, body, timeout, problem } = self;
        let target = problem.map_or_else(|| Target::parse(&url), Err);
        let unfit = |problem: String| HttpFailure::Unfit(format!("{method} {}: {problem}", shown(&url)));
        let Target { destination, url } = target.map_err(unfit)?;
        let (door, key) = keyed.into_parts();
        let call = SentCall { method, destination: destination.clone(), url, headers, body, timeout, key };
        match door.call(call).await {
            Ok(reply) => HttpReply::new(destination, reply).settled(),
            Err(CallFailure::Unfit { message }) => Err(HttpFailure::Unfit(message)),
            Err(CallFailure::Failed { message, rest }) => Err(HttpFailure::Failed { cause: message, rest }),
            Err(CallFailure::NotTried { message, wait }) => Err(HttpFailure::NotTried { cause: message, wait }),
        }
    }

    fn with_type(mut self, content_type: &str) -> Self {
        if !self.headers.iter().any(|(name, _)| name == "content-type") {
            self.headers.push(("content-type".to_owned(), content_type.to_owned()));
        }
        self
    }

    fn refuse(mut self, problem: String) -> Self {
        self.problem.get_or_insert(problem);
        self
    }
}

/// A URL as a message may show it: without its query, which may hold secrets.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// Why a header cannot be sent. `name` is in lower case.
fn header_problem(name: &str, value: &str) -> Option<String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some(format!("`{name}` is no name of a header"));
    }
    if OURS.contains(&name) {
        return Some(format!("the header `{name}` is set by the call itself; leave it out"));
    }
    // The value is not shown: it may be a secret.
    let fits = value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) && value.trim() == value;
    (!fits).then(|| format!("the value of the header `{name}` has letters that no header can hold"))
}

#[cfg(test)]
mod tests {
    use super::header_problem;

    #[test]
    fn headers_that_a_call_sets_itself_and_those_that_break_their_rule_are_refused() {
        for (name, value, problem) in [
            ("x-api-key", "secret", None),
            ("accept", "text/plain;q=0.5, */*", None),
            ("host", "other.example", Some("set by the call itself")),
            ("idempotency-key", "mine", Some("set by the call itself")),
            ("two words", "x", Some("no name")),
            ("", "x", Some("no name")),
            ("x-note", "two\r\nlines", Some("no header can hold")),
            ("x-note", "été", Some("no header can hold")),
            ("x-note", " led by a blank", Some("no header can hold")),
        ] {
            let found = header_problem(name, value);
            assert_eq!(found.is_some(), problem.is_some(), "{name}: {found:?}");
            assert!(problem.is_none_or(|problem| found.is_some_and(|found| found.contains(problem) && !found.contains(value))), "{name}");
        }
    }
}
