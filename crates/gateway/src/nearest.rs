//! The known name that a mistyped one was probably meant to be.

/// The nearest of the known names, when it is near enough to be meant: a third of its letters, rounded up, may differ.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names have at most 64 letters; a longer text is no typing mistake, and comparing it would cost.
    if name.len() > 128 {
        return None;
    }
    let near = known.into_iter().map(|candidate| (distance(name, candidate), candidate)).min()?;
    (near.0 <= near.1.chars().count().div_ceil(3)).then_some(near.1)
}

/// Levenshtein's distance, one row at a time.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

/// `did you mean ...` when something is near, then what there is; for the end of a message.
pub(crate) fn hint(name: &str, known: &[&str]) -> String {
    match (nearest(name, known.iter().copied()), known) {
        (_, []) => "there is none".to_owned(),
        (Some(near), _) => format!("did you mean `{near}`? there are: {}", known.join(", ")),
        (None, _) => format!("there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_finds_its_neighbour() {
        let known = ["cart", "account", "add-item"];
        for (name, expected) in
            [("crat", Some("cart")), ("cartt", Some("cart")), ("acount", Some("account")), ("additem", Some("add-item")), ("zebra", None)]
        {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }

    #[test]
    fn distances_are_levenshteins() {
        for (left, right, expected) in [("kitten", "sitting", 3), ("", "abc", 3), ("same", "same", 0)] {
            assert_eq!(distance(left, right), expected);
        }
    }
}
