//! A question: rows and the place that they have seen, in one read-only transaction of one snapshot.

use journal::Cursor;
use runtime::view_server::{Answer, BuildName, Question, ServerError};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, IsolationLevel, Portal, SimpleQueryMessage, Transaction};

use super::dialect::Statement;
use super::lines::Line;
use super::names::Names;
use super::value::{parameters, texts};
use super::{book, fault};
use crate::limits::VIEW_PAGE_ROWS;

/// A query's cells as JSON, and one row more than there may be. The server keeps the order of a query that it selects from.
pub(super) fn as_cells(sql: &str, columns: usize, rows_max: usize) -> String {
    let cells: Vec<String> = (1..=columns).map(|nth| format!("to_json(asked.c{nth})::text")).collect();
    let names: Vec<String> = (1..=columns).map(|nth| format!("c{nth}")).collect();
    // The end of the line ends a comment.
    format!("SELECT {} FROM ({sql}\n) AS asked ({}) LIMIT {}", cells.join(", "), names.join(", "), rows_max.saturating_add(1))
}

/// Asks. A transaction that is dropped takes itself back.
pub(super) async fn ask(line: &mut Line, names: &Names, build: &BuildName, question: &Question<'_>) -> Result<Answer, ServerError> {
    let schema = names.of_build(build);
    let Line { client, prepared } = line;
    let begin = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = begin.start().await.map_err(|error| fault::of(&error))?;
    let look = format!(
        "SET LOCAL search_path = {schema}; SET LOCAL statement_timeout = {}; SELECT cursor FROM {} WHERE {}",
        question.time_max.as_millis().max(1),
        names.book(),
        book::row_of(build)
    );
    let cursor = place(&transaction.simple_query(&look).await.map_err(|error| fault::of_book(&error))?)?;
    let statement = Statement::read(question.sql);
    let columns = prepared.get(&transaction, &schema, &statement.sql).await?.columns().len();
    let as_cells = prepared.get(&transaction, &schema, &as_cells(&statement.sql, columns, question.rows_max)).await?;
    let given = texts(statement.spread(&question.values));
    let portal = transaction.bind(&as_cells, &parameters(&given)).await.map_err(|error| of(&error))?;
    let rows = cells(&transaction, &portal, columns, question).await?;
    transaction.commit().await.map_err(|error| of(&error))?;
    Ok(Answer { rows, cursor })
}

fn place(messages: &[SimpleQueryMessage]) -> Result<Cursor, ServerError> {
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let text = row.ok_or(ServerError::Gone)?.get(0).unwrap_or_default();
    if text.is_empty() {
        return Ok(Cursor::BEGINNING);
    }
    text.parse().map_err(|_| ServerError::Damaged { cause: format!("the book's cursor `{text}` is none") })
}

/// Page by page, so that no more is here than an answer may have.
async fn cells(
    transaction: &Transaction<'_>,
    portal: &Portal,
    columns: usize,
    question: &Question<'_>,
) -> Result<Vec<Vec<Option<String>>>, ServerError> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    loop {
        let page = transaction.query_portal(portal, VIEW_PAGE_ROWS).await.map_err(|error| of(&error))?;
        let is_last = page.len() < VIEW_PAGE_ROWS as usize;
        for row in page {
            let cells: Vec<Option<String>> = (0..columns).map(|column| row.get(column)).collect();
            bytes += cells.iter().flatten().map(String::len).sum::<usize>();
            if rows.len() == question.rows_max || bytes > question.bytes_max {
                return Err(ServerError::TooMany);
            }
            rows.push(cells);
        }
        if is_last {
            return Ok(rows);
        }
    }
}

fn of(error: &Error) -> ServerError {
    if error.code() == Some(&SqlState::QUERY_CANCELED) { ServerError::TooSlow } else { fault::of(error) }
}
