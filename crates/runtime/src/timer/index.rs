//! Which timers are due: a table of those that wait and those that are parked, in SQLite, filled from the journal as views are.
//!
//! It is derived: deleted, it is made again. What a timer sends lies in it as it lies in the journal, so personal values stay sealed, and an
//! erasure needs nothing of it. Timers that are done are not in it.

use super::record::{CANCELLED, FIRED, PARKED, REDRIVEN, SET, TIMER};
use crate::limits::Limits;
use crate::view::{PlatformIndex, Surroundings, ViewFolder};
use component::hosted::{EntityDescription, ShapeDescription, ViewHandle};
use component::{Value, View};
use journal::limits::ID_BYTES_MAX;
use serde_json::{Value as Json, json};

const NAME: &str = "timers";

/// From where on, and until when, timers are looked for.
#[derive(Value)]
pub(super) struct DueInput {
    pub(super) due: i64,
    pub(super) tenant: String,
    pub(super) name: String,
    pub(super) now: i64,
    pub(super) limit: u32,
}

/// A timer that is due.
#[derive(Value)]
pub(super) struct DueRow {
    pub(super) tenant: String,
    pub(super) name: String,
    pub(super) due: i64,
    pub(super) sequence: u64,
    pub(super) generation: u64,
    /// The payload of the event that set it, as it lies in the journal.
    pub(super) content: String,
    pub(super) event: String,
    pub(super) correlation: Option<String>,
    pub(super) principal: Option<String>,
}

/// Which timers are listed.
#[derive(Default, Value)]
pub(super) struct ListInput {
    pub(super) tenant: String,
    /// Names behind this one.
    pub(super) after: String,
    pub(super) prefix: String,
    /// The first name and the last one that these two allow: what the index is searched by.
    pub(super) first: String,
    pub(super) last: String,
    pub(super) from: Option<i64>,
    pub(super) until: Option<i64>,
    pub(super) kind: Option<String>,
    pub(super) target: Option<String>,
    pub(super) state: Option<String>,
    pub(super) limit: u32,
}

/// A timer in a list.
#[derive(Value)]
pub(super) struct ListRow {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) due: i64,
    pub(super) kind: String,
    pub(super) target: String,
    pub(super) command: String,
    pub(super) cause: Option<String>,
}

#[derive(Value)]
pub(super) struct Counts {
    pub(super) pending: u64,
    pub(super) parked: u64,
}

fn view() -> ViewHandle {
    let of = "WHERE tenant = @tenant AND name = @id";
    View::sqlite(NAME)
        .table(
            "CREATE TABLE timer (tenant TEXT NOT NULL, name TEXT NOT NULL, due INTEGER NOT NULL, state TEXT NOT NULL,
             sequence INTEGER NOT NULL, generation INTEGER NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, command TEXT NOT NULL,
             content TEXT NOT NULL, event TEXT NOT NULL, correlation TEXT, principal TEXT, cause TEXT, PRIMARY KEY (tenant, name)) WITHOUT ROWID",
        )
        .table("CREATE INDEX timer_due ON timer (due, tenant, name) WHERE state = 'pending'")
        .table("CREATE INDEX timer_parked ON timer (tenant, name) WHERE state = 'parked'")
        .on(
            format!("{TIMER}/{SET}"),
            "INSERT OR REPLACE INTO timer VALUES (@tenant, @id, :due, 'pending', @sequence, @sequence, :type, :id, :command, @data, @event_id,
             @correlation, @principal, NULL)",
        )
        .on(format!("{TIMER}/{CANCELLED}"), format!("DELETE FROM timer {of}"))
        .on(format!("{TIMER}/{FIRED}"), format!("DELETE FROM timer {of} AND :next IS NULL"))
        .on(format!("{TIMER}/{FIRED}"), format!("UPDATE timer SET due = :next, sequence = @sequence {of} AND :next IS NOT NULL"))
        .on(format!("{TIMER}/{PARKED}"), format!("UPDATE timer SET state = 'parked', cause = :cause, sequence = @sequence {of}"))
        .on(format!("{TIMER}/{REDRIVEN}"), format!("UPDATE timer SET state = 'pending', cause = NULL, sequence = @sequence {of}"))
        .query::<DueInput, DueRow>(
            "due",
            "SELECT tenant, name, due, sequence, generation, content, event, correlation, principal FROM timer
             WHERE state = 'pending' AND (due, tenant, name) > (:due, :tenant, :name) AND due <= :now ORDER BY due, tenant, name LIMIT :limit",
        )
        .query::<DueInput, i64>(
            "next",
            "SELECT due FROM timer WHERE state = 'pending' AND (due, tenant, name) > (:due, :tenant, :name) AND due > :now
             ORDER BY due, tenant, name LIMIT :limit",
        )
        .query::<ListInput, ListRow>(
            "list",
            "SELECT name, state, due, kind, target, command, cause FROM timer
             WHERE tenant = :tenant AND name >= :first AND name <= :last AND name <> :after AND substr(name, 1, length(:prefix)) = :prefix
             AND (:from IS NULL OR due >= :from) AND (:until IS NULL OR due < :until) AND (:kind IS NULL OR kind = :kind)
             AND (:target IS NULL OR target = :target) AND (:state IS NULL OR state = :state) ORDER BY name LIMIT :limit",
        )
        .query::<(), Counts>(
            "counts",
            "SELECT (SELECT count(*) FROM timer WHERE state = 'pending') AS pending, (SELECT count(*) FROM timer WHERE state = 'parked') AS parked",
        )
        .hosted()
}

impl ListInput {
    /// Names of this tenant behind `after` that begin with a prefix.
    pub(super) fn of(tenant: String, after: String, prefix: String) -> Self {
        let first = after.clone().max(prefix.clone());
        // No name goes on behind its prefix with more of the last letter that there is.
        let last = format!("{prefix}{}", char::MAX.to_string().repeat(ID_BYTES_MAX / char::MAX.len_utf8()));
        Self { tenant, after, prefix, first, last, ..Self::default() }
    }
}

/// The index; nothing of it is filled yet.
pub(super) fn index(around: Surroundings, folder: Option<ViewFolder>, limits: Limits) -> PlatformIndex {
    PlatformIndex::new((&view(), description()), around, folder, limits)
}

/// What the index is checked against.
fn description() -> EntityDescription {
    let (number, text) = (json!({ "type": "integer" }), json!({ "type": "string" }));
    let event = |name: &'static str, fields: &[(&str, &Json)]| {
        let properties: serde_json::Map<String, Json> =
            fields.iter().map(|(name, schema)| ((*name).to_owned(), (*schema).clone())).collect();
        ShapeDescription { name, version: 1, schema: json!({ "type": "object", "properties": properties }), ..ShapeDescription::default() }
    };
    let events = vec![
        event(SET, &[("due", &number), ("type", &text), ("id", &text), ("command", &text)]),
        event(FIRED, &[("next", &json!({ "type": ["integer", "null"] }))]),
        event(PARKED, &[("cause", &text)]),
        event(REDRIVEN, &[]),
        event(CANCELLED, &[]),
    ];
    EntityDescription { name: TIMER, events, reply: json!({}), state: json!({}), ..EntityDescription::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

    use rusqlite::Connection;

    use super::{ListInput, view};

    /// How SQLite goes about a query.
    fn plan(query: &str) -> String {
        let (view, connection) = (view(), Connection::open_in_memory().unwrap());
        view.tables().iter().for_each(|table| connection.execute_batch(table).unwrap());
        let sql = &view.queries().iter().find(|known| known.name == query).unwrap().sql;
        let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // Nothing is bound: it is not run.
        let (mut rows, mut details) = (explained.raw_query(), Vec::new());
        while let Some(row) = rows.next().unwrap() {
            details.push(row.get::<_, String>(3).unwrap());
        }
        details.join("; ")
    }

    #[test]
    fn neither_lists_nor_firings_go_through_timers_that_they_do_not_want() {
        assert_eq!(plan("list"), "SEARCH timer USING PRIMARY KEY (tenant=? AND name>? AND name<?)");
        for query in ["due", "next"] {
            let plan = plan(query);
            assert!(plan.starts_with("SEARCH timer USING") && plan.contains("INDEX timer_due (") && !plan.contains(';'), "{plan}");
        }
    }

    #[test]
    fn a_list_begins_behind_a_name_or_with_its_prefix_whatever_is_later() {
        let input = |after: &str, prefix: &str| ListInput::of(String::new(), after.into(), prefix.into());
        assert_eq!([input("", "b/").first, input("b/7", "b/").first, input("a", "").first], ["b/", "b/7", "a"]);
        let last = input("", "b/").last;
        assert!("b/\u{10ffff}\u{10ffff}" < &*last && *last < *"b0");
    }
}
