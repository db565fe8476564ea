//! `verify`: reads the whole data directory and says what is whole. It writes nothing, so that a directory that may only be read will do.

use std::io::IsTerminal as _;
use std::path::Path;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use journal::embedded::{Progress, Root, Verified, verify_against};
use serde_json::json;

use crate::config::{Settings, data_directory};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{engine, output};

/// What the log is compared with.
#[derive(Args)]
pub struct Arguments {
    /// A root that was kept elsewhere: it is damage when the log does not have it any more
    #[arg(long, value_name = "ROOT")]
    root: Option<String>,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let no_root = |_| {
        Failure::plain(Exit::Usage, "--root wants what `journal root` or `verify` printed: 64 hexadecimal digits, or these with a cursor")
    };
    let root: Option<Root> = arguments.root.as_deref().map(str::parse).transpose().map_err(no_root)?;
    let directory = data_directory(settings)?;
    let disk = engine::disk_to_read(&directory)?;
    let (segments, events) =
        (progress_bar("verifying segment {pos} of {len} [{bar:30}]"), progress_bar("comparing event {pos} of {len} [{bar:30}]"));
    let verified = verify_against(&disk, root.as_ref(), |at| {
        let (bar, pos, len) = match at {
            Progress::Segment(pos, len) => (&segments, pos, len),
            Progress::Event(pos, len) => (&events, pos, len),
        };
        bar.set_length(len);
        bar.set_position(pos);
    });
    segments.finish_and_clear();
    events.finish_and_clear();
    let verified = verified.map_err(|error| engine::not_opened(&directory, &error))?;
    show(&directory, &verified, as_json)?;
    Ok(if verified.damage.is_empty() { Exit::Done } else { Exit::Damaged })
}

/// A progress bar on standard error, when a person watches it. Templates may use `{rate}`: whole steps a second.
#[must_use]
pub fn progress_bar(template: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(None, target).with_style(style.with_key("rate", rate))
}

fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    // A bar that cannot be drawn is not drawn.
    let _ = write!(out, "{:.0}/s", state.per_sec());
}

fn show(directory: &Path, verified: &Verified, as_json: bool) -> Result<(), Failure> {
    let Verified { segments, events, bytes, damage, notes, .. } = verified;
    let text = |root: &Root| root.to_string();
    if as_json {
        let whole = damage.is_empty();
        let (root, found) = (verified.root.as_ref().map(text), verified.found.map(|found| found.to_string()));
        return output::json(&json!({
            "whole": whole, "segments": segments, "events": events, "bytes": bytes, "damage": damage, "notes": notes, "root": root, "found": found,
        }));
    }
    damage.iter().try_for_each(|place| output::data(format!("damaged: {place}")))?;
    notes.iter().for_each(|note| output::talk(format!("note: {note}")));
    let word = if damage.is_empty() { "whole" } else { "DAMAGED" };
    output::data(format!("{}: {word}, {events} events in {segments} segments, {bytes} bytes read", directory.display()))?;
    if let Some(found) = verified.found {
        output::data(format!("the first {} events have the root that was asked for", found.position()))?;
    }
    verified.root.iter().try_for_each(|root| output::data(format!("root {root}")))
}
