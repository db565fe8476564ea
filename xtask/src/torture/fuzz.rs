//! `fuzz`: the targets of `fuzz/` under libFuzzer with the address sanitizer, which takes the nightly toolchain. The flags are those of
//! cargo-fuzz, which can be used as well; nothing needs to be installed this way. Without that toolchain the targets run over their
//! corpus and mutations of it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::step::{self, Failure};

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const SECONDS: u64 = 60;
const AT_ONCE: usize = 2;
/// Coverage that libFuzzer reads, the sanitizer, and assertions on.
const FLAGS: &str = "--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1";
const TARGETS: [&str; 12] =
    ["frame", "segment", "seal", "packed", "registers", "roots", "proof", "backup", "export", "cursor", "snapshots", "http"];

/// Runs every target for some seconds.
pub(crate) fn run(root: &Path, seconds: Option<&str>) -> Result<(), Failure> {
    let seconds = seconds.map_or(Ok(SECONDS), str::parse).map_err(|_| Failure::usage("fuzz needs a whole number of seconds"))?;
    if !has_nightly(root) {
        println!("fuzz: there is no nightly toolchain here; the targets run over their corpus and mutations of it, without a sanitizer");
        return step::timed("fuzz, without a fuzzer", || step::succeed("fuzz", &mut over_corpus(root)));
    }
    step::timed("fuzz, build", || step::succeed("fuzz", &mut build(root)))?;
    step::timed("fuzz", || TARGETS.chunks(AT_ONCE).try_for_each(|targets| run_beside(root, targets, seconds)))
}

/// One target for so many inputs, or until it is stopped.
pub(super) fn one(root: &Path, target: &str, rounds: Option<u64>, seed: u64) -> Result<(), Failure> {
    if !has_nightly(root) {
        println!("there is no nightly toolchain here; all targets run over mutations of their corpus, without a sanitizer");
        let mut command = over_corpus(root);
        command.env("HEADWATER_FUZZ_SEED", seed.to_string());
        command.envs(rounds.map(|rounds| ("HEADWATER_FUZZ_RUNS", rounds.to_string())));
        return step::succeed(target, &mut command);
    }
    step::succeed("fuzz", &mut build(root))?;
    let mut command = fuzzer(root, target, seed);
    command.args(rounds.map(|rounds| format!("-runs={rounds}")));
    step::succeed(target, &mut command)
}

fn has_nightly(root: &Path) -> bool {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["+nightly", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    without_our_toolchain(&mut command);
    cfg!(all(target_arch = "x86_64", target_os = "linux")) && command.status().is_ok_and(|status| status.success())
}

/// `cargo` tells its children which toolchain they are of.
fn without_our_toolchain(command: &mut Command) {
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC"] {
        command.env_remove(name);
    }
}

fn build(root: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root.join("fuzz")).args(["+nightly", "build", "--release", "--features", "libfuzzer", "--target", TRIPLE]);
    command.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", folder(root));
    without_our_toolchain(&mut command);
    command
}

fn over_corpus(root: &Path) -> Command {
    let mut command = step::cargo(&root.join("fuzz"), &["test", "--release", "--", "--nocapture"]);
    command.env("CARGO_TARGET_DIR", folder(root));
    command
}

fn folder(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into).join("fuzz")
}

fn fuzzer(root: &Path, target: &str, seed: u64) -> Command {
    let mut command = Command::new(folder(root).join(TRIPLE).join("release").join(target));
    // SQLite has a name twice on purpose, and is built once more for each binary.
    command.args(of_target(root, target, seed)).env("ASAN_OPTIONS", "detect_odr_violation=0");
    command
}

/// What is found goes beside the corpus of the project, and not into it; what breaks a target is kept in `fuzz/artifacts`.
fn of_target(root: &Path, target: &str, seed: u64) -> Vec<String> {
    let found = folder(root).join("corpus").join(target);
    let artifacts = root.join("fuzz").join("artifacts").join(target);
    for folder in [&found, &artifacts] {
        // The fuzzer says so when it is not there.
        let _ = std::fs::create_dir_all(folder);
    }
    let own = root.join("fuzz").join("corpus").join(target);
    let text = |path: PathBuf| path.display().to_string();
    let mut arguments = vec![text(found), text(own), format!("-artifact_prefix={}/", text(artifacts))];
    arguments.extend(["-rss_limit_mb=2048", "-timeout=20", "-max_len=16384", "-print_final_stats=1"].map(str::to_owned));
    arguments.push(format!("-seed={}", seed % u64::from(u32::MAX)));
    arguments
}

/// Some targets at once; each says what it has done when it ends.
fn run_beside(root: &Path, targets: &[&str], seconds: u64) -> Result<(), Failure> {
    let start = |target: &&str| {
        let mut command = fuzzer(root, target, super::new_seed());
        command.arg(format!("-max_total_time={seconds}"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        child.map(|child| ((*target).to_owned(), child)).map_err(|error| Failure::new(format!("{target} does not start: {error}")))
    };
    let running: Vec<(String, Child)> = targets.iter().map(start).collect::<Result<_, _>>()?;
    let mut broken = Vec::new();
    for (target, child) in running {
        let output = child.wait_with_output().map_err(|error| Failure::new(format!("{target}: {error}")))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("fuzz {target}: {} inputs in {seconds} s, {}", stat(&said, "number_of_executed_units"), output.status);
        if !output.status.success() {
            let lines: Vec<&str> = said.lines().collect();
            println!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
            broken.push(target);
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(Failure::new(format!("{} broke; see fuzz/artifacts", broken.join(" and ")))) }
}

/// A number of libFuzzer's last words.
fn stat<'a>(said: &'a str, name: &str) -> &'a str {
    said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':')).map_or("?", str::trim)
}

#[cfg(test)]
mod tests {
    use super::{TARGETS, stat};
    use crate::root;

    #[test]
    fn the_last_words_are_read() {
        assert_eq!(stat("a\nstat::number_of_executed_units: 4711\n", "number_of_executed_units"), "4711");
        assert_eq!(stat("", "number_of_executed_units"), "?");
    }

    /// The list here, the binaries and the corpus are the same.
    #[test]
    fn every_target_has_a_binary_and_a_corpus() {
        let names = |folder: &str| {
            let files = std::fs::read_dir(root().join("fuzz").join(folder)).unwrap();
            let mut names: Vec<String> =
                files.map(|file| file.unwrap().file_name().to_string_lossy().trim_end_matches(".rs").to_owned()).collect();
            names.sort();
            names
        };
        let mut ours = TARGETS.map(str::to_owned).to_vec();
        ours.sort();
        assert_eq!(names("fuzz_targets"), ours);
        assert_eq!(names("corpus"), ours);
    }
}
