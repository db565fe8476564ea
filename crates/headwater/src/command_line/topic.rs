//! `topic`: one message to a topic, over HTTP.

use bytes::Bytes;
use clap::{Args, Subcommand};
use gateway::client::Response;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value as Json;

use super::send::body;
use crate::client::{accepted, connection, failed, minted_key, segment};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{output, threads};

/// What can be done with a topic.
#[derive(Subcommand)]
pub enum Command {
    /// Publish a message, and print its id
    ///
    /// Sent again with the same --source and --id it is taken once.
    Publish(Publish),
}

/// Which message, to which topic.
#[derive(Args)]
pub struct Publish {
    /// The topic's name, such as payments
    topic: String,
    /// The message's data as JSON; `-` reads standard input
    #[arg(value_name = "JSON|-")]
    data: String,
    /// What sort of message it is [default: the topic's name]
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Who sends it: a URI reference
    #[arg(long, default_value = "/command-line")]
    source: String,
    /// Its id, unique within its source [default: a new one]
    #[arg(long)]
    id: Option<String>,
    /// What it is about: messages with the same subject keep their order
    #[arg(long)]
    subject: Option<String>,
}

pub(super) fn run(command: &Command, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let Command::Publish(message) = command;
    let data = body(Some(&message.data))?;
    let id = message.id.clone().map_or_else(minted_key, Ok)?;
    let response = threads::call(send(message, &settings.url(), &id, data)).inspect_err(|failure| {
        if failure.exit() == Exit::Unknown && message.id.is_none() {
            output::talk(format!("the id was {id}: publish again with --id {id}"));
        }
    })?;
    let answer: Json = serde_json::from_slice(&response.body).unwrap_or_default();
    if as_json {
        output::json(&answer)?;
    } else {
        let again = if answer["replayed"] == true { "was taken before" } else { "taken" };
        output::talk(format!("{again}: a message for {}", message.topic));
        output::data(id)?;
    }
    Ok(Exit::Done)
}

async fn send(message: &Publish, url: &str, id: &str, data: Bytes) -> Result<Response, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let kind = message.kind.as_deref().unwrap_or(&message.topic);
    let attributes =
        [("ce-type", Some(kind)), ("ce-source", Some(&*message.source)), ("ce-id", Some(id)), ("ce-subject", message.subject.as_deref())];
    headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
    for (name, value) in attributes {
        if let Some(value) = value {
            // Encoded, any text fits a header; the service decodes it once.
            headers.insert(name, HeaderValue::try_from(segment(value)).expect("percent-encoded text fits a header"));
        }
    }
    let path = format!("/v1/topics/{}", segment(&message.topic));
    let response = connection(url)?.request(Method::POST, &path, headers, data).await.map_err(|error| failed(url, &error))?;
    accepted(response)
}
