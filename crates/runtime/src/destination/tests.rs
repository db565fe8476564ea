//! The room under virtual time: who waits, who is refused, and what a call that has ended says.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use journal::BoxFuture;
use journal::sim::{SimClock, SimRandom};

use super::*;
use crate::limits::CALL_TURN_MAX;
use crate::seams::sim::SimTasks;

type Answer = Result<CallReply, OutgoingError>;
type Script = Box<dyn Fn(&OutgoingCall) -> (Duration, Answer) + Send + Sync>;

/// A network that answers as it is told, after a while.
struct Network {
    tasks: std::sync::Weak<SimTasks>,
    script: Script,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    calls: Arc<Mutex<Vec<OutgoingCall>>>,
}

impl Outgoing for Network {
    fn call(&self, call: OutgoingCall) -> BoxFuture<'static, Answer> {
        let (time, answer) = (self.script)(&call);
        self.calls.lock().unwrap().push(call);
        let now = self.under_way.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
        let (under_way, sleep) = (Arc::clone(&self.under_way), self.tasks.upgrade().unwrap().sleep(time));
        Box::pin(async move {
            let _ends = Ends(under_way);
            sleep.await;
            answer
        })
    }
}

struct Ends(Arc<AtomicUsize>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

struct Rig {
    tasks: Arc<SimTasks>,
    room: Arc<Destinations>,
    most: Arc<AtomicUsize>,
    calls: Arc<Mutex<Vec<OutgoingCall>>>,
}

const PAY: &str = "https://pay.example";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn rig(policy: DestinationPolicy, script: impl Fn(&OutgoingCall) -> (Duration, Answer) + Send + Sync + 'static) -> Rig {
    let clock = Arc::new(SimClock::new());
    let tasks = Arc::new(SimTasks::new(Arc::clone(&clock), 7));
    let (most, calls) = (Arc::new(AtomicUsize::new(0)), Arc::default());
    let network = Network {
        tasks: Arc::downgrade(&tasks),
        script: Box::new(script),
        under_way: Arc::default(),
        most: Arc::clone(&most),
        calls: Arc::clone(&calls),
    };
    let machine = Machine {
        clock,
        random: Arc::new(SimRandom::new(7)),
        tasks: Arc::clone(&tasks) as Arc<dyn Tasks>,
        outgoing: Some(Arc::new(network)),
    };
    let room = Arc::new(Destinations::new(machine, [(PAY.to_owned(), policy)]));
    Rig { tasks, room, most, calls }
}

fn reply(status: u16) -> Answer {
    Ok(CallReply { status, headers: Vec::new(), body: Bytes::new(), retry_after: None, rest: None })
}

fn broken() -> Answer {
    Err(OutgoingError::Failed { message: "the connection was refused".into() })
}

impl Rig {
    fn ask(&self, destination: &str, run_time: Duration) -> Ask {
        let call = OutgoingCall {
            method: "POST",
            destination: destination.to_owned(),
            url: format!("{destination}/charges"),
            headers: Vec::new(),
            body: Bytes::new(),
            key: "key".into(),
            traceparent: None,
            correlation_id: None,
            timeout: Duration::ZERO,
        };
        Ask { call, timeout: None, deadline: self.tasks.elapsed() + run_time, is_retry: false }
    }

    fn call(&self) -> Result<CallReply, CallFailure> {
        self.call_to(PAY, seconds(30))
    }

    fn call_to(&self, destination: &str, run_time: Duration) -> Result<CallReply, CallFailure> {
        match self.tasks.drive(self.room.call(self.ask(destination, run_time)), seconds(3_600)) {
            crate::seams::sim::Driven::Done(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Begins calls side by side, and gives what becomes of them.
    fn begin(&self, count: usize) -> Arc<Mutex<Vec<Result<CallReply, CallFailure>>>> {
        let answers = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..count {
            let (room, ask, answers) = (Arc::clone(&self.room), self.ask(PAY, seconds(30)), Arc::clone(&answers));
            self.tasks.spawn(Box::pin(async move {
                let answer = room.call(ask).await;
                answers.lock().unwrap().push(answer);
            }));
        }
        answers
    }

    fn status(&self) -> DestinationStatus {
        self.room.statuses().into_iter().find(|status| status.destination == PAY).unwrap()
    }
}

#[test]
fn calls_wait_for_their_turn_and_every_one_gets_it() {
    let policy = DestinationPolicy { calls_at_once_max: 3, ..DestinationPolicy::default() };
    let rig = rig(policy, |_| (Duration::from_millis(400), reply(200)));
    let answers = rig.begin(30);
    rig.tasks.run_ready();
    assert_eq!((rig.status().in_flight, rig.status().waiting), (3, 27));
    rig.tasks.advance(seconds(4));
    assert_eq!((answers.lock().unwrap().len(), rig.most.load(SeqCst)), (30, 3));
    assert!(answers.lock().unwrap().iter().all(Result::is_ok));
    assert_eq!((rig.status().in_flight, rig.status().waiting, rig.status().calls), (0, 0, 30));
}

#[test]
fn a_call_that_waits_too_long_for_its_turn_was_not_tried() {
    let policy = DestinationPolicy { calls_at_once_max: 1, timeout: seconds(60), ..DestinationPolicy::default() };
    let rig = rig(policy, |_| (seconds(20), reply(200)));
    let answers = rig.begin(2);
    rig.tasks.advance(CALL_TURN_MAX);
    assert!(matches!(answers.lock().unwrap()[..], [Err(CallFailure::NotTried { .. })]));
    assert_eq!((rig.status().not_tried, rig.status().waiting), (1, 0));
    rig.tasks.advance(seconds(20));
    assert!(matches!(answers.lock().unwrap()[..], [_, Ok(_)]));
}

#[test]
fn a_rate_spreads_calls_over_time() {
    let policy = DestinationPolicy { calls_per_second: Some(5), ..DestinationPolicy::default() };
    let rig = rig(policy, |_| (Duration::ZERO, reply(200)));
    let answers = rig.begin(15);
    for (after, done) in [(0, 5), (1, 10), (1, 15)] {
        rig.tasks.advance(seconds(after));
        rig.tasks.run_ready();
        assert_eq!(answers.lock().unwrap().len(), done);
    }
}

#[test]
fn those_who_wait_are_told_when_the_breaker_opens() {
    let policy = DestinationPolicy { calls_at_once_max: 5, ..DestinationPolicy::default() };
    let rig = rig(policy, |_| (seconds(1), broken()));
    let answers = rig.begin(20);
    // Each call that fails before the fifth makes room for another one.
    rig.tasks.advance(seconds(2));
    let answers = answers.lock().unwrap();
    let not_tried = answers.iter().filter(|answer| matches!(answer, Err(CallFailure::NotTried { .. }))).count();
    assert_eq!((answers.len(), rig.calls.lock().unwrap().len(), not_tried), (20, 9, 11));
}

#[test]
fn the_call_that_opens_the_breaker_is_told_that_the_trouble_is_not_its_own() {
    let rig = rig(DestinationPolicy::default(), |_| (Duration::ZERO, broken()));
    for _ in 0..4 {
        assert!(matches!(rig.call(), Err(CallFailure::Failed { rest: None, .. })));
    }
    let Err(CallFailure::Failed { rest: Some(rest), message }) = rig.call() else { panic!("the fifth opens it") };
    assert!(rest >= seconds(5) && message == "https://pay.example: the connection was refused", "{message}");
    assert!(matches!(rig.call(), Err(CallFailure::NotTried { wait, .. }) if wait >= seconds(5)));
    assert_eq!(rig.calls.lock().unwrap().len(), 5);
    let status = rig.status();
    assert_eq!((status.state, status.failures, status.not_tried), (DestinationState::Open, 5, 1));
    assert_eq!(status.next_try.unwrap().as_micros() - status.since.unwrap().as_micros(), 5_000_000);
}

#[test]
fn a_status_of_the_event_counts_for_the_breaker_and_stays_the_events() {
    let rig = rig(DestinationPolicy::default(), |_| (Duration::ZERO, reply(500)));
    for _ in 0..5 {
        assert_eq!(rig.call().unwrap().rest, None);
    }
    assert_eq!(rig.status().state, DestinationState::Open);
}

#[test]
fn statuses_that_say_no_are_no_trouble() {
    let rig = rig(DestinationPolicy::default(), |_| (Duration::ZERO, reply(404)));
    for _ in 0..50 {
        rig.call().unwrap();
    }
    assert_eq!((rig.status().state, rig.status().failures), (DestinationState::Closed, 0));
}

#[test]
fn a_call_ends_with_its_time_and_never_after_its_run() {
    let rig = rig(DestinationPolicy::default(), |_| (seconds(1_000), reply(200)));
    for (run_time, took) in [(30, 10), (4, 4)] {
        let begun = rig.tasks.elapsed();
        assert!(matches!(rig.call_to(PAY, seconds(run_time)), Err(CallFailure::Failed { .. })));
        assert_eq!(rig.tasks.elapsed() - begun, seconds(took));
        assert_eq!(rig.calls.lock().unwrap().last().unwrap().timeout, seconds(took), "the callee is told");
    }
    assert_eq!((rig.status().in_flight, rig.status().failures), (0, 2));
}

#[test]
fn a_run_that_leaves_a_call_no_time_says_nothing_about_the_destination() {
    let rig = rig(DestinationPolicy::default(), |_| (seconds(1_000), reply(200)));
    for _ in 0..20 {
        let answer = rig.call_to(PAY, Duration::from_millis(900));
        assert!(matches!(answer, Err(CallFailure::Failed { rest: None, .. })), "{answer:?}");
    }
    let calls = rig.calls.lock().unwrap().len();
    assert!(matches!(rig.call_to(PAY, Duration::ZERO), Err(CallFailure::Failed { rest: None, .. })));
    assert_eq!((rig.status().state, rig.status().in_flight, rig.calls.lock().unwrap().len()), (DestinationState::Closed, 0, calls));
}

#[test]
fn a_call_that_is_dropped_gives_its_place_back() {
    let policy = DestinationPolicy { calls_at_once_max: 1, ..DestinationPolicy::default() };
    let rig = rig(policy, |_| (seconds(5), reply(200)));
    let dropped = rig.room.call(rig.ask(PAY, seconds(30)));
    let waited = rig.tasks.drive(
        async {
            tokio::select! {
                biased;
                _ = dropped => false,
                () = rig.tasks.sleep(seconds(1)) => true,
            }
        },
        seconds(60),
    );
    assert_eq!(waited, crate::seams::sim::Driven::Done(true));
    assert_eq!((rig.status().in_flight, rig.status().calls), (0, 0), "nothing is known of it");
    rig.call().unwrap();
}

#[test]
fn a_destination_that_asks_for_rest_is_left_alone_and_one_without_a_name_too() {
    let rig = rig(DestinationPolicy::default(), |_| {
        (
            Duration::ZERO,
            Ok(CallReply { status: 429, headers: Vec::new(), body: Bytes::new(), retry_after: Some(seconds(120)), rest: None }),
        )
    });
    for destination in [PAY, "http://other.example"] {
        let rest = rig.call_to(destination, seconds(30)).unwrap().rest.unwrap();
        assert!(rest >= seconds(120), "{rest:?}");
        assert!(matches!(rig.call_to(destination, seconds(30)), Err(CallFailure::NotTried { .. })));
    }
    assert_eq!(rig.calls.lock().unwrap().len(), 2);
    assert_eq!(rig.status().state, DestinationState::Resting);
}

#[test]
fn no_more_destinations_are_known_than_the_bound_and_the_idlest_goes_first() {
    let rig = rig(DestinationPolicy::default(), |_| (Duration::from_millis(1), reply(200)));
    for number in 0..DESTINATIONS_MAX + 10 {
        rig.call_to(&format!("http://h{number}.example"), seconds(30)).unwrap();
    }
    let names: Vec<String> = rig.room.statuses().into_iter().map(|status| status.destination).collect();
    assert_eq!(names.len(), DESTINATIONS_MAX);
    assert!(names.contains(&PAY.to_owned()), "those with a name stay");
    assert!(!names.contains(&"http://h0.example".to_owned()) && names.contains(&format!("http://h{DESTINATIONS_MAX}.example")));
}

#[test]
fn destinations_that_are_down_make_room_for_others_once_their_time_is_over() {
    let rig =
        rig(DestinationPolicy::default(), |call| (Duration::from_millis(1), if call.url.contains("dead") { broken() } else { reply(200) }));
    for number in 0..DESTINATIONS_MAX {
        for _ in 0..5 {
            rig.call_to(&format!("http://dead{number}.example"), seconds(30)).unwrap_err();
        }
    }
    rig.tasks.advance(seconds(60));
    rig.call_to("http://new.example", seconds(30)).unwrap();
    assert_eq!(rig.room.statuses().len(), DESTINATIONS_MAX);
}
