//! `erase TYPE ID`: erases a subject, over HTTP, and waits until the views are made again without it.

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;
use http::Method;
use serde_json::{Value as Json, json};

use super::entity::get;
use crate::client::{accepted, command_headers, connection, failed, segment};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::limits::REBUILD_LOOK;
use crate::{output, threads};

/// Who is erased.
#[derive(Args)]
pub struct Arguments {
    /// The subject's type, as in `customer c1`: the entity type, or what `#[personal(subject = ..)]` says
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The subject's id
    id: String,
    /// Why; kept in the journal, so nothing personal
    #[arg(long, default_value = "")]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Do not wait for the views
    #[arg(long)]
    no_wait: bool,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    if !arguments.yes && !is_meant(arguments)? {
        output::talk("nothing was erased");
        return Ok(Exit::Failed);
    }
    let url = settings.url();
    threads::call(async {
        let erased = erase(&url, arguments).await?;
        let mut stopped = Vec::new();
        if !arguments.no_wait {
            for view in erased["views"].as_array().into_iter().flatten().filter_map(Json::as_str) {
                stopped.extend(made_again(&url, view).await?.map(|cause| format!("{view} ({cause})")));
            }
        }
        if as_json {
            output::json(&erased)?
        } else {
            tell(&erased, arguments.no_wait, &stopped)?
        }
        if stopped.is_empty() { Ok(Exit::Done) } else { Err(not_whole(&erased, &stopped)) }
    })
}

/// What an erased value is in a view is `NULL`, and a definition may not take it.
fn not_whole(erased: &Json, stopped: &[String]) -> Failure {
    let (subject, views) = (erased["subject"].as_str().unwrap_or_default(), stopped.join(", "));
    let remedy = "let their columns take NULL, which is what an erased value is, and start the new build";
    Failure::plain(Exit::Failed, format!("{subject} is erased and its plain text is gone, but these views are stopped: {views}; {remedy}"))
}

/// Nobody can take it back, so a person types the subject once more; a script says `--yes`.
fn is_meant(arguments: &Arguments) -> Result<bool, Failure> {
    let subject = format!("{}/{}", arguments.kind, arguments.id);
    if !io::stdin().is_terminal() {
        return Err(Failure::plain(Exit::Usage, format!("erasing {subject} cannot be taken back; say --yes to do it without being asked")));
    }
    let unread = |error: io::Error| Failure::plain(Exit::Failed, format!("the terminal fails: {error}"));
    let mut stderr = io::stderr();
    write!(stderr, "This cannot be taken back. Type {subject} to erase it: ").and_then(|()| stderr.flush()).map_err(unread)?;
    let mut typed = String::new();
    io::stdin().read_line(&mut typed).map_err(unread)?;
    Ok(typed.trim() == subject)
}

async fn erase(url: &str, arguments: &Arguments) -> Result<Json, Failure> {
    let path = format!("/v1/admin/subjects/{}/{}/erase", segment(&arguments.kind), segment(&arguments.id));
    let body = json!({ "reason": arguments.reason }).to_string();
    let answer = connection(url)?.request(Method::POST, &path, command_headers(None)?, body.into()).await;
    let response = accepted(answer.map_err(|error| failed(url, &error))?)?;
    serde_json::from_slice(&response.body).map_err(|error| Failure::plain(Exit::Failed, format!("the answer is not JSON: {error}")))
}

/// Waits until a view is made again; why it is stopped, when it is.
async fn made_again(url: &str, view: &str) -> Result<Option<String>, Failure> {
    let path = format!("/v1/views/{}", segment(view));
    loop {
        let status = get(url, &path).await?;
        if status["rebuild"].is_null() {
            let is_stopped = status["state"] == "stopped";
            return Ok(is_stopped.then(|| status["cause"].as_str().unwrap_or_default().to_owned()));
        }
        tokio::time::sleep(REBUILD_LOOK).await;
    }
}

fn tell(erased: &Json, no_wait: bool, stopped: &[String]) -> Result<(), Failure> {
    let subject = erased["subject"].as_str().unwrap_or_default();
    let before = erased["keys"] == json!(0);
    output::talk(if before {
        format!("{subject} is erased: no key of it is here")
    } else {
        format!("{subject} is erased: its key is destroyed")
    });
    let views: Vec<&str> = erased["views"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if !views.is_empty() && stopped.is_empty() {
        output::talk(format!("views {} {}", if no_wait { "being made again:" } else { "made again:" }, views.join(", ")));
    }
    Ok(())
}
