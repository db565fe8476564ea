//! The table of routes. Own and small rather than a router crate: ids hold `/` and dots once decoded, `{type}:batch` has no
//! slash, and the hottest path is matched first.

use std::borrow::Cow;

use http::{Method, header};
use runtime::WorkflowName;

use super::admin::Act;
use super::consumer::Call;
use super::path::decode;
use super::{timer, workflow};
use crate::problem::{INVALID_PATH, METHOD_NOT_ALLOWED, Problem, UNKNOWN_ROUTE};

type Text<'a> = Cow<'a, str>;

/// Where a request goes, its variable segments decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Command { kind: Text<'a>, id: Text<'a>, command: Text<'a> },
    Outcome { kind: Text<'a>, id: Text<'a>, key: Text<'a> },
    State { kind: Text<'a>, id: Text<'a> },
    History { kind: Text<'a>, id: Text<'a> },
    Ids { kind: Text<'a> },
    Batch { kind: Text<'a> },
    Operation { name: Text<'a> },
    Streams,
    Stream { name: Text<'a> },
    StreamSchema { stream: Text<'a>, name: Text<'a>, version: Text<'a> },
    Topic { name: Text<'a> },
    ClientConsumer { name: Text<'a> },
    ConsumerChange { name: Text<'a> },
    ConsumerCall { name: Text<'a>, call: Call },
    Query { view: Text<'a>, query: Text<'a> },
    View { view: Text<'a> },
    Views,
    Rebuild { view: Text<'a> },
    Subscriptions,
    PlaceSubscription { topic: Text<'a> },
    Consumers,
    Destinations,
    Nodes,
    Schemas,
    Samples,
    EventSchema { kind: Text<'a>, event: Text<'a>, version: Text<'a> },
    Journal,
    Scrub,
    Compact,
    Consumer { consumer: Text<'a> },
    Held { consumer: Text<'a> },
    Remembered { consumer: Text<'a>, key: Text<'a> },
    Decide { consumer: Text<'a>, act: Act },
    Erase { kind: Text<'a>, id: Text<'a> },
    Timers,
    TimersSet,
    Timer { name: Text<'a> },
    TimerChange { name: Text<'a> },
    TimerAct { name: Text<'a>, act: timer::Act },
    TimersStatus,
    Workflows { name: Option<Text<'a>> },
    Histories,
    Workflow { name: WorkflowName },
    WorkflowTimeline { name: WorkflowName },
    WorkflowStart { name: WorkflowName },
    WorkflowSignal { name: WorkflowName, signal: String },
    WorkflowAct { name: WorkflowName, act: workflow::Act },
    WorkflowsStatus,
    Live,
    Ready,
    OpenApi,
    AsyncApi,
}

impl Route<'_> {
    /// Whether a request may change something.
    pub(super) fn changes_state(&self) -> bool {
        matches!(
            self,
            Self::Command { .. }
                | Self::Batch { .. }
                | Self::Operation { .. }
                | Self::Rebuild { .. }
                | Self::Scrub
                | Self::Compact
                | Self::Decide { .. }
                | Self::Erase { .. }
                | Self::PlaceSubscription { .. }
                | Self::Topic { .. }
                | Self::ConsumerChange { .. }
                | Self::ConsumerCall { .. }
                | Self::TimersSet
                | Self::TimerChange { .. }
                | Self::TimerAct { .. }
                | Self::WorkflowStart { .. }
                | Self::WorkflowSignal { .. }
                | Self::WorkflowAct { .. }
        )
    }
}

const SEGMENTS_MAX: usize = 7;
pub(super) const GET: &str = "GET, HEAD";
const POST: &str = "POST";
const EITHER: &str = "GET, HEAD, POST";
const CHANGE: &str = "GET, HEAD, PUT, DELETE";

/// The route of a method and a path.
pub(super) fn find<'a>(method: &Method, path: &'a str) -> Result<Route<'a>, Problem> {
    let mut segments = [""; SEGMENTS_MAX];
    let mut count = 0;
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        *segments.get_mut(count).ok_or_else(|| unknown(path))? = segment;
        count += 1;
    }
    let read = method == Method::GET || method == Method::HEAD;
    let (route, allowed) = match &segments[..count] {
        ["v1", "entities", kind, id, "events"] if read => (history(kind, id)?, GET),
        ["v1", "entities", kind, id, command] => (self::command(kind, id, command)?, if *command == "events" { EITHER } else { POST }),
        ["v1", "entities", kind, id] => (Route::State { kind: segment("type", kind)?, id: segment("id", id)? }, GET),
        ["v1", "entities", kind] => match kind.strip_suffix(":batch") {
            Some(kind) => (Route::Batch { kind: segment("type", kind)? }, POST),
            None => (Route::Ids { kind: segment("type", kind)? }, GET),
        },
        ["v1", "entities", kind, id, "commands", key] => (outcome(kind, id, key)?, GET),
        ["v1", "operations", name] => (Route::Operation { name: segment("operation", name)? }, POST),
        ["v1", "streams", name] => (Route::Stream { name: segment("stream", name)? }, GET),
        ["v1", "streams"] => (Route::Streams, GET),
        ["v1", "streams", stream, "schemas", name, version] => (stream_schema(stream, name, version)?, GET),
        ["v1", "topics", name] => (Route::Topic { name: segment("topic", name)? }, POST),
        ["v1", "consumers", name] if read => (Route::ClientConsumer { name: segment("consumer", name)? }, GET),
        ["v1", "consumers", name] => (Route::ConsumerChange { name: segment("consumer", name)? }, CHANGE),
        ["v1", "consumers", name, call] => {
            let call = consumer_call(call).ok_or_else(|| unknown(path))?;
            (Route::ConsumerCall { name: segment("consumer", name)?, call }, POST)
        }
        ["v1", "views", view, query] => (Route::Query { view: segment("view", view)?, query: segment("query", query)? }, EITHER),
        ["v1", "views", view] => (Route::View { view: segment("view", view)? }, GET),
        ["v1", "views"] => (Route::Views, GET),
        ["v1", "timers", rest @ ..] => timers(path, read, rest)?,
        ["v1", "workflows", rest @ ..] => workflows(path, method, rest)?,
        ["v1", "schemas", kind, event, version] => (event_schema(kind, event, version)?, GET),
        ["v1", "admin", rest @ ..] => admin(path, rest)?,
        ["livez"] => (Route::Live, GET),
        ["readyz"] => (Route::Ready, GET),
        ["openapi.json"] => (Route::OpenApi, GET),
        ["asyncapi.json"] => (Route::AsyncApi, GET),
        _ => return Err(unknown(path)),
    };
    let posts = method == Method::POST;
    let fits = match &route {
        Route::History { .. } | Route::Timers => read,
        Route::Query { .. } => read || posts,
        Route::ConsumerChange { .. } | Route::TimerChange { .. } => method == Method::PUT || method == Method::DELETE,
        _ if allowed == GET => read,
        _ => posts,
    };
    if fits { Ok(route) } else { Err(not_allowed(method, allowed)) }
}

/// What operators ask.
fn admin<'a>(path: &str, rest: &[&'a str]) -> Result<(Route<'a>, &'static str), Problem> {
    Ok(match rest {
        ["timers"] => (Route::TimersStatus, GET),
        ["workflows"] => (Route::WorkflowsStatus, GET),
        ["workflows", "histories"] => (Route::Histories, GET),
        ["views", view, "rebuild"] => (Route::Rebuild { view: segment("view", view)? }, POST),
        ["subjects", kind, id, "erase"] => (Route::Erase { kind: segment("type", kind)?, id: segment("id", id)? }, POST),
        ["destinations"] => (Route::Destinations, GET),
        ["nodes"] => (Route::Nodes, GET),
        ["schemas"] => (Route::Schemas, GET),
        ["schemas", "samples"] => (Route::Samples, GET),
        ["journal"] => (Route::Journal, GET),
        ["journal", "scrub"] => (Route::Scrub, POST),
        ["journal", "compact"] => (Route::Compact, POST),
        ["subscriptions"] => (Route::Subscriptions, GET),
        ["subscriptions", topic, "place"] => (Route::PlaceSubscription { topic: segment("topic", topic)? }, POST),
        ["consumers"] => (Route::Consumers, GET),
        ["consumers", consumer] => (Route::Consumer { consumer: segment("consumer", consumer)? }, GET),
        ["consumers", consumer, "held"] => (Route::Held { consumer: segment("consumer", consumer)? }, GET),
        ["consumers", consumer, act] => (decide(path, consumer, act)?, POST),
        ["consumers", consumer, "keys", key] => {
            (Route::Remembered { consumer: segment("consumer", consumer)?, key: segment("key", key)? }, GET)
        }
        _ => return Err(unknown(path)),
    })
}

fn command<'a>(kind: &'a str, id: &'a str, command: &'a str) -> Result<Route<'a>, Problem> {
    Ok(Route::Command { kind: segment("type", kind)?, id: segment("id", id)?, command: segment("command", command)? })
}

fn history<'a>(kind: &'a str, id: &'a str) -> Result<Route<'a>, Problem> {
    Ok(Route::History { kind: segment("type", kind)?, id: segment("id", id)? })
}

fn outcome<'a>(kind: &'a str, id: &'a str, key: &'a str) -> Result<Route<'a>, Problem> {
    Ok(Route::Outcome { kind: segment("type", kind)?, id: segment("id", id)?, key: segment("key", key)? })
}

fn stream_schema<'a>(stream: &'a str, name: &'a str, version: &'a str) -> Result<Route<'a>, Problem> {
    Ok(Route::StreamSchema { stream: segment("stream", stream)?, name: segment("type", name)?, version: segment("version", version)? })
}

fn timer_act(name: &str, act: timer::Act) -> Result<Route<'_>, Problem> {
    Ok(Route::TimerAct { name: segment("timer", name)?, act })
}

fn event_schema<'a>(kind: &'a str, event: &'a str, version: &'a str) -> Result<Route<'a>, Problem> {
    Ok(Route::EventSchema { kind: segment("type", kind)?, event: segment("event", event)?, version: segment("version", version)? })
}

/// What lies below `/v1/timers`.
fn timers<'a>(path: &str, read: bool, rest: &[&'a str]) -> Result<(Route<'a>, &'static str), Problem> {
    Ok(match rest {
        [] if read => (Route::Timers, EITHER),
        [] => (Route::TimersSet, EITHER),
        [name] if read => (Route::Timer { name: segment("timer", name)? }, GET),
        [name] => (Route::TimerChange { name: segment("timer", name)? }, CHANGE),
        [name, "reschedule"] => (timer_act(name, timer::Act::Reschedule)?, POST),
        [name, "redrive"] => (timer_act(name, timer::Act::Redrive)?, POST),
        _ => return Err(unknown(path)),
    })
}

/// What lies below `/v1/workflows`.
fn workflows<'a>(path: &str, method: &Method, rest: &[&'a str]) -> Result<(Route<'a>, &'static str), Problem> {
    let named = |name: &str, id: &str| -> Result<WorkflowName, Problem> {
        let (workflow, id) = (segment("workflow", name)?.into_owned(), segment("id", id)?.into_owned());
        Ok(WorkflowName { tenant: String::new(), workflow, id })
    };
    Ok(match rest {
        [] => (Route::Workflows { name: None }, GET),
        [name] => (Route::Workflows { name: Some(segment("workflow", name)?) }, GET),
        [name, id] if *method == Method::POST => (Route::WorkflowStart { name: named(name, id)? }, POST),
        [name, id] if *method == Method::GET || *method == Method::HEAD => (Route::Workflow { name: named(name, id)? }, GET),
        [_, _] => return Err(not_allowed(method, EITHER)),
        [name, id, "timeline"] => (Route::WorkflowTimeline { name: named(name, id)? }, GET),
        [name, id, "signals", signal] => {
            (Route::WorkflowSignal { name: named(name, id)?, signal: segment("signal", signal)?.into_owned() }, POST)
        }
        [name, id, act] => {
            let acts = [
                ("cancel", workflow::Act::Cancel),
                ("pause", workflow::Act::Pause),
                ("resume", workflow::Act::Resume),
                ("rerun", workflow::Act::Rerun),
            ];
            let found = acts.into_iter().find(|(word, _)| word == act);
            let (_, act) = found.ok_or_else(|| unknown(path))?;
            (Route::WorkflowAct { name: named(name, id)?, act }, POST)
        }
        _ => return Err(unknown(path)),
    })
}

fn consumer_call(name: &str) -> Option<Call> {
    [("pull", Call::Pull), ("ack", Call::Ack), ("nack", Call::Nack), ("extend", Call::Extend)]
        .into_iter()
        .find_map(|(known, call)| (known == name).then_some(call))
}

fn decide<'a>(path: &str, consumer: &'a str, act: &str) -> Result<Route<'a>, Problem> {
    let act = match act {
        "redrive" => Act::Redrive,
        "dry-run" => Act::DryRun,
        "discard" => Act::Discard,
        "edit" => Act::Edit,
        "place" => Act::Place,
        "forget" => Act::Forget,
        _ => return Err(unknown(path)),
    };
    Ok(Route::Decide { consumer: segment("consumer", consumer)?, act })
}

fn segment<'a>(what: &str, text: &'a str) -> Result<Text<'a>, Problem> {
    if text.is_empty() {
        return Err(Problem::new(INVALID_PATH, format!("the {what} in the path is empty")));
    }
    decode(text).map_err(|problem| Problem::new(INVALID_PATH, format!("the {what} in the path {problem}")))
}

fn unknown(path: &str) -> Problem {
    let shown: String = path.chars().take(100).collect();
    Problem::new(UNKNOWN_ROUTE, format!("there is nothing at `{shown}`; /openapi.json lists what there is"))
}

pub(super) fn not_allowed(method: &Method, allowed: &str) -> Problem {
    Problem::new(METHOD_NOT_ALLOWED, format!("this path does not take {method}; it takes {allowed}")).header(header::ALLOW, allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_routes() {
        let command =
            |kind, id: &'static str, command| Route::Command { kind: Cow::Borrowed(kind), id: id.into(), command: Cow::Borrowed(command) };
        for (method, path, expected) in [
            (Method::POST, "/v1/entities/cart/c1/add-item", command("cart", "c1", "add-item")),
            (Method::POST, "/v1/entities/cart/a%2Fb%25/add-item", command("cart", "a/b%", "add-item")),
            (Method::POST, "/v1/entities/cart/c1/events", command("cart", "c1", "events")),
            (Method::HEAD, "/v1/entities/cart/c1/events", Route::History { kind: "cart".into(), id: "c1".into() }),
            (Method::GET, "/v1/entities/cart/...", Route::State { kind: "cart".into(), id: "...".into() }),
            (Method::GET, "/v1/entities/cart", Route::Ids { kind: "cart".into() }),
            (Method::POST, "/v1/entities/cart:batch", Route::Batch { kind: "cart".into() }),
            (Method::GET, "/v1/entities/cart/c1/commands/k", Route::Outcome { kind: "cart".into(), id: "c1".into(), key: "k".into() }),
            (Method::POST, "/v1/topics/payments", Route::Topic { name: "payments".into() }),
            (Method::GET, "/v1/views/popular/top", Route::Query { view: "popular".into(), query: "top".into() }),
            (Method::POST, "/v1/views/popular/top", Route::Query { view: "popular".into(), query: "top".into() }),
            (Method::GET, "/v1/views/popular", Route::View { view: "popular".into() }),
            (Method::POST, "/v1/admin/views/popular/rebuild", Route::Rebuild { view: "popular".into() }),
            (Method::POST, "/v1/admin/consumers/%24commands/redrive", Route::Decide { consumer: "$commands".into(), act: Act::Redrive }),
            (Method::POST, "/v1/admin/subjects/customer/a%2Fb/erase", Route::Erase { kind: "customer".into(), id: "a/b".into() }),
            (Method::GET, "/v1/admin/destinations", Route::Destinations),
            (Method::GET, "/v1/admin/nodes", Route::Nodes),
            (Method::GET, "/v1/admin/schemas", Route::Schemas),
            (Method::GET, "/v1/admin/schemas/samples", Route::Samples),
            (Method::GET, "/v1/admin/workflows/histories", Route::Histories),
            (Method::GET, "/v1/admin/journal", Route::Journal),
            (Method::POST, "/v1/admin/journal/scrub", Route::Scrub),
            (Method::POST, "/v1/admin/journal/compact", Route::Compact),
            (Method::GET, "/readyz", Route::Ready),
        ] {
            assert_eq!(find(&method, path).unwrap(), expected, "{method} {path}");
        }
    }

    #[test]
    fn others_are_refused_with_a_code() {
        for (method, path, number) in [
            (Method::GET, "/", "HW0010"),
            (Method::GET, "/v2/entities/cart", "HW0010"),
            (Method::GET, "/v1/entities/cart/c1/commands/k/more", "HW0010"),
            (Method::GET, "/a/b/c/d/e/f/g/h/i/j", "HW0010"),
            (Method::POST, "/v1/admin/consumers/a/fly", "HW0010"),
            (Method::GET, "/v1/entities/cart/", "HW0005"),
            (Method::POST, "/v1/entities/cart//add-item", "HW0005"),
            (Method::POST, "/v1/entities/cart/%zz/add-item", "HW0005"),
            (Method::GET, "/v1/entities/cart/c1/add-item", "HW0016"),
            (Method::DELETE, "/v1/entities/cart/c1/events", "HW0016"),
            (Method::GET, "/v1/entities/cart:batch", "HW0016"),
            (Method::POST, "/v1/entities/cart/c1", "HW0016"),
            (Method::GET, "/v1/topics/payments", "HW0016"),
            (Method::POST, "/v1/consumers/c", "HW0016"),
            (Method::GET, "/v1/consumers/c/pull", "HW0016"),
            (Method::POST, "/v1/consumers/c/push", "HW0010"),
            (Method::POST, "/v1/topics/", "HW0005"),
            (Method::POST, "/v1/views", "HW0016"),
            (Method::DELETE, "/v1/views/popular/top", "HW0016"),
            (Method::GET, "/v1/admin/views/popular/rebuild", "HW0016"),
            (Method::POST, "/v1/admin/destinations", "HW0016"),
            (Method::GET, "/v1/admin/subjects/customer/c1/erase", "HW0016"),
        ] {
            assert_eq!(find(&method, path).unwrap_err().code().number, number, "{method} {path}");
        }
    }
}
