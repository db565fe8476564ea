//! One process at a time, for whoever asks for it: a service whose caches and leases do not know of other nodes.
//!
//! A session's advisory lock on the schema. It holds others off at their start; it fences nobody, because it goes with its connection. When the
//! connection is lost and another process has the lock by the time that there is a new one, this journal takes no more commits.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use crate::error::OpenError;
use crate::limits;
use crate::server::Server;

/// The lock, as long as the connection lasts.
pub(crate) struct Claim {
    server: Arc<Server>,
    client: Client,
}

impl Claim {
    /// Takes the lock; waits for a while for the session of a process that has just ended.
    ///
    /// # Errors
    /// When another process has it, or the server says no.
    pub(crate) async fn take(server: &Arc<Server>, patience: Duration) -> Result<Self, OpenError> {
        let (client, begun) = (server.connect().await?, Instant::now());
        loop {
            let took = client.query_one("SELECT pg_try_advisory_lock(hashtextextended($1, 1))", &[&server.schema()]).await?;
            if took.get::<_, bool>(0) {
                return Ok(Self { server: Arc::clone(server), client });
            }
            if begun.elapsed() >= patience {
                return Err(OpenError::Taken { schema: server.schema().to_owned() });
            }
            sleep(limits::RETRY_PAUSE_MIN).await;
        }
    }

    /// Takes the lock again whenever its connection is lost, and poisons the journal when another process was quicker.
    pub(crate) async fn keep(mut self, poisoned: Arc<OnceLock<String>>) {
        loop {
            while !self.client.is_closed() {
                sleep(limits::POLL_PAUSE).await;
            }
            match Self::take(&self.server, limits::CLAIM_PATIENCE).await {
                Ok(again) => self = again,
                Err(OpenError::Taken { .. }) => {
                    // The first cause stands.
                    let _ = poisoned.set("another process has taken this journal over".to_owned());
                    return;
                }
                // The server is away: what waits for it is told so.
                Err(_) => sleep(limits::POLL_PAUSE).await,
            }
        }
    }
}
