//! The stock service: pieces that are free, and pieces that are kept for an order for a while.
//!
//! A reservation expires by a timer unless the order takes it or gives it back first. Whichever comes first counts: the rule says so, not the
//! clock.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater::prelude::*;

/// The service's name.
pub(crate) const STOCK: &str = "stock";

/// How long pieces are kept for an order that says no more.
const KEPT: Duration = Duration::from_secs(30 * 60);

/// An article as far as its rules need it.
#[derive(Debug, Default, PartialEq, State)]
pub(crate) struct Stock {
    pub(crate) free: u32,
    pub(crate) kept: BTreeMap<String, u32>,
}

/// What is done with an article.
#[derive(Clone, Debug, Command)]
pub(crate) enum StockCommand {
    /// Pieces come in.
    #[command("put-in")]
    PutIn {
        /// How many.
        pieces: u32,
    },
    /// Keeps pieces for an order, for half an hour.
    #[command("reserve")]
    Reserve {
        /// Which.
        order: String,
        /// How many.
        pieces: u32,
    },
    /// The order has them.
    #[command("take")]
    Take {
        /// Which.
        order: String,
    },
    /// The order does not want them. Of none, nothing.
    #[command("release")]
    Release {
        /// Which.
        order: String,
    },
    /// The order has said nothing for too long. Of none, nothing.
    #[command("expire")]
    Expire {
        /// Which.
        order: String,
    },
}

/// What happened to an article.
#[derive(Clone, Debug, PartialEq, Event)]
pub(crate) enum StockEvent {
    /// Pieces came in.
    #[event("put-in")]
    PutIn {
        /// How many.
        pieces: u32,
    },
    /// Pieces are kept for an order.
    #[event("reserved")]
    Reserved {
        /// Which.
        order: String,
        /// How many.
        pieces: u32,
    },
    /// The order has them.
    #[event("taken")]
    Taken {
        /// Which.
        order: String,
    },
    /// They are free again.
    #[event("released")]
    Released {
        /// Which order had them.
        order: String,
    },
    /// They are free again, because nobody came for them.
    #[event("expired")]
    Expired {
        /// Which order had them.
        order: String,
    },
}

/// Why an article refuses.
#[derive(Debug, PartialEq, Rejection)]
pub(crate) enum StockRejection {
    /// There is not enough.
    #[rejection("out-of-stock", "only {left} are left")]
    OutOfStock {
        /// How many are free.
        left: u32,
    },
    /// Nothing is kept for the order, or not any more.
    #[rejection("not-kept", "nothing is kept for this order")]
    NotKept,
}

impl Entity for Stock {
    const NAME: &'static str = "stock";
    type Command = StockCommand;
    type Event = StockEvent;
    type Reply = ();
    type Rejection = StockRejection;

    fn decide(&self, command: StockCommand, _: &CommandContext) -> Result<Decision<StockEvent>, StockRejection> {
        match command {
            StockCommand::PutIn { pieces } => Ok(record(StockEvent::PutIn { pieces })),
            StockCommand::Reserve { order, .. } if self.kept.contains_key(&order) => Ok(nothing()),
            StockCommand::Reserve { pieces, .. } if pieces > self.free => Err(StockRejection::OutOfStock { left: self.free }),
            StockCommand::Reserve { order, pieces } => Ok(record(StockEvent::Reserved { order, pieces })),
            StockCommand::Take { order } if self.kept.contains_key(&order) => Ok(record(StockEvent::Taken { order })),
            StockCommand::Take { .. } => Err(StockRejection::NotKept),
            StockCommand::Release { order } if self.kept.contains_key(&order) => Ok(record(StockEvent::Released { order })),
            StockCommand::Expire { order } if self.kept.contains_key(&order) => Ok(record(StockEvent::Expired { order })),
            StockCommand::Release { .. } | StockCommand::Expire { .. } => Ok(nothing()),
        }
    }

    fn evolve(&mut self, event: &StockEvent) {
        match event {
            StockEvent::PutIn { pieces } => self.free += pieces,
            StockEvent::Reserved { order, pieces } => {
                self.free -= pieces;
                self.kept.insert(order.clone(), *pieces);
            }
            StockEvent::Taken { order } => drop(self.kept.remove(order)),
            StockEvent::Released { order } | StockEvent::Expired { order } => self.free += self.kept.remove(order).unwrap_or_default(),
        }
    }
}

/// Sets the time of a reservation, and takes it away again.
struct Expiry;

impl Action for Expiry {
    const NAME: &'static str = "expiry";
    const ENTITY: &'static str = "stock";
    type Event = StockEvent;

    async fn run(&self, event: Recorded<StockEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let article = event.entity_id;
        match event.event {
            StockEvent::Reserved { order, .. } => {
                let timer = ctx.timer(timer_of(&article, &order)).after(KEPT);
                timer.send::<Stock>(article, StockCommand::Expire { order }).await?;
            }
            StockEvent::Taken { order } | StockEvent::Released { order } => {
                let _was_in_time = ctx.cancel_timer(timer_of(&article, &order)).await?;
            }
            StockEvent::PutIn { .. } | StockEvent::Expired { .. } => {}
        }
        Ok(())
    }
}

fn timer_of(article: &str, order: &str) -> String {
    format!("expire-{article}-{order}")
}

/// The service.
pub(crate) fn service() -> Service {
    Service::new(STOCK).entity::<Stock>().action(Expiry)
}

#[cfg(test)]
mod tests {
    use headwater::testkit::{Testkit, minutes, seeds};

    use super::*;

    fn reserved() -> [StockEvent; 2] {
        [StockEvent::PutIn { pieces: 5 }, StockEvent::Reserved { order: "o1".into(), pieces: 3 }]
    }

    #[test]
    fn no_more_is_kept_than_is_free_and_for_one_order_once() {
        let reserve = |order: &str| StockCommand::Reserve { order: order.into(), pieces: 3 };
        given::<Stock>(reserved()).when(reserve("o2")).rejected(StockRejection::OutOfStock { left: 2 });
        given::<Stock>(reserved()).when(reserve("o1")).then([]);
    }

    #[test]
    fn what_has_expired_cannot_be_taken_and_what_was_taken_does_not_expire() {
        let (take, expire) = (StockCommand::Take { order: "o1".into() }, StockCommand::Expire { order: "o1".into() });
        let and = |event| reserved().into_iter().chain([event]).collect::<Vec<_>>();
        let expired = and(StockEvent::Expired { order: "o1".into() });
        given::<Stock>(expired).when(take).rejected(StockRejection::NotKept);
        let taken = and(StockEvent::Taken { order: "o1".into() });
        given::<Stock>(taken).when(expire).then([]);
    }

    #[test]
    fn pieces_are_kept_for_half_an_hour_whatever_ends_the_process() {
        for seed in seeds(10) {
            let stock = Testkit::new(service).seed(seed).duplicates().delays().crashes(0.01);
            stock.send::<Stock>("mug", StockCommand::PutIn { pieces: 9 }).expect("pieces come in");
            for order in ["taken", "released", "forgotten"] {
                stock.send::<Stock>("mug", StockCommand::Reserve { order: order.into(), pieces: 3 }).expect("there are enough");
            }
            stock.send::<Stock>("mug", StockCommand::Take { order: "taken".into() }).expect("they are kept");
            stock.send::<Stock>("mug", StockCommand::Release { order: "released".into() }).expect("it is always taken");
            stock.settle();
            stock.advance(minutes(29));
            let mug = || stock.state::<Stock>("mug").expect("it is there");
            assert_eq!((mug().free, mug().kept.len()), (3, 1), "seed {seed}");
            stock.advance(minutes(2));
            stock.settle();
            assert_eq!(mug(), Stock { free: 6, kept: BTreeMap::new() }, "seed {seed}");
        }
    }
}
