//! `consumer`: how consumers are, the keys that they hold and have parked, and decisions about them, over HTTP.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use super::entity::get;
use super::sight::{self, age, print_stall, stalled};
use super::table::{cell, table};
use crate::client::{accepted, command_headers, connection, failed, segment};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{output, threads};

/// What can be asked and decided.
#[derive(Subcommand)]
pub enum Command {
    /// List the consumers with their state, and how many keys they hold and have parked
    List,
    /// List the keys that a consumer holds (retries are due) and has parked (a person decides), with their causes
    Held {
        /// The consumer: the name of an action or a processor
        consumer: String,
        /// Only those whose last failure is of this group
        #[arg(long, value_name = "GROUP")]
        cause: Option<String>,
        /// Print the groups of causes with their counts instead
        #[arg(long)]
        groups: bool,
    },
    /// Show what a processor remembers of a key: its state, when it wants to be woken, why it is parked
    Key {
        /// The consumer: a processor's name
        consumer: String,
        /// The key
        key: String,
    },
    /// Run held and parked keys again: one, those of a cause, or all
    Redrive(Redrive),
    /// Show what the next run of a held key would send; nothing takes effect
    DryRun {
        #[command(flatten)]
        key: Key,
        /// With this payload instead of the event's own
        #[arg(long, value_name = "JSON")]
        payload: Option<String>,
    },
    /// Let go of the place of a consumer that the service does not have any more: retention waits for it otherwise
    Forget {
        /// The consumer
        consumer: String,
    },
    /// Let a key go on behind the event that holds it
    Discard {
        #[command(flatten)]
        key: Key,
        /// The event, as `consumer held` names it
        #[arg(long)]
        event: String,
        /// Why; kept in the journal
        #[arg(long)]
        reason: String,
    },
    /// Run the event that holds a key with another payload; the event itself stays as it is
    Edit {
        #[command(flatten)]
        key: Key,
        /// The event, as `consumer held` names it
        #[arg(long)]
        event: String,
        /// The payload
        #[arg(value_name = "JSON")]
        payload: String,
        /// Why; kept in the journal
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let a consumer go on from another place, or from one at all when its own was lost
    Place {
        /// The consumer
        consumer: String,
        /// `first`, `now`, a cursor, or a time such as 2026-11-21T12:00:00Z
        at: String,
        /// Why; kept in the journal
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// Which key of which consumer.
#[derive(Args)]
pub struct Key {
    /// The consumer
    consumer: String,
    /// The type of the key
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The id of the key
    id: String,
}

/// Which keys run again.
#[derive(Args)]
pub struct Redrive {
    /// The consumer
    consumer: String,
    /// The type of the key; all keys without it
    #[arg(value_name = "TYPE", requires = "id")]
    kind: Option<String>,
    /// The id of the key
    id: Option<String>,
    /// Only those whose last failure is of this group
    #[arg(long, value_name = "GROUP")]
    cause: Option<String>,
    /// So many keys a second, at most
    #[arg(long, value_name = "KEYS")]
    per_second: Option<u32>,
}

pub(super) fn run(command: &Command, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let url = settings.url();
    threads::call(async {
        match command {
            Command::List => list(&url, as_json).await,
            Command::Held { consumer, cause, groups } => held(&url, consumer, cause.as_deref(), *groups, as_json).await,
            Command::Key { consumer, key } => remembered(&url, consumer, key, as_json).await,
            Command::Redrive(redrive) => {
                let body = json!({ "type": redrive.kind, "id": redrive.id, "cause": redrive.cause, "per_second": redrive.per_second });
                let done = decide(&url, &redrive.consumer, "redrive", &body).await?;
                told(&done, as_json, format!("{} keys run again", done["keys"]))
            }
            Command::DryRun { key, payload } => dry_run(&url, key, payload.as_deref(), as_json).await,
            Command::Discard { key, event, reason } => {
                let body = json!({ "type": key.kind, "id": key.id, "event": event, "reason": reason });
                let done = decide(&url, &key.consumer, "discard", &body).await?;
                told(&done, as_json, format!("{} {} goes on behind event {event}", key.kind, key.id))
            }
            Command::Edit { key, event, payload, reason } => {
                let body = json!({ "type": key.kind, "id": key.id, "event": event, "payload": parsed(payload)?, "reason": reason });
                let done = decide(&url, &key.consumer, "edit", &body).await?;
                told(&done, as_json, format!("{} {} runs with the new payload", key.kind, key.id))
            }
            Command::Forget { consumer } => {
                let done = decide(&url, consumer, "forget", &json!({})).await?;
                told(&done, as_json, format!("{consumer} has no place any more, and retention does not wait for it"))
            }
            Command::Place { consumer, at, reason } => {
                let done = decide(&url, consumer, "place", &json!({ "at": at, "reason": reason })).await?;
                told(&done, as_json, format!("{consumer} goes on from {at}"))
            }
        }
    })?;
    Ok(Exit::Done)
}

fn told(done: &Json, as_json: bool, words: String) -> Result<(), Failure> {
    if as_json {
        return output::json(done);
    }
    output::talk(words);
    Ok(())
}

fn parsed(payload: &str) -> Result<Json, Failure> {
    serde_json::from_str(payload).map_err(|error| Failure::plain(Exit::Usage, format!("the payload is not JSON: {error}")))
}

fn path(consumer: &str) -> String {
    format!("/v1/admin/consumers/{}", segment(consumer))
}

async fn decide(url: &str, consumer: &str, act: &str, body: &Json) -> Result<Json, Failure> {
    let (path, headers) = (format!("{}/{act}", path(consumer)), command_headers(None)?);
    let answer = connection(url)?.request(Method::POST, &path, headers, body.to_string().into()).await;
    let response = accepted(answer.map_err(|error| failed(url, &error))?)?;
    serde_json::from_slice(&response.body).map_err(|error| Failure::plain(Exit::Failed, format!("the answer is not JSON: {error}")))
}

async fn list(url: &str, as_json: bool) -> Result<(), Failure> {
    let items = pages(url, "/v1/admin/consumers".to_owned()).await?;
    if as_json {
        return items.iter().try_for_each(output::json);
    }
    let now = sight::now();
    let line = |item: &Json| {
        let numbers = ["under_way", "held", "parked"].map(|name| cell(&item[name]));
        let cause = stalled(item, now).map_or_else(|| cell(&item["cause"]), |(time, _)| format!("stalled for {time}"));
        let [under_way, held, parked] = numbers;
        let (behind, oldest) = (cell(&item["behind"]), age(&item["oldest_undelivered_at"], now).unwrap_or_default());
        vec![cell(&item["consumer"]), cell(&item["state"]), behind, under_way, oldest, held, parked, cause]
    };
    let names = ["CONSUMER", "STATE", "BEHIND", "UNDER WAY", "OLDEST", "HELD", "PARKED", "CAUSE"];
    table(&names, &items.iter().map(line).collect::<Vec<_>>())?;
    items.iter().try_for_each(|item| print_stall(&format!("consumer {}", cell(&item["consumer"])), item, now))
}

async fn held(url: &str, consumer: &str, cause: Option<&str>, groups: bool, as_json: bool) -> Result<(), Failure> {
    let mut parameters: Vec<String> = cause.map(|cause| format!("cause={}", segment(cause))).into_iter().collect();
    parameters.extend(groups.then(|| "group=cause".to_owned()));
    let items = pages(url, format!("{}/held?{}", path(consumer), parameters.join("&"))).await?;
    if as_json {
        return items.iter().try_for_each(output::json);
    }
    let names: &[&str] =
        if groups { &["cause", "held", "parked", "since"] } else { &["type", "id", "state", "event", "event_type", "attempts", "cause"] };
    let line = |item: &Json| names.iter().map(|name| cell(&item[name])).collect::<Vec<_>>();
    let heads: Vec<String> = names.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
    table(&heads.iter().map(String::as_str).collect::<Vec<_>>(), &items.iter().map(line).collect::<Vec<_>>())
}

async fn remembered(url: &str, consumer: &str, key: &str, as_json: bool) -> Result<(), Failure> {
    let sight = get(url, &format!("{}/keys/{}", path(consumer), segment(key))).await?;
    if as_json {
        return output::json(&sight);
    }
    output::data(format!("state {:#}", sight["state"]))?;
    for wake in sight["wakes"].as_array().into_iter().flatten() {
        output::data(format!("wakes {}", cell(wake)))?;
    }
    match &sight["parked"] {
        Json::Null => Ok(()),
        parked => output::data(format!("parked by event {}: {}", cell(&parked["event"]), cell(&parked["cause"]))),
    }
}

/// All items of a list, page by page.
pub(super) async fn pages(url: &str, first: String) -> Result<Vec<Json>, Failure> {
    let (mut items, mut next) = (Vec::new(), Some(first));
    while let Some(path) = next {
        let mut page = get(url, &path).await?;
        if let Some(more) = page["items"].as_array_mut() {
            items.append(more);
        }
        next = page["next"].as_str().map(str::to_owned);
    }
    Ok(items)
}

async fn dry_run(url: &str, key: &Key, payload: Option<&str>, as_json: bool) -> Result<(), Failure> {
    let payload = payload.map(parsed).transpose()?;
    let preview = decide(url, &key.consumer, "dry-run", &json!({ "type": key.kind, "id": key.id, "payload": payload })).await?;
    if as_json {
        return output::json(&preview);
    }
    for send in preview["sends"].as_array().into_iter().flatten() {
        output::data(format!("sends {} {}", cell(&send["to"]), send["body"]))?;
    }
    match preview["cause"].as_str() {
        Some(cause) => output::data(format!("{}: {cause}", cell(&preview["outcome"]))),
        None => output::data(cell(&preview["outcome"])),
    }
}
