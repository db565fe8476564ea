//! What the output of `cargo test` says: counts over all binaries, and which tests were skipped and why.

use std::collections::BTreeSet;
use std::fmt;

/// Sums over the binaries seen so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: u64,
    /// Of those that the harness counts as passed, the ones that said that they were skipped.
    excused: u64,
    failed: u64,
    skipped: Vec<(String, String)>,
    /// Failures before the run that is being read.
    failed_before: u64,
    /// A binary said how many tests it has, and has not said its result yet.
    open: bool,
    /// Inside what passing tests printed; the test whose output it is.
    showing: Option<String>,
    /// Tests that take long, and have not ended.
    slow: BTreeSet<String>,
}

impl Report {
    /// Reads a line; says whether a person wants to see it.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.result(result);
            return true;
        }
        match line {
            "successes:" => self.showing = Some(String::new()),
            "failures:" => self.showing = None,
            _ if self.showing.is_some() => self.shown(line),
            _ => self.plain(line),
        }
        self.showing.is_none()
    }

    /// The run is over. A run that failed without a failed test did not build, or a binary of it died: that is a failure too.
    pub(crate) fn end(&mut self, success: bool) {
        self.close();
        if !success && self.failed == self.failed_before {
            self.failed += 1;
        }
        self.failed_before = self.failed;
    }

    /// Whether a binary runs tests: between two of them is a build.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// The tests that still run and are known to take long.
    pub(crate) fn slow(&self) -> impl fmt::Display {
        if self.slow.is_empty() {
            return "none of its tests is known to run".to_owned();
        }
        format!("still running: {}", self.slow.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    pub(crate) fn skipped(&self) -> impl Iterator<Item = (&str, &str)> {
        self.skipped.iter().map(|(test, reason)| (test.as_str(), reason.as_str()))
    }

    fn plain(&mut self, line: &str) {
        if line.starts_with("running ") && (line.ends_with(" tests") || line.ends_with(" test")) {
            self.close();
            self.open = true;
        } else if let Some((test, _)) = line.strip_prefix("test ").and_then(|line| line.split_once(" has been running for over ")) {
            self.slow.insert(test.to_owned());
        } else if let Some((test, word)) = line.strip_prefix("test ").and_then(|line| line.rsplit_once(" ... ")) {
            self.slow.remove(test);
            self.skipped.extend(ignored(word).map(|reason| (test.to_owned(), reason.to_owned())));
        }
    }

    /// A binary that began and gave no result died on the way.
    fn close(&mut self) {
        self.failed += u64::from(self.open);
        self.open = false;
        self.showing = None;
        self.slow.clear();
    }

    fn shown(&mut self, line: &str) {
        if let Some(test) = line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----")) {
            self.showing = Some(test.to_owned());
        } else if let Some(reason) = line.trim_start().strip_prefix("skipped:") {
            self.skip(reason.trim());
        }
    }

    /// A test is skipped once, however often it says so.
    fn skip(&mut self, reason: &str) {
        let Some(test) = self.showing.as_ref().filter(|test| !test.is_empty()) else { return };
        if self.skipped.last().is_none_or(|(last, _)| last != test) {
            self.skipped.push((test.clone(), reason.to_owned()));
            self.excused += 1;
        }
    }

    fn result(&mut self, result: &str) {
        self.open = false;
        self.showing = None;
        self.passed += count(result, "passed");
        self.failed += count(result, "failed");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.passed.saturating_sub(self.excused);
        write!(formatter, "{passed} passed, {} failed, {} skipped", self.failed, self.skipped.len())
    }
}

/// Why a test was not run: `ignored, reason`.
fn ignored(word: &str) -> Option<&str> {
    let reason = word.strip_prefix("ignored")?.trim_start_matches(", ");
    Some(if reason.is_empty() { "ignored" } else { reason })
}

/// The number before a word in `ok. 3 passed; 0 failed; ...`.
fn count(result: &str, word: &str) -> u64 {
    let mut parts = result.split([' ', ';', '.']).filter(|part| !part.is_empty());
    let mut before = None;
    parts
        .find_map(|part| {
            let found = (part == word).then_some(before).flatten();
            before = part.parse().ok();
            found
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Report;

    /// Reads an output of `cargo test`; gives the sums and the lines that are passed on.
    fn check(output: &str, success: bool) -> (String, Vec<&str>) {
        let mut report = Report::default();
        let seen = output.lines().filter(|line| report.line(line)).collect();
        report.end(success);
        (report.to_string(), seen)
    }

    const RETAIL: &str = "\
running 2 tests
test retail ... ok
test small ... ok

successes:

---- retail stdout ----
skipped: the retail file is not there
skipped: nor is its mirror

---- small stdout ----
a lot of talk

successes:
    retail
    small

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";

    #[test]
    fn a_test_that_says_it_was_skipped_is_skipped_once() {
        let (sums, seen) = check(RETAIL, true);
        assert_eq!(sums, "1 passed, 0 failed, 1 skipped");
        assert!(!seen.iter().any(|line| line.contains("talk")), "{seen:?}");
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn binaries_are_summed_and_failures_shown() {
        let failing = "\
running 1 test
test good ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 3 tests
test bad ... FAILED
test good ... ok
test src/lib.rs - later (line 3) ... ignored

successes:

---- good stdout ----
quiet

successes:
    good

failures:

---- bad stdout ----
loud

failures:
    bad

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let (sums, seen) = check(failing, false);
        assert_eq!(sums, "2 passed, 1 failed, 1 skipped");
        assert!(seen.contains(&"loud") && !seen.contains(&"quiet"), "{seen:?}");
    }

    #[test]
    fn a_binary_that_dies_is_a_failure() {
        let (sums, _) = check("running 5 tests\ntest one ... ok", false);
        assert_eq!(sums, "0 passed, 1 failed, 0 skipped");
        let (sums, _) = check(&format!("running 5 tests\n{RETAIL}"), false);
        assert_eq!(sums, "1 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn a_test_that_does_not_end_is_named() {
        let mut report = Report::default();
        for line in [
            "running 3 tests",
            "test one has been running for over 60 seconds",
            "test two has been running for over 60 seconds",
            "test one ... ok",
        ] {
            assert!(report.line(line));
        }
        assert!(report.is_open());
        assert_eq!(report.slow().to_string(), "still running: two");
        report.end(false);
        assert_eq!((report.is_open(), report.to_string().as_str()), (false, "0 passed, 1 failed, 0 skipped"));
    }

    #[test]
    fn what_does_not_build_is_a_failure() {
        let (sums, _) = check("", false);
        assert_eq!(sums, "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_second_run_counts_its_own_failures() {
        let mut report = Report::default();
        report.end(false);
        report.end(false);
        assert_eq!(report.to_string(), "0 passed, 2 failed, 0 skipped");
    }
}
