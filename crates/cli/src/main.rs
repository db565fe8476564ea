//! The `headwater` binary: a shop to play with, benches with their own probes, and the command line of every service.

mod bench;
mod cards;
mod demo;
mod logistics;
mod shop;

use clap::{CommandFactory as _, Parser, Subcommand};
use headwater::command_line::{self, GlobalFlags, ended, execute, usage};
use headwater::prelude::Service;
use headwater::{EXIT_CODES_HELP, Exit};

#[global_allocator]
static ALLOCATOR: headwater::Allocator = headwater::Allocator;

/// Headwater: you write the rules, it runs the flow
#[derive(Parser)]
#[command(name = "headwater", version, after_help = EXIT_CODES_HELP, arg_required_else_help = true)]
struct CommandLine {
    #[command(flatten)]
    flags: GlobalFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a shop and play a day of trade, or a year of real invoices, through its HTTP API
    #[command(after_help = EXIT_CODES_HELP)]
    Demo(demo::Arguments),
    /// Measure journal, command path, views, hops and idle service, each beside its own raw probe
    #[command(subcommand, after_help = EXIT_CODES_HELP)]
    Bench(bench::Command),
    #[command(flatten)]
    Service(command_line::Command),
}

fn main() -> Exit {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(refusal) => return usage(&refusal),
    };
    let flags = &line.flags;
    match &line.command {
        Command::Demo(arguments) => ended(demo::run(arguments, flags), flags.json),
        Command::Bench(command) => ended(bench::run(command, flags), flags.json),
        Command::Service(command) => execute(&service_of(command), flags, command, CommandLine::command()),
    }
}

/// What is asked of the code is asked of all of the shop's; to run it takes no services beside it.
fn service_of(command: &command_line::Command) -> Service {
    match command {
        command_line::Command::Schema(_) | command_line::Command::Workflow(_) => shop::as_described(),
        _ => shop::service(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_holds_together() {
        super::CommandLine::command().debug_assert();
    }
}
