//! Runs of held keys beside those of the others.

use super::*;

#[test]
fn held_keys_and_healthy_ones_have_their_own_runs_and_neither_waits_for_the_other() {
    let (world, log, gate) = (World::new(), Log::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    // What was held hangs, for as long as a run may.
    let script: Script = {
        let gate = Arc::clone(&gate);
        Box::new(move |event, before| match (event.entity.id(), before) {
            ("good", _) => ok(),
            (_, 0) => retry("first"),
            _ => {
                let gate = Arc::clone(&gate);
                Box::pin(async move {
                    gate.acquire().await.expect("it is never closed").forget();
                    Ok(())
                })
            }
        })
    };
    let process = world.process(1, &log, script);
    for number in 0..20 {
        world.append(&process.tasks, &format!("bad{number}"));
    }
    process.seconds(3);
    let errands = |log: &Log| runs(log).iter().filter(|(key, _)| key != "good").count() - 20;
    assert_eq!((errands(&log), process.status().held), (2, 20), "half of the four that may run at once");
    world.append(&process.tasks, "good");
    process.tasks.run_ready();
    assert_eq!(runs_of(&log, "good"), [1], "a healthy key does not wait for them");
    gate.add_permits(3);
    process.tasks.run_ready();
    assert_eq!((errands(&log), process.status().held), (5, 17), "one that ends makes room for another");
    gate.add_permits(17);
    process.tasks.run_ready();
    assert_eq!((errands(&log), process.status().held), (20, 0));
}
