//! A hundred thousand workflows that wait: what they take, and how soon the first one goes on after a restart.

use std::time::{Duration, Instant};

use headwater::prelude::*;
use headwater::{Client, Exit, Failure as Failed, output, threads};
use tokio::task::JoinSet;

use super::super::process::memory_bytes;
use super::super::report::{Bar, Figure, Reporter};
use super::super::workspace::Workspace;
use super::failed;

const WAITING: usize = 100_000;
/// Requests under way while they are started.
const STARTERS: usize = 256;
const BYTES_MAX: f64 = 100e6;
const PROGRESS_MS_MAX: f64 = 1_000.0;

/// Waits for a word, for thirty days.
pub(super) struct Patience;

impl Workflow for Patience {
    const NAME: &'static str = "patience";
    type Input = u64;
    type Output = u64;

    async fn run(&self, ctx: &WorkflowContext, given: u64) -> Result<u64, Failure> {
        let word = ctx.wait_for::<u64>("go").timeout(Duration::from_secs(30 * 86_400)).await;
        Ok(word.unwrap_or_default() + given)
    }

    fn signals() -> Signals {
        Signals::none().with::<u64>("go")
    }
}

pub(super) fn run(workspace: &Workspace, reporter: &mut Reporter) -> Result<(), Failed> {
    let data = workspace.path("flows").display().to_string();
    let taken = threads::serve(fill(&data))?;
    let figure = |case: &str, value, unit, bar| Figure {
        case: case.to_owned(),
        value,
        unit,
        latencies: None,
        probe: None,
        ratio: None,
        bar: Some(Bar::Below(bar)),
    };
    reporter.tell(&figure("workflow waiting", taken, "bytes of memory for 100,000", BYTES_MAX))?;
    let progress = threads::serve(restart(&data))?;
    reporter.tell(&figure("workflow restart", progress, "ms to the first progress", PROGRESS_MS_MAX))
}

/// Starts them; gives by how much the process has grown.
async fn fill(data: &str) -> Result<f64, Failed> {
    let service = super::service().listen("127.0.0.1:0").data(data).start().await?;
    // What the first ones take is the service's.
    begin(service.client(), 0, 1_000).await?;
    let before = memory_bytes("self", "RssAnon:")?;
    for from in (1_000..WAITING).step_by(10_000) {
        begin(service.client(), from, (from + 10_000).min(WAITING)).await?;
        output::talk(format!("{} of {WAITING} workflows wait", (from + 10_000).min(WAITING)));
    }
    let after = memory_bytes("self", "RssAnon:")?;
    service.stop().await;
    Ok((after - before).max(0.0) * WAITING as f64 / (WAITING - 1_000) as f64)
}

async fn begin(client: &Client, from: usize, until: usize) -> Result<(), Failed> {
    let mut starters = JoinSet::new();
    for starter in 0..STARTERS {
        let client = client.clone();
        starters.spawn(async move {
            for number in (from + starter..until).step_by(STARTERS) {
                let input = u64::try_from(number).unwrap_or_default();
                client.workflow::<Patience>(format!("p{number}")).start(&input).await.map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(())
        });
    }
    while let Some(ended) = starters.join_next().await {
        ended.map_err(failed)?.map_err(failed)?;
    }
    Ok(())
}

/// From the beginning of the start until a signal has ended one of them.
async fn restart(data: &str) -> Result<f64, Failed> {
    let begun = Instant::now();
    let service = super::service().listen("127.0.0.1:0").data(data).start().await?;
    let one = service.client().workflow::<Patience>("p77777");
    one.signal("go", &1).await.map_err(|error| failed(error.to_string()))?;
    let ended = one.ended(Duration::from_secs(30)).await.map_err(|error| failed(error.to_string()))?;
    let taken = begun.elapsed().as_secs_f64() * 1_000.0;
    service.stop().await;
    match ended {
        Some(Ok(77_778)) => Ok(taken),
        other => Err(Failed::plain(Exit::Failed, format!("a workflow that was waited for ended with {other:?}"))),
    }
}
