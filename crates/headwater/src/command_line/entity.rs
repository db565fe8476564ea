//! `entity`: an entity's state now and in the past, its history, and the ids of a type.

use clap::{Args, Subcommand};
use http::{HeaderMap, Method};
use serde_json::Value as Json;

use super::events::event_line;
use crate::client::{accepted, connection, failed, refused, segment};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{output, threads};

/// What can be looked at.
#[derive(Subcommand)]
pub enum Command {
    /// Print an entity's state, now or as it was
    Show(Show),
    /// Print an entity's events, with who and why
    History(Name),
    /// Print what became of a command, by its key
    ///
    /// The reply, with 0; a rejection, with 3; 5 while an asynchronous command is not decided, 4 when nothing is known of it.
    Outcome {
        #[command(flatten)]
        name: Name,
        /// The command's Idempotency-Key
        key: String,
    },
    /// Print the ids of a type, one a line
    List {
        /// The type, such as cart
        #[arg(value_name = "TYPE")]
        kind: String,
    },
}

/// Which entity.
#[derive(Args)]
pub struct Name {
    /// The entity's type, such as cart
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The entity's id
    id: String,
}

/// Which entity, when.
#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    name: Name,
    /// As it was after this event
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "at")]
    sequence: Option<u64>,
    /// As it was at this time, such as 2026-11-21T12:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

pub(super) fn run(command: &Command, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let url = settings.url();
    threads::call(async {
        let mut exit = Exit::Done;
        match command {
            Command::Show(arguments) => show(arguments, &url, as_json).await?,
            Command::Outcome { name, key } => exit = outcome(name, key, &url, as_json).await?,
            Command::History(name) => pages(&url, format!("{}/events", path(name)), |item| history_line(item, as_json)).await?,
            Command::List { kind } => pages(&url, format!("/v1/entities/{}", segment(kind)), |item| id_line(item, as_json)).await?,
        }
        Ok(exit)
    })
}

fn path(name: &Name) -> String {
    format!("/v1/entities/{}/{}", segment(&name.kind), segment(&name.id))
}

async fn show(arguments: &Show, url: &str, as_json: bool) -> Result<(), Failure> {
    let moment = match (arguments.sequence, &arguments.at) {
        (Some(sequence), _) => format!("?sequence={sequence}"),
        (None, Some(time)) => format!("?at={}", segment(time)),
        (None, None) => String::new(),
    };
    let read = get(url, &format!("{}{moment}", path(&arguments.name))).await?;
    if as_json {
        return output::json(&read);
    }
    let text = |name: &str| read[name].as_str().unwrap_or_default().to_owned();
    output::talk(format!("{} {} at sequence {}, {}", text("type"), text("id"), read["sequence"], text("time")));
    output::data(format!("{:#}", read["state"]))
}

async fn outcome(name: &Name, key: &str, url: &str, as_json: bool) -> Result<Exit, Failure> {
    let read = get(url, &format!("{}/commands/{}", path(name), segment(key))).await?;
    if read["status"] == "rejected" && !as_json {
        return Err(refused(read["problem"].to_string().as_bytes()));
    }
    let exit = match read["status"].as_str() {
        Some("rejected") => Exit::Rejected,
        Some("pending") => Exit::Unknown,
        _ => Exit::Done,
    };
    if as_json {
        output::json(&read)?;
    } else if exit == Exit::Unknown {
        output::talk(format!("{} is not decided yet", read["command"].as_str().unwrap_or_default()));
    } else {
        output::talk(format!("accepted: {} {} was at sequence {}", name.kind, name.id, read["sequence"]));
        output::json(&read["reply"])?;
    }
    Ok(exit)
}

/// What a path of the service answers.
pub(super) async fn get(url: &str, path: &str) -> Result<Json, Failure> {
    let answer = connection(url)?.request(Method::GET, path, HeaderMap::new(), bytes::Bytes::new()).await;
    let response = accepted(answer.map_err(|error| failed(url, &error))?)?;
    serde_json::from_slice(&response.body).map_err(|error| Failure::plain(Exit::Failed, format!("the answer is not JSON: {error}")))
}

/// Follows a list to its end, page by page.
async fn pages(url: &str, first: String, print: impl Fn(&Json) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut next = Some(first);
    while let Some(path) = next {
        let page = get(url, &path).await?;
        page["items"].as_array().into_iter().flatten().try_for_each(&print)?;
        next = page["next"].as_str().map(str::to_owned);
    }
    Ok(())
}

fn id_line(id: &Json, as_json: bool) -> Result<(), Failure> {
    match id.as_str().filter(|_| !as_json) {
        Some(id) => output::data(id),
        None => output::json(id),
    }
}

fn history_line(event: &Json, as_json: bool) -> Result<(), Failure> {
    if as_json { output::json(event) } else { output::data(event_line(event)) }
}
