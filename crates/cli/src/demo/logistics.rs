//! `headwater demo --story logistics`: shipments that travel for days, while people, lorries and customs of the demo answer their workflows
//! over HTTP. An hour takes a tenth of a second. At the end what became of each stands beside what was planned for it, and every piece
//! must be somewhere.
//!
//! It may be killed at any moment and started again: workflows go on where they were, and what the world says has ids, so that nothing is
//! said twice.

mod fate;
mod verdict;
mod world;

use std::time::Instant;

use clap::Args;
use headwater::command_line::{GlobalFlags, StopSignals, announce, start_as_told};
use headwater::{Exit, Failure, Running, output};

use super::story::Telling;
use crate::logistics;
use verdict::Verdict;
use world::World;

/// The story of the shipments.
#[derive(Args)]
#[command(next_help_heading = "With --story logistics")]
pub(super) struct LogisticsArguments {
    /// How many shipments there are
    #[arg(long, requires = "story", value_name = "COUNT", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    shipments: u32,
    /// How long an hour takes, in milliseconds
    #[arg(long, requires = "story", value_name = "MILLISECONDS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    hour_ms: u64,
}

/// Its service, for who wants to know what it says about itself.
pub(super) fn described() -> headwater::Service {
    logistics::service(3_600_000)
}

/// Runs the story.
pub(super) async fn serve(arguments: &LogisticsArguments, telling: Telling, flags: &GlobalFlags) -> Result<Exit, Failure> {
    let mut stop = StopSignals::listen()?;
    let running = start_as_told(&logistics::service(arguments.hour_ms), flags).await?;
    if flags.json || !telling.quiet {
        announce(logistics::NAME, &running, flags.json)?;
    }
    let told = tokio::select! {
        told = tell(arguments, telling, flags.json, &running) => told,
        () = stop.wait() => {
            let ended = stop.drain(running).await?;
            return Ok(if telling.is_empty { ended } else { super::interrupted(ended) });
        }
    };
    match told {
        Ok(is_well) if telling.exits => {
            running.stop().await;
            Ok(if is_well { Exit::Done } else { Exit::Failed })
        }
        Ok(is_well) => {
            stop.wait().await;
            let ended = stop.drain(running).await?;
            Ok(if is_well { ended } else { Exit::Failed })
        }
        Err(failure) => {
            running.stop().await;
            Err(failure)
        }
    }
}

/// Starts the shipments, lets the world answer them, and compares; whether every piece is somewhere.
async fn tell(arguments: &LogisticsArguments, telling: Telling, as_json: bool, running: &Running) -> Result<bool, Failure> {
    let url = running.url();
    if telling.is_empty {
        where_to_look(url, telling, as_json);
        return if telling.exits { Ok(true) } else { std::future::pending().await };
    }
    if !telling.quiet && !as_json {
        output::talk(format!("{} shipments; an hour takes {} ms, and none of them is real", arguments.shipments, arguments.hour_ms));
    }
    let (begun, world) = (Instant::now(), World::new(running.client().clone(), url, arguments.hour_ms, !telling.quiet && !as_json));
    world.prepare(arguments.shipments).await?;
    let answering = tokio::spawn(world.clone().answer());
    let ended = world.ended(arguments.shipments).await;
    answering.abort();
    let verdict = Verdict::of(&ended?, world.accounts().await?, begun.elapsed());
    verdict.print(as_json)?;
    where_to_look(url, telling, as_json);
    Ok(verdict.is_balanced())
}

/// Lines to copy into another terminal.
fn where_to_look(url: &str, telling: Telling, as_json: bool) {
    if telling.quiet || as_json || telling.exits {
        return;
    }
    let program = super::guide::program();
    let order = r#"{"shipper":"me","supplier":"mill","pieces":1,"carriers":["swift","steady"],"route":["Basel","Lyon"],"customs_at":null}"#;
    let position = r#"{"shipment":"mine","status":"picked-up","place":"mill"}"#;
    let lines = [
        String::new(),
        "Look around from another terminal, and ship something of your own (be quick, or nobody will have answered in time):".to_owned(),
        format!("  {program} --url {url} workflow list delivery"),
        format!("  {program} --url {url} workflow timeline delivery s-0001"),
        format!("  curl -N -H 'accept: text/event-stream' {url}/v1/views/tracking/live"),
        format!("  {program} --url {url} workflow start delivery mine '{order}'"),
        format!("  {program} --url {url} workflow signal delivery mine answered '{{\"carrier\":\"swift\",\"accepts\":true}}'"),
        format!("  {program} --url {url} topic publish positions '{position}' --subject mine"),
        format!("  {program} --url {url} workflow show delivery mine"),
        "Ctrl-C stops; the data stays.".to_owned(),
    ];
    lines.iter().for_each(output::talk);
}
