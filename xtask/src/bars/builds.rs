//! How long a developer waits: a build from nothing, and from an edited rule to its test's answer.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Instant, SystemTime};

use serde_json::{Value as Json, json};

use crate::step::{self, Failure};

/// Emptied before and after.
const COLD_TARGET: &str = "target/bars-cold";
/// A rule of the demo's shop, and its tests.
const RULE: &str = "crates/cli/src/shop/cart.rs";
const TEST: &[&str] = &["test", "--quiet", "--package", "headwater-cli", "cart"];

pub(super) fn measure(root: &Path) -> Result<Vec<Json>, Failure> {
    Ok(vec![step::timed("cold build", || cold_build(root))?, step::timed("edit to test", || edit_to_test(root))?])
}

/// The `headwater` binary, in the profile of a developer, with every dependency. Downloads are not part of it: whoever runs this has built before.
fn cold_build(root: &Path) -> Result<Json, Failure> {
    let folder = root.join(COLD_TARGET);
    remove(&folder)?;
    let mut command = step::cargo(root, &["build", "--quiet", "--package", "headwater-cli"]);
    command.env("CARGO_TARGET_DIR", &folder);
    let begin = Instant::now();
    step::succeed("cold build", &mut command)?;
    let seconds = begin.elapsed().as_secs_f64();
    remove(&folder)?;
    Ok(figure("build/cold", seconds))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::new(format!("cannot remove {}: {error}", folder.display()))),
        _ => Ok(()),
    }
}

/// Touches a rule and runs its tests, everything else being built.
fn edit_to_test(root: &Path) -> Result<Json, Failure> {
    step::succeed("build of the tests", &mut step::cargo(root, TEST))?;
    let touched = File::options().append(true).open(root.join(RULE)).and_then(|file| file.set_modified(SystemTime::now()));
    touched.map_err(|error| Failure::new(format!("cannot touch {RULE}: {error}")))?;
    let begin = Instant::now();
    step::succeed("test of the edited rule", &mut step::cargo(root, TEST))?;
    Ok(figure("build/edit-to-test", begin.elapsed().as_secs_f64()))
}

fn figure(case: &str, seconds: f64) -> Json {
    json!({ "case": case, "value": seconds, "unit": "s" })
}
