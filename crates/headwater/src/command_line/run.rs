//! `run`: the service itself, until a signal stops it.

use std::path::PathBuf;

use serde_json::json;

use crate::config::{Config, Settings, load, process_environment};
use crate::exit::Exit;
use crate::failure::{Failure, SYSTEM};
use crate::output;
use crate::running::{Running, start};
use crate::service::Service;
use crate::signals::Signals;
use crate::threads;

pub(super) fn run(service: &Service, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let config = Config::for_server(settings)?;
    threads::serve(async {
        let mut stop = StopSignals::listen()?;
        let running = start(service, &config).await?;
        announce(service.name(), &running, as_json)?;
        stop.wait().await;
        stop.drain(running).await
    })
}

/// Starts a service as the command line says, for a sibling that does more with it than wait. Where peers are may its program say too.
///
/// # Errors
/// As [`Service::start`].
pub async fn start_as_told(service: &Service, flags: &super::GlobalFlags) -> Result<Running, Failure> {
    let mut told = service.known_peers(flags.to_flags());
    told.peers.extend_from_slice(service.peers_said());
    start(service, &Config::for_server(&load(&told, &process_environment)?)?).await
}

/// The data directory of a service that is started so.
///
/// # Errors
/// When the configuration does not fit.
pub fn data_as_told(service: &Service, flags: &super::GlobalFlags) -> Result<PathBuf, Failure> {
    Ok(Config::for_server(&super::settings(service, flags)?)?.data)
}

/// Says where a service is: to people, or to the program that started it.
///
/// # Errors
/// When standard output fails.
pub fn announce(name: &str, running: &Running, as_json: bool) -> Result<(), Failure> {
    running.notes().iter().for_each(output::talk);
    let (url, data) = (running.url(), running.data().display().to_string());
    if as_json {
        return output::json(&json!({ "service": name, "url": url, "data": data, "pid": std::process::id() }));
    }
    output::talk(format!("{name} listening on {url}, data in {data}"));
    Ok(())
}

/// The signals that stop a service, and what each does.
pub struct StopSignals(Signals);

impl StopSignals {
    /// Listens from now on: before the service starts, so that no signal finds nobody.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> Result<Self, Failure> {
        let refused = |error| Failure::new(Exit::Failed, SYSTEM, format!("cannot listen for signals: {error}"));
        Signals::listen().map(Self).map_err(refused)
    }

    /// Waits for a signal.
    pub async fn wait(&mut self) {
        let _first = self.0.next().await;
    }

    /// Stops the service; a second signal ends the wait.
    ///
    /// # Errors
    /// Never today.
    pub async fn drain(&mut self, running: Running) -> Result<Exit, Failure> {
        output::talk("stopping: answering every accepted command; another Ctrl-C ends at once");
        tokio::select! {
            () = running.stop() => Ok(Exit::Done),
            forced = self.0.next() => Ok(forced),
        }
    }
}
