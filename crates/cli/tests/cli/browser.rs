//! A real browser without a window: Chromium, told what to do over a pipe (the DevTools protocol), as a person's would be.
//!
//! Nothing but the browser is needed: its messages are JSON with a zero byte behind each, on the descriptors 3 and 4. What the
//! browser complains about (errors, refusals of the page's policy) is kept for the test to look at.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::process::{Directory, has};

/// How long anything may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Json>,
    session: Option<String>,
    last_id: u64,
    complaints: Vec<String>,
}

impl Browser {
    /// Starts it, with its files in the test's directory. `None` where there is no Chromium.
    pub(crate) fn start(directory: &Directory) -> Option<Self> {
        if !has("chromium") {
            return None;
        }
        let profile = directory.path().join("browser");
        let mut command = Command::new("sh");
        // No sandbox: it cannot be had as root, and the page is our own.
        let script = "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                      --remote-debugging-pipe --user-data-dir=\"$0\" about:blank 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        command.args(["-c", script]).arg(profile).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a shell runs");
        let commands = child.stdin.take().expect("it is piped");
        let messages = read_messages(child.stdout.take().expect("it is piped"));
        let mut browser = Self { child, commands, messages, session: None, last_id: 0, complaints: Vec::new() };
        browser.attach();
        Some(browser)
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let session = self.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }))["sessionId"].clone();
        self.session = session.as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Runs a script in each page before its own.
    pub(crate) fn prepare(&mut self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    pub(crate) fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({ "url": url }));
        assert!(opened.get("errorText").is_none(), "{url}: {opened}");
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(crate) fn ask(&mut self, expression: &str) -> Json {
        let answer = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }));
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(&format!("Boolean({expression})")) != true {
            assert!(Instant::now() < deadline, "never true: {expression}; the page says:\n{}", self.ask("document.body.innerText"));
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// What the browser has complained about since the last time.
    pub(crate) fn take_complaints(&mut self) -> Vec<String> {
        // An answer comes behind every message that was sent before it.
        self.ask("0");
        std::mem::take(&mut self.complaints)
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Json) -> Json {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).expect("the browser reads");
        loop {
            let message = self.messages.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no answer to {method}: {error}"));
            if message["id"] == self.last_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.complaints.extend(complaint(&message));
        }
    }
}

fn read_messages(output: ChildStdout) -> Receiver<Json> {
    let (sender, messages) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(output).split(0).map_while(Result::ok) {
            let message = serde_json::from_slice(&message).expect("the browser writes JSON");
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    messages
}

/// What a developer would see in red or yellow.
fn complaint(message: &Json) -> Option<String> {
    let parameters = &message["params"];
    match message["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(parameters["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if parameters["type"] == "error" || parameters["type"] == "warning" => {
            Some(parameters["args"].to_string())
        }
        "Log.entryAdded" if parameters["entry"]["level"] == "error" || parameters["entry"]["level"] == "warning" => {
            let entry = &parameters["entry"];
            Some(format!("{} {} {}", entry["source"], entry["text"], entry["url"]))
        }
        _ => None,
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        // It has ended when it says nothing more.
        while self.messages.recv_timeout(Duration::from_secs(10)).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
