//! Hops, from an event over an action and its command to the next event, beside appends of as many tasks to a journal alone; and what one
//! key that always fails costs the others.
//!
//! A processor is measured in `processor`. The service of the others is a small one, `walker`, on the embedded engine. Walks begin over HTTP; their hops stay in the runtime.

mod processor;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use headwater::command_line::GlobalFlags;
use headwater::{Client, Exit, Failure, Running, threads};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::ROUNDS;
use super::journal;
use super::report::{Bar, Figure, Reporter};
use super::statistics::{Latencies, median};
use super::tracks::{STUMBLER, Tracks, Walker, WalkerCommand, service};
use super::workspace::Workspace;

/// Walkers that walk at once when as many hops as possible are wanted: as many as an action runs at once.
const CROWD: usize = 256;
/// Keys of the paced load.
const WALKERS: usize = 1_000;
/// Hops of one walk of the paced load.
const WALK: u32 = 50;
const HOPS_MIN: f64 = 30_000.0;
const P99_MS_MAX: f64 = 15.0;
const FAILING_RATIO_MAX: f64 = 2.0;
/// Steps a second of the key that fails, as if it had its share.
const STUMBLES: u32 = 20;
/// How long walks are given to end, and held keys to drain.
const SETTLE: Duration = Duration::from_millis(500);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// As many hops as there can be, and the latency of a hop at half of that
    Hops,
    /// A key that always fails among a thousand healthy ones
    FailingKey,
    /// Payments of a recorded topic through a processor, and the latency of an alert at half of that
    Processor,
    /// The same payments with one card
    HotKey,
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

pub(super) fn run(arguments: &Arguments, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let cases = if arguments.cases.is_empty() { Case::value_variants() } else { &arguments.cases };
    let round = super::round(arguments.seconds);
    for case in cases {
        let workspace = Workspace::new(flags)?;
        match case {
            Case::Hops => walk(&workspace, async |walkers| hops(walkers, round, &workspace).await, reporter)?,
            Case::FailingKey => walk(&workspace, async |walkers| failing_key(walkers, round).await, reporter)?,
            Case::Processor => {
                let peak = processor::catch_up("flow processor", processor::CARDS, &workspace, round, reporter)?;
                processor::latency(peak, &workspace, round, reporter)?;
            }
            Case::HotKey => drop(processor::catch_up("flow hot-key", 1, &workspace, round, reporter)?),
        }
    }
    Ok(())
}

fn walk(
    workspace: &Workspace,
    measure: impl AsyncFnOnce(&Walkers) -> Result<Vec<Figure>, Failure>,
    reporter: &mut Reporter,
) -> Result<(), Failure> {
    let figures = threads::serve(async {
        let walkers = Walkers::start(workspace).await?;
        let figures = measure(&walkers).await;
        walkers.service.stop().await;
        figures
    })?;
    figures.iter().try_for_each(|figure| reporter.tell(figure))
}

/// A running service and its walkers.
struct Walkers {
    service: Running,
    tracks: Arc<Tracks>,
}

impl Walkers {
    async fn start(workspace: &Workspace) -> Result<Self, Failure> {
        let tracks = Tracks::new(WALKERS);
        let data = workspace.path("walkers").display().to_string();
        let service = service(&tracks).listen("127.0.0.1:0").data(data).start().await?;
        Ok(Self { service, tracks })
    }

    /// Hops a second of a crowd that never rests.
    async fn crowd(&self, round: Duration) -> Result<f64, Failure> {
        for walker in 0..CROWD {
            self.tracks.forget(walker);
            begin(self.service.client(), &walker.to_string(), u32::MAX).await?;
        }
        self.tracks.take();
        let begun = Instant::now();
        sleep(round).await;
        let (hops, _) = self.tracks.take();
        let rate = hops as f64 / begun.elapsed().as_secs_f64();
        self.rest().await;
        Ok(rate)
    }

    async fn rest(&self) {
        self.tracks.halt(true);
        sleep(SETTLE).await;
        self.tracks.halt(false);
        self.tracks.take();
    }

    /// So many hops a second, in walks of walkers that take turns; gives the hops' latencies.
    async fn paced(&self, hops_per_second: f64, round: Duration) -> Latencies {
        let mut ticks = interval(Duration::from_secs_f64(f64::from(WALK) / hops_per_second));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let until = Instant::now() + round;
        for walker in (0..self.tracks.walkers()).cycle() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = sleep_until(until) => break,
            }
            self.tracks.forget(walker);
            let client = self.service.client().clone();
            // A walk that cannot begin is missed in the count of hops.
            tokio::spawn(async move { begin(&client, &walker.to_string(), WALK).await });
        }
        let (_, latencies) = self.tracks.take();
        self.rest().await;
        latencies
    }
}

async fn begin(client: &Client, walker: &str, left: u32) -> Result<(), Failure> {
    let sent = client.send::<Walker>(walker, WalkerCommand::Step { left }).await;
    sent.map(drop).map_err(|error| Failure::plain(Exit::Failed, format!("a walk does not begin: {error}")))
}

async fn hops(walkers: &Walkers, round: Duration, workspace: &Workspace) -> Result<Vec<Figure>, Failure> {
    let journal = journal::open(&workspace.path("probe"))?;
    let (mut rates, mut probes, mut latencies) = (Vec::new(), Vec::new(), Latencies::new());
    // Warm: every entity is in memory.
    walkers.crowd(round).await?;
    for number in 0..ROUNDS {
        probes.push(journal::load::tasks(super::Case(CROWD, 1), number, round, Arc::clone(&journal)).await?.0);
        let rate = walkers.crowd(round).await?;
        latencies.merge(&walkers.paced(rate / 2.0, round).await);
        rates.push(rate);
    }
    journal.close().await;
    let (value, probe) = (median(&rates), median(&probes));
    let p99_ms = latencies.percentile_us(990) / 1_000.0;
    let hops = Figure {
        case: "flow hops".to_owned(),
        value,
        unit: "hops/s",
        latencies: None,
        probe: Some((probe, "appends/s of as many tasks")),
        ratio: Some(value / probe),
        bar: Some(Bar::AtLeast(HOPS_MIN)),
    };
    let latency = Figure {
        case: "flow hop p99".to_owned(),
        value: p99_ms,
        unit: "ms at half of that",
        latencies: Some(latencies),
        probe: None,
        ratio: None,
        bar: Some(Bar::Below(P99_MS_MAX)),
    };
    Ok(vec![hops, latency])
}

/// The healthy keys' p99 with a key that fails at every step, beside that of the same load without it.
async fn failing_key(walkers: &Walkers, round: Duration) -> Result<Vec<Figure>, Failure> {
    let pace = walkers.crowd(round).await? / 2.0;
    let (mut with, mut without, mut latencies) = (Vec::new(), Vec::new(), Latencies::new());
    for _ in 0..ROUNDS {
        without.push(walkers.paced(pace, round).await.percentile_us(990));
        walkers.tracks.fail(true);
        let (healthy, stumbled) = tokio::join!(walkers.paced(pace, round), stumble(walkers, round));
        stumbled?;
        walkers.tracks.fail(false);
        sleep(SETTLE).await;
        with.push(healthy.percentile_us(990));
        latencies.merge(&healthy);
    }
    let (value, probe) = (median(&with), median(&without));
    let figure = Figure {
        case: "flow failing key".to_owned(),
        value,
        unit: "us, p99 of the others",
        latencies: Some(latencies),
        probe: Some((probe, "us without it")),
        ratio: Some(value / probe),
        bar: Some(Bar::RatioBelow(FAILING_RATIO_MAX)),
    };
    Ok(vec![figure])
}

async fn stumble(walkers: &Walkers, round: Duration) -> Result<(), Failure> {
    let mut ticks = interval(Duration::from_secs(1) / STUMBLES);
    let until = Instant::now() + round;
    while Instant::now() < until {
        ticks.tick().await;
        begin(walkers.service.client(), STUMBLER, 0).await?;
    }
    Ok(())
}
