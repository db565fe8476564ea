//! `headwater demo --story cards`: generated payments go through the checks of a running service, alerts are shown as they come, and at
//! the end they are compared with a model that knows no windows.
//!
//! It may be killed at any moment and started again, with one check more: payments have ids, so what was taken is not taken twice.

mod alerts;
mod till;
mod verdict;

use std::sync::Arc;

use clap::{Args, ValueEnum};
use headwater::command_line::{GlobalFlags, StopSignals, announce, start_as_told};
use headwater::prelude::Start;
use headwater::{Exit, Failure, Running, output};

use crate::cards::generated::{Generated, payments};
use crate::cards::{self, CheckName};
use alerts::Watch;
use till::Till;
use verdict::Verdict;

/// How fast payments come unless something else is said.
const PAYMENTS_PER_SECOND: u32 = 500;

/// What the story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Story {
    /// A shop and its day of trade
    Shop,
    /// Card fraud in a stream of generated payments
    Cards,
    /// Shipments that travel for days, each a workflow
    Logistics,
}

/// Where a check begins that is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Begin {
    /// With the payments that come from then on
    Now,
    /// With the first payment that the service ever took
    First,
}

/// The story of the cards.
#[derive(Args)]
#[command(next_help_heading = "With --story cards")]
pub(super) struct CardsArguments {
    /// How many payments are generated
    #[arg(long, requires = "story", value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    payments: u32,
    /// Which stream of payments: the same seed generates the same one
    #[arg(long, requires = "story", value_name = "NUMBER", default_value_t = 7)]
    seed: u64,
    /// Which checks are at work: start again with one more, and the others go on where they were
    #[arg(long, requires = "story", value_name = "CHECKS", value_enum, value_delimiter = ',', default_values = ["velocity", "spending", "travel"])]
    checks: Vec<CheckName>,
    /// Where a check begins that is new
    #[arg(long, requires = "story", value_enum, default_value = "now")]
    begin: Begin,
}

impl CardsArguments {
    fn start(&self) -> Start {
        match self.begin {
            Begin::Now => Start::Now,
            Begin::First => Start::First,
        }
    }

    /// Each check once, whatever was typed.
    fn checks(&self) -> Vec<CheckName> {
        CheckName::value_variants().iter().filter(|check| self.checks.contains(check)).copied().collect()
    }

    fn stream(&self) -> Vec<Generated> {
        payments(self.seed).take(self.payments as usize).collect()
    }
}

/// How the story is told.
#[derive(Clone, Copy)]
pub(super) struct Telling {
    pub(super) exits: bool,
    pub(super) is_empty: bool,
    pub(super) quiet: bool,
    /// Payments a second, when it was said.
    pub(super) rate: Option<u32>,
}

/// Runs the story.
pub(super) async fn serve(arguments: &CardsArguments, telling: Telling, flags: &GlobalFlags) -> Result<Exit, Failure> {
    let mut stop = StopSignals::listen()?;
    let checks = arguments.checks();
    let running = start_as_told(&cards::service(&checks, arguments.start()), flags).await?;
    if flags.json || !telling.quiet {
        announce(cards::NAME, &running, flags.json)?;
    }
    let told = tokio::select! {
        told = tell(arguments, &checks, telling, flags.json, &running) => told,
        () = stop.wait() => {
            let ended = stop.drain(running).await?;
            return Ok(if telling.is_empty { ended } else { super::interrupted(ended) });
        }
    };
    let is_well = match told {
        Ok(is_well) => is_well,
        Err(failure) => {
            running.stop().await;
            return Err(failure);
        }
    };
    if telling.exits {
        running.stop().await;
    } else {
        stop.wait().await;
        let ended = stop.drain(running).await?;
        if ended != Exit::Done {
            return Ok(ended);
        }
    }
    Ok(if is_well { Exit::Done } else { Exit::Failed })
}

/// Publishes, shows and compares; whether the alerts are those of the model.
async fn tell(
    arguments: &CardsArguments,
    checks: &[CheckName],
    telling: Telling,
    as_json: bool,
    running: &Running,
) -> Result<bool, Failure> {
    let url = running.url();
    if telling.is_empty {
        where_to_look(url, telling, as_json, None);
        return if telling.exits { Ok(true) } else { std::future::pending().await };
    }
    let (stream, rate) = (arguments.stream(), telling.rate.unwrap_or(PAYMENTS_PER_SECOND));
    if !telling.quiet && !as_json {
        output::talk(format!("{} generated payments, {} a second; none of them is real", stream.len(), rate));
    }
    let watch = Watch::begin(url, checks, telling.quiet, as_json).await?;
    let watching = tokio::spawn(Arc::clone(&watch).follow());
    let published = Till::new(url, rate, Arc::clone(&watch))?.publish(&stream).await;
    let verdict = match published {
        Ok(replayed) => {
            // A check that began later than the stream has not seen all of it.
            let judges = replayed == 0 || arguments.begin == Begin::First;
            Verdict::reached(&watch, &stream, checks, replayed, judges).await
        }
        Err(failure) => Err(failure),
    };
    watching.abort();
    let verdict = verdict?;
    verdict.print(as_json)?;
    where_to_look(url, telling, as_json, stream.last());
    Ok(verdict.is_well())
}

/// Lines to copy into another terminal.
fn where_to_look(url: &str, telling: Telling, as_json: bool, last: Option<&Generated>) {
    if telling.quiet || as_json || telling.exits {
        return;
    }
    // The checks live in the time of the payments: one of another year would be late, or make all others late.
    let at_ms = last.map_or(1_767_225_600_000, |last| last.payment.at_ms + 1_000);
    let payment = format!(r#"{{"card":"my-card","merchant":"books","country":"DE","amount":"600.00","at_ms":{at_ms}}}"#);
    let lines = [
        String::new(),
        "Look around from another terminal (two of these payments are more than 1,000 within an hour):".to_owned(),
        format!("  curl {url}/v1/topics/payments -H 'ce-specversion: 1.0' -H 'ce-id: mine-1' -H 'ce-source: /me' -H 'ce-type: payment' \\"),
        format!("    -H 'ce-subject: my-card' -H 'content-type: application/json' -d '{payment}'"),
        format!("  curl {url}/v1/views/alerts/latest"),
        format!("  curl -N -H 'accept: text/event-stream' {url}/v1/views/alerts/latest"),
        format!("  curl '{url}/v1/streams/cards?type=spending&type=card&limit=3'"),
        format!("  curl {url}/v1/views/alerts/blocked"),
        "Ctrl-C stops; the data stays.".to_owned(),
    ];
    lines.iter().for_each(output::talk);
}
