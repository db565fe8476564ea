//! A stream over a WebSocket: one event a message, the same bytes as a line of NDJSON.
//!
//! Between events there are objects of one member: `{"progress":{"cursor":..}}` moves the reader's place while a filter lets nothing through, and
//! `{"problem":{..}}` is the last message when reading fails. The reader resumes with `?after=` the last cursor that it was told.
//!
//! It gets the next part when the one before is on its way; with `?credit=n` it gets n events, and more for each `{"credit":n}` that it sends.
//! Nothing else that it may say has a meaning.
//!
//! A stop of the service ends every session at once, also one that would have ended at the head: its reader comes back to the next service.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Duration, Instant, Interval, MissedTickBehavior, interval_at};

use crate::inbound::body::{Chunks, advance};
use crate::inbound::websocket::{Farewell, Heard, Socket};
use crate::inbound::{Options, Stage};
use crate::limits::CREDIT_MAX;
use crate::problem::Code;

/// The subprotocol of these messages.
pub(super) const PROTOCOL: &str = "headwater.events.v1";

/// Where messages come from: each chunk has some, one a line.
pub(super) trait Messages: Chunks {
    /// Why there are no more; `None` when all are told.
    fn failure(&self) -> Option<Code>;
}

/// What a reader and its service have agreed on.
pub(super) struct Terms {
    /// Events that the reader is still owed; without it, all of them.
    pub(super) credit: Option<Arc<Semaphore>>,
    pub(super) options: Options,
    pub(super) stages: watch::Receiver<Stage>,
}

/// Tells a reader everything, until its end or the reader's.
pub(super) async fn run<S, M>(stream: S, messages: M, terms: Terms)
where
    S: AsyncRead + AsyncWrite + Unpin,
    M: Messages,
{
    let mut session = Session { socket: Socket::new(stream), terms, is_pinged: false };
    let farewell = session.tell(messages).await;
    session.socket.close(farewell).await;
}

struct Session<S> {
    socket: Socket<S>,
    terms: Terms,
    /// A ping waits for its answer.
    is_pinged: bool,
}

/// Goes on, or ends with a last word when there is still somebody to hear it.
type Flow = ControlFlow<Option<Farewell>>;

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn tell<M: Messages>(&mut self, messages: M) -> Option<Farewell> {
        let mut beats = beats(self.terms.options.heartbeat);
        // Kept over the turns of the loop: what is half read is not lost when somebody else has a word.
        let mut step = Box::pin(advance(messages));
        loop {
            let flow = tokio::select! {
                (messages, chunk) = &mut step, if self.socket.is_flushed() => match chunk {
                    Some(chunk) => {
                        step.set(advance(messages));
                        self.put(&chunk)
                    }
                    None => ControlFlow::Break(Some(last_word(messages.failure()))),
                },
                heard = self.socket.hear() => self.heard(heard),
                _ = beats.tick() => self.beat(),
                () = stopping(&mut self.terms.stages) => ControlFlow::Break(Some(Farewell::restart())),
            };
            if let ControlFlow::Break(farewell) = flow {
                return farewell;
            }
        }
    }

    fn put(&mut self, chunk: &Bytes) -> Flow {
        for line in chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if self.socket.put(chunk.slice_ref(line)).is_err() {
                return ControlFlow::Break(None);
            }
        }
        ControlFlow::Continue(())
    }

    fn heard(&mut self, heard: Heard) -> Flow {
        match heard {
            Heard::Flushed => return ControlFlow::Continue(()),
            Heard::Sign => {}
            Heard::Text(text) => self.granted(&text)?,
            Heard::Binary => return ControlFlow::Break(Some(Farewell::not_text())),
            Heard::Broken(farewell) => return ControlFlow::Break(Some(farewell)),
            Heard::Close | Heard::Gone => return ControlFlow::Break(None),
        }
        self.is_pinged = false;
        ControlFlow::Continue(())
    }

    fn granted(&self, text: &[u8]) -> Flow {
        match grant(text, self.terms.credit.as_deref()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(reason) => ControlFlow::Break(Some(Farewell::refused(reason))),
        }
    }

    /// Asks a reader that says nothing whether it lives; the answer may take as long as any other byte that waits for it.
    fn beat(&mut self) -> Flow {
        let patience = self.terms.options.write_stall_timeout;
        if self.is_pinged && self.socket.silent_for() >= patience {
            let reason = format!("no answer to a ping within {} seconds", patience.as_secs_f32());
            return ControlFlow::Break(Some(Farewell::refused(reason)));
        }
        if !std::mem::replace(&mut self.is_pinged, true) && self.socket.ping().is_err() {
            return ControlFlow::Break(None);
        }
        ControlFlow::Continue(())
    }
}

async fn stopping(stages: &mut watch::Receiver<Stage>) {
    let _also_when_the_server_is_gone = stages.wait_for(|stage| *stage > Stage::Serving).await;
}

fn beats(heartbeat: Duration) -> Interval {
    let mut beats = interval_at(Instant::now() + heartbeat, heartbeat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

fn last_word(failure: Option<Code>) -> Farewell {
    failure.map_or_else(Farewell::done, |code| Farewell::failed(format!("{} {}", code.number, code.title)))
}

/// `{"credit":n}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    credit: u64,
}

/// Adds what a reader grants to what it is owed. Only the reader adds, so that the bound holds.
fn grant(text: &[u8], owed: Option<&Semaphore>) -> Result<(), String> {
    let Grant { credit } = serde_json::from_slice(text).map_err(|_| "a reader may say {\"credit\":n}, and nothing else".to_owned())?;
    let owed = owed.ok_or("credit is for readers that begin with it; open with ?credit=n")?;
    let free = CREDIT_MAX.saturating_sub(u64::try_from(owed.available_permits()).unwrap_or(u64::MAX));
    if credit == 0 || credit > free {
        return Err(format!("credit must be at least 1, and come to {CREDIT_MAX} at most"));
    }
    owed.add_permits(usize::try_from(credit).map_err(|_| "credit is too large")?);
    Ok(())
}

const _: () = assert!(CREDIT_MAX as usize <= Semaphore::MAX_PERMITS);

#[cfg(test)]
mod tests;
