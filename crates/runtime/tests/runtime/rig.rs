//! A service over a gated model journal, and short words for what tests do with it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use component::hosted::Refusal;
use journal::model::ModelJournal;
use journal::seams::{Clock, Disk, Random, ThreadSpawner};
use journal::sim::{SimClock, SimRandom};
use journal::{AppendError, Context, EntityKey, Journal, Registers};
use runtime::seams::TokioTasks;
use runtime::{
    CommandError, CommandOutcome, CommandRequest, Expectation, Limits, Moment, OperationRequest, Outcome, Parts, PastOutcome, PlantedBug,
    Runtime, StateRead,
};
use serde_json::{Value as Json, json};

use crate::bank::{Kind, Register, Transfer};
use crate::gate::Gate;

pub(crate) struct Rig {
    pub(crate) gate: Arc<Gate>,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) decisions: Arc<AtomicUsize>,
    notices: Arc<Mutex<Vec<String>>>,
}

pub(crate) struct Plan {
    pub(crate) limits: Limits,
    pub(crate) disk: Option<Arc<dyn Disk>>,
    pub(crate) build: &'static str,
    pub(crate) planted: PlantedBug,
}

impl Default for Plan {
    fn default() -> Self {
        Self { limits: Limits::default(), disk: None, build: "build 1", planted: PlantedBug::None }
    }
}

/// Two nodes of a service do not mint the same ids.
fn next_seed() -> u64 {
    static SEED: AtomicU64 = AtomicU64::new(100);
    SEED.fetch_add(1, SeqCst)
}

pub(crate) fn rig() -> Rig {
    Plan::default().rig()
}

pub(crate) fn model() -> (Arc<ModelJournal>, Arc<SimClock>) {
    let clock = Arc::new(SimClock::new());
    let random: Arc<dyn Random> = Arc::new(SimRandom::new(7));
    (Arc::new(ModelJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, random)), clock)
}

impl Plan {
    pub(crate) fn rig(self) -> Rig {
        let (journal, clock) = model();
        self.rig_over(&journal, &clock)
    }

    pub(crate) fn rig_over(self, journal: &Arc<ModelJournal>, clock: &Arc<SimClock>) -> Rig {
        let gate = Arc::new(Gate::new(Arc::clone(journal)));
        let accounts = Kind::of_build("account", self.build);
        let decisions = Arc::clone(&accounts.decisions);
        let notices = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&notices);
        let parts = Parts {
            service: "bank".into(),
            journal: Arc::clone(&gate) as Arc<dyn Journal>,
            registers: Arc::clone(journal) as Arc<dyn Registers>,
            entities: vec![Arc::new(accounts), Arc::new(Kind::new("user"))],
            operations: vec![Arc::new(Transfer::new()), Arc::new(Register::new())],
            actions: Vec::new(),
            processors: Vec::new(),
            topics: Vec::new(),
            streams: runtime::StreamParts::default(),
            clock: Arc::clone(clock) as Arc<dyn Clock>,
            random: Arc::new(SimRandom::new(next_seed())),
            tasks: Arc::new(TokioTasks::current()),
            threads: Arc::new(ThreadSpawner::new()),
            snapshots: self.disk,
            views: Vec::new(),
            outgoing: None,
            destinations: Vec::new(),
            keys: None,
            keys_lost: None,
            retention: Vec::new(),
            compatibility: Vec::new(),
            shared_views: None,
            view_folder: None,
            timer_folder: None,
            workflow_folder: None,
            workflows: Vec::new(),
            notices: Arc::new(move |notice| told.lock().unwrap().push(notice.to_owned())),
            node: runtime::NodeSetup::default(),
            limits: self.limits,
            planted: self.planted,
        };
        Rig { gate, runtime: Arc::new(Runtime::new(parts).unwrap()), clock: Arc::clone(clock), decisions, notices }
    }
}

impl Rig {
    pub(crate) fn decisions(&self) -> usize {
        self.decisions.load(SeqCst)
    }

    /// What an operator was told so far.
    pub(crate) fn notices(&self) -> Vec<String> {
        self.notices.lock().unwrap().clone()
    }

    pub(crate) async fn run(&self, request: CommandRequest) -> Result<CommandOutcome, CommandError> {
        self.runtime.command(request).await
    }

    /// A command under way: a future that owns what it needs.
    pub(crate) fn start(&self, request: CommandRequest) -> Started<Result<CommandOutcome, CommandError>> {
        let runtime = Arc::clone(&self.runtime);
        Box::pin(async move { runtime.command(request).await })
    }

    pub(crate) fn start_operation(&self, request: OperationRequest) -> Started<Result<CommandOutcome, CommandError>> {
        let runtime = Arc::clone(&self.runtime);
        Box::pin(async move { runtime.operation(request).await })
    }

    pub(crate) async fn deposit(&self, account: &str, amount: i64) -> CommandOutcome {
        self.run(command(account, "deposit", amount)).await.unwrap()
    }

    pub(crate) async fn state(&self, account: &str) -> Option<StateRead> {
        self.runtime.state(&key(account), Moment::Now, false).await.unwrap()
    }

    pub(crate) async fn balance(&self, account: &str) -> i64 {
        self.state(account).await.map_or(0, |read| number(&read.state, "balance"))
    }
}

pub(crate) type Started<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Drives a future as far as it goes by itself; true when it waits for something.
pub(crate) async fn waits<T>(started: &mut Started<T>) -> bool {
    poll_fn(|context| Poll::Ready(started.as_mut().poll(context).is_pending())).await
}

pub(crate) fn key(account: &str) -> EntityKey {
    EntityKey::new("account", account).unwrap()
}

pub(crate) fn command(account: &str, name: &str, amount: i64) -> CommandRequest {
    CommandRequest {
        entity: key(account),
        command: name.into(),
        body: json!({ "amount": amount }).to_string().into(),
        id: None,
        expect: Expectation::Any,
        context: Context::default(),
    }
}

pub(crate) fn with_id(request: CommandRequest, id: &str) -> CommandRequest {
    CommandRequest { id: Some(id.into()), ..request }
}

pub(crate) fn transfer(from: &str, to: &str, amount: i64) -> OperationRequest {
    operation("transfer", &json!({ "from": from, "to": to, "amount": amount }))
}

pub(crate) fn operation(name: &str, body: &Json) -> OperationRequest {
    OperationRequest { tenant: String::new(), operation: name.into(), body: body.to_string().into(), id: None, context: Context::default() }
}

pub(crate) fn number(json: &[u8], field: &str) -> i64 {
    serde_json::from_slice::<Json>(json).unwrap()[field].as_i64().unwrap()
}

/// What became of a command that was accepted.
pub(crate) async fn past(runtime: &Runtime, account: &str, id: &str) -> PastOutcome {
    match runtime.outcome(&key(account), id).await.unwrap() {
        Some(Outcome::Done(past)) => past,
        other => panic!("not done: {other:?}"),
    }
}

/// The refusal inside, or what came instead.
pub(crate) fn refusal<T: std::fmt::Debug>(outcome: Result<T, CommandError>) -> Refusal {
    match outcome {
        Err(CommandError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn unavailable() -> AppendError {
    AppendError::Unavailable { cause: "a test".into() }
}

pub(crate) fn unknown() -> AppendError {
    AppendError::Unknown { cause: "a test".into() }
}
