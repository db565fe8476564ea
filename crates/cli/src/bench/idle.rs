//! A service that does nothing, as a process of its own on an empty directory: what it takes, and how soon it is ready.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater::client::connection;
use headwater::command_line::GlobalFlags;
use headwater::{Failure, threads};
use http::{HeaderMap, Method};

use super::ROUNDS;
use super::process::{ShopProcess, failed, own_binary};
use super::report::{Bar, Figure, Reporter};
use super::statistics::median;
use super::workspace::Workspace;

const RESIDENT_BYTES_MAX: f64 = 50e6;
const DATA_BYTES_MAX: f64 = 10e6;
const READY_MS_MAX: f64 = 100.0;
/// How long the service stands before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// What one start showed.
struct Start {
    ready_ms: f64,
    resident_bytes: f64,
    data_bytes: f64,
}

pub(super) fn run(flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let workspace = Workspace::new(flags)?;
    let (mut starts, mut probes) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        probes.push(bare_process_ms()?);
        starts.push(start(&workspace.path(&format!("data-{round}")))?);
    }
    let of = |value: fn(&Start) -> f64| median(&starts.iter().map(value).collect::<Vec<_>>());
    let (ready, bare) = (of(|start| start.ready_ms), median(&probes));
    let figure = |case: &str, value, unit, bar| Figure {
        case: case.to_owned(),
        value,
        unit,
        latencies: None,
        probe: None,
        ratio: None,
        bar: Some(Bar::Below(bar)),
    };
    reporter.tell(&figure("idle resident", of(|start| start.resident_bytes), "bytes", RESIDENT_BYTES_MAX))?;
    reporter.tell(&figure("idle data", of(|start| start.data_bytes), "bytes", DATA_BYTES_MAX))?;
    let probe = Some((bare, "ms for a process that only prints its version"));
    reporter.tell(&Figure { probe, ratio: Some(ready / bare), ..figure("idle start to ready", ready, "ms", READY_MS_MAX) })
}

fn bare_process_ms() -> Result<f64, Failure> {
    let begun = Instant::now();
    own_binary()?.arg("--version").output().map_err(|error| failed(&error))?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

fn start(data: &Path) -> Result<Start, Failure> {
    let begun = Instant::now();
    let shop = ShopProcess::start(data)?;
    threads::call(ready(shop.url()))?;
    let ready_ms = begun.elapsed().as_secs_f64() * 1000.0;
    std::thread::sleep(SETTLE);
    Ok(Start {
        ready_ms,
        resident_bytes: shop.resident_bytes()?,
        data_bytes: directory_bytes(data).map_err(|error| failed(&error))? as f64,
    })
}

async fn ready(url: &str) -> Result<(), Failure> {
    let answer = connection(url)?.request(Method::GET, "/readyz", HeaderMap::new(), Bytes::new()).await;
    let answer = answer.map_err(|error| failed(&error))?;
    if answer.status.is_success() { Ok(()) } else { Err(failed(&String::from_utf8_lossy(&answer.body))) }
}

fn directory_bytes(directory: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { directory_bytes(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}
