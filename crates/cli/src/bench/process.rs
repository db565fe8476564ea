//! A service as a process of its own, so that what it takes can be told from what the bench takes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use headwater::{Exit, Failure};
use serde_json::Value as Json;

/// The shop, in a process that does not outlive this.
pub(super) struct ShopProcess {
    child: Child,
    url: String,
}

impl Drop for ShopProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ShopProcess {
    /// Starts it on a directory; returns when it has told its address.
    pub(super) fn start(data: &Path) -> Result<Self, Failure> {
        let mut command = own_binary()?;
        command.args(["run", "--json", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        let mut shop = Self { child: command.spawn().map_err(|error| failed(&error))?, url: String::new() };
        let mut line = String::new();
        let stdout = shop.child.stdout.take().ok_or_else(|| failed(&"it has no standard output"))?;
        BufReader::new(stdout).read_line(&mut line).map_err(|error| failed(&error))?;
        shop.url = serde_json::from_str::<Json>(&line).unwrap_or_default()["url"].as_str().unwrap_or_default().to_owned();
        Ok(shop)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The resident set.
    pub(super) fn resident_bytes(&self) -> Result<f64, Failure> {
        memory_bytes(&self.child.id().to_string(), "VmRSS:")
    }
}

/// A kind of memory of a process (`self` is this one), as Linux counts it in `/proc/PID/status`.
pub(super) fn memory_bytes(process: &str, kind: &str) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).map_err(|error| failed(&error))?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix(kind)?.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024.0).ok_or_else(|| failed(&format!("this system does not tell the {kind} of a process")))
}

/// This program, to be run once more.
pub(super) fn own_binary() -> Result<Command, Failure> {
    let path = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(command)
}

pub(super) fn failed(cause: &dyn std::fmt::Display) -> Failure {
    Failure::plain(Exit::Failed, format!("the service in a process of its own failed: {cause}"))
}
