//! `workflow`: durable functions, started, signalled and looked at, over HTTP.

mod check;

use std::path::PathBuf;

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
use crate::service::Service;
use crate::{output, threads};

/// What can be done with workflows.
#[derive(Subcommand)]
pub enum Command {
    /// List workflows, by name and id
    List(List),
    /// Show a workflow: how it stands, what it waits for, what came of it
    Show(Which),
    /// Show what a workflow has done: its steps, times, signals, and how they are undone
    Timeline(Which),
    /// Start a workflow; the same id with the same input is the same workflow
    Start {
        #[command(flatten)]
        which: Which,
        /// Its input as JSON; `-` reads standard input
        #[arg(value_name = "JSON|-")]
        input: Option<String>,
        #[command(flatten)]
        keyed: Keyed,
    },
    /// Send a workflow a signal
    Signal {
        #[command(flatten)]
        which: Which,
        /// The signal's name, such as approved
        signal: String,
        /// Its body as JSON; `-` reads standard input
        #[arg(value_name = "JSON|-")]
        body: Option<String>,
        #[command(flatten)]
        keyed: Keyed,
    },
    /// Cancel a workflow: what it has done is undone; 3 when it has ended already
    Cancel(Told),
    /// Pause a workflow: nothing more begins
    Pause(Told),
    /// Let a workflow go on that is paused
    Resume {
        #[command(flatten)]
        which: Which,
        /// Go on without the undo that has failed
        #[arg(long)]
        skip: bool,
        #[command(flatten)]
        keyed: Keyed,
    },
    /// Run a workflow again from one of its operations on
    Rerun {
        #[command(flatten)]
        which: Which,
        /// The operation's number, or its name: `workflow timeline` shows them
        #[arg(long)]
        from: String,
        #[command(flatten)]
        keyed: Keyed,
    },
    /// Show how many workflows stand how
    Status,
    /// Bring back workflows that have not ended with the code of this program, without doing anything, and say which ones it does not go on
    /// with; ends with 1 when there is one
    ///
    /// Before a deployment: the new program asks the service that runs, or reads records that `schema record` has written.
    Check(Check),
}

/// Which workflows.
#[derive(Args)]
pub struct List {
    /// Only this workflow's
    workflow: Option<String>,
    /// Only ids that begin so
    #[arg(long, requires = "workflow")]
    prefix: Option<String>,
    /// Only these: running, waiting, paused, undoing, completed, failed or cancelled
    #[arg(long)]
    state: Option<String>,
}

/// Whose records are checked.
#[derive(Args)]
pub struct Check {
    /// Files of samples, or directories of them (every .ndjson file); only records are read [default: ask the running service]
    #[arg(value_name = "FILE|DIR")]
    pub(super) paths: Vec<PathBuf>,
    /// Only this workflow's
    #[arg(long, value_name = "NAME")]
    pub(super) workflow: Option<String>,
}

/// Which workflow.
#[derive(Args)]
pub struct Which {
    /// The workflow's name, such as shipping
    workflow: String,
    /// Its id
    id: String,
}

/// Under which key it is said.
#[derive(Args)]
pub struct Keyed {
    /// The Idempotency-Key: sending the same key again changes nothing [default: a new one]
    #[arg(long)]
    key: Option<String>,
}

/// What a workflow is told, and why.
#[derive(Args)]
pub struct Told {
    #[command(flatten)]
    which: Which,
    /// Why, for whoever looks at it later
    #[arg(long)]
    why: Option<String>,
    #[command(flatten)]
    keyed: Keyed,
}

pub(super) fn run(command: &Command, service: &Service, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let url = settings.url();
    let told = |word, told: &Told| {
        let body = told.why.as_ref().map_or(Json::Null, |why| json!({ "why": why }));
        (word, told.which.path(), told.keyed.key.clone(), body)
    };
    threads::call(async {
        match command {
            Command::List(which) => list(&url, which, as_json).await.map(|()| Exit::Done),
            Command::Show(which) => show(&url, which, as_json).await.map(|()| Exit::Done),
            Command::Timeline(which) => timeline(&url, which, as_json).await.map(|()| Exit::Done),
            Command::Check(asked) => check::run(service.workflows(), &url, asked, as_json).await,
            Command::Status => status(&url, as_json).await.map(|()| Exit::Done),
            Command::Start { which, input, keyed } => {
                let input = body(input.as_deref())?;
                post(&url, ("started", &which.path(), &keyed.key), input, as_json).await
            }
            Command::Signal { which, signal, body: text, keyed } => {
                let path = format!("{}/signals/{}", which.path(), segment(signal));
                post(&url, ("signalled", &path, &keyed.key), body(text.as_deref())?, as_json).await
            }
            Command::Cancel(wish) => act(&url, "cancel", told("cancelled", wish), as_json).await,
            Command::Pause(wish) => act(&url, "pause", told("paused", wish), as_json).await,
            Command::Resume { which, skip, keyed } => {
                let body = if *skip { json!({ "skip": true }) } else { Json::Null };
                act(&url, "resume", ("resumed", which.path(), keyed.key.clone(), body), as_json).await
            }
            Command::Rerun { which, from, keyed } => {
                act(&url, "rerun", ("rerun", which.path(), keyed.key.clone(), json!({ "from": from })), as_json).await
            }
        }
    })
}

impl Which {
    fn path(&self) -> String {
        format!("/v1/workflows/{}/{}", segment(&self.workflow), segment(&self.id))
    }
}

async fn list(url: &str, which: &List, as_json: bool) -> Result<(), Failure> {
    let List { workflow, prefix, state } = which;
    let named = [("prefix", prefix), ("state", state)];
    let named = named.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", segment(value))));
    let of = workflow.as_ref().map(|workflow| format!("/{}", segment(workflow))).unwrap_or_default();
    let items = pages(url, format!("/v1/workflows{of}?{}", named.collect::<Vec<_>>().join("&"))).await?;
    if as_json {
        return items.iter().try_for_each(output::json);
    }
    let names = ["workflow", "id", "state", "due", "changed", "why"];
    let heads = names.map(str::to_uppercase);
    let line = |item: &Json| names.iter().map(|name| cell(&item[name])).collect::<Vec<_>>();
    table(&heads.each_ref().map(String::as_str), &items.iter().map(line).collect::<Vec<_>>())
}

async fn show(url: &str, which: &Which, as_json: bool) -> Result<(), Failure> {
    let workflow = get(url, &which.path()).await?;
    if as_json {
        return output::json(&workflow);
    }
    let why = workflow["why"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
    output::data(format!("{} {} is {}{why}", cell(&workflow["workflow"]), cell(&workflow["id"]), cell(&workflow["state"])))?;
    output::data(format!("started {}, changed {}", cell(&workflow["started"]), cell(&workflow["changed"])))?;
    if let Some(due) = workflow["due"].as_str() {
        output::data(format!("looked at again {due}"))?;
    }
    if !workflow["output"].is_null() {
        output::data(format!("output {}", workflow["output"]))?;
    }
    if let Some(code) = workflow["failure"]["code"].as_str() {
        output::data(format!("failure {code}: {}", cell(&workflow["failure"]["message"])))?;
    }
    Ok(())
}

async fn timeline(url: &str, which: &Which, as_json: bool) -> Result<(), Failure> {
    let timeline = get(url, &format!("{}/timeline", which.path())).await?;
    let items = timeline["items"].as_array().cloned().unwrap_or_default();
    if as_json {
        return items.iter().try_for_each(output::json);
    }
    let lines: Vec<_> = items.iter().map(line).collect();
    table(&["NUMBER", "KIND", "NAME", "STATE", "BEGAN", "ENDED", "FAILED", "UNDO", "LAST CAUSE"], &lines)
}

fn line(item: &Json) -> Vec<String> {
    let failures = item["failures"].as_array().map_or(0, Vec::len) + item["undo"]["failures"].as_array().map_or(0, Vec::len);
    let undo = item["undo"]["name"].as_str().map(|name| format!("{name} {}", cell(&item["undo"]["state"]))).unwrap_or_default();
    let last = |of: &Json| of["failures"].as_array().and_then(|failures| failures.last()).map(|failure| cell(&failure["cause"]));
    let cause = last(&item["undo"]).or_else(|| item["result"]["message"].as_str().map(str::to_owned)).or_else(|| last(item));
    let mut cells: Vec<String> = ["number", "kind", "name", "state", "began", "ended"].iter().map(|name| cell(&item[name])).collect();
    cells.extend([failures.to_string(), undo, cause.unwrap_or_default()]);
    cells
}

async fn act(url: &str, act: &str, (word, path, key, body): (&str, String, Option<String>, Json), as_json: bool) -> Result<Exit, Failure> {
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    post(url, (word, &format!("{path}/{act}"), &key), body, as_json).await
}

async fn post(
    url: &str,
    (word, path, given): (&str, &str, &Option<String>),
    body: impl Into<Bytes>,
    as_json: bool,
) -> Result<Exit, Failure> {
    let key = given.clone().map_or_else(minted_key, Ok)?;
    let answer = connection(url)?.request(Method::POST, path, command_headers(Some(&key))?, body.into()).await;
    let response = answer.map_err(|error| failed(url, &error)).and_then(accepted).inspect_err(|failure| {
        if failure.exit() == Exit::Unknown && given.is_none() {
            output::talk(format!("the key was {key}: say it again with --key {key}"));
        }
    })?;
    let done: Json =
        serde_json::from_slice(&response.body).map_err(|error| Failure::plain(Exit::Failed, format!("the answer is not JSON: {error}")))?;
    told(&done, word, as_json)
}

/// A cancel that came too late is a no.
fn told(done: &Json, word: &str, as_json: bool) -> Result<Exit, Failure> {
    let state = done["state"].as_str().unwrap_or_default();
    let is_late = word == "cancelled" && done[word] != true && matches!(state, "completed" | "failed");
    if as_json {
        output::json(done)?;
    } else {
        let words = match (is_late, done[word] == true) {
            (true, _) => "has ended already".to_owned(),
            (false, true) => format!("is {word}"),
            (false, false) => "was so already".to_owned(),
        };
        output::talk(format!("the workflow {words}: {state}"));
    }
    Ok(if is_late { Exit::Rejected } else { Exit::Done })
}

async fn status(url: &str, as_json: bool) -> Result<(), Failure> {
    let status = get(url, "/v1/admin/workflows").await?;
    if as_json {
        return output::json(&status);
    }
    for (state, count) in status["counts"].as_object().into_iter().flatten() {
        output::data(format!("{state} {count}"))?;
    }
    output::data(format!("in memory {}, attempts under way {}", status["in_memory"], status["attempts"]))?;
    match status["trouble"].as_str() {
        Some(trouble) => output::data(format!("none is looked for now: {trouble}")),
        None => Ok(()),
    }
}
