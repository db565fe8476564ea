//! Which workflows there are, how they stand and when they are to be looked at again: a table in SQLite, filled from the journal as views
//! are.
//!
//! It is derived: deleted, it is made again. What a workflow knows is not in it.

use component::hosted::{EntityDescription, ShapeDescription, ViewHandle};
use component::{Value, View};
use serde_json::json;

use super::record::{RESTARTED, STARTED, TOLD, WORKFLOW, WorkflowState};
use crate::limits::Limits;
use crate::view::{PlatformIndex, Surroundings, ViewFolder};

const NAME: &str = "workflows";

/// From where on, and until when, workflows are looked for.
#[derive(Value)]
pub(super) struct DueInput {
    pub(super) due: i64,
    pub(super) tenant: String,
    pub(super) key: String,
    pub(super) now: i64,
    pub(super) limit: u32,
}

/// A workflow that is to be looked at.
#[derive(Value)]
pub(super) struct DueRow {
    pub(super) tenant: String,
    pub(super) key: String,
    pub(super) due: i64,
}

/// Behind which one workflows are looked for that work.
#[derive(Value)]
pub(super) struct WorkInput {
    pub(super) state: String,
    pub(super) tenant: String,
    pub(super) key: String,
    pub(super) limit: u32,
}

/// A workflow that works, or whose parent does not know that it has ended.
#[derive(Value)]
pub(super) struct WorkRow {
    pub(super) tenant: String,
    pub(super) key: String,
}

/// Which workflows are listed.
#[derive(Default, Value)]
pub(super) struct ListInput {
    pub(super) tenant: String,
    pub(super) after: String,
    /// Of `{name}/{id}`.
    pub(super) prefix: String,
    /// The first text behind all that begin so.
    pub(super) end: String,
    pub(super) state: Option<String>,
    pub(super) limit: u32,
}

/// A workflow in a list.
#[derive(Value)]
pub(super) struct ListRow {
    pub(super) key: String,
    pub(super) state: String,
    pub(super) due: Option<i64>,
    pub(super) why: Option<String>,
    pub(super) started: i64,
    pub(super) changed: i64,
}

/// How many stand so.
#[derive(Value)]
pub(super) struct CountRow {
    pub(super) state: String,
    pub(super) count: u64,
}

fn view() -> ViewHandle {
    let of = "WHERE tenant = @tenant AND key = @id";
    let begun = "INSERT INTO workflow VALUES (@tenant, @id, :state, :due, :why, @time_micros, @time_micros,
         CASE WHEN json_extract(:cause, '$.begin.parent') IS NULL THEN 0 ELSE 1 END)
         ON CONFLICT (tenant, key) DO UPDATE SET state = excluded.state, due = excluded.due, why = excluded.why, changed = excluded.changed";
    let mut view = View::sqlite(NAME)
        .table(
            "CREATE TABLE workflow (tenant TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, due INTEGER, why TEXT,
             started INTEGER NOT NULL, changed INTEGER NOT NULL, untold INTEGER NOT NULL, PRIMARY KEY (tenant, key)) WITHOUT ROWID",
        )
        .table("CREATE INDEX workflow_due ON workflow (due, tenant, key) WHERE due IS NOT NULL")
        // Most have succeeded, and are found without it.
        .table("CREATE INDEX workflow_state ON workflow (state, tenant, key) WHERE state <> 'completed'")
        .table("CREATE INDEX workflow_untold ON workflow (tenant, key) WHERE untold = 1")
        .on(format!("{WORKFLOW}/{STARTED}"), begun)
        .on(format!("{WORKFLOW}/{RESTARTED}"), begun)
        .on(format!("{WORKFLOW}/{TOLD}"), format!("UPDATE workflow SET untold = 0 {of}"));
    for state in WorkflowState::ALL {
        view = view.on(
            format!("{WORKFLOW}/{}", state.word()),
            format!("UPDATE workflow SET state = :state, due = :due, why = :why, changed = @time_micros {of}"),
        );
    }
    view.query::<DueInput, DueRow>(
        "due",
        "SELECT tenant, key, due FROM workflow WHERE due IS NOT NULL AND (due, tenant, key) > (:due, :tenant, :key) AND due <= :now
         ORDER BY due, tenant, key LIMIT :limit",
    )
    .query::<DueInput, i64>(
        "next",
        "SELECT due FROM workflow WHERE due IS NOT NULL AND (due, tenant, key) > (:due, :tenant, :key) AND due > :now
         ORDER BY due, tenant, key LIMIT :limit",
    )
    .query::<WorkInput, WorkRow>(
        "work",
        "SELECT tenant, key FROM workflow WHERE state <> 'completed' AND state = :state AND (tenant, key) > (:tenant, :key)
         ORDER BY tenant, key LIMIT :limit",
    )
    .query::<WorkInput, WorkRow>(
        "children",
        "SELECT tenant, key FROM workflow WHERE state <> 'completed' AND state = :state AND (tenant, key) > (:tenant, :key)
         AND why LIKE '%child `%' ORDER BY tenant, key LIMIT :limit",
    )
    .query::<WorkInput, WorkRow>(
        "untold",
        "SELECT tenant, key FROM workflow WHERE untold = 1 AND state IN ('completed', 'failed', 'cancelled') AND (tenant, key) > (:tenant, :key)
         AND :state IS NOT NULL ORDER BY tenant, key LIMIT :limit",
    )
    .query::<ListInput, ListRow>(
        "list",
        "SELECT key, state, due, why, started, changed FROM workflow
         WHERE tenant = :tenant AND key > :after AND key >= :prefix AND key < :end AND (:state IS NULL OR state = :state) ORDER BY key LIMIT :limit",
    )
    .query::<ListInput, ListRow>(
        "list-of",
        "SELECT key, state, due, why, started, changed FROM workflow WHERE state <> 'completed' AND state = :state
         AND tenant = :tenant AND key > :after AND key >= :prefix AND key < :end ORDER BY key LIMIT :limit",
    )
    .query::<ListInput, ListRow>("list-open", list_open())
    .query::<(), CountRow>("counts", "SELECT state, count(*) AS count FROM workflow GROUP BY state")
    .hosted()
}

/// Those that have not ended, whichever state they are in: one list in the order of keys, or one that changes its state meanwhile is missed.
/// Of each state there is an index in that order, and they are merged.
fn list_open() -> String {
    let of = |state: WorkflowState| {
        format!(
            "SELECT key, state, due, why, started, changed FROM workflow WHERE state <> 'completed' AND state = '{}'
             AND tenant = :tenant AND key > :after AND key >= :prefix AND key < :end AND :state IS NULL",
            state.word()
        )
    };
    let each: Vec<String> = WorkflowState::ALL.into_iter().filter(|state| !state.is_ended()).map(of).collect();
    format!("{} ORDER BY key LIMIT :limit", each.join(" UNION ALL "))
}

/// The index; nothing of it is filled yet.
pub(super) fn index(around: Surroundings, folder: Option<ViewFolder>, limits: Limits) -> PlatformIndex {
    PlatformIndex::new((&view(), description()), around, folder, limits)
}

/// What the index is checked against.
fn description() -> EntityDescription {
    let turn = json!({ "type": "object", "properties": {
        "cause": { "type": ["object", "string"] },
        "state": { "type": "string" },
        "due": { "type": ["integer", "null"] },
        "why": { "type": ["string", "null"] },
    } });
    let event = |name: &'static str| ShapeDescription { name, version: 1, schema: turn.clone(), ..ShapeDescription::default() };
    let names = [STARTED, RESTARTED, TOLD].into_iter().chain(WorkflowState::ALL.map(WorkflowState::word));
    let events = names.map(event).collect();
    EntityDescription { name: WORKFLOW, events, reply: json!({}), state: json!({}), ..EntityDescription::default() }
}
