//! What the demo reads back: over HTTP, as any client would.

use bytes::Bytes;
use headwater::client::{accepted, connection, failed, refused, segment};
use headwater::{Exit, Failure};
use http::{HeaderMap, Method};
use serde_json::Value as Json;

use super::totals::Totals;
use crate::shop;

/// Adds up every event of carts and orders that the shop gives back. Parcels follow them in the background.
pub(super) async fn totals(url: &str) -> Result<Totals, Failure> {
    let path = format!("/v1/streams/{}?type=cart&type=order", shop::NAME);
    let opened = connection(url)?.stream(Method::GET, &path, HeaderMap::new(), Bytes::new()).await;
    let mut lines = opened.map_err(|error| failed(url, &error))?.map_err(|problem| refused(&problem.body))?;
    let mut totals = Totals::default();
    while let Some(line) = lines.next().await.map_err(|error| failed(url, &error))? {
        totals.add(&line)?;
    }
    Ok(totals)
}

/// The id of the first order; `None` when there is none yet.
pub(super) async fn first_order(url: &str) -> Result<Option<String>, Failure> {
    let page = get(url, "/v1/entities/order?limit=1").await?;
    Ok(page["items"][0].as_str().map(str::to_owned))
}

/// The products that brought most, from the shop's view of them, once it has seen all that was played.
pub(super) async fn top_products(url: &str, count: usize) -> Result<Vec<Json>, Failure> {
    let head = get(url, "/v1/views").await?;
    let seen = head["cursor"].as_str().unwrap_or_default();
    let page = get(url, &format!("/v1/views/products/top?seen={}", segment(seen))).await?;
    Ok(page["items"].as_array().into_iter().flatten().take(count).cloned().collect())
}

/// Whether the shop has any event.
pub(super) async fn is_empty(url: &str) -> Result<bool, Failure> {
    let path = format!("/v1/streams/{}?limit=1", shop::NAME);
    let opened = connection(url)?.stream(Method::GET, &path, HeaderMap::new(), Bytes::new()).await;
    let mut lines = opened.map_err(|error| failed(url, &error))?.map_err(|problem| refused(&problem.body))?;
    Ok(lines.next().await.map_err(|error| failed(url, &error))?.is_none())
}

/// The first of these nodes that answers.
pub(super) async fn reachable(urls: &[String]) -> Result<String, Failure> {
    let mut refused = None;
    for url in urls {
        match get(url, "/livez").await {
            Ok(_) => return Ok(url.clone()),
            Err(failure) => refused = Some(failure),
        }
    }
    Err(refused.unwrap_or_else(|| Failure::plain(Exit::Usage, "there is no URL")))
}

async fn get(url: &str, path: &str) -> Result<Json, Failure> {
    let answer = connection(url)?.request(Method::GET, path, HeaderMap::new(), Bytes::new()).await;
    let response = accepted(answer.map_err(|error| failed(url, &error))?)?;
    serde_json::from_slice(&response.body).map_err(|error| Failure::plain(Exit::Failed, format!("the answer is not JSON: {error}")))
}
