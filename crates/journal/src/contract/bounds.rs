//! Every bound of the contract: taken at it, refused one beyond it, with its number.

use bytes::Bytes;

use super::draft::{collect, command, commit, event, item, key, note, tagged};
use super::{Broken, Engine, Outcome, ensure, ensure_eq};
use crate::commit::{Commit, Context, EventData, Expect};
use crate::contract_traits::Capability;
use crate::cursor::Cursor;
use crate::error::{AppendError, AppendErrorKind};
use crate::limits;

/// One bound, and a commit that needs a given amount of it.
struct Bound {
    what: &'static str,
    limit: usize,
    needing: fn(usize) -> Commit,
    capability: Option<Capability>,
}

const BOUNDS: &[Bound] = &[
    Bound { what: "events", limit: limits::COMMIT_EVENTS_MAX, needing: events, capability: None },
    Bound { what: "commands", limit: limits::COMMIT_COMMANDS_MAX, needing: commands, capability: None },
    Bound {
        what: "expectations",
        limit: limits::COMMIT_EXPECTATIONS_MAX,
        needing: expectations,
        capability: Some(Capability::ForeignGuard),
    },
    Bound { what: "payload bytes", limit: limits::EVENT_BYTES_MAX, needing: payload, capability: None },
    Bound { what: "reply bytes", limit: limits::REPLY_BYTES_MAX, needing: reply, capability: None },
    Bound { what: "tags", limit: limits::EVENT_TAGS_MAX, needing: tags, capability: None },
    Bound { what: "bytes of an event name", limit: limits::NAME_BYTES_MAX, needing: event_name, capability: None },
    Bound { what: "bytes of a command name", limit: limits::NAME_BYTES_MAX, needing: command_name, capability: None },
    Bound { what: "bytes of a context text", limit: limits::CONTEXT_TEXT_BYTES_MAX, needing: context_text, capability: None },
    Bound {
        what: "condition items",
        limit: limits::CONDITION_ITEMS_MAX,
        needing: condition_items,
        capability: Some(Capability::TagCondition),
    },
];

fn of_event(event: EventData) -> Commit {
    commit([command(&key("e"), "c", vec![event])])
}

fn events(count: usize) -> Commit {
    commit([command(&key("e"), "c", vec![event("noted"); count])])
}

fn commands(count: usize) -> Commit {
    let record = |number: usize| command(&key("e"), &number.to_string(), if number == 0 { vec![event("noted")] } else { Vec::new() });
    commit((0..count).map(record).collect::<Vec<_>>())
}

fn expectations(count: usize) -> Commit {
    (0..count).fold(note(&key("e"), "c"), |commit, number| commit.expecting(&key(&number.to_string()), Expect::New))
}

fn payload(bytes: usize) -> Commit {
    of_event(EventData { payload: Bytes::from(vec![b'x'; bytes]), ..event("noted") })
}

fn reply(bytes: usize) -> Commit {
    let mut commit = note(&key("e"), "c");
    commit.commands[0].reply = Bytes::from(vec![b'x'; bytes]);
    commit
}

fn tags(count: usize) -> Commit {
    let texts: Vec<String> = (0..count).map(|number| format!("n:{number}")).collect();
    of_event(tagged("noted", &texts.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn event_name(bytes: usize) -> Commit {
    of_event(event(&"n".repeat(bytes)))
}

fn command_name(bytes: usize) -> Commit {
    let mut commit = note(&key("e"), "c");
    commit.commands[0].name = "n".repeat(bytes).into();
    commit
}

fn context_text(bytes: usize) -> Commit {
    let mut commit = note(&key("e"), "c");
    commit.commands[0].context = Context { principal: Some("p".repeat(bytes).into()), ..Context::default() };
    commit
}

fn condition_items(count: usize) -> Commit {
    note(&key("e"), "c").unless(vec![item(&[], &["never:there"]); count], Cursor::BEGINNING)
}

/// As many bytes as a commit may have, all in payloads: too many once names and keys count.
fn whole_commit() -> Commit {
    let largest = EventData { payload: Bytes::from(vec![b'x'; limits::EVENT_BYTES_MAX]), ..event("noted") };
    commit([command(&key("e"), "c", vec![largest; limits::COMMIT_BYTES_MAX / limits::EVENT_BYTES_MAX])])
}

fn supported(engine: &Engine) -> impl Iterator<Item = &'static Bound> {
    let capabilities = engine.journal.capabilities();
    BOUNDS.iter().filter(move |bound| bound.capability.is_none_or(|capability| capabilities.has(capability)))
}

pub(super) async fn a_commit_at_each_bound_is_taken(engine: Engine) -> Outcome {
    let mut expected = 0;
    for (number, bound) in supported(&engine).enumerate() {
        let mut commit = (bound.needing)(bound.limit);
        // Each bound has an entity of its own.
        commit.commands.iter_mut().for_each(|command| command.entity = key(&format!("of bound {number}")));
        expected += commit.event_count();
        let taken =
            engine.append(commit).await.map_err(|error| Broken(format!("{} at the bound of {}: {error}", bound.what, bound.limit)))?;
        let read = engine.events_of(&key(&format!("of bound {number}"))).await?;
        ensure_eq!(read.last().map(|event| event.position), Some(taken.cursor.position()), "the last event of {}", bound.what);
    }
    ensure_eq!(collect(engine.all()).await?.len(), expected, "events of all commits");
    let mut nearly_all = whole_commit();
    nearly_all.commands[0].events[0].payload.truncate(limits::EVENT_BYTES_MAX - 4096);
    let sizes: Vec<usize> = nearly_all.commands[0].events.iter().map(|event| event.payload.len()).collect();
    engine.append(nearly_all).await?;
    let read: Vec<usize> = engine.events_of(&key("e")).await?.iter().map(|event| event.payload.len()).collect();
    ensure_eq!(read, sizes, "the payloads of a commit just below the bound of its bytes");
    Ok(())
}

pub(super) async fn a_commit_beyond_a_bound_is_refused_with_its_number(engine: Engine) -> Outcome {
    for bound in supported(&engine) {
        let error = engine.refused((bound.needing)(bound.limit + 1), bound.what).await?;
        let AppendError::TooLarge { limit, actual, .. } = error else { return Err(Broken(format!("{}: {error}", bound.what))) };
        ensure_eq!((limit, actual), (bound.limit, bound.limit + 1), "bound and amount of {}", bound.what);
    }
    let error = engine.refused(whole_commit(), "commit bytes").await?;
    let AppendError::TooLarge { limit, actual, .. } = error else { return Err(Broken(format!("commit bytes: {error}"))) };
    ensure!(limit == limits::COMMIT_BYTES_MAX && actual > limit, "commit bytes: {actual} of {limit}");
    engine.is_empty("refusals").await
}

pub(super) async fn a_malformed_commit_is_invalid(engine: Engine) -> Outcome {
    let (entity, other) = (key("e"), key("f"));
    let mut nameless = note(&entity, "c");
    nameless.commands[0].name = "".into();
    let twice = note(&entity, "c").expecting(&other, Expect::Any).expecting(&other, Expect::New);
    let cases = [
        ("a commit without commands", Commit::default()),
        ("a commit without events", commit([command(&entity, "c", Vec::new())])),
        ("a command without a name", nameless),
        ("an event without a name", of_event(event(""))),
        ("two expectations of one entity", twice),
        ("one id twice on one entity", commit([command(&entity, "c", vec![event("a")]), command(&entity, "c", vec![event("b")])])),
    ];
    for (what, commit) in cases {
        let error = engine.refused(commit, what).await?;
        ensure_eq!(error.kind(), AppendErrorKind::Invalid, "the kind of {what}");
    }
    engine.is_empty("refusals").await
}
