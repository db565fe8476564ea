//! A service with views: a store whose goods come, go and are priced.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use component::{Command, CommandContext, Decimal, Decision, Entity, Event, State, Value, View, record};
use journal::model::ModelJournal;
use journal::seams::{Clock, RealDisk, ThreadSpawner};
use journal::sim::{SimClock, SimRandom};
use journal::{Context, Cursor, EntityKey, Journal};
use runtime::seams::TokioTasks;
use runtime::{
    CommandOutcome, CommandRequest, Expectation, Limits, Parts, QueryAnswer, QueryError, QueryInput, QueryRequest, Runtime, StartError,
    ViewFolder, ViewStatus,
};
use serde_json::{Value as Json, json};

#[derive(Default, State)]
pub(crate) struct Good {}

#[derive(Command)]
pub(crate) enum GoodCommand {
    #[command("move")]
    Move { by: i64 },
    #[command("name")]
    Name { name: String },
    #[command("price")]
    Price { price: Decimal, labels: Vec<String> },
}

#[derive(Event)]
pub(crate) enum GoodEvent {
    #[event("moved")]
    Moved { by: i64 },
    #[event("named", version = 2, from = NamedV1)]
    Named { name: String, length: u64 },
    #[event("priced")]
    Priced { price: Decimal, labels: Vec<String>, how: How },
}

/// As it was before names had lengths.
#[derive(Value)]
pub(crate) struct NamedV1 {
    name: String,
}

impl From<NamedV1> for GoodEvent {
    fn from(NamedV1 { name }: NamedV1) -> Self {
        Self::Named { length: name.len() as u64, name }
    }
}

#[derive(Value)]
pub(crate) enum How {
    #[value("by-hand")]
    ByHand,
}

impl Entity for Good {
    const NAME: &'static str = "good";
    type Command = GoodCommand;
    type Event = GoodEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: GoodCommand, _: &CommandContext) -> Result<Decision<GoodEvent>, Self::Rejection> {
        Ok(match command {
            GoodCommand::Move { by } => record(GoodEvent::Moved { by }),
            GoodCommand::Name { name } => record(GoodEvent::Named { length: name.len() as u64, name }),
            GoodCommand::Price { price, labels } => record(GoodEvent::Priced { price, labels, how: How::ByHand }),
        })
    }

    fn evolve(&mut self, _: &GoodEvent) {}
}

#[derive(Value)]
pub(crate) struct Stock {
    id: String,
    count: i64,
    moves: u64,
}

#[derive(Value)]
pub(crate) struct AtLeast {
    count: i64,
}

pub(crate) const TABLE: &str =
    "CREATE TABLE stock (id TEXT PRIMARY KEY, count INTEGER NOT NULL CHECK (count < 1000), moves INTEGER NOT NULL)";
pub(crate) const MOVED: &str =
    "INSERT INTO stock VALUES (@id, :by, 1) ON CONFLICT (id) DO UPDATE SET count = count + :by, moves = moves + 1";

pub(crate) fn stock() -> View {
    View::sqlite("stock")
        .table(TABLE)
        .on("good/moved", MOVED)
        .query::<(), Stock>("all", "SELECT id, count, moves FROM stock ORDER BY id")
        .query::<AtLeast, Stock>("at-least", "SELECT id, count, moves FROM stock WHERE count >= :count ORDER BY id")
        .query::<(), i64>("sum", "SELECT coalesce(sum(count), 0) FROM stock")
        .query::<(), i64>("endless", "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")
        .query::<(), i64>("many", "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 20000) SELECT x FROM n")
}

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("headwater-views-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn databases(&self) -> Vec<PathBuf> {
        self.files().into_iter().filter(|name| name.ends_with(".db")).map(|name| self.0.join(name)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Store {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) journal: Arc<ModelJournal>,
    pub(crate) notes: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn journal() -> Arc<ModelJournal> {
    let clock: Arc<dyn Clock> = Arc::new(SimClock::new());
    Arc::new(ModelJournal::new(clock, Arc::new(SimRandom::new(7))))
}

pub(crate) fn open(journal: &Arc<ModelJournal>, folder: Option<&Path>, views: Vec<View>) -> Result<Store, StartError> {
    static SEED: AtomicU64 = AtomicU64::new(1_000);
    let notes = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&notes);
    let folder = folder.map(|path| ViewFolder { path: path.to_owned(), disk: Arc::new(RealDisk::open(path).unwrap()) });
    let parts = Parts {
        service: "store".into(),
        journal: Arc::clone(journal) as Arc<dyn Journal>,
        registers: Arc::clone(journal) as Arc<dyn journal::Registers>,
        entities: vec![component::hosted::<Good>()],
        operations: Vec::new(),
        actions: Vec::new(),
        processors: Vec::new(),
        topics: Vec::new(),
        streams: runtime::StreamParts::default(),
        views: views.into_iter().map(View::hosted).collect(),
        outgoing: None,
        destinations: Vec::new(),
        clock: Arc::new(SimClock::new()),
        random: Arc::new(SimRandom::new(SEED.fetch_add(1, Ordering::Relaxed))),
        tasks: Arc::new(TokioTasks::current()),
        threads: Arc::new(ThreadSpawner::new()),
        snapshots: None,
        keys: None,
        keys_lost: None,
        retention: Vec::new(),
        compatibility: Vec::new(),
        shared_views: None,
        view_folder: folder,
        timer_folder: None,
        workflow_folder: None,
        workflows: Vec::new(),
        notices: Arc::new(move |words| told.lock().unwrap().push(words.to_owned())),
        limits: Limits { query_time_max: Duration::from_millis(300), ..Limits::default() },
        planted: runtime::PlantedBug::None,
        node: runtime::NodeSetup::default(),
    };
    let runtime = Arc::new(Runtime::new(parts)?);
    Ok(Store { runtime, journal: Arc::clone(journal), notes })
}

/// A store that fills.
pub(crate) async fn begin(journal: &Arc<ModelJournal>, folder: Option<&Path>, views: Vec<View>) -> Store {
    let store = open(journal, folder, views).unwrap_or_else(|error| panic!("{error}"));
    store.runtime.begin().await.unwrap();
    store
}

pub(crate) fn asked(query: &str) -> QueryRequest {
    let (view, query) = query.split_once('/').unwrap();
    QueryRequest {
        view: view.into(),
        query: query.into(),
        input: QueryInput::Json(Bytes::new()),
        seen: None,
        wait: Duration::from_secs(30),
        stale: false,
    }
}

impl Store {
    pub(crate) async fn send(&self, id: &str, command: &str, body: Json) -> CommandOutcome {
        let request = CommandRequest {
            entity: EntityKey::new("good", id).unwrap(),
            command: command.into(),
            body: body.to_string().into(),
            id: None,
            expect: Expectation::Any,
            context: Context::default(),
        };
        self.runtime.command(request).await.unwrap()
    }

    pub(crate) async fn moved(&self, id: &str, by: i64) -> Cursor {
        self.send(id, "move", json!({ "by": by })).await.cursor
    }

    /// What a query says once it has seen everything.
    pub(crate) async fn ask(&self, request: QueryRequest) -> Result<QueryAnswer, QueryError> {
        let seen = Some(self.journal.head().await.unwrap());
        self.runtime.query(QueryRequest { seen, ..request }).await
    }

    pub(crate) async fn rows(&self, query: &str) -> Json {
        rows(&self.ask(asked(query)).await.unwrap_or_else(|error| panic!("{error}")))
    }

    pub(crate) async fn refused(&self, query: &str) -> String {
        self.ask(asked(query)).await.unwrap_err().to_string()
    }

    pub(crate) async fn status(&self) -> ViewStatus {
        self.runtime.view_status().await.remove(0)
    }

    pub(crate) async fn end(&self) {
        self.runtime.stop();
        self.runtime.drained().await;
    }
}

pub(crate) fn rows(answer: &QueryAnswer) -> Json {
    answer.rows.iter().map(|row| serde_json::from_slice::<Json>(row).unwrap()).collect()
}
