//! Problems: every way in which the HTTP face says no, as one table, and the RFC 9457 body that carries one.
//!
//! A code is stable: its number, title and status never change, and a page under `docs/errors/` tells the remedy.

use std::fmt;

use http::{HeaderName, HeaderValue, header};
use serde_json::Value as Json;

use crate::json;

/// One stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Such as `HW0012`.
    pub number: &'static str,
    /// Such as `unknown-command`.
    pub title: &'static str,
    /// The HTTP status it travels with.
    pub status: u16,
    /// After how many seconds the same request may succeed.
    pub retry_after_seconds: Option<u32>,
}

macro_rules! codes {
    ($($name:ident = $number:literal $title:literal $status:literal $(retry $seconds:literal)?;)*) => {
        $(pub(crate) const $name: Code =
            Code { number: $number, title: $title, status: $status, retry_after_seconds: codes!(@retry $($seconds)?) };)*
        /// Every code, in order.
        pub const CODES: &[Code] = &[$($name),*];
    };
    (@retry) => { None };
    (@retry $seconds:literal) => { Some($seconds) };
}

codes! {
    MALFORMED_JSON = "HW0001" "malformed-json" 400;
    INVALID_FIELD = "HW0002" "invalid-field" 400;
    INVALID_HEADER = "HW0003" "invalid-header" 400;
    INVALID_PARAMETER = "HW0004" "invalid-parameter" 400;
    INVALID_PATH = "HW0005" "invalid-path" 400;
    INVALID_CURSOR = "HW0006" "invalid-cursor" 400;
    INVALID_IDEMPOTENCY_KEY = "HW0007" "invalid-idempotency-key" 400;
    CROSS_ORIGIN = "HW0008" "cross-origin" 403;
    WEBSOCKET_VERSION = "HW0009" "websocket-version" 426;
    UNKNOWN_ROUTE = "HW0010" "unknown-route" 404;
    UNKNOWN_ENTITY_TYPE = "HW0011" "unknown-entity-type" 404;
    UNKNOWN_COMMAND = "HW0012" "unknown-command" 404;
    ENTITY_NOT_FOUND = "HW0013" "entity-not-found" 404;
    OUTCOME_NOT_FOUND = "HW0014" "outcome-not-found" 404;
    UNKNOWN_OPERATION = "HW0015" "unknown-operation" 404;
    METHOD_NOT_ALLOWED = "HW0016" "method-not-allowed" 405;
    UNKNOWN_VIEW = "HW0017" "unknown-view" 404;
    UNKNOWN_QUERY = "HW0018" "unknown-query" 404;
    UNKNOWN_CONSUMER = "HW0019" "unknown-consumer" 404;
    CONTENDED = "HW0020" "contended" 409;
    HISTORY_DIVERGED = "HW0021" "history-diverged" 409;
    GONE = "HW0022" "gone" 410;
    REPLY_GONE = "HW0023" "reply-gone" 410;
    PRECONDITION_FAILED = "HW0024" "precondition-failed" 412;
    BODY_TOO_LARGE = "HW0025" "body-too-large" 413;
    URI_TOO_LONG = "HW0026" "uri-too-long" 414;
    UNSUPPORTED_MEDIA_TYPE = "HW0027" "unsupported-media-type" 415;
    IDEMPOTENCY_KEY_REUSED = "HW0028" "idempotency-key-reused" 422;
    REJECTED = "HW0029" "rejected" 422;
    HEADERS_TOO_LARGE = "HW0030" "headers-too-large" 431;
    COMMIT_TOO_LARGE = "HW0031" "commit-too-large" 422;
    SEQUENCE_BEYOND_HEAD = "HW0032" "sequence-beyond-head" 404;
    TENANT_REFUSED = "HW0033" "tenant-refused" 400;
    NOT_ACCEPTABLE = "HW0034" "not-acceptable" 406;
    REQUEST_TIMEOUT = "HW0035" "request-timeout" 408;
    QUERY_TOO_SLOW = "HW0036" "query-too-slow" 503;
    TOO_MANY_ROWS = "HW0037" "too-many-rows" 422;
    VIEW_BEHIND = "HW0038" "view-behind" 503 retry 1;
    VIEW_STOPPED = "HW0039" "view-stopped" 503;
    BUSY = "HW0040" "busy" 503 retry 1;
    STOPPING = "HW0041" "stopping" 503 retry 5;
    DISK_FULL = "HW0042" "disk-full" 503 retry 30;
    JOURNAL_STOPPED = "HW0043" "journal-stopped" 503;
    ENGINE_UNAVAILABLE = "HW0044" "engine-unavailable" 503 retry 5;
    OUTCOME_UNKNOWN = "HW0045" "outcome-unknown" 504;
    UNKNOWN_TOPIC = "HW0046" "unknown-topic" 404;
    CONSUMER_CONFLICT = "HW0047" "consumer-conflict" 409;
    CONSUMER_UNPLACED = "HW0048" "consumer-unplaced" 409;
    DELIVERY_STALE = "HW0049" "delivery-stale" 410;
    INTERNAL = "HW0050" "internal" 500;
    UNREADABLE = "HW0051" "unreadable" 500;
    DAMAGED = "HW0052" "damaged" 500;
    DEADLINE_PASSED = "HW0053" "deadline-passed" 504;
    ROLE_ELSEWHERE = "HW0054" "role-elsewhere" 421;
    CONSUMER_ELSEWHERE = "HW0055" "consumer-elsewhere" 307;
    NOT_HELD = "HW0080" "not-held" 404;
    DECISION_STALE = "HW0081" "decision-stale" 409;
    CONSUMER_NOT_WORKING = "HW0082" "consumer-not-working" 503 retry 1;
    DECISION_UNFIT = "HW0083" "decision-unfit" 422;
    UNKNOWN_SUBJECT = "HW0090" "unknown-subject" 404;
    ERASURE_UNFINISHED = "HW0091" "erasure-unfinished" 503 retry 1;
    HISTORY_GONE = "HW0100" "history-gone" 410;
    BASELINE_UNFIT = "HW0101" "baseline-unfit" 500;
    TIMER_NOT_FOUND = "HW0110" "timer-not-found" 404;
    TIMER_NOT_WAITING = "HW0111" "timer-not-waiting" 409;
    WORKFLOW_NOT_FOUND = "HW0120" "workflow-not-found" 404;
    WORKFLOW_NOT_NOW = "HW0121" "workflow-not-now" 409;
    WORKFLOW_OTHER_INPUT = "HW0122" "workflow-other-input" 422;
    UNKNOWN_STREAM = "HW0130" "unknown-stream" 404;
    UNKNOWN_STREAM_VERSION = "HW0131" "unknown-stream-version" 404;
    UNKNOWN_SUBSCRIPTION = "HW0132" "unknown-subscription" 404;
    VIEW_UNAVAILABLE = "HW0154" "view-not-available" 503 retry 5;
}

/// Where a code's page stands; the code's number follows.
pub const TYPE_BASE: &str = "https://headwater.dev/errors/";

/// The code with this number, in any case, or with this title.
#[must_use]
pub fn lookup(number_or_title: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.number.eq_ignore_ascii_case(number_or_title) || code.title == number_or_title)
}

/// A refusal on its way out: a code, what happened, and what else the client can act on.
pub(crate) struct Problem(Box<Parts>);

struct Parts {
    code: Code,
    detail: String,
    members: Vec<(&'static str, Json)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl fmt::Display) -> Self {
        let retry = code.retry_after_seconds.map(|seconds| (header::RETRY_AFTER, HeaderValue::from(seconds)));
        Self(Box::new(Parts { code, detail: detail.to_string(), members: Vec::new(), headers: retry.into_iter().collect() }))
    }

    /// Adds an extension member to the body.
    pub(crate) fn member(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.0.members.push((name, value.into()));
        self
    }

    /// Adds a header to the answer; a value that no header can hold is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.0.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// Names the part of the body that is wrong, by RFC 6901 pointer.
    pub(crate) fn at(self, pointer: &str, detail: &str) -> Self {
        self.member("errors", serde_json::json!([{ "pointer": pointer, "detail": detail }]))
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The body as one line of JSON, without a line end; `line` is its number in a batch.
    pub(crate) fn write(&self, out: &mut Vec<u8>, line: Option<u64>) {
        let Parts { code, detail, members, .. } = &*self.0;
        out.push(b'{');
        if let Some(line) = line {
            out.extend_from_slice(b"\"line\":");
            json::number(out, line);
            out.push(b',');
        }
        out.extend_from_slice(b"\"type\":\"");
        out.extend_from_slice(TYPE_BASE.as_bytes());
        out.extend_from_slice(code.number.as_bytes());
        out.extend_from_slice(b"\",\"title\":\"");
        out.extend_from_slice(code.title.as_bytes());
        out.extend_from_slice(b"\",\"status\":");
        json::number(out, u64::from(code.status));
        out.extend_from_slice(b",\"detail\":");
        json::string(out, detail);
        out.extend_from_slice(b",\"code\":\"");
        out.extend_from_slice(code.number.as_bytes());
        out.push(b'"');
        for (name, value) in members {
            out.push(b',');
            json::string(out, name);
            out.push(b':');
            json::value(out, value);
        }
        out.push(b'}');
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.0.code.number, self.0.code.title, self.0.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_titles_are_unique_and_in_order() {
        assert!(CODES.windows(2).all(|pair| pair[0].number < pair[1].number));
        let titles: std::collections::BTreeSet<_> = CODES.iter().map(|code| code.title).collect();
        assert_eq!(titles.len(), CODES.len());
    }

    #[test]
    fn a_code_is_found_by_number_and_by_title() {
        assert_eq!(lookup("hw0012"), Some(&UNKNOWN_COMMAND));
        assert_eq!(lookup("unknown-command"), Some(&UNKNOWN_COMMAND));
        assert_eq!(lookup("HW9999"), None);
    }

    #[test]
    fn the_body_is_one_line_of_json() {
        let problem = Problem::new(BUSY, "a \"quoted\"\ndetail").at("/quantity", "is negative");
        let mut line = Vec::new();
        problem.write(&mut line, Some(7));
        assert!(!line.contains(&b'\n'));
        let body: Json = serde_json::from_slice(&line).unwrap();
        assert_eq!(body["line"], 7);
        assert_eq!(body["type"], "https://headwater.dev/errors/HW0040");
        assert_eq!(body["detail"], "a \"quoted\"\ndetail");
        assert_eq!(body["errors"][0]["pointer"], "/quantity");
        assert_eq!(problem.headers(), [(header::RETRY_AFTER, HeaderValue::from(1))]);
    }
}
