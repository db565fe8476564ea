//! `peers-journal`: durable appends to the embedded journal beside other stores, in alternated rounds of one run.
//!
//! Every side gets the same events of 200 bytes and is asked to acknowledge each commit only when it is on disk. A round has every
//! side once, in an order that turns, each on a directory of its own that is removed afterwards; the medians over the rounds are told.
//! Raw writes to the same disk are measured in every round too.

mod bars;
mod case;
mod device;
mod figure;
mod load;
mod measure;
mod probe;
mod report;
mod side;
mod workspace;

// What `headwater bench` counts with, so that both speak of the same percentiles.
#[path = "../../../../crates/cli/src/bench/statistics.rs"]
#[allow(dead_code, reason = "dice are for the other benches")]
mod statistics;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use case::{CASES, Case};
use report::Reporter;
use side::Side;
use workspace::Workspace;

/// What a machine that fails says of it.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Durable appends beside other stores. Ends with 1 when a bar is missed, with 2 when something failed.
#[derive(Parser)]
struct Arguments {
    /// Only this case, WRITERSxEVENTS, such as 64x1; may be repeated
    #[arg(long = "case", value_name = "AxB")]
    cases: Vec<Case>,
    /// Only this side; may be repeated. Ratios need tephra among them
    #[arg(long = "side", value_name = "SIDE")]
    sides: Vec<Side>,
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

impl Arguments {
    fn cases(&self) -> &[Case] {
        if self.cases.is_empty() { &CASES } else { &self.cases }
    }

    /// Those that are there; what is not is said.
    fn sides(&self) -> Vec<Side> {
        let wanted = if self.sides.is_empty() { Side::ALL } else { &self.sides };
        let is_present = |side: &Side| side.present().inspect_err(|reason| eprintln!("{reason}")).is_ok();
        wanted.iter().copied().filter(is_present).collect()
    }

    fn round(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.seconds * 1000 / u64::from(self.rounds))
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every bar was met.
fn run(arguments: &Arguments) -> Outcome<bool> {
    let workspace = Workspace::new(&arguments.data)?;
    let mut probe = probe::DiskProbe::prepare(&workspace.path("probe"))?;
    let mut reporter = Reporter::new(arguments.json);
    let sides = arguments.sides();
    for case in arguments.cases() {
        let sides: Vec<Side> = sides.iter().copied().filter(|side| side.takes(*case)).collect();
        let plan = measure::Plan { case: *case, sides: &sides, rounds: arguments.rounds, round: arguments.round() };
        let measured = measure::measure(&plan, &mut probe, &workspace)?;
        reporter.tell(&measured.figures())?;
    }
    Ok(reporter.all_met())
}
