//! Setting many timers over HTTP, a thousand a request over a few connections.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::{TimerWish, accepted, connection, failed};
use headwater::{Client, Exit, Failure, SendError, output};
use http::{HeaderMap, Method};
use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::bells::{Bell, BellCommand};

const BATCH: u64 = 1_000;
const CONNECTIONS: u64 = 8;
/// So many are told of at a time.
const TOLD: u64 = 250_000;
const POLL: Duration = Duration::from_millis(50);

/// Which timers: so many, and when each of them is due.
#[derive(Clone, Copy)]
pub(super) struct Timers {
    /// What the names begin with.
    pub(super) round: u32,
    pub(super) count: u64,
    pub(super) bells: u64,
    /// When the first one is due, in microseconds since 1970, and how many are due in the second behind it; all at once when there is no end
    /// of them.
    pub(super) first_due: i64,
    pub(super) per_second: f64,
}

impl Timers {
    fn due(&self, number: u64) -> i64 {
        self.first_due + (number as f64 * 1e6 / self.per_second) as i64
    }

    fn batch(&self, client: &Client, first: u64) -> Result<Vec<TimerWish>, SendError> {
        let wish = |number: u64| {
            let timer = client.timer(format!("t{}-{number:08}", self.round)).at_micros(self.due(number));
            timer.wish::<Bell>(&format!("b{}", number % self.bells), BellCommand::Ring { round: self.round })
        };
        (first..self.count.min(first + BATCH)).map(wish).collect()
    }

    /// Sets them all; gives how many a second.
    pub(super) async fn set(self, client: &Client) -> Result<f64, Failure> {
        let (begun, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let mut setters = JoinSet::new();
        for _ in 0..CONNECTIONS {
            setters.spawn(self.set_some(client.clone(), Arc::clone(&next)));
        }
        while let Some(ended) = setters.join_next().await {
            ended.map_err(|_| Failure::plain(Exit::Failed, "a setter panicked; its message stands above"))??;
        }
        Ok(self.count as f64 / begun.elapsed().as_secs_f64())
    }

    async fn set_some(self, client: Client, next: Arc<AtomicU64>) -> Result<(), Failure> {
        let refused = |error: SendError| Failure::plain(Exit::Failed, format!("timers are not set: {error}"));
        loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= self.count {
                return Ok(());
            }
            client.set_timers(self.batch(&client, first).map_err(refused)?).await.map_err(refused)?;
            if first.is_multiple_of(TOLD) && first > 0 {
                output::talk(format!("{first} of {} timers are set", self.count));
            }
        }
    }
}

/// Returns when at least, or at most, so many wait, and the index of timers has seen all that was recorded.
pub(super) async fn until_pending(url: &str, counts: RangeInclusive<u64>) -> Result<(), Failure> {
    let mut connection = connection(url)?;
    while !counts.contains(&pending(&mut connection, url).await?) {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

async fn pending(connection: &mut Connection, url: &str) -> Result<u64, Failure> {
    let answer = connection.request(Method::GET, "/v1/admin/timers", HeaderMap::new(), Bytes::new()).await;
    let answer = accepted(answer.map_err(|error| failed(url, &error))?)?;
    let status: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    match status["trouble"].as_str() {
        Some(trouble) => Err(Failure::plain(Exit::Failed, format!("timers are not fired: {trouble}"))),
        None => Ok(status["pending"].as_u64().unwrap_or_default()),
    }
}
