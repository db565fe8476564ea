//! Files: each module says what it is, none grows without a reason, none is called by a name that says nothing.

use super::Finding;
use super::source::Source;
use super::tree::Tree;

/// Beyond this a module's doc says why it is one thing.
const FILE_LINES_MAX: usize = 800;
const REASON: &str = "one file because";
/// Names under which anything may gather.
const BANNED: &[&str] = &["common", "core", "helpers", "misc", "shared", "types", "util", "utils"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources().iter().flat_map(|source| [undocumented(source), too_long(source), nameless(source)]).flatten().collect()
}

/// Whether a file is a module of a crate, and not a test, an example or a build script.
fn is_module(path: &str) -> bool {
    path.starts_with("xtask/src/") || (path.starts_with("crates/") && path.contains("/src/"))
}

fn undocumented(source: &Source) -> Option<Finding> {
    let is_documented = source.text.starts_with("//!") || source.text.starts_with("#![doc = include_str!");
    let what = "the module does not open with `//!`; say what it is, what it promises and what it is not";
    (is_module(&source.path) && !is_documented).then(|| Finding::new(&source.path, 1, what))
}

fn too_long(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    let has_reason = source.text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains(REASON));
    let what = format!("the file has {lines} lines, over {FILE_LINES_MAX}; split it, or say `{REASON} ...` in its module doc");
    (lines > FILE_LINES_MAX && !has_reason).then(|| Finding::new(&source.path, FILE_LINES_MAX + 1, what))
}

fn nameless(source: &Source) -> Option<Finding> {
    let (_, inside) = source.path.split_once("/src/").filter(|_| is_module(&source.path))?;
    let name = inside.trim_end_matches(".rs").split('/').find(|name| BANNED.contains(name))?;
    Some(Finding::new(&source.path, 1, format!("`{name}` says nothing; name the module after the thing it holds")))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::found;

    #[test]
    fn a_module_without_a_doc_is_found() {
        let findings = found(
            check,
            &[("crates/a/src/b.rs", "use x;\n"), ("crates/a/src/c.rs", "//! C.\n"), ("crates/a/tests/d.rs", ""), ("crates/a/build.rs", "")],
        );
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("crates/a/src/b.rs:1: the module does not open with"), "{findings:?}");
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let long = format!("//! Long.\n{}", "\n".repeat(800));
        let reasoned = format!("//! Long: one file because the table is one.\n{}", "\n".repeat(800));
        let short = format!("//! Short.\n{}", "\n".repeat(799));
        let findings = found(check, &[("crates/a/src/b.rs", &long), ("crates/a/src/c.rs", &reasoned), ("crates/a/src/d.rs", &short)]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("crates/a/src/b.rs:801: the file has 801 lines"), "{findings:?}");
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        let files = ["crates/a/src/utils.rs", "crates/a/src/core/b.rs", "crates/a/src/score.rs", "crates/core/src/b.rs"];
        let findings = found(check, &files.map(|path| (path, "//! A.\n")));
        assert_eq!(findings.len(), 2);
        assert!(findings[0].starts_with("crates/a/src/utils.rs:1: `utils`") && findings[1].contains("`core`"), "{findings:?}");
    }
}
