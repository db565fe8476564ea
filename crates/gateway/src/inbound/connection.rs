//! One connection: hyper's HTTP/1.1 under a watchdog of our own.
//!
//! hyper's header timeout does not tell an idle connection from a slow head, and it knows nothing of readers that stopped
//! reading. So the socket is wrapped: it notes when a request's first byte comes and when writing stalls, the handler notes
//! when a request is under way, and one timer a connection looks at these notes. A request costs no timer.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Gateway, Options, Stage, dispatch};
use crate::limits;

/// Serves a connection until its end.
pub(super) async fn run(stream: TcpStream, gateway: Arc<Gateway>) {
    let pulse = Arc::new(Pulse::new());
    let watched = Watched { socket: TokioIo::new(stream), pulse: Arc::clone(&pulse) };
    let mut stages = gateway.stage.clone();
    let (options, notes) = (gateway.options, Arc::clone(&pulse));
    let service = service_fn(move |request| {
        let (gateway, pulse) = (Arc::clone(&gateway), Arc::clone(&pulse));
        async move { Ok::<_, Infallible>(dispatch::answer(gateway, Busy::begin(pulse), request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(limits::HEAD_BUFFER_BYTES);
    let mut connection = pin!(builder.serve_connection(watched, service));
    let mut timer = pin!(tokio::time::sleep(options.header_read_timeout));
    loop {
        tokio::select! {
            _end = connection.as_mut() => return,
            () = timer.as_mut() => match notes.judge(&options) {
                Verdict::Wait(time) => timer.as_mut().reset(Instant::now() + time),
                Verdict::Cut => return,
            },
            changed = stages.changed() => match (changed, *stages.borrow_and_update()) {
                (Ok(()), Stage::Serving | Stage::Stopping) => {}
                (Ok(()), Stage::Closing) => connection.as_mut().graceful_shutdown(),
                // Also when the server itself was dropped.
                (Ok(()), Stage::Cut) | (Err(_), _) => return,
            },
        }
    }
}

/// What a connection is doing, and since when. Times are milliseconds since it opened.
pub(super) struct Pulse {
    opened: Instant,
    phase: AtomicU8,
    since: AtomicU64,
    /// When writing stalled, plus one; 0 while it does not.
    stalled: AtomicU64,
}

/// A head is being read. A new connection begins here: who connects and says nothing is slow, not idle.
const HEAD: u8 = 0;
/// A request is under way, from the end of its head to the end of its answer.
const BUSY: u8 = 1;
/// Between two requests.
const IDLE: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Wait(Duration),
    Cut,
}

impl Pulse {
    fn new() -> Self {
        Self { opened: Instant::now(), phase: AtomicU8::new(HEAD), since: AtomicU64::new(0), stalled: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn enter(&self, phase: u8) {
        self.since.store(self.now(), Ordering::Relaxed);
        self.phase.store(phase, Ordering::Release);
    }

    /// The first byte after idleness begins a head.
    fn bytes_came(&self) {
        if self.phase.load(Ordering::Acquire) == IDLE {
            self.enter(HEAD);
        }
    }

    fn wrote(&self, stalls: bool) {
        let stalled = self.stalled.load(Ordering::Relaxed);
        match (stalls, stalled) {
            (true, 0) => self.stalled.store(self.now() + 1, Ordering::Relaxed),
            (false, 1..) => self.stalled.store(0, Ordering::Relaxed),
            _ => {}
        }
    }

    fn judge(&self, options: &Options) -> Verdict {
        let now = self.now();
        let since = self.since.load(Ordering::Relaxed);
        let bound = match self.phase.load(Ordering::Acquire) {
            HEAD => Some(options.header_read_timeout),
            IDLE => Some(options.idle_timeout),
            _ => None,
        };
        let stalled = self.stalled.load(Ordering::Relaxed);
        let stall = (stalled > 0).then(|| left(now, stalled - 1, options.write_stall_timeout));
        let phase = bound.map(|bound| left(now, since, bound));
        let soonest = [Some(options.header_read_timeout), stall, phase].into_iter().flatten().min().unwrap_or_default();
        if soonest.is_zero() { Verdict::Cut } else { Verdict::Wait(soonest) }
    }
}

fn left(now: u64, since: u64, bound: Duration) -> Duration {
    bound.saturating_sub(Duration::from_millis(now.saturating_sub(since)))
}

/// Marks a request as under way until it is dropped, with the last byte of its answer.
pub(super) struct Busy(Arc<Pulse>);

impl Busy {
    fn begin(pulse: Arc<Pulse>) -> Self {
        pulse.enter(BUSY);
        Self(pulse)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.enter(IDLE);
    }
}

/// The socket, taking notes.
struct Watched {
    socket: TokioIo<TcpStream>,
    pulse: Arc<Pulse>,
}

impl Read for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        if polled.is_ready() {
            self.pulse.bytes_came();
        }
        polled
    }
}

impl Write for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.pulse.wrote(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(context, bytes);
        self.pulse.wrote(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            header_read_timeout: Duration::from_millis(100),
            idle_timeout: Duration::from_millis(1_000),
            write_stall_timeout: Duration::from_millis(500),
            ..Options::default()
        }
    }

    /// A pulse that opened so many milliseconds ago, in a phase since its opening.
    fn pulse(age: u64, phase: u8, stalled: u64) -> Pulse {
        let opened = Instant::now().checked_sub(Duration::from_millis(age)).expect("the machine runs for longer");
        Pulse { opened, phase: AtomicU8::new(phase), since: AtomicU64::new(0), stalled: AtomicU64::new(stalled) }
    }

    #[test]
    fn a_slow_head_an_idle_hour_and_a_stalled_reader_are_cut() {
        for (age, phase, stalled) in [(101, HEAD, 0), (1_001, IDLE, 0), (502, BUSY, 1)] {
            assert_eq!(pulse(age, phase, stalled).judge(&options()), Verdict::Cut, "{phase}");
        }
    }

    #[test]
    fn work_under_way_is_not() {
        for (age, phase, stalled) in [(10_000, BUSY, 0), (10_000, BUSY, 9_900), (500, IDLE, 0)] {
            assert_ne!(pulse(age, phase, stalled).judge(&options()), Verdict::Cut, "{phase}");
        }
    }

    #[tokio::test]
    async fn idleness_ends_with_the_first_byte_and_begins_with_the_last() {
        let pulse = Arc::new(Pulse::new());
        let busy = Busy::begin(Arc::clone(&pulse));
        pulse.bytes_came();
        assert_eq!(pulse.phase.load(Ordering::Relaxed), BUSY, "a pipelined request does not end this one");
        drop(busy);
        assert_eq!(pulse.phase.load(Ordering::Relaxed), IDLE);
        pulse.bytes_came();
        assert_eq!(pulse.phase.load(Ordering::Relaxed), HEAD);
    }
}
