//! What has left the house: one entity for each cart whose way has come to its end.

use headwater::prelude::*;

/// A cart that has left, once.
#[derive(Debug, Default, PartialEq, State)]
pub(crate) struct Dispatch {
    pub(crate) sent: bool,
}

/// What the packers do with it.
#[derive(Debug, Command)]
pub(crate) enum DispatchCommand {
    /// Sends it.
    #[command("send")]
    Send {
        /// How many pieces.
        pieces: u32,
        /// What was paid.
        cents: u64,
    },
}

/// What happened to it.
#[derive(Debug, PartialEq, Event)]
pub(crate) enum DispatchEvent {
    /// It has left.
    #[event("sent")]
    Sent {
        /// How many pieces.
        pieces: u32,
        /// What was paid.
        cents: u64,
    },
}

/// Why it is not sent.
#[derive(Debug, PartialEq, Rejection)]
pub(crate) enum DispatchRejection {
    /// It has left already.
    #[rejection("already-sent", "it has left already")]
    AlreadySent,
}

impl Entity for Dispatch {
    const NAME: &'static str = "dispatch";
    type Command = DispatchCommand;
    type Event = DispatchEvent;
    type Reply = ();
    type Rejection = DispatchRejection;

    fn decide(&self, command: DispatchCommand, _: &CommandContext) -> Result<Decision<DispatchEvent>, DispatchRejection> {
        let DispatchCommand::Send { pieces, cents } = command;
        if self.sent { Err(DispatchRejection::AlreadySent) } else { Ok(record(DispatchEvent::Sent { pieces, cents })) }
    }

    fn evolve(&mut self, _: &DispatchEvent) {
        self.sent = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leaves_once() {
        let send = || DispatchCommand::Send { pieces: 2, cents: 7 };
        given::<Dispatch>([]).when(send()).then([DispatchEvent::Sent { pieces: 2, cents: 7 }]);
        given::<Dispatch>([DispatchEvent::Sent { pieces: 2, cents: 7 }]).when(send()).rejected(DispatchRejection::AlreadySent);
    }
}
