//! A command as the runtime carries it: its id checked or minted, its fingerprint taken, its context complete.

use std::sync::Arc;

use bytes::Bytes;
use component::hosted::CommandContext;
use journal::limits::COMMAND_ID_BYTES_MAX;
use journal::seams::{Clock, Random};
use journal::{CommandId, CommandRecord, CommitId, Context, EntityKey, EventData, Expect, Fingerprint, FoundCommand, Lineage, Timestamp};

use crate::personal::Subjects;
use crate::request::{CommandError, CommandOutcome};

/// What a caller asked for, but for its target.
pub(crate) struct Asked {
    /// The raw id.
    pub(crate) text: String,
    /// Whether the client gave the id: a minted one is new by construction, nobody needs to look for it.
    pub(crate) given: bool,
    pub(crate) id: CommandId,
    pub(crate) name: Arc<str>,
    pub(crate) body: Bytes,
    /// `None` for ids that derive: code that has changed since the first run is no mismatch.
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) context: Context,
    /// How many erasures there had been when it came: what it was made of, and what is made of it, is not younger.
    stamp: u64,
    /// What is recorded with it, or neither is.
    pub(crate) beside: Option<Beside>,
    /// When the timer that sends it was due.
    pub(crate) timer_due_micros: Option<i64>,
}

/// A record of another key that goes into the commit of a command that leaves events. When its key is not as it expects, or it is there
/// already, neither is written, and the command is answered with [`CommandError::PreconditionFailed`].
pub(crate) struct Beside {
    pub(crate) record: CommandRecord,
    pub(crate) expect: Expect,
}

/// Where a command's id comes from.
pub(crate) enum AskedId {
    /// From its sender, or from nobody: then one is minted.
    Client(Option<String>),
    /// From the platform: it has a control character, so that no client can send it. And how many erasures there had been when what it sends
    /// was read.
    Derived(String, u64),
    /// From its sender, when the command was accepted; the fingerprint is the one of the body as it was sent. And how
    /// many erasures there had been when it was read.
    Accepted(String, Option<Fingerprint>, u64),
}

impl AskedId {
    fn stamp(&self) -> u64 {
        match self {
            Self::Client(_) => u64::MAX,
            Self::Derived(_, stamp) | Self::Accepted(_, _, stamp) => *stamp,
        }
    }
}

impl From<Option<String>> for AskedId {
    fn from(id: Option<String>) -> Self {
        Self::Client(id)
    }
}

/// What mints ids and tells the time.
pub(crate) struct Mint {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) subjects: Option<Arc<Subjects>>,
}

impl Mint {
    /// How many erasures are seen through.
    fn erasures(&self) -> u64 {
        self.subjects.as_ref().map_or(0, |subjects| subjects.erasures())
    }

    /// How many have begun.
    pub(crate) fn begun_erasures(&self) -> u64 {
        self.subjects.as_ref().map_or(0, |subjects| subjects.begun_erasures())
    }

    fn id(&self) -> String {
        let mut random = [0; 10];
        self.random.fill(&mut random);
        CommitId::from_parts(self.clock.now(), random).to_string()
    }
}

impl Asked {
    pub(crate) fn new(
        (name, body): (Arc<str>, Bytes),
        id: AskedId,
        mut context: Context,
        lineage: &Lineage,
        mint: &Mint,
    ) -> Result<Self, CommandError> {
        let fingerprint = || Some(lineage.fingerprint(&name, &body));
        let stamp = mint.erasures().min(id.stamp());
        let (text, given, fingerprint) = match id {
            AskedId::Client(Some(id)) => (checked(id)?, true, fingerprint()),
            AskedId::Client(None) => (mint.id(), false, fingerprint()),
            AskedId::Derived(id, _) => (id, true, None),
            AskedId::Accepted(id, fingerprint, _) => (id, true, fingerprint),
        };
        if context.correlation_id.is_none() {
            context.correlation_id = Some(text.as_str().into());
        }
        let id = CommandId::from_raw(text.as_bytes());
        Ok(Self { id, text, given, name, body, fingerprint, context, stamp, beside: None, timer_due_micros: None })
    }

    /// The same, sent by a timer that was due then, and recorded with what says that it has fired.
    pub(crate) fn of_timer(self, due_micros: i64, beside: Beside) -> Self {
        Self { beside: Some(beside), timer_due_micros: Some(due_micros), ..self }
    }

    /// Whether a refusal of the journal is about what is recorded with it.
    pub(crate) fn is_about_beside(&self, entity: &EntityKey) -> bool {
        self.beside.as_ref().is_some_and(|beside| beside.record.entity == *entity)
    }

    /// What a rule may know. `time` is the entity's last one: its clock never goes back.
    pub(crate) fn context_for(&self, entity: &EntityKey, sequence: u64, time: Timestamp, mint: &Mint) -> CommandContext {
        CommandContext {
            entity_id: entity.id().to_owned(),
            tenant: entity.tenant().to_owned(),
            time_micros: mint.clock.now().max(time).as_micros(),
            principal: self.context.principal.as_deref().map(str::to_owned),
            correlation_id: self.context.correlation_id.as_deref().map(str::to_owned),
            sequence,
            timer_due_micros: self.timer_due_micros,
            erasures: self.stamp,
        }
    }

    /// The record that remembers this command on an entity.
    pub(crate) fn record(&self, entity: EntityKey, reply: Bytes, events: Vec<EventData>) -> CommandRecord {
        CommandRecord {
            entity,
            id: self.id,
            name: Arc::clone(&self.name),
            fingerprint: self.fingerprint,
            context: self.context.clone(),
            reply,
            events,
        }
    }

    /// The record of a further entity in the same commit: under an id of its own, which no client can send (it has a control
    /// character), and which names the entity that remembers the command.
    pub(crate) fn further_record(&self, first: &EntityKey, index: usize, entity: EntityKey, events: Vec<EventData>) -> CommandRecord {
        let raw = format!("{}\0{}\0{}\0{}\0{index}", self.text, first.tenant(), first.kind(), first.id());
        CommandRecord {
            entity,
            id: CommandId::from_raw(raw.as_bytes()),
            name: Arc::clone(&self.name),
            fingerprint: None,
            context: self.context.clone(),
            reply: Bytes::new(),
            events,
        }
    }

    /// How many erasures there had been when it came.
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Whether an erasure has begun since it came. What it records of the subject is kept as erased, so that a state after it, which has it
    /// in the plain, must be forgotten and read again.
    pub(crate) fn is_overtaken(&self, mint: &Mint) -> bool {
        self.stamp < mint.begun_erasures()
    }

    /// Whether another command under this id is the same one.
    pub(crate) fn is_same(&self, name: &str, fingerprint: Option<Fingerprint>) -> bool {
        *self.name == *name && self.fingerprint.zip(fingerprint).is_none_or(|(ours, first)| ours == first)
    }

    /// The first reply, given again.
    pub(crate) fn replay(&self, first: &FoundCommand) -> Result<CommandOutcome, CommandError> {
        if !self.is_same(&first.name, first.fingerprint) {
            return Err(CommandError::Mismatch);
        }
        Ok(CommandOutcome {
            id: self.text.clone(),
            reply: first.reply.clone().ok_or(CommandError::ReplyGone)?,
            sequence: first.sequence,
            cursor: first.cursor,
            // A minted id can only meet itself: a commit of unknown outcome that was sent again.
            replayed: self.given,
            recorded: true,
            durability: journal::Durability::Durable,
        })
    }
}

/// What the id of a command may be.
pub(crate) fn checked(id: String) -> Result<String, CommandError> {
    let problem = if id.is_empty() {
        "is empty".to_owned()
    } else if id.len() > COMMAND_ID_BYTES_MAX {
        format!("has {} bytes; at most {COMMAND_ID_BYTES_MAX} are allowed", id.len())
    } else if id.chars().any(char::is_control) {
        "has a control character".to_owned()
    } else {
        return Ok(id);
    };
    Err(CommandError::InvalidId { message: problem })
}
