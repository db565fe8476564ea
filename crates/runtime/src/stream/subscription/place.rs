//! Where a subscription is: its register, and what the journal remembers.
//!
//! ```text
//! subscription/{topic}    epoch u64 big-endian | JSON { place, here }
//! $subscription/{topic}   subscription-created { place } · subscription-placed { place, reason }
//! ```
//!
//! `place` is `first`, `now`, or a cursor of the peer's. `here` is a place of the service's own journal that has all the messages up to
//! there: where it is none of this journal, the register is newer than the journal, and the place is worth nothing. Such a register is
//! marked with an empty place.
//!
//! Every write is a compare-and-set on the revision that this owner wrote last, so that a stale owner is refused by storage.

use std::sync::Arc;

use bytes::Bytes;
use journal::{
    AppendError, CommandId, CommandRecord, Commit, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Journal, ReadError,
    Register, RegisterError, RegisterExpect, Registers, Revision, epoch_of,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::super::peers::PeerPlace;
use crate::delivery::{Decision, DeliveryError, Seams};

const PREFIX: &str = "subscription/";
/// The platform's entity type for subscriptions.
const SUBSCRIPTION: &str = "$subscription";

#[derive(Serialize, Deserialize)]
struct Stored {
    place: String,
    here: String,
}

/// The register of a subscription, held by this process.
pub(super) struct Lease {
    registers: Arc<dyn Registers>,
    name: String,
    epoch: u64,
    revision: Revision,
}

/// What is known of a place when a subscription begins to work.
pub(super) enum Held {
    /// It is here.
    Here(Lease, PeerPlace),
    /// It had one, and it is lost.
    Lost,
}

impl Lease {
    /// Takes the place over, or makes a first one. One that the journal knows and the registers do not has lost its place.
    pub(super) async fn take(seams: &Seams, topic: &str, first: PeerPlace) -> Result<Held, DeliveryError> {
        let name = format!("{PREFIX}{topic}");
        let memory = Memory::new(&seams.journal, topic);
        let Some(register) = seams.registers.get(&name).await? else {
            if memory.knows().await? {
                return Ok(Held::Lost);
            }
            let here = seams.journal.head().await?;
            let lease = Self::make(seams, name, &first, here).await?;
            memory.append("created", "subscription-created", &json!({ "place": first.text() }), &Context::default()).await?;
            return Ok(Held::Here(lease, first));
        };
        let (epoch, stored) = decode(&register)?;
        let Some(place) = PeerPlace::parse(&stored.place) else { return Ok(Held::Lost) };
        memory.append("created", "subscription-created", &json!({ "place": stored.place }), &Context::default()).await?;
        let epoch = epoch + 1;
        let revision = seams.registers.put(&name, RegisterExpect::Revision(register.revision), encode(epoch, &stored)).await?;
        Ok(Held::Here(Self { registers: Arc::clone(&seams.registers), name, epoch, revision }, place))
    }

    /// A person gives it this place, whatever there was. What was decided is remembered before it takes effect.
    pub(super) async fn place_anew(seams: &Seams, topic: &str, place: &PeerPlace, why: &Decision) -> Result<(), DeliveryError> {
        let memory = Memory::new(&seams.journal, topic);
        let sequence = seams.journal.entity_head(&memory.entity).await?.map_or(0, |head| head.sequence);
        let payload = json!({ "place": place.text(), "reason": why.reason });
        memory.append(&format!("placed {sequence}"), "subscription-placed", &payload, &why.context).await?;
        let (name, here) = (format!("{PREFIX}{topic}"), seams.journal.head().await?);
        let stored = Stored { place: place.text().to_owned(), here: here.to_string() };
        let (epoch, expect) = match seams.registers.get(&name).await? {
            // Another owner that is still there is refused from here on.
            Some(register) => (epoch_of(&register.value).unwrap_or(0) + 1, RegisterExpect::Revision(register.revision)),
            None => (1, RegisterExpect::Absent),
        };
        seams.registers.put(&name, expect, encode(epoch, &stored)).await?;
        Ok(())
    }

    async fn make(seams: &Seams, name: String, place: &PeerPlace, here: Cursor) -> Result<Self, DeliveryError> {
        let stored = Stored { place: place.text().to_owned(), here: here.to_string() };
        let revision = seams.registers.put(&name, RegisterExpect::Absent, encode(1, &stored)).await?;
        Ok(Self { registers: Arc::clone(&seams.registers), name, epoch: 1, revision })
    }

    /// Moves on; durable when it returns. A conflict says that another owner has taken over.
    pub(super) async fn write(&mut self, place: &PeerPlace, here: Cursor) -> Result<(), RegisterError> {
        let stored = Stored { place: place.text().to_owned(), here: here.to_string() };
        self.revision = self.registers.put(&self.name, RegisterExpect::Revision(self.revision), encode(self.epoch, &stored)).await?;
        Ok(())
    }
}

/// Marks a place as lost that is newer than the journal; whether it was.
pub(super) async fn lose_if_foreign(seams: &Seams, topic: &str) -> Result<bool, DeliveryError> {
    let Some(register) = seams.registers.get(&format!("{PREFIX}{topic}")).await? else { return Ok(false) };
    let Ok((epoch, stored)) = decode(&register) else { return Ok(false) };
    let head = seams.journal.head().await?.position();
    let is_ours = stored.here.parse().is_ok_and(|here| seams.journal.lineage().resolve(here, head, 0).is_ok());
    if is_ours || stored.place.is_empty() {
        return Ok(false);
    }
    let lost = Stored { place: String::new(), here: stored.here };
    seams.registers.put(&register.name, RegisterExpect::Revision(register.revision), encode(epoch, &lost)).await?;
    Ok(true)
}

fn encode(epoch: u64, stored: &Stored) -> Bytes {
    let mut bytes = epoch.to_be_bytes().to_vec();
    serde_json::to_writer(&mut bytes, stored).expect("texts always encode");
    bytes.into()
}

fn decode(register: &Register) -> Result<(u64, Stored), RegisterError> {
    let read = || Some((epoch_of(&register.value)?, serde_json::from_slice(register.value.get(8..)?).ok()?));
    read().ok_or_else(|| RegisterError::Unavailable { cause: format!("register {} is not readable by this version", register.name) })
}

/// What the journal remembers of a subscription.
struct Memory<'a> {
    journal: &'a Arc<dyn Journal>,
    entity: EntityKey,
}

impl<'a> Memory<'a> {
    fn new(journal: &'a Arc<dyn Journal>, topic: &str) -> Self {
        Self { journal, entity: EntityKey::new(SUBSCRIPTION, topic).expect("the names of topics are ids") }
    }

    /// Whether the subscription has ever had a place.
    async fn knows(&self) -> Result<bool, DeliveryError> {
        Ok(self.journal.find_command(&self.entity, id("created")).await?.is_some())
    }

    async fn append(&self, what: &str, name: &str, payload: &Json, context: &Context) -> Result<(), DeliveryError> {
        let event = EventData {
            name: name.into(),
            version: 1,
            content: ContentType::Json,
            flags: EventFlags::default(),
            tags: Vec::new(),
            payload: payload.to_string().into_bytes().into(),
        };
        let command = CommandRecord {
            entity: self.entity.clone(),
            id: id(what),
            name: name.into(),
            fingerprint: None,
            context: context.clone(),
            reply: Bytes::new(),
            events: vec![event],
        };
        match self.journal.append(Commit { commands: vec![command], ..Commit::default() }).await {
            Ok(_) | Err(AppendError::Duplicate { .. }) => Ok(()),
            Err(error) => Err(ReadError::Unavailable { cause: error.to_string() }.into()),
        }
    }
}

/// An id that no client can send: it has a control character.
fn id(text: &str) -> CommandId {
    CommandId::from_raw(format!("{text}\0").as_bytes())
}
