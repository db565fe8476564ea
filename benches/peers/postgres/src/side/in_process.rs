//! The runtime of the service without its gateway: what a command costs besides HTTP. No user has this door; every one of theirs goes over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use component::hosted;
use engine_postgres::PostgresJournal;
use journal::seams::{SystemClock, SystemRandom, ThreadSpawner};
use journal::{Context, EntityKey, Journal, Registers};
use runtime::seams::TokioTasks;
use runtime::{CommandRequest, Expectation, Limits, NodeSetup, Parts, PlantedBug, Runtime, StreamParts};

use super::{Turn, engine};
use crate::cart::Cart;
use crate::load::{Acknowledged, Client, Command, load};
use crate::{Outcome, cart};

pub(super) async fn run(turn: &Turn<'_>) -> Outcome<Acknowledged> {
    let journal = engine::open(turn).await?;
    let runtime = Arc::new(Runtime::new(parts(&journal)?).map_err(|error| error.to_string())?);
    runtime.begin().await.map_err(|error| error.to_string())?;
    let body = Bytes::from(cart::body());
    let clients = (0..turn.clients).map(|_| Direct { runtime: Arc::clone(&runtime), body: body.clone() }).collect();
    let acknowledged = load(clients, turn.load).await;
    runtime.stop();
    runtime.drained().await;
    journal.close().await;
    acknowledged
}

/// As `headwater` puts them together for a service of an entity and nothing else; what it keeps in files is in memory.
fn parts(journal: &Arc<PostgresJournal>) -> Outcome<Parts> {
    Ok(Parts {
        service: "carts".to_owned(),
        journal: Arc::clone(journal) as Arc<dyn Journal>,
        registers: Arc::clone(journal) as Arc<dyn Registers>,
        entities: vec![hosted::<Cart>()],
        operations: Vec::new(),
        actions: Vec::new(),
        processors: Vec::new(),
        topics: Vec::new(),
        streams: StreamParts::default(),
        views: Vec::new(),
        workflows: Vec::new(),
        outgoing: None,
        destinations: Vec::new(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom::new()?),
        tasks: Arc::new(TokioTasks::current()),
        threads: Arc::new(ThreadSpawner::new()),
        snapshots: None,
        keys: None,
        keys_lost: None,
        shared_views: None,
        view_folder: None,
        timer_folder: None,
        workflow_folder: None,
        notices: Arc::new(|_| {}),
        retention: Vec::new(),
        compatibility: Vec::new(),
        node: NodeSetup::default(),
        limits: Limits::default(),
        planted: PlantedBug::None,
    })
}

struct Direct {
    runtime: Arc<Runtime>,
    body: Bytes,
}

impl Client for Direct {
    async fn send(&mut self, command: Command) -> Outcome<()> {
        let request = CommandRequest {
            entity: EntityKey::new("cart", &cart::id(command.cart))?,
            command: "add-item".to_owned(),
            body: self.body.clone(),
            id: Some(command.id),
            expect: Expectation::Any,
            context: Context::default(),
        };
        self.runtime.command(request).await.map_err(|error| error.to_string())?;
        Ok(())
    }
}
