//! What is planned for each shipment: whether people answer, what happens on the way, and how it ends then.

use serde_json::{Value as Json, json};

use crate::logistics::delivery::Outcome;
use crate::logistics::position::Status;

/// The supplier of all.
pub(super) const SUPPLIER: &str = "mill";
/// The carriers, in the order in which they are asked.
pub(super) const CARRIERS: [&str; 2] = ["swift", "steady"];
/// Where customs looks.
pub(super) const BORDER: &str = "Basel";
/// Where all goes.
pub(super) const DESTINATION: &str = "Lyon";

/// What is planned for a shipment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Smooth,
    FirstCarrierIsSilent,
    NobodyTakesIt,
    NobodyComesForIt,
    CalledOff,
    Damaged,
    CustomsRefuses,
    RefusedAtTheDoor,
    NeverSeenAgain,
}

/// More go well than not.
const FATES: [Fate; 12] = [
    Fate::Smooth,
    Fate::FirstCarrierIsSilent,
    Fate::Damaged,
    Fate::Smooth,
    Fate::NobodyTakesIt,
    Fate::CustomsRefuses,
    Fate::Smooth,
    Fate::CalledOff,
    Fate::RefusedAtTheDoor,
    Fate::Smooth,
    Fate::NobodyComesForIt,
    Fate::NeverSeenAgain,
];

/// What becomes of a shipment: its outcome, or the code of its failure.
pub(super) type Ended = Result<Outcome, String>;

impl Fate {
    /// Of a shipment of the demo's; others are a person's own.
    pub(super) fn of(shipment: &str) -> Option<Self> {
        let number: usize = shipment.strip_prefix("s-")?.parse().ok()?;
        Some(FATES[number % FATES.len()])
    }

    /// What the carrier answers; `None` when it does not.
    pub(super) fn accepts(self, carrier: &str) -> Option<bool> {
        match self {
            Self::NobodyTakesIt => Some(false),
            Self::FirstCarrierIsSilent if carrier == CARRIERS[0] => None,
            _ => Some(true),
        }
    }

    /// What comes next on the way of one that was seen so.
    pub(super) fn next(self, status: Status, place: &str) -> Option<(Status, &'static str)> {
        match (self, status) {
            (Self::CalledOff, _) | (Self::NeverSeenAgain, Status::PickedUp) => None,
            (Self::Damaged, Status::PickedUp) => Some((Status::Damaged, "Jura")),
            (_, Status::PickedUp) => Some((Status::Arrived, BORDER)),
            (Self::RefusedAtTheDoor, Status::Arrived) if place == DESTINATION => Some((Status::Refused, DESTINATION)),
            (_, Status::Arrived) if place == DESTINATION => Some((Status::Delivered, DESTINATION)),
            _ => None,
        }
    }

    /// How it ends.
    pub(super) fn end(self) -> Ended {
        match self {
            Self::Smooth | Self::FirstCarrierIsSilent => Ok(Outcome::Delivered),
            Self::Damaged | Self::CustomsRefuses | Self::RefusedAtTheDoor => Ok(Outcome::Returned),
            Self::NeverSeenAgain => Ok(Outcome::Lost),
            Self::NobodyTakesIt => Err("no-carrier".to_owned()),
            Self::NobodyComesForIt => Err("not-picked-up".to_owned()),
            Self::CalledOff => Err("cancelled".to_owned()),
        }
    }
}

/// The id of a shipment.
pub(super) fn id(number: u32) -> String {
    format!("s-{number:04}")
}

pub(super) fn pieces(number: u32) -> u32 {
    1 + number % 7
}

/// What is ordered.
pub(super) fn order(number: u32) -> Json {
    json!({
        "shipper": format!("shipper-{:02}", number % 10), "supplier": SUPPLIER, "pieces": pieces(number), "carriers": CARRIERS,
        "route": [BORDER, DESTINATION], "customs_at": BORDER,
    })
}
