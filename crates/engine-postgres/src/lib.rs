//! The journal and its registers on PostgreSQL (15 or newer), for many nodes of one service, and the tables of its shared views (`views`).
//!
//! It promises what the contract promises. The lock on one row, `head`, is the sequencer: whoever holds it checks, gives positions, writes and
//! commits, so that position order is commit order, whatever number of nodes write. Each node gathers its commits into one transaction
//! (`write`); readers go by positions up to the head row's and never wait for a gap (`read`); `NOTIFY` is a hint (`listener`). A server that
//! would lose what it acknowledges is refused (`server`). A whole history comes in and goes out by `moving`. ADR 26 says why there is one head row.
//!
//! What it is not: it makes no copies and fails over to none; that is the server's work. It keeps nothing in memory but how far the journal has
//! come, and the latest events while somebody follows them. It runs on the async runtime that its caller has started.
//!
//! Limits are in `limits`, the tables in `migrations`.

mod address;
mod claim;
mod error;
mod journal_engine;
mod limits;
mod listener;
mod lookup;
mod moving;
mod pool;
mod questions;
mod reach;
mod read;
mod registers;
mod rows;
mod schema;
mod server;
mod tls;
mod views;
mod write;

pub use address::Address;
pub use error::OpenError;
pub use journal_engine::{Options, PostgresJournal};
pub use moving::{FillError, Filling, History, Origin};
pub use views::PostgresViews;
