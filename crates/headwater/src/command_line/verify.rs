//! `verify`: reads the whole data directory and says what is whole. It writes nothing, so that a directory that may only be read will do.

use std::io::IsTerminal as _;
use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use journal::embedded::{Verified, verify};
use serde_json::json;

use crate::config::{Settings, data_directory};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{engine, output};

pub(super) fn run(settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let directory = data_directory(settings)?;
    let disk = engine::disk_to_read(&directory)?;
    let bar = progress_bar("verifying segment {pos} of {len} [{bar:30}]");
    let verified = verify(&disk, |_, segments| {
        bar.set_length(segments);
        bar.inc(1);
    });
    bar.finish_and_clear();
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
    let Verified { segments, events, bytes, damage, notes } = verified;
    if as_json {
        let whole = damage.is_empty();
        return output::json(
            &json!({ "whole": whole, "segments": segments, "events": events, "bytes": bytes, "damage": damage, "notes": notes }),
        );
    }
    damage.iter().try_for_each(|place| output::data(format!("damaged: {place}")))?;
    notes.iter().for_each(|note| output::talk(format!("note: {note}")));
    let word = if damage.is_empty() { "whole" } else { "DAMAGED" };
    output::data(format!("{}: {word}, {events} events in {segments} segments, {bytes} bytes read", directory.display()))
}
