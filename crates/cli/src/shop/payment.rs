//! The payment service: what an order is to pay, and what the bank says to it, a moment later. The bank is one of the demo's.

use headwater::prelude::*;

/// The service's name.
pub(crate) const PAYMENT: &str = "payment";
/// The stream of what the bank has said.
pub(crate) const PAYMENTS: &str = "payments";

/// What the bank lets through at once, in cents.
const LIMIT_CENTS: u64 = 100_000;

/// A payment as far as its rules need it.
#[derive(Debug, Default, PartialEq, State)]
pub(crate) struct Payment {
    requested: bool,
    called_off: bool,
    pub(crate) captured_cents: u64,
}

/// What is done with a payment.
#[derive(Clone, Debug, Command)]
pub(crate) enum PaymentCommand {
    /// Asks the bank for it.
    #[command("charge")]
    Charge {
        /// How much.
        cents: u64,
    },
    /// The bank has paid.
    #[command("capture")]
    Capture {
        /// How much.
        cents: u64,
    },
    /// The bank does not pay.
    #[command("decline")]
    Decline,
    /// It is not wanted any more: what was paid is given back, and what comes later is not taken.
    #[command("call-off")]
    CallOff,
}

/// What happened to a payment.
#[derive(Clone, Debug, PartialEq, Event)]
pub(crate) enum PaymentEvent {
    /// The bank is asked.
    #[event("requested")]
    Requested {
        /// How much.
        cents: u64,
    },
    /// It has paid.
    #[event("captured")]
    Captured {
        /// How much.
        cents: u64,
    },
    /// It does not pay.
    #[event("declined")]
    Declined,
    /// It is not wanted any more.
    #[event("called-off")]
    CalledOff {
        /// How much is given back.
        cents: u64,
    },
}

impl Entity for Payment {
    const NAME: &'static str = "payment";
    type Command = PaymentCommand;
    type Event = PaymentEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: PaymentCommand, _: &CommandContext) -> Result<Decision<PaymentEvent>, Self::Rejection> {
        Ok(match command {
            // One that was called off before it came is not asked for any more.
            PaymentCommand::Charge { .. } if self.requested || self.called_off => nothing(),
            PaymentCommand::Charge { cents } => record(PaymentEvent::Requested { cents }),
            PaymentCommand::Capture { .. } | PaymentCommand::Decline if self.called_off => nothing(),
            PaymentCommand::Capture { cents } => record(PaymentEvent::Captured { cents }),
            PaymentCommand::Decline => record(PaymentEvent::Declined),
            PaymentCommand::CallOff if self.called_off => nothing(),
            PaymentCommand::CallOff => record(PaymentEvent::CalledOff { cents: self.captured_cents }),
        })
    }

    fn evolve(&mut self, event: &PaymentEvent) {
        match event {
            PaymentEvent::Requested { .. } => self.requested = true,
            PaymentEvent::Captured { cents } => self.captured_cents = *cents,
            PaymentEvent::Declined => {}
            PaymentEvent::CalledOff { .. } => {
                self.called_off = true;
                self.captured_cents = 0;
            }
        }
    }
}

/// What others may know of a payment.
#[derive(Clone, Debug, PartialEq, Value)]
pub(crate) struct Answered {
    /// Whether the bank has paid.
    pub(crate) paid: bool,
}

/// What leaves the service.
fn payments() -> Stream {
    Stream::new(PAYMENTS).about("What the bank has said to payments.").event::<Payment, Answered>("answered", |payment| {
        match payment.event {
            PaymentEvent::Captured { .. } => Some(Answered { paid: true }),
            PaymentEvent::Declined => Some(Answered { paid: false }),
            PaymentEvent::Requested { .. } | PaymentEvent::CalledOff { .. } => None,
        }
    })
}

/// The bank.
struct Bank;

impl Action for Bank {
    const NAME: &'static str = "bank";
    const ENTITY: &'static str = "payment";
    type Event = PaymentEvent;

    async fn run(&self, event: Recorded<PaymentEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let PaymentEvent::Requested { cents } = event.event else { return Ok(()) };
        let says = if cents > LIMIT_CENTS { PaymentCommand::Decline } else { PaymentCommand::Capture { cents } };
        ctx.command::<Payment>(event.entity_id, says).await?;
        Ok(())
    }
}

/// The service.
pub(crate) fn service() -> Service {
    without_bank().action(Bank)
}

/// The same, whose bank never answers.
pub(super) fn without_bank() -> Service {
    Service::new(PAYMENT).entity::<Payment>().stream(payments())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bank_pays_up_to_its_limit() {
        let requested = |cents| PaymentEvent::Requested { cents };
        let capture = PaymentCommand::Capture { cents: LIMIT_CENTS };
        given_action(Bank).when("o1", requested(LIMIT_CENTS)).sends([command_to::<Payment>("o1", capture)]);
        given_action(Bank).when("o1", requested(LIMIT_CENTS + 1)).sends([command_to::<Payment>("o1", PaymentCommand::Decline)]);
    }

    #[test]
    fn what_was_called_off_is_given_back_and_what_comes_later_is_not_taken() {
        let paid = || [PaymentEvent::Requested { cents: 7 }, PaymentEvent::Captured { cents: 7 }];
        given::<Payment>(paid()).when(PaymentCommand::CallOff).then([PaymentEvent::CalledOff { cents: 7 }]);
        given::<Payment>([]).when(PaymentCommand::CallOff).then([PaymentEvent::CalledOff { cents: 0 }]);
        let called_off = || [PaymentEvent::CalledOff { cents: 0 }];
        given::<Payment>(called_off()).when(PaymentCommand::Charge { cents: 7 }).then([]);
        given::<Payment>(called_off()).when(PaymentCommand::Capture { cents: 7 }).then([]);
    }
}
