//! Logistics: a shipper has goods brought from a supplier, by whichever carrier takes them. That takes days, and is one workflow a shipment.
//!
//! Carriers are asked in turn and answer by a signal, or not in time; lorries tell where they are over a topic; customs is a person; and what
//! is refused or damaged comes back. Whatever is called off before the goods have left is undone.
//!
//! ```text
//! workflow delivery -> supplier, carrier, shipment -> view tracking
//! topic positions   -> tell-position -> shipment, and the workflow by a signal
//! ```

pub(crate) mod carrier;
pub(crate) mod delivery;
pub(crate) mod position;
mod shipment;
pub(crate) mod supplier;
mod views;

use headwater::Service;

use carrier::Carrier;
use delivery::Delivery;
use position::{POSITIONS, Position};
use shipment::Shipment;
use supplier::Supplier;

/// The service's name, which is also its stream's.
pub(crate) const NAME: &str = "logistics";

/// The service, in which an hour takes so many milliseconds: 3,600,000 where the world is real.
pub(crate) fn service(hour_ms: u64) -> Service {
    Service::new(NAME)
        .entity::<Supplier>()
        .entity::<Carrier>()
        .entity::<Shipment>()
        .workflow(Delivery { hour_ms })
        .topic_of::<Position>(POSITIONS)
        .topic_action(position::TellPosition)
        .view(views::tracking())
}

#[cfg(test)]
mod tests;
