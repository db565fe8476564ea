//! `test`: every test of the workspace, with the sum over all binaries at the end.
//!
//! A test that lacks something (real data, say) prints a line `skipped: ...` and returns. The test harness counts it
//! as passed; here it is counted as skipped, and told with its reason. Tests on PostgreSQL are never skipped: a server runs while they do.

mod postgres;
mod report;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::step::{self, Failure};
use report::Report;

/// Documentation tests need a run of their own: `cargo` has no flag for all of them together with examples.
const RUNS: [(&str, &[&str]); 2] = [
    ("tests", &["test", "--workspace", "--all-features", "--no-fail-fast", "--tests", "--examples", "--", "--show-output"]),
    ("documentation tests", &["test", "--workspace", "--all-features", "--no-fail-fast", "--doc", "--", "--show-output"]),
];

/// Runs everything, failures too, and fails at the end when one did.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let mut report = Report::default();
    let server = postgres::Server::start()?;
    for (name, arguments) in RUNS {
        step::timed(name, || run_one(step::cargo(root, arguments).env(postgres::VARIABLE, server.url()), name, &mut report))?;
    }
    report.skipped().for_each(|(test, reason)| println!("skipped: {test}: {reason}"));
    println!("{report}");
    if report.failed() > 0 { Err(Failure::new("a test failed; what it said stands above")) } else { Ok(()) }
}

/// Passes the output on as it comes, but for what passing tests printed.
fn run_one(cargo: &mut Command, name: &str, report: &mut Report) -> Result<(), Failure> {
    let mut child = cargo.stdout(Stdio::piped()).spawn().map_err(|error| Failure::new(format!("{name} do not start: {error}")))?;
    let output = child.stdout.take().ok_or_else(|| Failure::new("a child has no output although it was asked for"))?;
    let mut lines = BufReader::new(output).split(b'\n');
    while let Some(Ok(line)) = lines.next() {
        let line = String::from_utf8_lossy(&line);
        if report.line(&line) {
            println!("{line}");
        }
    }
    let status = child.wait().map_err(|error| Failure::new(format!("{name} cannot be waited for: {error}")))?;
    report.end(status.success());
    Ok(())
}
