//! The opening handshake (RFC 6455, section 4.2): everything that a client may get wrong is a problem with a status, before anything is
//! switched.
//!
//! A browser opens a WebSocket for the page of any origin without asking first, and sends its cookies along. So the page's origin must be
//! this service's own, as for commands.

use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use http::header::{TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

use crate::inbound::body::{Body, Takeover};
use crate::inbound::headers::{self, invalid, single};
use crate::problem::{CROSS_ORIGIN, INVALID_HEADER, Problem, WEBSOCKET_VERSION};

const VERSION: &str = "13";

/// Whether a request asks for a WebSocket, rightly or not. One whose `Upgrade` got lost on the way still shows by its key.
pub(in crate::inbound) fn is_wanted(parts: &Parts) -> bool {
    let asks = has_token(&parts.headers, &UPGRADE, "websocket") || parts.headers.contains_key(SEC_WEBSOCKET_KEY);
    asks && parts.method == Method::GET
}

/// A handshake that can be answered with yes.
pub(in crate::inbound) struct Handshake {
    accept: String,
    protocol: Option<&'static str>,
}

impl Handshake {
    /// Reads a client's side of it. It may offer no subprotocol; if it offers some, ours must be among them.
    pub(in crate::inbound) fn read(parts: &Parts, protocol: &'static str) -> Result<Self, Problem> {
        let headers = &parts.headers;
        if headers::is_cross_origin(headers) {
            return Err(Problem::new(
                CROSS_ORIGIN,
                "origin: is another one than this service's; a page of another origin may not open this",
            ));
        }
        check_upgrade(parts)?;
        check_version(headers)?;
        let key = single(headers, &SEC_WEBSOCKET_KEY, INVALID_HEADER)?.unwrap_or_default();
        if !is_key(key) {
            return Err(invalid(&SEC_WEBSOCKET_KEY, "must be 16 bytes in base64, new for each connection"));
        }
        Ok(Self { accept: derive_accept_key(key.as_bytes()), protocol: chosen(headers, protocol)? })
    }

    /// The answer; what takes over has the connection when it is written.
    pub(in crate::inbound) fn answer(self, takeover: Takeover) -> Response<Body> {
        let mut response = Response::new(Body::taken_over(takeover));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.extend(HeaderValue::from_str(&self.accept).ok().map(|accept| (SEC_WEBSOCKET_ACCEPT, accept)));
        headers.extend(self.protocol.map(|protocol| (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol))));
        response
    }
}

fn check_upgrade(parts: &Parts) -> Result<(), Problem> {
    let headers = &parts.headers;
    if !has_token(headers, &UPGRADE, "websocket") {
        return Err(invalid(&UPGRADE, "must be `websocket`; a proxy on the way may have dropped it"));
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(invalid(&CONNECTION, "must have `upgrade` when there is an upgrade; a proxy on the way may have dropped it"));
    }
    if parts.version != Version::HTTP_11 {
        return Err(invalid(&UPGRADE, "takes HTTP/1.1"));
    }
    let has_body = headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body { Err(invalid(&CONTENT_LENGTH, "must be absent: what opens a websocket has no body")) } else { Ok(()) }
}

fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    let told = single(headers, &SEC_WEBSOCKET_VERSION, INVALID_HEADER)?;
    if told.map(str::trim) == Some(VERSION) {
        return Ok(());
    }
    let detail = format!("sec-websocket-version: must be {VERSION}, and not `{}`", told.unwrap_or_default());
    let problem = Problem::new(WEBSOCKET_VERSION, detail).header(SEC_WEBSOCKET_VERSION, VERSION);
    Err(problem.header(UPGRADE, "websocket").header(CONNECTION, "upgrade"))
}

/// Sixteen bytes make 22 letters and two signs of filling.
fn is_key(key: &str) -> bool {
    let letters = key.strip_suffix("==").unwrap_or_default();
    letters.len() == 22 && letters.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn chosen(headers: &HeaderMap, ours: &'static str) -> Result<Option<&'static str>, Problem> {
    if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Ok(None);
    }
    let offers = tokens(headers, &SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == ours);
    let refused = || invalid(&SEC_WEBSOCKET_PROTOCOL, &format!("has none that is spoken here; offer `{ours}`, or nothing"));
    offers.then_some(Some(ours)).ok_or_else(refused)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// The items of a list, which may be spread over several fields.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_answered_as_it_says() {
        let request = http::Request::get("/").header("upgrade", "WebSocket").header("connection", "keep-alive, Upgrade");
        let request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").header("sec-websocket-version", "13");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert!(is_wanted(&parts));
        let handshake = Handshake::read(&parts, "ours").unwrap();
        assert_eq!((handshake.accept.as_str(), handshake.protocol), ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", None));
    }

    #[test]
    fn a_key_is_sixteen_bytes() {
        for (key, expected) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", true),
            ("dGhlIHNhbXBsZSBub25jZQ=", false),
            ("dGhlIHNhbXBsZSBub25jZ===", false),
            ("dGhlIHNhbXBsZSBub25jZ!==", false),
            ("", false),
        ] {
            assert_eq!(is_key(key), expected, "{key}");
        }
    }
}
