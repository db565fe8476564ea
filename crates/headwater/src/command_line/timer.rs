//! `timer`: commands that are sent when their time has come, over HTTP.

use bytes::Bytes;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use super::consumer::pages;
use super::entity::get;
use super::send::body;
use super::table::{cell, table};
use crate::client::{accepted, command_headers, connection, failed, minted_key, segment};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{output, threads};

/// What can be done with timers.
#[derive(Subcommand)]
pub enum Command {
    /// List the timers that wait or are parked, by name
    List(List),
    /// Show a timer, also one that has fired or was cancelled
    Show {
        /// The timer's name
        name: String,
    },
    /// Set a timer: its command is sent when it is due
    ///
    /// One that waits under this name is replaced, unless it is the same.
    Set(Set),
    /// Cancel a timer; 3 when it has fired already
    Cancel(Change),
    /// Move a timer that waits, or is parked, to another time
    Reschedule {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        due: Due,
    },
    /// Have a parked timer fired again, at once
    Redrive(Change),
    /// Show how many timers wait, are parked and are being fired
    Status,
}

/// Which timers.
#[derive(Args)]
pub struct List {
    /// Only names that begin so
    #[arg(long)]
    prefix: Option<String>,
    /// Only those that are due then or later, such as 2026-11-21T12:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only those that are due earlier
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only those that send to entities of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only those that send to this id
    #[arg(long)]
    id: Option<String>,
    /// Only these: pending or parked
    #[arg(long)]
    state: Option<String>,
}

/// When a timer is due.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct When {
    /// At this time, such as 2026-11-21T12:00:00Z
    #[arg(long, value_name = "TIME")]
    due: Option<String>,
    /// So many milliseconds from now
    #[arg(long, value_name = "MILLISECONDS")]
    after_ms: Option<u64>,
    /// Again and again: each time that so many milliseconds have passed
    #[arg(long, value_name = "MILLISECONDS")]
    every_ms: Option<u64>,
    /// Again and again: when the wall clock is so, such as `30 9 * * MON-FRI`
    #[arg(long, value_name = "LINE")]
    cron: Option<String>,
}

/// When a timer is due, and where.
#[derive(Args)]
pub struct Due {
    #[command(flatten)]
    when: When,
    /// The time zone of --cron, such as Europe/Berlin [default: UTC]
    #[arg(long, requires = "cron")]
    zone: Option<String>,
}

/// Which timer is changed.
#[derive(Args)]
pub struct Change {
    /// The timer's name
    name: String,
    /// The Idempotency-Key: sending the same key again changes nothing [default: a new one]
    #[arg(long)]
    key: Option<String>,
}

/// What a timer sends, and when.
#[derive(Args)]
pub struct Set {
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    due: Due,
    /// The entity's type, such as cart
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The entity's id
    id: String,
    /// The command's name, such as expire
    command: String,
    /// Its fields as JSON; `-` reads standard input
    #[arg(value_name = "JSON|-")]
    body: Option<String>,
}

pub(super) fn run(command: &Command, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let url = settings.url();
    threads::call(async {
        match command {
            Command::List(which) => list(&url, which, as_json).await.map(|()| Exit::Done),
            Command::Show { name } => show(&url, name, as_json).await.map(|()| Exit::Done),
            Command::Set(set) => self::set(&url, set, as_json).await,
            Command::Cancel(change) => self::change(&url, change, (Method::DELETE, "", "cancelled"), Json::Null, as_json).await,
            Command::Reschedule { change, due } => {
                self::change(&url, change, (Method::POST, "/reschedule", "rescheduled"), due.json(), as_json).await
            }
            Command::Redrive(change) => self::change(&url, change, (Method::POST, "/redrive", "redriven"), Json::Null, as_json).await,
            Command::Status => status(&url, as_json).await.map(|()| Exit::Done),
        }
    })
}

impl Due {
    fn json(&self) -> Json {
        let Self { when: When { due, after_ms, every_ms, cron }, zone } = self;
        match (due, after_ms, every_ms) {
            (Some(due), ..) => json!({ "due": due }),
            (None, Some(millis), _) => json!({ "after_ms": millis }),
            (None, None, Some(millis)) => json!({ "every_ms": millis }),
            (None, None, None) => json!({ "cron": cron, "zone": zone }),
        }
    }
}

fn path(name: &str) -> String {
    format!("/v1/timers/{}", segment(name))
}

async fn list(url: &str, which: &List, as_json: bool) -> Result<(), Failure> {
    let List { prefix, from, until, kind, id, state } = which;
    let all = [("prefix", prefix), ("from", from), ("until", until), ("type", kind), ("id", id), ("state", state)];
    let named = all.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", segment(value))));
    let items = pages(url, format!("/v1/timers?{}", named.collect::<Vec<_>>().join("&"))).await?;
    if as_json {
        return items.iter().try_for_each(output::json);
    }
    let names = ["name", "state", "due", "type", "id", "command", "cause"];
    let heads = names.map(str::to_uppercase);
    let line = |item: &Json| names.iter().map(|name| cell(&item[name])).collect::<Vec<_>>();
    table(&heads.each_ref().map(String::as_str), &items.iter().map(line).collect::<Vec<_>>())
}

async fn show(url: &str, name: &str, as_json: bool) -> Result<(), Failure> {
    let timer = get(url, &path(name)).await?;
    if as_json { output::json(&timer) } else { print(&timer) }
}

fn print(timer: &Json) -> Result<(), Failure> {
    let send = &timer["send"];
    output::data(format!("{} {}", cell(&timer["name"]), standing(timer)))?;
    output::data(format!("sends {}/{} {} {}", cell(&send["type"]), cell(&send["id"]), cell(&send["command"]), send["body"]))?;
    if let Some(period) = timer["every_ms"].as_u64() {
        output::data(format!("every {period} milliseconds"))?;
    }
    if let Some(line) = timer["cron"].as_str() {
        output::data(format!("by the schedule {line} in {}", cell(&timer["zone"])))?;
    }
    if let Some(cause) = timer["cause"].as_str() {
        output::data(format!("parked after {} attempts: {cause}", timer["attempts"]))?;
    }
    if let Some(outcome) = timer["last"]["outcome"].as_str() {
        let rejection = timer["last"]["rejection"].as_str().map(|code| format!(" ({code})")).unwrap_or_default();
        output::data(format!("its command was {outcome}{rejection} when it was due {}", cell(&timer["last"]["due"])))?;
    }
    Ok(())
}

/// How a timer is, and when that is or was due.
fn standing(timer: &Json) -> String {
    let (state, due) = (cell(&timer["state"]), cell(&timer["due"]));
    match &*state {
        "cancelled" => format!("cancelled, it was set for {due}"),
        "fired" | "parked" => format!("{state}, it was due {due}"),
        _ => format!("{state}, due {due}"),
    }
}

async fn set(url: &str, set: &Set, as_json: bool) -> Result<Exit, Failure> {
    let fields = body(set.body.as_deref())?;
    let fields: Json = if fields.is_empty() {
        Json::Null
    } else {
        serde_json::from_slice(&fields)
            .map_err(|error| Failure::plain(Exit::Usage, format!("the command's fields are not JSON: {error}")))?
    };
    let mut wish = set.due.json();
    wish["send"] = json!({ "type": set.kind, "id": set.id, "command": set.command });
    if !fields.is_null() {
        wish["send"]["body"] = fields;
    }
    change(url, &set.change, (Method::PUT, "", "set"), wish, as_json).await
}

async fn change(url: &str, change: &Change, (method, act, word): (Method, &str, &str), body: Json, as_json: bool) -> Result<Exit, Failure> {
    let key = change.key.clone().map_or_else(minted_key, Ok)?;
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let path = format!("{}{act}", path(&change.name));
    let answer = connection(url)?.request(method, &path, command_headers(Some(&key))?, body).await;
    let response = answer.map_err(|error| failed(url, &error)).and_then(accepted).inspect_err(|failure| {
        if failure.exit() == Exit::Unknown && change.key.is_none() {
            output::talk(format!("the key was {key}: say it again with --key {key}"));
        }
    })?;
    let done: Json =
        serde_json::from_slice(&response.body).map_err(|error| Failure::plain(Exit::Failed, format!("the answer is not JSON: {error}")))?;
    told(&done, word, as_json)
}

/// A cancel that came too late is a no.
fn told(done: &Json, word: &str, as_json: bool) -> Result<Exit, Failure> {
    let (timer, is_done) = (&done["timer"], done[word] == true);
    let is_late = word == "cancelled" && timer["state"] == "fired";
    if as_json {
        output::json(done)?;
    } else {
        let words = if is_late {
            "has fired already".to_owned()
        } else if is_done {
            format!("is {word}")
        } else {
            "was so already".to_owned()
        };
        output::talk(format!("timer {} {words}: {}", cell(&timer["name"]), standing(timer)));
    }
    Ok(if is_late { Exit::Rejected } else { Exit::Done })
}

async fn status(url: &str, as_json: bool) -> Result<(), Failure> {
    let status = get(url, "/v1/admin/timers").await?;
    if as_json {
        return output::json(&status);
    }
    for name in ["pending", "parked", "firing", "resting"] {
        output::data(format!("{name} {}", status[name]))?;
    }
    match status["trouble"].as_str() {
        Some(trouble) => output::data(format!("none are fired now: {trouble}")),
        None => Ok(()),
    }
}
