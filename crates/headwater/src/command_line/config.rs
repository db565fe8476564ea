//! `config show`: every setting with its value and where that came from.

use clap::Subcommand;
use serde_json::json;

use crate::config::{Kind, Resolved, Settings, Source};
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
    let of_settings = settings.resolved.iter().map(|setting| (assignment(setting), in_json(setting), &setting.source));
    let of_peers = settings.peers.iter().map(|peer| {
        let name = format!("peers.{}", peer.name);
        (format!("{name} = {}", json!(peer.address)), entry(&name, &peer.address, &peer.source), &peer.source)
    });
    let lines: Vec<_> = of_settings.chain(of_peers).collect();
    let width = lines.iter().map(|(line, ..)| line.len()).max().unwrap_or_default();
    for (line, entry, source) in lines {
        match as_json {
            true => output::json(&entry)?,
            false => output::data(format!("{line:width$}  # {source}"))?,
        }
    }
    Ok(Exit::Done)
}

/// As `headwater.toml` writes it; a JSON string is a TOML string.
fn assignment(setting: &Resolved) -> String {
    match setting.setting.kind {
        Kind::Text | Kind::Address | Kind::Url => format!("{} = {}", setting.name(), json!(setting.shown())),
        Kind::Count | Kind::Switch => format!("{} = {}", setting.name(), setting.value),
    }
}

fn in_json(setting: &Resolved) -> serde_json::Value {
    entry(setting.name(), &setting.shown(), &setting.source)
}

fn entry(name: &str, value: &str, source: &Source) -> serde_json::Value {
    json!({ "name": name, "value": value, "source": source.word(), "from": source.to_string() })
}
