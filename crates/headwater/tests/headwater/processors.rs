//! Processors in a whole service: each input counts once under every fault, windows end, keys park and go on, shapes change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use headwater::prelude::*;
use headwater::testkit::{Testkit, minutes, seconds, seeds};

#[derive(Debug, Default, PartialEq, State)]
struct Account {
    balance: i64,
}

#[derive(Command)]
enum AccountCommand {
    #[command("book")]
    Book { amount: i64, region: String },
}

#[derive(Debug, PartialEq, Event)]
enum AccountEvent {
    #[event("booked")]
    Booked { amount: i64, region: String },
}

impl Entity for Account {
    const NAME: &'static str = "account";
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: AccountCommand, _: &CommandContext) -> Result<Decision<AccountEvent>, Self::Rejection> {
        let AccountCommand::Book { amount, region } = command;
        Ok(record(AccountEvent::Booked { amount, region }))
    }

    fn evolve(&mut self, event: &AccountEvent) {
        let AccountEvent::Booked { amount, .. } = event;
        self.balance += amount;
    }
}

/// Events of many accounts meet in one key, their region; so do messages.
#[derive(Debug, Default, PartialEq, State)]
struct Sum {
    bookings: u64,
    sum: i64,
    open: Windows<i64>,
}

#[derive(Debug, PartialEq, Event)]
enum SumEvent {
    #[event("summed")]
    Summed { bookings: u64, sum: i64 },
    #[event("minute-ended")]
    MinuteEnded { start_seconds: i64, sum: i64 },
}

#[derive(Clone, Default)]
struct Regions {
    /// Panics over this amount.
    poison: Arc<AtomicBool>,
    first: bool,
}

const MINUTE: Tumbling = Tumbling::of(Duration::from_secs(60));

impl Processor for Regions {
    const NAME: &'static str = "regions";
    type State = Sum;
    type Event = SumEvent;

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        inputs.events("account", |booked: &Recorded<AccountEvent>| region_of(&booked.event), Self::book).topic(
            "cash",
            |cash: &Message<Cash>| cash.data.region.clone(),
            Self::pay_in,
        )
    }

    fn wake(&self, sum: &mut Sum, ctx: &mut ProcessorContext<SumEvent>) {
        for minute in MINUTE.ended(&mut sum.open, ctx) {
            ctx.emit(SumEvent::MinuteEnded { start_seconds: minute.start_micros / 1_000_000, sum: minute.value });
        }
    }

    fn start(&self) -> Start {
        if self.first { Start::First } else { Start::Now }
    }
}

#[derive(Value)]
struct Cash {
    region: String,
    amount: i64,
}

fn region_of(event: &AccountEvent) -> Route {
    let AccountEvent::Booked { region, .. } = event;
    if region == "nowhere" { Route::nowhere() } else { Route::to(region.clone()) }
}

impl Regions {
    fn book(&self, sum: &mut Sum, booked: Recorded<AccountEvent>, ctx: &mut ProcessorContext<SumEvent>) {
        let AccountEvent::Booked { amount, .. } = booked.event;
        sum.bookings += 1;
        assert!(amount != 13 || !self.poison.load(SeqCst), "thirteen");
        self.add(sum, amount, ctx);
    }

    fn pay_in(&self, sum: &mut Sum, cash: Message<Cash>, ctx: &mut ProcessorContext<SumEvent>) {
        sum.bookings += 1;
        self.add(sum, cash.data.amount, ctx);
    }

    fn add(&self, sum: &mut Sum, amount: i64, ctx: &mut ProcessorContext<SumEvent>) {
        sum.sum += amount;
        assert!(!MINUTE.add(&mut sum.open, ctx, |minute| *minute += amount).is_late(), "nothing comes late to a recorded time");
        ctx.emit(SumEvent::Summed { bookings: sum.bookings, sum: sum.sum });
    }
}

#[derive(Debug, PartialEq, Value)]
struct Total {
    total: i64,
}

fn service(regions: Regions) -> Service {
    let ended = View::sqlite("ended")
        .table("CREATE TABLE minute (region TEXT, start INTEGER, sum INTEGER NOT NULL, PRIMARY KEY (region, start))")
        .on("regions/minute-ended", "INSERT INTO minute VALUES (@id, :start_seconds, :sum)")
        .query::<(), Total>("total", "SELECT coalesce(sum(sum), 0) AS total FROM minute");
    Service::new("bank").entity::<Account>().topic_of::<Cash>("cash").processor(regions).view(ended)
}

fn bank(regions: &Regions) -> Testkit {
    let regions = regions.clone();
    Testkit::new(move || service(regions.clone()))
}

fn book(bank: &Testkit, account: &str, amount: i64, region: &str) {
    bank.send::<Account>(account, AccountCommand::Book { amount, region: region.into() }).unwrap();
}

fn sums(bank: &Testkit, region: &str) -> Vec<(u64, i64)> {
    let sum = |event| match event {
        SumEvent::Summed { bookings, sum } => Some((bookings, sum)),
        SumEvent::MinuteEnded { .. } => None,
    };
    bank.emitted(Regions::default(), region).into_iter().filter_map(sum).collect()
}

#[test]
fn inputs_of_many_entities_meet_in_their_key() {
    let bank = bank(&Regions::default());
    book(&bank, "a1", 10, "north");
    book(&bank, "a2", 5, "north");
    book(&bank, "a1", 1, "south");
    book(&bank, "a1", 100, "nowhere");
    bank.publish("cash", "till", Cash { region: "north".into(), amount: 7 });
    bank.settle();
    assert_eq!(sums(&bank, "north"), [(1, 10), (2, 15), (3, 22)]);
    assert_eq!(sums(&bank, "south"), [(1, 1)]);
    assert_eq!(bank.remembered::<Regions>("north").sum, 22);
    assert_eq!(bank.remembered::<Regions>("nowhere"), Sum::default());
}

#[test]
fn a_window_ends_when_its_time_is_over_though_nothing_comes() {
    let bank = bank(&Regions::default());
    book(&bank, "a1", 10, "north");
    bank.advance(seconds(59));
    bank.settle();
    assert_eq!(bank.query::<_, Total>("ended", "total", ()), [Total { total: 0 }]);
    bank.advance(seconds(2));
    bank.settle();
    assert_eq!(bank.query::<_, Total>("ended", "total", ()), [Total { total: 10 }]);
    assert!(bank.remembered::<Regions>("north").open.is_empty());
}

/// What an independent count makes of what was sent.
#[derive(Default)]
struct Model(BTreeMap<String, Region>);

/// How many bookings, their sum, and both after each of them.
type Region = (u64, i64, Vec<(u64, i64)>);

impl Model {
    fn add(&mut self, region: &str, amount: i64) {
        let (bookings, sum, all) = self.0.entry(region.to_owned()).or_default();
        (*bookings, *sum) = (*bookings + 1, *sum + amount);
        all.push((*bookings, *sum));
    }
}

#[test]
fn under_all_faults_every_input_counts_once() {
    let mut crashes = 0;
    for seed in seeds(40) {
        let bank = bank(&Regions { first: seed % 2 == 0, ..Regions::default() }).seed(seed).duplicates().delays().reorder().crashes(0.01);
        let mut model = Model::default();
        for round in 0..24_i64 {
            let region = ["north", "south", "east"][usize::try_from(round % 3).unwrap()];
            if round % 4 == 0 {
                bank.publish("cash", "till", Cash { region: region.into(), amount: round });
            } else {
                book(&bank, &format!("a{}", round % 5), round, region);
            }
            model.add(region, round);
            if round % 6 == 0 {
                bank.advance(seconds(25));
            }
        }
        bank.settle();
        bank.advance(minutes(3));
        bank.settle();
        for (region, (_, sum, all)) in &model.0 {
            assert_eq!(&sums(&bank, region), all, "seed {seed}, {region}");
            assert_eq!(bank.remembered::<Regions>(region).sum, *sum, "seed {seed}, {region}");
        }
        let total = model.0.values().map(|(_, sum, _)| sum).sum();
        assert_eq!(bank.query::<_, Total>("ended", "total", ()), [Total { total }], "seed {seed}: every window ended once");
        assert_eq!(bank.held(), []);
        crashes += bank.crash_count();
    }
    assert!(crashes > 40, "{crashes} crashes");
}

#[test]
fn a_fold_that_panics_parks_its_key_and_no_other() {
    let regions = Regions::default();
    regions.poison.store(true, SeqCst);
    let bank = bank(&regions);
    book(&bank, "a1", 1, "north");
    book(&bank, "a1", 13, "north");
    book(&bank, "a2", 2, "north");
    book(&bank, "a1", 3, "south");
    bank.settle();
    assert_eq!(sums(&bank, "north"), [(1, 1)], "what panicked has left nothing, and what came later waits");
    assert_eq!(sums(&bank, "south"), [(1, 3)]);
    let parked: Vec<String> = bank.parked().iter().map(ToString::to_string).collect();
    assert_eq!(
        parked,
        ["regions/north is parked in regions by its event 2 (account/booked) after 1 runs: the processor panicked: thirteen"]
    );
    bank.crash();
    bank.settle();
    assert_eq!(bank.parked().len(), 1, "and stays parked");

    assert_eq!(bank.redrive(), 1);
    bank.settle();
    let parked: Vec<String> = bank.parked().iter().map(ToString::to_string).collect();
    assert!(parked.len() == 1 && parked[0].contains("after 2 runs"), "what is not mended fails again: {parked:?}");

    regions.poison.store(false, SeqCst);
    bank.advance(minutes(2));
    assert_eq!(bank.redrive(), 1);
    bank.settle();
    assert_eq!(sums(&bank, "north"), [(1, 1), (2, 14), (3, 16)]);
    assert_eq!(bank.query::<_, Total>("ended", "total", ()), [Total { total: 19 }], "its windows are those of its own time");
    assert_eq!(bank.parked(), []);
}

/// The first event that parked the key runs in the end; a later one fails instead, and that is where the key is parked then.
#[test]
fn a_key_that_goes_on_is_parked_again_where_it_fails() {
    let regions = Regions::default();
    regions.poison.store(true, SeqCst);
    let bank = bank(&regions);
    for amount in [13, 5, 13, 7] {
        book(&bank, "a1", amount, "north");
    }
    bank.settle();
    let parked = || bank.parked().iter().map(|held| held.to_string()).collect::<Vec<_>>();
    assert!(parked()[0].contains("by its event 1 "), "{:?}", parked());
    bank.discard("regions", "regions", "north");
    bank.settle();
    assert!(parked()[0].contains("by its event 3 "), "{:?}", parked());
    assert_eq!(sums(&bank, "north"), [(1, 5)], "what lies between has run");
    bank.crash();
    bank.settle();
    bank.discard("regions", "regions", "north");
    bank.settle();
    assert_eq!((parked().len(), sums(&bank, "north")), (0, vec![(1, 5), (2, 12)]));
}

/// More waits behind a parked key than one commit takes.
#[test]
fn a_key_goes_on_in_several_steps() {
    let regions = Regions::default();
    regions.poison.store(true, SeqCst);
    let bank = bank(&regions);
    book(&bank, "a1", 13, "north");
    for round in 0..1_300 {
        book(&bank, &format!("a{}", round % 3), if round == 1_200 { 13 } else { 1 }, "north");
    }
    bank.settle();
    bank.discard("regions", "regions", "north");
    bank.settle();
    assert_eq!(sums(&bank, "north").len(), 1_200);
    assert_eq!(bank.parked().len(), 1);
    bank.crash();
    bank.settle();
    bank.discard("regions", "regions", "north");
    bank.settle();
    assert_eq!((sums(&bank, "north").last(), bank.parked().len()), (Some(&(1_299, 1_299)), 0));
}

/// An entity whose event cannot be read waits as a whole; others of the same key go on.
#[test]
fn an_event_without_a_key_parks_its_entity() {
    #[derive(Event)]
    enum Picky {
        #[event("booked")]
        Booked { amount: u8, region: String },
    }
    struct Small;
    impl Processor for Small {
        const NAME: &'static str = "small";
        type State = Sum;
        type Event = SumEvent;
        fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
            let route = |booked: &Recorded<Picky>| match &booked.event {
                Picky::Booked { region, .. } => region.clone(),
            };
            inputs.events("account", route, |_, sum: &mut Sum, booked: Recorded<Picky>, _| {
                let Picky::Booked { amount, .. } = booked.event;
                sum.sum += i64::from(amount);
            })
        }
    }
    let bank = Testkit::new(|| Service::new("bank").entity::<Account>().processor(Small));
    for (account, amount) in [("a1", 1), ("a1", 1_000), ("a1", 2), ("a2", 4)] {
        book(&bank, account, amount, "north");
    }
    bank.settle();
    let parked: Vec<String> = bank.parked().iter().map(ToString::to_string).collect();
    assert!(parked.len() == 1 && parked[0].starts_with("account/a1 is parked in small by its event 2 "), "{parked:?}");
    assert_eq!(bank.remembered::<Small>("north").sum, 5);
    bank.discard("small", "account", "a1");
    bank.settle();
    assert_eq!((bank.remembered::<Small>("north").sum, bank.parked().len()), (7, 0));
}

#[test]
fn a_state_of_another_shape_begins_anew_and_says_nothing_twice() {
    #[derive(Debug, Default, PartialEq, State)]
    #[state(version = 2)]
    struct Count {
        count: u64,
    }
    #[derive(Debug, PartialEq, Event)]
    enum CountEvent {
        #[event("counted")]
        Counted { count: u64 },
    }
    struct Counting;
    impl Processor for Counting {
        const NAME: &'static str = "regions";
        type State = Count;
        type Event = CountEvent;
        fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
            inputs.events(
                "account",
                |booked: &Recorded<AccountEvent>| region_of(&booked.event),
                |_, state: &mut Count, _, ctx| {
                    state.count += 1;
                    ctx.emit(CountEvent::Counted { count: state.count });
                },
            )
        }
    }

    let builds = Arc::new(AtomicU32::new(0));
    let build = Arc::clone(&builds);
    let regions = Regions::default();
    regions.poison.store(true, SeqCst);
    let bank = Testkit::new(move || {
        if build.load(SeqCst) == 0 { service(regions.clone()) } else { Service::new("bank").entity::<Account>().processor(Counting) }
    });
    for amount in [1, 2, 3] {
        book(&bank, "a1", amount, "north");
    }
    book(&bank, "a1", 1, "south");
    book(&bank, "a1", 13, "south");
    bank.settle();
    builds.store(1, SeqCst);
    bank.restart();
    bank.settle();
    assert_eq!(bank.remembered::<Counting>("north"), Count { count: 3 }, "it is built from the first input");
    assert_eq!(bank.parked(), [], "what had parked the key runs in the new shape");
    book(&bank, "a1", 4, "north");
    bank.crash();
    bank.settle();
    let log = bank.log();
    let emitted = |region: &str| log.lines().filter(|line| line.contains(&format!("regions/{region}#"))).count();
    assert_eq!(emitted("north"), 3 + 1, "three of the old shape, one of the new one:\n{log}");
    assert_eq!(emitted("south"), 1 + 1, "the one that was parked has not been emitted before:\n{log}");
    assert_eq!(bank.remembered::<Counting>("south"), Count { count: 2 });
}
