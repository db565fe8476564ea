//! Timers: what happens later. A seat is held for ten minutes; who has not paid by then loses it.
//!
//! Run it, hold a seat, and look at what waits for it:
//!
//! ```sh
//! cargo run -p headwater-examples --bin 11-timers
//! curl -X POST http://127.0.0.1:7430/v1/entities/seat/a7/hold -H 'content-type: application/json' -d '{"by":"Ann"}'
//! cargo run -p headwater-examples --bin 11-timers -- timer list
//! ```

use std::time::Duration;

use headwater::prelude::*;

const HELD_FOR: Duration = Duration::from_secs(600);

#[derive(Debug, Default, State)]
struct Seat {
    /// Who holds it, or has it.
    by: Option<String>,
    paid: bool,
}

#[derive(Command)]
enum SeatCommand {
    #[command("hold")]
    Hold { by: String },
    #[command("pay")]
    Pay,
    /// Sent by a timer: whoever holds it has had their time.
    #[command("release")]
    Release,
}

#[derive(Debug, PartialEq, Event)]
enum SeatEvent {
    #[event("held")]
    Held { by: String },
    #[event("sold")]
    Sold { to: String },
    /// With how late the timer was, in microseconds.
    #[event("released")]
    Released { late: i64 },
}

#[derive(Debug, PartialEq, Rejection)]
enum SeatRejection {
    #[rejection("taken", "the seat is taken")]
    Taken,
    #[rejection("not-held", "nobody holds the seat")]
    NotHeld,
}

impl Entity for Seat {
    const NAME: &'static str = "seat";
    type Command = SeatCommand;
    type Event = SeatEvent;
    type Reply = ();
    type Rejection = SeatRejection;

    fn decide(&self, command: SeatCommand, context: &CommandContext) -> Result<Decision<SeatEvent>, SeatRejection> {
        match (command, &self.by) {
            (SeatCommand::Hold { by }, None) => Ok(record(SeatEvent::Held { by })),
            (SeatCommand::Hold { .. }, Some(_)) => Err(SeatRejection::Taken),
            (SeatCommand::Pay, Some(by)) if !self.paid => Ok(record(SeatEvent::Sold { to: by.clone() })),
            (SeatCommand::Pay, _) => Err(SeatRejection::NotHeld),
            (SeatCommand::Release, Some(_)) if !self.paid => {
                let due = context.timer_due_micros.unwrap_or(context.time_micros);
                Ok(record(SeatEvent::Released { late: context.time_micros - due }))
            }
            // The timer may be a moment ahead of the event that cancels it: then there is nothing to do.
            (SeatCommand::Release, _) => Ok(nothing()),
        }
    }

    fn evolve(&mut self, event: &SeatEvent) {
        match event {
            SeatEvent::Held { by } => self.by = Some(by.clone()),
            SeatEvent::Sold { .. } => self.paid = true,
            SeatEvent::Released { .. } => self.by = None,
        }
    }
}

/// Sets the timer when a seat is held, and cancels it when it is paid. Runs that come again change nothing.
struct Expiry;

impl Action for Expiry {
    const NAME: &'static str = "expiry";
    const ENTITY: &'static str = "seat";
    type Event = SeatEvent;

    async fn run(&self, seat: Recorded<SeatEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let (id, name) = (seat.entity_id.clone(), format!("release-{}", seat.entity_id));
        match seat.event {
            SeatEvent::Held { .. } => ctx.timer(name).after(HELD_FOR).send::<Seat>(id, SeatCommand::Release).await?,
            SeatEvent::Sold { .. } => {
                let _was_in_time = ctx.cancel_timer(name).await?;
            }
            SeatEvent::Released { .. } => {}
        }
        Ok(())
    }
}

fn hall() -> Service {
    Service::new("hall").entity::<Seat>().action(Expiry)
}

fn main() -> headwater::Exit {
    hall().run()
}

#[cfg(test)]
mod tests {
    use headwater::testkit::Testkit;

    use super::*;

    fn held() -> SeatEvent {
        SeatEvent::Held { by: "Ann".into() }
    }

    #[test]
    fn an_action_is_tested_by_what_it_sends() {
        given_action(Expiry).when("a7", held()).sends([timer_after::<Seat>("release-a7", HELD_FOR, "a7", SeatCommand::Release)]);
        given_action(Expiry).when("a7", SeatEvent::Sold { to: "Ann".into() }).sends([timer_cancelled("release-a7")]);
    }

    #[test]
    fn a_seat_that_nobody_pays_is_free_again_after_ten_minutes() {
        let kit = Testkit::new(hall);
        kit.send::<Seat>("a7", SeatCommand::Hold { by: "Ann".into() }).unwrap();
        kit.settle();
        kit.advance(HELD_FOR - Duration::from_secs(1));
        assert_eq!(kit.events::<Seat>("a7"), [held()]);
        // Whatever happens to the process meanwhile.
        kit.restart();
        kit.advance(Duration::from_secs(1));
        kit.settle();
        assert_eq!(kit.events::<Seat>("a7").len(), 2);
        assert!(kit.send::<Seat>("a7", SeatCommand::Hold { by: "Bob".into() }).is_ok(), "it is free again");
    }

    #[test]
    fn a_seat_that_is_paid_stays_sold() {
        let kit = Testkit::new(hall);
        kit.send::<Seat>("a7", SeatCommand::Hold { by: "Ann".into() }).unwrap();
        kit.send::<Seat>("a7", SeatCommand::Pay).unwrap();
        kit.settle();
        assert_eq!(kit.timer("release-a7").unwrap().state.word(), "cancelled");
        kit.advance(HELD_FOR * 2);
        assert_eq!(kit.events::<Seat>("a7"), [held(), SeatEvent::Sold { to: "Ann".into() }]);
    }
}
