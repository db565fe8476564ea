//! Decisions of people about what another node does: they are laid down in a register, and the node that can carry them out answers there.
//!
//! ```text
//! relay/{duty}[/{share}]/{id}   JSON { what, answer? }
//! ```
//!
//! Nodes share an engine and nothing else, so this is the way from one to another. Who asks takes the register away in the end; one that was left
//! behind by a node that has ended is taken away when it is old.

use std::sync::Arc;

use bytes::Bytes;
use journal::{BoxFuture, Context, Cursor, EntityKey, Register, RegisterError, RegisterExpect};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::sync::watch;

use super::memory::Decision;
use super::orders::{HeldSelection, OrderError, What};
use super::{Seams, stopped};
use crate::limits::{RELAY_FORGET_MICROS, RELAY_LOOK, RELAY_MAX};
use crate::node::{Share, parts};

/// What the names of all these registers begin with.
pub(crate) const PREFIX: &str = "relay/";

/// Carries out what was decided about a duty, if this node has it; nothing otherwise.
pub(crate) type CarryOut = Arc<dyn Fn(String, Share, What) -> BoxFuture<'static, Option<Result<usize, OrderError>>> + Send + Sync>;

#[derive(Serialize, Deserialize)]
struct Relayed {
    asked_micros: i64,
    of: u16,
    what: Said,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Said {
    Redrive { key: Option<(String, String, String)>, cause: Option<String>, per_second: Option<u32> },
    Discard { key: (String, String, String), event: String, why: Why },
    Edit { key: (String, String, String), event: String, payload: Json, why: Why },
    Place { cursor: String, why: Why },
    Checkpoint,
}

/// A decision with who made it.
#[derive(Serialize, Deserialize)]
struct Why {
    reason: String,
    correlation_id: Option<String>,
    traceparent: Option<String>,
    principal: Option<String>,
}

impl From<&Decision> for Why {
    fn from(Decision { reason, context }: &Decision) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        let (correlation_id, traceparent) = (text(&context.correlation_id), text(&context.traceparent));
        Self { reason: reason.clone(), correlation_id, traceparent, principal: text(&context.principal) }
    }
}

impl From<&Why> for Decision {
    fn from(why: &Why) -> Self {
        let text = |text: &Option<String>| text.as_deref().map(Into::into);
        let (correlation_id, traceparent) = (text(&why.correlation_id), text(&why.traceparent));
        let context = Context { correlation_id, traceparent, principal: text(&why.principal), ..Context::default() };
        Self { reason: why.reason.clone(), context }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Done(usize),
    NotHeld,
    OtherEvent(String),
    Running,
    Unfit(String),
    NotWorking(String),
    Failed(String),
}

/// Has another node carry out a decision about a duty that it has.
pub(crate) async fn ask(seams: &Seams, (duty, share): (&str, Share), what: &What) -> Result<usize, OrderError> {
    let failed = |error: RegisterError| OrderError::Failed { cause: error.to_string() };
    let mut id = [0; 8];
    seams.random.fill(&mut id);
    let name = format!("{PREFIX}{duty}{}/{:016x}", share.suffix(), u64::from_be_bytes(id));
    let relayed = Relayed { asked_micros: seams.clock.now().as_micros(), of: share.of, what: said(what), answer: None };
    let mut revision = seams.registers.put(&name, RegisterExpect::Absent, encode(&relayed)).await.map_err(failed)?;
    let begun = seams.tasks.elapsed();
    let answer = loop {
        seams.tasks.sleep(RELAY_LOOK).await;
        let register = seams.registers.get(&name).await.map_err(failed)?;
        let Some((found, answer)) = register.and_then(|register| Some((register.revision, decode(&register)?.answer?))) else {
            if seams.tasks.elapsed().saturating_sub(begun) < RELAY_MAX {
                continue;
            }
            break Answer::NotWorking("no node that has it has answered".to_owned());
        };
        revision = found;
        break answer;
    };
    // One that stays is taken away when it is old.
    let _ = seams.registers.delete(&name, revision).await;
    answer.into()
}

/// Carries out what others ask of this node, until a stop.
pub(crate) async fn attend(seams: Arc<Seams>, carry_out: CarryOut, mut stop: watch::Receiver<bool>) {
    let mut changes = seams.registers.watch(PREFIX);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            changed = changes.changed() => if changed.is_none() { return },
        }
        for register in seams.registers.list(PREFIX).await.unwrap_or_default() {
            let Some(relayed) = decode(&register) else { continue };
            match relayed.answer {
                None => obey(&seams, &carry_out, register, relayed).await,
                Some(_) if is_old(&seams, &relayed) => drop(seams.registers.delete(&register.name, register.revision).await),
                Some(_) => {}
            }
        }
        // A hint may be about any register.
        seams.tasks.sleep(RELAY_LOOK).await;
    }
}

async fn obey(seams: &Seams, carry_out: &CarryOut, register: Register, relayed: Relayed) {
    let Some((of, _)) = register.name[PREFIX.len()..].rsplit_once('/') else { return };
    let (duty, index) = parts(of);
    let share = Share { index: index.unwrap_or(0), of: relayed.of };
    let (Ok(what), false) = (What::try_from(&relayed.what), is_old(seams, &relayed)) else {
        drop(seams.registers.delete(&register.name, register.revision).await);
        return;
    };
    let Some(done) = carry_out(duty.to_owned(), share, what).await else { return };
    let answered = Relayed { answer: Some(done.into()), ..relayed };
    // Who asked may have gone away.
    let _ = seams.registers.put(&register.name, RegisterExpect::Revision(register.revision), encode(&answered)).await;
}

fn is_old(seams: &Seams, relayed: &Relayed) -> bool {
    seams.clock.now().as_micros().saturating_sub(relayed.asked_micros) > RELAY_FORGET_MICROS
}

fn encode(relayed: &Relayed) -> Bytes {
    serde_json::to_vec(relayed).expect("texts and numbers always encode").into()
}

fn decode(register: &Register) -> Option<Relayed> {
    serde_json::from_slice(&register.value).ok()
}

fn words(key: &EntityKey) -> (String, String, String) {
    (key.tenant().to_owned(), key.kind().to_owned(), key.id().to_owned())
}

fn said(what: &What) -> Said {
    match what {
        What::Redrive { selection: HeldSelection { key, cause }, per_second } => {
            Said::Redrive { key: key.as_ref().map(words), cause: cause.clone(), per_second: *per_second }
        }
        What::Discard { key, event, why } => Said::Discard { key: words(key), event: event.clone(), why: why.into() },
        What::Edit { key, event, payload, why } => {
            Said::Edit { key: words(key), event: event.clone(), payload: payload.clone(), why: why.into() }
        }
        What::Place { cursor, why } => Said::Place { cursor: cursor.to_string(), why: why.into() },
        What::Checkpoint => Said::Checkpoint,
    }
}

/// It is of another version.
struct Unreadable;

impl TryFrom<&Said> for What {
    type Error = Unreadable;

    fn try_from(said: &Said) -> Result<Self, Unreadable> {
        let key = |(tenant, kind, id): &(String, String, String)| EntityKey::with_tenant(tenant, kind, id).map_err(|_| Unreadable);
        Ok(match said {
            Said::Redrive { key: of, cause, per_second } => {
                let selection = HeldSelection { key: of.as_ref().map(key).transpose()?, cause: cause.clone() };
                Self::Redrive { selection, per_second: *per_second }
            }
            Said::Discard { key: of, event, why } => Self::Discard { key: key(of)?, event: event.clone(), why: why.into() },
            Said::Edit { key: of, event, payload, why } => {
                Self::Edit { key: key(of)?, event: event.clone(), payload: payload.clone(), why: why.into() }
            }
            Said::Place { cursor, why } => Self::Place { cursor: cursor.parse::<Cursor>().map_err(|_| Unreadable)?, why: why.into() },
            Said::Checkpoint => Self::Checkpoint,
        })
    }
}

impl From<Result<usize, OrderError>> for Answer {
    fn from(done: Result<usize, OrderError>) -> Self {
        match done {
            Ok(count) => Self::Done(count),
            Err(OrderError::NotHeld) => Self::NotHeld,
            Err(OrderError::OtherEvent { event }) => Self::OtherEvent(event),
            Err(OrderError::Running) => Self::Running,
            Err(OrderError::Unfit { cause }) => Self::Unfit(cause),
            Err(OrderError::NotWorking { cause }) => Self::NotWorking(cause),
            Err(error) => Self::Failed(error.to_string()),
        }
    }
}

impl From<Answer> for Result<usize, OrderError> {
    fn from(answer: Answer) -> Self {
        Err(match answer {
            Answer::Done(count) => return Ok(count),
            Answer::NotHeld => OrderError::NotHeld,
            Answer::OtherEvent(event) => OrderError::OtherEvent { event },
            Answer::Running => OrderError::Running,
            Answer::Unfit(cause) => OrderError::Unfit { cause },
            Answer::NotWorking(cause) => OrderError::NotWorking { cause },
            Answer::Failed(cause) => OrderError::Failed { cause },
        })
    }
}
