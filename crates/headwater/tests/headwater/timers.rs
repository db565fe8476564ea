//! Timers as users meet them: set by actions, cancelled by them, and through the client.

use std::time::Duration;

use headwater::prelude::*;
use headwater::testkit::{Testkit, TimerState, days, hours};

use crate::embedded::Directory;
use crate::engine::here;

#[derive(Debug, Default, PartialEq, State)]
struct Seat {
    holder: Personal<String>,
    sold: bool,
    releases: u32,
}

#[derive(Command)]
enum SeatCommand {
    #[command("hold")]
    Hold { holder: Personal<String> },
    #[command("buy")]
    Buy,
    #[command("release")]
    Release { holder: Personal<String> },
}

#[derive(Debug, PartialEq, Event)]
enum SeatEvent {
    #[event("held")]
    Held { holder: Personal<String> },
    #[event("bought")]
    Bought,
    #[event("released")]
    Released { holder: Personal<String> },
}

#[derive(Debug, PartialEq, Rejection)]
enum SeatRejection {
    #[rejection("sold", "the seat is sold")]
    Sold,
}

impl Entity for Seat {
    const NAME: &'static str = "seat";
    type Command = SeatCommand;
    type Event = SeatEvent;
    type Reply = ();
    type Rejection = SeatRejection;

    fn decide(&self, command: SeatCommand, _: &CommandContext) -> Result<Decision<SeatEvent>, SeatRejection> {
        match command {
            SeatCommand::Hold { holder } => Ok(record(SeatEvent::Held { holder })),
            SeatCommand::Buy => Ok(record(SeatEvent::Bought)),
            SeatCommand::Release { .. } if self.sold => Err(SeatRejection::Sold),
            SeatCommand::Release { holder } => Ok(record(SeatEvent::Released { holder })),
        }
    }

    fn evolve(&mut self, event: &SeatEvent) {
        match event {
            SeatEvent::Held { holder } => self.holder = holder.clone(),
            SeatEvent::Bought => self.sold = true,
            SeatEvent::Released { .. } => self.releases += 1,
        }
    }
}

/// A seat that is held is free again after an hour, unless it is bought.
struct Expiry;

impl Action for Expiry {
    const NAME: &'static str = "expiry";
    const ENTITY: &'static str = "seat";
    type Event = SeatEvent;

    async fn run(&self, event: Recorded<SeatEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let (seat, name) = (event.entity_id.clone(), format!("release-{}", event.entity_id));
        match event.event {
            SeatEvent::Held { holder } => ctx.timer(name).after(hours(1)).send::<Seat>(seat, SeatCommand::Release { holder }).await?,
            SeatEvent::Bought => drop(ctx.cancel_timer(name).await?),
            SeatEvent::Released { .. } => {}
        }
        Ok(())
    }
}

fn hall() -> Service {
    Service::new("hall").entity::<Seat>().action(Expiry)
}

fn hold(name: &str) -> SeatCommand {
    SeatCommand::Hold { holder: Personal::new(name.to_owned()) }
}

#[test]
fn an_action_sets_a_timer_and_another_one_cancels_it() {
    let held = given_action(Expiry).when("s1", SeatEvent::Held { holder: Personal::new("Ann".to_owned()) });
    let release = SeatCommand::Release { holder: Personal::new("Ann".to_owned()) };
    held.sends([timer_after::<Seat>("release-s1", hours(1), "s1", release)]);
    given_action(Expiry).when("s1", SeatEvent::Bought).sends([timer_cancelled("release-s1")]);
}

#[test]
fn what_is_held_is_released_in_time_and_what_is_bought_is_not() {
    for seed in headwater::testkit::seeds(8) {
        let hall = Testkit::new(hall).seed(seed).duplicates().delays().reorder().crashes(0.005);
        for seat in ["a", "b"] {
            hall.send::<Seat>(seat, hold("Ann")).unwrap();
        }
        hall.settle();
        assert_eq!(hall.timers(), ["release-a", "release-b"]);
        hall.advance(Duration::from_secs(1_800));
        hall.send::<Seat>("b", SeatCommand::Buy).unwrap();
        hall.settle();
        assert_eq!(hall.timer("release-b").unwrap().state, TimerState::Cancelled);
        hall.advance(days(2));
        hall.settle();
        let releases = ["a", "b"].map(|seat| hall.state::<Seat>(seat).unwrap().releases);
        assert_eq!(releases, [1, 0], "seed {seed}");
        assert!(hall.timers().is_empty());
    }
}

#[test]
fn what_a_timer_sends_of_an_erased_subject_is_nothing() {
    let hall = Testkit::new(hall);
    hall.send::<Seat>("a", hold("Ann")).unwrap();
    hall.send::<Seat>("b", hold("Bob")).unwrap();
    hall.settle();
    hall.erase("seat/a");
    hall.crash();
    hall.advance(hours(2));
    hall.settle();
    let last = |seat| hall.events::<Seat>(seat).pop().unwrap();
    assert_eq!(last("a"), SeatEvent::Released { holder: Personal::default() });
    assert_eq!(last("b"), SeatEvent::Released { holder: Personal::new("Bob".to_owned()) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sets_moves_and_cancels_timers_and_they_outlive_a_restart() {
    let directory = Directory::new();
    let running = start(&directory).await;
    let client = running.client().clone();
    let day = Duration::from_secs(86_400);
    let release = || SeatCommand::Release { holder: Personal::new("CANARY Ann".to_owned()) };
    assert_eq!(client.timer("t").after(day).send::<Seat>("a", release()).await, Ok(true));
    let keyed = client.keyed("once");
    for _ in 0..2 {
        assert_eq!(keyed.timer("u").at_micros(4_000_000_000_000_000).send::<Seat>("b", release()).await, Ok(true));
    }
    assert_eq!(client.timers("").await.unwrap().iter().map(|timer| timer.name.as_str()).collect::<Vec<_>>(), ["t", "u"]);
    running.stop().await;
    for file in walk(directory.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"CANARY"), "{}", file.display());
    }
    let running = start(&directory).await;
    let client = running.client().clone();
    assert_eq!(client.timer("u").status().await.unwrap().unwrap().state, "pending");
    assert_eq!(client.timer("u").cancel().await, Ok(true));
    assert_eq!(client.timer("none").status().await, Ok(None));
    assert_eq!(client.timer("t").after(Duration::ZERO).reschedule().await, Ok(true));
    while client.timer("t").status().await.unwrap().unwrap().state != "fired" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client.state::<Seat>("a").await.unwrap().unwrap().releases, 1);
    assert_eq!(client.timer("t").cancel().await, Ok(false), "it was too late");
    running.stop().await;
}

async fn start(directory: &Directory) -> headwater::Running {
    here(hall(), &directory.path().join("data")).start().await.unwrap_or_else(|error| panic!("{error}"))
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).filter(|path| !path.ends_with("subjects.keys")).collect()
}
