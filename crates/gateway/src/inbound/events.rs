//! `GET /v1/entities/{type}/{id}/events`: an entity's history in pages, with who and why. `after` is a sequence.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use journal::EntityKey;

use super::Gateway;
use super::body::Body;
use super::command::entity;
use super::entity::Page;
use super::path::encode;
use super::query::{self, Parameters, once};
use super::refusal;
use crate::cloudevent::{self, Audience};
use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use crate::problem::Problem;

pub(super) async fn history(gateway: &Arc<Gateway>, parts: &Parts, kind: &str, id: &str) -> Result<Response<Body>, Problem> {
    let entity = entity(gateway, kind, id)?;
    let parameters = Parameters::read(parts.uri.query(), &[once("after"), once("limit")])?;
    let after = parameters.number("after")?.unwrap_or(0);
    let limit = parameters.bounded("limit", PAGE_ITEMS_MAX)?.unwrap_or(PAGE_ITEMS_DEFAULT);
    let first = after.checked_add(1).ok_or_else(|| query::invalid("after", "is larger than any sequence"))?;
    let journal = gateway.runtime.journal();
    // The head first: what it has seen, the pages have seen.
    let head = journal.head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let mut events = gateway.runtime.history(&entity, first);
    let mut page = Page::new();
    let mut last = after;
    while let Some(event) = events.next_event().await {
        let event = event.map_err(|error| refusal::read(&gateway.runtime, &error))?;
        if event.sequence > first && page.is_empty() && parameters.one("after").is_some() {
            check_is_there(gateway, &entity, first).await?;
        }
        if page.is_full(limit) {
            let next = format!("/v1/entities/{}/{}/events?after={last}&limit={limit}", encode(kind), encode(id));
            return Ok(page.finish(Some(&next), head));
        }
        last = event.sequence;
        let cursor = journal.lineage().cursor(event.position);
        page.item(|out| cloudevent::write(out, gateway.runtime.service(), &event, cursor, Audience::History));
    }
    if page.is_empty() {
        check_exists(gateway, &entity, after).await?;
    }
    Ok(page.finish(None, head))
}

/// A reader that names a place is told when what it comes from is gone. Who reads from the beginning begins at what is there.
async fn check_is_there(gateway: &Gateway, entity: &EntityKey, from: u64) -> Result<(), Problem> {
    let first = gateway.runtime.history(entity, 1).next_event().await.transpose();
    let first = first.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let Some(first) = first.filter(|first| first.sequence > from) else { return Ok(()) };
    let cursor = gateway.runtime.journal().lineage().cursor(first.position);
    let (kind, id, sequence) = (entity.kind(), entity.id(), first.sequence);
    Err(refusal::gone(format!("the events of {kind} `{id}` before sequence {sequence} are gone by its retention"), sequence, cursor))
}

/// An empty page is true only of an entity that is there and has not got further.
async fn check_exists(gateway: &Gateway, entity: &EntityKey, after: u64) -> Result<(), Problem> {
    let head = gateway.runtime.journal().entity_head(entity).await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    match head {
        None => Err(refusal::no_entity(entity.kind(), entity.id())),
        Some(head) if after > head.sequence => Err(refusal::beyond_head(head.sequence)),
        Some(_) => Ok(()),
    }
}
