//! A call as a request: the headers that the platform adds to the action's own.
//!
//! `Headwater-Timeout-Ms` tells the callee how long its caller waits: whole milliseconds from when the call left. It is a time that is left and
//! no moment, as `grpc-timeout` is, so that nobody's clock must agree with anybody's.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::Full;
use runtime::OutgoingCall;

use crate::inbound::{CORRELATION_ID, IDEMPOTENCY_KEY, TIMEOUT_MS, TRACEPARENT};

pub(crate) const AGENT: HeaderValue = HeaderValue::from_static(concat!("headwater/", env!("CARGO_PKG_VERSION")));

pub(super) fn build(call: &OutgoingCall) -> Result<Request<Full<Bytes>>, String> {
    let (_, host) = call.destination.split_once("://").ok_or("is no destination")?;
    let path = &call.url[call.destination.len()..];
    let built = Request::builder().method(call.method).uri(path).body(Full::new(call.body.clone()));
    let mut request = built.map_err(|error| format!("the address cannot be called: {error}"))?;
    *request.headers_mut() = headers(call, host)?;
    Ok(request)
}

fn headers(call: &OutgoingCall, host: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &call.headers {
        let invalid = |error: &dyn std::fmt::Display| format!("the header `{name}` cannot be sent: {error}");
        let name = HeaderName::try_from(name).map_err(|error| invalid(&error))?;
        let mut value = HeaderValue::try_from(value).map_err(|error| invalid(&error))?;
        // Credentials come this way.
        value.set_sensitive(true);
        headers.append(name, value);
    }
    let mut set = |name: HeaderName, text: &str| -> Result<(), String> {
        let value = HeaderValue::try_from(text).map_err(|error| format!("the header `{name}` cannot be sent: {error}"))?;
        headers.insert(name, value);
        Ok(())
    };
    set(HOST, host)?;
    set(IDEMPOTENCY_KEY, &call.key)?;
    set(TIMEOUT_MS, &call.timeout.as_millis().to_string())?;
    // A text from outside that no header can hold is not worth a call.
    for (name, text) in [(TRACEPARENT, &call.traceparent), (CORRELATION_ID, &call.correlation_id)] {
        if let Some(text) = text {
            let _unfit = set(name, text);
        }
    }
    if !call.body.is_empty() || matches!(call.method, "POST" | "PUT" | "PATCH") {
        set(CONTENT_LENGTH, &call.body.len().to_string())?;
    }
    headers.entry(USER_AGENT).or_insert(AGENT);
    Ok(headers)
}
