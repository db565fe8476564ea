//! `headwater demo`: a shop on an embedded journal, with a day of trade or a year of real invoices played through its public
//! HTTP API.
//!
//! A demo may be killed at any moment and started again: every command carries a key of its own, so what took effect does
//! not take effect twice. What it prints at the end it has read back over HTTP.

mod guide;
mod logistics;
mod play;
mod reading;
mod retail;
mod script;
mod services;
mod story;
mod totals;
mod trade;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use headwater::command_line::describe::{self, Document};
use headwater::command_line::{GlobalFlags, StopSignals};
use headwater::prelude::Start;
use headwater::{Exit, Failure, Running, output, threads};
use serde_json::json;

use crate::cards::CheckName;

use crate::{cards, shop};
use logistics::LogisticsArguments;
use play::{Play, Played};
use services::Services;
use story::{CardsArguments, Story, Telling};

/// All checks of the cards.
const CHECKS: [CheckName; 3] = [CheckName::Velocity, CheckName::Spending, CheckName::Travel];

/// What the demo plays, and how it ends.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Which story is played
    #[arg(long, value_enum, default_value = "shop")]
    story: Story,
    /// Play every invoice line of this file (online-retail.csv or .csv.zst) instead of the generated day
    #[arg(long, value_name = "FILE")]
    retail: Option<PathBuf>,
    /// Play only so many lines of the file
    #[arg(long, value_name = "LINES", requires = "retail")]
    limit: Option<u64>,
    /// Start nothing: add up all orders of the shop at this URL, and print the totals
    #[arg(long, value_name = "URL", conflicts_with_all = ["retail", "empty", "exit", "rate"])]
    retail_totals: Option<String>,
    /// Start nothing: play through the nodes of a shop that runs, at these URLs; one that fails is left for the next
    #[arg(long, value_name = "URL", conflicts_with_all = ["retail_totals", "empty", "exit"])]
    at: Vec<String>,
    /// Play nothing: just run the shop
    #[arg(long, conflicts_with_all = ["retail"])]
    empty: bool,
    /// End when everything is played, instead of staying until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// How many keep-alive connections play
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Play at most so many commands a second, slowly enough to watch the order board; payments with --story cards [default there: 500]
    #[arg(long, value_name = "COUNT", conflicts_with = "empty", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Run the shop alone, without the services of stock and payment beside it
    #[arg(long)]
    alone: bool,
    /// Let carts keep their last so many events only: retention, as `journal compact` and `journal status` show it
    #[arg(long, value_name = "EVENTS")]
    keep_last: Option<u64>,
    /// Say only what was asked for
    #[arg(long)]
    quiet: bool,
    /// Start nothing: print what the story's service says about itself
    #[arg(long, value_enum, hide = true)]
    describe: Option<Document>,
    #[command(flatten)]
    cards: CardsArguments,
    #[command(flatten)]
    logistics: LogisticsArguments,
}

/// Runs the demo.
pub(crate) fn run(arguments: &Arguments, flags: &GlobalFlags) -> Result<Exit, Failure> {
    if let Some(document) = arguments.describe {
        let service = match arguments.story {
            Story::Shop => shop::service(),
            Story::Cards => cards::service(&CHECKS, Start::First),
            Story::Logistics => logistics::described(),
        };
        return describe::run(document, &service);
    }
    match &arguments.retail_totals {
        Some(url) => print_totals(url, flags.json),
        None if arguments.story != Story::Shop && arguments.retail.is_some() => {
            Err(Failure::plain(Exit::Usage, "--retail plays invoices of the shop; leave out --story, or --retail"))
        }
        None if arguments.story == Story::Cards => threads::serve(story::serve(&arguments.cards, arguments.telling(), flags)),
        None if arguments.story == Story::Logistics => threads::serve(logistics::serve(&arguments.logistics, arguments.telling(), flags)),
        None if !arguments.at.is_empty() => {
            let play = chosen(arguments)?;
            threads::call(play_and_tell(arguments, flags.json, play, &arguments.at)).map(|()| Exit::Done)
        }
        None => {
            let play = chosen(arguments)?;
            threads::serve(serve(arguments, flags, play))
        }
    }
}

impl Arguments {
    fn telling(&self) -> Telling {
        Telling { exits: self.exit, is_empty: self.empty, quiet: self.quiet, rate: self.rate }
    }
}

fn print_totals(url: &str, as_json: bool) -> Result<Exit, Failure> {
    let totals = threads::call(reading::totals(url))?;
    if as_json {
        output::json(&totals.to_json())?
    } else {
        guide::print_totals(&totals)?
    }
    Ok(Exit::Done)
}

/// What will be played. A file is read first: a wrong one starts nothing.
fn chosen(arguments: &Arguments) -> Result<Option<Play>, Failure> {
    match &arguments.retail {
        _ if arguments.empty => Ok(None),
        Some(file) => retail_play(file, arguments).map(Some),
        None => Ok(Some(generated_play())),
    }
}

fn generated_play() -> Play {
    let day = trade::day();
    let commands = day.iter().map(|script| script.commands.len() as u64).sum();
    Play::new(day.into_iter(), commands)
}

fn retail_play(file: &Path, arguments: &Arguments) -> Result<Play, Failure> {
    if !arguments.quiet {
        output::talk(format!("reading {}", file.display()));
    }
    let invoices = retail::read(file, arguments.limit)?;
    let commands = invoices.iter().map(retail::Invoice::command_count).sum();
    Ok(Play::new(invoices.into_iter().map(|invoice| invoice.script()), commands))
}

async fn serve(arguments: &Arguments, flags: &GlobalFlags, play: Option<Play>) -> Result<Exit, Failure> {
    let mut stop = StopSignals::listen()?;
    let services = Services::start(arguments, flags).await?;
    if flags.json || !arguments.quiet {
        services.announce(flags.json)?;
    }
    let played = tokio::select! {
        played = perform(arguments, flags.json, play, &services.shop) => played,
        () = stop.wait() => {
            let ended = services.drain(&mut stop).await?;
            return Ok(if arguments.empty { ended } else { interrupted(ended) });
        }
    };
    if played.is_err() || arguments.exit {
        services.stop().await;
        return played.map(|()| Exit::Done);
    }
    stop.wait().await;
    services.drain(&mut stop).await
}

/// A demo that was stopped before its end has not failed, but it is not done either.
fn interrupted(ended: Exit) -> Exit {
    output::talk("stopped before the end: the same command goes on from here");
    if ended == Exit::Done { Exit::Failed } else { ended }
}

/// Plays, reads back, and says where to look.
async fn perform(arguments: &Arguments, as_json: bool, play: Option<Play>, running: &Running) -> Result<(), Failure> {
    let url = running.url();
    if !arguments.quiet && !as_json {
        guide::where_to_watch(url);
    }
    play_and_tell(arguments, as_json, play, &[url.to_owned()]).await?;
    if !arguments.quiet && !as_json {
        guide::where_to_look(url, reading::first_order(url).await?.as_deref(), arguments.alone, arguments.exit);
    }
    if arguments.empty && !arguments.exit { std::future::pending().await } else { Ok(()) }
}

/// Plays through these nodes, and reads back from the last one that is there.
async fn play_and_tell(arguments: &Arguments, as_json: bool, play: Option<Play>, urls: &[String]) -> Result<(), Failure> {
    let Some(play) = play else { return Ok(()) };
    let begun = Instant::now();
    let played = play.at_most(arguments.rate).run(urls, arguments.connections, !arguments.quiet && !as_json).await?;
    let url = reading::reachable(urls).await?;
    let totals = reading::totals(&url).await?;
    let products = reading::top_products(&url, 5).await?;
    if as_json {
        let seconds = begun.elapsed().as_secs_f64();
        return output::json(&json!({ "played": played.to_json(), "totals": totals.to_json(), "products": products, "seconds": seconds }));
    }
    report(&played, begun, arguments.quiet);
    guide::print_totals(&totals)?;
    guide::print_products(&products)
}

fn report(played: &Played, begun: Instant, quiet: bool) {
    if !quiet {
        output::talk(format!("played {played} in {:.1} s; read back over HTTP:", begun.elapsed().as_secs_f64()));
    }
}
