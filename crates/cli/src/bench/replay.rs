//! A journal with a past: ten million events of a million entities, and what that costs whoever opens, reads and appends.
//!
//! Another process records it, once, so that its memory is not taken for what opening needs. All figures are of a warm page cache.

mod appends;
mod packed;
mod recording;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use headwater::command_line::GlobalFlags;
use headwater::{Exit, Failure, output, threads};
use journal::embedded::EmbeddedJournal;
use journal::{Cursor, Journal as _, ReadError, ReadMode, Selection};

use super::process::{memory_bytes, own_binary};
use super::report::{Bar, Figure, Reporter};
use super::statistics::{Latencies, median};
use super::workspace::Workspace;
use super::{ROUNDS, journal as engine};
use recording::{LONG_EVENTS, Past, long_entity};

const OPEN_MS_MAX: f64 = 1_000.0;
const ANONYMOUS_BYTES_MAX: f64 = 250e6;
const SCAN_EVENTS_MIN: f64 = 3e6;
const LOAD_MS_MAX: f64 = 5.0;
/// What is left of an empty journal's appends.
const APPEND_RATIO_MIN: f64 = 1.0 / 1.2;
/// How often the long entity is loaded.
const LOADS: usize = 25;
const READ_BYTES: usize = 1024 * 1024;

/// How large a past.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Events that the journal has
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(10_000..=1_000_000_000))]
    events: u64,
    /// Entities that they are of
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    entities: u64,
    /// Events of each of its commits, each of a command of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    commit_events: u64,
    /// Keep the journal in this directory, and take it from there when it is there already
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Seconds of appends to each of both journals, over all rounds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Pack its segments behind all that, and scan and load it once more; a journal that is kept stays packed
    #[arg(long)]
    packed: bool,
    /// Only record the journal into `--journal`; what the bench starts itself for that
    #[arg(long, hide = true, requires = "journal")]
    record: bool,
}

impl Arguments {
    fn past(&self) -> Past {
        Past { events: self.events, entities: self.entities, commit_events: self.commit_events }
    }
}

pub(super) fn run(arguments: &Arguments, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    if let (true, Some(directory)) = (arguments.record, &arguments.journal) {
        return threads::serve(recording::record(arguments.past(), directory));
    }
    let workspace = Workspace::new(flags)?;
    let directory = arguments.journal.clone().unwrap_or_else(|| workspace.path("journal"));
    if !directory.exists() {
        record(arguments, &directory)?;
    }
    let replay = Replay { arguments, directory };
    replay.opening()?.iter().try_for_each(|figure| reporter.tell(figure))?;
    let journal = engine::open(&replay.directory)?;
    reporter.tell(&replay.scan("replay scan", &journal)?)?;
    reporter.tell(&load("replay load of 1000", &journal)?)?;
    reporter.tell(&replay.appends(&journal, &workspace)?)?;
    reporter.tell(&memory("replay memory after all", None)?)?;
    if arguments.packed {
        reporter.tell(&packed::pack(&journal, &replay.directory)?)?;
        reporter.tell(&replay.scan("replay packed scan", &journal)?)?;
        reporter.tell(&load("replay packed load of 1000", &journal)?)?;
    }
    engine::close(&journal)
}

/// Lets another process record the journal.
fn record(arguments: &Arguments, directory: &Path) -> Result<(), Failure> {
    output::talk(format!("recording {} events in {}", arguments.events, directory.display()));
    let mut command = own_binary()?;
    command.args(["bench", "replay", "--record", "--journal"]).arg(directory);
    let Past { events, entities, commit_events } = arguments.past();
    for (option, value) in [("--events", events), ("--entities", entities), ("--commit-events", commit_events)] {
        command.args([option, &value.to_string()]);
    }
    let ended = command.stderr(std::process::Stdio::inherit()).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("recording ended with {status}"))),
        Err(error) => Err(failed(error)),
    }
}

struct Replay<'a> {
    arguments: &'a Arguments,
    directory: PathBuf,
}

impl Replay<'_> {
    /// How long opening takes, and what the process has in memory when it is open for the first time and nothing was read.
    fn opening(&self) -> Result<[Figure; 2], Failure> {
        let (mut times, mut anonymous) = (Vec::new(), None);
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let journal = engine::open(&self.directory)?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            if anonymous.is_none() {
                anonymous = Some(memory("replay memory", Some(Bar::Below(ANONYMOUS_BYTES_MAX)))?);
            }
            engine::close(&journal)?;
        }
        let opened = plain("replay open", median(&times), "ms", Some(Bar::Below(OPEN_MS_MAX)));
        Ok([opened, anonymous.expect("there is a first round")])
    }

    fn scan(&self, case: &str, journal: &EmbeddedJournal) -> Result<Figure, Failure> {
        let (mut rates, mut probes) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let events = threads::call(count(journal, Selection::All))?;
            rates.push(events as f64 / begun.elapsed().as_secs_f64());
            if events < self.arguments.events {
                return Err(failed(format!("the journal has {events} events; name another directory, or take --events {events}")));
            }
            let begun = Instant::now();
            read_raw(&self.directory).map_err(failed)?;
            probes.push(events as f64 / begun.elapsed().as_secs_f64());
        }
        let (value, probe) = (median(&rates), median(&probes));
        let unit = "events/s by reading the segments' bytes only";
        let bar = Some(Bar::AtLeast(SCAN_EVENTS_MIN));
        Ok(Figure { probe: Some((probe, unit)), ratio: Some(value / probe), ..plain(case, value, "events/s", bar) })
    }

    fn appends(&self, journal: &std::sync::Arc<EmbeddedJournal>, workspace: &Workspace) -> Result<Figure, Failure> {
        let duration = super::round(self.arguments.seconds);
        let (mut rates, mut probes, mut latencies) = (Vec::new(), Vec::new(), Latencies::new());
        for round in 0..ROUNDS {
            let directory = workspace.path("empty");
            let empty = engine::open(&directory)?;
            let turn = appends::Turn { entities: self.arguments.entities, round, duration };
            probes.push(threads::serve(appends::run(turn, &empty))?.0);
            engine::close(&empty)?;
            drop(empty);
            std::fs::remove_dir_all(&directory).map_err(failed)?;
            let (rate, of_round) = threads::serve(appends::run(turn, journal))?;
            rates.push(rate);
            latencies.merge(&of_round);
        }
        let (value, probe) = (median(&rates), median(&probes));
        Ok(Figure {
            latencies: Some(latencies),
            probe: Some((probe, "events/s into an empty journal")),
            ratio: Some(value / probe),
            ..plain("replay append", value, "events/s", Some(Bar::RatioAtLeast(APPEND_RATIO_MIN)))
        })
    }
}

/// An entity with a thousand events, which lie all over the journal.
fn load(case: &str, journal: &EmbeddedJournal) -> Result<Figure, Failure> {
    let entity = long_entity()?;
    let mut latencies = Latencies::new();
    for number in 0..=LOADS {
        let begun = Instant::now();
        let events = threads::call(count(journal, Selection::Entity { entity: entity.clone(), from_sequence: 1 }))?;
        let elapsed = begun.elapsed();
        if events != LONG_EVENTS {
            return Err(failed(format!("the long entity has {events} events and not {LONG_EVENTS}")));
        }
        // The first one warms the cache.
        if number > 0 {
            latencies.add(elapsed);
        }
    }
    let value = latencies.percentile_us(500) / 1e3;
    let bar = Some(Bar::Below(LOAD_MS_MAX));
    Ok(Figure { latencies: Some(latencies), ..plain(case, value, "ms", bar) })
}

async fn count(journal: &EmbeddedJournal, selection: Selection) -> Result<u64, Failure> {
    let mut events = journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
    let mut count = 0;
    while let Some(event) = events.next().await {
        count += u64::from(is_event(&event.map_err(unread)?));
        while let Some(event) = events.at_hand() {
            count += u64::from(is_event(&event));
        }
    }
    Ok(count)
}

fn is_event(read: &journal::Read) -> bool {
    matches!(read, journal::Read::Event(_))
}

/// Reads the segments and does nothing with them.
fn read_raw(directory: &Path) -> std::io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "segment") {
            let mut file = std::fs::File::open(path)?;
            while std::io::Read::read(&mut file, &mut buffer)? > 0 {}
        }
    }
    Ok(())
}

fn memory(case: &str, bar: Option<Bar>) -> Result<Figure, Failure> {
    Ok(plain(case, memory_bytes("self", "RssAnon:")?, "bytes, anonymous", bar))
}

fn plain(case: &str, value: f64, unit: &'static str, bar: Option<Bar>) -> Figure {
    Figure { case: case.to_owned(), value, unit, latencies: None, probe: None, ratio: None, bar }
}

fn unread(error: ReadError) -> Failure {
    failed(format!("the journal is not read: {error}"))
}

fn failed(cause: impl std::fmt::Display) -> Failure {
    Failure::plain(Exit::Failed, format!("the replay failed: {cause}"))
}
