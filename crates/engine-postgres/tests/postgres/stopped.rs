//! A node that is stopped (SIGSTOP) while it holds the lock on the head: the others go on, it is replaced, and when it is continued it writes
//! nothing.
//!
//! `HEADWATER_POSTGRES_STOPS` sets how often (3 unless it says otherwise).

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_engine_postgres::{Address, Options, PostgresJournal};
use journal::{AppendError, Commit, EntityKey, Fence, Journal as _, ReadMode, RegisterExpect, Registers as _, Selection};
use tokio_postgres::Client;

use crate::nodes::client;
use crate::pages::notes;
use crate::server::Server;

/// The URL, the service and the epoch of a node in a process of its own.
const NODE: &str = "HEADWATER_TEST_STOPPED_NODE";
const APPENDS_AT_ONCE: usize = 32;

fn rounds() -> u64 {
    std::env::var("HEADWATER_POSTGRES_STOPS").ok().and_then(|count| count.parse().ok()).unwrap_or(3)
}

fn owned(id: &str) -> EntityKey {
    EntityKey::new("owned", id).unwrap()
}

fn epoch_bytes(epoch: u64) -> Bytes {
    Bytes::copy_from_slice(&epoch.to_be_bytes())
}

/// The node: it writes under its epoch until it hears that this is no longer its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_that_is_stopped() {
    let Ok(node) = std::env::var(NODE) else { return };
    let [url, service, epoch] = node.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let (epoch, process): (u64, _) = (epoch.parse().unwrap(), std::process::id());
    let options = Options::at(Address::new(url, Some(service)).unwrap()).unwrap();
    let node = Arc::new(PostgresJournal::open(options).await.unwrap());
    let write = |writer: usize| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            for number in 0_u64.. {
                let fence = Some(Fence { register: "lease".into(), epoch });
                let commit = notes(&owned(&writer.to_string()), &format!("{process}.{writer}.{number}"), 5);
                match node.append(Commit { fence, ..commit }).await {
                    Ok(_) | Err(AppendError::Unavailable { .. } | AppendError::Unknown { .. }) => {}
                    Err(AppendError::Fenced { .. }) => return,
                    Err(error) => panic!("{error}"),
                }
            }
        })
    };
    for writer in (0..APPENDS_AT_ONCE).map(write).collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

/// A node in a process of its own, which does not outlive this.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Node {
    fn start(url: &str, service: &str, epoch: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["stopped::the_node_that_is_stopped", "--exact", "--nocapture"]);
        Self(command.env(NODE, format!("{url} {service} {epoch}")).stdout(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill {signal}");
    }

    /// Stops it at a moment at which its session has the lock on the head and waits for it.
    async fn stop_with_the_lock(&self, admin: &Client, application: &str) {
        let idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state = 'idle in transaction'";
        for attempt in 0_u64..10_000 {
            tokio::time::sleep(Duration::from_micros(700 + attempt * 137 % 3_000)).await;
            self.signal("-STOP");
            // What it had sent is done by then; if not, this is another attempt.
            tokio::time::sleep(Duration::from_millis(10)).await;
            if admin.query_one(idle, &[&application]).await.unwrap().get::<_, i64>(0) > 0 {
                return;
            }
            self.signal("-CONT");
        }
        panic!("the node was never met with the lock");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_stopped_with_the_lock_is_replaced_and_writes_nothing_more() {
    let (server, service) = (Server::shared(), Server::service());
    let (other, admin) = (server.node(&service).await, client(server.url()).await);
    let application = format!("stopped-{service}");
    let url = format!("{}?application_name={application}", server.url());
    let mut revision = other.put("lease", RegisterExpect::Absent, epoch_bytes(0)).await.unwrap();
    for epoch in 0..rounds() {
        let before = other.head().await.unwrap();
        let mut node = Node::start(&url, &service, epoch);
        let mut news = other.read(Selection::Types(vec!["owned".into()]), before, ReadMode::Live);
        news.next_event().await.unwrap().unwrap();
        node.stop_with_the_lock(&admin, &application).await;
        let stopped = Instant::now();
        other.append(notes(&EntityKey::new("free", "e").unwrap(), &epoch.to_string(), 1)).await.expect("others go on");
        println!("round {epoch}: others went on after {} ms", stopped.elapsed().as_millis());
        revision = other.put("lease", RegisterExpect::Revision(revision), epoch_bytes(epoch + 1)).await.unwrap();
        let replaced = other.head().await.unwrap();
        node.signal("-CONT");
        assert!(node.0.wait().unwrap().success(), "the node goes on until it hears that it was replaced");
        let mut after = other.read(Selection::All, replaced, ReadMode::ToHead);
        assert!(after.next_event().await.is_none(), "round {epoch}: the node wrote after it was replaced");
    }
}
