//! Nodes of the service, each this program again in a process of its own, loaded over HTTP by connections that are kept.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;

use headwater::{Exit, Failure, output, threads};
use tokio::net::TcpStream;

use super::Turn;
use crate::load::{Acknowledged, Client, Command, Load, load};
use crate::{Outcome, cart, http};

/// What a node's process does: it says where it is, and serves until its standard input ends.
pub(crate) fn be_a_node(engine: &str, data: &Path) -> Result<Exit, Failure> {
    threads::serve(async {
        let running = cart::service(engine, data).start().await?;
        output::data(running.url())?;
        // However it ends, nobody needs this process any more.
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
        running.stop().await;
        Ok(Exit::Done)
    })
}

pub(super) async fn run(turn: &Turn<'_>, nodes: usize) -> Outcome<Acknowledged> {
    let (mut running, mut addresses) = (Vec::new(), Vec::new());
    for number in 0..nodes {
        let node = Node::start(&turn.engine(), &turn.directory.join(format!("node-{number}")))?;
        addresses.push(node.address);
        running.push(node);
    }
    let (clients, of) = (turn.clients, turn.load);
    // One thread for the load: it does little, and the nodes need the cores.
    let loaded = tokio::task::spawn_blocking(move || threads::call(loaded(addresses, clients, of))).await;
    let acknowledged = loaded.map_err(|_| "the load panicked; its message stands above")??;
    running.into_iter().try_for_each(Node::stop)?;
    Ok(acknowledged)
}

async fn loaded(addresses: Vec<SocketAddr>, clients: usize, of: Load) -> Result<Acknowledged, Failure> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| Failure::plain(Exit::Failed, error.to_string());
    let (mut kept, body) = (Vec::new(), Arc::from(cart::body()));
    for address in addresses.into_iter().cycle().take(clients) {
        kept.push(Kept::connect(address, Arc::clone(&body)).await.map_err(failed)?);
    }
    load(kept, of).await.map_err(failed)
}

/// A process with a node, which ends with this.
struct Node {
    process: Child,
    address: SocketAddr,
}

impl Node {
    fn start(engine: &str, data: &Path) -> Outcome<Self> {
        let mut command = Process::new(std::env::current_exe()?);
        command.args(["--node", engine, "--data"]).arg(data).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut node = Self { process: command.spawn()?, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let (stdout, mut line) = (node.process.stdout.take().ok_or("a node has no output")?, String::new());
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().trim_start_matches("http://").parse();
        node.address = address.map_err(|_| "a node did not start; its message stands above")?;
        Ok(node)
    }

    fn stop(mut self) -> Outcome<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("a node ended with {status}").into()) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection that is kept.
struct Kept {
    socket: TcpStream,
    address: SocketAddr,
    body: Arc<str>,
    buffer: Vec<u8>,
}

impl Kept {
    async fn connect(address: SocketAddr, body: Arc<str>) -> Outcome<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, address, body, buffer: Vec::with_capacity(4096) })
    }
}

impl Client for Kept {
    async fn send(&mut self, command: Command) -> Outcome<()> {
        let request = format!(
            "POST /v1/entities/cart/{}/add-item HTTP/1.1\r\nhost: {}\r\nidempotency-key: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{}",
            cart::id(command.cart),
            self.address,
            command.id,
            self.body.len(),
            self.body
        );
        Ok(http::exchange(&mut self.socket, request.as_bytes(), &mut self.buffer).await?)
    }
}
