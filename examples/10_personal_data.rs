//! One idea more: personal data. A guest's name and what they wrote are encrypted with a key of the guest wherever the service keeps them; erasing the
//! guest destroys the key, and everything still replays.
//!
//! ```text
//! cargo run -p headwater-examples --bin 10-personal-data
//! cargo run -p headwater-examples --bin 10-personal-data -- send room r1 book '{"guest":"g1","name":"Ann","nights":2}'
//! cargo run -p headwater-examples --bin 10-personal-data -- view query guests all
//! cargo run -p headwater-examples --bin 10-personal-data -- erase guest g1 --yes
//! cargo run -p headwater-examples --bin 10-personal-data -- entity history room r1
//! ```

use headwater::prelude::*;

/// A room, and who sleeps in it.
#[derive(Default, State)]
struct Room {
    guest: Personal<String>,
    nights: u32,
}

/// What a room is told.
#[derive(Command)]
enum RoomCommand {
    /// Somebody comes.
    #[command("book")]
    Book {
        guest: String,
        /// The guest's, and not the room's: this is who is erased.
        #[personal(subject = "guest/{guest}")]
        name: Personal<String>,
        nights: u32,
    },
}

/// What happened to a room.
#[derive(Debug, PartialEq, Event)]
enum RoomEvent {
    /// Somebody will sleep in it.
    #[event("booked")]
    Booked {
        guest: String,
        #[personal(subject = "guest/{guest}")]
        name: Personal<String>,
        nights: u32,
    },
}

/// Why nobody sleeps in it.
#[derive(Debug, PartialEq, Rejection)]
enum RoomRejection {
    /// The name does not show: it is personal.
    #[rejection("taken", "{by} has it already")]
    Taken { by: Personal<String> },
}

impl Entity for Room {
    const NAME: &'static str = "room";
    type Command = RoomCommand;
    type Event = RoomEvent;
    type Reply = ();
    type Rejection = RoomRejection;

    fn decide(&self, command: RoomCommand, _: &CommandContext) -> Result<Decision<RoomEvent>, RoomRejection> {
        let RoomCommand::Book { guest, name, nights } = command;
        if self.nights > 0 {
            return Err(RoomRejection::Taken { by: self.guest.clone() });
        }
        Ok(record(RoomEvent::Booked { guest, name, nights }))
    }

    fn evolve(&mut self, event: &RoomEvent) {
        let RoomEvent::Booked { name, nights, .. } = event;
        (self.guest, self.nights) = (name.clone(), *nights);
    }
}

/// A row of the view: the name is null once its guest is erased.
#[derive(Debug, PartialEq, Value)]
struct Guest {
    room: String,
    name: Option<String>,
    nights: u32,
}

fn guests() -> View {
    View::sqlite("guests")
        .table("CREATE TABLE guest (room TEXT PRIMARY KEY, name TEXT, nights INTEGER NOT NULL)")
        .on("room/booked", "INSERT OR REPLACE INTO guest VALUES (@id, :name, :nights)")
        .query::<(), Guest>("all", "SELECT room, name, nights FROM guest ORDER BY room")
}

fn hotel() -> Service {
    Service::new("hotel").entity::<Room>().view(guests())
}

fn main() -> headwater::Exit {
    hotel().run()
}

#[cfg(test)]
mod tests {
    use headwater::testkit::Testkit;

    use super::*;

    fn ann() -> Personal<String> {
        Personal::new("Ann".to_owned())
    }

    fn book(guest: &str, name: Personal<String>) -> RoomCommand {
        RoomCommand::Book { guest: guest.into(), name, nights: 2 }
    }

    #[test]
    fn a_rule_is_tested_without_keys_and_also_on_what_is_erased() {
        given::<Room>([])
            .when(book("g1", ann()))
            .then([RoomEvent::Booked { guest: "g1".into(), name: ann(), nights: 2 }])
            .state(|room| assert_eq!(room.guest.subject(), Some("guest/g1")));
        given::<Room>([RoomEvent::Booked { guest: "g1".into(), name: Personal::erased(), nights: 2 }])
            .when(book("g2", ann()))
            .rejected(RoomRejection::Taken { by: Personal::erased() });
    }

    #[test]
    fn who_is_erased_is_nowhere_any_more_and_what_happened_stays() {
        let kit = Testkit::new(hotel);
        kit.send::<Room>("r1", book("g1", ann())).unwrap();
        kit.send::<Room>("r2", book("g2", ann())).unwrap();
        kit.erase("guest/g1");
        kit.settle();
        let rows: Vec<Guest> = kit.query("guests", "all", ());
        let row = |room: &str, name: Option<&str>| Guest { room: room.into(), name: name.map(str::to_owned), nights: 2 };
        assert_eq!(rows, [row("r1", None), row("r2", Some("Ann"))]);
        kit.restart();
        assert_eq!(kit.events::<Room>("r1"), [RoomEvent::Booked { guest: "g1".into(), name: Personal::erased(), nights: 2 }]);
    }
}
