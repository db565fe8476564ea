//! `nodes`: the processes of a service, and what each of them does, over HTTP.

use serde_json::Value as Json;

use super::consumer::pages;
use super::table::{cell, table};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{output, threads};

pub(super) fn run(settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    threads::call(list(&settings.url(), as_json))?;
    Ok(Exit::Done)
}

const HEADS: [&str; 6] = ["NODE", "STATE", "ROLES", "ADDRESS", "STARTED", "DUTIES"];

async fn list(url: &str, as_json: bool) -> Result<(), Failure> {
    let items = pages(url, "/v1/admin/nodes".to_owned()).await?;
    if as_json {
        return items.iter().try_for_each(output::json);
    }
    table(&HEADS, &items.iter().map(line).collect::<Vec<_>>())
}

fn line(node: &Json) -> Vec<String> {
    let name = cell(&node["node"]) + if node["this"] == true { " *" } else { "" };
    let roles: Vec<String> = node["roles"].as_array().into_iter().flatten().map(cell).collect();
    vec![name, cell(&node["state"]), roles.join(","), cell(&node["address"]), cell(&node["started"]), duties(&node["duties"])]
}

/// Shares of one duty together: `consumer/bill 0-3,7 workflows 4`.
fn duties(duties: &Json) -> String {
    let mut all: Vec<(String, Vec<u64>)> = Vec::new();
    for duty in duties.as_array().into_iter().flatten() {
        let (name, share) = (cell(&duty["duty"]), duty["share"].as_u64());
        match all.last_mut() {
            Some((last, shares)) if *last == name => shares.extend(share),
            _ => all.push((name, share.into_iter().collect())),
        }
    }
    let words = all.into_iter().map(|(name, shares)| if shares.is_empty() { name } else { format!("{name} {}", ranges(&shares)) });
    words.collect::<Vec<_>>().join("; ")
}

fn ranges(shares: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for share in shares {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *share => *last = *share,
            _ => ranges.push((*share, *share)),
        }
    }
    let word = |(first, last): (u64, u64)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.into_iter().map(word).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shares_of_a_duty_are_told_together() {
        let all = json!([
            { "duty": "consumer/bill", "share": 0 }, { "duty": "consumer/bill", "share": 1 }, { "duty": "consumer/bill", "share": 7 },
            { "duty": "processor/sum", "share": null },
        ]);
        assert_eq!(duties(&all), "consumer/bill 0-1,7; processor/sum");
        assert_eq!(duties(&json!([])), "");
    }
}
