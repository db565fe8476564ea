//! Readers of one live query as server-sent events: what each takes of the server's memory, and what one that does not read costs the
//! others.
//!
//! The server is the shop, in a process of its own; readers and server are on the loopback.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use headwater::command_line::GlobalFlags;
use headwater::{Exit, Failure, descriptors, output, threads};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::super::ROUNDS;
use super::super::load::{exchange, request};
use super::super::process::ShopProcess;
use super::super::report::{Bar, Figure, Reporter};
use super::super::statistics::median;
use super::super::workspace::Workspace;

/// Readers whose memory is looked at, where there are descriptors for them.
const READERS: usize = 10_000;
const READER_BYTES_MAX: f64 = 20_000.0;
/// Readers beside the slow one.
const OTHERS: usize = 100;
const SLOW_RATIO_MIN: f64 = 0.95;
/// Changes before the clock starts, in every round: by then a reader that does not read is behind (`is_behind` looks).
const CHANGES_BEFORE: u64 = 300;
/// Bytes of a changed row.
const ROW_BYTES: usize = 4_096;
/// How long the server stands before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) fn memory(flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let workspace = Workspace::new(flags)?;
    let (readers, few) = descriptors::connections(READERS);
    if few.is_some() {
        output::talk(format!(
            "{readers} readers instead of {READERS}: a process may not open more files; raise its hard limit (ulimit -Hn)"
        ));
    }
    let shop = ShopProcess::start(&workspace.path("shop"))?;
    let address = address(&shop)?;
    let (before, after) = threads::call(async {
        let first = subscribed(address, None).await.map_err(|error| failed(&error))?;
        sleep(SETTLE).await;
        let before = shop.resident_bytes()?;
        let mut all = vec![first];
        for _ in 0..readers {
            all.push(subscribed(address, None).await.map_err(|error| failed(&error))?);
        }
        sleep(SETTLE).await;
        Ok((before, shop.resident_bytes()?))
    })?;
    reporter.tell(&Figure {
        case: format!("view {readers} readers"),
        value: (after - before) / readers as f64,
        unit: "bytes each",
        latencies: None,
        probe: Some((before, "bytes with one reader")),
        ratio: Some(after / before),
        bar: Some(Bar::Below(READER_BYTES_MAX)),
    })
}

pub(super) fn slow_reader(round: Duration, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let workspace = Workspace::new(flags)?;
    let shop = ShopProcess::start(&workspace.path("shop"))?;
    let address = address(&shop)?;
    let (value, probe) = threads::call(async { compare(address, round).await.map_err(|error| failed(&error)) })?;
    reporter.tell(&Figure {
        case: "view slow reader".to_owned(),
        value,
        unit: "changes/s to 100 others",
        latencies: None,
        probe: Some((probe, "changes/s without it")),
        ratio: Some(value / probe),
        bar: Some(Bar::RatioAtLeast(SLOW_RATIO_MIN)),
    })
}

async fn compare(address: SocketAddr, round: Duration) -> std::io::Result<(f64, f64)> {
    let mut shop = Shop { socket: TcpStream::connect(address).await?, address, orders: 0 };
    let (tell, mut told) = mpsc::unbounded_channel();
    for _ in 0..OTHERS {
        let socket = subscribed(address, None).await?;
        tokio::spawn(follow(socket, tell.clone()));
    }
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        shop.changes(CHANGES_BEFORE, &mut told).await?;
        without.push(shop.rate(round, &mut told).await?);
        let mut slow = subscribed(address, Some(1)).await?;
        shop.changes(CHANGES_BEFORE, &mut told).await?;
        with.push(shop.rate(round, &mut told).await?);
        is_behind(&mut slow).await?;
    }
    Ok((median(&with), median(&without)))
}

/// A connection that changes what is read, one order after the other.
struct Shop {
    socket: TcpStream,
    address: SocketAddr,
    orders: u64,
}

impl Shop {
    /// Places orders, each when all others have seen the one before.
    async fn changes(&mut self, count: u64, told: &mut mpsc::UnboundedReceiver<()>) -> std::io::Result<()> {
        for _ in 0..count {
            self.orders += 1;
            let path = format!("/v1/entities/order/order-{}/place", self.orders);
            let body = format!(r#"{{"customer":null,"country":"{}","placed_at":"{:08}"}}"#, "x".repeat(ROW_BYTES), self.orders);
            exchange(&mut self.socket, &request(self.address, "POST", &path, &body), &mut Vec::new()).await?;
            for _ in 0..OTHERS {
                told.recv().await.ok_or(std::io::ErrorKind::UnexpectedEof)?;
            }
        }
        Ok(())
    }

    async fn rate(&mut self, round: Duration, told: &mut mpsc::UnboundedReceiver<()>) -> std::io::Result<f64> {
        let (begun, before) = (Instant::now(), self.orders);
        while begun.elapsed() < round {
            self.changes(1, told).await?;
        }
        Ok((self.orders - before) as f64 / begun.elapsed().as_secs_f64())
    }
}

/// A reader that has all rows of the beginning; one with a small buffer of its own is soon a slow one.
async fn subscribed(address: SocketAddr, buffer_bytes: Option<u32>) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    let mut socket = socket.connect(address).await?;
    socket
        .write_all(format!("GET /v1/views/orders/open HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n").as_bytes())
        .await?;
    let mut seen = Seen::default();
    while !seen.next(&mut socket, b"event: caught-up").await? {}
    Ok(socket)
}

/// Says so for each changed row, until the server ends.
async fn follow(mut socket: TcpStream, tell: mpsc::UnboundedSender<()>) {
    let mut seen = Seen::default();
    while let Ok(found) = seen.next(&mut socket, b"event: row").await {
        if found && tell.send(()).is_err() {
            return;
        }
    }
}

/// That a reader was told that it was too slow: one that kept up would prove nothing.
async fn is_behind(socket: &mut TcpStream) -> std::io::Result<()> {
    let mut seen = Seen::default();
    let gap = async {
        while !seen.next(socket, b"event: gap").await? {}
        Ok(())
    };
    tokio::time::timeout(SETTLE, gap).await.unwrap_or_else(|_| Err(std::io::Error::other("the slow reader was not slow")))
}

/// What was read and not looked at.
#[derive(Default)]
struct Seen(Vec<u8>);

impl Seen {
    /// Whether a word is in what is there, which is passed then; else reads more.
    async fn next(&mut self, socket: &mut TcpStream, word: &[u8]) -> std::io::Result<bool> {
        if let Some(at) = self.0.windows(word.len()).position(|window| window == word) {
            self.0.drain(..at + word.len());
            return Ok(true);
        }
        let kept = self.0.len().min(word.len() - 1);
        self.0.drain(..self.0.len() - kept);
        if socket.read_buf(&mut self.0).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(false)
    }
}

fn address(shop: &ShopProcess) -> Result<SocketAddr, Failure> {
    shop.url().trim_start_matches("http://").parse().map_err(|_| failed(&"it has no address"))
}

fn failed(cause: &dyn std::fmt::Display) -> Failure {
    Failure::plain(Exit::Failed, format!("the readers failed: {cause}"))
}
