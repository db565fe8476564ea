//! The length of functions: a moat at 70 lines, with a short list of those that stand beyond it and why.
//!
//! The idea is TigerBeetle's (`src/tidy.zig` there): small ones cannot creep across, old giants would be left in peace.

use super::Finding;
use super::tree::{File, Tree};

const LINES_MAX: usize = 70;
const LIST: &str = "xtask/long-functions.txt";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let exceptions: Vec<Exception> = tree.file(LIST).map(exceptions).unwrap_or_default();
    let long = long_functions(tree);
    let unlisted =
        long.iter().filter(|(id, _)| !exceptions.iter().any(|exception| exception.id == *id)).map(|(_, finding)| finding.clone());
    let stale = exceptions.iter().filter_map(|exception| exception.problem(&long)).map(|(line, what)| Finding::new(LIST, line, what));
    unlisted.chain(stale).collect()
}

/// Each long function under the name by which the list would know it.
fn long_functions(tree: &Tree) -> Vec<(String, Finding)> {
    let mut found = Vec::new();
    for source in tree.sources() {
        for function in source.functions().into_iter().filter(|function| function.lines > LINES_MAX) {
            let what = format!(
                "fn {} has {} lines, over {LINES_MAX}; give its parts names, or list it in {LIST} with the reason",
                function.name, function.lines
            );
            found.push((format!("{}:{}", source.path, function.name), Finding::new(&source.path, function.line, what)));
        }
    }
    found
}

/// A line of the list: `path:function  reason`.
struct Exception<'a> {
    line: usize,
    id: &'a str,
    reason: &'a str,
}

fn exceptions(file: &File) -> Vec<Exception<'_>> {
    let lines = file.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(index, line)| {
            let (id, reason) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
            Exception { line: index + 1, id, reason: reason.trim() }
        })
        .collect()
}

impl Exception<'_> {
    fn problem(&self, long: &[(String, Finding)]) -> Option<(usize, String)> {
        if !long.iter().any(|(id, _)| id == self.id) {
            return Some((self.line, format!("{} is not a function over {LINES_MAX} lines; remove it from the list", self.id)));
        }
        self.reason.is_empty().then(|| (self.line, format!("{} has no reason; write it behind the name", self.id)))
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::found;

    fn long(lines: usize) -> String {
        format!("//! A.\nfn b() {{\n{}}}\n", "    c();\n".repeat(lines - 2))
    }

    #[test]
    fn a_long_function_is_found() {
        let findings = found(check, &[("crates/a/src/lib.rs", &long(71)), ("crates/a/src/short.rs", &long(70))]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("crates/a/src/lib.rs:2: fn b has 71 lines, over 70;"), "{findings:?}");
    }

    #[test]
    fn a_listed_one_needs_its_reason_and_its_function() {
        let list = "# why\n\ncrates/a/src/lib.rs:b  one table\ncrates/a/src/c.rs:b\ncrates/a/src/gone.rs:b  was long\n";
        let findings =
            found(check, &[("crates/a/src/lib.rs", &long(71)), ("crates/a/src/c.rs", &long(71)), ("xtask/long-functions.txt", list)]);
        assert_eq!(findings.len(), 2);
        assert!(findings[0].contains("long-functions.txt:4: crates/a/src/c.rs:b has no reason"), "{findings:?}");
        assert!(findings[1].contains("long-functions.txt:5: crates/a/src/gone.rs:b is not a function"), "{findings:?}");
    }
}
