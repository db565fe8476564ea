//! From the definition of a shared view to a plan: the server prepares every statement, and what it says of parameters and columns is compared
//! with the events, the parameters and the rows that they are for.

use std::sync::Arc;

use component::hosted::{EntityHandle, HostedView, QueryDescription, ViewFill, ViewHandle, ViewQuery, ViewStore};

use super::super::check::{self, EventPlans, Strangers, columns, event_plan, fill_code, find_event, input, placed, selection, source};
use super::super::plan::{self, Plan, QueryPlan, Step};
use super::super::server::{CheckError, Checked, CheckedQuery, Definition, Part, ViewServer};
use super::super::shape::Schema;
use super::super::text::pointed;
use crate::{Parts, StartError, start};

/// The shared views of a service, checked by their server.
pub struct SharedViews {
    pub(crate) plans: Vec<Arc<Plan>>,
}

impl SharedViews {
    /// Checks the shared views of a service on the server that will have them.
    ///
    /// # Errors
    /// When a definition does not hold together, or the server does not answer.
    pub async fn check(server: &Arc<dyn ViewServer>, parts: &Parts) -> Result<Self, StartError> {
        let entities = start::emitted(parts);
        let mut plans = Vec::new();
        for view in parts.views.iter().filter(|view| view.store() == ViewStore::Postgres) {
            plans.push(Arc::new(checked(view, &entities, server, Strangers::Refused).await?));
        }
        Ok(Self { plans })
    }
}

/// A view's plan, by what its server says of it.
pub(super) async fn checked(
    view: &ViewHandle,
    entities: &[EntityHandle],
    server: &Arc<dyn ViewServer>,
    strangers: Strangers,
) -> Result<Plan, StartError> {
    let refused = |message| StartError::View { view: view.name(), message };
    if let Some(name) = view.misnamed() {
        return Err(refused(format!("the name `{name}` must match [a-z][a-z0-9-]{{0,63}}")));
    }
    let (fills, queries) = (fills(view), view.queries().iter().map(|query| query.sql.as_str()).collect::<Vec<_>>());
    let definition = Definition { view: view.name(), tables: view.tables(), fills: &fills, queries: &queries };
    let checked = server.check(definition).await.map_err(|error| match error {
        CheckError::Away { cause } => StartError::ViewServer { view: view.name(), cause },
        CheckError::Place { message } => refused(message),
        CheckError::Statement { part, message, offset } => refused(told(view, part, &message, offset)),
    })?;
    plan(view, entities, server, (&checked, strangers)).map_err(refused)
}

/// The statements for events, in order; an empty one where code is.
pub(super) fn fills(view: &HostedView) -> Vec<&str> {
    view.fills().iter().map(sql_of).collect()
}

fn sql_of(fill: &ViewFill) -> &str {
    match fill {
        ViewFill::Sql(statement) => &statement.sql,
        ViewFill::Code { .. } => "",
    }
}

/// A statement's refusal, with its name and a caret.
fn told(view: &HostedView, part: Part, message: &str, offset: usize) -> String {
    let (name, sql) = match part {
        Part::Table(place) => (format!("table {}", place + 1), view.tables()[place].as_str()),
        Part::Fill(place) => (name_of(&view.fills()[place]), fills(view)[place]),
        Part::Query(place) => (format!("query `{}`", view.queries()[place].name), view.queries()[place].sql.as_str()),
    };
    format!("{name}: {message}\n{}", pointed(sql, offset))
}

fn name_of(fill: &ViewFill) -> String {
    match fill {
        ViewFill::Sql(statement) => format!("on {}", statement.event),
        ViewFill::Code { kind, .. } => format!("the code for {kind}"),
    }
}

/// All that a statement may change is one thing here: which tables it is nobody says but the server, and it says it late.
const ALL_TABLES: &str = "all";

fn plan(
    view: &ViewHandle,
    entities: &[EntityHandle],
    server: &Arc<dyn ViewServer>,
    (checked, strangers): (&Checked, Strangers),
) -> Result<Plan, String> {
    if checked.tables.is_empty() {
        return Err("it has no table; add `.table(\"CREATE TABLE ...\")`".to_owned());
    }
    let tables = vec![ALL_TABLES.to_owned()];
    let mut events = EventPlans::new();
    for (place, fill) in view.fills().iter().enumerate() {
        if strangers == Strangers::PassedOver && !entities.iter().any(|entity| entity.name() == check::kind_of(fill)) {
            continue;
        }
        let added = match fill {
            ViewFill::Sql(statement) => fill_sql(place, (&statement.event, &statement.sql), &checked.fills[place], entities, &mut events),
            ViewFill::Code { kind, .. } => fill_code(place, kind, &tables, entities, &mut events),
        };
        added.map_err(|problem| format!("{}: {problem}", name_of(fill)))?;
    }
    if events.is_empty() && strangers == Strangers::Refused {
        return Err("no event fills it; add `.on(event, statement)`".to_owned());
    }
    let queries = queries(view, checked)?;
    let build = plan::build(&check::definition(view, &events));
    let selection = selection(&events);
    let (events, places) = placed(events);
    Ok(Plan { view: view.clone(), server: Some(Arc::clone(server)), build, selection, events, places, tables, queries })
}

fn fill_sql(
    place: usize,
    (event, sql): (&str, &str),
    parameters: &[String],
    entities: &[EntityHandle],
    events: &mut EventPlans,
) -> Result<(), String> {
    let (entity, shape) = find_event(event, entities)?;
    let event = event_plan(entity, shape, events);
    let fields = Schema::new(&shape.schema).fields().unwrap_or_default();
    let known: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let sources = parameters.iter().map(|name| source(name, &known, event, sql)).collect::<Result<_, _>>()?;
    event.steps.push(Step { fill: place, sources });
    event.touches = vec![0];
    Ok(())
}

fn queries(view: &HostedView, checked: &Checked) -> Result<Vec<QueryPlan>, String> {
    let mut queries: Vec<QueryPlan> = Vec::new();
    for ((query, described), checked) in view.queries().iter().zip(&view.description().queries).zip(&checked.queries) {
        if queries.iter().any(|known| known.name == query.name) {
            return Err(format!("there are two queries `{}`; give one another name", query.name));
        }
        let planned = query_plan(query, checked, described);
        queries.push(planned.map_err(|problem| format!("query `{}`: {problem}", query.name))?);
    }
    Ok(queries)
}

fn query_plan(query: &ViewQuery, checked: &CheckedQuery, described: &QueryDescription) -> Result<QueryPlan, String> {
    let parameters = input(checked.parameters.clone(), &query.sql, described)?;
    let declared = checked.columns.iter().map(|column| (column.name.clone(), column.inexact)).collect();
    let (columns, bare) = columns(declared, "NUMERIC", described)?;
    Ok(QueryPlan { name: query.name, sql: query.sql.clone(), read: query.read, parameters, columns, bare, reads: vec![0], key: None })
}
