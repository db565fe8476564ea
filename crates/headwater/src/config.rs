//! The configuration: a short list of settings, each from a flag, the environment, `headwater.toml` or its default, in that
//! order, and each with where it came from.
//!
//! Names that are not in the list are refused with the nearest known one: a typo never runs silently with a default. Values are
//! checked as they are loaded, so that `config show` accepts nothing that a start refuses for its form. Names of hosts are
//! looked up only at a start.

mod file;
mod form;
mod nearest;
mod peers;
mod settings;
mod value;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::{CONFIGURATION_VALUE, Failure};

pub(crate) use nearest::nearest;
#[cfg(test)]
pub(crate) use settings::SETTINGS;
pub(crate) use settings::{Kind, Resolved, Settings, Source};
#[cfg(feature = "postgres")]
pub(crate) use value::without_password;
pub(crate) use value::{Config, EngineUrl, data_directory, is_postgres};

/// What the command line (or an embedding program) sets, before anything else is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// `--config FILE`.
    pub(crate) file: Option<PathBuf>,
    /// Setting name and value.
    pub(crate) values: Vec<(&'static str, String)>,
    /// Peers and their addresses.
    pub(crate) peers: Vec<(String, String)>,
    /// Peers that the service needs, whoever says where they are.
    pub(crate) peer_names: Vec<String>,
}

/// The process environment, or a test's.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The configuration file that is read when nobody names one.
pub(crate) const DEFAULT_FILE: &str = "headwater.toml";

/// Resolves every setting.
///
/// # Errors
/// When the file cannot be read or has an unknown name, or a value does not fit its setting.
pub(crate) fn load(flags: &Flags, environment: Environment<'_>) -> Result<Settings, Failure> {
    let named = match &flags.file {
        Some(file) => Some(file.clone()),
        None => in_environment(environment, "HEADWATER_CONFIG")?.map(PathBuf::from),
    };
    let file = file::read(named.as_deref())?;
    let settings = Settings::resolve(flags, environment, &file)?;
    settings.check()?;
    Ok(settings)
}

/// The process environment.
pub(crate) fn process_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// A variable's text. An empty one is refused: it is nearly always a substitution that found nothing, not a wish for the default.
fn in_environment(environment: Environment<'_>, name: &str) -> Result<Option<String>, Failure> {
    let refused = |problem: &str| Failure::configuration(CONFIGURATION_VALUE, format!("{name} in the environment {problem}"));
    match environment(name).map(OsString::into_string).transpose() {
        Err(_) => Err(refused("is not UTF-8; write it anew, or unset it")),
        Ok(Some(text)) if text.is_empty() => Err(refused("is empty; give it a value, or unset it")),
        Ok(text) => Ok(text),
    }
}

pub(crate) fn wrong_value(setting: &Resolved, wanted: &str) -> Failure {
    let message = format!("{} is `{}` ({}), but must be {wanted}", setting.name(), setting.shown(), setting.source);
    Failure::configuration(CONFIGURATION_VALUE, message)
}

#[cfg(test)]
mod tests;
