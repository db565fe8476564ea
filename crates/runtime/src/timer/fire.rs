//! One firing: the command is sent under an id of its own, and what came of it is recorded.
//!
//! ```text
//! accepted, rejected by the rule        -> fired
//! the machine cannot, now               -> again, for as long as it takes
//! the component panics or is broken     -> again, some times, then parked
//! nobody takes such a command           -> parked
//! ```
//!
//! Between two attempts it has no turn at its timer: who cancels it then, has cancelled it.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use component::hosted::Refusal;
use journal::{Context, EntityKey};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::index::DueRow;
use super::names::Turn;
use super::record::{FIRED, Fired, FiredOutcome, PARKED, Parked, Set, TIMER, firing_id, own_id, record};
use super::recorder::Entry;
use super::room::Room;
use crate::asked::AskedId;
use crate::delivery::{RetryPolicy, stopped};
use crate::limits::TIMER_ATTEMPTS_MAX;
use crate::personal::{Form, Place};
use crate::request::{CommandError, CommandRequest, Expectation};

const RETRY: RetryPolicy =
    RetryPolicy { attempts_max: TIMER_ATTEMPTS_MAX, backoff_min: Duration::from_millis(200), backoff_max: Duration::from_secs(60) };
/// A key that is not there does not come back by itself.
const KEY_WAIT: Duration = crate::limits::KEY_MISSING_WAIT;

/// A timer that is due, as the index has it.
pub(super) struct Firing {
    pub(super) entity: EntityKey,
    pub(super) row: DueRow,
}

/// How an attempt ended.
enum Attempt {
    /// With the rule's code, and when it is due again.
    Fired(FiredOutcome, Option<String>, Option<i64>),
    /// Not the command's fault.
    Later(Duration),
    /// Maybe the component's fault.
    Again(String),
    Failed(String),
    /// The timer is not as the index had it.
    Stale,
}

impl Firing {
    pub(super) fn new(row: DueRow) -> Option<Self> {
        Some(Self { entity: EntityKey::with_tenant(&row.tenant, TIMER, &row.name).ok()?, row })
    }

    /// Tries until it has ended, or somebody else has the timer.
    pub(super) async fn run(self, room: Arc<Room>, turn: Turn, permit: OwnedSemaphorePermit) {
        let (mut turn, mut permit) = (Some(turn), Some(permit));
        let (mut attempts, mut faults) = (0_u32, 0_u32);
        loop {
            attempts += 1;
            let wait = match self.attempt(&room).await {
                Attempt::Stale => return,
                Attempt::Fired(outcome, code, next) => {
                    self.fired(&room, (outcome, code, next)).await;
                    drop(turn);
                    next.into_iter().for_each(|next| room.alarm.ring(next));
                    return;
                }
                Attempt::Failed(cause) => return self.park(&room, cause, attempts).await,
                Attempt::Later(least) => RETRY.wait(attempts, &*room.random).max(least),
                Attempt::Again(cause) => {
                    faults += 1;
                    if RETRY.is_over(faults) {
                        return self.park(&room, cause, attempts).await;
                    }
                    RETRY.wait(faults, &*room.random)
                }
            };
            drop(turn.take());
            if !self.rest(&room, &mut permit, wait).await {
                return;
            }
            // Whoever has it now tells when it is over.
            turn = room.names.for_firing(&self.entity, self.row.due);
            if turn.is_none() {
                return;
            }
        }
    }

    /// Waits, and lets others fire meanwhile as long as not too many wait. False at a stop.
    async fn rest(&self, room: &Arc<Room>, permit: &mut Option<OwnedSemaphorePermit>, wait: Duration) -> bool {
        let resting = Arc::clone(&room.resting).try_acquire_owned();
        if resting.is_ok() {
            drop(permit.take());
        }
        room.waiting.fetch_add(1, SeqCst);
        let mut stop = room.stop.subscribe();
        let goes_on = tokio::select! {
            biased;
            () = stopped(&mut stop) => false,
            () = room.tasks.sleep(wait) => true,
        };
        room.waiting.fetch_sub(1, SeqCst);
        if permit.is_none() && goes_on {
            *permit = Arc::clone(&room.firing).acquire_owned().await.ok();
        }
        goes_on
    }

    async fn attempt(&self, room: &Room) -> Attempt {
        match room.entities.journal.entity_head(&self.entity).await {
            Ok(Some(head)) if head.sequence == self.row.sequence => {}
            Ok(_) => return Attempt::Stale,
            Err(_) => return Attempt::Later(Duration::ZERO),
        }
        // What it opens is let go of when the command has ended.
        let _under_way = room.runs.enter();
        let stamp = room.runs.stamp();
        let set = match self.open(room) {
            Ok(set) => set,
            Err(attempt) => return attempt,
        };
        match self.send(room, &set, stamp).await {
            Ok(()) => Attempt::Fired(FiredOutcome::Accepted, None, self.next(room, &set)),
            Err(error) => match judged(error, set.is_personal()) {
                Attempt::Fired(outcome, code, _) => Attempt::Fired(outcome, code, self.next(room, &set)),
                other => other,
            },
        }
    }

    /// When its schedule is due again: what was missed meanwhile is missed.
    fn next(&self, room: &Room, set: &Set) -> Option<i64> {
        set.schedule()?.next(self.row.due, room.clock.now().as_micros())
    }

    /// What it sends, its personal values with their marks.
    fn open(&self, room: &Room) -> Result<Set, Attempt> {
        let opened = room.runs.subjects().map_or(Ok(None), |subjects| {
            subjects.opened(&Place::Event(&self.entity, super::record::SET), self.row.content.as_bytes(), Form::Marked)
        });
        let opened = opened.map_err(|_| Attempt::Later(KEY_WAIT))?;
        let content = opened.as_deref().unwrap_or(self.row.content.as_bytes());
        serde_json::from_slice(content).map_err(|error| Attempt::Failed(format!("what it sends is not readable by this version: {error}")))
    }

    async fn send(&self, room: &Room, set: &Set, stamp: u64) -> Result<(), CommandError> {
        let entity = EntityKey::with_tenant(&self.row.tenant, &set.kind, &set.id)
            .map_err(|error| CommandError::Refused(Refusal::Invalid { pointer: String::new(), message: error.to_string() }))?;
        let id = firing_id(&self.row.name, self.row.generation, self.row.due);
        let request = CommandRequest {
            entity,
            command: set.command.clone(),
            body: self.body(room, set)?,
            id: None,
            expect: Expectation::Any,
            context: self.context(),
        };
        room.entities.command_under(AskedId::Derived(id, stamp), request).await.map(drop)
    }

    /// The body as it would be sent today: a timer may be older than the code.
    fn body(&self, room: &Room, set: &Set) -> Result<bytes::Bytes, CommandError> {
        let kind = room.entities.known_kind(&set.kind)?;
        kind.raised_command(&set.command, set.version, set.plain_body()).map_err(CommandError::Refused)
    }

    /// Who set the timer sends the command; the event that set it is the cause.
    fn context(&self) -> Context {
        let text = |text: &Option<String>| text.as_deref().map(Into::into);
        Context {
            correlation_id: text(&self.row.correlation),
            causation_id: Some(self.row.event.as_str().into()),
            traceparent: None,
            principal: text(&self.row.principal),
        }
    }

    async fn fired(&self, room: &Room, (outcome, code, next): (FiredOutcome, Option<String>, Option<i64>)) {
        let fired = Fired { generation: self.row.generation, due: self.row.due, outcome, code, next };
        let id = own_id(FIRED, self.row.generation, self.row.due);
        let entry = record(&self.entity, (id, None), self.context(), (FIRED, &fired));
        self.write(room, entry).await;
    }

    async fn park(&self, room: &Room, cause: String, attempts: u32) {
        (room.notices)(&format!("the timer `{}` is parked: {cause}", self.row.name));
        let parked = Parked { generation: self.row.generation, due: self.row.due, cause, attempts };
        let id = own_id(PARKED, self.row.generation, self.row.sequence);
        let entry = record(&self.entity, (id, None), self.context(), (PARKED, &parked));
        self.write(room, entry).await;
    }

    /// Returns when it is durable. The index must have seen it before timers are looked for from the beginning.
    async fn write(&self, room: &Room, record: journal::CommandRecord) {
        let (written, place) = oneshot::channel();
        if room.records.send(Entry { record, sequence: self.row.sequence, written }).await.is_err() {
            return;
        }
        if let Ok(place) = place.await {
            room.alarm.saw(place);
        }
    }
}

/// Whether a command that was not accepted is an outcome, may pass, or will not.
fn judged(error: CommandError, is_personal: bool) -> Attempt {
    match error {
        CommandError::Refused(Refusal::Rejected(rejected)) => {
            Attempt::Fired(FiredOutcome::Rejected, Some(rejected.code.into_owned()), None)
        }
        CommandError::Refused(Refusal::Broken { .. }) if is_personal => Attempt::Again("the component broke its contract".to_owned()),
        CommandError::Refused(Refusal::Broken { message }) => Attempt::Again(format!("the component broke its contract: {message}")),
        CommandError::Unreadable { message } | CommandError::BaselineUnfit { message } => Attempt::Again(message),
        // What it says may quote the body.
        CommandError::Refused(Refusal::Invalid { pointer, .. }) if is_personal => {
            Attempt::Failed(format!("{pointer}: does not fit the command"))
        }
        CommandError::Refused(refusal) => Attempt::Failed(refusal.to_string()),
        error @ (CommandError::UnknownTarget { .. }
        | CommandError::TooLarge { .. }
        | CommandError::Mismatch
        | CommandError::InvalidId { .. }) => Attempt::Failed(error.to_string()),
        // Its command took effect; only its reply is gone.
        CommandError::ReplyGone => Attempt::Fired(FiredOutcome::Accepted, None, None),
        CommandError::Damaged { place } => Attempt::Again(format!("the journal is damaged: {place}")),
        CommandError::PreconditionFailed { .. }
        | CommandError::Contended { .. }
        | CommandError::Busy { .. }
        | CommandError::Stopping
        | CommandError::Full
        | CommandError::Poisoned { .. }
        | CommandError::Unavailable { .. }
        | CommandError::Unknown { .. } => Attempt::Later(Duration::ZERO),
    }
}
