//! `ci`: everything that is checked without running a test, the quick ones first. The tests are `cargo xtask test`.

use std::path::Path;

use crate::step::{self, Failure};
use crate::tidy;

/// Runs the checks in order and stops at the first that fails.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    cargo(root, "fmt", &["fmt", "--all", "--check"])?;
    step::timed("tidy", || tidy::run(root))?;
    cargo(root, "clippy", &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])?;
    documentation(root)
}

fn cargo(root: &Path, name: &str, arguments: &[&str]) -> Result<(), Failure> {
    step::timed(name, || step::succeed(name, &mut step::cargo(root, arguments)))
}

/// Libraries only: the binary `headwater` would write its pages over those of the library of that name.
fn documentation(root: &Path) -> Result<(), Failure> {
    let mut command = step::cargo(root, &["doc", "--workspace", "--lib", "--no-deps", "--all-features"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    step::timed("documentation", || step::succeed("documentation", &mut command))
}
