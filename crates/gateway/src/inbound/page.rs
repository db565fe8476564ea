//! A page of the service: whole, or nothing when the browser has it already.
//!
//! A cache may keep it and asks each time. A query string is the page's own affair.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::body::Body;
use super::{answer, headers, route};
use crate::page::{POLICY, Page};
use crate::problem::Problem;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

pub(super) fn give(page: &Page, parts: &Parts) -> Result<Response<Body>, Problem> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(route::not_allowed(&parts.method, route::GET));
    }
    let mut response = if headers::has_tag(&parts.headers, &page.tag)? {
        answer::with(StatusCode::NOT_MODIFIED, page.media_type, Body::empty())
    } else {
        answer::with(StatusCode::OK, page.media_type, Body::whole(page.body.clone()))
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    answer::set_tag(headers, &page.tag);
    Ok(response)
}
