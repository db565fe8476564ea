//! `Headwater-Timeout-Ms`: how long the caller waits. Work that nobody waits for any more is not begun, and nobody is kept waiting beyond it.
//!
//! It is a time that is left, from the end of the request's head, and no moment: nobody's clock must agree with anybody's.

use std::future::Future;

use http::HeaderMap;
use tokio::time::{Duration, Instant, timeout_at};

use super::headers::{IDEMPOTENCY_KEY, TIMEOUT_MS, invalid, single};
use crate::problem::{DEADLINE_PASSED, INVALID_HEADER, OUTCOME_UNKNOWN, Problem};

/// When the caller has gone; `None` when it does not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// From now on. What lies beyond a day is no deadline.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(text) = single(headers, &TIMEOUT_MS, INVALID_HEADER)? else { return Ok(Self(None)) };
        let is_number = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
        let millis: u64 = text
            .parse()
            .ok()
            .filter(|_| is_number)
            .ok_or_else(|| invalid(&TIMEOUT_MS, "must be a whole number of milliseconds that are left, such as 2500"))?;
        let time = Duration::from_millis(millis);
        Ok(Self((time <= DAY).then(|| Instant::now() + time)))
    }

    /// Does the work if there is time left, and waits for it no longer than there is. `key` is what the caller may ask by later.
    pub(super) async fn hold<T>(self, key: Option<&str>, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        let Some(at) = self.0 else { return work.await };
        if at <= Instant::now() {
            return Err(Problem::new(DEADLINE_PASSED, "the caller's time was over before this was begun; nothing happened"));
        }
        timeout_at(at, work).await.unwrap_or_else(|_| {
            let detail = "the outcome is unknown (the caller's time was over before it was there); send the same command id again";
            let problem = Problem::new(OUTCOME_UNKNOWN, detail);
            Err(match key {
                Some(key) => problem.member("key", key).header(IDEMPOTENCY_KEY, key),
                None => problem,
            })
        })
    }
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn deadline(text: &str) -> Result<Deadline, Problem> {
        Deadline::read(&HeaderMap::from_iter([(TIMEOUT_MS, text.parse().unwrap())]))
    }

    #[test]
    fn only_whole_numbers_are_times() {
        assert!(deadline("2500").unwrap().0.is_some());
        assert!(deadline("100000000000").unwrap().0.is_none(), "beyond a day is no deadline");
        for bad in ["", "-1", "+1", "2.5", "soon", "1s", "99999999999999999999"] {
            assert_eq!(deadline(bad).unwrap_err().code(), INVALID_HEADER, "{bad}");
        }
        assert!(Deadline::read(&HeaderMap::new()).unwrap().0.is_none());
    }

    #[tokio::test]
    async fn work_is_not_begun_too_late_and_not_waited_for_too_long() {
        let begun = async { panic!("nobody waits for this") };
        let refused = deadline("0").unwrap().hold::<()>(None, begun).await.unwrap_err();
        assert_eq!(refused.code(), DEADLINE_PASSED);
        let refused = deadline("1").unwrap().hold::<()>(Some("k"), pending()).await.unwrap_err();
        assert_eq!((refused.code(), refused.headers().len()), (OUTCOME_UNKNOWN, 1));
        assert_eq!(deadline("60000").unwrap().hold(None, ready(Ok(7))).await.unwrap(), 7);
    }
}
