//! Two texts side by side, for the message of a failed test.

/// Beyond this many columns a side the texts stand below each other.
const COLUMN_MAX: usize = 72;

/// Both texts, with a mark at each line that differs.
pub(crate) fn side_by_side(expected: &str, actual: &str) -> String {
    let width = expected.lines().map(|line| line.chars().count()).max().unwrap_or(0).max("expected".len());
    if width > COLUMN_MAX {
        return format!("expected:\n{expected}\n\nactual:\n{actual}");
    }
    let rows = expected.lines().count().max(actual.lines().count());
    let (mut left, mut right) = (expected.lines(), actual.lines());
    let mut text = format!("    {:<width$} | actual\n", "expected");
    for _ in 0..rows {
        let (left, right) = (left.next().unwrap_or(""), right.next().unwrap_or(""));
        let mark = if left == right { ' ' } else { '!' };
        text.push_str(format!("  {mark} {left:<width$} | {right}").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::side_by_side;

    #[test]
    fn lines_that_differ_are_marked() {
        let text = side_by_side("paid version 1\n{}", "paid version 1\n{\n}");
        assert_eq!(
            text,
            "    expected       | actual\n    paid version 1 | paid version 1\n  ! {}             | {\n  !                | }\n"
        );
    }

    #[test]
    fn wide_texts_stand_below_each_other() {
        let wide = "x".repeat(100);
        assert_eq!(side_by_side(&wide, "y"), format!("expected:\n{wide}\n\nactual:\ny"));
    }
}
