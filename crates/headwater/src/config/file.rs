//! `headwater.toml`: a flat list of `name = value`, and a table of peers.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::settings::SETTINGS;
use super::{DEFAULT_FILE, nearest};
use crate::failure::{CONFIGURATION_FILE, CONFIGURATION_VALUE, Failure, UNKNOWN_NAME};
use crate::limits::CONFIGURATION_FILE_BYTES_MAX;

/// The one table of the file.
const PEERS: &str = "peers";

/// The values of a configuration file, as text.
#[derive(Debug, Default)]
pub(crate) struct FileValues {
    pub(super) path: PathBuf,
    values: Vec<(String, String)>,
    /// The table `[peers]`.
    pub(super) peers: Vec<(String, String)>,
}

impl FileValues {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }
}

/// Reads the file that was named, or the default one when it is there.
pub(super) fn read(named: Option<&Path>) -> Result<FileValues, Failure> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(FileValues::default()),
        Err(error) => {
            let message = format!("cannot read the configuration file {}: {error}; name another one with --config", path.display());
            return Err(Failure::configuration(CONFIGURATION_FILE, message));
        }
    };
    parse(path, &text)
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(CONFIGURATION_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<FileValues, Failure> {
    let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| not_toml(path, &error))?;
    let peers = table.remove(PEERS).map_or_else(|| Ok(Vec::new()), |value| peers(path, value))?;
    let values = table.into_iter().map(|(name, value)| checked(path, name, value)).collect::<Result<_, _>>()?;
    Ok(FileValues { path: path.to_path_buf(), values, peers })
}

fn peers(path: &Path, value: toml::Value) -> Result<Vec<(String, String)>, Failure> {
    let refused = |what: &str| {
        let message =
            format!("{what} in {} must be a text, as in `[peers]` and `order = \"http://127.0.0.1:7431\"` below it", path.display());
        Failure::configuration(CONFIGURATION_VALUE, message)
    };
    let toml::Value::Table(table) = value else { return Err(refused("each of the peers")) };
    let text = |(name, value): (String, toml::Value)| match value {
        toml::Value::String(address) => Ok((name, address)),
        _ => Err(refused(&format!("the address of the peer {name}"))),
    };
    table.into_iter().map(text).collect()
}

fn not_toml(path: &Path, error: &toml::de::Error) -> Failure {
    let message = format!("the configuration file {} is not TOML: {}", path.display(), error.to_string().trim_end());
    Failure::configuration(CONFIGURATION_FILE, message)
}

fn checked(path: &Path, name: String, value: toml::Value) -> Result<(String, String), Failure> {
    if !in_file().any(|known| known == name) {
        return Err(unknown(path, &name));
    }
    let text = match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(switch) => switch.to_string(),
        other => {
            let message = format!("{name} in {} is of the type {}, but must be a text or a whole number", path.display(), other.type_str());
            return Err(Failure::configuration(CONFIGURATION_VALUE, message));
        }
    };
    Ok((name, text))
}

fn in_file() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().filter(|setting| setting.in_file).map(|setting| setting.name)
}

fn unknown(path: &Path, name: &str) -> Failure {
    let path = path.display();
    let elsewhere = SETTINGS.iter().find(|setting| !setting.in_file && setting.name == name);
    let message = match (elsewhere, nearest(name, in_file())) {
        (Some(setting), _) => {
            format!("{path} sets {name}, which only --{} or {} may do; remove the line", name.replace('_', "-"), setting.environment)
        }
        (None, Some(known)) => format!("{path} has the unknown name `{name}`; did you mean `{known}`?"),
        (None, None) => format!("{path} has the unknown name `{name}`; there are: {}", in_file().collect::<Vec<_>>().join(", ")),
    };
    Failure::configuration(UNKNOWN_NAME, message)
}
