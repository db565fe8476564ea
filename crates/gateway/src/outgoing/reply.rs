//! Reading an answer, within its bounds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use component::hosted::CallReply;
use component::limits::CALL_REPLY_BYTES_MAX;
use http::{HeaderMap, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use runtime::OutgoingError;

use super::failed;

/// The answer, and whether it was read to its end. What says no is cut at the bound, what says yes is refused there.
pub(super) async fn read(response: Response<Incoming>) -> Result<(CallReply, bool), OutgoingError> {
    let (head, body) = response.into_parts();
    let (body, is_whole) = body_of(body, head.status.is_success()).await?;
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let retry_after = retry_after(&head.headers, Timestamp::now());
    Ok((CallReply { status: head.status.as_u16(), headers: headers.collect(), body, retry_after, rest: None }, is_whole))
}

async fn body_of(mut body: Incoming, is_success: bool) -> Result<(Bytes, bool), OutgoingError> {
    let too_large =
        || OutgoingError::Unfit { message: format!("the answer is larger than {CALL_REPLY_BYTES_MAX} bytes, which is the bound") };
    if is_success && body.size_hint().lower() > CALL_REPLY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failed("the connection broke within the answer", &error))?;
        let Ok(data) = frame.into_data() else { continue };
        whole.extend_from_slice(&data);
        if whole.len() > CALL_REPLY_BYTES_MAX {
            if is_success {
                return Err(too_large());
            }
            whole.truncate(CALL_REPLY_BYTES_MAX);
            return Ok((whole.freeze(), false));
        }
    }
    Ok((whole.freeze(), true))
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date. One that is neither is passed over.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than fits is still a wish for rest, which the runtime bounds.
        return Some(Duration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into()));
    }
    let at = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_says_in_seconds_or_by_a_date_how_long_it_wants_to_rest() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(0)),
            ("-5", None),
            ("+5", None),
            ("99999999999999999999999", Some(u64::from(u32::MAX))),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
