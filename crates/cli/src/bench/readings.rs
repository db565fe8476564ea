//! A million readings of meters, the same at each call: as events of a journal, and as rows for the raw probe.

use std::path::Path;

use bytes::Bytes;
use headwater::{Exit, Failure, threads};
use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Journal as _};
use runtime::view_probe::ProbeValue;

use super::statistics::Dice;

/// Events of a catch-up.
pub(super) const EVENTS: usize = 1_000_000;
/// Events of one commit, each of a command of its own.
const COMMIT_EVENTS: usize = 1_000;
const UNITS: [&str; 4] = ["kWh", "m3", "GJ", "l"];

/// Readings over so many meters, picked at random.
pub(super) struct Readings {
    ids: Vec<String>,
    places: Vec<String>,
    minutes: Vec<String>,
}

/// One of them.
struct Reading<'a> {
    id: &'a str,
    value: i64,
    unit: &'a str,
    place: &'a str,
    at: &'a str,
}

impl Readings {
    pub(super) fn new(meters: usize) -> Self {
        Self {
            ids: (0..meters).map(|meter| format!("meter-{meter:06}")).collect(),
            places: (0..100).map(|place| format!("street {place}, cellar")).collect(),
            minutes: (0..1_440).map(|minute| format!("2026-11-26 {:02}:{:02}:00", minute / 60, minute % 60)).collect(),
        }
    }

    fn all(&self) -> impl Iterator<Item = Reading<'_>> {
        let mut dice = Dice::new(1);
        (0..EVENTS).map(move |number| {
            let meter = dice.roll(self.ids.len());
            Reading {
                id: &self.ids[meter],
                value: number as i64,
                unit: UNITS[meter % UNITS.len()],
                place: &self.places[meter % self.places.len()],
                at: &self.minutes[number % self.minutes.len()],
            }
        })
    }

    /// As rows of the view's table.
    pub(super) fn rows(&self) -> impl Iterator<Item = [ProbeValue<'_>; 5]> {
        use ProbeValue::{Integer, Text};
        self.all().map(|reading| [Text(reading.id), Integer(reading.value), Text(reading.unit), Text(reading.place), Text(reading.at)])
    }

    /// As the journal of a service that has recorded them.
    pub(super) fn record(&self, directory: &Path) -> Result<(), Failure> {
        let journal = super::journal::open(directory)?;
        let refused = |error: &dyn std::fmt::Display| Failure::plain(Exit::Failed, format!("the readings are not recorded: {error}"));
        threads::call(async {
            let mut readings = self.all().enumerate().peekable();
            while readings.peek().is_some() {
                let commands: Result<Vec<_>, _> = readings.by_ref().take(COMMIT_EVENTS).map(command).collect();
                let commit = Commit { commands: commands.map_err(|error| refused(&error))?, ..Commit::default() };
                journal.append(commit).await.map_err(|error| refused(&error))?;
            }
            journal.close().await;
            Ok(())
        })
    }
}

fn command((number, reading): (usize, Reading<'_>)) -> Result<CommandRecord, String> {
    let Reading { id, value, unit, place, at } = reading;
    let payload = format!(r#"{{"value":{value},"unit":"{unit}","place":"{place}","at":"{at}"}}"#);
    let event = EventData {
        name: "was-read".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: payload.into_bytes().into(),
    };
    Ok(CommandRecord {
        entity: EntityKey::new("meter", id).map_err(|error| error.to_string())?,
        id: CommandId::from_raw(&number.to_le_bytes()),
        name: "read".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::from_static(b"null"),
        events: vec![event],
    })
}
