//! Headwater as users see it: a service embedded in a program, and a service in a test.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod calls;
mod changed;
mod contained;
mod deadly;
mod embedded;
mod engine;
mod parked;
mod peers;
mod personal;
mod processors;
mod published;
mod quoted;
mod reshaped;
mod retention;
mod rewound;
mod shared_views;
mod testkit;
mod timers;
mod told;
mod webhooks;
mod witness;
