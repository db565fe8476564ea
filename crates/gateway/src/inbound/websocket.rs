//! WebSockets (RFC 6455): the handshake that turns a request into one, and the socket that it becomes.
//!
//! Frames are read and written by `tungstenite`, which is named in this module and nowhere else. What is here holds the bounds: what a peer
//! may say at once, what waits to be written (nothing is put while something waits, but for a word or two of ours), and how long a goodbye takes.
//!
//! What it is not: it knows neither streams nor events. There are no extensions, so nothing is compressed.

mod handshake;
mod socket;

pub(super) use handshake::{Handshake, is_wanted};
pub(super) use socket::{Farewell, Heard, Socket};
