//! Whoever fills a build: a connection of its own, whose transactions lock the build's row and look at its epoch first.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use component::SqlValue;
use journal::{BoxFuture, Cursor};
use runtime::view_server::{BuildChange, BuildName, BuildSight, BuildStatement, BuildWriter, ServerError, Taken};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Column, Error, SimpleQueryMessage, Statement};

use super::dialect;
use super::names::Names;
use super::value::{parameters, texts};
use super::{book, fault};
use crate::limits::VIEW_STATEMENTS_KEPT;

/// See the module.
pub(super) struct Writer {
    client: Client,
    /// Locks the row and gives its epoch.
    begin: String,
    epoch: u64,
    place: Statement,
    /// By their place; `None` where code is.
    fills: Vec<Option<Fill>>,
    /// Code's statements, by their text.
    code: HashMap<String, Statement>,
}

/// A statement for an event.
struct Fill {
    read: dialect::Statement,
    prepared: Statement,
}

/// Takes a build over by a connection: the next epoch is its own.
pub(super) async fn take(client: Client, names: &Names, build: &BuildName, fills: &[String]) -> Result<Taken, ServerError> {
    let (book, row) = (names.book(), book::row_of(build));
    // Whoever is in the middle of a transaction has the row; it is waited for.
    let take = format!("UPDATE {book} SET epoch = epoch + 1, used = now() WHERE {row} RETURNING {}", book::COLUMNS);
    let taken = client.query_opt(&take, &[]).await.map_err(|error| fault::of_book(&error))?;
    let sight: BuildSight = book::sight(build.view, &taken.ok_or(ServerError::Gone)?)?;
    let is_there = "SELECT to_regnamespace($1::text) IS NOT NULL";
    let is_there = client.query_one(is_there, &[&sight.schema]).await.map_err(|error| fault::of(&error))?;
    if !is_there.get::<_, bool>(0) {
        return Err(ServerError::Damaged { cause: format!("the schema {} is not there any more", sight.schema) });
    }
    book::run(&client, &format!("SET search_path = {}", sight.schema)).await?;
    let place = format!("UPDATE {book} SET cursor = $1, complete = complete OR $2, used = now() WHERE {row}");
    let place = client.prepare(&place).await.map_err(|error| fault::of(&error))?;
    let mut prepared = Vec::with_capacity(fills.len());
    for fill in fills {
        prepared.push(match fill.is_empty() {
            true => None,
            false => Some(Fill::prepare(&client, fill).await?),
        });
    }
    let begin = format!("BEGIN; SELECT epoch FROM {book} WHERE {row} FOR UPDATE");
    let writer = Writer { client, begin, epoch: sight.epoch, place, fills: prepared, code: HashMap::new() };
    Ok(Taken { writer: Box::new(writer), sight })
}

impl Writer {
    async fn lock(&self) -> Result<(), ServerError> {
        let told = self.client.simple_query(&self.begin).await.map_err(|error| fault::of_book(&error))?;
        let epoch = told.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse::<u64>().ok(),
            _ => None,
        });
        match epoch {
            Some(epoch) if epoch == self.epoch => Ok(()),
            Some(_) => Err(ServerError::Stale),
            None => Err(ServerError::Gone),
        }
    }

    /// Code's statement, prepared once.
    async fn of_code(&mut self, sql: &str) -> Result<Statement, ServerError> {
        if let Some(statement) = self.code.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await.map_err(|error| fault::of(&error))?;
        if self.code.len() >= VIEW_STATEMENTS_KEPT {
            self.code.clear();
        }
        self.code.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    async fn statement(&mut self, change: &BuildChange) -> Result<Statement, ServerError> {
        match &change.statement {
            BuildStatement::Code(sql) => self.of_code(sql).await,
            BuildStatement::Fill(place) => Ok(self.fill(*place)?.prepared.clone()),
        }
    }

    fn fill(&self, place: usize) -> Result<&Fill, ServerError> {
        let fill = self.fills.get(place).and_then(Option::as_ref);
        fill.ok_or_else(|| ServerError::Refused { cause: format!("there is no statement {place}") })
    }

    fn values<'v>(&self, change: &'v BuildChange) -> Result<Vec<&'v SqlValue>, ServerError> {
        match &change.statement {
            BuildStatement::Code(_) => Ok(change.values.iter().collect()),
            BuildStatement::Fill(place) => Ok(self.fill(*place)?.read.spread(&change.values)),
        }
    }

    async fn run_all(&mut self, changes: &[BuildChange]) -> Result<(), (usize, ServerError)> {
        let mut statements = Vec::with_capacity(changes.len());
        for (at, change) in changes.iter().enumerate() {
            let statement = self.statement(change).await.map_err(|error| (at, error))?;
            let values = self.values(change).map_err(|error| (at, error))?;
            if statement.params().len() != values.len() {
                return Err((at, misfit(statement.params().len(), values.len())));
            }
            statements.push((statement, values));
        }
        let client = &self.client;
        let sent = statements.iter().map(|(statement, values)| execute(client, statement, values)).collect();
        for (at, done) in in_order(sent).await.into_iter().enumerate() {
            done.map_err(|error| (at, fault::of(&error)))?;
        }
        Ok(())
    }

    async fn first_of(&mut self, sql: &str, values: &[SqlValue]) -> Result<Option<Vec<SqlValue>>, ServerError> {
        let plain = self.of_code(sql).await?;
        if plain.columns().is_empty() {
            return Err(ServerError::Refused { cause: "the statement gives no rows".to_owned() });
        }
        let statement = self.of_code(&first_row(sql, plain.columns().len())).await?;
        if statement.params().len() != values.len() {
            return Err(misfit(statement.params().len(), values.len()));
        }
        let given = texts(values);
        let row = self.client.query(&statement, &parameters(&given)).await.map_err(|error| fault::of(&error))?;
        let cell = |(at, column): (usize, &Column), row: &tokio_postgres::Row| taken(column.type_(), row.get(at));
        Ok(row.first().map(|row| plain.columns().iter().enumerate().map(|column| cell(column, row)).collect()))
    }
}

impl Fill {
    async fn prepare(client: &Client, sql: &str) -> Result<Self, ServerError> {
        let read = dialect::Statement::read(sql);
        let prepared = client.prepare(&read.sql).await.map_err(|error| fault::of(&error))?;
        Ok(Self { read, prepared })
    }
}

impl BuildWriter for Writer {
    fn begin(&mut self) -> BoxFuture<'_, Result<(), ServerError>> {
        Box::pin(self.lock())
    }

    fn run<'a>(&'a mut self, changes: &'a [BuildChange]) -> BoxFuture<'a, Result<(), (usize, ServerError)>> {
        Box::pin(self.run_all(changes))
    }

    fn first<'a>(&'a mut self, statement: &'a str, values: &'a [SqlValue]) -> BoxFuture<'a, Result<Option<Vec<SqlValue>>, ServerError>> {
        Box::pin(self.first_of(statement, values))
    }

    fn commit(&mut self, cursor: Cursor, complete: bool) -> BoxFuture<'_, Result<(), ServerError>> {
        let cursor = if cursor == Cursor::BEGINNING { String::new() } else { cursor.to_string() };
        Box::pin(async move {
            self.client.execute(&self.place, &[&cursor, &complete]).await.map_err(|error| fault::of_book(&error))?;
            book::run(&self.client, "COMMIT").await
        })
    }

    fn undo(&mut self) -> BoxFuture<'_, ()> {
        // A connection that is lost has undone it by itself.
        Box::pin(async move { drop(self.client.batch_execute("ROLLBACK").await) })
    }
}

fn misfit(wanted: usize, given: usize) -> ServerError {
    ServerError::Refused { cause: format!("the statement has {wanted} parameters, and {given} values came with it") }
}

async fn execute(client: &Client, statement: &Statement, values: &[&SqlValue]) -> Result<u64, Error> {
    let given = texts(values.iter().copied());
    client.execute(statement, &parameters(&given)).await
}

/// Sends all of them in their order before it waits for the first answer.
async fn in_order<T>(sent: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<Pin<Box<_>>> = sent.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, done) in waiting.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// The first row of any statement, its cells as texts.
fn first_row(sql: &str, columns: usize) -> String {
    let sql = sql.trim_end().trim_end_matches(';');
    let names: Vec<String> = (1..=columns).map(|nth| format!("c{nth}")).collect();
    let cells: Vec<String> = names.iter().map(|name| format!("{name}::text")).collect();
    // The end of the line ends a comment.
    format!("WITH found ({}) AS ({sql}\n) SELECT {} FROM found LIMIT 1", names.join(", "), cells.join(", "))
}

/// A cell as code gets it: what has its digits keeps them.
fn taken(kind: &Type, text: Option<&str>) -> SqlValue {
    let Some(text) = text else { return SqlValue::Null };
    let read = match *kind {
        Type::BOOL => Some(SqlValue::Integer(i64::from(text == "true"))),
        Type::INT2 | Type::INT4 | Type::INT8 => text.parse().ok().map(SqlValue::Integer),
        Type::FLOAT4 | Type::FLOAT8 => text.parse().ok().map(SqlValue::Real),
        _ => None,
    };
    read.unwrap_or_else(|| SqlValue::Text(text.to_owned()))
}
