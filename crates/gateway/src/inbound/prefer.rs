//! `Prefer` (RFC 7240): `respond-async`, alone or with `wait=SECONDS`. Other preferences are ignored, as the RFC asks.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::headers::invalid;
use crate::limits::PREFERRED_WAIT_MAX;
use crate::problem::Problem;

pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long a client that takes an answer later waits for it at first; `None` when it wants the answer itself.
pub(super) fn respond_async(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let (later, wait) = read(headers)?;
    Ok(later.then(|| wait.unwrap_or_default()))
}

/// How long a client waits for the end of what it asks for; `None` when it does not.
pub(super) fn wait(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    read(headers).map(|(_, wait)| wait)
}

fn read(headers: &HeaderMap) -> Result<(bool, Option<Duration>), Problem> {
    let (mut later, mut wait) = (false, None);
    for value in headers.get_all(&PREFER) {
        let text = value.to_str().map_err(|_| invalid(&PREFER, "is not ASCII"))?;
        for preference in text.split(',') {
            let (name, value) = name_and_value(preference);
            if name.eq_ignore_ascii_case("respond-async") {
                later = true;
            } else if name.eq_ignore_ascii_case("wait") && wait.is_none() {
                // The first one counts (RFC 7240 section 2).
                wait = Some(value.parse().map_err(|_| invalid(&PREFER, "wait must be a number of seconds, such as wait=5"))?);
            }
        }
    }
    Ok((later, wait.map(|seconds| Duration::from_secs(seconds).min(PREFERRED_WAIT_MAX))))
}

/// A preference without its parameters.
fn name_and_value(preference: &str) -> (&str, &str) {
    let bare = preference.split(';').next().unwrap_or_default();
    let (name, value) = bare.split_once('=').unwrap_or((bare, ""));
    (name.trim(), value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn preferred(values: &[&'static str]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_static(value));
        }
        respond_async(&headers).unwrap()
    }

    #[test]
    fn preferences_are_found_among_others() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(preferred(&[]), None);
        assert_eq!(preferred(&["return=minimal, wait=5"]), None);
        assert_eq!(preferred(&["respond-async"]), seconds(0));
        assert_eq!(preferred(&["Respond-Async; x=y, Wait=\"7\", wait=9"]), seconds(7));
        assert_eq!(preferred(&["wait=1000000", "respond-async"]), Some(PREFERRED_WAIT_MAX));
    }

    #[test]
    fn a_wait_that_is_no_number_is_refused() {
        let headers = HeaderMap::from_iter([(PREFER, HeaderValue::from_static("respond-async, wait=soon"))]);
        assert!(respond_async(&headers).is_err());
    }
}
