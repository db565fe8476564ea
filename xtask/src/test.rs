//! `test`: every test of the workspace, with the sum over all binaries at the end.
//!
//! A test that lacks something (real data, say) prints a line `skipped: ...` and returns. The test harness counts it
//! as passed; here it is counted as skipped, and told with its reason. Tests on PostgreSQL are never skipped: a server runs while they do.

mod hung;
mod postgres;
mod report;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use crate::step::{self, Failure};
use report::Report;

/// One call of `cargo test`.
struct Run {
    name: &'static str,
    /// Behind `test --workspace --all-features --no-fail-fast`, so that nothing is built twice.
    of: &'static [&'static str],
    /// The engine that tests are told to use which are asked for one.
    engine: Option<&'static str>,
}

/// Documentation tests need a run of their own: `cargo` has no flag for all of them together with examples. The tests of flow and time over
/// HTTP run on each engine: first on the one that is nearest (the model, or the embedded one), then on the others.
const RUNS: [Run; 4] = [
    Run { name: "tests", of: &["--tests", "--examples"], engine: None },
    Run { name: "tests of flow and time on the embedded engine", of: &["--test", "gateway"], engine: Some("embedded") },
    Run { name: "tests of flow and time on PostgreSQL", of: &["--test", "gateway", "--test", "headwater"], engine: Some("postgres") },
    Run { name: "documentation tests", of: &["--doc"], engine: None },
];

/// What the tests read that are run on several engines.
const ENGINE: &str = "HEADWATER_TEST_ENGINE";

/// Runs everything, failures too, and fails at the end when one did.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let mut report = Report::default();
    let server = postgres::Server::start()?;
    for Run { name, of, engine } in &RUNS {
        let arguments = [&["test", "--workspace", "--all-features", "--no-fail-fast"], *of, &["--", "--show-output"]].concat();
        let mut cargo = step::cargo(root, &arguments);
        cargo.env(postgres::VARIABLE, server.url()).env_remove(ENGINE).envs(engine.map(|engine| (ENGINE, engine)));
        step::timed(name, || run_one(&mut cargo, name, &mut report))?;
    }
    report.skipped().for_each(|(test, reason)| println!("skipped: {test}: {reason}"));
    println!("{report}");
    if report.failed() > 0 { Err(Failure::new("a test failed; what it said stands above")) } else { Ok(()) }
}

/// Passes the output on as it comes, but for what passing tests printed.
fn run_one(cargo: &mut Command, name: &str, report: &mut Report) -> Result<(), Failure> {
    let mut child = cargo.stdout(Stdio::piped()).spawn().map_err(|error| Failure::new(format!("{name} do not start: {error}")))?;
    let output = child.stdout.take().ok_or_else(|| Failure::new("a child has no output although it was asked for"))?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || BufReader::new(output).split(b'\n').map_while(Result::ok).try_for_each(|line| sender.send(line)));
    loop {
        match lines.recv_timeout(hung::SILENCE_MAX) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line);
                if report.line(&line) {
                    println!("{line}");
                }
            }
            Err(RecvTimeoutError::Timeout) if report.is_open() => {
                println!(
                    "error: no test ended for {} minutes, so their binary is killed; {}",
                    hung::SILENCE_MAX.as_secs() / 60,
                    report.slow()
                );
                hung::kill_children(child.id());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait().map_err(|error| Failure::new(format!("{name} cannot be waited for: {error}")))?;
    report.end(status.success());
    Ok(())
}
