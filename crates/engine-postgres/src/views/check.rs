//! A definition, checked by the server itself: its tables are made and its statements prepared in a transaction that is taken back.

use runtime::view_server::{CheckError, Checked, CheckedColumn, CheckedQuery, Definition, Part, ServerError};
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::dialect::Statement;
use super::names::{Names, OURS};
use super::{book, fault};
use crate::error::told;

/// What a statement for an event begins with.
const CHANGES: [&str; 5] = ["insert", "update", "delete", "merge", "with"];
/// What a query begins with.
const READS: [&str; 4] = ["select", "with", "values", "table"];

/// Checks a definition; the caller ends the transaction, whichever way it went.
pub(super) async fn check(client: &Client, names: &Names, definition: &Definition<'_>) -> Result<Checked, CheckError> {
    if let Some(owner) = book::stranger(client, names).await.map_err(away)? {
        let message = format!("its schema `{}` is there, and is of {owner}; give the view another name", names.schema);
        return Err(CheckError::Place { message });
    }
    let schema = names.for_check();
    book::run(client, &format!("BEGIN; CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}")).await.map_err(away)?;
    for (place, sql) in definition.tables.iter().enumerate() {
        table(client, &schema, sql).await.map_err(|refused| refused.at(Part::Table(place)))?;
    }
    let mut checked = Checked { tables: tables(client, &schema).await?, ..Checked::default() };
    for (place, sql) in definition.fills.iter().enumerate() {
        checked.fills.push(fill(client, sql).await.map_err(|refused| refused.at(Part::Fill(place)))?);
    }
    for (place, sql) in definition.queries.iter().enumerate() {
        checked.queries.push(query(client, sql).await.map_err(|refused| refused.at(Part::Query(place)))?);
    }
    Ok(checked)
}

fn away(error: ServerError) -> CheckError {
    CheckError::Away { cause: error.to_string() }
}

/// Why a statement does not pass, and where.
enum Refused {
    Statement { message: String, offset: usize },
    Away(String),
}

impl Refused {
    fn new(message: impl Into<String>, offset: usize) -> Self {
        Self::Statement { message: message.into(), offset }
    }

    /// The server's word.
    fn of(error: &Error, statement: &Statement) -> Self {
        if let ServerError::Away { cause } = fault::of(error) {
            return Self::Away(cause);
        }
        let position = match error.as_db_error().and_then(|server| server.position()) {
            Some(ErrorPosition::Original(position)) => *position as usize,
            _ => 1,
        };
        let bytes = statement.sql.char_indices().nth(position.saturating_sub(1)).map_or(0, |(at, _)| at);
        let message = error.as_db_error().map_or_else(|| told(error), |server| server.message().to_owned());
        Self::new(message, statement.origin(bytes))
    }

    fn at(self, part: Part) -> CheckError {
        match self {
            Self::Statement { message, offset } => CheckError::Statement { part, message, offset },
            Self::Away(cause) => CheckError::Away { cause },
        }
    }
}

async fn table(client: &Client, schema: &str, sql: &str) -> Result<(), Refused> {
    let statement = Statement::read(sql);
    if statement.verb() != "create" {
        return Err(Refused::new("`.table(..)` takes one CREATE statement", 0));
    }
    no_chance(&statement, sql)?;
    // Executed by itself, so that it is one statement.
    client.execute(sql, &[]).await.map_err(|error| Refused::of(&error, &Statement::plain(sql)))?;
    let strangers = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE xmin::text = (txid_current() % 4294967296)::text
        AND relnamespace NOT IN (to_regnamespace($1::text), 'pg_toast'::regnamespace)";
    let strangers = client.query_opt(strangers, &[&schema]).await.map_err(|error| Refused::of(&error, &statement))?;
    match strangers {
        Some(row) => Err(Refused::new(format!("it lies in the schema {}; name it without one", row.get::<_, String>(0)), 0)),
        None => Ok(()),
    }
}

async fn tables(client: &Client, schema: &str) -> Result<Vec<String>, CheckError> {
    let ask =
        "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1::text) AND relkind IN ('r', 'p') ORDER BY relname";
    let rows = client.query(ask, &[&schema]).await.map_err(|error| away(fault::of(&error)))?;
    let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    match tables.iter().find(|table| table.starts_with(OURS)) {
        Some(table) => Err(CheckError::Place {
            message: format!("its table `{table}`: names that begin with `{OURS}` are the platform's; give it another one"),
        }),
        None => Ok(tables),
    }
}

/// The parameters of a statement for an event; code has none.
async fn fill(client: &Client, sql: &str) -> Result<Vec<String>, Refused> {
    if sql.is_empty() {
        return Ok(Vec::new());
    }
    let statement = named(sql)?;
    no_chance(&statement, sql)?;
    let prepared = client.prepare(&statement.sql).await.map_err(|error| Refused::of(&error, &statement))?;
    if !CHANGES.contains(&statement.verb()) || !prepared.columns().is_empty() {
        return Err(Refused::new("`.on(event, ..)` takes INSERT, UPDATE, DELETE and MERGE without RETURNING", 0));
    }
    Ok(statement.names)
}

async fn query(client: &Client, sql: &str) -> Result<CheckedQuery, Refused> {
    let statement = named(sql)?;
    let prepared = client.prepare(&statement.sql).await.map_err(|error| Refused::of(&error, &statement))?;
    if !READS.contains(&statement.verb()) || prepared.columns().is_empty() {
        return Err(Refused::new("a query only reads; it takes SELECT", 0));
    }
    // As it will be asked: what changes rows does not go there.
    client.prepare(&super::ask::as_cells(&statement.sql, prepared.columns().len(), 1)).await.map_err(|error| {
        let message = error.as_db_error().map_or_else(|| told(&error), |server| server.message().to_owned());
        Refused::new(message, 0)
    })?;
    let inexact = |kind: &Type| [Type::FLOAT4, Type::FLOAT8].contains(kind);
    let column = |column: &tokio_postgres::Column| CheckedColumn { name: column.name().to_owned(), inexact: inexact(column.type_()) };
    Ok(CheckedQuery { parameters: statement.names, columns: prepared.columns().iter().map(column).collect() })
}

/// A statement whose parameters have names.
fn named(sql: &str) -> Result<Statement, Refused> {
    let statement = Statement::read(sql);
    match statement.numbered() {
        Some(offset) => Err(Refused::new("parameters have names, such as `:sku`", offset)),
        None => Ok(statement),
    }
}

fn no_chance(statement: &Statement, sql: &str) -> Result<(), Refused> {
    match statement.chance(sql) {
        Some((word, offset)) => {
            Err(Refused::new(format!("`{word}` gives something else at each filling; take what the event has, such as @time"), offset))
        }
        None => Ok(()),
    }
}
