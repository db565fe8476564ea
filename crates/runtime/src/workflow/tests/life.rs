//! Signals, times, other workflows, and what people do with workflows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use component::hosted::{FailureKind, WorkflowHandle};
use component::{ActionError, CommandFailure, Either, Failure, Signals, Workflow, WorkflowContext, hosted_workflow, join, join_all, race};
use journal::seams::Clock as _;

use super::bank::{Account, AccountCommand, AccountRejection, account, deposit};
use super::*;
use crate::limits::{WORKFLOW_RECORDS_MAX, WORKFLOWS_IN_MEMORY_MAX};

const MINUTE: Duration = Duration::from_secs(60);

/// A workflow of a test: a name, and a function.
macro_rules! workflow {
    ($type:ident, $name:literal, $input:ty => $output:ty, [$($signal:literal: $body:ty),*], |$this:ident, $ctx:ident, $given:ident| $run:block) => {
        impl Workflow for $type {
            const NAME: &'static str = $name;
            type Input = $input;
            type Output = $output;

            async fn run(&self, $ctx: &WorkflowContext, $given: $input) -> Result<$output, Failure> {
                let $this = self;
                $run
            }

            fn signals() -> Signals {
                Signals::none()$(.with::<$body>($signal))*
            }
        }
    };
}

pub(super) use workflow;

pub(super) fn settle(bank: &Simulation) {
    bank.settle().unwrap();
}

/// Waits for a decision, for an hour at most.
struct Approval;

workflow!(Approval, "approval", String => String, ["decision": bool, "note": String], |_this, ctx, what| {
    let decision = ctx.wait_for::<bool>("decision").timeout(60 * MINUTE).await;
    let note = match decision {
        Some(true) => ctx.wait_for::<String>("note").await,
        Some(false) => return Err(Failure::new("refused", "somebody said no").with_data(&what)),
        None => return Err(Failure::new("late", "nobody decided")),
    };
    Ok(format!("{what}: {note}"))
});

fn approvals() -> Vec<WorkflowHandle> {
    vec![hosted_workflow(Approval)]
}

#[test]
fn signals_are_taken_in_order_and_none_is_lost_that_comes_early() {
    let bank = bank(1, Faults::default(), approvals);
    start(&bank, "approval", "a1", r#""new door""#).unwrap();
    settle(&bank);
    let waiting = sight(&bank, "approval", "a1");
    assert_eq!((waiting.state, why(&waiting)), (WorkflowState::Waiting, "signal `decision`"));
    signal(&bank, "approval", "a1", "note", r#""green""#).unwrap();
    bank.crash();
    signal(&bank, "approval", "a1", "decision", "true").unwrap();
    settle(&bank);
    assert_eq!(output(&sight(&bank, "approval", "a1")), r#""new door: green""#);
    let late = signal(&bank, "approval", "a1", "note", r#""red""#);
    assert!(matches!(late, Err(WorkflowError::NotNow { state: WorkflowState::Completed, .. })), "{late:?}");
}

#[test]
fn a_signal_that_does_not_fit_is_refused_with_those_that_there_are() {
    let bank = bank(1, Faults::default(), approvals);
    start(&bank, "approval", "a1", r#""x""#).unwrap();
    let unknown = signal(&bank, "approval", "a1", "desicion", "true").unwrap_err();
    assert_eq!(unknown.to_string(), "no such command; there are: decision, note");
    assert!(signal(&bank, "approval", "a1", "decision", r#""yes""#).is_err());
    assert!(matches!(signal(&bank, "approval", "a2", "decision", "true"), Err(WorkflowError::NotFound { .. })));
}

#[test]
fn a_wait_ends_when_its_time_is_over_and_not_before() {
    let bank = bank(1, Faults::default(), approvals);
    start(&bank, "approval", "a1", r#""x""#).unwrap();
    bank.advance(59 * MINUTE);
    settle(&bank);
    assert_eq!(sight(&bank, "approval", "a1").state, WorkflowState::Waiting);
    bank.crash();
    bank.advance(MINUTE + Duration::from_secs(1));
    settle(&bank);
    let late = sight(&bank, "approval", "a1");
    assert_eq!((late.state, late.failure.unwrap().code.as_str()), (WorkflowState::Failed, "late"));
}

#[test]
fn a_clock_that_is_set_back_and_forth_wakes_nobody_early_and_forgets_nobody() {
    let bank = bank(1, Faults::default(), approvals);
    start(&bank, "approval", "a1", r#""x""#).unwrap();
    settle(&bank);
    bank.clock().advance(-3_600_000_000);
    bank.advance(100 * MINUTE);
    settle(&bank);
    assert_eq!(sight(&bank, "approval", "a1").state, WorkflowState::Waiting, "by its clock it is 40 minutes later");
    bank.clock().advance(3_600_000_000);
    bank.advance(MINUTE);
    settle(&bank);
    assert_eq!(sight(&bank, "approval", "a1").state, WorkflowState::Failed);
}

#[test]
fn one_that_is_started_again_is_the_same_one_and_another_input_is_refused() {
    let bank = bank(1, Faults::default(), approvals);
    assert!(start(&bank, "approval", "a1", r#""x""#).unwrap().changed);
    let again = bank.ask(|runtime| {
        let wish = WorkflowWish { name: name("approval", "a1"), id: None, context: Context::default() };
        Box::pin(async move { runtime.order_workflow(wish, WorkflowOrder::Start { input: r#" "x" "#.into() }).await })
    });
    assert!(!again.unwrap().changed);
    assert!(matches!(start(&bank, "approval", "a1", r#""y""#), Err(WorkflowError::Other { .. })));
    assert!(matches!(start(&bank, "aproval", "a1", r#""y""#), Err(WorkflowError::Unknown { .. })));
    assert!(start(&bank, "approval", "a2", "7").is_err(), "it is no text");
}

/// Asks two accounts at once, and races a signal against a time.
struct Together;

workflow!(Together, "together", u32 => Vec<i64>, ["go": u32], |_this, ctx, minutes| {
    let give = |cents| AccountCommand::Deposit { cents };
    let (first, second) = join(ctx.command::<Account>("a", give(1)), ctx.command::<Account>("b", give(2))).await;
    let mut all = vec![first?, second?];
    for reply in join_all((0..3).map(|cents| ctx.command::<Account>(format!("c{cents}"), give(cents)))).await {
        all.push(reply?);
    }
    match race(ctx.wait_for::<u32>("go"), ctx.sleep(minutes * MINUTE)).await {
        Either::First(go) => all.push(i64::from(go)),
        Either::Second(()) => all.push(-1),
    }
    // What lost the race must not be waited for here.
    ctx.sleep(MINUTE).await;
    Ok(all)
});

#[test]
fn what_runs_side_by_side_comes_together_and_what_loses_a_race_is_let_go() {
    let bank = bank(1, Faults { crashes: 0.005, delays: true, ..Faults::default() }, || vec![hosted_workflow(Together)]);
    start(&bank, "together", "slow", "10").unwrap();
    start(&bank, "together", "fast", "10").unwrap();
    bank.advance(MINUTE);
    signal(&bank, "together", "fast", "go", "7").unwrap();
    bank.advance(5 * MINUTE);
    settle(&bank);
    let fast = sight(&bank, "together", "fast");
    assert!(output(&fast).ends_with(",7]"), "{fast:?}");
    bank.advance(10 * MINUTE);
    settle(&bank);
    assert!(output(&sight(&bank, "together", "slow")).ends_with(",-1]"));
    assert_eq!((account(&bank, "a").0, account(&bank, "b").0, account(&bank, "c2").0), (2, 4, 4));
}

/// Runs an approval and says what came of it.
struct Boss;

workflow!(Boss, "boss", String => String, [], |_this, ctx, what| {
    ctx.command::<Account>("a", AccountCommand::Deposit { cents: 5 }).undo_command::<Account>("back", "a", AccountCommand::Withdraw { cents: 5 }).await?;
    Ok(format!("child said {}", ctx.child::<Approval>(format!("of-{}", ctx.id()), &what).await?))
});

fn bosses() -> Vec<WorkflowHandle> {
    vec![hosted_workflow(Boss), hosted_workflow(Approval)]
}

#[test]
fn a_child_gives_its_output_or_its_failure_whoever_crashes() {
    for seed in 0..20 {
        let bank = bank(seed, Faults { crashes: 0.01, ..Faults::default() }, bosses);
        for id in ["b1", "b2"] {
            start(&bank, "boss", id, r#""x""#).unwrap();
        }
        settle(&bank);
        signal(&bank, "approval", "of-b1", "decision", "true").unwrap();
        signal(&bank, "approval", "of-b1", "note", r#""fine""#).unwrap();
        signal(&bank, "approval", "of-b2", "decision", "false").unwrap();
        settle(&bank);
        assert_eq!(output(&sight(&bank, "boss", "b1")), r#""child said x: fine""#, "seed {seed}");
        let failed = sight(&bank, "boss", "b2");
        assert_eq!((failed.state, failed.failure.unwrap().code.as_str()), (WorkflowState::Failed, "refused"), "seed {seed}");
        assert_eq!(account(&bank, "a").0, 5, "seed {seed}");
    }
}

#[test]
fn cancelling_cancels_the_child_and_undoes_what_was_done() {
    let bank = bank(1, Faults::default(), bosses);
    start(&bank, "boss", "b1", r#""x""#).unwrap();
    settle(&bank);
    assert!(order(&bank, "boss", "b1", &WorkflowOrder::Cancel { why: "enough".to_owned() }).unwrap().changed);
    settle(&bank);
    let (boss, child) = (sight(&bank, "boss", "b1"), sight(&bank, "approval", "of-b1"));
    assert_eq!((boss.state, child.state), (WorkflowState::Cancelled, WorkflowState::Cancelled));
    assert_eq!(account(&bank, "a"), (0, 2));
}

/// Takes more than there is.
struct Greedy;

workflow!(Greedy, "greedy", i64 => String, [], |_this, ctx, cents| {
    match ctx.command::<Account>("a", AccountCommand::Withdraw { cents }).await {
        Err(CommandFailure::Rejected(AccountRejection::NotEnough { has })) => Ok(format!("only {has}")),
        other => Ok(format!("{:?}", other.map_err(Failure::from)?)),
    }
});

#[test]
fn a_rejection_comes_as_its_type_and_as_a_failure_with_its_code() {
    let bank = bank(1, Faults::default(), || vec![hosted_workflow(Greedy)]);
    deposit(&bank, "a", 3);
    start(&bank, "greedy", "g1", "4").unwrap();
    settle(&bank);
    assert_eq!(output(&sight(&bank, "greedy", "g1")), r#""only 3""#);
}

/// A step that fails as often as it is told.
struct Stubborn {
    runs: Arc<AtomicU32>,
    fails: u32,
    undo_fails: Arc<AtomicBool>,
}

workflow!(Stubborn, "stubborn", u32 => u32, [], |this, ctx, attempts| {
    let (runs, fails, undo_fails) = (Arc::clone(&this.runs), this.fails, Arc::clone(&this.undo_fails));
    let run = ctx
        .step("work", move |_| {
            let run = runs.fetch_add(1, SeqCst) + 1;
            async move { if run <= fails { Err(ActionError::retry("not yet")) } else { Ok(run) } }
        })
        .attempts(attempts)
        .undo("clean", move |_, run: Option<u32>| {
            let fails = undo_fails.load(SeqCst);
            async move { if fails { Err(ActionError::park(format!("nobody knows how to undo {run:?}"))) } else { Ok(()) } }
        })
        .await?;
    if run == 1 { Err(Failure::new("too-soon", "it succeeded at once")) } else { Ok(run) }
});

fn stubborn(fails: u32, undo_fails: &Arc<AtomicBool>) -> (Arc<AtomicU32>, Simulation) {
    let (runs, undo_fails) = (Arc::new(AtomicU32::new(0)), Arc::clone(undo_fails));
    let ours = Arc::clone(&runs);
    let workflows = move || vec![hosted_workflow(Stubborn { runs: Arc::clone(&ours), fails, undo_fails: Arc::clone(&undo_fails) })];
    (runs, bank(1, Faults::default(), workflows))
}

#[test]
fn a_step_is_tried_as_often_as_it_says_and_then_it_has_failed() {
    let (runs, bank) = stubborn(2, &Arc::default());
    start(&bank, "stubborn", "s1", "3").unwrap();
    settle(&bank);
    bank.advance(MINUTE);
    assert_eq!((output(&sight(&bank, "stubborn", "s1")).as_str(), runs.load(SeqCst)), ("3", 3));
    let (runs, bank) = stubborn(9, &Arc::default());
    start(&bank, "stubborn", "s1", "3").unwrap();
    bank.advance(MINUTE);
    settle(&bank);
    let failed = sight(&bank, "stubborn", "s1");
    let failure = failed.failure.unwrap();
    assert_eq!((failed.state, failure.kind, runs.load(SeqCst)), (WorkflowState::Failed, FailureKind::GaveUp, 3));
    assert_eq!(failure.message, "not yet");
}

#[test]
fn an_undo_that_fails_waits_for_a_person_and_is_never_dropped() {
    for skip in [false, true] {
        let undo_fails = Arc::new(AtomicBool::new(true));
        let (_, bank) = stubborn(0, &undo_fails);
        start(&bank, "stubborn", "s1", "1").unwrap();
        settle(&bank);
        let parked = sight(&bank, "stubborn", "s1");
        assert_eq!(parked.state, WorkflowState::Paused);
        assert_eq!(why(&parked), "the undo `clean` failed: nobody knows how to undo Some(1) (failed)");
        bank.crash();
        bank.advance(24 * 60 * MINUTE);
        assert_eq!(sight(&bank, "stubborn", "s1").state, WorkflowState::Paused);
        undo_fails.store(skip, SeqCst);
        order(&bank, "stubborn", "s1", &WorkflowOrder::Resume { skip }).unwrap();
        settle(&bank);
        let ended = sight(&bank, "stubborn", "s1");
        assert_eq!((ended.state, ended.failure.unwrap().code.as_str()), (WorkflowState::Failed, "too-soon"), "skip: {skip}");
        let timeline = bank.ask(|runtime| Box::pin(async move { runtime.workflow_timeline(&name("stubborn", "s1")).await }));
        let undo = timeline.unwrap().unwrap().remove(0).undo.unwrap();
        assert_eq!(undo.state, if skip { "left-out" } else { "done" });
    }
}

#[test]
fn what_is_paused_begins_nothing_and_goes_on_when_it_is_resumed() {
    let bank = bank(1, Faults::default(), approvals);
    start(&bank, "approval", "a1", r#""x""#).unwrap();
    order(&bank, "approval", "a1", &WorkflowOrder::Pause { why: "holidays".to_owned() }).unwrap();
    signal(&bank, "approval", "a1", "decision", "true").unwrap();
    bank.advance(120 * MINUTE);
    settle(&bank);
    let paused = sight(&bank, "approval", "a1");
    assert_eq!((paused.state, why(&paused)), (WorkflowState::Paused, "holidays"));
    bank.crash();
    order(&bank, "approval", "a1", &WorkflowOrder::Resume { skip: false }).unwrap();
    settle(&bank);
    let resumed = sight(&bank, "approval", "a1");
    assert_eq!((resumed.state, why(&resumed)), (WorkflowState::Waiting, "signal `note`"));
}

/// Code of which there are several versions.
pub(super) struct Changing(pub(super) Arc<AtomicU32>);

workflow!(Changing, "changing", u32 => String, ["go": bool], |this, ctx, _input| {
    let code = this.0.load(SeqCst);
    let give = |cents| AccountCommand::Deposit { cents };
    if code == 2 {
        ctx.command::<Account>("other", give(1)).await?;
    }
    ctx.command::<Account>("a", give(1)).await?;
    if code == 3 {
        panic!("on purpose");
    }
    if code == 4 && ctx.version("tax", 1) >= 1 {
        ctx.command::<Account>("tax", give(1)).await?;
    }
    ctx.wait_for::<bool>("go").await;
    if code == 4 && ctx.version("tax", 1) >= 1 {
        return Ok("with tax".to_owned());
    }
    if code == 5 {
        ctx.sleep(MINUTE).await;
    }
    Ok(format!("code {code}"))
});

pub(super) fn changing(code: u32) -> (Arc<AtomicU32>, Simulation) {
    let code = Arc::new(AtomicU32::new(code));
    let ours = Arc::clone(&code);
    (code, bank(1, Faults::default(), move || vec![hosted_workflow(Changing(Arc::clone(&ours)))]))
}

#[test]
fn code_that_does_not_fit_the_record_is_refused_with_both_sides_named_and_goes_on_once_it_is_mended() {
    let (code, bank) = changing(1);
    start(&bank, "changing", "c1", "0").unwrap();
    settle(&bank);
    code.store(2, SeqCst);
    bank.crash();
    signal(&bank, "changing", "c1", "go", "true").unwrap();
    settle(&bank);
    let paused = sight(&bank, "changing", "c1");
    assert_eq!(paused.state, WorkflowState::Paused);
    assert!(
        why(&paused).contains("recorded is step `account/deposit`") || why(&paused).contains("recorded is signal `go`"),
        "{}",
        why(&paused)
    );
    assert!(why(&paused).contains("the code asks for step `account/deposit`"), "{}", why(&paused));
    let refused = order(&bank, "changing", "c1", &WorkflowOrder::Resume { skip: false }).unwrap_err();
    assert!(refused.to_string().contains("does not fit the code"), "{refused}");
    assert_eq!(account(&bank, "other").0, 0, "nothing is done meanwhile");
    code.store(1, SeqCst);
    bank.ask(|runtime| {
        let wish = WorkflowWish { name: name("changing", "c1"), id: None, context: Context::default() };
        Box::pin(async move { runtime.order_workflow(wish, WorkflowOrder::Resume { skip: false }).await })
    })
    .unwrap();
    settle(&bank);
    assert_eq!(output(&sight(&bank, "changing", "c1")), r#""code 1""#);
}

#[test]
fn code_that_panics_pauses_its_workflow_and_goes_on_once_it_is_mended() {
    let (code, bank) = changing(3);
    start(&bank, "changing", "c1", "0").unwrap();
    settle(&bank);
    let paused = sight(&bank, "changing", "c1");
    assert_eq!((paused.state, why(&paused)), (WorkflowState::Paused, "the workflow's code panicked: on purpose"));
    bank.crash();
    code.store(1, SeqCst);
    order(&bank, "changing", "c1", &WorkflowOrder::Resume { skip: false }).unwrap();
    settle(&bank);
    assert_eq!(sight(&bank, "changing", "c1").state, WorkflowState::Waiting);
    bank.crash();
    signal(&bank, "changing", "c1", "go", "true").unwrap();
    settle(&bank);
    assert_eq!((output(&sight(&bank, "changing", "c1")).as_str(), account(&bank, "a").0), (r#""code 1""#, 1));
}

#[test]
fn versions_tell_those_that_had_passed_from_those_that_come() {
    let (code, bank) = changing(1);
    start(&bank, "changing", "old", "0").unwrap();
    settle(&bank);
    code.store(4, SeqCst);
    bank.crash();
    start(&bank, "changing", "new", "0").unwrap();
    settle(&bank);
    bank.crash();
    signal(&bank, "changing", "old", "go", "true").unwrap();
    signal(&bank, "changing", "new", "go", "true").unwrap();
    settle(&bank);
    let outputs = (output(&sight(&bank, "changing", "old")), output(&sight(&bank, "changing", "new")));
    assert_eq!(outputs, (r#""code 4""#.to_owned(), r#""with tax""#.to_owned()));
    assert_eq!(account(&bank, "tax").0, 1);
}

#[test]
fn a_workflow_runs_again_from_a_step() {
    let (code, bank) = changing(1);
    start(&bank, "changing", "c1", "0").unwrap();
    signal(&bank, "changing", "c1", "go", "true").unwrap();
    settle(&bank);
    assert_eq!(output(&sight(&bank, "changing", "c1")), r#""code 1""#);
    code.store(5, SeqCst);
    order(&bank, "changing", "c1", &WorkflowOrder::Rerun { from: "account/deposit".to_owned() }).unwrap();
    bank.crash();
    bank.advance(2 * MINUTE);
    settle(&bank);
    let rerun = sight(&bank, "changing", "c1");
    assert_eq!((output(&rerun).as_str(), account(&bank, "a").0), (r#""code 5""#, 2), "{rerun:?}");
    let unknown = order(&bank, "changing", "c1", &WorkflowOrder::Rerun { from: "nothing".to_owned() }).unwrap_err();
    assert_eq!(unknown.to_string(), "it has no operation `nothing`; there are: 0 account/deposit, 1 go, 2 sleep");
}

/// Its first attempt of all waits until it may go on.
struct Held(Arc<AtomicU32>, Arc<tokio::sync::Notify>);

workflow!(Held, "held", u32 => String, [], |this, ctx, _input| {
    let (attempts, may_go_on) = (Arc::clone(&this.0), Arc::clone(&this.1));
    let held = ctx.step("hold", move |_| {
        let (attempts, may_go_on) = (Arc::clone(&attempts), Arc::clone(&may_go_on));
        async move {
            let attempt = attempts.fetch_add(1, SeqCst);
            if attempt == 0 {
                may_go_on.notified().await;
            }
            Ok(format!("attempt {attempt}"))
        }
    });
    let held = held.await?;
    ctx.wait_for::<bool>("end").timeout(MINUTE).await;
    Ok(held)
});

#[test]
fn an_attempt_that_is_under_way_when_its_workflow_runs_again_is_none_of_the_new_one() {
    let (attempts, may_go_on) = (Arc::new(AtomicU32::new(0)), Arc::new(tokio::sync::Notify::new()));
    let ours = (Arc::clone(&attempts), Arc::clone(&may_go_on));
    let bank = bank(1, Faults::default(), move || vec![hosted_workflow(Held(Arc::clone(&ours.0), Arc::clone(&ours.1)))]);
    start(&bank, "held", "h1", "0").unwrap();
    bank.advance(Duration::from_secs(1));
    assert_eq!(attempts.load(SeqCst), 1, "it is under way");
    order(&bank, "held", "h1", &WorkflowOrder::Pause { why: "mended".to_owned() }).unwrap();
    order(&bank, "held", "h1", &WorkflowOrder::Rerun { from: "hold".to_owned() }).unwrap();
    bank.advance(Duration::from_secs(1));
    may_go_on.notify_one();
    bank.advance(2 * MINUTE);
    settle(&bank);
    assert_eq!((output(&sight(&bank, "held", "h1")).as_str(), attempts.load(SeqCst)), (r#""attempt 1""#, 2));
}

/// Counts down, in runs of its own.
struct Endless;

workflow!(Endless, "endless", u32 => String, ["tick": u32], |_this, ctx, left| {
    if left == 0 {
        return Ok("done".to_owned());
    }
    let ticks: u32 = if left == 99 { WORKFLOW_RECORDS_MAX + 10 } else { 2 };
    for _ in 0..ticks {
        ctx.wait_for::<u32>("tick").await;
    }
    Err(ctx.restart_with(&(left - 1)))
});

#[test]
fn one_that_begins_again_has_an_empty_record_and_goes_on() {
    let bank = bank(1, Faults::default(), || vec![hosted_workflow(Endless)]);
    start(&bank, "endless", "e1", "3").unwrap();
    for tick in 0..6 {
        signal(&bank, "endless", "e1", "tick", &tick.to_string()).unwrap();
        bank.crash();
        settle(&bank);
    }
    assert_eq!(output(&sight(&bank, "endless", "e1")), r#""done""#);
}

#[test]
fn signals_that_wait_when_it_begins_again_are_for_the_next_run() {
    let bank = bank(1, Faults::default(), || vec![hosted_workflow(Endless)]);
    start(&bank, "endless", "e1", "3").unwrap();
    order(&bank, "endless", "e1", &WorkflowOrder::Pause { why: "holidays".to_owned() }).unwrap();
    for tick in 0..5 {
        signal(&bank, "endless", "e1", "tick", &tick.to_string()).unwrap();
    }
    order(&bank, "endless", "e1", &WorkflowOrder::Resume { skip: false }).unwrap();
    bank.crash();
    settle(&bank);
    assert_eq!(sight(&bank, "endless", "e1").state, WorkflowState::Waiting);
    signal(&bank, "endless", "e1", "tick", "5").unwrap();
    settle(&bank);
    assert_eq!(output(&sight(&bank, "endless", "e1")), r#""done""#);
}

/// Begins again as often as it is told, without waiting for anything.
struct Hasty;

workflow!(Hasty, "hasty", u32 => String, [], |_this, ctx, left| {
    if left == 0 { Ok("done".to_owned()) } else { Err(ctx.restart_with(&(left - 1))) }
});

#[test]
fn one_that_begins_again_without_waiting_is_paused_before_it_does_so_for_ever() {
    let bank = bank(1, Faults::default(), || vec![hosted_workflow(Hasty)]);
    start(&bank, "hasty", "h1", "100").unwrap();
    assert_eq!(output(&sight(&bank, "hasty", "h1")), r#""done""#);
    start(&bank, "hasty", "h2", "1000").unwrap();
    bank.crash();
    settle(&bank);
    let paused = sight(&bank, "hasty", "h2");
    assert_eq!(paused.state, WorkflowState::Paused);
    assert!(why(&paused).contains("again and again"), "{}", why(&paused));
    order(&bank, "hasty", "h2", &WorkflowOrder::Resume { skip: false }).unwrap();
    assert_eq!(sight(&bank, "hasty", "h2").state, WorkflowState::Paused);
    order(&bank, "hasty", "h2", &WorkflowOrder::Cancel { why: "no sense".to_owned() }).unwrap();
    assert_eq!(sight(&bank, "hasty", "h2").state, WorkflowState::Cancelled);
}

#[test]
fn a_record_without_end_is_paused_with_the_remedy_named() {
    let bank = bank(1, Faults::default(), || vec![hosted_workflow(Endless)]);
    start(&bank, "endless", "e1", "99").unwrap();
    let mut refused = None;
    for tick in 0..WORKFLOW_RECORDS_MAX + 5 {
        if let Err(error) = signal(&bank, "endless", "e1", "tick", &tick.to_string()) {
            refused = Some(error);
            break;
        }
    }
    let paused = sight(&bank, "endless", "e1");
    assert_eq!(paused.state, WorkflowState::Paused);
    assert!(why(&paused).contains("ctx.restart_with(..)"), "{}", why(&paused));
    assert!(refused.expect("it takes no more").to_string().contains("10000 records"));
    order(&bank, "endless", "e1", &WorkflowOrder::Cancel { why: "too long".to_owned() }).unwrap();
    assert_eq!(sight(&bank, "endless", "e1").state, WorkflowState::Cancelled);
}

#[test]
fn more_workflows_wait_than_there_is_room_for_in_memory() {
    let bank = bank(1, Faults::default(), approvals);
    let count = WORKFLOWS_IN_MEMORY_MAX + 200;
    for id in 0..count {
        start(&bank, "approval", &format!("a{id}"), r#""x""#).unwrap();
    }
    let status = bank.ask(|runtime| Box::pin(async move { runtime.workflows_status().await })).unwrap();
    assert!(status.in_memory <= WORKFLOWS_IN_MEMORY_MAX, "{status:?}");
    assert_eq!(status.counts, [("waiting".to_owned(), count as u64)]);
    signal(&bank, "approval", "a0", "decision", "true").unwrap();
    assert_eq!(why(&sight(&bank, "approval", "a0")), "signal `note`");
    bank.advance(61 * MINUTE);
    settle(&bank);
    let listed = bank.ask(|runtime| {
        let selection = WorkflowSelection { state: Some(WorkflowState::Failed), limit: 10_000, ..WorkflowSelection::default() };
        Box::pin(async move { runtime.workflow_list(selection).await })
    });
    assert_eq!(listed.unwrap().len(), count - 1);
}

#[test]
fn workflows_whose_index_cannot_be_read_are_not_counted_as_none() {
    let bank = bank(1, Faults::default(), approvals);
    start(&bank, "approval", "a1", r#""x""#).unwrap();
    let status = bank.ask(|runtime| {
        Box::pin(async move {
            runtime.stop();
            runtime.drained().await;
            runtime.workflows_status().await
        })
    });
    assert!(matches!(status, Err(WorkflowError::Query(_))), "{status:?}");
}

/// Waits for what nobody tells it.
struct Alien;

workflow!(Alien, "alien", u32 => u32, [], |_this, _ctx, _input| {
    std::future::pending::<()>().await;
    Ok(1)
});

#[test]
fn one_that_waits_for_what_is_not_recorded_is_paused_and_told_why() {
    let bank = bank(1, Faults::default(), || vec![hosted_workflow(Alien)]);
    start(&bank, "alien", "x", "1").unwrap();
    let paused = sight(&bank, "alien", "x");
    assert_eq!(paused.state, WorkflowState::Paused);
    assert!(why(&paused).starts_with("it waits for something that does not come from its context"), "{}", why(&paused));
}

#[test]
fn times_in_lists_are_those_of_the_records() {
    let bank = bank(1, Faults::default(), approvals);
    let before = bank.clock().now();
    start(&bank, "approval", "a/1", r#""x""#).unwrap();
    let listed = bank.ask(|runtime| {
        let selection =
            WorkflowSelection { workflow: Some("approval".to_owned()), prefix: "a/".to_owned(), limit: 10, ..WorkflowSelection::default() };
        Box::pin(async move { runtime.workflow_list(selection).await })
    });
    let listed = listed.unwrap();
    assert_eq!((listed.len(), listed[0].id.as_str(), listed[0].state.as_str()), (1, "a/1", "waiting"));
    assert!(listed[0].started >= before && listed[0].due.is_some());
}

/// Steps that take an hour each, of which the second may run once only.
struct Slow(Arc<AtomicU32>);

workflow!(Slow, "slow", bool => u32, [], |this, ctx, is_once| {
    let runs = Arc::clone(&this.0);
    let step = ctx.step("slow", move |_| {
        let run = runs.fetch_add(1, SeqCst) + 1;
        async move {
            if run < 4 { std::future::pending::<()>().await; }
            Ok(run)
        }
    });
    step.timeout(60 * MINUTE).attempts(if is_once { 1 } else { 5 }).await
});

#[test]
fn a_stop_in_order_costs_a_step_no_attempt_but_one_that_may_run_once_has_run() {
    for is_once in [false, true] {
        let runs = Arc::new(AtomicU32::new(0));
        let ours = Arc::clone(&runs);
        let bank = bank(1, Faults::default(), move || vec![hosted_workflow(Slow(Arc::clone(&ours)))]);
        start(&bank, "slow", "s1", &is_once.to_string()).unwrap();
        for _ in 0..4 {
            bank.advance(Duration::from_secs(1));
            bank.restart();
        }
        bank.advance(MINUTE);
        let slow = sight(&bank, "slow", "s1");
        if is_once {
            assert_eq!((slow.failure.unwrap().kind, runs.load(SeqCst)), (FailureKind::GaveUp, 1));
        } else {
            assert_eq!((output(&slow).as_str(), runs.load(SeqCst)), ("4", 4), "{:?}", sight(&bank, "slow", "s1"));
        }
    }
}

#[test]
fn a_step_that_ends_its_process_again_and_again_has_failed() {
    let runs = Arc::new(AtomicU32::new(0));
    let ours = Arc::clone(&runs);
    let bank = bank(1, Faults::default(), move || vec![hosted_workflow(Slow(Arc::clone(&ours)))]);
    start(&bank, "slow", "s1", "false").unwrap();
    for _ in 0..3 {
        bank.advance(Duration::from_secs(1));
        bank.crash();
    }
    bank.advance(MINUTE);
    let slow = sight(&bank, "slow", "s1");
    let failure = slow.failure.clone().unwrap_or_else(|| panic!("{slow:?} after {} runs", runs.load(SeqCst)));
    assert_eq!((slow.state, failure.kind, runs.load(SeqCst)), (WorkflowState::Failed, FailureKind::GaveUp, 3));
    assert!(failure.message.contains("the process ended during the attempt"), "{failure}");
}
