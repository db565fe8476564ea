//! The retail file: every line that a UK gift shop invoiced in a year (D. Chen, Online Retail, UCI Machine Learning
//! Repository, 2015, CC BY 4.0), as CSV, plain or compressed with zstd.
//!
//! Every `InvoiceNo` becomes an order of its own and every row a line of it, in the file's order. Nothing is cleaned:
//! rows without a customer, lines that repeat, prices of zero and below are what a shop really writes. 43 invoices carry
//! two times, so an invoice's rows need not stand together; the line keeps its own time.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use headwater::prelude::Decimal;
use headwater::{Exit, Failure};
use serde_json::json;

use super::script::{Script, ScriptCommand};

/// The columns, in their order.
const COLUMNS: [&str; 8] = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];

/// One row, as a line of its invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    sku: String,
    description: String,
    quantity: i32,
    price: Decimal,
    at: String,
}

/// All rows of one invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invoice {
    number: String,
    customer: Option<String>,
    country: String,
    lines: Vec<Line>,
}

impl Invoice {
    /// The invoice as commands: it is placed, then each line is added, keyed by invoice and line.
    pub(super) fn script(&self) -> Script {
        let placed_at = self.lines.first().map(|line| line.at.as_str());
        let place = json!({ "customer": self.customer, "country": self.country, "placed_at": placed_at });
        let place = ScriptCommand::new("place", format!("{}-place", self.number), &place);
        let lines = (1..).zip(&self.lines).map(|(ordinal, line)| self.add_line(ordinal, line));
        Script { kind: "order", id: self.number.clone(), commands: std::iter::once(place).chain(lines).collect() }
    }

    /// How many commands the invoice is.
    pub(super) fn command_count(&self) -> u64 {
        1 + self.lines.len() as u64
    }

    fn add_line(&self, ordinal: u32, line: &Line) -> ScriptCommand {
        let Line { sku, description, quantity, price, at } = line;
        let body =
            json!({ "line": ordinal, "sku": sku, "description": description, "quantity": quantity, "price": price.to_string(), "at": at });
        ScriptCommand::new("add-line", format!("{}-{ordinal}", self.number), &body)
    }
}

/// Reads the file, at most `limit` rows of it, and gathers the rows of each invoice, in the order of first appearance.
///
/// # Errors
/// When the file cannot be read, or a row does not fit; the message names the line.
pub(super) fn read(path: &Path, limit: Option<u64>) -> Result<Vec<Invoice>, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let rows: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "zst") {
        Box::new(zstd::Decoder::new(file).map_err(|error| unreadable(path, &error))?)
    } else {
        Box::new(BufReader::new(file))
    };
    gather(rows, limit).map_err(|message| unreadable(path, &message))
}

fn unreadable(path: &Path, cause: &dyn std::fmt::Display) -> Failure {
    Failure::plain(Exit::Failed, format!("cannot read the retail file {}: {cause}", path.display()))
}

fn gather(rows: impl Read, limit: Option<u64>) -> Result<Vec<Invoice>, String> {
    let mut reader = csv::Reader::from_reader(rows);
    check_columns(reader.headers().map_err(|error| error.to_string())?)?;
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut invoices = Vec::new();
    let mut places = HashMap::new();
    for record in reader.records().take(limit) {
        let record = record.map_err(|error| error.to_string())?;
        add_row(&mut invoices, &mut places, &record).map_err(|message| format!("line {}: {message}", line_number(&record)))?;
    }
    Ok(invoices)
}

fn line_number(record: &csv::StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

fn check_columns(header: &csv::StringRecord) -> Result<(), String> {
    if header.iter().eq(COLUMNS) { Ok(()) } else { Err(format!("its columns must be {}", COLUMNS.join(","))) }
}

fn add_row(invoices: &mut Vec<Invoice>, places: &mut HashMap<String, usize>, row: &csv::StringRecord) -> Result<(), String> {
    let column = |index: usize| row.get(index).unwrap_or_default();
    let line = Line {
        sku: column(1).to_owned(),
        description: column(2).to_owned(),
        quantity: column(3).parse().map_err(|_| format!("the quantity `{}` is not a whole number", column(3)))?,
        price: column(5).parse().map_err(|_| format!("the price `{}` is not a decimal", column(5)))?,
        at: column(4).to_owned(),
    };
    let place = *places.entry(column(0).to_owned()).or_insert(invoices.len());
    if place == invoices.len() {
        let (number, customer, country) = (column(0).to_owned(), customer(column(6)), column(7).to_owned());
        invoices.push(Invoice { number, customer, country, lines: Vec::new() });
    }
    invoices[place].lines.push(line);
    Ok(())
}

/// The file was once a table of floating-point numbers: customer 17850 is written `17850.0` there.
fn customer(text: &str) -> Option<String> {
    let number = text.strip_suffix(".0").unwrap_or(text);
    (!number.is_empty()).then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Invoice, gather};

    const HEAD: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\r\n";

    fn check(rows: &str) -> Vec<Invoice> {
        gather(format!("{HEAD}{rows}").as_bytes(), None).expect("the rows fit")
    }

    #[test]
    fn rows_gather_under_their_invoice_in_the_order_of_the_file() {
        let invoices = check("1,A,a,6,t1,2.55,17850.0,UK\n2,B,b,-1,t1,0.0,,UK\n1,A,a,6,t2,2.55,17850.0,UK\n");
        let shape: Vec<_> = invoices.iter().map(|invoice| (invoice.number.as_str(), invoice.lines.len())).collect();
        assert_eq!(shape, [("1", 2), ("2", 1)]);
        assert_eq!((invoices[0].customer.as_deref(), invoices[1].customer.as_deref()), (Some("17850"), None));
    }

    #[test]
    fn an_invoice_is_a_placing_and_its_lines_with_keys_of_their_own() {
        let script = check("C1,M,Manual,-1,t1,-11062.06,,UK\nC1,M,Manual,-1,t1,-11062.06,,UK\n")[0].script();
        let keys: Vec<_> = script.commands.iter().map(|command| command.key.as_str()).collect();
        assert_eq!((script.id.as_str(), keys), ("C1", vec!["C1-place", "C1-1", "C1-2"]));
        let line: serde_json::Value = serde_json::from_slice(&script.commands[2].body).expect("it is JSON");
        assert_eq!((&line["line"], &line["quantity"], &line["price"]), (&2.into(), &(-1).into(), &"-11062.06".into()));
    }

    #[test]
    fn a_row_that_does_not_fit_is_refused_with_its_line() {
        let refused = gather(format!("{HEAD}1,A,a,6,t1,2.55,,UK\n1,A,a,many,t1,2.55,,UK\n").as_bytes(), None);
        assert_eq!(refused.expect_err("it does not fit"), "line 3: the quantity `many` is not a whole number");
        assert!(gather("a,b\n".as_bytes(), None).expect_err("other columns").contains("InvoiceNo"));
    }

    #[test]
    fn a_limit_counts_rows() {
        let rows = format!("{HEAD}1,A,a,6,t1,2.55,,UK\n2,A,a,1,t1,2.55,,UK\n");
        assert_eq!(gather(rows.as_bytes(), Some(1)).expect("the rows fit").len(), 1);
    }
}
