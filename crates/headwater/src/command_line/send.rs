//! `send`: one command to one entity, over HTTP.

use std::io::Read as _;

use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, Method, header};
use serde_json::{Value as Json, json};

use crate::client::{accepted, command_headers, connection, failed, minted_key, segment};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::limits::STDIN_BYTES_MAX;
use crate::{output, threads};

/// Which command, to whom.
#[derive(Args)]
pub struct Arguments {
    /// The entity's type, such as cart
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The entity's id
    id: String,
    /// The command's name, such as add-item
    command: String,
    /// Its fields as JSON; `-` reads standard input
    #[arg(value_name = "JSON|-")]
    body: Option<String>,
    /// The Idempotency-Key: sending the same key again gives the first reply again [default: a new one]
    #[arg(long)]
    key: Option<String>,
    /// Only take the command, to be decided later, and print where its outcome will be
    #[arg(long = "async")]
    later: bool,
    /// Only if the entity is at this sequence; 0 for an entity without events
    #[arg(long, value_name = "SEQUENCE")]
    if_match: Option<u64>,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let body = body(arguments.body.as_deref())?;
    let key = arguments.key.clone().map_or_else(minted_key, Ok)?;
    let sent = threads::call(send(arguments, &settings.url(), &key, body));
    let reply = sent.map_err(|failure| with_key(failure, arguments, &key))?;
    show(arguments, &reply, as_json)?;
    Ok(Exit::Done)
}

async fn send(arguments: &Arguments, url: &str, key: &str, body: Bytes) -> Result<Json, Failure> {
    let mut headers = command_headers(Some(key))?;
    match arguments.if_match {
        Some(0) => drop(headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"))),
        Some(sequence) => drop(headers.insert(header::IF_MATCH, etag(sequence))),
        None => {}
    }
    if arguments.later {
        headers.insert("prefer", HeaderValue::from_static("respond-async"));
    }
    let path = format!("/v1/entities/{}/{}/{}", segment(&arguments.kind), segment(&arguments.id), segment(&arguments.command));
    let response = connection(url)?.request(Method::POST, &path, headers, body).await.map_err(|error| failed(url, &error))?;
    let response = accepted(response)?;
    serde_json::from_slice(&response.body).map_err(|error| Failure::plain(Exit::Failed, format!("the answer is not JSON: {error}")))
}

fn etag(sequence: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{sequence}\"")).expect("digits and quotes fit a header")
}

pub(super) fn body(text: Option<&str>) -> Result<Bytes, Failure> {
    match text {
        Some("-") => standard_input(),
        text => Ok(Bytes::from(text.unwrap_or("{}").to_owned())),
    }
}

fn standard_input() -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(STDIN_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::plain(Exit::Failed, format!("cannot read standard input: {error}")))?;
    if bytes.len() as u64 > STDIN_BYTES_MAX {
        return Err(Failure::plain(Exit::Failed, format!("standard input has more than {STDIN_BYTES_MAX} bytes, which is the bound")));
    }
    Ok(bytes.into())
}

fn with_key(failure: Failure, arguments: &Arguments, key: &str) -> Failure {
    if failure.exit() == Exit::Unknown && arguments.key.is_none() {
        output::talk(format!("the key was {key}: send again with --key {key}"));
    }
    failure
}

fn show(arguments: &Arguments, answer: &Json, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(answer);
    }
    if arguments.later {
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        output::talk(format!(
            "taken under the key {}; ask with: entity outcome {} {} {}",
            text("key"),
            arguments.kind,
            arguments.id,
            text("key")
        ));
        return output::data(text("outcome"));
    }
    output::talk(format!("accepted: {} {} is at sequence {}", arguments.kind, arguments.id, answer["sequence"]));
    match &answer["reply"] {
        Json::Null => Ok(()),
        reply => output::json(&json!(reply)),
    }
}
