//! A client of a running service, typed by the components that the service is made of.

mod timer;
mod wire;
mod workflow;

use std::convert::Infallible;
use std::fmt;

use bytes::Bytes;
use component::{Entity, Operation, Rejection, Rule, Value, Variants as _, decode, decode_payload, encode, encode_payload};
use gateway::client::{ClientError, Connection, Response};
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

pub use timer::{DueTimer, NamedTimer, TimerStatus, TimerWish};
pub(crate) use wire::minted_key;
#[doc(hidden)]
pub use wire::{accepted, command_headers, connection, failed, refused, segment};
pub use workflow::{NamedWorkflow, WorkflowStatus};

/// A client of one service. Cheap to clone; each call has a connection of its own.
///
/// ```no_run
/// # use headwater::prelude::*;
/// # async fn example<Cart: Entity>(pay: Cart::Command, again: Cart::Command) {
/// let client = headwater::Client::new("http://127.0.0.1:7430");
/// let sent = client.send::<Cart>("c1", pay).await;
/// let keyed = client.keyed("order-17-pay").send::<Cart>("c1", again).await;
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    key: Option<String>,
    seen: Option<String>,
}

/// An accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent<R> {
    /// The reply of the rule.
    pub reply: R,
    /// The entity's version after it.
    pub sequence: u64,
    /// A place that has seen its effects.
    pub cursor: String,
}

/// What became of a command that was sent with [`Client::send_later`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// It was accepted.
    Done {
        /// The reply of the rule.
        reply: R,
        /// The entity's version after it.
        sequence: u64,
    },
    /// It is not decided yet.
    Pending,
}

/// The rows of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<R> {
    /// The rows, in the order of the query.
    pub rows: Vec<R>,
    /// A place that they have seen.
    pub cursor: String,
}

/// Why there is no accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError<R = Infallible> {
    /// The rule said no.
    Rejected(R),
    /// The service said no, or could not.
    Problem {
        /// The stable code, such as `HW0040`.
        code: String,
        /// What it is about.
        detail: String,
    },
    /// Nothing was sent: nobody answers there, or the request cannot be written. Nothing happened.
    Unsent {
        /// Why.
        cause: String,
    },
    /// There was no answer, or none that can be read: sending the same command again under the same key is always safe.
    Unknown {
        /// The key that it was sent under.
        key: String,
        /// Why.
        cause: String,
    },
}

impl<R: Rejection> fmt::Display for SendError<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => write!(formatter, "{} ({})", rejection.message(), rejection.name()),
            Self::Problem { code, detail } => write!(formatter, "{code}: {detail}"),
            Self::Unsent { cause } => write!(formatter, "nothing was sent: {cause}"),
            Self::Unknown { key, cause } => write!(formatter, "the outcome is unknown ({cause}); send it again under the key {key}"),
        }
    }
}

impl<R: Rejection + fmt::Debug> std::error::Error for SendError<R> {}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    reply: &'a RawValue,
    sequence: u64,
    cursor: String,
}

#[derive(Deserialize)]
struct TakenAnswer {
    key: String,
}

#[derive(Deserialize)]
struct OutcomeAnswer<'a> {
    status: String,
    #[serde(borrow, default)]
    reply: Option<&'a RawValue>,
    #[serde(default)]
    sequence: u64,
    #[serde(borrow, default)]
    problem: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RowsAnswer<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    cursor: String,
}

#[derive(Deserialize)]
struct StateAnswer<'a> {
    #[serde(borrow)]
    state: &'a RawValue,
}

impl Client {
    /// A client of the service at this URL, such as `http://127.0.0.1:7430`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), key: None, seen: None }
    }

    /// The same client for one command under a key of your own: the same key again gives the first answer again. Without
    /// one each command gets a new key.
    #[must_use]
    pub fn keyed(&self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self.clone() }
    }

    /// The same client for queries that wait until their rows have seen a place, such as that of a command of one's own.
    #[must_use]
    pub fn seen(&self, cursor: impl Into<String>) -> Self {
        Self { seen: Some(cursor.into()), ..self.clone() }
    }

    /// The rows of a view's query.
    ///
    /// ```no_run
    /// # use headwater::prelude::*;
    /// # #[derive(Value)] struct Item { sku: String, sold: u64 }
    /// # async fn example(client: headwater::Client) -> Result<(), headwater::SendError> {
    /// let top = client.query::<(), Item>("popular", "top", ()).await?.rows;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`SendError`]; a query is never rejected.
    pub async fn query<I: Value, R: Value>(&self, view: &str, query: &str, input: I) -> Result<Answered<R>, SendError> {
        let seen = self.seen.as_ref().map_or_else(String::new, |seen| format!("?seen={}", segment(seen)));
        let path = format!("/v1/views/{}/{}{seen}", segment(view), segment(query));
        let headers = command_headers(None).map_err(unsent)?;
        let body = encode(&input).map_err(unsent)?;
        let response = self.call(Method::POST, &path, headers, body.into()).await.map_err(unsent)?;
        if !response.status.is_success() {
            return Err(problem_of(&serde_json::from_slice(&response.body).unwrap_or_default()));
        }
        let answer: RowsAnswer<'_> = serde_json::from_slice(&response.body).map_err(unsent)?;
        let rows: Result<Vec<R>, _> = answer.items.iter().map(|row| decode(row.get().as_bytes())).collect();
        Ok(Answered { rows: rows.map_err(unsent)?, cursor: answer.cursor })
    }

    /// Sends a command to an entity.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send<E: Entity>(&self, id: &str, command: E::Command) -> Result<Sent<E::Reply>, SendError<E::Rejection>> {
        let path = format!("/v1/entities/{}/{}/{}", E::NAME, segment(id), command.name());
        let body = encode_payload(&command).map_err(unsent)?;
        self.post(&path, body).await
    }

    /// Sends a command that the service takes now, durably, and decides later; gives the key under which
    /// [`outcome`](Self::outcome) finds what became of it.
    ///
    /// # Errors
    /// See [`SendError`]; a rejection is an outcome and not an error here.
    pub async fn send_later<E: Entity>(&self, id: &str, command: E::Command) -> Result<String, SendError> {
        let path = format!("/v1/entities/{}/{}/{}", E::NAME, segment(id), command.name());
        let body = encode_payload(&command).map_err(unsent)?;
        let (key, response) = self.exchange(&path, body, Some("respond-async")).await?;
        let taken: TakenAnswer = serde_json::from_slice(&response.body).map_err(|error| unknown(&key, error))?;
        Ok(taken.key)
    }

    /// What became of a command, by its key; `None` when the service has never heard of it.
    ///
    /// # Errors
    /// See [`SendError`]; `Rejected` when the rule said no.
    pub async fn outcome<E: Entity>(&self, id: &str, key: &str) -> Result<Option<Outcome<E::Reply>>, SendError<E::Rejection>> {
        let path = format!("/v1/entities/{}/{}/commands/{}", E::NAME, segment(id), segment(key));
        let response = self.call(Method::GET, &path, HeaderMap::new(), Bytes::new()).await.map_err(unsent)?;
        if !response.status.is_success() {
            let problem: Json = serde_json::from_slice(&response.body).unwrap_or_default();
            return if problem["title"] == "outcome-not-found" { Ok(None) } else { Err(problem_of(&problem)) };
        }
        let answer: OutcomeAnswer<'_> = serde_json::from_slice(&response.body).map_err(unsent)?;
        match answer.status.as_str() {
            "done" => {
                let reply = decode(answer.reply.map_or("null", RawValue::get).as_bytes()).map_err(unsent)?;
                Ok(Some(Outcome::Done { reply, sequence: answer.sequence }))
            }
            "pending" => Ok(Some(Outcome::Pending)),
            _ => Err(refusal(answer.problem.map_or("null", RawValue::get).as_bytes())),
        }
    }

    /// Runs an operation over several entities.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn operation<O: Operation>(&self, input: O::Input) -> Result<Sent<O::Reply>, SendError<O::Rejection>> {
        self.post(&format!("/v1/operations/{}", O::NAME), encode(&input).map_err(unsent)?).await
    }

    /// Runs a rule.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn rule<R: Rule>(&self, input: R::Input) -> Result<Sent<R::Reply>, SendError<R::Rejection>> {
        self.post(&format!("/v1/operations/{}", R::NAME), encode(&input).map_err(unsent)?).await
    }

    /// The state of an entity; `None` when it has no event.
    ///
    /// # Errors
    /// See [`SendError`]; a read is never rejected.
    pub async fn state<E: Entity>(&self, id: &str) -> Result<Option<E>, SendError> {
        let path = format!("/v1/entities/{}/{}", E::NAME, segment(id));
        let response = self.call(Method::GET, &path, HeaderMap::new(), Bytes::new()).await.map_err(unsent)?;
        if response.status.is_success() {
            let answer: StateAnswer<'_> = serde_json::from_slice(&response.body).map_err(unsent)?;
            return decode(answer.state.get().as_bytes()).map(Some).map_err(unsent);
        }
        let problem: Json = serde_json::from_slice(&response.body).unwrap_or_default();
        if problem["title"] == "entity-not-found" { Ok(None) } else { Err(problem_of(&problem)) }
    }

    async fn post<T: Value, R: Rejection>(&self, path: &str, body: Vec<u8>) -> Result<Sent<T>, SendError<R>> {
        let (key, response) = self.exchange(path, body, None).await?;
        let answer: Answer<'_> = serde_json::from_slice(&response.body).map_err(|error| unknown(&key, error))?;
        let reply = decode(answer.reply.get().as_bytes()).map_err(|error| unknown(&key, error))?;
        Ok(Sent { reply, sequence: answer.sequence, cursor: answer.cursor })
    }

    /// Sends a command and gives the answer of a service that took it, with the key it went under.
    async fn exchange<R: Rejection>(
        &self,
        path: &str,
        body: Vec<u8>,
        prefer: Option<&'static str>,
    ) -> Result<(String, Response), SendError<R>> {
        let key = self.key.clone().map_or_else(minted_key, Ok).map_err(unsent)?;
        let mut headers = command_headers(Some(&key)).map_err(unsent)?;
        if let Some(prefer) = prefer {
            headers.insert("prefer", HeaderValue::from_static(prefer));
        }
        let answer = self.call(Method::POST, path, headers, body.into()).await;
        let response = answer.map_err(|error| if error.may_have_taken_effect() { unknown(&key, error) } else { unsent(error) })?;
        if !response.status.is_success() {
            return Err(refusal(&response.body));
        }
        Ok((key, response))
    }

    async fn call(&self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Result<Response, ClientError> {
        Connection::new(&self.url)?.request(method, path, headers, body).await
    }
}

fn unsent<R>(cause: impl fmt::Display) -> SendError<R> {
    SendError::Unsent { cause: cause.to_string() }
}

fn unknown<R>(key: &str, cause: impl fmt::Display) -> SendError<R> {
    SendError::Unknown { key: key.to_owned(), cause: cause.to_string() }
}

/// A problem as the rule's own rejection, when it is one that this build knows.
fn refusal<R: Rejection>(body: &[u8]) -> SendError<R> {
    let problem: Json = serde_json::from_slice(body).unwrap_or_default();
    let rejection = &problem["rejection"];
    let code = rejection["code"].as_str().unwrap_or_default();
    decode_payload(code, rejection["data"].to_string().as_bytes()).map_or_else(|_| problem_of(&problem), SendError::Rejected)
}

fn problem_of<R>(problem: &Json) -> SendError<R> {
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    SendError::Problem { code: text("code"), detail: text("detail") }
}
