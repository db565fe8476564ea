//! What changed between two answers of a query, so that a client that has the one gets to the other.
//!
//! Rows are told apart by their key. A client takes `gone` rows out, then puts each `row` at its place, in order: what it has then is the new
//! answer, order included. Where much has changed, all rows are shorter than the difference.

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Bytes;
use journal::Cursor;

use super::rows::Rows;
use crate::limits::LIVE_CHANGES_MAX;

/// One step from an answer to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// The row with this key is gone: JSON, the key's columns or the whole row.
    Gone {
        /// The key.
        key: Bytes,
    },
    /// The row with this key stands here now; where the client has one of this key, this is it.
    Row {
        /// Its place, from 0.
        at: usize,
        /// The key.
        key: Bytes,
        /// The row: JSON.
        row: Bytes,
    },
}

/// What all who watch a query are told at once.
#[derive(Debug)]
pub struct LiveUpdate {
    /// The place that the rows have seen after it.
    pub cursor: Cursor,
    /// The steps.
    pub changes: Vec<RowChange>,
    /// The update as it goes out, made once for all: whoever needs it first writes it.
    pub encoded: OnceLock<Bytes>,
}

/// The steps from one answer to the next; `None` when there are too many.
pub(super) fn between(old: &Rows, new: &Rows) -> Option<Vec<RowChange>> {
    let kept: HashMap<&[u8], &[u8]> = (0..new.len()).map(|at| (new.key(at), new.get(at))).collect();
    if kept.len() < new.len() || new.len().abs_diff(old.len()) > LIVE_CHANGES_MAX {
        // Rows that nothing tells apart have no difference, only an answer.
        return (old == new).then(Vec::new);
    }
    let mut changes = Vec::new();
    let mut client: Vec<(&[u8], &[u8])> = Vec::with_capacity(new.len());
    for at in 0..old.len() {
        if kept.contains_key(old.key(at)) {
            client.push((old.key(at), old.get(at)));
        } else {
            changes.push(RowChange::Gone { key: Bytes::copy_from_slice(old.key(at)) });
        }
    }
    for at in 0..new.len() {
        let (key, row) = (new.key(at), new.get(at));
        if client.get(at) == Some(&(key, row)) {
            continue;
        }
        if let Some(was) = client.iter().skip(at).position(|(known, _)| *known == key) {
            client.remove(at + was);
        }
        client.insert(at, (key, row));
        changes.push(RowChange::Row { at, key: Bytes::copy_from_slice(key), row: Bytes::copy_from_slice(row) });
        if changes.len() > LIVE_CHANGES_MAX {
            return None;
        }
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows whose first letter is the key.
    fn rows(texts: &[&str]) -> Rows {
        let mut rows = Rows::default();
        texts.iter().for_each(|text| rows.push_for_tests(text, &text[..1]));
        rows
    }

    fn apply(client: &mut Vec<String>, changes: &[RowChange]) {
        for change in changes {
            match change {
                RowChange::Gone { key } => client.retain(|row| row.as_bytes()[..1] != key[..]),
                RowChange::Row { at, key, row } => {
                    client.retain(|row| row.as_bytes()[..1] != key[..]);
                    client.insert(*at, String::from_utf8(row.to_vec()).unwrap());
                }
            }
        }
    }

    fn check(old: &[&str], new: &[&str], steps: usize) {
        let changes = between(&rows(old), &rows(new)).unwrap();
        let mut client: Vec<String> = old.iter().map(|row| (*row).to_owned()).collect();
        apply(&mut client, &changes);
        assert_eq!(client, new, "{changes:?}");
        assert_eq!(changes.len(), steps, "{changes:?}");
    }

    #[test]
    fn a_client_that_follows_has_the_new_answer() {
        check(&["a1", "b1"], &["a1", "b1"], 0);
        check(&[], &["a1", "b1"], 2);
        check(&["a1", "b1"], &[], 2);
        check(&["a1", "b1", "c1"], &["a1", "b2", "c1"], 1);
        check(&["a1", "b1", "c1"], &["c2", "a1", "b1"], 1);
        check(&["a1", "b1", "c1"], &["d1", "a1", "c1"], 2);
    }

    #[test]
    fn every_change_of_five_rows_leads_there() {
        let words = ["a1", "b1", "c1", "d1", "a2"];
        let mut answers = vec![Vec::new()];
        for _ in 0..4 {
            let longer: Vec<Vec<&str>> = answers
                .iter()
                .flat_map(|answer: &Vec<&str>| words.iter().map(|word| answer.iter().copied().chain([*word]).collect()))
                .collect();
            answers.extend(longer);
            answers.dedup();
        }
        let distinct =
            |answer: &Vec<&str>| answer.iter().enumerate().all(|(at, row)| answer[..at].iter().all(|other| other[..1] != row[..1]));
        let answers: Vec<Vec<&str>> = answers.into_iter().filter(distinct).step_by(7).collect();
        for old in &answers {
            for new in &answers {
                let mut client: Vec<String> = old.iter().map(|row| (*row).to_owned()).collect();
                apply(&mut client, &between(&rows(old), &rows(new)).unwrap());
                assert_eq!(client, *new);
            }
        }
    }

    #[test]
    fn rows_that_nothing_tells_apart_have_no_difference() {
        assert_eq!(between(&rows(&["a1"]), &rows(&["a1", "a1"])), None);
        assert_eq!(between(&rows(&["a1", "a1"]), &rows(&["a1", "a1"])), Some(Vec::new()));
    }
}
