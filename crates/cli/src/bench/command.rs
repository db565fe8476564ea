//! Durable commands over HTTP to carts that nothing reacts to, beside an echo on the same threads under the same load.

use std::net::SocketAddr;

use headwater::command_line::GlobalFlags;
use headwater::{Exit, Failure, threads};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::load::{Shape, Until, round};
use super::report::{Bar, Figure, Reporter};
use super::statistics::{Latencies, median};
use super::workspace::Workspace;
use super::{Arguments, Case, ROUNDS};
use crate::shop;

/// Connections and entities.
const CASES: [Case; 1] = [Case(64, 10_000)];
/// What a durable command may cost against an echo of it: a decision, an index, a share of a disk write.
const RATIO_MIN: f64 = 0.25;

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
    let shape = Shape { connections: case.0, entities: case.1, request: add_item };
    let data = workspace.path("shop").display().to_string();
    let shop = shop::carts().listen("127.0.0.1:0").data(data).start().await?;
    let address = shop.url().trim_start_matches("http://").parse().map_err(|_| failed("the shop has no address"))?;
    let (echo, stop) = echo().await?;
    // Warm: every entity is in memory, and both servers have seen every connection once.
    round(address, shape, Until::EachOnce).await?;
    round(echo, shape, Until::EachOnce).await?;
    let figure = rounds(case, arguments, address, echo, shape).await;
    drop(stop);
    shop.stop().await;
    figure
}

async fn rounds(case: Case, arguments: &Arguments, shop: SocketAddr, echo: SocketAddr, shape: Shape) -> Result<Figure, Failure> {
    let (mut rates, mut probes, mut latencies) = (Vec::new(), Vec::new(), Latencies::new());
    for _ in 0..ROUNDS {
        probes.push(round(echo, shape, Until::For(arguments.round())).await?.0);
        let (rate, of_round) = round(shop, shape, Until::For(arguments.round())).await?;
        rates.push(rate);
        latencies.merge(&of_round);
    }
    let (value, probe) = (median(&rates), median(&probes));
    Ok(Figure {
        case: format!("command {case}"),
        value,
        unit: "commands/s",
        latencies: Some(latencies),
        probe: Some((probe, "echoes/s on the same threads")),
        ratio: Some(value / probe),
        bar: Some(Bar::RatioAtLeast(RATIO_MIN)),
    })
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
