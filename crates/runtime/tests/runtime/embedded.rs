//! The runtime over the embedded engine: what was acknowledged is there after a crash, and a hot entity shares its syncs.

use std::sync::Arc;

use journal::embedded::{EmbeddedJournal, Options, PlantedBug, limits::SEGMENT_BYTES};
use journal::seams::{Clock, Disk, Random, ThreadSpawner};
use journal::sim::{SimClock, SimDisk, SimRandom};
use runtime::seams::TokioTasks;
use runtime::{CommandError, Limits, Moment, Parts, Runtime};

use crate::bank::{Kind, Register, Transfer};
use crate::rig::{command, key, number, operation, transfer, with_id};

fn service(disk: &Arc<SimDisk>, snapshots: &Arc<SimDisk>, seed: u64) -> Arc<Runtime> {
    let clock: Arc<dyn Clock> = Arc::new(SimClock::new());
    let random: Arc<dyn Random> = Arc::new(SimRandom::new(seed));
    let options = Options {
        disk: Arc::clone(disk) as Arc<dyn Disk>,
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        spawner: Arc::new(ThreadSpawner::new()),
        parent: None,
        segment_bytes: SEGMENT_BYTES,
        planted: PlantedBug::None,
    };
    let journal = Arc::new(EmbeddedJournal::open(options).unwrap());
    let parts = Parts {
        service: "bank".into(),
        journal: journal.clone(),
        registers: journal,
        entities: vec![Arc::new(Kind::new("account")), Arc::new(Kind::new("user"))],
        operations: vec![Arc::new(Transfer::new()), Arc::new(Register::new())],
        actions: Vec::new(),
        processors: Vec::new(),
        topics: Vec::new(),
        streams: runtime::StreamParts::default(),
        clock,
        random,
        tasks: Arc::new(TokioTasks::current()),
        threads: Arc::new(ThreadSpawner::new()),
        snapshots: Some(Arc::clone(snapshots) as Arc<dyn Disk>),
        views: Vec::new(),
        outgoing: None,
        destinations: Vec::new(),
        keys: None,
        keys_lost: None,
        retention: Vec::new(),
        compatibility: Vec::new(),
        shared_views: None,
        view_folder: None,
        timer_folder: None,
        workflow_folder: None,
        workflows: Vec::new(),
        notices: Arc::new(|_| {}),
        limits: Limits { cached_entities_max: 3, snapshot_every_events: 7, ..Limits::default() },
        planted: runtime::PlantedBug::None,
        node: runtime::NodeSetup::default(),
    };
    Arc::new(Runtime::new(parts).unwrap())
}

const TASKS: u64 = 16;
const EACH: u64 = 20;

/// Deposits on a hot account, and moves one in four on to an account of the task's own. Each is sent twice.
async fn customer(runtime: Arc<Runtime>, task: u64) {
    for at in 0..EACH {
        for replayed in [false, true] {
            let deposit = with_id(command("hot", "deposit", 1), &format!("{task}-{at}"));
            assert_eq!(runtime.command(deposit).await.unwrap().replayed, replayed);
        }
        if at % 4 == 0 {
            runtime.operation(transfer("hot", &format!("own{task}"), 1)).await.unwrap();
        }
    }
    let register = operation("register", &serde_json::json!({ "id": format!("u{task}"), "email": format!("{}@b.example", task / 2) }));
    match runtime.operation(register).await {
        Ok(_) => {}
        Err(CommandError::Refused(refusal)) => assert_eq!(refusal, crate::bank::taken()),
        Err(error) => panic!("{error}"),
    }
}

async fn balance(runtime: &Runtime, account: &str) -> i64 {
    number(&runtime.state(&key(account), Moment::Now, false).await.unwrap().unwrap().state, "balance")
}

async fn check_books(runtime: &Runtime) {
    let moved = (TASKS * EACH / 4) as i64;
    assert_eq!(balance(runtime, "hot").await, (TASKS * EACH) as i64 - moved);
    let mut own = 0;
    for task in 0..TASKS {
        own += balance(runtime, &format!("own{task}")).await;
    }
    assert_eq!(own, moved);
    let mut users = 0;
    for task in 0..TASKS {
        let user = journal::EntityKey::new("user", &format!("u{task}")).unwrap();
        users += u64::from(runtime.state(&user, Moment::Now, false).await.unwrap().is_some());
    }
    assert_eq!(users, TASKS / 2, "one user an email");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let (disk, snapshots) = (Arc::new(SimDisk::new(1)), Arc::new(SimDisk::new(2)));
    let runtime = service(&disk, &snapshots, 1);
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(customer(Arc::clone(&runtime), task))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    check_books(&runtime).await;
    let again = service(&Arc::new(disk.crash()), &Arc::new(snapshots.crash()), 2);
    check_books(&again).await;
    let last = with_id(command("hot", "deposit", 1), "0-0");
    assert!(again.command(last).await.unwrap().replayed, "ids are remembered for ever");
}

#[tokio::test]
async fn a_disk_error_is_final_and_named() {
    let disk = Arc::new(SimDisk::new(1));
    let runtime = service(&disk, &Arc::new(SimDisk::new(2)), 1);
    runtime.command(command("a", "deposit", 5)).await.unwrap();
    disk.fail_call(disk.calls(), true);
    let first = runtime.command(command("a", "deposit", 5)).await.unwrap_err();
    // The marker of the idle log may have met the error first.
    assert!(matches!(first, CommandError::Unknown { .. } | CommandError::Poisoned { .. }), "{first}");
    let later = runtime.command(command("b", "deposit", 5)).await.unwrap_err();
    assert!(matches!(later, CommandError::Poisoned { .. }), "{later}");
    let health = runtime.health();
    assert!(!health.accepting && health.poisoned.is_some());
}
