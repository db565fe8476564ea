//! The bounded cache: what leaves it comes back as it was, and what is in use stays.

use runtime::Limits;

use crate::rig::{Plan, command, waits, with_id};

fn tiny(limits: Limits) -> Plan {
    Plan { limits, ..Plan::default() }
}

#[tokio::test]
async fn entities_beyond_the_bound_leave_and_come_back() {
    let rig = tiny(Limits { cached_entities_max: 2, ..Limits::default() }).rig();
    for round in 1..=3 {
        for account in 0..50 {
            assert_eq!(rig.deposit(&format!("a{account}"), account).await.sequence, round);
        }
        assert!(rig.runtime.health().cached_entities <= 2, "{} are cached", rig.runtime.health().cached_entities);
    }
    for account in 0..50 {
        assert_eq!(rig.balance(&format!("a{account}")).await, 3 * account);
    }
}

#[tokio::test]
async fn bytes_are_bounded_too() {
    let rig = tiny(Limits { cached_bytes_max: 10_000, ..Limits::default() }).rig();
    for account in 0..50 {
        rig.run(command(&format!("a{account}"), "note", 3_000)).await.unwrap();
        assert!(rig.runtime.health().cached_entities <= 4, "{} are cached", rig.runtime.health().cached_entities);
    }
    assert!(rig.runtime.health().cached_entities >= 1);
}

#[tokio::test]
async fn what_is_on_its_way_stays_in_the_cache() {
    let rig = tiny(Limits { cached_entities_max: 1, ..Limits::default() }).rig();
    rig.gate.close();
    let deposit = |account: usize| with_id(command(&format!("a{account}"), "deposit", 5), "d");
    for account in 0..5 {
        // Nobody waits for it any more: only the commit on its way holds the entity.
        let mut started = rig.start(deposit(account));
        assert!(waits(&mut started).await);
    }
    assert_eq!(rig.runtime.health().cached_entities, 5);
    let mut again: Vec<_> = (0..5).map(|account| rig.start(deposit(account))).collect();
    for started in &mut again {
        assert!(waits(started).await);
    }
    assert_eq!((rig.decisions(), rig.gate.waiting()), (5, 5), "the retries have joined the commits on their way");
    rig.gate.open().await;
    for started in again {
        assert_eq!(started.await.unwrap().sequence, 1);
    }
    rig.deposit("b1", 1).await;
    rig.deposit("b2", 1).await;
    assert!(rig.runtime.health().cached_entities <= 2, "landed commits hold nothing");
}

#[tokio::test]
async fn a_cached_entity_is_not_read_again() {
    let rig = tiny(Limits::default()).rig();
    rig.deposit("a", 1).await;
    let cold = tiny(Limits::default()).rig_over(&rig.gate.inner, &rig.clock);
    for _ in 0..3 {
        assert_eq!(cold.balance("a").await, 1);
    }
    assert_eq!(cold.gate.take_reads(), [1]);
}
