//! An input whose fold ends the process, and a timer whose command does: real processes that abort, until it is parked and the others go on.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command as Process;
use std::time::Duration;

use headwater::prelude::*;

use crate::engine::here;

const DATA: &str = "HEADWATER_TEST_DEADLY_DATA";

#[derive(Default, State)]
struct Meter {
    sum: u64,
}

#[derive(Command)]
enum MeterCommand {
    #[command("count")]
    Count { by: u64 },
}

#[derive(Event)]
enum MeterEvent {
    #[event("counted")]
    Counted { by: u64 },
}

impl Entity for Meter {
    const NAME: &'static str = "meter";
    type Command = MeterCommand;
    type Event = MeterEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: MeterCommand, _: &CommandContext) -> Result<Decision<MeterEvent>, Self::Rejection> {
        let MeterCommand::Count { by } = command;
        if by == 15 {
            std::process::abort();
        }
        Ok(record(MeterEvent::Counted { by }))
    }

    fn evolve(&mut self, event: &MeterEvent) {
        let MeterEvent::Counted { by } = event;
        self.sum += by;
    }
}

struct Deadly;

#[derive(Event)]
enum DeadlyEvent {
    #[event("summed")]
    Summed { sum: u64 },
}

#[derive(Default, State)]
struct Sum {
    sum: u64,
}

impl Processor for Deadly {
    const NAME: &'static str = "deadly";
    type State = Sum;
    type Event = DeadlyEvent;

    fn wake(&self, _: &mut Sum, _: &mut ProcessorContext<DeadlyEvent>) {
        std::process::abort();
    }

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        inputs.events("meter", |counted: &Recorded<MeterEvent>| counted.entity_id.clone(), Self::add)
    }
}

impl Deadly {
    fn add(&self, sum: &mut Sum, counted: Recorded<MeterEvent>, ctx: &mut ProcessorContext<DeadlyEvent>) {
        let MeterEvent::Counted { by } = counted.event;
        if by == 13 {
            std::process::abort();
        }
        if by == 14 {
            ctx.wake_at(ctx.time() + 100_000);
        }
        sum.sum += by;
        ctx.emit(DeadlyEvent::Summed { sum: sum.sum });
    }
}

#[derive(Debug, PartialEq, Value)]
struct Row {
    id: String,
    sum: u64,
}

fn service(data: &str) -> Service {
    let sums = View::sqlite("sums")
        .table("CREATE TABLE sum (id TEXT PRIMARY KEY, sum INTEGER NOT NULL)")
        .on("deadly/summed", "INSERT INTO sum VALUES (@id, :sum) ON CONFLICT DO UPDATE SET sum = :sum")
        .query::<(), Row>("all", "SELECT id, sum FROM sum ORDER BY id");
    here(Service::new("meters").entity::<Meter>().processor(Deadly).view(sums), Path::new(data))
}

/// What each of the processes does: it counts, under the same keys as the one before, until what comes behind the deadly input is there.
#[test]
fn a_process_among_them() {
    let Ok(data) = std::env::var(DATA) else { return };
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let running = service(&data).start().await.unwrap();
        for (key, meter, by) in [("k1", "north", 1), ("k2", "north", 13), ("k3", "south", 2), ("k4", "north", 4)] {
            running.client().keyed(key).send::<Meter>(meter, MeterCommand::Count { by }).await.unwrap();
        }
        loop {
            let rows: Vec<Row> = running.client().query("sums", "all", ()).await.unwrap().rows;
            if rows.iter().any(|row| row.id == "south") {
                assert_eq!(rows, [Row { id: "north".into(), sum: 1 }, Row { id: "south".into(), sum: 2 }]);
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        running.stop().await;
    });
}

/// What each of those does whose wake is deadly: it counts once, and waits until the key is parked.
#[test]
fn a_process_that_is_woken() {
    let Ok(data) = std::env::var(DATA) else { return };
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let running = service(&data).start().await.unwrap();
        running.client().keyed("k1").send::<Meter>("north", MeterCommand::Count { by: 14 }).await.unwrap();
        while !status(running.url(), "consumers/deadly").contains("\"parked\":1") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        running.stop().await;
    });
}

/// What each of those does that fires a deadly timer among others: it sets them once, and waits until the one is parked and the others have fired.
#[test]
fn a_process_that_fires() {
    let Ok(data) = std::env::var(DATA) else { return };
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let running = service(&data).start().await.unwrap();
        for (name, by) in [("a", 1), ("deadly", 15), ("z", 2)] {
            let client = running.client().keyed(name);
            client.timer(name).at_micros(1_000_000).send::<Meter>(name, MeterCommand::Count { by }).await.unwrap();
        }
        while !status(running.url(), "timers").contains("\"parked\":1,\"pending\":0") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for (name, sum) in [("a", 1), ("z", 2)] {
            assert_eq!(running.client().state::<Meter>(name).await.unwrap().unwrap().sum, sum);
        }
        running.stop().await;
    });
}

fn status(url: &str, what: &str) -> String {
    let mut stream = std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    write!(stream, "GET /v1/admin/{what} HTTP/1.1\r\nhost: meters\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// How many processes end over it until one lives.
fn deaths(test: &str) -> usize {
    let data = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("headwater-{test}-{}", std::process::id()));
    let process = || {
        let mut process = Process::new(std::env::current_exe().unwrap());
        process.args(["--exact", &format!("deadly::{test}"), "--quiet"]).env(DATA, &data);
        process.output().unwrap().status.success()
    };
    let deaths = (0..8).take_while(|_| !process()).count();
    assert!(process(), "and it stays parked");
    std::fs::remove_dir_all(&data).unwrap();
    deaths
}

#[test]
fn an_input_that_ends_three_processes_parks_its_key() {
    assert_eq!(deaths("a_process_among_them"), 3);
}

#[test]
fn a_wake_that_ends_three_processes_parks_its_key() {
    assert_eq!(deaths("a_process_that_is_woken"), 3);
}

#[test]
fn a_timer_that_ends_three_processes_is_parked() {
    assert_eq!(deaths("a_process_that_fires"), 3);
}
