//! The rounds, and what is left of them.

use std::path::Path;

use engine_postgres::Address;
use headwater::output;

use crate::load::{Acknowledged, Load};
use crate::server::Server;
use crate::side::{Side, Turn};
use crate::statistics::{Latencies, median};
use crate::{Outcome, probe};

/// The raw disk is asked for this part of a round.
const PROBE_PART: u32 = 4;

/// What to do.
pub(crate) struct Plan {
    pub(crate) sides: Vec<Side>,
    pub(crate) clients: usize,
    pub(crate) pool: u32,
    pub(crate) rounds: usize,
    pub(crate) load: Load,
}

/// What came of it.
pub(crate) struct Measured {
    pub(crate) sides: Vec<OfSide>,
    /// Appends of 4 KiB that were synced a second, one a round.
    pub(crate) syncs: Vec<f64>,
}

/// The rounds of one side.
pub(crate) struct OfSide {
    pub(crate) side: Side,
    /// Commands a second, one a round.
    pub(crate) rates: Vec<f64>,
    pub(crate) latencies: Latencies,
}

impl OfSide {
    /// The median of its rounds.
    pub(crate) fn rate(&self) -> f64 {
        median(&self.rates)
    }
}

/// Runs the rounds.
pub(crate) async fn measure(plan: &Plan, server: &Server, directory: &Path) -> Outcome<Measured> {
    output::talk(format!("server: {}", server.described().await?));
    let of_side = |side: &Side| OfSide { side: *side, rates: Vec::new(), latencies: Latencies::new() };
    let mut measured = Measured { sides: plan.sides.iter().map(of_side).collect(), syncs: Vec::new() };
    for round in 0..plan.rounds {
        let syncs = tokio::task::block_in_place(|| probe::syncs(&directory.join("probe"), plan.load.round / PROBE_PART))?;
        output::talk(format!("round {}: fdatasync {syncs:.0}/s", round + 1));
        measured.syncs.push(syncs);
        for place in 0..plan.sides.len() {
            // Who begins changes from round to round.
            let of_side = &mut measured.sides[(round + place) % plan.sides.len()];
            let turn = Turn {
                server,
                service: format!("peers-{}-{round}-{place}", std::process::id()),
                directory: directory.join(format!("{round}-{place}")),
                clients: plan.clients,
                pool: plan.pool,
                load: plan.load,
            };
            let acknowledged = take_turn(of_side.side, &turn).await.map_err(|error| format!("{}: {error}", of_side.side.name()))?;
            output::talk(format!("round {}: {} {:.0} commands/s", round + 1, of_side.side.name(), acknowledged.rate()));
            of_side.rates.push(acknowledged.rate());
            of_side.latencies.merge(&acknowledged.latencies);
        }
    }
    Ok(measured)
}

/// Has a side take its turn in a schema of its own, and holds what it acknowledged to what is in the tables.
async fn take_turn(side: Side, turn: &Turn<'_>) -> Outcome<Acknowledged> {
    std::fs::create_dir_all(&turn.directory)?;
    let address = Address::new(turn.server.url(), Some(&turn.service))?;
    let (schema, admin) = (address.schema(), turn.server.connect().await?);
    // None writes pages out that another one has left. A server that is somebody else's may not let us.
    let _ = admin.batch_execute("CHECKPOINT").await;
    let ran = side.run(turn, schema).await;
    let counted = match &ran {
        Ok(_) => admin.query_one(&format!("SELECT count(*) FROM {schema}.{}", side.events()), &[]).await.map(|row| row.get::<_, i64>(0)),
        Err(_) => Ok(0),
    };
    admin.batch_execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).await?;
    let (acknowledged, events) = (ran?, counted?);
    if i64::try_from(acknowledged.commands)? != events {
        return Err(format!("{} commands were acknowledged, and there are {events} events", acknowledged.commands).into());
    }
    Ok(acknowledged)
}
