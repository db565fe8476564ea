//! Views: how fast one catches up, how soon a command's row is there, and what those cost who read it live.
//!
//! The service is a small one, `meter`, on the embedded engine. Readers of a live query read the shop's, in a process of its own.

mod catch_up;
mod subscribers;
mod visible;

use clap::{Args, ValueEnum};
use headwater::Failure;
use headwater::command_line::GlobalFlags;

use super::report::Reporter;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// A million events over ten thousand keys
    #[value(name = "catch-up-10k")]
    CatchUp10k,
    /// A million events over two hundred thousand keys
    #[value(name = "catch-up-200k")]
    CatchUp200k,
    /// From an acknowledged command to its row, at half of the peak load
    Visible,
    /// Memory of ten thousand readers of one live query
    Subscribers,
    /// What a reader that does not read costs the others
    SlowReader,
}

/// Which cases, how long.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only this case; may be repeated
    #[arg(long = "case", value_name = "CASE")]
    cases: Vec<Case>,
    /// Seconds of load a case, over all its rounds; a catch-up takes as long as it takes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

pub(super) fn run(arguments: &Arguments, flags: &GlobalFlags, reporter: &mut Reporter) -> Result<(), Failure> {
    let cases = if arguments.cases.is_empty() { Case::value_variants() } else { &arguments.cases };
    let round = super::round(arguments.seconds);
    for case in cases {
        match case {
            Case::CatchUp10k => catch_up::run("10k", 10_000, flags, reporter)?,
            Case::CatchUp200k => catch_up::run("200k", 200_000, flags, reporter)?,
            Case::Visible => visible::run(round, flags, reporter)?,
            Case::Subscribers => subscribers::memory(flags, reporter)?,
            Case::SlowReader => subscribers::slow_reader(round, flags, reporter)?,
        }
    }
    Ok(())
}
