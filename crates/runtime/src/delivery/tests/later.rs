//! Runs whose time has not come: the key waits, and no attempt is spent.

use super::*;

fn later(cause: &str, seconds: u64) -> Verdict {
    Box::pin(std::future::ready(Err(Failure::Later { cause: cause.into(), wait: Duration::from_secs(seconds) })))
}

fn failed(cause: &str) -> Verdict {
    Box::pin(std::future::ready(Err(Failure::Retry { cause: cause.into() })))
}

fn done() -> Verdict {
    Box::pin(std::future::ready(Ok(())))
}

/// The attempts that the handler was told, run by run.
type Attempts = Arc<Mutex<Vec<u32>>>;

struct Counting {
    attempts: Attempts,
    script: fn(usize) -> Verdict,
}

impl Handler for Counting {
    fn run(&self, delivery: Delivery) -> Verdict {
        let mut attempts = self.attempts.lock().unwrap();
        attempts.push(delivery.attempt);
        (self.script)(attempts.len())
    }
}

fn process(world: &World, seed: u64, attempts: &Attempts, script: fn(usize) -> Verdict) -> Process {
    world.process_of(seed, Arc::new(Counting { attempts: Arc::clone(attempts), script }), 3)
}

#[test]
fn a_run_whose_time_has_not_come_spends_no_attempt_however_often_it_comes() {
    let (world, attempts) = (World::new(), Attempts::default());
    let script = |run| if run <= 50 { later("closed for today", 60) } else { done() };
    let process = process(&world, 1, &attempts, script);
    world.append(&process.tasks, "a");
    process.tasks.run_ready();
    assert_eq!((process.held()[0].attempts, process.status().held), (0, 1));
    process.seconds(59);
    assert_eq!(attempts.lock().unwrap().len(), 1, "it waits as long as it was told");
    process.seconds(60 * 60);
    assert_eq!(*attempts.lock().unwrap(), vec![1; 51]);
    assert_eq!((process.status().held, process.status().parked), (0, 0));
}

#[test]
fn waits_between_failures_neither_count_nor_push_out_what_failed() {
    let (world, attempts) = (World::new(), Attempts::default());
    let script = |run| match run {
        1 | 22 | 43 => failed("broken"),
        _ => later("closed for today", 60),
    };
    let process = process(&world, 1, &attempts, script);
    world.append(&process.tasks, "a");
    process.seconds(60 * 30);
    let held = process.held().remove(0);
    let causes: Vec<_> = held.failures.iter().map(|failed| (failed.attempt, failed.cause.as_str())).collect();
    assert_eq!(causes, [(1, "broken"), (1, "closed for today"), (2, "broken"), (2, "closed for today")]);
    process.seconds(60 * 60);
    assert_eq!((process.status().held, process.status().parked), (0, 1), "the third failure parks the key");
    let seen = attempts.lock().unwrap();
    assert_eq!(*seen, [vec![1], vec![2; 21], vec![3; 21]].concat());
}

#[test]
fn a_process_that_ends_between_waits_leaves_no_attempt_behind() {
    let (world, attempts) = (World::new(), Attempts::default());
    for seed in 1..8 {
        let process = process(&world, seed, &attempts, |_| later("closed for today", 60));
        if seed == 1 {
            world.append(&process.tasks, "a");
        }
        process.seconds(61);
        assert_eq!((process.held()[0].attempts, process.status().parked), (0, 0));
        process.die();
    }
}
