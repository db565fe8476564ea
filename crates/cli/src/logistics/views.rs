//! Where shipments are, live: one row each, and all that they were told.

use headwater::prelude::*;

/// A shipment that is under way, or was.
#[derive(Debug, PartialEq, Value)]
pub(crate) struct Tracked {
    pub(crate) id: String,
    pub(crate) shipper: String,
    pub(crate) carrier: Option<String>,
    /// `planned`, `booked`, `picked-up`, `arrived`, `held`, `cleared`, `going back`, or how it ended.
    pub(crate) stage: String,
    pub(crate) place: Option<String>,
    pub(crate) since: String,
}

/// Which shipment.
#[derive(Value)]
struct OfShipment {
    /// The shipment.
    id: String,
}

/// Something that a shipment was told.
#[derive(Debug, PartialEq, Value)]
struct Told {
    number: u64,
    stage: String,
    place: Option<String>,
    at: String,
}

/// How many shipments there are in a stage.
#[derive(Debug, PartialEq, Value)]
struct InStage {
    stage: String,
    shipments: u64,
}

/// Shipments with where they are, and their ways.
pub(super) fn tracking() -> View {
    let view = View::sqlite("tracking")
        .about("Where shipments are, and how they came there.")
        .table(
            "CREATE TABLE shipment (id TEXT PRIMARY KEY, shipper TEXT NOT NULL, carrier TEXT, stage TEXT NOT NULL, place TEXT,
             since TEXT NOT NULL) WITHOUT ROWID",
        )
        .table("CREATE INDEX shipment_stage ON shipment (stage)")
        .table("CREATE INDEX shipment_since ON shipment (since)")
        .table(
            "CREATE TABLE told (id TEXT, number INTEGER, stage TEXT NOT NULL, place TEXT, at TEXT NOT NULL, PRIMARY KEY (id, number))
             WITHOUT ROWID",
        )
        .on("shipment/planned", "INSERT INTO shipment VALUES (@id, :shipper, NULL, 'planned', NULL, @time)")
        .on("shipment/booked", "UPDATE shipment SET carrier = :carrier WHERE id = @id")
        .query::<(), Tracked>("live", "SELECT id, shipper, carrier, stage, place, since FROM shipment ORDER BY since DESC, id LIMIT 50")
        .query::<OfShipment, Told>("way", "SELECT number, stage, place, at FROM told WHERE id = :id ORDER BY number")
        .query::<(), InStage>("stages", "SELECT stage, count(*) AS shipments FROM shipment GROUP BY stage ORDER BY stage");
    STAGES.iter().fold(view, |view, (event, stage, place)| {
        view.on(format!("shipment/{event}"), format!("INSERT INTO told VALUES (@id, @sequence, {stage}, {place}, @time)")).on(
            format!("shipment/{event}"),
            format!("UPDATE shipment SET stage = {stage}, place = ifnull({place}, place), since = @time WHERE id = @id"),
        )
    })
}

/// What each event makes of a shipment: its stage, and where it is, if the event knows.
const STAGES: [(&str, &str, &str); 7] = [
    ("planned", "'planned'", "NULL"),
    ("booked", "'booked'", "NULL"),
    ("seen", ":status", ":place"),
    ("held", "'held'", ":place"),
    ("cleared", "'cleared'", "NULL"),
    ("turned-back", "'going back'", "NULL"),
    ("closed", ":outcome", "NULL"),
];

#[cfg(test)]
mod tests {
    use super::super::position::Status;
    use super::super::shipment::{Shipment, ShipmentEvent};
    use super::*;

    #[test]
    fn a_shipment_is_followed_from_place_to_place() {
        let planned = ShipmentEvent::Planned { shipper: "ann".into(), supplier: "mill".into(), pieces: 2, destination: "Lyon".into() };
        let seen = |status, place: &str| ShipmentEvent::Seen { status, place: place.into() };
        let at = || "1970-01-01T00:00:00.000000Z".to_owned();
        let told =
            |number, stage: &str, place: Option<&str>| Told { number, stage: stage.into(), place: place.map(str::to_owned), at: at() };
        given_view(tracking())
            .at(0)
            .events::<Shipment>("s1", [planned, ShipmentEvent::Booked { carrier: "van".into() }, seen(Status::PickedUp, "mill")])
            .events::<Shipment>("s1", [seen(Status::Arrived, "Lyon"), ShipmentEvent::Held { place: "Lyon".into() }])
            .query("live", ())
            .rows([Tracked {
                id: "s1".into(),
                shipper: "ann".into(),
                carrier: Some("van".into()),
                stage: "held".into(),
                place: Some("Lyon".into()),
                since: at(),
            }])
            .query("way", OfShipment { id: "s1".into() })
            .rows([
                told(1, "planned", None),
                told(2, "booked", None),
                told(3, "picked-up", Some("mill")),
                told(4, "arrived", Some("Lyon")),
                told(5, "held", Some("Lyon")),
            ])
            .query("stages", ())
            .rows([InStage { stage: "held".into(), shipments: 1 }]);
    }
}
