//! Personal data in a whole service: where it lies, and that it lies nowhere once its subject is erased.
//!
//! Every personal value of these tests has `CANARY` in it, and the tests look at every byte of every file.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use headwater::prelude::*;
use headwater::testkit::Testkit;
use headwater::{Failure, Outcome, Running};
use serde_json::{Value as Json, json};

use crate::embedded::Directory;

#[derive(Debug, Default, PartialEq, State)]
struct Customer {
    name: Personal<String>,
    city: String,
}

#[derive(Command)]
enum CustomerCommand {
    #[command("register")]
    Register { name: Personal<String>, city: String },
    #[command("rename")]
    Rename { name: Personal<String> },
}

#[derive(Debug, PartialEq, Event)]
enum CustomerEvent {
    #[event("registered")]
    Registered { name: Personal<String>, city: String },
    #[event("renamed")]
    Renamed { name: Personal<String> },
}

#[derive(Debug, PartialEq, Rejection)]
enum CustomerRejection {
    #[rejection("empty", "a name has letters")]
    Empty { name: Personal<String> },
}

impl Entity for Customer {
    const NAME: &'static str = "customer";
    type Command = CustomerCommand;
    type Event = CustomerEvent;
    type Reply = Personal<String>;
    type Rejection = CustomerRejection;

    fn decide(&self, command: CustomerCommand, _: &CommandContext) -> Result<Decision<CustomerEvent, Personal<String>>, CustomerRejection> {
        let (CustomerCommand::Register { name, .. } | CustomerCommand::Rename { name }) = &command;
        if name.get().is_none_or(|name| name.ends_with("refused")) {
            return Err(CustomerRejection::Empty { name: name.clone() });
        }
        let reply = name.clone();
        Ok(record(match command {
            CustomerCommand::Register { name, city } => CustomerEvent::Registered { name, city },
            CustomerCommand::Rename { name } => CustomerEvent::Renamed { name },
        })
        .reply(reply))
    }

    fn evolve(&mut self, event: &CustomerEvent) {
        match event {
            CustomerEvent::Registered { name, city } => (self.name, self.city) = (name.clone(), city.clone()),
            CustomerEvent::Renamed { name } => self.name = name.clone(),
        }
    }
}

#[derive(Debug, Default, PartialEq, State)]
struct Order {
    labels: Vec<Personal<String>>,
}

#[derive(Command)]
enum OrderCommand {
    #[command("label")]
    Label {
        customer: String,
        #[personal(subject = "customer/{customer}")]
        label: Personal<String>,
    },
}

#[derive(Debug, PartialEq, Event)]
enum OrderEvent {
    #[event("labelled")]
    Labelled {
        customer: String,
        #[personal(subject = "customer/{customer}")]
        label: Personal<String>,
    },
}

impl Entity for Order {
    const NAME: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent>, Self::Rejection> {
        let OrderCommand::Label { customer, label } = command;
        Ok(record(OrderEvent::Labelled { customer, label }))
    }

    fn evolve(&mut self, event: &OrderEvent) {
        let OrderEvent::Labelled { label, .. } = event;
        self.labels.push(label.clone());
    }
}

/// Labels an order for each customer, and cannot go on with some until it is mended.
#[derive(Clone)]
struct Labeller {
    is_mended: Arc<AtomicBool>,
    /// Runs that have their event in their hands.
    begun: Arc<AtomicUsize>,
    /// They go on when it is open.
    gate: tokio::sync::watch::Sender<bool>,
}

impl Default for Labeller {
    fn default() -> Self {
        Self { is_mended: Arc::default(), begun: Arc::default(), gate: tokio::sync::watch::Sender::new(true) }
    }
}

impl Action for Labeller {
    const NAME: &'static str = "labeller";
    const ENTITY: &'static str = "customer";
    type Event = CustomerEvent;

    async fn run(&self, event: Recorded<CustomerEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let CustomerEvent::Registered { name, city } = event.event else { return Ok(()) };
        self.begun.fetch_add(1, SeqCst);
        drop(self.gate.subscribe().wait_for(|is_open| *is_open).await);
        if city == "quoted" && !self.is_mended.load(SeqCst) {
            return Err(ActionError::park(format!("nobody delivers to {}", name.into_inner().unwrap_or_default())));
        }
        if city == "nowhere" && !self.is_mended.load(SeqCst) {
            return Err(ActionError::park(format!("nobody delivers to {name}")));
        }
        let label = name.map(|name| format!("{name} of {city}"));
        ctx.command::<Order>(&event.entity_id, OrderCommand::Label { customer: event.entity_id.clone(), label }).await?;
        Ok(())
    }
}

#[derive(Debug, Default, PartialEq, State)]
struct Citizens {
    names: Vec<Personal<String>>,
    said: Vec<Personal<String>>,
}

#[derive(Debug, PartialEq, Event)]
enum CitizenEvent {
    #[event("came")]
    Came { name: Personal<String>, after: usize },
}

struct Towns;

#[derive(Value)]
struct Letter {
    from: String,
    #[personal(subject = "customer/{from}")]
    text: Personal<String>,
}

impl Processor for Towns {
    const NAME: &'static str = "towns";
    type State = Citizens;
    type Event = CitizenEvent;

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        let city = |event: &Recorded<CustomerEvent>| match &event.event {
            CustomerEvent::Registered { city, .. } => Route::to(city.clone()),
            CustomerEvent::Renamed { .. } => Route::nowhere(),
        };
        inputs.events("customer", city, Self::arrive).topic("letters", |_: &Message<Letter>| "letters".to_owned(), Self::read)
    }
}

impl Towns {
    fn arrive(&self, citizens: &mut Citizens, event: Recorded<CustomerEvent>, ctx: &mut ProcessorContext<CitizenEvent>) {
        if let CustomerEvent::Registered { name, .. } = event.event {
            ctx.emit(CitizenEvent::Came { name: name.clone(), after: citizens.names.len() });
            citizens.names.push(name);
        }
    }

    fn read(&self, citizens: &mut Citizens, letter: Message<Letter>, _: &mut ProcessorContext<CitizenEvent>) {
        citizens.said.push(letter.data.text);
    }
}

#[derive(Debug, PartialEq, Value)]
struct Row {
    id: String,
    name: Option<String>,
}

fn names() -> View {
    View::sqlite("names")
        .table("CREATE TABLE name (id TEXT PRIMARY KEY, name TEXT)")
        .on("customer/registered", "INSERT INTO name VALUES (@id, :name)")
        .on("customer/renamed", "UPDATE name SET name = :name WHERE id = @id")
        .query::<(), Row>("all", "SELECT id, name FROM name ORDER BY id")
}

fn service(labeller: &Labeller) -> Service {
    Service::new("people")
        .entity::<Customer>()
        .entity::<Order>()
        .action(labeller.clone())
        .processor(Towns)
        .topic_of::<Letter>("letters")
        .view(names())
}

/// The same for a process of its own.
pub(crate) fn plain_service() -> Service {
    service(&Labeller::default())
}

fn name(name: &str) -> Personal<String> {
    Personal::new(format!("CANARY {name}"))
}

fn register(who: &str, city: &str) -> CustomerCommand {
    CustomerCommand::Register { name: name(who), city: city.to_owned() }
}

/// A service in a directory of its own, whose key store lies beside it.
pub(crate) struct House {
    data: Directory,
    keys: PathBuf,
    labeller: Labeller,
}

impl House {
    pub(crate) fn new() -> Self {
        let data = Directory::new();
        let keys = PathBuf::from(format!("{}.keys", data.path().display()));
        Self { data, keys, labeller: Labeller::default() }
    }

    async fn try_serve(&self, service: Service) -> Result<Running, Failure> {
        service.listen("127.0.0.1:0").data(self.data.path().display().to_string()).start().await
    }

    /// Another service over the same data.
    pub(crate) async fn serve(&self, service: Service) -> Running {
        self.try_serve(service).await.expect("the service starts")
    }

    async fn start(&self) -> Running {
        self.serve(service(&self.labeller)).await
    }

    /// The files of the data directory and the key store with a canary in them.
    pub(crate) fn canaries(&self) -> Vec<String> {
        let mut found = Vec::new();
        for root in [self.data.path(), &self.keys] {
            look(root, &mut found);
        }
        let folder = self.data.path().display().to_string();
        found.iter().map(|path| path.display().to_string().replace(&folder, "")).collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.keys);
    }
}

pub(crate) fn look(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            look(&entry.path(), found);
        } else if has_canary(&std::fs::read(entry.path()).unwrap()) {
            found.push(entry.path());
        }
    }
}

pub(crate) fn has_canary(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|window| window == b"CANARY")
}

/// One request; its status and its body.
pub(crate) fn post(url: &str, path: &str, content: &str, body: &str) -> (u16, Json) {
    send(url, &format!("POST {path}"), content, body)
}

/// The same by any method: `PUT /v1/..`.
fn send(url: &str, line: &str, content: &str, body: &str) -> (u16, Json) {
    let address = url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let length = body.len();
    write!(
        stream,
        "{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {content}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or(Json::Null))
}

pub(crate) async fn asked(running: &Running, path: &str, body: Json) -> (u16, Json) {
    asked_by(running, &format!("POST {path}"), body).await
}

pub(crate) async fn asked_by(running: &Running, line: &str, body: Json) -> (u16, Json) {
    let (url, line) = (running.url().to_owned(), line.to_owned());
    tokio::task::spawn_blocking(move || send(&url, &line, "application/json", &body.to_string())).await.unwrap()
}

async fn write_letter(running: &Running, from: &str, text: &str) {
    let letter = json!({ "specversion": "1.0", "id": text, "source": "/post", "type": "letter", "data": { "from": from, "text": format!("CANARY {text}"), "unknown": "CANARY" } });
    let url = running.url().to_owned();
    let sent = move || post(&url, "/v1/topics/letters", "application/cloudevents+json", &letter.to_string());
    let (status, answer) = tokio::task::spawn_blocking(sent).await.unwrap();
    assert!(status < 300, "{status}: {answer}");
}

async fn rows(running: &Running) -> BTreeMap<String, Option<String>> {
    let rows = running.client().query::<(), Row>("names", "all", ()).await.expect("it answers").rows;
    rows.into_iter().map(|row| (row.id, row.name)).collect()
}

/// Waits until something holds that the service does in the background.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..2_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} does not come");
}

/// Everything a service does with personal data, of two customers.
async fn live(house: &House, running: &Running) {
    let client = running.client();
    for who in ["ann", "bob"] {
        let sent = client.keyed(format!("register {who}")).send::<Customer>(who, register(who, "here")).await.unwrap();
        assert_eq!(sent.reply.get(), Some(&format!("CANARY {who}")));
        // Past a snapshot.
        for at in 0..120 {
            client.send::<Customer>(who, CustomerCommand::Rename { name: name(&format!("{who} {at}")) }).await.unwrap();
        }
        client.send::<Customer>(&format!("{who}-parked"), register(who, "nowhere")).await.unwrap();
        write_letter(running, who, who).await;
        for key in ["later", "refused"] {
            let renamed = CustomerCommand::Rename { name: name(&format!("{who} {key}")) };
            client.keyed(format!("{who} {key}")).send_later::<Customer>(who, renamed).await.unwrap();
        }
    }
    until("the order of each customer", async || {
        let orders = [client.state::<Order>("ann").await.unwrap(), client.state::<Order>("bob").await.unwrap()];
        orders.iter().all(|order| order.as_ref().is_some_and(|order| order.labels.len() == 1))
    })
    .await;
    until("the outcomes", async || {
        let mut all = true;
        for who in ["ann", "bob"] {
            all &= matches!(client.outcome::<Customer>(who, &format!("{who} later")).await, Ok(Some(Outcome::Done { .. })));
            all &= client.outcome::<Customer>(who, &format!("{who} refused")).await.is_err();
        }
        all
    })
    .await;
    edit_parked(house, running).await;
}

/// A person writes another name into the event that has parked its key.
async fn edit_parked(_: &House, running: &Running) {
    let mut held = Json::Null;
    until("the parked keys", async || {
        let url = running.url().to_owned();
        held = tokio::task::spawn_blocking(move || get(&url, "/v1/admin/consumers/labeller/held")).await.unwrap();
        held["items"].as_array().is_some_and(|items| items.len() == 2)
    })
    .await;
    for item in held["items"].as_array().unwrap() {
        assert_eq!(item["cause"], "nobody delivers to (personal)");
        let forged = json!({ "name": { "$personal": { "subject": "customer/bob", "value": "CANARY" } }, "city": "nowhere" });
        let edit = json!({ "type": "customer", "id": item["id"], "event": item["event"], "payload": forged });
        let (status, answer) = asked(running, "/v1/admin/consumers/labeller/edit", edit).await;
        assert!((400..500).contains(&status) && answer.to_string().contains("write the plain value"), "{status}: {answer}");
        let edit = json!({ "type": "customer", "id": item["id"], "event": item["event"], "payload": { "name": "CANARY edited", "city": "nowhere" } });
        let (status, answer) = asked(running, "/v1/admin/consumers/labeller/edit", edit).await;
        assert_eq!(status, 200, "{answer}");
    }
}

pub(crate) fn get(url: &str, path: &str) -> Json {
    let address = url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)).unwrap_or(Json::Null)
}

pub(crate) async fn got(running: &Running, path: &str) -> Json {
    let (url, path) = (running.url().to_owned(), path.to_owned());
    tokio::task::spawn_blocking(move || get(&url, &path)).await.unwrap()
}

async fn erase(running: &Running, subject: &str) -> Json {
    let (status, answer) = asked(running, &format!("/v1/admin/subjects/{subject}/erase"), json!({ "reason": "asked to" })).await;
    assert_eq!(status, 200, "{answer}");
    until("the view", async || got(running, "/v1/views/names").await["rebuild"].is_null()).await;
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn personal_data_lies_in_views_only_and_nowhere_once_its_subjects_are_erased() {
    let house = House::new();
    let running = house.start().await;
    live(&house, &running).await;
    running.stop().await;
    let alive = house.canaries();
    assert!(!alive.is_empty() && alive.iter().all(|file| file.starts_with("/views/")), "{alive:?}");

    let running = house.start().await;
    // Everything is there, over a restart and out of a snapshot.
    assert_eq!(running.client().state::<Customer>("ann").await.unwrap().unwrap().name.get().unwrap(), "CANARY ann later");
    for subject in ["customer/ann", "customer/bob", "customer/ann-parked", "customer/bob-parked"] {
        let answer = erase(&running, subject).await;
        assert_eq!((&answer["keys"], &answer["views"]), (&json!(1), &json!(["names"])), "{answer}");
    }
    let again = erase(&running, "customer/ann").await;
    assert_eq!((&again["keys"], &again["views"]), (&json!(0), &json!([])), "{again}");
    check_erased(&running).await;
    // Also what is done afterwards with what was there before.
    house.labeller.is_mended.store(true, SeqCst);
    let (status, answer) = asked(&running, "/v1/admin/consumers/labeller/redrive", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    until("the redriven keys", async || got(&running, "/v1/admin/consumers/labeller/held").await["items"] == json!([])).await;
    running.stop().await;
    assert_eq!(house.canaries(), Vec::<String>::new());

    // It replays, and what is exported or copied from now on has none either.
    let running = house.start().await;
    check_erased(&running).await;
    running.stop().await;
    assert_eq!(house.canaries(), Vec::<String>::new());
}

async fn check_erased(running: &Running) {
    let client = running.client();
    for who in ["ann", "bob"] {
        let customer = client.state::<Customer>(who).await.unwrap().unwrap();
        assert_eq!((customer.name.get(), &customer.city[..]), (None, "here"), "what is not personal stays");
        let order = client.state::<Order>(who).await.unwrap().unwrap();
        assert!(order.labels.iter().all(Personal::is_erased), "{order:?}");
        // The reply that is remembered.
        let outcome = client.outcome::<Customer>(who, &format!("register {who}")).await.unwrap().unwrap();
        let Outcome::Done { reply, .. } = outcome else { panic!("it was done") };
        assert!(reply.is_erased());
    }
    assert!(rows(running).await.values().all(Option::is_none));
    let stream = got(running, "/v1/entities/customer/ann/events").await;
    assert!(!has_canary(stream.to_string().as_bytes()), "{stream}");
    let remembered = got(running, "/v1/admin/consumers/towns/keys/here").await;
    assert!(!has_canary(remembered.to_string().as_bytes()) && remembered["state"]["names"] == json!([null, null]), "{remembered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_erasure_leaves_all_others_as_they_are_and_who_comes_back_has_a_new_key() {
    let house = House::new();
    let running = house.start().await;
    for who in ["ann", "bob"] {
        running.client().send::<Customer>(who, register(who, "here")).await.unwrap();
    }
    erase(&running, "customer/ann").await;
    assert_eq!(rows(&running).await, BTreeMap::from([("ann".into(), None), ("bob".into(), Some("CANARY bob".into()))]));
    running.client().send::<Customer>("ann", CustomerCommand::Rename { name: name("ann again") }).await.unwrap();
    running.stop().await;
    let running = house.start().await;
    let history = got(&running, "/v1/entities/customer/ann/events").await;
    let names: Vec<&Json> = history["items"].as_array().unwrap().iter().map(|event| &event["data"]["name"]).collect();
    assert_eq!(names, [&Json::Null, &json!("CANARY ann again")], "{history}");
    assert_eq!(running.client().state::<Customer>("ann").await.unwrap().unwrap().name, name("ann again"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_store_that_is_not_the_journals_is_refused_and_an_older_one_forgets_what_was_erased() {
    let house = House::new();
    let running = house.start().await;
    running.client().send::<Customer>("ann", register("ann", "here")).await.unwrap();
    running.stop().await;
    let file = house.keys.join("subjects.keys");
    let older = std::fs::read(&file).unwrap();
    let running = house.start().await;
    erase(&running, "customer/ann").await;
    running.stop().await;

    std::fs::write(&file, &older).unwrap();
    let running = house.start().await;
    assert!(running.client().state::<Customer>("ann").await.unwrap().unwrap().name.is_erased());
    running.stop().await;
    assert_ne!(std::fs::read(&file).unwrap(), older, "the key is gone from it again");

    std::fs::remove_file(&file).unwrap();
    let refused = house.try_serve(plain_service()).await.expect_err("these are not its keys");
    assert!(refused.code() == Some("HW0092") && refused.message().contains("bring the journal's own key store back"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sends_a_mark_into_a_topic_in_any_spelling() {
    let house = House::new();
    let running = house.serve(service(&house.labeller).topic("anything")).await;
    for (at, data) in [
        r#"{"from":"ann","text":{"$personal":{"subject":"customer/bob","at":9,"value":"x"}}}"#,
        r#"{"from":"ann","text":"x","unknown":[{ "$sealed" : "0000000000000000.AAAA"}]}"#,
        r#"{"from":"ann","text":"x","unknown":{"a":{"\u0024personal":{"value":1}}}}"#,
    ]
    .into_iter()
    .enumerate()
    {
        for topic in ["letters", "anything"] {
            let letter = format!(r#"{{"specversion":"1.0","id":"{at}","source":"/post","type":"letter","data":{data}}}"#);
            let (url, path) = (running.url().to_owned(), format!("/v1/topics/{topic}"));
            let sent = move || post(&url, &path, "application/cloudevents+json", &letter);
            let (status, answer) = tokio::task::spawn_blocking(sent).await.unwrap();
            assert!((400..500).contains(&status) && answer.to_string().contains("the platform's own"), "{topic} {data}: {status} {answer}");
        }
    }
    running.stop().await;
}

/// A view that cannot take what an erased value is.
fn strict_badges() -> View {
    View::sqlite("badges")
        .table("CREATE TABLE badge (id TEXT PRIMARY KEY, name TEXT NOT NULL)")
        .on("customer/registered", "INSERT INTO badge VALUES (@id, :name)")
        .query::<(), Row>("all", "SELECT id, name FROM badge ORDER BY id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_cannot_be_made_again_without_a_subject_stops_rather_than_keep_it() {
    let house = House::new();
    let running = house.serve(service(&house.labeller).view(strict_badges())).await;
    running.client().send::<Customer>("ann", register("ann", "here")).await.unwrap();
    let badges = running.client().query::<(), Row>("badges", "all", ()).await.unwrap();
    assert_eq!(badges.rows.len(), 1);
    let (status, answer) = asked(&running, "/v1/admin/subjects/customer/ann/erase", json!({})).await;
    assert_eq!((status, &answer["views"]), (200, &json!(["names", "badges"])), "{answer}");
    until("the views", async || {
        let (names, badges) = (got(&running, "/v1/views/names").await, got(&running, "/v1/views/badges").await);
        names["rebuild"].is_null() && badges["rebuild"].is_null() && badges["state"] == "stopped"
    })
    .await;
    running.stop().await;
    assert_eq!(house.canaries(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_views_that_nothing_serves_from_do_not_outlive_an_erasure() {
    let house = House::new();
    let running = house.serve(service(&house.labeller).view(strict_badges())).await;
    running.client().send::<Customer>("ann", register("ann", "here")).await.unwrap();
    running.stop().await;
    assert!(house.canaries().iter().any(|file| file.contains("badges")), "{:?}", house.canaries());
    // The view is gone from the service, and its file is not.
    let running = house.start().await;
    assert!(house.canaries().iter().any(|file| file.contains("badges")), "nobody was erased");
    let stray = house
        .data
        .path()
        .join("views")
        .join(house.canaries().iter().find(|file| file.contains("badges")).unwrap().trim_start_matches("/views/"));
    let copy = std::fs::read(&stray).unwrap();
    erase(&running, "customer/ann").await;
    assert!(!stray.exists());
    running.stop().await;
    assert_eq!(house.canaries(), Vec::<String>::new());
    // One that a process left that ended too early.
    std::fs::write(&stray, copy).unwrap();
    house.start().await.stop().await;
    assert_eq!(house.canaries(), Vec::<String>::new());
}

#[test]
fn a_test_can_erase_and_every_fault_leaves_it_erased() {
    for seed in 1..6 {
        let labeller = Labeller::default();
        let kit = Testkit::new(move || service(&labeller)).seed(seed).duplicates().delays().crashes(0.02);
        for who in ["ann", "bob"] {
            assert_eq!(kit.send::<Customer>(who, register(who, "here")).unwrap(), name(who));
            kit.publish("letters", who, Letter { from: who.to_owned(), text: name(who) });
        }
        kit.settle();
        assert_eq!(kit.remembered::<Towns>("here").names.len(), 2);
        kit.erase("customer/ann");
        kit.settle();
        for _ in 0..2 {
            assert!(kit.state::<Customer>("ann").unwrap().name.is_erased(), "seed {seed}");
            assert_eq!(kit.events::<Customer>("ann"), [CustomerEvent::Registered { name: Personal::erased(), city: "here".into() }]);
            assert_eq!(kit.state::<Order>("bob").unwrap().labels, [Personal::new("CANARY bob of here".to_owned())]);
            let rows: Vec<Row> = kit.query("names", "all", ());
            assert_eq!(
                rows,
                [Row { id: "ann".into(), name: None }, Row { id: "bob".into(), name: Some("CANARY bob".into()) }],
                "seed {seed}"
            );
            kit.crash();
            kit.settle();
        }
        // What a processor had in memory does not come back with its next step.
        kit.send::<Customer>("cat", register("cat", "here")).unwrap();
        kit.settle();
        let erased: Vec<bool> = kit.remembered::<Towns>("here").names.iter().map(Personal::is_erased).collect();
        assert_eq!(erased, [true, false, false], "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_holds_a_name_while_its_subject_is_erased_leaves_it_nowhere_and_the_erasure_waits_for_it() {
    let house = House::new();
    let running = house.start().await;
    house.labeller.gate.send_replace(false);
    for who in ["ann", "bob"] {
        running.client().send::<Customer>(who, register(who, "here")).await.unwrap();
    }
    until("the runs", async || house.labeller.begun.load(SeqCst) == 2).await;
    let url = running.url().to_owned();
    let erasing = tokio::task::spawn_blocking(move || post(&url, "/v1/admin/subjects/customer/ann/erase", "application/json", "{}"));
    until("the erasure", async || running.client().state::<Customer>("ann").await.unwrap().unwrap().name.is_erased()).await;
    assert!(!erasing.is_finished(), "a run has the name in its hands");
    house.labeller.gate.send_replace(true);
    let (status, answer) = erasing.await.unwrap();
    assert_eq!((status, &answer["keys"]), (200, &json!(1)), "{answer}");
    until("the orders", async || running.client().state::<Order>("bob").await.unwrap().is_some()).await;
    // The run has ended before the erasure was answered.
    let order = running.client().state::<Order>("ann").await.unwrap().unwrap();
    assert_eq!(order.labels, [Personal::erased()]);
    let again = erase(&running, "customer/ann").await;
    assert_eq!(again["keys"], json!(0), "it made no new key");
    erase(&running, "customer/bob").await;
    running.stop().await;
    assert_eq!(house.canaries(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cause_that_quotes_somebody_is_in_no_file_in_the_plain() {
    let house = House::new();
    let running = house.start().await;
    running.client().send::<Customer>("ann", register("ann", "quoted")).await.unwrap();
    let mut held = Json::Null;
    until("the parked key", async || {
        held = got(&running, "/v1/admin/consumers/labeller/held").await;
        held["items"].as_array().is_some_and(|items| !items.is_empty())
    })
    .await;
    assert_eq!(held["items"][0]["cause"], "nobody delivers to CANARY ann", "a person sees it");
    running.stop().await;
    let files = house.canaries();
    assert!(files.iter().all(|file| file.starts_with("/views/")), "{files:?}");
    let running = house.start().await;
    assert_eq!(got(&running, "/v1/admin/consumers/labeller/held").await["items"][0]["cause"], "nobody delivers to CANARY ann");
    erase(&running, "customer/ann").await;
    let held = got(&running, "/v1/admin/consumers/labeller/held").await;
    assert!(!has_canary(held.to_string().as_bytes()), "{held}");
    running.stop().await;
    assert_eq!(house.canaries(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_is_told_as_over_has_left_no_file_with_what_is_erased() {
    let house = House::new();
    let running = house.start().await;
    for round in 0..5 {
        let who = format!("ann-{round}");
        running.client().send::<Customer>(&who, register(&who, "here")).await.unwrap();
        rows(&running).await;
        // One that may have read what is erased a moment later.
        let (status, answer) = asked(&running, "/v1/admin/views/names/rebuild", json!({})).await;
        assert!(status < 300, "{status}: {answer}");
        erase(&running, &format!("customer/{who}")).await;
        assert_eq!(house.canaries(), Vec::<String>::new(), "round {round}");
    }
    running.stop().await;
}

/// Puts into its state what it takes out of others' values.
struct Gossip;

#[derive(Debug, Default, State)]
struct Heard {
    last: Option<Personal<String>>,
}

#[derive(Debug, Event)]
enum Told {
    #[event("told")]
    Told { what: Personal<String> },
}

impl Processor for Gossip {
    const NAME: &'static str = "gossip";
    type State = Heard;
    type Event = Told;

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        inputs.events("customer", |event: &Recorded<CustomerEvent>| Route::to(event.entity_id.clone()), Self::hear)
    }
}

impl Gossip {
    fn hear(&self, heard: &mut Heard, event: Recorded<CustomerEvent>, ctx: &mut ProcessorContext<Told>) {
        let CustomerEvent::Registered { name, city } = event.event else { return };
        match city.as_str() {
            "kept" => heard.last = name.get().map(|name| Personal::new(format!("{name}, they say"))),
            "told" => ctx.emit(Told::Told { what: Personal::new(name.into_inner().unwrap_or_default()) }),
            _ => {
                heard.last = Some(name.clone().map(|name| format!("{name}, they say")));
                ctx.emit(Told::Told { what: name });
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_makes_a_value_of_somebody_into_one_of_nobody_parks_the_key() {
    let house = House::new();
    let running = house.serve(service(&house.labeller).processor(Gossip)).await;
    for (who, city) in [("ann", "kept"), ("bob", "told"), ("cat", "here")] {
        running.client().send::<Customer>(who, register(who, city)).await.unwrap();
    }
    let mut held = Json::Null;
    until("the parked keys", async || {
        held = got(&running, "/v1/admin/consumers/gossip/held").await;
        held["items"].as_array().is_some_and(|items| items.len() == 2)
    })
    .await;
    for (item, who) in held["items"].as_array().unwrap().iter().zip(["ann", "bob"]) {
        assert_eq!(item["id"], who);
        assert!(item["cause"].as_str().unwrap().contains("has no subject: make it of another one with `Personal::map`"), "{item}");
    }
    until("the other key", async || got(&running, "/v1/admin/consumers/gossip/keys/cat").await["state"]["last"] == "CANARY cat, they say")
        .await;
    for who in ["ann", "bob", "cat"] {
        erase(&running, &format!("customer/{who}")).await;
    }
    running.stop().await;
    assert_eq!(house.canaries(), Vec::<String>::new());
}

/// Reads letters as if they were personal.
struct Reader;

impl Processor for Reader {
    const NAME: &'static str = "reader";
    type State = Citizens;
    type Event = Told;

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        inputs.topic("open-letters", |_: &Message<Letter>| "letters".to_owned(), Self::read)
    }
}

impl Reader {
    fn read(&self, citizens: &mut Citizens, letter: Message<Letter>, _: &mut ProcessorContext<Told>) {
        citizens.said.push(letter.data.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_as_personal_what_a_topic_keeps_in_the_plain_is_refused_at_the_start() {
    let house = House::new();
    let open = house.try_serve(Service::new("people").topic("open-letters").processor(Reader)).await;
    let refused = open.expect_err("the topic would keep it in the plain");
    assert!(refused.message().contains("`reader`: it reads `$topic/open-letters` with a personal value"), "{refused}");
    house.serve(Service::new("people").topic_of::<Letter>("open-letters").processor(Reader)).await.stop().await;
}
