//! The service that `bench timer` measures: bells that timers ring. Each ring remembers when its timer was due.

use headwater::prelude::*;

/// A bell.
#[derive(Debug, Default, State)]
pub(super) struct Bell {
    rings: u64,
}

/// What timers send to it.
#[derive(Command)]
pub(super) enum BellCommand {
    /// Rings it.
    #[command("ring")]
    Ring {
        /// In which round of the bench.
        round: u32,
    },
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Event)]
pub(super) enum BellEvent {
    /// It rang.
    #[event("rang")]
    Rang {
        /// In which round of the bench.
        round: u32,
        /// When the timer was due: microseconds since 1970, UTC.
        due: i64,
    },
}

impl Entity for Bell {
    const NAME: &'static str = "bell";
    type Command = BellCommand;
    type Event = BellEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: BellCommand, context: &CommandContext) -> Result<Decision<BellEvent>, Self::Rejection> {
        let BellCommand::Ring { round } = command;
        Ok(record(BellEvent::Rang { round, due: context.timer_due_micros.unwrap_or_default() }))
    }

    fn evolve(&mut self, _: &BellEvent) {
        self.rings += 1;
    }
}

/// The service.
pub(super) fn service() -> Service {
    Service::new("belfry").entity::<Bell>()
}
