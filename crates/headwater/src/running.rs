//! A service that runs: its address, its client, its stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway::Pages;
use journal::ReadError;
use journal::seams::{Disk, RealDisk};
use runtime::seams::TokioTasks;
use runtime::{DeliveryError, Parts, Runtime, SchemaError, StartError, StreamParts, ViewFolder};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::config::Config;
use crate::descriptors;
use crate::exit::Exit;
use crate::failure::{COMPONENTS, DATA_DAMAGED, DATA_OPEN, Failure, KEYS, LISTEN, SHAPE_CHANGED, schema_code};
use crate::output;
use crate::service::Service;
use crate::shared_views;
use crate::store::Store;

/// A running service. Dropping it stops it in the background; [`stop`](Self::stop) waits until every accepted command is answered.
#[derive(Debug)]
pub struct Running {
    client: Client,
    url: String,
    data: PathBuf,
    notes: Vec<String>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Running {
    /// A client of it.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its address, with the port that the system chose when it was 0.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What an operator should know about how it was opened.
    #[doc(hidden)]
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Stops it: no new commands, every accepted one is answered, the journal is closed.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        // A panic of the server was printed where it happened; here it has stopped in any case.
        let _ = (&mut self.serving).await;
    }
}

/// Starts a service on the caller's async runtime.
pub(crate) async fn start(service: &Service, config: &Config) -> Result<Running, Failure> {
    let pages = pages(service)?;
    let (connections_max, few) = descriptors::connections(config.connections_max);
    // The address first: a taken one must not leave a new data directory behind.
    let (listener, address) = listen(config).await?;
    let store = Store::open(service, config).await?;
    let notes = few.into_iter().chain(store.notes.iter().cloned()).collect();
    let runtime = match assemble(service, config, &store).await {
        Ok(runtime) => runtime,
        Err(refused) => {
            // The next start must not find the directory still taken.
            store.close().await;
            return Err(refused);
        }
    };
    if let Err(error) = runtime.begin().await {
        store.close().await;
        return Err(not_begun(&error, config));
    }
    runtime.begin_retention();
    let options = gateway::Options {
        body_bytes_max: config.body_bytes_max,
        connections_max,
        drain_timeout: config.drain,
        ..gateway::Options::default()
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve((runtime, pages), store, listener, options, stopped));
    let url = format!("http://{address}");
    Ok(Running { client: Client::new(&url), url, data: config.data.clone(), notes, stop: Some(stop), serving })
}

async fn serve(
    (runtime, pages): (Arc<Runtime>, Pages),
    store: Store,
    listener: TcpListener,
    options: gateway::Options,
    stopped: oneshot::Receiver<()>,
) {
    let stop = async {
        // An error means that the sender was dropped, which is how a stop is asked for.
        let _ = stopped.await;
    };
    // It fails only for a listener without an address, and ours just told us its own.
    let _ = gateway::serve(Arc::clone(&runtime), pages, listener, options, stop).await;
    // A client may have gone away while its command was under way: that command still gets its place.
    let _ = tokio::time::timeout(options.drain_timeout, runtime.drained()).await;
    store.close().await;
}

async fn listen(config: &Config) -> Result<(TcpListener, SocketAddr), Failure> {
    let refused = |error: std::io::Error| {
        let remedy = "stop what listens there, or choose another address with --listen (port 0 lets the system choose)";
        Failure::new(Exit::Failed, LISTEN, format!("cannot listen on {}: {error}; {remedy}", config.listen_text))
    };
    let listener = TcpListener::bind(&config.listen[..]).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

fn pages(service: &Service) -> Result<Pages, Failure> {
    Pages::new(service.pages().iter().cloned()).map_err(|error| Failure::configuration(COMPONENTS, error.to_string()))
}

async fn assemble(service: &Service, config: &Config, store: &Store) -> Result<Arc<Runtime>, Failure> {
    let mut parts = Parts {
        service: service.name().to_owned(),
        journal: store.journal.clone(),
        registers: store.registers.clone(),
        entities: service.entities().to_vec(),
        operations: service.operations().to_vec(),
        actions: service.actions().to_vec(),
        processors: service.processors().to_vec(),
        topics: service.topics().to_vec(),
        streams: StreamParts {
            addresses: config.peers.clone(),
            reader: Some(Arc::new(gateway::peers::Reader::new())),
            tongue: Some(Arc::new(gateway::peers::Tongue)),
            ..service.stream_parts()
        },
        views: service.views().to_vec(),
        workflows: service.workflows().to_vec(),
        outgoing: Some(Arc::new(gateway::outgoing::Pool::new())),
        destinations: service.destinations().to_vec(),
        clock: store.clock.clone(),
        random: store.random.clone(),
        tasks: Arc::new(TokioTasks::current()),
        threads: store.threads.clone(),
        snapshots: Some(snapshots(&config.data)?),
        keys: keys(service, config)?,
        keys_lost: config.keys_lost.clone(),
        retention: service.retention().to_vec(),
        compatibility: service.rules().to_vec(),
        shared_views: None,
        view_folder: Some(sqlite_folder(&config.data, "views")?),
        timer_folder: Some(sqlite_folder(&config.data, "timers")?),
        workflow_folder: Some(sqlite_folder(&config.data, "workflows")?),
        notices: Arc::new(|words| output::talk(format!("note: {words}"))),
        node: config.node.clone(),
        limits: config.limits,
        planted: runtime::PlantedBug::None,
    };
    parts.shared_views = shared_views::checked(config, &parts).await?;
    let runtime = Runtime::new(parts).map_err(|error| match error {
        StartError::Keys(error) => Failure::new(Exit::Failed, KEYS, format!("key store {}: {error}", config.keys.display())),
        error => Failure::configuration(COMPONENTS, error.to_string()),
    })?;
    Ok(Arc::new(runtime))
}

/// Keys lie apart from the journal, so that a copy of the one is not a copy of the other. A service without personal data has none, unless
/// it once had some.
fn keys(service: &Service, config: &Config) -> Result<Option<Arc<dyn Disk>>, Failure> {
    if !service.has_keys(config) {
        return Ok(None);
    }
    let disk = RealDisk::open(&config.keys).map_err(|error| {
        let message =
            format!("cannot open the key store {}: {error}; make it writable, or name another one with --keys", config.keys.display());
        Failure::new(Exit::Failed, KEYS, message)
    })?;
    Ok(Some(Arc::new(disk)))
}

/// What it means to the person at the terminal that consumers could not begin.
fn not_begun(error: &DeliveryError, config: &Config) -> Failure {
    match error {
        DeliveryError::Keys(unfit) => {
            let keys = config.keys.display();
            Failure::new(
                Exit::Failed,
                KEYS,
                format!("key store {keys}: {unfit}; bring the journal's own key store back, or name it with --keys"),
            )
        }
        DeliveryError::Schemas(SchemaError::Refused(refusals)) => {
            let code = refusals.first().map_or(SHAPE_CHANGED, |first| schema_code(&first.broken));
            Failure::configuration(code, format!("the shapes of this code do not follow those in the journal\n  {error}"))
        }
        DeliveryError::Read(ReadError::Damaged { .. }) => Failure::new(Exit::Damaged, DATA_DAMAGED, error.to_string()),
        other => Failure::new(Exit::Failed, DATA_OPEN, format!("the service cannot begin: {other}")),
    }
}

/// Snapshots lie in a folder of their own: deleting it loses time, never data.
fn snapshots(data: &Path) -> Result<Arc<dyn Disk>, Failure> {
    folder(&data.join("snapshots"))
}

/// So do the files of views, and the index of timers.
fn sqlite_folder(data: &Path, name: &str) -> Result<ViewFolder, Failure> {
    let path = data.join(name);
    Ok(ViewFolder { disk: folder(&path)?, path })
}

fn folder(path: &Path) -> Result<Arc<dyn Disk>, Failure> {
    let disk = RealDisk::open(path).map_err(|error| {
        let message = format!("cannot open {}: {error}; make it writable, or choose another directory with --data", path.display());
        Failure::new(Exit::Failed, DATA_OPEN, message)
    })?;
    Ok(Arc::new(disk))
}
