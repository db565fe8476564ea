//! From an acknowledged command to its row: how long a query with `?seen=` takes that asks for what was written just now, at half of the
//! load that the service can take, beside the same query that waits for nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use headwater::command_line::GlobalFlags;
use headwater::{Exit, Failure, threads};
use tokio::net::TcpStream;

use super::super::ROUNDS;
use super::super::load::{Shape, Until, exchange, request, round};
use super::super::meter;
use super::super::report::{Bar, Figure, Reporter};
use super::super::statistics::{Latencies, median};
use super::super::workspace::Workspace;

const SHAPE: Shape = Shape { connections: 64, entities: 10_000, request: read, headers: "" };
const P50_MS_MAX: f64 = 3.0;
const P99_MS_MAX: f64 = 20.0;

pub(super) fn run(time: Duration, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let workspace = Workspace::new(flags)?;
    let [seen, plain] = threads::serve(measure(time, &workspace))?;
    for (name, per_mille, bar) in [("p50", 500, P50_MS_MAX), ("p99", 990, P99_MS_MAX)] {
        let [value, probe] = [&seen, &plain].map(|latencies| latencies.percentile_us(per_mille) / 1_000.0);
        reporter.tell(&Figure {
            case: format!("view visible {name}"),
            value,
            unit: "ms",
            latencies: Some(seen.clone()),
            probe: Some((probe, "ms for a query that waits for nothing")),
            ratio: Some(value / probe),
            bar: Some(Bar::Below(bar)),
        })?;
    }
    Ok(())
}

fn read(meter: usize) -> (String, String) {
    let body = r#"{"value":1,"unit":"kWh","place":"street 7, cellar","at":"2026-11-26 08:26:00"}"#;
    (format!("/v1/entities/meter/meter-{meter:06}/read"), body.to_owned())
}

async fn measure(time: Duration, workspace: &Workspace) -> Result<[Latencies; 2], Failure> {
    let data = workspace.path("meters").display().to_string();
    let service = meter::service().listen("127.0.0.1:0").data(data).start().await?;
    let address = service.url().trim_start_matches("http://").parse().map_err(|_| failed(&"it has no address"))?;
    round(address, SHAPE, Until::EachOnce).await?;
    let mut peaks = Vec::new();
    for _ in 0..ROUNDS {
        peaks.push(round(address, SHAPE, Until::For(time)).await?.0);
    }
    let half = median(&peaks) / 2.0;
    let mut found = [Latencies::new(), Latencies::new()];
    for _ in 0..ROUNDS {
        let (load, samples) = tokio::join!(round(address, SHAPE, Until::Paced(time, half)), sample(address, time));
        load?;
        found.iter_mut().zip(samples?).for_each(|(all, more)| all.merge(&more));
    }
    service.stop().await;
    Ok(found)
}

/// One client beside the load, on a thread of its own.
async fn sample(address: SocketAddr, time: Duration) -> Result<[Latencies; 2], Failure> {
    let joined =
        tokio::task::spawn_blocking(move || threads::call(async move { samples(address, time).await.map_err(|error| failed(&error)) }));
    joined.await.map_err(|_| failed(&"the client panicked; its message stands above"))?
}

async fn samples(address: SocketAddr, time: Duration) -> std::io::Result<[Latencies; 2]> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (begun, mut buffer) = (Instant::now(), Vec::with_capacity(4096));
    let (mut seen, mut plain) = (Latencies::new(), Latencies::new());
    for value in 2_u64.. {
        if begun.elapsed() > time {
            break;
        }
        let body = format!(r#"{{"value":{value},"unit":"kWh","place":"street 7, cellar","at":"2026-11-26 08:26:00"}}"#);
        exchange(&mut socket, &request(address, "POST", "/v1/entities/meter/sampled/read", &body), &mut buffer).await?;
        let cursor = cursor(&buffer).ok_or_else(|| std::io::Error::other("the answer has no cursor"))?;
        let wanted = format!("\"value\":{value},");
        for (latencies, path) in
            [(&mut seen, format!("/v1/views/meters/one?id=sampled&seen={cursor}")), (&mut plain, "/v1/views/meters/one?id=sampled".into())]
        {
            let asked = Instant::now();
            exchange(&mut socket, &request(address, "GET", &path, ""), &mut buffer).await?;
            latencies.add(asked.elapsed());
            if !contains(&buffer, wanted.as_bytes()) {
                return Err(std::io::Error::other("a query did not see what it waited for"));
            }
        }
    }
    Ok([seen, plain])
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The place of a command, from its answer.
fn cursor(answer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(answer).ok()?;
    let (_, rest) = text.split_once("\"cursor\":\"")?;
    rest.split_once('"').map(|(cursor, _)| cursor.to_owned())
}

fn failed(cause: &dyn std::fmt::Display) -> Failure {
    Failure::plain(Exit::Failed, format!("the meters failed: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::cursor;

    #[test]
    fn an_answer_says_its_place() {
        assert_eq!(cursor(b"HTTP/1.1 200 OK\r\n\r\n{\"reply\":null,\"cursor\":\"c-1\"}").as_deref(), Some("c-1"));
        assert_eq!(cursor(b"HTTP/1.1 200 OK\r\n\r\n{}"), None);
    }
}
