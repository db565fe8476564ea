//! The handler behind the consumer `$commands`: it decides accepted commands and records how they were settled.

use std::sync::Arc;

use bytes::Bytes;
use component::hosted::Refusal;
use journal::{AppendError, BoxFuture, Commit, Context, EntityKey, Recorded};

use super::record::{Accepted, Refused, Settled};
use super::waiting::Waiting;
use super::{event, platform_record, settled_id};
use crate::asked::AskedId;
use crate::delivery::{Delivery, Failure, Handler};
use crate::entity::Entities;
use crate::request::{CommandError, CommandOutcome, CommandRequest};

const SETTLED: &str = "settled";

pub(super) struct Settler {
    pub(super) entities: Arc<Entities>,
    pub(super) waiting: Arc<Waiting>,
}

impl Handler for Settler {
    fn run(&self, delivery: Delivery) -> BoxFuture<'static, Result<(), Failure>> {
        let (entities, waiting) = (Arc::clone(&self.entities), Arc::clone(&self.waiting));
        Box::pin(async move {
            let event = delivery.open()?;
            let not_ours = |error| Failure::Park { cause: format!("not an accepted command: {error}") };
            let accepted = Accepted::decode(&event.payload).map_err(not_ours)?;
            settle(&entities, (&event, delivery.event.whose().at), &accepted).await?;
            waiting.decided(&event.entity, &accepted.key);
            Ok(())
        })
    }
}

async fn settle(entities: &Entities, (event, stamp): (&Recorded, u64), accepted: &Accepted) -> Result<(), Failure> {
    let retry = |cause: String| Failure::Retry { cause };
    let done = entities.journal.find_command(&event.entity, settled_id(&accepted.key)).await;
    if done.map_err(|error| retry(error.to_string()))?.is_some() {
        return Ok(());
    }
    let (body, id) = accepted.sent(stamp);
    let settled = match decided(entities, (event, accepted), body, id).await? {
        Ok(outcome) if outcome.recorded => return Ok(()),
        // Its target remembers it, and no more than that.
        Err(CommandError::ReplyGone) => return Ok(()),
        Ok(outcome) => Settled::Done { reply: outcome.reply, sequence: outcome.sequence },
        Err(error) => match Refused::of(&error) {
            Some(refused) => Settled::Refused(refused),
            None => return Err(retry(cause(&error))),
        },
    };
    record(entities, event, &accepted.key, &settled).await
}

/// Decides a command, raised to what the code of today takes. It stays the command that was sent: it is known by the body of then.
async fn decided(
    entities: &Entities,
    (event, accepted): (&Recorded, &Accepted),
    body: Bytes,
    id: AskedId,
) -> Result<Result<CommandOutcome, CommandError>, Failure> {
    let kind = match entities.known_kind(&accepted.kind) {
        Ok(kind) => kind,
        Err(unknown) => return Ok(Err(unknown)),
    };
    let raised = match kind.raised_command(&accepted.command, accepted.version, body.clone()) {
        Ok(raised) => raised,
        Err(refusal) => return Ok(Err(CommandError::Refused(refusal))),
    };
    let id = match id {
        AskedId::Client(Some(key)) if raised != body => {
            let fingerprint = entities.journal.lineage().fingerprint(&accepted.command, &body);
            AskedId::Accepted(key, Some(fingerprint), u64::MAX)
        }
        id => id,
    };
    Ok(entities.command_under(id, request(event, accepted, raised)?).await)
}

/// The command as its sender sent it, caused by the event that accepted it.
fn request(event: &Recorded, accepted: &Accepted, body: Bytes) -> Result<CommandRequest, Failure> {
    let entity = EntityKey::with_tenant(event.entity.tenant(), &accepted.kind, &accepted.id)
        .map_err(|error| Failure::Park { cause: error.to_string() })?;
    Ok(CommandRequest {
        entity,
        command: accepted.command.clone(),
        body,
        id: None,
        expect: accepted.expect.into(),
        context: Context { causation_id: Some(event.id.to_string().into()), ..(*event.context).clone() },
    })
}

async fn record(entities: &Entities, accepted: &Recorded, key: &str, settled: &Settled) -> Result<(), Failure> {
    let context = Context { causation_id: Some(accepted.id.to_string().into()), ..(*accepted.context).clone() };
    let settled = event(SETTLED, settled.encode(key));
    let command = platform_record(accepted.entity.clone(), settled_id(key), "settle", context, settled);
    match entities.journal.append(Commit { commands: vec![command], ..Commit::default() }).await {
        Ok(_) | Err(AppendError::Duplicate { .. }) => Ok(()),
        Err(error) => Err(Failure::Retry { cause: error.to_string() }),
    }
}

fn cause(error: &CommandError) -> String {
    match error {
        CommandError::Refused(Refusal::Broken { message }) => format!("the component broke its contract: {message}"),
        error => error.to_string(),
    }
}
