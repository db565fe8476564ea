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
use crate::personal::mark::{is_marked, marking};
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

    /// Goes one segment further down the path, whatever letters the text has. It is put before any query.
    pub fn segment(mut self, text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        if matches!(text, "" | "." | "..") {
            return self.refuse(format!("`{text}` cannot be a segment of a path"));
        }
        let (path, rest) = self.url.split_at(self.url.find(['?', '#']).unwrap_or(self.url.len()));
        let slash = if path.ends_with('/') { "" } else { "/" };
        self.url = [path, slash, &encoded(text), rest].concat();
        self
    }

    /// Adds to the query, whatever letters the texts have.
    pub fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.url.push(if self.url.contains('?') { '&' } else { '?' });
        self.url.push_str(&[&encoded(name), "=", &encoded(value.as_ref())].concat());
        self
    }

    /// Adds a header. Those that a call sets itself are refused: `Idempotency-Key` and `traceparent` among them.
    /// There is one `content-type`: the last word counts, also against [`json`](Self::json).
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        let (name, value) = (name.to_ascii_lowercase(), value.into());
        if let Some(problem) = header_problem(&name, &value) {
            return self.refuse(problem);
        }
        if name == "content-type" {
            self.headers.retain(|(other, _)| *other != name);
        }
        if self.headers.len() == CALL_HEADERS_MAX {
            return self.refuse(format!("a call has at most {CALL_HEADERS_MAX} headers of its own"));
        }
        self.headers.push((name, value));
        self
    }

    /// Sends this as JSON. A body with personal values is refused: what leaves the service is out of reach of an erasure, so that who means
    /// it says [`personal_json`](Self::personal_json).
    pub fn json(self, value: &impl Value) -> Self {
        match marking(|| encode(value)) {
            Ok(json) if is_marked(&json) => {
                self.refuse("the body has a personal value, which would leave the service; say `.personal_json(..)` if it may".to_owned())
            }
            json => self.json_as_it_is(json),
        }
    }

    /// Sends this as JSON, with its personal values plain. Whoever gets them has them, also when their subject is erased.
    pub fn personal_json(self, value: &impl Value) -> Self {
        self.json_as_it_is(encode(value))
    }

    fn json_as_it_is(self, json: Result<Vec<u8>, serde_json::Error>) -> Self {
        match json {
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

/// A URL as a message may show it: without its query, which may hold secrets, and without a user, who may have a password.
fn shown(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or(url);
    let (scheme, rest) = bare.split_at(bare.find("://").map_or(0, |at| at + "://".len()));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    match host.rsplit_once(':') {
        // A password with a `/` or `?` in it ends the authority too early, and looks like a port.
        Some((name, port)) if !port.ends_with(']') && !port.bytes().all(|byte| byte.is_ascii_digit()) => format!("{scheme}{name}"),
        _ => [scheme, host, path].concat(),
    }
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
    use crate::topic::Topics;
    use std::sync::Arc;

    use super::{header_problem, shown};
    use crate::ActionContext;
    use crate::hosted::{ActionDoor, BoxedFuture, CallFailure, CallReply, SendFailure, SentCall, SentCommand};

    /// Nothing goes through.
    struct Shut;

    impl ActionDoor for Shut {
        fn send(&self, _: SentCommand) -> BoxedFuture<'_, Result<Vec<u8>, SendFailure>> {
            unreachable!()
        }

        fn call(&self, _: SentCall) -> BoxedFuture<'_, Result<CallReply, CallFailure>> {
            unreachable!()
        }
    }

    #[test]
    fn a_segment_goes_into_the_path_wherever_it_is_said() {
        let ctx = ActionContext::new(Arc::new(Shut), 1, Topics::none);
        let call = ctx.http().get("https://pay.example/customers?new=1").segment("c 1").query("a", "b").segment("cards");
        assert_eq!(call.url, "https://pay.example/customers/c%201/cards?new=1&a=b");
        assert_eq!(ctx.http().get("https://pay.example?a=/").segment("x").url, "https://pay.example/x?a=/");
    }

    #[test]
    fn a_call_says_one_type_of_its_body() {
        let ctx = ActionContext::new(Arc::new(Shut), 1, Topics::none);
        let call = || ctx.http().post("https://pay.example");
        let types = |call: super::HttpCall<'_>| call.headers.into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(types(call().json(&1)), ["application/json"]);
        assert_eq!(types(call().json(&1).header("Content-Type", "application/ld+json")), ["application/ld+json"]);
        assert_eq!(types(call().header("content-type", "application/ld+json").json(&1)), ["application/ld+json"]);
    }

    #[test]
    fn a_message_shows_neither_a_user_nor_a_query() {
        for (url, expected) in [
            ("https://pay.example:8443/charges?key=secret#secret", "https://pay.example:8443/charges"),
            ("https://ann:secret@pay.example/users/@ann", "https://pay.example/users/@ann"),
            ("https://ann:secret@secret@pay.example", "https://pay.example"),
            ("ann:secret@pay.example/charges", "pay.example/charges"),
            ("https://ann:secret/secret@pay.example", "https://ann"),
            ("https://ann:secret?secret@pay.example", "https://ann"),
            ("pay.example?next=https://ann:secret@pay.example", "pay.example"),
            ("https://[::1]:7430/x", "https://[::1]:7430/x"),
            ("https://[::1]/x", "https://[::1]/x"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

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
