//! The settings as the types that the rest of this room works with.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use runtime::{NodeSetup, Role};

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
    /// What holds the truth.
    pub(crate) engine: EngineUrl,
    /// The database that has the tables of shared views.
    pub(crate) views: Option<String>,
    /// The data directory: the embedded engine's, or with another one what a process keeps for itself.
    pub(crate) data: PathBuf,
    /// Where the keys of subjects are kept.
    pub(crate) keys: PathBuf,
    /// The key store that is lost for good.
    pub(crate) keys_lost: Option<String>,
    /// How this node calls itself, and what it does.
    pub(crate) node: NodeSetup,
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

/// What holds the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineUrl {
    /// The data directory.
    Embedded,
    /// A database, with all that its URL says.
    Postgres(String),
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
            engine: engine(settings)?,
            views: views(settings)?,
            data: own_directory(settings)?,
            keys: PathBuf::from(text(settings, "keys")),
            keys_lost: settings.get("keys_lost").map(|setting| setting.value.clone()),
            node: node(settings)?,
            drain: Duration::from_secs(count(settings, "drain_seconds")? as u64),
            body_bytes_max: count(settings, "body_bytes_max")?,
            connections_max: count(settings, "connections_max")?,
            pack_segments: text(settings, "pack_segments") == "true",
            peers: settings.peers.iter().map(|peer| (peer.name.clone(), peer.address.clone())).collect(),
            limits: limits(settings)?,
        })
    }
}

fn node(settings: &Settings) -> Result<NodeSetup, Failure> {
    let value = |name: &str| settings.get(name).map(|setting| setting.value.clone());
    let name = value("node");
    if let Some(setting) = settings.get("node").filter(|_| name.as_deref().is_some_and(|name| !is_node_name(name))) {
        return Err(wrong_value(setting, "1 to 64 letters, digits, dots, dashes and underscores"));
    }
    let setting = settings.get("role").expect("roles have a default");
    let roles: Option<Vec<Role>> = setting.value.split(',').map(|word| Role::of_word(word.trim())).collect();
    let wanted = "some of command, view, action and workflow, with commas between";
    let roles = roles.ok_or_else(|| wrong_value(setting, wanted))?;
    Ok(NodeSetup { name, address: value("advertise"), roles })
}

fn is_node_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

/// Which engine it is.
///
/// # Errors
/// When the URL names none that this build has.
pub(crate) fn engine(settings: &Settings) -> Result<EngineUrl, Failure> {
    let engine = text(settings, "engine");
    match engine.split_once(':') {
        Some(("embedded", directory)) if !directory.is_empty() => Ok(EngineUrl::Embedded),
        Some(("embedded", _)) => {
            let message = format!("engine `{engine}`: the directory is missing; write embedded:DIR, or --data DIR");
            Err(Failure::configuration(ENGINE, message))
        }
        _ if is_postgres(&engine) && cfg!(feature = "postgres") => Ok(EngineUrl::Postgres(engine)),
        _ if is_postgres(&engine) => {
            let engine = without_password(&engine);
            let message =
                format!("engine `{engine}`: this build leaves PostgreSQL out; build it with the feature `postgres`, or write embedded:DIR");
            Err(Failure::configuration(ENGINE, message))
        }
        _ => {
            let message =
                format!("engine `{engine}`: there is no such engine; write embedded:DIR, --data DIR, or postgres://HOST/DATABASE");
            Err(Failure::configuration(ENGINE, message))
        }
    }
}

/// Whether a URL names a database of the kind that there is an engine for.
pub(crate) fn is_postgres(url: &str) -> bool {
    matches!(url.split_once(':'), Some(("postgres" | "postgresql", _)))
}

/// The database of shared views: the one that is named, or else the engine's.
///
/// # Errors
/// When what is named is no database, or none that this build has.
pub(crate) fn views(settings: &Settings) -> Result<Option<String>, Failure> {
    let Some(setting) = settings.get("views") else {
        return Ok(match engine(settings)? {
            EngineUrl::Embedded => None,
            EngineUrl::Postgres(url) => Some(url),
        });
    };
    match setting.value.split_once("://") {
        Some(("postgres" | "postgresql", _)) if cfg!(feature = "postgres") => Ok(Some(setting.value.clone())),
        Some(("postgres" | "postgresql", _)) => {
            Err(wrong_value(setting, "left out: this build has no PostgreSQL; build it with the feature `postgres`"))
        }
        _ => Err(wrong_value(setting, "the URL of a database, such as postgres://shop:password@db.example/shop")),
    }
}

/// The directory of the embedded engine, for who works on its files.
///
/// # Errors
/// When it is another engine.
pub(crate) fn data_directory(settings: &Settings) -> Result<PathBuf, Failure> {
    match engine(settings)? {
        EngineUrl::Embedded => own_directory(settings),
        EngineUrl::Postgres(url) => {
            let engine = without_password(&url);
            let message = format!(
                "engine `{engine}`: this works on a data directory, and a database has none; name one with --data DIR and --engine embedded:DIR"
            );
            Err(Failure::configuration(ENGINE, message))
        }
    }
}

/// The embedded engine's directory, or with another one that of what a process keeps for itself: snapshots, views, indexes.
fn own_directory(settings: &Settings) -> Result<PathBuf, Failure> {
    match engine(settings)? {
        EngineUrl::Embedded => Ok(PathBuf::from(text(settings, "engine").trim_start_matches("embedded:"))),
        EngineUrl::Postgres(_) => Ok(PathBuf::from(own_data(settings.get("data").map(|data| &*data.value)))),
    }
}

/// Where a process keeps what is its own, when the engine is elsewhere.
pub(super) fn own_data(told: Option<&str>) -> &str {
    told.unwrap_or("./data")
}

/// A URL as it may be shown.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let hidden = |(who, place): (&str, &str)| who.split_once(':').map(|(user, _)| format!("{scheme}://{user}:***@{place}{}", &rest[end..]));
    rest[..end].rsplit_once('@').and_then(hidden).unwrap_or_else(|| url.to_owned())
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
