//! `torture`: the kill test at any size. The test itself is `crates/cli/tests/cli/torture.rs`; it prints its seed, and one seed draws the
//! same load and the same points to kill at.

use std::path::Path;

use crate::step::{self, Failure};

const TEST: &str = "torture::whatever_is_killed_when_views_parcels_and_messages_are_as_they_must_be";

/// What the task takes, and the variable through which the test hears of it.
const OPTIONS: [(&str, &str); 3] =
    [("--kills", "HEADWATER_TORTURE_KILLS"), ("--events", "HEADWATER_TORTURE_EVENTS"), ("--seed", "HEADWATER_TORTURE_SEED")];

/// Runs the kill test, and passes on what it says.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let settings = settings(arguments)?;
    let mut command = step::cargo(root, &["test", "--package", "headwater-cli", "--test", "cli", "--", "--exact", TEST, "--nocapture"]);
    command.envs(settings);
    step::timed("torture", || step::succeed("torture", &mut command))
}

fn settings(arguments: &[&str]) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut settings = Vec::new();
    for pair in arguments.chunks(2) {
        let option = OPTIONS.iter().find(|(option, _)| *option == pair[0]);
        let (_, variable) = option.ok_or_else(|| Failure::usage(format!("torture has no option `{}`", pair[0])))?;
        let number = pair.get(1).and_then(|text| text.parse::<u64>().ok());
        let number = number.ok_or_else(|| Failure::usage(format!("{} needs a whole number", pair[0])))?;
        settings.push((*variable, number.to_string()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::settings;

    #[test]
    fn options_become_what_the_test_reads() {
        let read = settings(&["--kills", "1000", "--seed", "7"]).unwrap();
        assert_eq!(read, [("HEADWATER_TORTURE_KILLS", "1000".to_owned()), ("HEADWATER_TORTURE_SEED", "7".to_owned())]);
        assert_eq!(settings(&[]).unwrap(), []);
    }

    #[test]
    fn anything_else_is_wrong_usage() {
        for bad in [&["--kils", "1"][..], &["--kills"], &["--kills", "many"]] {
            assert_eq!(settings(bad).unwrap_err().exit, 2, "{bad:?}");
        }
    }
}
