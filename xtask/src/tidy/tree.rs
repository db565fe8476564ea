//! The project's files, as the rules see them: every text file that is committed or would be.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

use super::source::{Source, declared_test_modules};

/// A text file.
pub(super) struct File {
    /// From the project's folder, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// All of them.
pub(super) struct Tree {
    files: Vec<File>,
    sources: Vec<Source>,
}

impl Tree {
    /// Reads what `git` knows or would take in; binary files are left out.
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in list(root)? {
            if let Some(text) = read_text(&root.join(&path))? {
                files.push(File { path, text });
            }
        }
        Ok(Self::new(files))
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() }).collect())
    }

    fn new(files: Vec<File>) -> Self {
        let rust: Vec<&File> = files.iter().filter(|file| file.path.ends_with(".rs")).collect();
        let tests: Vec<String> = rust.iter().flat_map(|file| declared_test_modules(&file.path, &file.text)).collect();
        let sources = rust.iter().map(|file| Source::new(&file.path, &file.text, is_test(&file.path, &tests))).collect();
        Self { files, sources }
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files among them.
    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }
}

/// Whether a file is test code as a whole: by its folder, or because a `#[cfg(test)] mod` elsewhere is it.
fn is_test(path: &str, declared: &[String]) -> bool {
    let by_name = path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches" | "fuzz"));
    by_name || declared.iter().any(|module| path == format!("{module}.rs") || path.starts_with(&format!("{module}/")))
}

fn list(root: &Path) -> io::Result<Vec<String>> {
    // A checkout may belong to another user (a container's volume); listing files is harmless, so git is told not to mind.
    let arguments = ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").current_dir(root).args(arguments).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    let mut paths: Vec<String> = output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|path| !path.is_empty())
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// `None` for a binary file, and for one that is listed but deleted.
fn read_text(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) if bytes.contains(&0) => Ok(None),
        Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.kind() == io::ErrorKind::IsADirectory => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn test_files_are_known_by_folder_and_by_declaration() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "#[cfg(test)]\nmod checks;\nmod b;"),
            ("crates/a/src/checks.rs", ""),
            ("crates/a/src/b.rs", "#[cfg(test)]\nmod cases;"),
            ("crates/a/src/b/cases/more.rs", ""),
            ("crates/a/src/b/checks.rs", ""),
            ("crates/a/tests/all.rs", ""),
        ]);
        let tests: Vec<_> = tree.sources().iter().filter(|source| source.is_test(1)).map(|source| source.path.as_str()).collect();
        assert_eq!(
            tests,
            ["crates/a/src/lib.rs", "crates/a/src/checks.rs", "crates/a/src/b.rs", "crates/a/src/b/cases/more.rs", "crates/a/tests/all.rs"]
        );
        assert!(!tree.sources()[0].is_test(3), "the declaration is test code, the next one is not");
    }
}
