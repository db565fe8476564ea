//! `backup` and `restore`: copies of a data directory beside a service at work, and new histories that grow out of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use journal::Cursor;
use journal::embedded::{BackedUp, BackupError, OpenError, Pace, back_up};
use journal::seams::{Clock as _, RealDisk, SystemClock};
use serde_json::json;

use super::verify::progress_bar;
use crate::config::{Settings, data_directory};
use crate::exit::Exit;
use crate::export::time;
use crate::failure::{BACKUP, Failure};
use crate::limits::MARKER_LOOK;
use crate::restore::{self, Cut, Restored};
use crate::{engine, output, threads};

/// Where a backup goes.
#[derive(Args)]
pub struct Backup {
    /// An empty directory, or one with an older backup of the same journal, which is gone on with
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Where a restore comes from, and how far it goes.
#[derive(Args)]
pub struct Restore {
    /// The directory of the backup
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// Only what was recorded before this time, such as 2026-11-21T12:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "to")]
    at: Option<String>,
    /// Only the commits up to this cursor
    #[arg(long, value_name = "CURSOR")]
    to: Option<String>,
}

pub(super) fn back_up_to(arguments: &Backup, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let source = data_directory(settings)?;
    let from = engine::disk_to_read(&source)?;
    let target = &arguments.directory;
    refuse_one_in_the_other(&source, target)?;
    let to = RealDisk::open(target).map_err(|error| refused(target, &format!("cannot be used: {error}")))?;
    let bar = progress_bar("backing up: event {pos}");
    let backed = back_up(&from, &(Arc::new(to) as _), SystemClock.now(), &mut |pace| match pace {
        Pace::At(position) => bar.set_position(position),
        Pace::Wait => std::thread::sleep(MARKER_LOOK),
    });
    bar.finish_and_clear();
    tell(target, &backed.map_err(|error| failed(&source, target, &error))?, as_json)?;
    Ok(Exit::Done)
}

fn tell(target: &Path, backed: &BackedUp, as_json: bool) -> Result<(), Failure> {
    let BackedUp { head, root, segments: (copied, there), bytes } = backed;
    let events = head.position();
    if as_json {
        return output::json(&json!({
            "events": events, "head": head.to_string(), "root": root.to_string(), "segments_copied": copied, "segments_there": there, "bytes": bytes,
        }));
    }
    output::talk(format!("{events} events are in {}: {copied} segments copied ({bytes} bytes), {there} were there", target.display()));
    output::data(root.to_string())
}

/// A backup inside the directory that it is of would be in its own way.
fn refuse_one_in_the_other(source: &Path, target: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(target).map_err(|error| refused(target, &format!("cannot be made: {error}")))?;
    let (Ok(source), Ok(resolved)) = (source.canonicalize(), target.canonicalize()) else { return Ok(()) };
    match resolved.starts_with(&source) || source.starts_with(&resolved) {
        true => Err(refused(target, "and the data directory must not be in each other")),
        false => Ok(()),
    }
}

pub(super) fn restore_from(arguments: &Restore, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let target = data_directory(settings)?;
    let cut = cut(arguments)?;
    let disk = engine::directory_to_read(&arguments.from)?;
    let bar = progress_bar("reading segment {pos} of {len} [{bar:30}]");
    let backup = journal::embedded::Backup::open(disk, |_, segments| {
        bar.set_length(segments);
        bar.inc(1);
    });
    bar.finish_and_clear();
    let backup = backup.map_err(|error| failed(&arguments.from, &arguments.from, &error))?;
    let bar = progress_bar("restoring: event {pos} of {len} [{bar:30}] {rate}");
    bar.set_length(backup.head.position());
    let restored = threads::call(restore::restore(&backup, &target, cut, &|position| bar.set_position(position)))?;
    bar.finish_and_clear();
    tell_restored(&target, &restored, as_json)?;
    Ok(Exit::Done)
}

fn tell_restored(target: &Path, restored: &Restored, as_json: bool) -> Result<(), Failure> {
    let Restored { commits, events, fork, lineage, registers } = restored;
    if as_json {
        return output::json(&json!({
            "commits": commits, "events": events, "fork": fork.to_string(), "lineage": lineage.to_string(), "registers": registers,
        }));
    }
    output::data(format!(
        "restored {events} events in {commits} commits into {}, a history of its own from cursor {fork} on",
        target.display()
    ))
}

fn cut(arguments: &Restore) -> Result<Cut, Failure> {
    let usage = |what: &str| Failure::plain(Exit::Usage, what);
    match (&arguments.at, &arguments.to) {
        (Some(at), _) => time(at).map(Cut::Before).ok_or_else(|| usage("--at wants a time such as 2026-11-21T12:00:00Z")),
        (None, Some(to)) => to.parse::<Cursor>().map(Cut::Behind).map_err(|error| usage(&format!("--to: {error}"))),
        (None, None) => Ok(Cut::Nowhere),
    }
}

fn failed(source: &Path, target: &Path, error: &BackupError) -> Failure {
    match error {
        BackupError::Source(OpenError::Locked) => refused(source, "is being written by a backup; wait for it"),
        BackupError::Source(error) => engine::not_opened(source, error),
        BackupError::Refused(why) => refused(target, &format!("does not fit: {why}")),
        BackupError::Target(_) => refused(target, &error.to_string()),
    }
}

fn refused(directory: &Path, what: &str) -> Failure {
    Failure::new(Exit::Failed, BACKUP, format!("{} {what}", directory.display()))
}
