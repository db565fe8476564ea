//! Calls that code may not make: past the seams, past its own errors, or into what is not there yet.

use super::Finding;
use super::source::Source;
use super::tree::Tree;

/// Rooms that see clock, disk, randomness and threads through seams only, so that a seed can replay them.
const SEAMED: &[&str] = &["crates/journal/src/", "crates/runtime/src/"];
/// Where the seams meet the machine, and the suite that engines' tests run, which watches for checks that hang.
const FREE: &[&str] = &["crates/journal/src/seams/real.rs", "crates/runtime/src/seams/real.rs", "crates/journal/src/contract/"];
/// Modules that only the seams may name, however they are imported.
const MODULES: &[&str] = &["std::env", "std::fs", "std::net", "std::process", "tokio::fs", "tokio::net", "tokio::time", "rand"];
/// Calls that only the seams may make.
const CALLS: &[&str] =
    &["SystemTime::now", "Instant::now", "thread::spawn", "thread::sleep", "thread::Builder", "tokio::spawn", "task::spawn"];

/// Journal and runtime reach the machine through their seams.
pub(super) fn seams(tree: &Tree) -> Vec<Finding> {
    let is_seamed = |source: &&Source| {
        SEAMED.iter().any(|room| source.path.starts_with(room)) && !FREE.iter().any(|free| source.path.starts_with(free))
    };
    tree.sources().iter().filter(is_seamed).flat_map(past_seams).collect()
}

fn past_seams(source: &Source) -> Vec<Finding> {
    let mut found: Vec<(usize, &str)> = Vec::new();
    for (line, code) in source.product_code() {
        found.extend(MODULES.iter().filter(|module| begins(code, &format!("{module}::"))).map(|module| (line, *module)));
        found.extend(CALLS.iter().filter(|call| is_named(code, call)).map(|call| (line, *call)));
    }
    for (line, path) in source.imports().into_iter().filter(|(line, _)| !source.is_test(*line)) {
        found.extend(MODULES.iter().filter(|module| format!("{path}::").starts_with(&format!("{module}::"))).map(|module| (line, *module)));
    }
    found.sort_unstable();
    found.dedup();
    let what = |what| format!("`{what}` reaches past the seams; take a clock, disk, dice or spawner from journal::seams");
    found.into_iter().map(|(line, name)| Finding::new(&source.path, line, what(name))).collect()
}

/// Whether a path begins in the code: not the end of a longer word, nor of a longer path.
fn begins(code: &str, path: &str) -> bool {
    code.match_indices(path).any(|(at, _)| !code[..at].ends_with(is_word_part) && !code[..at].ends_with("::"))
}

/// Whether a path is in the code, with or without what leads to it.
fn is_named(code: &str, path: &str) -> bool {
    code.match_indices(path).any(|(at, _)| !code[..at].ends_with(is_word_part))
}

fn is_word_part(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Nothing outside of tests unwraps.
pub(super) fn unwraps(tree: &Tree) -> Vec<Finding> {
    let what = "`.unwrap()` outside of tests; handle it, or `expect` with the reason why it cannot fail";
    search(tree, Source::product_code, |code| code.contains(".unwrap()"), what)
}

/// Nothing is called done that is not, tests included.
pub(super) fn unfinished(tree: &Tree) -> Vec<Finding> {
    let is_unfinished = |code: &str| ["todo!", "unimplemented!"].iter().any(|name| is_named(code, name)) || code.contains("#[ignore");
    let what = "`todo!`, `unimplemented!` and `#[ignore]` call something done that is not; finish it, or take it out";
    search(tree, |source| source.code.lines().enumerate().map(|(index, line)| (index + 1, line)), is_unfinished, what)
}

/// A `matches!(..);` whose answer nobody takes: as a test's last line it looks like an assertion and can never fail. It has
/// happened to format tests of well-kept storage engines; neither rustc nor clippy says a word.
pub(super) fn dropped_answers(tree: &Tree) -> Vec<Finding> {
    let what = "the answer of this `matches!` is dropped, so it checks nothing; put it into an `assert!`";
    let dropped = |source: &Source| -> Vec<Finding> {
        let places = source.code.match_indices("matches!(").filter(|(at, _)| is_whole_statement(&source.code, *at));
        places.map(|(at, _)| Finding::new(&source.path, source.code[..at].matches('\n').count() + 1, what)).collect()
    };
    tree.sources().iter().flat_map(dropped).collect()
}

/// Whether a call begins a statement, and a semicolon ends it right behind its parenthesis.
fn is_whole_statement(code: &str, at: usize) -> bool {
    let begins = code[..at].trim_end().is_empty() || code[..at].trim_end().ends_with(['{', '}', ';']);
    let mut depth = 0;
    let end = code[at..].find(|letter| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        depth == 0 && letter == ')'
    });
    begins && end.is_some_and(|end| code[at + end + 1..].trim_start().starts_with(';'))
}

fn search<'a, L: Iterator<Item = (usize, &'a str)>>(
    tree: &'a Tree,
    lines: impl Fn(&'a Source) -> L,
    is_found: impl Fn(&str) -> bool,
    what: &str,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in tree.sources() {
        found.extend(lines(source).filter(|(_, code)| is_found(code)).map(|(line, _)| Finding::new(&source.path, line, what)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{FREE, dropped_answers, seams, unfinished, unwraps};
    use crate::tidy::found;

    /// How many findings a line of the journal has.
    fn past(line: &str) -> usize {
        found(seams, &[("crates/journal/src/lib.rs", line)]).len()
    }

    #[test]
    fn calls_past_the_seams_are_found() {
        for bad in [
            "let now = std::time::Instant::now();",
            "let now = SystemTime::now();",
            "std::fs::read(path)",
            "use std::{env, io};",
            "use std::fs;",
            "use tokio::{sync, time::sleep};",
            "std::thread::spawn(|| {})",
            "use std::thread::spawn;",
            "tokio::spawn(work)",
            "rand::random()",
        ] {
            assert_eq!(past(bad), 1, "{bad}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        for good in [
            "// std::fs::read",
            "let text = \"std::env::var\";",
            "operand::take()",
            "use std::io;",
            "self.clock.now()",
            "crate::env::get()",
            "use std::fmt;",
        ] {
            assert_eq!(past(good), 0, "{good}");
        }
    }

    #[test]
    fn seams_tests_and_other_rooms_are_free() {
        let code = "std::fs::read(path)";
        let in_test = format!("#[cfg(test)]\nmod tests {{\n    {code}\n}}\n");
        let free = [
            (FREE[0], code),
            ("crates/journal/src/contract/patience.rs", code),
            ("crates/journal/tests/all.rs", code),
            ("crates/cli/src/main.rs", code),
            ("crates/runtime/src/a.rs", in_test.as_str()),
        ];
        assert!(found(seams, &free).is_empty());
    }

    #[test]
    fn an_unwrap_is_found_outside_of_tests() {
        let text = "fn a() {\n    b().unwrap()\n}\n#[cfg(test)]\nmod tests {\n    fn c() { b().unwrap() }\n}\n";
        let findings = found(unwraps, &[("crates/a/src/lib.rs", text), ("crates/a/tests/b.rs", "b().unwrap()")]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("crates/a/src/lib.rs:2: `.unwrap()` outside of tests"), "{findings:?}");
    }

    #[test]
    fn what_is_not_finished_is_found_in_tests_too() {
        let text = "todo!()\nstd::unimplemented!(\"later\")\nlet todo = 1; // todo!\n#[cfg(test)]\nmod tests {\n    #[ignore = \"slow\"]\n    #[test]\n    fn a() {}\n}\n";
        let lines: Vec<_> = found(unfinished, &[("examples/a.rs", text)])
            .iter()
            .map(|finding| finding.split(':').nth(1).unwrap_or_default().to_owned())
            .collect();
        assert_eq!(lines, ["1", "2", "6"]);
    }

    #[test]
    fn an_answer_that_is_dropped_is_found() {
        let text = "fn a() {\n    b();\n    matches!(\n        c(d),\n        E::F(_)\n    );\n    let g =\n        matches!(c, E::F(_));\n    matches!(c, E::F(_)).then(h);\n    matches!(c, E::F(_))\n}\n";
        let findings = found(dropped_answers, &[("crates/a/tests/all.rs", text)]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with("crates/a/tests/all.rs:3: the answer"), "{findings:?}");
    }
}
