//! Puts the pages of `docs/errors` into the crate, as a table sorted by code, so that `explain` needs no files.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("../../docs/errors");
    println!("cargo::rerun-if-changed={}", folder.display());
    let table = table(&folder)?;
    let target = Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("pages.rs");
    fs::write(target, table)
}

fn table(folder: &Path) -> io::Result<String> {
    let mut rows = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let code = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if code.starts_with("HW") && path.extension().is_some_and(|extension| extension == "md") {
            println!("cargo::rerun-if-changed={}", path.display());
            rows.push((code, fs::read_to_string(&path)?));
        }
    }
    rows.sort();
    let mut table = String::from("pub(crate) const PAGES: &[(&str, &str)] = &[\n");
    for (code, page) in rows {
        writeln!(table, "    ({code:?}, {page:?}),").map_err(io::Error::other)?;
    }
    table.push_str("];\n");
    Ok(table)
}
