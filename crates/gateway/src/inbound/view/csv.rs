//! Rows as CSV (RFC 4180): a line of names, then a line a row. Texts are quoted where they must be, NULL is nothing at all, and what nests is
//! its JSON.

use std::borrow::Cow;
use std::collections::HashMap;

use runtime::QueryAnswer;
use serde_json::value::RawValue;

pub(super) fn write(answer: &QueryAnswer) -> Vec<u8> {
    let mut out = Vec::new();
    line(&mut out, answer.columns.iter().map(|name| Cow::Borrowed(name.as_str())));
    for row in answer.rows.iter() {
        match serde_json::from_slice::<HashMap<Cow<'_, str>, &RawValue>>(row) {
            Ok(fields) => {
                line(&mut out, answer.columns.iter().map(|name| fields.get(name.as_str()).map_or("".into(), |raw| text(raw.get()))))
            }
            // A row that is a single value.
            Err(_) => line(&mut out, std::iter::once(text(&String::from_utf8_lossy(row)).into_owned().into())),
        }
    }
    out
}

fn line<'a>(out: &mut Vec<u8>, cells: impl Iterator<Item = Cow<'a, str>>) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if cell.contains(['"', ',', '\r', '\n']) {
            out.extend_from_slice(format!("\"{}\"", cell.replace('"', "\"\"")).as_bytes());
        } else {
            out.extend_from_slice(cell.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// A JSON value as a cell.
fn text(raw: &str) -> Cow<'_, str> {
    match raw.as_bytes().first() {
        Some(b'n') => "".into(),
        Some(b'"') => serde_json::from_str::<String>(raw).map_or(Cow::Borrowed(raw), Cow::Owned),
        _ => raw.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let mut out = Vec::new();
        line(&mut out, ["\"a,b\"", "null", "1.5", "\"x \\\"y\\\"\"", "[1,2]"].into_iter().map(text));
        assert_eq!(String::from_utf8(out).unwrap(), "\"a,b\",,1.5,\"x \"\"y\"\"\",\"[1,2]\"\r\n");
    }
}
