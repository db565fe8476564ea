//! `/v1/admin/nodes`: the processes of this service, and what each of them does.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use runtime::{NodeSight, Role};
use serde_json::{Value as Json, json};

use super::body::Body;
use super::entity::Page;
use super::route::Route;
use super::{Gateway, query, refusal};
use crate::problem::{self, Problem};
use crate::{calendar, json};

/// `GET /v1/admin/nodes`.
pub(super) async fn list(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let nodes = gateway.runtime.node_sights().await.map_err(|error| Problem::new(problem::ENGINE_UNAVAILABLE, error))?;
    let mut page = Page::new();
    for node in &nodes {
        page.item(|out| json::value(out, &node_json(node)));
    }
    Ok(page.finish(None, head))
}

fn node_json(node: &NodeSight) -> Json {
    let duties = node.duties.iter().map(|duty| json!({ "duty": duty.duty, "share": duty.share, "epoch": duty.epoch }));
    let state = match (node.is_alive, node.is_leaving) {
        (false, _) => "gone",
        (true, true) => "leaving",
        (true, false) => "alive",
    };
    json!({
        "node": node.name, "state": state, "this": node.is_this, "address": node.address, "roles": node.roles,
        "started": node.started.map(calendar::text), "duties": duties.collect::<Vec<_>>(),
    })
}

/// That this node has the role that a request needs.
pub(super) fn check_role(gateway: &Gateway, route: &Route<'_>) -> Result<(), Problem> {
    match route.role() {
        Some(role) if !gateway.runtime.has_role(role) => {
            let detail = format!("this node does not have the role {}; ask one that has it: `nodes` lists them", role.word());
            Err(Problem::new(problem::ROLE_ELSEWHERE, detail).member("role", role.word()))
        }
        _ => Ok(()),
    }
}

impl Route<'_> {
    /// The role that a node must have to answer; none for what every node answers.
    fn role(&self) -> Option<Role> {
        match self {
            Self::Command { .. }
            | Self::Batch { .. }
            | Self::Operation { .. }
            | Self::Topic { .. }
            | Self::TimersSet
            | Self::TimerChange { .. }
            | Self::WorkflowStart { .. }
            | Self::WorkflowSignal { .. } => Some(Role::Command),
            Self::Query { .. } | Self::View { .. } | Self::Views | Self::Rebuild { .. } => Some(Role::View),
            Self::ConsumerChange { .. } | Self::ConsumerCall { .. } | Self::ClientConsumer { .. } => Some(Role::Action),
            _ => None,
        }
    }
}
