//! Which room may depend on which: the table of `ARCHITECTURE.md` against every manifest.
//!
//! Dependencies for tests only are free: a room's tests may stand anywhere.

use std::collections::BTreeMap;

use super::Finding;
use super::table;
use super::tree::{File, Tree};

const MAP: &str = "ARCHITECTURE.md";
const MARKER: &str = "<!-- the import table: `cargo xtask tidy` reads it -->";

/// Every edge between rooms stands in the table, and every room has its row.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(rows) = tree.file(MAP).and_then(|map| table::after(map, MARKER)) else {
        return vec![Finding::new(MAP, 1, format!("there is no import table; write one behind the line `{MARKER}`"))];
    };
    let allowed: BTreeMap<String, (usize, Vec<String>)> =
        rows.iter().filter_map(|row| Some((table::list(row.cells.first()?).pop()?, (row.line, table::list(row.cells.get(1)?))))).collect();
    let rooms: Vec<Room> = tree.files().iter().filter_map(|file| Room::read(tree, file)).collect();
    let stale = allowed.iter().filter(|(name, _)| !rooms.iter().any(|room| room.name == **name));
    let stale = stale.map(|(name, (line, _))| Finding::new(MAP, *line, format!("there is no room `{name}`; remove its row")));
    rooms.iter().flat_map(|room| check_room(room, allowed.get(room.name).map(|(_, rooms)| &rooms[..]))).chain(stale).collect()
}

fn check_room(room: &Room, allowed: Option<&[String]>) -> Vec<Finding> {
    let Some(allowed) = allowed else {
        return vec![Finding::new(
            &room.manifest.path,
            1,
            format!("room `{}` has no row in the import table of {MAP}; add one", room.name),
        )];
    };
    let forbidden = room.dependencies.iter().filter(|dependency| dependency.room.as_ref().is_some_and(|other| !allowed.contains(other)));
    let finding = |dependency: &Dependency| {
        let other = dependency.room.as_deref().unwrap_or_default();
        let what = format!(
            "{} may not depend on {other}; the import table of {MAP} says what it may: move the code, or argue for a new edge",
            room.name
        );
        Finding::new(&room.manifest.path, dependency.line, what)
    };
    forbidden.map(finding).collect()
}

/// A crate of the workspace.
pub(super) struct Room<'a> {
    /// Its folder's name.
    pub(super) name: &'a str,
    pub(super) manifest: &'a File,
    /// Also those of a build script; not those of tests.
    pub(super) dependencies: Vec<Dependency>,
}

/// What a room's manifest names.
pub(super) struct Dependency {
    pub(super) name: String,
    /// The folder, when it is a crate of the workspace.
    room: Option<String>,
    /// Turned on here or for the whole workspace.
    pub(super) features: Vec<String>,
    pub(super) line: usize,
}

impl<'a> Room<'a> {
    /// The room whose manifest a file is.
    pub(super) fn read(tree: &Tree, file: &'a File) -> Option<Self> {
        let folder = file.path.strip_suffix("/Cargo.toml")?;
        let name = if folder == "xtask" { folder } else { folder.strip_prefix("crates/").filter(|name| !name.contains('/'))? };
        let manifest: toml::Table = file.text.parse().ok()?;
        let workspace: toml::Table = tree.file("Cargo.toml").and_then(|root| root.text.parse().ok()).unwrap_or_default();
        let workspace = workspace.get("workspace").and_then(|table| table.get("dependencies")?.as_table()).cloned().unwrap_or_default();
        let dependencies = sections(&manifest).flatten().map(|(key, value)| dependency(file, key, value, workspace.get(key))).collect();
        Some(Self { name, manifest: file, dependencies })
    }
}

fn sections(manifest: &toml::Table) -> impl Iterator<Item = &toml::Table> {
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten().filter_map(|(_, target)| target.as_table());
    std::iter::once(manifest)
        .chain(targets)
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|section| table.get(section)))
        .filter_map(|section| section?.as_table())
}

fn dependency(file: &File, name: &str, own: &toml::Value, workspace: Option<&toml::Value>) -> Dependency {
    let path = [Some(own), workspace].into_iter().flatten().find_map(|value| value.get("path")?.as_str());
    let features = [Some(own), workspace].into_iter().flatten().filter_map(|value| value.get("features")?.as_array()).flatten();
    Dependency {
        name: name.to_owned(),
        room: path.map(|path| path.rsplit('/').next().unwrap_or(path).to_owned()),
        features: features.filter_map(|feature| feature.as_str().map(str::to_owned)).collect(),
        line: line_of(&file.text, name),
    }
}

/// The first line that begins with a dependency's name.
fn line_of(manifest: &str, name: &str) -> usize {
    let begins = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '=']));
    manifest.lines().position(begins).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::{MARKER, check};
    use crate::tidy::found;

    const WORKSPACE: &str =
        "[workspace.dependencies]\njournal = { package = \"headwater-journal\", path = \"crates/journal\" }\nbytes = \"1\"\n";

    fn map(rows: &str) -> String {
        format!("{MARKER}\n\n| room | may depend on |\n|---|---|\n{rows}")
    }

    #[test]
    fn a_forbidden_edge_is_found() {
        let map = map("| journal | nothing |\n| gateway | journal |\n");
        let good = ("crates/gateway/Cargo.toml", "[dependencies]\nbytes.workspace = true\njournal.workspace = true\n");
        let bad = (
            "crates/journal/Cargo.toml",
            "[dependencies]\nbytes.workspace = true\n[target.'cfg(unix)'.dependencies]\ngateway = { path = \"../gateway\" }\n",
        );
        let findings = found(check, &[("ARCHITECTURE.md", &map), ("Cargo.toml", WORKSPACE), good, bad]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("crates/journal/Cargo.toml:4: journal may not depend on gateway;"), "{findings:?}");
    }

    #[test]
    fn tests_may_depend_on_anything() {
        let manifest = ("crates/journal/Cargo.toml", "[dev-dependencies]\ngateway = { path = \"../gateway\" }\n");
        assert!(found(check, &[("ARCHITECTURE.md", &map("| journal | nothing |\n")), manifest]).is_empty());
    }

    #[test]
    fn rooms_and_rows_must_meet() {
        let findings = found(check, &[("ARCHITECTURE.md", &map("| journal | nothing |\n")), ("crates/runtime/Cargo.toml", "")]);
        assert_eq!(findings.len(), 2);
        assert!(findings[0].contains("room `runtime` has no row") && findings[1].contains("no room `journal`"), "{findings:?}");
    }

    #[test]
    fn a_missing_table_is_found() {
        assert_eq!(found(check, &[("ARCHITECTURE.md", "# Map\n")]).len(), 1);
    }
}
