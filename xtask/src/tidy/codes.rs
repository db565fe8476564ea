//! Error codes: every one that the product names has a page under `docs/errors`, the index lists each page, and page,
//! index, example and the gateway's table agree in title and status.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::Finding;
use super::table;
use super::tree::{File, Tree};

const FOLDER: &str = "docs/errors/";
const INDEX: &str = "docs/errors/README.md";
const MARKER: &str = "# Error codes";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let pages: BTreeMap<&str, &File> = tree.files().iter().filter_map(|file| Some((page_code(&file.path)?, file))).collect();
    let named = named(tree);
    let rows = rows(tree);
    let mut found = Vec::new();
    for (code, (path, line)) in named.iter().filter(|(code, _)| !pages.contains_key(code.as_str())) {
        found.push(Finding::new(path, *line, format!("{code} has no page; write {FOLDER}{code}.md")));
    }
    for (code, page) in &pages {
        if !named.contains_key(*code) {
            found.push(Finding::new(&page.path, 1, format!("no crate names {code}; remove the page, or use the code")));
        }
        match rows.get(*code) {
            Some(row) => found.extend(disagreements(code, page, row)),
            None => found.push(Finding::new(INDEX, 1, format!("{code} is not in the index; add its row"))),
        }
    }
    found.extend(
        rows.iter()
            .filter(|(code, _)| !pages.contains_key(code.as_str()))
            .map(|(code, row)| Finding::new(INDEX, row.line, format!("{code} has no page; write it, or remove the row"))),
    );
    found.extend(tables(tree).into_iter().filter_map(|declared| declared.disagreement(&rows)));
    found
}

/// The code whose page a file is.
fn page_code(path: &str) -> Option<&str> {
    path.strip_prefix(FOLDER)?.strip_suffix(".md").filter(|name| is_code(name))
}

fn is_code(word: &str) -> bool {
    word.len() == 6 && word.strip_prefix("HW").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Codes that crates name outside of their tests, comments too, each with the first place.
fn named(tree: &Tree) -> BTreeMap<String, (&str, usize)> {
    let mut named = BTreeMap::new();
    for source in tree.sources().iter().filter(|source| source.path.starts_with("crates/")) {
        for (line, text) in source.product_text() {
            for code in text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| is_code(word)) {
                named.entry(code.to_owned()).or_insert((source.path.as_str(), line));
            }
        }
    }
    named
}

/// A row of the index.
struct Entry {
    line: usize,
    title: String,
    /// `None` for a code that never travels over HTTP.
    status: Option<u64>,
}

fn rows(tree: &Tree) -> BTreeMap<String, Entry> {
    let rows = tree.file(INDEX).and_then(|index| table::after(index, MARKER)).unwrap_or_default();
    let entry = |row: table::Row| {
        let [link, title, status] = &row.cells[..] else { return None };
        let code = link.strip_prefix('[')?.split(']').next()?.to_owned();
        Some((code, Entry { line: row.line, title: title.clone(), status: status.parse().ok() }))
    };
    rows.into_iter().filter_map(entry).collect()
}

/// What a page says otherwise than its row.
fn disagreements(code: &str, page: &File, row: &Entry) -> Vec<Finding> {
    let mut found = Vec::new();
    let heading = format!("# {code} {}", row.title);
    if page.text.lines().next() != Some(&heading) {
        found.push(Finding::new(&page.path, 1, format!("the heading is not `{heading}`, as the index has it; make them agree")));
    }
    if let Some(status) = row.status {
        if !page.text.contains(&format!("HTTP status {status}.")) {
            found.push(Finding::new(
                &page.path,
                3,
                format!("the page does not say `HTTP status {status}.`, as the index has it; make them agree"),
            ));
        }
        found.extend(example_problem(code, &page.text, row, status).map(|what| Finding::new(&page.path, 1, what)));
    } else if !page.text.contains(&format!("error: {code}: ")) {
        found.push(Finding::new(&page.path, 1, format!("the page shows no line `error: {code}: ...`; give an example")));
    }
    found
}

/// What is wrong with the page's example of a problem.
fn example_problem(code: &str, page: &str, row: &Entry, status: u64) -> Option<String> {
    let Some(example) = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()) else {
        return Some("the page has no example in a block of json; show the problem".to_owned());
    };
    let body: Json = match serde_json::from_str(example) {
        Ok(body) => body,
        Err(error) => return Some(format!("the example is not JSON ({error}); mend it")),
    };
    let link = format!("https://headwater.dev/errors/{code}");
    let is_same = body["code"] == code && body["title"] == row.title.as_str() && body["status"] == status && body["type"] == link.as_str();
    (!is_same || !body["detail"].is_string())
        .then(|| "the example's type, title, status, detail or code is not the page's; mend it".to_owned())
}

/// A line of code that declares a code: `"HW0012" "unknown-command" 404`.
struct Declared<'a> {
    path: &'a str,
    line: usize,
    code: &'a str,
    title: &'a str,
    status: u64,
}

fn tables(tree: &Tree) -> Vec<Declared<'_>> {
    let mut declared = Vec::new();
    for source in tree.sources().iter().filter(|source| source.path.starts_with("crates/")) {
        for (line, text) in source.product_text() {
            let parts: Vec<&str> = text.split('"').collect();
            let [_, code, blank, title, rest, ..] = parts[..] else { continue };
            let status = rest.trim().split([' ', ';']).next().and_then(|status| status.parse().ok());
            if let Some(status) = status.filter(|_| is_code(code) && blank.trim().is_empty()) {
                declared.push(Declared { path: &source.path, line, code, title, status });
            }
        }
    }
    declared
}

impl Declared<'_> {
    fn disagreement(&self, rows: &BTreeMap<String, Entry>) -> Option<Finding> {
        let row = rows.get(self.code)?;
        let is_same = row.title == self.title && row.status == Some(self.status);
        let what = || {
            format!(
                "{} is `{}` {} here and `{}` {} in {INDEX}; make them agree",
                self.code,
                self.title,
                self.status,
                row.title,
                row.status.unwrap_or(0)
            )
        };
        (!is_same).then(|| Finding::new(self.path, self.line, what()))
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::root;
    use crate::tidy::found;
    use crate::tidy::tree::Tree;

    const TABLE: (&str, &str) = ("crates/gateway/src/problem.rs", "//! A.\n    BUSY = \"HW0040\" \"busy\" 503 retry 1;\n");
    const INDEX: (&str, &str) =
        ("docs/errors/README.md", "# Error codes\n\n| code | title | status |\n|---|---|---|\n| [HW0040](HW0040.md) | busy | 503 |\n");

    fn page(title: &str, status: u64) -> String {
        let body = format!(
            "{{\"type\": \"https://headwater.dev/errors/HW0040\", \"title\": \"{title}\", \"status\": {status}, \"detail\": \"d\", \"code\": \"HW0040\"}}"
        );
        format!("# HW0040 {title}\n\nHTTP status {status}. Again?\n\n```json\n{body}\n```\n")
    }

    /// The findings of a tree with these files, joined.
    fn check_of(files: &[(&str, &str)]) -> String {
        found(check, files).join("\n")
    }

    #[test]
    fn the_projects_own_pages_agree() {
        let findings: Vec<String> = check(&Tree::read(&root()).unwrap()).iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn pages_that_agree_pass() {
        assert_eq!(check_of(&[TABLE, INDEX, ("docs/errors/HW0040.md", &page("busy", 503))]), "");
    }

    #[test]
    fn a_code_without_a_page_is_found() {
        let findings = check_of(&[(
            "crates/a/src/lib.rs",
            "//! A.\n/// See HW0007.\n#[cfg(test)]\nmod tests {\n    const NO: &str = \"HW9999\";\n}\n",
        )]);
        assert!(findings.starts_with("crates/a/src/lib.rs:2: HW0007 has no page") && !findings.contains("HW9999"), "{findings}");
    }

    #[test]
    fn a_page_without_a_code_or_a_row_is_found() {
        let findings = check_of(&[("docs/errors/HW0040.md", &page("busy", 503))]);
        assert!(findings.contains("no crate names HW0040") && findings.contains("HW0040 is not in the index"), "{findings}");
        assert!(check_of(&[TABLE, INDEX]).contains("docs/errors/README.md:5: HW0040 has no page"));
    }

    #[test]
    fn a_page_that_disagrees_is_found() {
        let findings = check_of(&[TABLE, INDEX, ("docs/errors/HW0040.md", &page("full", 507))]);
        for part in ["the heading is not `# HW0040 busy`", "does not say `HTTP status 503.`", "the example's type, title"] {
            assert!(findings.contains(part), "{part} in {findings}");
        }
        let table = (TABLE.0, "//! A.\n    BUSY = \"HW0040\" \"busy\" 429;\n");
        assert!(
            check_of(&[table, INDEX, ("docs/errors/HW0040.md", &page("busy", 503))]).contains("HW0040 is `busy` 429 here and `busy` 503")
        );
    }

    #[test]
    fn an_example_must_be_there_and_be_json() {
        let no_example = "# HW0040 busy\n\nHTTP status 503. Again?\n";
        assert!(check_of(&[TABLE, INDEX, ("docs/errors/HW0040.md", no_example)]).contains("no example"));
        let broken = format!("{no_example}\n```json\n{{,}}\n```\n");
        assert!(check_of(&[TABLE, INDEX, ("docs/errors/HW0040.md", &broken)]).contains("the example is not JSON"));
    }
}
