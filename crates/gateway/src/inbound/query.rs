//! Query parameters: a route names the ones it knows, every other one is refused with its nearest neighbour.

use super::path::decode;
use crate::nearest;
use crate::problem::{INVALID_PARAMETER, Problem};

/// A parameter that a route knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    name: &'static str,
    times_max: usize,
}

/// One that may be there once.
pub(super) const fn once(name: &'static str) -> Known {
    Known { name, times_max: 1 }
}

/// One that may be there several times.
pub(super) const fn many(name: &'static str, times_max: usize) -> Known {
    Known { name, times_max }
}

/// A request's parameters, decoded, in order.
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    pub(super) fn read(query: Option<&str>, known: &[Known]) -> Result<Self, Problem> {
        let mut parameters = Self::default();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).map_err(|problem| invalid("a parameter's name", &problem))?;
            let known = known.iter().find(|known| known.name == name).ok_or_else(|| unknown(&name, known))?;
            let value = decode(value).map_err(|problem| invalid(known.name, &problem))?;
            parameters.0.push((known.name, value.into_owned()));
            if parameters.all(known.name).count() > known.times_max {
                return Err(invalid(known.name, &format!("may be given {} time(s)", known.times_max)));
            }
        }
        Ok(parameters)
    }

    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn one(&self, name: &'static str) -> Option<&str> {
        self.all(name).next()
    }

    /// A whole number, without sign.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.one(name) else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.map(Some).ok_or_else(|| invalid(name, &format!("must be a whole number, not `{text}`")))
    }

    /// A whole number from 1 to a bound.
    pub(super) fn bounded(&self, name: &'static str, bound: u64) -> Result<Option<u64>, Problem> {
        match self.number(name)? {
            Some(number) if number == 0 || number > bound => Err(invalid(name, &format!("must be from 1 to {bound}, not {number}"))),
            number => Ok(number),
        }
    }

    /// `true` or `false`; the name alone is `true`.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, Problem> {
        match self.one(name) {
            None => Ok(None),
            Some("" | "true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(text) => Err(invalid(name, &format!("must be `true` or `false`, not `{text}`"))),
        }
    }
}

/// A route without parameters.
pub(super) fn none(query: Option<&str>) -> Result<(), Problem> {
    Parameters::read(query, &[]).map(|_| ())
}

/// The refusal of a parameter.
pub(super) fn invalid(name: &str, problem: &str) -> Problem {
    Problem::new(INVALID_PARAMETER, format!("{name}: {problem}")).member("parameter", name)
}

fn unknown(name: &str, known: &[Known]) -> Problem {
    let names: Vec<&str> = known.iter().map(|known| known.name).collect();
    let detail = if names.is_empty() {
        format!("unknown parameter `{name}`; this route takes none")
    } else {
        format!("unknown parameter `{name}`; {}", nearest::hint(name, &names))
    };
    Problem::new(INVALID_PARAMETER, detail).member("parameter", name)
}
