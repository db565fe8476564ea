//! A card: it remembers what it was suspected of, and is blocked when that is enough.

use std::marker::PhantomData;

use headwater::prelude::*;

use super::check::{AlertEvent, Check};

/// The score that blocks a card.
const BLOCK_SCORE: u32 = 100;

/// A card as far as its rules need it.
#[derive(Debug, Default, State)]
pub(crate) struct Card {
    score: u32,
    pub(crate) blocked: bool,
}

/// What a card is told.
#[derive(Clone, Debug, PartialEq, Command)]
pub(crate) enum CardCommand {
    /// A check has found something; enough of it blocks the card.
    #[command("suspect")]
    Suspect {
        /// Which check.
        check: String,
        /// The payment that was too much.
        payment: String,
        /// When it was made.
        at_ms: i64,
        /// What the check has counted.
        figure: Decimal,
        /// How suspicious it is.
        score: u32,
    },
    /// A person has looked at it: the card is good again.
    #[command("release")]
    Release,
}

/// What happened to a card.
#[derive(Clone, Debug, PartialEq, Event)]
pub(crate) enum CardEvent {
    /// A check has found something.
    #[event("suspected")]
    Suspected {
        /// Which check.
        check: String,
        /// The payment that was too much.
        payment: String,
        /// When it was made.
        at_ms: i64,
        /// What the check has counted.
        figure: Decimal,
        /// How suspicious it is.
        score: u32,
    },
    /// That was enough.
    #[event("blocked")]
    Blocked {
        /// What all findings come to.
        score: u32,
    },
    /// It is good again.
    #[event("released")]
    Released,
}

impl Entity for Card {
    const NAME: &'static str = "card";
    type Command = CardCommand;
    type Event = CardEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: CardCommand, _: &CommandContext) -> Result<Decision<CardEvent>, Self::Rejection> {
        match command {
            CardCommand::Suspect { check, payment, at_ms, figure, score } => {
                let total = self.score.saturating_add(score);
                let suspected = record(CardEvent::Suspected { check, payment, at_ms, figure, score });
                let blocks = !self.blocked && total >= BLOCK_SCORE;
                Ok(if blocks { suspected.then(CardEvent::Blocked { score: total }) } else { suspected })
            }
            CardCommand::Release if self.blocked || self.score > 0 => Ok(record(CardEvent::Released)),
            CardCommand::Release => Ok(nothing()),
        }
    }

    fn evolve(&mut self, event: &CardEvent) {
        match event {
            CardEvent::Suspected { score, .. } => self.score = self.score.saturating_add(*score),
            CardEvent::Blocked { .. } => self.blocked = true,
            CardEvent::Released => *self = Self::default(),
        }
    }
}

/// Tells a card what a check has found. There is one for each check, so that adding a check touches no other.
pub(crate) struct BlockCard<C>(PhantomData<fn() -> C>);

impl<C> BlockCard<C> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<C: Check> Action for BlockCard<C> {
    const NAME: &'static str = C::ACTION;
    const ENTITY: &'static str = C::NAME;
    type Event = AlertEvent;

    async fn run(&self, event: Recorded<AlertEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let AlertEvent::Alert { payment, at_ms, figure, score } = event.event;
        let check = C::NAME.to_owned();
        ctx.command::<Card>(event.entity_id, CardCommand::Suspect { check, payment, at_ms, figure, score }).await?;
        Ok(())
    }

    fn delivery(&self) -> DeliveryPolicy {
        // It comes with its check: whatever that has ever said is for it.
        DeliveryPolicy { start: Start::First, ..DeliveryPolicy::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::velocity::Velocity;
    use super::*;

    fn suspect(score: u32) -> CardCommand {
        CardCommand::Suspect { check: "velocity".into(), payment: "p1".into(), at_ms: 1, figure: Decimal::from(6), score }
    }

    fn suspected(score: u32) -> CardEvent {
        CardEvent::Suspected { check: "velocity".into(), payment: "p1".into(), at_ms: 1, figure: Decimal::from(6), score }
    }

    #[test]
    fn a_card_is_blocked_once_when_its_findings_are_enough() {
        given::<Card>([]).when(suspect(40)).then([suspected(40)]);
        given::<Card>([suspected(40)]).when(suspect(59)).then([suspected(59)]);
        given::<Card>([suspected(40)]).when(suspect(60)).then([suspected(60), CardEvent::Blocked { score: 100 }]);
        given::<Card>([suspected(100), CardEvent::Blocked { score: 100 }]).when(suspect(60)).then([suspected(60)]);
    }

    #[test]
    fn a_card_that_was_released_begins_anew() {
        let history = || [suspected(100), CardEvent::Blocked { score: 100 }];
        given::<Card>(history()).when(CardCommand::Release).then([CardEvent::Released]);
        given::<Card>([suspected(100), CardEvent::Blocked { score: 100 }, CardEvent::Released]).when(suspect(60)).then([suspected(60)]);
        given::<Card>([]).when(CardCommand::Release).then([]);
    }

    #[test]
    fn an_alert_is_told_to_its_card() {
        let alert = AlertEvent::Alert { payment: "p1".into(), at_ms: 1, figure: Decimal::from(6), score: 40 };
        given_action(BlockCard::<Velocity>::new()).when("c1", alert).sends([command_to::<Card>("c1", suspect(40))]);
    }
}
