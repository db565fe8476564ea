//! Destinations that actions call, as a test answers for them.

use runtime::DestinationStatus;
use runtime::testing::{HttpAnswer, HttpRequest};

use super::Testkit;

impl Testkit {
    /// Answers the calls of actions to a destination from now on, in this and all later processes: scheme, host and port are meant, as in
    /// `https://pay.example`. A call to a destination without a stub fails the test.
    ///
    /// # Panics
    /// When the address is not one of a destination.
    #[track_caller]
    pub fn stub_http(&self, destination: &str, stub: impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static) {
        self.member.stubs.set(destination, stub);
    }

    /// The calls that have reached a destination, in order, in all processes. A call that is made again is there again, under the same key.
    ///
    /// # Panics
    /// When the address is not one of a destination.
    #[must_use]
    #[track_caller]
    pub fn http_calls(&self, destination: &str) -> Vec<HttpRequest> {
        self.member.stubs.calls(destination)
    }

    /// How the destinations are that this process has called or names.
    #[must_use]
    pub fn destinations(&self) -> Vec<DestinationStatus> {
        self.simulation().ask(|runtime| Box::pin(async move { runtime.destinations() }))
    }
}
