//! `schema check`: samples and snapshots in files, against the present code.

use std::fs;
use std::path::{Path, PathBuf};

use runtime::{Registry, Rules, Sample, SampleError, SchemaRefusal, ShapeSources, compare_with, read_sample};
use serde_json::{Value as Json, json};

use super::snapshot;
use crate::exit::Exit;
use crate::failure::{Failure, SAMPLE_UNREADABLE, WORKFLOW_MISFIT, schema_code};
use crate::output;
use crate::service::Service;

/// One problem, and where it was found.
struct Found {
    file: PathBuf,
    line: usize,
    code: &'static str,
    message: String,
    misfits: Vec<Json>,
}

pub(super) fn run(service: &Service, paths: &[PathBuf], as_json: bool) -> Result<Exit, Failure> {
    let files = files(paths)?;
    let (mut found, mut lines) = (Vec::new(), 0);
    for file in &files {
        lines += check(service, file, &mut found)?;
    }
    found.iter().try_for_each(|problem| print(problem, as_json))?;
    let summary = format!("{lines} lines in {} files: {} problems", files.len(), found.len());
    match found.first() {
        Some(first) => Err(Failure::new(Exit::Failed, first.code, summary)),
        None => {
            output::talk(summary);
            Ok(Exit::Done)
        }
    }
}

pub(in crate::command_line) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
        let mut of_directory: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "ndjson"))
            .collect();
        of_directory.sort();
        files.append(&mut of_directory);
    }
    Ok(files)
}

/// Checks a file line by line; gives how many there are.
fn check(service: &Service, file: &Path, found: &mut Vec<Found>) -> Result<usize, Failure> {
    let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    let sources = service.shape_sources();
    // A snapshot is compared as a whole, and each problem stands at the line of its shape.
    let (mut registry, mut places) = (Registry::default(), Vec::new());
    let mut lines = 0;
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        lines += 1;
        let (code, problem) = match of_line(&sources, line) {
            Ok(Line::Sample) => continue,
            Ok(Line::Shape(item)) => {
                places.push((item["shape"].as_str().unwrap_or_default().to_owned(), at + 1));
                match snapshot::read(&item, &mut registry) {
                    Ok(()) => continue,
                    Err(problem) => (SAMPLE_UNREADABLE, problem),
                }
            }
            Err(problem) => problem,
        };
        found.push(Found { file: file.to_owned(), line: at + 1, code, message: problem, misfits: Vec::new() });
    }
    if !places.is_empty() {
        let comparison = compare_with(&registry, &sources.declared(), &Rules::new(service.rules()));
        let open = snapshot::open(service, &comparison);
        let refusals = comparison.refusals.iter().chain(&open);
        found.extend(refusals.map(|refusal| Found::at(file, &places, refusal)));
    }
    Ok(lines)
}

enum Line {
    Sample,
    Shape(Json),
}

fn of_line(sources: &ShapeSources<'_>, line: &str) -> Result<Line, (&'static str, String)> {
    let unreadable = |problem: String| (SAMPLE_UNREADABLE, problem);
    let json: Json = serde_json::from_str(line).map_err(|error| unreadable(format!("is not JSON: {error}")))?;
    if json.get("registered").is_some() {
        return Ok(Line::Shape(json));
    }
    let sample: Result<Sample, _> = serde_json::from_value(json);
    let sample = sample.map_err(|error| unreadable(format!("is neither a sample nor a shape of a snapshot: {error}")))?;
    let named = |problem: SampleError| {
        let code = if matches!(problem, SampleError::Misfit(_)) { WORKFLOW_MISFIT } else { SAMPLE_UNREADABLE };
        (code, format!("{} version {}: {problem}", sample.shape, sample.version))
    };
    read_sample(sources, &sample).map(|()| Line::Sample).map_err(named)
}

impl Found {
    fn at(file: &Path, places: &[(String, usize)], refusal: &SchemaRefusal) -> Self {
        let line = places.iter().find(|(key, _)| *key == refusal.key).map_or(1, |(_, line)| *line);
        let misfits = refusal.misfits.iter();
        let misfits = misfits.map(|misfit| json!({ "pointer": misfit.pointer, "reads": misfit.reads, "written": misfit.written }));
        Self {
            file: file.to_owned(),
            line,
            code: schema_code(&refusal.broken),
            message: refusal.message.clone(),
            misfits: misfits.collect(),
        }
    }
}

fn print(problem: &Found, as_json: bool) -> Result<(), Failure> {
    let Found { file, line, code, message, misfits } = problem;
    if as_json {
        return output::json(
            &json!({ "file": file.display().to_string(), "line": line, "code": code, "message": message, "misfits": misfits }),
        );
    }
    // One problem, one line.
    let message: Vec<&str> = message.lines().map(str::trim).collect();
    output::data(format!("{}:{line}: {code}: {}", file.display(), message.join("; ")))
}

pub(in crate::command_line) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
    Failure::plain(exit, format!("cannot read {}: {error}", path.display()))
}
