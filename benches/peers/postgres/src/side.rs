//! The sides: each runs a load of a round in a schema of its own.

mod bare;
mod cqrs;
mod engine;
mod in_process;
mod node;

use std::path::PathBuf;

use clap::ValueEnum;

use crate::Outcome;
use crate::load::{Acknowledged, Load};
use crate::server::Server;

pub(crate) use node::be_a_node;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// A whole service, in a process of its own, over HTTP by connections that are kept
    Headwater,
    /// Two nodes of the service, each in a process of its own, with half of the connections each
    TwoNodes,
    /// The service's runtime without HTTP, in this process
    HeadwaterRuntime,
    /// The engine alone, in this process: appends of what the service would write
    HeadwaterEngine,
    /// cqrs-es 0.5 with postgres-es, in this process
    CqrsEs,
    /// The driver alone: one connection that sends the engine's own statements, as large batches as wait
    Bare,
}

/// One side's part of a round.
pub(crate) struct Turn<'a> {
    pub(crate) server: &'a Server,
    /// A name that no other turn has.
    pub(crate) service: String,
    /// For what is not in the database.
    pub(crate) directory: PathBuf,
    pub(crate) clients: usize,
    /// Connections of a pool.
    pub(crate) pool: u32,
    pub(crate) load: Load,
}

impl Turn<'_> {
    /// The URL of an engine in its schema.
    fn engine(&self) -> String {
        self.server.engine(&self.service)
    }
}

impl Side {
    pub(crate) const ALL: [Self; 6] =
        [Self::Headwater, Self::TwoNodes, Self::HeadwaterRuntime, Self::HeadwaterEngine, Self::CqrsEs, Self::Bare];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Headwater => "headwater",
            Self::TwoNodes => "two-nodes",
            Self::HeadwaterRuntime => "headwater-runtime",
            Self::HeadwaterEngine => "headwater-engine",
            Self::CqrsEs => "cqrs-es",
            Self::Bare => "bare",
        }
    }

    /// The events of carts in its schema, as a query has them. The platform's own are none.
    pub(crate) fn events(self) -> &'static str {
        if self == Self::CqrsEs { "events" } else { "event WHERE kind = 'cart'" }
    }

    /// Runs its part of a round.
    pub(crate) async fn run(self, turn: &Turn<'_>, schema: &str) -> Outcome<Acknowledged> {
        match self {
            Self::Headwater => node::run(turn, 1).await,
            Self::TwoNodes => node::run(turn, 2).await,
            Self::HeadwaterRuntime => in_process::run(turn).await,
            Self::HeadwaterEngine => engine::run(turn).await,
            Self::CqrsEs => cqrs::run(turn, schema).await,
            Self::Bare => bare::run(turn, schema).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::Side;

    #[test]
    fn all_sides_are_measured_and_bear_their_names() {
        assert_eq!(Side::value_variants().len(), Side::ALL.len());
        for side in Side::ALL {
            assert_eq!(side.to_possible_value().expect("none is hidden").get_name(), side.name());
        }
    }
}
