//! The list of settings, and how one value is chosen for each.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use super::file::FileValues;
use super::peers::{self, Peer};
use super::{Environment, Flags, form, in_environment, value};
use crate::failure::{CONFIGURATION_VALUE, Failure};

/// What a setting's text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// An address and a port.
    Address,
    /// The URL of a service.
    Url,
    /// A number from 1 on.
    Count,
    /// `true` or `false`.
    Switch,
}

impl Kind {
    fn takes(self, text: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Address => form::is_listen_address(text),
            Self::Url => form::is_service_url(text),
            Self::Count => text.parse::<u64>().is_ok_and(|count| count > 0),
            Self::Switch => matches!(text, "true" | "false"),
        }
    }

    /// What it takes, in the words of a message.
    pub(super) fn wanted(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Address => "an address and a port, such as 127.0.0.1:7430 or [::1]:7430",
            Self::Url => "the URL of a service, such as http://127.0.0.1:7430, without a user and not https",
            Self::Count => "a whole number from 1 on",
            Self::Switch => "true or false",
        }
    }
}

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its name in the file; the flag is the same with dashes.
    pub(crate) name: &'static str,
    /// Its environment variable.
    pub(crate) environment: &'static str,
    /// What it is when nobody says; `None` when it then follows from others.
    pub(crate) default: Option<&'static str>,
    /// What its text must be.
    pub(crate) kind: Kind,
    /// Whether the file may set it. Whom to talk to and what to risk is said per call, not left lying in a directory.
    pub(crate) in_file: bool,
}

const fn setting(name: &'static str, environment: &'static str, default: Option<&'static str>, kind: Kind) -> Setting {
    Setting { name, environment, default, kind, in_file: true }
}

/// Every setting there is. ADR 0001 has the table.
pub(crate) const SETTINGS: [Setting; 19] = [
    setting("listen", "HEADWATER_LISTEN", Some("127.0.0.1:7430"), Kind::Address),
    setting("engine", "HEADWATER_ENGINE", Some("embedded:./data"), Kind::Text),
    setting("data", "HEADWATER_DATA", None, Kind::Text),
    setting("keys", "HEADWATER_KEYS", None, Kind::Text),
    setting("views", "HEADWATER_VIEWS", None, Kind::Text),
    setting("node", "HEADWATER_NODE", None, Kind::Text),
    setting("role", "HEADWATER_ROLE", Some("command,view,action,workflow"), Kind::Text),
    setting("advertise", "HEADWATER_ADVERTISE", None, Kind::Url),
    Setting { in_file: false, ..setting("keys_lost", "HEADWATER_KEYS_LOST", None, Kind::Text) },
    Setting { in_file: false, ..setting("url", "HEADWATER_URL", None, Kind::Url) },
    Setting { in_file: false, ..setting("insecure", "HEADWATER_INSECURE", Some("false"), Kind::Switch) },
    setting("drain_seconds", "HEADWATER_DRAIN_SECONDS", Some("10"), Kind::Count),
    setting("body_bytes_max", "HEADWATER_BODY_BYTES_MAX", Some("1048576"), Kind::Count),
    setting("connections_max", "HEADWATER_CONNECTIONS_MAX", Some("10240"), Kind::Count),
    setting("commands_in_flight_max", "HEADWATER_COMMANDS_IN_FLIGHT_MAX", Some("4096"), Kind::Count),
    setting("cached_entities_max", "HEADWATER_CACHED_ENTITIES_MAX", Some("100000"), Kind::Count),
    setting("cached_bytes_max", "HEADWATER_CACHED_BYTES_MAX", Some("268435456"), Kind::Count),
    setting("snapshot_every_events", "HEADWATER_SNAPSHOT_EVERY_EVENTS", Some("100"), Kind::Count),
    setting("pack_segments", "HEADWATER_PACK_SEGMENTS", Some("true"), Kind::Switch),
];

/// Where a value came from, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line, or the embedding program.
    Flag(&'static str),
    /// The environment.
    Environment(Cow<'static, str>),
    /// The configuration file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
    /// It follows from another setting.
    Derived(&'static str),
}

impl Source {
    /// The word for programs.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Environment(_) => "environment",
            Self::File(_) => "file",
            Self::Default => "default",
            Self::Derived(_) => "derived",
        }
    }

    /// The stronger source has the smaller number.
    fn rank(&self) -> u8 {
        match self {
            Self::Flag(_) => 0,
            Self::Environment(_) => 1,
            Self::File(_) => 2,
            Self::Default => 3,
            Self::Derived(_) => 4,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(formatter, "flag --{}", name.replace('_', "-")),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Default => formatter.write_str("default"),
            Self::Derived(from) => write!(formatter, "follows from {from}"),
        }
    }
}

/// A setting with its value.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) setting: &'static Setting,
    pub(crate) value: String,
    pub(crate) source: Source,
}

impl Resolved {
    /// The value as it may be shown: without a password.
    pub(crate) fn shown(&self) -> String {
        if matches!(self.setting.name, "engine" | "views") { value::without_password(&self.value) } else { self.value.clone() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.setting.name
    }
}

/// All settings with their values.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Those that have a value, in the order of the list.
    pub(crate) resolved: Vec<Resolved>,
    /// Where peers are.
    pub(crate) peers: Vec<Peer>,
}

impl Settings {
    pub(super) fn resolve(flags: &Flags, environment: Environment<'_>, file: &FileValues) -> Result<Self, Failure> {
        let all = SETTINGS.iter().filter_map(|setting| resolve_one(setting, flags, environment, file).transpose());
        let mut resolved = all.collect::<Result<Vec<_>, _>>()?;
        prefer_directory(&mut resolved);
        derive_url(&mut resolved);
        derive_keys(&mut resolved);
        Ok(Self { resolved, peers: peers::resolve(flags, environment, file)? })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Resolved> {
        find(&self.resolved, name)
    }

    /// The service to talk to.
    pub(crate) fn url(&self) -> String {
        self.get("url").map(|setting| setting.value.clone()).unwrap_or_default()
    }

    /// Checks every text against its kind, and the engine against what this build has.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let misfit = self.resolved.iter().find(|one| !one.setting.kind.takes(&one.value));
        if let Some(setting) = misfit {
            return Err(super::wrong_value(setting, setting.setting.kind.wanted()));
        }
        self.check_one_engine()?;
        value::engine(self)?;
        value::views(self).map(drop)
    }

    /// `data` is short for an engine: two of them from one source would leave the choice to chance.
    fn check_one_engine(&self) -> Result<(), Failure> {
        let (Some(data), Some(engine)) = (self.get("data"), self.get("engine")) else { return Ok(()) };
        if data.source.rank() != engine.source.rank() || !is_embedded(engine) {
            return Ok(());
        }
        let message = format!("data ({}) and engine ({}) both say where the data lies; keep one of them", data.source, engine.source);
        Err(Failure::configuration(CONFIGURATION_VALUE, message))
    }
}

fn find<'a>(resolved: &'a [Resolved], name: &str) -> Option<&'a Resolved> {
    resolved.iter().find(|one| one.name() == name)
}

fn resolve_one(
    setting: &'static Setting,
    flags: &Flags,
    environment: Environment<'_>,
    file: &FileValues,
) -> Result<Option<Resolved>, Failure> {
    let of_setting = |(value, source)| Resolved { setting, value, source };
    if let Some((name, value)) = flags.values.iter().find(|(name, _)| *name == setting.name) {
        return Ok(Some(of_setting((value.clone(), Source::Flag(name)))));
    }
    if let Some(value) = in_environment(environment, setting.environment)? {
        return Ok(Some(of_setting((value, Source::Environment(setting.environment.into())))));
    }
    let from_file = file.get(setting.name).map(|value| (value, Source::File(file.path.clone())));
    let from_default = || setting.default.map(|value| (value.to_owned(), Source::Default));
    Ok(from_file.or_else(from_default).map(of_setting))
}

fn is_embedded(engine: &Resolved) -> bool {
    engine.value.starts_with("embedded:")
}

/// `data` is short for `engine = "embedded:..."`: the stronger source of the two decides, and the engine says what is used. Beside another
/// engine it is where a process keeps what is its own.
fn prefer_directory(resolved: &mut Vec<Resolved>) {
    let (Some(data), Some(engine)) = (find(resolved, "data"), find(resolved, "engine")) else { return };
    if !is_embedded(engine) {
        return;
    }
    if data.source.rank() < engine.source.rank() {
        let value = format!("embedded:{}", data.value);
        resolved.iter_mut().filter(|one| one.name() == "engine").for_each(|one| {
            one.value.clone_from(&value);
            one.source = Source::Derived("data");
        });
    } else if data.source.rank() > engine.source.rank() {
        resolved.retain(|one| one.name() != "data");
    }
}

fn derive_url(resolved: &mut Vec<Resolved>) {
    let Some(listen) = find(resolved, "listen").filter(|_| find(resolved, "url").is_none()) else { return };
    let value = format!("http://{}", reachable(&listen.value));
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == "url") else { return };
    let before = resolved.iter().position(|one| one.name() == "insecure").unwrap_or(resolved.len());
    resolved.insert(before, Resolved { setting, value, source: Source::Derived("listen") });
}

/// Beside the data directory and not in it: `./data` has `./data.keys`.
fn derive_keys(resolved: &mut Vec<Resolved>) {
    let Some(engine) = find(resolved, "engine").filter(|_| find(resolved, "keys").is_none()) else { return };
    let own = || value::own_data(find(resolved, "data").map(|data| &*data.value));
    let directory = engine.value.strip_prefix("embedded:").unwrap_or_else(own);
    // `.` has no name of its own.
    let has_name = std::path::Path::new(directory).file_name().is_some();
    let value = if has_name { format!("{}.keys", directory.trim_end_matches('/')) } else { format!("{directory}/../data.keys") };
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == "keys") else { return };
    let before = resolved.iter().position(|one| one.name() == "url").unwrap_or(resolved.len());
    resolved.insert(before, Resolved { setting, value, source: Source::Derived("engine") });
}

/// Who listens on every address is reached on this machine.
fn reachable(listen: &str) -> String {
    let everywhere = [("0.0.0.0:", "127.0.0.1:"), ("[::]:", "[::1]:")];
    let found = everywhere.iter().find_map(|(all, own)| listen.strip_prefix(all).map(|port| format!("{own}{port}")));
    found.unwrap_or_else(|| listen.to_owned())
}
