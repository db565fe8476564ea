//! Reading: pages of events behind a place, found by position, entity, type or tag; and listings of keys.
//!
//! A reader never waits for a gap: positions are given under the lock on the head, so that all up to the head row's position is there when the
//! head row says so.
//!
//! A live reader that has caught up takes new events from memory (`tail`), which one task fills for all of them (`follower`).

mod follower;
mod keys;
mod pages;
mod source;
mod tail;

pub(crate) use follower::Follower;
pub(crate) use keys::keys;
pub(crate) use source::Sources;
pub(crate) use tail::Tail;
