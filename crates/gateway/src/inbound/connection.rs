//! One connection: hyper's HTTP/1.1 under a watchdog of our own.
//!
//! hyper's header timeout does not tell an idle connection from a slow head, and it knows nothing of readers that stopped
//! reading. So the socket is wrapped: it notes when a request's first byte comes and when writing stalls, the handler notes
//! when a request is under way, and one timer a connection looks at these notes. A request costs no timer.
//!
//! A request that was answered with 101 gives its connection away (a WebSocket): what takes it over goes on under the same watchdog, on the
//! same task, so that it is counted among the connections and a stop waits for it.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::body::{Body, Takeover};
use super::{Gateway, Options, Stage, dispatch};
use crate::limits;

/// Serves a connection until its end.
pub(super) async fn run(stream: TcpStream, gateway: Arc<Gateway>) {
    let pulse = Arc::new(Pulse::new());
    let watched = Watched { socket: TokioIo::new(stream), pulse: Arc::clone(&pulse) };
    let timer = pin!(tokio::time::sleep(gateway.options.header_read_timeout));
    let mut watch = Watch { pulse: Arc::clone(&pulse), options: gateway.options, timer, stages: gateway.stage.clone() };
    let handover = Handover::default();
    let handed = handover.clone();
    let service = service_fn(move |request| {
        let (gateway, pulse, handover) = (Arc::clone(&gateway), Arc::clone(&pulse), handover.clone());
        async move { Ok::<_, Infallible>(answer(gateway, pulse, &handover, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(limits::HEAD_BUFFER_BYTES);
    let mut connection = pin!(builder.serve_connection(watched, service).with_upgrades());
    loop {
        tokio::select! {
            _end = connection.as_mut() => break,
            notice = watch.notice() => match notice {
                Notice::Closing => connection.as_mut().graceful_shutdown(),
                Notice::Cut => return,
            },
        }
    }
    if let Some(successor) = handed.take() {
        watch.over(successor).await;
    }
}

/// Answers a request, and keeps what is to take its connection over.
async fn answer(gateway: Arc<Gateway>, pulse: Arc<Pulse>, handover: &Handover, mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let mut response = dispatch::answer(gateway, Busy::begin(pulse), request).await;
    if let Some((takeover, busy)) = response.body_mut().takeover() {
        handover.put(Successor { upgrade, takeover, _busy: busy });
    }
    response
}

/// What takes a connection over when HTTP is done with it. It stays on the connection's task: it is counted, watched and cut like a request.
struct Successor {
    upgrade: OnUpgrade,
    takeover: Takeover,
    /// Whoever has taken over is at work, however quiet it is.
    _busy: Option<Busy>,
}

/// From the answer that gives a connection away to the end of HTTP on it.
#[derive(Clone, Default)]
struct Handover(Arc<Mutex<Option<Successor>>>);

impl Handover {
    fn put(&self, successor: Successor) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(successor);
    }

    fn take(&self) -> Option<Successor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Looks after a connection while it is at work.
struct Watch<'a> {
    pulse: Arc<Pulse>,
    options: Options,
    timer: Pin<&'a mut Sleep>,
    stages: watch::Receiver<Stage>,
}

enum Notice {
    /// Ends after what is under way.
    Closing,
    /// Ends now.
    Cut,
}

impl Watch<'_> {
    /// The next thing that the connection has to be told. Cancel-safe.
    async fn notice(&mut self) -> Notice {
        loop {
            tokio::select! {
                () = self.timer.as_mut() => match self.pulse.judge(&self.options) {
                    Verdict::Wait(time) => self.timer.as_mut().reset(Instant::now() + time),
                    Verdict::Cut => return Notice::Cut,
                },
                changed = self.stages.changed() => match (changed, *self.stages.borrow_and_update()) {
                    (Ok(()), Stage::Serving | Stage::Stopping) => {}
                    (Ok(()), Stage::Closing) => return Notice::Closing,
                    // Also when the server itself was dropped.
                    (Ok(()), Stage::Cut) | (Err(_), _) => return Notice::Cut,
                },
            }
        }
    }

    /// The life of a connection after HTTP. Its successor ends by itself when the service stops; only time cuts it.
    async fn over(&mut self, successor: Successor) {
        let Successor { upgrade, takeover, _busy } = successor;
        let Ok(upgraded) = upgrade.await else { return };
        let mut life = takeover(upgraded);
        loop {
            tokio::select! {
                () = &mut life => return,
                notice = self.notice() => match notice {
                    Notice::Closing => {}
                    Notice::Cut => return,
                },
            }
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
