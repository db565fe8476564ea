//! Timers of a running service.

use std::time::Duration;

use bytes::Bytes;
use component::{Entity, Variants as _, encode_payload};
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::{Client, SendError, command_headers, minted_key, problem_of, segment, unknown, unsent};

/// A timer of a service, by its name.
#[derive(Clone, Debug)]
#[must_use = "say when it is due: `.after(..)`, `.at_micros(..)`, `.every(..)` or `.cron(..)`"]
pub struct NamedTimer<'a> {
    client: &'a Client,
    name: String,
}

/// A timer of a service, and when it is to be due.
#[derive(Clone, Debug)]
#[must_use = "say what it sends: `.send::<Cart>(id, command)`; or `.reschedule()`"]
pub struct DueTimer<'a> {
    timer: NamedTimer<'a>,
    due: Json,
}

/// A timer that is to be set together with others.
#[derive(Clone, Debug)]
#[must_use = "hand it to `Client::set_timers`"]
pub struct TimerWish(String);

/// A timer as the service knows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TimerStatus {
    /// Its name.
    pub name: String,
    /// `pending`, `parked`, `fired` or `cancelled`.
    pub state: String,
    /// When it is due, or was at last: RFC 3339.
    pub due: String,
    /// Why it is parked.
    #[serde(default)]
    pub cause: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<TimerStatus>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Changed {
    #[serde(default)]
    set: bool,
    #[serde(default)]
    rescheduled: bool,
    #[serde(default)]
    cancelled: bool,
}

#[derive(Deserialize)]
struct SetMany {
    set: u64,
}

impl Client {
    /// A timer by its name: a command that is sent when its time has come.
    ///
    /// ```no_run
    /// # use headwater::prelude::*;
    /// # use std::time::Duration;
    /// # async fn example<Cart: Entity>(client: headwater::Client, expire: Cart::Command) -> Result<(), headwater::SendError> {
    /// client.timer("expire-c1").after(Duration::from_secs(3_600)).send::<Cart>("c1", expire).await?;
    /// let in_time = client.timer("expire-c1").cancel().await?;
    /// # Ok(()) }
    /// ```
    pub fn timer(&self, name: impl Into<String>) -> NamedTimer<'_> {
        NamedTimer { client: self, name: name.into() }
    }

    /// The timers that wait or are parked and whose names begin so, by name.
    ///
    /// # Errors
    /// See [`SendError`]; a read is never rejected.
    pub async fn timers(&self, prefix: &str) -> Result<Vec<TimerStatus>, SendError> {
        let (mut timers, mut next) = (Vec::new(), Some(format!("/v1/timers?prefix={}", segment(prefix))));
        while let Some(path) = next {
            let mut page: Page = serde_json::from_slice(&self.read(&path).await?).map_err(unsent)?;
            timers.append(&mut page.items);
            next = page.next;
        }
        Ok(timers)
    }

    /// Sets many timers in one request, at most a thousand, each on its own; gives how many that changed. When one of them does not fit, none is
    /// set; after any other failure some may be, and the same call again sets the rest.
    ///
    /// ```no_run
    /// # use headwater::prelude::*;
    /// # use std::time::Duration;
    /// # async fn example<Cart: Entity>(client: headwater::Client, expire: fn() -> Cart::Command) -> Result<(), headwater::SendError> {
    /// let hour = Duration::from_secs(3_600);
    /// let wish = |id: &str| client.timer(format!("expire-{id}")).after(hour).wish::<Cart>(id, expire());
    /// client.set_timers([wish("c1")?, wish("c2")?]).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn set_timers(&self, wishes: impl IntoIterator<Item = TimerWish>) -> Result<u64, SendError> {
        let wishes: Vec<String> = wishes.into_iter().map(|wish| wish.0).collect();
        let body = format!(r#"{{"timers":[{}]}}"#, wishes.join(","));
        let set: SetMany = self.change(Method::POST, "/v1/timers", body.into()).await?;
        Ok(set.set)
    }

    async fn read(&self, path: &str) -> Result<Bytes, SendError> {
        let response = self.call(Method::GET, path, http::HeaderMap::new(), Bytes::new()).await.map_err(unsent)?;
        if response.status.is_success() {
            return Ok(response.body);
        }
        Err(problem_of(&serde_json::from_slice(&response.body).unwrap_or_default()))
    }

    /// Changes a timer under a key, so that it is safe to try again.
    async fn change<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, SendError> {
        let key = self.key.clone().map_or_else(minted_key, Ok).map_err(unsent)?;
        let headers = command_headers(Some(&key)).map_err(unsent)?;
        let answer = self.call(method, path, headers, body).await;
        let response = answer.map_err(|error| if error.may_have_taken_effect() { unknown(&key, error) } else { unsent(error) })?;
        if !response.status.is_success() {
            return Err(problem_of(&serde_json::from_slice(&response.body).unwrap_or_default()));
        }
        serde_json::from_slice(&response.body).map_err(|error| unknown(&key, error))
    }
}

impl<'a> NamedTimer<'a> {
    /// So long after the service has taken the wish, to the millisecond.
    pub fn after(self, time: Duration) -> DueTimer<'a> {
        DueTimer { timer: self, due: json!({ "after_ms": millis(time) }) }
    }

    /// Again and again: after this time, and each time that it has passed once more. At least a second. Set again as it is, it goes on.
    pub fn every(self, period: Duration) -> DueTimer<'a> {
        DueTimer { timer: self, due: json!({ "every_ms": millis(period) }) }
    }

    /// Again and again: when the wall clock of a time zone of the IANA database is as the cron line says (five fields, or six with seconds in
    /// front). Set again as it is, it goes on.
    pub fn cron(self, line: &str, zone: &str) -> DueTimer<'a> {
        DueTimer { timer: self, due: json!({ "cron": line, "zone": zone }) }
    }

    /// At this time: microseconds since 1970, UTC.
    pub fn at_micros(self, time_micros: i64) -> DueTimer<'a> {
        DueTimer { timer: self, due: json!({ "due": time_text(time_micros) }) }
    }

    /// Cancels it; gives whether it was in time.
    ///
    /// # Errors
    /// See [`SendError`]; a problem when none of this name was ever set.
    pub async fn cancel(self) -> Result<bool, SendError> {
        self.client.change(Method::DELETE, &self.path(), Bytes::new()).await.map(|changed: Changed| changed.cancelled)
    }

    /// How it is, also once it has fired or was cancelled; `None` when it was never set.
    ///
    /// # Errors
    /// See [`SendError`]; a read is never rejected.
    pub async fn status(self) -> Result<Option<TimerStatus>, SendError> {
        let response = self.client.call(Method::GET, &self.path(), http::HeaderMap::new(), Bytes::new()).await.map_err(unsent)?;
        if response.status.is_success() {
            return serde_json::from_slice(&response.body).map(Some).map_err(unsent);
        }
        let problem: Json = serde_json::from_slice(&response.body).unwrap_or_default();
        if problem["title"] == "timer-not-found" { Ok(None) } else { Err(problem_of(&problem)) }
    }

    fn path(&self) -> String {
        format!("/v1/timers/{}", segment(&self.name))
    }
}

impl DueTimer<'_> {
    /// Sets it; the command goes to the entity of this id. Gives whether that changed anything: the same timer may wait already.
    ///
    /// # Errors
    /// See [`SendError`]; a command that is rejected when the time has come is an outcome of the timer, not of this.
    pub async fn send<E: Entity>(self, id: &str, command: E::Command) -> Result<bool, SendError> {
        let Self { timer, due } = sending::<E>(self, id, &command)?;
        timer.client.change(Method::PUT, &timer.path(), due.to_string().into()).await.map(|changed: Changed| changed.set)
    }

    /// The same, to be set together with others: see [`Client::set_timers`].
    ///
    /// # Errors
    /// When the command cannot be encoded.
    pub fn wish<E: Entity>(self, id: &str, command: E::Command) -> Result<TimerWish, SendError> {
        let Self { timer, mut due } = sending::<E>(self, id, &command)?;
        due["name"] = json!(timer.name);
        Ok(TimerWish(due.to_string()))
    }

    /// Moves a timer that waits, or is parked, to this time.
    ///
    /// # Errors
    /// See [`SendError`]; a problem when it does not wait any more.
    pub async fn reschedule(self) -> Result<bool, SendError> {
        let Self { timer, due } = self;
        let path = format!("{}/reschedule", timer.path());
        timer.client.change(Method::POST, &path, due.to_string().into()).await.map(|changed: Changed| changed.rescheduled)
    }
}

fn sending<'a, E: Entity>(wish: DueTimer<'a>, id: &str, command: &E::Command) -> Result<DueTimer<'a>, SendError> {
    let DueTimer { timer, mut due } = wish;
    let body = encode_payload(command).map_err(unsent)?;
    let body: Json = serde_json::from_slice(&body).map_err(unsent)?;
    due["send"] = json!({ "type": E::NAME, "id": id, "command": command.name(), "body": body });
    Ok(DueTimer { timer, due })
}

/// Never too short.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// What lies beyond the calendar is as far as it goes.
fn time_text(micros: i64) -> String {
    let nearest = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    format!("{:.6}", Timestamp::from_microsecond(micros).unwrap_or(nearest))
}
