//! The server: one that is named, or one of our own from the system's package, with its defaults, on a free port, that ends with the program.
//!
//! Root starts it as the user `postgres`, whom the package makes, because PostgreSQL does not run as root.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tokio_postgres::{Client, NoTls};

use crate::Outcome;

const INSTALLED: &str = "/usr/lib/postgresql";
/// All that is not its default.
const SHARED_BUFFERS: &str = "256MB";
/// The server's default, and what it needs beside the clients.
const CONNECTIONS: usize = 100;
const CONNECTIONS_BESIDE: usize = 36;

/// A server; one of ours is stopped when it is dropped.
pub(crate) struct Server {
    url: String,
    directory: Option<PathBuf>,
}

impl Server {
    pub(crate) fn named(url: &str) -> Self {
        Self { url: url.to_owned(), directory: None }
    }

    /// Starts one whose files are in a directory that is made.
    pub(crate) fn start(directory: &Path, clients: usize) -> Outcome<Self> {
        fs::create_dir_all(directory)?;
        if is_root() {
            succeeds("chown", Command::new("chown").arg("postgres:postgres").arg(directory))?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self { url: format!("postgres://headwater@127.0.0.1:{port}/postgres"), directory: Some(directory.to_owned()) };
        let data = directory.join("data");
        let words = ["--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "headwater", "-D"];
        succeeds("initdb", program("initdb")?.args(words).arg(&data))?;
        let connections = CONNECTIONS.max(clients + CONNECTIONS_BESIDE);
        let settings = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=on -c shared_buffers={SHARED_BUFFERS} \
             -c max_connections={connections}"
        );
        let mut start = program("pg_ctl")?;
        start.args(["start", "--wait", "--silent", "-D"]).arg(&data).args(["-o", &settings, "-l"]).arg(directory.join("log"));
        succeeds("pg_ctl", &mut start)?;
        Ok(server)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its URL as an engine's, for a service of this name.
    pub(crate) fn engine(&self, service: &str) -> String {
        let sign = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{sign}service={service}", self.url)
    }

    /// A connection of the driver's own.
    pub(crate) async fn connect(&self) -> Outcome<Client> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection ended: {error}");
            }
        });
        Ok(client)
    }

    /// Its version, and what its figures depend on.
    pub(crate) async fn described(&self) -> Outcome<String> {
        let mut words = Vec::new();
        let client = self.connect().await?;
        for setting in ["server_version", "fsync", "full_page_writes", "synchronous_commit", "shared_buffers", "max_connections"] {
            let value: String = client.query_one("SELECT current_setting($1)", &[&setting]).await?.get(0);
            words.push(format!("{setting} {value}"));
        }
        Ok(words.join(", "))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(directory) = &self.directory else { return };
        if let Ok(mut stop) = program("pg_ctl") {
            // One that never started has nothing to stop.
            let _ = stop.args(["stop", "--silent", "--mode=immediate", "-D"]).arg(directory.join("data")).output();
        }
    }
}

/// A program of the newest version that is installed, run by somebody who is not root.
fn program(name: &str) -> Outcome<Command> {
    let versions = fs::read_dir(INSTALLED).into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max().ok_or_else(|| {
        format!("there is no PostgreSQL in {INSTALLED}; install it with `apt-get install postgresql`, or name a server with --server")
    })?;
    let path = Path::new(INSTALLED).join(newest.to_string()).join("bin").join(name);
    if !is_root() {
        return Ok(Command::new(path));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(path).current_dir("/");
    Ok(command)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn succeeds(name: &str, command: &mut Command) -> Outcome<()> {
    let Output { status, stderr, .. } = command.output().map_err(|error| format!("{name} does not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} failed ({status}): {}", String::from_utf8_lossy(&stderr)).into()) }
}
