//! Durable names: what they may be, and what to propose instead.

use syn::{Error, Ident, LitStr};

/// Bytes of a name, at most; `component` has the same bound for names that stand in constants.
const NAME_BYTES_MAX: usize = 64;

/// Refuses what does not match `[a-z][a-z0-9-]{0,63}`.
pub(crate) fn check_durable(literal: &LitStr, variant: &Ident) -> Result<String, Error> {
    let name = literal.value();
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::new(literal.span(), format!("a durable name has at most {NAME_BYTES_MAX} bytes; this one has {}", name.len())));
    }
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(fits) {
        return Ok(name);
    }
    let proposal = proposal(&variant.to_string());
    Err(Error::new(
        literal.span(),
        format!("`{name}` is not a durable name: use lower-case letters, digits and dashes, such as `{proposal}`"),
    ))
}

/// Refuses what cannot name a variant of a value: these may be codes such as `EUR`.
pub(crate) fn check_code(literal: &LitStr) -> Result<String, Error> {
    let name = literal.value();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(fits) {
        return Ok(name);
    }
    Err(Error::new(
        literal.span(),
        format!("`{name}` cannot name a variant: use 1 to {NAME_BYTES_MAX} letters, digits, dashes, dots and underscores"),
    ))
}

/// Refuses what cannot name a field.
pub(crate) fn check_field(literal: &LitStr) -> Result<String, Error> {
    let name = literal.value();
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    Err(Error::new(literal.span(), format!("a field's name has 1 to {NAME_BYTES_MAX} bytes and no control characters")))
}

/// `ItemAdded` as `item-added`.
pub(crate) fn proposal(variant: &str) -> String {
    let mut name = String::new();
    for char in variant.chars().filter(char::is_ascii_alphanumeric) {
        if char.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(char.to_ascii_lowercase());
    }
    if name.starts_with(|first: char| first.is_ascii_lowercase()) { name } else { "item-added".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::proposal;

    #[test]
    fn a_proposal_is_a_good_name() {
        for (variant, name) in [("ItemAdded", "item-added"), ("Paid", "paid"), ("Item_Added2", "item-added2"), ("Ü", "item-added")] {
            assert_eq!(proposal(variant), name);
        }
    }
}
