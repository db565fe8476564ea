//! Timers that are due at once, beside commits to a journal alone of as many tasks and as many events, and how late timers are that are due
//! one after the other, half as many a second.

use std::path::Path;
use std::time::Duration;

use ::journal::seams::{Clock as _, SystemClock};
use ::journal::{Cursor, Journal as _, ReadMode, Selection};
use headwater::command_line::GlobalFlags;
use headwater::{Failure, Running, output, threads};
use serde::Deserialize;
use tokio::time::sleep;

use super::super::process::failed;
use super::super::report::{Bar, Figure, Reporter};
use super::super::statistics::{Latencies, median};
use super::super::workspace::Workspace;
use super::super::{ROUNDS, bells, journal};
use super::setting::{Timers, until_pending};

/// Tasks of the probe: as many as timers are fired at once.
pub(super) const WRITERS: usize = 1_024;
/// What a firing leaves: the bell's event and the timer's.
const EVENTS: usize = 2;
const FIRINGS_MIN: f64 = 50_000.0;
const LATE_MS_MAX: f64 = 100.0;
/// How many timers a second are set at least, which says when those are due that are set now.
const SET_MIN: f64 = 20_000.0;
const SPARE: Duration = Duration::from_secs(2);

/// What the journal says of a round.
struct Rings {
    /// When the timers were due that were due at once.
    due: i64,
    count: u64,
    last: i64,
    late: Latencies,
}

pub(super) fn run((count, bells): (u64, u64), round: Duration, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let workspace = Workspace::new(flags)?;
    let (mut rates, mut probes, mut late) = (Vec::new(), Vec::new(), Latencies::new());
    for number in 0..ROUNDS {
        output::talk(format!("round {} of {ROUNDS}", number + 1));
        probes.push(probe(&workspace, number, round)?);
        let data = workspace.path("belfry");
        let once = |pace| Timers { round: 0, count, bells, first_due: 0, per_second: pace };
        let dues = threads::serve(ring(&data, once(f64::INFINITY), round))?;
        let rings = rings(&data, dues)?;
        rates.push(rings.rate());
        late.merge(&rings.late);
        // What cannot be removed now is removed with the workspace.
        let _ = std::fs::remove_dir_all(&data);
    }
    let (value, probe) = (median(&rates), median(&probes));
    let p99_ms = late.percentile_us(990) / 1_000.0;
    reporter.tell(&Figure {
        case: "timer firing".to_owned(),
        value,
        unit: "firings/s",
        latencies: None,
        probe: Some((probe, "commits/s of two events by as many tasks")),
        ratio: Some(value / probe),
        bar: Some(Bar::AtLeast(FIRINGS_MIN)),
    })?;
    reporter.tell(&Figure {
        case: "timer late p99".to_owned(),
        value: p99_ms,
        unit: "ms at half of that",
        latencies: Some(late),
        probe: None,
        ratio: None,
        bar: Some(Bar::Below(LATE_MS_MAX)),
    })
}

fn probe(workspace: &Workspace, number: u32, round: Duration) -> Result<f64, Failure> {
    let journal = journal::open(&workspace.path(&format!("probe-{number}")))?;
    let (events, _) = threads::serve(journal::load::tasks(super::super::Case(WRITERS, EVENTS), number, round, journal.clone()))?;
    journal::close(&journal)?;
    Ok(events / EVENTS as f64)
}

/// Many at once, then half as many a second for as long as a round is. Gives when those of both kinds were due first.
async fn ring(data: &Path, once: Timers, round: Duration) -> Result<i64, Failure> {
    let service = bells::service().listen("127.0.0.1:0").data(data.display().to_string()).start().await?;
    let at_once = Timers { first_due: due_after(once.count), ..once };
    set_in_time(&service, at_once).await?;
    until_pending(service.url(), 0..=0).await?;
    let pace = once.count as f64 / seconds(now() - at_once.first_due) / 2.0;
    let count = (pace * round.as_secs_f64()) as u64;
    let steady = Timers { round: 1, count, first_due: due_after(count), per_second: pace, ..once };
    set_in_time(&service, steady).await?;
    sleep(round).await;
    until_pending(service.url(), 0..=0).await?;
    service.stop().await;
    Ok(at_once.first_due)
}

/// Sets timers, all of them before the first one is due.
async fn set_in_time(service: &Running, timers: Timers) -> Result<(), Failure> {
    timers.set(service.client()).await?;
    until_pending(service.url(), timers.count..=u64::MAX).await?;
    if now() >= timers.first_due {
        return Err(failed(&"timers are set so slowly that the first ones are due before the last one is set"));
    }
    sleep(Duration::from_micros((timers.first_due - now()).max(0).unsigned_abs())).await;
    Ok(())
}

/// When so many will have been set.
fn due_after(count: u64) -> i64 {
    let time = Duration::from_secs_f64(count as f64 / SET_MIN) + SPARE;
    now() + i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn now() -> i64 {
    SystemClock.now().as_micros()
}

fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

#[derive(Deserialize)]
struct Rang {
    round: u32,
    due: i64,
}

/// Reads when the bells rang.
fn rings(data: &Path, due: i64) -> Result<Rings, Failure> {
    let engine = journal::open(data)?;
    let mut rings = Rings { due, count: 0, last: 0, late: Latencies::new() };
    let mut events = engine.read(Selection::Types(vec!["bell/rang".into()]), Cursor::BEGINNING, ReadMode::ToHead);
    threads::call(async {
        while let Some(event) = events.next_event().await {
            let event = event.map_err(|error| failed(&error))?;
            let Rang { round, due } = serde_json::from_slice(&event.payload).map_err(|error| failed(&error))?;
            rings.add(round, due, event.time.as_micros());
        }
        Ok(())
    })?;
    journal::close(&engine)?;
    Ok(rings)
}

impl Rings {
    fn add(&mut self, round: u32, due: i64, at: i64) {
        if round == 0 {
            self.count += 1;
            self.last = self.last.max(at);
        } else {
            self.late.add(Duration::from_micros((at - due).max(0).unsigned_abs()));
        }
    }

    fn rate(&self) -> f64 {
        self.count as f64 / seconds(self.last - self.due)
    }
}
