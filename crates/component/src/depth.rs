//! How deep a JSON text nests: counted on bytes, before anything is built and without a stack.

/// Whether arrays and objects nest deeper than so many levels.
pub(crate) fn exceeds(json: &[u8], levels: usize) -> bool {
    // No text nests deeper than it has opening brackets; the compiler turns this count into vector code.
    json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > levels && deepest(json) > levels
}

fn deepest(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::exceeds;

    #[test]
    fn brackets_count_outside_of_strings() {
        let cases =
            [("1", 0), ("[]", 1), ("[{},[]]", 2), (r#"{"[[[[":"\"[["}"#, 1), ("[[[", 3), ("]]][", 1), (r#"["\\",[]]"#, 2), ("[][][][]", 1)];
        for (json, depth) in cases {
            assert!(!exceeds(json.as_bytes(), depth), "{json}");
            assert!(depth == 0 || exceeds(json.as_bytes(), depth - 1), "{json}");
        }
    }
}
