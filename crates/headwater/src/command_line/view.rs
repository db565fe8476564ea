//! `view`: rows of views, how views are, and a rebuild, over HTTP.

use std::io::{IsTerminal as _, stdout};

use bytes::Bytes;
use clap::{Args, Subcommand};
use gateway::client::Response;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value as Json, json};

use super::sight::{self, print_stall};
use super::table::{cell, table};
use super::verify::progress_bar;
use crate::client::{accepted, connection, failed, segment};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::limits::REBUILD_LOOK;
use crate::{output, threads};

/// What can be asked of views.
#[derive(Subcommand)]
pub enum Command {
    /// List the views with their state
    List,
    /// Print the rows of a query
    Query(Query),
    /// Show how a view is: its place, its build, why it stopped
    Status {
        /// The view
        view: String,
    },
    /// Make a view's rows anew from the first event; the present ones serve until the new ones have caught up
    Rebuild {
        /// The view
        view: String,
        /// Begin, and do not wait for the end
        #[arg(long)]
        no_wait: bool,
    },
}

/// Which rows.
#[derive(Args)]
pub struct Query {
    /// The view
    view: String,
    /// The query
    query: String,
    /// Its parameters, such as country=Malta
    #[arg(value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Wait until the rows have seen this cursor, such as that of a command
    #[arg(long, value_name = "CURSOR")]
    seen: Option<String>,
    /// Take what there is of a view that has stopped, or has not caught up yet
    #[arg(long)]
    stale: bool,
    /// Print CSV
    #[arg(long)]
    csv: bool,
}

pub(super) fn run(command: &Command, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let url = settings.url();
    threads::call(async {
        match command {
            Command::List => list(&url, as_json).await,
            Command::Query(query) => print_rows(query, &url, as_json).await,
            Command::Status { view } => status(&url, view, as_json).await,
            Command::Rebuild { view, no_wait } => rebuild(&url, view, !no_wait, as_json).await,
        }
    })?;
    Ok(Exit::Done)
}

async fn call(url: &str, method: Method, path: &str, accept: &'static str) -> Result<Response, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    accepted(connection(url)?.request(method, path, headers, Bytes::new()).await.map_err(|error| failed(url, &error))?)
}

async fn read(url: &str, path: &str) -> Result<Json, Failure> {
    let response = call(url, Method::GET, path, "application/json").await?;
    serde_json::from_slice(&response.body).map_err(|error| Failure::plain(Exit::Failed, format!("the answer is not JSON: {error}")))
}

async fn list(url: &str, as_json: bool) -> Result<(), Failure> {
    let list = read(url, "/v1/views").await?;
    let views = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if as_json {
        return views.iter().try_for_each(output::json);
    }
    let line = |view: &Json| {
        let queries: Vec<&str> = view["queries"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        ["view", "state", "behind"].map(|name| cell(&view[name])).into_iter().chain([queries.join(" ")]).collect()
    };
    table(&["VIEW", "STATE", "BEHIND", "QUERIES"], &views.iter().map(line).collect::<Vec<_>>())?;
    let now = sight::now();
    views.iter().try_for_each(|view| print_stall(&format!("view {}", cell(&view["view"])), view, now))
}

async fn status(url: &str, view: &str, as_json: bool) -> Result<(), Failure> {
    let status = read(url, &format!("/v1/views/{}", segment(view))).await?;
    if as_json {
        return output::json(&status);
    }
    for name in ["view", "state", "cause", "behind", "cursor", "build", "file", "schema"] {
        if !status[name].is_null() {
            output::data(format!("{name:8} {}", cell(&status[name])))?;
        }
    }
    print_stall("it", &status, sight::now())?;
    if !status["rebuild"].is_null() {
        print_stall("the rebuild", &status["rebuild"], sight::now())?;
        output::data(format!("rebuild  {}, {} events behind", cell(&status["rebuild"]["state"]), status["rebuild"]["behind"]))?;
    }
    status["notes"].as_array().into_iter().flatten().try_for_each(|note| output::data(format!("note     {}", cell(note))))
}

impl Query {
    fn path(&self) -> Result<String, Failure> {
        let mut pairs = Vec::new();
        for pair in &self.parameters {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::plain(Exit::Usage, format!("`{pair}` is no parameter; write NAME=VALUE, such as country=Malta")))?;
            pairs.push(format!("{}={}", segment(name), segment(value)));
        }
        pairs.extend(self.seen.as_ref().map(|seen| format!("seen={}", segment(seen))));
        pairs.extend(self.stale.then(|| "stale=ok".to_owned()));
        Ok(format!("/v1/views/{}/{}?{}", segment(&self.view), segment(&self.query), pairs.join("&")))
    }
}

async fn print_rows(query: &Query, url: &str, as_json: bool) -> Result<(), Failure> {
    let path = query.path()?;
    if as_json && !query.csv {
        let lines = call(url, Method::GET, &path, "application/x-ndjson").await?.body;
        return lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).try_for_each(output::data_bytes);
    }
    let csv = call(url, Method::GET, &path, "text/csv").await?.body;
    let text = String::from_utf8_lossy(&csv);
    if query.csv || !stdout().is_terminal() {
        return text.lines().try_for_each(output::data);
    }
    let mut lines = records(&text).into_iter();
    let names = lines.next().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    table(&names, &lines.collect::<Vec<_>>())
}

/// CSV as the service writes it.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut cells, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quoted) {
            ('"', true) if letters.peek() == Some(&'"') => cell.push(letters.next().unwrap_or('"')),
            ('"', _) => quoted = !quoted,
            (',', false) => cells.push(std::mem::take(&mut cell)),
            ('\r', false) => {}
            ('\n', false) => {
                cells.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut cells));
            }
            (letter, _) => cell.push(letter),
        }
    }
    records
}

async fn rebuild(url: &str, view: &str, wait: bool, as_json: bool) -> Result<(), Failure> {
    let path = format!("/v1/views/{}", segment(view));
    warn_of_what_is_gone(view, &read(url, &path).await?);
    call(url, Method::POST, &format!("/v1/admin/views/{}/rebuild", segment(view)), "application/json").await?;
    let bar = progress_bar("rebuilding, {pos} of {len} events [{bar:30}] {rate}");
    let mut status = read(url, &path).await?;
    bar.set_length(status["rebuild"]["behind"].as_u64().unwrap_or(0));
    while wait && !status["rebuild"].is_null() {
        let behind = status["rebuild"]["behind"].as_u64().unwrap_or(0);
        bar.set_length(bar.length().unwrap_or(0).max(behind));
        bar.set_position(bar.length().unwrap_or(0).saturating_sub(behind));
        tokio::time::sleep(REBUILD_LOOK).await;
        status = read(url, &path).await?;
    }
    bar.finish_and_clear();
    if let (true, Some(cause)) = (wait, status["cause"].as_str()) {
        return Err(Failure::plain(Exit::Failed, format!("view {view} {cause}")));
    }
    if as_json {
        return output::json(&json!({ "view": view, "state": status["state"], "waited": wait }));
    }
    output::talk(if wait {
        format!("view {view} is made anew")
    } else {
        format!("view {view} is being made anew; see: view status {view}")
    });
    Ok(())
}

/// Rows are made of the events that are there.
fn warn_of_what_is_gone(view: &str, status: &Json) {
    let gone: Vec<&str> = status["gone"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if !gone.is_empty() {
        output::talk(format!(
            "warning: view {view}: retention has let go of events of {}: the new rows are made without them",
            gone.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::records;

    #[test]
    fn records_are_read_as_they_were_written() {
        let expected = [vec!["sku", "note"], vec!["a,b", "say \"hi\"\nto all"], vec!["", ""]];
        assert_eq!(records("sku,note\r\n\"a,b\",\"say \"\"hi\"\"\nto all\"\r\n,\r\n"), expected);
    }
}
