//! The service that `bench view` measures: meters that are read, and a view with a row for each.

use headwater::prelude::*;

/// What a meter has shown.
#[derive(Debug, Default, State)]
pub(super) struct Meter {
    value: i64,
}

/// What is done with a meter.
#[derive(Command)]
pub(super) enum MeterCommand {
    /// Reads it.
    #[command("read")]
    Read {
        /// What it shows.
        value: i64,
        /// What that is counted in.
        unit: String,
        /// Where it hangs.
        place: String,
        /// When it was read.
        at: String,
    },
}

/// What happened to a meter.
#[derive(Clone, Debug, PartialEq, Event)]
pub(super) enum MeterEvent {
    /// It was read.
    #[event("was-read")]
    WasRead {
        /// What it showed.
        value: i64,
        /// What that is counted in.
        unit: String,
        /// Where it hangs.
        place: String,
        /// When it was read.
        at: String,
    },
}

impl Entity for Meter {
    const NAME: &'static str = "meter";
    type Command = MeterCommand;
    type Event = MeterEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: MeterCommand, _: &CommandContext) -> Result<Decision<MeterEvent>, Self::Rejection> {
        let MeterCommand::Read { value, unit, place, at } = command;
        Ok(record(MeterEvent::WasRead { value, unit, place, at }))
    }

    fn evolve(&mut self, event: &MeterEvent) {
        let MeterEvent::WasRead { value, .. } = event;
        self.value = *value;
    }
}

/// Which meter.
#[derive(Value)]
struct Which {
    /// Its id.
    id: String,
}

/// A row of the view.
#[derive(Value)]
struct MeterRow {
    id: String,
    value: i64,
    unit: String,
    place: String,
    at: String,
}

/// The view's table, which the raw probe fills as well.
pub(super) const TABLE: &str = "CREATE TABLE meter (id TEXT PRIMARY KEY, value INTEGER NOT NULL, unit TEXT NOT NULL,
     place TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID";
/// The probe's statement. The view's differs in the names of its parameters only.
pub(super) const UPSERT: &str = "INSERT INTO meter VALUES (?1, ?2, ?3, ?4, ?5)
     ON CONFLICT DO UPDATE SET value = excluded.value, unit = excluded.unit, place = excluded.place, at = excluded.at";

fn meters() -> View {
    View::sqlite("meters")
        .about("The last reading of each meter.")
        .table(TABLE)
        .on(
            "meter/was-read",
            "INSERT INTO meter VALUES (@id, :value, :unit, :place, :at)
             ON CONFLICT DO UPDATE SET value = excluded.value, unit = excluded.unit, place = excluded.place, at = excluded.at",
        )
        .query::<Which, MeterRow>("one", "SELECT id, value, unit, place, at FROM meter WHERE id = :id")
}

/// The service.
pub(super) fn service() -> Service {
    Service::new("meters").entity::<Meter>().view(meters())
}

#[cfg(test)]
mod tests {
    use headwater::prelude::*;

    use super::{Meter, MeterEvent, MeterRow, Which, meters};

    #[test]
    fn a_row_is_the_last_reading() {
        let read = |value| MeterEvent::WasRead { value, unit: "kWh".into(), place: "cellar".into(), at: "08:26".into() };
        let row = MeterRow { id: "m1".into(), value: 2, unit: "kWh".into(), place: "cellar".into(), at: "08:26".into() };
        given_view(meters()).events::<Meter>("m1", [read(1), read(2)]).query("one", Which { id: "m1".into() }).rows([row]);
    }
}
