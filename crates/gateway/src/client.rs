//! The client: one keep-alive HTTP/1.1 connection to a service, and lines of a stream.
//!
//! It promises to say of every failure whether the request may have taken effect, and it never sends one twice unless the
//! first never left. What it is not: it knows no TLS, no redirects and no pool; who wants parallel requests opens several.

mod connection;
mod error;
mod lines;
mod url;

pub use connection::{Connection, Response, Timeouts};
pub use error::{ClientError, ClientErrorKind};
pub use lines::LineStream;

/// A text as one segment of a path or one value of a query, percent-encoded.
#[must_use]
pub fn encode(text: &str) -> String {
    crate::inbound::encode(text)
}
