//! The way of a shipment, from the order to the door or back: a workflow of days.

use std::time::Duration;

use headwater::prelude::*;

use super::carrier::{Carrier, CarrierCommand, CarrierRejection};
use super::position::{Position, Status};
use super::shipment::{Shipment, ShipmentCommand};
use super::supplier::{Supplier, SupplierCommand};

/// What a carrier's people say.
pub(crate) const ANSWERED: &str = "answered";
/// What lorries tell.
pub(super) const TRACKED: &str = "tracked";
/// What customs decides.
pub(crate) const CUSTOMS: &str = "customs";

const HOURS_TO_ANSWER: u64 = 12;
const HOURS_TO_PICK_UP: u64 = 2 * 24;
const HOURS_A_LEG: u64 = 3 * 24;
const HOURS_AT_CUSTOMS: u64 = 10 * 24;
const HOURS_AT_THE_DOOR: u64 = 5 * 24;
const HOURS_TO_COME_BACK: u64 = 14 * 24;

/// What somebody wants to have brought.
#[derive(Clone, Debug, PartialEq, Value)]
pub(crate) struct Order {
    /// Who.
    pub(crate) shipper: String,
    /// From whom.
    pub(crate) supplier: String,
    /// How many pieces.
    pub(crate) pieces: u32,
    /// Who is asked to bring them, in this order.
    pub(crate) carriers: Vec<String>,
    /// Where they come by; the last place is where they go.
    pub(crate) route: Vec<String>,
    /// Where customs looks at them, if it does.
    pub(crate) customs_at: Option<String>,
}

/// What a carrier says.
#[derive(Clone, Debug, PartialEq, Value)]
pub(crate) struct Answer {
    /// Which carrier.
    pub(crate) carrier: String,
    /// Whether it takes the shipment.
    pub(crate) accepts: bool,
}

/// What customs says.
#[derive(Clone, Debug, PartialEq, Value)]
pub(crate) struct Customs {
    /// Whether it may go on.
    pub(crate) releases: bool,
}

/// What became of a shipment that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Value)]
pub(crate) enum Outcome {
    /// Somebody has taken it.
    #[value("delivered")]
    Delivered,
    /// It is where it came from.
    #[value("returned")]
    Returned,
    /// Nobody knows where it is.
    #[value("lost")]
    Lost,
}

impl Outcome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Returned => "returned",
            Self::Lost => "lost",
        }
    }
}

/// See the module.
pub(crate) struct Delivery {
    pub(super) hour_ms: u64,
}

/// How far it has come.
enum Way {
    ToTheDoor,
    Back(&'static str),
    Lost,
}

impl Workflow for Delivery {
    const NAME: &'static str = "delivery";
    type Input = Order;
    type Output = Outcome;

    async fn run(&self, ctx: &WorkflowContext, order: Order) -> Result<Outcome, Failure> {
        let shipment = || ctx.id().to_owned();
        let Order { shipper, supplier, pieces, route, .. } = order.clone();
        let destination = route.last().cloned().unwrap_or_default();
        ctx.command::<Shipment>(shipment(), ShipmentCommand::Plan { shipper, supplier: supplier.clone(), pieces, destination })
            .undo_command::<Shipment>("call-off", shipment(), ShipmentCommand::CallOff)
            .await?;
        ctx.command::<Supplier>(&supplier, SupplierCommand::Promise { shipment: shipment(), pieces })
            .undo_command::<Supplier>("take-back", &supplier, SupplierCommand::TakeBack { shipment: shipment() })
            .await?;
        let carrier = self.book(ctx, &order.carriers).await?;
        ctx.command::<Shipment>(shipment(), ShipmentCommand::Book { carrier: carrier.clone() }).await?;
        if self.seen(ctx, HOURS_TO_PICK_UP, |position| position.status == Status::PickedUp).await.is_none() {
            return Err(Failure::new("not-picked-up", format!("{carrier} did not come for it")));
        }
        ctx.command::<Supplier>(&supplier, SupplierCommand::HandOver { shipment: shipment() }).await?;

        let outcome = match self.travel(ctx, &order).await? {
            Way::ToTheDoor => Outcome::Delivered,
            Way::Back(reason) => self.bring_back(ctx, reason).await?,
            Way::Lost => Outcome::Lost,
        };
        let shipment = shipment();
        let told = match outcome {
            Outcome::Delivered => SupplierCommand::Sell { shipment: shipment.clone() },
            Outcome::Returned => SupplierCommand::TakeBack { shipment: shipment.clone() },
            Outcome::Lost => SupplierCommand::WriteOff { shipment: shipment.clone() },
        };
        let (of_supplier, of_carrier) = join(
            ctx.command::<Supplier>(&supplier, told),
            ctx.command::<Carrier>(&carrier, CarrierCommand::Finish { shipment: shipment.clone() }),
        )
        .await;
        of_supplier?;
        of_carrier?;
        ctx.command::<Shipment>(shipment, ShipmentCommand::Close { outcome: outcome.word().to_owned() }).await?;
        Ok(outcome)
    }

    fn signals() -> Signals {
        Signals::none().with::<Answer>(ANSWERED).with::<Position>(TRACKED).with::<Customs>(CUSTOMS)
    }
}

impl Delivery {
    fn hours(&self, hours: u64) -> Duration {
        Duration::from_millis(self.hour_ms.saturating_mul(hours))
    }

    /// Asks one carrier after the other; gives the one that takes it.
    async fn book(&self, ctx: &WorkflowContext, carriers: &[String]) -> Result<String, Failure> {
        for carrier in carriers {
            let shipment = ctx.id().to_owned();
            let asked = ctx.command::<Carrier>(carrier, CarrierCommand::Ask { shipment: shipment.clone() }).undo_command::<Carrier>(
                "withdraw",
                carrier,
                CarrierCommand::Withdraw { shipment: shipment.clone() },
            );
            match asked.await {
                Err(CommandFailure::Rejected(CarrierRejection::Full { .. })) => continue,
                other => other?,
            }
            if self.accepts(ctx, carrier).await {
                return Ok(carrier.clone());
            }
            ctx.command::<Carrier>(carrier, CarrierCommand::Withdraw { shipment }).await?;
        }
        Err(Failure::new("no-carrier", "none of the carriers takes it"))
    }

    /// Whether the carrier says yes in time. What another one says that was asked before is too late.
    async fn accepts(&self, ctx: &WorkflowContext, carrier: &str) -> bool {
        let until = self.until(ctx, HOURS_TO_ANSWER);
        while let Some(answer) = ctx.wait_for::<Answer>(ANSWERED).timeout(left(ctx, until)).await {
            if answer.carrier == carrier {
                return answer.accepts;
            }
        }
        false
    }

    /// The first position of this sort, if it comes in time; others are for whoever follows the shipment.
    async fn seen(&self, ctx: &WorkflowContext, hours: u64, is_meant: impl Fn(&Position) -> bool) -> Option<Position> {
        let until = self.until(ctx, hours);
        while let Some(position) = ctx.wait_for::<Position>(TRACKED).timeout(left(ctx, until)).await {
            if is_meant(&position) {
                return Some(position);
            }
        }
        None
    }

    /// From place to place, through customs, to the door.
    async fn travel(&self, ctx: &WorkflowContext, order: &Order) -> Result<Way, Failure> {
        for place in &order.route {
            let is_meant = |position: &Position| match position.status {
                Status::Arrived => position.place == *place,
                Status::Damaged => true,
                _ => false,
            };
            match self.seen(ctx, HOURS_A_LEG, is_meant).await.map(|position| position.status) {
                None => return Ok(Way::Lost),
                Some(Status::Damaged) => return Ok(Way::Back("it was damaged")),
                Some(_) => {}
            }
            if order.customs_at.as_ref() == Some(place) && !self.passes_customs(ctx, place).await? {
                return Ok(Way::Back("customs did not let it pass"));
            }
        }
        let is_end = |position: &Position| matches!(position.status, Status::Delivered | Status::Refused);
        Ok(match self.seen(ctx, HOURS_AT_THE_DOOR, is_end).await.map(|position| position.status) {
            Some(Status::Delivered) => Way::ToTheDoor,
            Some(_) => Way::Back("it was refused at the door"),
            None => Way::Back("nobody was at the door"),
        })
    }

    async fn passes_customs(&self, ctx: &WorkflowContext, place: &str) -> Result<bool, Failure> {
        ctx.command::<Shipment>(ctx.id(), ShipmentCommand::Hold { place: place.to_owned() }).await?;
        let decision = ctx.wait_for::<Customs>(CUSTOMS).timeout(self.hours(HOURS_AT_CUSTOMS)).await;
        let passes = decision.is_some_and(|decision| decision.releases);
        if passes {
            ctx.command::<Shipment>(ctx.id(), ShipmentCommand::Clear).await?;
        }
        Ok(passes)
    }

    async fn bring_back(&self, ctx: &WorkflowContext, reason: &str) -> Result<Outcome, Failure> {
        ctx.command::<Shipment>(ctx.id(), ShipmentCommand::TurnBack { reason: reason.to_owned() }).await?;
        let returned = self.seen(ctx, HOURS_TO_COME_BACK, |position| position.status == Status::Returned).await;
        Ok(if returned.is_some() { Outcome::Returned } else { Outcome::Lost })
    }

    /// So many hours from now on: microseconds since 1970, UTC.
    fn until(&self, ctx: &WorkflowContext, hours: u64) -> i64 {
        ctx.now_micros().saturating_add(i64::try_from(self.hours(hours).as_micros()).unwrap_or(i64::MAX))
    }
}

fn left(ctx: &WorkflowContext, until: i64) -> Duration {
    Duration::from_micros(u64::try_from(until.saturating_sub(ctx.now_micros())).unwrap_or_default())
}
