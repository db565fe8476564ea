//! The binary beside the chart: it takes every variable that a pod sets, and answers at every path that somebody asks.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::step::Failure;

/// What a variable from a Secret is here.
const DATABASE_URL: &str = "postgres://shop@127.0.0.1/shop";
/// How long an answer may take before the check fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Something that is asked of a running service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    path: String,
    /// The member of the answer that must be a number, for who scales by it.
    number: Option<String>,
}

/// Gives all variables of a container to the binary: it must take each of them, and each must be one that it reads.
pub(super) fn takes_environment(binary: &Path, folder: &Path, variables: &Json) -> Result<(), Failure> {
    let named: Vec<(&str, &str)> = variables.as_array().into_iter().flatten().map(variable).collect::<Result<_, _>>()?;
    let mut command = Command::new(binary);
    command.current_dir(folder).args(["config", "show", "--json"]).env_clear().envs(named.iter().copied());
    let output = command.output().map_err(|error| Failure::new(format!("the binary does not start: {error}")))?;
    if !output.status.success() {
        return Err(Failure::new(format!("config show refuses what the chart sets: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let shown: Vec<Json> = String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    match unread(&named, &shown) {
        Some(name) => Err(Failure::new(format!("the chart sets {name}, which the binary does not read"))),
        None => Ok(()),
    }
}

fn variable(entry: &Json) -> Result<(&str, &str), Failure> {
    let value = entry["value"].as_str().or_else(|| entry.pointer("/valueFrom/secretKeyRef").map(|_| DATABASE_URL));
    entry["name"].as_str().zip(value).ok_or_else(|| Failure::new(format!("a variable has no name or no value: {entry}")))
}

/// The first variable that no setting has its value from.
fn unread<'a>(named: &[(&'a str, &str)], shown: &[Json]) -> Option<&'a str> {
    let is_read = |name: &str| {
        let setting = name.trim_start_matches("HEADWATER_").to_lowercase();
        shown.iter().any(|entry| entry["name"] == *setting && entry["source"] == "environment")
    };
    named.iter().map(|(name, _)| *name).find(|name| !is_read(name))
}

/// What Kubernetes and KEDA will ask, as far as the port is the container's.
pub(super) fn questions(documents: &[Json], pod: &Json) -> Result<Vec<Question>, Failure> {
    let container = &pod["containers"][0];
    let mut questions = Vec::new();
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = &container[probe]["httpGet"];
        let path = asked["path"].as_str().ok_or_else(|| Failure::new(format!("{probe} asks no path")))?;
        is_a_port(container, &asked["port"])?;
        questions.push(Question { path: path.to_owned(), number: None });
    }
    for service in documents.iter().filter(|document| document["kind"] == "Service") {
        is_a_port(container, &service["spec"]["ports"][0]["targetPort"])?;
    }
    let triggers = documents.iter().filter_map(|document| document["spec"]["triggers"].as_array()).flatten();
    for metadata in triggers.map(|trigger| &trigger["metadata"]) {
        questions.push(trigger(metadata, documents)?);
    }
    Ok(questions)
}

/// Whether a named port is one of the container's, and the one it listens on.
fn is_a_port(container: &Json, name: &Json) -> Result<(), Failure> {
    let ports = container["ports"].as_array().into_iter().flatten();
    let port = ports.filter(|port| port["name"] == *name).find_map(|port| port["containerPort"].as_u64());
    let variables = container["env"].as_array().into_iter().flatten();
    let listen = variables.filter(|entry| entry["name"] == "HEADWATER_LISTEN").find_map(|entry| entry["value"].as_str());
    match (port, listen.and_then(|listen| listen.rsplit(':').next()?.parse::<u64>().ok())) {
        (Some(port), Some(listens)) if port == listens => Ok(()),
        (port, listens) => Err(Failure::new(format!("port {name} is {port:?}, and the process listens on {listens:?}"))),
    }
}

/// A trigger asks one of the services, at its port.
fn trigger(metadata: &Json, documents: &[Json]) -> Result<Question, Failure> {
    let failed = |what: &str| Failure::new(format!("a trigger {what}: {metadata}"));
    let url = metadata["url"].as_str().ok_or_else(|| failed("has no url"))?;
    let (authority, path) = url.trim_start_matches("http://").split_once('/').ok_or_else(|| failed("asks no path"))?;
    let mut services = documents.iter().filter(|document| document["kind"] == "Service");
    let is_there = services.any(|service| {
        let (name, port) = (service["metadata"]["name"].as_str().unwrap_or_default(), &service["spec"]["ports"][0]["port"]);
        authority == format!("{name}.prod.svc:{port}")
    });
    if !is_there {
        return Err(failed("asks a service that is not rendered"));
    }
    let number = metadata["valueLocation"].as_str().ok_or_else(|| failed("has no valueLocation"))?;
    Ok(Question { path: format!("/{path}"), number: Some(number.to_owned()) })
}

/// The shop of the binary, in an empty directory.
pub(super) struct Running {
    process: Child,
    authority: String,
    data: PathBuf,
}

impl Running {
    pub(super) fn start(binary: &Path, folder: &Path) -> Result<Self, Failure> {
        let data = folder.join(format!("data-{}", std::process::id()));
        let mut command = Command::new(binary);
        command.args(["run", "--json", "--listen", "127.0.0.1:0", "--data"]).arg(&data).current_dir(folder);
        let failed = |error: std::io::Error| Failure::new(format!("the binary does not start: {error}"));
        let mut process = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(failed)?;
        }
        let told: Json = serde_json::from_str(&line).unwrap_or_default();
        let authority = told["url"].as_str().unwrap_or_default().trim_start_matches("http://").to_owned();
        let running = Self { process, authority, data };
        if running.authority.is_empty() { Err(Failure::new(format!("the binary said {line:?} and not its address"))) } else { Ok(running) }
    }

    /// The name of a consumer that it has.
    pub(super) fn a_consumer(&self) -> Result<String, Failure> {
        let (_, list) = self.get("/v1/admin/consumers")?;
        let name = list["items"][0]["consumer"].as_str();
        name.map(str::to_owned).ok_or_else(|| Failure::new("the shop has no consumer"))
    }

    pub(super) fn answers(&self, question: &Question) -> Result<(), Failure> {
        let (status, answer) = self.get(&question.path)?;
        let is_there = question.number.as_ref().is_none_or(|number| answer[number].is_u64());
        if status == 200 && is_there {
            return Ok(());
        }
        Err(Failure::new(format!("{question:?} is answered with {status}: {answer}")))
    }

    fn get(&self, path: &str) -> Result<(u16, Json), Failure> {
        let failed = |error: std::io::Error| Failure::new(format!("GET {path}: {error}"));
        let mut stream = TcpStream::connect(&self.authority).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.authority);
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok((status, serde_json::from_str(body).unwrap_or_default()))
    }

    /// Stops it as Kubernetes and systemd do: a drain ends with 0.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        let told = Command::new("sh").args(["-c", "kill \"$0\"", &self.process.id().to_string()]).status();
        let ended = told.and_then(|_| self.process.wait());
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::new(format!("SIGTERM ended the service with {status}"))),
            Err(error) => Err(Failure::new(format!("the service cannot be stopped: {error}"))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Neither is there any more when all went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.data);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Question, questions, unread};

    #[test]
    fn a_variable_that_nothing_is_read_from_is_found() {
        let shown = [json!({ "name": "listen", "source": "environment" }), json!({ "name": "data", "source": "default" })];
        assert_eq!(unread(&[("HEADWATER_LISTEN", "x"), ("HEADWATER_DATA", "y")], &shown), Some("HEADWATER_DATA"));
        assert_eq!(unread(&[("HEADWATER_LISTN", "x")], &shown), Some("HEADWATER_LISTN"));
        assert_eq!(unread(&[("HEADWATER_LISTEN", "x")], &shown), None);
    }

    #[test]
    fn a_probe_must_ask_the_port_that_is_listened_on() {
        let pod = |container_port: u16, asked: &str| {
            let probe = json!({ "httpGet": { "path": "/livez", "port": asked } });
            json!({ "containers": [{
                "startupProbe": probe, "livenessProbe": probe, "readinessProbe": probe,
                "ports": [{ "name": "http", "containerPort": container_port }], "env": [{ "name": "HEADWATER_LISTEN", "value": "0.0.0.0:7430" }],
            }] })
        };
        assert_eq!(questions(&[], &pod(7430, "http")).unwrap()[0], Question { path: "/livez".to_owned(), number: None });
        assert!(questions(&[], &pod(7431, "http")).is_err());
        assert!(questions(&[], &pod(7430, "admin")).is_err());
    }

    #[test]
    fn a_trigger_must_ask_a_service_that_is_there() {
        let service = json!({ "kind": "Service", "metadata": { "name": "shop" }, "spec": { "ports": [{ "port": 80 }] } });
        let ask = |url: &str| super::trigger(&json!({ "url": url, "valueLocation": "behind" }), std::slice::from_ref(&service));
        assert!(ask("http://shop.prod.svc:80/v1/x").is_ok());
        assert!(ask("http://shop.prod.svc:81/v1/x").is_err());
        assert!(ask("http://other.prod.svc:80/v1/x").is_err());
    }
}
