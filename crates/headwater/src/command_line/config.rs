//! `config show`: every setting with its value and where that came from.

use clap::Subcommand;
use serde_json::json;

use crate::config::{Kind, Resolved, Settings};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// What can be done with the configuration.
#[derive(Subcommand)]
pub enum Command {
    /// Print each setting with its value and where that comes from: flag, environment, file or default
    Show,
}

pub(super) fn show(settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let lines: Vec<_> = settings.resolved.iter().map(|setting| (assignment(setting), setting)).collect();
    let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or_default();
    for (line, setting) in lines {
        match as_json {
            true => output::json(&in_json(setting))?,
            false => output::data(format!("{line:width$}  # {}", setting.source))?,
        }
    }
    Ok(Exit::Done)
}

/// As `headwater.toml` writes it; a JSON string is a TOML string.
fn assignment(setting: &Resolved) -> String {
    match setting.setting.kind {
        Kind::Text | Kind::Address | Kind::Url => format!("{} = {}", setting.name(), json!(setting.value)),
        Kind::Count | Kind::Switch => format!("{} = {}", setting.name(), setting.value),
    }
}

fn in_json(setting: &Resolved) -> serde_json::Value {
    json!({ "name": setting.name(), "value": setting.value, "source": setting.source.word(), "from": setting.source.to_string() })
}
