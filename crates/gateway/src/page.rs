//! Pages that a service gives to browsers beside its API: documents, scripts, styles, pictures, each under a path of its own.
//!
//! What is checked at the start: a path has one spelling, belongs to one page, and is none of the platform's. Every page goes
//! out with a policy under which a browser runs and loads what this service serves and nothing else ([`POLICY`]).
//!
//! What it is not: it reads no files, knows no templates and no folders. A page is part of the program.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};

use bytes::Bytes;
use http::HeaderValue;

use crate::limits::{WEB_PAGE_BYTES_MAX, WEB_PAGE_PATH_BYTES_MAX, WEB_PAGES_MAX};

/// What a browser may do with a page: scripts, styles, pictures and calls of this service; no inline script or style, nothing
/// from elsewhere, no frame elsewhere. A page may say a stricter one in a `meta` element.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     media-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'self'";

/// First segments of paths that are the platform's, today or by its design.
const RESERVED: [&str; 8] = ["v1", "livez", "readyz", "metrics", "dashboard", "openapi.json", "asyncapi.json", ".well-known"];

/// Something that a browser gets under a path: its media type and its bytes.
#[derive(Clone, Debug)]
pub struct Page {
    pub(crate) media_type: &'static str,
    pub(crate) body: Bytes,
    pub(crate) tag: String,
}

impl Page {
    /// A document.
    pub fn html(text: impl Into<Bytes>) -> Self {
        Self::of("text/html; charset=utf-8", text)
    }

    /// A script, or a module.
    pub fn script(text: impl Into<Bytes>) -> Self {
        Self::of("text/javascript; charset=utf-8", text)
    }

    /// A style sheet.
    pub fn style(text: impl Into<Bytes>) -> Self {
        Self::of("text/css; charset=utf-8", text)
    }

    /// A drawing.
    pub fn svg(text: impl Into<Bytes>) -> Self {
        Self::of("image/svg+xml", text)
    }

    /// Bytes of any media type, such as `image/png`. It is checked at the start.
    pub fn of(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let tag = tag(media_type, &body);
        Self { media_type, body, tag }
    }

    /// The module that keeps a live query in a page: `import { liveQuery } from "/live-query.js"`.
    #[must_use]
    pub fn live_query() -> Self {
        Self::script(include_str!("page/live-query.js"))
    }
}

/// The same bytes have the same tag, on every node and after a restart.
fn tag(media_type: &str, body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(media_type.as_bytes());
    hasher.write_u8(0xff);
    hasher.write(body);
    format!("\"{:016x}\"", hasher.finish())
}

/// The pages of a service, by path.
#[derive(Debug, Default)]
pub struct Pages(HashMap<String, Page>);

impl Pages {
    /// Takes pages whose paths fit.
    ///
    /// # Errors
    /// When a path has another spelling than it may have, is the platform's or another page's, or a bound is passed.
    pub fn new(pages: impl IntoIterator<Item = (String, Page)>) -> Result<Self, PageError> {
        let mut taken = HashMap::new();
        for (path, page) in pages {
            check(&path, &page).map_err(|rule| PageError(format!("the page `{path}` {rule}")))?;
            if taken.insert(path.clone(), page).is_some() {
                return Err(PageError(format!("two pages have the path `{path}`; give each its own")));
            }
        }
        if taken.len() > WEB_PAGES_MAX {
            return Err(PageError(format!("the service has {} pages; at most {WEB_PAGES_MAX} are allowed", taken.len())));
        }
        Ok(Self(taken))
    }

    pub(crate) fn find(&self, path: &str) -> Option<&Page> {
        self.0.get(path)
    }
}

/// Why pages were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageError(String);

impl fmt::Display for PageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for PageError {}

fn check(path: &str, page: &Page) -> Result<(), String> {
    check_path(path)?;
    if HeaderValue::from_str(page.media_type).is_err() || !page.media_type.contains('/') {
        return Err(format!("has the media type `{}`; write one such as `image/png`", page.media_type));
    }
    if page.body.len() > WEB_PAGE_BYTES_MAX {
        return Err(format!("has {} bytes; at most {WEB_PAGE_BYTES_MAX} are allowed", page.body.len()));
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), String> {
    if path.len() > WEB_PAGE_PATH_BYTES_MAX {
        return Err(format!("has a path of {} bytes; at most {WEB_PAGE_PATH_BYTES_MAX} are allowed", path.len()));
    }
    let Some(rest) = path.strip_prefix('/') else { return Err("needs a path that begins with `/`".to_owned()) };
    if rest.is_empty() {
        return Ok(());
    }
    if let Some(wrong) = rest.split('/').find(|segment| !is_plain(segment)) {
        return Err(format!("has the segment `{wrong}` in its path; use letters, digits, `-`, `_`, `~` and dots, and no empty segments"));
    }
    let first = rest.split('/').next().unwrap_or_default();
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(first)) {
        return Err(format!("has a path of the platform's (`/{first}`); choose another one"));
    }
    Ok(())
}

/// What no browser and no proxy writes in another way.
fn is_plain(segment: &str) -> bool {
    let letters = segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.'));
    letters && !matches!(segment, "" | "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str) -> Result<(), String> {
        Pages::new([(path.to_owned(), Page::html("x"))]).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn paths_with_one_spelling_are_taken() {
        for path in ["/", "/board", "/board/board.js", "/v2", "/v1x", "/a~b/c-d_e.1"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn others_and_the_platforms_are_refused_with_the_reason() {
        for (path, reason) in [
            ("", "begins with `/`"),
            ("board", "begins with `/`"),
            ("/board/", "no empty segments"),
            ("//board", "no empty segments"),
            ("/a/../v1", "the segment `..`"),
            ("/a b", "the segment `a b`"),
            ("/%761/x", "the segment `%761`"),
            ("/é", "the segment `é`"),
            ("/board?x=1", "the segment `board?x=1`"),
            ("/v1", "the platform's"),
            ("/v1/entities/cart", "the platform's"),
            ("/V1/x", "the platform's"),
            ("/livez", "the platform's"),
            ("/readyz", "the platform's"),
            ("/openapi.json", "the platform's"),
            ("/dashboard/x", "the platform's"),
        ] {
            let refused = check(path).expect_err(path);
            assert!(refused.contains(reason), "{path}: {refused}");
        }
        let long = format!("/{}", "x".repeat(WEB_PAGE_PATH_BYTES_MAX));
        assert!(check(&long).expect_err("it is too long").contains("at most"));
    }

    #[test]
    fn a_path_belongs_to_one_page() {
        let twice = [("/a".to_owned(), Page::html("x")), ("/a".to_owned(), Page::html("y"))];
        assert!(Pages::new(twice).expect_err("twice").to_string().contains("two pages"));
    }

    #[test]
    fn media_types_and_sizes_have_bounds() {
        for page in [Page::of("image/png\n", "x"), Page::of("png", "x"), Page::of("image/png", vec![0; WEB_PAGE_BYTES_MAX + 1])] {
            assert!(Pages::new([("/a".to_owned(), page)]).is_err());
        }
    }

    #[test]
    fn the_tag_is_of_type_and_bytes() {
        assert_eq!(Page::html("x").tag, Page::html("x").tag);
        assert_ne!(Page::html("x").tag, Page::html("y").tag);
        assert_ne!(Page::html("x").tag, Page::script("x").tag);
    }
}
