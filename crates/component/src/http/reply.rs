//! What a destination answered.

use std::time::Duration;

use bytes::Bytes;

use super::HttpFailure;
use crate::hosted::CallReply;
use crate::limits::CALL_EXCERPT_BYTES_MAX;
use crate::value::{Value, decode};

/// The whole answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    destination: String,
    reply: CallReply,
}

impl HttpReply {
    pub(super) fn new(destination: String, reply: CallReply) -> Self {
        Self { destination, reply }
    }

    /// A status other than 2xx is a failure.
    pub(super) fn settled(self) -> Result<Self, HttpFailure> {
        if self.reply.is_success() { Ok(self) } else { Err(HttpFailure::Status(self)) }
    }

    /// The status, such as 200.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.reply.status
    }

    /// The first header of this name, in whichever case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, with their names in lower case, in the order in which they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.reply.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.reply.body
    }

    /// The body as a value; fields that the value does not have are skipped.
    ///
    /// # Errors
    /// [`HttpFailure::Unfit`] when it does not fit: `?` parks, for a person must see what changed there.
    pub fn json<T: Value>(&self) -> Result<T, HttpFailure> {
        let unfit = |error| HttpFailure::Unfit(format!("{self}, which does not fit: {error}"));
        decode(&self.reply.body).map_err(unfit)
    }

    /// The body as text; bytes that are no UTF-8 become `\u{fffd}`.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.reply.body).into_owned()
    }

    /// Whether the same call may be answered otherwise later: 408, 425, 429 and 5xx.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.reply.may_pass()
    }

    pub(super) fn rest(&self) -> Option<Duration> {
        self.reply.rest
    }
}

/// Who answered what, with the beginning of the body: nobody but an operator reads it.
impl std::fmt::Display for HttpReply {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} answered {}", self.destination, self.reply.status)?;
        if let Some(place) = self.header("location").filter(|_| (300..400).contains(&self.reply.status)) {
            return write!(formatter, ", and that it is at {}; redirects are not followed, so call it there", excerpt(place.as_bytes()));
        }
        let excerpt = excerpt(&self.reply.body);
        if excerpt.is_empty() { Ok(()) } else { write!(formatter, ": {excerpt}") }
    }
}

/// The beginning of a text from outside, on one line.
fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(CALL_EXCERPT_BYTES_MAX)]);
    let line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let dots = if bytes.len() > CALL_EXCERPT_BYTES_MAX { "..." } else { "" };
    format!("{}{dots}", line.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> HttpReply {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let reply = CallReply { status, headers, body: Bytes::from(body.to_owned()), retry_after: None, rest: None };
        HttpReply::new("https://pay.example".to_owned(), reply)
    }

    #[test]
    fn a_message_shows_a_bounded_line_of_the_body() {
        assert_eq!(reply(404, &[], "no such\ncharge\u{7}\n").to_string(), "https://pay.example answered 404: no such charge");
        assert_eq!(reply(500, &[], "").to_string(), "https://pay.example answered 500");
        let long = reply(500, &[], &"é".repeat(CALL_EXCERPT_BYTES_MAX)).to_string();
        assert!(long.len() < CALL_EXCERPT_BYTES_MAX + 64 && long.ends_with("..."), "{long}");
    }

    #[test]
    fn a_redirect_says_where_to() {
        let text = reply(301, &[("location", "https://pay.example/v2")], "moved").to_string();
        assert_eq!(
            text,
            "https://pay.example answered 301, and that it is at https://pay.example/v2; redirects are not followed, so call it there"
        );
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let reply = reply(200, &[("x-a", "1"), ("x-b", "2"), ("x-a", "3")], "7");
        assert_eq!((reply.header("X-A"), reply.header("x-c")), (Some("1"), None));
        assert_eq!(reply.json::<u32>(), Ok(7));
        assert!(matches!(reply.json::<String>(), Err(HttpFailure::Unfit(_))));
    }
}
