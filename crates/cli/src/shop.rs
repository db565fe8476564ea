//! The shop of the demo: carts that customers fill, parcels that are packed for them, and orders as a wholesaler's till writes them.
//!
//! The rules are small on purpose. What real data holds is kept, not judged: lines of minus six pieces, prices of nought
//! and below, orders of nobody.

mod cart;
mod order;
mod parcel;
mod views;

use headwater::Service;

pub(crate) use cart::Cart;
pub(crate) use order::Order;
use parcel::{PackParcel, Parcel};

/// The service's name, which is also its stream's.
pub(crate) const NAME: &str = "shop";

/// Its carts alone, for what is measured of commands: nothing follows from their events.
pub(crate) fn carts() -> Service {
    Service::new(NAME).entity::<Cart>()
}

/// The shop, ready to run.
pub(crate) fn service() -> Service {
    let shop = Service::new(NAME).entity::<Cart>().entity::<Order>().entity::<Parcel>().action(PackParcel);
    let shop = shop.topic("notices");
    shop.view(views::orders()).view(views::sales()).view(views::products())
}
