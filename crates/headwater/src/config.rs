//! The configuration: a short list of settings, each from a flag, the environment, `headwater.toml` or its default, in that
//! order, and each with where it came from.
//!
//! Names that are not in the list are refused with the nearest known one: a typo never runs silently with a default.

mod file;
mod nearest;
mod settings;
mod value;

use std::path::PathBuf;

use crate::failure::{CONFIGURATION_VALUE, Failure};

pub(crate) use nearest::nearest;
#[cfg(test)]
pub(crate) use settings::SETTINGS;
pub(crate) use settings::{Kind, Resolved, Settings};
pub(crate) use value::{Config, data_directory};

/// What the command line (or an embedding program) sets, before anything else is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// `--config FILE`.
    pub(crate) file: Option<PathBuf>,
    /// Setting name and value.
    pub(crate) values: Vec<(&'static str, String)>,
}

/// The process environment, or a test's.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The configuration file that is read when nobody names one.
pub(crate) const DEFAULT_FILE: &str = "headwater.toml";

/// Resolves every setting.
///
/// # Errors
/// When the file cannot be read or has an unknown name, or a value does not fit its setting.
pub(crate) fn load(flags: &Flags, environment: Environment<'_>) -> Result<Settings, Failure> {
    let named = flags.file.clone().or_else(|| environment("HEADWATER_CONFIG").map(PathBuf::from));
    let file = file::read(named.as_deref())?;
    let settings = Settings::resolve(flags, environment, &file);
    settings.check()?;
    Ok(settings)
}

/// The process environment, where a value that is not UTF-8 counts as it looks.
pub(crate) fn process_environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

pub(crate) fn wrong_value(setting: &Resolved, wanted: &str) -> Failure {
    let message = format!("{} is `{}` ({}), but must be {wanted}", setting.name(), setting.value, setting.source);
    Failure::configuration(CONFIGURATION_VALUE, message)
}

#[cfg(test)]
mod tests;
