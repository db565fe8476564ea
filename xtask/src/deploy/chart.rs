//! The chart: linted, rendered in every shape, validated, and compared with the binary.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use super::{service, write};
use crate::step::Failure;

/// The oldest version that the chart says it takes, and the newest one of which there are schemas.
const VERSIONS: [&str; 2] = ["1.29", "1.37"];
/// What Kubernetes itself does not know.
const FOREIGN: [&str; 1] = ["keda.sh/v1alpha1/ScaledObject"];

/// A shape of the chart.
struct Shape {
    name: &'static str,
    values: Json,
    /// The kinds that it must render, sorted.
    kinds: &'static [&'static str],
}

/// What each shape needs.
fn base() -> Json {
    json!({ "insecure": true, "image": { "repository": "registry.example/shop", "tag": "1.2.3" } })
}

fn with(more: Json) -> Json {
    let mut values = base();
    if let (Some(values), Json::Object(more)) = (values.as_object_mut(), more) {
        values.extend(more);
    }
    values
}

fn shapes(consumer: &str) -> Vec<Shape> {
    let postgres = json!({ "secret": "shop-database" });
    let everything = json!({
        "engine": "postgres", "postgres": postgres, "preStopSeconds": 0, "networkPolicy": { "enabled": false }, "keys": { "claim": "shop-keys" },
        "settings": { "cached_entities_max": 200_000, "pack_segments": false }, "serviceAccount": { "name": "there" },
        "imagePullSecrets": [{ "name": "pull" }], "podAnnotations": { "a": "b" }, "priorityClassName": "high", "nodeSelector": { "disk": "fast" },
    });
    let scaled = json!({ "enabled": true, "consumers": [{ "consumer": consumer, "behind": 1_000 }] });
    vec![
        Shape {
            name: "embedded",
            values: with(json!({ "settings": { "snapshot_every_events": 50 } })),
            kinds: &["NetworkPolicy", "Service", "Service", "ServiceAccount", "StatefulSet"],
        },
        Shape {
            name: "postgres",
            values: with(json!({ "engine": "postgres", "postgres": postgres })),
            kinds: &["Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"],
        },
        Shape { name: "postgres, with what may be said besides", values: with(everything), kinds: &["Deployment", "Service"] },
        Shape {
            name: "postgres, scaled",
            values: with(json!({ "engine": "postgres", "postgres": postgres, "autoscaling": scaled })),
            kinds: &["Deployment", "NetworkPolicy", "PodDisruptionBudget", "ScaledObject", "Service", "ServiceAccount"],
        },
    ]
}

/// Values with which nothing may be rendered, and a word of the refusal.
fn refusals() -> Vec<(Json, &'static str)> {
    let image = &base()["image"];
    vec![
        (json!({ "image": image }), "insecure"),
        (json!({ "insecure": true }), "image.repository"),
        (with(json!({ "engine": "sqlite" })), "engine"),
        (with(json!({ "engine": "postgres" })), "postgres.secret"),
        (with(json!({ "settings": { "listen": "0.0.0.0:1" } })), "listen"),
        (with(json!({ "autoscaling": { "enabled": true, "consumers": [{ "consumer": "a", "behind": 1 }] } })), "one process"),
        (with(json!({ "engine": "postgres", "postgres": { "secret": "s" }, "autoscaling": { "enabled": true } })), "at least one consumer"),
    ]
}

/// Checks the chart in `deploy/chart`.
pub(super) fn check(root: &Path, folder: &Path, binary: &Path) -> Result<(), Failure> {
    let chart = root.join("deploy/chart");
    let tool = Tool { folder };
    lint(&tool, &chart)?;
    for (values, word) in refusals() {
        refuses(&tool, &chart, &values, word)?;
    }
    let running = service::Running::start(binary, folder)?;
    for shape in shapes(&running.a_consumer()?) {
        let documents = tool.ask("render", &chart.to_string_lossy(), &shape.values)?;
        validate(&tool, &shape, &documents)?;
        let documents = documents.as_array().cloned().unwrap_or_default();
        let pod = pod(&documents).ok_or_else(|| Failure::new(format!("{}: there is no pod", shape.name)))?;
        service::takes_environment(binary, folder, &pod["containers"][0]["env"])?;
        let asked = service::questions(&documents, pod)?;
        asked.iter().try_for_each(|question| running.answers(question))?;
        println!("{}: {} documents, {} questions answered", shape.name, documents.len(), asked.len());
    }
    running.stop()
}

/// The chart without its name is refused, the chart is not.
fn lint(tool: &Tool<'_>, chart: &Path) -> Result<(), Failure> {
    let broken = tool.folder.join("broken-chart");
    let failed = |error: std::io::Error| Failure::new(format!("cannot write {}: {error}", broken.display()));
    fs::create_dir_all(broken.join("templates")).map_err(failed)?;
    write(&broken.join("Chart.yaml"), "apiVersion: v2\nversion: 0.1.0\n")?;
    let problems = |chart: &Path| {
        let said = tool.ask("lint", &chart.to_string_lossy(), &base())?;
        Ok::<_, Failure>(said.as_array().cloned().unwrap_or_default())
    };
    if problems(&broken)?.is_empty() {
        return Err(Failure::new("helm lint takes a chart without a name"));
    }
    match &problems(chart)?[..] {
        [] => Ok(()),
        found => Err(Failure::new(format!("helm lint: {found:?}"))),
    }
}

fn refuses(tool: &Tool<'_>, chart: &Path, values: &Json, word: &str) -> Result<(), Failure> {
    match tool.ask("render", &chart.to_string_lossy(), values) {
        Err(refusal) if refusal.to_string().contains(word) => Ok(()),
        Err(other) => Err(Failure::new(format!("{values} is refused, but not for its {word}: {other}"))),
        Ok(_) => Err(Failure::new(format!("{values} is rendered, and must be refused for its {word}"))),
    }
}

/// The documents fit the schemas, and none is missing; a broken one does not.
fn validate(tool: &Tool<'_>, shape: &Shape, documents: &Json) -> Result<(), Failure> {
    let mut kinds: Vec<&str> = documents.as_array().into_iter().flatten().filter_map(|document| document["kind"].as_str()).collect();
    kinds.sort_unstable();
    if kinds != shape.kinds {
        return Err(Failure::new(format!("{}: it renders {kinds:?}, and should {:?}", shape.name, shape.kinds)));
    }
    for version in VERSIONS {
        let mut broken = documents.clone();
        broken[0]["metadata"]["nam"] = json!("x");
        if tool.ask("validate", version, &broken)?["problems"] == json!([]) {
            return Err(Failure::new(format!("the schemas of {version} take a document with metadata.nam")));
        }
        let found = tool.ask("validate", version, documents)?;
        let unknown: Vec<&str> = found["unknown"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        if found["problems"] != json!([]) || unknown.iter().any(|kind| !FOREIGN.contains(kind)) {
            return Err(Failure::new(format!("{}, Kubernetes {version}: {found}", shape.name)));
        }
        unknown.iter().for_each(|kind| println!("{}: there is no schema of {kind} here", shape.name));
    }
    Ok(())
}

/// The one pod that a shape describes.
fn pod(documents: &[Json]) -> Option<&Json> {
    documents.iter().find_map(|document| document.pointer("/spec/template/spec"))
}

/// The script beside this file, in the environment that has its packages.
struct Tool<'a> {
    folder: &'a Path,
}

impl Tool<'_> {
    fn ask(&self, task: &str, about: &str, input: &Json) -> Result<Json, Failure> {
        let failed = |cause: &dyn std::fmt::Display| Failure::new(format!("{task} {about}: {cause}"));
        let mut command = Command::new(self.folder.join("python/bin/python"));
        command.arg(self.folder.join("chart.py")).args([task, about]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| failed(&error))?;
        let mut to = child.stdin.take().ok_or_else(|| failed(&"it has no input"))?;
        to.write_all(input.to_string().as_bytes()).map_err(|error| failed(&error))?;
        drop(to);
        let output = child.wait_with_output().map_err(|error| failed(&error))?;
        if !output.status.success() {
            return Err(failed(&String::from_utf8_lossy(&output.stderr)));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))
    }
}
