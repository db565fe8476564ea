//! A shipment, as whoever waits for it can follow it. It records what it is told: how it goes on is decided by its workflow.

use headwater::prelude::*;

use super::position::Status;

/// A shipment as far as its rules need it.
#[derive(Debug, Default, PartialEq, State)]
pub(crate) struct Shipment {
    planned: bool,
    closed: bool,
}

/// What a shipment is told.
#[derive(Clone, Debug, Command)]
pub(crate) enum ShipmentCommand {
    /// Somebody wants it.
    #[command("plan")]
    Plan {
        /// Who.
        shipper: String,
        /// From whom.
        supplier: String,
        /// How many pieces.
        pieces: u32,
        /// Where to.
        destination: String,
    },
    /// A carrier takes it.
    #[command("book")]
    Book {
        /// Which.
        carrier: String,
    },
    /// It was seen.
    #[command("see")]
    See {
        /// How.
        status: Status,
        /// Where.
        place: String,
    },
    /// Customs looks at it.
    #[command("hold")]
    Hold {
        /// Where.
        place: String,
    },
    /// Customs lets it go on.
    #[command("clear")]
    Clear,
    /// It goes back.
    #[command("turn-back")]
    TurnBack {
        /// Why.
        reason: String,
    },
    /// Its way has ended.
    #[command("close")]
    Close {
        /// How: `delivered`, `returned` or `lost`.
        outcome: String,
    },
    /// It is not wanted any more, or cannot be had. Of one that is closed, nothing.
    #[command("call-off")]
    CallOff,
}

/// What happened to a shipment.
#[derive(Clone, Debug, PartialEq, Event)]
pub(crate) enum ShipmentEvent {
    /// Somebody wants it.
    #[event("planned")]
    Planned {
        /// Who.
        shipper: String,
        /// From whom.
        supplier: String,
        /// How many pieces.
        pieces: u32,
        /// Where to.
        destination: String,
    },
    /// A carrier takes it.
    #[event("booked")]
    Booked {
        /// Which.
        carrier: String,
    },
    /// It was seen.
    #[event("seen")]
    Seen {
        /// How.
        status: Status,
        /// Where.
        place: String,
    },
    /// Customs looks at it.
    #[event("held")]
    Held {
        /// Where.
        place: String,
    },
    /// Customs lets it go on.
    #[event("cleared")]
    Cleared,
    /// It goes back.
    #[event("turned-back")]
    TurnedBack {
        /// Why.
        reason: String,
    },
    /// Its way has ended.
    #[event("closed")]
    Closed {
        /// How.
        outcome: String,
    },
}

/// Why a shipment refuses.
#[derive(Debug, PartialEq, Rejection)]
pub(crate) enum ShipmentRejection {
    /// It was never planned.
    #[rejection("not-planned", "there is no such shipment")]
    NotPlanned,
}

impl Entity for Shipment {
    const NAME: &'static str = "shipment";
    type Command = ShipmentCommand;
    type Event = ShipmentEvent;
    type Reply = ();
    type Rejection = ShipmentRejection;

    fn decide(&self, command: ShipmentCommand, _: &CommandContext) -> Result<Decision<ShipmentEvent>, ShipmentRejection> {
        match command {
            ShipmentCommand::Plan { shipper, supplier, pieces, destination } => {
                Ok(record(ShipmentEvent::Planned { shipper, supplier, pieces, destination }))
            }
            ShipmentCommand::CallOff if self.closed || !self.planned => Ok(nothing()),
            ShipmentCommand::CallOff => Ok(record(ShipmentEvent::Closed { outcome: "called-off".to_owned() })),
            _ if !self.planned => Err(ShipmentRejection::NotPlanned),
            ShipmentCommand::Book { carrier } => Ok(record(ShipmentEvent::Booked { carrier })),
            ShipmentCommand::See { status, place } => Ok(record(ShipmentEvent::Seen { status, place })),
            ShipmentCommand::Hold { place } => Ok(record(ShipmentEvent::Held { place })),
            ShipmentCommand::Clear => Ok(record(ShipmentEvent::Cleared)),
            ShipmentCommand::TurnBack { reason } => Ok(record(ShipmentEvent::TurnedBack { reason })),
            ShipmentCommand::Close { outcome } => Ok(record(ShipmentEvent::Closed { outcome })),
        }
    }

    fn evolve(&mut self, event: &ShipmentEvent) {
        match event {
            ShipmentEvent::Planned { .. } => self.planned = true,
            ShipmentEvent::Closed { .. } => self.closed = true,
            _ => {}
        }
    }
}
