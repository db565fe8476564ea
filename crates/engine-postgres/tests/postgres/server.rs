//! Servers for tests, from the system's package: one for all tests that only need some, and one for each that kills it.
//!
//! `HEADWATER_TEST_POSTGRES` names one that runs already (`cargo xtask test` starts one). PostgreSQL refuses to run as root, so root starts it
//! as the user `postgres`, whom the package makes.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use headwater_engine_postgres::{Address, Options, PostgresJournal};

/// Who may connect, without a password, over loopback.
const USER: &str = "headwater";

/// A running server.
pub(crate) struct Server {
    url: String,
    own: Option<Own>,
}

/// One that this process has started.
struct Own {
    directory: PathBuf,
    port: u16,
    child: Mutex<Child>,
}

impl Server {
    /// The one that all share; the last who lets go of it stops it.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(match std::env::var("HEADWATER_TEST_POSTGRES") {
                Ok(url) => Self { url, own: None },
                Err(_) => Self::start(&[]),
            });
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// One of one's own, with settings.
    pub(crate) fn start(settings: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("headwater-postgres-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        if is_root() {
            let (user, group) = (number_of("-u"), number_of("-g"));
            chown(&directory, Some(user), Some(group)).unwrap();
        }
        let mut make = program("initdb");
        make.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", USER, "-D"]).arg(directory.join("data"));
        let made = make.output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        certify(&directory.join("data"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let own = Own { child: Mutex::new(run(&directory, port, settings)), directory, port };
        own.wait();
        Self { url: format!("postgres://{USER}@127.0.0.1:{port}/postgres"), own: Some(own) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A new schema that nobody else uses.
    pub(crate) fn service() -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn address(&self, service: &str) -> Address {
        Address::new(&self.url, Some(service)).unwrap()
    }

    /// A node of a service, with the machine's own clock and dice.
    pub(crate) async fn node(&self, service: &str) -> PostgresJournal {
        let options = Options::at(self.address(service)).unwrap();
        PostgresJournal::open(options).await.unwrap()
    }

    /// Ends every process of the server at once, as a machine does that loses its power but for what the system still has in memory.
    pub(crate) fn kill(&self) {
        let own = self.own.as_ref().expect("only a server of one's own is killed");
        let mut child = own.child.lock().unwrap();
        let all = with_children(child.id());
        let _ = Command::new("kill").arg("-9").args(all.iter().map(u32::to_string)).stderr(Stdio::null()).status();
        child.wait().unwrap();
        while all.iter().any(|process| is_alive(*process)) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts it again where it was, and waits until it takes connections.
    pub(crate) fn restart(&self) {
        let own = self.own.as_ref().expect("only a server of one's own is started again");
        *own.child.lock().unwrap() = run(&own.directory, own.port, &[]);
        own.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            let mut child = own.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // Fast shutdown: sessions are ended, not waited for.
            let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            let _ = child.wait();
            let _ = fs::remove_dir_all(&own.directory);
        }
    }
}

impl Own {
    fn wait(&self) {
        let is_ready = || {
            let mut asked = program("pg_isready");
            asked.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).status().unwrap().success()
        };
        while !is_ready() {
            let over = self.child.lock().unwrap().try_wait().unwrap();
            assert!(over.is_none(), "the server did not start: {}", fs::read_to_string(self.directory.join("log")).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn run(directory: &Path, port: u16, settings: &[&str]) -> Child {
    let log = fs::File::options().append(true).create(true).open(directory.join("log")).unwrap();
    let mut server = program("postgres");
    server.arg("-D").arg(directory.join("data")).args(["-p", &port.to_string(), "-c", "max_connections=300", "-c"]);
    server.arg(format!("unix_socket_directories={}", directory.display())).args(["-c", "listen_addresses=127.0.0.1"]);
    server.args(settings.iter().flat_map(|setting| ["-c", *setting]));
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// Gives the server a certificate of these tests' own, for 127.0.0.1 alone; its key is in the repository and guards nothing. It is used with
/// `ssl=on`.
fn certify(data: &Path) {
    for (name, content) in [("server.crt", include_str!("certificate.pem")), ("server.key", include_str!("key.pem"))] {
        let file = data.join(name);
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            chown(&file, Some(number_of("-u")), Some(number_of("-g"))).unwrap();
        }
    }
}

/// A program of the package, run by somebody who is not root.
fn program(name: &str) -> Command {
    let path = installed().join(name);
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(path).current_dir("/");
    command
}

/// The programs of the newest version that is installed.
fn installed() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<u32> = versions.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable();
    let newest = versions.last().unwrap_or_else(|| {
        panic!("there is no PostgreSQL; install it (apt-get install --no-install-recommends postgresql), or name a server in HEADWATER_TEST_POSTGRES")
    });
    format!("/usr/lib/postgresql/{newest}/bin").into()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The number of the user `postgres`, or of its group.
fn number_of(which: &str) -> u32 {
    let told = Command::new("id").args([which, "postgres"]).output().unwrap();
    String::from_utf8_lossy(&told.stdout).trim().parse().expect("PostgreSQL's package makes the user `postgres`")
}

/// A process and those that it has started.
fn with_children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let of_parent = processes.filter(|process| parent_of(*process) == Some(parent));
    std::iter::once(parent).chain(of_parent).collect()
}

fn parent_of(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Zombies are not.
fn is_alive(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}
