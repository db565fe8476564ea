//! How long a developer waits: for the first build of a service of their own, and from an edited rule to its test's answer.
//!
//! The service is the first example in a crate of its own outside of this workspace, with `headwater` as its only
//! dependency, built as `cargo` builds by default. Downloads are no part of it: whoever runs this has built before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::step::{self, Failure};

/// Emptied before and after.
const FOLDER: &str = "target/bars-service";
const EXAMPLE: &str = "examples/01_cart.rs";
/// Seconds, on two cores.
const COLD_BUILD_BAR: f64 = 240.0;
const EDIT_TO_TEST_BAR: f64 = 10.0;

pub(super) fn measure(root: &Path) -> Result<Vec<Json>, Failure> {
    let service = make_service(root)?;
    let cold = step::timed("cold build of a new service", || timed(&service, &["build", "--quiet"]))?;
    timed(&service, &["test", "--quiet"])?;
    let source = service.join("src/main.rs");
    let text = fs::read_to_string(&source).map_err(|error| failed("read", &source, &error))?;
    write(&source, &format!("{text}\n// An edit.\n"))?;
    let edit = step::timed("edit to test", || timed(&service, &["test", "--quiet"]))?;
    remove(&service)?;
    Ok(vec![figure("build cold", cold, COLD_BUILD_BAR), figure("build edit-to-test", edit, EDIT_TO_TEST_BAR)])
}

fn make_service(root: &Path) -> Result<PathBuf, Failure> {
    let service = root.join(FOLDER);
    remove(&service)?;
    let dependency = root.join("crates/headwater");
    let path = dependency.display().to_string();
    let manifest = format!(
        "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\nheadwater = {{ path = {path:?} }}\n\n\
         [dev-dependencies]\nheadwater = {{ path = {path:?}, features = [\"testkit\"] }}\n\n[workspace]\n"
    );
    fs::create_dir_all(service.join("src")).map_err(|error| failed("make", &service, &error))?;
    write(&service.join("Cargo.toml"), &manifest)?;
    // The same versions as here, so that nothing is downloaded.
    fs::copy(root.join("Cargo.lock"), service.join("Cargo.lock")).map_err(|error| failed("copy the lock file to", &service, &error))?;
    let example = fs::read_to_string(root.join(EXAMPLE)).map_err(|error| failed("read", &root.join(EXAMPLE), &error))?;
    write(&service.join("src/main.rs"), &example)?;
    Ok(service)
}

fn timed(service: &Path, arguments: &[&str]) -> Result<f64, Failure> {
    let mut command: Command = step::cargo(service, arguments);
    command.env("CARGO_TARGET_DIR", service.join("target"));
    let begin = Instant::now();
    step::succeed("cargo", &mut command)?;
    Ok(begin.elapsed().as_secs_f64())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| failed("write", path, &error))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder, &error)),
        _ => Ok(()),
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {what} {}: {error}", path.display()))
}

fn figure(case: &str, seconds: f64, bar: f64) -> Json {
    json!({ "case": case, "value": seconds, "unit": "s", "bar": bar, "met": seconds < bar })
}
