//! `journal`: the root over all events, from the directory; how the scrub stands, over HTTP.

use clap::Subcommand;
use http::Method;
use journal::embedded::root;
use serde_json::{Value as Json, json};

use super::entity::get;
use crate::client::{accepted, connection, failed};
use crate::config::{Settings, data_directory};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::limits::{MARKER_LOOK, SCRUB_LOOK};
use crate::{engine, output, threads};

/// What can be asked of a journal.
#[derive(Subcommand)]
pub enum Command {
    /// Print the root over all events so far; the service may run
    ///
    /// Keep it where nobody can write who can write to the data directory: `verify --root` finds whether the log still has it.
    Root,
    /// Show how the scrub of the running service stands, and what it has found damaged
    Status,
    /// Let the running service read everything sealed now, pack what is old, and wait for it; ends with 6 when something is damaged
    Scrub,
}

pub(super) fn run(command: &Command, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    match command {
        Command::Root => print_root(settings, as_json),
        Command::Status => threads::call(status(&settings.url(), as_json)),
        Command::Scrub => threads::call(scrub(&settings.url(), as_json)),
    }
}

fn print_root(settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let directory = data_directory(settings)?;
    let root = root(&engine::disk_to_read(&directory)?, &mut || std::thread::sleep(MARKER_LOOK))
        .map_err(|error| engine::not_opened(&directory, &error))?;
    let cursor = root.cursor.map(|cursor| cursor.to_string());
    if as_json {
        output::json(&json!({ "root": root.to_string(), "cursor": cursor, "events": root.cursor.map(|cursor| cursor.position()) }))?;
    } else {
        output::data(root.to_string())?;
    }
    Ok(Exit::Done)
}

const PATH: &str = "/v1/admin/journal";

async fn status(url: &str, as_json: bool) -> Result<Exit, Failure> {
    show(&get(url, PATH).await?, as_json)
}

async fn scrub(url: &str, as_json: bool) -> Result<Exit, Failure> {
    let asked = connection(url)?.request(Method::POST, &format!("{PATH}/scrub"), http::HeaderMap::new(), bytes::Bytes::new()).await;
    let asked = accepted(asked.map_err(|error| failed(url, &error))?)?;
    let before: Json = serde_json::from_slice(&asked.body).unwrap_or_default();
    // One that was under way when this was asked for began before it.
    let wanted = before["scrub"]["passes"].as_u64().unwrap_or(0) + 1 + u64::from(before["scrub"]["running"] == true);
    loop {
        let now = get(url, PATH).await?;
        if now["scrub"].is_null() || now["scrub"]["passes"].as_u64() >= Some(wanted) {
            return show(&now, as_json);
        }
        tokio::time::sleep(SCRUB_LOOK).await;
    }
}

fn show(journal: &Json, as_json: bool) -> Result<Exit, Failure> {
    let scrub = &journal["scrub"];
    let damage: Vec<&str> = scrub["damage"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if as_json {
        output::json(journal)?;
    } else {
        damage.iter().try_for_each(|place| output::data(format!("damaged: {place}")))?;
        let ended = scrub["ended"].as_str().unwrap_or("never");
        let state = if scrub["running"] == true { "under way" } else { "resting" };
        output::data(format!("scrub {state}, {} passes, the last one ended {ended}", scrub["passes"]))?;
        output::data(format!(
            "segments read {} of {}, roots kept {} of {}",
            scrub["segments_done"], scrub["segments"], scrub["roots"], scrub["sealed"]
        ))?;
        output::data(format!("segments packed {} of {}, {} bytes spared", scrub["packed"], scrub["sealed"], scrub["packed_bytes_saved"]))?;
        scrub["not_packed"].as_str().map_or(Ok(()), |why| output::data(format!("not packed: {why}")))?;
    }
    Ok(if damage.is_empty() { Exit::Done } else { Exit::Damaged })
}
