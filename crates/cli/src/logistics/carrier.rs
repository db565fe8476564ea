//! A carrier: so many shipments at once, and no more.

use std::collections::BTreeSet;

use headwater::prelude::*;

/// A carrier as far as its rules need it.
#[derive(Debug, Default, PartialEq, State)]
pub(crate) struct Carrier {
    pub(crate) lorries: u32,
    pub(crate) shipments: BTreeSet<String>,
    pub(crate) finished: u32,
}

/// What a carrier is told.
#[derive(Clone, Debug, Command)]
pub(crate) enum CarrierCommand {
    /// It has so many lorries.
    #[command("have")]
    Have {
        /// How many.
        lorries: u32,
    },
    /// Asks it for a lorry. Its people answer the workflow.
    #[command("ask")]
    Ask {
        /// For which shipment.
        shipment: String,
    },
    /// The lorry is not wanted any more. Of none, nothing.
    #[command("withdraw")]
    Withdraw {
        /// Which shipment.
        shipment: String,
    },
    /// The lorry is back.
    #[command("finish")]
    Finish {
        /// Which shipment.
        shipment: String,
    },
}

/// What happened to a carrier.
#[derive(Clone, Debug, PartialEq, Event)]
pub(crate) enum CarrierEvent {
    /// It has so many lorries.
    #[event("equipped")]
    Equipped {
        /// How many.
        lorries: u32,
    },
    /// It was asked, and a lorry is kept until it is withdrawn.
    #[event("asked")]
    Asked {
        /// For which shipment.
        shipment: String,
    },
    /// The lorry is not wanted any more.
    #[event("withdrawn")]
    Withdrawn {
        /// Which shipment.
        shipment: String,
    },
    /// The lorry is back.
    #[event("finished")]
    Finished {
        /// Which shipment.
        shipment: String,
    },
}

/// Why a carrier refuses.
#[derive(Debug, PartialEq, Rejection)]
pub(crate) enum CarrierRejection {
    /// All lorries are away.
    #[rejection("full", "all {lorries} lorries are away")]
    Full {
        /// How many there are.
        lorries: u32,
    },
}

impl Entity for Carrier {
    const NAME: &'static str = "carrier";
    type Command = CarrierCommand;
    type Event = CarrierEvent;
    type Reply = ();
    type Rejection = CarrierRejection;

    fn decide(&self, command: CarrierCommand, _: &CommandContext) -> Result<Decision<CarrierEvent>, CarrierRejection> {
        match command {
            CarrierCommand::Have { lorries } => Ok(record(CarrierEvent::Equipped { lorries })),
            CarrierCommand::Ask { .. } if self.shipments.len() >= self.lorries as usize => {
                Err(CarrierRejection::Full { lorries: self.lorries })
            }
            CarrierCommand::Ask { shipment } => Ok(record(CarrierEvent::Asked { shipment })),
            CarrierCommand::Withdraw { shipment } if self.shipments.contains(&shipment) => Ok(record(CarrierEvent::Withdrawn { shipment })),
            CarrierCommand::Finish { shipment } if self.shipments.contains(&shipment) => Ok(record(CarrierEvent::Finished { shipment })),
            CarrierCommand::Withdraw { .. } | CarrierCommand::Finish { .. } => Ok(nothing()),
        }
    }

    fn evolve(&mut self, event: &CarrierEvent) {
        match event {
            CarrierEvent::Equipped { lorries } => self.lorries = *lorries,
            CarrierEvent::Asked { shipment } => drop(self.shipments.insert(shipment.clone())),
            CarrierEvent::Withdrawn { shipment } => drop(self.shipments.remove(shipment)),
            CarrierEvent::Finished { shipment } => self.finished += u32::from(self.shipments.remove(shipment)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_shipments_are_taken_than_there_are_lorries() {
        let asked = [CarrierEvent::Equipped { lorries: 1 }, CarrierEvent::Asked { shipment: "s1".into() }];
        given::<Carrier>(asked).when(CarrierCommand::Ask { shipment: "s2".into() }).rejected(CarrierRejection::Full { lorries: 1 });
    }

    #[test]
    fn what_was_never_asked_is_withdrawn_without_a_word() {
        given::<Carrier>([]).when(CarrierCommand::Withdraw { shipment: "s1".into() }).then([]);
    }
}
