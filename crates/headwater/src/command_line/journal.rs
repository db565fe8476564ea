//! `journal`: the root over all events, and how the scrub stands.

use clap::Subcommand;
use journal::embedded::root;
use serde_json::json;

use crate::config::{Settings, data_directory};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{engine, output};

/// What can be asked of a journal.
#[derive(Subcommand)]
pub enum Command {
    /// Print the root over all events so far; the service may run
    ///
    /// Keep it where nobody can write who can write to the data directory: `verify --root` finds whether the log still has it.
    Root,
}

pub(super) fn run(command: &Command, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    match command {
        Command::Root => print_root(settings, as_json),
    }
}

fn print_root(settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let directory = data_directory(settings)?;
    let root = root(&engine::disk_to_read(&directory)?).map_err(|error| engine::not_opened(&directory, &error))?;
    let cursor = root.cursor.map(|cursor| cursor.to_string());
    if as_json {
        output::json(&json!({ "root": root.to_string(), "cursor": cursor, "events": root.cursor.map(|cursor| cursor.position()) }))?;
    } else {
        output::data(root.to_string())?;
    }
    Ok(Exit::Done)
}
