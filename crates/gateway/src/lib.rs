//! The gateway: the only room that knows HTTP, as server ([`serve`], and of [`Pages`] beside the API), as client ([`client`], and
//! [`outgoing`] for actions) and in
//! what it says about itself ([`openapi`], [`asyncapi`], [`problem`]).
//!
//! It promises that bad input is refused with a problem that names the part, the bound and the remedy, that it never
//! becomes a status of 500 or above, and that it never has an effect. It decides nothing: commands, states and histories
//! are the runtime's, streams are the journal's. Status codes exist nowhere else.
//!
//! What it is not: it opens no files, reads no environment and keeps nothing but what a request needs while it lasts.

mod calendar;
pub mod client;
mod cloudevent;
mod describe;
#[cfg(feature = "echo")]
pub mod echo;
mod inbound;
mod json;
pub mod limits;
mod nearest;
pub mod outgoing;
mod page;
pub mod peers;
pub mod problem;

pub use describe::{asyncapi, openapi};
#[doc(hidden)]
pub use inbound::told;
pub use inbound::{Options, serve};
pub use page::{Page, PageError, Pages};
