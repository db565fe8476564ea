//! The shop of the demo: carts that customers fill, parcels that are packed for them, and orders as a wholesaler's till writes them.
//!
//! Beside it are two services of their own, `stock` and `payment`; a workflow of the shop's leads what is checked out through both.
//!
//! The rules are small on purpose. What real data holds is kept, not judged: lines of minus six pieces, prices of nought
//! and below, orders of nobody.

pub(crate) mod articles;
pub(crate) mod board;
mod cart;
mod dispatch;
mod order;
mod parcel;
pub(crate) mod payment;
mod shipping;
pub(crate) mod stock;
mod views;

use headwater::Service;
use headwater::prelude::{Action, Keep, Subscription, Topic as _};

pub(crate) use cart::Cart;
use dispatch::Dispatch;
pub(crate) use order::Order;
use parcel::{PackParcel, Parcel};
use payment::{Answered, PAYMENT, PAYMENTS};
use shipping::{Letter, Letters, Ship, Shipping, TellShipping};
use stock::STOCK;

/// The service's name, which is also its stream's.
pub(crate) const NAME: &str = "shop";

/// Its carts alone, for what is measured of commands: nothing follows from their events.
pub(crate) fn carts() -> Service {
    Service::new(NAME).entity::<Cart>()
}

/// The shop with its board, ready to run.
pub(crate) fn service() -> Service {
    board::with_board(service_with(PackParcel))
}

/// The same, whose carts keep their last so many events.
pub(crate) fn service_keeping(last: Option<u64>) -> Service {
    last.map_or_else(service, |last| service().retain::<Cart>(Keep::last(last)))
}

/// Where the services are that the shop works with.
pub(crate) struct Peers {
    pub(crate) stock: String,
    pub(crate) payment: String,
}

/// The same with stock and payment as services of their own: what is checked out is reserved, paid for and sent.
pub(crate) fn with_peers(last: Option<u64>, peers: &Peers) -> Service {
    service_keeping(last)
        .entity::<Dispatch>()
        .workflow(Shipping)
        .action(Ship)
        .topic_of::<Answered>(PAYMENTS)
        .topic_of::<Letter>(Letters::NAME)
        .topic_action(TellShipping)
        .subscribe(Subscription::to(PAYMENT, PAYMENTS))
        .peer(STOCK)
        .peer_at(STOCK, &peers.stock)
        .peer_at(PAYMENT, &peers.payment)
}

/// The same for who only looks at its code: nobody is called at these addresses.
pub(crate) fn as_described() -> Service {
    let nowhere = || "http://127.0.0.1:1".to_owned();
    with_peers(None, &Peers { stock: nowhere(), payment: nowhere() })
}

fn service_with(packing: impl Action) -> Service {
    let shop = Service::new(NAME).entity::<Cart>().entity::<Order>().entity::<Parcel>().action(packing).topic("notices");
    shop.view(views::orders()).view(views::sales()).view(views::products())
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use headwater::prelude::*;
    use headwater::testkit::{Testkit, seeds};

    use super::cart::{CartCommand, CartEvent};
    use super::parcel::{ParcelCommand, ParcelEvent};
    use super::*;

    const CARTS: u32 = 8;

    /// Fills some carts, checks every other one out, and looks at the parcels.
    fn check_out_every_other_cart(shop: &Testkit) {
        for cart in 0..CARTS {
            let id = format!("c{cart}");
            let add = CartCommand::AddItem { sku: "mug".into(), quantity: cart + 1 };
            shop.send::<Cart>(&id, add).expect("the cart is open");
            if cart % 2 == 0 {
                shop.send::<Cart>(&id, CartCommand::CheckOut).expect("the cart is filled");
            }
        }
        shop.settle();
        for cart in 0..CARTS {
            let packed = if cart % 2 == 0 { vec![ParcelEvent::Packed { pieces: cart + 1 }] } else { Vec::new() };
            assert_eq!(shop.events::<Parcel>(&format!("c{cart}")), packed, "cart {cart}");
        }
    }

    #[test]
    fn each_cart_that_is_checked_out_is_packed_once() {
        let mut crashes = 0;
        for seed in seeds(50) {
            let shop = Testkit::new(service).seed(seed).duplicates().delays().reorder().crashes(0.02);
            check_out_every_other_cart(&shop);
            crashes += shop.crash_count();
        }
        // Without crashes this would test something else.
        assert!(crashes > 0);
    }

    /// Packs under a new key in each run, as a call to somebody who knows no keys would.
    #[derive(Clone, Default)]
    struct PackEachRun(Arc<AtomicU64>);

    impl Action for PackEachRun {
        const NAME: &'static str = PackParcel::NAME;
        const ENTITY: &'static str = PackParcel::ENTITY;
        type Event = CartEvent;

        async fn run(&self, event: Recorded<CartEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
            if let CartEvent::CheckedOut { pieces, .. } = event.event {
                let run = self.0.fetch_add(1, Relaxed);
                ctx.keyed(run).command::<Parcel>(event.entity_id, ParcelCommand::Pack { pieces }).await?;
            }
            Ok(())
        }
    }

    #[test]
    fn a_parcel_that_is_packed_in_each_run_is_found_out() {
        let caught = (0..10).filter(|seed| {
            let packing = PackEachRun::default();
            let shop = Testkit::new(move || service_with(packing.clone())).seed(*seed).duplicates();
            catch_unwind(AssertUnwindSafe(|| check_out_every_other_cart(&shop))).is_err()
        });
        let caught = caught.count();
        assert!(caught >= 5, "only {caught} of 10 seeds");
    }
}
