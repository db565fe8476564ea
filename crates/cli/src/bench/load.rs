//! The load on the HTTP benches: keep-alive connections that write and read HTTP/1.1 by hand.
//!
//! The client shares the machine with the server it measures, so it does as little as it can: one thread, one buffer a
//! connection, requests made before the clock starts, and of an answer only the status and the length are read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater::{Exit, Failure, threads};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::statistics::{Dice, Latencies};

/// What is sent.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) connections: usize,
    pub(super) entities: usize,
    /// Path and body of the command to an entity.
    pub(super) request: fn(usize) -> (String, String),
    /// Header lines of each request besides, each with its end.
    pub(super) headers: &'static str,
}

/// How long a round goes on.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// Each entity gets one request.
    EachOnce,
    /// Until the time is over; entities are picked at random.
    For(Duration),
    /// The same, so many requests a second over all connections.
    Paced(Duration, f64),
}

/// Runs a round on a thread of its own; gives requests a second and their latencies.
pub(super) async fn round(address: SocketAddr, shape: Shape, until: Until) -> Result<(f64, Latencies), Failure> {
    let joined = tokio::task::spawn_blocking(move || threads::call(load(address, shape, until))).await;
    joined.map_err(|_| Failure::plain(Exit::Failed, "the load panicked; its message stands above"))?
}

async fn load(address: SocketAddr, shape: Shape, until: Until) -> Result<(f64, Latencies), Failure> {
    let requests = Arc::new((0..shape.entities).map(|entity| command(address, shape, entity)).collect::<Vec<_>>());
    let mut sockets = Vec::new();
    for _ in 0..shape.connections {
        let socket = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
        socket.set_nodelay(true).map_err(|error| failed(&error))?;
        sockets.push(socket);
    }
    let begun = Instant::now();
    let mut connections = JoinSet::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        connections.spawn(converse(socket, Arc::clone(&requests), Turn::new(index, shape, until, begun)));
    }
    let mut latencies = Latencies::new();
    while let Some(ended) = connections.join_next().await {
        let of_connection = ended.map_err(|_| Failure::plain(Exit::Failed, "a connection panicked; its message stands above"))?;
        latencies.merge(&of_connection.map_err(|error| failed(&error))?);
    }
    Ok((latencies.count() as f64 / begun.elapsed().as_secs_f64(), latencies))
}

fn command(address: SocketAddr, shape: Shape, entity: usize) -> Vec<u8> {
    let (path, body) = (shape.request)(entity);
    request_with(address, ("POST", shape.headers), &path, &body)
}

/// A request as it goes over the wire.
pub(super) fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> Vec<u8> {
    request_with(address, (method, ""), path, body)
}

fn request_with(address: SocketAddr, (method, headers): (&str, &str), path: &str, body: &str) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n{headers}");
    let length = body.len();
    let rest =
        if body.is_empty() { "\r\n".into() } else { format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}") };
    (head + &rest).into_bytes()
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::plain(Exit::Failed, format!("the load failed: {error}"))
}

/// Which entity is next on a connection.
struct Turn {
    shape: Shape,
    until: Until,
    begun: Instant,
    next: usize,
    dice: Dice,
    /// Of its own requests, for a pace.
    sent: u32,
}

impl Turn {
    fn new(index: usize, shape: Shape, until: Until, begun: Instant) -> Self {
        Self { shape, until, begun, next: index, dice: Dice::new(index as u64 + 1), sent: 0 }
    }

    /// Waits until its next request is due. Connections begin one after the other.
    async fn due(&mut self) {
        if let Until::Paced(_, per_second) = self.until {
            let nth = self.next as f64 + f64::from(self.sent) * self.shape.connections as f64;
            self.sent += 1;
            tokio::time::sleep_until((self.begun + Duration::from_secs_f64(nth / per_second)).into()).await;
        }
    }

    fn next(&mut self) -> Option<usize> {
        match self.until {
            Until::EachOnce => {
                let entity = self.next;
                self.next += self.shape.connections;
                (entity < self.shape.entities).then_some(entity)
            }
            Until::For(duration) | Until::Paced(duration, _) => {
                (self.begun.elapsed() < duration).then(|| self.dice.roll(self.shape.entities))
            }
        }
    }
}

async fn converse(mut socket: TcpStream, requests: Arc<Vec<Vec<u8>>>, mut turn: Turn) -> std::io::Result<Latencies> {
    let mut latencies = Latencies::new();
    let mut buffer = Vec::with_capacity(4096);
    loop {
        turn.due().await;
        let Some(entity) = turn.next() else { return Ok(latencies) };
        let begun = Instant::now();
        exchange(&mut socket, &requests[entity], &mut buffer).await?;
        latencies.add(begun.elapsed());
    }
}

/// Sends a request and reads its answer into the buffer.
pub(super) async fn exchange(socket: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> std::io::Result<()> {
    socket.write_all(request).await?;
    answer(socket, buffer).await
}

/// Reads one whole answer. Anything but 200 ends the bench: a refused command is not a fast one.
async fn answer(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    loop {
        if socket.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(whole) = whole_bytes(buffer)
            && buffer.len() >= whole
        {
            break;
        }
    }
    if buffer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other(String::from_utf8_lossy(buffer).into_owned())) }
}

/// How long the answer is, once its head is there.
fn whole_bytes(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let lines = buffer[..head].split(|byte| *byte == b'\n');
    let length = lines
        .filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Some(head + length.and_then(|(_, value)| value.trim().parse::<usize>().ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Shape, Turn, Until, whole_bytes};

    #[test]
    fn an_answer_is_whole_with_its_body() {
        assert_eq!(whole_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"), None);
        assert_eq!(whole_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), Some(40));
    }

    #[test]
    fn each_entity_gets_one_request_over_all_connections() {
        let shape = Shape { connections: 3, entities: 10, request: |_| Default::default(), headers: "" };
        let turns = (0..3).map(|index| Turn::new(index, shape, Until::EachOnce, Instant::now()));
        let mut all: Vec<_> = turns.flat_map(|mut turn| std::iter::from_fn(move || turn.next()).collect::<Vec<_>>()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
    }
}
