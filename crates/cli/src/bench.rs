//! `headwater bench`: what this machine reaches, each figure beside a raw probe of the same machine in the same run.
//!
//! Rounds of probe and case alternate and the medians are told: a busy host moves one round, not the verdict.

mod bells;
mod command;
mod flow;
mod idle;
mod journal;
mod load;
mod meter;
mod probe;
mod process;
mod readings;
mod replay;
mod report;
mod statistics;
mod timer;
mod tracks;
mod view;
mod workflow;
mod workspace;
mod written;

use clap::{Args, Subcommand};
use headwater::command_line::GlobalFlags;
use headwater::{Exit, Failure};

/// Rounds of each case; an odd number, so that the median is one of them.
const ROUNDS: u32 = 5;

/// What to measure. Each figure is one line (with --json one object): case, value, unit, percentiles, probe, ratio, bar, met.
/// A figure that misses its bar ends the run with 1.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Appends to the embedded journal: WRITERSxEVENTS tasks and events a commit, of 200 bytes each
    Journal(Arguments),
    /// Durable commands over HTTP keep-alive, beside an axum handler that only echoes: CONNECTIONSxENTITIES
    #[command(name = "command")]
    Commands(Arguments),
    /// Views: catching up beside raw upserts, from a command to its row, and readers of a live query
    View(view::Arguments),
    /// From an event over an action and its command to the next event, and a key that always fails among others
    Flow(flow::Arguments),
    /// Timers: what one that waits costs, how fast they are set and fired, and how late they are
    Timer(timer::Arguments),
    /// Workflows of three durable steps over HTTP, alone and 64 at once, and a hundred thousand that wait
    Workflow(workflow::Arguments),
    /// A journal of ten million events: opening it, its memory, reading it, and appends to it beside an empty one
    Replay(replay::Arguments),
    /// A service that does nothing: memory, disk, and the time from its start until it is ready
    Idle(Arguments),
}

/// Which cases, how long.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only this case, such as 64x1; may be repeated
    #[arg(long = "case", value_name = "AxB")]
    cases: Vec<Case>,
    /// Seconds of load a case, over all its rounds; the probe takes as long again
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// Two numbers that name a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case(usize, usize);

impl std::str::FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('x').and_then(|(left, right)| Some((left.parse().ok()?, right.parse().ok()?)));
        parts
            .filter(|(left, right)| *left > 0 && *right > 0)
            .map(|(left, right)| Self(left, right))
            .ok_or_else(|| "must be two numbers, such as 64x1".to_owned())
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}x{}", self.0, self.1)
    }
}

impl Arguments {
    fn cases(&self, all: &[Case]) -> Vec<Case> {
        if self.cases.is_empty() { all.to_vec() } else { self.cases.clone() }
    }

    fn round(&self) -> std::time::Duration {
        round(self.seconds)
    }
}

/// How long one round goes on.
fn round(seconds: u64) -> std::time::Duration {
    std::time::Duration::from_millis(seconds * 1000 / u64::from(ROUNDS))
}

/// Runs a bench.
pub(crate) fn run(command: &Command, flags: &GlobalFlags) -> Result<Exit, Failure> {
    let mut reporter = report::Reporter::new(flags.json);
    match command {
        Command::Journal(arguments) => journal::run(arguments, flags, &mut reporter)?,
        Command::Commands(arguments) => command::run(arguments, flags, &mut reporter)?,
        Command::View(arguments) => view::run(arguments, flags, &mut reporter)?,
        Command::Flow(arguments) => flow::run(arguments, flags, &mut reporter)?,
        Command::Timer(arguments) => timer::run(arguments, flags, &mut reporter)?,
        Command::Workflow(arguments) => workflow::run(arguments, flags, &mut reporter)?,
        Command::Replay(arguments) => replay::run(arguments, flags, &mut reporter)?,
        Command::Idle(_) => idle::run(flags, &mut reporter)?,
    }
    Ok(reporter.exit())
}
