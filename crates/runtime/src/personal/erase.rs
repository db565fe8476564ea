//! Erasing a subject: a decision of a person that becomes an event, and the end of the subject's keys.
//!
//! ```text
//! $subject/{type}/{id}   erased { keys, reason, upto }   the ids of the keys that end with it; others that are not later end too
//! $keys/store            created { store }         the key store that this journal goes with; the last one counts
//! ```
//!
//! The event comes first: from then on the keys end, whatever happens. It names them, so that data that come after it, under a new key,
//! stay when it is carried out again. At every start each such event is carried out again: after a kill between the two, and when a key
//! store was brought back that is older than the erasure.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use journal::{
    AppendError, CommandId, CommandRecord, Commit, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Journal, Position,
    ReadError, ReadMode, Recorded, Selection,
};
use serde::{Deserialize, Serialize};

use super::Subjects;
use super::keys::{KeyStoreError, SubjectHash};
use crate::delivery::Decision;

const SUBJECT: &str = "$subject";
const ERASED: &str = "erased";
const KEYS: &str = "$keys";
const STORE: &str = "store";
const CREATED: &str = "created";

/// What an erasure came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The subject, such as `customer/c1`.
    pub subject: String,
    /// How many keys this call has destroyed: 0 when it was erased before, and when the store does not have them.
    pub keys: usize,
    /// The views that are made again without the subject's values, beside those that serve.
    pub views: Vec<&'static str>,
}

/// Why a subject was not erased.
#[derive(Clone, Debug)]
pub enum EraseError {
    /// No component of the service has personal data.
    NothingPersonal,
    /// There has never been a key for it.
    UnknownSubject,
    /// Its name breaks the rule.
    Invalid {
        /// What is wrong.
        problem: String,
    },
    /// The event was not recorded, or nobody knows; again is safe.
    Append(AppendError),
    /// The journal cannot be read.
    Read(ReadError),
    /// The event is there, and the keys could not be destroyed: again, or the next start, does it.
    Keys(KeyStoreError),
}

impl fmt::Display for EraseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingPersonal => formatter.write_str("no component of this service has personal data"),
            Self::UnknownSubject => formatter.write_str("nothing was ever kept under a key of this subject; see how its fields name it"),
            Self::Invalid { problem } => write!(formatter, "the subject {problem}"),
            Self::Append(error) => error.fmt(formatter),
            Self::Read(error) => error.fmt(formatter),
            Self::Keys(error) => write!(formatter, "the erasure is recorded and not carried out yet ({error}); erase it again"),
        }
    }
}

impl std::error::Error for EraseError {}

/// Why a service with personal data cannot begin.
#[derive(Clone, Debug)]
pub enum KeysUnfit {
    /// The journal goes with another store.
    OtherStore {
        /// The id that the journal knows.
        expected: String,
        /// The id of the one that is there.
        found: String,
    },
    /// The journal cannot be read or written.
    Journal(String),
    /// An erasure that was ordered cannot be carried out.
    Store(KeyStoreError),
}

impl fmt::Display for KeysUnfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherStore { expected, found } => {
                write!(formatter, "the journal's personal data are under the keys of the store {expected}, and this one is {found}")
            }
            Self::Journal(cause) => formatter.write_str(cause),
            Self::Store(error) => error.fmt(formatter),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Erased {
    keys: Vec<String>,
    reason: String,
    /// Keys of the subject up to this time end too: the store may have been a copy that did not have them.
    #[serde(default)]
    upto: i64,
}

#[derive(Serialize, Deserialize)]
struct Created {
    store: String,
}

impl Subjects {
    /// Sees that the key store is the journal's, and carries out every erasure that was ordered. Gives the place of the last one.
    pub(crate) async fn settle(&self, journal: &dyn Journal, lost: Option<&str>) -> Result<Position, KeysUnfit> {
        self.recognize(journal, lost).await?;
        let unreadable = |error: ReadError| KeysUnfit::Journal(error.to_string());
        let selection = Selection::Types(vec![format!("{SUBJECT}/{ERASED}").into()]);
        let (mut events, mut last) = (journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead), 0);
        while let Some(event) = events.next_event().await {
            let event = event.map_err(unreadable)?;
            self.carry_out(&event).map_err(KeysUnfit::Store)?;
            last = event.position;
        }
        // Nothing has been read yet.
        self.saw_through();
        Ok(last)
    }

    async fn recognize(&self, journal: &dyn Journal, lost: Option<&str>) -> Result<(), KeysUnfit> {
        let entity = EntityKey::new(KEYS, STORE).expect("names of ours");
        let found = format!("{:016x}", self.keys().store());
        let first = last_event(journal, &entity).await.map_err(|error| KeysUnfit::Journal(error.to_string()))?;
        let mut sequence = 0;
        if let Some(event) = first {
            let expected = serde_json::from_slice::<Created>(&event.payload).map(|created| created.store).unwrap_or_default();
            // Whoever has said once that keys are lost has said it of all data before, and nobody can tell them apart.
            self.is_lossy.store(event.sequence > 1 || lost == Some(&expected), SeqCst);
            if expected == found && (lost != Some(&expected) || event.sequence > 1) {
                return Ok(());
            }
            if lost != Some(&expected) {
                return Err(KeysUnfit::OtherStore { expected, found });
            }
            sequence = event.sequence;
        }
        let id = format!("create {found} {sequence}");
        let created = encode(&Created { store: found });
        match journal.append(commit(entity, CREATED, &id, Context::default(), created)).await {
            Ok(_) | Err(AppendError::Duplicate { .. }) => Ok(()),
            Err(error) => Err(KeysUnfit::Journal(error.to_string())),
        }
    }

    fn carry_out(&self, event: &Recorded) -> Result<usize, KeyStoreError> {
        let erased: Erased = serde_json::from_slice(&event.payload).unwrap_or(Erased { keys: Vec::new(), reason: String::new(), upto: 0 });
        let keys: Vec<u64> = erased.keys.iter().filter_map(|key| u64::from_str_radix(key, 16).ok()).collect();
        self.keys().destroy(SubjectHash::of(event.entity.tenant(), event.entity.id()), &keys, erased.upto)
    }

    /// Records the erasure of a subject and destroys its keys. Gives how many, and the place of the event when there is one.
    pub(crate) async fn erase(
        &self,
        journal: &dyn Journal,
        (tenant, subject): (&str, &str),
        why: &Decision,
    ) -> Result<(usize, Position), EraseError> {
        let entity = subject_key(tenant, subject).map_err(|problem| EraseError::Invalid { problem })?;
        let hash = SubjectHash::of(tenant, subject);
        let head = journal.entity_head(&entity).await.map_err(EraseError::Read)?;
        let (keys, upto) = {
            let (mut store, now) = (self.keys(), self.clock.now().as_micros());
            (store.of(hash), store.later(now))
        };
        if keys.is_empty() && !self.may_miss_keys(journal, (tenant, subject), head.is_some()).await? {
            return head.map(|head| (0, head.position)).ok_or(EraseError::UnknownSubject);
        }
        let erased = Erased { keys: keys.iter().map(|key| format!("{key:016x}")).collect(), reason: why.reason.clone(), upto };
        // The keys make the id: the same ones end once. Of keys that are not there nobody knows.
        let id = match keys.is_empty() {
            true => format!("erase upto {upto}"),
            false => format!("erase {}", erased.keys.join(" ")),
        };
        let position = match journal.append(commit(entity.clone(), ERASED, &id, why.context.clone(), encode(&erased))).await {
            Ok(committed) => committed.cursor.position(),
            Err(AppendError::Duplicate { .. }) => head.map_or(0, |head| head.position),
            Err(error) => return Err(EraseError::Append(error)),
        };
        let destroyed = self.keys().destroy(hash, &keys, upto).map_err(EraseError::Keys)?;
        Ok((destroyed, position))
    }

    /// Whether a subject without a key may have one that the store does not have: the store has missed some, or the subject is an entity
    /// that is there and was never erased.
    async fn may_miss_keys(&self, journal: &dyn Journal, (tenant, subject): (&str, &str), is_erased: bool) -> Result<bool, EraseError> {
        if self.misses_keys.load(SeqCst) {
            return Ok(true);
        }
        let entity = subject.split_once('/').and_then(|(kind, id)| EntityKey::with_tenant(tenant, kind, id).ok());
        match entity.filter(|_| !is_erased) {
            Some(entity) => journal.entity_head(&entity).await.map(|head| head.is_some()).map_err(EraseError::Read),
            None => Ok(false),
        }
    }
}

/// The entity of what is decided about a subject; the problem when no subject can have that name.
pub(super) fn subject_key(tenant: &str, subject: &str) -> Result<EntityKey, String> {
    let has_type = subject.split_once('/').is_some_and(|(kind, id)| !kind.is_empty() && !id.is_empty());
    if !has_type {
        return Err("must be a type and an id, such as `customer/c1`".to_owned());
    }
    EntityKey::with_tenant(tenant, SUBJECT, subject).map_err(|error| error.problem().to_owned())
}

async fn last_event(journal: &dyn Journal, entity: &EntityKey) -> Result<Option<Arc<Recorded>>, ReadError> {
    let Some(head) = journal.entity_head(entity).await? else { return Ok(None) };
    let selection = Selection::Entity { entity: entity.clone(), from_sequence: head.sequence };
    journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead).next_event().await.transpose()
}

fn commit(entity: EntityKey, name: &str, id: &str, context: Context, payload: Bytes) -> Commit {
    let event =
        EventData { name: name.into(), version: 1, content: ContentType::Json, flags: EventFlags::default(), tags: Vec::new(), payload };
    // No client can send such an id: it has a control character.
    let id = CommandId::from_raw(format!("{id}\0").as_bytes());
    let command = CommandRecord { entity, id, name: "erase".into(), fingerprint: None, context, reply: Bytes::new(), events: vec![event] };
    Commit { commands: vec![command], ..Commit::default() }
}

fn encode(payload: &impl Serialize) -> Bytes {
    serde_json::to_vec(payload).expect("texts always encode").into()
}
