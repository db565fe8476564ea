//! `stream`: what streams there are, how the subscriptions to peers' streams are, and where one goes on, over HTTP.

use clap::Subcommand;
use http::Method;
use serde_json::{Value as Json, json};

use super::consumer::pages;
use super::sight::{self, print_stall};
use super::table::{cell, table};
use crate::client::{accepted, command_headers, connection, failed, segment};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{output, threads};

/// What can be asked and decided.
#[derive(Subcommand)]
pub enum Command {
    /// List the streams that leave the service, with their public types
    List,
    /// List the streams of other services that come in: where each is, and why it does not go on
    ///
    /// DELAY is how long after its event the last message was taken, as far as the clocks of both services agree. UNFIT messages did not fit
    /// their topic; they are there with the reason, and park their keys with the consumers of the topic.
    Status,
    /// Let the subscription that fills a topic go on from another place of its peer's stream
    ///
    /// What has been taken already is known: `first` takes nothing twice.
    Place {
        /// The topic that the subscription fills
        topic: String,
        /// `first`, `now`, or a cursor of the peer's stream
        at: String,
        /// Why; kept in the journal
        #[arg(long, default_value = "")]
        reason: String,
    },
}

pub(super) fn run(command: &Command, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let url = settings.url();
    threads::call(async {
        match command {
            Command::List => list(&url, as_json).await,
            Command::Status => status(&url, as_json).await,
            Command::Place { topic, at, reason } => place(&url, topic, &json!({ "at": at, "reason": reason }), as_json).await,
        }
    })?;
    Ok(Exit::Done)
}

async fn list(url: &str, as_json: bool) -> Result<(), Failure> {
    let items = pages(url, "/v1/streams".to_owned()).await?;
    if as_json {
        return items.iter().try_for_each(output::json);
    }
    let line = |item: &Json| {
        let types = item["types"].as_array().map(Vec::as_slice).unwrap_or_default();
        let types: Vec<String> = types.iter().map(|public| format!("{} ({})", cell(&public["name"]), cell(&public["shape"]))).collect();
        let types = if types.is_empty() { "all events".to_owned() } else { types.join(", ") };
        vec![cell(&item["stream"]), cell(&item["version"]), types, cell(&item["summary"])]
    };
    table(&["STREAM", "VERSION", "TYPES", "SUMMARY"], &items.iter().map(line).collect::<Vec<_>>())
}

async fn status(url: &str, as_json: bool) -> Result<(), Failure> {
    let items = pages(url, "/v1/admin/subscriptions".to_owned()).await?;
    if as_json {
        return items.iter().try_for_each(output::json);
    }
    let line = |item: &Json| {
        let delay = item["delay_ms"].as_i64().map(|millis| format!("{millis} ms")).unwrap_or_default();
        let [topic, peer, stream, state, taken, unfit, cause] =
            ["topic", "peer", "stream", "state", "taken", "unfit", "cause"].map(|name| cell(&item[name]));
        vec![topic, format!("{peer}/{stream}"), state, taken, unfit, delay, cause]
    };
    let names = ["TOPIC", "FROM", "STATE", "TAKEN", "UNFIT", "DELAY", "CAUSE"];
    table(&names, &items.iter().map(line).collect::<Vec<_>>())?;
    let now = sight::now();
    items.iter().try_for_each(|item| print_stall(&format!("subscription {}", cell(&item["topic"])), item, now))
}

async fn place(url: &str, topic: &str, body: &Json, as_json: bool) -> Result<(), Failure> {
    let path = format!("/v1/admin/subscriptions/{}/place", segment(topic));
    let answer = connection(url)?.request(Method::POST, &path, command_headers(None)?, body.to_string().into()).await;
    let response = accepted(answer.map_err(|error| failed(url, &error))?)?;
    let done: Json =
        serde_json::from_slice(&response.body).map_err(|error| Failure::plain(Exit::Failed, format!("the answer is not JSON: {error}")))?;
    if as_json {
        return output::json(&done);
    }
    output::talk(format!("{topic} goes on from {}", cell(&done["place"])));
    Ok(())
}
