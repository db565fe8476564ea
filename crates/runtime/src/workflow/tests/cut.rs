//! A saga of six steps whose process ends before each step of each of its tasks, one after the other: money is neither made nor lost.

use std::time::Duration;

use component::hosted::WorkflowHandle;
use component::{Failure, Value, Workflow, WorkflowContext, hosted_workflow};

use super::bank::{Account, AccountCommand, account, deposit};
use super::*;

const FIRST: i64 = 100;

/// Where it fails, if it does: behind so many steps, or in the middle of one.
#[derive(Clone, Debug, Value)]
struct Plan {
    fails_behind: Option<u32>,
    is_cancelled: bool,
}

/// Takes money from two accounts, in two ways, and brings it to two others.
struct Round;

impl Workflow for Round {
    const NAME: &'static str = "round";
    type Input = Plan;
    type Output = i64;

    async fn run(&self, ctx: &WorkflowContext, plan: Plan) -> Result<i64, Failure> {
        let fails = |steps: u32| {
            if plan.fails_behind == Some(steps) { Err(Failure::new("planned", "as planned")) } else { Ok(()) }
        };
        let take = |cents| AccountCommand::Withdraw { cents };
        let give = |cents| AccountCommand::Deposit { cents };
        fails(0)?;
        ctx.command::<Account>("a", take(10)).undo_command::<Account>("give-back", "a", give(10)).await?;
        fails(1)?;
        ctx.command::<Account>("b", give(10)).undo_command::<Account>("take-back", "b", take(10)).await?;
        fails(2)?;
        // A step of one's own: what it sends has ids of its own, so that it takes effect once however often it runs.
        let left: i64 = ctx
            .step("take", |step| async move { Ok(step.command::<Account>("c", AccountCommand::Withdraw { cents: 7 }).await?) })
            .undo("give-back", |step, left: Option<i64>| async move {
                // One that never took effect has nothing to give back: asked again under the same id, it would take now.
                if left.is_some() {
                    step.command::<Account>("c", AccountCommand::Deposit { cents: 7 }).await?;
                }
                Ok(())
            })
            .await?;
        fails(3)?;
        ctx.command::<Account>("d", give(7)).undo_command::<Account>("take-back", "d", take(7)).await?;
        fails(4)?;
        ctx.sleep(Duration::from_secs(60)).await;
        ctx.command::<Account>("a", take(1)).undo_command::<Account>("give-back", "a", give(1)).await?;
        fails(5)?;
        ctx.command::<Account>("bank", give(1)).undo_command::<Account>("take-back", "bank", take(1)).await?;
        fails(6)?;
        Ok(left)
    }
}

fn workflows() -> Vec<WorkflowHandle> {
    vec![hosted_workflow(Round)]
}

/// Runs it once; gives how often its process ended.
fn run(plan: &Plan, faults: Faults) -> u32 {
    run_seed(1, plan, faults)
}

fn run_seed(seed: u64, plan: &Plan, faults: Faults) -> u32 {
    let bank = bank(seed, faults, workflows);
    ["a", "b", "c", "d"].into_iter().for_each(|id| deposit(&bank, id, FIRST));
    let input = serde_json::to_string(plan).unwrap();
    start(&bank, "round", "r1", &input).unwrap();
    if plan.is_cancelled {
        bank.advance(Duration::from_secs(1));
        order(&bank, "round", "r1", &WorkflowOrder::Cancel { why: "changed my mind".to_owned() }).unwrap();
    }
    for _ in 0..6 {
        bank.advance(Duration::from_secs(20));
        bank.settle().unwrap();
    }
    let round = sight(&bank, "round", "r1");
    let money: Vec<i64> = ["a", "b", "c", "d", "bank"].into_iter().map(|id| account(&bank, id).0).collect();
    let said = format!("{plan:?} {faults:?}: {round:?}");
    if plan.is_cancelled {
        assert_eq!((round.state, money), (WorkflowState::Cancelled, vec![FIRST, FIRST, FIRST, FIRST, 0]), "{said}");
    } else if plan.fails_behind.is_some() {
        assert_eq!(round.state, WorkflowState::Failed, "{said}");
        assert_eq!(round.failure.as_ref().map(|failure| failure.code.as_str()), Some("planned"), "{said}");
        assert_eq!(money, [FIRST, FIRST, FIRST, FIRST, 0], "{said}");
    } else {
        assert_eq!((round.state, output(&round).as_str()), (WorkflowState::Completed, "93"), "{said}");
        assert_eq!(money, [FIRST - 11, FIRST + 10, FIRST - 7, FIRST + 7, 1], "{said}");
    }
    bank.crashes()
}

/// Cuts it off before each step; gives how many there are.
fn cut_off_everywhere(plan: &Plan) -> u64 {
    assert_eq!(run(plan, Faults::default()), 0);
    let mut at = 0;
    while run(plan, Faults { crash_at: Some(at), ..Faults::default() }) > 0 {
        at += 1;
    }
    at
}

#[test]
fn a_saga_that_is_cut_off_anywhere_ends_with_all_of_its_effects_or_none() {
    let plans = [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(6)];
    let cuts: u64 = plans.into_iter().map(|fails_behind| cut_off_everywhere(&Plan { fails_behind, is_cancelled: false })).sum();
    // Otherwise this would test something else.
    assert!(cuts > 300, "only {cuts} places");
}

#[test]
fn a_saga_that_is_cancelled_and_cut_off_anywhere_is_undone() {
    let cuts = cut_off_everywhere(&Plan { fails_behind: None, is_cancelled: true });
    assert!(cuts > 40, "only {cuts} places");
}

#[test]
fn sagas_whose_processes_end_again_and_again_end_with_all_of_their_effects_or_none() {
    let mut crashes = 0;
    for seed in 0..60_u64 {
        let fails_behind = (seed % 8 < 7).then(|| u32::try_from(seed % 8).unwrap());
        let plan = Plan { fails_behind, is_cancelled: false };
        let faults = Faults { crashes: 0.01, delays: seed.is_multiple_of(2), duplicates: seed.is_multiple_of(3), ..Faults::default() };
        crashes += run_seed(seed, &plan, faults);
    }
    assert!(crashes > 20, "only {crashes}");
}

/// Money from one account to another.
#[derive(Clone, Debug, Value)]
struct Transfer {
    from: String,
    to: String,
    cents: i64,
    /// Whether somebody in between says no.
    is_refused: bool,
}

/// Takes, asks somebody in between, gives.
struct Transfers;

impl Workflow for Transfers {
    const NAME: &'static str = "transfer";
    type Input = Transfer;
    type Output = ();

    async fn run(&self, ctx: &WorkflowContext, transfer: Transfer) -> Result<(), Failure> {
        let Transfer { from, to, cents, is_refused } = transfer;
        let give_back = AccountCommand::Deposit { cents };
        ctx.command::<Account>(&from, AccountCommand::Withdraw { cents }).undo_command::<Account>("give-back", &from, give_back).await?;
        ctx.step("ask", move |step| async move {
            step.command::<Account>("asked", AccountCommand::Deposit { cents: 1 }).await?;
            if is_refused { Err(component::ActionError::park("somebody says no")) } else { Ok(()) }
        })
        .attempts(1_000)
        .await?;
        ctx.sleep(Duration::from_millis(u64::try_from(cents).unwrap_or_default())).await;
        ctx.command::<Account>(&to, AccountCommand::Deposit { cents }).await?;
        Ok(())
    }
}

/// Transfers of one seed.
const TRANSFERS_A_SEED: u64 = 50;
const ACCOUNTS: u64 = 6;

/// Random transfers over one journal, whose processes end all the time; gives how often.
fn random_transfers(seed: u64) -> u32 {
    let dice = journal::sim::SimRandom::new(seed);
    let faults =
        Faults { crashes: 0.002, delays: seed.is_multiple_of(2), duplicates: seed.is_multiple_of(3), reorder: true, ..Faults::default() };
    let bank = bank(seed, faults, || vec![hosted_workflow(Transfers)]);
    let mut expected: Vec<i64> = (0..ACCOUNTS).map(|_| 1_000).collect();
    (0..ACCOUNTS).for_each(|account| deposit(&bank, &format!("a{account}"), 1_000));
    let mut plans = Vec::new();
    for number in 0..TRANSFERS_A_SEED {
        let (from, to) = (dice.below(ACCOUNTS), dice.below(ACCOUNTS));
        let transfer = Transfer {
            from: format!("a{from}"),
            to: format!("a{to}"),
            cents: i64::try_from(dice.below(400)).unwrap() + 1,
            is_refused: dice.one_in(4),
        };
        start(&bank, "transfer", &format!("t{number}"), &serde_json::to_string(&transfer).unwrap()).unwrap();
        if dice.one_in(8) {
            order(&bank, "transfer", &format!("t{number}"), &WorkflowOrder::Cancel { why: "as drawn".to_owned() }).unwrap();
        }
        plans.push((usize::try_from(from).unwrap(), usize::try_from(to).unwrap(), transfer));
    }
    for _ in 0..8 {
        bank.advance(Duration::from_secs(400));
        bank.settle().unwrap();
    }
    for (number, (from, to, transfer)) in plans.iter().enumerate() {
        let ended = sight(&bank, "transfer", &format!("t{number}"));
        match ended.state {
            WorkflowState::Completed if !transfer.is_refused => {
                expected[*from] -= transfer.cents;
                expected[*to] += transfer.cents;
            }
            WorkflowState::Failed | WorkflowState::Cancelled => {}
            state => panic!("seed {seed}: transfer {number} is {state:?}: {ended:?} {transfer:?}"),
        }
    }
    let money: Vec<i64> = (0..ACCOUNTS).map(|id| account(&bank, &format!("a{id}")).0).collect();
    assert_eq!(money, expected, "seed {seed}");
    assert_eq!(money.iter().sum::<i64>(), i64::try_from(ACCOUNTS).unwrap() * 1_000, "seed {seed}");
    bank.crashes()
}

/// How many, and from which seed: by torture more than in CI.
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn random_transfers_under_crashes_neither_make_nor_lose_money() {
    let (count, first) = (asked("HEADWATER_TRANSFERS", 1_000), asked("HEADWATER_TRANSFERS_SEED", 1));
    let mut crashes = 0;
    for seed in first..first + count.div_ceil(TRANSFERS_A_SEED) {
        crashes += random_transfers(seed);
    }
    assert!(u64::from(crashes) >= count / TRANSFERS_A_SEED, "only {crashes} ends of processes");
}
