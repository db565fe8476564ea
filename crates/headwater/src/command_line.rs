//! The command line that every service binary carries, and its sibling `headwater` beside `demo` and `bench`.
//!
//! Data goes to standard output, talk to standard error, and every command takes `--json`. Without a command a service runs.

pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consumer;
pub mod describe;
pub(crate) mod destination;
pub(crate) mod entity;
pub(crate) mod erase;
pub(crate) mod events;
pub(crate) mod explain;
mod flags;
pub(crate) mod journal;
pub(crate) mod migrate;
mod nodes;
pub(crate) mod prove;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod send;
mod sight;
pub(crate) mod stream;
mod table;
pub(crate) mod timer;
pub(crate) mod topic;
pub(crate) mod verify;
pub(crate) mod view;
pub(crate) mod workflow;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{Settings, load, process_environment};
use crate::exit::{EXIT_CODES_HELP, Exit};
use crate::failure::Failure;
use crate::output;
use crate::service::Service;

pub use flags::GlobalFlags;
pub use run::{StopSignals, announce, data_as_told, start_as_told};
pub use verify::progress_bar;

/// What a service's own binary understands.
#[derive(Parser)]
#[command(version, about = "A Headwater service", after_help = EXIT_CODES_HELP)]
struct CommandLine {
    #[command(flatten)]
    flags: GlobalFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What can be done with a service.
#[derive(Subcommand)]
pub enum Command {
    /// Run the service until Ctrl-C or SIGTERM; a service's own binary does so without a command, too
    ///
    /// The first signal drains: no new commands, every accepted one is answered, then the process ends with 0.
    /// A second signal ends it at once, with 130 or 143; what was acknowledged is on disk either way.
    /// With --json one line on standard output tells the address once it listens: {"service","url","data","pid"}.
    Run,
    /// Send a command to an entity, and print its reply
    Send(send::Arguments),
    /// Read events, or move all of them to and from files
    #[command(subcommand)]
    Events(events::Command),
    /// Look at consumers, and decide about keys that they hold or have parked
    #[command(subcommand)]
    Consumer(consumer::Command),
    /// Look at whom actions call
    #[command(subcommand)]
    Destination(destination::Command),
    /// List the processes of the service, and what each of them does; the one that answers has a star
    Nodes,
    /// Look at entities
    #[command(subcommand)]
    Entity(entity::Command),
    /// Erase a subject: what is kept of its personal data cannot be read by anybody any more
    Erase(erase::Arguments),
    /// Look at streams, and at the streams of other services that come in
    #[command(subcommand)]
    Stream(stream::Command),
    /// Look at the shapes of commands, events and states, and check that the code reads what there is
    #[command(subcommand)]
    Schema(schema::Command),
    /// Look at timers, set and cancel them
    #[command(subcommand)]
    Timer(timer::Command),
    /// Publish messages to a topic
    #[command(subcommand)]
    Topic(topic::Command),
    /// Ask views, and look at them
    #[command(subcommand)]
    View(view::Command),
    /// Look at workflows, start, signal and cancel them
    #[command(subcommand)]
    Workflow(workflow::Command),
    /// Copy a data directory into another one, verified; the service may run
    ///
    /// Into an older backup of the same journal only what is new is copied. Prints the root over all events in the backup: kept elsewhere, it
    /// tells later whether the backup is as it was.
    Backup(backup::Backup),
    /// Make a data directory from a backup, whole or up to a point in time
    ///
    /// The new journal has a history of its own, with the old one as its parent: ids, times and sequences stay.
    Restore(backup::Restore),
    /// Move the journal to another engine, such as from a directory to a database; no process of the service may run
    ///
    /// All of it comes along as it is, into a history of its own that knows the old one: ids, times, sequences, replies, places of consumers.
    /// What is there is read back and has to have the root of the source. A run that was ended is gone on with by the same command.
    Migrate(migrate::Arguments),
    /// Look at the journal itself
    #[command(subcommand)]
    Journal(journal::Command),
    /// Read the whole data directory and tell what is damaged; the service must not run
    Verify(verify::Arguments),
    /// Print what the service says about itself, without running it
    #[command(subcommand)]
    Describe(describe::Document),
    /// Explain an error code, such as HW0012; without a code, list all
    Explain(explain::Arguments),
    /// Print a completion script for a shell
    Completions(completions::Arguments),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Command),
}

/// Parses the process's arguments and does what they say.
pub(crate) fn run(service: &Service) -> Exit {
    // Leaked once a process: clap wants names that live as long as it does.
    let name: &'static str = service.name().to_owned().leak();
    let grammar = CommandLine::command().name(name);
    let parsed = grammar.clone().try_get_matches().and_then(|matches| CommandLine::from_arg_matches(&matches));
    match parsed {
        Ok(line) => execute(service, &line.flags, &line.command.unwrap_or(Command::Run), grammar),
        Err(refusal) => usage(&refusal),
    }
}

/// Prints help, a version or what is wrong with the arguments.
pub fn usage(refusal: &clap::Error) -> Exit {
    // Whoever closed the terminal does not read it.
    let _ = refusal.print();
    if refusal.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// Does what the arguments say for a service; `grammar` is what completions are made from.
pub fn execute(service: &Service, flags: &GlobalFlags, command: &Command, grammar: clap::Command) -> Exit {
    let done = match command {
        Command::Explain(arguments) => explain::run(arguments, flags.json),
        Command::Completions(arguments) => completions::run(arguments, grammar),
        Command::Describe(document) => describe::run(*document, service),
        _ => settings(service, flags).and_then(|settings| with_settings(service, flags, command, &settings)),
    };
    ended(done, flags.json)
}

/// The exit code of what was done, after telling of a failure.
pub fn ended(done: Result<Exit, Failure>, as_json: bool) -> Exit {
    done.unwrap_or_else(|failure| output::report(&failure, as_json))
}

pub(crate) fn settings(service: &Service, flags: &GlobalFlags) -> Result<Settings, Failure> {
    load(&service.known_peers(flags.to_flags()), &process_environment)
}

fn with_settings(service: &Service, flags: &GlobalFlags, command: &Command, settings: &Settings) -> Result<Exit, Failure> {
    match command {
        Command::Run => run::run(service, settings, flags.json),
        Command::Send(arguments) => send::run(arguments, settings, flags.json),
        Command::Events(command) => events::run(command, service.name(), settings, flags.json),
        Command::Consumer(command) => consumer::run(command, settings, flags.json),
        Command::Destination(command) => destination::run(command, settings, flags.json),
        Command::Nodes => nodes::run(settings, flags.json),
        Command::Entity(command) => entity::run(command, settings, flags.json),
        Command::Erase(arguments) => erase::run(arguments, settings, flags.json),
        Command::Stream(command) => stream::run(command, settings, flags.json),
        Command::Schema(command) => schema::run(command, service, settings, flags.json),
        Command::Timer(command) => timer::run(command, settings, flags.json),
        Command::Workflow(command) => workflow::run(command, service, settings, flags.json),
        Command::Topic(command) => topic::run(command, settings, flags.json),
        Command::View(command) => view::run(command, settings, flags.json),
        Command::Backup(arguments) => backup::back_up_to(arguments, settings, flags.json),
        Command::Restore(arguments) => backup::restore_from(arguments, settings, flags.json),
        Command::Journal(command) => journal::run(command, settings, flags.json),
        Command::Migrate(arguments) => migrate::run(arguments, service.name(), settings, flags.json),
        Command::Verify(arguments) => verify::run(arguments, settings, flags.json),
        Command::Config(config::Command::Show) => config::show(settings, flags.json),
        Command::Explain(_) | Command::Completions(_) | Command::Describe(_) => unreachable!("these need no settings and were done before"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::CommandLine;

    #[test]
    fn the_grammar_holds_together() {
        CommandLine::command().debug_assert();
    }
}
