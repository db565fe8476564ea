//! `documents`: what every service of this repository says about itself, held to validators from outside.
//!
//! The OpenAPI documents of the demo's stories and of every example go through `openapi-spec-validator`, the AsyncAPI documents through
//! AsyncAPI's own parser. Both are installed below `target`, at the versions that stand here, by pip and npm. Each of them first has to refuse a
//! document that is broken: a validator that lets everything pass would show nothing.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::step::{self, Failure};

const PYTHON: &str = "openapi-spec-validator==0.9.0";
const NODE: &str = "@asyncapi/parser@3.6.6";
const ASYNCAPI_SCRIPT: &str = include_str!("documents/asyncapi.mjs");
const STORIES: [&str; 2] = ["shop", "cards"];

/// A kind of document.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// Without this member a document is broken.
    needed: &'static str,
}

const KINDS: [Kind; 2] = [Kind { name: "openapi", needed: "info" }, Kind { name: "asyncapi", needed: "channels" }];

/// Writes all documents and validates them. Without Python or node it says so and ends well, unless the tools are required.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    if let Some(missing) = ["python3", "node", "npm"].into_iter().find(|program| !is_there(program)) {
        let word = format!("{missing} is missing: install python3 with its venv module, node and npm to have documents validated");
        if env::var_os("HEADWATER_REQUIRE_TOOLS").is_some() {
            return Err(Failure::new(word));
        }
        println!("skipped: documents: {word}");
        return Ok(());
    }
    let folder = root.join("target/documents");
    fs::create_dir_all(&folder).map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))?;
    step::timed("validators", || install(&folder))?;
    step::timed("programs", || step::succeed("build", &mut step::cargo(root, &["build", "--quiet", "--bins", "--workspace"])))?;
    for kind in KINDS {
        step::timed(kind.name, || validate(root, &folder, kind))?;
    }
    Ok(())
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn install(folder: &Path) -> Result<(), Failure> {
    let python = folder.join("python");
    if !python.join("bin/python").exists() {
        step::succeed("python3 -m venv", Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    }
    let mut pip = Command::new(python.join("bin/pip"));
    step::succeed("pip", pip.args(["install", "--quiet", "--disable-pip-version-check", PYTHON]))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(folder).arg(NODE);
    step::succeed("npm", &mut npm)?;
    write(&folder.join("asyncapi.mjs"), ASYNCAPI_SCRIPT.as_bytes())
}

fn validate(root: &Path, folder: &Path, kind: Kind) -> Result<(), Failure> {
    let files = programs(root)?.iter().map(|program| written(root, folder, kind, program)).collect::<Result<Vec<_>, _>>()?;
    let broken = broken(folder, kind, &files)?;
    let refusal = validator(folder, kind, &[broken]).output();
    if refusal.map_err(|error| Failure::new(format!("the validator of {} does not start: {error}", kind.name)))?.status.success() {
        return Err(Failure::new(format!("the validator of {} takes a document without `{}`", kind.name, kind.needed)));
    }
    println!("{} {} documents, after a broken one was refused", files.len(), kind.name);
    step::succeed(kind.name, &mut validator(folder, kind, &files))
}

/// The arguments with which each service prints a document, but for its kind.
fn programs(root: &Path) -> Result<Vec<Vec<String>>, Failure> {
    let manifest = root.join("examples/Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(|error| Failure::new(format!("cannot read {}: {error}", manifest.display())))?;
    let examples = text.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).filter(|name| is_numbered(name));
    let stories = STORIES.iter().map(|story| ["headwater", "demo", "--story", story, "--describe"].map(str::to_owned).to_vec());
    Ok(stories.chain(examples.map(|name| vec![name.to_owned(), "describe".to_owned()])).collect())
}

fn is_numbered(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_digit())
}

fn written(root: &Path, folder: &Path, kind: Kind, program: &[String]) -> Result<PathBuf, Failure> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let name = program.iter().filter(|part| !part.starts_with("--")).cloned().collect::<Vec<_>>().join("-");
    let failed =
        |cause: &dyn std::fmt::Display| Failure::new(format!("{} does not print its {} document: {cause}", program.join(" "), kind.name));
    let output = Command::new(target.join("debug").join(&program[0])).args(&program[1..]).arg(kind.name).output();
    let output = output.map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr)));
    }
    let file = folder.join(format!("{name}.{}.json", kind.name));
    write(&file, &output.stdout)?;
    Ok(file)
}

/// The first document without what it needs.
fn broken(folder: &Path, kind: Kind, files: &[PathBuf]) -> Result<PathBuf, Failure> {
    let failed = |cause: &dyn std::fmt::Display| Failure::new(format!("the document to break is not there: {cause}"));
    let first = files.first().ok_or_else(|| failed(&"no service has one"))?;
    let text = fs::read(first).map_err(|error| failed(&error))?;
    let mut document: Json = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    document.as_object_mut().and_then(|members| members.remove(kind.needed)).ok_or_else(|| failed(&"it is broken already"))?;
    let file = folder.join(format!("broken.{}.json", kind.name));
    write(&file, document.to_string().as_bytes())?;
    Ok(file)
}

fn validator(folder: &Path, kind: Kind, files: &[PathBuf]) -> Command {
    let mut command = match kind.name {
        "openapi" => Command::new(folder.join("python/bin/openapi-spec-validator")),
        _ => Command::new("node"),
    };
    if kind.name == "asyncapi" {
        command.arg(folder.join("asyncapi.mjs"));
    }
    command.args(files);
    command
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(file, bytes).map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))
}
