//! Topics: messages from outside, carried by the journal.
//!
//! A message is an event of the platform's entity `$topic`, one for each topic and key, so that messages of a key keep their
//! order; the event's name is the topic's, so that a reader can ask for one topic. What makes a message the same one is its
//! source and id: its command record lies on `$message/{topic}`, which never has an event and knows every message of the topic
//! for ever, whatever its key (a rule remembers its commands in the same way). A message that comes again is answered with the
//! place of the first one; another one under the same source and id is refused.
//!
//! ```text
//! $message/{topic}       command records only, id of (source, id), fingerprint over the content
//! $topic/{topic}/{key}   the messages of a key; a key that fits no id, and a message without one, have a hash behind `~`
//! ```
//!
//! Messages that come together are taken one by one: what one of them is refused for does not touch the others. Up to
//! [`PUBLISH_MESSAGES_MAX`] share a commit, in their order; once the engine has failed one commit, nothing behind it is taken,
//! so that no message overtakes an earlier one of its key.

mod message;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use component::hosted::personal_mark::is_reserved;
use component::hosted::{Refusal, TOPIC_TYPE, TopicDescription, TopicHandle, UNFIT};
use journal::limits::{CONTEXT_TEXT_BYTES_MAX, EVENT_BYTES_MAX};
use journal::{
    AppendError, CommandId, CommandRecord, Commit, Committed, ContentType, Context, Cursor, Durability, EntityKey, EventData, EventFlags,
    Fingerprint, FoundCommand, Journal, ReadError,
};

use serde::de::IgnoredAny;
use serde_json::Value as Json;

use crate::flight::Flight;
use crate::isolation::isolated;
use crate::limits::{PUBLISH_BYTES_MAX, PUBLISH_MESSAGES_MAX, UNFIT_CAUSE_CHARS_MAX};
use crate::request::CommandError;
pub use message::{MessageData, TopicMessage};

/// The platform's entity type that remembers which messages there have been.
const MEMORY: &str = "$message";
const PUBLISH: &str = "publish";
/// What is said of a name that only we write.
pub(crate) const RESERVED: &str = "the keys `$personal` and `$sealed` are the platform's own";

/// A message that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// A place that has seen it.
    pub cursor: Cursor,
    /// True when it was there already.
    pub replayed: bool,
    /// How durable it is.
    pub durability: Durability,
}

/// What became of messages of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FromPeer {
    /// How many did not fit.
    pub(crate) unfit: u64,
    /// How many were there already.
    pub(crate) repeated: u64,
    /// A place that has seen all of them.
    pub(crate) cursor: Option<Cursor>,
}

/// What became of one message.
pub type PublishAnswer = Result<Published, CommandError>;

/// The topics of a service.
pub(crate) struct Topics {
    journal: Arc<dyn Journal>,
    /// Whom messages of the service's own code are from.
    source: String,
    topics: Vec<TopicHandle>,
}

/// A message of the service's own code.
pub(crate) struct OwnMessage<'a> {
    pub(crate) topic: &'a str,
    pub(crate) key: String,
    /// As JSON.
    pub(crate) data: Bytes,
    /// What it is known by: no client can send it.
    pub(crate) id: &'a str,
    pub(crate) context: &'a Context,
    /// How many erasures there had been when it was made, where that is not now.
    pub(crate) stamp: Option<u64>,
}

/// A message that is fit for the journal.
struct Prepared {
    /// Its place among those that came together.
    at: usize,
    raw_id: String,
    id: CommandId,
    /// None where the id alone says which message it is.
    fingerprint: Option<Fingerprint>,
    records: [CommandRecord; 2],
    bytes: usize,
}

impl Topics {
    pub(crate) fn new(journal: Arc<dyn Journal>, service: &str, topics: Vec<TopicHandle>) -> Self {
        Self { journal, source: format!("/{service}"), topics }
    }

    pub(crate) fn descriptions(&self) -> Vec<&TopicDescription> {
        self.topics.iter().map(|topic| topic.description()).collect()
    }

    /// Takes messages of clients, in their order; an answer for each.
    pub(crate) async fn publish(
        &self,
        topic: &str,
        messages: Vec<TopicMessage>,
        context: &Context,
    ) -> Result<Vec<PublishAnswer>, CommandError> {
        let hosted = self.find(topic)?;
        let (mut answers, mut queue) = (Vec::with_capacity(messages.len()), VecDeque::new());
        for (at, message) in messages.iter().enumerate() {
            match self.foreign(message).and_then(|()| self.prepare((hosted, at), message, None, context)) {
                Ok(prepared) => queue.push_back(prepared),
                Err(error) => answers.push((at, Err(error))),
            }
        }
        while !queue.is_empty() {
            if let Err(error) = self.take(next_chunk(&mut queue), &mut answers).await {
                answers.extend(queue.drain(..).map(|behind| (behind.at, Err(error.clone()))));
            }
        }
        answers.sort_by_key(|(at, _)| *at);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Nobody else sends as the service: `source` and `id` of what its code publishes are never another message's.
    fn foreign(&self, message: &TopicMessage) -> Result<(), CommandError> {
        if message.source != self.source {
            return Ok(());
        }
        let message = format!("`{}` is the service itself, which alone sends under it; choose another source", self.source);
        Err(CommandError::Refused(Refusal::Invalid { pointer: "/source".to_owned(), message }))
    }

    /// Takes a message of the service's own code. Its id says which one it is: code that has changed since it was published first publishes
    /// no other one.
    pub(crate) async fn publish_own(&self, own: OwnMessage<'_>) -> PublishAnswer {
        let hosted = self.find(own.topic)?;
        let message = self.own_message(own.topic, own.key, own.data, own.id)?;
        let prepared = self.prepare((hosted, 0), &message, own.stamp, own.context)?.under(own.id);
        let mut answers = Vec::with_capacity(1);
        // A failure is its answer, too.
        let _failed = self.take(vec![prepared], &mut answers).await.is_err();
        answers.into_iter().map(|(_, answer)| answer).next().expect("what is taken is answered")
    }

    fn own_message(&self, topic: &str, key: String, data: Bytes, id: &str) -> Result<TopicMessage, CommandError> {
        if key.is_empty() || key.chars().any(char::is_control) {
            let problem = if key.is_empty() { "is empty" } else { "has a control character" };
            let message = format!("the key of a message to `{topic}` {problem}; let it be what puts its messages into an order");
            return Err(CommandError::Refused(Refusal::Broken { message }));
        }
        let kind = format!("{}.{topic}", self.source.trim_start_matches('/'));
        Ok(TopicMessage {
            id: CommandId::from_raw(id.as_bytes()).to_string(),
            source: self.source.clone(),
            attributes: vec![("subject".to_owned(), key.into()), ("type".to_owned(), kind.into())],
            data: Some(MessageData::Json(data)),
        })
    }

    /// Takes messages of a peer's stream, in their order; an answer for each. What does not fit the topic is taken with the reason in it,
    /// so that its key stops where it is read, and nothing is left out.
    pub(crate) async fn take_from_peer(&self, topic: &str, messages: Vec<TopicMessage>) -> Result<FromPeer, CommandError> {
        let hosted = self.find(topic)?;
        let (mut unfit, mut queue, mut answers) = (0, VecDeque::new(), Vec::with_capacity(messages.len()));
        for (at, message) in messages.iter().enumerate() {
            let (prepared, is_fit) = self.prepare_of_peer(hosted, at, message)?;
            unfit += u64::from(!is_fit);
            queue.push_back(prepared);
        }
        while !queue.is_empty() {
            self.take(next_chunk(&mut queue), &mut answers).await?;
        }
        let (mut repeated, mut cursor) = (0, None::<Cursor>);
        for (_, answer) in answers {
            let published = answer?;
            repeated += u64::from(published.replayed);
            cursor = cursor.into_iter().chain([published.cursor]).max_by_key(|cursor| cursor.position());
        }
        Ok(FromPeer { unfit, repeated, cursor })
    }

    /// A message that a person has edited, with its personal values as marks.
    pub(crate) fn marked(&self, topic: &str, mut message: Json) -> Result<Json, String> {
        let Ok(hosted) = self.find(topic) else { return Ok(message) };
        let Some(data) = message.get("data").map(ToString::to_string) else { return Ok(message) };
        let marked = isolated(|| hosted.marked(data.as_bytes(), None)).map_err(|panic| panic.during("the topic"))?;
        if let Some(marked) = marked.map_err(|refusal| refusal.to_string())? {
            message["data"] = serde_json::from_slice(&marked).map_err(|error| error.to_string())?;
        }
        Ok(message)
    }

    fn find(&self, name: &str) -> Result<&TopicHandle, CommandError> {
        let known = || self.topics.iter().map(|topic| topic.description().name).collect();
        let found = self.topics.iter().find(|topic| topic.description().name == name);
        found.ok_or_else(|| CommandError::UnknownTarget { name: name.to_owned(), known: known() })
    }

    /// `stamp` is how many erasures there had been when it was made, where that is not now.
    fn prepare(
        &self,
        (topic, at): (&TopicHandle, usize),
        message: &TopicMessage,
        stamp: Option<u64>,
        context: &Context,
    ) -> Result<Prepared, CommandError> {
        let broken = |message: String| CommandError::Refused(Refusal::Broken { message });
        unreserved(message)?;
        let check = || topic.check(message.json()).and_then(|()| message.json().map_or(Ok(None), |json| topic.marked(json, stamp)));
        let marked = isolated(check).map_err(|panic| broken(panic.during("the topic")))?.map_err(in_data)?;
        self.prepare_unchecked((topic, at), message, marked, context)
    }

    /// The same for a message whose data is not looked at; `marked` stands for it where it is there.
    fn prepare_unchecked(
        &self,
        (topic, at): (&TopicHandle, usize),
        message: &TopicMessage,
        marked: Option<Vec<u8>>,
        context: &Context,
    ) -> Result<Prepared, CommandError> {
        let broken = |message: String| CommandError::Refused(Refusal::Broken { message });
        let payload = match marked {
            Some(data) => TopicMessage { data: Some(MessageData::Json(data.into())), ..message.clone() }.encode(),
            None => message.encode(),
        };
        if payload.len() > EVENT_BYTES_MAX {
            return Err(CommandError::TooLarge { what: "bytes of a message", limit: EVENT_BYTES_MAX, actual: payload.len() });
        }
        let name = topic.description().name;
        let raw_id = format!("{}\0{}", message.source, message.id);
        let id = CommandId::from_raw(raw_id.as_bytes());
        let fingerprint = self.journal.lineage().fingerprint(PUBLISH, &message.canonical());
        let bytes = payload.len();
        let context = completed(context, message);
        let memory = record(key(MEMORY, name).map_err(&broken)?, id, Some(fingerprint), &context, Vec::new());
        let event_id = CommandId::from_raw(format!("{raw_id}\0event").as_bytes());
        let event = record(entity(name, message).map_err(&broken)?, event_id, None, &context, vec![event(name, payload.into())]);
        Ok(Prepared { at, raw_id, id, fingerprint: Some(fingerprint), records: [memory, event], bytes })
    }

    /// A message of a peer, and whether it fits. Its id says which one it is: a peer that words it otherwise by now sends no other one.
    fn prepare_of_peer(&self, topic: &TopicHandle, at: usize, message: &TopicMessage) -> Result<(Prepared, bool), CommandError> {
        let causation_id = Some(&*message.id).filter(|id| (1..=CONTEXT_TEXT_BYTES_MAX).contains(&id.len())).map(Arc::from);
        let context = Context { causation_id, ..Context::default() };
        let by_its_id = |prepared: Prepared| {
            let mut prepared = prepared;
            prepared.records[0].fingerprint = None;
            Prepared { fingerprint: None, ..prepared }
        };
        let why = match self.prepare((topic, at), message, None, &context) {
            Ok(prepared) => return Ok((by_its_id(prepared), true)),
            Err(why) => why.to_string(),
        };
        let unfit = |data: Option<MessageData>| {
            let mut attributes = message.attributes.clone();
            attributes.push((UNFIT.to_owned(), why.chars().take(UNFIT_CAUSE_CHARS_MAX).collect::<String>().into()));
            TopicMessage { data, attributes, ..message.clone() }
        };
        // What is personal cannot be told apart in what does not fit: then the data stays with the peer.
        let may_stay = !topic.is_personal() && unreserved(message).is_ok();
        let kept = may_stay.then(|| self.prepare_unchecked((topic, at), &unfit(message.data.clone()), None, &context).ok()).flatten();
        let prepared = match kept {
            Some(prepared) => prepared,
            None => self.prepare_unchecked((topic, at), &unfit(None), None, &context)?,
        };
        Ok((by_its_id(prepared), false))
    }

    /// Takes messages in one commit, but for those that are there already. An error is the engine's, and about all the rest.
    async fn take(&self, mut chunk: Vec<Prepared>, answers: &mut Vec<(usize, PublishAnswer)>) -> Result<(), CommandError> {
        while !chunk.is_empty() {
            let commands = chunk.iter().flat_map(|prepared| prepared.records.clone()).collect();
            let flight = Flight::launch(&self.journal, Commit { commands, ..Commit::default() }, &[]);
            match flight.landed().await {
                Ok(committed) => answers.extend(chunk.drain(..).map(|prepared| (prepared.at, Ok(published(committed))))),
                Err(AppendError::Duplicate { index, first }) => {
                    let known = chunk.remove(index / 2);
                    answers.push((known.at, replayed(&known, first)));
                    self.replay_known(&mut chunk, answers).await?;
                }
                Err(AppendError::Mismatch { index, .. }) => {
                    let known = chunk.remove(index / 2);
                    answers.push((known.at, Err(CommandError::Mismatch)));
                    self.replay_known(&mut chunk, answers).await?;
                }
                Err(error) => {
                    answers.extend(chunk.drain(..).map(|failed| (failed.at, Err(failure(&failed.raw_id, error)))));
                    return Err(failure("", error));
                }
            }
        }
        Ok(())
    }

    /// Who sends one message again mostly sends all of them again.
    async fn replay_known(&self, chunk: &mut Vec<Prepared>, answers: &mut Vec<(usize, PublishAnswer)>) -> Result<(), CommandError> {
        let mut fresh = Vec::with_capacity(chunk.len());
        let mut failed = None;
        for prepared in chunk.drain(..) {
            let found = match failed {
                None => self.journal.find_command(&prepared.records[0].entity, prepared.id).await,
                Some(_) => Ok(None),
            };
            match found {
                Ok(Some(first)) => answers.push((prepared.at, replayed(&prepared, &first))),
                Ok(None) => fresh.push(prepared),
                Err(error) => {
                    failed = Some(unreadable(&error));
                    fresh.push(prepared);
                }
            }
        }
        let Some(error) = failed else {
            *chunk = fresh;
            return Ok(());
        };
        answers.extend(fresh.into_iter().map(|prepared| (prepared.at, Err(error.clone()))));
        Err(error)
    }
}

impl Prepared {
    /// The same, known by an id of the platform's alone.
    fn under(mut self, raw_id: &str) -> Self {
        self.id = CommandId::from_raw(raw_id.as_bytes());
        (self.fingerprint, self.raw_id) = (None, raw_id.to_owned());
        let [memory, event] = &mut self.records;
        (memory.id, memory.fingerprint) = (self.id, None);
        event.id = CommandId::from_raw(format!("{raw_id}\0event").as_bytes());
        self
    }
}

/// As many as one commit takes; a message that is there twice begins another one.
fn next_chunk(queue: &mut VecDeque<Prepared>) -> Vec<Prepared> {
    let (mut chunk, mut bytes, mut ids) = (Vec::new(), 0, HashSet::new());
    while let Some(next) = queue.front() {
        let is_full = chunk.len() == PUBLISH_MESSAGES_MAX || (bytes + next.bytes > PUBLISH_BYTES_MAX && !chunk.is_empty());
        if is_full || !ids.insert(next.id) {
            break;
        }
        bytes += next.bytes;
        chunk.extend(queue.pop_front());
    }
    chunk
}

/// No sender writes what only we write, also where the topic's type lets anything stand.
fn unreserved(message: &TopicMessage) -> Result<(), CommandError> {
    // What is no JSON is refused as such.
    let is_json = |json: &&[u8]| serde_json::from_slice::<IgnoredAny>(json).is_ok();
    if message.json().filter(is_json).is_some_and(is_reserved) {
        let message = format!("{RESERVED}; choose another one");
        return Err(CommandError::Refused(Refusal::Invalid { pointer: "/data".to_owned(), message }));
    }
    Ok(())
}

/// What the data is refused for, with a pointer that begins at the message.
fn in_data(refusal: Refusal) -> CommandError {
    CommandError::Refused(match refusal {
        Refusal::Invalid { pointer, message } => Refusal::Invalid { pointer: format!("/data{pointer}"), message },
        Refusal::Syntax { message } => Refusal::Invalid { pointer: "/data".to_owned(), message: format!("is not JSON: {message}") },
        other => other,
    })
}

/// The entity that carries a message.
fn entity(topic: &str, message: &TopicMessage) -> Result<EntityKey, String> {
    let hashed = |text: &str| key(TOPIC_TYPE, &format!("{topic}/~{}", CommandId::from_raw(text.as_bytes())));
    match message.key() {
        // A text of a client has no control character: no key has the hash of a message that stands alone.
        None => hashed(&format!("{}\0{}", message.source, message.id)),
        Some(text) if text.starts_with('~') => hashed(text),
        Some(text) => key(TOPIC_TYPE, &format!("{topic}/{text}")).or_else(|_| hashed(text)),
    }
}

fn key(kind: &str, id: &str) -> Result<EntityKey, String> {
    EntityKey::new(kind, id).map_err(|error| error.to_string())
}

/// What the message itself says of who and why, where the request says nothing.
fn completed(context: &Context, message: &TopicMessage) -> Context {
    let fits = |text: &&str| (1..=CONTEXT_TEXT_BYTES_MAX).contains(&text.len());
    let attribute = |name: &str| message.text(name).filter(fits).map(Arc::from);
    let id = || Some(message.id.as_str()).filter(fits).map(Arc::from);
    Context {
        correlation_id: context.correlation_id.clone().or_else(|| attribute("correlationid")).or_else(id),
        traceparent: context.traceparent.clone().or_else(|| attribute("traceparent")),
        ..context.clone()
    }
}

fn record(entity: EntityKey, id: CommandId, fingerprint: Option<Fingerprint>, context: &Context, events: Vec<EventData>) -> CommandRecord {
    CommandRecord { entity, id, name: PUBLISH.into(), fingerprint, context: context.clone(), reply: Bytes::new(), events }
}

fn event(topic: &str, payload: Bytes) -> EventData {
    EventData { name: topic.into(), version: 1, content: ContentType::Json, flags: EventFlags::default(), tags: Vec::new(), payload }
}

fn published(committed: &Committed) -> Published {
    Published { cursor: committed.cursor, replayed: false, durability: committed.durability }
}

fn replayed(message: &Prepared, first: &FoundCommand) -> PublishAnswer {
    if first.fingerprint.zip(message.fingerprint).is_some_and(|(first, second)| first != second) {
        return Err(CommandError::Mismatch);
    }
    Ok(Published { cursor: first.cursor, replayed: true, durability: Durability::Durable })
}

fn failure(raw_id: &str, error: &AppendError) -> CommandError {
    match error {
        AppendError::TooLarge { what, limit, actual } => CommandError::TooLarge { what, limit: *limit, actual: *actual },
        AppendError::Full => CommandError::Full,
        AppendError::Poisoned { cause } => CommandError::Poisoned { cause: cause.clone() },
        AppendError::Unknown { cause } => CommandError::Unknown { id: raw_id.replace('\0', " "), cause: cause.clone() },
        // Nothing is expected of these entities, and no fence stands before them.
        other => CommandError::Unavailable { cause: other.to_string() },
    }
}

fn unreadable(error: &ReadError) -> CommandError {
    match error {
        ReadError::Damaged { .. } => CommandError::Damaged { place: error.to_string() },
        other => CommandError::Unavailable { cause: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id_of(id: &str, attributes: &[(&str, &str)]) -> String {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let message = TopicMessage { id: id.into(), source: "/bank".into(), attributes, data: None };
        entity("payments", &message).map(|key| key.id().to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_key_makes_an_id_and_two_keys_never_the_same() {
        assert_eq!(id_of("1", &[("subject", "o1")]), "payments/o1");
        assert_eq!(id_of("1", &[("partitionkey", "p"), ("subject", "o1")]), "payments/p");
        assert_eq!(id_of("1", &[("subject", "..")]), "payments/..");
        let long = "x".repeat(300);
        let hashed = id_of("1", &[("subject", &long)]);
        assert!(hashed.starts_with("payments/~") && hashed == id_of("2", &[("subject", &long)]), "{hashed}");
        let imitated = hashed.trim_start_matches("payments/");
        assert_ne!(id_of("1", &[("subject", imitated)]), hashed);
        assert_ne!(id_of("1", &[]), id_of("2", &[]));
    }
}
