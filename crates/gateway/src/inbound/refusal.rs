//! What the runtime and the journal say, as problems: the one place where their errors meet status codes.

use component::hosted::{Refusal, Rejected};
use http::header;
use journal::{Cursor, CursorError, InvalidError, ReadError};
use runtime::{CommandError, ConsumerError, EraseError, OrderError, QueryError, Runtime, StateError};

use super::Gateway;
use crate::problem::{
    BASELINE_UNFIT, BUSY, COMMIT_TOO_LARGE, CONSUMER_CONFLICT, CONSUMER_ELSEWHERE, CONSUMER_NOT_WORKING, CONSUMER_UNPLACED, CONTENDED,
    Code, DAMAGED, DECISION_STALE, DECISION_UNFIT, DELIVERY_STALE, DISK_FULL, ENGINE_UNAVAILABLE, ENTITY_NOT_FOUND, ERASURE_UNFINISHED,
    GONE, HISTORY_DIVERGED, HISTORY_GONE, IDEMPOTENCY_KEY_REUSED, INTERNAL, INVALID_CURSOR, INVALID_FIELD, INVALID_IDEMPOTENCY_KEY,
    INVALID_PARAMETER, INVALID_PATH, JOURNAL_STOPPED, MALFORMED_JSON, NOT_HELD, OUTCOME_UNKNOWN, PRECONDITION_FAILED, Problem,
    QUERY_TOO_SLOW, REJECTED, REPLY_GONE, SEQUENCE_BEYOND_HEAD, STOPPING, TOO_MANY_ROWS, UNKNOWN_COMMAND, UNKNOWN_CONSUMER,
    UNKNOWN_ENTITY_TYPE, UNKNOWN_OPERATION, UNKNOWN_QUERY, UNKNOWN_SUBJECT, UNKNOWN_TOPIC, UNKNOWN_VIEW, UNREADABLE, VIEW_BEHIND,
    VIEW_STOPPED, VIEW_UNAVAILABLE, WORKFLOW_NOT_FOUND,
};
use crate::{calendar, nearest};

/// What a command to an entity or an operation is told over HTTP when it has no outcome: the code, and what it is about. For doors beside
/// HTTP that say the same.
#[must_use]
pub fn told(error: CommandError, name: &str, is_operation: bool) -> (Code, String) {
    let problem = if is_operation { operation(error, name) } else { command(error, name) };
    (problem.code(), problem.detail().to_owned())
}

/// Why a command to an entity has no outcome.
pub(super) fn command(error: CommandError, command: &str) -> Problem {
    match error {
        CommandError::Refused(refusal) => refused(refusal, command),
        CommandError::UnknownTarget { name, known } => unknown_entity_type(&name, &known),
        other => machine(&other),
    }
}

/// Why an operation has no outcome.
pub(super) fn operation(error: CommandError, operation: &str) -> Problem {
    match error {
        CommandError::Refused(refusal) => refused(refusal, operation),
        CommandError::UnknownTarget { name, known } => unknown_operation(&name, &known),
        other => machine(&other),
    }
}

/// Why a timer takes no such command; the places are those of the wish's body.
pub(super) fn timer_command(error: CommandError) -> Problem {
    match error {
        CommandError::Refused(Refusal::Invalid { pointer, message }) => invalid_field(&format!("/send/body{pointer}"), &message),
        CommandError::UnknownTarget { name, known } => unknown_entity_type(&name, &known),
        CommandError::Refused(Refusal::UnknownCommand { known }) => {
            Problem::new(UNKNOWN_COMMAND, format!("/send/command: there is no such command; {}", nearest::hint("", &known)))
        }
        CommandError::Refused(refusal) => refused(refusal, ""),
        other => machine(&other),
    }
}

/// Why a workflow takes no such input or signal.
pub(super) fn workflow_command(error: CommandError) -> Problem {
    match error {
        CommandError::Refused(Refusal::UnknownCommand { known }) => {
            Problem::new(WORKFLOW_NOT_FOUND, format!("there is no such signal; {}", nearest::hint("", &known)))
        }
        CommandError::Refused(refusal) => refused(refusal, ""),
        other => machine(&other),
    }
}

fn refused(refusal: Refusal, name: &str) -> Problem {
    match refusal {
        Refusal::Rejected(rejected) => self::rejected(rejected),
        Refusal::UnknownCommand { known } => {
            Problem::new(UNKNOWN_COMMAND, format!("there is no command `{name}`; {}", nearest::hint(name, &known)))
        }
        Refusal::Syntax { message } => Problem::new(MALFORMED_JSON, message),
        Refusal::Invalid { pointer, message } => invalid_field(&pointer, &message),
        Refusal::Broken { message } => Problem::new(INTERNAL, format!("the component broke its contract: {message}")),
    }
}

fn rejected(rejected: Rejected) -> Problem {
    let rejection = serde_json::json!({ "code": rejected.code, "data": rejected.data });
    Problem::new(REJECTED, rejected.message).member("rejection", rejection)
}

/// A field of a body that does not fit.
pub(super) fn invalid_field(pointer: &str, message: &str) -> Problem {
    let detail = if pointer.is_empty() { message.to_owned() } else { format!("{pointer}: {message}") };
    Problem::new(INVALID_FIELD, detail).at(pointer, message)
}

fn machine(error: &CommandError) -> Problem {
    let code = match error {
        CommandError::PreconditionFailed { .. } => PRECONDITION_FAILED,
        CommandError::Contended { .. } => CONTENDED,
        CommandError::Mismatch => IDEMPOTENCY_KEY_REUSED,
        CommandError::ReplyGone => REPLY_GONE,
        CommandError::InvalidId { .. } => INVALID_IDEMPOTENCY_KEY,
        CommandError::TooLarge { .. } => COMMIT_TOO_LARGE,
        CommandError::Busy { .. } => BUSY,
        CommandError::Stopping => STOPPING,
        CommandError::Full => DISK_FULL,
        CommandError::Poisoned { .. } => JOURNAL_STOPPED,
        CommandError::Unavailable { .. } => ENGINE_UNAVAILABLE,
        CommandError::Unknown { .. } => OUTCOME_UNKNOWN,
        CommandError::Damaged { .. } => DAMAGED,
        CommandError::Unreadable { .. } => UNREADABLE,
        CommandError::BaselineUnfit { .. } => BASELINE_UNFIT,
        CommandError::Refused(_) | CommandError::UnknownTarget { .. } => INTERNAL,
    };
    let problem = Problem::new(code, error);
    match error {
        CommandError::PreconditionFailed { sequence: 0 } => problem.member("sequence", 0),
        CommandError::PreconditionFailed { sequence } => {
            problem.member("sequence", *sequence).header(header::ETAG, &format!("\"{sequence}\""))
        }
        // The only way to ask again when the client gave no key.
        CommandError::Unknown { id, .. } => problem.member("key", id.as_str()).header(super::headers::IDEMPOTENCY_KEY, id),
        _ => problem,
    }
}

/// Why a subject was not erased.
pub(super) fn erasure(error: &EraseError, runtime: &Runtime) -> Problem {
    match error {
        EraseError::NothingPersonal | EraseError::UnknownSubject => Problem::new(UNKNOWN_SUBJECT, error),
        EraseError::Invalid { .. } => Problem::new(INVALID_PATH, error),
        EraseError::Read(error) => read(runtime, error),
        EraseError::Append(_) | EraseError::Keys(_) => Problem::new(ERASURE_UNFINISHED, error),
    }
}

/// Why a decision about a consumer was not carried out.
pub(super) fn order(error: OrderError, consumer: &str) -> Problem {
    match error {
        OrderError::UnknownConsumer { known } => unknown_consumer(consumer, &known),
        OrderError::NotHeld => Problem::new(NOT_HELD, error),
        OrderError::OtherEvent { ref event } => {
            let event = event.clone();
            Problem::new(DECISION_STALE, error).member("event", event)
        }
        OrderError::Running => Problem::new(DECISION_STALE, error),
        OrderError::Unfit { .. } => Problem::new(DECISION_UNFIT, error),
        OrderError::Place(error) => cursor(&error),
        OrderError::NotWorking { .. } | OrderError::Failed { .. } => Problem::new(CONSUMER_NOT_WORKING, error),
    }
}

/// A consumer that the service does not have.
pub(super) fn unknown_consumer(name: &str, known: &[String]) -> Problem {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Problem::new(UNKNOWN_CONSUMER, format!("this service has no consumer `{name}`; {}", nearest::hint(name, &known)))
}

/// A processor that the service does not have.
pub(super) fn unknown_processor(name: &str, known: &[String]) -> Problem {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Problem::new(UNKNOWN_CONSUMER, format!("this service has no processor `{name}`; {}", nearest::hint(name, &known)))
}

/// Why a state could not be read.
pub(super) fn state(runtime: &Runtime, error: StateError) -> Problem {
    match error {
        StateError::UnknownTarget { name, known } => unknown_entity_type(&name, &known),
        StateError::BeyondHead { sequence } => beyond_head(sequence),
        StateError::Unreadable { message } => Problem::new(UNREADABLE, message),
        StateError::Gone { sequence, time, cursor, .. } => gone(&error, sequence, cursor).member("time", calendar::text(time)),
        StateError::BaselineUnfit { .. } => Problem::new(BASELINE_UNFIT, error),
        StateError::Read(error) => read(runtime, &error),
    }
}

/// Why a query has no rows; `is_texts` when its parameters came in the query string.
pub(super) fn query(runtime: &Runtime, error: QueryError, is_texts: bool) -> Problem {
    let code = match &error {
        QueryError::UnknownView { name, known } => return unknown_view(name, known),
        QueryError::UnknownQuery { name, known } => {
            return Problem::new(UNKNOWN_QUERY, format!("the view has no query `{name}`; {}", nearest::hint(name, known)));
        }
        QueryError::Refused(Refusal::Invalid { pointer, message }) if is_texts => return super::view::invalid_text(pointer, message),
        QueryError::Refused(refusal) => return refused(refusal.clone(), "the query"),
        QueryError::Read(error) => return read(runtime, error),
        QueryError::Busy { .. } => BUSY,
        QueryError::TooSlow { .. } => QUERY_TOO_SLOW,
        QueryError::TooManyRows { .. } => TOO_MANY_ROWS,
        QueryError::NotCaughtUp { .. } => VIEW_BEHIND,
        QueryError::Stopped { .. } => VIEW_STOPPED,
        QueryError::Broken { .. } => INTERNAL,
        QueryError::Unavailable { .. } => VIEW_UNAVAILABLE,
        QueryError::Stopping => STOPPING,
    };
    let problem = Problem::new(code, &error);
    match error {
        QueryError::NotCaughtUp { behind, .. } => problem.member("behind", behind),
        QueryError::Stopped { stop, .. } => problem.member("event", stop.event_id).member("statement", stop.statement),
        _ => problem,
    }
}

/// A view that the service does not have.
pub(super) fn unknown_view(name: &str, known: &[&str]) -> Problem {
    Problem::new(UNKNOWN_VIEW, format!("this service has no view `{name}`; {}", nearest::hint(name, known)))
}

/// A part of an entity's history that retention has not kept, and the first that is there.
pub(super) fn gone(error: impl std::fmt::Display, sequence: u64, cursor: Cursor) -> Problem {
    Problem::new(HISTORY_GONE, error).member("sequence", sequence).member("first", cursor.to_string())
}

/// A sequence that the entity has not reached.
pub(super) fn beyond_head(sequence: u64) -> Problem {
    Problem::new(SEQUENCE_BEYOND_HEAD, format!("the entity is at sequence {sequence}; ask for that or an earlier one"))
        .member("sequence", sequence)
}

/// Why a read failed.
pub(super) fn read(runtime: &Runtime, error: &ReadError) -> Problem {
    match error {
        ReadError::Cursor(error) => cursor(error),
        ReadError::Invalid(_) => Problem::new(INVALID_PARAMETER, error),
        ReadError::Damaged { .. } => Problem::new(DAMAGED, error),
        ReadError::Unavailable { .. } => match runtime.journal().poisoned() {
            // What the reader waits for never becomes durable: to try again is no remedy.
            Some(cause) => machine(&CommandError::Poisoned { cause }),
            None => Problem::new(ENGINE_UNAVAILABLE, error),
        },
    }
}

/// Why a cursor is refused.
pub(super) fn cursor(error: &CursorError) -> Problem {
    match error {
        CursorError::Malformed => Problem::new(INVALID_CURSOR, error),
        CursorError::HistoryDiverged => Problem::new(HISTORY_DIVERGED, error),
        CursorError::Gone { first } => Problem::new(GONE, error).member("first", first.to_string()),
    }
}

/// An entity type that the service does not have.
pub(super) fn unknown_entity_type(name: &str, known: &[&str]) -> Problem {
    Problem::new(UNKNOWN_ENTITY_TYPE, format!("this service has no entity type `{name}`; {}", nearest::hint(name, known)))
}

/// Why a consumer does not do what a client wants.
pub(super) fn consumer(gateway: &Gateway, error: ConsumerError, name: &str) -> Problem {
    let of_it = |code| Problem::new(code, format!("the consumer `{name}`: {error}"));
    match &error {
        ConsumerError::Unknown { known } => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            Problem::new(UNKNOWN_CONSUMER, format!("no client has set up a consumer `{name}`; {}", nearest::hint(name, &known)))
        }
        ConsumerError::Taken | ConsumerError::StartOfExisting | ConsumerError::TooMany { .. } => of_it(CONSUMER_CONFLICT),
        ConsumerError::Unplaced => of_it(CONSUMER_UNPLACED),
        ConsumerError::Elsewhere { address: Some(_), .. } => of_it(CONSUMER_ELSEWHERE),
        ConsumerError::Elsewhere { .. } => of_it(CONSUMER_NOT_WORKING),
        ConsumerError::Stale { deliveries } => of_it(DELIVERY_STALE).member("deliveries", deliveries.clone()),
        ConsumerError::Busy { .. } => of_it(BUSY),
        ConsumerError::Failed { .. } => of_it(ENGINE_UNAVAILABLE),
        ConsumerError::Stopping => of_it(STOPPING),
        ConsumerError::Read(error) => read(&gateway.runtime, error),
    }
}

/// A topic that the service has not declared.
pub(super) fn unknown_topic(name: &str, known: &[&str]) -> Problem {
    Problem::new(UNKNOWN_TOPIC, format!("this service has no topic `{name}`; {}", nearest::hint(name, known)))
}

/// Why a message was not taken; `place` is the pointer to it within the body.
pub(super) fn message(error: CommandError, source: &str, id: &str, place: &str) -> Problem {
    let named = || format!("the message `{id}` of `{source}`");
    match error {
        CommandError::Refused(Refusal::Invalid { pointer, message }) => invalid_field(&format!("{place}{pointer}"), &message),
        CommandError::Mismatch => {
            Problem::new(IDEMPOTENCY_KEY_REUSED, format!("{} was taken before with another content; give a new message a new id", named()))
                .at(&format!("{place}/id"), "was used before with another content")
        }
        CommandError::Unknown { cause, .. } => {
            Problem::new(OUTCOME_UNKNOWN, format!("the outcome of {} is unknown ({cause}); send it again as it is", named()))
        }
        other => command(other, "publish"),
    }
}

fn unknown_operation(name: &str, known: &[&str]) -> Problem {
    Problem::new(UNKNOWN_OPERATION, format!("this service has no operation `{name}`; {}", nearest::hint(name, known)))
}

/// An entity without an event, or deleted.
pub(super) fn no_entity(kind: &str, id: &str) -> Problem {
    Problem::new(ENTITY_NOT_FOUND, format!("there is no {kind} `{id}`"))
}

/// A part of an entity key that breaks its rule.
pub(super) fn key(error: &InvalidError) -> Problem {
    Problem::new(INVALID_PATH, format!("the {error}"))
}
