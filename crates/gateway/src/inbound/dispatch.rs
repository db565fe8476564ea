//! From a request to its answer: the bounds of the head, the route, the handler, and what happens when it panics.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::answer;
use super::body::{Body, RequestBody};
use super::connection::Busy;
use super::route::{self, Route};
use super::{
    Gateway, admin, batch, command, consumer, destination, entity, events, headers, health, journal, node, page, retention, schema, stream,
    subject, subscription, timer, topic, view, workflow,
};
use crate::limits::URI_BYTES_MAX;
use crate::problem::{self, Problem};

/// The answer to one request, whatever happens.
pub(super) async fn answer(gateway: Arc<Gateway>, busy: Busy, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::new(body);
    let mut response = match unwound(handle(&gateway, &parts, &mut body)).await {
        Some(Ok(response)) => response,
        Some(Err(problem)) => {
            // A body that was too slow already is not waited for again.
            if problem.code() != problem::REQUEST_TIMEOUT {
                body.discard(&parts.headers).await;
            }
            answer::problem(&problem)
        }
        None => answer::problem(&Problem::new(problem::INTERNAL, "a handler panicked; the service's log has its message")),
    };
    // Whoever takes a connection over says goodbye in its own words.
    if gateway.is_stopping() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.body_mut().hold(busy);
    response
}

async fn handle(gateway: &Arc<Gateway>, parts: &Parts, body: &mut RequestBody) -> Result<Response<Body>, Problem> {
    check_uri(parts)?;
    headers::check(&parts.headers)?;
    let route = match route::find(&parts.method, parts.uri.path()) {
        Ok(route) => route,
        // No page has a path of the table's, so the table is asked first.
        Err(refused) => return page(gateway, parts).unwrap_or(Err(refused)),
    };
    if route.changes_state() {
        headers::check_origin(&parts.headers)?;
    }
    node::check_role(gateway, &route)?;
    match route {
        Route::Command { kind, id, command } => command::run(gateway, parts, body, &kind, &id, &command).await,
        Route::Operation { name } => command::operate(gateway, parts, body, &name).await,
        Route::State { kind, id } => entity::state(gateway, parts, &kind, &id).await,
        // Rare or long: boxed, so that the future of the common ones stays small.
        Route::Outcome { kind, id, key } => Box::pin(command::outcome(gateway, parts, &kind, &id, &key)).await,
        Route::Topic { name } => Box::pin(topic::publish(gateway, parts, body, &name)).await,
        Route::ClientConsumer { name } => consumer::show(gateway, parts, &name),
        Route::ConsumerChange { name } => Box::pin(consumer::change(gateway, parts, body, &name)).await,
        Route::ConsumerCall { name, call } => Box::pin(consumer::call(gateway, parts, body, (&name, call))).await,
        Route::Batch { kind } => batch::run(gateway, parts, body, &kind),
        Route::Ids { kind } => Box::pin(entity::ids(gateway, parts, &kind)).await,
        Route::History { kind, id } => Box::pin(events::history(gateway, parts, &kind, &id)).await,
        Route::Streams => Box::pin(stream::list(gateway, parts)).await,
        Route::StreamSchema { stream, name, version } => stream::schema(gateway, parts, (&stream, &name, &version)),
        Route::Stream { name } => Box::pin(stream::open(gateway, parts, &name)).await,
        Route::Query { view, query } => Box::pin(view::ask(gateway, parts, body, &view, &query)).await,
        Route::View { view } => Box::pin(view::status(gateway, parts, &view)).await,
        Route::Views => Box::pin(view::list(gateway, parts)).await,
        Route::Rebuild { view } => view::rebuild(gateway, parts, &view),
        Route::Subscriptions => Box::pin(subscription::list(gateway, parts)).await,
        Route::PlaceSubscription { topic } => Box::pin(subscription::place(gateway, parts, body, &topic)).await,
        Route::Consumers => Box::pin(admin::list(gateway, parts)).await,
        Route::Destinations => Box::pin(destination::list(gateway, parts)).await,
        Route::Nodes => Box::pin(node::list(gateway, parts)).await,
        Route::Schemas => Box::pin(schema::list(gateway, parts)).await,
        Route::EventSchema { kind, event, version } => schema::of_event(gateway, parts, (&kind, &event, &version)),
        Route::Samples => Box::pin(schema::samples(gateway, parts)).await,
        Route::Journal => Box::pin(journal::status(gateway, parts)).await,
        Route::Scrub => Box::pin(journal::scrub(gateway, parts)).await,
        Route::Compact => Box::pin(retention::compact(gateway, parts)).await,
        Route::Consumer { consumer } => admin::status(gateway, parts, &consumer).await,
        Route::Held { consumer } => Box::pin(admin::held(gateway, parts, &consumer)).await,
        Route::Remembered { consumer, key } => admin::remembered(gateway, parts, &consumer, &key).await,
        Route::Decide { consumer, act } => Box::pin(admin::act(gateway, parts, body, &consumer, act)).await,
        Route::Erase { kind, id } => Box::pin(subject::erase(gateway, parts, body, &kind, &id)).await,
        Route::Timers => Box::pin(timer::list(gateway, parts)).await,
        Route::TimersSet => Box::pin(timer::set_all(gateway, parts, body)).await,
        Route::Timer { name } => Box::pin(timer::show(gateway, parts, &name)).await,
        Route::TimerChange { name } => Box::pin(timer::change(gateway, parts, body, &name)).await,
        Route::TimerAct { name, act } => Box::pin(timer::act(gateway, parts, body, (&name, act))).await,
        Route::TimersStatus => Box::pin(timer::status(gateway, parts)).await,
        Route::Histories => Box::pin(workflow::histories(gateway, parts)).await,
        Route::Workflows { name } => Box::pin(workflow::list(gateway, parts, name.as_deref())).await,
        Route::Workflow { name } => Box::pin(workflow::show(gateway, parts, name)).await,
        Route::WorkflowTimeline { name } => Box::pin(workflow::timeline(gateway, parts, name)).await,
        Route::WorkflowStart { name } => Box::pin(workflow::start(gateway, parts, body, name)).await,
        Route::WorkflowSignal { name, signal } => Box::pin(workflow::signal(gateway, parts, body, (name, signal))).await,
        Route::WorkflowAct { name, act } => Box::pin(workflow::act(gateway, parts, body, (name, act))).await,
        Route::WorkflowsStatus => Box::pin(workflow::status(gateway, parts)).await,
        Route::Live => health::live(parts),
        Route::Ready => health::ready(gateway, parts),
        Route::OpenApi => health::description(gateway, parts),
        Route::AsyncApi => health::messages(gateway, parts),
    }
}

fn page(gateway: &Gateway, parts: &Parts) -> Option<Result<Response<Body>, Problem>> {
    gateway.pages.find(parts.uri.path()).map(|page| page::give(page, parts))
}

fn check_uri(parts: &Parts) -> Result<(), Problem> {
    let length = parts.uri.path_and_query().map_or(0, |text| text.as_str().len());
    if length <= URI_BYTES_MAX {
        return Ok(());
    }
    Err(Problem::new(problem::URI_TOO_LONG, format!("path and query have {length} bytes; at most {URI_BYTES_MAX} are allowed")))
}

/// The future's output; `None` when it panicked.
async fn unwound<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    // Unwind safe: after a panic the future is never polled again, and what it shares has its own answer to poisoning.
    std::future::poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught() {
        assert_eq!(unwound(async { 7 }).await, Some(7));
        assert_eq!(unwound(async { assert!(std::hint::black_box(false), "on purpose") }).await, None);
    }
}
