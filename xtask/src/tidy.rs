//! `tidy`: the project's own rules, each a function from the tree of files to what breaks it.
//!
//! A rule stands here when no general tool holds it. Every one has a test in which it fails: a check that cannot fail
//! is a defect. Rules read text, not types: they are quick and may be fooled on purpose, by nobody who wants them.

mod calls;
mod codes;
mod functions;
mod libraries;
mod modules;
mod paths;
mod rooms;
mod source;
mod table;
mod tree;

use std::fmt;
use std::path::Path;

use crate::step::Failure;
use tree::Tree;

/// Something that breaks a rule: where, what, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A rule.
type Check = fn(&Tree) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    rooms::check,
    libraries::check,
    modules::check,
    functions::check,
    calls::seams,
    calls::unwraps,
    calls::unfinished,
    calls::dropped_answers,
    paths::check,
    codes::check,
];

/// Prints every finding, and fails when there is one.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let tree = Tree::read(root).map_err(|error| Failure::new(format!("the project's files cannot be read: {error}")))?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    findings.sort();
    findings.iter().for_each(|finding| println!("{finding}"));
    match findings.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("tidy: {count} finding(s) in {} files", tree.files().len()))),
    }
}

/// Runs one rule over files given as text; gives its findings as they are printed.
#[cfg(test)]
fn found(check: Check, files: &[(&str, &str)]) -> Vec<String> {
    check(&Tree::of(files)).iter().map(ToString::to_string).collect()
}
