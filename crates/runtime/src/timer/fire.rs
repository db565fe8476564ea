//! One firing: the command is sent under an id of its own, and what it leaves and that the timer has fired are one commit.
//!
//! ```text
//! accepted, rejected by the rule        -> fired
//! the machine cannot, now               -> again, for as long as it takes
//! the component panics or is broken     -> again, some times, then parked
//! nobody takes such a command           -> parked
//! ```
//!
//! The commit expects the timer's head: a timer that was cancelled or set otherwise meanwhile sends nothing, and one whose commit is there
//! cannot be cancelled any more. A command that leaves no events has no effect but that the timer has fired, which is recorded alone.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use component::hosted::Refusal;
use journal::{CommandRecord, Context, Cursor, EntityKey, Expect};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::index::DueRow;
use super::record::{FIRED, Fired, FiredOutcome, PARKED, Parked, SET, Set, TIMER, firing_id, own_id, record};
use super::recorder::Entry;
use super::room::Room;
use super::under_way::Turn;
use crate::asked::{AskedId, Beside};
use crate::delivery::{RetryPolicy, stopped};
use crate::limits::TIMER_ATTEMPTS_MAX;
use crate::personal::{Form, Place};
use crate::request::{CommandError, CommandOutcome, CommandRequest, Expectation};

const RETRY: RetryPolicy =
    RetryPolicy { attempts_max: TIMER_ATTEMPTS_MAX, backoff_min: Duration::from_millis(200), backoff_max: Duration::from_secs(60) };
/// A key that is not there does not come back by itself.
const KEY_WAIT: Duration = crate::limits::KEY_MISSING_WAIT;

/// A timer that is due, as the index has it.
pub(super) struct Firing {
    pub(super) entity: EntityKey,
    pub(super) row: DueRow,
}

/// What lets a timer be fired: it is not under way already, and not too many are.
pub(super) struct Pass {
    pub(super) turn: Turn,
    pub(super) permit: OwnedSemaphorePermit,
}

/// How an attempt ended.
enum Attempt {
    /// Its command took effect, and it is recorded with it, at this place.
    Recorded(Cursor, Option<i64>),
    /// With the rule's code, and when it is due again; it is not recorded yet.
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

    /// Tries once; what does not end goes on in a task of its own.
    pub(super) async fn run(self, room: &Arc<Room>, pass: Pass) {
        let attempt = self.attempt(room).await;
        match attempt {
            Attempt::Later(_) | Attempt::Again(_) => {
                let (of, at_work) = (Arc::clone(room), room.at_work());
                room.tasks.spawn(Box::pin(async move {
                    self.go_on(&of, pass, attempt).await;
                    drop(at_work);
                }));
            }
            ended => self.end(room, ended, 1).await,
        }
    }

    /// Tries again until it has ended, or somebody else has the timer.
    async fn go_on(self, room: &Arc<Room>, pass: Pass, mut attempt: Attempt) {
        let Pass { turn, permit } = pass;
        let mut permit = Some(permit);
        let (mut attempts, mut faults) = (1_u32, 0_u32);
        loop {
            let wait = match attempt {
                Attempt::Later(least) => RETRY.wait(attempts, &*room.random).max(least),
                Attempt::Again(_) if !RETRY.is_over(faults + 1) => {
                    faults += 1;
                    RETRY.wait(faults, &*room.random)
                }
                ended => {
                    self.end(room, ended, attempts).await;
                    return drop(turn);
                }
            };
            if !self.rest(room, &mut permit, wait).await || !self.is_current(room).await {
                return;
            }
            attempts += 1;
            attempt = self.attempt(room).await;
        }
    }

    /// Records what is not recorded yet, and says when it is due again.
    async fn end(&self, room: &Room, ended: Attempt, attempts: u32) {
        let next = match ended {
            Attempt::Stale | Attempt::Later(_) => None,
            Attempt::Again(cause) | Attempt::Failed(cause) => {
                self.park(room, cause, attempts).await;
                None
            }
            Attempt::Recorded(place, next) => {
                self.saw(room, place, next);
                next
            }
            Attempt::Fired(outcome, code, next) => {
                let written = self.write(room, self.fired(outcome, code, next)).await;
                written.into_iter().for_each(|place| self.saw(room, place, next));
                next
            }
        };
        next.into_iter().for_each(|next| room.alarm.ring(next));
    }

    fn saw(&self, room: &Room, place: Cursor, next: Option<i64>) {
        if next.is_some() { room.alarm.saw_due(place) } else { room.alarm.saw(place) }
    }

    /// False when it has become another timer while this one rested; what cannot be read is found out by the next attempt.
    async fn is_current(&self, room: &Room) -> bool {
        let head = room.entities.journal.entity_head(&self.entity).await;
        head.is_err() || head.is_ok_and(|head| head.is_some_and(|head| head.sequence == self.row.sequence))
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
        // What it opens is let go of when the command has ended.
        let _under_way = room.runs.enter();
        let stamp = room.runs.stamp();
        let set = match self.open(room) {
            Ok(set) => set,
            Err(attempt) => return attempt,
        };
        let next = self.next(room, &set);
        match self.send(room, &set, stamp, next).await {
            Ok(outcome) if outcome.recorded && !outcome.replayed => Attempt::Recorded(outcome.cursor, next),
            Ok(_) => Attempt::Fired(FiredOutcome::Accepted, None, next),
            Err(error) => match judged(error, set.is_personal()) {
                Attempt::Fired(outcome, code, _) => Attempt::Fired(outcome, code, next),
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
        let opened = room
            .runs
            .subjects()
            .map_or(Ok(None), |subjects| subjects.opened(&Place::Event(&self.entity, SET), self.row.content.as_bytes(), Form::Marked));
        let opened = opened.map_err(|_| Attempt::Later(KEY_WAIT))?;
        let content = opened.as_deref().unwrap_or(self.row.content.as_bytes());
        serde_json::from_slice(content).map_err(|error| Attempt::Failed(format!("what it sends is not readable by this version: {error}")))
    }

    async fn send(&self, room: &Room, set: &Set, stamp: u64, next: Option<i64>) -> Result<CommandOutcome, CommandError> {
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
        let beside = Beside { record: self.fired(FiredOutcome::Accepted, None, next), expect: Expect::Head(self.row.sequence) };
        room.entities.command_of(AskedId::Derived(id, stamp), request, |asked| asked.of_timer(self.row.due, beside)).await
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

    fn fired(&self, outcome: FiredOutcome, code: Option<String>, next: Option<i64>) -> CommandRecord {
        let fired = Fired { generation: self.row.generation, due: self.row.due, outcome, code, next };
        let id = own_id(FIRED, self.row.generation, self.row.due);
        record(&self.entity, (id, None), self.context(), (FIRED, &fired))
    }

    /// Parks it, unless somebody else has changed it meanwhile.
    pub(super) async fn park(&self, room: &Room, cause: String, attempts: u32) {
        let words = format!("the timer `{}` is parked: {cause}", self.row.name);
        let parked = Parked { generation: self.row.generation, due: self.row.due, cause, attempts };
        let id = own_id(PARKED, self.row.generation, self.row.sequence);
        let entry = record(&self.entity, (id, None), self.context(), (PARKED, &parked));
        if let Some(place) = self.write(room, entry).await {
            (room.notices)(&words);
            room.alarm.saw(place);
        }
    }

    /// Gives the place behind it once it is durable; nothing when the timer is another one by now, or the service stops.
    async fn write(&self, room: &Room, record: CommandRecord) -> Option<Cursor> {
        let (written, place) = oneshot::channel();
        room.records.send(Entry { record, sequence: self.row.sequence, written }).await.ok()?;
        place.await.ok()
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
        CommandError::PreconditionFailed { .. } => Attempt::Stale,
        CommandError::Contended { .. }
        | CommandError::Busy { .. }
        | CommandError::Stopping
        | CommandError::Full
        | CommandError::Poisoned { .. }
        | CommandError::Unavailable { .. }
        | CommandError::Unknown { .. } => Attempt::Later(Duration::ZERO),
    }
}
