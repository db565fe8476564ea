//! `peers-postgres`: durable commands to carts of Headwater on PostgreSQL beside the same carts in cqrs-es, and beside a bare client that sends the
//! engine's own statements, on one server, in alternated rounds of one run.
//!
//! Every side gets the same commands to the same carts, one after the other from each of its clients, and counts one when it is committed. A round
//! has every side once, in an order that turns, each in a schema of its own that is empty at first and dropped afterwards.

mod cart;
mod figures;
mod load;
mod measure;
mod probe;
mod server;
mod side;

// What `headwater bench` counts, prints and sends requests with, so that both speak of the same percentiles.
#[path = "../../../../crates/cli/src/bench/load.rs"]
#[allow(dead_code, reason = "each request has a key of its own here")]
mod http;
#[path = "../../../../crates/cli/src/bench/report.rs"]
#[allow(dead_code, reason = "other benches have other bars")]
mod report;
#[path = "../../../../crates/cli/src/bench/statistics.rs"]
mod statistics;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use headwater::{Exit, Failure, output, threads};

use load::Load;
use measure::Plan;
use report::Reporter;
use server::Server;
use side::Side;

#[global_allocator]
static ALLOCATOR: headwater::Allocator = headwater::Allocator;

/// What a machine that fails says of it.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Durable commands on PostgreSQL beside cqrs-es and a bare client. Ends with 1 when a bar is missed.
#[derive(Parser)]
struct Arguments {
    /// Only this side; may be repeated. A bar needs both of its sides
    #[arg(long = "side", value_name = "SIDE")]
    sides: Vec<Side>,
    /// Commands under way at once, each from a client that waits for its answer
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=512))]
    connections: u16,
    /// Carts that commands go to; of a hundred thousand nearly each is met for the first time in a round
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    entities: u32,
    /// Connections of cqrs-es's pool; it has 10 itself, and is not faster with more
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=512))]
    pool: u16,
    /// Rounds; an odd number has its median among them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seconds of load a side, over all its rounds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// A server that is there, such as postgres://user@host/database, whose user may make schemas; without one the program starts its own
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// A directory on the disk that is to be measured
    #[arg(long, value_name = "DIR", default_value = ".")]
    data: PathBuf,
    /// One object a line
    #[arg(long)]
    json: bool,
    /// Is a node of the service on this engine, until standard input ends
    #[arg(long, value_name = "URL", hide = true)]
    node: Option<String>,
}

fn main() -> Exit {
    let arguments = Arguments::parse();
    let done = match &arguments.node {
        Some(engine) => side::be_a_node(engine, &arguments.data),
        None => run(&arguments),
    };
    done.unwrap_or_else(|failure| output::report(&failure, arguments.json))
}

fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let directory = arguments.data.join(format!("peers-{}", std::process::id()));
    let mut reporter = Reporter::new(arguments.json);
    let measured = measured(arguments, &directory, &mut reporter);
    // What cannot be removed is left for the person to see.
    let _ = std::fs::remove_dir_all(&directory);
    measured.map_err(|error| Failure::plain(Exit::Failed, error.to_string()))?;
    Ok(reporter.exit())
}

fn measured(arguments: &Arguments, directory: &std::path::Path, reporter: &mut Reporter) -> Outcome<()> {
    std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}; name a directory with --data", directory.display()))?;
    // Programs that run for somebody else have another working directory.
    let directory = directory.canonicalize()?;
    let clients = usize::from(arguments.connections);
    let server = match &arguments.server {
        Some(url) => Server::named(url),
        None => Server::start(&directory.join("postgres"), clients.max(arguments.pool.into()))?,
    };
    let plan = Plan {
        sides: if arguments.sides.is_empty() { Side::ALL.to_vec() } else { arguments.sides.clone() },
        clients,
        pool: arguments.pool.into(),
        rounds: arguments.rounds as usize,
        load: Load {
            round: Duration::from_millis(arguments.seconds * 1000 / u64::from(arguments.rounds)),
            carts: arguments.entities as usize,
        },
    };
    let measured = threads::serve(async {
        let measured = measure::measure(&plan, &server, &directory).await;
        measured.map_err(|error| Failure::plain(Exit::Failed, error.to_string()))
    })?;
    measured.figures().iter().try_for_each(|figure| reporter.tell(figure))?;
    Ok(())
}
