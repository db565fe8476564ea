//! Timers in a test.

use runtime::{TimerName, TimerSelection, TimerSight};

use super::Testkit;

/// Timers that a test gets to see at once.
const ALL: u32 = 10_000;

impl Testkit {
    /// A timer by its name, also one that has fired or was cancelled; `None` when it was never set. [`advance`](Self::advance) moves time to
    /// where it is due.
    ///
    /// # Panics
    /// When the journal cannot be read.
    #[track_caller]
    pub fn timer(&self, name: &str) -> Option<TimerSight> {
        let name = TimerName { tenant: String::new(), name: name.to_owned() };
        let seen = self.simulation().ask(move |runtime| {
            let name = name.clone();
            Box::pin(async move { runtime.timer(&name).await })
        });
        seen.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The names of the timers that wait or are parked, in order.
    ///
    /// # Panics
    /// When they cannot be read.
    #[track_caller]
    pub fn timers(&self) -> Vec<String> {
        let listed = self
            .simulation()
            .ask(|runtime| Box::pin(async move { runtime.timer_list(TimerSelection { limit: ALL, ..TimerSelection::default() }).await }));
        listed.unwrap_or_else(|error| panic!("{error}")).into_iter().map(|timer| timer.name).collect()
    }
}
