//! The binary under test, a directory of its own, and a running shop that does not outlive its test.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value as Json;

/// A directory for one test, removed at its end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("the directory can be made");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What logged shops have said last.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.0.join("stderr.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary, in a directory, without any configuration of the person who runs the tests.
pub(crate) fn headwater(directory: &Directory) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("HEADWATER_"));
    for name in ours {
        command.env_remove(name);
    }
    command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Whether a program that a test needs is there. Where it must be (`HEADWATER_REQUIRE_TOOLS=1`, as in CI), its absence fails the test.
pub(crate) fn has(program: &str) -> bool {
    let version = if program == "ip" { "-V" } else { "--version" };
    let found = Command::new(program).arg(version).stdin(Stdio::null()).output().is_ok_and(|output| output.status.success());
    let required = std::env::var_os("HEADWATER_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(found || !required, "{program} is missing, and HEADWATER_REQUIRE_TOOLS=1 says that it must be there");
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Runs the binary to its end.
pub(crate) fn run<S: AsRef<OsStr>>(directory: &Directory, arguments: impl IntoIterator<Item = S>) -> Output {
    headwater(directory).args(arguments).output().expect("the binary runs")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("standard output is UTF-8")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("standard error is UTF-8")
}

#[track_caller]
pub(crate) fn check_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "stdout: {}\nstderr: {}", stdout(output), stderr(output));
}

/// Each line of standard output as JSON.
pub(crate) fn json_lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// A shop that runs, on a port that the system chose.
pub(crate) struct Shop {
    pub(crate) child: Child,
    pub(crate) url: String,
    lines: BufReader<ChildStdout>,
}

impl Shop {
    /// Starts `demo`, the shop alone, with these arguments on the directory's data, and waits until it tells where it is.
    pub(crate) fn start(directory: &Directory, arguments: &[&str]) -> Self {
        Self::start_at(directory, "127.0.0.1:0", arguments)
    }

    /// The same with the services beside it.
    pub(crate) fn start_all(directory: &Directory, arguments: &[&str]) -> Self {
        Self::spawn(headwater(directory).args(["demo", "--json", "--listen", "127.0.0.1:0"]).args(arguments).stderr(Stdio::inherit()))
    }

    /// The same at an address, such as that of a shop that was killed.
    pub(crate) fn start_at(directory: &Directory, address: &str, arguments: &[&str]) -> Self {
        Self::start_with(directory, address, arguments, Stdio::inherit())
    }

    /// The same for one of many: what it says goes to a file.
    pub(crate) fn start_logged(directory: &Directory, arguments: &[&str]) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(directory.path().join("stderr.log"));
        Self::start_with(directory, "127.0.0.1:0", arguments, Stdio::from(log.expect("the file opens")))
    }

    /// The same on another engine than the directory.
    pub(crate) fn start_on(directory: &Directory, engine: &str, arguments: &[&str]) -> Self {
        let mut command = headwater(directory);
        command.env("HEADWATER_ENGINE", engine).args(["demo", "--json", "--alone", "--listen", "127.0.0.1:0"]).args(arguments);
        Self::spawn(command.stderr(Stdio::inherit()))
    }

    /// One of several nodes of a shop, under a name.
    pub(crate) fn start_node(directory: &Directory, engine: &str, name: &str, arguments: &[&str]) -> Self {
        let mut command = node(directory, engine, name, "127.0.0.1:0");
        Self::spawn(command.args(arguments))
    }

    /// The same at an address, where it was before.
    pub(crate) fn start_node_at(address: &str, directory: &Directory, engine: &str, name: &str) -> Self {
        Self::spawn(&mut node(directory, engine, name, address))
    }

    /// The same in a network namespace of its own, at an address of it.
    pub(crate) fn start_node_in(namespace: &str, address: &str, directory: &Directory, engine: &str, name: &str) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, "setpriv", "--pdeathsig", "KILL", env!("CARGO_BIN_EXE_headwater")]);
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        command.env("HEADWATER_ENGINE", engine).env("HEADWATER_NODE", name).env("HEADWATER_DATA", directory.path().join(name));
        command.args(["demo", "--json", "--alone", "--empty", "--insecure", "--listen", address]);
        Self::spawn(command.stderr(Stdio::null()))
    }

    fn start_with(directory: &Directory, address: &str, arguments: &[&str], stderr: Stdio) -> Self {
        let mut command = headwater(directory);
        command.args(["demo", "--json", "--alone", "--listen", address]).args(arguments).stderr(stderr);
        Self::spawn(&mut command)
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let listening = next_line(&mut lines);
        let url = listening["url"].as_str().unwrap_or_else(|| panic!("no address in {listening}")).to_owned();
        Self { child, url, lines }
    }

    /// The next line that it prints.
    pub(crate) fn next_line(&mut self) -> Json {
        next_line(&mut self.lines)
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("it ended");
    }

    /// Sends a signal by name, such as INT.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end; gives the exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

/// One of several nodes of a shop on a shared engine.
fn node(directory: &Directory, engine: &str, name: &str, address: &str) -> Command {
    let mut command = headwater(directory);
    command.env("HEADWATER_ENGINE", engine).env("HEADWATER_NODE", name).env("HEADWATER_DATA", directory.path().join(name));
    command.args(["demo", "--json", "--alone", "--empty", "--listen", address]).stderr(Stdio::null());
    command
}

fn next_line(lines: &mut BufReader<ChildStdout>) -> Json {
    let mut line = String::new();
    lines.read_line(&mut line).expect("standard output is readable");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("`{line}` is not JSON: {error}"))
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
