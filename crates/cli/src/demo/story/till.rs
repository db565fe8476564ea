//! Publishes generated payments over the topic's HTTP API, at a pace, in their order. What the service has already goes quickly.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::client::{Connection, Response};
use headwater::client::{command_headers, connection, failed, refused};
use headwater::{Exit, Failure};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use super::alerts::Watch;
use crate::cards::generated::Generated;
use crate::cards::payment::PAYMENTS;

/// Payments in one request, at most.
const BATCH_MAX: usize = 100;
const ATTEMPTS_MAX: u32 = 20;
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Till {
    url: String,
    connection: Connection,
    headers: HeaderMap,
    rate: f64,
    watch: Arc<Watch>,
}

impl Till {
    pub(super) fn new(url: &str, rate: u32, watch: Arc<Watch>) -> Result<Self, Failure> {
        let mut headers = command_headers(None)?;
        headers.insert("content-type", HeaderValue::from_static("application/cloudevents-batch+json"));
        Ok(Self { url: url.to_owned(), connection: connection(url)?, headers, rate: f64::from(rate), watch })
    }

    /// Publishes all; gives how many were there already.
    pub(super) async fn publish(mut self, stream: &[Generated]) -> Result<usize, Failure> {
        let (mut sent, mut replayed) = (0, 0);
        let (mut paced_from, mut paced) = (Instant::now(), 0_usize);
        while sent < stream.len() {
            let is_known = sent > 0 && replayed == sent;
            let due = if is_known { BATCH_MAX } else { self.due(paced_from, paced).await };
            let batch = &stream[sent..stream.len().min(sent + due.min(BATCH_MAX))];
            let known = self.batch(batch).await?;
            sent += batch.len();
            replayed += known;
            if is_known {
                (paced_from, paced) = (Instant::now(), 0);
            } else {
                paced += batch.len();
            }
        }
        Ok(replayed)
    }

    /// How many are due by now, one at least.
    async fn due(&self, from: Instant, paced: usize) -> usize {
        loop {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of payments")]
            let due = (from.elapsed().as_secs_f64() * self.rate) as usize;
            if due > paced {
                return due - paced;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Publishes a batch until it is answered; gives how many of it were there already.
    async fn batch(&mut self, batch: &[Generated]) -> Result<usize, Failure> {
        let body = Bytes::from(Json::from(batch.iter().map(cloud_event).collect::<Vec<_>>()).to_string());
        self.watch.sends(batch);
        for attempt in 1.. {
            let path = format!("/v1/topics/{PAYMENTS}");
            let answer = self.connection.request(Method::POST, &path, self.headers.clone(), body.clone()).await;
            match answer.map_err(|error| failed(&self.url, &error)).and_then(|response| judged(&response, batch.len())) {
                Err(failure) if failure.exit() == Exit::Unknown && attempt < ATTEMPTS_MAX => sleep(RETRY_DELAY).await,
                judged => return judged,
            }
        }
        Ok(0)
    }
}

fn cloud_event(generated: &Generated) -> Json {
    let payment = &generated.payment;
    json!({
        "specversion": "1.0", "id": generated.id, "source": "/demo/generated", "type": "payment", "subject": payment.card,
        "data": {
            "card": payment.card, "merchant": payment.merchant, "country": payment.country,
            "amount": payment.amount.to_string(), "at_ms": payment.at_ms,
        },
    })
}

/// How many were there already. One that was refused is the answer of all.
fn judged(response: &Response, count: usize) -> Result<usize, Failure> {
    if !response.status.is_success() {
        return Err(refused(&response.body));
    }
    let (mut answered, mut replayed) = (0, 0);
    for line in response.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let answer: Json = serde_json::from_slice(line).unwrap_or_default();
        if answer["status"] != 200 {
            return Err(refused(line));
        }
        answered += 1;
        replayed += usize::from(answer["replayed"] == true);
    }
    if answered == count {
        return Ok(replayed);
    }
    Err(Failure::plain(Exit::Unknown, format!("{answered} of {count} payments were answered; send them again")))
}
