//! One test in three roles, each a process of its own.
//!
//! Outside is the test as `cargo test` runs it. It starts itself again in a mount namespace of its own, where the *witness* makes file
//! systems and judges; the witness starts itself again as the *writer*, who has a journal and tells by a pipe what it is told. The two
//! share no disk. When the witness ends, be it by Ctrl-C, the namespace goes, and mounts and loop devices with it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::volume::Kind;
use super::writer::{self, Orders, Writer};
use crate::process::Directory;

/// In the environment of a witness: the directory in which it may mount.
const STAGE: &str = "HEADWATER_TEST_STAGE";
/// In the environment of a writer: its orders.
const ORDERS: &str = "HEADWATER_TEST_ORDERS";

/// Where the witness stands.
pub(super) struct Stage {
    test: String,
    pub(super) directory: PathBuf,
}

impl Stage {
    /// A writer with these orders, and a pipe from it.
    pub(super) fn writer(&self, orders: &Orders) -> Writer {
        let mut command = Command::new(std::env::current_exe().expect("a process knows its program"));
        command.args(["--exact", &self.test, "--nocapture"]).env_remove(STAGE);
        command.env(ORDERS, serde_json::to_string(orders).expect("orders are JSON"));
        Writer::start(&mut command)
    }
}

/// Plays a test that needs no mounts. `module` is `module_path!()`.
pub(super) fn here(module: &str, test: &str, play: impl FnOnce(&Stage)) {
    if writer::work_if(std::env::var(ORDERS).ok()) {
        return;
    }
    let directory = Directory::new();
    play(&Stage { test: full_name(module, test), directory: directory.path().to_path_buf() });
}

/// Plays a test that mounts file systems of these kinds, where that is allowed; else it says that it is skipped.
pub(super) fn apart(module: &str, test: &str, kinds: &[Kind], play: impl FnOnce(&Stage)) {
    if writer::work_if(std::env::var(ORDERS).ok()) {
        return;
    }
    let test = full_name(module, test);
    match std::env::var_os(STAGE) {
        Some(directory) => play(&Stage { test, directory: PathBuf::from(directory) }),
        None if may_mount() && kinds.iter().all(|kind| has(kind.program())) && has("perl") => start_apart(&test),
        None => {}
    }
}

/// The name by which the test binary knows a test: without the binary's own.
fn full_name(module: &str, test: &str) -> String {
    let inside = module.split_once("::").map_or(module, |(_, inside)| inside);
    format!("{inside}::{test}")
}

/// Runs the test again with mounts that nobody else sees. It dies with the thread that waits for it.
fn start_apart(test: &str) {
    let directory = Directory::new();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]);
    command.arg(std::env::current_exe().expect("a process knows its program")).args(["--exact", test, "--nocapture"]);
    let mut child = command.env(STAGE, directory.path()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("setpriv runs");
    let (mut has_passed, begun) = (false, format!("test {test} ... "));
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok) {
        has_passed |= line.contains("1 passed");
        // With one processor the harness begins the line in which the test then talks.
        let line = line.strip_prefix(&begun).filter(|rest| *rest != "ok").unwrap_or(&line);
        let talk = ["running ", "test ", "successes:"].iter().any(|word| line.starts_with(word)) || line.is_empty();
        if !talk {
            eprintln!("{line}");
        }
    }
    let status = child.wait().expect("it ends");
    assert!(status.success() && has_passed, "{test}, in a process of its own: {status}");
}

/// Whether this process may have mounts of its own and loop devices: root in most places, but not in every container.
fn may_mount() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let tried = || {
        let probe = "mount -t tmpfs tmpfs /tmp && losetup --find";
        Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", probe])
            .output()
            .is_ok_and(|it| it.status.success())
    };
    let may = is_root && tried();
    if !may {
        eprintln!("skipped: no file system can be mounted here; it takes root, mount namespaces and loop devices");
    }
    may
}

/// Whether a program is there, for root, where mounts are possible. Its absence fails the test where tools must be there.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(system).any(|folder| is_program(&folder, program));
    let required = std::env::var_os("HEADWATER_REQUIRE_TOOLS").is_some_and(|value| value == *OsStr::new("1"));
    assert!(found || !required, "{program} is missing, and HEADWATER_REQUIRE_TOOLS=1 says that it must be there");
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

fn is_program(folder: &Path, program: &str) -> bool {
    folder.join(program).is_file()
}
