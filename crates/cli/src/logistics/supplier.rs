//! A supplier: pieces that are ready, promised, on the road, sold or lost. Their sum is what was ever made.

use std::collections::BTreeMap;

use headwater::prelude::*;

/// A supplier as far as its rules need it.
#[derive(Debug, Default, PartialEq, State)]
pub(crate) struct Supplier {
    pub(crate) made: u32,
    pub(crate) ready: u32,
    pub(crate) promised: BTreeMap<String, u32>,
    pub(crate) on_the_road: BTreeMap<String, u32>,
    pub(crate) sold: u32,
    pub(crate) lost: u32,
}

/// What a supplier is told.
#[derive(Clone, Debug, Command)]
pub(crate) enum SupplierCommand {
    /// Pieces were made.
    #[command("make")]
    Make {
        /// How many.
        pieces: u32,
    },
    /// Keeps pieces for a shipment.
    #[command("promise")]
    Promise {
        /// Which.
        shipment: String,
        /// How many.
        pieces: u32,
    },
    /// They have left.
    #[command("hand-over")]
    HandOver {
        /// Which shipment.
        shipment: String,
    },
    /// They are back, or never left: ready again. Of none, nothing.
    #[command("take-back")]
    TakeBack {
        /// Which shipment.
        shipment: String,
    },
    /// They have arrived.
    #[command("sell")]
    Sell {
        /// Which shipment.
        shipment: String,
    },
    /// They will not be seen again.
    #[command("write-off")]
    WriteOff {
        /// Which shipment.
        shipment: String,
    },
}

/// What happened to a supplier's pieces.
#[derive(Clone, Debug, PartialEq, Event)]
pub(crate) enum SupplierEvent {
    /// They were made.
    #[event("made")]
    Made {
        /// How many.
        pieces: u32,
    },
    /// They are kept for a shipment.
    #[event("promised")]
    Promised {
        /// Which.
        shipment: String,
        /// How many.
        pieces: u32,
    },
    /// They have left.
    #[event("handed-over")]
    HandedOver {
        /// Which shipment.
        shipment: String,
    },
    /// They are ready again.
    #[event("taken-back")]
    TakenBack {
        /// Which shipment.
        shipment: String,
    },
    /// They have arrived.
    #[event("sold")]
    Sold {
        /// Which shipment.
        shipment: String,
    },
    /// They will not be seen again.
    #[event("written-off")]
    WrittenOff {
        /// Which shipment.
        shipment: String,
    },
}

/// Why a supplier refuses.
#[derive(Debug, PartialEq, Rejection)]
pub(crate) enum SupplierRejection {
    /// There is not enough.
    #[rejection("too-few", "only {ready} pieces are ready")]
    TooFew {
        /// How many are ready.
        ready: u32,
    },
    /// The shipment has no such pieces.
    #[rejection("not-there", "there are no such pieces of this shipment")]
    NotThere,
}

impl Entity for Supplier {
    const NAME: &'static str = "supplier";
    type Command = SupplierCommand;
    type Event = SupplierEvent;
    type Reply = ();
    type Rejection = SupplierRejection;

    fn decide(&self, command: SupplierCommand, _: &CommandContext) -> Result<Decision<SupplierEvent>, SupplierRejection> {
        let has = |shipment: &String| self.promised.contains_key(shipment) || self.on_the_road.contains_key(shipment);
        match command {
            SupplierCommand::Make { pieces } => Ok(record(SupplierEvent::Made { pieces })),
            SupplierCommand::Promise { pieces, .. } if pieces > self.ready => Err(SupplierRejection::TooFew { ready: self.ready }),
            SupplierCommand::Promise { shipment, pieces } => Ok(record(SupplierEvent::Promised { shipment, pieces })),
            SupplierCommand::HandOver { shipment } if self.promised.contains_key(&shipment) => {
                Ok(record(SupplierEvent::HandedOver { shipment }))
            }
            SupplierCommand::TakeBack { shipment } if has(&shipment) => Ok(record(SupplierEvent::TakenBack { shipment })),
            SupplierCommand::TakeBack { .. } => Ok(nothing()),
            SupplierCommand::Sell { shipment } if self.on_the_road.contains_key(&shipment) => Ok(record(SupplierEvent::Sold { shipment })),
            SupplierCommand::WriteOff { shipment } if self.on_the_road.contains_key(&shipment) => {
                Ok(record(SupplierEvent::WrittenOff { shipment }))
            }
            SupplierCommand::HandOver { .. } | SupplierCommand::Sell { .. } | SupplierCommand::WriteOff { .. } => {
                Err(SupplierRejection::NotThere)
            }
        }
    }

    fn evolve(&mut self, event: &SupplierEvent) {
        match event {
            SupplierEvent::Made { pieces } => {
                self.made += pieces;
                self.ready += pieces;
            }
            SupplierEvent::Promised { shipment, pieces } => {
                self.ready -= pieces;
                self.promised.insert(shipment.clone(), *pieces);
            }
            SupplierEvent::HandedOver { shipment } => {
                let pieces = self.promised.remove(shipment).unwrap_or_default();
                self.on_the_road.insert(shipment.clone(), pieces);
            }
            SupplierEvent::TakenBack { shipment } => self.ready += self.taken(shipment),
            SupplierEvent::Sold { shipment } => self.sold += self.taken(shipment),
            SupplierEvent::WrittenOff { shipment } => self.lost += self.taken(shipment),
        }
    }
}

impl Supplier {
    fn taken(&mut self, shipment: &str) -> u32 {
        self.promised.remove(shipment).or_else(|| self.on_the_road.remove(shipment)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s1() -> String {
        "s1".to_owned()
    }

    fn promised() -> [SupplierEvent; 2] {
        [SupplierEvent::Made { pieces: 5 }, SupplierEvent::Promised { shipment: s1(), pieces: 3 }]
    }

    #[test]
    fn no_more_is_promised_than_is_ready() {
        let promise = SupplierCommand::Promise { shipment: "s2".into(), pieces: 3 };
        given::<Supplier>(promised()).when(promise).rejected(SupplierRejection::TooFew { ready: 2 });
    }

    #[test]
    fn what_was_promised_is_taken_back_wherever_it_is_and_of_nothing_nothing() {
        let take_back = || SupplierCommand::TakeBack { shipment: s1() };
        given::<Supplier>(promised()).when(take_back()).then([SupplierEvent::TakenBack { shipment: s1() }]);
        given::<Supplier>([SupplierEvent::Made { pieces: 5 }]).when(take_back()).then([]);
    }

    #[test]
    fn only_what_has_left_can_arrive() {
        given::<Supplier>(promised()).when(SupplierCommand::Sell { shipment: s1() }).rejected(SupplierRejection::NotThere);
    }
}
