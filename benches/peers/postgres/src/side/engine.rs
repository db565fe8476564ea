//! The engine alone: appends of the commits that the service makes of the same commands, without rules, states and answers.

use std::sync::Arc;

use bytes::Bytes;
use engine_postgres::{Address, Options, PostgresJournal};
use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Fingerprint, Journal as _};

use super::Turn;
use crate::load::{Acknowledged, Client, Command, load};
use crate::{Outcome, cart};

pub(super) async fn run(turn: &Turn<'_>) -> Outcome<Acknowledged> {
    let journal = open(turn).await?;
    let payload = Bytes::from(cart::body());
    let clients = (0..turn.clients).map(|_| Appending { journal: Arc::clone(&journal), payload: payload.clone() }).collect();
    let acknowledged = load(clients, turn.load).await;
    journal.close().await;
    acknowledged
}

pub(super) async fn open(turn: &Turn<'_>) -> Outcome<Arc<PostgresJournal>> {
    let options = Options::at(Address::new(&turn.engine(), None)?)?;
    Ok(Arc::new(PostgresJournal::open(options).await?))
}

/// The record of a command as the service would make it.
pub(super) fn record(command: &Command, payload: &Bytes) -> Outcome<CommandRecord> {
    let event = EventData {
        name: "item-added".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags(0),
        tags: Vec::new(),
        payload: payload.clone(),
    };
    Ok(CommandRecord {
        entity: EntityKey::new("cart", &cart::id(command.cart))?,
        id: CommandId::from_raw(command.id.as_bytes()),
        name: "add-item".into(),
        // As many bytes as a hash has.
        fingerprint: Some(Fingerprint([7; 16])),
        // What has no correlation of its own has that of its key.
        context: Context { correlation_id: Some(command.id.as_str().into()), ..Context::default() },
        reply: Bytes::from_static(b"null"),
        events: vec![event],
    })
}

struct Appending {
    journal: Arc<PostgresJournal>,
    payload: Bytes,
}

impl Client for Appending {
    async fn send(&mut self, command: Command) -> Outcome<()> {
        let commit = Commit { commands: vec![record(&command, &self.payload)?], ..Commit::default() };
        self.journal.append(commit).await?;
        Ok(())
    }
}
