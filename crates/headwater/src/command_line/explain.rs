//! `explain`: what a code means and what to do about it, from the pages under `docs/errors`.

use clap::Args;
use serde_json::json;

use crate::config::nearest;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Which code.
#[derive(Args)]
pub struct Arguments {
    /// The code, such as HW0012
    code: Option<String>,
}

/// The page of a code.
pub(crate) fn page(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, page)| *page)
}

pub(super) fn run(arguments: &Arguments, as_json: bool) -> Result<Exit, Failure> {
    match &arguments.code {
        Some(code) => explain(code, as_json)?,
        None => list(as_json)?,
    }
    Ok(Exit::Done)
}

fn explain(code: &str, as_json: bool) -> Result<(), Failure> {
    let text = page(code).ok_or_else(|| unknown(code))?;
    if as_json {
        return output::json(&json!({ "code": code.to_ascii_uppercase(), "title": title(text), "page": text }));
    }
    output::data(text.trim_end())
}

fn list(as_json: bool) -> Result<(), Failure> {
    for (code, text) in PAGES {
        match as_json {
            true => output::json(&json!({ "code": code, "title": title(text) }))?,
            false => output::data(format!("{code}  {}", title(text)))?,
        }
    }
    Ok(())
}

/// The page's first heading, without the code that it may begin with.
fn title(page: &str) -> &str {
    let heading = page.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
    match heading.split_once(' ') {
        Some((code, rest)) if code.starts_with("HW") => rest.trim(),
        _ => heading.trim(),
    }
}

fn unknown(code: &str) -> Failure {
    let upper = code.to_ascii_uppercase();
    let hint = match nearest(&upper, PAGES.iter().map(|(known, _)| *known)) {
        Some(known) => format!("did you mean {known}?"),
        None => "explain without a code lists all".to_owned(),
    };
    Failure::plain(Exit::NotFound, format!("there is no code `{code}`; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn a_title_is_the_heading_without_its_code() {
        assert_eq!([title("# HW0012: unknown command\n\ntext"), title("# Word\n"), title("")], ["unknown command", "Word", ""]);
    }
}
