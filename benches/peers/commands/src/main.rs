//! `peers-commands`: durable commands over HTTP to carts of Headwater beside the same carts in Restate, and workflows of three durable
//! steps beside the same workflows in Restate, in alternated rounds of one run.
//!
//! Both get the same requests from the load generator of `headwater bench command`, over keep-alive connections on the loopback, and
//! answer when the command is durable, or the workflow has ended.

mod ours;
mod restate;

// The load, its percentiles and its lines are those of `headwater bench`.
#[path = "../../../../crates/cli/src/bench/load.rs"]
#[allow(dead_code, reason = "other benches pace their load")]
mod load;
#[path = "../../../../crates/cli/src/bench/report.rs"]
#[allow(dead_code, reason = "other benches have other bars")]
mod report;
#[path = "../../../../crates/cli/src/bench/statistics.rs"]
mod statistics;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use clap::Parser;
use headwater::{Exit, Failure, output, threads};

use load::{Shape, Until, round};
use report::{Bar, Figure, Reporter};
use restate::Restate;
use statistics::{Latencies, median};

#[global_allocator]
static ALLOCATOR: headwater::Allocator = headwater::Allocator;

/// Connections of the cases.
const CONNECTIONS: [usize; 2] = [64, 1];
const CONNECTIONS_WARM: usize = 64;
/// What a command of ours must be to one of Restate, from so many connections on.
const RATIO_MIN: f64 = 20.0;
const RATIO_CONNECTIONS: usize = 64;

/// Durable commands over HTTP beside Restate. Ends with 1 when a bar is missed.
#[derive(Clone, Parser)]
struct Arguments {
    /// Only with so many connections; may be repeated
    #[arg(long = "connections", value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: Vec<u16>,
    /// Workflows of three durable steps instead of commands: each request begins a new one and is answered when it has ended
    #[arg(long)]
    workflows: bool,
    /// Carts
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    entities: u32,
    /// Rounds of every case; an odd number has its median among them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seconds of load a case and side, over all its rounds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// A directory on the disk that is to be measured
    #[arg(long, value_name = "DIR", default_value = ".")]
    data: PathBuf,
    /// One object a line
    #[arg(long)]
    json: bool,
}

fn main() -> Exit {
    let arguments = Arguments::parse();
    run(&arguments).unwrap_or_else(|failure| output::report(&failure, arguments.json))
}

fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let Some(program) = restate::installed() else {
        output::talk("Restate is not installed, and there is nothing to be beside; benches/peers/install installs it");
        return Ok(Exit::Done);
    };
    let directory = arguments.data.join(format!("peers-{}", std::process::id()));
    let mut reporter = Reporter::new(arguments.json);
    let measured = threads::serve(measure(arguments, &program, &directory, &mut reporter));
    // What cannot be removed is left for the person to see.
    let _ = std::fs::remove_dir_all(&directory);
    measured.map(|()| reporter.exit())
}

async fn measure(arguments: &Arguments, program: &Path, directory: &Path, reporter: &mut Reporter) -> Result<(), Failure> {
    let ours = ours::start(&directory.join("headwater")).await?;
    let address = ours.url().trim_start_matches("http://").parse();
    let address: SocketAddr = address.map_err(|_| Failure::plain(Exit::Failed, "the service has no address"))?;
    let restate = Restate::start(program, &directory.join("restate")).await?;
    let connections: Vec<usize> = if arguments.connections.is_empty() {
        CONNECTIONS.to_vec()
    } else {
        arguments.connections.iter().map(|number| *number as usize).collect()
    };
    for connections in connections {
        let bench = Bench { arguments, connections, ours: address, restate: restate.address };
        bench.figures().await?.iter().try_for_each(|figure| reporter.tell(figure))?;
    }
    drop(restate);
    ours.stop().await;
    Ok(())
}

/// One case.
struct Bench<'a> {
    arguments: &'a Arguments,
    connections: usize,
    ours: SocketAddr,
    restate: SocketAddr,
}

/// The rounds of one side.
struct OfSide {
    rates: Vec<f64>,
    latencies: Latencies,
}

impl Bench<'_> {
    async fn figures(&self) -> Result<[Figure; 2], Failure> {
        if self.arguments.workflows {
            return self.workflows().await;
        }
        // Warm: every cart is there. One connection alone would take minutes for that.
        for address in [self.ours, self.restate] {
            round(address, Shape { connections: CONNECTIONS_WARM, ..self.shape(address) }, Until::EachOnce).await?;
        }
        let mut sides = [self.ours, self.restate].map(|address| (address, OfSide { rates: Vec::new(), latencies: Latencies::new() }));
        for number in 0..self.arguments.rounds as usize {
            for turn in 0..sides.len() {
                let (address, of_side) = &mut sides[(number + turn) % 2];
                let (rate, latencies) = round(*address, self.shape(*address), Until::For(self.duration())).await?;
                of_side.rates.push(rate);
                of_side.latencies.merge(&latencies);
            }
        }
        let [(_, ours), (_, restate)] = sides;
        Ok(self.compared(ours, restate))
    }

    /// Each round begins as many new workflows as its side runs in about a second.
    async fn workflows(&self) -> Result<[Figure; 2], Failure> {
        let shape = |address: SocketAddr, entities: usize| {
            let (request, headers): (fn(usize) -> (String, String), _) =
                if address == self.ours { (ours_run, "prefer: wait=30\r\n") } else { (restate_run, "") };
            Shape { connections: self.connections, entities, request, headers }
        };
        let mut sides = [self.ours, self.restate].map(|address| (address, 200, OfSide { rates: Vec::new(), latencies: Latencies::new() }));
        for (address, runs, _) in &mut sides {
            // Warm, and told how many a second it runs.
            round(*address, shape(*address, *runs), Until::EachOnce).await?;
            let (rate, _) = round(*address, shape(*address, *runs), Until::EachOnce).await?;
            *runs = (rate * self.duration().as_secs_f64()).max(100.0) as usize;
        }
        for number in 0..self.arguments.rounds as usize {
            for turn in 0..sides.len() {
                let (address, runs, of_side) = &mut sides[(number + turn) % 2];
                let (rate, latencies) = round(*address, shape(*address, *runs), Until::EachOnce).await?;
                of_side.rates.push(rate);
                of_side.latencies.merge(&latencies);
            }
        }
        let [(_, _, ours), (_, _, restate)] = sides;
        Ok(self.compared(ours, restate))
    }

    fn duration(&self) -> Duration {
        Duration::from_millis(self.arguments.seconds * 1000 / u64::from(self.arguments.rounds))
    }

    fn shape(&self, address: SocketAddr) -> Shape {
        let request = if address == self.ours { ours_add_item } else { restate_add_item };
        Shape { connections: self.connections, entities: self.arguments.entities as usize, request, headers: "" }
    }

    fn compared(&self, ours: OfSide, restate: OfSide) -> [Figure; 2] {
        let [value, probe] = [&ours.rates, &restate.rates].map(|rates| median(rates));
        let (what, unit, probe_unit) = if self.arguments.workflows {
            ("3 steps".to_owned(), "workflows/s", "workflows/s of Restate")
        } else {
            (self.arguments.entities.to_string(), "commands/s", "commands/s of Restate")
        };
        let name = |side: &str| format!("{}x{what} {side}", self.connections);
        let figure = Figure {
            case: name("headwater"),
            value,
            unit,
            latencies: Some(ours.latencies),
            probe: Some((probe, probe_unit)),
            ratio: Some(value / probe),
            bar: (self.connections >= RATIO_CONNECTIONS).then_some(Bar::RatioAtLeast(RATIO_MIN)),
        };
        let latencies = Some(restate.latencies);
        let beside = Figure { case: name("restate"), value: probe, unit, latencies, probe: None, ratio: None, bar: None };
        [figure, beside]
    }
}

fn ours_add_item(cart: usize) -> (String, String) {
    (format!("/v1/entities/cart/bench-{cart}/add-item"), body())
}

fn restate_add_item(cart: usize) -> (String, String) {
    (format!("/cart/bench-{cart}/addItem"), body())
}

/// A new one at each call.
static WORKFLOWS: AtomicU64 = AtomicU64::new(0);

fn ours_run(_: usize) -> (String, String) {
    (format!("/v1/workflows/three/r{}", WORKFLOWS.fetch_add(1, Relaxed)), "1".to_owned())
}

fn restate_run(_: usize) -> (String, String) {
    (format!("/three/r{}/run", WORKFLOWS.fetch_add(1, Relaxed)), "1".to_owned())
}

fn body() -> String {
    r#"{"sku":"mug-blue","quantity":1}"#.to_owned()
}
