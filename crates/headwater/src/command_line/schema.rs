//! `schema`: the shapes of a service, what they were, and whether the code still reads them. Made for CI: `check` and `diff` against a file
//! need no service, say one problem a line with its place, and end with 1 when there is one.

pub(super) mod check;
mod diff;
mod snapshot;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use http::{HeaderMap, Method};
use runtime::limits::SCHEMA_SAMPLES_PER_SHAPE_MAX;
use serde_json::{Value as Json, json};

use super::consumer::pages;
use super::table::{cell, table};
use crate::client::{accepted, connection, failed, segment};
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::service::Service;
use crate::{output, threads};

/// What can be asked.
#[derive(Subcommand)]
pub enum Command {
    /// List the shapes of commands, events and all else
    ///
    /// VERSION is the one of the code, SHAPES how many were registered under it and before. With --json one line a shape, with every schema:
    /// a file of it is a snapshot for `diff` and `check`.
    List(Source),
    /// Print the schema of one shape
    Show {
        /// The shape, such as cart/event/item-added
        shape: String,
        /// In this version [default: the newest]
        #[arg(long, value_name = "NUMBER")]
        version: Option<u16>,
        #[command(flatten)]
        source: Source,
    },
    /// Compare the shapes of this code with those of a snapshot, a service or a journal; ends with 1 when one breaks its rule
    Diff(Diff),
    /// Read stored samples with this code, and compare it with stored snapshots; ends with 1 when something does not fit
    ///
    /// Needs no service. A line of a file is a sample, or a shape of a snapshot as `schema list --json` prints it.
    Check(Check),
    /// Write samples of what a running service has really written, and a snapshot of its shapes, into a directory
    ///
    /// Personal values are null in them. A file that is there is replaced.
    Record {
        /// The directory
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Samples of each registered shape, at most
        #[arg(long, alias = "per-type", value_name = "COUNT", default_value_t = 3)]
        per_shape: usize,
    },
}

/// Where shapes come from.
#[derive(Args)]
pub struct Source {
    /// From this program itself, without asking a service
    #[arg(long)]
    offline: bool,
}

/// What the code is compared with.
#[derive(Args)]
pub struct Diff {
    /// A snapshot, the address of a service, or `journal` for the data directory
    #[arg(long, value_name = "FILE|URL|journal", default_value = "journal")]
    against: String,
    /// How problems are printed
    #[arg(long, value_name = "FORM")]
    format: Option<Format>,
}

/// What is checked.
#[derive(Args)]
pub struct Check {
    /// Files of samples and snapshots, or directories of them (every .ndjson file)
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// How problems are printed
    #[arg(long, value_name = "FORM")]
    format: Option<Format>,
}

/// A form of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line for people each, with its place
    Text,
    /// A line of JSON each
    Json,
}

pub(super) fn run(command: &Command, service: &Service, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let is_json = |format: Option<Format>| format.map_or(as_json, |format| format == Format::Json);
    match command {
        Command::List(source) => list(&items(source, service, settings)?, as_json)?,
        Command::Show { shape, version, source } => show(&items(source, service, settings)?, (shape, *version))?,
        Command::Diff(diff) => return diff::run(service, settings, &diff.against, is_json(diff.format)),
        Command::Check(check) => return check::run(service, &check.paths, is_json(check.format)),
        Command::Record { out, per_shape } => record(&settings.url(), out, (*per_shape).clamp(1, SCHEMA_SAMPLES_PER_SHAPE_MAX), as_json)?,
    }
    Ok(Exit::Done)
}

fn items(source: &Source, service: &Service, settings: &Settings) -> Result<Vec<Json>, Failure> {
    if source.offline {
        return Ok(snapshot::of_code(service));
    }
    threads::call(pages(&settings.url(), "/v1/admin/schemas".to_owned()))
}

fn list(items: &[Json], as_json: bool) -> Result<(), Failure> {
    if as_json {
        return items.iter().try_for_each(output::json);
    }
    let line = |item: &Json| {
        let registered = item["registered"].as_array().map_or(&[][..], Vec::as_slice);
        let last = registered.last().map(|last| cell(&last["registered"])).unwrap_or_default();
        vec![cell(&item["shape"]), cell(&item["version"]), cell(&item["rule"]), registered.len().to_string(), last]
    };
    table(&["SHAPE", "VERSION", "RULE", "SHAPES", "REGISTERED"], &items.iter().map(line).collect::<Vec<_>>())
}

fn show(items: &[Json], (shape, version): (&str, Option<u16>)) -> Result<(), Failure> {
    let absent = |what: String| Failure::plain(Exit::NotFound, format!("{what}; `schema list` lists what there is"));
    let item = items.iter().find(|item| item["shape"] == shape).ok_or_else(|| absent(format!("there is no shape `{shape}`")))?;
    let registered = item["registered"].as_array().into_iter().flatten().rev();
    let found = registered.into_iter().find(|registered| version.is_none_or(|version| registered["version"] == version));
    let found = found.ok_or_else(|| absent(format!("the shape `{shape}` has no such version")))?;
    output::data(serde_json::to_string_pretty(&found["schema"]).unwrap_or_default())
}

fn record(url: &str, out: &Path, per_shape: usize, as_json: bool) -> Result<(), Failure> {
    let (shapes, samples) = threads::call(async {
        let shapes = pages(url, "/v1/admin/schemas".to_owned()).await?;
        Ok((shapes, samples(url, per_shape).await?))
    })?;
    let mut files = std::collections::BTreeMap::<String, Vec<&Json>>::new();
    for sample in &samples {
        files.entry(file_name(sample["shape"].as_str().unwrap_or_default())).or_default().push(sample);
    }
    files.insert(snapshot::FILE.to_owned(), shapes.iter().collect());
    std::fs::create_dir_all(out).map_err(|error| unwritable(out, &error))?;
    for (name, lines) in &files {
        write(&out.join(name), lines)?;
    }
    if as_json {
        return output::json(&json!({ "shapes": shapes.len(), "samples": samples.len(), "files": files.len() }));
    }
    output::talk(format!("wrote {} samples and {} shapes into {}", samples.len(), shapes.len(), out.display()));
    Ok(())
}

async fn samples(url: &str, per_shape: usize) -> Result<Vec<Json>, Failure> {
    let path = format!("/v1/admin/schemas/samples?per_shape={}", segment(&per_shape.to_string()));
    let response =
        connection(url)?.request(Method::GET, &path, HeaderMap::new(), Bytes::new()).await.map_err(|error| failed(url, &error))?;
    let response = accepted(response)?;
    let lines = response.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// `cart.event.item-added.ndjson`: names of components have no dots.
fn file_name(shape: &str) -> String {
    format!("{}.ndjson", shape.replace('/', ".").replace(':', "-"))
}

fn write(path: &Path, lines: &[&Json]) -> Result<(), Failure> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line).map_err(|error| Failure::plain(Exit::Failed, format!("cannot encode a sample: {error}")))?;
        text.push(b'\n');
    }
    let written = std::fs::File::create(path).and_then(|mut file| file.write_all(&text));
    written.map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::plain(Exit::Failed, format!("cannot write {}: {error}", path.display()))
}
