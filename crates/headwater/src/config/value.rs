//! The settings as the types that the rest of this room works with.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use super::settings::Settings;
use super::wrong_value;
use crate::failure::{BEYOND_LOOPBACK, ENGINE, Failure};

/// Everything that a run of a service needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where to listen; all the addresses that the name stands for.
    pub(crate) listen: Vec<SocketAddr>,
    /// The listen address as it was given.
    pub(crate) listen_text: String,
    /// The embedded engine's data directory.
    pub(crate) data: PathBuf,
    /// Where the keys of subjects are kept.
    pub(crate) keys: PathBuf,
    /// The key store that is lost for good.
    pub(crate) keys_lost: Option<String>,
    /// How long a stop waits for accepted commands.
    pub(crate) drain: Duration,
    /// Bytes of a command's body, at most.
    pub(crate) body_bytes_max: usize,
    /// Connections at a time, at most.
    pub(crate) connections_max: usize,
    /// Whether old segments of the journal are packed.
    pub(crate) pack_segments: bool,
    /// Where peers are, by their names.
    pub(crate) peers: Vec<(String, String)>,
    /// The runtime's bounds.
    pub(crate) limits: runtime::Limits,
}

impl Config {
    /// Types every value that a server needs, and refuses an open door beyond this machine.
    pub(crate) fn for_server(settings: &Settings) -> Result<Self, Failure> {
        let listen_text = text(settings, "listen");
        let listen = addresses(settings)?;
        if text(settings, "insecure") != "true" {
            refuse_beyond_loopback(&listen_text, &listen)?;
        }
        Ok(Self {
            listen,
            listen_text,
            data: data_directory(settings)?,
            keys: PathBuf::from(text(settings, "keys")),
            keys_lost: settings.get("keys_lost").map(|setting| setting.value.clone()),
            drain: Duration::from_secs(count(settings, "drain_seconds")? as u64),
            body_bytes_max: count(settings, "body_bytes_max")?,
            connections_max: count(settings, "connections_max")?,
            pack_segments: text(settings, "pack_segments") == "true",
            peers: settings.peers.iter().map(|peer| (peer.name.clone(), peer.address.clone())).collect(),
            limits: limits(settings)?,
        })
    }
}

/// The directory of the embedded engine.
///
/// # Errors
/// When the engine's URL is not `embedded:DIR`: the other engines are not in this build.
pub(crate) fn data_directory(settings: &Settings) -> Result<PathBuf, Failure> {
    let engine = text(settings, "engine");
    match engine.split_once(':') {
        Some(("embedded", directory)) if !directory.is_empty() => Ok(PathBuf::from(directory)),
        Some(("embedded", _)) => {
            let message = format!("engine `{engine}`: the directory is missing; write embedded:DIR, or --data DIR");
            Err(Failure::configuration(ENGINE, message))
        }
        _ => {
            let message = format!("engine `{engine}`: this build has the embedded engine only; write embedded:DIR, or --data DIR");
            Err(Failure::configuration(ENGINE, message))
        }
    }
}

fn text(settings: &Settings, name: &str) -> String {
    settings.get(name).map(|setting| setting.value.clone()).unwrap_or_default()
}

fn count(settings: &Settings, name: &'static str) -> Result<usize, Failure> {
    let setting = settings.get(name).expect("every count has a default");
    setting.value.parse().map_err(|_| wrong_value(setting, "a whole number from 1 on that fits this machine"))
}

fn limits(settings: &Settings) -> Result<runtime::Limits, Failure> {
    Ok(runtime::Limits {
        cached_entities_max: count(settings, "cached_entities_max")?,
        cached_bytes_max: count(settings, "cached_bytes_max")?,
        commands_in_flight_max: count(settings, "commands_in_flight_max")?,
        snapshot_every_events: count(settings, "snapshot_every_events")? as u64,
        ..runtime::Limits::default()
    })
}

fn addresses(settings: &Settings) -> Result<Vec<SocketAddr>, Failure> {
    let setting = settings.get("listen").expect("listen has a default");
    let wanted = "an address and a port that this machine can look up, such as 127.0.0.1:7430 or [::1]:7430";
    let found: Vec<_> = setting.value.to_socket_addrs().map_err(|_| wrong_value(setting, wanted))?.collect();
    if found.is_empty() { Err(wrong_value(setting, wanted)) } else { Ok(found) }
}

fn refuse_beyond_loopback(text: &str, addresses: &[SocketAddr]) -> Result<(), Failure> {
    if addresses.iter().all(|address| address.ip().is_loopback()) {
        return Ok(());
    }
    let message = format!(
        "listening on {text} would open this service to other machines without TLS and credentials; \
         listen on 127.0.0.1 behind a proxy that has them, or say --insecure"
    );
    Err(Failure::configuration(BEYOND_LOOPBACK, message))
}
