//! `cargo xtask`: the project's own tasks, so that a person and CI go through the same doors.
//!
//! It builds in seconds and knows the product only from outside: its files, `cargo` and the `headwater` binary.

mod bars;
mod ci;
mod deploy;
mod documents;
mod step;
mod test;
mod tidy;
mod torture;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use step::Failure;

const HELP: &str = "\
cargo xtask ci               formatting, tidy, clippy, documentation; stops at the first that fails
cargo xtask test             every test: units, integration, examples, documentation
cargo xtask tidy             the project's own rules: rooms, sizes, names, seams, error pages
cargo xtask documents        OpenAPI and AsyncAPI documents of all services through outside validators; wants python3, node and npm
cargo xtask deploy           what is in deploy/ through linters, and against the binary; wants python3 and systemd-analyze
cargo xtask bars [--builds]  the benchmarks' figures beside their bars; with --builds also how long builds take
cargo xtask torture [NAME]   a test of kills, power cuts or faults at any size; --rounds N --seed S; without a name the list of them
cargo xtask fuzz [SECONDS]   every fuzz target for so long, two at a time; without the nightly toolchain, mutations of the corpus
cargo xtask help             this

CI is `cargo xtask ci` and then `cargo xtask test`.";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments, &root()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::from(failure.exit)
        }
    }
}

fn run(arguments: &[&str], root: &Path) -> Result<(), Failure> {
    match arguments {
        ["ci"] => ci::run(root),
        ["test"] => test::run(root),
        ["tidy"] => tidy::run(root),
        ["documents"] => documents::run(root),
        ["deploy"] => deploy::run(root),
        ["bars"] => bars::run(root, false),
        ["bars", "--builds"] => bars::run(root, true),
        ["torture", options @ ..] => torture::run(root, options),
        ["fuzz"] => torture::fuzz::run(root, None),
        ["fuzz", seconds] => torture::fuzz::run(root, Some(seconds)),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        unknown => Err(Failure::usage(format!("there is no task `{}`; cargo xtask help lists them", unknown.join(" ")))),
    }
}

/// The project's folder: above this package's own, wherever the task was called from.
fn root() -> PathBuf {
    let own = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::{HELP, root, run};

    #[test]
    fn an_unknown_task_is_wrong_usage() {
        let failure = run(&["tset"], &root()).unwrap_err();
        assert_eq!((failure.exit, failure.to_string().contains("tset")), (2, true));
    }

    #[test]
    fn help_names_every_task() {
        for task in ["ci", "test", "tidy", "documents", "deploy", "bars", "torture", "fuzz", "help"] {
            assert!(HELP.lines().any(|line| line.starts_with(&format!("cargo xtask {task}"))), "{task}");
        }
    }
}
