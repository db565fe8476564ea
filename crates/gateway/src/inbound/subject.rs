//! `/v1/admin/subjects`: what a person decides about whose personal data is kept.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use runtime::Decision;
use serde_json::json;

use super::Gateway;
use super::body::{Body, RequestBody};
use super::{admin, answer, headers, query, refusal};
use crate::problem::Problem;

/// `POST /v1/admin/subjects/{type}/{id}/erase`: destroys the subject's keys. Again is safe, and changes nothing.
pub(super) async fn erase(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: &mut RequestBody,
    kind: &str,
    id: &str,
) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let reason = admin::said(gateway, parts, body).await?.reason.unwrap_or_default();
    let why = Decision { reason, context: headers::context(&parts.headers)? };
    let erased = gateway.runtime.erase("", &format!("{kind}/{id}"), why).await;
    let erased = erased.map_err(|error| refusal::erasure(&error, &gateway.runtime))?;
    Ok(answer::json(json!({ "subject": erased.subject, "keys": erased.keys, "views": erased.views }).to_string()))
}
