//! UmaDB: its server in a process of its own, and its client in others, both from its Python package; over gRPC on the loopback.
//!
//! Clients are threads of a few processes, so that no interpreter's lock holds more than a share of them back. What they measured comes
//! back as text. What they cost of the two cores is part of the figure, as it is for whoever uses it so.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Store;
use crate::Outcome;
use crate::case::PAYLOAD_BYTES;
use crate::load::{Acknowledged, Load};
use crate::statistics::Latencies;

const START_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// Where `benches/peers/install` puts it.
pub(super) fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../installed/python/bin")
}

pub(super) fn open(directory: &Path) -> Outcome<Box<dyn Store>> {
    std::fs::create_dir_all(directory)?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut command = Command::new(installed().join("umadb"));
    command.args(["--listen", &address, "--db-path"]).arg(directory.join("events.db"));
    let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let store = Box::new(Umadb { server, address });
    let begun = Instant::now();
    while TcpStream::connect(&store.address).is_err() {
        if begun.elapsed() > START_TIMEOUT {
            return Err(format!("UmaDB's server does not listen on {}", store.address).into());
        }
        thread::sleep(POLL);
    }
    Ok(store)
}

struct Umadb {
    server: Child,
    address: String,
}

impl Drop for Umadb {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Store for Umadb {
    fn load(&mut self, load: Load) -> Outcome<Acknowledged> {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../umadb/drive.py");
        let mut command = Command::new(installed().join("python"));
        command.arg(driver).arg(&self.address).args([load.case.writers, load.case.events, PAYLOAD_BYTES].map(|number| number.to_string()));
        let output = command.arg(load.duration.as_secs_f64().to_string()).arg(load.writer(0)).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("UmaDB's clients ended with {}", output.status).into());
        }
        acknowledged(load, &String::from_utf8(output.stdout)?)
    }

    fn process(&self) -> String {
        self.server.id().to_string()
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }
}

/// The first line is how long it took in nanoseconds, each other one how long a commit took.
fn acknowledged(load: Load, text: &str) -> Outcome<Acknowledged> {
    let mut lines = text.lines();
    let elapsed = Duration::from_nanos(lines.next().ok_or("UmaDB's clients said nothing")?.parse()?);
    let mut latencies = Latencies::new();
    for line in lines {
        latencies.add(Duration::from_nanos(line.parse()?));
    }
    Ok(Acknowledged { events: latencies.count() as f64 * load.case.events as f64, elapsed, latencies })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::acknowledged;
    use crate::case::Case;
    use crate::load::Load;

    #[test]
    fn what_the_clients_measured_is_counted() {
        let load = Load { case: Case { writers: 2, events: 100 }, duration: Duration::from_secs(1), phase: 0 };
        let counted = acknowledged(load, "2000000000\n1000\n3000\n").expect("the text is whole");
        assert_eq!((counted.events, counted.elapsed, counted.latencies.count()), (200.0, Duration::from_secs(2), 2));
        assert!(acknowledged(load, "").is_err() && acknowledged(load, "1\nx\n").is_err());
    }
}
