//! A processor: how many payments of a recorded topic it folds in a second when it is new, over many keys and over one, beside appends of
//! such steps to a journal alone; and how long after a payment was acknowledged its alert reaches a reader of the stream.
//!
//! The processor is the check of the demo that counts the payments of a card within a minute. The payments are generated.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use gateway::client::{Connection, LineStream};
use headwater::client::{accepted, command_headers, connection, failed, refused, segment};
use headwater::{Exit, Failure, Running, threads};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::report::{Figure, Reporter};
use super::super::statistics::{Dice, Latencies, median};
use super::super::workspace::Workspace;
use super::super::{ROUNDS, journal};
use super::steps;
use crate::cards;

/// Payments of the recorded topic.
const RECORDED: usize = 200_000;
/// Cards of the many keys.
pub(super) const CARDS: usize = 10_000;
/// Messages in one request while the topic is recorded, and under load.
const RECORD_BATCH: usize = 1_000;
const LOAD_BATCH: usize = 50;
const CONNECTIONS: usize = 8;
/// Payments of one card at once that the check says something about.
const BURST: usize = 6;
const SAMPLE_PAUSE: Duration = Duration::from_millis(5);
/// The first moment of 2026, and the time between two recorded payments.
const BEGIN_MS: i64 = 1_767_225_600_000;
const STEP_MS: i64 = 10;

/// Catches up over many keys, or over one.
pub(super) fn catch_up(
    name: &'static str,
    cards: usize,
    workspace: &Workspace,
    round: Duration,
    reporter: &mut Reporter,
) -> Result<f64, Failure> {
    let recorded = workspace.path("recorded");
    threads::serve(record(&recorded, cards))?;
    let probe_journal = journal::open(&workspace.path("probe"))?;
    let (mut rates, mut probes) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let copy = workspace.path(&format!("round-{number}"));
        copied(&recorded, &copy).map_err(|error| Failure::plain(Exit::Failed, format!("cannot copy the recorded topic: {error}")))?;
        probes.push(threads::serve(steps::load(probe_journal.clone(), CARDS, number, round))?);
        rates.push(threads::serve(through(&copy))?);
        // What cannot be removed now is removed with the workspace.
        let _ = std::fs::remove_dir_all(&copy);
    }
    threads::call(async {
        probe_journal.close().await;
        Ok(())
    })?;
    let (value, probe) = (median(&rates), median(&probes));
    reporter.tell(&Figure {
        case: name.to_owned(),
        value,
        unit: "payments/s",
        latencies: None,
        probe: Some((probe, "states/s in appends of such steps")),
        ratio: Some(value / probe),
        bar: None,
    })?;
    Ok(value)
}

/// A topic without a processor, closed in order.
async fn record(directory: &Path, cards: usize) -> Result<(), Failure> {
    let service = started(cards::recording(), directory).await?;
    let mut till = Till::new(&service)?;
    let mut dice = Dice::new(1);
    for first in (0..RECORDED).step_by(RECORD_BATCH) {
        let payment = |number: usize| payment(&format!("r{number}"), &format!("card-{}", dice.roll(cards)), at_ms(number));
        let batch = (first..first + RECORD_BATCH).map(payment).collect();
        till.publish(batch).await?;
    }
    let last = (0..BURST).map(|number| payment(&format!("l{number}"), "last", at_ms(RECORDED)));
    till.publish(last.collect()).await?;
    service.stop().await;
    Ok(())
}

/// Payments a second of a new processor, from the start of its service to the alert over the last ones.
async fn through(directory: &Path) -> Result<f64, Failure> {
    let begun = Instant::now();
    let service = started(cards::watching(), directory).await?;
    let mut alerts = alerts(service.url(), "&live=true").await?;
    await_alert(&mut alerts, service.url(), "last").await?;
    let rate = (RECORDED + BURST) as f64 / begun.elapsed().as_secs_f64();
    drop(alerts);
    service.stop().await;
    Ok(rate)
}

/// From an acknowledged payment to its alert, at half of what can be published and folded.
pub(super) fn latency(peak: f64, workspace: &Workspace, round: Duration, reporter: &mut Reporter) -> Result<(), Failure> {
    let directory = workspace.path("live");
    let (rate, latencies) = threads::serve(async {
        let service = started(cards::watching(), &directory).await?;
        let half = load(&service, "warm", round, f64::INFINITY).await?.min(peak) / 2.0;
        let (mut latencies, mut rates) = (Latencies::new(), Vec::new());
        for number in 0..ROUNDS {
            let name = format!("load-{number}");
            let (loaded, sampled) = tokio::join!(load(&service, &name, round, half), sample(&service, number, round));
            rates.push(loaded?);
            latencies.merge(&sampled?);
        }
        service.stop().await;
        Ok((median(&rates), latencies))
    })?;
    reporter.tell(&Figure {
        case: "flow processor load".to_owned(),
        value: rate,
        unit: "payments/s over HTTP, half of the peak",
        latencies: None,
        probe: None,
        ratio: None,
        bar: None,
    })?;
    reporter.tell(&Figure {
        case: "flow alert p99".to_owned(),
        value: latencies.percentile_us(990) / 1_000.0,
        unit: "ms from acknowledged to seen",
        latencies: Some(latencies),
        probe: None,
        ratio: None,
        bar: None,
    })
}

async fn started(service: headwater::Service, directory: &Path) -> Result<Running, Failure> {
    service.listen("127.0.0.1:0").data(directory.display().to_string()).start().await
}

/// Publishes from several connections for so long; gives payments a second.
async fn load(service: &Running, name: &str, round: Duration, per_second: f64) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut tills = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let mut till = Till::new(service)?;
        let name = format!("{name}-{connection}");
        tills.spawn(async move {
            let (mut dice, mut count) = (Dice::new(connection as u64 + 1), 0_usize);
            while begun.elapsed() < round {
                let due = (count * CONNECTIONS + connection * LOAD_BATCH) as f64 / per_second;
                sleep_until(begun + Duration::from_secs_f64(due)).await;
                let payment = |number: usize| payment(&format!("{name}-{number}"), &format!("card-{}", dice.roll(CARDS)), now_ms(begun));
                till.publish((count..count + LOAD_BATCH).map(payment).collect()).await?;
                count += LOAD_BATCH;
            }
            Ok::<usize, Failure>(count)
        });
    }
    let mut count = 0;
    while let Some(ended) = tills.join_next().await {
        count += ended.map_err(|_| Failure::plain(Exit::Failed, "a till panicked; its message stands above"))??;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// One card after the other pays too often, beside the load.
async fn sample(service: &Running, round: u32, time: Duration) -> Result<Latencies, Failure> {
    let (mut till, mut alerts) = (Till::new(service)?, live_alerts(service.url()).await?);
    let (mut latencies, begun) = (Latencies::new(), Instant::now());
    for number in 0.. {
        if begun.elapsed() >= time {
            break;
        }
        let card = format!("sample-{round}-{number}");
        till.publish((0..BURST).map(|burst| payment(&format!("{card}-{burst}"), &card, now_ms(begun))).collect()).await?;
        let acknowledged = Instant::now();
        await_alert(&mut alerts, service.url(), &card).await?;
        latencies.add(acknowledged.elapsed());
        sleep(SAMPLE_PAUSE).await;
    }
    Ok(latencies)
}

/// A connection that publishes payments.
struct Till {
    url: String,
    connection: Connection,
    headers: HeaderMap,
}

impl Till {
    fn new(service: &Running) -> Result<Self, Failure> {
        let mut headers = command_headers(None)?;
        headers.insert("content-type", HeaderValue::from_static("application/cloudevents-batch+json"));
        Ok(Self { url: service.url().to_owned(), connection: connection(service.url())?, headers })
    }

    async fn publish(&mut self, batch: Vec<Json>) -> Result<(), Failure> {
        let body = Bytes::from(Json::from(batch).to_string());
        let answer = self.connection.request(Method::POST, "/v1/topics/payments", self.headers.clone(), body).await;
        let answer = accepted(answer.map_err(|error| failed(&self.url, &error))?)?;
        let refusal = answer.body.split(|byte| *byte == b'\n').find(|line| !line.is_empty() && !holds(line, br#""status":200"#));
        refusal.map_or(Ok(()), |line| Err(refused(line)))
    }
}

fn holds(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|window| window == part)
}

fn payment(id: &str, card: &str, at_ms: i64) -> Json {
    let data = json!({ "card": card, "merchant": "books", "country": "DE", "amount": "12.50", "at_ms": at_ms });
    json!({ "specversion": "1.0", "id": id, "source": "/bench/generated", "type": "payment", "subject": card, "data": data })
}

fn at_ms(number: usize) -> i64 {
    BEGIN_MS + i64::try_from(number).unwrap_or_default() * STEP_MS
}

/// Time of a live load goes on as the clock does.
fn now_ms(begun: Instant) -> i64 {
    BEGIN_MS + i64::try_from(begun.elapsed().as_millis()).unwrap_or_default()
}

/// Alerts that come from now on.
async fn live_alerts(url: &str) -> Result<LineStream, Failure> {
    let (mut lines, mut after) = (alerts(url, "").await?, String::new());
    while let Some(line) = lines.next().await.map_err(|error| failed(url, &error))? {
        let event: Json = serde_json::from_slice(&line).unwrap_or_default();
        event["cursor"].as_str().map(segment).unwrap_or_default().clone_into(&mut after);
    }
    alerts(url, &if after.is_empty() { "&live=true".to_owned() } else { format!("&live=true&after={after}") }).await
}

async fn alerts(url: &str, more: &str) -> Result<LineStream, Failure> {
    let path = format!("/v1/streams/{}?type=velocity{more}", cards::NAME);
    let opened = connection(url)?.stream(Method::GET, &path, HeaderMap::new(), Bytes::new()).await;
    opened.map_err(|error| failed(url, &error))?.map_err(|problem| refused(&problem.body))
}

/// Reads until the alert of a card comes.
async fn await_alert(alerts: &mut LineStream, url: &str, card: &str) -> Result<(), Failure> {
    while let Some(line) = alerts.next().await.map_err(|error| failed(url, &error))? {
        let event: Json = serde_json::from_slice(&line).unwrap_or_default();
        if event["subject"] == card {
            return Ok(());
        }
    }
    Err(Failure::plain(Exit::Failed, "the stream of alerts ended early"))
}

/// A directory with all that is in it.
fn copied(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copied(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
