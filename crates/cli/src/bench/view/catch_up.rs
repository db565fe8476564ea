//! A view that is filled with a million events that are there, beside raw upserts of the same rows.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::{accepted, connection, failed};
use headwater::command_line::GlobalFlags;
use headwater::{Exit, Failure, threads};
use http::{HeaderMap, Method};
use runtime::limits::VIEW_BATCH_EVENTS_MAX;
use runtime::view_probe::upserts;
use serde_json::Value as Json;

use super::super::ROUNDS;
use super::super::meter;
use super::super::readings::{EVENTS, Readings};
use super::super::report::{Bar, Figure, Reporter};
use super::super::statistics::median;
use super::super::workspace::Workspace;

/// What reading the journal and the events may cost, against rows that are in memory.
const RATIO_MIN: f64 = 0.5;
const POLL: Duration = Duration::from_millis(2);
/// How long the last round's file is given to be closed and removed.
const SETTLE: Duration = Duration::from_millis(1_000);

pub(super) fn run(name: &str, meters: usize, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let workspace = Workspace::new(flags)?;
    let readings = Readings::new(meters);
    readings.record(&workspace.path("meters"))?;
    let (value, probe) = threads::serve(measure(&workspace, &readings))?;
    reporter.tell(&Figure {
        case: format!("view catch-up-{name}"),
        value,
        unit: "events/s",
        latencies: None,
        probe: Some((probe, "raw upserts/s of the same rows")),
        ratio: Some(value / probe),
        bar: Some(Bar::RatioAtLeast(RATIO_MIN)),
    })
}

async fn measure(workspace: &Workspace, readings: &Readings) -> Result<(f64, f64), Failure> {
    let data = workspace.path("meters").display().to_string();
    let service = meter::service().listen("127.0.0.1:0").data(data).start().await?;
    let mut connection = connection(service.url())?;
    filled(&mut connection, service.url()).await?;
    let (mut rates, mut probes) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        tokio::time::sleep(SETTLE).await;
        probes.push(probe(workspace, round, readings)?);
        rates.push(rebuild(&mut connection, service.url()).await?);
    }
    drop(connection);
    service.stop().await;
    Ok((median(&rates), median(&probes)))
}

/// On this thread, which has nothing else to do meanwhile.
fn probe(workspace: &Workspace, round: u32, readings: &Readings) -> Result<f64, Failure> {
    let file = workspace.path(&format!("probe-{round}.db"));
    let begun = Instant::now();
    let written = upserts(&file, (meter::TABLE, meter::UPSERT), readings.rows(), VIEW_BATCH_EVENTS_MAX);
    written.map_err(|error| Failure::plain(Exit::Failed, format!("the probe failed: {error}")))?;
    Ok(EVENTS as f64 / begun.elapsed().as_secs_f64())
}

async fn rebuild(connection: &mut Connection, url: &str) -> Result<f64, Failure> {
    let begun = Instant::now();
    call(connection, url, Method::POST, "/v1/admin/views/meters/rebuild").await?;
    filled(connection, url).await?;
    Ok(EVENTS as f64 / begun.elapsed().as_secs_f64())
}

/// Returns when the view is live and nothing is being rebuilt.
async fn filled(connection: &mut Connection, url: &str) -> Result<(), Failure> {
    loop {
        let status = call(connection, url, Method::GET, "/v1/views/meters").await?;
        if status["state"] == "stopped" {
            return Err(Failure::plain(Exit::Failed, format!("the view stopped: {}", status["cause"])));
        }
        if status["state"] == "live" && status["behind"] == 0 && status["rebuild"].is_null() {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn call(connection: &mut Connection, url: &str, method: Method, path: &str) -> Result<Json, Failure> {
    let answer = connection.request(method, path, HeaderMap::new(), Bytes::new()).await;
    let answer = accepted(answer.map_err(|error| failed(url, &error))?)?;
    Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
}
