//! `completions`: scripts that make a shell know the command line.

use std::io::{self, Write as _};

use clap::Args;
use clap_complete::Shell;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Which shell.
#[derive(Args)]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, mut grammar: clap::Command) -> Result<Exit, Failure> {
    let name = grammar.get_name().to_owned();
    // Into memory first: the generator panics when its writer fails, and a closed pipe is no bug.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut grammar, name, &mut script);
    io::stdout().lock().write_all(&script).map_err(|error| output::stdout_failure(&error))?;
    Ok(Exit::Done)
}
