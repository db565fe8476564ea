//! What every connection of a view has beside SQLite's own: exact decimals over their texts.
//!
//! `decimal_add(a, b)`, `decimal_sub(a, b)`, `decimal_mul(a, b)` and `decimal_round(a, places)` give a text, `decimal_cmp(a, b)` gives -1, 0
//! or 1, the aggregate `decimal_sum(x)` gives 0 for no rows, and `COLLATE decimal` orders by value. NULL in, NULL out; the sum passes
//! over it. A REAL is refused: its digits are not what somebody wrote.

use std::cmp::Ordering;

use component::Decimal;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result};

const PURE: FunctionFlags = FunctionFlags::SQLITE_UTF8.union(FunctionFlags::SQLITE_DETERMINISTIC).union(FunctionFlags::SQLITE_INNOCUOUS);

type Binary = fn(Decimal, Decimal) -> Option<Decimal>;

/// Adds them to a connection.
pub(super) fn add(connection: &Connection) -> Result<()> {
    let binary: [(&str, Binary); 3] =
        [("decimal_add", Decimal::checked_add), ("decimal_sub", Decimal::checked_sub), ("decimal_mul", Decimal::checked_mul)];
    for (name, count) in binary {
        connection.create_scalar_function(name, 2, PURE, move |context| {
            let (Some(left), Some(right)) = (decimal(context, 0)?, decimal(context, 1)?) else { return Ok(None) };
            count(left, right).map(|result| Some(result.to_string())).ok_or_else(|| inexact(name))
        })?;
    }
    connection.create_scalar_function("decimal_cmp", 2, PURE, |context| {
        let (Some(left), Some(right)) = (decimal(context, 0)?, decimal(context, 1)?) else { return Ok(None) };
        Ok(Some(left.cmp(&right) as i64))
    })?;
    connection.create_scalar_function("decimal_round", 2, PURE, |context| {
        let (Some(number), places) = (decimal(context, 0)?, context.get::<u32>(1)?) else { return Ok(None) };
        Ok(Some(number.round(places).to_string()))
    })?;
    connection.create_aggregate_function("decimal_sum", 1, PURE, Sum)?;
    connection.create_collation("decimal", compare)
}

fn decimal(context: &Context<'_>, index: usize) -> Result<Option<Decimal>> {
    match context.get_raw(index) {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(number) => Ok(Some(Decimal::from(number))),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(|error| refused(error.to_string()))?;
            text.parse().map(Some).map_err(|error: component::DecimalError| refused(error.to_string()))
        }
        ValueRef::Real(number) => Err(refused(format!("{number} is a REAL, which is not exact; keep decimals as TEXT"))),
        ValueRef::Blob(_) => Err(refused("a blob is no decimal".to_owned())),
    }
}

fn inexact(name: &str) -> Error {
    refused(format!("{name}: the exact result has too many digits for a decimal"))
}

fn refused(message: String) -> Error {
    Error::UserFunctionError(message.into())
}

struct Sum;

impl Aggregate<Decimal, String> for Sum {
    fn init(&self, _: &mut Context<'_>) -> Result<Decimal> {
        Ok(Decimal::ZERO)
    }

    fn step(&self, context: &mut Context<'_>, sum: &mut Decimal) -> Result<()> {
        if let Some(number) = decimal(context, 0)? {
            *sum = sum.checked_add(number).ok_or_else(|| inexact("decimal_sum"))?;
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, sum: Option<Decimal>) -> Result<String> {
        Ok(sum.unwrap_or(Decimal::ZERO).to_string())
    }
}

/// By value; what is no decimal comes behind, by its bytes, so that the order is total.
fn compare(left: &str, right: &str) -> Ordering {
    match (left.parse::<Decimal>(), right.parse::<Decimal>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => left.cmp(right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        let connection = Connection::open_in_memory().unwrap();
        add(&connection).unwrap();
        let result = connection.query_row(sql, [], |row| row.get::<_, Option<String>>(0));
        let text = match result {
            Ok(text) => text.unwrap_or_else(|| "NULL".to_owned()),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(text, expected, "{sql}");
    }

    #[test]
    fn decimals_are_counted_with_their_digits() {
        check("SELECT decimal_add('0.1', '0.2')", "0.3");
        check("SELECT decimal_sub('1.00', 1)", "0.00");
        check("SELECT decimal_mul('19.90', 3)", "59.70");
        check("SELECT decimal_round('2.5', 0)", "2");
        check("SELECT decimal_add('1', NULL)", "NULL");
        check("SELECT CAST(decimal_cmp('10', '9.5') AS TEXT)", "1");
        check("SELECT decimal_sum(column1) FROM (VALUES ('0.1'), (NULL), ('0.2'), (1))", "1.3");
        check("SELECT decimal_sum(x) FROM (SELECT '1' AS x WHERE 0)", "0");
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        check("SELECT decimal_add('1', 0.5)", "error: 0.5 is a REAL, which is not exact; keep decimals as TEXT");
        check("SELECT decimal_add('one', 1)", "error: `one` is not a decimal of at most 28 digits, such as 12.50");
        check(
            "SELECT decimal_mul('79228162514264337593543950335', 2)",
            "error: decimal_mul: the exact result has too many digits for a decimal",
        );
    }

    #[test]
    fn the_collation_orders_by_value() {
        check(
            "SELECT group_concat(x) FROM (SELECT column1 AS x FROM (VALUES ('10'), ('9.5'), ('-1')) ORDER BY 1 COLLATE decimal)",
            "-1,9.5,10",
        );
        check("SELECT CAST('1.0' = '1.00' COLLATE decimal AS TEXT)", "1");
    }
}
