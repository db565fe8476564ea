//! `journal`: the root over all events, from the directory; how scrub and retention stand, over HTTP.

use clap::Subcommand;
use http::Method;
use journal::embedded::root;
use serde_json::{Value as Json, json};

use super::entity::get;
use crate::client::{accepted, connection, failed};
use crate::config::{Settings, data_directory};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::limits::{MARKER_LOOK, RETENTION_LOOK, SCRUB_LOOK};
use crate::{engine, output, threads};

/// What can be asked of a journal.
#[derive(Subcommand)]
pub enum Command {
    /// Print the root over all events so far; the service may run
    ///
    /// Keep it where nobody can write who can write to the data directory: `verify --root` finds whether the log still has it.
    Root,
    /// Show how scrub and retention of the running service stand, and what was found damaged
    Status,
    /// Let the running service read everything sealed now, pack what is old, and wait for it; ends with 6 when something is damaged
    Scrub,
    /// Let the running service let go of what its entity types no longer keep, and wait for it
    Compact,
}

pub(super) fn run(command: &Command, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    match command {
        Command::Root => print_root(settings, as_json),
        Command::Status => threads::call(status(&settings.url(), as_json)),
        Command::Compact => threads::call(compact(&settings.url(), as_json)),
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

/// Waits for a pass that began after it was asked for. What it does is told on standard error, what it came to on standard output.
async fn compact(url: &str, as_json: bool) -> Result<Exit, Failure> {
    let asked = connection(url)?.request(Method::POST, &format!("{PATH}/compact"), http::HeaderMap::new(), bytes::Bytes::new()).await;
    let asked = accepted(asked.map_err(|error| failed(url, &error))?)?;
    let before: Json = serde_json::from_slice(&asked.body).unwrap_or_default();
    let before = &before["retention"];
    let count = |status: &Json, name: &str| status[name].as_u64().unwrap_or(0);
    if before.is_null() {
        return Err(Failure::plain(Exit::Usage, "no entity type of this service lets go of events; `Service::retain` says what one keeps"));
    }
    let ended = |status: &Json| count(status, "passes") + count(status, "failures");
    let wanted = ended(before) + 1 + u64::from(before["running"] == true);
    let mut told = 0;
    loop {
        let now = get(url, PATH).await?;
        let retention = &now["retention"];
        if ended(retention) >= wanted {
            return show_compacted(retention, as_json);
        }
        let looked = count(retention, "entities").saturating_sub(count(before, "entities"));
        if looked >= told + 10_000 {
            told = looked;
            output::talk(format!(
                "{looked} entities looked at, {} baselines written",
                count(retention, "baselines") - count(before, "baselines")
            ));
        }
        tokio::time::sleep(RETENTION_LOOK).await;
    }
}

fn show_compacted(retention: &Json, as_json: bool) -> Result<Exit, Failure> {
    if as_json {
        output::json(retention)?;
    } else {
        print_retention(retention)?;
    }
    Ok(if retention["problem"].is_null() { Exit::Done } else { Exit::Failed })
}

fn print_retention(retention: &Json) -> Result<(), Failure> {
    let (last, total) = (&retention["compacted"], &retention["total"]);
    let state = if retention["running"] == true { "under way" } else { "resting" };
    let ended = retention["ended"].as_str().unwrap_or("never");
    output::data(format!("retention {state}, {} passes, the last one ended {ended}", retention["passes"]))?;
    if last.is_object() {
        output::data(format!(
            "gone by it {} events, {} bytes; {} segments of {} written anew",
            last["events"], last["bytes"], last["rewritten"], last["segments"]
        ))?;
        output::data(format!(
            "gone since the start {} events, {} bytes; {} baselines written",
            total["events"], total["bytes"], retention["baselines"]
        ))?;
    }
    let words = [
        retention["waits"]["words"].as_str().map(str::to_owned),
        (retention["unable"] == true && !retention["ended"].is_null()).then(|| "this engine keeps everything".to_owned()),
        retention["problem"].as_str().map(|problem| format!("problem: {problem}")),
        retention["too_large"]
            .as_u64()
            .filter(|count| *count > 0)
            .map(|count| format!("{count} entities are too large for a baseline and keep all")),
        retention["unreadable"]
            .as_u64()
            .filter(|count| *count > 0)
            .map(|count| format!("{count} entities cannot be read by this version and keep what they have")),
    ];
    words.into_iter().flatten().try_for_each(output::data)
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
        if !journal["retention"].is_null() {
            print_retention(&journal["retention"])?;
        }
    }
    Ok(if damage.is_empty() { Exit::Done } else { Exit::Damaged })
}
