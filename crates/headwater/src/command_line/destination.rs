//! `destination`: how those are whom actions call, over HTTP.

use clap::Subcommand;
use serde_json::Value as Json;

use super::consumer::pages;
use super::table::{cell, table};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{output, threads};

/// What can be asked.
#[derive(Subcommand)]
pub enum Command {
    /// List whom actions call, with how that goes and whether calls pass
    ///
    /// CALLS and FAILURES are those of the last half minute, or of the window that the policy says. A destination that is open or resting
    /// is called again at NEXT TRY; until then events that need it wait, and spend no attempt.
    List,
}

pub(super) fn run(command: &Command, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let Command::List = command;
    threads::call(list(&settings.url(), as_json))?;
    Ok(Exit::Done)
}

const COLUMNS: [&str; 9] = ["destination", "state", "calls", "failures", "in_flight", "not_tried", "since", "next_try", "cause"];

async fn list(url: &str, as_json: bool) -> Result<(), Failure> {
    let items = pages(url, "/v1/admin/destinations".to_owned()).await?;
    if as_json {
        return items.iter().try_for_each(output::json);
    }
    let line = |item: &Json| COLUMNS.map(|name| cell(&item[name])).to_vec();
    let heads = COLUMNS.map(|name| name.replace('_', " ").to_uppercase());
    table(&heads.each_ref().map(String::as_str), &items.iter().map(line).collect::<Vec<_>>())
}
