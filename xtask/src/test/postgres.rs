//! A PostgreSQL server for the tests, from the system's package, on a free port, and stopped at the end.
//!
//! It runs with the server's defaults: with `fsync` off the engine would refuse it. Root starts it as the user `postgres`, whom the package
//! makes, because PostgreSQL does not run as root.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::step::Failure;

/// Names a server that runs already, for the tests and for us.
pub(super) const VARIABLE: &str = "HEADWATER_TEST_POSTGRES";

const INSTALLED: &str = "/usr/lib/postgresql";

/// A server that is stopped when it is dropped; none of ours when the environment names one.
pub(super) struct Server {
    url: String,
    directory: Option<PathBuf>,
}

impl Server {
    /// Starts one, unless there is one.
    ///
    /// # Errors
    /// When the package is missing, or the server does not start.
    pub(super) fn start() -> Result<Self, Failure> {
        if let Ok(url) = env::var(VARIABLE) {
            return Ok(Self { url, directory: None });
        }
        let directory = env::temp_dir().join(format!("headwater-tests-postgres-{}", std::process::id()));
        let wrong = |error: std::io::Error| Failure::new(format!("{}: {error}", directory.display()));
        fs::create_dir_all(&directory).map_err(wrong)?;
        if is_root() {
            succeeds("chown", Command::new("chown").arg("postgres:postgres").arg(&directory))?;
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(wrong)?.port();
        let server = Self { url: format!("postgres://headwater@127.0.0.1:{port}/postgres"), directory: Some(directory.clone()) };
        let data = directory.join("data");
        let words = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", "headwater", "-D"];
        succeeds("initdb", program("initdb")?.args(words).arg(&data))?;
        let settings =
            format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c max_connections=300", directory.display());
        let mut start = program("pg_ctl")?;
        start.args(["start", "--wait", "--silent", "-D"]).arg(&data).args(["-o", &settings, "-l"]).arg(directory.join("log"));
        succeeds("pg_ctl", &mut start)?;
        Ok(server)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(directory) = &self.directory else { return };
        if let Ok(mut stop) = program("pg_ctl") {
            // One that never started has nothing to stop.
            let _ = stop.args(["stop", "--silent", "--mode=immediate", "-D"]).arg(directory.join("data")).output();
        }
        let _ = fs::remove_dir_all(directory);
    }
}

/// A program of the newest version that is installed, run by somebody who is not root.
fn program(name: &str) -> Result<Command, Failure> {
    let path = newest(Path::new(INSTALLED)).ok_or_else(|| {
        let remedy = "install it with `apt-get install --no-install-recommends postgresql`, or name a server in";
        Failure::new(format!("there is no PostgreSQL in {INSTALLED}; {remedy} {VARIABLE}"))
    })?;
    let path = path.join(name);
    if !is_root() {
        return Ok(Command::new(path));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(path).current_dir("/");
    Ok(command)
}

fn newest(installed: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(installed).ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Some(installed.join(versions.max()?.to_string()).join("bin"))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn succeeds(name: &str, command: &mut Command) -> Result<(), Failure> {
    let Output { status, stderr, .. } = command.output().map_err(|error| Failure::new(format!("{name} does not start: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("{name} failed ({status}): {}", String::from_utf8_lossy(&stderr)))) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::newest;

    #[test]
    fn the_newest_version_is_taken_by_number() {
        let directory = std::env::temp_dir().join(format!("headwater-versions-{}", std::process::id()));
        for version in ["9", "15", "common"] {
            fs::create_dir_all(directory.join(version)).unwrap();
        }
        assert_eq!(newest(&directory), Some(directory.join("15/bin")));
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(newest(&directory), None);
    }
}
