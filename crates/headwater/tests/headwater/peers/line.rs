//! The line between two services: an address that stays when the service behind it moves, and that cuts connections from a seed.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

pub(super) struct Line {
    address: SocketAddr,
    ends: Arc<Ends>,
}

#[derive(Default)]
struct Ends {
    target: Mutex<Option<SocketAddr>>,
    /// The dice, and how many bytes of answers a connection lives for at most.
    cutting: Mutex<Option<(u64, u64)>>,
    cuts: AtomicU64,
}

impl Line {
    /// A line that leads nowhere yet: connections are closed at once.
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, ends) = (listener.local_addr().unwrap(), Arc::new(Ends::default()));
        tokio::spawn(accept(listener, Arc::clone(&ends)));
        Self { address, ends }
    }

    pub(super) async fn to(url: &str) -> Self {
        let line = Self::new().await;
        line.lead_to(url);
        line
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// New connections go there.
    pub(super) fn lead_to(&self, url: &str) {
        *self.ends.target.lock().unwrap() = Some(url.trim_start_matches("http://").parse().unwrap());
    }

    /// Cuts each connection after so many bytes of answers at most, from a seed.
    pub(super) fn cut_after(&self, seed: u64, bytes_max: u64) {
        *self.ends.cutting.lock().unwrap() = Some((seed, bytes_max));
    }

    /// How many connections were cut.
    pub(super) fn cuts(&self) -> u64 {
        self.ends.cuts.load(SeqCst)
    }
}

impl Ends {
    fn budget(&self) -> u64 {
        let mut cutting = self.cutting.lock().unwrap();
        let Some((dice, bytes_max)) = &mut *cutting else { return u64::MAX };
        *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*dice >> 33) % *bytes_max
    }
}

async fn accept(listener: TcpListener, ends: Arc<Ends>) {
    while let Ok((near, _)) = listener.accept().await {
        let ends = Arc::clone(&ends);
        tokio::spawn(async move {
            let target = *ends.target.lock().unwrap();
            let Some(target) = target else { return };
            let Ok(far) = TcpStream::connect(target).await else { return };
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            let there = tokio::spawn(carry(near_read, far_write, u64::MAX));
            if carry(far_read, near_write, ends.budget()).await.is_err() {
                ends.cuts.fetch_add(1, SeqCst);
            }
            there.abort();
        });
    }
}

/// Carries bytes until an end closes; an error is a cut.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut budget: u64) -> io::Result<()> {
    let mut buffer = vec![0; 2_048];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return Ok(()) };
        let kept = usize::try_from(budget).unwrap_or(usize::MAX).min(count);
        if to.write_all(&buffer[..kept]).await.is_err() {
            return Ok(());
        }
        budget -= kept as u64;
        if kept < count {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
    }
}
