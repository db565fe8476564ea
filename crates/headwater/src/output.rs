//! Data on standard output, talk on standard error. The only place that writes to either.
//!
//! A reader that goes away (`| head`) is not a failure: whoever writes learns of it and stops.

use std::io::{self, Write as _};

use serde_json::Value as Json;

use crate::exit::Exit;
use crate::failure::Failure;

/// Writes a line of data.
///
/// # Errors
/// When standard output fails; `Exit::Done` when its reader went away.
#[doc(hidden)]
pub fn data(line: impl AsRef<str>) -> Result<(), Failure> {
    data_bytes(line.as_ref().as_bytes())
}

/// Writes a line of data that is JSON.
///
/// # Errors
/// See [`data`].
#[doc(hidden)]
pub fn json(value: &Json) -> Result<(), Failure> {
    data(value.to_string())
}

/// Writes a line of data from bytes, and hands it over at once: another program may wait for it.
///
/// # Errors
/// See [`data`].
#[doc(hidden)]
pub fn data_bytes(line: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(line).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush());
    written.map_err(|error| stdout_failure(&error))
}

/// What a failed write to standard output means.
#[doc(hidden)]
#[must_use]
pub fn stdout_failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::plain(Exit::Done, ""),
        _ => Failure::plain(Exit::Failed, format!("cannot write to standard output: {error}")),
    }
}

/// Says something to the person at the terminal. A closed standard error is nobody's problem.
#[doc(hidden)]
pub fn talk(line: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", line.as_ref());
}

/// Tells of a failure, as text or as one JSON object, and gives its exit code.
#[doc(hidden)]
pub fn report(failure: &Failure, as_json: bool) -> Exit {
    match (failure.exit(), as_json) {
        (Exit::Done, _) => {}
        (_, true) => talk(failure.to_json().to_string()),
        (_, false) => talk(with_hint(failure)),
    }
    failure.exit()
}

fn with_hint(failure: &Failure) -> String {
    match failure.code() {
        Some(code) => format!("error: {failure}\n  more: explain {code}"),
        None => format!("error: {failure}"),
    }
}
