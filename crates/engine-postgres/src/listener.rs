//! Between nodes: a bell that says that there is something new, and an ear for the bells of others.
//!
//! A bell is a hint and never the truth: whoever hears one that tells of more than it knows of asks for the head row, and so does whoever has not
//! asked for a while. `NOTIFY` takes a lock of the whole server when its transaction commits, so it has a transaction of its own, at most one every
//! few milliseconds, which does not wait for the disk. Its payload is the name of a node and the position that it knows to be committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use journal::Position;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::{Client, Error, Statement};

use crate::error::OpenError;
use crate::limits;
use crate::reach::Reach;
use crate::rows::unsigned;
use crate::server::Server;

/// See the module.
pub(crate) struct Listener {
    server: Arc<Server>,
    reach: Arc<Reach>,
    /// What this node's own bells say, so that it does not answer them.
    name: String,
    heard: Arc<Heard>,
}

/// The bells of others that have not been looked at.
#[derive(Default)]
struct Heard {
    rang: Notify,
    /// The furthest position that they told.
    told: AtomicU64,
}

impl Heard {
    fn note(&self, told: Position) {
        self.told.fetch_max(told, Ordering::Relaxed);
        self.rang.notify_one();
    }
}

impl Listener {
    pub(crate) fn new(server: Arc<Server>, reach: Arc<Reach>, name: String) -> Self {
        Self { server, reach, name, heard: Arc::default() }
    }

    /// Rings and listens until it is dropped.
    pub(crate) async fn run(self) {
        let mut pause = limits::RETRY_PAUSE_MIN;
        loop {
            // What it fails for is told to those who append and read.
            if let Ok(line) = self.open().await {
                pause = limits::RETRY_PAUSE_MIN;
                let _ = self.attend(&line).await;
            }
            sleep(pause).await;
            pause = (pause * 2).min(limits::RETRY_PAUSE_MAX);
        }
    }

    async fn open(&self) -> Result<Line, OpenError> {
        let (heard, name) = (Arc::clone(&self.heard), self.name.clone());
        let ear = move |payload: &str| {
            // A version that told no position may be heard, too.
            let (ringer, told) = payload.split_once(' ').unwrap_or((payload, ""));
            if ringer != name {
                heard.note(told.parse().unwrap_or(Position::MAX));
            }
        };
        let client = self.server.connect_and_hear(Box::new(ear)).await?;
        client.batch_execute(&format!("SET synchronous_commit = off; LISTEN {}", self.server.schema())).await?;
        let (ring, head) = tokio::try_join!(client.prepare("SELECT pg_notify($1, $2)"), client.prepare("SELECT position FROM head"))?;
        Ok(Line { client, ring, head })
    }

    /// Rings and listens while the connection lasts.
    async fn attend(&self, line: &Line) -> Result<(), Error> {
        loop {
            let row = line.client.query_one(&line.head, &[]).await?;
            self.reach.advance(unsigned(row.get(0)));
            // It may be for nothing.
            self.reach.registers_changed();
            self.wait_and_ring(line).await?;
        }
    }

    /// Until another node has rung of more than is known here, or it is time to ask for the head row; rings meanwhile.
    async fn wait_and_ring(&self, line: &Line) -> Result<(), Error> {
        let until = Instant::now() + limits::POLL_PAUSE;
        loop {
            tokio::select! {
                () = self.heard.rang.notified() => {
                    if self.heard.told.swap(0, Ordering::Relaxed) > self.reach.position() {
                        return Ok(());
                    }
                    self.reach.registers_changed();
                }
                () = sleep_until(until) => return Ok(()),
                () = self.reach.bell.notified() => {
                    let payload = format!("{} {}", self.name, self.reach.position());
                    line.client.execute(&line.ring, &[&self.server.schema(), &payload]).await?;
                    sleep(limits::BELL_PAUSE).await;
                }
            }
        }
    }
}

/// The connection with its statements.
struct Line {
    client: Client,
    ring: Statement,
    head: Statement,
}
