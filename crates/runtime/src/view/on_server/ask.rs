//! A question to a shared view: cells come as JSON, and become a row in the shape of the row's type.

use component::{Decimal, SqlValue};
use journal::Cursor;

use super::super::payload::{self, Bound};
use super::super::plan::{Column, Plan, QueryPlan};
use super::super::request::QueryError;
use super::super::rows::{Bounds, Rows, nested, string, word};
use super::super::server::{Question, ServerError};
use super::super::shape::Shape;
use super::Shared;
use crate::limits::{QUERIES_WAITING_MAX, QUERY_BYTES_MAX};

impl Shared {
    /// The rows of a query, and the place that they have seen.
    pub(in super::super) async fn ask(
        &self,
        plan: &Plan,
        query: &QueryPlan,
        input: &[u8],
        bounds: Bounds,
    ) -> Result<(Rows, Cursor), QueryError> {
        let _place = self.waiting.try_acquire().map_err(|_| QueryError::Busy { limit: QUERIES_WAITING_MAX })?;
        let view = plan.view.name();
        let broken = |message: String| QueryError::Broken { query: query.name, message };
        let Some(name) = self.name() else { return Err(QueryError::NotCaughtUp { view, behind: 0 }) };
        let question = Question {
            sql: &query.sql,
            values: values(query, input).map_err(broken)?,
            time_max: bounds.time,
            rows_max: bounds.rows,
            bytes_max: QUERY_BYTES_MAX,
        };
        let answer = self.server.ask(&name, question).await.map_err(|error| match error {
            ServerError::Away { cause } => QueryError::Unavailable { view, cause },
            ServerError::Gone | ServerError::Stale => QueryError::NotCaughtUp { view, behind: 0 },
            ServerError::TooSlow => QueryError::TooSlow { query: query.name, limit: bounds.time },
            ServerError::TooMany => QueryError::TooManyRows { query: query.name, rows: bounds.rows, bytes: QUERY_BYTES_MAX },
            ServerError::Refused { cause } | ServerError::Damaged { cause } => broken(cause),
        })?;
        let mut rows = Rows::default();
        for cells in &answer.rows {
            rows.push_cells(query, |out, column, at| cell(out, column, cells[at].as_deref())).map_err(broken)?;
        }
        Ok((rows, answer.cursor))
    }
}

fn values(query: &QueryPlan, input: &[u8]) -> Result<Vec<SqlValue>, String> {
    let mut values = vec![SqlValue::Null; query.parameters.len()];
    if !query.parameters.is_empty() {
        payload::read(input, &query.parameters, |at, bound| values[at] = owned(bound))?;
    }
    Ok(values)
}

/// A value of its own.
pub(super) fn owned(bound: Bound<'_>) -> SqlValue {
    match bound {
        Bound::Null => SqlValue::Null,
        Bound::Integer(number) => SqlValue::Integer(number),
        Bound::Real(number) => SqlValue::Real(number),
        Bound::Text(text) => SqlValue::Text(text.into_owned()),
    }
}

/// One cell: what the server says is a number stays with its digits, and is one only where the row has one.
fn cell(out: &mut Vec<u8>, column: &Column, json: Option<&str>) -> Result<(), String> {
    let refused = |what: &str| Err(format!("column `{}`: {what} where the row has {}", column.name, word(column.kind.shape)));
    let shape = column.kind.shape;
    let Some(json) = json.filter(|json| *json != "null") else {
        if column.kind.nullable {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        return Err(format!("column `{}`: NULL in a field that is not optional; make it an Option, or use coalesce", column.name));
    };
    match (json.as_bytes().first(), shape) {
        (Some(b'"'), Shape::Text) | (Some(b't' | b'f'), Shape::Boolean | Shape::Any) => out.extend_from_slice(json.as_bytes()),
        (Some(b'"'), Shape::Decimal) => return decimal(out, column, &text(json)),
        (Some(b'"'), Shape::Nested | Shape::Any) => nested(out, &text(json)),
        (Some(b'"'), _) => return refused("a text"),
        (Some(b't' | b'f'), _) => return refused("a boolean"),
        (Some(b'{' | b'['), Shape::Nested | Shape::Any) => nested(out, json),
        (Some(b'{' | b'['), _) => return refused("an object or an array"),
        (_, Shape::Boolean) => out.extend_from_slice(if json == "0" { b"false" } else { b"true" }),
        (_, Shape::Decimal) => return decimal(out, column, json),
        (_, Shape::Integer) if json.contains(['.', 'e', 'E']) => return refused(json),
        (_, Shape::Integer | Shape::Number | Shape::Any) => out.extend_from_slice(json.as_bytes()),
        (_, _) => return refused("a number"),
    }
    Ok(())
}

/// The text that a JSON text is; the server writes JSON.
fn text(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_default()
}

fn decimal(out: &mut Vec<u8>, column: &Column, digits: &str) -> Result<(), String> {
    let number: Decimal = digits.parse().map_err(|error| format!("column `{}`: {error}", column.name))?;
    string(out, &number.to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::shape::Kind;
    use super::*;

    fn check(shape: Shape, json: Option<&str>, expected: &str) {
        let column = Column { name: "c".to_owned(), kind: Kind { shape, nullable: false } };
        let mut out = Vec::new();
        let told = match cell(&mut out, &column, json) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(problem) => format!("error: {problem}"),
        };
        assert_eq!(told, expected, "{shape:?} of {json:?}");
    }

    #[test]
    fn a_cell_becomes_what_its_field_is() {
        check(Shape::Integer, Some("7"), "7");
        check(Shape::Text, Some(r#""a\"ä""#), r#""a\"ä""#);
        check(Shape::Decimal, Some("12.50"), r#""12.50""#);
        check(Shape::Decimal, Some(r#""0.1""#), r#""0.1""#);
        check(Shape::Boolean, Some("true"), "true");
        check(Shape::Boolean, Some("0"), "false");
        check(Shape::Number, Some("1.5"), "1.5");
        check(Shape::Nested, Some(r#"{"a": [1]}"#), r#"{"a": [1]}"#);
        check(Shape::Nested, Some(r#""{\"a\":1}""#), r#"{"a":1}"#);
        check(Shape::Nested, Some(r#""cash""#), r#""cash""#);
    }

    #[test]
    fn a_cell_that_is_something_else_is_refused() {
        check(Shape::Integer, Some("1.5"), "error: column `c`: 1.5 where the row has an integer");
        check(Shape::Integer, Some(r#""x""#), "error: column `c`: a text where the row has an integer");
        check(Shape::Text, Some("7"), "error: column `c`: a number where the row has a text");
        check(Shape::Number, Some(r#""NaN""#), "error: column `c`: a text where the row has a number");
        check(Shape::Text, None, "error: column `c`: NULL in a field that is not optional; make it an Option, or use coalesce");
    }
}
