//! Workflows of three durable steps over HTTP, alone and 64 at once, and many that wait.
//!
//! A run is one request: it starts a workflow under a new id and is answered when the workflow has ended. It writes four times, one after
//! the other: its start, and the end of each step with what follows. So a lone run is compared with four raw synced writes, and many at
//! once with as many tasks that append to a journal alone.

mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use headwater::command_line::GlobalFlags;
use headwater::prelude::*;
use headwater::{Exit, Failure as Failed, threads};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::ROUNDS;
use super::load::exchange;
use super::probe::DiskProbe;
use super::report::{Bar, Figure, Reporter};
use super::statistics::{Latencies, median};
use super::workspace::Workspace;

/// Runs under way at once.
const CROWD: usize = 64;
/// Writes of one run, one after the other.
const WRITES: f64 = 4.0;
/// What a lone run may take on top of its writes.
const LONE_US: f64 = 1_000.0;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Runs of three steps, 64 under way
    Steps,
    /// One run after the other
    Lone,
    /// A hundred thousand that wait: memory, and from a restart to the first progress
    Waiting,
}

/// Which cases, how long.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only this case; may be repeated
    #[arg(long = "case", value_name = "CASE")]
    cases: Vec<Case>,
    /// Seconds of load a case, over all its rounds; the probe takes as long again
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// Three steps that do nothing but be durable.
struct Three;

impl Workflow for Three {
    const NAME: &'static str = "three";
    type Input = u64;
    type Output = u64;

    async fn run(&self, ctx: &WorkflowContext, given: u64) -> Result<u64, Failure> {
        let first = ctx.step("first", move |_| async move { Ok(given + 1) }).await?;
        let second = ctx.step("second", move |_| async move { Ok(first + 1) }).await?;
        let third = ctx.step("third", move |_| async move { Ok(second + 1) }).await?;
        Ok(third)
    }
}

/// The service that is measured.
pub(crate) fn service() -> Service {
    Service::new("flows").workflow(Three).workflow(waiting::Patience)
}

pub(super) fn run(arguments: &Arguments, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failed> {
    let cases = if arguments.cases.is_empty() { Case::value_variants() } else { &arguments.cases };
    let round = super::round(arguments.seconds);
    for case in cases {
        let workspace = Workspace::new(flags)?;
        match case {
            Case::Steps => reporter.tell(&threads::serve(crowd(round, &workspace))?)?,
            Case::Lone => reporter.tell(&threads::serve(lone(round, &workspace))?)?,
            Case::Waiting => waiting::run(&workspace, reporter)?,
        }
    }
    Ok(())
}

async fn crowd(round: Duration, workspace: &Workspace) -> Result<Figure, Failed> {
    let journal = super::journal::open(&workspace.path("probe"))?;
    let (service, address) = start(workspace).await?;
    let (mut rates, mut probes, mut latencies) = (Vec::new(), Vec::new(), Latencies::new());
    runs(address, CROWD, round).await?;
    for number in 0..ROUNDS {
        probes.push(super::journal::load::tasks(super::Case(CROWD, 1), number, round, Arc::clone(&journal)).await?.0);
        let (rate, of_round) = runs(address, CROWD, round).await?;
        rates.push(rate);
        latencies.merge(&of_round);
    }
    service.stop().await;
    let (value, probe) = (median(&rates), median(&probes));
    Ok(Figure {
        case: format!("workflow steps {CROWD}"),
        value,
        unit: "runs of three steps/s",
        latencies: Some(latencies),
        probe: Some((probe, "appends/s of 64 tasks to a journal alone; a run has four")),
        ratio: Some(value * WRITES / probe),
        bar: None,
    })
}

async fn lone(round: Duration, workspace: &Workspace) -> Result<Figure, Failed> {
    let mut disk = tokio::task::block_in_place(|| DiskProbe::prepare(&workspace.path("probe")))?;
    let (service, address) = start(workspace).await?;
    let (mut values, mut probes, mut latencies) = (Vec::new(), Vec::new(), Latencies::new());
    runs(address, 1, round).await?;
    for _ in 0..ROUNDS {
        let raw = tokio::task::block_in_place(|| disk.small_writes(round))?.percentile_us(500);
        probes.push(WRITES * raw + LONE_US);
        let (_, of_round) = runs(address, 1, round).await?;
        values.push(of_round.percentile_us(500));
        latencies.merge(&of_round);
    }
    service.stop().await;
    let (value, probe) = (median(&values), median(&probes));
    Ok(Figure {
        case: "workflow lone".to_owned(),
        value,
        unit: "us, p50",
        latencies: Some(latencies),
        probe: Some((probe, "us, p50 of four raw 4 KiB writes and a millisecond")),
        ratio: Some(value / probe),
        bar: Some(Bar::RatioBelow(1.0)),
    })
}

async fn start(workspace: &Workspace) -> Result<(headwater::Running, SocketAddr), Failed> {
    let data = workspace.path("flows").display().to_string();
    let service = service().listen("127.0.0.1:0").data(data).start().await?;
    let address = service.url().trim_start_matches("http://").parse().map_err(|_| failed("the service has no address"))?;
    Ok((service, address))
}

/// Runs for so long, so many under way; gives runs a second and their latencies.
pub(crate) async fn runs(address: SocketAddr, connections: usize, time: Duration) -> Result<(f64, Latencies), Failed> {
    let joined = tokio::task::spawn_blocking(move || threads::call(load(address, connections, time))).await;
    joined.map_err(|_| failed("the load panicked; its message stands above"))?
}

async fn load(address: SocketAddr, connections: usize, time: Duration) -> Result<(f64, Latencies), Failed> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let begun = Instant::now();
    let mut sockets = JoinSet::new();
    for _ in 0..connections {
        let mut socket = TcpStream::connect(address).await.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        sockets.spawn(async move {
            let (mut latencies, mut buffer) = (Latencies::new(), Vec::with_capacity(4096));
            while begun.elapsed() < time {
                let request = request(address, NEXT.fetch_add(1, Relaxed));
                let sent = Instant::now();
                exchange(&mut socket, &request, &mut buffer).await?;
                latencies.add(sent.elapsed());
            }
            Ok::<_, std::io::Error>(latencies)
        });
    }
    let mut latencies = Latencies::new();
    while let Some(ended) = sockets.join_next().await {
        latencies.merge(&ended.map_err(failed)?.map_err(failed)?);
    }
    Ok((latencies.count() as f64 / begun.elapsed().as_secs_f64(), latencies))
}

fn request(address: SocketAddr, number: u64) -> Vec<u8> {
    let body = number.to_string();
    let head =
        format!("POST /v1/workflows/three/r{number} HTTP/1.1\r\nhost: {address}\r\nprefer: wait=30\r\ncontent-type: application/json\r\n");
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn failed(cause: impl std::fmt::Display) -> Failed {
    Failed::plain(Exit::Failed, format!("the load failed: {cause}"))
}
