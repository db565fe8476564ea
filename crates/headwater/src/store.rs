//! The engine behind a running service, whichever its URL names.

use std::sync::Arc;

use journal::embedded::EmbeddedJournal;
use journal::seams::{SystemClock, SystemRandom, ThreadSpawner};
use journal::{Journal, Registers};

use crate::config::{Config, EngineUrl};
use crate::engine::{self, Engine};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::service::Service;

#[cfg(feature = "postgres")]
pub(crate) use postgres::not_opened;

/// An open engine, with the seams that the runtime shares with it.
pub(crate) struct Store {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) registers: Arc<dyn Registers>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) random: Arc<SystemRandom>,
    pub(crate) threads: Arc<ThreadSpawner>,
    /// What an operator should know about how it was opened.
    pub(crate) notes: Vec<String>,
    kind: Kind,
}

/// What is closed at the end.
enum Kind {
    Embedded(Arc<EmbeddedJournal>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<engine_postgres::PostgresJournal>),
}

impl Store {
    /// Opens what the configuration names; `service` is whose it is, where the URL does not say.
    ///
    /// # Errors
    /// When it cannot be opened; the code says why.
    pub(crate) async fn open(service: &Service, config: &Config) -> Result<Self, Failure> {
        match &config.engine {
            EngineUrl::Embedded => embedded(config).await,
            EngineUrl::Postgres(url) => postgres::open(url, service, config).await,
        }
    }

    /// Takes no more commits, and ends what the engine has running.
    pub(crate) async fn close(&self) {
        match &self.kind {
            Kind::Embedded(journal) => journal.close().await,
            #[cfg(feature = "postgres")]
            Kind::Postgres(journal) => journal.close().await,
        }
    }
}

/// Opening reads and writes the disk, so it runs off the async threads.
async fn embedded(config: &Config) -> Result<Store, Failure> {
    let directory = config.data.clone();
    let opened = tokio::task::spawn_blocking(move || engine::open(&directory, None)).await;
    let engine = opened.map_err(|_| Failure::plain(Exit::Failed, "opening the data directory panicked; its message stands above"))??;
    let Engine { journal, clock, random, threads } = engine;
    journal.set_packing(config.pack_segments);
    let aside = journal.report().aside.iter();
    let notes =
        aside.map(|(file, bytes)| format!("{bytes} bytes of writes that were never acknowledged are kept aside in {file}")).collect();
    let (as_journal, registers) = (Arc::clone(&journal) as Arc<dyn Journal>, Arc::clone(&journal) as Arc<dyn Registers>);
    Ok(Store { journal: as_journal, registers, clock, random, threads, notes, kind: Kind::Embedded(journal) })
}

#[cfg(feature = "postgres")]
pub(crate) use postgres::database_code;

#[cfg(feature = "postgres")]
mod postgres {
    //! In a schema of a PostgreSQL database, for as many processes as there are; for one at a time of a service whose keys lie on its own disk.

    use std::sync::Arc;

    use engine_postgres::{Address, OpenError, Options, PostgresJournal};
    use journal::seams::{SystemClock, ThreadSpawner};
    use journal::{Journal, Registers};

    use super::{Kind, Store};
    use crate::config::{Config, without_password};
    use crate::engine::randomness;
    use crate::exit::Exit;
    use crate::failure::{
        DATA_DAMAGED, DATA_IN_USE, DATABASE_UNFIT, DATABASE_UNREACHABLE, DATABASE_UNSAFE, ENGINE, Failure, MIGRATION, SYSTEM,
    };
    use crate::service::Service;

    pub(super) async fn open(url: &str, service: &Service, config: &Config) -> Result<Store, Failure> {
        let (clock, random) = (Arc::new(SystemClock), randomness()?);
        let address = Address::new(url, Some(service.name())).map_err(|error| not_opened(url, &OpenError::Url(error)))?;
        let threads = Arc::new(ThreadSpawner::new());
        let options =
            Options { address, clock: clock.clone(), random: random.clone(), spawner: threads.clone(), alone: service.has_keys(config) };
        let journal = Arc::new(PostgresJournal::open(options).await.map_err(|error| not_opened(url, &error))?);
        let (as_journal, registers) = (Arc::clone(&journal) as Arc<dyn Journal>, Arc::clone(&journal) as Arc<dyn Registers>);
        Ok(Store { journal: as_journal, registers, clock, random, threads, notes: Vec::new(), kind: Kind::Postgres(journal) })
    }

    /// What a refusal of the engine means to the person at the terminal.
    pub(crate) fn not_opened(url: &str, error: &OpenError) -> Failure {
        let (exit, code) = database_code(error);
        Failure::new(exit, code, format!("engine {}: {error}", without_password(url)))
    }

    /// The exit and the code of a refusal.
    pub(crate) fn database_code(error: &OpenError) -> (Exit, &'static str) {
        match error {
            OpenError::Url(_) => (Exit::Configuration, ENGINE),
            OpenError::Unreachable { .. } => (Exit::Failed, DATABASE_UNREACHABLE),
            OpenError::Unsafe { .. } => (Exit::Failed, DATABASE_UNSAFE),
            OpenError::TooOld { .. } | OpenError::SchemaNewer { .. } => (Exit::Failed, DATABASE_UNFIT),
            OpenError::Taken { .. } => (Exit::Failed, DATA_IN_USE),
            OpenError::Unfinished { .. } => (Exit::Failed, MIGRATION),
            OpenError::Thread { .. } => (Exit::Failed, SYSTEM),
            OpenError::Damaged { .. } => (Exit::Damaged, DATA_DAMAGED),
        }
    }
}

#[cfg(not(feature = "postgres"))]
mod postgres {
    //! The configuration has refused the URL already.

    use super::Store;
    use crate::config::Config;
    use crate::exit::Exit;
    use crate::failure::{ENGINE, Failure};
    use crate::service::Service;

    pub(super) async fn open(_: &str, _: &Service, _: &Config) -> Result<Store, Failure> {
        Err(Failure::new(Exit::Configuration, ENGINE, "this build leaves PostgreSQL out; build it with the feature `postgres`"))
    }
}
