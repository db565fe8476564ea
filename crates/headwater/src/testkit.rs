//! A whole service in memory, under virtual time, with faults from a seed: what a test of more than one component is written with.
//!
//! It needs the feature `testkit`, which belongs under `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! headwater = { version = "0.1", features = ["testkit"] }
//! ```
//!
//! The service is the one that ships: its rules, its delivery, its views. Time stands still until [`Testkit::advance`] moves it, and who
//! goes first follows from the seed, so that one seed replays a test exactly. A failing test prints its seed; `HEADWATER_SEED` sets it.
//!
//! ```
//! use headwater::prelude::*;
//! use headwater::testkit::{Testkit, days};
//! # #[derive(Debug, Default, PartialEq, State)] struct Cart { pieces: u32 }
//! # #[derive(Command)] enum CartCommand { #[command("add")] Add { pieces: u32 } }
//! # #[derive(Debug, PartialEq, Event)] enum CartEvent { #[event("added")] Added { pieces: u32 } }
//! # impl Entity for Cart {
//! #     const NAME: &'static str = "cart";
//! #     type Command = CartCommand; type Event = CartEvent; type Reply = (); type Rejection = std::convert::Infallible;
//! #     fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> {
//! #         let CartCommand::Add { pieces } = command;
//! #         Ok(record(CartEvent::Added { pieces }))
//! #     }
//! #     fn evolve(&mut self, event: &CartEvent) { let CartEvent::Added { pieces } = event; self.pieces += pieces; }
//! # }
//!
//! fn shop() -> Service {
//!     Service::new("shop").entity::<Cart>()
//! }
//!
//! let shop = Testkit::new(shop).seed(7).duplicates().crashes(0.01);
//! shop.send::<Cart>("c1", CartCommand::Add { pieces: 2 }).unwrap();
//! shop.advance(days(3));
//! shop.crash();
//! assert_eq!(shop.state::<Cart>("c1"), Some(Cart { pieces: 2 }));
//! assert_eq!(shop.events::<Cart>("c1"), [CartEvent::Added { pieces: 2 }]);
//! ```
//!
//! What it is not: a test of the disk or of HTTP. Nothing here listens or calls (see [`Testkit::stub_http`]), and the journal is in memory; what a power cut does to the real
//! one is tested by Headwater itself.

mod beside;
mod erase;
mod held;
mod http;
mod key;
mod peer;
mod processor;
mod read;
mod timer;
mod topic;
mod workflow;

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use component::{Entity, Operation, Rule};
use journal::seams::Clock as _;
use runtime::testing::{Faults, Simulation};
pub use runtime::testing::{HttpAnswer, HttpRequest};
pub use runtime::{TimerFiring, TimerSight, TimerState, WorkflowState};

use crate::client::SendError;
use crate::service::Service;
use beside::{Member, Together};
pub use held::Held;
pub use key::Keyed;
pub use workflow::Workflow;

/// Sets the seed of every testkit, over what the test says.
pub const SEED_VARIABLE: &str = "HEADWATER_SEED";

/// So many seconds.
#[must_use]
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// So many minutes.
#[must_use]
pub const fn minutes(count: u64) -> Duration {
    seconds(60 * count)
}

/// So many hours.
#[must_use]
pub const fn hours(count: u64) -> Duration {
    minutes(60 * count)
}

/// So many days.
#[must_use]
pub const fn days(count: u64) -> Duration {
    hours(24 * count)
}

/// The seeds of a test that runs under many: these, or the one of `HEADWATER_SEED` alone.
///
/// ```
/// for seed in headwater::testkit::seeds(20) {
///     assert!(seed < 20);
/// }
/// ```
#[must_use]
pub fn seeds(count: u64) -> Range<u64> {
    match seed_of_environment() {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

/// A service in a test. See the [module](self).
///
/// What it is made of is said first; it begins with the first question to it.
pub struct Testkit {
    member: Rc<Member>,
    /// This service, and those beside it.
    together: Together,
    /// How many commands were sent without a key of the test's own.
    sent: Cell<u64>,
}

impl Testkit {
    /// A service in memory, from the function that makes it: each process makes it anew.
    #[must_use]
    pub fn new(service: impl Fn() -> Service + 'static) -> Self {
        let member = Rc::new(Member::new(service, seed_of_environment().unwrap_or_default()));
        Self { together: Together::of(&member), member, sent: Cell::new(0) }
    }

    /// Who goes first, and which faults there are, follows from this number; 0 unless it is said.
    #[must_use]
    #[track_caller]
    pub fn seed(self, seed: u64) -> Self {
        let seed = seed_of_environment().unwrap_or(seed);
        self.member.seed.set(seed);
        self.begins_later()
    }

    /// Half of the runs of actions that succeed are delivered again, and half of the commands are sent again under their key.
    #[must_use]
    #[track_caller]
    pub fn duplicates(self) -> Self {
        self.with(|faults| faults.duplicates = true)
    }

    /// Runs of actions, the journal's answers and the registers' take virtual time: up to 2 seconds a run, 40 milliseconds the others.
    #[must_use]
    #[track_caller]
    pub fn delays(self) -> Self {
        self.with(|faults| faults.delays = true)
    }

    /// Runs for different entities overtake each other far; those for one entity never do.
    #[must_use]
    #[track_caller]
    pub fn reorder(self) -> Self {
        self.with(|faults| faults.reorder = true)
    }

    /// The process ends before any step of any of its tasks with this probability, and another one begins over the same journal. A
    /// hundredth is a lot: a command takes some ten steps. An event is never blamed for that: see [`crash`](Self::crash).
    ///
    /// # Panics
    /// When it is no probability below one half.
    #[must_use]
    #[track_caller]
    pub fn crashes(self, probability: f64) -> Self {
        assert!((0.0..0.5).contains(&probability), "a probability from 0 to below 0.5 is meant, not {probability}");
        self.with(|faults| faults.crashes = probability)
    }

    #[track_caller]
    fn with(self, change: impl FnOnce(&mut Faults)) -> Self {
        let mut faults = self.member.faults.get();
        change(&mut faults);
        self.member.faults.set(faults);
        self.begins_later()
    }

    #[track_caller]
    fn begins_later(self) -> Self {
        assert!(!self.member.has_begun(), "the service has begun; say seed, faults and neighbours before the first question to it");
        self
    }

    /// Sends a command to an entity, under a key of its own, and gives the reply. When the process ends meanwhile it is sent to the next
    /// one, under the same key, as a client would.
    ///
    /// # Errors
    /// See [`SendError`], which the client gives too.
    pub fn send<E: Entity>(&self, id: &str, command: E::Command) -> Result<E::Reply, SendError<E::Rejection>> {
        self.keyed(self.next_key()).send::<E>(id, command)
    }

    /// Sends a command that is taken now and decided later; gives the key under which [`outcome`](Self::outcome) finds it.
    ///
    /// # Errors
    /// See [`SendError`]; a rejection is an outcome and not an error here.
    pub fn send_later<E: Entity>(&self, id: &str, command: E::Command) -> Result<String, SendError> {
        self.keyed(self.next_key()).send_later::<E>(id, command)
    }

    /// Runs an operation.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn operation<O: Operation>(&self, input: O::Input) -> Result<O::Reply, SendError<O::Rejection>> {
        self.keyed(self.next_key()).operation::<O>(input)
    }

    /// Runs a rule.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn rule<R: Rule>(&self, input: R::Input) -> Result<R::Reply, SendError<R::Rejection>> {
        self.keyed(self.next_key()).rule::<R>(input)
    }

    /// The same for one command under a key of the test's own: the same key again gives the first answer again.
    pub fn keyed(&self, key: impl Into<String>) -> Keyed<'_> {
        Keyed { testkit: self, key: key.into() }
    }

    /// Goes on until every consumer and every view has seen all there is and nothing is due, also of the services
    /// [beside](Self::beside) it. Keys that wait for a retry are not waited for, nor are parked ones: [`advance`](Self::advance),
    /// [`held`](Self::held).
    ///
    /// # Panics
    /// With what is still open, when that does not end.
    #[track_caller]
    pub fn settle(&self) {
        let parked = || self.parked().iter().map(|held| format!("\n{held}")).collect::<String>();
        self.begun().settle().unwrap_or_else(|open| panic!("the service does not come to rest:\n{open}{}", parked()));
    }

    /// Moves time on, stopping wherever something is due, also for the services [beside](Self::beside) it.
    pub fn advance(&self, time: Duration) {
        self.begun().advance(time);
    }

    /// What time it is: microseconds since 1970, UTC. It begins with 2026.
    #[must_use]
    pub fn now_micros(&self) -> i64 {
        self.simulation().clock().now().as_micros()
    }

    /// Ends the process where it is, as a kill does, and begins another one over the same journal. Memory is gone, snapshots may be, views
    /// are filled again. An event whose run ends three processes in a row is parked.
    pub fn crash(&self) {
        self.simulation().crash();
    }

    /// Stops the process in order, as an update does, and begins another one.
    pub fn restart(&self) {
        self.simulation().restart();
    }

    /// How often the process has ended otherwise than in order: by [`crash`](Self::crash) or by [`crashes`](Self::crashes).
    #[must_use]
    pub fn crash_count(&self) -> u32 {
        self.simulation().crashes()
    }

    /// How many runs of actions have begun, in all processes.
    #[must_use]
    pub fn run_count(&self) -> u64 {
        self.simulation().runs()
    }

    fn simulation(&self) -> &Simulation {
        self.together.begin();
        self.member.simulation()
    }

    fn begun(&self) -> &Together {
        self.together.begin();
        &self.together
    }

    fn next_key(&self) -> String {
        self.sent.set(self.sent.get() + 1);
        format!("testkit-{}", self.sent.get())
    }
}

impl Drop for Testkit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The harness shows it with the failure.
            eprintln!(
                "testkit: the seed was {}; {SEED_VARIABLE}={} runs the test under it again",
                self.member.seed.get(),
                self.member.seed.get()
            );
        }
    }
}

fn seed_of_environment() -> Option<u64> {
    let text = std::env::var(SEED_VARIABLE).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{SEED_VARIABLE} is `{text}`; it must be a number, such as 7")))
}
