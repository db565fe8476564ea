//! Paths of somebody's machine in committed text: they are of use to nobody else, and tell what is nobody's business.

use super::Finding;
use super::tree::Tree;

/// Written in two parts, so that this file does not hold what it looks for.
const FOLDERS: &[&str] = &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files() {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(folder) = FOLDERS.iter().find(|folder| begins_path(line, folder)) {
                let what = format!("`{folder}` is a folder of one machine; name the place from the project's folder, or leave it out");
                found.push(Finding::new(&file.path, index + 1, what));
            }
        }
    }
    found
}

/// Whether a folder begins an absolute path: behind a letter it is part of an address.
fn begins_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder)
        .any(|(at, _)| !line[..at].ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_' | '}')))
}

#[cfg(test)]
mod tests {
    use super::{FOLDERS, check};
    use crate::tidy::found;

    #[test]
    fn a_path_of_a_machine_is_found_in_any_text() {
        for folder in FOLDERS {
            let text = format!("one\nsee ({folder}me/notes)\n");
            let findings = found(check, &[("docs/a.md", &text)]);
            assert_eq!(findings.len(), 1, "{folder}");
            assert!(findings[0].starts_with("docs/a.md:2: "), "{findings:?}");
        }
    }

    #[test]
    fn an_address_is_no_path() {
        let text = format!("https://example.org{}page and docs{}x", FOLDERS[0], FOLDERS[2]);
        assert!(found(check, &[("docs/a.md", &text)]).is_empty());
    }
}
