//! Headwater: you write the rules, it runs the flow.
//!
//! The one crate that a service adds. You write how a command becomes events and how events become state;
//! [`Service`] makes them durable, serves them over HTTP and is its own command line.
//!
//! ```no_run
//! use headwater::prelude::*;
//!
//! #[derive(Default, State)]
//! struct Counter { count: u64 }
//!
//! #[derive(Command)]
//! enum CounterCommand { #[command("add")] Add { by: u64 } }
//!
//! #[derive(Event)]
//! enum CounterEvent { #[event("added")] Added { by: u64 } }
//!
//! #[derive(Rejection)]
//! enum CounterRejection { #[rejection("nothing-to-add", "add at least 1")] NothingToAdd }
//!
//! impl Entity for Counter {
//!     const NAME: &'static str = "counter";
//!     type Command = CounterCommand;
//!     type Event = CounterEvent;
//!     type Reply = ();
//!     type Rejection = CounterRejection;
//!
//!     fn decide(&self, command: CounterCommand, _: &CommandContext) -> Result<Decision<CounterEvent>, CounterRejection> {
//!         match command {
//!             CounterCommand::Add { by: 0 } => Err(CounterRejection::NothingToAdd),
//!             CounterCommand::Add { by } => Ok(record(CounterEvent::Added { by })),
//!         }
//!     }
//!
//!     fn evolve(&mut self, event: &CounterEvent) {
//!         let CounterEvent::Added { by } = event;
//!         self.count = self.count.saturating_add(*by);
//!     }
//! }
//!
//! fn main() -> headwater::Exit {
//!     Service::new("counters").entity::<Counter>().run()
//! }
//! ```
//!
//! What it is not: the rooms behind it (`journal`, `runtime`, `gateway`) have no other door; this one holds wiring,
//! configuration and the command line, and no rule of its own.

#[doc(hidden)]
pub mod client;
#[doc(hidden)]
pub mod command_line;
mod config;
#[doc(hidden)]
pub mod descriptors;
mod engine;
mod exit;
mod export;
mod failure;
#[cfg(feature = "testkit")]
#[doc(hidden)]
pub mod fuzzing;
mod given_view;
mod limits;
mod migrate;
#[doc(hidden)]
pub mod output;
pub mod prelude;
mod restore;
mod running;
mod service;
mod shared_views;
mod signals;
mod store;
#[cfg(feature = "testkit")]
pub mod testkit;
#[doc(hidden)]
pub mod threads;

#[doc(hidden)]
pub use component::__private;
pub use component::SqlValue;

pub use client::{Answered, Client, DueTimer, NamedTimer, Outcome, SendError, Sent, TimerStatus};
#[doc(hidden)]
pub use exit::EXIT_CODES_HELP;
pub use exit::Exit;
pub use failure::Failure;
pub use gateway::Page;
pub use given_view::{AskedView, GivenView, given_view};
/// The allocator that a service should have: `mimalloc`. Many small pieces of memory go from one thread to another here, which the C
/// library's allocator is slow at, and gives back late. It is yours to choose, in the program:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: headwater::Allocator = headwater::Allocator;
/// # fn main() {}
/// ```
pub use mimalloc::MiMalloc as Allocator;
pub use running::Running;
pub use runtime::{DestinationPolicy, DestinationState, DestinationStatus, Erasure};
pub use service::Service;
