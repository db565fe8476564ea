//! Alerts as they come over the service's stream, each with the time from the sending of its payment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater::client::{connection, failed, refused, segment};
use headwater::{Exit, Failure, output};
use http::{HeaderMap, Method};
use serde_json::{Value as Json, json};

use crate::cards::generated::Generated;
use crate::cards::model::Alert;
use crate::cards::{self, CheckName};

/// See the module.
pub(super) struct Watch {
    url: String,
    filter: String,
    /// Where the stream was when it began.
    after: String,
    quiet: bool,
    as_json: bool,
    seen: Mutex<Seen>,
}

/// What has come so far.
#[derive(Default)]
pub(super) struct Seen {
    sent: HashMap<String, Instant>,
    pub(super) alerts: Vec<Alert>,
    pub(super) latencies: Vec<Duration>,
    /// Findings that cards were told of.
    pub(super) suspected: usize,
    pub(super) blocked: usize,
}

impl Watch {
    /// Takes in what was there before.
    pub(super) async fn begin(url: &str, checks: &[CheckName], quiet: bool, as_json: bool) -> Result<Arc<Self>, Failure> {
        let types: String = checks.iter().map(|check| format!("type={}&", check.name())).collect();
        let mut watch =
            Self { url: url.to_owned(), filter: format!("{types}type=card"), after: String::new(), quiet, as_json, seen: Mutex::default() };
        let mut lines = watch.lines("").await?;
        while let Some(line) = lines.next().await.map_err(|error| failed(url, &error))? {
            let event = parsed(&line)?;
            event["cursor"].as_str().unwrap_or_default().clone_into(&mut watch.after);
            drop(watch.lock().take(&event));
        }
        Ok(Arc::new(watch))
    }

    /// Payments are about to be sent.
    pub(super) fn sends(&self, batch: &[Generated]) {
        let now = Instant::now();
        self.lock().sent.extend(batch.iter().map(|generated| (generated.id.clone(), now)));
    }

    /// Shows what comes, until it is aborted or the service ends.
    pub(super) async fn follow(self: Arc<Self>) -> Result<(), Failure> {
        let after = if self.after.is_empty() { String::new() } else { format!("&after={}", segment(&self.after)) };
        let mut lines = self.lines(&format!("&live=true{after}")).await?;
        while let Some(line) = lines.next().await.map_err(|error| failed(&self.url, &error))? {
            let event = parsed(&line)?;
            let taken = self.lock().take(&event);
            if let Some((alert, latency)) = taken {
                self.show(&alert, latency)?;
            }
        }
        Ok(())
    }

    async fn lines(&self, more: &str) -> Result<gateway::client::LineStream, Failure> {
        let path = format!("/v1/streams/{}?{}{more}", cards::NAME, self.filter);
        let opened = connection(&self.url)?.stream(Method::GET, &path, HeaderMap::new(), Bytes::new()).await;
        opened.map_err(|error| failed(&self.url, &error))?.map_err(|problem| refused(&problem.body))
    }

    fn show(&self, (check, card, payment, figure): &Alert, latency: Option<Duration>) -> Result<(), Failure> {
        let latency_ms = latency.map(|latency| latency.as_secs_f64() * 1_000.0);
        if self.as_json {
            let alert = json!({ "check": check, "card": card, "payment": payment, "figure": figure, "latency_ms": latency_ms });
            return output::json(&json!({ "alert": alert }));
        }
        if self.quiet {
            return Ok(());
        }
        let after = latency_ms.map_or_else(|| "of a payment that was there".to_owned(), |latency_ms| format!("after {latency_ms:.1} ms"));
        output::data(format!("{card}  {check:<8} {figure:>9} {:<24} {payment:<12} {after}", unit(check)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Takes an event in; gives the alert that it is.
    fn take(&mut self, event: &Json) -> Option<(Alert, Option<Duration>)> {
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let (kind, data) = (text(&event["entitytype"]), &event["data"]);
        if kind == "card" {
            let name = event["type"].as_str().and_then(|name| name.rsplit('.').next());
            self.suspected += usize::from(name == Some("suspected"));
            self.blocked += usize::from(name == Some("blocked"));
            return None;
        }
        let payment = text(&data["payment"]);
        let latency = self.sent.get(&payment).map(Instant::elapsed);
        self.latencies.extend(latency);
        let alert = (kind, text(&event["subject"]), payment, text(&data["figure"]));
        self.alerts.push(alert.clone());
        Some((alert, latency))
    }
}

fn unit(check: &str) -> &'static str {
    use clap::ValueEnum as _;
    CheckName::value_variants().iter().find(|known| known.name() == check).map_or("", |known| known.unit())
}

fn parsed(line: &[u8]) -> Result<Json, Failure> {
    serde_json::from_slice(line).map_err(|error| Failure::plain(Exit::Failed, format!("the stream has a line that is not JSON: {error}")))
}
