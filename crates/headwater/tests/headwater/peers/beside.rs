//! The same two services in memory, beside each other: under one clock, with processes that end on either side.

use headwater::testkit::{Testkit, WorkflowState, hours, minutes, seconds, seeds};

use super::*;

fn source() -> Service {
    Service::new("source").entity::<Ledger>().stream(notes())
}

fn telling() -> Service {
    Service::new("source").entity::<Ledger>().action(SendNote).peer("copies")
}

fn copies() -> Service {
    Service::new("copies").entity::<Copy>().topic_of::<Note>("notes").subscribe(Subscription::to("source", "notes")).topic_action(CopyNote)
}

fn told() -> Service {
    Service::new("copies").entity::<Copy>()
}

fn note(source: &Testkit, text: &str) {
    source.send::<Ledger>("l1", LedgerCommand::Note { text: text.to_owned() }).unwrap();
}

fn numbers(copies: &Testkit) -> Vec<u64> {
    copies.state::<Copy>("l1").unwrap_or_default().numbers
}

#[test]
fn a_service_beside_another_reads_its_stream() {
    let source = Testkit::new(source);
    let copies = Testkit::new(copies).beside(&source);
    (0..3).for_each(|_| note(&source, "x"));
    copies.settle();
    assert_eq!(numbers(&copies), [1, 2, 3]);
    note(&source, "x");
    source.settle();
    assert_eq!(numbers(&copies), [1, 2, 3, 4], "either of the two goes for both");
    assert_eq!(copies.now_micros(), source.now_micros());
}

#[test]
fn to_settle_is_to_have_read_what_the_other_one_tells_however_long_that_takes() {
    for seed in seeds(10) {
        let source = Testkit::new(source).seed(seed).delays();
        let copies = Testkit::new(copies).seed(seed).delays().beside(&source);
        (0..3).for_each(|_| note(&source, "x"));
        copies.settle();
        assert_eq!(numbers(&copies), [1, 2, 3], "seed {seed}");
    }
}

#[test]
fn what_has_come_and_is_not_read_yet_is_not_settled() {
    for seed in seeds(60) {
        let source = Testkit::new(source).seed(seed).delays();
        let copies = Testkit::new(copies).seed(seed).delays().beside(&source);
        let mut whole = 0;
        for round in 0..20 {
            for _ in 0..3 {
                note(&source, "x");
                copies.advance(Duration::from_millis((seed * 7 + round) % 5));
                whole += 1;
            }
            copies.settle();
            assert_eq!(numbers(&copies), (1..=whole).collect::<Vec<u64>>(), "seed {seed}, round {round}");
        }
    }
}

#[test]
fn a_service_beside_another_sends_it_commands() {
    let copies = Testkit::new(told);
    let source = Testkit::new(telling).beside(&copies);
    ["x", "x", "wrong", "x"].into_iter().for_each(|text| note(&source, text));
    source.settle();
    // The third was rejected by the rule of the other one, which is what the action expects; the fourth does not follow the second.
    assert_eq!(numbers(&copies), [1, 2]);
    let parked: Vec<_> = source.held().into_iter().map(|held| held.cause).collect();
    assert!(parked.len() == 1 && parked[0].contains("panicked"), "{parked:?}");
    assert_eq!(source.http_calls("http://copies.peer.test").len(), 4);
}

#[test]
fn what_is_copied_and_what_is_told_is_there_once_and_in_order_whichever_process_ends() {
    let (mut ends, mut ends_of_peers) = (0, 0);
    for seed in seeds(20) {
        let faulty = |testkit: Testkit| testkit.seed(seed).duplicates().delays().reorder().crashes(0.01);
        let source = faulty(Testkit::new(source));
        let copies = faulty(Testkit::new(copies)).beside(&source);
        let receiver = faulty(Testkit::new(told));
        let teller = faulty(Testkit::new(telling)).beside(&receiver);
        for _ in 0..10 {
            note(&source, "x");
            note(&teller, "x");
        }
        for _ in 0..6 {
            copies.advance(minutes(10));
            teller.advance(minutes(10));
        }
        copies.settle();
        teller.settle();
        let whole: Vec<u64> = (1..=10).collect();
        assert_eq!((numbers(&copies), numbers(&receiver)), (whole.clone(), whole), "seed {seed}");
        ends += copies.crash_count() + teller.crash_count();
        ends_of_peers += source.crash_count() + receiver.crash_count();
    }
    // Without them this would test something else.
    assert!(ends > 10 && ends_of_peers > 10, "{ends} {ends_of_peers}");
}

/// Waits, and asks the ledger beside it.
struct Slowly;

impl Workflow for Slowly {
    const NAME: &'static str = "slowly";
    type Input = ();
    type Output = u64;

    async fn run(&self, ctx: &WorkflowContext, _: ()) -> Result<u64, Failure> {
        ctx.sleep(Duration::from_secs(3_600)).await;
        let noted = ctx.step("note", |step| async move {
            Ok(step.peer("source").command::<Ledger>("l1", LedgerCommand::Note { text: "late".to_owned() }).await?)
        });
        noted.await
    }
}

#[test]
fn time_passes_for_both_at_once() {
    let source = Testkit::new(source);
    let slow = Testkit::new(|| Service::new("slow").workflow(Slowly).peer("source")).beside(&source);
    slow.workflow::<Slowly>("s1").start(&());
    source.advance(minutes(59));
    assert_eq!((source.state::<Ledger>("l1"), slow.now_micros()), (None, source.now_micros()));
    source.advance(minutes(1) + seconds(1));
    assert_eq!(slow.workflow::<Slowly>("s1").state(), WorkflowState::Completed);
    assert_eq!(source.state::<Ledger>("l1"), Some(Ledger { notes: 1 }));
    slow.crash();
    slow.advance(hours(1));
    assert_eq!((slow.workflow::<Slowly>("s1").ended().unwrap(), slow.now_micros()), (1, source.now_micros()));
}
