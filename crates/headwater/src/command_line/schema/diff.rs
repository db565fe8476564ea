//! `schema diff`: the shapes of this code beside those of a snapshot, a service or a journal.

use std::collections::BTreeMap;
use std::fs;

use component::hosted::DeclaredShape;
use journal::Cursor;
use journal::embedded::Part;
use runtime::{RegisteredShape, Registry, Rules, SchemaRefusal, compare_with};
use serde_json::json;

use super::super::consumer::pages;
use super::snapshot;
use crate::config::{Settings, data_directory};
use crate::exit::Exit;
use crate::failure::{Failure, schema_code};
use crate::service::Service;
use crate::{engine, output, threads};

/// What the code is compared with.
struct Before {
    registry: Registry,
    /// Of a journal, the highest version of each event that it has; `None` where nobody can tell.
    recorded: Option<BTreeMap<String, u16>>,
}

pub(super) fn run(service: &Service, settings: &Settings, against: &str, as_json: bool) -> Result<Exit, Failure> {
    let before = match against {
        "journal" => of_journal(settings)?,
        url if url.starts_with("http://") || url.starts_with("https://") => of_service(url)?,
        file => of_file(file)?,
    };
    let (declared, rules) = (service.shape_sources().declared(), Rules::new(service.rules()));
    let comparison = compare_with(&before.registry, &declared, &rules);
    for at in &comparison.changed {
        print_change(&before.registry, &declared[*at], as_json)?;
    }
    for key in &comparison.gone {
        print(as_json, &json!({ "shape": key, "change": "gone" }), || format!("- {key}"))?;
    }
    let mut refusals: Vec<SchemaRefusal> = comparison.refusals.clone();
    match &before.recorded {
        Some(recorded) => refusals.extend(comparison.answered(|event| recorded.get(event).copied())),
        // Only a journal can tell; better to be told too early.
        None => refusals.extend(snapshot::open(service, &comparison)),
    }
    refusals.iter().try_for_each(|refusal| print_refusal(refusal, as_json))?;
    let (changed, gone) = (comparison.changed.len(), comparison.gone.len());
    let Some(first) = refusals.first() else {
        output::talk(format!("{changed} shapes differ, {gone} are gone, none breaks its rule"));
        return Ok(Exit::Done);
    };
    let message = format!("{changed} shapes differ, {gone} are gone, {} break their rules", refusals.len());
    Err(Failure::new(Exit::Failed, schema_code(&first.broken), message))
}

fn print_change(registry: &Registry, shape: &DeclaredShape, as_json: bool) -> Result<(), Failure> {
    let (key, version) = (shape.key(), shape.version);
    let last = registry.of(&key).last().map(|last| last.version);
    let change = if last.is_some() { "changed" } else { "new" };
    print(as_json, &json!({ "shape": key, "change": change, "version": version, "was": last }), || match last {
        None => format!("+ {key} version {version}"),
        Some(last) if last == version => format!("~ {key} version {version}"),
        Some(last) => format!("~ {key} version {last} -> {version}"),
    })
}

fn print_refusal(refusal: &SchemaRefusal, as_json: bool) -> Result<(), Failure> {
    let misfits: Vec<_> = refusal
        .misfits
        .iter()
        .map(|misfit| json!({ "pointer": misfit.pointer, "reads": misfit.reads, "written": misfit.written }))
        .collect();
    let line = json!({ "shape": refusal.key, "version": refusal.version, "code": schema_code(&refusal.broken), "message": refusal.message, "misfits": misfits });
    print(as_json, &line, || format!("! {}: {}", schema_code(&refusal.broken), refusal.message))
}

fn print(as_json: bool, json: &serde_json::Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
    if as_json { output::json(json) } else { output::data(text()) }
}

fn of_service(url: &str) -> Result<Before, Failure> {
    let mut registry = Registry::default();
    for item in threads::call(pages(url, "/v1/admin/schemas".to_owned()))? {
        snapshot::read(&item, &mut registry).map_err(|problem| Failure::plain(Exit::Failed, format!("{url}: {problem}")))?;
    }
    Ok(Before { registry, recorded: None })
}

fn of_file(file: &str) -> Result<Before, Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::plain(exit, format!("cannot read the snapshot {file}: {error}"))
    })?;
    let mut registry = Registry::default();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let item = serde_json::from_str(line).map_err(|error| error.to_string());
        let read = item.and_then(|item| snapshot::read(&item, &mut registry));
        read.map_err(|problem| Failure::plain(Exit::Failed, format!("{file}:{}: {problem}", at + 1)))?;
    }
    Ok(Before { registry, recorded: None })
}

/// All of it is read once: what was registered, and which events there are.
fn of_journal(settings: &Settings) -> Result<Before, Failure> {
    let journal = engine::read_whole(&data_directory(settings)?, "run verify to see it all")?;
    let (mut registry, mut recorded) = (Registry::default(), BTreeMap::new());
    let mut commits = journal.commits(Cursor::BEGINNING);
    while let Some(part) = commits.next_part() {
        let part = part.map_err(|error| Failure::plain(Exit::Damaged, format!("{error}; run verify to see what is whole")))?;
        let Part::Commit(commit) = part else { continue };
        for command in &commit.commands {
            for event in &command.record.events {
                let full = format!("{}/{}", command.record.entity.kind(), event.name);
                if let Some(shape) = RegisteredShape::read(&full, &event.payload, commit.time) {
                    registry.add(command.record.entity.id(), shape);
                }
                let version = recorded.entry(full).or_insert(0_u16);
                *version = (*version).max(event.version);
            }
        }
    }
    Ok(Before { registry, recorded: Some(recorded) })
}
