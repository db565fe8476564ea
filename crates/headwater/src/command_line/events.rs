//! `events`: what happened, over HTTP; and all of it out of and into a data directory.
//!
//! `read` and `tail` ask the running service. `export` and `import` work on the data directory itself, because an export
//! holds what no stream shows (command records, fingerprints, the family key): the service must not run meanwhile. An export only reads.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use http::{HeaderMap, Method};
use serde_json::{Value as Json, json};

use super::prove;
use super::verify::progress_bar;
use crate::client::{connection, failed, refused, segment};
use crate::config::{Settings, data_directory};
use crate::exit::Exit;
use crate::export::{self, Exported, Step};
use crate::failure::Failure;
use crate::{engine, output, threads};

/// What can be done with events.
#[derive(Subcommand)]
pub enum Command {
    /// Print events up to now, and end
    Read(Selection),
    /// Print events as they happen, until Ctrl-C
    Tail(Selection),
    /// Write the whole journal as NDJSON; the service must not run
    ///
    /// The file holds every command and event, and the key of the fingerprints: keep it as safe as the data directory.
    Export {
        /// Where to; `-` is standard output
        #[arg(default_value = "-")]
        file: PathBuf,
        /// Write what is whole of a damaged journal, with a line for each gap; no import takes such a file
        #[arg(long)]
        skip_damage: bool,
    },
    /// Print the proof that one event is among those that the journal's root covers; the service may run
    ///
    /// `examples/check_proof.py` checks it against a root that was kept elsewhere, without any of this program.
    Prove(prove::Arguments),
    /// Make a data directory from an export; one that has data is only compared with it
    ///
    /// The new journal has a history of its own, with the exported one as its parent: ids, times and sequences stay. An import that was ended
    /// early, however it was, goes on where it was when it is run again with the same export.
    Import {
        /// Where from; `-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
        /// Empty what an earlier import has left unfinished, and begin anew
        #[arg(long)]
        anew: bool,
    },
}

/// Which events.
#[derive(Args)]
pub struct Selection {
    /// Only those after this cursor
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Only this type, such as cart or cart/item-added; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    kinds: Vec<String>,
    /// Only this entity, such as cart/c1
    #[arg(long, value_name = "TYPE/ID")]
    key: Option<String>,
    /// Only with this tag, such as email:a@b.example; may be repeated
    #[arg(long = "tag", value_name = "NAME:VALUE")]
    tags: Vec<String>,
    /// So many, at most
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
}

pub(super) fn run(command: &Command, service: &str, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    match command {
        Command::Read(selection) => threads::call(stream(selection, service, &settings.url(), false, as_json))?,
        Command::Tail(selection) => threads::call(stream(selection, service, &settings.url(), true, as_json))?,
        Command::Export { file, skip_damage } => return export_to(file, &data_directory(settings)?, *skip_damage, as_json),
        Command::Prove(arguments) => prove::run(arguments, settings)?,
        Command::Import { file, anew } => import_from(file, &data_directory(settings)?, *anew, as_json)?,
    }
    Ok(Exit::Done)
}

async fn stream(selection: &Selection, service: &str, url: &str, live: bool, as_json: bool) -> Result<(), Failure> {
    let path = format!("/v1/streams/{}?{}", segment(service), selection.query(live));
    let opened = connection(url)?.stream(Method::GET, &path, HeaderMap::new(), Bytes::new()).await;
    let mut lines = opened.map_err(|error| failed(url, &error))?.map_err(|problem| refused(&problem.body))?;
    while let Some(line) = lines.next().await.map_err(|error| failed(url, &error))? {
        let event: Json = serde_json::from_slice(&line).unwrap_or_default();
        if event["specversion"].is_null() {
            return Err(refused(&line));
        }
        if as_json { output::data_bytes(&line)? } else { output::data(event_line(&event))? }
    }
    Ok(())
}

impl Selection {
    fn query(&self, live: bool) -> String {
        let mut query = format!("live={live}");
        let mut add = |name: &str, value: &str| query.push_str(&format!("&{name}={}", segment(value)));
        self.kinds.iter().for_each(|kind| add("type", kind));
        self.tags.iter().for_each(|tag| add("tag", tag));
        self.key.iter().for_each(|key| add("key", key));
        self.after.iter().for_each(|cursor| add("after", cursor));
        self.limit.iter().for_each(|limit| add("limit", &limit.to_string()));
        query
    }
}

/// A CloudEvent as a line for people: time, entity, sequence, name, data.
pub(super) fn event_line(event: &Json) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let name = text("type").rsplit('.').next().unwrap_or_default();
    format!("{} {}/{} #{} {name} {}", text("time"), text("entitytype"), text("subject"), text("sequence"), event["data"])
}

fn export_to(file: &Path, directory: &Path, skip_damage: bool, as_json: bool) -> Result<Exit, Failure> {
    // Read before the file is made: a journal that is refused leaves none.
    let journal = match skip_damage {
        true => engine::read_only(directory)?,
        false => engine::read_whole(directory, "run verify to see it all, or export what is whole with --skip-damage")?,
    };
    let mut target: Box<dyn Write> = match file.to_str() {
        Some("-") => Box::new(io::stdout().lock()),
        _ => Box::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(|error| unusable(file, &error))?),
    };
    let bar = progress_bar("exporting: event {pos} of {len} [{bar:30}] {rate}");
    bar.set_length(journal.head().position());
    let mut out = BufWriter::new(&mut target);
    let exported = export::write(&journal, &mut out, skip_damage, &|reached| bar.set_position(reached))?;
    out.flush().map_err(|error| output::stdout_failure(&error))?;
    bar.finish_and_clear();
    let found = journal.identity_fault().map(str::to_owned).into_iter().chain(journal.damage().iter().map(ToString::to_string));
    let found = found.map(|place| output::talk(format!("damaged: {place}"))).count();
    tell_exported(&exported, as_json);
    Ok(if found == 0 && exported.gaps == 0 { Exit::Done } else { Exit::Damaged })
}

fn tell_exported(exported: &Exported, as_json: bool) {
    let Exported { commits, events, gone, gaps } = exported;
    // Standard output may be the export itself.
    if as_json {
        return output::talk(json!({ "commits": commits, "events": events, "gone": gone, "gaps": gaps }).to_string());
    }
    let others = [(gone, "gone"), (gaps, "gaps")].into_iter().filter(|(count, _)| **count > 0);
    let others: String = others.map(|(count, what)| format!("; {what}: {count}")).collect();
    output::talk(format!("exported {events} events in {commits} commits{others}"));
}

fn import_from(file: &Path, directory: &Path, anew: bool, as_json: bool) -> Result<(), Failure> {
    let source: Box<dyn Read + Send> = match file.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(std::fs::File::open(file).map_err(|error| unusable(file, &error))?),
    };
    let compared = progress_bar("comparing what is there: event {pos} of {len} [{bar:30}] {rate}");
    let written = progress_bar("importing: event {pos} of {len} [{bar:30}] {rate}");
    let imported = export::read(source, directory, anew, &|step, head| {
        let (bar, position) = match step {
            Step::Left => return output::talk("an earlier import has left a part of this: it is compared, and gone on with"),
            Step::Compared(position) => (&compared, position),
            Step::Written(position) => (&written, position),
        };
        bar.set_length(head);
        bar.set_position(position);
    });
    compared.finish_and_clear();
    written.finish_and_clear();
    let imported = imported?;
    let summary = json!({
        "commits": imported.commits, "events": imported.events, "gone": imported.gone, "skipped": imported.skipped,
    });
    if as_json {
        return output::json(&summary);
    }
    output::talk(format!(
        "imported {} events in {} commits into {}, {} commits were there",
        imported.events,
        imported.commits,
        directory.display(),
        imported.skipped
    ));
    Ok(())
}

fn unusable(file: &Path, error: &io::Error) -> Failure {
    Failure::plain(Exit::Failed, format!("cannot use {}: {error}", file.display()))
}
