//! `torture`: the tests that draw from a seed, at any size. Each is a test that CI runs small; a variable tells it how much and from which
//! seed, and one seed draws the same again. What was run, on which commit, and what came of it is said in one line at the end.

pub(crate) mod fuzz;
mod names;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::step::{self, Failure};
use names::{How, NAMES, Torture};

/// How much, and from which seed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settings {
    rounds: Option<u64>,
    seed: Option<u64>,
    /// What only some of them know, such as `--events`.
    more: Vec<(&'static str, u64)>,
}

/// Runs a torture by its name, or lists them.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let (name, options) = match arguments {
        [] | ["help" | "--help"] => {
            print!("{}", list());
            return Ok(());
        }
        [name, options @ ..] => (*name, options),
    };
    let torture = NAMES.iter().find(|torture| torture.name == name);
    let torture = torture.ok_or_else(|| Failure::usage(format!("there is no torture `{name}`; cargo xtask torture lists them")))?;
    let settings = settings(torture, options)?;
    let seed = settings.seed.unwrap_or_else(new_seed);
    let said = said(torture, &settings, seed, &commit(root));
    println!("torture {said}");
    let begun = Instant::now();
    let done = match torture.how {
        How::Test { package, binary, test } => {
            let mut command = test_command(root, package, binary, test);
            command.env(torture.seed, seed.to_string());
            command.envs(settings.rounds.map(|rounds| (torture.rounds, rounds.to_string())));
            command.envs(settings.more.iter().map(|(variable, number)| (*variable, number.to_string())));
            tests(name, &mut command)
        }
        How::Fuzz { target } => fuzz::one(root, target, settings.rounds, seed),
    };
    let verdict = if done.is_ok() { "passed" } else { "FAILED" };
    println!("torture {said}: {verdict} after {:.1} s", begun.elapsed().as_secs_f64());
    done
}

/// All names, what each does and how much of it CI runs.
fn list() -> String {
    let mut text = "cargo xtask torture NAME [--rounds N] [--seed S]\n\n".to_owned();
    for torture in NAMES {
        text += &format!("{:<15} {}\n{:15} in CI: {}\n", torture.name, torture.what, "", torture.in_ci);
        torture.more.iter().for_each(|(option, _)| text += &format!("{:15} also takes {option} N\n", ""));
    }
    text
}

fn settings(torture: &Torture, arguments: &[&str]) -> Result<Settings, Failure> {
    let mut settings = Settings::default();
    for pair in arguments.chunks(2) {
        let number = pair.get(1).and_then(|text| text.parse::<u64>().ok());
        let number = number.ok_or_else(|| Failure::usage(format!("{} needs a whole number", pair[0])))?;
        match pair[0] {
            "--rounds" => settings.rounds = Some(number),
            "--seed" => settings.seed = Some(number),
            option => {
                let known = torture.more.iter().find(|(name, _)| *name == option);
                let (_, variable) = known.ok_or_else(|| Failure::usage(format!("{} has no option `{option}`", torture.name)))?;
                settings.more.push((variable, number));
            }
        }
    }
    Ok(settings)
}

/// What is run, so that it can be run again.
fn said(torture: &Torture, settings: &Settings, seed: u64, commit: &str) -> String {
    let rounds = settings.rounds.map_or_else(String::new, |rounds| format!(" --rounds {rounds}"));
    let more: String = settings.more.iter().map(|(variable, number)| format!(" {variable}={number}")).collect();
    format!("{}{rounds} --seed {seed}{more}, commit {commit}", torture.name)
}

/// Tests whose name contains a text, one after the other, built for long runs.
fn test_command(root: &Path, package: &str, binary: Option<&str>, test: &str) -> Command {
    let of = binary.map_or_else(|| vec!["--lib"], |binary| vec!["--test", binary]);
    let package = ["test", "--profile", "torture", "--package", package, "--all-features"];
    step::cargo(root, &[&package[..], &of[..], &["--", test, "--nocapture", "--test-threads", "1"]].concat())
}

/// Runs tests and passes their output on. That there was none is a failure: a torture of nothing passes always.
fn tests(name: &str, command: &mut Command) -> Result<(), Failure> {
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| Failure::new(format!("{name} does not start: {error}")))?;
    let output = child.stdout.take().ok_or_else(|| Failure::new("a child has no output although it was asked for"))?;
    let mut passed = 0;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        passed += passed_in(&line);
        println!("{line}");
    }
    let status = child.wait().map_err(|error| Failure::new(format!("{name} cannot be waited for: {error}")))?;
    match (status.success(), passed) {
        (false, _) => Err(Failure::new(format!("{name} failed ({status})"))),
        (true, 0) => Err(Failure::new(format!("{name} has no test to run; was it renamed?"))),
        (true, _) => Ok(()),
    }
}

/// What a line like `test result: ok. 3 passed; ...` counts.
fn passed_in(line: &str) -> u64 {
    let counts = line.strip_prefix("test result: ok. ").and_then(|rest| rest.split_once(" passed"));
    counts.and_then(|(count, _)| count.parse().ok()).unwrap_or(0)
}

fn new_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
}

/// The commit that is checked out, and whether files differ from it.
fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| Command::new("git").current_dir(root).args(arguments).output().ok().filter(|it| it.status.success());
    let Some(head) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|status| !status.stdout.is_empty());
    let changed = if changed { " and changes" } else { "" };
    format!("{}{changed}", String::from_utf8_lossy(&head.stdout).trim())
}

#[cfg(test)]
mod tests {
    use super::{NAMES, Settings, Torture, list, passed_in, said, settings, tests};

    fn kills() -> &'static Torture {
        NAMES.iter().find(|torture| torture.name == "kills").unwrap()
    }

    #[test]
    fn options_become_what_the_test_reads() {
        let read = settings(kills(), &["--rounds", "1000", "--seed", "7", "--events", "90"]).unwrap();
        let more = vec![("HEADWATER_TORTURE_EVENTS", 90)];
        assert_eq!(read, Settings { rounds: Some(1000), seed: Some(7), more });
        assert_eq!(settings(kills(), &[]).unwrap(), Settings::default());
        assert_eq!(said(kills(), &read, 7, "abc"), "kills --rounds 1000 --seed 7 HEADWATER_TORTURE_EVENTS=90, commit abc");
    }

    #[test]
    fn anything_else_is_wrong_usage() {
        for bad in [&["--kils", "1"][..], &["--rounds"], &["--rounds", "many"]] {
            assert_eq!(settings(kills(), bad).unwrap_err().exit, 2, "{bad:?}");
        }
        assert_eq!(super::run(&crate::root(), &["kils"]).unwrap_err().exit, 2);
    }

    #[test]
    fn a_torture_without_a_test_fails() {
        let say = |text: &str| tests("canary", std::process::Command::new("echo").arg(text));
        assert!(say("test result: ok. 0 passed; 0 failed").unwrap_err().to_string().contains("no test to run"));
        assert!(say("test result: ok. 1 passed; 0 failed").is_ok());
        assert_eq!(passed_in("test result: FAILED. 3 passed; 1 failed"), 0);
    }

    #[test]
    fn the_list_names_every_torture_once() {
        let text = list();
        for torture in NAMES {
            assert_eq!(text.lines().filter(|line| line.split(' ').next() == Some(torture.name)).count(), 1, "{}", torture.name);
        }
    }
}
