//! What lorries tell: messages of a topic, which go to the shipment for everybody to see, and to its workflow.

use headwater::prelude::*;

use super::delivery::{Delivery, TRACKED};
use super::shipment::{Shipment, ShipmentCommand};

/// The topic that positions come in on.
pub(crate) const POSITIONS: &str = "positions";

/// How a shipment was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Value)]
pub(crate) enum Status {
    /// A lorry has it.
    #[value("picked-up")]
    PickedUp,
    /// It has come to a place.
    #[value("arrived")]
    Arrived,
    /// It is not whole any more.
    #[value("damaged")]
    Damaged,
    /// Somebody has taken it.
    #[value("delivered")]
    Delivered,
    /// Nobody has.
    #[value("refused")]
    Refused,
    /// It is where it came from.
    #[value("returned")]
    Returned,
}

impl Status {
    const ALL: [Self; 6] = [Self::PickedUp, Self::Arrived, Self::Damaged, Self::Delivered, Self::Refused, Self::Returned];

    /// In a word, as it travels.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::PickedUp => "picked-up",
            Self::Arrived => "arrived",
            Self::Damaged => "damaged",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Returned => "returned",
        }
    }

    /// Of a word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }
}

/// What a lorry tells of a shipment.
#[derive(Clone, Debug, PartialEq, Value)]
pub(crate) struct Position {
    /// Which shipment.
    pub(crate) shipment: String,
    /// How it is.
    pub(crate) status: Status,
    /// Where.
    pub(crate) place: String,
}

/// Tells the shipment and its workflow.
pub(super) struct TellPosition;

impl TopicAction for TellPosition {
    const NAME: &'static str = "tell-position";
    const TOPIC: &'static str = POSITIONS;
    type Message = Position;

    async fn run(&self, message: Message<Position>, ctx: &ActionContext) -> Result<(), ActionError> {
        let position = message.data;
        let Position { shipment, status, place } = position.clone();
        ctx.command::<Shipment>(&shipment, ShipmentCommand::See { status, place }).await?;
        // A lorry that is still under way with what was called off tells it to nobody.
        let _is_taken = ctx.workflow::<Delivery>(shipment).signal(TRACKED, &position).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_told_to_the_shipment_and_to_its_workflow() {
        let position = Position { shipment: "s1".into(), status: Status::Arrived, place: "Lyon".into() };
        given_topic_action(TellPosition).when(position.clone()).sends([
            command_to::<Shipment>("s1", ShipmentCommand::See { status: Status::Arrived, place: "Lyon".into() }),
            workflow_signalled::<Delivery>("s1", TRACKED, &position),
        ]);
    }

    #[test]
    fn a_position_of_nothing_waits_for_a_person() {
        let position = Position { shipment: "s1".into(), status: Status::Arrived, place: "Lyon".into() };
        given_topic_action(TellPosition).rejects(super::super::shipment::ShipmentRejection::NotPlanned).when(position).parks();
    }
}
