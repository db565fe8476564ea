//! From a definition to a plan: every statement is prepared against the tables, and compared with the events, the parameters and the
//! rows that it is for. What does not fit is told with the view, the statement and the remedy, and a caret under the place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use component::hosted::{
    EntityHandle, HostedView, QueryDescription, ShapeDescription, ViewFill, ViewHandle, ViewQuery, ViewStatement, ViewStore,
};
use rusqlite::hooks::{AuthContext, Authorization};
use rusqlite::{Connection, Error, Statement};

use super::functions;
use super::guard::{Guard, Purpose};
use super::plan::{self, Column, EventPlan, Known, Plan, QueryPlan, Source, Step};
use super::shape::{Schema, Shape};
use super::text::pointed;

/// Changed when old files must be filled anew although their definitions are the same.
const FORMAT: &str = "1";

/// By entity type, then by event name.
pub(super) type EventPlans = HashMap<String, HashMap<String, EventPlan>>;

/// What becomes of a statement for an entity type that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strangers {
    Refused,
    /// A test names only the entity types that its events are of.
    PassedOver,
}

/// Checks a view against the entity types of its service.
pub(super) fn check(view: &ViewHandle, entities: &[EntityHandle], strangers: Strangers) -> Result<Plan, String> {
    if let Some(name) = view.misnamed() {
        return Err(format!("the name `{name}` must match [a-z][a-z0-9-]{{0,63}}"));
    }
    let mut connection = Connection::open_in_memory().map_err(|error| format!("SQLite does not open: {error}"))?;
    functions::add(&connection).map_err(|error| format!("SQLite takes no functions: {error}"))?;
    let tables = create(view, &mut connection)?;
    let keys = keys(&mut connection, &tables).map_err(|error| error.to_string())?;
    let mut events = EventPlans::new();
    for (place, fill) in view.fills().iter().enumerate() {
        if strangers == Strangers::PassedOver && !entities.iter().any(|entity| entity.name() == kind_of(fill)) {
            continue;
        }
        match fill {
            ViewFill::Sql(statement) => {
                let context = format!("on {}", statement.event);
                fill_sql(place, statement, &mut connection, &tables, entities, &mut events)
                    .map_err(|problem| format!("{context}: {problem}"))?;
            }
            ViewFill::Code { kind, .. } => fill_code(place, kind, &tables, entities, &mut events)?,
        }
    }
    if events.is_empty() && strangers == Strangers::Refused {
        return Err("no event fills it; add `.on(event, statement)`".to_owned());
    }
    let mut queries = Vec::new();
    for (query, described) in view.queries().iter().zip(&view.description().queries) {
        let checked = query_plan(query, described, &mut connection, &tables, &keys)
            .map_err(|problem| format!("query `{}`: {problem}", query.name))?;
        if queries.iter().any(|known: &QueryPlan| known.name == query.name) {
            return Err(format!("there are two queries `{}`; give one another name", query.name));
        }
        queries.push(checked);
    }
    let build = plan::build(&definition(view, &events));
    let selection = selection(&events);
    let (events, places) = placed(events);
    Ok(Plan { view: view.clone(), server: None, build, selection, events, places, tables, queries })
}

/// The events that a view reads, for the journal.
pub(super) fn selection(events: &EventPlans) -> Vec<Arc<str>> {
    events.iter().flat_map(|(kind, names)| names.keys().map(move |name| format!("{kind}/{name}").into())).collect()
}

/// One list of all events, and where each is in it.
pub(super) fn placed(events: EventPlans) -> (Vec<EventPlan>, HashMap<String, HashMap<String, usize>>) {
    let (mut all, mut places) = (Vec::new(), HashMap::new());
    for (kind, names) in events {
        let of_kind: &mut HashMap<_, _> = places.entry(kind).or_default();
        for (name, event) in names {
            of_kind.insert(name, all.len());
            all.push(event);
        }
    }
    (all, places)
}

pub(super) fn kind_of(fill: &ViewFill) -> &str {
    match fill {
        ViewFill::Sql(statement) => statement.event.split('/').next().unwrap_or_default(),
        ViewFill::Code { kind, .. } => kind,
    }
}

/// Everything that, changed, makes other rows. Queries do not: a file serves whatever is asked of it.
pub(super) fn definition(view: &HostedView, events: &EventPlans) -> Vec<String> {
    let mut parts = vec![FORMAT.to_owned(), view.name().to_owned()];
    if view.store() == ViewStore::Postgres {
        parts.push("postgres".to_owned());
    }
    parts.extend(view.tables().iter().map(|create| format!("table {create}")));
    parts.extend(view.fills().iter().map(|fill| match fill {
        ViewFill::Sql(ViewStatement { event, sql }) => format!("on {event} {sql}"),
        ViewFill::Code { kind, version, .. } => format!("code {kind} {version}"),
    }));
    let read: BTreeMap<_, _> =
        events.iter().flat_map(|(kind, names)| names.iter().map(move |(name, event)| (format!("{kind}/{name}"), &event.fields))).collect();
    parts.extend(read.into_iter().map(|(name, fields)| format!("reads {name} {}", fields.join(" "))));
    parts
}

fn create(view: &HostedView, connection: &mut Connection) -> Result<Vec<String>, String> {
    let guard = Guard::on(connection, Purpose::Table).map_err(|error| error.to_string())?;
    for (place, sql) in view.tables().iter().enumerate() {
        let created = connection.execute_batch(sql);
        created.map_err(|error| format!("table {}: {}", place + 1, refusal(&error, &guard, sql)))?;
    }
    let mut names = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")
        .map_err(|error| error.to_string())?;
    let names: Result<Vec<String>, Error> = names.query_map([], |row| row.get(0)).and_then(Iterator::collect);
    match names {
        Ok(names) if names.is_empty() => Err("it has no table; add `.table(\"CREATE TABLE ...\")`".to_owned()),
        names => names.map_err(|error| error.to_string()),
    }
}

fn refusal(error: &Error, guard: &Guard, sql: &str) -> String {
    match (guard.take().refused, error) {
        (Some(reason), _) => format!("{reason}\n{}", pointed(sql, 0)),
        (None, Error::SqlInputError { msg, sql, offset, .. }) => {
            format!("{msg}\n{}", pointed(sql, usize::try_from(*offset).unwrap_or(0)))
        }
        (None, Error::SqliteFailure(_, Some(message))) => format!("{message}\n{}", pointed(sql, 0)),
        (None, error) => format!("{error}\n{}", pointed(sql, 0)),
    }
}

fn fill_sql(
    place: usize,
    fill: &ViewStatement,
    connection: &mut Connection,
    tables: &[String],
    entities: &[EntityHandle],
    events: &mut EventPlans,
) -> Result<(), String> {
    let (entity, shape) = find_event(&fill.event, entities)?;
    let guard = Guard::on(connection, Purpose::Fill).map_err(|error| error.to_string())?;
    let statement = prepare(connection, &fill.sql, &guard)?;
    let seen = guard.take();
    if statement.column_count() > 0 || seen.writes.is_empty() {
        return Err(format!("`.on(event, ..)` takes INSERT, UPDATE and DELETE without RETURNING\n{}", pointed(&fill.sql, 0)));
    }
    let event = event_plan(entity, shape, events);
    let fields = Schema::new(&shape.schema).fields().unwrap_or_default();
    let known: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let mut sources = Vec::new();
    for name in parameters(&statement, &fill.sql)? {
        sources.push(source(&name, &known, event, &fill.sql)?);
    }
    event.steps.push(Step { fill: place, sources });
    event.touches.extend(places(tables, &seen.writes));
    Ok(())
}

pub(super) fn fill_code(
    place: usize,
    kind: &str,
    tables: &[String],
    entities: &[EntityHandle],
    events: &mut EventPlans,
) -> Result<(), String> {
    let entity = find_entity(kind, entities)?;
    for shape in &entity.description().events {
        let event = event_plan(entity, shape, events);
        event.steps.push(Step { fill: place, sources: Vec::new() });
        event.has_code = true;
        event.touches = (0..tables.len()).collect();
    }
    Ok(())
}

pub(super) fn event_plan<'e>(entity: &EntityHandle, shape: &ShapeDescription, events: &'e mut EventPlans) -> &'e mut EventPlan {
    let fresh = || EventPlan {
        entity: entity.clone(),
        name: shape.name,
        version: shape.version,
        fields: Vec::new(),
        known: Vec::new(),
        steps: Vec::new(),
        has_code: false,
        touches: Vec::new(),
    };
    events.entry(entity.name().to_owned()).or_default().entry(shape.name.to_owned()).or_insert_with(fresh)
}

fn find_entity<'e>(kind: &str, entities: &'e [EntityHandle]) -> Result<&'e EntityHandle, String> {
    entities.iter().find(|entity| entity.name() == kind).ok_or_else(|| {
        let known: Vec<_> = entities.iter().map(|entity| entity.name()).collect();
        format!("this service has no entity type `{kind}`; {}", there_are(&known))
    })
}

pub(super) fn find_event<'e>(event: &str, entities: &'e [EntityHandle]) -> Result<(&'e EntityHandle, &'e ShapeDescription), String> {
    let (kind, name) = event.split_once('/').ok_or("an event is named with its entity type, as in `cart/item-added`")?;
    let entity = find_entity(kind, entities)?;
    let events = &entity.description().events;
    let shape = events.iter().find(|shape| shape.name == name).ok_or_else(|| {
        let known: Vec<_> = events.iter().map(|shape| shape.name).collect();
        format!("`{kind}` has no event `{name}`; {}", there_are(&known))
    })?;
    Ok((entity, shape))
}

fn there_are(known: &[&str]) -> String {
    if known.is_empty() { "there is none".to_owned() } else { format!("there are: {}", known.join(", ")) }
}

fn prepare<'c>(connection: &'c Connection, sql: &str, guard: &Guard) -> Result<Statement<'c>, String> {
    match connection.prepare(sql) {
        Ok(statement) => Ok(statement),
        Err(Error::MultipleStatement) => Err(format!("there is more than one statement; add each by itself\n{}", pointed(sql, 0))),
        Err(error) => Err(refusal(&error, guard, sql)),
    }
}

/// The parameters' names, in order, each with its sign.
fn parameters(statement: &Statement<'_>, sql: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for index in 1..=statement.parameter_count() {
        match statement.parameter_name(index) {
            Some(name) if name.starts_with([':', '@']) => names.push(name.to_owned()),
            Some(name) => return Err(format!("parameters are written `:name`, not `{name}`\n{}", caret(sql, name))),
            None => return Err(format!("parameters have names, such as `:sku`\n{}", caret(sql, "?"))),
        }
    }
    Ok(names)
}

pub(super) fn source(name: &str, fields: &[&str], event: &mut EventPlan, sql: &str) -> Result<Source, String> {
    if name.starts_with('@') {
        let known = Known::ALL.iter().find(|(known, _)| *known == name).map(|(_, known)| *known);
        return known.map(|known| Source::Known(place(&mut event.known, known))).ok_or_else(|| {
            let names: Vec<_> = Known::ALL.iter().map(|(known, _)| *known).collect();
            format!("there is no `{name}`; {}\n{}", there_are(&names), caret(sql, name))
        });
    }
    let field = &name[1..];
    if !fields.contains(&field) {
        return Err(format!("the event has no field `{field}`; {}\n{}", there_are(fields), caret(sql, name)));
    }
    Ok(Source::Field(place(&mut event.fields, field.to_owned())))
}

/// The place of something that is there once.
fn place<T: PartialEq>(all: &mut Vec<T>, wanted: T) -> usize {
    all.iter().position(|known| *known == wanted).unwrap_or_else(|| {
        all.push(wanted);
        all.len() - 1
    })
}

/// A caret under a word of the statement.
fn caret(sql: &str, word: &str) -> String {
    let is_end = |at: usize| !sql[at + word.len()..].starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    let at = sql.match_indices(word).map(|(at, _)| at).find(|at| is_end(*at)).unwrap_or(0);
    pointed(sql, at)
}

fn places<'a>(tables: &[String], names: impl IntoIterator<Item = &'a String>) -> Vec<usize> {
    names.into_iter().filter_map(|name| tables.iter().position(|table| table.eq_ignore_ascii_case(name))).collect()
}

fn query_plan(
    query: &ViewQuery,
    described: &QueryDescription,
    connection: &mut Connection,
    tables: &[String],
    keys: &[Vec<String>],
) -> Result<QueryPlan, String> {
    let guard = Guard::on(connection, Purpose::Query).map_err(|error| error.to_string())?;
    let statement = prepare(connection, &query.sql, &guard)?;
    let seen = guard.take();
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(format!("a query only reads; it takes SELECT\n{}", pointed(&query.sql, 0)));
    }
    let parameters = input(parameters(&statement, &query.sql)?, &query.sql, described)?;
    let declared = statement.columns().map(|column| (column.name().to_owned(), column.decl_type().is_some_and(is_real))).collect();
    let (columns, bare) = columns(declared, "TEXT", described)?;
    let key = key(&statement, tables, keys);
    let reads = places(tables, &seen.reads);
    Ok(QueryPlan { name: query.name, sql: query.sql.clone(), read: query.read, parameters, columns, bare, reads, key })
}

/// The query's parameters, which are the fields of its input, all of them and no others.
pub(super) fn input(parameters: Vec<String>, sql: &str, described: &QueryDescription) -> Result<Vec<String>, String> {
    let schema = Schema::new(&described.input);
    let fields: Vec<&str> = match schema.fields() {
        Some(fields) => fields.into_iter().map(|(name, _)| name).collect(),
        None if schema.is_nothing() => Vec::new(),
        None => return Err("its parameters must be a struct with a field for each, or ()".to_owned()),
    };
    let mut names = Vec::new();
    for name in parameters {
        let field = name.strip_prefix(':').filter(|field| fields.contains(field)).ok_or_else(|| {
            let parameters: Vec<_> = fields.iter().map(|field| format!(":{field}")).collect();
            let parameters: Vec<_> = parameters.iter().map(String::as_str).collect();
            format!("its parameters have no `{name}`; {}\n{}", there_are(&parameters), caret(sql, &name))
        })?;
        names.push(field.to_owned());
    }
    match fields.iter().find(|field| !names.iter().any(|name| name == *field)) {
        Some(field) => Err(format!("its parameter `{field}` is not used; write `:{field}`, or take the field out\n{}", pointed(sql, 0))),
        None => Ok(names),
    }
}

/// The query's columns, which are the fields of its row, all of them and no others; or the one value that a row is. Each comes with whether
/// its table declares it as inexact, in place of what `exact` names.
pub(super) fn columns(declared: Vec<(String, bool)>, exact: &str, described: &QueryDescription) -> Result<(Vec<Column>, bool), String> {
    let (names, inexact): (Vec<String>, Vec<bool>) = declared.into_iter().unzip();
    let row = Schema::new(&described.row);
    let Some(fields) = row.fields() else {
        let [name] = <[String; 1]>::try_from(names).map_err(|names| {
            format!("its row is a single value, and it has {} columns: {}; name a struct", names.len(), names.join(", "))
        })?;
        let column = Column { name, kind: row.kind() };
        return exactly(column, inexact.contains(&true), exact).map(|column| (vec![column], true));
    };
    let known: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    if let Some(missing) = known.iter().find(|field| row.requires(field) && !names.iter().any(|name| name == *field)) {
        return Err(format!("its row has a field `{missing}`, and no column of that name; there are: {}", names.join(", ")));
    }
    let mut columns: Vec<Column> = Vec::new();
    for (name, inexact) in names.into_iter().zip(inexact) {
        let (_, schema) = fields.iter().find(|(field, _)| *field == name).ok_or_else(|| {
            format!(
                "its column `{name}` is no field of the row, which has: {}; name the column with AS, or add the field",
                known.join(", ")
            )
        })?;
        if columns.iter().any(|column| column.name == name) {
            return Err(format!("it has two columns `{name}`; name one with AS"));
        }
        columns.push(exactly(Column { name, kind: schema.kind() }, inexact, exact)?);
    }
    Ok((columns, false))
}

/// A column whose decimals are in the table with their digits.
fn exactly(column: Column, inexact: bool, exact: &str) -> Result<Column, String> {
    if column.kind.shape == Shape::Decimal && inexact {
        let name = &column.name;
        return Err(format!("`{name}` is a decimal in the row and REAL in the table, which is not exact; declare the column as {exact}"));
    }
    Ok(column)
}

fn is_real(declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    ["REAL", "FLOA", "DOUB"].iter().any(|real| declared.contains(real))
}

/// The columns of each table's primary key, in its order.
fn keys(connection: &mut Connection, tables: &[String]) -> rusqlite::Result<Vec<Vec<String>>> {
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk")?;
    tables.iter().map(|table| statement.query_map([table], |row| row.get(0))?.collect()).collect()
}

/// The columns of a primary key, when the query shows all of them, and rows of one table as they are.
fn key(statement: &Statement<'_>, tables: &[String], keys: &[Vec<String>]) -> Option<Vec<usize>> {
    let columns: Vec<_> = statement.columns_with_metadata().collect();
    let origins: Vec<Option<(&str, &str)>> = columns.iter().map(|column| Some((column.table_name()?, column.origin_name()?))).collect();
    let table = origins.iter().flatten().map(|(table, _)| *table).next()?;
    if !is_flat(statement, table, &origins) {
        return None;
    }
    let names = &keys[tables.iter().position(|known| known == table)?];
    let places: Option<Vec<usize>> =
        names.iter().map(|name| origins.iter().position(|origin| *origin == Some((table, name.as_str())))).collect();
    places.filter(|places| !places.is_empty())
}

/// Whether every row is one row of the table: a second table may repeat it, as may a compound.
fn is_flat(statement: &Statement<'_>, table: &str, origins: &[Option<(&str, &str)>]) -> bool {
    let sql = statement.expanded_sql().unwrap_or_default().to_ascii_uppercase();
    let repeats = [" JOIN ", " UNION ", "RECURSIVE", " GROUP BY "].iter().any(|word| sql.contains(word));
    let from = sql.split(" FROM ").nth(1).unwrap_or_default();
    let first = from.split([' ', '\n', '\t', ';']).next().unwrap_or_default();
    !repeats
        && !first.ends_with(',')
        && first.trim_matches('"').eq_ignore_ascii_case(table)
        && origins.iter().flatten().all(|(of, _)| *of == table)
}
