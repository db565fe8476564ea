//! A way to the server on which one transaction in ten has bad luck: its `COMMIT` is late, is lost with its connection, or arrives and the
//! answer is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// As the driver sends it, behind its length.
const COMMIT: &[u8] = b"COMMIT\0";

/// See the module. It ends with this.
pub(crate) struct Proxy {
    address: SocketAddr,
    luck: Arc<Luck>,
    accepting: JoinHandle<()>,
}

/// What befell transactions.
#[derive(Default)]
pub(crate) struct Luck {
    commits: AtomicU64,
    delayed: AtomicU64,
    rolled_back: AtomicU64,
    unanswered: AtomicU64,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// A way to the server of a URL, which may go and come back.
    pub(crate) async fn to(url: &str) -> Self {
        let server: SocketAddr = url.split(['@', '/']).find_map(|part| part.parse().ok()).expect("the tests' servers have addresses");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, luck) = (listener.local_addr().unwrap(), Arc::new(Luck::default()));
        let shared = Arc::clone(&luck);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, luck, accepting }
    }

    /// The URL of the server by this way.
    pub(crate) fn url(&self, url: &str) -> String {
        let (user, rest) = url.split_once('@').unwrap();
        format!("{user}@{}/{}", self.address, rest.split_once('/').unwrap().1)
    }

    /// That all of it has happened: delays, rollbacks, and answers that were lost.
    pub(crate) fn check(&self) {
        let [commits, delayed, rolled_back, unanswered] =
            [&self.luck.commits, &self.luck.delayed, &self.luck.rolled_back, &self.luck.unanswered]
                .map(|count| count.load(Ordering::Relaxed));
        println!(
            "of {commits} transactions {delayed} were delayed, {rolled_back} rolled back, and {unanswered} committed without an answer"
        );
        assert!(delayed > 0 && rolled_back > 0 && unanswered > 0);
    }
}

/// Carries one connection until either side ends it, or bad luck does.
async fn carry(client: TcpStream, server: SocketAddr, luck: Arc<Luck>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
    let answers = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let mut chunk = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from_client.read(&mut chunk).await {
        let sent = &chunk[..count];
        let lot = if sent.windows(COMMIT.len()).any(|part| part == COMMIT) { luck.commits.fetch_add(1, Ordering::Relaxed) } else { 0 };
        match lot % 30 {
            10 => {
                luck.delayed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5 + lot % 20)).await;
            }
            20 => {
                luck.rolled_back.fetch_add(1, Ordering::Relaxed);
                break;
            }
            29 => {
                luck.unanswered.fetch_add(1, Ordering::Relaxed);
                answers.abort();
                let _ = to_server.write_all(sent).await;
                break;
            }
            _ => {}
        }
        if to_server.write_all(sent).await.is_err() {
            break;
        }
    }
    answers.abort();
}
