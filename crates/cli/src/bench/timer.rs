//! Timers: what one that waits costs in memory and on disk, how fast they are set and fired, and how late they are.
//!
//! The service is a small one, `bells`, on the embedded engine and in this process. Timers are set over HTTP, a thousand a request, and
//! cannot be told from those that wait for days. When a bell rang is the time of its event in the journal, which is read when the service has
//! stopped.

mod firing;
mod pending;
mod setting;

use clap::{Args, ValueEnum};
use headwater::Failure;
use headwater::command_line::GlobalFlags;

use super::report::Reporter;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// How fast many are set, and what each of them costs while it waits
    Pending,
    /// How fast many are fired that are due at once, and how late they are at half of that
    Firing,
}

/// Which cases, how many, how long.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only this case; may be repeated
    #[arg(long = "case", value_name = "CASE")]
    cases: Vec<Case>,
    /// Timers that wait
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pending: u64,
    /// Timers that are due at once, in each round
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    due: u64,
    /// Bells that they ring
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    bells: u64,
    /// Seconds of steady load, over all rounds; the probe takes as long again
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

pub(super) fn run(arguments: &Arguments, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let cases = if arguments.cases.is_empty() { Case::value_variants() } else { &arguments.cases };
    for case in cases {
        match case {
            Case::Pending => pending::run(arguments.pending, arguments.bells, flags, reporter)?,
            Case::Firing => firing::run((arguments.due, arguments.bells), super::round(arguments.seconds), flags, reporter)?,
        }
    }
    Ok(())
}
