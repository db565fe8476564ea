//! Workflows of a running service.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use component::hosted::WorkflowFailure;
use component::{Value, Workflow, decode, encode};
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::{Client, SendError, command_headers, minted_key, problem_of, segment, unknown, unsent};

/// A workflow of a service, by its type and id.
#[derive(Clone, Debug)]
#[must_use = "say what is wished of it: `.start(..)`, `.signal(..)`, `.ended(..)`"]
pub struct NamedWorkflow<'a, W> {
    client: &'a Client,
    id: String,
    workflow: PhantomData<fn() -> W>,
}

/// A workflow as the service knows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WorkflowStatus {
    /// `running`, `waiting`, `paused`, `undoing`, `completed`, `failed` or `cancelled`.
    pub state: String,
    /// What it waits for, or why it is paused.
    #[serde(default)]
    pub why: Option<String>,
    /// When it is looked at again by itself: RFC 3339.
    #[serde(default)]
    pub due: Option<String>,
}

#[derive(Deserialize)]
struct Shown {
    state: String,
    #[serde(default)]
    output: Option<Box<RawValue>>,
    #[serde(default)]
    failure: Option<WorkflowFailure>,
}

impl Client {
    /// A workflow of this type and id, started or not.
    pub fn workflow<W: Workflow>(&self, id: impl Into<String>) -> NamedWorkflow<'_, W> {
        NamedWorkflow { client: self, id: id.into(), workflow: PhantomData }
    }
}

impl<W: Workflow> NamedWorkflow<'_, W> {
    /// Starts it; gives whether it was not there before. The same id with the same input is the same workflow.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn start(&self, input: &W::Input) -> Result<bool, SendError> {
        let input = encode(input).map_err(unsent)?;
        self.post("", input.into()).await.map(|answer| answer["started"] == true)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// See [`SendError`]; a problem when it takes no such signal, or none any more.
    pub async fn signal<T: Value>(&self, signal: &str, body: &T) -> Result<(), SendError> {
        let body = encode(body).map_err(unsent)?;
        self.post(&format!("/signals/{}", segment(signal)), body.into()).await.map(drop)
    }

    /// Cancels it; what it has done is undone. Gives whether that changed anything.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn cancel(&self, why: &str) -> Result<bool, SendError> {
        self.post("/cancel", json!({ "why": why }).to_string().into()).await.map(|answer| answer["cancelled"] == true)
    }

    /// How it stands; `None` when it was never started.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn status(&self) -> Result<Option<WorkflowStatus>, SendError> {
        self.get(HeaderMap::new()).await
    }

    /// Its output, or why it has failed, once it has ended; `None` when it has not within this time, or was never started.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn ended(&self, within: Duration) -> Result<Option<Result<W::Output, WorkflowFailure>>, SendError> {
        let mut headers = HeaderMap::new();
        let wait = HeaderValue::from_str(&format!("wait={}", within.as_secs().max(1))).map_err(unsent)?;
        headers.insert("prefer", wait);
        let Some(Shown { state, output, failure }) = self.get(headers).await? else { return Ok(None) };
        match (output, failure) {
            (Some(output), _) => decode(output.get().as_bytes()).map(|output| Some(Ok(output))).map_err(unsent),
            (None, Some(failure)) if state == "failed" || state == "cancelled" => Ok(Some(Err(failure))),
            (None, _) => Ok(None),
        }
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, headers: HeaderMap) -> Result<Option<T>, SendError> {
        let response = self.client.call(Method::GET, &self.path(), headers, Bytes::new()).await.map_err(unsent)?;
        if response.status.is_success() {
            return serde_json::from_slice(&response.body).map(Some).map_err(unsent);
        }
        let problem: Json = serde_json::from_slice(&response.body).unwrap_or_default();
        if problem["title"] == "workflow-not-found" { Ok(None) } else { Err(problem_of(&problem)) }
    }

    /// Under a key, so that it is safe to try again.
    async fn post(&self, act: &str, body: Bytes) -> Result<Json, SendError> {
        let key = self.client.key.clone().map_or_else(minted_key, Ok).map_err(unsent)?;
        let headers = command_headers(Some(&key)).map_err(unsent)?;
        let answer = self.client.call(Method::POST, &format!("{}{act}", self.path()), headers, body).await;
        let response = answer.map_err(|error| if error.may_have_taken_effect() { unknown(&key, error) } else { unsent(error) })?;
        if !response.status.is_success() {
            return Err(problem_of(&serde_json::from_slice(&response.body).unwrap_or_default()));
        }
        serde_json::from_slice(&response.body).map_err(|error| unknown(&key, error))
    }

    fn path(&self) -> String {
        format!("/v1/workflows/{}/{}", W::NAME, segment(&self.id))
    }
}
