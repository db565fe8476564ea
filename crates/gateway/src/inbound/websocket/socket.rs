//! One WebSocket after its handshake, on our side of it.
//!
//! It is driven by one task: whoever [`hear`](Socket::hear)s also writes what waits. What is [`put`](Socket::put) is written by and by; a
//! source that puts its next part only when the socket [is flushed](Socket::is_flushed) is slowed down by a slow peer, and never has more than
//! that part in memory. A ping is answered before anything else is read, so that a peer that pings and does not read costs one pong, and is
//! read no further until it has taken it.
//!
//! A socket ends by [`close`](Socket::close), in the order of RFC 6455, section 7: our word, the peer's, the end of our side of the
//! connection, the end of theirs; all of it within a bound.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Duration, Instant, timeout};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes};

use crate::limits::{CHUNK_BYTES, WEBSOCKET_CLOSE_MAX, WEBSOCKET_MESSAGE_BYTES_MAX, WEBSOCKET_READ_BYTES};

/// The last word to a peer (RFC 6455, section 7.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::inbound) struct Farewell {
    code: u16,
    reason: String,
}

impl Farewell {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Everything that was asked for is told.
    pub(in crate::inbound) fn done() -> Self {
        Self::new(1000, "this is all")
    }

    /// What the peer said means nothing here.
    pub(in crate::inbound) fn refused(reason: impl Into<String>) -> Self {
        Self::new(1008, reason)
    }

    /// Bytes, where only text is understood.
    pub(in crate::inbound) fn not_text() -> Self {
        Self::new(1003, "only text is understood")
    }

    /// It cannot go on on this side.
    pub(in crate::inbound) fn failed(reason: impl Into<String>) -> Self {
        Self::new(1011, reason)
    }

    /// The service stops; the peer comes back to the next one.
    pub(in crate::inbound) fn restart() -> Self {
        Self::new(1012, "the service stops; come back after the last cursor")
    }

    /// What is wrong with what the peer sent; `None` when there is no peer any more.
    fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Some(Self::new(1009, format!("a message has at most {WEBSOCKET_MESSAGE_BYTES_MAX} bytes")))
            }
            Error::Utf8(_) => Some(Self::new(1007, "text must be UTF-8")),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
            Error::Protocol(_) => Some(Self::new(1002, "these are no frames of RFC 6455")),
            _ => None,
        }
    }
}

/// What comes of a peer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::inbound) enum Heard {
    Text(Bytes),
    Binary,
    /// A ping, whose answer is written or waits, or the answer to one of ours.
    Sign,
    /// Nothing waits to be written any more.
    Flushed,
    /// The peer says goodbye.
    Close,
    /// The peer broke the rules.
    Broken(Farewell),
    /// The connection is over.
    Gone,
}

/// One side of a WebSocket.
pub(in crate::inbound) struct Socket<S> {
    stream: S,
    protocol: WebSocketContext,
    flushed: bool,
    /// An answer to a ping is among what waits: who sends more would make more wait.
    pong_waits: bool,
    /// No frame can be read any more.
    broken: bool,
    moved_at: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(in crate::inbound) fn new(stream: S) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(WEBSOCKET_READ_BYTES)
            .write_buffer_size(CHUNK_BYTES)
            .max_message_size(Some(WEBSOCKET_MESSAGE_BYTES_MAX))
            .max_frame_size(Some(WEBSOCKET_MESSAGE_BYTES_MAX));
        let protocol = WebSocketContext::new(Role::Server, Some(config));
        Self { stream, protocol, flushed: true, pong_waits: false, broken: false, moved_at: Instant::now() }
    }

    /// Whether everything that was put is written.
    pub(in crate::inbound) fn is_flushed(&self) -> bool {
        self.flushed
    }

    /// For how long the connection has neither taken nor given a byte.
    pub(in crate::inbound) fn silent_for(&self) -> Duration {
        self.moved_at.elapsed()
    }

    /// Puts a text behind what waits to be written. Fails when the connection is over.
    pub(in crate::inbound) fn put(&mut self, text: Bytes) -> io::Result<()> {
        let text = Utf8Bytes::try_from(text).map_err(io::Error::other)?;
        self.put_message(Message::Text(text))
    }

    /// Asks the peer for a sign of life.
    pub(in crate::inbound) fn ping(&mut self) -> io::Result<()> {
        self.put_message(Message::Ping(Bytes::new()))
    }

    fn put_message(&mut self, message: Message) -> io::Result<()> {
        self.flushed = false;
        // Who hears next writes what is left, with a waker of its own.
        let mut context = Context::from_waker(Waker::noop());
        match self.with(&mut context, |protocol, wire| protocol.write(wire, message)) {
            Err(Error::Io(error)) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(Error::Io(_)) => Ok(()),
            Err(other) => Err(io::Error::other(other)),
        }
    }

    /// What comes next of the peer; writes what waits meanwhile. Cancel-safe.
    pub(in crate::inbound) async fn hear(&mut self) -> Heard {
        std::future::poll_fn(|context| self.poll_hear(context)).await
    }

    fn poll_hear(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        if !self.flushed {
            match self.poll_flush(context) {
                Poll::Ready(flushed) => return Poll::Ready(if flushed.is_ok() { Heard::Flushed } else { Heard::Gone }),
                Poll::Pending if self.pong_waits => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        let read = self.with(context, |protocol, wire| protocol.read(wire));
        Poll::Ready(match read {
            Ok(Message::Text(text)) => Heard::Text(text.into()),
            Ok(Message::Binary(_) | Message::Frame(_)) => Heard::Binary,
            Ok(Message::Ping(_)) => {
                self.answer(context);
                Heard::Sign
            }
            Ok(Message::Pong(_)) => Heard::Sign,
            Ok(Message::Close(_)) => Heard::Close,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => {
                self.broken = true;
                Farewell::of(&error).map_or(Heard::Gone, Heard::Broken)
            }
        })
    }

    /// Writes the answer to a ping, which the protocol has ready. Whoever hears next meets what goes wrong with it.
    fn answer(&mut self, context: &mut Context<'_>) {
        self.flushed = false;
        self.pong_waits = true;
        let _left = self.poll_flush(context);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.with(context, |protocol, wire| protocol.flush(wire)) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(Error::Io(error)) => Poll::Ready(Err(error)),
            // Also when both have said goodbye: it is written then.
            _ => {
                self.flushed = true;
                self.pong_waits = false;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Says goodbye, unless the peer has done so first, and waits for the end of the connection, within a bound.
    pub(in crate::inbound) async fn close(mut self, farewell: Option<Farewell>) {
        let _late = timeout(WEBSOCKET_CLOSE_MAX, self.part(farewell)).await;
    }

    async fn part(&mut self, farewell: Option<Farewell>) -> io::Result<()> {
        if let Some(Farewell { code, reason }) = farewell {
            self.put_message(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() })))?;
        }
        std::future::poll_fn(|context| self.poll_flush(context)).await?;
        while !self.broken {
            // What still comes of the peer has come too late; its goodbye breaks the reading off.
            let _late = self.hear().await;
        }
        self.stream.shutdown().await?;
        // Closing over unread bytes would reset the connection, and the peer would lose our word.
        let mut scratch = [0; 1024];
        while self.stream.read(&mut scratch).await? > 0 {}
        Ok(())
    }

    fn with<T>(&mut self, context: &mut Context<'_>, act: impl FnOnce(&mut WebSocketContext, &mut Wire<'_, '_, S>) -> T) -> T {
        let mut wire = Wire { stream: Pin::new(&mut self.stream), context, moved: false };
        let done = act(&mut self.protocol, &mut wire);
        if wire.moved {
            self.moved_at = Instant::now();
        }
        done
    }
}

/// The connection, for one poll: what is not ready would block.
struct Wire<'a, 'b, S> {
    stream: Pin<&'a mut S>,
    context: &'a mut Context<'b>,
    moved: bool,
}

impl<S> Wire<'_, '_, S> {
    fn moved<T>(&mut self, polled: Poll<io::Result<T>>) -> io::Result<T> {
        let Poll::Ready(done) = polled else { return Err(io::ErrorKind::WouldBlock.into()) };
        self.moved |= done.is_ok();
        done
    }
}

impl<S: AsyncRead> io::Read for Wire<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let polled = self.stream.as_mut().poll_read(self.context, &mut buffer);
        self.moved(polled)?;
        Ok(buffer.filled().len())
    }
}

impl<S: AsyncWrite> io::Write for Wire<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let polled = self.stream.as_mut().poll_write(self.context, bytes);
        self.moved(polled)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.stream.as_mut().poll_flush(self.context) {
            Poll::Ready(done) => done,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
