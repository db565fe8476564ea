//! The contract suite: what every engine must do, as checks that any engine's tests can run.
//!
//! [`check_all`] runs every check against an engine of its own and panics with all that failed, by name. [`violations`] gives them
//! instead, and [`differential::differential`] compares two engines over a seeded sequence of operations. The suite starts no runtime and
//! no threads but one that watches for checks that hang. It knows nothing of disks: what must survive a crash is for an
//! engine's own tests.

mod bounds;
mod commands;
mod conditions;
mod differential;
mod draft;
mod events;
mod generate;
pub mod histories;
mod live;
mod order;
mod patience;
mod places;
mod reading;
mod registers;
mod side;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::contract_traits::{BoxFuture, Journal};
use crate::registers::Registers;

pub use differential::{Difference, Differential, differential};
pub use generate::{Attempt, Generator, Operation, Place, RegisterAim};
pub use patience::PATIENCE;
pub use side::Reached;

/// An engine under test: empty, and used by nobody else.
#[derive(Clone)]
pub struct Engine {
    /// Its journal.
    pub journal: Arc<dyn Journal>,
    /// Its registers.
    pub registers: Arc<dyn Registers>,
}

impl Engine {
    /// From an engine that is both.
    pub fn of(engine: impl Journal + Registers) -> Self {
        let engine = Arc::new(engine);
        Self { journal: Arc::clone(&engine) as _, registers: engine }
    }
}

/// What an engine did not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The check that found it.
    pub check: &'static str,
    /// What was seen and what was expected.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "contract check {}: {}", self.check, self.message)
    }
}

/// A check's finding, without its name.
#[derive(Debug)]
pub(crate) struct Broken(String);

/// Every error that a check does not expect is a finding.
impl<E: std::error::Error> From<E> for Broken {
    fn from(error: E) -> Self {
        Self(format!("unexpected error: {error}"))
    }
}

type Outcome = Result<(), Broken>;

struct Check {
    name: &'static str,
    run: fn(Engine) -> BoxFuture<'static, Outcome>,
}

/// Ends a check with a finding unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err($crate::contract::Broken(format!($($message)+)));
        }
    };
}

/// Ends a check with a finding unless both sides are equal.
macro_rules! ensure_eq {
    ($actual:expr, $expected:expr, $($what:tt)+) => {
        match (&$actual, &$expected) {
            (actual, expected) if actual == expected => {}
            (actual, expected) => {
                return Err($crate::contract::Broken(format!("{}: expected {expected:?}, found {actual:?}", format_args!($($what)+))));
            }
        }
    };
}

macro_rules! checks {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$(Check { name: stringify!($name), run: |engine| Box::pin($module::$name(engine)) }),*]
    };
}

use {ensure, ensure_eq};

const CHECKS: &[Check] = checks![
    events::an_event_reads_back_byte_for_byte,
    events::commands_of_one_entity_number_their_events_on,
    events::a_commit_over_several_entities_is_whole,
    events::a_refused_commit_leaves_nothing,
    events::sequences_are_dense_and_positions_grow,
    events::an_eventless_command_leaves_its_record_only,
    events::time_never_goes_back_within_an_entity,
    events::an_import_keeps_its_id_and_time,
    events::a_deleted_entity_goes_on,
    events::the_head_is_the_last_event,
    bounds::a_commit_at_each_bound_is_taken,
    bounds::a_commit_beyond_a_bound_is_refused_with_its_number,
    bounds::a_malformed_commit_is_invalid,
    conditions::new_and_head_and_any,
    conditions::a_conflict_gives_the_head,
    conditions::a_foreign_guard_guards,
    conditions::a_tag_condition_fails_on_a_match,
    conditions::a_tag_condition_counts_only_what_comes_after,
    conditions::a_tag_condition_takes_types_and_all_of_its_tags,
    conditions::a_tag_condition_fails_on_any_item,
    conditions::a_commits_own_events_do_not_count,
    conditions::a_condition_with_a_refused_cursor_is_invalid,
    conditions::checks_come_in_their_order,
    commands::a_duplicate_gives_the_first_reply,
    commands::another_name_or_body_is_a_mismatch,
    commands::without_a_fingerprint_no_body_is_another,
    commands::every_command_of_a_commit_is_checked,
    commands::ids_belong_to_their_entity,
    commands::a_refused_command_is_not_remembered,
    commands::find_command_finds_what_took_effect,
    order::an_append_takes_its_place_when_it_is_called,
    order::a_dropped_append_is_not_undone,
    order::one_winner_an_expected_sequence,
    order::many_writers_leave_one_order,
    order::twins_take_effect_once,
    reading::selections_give_what_they_name,
    reading::a_read_resumes_after_every_event,
    reading::a_sparse_read_makes_progress,
    reading::a_read_to_the_head_ends_there,
    live::a_live_read_wakes,
    live::a_live_read_tells_that_it_has_caught_up,
    live::a_dropped_wait_loses_nothing,
    live::a_commit_is_visible_at_once,
    live::nothing_is_visible_beyond_the_head,
    places::cursors_beyond_or_of_strangers_are_refused,
    places::a_cursor_survives_its_text,
    places::cursor_at_is_before_the_first_event_of_its_time,
    places::entities_are_listed_in_order,
    registers::a_register_is_set_and_read,
    registers::a_put_compares_first,
    registers::revisions_are_never_reused,
    registers::registers_are_listed_by_prefix,
    registers::register_bounds_hold,
    registers::a_watch_is_told,
    registers::one_winner_a_revision,
    registers::a_fence_holds_stale_owners_off,
    registers::a_fence_holds_stale_owners_off_registers,
    registers::a_fenced_write_is_before_the_takeover_or_refused,
];

/// The names of all checks.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|check| check.name)
}

/// Runs every check, each against a new engine.
///
/// # Panics
/// When a check fails; the message names every one that did.
pub async fn check_all(new_engine: impl Fn() -> BoxFuture<'static, Engine>) {
    let found = violations(new_engine, PATIENCE).await;
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} of {} contract checks failed:\n{}", found.len(), CHECKS.len(), lines.join("\n"));
}

/// Runs every check, each against a new engine, and gives what was not kept. A check that waits longer than `patience` counts as hung.
pub async fn violations(new_engine: impl Fn() -> BoxFuture<'static, Engine>, patience: Duration) -> Vec<Violation> {
    let mut found = Vec::new();
    for check in CHECKS {
        let engine = new_engine().await;
        if let Err(Broken(message)) = patience::within(patience, (check.run)(engine)).await {
            found.push(Violation { check: check.name, message });
        }
    }
    found
}
