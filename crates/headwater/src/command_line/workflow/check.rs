//! `workflow check`: records of instances that have not ended, brought back with the present code.

use bytes::Bytes;
use component::hosted::WorkflowHandle;
use http::{HeaderMap, Method};
use runtime::{Replayed, WorkflowHistory, check_history};
use serde_json::{Value as Json, json};

use super::super::schema::check::{files, unreadable};
use super::Check;
use crate::client::{accepted, connection, failed, segment};
use crate::exit::Exit;
use crate::failure::{Failure, WORKFLOW_MISFIT};
use crate::output;

/// Records of one request.
const PAGE: usize = 200;

/// What came of them.
#[derive(Default)]
struct Tally {
    go_on: usize,
    ended: usize,
    refused: usize,
    /// Whose record was not read.
    unread: usize,
}

pub(super) async fn run(workflows: &[WorkflowHandle], url: &str, asked: &Check, as_json: bool) -> Result<Exit, Failure> {
    let mut tally = Tally::default();
    let of_interest = |history: &WorkflowHistory| asked.workflow.as_ref().is_none_or(|workflow| *workflow == history.workflow);
    let mut take = |history: WorkflowHistory| if of_interest(&history) { tally.take(workflows, &history, as_json) } else { Ok(()) };
    if asked.paths.is_empty() {
        of_service(url, asked.workflow.as_deref(), &mut take).await?;
    } else {
        of_files(asked, &mut take)?;
    }
    if tally.all() == 0 {
        refuse_nothing(workflows, asked)?;
    }
    let summary = tally.summary();
    if tally.refused > 0 {
        return Err(Failure::new(Exit::Failed, WORKFLOW_MISFIT, summary));
    }
    if tally.unread > 0 {
        return Err(Failure::plain(Exit::Failed, summary));
    }
    output::talk(summary);
    Ok(Exit::Done)
}

/// Nothing was checked: that is well only where there is nothing, of a service.
fn refuse_nothing(workflows: &[WorkflowHandle], asked: &Check) -> Result<(), Failure> {
    let names: Vec<&str> = workflows.iter().map(|workflow| workflow.description().name).collect();
    let problem = match &asked.workflow {
        Some(workflow) if !names.contains(&workflow.as_str()) => {
            format!("there is no record of a workflow `{workflow}`, and the code has none of that name; it has: {}", names.join(", "))
        }
        Some(workflow) if !asked.paths.is_empty() => {
            format!("there is no record of the workflow `{workflow}` in the files; record some with `schema record`")
        }
        None if !asked.paths.is_empty() => "there is no record of a workflow in the files; record some with `schema record`".to_owned(),
        _ => return Ok(()),
    };
    Err(Failure::plain(Exit::NotFound, problem))
}

impl Tally {
    fn take(&mut self, workflows: &[WorkflowHandle], history: &WorkflowHistory, as_json: bool) -> Result<(), Failure> {
        match check_history(workflows, history) {
            Ok(Replayed::GoesOn) => self.go_on += 1,
            Ok(Replayed::HasEnded) => self.ended += 1,
            Ok(Replayed::Unread) => {
                self.unread += 1;
                print(history, None, history.unread.as_deref().unwrap_or_default(), as_json)?;
            }
            Err(misfit) => {
                self.refused += 1;
                print(history, Some(WORKFLOW_MISFIT), &misfit, as_json)?;
            }
        }
        Ok(())
    }

    fn all(&self) -> usize {
        self.go_on + self.ended + self.refused + self.unread
    }

    fn summary(&self) -> String {
        let Self { go_on, ended, refused, unread } = self;
        let unread = if *unread > 0 { format!(", {unread} were not checked") } else { String::new() };
        format!("{} workflows: {go_on} go on, {ended} have ended, {refused} do not go on with this code{unread}", self.all())
    }
}

fn print(history: &WorkflowHistory, code: Option<&str>, message: &str, as_json: bool) -> Result<(), Failure> {
    let WorkflowHistory { workflow, id, state, .. } = history;
    if as_json {
        return output::json(&json!({ "workflow": workflow, "id": id, "state": state.word(), "code": code, "message": message }));
    }
    let code = code.map(|code| format!("{code}: ")).unwrap_or_default();
    output::data(format!("{workflow}/{id} ({}): {code}{message}", state.word()))
}

type Take<'a> = &'a mut dyn FnMut(WorkflowHistory) -> Result<(), Failure>;

fn of_files(asked: &Check, take: Take<'_>) -> Result<(), Failure> {
    for file in files(&asked.paths)? {
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = |problem: String| Failure::plain(Exit::Failed, format!("{}:{}: {problem}", file.display(), at + 1));
            let sample: Json = serde_json::from_str(line).map_err(|error| place(format!("is not JSON: {error}")))?;
            if sample["shape"].as_str().is_none_or(|shape| !shape.starts_with("workflow:") || !shape.ends_with("/history")) {
                continue;
            }
            let history = serde_json::from_str(&sample["data"].to_string());
            take(history.map_err(|error| place(format!("is no record of a workflow: {error}")))?)?;
        }
    }
    Ok(())
}

/// Page by page, in one list: whoever changes its state meanwhile keeps its place in it.
async fn of_service(url: &str, workflow: Option<&str>, take: Take<'_>) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let page = page(url, workflow, &after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = format!("{}/{}", last.workflow, last.id);
        page.into_iter().try_for_each(&mut *take)?;
    }
}

async fn page(url: &str, workflow: Option<&str>, after: &str) -> Result<Vec<WorkflowHistory>, Failure> {
    let workflow = workflow.map(|workflow| format!("&workflow={}", segment(workflow))).unwrap_or_default();
    let path = format!("/v1/admin/workflows/histories?ended=false&after={}&limit={PAGE}{workflow}", segment(after));
    let response =
        connection(url)?.request(Method::GET, &path, HeaderMap::new(), Bytes::new()).await.map_err(|error| failed(url, &error))?;
    let response = accepted(response)?;
    let lines = response.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let unreadable =
        |error: serde_json::Error| Failure::plain(Exit::Failed, format!("{url} answers what is no record of a workflow: {error}"));
    lines.map(|line| serde_json::from_slice(line).map_err(unreadable)).collect()
}
