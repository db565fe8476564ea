//! Request headers: the bounds of a head, and the headers of a command.
//!
//! In: `Idempotency-Key` (raw, or quoted as in the IETF draft), `If-Match: "7"`, `If-None-Match: *`, `traceparent`,
//! `Correlation-Id`, `Headwater-Timeout-Ms` (see `deadline`). A header that matters may be there once. `Headwater-...` is ours: an unknown one is refused, and so is
//! `Headwater-Tenant`, because the tenant comes from the credential.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use journal::Context;
use runtime::Expectation;

use crate::limits::{HEADER_BYTES_MAX, HEADERS_MAX};
use crate::problem::{Code, HEADERS_TOO_LARGE, INVALID_HEADER, INVALID_IDEMPOTENCY_KEY, Problem, TENANT_REFUSED, UNSUPPORTED_MEDIA_TYPE};

/// A command's id. The draft of the IETF (draft-ietf-httpapi-idempotency-key-header).
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Ties together everything that one request from outside set off.
pub(crate) const CORRELATION_ID: HeaderName = HeaderName::from_static("correlation-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// How long the caller waits for its answer, in whole milliseconds.
pub(crate) const TIMEOUT_MS: HeaderName = HeaderName::from_static("headwater-timeout-ms");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const OURS: &str = "headwater-";

/// Checks the bounds of a head, and the names that are ours.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.len() > HEADERS_MAX {
        return Err(Problem::new(
            HEADERS_TOO_LARGE,
            format!("the request has {} headers; at most {HEADERS_MAX} are allowed", headers.len()),
        ));
    }
    let mut bytes = 0;
    for (name, value) in headers {
        bytes += name.as_str().len() + value.len();
        if name.as_str().starts_with(OURS) && *name != TIMEOUT_MS {
            return Err(refuse_ours(name));
        }
    }
    if bytes > HEADER_BYTES_MAX {
        return Err(Problem::new(HEADERS_TOO_LARGE, format!("the headers have {bytes} bytes; at most {HEADER_BYTES_MAX} are allowed")));
    }
    Ok(())
}

fn refuse_ours(name: &HeaderName) -> Problem {
    if name.as_str() == "headwater-tenant" {
        return Problem::new(TENANT_REFUSED, "the tenant comes from the credential, never from a header; leave `headwater-tenant` out");
    }
    invalid(name, "is not a request header of this version; leave it out")
}

/// Refuses what a browser sends for a page of another origin. A page may send an empty `POST` anywhere without asking first,
/// also to a service on the loopback. The rule is the one of Go's `http.CrossOriginProtection`.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    if is_cross_origin(headers) {
        Err(invalid(&header::ORIGIN, "is another one than this service's; pages of other origins may not send commands"))
    } else {
        Ok(())
    }
}

/// Whether a browser sends this for a page of another origin.
pub(super) fn is_cross_origin(headers: &HeaderMap) -> bool {
    match (headers.get(&SEC_FETCH_SITE), headers.get(header::ORIGIN)) {
        (Some(site), _) => !matches!(site.as_bytes(), b"same-origin" | b"none"),
        (None, Some(origin)) => !is_same_origin(origin, headers.get(header::HOST)),
        (None, None) => false,
    }
}

fn is_same_origin(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    authority.is_some() && authority == host.and_then(|host| host.to_str().ok())
}

/// The headers of a command.
#[derive(Debug)]
pub(super) struct CommandHeaders {
    pub(super) id: Option<String>,
    /// `Idempotency-Key` as it came, to be given back.
    pub(super) echo: Option<HeaderValue>,
    pub(super) expect: Expectation,
    pub(super) context: Context,
}

impl CommandHeaders {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let echo = headers.get(&IDEMPOTENCY_KEY).cloned();
        Ok(Self { id: command_id(headers)?, echo, expect: expectation(headers)?, context: context(headers)? })
    }
}

/// Refuses headers of a single command where they have no meaning.
pub(super) fn refuse(headers: &HeaderMap, names: &[HeaderName], remedy: &str) -> Result<(), Problem> {
    match names.iter().find(|name| headers.contains_key(*name)) {
        Some(name) => Err(invalid(name, remedy)),
        None => Ok(()),
    }
}

fn command_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(text) = single(headers, &IDEMPOTENCY_KEY, INVALID_IDEMPOTENCY_KEY)? else { return Ok(None) };
    let id = if text.starts_with('"') { unquoted(text) } else { Some(text.to_owned()) };
    id.map(Some).ok_or_else(|| {
        Problem::new(
            INVALID_IDEMPOTENCY_KEY,
            "idempotency-key: begins with a quote but is no quoted string; write \"...\" with `\\\"` and `\\\\` inside",
        )
    })
}

/// The text of a structured field's string (RFC 9651 section 3.3.3), without parameters.
pub(super) fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.push(letters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            '"' => return None,
            ' '..='~' => plain.push(letter),
            _ => return None,
        }
    }
    Some(plain)
}

fn expectation(headers: &HeaderMap) -> Result<Expectation, Problem> {
    let none_match = single(headers, &header::IF_NONE_MATCH, INVALID_HEADER)?;
    match (single(headers, &header::IF_MATCH, INVALID_HEADER)?, none_match) {
        (None, None) => Ok(Expectation::Any),
        (None, Some("*")) => Ok(Expectation::New),
        (None, Some(_)) => Err(invalid(&header::IF_NONE_MATCH, "must be `*` on a command: it may only ask for a new entity")),
        (Some(_), Some(_)) => Err(invalid(&header::IF_MATCH, "and if-none-match contradict each other; send one")),
        (Some(tag), None) => match etag(tag) {
            Some(0) => Err(invalid(&header::IF_MATCH, "must not be \"0\"; ask for a new entity with `If-None-Match: *`")),
            Some(sequence) => Ok(Expectation::Sequence(sequence)),
            None => Err(invalid(&header::IF_MATCH, "must be one quoted sequence such as \"7\"")),
        },
    }
}

/// The sequence in a strong entity tag of ours.
fn etag(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    let canonical = digits == "0" || !digits.starts_with('0');
    (canonical && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Whether a reader already has the state at this sequence (`If-None-Match`, RFC 9110 section 13.1.2: weak comparison).
pub(super) fn has_already(headers: &HeaderMap, sequence: u64) -> Result<bool, Problem> {
    let Some(tags) = single(headers, &header::IF_NONE_MATCH, INVALID_HEADER)? else { return Ok(false) };
    if tags == "*" {
        return Ok(true);
    }
    let mut found = false;
    for tag in tags.split(',').map(str::trim) {
        let known = etag(tag.strip_prefix("W/").unwrap_or(tag));
        found |= known.ok_or_else(|| invalid(&header::IF_NONE_MATCH, "must hold quoted sequences such as \"7\", or be `*`"))? == sequence;
    }
    Ok(found)
}

/// Whether a reader already has the answer with this tag (`If-None-Match`, weak comparison).
pub(super) fn has_tag(headers: &HeaderMap, tag: &str) -> Result<bool, Problem> {
    let tags = single(headers, &header::IF_NONE_MATCH, INVALID_HEADER)?.unwrap_or_default();
    Ok(tags == "*" || tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag.trim_start_matches("W/")))
}

/// Who and why. There is no principal until there are credentials.
pub(super) fn context(headers: &HeaderMap) -> Result<Context, Problem> {
    let traceparent = single(headers, &TRACEPARENT, INVALID_HEADER)?;
    if traceparent.is_some_and(|text| !is_traceparent(text)) {
        return Err(invalid(&TRACEPARENT, "must be a W3C trace context such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    }
    let correlation = single(headers, &CORRELATION_ID, INVALID_HEADER)?;
    let bytes_max = journal::limits::CONTEXT_TEXT_BYTES_MAX;
    if correlation.is_some_and(|text| text.is_empty() || text.len() > bytes_max || text.chars().any(char::is_control)) {
        return Err(invalid(&CORRELATION_ID, &format!("must have 1 to {bytes_max} bytes without control characters")));
    }
    Ok(Context { correlation_id: correlation.map(Arc::from), traceparent: traceparent.map(Arc::from), ..Context::default() })
}

/// W3C Trace Context, section 3.2: version, trace id, parent id, flags; a later version may go on after a dash.
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str, length| part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |part: &str, length| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    let [version, trace, parent, flags, rest @ ..] = &parts[..] else { return false };
    let fits = is_hex(version, 2) && *version != "ff" && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2);
    fits && (rest.is_empty() || *version != "00") && text.len() <= journal::limits::CONTEXT_TEXT_BYTES_MAX
}

/// Checks that a body is what a route takes. A body may be absent, and its type with it.
pub(super) fn check_media_type(headers: &HeaderMap, expected: &str, has_body: bool) -> Result<(), Problem> {
    check_coding(headers)?;
    match single(headers, &header::CONTENT_TYPE, INVALID_HEADER)? {
        None if !has_body => Ok(()),
        Some(text) if is_media_type(text, expected) => Ok(()),
        found => {
            let found = found.map_or_else(|| "no content-type".to_owned(), |text| format!("`{text}`"));
            Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, format!("the body must be `{expected}` in UTF-8; this one has {found}")))
        }
    }
}

/// That a body is not compressed.
pub(super) fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(coding) = headers.get(header::CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, "content-encoding: bodies are taken as they are; send this one without a coding"));
    }
    Ok(())
}

pub(super) fn is_media_type(text: &str, expected: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let fits = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(expected));
    let charset = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("charset"));
    fits && charset.is_none_or(|(_, charset)| charset.trim_matches('"').eq_ignore_ascii_case("utf-8"))
}

/// A header that may be there once, as text.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName, code: Code) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(code, format!("{name}: is there more than once; send one")).member("header", name.as_str()));
    }
    let text = std::str::from_utf8(value.as_bytes());
    text.map(Some).map_err(|_| Problem::new(code, format!("{name}: is not UTF-8")).member("header", name.as_str()))
}

/// The refusal of a header.
pub(super) fn invalid(name: &HeaderName, problem: &str) -> Problem {
    Problem::new(INVALID_HEADER, format!("{name}: {problem}")).member("header", name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_keys_are_unescaped() {
        for (text, expected) in [(r#""abc""#, Some("abc")), (r#""a\"b\\c""#, Some(r#"a"b\c"#)), (r#""""#, Some("")), (r#"""#, None)] {
            assert_eq!(unquoted(text).as_deref(), expected, "{text}");
        }
        for bad in [r#""a"b""#, r#""a\nb""#, r#""a";q=1"#, "\"é\"", r#""a\"#] {
            assert_eq!(unquoted(bad), None, "{bad}");
        }
    }

    #[test]
    fn entity_tags_have_one_spelling() {
        for (tag, expected) in
            [("\"7\"", Some(7)), ("\"0\"", Some(0)), ("7", None), ("\"07\"", None), ("\"+7\"", None), ("\"\"", None), ("W/\"7\"", None)]
        {
            assert_eq!(etag(tag), expected, "{tag}");
        }
    }

    #[test]
    fn trace_contexts_are_checked() {
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        assert!(is_traceparent(&format!("00-{trace}-{parent}-01")));
        assert!(is_traceparent(&format!("01-{trace}-{parent}-01-more")));
        let zero = "0".repeat(32);
        for bad in [
            format!("ff-{trace}-{parent}-01"),
            format!("00-{zero}-{parent}-01"),
            format!("00-{trace}-{parent}"),
            format!("00-{trace}-{parent}-01-more"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
        ] {
            assert!(!is_traceparent(&bad), "{bad}");
        }
    }

    #[test]
    fn media_types_may_have_parameters() {
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
            assert!(is_media_type(good, "application/json"), "{good}");
        }
        for bad in ["text/plain", "application/json; charset=latin1", "application/jsonx", ""] {
            assert!(!is_media_type(bad, "application/json"), "{bad}");
        }
    }
}
