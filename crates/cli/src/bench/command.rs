//! Durable commands over HTTP to carts that nothing reacts to, beside an echo on the same threads under the same load.
//!
//! What a case is compared with depends on what it asks. Many connections: how much of what a bare server answers is left. One
//! connection: what a command waits for besides an echo and its write. One cart: what its order costs against many carts.

use std::net::SocketAddr;

use headwater::command_line::GlobalFlags;
use headwater::{Exit, Failure, threads};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::load::{Shape, Until, round};
use super::probe::DiskProbe;
use super::report::{Bar, Figure, Reporter};
use super::statistics::{Latencies, median};
use super::workspace::Workspace;
use super::{Arguments, Case, ROUNDS};
use crate::shop;

/// Connections and entities.
const CASES: [Case; 3] = [Case(64, MANY), Case(1, MANY), Case(64, 1)];
/// So many carts that few commands meet.
const MANY: usize = 10_000;
/// What a durable command may cost against an echo of it: a decision, an index, a share of a disk write.
const ECHO_RATIO_MIN: f64 = 0.5;
/// What one cart takes against many.
const HOT_RATIO_MIN: f64 = 0.5;
/// How many raw writes a lone command may wait for besides its echo.
const RAW_WRITES_MAX: f64 = 1.5;

pub(super) fn run(arguments: &Arguments, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    for case in arguments.cases(&CASES) {
        let workspace = Workspace::new(flags)?;
        let figure = threads::serve(measure(case, arguments, &workspace))?;
        reporter.tell(&figure)?;
    }
    Ok(())
}

fn add_item(cart: usize) -> (String, String) {
    (format!("/v1/entities/cart/bench-{cart}/add-item"), r#"{"sku":"mug-blue","quantity":1}"#.to_owned())
}

async fn measure(case: Case, arguments: &Arguments, workspace: &Workspace) -> Result<Figure, Failure> {
    let data = workspace.path("shop").display().to_string();
    let shop = shop::carts().listen("127.0.0.1:0").data(data).start().await?;
    let address = shop.url().trim_start_matches("http://").parse().map_err(|_| failed("the shop has no address"))?;
    let (echo, stop) = echo().await?;
    let disk = tokio::task::block_in_place(|| DiskProbe::prepare(&workspace.path("probe")))?;
    let mut bench = Bench { case, round: arguments.round(), shop: address, echo, disk };
    let figure = bench.figure().await;
    drop(stop);
    shop.stop().await;
    figure
}

/// What a case is compared with.
#[derive(Clone, Copy)]
enum Beside {
    Echo,
    EchoAndWrite,
    ManyCarts,
}

/// Both servers, and the disk of one of them.
struct Bench {
    case: Case,
    round: std::time::Duration,
    shop: SocketAddr,
    echo: SocketAddr,
    disk: DiskProbe,
}

impl Bench {
    async fn figure(&mut self) -> Result<Figure, Failure> {
        // Warm: every entity is in memory, and both servers have seen every connection once.
        for (address, entities) in [(self.shop, self.case.1), (self.echo, self.case.1), (self.shop, MANY)] {
            round(address, self.shape(entities), Until::EachOnce).await?;
        }
        let (mut values, mut probes, mut latencies) = (Vec::new(), Vec::new(), Latencies::new());
        for _ in 0..ROUNDS {
            probes.push(self.probe().await?);
            let (rate, of_round) = self.load(self.shop, self.case.1).await?;
            values.push(self.value(rate, &of_round));
            latencies.merge(&of_round);
        }
        Ok(self.compared(median(&values), median(&probes), latencies))
    }

    fn beside(&self) -> Beside {
        match self.case {
            Case(1, _) => Beside::EchoAndWrite,
            Case(_, 1) => Beside::ManyCarts,
            Case(..) => Beside::Echo,
        }
    }

    fn shape(&self, entities: usize) -> Shape {
        Shape { connections: self.case.0, entities, request: add_item, headers: "" }
    }

    async fn load(&self, address: SocketAddr, entities: usize) -> Result<(f64, Latencies), Failure> {
        round(address, self.shape(entities), Until::For(self.round)).await
    }

    /// A lone connection is about its wait, the others are about how much there is.
    fn value(&self, rate: f64, latencies: &Latencies) -> f64 {
        if matches!(self.beside(), Beside::EchoAndWrite) { latencies.percentile_us(500) } else { rate }
    }

    async fn probe(&mut self) -> Result<f64, Failure> {
        Ok(match self.beside() {
            Beside::Echo => self.load(self.echo, self.case.1).await?.0,
            Beside::ManyCarts => self.load(self.shop, MANY).await?.0,
            Beside::EchoAndWrite => {
                let echo = self.load(self.echo, self.case.1).await?.1.percentile_us(500);
                let raw = tokio::task::block_in_place(|| self.disk.small_writes(self.round))?.percentile_us(500);
                echo + RAW_WRITES_MAX * raw
            }
        })
    }

    fn compared(&self, value: f64, probe: f64, latencies: Latencies) -> Figure {
        let (unit, probe_unit, bar) = match self.beside() {
            Beside::Echo => ("commands/s", "echoes/s on the same threads", Bar::RatioAtLeast(ECHO_RATIO_MIN)),
            Beside::ManyCarts => ("commands/s", "commands/s to 10,000 carts", Bar::RatioAtLeast(HOT_RATIO_MIN)),
            Beside::EchoAndWrite => ("us, p50", "us, p50 of an echo and 1.5 of a raw 4 KiB write", Bar::RatioBelow(1.0)),
        };
        Figure {
            case: format!("command {}", self.case),
            value,
            unit,
            latencies: Some(latencies),
            probe: Some((probe, probe_unit)),
            ratio: Some(value / probe),
            bar: Some(bar),
        }
    }
}

/// Starts the echo on the shop's own threads; it stops when the sender is dropped.
async fn echo() -> Result<(SocketAddr, oneshot::Sender<()>), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| failed(&error))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(gateway::echo::serve(listener, async {
        // An error means that the sender was dropped, which is how a stop is asked for.
        let _ = stopped.await;
    }));
    Ok((address, stop))
}

fn failed(cause: impl std::fmt::Display) -> Failure {
    Failure::plain(Exit::Failed, format!("the echo failed: {cause}"))
}
