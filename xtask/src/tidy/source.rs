//! A Rust file as text that rules can search: comments and texts blanked, test code marked, functions found.
//!
//! No parser: it knows tokens, brackets and a few words. What it cannot tell apart (a `{` in a const generic of a
//! signature) does not occur here, or costs a finding that a person reads.

mod blank;

use blank::blank;

/// A Rust file.
pub(super) struct Source {
    pub(super) path: String,
    /// As it is.
    pub(super) text: String,
    /// With comments, texts and character literals as blanks; the same lines.
    pub(super) code: String,
    /// For each line, whether it is test code.
    test: Vec<bool>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Where its `fn` stands, from 1.
    pub(super) line: usize,
    /// From there to its closing brace.
    pub(super) lines: usize,
}

impl Source {
    pub(super) fn new(path: &str, text: &str, is_test: bool) -> Self {
        let code = blank(text);
        let mut test = vec![is_test; text.lines().count() + 1];
        for (first, last) in test_regions(&code) {
            test[first - 1..last].fill(true);
        }
        Self { path: path.to_owned(), text: text.to_owned(), code, test }
    }

    pub(super) fn is_test(&self, line: usize) -> bool {
        self.test.get(line - 1).copied().unwrap_or(false)
    }

    /// The code outside of tests, with line numbers.
    pub(super) fn product_code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.product(&self.code)
    }

    /// The text outside of tests, comments and all.
    pub(super) fn product_text(&self) -> impl Iterator<Item = (usize, &str)> {
        self.product(&self.text)
    }

    fn product<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        text.lines().enumerate().map(|(index, line)| (index + 1, line)).filter(|(line, _)| !self.is_test(*line))
    }

    pub(super) fn functions(&self) -> Vec<Function> {
        words(&self.code).filter(|(_, word)| *word == "fn").filter_map(|(at, _)| function(&self.code, at)).collect()
    }

    /// Every path that a `use` brings in, written out, with its line.
    pub(super) fn imports(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, _) in words(&self.code).filter(|(_, word)| *word == "use") {
            let tree: String = self.code[at + 3..].split(';').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
            write_out("", &tree, &mut |path| found.push((line_of(&self.code, at), path)));
        }
        found
    }
}

/// The files, without `.rs`, that a file's `#[cfg(test)] mod name;` declares.
pub(super) fn declared_test_modules(path: &str, text: &str) -> Vec<String> {
    let code = blank(text);
    let stem = path.trim_end_matches(".rs");
    let folder = match stem.rsplit_once('/') {
        Some((folder, "lib" | "main" | "mod")) => folder,
        _ => stem,
    };
    let items = attributes(&code).map(|end| code[end..].split([';', '{']).next().unwrap_or_default());
    let names = items.filter_map(|item| item.trim().trim_start_matches("pub ").strip_prefix("mod "));
    names.map(|name| format!("{folder}/{}", name.trim())).collect()
}

const ITEMS: &[&str] =
    &["pub", "mod", "fn", "use", "impl", "struct", "enum", "const", "static", "async", "type", "trait", "extern", "macro_rules"];
const TEST: &str = "#[cfg(test)]";

/// Where each `#[cfg(test)]` ends.
fn attributes(code: &str) -> impl Iterator<Item = usize> {
    code.match_indices(TEST).map(|(at, _)| at + TEST.len())
}

/// First and last line of everything under a `#[cfg(test)]`.
fn test_regions(code: &str) -> Vec<(usize, usize)> {
    let whole = code.trim_start().starts_with("#![cfg(test)]").then(|| (1, code.lines().count().max(1)));
    let items = attributes(code).map(|end| (line_of(code, end), line_of(code, item_end(code, end))));
    items.chain(whole).collect()
}

/// The end of the item that begins at or after an offset: its closing brace, or its semicolon. What is no item (a field, an arm) ends with its line.
fn item_end(code: &str, from: usize) -> usize {
    let first = words(&code[from..]).find(|(at, _)| !is_within_attribute(&code[from..], *at));
    let Some((at, word)) = first else { return from };
    if !ITEMS.contains(&word) {
        return from + at + code[from + at..].find('\n').unwrap_or(0);
    }
    match body(code, from + at) {
        Some(Body::Braces(open)) => close(code, open),
        Some(Body::Semicolon(end)) => end,
        None => code.len() - 1,
    }
}

/// Further attributes may stand between `#[cfg(test)]` and its item.
fn is_within_attribute(code: &str, at: usize) -> bool {
    let before = &code[..at];
    before.matches('[').count() > before.matches(']').count()
}

enum Body {
    Braces(usize),
    Semicolon(usize),
}

/// What ends a signature: the first `{` or `;` outside of parentheses and brackets.
fn body(code: &str, from: usize) -> Option<Body> {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(Body::Braces(at)),
            b';' if depth == 0 => return Some(Body::Semicolon(at)),
            _ => {}
        }
    }
    None
}

/// The brace that closes the one at `open`.
fn close(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len() - 1
}

/// The function whose `fn` stands at an offset; `None` for a type `fn(..)` and for a signature without a body.
fn function(code: &str, at: usize) -> Option<Function> {
    let rest = &code[at + 2..];
    let (name_at, name) = words(rest).next()?;
    if !rest[..name_at].trim().is_empty() {
        return None;
    }
    let Body::Braces(open) = body(code, at)? else { return None };
    let line = line_of(code, at);
    Some(Function { name: name.to_owned(), line, lines: line_of(code, close(code, open)) - line + 1 })
}

/// Identifiers and keywords with their offsets.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at + code[at..].find(is_part)?;
        at = code[begin..].find(|letter| !is_part(letter)).map_or(code.len(), |length| begin + length);
        Some((begin, &code[begin..at]))
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn write_out(prefix: &str, tree: &str, give: &mut impl FnMut(String)) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        if !tree.is_empty() {
            give(format!("{prefix}{}", tree.split(" as ").next().unwrap_or_default().trim()));
        }
        return;
    };
    let prefix = format!("{prefix}{}", &tree[..open]);
    let inner = tree[open + 1..].rsplit_once('}').map_or(&tree[open + 1..], |(inner, _)| inner);
    let (mut depth, mut begin) = (0, 0);
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                write_out(&prefix, &inner[begin..at], give);
                begin = at + 1;
            }
            _ => {}
        }
    }
    write_out(&prefix, &inner[begin..], give);
}

#[cfg(test)]
mod tests {
    use super::{Function, Source};

    fn source(text: &str) -> Source {
        Source::new("a.rs", text, false)
    }

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let text = "impl A {\n    /// fn doc() {\n    pub fn one(a: [u8; 3]) -> bool {\n        \"}\" == '{'\n    }\n    fn two();\n}\nfn r<F: Fn(fn(u8))>() { inner(|| {}) }\n";
        let named = |name: &str, line, lines| Function { name: name.to_owned(), line, lines };
        assert_eq!(source(text).functions(), [named("one", 3, 3), named("r", 8, 1)]);
    }

    #[test]
    fn test_code_is_told_apart() {
        let text = "a();\n#[cfg(test)]\n#[allow(dead_code)]\nmod tests {\n    b();\n}\nc();\n#[cfg(test)]\nuse x::{y, z};\nd();\n";
        let product: Vec<_> = source(text).product_code().map(|(line, _)| line).collect();
        assert_eq!(product, [1, 7, 10]);
    }

    #[test]
    fn a_field_for_tests_ends_with_its_line() {
        let text = "struct A {\n    #[cfg(test)]\n    seen: Vec<u8>,\n    real: u8,\n}\n";
        let product: Vec<_> = source(text).product_code().map(|(line, _)| line).collect();
        assert_eq!(product, [1, 4, 5]);
    }

    #[test]
    fn imports_are_written_out() {
        let text = "use std::{env, io::{self, Read as _}};\npub(crate) use a::b as c;\n";
        let paths: Vec<_> = source(text).imports().into_iter().map(|(line, path)| format!("{line} {path}")).collect();
        assert_eq!(paths, ["1 std::env", "1 std::io::self", "1 std::io::Read", "2 a::b"]);
    }
}
