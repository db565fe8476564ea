//! Tables in the project's markdown, which rules read so that a person and a check go by the same words.

use super::tree::File;

/// One row of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// From 1.
    pub(super) line: usize,
    pub(super) cells: Vec<String>,
}

/// The rows of the first table after a line, without its two head lines. `None` when there is no such line or table.
pub(super) fn after(file: &File, marker: &str) -> Option<Vec<Row>> {
    let lines = file.text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let mut rows = lines.skip_while(|(_, line)| *line != marker).skip_while(|(_, line)| !line.starts_with('|')).peekable();
    rows.peek()?;
    Some(rows.take_while(|(_, line)| line.starts_with('|')).skip(2).map(|(line, text)| Row { line, cells: cells(text) }).collect())
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The words of a cell that is a list: `a (why), b` is `a` and `b`; the word `nothing` is none.
pub(super) fn list(cell: &str) -> Vec<String> {
    let plain: String = cell.split('(').map(|part| part.split_once(')').map_or(part, |(_, rest)| rest)).collect();
    plain.split(',').map(|word| word.trim().trim_matches('`').to_owned()).filter(|word| !matches!(word.as_str(), "" | "nothing")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Row, after, list};
    use crate::tidy::tree::File;

    #[test]
    fn a_table_is_found_behind_its_line() {
        let text = "| no | no |\n|---|---|\n| x | y |\n\n## Here\n\ntext\n\n| a | b |\n|---|---|\n| `c` | d, e |\n\n| other |\n";
        let file = File { path: "a.md".to_owned(), text: text.to_owned() };
        assert_eq!(after(&file, "## Here"), Some(vec![Row { line: 11, cells: vec!["`c`".to_owned(), "d, e".to_owned()] }]));
        assert_eq!(after(&file, "## Elsewhere"), None);
    }

    #[test]
    fn lists_have_reasons_and_may_be_empty() {
        assert_eq!(list("`a`, b (its reason, at length), c (why)"), ["a", "b", "c"]);
        assert!(list("nothing").is_empty());
    }
}
