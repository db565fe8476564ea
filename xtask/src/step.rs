//! One step of a task: a `cargo` call with its time, and what it means that it failed.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Why a task failed.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    /// The process's exit code: 1 failed, 2 wrong usage.
    pub(crate) exit: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: 1 }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: 2 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// A `cargo` call in the project's folder.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root).args(arguments);
    command
}

/// Runs a named piece of work and prints how long it took.
pub(crate) fn timed<T>(name: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    println!("-- {name}");
    let begin = Instant::now();
    let done = work();
    let word = if done.is_ok() { "" } else { "failed after " };
    println!("-- {name}: {word}{:.1} s", begin.elapsed().as_secs_f64());
    done
}

/// Runs a command that talks to the terminal itself.
pub(crate) fn succeed(name: &str, command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| Failure::new(format!("{name} does not start: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("{name} failed ({status})"))) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Failure, succeed, timed};

    #[test]
    fn a_command_that_fails_fails_its_step() {
        let failed = timed("canary", || succeed("false", &mut Command::new("false")));
        assert!(failed.unwrap_err().to_string().contains("false failed"));
        assert!(timed("canary", || succeed("true", &mut Command::new("true"))).is_ok());
    }

    #[test]
    fn a_command_that_is_not_there_is_named() {
        let failure: Failure = succeed("nobody", &mut Command::new("headwater-has-no-such-program")).unwrap_err();
        assert!(failure.to_string().starts_with("nobody does not start"));
    }
}
