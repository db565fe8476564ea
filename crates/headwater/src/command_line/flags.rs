//! The flags that every command takes: the configuration, and `--json`.

use std::path::PathBuf;

use clap::Args;

use crate::config::Flags;

/// Flags of every command. Each setting can also stand in the environment or in `headwater.toml`; see `config show`.
#[derive(Args, Clone, Debug, Default)]
pub struct GlobalFlags {
    /// Print JSON: data on standard output, failures on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// The configuration file [default: headwater.toml, when it is there]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Configuration")]
    config: Option<PathBuf>,
    /// The service to talk to [default: http:// and the listen address]
    #[arg(long, global = true, value_name = "URL", help_heading = "Configuration")]
    url: Option<String>,
    /// Where to listen [default: 127.0.0.1:7430]
    #[arg(long, global = true, value_name = "ADDRESS", help_heading = "Configuration")]
    listen: Option<String>,
    /// The data directory; short for --engine embedded:DIR [default: ./data]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Configuration")]
    data: Option<String>,
    /// Where the keys of subjects are kept, apart from the data [default: the data directory with .keys behind its name]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Configuration", hide_short_help = true)]
    keys: Option<String>,
    /// The key store of this id is lost for good: go on with a new one, what it had sealed reads as erased
    #[arg(long, global = true, value_name = "ID", help_heading = "Configuration", hide_short_help = true)]
    keys_lost: Option<String>,
    /// What holds the truth [default: embedded:./data]
    #[arg(long, global = true, value_name = "URL", help_heading = "Configuration", hide_short_help = true)]
    engine: Option<String>,
    /// Where the tables of shared views lie, postgres://HOST/DATABASE [default: the engine's database]
    #[arg(long, global = true, value_name = "URL", help_heading = "Configuration", hide_short_help = true)]
    views: Option<String>,
    /// This node's name, which no other node of the service may have [default: one is made up at each start]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Configuration", hide_short_help = true)]
    node: Option<String>,
    /// What this node does, with commas between [default: command,view,action,workflow]
    #[arg(long, global = true, value_name = "ROLES", help_heading = "Configuration", hide_short_help = true)]
    role: Option<String>,
    /// Where others reach this node; it is shown with the nodes
    #[arg(long, global = true, value_name = "URL", help_heading = "Configuration", hide_short_help = true)]
    advertise: Option<String>,
    /// Listen beyond this machine although there is no TLS and no credential
    #[arg(long, global = true, help_heading = "Configuration", hide_short_help = true)]
    insecure: bool,
    /// How long a stop waits for accepted commands [default: 10]
    #[arg(long, global = true, value_name = "SECONDS", help_heading = "Configuration", hide_short_help = true)]
    drain_seconds: Option<String>,
    /// Bytes of a command's body, at most [default: 1048576]
    #[arg(long, global = true, value_name = "BYTES", help_heading = "Configuration", hide_short_help = true)]
    body_bytes_max: Option<String>,
    /// Connections at a time, at most [default: 10240]
    #[arg(long, global = true, value_name = "COUNT", help_heading = "Configuration", hide_short_help = true)]
    connections_max: Option<String>,
    /// Commands in flight, at most; beyond it the answer is 503 [default: 4096]
    #[arg(long, global = true, value_name = "COUNT", help_heading = "Configuration", hide_short_help = true)]
    commands_in_flight_max: Option<String>,
    /// Entities kept in memory, at most [default: 100000]
    #[arg(long, global = true, value_name = "COUNT", help_heading = "Configuration", hide_short_help = true)]
    cached_entities_max: Option<String>,
    /// Bytes of entities kept in memory, at most [default: 268435456]
    #[arg(long, global = true, value_name = "BYTES", help_heading = "Configuration", hide_short_help = true)]
    cached_bytes_max: Option<String>,
    /// A snapshot of an entity is taken every so many events [default: 100]
    #[arg(long, global = true, value_name = "COUNT", help_heading = "Configuration", hide_short_help = true)]
    snapshot_every_events: Option<String>,
    /// Where another service is, NAME=URL; may be given several times
    #[arg(long = "peer", global = true, value_name = "NAME=URL", value_parser = peer, help_heading = "Configuration", hide_short_help = true)]
    peers: Vec<(String, String)>,
    /// Whether the scrub compresses old segments of the journal, true or false [default: true]
    #[arg(long, global = true, value_name = "SWITCH", help_heading = "Configuration", hide_short_help = true)]
    pack_segments: Option<String>,
}

impl GlobalFlags {
    /// The data directory as the flag names it, for a sibling that needs one of its own.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// As the configuration's strongest layer.
    pub(crate) fn to_flags(&self) -> Flags {
        let insecure = self.insecure.then(|| "true".to_owned());
        let all = [
            ("url", &self.url),
            ("listen", &self.listen),
            ("data", &self.data),
            ("keys", &self.keys),
            ("keys_lost", &self.keys_lost),
            ("engine", &self.engine),
            ("views", &self.views),
            ("node", &self.node),
            ("role", &self.role),
            ("advertise", &self.advertise),
            ("insecure", &insecure),
            ("drain_seconds", &self.drain_seconds),
            ("body_bytes_max", &self.body_bytes_max),
            ("connections_max", &self.connections_max),
            ("commands_in_flight_max", &self.commands_in_flight_max),
            ("cached_entities_max", &self.cached_entities_max),
            ("cached_bytes_max", &self.cached_bytes_max),
            ("snapshot_every_events", &self.snapshot_every_events),
            ("pack_segments", &self.pack_segments),
        ];
        let values = all.into_iter().filter_map(|(name, value)| value.clone().map(|value| (name, value)));
        Flags { file: self.config.clone(), values: values.collect(), peers: self.peers.clone(), peer_names: Vec::new() }
    }
}

fn peer(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once('=').ok_or("write NAME=URL, such as order=http://127.0.0.1:7431")?;
    Ok((name.to_owned(), address.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::GlobalFlags;
    use crate::config::SETTINGS;

    #[test]
    fn every_setting_has_a_flag() {
        let command = GlobalFlags::augment_args(Command::new("test"));
        let flags: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_long()).collect();
        for setting in &SETTINGS {
            let flag = setting.name.replace('_', "-");
            assert!(flags.contains(&flag.as_str()), "--{flag} is missing");
        }
    }

    #[test]
    fn a_default_in_the_help_is_the_default_of_the_setting() {
        let command = GlobalFlags::augment_args(Command::new("test"));
        for setting in SETTINGS.iter().filter(|setting| setting.name != "insecure") {
            let flag = command.get_arguments().find(|argument| argument.get_id().as_str() == setting.name).expect("the flag is there");
            let help = flag.get_help().expect("every flag has help").to_string();
            assert!(setting.default.is_none_or(|default| help.contains(&format!("[default: {default}]"))), "{}: {help}", setting.name);
        }
    }
}
