//! `bars`: the benchmarks' figures beside the bars they are held to, and on request how long builds take.
//!
//! A figure is measured by `headwater bench`, in the release profile, on the machine at hand; a bar that is missed fails
//! the task. Nothing here judges noise: run it again, on a quiet machine, before believing either.

mod builds;
mod table;

use std::path::Path;
use std::process::Stdio;

use serde_json::Value as Json;

use crate::step::{self, Failure};

/// What `headwater bench` can measure.
const CASES: [&str; 8] = ["journal", "replay", "command", "view", "flow", "timer", "workflow", "idle"];

/// Measures every case, prints a table, and fails when a bar is missed.
pub(crate) fn run(root: &Path, with_builds: bool) -> Result<(), Failure> {
    let mut figures = Vec::new();
    for case in CASES {
        figures.extend(step::timed(case, || bench(root, case))?);
    }
    if with_builds {
        figures.extend(builds::measure(root)?);
    }
    print!("{}", table::draw(&figures));
    match figures.iter().filter(|figure| is_missed(figure)).count() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} bar(s) missed"))),
    }
}

fn bench(root: &Path, case: &str) -> Result<Vec<Json>, Failure> {
    let mut command = step::cargo(root, &["run", "--quiet", "--release", "--package", "headwater-cli", "--", "bench", case, "--json"]);
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|error| Failure::new(format!("bench {case} does not start: {error}")))?;
    let figures = figures(case, &String::from_utf8_lossy(&output.stdout))?;
    // A bench that misses a bar fails as well, and is told so in the table with all others.
    if output.status.success() || figures.iter().any(is_missed) {
        Ok(figures)
    } else {
        Err(Failure::new(format!("bench {case} failed ({})", output.status)))
    }
}

fn is_missed(figure: &Json) -> bool {
    figure["met"] == false
}

/// One figure a line; anything else is a mistake of the bench, and so is silence.
fn figures(case: &str, output: &str) -> Result<Vec<Json>, Failure> {
    let lines = output.lines().filter(|line| !line.trim().is_empty());
    let figures: Vec<Json> = lines
        .map(|line| match serde_json::from_str::<Json>(line) {
            Ok(figure) if figure["case"].is_string() => Ok(figure),
            _ => Err(Failure::new(format!("bench {case} printed a line that is no figure: {line}"))),
        })
        .collect::<Result<_, _>>()?;
    if figures.is_empty() { Err(Failure::new(format!("bench {case} printed no figure"))) } else { Ok(figures) }
}

#[cfg(test)]
mod tests {
    use super::figures;

    #[test]
    fn a_line_is_a_figure() {
        let found = figures("idle", "{\"case\":\"idle/memory\",\"value\":9.5}\n\n{\"case\":\"idle/start\",\"value\":40}\n").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["case"], "idle/memory");
    }

    #[test]
    fn talk_and_silence_are_mistakes() {
        for bad in ["", "\n", "warming up\n", "{\"value\":1}\n"] {
            assert!(figures("idle", bad).is_err(), "{bad:?}");
        }
    }
}
