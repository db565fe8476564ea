//! A million timers that are due in ten years: how fast they are set, and what one of them costs in memory and in the index on disk.
//!
//! Memory is what this process has more of, without pages of files, than before the first one was set: caches that are full after some
//! thousands are in it.

use std::path::Path;

use headwater::command_line::GlobalFlags;
use headwater::{Failure, threads};

use super::super::bells;
use super::super::journal;
use super::super::process::{failed, memory_bytes};
use super::super::report::{Bar, Figure, Reporter};
use super::super::workspace::Workspace;
use super::firing::{WRITERS, now};
use super::setting::{Timers, until_pending};

const BYTES_MAX: f64 = 200.0;
const TEN_YEARS_MICROS: i64 = 3_653 * 86_400_000_000;
/// How long appends are measured for what setting is compared with.
const PROBE: std::time::Duration = std::time::Duration::from_secs(2);

pub(super) fn run(count: u64, bells: u64, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let workspace = Workspace::new(flags)?;
    let probe_journal = journal::open(&workspace.path("probe"))?;
    let case = super::super::Case(WRITERS, 1);
    let (probe, _) = threads::serve(journal::load::tasks(case, 0, PROBE, probe_journal.clone()))?;
    journal::close(&probe_journal)?;
    drop(probe_journal);
    let data = workspace.path("belfry");
    let (rate, memory) = threads::serve(wait(&data, count, bells))?;
    let index = directory_bytes(&data.join("timers")).map_err(|error| failed(&error))?;
    let figure =
        |case: &str, value, unit, bar| Figure { case: case.to_owned(), value, unit, latencies: None, probe: None, ratio: None, bar };
    let probe = Some((probe, "appends/s of as many tasks"));
    reporter.tell(&Figure { probe, ratio: probe.map(|(probe, _)| rate / probe), ..figure("timer set", rate, "timers/s", None) })?;
    reporter.tell(&figure("timer memory", memory / count as f64, "bytes a timer that waits", Some(Bar::Below(BYTES_MAX))))?;
    reporter.tell(&figure("timer index", index as f64 / count as f64, "bytes a timer on disk", None))
}

/// How fast they are set, and what of memory they take.
async fn wait(data: &Path, count: u64, bells: u64) -> Result<(f64, f64), Failure> {
    let service = bells::service().listen("127.0.0.1:0").data(data.display().to_string()).start().await?;
    let before = memory_bytes("self", "RssAnon:")?;
    let timers = Timers { round: 0, count, bells, first_due: now() + TEN_YEARS_MICROS, per_second: 1_000.0 };
    let rate = timers.set(service.client()).await?;
    until_pending(service.url(), count..=u64::MAX).await?;
    let memory = memory_bytes("self", "RssAnon:")? - before;
    service.stop().await;
    Ok((rate, memory))
}

fn directory_bytes(directory: &Path) -> std::io::Result<u64> {
    std::fs::read_dir(directory)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
