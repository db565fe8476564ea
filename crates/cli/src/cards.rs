//! Card fraud: payments come in over a topic, checks watch each card over windows of time, and a card that is suspected enough is
//! blocked.
//!
//! The payments of the demo are generated, never real. A check is a processor of its own: one that is added while the others are at
//! work begins on its own, and touches nothing of theirs. A check brings its action along; the rule of when to block is the card's.
//!
//! ```text
//! topic payments -> velocity, spending, travel -> block-card-by-... -> entity card -> view alerts
//! ```

mod card;
pub(crate) mod check;
pub(crate) mod generated;
pub(crate) mod model;
pub(crate) mod payment;
mod spending;
mod travel;
mod velocity;
mod views;

use headwater::Service;
use headwater::prelude::Start;

use card::{BlockCard, Card};
pub(crate) use check::CheckName;
use payment::{PAYMENTS, Payment};
use spending::Spending;
use travel::Travel;
use velocity::Velocity;

/// The service's name, which is also its stream's.
pub(crate) const NAME: &str = "cards";

/// The service with these checks. A check that is new begins at `start`; one that was there goes on from its place.
pub(crate) fn service(checks: &[CheckName], start: Start) -> Service {
    let service = Service::new(NAME).topic_of::<Payment>(PAYMENTS).entity::<Card>().view(views::alerts());
    checks.iter().fold(service, |service, check| match check {
        CheckName::Velocity => service.processor(Velocity { start }).action(BlockCard::<Velocity>::new()),
        CheckName::Spending => service.processor(Spending { start }).action(BlockCard::<Spending>::new()),
        CheckName::Travel => service.processor(Travel { start }).action(BlockCard::<Travel>::new()),
    })
}

/// Payments that nobody looks at, for what is measured of a processor.
pub(crate) fn recording() -> Service {
    Service::new(NAME).topic_of::<Payment>(PAYMENTS)
}

/// One check over all payments that there are.
pub(crate) fn watching() -> Service {
    recording().processor(Velocity { start: Start::First })
}

#[cfg(test)]
mod tests;
