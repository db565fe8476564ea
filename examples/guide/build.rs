//! Makes documentation tests of the guide: the `rust` blocks of a page are one program that grows from block to block.
//!
//! rustdoc makes each block a program of its own, so that a page would either say everything again in each block or leave most of them
//! untried. Here a block with the line `use headwater::prelude::*;` begins a program, and the blocks behind it go on with it. What a
//! program needs and a reader does not stands in a comment, `<!-- rust` to `-->`. Blocks of `rs` are excerpts that nobody compiles.
//! A program stays on the lines that it has in its page.
//!
//! What it is not: a test runner. rustdoc compiles and runs what `lib.rs` includes.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The line that begins a program.
const BEGINNING: &str = "use headwater::prelude::*;";

fn main() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names it"));
    println!("cargo::rerun-if-changed={}", guide.display());
    let mut modules = String::new();
    for page in pages(&guide) {
        println!("cargo::rerun-if-changed={}", page.display());
        let name = page.file_stem().and_then(|name| name.to_str()).expect("pages have plain names").replace('-', "_");
        let text = fs::read_to_string(&page).expect("the page is readable");
        let programs = out.join(format!("{name}.md"));
        fs::write(&programs, programs_of(&text)).expect("cargo's folder takes files");
        modules += &format!("#[doc = include_str!({programs:?})]\nmod {name} {{}}\n");
    }
    fs::write(out.join("guide.rs"), modules).expect("cargo's folder takes files");
}

fn pages(guide: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(guide).expect("the guide is there").map(|entry| entry.expect("its folder is readable").path());
    let mut pages: Vec<_> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.sort();
    pages
}

/// A block of code: the lines of its fences, and what its program is (`rust`, `rust,no_run`).
struct Block<'a> {
    opens: usize,
    closes: usize,
    kind: &'a str,
}

/// The page with nothing but its programs.
fn programs_of(page: &str) -> String {
    let lines: Vec<_> = page.lines().collect();
    let mut programs = vec![String::new(); lines.len()];
    let mut end = None;
    for block in blocks(&lines) {
        let code = &lines[block.opens + 1..block.closes];
        if end.is_none() || code.contains(&BEGINNING) {
            if let Some(end) = end {
                programs[end] = "```".to_owned();
            }
            programs[block.opens] = format!("```{}", block.kind);
        }
        for (line, code) in programs[block.opens + 1..].iter_mut().zip(code) {
            tried(code).clone_into(line);
        }
        end = Some(block.closes);
    }
    if let Some(end) = end {
        programs[end] = "```".to_owned();
    }
    programs.join("\n")
}

/// The tests of a program are compiled with it.
fn tried(line: &str) -> &str {
    if ["#[cfg(test)]", "#[test]"].contains(&line.trim()) { "" } else { line }
}

fn blocks<'a>(lines: &[&'a str]) -> Vec<Block<'a>> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some((kind, end)) = opening(lines[at]) else {
            at += 1;
            continue;
        };
        let length = lines[at + 1..].iter().position(|line| *line == end).expect("a block that begins ends");
        let block = Block { opens: at, closes: at + 1 + length, kind };
        at = block.closes + 1;
        if kind.split(',').next() == Some("rust") && !kind.contains("ignore") {
            blocks.push(block);
        }
    }
    blocks
}

/// What a line opens, and the line that closes it.
fn opening(line: &str) -> Option<(&str, &'static str)> {
    let fence = line.strip_prefix("```").map(|kind| (kind, "```"));
    fence.or_else(|| line.strip_prefix("<!-- ").map(|kind| (kind, "-->"))).filter(|(kind, _)| !kind.ends_with("-->"))
}
