//! Asynchronous commands: taken now, decided later, their outcome kept.
//!
//! An accepted command is an event of the platform's entity `$command`, one for each target entity, so that commands to one
//! entity keep their order. The consumer `$commands` decides them under the ids that their senders gave; promise 4 makes a
//! second run harmless. An outcome that leaves a record on the target needs no other; a rejection and an acceptance without
//! events are recorded as `settled` beside the command.
//!
//! ```text
//! $command/{hash of the target's key}   accepted { type, id, command, version?, key, expect, body | personal: { body, fingerprint } }
//!                                       settled  { key, done: { reply, sequence } | refused: { .. } }
//! ```
//!
//! What fails for a reason that may pass (no room, an engine that cannot be reached, a component that panics) is tried again
//! for as long as it takes: a sender was promised that the command is decided.

mod record;
mod settle;
mod waiting;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use journal::{
    AppendError, CommandId, CommandRecord, Commit, ContentType, Context, Cursor, EntityKey, EntityType, EventData, EventFlags,
    FoundCommand, ReadError, ReadMode, Selection,
};

use crate::asked::Asked;
use crate::delivery::{Consumer, DeliveryRoom, RetryPolicy, Start};
use crate::entity::Entities;
use crate::entity::kind::Kind;
use crate::limits::{ASYNCHRONOUS_RUNS_MAX, SETTLED_LOOK};
use crate::request::{CommandError, CommandRequest, Outcome, PastOutcome, StateError};
use crate::seams::Tasks;
use record::{Accepted, Settled};
use settle::Settler;
use waiting::Waiting;

/// The platform's entity type that holds accepted commands.
const INBOX: &str = "$command";
const ACCEPTED: &str = "accepted";
/// The consumer that decides them.
const CONSUMER: &str = "$commands";
/// How long a decision may take; it waits for the disk and for nothing else.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY: RetryPolicy =
    RetryPolicy { attempts_max: u32::MAX, backoff_min: Duration::from_millis(100), backoff_max: Duration::from_secs(30) };

/// See the module.
pub(crate) struct Asynchronous {
    entities: Arc<Entities>,
    begun: OnceLock<()>,
    waiting: Arc<Waiting>,
}

impl Asynchronous {
    pub(crate) fn new(entities: Arc<Entities>) -> Self {
        Self { entities, begun: OnceLock::new(), waiting: Arc::default() }
    }

    /// Goes on with what was accepted before. A service that nobody sends such commands to has no consumer for them.
    pub(crate) async fn resume(&self, delivery: &DeliveryRoom) -> Result<(), ReadError> {
        // On an engine of many nodes the first one may come to another one.
        if delivery.seams().nodes.is_shared() {
            self.begin(delivery);
            return Ok(());
        }
        let kind = EntityType::new(INBOX).expect("a name of ours");
        match self.entities.journal.entities(&kind, None).next().await {
            Some(Ok(_)) => self.begin(delivery),
            Some(Err(error)) => return Err(error),
            None => {}
        }
        Ok(())
    }

    fn begin(&self, delivery: &DeliveryRoom) {
        self.begun.get_or_init(|| {
            delivery.begin(Consumer {
                name: CONSUMER.to_owned(),
                selection: Selection::Types(vec![format!("{INBOX}/{ACCEPTED}").into()]),
                start: Start::First,
                retry: RETRY,
                run_timeout: RUN_TIMEOUT,
                runs_max: ASYNCHRONOUS_RUNS_MAX,
                handler: Arc::new(Settler { entities: Arc::clone(&self.entities), waiting: Arc::clone(&self.waiting) }),
            });
        });
    }

    /// Takes a command whose form is right, durably; gives the key under which its outcome is found.
    pub(crate) async fn accept(&self, delivery: &DeliveryRoom, request: CommandRequest) -> Result<String, CommandError> {
        let kind = self.entities.known_kind(request.entity.kind())?;
        kind.check(&request.command, &request.body).map_err(CommandError::Refused)?;
        let marked = kind.marked(&request.command, request.entity.id(), &request.body).map_err(CommandError::Refused)?;
        let named = (kind.shared_name(&request.command), request.body);
        let asked = Asked::new(named, request.id.into(), request.context, self.entities.journal.lineage(), &self.entities.mint)?;
        // It may have been sent without the wish before: then its outcome is there.
        if self.entities.replayed(&request.entity, &asked).await?.is_none() {
            let version = kind.command_version(&asked.name);
            let accepted = Accepted::new(&request.entity, (&asked, version), request.expect, marked);
            let event = event(ACCEPTED, accepted.encode());
            let command = asked.record(inbox(&request.entity), Bytes::new(), vec![event]);
            match self.entities.journal.append(Commit { commands: vec![command], ..Commit::default() }).await {
                Ok(_) => {}
                Err(AppendError::Duplicate { first, .. }) if asked.is_same(&first.name, first.fingerprint) => {}
                Err(error) => return Err(refused(&asked, error)),
            }
        }
        self.begin(delivery);
        Ok(asked.text)
    }

    /// Returns when the command is decided, by whichever node, or after `patience`.
    pub(crate) async fn settled(
        &self,
        entity: &EntityKey,
        id: &str,
        patience: Duration,
        (tasks, is_shared): (&dyn Tasks, bool),
    ) -> Result<(), ReadError> {
        let inbox = inbox(entity);
        let mut waiter = self.waiting.enter(&inbox, id);
        let until = tasks.elapsed().saturating_add(patience);
        loop {
            // It may have been decided before anybody waited, or by another node.
            let journal = &self.entities.journal;
            let taken = journal.find_command(entity, CommandId::from_raw(id.as_bytes())).await?.is_some();
            let left = until.saturating_sub(tasks.elapsed());
            if taken || left.is_zero() || journal.find_command(&inbox, settled_id(id)).await?.is_some() {
                return Ok(());
            }
            let pause = if is_shared { left.min(SETTLED_LOOK) } else { left };
            tokio::select! {
                biased;
                () = waiter.decided() => return Ok(()),
                () = tasks.sleep(pause) => {}
            }
        }
    }

    /// What became of an accepted command; `None` when it was never accepted.
    pub(crate) async fn outcome(&self, kind: &Kind, entity: &EntityKey, id: &str) -> Result<Option<Outcome>, StateError> {
        let (journal, inbox) = (&self.entities.journal, inbox(entity));
        let Some(accepted) = journal.find_command(&inbox, CommandId::from_raw(id.as_bytes())).await? else { return Ok(None) };
        match journal.find_command(&inbox, settled_id(id)).await? {
            Some(settled) => self.read_settled(kind, &inbox, &accepted, &settled).await.map(Some),
            None => Ok(Some(Outcome::Pending { command: (*accepted.name).to_owned(), time: accepted.time })),
        }
    }

    async fn read_settled(
        &self,
        kind: &Kind,
        inbox: &EntityKey,
        accepted: &FoundCommand,
        settled: &FoundCommand,
    ) -> Result<Outcome, StateError> {
        let selection = Selection::Entity { entity: inbox.clone(), from_sequence: settled.sequence };
        let event = self.entities.journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead).next_event().await.transpose()?;
        let unreadable = || StateError::Unreadable { message: format!("the outcome of command `{}` is not readable", accepted.name) };
        let (command, time) = ((*accepted.name).to_owned(), settled.time);
        match event.and_then(|event| Settled::decode(&event.payload)).ok_or_else(unreadable)? {
            Settled::Done { reply, sequence } => {
                Ok(Outcome::Done(PastOutcome { command, reply: Some(reply), sequence, cursor: settled.cursor, time }))
            }
            Settled::Refused(refused) => Ok(Outcome::Refused { command, error: refused.into_error(kind), time }),
        }
    }
}

/// The entity that holds the commands to a target. Its id is a hash: type and id of the target together are too long for one.
fn inbox(target: &EntityKey) -> EntityKey {
    let id = target.hash().0.iter().fold(String::new(), |id, byte| id + &format!("{byte:02x}"));
    EntityKey::with_tenant(target.tenant(), INBOX, &id).expect("a tenant that is one, and hex digits")
}

/// The id of the record that settles a command; no client can send it, for it has a control character.
fn settled_id(key: &str) -> CommandId {
    CommandId::from_raw(format!("{key}\0settled").as_bytes())
}

fn event(name: &str, payload: Bytes) -> EventData {
    EventData { name: name.into(), version: 1, content: ContentType::Json, flags: EventFlags::default(), tags: Vec::new(), payload }
}

/// A record under an id of the platform's.
fn platform_record(entity: EntityKey, id: CommandId, name: &str, context: Context, event: EventData) -> CommandRecord {
    CommandRecord { entity, id, name: name.into(), fingerprint: None, context, reply: Bytes::new(), events: vec![event] }
}

fn refused(asked: &Asked, error: AppendError) -> CommandError {
    match error {
        AppendError::Mismatch { .. } | AppendError::Duplicate { .. } => CommandError::Mismatch,
        AppendError::TooLarge { what, limit, actual } => CommandError::TooLarge { what, limit, actual },
        AppendError::Full => CommandError::Full,
        AppendError::Poisoned { cause } => CommandError::Poisoned { cause },
        AppendError::Unknown { cause } => CommandError::Unknown { id: asked.text.clone(), cause },
        // Nothing is expected of an inbox, and no fence stands before it.
        other => CommandError::Unavailable { cause: other.to_string() },
    }
}
