//! Which room may name a heavy library: the table of ADR 1 against every manifest under `crates/`.
//!
//! Tools and tests are not bound by it: `xtask`, and what stands under `[dev-dependencies]`.

use super::Finding;
use super::rooms::{Dependency, Room};
use super::table::{self, Row};
use super::tree::Tree;

const RECORD: &str = "docs/adr/0001-shapes-before-the-first-byte.md";
const MARKER: &str = "## What each room may name";

/// A heavy library is named only by the rooms that its row lists.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(rows) = tree.file(RECORD).and_then(|record| table::after(record, MARKER)) else {
        return vec![Finding::new(
            RECORD,
            1,
            format!("there is no table behind the line `{MARKER}`; write one, or tell xtask where it went"),
        )];
    };
    let rules: Vec<Rule> = rows.iter().flat_map(Rule::read).collect();
    let rooms = tree.files().iter().filter_map(|file| Room::read(tree, file)).filter(|room| room.name != "xtask");
    rooms.flat_map(|room| check_room(&room, &rules)).collect()
}

fn check_room(room: &Room, rules: &[Rule]) -> Vec<Finding> {
    let broken = |dependency: &Dependency| {
        let rule = rules.iter().find(|rule| rule.is_about(dependency) && !rule.rooms.iter().any(|allowed| allowed == room.name))?;
        let what = format!("{} may not name {}; only {} may ({RECORD})", room.name, rule.title(), rule.rooms.join(", "));
        Some(Finding::new(&room.manifest.path, dependency.line, what))
    };
    room.dependencies.iter().filter_map(broken).collect()
}

/// A library, or some features of it, and the rooms that may name it.
struct Rule {
    library: String,
    features: Vec<String>,
    rooms: Vec<String>,
}

impl Rule {
    /// `a, b` are two libraries; `a` with words in backticks behind it is one, and only these features of it.
    fn read(row: &Row) -> Vec<Self> {
        let [names, rooms] = &row.cells[..] else { return Vec::new() };
        let (plain, features): (Vec<&str>, Vec<&str>) =
            names.split([',', ' ']).filter(|word| !word.is_empty()).partition(|word| !word.starts_with('`'));
        let features: Vec<String> = features.iter().map(|feature| feature.trim_matches('`').to_owned()).collect();
        plain.iter().map(|library| Self { library: (*library).to_owned(), features: features.clone(), rooms: table::list(rooms) }).collect()
    }

    fn is_about(&self, dependency: &Dependency) -> bool {
        // `rt-multi-thread` is `rt` and more.
        let is_on = |feature: &String| dependency.features.iter().any(|on| on == feature || on.starts_with(&format!("{feature}-")));
        self.library == dependency.name && (self.features.is_empty() || self.features.iter().any(is_on))
    }

    fn title(&self) -> String {
        if self.features.is_empty() { self.library.clone() } else { format!("{} with {}", self.library, self.features.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::{RECORD, check};
    use crate::tidy::found;

    const TABLE: &str = "## What each room may name\n\n| crate | only in |\n|---|---|\n| axum, hyper | gateway |\n| tokio `rt`, `net` | gateway (its listener), cli |\n";

    #[test]
    fn a_heavy_library_stays_in_its_room() {
        let good =
            ("crates/gateway/Cargo.toml", "[dependencies]\nhyper = \"1\"\ntokio = { workspace = true, features = [\"net\", \"rt\"] }\n");
        let light = ("crates/journal/Cargo.toml", "[dependencies]\ntokio = { workspace = true, features = [\"sync\"] }\n");
        let bad = ("crates/runtime/Cargo.toml", "[dependencies]\nhyper.workspace = true\n");
        let worse = ("crates/component/Cargo.toml", "[dependencies]\ntokio = { workspace = true, features = [\"rt-multi-thread\"] }\n");
        let findings = found(check, &[(RECORD, TABLE), good, light, bad, worse]);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].starts_with("crates/runtime/Cargo.toml:2: runtime may not name hyper; only gateway may"), "{findings:?}");
        assert!(findings[1].contains("component may not name tokio with rt, net; only gateway, cli may"), "{findings:?}");
    }

    #[test]
    fn a_missing_table_is_found() {
        assert_eq!(found(check, &[]).len(), 1);
    }
}
