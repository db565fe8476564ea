//! The lines of an answer while it comes: NDJSON, or the fields of server-sent events.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;

use super::{ClientError, ClientErrorKind};
use crate::limits::CLIENT_LINE_BYTES_MAX;

/// A stream of lines. Dropping it closes its connection.
pub struct LineStream {
    headers: HeaderMap,
    body: Option<Incoming>,
    buffer: BytesMut,
    /// Bytes of the buffer in which no line end was found.
    searched: usize,
    /// A connection lives as long as its sender.
    _sender: Option<SendRequest<Full<Bytes>>>,
}

impl LineStream {
    pub(super) fn new(headers: HeaderMap, body: Incoming, sender: Option<SendRequest<Full<Bytes>>>) -> Self {
        Self { headers, body: Some(body), buffer: BytesMut::new(), searched: 0, _sender: sender }
    }

    /// The headers of the answer.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next line without its end; `None` when the service ended the stream. Blank lines, which only show that the
    /// stream lives, are passed over: each of our server-sent events has one `data:` line. Cancel-safe.
    ///
    /// # Errors
    /// `Cut` when the connection broke, `TooLarge` for a line beyond the client's bound.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            while let Some(line) = self.buffered() {
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.buffer.len() > CLIENT_LINE_BYTES_MAX {
                return Err(ClientError::new(
                    ClientErrorKind::TooLarge,
                    format!("a line is larger than {CLIENT_LINE_BYTES_MAX} bytes, which is the bound"),
                ));
            }
            let Some(body) = &mut self.body else { return Ok(None) };
            match body.frame().await {
                None => self.body = None,
                Some(Ok(frame)) => self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Some(Err(error)) => {
                    return Err(ClientError::new(ClientErrorKind::Cut, "the connection broke within the stream").because(error));
                }
            }
        }
    }

    fn buffered(&mut self) -> Option<Bytes> {
        let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(length) = found.map(|found| self.searched + found + 1) else {
            self.searched = self.buffer.len();
            // At the end, what is left is a line too.
            let last = self.body.is_none() && !self.buffer.is_empty();
            self.searched = if last { 0 } else { self.searched };
            return last.then(|| self.buffer.split().freeze());
        };
        self.searched = 0;
        let line = self.buffer.split_to(length).freeze();
        let text = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
        Some(line.slice_ref(text))
    }
}
